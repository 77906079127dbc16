/* random_steps.h - operators for random_graph.h, and what they do to magnitude and noise; steps that make elementwise ones and
 * reductions.
 *
 * A step makes g->op with operands of g->type, which ops.def permits.
 */
#ifndef DCC_RANDOM_STEPS_H
#define DCC_RANDOM_STEPS_H

#include "random_values.h"

/* ---- operators, with what they do to magnitude and noise -------------------------------------------------------- */

static Val unary(Gen *g, Op op, Val x)
{
	DType t = x.v->type.dtype;
	double b = x.bound, n = x.noise, u = ulp(t);
	Value *v = emit(g, op, 1, &x.v, 0, NULL, NULL);
	switch (op) {
	case OpNeg: return finish(g, v, dtypes[t].cls == ClassUnsigned ? greatest(t) : b, n, x.exact);
	case OpIdentity: case OpAbs: case OpRelu: return finish(g, v, b, n, x.exact);
	case OpNot: return finish(g, v, greatest(t), 0, true);
	case OpFloor: case OpCeil: case OpRound: need(g, x.exact); return finish(g, v, b + 1, 0, true);
	case OpIsNaN: need(g, x.exact); return finish(g, v, 1, 0, true);
	case OpExp: need(g, b <= 4); return rounded(g, v, exp(b), exp(b) * (n + 3 * u), false);
	case OpTanh: case OpErf: return rounded(g, v, 1, 1.2 * n + 4 * u, false);
	case OpAtan: return rounded(g, v, 1.6, n + 4 * u, false);
	case OpSigmoid: return rounded(g, v, 1, 0.3 * n + 4 * u, false);
	case OpSin: case OpCos: need(g, b <= 30); return rounded(g, v, 1, n + 4 * u, false);
	case OpSilu: case OpGelu: case OpGeluTanh: return rounded(g, v, b, 1.2 * n + 6 * u * (b + 1), false);
	default: give_up(g);
	}
}

/* Not those that divide by a floating number. */
static Val binary(Gen *g, Op op, Val x, Val y)
{
	DType t = x.v->type.dtype;
	double a = x.bound, b = y.bound, n = x.noise, k = y.noise, u = ulp(t);
	bool exact = x.exact && y.exact;
	Value *v = emit(g, op, 2, (Value *[]){x.v, y.v}, 0, NULL, NULL);
	switch (op) {
	case OpAdd: case OpSub:
		b = op == OpSub && dtypes[t].cls == ClassUnsigned ? greatest(t) : a + b;
		return rounded(g, v, b, n + k + u * b, exact);
	case OpMul: return rounded(g, v, a * b, n * b + k * a + u * a * b, exact);
	case OpMin: case OpMax: return finish(g, v, a > b ? a : b, n > k ? n : k, exact);
	case OpIDiv: return finish(g, v, a, 0, true);
	case OpIMod: return finish(g, v, b, 0, true);
	case OpAnd: case OpOr: case OpXor: case OpShl: case OpShr: case OpPow: return finish(g, v, greatest(t), 0, true);
	default: give_up(g);
	}
}

/* A value in least .. least + |x|, so that division, roots and logarithms are tame. */
static Val away_from_zero(Gen *g, Val x, double least)
{
	return binary(g, OpAdd, unary(g, OpAbs, x), number(g, x.v->type.dtype, least));
}

static Val divide(Gen *g, Val x, Val y)
{
	Val d = away_from_zero(g, y, 0.5);
	Value *v = emit(g, OpDiv, 2, (Value *[]){x.v, d.v}, 0, NULL, NULL);
	return rounded(g, v, 2 * x.bound, 2 * x.noise + 4 * x.bound * d.noise + 4 * ulp(x.v->type.dtype) * x.bound,
	               x.exact && d.exact);
}

static Val tame_unary(Gen *g, Op op, Val x)
{
	Val d = away_from_zero(g, x, 0.5);
	Value *v = emit(g, op, 1, &d.v, 0, NULL, NULL);
	double b = op == OpRecip ? 2 : op == OpSqrt ? sqrt(d.bound) : 0.7 + log(d.bound + 1);
	return rounded(g, v, b, 4 * d.noise + 4 * ulp(x.v->type.dtype) * b, d.exact && op != OpLog);
}

static Val reduce(Gen *g, Op op, Val x, int naxis, const int64_t *axes, bool keepdims)
{
	Attr attrs[2] = {mk_ints(g->m, Attr_axes, naxis, axes), mk_int(Attr_keepdims, keepdims)};
	double k = 1, b = x.bound;
	for (int i = 0; i < naxis; i++) {
		k *= (double)run_size(g, x.v->type.dims[axes[i]]);
		if (op != OpSum)
			need(g, lowest(x.v->type.dims[axes[i]]) > 0);
	}
	Value *v = emit(g, op, 1, &x.v, 2, attrs, NULL);
	if (op == OpReduceMax || op == OpReduceMin)
		return finish(g, v, b, x.noise, x.exact);
	double scale = op == OpSum ? k : 1;
	return rounded(g, v, b * scale, (x.noise + ulp(x.v->type.dtype) * b * (1 + log2(k + 1))) * scale, false);
}

static Val softmax(Gen *g, Val x, int axis)
{
	Attr a = mk_int(Attr_axis, axis);
	need(g, lowest(x.v->type.dims[axis]) > 0);
	double u = ulp(x.v->type.dtype);
	return rounded(g, emit(g, OpSoftmax, 1, &x.v, 1, &a, NULL), 1, 0.5 * x.noise + u * (4 + x.bound), false);
}

static Val cumsum(Gen *g, Val x, int axis, bool exclusive, bool reverse, bool product)
{
	Attr attrs[4] = {mk_int(Attr_axis, axis), mk_int(Attr_exclusive, exclusive), mk_int(Attr_reverse, reverse),
	                 mk_int(Attr_product, product)};
	double k = (double)run_size(g, x.v->type.dims[axis]), b = x.bound, most = product ? pow(fmax(b, 1), k) : k * b;
	double noise = product ? k * pow(fmax(b, 1), k) * x.noise : k * x.noise;
	Value *v = emit(g, OpCumSum, 1, &x.v, 4, attrs, NULL);
	return rounded(g, v, most, noise + ulp(x.v->type.dtype) * k * most, false);
}

static Val matmul(Gen *g, Val x, Val y, bool ta, bool tb)
{
	Attr attrs[2] = {mk_int(Attr_trans_a, ta), mk_int(Attr_trans_b, tb)};
	int r = x.v->type.rank;
	double k = (double)run_size(g, x.v->type.dims[r == 1 || !ta ? r - 1 : r - 2]);
	Value *v = emit(g, OpMatMul, 2, (Value *[]){x.v, y.v}, 2, attrs, NULL);
	double b = k * x.bound * y.bound;
	return rounded(g, v, b, sqrt(k) * (x.noise * y.bound + y.noise * x.bound + 0.5 * ulp(x.v->type.dtype) * b), false);
}

static Val moved(Gen *g, Val x, Value *v)
{
	return finish(g, v, x.bound, x.noise, x.exact);
}

static Val reshape(Gen *g, Val x, int rank, const Dim *const *dims)
{
	need(g, rank <= 6);
	Type t = typed(x.v->type.dtype, rank, dims);
	return moved(g, x, emit(g, OpReshape, 1, &x.v, 0, NULL, &t));
}

static Val transpose(Gen *g, Val x, const int64_t *perm)
{
	Attr a = mk_ints(g->m, Attr_perm, x.v->type.rank, perm);
	return moved(g, x, emit(g, OpTranspose, 1, &x.v, 1, &a, NULL));
}

static Val swap_axes(Gen *g, Val x, int i, int k)
{
	int64_t perm[MaxRank];
	for (int d = 0; d < x.v->type.rank; d++)
		perm[d] = d == i ? k : d == k ? i : d;
	return transpose(g, x, perm);
}

static Val slice(Gen *g, Val x, const Dim *const *starts, const int64_t *steps, const Dim *const *dims)
{
	Type t = typed(x.v->type.dtype, x.v->type.rank, dims);
	Attr attrs[2] = {mk_dims(g->m, Attr_starts, t.rank, starts), mk_ints(g->m, Attr_steps, t.rank, steps)};
	return moved(g, x, emit(g, OpSlice, 1, &x.v, 2, attrs, &t));
}

static Val slice_axis(Gen *g, Val x, int axis, const Dim *start, const Dim *len)
{
	const Dim *starts[MaxRank], *dims[MaxRank];
	int64_t steps[MaxRank];
	for (int d = 0; d < x.v->type.rank; d++) {
		starts[d] = d == axis ? start : num(g, 0);
		dims[d] = d == axis ? len : x.v->type.dims[d];
		steps[d] = 1;
	}
	return slice(g, x, starts, steps, dims);
}

static Val pad_axis(Gen *g, Val x, int axis, int64_t before, int64_t after)
{
	const Dim *pads[2 * MaxRank];
	int r = x.v->type.rank;
	for (int d = 0; d < r; d++) {
		pads[d] = num(g, d == axis ? before : 0);
		pads[r + d] = num(g, d == axis ? after : 0);
	}
	Attr a = mk_dims(g->m, Attr_pads_dim, 2 * r, pads);
	return moved(g, x, emit(g, OpPad, 1, &x.v, 1, &a, NULL));
}

static Val concat(Gen *g, int n, const Val *x, int axis)
{
	Value *in[8];
	Attr a = mk_int(Attr_axis, axis);
	double b = 0, noise = 0;
	bool exact = true;
	for (int i = 0; i < n; i++) {
		in[i] = x[i].v;
		b = x[i].bound > b ? x[i].bound : b;
		noise = x[i].noise > noise ? x[i].noise : noise;
		exact = exact && x[i].exact;
	}
	return finish(g, emit(g, OpConcat, n, in, 1, &a, NULL), b, noise, exact);
}

static Val iota(Gen *g, DType dtype, const Dim *n, const Dim *start, int64_t step)
{
	Type t = {.dtype = dtype, .rank = 1, .dims = {n}};
	Attr attrs[2] = {mk_dim(Attr_start, start), mk_dim(Attr_step, num(g, step))};
	double b = (double)run_size(g, n) * (double)llabs(step) + 16;
	b = step < 0 && dtypes[dtype].cls == ClassUnsigned ? greatest(dtype) : b * 2;
	return finish(g, emit(g, OpIota, 0, NULL, 2, attrs, &t), b, 0, true);
}

static Val as_dtype(Gen *g, Val x, DType dtype)
{
	Type t = of_dtype(x.v->type, dtype);
	double b = x.bound, n = x.noise;
	need(g, x.exact || is_floating(dtype));
	Value *v = emit(g, OpCast, 1, &x.v, 0, NULL, &t);
	bool negative = dtypes[dtype].cls == ClassUnsigned && is_among(x.v->type.dtype, TypesFlt | 1 << ClassSigned);
	if (!is_floating(dtype))
		return finish(g, v, negative ? greatest(dtype) : b, 0, true);
	b *= 1 + unit_of(dtype);
	n += is_narrow(dtype) ? unit_of(dtype) * b : x.exact ? 0 : ulp(dtype) * b;
	return finish(g, v, b, n, x.exact);
}

/* x, or if its extent along the axis is a symbol or no multiple of n, a value that is like it but for that. */
static Val with_extent(Gen *g, Val x, int axis, int64_t n)
{
	Type t = x.v->type;
	int64_t extent = fixed(t.dims[axis]);
	if (extent > 0 && extent % n == 0)
		return x;
	t.dims[axis] = num(g, n * (1 + pick(g, n < 32 ? 8 : 2)));
	sized(g, t);
	return pick_typed(g, &t);
}

/* ---- steps: elementwise ----------------------------------------------------------------------------------------- */

static Val step_unary(Gen *g)
{
	return unary(g, g->op, pick_own(g, 0, 4));
}

/* What jumps. */
static Val step_exact_unary(Gen *g)
{
	return unary(g, g->op, exactly(g, pick_own(g, 0, 4)));
}

static Val step_tame_unary(Gen *g)
{
	return tame_unary(g, g->op, pick_own(g, 0, 4));
}

static Val step_clip(Gen *g)
{
	Val x = pick_own(g, 0, 4);
	double lo = once(g, 3) ? -INFINITY : -1 + next_unit(&g->state), hi = once(g, 3) ? INFINITY : lo + 1;
	Attr attrs[2] = {mk_number(Attr_lo, g->type, lo), mk_number(Attr_hi, g->type, lo == -INFINITY ? 0.75 : hi)};
	return finish(g, emit(g, OpClip, 1, &x.v, 2, attrs, NULL), x.bound + 1, x.noise, x.exact);
}

static Val step_binary(Gen *g)
{
	Val x = pick_own(g, 0, 4), y = pick_partner(g, &x.v->type);
	bool back = once(g, 2);
	return binary(g, g->op, back ? y : x, back ? x : y);
}

static Val step_divide(Gen *g)
{
	Val x = pick_own(g, 0, 4), y = pick_partner(g, &x.v->type);
	return once(g, 2) ? divide(g, x, y) : divide(g, y, x);
}

/* Of exact operands, since it jumps; itself it is exact. */
static Val step_fmod(Gen *g)
{
	Val x = exactly(g, pick_own(g, 0, 4)), y = exactly(g, pick_partner(g, &x.v->type));
	need(g, y.bound <= DBL_MAX);
	if (once(g, 2))
		y = away_from_zero(g, y, 0.5);
	need(g, y.exact);
	return finish(g, emit(g, OpFMod, 2, (Value *[]){x.v, y.v}, 0, NULL, NULL), INFINITY, 0, true);
}

static Val step_pow(Gen *g)
{
	if (!is_floating(g->type))
		return step_binary(g);
	double n = as_real(scalar_of_real(g->type, (double[]){2, 3, 0.5, -1, 0, 4, -2, 1.5, 2.5}[pick(g, 9)])), b;
	Val x = pick_own(g, 0, 3), e = number(g, g->type, n);
	x = n >= 2 && n == floor(n) ? x : away_from_zero(g, x, 0.5);
	b = fmax(pow(x.bound, n), pow(0.5, n));
	Value *v = emit(g, OpPow, 2, (Value *[]){x.v, e.v}, 0, NULL, NULL);
	return rounded(g, v, b, fabs(n) * fmax(pow(x.bound, n - 1), pow(0.5, n - 1)) * x.noise + 8 * ulp(g->type) * b, false);
}

static Val step_compare(Gen *g)
{
	Val x = exactly(g, pick_own(g, 0, 3)), y = exactly(g, pick_partner(g, &x.v->type));
	bool back = once(g, 2);
	Value *in[2] = {back ? y.v : x.v, back ? x.v : y.v};
	return finish(g, emit(g, g->op, 2, in, 0, NULL, NULL), 1, 0, true);
}

static Val step_where(Gen *g)
{
	Val x = pick_own(g, 0, 4), y = pick_partner(g, &x.v->type);
	Type t = of_dtype(x.v->type, Bool);
	Val c = pick_partner(g, &t);
	Value *v = emit(g, OpWhere, 3, (Value *[]){c.v, x.v, y.v}, 0, NULL, NULL);
	return finish(g, v, fmax(x.bound, y.bound), fmax(x.noise, y.noise), x.exact && y.exact);
}

static Val step_cast(Gen *g)
{
	Val x = pick_own(g, 0, 3);
	DType to = (DType)pick(g, NDTypes);
	return as_dtype(g, is_floating(to) ? x : exactly(g, x), to);
}

/* Bits of an integer may say any number, or none; those of what is none differ between targets. */
static Val step_bitcast(Gen *g)
{
	Val x = exactly(g, pick_own(g, 0, 3));
	DType to = (DType)pick(g, NDTypes);
	for (int tries = 0; tries < 100 && (to == Bool || dtypes[to].bits != dtypes[g->type].bits); tries++)
		to = (DType)pick(g, NDTypes);
	need(g, x.bound <= DBL_MAX || is_floating(to));
	Type t = of_dtype(x.v->type, to);
	Value *v = emit(g, OpBitCast, 1, &x.v, 0, NULL, &t);
	return finish(g, v, is_floating(to) ? INFINITY : greatest(to), 0, true);
}

static Val step_unpack(Gen *g)
{
	g->type = U8;
	Val x = exactly(g, pick_own(g, 1, 4));
	Type t = of_dtype(x.v->type, once(g, 2) ? U4 : U2);
	t.dims[t.rank - 1] = dim_mul(g->m, t.dims[t.rank - 1], num(g, 8 / dtypes[t.dtype].bits));
	return finish(g, emit(g, OpUnpack, 1, &x.v, 0, NULL, &t), greatest(t.dtype), 0, true);
}

static Val step_iota(Gen *g)
{
	return iota(g, g->type, pick_dim(g), once(g, 2) ? num(g, 0) : num(g, pick(g, 9) - 4), (int64_t[]){1, 1, 2, -1}[pick(g, 4)]);
}

static Val step_dims(Gen *g)
{
	const Dim *values[3];
	int n = 1 + pick(g, 3);
	double b = 0;
	for (int i = 0; i < n; i++) {
		values[i] = pick_dim(g);
		b = fmax(b, (double)run_size(g, values[i]));
	}
	Type t = {.dtype = g->type, .rank = n > 1, .dims = {num(g, n)}};
	Attr a = mk_dims(g->m, Attr_values, n, values);
	return finish(g, emit(g, OpDims, 0, NULL, 1, &a, &t), 2 * b, 0, true);
}

/* ---- steps: reductions and normalisation ------------------------------------------------------------------------ */

static Val step_reduce(Gen *g)
{
	Val x = pick_own(g, 1, 4);
	int64_t axes[MaxRank];
	int n = 0;
	for (int d = 0; d < x.v->type.rank; d++)
		if (once(g, 2))
			axes[n++] = d;
	if (!n)
		axes[n++] = x.v->type.rank - 1;
	return reduce(g, g->op, x, n, axes, once(g, 2));
}

static Val step_cumsum(Gen *g)
{
	Val x = pick_own(g, 1, 4);
	return cumsum(g, x, pick(g, x.v->type.rank), once(g, 2), once(g, 2), once(g, 4));
}

static Val step_softmax(Gen *g)
{
	Val x = pick_own(g, 1, 4);
	return softmax(g, x, once(g, 3) ? pick(g, x.v->type.rank) : x.v->type.rank - 1);
}

/* Tiny variances amplify rounding: eps is small only where the elements are independent. */
static double pick_eps(Gen *g, Val x)
{
	int64_t n = x.v->type.rank ? run_size(g, x.v->type.dims[x.v->type.rank - 1]) : 0;
	return x.spread && !is_narrow(x.v->type.dtype) && n >= 8 && once(g, 2) ? 1e-5 : (double[]){0.5, 0.1, 1}[pick(g, 3)];
}

static Val affine(Gen *g, Val x, int axis, Op op)
{
	double eps = pick_eps(g, x), k = 1;
	Value *in[3] = {x.v};
	Type t = {.dtype = x.v->type.dtype, .rank = x.v->type.rank - axis};
	for (int d = axis; d < x.v->type.rank; d++) {
		t.dims[d - axis] = x.v->type.dims[d];
		k *= (double)run_size(g, x.v->type.dims[d]);
		need(g, lowest(x.v->type.dims[d]) > 0);
	}
	Attr attrs[2] = {mk_int(Attr_axis, axis), mk_float(Attr_eps, eps)};
	double b = fmin(sqrt(k), x.bound / sqrt(eps)), u = ulp(t.dtype), noise = 2 * x.noise + 4 * u * x.bound;
	noise = eps < 1e-3 ? 4 * noise : noise / sqrt(eps);
	for (int i = 1; i <= (op == OpNorm ? 2 : 1); i++)
		if (once(g, 2)) {
			Val s = pick_typed(g, &t);
			in[i] = s.v;
			b = i == 1 ? b * s.bound : b + s.bound;
			noise = i == 1 ? noise * s.bound + b * s.noise : noise + s.noise;
		}
	return rounded(g, emit(g, op, op == OpNorm ? 3 : 2, in, 2, attrs, NULL), b, noise + 4 * u * b, false);
}

static Val step_norm(Gen *g)
{
	Val x = pick_own(g, 1, 4);
	int r = x.v->type.rank;
	return affine(g, x, once(g, 4) ? pick(g, r) : r - 1, g->op);
}

#endif
