/* chance.h - for tests: numbers that depend on the seed alone (xorshift64, Marsaglia 2003). */
#ifndef DCC_CHANCE_H
#define DCC_CHANCE_H

#include <stdint.h>

static uint64_t state; /* the seed, not 0 */

static int pick(int n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (int)(state >> 33) % n;
}

/* From -1 to 1. */
static double uniform(void)
{
	return pick(1 << 20) / (double)(1 << 19) - 1;
}

#endif
