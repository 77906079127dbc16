/* contraction.h - sums of products of two views, however they are spelled: what fuse_winconv.c looks for windows in. */
#ifndef DCC_CONTRACTION_H
#define DCC_CONTRACTION_H

#include "idioms.h"

/* out[i] = sum over k of x[view(i, k)] * w[view(i, k)] */
typedef struct Contraction {
	View x, w; /* their last axis is k */
	Type out; /* of rank x.rank - 1 */
	const Dim *taps;
	const Dim *pad_left; /* zeros before the first element along the window's axis, beyond those of a Pad */
	bool conv; /* a node that pads by itself: reads outside are zero */
	bool likely; /* its form says window: a miss is worth a line in the report */
	const Dim *length; /* conv: of the axis beyond whose ends it reads zeros; else NULL */
} Contraction;

/* Is the node one, or the end of one?  *c begins as zeros. */
bool contraction_of_taps(Module *, Node *, Contraction *c); /* mul(x0, w0) + mul(x1, w1) + ... where the views' bases move by fixed steps */
bool contraction_of_matmul(Module *, Node *, Contraction *c);
bool contraction_of_sum(Module *, Node *, Contraction *c); /* of a product */
bool contraction_of_conv(Module *, Node *, Contraction *c); /* one channel a group, one spatial axis */

#endif
