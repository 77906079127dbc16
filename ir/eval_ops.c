/* eval_ops.c - what every operator means, as plain loops; the reference for folding, rewrites, schedules and kernels.
 * Here: what the evaluator's other files need too, elementwise operators, reductions, and the table of all operators.
 * Contractions are in eval_contract.c, sources and data movement in eval_move.c.
 *
 * Elementwise ops expand the scalar column of ops.def three times: in float for f32 and what is narrower, in double for f64, in int64_t for
 * integers and bool (results are truncated to the element type, so arithmetic wraps).  Everything that sums does so in
 * double, or int64_t for integers.  Dims that must agree are checked here again, so that a wrong type is a message and
 * never a wild access.
 */
#include "eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory and conversion -------------------------------------------------------------------------------------- */

void *alloc_temp(EvalNode *e, int64_t count, size_t bytes)
{
	if (e->ntemps == MaxTemps)
		bug("too many temporaries");
	void *p = calloc(count > 0 ? (size_t)count : 1, bytes);
	if (p)
		e->temps[e->ntemps++] = p;
	return p;
}

#define NORMAL(cls, x) ((cls) == ClassBool ? (x) != 0 : (x))

void load_reals(double *to, const Tensor *t, int64_t at, int64_t stride, int64_t n)
{
	if (is_narrow(t->dtype)) {
		for (int64_t i = 0; i < n; i++)
			to[i] = scalar_at(t->dtype, t->data, at + i * stride).f;
		return;
	}
	switch (t->dtype) {
#define DTYPE(name, text, bits, ctype, cls, onnx)                                                                     \
	case name:                                                                                                     \
		for (int64_t i = 0; i < n; i++)                                                                        \
			to[i] = (double)NORMAL(cls, ((const ctype *)t->data)[at + i * stride]);                        \
		break;
#include "dtypes.def"
#undef DTYPE
	case NDTypes: bug("no such type");
	}
}

void load_ints(int64_t *to, const Tensor *t, int64_t at, int64_t stride, int64_t n)
{
	switch (t->dtype) {
#define DTYPE(name, text, bits, ctype, cls, onnx)                                                                     \
	case name:                                                                                                     \
		for (int64_t i = 0; i < n && (cls) != ClassFloat; i++)                                                 \
			to[i] = (int64_t)NORMAL(cls, ((const ctype *)t->data)[at + i * stride]);                       \
		break;
#include "dtypes.def"
#undef DTYPE
	case NDTypes: bug("no such type");
	}
}

int64_t tensor_int(const Tensor *t, int64_t i)
{
	int64_t value = 0;
	load_ints(&value, t, i, 1, 1);
	return value;
}

int64_t tensor_scaled(const Tensor *t, int64_t i, int64_t times)
{
	double v = scalar_at(t->dtype, t->data, i).f * (double)times;
	if (!(v > -(double)DimMax))
		return -DimMax;
	return v < DimMax ? (int64_t)floor(v) : DimMax;
}

void store_reals(Tensor *t, int64_t at, const double *from, int64_t n)
{
	float *f = t->data;
	double *d = t->data;
	uint8_t *b = t->data;
	if (t->dtype == F32) { /* nearly always */
		for (int64_t i = 0; i < n; i++)
			f[at + i] = (float)from[i];
		return;
	}
	for (int64_t i = 0; i < n; i++) {
		if (t->dtype == F64)
			d[at + i] = from[i];
		else if (is_narrow(t->dtype))
			put_scalar((char *)t->data + (at + i) * dtypes[t->dtype].bytes, scalar_of_real(t->dtype, from[i]));
		else
			b[at + i] = from[i] != 0;
	}
}

void store_ints(Tensor *t, int64_t at, const int64_t *from, int64_t n)
{
	switch (t->dtype) {
#define DTYPE(name, text, bits, ctype, cls, onnx)                                                                     \
	case name:                                                                                                     \
		for (int64_t i = 0; i < n; i++)                                                                        \
			((ctype *)t->data)[at + i] = (ctype)((bits) < 8 ? wrap_int(name, from[i]) : from[i]);                                                   \
		break;
#include "dtypes.def"
#undef DTYPE
	case NDTypes: bug("no such type");
	}
}

const double *as_reals(EvalNode *e, const Tensor *t)
{
	if (t->dtype == F64)
		return t->data;
	int64_t n = tensor_numel(t);
	double *p = alloc_temp(e, n, sizeof *p);
	if (p)
		load_reals(p, t, 0, 1, n);
	return p;
}

const int64_t *as_ints(EvalNode *e, const Tensor *t)
{
	if (t->dtype == I64)
		return t->data;
	int64_t n = tensor_numel(t);
	int64_t *p = alloc_temp(e, n, sizeof *p);
	if (p)
		load_ints(p, t, 0, 1, n);
	return p;
}

bool is_real(const Tensor *t)
{
	return dtypes[t->dtype].cls == ClassFloat;
}

const Tensor *operand(const EvalNode *e, int i)
{
	return i < e->n->nin ? e->in[i] : NULL;
}

int64_t count_dims(const Tensor *t, int first, int end)
{
	int64_t n = 1;
	for (int i = first; i < end; i++)
		n *= t->dims[i];
	return n;
}

const char *need_agree(EvalNode *e, bool agree)
{
	return agree ? NULL : eval_fail(e, "dims of the operands disagree");
}

/* ---- walking several tensors at once ---------------------------------------------------------------------------- */

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

bool walk_start(Walk *w)
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

bool walk_next(Walk *w)
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

void walk_over(Walk *w, const Tensor *space)
{
	memset(w, 0, sizeof *w);
	w->rank = space->rank;
	memcpy(w->dims, space->dims, sizeof w->dims);
}

bool walk_add(Walk *w, const Tensor *t)
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
	static inline T pow_##S(T a, T b) { return (T)pow((double)a, (double)b); }                                     \
	static inline T fmod_##S(T a, T b) { return (T)fmod((double)a, (double)b); }

REAL_SCALARS(f32, float)
REAL_SCALARS(f64, double)

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
#define EXPAND_Control(name, scalar)
#define OP(name, text, in, cls, takes, code, shape, attrs, flags, meaning) EXPAND_##cls(name, meaning)

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
	int64_t lo, hi;
	DType type; /* of what is computed with */
	int64_t x[3][ChunkLen], y[ChunkLen];
} IntChunk;

#define SUB(x, y) SCALAR(sub)(x, y)
#define ADD(x, y) SCALAR(add)(x, y)
#define MUL(x, y) SCALAR(mul)(x, y)
#define MIN(x, y) SCALAR(min)(x, y)
#define MAX(x, y) SCALAR(max)(x, y)
#define SELECT(c, a, b) ((c) != 0 ? (a) : (b))
#define EQ(x, y) ((x) == (y))
#define CAST(x) (x) /* these two: convert_chunk() */
#define BITS(x) (x)
#define LO ((REAL_TYPE)c->lo)
#define HI ((REAL_TYPE)c->hi)

#define LT(x, y) ((x) < (y))
#define LE(x, y) ((x) <= (y))
#define POW(x, y) SCALAR(pow)(x, y)
#define FMOD(x, y) SCALAR(fmod)(x, y)
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
#define ATAN(x) REAL(atan(x))
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
#define SHL(x, y) IDIV(x, y)
#define SHR(x, y) IDIV(x, y)
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

#undef LT
#undef LE
#undef POW
#undef FMOD
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
#undef ATAN
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
#undef SHL
#undef SHR
#undef NOT
#undef EXPAND_Ewise
#undef MIN
#undef MAX

#define SCALAR(f) f##_int
#define REAL_TYPE int64_t
#define LT(x, y) less_int(c->type, x, y)
#define LE(x, y) !less_int(c->type, y, x)
#define MIN(x, y) (less_int(c->type, x, y) ? (x) : (y))
#define MAX(x, y) (less_int(c->type, y, x) ? (x) : (y))
#define POW(x, y) pow_int(c->type, x, y)
#define DIV(x, y) (no_meaning(c->op, "integers"), (x))
#define FMOD(x, y) DIV(x, y)
#define SQRT(x) DIV(x, x)
#define EXP(x) DIV(x, x)
#define LOG(x) DIV(x, x)
#define TANH(x) DIV(x, x)
#define ERF(x) DIV(x, x)
#define SIN(x) DIV(x, x)
#define COS(x) DIV(x, x)
#define ATAN(x) DIV(x, x)
#define ISNAN(x) DIV(x, x)
#define NEG(x) sub_int(0, x)
#define ABS(x) (less_int(c->type, x, 0) ? sub_int(0, x) : (x))
#define FLOOR(x) (x)
#define CEIL(x) (x)
#define ROUND(x) (x)
#define K(x) ((int64_t)(x))
#define IDIV(x, y) divide_int(c->type, x, y)
#define IMOD(x, y) modulo_int(c->type, x, y)
#define AND(x, y) ((x) & (y))
#define OR(x, y) ((x) | (y))
#define XOR(x, y) ((x) ^ (y))
#define SHL(x, y) shift_left(c->type, x, y)
#define SHR(x, y) shift_right(c->type, x, y)
#define NOT(x) (c->type == Bool ? !(x) : ~(x))
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
	RealChunk c = {.op = e->n->op, .n = n, .lo = attr_scalar(e->n, Attr_lo).f, .hi = attr_scalar(e->n, Attr_hi).f};
	int inner = w->rank - 1;
	for (int i = 0; i < 3; i++) {
		int from = i < e->n->nin ? i : 0;
		load_reals(c.x[i], e->in[from], w->off[1 + from] + first * w->stride[1 + from][inner],
		           w->stride[1 + from][inner], n);
	}
	if (dtype == F64)
		run_f64(&c);
	else
		run_f32(&c);
	store_reals(e->out, w->off[0] + first, c.y, n);
}

static void ewise_ints(EvalNode *e, const Walk *w, DType dtype, int64_t first, int n)
{
	IntChunk c = {.op = e->n->op, .n = n, .lo = attr_scalar(e->n, Attr_lo).i, .hi = attr_scalar(e->n, Attr_hi).i,
	              .type = dtype};
	int inner = w->rank - 1;
	for (int i = 0; i < 3; i++) {
		int from = i < e->n->nin ? i : 0;
		load_ints(c.x[i], e->in[from], w->off[1 + from] + first * w->stride[1 + from][inner],
		          w->stride[1 + from][inner], n);
	}
	run_int(&c);
	store_ints(e->out, w->off[0] + first, c.y, n);
}

static void convert_chunk(EvalNode *e, const Walk *w, int64_t first, int n)
{
	const Tensor *x = e->in[0];
	Tensor *y = e->out;
	char *to = (char *)y->data + (w->off[0] + first) * dtypes[y->dtype].bytes;
	for (int i = 0; i < n; i++, to += dtypes[y->dtype].bytes) {
		int64_t at = w->off[1] + first + i;
		put_scalar(to, e->n->op == OpBitCast ? scalar_at(y->dtype, x->data, at) : cast_scalar(scalar_at(x->dtype, x->data, at), y->dtype));
	}
}

/* Identity and where of what is only stored: bits, which a number could not say (a type that saturates may hold an infinity). */
static void move_chunk(EvalNode *e, const Walk *w, int64_t first, int n)
{
	int inner = w->rank - 1, bytes = dtypes[e->out->dtype].bytes;
	char *to = (char *)e->out->data + (w->off[0] + first) * bytes;
	for (int i = 0; i < n; i++, to += bytes) {
		int from = 0;
		if (e->n->op == OpWhere)
			from = tensor_int(e->in[0], w->off[1] + (first + i) * w->stride[1][inner]) ? 1 : 2;
		int64_t at = w->off[1 + from] + (first + i) * w->stride[1 + from][inner];
		memcpy(to, (const char *)e->in[from]->data + at * bytes, (size_t)bytes);
	}
}

static const char *eval_ewise(EvalNode *e)
{
	Walk w;
	const Tensor *last = e->in[e->n->nin - 1]; /* the condition of `where` is not what is computed with */
	walk_over(&w, e->out);
	bool fits = walk_add(&w, e->out);
	for (int i = 0; i < e->n->nin; i++)
		fits = walk_add(&w, e->in[i]) && fits;
	TRY(need_agree(e, fits));
	if (!walk_start(&w))
		return NULL;
	do {
		int64_t len = w.dims[w.rank - 1];
		for (int64_t i = 0; i < len; i += ChunkLen) {
			int n = (int)(len - i < ChunkLen ? len - i : ChunkLen);
			if (e->n->op == OpCast || e->n->op == OpBitCast)
				convert_chunk(e, &w, i, n);
			else if (is_stored(e->out->dtype) && (e->n->op == OpWhere || e->n->op == OpIdentity))
				move_chunk(e, &w, i, n);
			else if (is_real(last))
				ewise_reals(e, &w, last->dtype, i, n);
			else
				ewise_ints(e, &w, last->dtype, i, n);
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
	void (*run)(RealChunk *) = x->dtype == F64 ? run_f64 : run_f32;
	RealChunk c = {.lo = -INFINITY, .hi = INFINITY};
	TRY(need_agree(e, count_dims(x, axis, x->rank) == 2 * half));
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
	return need_agree(e, stride == tensor_numel(e->out));
}

/* The result of reducing nothing. */
Scalar reduce_identity(Op op, DType dtype)
{
	return op == OpReduceMax ? lowest_scalar(dtype) : op == OpReduceMin ? highest_scalar(dtype) : scalar_of_int(dtype, 0);
}

static const char *reduce_reals(EvalNode *e)
{
	Walk w;
	int64_t reduced, n = tensor_numel(e->out);
	Op op = e->n->op;
	Scalar begin = reduce_identity(op, e->out->dtype);
	const double *x = as_reals(e, e->in[0]);
	double *sum = alloc_temp(e, n, sizeof *sum);
	if (!x || !sum)
		return OUT_OF_MEMORY(e);
	TRY(walk_reduce(e, &w, &reduced));
	for (int64_t i = 0; i < n; i++)
		sum[i] = begin.f;
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
	Scalar begin = reduce_identity(op, e->out->dtype);
	const int64_t *x = as_ints(e, e->in[0]);
	int64_t *sum = alloc_temp(e, n, sizeof *sum);
	if (!x || !sum)
		return OUT_OF_MEMORY(e);
	TRY(walk_reduce(e, &w, &reduced));
	for (int64_t i = 0; i < n; i++)
		sum[i] = begin.i;
	if (walk_start(&w)) {
		do {
			for (int64_t i = 0; i < w.dims[w.rank - 1]; i++) {
				int64_t v = x[w.off[0] + i * w.stride[0][w.rank - 1]];
				int64_t *s = &sum[w.off[1] + i * w.stride[1][w.rank - 1]];
				*s = op == OpReduceMax   ? (less_int(begin.dtype, *s, v) ? v : *s)
				     : op == OpReduceMin ? (less_int(begin.dtype, v, *s) ? v : *s)
				                         : add_int(*s, v);
			}
		} while (walk_next(&w));
	}
	for (int64_t i = 0; i < n && op == OpMean; i++)
		sum[i] = !reduced                    ? 0
		         : less_int(begin.dtype, sum[i], 0) ? sum[i] / reduced
		                                            : (int64_t)((uint64_t)sum[i] / (uint64_t)reduced);
	store_ints(e->out, 0, sum, n);
	return NULL;
}

static const char *eval_reduce(EvalNode *e)
{
	return is_real(e->in[0]) ? reduce_reals(e) : reduce_ints(e);
}

/* In place; `stride` elements apart. */
static void accumulate_reals(double *x, int64_t n, int64_t stride, bool exclusive, bool product)
{
	double sum = product;
	for (int64_t i = 0; i < n; i++) {
		double before = sum;
		sum = product ? sum * x[i * stride] : sum + x[i * stride];
		x[i * stride] = exclusive ? before : sum;
	}
}

static void accumulate_ints(int64_t *x, int64_t n, int64_t stride, bool exclusive, bool product)
{
	int64_t sum = product;
	for (int64_t i = 0; i < n; i++) {
		int64_t before = sum;
		sum = product ? mul_int(sum, x[i * stride]) : add_int(sum, x[i * stride]);
		x[i * stride] = exclusive ? before : sum;
	}
}

static const char *eval_cumsum(EvalNode *e)
{
	const Tensor *x = e->in[0];
	int axis = (int)attr_int(e->n, Attr_axis);
	int64_t n = tensor_numel(x), len = x->dims[axis], inner = count_dims(x, axis + 1, x->rank);
	bool exclusive = attr_int(e->n, Attr_exclusive), reverse = attr_int(e->n, Attr_reverse);
	bool product = attr_int(e->n, Attr_product);
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
				accumulate_reals(reals + row + first + i, len, stride, exclusive, product);
			else
				accumulate_ints(ints + row + first + i, len, stride, exclusive, product);
	if (reals)
		store_reals(e->out, 0, reals, n);
	else
		store_ints(e->out, 0, ints, n);
	return NULL;
}

void softmax_row(double *x, int64_t n, int64_t stride)
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
	TRY(need_agree(e, (!scale || tensor_numel(scale) == len) && (!bias || tensor_numel(bias) == len)));
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

/* ---- dispatch --------------------------------------------------------------------------------------------------- */

#define RUN_Source(name) eval_##name
#define RUN_Ewise(value) eval_ewise
#define RUN_Reduce(name) eval_##name
#define RUN_Gemm(name) eval_##name
#define RUN_Window(name) eval_##name
#define RUN_Attention(name) eval_##name
#define RUN_Move(name) eval_##name
#define RUN_Index(name) eval_##name
#define RUN_Opaque(name) eval_##name
#define RUN_Extern(none) NULL /* by the engine */
#define RUN_Group(none) NULL
#define RUN_Control(meaning) NULL
static EvalFn *const eval_fns[NOps] = {
#undef OP
#define OP(name, text, in, cls, takes, code, shape, attrs, flags, meaning) [Op##name] = RUN_##cls(meaning),
#include "ops.def"
};

const char *eval_node(EvalNode *e)
{
	if (!eval_fns[e->n->op])
		bug("%s has no evaluator", ops[e->n->op].text);
	return eval_fns[e->n->op](e);
}
