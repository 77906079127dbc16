/* shape.h - the shape functions that ops.def names: see OpInfo.shape for their contract. */
#ifndef DCC_SHAPE_H
#define DCC_SHAPE_H

#include "ir.h"

#define OP(name, text, in, cls, takes, code, shape, attrs, flags, meaning)                                             \
	const char *shape_##shape(Module *, const Node *, Type *out);
#include "ops.def"
#undef OP

#endif
