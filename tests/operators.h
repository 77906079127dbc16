/* operators.h - single operators as IR text, for the fence test: every elementwise operator of ops.def for every element
 * type that takes it, and of the others the rows below. */
#ifndef DCC_OPERATORS_H
#define DCC_OPERATORS_H

#include <stdio.h>
#include <string.h>

#include "../ir/ir.h"

/* One node: its inputs, the type of its result, the node.  T stands for each of `types`; symbols are a and c. */
typedef struct OperatorRow {
	const char *types; /* "f32 i64"; NULL: no T */
	const char *params, *result, *node;
} OperatorRow;

#define REAL "f32 f64"
#define INTS "i8 i16 i32 i64 u8"
#define NUMBERS REAL " " INTS
#define ALL NUMBERS " bool"
#define QKV "%q: f32[a, c, 4, 8], %k: f32[a, 5, 2, 8], %v: f32[a, 5, 2, 9]"
#define SEEN "%q: f32[2, a, 2, 8], %k: f32[2, c, 2, 8], %v: f32[2, c, 2, 5]"

static const OperatorRow operator_rows[] = {
	{NUMBERS, "%x: T[a, c]", "T[a]", "sum %x {axes=[1]}"},
	{NUMBERS, "%x: T[a, c]", "T[1, c]", "sum %x {axes=[0], keepdims=1}"},
	{NUMBERS, "%x: T[a, 3, c]", "T[]", "sum %x {axes=[0, 1, 2]}"},
	{REAL, "%x: T[a, c]", "T[a]", "mean %x {axes=[1]}"},
	{REAL, "%x: T[a, 3, c]", "T[a, 1, c]", "mean %x {axes=[1], keepdims=1}"},
	{NUMBERS, "%x: T[a, 3, c]", "T[a, c]", "reduce_max %x {axes=[1]}"},
	{NUMBERS, "%x: T[a, c + 1]", "T[a]", "reduce_max %x {axes=[1]}"},
	{NUMBERS, "%x: T[a + 1, c]", "T[c]", "reduce_min %x {axes=[0]}"},
	{NUMBERS, "%x: T[a, c]", "T[a, c]", "cumsum %x {axis=1}"},
	{NUMBERS, "%x: T[a, c]", "T[a, c]", "cumsum %x {axis=0, exclusive=1}"},
	{"f32", "%x: T[a, 0]", "T[a, 0]", "cumsum %x {axis=0}"},
	{"f32 i32 u8", "%x: T[a, c]", "T[a, c]", "cumsum %x {axis=1, reverse=1}"},
	{"f32", "%x: T[a, c]", "T[a, c]", "softmax %x {axis=1}"},
	{"f32", "%x: T[a, 3, c]", "T[a, 3, c]", "softmax %x {axis=1}"},
	{"f32", "%x: T[a, c]", "T[a, c]", "softmax %x {axis=0}"},
	{"f32", "%x: T[a, c], %g: T[c], %b: T[c]", "T[a, c]", "norm %x, %g, %b {axis=1}"},
	{"f32", "%x: T[a, 3, c], %g: T[3, c]", "T[a, 3, c]", "norm %x, %g, _ {axis=1, eps=0.01}"},
	{"f32", "%x: T[a, c]", "T[a, c]", "norm %x, _, _ {axis=0}"},
	{"f32", "%x: T[a, c], %g: T[c]", "T[a, c]", "rmsnorm %x, %g {axis=1}"},
	{"f32", "%x: T[a, 3, c]", "T[a, 3, c]", "rmsnorm %x, _ {axis=1}"},

	{NUMBERS, "%x: T[a, 5], %y: T[5, c]", "T[a, c]", "matmul %x, %y"},
	{NUMBERS, "%x: T[3, a], %y: T[a, c]", "T[3, c]", "matmul %x, %y"},
	{NUMBERS, "%x: T[a, c, 7], %y: T[a, 7, 17]", "T[a, c, 17]", "matmul %x, %y"},
	{"f32 f64 i32", "%x: T[5, a], %y: T[5, c]", "T[a, c]", "matmul %x, %y {trans_a=1}"},
	{"f32 f64 i32", "%x: T[a, 5], %y: T[c, 5]", "T[a, c]", "matmul %x, %y {trans_b=1}"},
	{"f32 i64", "%x: T[a, 3], %y: T[c, a]", "T[3, c]", "matmul %x, %y {trans_a=1, trans_b=1}"},
	{"f32 f64", "%x: T[a], %y: T[a]", "T[]", "matmul %x, %y"},
	{"f32 i32", "%x: T[a, c], %y: T[c]", "T[a]", "matmul %x, %y"},
	{"f32 i32", "%x: T[a], %y: T[a, c]", "T[c]", "matmul %x, %y"},
	{"f32", "%x: T[a, 1, c, 4], %y: T[2, 4, 33]", "T[a, 2, c, 33]", "matmul %x, %y"},
	{"f32 i32", "%x: T[a, 9], %w: T[9, c]", "T[a, c]", "linear %x, %w, _"},
	{"f32", "%x: T[a, c, 9], %w: T[9, 20], %b: T[20]", "T[a, c, 20]", "linear %x, %w, %b"},
	{REAL, "%x: T[a, 9], %w: T[7, 9, c], %i: i64[a]", "T[a, c]", "experts %x, %w, _, %i"},
	{"f32", "%x: T[a, c, 9], %w: T[7, 9, 20], %b: T[7, 20], %i: i32[a]", "T[a, c, 20]", "experts %x, %w, %b, %i"},
	{"f32", "%x: T[a, 9], %w: T[7, 2, 9, 32], %b: T[7, 40], %i: i64[a]", "T[a, 40]", "experts_packed %x, %w, %b, %i"},
	{"f32", "%x: T[a, 2*c]", "T[a, c]", "glu %x {axis=1, act=sigmoid}"},
	{"f32", "%x: T[a, 2*c]", "T[a, c]", "glu %x {axis=1, act=gelu, gate=first}"},
	{"f32", "%x: T[a, 6, c]", "T[a, 3, c]", "glu %x {axis=1, act=tanh}"},
	{"f32", "%x: T[2*a, c]", "T[a, c]", "glu %x {axis=0, act=silu}"},

	{"f32", "%x: T[a, 3, c + 2], %w: T[4, 3, 3]", "T[a, 4, c]", "conv %x, %w, _"},
	{"f32", "%x: T[a, 3, c], %w: T[4, 3, 3], %b: T[4]", "T[a, 4, c]", "conv %x, %w, %b {pads=[1, 1]}"},
	{"f32", "%x: T[a, 3, 2*c], %w: T[4, 3, 2]", "T[a, 4, c]", "conv %x, %w, _ {strides=[2]}"},
	{"f32", "%x: T[a, 4, c], %w: T[6, 2, 3]", "T[a, 6, c]", "conv %x, %w, _ {group=2, pads=[2, 0]}"},
	{"f32", "%x: T[a, 5, c], %w: T[5, 1, 3]", "T[a, 5, c]", "conv %x, %w, _ {group=5, pads=[2, 2], dilations=[2]}"},
	{"f32", "%x: T[1, 3, a, c], %w: T[5, 3, 3, 3]", "T[1, 5, a, c]", "conv %x, %w, _ {pads=[1, 1, 1, 1]}"},
	{"f32", "%x: T[a, 2, c, 7], %w: T[2, 1, 3, 2]", "T[a, 2, c, 4]",
	 "conv %x, %w, _ {group=2, pads=[1, 0, 1, 1], strides=[1, 2]}"},
	{"f32", "%x: T[a, c, 16], %w: T[3, 1, 16], %b: T[16]", "T[a, c, 16]", "group_conv %x, %w, %b {group=16, pads=[1, 1]}"},
	{"f32", "%x: T[1, a, c, 33], %w: T[3, 3, 1, 33]", "T[1, a, c, 33]", "group_conv %x, %w, _ {group=33, pads=[1, 1, 1, 1]}"},
	{"f32 f64", "%x: T[2, 7, 2*a, 6], %w: T[2, 3, 2, 3*c], %b: T[3*c]", "T[2, 3, a, 3*c]",
	 "group_conv %x, %w, %b {group=3, pads=[0, 1, 0, 0], strides=[2, 2], dilations=[2, 1]}"},
	{NUMBERS, "%x: T[a, 2, c]", "T[a, 2, c]", "pool %x {kernel=[5], pads_dim=[2]}"},
	{NUMBERS, "%x: T[2, a, c, 9]", "T[2, a, 5, c]", "pool %x {kernel=[2, 20], strides=[1, 2], pads_dim=[c, 1], join=sum}"},
	{NUMBERS, "%x: T[2, a, 9, c]", "i64[2, a, 9, c]", "pool %x {kernel=[2, 3], dilations=[2, 1], pads_dim=[1, 1], join=where}"},
	{"f32", "%x: T[a, c, 16], %w: T[a, c, 2, 3]", "T[a, c, 16]", "winconv %x, %w {heads=2, pads_dim=[1]}"},
	{"f32", "%x: T[a, c, 20], %w: T[a, c, 5, 4]", "T[a, c, 20]", "winconv %x, %w {heads=5, pads_dim=[3], map=interleaved}"},
	{"f32", "%x: T[a, c, 7], %w: T[7, 5]", "T[a, c, 7]", "winconv %x, %w {heads=7, pads_dim=[2]}"},
	{"f32", "%x: T[a, c, 33], %w: T[1, 31]", "T[a, c, 33]", "winconv %x, %w {heads=1, pads_dim=[40]}"},
	{"f32", "%x: T[2, a, c, 32], %w: T[2, a, c, 2, 3, 3]", "T[2, a, c, 32]", "winconv %x, %w {heads=2, pads_dim=[1, 1]}"},
	{"f32", "%x: T[1, a, 2*c, 6], %w: T[1, a, c, 3, 2, 5]", "T[1, a, c, 6]",
	 "winconv %x, %w {heads=3, pads_dim=[0, 4], strides=[1, 2], dilations=[3, 2], map=interleaved}"},
	{"f32", QKV, "T[a, c, 4, 9]", "attention %q, %k, %v, _ {scale=0.5}"},
	{"f32", QKV, "T[a, c, 4, 9]", "attention %q, %k, %v, _ {right=0, zero_nan=1}"},
	{"f32", QKV ", %m: bool[a, 1, 1, 5]", "T[a, c, 4, 9]", "attention %q, %k, %v, %m {zero_nan=1}"},
	{"f32", QKV ", %m: f32[a, 4, c, 5]", "T[a, c, 4, 9]", "attention %q, %k, %v, %m {softcap=2}"},
	{"f32", SEEN, "T[2, a, 2, 5]", "attention %q, %k, %v, _"},
	{"f32", SEEN, "T[2, a, 2, 5]", "attention %q, %k, %v, _ {right=0}"},
	{"f32", SEEN, "T[2, a, 2, 5]", "attention %q, %k, %v, _ {left=20, right=3}"},
	{"f32", SEEN ", %m: bool[1, 1, a, c]", "T[2, a, 2, 5]", "attention %q, %k, %v, %m {fill=-1.5}"},
	{"f32", SEEN ", %m: f32[2, 1, a, c]", "T[2, a, 2, 5]", "attention %q, %k, %v, %m {scale=2}"},
	{REAL, "%x: T[a, c]", "T[2, a, c]", "dft %x, _, _ {axis=1}"},
	{REAL, "%x: T[a, c, 3], %y: T[a, c, 3]", "T[2, a, min(c, 4), 3]", "dft %x, %y, _ {axis=1, inverse=1}"},
	{"f32", "%x: T[a, 11, c], %y: T[a, 11, c]", "T[1, a, 11, c]", "dft %x, %y, _ {axis=1}"},
	{"f32", "%x: T[a, c], %w: T[a, 2]", "T[2, a, c]", "dft %x, _, %w"},

	{"f32 u8 i64", "%x: T[a, c, 6]", "T[a, 2*c, 3]", "reshape %x"},
	{"f32 bool i16", "%x: T[a, 1, c]", "T[a, 3, c]", "expand %x"},
	{"f32 i64", "%x: T[c]", "T[3, c]", "expand %x"},
	{"f32 f64 u8", "%x: T[a, c]", "T[c, a]", "transpose %x {perm=[1, 0]}"},
	{"f32 i16", "%x: T[a, 3, c]", "T[c, a, 3]", "transpose %x {perm=[2, 0, 1]}"},
	{"f32 i64 bool", "%x: T[a + 3, c]", "T[a, c]", "slice %x {starts=[2, 0]}"},
	{"f32 u8", "%x: T[a, c]", "T[a, (c + 2)/3]", "slice %x {starts=[0, 0], steps=[1, 3]}"},
	{"f32 i32", "%x: T[a, c]", "T[a, c]", "slice %x {starts=[a - 1, 0], steps=[-1, 1]}"},
	{ALL, "%x: T[a, c], %y: T[a, 5]", "T[a, c + 5]", "concat %x, %y {axis=1}"},
	{"f32 i8", "%x: T[a, c], %y: T[1, c], %z: T[a, c]", "T[2*a + 1, c]", "concat %x, %y, %z"},
	{ALL, "%x: T[a, c]", "T[a + 3, c + 3]", "pad %x {pads_dim=[2, 1, 1, 2]}"},
	{"f32 i64", "%x: T[a, c]", "T[a, c + 4]", "pad %x {pads_dim=[0, 4, 0, 0], value=7}"},
	{"f32 u8 i64", "%x: T[a, c]", "T[a + 4, c + 7]", "pad %x {pads_dim=[2, 3, 2, 4], mode=edge}"},
	{"f32 i64", "%x: T[a, c]", "T[a, c + 4]", "pad %x {pads_dim=[0, 2, 0, 2], mode=reflect}"},
	{"f32 i32", "%x: T[a + 3, c]", "T[a + 7, c]", "pad %x {pads_dim=[2, 0, 2, 0], mode=reflect}"},
	{"i64 i32 f32", "%x: T[a]", "T[a]", "iota {start=5, step=3}"},
	{NULL, "%x: f32[a, c]", "i64[3]", "dims {values=[a, c, a*c + 1]}"},

	{ALL, "%x: T[7, c], %i: i64[a]", "T[a, c]", "gather %x, %i"},
	{"f32 i8", "%x: T[c + 1, 3], %i: i32[a, 2]", "T[a, 2, 3]", "gather %x, %i"},
	{"f32", "%x: T[a, c, 5], %i: i64[3]", "T[a, 3, 5]", "gather %x, %i {axis=1}"},
	{"f32 i64", "%x: T[a, 7], %i: i64[c]", "T[a, c]", "gather %x, %i {axis=1}"},
	{ALL, "%x: T[a, 7], %i: i64[a, c]", "T[a, c]", "gather_elements %x, %i {axis=1}"},
	{"f32", "%x: T[c, a], %i: i32[3, a]", "T[3, a]", "gather_elements %x, %i"},
	{"f32 u8", "%x: T[a, c, 5], %i: i64[4, 2]", "T[4, 5]", "gather_nd %x, %i"},
	{"f32 i64", "%x: T[a, 7, c], %i: i64[a, 2, 1]", "T[a, 2, c]", "gather_nd %x, %i {batch_dims=1}"},
	{NUMBERS " u16 u32 u64", "%x: T[a, c]", "i64[a, c]", "top_k %x {axis=1}"},
	{NUMBERS, "%x: T[a, 3, c]", "i64[min(a, 5), 3, c]", "top_k %x {largest=0}"},
	{"f32", "%x: T[a, c]", "i64[a, c/2]", "top_k %x {axis=1}"},
	{"i64 i32 u8", "%x: f32[2, a, 4], %i: T[2, a, c], %m: i64[], %t: f32[]", "bool[2, a, c]", "nms %x, %i, %m, %t"},
	{ALL, "%x: T[7, c], %i: i64[a, c], %u: T[a, c]", "T[7, c]", "scatter_elements %x, %i, %u"},
	{NUMBERS, "%x: T[a, 7], %i: i32[a, c], %u: T[a, c]", "T[a, 7]", "scatter_elements %x, %i, %u {axis=1, reduction=add}"},
	{"f32 f64 u8 i32", "%x: T[a + 1, c], %i: i64[a, 3], %u: T[a, 3]", "T[a + 1, c]",
	 "scatter_elements %x, %i, %u {axis=1, reduction=mul}"},
	{NUMBERS, "%x: T[7, 5], %i: i64[a, 2], %u: T[a]", "T[7, 5]", "scatter_nd %x, %i, %u {reduction=max}"},
	{ALL, "%x: T[7, c], %i: i64[a, 1], %u: T[a, c]", "T[7, c]", "scatter_nd %x, %i, %u"},
	{"f32 i16", "%x: T[7, 3, c], %i: i64[a, 2, 1], %u: T[a, 2, 3, c]", "T[7, 3, c]", "scatter_nd %x, %i, %u {reduction=min}"},
};

#undef REAL
#undef INTS
#undef NUMBERS
#undef ALL
#undef QKV
#undef SEEN

enum { OperatorText = 2048 };

/* Calls take(name, text) for each; all of them compile. */
typedef void TakeOperator(void *ctx, const char *name, const char *text);

static void give_operator(TakeOperator *take, void *ctx, const char *name, const char *params, const char *result,
                          const char *node)
{
	char text[OperatorText];
	snprintf(text, sizeof text,
	         "dcc-ir 1 stage import\nmodel %s #0000000000000000\nsym a in 0..\nsym c in 0..\n"
	         "func @main(%s) -> (y: %s) {\n%%0: %s = %s\nreturn %%0\n}\n",
	         name, params, result, result, node);
	take(ctx, name, text);
}

/* Text with T replaced, where it is a word. */
static const char *put_type(char *to, size_t size, const char *s, const char *type)
{
	size_t n = 0;
	for (; *s && n + 1 < size; s++)
		if (*s == 'T' && s[1] == '[')
			n += (size_t)snprintf(to + n, size - n, "%s", type);
		else
			to[n++] = *s;
	to[n < size ? n : size - 1] = 0;
	return to;
}

static void give_rows(TakeOperator *take, void *ctx)
{
	char params[400], result[100], name[64], type[8];

	for (size_t i = 0; i < sizeof operator_rows / sizeof *operator_rows; i++) {
		const OperatorRow *row = &operator_rows[i];
		const char *types = row->types ? row->types : "f32";
		int used = 0;
		for (; sscanf(types, "%7s%n", type, &used) == 1; types += used) {
			snprintf(name, sizeof name, "%.*s_%zu_%s", (int)strcspn(row->node, " "), row->node, i, type);
			give_operator(take, ctx, name, put_type(params, sizeof params, row->params, type),
			              put_type(result, sizeof result, row->result, type), row->node);
		}
	}
}

/* Elementwise: two full operands, or a row that is repeated. */
static void give_ewise(TakeOperator *take, void *ctx, Op op, DType t, DType out)
{
	static const char *const second[] = {"a, c", "c"};
	char params[200], result[40], node[80], name[64];
	const char *in = dtypes[t].text;

	for (int k = 0; k < (ops[op].nin > 1 && dtypes[t].cls != ClassSigned ? 2 : 1); k++) {
		snprintf(name, sizeof name, "%s_%s_%s%s", ops[op].text, in, dtypes[out].text, k ? "_row" : "");
		snprintf(params, sizeof params, "%s%%x: %s[a, c]%s%s%s%s%s", op == OpWhere ? "%b: bool[a, 1], " : "", in,
		         ops[op].nin > 1 ? ", %y: " : "", ops[op].nin > 1 ? in : "", ops[op].nin > 1 ? "[" : "",
		         ops[op].nin > 1 ? second[k] : "", ops[op].nin > 1 ? "]" : "");
		snprintf(result, sizeof result, "%s[a, c]", dtypes[out].text);
		snprintf(node, sizeof node, "%s %s%%x%s%s", ops[op].text, op == OpWhere ? "%b, " : "", ops[op].nin > 1 ? ", %y" : "",
		         op == OpClip ? " {lo=1, hi=3}" : "");
		give_operator(take, ctx, name, params, result, node);
	}
}

/* What small types do besides being cast to and from f32, they do as the types that they are widened to. */
static bool has_code(Op op, DType t, DType out)
{
	bool small = dtypes[t].bits < 8 || dtypes[out].bits < 8 || is_tiny(t) || is_tiny(out);
	if (small && op != OpWhere && op != OpBitCast && (op != OpCast || (t != F32 && out != F32)))
		return false;
	return is_among(t, ops[op].takes) && (ops[op].code != CodeF32 || t == F32) &&
	       (ops[op].code != CodeFlt || dtypes[t].cls == ClassFloat);
}

static bool same_width(DType a, DType b)
{
	return a != b && a != Bool && b != Bool && dtypes[a].bits == dtypes[b].bits;
}

static void give_operators(TakeOperator *take, void *ctx)
{
	for (Op op = 0; op < NOps; op++)
		for (DType t = 0; t < NDTypes && ops[op].cls == ClsEwise; t++) {
			bool to_bool = op == OpEq || op == OpLt || op == OpLe || op == OpIsNaN;
			for (DType out = 0; out < NDTypes; out++)
				if (has_code(op, t, out) && (op == OpCast ? t != out : op == OpBitCast ? same_width(t, out) : out == (to_bool ? Bool : t)))
					give_ewise(take, ctx, op, t, out);
		}
	give_rows(take, ctx);
}

#endif
