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

/* A remainder with the sign of the divisor, from one with that of the dividend; 0 too has the divisor's sign. */
static Value *floor_remainder(Call *c, Value *rest, Value *divisor)
{
	Value *zero = emit_const(c, rest->type.dtype, 0), *negative = emit2(c, OpLt, divisor, zero);
	Value *other = emit2(c, OpXor, emit2(c, OpLt, rest, zero), negative);
	Value *none = emit3(c, OpWhere, negative, emit_const(c, rest->type.dtype, -0.0), zero);
	return emit3(c, OpWhere, emit2(c, OpEq, rest, zero), none, emit3(c, OpWhere, other, emit2(c, OpAdd, rest, divisor), rest));
}

/* The other way round, for integers. */
static Value *trunc_remainder(Call *c, Value *rest, Value *dividend, Value *divisor)
{
	Value *zero = emit_const(c, rest->type.dtype, 0), *some = emit1(c, OpNot, emit2(c, OpEq, rest, zero));
	Value *other = emit2(c, OpXor, emit2(c, OpLt, dividend, zero), emit2(c, OpLt, rest, zero));
	return emit3(c, OpWhere, emit2(c, OpAnd, some, other), emit2(c, OpSub, rest, divisor), rest);
}

/* fmod = 0 rounds the quotient down, fmod = 1 toward zero. */
void import_mod(Call *c)
{
	Value *a = c->in[0], *b = c->in[1];
	bool trunc = onnx_int(c, "fmod", 0);
	DClass cls = dtypes[a->type.dtype].cls;
	if (cls == ClassFloat) {
		if (!trunc && c->opset < 28)
			fatal_at(c->loc, "operands are %s, so attribute 'fmod' must be 1 before opset 28", dtypes[a->type.dtype].text);
		Value *rest = emit2(c, OpFMod, a, b);
		c->out[0] = trunc ? rest : floor_remainder(c, rest, b);
		return;
	}
	Value *rest = emit2(c, OpIMod, a, b);
	c->out[0] = trunc && cls == ClassSigned ? trunc_remainder(c, rest, a, b) : rest;
}

/* Can the type hold what the exponent may be?  A constant one is asked itself. */
static bool holds_exponent(DType dtype, const Value *exponent)
{
	Scalar v;
	if (value_as_scalar(exponent, &v)) {
		Scalar there = cast_scalar(v, dtype), back = cast_scalar(there, v.dtype);
		return same_scalar(back, v);
	}
	int bytes = dtypes[exponent->type.dtype].bytes;
	return dtypes[exponent->type.dtype].cls == ClassFloat ? bytes <= dtypes[dtype].bytes : bytes < dtypes[dtype].bytes;
}

/* The type that a power is computed in: its own where that loses nothing of the exponent; of an integer to a fraction, f64. */
static DType power_type(const Value *base, const Value *exponent)
{
	DType b = base->type.dtype, e = exponent->type.dtype;
	if (b == e)
		return b;
	bool real_base = dtypes[b].cls == ClassFloat, real_exponent = dtypes[e].cls == ClassFloat;
	if (!real_base && real_exponent)
		return F64;
	if (!real_base && dtypes[e].cls == ClassUnsigned)
		return U64; /* whose low bits are those of the power, whatever the base */
	if (!real_base)
		return dtypes[e].bytes <= dtypes[b].bytes && dtypes[b].cls == ClassSigned ? b : I64;
	return b != F64 && holds_exponent(F32, exponent) ? F32 : F64;
}

/* x^y for 64-bit y, which may be too large for f64 to know whether it is odd. */
static Value *power_of_long(Call *c, Value *x, Value *y, Value *real)
{
	Value *zero = emit_const(c, x->type.dtype, 0), *one = emit_const(c, y->type.dtype, 1);
	Value *odd = emit2(c, OpEq, emit2(c, OpAnd, y, one), one);
	Value *negative = emit2(c, OpOr, emit2(c, OpLt, x, zero), emit2(c, OpLt, emit1(c, OpRecip, x), zero)); /* or -0 */
	Value *size = emit2(c, OpPow, emit1(c, OpAbs, x), real);
	return emit3(c, OpWhere, emit2(c, OpAnd, odd, negative), emit1(c, OpNeg, size), size);
}

/* The result has the type of the base. */
void import_pow(Call *c)
{
	DType type = power_type(c->in[0], c->in[1]), exponent = c->in[1]->type.dtype;
	Value *x = emit_cast(c, c->in[0], type), *y = emit_cast(c, c->in[1], type);
	bool long_exponent = type == F64 && dtypes[exponent].cls != ClassFloat && dtypes[exponent].bytes == 8;
	Value *power = long_exponent ? power_of_long(c, x, c->in[1], y) : emit2(c, OpPow, x, y);
	c->out[0] = emit_cast(c, power, c->in[0]->type.dtype);
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
		refuse_at(c->loc, "not supported: elements that are dropped at random (training mode, or one that only the run knows)");
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

Value *exceeds(Call *c, Value *x, double t)
{
	const DType dtype = x->type.dtype;
	if (dtypes[dtype].cls == ClassFloat)
		return emit2(c, OpLt, emit_const(c, dtype, t), x);
	const double least = dtypes[dtype].cls == ClassSigned ? -ldexp(1, dtypes[dtype].bits - 1) : 0;
	return floor(t) < least ? emit2(c, OpLe, emit_const(c, dtype, least), x) : emit2(c, OpLt, emit_const(c, dtype, floor(t)), x);
}

/* x < t */
static Value *falls_below(Call *c, Value *x, double t)
{
	const DType dtype = x->type.dtype;
	if (dtypes[dtype].cls == ClassFloat)
		return emit2(c, OpLt, x, emit_const(c, dtype, t));
	const double end = ldexp(1, dtypes[dtype].bits - (dtypes[dtype].cls == ClassSigned));
	return ceil(t) >= end ? emit2(c, OpLe, x, emit_const(c, dtype, end)) : emit2(c, OpLt, x, emit_const(c, dtype, ceil(t)));
}

/* Bias and threshold are floats, whatever the type: sums of integers and a fraction are truncated. */
void import_shrink(Call *c)
{
	const double bias = onnx_float(c, "bias", 0), threshold = onnx_float(c, "lambd", 0.5);
	Value *x = c->in[0];
	const DType dtype = x->type.dtype;
	const bool inexact = dtypes[dtype].cls != ClassFloat && !(bias == floor(bias) && fabs(bias) < ldexp(1, dtypes[dtype].bits - 1));

	if (inexact && dtypes[dtype].bytes == 8)
		refuse_at(c->loc, "a bias of %g is not supported for %s", bias, dtypes[dtype].text);
	Value *terms = inexact ? emit_cast(c, x, F64) : x, *shift = emit_const(c, terms->type.dtype, fabs(bias));
	Value *up = emit_cast(c, emit2(c, bias < 0 ? OpSub : OpAdd, terms, shift), dtype);
	Value *down = emit_cast(c, emit2(c, bias < 0 ? OpAdd : OpSub, terms, shift), dtype);
	Value *kept = emit3(c, OpWhere, exceeds(c, x, threshold), down, emit_const(c, dtype, 0));
	c->out[0] = emit3(c, OpWhere, falls_below(c, x, -threshold), up, kept);
}
