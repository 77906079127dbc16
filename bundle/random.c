/* random.c - Debian 12's libLLVMSupport.a names its temporary files by a function of glibc 2.36, the only one that it wants of a
 * glibc newer than 2.34.  In a program of its own name this one is taken. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

uint32_t arc4random(void);

uint32_t arc4random(void)
{
	uint32_t x;
	if (getrandom(&x, sizeof x, 0) != sizeof x)
		abort();
	return x;
}
