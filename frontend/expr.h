/* expr.h - text that becomes nodes (rows of onnx_ops.def) or dims (dim_param, signatures of custom operators). */
#ifndef DCC_EXPR_H
#define DCC_EXPR_H

#include "call.h"

Value *expand_text(Call *, const char *text);
/* An expression over symbols: integers, names, + - * / ( ) min max floor ceiling Mod.  NULL: not one.  symbol()
 * may return NULL to refuse. */
const Dim *parse_dim_text(Module *, const char *text, const Dim *(*symbol)(void *, const char *name), void *ctx);

#endif
