/* shape.h - the shape functions that ops.def names: see OpInfo.shape for their contract. */
#ifndef DCC_SHAPE_H
#define DCC_SHAPE_H

#include "ir.h"

#define SHAPES(X)                                                                                                      \
	X(given) X(same) X(bool) X(bcast) X(compare) X(where) X(reduce) X(matmul) X(linear) X(glu) X(conv) X(winconv)  \
	X(attention) X(transpose) X(concat) X(pad) X(gather) X(gather_elements) X(gather_nd)
#define DECLARE_SHAPE(word) const char *shape_##word(Module *, const Node *, Type *out);
SHAPES(DECLARE_SHAPE)
#undef DECLARE_SHAPE

#endif
