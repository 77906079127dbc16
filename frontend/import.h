/* import.h - importing a graph, and the functions of onnx_ops.def.
 *
 * import.c walks the graph; for every node it finds the row of onnx_ops.def and either expands the row's text
 * (expr.c) or calls the row's function (import_*.c) with a Call.  Such a function reads c->in and the attributes,
 * emits nodes and sets c->out[0 .. nout).  What a model can do wrong is a fatal_at(c->loc).
 *
 * Each of these uses only those before it: names, onnx; call; build; expr, import_*; custom; check; cut; import; load.
 */
#ifndef DCC_IMPORT_H
#define DCC_IMPORT_H

#include "call.h"

void order_nodes(OnnxFile *); /* order.c */
void bound_values(Module *); /* values.c */

/* True: something was found that another import must know (types of --inputs, inputs whose elements must be symbols, branches that
 * cannot be, a dispute); the module is of no use. */
bool import_model(Module *, OnnxFile *, Arena *scratch, const LoadOptions *, int ndemand, const Demand *);

bool may_bind(const Sym *); /* by -D */
void refuse_binding(const Module *, const Loc *, const char *name); /* an error_at: what else -D may be about */

/* Imports a graph inside of c's node into a block, with names of its own over those around it: its first nin inputs are `in`,
 * out gets its first nout outputs. */
void import_body(Call *, const OnnxGraph *, Block *, int nin, const Item *in, int nout, Item *out);
const OnnxGraph *body_of(Call *, const char *attr); /* checked */
Value *stack_tensors(Call *, int n, Value *const *, int axis); /* along a new axis */

Value *log_softmax(Call *, Value *, int axis);
Value *exceeds(Call *, Value *x, double t); /* x > t, also where t is no number of an integer type */
/* Where along the axis the greatest (ReduceMax) or least element stands, the first of equal ones or the last: i64. */
Value *place_of(Call *, Op extreme, Value *, int axis, bool last, bool keepdims);
Value *emit_conversion(Call *, Value *, DType); /* as the node's attributes saturate and round_mode say */
void dynamic_quantize(Call *, Value *x, Value **out); /* elements, scale, zero point */
Value *emit_product(Call *, Value *a, Value *b); /* matmul; of integers, and scaled, where DequantizeLinear made both of bytes */
Value *ordered_bytes(Call *, Value *); /* the bytes that it was dequantised of, by one positive scale; NULL: it was not */
Value *dequantise_like(Call *, Value *, Value *q); /* q, as ordered_bytes() was */
bool import_quantised_conv(Call *); /* Conv, likewise; false: its operands are no such ones */
void need_scale(Call *, const Value *);
/* (q - zero) * scale in that floating type; zero may be NULL, and the operands broadcast. */
Value *dequantised(Call *, Value *q, Value *scale, Value *zero, DType real);
/* The same of a scale and a zero point (NULL: 0) of one element each or, if axis is not -1, of one for each of its indices. */
Value *dequantise(Call *, Value *q, Value *scale, Value *zero, int axis);
Value *quantise(Call *, Value *x, Value *scale, Value *zero, DType to); /* the same of one element */
/* dequantised() of q in blocks of neighbours along the axis, the last one perhaps shorter: scale and zero have an element of each, and all other
 * dims of q; a zero of rank 0 is that of all. */
Value *dequantised_blocks(Call *, Value *q, Value *scale, Value *zero, int axis, int64_t block, DType real);
Value *of_blocks(Call *, Value *, int axis); /* a scale or zero point of each block along the axis, as it broadcasts where that is [blocks, block] */

/* The functions of onnx_ops.def; those of one subject are in one import_*.c. */
#define TEXT(t)
#define FUNC(f) void f(Call *);
#define WIDE(f) FUNC(f)
#define LISTS(f) FUNC(f)
#define ONNX_OP(name, since, until, min_in, max_in, max_out, attrs, how) how
#include "onnx_ops.def"
#undef ONNX_OP
#undef TEXT
#undef FUNC
#undef WIDE
#undef LISTS

#endif
