/* import_ort.c - operators of the domain com.microsoft, which onnxruntime's optimisers put in the place of what they recognise. */
#include "build.h"
#include "import.h"

#include <math.h>
#include <string.h>

static Value *operand(const Call *c, int i)
{
	return i < c->nin ? c->in[i] : NULL;
}

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
	c->out[0] = activate(c, plus(c, v, operand(c, 3)));
}

/* A is quantised as DynamicQuantizeLinear does; the product is scaled back. */
void import_dynamic_matmul(Call *c)
{
	Value *quantised[3], *b = c->in[1], *scale = c->in[2];
	dynamic_quantize(c, c->in[0], quantised);
	Value *in[4] = {quantised[0], b, quantised[2], operand(c, 3)};
	Value *sum = emit_cast(c, import_as(c, import_matmul_integer, 4, in), scale->type.dtype);
	c->out[0] = plus(c, emit2(c, OpMul, sum, emit2(c, OpMul, quantised[1], scale)), operand(c, 4));
}

/* ---- activations -------------------------------------------------------------------------------------------------- */

void import_fast_gelu(Call *c)
{
	c->out[0] = emit1(c, OpGeluTanh, plus(c, c->in[0], operand(c, 1)));
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
	skip_norm(c, OpNorm, operand(c, 3), operand(c, 4));
}

void import_skip_rms_norm(Call *c)
{
	skip_norm(c, OpRmsNorm, NULL, operand(c, 3));
}

static Value *look_up(Call *c, Value *table, Value *ids)
{
	Attr axis = mk_int(Attr_axis, 0);
	return emit(c, OpGather, 2, (Value *[]){table, ids}, 1, &axis, NULL);
}

/* Words, positions and segments, normalised; the mask's sum along the tokens, or 0. */
void import_embed_layer_norm(Call *c)
{
	Value *ids = c->in[0], *segments = operand(c, 1), *positions = operand(c, 3), *mask = operand(c, 7), *places = operand(c, 8);
	if (ids->type.rank != 2 || (segments && !operand(c, 4)) || !operand(c, 2) || !positions || !operand(c, 5) || !operand(c, 6))
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

/* ---- attention ---------------------------------------------------------------------------------------------------- */

/* [batch, tokens, heads * width] as [batch, tokens, heads, width] */
static Value *heads_of(Call *c, Value *v)
{
	int64_t heads = onnx_int(c, "num_heads", 0);
	const Dim *width, *const *d = v->type.dims;
	if (v->type.rank != 3 || heads < 1 || heads > DimMax || !dim_exact_div(c->m, d[2], num(c, heads), &width))
		fatal_at(c->loc, "not supported: %s with %lld heads", type_text(c->m, &v->type), (long long)heads);
	return emit_reshape(c, v, 4, (const Dim *[]){d[0], d[1], num(c, heads), width});
}

/* A mask over [batch, heads, queries, keys] that adds the fill value where the model's integers say "not seen": one for each key
 * of a batch, for each pair of query and key, or the number of keys seen. */
static Value *mask_of(Call *c, Value *mask, Value *more, const Dim *keys, DType dtype)
{
	if (!mask)
		return more;
	const Dim *const *d = mask->type.dims, *one = num(c, 1);
	if (mask->type.rank < 1 || mask->type.rank > 3)
		fatal_at(c->loc, "not supported: a mask %s", type_text(c->m, &mask->type));
	const Dim *dims[4] = {d[0], one, mask->type.rank == 3 ? d[1] : one, mask->type.rank == 1 ? one : d[mask->type.rank - 1]};
	Value *v = emit_reshape(c, mask, 4, dims), *none = emit_const(c, v->type.dtype, 0);
	Value *hidden = mask->type.rank == 1 ? emit2(c, OpLe, emit_cast(c, v, I64), count_along(c, keys, 4, 3)) : emit2(c, OpEq, v, none);
	Value *fill = emit_const(c, dtype, onnx_float(c, "mask_filter_value", -10000));
	return plus(c, emit3(c, OpWhere, hidden, fill, emit_const(c, dtype, 0)), more);
}

/* in: q, k, v as [batch, tokens, heads, width], the mask or NULL. */
static Value *attend(Call *c, Value **in)
{
	int64_t width;
	const Dim *const *d = in[0]->type.dims;
	if (!dim_is_const(d[3], &width) && !has_attr(c, "scale"))
		fatal_at(c->loc, "not supported: a symbolic head width without the attribute 'scale'");
	double scale = onnx_float(c, "scale", 0);
	Attr attrs[2] = {mk_float(Attr_scale, scale != 0 ? scale : 1 / sqrt((double)width)), mk_int(Attr_right, onnx_int(c, "unidirectional", 0) ? 0 : -1)};
	Value *y = emit(c, OpAttention, in[3] ? 4 : 3, in, 2, attrs, NULL);
	const Dim *const *r = y->type.dims;
	return emit_reshape(c, y, 3, (const Dim *[]){r[0], r[1], dim_mul(c->m, r[2], r[3])});
}

/* The thirds of x * weights + bias are queries, keys and values. */
void import_packed_attention(Call *c)
{
	Value *all = plus(c, import_as(c, import_matmul, 2, c->in), operand(c, 2)), *in[4];
	const Dim *third;
	if (all->type.rank != 3 || !dim_exact_div(c->m, all->type.dims[2], num(c, 3), &third))
		fatal_at(c->loc, "not supported: queries, keys and values in %s", type_text(c->m, &all->type));
	for (int i = 0; i < 3; i++)
		in[i] = heads_of(c, emit_range(c, all, 2, dim_mul_const(c->m, third, i), third, 1));
	in[3] = mask_of(c, operand(c, 3), operand(c, 5), in[1]->type.dims[1], all->type.dtype);
	c->out[0] = attend(c, in);
}

void import_multi_head_attention(Call *c)
{
	Value *in[4], *bias = operand(c, 3);
	const Dim *start = num(c, 0);
	if (bias && bias->type.rank != 1)
		fatal_at(c->loc, "the bias has rank %d, expected 1", bias->type.rank);
	for (int i = 0; i < 3; i++) {
		Value *v = operand(c, i);
		if (!v || v->type.rank != 3)
			fatal_at(c->loc, "not supported: packed or missing keys and values");
		if (bias)
			v = emit2(c, OpAdd, v, emit_range(c, bias, 0, start, v->type.dims[2], 1));
		start = dim_add(c->m, start, v->type.dims[2]);
		in[i] = heads_of(c, v);
	}
	if (bias)
		require_equal(c, bias->type.dims[0], start, "elements of the bias");
	in[3] = mask_of(c, operand(c, 4), operand(c, 5), in[1]->type.dims[1], in[0]->type.dtype);
	c->out[0] = attend(c, in);
}

/* The standard's operator with its inputs in another order; one position is that of the first token. */
void import_ort_rotary(Call *c)
{
	Value *x = c->in[0], *at = c->in[1];
	if (x->type.rank != 3 && x->type.rank != 4)
		fatal_at(c->loc, "the operand has rank %d", x->type.rank);
	if (at->type.rank == 1) {
		const Dim *dims[2] = {x->type.dims[0], x->type.dims[x->type.rank == 3 ? 1 : 2]};
		Value *count = emit_iota(c, I64, dims[1], num(c, 0), num(c, 1));
		at = emit_expand(c, emit2(c, OpAdd, emit_cast(c, at, I64), count), 2, dims);
	}
	c->out[0] = import_as(c, import_rotary_embedding, 4, (Value *[]){x, c->in[2], c->in[3], at});
}
