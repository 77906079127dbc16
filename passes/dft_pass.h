/* dft_pass.h - the passes of discrete Fourier transforms, each a kernel of its own. */
#ifndef DCC_DFT_PASS_H
#define DCC_DFT_PASS_H

#include "lower.h"

enum {
	Column = 2 * Lanes, /* elements that one of all columns takes: the lanes' real parts, then the imaginary ones */
	SmallRadices = 5
};
extern const int small_radices[SmallRadices]; /* in the order in which a length is divided by them */

/* A pass over `stride` transforms of length groups * radix side by side, from scratch[from] to scratch[to]: they become radix times as
 * many of length `groups`.  What lies at `from` may change.  waves: cos and sin of 2 pi k / n, k < n, of n = skip times as many elements.
 * Parameters: scratch, waves, from, to, skip, stride, groups, radix (the last only for radix 0: any odd one, in its square of steps). */
LFunc *dft_pass(Lower *, DType, int radix);

#endif
