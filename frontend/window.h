/* window.h - the attributes that describe a sliding window, as convolutions and pools share them. */
#ifndef DCC_WINDOW_H
#define DCC_WINDOW_H

#include "build.h"

typedef struct Window { /* per spatial axis */
	int spatial;
	const Dim *taps[MaxRank];
	int64_t kernel[MaxRank]; /* the taps; 0: their number is symbolic */
	int64_t strides[MaxRank], dilations[MaxRank];
	const Dim *pads[2 * MaxRank]; /* before each axis, then after each */
	bool same; /* auto_pad: the output's extent is that of the input over the stride, rounded up */
} Window;

/* One entry per spatial axis from an attribute, `dflt` if it is absent. */
void read_ints(Call *, const char *name, int want, int64_t dflt, int64_t least, int64_t *out);
/* strides and dilations; each span fits a dim.  The kernel is set already, and taps where it is 0. */
void read_window(Call *, Window *);
void read_pads(Call *, Window *); /* pads, or auto_pad */
/* spatial, kernel, strides, dilations; returns the weight, with constant taps if the attribute states them. */
Value *read_kernel(Call *, Window *);
const Dim *window_span(Call *, const Window *, int axis); /* elements from the first tap to the last */
/* How many windows begin in `extent` elements and the pads around them. */
const Dim *count_windows(Call *, const Window *, int axis, const Dim *extent);
/* x with pads before and after its spatial axes; x itself if they are 0. */
Value *pad_spatial(Call *, Value *x, const Dim *const *pads, Scalar with);

#endif
