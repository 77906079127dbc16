/* import_qlinear.c - com.microsoft's operators on quantised tensors: what they do is said of real values, so operands are dequantised and the
 * result is quantised.  Of products emit_product() makes those of bytes again. */
#include "build.h"
#include "import.h"

#include <string.h>

/* Operands at, at + 1, at + 2: elements, scale, zero point. */
static Value *real(Call *c, int at)
{
	return dequantise(c, c->in[at], c->in[at + 1], input(c, at + 2), -1);
}

/* The result, as operands at and at + 1, a scale and a zero point, say; without one it is of `dflt`. */
static void finish(Call *c, Value *x, int at, DType dflt)
{
	Value *zero = input(c, at + 1);
	c->out[0] = quantise(c, x, c->in[at], zero, zero ? zero->type.dtype : dflt);
}

static void binary(Call *c, Op op)
{
	finish(c, emit2(c, op, real(c, 0), real(c, 3)), 6, c->in[0]->type.dtype);
}

void import_qlinear_add(Call *c)
{
	binary(c, OpAdd);
}

void import_qlinear_mul(Call *c)
{
	binary(c, OpMul);
}

void import_qlinear_where(Call *c)
{
	finish(c, emit3(c, OpWhere, c->in[0], real(c, 1), real(c, 4)), 7, c->in[1]->type.dtype);
}

void import_qlinear_sigmoid(Call *c)
{
	finish(c, emit1(c, OpSigmoid, real(c, 0)), 3, c->in[0]->type.dtype);
}

void import_qlinear_leaky_relu(Call *c)
{
	Value *x = real(c, 0), *low = emit2(c, OpMul, x, emit_const(c, x->type.dtype, onnx_float(c, "alpha", 0.01)));
	finish(c, emit3(c, OpWhere, emit2(c, OpLt, x, emit_const(c, x->type.dtype, 0)), low, x), 3, c->in[0]->type.dtype);
}

static void by(Call *c, void (*import)(Call *))
{
	Value *x = real(c, 0);
	finish(c, import_as(c, import, 1, &x), 3, c->in[0]->type.dtype);
}

void import_qlinear_average_pool(Call *c)
{
	by(c, import_average_pool);
}

void import_qlinear_global_average_pool(Call *c)
{
	by(c, import_global_average_pool);
}

/* Of an opset before 13: over all axes from `axis` on. */
void import_qlinear_softmax(Call *c)
{
	Value *x = real(c, 0);
	const Type t = x->type;
	const bool flat = onnx_int(c, "opset", 13) < 13;
	int axis = norm_axis(c, onnx_int(c, "axis", flat ? 1 : -1), t.rank);
	if (flat) {
		const Dim *dims[MaxRank];
		memcpy(dims, t.dims, axis * sizeof *dims);
		dims[axis] = product(c->m, t.dims + axis, t.rank - axis);
		x = emit_reshape(c, x, axis + 1, dims);
	}
	Attr attr = mk_int(Attr_axis, axis);
	x = emit(c, OpSoftmax, 1, &x, 1, &attr, NULL);
	finish(c, emit_reshape(c, x, t.rank, t.dims), 3, c->in[0]->type.dtype);
}

void import_qlinear_concat(Call *c)
{
	enum { First = 2, Each = 3 };
	const int n = (c->nin - First) / Each;
	if (c->nin < First + Each || c->nin != First + n * Each)
		fatal_at(c->loc, "%d inputs, expected a scale, a zero point and three for each operand", c->nin);
	Value **in = arena_alloc(c->m->arena, (size_t)n * sizeof *in);
	for (int i = 0; i < n; i++)
		in[i] = real(c, First + i * Each);
	finish(c, import_as(c, import_concat, n, in), 0, c->in[First]->type.dtype);
}

/* C's scale is that of the product. */
void import_qgemm(Call *c)
{
	const bool swaps = onnx_int(c, "transB", 0);
	Value *in[3] = {real(c, 0), dequantise(c, c->in[3], c->in[4], input(c, 5), swaps ? 0 : 1), input(c, 6)};
	if (in[2]) {
		Value *scale = emit2(c, OpMul, c->in[1], c->in[4]);
		in[2] = emit2(c, OpMul, emit_cast(c, in[2], F32), emit2(c, OpMul, scale, emit_const(c, F32, onnx_float(c, "alpha", 1))));
	}
	Value *y = import_as(c, import_gemm, 3, in);
	if (input(c, 7))
		finish(c, y, 7, c->in[0]->type.dtype);
	else
		c->out[0] = y;
}

/* Attention on a quantised operand and weights: its results are real. */
void import_qattention(Call *c)
{
	Value *in[5] = {dequantise(c, c->in[0], c->in[3], input(c, 6), -1), dequantise(c, c->in[1], c->in[4], input(c, 7), c->in[1]->type.rank - 1),
	                c->in[2], input(c, 5), input(c, 8)};
	Call call = *c;
	call.nin = 5;
	call.in = in;
	import_packed_attention(&call);
}

void import_matmul_integer_to_float(Call *c)
{
	Value *b = c->in[1], *bias = input(c, 6);
	Value *in[2] = {dequantise(c, c->in[0], c->in[2], input(c, 4), -1), dequantise(c, b, c->in[3], input(c, 5), b->type.rank - 1)};
	Value *y = import_as(c, import_matmul, 2, in);
	c->out[0] = bias ? emit2(c, OpAdd, y, bias) : y;
}
