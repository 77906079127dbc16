/* check.h - what is not supported, listed before anything is imported. */
#ifndef DCC_CHECK_H
#define DCC_CHECK_H

#include "call.h"

/* Lists everything in the graph, and in the functions that it calls, that is not supported; the caller exits if so. */
void check_graph(Import *, const OnnxGraph *, int opset);
bool is_supported(const Import *, const OnnxNode *, int opset); /* by --custom-op, a function of the model or a row */
/* NULL, or what about this attribute is not supported (scratch). */
const char *check_attr(const Import *, const OnnxOp *, int opset, const OnnxAttr *, const OnnxAttr *resolved);

#endif
