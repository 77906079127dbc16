/* shape.h - the shape functions that ops.def names: see OpInfo.shape for their contract. */
#ifndef DCC_SHAPE_H
#define DCC_SHAPE_H

#include "ir.h"

#define OP(name, text, in, cls, takes, code, shape, attrs, flags, meaning)                                             \
	const char *shape_##shape(Module *, const Node *, Type *out);
#include "ops.def"
#undef OP

/* inside.c: NULL where it is proved that a slice of n elements reads nothing outside of its operand; else what must be 0 for that. */
const Dim *slice_excess(Module *, const Dim *extent, const Dim *start, const Dim *n, int64_t step);

#endif
