/* roofline.h - what the machine can do at most, measured. */
#ifndef DCC_ROOFLINE_H
#define DCC_ROOFLINE_H

#include <stdbool.h>

#include "../runtime/dcc.h"

typedef struct Roofline {
	double flops, bytes; /* per second, all workers together */
	double buffer; /* bytes that were read to find out */
} Roofline;

/* exec: NULL: the calling thread alone.  The CPU has what `features` (DCC_CPU_ bits) say. */
Roofline measure_roofline(uint64_t features, dcc_exec *exec);

#endif
