/* eval_ops.c - the table of what every operator means, as plain loops, the reference for folding, rewrites, schedules and kernels;
 * and the elementwise ones.  The others are in eval_reduce.c, eval_contract.c, eval_window.c, eval_move.c and others that eval.h lists.
 *
 * Elementwise ops expand the scalar column of ops.def three times: in float for f32 and what is narrower, in double for f64, in int64_t for
 * integers and bool (results are truncated to the element type, so arithmetic wraps).  Everything that sums does so in
 * double, or int64_t for integers.  Dims that must agree are checked here again, so that a wrong type is a message and
 * never a wild access.
 */
#include "eval.h"

#include <math.h>
#include <string.h>

/* ---- the scalar vocabulary of ops.def --------------------------------------------------------------------------- */
/* Functions, so that no compiler contracts two of them into one fused operation. */

#define REAL_SCALARS(S, T)                                                                                             \
	static inline T add_##S(T a, T b) { return a + b; }                                                            \
	static inline T sub_##S(T a, T b) { return a - b; }                                                            \
	static inline T mul_##S(T a, T b) { return a * b; }                                                            \
	static inline T div_##S(T a, T b) { return a / b; }                                                            \
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
