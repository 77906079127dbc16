/* expand_attention.c - attention of other types than f32, which the schedule does not know, as products, masks and a softmax. */
#include "lower.h"
#include <math.h>
#include <string.h>

static const int heads_second[] = {0, 2, 1, 3}, keys_last[] = {0, 2, 3, 1};

typedef struct Expansion {
	Module *m;
	Node *n;
	DType dtype;
	const Dim *const *q, *const *k, *const *v; /* dims: [batch, tokens, heads, width] */
} Expansion;

static Value *node(const Expansion *e, Op op, int nin, Value *const *in, int nattr, const Attr *attrs, const Type *given)
{
	return build(e->m, e->n->block, e->n, op, e->n->loc, nin, in, nattr, attrs, given);
}

static Value *two(const Expansion *e, Op op, Value *a, Value *b)
{
	return node(e, op, 2, (Value *[]){a, b}, 0, NULL, NULL);
}

static Value *where(const Expansion *e, Value *cond, Value *a, Value *b)
{
	return node(e, OpWhere, 3, (Value *[]){cond, a, b}, 0, NULL, NULL);
}

static Value *real(const Expansion *e, double v)
{
	return const_scalar(e->m, scalar_of_real(e->dtype, v))->value;
}

static Value *reshape(const Expansion *e, Value *v, int rank, const Dim *const *dims)
{
	Type t = {.dtype = v->type.dtype, .rank = rank};
	memcpy(t.dims, dims, (size_t)rank * sizeof *dims);
	return node(e, OpReshape, 1, &v, 0, NULL, &t);
}

static Value *transpose(const Expansion *e, Value *v, const int *perm)
{
	int64_t axes[4];
	for (int i = 0; i < 4; i++)
		axes[i] = perm[i];
	Attr a = mk_ints(e->m, Attr_perm, 4, axes);
	return node(e, OpTranspose, 1, &v, 1, &a, NULL);
}

/* [batch, heads, rows, columns] times [batch, heads of keys, columns, ..]: neighbouring heads share those of a key. */
static Value *product(const Expansion *e, Value *a, Value *b)
{
	const Dim *const *x = a->type.dims, *const *y = b->type.dims, *one = dim_const(e->m, 1), *share;
	if (x[1] == y[1])
		return two(e, OpMatMul, a, b);
	if (!dim_exact_div(e->m, x[1], y[1], &share))
		share = dim_floordiv(e->m, x[1], dim_max(e->m, y[1], one));
	const Dim *whole[4] = {x[0], x[1], x[2], y[3]};
	a = reshape(e, a, 5, (const Dim *[]){x[0], y[1], share, x[2], x[3]});
	b = reshape(e, b, 5, (const Dim *[]){y[0], y[1], one, y[2], y[3]});
	return reshape(e, two(e, OpMatMul, a, b), 4, whole);
}

/* start, start + 1, .. along the keys (axis 3) or the queries (axis 2) */
static Value *count(const Expansion *e, const Dim *n, const Dim *start, int axis)
{
	const Dim *one = dim_const(e->m, 1);
	Type t = {.dtype = I64, .rank = 1, .dims = {n}};
	Attr a = mk_dim(Attr_start, start);
	return reshape(e, node(e, OpIota, 0, NULL, 1, &a, &t), 2, (const Dim *[]){axis == 2 ? n : one, axis == 2 ? one : n});
}

/* Which keys lie in the window of a query; NULL: all. */
static Value *window(const Expansion *e)
{
	int64_t left = attr_int(e->n, Attr_left), right = attr_int(e->n, Attr_right);
	const Dim *shift = dim_sub(e->m, e->k[1], e->q[1]);
	Value *key = count(e, e->k[1], dim_const(e->m, 0), 3), *sees = NULL;
	if (left >= 0)
		sees = two(e, OpLe, count(e, e->q[1], dim_sub(e->m, shift, dim_const(e->m, left)), 2), key);
	if (right >= 0) {
		Value *below = two(e, OpLe, key, count(e, e->q[1], dim_add(e->m, shift, dim_const(e->m, right)), 2));
		sees = sees ? two(e, OpAnd, sees, below) : below;
	}
	return sees;
}

static Value *masked_scores(const Expansion *e)
{
	const Node *n = e->n;
	double cap = attr_float(n, Attr_softcap);
	Value *s = product(e, transpose(e, n->in[0], heads_second), transpose(e, n->in[1], keys_last));
	s = two(e, OpMul, s, real(e, attr_float(n, Attr_scale)));
	if (cap != 0) {
		Value *small = two(e, OpDiv, s, real(e, cap));
		s = two(e, OpMul, node(e, OpTanh, 1, &small, 0, NULL, NULL), real(e, cap));
	}
	Value *mask = n->nin > 3 ? n->in[3] : NULL, *sees = window(e);
	if (mask)
		s = mask->type.dtype == Bool ? where(e, mask, s, real(e, attr_float(n, Attr_fill))) : two(e, OpAdd, s, mask);
	return sees ? where(e, sees, s, real(e, -INFINITY)) : s;
}

bool expand_attention(Module *m, Node *n)
{
	if (n->op != OpAttention || n->out[0]->type.dtype == F32)
		return false;
	Expansion e = {m, n, n->out[0]->type.dtype, n->in[0]->type.dims, n->in[1]->type.dims, n->in[2]->type.dims};
	static const int64_t keys[] = {3};
	Attr axis = mk_int(Attr_axis, 3), along[2] = {mk_ints(m, Attr_axes, 1, keys), mk_int(Attr_keepdims, 1)};
	Value *scores = masked_scores(&e), *y = node(&e, OpSoftmax, 1, &scores, 1, &axis, NULL);
	if (attr_int(n, Attr_zero_masked)) {
		Value *most = node(&e, OpReduceMax, 1, &scores, 2, along, NULL);
		y = where(&e, two(&e, OpEq, most, real(&e, -INFINITY)), real(&e, 0), y);
	}
	if (attr_int(n, Attr_zero_nan))
		y = where(&e, node(&e, OpIsNaN, 1, &y, 0, NULL, NULL), real(&e, 0), y);
	y = transpose(&e, product(&e, y, transpose(&e, n->in[2], heads_second)), heads_second);
	replace_uses(m, n->out[0], y);
	return true;
}
