/* random_graph.h - makes valid tensor IR modules by chance, for the fuzzer.
 *
 * A graph grows by steps; a step takes values that are there (or new inputs and constants), and emits one operator or a
 * whole idiom with random variations.  Steps that turn out too large, or that the shape functions refuse, are undone.
 *
 * Passes may round differently, so every f32 value carries a bound of its magnitude and of the difference that rounding
 * may have made so far (`noise`).  What jumps (floor, comparisons, casts to integers) is only applied to values that no
 * pass may change by a bit (`exact`), and steps that amplify noise too much are given up.  So equal graphs give equal
 * values, within a small tolerance.
 */
#ifndef DCC_RANDOM_GRAPH_H
#define DCC_RANDOM_GRAPH_H

#include "../ir/ir.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MaxPool = 256, MaxMenu = 6, MaxRunNumel = 6000, NRuns = 2, MaxParams = 48, MaxSyms = 64 };

/* How the elements of an input are made. */
typedef enum Fill { FillReal, FillIndex, FillBool, FillMask } Fill;

typedef struct Val {
	Value *v;
	double bound, noise; /* of f32; integers: the bound */
	bool exact, spread; /* spread: independent random elements */
} Val;

typedef struct Gen {
	Module *m;
	Block *block; /* where nodes go */
	const Dim *counter; /* of the loop around; NULL: none */
	int depth; /* loops around */
	uint64_t state;
	jmp_buf step;
	int npool;
	Val pool[MaxPool];
	const Dim *menu[MaxMenu]; /* extents that values get */
	int64_t *syms[NRuns]; /* values of the symbols in each run */
	struct {
		Fill fill;
		int64_t below; /* FillIndex: elements are 0 .. below - 1 */
	} params[MaxParams];
	bool idioms_only; /* every fourth graph: single operators rarely add up to what the passes look for */
	int nrefused, nstep;
	FILE *null; /* where refusals go */
} Gen;

/* ---- chance ----------------------------------------------------------------------------------------------------- */

static uint64_t next_word(uint64_t *s)
{
	uint64_t z = *s += 0x9e3779b97f4a7c15u; /* splitmix64 */
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static double next_unit(uint64_t *s)
{
	return (double)(next_word(s) >> 11) * 0x1p-53;
}

static int pick(Gen *g, int n)
{
	return (int)(next_word(&g->state) % (uint64_t)n);
}

/* Once in n. */
static bool once(Gen *g, int n)
{
	return pick(g, n) == 0;
}

static _Noreturn void give_up(Gen *g)
{
	longjmp(g->step, 1);
}

static void need(Gen *g, bool cond)
{
	if (!cond)
		give_up(g);
}

/* ---- dims and types --------------------------------------------------------------------------------------------- */

static const Dim *num(Gen *g, int64_t n)
{
	return dim_const(g->m, n);
}

static int64_t lowest(const Dim *d)
{
	int64_t lo, hi;
	dim_range(d, &lo, &hi);
	return lo;
}

static int64_t fixed(const Dim *d) /* -1: symbolic */
{
	int64_t v;
	return dim_is_const(d, &v) ? v : -1;
}

/* The larger of the runs' values. */
static int64_t run_size(Gen *g, const Dim *d)
{
	int64_t most = 0, v;
	for (int r = 0; r < NRuns; r++) {
		need(g, dim_eval(d, g->syms[r], &v) && v >= 0 && v < 1 << 20);
		most = v > most ? v : most;
	}
	return most;
}

static Type sized(Gen *g, Type t)
{
	int64_t n = 1;
	for (int d = 0; d < t.rank; d++) {
		n *= run_size(g, t.dims[d]);
		need(g, n <= MaxRunNumel);
	}
	return t;
}

static const Dim *pick_dim(Gen *g)
{
	return once(g, 8) ? num(g, 1) : g->menu[pick(g, MaxMenu)];
}

static Type pick_type(Gen *g, DType dtype, int rank)
{
	Type t = {.dtype = dtype, .rank = rank};
	for (int d = 0; d < rank; d++)
		t.dims[d] = pick_dim(g);
	return sized(g, t);
}

static bool all_const(const Type *t)
{
	for (int d = 0; d < t->rank; d++)
		if (fixed(t->dims[d]) < 0)
			return false;
	return true;
}

static Type typed(DType dtype, int rank, const Dim *const *dims)
{
	Type t = {.dtype = dtype, .rank = rank};
	for (int d = 0; d < rank; d++)
		t.dims[d] = dims[d];
	return t;
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

static Val finish(Gen *g, Value *v, double bound, double noise, bool exact)
{
	sized(g, v->type);
	need(g, bound < 200 || v->type.dtype != F32);
	need(g, noise <= 8e-6 * (bound > 1 ? bound : 1));
	return (Val){v, bound, noise, exact, false};
}

static Value *emit(Gen *g, Op op, int nin, Value *const *in, int nattr, const Attr *attrs, const Type *given)
{
	return build(g->m, g->block, NULL, op, NULL, nin, in, nattr, attrs, given);
}

static Val new_input(Gen *g, Type t, Fill fill, int64_t below)
{
	sized(g, t);
	int i = g->m->main->nparam;
	need(g, i < MaxParams);
	g->params[i].fill = fill;
	g->params[i].below = below;
	double bound = t.dtype == F32 ? 2 : t.dtype == Bool ? 1 : (double)below;
	return (Val){new_param(g->m, NULL, t), bound, 0, true, t.dtype == F32};
}

static Val new_weight(Gen *g, Type t, double bound)
{
	int64_t n = const_numel(&t);
	need(g, n <= MaxRunNumel);
	float *data = arena_alloc(g->m->arena, (size_t)n * sizeof *data);
	for (int64_t i = 0; i < n; i++)
		data[i] = (float)(bound * (2 * next_unit(&g->state) - 1));
	return (Val){new_const(g->m, NULL, t, data, (size_t)n * 4)->value, bound, 0, true, true};
}

static Val scalar(Gen *g, double x)
{
	return (Val){const_scalar(g->m, scalar_of_real(F32, x))->value, fabs(x), 0, true, false};
}

static Val new_real(Gen *g, Type t)
{
	return all_const(&t) && once(g, 2) ? new_weight(g, t, 1.5) : new_input(g, t, FillReal, 0);
}

static void keep(Gen *g, Val x)
{
	if (g->npool < MaxPool)
		g->pool[g->npool++] = x;
	else
		g->pool[pick(g, MaxPool)] = x;
}

/* A value of the pool, rather a late one. */
static Val pick_value(Gen *g, DType dtype, int least_rank, int most_rank)
{
	for (int tries = 0; tries < 40 && g->npool; tries++) {
		int i = once(g, 3) ? pick(g, g->npool) : g->npool - 1 - pick(g, g->npool < 8 ? g->npool : 8);
		Val x = g->pool[i];
		if (x.v->type.dtype == dtype && x.v->type.rank >= least_rank && x.v->type.rank <= most_rank)
			return x;
	}
	Type t = pick_type(g, dtype, least_rank + pick(g, most_rank - least_rank + 1));
	return dtype == F32    ? new_real(g, t)
	       : dtype == Bool ? new_input(g, t, FillBool, 0)
	                       : new_input(g, t, FillIndex, 5);
}

static Val pick_real(Gen *g, int least_rank, int most_rank)
{
	return pick_value(g, F32, least_rank, most_rank);
}

/* A value of this very type: from the pool, or new. */
static Val pick_typed(Gen *g, const Type *t)
{
	for (int tries = 0; tries < 12 && g->npool; tries++) {
		Val x = g->pool[pick(g, g->npool)];
		if (type_equal(&x.v->type, t))
			return x;
	}
	return t->dtype == F32    ? new_real(g, *t)
	       : t->dtype == Bool ? new_input(g, *t, FillBool, 0)
	                          : new_input(g, *t, FillIndex, 5);
}

/* Of a type that broadcasts with t. */
static Val pick_partner(Gen *g, const Type *t)
{
	Type want = *t;
	if (once(g, 4))
		return pick_typed(g, t);
	if (once(g, 3) && t->dtype == F32)
		return scalar(g, (double[]){1, 0, 2, 0.5, -1, 0.1}[pick(g, 6)]);
	int drop = pick(g, t->rank + 1);
	want.rank -= drop;
	for (int d = 0; d < want.rank; d++)
		want.dims[d] = once(g, 3) ? num(g, 1) : t->dims[d + drop];
	return pick_typed(g, &want);
}

/* ---- operators, with what they do to magnitude and noise -------------------------------------------------------- */

static const double Ulp = 1.2e-7; /* a bit above 2^-23: of one f32 operation, relative */

static Val unary(Gen *g, Op op, Val x)
{
	double b = x.bound, n = x.noise;
	Value *v = emit(g, op, 1, &x.v, 0, NULL, NULL);
	switch (op) {
	case OpIdentity: case OpNeg: case OpAbs: case OpRelu: return finish(g, v, b, n, x.exact);
	case OpFloor: case OpCeil: case OpRound: need(g, x.exact); return finish(g, v, b + 1, 0, true);
	case OpExp: need(g, b <= 4); return finish(g, v, exp(b), exp(b) * (n + 3 * Ulp), false);
	case OpTanh: case OpErf: return finish(g, v, 1, 1.2 * n + 4 * Ulp, false);
	case OpSigmoid: return finish(g, v, 1, 0.3 * n + 4 * Ulp, false);
	case OpSin: case OpCos: need(g, b <= 30); return finish(g, v, 1, n + 4 * Ulp, false);
	case OpSilu: case OpGelu: case OpGeluTanh: return finish(g, v, b, 1.2 * n + 6 * Ulp * (b + 1), false);
	default: give_up(g);
	}
}

static Val binary(Gen *g, Op op, Val x, Val y)
{
	double a = x.bound, b = y.bound, n = x.noise, k = y.noise;
	Value *v = emit(g, op, 2, (Value *[]){x.v, y.v}, 0, NULL, NULL);
	switch (op) {
	case OpAdd: case OpSub: return finish(g, v, a + b, n + k + Ulp * (a + b), false);
	case OpMul: return finish(g, v, a * b, n * b + k * a + Ulp * a * b, false);
	case OpMin: case OpMax: return finish(g, v, a > b ? a : b, n > k ? n : k, x.exact && y.exact);
	default: give_up(g);
	}
}

/* A value in least .. least + |x|, so that division, roots and logarithms are tame. */
static Val away_from_zero(Gen *g, Val x, double least)
{
	return binary(g, OpAdd, unary(g, OpAbs, x), scalar(g, least));
}

static Val divide(Gen *g, Val x, Val y)
{
	Val d = away_from_zero(g, y, 0.5);
	Value *v = emit(g, OpDiv, 2, (Value *[]){x.v, d.v}, 0, NULL, NULL);
	return finish(g, v, 2 * x.bound, 2 * x.noise + 4 * x.bound * d.noise + 4 * Ulp * x.bound, false);
}

static Val tame_unary(Gen *g, Op op, Val x)
{
	Val d = away_from_zero(g, x, 0.5);
	Value *v = emit(g, op, 1, &d.v, 0, NULL, NULL);
	double b = op == OpRecip ? 2 : op == OpSqrt ? sqrt(d.bound) : 0.7 + log(d.bound + 1);
	return finish(g, v, b, 4 * d.noise + 4 * Ulp * b, false);
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
	return finish(g, v, b * scale, (x.noise + Ulp * b * (1 + log2(k + 1))) * scale, false);
}

static Val softmax(Gen *g, Val x, int axis)
{
	Attr a = mk_int(Attr_axis, axis);
	need(g, lowest(x.v->type.dims[axis]) > 0);
	return finish(g, emit(g, OpSoftmax, 1, &x.v, 1, &a, NULL), 1, 2 * x.noise + Ulp * (4 + x.bound), false);
}

static Val cumsum(Gen *g, Val x, int axis, bool exclusive, bool reverse)
{
	Attr attrs[3] = {mk_int(Attr_axis, axis), mk_int(Attr_exclusive, exclusive), mk_int(Attr_reverse, reverse)};
	double k = (double)run_size(g, x.v->type.dims[axis]);
	return finish(g, emit(g, OpCumSum, 1, &x.v, 3, attrs, NULL), k * x.bound, k * (x.noise + Ulp * k * x.bound), false);
}

static Val matmul(Gen *g, Val x, Val y, bool ta, bool tb)
{
	Attr attrs[2] = {mk_int(Attr_trans_a, ta), mk_int(Attr_trans_b, tb)};
	int r = x.v->type.rank;
	double k = (double)run_size(g, x.v->type.dims[r == 1 || !ta ? r - 1 : r - 2]);
	Value *v = emit(g, OpMatMul, 2, (Value *[]){x.v, y.v}, 2, attrs, NULL);
	double b = x.bound * y.bound;
	return finish(g, v, k * b, k * (x.noise * y.bound + y.noise * x.bound) + Ulp * k * b, false);
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
	return finish(g, emit(g, OpIota, 0, NULL, 2, attrs, &t), b, 0, true);
}

static Val as_dtype(Gen *g, Val x, DType dtype)
{
	Type t = x.v->type;
	t.dtype = dtype;
	return finish(g, emit(g, OpCast, 1, &x.v, 0, NULL, &t), x.bound, x.noise, x.exact);
}

/* What an unsigned type holds as it is. */
static Val magnitude(Gen *g, Val x)
{
	if (x.v->type.dtype == Bool)
		return x;
	return finish(g, emit(g, OpAbs, 1, &x.v, 0, NULL, NULL), x.bound, x.noise, x.exact);
}

/* ---- steps: elementwise ----------------------------------------------------------------------------------------- */

static Val step_unary(Gen *g)
{
	static const Op smooth[] = {OpNeg, OpAbs, OpRelu, OpIdentity, OpExp, OpTanh, OpErf, OpSigmoid, OpSin, OpCos,
	                            OpSilu, OpGelu, OpGeluTanh, OpFloor, OpCeil, OpRound};
	static const Op tamed[] = {OpRecip, OpSqrt, OpLog};
	Val x = pick_real(g, 0, 4);
	if (once(g, 4))
		return tame_unary(g, tamed[pick(g, 3)], x);
	return unary(g, smooth[pick(g, sizeof smooth / sizeof *smooth)], x);
}

static Val step_clip(Gen *g)
{
	Val x = pick_real(g, 0, 4);
	double lo = once(g, 3) ? -INFINITY : -1 + next_unit(&g->state), hi = once(g, 3) ? INFINITY : lo + 1;
	Attr attrs[2] = {mk_number(Attr_lo, F32, lo), mk_number(Attr_hi, F32, lo == -INFINITY ? 0.75 : hi)};
	return finish(g, emit(g, OpClip, 1, &x.v, 2, attrs, NULL), x.bound + 1, x.noise, x.exact);
}

static Val step_binary(Gen *g)
{
	static const Op ops_[] = {OpAdd, OpAdd, OpSub, OpMul, OpMul, OpMin, OpMax};
	Val x = pick_real(g, 0, 4), y = pick_partner(g, &x.v->type);
	if (once(g, 2))
		return binary(g, ops_[pick(g, 7)], x, y);
	if (once(g, 3))
		return divide(g, y, x);
	return binary(g, ops_[pick(g, 7)], y, x);
}

static Val step_pow(Gen *g)
{
	Val x = pick_real(g, 0, 3), e = scalar(g, 2 + pick(g, 2));
	double b = pow(x.bound, e.bound);
	Value *v = emit(g, OpPow, 2, (Value *[]){x.v, e.v}, 0, NULL, NULL);
	return finish(g, v, b, e.bound * b / x.bound * x.noise + 8 * Ulp * b, false);
}

static Val step_compare(Gen *g)
{
	static const Op ops_[] = {OpEq, OpLt, OpLe};
	Val x = pick_value(g, once(g, 2) ? F32 : I64, 0, 3), y = pick_partner(g, &x.v->type);
	need(g, x.exact && y.exact);
	bool back = once(g, 2);
	Value *in[2] = {back ? y.v : x.v, back ? x.v : y.v};
	return finish(g, emit(g, ops_[pick(g, 3)], 2, in, 0, NULL, NULL), 1, 0, true);
}

static Val step_bool(Gen *g)
{
	static const Op ops_[] = {OpAnd, OpOr, OpXor};
	Val x = pick_value(g, Bool, 0, 3);
	if (once(g, 3))
		return finish(g, emit(g, OpNot, 1, &x.v, 0, NULL, NULL), 1, 0, true);
	Val y = pick_partner(g, &x.v->type);
	return finish(g, emit(g, ops_[pick(g, 3)], 2, (Value *[]){x.v, y.v}, 0, NULL, NULL), 1, 0, true);
}

static Val step_where(Gen *g)
{
	Val x = pick_real(g, 0, 4), y = pick_partner(g, &x.v->type);
	Type t = x.v->type;
	t.dtype = Bool;
	Val c = pick_partner(g, &t);
	need(g, c.v->type.dtype == Bool);
	Value *v = emit(g, OpWhere, 3, (Value *[]){c.v, x.v, y.v}, 0, NULL, NULL);
	return finish(g, v, x.bound > y.bound ? x.bound : y.bound, x.noise > y.noise ? x.noise : y.noise,
	              x.exact && y.exact);
}

static Val step_int(Gen *g)
{
	static const Op ops_[] = {OpAdd, OpMul, OpMin, OpMax, OpIDiv, OpIMod, OpSub};
	DType dtype = once(g, 4) ? I32 : I64;
	Val x = pick_value(g, dtype, 0, 3), y = pick_partner(g, &x.v->type);
	need(g, y.v->type.dtype == dtype);
	double b = (x.bound + 1) * (y.bound + 1);
	need(g, b < 1e5);
	bool natural = once(g, 3); /* as an unsigned type that holds the result */
	DType through = natural ? (DType[]){U32, U64}[pick(g, 2)] : dtype;
	x = natural ? as_dtype(g, magnitude(g, x), through) : x;
	y = natural ? as_dtype(g, magnitude(g, y), through) : y;
	Val r = finish(g, emit(g, ops_[pick(g, natural ? 6 : 7)], 2, (Value *[]){x.v, y.v}, 0, NULL, NULL), b, 0, true);
	return natural ? as_dtype(g, r, dtype) : r;
}

static Val step_cast(Gen *g)
{
	Val x = pick_value(g, (DType[]){F32, I64, Bool}[pick(g, 3)], 0, 3);
	DType dtype = (DType)pick(g, NDTypes);
	need(g, x.exact || (dtype == F64 && x.v->type.dtype == F32));
	need(g, !is_narrow(dtype) || x.bound <= 256); /* what bf16 holds exactly */
	if (dtypes[dtype].cls == ClassUnsigned)
		x = magnitude(g, x);
	Val y = as_dtype(g, x, dtype);
	return once(g, 2) && dtype != F32 ? as_dtype(g, y, F32) : y;
}

static Val step_iota(Gen *g)
{
	Val x = iota(g, once(g, 3) ? F32 : I64, pick_dim(g), once(g, 2) ? num(g, 0) : num(g, pick(g, 9) - 4),
	             (int64_t[]){1, 1, 2, -1}[pick(g, 4)]);
	return x;
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
	Type t = {.dtype = I64, .rank = n > 1, .dims = {num(g, n)}};
	Attr a = mk_dims(g->m, Attr_values, n, values);
	return finish(g, emit(g, OpDims, 0, NULL, 1, &a, &t), b, 0, true);
}

/* ---- steps: reductions and normalisation ------------------------------------------------------------------------ */

static Val step_reduce(Gen *g)
{
	static const Op ops_[] = {OpSum, OpMean, OpReduceMax, OpReduceMin};
	Val x = pick_real(g, 1, 4);
	int64_t axes[MaxRank];
	int n = 0;
	for (int d = 0; d < x.v->type.rank; d++)
		if (once(g, 2))
			axes[n++] = d;
	if (!n)
		axes[n++] = x.v->type.rank - 1;
	return reduce(g, ops_[pick(g, 4)], x, n, axes, once(g, 2));
}

static Val step_cumsum(Gen *g)
{
	Val x = pick_real(g, 1, 4);
	return cumsum(g, x, pick(g, x.v->type.rank), once(g, 2), once(g, 2));
}

static Val step_softmax(Gen *g)
{
	Val x = pick_real(g, 1, 4);
	return softmax(g, x, once(g, 3) ? pick(g, x.v->type.rank) : x.v->type.rank - 1);
}

/* Tiny variances amplify rounding: eps is small only where the elements are independent. */
static double pick_eps(Gen *g, Val x)
{
	int64_t n = x.v->type.rank ? run_size(g, x.v->type.dims[x.v->type.rank - 1]) : 0;
	return x.spread && n >= 8 && once(g, 2) ? 1e-5 : (double[]){0.5, 0.1, 1}[pick(g, 3)];
}

static Val affine(Gen *g, Val x, int axis, Op op)
{
	double eps = pick_eps(g, x), k = 1;
	Value *in[3] = {x.v};
	Type t = {.dtype = F32, .rank = x.v->type.rank - axis};
	for (int d = axis; d < x.v->type.rank; d++) {
		t.dims[d - axis] = x.v->type.dims[d];
		k *= (double)run_size(g, x.v->type.dims[d]);
		need(g, lowest(x.v->type.dims[d]) > 0);
	}
	Attr attrs[2] = {mk_int(Attr_axis, axis), mk_float(Attr_eps, eps)};
	double b = fmin(sqrt(k), x.bound / sqrt(eps)), noise = (2 * x.noise + 4 * Ulp * x.bound);
	noise = eps < 1e-3 ? 4 * noise : noise / sqrt(eps);
	for (int i = 1; i <= (op == OpNorm ? 2 : 1); i++)
		if (once(g, 2)) {
			Val s = pick_typed(g, &t);
			in[i] = s.v;
			b = i == 1 ? b * s.bound : b + s.bound;
			noise = i == 1 ? noise * s.bound + b * s.noise : noise + s.noise;
		}
	return finish(g, emit(g, op, op == OpNorm ? 3 : 2, in, 2, attrs, NULL), b, noise + 4 * Ulp * b, false);
}

static Val step_norm(Gen *g)
{
	Val x = pick_real(g, 1, 4);
	int r = x.v->type.rank;
	return affine(g, x, once(g, 4) ? pick(g, r) : r - 1, once(g, 2) ? OpNorm : OpRmsNorm);
}

/* ---- steps: products -------------------------------------------------------------------------------------------- */

static Val weight(Gen *g, int64_t k, int64_t n)
{
	const Dim *dims[2] = {num(g, k), num(g, n)};
	return new_weight(g, typed(F32, 2, dims), 1.5 / sqrt((double)k + 1));
}

static int64_t pick_width(Gen *g)
{
	return (int64_t[]){1, 2, 4, 8, 12, 16, 31, 32, 33, 40}[pick(g, 10)];
}

static Val linear(Gen *g, Val x, int64_t n, bool op)
{
	int64_t k = fixed(x.v->type.dims[x.v->type.rank - 1]);
	need(g, k > 0);
	Val w = weight(g, k, n), y;
	const Dim *dims[1] = {num(g, n)};
	Val b = once(g, 2) ? new_weight(g, typed(F32, 1, dims), 1) : (Val){0};
	if (!op) {
		y = matmul(g, x, w, false, false);
		return b.v ? binary(g, OpAdd, y, b) : y;
	}
	double bound = (double)k * x.bound * w.bound;
	Value *v = emit(g, OpLinear, 3, (Value *[]){x.v, w.v, b.v}, 0, NULL, NULL);
	return finish(g, v, bound + 1, (double)k * x.noise * w.bound + Ulp * (double)k * bound, false);
}

static Val step_linear(Gen *g)
{
	Val x = pick_real(g, 1, 4);
	return linear(g, x, pick_width(g), once(g, 3));
}

static Val step_matmul(Gen *g)
{
	Val x = pick_real(g, 1, 4);
	int r = x.v->type.rank;
	bool ta = r > 1 && once(g, 4), tb = once(g, 3);
	const Dim *k = x.v->type.dims[r == 1 || !ta ? r - 1 : r - 2], *n = pick_dim(g);
	Type t = {.dtype = F32};
	for (int d = 0; d < r - 2 && once(g, 2); d++)
		t.dims[t.rank++] = once(g, 4) ? num(g, 1) : x.v->type.dims[d];
	if (t.rank && t.rank != r - 2)
		t.rank = 0;
	if (once(g, 6) && !t.rank) {
		t.dims[t.rank++] = k;
		tb = false;
	} else {
		t.dims[t.rank++] = tb ? n : k;
		t.dims[t.rank++] = tb ? k : n;
	}
	Val y = once(g, 2) && all_const(&t) ? new_weight(g, t, 0.5) : pick_typed(g, &t);
	return matmul(g, x, y, ta, tb);
}

static Val step_conv(Gen *g)
{
	int spatial = 1 + once(g, 3);
	Val x = pick_real(g, 2 + spatial, 2 + spatial);
	int64_t c = fixed(x.v->type.dims[1]), group = once(g, 2) ? 1 : c, ints[4][4], taps = 1;
	need(g, c > 0);
	if (c % 2 == 0 && once(g, 3))
		group = c / 2;
	int64_t out = group == c && once(g, 2) ? c : group * (1 + pick(g, 4));
	const Dim *dims[4] = {num(g, out), num(g, c / group)};
	for (int i = 0; i < spatial; i++) {
		int64_t k = 1 + pick(g, 4), dil = once(g, 4) ? 2 : 1;
		ints[0][i] = once(g, 4) ? 2 : 1;
		ints[1][i] = dil;
		ints[2][i] = pick(g, 3);
		ints[2][spatial + i] = pick(g, 3);
		taps *= k;
		dims[2 + i] = num(g, k);
		need(g, lowest(x.v->type.dims[2 + i]) + ints[2][i] + ints[2][spatial + i] >= (k - 1) * dil + 1);
	}
	double k = (double)(taps * (c / group));
	Val w = new_weight(g, typed(F32, 2 + spatial, dims), 1.5 / sqrt(k)), b = {0};
	if (once(g, 2))
		b = new_weight(g, typed(F32, 1, dims), 1);
	Attr attrs[4] = {mk_ints(g->m, Attr_strides, spatial, ints[0]), mk_ints(g->m, Attr_dilations, spatial, ints[1]),
	                 mk_ints(g->m, Attr_pads, 2 * spatial, ints[2]), mk_int(Attr_group, group)};
	double bound = k * x.bound * w.bound;
	Value *v = emit(g, OpConv, 3, (Value *[]){x.v, w.v, b.v}, 4, attrs, NULL);
	return finish(g, v, bound + 1, k * x.noise * w.bound + Ulp * k * bound, false);
}

static Val step_winconv(Gen *g)
{
	Val x = pick_real(g, 3, 3);
	int64_t c = fixed(x.v->type.dims[2]), taps = 1 + pick(g, 5);
	need(g, c > 0);
	int64_t heads = once(g, 3) ? c : c % 4 == 0 && once(g, 2) ? 4 : c % 2 == 0 && once(g, 2) ? 2 : 1;
	const Dim *all[4] = {x.v->type.dims[0], x.v->type.dims[1], num(g, heads), num(g, taps)};
	Type t = once(g, 3) ? typed(F32, 2, all + 2) : typed(F32, 4, all);
	Val w = t.rank == 4 && once(g, 2) ? softmax(g, pick_typed(g, &t), 3) : pick_typed(g, &t);
	Attr attrs[3] = {mk_int(Attr_heads, heads), mk_int(Attr_pad_left, pick(g, (int)taps)), mk_int(Attr_map, once(g, 3))};
	double k = (double)taps, b = k * x.bound * w.bound;
	Value *v = emit(g, OpWinConv, 2, (Value *[]){x.v, w.v}, 3, attrs, NULL);
	return finish(g, v, b, k * (x.noise * w.bound + w.noise * x.bound) + Ulp * k * b, false);
}

static Val step_glu(Gen *g)
{
	static const Op acts[] = {OpSigmoid, OpSilu, OpGelu, OpTanh, OpIdentity, OpRelu, OpGeluTanh};
	Val x = pick_real(g, 1, 3);
	int axis = once(g, 3) ? pick(g, x.v->type.rank) : x.v->type.rank - 1;
	int64_t n = fixed(x.v->type.dims[axis]);
	need(g, n > 0 && n % 2 == 0);
	Attr attrs[3] = {mk_int(Attr_axis, axis), mk_int(Attr_gate, once(g, 3)), mk_int(Attr_act, acts[pick(g, 7)])};
	double b = x.bound * fmax(1, x.bound);
	return finish(g, emit(g, OpGlu, 1, &x.v, 3, attrs, NULL), b, 2.4 * (x.noise + 6 * Ulp) * fmax(1, x.bound), false);
}

static Val step_attention(Gen *g)
{
	const Dim *b = pick_dim(g), *tq = pick_dim(g), *tk = once(g, 2) ? tq : pick_dim(g);
	int64_t kv = 1 + pick(g, 3), h = kv * (1 + pick(g, 2)), d = (int64_t[]){1, 4, 8, 16, 20}[pick(g, 5)];
	const Dim *qd[4] = {b, tq, num(g, h), num(g, d)}, *kd[4] = {b, tk, num(g, kv), num(g, d)};
	need(g, lowest(tk) > 0);
	Type qt = sized(g, typed(F32, 4, qd)), kt = sized(g, typed(F32, 4, kd));
	Val q = pick_typed(g, &qt), k = pick_typed(g, &kt), v = pick_typed(g, &kt), mask = {0};
	bool causal = tq == tk && once(g, 2);
	if (once(g, 3) && !causal) {
		const Dim *md[4] = {once(g, 2) ? b : num(g, 1), once(g, 2) ? num(g, h) : num(g, 1),
		                    once(g, 2) ? tq : num(g, 1), tk};
		Type mt = sized(g, typed(once(g, 2) ? Bool : F32, 4, md));
		mask = mt.dtype == Bool ? new_input(g, mt, FillMask, 0) : pick_typed(g, &mt);
	}
	double scale = 1 / sqrt((double)d), score = (double)d * q.bound * k.bound * scale + mask.bound;
	Attr attrs[2] = {mk_float(Attr_scale, scale), mk_int(Attr_right, causal ? 0 : -1)};
	double noise = (double)d * scale * (q.noise * k.bound + k.noise * q.bound) + mask.noise + Ulp * score * 4;
	Value *o = emit(g, OpAttention, 4, (Value *[]){q.v, k.v, v.v, mask.v}, 2, attrs, NULL);
	return finish(g, o, v.bound, 2 * noise * v.bound + v.noise + 4 * Ulp * v.bound, false);
}

/* ---- steps: movement -------------------------------------------------------------------------------------------- */

static DType pick_dtype(Gen *g)
{
	return once(g, 3) ? (DType[]){I64, Bool, I32}[pick(g, 3)] : F32;
}

/* Splits and merges axes, adds and drops axes of extent 1. */
static Val step_reshape(Gen *g)
{
	Val x = pick_value(g, pick_dtype(g), 0, 5);
	const Dim *dims[2 * MaxRank];
	int rank = 0;
	for (int d = 0; d < x.v->type.rank && rank < 6; d++) {
		const Dim *dim = x.v->type.dims[d], *half;
		if (rank && once(g, 3)) {
			dims[rank - 1] = dim_mul(g->m, dims[rank - 1], dim);
		} else if (once(g, 2) && lowest(dim) > 0 && dim_exact_div(g->m, dim, num(g, 2 + pick(g, 3)), &half)) {
			const Dim *other;
			need(g, dim_exact_div(g->m, dim, half, &other));
			bool first = once(g, 2);
			dims[rank++] = first ? half : other;
			dims[rank++] = first ? other : half;
		} else if (!dim_equals(dim, 1) || once(g, 2)) {
			dims[rank++] = dim;
		}
		if (once(g, 8) && rank < 6)
			dims[rank++] = num(g, 1);
	}
	return reshape(g, x, rank, dims);
}

static Val step_transpose(Gen *g)
{
	Val x = pick_value(g, pick_dtype(g), 2, 5);
	int64_t perm[MaxRank];
	int r = x.v->type.rank;
	for (int d = 0; d < r; d++) {
		int at = pick(g, d + 1);
		perm[d] = perm[at];
		perm[at] = d;
	}
	return once(g, 2) ? transpose(g, x, perm) : swap_axes(g, x, pick(g, r), pick(g, r));
}

static void pick_range(Gen *g, const Dim *d, const Dim **start, int64_t *step, const Dim **len)
{
	int64_t least = lowest(d), from = pick(g, least < 4 ? (int)least + 1 : 4);
	int64_t cut = pick(g, least - from < 4 ? (int)(least - from) + 1 : 4);
	*start = num(g, from);
	*step = 1;
	*len = dim_sub(g->m, d, num(g, from + cut));
	if (once(g, 5) && least > 0) {
		*start = dim_sub(g->m, d, num(g, 1));
		*step = -1;
		*len = d;
	} else if (once(g, 5)) {
		*step = 2;
		*len = dim_floordiv(g->m, dim_add(g->m, *len, num(g, 1)), num(g, 2));
	} else if (once(g, 4) && least > from) {
		*len = num(g, 1 + pick(g, (int)(least - from < 5 ? least - from : 5)));
	}
}

static Val step_slice(Gen *g)
{
	Val x = pick_value(g, pick_dtype(g), 1, 4);
	const Dim *starts[MaxRank], *dims[MaxRank];
	int64_t steps[MaxRank];
	for (int d = 0; d < x.v->type.rank; d++) {
		starts[d] = num(g, 0);
		steps[d] = 1;
		dims[d] = x.v->type.dims[d];
		if (once(g, 2))
			pick_range(g, x.v->type.dims[d], &starts[d], &steps[d], &dims[d]);
	}
	return slice(g, x, starts, steps, dims);
}

static Val step_expand(Gen *g)
{
	Val x = pick_value(g, pick_dtype(g), 0, 3);
	Type t = x.v->type;
	for (int d = 0; d < t.rank; d++)
		if (dim_equals(t.dims[d], 1))
			t.dims[d] = pick_dim(g);
	if (once(g, 2)) {
		memmove(t.dims + 1, t.dims, (size_t)t.rank++ * sizeof *t.dims);
		t.dims[0] = pick_dim(g);
	}
	return moved(g, x, emit(g, OpExpand, 1, &x.v, 0, NULL, &t));
}

static Val step_concat(Gen *g)
{
	Val x[3] = {pick_value(g, pick_dtype(g), 1, 4)};
	int n = 2 + once(g, 3), axis = pick(g, x[0].v->type.rank);
	for (int i = 1; i < n; i++) {
		Type t = x[0].v->type;
		t.dims[axis] = once(g, 2) ? t.dims[axis] : pick_dim(g);
		x[i] = once(g, 4) ? x[0] : pick_typed(g, &t);
	}
	return concat(g, n, x, axis);
}

static Val step_pad(Gen *g)
{
	Val x = pick_value(g, pick_dtype(g), 1, 4);
	int r = x.v->type.rank, mode = pick(g, 3);
	const Dim *pads[2 * MaxRank];
	for (int d = 0; d < r; d++)
		for (int side = 0; side < 2; side++) {
			int64_t least = lowest(x.v->type.dims[d]), most = mode == 0 ? 3 : mode == 1 ? 3 * (least > 0) : least - 1;
			most = most < 0 ? 0 : most > 3 ? 3 : most;
			pads[side * r + d] = num(g, once(g, 2) ? 0 : pick(g, (int)most + 1));
		}
	Attr attrs[3] = {mk_dims(g->m, Attr_pads_dim, 2 * r, pads), mk_int(Attr_mode, mode),
	                 mk_number(Attr_value, F32, mode == 0 && once(g, 3) ? 1.5 : 0)};
	int nattr = x.v->type.dtype == F32 ? 3 : 2;
	Value *v = emit(g, OpPad, 1, &x.v, nattr, attrs, NULL);
	return finish(g, v, fmax(x.bound, 1.5), x.noise, x.exact);
}

/* Overlapping windows, diagonals, reversed and repeated axes: what canon makes, but by chance. */
static Val step_view(Gen *g)
{
	Val x = pick_value(g, pick_dtype(g), 1, 3);
	const Dim *left = type_numel(g->m, &x.v->type), *strides[4];
	Type t = {.dtype = x.v->type.dtype, .rank = 1 + pick(g, 3)};
	const Dim *base = num(g, 0);
	need(g, lowest(left) > 0);
	int64_t room = lowest(left) - 1; /* the last element that is there for all symbols */
	for (int d = 0; d < t.rank; d++) {
		int64_t n = 1 + pick(g, 4), s = pick(g, 4);
		if (n > 1 && s * (n - 1) > room)
			s = room / (n - 1);
		room -= s * (n - 1);
		t.dims[d] = num(g, n);
		strides[d] = num(g, s);
		if (once(g, 5)) {
			base = dim_add(g->m, base, num(g, s * (n - 1)));
			strides[d] = num(g, -s);
		}
	}
	if (once(g, 2)) { /* the rest of the tensor as one more axis */
		memmove(t.dims + 1, t.dims, (size_t)t.rank * sizeof *t.dims);
		memmove(strides + 1, strides, (size_t)t.rank++ * sizeof *strides);
		t.dims[0] = dim_add(g->m, dim_sub(g->m, left, num(g, lowest(left))), num(g, room + 1));
		strides[0] = num(g, 1);
	}
	Attr attrs[2] = {mk_dim(Attr_base, base), mk_dims(g->m, Attr_strides_dim, t.rank, strides)};
	return moved(g, x, emit(g, OpView, 1, &x.v, 2, attrs, &t));
}

/* ---- steps: gathers --------------------------------------------------------------------------------------------- */

/* Indices that an axis of extent `d` has in every run: constants, an input, data modulo the extent, or a line. */
static Val pick_index(Gen *g, const Dim *d, Type t)
{
	int64_t below = lowest(d);
	t.dtype = I64;
	need(g, below > 0);
	below = below > 12 ? 12 : below;
	if (all_const(&t) && once(g, 2)) {
		int64_t n = const_numel(&t);
		need(g, n <= 256);
		int64_t *data = arena_alloc(g->m->arena, (size_t)n * sizeof *data + 1), from = pick(g, (int)below);
		bool line = once(g, 2), back = once(g, 4);
		for (int64_t i = 0; i < n; i++) {
			data[i] = line ? (from + i) % below : pick(g, (int)below);
			data[i] -= back ? below : 0;
		}
		need(g, !back || fixed(d) == below);
		return (Val){new_const(g->m, NULL, t, data, (size_t)n * sizeof *data)->value, (double)below, 0, true, false};
	}
	if (once(g, 2))
		return new_input(g, t, FillIndex, below);
	Val x = pick_typed(g, &t), extent = {0};
	Attr a = mk_dims(g->m, Attr_values, 1, &d);
	Type one = {.dtype = I64};
	extent.v = emit(g, OpDims, 0, NULL, 1, &a, &one);
	Value *v = emit(g, OpIMod, 2, (Value *[]){x.v, extent.v}, 0, NULL, NULL);
	return finish(g, v, (double)run_size(g, d), 0, true);
}

static Val step_gather(Gen *g)
{
	Val x = pick_value(g, pick_dtype(g), 1, 4);
	int axis = pick(g, x.v->type.rank);
	Val idx = pick_index(g, x.v->type.dims[axis], pick_type(g, I64, pick(g, 3)));
	Attr a = mk_int(Attr_axis, axis);
	return moved(g, x, emit(g, OpGather, 2, (Value *[]){x.v, idx.v}, 1, &a, NULL));
}

static Val step_gather_elements(Gen *g)
{
	Val x = pick_value(g, pick_dtype(g), 1, 3);
	int axis = pick(g, x.v->type.rank);
	Type t = x.v->type;
	t.dims[axis] = once(g, 2) ? t.dims[axis] : pick_dim(g);
	Val idx = pick_index(g, x.v->type.dims[axis], sized(g, t));
	Attr a = mk_int(Attr_axis, axis);
	return moved(g, x, emit(g, OpGatherElem, 2, (Value *[]){x.v, idx.v}, 1, &a, NULL));
}

static Val step_gather_nd(Gen *g)
{
	Val x = pick_value(g, pick_dtype(g), 1, 4);
	int batch = x.v->type.rank > 1 && once(g, 2), len = 1 + pick(g, x.v->type.rank - batch);
	const Dim *least = x.v->type.dims[batch];
	for (int i = 1; i < len; i++)
		least = dim_min(g->m, least, x.v->type.dims[batch + i]);
	Type t = {.dtype = I64};
	for (int i = 0; i < batch; i++)
		t.dims[t.rank++] = x.v->type.dims[i];
	if (once(g, 2))
		t.dims[t.rank++] = pick_dim(g);
	t.dims[t.rank++] = num(g, len);
	Val idx = pick_index(g, least, sized(g, t));
	Attr a = mk_int(Attr_batch_dims, batch);
	return moved(g, x, emit(g, OpGatherND, 2, (Value *[]){x.v, idx.v}, 1, &a, NULL));
}

/* Of exact elements: rounding would change the order. */
static Val step_top_k(Gen *g)
{
	Val x = pick_value(g, pick_dtype(g), 1, 3);
	need(g, x.exact && x.v->type.dtype != Bool);
	int axis = pick(g, x.v->type.rank);
	const Dim *n = x.v->type.dims[axis];
	Type t = x.v->type;
	t.dtype = I64;
	if (once(g, 2))
		t.dims[axis] = dim_min(g->m, n, num(g, pick(g, 5)));
	Attr a[] = {mk_int(Attr_axis, axis), mk_int(Attr_largest, once(g, 2))};
	return finish(g, emit(g, OpTopK, 1, &x.v, 2, a, &t), (double)run_size(g, n), 0, true);
}

/* Windows by indices i + k, as exporters write unfold. */
static Val step_unfold(Gen *g)
{
	Val x = pick_real(g, 2, 3);
	int axis = pick(g, x.v->type.rank);
	int64_t taps = 1 + pick(g, 4), left = pick(g, (int)taps);
	const Dim *n = x.v->type.dims[axis];
	if (once(g, 3)) { /* only whole windows */
		need(g, lowest(n) >= taps);
		n = dim_sub(g->m, n, num(g, taps - 1));
	} else {
		x = pad_axis(g, x, axis, left, taps - 1 - left);
	}
	Val at = iota(g, I64, n, num(g, 0), 1), tap = iota(g, I64, num(g, taps), num(g, 0), 1);
	at = reshape(g, at, 2, (const Dim *[]){n, num(g, 1)});
	if (once(g, 3))
		tap = reshape(g, tap, 2, (const Dim *[]){num(g, 1), num(g, taps)});
	Value *idx = emit(g, OpAdd, 2, (Value *[]){at.v, tap.v}, 0, NULL, NULL);
	Attr a = mk_int(Attr_axis, axis);
	return moved(g, x, emit(g, OpGather, 2, (Value *[]){x.v, idx}, 1, &a, NULL));
}

/* ---- idioms ----------------------------------------------------------------------------------------------------- */

/* Sometimes something else uses an inner value, which must then stay. */
static Val inner(Gen *g, Val x)
{
	if (once(g, 12))
		keep(g, x);
	return once(g, 25) ? unary(g, OpIdentity, x) : x;
}

static Val mul2(Gen *g, Val x, Val y)
{
	return inner(g, once(g, 2) ? binary(g, OpMul, x, y) : binary(g, OpMul, y, x));
}

static Val add2(Gen *g, Val x, Val y)
{
	return inner(g, once(g, 2) ? binary(g, OpAdd, x, y) : binary(g, OpAdd, y, x));
}

static Val idiom_gelu(Gen *g)
{
	Val x = pick_real(g, 1, 4), h, e;
	if (once(g, 3)) {
		Val cube = mul2(g, x, mul2(g, x, x));
		e = unary(g, OpTanh, mul2(g, add2(g, x, mul2(g, cube, scalar(g, 0.044715))), scalar(g, 0.7978845608028654)));
	} else if (once(g, 2)) {
		Val root = scalar(g, once(g, 5) ? 1.5 : 1.4142135623730951);
		Value *v = emit(g, OpDiv, 2, (Value *[]){x.v, root.v}, 0, NULL, NULL);
		e = unary(g, OpErf, finish(g, v, x.bound, x.noise + Ulp * x.bound, false));
	} else {
		e = unary(g, OpErf, mul2(g, x, scalar(g, 0.7071067811865476)));
	}
	h = add2(g, e, scalar(g, 1));
	if (once(g, 2))
		return mul2(g, mul2(g, x, scalar(g, 0.5)), h);
	return once(g, 2) ? mul2(g, mul2(g, x, h), scalar(g, 0.5)) : mul2(g, x, mul2(g, h, scalar(g, 0.5)));
}

static Val idiom_sigmoid(Gen *g)
{
	Val x = pick_real(g, 1, 4);
	if (once(g, 2))
		return mul2(g, x, unary(g, OpSigmoid, x));
	Val e = unary(g, OpExp, inner(g, unary(g, OpNeg, x))), d = add2(g, e, scalar(g, 1));
	Value *v = once(g, 2) ? emit(g, OpRecip, 1, &d.v, 0, NULL, NULL)
	                      : emit(g, OpDiv, 2, (Value *[]){scalar(g, 1).v, d.v}, 0, NULL, NULL);
	return finish(g, v, 1, d.noise + 4 * Ulp, false);
}

static Val idiom_norm(Gen *g)
{
	Val x = pick_real(g, 1, 3);
	int r = x.v->type.rank;
	int64_t axis = once(g, 6) ? pick(g, r) : r - 1;
	bool rms = once(g, 2);
	Val d = rms ? x : inner(g, binary(g, OpSub, x, reduce(g, OpMean, x, 1, &axis, true)));
	Val sq = once(g, 3) ? d : inner(g, binary(g, OpMul, d, d));
	if (sq.v == d.v) {
		Val two = scalar(g, 2);
		Value *v = emit(g, OpPow, 2, (Value *[]){d.v, two.v}, 0, NULL, NULL);
		sq = finish(g, v, d.bound * d.bound, 2 * d.bound * d.noise + 8 * Ulp * d.bound * d.bound, false);
	}
	Val var = inner(g, reduce(g, OpMean, sq, 1, &axis, true));
	double eps = 0.25;
	Val sum = add2(g, var, scalar(g, eps));
	Value *root = emit(g, OpSqrt, 1, &sum.v, 0, NULL, NULL);
	Val sd = finish(g, root, sqrt(sum.bound), sum.noise + 2 * Ulp * sum.bound, false), y;
	if (once(g, 2)) {
		Value *v = emit(g, OpDiv, 2, (Value *[]){d.v, sd.v}, 0, NULL, NULL);
		y = finish(g, v, 2 * d.bound, 2 * d.noise + 4 * d.bound * sd.noise + 4 * Ulp * d.bound, false);
	} else {
		Value *v = emit(g, OpRecip, 1, &sd.v, 0, NULL, NULL);
		y = binary(g, OpMul, d, finish(g, v, 2, 4 * sd.noise + 4 * Ulp, false));
	}
	Type t = typed(F32, 1, x.v->type.dims + r - 1);
	y = once(g, 4) ? y : mul2(g, y, pick_typed(g, &t));
	return rms || once(g, 2) ? y : add2(g, y, pick_typed(g, &t));
}

static Val idiom_glu(Gen *g)
{
	static const Op acts[] = {OpSigmoid, OpSigmoid, OpSilu, OpGelu, OpTanh, OpRelu};
	Val x = pick_real(g, 1, 3);
	int r = x.v->type.rank, axis = once(g, 5) ? pick(g, r) : r - 1;
	int64_t half = (int64_t[]){1, 4, 8, 15, 16, 24}[pick(g, 6)];
	if (axis == r - 1)
		x = linear(g, x, 2 * half, once(g, 3));
	half = fixed(x.v->type.dims[axis]) / 2;
	need(g, half > 0);
	Val a = slice_axis(g, x, axis, num(g, 0), num(g, half));
	Val b = slice_axis(g, x, axis, num(g, once(g, 10) ? 0 : half), num(g, half));
	Val s = inner(g, unary(g, acts[pick(g, 6)], once(g, 3) ? a : b));
	return mul2(g, s.v->def->in[0] == a.v ? b : a, s);
}

/* [batch, tokens, heads * width] to [batch, heads, tokens, width] */
static Val split_heads(Gen *g, Val x, int64_t heads)
{
	const Dim **d = x.v->type.dims;
	int64_t c = fixed(d[2]);
	need(g, c % heads == 0);
	Val y = reshape(g, x, 4, (const Dim *[]){d[0], d[1], num(g, heads), num(g, c / heads)});
	return inner(g, swap_axes(g, y, 1, 2));
}

static Val causal_mask(Gen *g, const Dim *n, Val scores, double masked)
{
	Val i = iota(g, I64, n, num(g, 0), 1), j = i;
	i = reshape(g, i, 2, (const Dim *[]){n, num(g, 1)});
	j = once(g, 2) ? j : reshape(g, j, 2, (const Dim *[]){num(g, 1), n});
	Value *c = once(g, 2) ? emit(g, OpLe, 2, (Value *[]){j.v, i.v}, 0, NULL, NULL)
	                      : emit(g, OpLt, 2, (Value *[]){i.v, j.v}, 0, NULL, NULL);
	Value *low = const_scalar(g->m, scalar_of_real(F32, masked))->value;
	bool keeps = c->def->op == OpLe;
	Value *v = emit(g, OpWhere, 3, (Value *[]){c, keeps ? scores.v : low, keeps ? low : scores.v}, 0, NULL, NULL);
	return finish(g, v, scores.bound, scores.noise, false);
}

/* One of the things that stand between product and softmax.  A row may lose all its keys only to a finite number that takes the
 * place of the scores: added to them, it rounds, and the evaluator of attention does not. */
static Val mask_scores(Gen *g, Val s, const Dim *batch, const Dim *queries, const Dim *keys)
{
	static const double lows[] = {-INFINITY, -1e4, -1e9, -FLT_MAX};
	const Dim *dims[4] = {once(g, 2) ? batch : num(g, 1), num(g, 1), once(g, 2) ? queries : num(g, 1), keys};
	double low = lows[pick(g, 4)];
	int form = pick(g, 5);
	Type t = typed(F32, 4, dims), c = typed(Bool, 4, dims);
	if (form == 0)
		return add2(g, s, pick_typed(g, &t));
	if (form == 1)
		return mul2(g, s, scalar(g, once(g, 2) ? 0.5 : 1.5));
	if (form == 2) {
		Val cap = scalar(g, 2);
		Value *v = emit(g, OpDiv, 2, (Value *[]){s.v, cap.v}, 0, NULL, NULL);
		return mul2(g, unary(g, OpTanh, finish(g, v, s.bound / 2, s.noise, false)), cap);
	}
	Val keep = new_input(g, c, form == 3 || isinf(low) ? FillMask : FillBool, 0), fill = scalar(g, low);
	Value *in[] = {keep.v, form == 3 ? scalar(g, 0).v : s.v, fill.v};
	if (once(g, 3)) {
		in[0] = emit(g, OpNot, 1, in, 0, NULL, NULL);
		in[2] = in[1];
		in[1] = fill.v;
	}
	Value *v = emit(g, OpWhere, 3, in, 0, NULL, NULL);
	if (form == 3)
		v = emit(g, OpAdd, 2, (Value *[]){s.v, v}, 0, NULL, NULL);
	return finish(g, v, s.bound, s.noise, false);
}

static Val idiom_attention(Gen *g)
{
	Val x = pick_real(g, 3, 3), y = once(g, 2) ? x : pick_real(g, 3, 3);
	need(g, y.v->type.dims[0] == x.v->type.dims[0]);
	int64_t heads = (int64_t[]){1, 2, 3, 4}[pick(g, 4)], c = heads * (int64_t[]){1, 4, 8, 10}[pick(g, 4)];
	const Dim **d = x.v->type.dims, *tk = y.v->type.dims[1];
	need(g, lowest(tk) > 0);
	Val q = split_heads(g, inner(g, linear(g, x, c, false)), heads);
	Val k = split_heads(g, inner(g, linear(g, y, c, false)), heads);
	Val v = split_heads(g, inner(g, linear(g, y, c, false)), heads), s;
	Val scale = scalar(g, 1 / sqrt((double)(c / heads)));
	bool early = once(g, 3);
	q = early ? mul2(g, q, scale) : q;
	s = once(g, 2) ? matmul(g, q, inner(g, swap_axes(g, k, 2, 3)), false, false) : matmul(g, q, k, false, true);
	s = early ? s : mul2(g, inner(g, s), scale);
	for (int i = pick(g, 4); i > 0; i--)
		s = inner(g, tk == d[1] && once(g, 4) ? causal_mask(g, tk, s, once(g, 2) ? -INFINITY : -FLT_MAX)
		                                      : mask_scores(g, s, d[0], d[1], tk));
	Val o = matmul(g, inner(g, softmax(g, s, once(g, 20) ? 2 : 3)), v, false, false);
	o = swap_axes(g, inner(g, o), 1, 2);
	return reshape(g, o, 3, (const Dim *[]){d[0], d[1], num(g, c)});
}

/* Dynamic convolution: slices of the padded input times slices of the weights. */
static Val idiom_taps(Gen *g)
{
	Val x = pick_real(g, 3, 3), sum = {0};
	const Dim **d = x.v->type.dims;
	int64_t c = fixed(d[2]), taps = 1 + pick(g, 4), left = pick(g, (int)taps);
	need(g, c > 0);
	int64_t heads = c % 4 == 0 ? (int64_t[]){1, 2, 4}[pick(g, 3)] : once(g, 2) ? c : 1;
	bool interleaved = once(g, 3), time_first = once(g, 3);
	int time = time_first ? 0 : 1;
	const Dim *wd[4] = {d[0], d[1], num(g, interleaved ? taps : heads), num(g, interleaved ? heads : taps)};
	Type wt = sized(g, typed(F32, 4, wd));
	Val w = inner(g, once(g, 2) ? softmax(g, pick_typed(g, &wt), interleaved ? 2 : 3) : pick_typed(g, &wt));
	Val p = inner(g, pad_axis(g, x, time, left, taps - 1 - left));
	for (int64_t t = 0; t < taps; t++) {
		Val xs = inner(g, slice_axis(g, p, time, num(g, t), d[time]));
		Val ws = slice_axis(g, w, interleaved ? 2 : 3, num(g, once(g, 30) ? 0 : t), num(g, 1));
		const Dim *hd[4] = {d[0], d[1], num(g, interleaved ? c / heads : heads), num(g, interleaved ? heads : c / heads)};
		Val term = mul2(g, reshape(g, xs, 4, hd), ws);
		sum = t ? add2(g, sum, term) : term;
	}
	return reshape(g, sum, 3, d);
}

/* Two linear layers with something in between and a residual. */
static Val idiom_block(Gen *g)
{
	Val x = pick_real(g, 2, 3), y;
	int64_t c = fixed(x.v->type.dims[x.v->type.rank - 1]);
	need(g, c > 0);
	y = once(g, 2) ? affine(g, x, x.v->type.rank - 1, OpNorm) : x;
	y = inner(g, linear(g, y, pick_width(g), once(g, 3)));
	y = inner(g, unary(g, (Op[]){OpRelu, OpGelu, OpTanh, OpSilu}[pick(g, 4)], y));
	y = inner(g, linear(g, y, c, once(g, 3)));
	return once(g, 4) ? y : add2(g, y, x);
}

/* Moves that undo each other, perhaps with arithmetic in between. */
static Val idiom_there_and_back(Gen *g)
{
	Val x = pick_real(g, 2, 4);
	int i = pick(g, x.v->type.rank), k = pick(g, x.v->type.rank);
	Val y = inner(g, swap_axes(g, x, i, k));
	y = once(g, 2) ? y : unary(g, OpTanh, y);
	return swap_axes(g, y, i, once(g, 8) ? 0 : k);
}

#include "random_control.h"

typedef Val Step(Gen *);

static Step *const steps[] = {
	step_unary, step_unary, step_clip, step_binary, step_binary, step_binary, step_pow, step_compare, step_bool,
	step_where, step_int, step_cast, step_iota, step_dims, step_reduce, step_cumsum, step_softmax, step_norm, step_linear,
	step_matmul, step_conv, step_winconv, step_glu, step_attention, step_reshape, step_reshape, step_transpose,
	step_transpose, step_slice, step_slice, step_expand, step_concat, step_pad, step_view, step_gather,
	step_gather_elements, step_gather_nd, step_top_k, step_unfold, idiom_gelu, idiom_sigmoid, idiom_norm, idiom_glu,
	idiom_attention, idiom_attention, idiom_taps, idiom_taps, idiom_block, idiom_there_and_back, step_if, step_if, step_loop, step_loop, step_loop};

static Step *const idioms[] = {step_linear,     step_conv,  idiom_gelu, idiom_norm,  idiom_glu,           idiom_attention,
                               idiom_attention, idiom_attention, idiom_taps, idiom_block, idiom_there_and_back, step_loop, step_loop};

/* ---- graphs ----------------------------------------------------------------------------------------------------- */

static bool block_holds(const Gen *g, const Block *b, int from)
{
	for (int i = from; i < b->ncheck; i++)
		for (int r = 0; r < NRuns; r++) {
			int64_t x, y;
			if (!dim_eval(b->checks[i].a, g->syms[r], &x) || !dim_eval(b->checks[i].b, g->syms[r], &y) || x != y)
				return false;
		}
	return true;
}

/* Those of bodies too, whether they run or not. */
static bool checks_hold(const Gen *g, const Node *last, int from)
{
	for (const Node *n = last ? next_node(last) : first_node(g->m); n; n = next_node(n))
		if (n->op != OpGroup && n->body && (!block_holds(g, n->body, 0) || (n->other && !block_holds(g, n->other, 0))))
			return false;
	return block_holds(g, &g->m->main->body, from);
}

static void undo(Gen *g, Node *last, int npool, int ncheck)
{
	Block *b = g->block = &g->m->main->body;
	g->counter = NULL;
	g->depth = 0;
	while (b->last != last)
		erase_node(b->last);
	g->npool = npool;
	b->ncheck = ncheck;
}

static void try_step(Gen *g)
{
	Node *last = g->m->main->body.last;
	int npool = g->npool, ncheck = g->m->main->body.ncheck, errors = error_count();
	diag_recover = &g->step;
	diag_stream = g->null;
	if (!setjmp(g->step)) {
		int n = g->idioms_only ? sizeof idioms / sizeof *idioms : sizeof steps / sizeof *steps;
		Val y = (g->idioms_only ? idioms : steps)[pick(g, n)](g);
		diag_recover = NULL;
		diag_stream = NULL;
		if (checks_hold(g, last, ncheck)) {
			keep(g, y);
			g->nstep++;
			return;
		}
	}
	diag_recover = NULL;
	diag_stream = NULL;
	g->nrefused += error_count() > errors;
	undo(g, last, npool, ncheck);
}

static void add_symbols(Gen *g)
{
	static const char *const names[] = {"batch", "seq"};
	int n = pick(g, 3);
	for (int i = 0; i < n; i++) {
		Sym *s = dim_as_sym(dim_sym(g->m, names[i]));
		s->lo = pick(g, 4);
		s->hi = once(g, 3) ? 64 : DimMax;
		for (int r = 0; r < NRuns; r++)
			g->syms[r][i] = s->lo + pick(g, once(g, 4) ? 30 : 6);
	}
	for (int i = 0; i < MaxMenu; i++) {
		static const int64_t some[] = {1, 2, 3, 4, 6, 8, 8, 16, 17, 32, 33};
		const Dim *d = num(g, some[pick(g, sizeof some / sizeof *some)]);
		if (n && i < 2)
			d = dim_sym(g->m, names[i % n]);
		else if (n && once(g, 4))
			d = once(g, 2) ? dim_add(g->m, dim_sym(g->m, names[0]), num(g, 1 + pick(g, 3)))
			               : dim_mul(g->m, dim_sym(g->m, names[n - 1]), num(g, 2));
		g->menu[i] = d;
	}
}

/* Every symbol must be the dim of some input. */
static void bind_symbols(Gen *g)
{
	for (int i = 0; i < g->m->nsym; i++) {
		Type t = {.dtype = F32, .rank = 1, .dims = {dim_sym(g->m, g->m->syms[i]->name)}};
		keep(g, new_input(g, t, FillReal, 0));
	}
}

static void add_outputs(Gen *g)
{
	Func *f = g->m->main;
	f->results = arena_alloc(g->m->arena, MaxPool * sizeof *f->results);
	for (int i = g->npool - 1; i >= 0; i--) {
		Value *v = g->pool[i].v;
		bool end = !v->nuse && v->def;
		if ((end && f->body.nyield < 8) || (!f->body.nyield && !i)) {
			f->results[f->body.nyield] = arena_printf(g->m->arena, "out%d", f->body.nyield);
			add_yield(g->m, &f->body, v);
		}
	}
}

/* A module of about `size` steps from a seed; the caller frees g->m. */
static void random_graph(Gen *g, uint64_t seed, int size)
{
	static int64_t syms[NRuns][MaxSyms];
	*g = (Gen){.state = seed * 0x2545f4914f6cdd1du + 1, .m = new_module("fuzz", NULL), .null = fopen("/dev/null", "w"),
	           .idioms_only = seed % 4 == 3};
	for (int r = 0; r < NRuns; r++)
		g->syms[r] = memset(syms[r], 0, sizeof syms[r]);
	g->block = &g->m->main->body;
	add_symbols(g);
	if (!setjmp(g->step))
		bind_symbols(g);
	for (int tries = 0; g->nstep < size && tries < 8 * size; tries++)
		try_step(g);
	add_outputs(g);
	diag_reset();
	fclose(g->null);
}

/* Inputs of run r; free_tensor() frees their data. */
static void random_inputs(Gen *g, int r, Tensor *in)
{
	uint64_t state = g->state + 77 * (uint64_t)r;
	for (int i = 0; i < g->m->main->nparam; i++) {
		const Type *type = &g->m->main->params[i]->type;
		Tensor *t = &in[i];
		*t = (Tensor){.dtype = type->dtype, .rank = type->rank};
		for (int d = 0; d < t->rank; d++)
			if (!dim_eval(type->dims[d], g->syms[r], &t->dims[d]))
				bug("an input has no size");
		int64_t n = tensor_numel(t), row = t->rank ? t->dims[t->rank - 1] : 1;
		t->data = malloc((size_t)n * (size_t)dtypes[t->dtype].bytes + 1);
		for (int64_t k = 0; k < n; k++) {
			double u = next_unit(&state);
			int64_t index = (int64_t)(u * (double)g->params[i].below);
			switch (t->dtype) {
			case F32: ((float *)t->data)[k] = (float)(4 * u - 2); break;
			case I64: ((int64_t *)t->data)[k] = index; break;
			case I32: ((int32_t *)t->data)[k] = (int32_t)index; break;
			case Bool: ((uint8_t *)t->data)[k] = u < 0.6 || (g->params[i].fill == FillMask && k % row == 0); break;
			default: bug("an input of type %s", dtypes[t->dtype].text);
			}
		}
	}
}

#endif
