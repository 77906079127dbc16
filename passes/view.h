/* view.h - affine views: what slice, transpose, reshape, expand and gathers by affine indices have in common.
 *
 * A View describes a value as root[base + sum of index * stride] over factors.  Every axis of the value is a run of factors,
 * outermost first, so that a reshape that merges axes which are not adjacent in memory ([T, B, C] of a [B, T, C] tensor
 * to [T*B, C]) is still a view.  Axes of extent 1 have no factor; broadcast axes have stride 0.
 */
#ifndef DCC_VIEW_H
#define DCC_VIEW_H

#include "../ir/ir.h"

enum { MaxFactors = MaxViewAxes };

typedef struct Factor {
	const Dim *extent, *stride; /* elements */
} Factor;

typedef struct View {
	Value *root; /* not itself a view */
	const Dim *base;
	int rank;
	int first[MaxRank + 1]; /* axis d is made of factors first[d] .. first[d + 1] - 1 */
	Factor f[MaxFactors];
} View;

/* The view of v over the value that holds the data: v itself when it is no Move or cannot be expressed. */
void view_of(Module *, Value *v, View *);
/* The view of v over itself: row-major. */
void view_identity(Module *, Value *v, View *);
/* w counts elements of root as a dense tensor; makes it count elements of root's memory (state has a capacity).  False if an axis
 * would have to step over the end of a row. */
bool view_storage(Module *, View *w);
void view_transpose(const View *, const int64_t *perm, View *out); /* axis i of out is axis perm[i] */
/* Regroups to the dims of `type`; false if some axis would split a factor unevenly. */
bool view_reshape(Module *, const View *, const Type *type, View *out);
/* Factors of [from, to) with neighbours merged where memory is contiguous; returns the count. */
int merge_factors(Module *, const View *, int from_axis, int to_axis, Factor *out);
bool view_is_dense(Module *, const View *); /* all of root, in order */
/* The elements of v lie in memory one after the other, somewhere in its root. */
bool view_is_contiguous(Module *, Value *v);
/* The view that code can use without a copy: one factor an axis; else v over itself. */
void plain_view(Module *, Value *v, View *);
Value *same_elements(Module *, Value *v); /* what v reshapes; v if it is no reshape, or only a part */
/* Every element of root exactly once, in any order. */
bool view_is_permutation(Module *, const View *);
bool view_is_inside(Module *, const View *); /* proved: no element of it lies outside of root */
bool same_view(const View *, const View *); /* equal but for root and base */
/* The value that the view describes, of the given type, made before `before`: root, reshape of root, view of root, or (where an
 * axis has several factors) a reshape of a view. */
Value *build_view(Module *, const View *, const Type *, Node *before, const Loc *);
/* A value as one of at most MaxParts equal parts of an axis of another, in whole. */
typedef struct Part {
	Value *of;
	int axis, parts, number;
} Part;
bool part_of(Module *, Value *, Part *);
/* An integer tensor whose elements are base + sum of index[d] * coef[d]. */
typedef struct Affine {
	const Dim *base;
	int rank;
	const Dim *coef[MaxRank];
} Affine;
bool affine_of(Module *, Value *, Affine *);
/* Smallest and largest element as dims, for coefficients of known sign. */
bool affine_range(Module *, const Affine *, const Type *, const Dim **lo, const Dim **hi);

#endif
