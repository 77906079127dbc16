/* eval.h - between the evaluator's engine (eval_env.h) and the meaning of the operators (the table in eval_ops.c), and what those share. */
#ifndef DCC_EVAL_H
#define DCC_EVAL_H

#include "ir.h"

enum { MaxTemps = 12 };

/* One node being evaluated.  Operand and result tensors have the dims of their types; operands may be NULL if optional. */
typedef struct EvalNode {
	Module *m;
	const Node *n;
	const int64_t *syms; /* by Sym.index; NULL: constants only */
	const Tensor *const *in;
	Tensor *out; /* of n->out[0], zeroed */
	void *temps[MaxTemps]; /* freed by the engine */
	int ntemps;
} EvalNode;

/* Fills e->out.  Returns NULL or a message; checks whatever the data or the run's dims could break. */
const char *eval_node(EvalNode *e);

const char *eval_fail(EvalNode *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool eval_dim(const int64_t *syms, const Dim *, int64_t *value); /* false: symbolic without syms, or overflow */

/* ---- what the operators share (eval_data.c) --------------------------------------------------------------------- */

#define OUT_OF_MEMORY(e) eval_fail((e), "out of memory")

void *alloc_temp(EvalNode *, int64_t count, size_t bytes); /* zeroed; the engine frees it; NULL: out of memory */

/* n elements of t from element `at` on, `stride` apart; load_ints takes no floats. */
void load_reals(double *to, const Tensor *t, int64_t at, int64_t stride, int64_t n);
void load_ints(int64_t *to, const Tensor *t, int64_t at, int64_t stride, int64_t n);
void store_reals(Tensor *t, int64_t at, const double *from, int64_t n); /* takes floating and bool tensors */
void store_ints(Tensor *t, int64_t at, const int64_t *from, int64_t n); /* keeps the low bits */
/* All elements: the tensor's own, or a temporary; NULL: out of memory. */
const double *as_reals(EvalNode *, const Tensor *);
const int64_t *as_ints(EvalNode *, const Tensor *);

/* Minimum and maximum; NaN where one of them is. */
#define MINMAX(S, T)                                                                                                   \
	static inline T min_##S(T a, T b) { return a != a ? a : a < b ? a : b; }                                       \
	static inline T max_##S(T a, T b) { return a != a ? a : a > b ? a : b; }
MINMAX(f32, float)
MINMAX(f64, double)
#undef MINMAX

bool is_real(const Tensor *);
const Tensor *operand(const EvalNode *, int i); /* NULL: not there */
int64_t count_dims(const Tensor *, int first, int end); /* the product of dims[first .. end) */
const char *need_agree(EvalNode *, bool agree); /* NULL, or that the dims of the operands disagree */

const char *resolve_index(EvalNode *, int64_t *i, int64_t extent); /* negative ones count from the end; one out of range is a message */

enum { MaxStreams = 4 };

/* Rows along the last axis of an index space; stream k is at off[k] and steps by stride[k][rank - 1] within the row. */
typedef struct Walk {
	int rank, nstream;
	int64_t dims[MaxRank], at[MaxRank], stride[MaxStreams][MaxRank], off[MaxStreams];
} Walk;

void walk_over(Walk *, const Tensor *space);
bool walk_add(Walk *, const Tensor *t); /* a stream over `t` broadcast to the space; false if t does not reach it */
bool walk_start(Walk *); /* merges axes that all streams cross evenly; false if the space is empty */
bool walk_next(Walk *);

/* eval_reduce.c: in place; `stride` elements apart.  All -inf gives NaN, as the decomposed form does. */
void softmax_row(double *x, int64_t n, int64_t stride);

/* ---- the meaning of operators, for the table in eval_ops.c ------------------------------------------------------ */

typedef const char *EvalFn(EvalNode *);

/* eval_reduce.c */
EvalFn eval_reduce, eval_cumsum, eval_softmax, eval_norm;
/* eval_contract.c */
EvalFn eval_linear, eval_matmul, eval_conv, eval_group_conv, eval_winograd, eval_winograd_weights, eval_attention,
	eval_linear_packed, eval_linear_scaled, eval_linear_bytes, eval_experts, eval_experts_packed, eval_strassen,
	eval_strassen_weights;
/* eval_window.c */
EvalFn eval_winconv, eval_pool;
/* sparse.c */
EvalFn eval_sparse, eval_sparse_weights, eval_sparse_index;
/* eval_move.c */
EvalFn eval_iota, eval_dims, eval_reshape, eval_expand, eval_transpose, eval_slice, eval_view, eval_concat,
	eval_pad, eval_pack, eval_pack_bytes, eval_unpack, eval_gather, eval_gather_elements, eval_gather_nd, eval_scatter_elements, eval_scatter_nd;
/* eval_sort.c */
EvalFn eval_top_k, eval_nms;
/* eval_dft.c */
EvalFn eval_dft;

#endif
