/* view_walk.h - what view.c, view_of.c and affine.c share: views and affine tensors ask for each other. */
#ifndef DCC_VIEW_WALK_H
#define DCC_VIEW_WALK_H

#include "view.h"

/* What one question may cost: operands that are shared are walked for each path to them, and chains are as long as the model makes
 * them.  Passes go from the inputs to the outputs, so what they have been through is short. */
typedef struct ViewWalk {
	int steps; /* left */
	int moves; /* on the way from the value that was asked for */
} ViewWalk;

enum { MaxSteps = 200, MaxMoves = 12 };

void view_in(ViewWalk *, Module *, Value *, View *); /* view_of() within the walk */
bool affine_in(ViewWalk *, Module *, Value *, Affine *); /* affine_of() within the walk */

/* view.c: the view `a` of an operand behind an expand from type to type, a slice, a view; false: it is none. */
bool view_expand(Module *, const View *a, const Type *from, const Type *to, View *out);
bool view_slice(Module *, const View *a, const Node *slice, View *out);
bool view_view(Module *, const View *a, const Node *view, View *out);
bool is_below(Module *, const Dim *small, const Dim *limit); /* proved: small < limit */

#endif
