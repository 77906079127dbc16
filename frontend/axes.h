/* axes.h - axes that arrive at run time: which axis an entry names is arithmetic of dims. */
#ifndef DCC_AXES_H
#define DCC_AXES_H

#include "build.h"

typedef struct Axes {
	int n, rank; /* entries; rank of the tensor whose axes they are */
	const Dim *at[MaxRank]; /* 0 .. rank - 1, checked at run time */
} Axes;

/* Input `input` if its elements are symbols, so that need_ints would refuse it; false: absent, or constant. */
bool run_time_axes(Call *, int input, int rank, Axes *);
const Dim *is_named(Call *, const Axes *, int axis); /* 1 if an entry names the axis, else 0 */
/* values[k] of the entry k that names the axis, `dflt` if none does. */
const Dim *named_value(Call *, const Axes *, int axis, const Dim *const *values, const Dim *dflt);
/* x as [before, extent, after] of its only named axis. */
void fold_around(Call *, const Axes *, const Type *x, const Dim **dims);
/* Extents of x without the named axes; returns their number. */
int drop_named(Call *, const Axes *, const Type *x, const Dim **dims);
/* Extents with an extent of 1 at each named axis of the result. */
int add_named(Call *, const Axes *, const Type *x, const Dim **dims);
/* Each axis of x as two, [kept, reduced]: one has the extent and the other is 1. */
Value *split_named(Call *, const Axes *, Value *x);

#endif
