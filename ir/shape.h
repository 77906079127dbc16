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

/* NULL, or why d cannot be 0 or more; what is not proved becomes a check of the module. */
const char *need_nonneg(Module *, const Node *, const Dim *d, const char *what);
/* inside.c: NULL where it is proved that a slice of n elements reads nothing outside of its operand; else what must be 0 for that. */
const Dim *slice_excess(Module *, const Dim *extent, const Dim *start, const Dim *n, int64_t step);

#endif
