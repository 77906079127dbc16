/* import_ort.c - operators of the domain com.microsoft, which onnxruntime's optimisers put in the place of what they recognise. */
#include "build.h"
#include "import.h"

#include <math.h>
#include <string.h>

static Value *plus(Call *c, Value *x, Value *y)
{
	return y ? emit2(c, OpAdd, x, y) : x;
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

void import_fused_matmul(Call *c)
{
	Value *in[2];
	for (int i = 0; i < 2; i++) {
		bool swaps = onnx_int(c, i ? "transB" : "transA", 0) && c->in[i]->type.rank > 1;
		in[i] = swaps ? emit_swap(c, c->in[i]) : c->in[i];
	}
	Value *v = import_as(c, import_matmul, 2, in);
	double alpha = onnx_float(c, "alpha", 1);
	c->out[0] = alpha == 1 ? v : emit2(c, OpMul, v, emit_const(c, v->type.dtype, alpha));
}

/* What the optimisers fuse behind a convolution, with the parameters of its attributes in order. */
static Value *activate(Call *c, Value *x)
{
	static const struct {
		const char *name;
		Op op;
	} plain[] = {{"Relu", OpRelu}, {"Tanh", OpTanh}, {"Sigmoid", OpSigmoid}};
	const OnnxAttr *params = onnx_attr(c, "activation_params");
	double p[2] = {0, 0};
	for (size_t i = 0; params && i < params->n_floats && i < 2; i++)
		p[i] = params->floats[i];
	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
		if (onnx_word(c, "activation", plain[i].name))
			return emit1(c, plain[i].op, x);
	DType t = x->type.dtype;
	if (onnx_word(c, "activation", "LeakyRelu"))
		return emit3(c, OpWhere, emit2(c, OpLt, x, emit_const(c, t, 0)), emit2(c, OpMul, x, emit_const(c, t, p[0])), x);
	bool hard = onnx_word(c, "activation", "HardSigmoid");
	if (!hard && !onnx_word(c, "activation", "Clip"))
		return x;
	if (hard)
		x = emit2(c, OpAdd, emit2(c, OpMul, x, emit_const(c, t, p[0])), emit_const(c, t, p[1]));
	Attr bounds[2] = {mk_scalar(Attr_lo, scalar_of_real(t, hard ? 0 : p[0])), mk_scalar(Attr_hi, scalar_of_real(t, hard ? 1 : p[1]))};
	return emit(c, OpClip, 1, &x, 2, bounds, NULL);
}

void import_fused_conv(Call *c)
{
	Value *v = import_as(c, import_conv, c->nin < 3 ? c->nin : 3, c->in);
	c->out[0] = activate(c, plus(c, v, input(c, 3)));
}

/* A is quantised as DynamicQuantizeLinear does; the product is scaled back. */
void import_dynamic_matmul(Call *c)
{
	Value *quantised[3], *b = c->in[1], *scale = c->in[2];
	dynamic_quantize(c, c->in[0], quantised);
	Value *in[4] = {quantised[0], b, quantised[2], input(c, 3)};
	Value *sum = emit_cast(c, import_as(c, import_matmul_integer, 4, in), scale->type.dtype);
	c->out[0] = plus(c, emit2(c, OpMul, sum, emit2(c, OpMul, quantised[1], scale)), input(c, 4));
}

/* ---- activations -------------------------------------------------------------------------------------------------- */

void import_fast_gelu(Call *c)
{
	c->out[0] = emit1(c, OpGeluTanh, plus(c, c->in[0], input(c, 1)));
}

/* ---- normalisation ------------------------------------------------------------------------------------------------ */

/* Over the last axis; the statistics are not computed here. */
static Value *normalise(Call *c, Op op, Value *x, Value *scale, Value *bias)
{
	if (!x->type.rank)
		fatal_at(c->loc, "the operand is a scalar");
	Attr attrs[2] = {mk_int(Attr_axis, x->type.rank - 1), mk_float(Attr_eps, onnx_float(c, "epsilon", 1e-12))};
	return emit(c, op, bias ? 3 : 2, (Value *[]){x, scale, bias}, 2, attrs, NULL);
}

static void skip_norm(Call *c, Op op, Value *bias, Value *more)
{
	Value *sum = plus(c, emit2(c, OpAdd, c->in[0], c->in[1]), more);
	c->out[0] = normalise(c, op, sum, c->in[2], bias);
	if (c->nout > 3)
		c->out[3] = sum;
}

void import_skip_layer_norm(Call *c)
{
	skip_norm(c, OpNorm, input(c, 3), input(c, 4));
}

void import_skip_rms_norm(Call *c)
{
	skip_norm(c, OpRmsNorm, NULL, input(c, 3));
}

static Value *look_up(Call *c, Value *table, Value *ids)
{
	Attr axis = mk_int(Attr_axis, 0);
	return emit(c, OpGather, 2, (Value *[]){table, ids}, 1, &axis, NULL);
}

/* Words, positions and segments, normalised; the mask's sum along the tokens, or 0. */
void import_embed_layer_norm(Call *c)
{
	Value *ids = c->in[0], *segments = input(c, 1), *positions = input(c, 3), *mask = input(c, 7), *places = input(c, 8);
	if (ids->type.rank != 2 || (segments && !input(c, 4)) || !input(c, 2) || !positions || !input(c, 5) || !input(c, 6))
		fatal_at(c->loc, "the ids have rank %d, or an input is missing", ids->type.rank);
	const Dim *batch = ids->type.dims[0], *tokens = ids->type.dims[1];
	if (!places)
		places = emit_iota(c, I64, tokens, num(c, 0), num(c, 1));
	Value *sum = emit2(c, OpAdd, look_up(c, c->in[2], ids), look_up(c, positions, places));
	if (segments)
		sum = emit2(c, OpAdd, sum, look_up(c, c->in[4], segments));
	c->out[0] = normalise(c, OpNorm, sum, c->in[5], c->in[6]);
	if (c->nout > 1)
		c->out[1] = mask ? emit_reduce(c, OpSum, emit_cast(c, mask, I32), 1, (int64_t[]){1}, false)
		                 : emit_expand(c, emit_const(c, I32, 0), 1, &batch);
	if (c->nout > 2)
		c->out[2] = sum;
}
