/* import_math.c - elementwise operators that one line of text cannot say. */
#include "build.h"
#include "import.h"

#include <math.h>

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
	Value *rounded = emit1(c, OpNot, emit2(c, OpEq, emit2(c, OpIMod, a, b), zero));
	Value *negative = emit2(c, OpXor, emit2(c, OpLt, a, zero), emit2(c, OpLt, b, zero));
	Value *above = emit2(c, OpAdd, floor, emit_const(c, a->type.dtype, 1));
	c->out[0] = emit3(c, OpWhere, emit2(c, OpAnd, rounded, negative), above, floor);
}

/* With the sign of the divisor, for integers: of floats, a quotient that does not fit the mantissa has no exact remainder in
 * one step. */
void import_mod(Call *c)
{
	if (dtypes[c->in[0]->type.dtype].cls == ClassFloat)
		fatal_at(c->loc, "not supported: the remainder of floating-point numbers");
	c->out[0] = emit2(c, OpIMod, c->in[0], c->in[1]);
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
	Scalar limit[2] = {scalar_of_real(dtype, onnx_float(c, "min", -INFINITY)), scalar_of_real(dtype, onnx_float(c, "max", INFINITY))};
	bool constant = dtypes[dtype].cls == ClassFloat;
	for (int i = 0; i < 2; i++) {
		bound[i] = i + 1 < c->nin ? c->in[i + 1] : NULL;
		if (bound[i] && !dim_equals(type_numel(c->m, &bound[i]->type), 1))
			fatal_at(c->loc, "a bound is not a scalar");
		if (bound[i])
			constant &= value_as_scalar(bound[i], &limit[i]);
	}
	if (constant) {
		Attr attrs[2] = {mk_scalar(Attr_lo, limit[0]), mk_scalar(Attr_hi, limit[1])};
		c->out[0] = emit(c, OpClip, 1, &x, 2, attrs, NULL);
		return;
	}
	for (int i = 0; i < 2; i++)
		if (bound[i])
			x = emit2(c, i ? OpMin : OpMax, x, emit_reshape(c, bound[i], 0, NULL));
	c->out[0] = x;
}

void import_bit_shift(Call *c)
{
	if (!has_attr(c, "direction"))
		fatal_at(c->loc, "attribute 'direction' is missing");
	c->out[0] = emit2(c, onnx_word(c, "direction", "LEFT") ? OpShl : OpShr, c->in[0], c->in[1]);
}

void import_is_inf(Call *c)
{
	Value *x = c->in[0], *up = emit2(c, OpEq, x, emit_const(c, x->type.dtype, INFINITY));
	Value *down = emit2(c, OpEq, x, emit_const(c, x->type.dtype, -INFINITY));
	bool positive = onnx_int(c, "detect_positive", 1), negative = onnx_int(c, "detect_negative", 1);
	c->out[0] = positive == negative ? emit2(c, positive ? OpOr : OpAnd, up, down) : positive ? up : down;
}

void import_gelu(Call *c)
{
	c->out[0] = emit1(c, onnx_word(c, "approximate", "tanh") ? OpGeluTanh : OpGelu, c->in[0]);
}

/* Does the node keep every element?  In inference, or if it drops none. */
static bool keeps_all(Call *c)
{
	double training = 0, ratio = 0.5;
	if (c->opset < 7)
		return onnx_int(c, "is_test", 0) || onnx_float(c, "ratio", 0.5) == 0;
	if (c->nin < 3 || !c->in[2] || (constant_fill(c->in[2], &training) && training == 0))
		return true;
	return (!c->in[1] || constant_fill(c->in[1], &ratio)) && ratio == 0;
}

/* The mask says of each element that it was kept. */
void import_dropout(Call *c)
{
	Value *x = c->in[0];
	if (!keeps_all(c))
		fatal_at(c->loc, "not supported: training mode");
	c->out[0] = x;
	if (c->nout > 1 && c->wanted[1])
		c->out[1] = emit_expand(c, emit_const(c, c->opset < 10 ? x->type.dtype : Bool, 1), x->type.rank, x->type.dims);
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
