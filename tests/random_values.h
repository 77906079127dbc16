/* random_values.h - chance, dims and values for random_graph.h: what a value is known to hold, and where new ones come from.
 *
 * Passes may round differently, so every value carries a bound of its magnitude and of the difference that rounding may have made so
 * far (`noise`).  What jumps (floor, comparisons, casts to integers) is only applied to values that no pass may change by a bit
 * (`exact`), and steps that amplify noise too much are given up.  So equal graphs give equal values, within a small tolerance.
 *
 * Integers and bools are exact.  What a type of less than 32 bits holds is exact as long as it comes of exact values by operations that
 * f32 rounds correctly, for the cast behind each of them stays; otherwise it may be off by one unit in the last place, and nothing but
 * movement and choice takes it from there.
 */
#ifndef DCC_RANDOM_VALUES_H
#define DCC_RANDOM_VALUES_H

#include "census.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MaxPool = 256, MaxMenu = 6, MaxRunNumel = 3000, MaxWeight = 1 << 15, NRuns = 2, MaxParams = 48, MaxSyms = 64, MaxResults = 14 };

/* How the elements of an input are made. */
typedef enum Fill {
	FillAny, /* floats up to 2; integers small or not; bools */
	FillSpecial, /* floats: also zeros of both signs, what is not finite or no number, and the extremes */
	FillIndex,
	FillMask /* bools, the first of each row true */
} Fill;

typedef struct Val {
	Value *v;
	double bound, noise; /* bound: infinite where elements may be no numbers */
	bool exact, spread; /* spread: independent random elements */
} Val;

typedef struct Gen {
	Module *m;
	Block *block; /* where nodes go */
	Op op; /* what the step under way is to make, and of what element type */
	DType type;
	bool wished;
	bool apart; /* what the step makes now is for nothing else */
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
	bool exact[MaxResults]; /* of the outputs */
	bool idioms_only; /* every fourth graph: single operators rarely add up to what the passes look for */
	int nrefused, nstep;
	char said[200]; /* the last refusal */
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
	return once(g, 8) ? num(g, !once(g, 8)) : g->menu[pick(g, MaxMenu)];
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

static Type of_dtype(Type t, DType dtype)
{
	t.dtype = dtype;
	return t;
}

/* ---- element types ---------------------------------------------------------------------------------------------- */

static const double Ulp = 1.2e-7; /* a bit above 2^-23: of one f32 operation, relative */

static bool is_floating(DType t)
{
	return dtypes[t].cls == ClassFloat;
}

/* What one operation of the type, or of the one that computes for it, rounds off. */
static double ulp(DType t)
{
	return t == F64 ? 2.3e-16 : is_floating(t) ? Ulp : 0;
}

static double greatest(DType t)
{
	if (is_floating(t))
		return t == F64 ? DBL_MAX : t == F32 ? FLT_MAX : scalar_at(t, (uint64_t[]){largest_bits(t)}, 0).f;
	return t == Bool ? 1 : ldexp(1, dtypes[t].bits - (dtypes[t].cls == ClassSigned));
}

static double as_real(Scalar s)
{
	return is_floating(s.dtype) ? s.f : dtypes[s.dtype].cls == ClassUnsigned ? (double)s.u : (double)s.i;
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

/* What a sum of k products comes to, of weights between -1 and 1 that are independent of what they meet: six standard deviations. */
static double sum_of(double k)
{
	return fmin(k, 3.5 * sqrt(k));
}

/* A value whose elements are those of operands, or computed exactly. */
static Val finish(Gen *g, Value *v, double bound, double noise, bool exact)
{
	DType t = v->type.dtype;
	double allowed = is_narrow(t) ? 1.25 * unit_of(t) : 66 * ulp(t);
	bool saturates = !is_floating(t) || (is_tiny(t) && bound <= DBL_MAX);
	if (is_const(v))
		need(g, const_numel(&v->type) <= MaxWeight); /* computed once */
	else
		sized(g, v->type);
	bound = bound <= greatest(t) ? bound : saturates ? greatest(t) : INFINITY;
	exact = exact || !is_floating(t);
	need(g, exact || bound < 200);
	need(g, exact || noise <= allowed * fmax(1, bound));
	return (Val){v, bound, exact ? 0 : noise, exact, false};
}

/* The result of arithmetic, which rounds; `correctly`: from exact operands, in the only way there is. */
static Val rounded(Gen *g, Value *v, double bound, double noise, bool correctly)
{
	DType t = v->type.dtype;
	if (!is_narrow(t))
		return finish(g, v, bound, noise, false);
	bound = is_tiny(t) && bound > greatest(t) ? greatest(t) : bound * (1 + unit_of(t));
	return finish(g, v, bound, noise + unit_of(t) * bound, correctly);
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
	double bound = fill == FillSpecial     ? INFINITY
	               : is_floating(t.dtype) ? (is_narrow(t.dtype) ? 2 + 2 * unit_of(t.dtype) : 2)
	               : fill == FillIndex  ? (double)below
	                                    : greatest(t.dtype);
	return (Val){new_param(g->m, NULL, t), bound, 0, true, is_floating(t.dtype)};
}

/* Elements of FillAny, but that floats go to `bound`. */
static Scalar random_scalar(uint64_t *state, DType t, double bound)
{
	double u = next_unit(state);
	if (is_floating(t)) /* a type without a sign has no 0 */
		return scalar_of_real(t, bound * (formats[t].special == SpecialPower ? u : 2 * u - 1));
	if (t == Bool)
		return scalar_of_int(t, u < 0.6);
	return scalar_of_int(t, u < 0.7 ? (int64_t)(u * 20) - 4 : (int64_t)next_word(state));
}

static Scalar special_scalar(uint64_t *state, DType t)
{
	static const double specials[] = {0, -0.0, INFINITY, -INFINITY, NAN, 1e300, -1e300, 1e-300, FLT_MIN, -FLT_MIN / 4};
	double u = next_unit(state) * 16;
	return u < 10 ? cast_scalar((Scalar){.dtype = F64, .f = specials[(int)u]}, t) : random_scalar(state, t, 4);
}

/* Independent elements to `bound`. */
static Val new_weight(Gen *g, Type t, double bound)
{
	int64_t n = const_numel(&t), bytes = dtypes[t.dtype].bytes;
	need(g, n <= MaxWeight);
	char *data = arena_alloc(g->m->arena, (size_t)(n * bytes) + 1);
	for (int64_t i = 0; i < n; i++)
		put_scalar(data + i * bytes, random_scalar(&g->state, t.dtype, bound));
	bound = is_floating(t.dtype) ? bound * (is_narrow(t.dtype) ? 1 + unit_of(t.dtype) : 1) : greatest(t.dtype);
	return (Val){new_const(g->m, NULL, t, data, (size_t)(n * bytes))->value, bound, 0, true, true};
}

/* The nearest number to x that the type has. */
static Val number(Gen *g, DType t, double x)
{
	Scalar s = scalar_of_real(t, x);
	return (Val){const_scalar(g->m, s)->value, fabs(as_real(s)), 0, true, false};
}

static Val scalar(Gen *g, double x)
{
	return number(g, F32, x);
}

static Val new_value(Gen *g, Type t)
{
	bool small = t.dtype == I64 || t.dtype == I32 ? !once(g, 4) : is_among(t.dtype, TypesInt) && once(g, 2);
	if (all_const(&t) && once(g, g->wished ? 8 : 2))
		return new_weight(g, sized(g, t), 1.5);
	if (is_floating(t.dtype) && once(g, 12))
		return new_input(g, t, FillSpecial, 0);
	return new_input(g, t, small ? FillIndex : FillAny, (int64_t)fmin(5, greatest(t.dtype)));
}

static void keep(Gen *g, Val x)
{
	if (g->apart)
		return;
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
	return new_value(g, t);
}

/* x, or something new of its type that nothing changes by a bit. */
static Val exactly(Gen *g, Val x)
{
	return x.exact ? x : new_value(g, x.v->type);
}

/* Of the element type of the step. */
static Val pick_own(Gen *g, int least_rank, int most_rank)
{
	return pick_value(g, g->type, least_rank, most_rank);
}

/* A value of this very type: from the pool, or new. */
static Val pick_typed(Gen *g, const Type *t)
{
	for (int tries = 0; tries < 12 && g->npool; tries++) {
		Val x = g->pool[pick(g, g->npool)];
		if (type_equal(&x.v->type, t))
			return x;
	}
	return new_value(g, *t);
}

/* One whose products stay small and whose noise does not show: of the pool, or new. */
static Val pick_calm(Gen *g, int least_rank, int most_rank)
{
	enum { Most = 3 };
	Val x = pick_own(g, least_rank, most_rank);
	if (x.bound <= Most && x.noise <= Most * ulp(g->type))
		return x;
	return new_input(g, x.v->type, FillAny, 0);
}

/* Of a type that broadcasts with t. */
static Val pick_partner(Gen *g, const Type *t)
{
	Type want = *t;
	if (once(g, 4))
		return pick_typed(g, t);
	if (once(g, 3) && t->dtype != Bool)
		return number(g, t->dtype, (double[]){1, 0, 2, 0.5, -1, 0.1}[pick(g, 6)]);
	int drop = pick(g, t->rank + 1);
	want.rank -= drop;
	for (int d = 0; d < want.rank; d++)
		want.dims[d] = once(g, 3) ? num(g, 1) : t->dims[d + drop];
	return pick_typed(g, &want);
}

#endif
