/* shape.h - the shape functions that ops.def names: see OpInfo.shape for their contract. */
#ifndef DCC_SHAPE_H
#define DCC_SHAPE_H

#include "ir.h"

#define OP(name, text, in, cls, takes, code, shape, attrs, flags, meaning)                                             \
	const char *shape_##shape(Module *, const Node *, Type *out);
#include "ops.def"
#undef OP

/* Of a shape function: what is wrong with the node, or what dcc lacks where the model may be right. */
#define FAIL(...) return arena_printf(m->arena, __VA_ARGS__)
#define LACK(...) return m->lack = arena_printf(m->arena, __VA_ARGS__)

/* ---- shape_need.c ----------------------------------------------------------------------------------------------- */

/* These return NULL, or what is wrong; what is not proved becomes a check of the module.  `what` names it in messages. */
const char *need_equal(Module *, const Node *, const Dim *a, const Dim *b, const char *what);
const char *need_nonneg(Module *, const Node *, const Dim *d, const char *what);
const char *need_multiple(Module *, const Node *, const Dim *d, const Dim *of, const char *what);
const char *need_broadcastable(Module *, const Node *, const Type *t, const Type *to, const char *what);
const char *need_class(Module *, const Node *, DType); /* of elements that the operator takes */
const char *need_operand(Module *, const Node *, int i, int like); /* is it there, with such elements, those of operand `like` (-1: any) */
const char *need_operands(Module *, const Node *); /* no more than the operator takes */
const char *need_rank(Module *, const Type *, int rank, const char *what);
const char *need_axis(Module *, const Node *, const Type *, int *axis); /* its attribute, within the rank */
const char *need_index(Module *, const Node *, int i); /* an operand of integers */
const char *need_which(Module *, const Node *); /* operand 3: a number for each index of the leading axes of operand 0, but its last */
const char *append_dims(Module *, Type *out, const Type *from, int first, int end);
const char *broadcast_or_say(Module *, const Node *, const Type *a, const Type *b, Type *out);

const Type *type_in(const Node *, int i); /* NULL: no such operand */
Site site_of(const Node *);
void check_equal(Module *, const Dim *a, const Dim *b, Site); /* adds a check */
/* Two dims that must be equal become one, the simpler; false: they provably differ. */
bool merge_dims(Module *, const Dim *a, const Dim *b, const Dim **out, Site);

typedef struct Window { /* along an axis */
	int64_t stride, dilation, before, after;
} Window;
const char *need_window(Module *, const Node *, int axis, int spatial, Window *);
/* The places of a window of `taps` taps along one of the spatial axes, of extent d. */
const char *slide_window(Module *, const Node *, int axis, int spatial, const Dim *d, const Dim *taps, const Dim **out);

/* inside.c: NULL where it is proved that a slice of n elements reads nothing outside of its operand; else what must be 0 for that. */
const Dim *slice_excess(Module *, const Dim *extent, const Dim *start, const Dim *n, int64_t step);

#endif
