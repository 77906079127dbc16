/* open_attention.c - attention as products, masks and a softmax: for models that look at what is between them, and for types that no
 * schedule of attention knows.  Values outside of the window count as the standard's formula has them: 0 times NaN is NaN.
 */
#include "ir.h"

#include <math.h>
#include <string.h>

static const int heads_second[] = {0, 2, 1, 3}, keys_last[] = {0, 2, 3, 1};

typedef struct Opening {
	Module *m;
	const Node *n;
	Node *before; /* what new nodes stand before; NULL: at the end of n's block */
	const Dim *const *q, *const *k; /* dims: [batch, tokens, heads, width] */
} Opening;

static Opening start(Module *m, const Node *n, Node *before)
{
	if (sees_chunks(n))
		bug("an attention to chunks of a type that has no schedule");
	return (Opening){m, n, before, n->in[0]->type.dims, n->in[1]->type.dims};
}

static Value *node(const Opening *o, Op op, int nin, Value *const *in, int nattr, const Attr *attrs, const Type *given)
{
	return build(o->m, o->n->block, o->before, op, o->n->loc, nin, in, nattr, attrs, given);
}

static Value *two(const Opening *o, Op op, Value *a, Value *b)
{
	return node(o, op, 2, (Value *[]){a, b}, 0, NULL, NULL);
}

static Value *where(const Opening *o, Value *cond, Value *a, Value *b)
{
	return node(o, OpWhere, 3, (Value *[]){cond, a, b}, 0, NULL, NULL);
}

/* v as a constant of x's type */
static Value *real(const Opening *o, const Value *x, double v)
{
	return const_scalar(o->m, scalar_of_real(x->type.dtype, v))->value;
}

static Value *cast(const Opening *o, Value *v, DType to)
{
	Type t = v->type;
	t.dtype = to;
	return v->type.dtype == to ? v : node(o, OpCast, 1, &v, 0, NULL, &t);
}

static Value *reshape(const Opening *o, Value *v, int rank, const Dim *const *dims)
{
	Type t = {.dtype = v->type.dtype, .rank = rank};
	memcpy(t.dims, dims, (size_t)rank * sizeof *dims);
	return node(o, OpReshape, 1, &v, 0, NULL, &t);
}

static Value *transpose(const Opening *o, Value *v, const int *perm)
{
	int64_t axes[4];
	for (int i = 0; i < 4; i++)
		axes[i] = perm[i];
	Attr a = mk_ints(o->m, Attr_perm, 4, axes);
	return node(o, OpTranspose, 1, &v, 1, &a, NULL);
}

/* [batch, heads, rows, columns] times [batch, heads of keys, columns, ..]: neighbouring heads share those of a key. */
static Value *product(const Opening *o, Value *a, Value *b)
{
	const Dim *const *x = a->type.dims, *const *y = b->type.dims, *one = dim_const(o->m, 1), *share;
	if (x[1] == y[1])
		return two(o, OpMatMul, a, b);
	if (!dim_exact_div(o->m, x[1], y[1], &share))
		share = dim_floordiv(o->m, x[1], dim_max(o->m, y[1], one));
	const Dim *whole[4] = {x[0], x[1], x[2], y[3]};
	a = reshape(o, a, 5, (const Dim *[]){x[0], y[1], share, x[2], x[3]});
	b = reshape(o, b, 5, (const Dim *[]){y[0], y[1], one, y[2], y[3]});
	return reshape(o, two(o, OpMatMul, a, b), 4, whole);
}

/* start, start + 1, .. along the keys (axis 3) or the queries (axis 2) */
static Value *count(const Opening *o, const Dim *n, const Dim *first, int axis)
{
	const Dim *one = dim_const(o->m, 1);
	Type t = {.dtype = I64, .rank = 1, .dims = {n}};
	Attr a = mk_dim(Attr_start, first);
	return reshape(o, node(o, OpIota, 0, NULL, 1, &a, &t), 2, (const Dim *[]){axis == 2 ? n : one, axis == 2 ? one : n});
}

/* Which keys lie in the window of a query; NULL: all. */
static Value *window(const Opening *o)
{
	int64_t left = attr_int(o->n, Attr_left), right = attr_int(o->n, Attr_right);
	const Dim *shift = dim_sub(o->m, o->k[1], o->q[1]);
	Value *key = count(o, o->k[1], dim_const(o->m, 0), 3), *sees = NULL;
	if (left >= 0)
		sees = two(o, OpLe, count(o, o->q[1], dim_sub(o->m, shift, dim_const(o->m, left)), 2), key);
	if (right >= 0) {
		Value *below = two(o, OpLe, key, count(o, o->q[1], dim_add(o->m, shift, dim_const(o->m, right)), 2));
		sees = sees ? two(o, OpAnd, sees, below) : below;
	}
	return sees;
}

static Value *cap_scores(const Opening *o, Value *s)
{
	double cap = attr_float(o->n, Attr_softcap);
	if (cap == 0)
		return s;
	Value *small = two(o, OpDiv, s, real(o, s, cap));
	return two(o, OpMul, node(o, OpTanh, 1, &small, 0, NULL, NULL), real(o, s, cap));
}

static Value *mask_scores(const Opening *o, Value *s)
{
	Value *mask = o->n->nin > 3 ? o->n->in[3] : NULL, *sees = window(o);
	if (mask)
		s = mask->type.dtype == Bool ? where(o, mask, s, real(o, s, attr_float(o->n, Attr_fill))) : two(o, OpAdd, s, mask);
	return sees ? where(o, sees, s, real(o, s, -INFINITY)) : s;
}

static Value *probabilities(const Opening *o, Value *s)
{
	static const int64_t keys[] = {3};
	Attr axis = mk_int(Attr_axis, 3), along[2] = {mk_ints(o->m, Attr_axes, 1, keys), mk_int(Attr_keepdims, 1)};
	Value *p = node(o, OpSoftmax, 1, &s, 1, &axis, NULL);
	if (attr_int(o->n, Attr_zero_masked)) {
		Value *most = node(o, OpReduceMax, 1, &s, 2, along, NULL);
		p = where(o, two(o, OpEq, most, real(o, s, -INFINITY)), real(o, s, 0), p);
	}
	if (attr_int(o->n, Attr_zero_nan))
		p = where(o, node(o, OpIsNaN, 1, &p, 0, NULL, NULL), real(o, s, 0), p);
	return p;
}

Value *attention_scores(Module *m, const Node *n, Node *before)
{
	Opening o = start(m, n, before);
	Value *s = product(&o, transpose(&o, n->in[0], heads_second), transpose(&o, n->in[1], keys_last));
	double scale = attr_float(n, Attr_scale);
	return scale == 1 ? s : two(&o, OpMul, s, real(&o, s, scale));
}

Value *attention_values(Module *m, const Node *n, Node *before, Value *p)
{
	Opening o = start(m, n, before);
	return transpose(&o, product(&o, p, transpose(&o, cast(&o, n->in[2], p->type.dtype), heads_second)), heads_second);
}

/* Of scores along the keys, [batch, queries, heads, 1]: the largest, if that is not finite, else with the logarithm of what is left. */
static Value *log_sum(const Opening *o, Value *s)
{
	static const int64_t keys[] = {3};
	Attr along[2] = {mk_ints(o->m, Attr_axes, 1, keys), mk_int(Attr_keepdims, 1)};
	Value *most = node(o, OpReduceMax, 1, &s, 2, along, NULL), *rest = two(o, OpSub, s, most), *size = node(o, OpAbs, 1, &most, 0, NULL, NULL);
	rest = node(o, OpExp, 1, &rest, 0, NULL, NULL);
	rest = node(o, OpSum, 1, &rest, 2, along, NULL);
	rest = node(o, OpLog, 1, &rest, 0, NULL, NULL);
	return transpose(o, where(o, two(o, OpEq, size, real(o, s, INFINITY)), most, two(o, OpAdd, most, rest)), heads_second);
}

Value *attention_openly(Module *m, const Node *n, Node *before, DType precision, Value *steps[4])
{
	Opening o = start(m, n, before);
	steps[0] = attention_scores(m, n, before);
	steps[1] = cap_scores(&o, steps[0]);
	steps[2] = mask_scores(&o, steps[1]);
	steps[3] = cast(&o, probabilities(&o, cast(&o, steps[2], precision)), n->out[0]->type.dtype);
	Value *y = attention_values(m, n, before, steps[3]), *both[2] = {y};
	if (!attr_int(n, Attr_lse))
		return y;
	both[1] = cast(&o, log_sum(&o, cast(&o, steps[2], precision)), y->type.dtype);
	Attr axis = mk_int(Attr_axis, 3);
	return node(&o, OpConcat, 2, both, 1, &axis, NULL);
}
