/* import_math.c - elementwise operators and reductions that one line of text cannot say. */
#include "import.h"

#include <math.h>
#include <string.h>

/* ---- elementwise ----------------------------------------------------------------------------------------------- */

/* ONNX rounds an integer quotient toward zero.  A model that divides sizes means them as counts, so a size that may be
 * negative becomes a run-time check. */
static const Dim *quotient(Call *c, const Dim *a, const Dim *b)
{
	Module *m = c->m;
	int64_t lo, hi, x, y;
	if (dim_equals(b, 0))
		fatal_at(c->loc, "division by zero");
	if (dim_is_const(a, &x) && dim_is_const(b, &y))
		return dim_const(m, y == -1 ? -(uint64_t)x : (uint64_t)(x / y));
	dim_range(b, &lo, &hi);
	if (hi < 0)
		return dim_mul_const(m, quotient(c, a, dim_mul_const(m, b, -1)), -1);
	const Dim *q;
	if (dim_exact_div(m, a, b, &q))
		return q;
	dim_range(a, &lo, &hi);
	if (hi < 0)
		return dim_mul_const(m, divide_dims(c, dim_mul_const(m, a, -1), b), -1);
	require_at_least(c, a, 0);
	return divide_dims(c, a, b);
}

/* Both known and of equal size, or one a scalar. */
static void know_quotient(Call *c, Value *out, Value *a, Value *b)
{
	int na, nb;
	const Dim *const *ka = known_dims(c, a, &na), *const *kb = known_dims(c, b, &nb);
	int n = na > nb ? na : nb;
	if (!ka || !kb || !na || !nb || (na != n && na != 1) || (nb != n && nb != 1) || n > MaxKnown)
		return;
	const Dim **known = arena_alloc(c->m->arena, n * sizeof *known);
	for (int i = 0; i < n; i++)
		known[i] = quotient(c, ka[na == 1 ? 0 : i], kb[nb == 1 ? 0 : i]);
	out->known = known;
}

void import_div(Call *c)
{
	Value *a = c->in[0], *b = c->in[1];
	DClass cls = dtypes[a->type.dtype].cls;
	if (cls != ClassSigned && cls != ClassUnsigned) {
		c->out[0] = emit2(c, OpDiv, a, b);
		return;
	}
	Value *floor = emit2(c, OpIDiv, a, b);
	know_quotient(c, floor, a, b);
	c->out[0] = floor;
	if (floor->known || cls == ClassUnsigned)
		return;
	Value *zero = emit_const(c, a->type.dtype, 0);
	Value *size = emit2(c, OpIDiv, emit1(c, OpAbs, a), emit1(c, OpAbs, b));
	Value *negative = emit2(c, OpXor, emit2(c, OpLt, a, zero), emit2(c, OpLt, b, zero));
	c->out[0] = emit3(c, OpWhere, negative, emit1(c, OpNeg, size), size);
}

/* The result has the type of the base; a fractional exponent of an integer base is computed in floating point. */
void import_pow(Call *c)
{
	Value *base = c->in[0], *exponent = c->in[1];
	DType dtype = base->type.dtype;
	bool real = dtypes[exponent->type.dtype].cls == ClassFloat;
	if (real && dtypes[dtype].cls != ClassFloat)
		c->out[0] = emit_cast(c, emit2(c, OpPow, emit_cast(c, base, exponent->type.dtype), exponent), dtype);
	else
		c->out[0] = emit2(c, OpPow, base, emit_cast(c, exponent, dtype));
}

/* Constant bounds of a floating tensor are attributes; others are max and min. */
void import_clip(Call *c)
{
	Value *x = c->in[0], *bound[2];
	DType dtype = x->type.dtype;
	double limit[2] = {onnx_float(c, "min", -INFINITY), onnx_float(c, "max", INFINITY)};
	bool constant = dtypes[dtype].cls == ClassFloat;
	for (int i = 0; i < 2; i++) {
		bound[i] = i + 1 < c->nin ? c->in[i + 1] : NULL;
		if (bound[i] && !dim_equals(type_numel(c->m, &bound[i]->type), 1))
			fatal_at(c->loc, "a bound is not a scalar");
		if (bound[i])
			constant &= value_as_scalar(bound[i], &limit[i]);
	}
	if (constant) {
		Attr attrs[2] = {mk_float(Attr_lo, limit[0]), mk_float(Attr_hi, limit[1])};
		c->out[0] = emit(c, OpClip, 1, &x, 2, attrs, NULL);
		return;
	}
	for (int i = 0; i < 2; i++)
		if (bound[i])
			x = emit2(c, i ? OpMin : OpMax, x, emit_reshape(c, bound[i], 0, NULL));
	c->out[0] = x;
}

void import_gelu(Call *c)
{
	c->out[0] = emit1(c, onnx_word(c, "approximate", "tanh") ? OpGeluTanh : OpGelu, c->in[0]);
}

void import_dropout(Call *c)
{
	double training = 0;
	if (c->nin > 2 && c->in[2] && (!constant_fill(c->in[2], &training) || training != 0))
		fatal_at(c->loc, "not supported: training mode");
	c->out[0] = c->in[0];
}

static void fold_inputs(Call *c, Op op)
{
	Value *v = c->in[0];
	for (int i = 1; i < c->nin; i++) {
		if (!c->in[i])
			fatal_at(c->loc, "input %d is missing", i);
		v = emit2(c, op, v, c->in[i]);
	}
	c->out[0] = v;
}

void import_sum(Call *c)
{
	fold_inputs(c, OpAdd);
}

void import_max(Call *c)
{
	fold_inputs(c, OpMax);
}

void import_min(Call *c)
{
	fold_inputs(c, OpMin);
}

void import_mean(Call *c)
{
	fold_inputs(c, OpAdd);
	c->out[0] = emit2(c, OpDiv, c->out[0], emit_const(c, c->in[0]->type.dtype, c->nin));
}

/* ---- reductions ------------------------------------------------------------------------------------------------ */

/* The axes to reduce; all of them if none is listed and the node does not say noop. */
static int reduced_axes(Call *c, int64_t *axes)
{
	int rank = c->in[0]->type.rank, n = norm_axes(c, "axes", 1, rank, axes);
	if (n > 0 || (c->opset >= 13 && onnx_int(c, "noop_with_empty_axes", 0)))
		return n > 0 ? n : 0;
	for (int i = 0; i < rank; i++)
		axes[i] = i;
	return rank;
}

static const Dim *fold_dims(Module *m, Op op, const Dim *a, const Dim *b)
{
	switch (op) {
	case OpSum: return dim_add(m, a, b);
	case OpReduceMax: return dim_max(m, a, b);
	case OpReduceMin: return dim_min(m, a, b);
	default: return dim_mul(m, a, b);
	}
}

/* A reduction of known elements to one; OpMul stands for the product, which the IR lacks.  NULL: not that simple. */
static Value *reduce_known(Call *c, Op op, int naxis, bool keepdims)
{
	Value *x = c->in[0];
	int n;
	const Dim *const *known = known_dims(c, x, &n), *one = dim_const(c->m, 1), *ones[MaxRank];
	if (x->type.dtype != I64 || naxis != x->type.rank || !known || !n)
		return NULL;
	const Dim *d = known[0];
	for (int i = 1; i < n; i++)
		d = fold_dims(c->m, op, d, known[i]);
	for (int i = 0; i < MaxRank; i++)
		ones[i] = one;
	return emit_reshape(c, emit_dims(c, 0, 1, &d), keepdims ? x->type.rank : 0, ones);
}

static void import_reduce(Call *c, Op op)
{
	int64_t axes[MaxRank];
	int n = reduced_axes(c, axes);
	bool keepdims = onnx_int(c, "keepdims", 1);
	if (op != OpMean)
		c->out[0] = reduce_known(c, op, n, keepdims);
	if (!c->out[0] && op == OpMul)
		fatal_at(c->loc, "not supported: a product of elements that depend on the data");
	if (!c->out[0])
		c->out[0] = emit_reduce(c, op, c->in[0], n, axes, keepdims);
}

void import_reduce_sum(Call *c)
{
	import_reduce(c, OpSum);
}

void import_reduce_mean(Call *c)
{
	import_reduce(c, OpMean);
}

void import_reduce_max(Call *c)
{
	import_reduce(c, OpReduceMax);
}

void import_reduce_min(Call *c)
{
	import_reduce(c, OpReduceMin);
}

void import_reduce_prod(Call *c)
{
	import_reduce(c, OpMul);
}

/* sum(prepared), over the axes that the node lists */
static Value *reduce_sum_of(Call *c, Value *prepared)
{
	int64_t axes[MaxRank];
	int n = reduced_axes(c, axes);
	return emit_reduce(c, OpSum, prepared, n, axes, onnx_int(c, "keepdims", 1));
}

void import_reduce_l1(Call *c)
{
	c->out[0] = reduce_sum_of(c, emit1(c, OpAbs, c->in[0]));
}

void import_reduce_sum_square(Call *c)
{
	c->out[0] = reduce_sum_of(c, emit2(c, OpMul, c->in[0], c->in[0]));
}

void import_reduce_l2(Call *c)
{
	import_reduce_sum_square(c);
	c->out[0] = emit1(c, OpSqrt, c->out[0]);
}

void import_reduce_log_sum(Call *c)
{
	c->out[0] = emit1(c, OpLog, reduce_sum_of(c, c->in[0]));
}

/* log(sum(exp(x - m))) + m with m the maximum, or 0 where that is infinite. */
void import_reduce_log_sum_exp(Call *c)
{
	int64_t axes[MaxRank];
	int n = reduced_axes(c, axes);
	Value *x = c->in[0], *zero = emit_const(c, x->type.dtype, 0), *inf = emit_const(c, x->type.dtype, INFINITY);
	Value *most = emit_reduce(c, OpReduceMax, x, n, axes, true);
	Value *m = emit3(c, OpWhere, emit2(c, OpEq, emit1(c, OpAbs, most), inf), zero, most);
	Value *sum = emit_reduce(c, OpSum, emit1(c, OpExp, emit2(c, OpSub, x, m)), n, axes, true);
	Value *v = emit2(c, OpAdd, emit1(c, OpLog, sum), m);
	const Dim *dims[MaxRank];
	int rank = 0;
	for (int i = 0, next = 0; i < x->type.rank; i++) {
		bool gone = next < n && axes[next] == i;
		next += gone;
		if (!gone)
			dims[rank++] = x->type.dims[i];
	}
	c->out[0] = onnx_int(c, "keepdims", 1) ? v : emit_reshape(c, v, rank, dims);
}

/* ---- softmax --------------------------------------------------------------------------------------------------- */

/* Below opset 13 a softmax works on [axes before, axes from `axis` on].  Calls build() on that form and undoes it. */
static Value *rowwise(Call *c, Value *(*row)(Call *, Value *, int axis))
{
	Value *x = c->in[0];
	Type type = x->type;
	double fill;
	if (constant_fill(x, &fill) && fill == -INFINITY)
		fatal_at(c->loc,
		         "the operand is constant -inf: the exporter has dropped an in-place write to it, so the "
		                 "model computes something else than its source");
	int axis = norm_axis(c, onnx_int(c, "axis", c->opset < 13 ? 1 : -1), type.rank);
	if (c->opset >= 13 || axis == type.rank - 1)
		return row(c, x, axis);
	const Dim *flat[2] = {product(c->m, type.dims, axis), product(c->m, type.dims + axis, type.rank - axis)};
	return emit_reshape(c, row(c, emit_reshape(c, x, 2, flat), 1), type.rank, type.dims);
}

static Value *softmax_row(Call *c, Value *x, int axis)
{
	Attr a = mk_int(Attr_axis, axis);
	return emit(c, OpSoftmax, 1, &x, 1, &a, NULL);
}

static Value *log_softmax_row(Call *c, Value *x, int axis)
{
	int64_t axes[1] = {axis};
	Value *centred = emit2(c, OpSub, x, emit_reduce(c, OpReduceMax, x, 1, axes, true));
	Value *sum = emit_reduce(c, OpSum, emit1(c, OpExp, centred), 1, axes, true);
	return emit2(c, OpSub, centred, emit1(c, OpLog, sum));
}

void import_softmax(Call *c)
{
	c->out[0] = rowwise(c, softmax_row);
}

void import_log_softmax(Call *c)
{
	c->out[0] = rowwise(c, log_softmax_row);
}
