/* eval_ops.c - what every operator means, as plain loops; the reference for folding, rewrites, schedules and kernels.
 *
 * Elementwise ops expand the scalar column of ops.def three times: in float for f32, in double for f64, in int64_t for
 * integers and bool (results are truncated to the element type, so arithmetic wraps).  Everything that sums does so in
 * double, or int64_t for integers.  Dims that must agree are checked here again, so that a wrong type is a message and
 * never a wild access.
 */
#include "eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TRY(expr)                                                                                                      \
	do {                                                                                                           \
		const char *wrong_ = (expr);                                                                           \
		if (wrong_)                                                                                            \
			return wrong_;                                                                                 \
	} while (0)

/* ---- memory and conversion -------------------------------------------------------------------------------------- */

static void *alloc_temp(EvalNode *e, int64_t count, size_t bytes)
{
	if (e->ntemps == MaxTemps)
		bug("too many temporaries");
	void *p = calloc(count > 0 ? (size_t)count : 1, bytes);
	if (p)
		e->temps[e->ntemps++] = p;
	return p;
}

#define OUT_OF_MEMORY(e) eval_fail((e), "out of memory")

#define NORMAL(cls, x) ((cls) == ClassBool ? (x) != 0 : (x))

static void load_reals(double *to, const Tensor *t, int64_t at, int64_t stride, int64_t n)
{
	switch (t->dtype) {
#define DTYPE(name, text, bytes, ctype, cls, onnx)                                                                     \
	case name:                                                                                                     \
		for (int64_t i = 0; i < n; i++)                                                                        \
			to[i] = (double)NORMAL(cls, ((const ctype *)t->data)[at + i * stride]);                        \
		break;
#include "dtypes.def"
#undef DTYPE
	case NDTypes: bug("no such type");
	}
}

static void load_ints(int64_t *to, const Tensor *t, int64_t at, int64_t stride, int64_t n)
{
	switch (t->dtype) {
#define DTYPE(name, text, bytes, ctype, cls, onnx)                                                                     \
	case name:                                                                                                     \
		for (int64_t i = 0; i < n && (cls) != ClassFloat; i++)                                                 \
			to[i] = (int64_t)NORMAL(cls, ((const ctype *)t->data)[at + i * stride]);                       \
		break;
#include "dtypes.def"
#undef DTYPE
	case NDTypes: bug("no such type");
	}
}

/* Takes f32, f64 and bool tensors. */
static void store_reals(Tensor *t, int64_t at, const double *from, int64_t n)
{
	float *f = t->data;
	double *d = t->data;
	uint8_t *b = t->data;
	for (int64_t i = 0; i < n; i++) {
		if (t->dtype == F32)
			f[at + i] = (float)from[i];
		else if (t->dtype == F64)
			d[at + i] = from[i];
		else
			b[at + i] = from[i] != 0;
	}
}

/* Keeps the low bits. */
static void store_ints(Tensor *t, int64_t at, const int64_t *from, int64_t n)
{
	switch (t->dtype) {
#define DTYPE(name, text, bytes, ctype, cls, onnx)                                                                     \
	case name:                                                                                                     \
		for (int64_t i = 0; i < n; i++)                                                                        \
			((ctype *)t->data)[at + i] = (ctype)from[i];                                                   \
		break;
#include "dtypes.def"
#undef DTYPE
	case NDTypes: bug("no such type");
	}
}

static const double *as_reals(EvalNode *e, const Tensor *t)
{
	if (t->dtype == F64)
		return t->data;
	int64_t n = tensor_numel(t);
	double *p = alloc_temp(e, n, sizeof *p);
	if (p)
		load_reals(p, t, 0, 1, n);
	return p;
}

static const int64_t *as_ints(EvalNode *e, const Tensor *t)
{
	if (t->dtype == I64)
		return t->data;
	int64_t n = tensor_numel(t);
	int64_t *p = alloc_temp(e, n, sizeof *p);
	if (p)
		load_ints(p, t, 0, 1, n);
	return p;
}

static bool is_real(const Tensor *t)
{
	return dtypes[t->dtype].cls == ClassFloat;
}

static const Tensor *operand(const EvalNode *e, int i)
{
	return i < e->n->nin ? e->in[i] : NULL;
}

static int64_t count_dims(const Tensor *t, int first, int end)
{
	int64_t n = 1;
	for (int i = first; i < end; i++)
		n *= t->dims[i];
	return n;
}

static const char *need_dims(EvalNode *e, bool agree)
{
	return agree ? NULL : eval_fail(e, "dims of the operands disagree");
}

/* ---- walking several tensors at once ---------------------------------------------------------------------------- */

enum { MaxStreams = 4 };

/* Rows along the last axis of an index space; stream k is at off[k] and steps by stride[k][rank - 1] within the row. */
typedef struct Walk {
	int rank, nstream;
	int64_t dims[MaxRank], at[MaxRank], stride[MaxStreams][MaxRank], off[MaxStreams];
} Walk;

static bool can_collapse(const Walk *w, int d)
{
	for (int k = 0; k < w->nstream; k++)
		if (w->stride[k][d] != w->stride[k][d + 1] * w->dims[d + 1])
			return false;
	return true;
}

static void drop_axis(Walk *w, int d)
{
	for (int i = d; i + 1 < w->rank; i++) {
		w->dims[i] = w->dims[i + 1];
		for (int k = 0; k < w->nstream; k++)
			w->stride[k][i] = w->stride[k][i + 1];
	}
	w->rank--;
}

/* Merges axes that all streams cross evenly; false if the space is empty. */
static bool walk_start(Walk *w)
{
	if (w->rank == 0) {
		w->rank = 1;
		w->dims[0] = 1;
	}
	for (int d = 0; d < w->rank; d++)
		if (w->dims[d] == 0)
			return false;
	for (int d = w->rank - 2; d >= 0; d--) {
		if (can_collapse(w, d)) {
			w->dims[d + 1] *= w->dims[d];
			drop_axis(w, d);
		}
	}
	memset(w->at, 0, sizeof w->at);
	return true;
}

static bool walk_next(Walk *w)
{
	for (int d = w->rank - 2; d >= 0; d--) {
		for (int k = 0; k < w->nstream; k++)
			w->off[k] += w->stride[k][d];
		if (++w->at[d] < w->dims[d])
			return true;
		for (int k = 0; k < w->nstream; k++)
			w->off[k] -= w->stride[k][d] * w->dims[d];
		w->at[d] = 0;
	}
	return false;
}

static void walk_over(Walk *w, const Tensor *space)
{
	memset(w, 0, sizeof *w);
	w->rank = space->rank;
	memcpy(w->dims, space->dims, sizeof w->dims);
}

/* A stream over `t` broadcast to the space; false if t does not reach it. */
static bool walk_add(Walk *w, const Tensor *t)
{
	int64_t stride = 1, *own = w->stride[w->nstream++];
	if (t->rank > w->rank)
		return false;
	for (int d = t->rank - 1; d >= 0; d--) {
		int to = d + w->rank - t->rank;
		if (t->dims[d] != w->dims[to] && t->dims[d] != 1)
			return false;
		own[to] = t->dims[d] == 1 ? 0 : stride;
		stride *= t->dims[d];
	}
	return true;
}

/* ---- the scalar vocabulary of ops.def --------------------------------------------------------------------------- */
/* Functions, so that no compiler contracts two of them into one fused operation. */

#define REAL_SCALARS(S, T)                                                                                             \
	static inline T add_##S(T a, T b) { return a + b; }                                                            \
	static inline T sub_##S(T a, T b) { return a - b; }                                                            \
	static inline T mul_##S(T a, T b) { return a * b; }                                                            \
	static inline T div_##S(T a, T b) { return a / b; }                                                            \
	static inline T min_##S(T a, T b) { return a != a ? a : a < b ? a : b; }                                       \
	static inline T max_##S(T a, T b) { return a != a ? a : a > b ? a : b; }                                       \
	static inline T pow_##S(T a, T b) { return (T)pow((double)a, (double)b); }

REAL_SCALARS(f32, float)
REAL_SCALARS(f64, double)

static inline int64_t add_int(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static inline int64_t sub_int(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a - (uint64_t)b);
}

static inline int64_t mul_int(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a * (uint64_t)b);
}

static inline int64_t mod_int(int64_t a, int64_t b)
{
	if (b == 0 || b == -1)
		return 0;
	int64_t r = a % b;
	return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static inline int64_t div_int(int64_t a, int64_t b)
{
	if (b == 0)
		return 0;
	if (b == -1)
		return sub_int(0, a);
	return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static int64_t pow_int(int64_t a, int64_t b)
{
	int64_t r = 1;
	if (b < 0)
		return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
	for (; b; b >>= 1, a = mul_int(a, a))
		if (b & 1)
			r = mul_int(r, a);
	return r;
}

/* Truncates and saturates; NaN gives 0. */
static int64_t int_of_real(double x)
{
	if (x != x)
		return 0;
	if (x >= 9223372036854775808.0)
		return INT64_MAX;
	return x <= -9223372036854775808.0 ? INT64_MIN : (int64_t)x;
}

static _Noreturn void no_meaning(Op op, const char *cls)
{
	bug("%s has no meaning for %s", ops[op].text, cls);
}

#define EXPAND_Source(name, scalar)
#define EXPAND_Reduce(name, scalar)
#define EXPAND_Gemm(name, scalar)
#define EXPAND_Window(name, scalar)
#define EXPAND_Attention(name, scalar)
#define EXPAND_Move(name, scalar)
#define EXPAND_Index(name, scalar)
#define EXPAND_Opaque(name, scalar)
#define EXPAND_Extern(name, scalar)
#define EXPAND_Group(name, scalar)
#define OP(name, text, in, cls, shape, attrs, flags, scalar) EXPAND_##cls(name, scalar)

enum { ChunkLen = 256 };

/* A stretch of at most ChunkLen elements; operands that the op lacks repeat another one. */
typedef struct RealChunk {
	Op op;
	int n;
	double lo, hi;
	double x[3][ChunkLen], y[ChunkLen];
} RealChunk;

typedef struct IntChunk {
	Op op;
	int n;
	double lo, hi;
	bool logical; /* bool arithmetic */
	int64_t x[3][ChunkLen], y[ChunkLen];
} IntChunk;

#define SUB(x, y) SCALAR(sub)(x, y)
#define ADD(x, y) SCALAR(add)(x, y)
#define MUL(x, y) SCALAR(mul)(x, y)
#define MIN(x, y) SCALAR(min)(x, y)
#define MAX(x, y) SCALAR(max)(x, y)
#define POW(x, y) SCALAR(pow)(x, y)
#define SELECT(c, a, b) ((c) != 0 ? (a) : (b))
#define EQ(x, y) ((x) == (y))
#define LT(x, y) ((x) < (y))
#define LE(x, y) ((x) <= (y))
#define CAST(x) (x)
#define LO c->lo
#define HI c->hi

#define DIV(x, y) SCALAR(div)(x, y)
#define NEG(x) (-(x))
#define ABS(x) REAL(fabs(x))
#define SQRT(x) REAL(sqrt(x))
#define EXP(x) REAL(exp(x))
#define LOG(x) REAL(log(x))
#define TANH(x) REAL(tanh(x))
#define ERF(x) REAL(erf(x))
#define SIN(x) REAL(sin(x))
#define COS(x) REAL(cos(x))
#define FLOOR(x) REAL(floor(x))
#define CEIL(x) REAL(ceil(x))
#define ROUND(x) REAL(nearbyint(x))
#define ISNAN(x) ((x) != (x))
#define K(x) REAL(x)
#define IDIV(x, y) (no_meaning(c->op, "floats"), (x))
#define IMOD(x, y) IDIV(x, y)
#define AND(x, y) IDIV(x, y)
#define OR(x, y) IDIV(x, y)
#define XOR(x, y) IDIV(x, y)
#define NOT(x) IDIV(x, x)
#define EXPAND_Ewise(name, scalar)                                                                                     \
	case Op##name:                                                                                                 \
		for (int i = 0; i < c->n; i++) {                                                                       \
			const REAL_TYPE A = REAL(c->x[0][i]), B = REAL(c->x[1][i]), C = REAL(c->x[2][i]);              \
			(void)A, (void)B, (void)C;                                                                     \
			c->y[i] = (double)(scalar);                                                                    \
		}                                                                                                      \
		break;

#define REAL(x) ((float)(x))
#define REAL_TYPE float
#define SCALAR(f) f##_f32
static void run_f32(RealChunk *c)
{
	switch (c->op) {
#include "ops.def"
	default: no_meaning(c->op, "f32");
	}
}
#undef REAL
#undef REAL_TYPE
#undef SCALAR

#define REAL(x) ((double)(x))
#define REAL_TYPE double
#define SCALAR(f) f##_f64
static void run_f64(RealChunk *c)
{
	switch (c->op) {
#include "ops.def"
	default: no_meaning(c->op, "f64");
	}
}
#undef REAL
#undef REAL_TYPE
#undef SCALAR

#undef DIV
#undef NEG
#undef ABS
#undef SQRT
#undef EXP
#undef LOG
#undef TANH
#undef ERF
#undef SIN
#undef COS
#undef FLOOR
#undef CEIL
#undef ROUND
#undef ISNAN
#undef K
#undef IDIV
#undef IMOD
#undef AND
#undef OR
#undef XOR
#undef NOT
#undef EXPAND_Ewise
#undef MIN
#undef MAX

#define SCALAR(f) f##_int
#define MIN(x, y) ((x) < (y) ? (x) : (y))
#define MAX(x, y) ((x) > (y) ? (x) : (y))
#define DIV(x, y) (no_meaning(c->op, "integers"), (x))
#define SQRT(x) DIV(x, x)
#define EXP(x) DIV(x, x)
#define LOG(x) DIV(x, x)
#define TANH(x) DIV(x, x)
#define ERF(x) DIV(x, x)
#define SIN(x) DIV(x, x)
#define COS(x) DIV(x, x)
#define ISNAN(x) DIV(x, x)
#define NEG(x) sub_int(0, x)
#define ABS(x) ((x) < 0 ? sub_int(0, x) : (x))
#define FLOOR(x) (x)
#define CEIL(x) (x)
#define ROUND(x) (x)
#define K(x) int_of_real(x)
#define IDIV(x, y) div_int(x, y)
#define IMOD(x, y) mod_int(x, y)
#define AND(x, y) ((x) & (y))
#define OR(x, y) ((x) | (y))
#define XOR(x, y) ((x) ^ (y))
#define NOT(x) (c->logical ? !(x) : ~(x))
#define EXPAND_Ewise(name, scalar)                                                                                     \
	case Op##name:                                                                                                 \
		for (int i = 0; i < c->n; i++) {                                                                       \
			const int64_t A = c->x[0][i], B = c->x[1][i], C = c->x[2][i];                                  \
			(void)A, (void)B, (void)C;                                                                     \
			c->y[i] = (scalar);                                                                            \
		}                                                                                                      \
		break;
static void run_int(IntChunk *c)
{
	switch (c->op) {
#include "ops.def"
	default: no_meaning(c->op, "integers");
	}
}
#undef OP

/* ---- elementwise ------------------------------------------------------------------------------------------------ */

static void ewise_reals(EvalNode *e, const Walk *w, DType dtype, int64_t first, int n)
{
	RealChunk c = {.op = e->n->op, .n = n, .lo = attr_float(e->n, Attr_lo), .hi = attr_float(e->n, Attr_hi)};
	int inner = w->rank - 1;
	for (int i = 0; i < 3; i++) {
		int from = i < e->n->nin ? i : 0;
		load_reals(c.x[i], e->in[from], w->off[1 + from] + first * w->stride[1 + from][inner],
		           w->stride[1 + from][inner], n);
	}
	if (dtype == F32)
		run_f32(&c);
	else
		run_f64(&c);
	store_reals(e->out, w->off[0] + first, c.y, n);
}

static void ewise_ints(EvalNode *e, const Walk *w, int64_t first, int n)
{
	IntChunk c = {.op = e->n->op, .n = n, .lo = attr_float(e->n, Attr_lo), .hi = attr_float(e->n, Attr_hi),
	              .logical = e->out->dtype == Bool};
	int inner = w->rank - 1;
	for (int i = 0; i < 3; i++) {
		int from = i < e->n->nin ? i : 0;
		load_ints(c.x[i], e->in[from], w->off[1 + from] + first * w->stride[1 + from][inner],
		          w->stride[1 + from][inner], n);
	}
	run_int(&c);
	store_ints(e->out, w->off[0] + first, c.y, n);
}

/* A float becomes an integer of 64 or 32 bits by truncation with saturation, a narrower one by the low bits of that. */
static int64_t cast_to_int(double x, DType to)
{
	int64_t v = int_of_real(x);
	if (to == I64)
		return v;
	return v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : v;
}

static void cast_chunk(EvalNode *e, const Walk *w, int64_t first, int n)
{
	double reals[ChunkLen];
	int64_t ints[ChunkLen], at = w->off[1] + first;
	const Tensor *x = e->in[0];
	DType to = e->out->dtype;
	if (is_real(x)) {
		load_reals(reals, x, at, 1, n);
		for (int i = 0; i < n; i++)
			ints[i] = to == Bool ? reals[i] != 0 : cast_to_int(reals[i], to);
	} else {
		load_ints(ints, x, at, 1, n);
		for (int i = 0; i < n; i++) {
			reals[i] = to == F32 ? (double)(float)ints[i] : (double)ints[i];
			ints[i] = to == Bool ? ints[i] != 0 : ints[i];
		}
	}
	if (is_real(e->out))
		store_reals(e->out, w->off[0] + first, reals, n);
	else
		store_ints(e->out, w->off[0] + first, ints, n);
}

static const char *eval_ewise(EvalNode *e)
{
	Walk w;
	const Tensor *last = e->in[e->n->nin - 1]; /* the condition of `where` is not what is computed with */
	walk_over(&w, e->out);
	bool fits = walk_add(&w, e->out);
	for (int i = 0; i < e->n->nin; i++)
		fits = walk_add(&w, e->in[i]) && fits;
	TRY(need_dims(e, fits));
	if (!walk_start(&w))
		return NULL;
	do {
		int64_t len = w.dims[w.rank - 1];
		for (int64_t i = 0; i < len; i += ChunkLen) {
			int n = (int)(len - i < ChunkLen ? len - i : ChunkLen);
			if (e->n->op == OpCast)
				cast_chunk(e, &w, i, n);
			else if (is_real(last))
				ewise_reals(e, &w, last->dtype, i, n);
			else
				ewise_ints(e, &w, i, n);
		}
	} while (walk_next(&w));
	return NULL;
}

static const char *eval_glu(EvalNode *e)
{
	const Tensor *x = e->in[0];
	int axis = (int)attr_int(e->n, Attr_axis);
	int64_t outer = count_dims(x, 0, axis), half = count_dims(e->out, axis, e->out->rank);
	bool gate_first = attr_int(e->n, Attr_gate);
	void (*run)(RealChunk *) = x->dtype == F32 ? run_f32 : run_f64;
	RealChunk c = {.lo = -INFINITY, .hi = INFINITY};
	TRY(need_dims(e, count_dims(x, axis, x->rank) == 2 * half));
	for (int64_t o = 0; o < outer; o++) {
		for (int64_t i = 0; i < half; i += c.n) {
			int64_t first = 2 * o * half + i;
			c.n = (int)(half - i < ChunkLen ? half - i : ChunkLen);
			c.op = (Op)attr_int(e->n, Attr_act);
			load_reals(c.x[0], x, first + (gate_first ? 0 : half), 1, c.n);
			run(&c);
			memcpy(c.x[1], c.y, sizeof c.y);
			c.op = OpMul;
			load_reals(c.x[0], x, first + (gate_first ? half : 0), 1, c.n);
			run(&c);
			store_reals(e->out, o * half + i, c.y, c.n);
		}
	}
	return NULL;
}

/* ---- reductions ------------------------------------------------------------------------------------------------- */

/* Streams: 0 the operand, 1 the result with stride 0 along reduced axes. */
static const char *walk_reduce(EvalNode *e, Walk *w, int64_t *reduced)
{
	const int64_t *axes;
	const Tensor *x = e->in[0];
	int naxes = attr_ints(e->n, Attr_axes, &axes);
	int64_t stride = 1;
	walk_over(w, x);
	walk_add(w, x);
	w->nstream = 2;
	*reduced = 1;
	for (int d = x->rank - 1; d >= 0; d--) {
		if (naxes && axes[naxes - 1] == d) {
			naxes--;
			*reduced *= x->dims[d];
		} else {
			w->stride[1][d] = stride;
			stride *= x->dims[d];
		}
	}
	return need_dims(e, stride == tensor_numel(e->out));
}

static const char *reduce_reals(EvalNode *e)
{
	Walk w;
	int64_t reduced, n = tensor_numel(e->out);
	Op op = e->n->op;
	const double *x = as_reals(e, e->in[0]);
	double *sum = alloc_temp(e, n, sizeof *sum);
	if (!x || !sum)
		return OUT_OF_MEMORY(e);
	TRY(walk_reduce(e, &w, &reduced));
	for (int64_t i = 0; i < n; i++)
		sum[i] = op == OpReduceMax ? -INFINITY : op == OpReduceMin ? INFINITY : 0;
	if (walk_start(&w)) {
		do {
			for (int64_t i = 0; i < w.dims[w.rank - 1]; i++) {
				double v = x[w.off[0] + i * w.stride[0][w.rank - 1]];
				double *s = &sum[w.off[1] + i * w.stride[1][w.rank - 1]];
				*s = op == OpReduceMax ? max_f64(v, *s) : op == OpReduceMin ? min_f64(v, *s) : *s + v;
			}
		} while (walk_next(&w));
	}
	for (int64_t i = 0; i < n && op == OpMean; i++)
		sum[i] /= (double)reduced;
	store_reals(e->out, 0, sum, n);
	return NULL;
}

static const char *reduce_ints(EvalNode *e)
{
	Walk w;
	int64_t reduced, n = tensor_numel(e->out);
	Op op = e->n->op;
	const int64_t *x = as_ints(e, e->in[0]);
	int64_t *sum = alloc_temp(e, n, sizeof *sum);
	if (!x || !sum)
		return OUT_OF_MEMORY(e);
	TRY(walk_reduce(e, &w, &reduced));
	for (int64_t i = 0; i < n; i++)
		sum[i] = op == OpReduceMax ? INT64_MIN : op == OpReduceMin ? INT64_MAX : 0;
	if (walk_start(&w)) {
		do {
			for (int64_t i = 0; i < w.dims[w.rank - 1]; i++) {
				int64_t v = x[w.off[0] + i * w.stride[0][w.rank - 1]];
				int64_t *s = &sum[w.off[1] + i * w.stride[1][w.rank - 1]];
				*s = op == OpReduceMax ? MAX(v, *s) : op == OpReduceMin ? MIN(v, *s) : add_int(*s, v);
			}
		} while (walk_next(&w));
	}
	for (int64_t i = 0; i < n && op == OpMean; i++)
		sum[i] = reduced ? sum[i] / reduced : 0;
	store_ints(e->out, 0, sum, n);
	return NULL;
}

static const char *eval_reduce(EvalNode *e)
{
	return is_real(e->in[0]) ? reduce_reals(e) : reduce_ints(e);
}

/* In place; `stride` elements apart. */
static void accumulate_reals(double *x, int64_t n, int64_t stride, bool exclusive)
{
	double sum = 0;
	for (int64_t i = 0; i < n; i++) {
		double before = sum;
		sum += x[i * stride];
		x[i * stride] = exclusive ? before : sum;
	}
}

static void accumulate_ints(int64_t *x, int64_t n, int64_t stride, bool exclusive)
{
	int64_t sum = 0;
	for (int64_t i = 0; i < n; i++) {
		int64_t before = sum;
		sum = add_int(sum, x[i * stride]);
		x[i * stride] = exclusive ? before : sum;
	}
}

static const char *eval_cumsum(EvalNode *e)
{
	const Tensor *x = e->in[0];
	int axis = (int)attr_int(e->n, Attr_axis);
	int64_t n = tensor_numel(x), len = x->dims[axis], inner = count_dims(x, axis + 1, x->rank);
	bool exclusive = attr_int(e->n, Attr_exclusive), reverse = attr_int(e->n, Attr_reverse);
	int64_t stride = reverse ? -inner : inner, first = reverse ? (len - 1) * inner : 0;
	double *reals = is_real(x) ? alloc_temp(e, n, sizeof *reals) : NULL;
	int64_t *ints = is_real(x) ? NULL : alloc_temp(e, n, sizeof *ints);
	if (!reals && !ints)
		return OUT_OF_MEMORY(e);
	if (reals)
		load_reals(reals, x, 0, 1, n);
	else
		load_ints(ints, x, 0, 1, n);
	for (int64_t row = 0; row < n; row += len * inner)
		for (int64_t i = 0; i < inner; i++)
			if (reals)
				accumulate_reals(reals + row + first + i, len, stride, exclusive);
			else
				accumulate_ints(ints + row + first + i, len, stride, exclusive);
	if (reals)
		store_reals(e->out, 0, reals, n);
	else
		store_ints(e->out, 0, ints, n);
	return NULL;
}

/* In place; `stride` elements apart.  All -inf gives NaN, as the decomposed form does. */
static void softmax_row(double *x, int64_t n, int64_t stride)
{
	double top = -INFINITY, sum = 0;
	for (int64_t i = 0; i < n; i++)
		top = x[i * stride] > top ? x[i * stride] : top;
	for (int64_t i = 0; i < n; i++)
		sum += x[i * stride] = exp(x[i * stride] - top);
	for (int64_t i = 0; i < n; i++)
		x[i * stride] /= sum;
}

static const char *eval_softmax(EvalNode *e)
{
	const Tensor *x = e->in[0];
	int axis = (int)attr_int(e->n, Attr_axis);
	int64_t outer = count_dims(x, 0, axis), len = x->dims[axis], inner = count_dims(x, axis + 1, x->rank);
	double *p = alloc_temp(e, tensor_numel(x), sizeof *p);
	if (!p)
		return OUT_OF_MEMORY(e);
	load_reals(p, x, 0, 1, tensor_numel(x));
	for (int64_t o = 0; o < outer; o++)
		for (int64_t i = 0; i < inner; i++)
			softmax_row(p + o * len * inner + i, len, inner);
	store_reals(e->out, 0, p, tensor_numel(x));
	return NULL;
}

static const char *eval_norm(EvalNode *e)
{
	const Tensor *x = e->in[0], *scale = operand(e, 1), *bias = e->n->op == OpNorm ? operand(e, 2) : NULL;
	int axis = (int)attr_int(e->n, Attr_axis);
	int64_t rows = count_dims(x, 0, axis), len = count_dims(x, axis, x->rank);
	double eps = attr_float(e->n, Attr_eps);
	TRY(need_dims(e, (!scale || tensor_numel(scale) == len) && (!bias || tensor_numel(bias) == len)));
	const double *s = scale ? as_reals(e, scale) : NULL, *b = bias ? as_reals(e, bias) : NULL;
	double *y = alloc_temp(e, len, sizeof *y);
	if (!y || (scale && !s) || (bias && !b))
		return OUT_OF_MEMORY(e);
	for (int64_t r = 0; r < rows; r++) {
		double mean = 0, square = 0;
		load_reals(y, x, r * len, 1, len);
		for (int64_t i = 0; i < len && e->n->op == OpNorm; i++)
			mean += y[i];
		mean /= (double)len;
		for (int64_t i = 0; i < len; i++)
			square += (y[i] - mean) * (y[i] - mean);
		double factor = 1 / sqrt(square / (double)len + eps);
		for (int64_t i = 0; i < len; i++)
			y[i] = (y[i] - mean) * factor * (s ? s[i] : 1) + (b ? b[i] : 0);
		store_reals(e->out, r * len, y, len);
	}
	return NULL;
}

/* ---- contractions ----------------------------------------------------------------------------------------------- */

/* row[j] += sum over k of a[k * step] * b[k][j] */
static void add_row_reals(double *row, const double *a, int64_t step, const double *b, int64_t depth, int64_t cols)
{
	for (int64_t k = 0; k < depth; k++) {
		double f = a[k * step];
		for (int64_t j = 0; j < cols; j++)
			row[j] += f * b[k * cols + j];
	}
}

static void add_row_ints(int64_t *row, const int64_t *a, int64_t step, const int64_t *b, int64_t depth, int64_t cols)
{
	for (int64_t k = 0; k < depth; k++)
		for (int64_t j = 0; j < cols; j++)
			row[j] = add_int(row[j], mul_int(a[k * step], b[k * cols + j]));
}

/* One matrix product: a is rows x depth (or transposed), b depth x cols, all row-major; y gets rows x cols. */
typedef struct Product {
	int64_t rows, depth, cols;
	bool trans_a;
	int64_t a, b, y; /* first elements */
} Product;

static void multiply_reals(Tensor *y, const double *a, const double *b, const double *bias, double *row, Product p)
{
	for (int64_t i = 0; i < p.rows; i++) {
		for (int64_t j = 0; j < p.cols; j++)
			row[j] = bias ? bias[j] : 0;
		add_row_reals(row, a + p.a + i * (p.trans_a ? 1 : p.depth), p.trans_a ? p.rows : 1, b + p.b, p.depth,
		              p.cols);
		store_reals(y, p.y + i * p.cols, row, p.cols);
	}
}

static void multiply_ints(Tensor *y, const int64_t *a, const int64_t *b, const int64_t *bias, int64_t *row, Product p)
{
	for (int64_t i = 0; i < p.rows; i++) {
		for (int64_t j = 0; j < p.cols; j++)
			row[j] = bias ? bias[j] : 0;
		add_row_ints(row, a + p.a + i * (p.trans_a ? 1 : p.depth), p.trans_a ? p.rows : 1, b + p.b, p.depth,
		             p.cols);
		store_ints(y, p.y + i * p.cols, row, p.cols);
	}
}

static const char *eval_linear(EvalNode *e)
{
	const Tensor *x = e->in[0], *w = e->in[1], *b = operand(e, 2);
	Product p = {.rows = count_dims(x, 0, x->rank - 1), .depth = w->dims[0], .cols = w->dims[1]};
	TRY(need_dims(e, x->dims[x->rank - 1] == p.depth && (!b || b->dims[0] == p.cols)));
	void *row = alloc_temp(e, p.cols, sizeof(double));
	if (is_real(x)) {
		const double *xs = as_reals(e, x), *ws = as_reals(e, w), *bs = b ? as_reals(e, b) : NULL;
		if (!row || !xs || !ws || (b && !bs))
			return OUT_OF_MEMORY(e);
		multiply_reals(e->out, xs, ws, bs, row, p);
	} else {
		const int64_t *xs = as_ints(e, x), *ws = as_ints(e, w), *bs = b ? as_ints(e, b) : NULL;
		if (!row || !xs || !ws || (b && !bs))
			return OUT_OF_MEMORY(e);
		multiply_ints(e->out, xs, ws, bs, row, p);
	}
	return NULL;
}

/* b with its last two axes swapped, so that its rows are contiguous along the result; elements have 8 bytes. */
static const void *swap_last_axes(EvalNode *e, const void *b, const Tensor *t)
{
	int64_t rows = t->dims[t->rank - 2], cols = t->dims[t->rank - 1], n = tensor_numel(t);
	const uint64_t *from = b;
	uint64_t *to = alloc_temp(e, n, sizeof *to);
	if (!to)
		return NULL;
	for (int64_t at = 0; at < n; at += rows * cols)
		for (int64_t i = 0; i < rows; i++)
			for (int64_t j = 0; j < cols; j++)
				to[at + j * rows + i] = from[at + i * cols + j];
	return to;
}

static Tensor batch_of(const Tensor *t)
{
	Tensor batch = *t;
	batch.rank = t->rank > 2 ? t->rank - 2 : 0;
	return batch;
}

static const char *eval_matmul(EvalNode *e)
{
	const Tensor *a = e->in[0], *b = e->in[1];
	bool trans_a = attr_int(e->n, Attr_trans_a), trans_b = attr_int(e->n, Attr_trans_b), real = is_real(a);
	int64_t a_rows = a->rank > 1 ? a->dims[a->rank - 2] : 1, a_cols = a->dims[a->rank - 1];
	int64_t b_rows = b->rank > 1 ? b->dims[b->rank - 2] : b->dims[0];
	int64_t b_cols = b->rank > 1 ? b->dims[b->rank - 1] : 1;
	Product p = {.rows = trans_a ? a_cols : a_rows, .depth = trans_a ? a_rows : a_cols,
	             .cols = trans_b ? b_rows : b_cols, .trans_a = trans_a};
	Tensor space = *e->out, batch_a = batch_of(a), batch_b = batch_of(b);
	space.rank -= (a->rank > 1) + (b->rank > 1);
	Walk w;
	walk_over(&w, &space);
	bool fits = walk_add(&w, &space);
	fits = walk_add(&w, &batch_a) && fits;
	fits = walk_add(&w, &batch_b) && fits;
	TRY(need_dims(e, fits && p.depth == (trans_b ? b_cols : b_rows)));
	const void *as = real ? (const void *)as_reals(e, a) : as_ints(e, a);
	const void *bs = real ? (const void *)as_reals(e, b) : as_ints(e, b);
	void *row = alloc_temp(e, p.cols, sizeof(double));
	if (bs && trans_b)
		bs = swap_last_axes(e, bs, b);
	if (!as || !bs || !row)
		return OUT_OF_MEMORY(e);
	if (!walk_start(&w))
		return NULL;
	int inner = w.rank - 1;
	do {
		for (int64_t i = 0; i < w.dims[inner]; i++) {
			p.y = (w.off[0] + i * w.stride[0][inner]) * p.rows * p.cols;
			p.a = (w.off[1] + i * w.stride[1][inner]) * p.rows * p.depth;
			p.b = (w.off[2] + i * w.stride[2][inner]) * p.depth * p.cols;
			if (real)
				multiply_reals(e->out, as, bs, NULL, row, p);
			else
				multiply_ints(e->out, as, bs, NULL, row, p);
		}
	} while (walk_next(&w));
	return NULL;
}

typedef struct ConvShape {
	int spatial;
	int64_t in[MaxRank], out[MaxRank], taps[MaxRank], stride[MaxRank], dilation[MaxRank], before[MaxRank];
	int64_t in_numel, out_numel, taps_numel;
} ConvShape;

static void read_conv(const EvalNode *e, ConvShape *s)
{
	const int64_t *strides, *dilations, *pads;
	int nstrides = attr_ints(e->n, Attr_strides, &strides);
	int ndilations = attr_ints(e->n, Attr_dilations, &dilations);
	int npads = attr_ints(e->n, Attr_pads, &pads);
	s->spatial = e->out->rank - 2;
	s->in_numel = s->out_numel = s->taps_numel = 1;
	for (int i = 0; i < s->spatial; i++) {
		s->in[i] = e->in[0]->dims[i + 2];
		s->out[i] = e->out->dims[i + 2];
		s->taps[i] = e->in[1]->dims[i + 2];
		s->stride[i] = nstrides ? strides[i] : 1;
		s->dilation[i] = ndilations ? dilations[i] : 1;
		s->before[i] = npads ? pads[i] : 0;
		s->in_numel *= s->in[i];
		s->out_numel *= s->out[i];
		s->taps_numel *= s->taps[i];
	}
}

/* First element of the input row that output row `row` reads with the tap at[]; false: the row is padding. */
static bool find_input_row(const ConvShape *s, const int64_t *at, int64_t row, int64_t *first)
{
	int64_t stride = s->in[s->spatial - 1];
	*first = 0;
	for (int d = s->spatial - 2; d >= 0; d--) {
		int64_t i = row % s->out[d] * s->stride[d] + at[d] * s->dilation[d] - s->before[d];
		if (i < 0 || i >= s->in[d])
			return false;
		*first += i * stride;
		stride *= s->in[d];
		row /= s->out[d];
	}
	return true;
}

/* y += weight * x, shifted by tap number `tap`; x and y are one channel each. */
static void add_tap(const ConvShape *s, double *y, const double *x, int64_t tap, double weight)
{
	int64_t at[MaxRank], first;
	int last = s->spatial - 1;
	for (int d = last; d >= 0; d--) {
		at[d] = tap % s->taps[d];
		tap /= s->taps[d];
	}
	int64_t shift = at[last] * s->dilation[last] - s->before[last], width = s->out[last];
	for (int64_t row = 0; row * width < s->out_numel; row++) {
		if (!find_input_row(s, at, row, &first))
			continue;
		for (int64_t j = 0; j < width; j++) {
			int64_t i = j * s->stride[last] + shift;
			if (i >= 0 && i < s->in[last])
				y[row * width + j] += weight * x[first + i];
		}
	}
}

static const char *eval_conv(EvalNode *e)
{
	const Tensor *x = e->in[0], *w = e->in[1], *b = operand(e, 2);
	int64_t group = attr_int(e->n, Attr_group), outs = w->dims[0], depth = w->dims[1];
	ConvShape s;
	read_conv(e, &s);
	TRY(need_dims(e, x->dims[1] == depth * group && outs % group == 0 && (!b || b->dims[0] == outs)));
	const double *xs = as_reals(e, x), *ws = as_reals(e, w), *bs = b ? as_reals(e, b) : NULL;
	double *plane = alloc_temp(e, s.out_numel, sizeof *plane);
	if (!xs || !ws || !plane || (b && !bs))
		return OUT_OF_MEMORY(e);
	if (tensor_numel(e->out) == 0)
		return NULL;
	for (int64_t nm = 0; nm < x->dims[0] * outs; nm++) {
		int64_t n = nm / outs, out = nm % outs, first = out / (outs / group) * depth;
		for (int64_t i = 0; i < s.out_numel; i++)
			plane[i] = bs ? bs[out] : 0;
		for (int64_t c = 0; c < depth; c++)
			for (int64_t tap = 0; tap < s.taps_numel; tap++)
				add_tap(&s, plane, xs + (n * x->dims[1] + first + c) * s.in_numel, tap,
				        ws[(out * depth + c) * s.taps_numel + tap]);
		store_reals(e->out, nm * s.out_numel, plane, s.out_numel);
	}
	return NULL;
}

static const char *eval_winconv(EvalNode *e)
{
	const Tensor *x = e->in[0], *w = e->in[1];
	int64_t tokens = x->dims[1], chans = x->dims[2], taps = w->dims[w->rank - 1];
	int64_t heads = attr_int(e->n, Attr_heads), left = attr_int(e->n, Attr_pad_left);
	bool per_token = w->rank == 4, interleaved = attr_int(e->n, Attr_map);
	TRY(need_dims(e, w->dims[w->rank - 2] == heads && chans % heads == 0
	                     && (!per_token || (w->dims[0] == x->dims[0] && w->dims[1] == tokens))));
	const double *xs = as_reals(e, x), *ws = as_reals(e, w);
	double *y = alloc_temp(e, chans, sizeof *y);
	if (!xs || !ws || !y)
		return OUT_OF_MEMORY(e);
	for (int64_t bt = 0; bt < x->dims[0] * tokens && chans > 0; bt++) {
		const double *kernel = ws + (per_token ? bt * heads * taps : 0);
		memset(y, 0, chans * sizeof *y);
		for (int64_t k = 0; k < taps; k++) {
			int64_t from = bt % tokens + k - left;
			if (from < 0 || from >= tokens)
				continue;
			const double *row = xs + (bt / tokens * tokens + from) * chans;
			for (int64_t c = 0; c < chans; c++) {
				int64_t head = interleaved ? c % heads : c / (chans / heads);
				y[c] += kernel[head * taps + k] * row[c];
			}
		}
		store_reals(e->out, bt * chans, y, chans);
	}
	return NULL;
}

/* Adds the mask (f32) or its -inf (bool) to a row of scores; mask streams over [B, H, T, S]. */
static void add_mask(double *scores, int64_t keys, const Tensor *mask, double fill, const double *values, int64_t at, int64_t step)
{
	for (int64_t s = 0; s < keys; s++) {
		double v = values[at + s * step];
		scores[s] = mask->dtype != Bool ? scores[s] + v : v != 0 ? scores[s] : fill;
	}
}

static bool all_masked(const double *scores, int64_t keys)
{
	for (int64_t s = 0; s < keys; s++)
		if (scores[s] != -INFINITY)
			return false;
	return true;
}

/* Softmax of a row of scores; a row without keys is NaN, or 0 if the attribute asks for that. */
static void finish_scores(const Node *n, double *scores, int64_t keys)
{
	if (attr_int(n, Attr_zero_nan) && all_masked(scores, keys))
		memset(scores, 0, keys * sizeof *scores);
	else
		softmax_row(scores, keys, 1);
}

static const char *eval_attention(EvalNode *e)
{
	const Tensor *q = e->in[0], *k = e->in[1], *v = e->in[2], *mask = operand(e, 3);
	int64_t batch = q->dims[0], rows = q->dims[1], heads = q->dims[2], width = q->dims[3];
	int64_t keys = k->dims[1], kv_heads = k->dims[2], out_width = v->dims[3];
	bool causal = attr_int(e->n, Attr_causal);
	double scale = attr_float(e->n, Attr_scale), softcap = attr_float(e->n, Attr_softcap);
	Tensor space = {.rank = 4, .dims = {batch, heads, rows, keys}};
	Walk w;
	walk_over(&w, &space);
	TRY(need_dims(e, (!mask || walk_add(&w, mask)) && k->dims[0] == batch && v->dims[0] == batch
	                     && v->dims[1] == keys && v->dims[2] == kv_heads && k->dims[3] == width
	                     && (heads == 0 || (kv_heads > 0 && heads % kv_heads == 0))));
	const double *qs = as_reals(e, q), *ks = as_reals(e, k), *vs = as_reals(e, v);
	const double *ms = mask ? as_reals(e, mask) : NULL;
	double *scores = alloc_temp(e, keys, sizeof *scores), *y = alloc_temp(e, out_width, sizeof *y);
	if (!qs || !ks || !vs || (mask && !ms) || !scores || !y)
		return OUT_OF_MEMORY(e);
	for (int64_t bth = 0; bth < batch * rows * heads; bth++) {
		int64_t h = bth % heads, t = bth / heads % rows, b = bth / heads / rows, kv = h / (heads / kv_heads);
		for (int64_t s = 0; s < keys; s++) {
			const double *key = ks + ((b * keys + s) * kv_heads + kv) * width;
			double dot = 0;
			for (int64_t r = 0; r < width; r++)
				dot += qs[bth * width + r] * key[r];
			scores[s] = softcap ? softcap * tanh(dot * scale / softcap) : dot * scale;
		}
		if (mask)
			add_mask(scores, keys, mask, attr_float(e->n, Attr_fill), ms, b * w.stride[0][0] + h * w.stride[0][1] + t * w.stride[0][2],
			         w.stride[0][3]);
		for (int64_t s = keys; causal && s > 0 && s > t + (keys - rows) + 1; s--)
			scores[s - 1] = -INFINITY;
		finish_scores(e->n, scores, keys);
		memset(y, 0, out_width * sizeof *y);
		for (int64_t s = 0; s < keys; s++)
			for (int64_t r = 0; r < out_width; r++)
				y[r] += scores[s] * vs[((b * keys + s) * kv_heads + kv) * out_width + r];
		store_reals(e->out, bth * out_width, y, out_width);
	}
	return NULL;
}

/* ---- sources ---------------------------------------------------------------------------------------------------- */

static const char *need_dim(EvalNode *e, const Dim *d, int64_t *value)
{
	if (!eval_dim(e->syms, d, value))
		return eval_fail(e, "%s cannot be evaluated", dim_text(e->m, d));
	return NULL;
}

static void store_int(Tensor *t, int64_t at, int64_t v)
{
	double real = t->dtype == F32 ? (double)(float)v : (double)v;
	if (is_real(t))
		store_reals(t, at, &real, 1);
	else
		store_ints(t, at, &v, 1);
}

static const char *eval_iota(EvalNode *e)
{
	int64_t start, step, n = tensor_numel(e->out);
	TRY(need_dim(e, attr_dim(e->m, e->n, Attr_start), &start));
	TRY(need_dim(e, attr_dim(e->m, e->n, Attr_step), &step));
	for (int64_t i = 0; i < n; i++)
		store_int(e->out, i, add_int(start, mul_int(i, step)));
	return NULL;
}

static const char *eval_dims(EvalNode *e)
{
	const Dim *const *values;
	int n = attr_dims(e->n, Attr_values, &values);
	TRY(need_dims(e, n == tensor_numel(e->out)));
	for (int i = 0; i < n; i++) {
		int64_t v;
		TRY(need_dim(e, values[i], &v));
		store_int(e->out, i, e->out->dtype == Bool ? v != 0 : v);
	}
	return NULL;
}

/* ---- data movement ---------------------------------------------------------------------------------------------- */

static void copy_row(char *to, const char *from, int64_t n, int64_t stride, int bytes)
{
	if (stride == 1) {
		memcpy(to, from, n * bytes);
		return;
	}
	switch (bytes) {
#define COPY_ROW(T)                                                                                                    \
	for (int64_t i = 0; i < n; i++)                                                                                \
		((T *)to)[i] = ((const T *)from)[i * stride];                                                          \
	break;
	case 1: COPY_ROW(uint8_t)
	case 2: COPY_ROW(uint16_t)
	case 4: COPY_ROW(uint32_t)
	case 8: COPY_ROW(uint64_t)
#undef COPY_ROW
	default: bug("element of %d bytes", bytes);
	}
}

/* to[i][j] = from[j * step + i]: in strips of columns of `from`, so that its cache lines are used whole. */
static void copy_transposed(char *to, const char *from, int64_t rows, int64_t cols, int64_t step, int bytes)
{
	enum { Strip = 16 };
	for (int64_t first = 0; first < rows; first += Strip) {
		int64_t end = first + Strip < rows ? first + Strip : rows;
		for (int64_t part = 0; part < cols; part += Strip) {
			int64_t n = part + Strip < cols ? Strip : cols - part;
			for (int64_t i = first; i < end; i++)
				copy_row(to + (i * cols + part) * bytes, from + (part * step + i) * bytes, n, step,
				         bytes);
		}
	}
}

/* out[i] = x[base + sum of i[d] * strides[d]]; all within x, as the caller has checked. */
static void copy_strided(EvalNode *e, int64_t base, const int64_t *strides)
{
	Walk w;
	int bytes = dtypes[e->out->dtype].bytes;
	char *to = e->out->data;
	walk_over(&w, e->out);
	w.nstream = 1;
	w.off[0] = base;
	memcpy(w.stride[0], strides, e->out->rank * sizeof *strides);
	if (!walk_start(&w))
		return;
	int64_t len = w.dims[w.rank - 1], step = w.stride[0][w.rank - 1], rows = 1;
	if (w.rank > 1 && step != 1 && w.stride[0][w.rank - 2] == 1)
		rows = w.dims[--w.rank - 1]; /* the last two axes are a transposed matrix: walk around it */
	do {
		const char *from = (const char *)e->in[0]->data + w.off[0] * bytes;
		if (rows > 1)
			copy_transposed(to, from, rows, len, step, bytes);
		else
			copy_row(to, from, len, step, bytes);
		to += rows * len * bytes;
	} while (walk_next(&w));
}

static void contiguous_strides(const Tensor *t, int64_t *strides)
{
	int64_t stride = 1;
	for (int d = t->rank - 1; d >= 0; d--) {
		strides[d] = stride;
		stride *= t->dims[d];
	}
}

static const char *eval_reshape(EvalNode *e)
{
	int64_t n = tensor_numel(e->out), own = tensor_numel(e->in[0]);
	if (n != own)
		return eval_fail(e, "%lld elements cannot take a shape of %lld", (long long)own, (long long)n);
	if (n)
		memcpy(e->out->data, e->in[0]->data, n * dtypes[e->out->dtype].bytes);
	return NULL;
}

static const char *eval_expand(EvalNode *e)
{
	Walk w;
	walk_over(&w, e->out);
	TRY(need_dims(e, walk_add(&w, e->in[0])));
	copy_strided(e, 0, w.stride[0]);
	return NULL;
}

static const char *eval_transpose(EvalNode *e)
{
	int64_t from[MaxRank], strides[MaxRank];
	const int64_t *perm;
	attr_ints(e->n, Attr_perm, &perm);
	contiguous_strides(e->in[0], from);
	for (int d = 0; d < e->out->rank; d++) {
		strides[d] = from[perm[d]];
		TRY(need_dims(e, e->out->dims[d] == e->in[0]->dims[perm[d]]));
	}
	copy_strided(e, 0, strides);
	return NULL;
}

static const char *eval_slice(EvalNode *e)
{
	const Tensor *x = e->in[0];
	const Dim *const *starts;
	const int64_t *steps;
	int64_t strides[MaxRank], base = 0;
	int nsteps = attr_ints(e->n, Attr_steps, &steps);
	attr_dims(e->n, Attr_starts, &starts);
	contiguous_strides(x, strides);
	if (tensor_numel(e->out) == 0)
		return NULL;
	for (int d = 0; d < x->rank; d++) {
		int64_t first, last, step = nsteps ? steps[d] : 1;
		TRY(need_dim(e, starts[d], &first));
		if (__builtin_mul_overflow(e->out->dims[d] - 1, step, &last)
		    || __builtin_add_overflow(last, first, &last) || first < 0 || first >= x->dims[d] || last < 0
		    || last >= x->dims[d])
			return eval_fail(e, "axis %d: %lld elements from %lld by %lld leave an extent of %lld", d,
			                 (long long)e->out->dims[d], (long long)first, (long long)step,
			                 (long long)x->dims[d]);
		base += first * strides[d];
		strides[d] *= step;
	}
	copy_strided(e, base, strides);
	return NULL;
}

static const char *eval_view(EvalNode *e)
{
	const Dim *const *dims;
	int64_t strides[MaxRank], base, lo, hi, n = tensor_numel(e->in[0]);
	attr_dims(e->n, Attr_strides_dim, &dims);
	TRY(need_dim(e, attr_dim(e->m, e->n, Attr_base), &base));
	lo = hi = base;
	for (int d = 0; d < e->out->rank; d++) {
		int64_t reach, *end;
		TRY(need_dim(e, dims[d], &strides[d]));
		if (__builtin_mul_overflow(e->out->dims[d] - 1, strides[d], &reach))
			return eval_fail(e, "stride %lld overflows", (long long)strides[d]);
		end = reach < 0 ? &lo : &hi;
		if (__builtin_add_overflow(*end, reach, end))
			return eval_fail(e, "stride %lld overflows", (long long)strides[d]);
	}
	if (tensor_numel(e->out) == 0)
		return NULL;
	if (lo < 0 || hi >= n)
		return eval_fail(e, "reads elements %lld to %lld of %lld", (long long)lo, (long long)hi, (long long)n);
	copy_strided(e, base, strides);
	return NULL;
}

static const char *eval_concat(EvalNode *e)
{
	int axis = (int)attr_int(e->n, Attr_axis), bytes = dtypes[e->out->dtype].bytes;
	int64_t outer = count_dims(e->out, 0, axis), row = count_dims(e->out, axis, e->out->rank) * bytes, done = 0;
	for (int i = 0; i < e->n->nin; i++) {
		const Tensor *x = e->in[i];
		int64_t chunk = count_dims(x, axis, x->rank) * bytes;
		TRY(need_dims(e, count_dims(x, 0, axis) == outer && done + chunk <= row));
		for (int64_t o = 0; o < outer && chunk; o++)
			memcpy((char *)e->out->data + o * row + done, (const char *)x->data + o * chunk, chunk);
		done += chunk;
	}
	return need_dims(e, done == row || outer == 0);
}

enum { ModeZero, ModeEdge, ModeReflect }; /* words of the attribute `mode` */

#define MaxPad (INT64_C(1) << 47)

/* Index that padding reads for index i of an axis of n elements; -1: the padding value. */
static int64_t padded_index(int64_t i, int64_t n, int64_t mode)
{
	if (i >= 0 && i < n)
		return i;
	if (mode == ModeZero)
		return -1;
	if (mode == ModeEdge)
		return i < 0 ? 0 : n - 1;
	if (n == 1)
		return 0;
	int64_t period = 2 * (n - 1), r = mod_int(i, period);
	return r < n ? r : period - r;
}

static const char *fill_pad_map(EvalNode *e, int d, const Dim *pad, int64_t *map)
{
	int64_t before, n = e->in[0]->dims[d], mode = attr_int(e->n, Attr_mode);
	TRY(need_dim(e, pad, &before));
	if (before < -MaxPad || before > MaxPad)
		return eval_fail(e, "padding %lld is out of range", (long long)before);
	if (mode != ModeZero && n == 0 && tensor_numel(e->out) > 0)
		return eval_fail(e, "axis %d is empty: nothing to pad with", d);
	for (int64_t i = 0; i < e->out->dims[d]; i++)
		map[i] = padded_index(i - before, n, mode);
	return NULL;
}

static const char *eval_pad(EvalNode *e)
{
	const Tensor *x = e->in[0];
	const Dim *const *pads;
	int64_t *map[MaxRank], strides[MaxRank], at[MaxRank] = {0}, n = tensor_numel(e->out);
	int rank = x->rank, bytes = dtypes[x->dtype].bytes;
	double fill[1] = {attr_float(e->n, Attr_value)};
	attr_dims(e->n, Attr_pads_dim, &pads);
	contiguous_strides(x, strides);
	for (int d = 0; d < rank; d++) {
		map[d] = alloc_temp(e, e->out->dims[d], sizeof *map[d]);
		if (!map[d])
			return OUT_OF_MEMORY(e);
		TRY(fill_pad_map(e, d, pads[d], map[d]));
	}
	int64_t fill_int = int_of_real(fill[0]);
	for (int64_t i = 0; i < n; i++) {
		int64_t from = 0;
		bool inside = true;
		for (int d = 0; d < rank; d++) {
			inside = inside && map[d][at[d]] >= 0;
			from += map[d][at[d]] * strides[d];
		}
		if (inside)
			memcpy((char *)e->out->data + i * bytes, (const char *)x->data + from * bytes, bytes);
		else if (is_real(x))
			store_reals(e->out, i, fill, 1);
		else
			store_ints(e->out, i, &fill_int, 1);
		for (int d = rank - 1; d >= 0 && ++at[d] == e->out->dims[d]; d--)
			at[d] = 0;
	}
	return NULL;
}

enum { PanelCols = 32 };

/* Columns first .. first+n of row k of w into y; columns from `end` on stay zero. */
static void pack_columns(const EvalNode *e, char *y, int64_t k, int64_t first, int64_t end, int64_t n)
{
	const Tensor *w = e->in[0];
	int bytes = dtypes[w->dtype].bytes;
	int64_t count = end - first < n ? end - first : n;
	if (count > 0)
		memcpy(y, (const char *)w->data + (k * w->dims[1] + first) * bytes, count * bytes);
}

static const char *eval_pack(EvalNode *e)
{
	const Tensor *w = e->in[0];
	bool glu = attr_int(e->n, Attr_glu), gate_first = attr_int(e->n, Attr_gate);
	int64_t depth = w->dims[0], cols = glu ? w->dims[1] / 2 : w->dims[1], width = glu ? PanelCols / 2 : PanelCols;
	int64_t value = glu && gate_first ? cols : 0, gate = gate_first ? 0 : cols;
	int bytes = dtypes[w->dtype].bytes;
	char *y = e->out->data;
	TRY(need_dims(e, e->out->dims[0] == (cols + width - 1) / width && e->out->dims[1] == depth
	                     && e->out->dims[2] == PanelCols && (!glu || w->dims[1] % 2 == 0)));
	for (int64_t p = 0; p < e->out->dims[0]; p++) {
		for (int64_t k = 0; k < depth; k++, y += PanelCols * bytes) {
			pack_columns(e, y, k, value + p * width, value + cols, width);
			if (glu)
				pack_columns(e, y + width * bytes, k, gate + p * width, gate + cols, width);
		}
	}
	return NULL;
}

/* As linear, on the panels that eval_pack makes. */
static const char *eval_linear_packed(EvalNode *e)
{
	const Tensor *x = e->in[0], *w = e->in[1], *b = operand(e, 2);
	bool glu = attr_int(e->n, Attr_glu), gate_first = attr_int(e->n, Attr_gate);
	int outer = x->rank - (int)attr_int(e->n, Attr_inner);
	Product p = {.rows = count_dims(x, 0, outer), .depth = w->dims[1], .cols = e->out->dims[e->out->rank - 1]};
	int64_t half = p.cols / 2, width = glu ? PanelCols / 2 : PanelCols;
	TRY(need_dims(e, count_dims(x, outer, x->rank) == p.depth && (!b || b->dims[0] == p.cols) && w->dims[2] == PanelCols
	                     && w->dims[0] == ((glu ? half : p.cols) + width - 1) / width && (!glu || p.cols % 2 == 0)));
	const double *xs = as_reals(e, x), *ps = as_reals(e, w), *bs = b ? as_reals(e, b) : NULL;
	double *ws = alloc_temp(e, p.depth * p.cols, sizeof(double)), *row = alloc_temp(e, p.cols, sizeof(double));
	if (!xs || !ps || !ws || !row || (b && !bs))
		return OUT_OF_MEMORY(e);
	for (int64_t n = 0; n < p.cols; n++) {
		bool second = glu && n >= half, gate = glu && second != gate_first;
		int64_t c = second ? n - half : n, lane = c % width + (gate ? width : 0);
		for (int64_t k = 0; k < p.depth; k++)
			ws[k * p.cols + n] = ps[(c / width * p.depth + k) * PanelCols + lane];
	}
	multiply_reals(e->out, xs, ws, bs, row, p);
	return NULL;
}

/* ---- data-dependent addresses ----------------------------------------------------------------------------------- */

/* Negative indices count from the end. */
static const char *resolve_index(EvalNode *e, int64_t *i, int64_t extent)
{
	if (*i < -extent || *i >= extent)
		return eval_fail(e, "index %lld is out of range for an extent of %lld", (long long)*i,
		                 (long long)extent);
	*i += *i < 0 ? extent : 0;
	return NULL;
}

static const char *eval_gather(EvalNode *e)
{
	const Tensor *x = e->in[0];
	int axis = (int)attr_int(e->n, Attr_axis);
	int64_t outer = count_dims(x, 0, axis), extent = x->dims[axis], n = tensor_numel(e->in[1]);
	int64_t block = count_dims(x, axis + 1, x->rank) * dtypes[x->dtype].bytes;
	const int64_t *idx = as_ints(e, e->in[1]);
	char *y = e->out->data;
	if (!idx)
		return OUT_OF_MEMORY(e);
	TRY(need_dims(e, outer * n * block == tensor_numel(e->out) * dtypes[x->dtype].bytes));
	for (int64_t o = 0; o < outer; o++) {
		for (int64_t j = 0; j < n; j++, y += block) {
			int64_t i = idx[j];
			TRY(resolve_index(e, &i, extent));
			if (block)
				memcpy(y, (const char *)x->data + (o * extent + i) * block, block);
		}
	}
	return NULL;
}

static const char *eval_gather_elements(EvalNode *e)
{
	const Tensor *x = e->in[0], *t = e->in[1];
	int axis = (int)attr_int(e->n, Attr_axis), bytes = dtypes[x->dtype].bytes;
	int64_t strides[MaxRank], at[MaxRank] = {0}, n = tensor_numel(e->out);
	const int64_t *idx = as_ints(e, t);
	if (!idx)
		return OUT_OF_MEMORY(e);
	contiguous_strides(x, strides);
	for (int d = 0; d < x->rank; d++)
		TRY(need_dims(e, t->dims[d] == e->out->dims[d] && (d == axis || t->dims[d] <= x->dims[d])));
	for (int64_t i = 0; i < n; i++) {
		int64_t from = 0;
		for (int d = 0; d < x->rank; d++) {
			int64_t own = d == axis ? idx[i] : at[d];
			TRY(resolve_index(e, &own, x->dims[d]));
			from += own * strides[d];
		}
		memcpy((char *)e->out->data + i * bytes, (const char *)x->data + from * bytes, bytes);
		for (int d = x->rank - 1; d >= 0 && ++at[d] == t->dims[d]; d--)
			at[d] = 0;
	}
	return NULL;
}

static const char *eval_gather_nd(EvalNode *e)
{
	const Tensor *x = e->in[0], *t = e->in[1];
	int batch = (int)attr_int(e->n, Attr_batch_dims), len = (int)t->dims[t->rank - 1];
	int64_t batches = count_dims(x, 0, batch), per_batch = count_dims(t, batch, t->rank - 1);
	int64_t block = count_dims(x, batch + len, x->rank) * dtypes[x->dtype].bytes;
	int64_t step = count_dims(x, batch, x->rank) * dtypes[x->dtype].bytes;
	const int64_t *idx = as_ints(e, t);
	char *y = e->out->data;
	if (!idx)
		return OUT_OF_MEMORY(e);
	TRY(need_dims(e, count_dims(t, 0, batch) == batches
	                     && batches * per_batch * block == tensor_numel(e->out) * dtypes[x->dtype].bytes));
	for (int64_t row = 0; row < batches * per_batch; row++, y += block) {
		int64_t at = 0;
		for (int d = 0; d < len; d++) {
			int64_t i = idx[row * len + d];
			TRY(resolve_index(e, &i, x->dims[batch + d]));
			at = at * x->dims[batch + d] + i;
		}
		if (block)
			memcpy(y, (const char *)x->data + row / per_batch * step + at * block, block);
	}
	return NULL;
}

/* ---- dispatch --------------------------------------------------------------------------------------------------- */

typedef const char *EvalFn(EvalNode *);

static EvalFn *const eval_fns[NOps] = {
	[OpIota] = eval_iota, [OpDims] = eval_dims, [OpSum] = eval_reduce, [OpMean] = eval_reduce,
	[OpReduceMax] = eval_reduce, [OpReduceMin] = eval_reduce, [OpCumSum] = eval_cumsum, [OpSoftmax] = eval_softmax, [OpNorm] = eval_norm,
	[OpRmsNorm] = eval_norm, [OpMatMul] = eval_matmul, [OpLinear] = eval_linear, [OpLinearPacked] = eval_linear_packed, [OpGlu] = eval_glu,
	[OpConv] = eval_conv, [OpWinConv] = eval_winconv, [OpAttention] = eval_attention, [OpReshape] = eval_reshape,
	[OpExpand] = eval_expand, [OpTranspose] = eval_transpose, [OpSlice] = eval_slice, [OpView] = eval_view,
	[OpConcat] = eval_concat, [OpPad] = eval_pad, [OpPack] = eval_pack, [OpGather] = eval_gather,
	[OpGatherElem] = eval_gather_elements, [OpGatherND] = eval_gather_nd,
};

const char *eval_node(EvalNode *e)
{
	if (ops[e->n->op].cls == ClsEwise)
		return eval_ewise(e);
	if (!eval_fns[e->n->op])
		bug("%s has no evaluator", ops[e->n->op].text);
	return eval_fns[e->n->op](e);
}
