/* fuse_reparam.c - convolutions of one value that are summed are one convolution, whose weights are the sums of theirs.
 *
 *   conv(x, w, b) + conv(x, v, c) + s * x + t  ->  conv(x, w + v + s, b + c + t)
 *
 * Networks are trained with such branches and exported with them unless somebody joins them before, "structural re-parameterization": RepVGG
 * (Ding et al. 2021), MobileOne, FastViT, GhostNetV3.  The taps of a smaller window are added to those of a larger one that meet the same
 * elements of x; a factor for each channel is a window of one tap.
 */
#include "idioms.h"

#include <math.h>
#include <string.h>

enum { MostTerms = 16 /* of a sum, that are looked at */ };

typedef struct Term {
	Value *v;
	Value *x; /* what it is linear in; NULL: nothing known */
	Value *w, *b; /* as of conv; else constants for each channel, or for all: a factor, a summand */
	const Node *conv; /* whose window it has; NULL: one tap */
} Term;

/* Is v one number for each channel of the sum, or for all? */
static bool is_by_channel(const Node *sum, const Value *v)
{
	const Type *all = &sum->out[0]->type, *t = &v->type;
	const int axis = 1 - (all->rank - t->rank); /* of the channels in v */

	if (!is_const(v) || t->dtype != F32)
		return false;
	for (int d = 0; d < t->rank; d++)
		if (!dim_equals(t->dims[d], 1) && (d != axis || t->dims[d] != all->dims[1]))
			return false;
	return true;
}

/* Such a value, or a bias, as a vector of the channels. */
static Value *by_channel(Module *m, Node *sum, Value *v)
{
	Type line = {.dtype = F32, .rank = 1, .dims = {dim_const(m, 1)}};

	if (v->type.rank == 1 && v->type.dims[0] == sum->out[0]->type.dims[1])
		return v;
	for (int d = 0; d < v->type.rank; d++)
		line.dims[0] = dim_mul(m, line.dims[0], v->type.dims[d]);
	v = build(m, sum->block, sum, OpReshape, sum->loc, 1, &v, 0, NULL, &line);
	if (line.dims[0] == sum->out[0]->type.dims[1])
		return v;
	line.dims[0] = sum->out[0]->type.dims[1];
	return build(m, sum->block, sum, OpExpand, sum->loc, 1, &v, 0, NULL, &line);
}

static bool has_known_dims(const Type *t)
{
	for (int d = 0; d < t->rank; d++)
		if (!dim_is_const(t->dims[d], NULL))
			return false;
	return true;
}

static void read_term(const Node *sum, Value *v, Term *t)
{
	Node *n = v->def;

	*t = (Term){.v = v};
	if (is_by_channel(sum, v)) {
		t->b = v;
		return;
	}
	if (!n || !type_equal(&v->type, &sum->out[0]->type) || n->block != sum->block || !only_user(v))
		return;
	if (n->op == OpConv && is_const(n->in[1]) && has_known_dims(&n->in[1]->type) && (!n->in[2] || is_const(n->in[2])))
		*t = (Term){.v = v, .x = n->in[0], .w = n->in[1], .b = n->in[2], .conv = n};
	for (int i = 0; i < 2 && n->op == OpMul && !t->x; i++)
		if (type_equal(&n->in[1 - i]->type, &v->type) && is_by_channel(sum, n->in[i])) {
			t->w = n->in[i];
			t->x = n->in[1 - i];
		}
}

static bool is_part(const Node *sum, const Value *v)
{
	const Node *n = v->def;
	return n && n->op == OpAdd && n->block == sum->block && only_user(v) && type_equal(&v->type, &sum->out[0]->type);
}

/* The terms of the sum, first to last. */
static int read_terms(const Node *sum, Term *terms)
{
	Value *v[MostTerms] = {sum->in[0], sum->in[1]};
	int n = 2;

	for (int i = 0; i < n;) {
		if (n == MostTerms || !is_part(sum, v[i])) {
			i++;
			continue;
		}
		const Node *part = v[i]->def;
		for (int k = n++; k > i + 1; k--)
			v[k] = v[k - 1];
		v[i] = part->in[0];
		v[i + 1] = part->in[1];
	}
	for (int i = 0; i < n; i++)
		read_term(sum, v[i], &terms[i]);
	return n;
}

static int64_t entry(const Node *conv, AttrId key, int i, int64_t otherwise)
{
	return conv ? attr_int_at(conv, key, i, otherwise) : otherwise;
}

static int64_t extent_of(const Type *t, int d)
{
	int64_t n = 0;
	dim_is_const(t->dims[d], &n);
	return n;
}

/* Does each tap of b along each axis meet the elements that a tap of a meets, from tap shift[d] on?  A factor does where channels stay. */
static bool lies_in(const Term *a, const Term *b, int64_t *shift)
{
	if (!a->conv || !a->x || a->x != b->x)
		return false;
	const Type *w = &a->w->type;
	if (b->conv ? attr_int(a->conv, Attr_group) != attr_int(b->conv, Attr_group) : w->dims[0] != a->x->type.dims[1])
		return false;
	for (int d = 0; d < w->rank - 2; d++) {
		const int64_t taps = b->conv ? extent_of(&b->w->type, d + 2) : 1;
		const int64_t apart = entry(a->conv, Attr_dilations, d, 1), before = entry(a->conv, Attr_pads, d, 0) - entry(b->conv, Attr_pads, d, 0);
		if (entry(a->conv, Attr_strides, d, 1) != entry(b->conv, Attr_strides, d, 1) || (taps > 1 && entry(b->conv, Attr_dilations, d, 1) != apart) ||
		    before < 0 || before % apart || before / apart + taps > extent_of(w, d + 2))
			return false;
		shift[d] = before / apart;
	}
	return true;
}

/* The weights that multiply each channel of x by its factor: [M, C / group, 1..]. */
static Value *weights_of_factors(Module *m, Node *sum, const Term *a, Value *s)
{
	Type column = {.dtype = F32, .rank = a->w->type.rank}, row = {.dtype = I64, .rank = column.rank};
	const int64_t depth = extent_of(&a->w->type, 1);
	for (int d = 0; d < column.rank; d++)
		column.dims[d] = row.dims[d] = dim_const(m, 1);
	column.dims[0] = a->w->type.dims[0];
	row.dims[1] = a->w->type.dims[1];
	s = by_channel(m, sum, s);
	s = build(m, sum->block, sum, OpReshape, sum->loc, 1, &s, 0, NULL, &column);
	if (depth == 1)
		return s;
	/* where output o's channel is that of the same number in its group */
	Type count = {.dtype = I64, .rank = 1, .dims = {column.dims[0]}}, place = column;
	place.dtype = I64;
	Value *o = build(m, sum->block, sum, OpIota, sum->loc, 0, NULL, 0, NULL, &count);
	o = build(m, sum->block, sum, OpIMod, sum->loc, 2, (Value *[]){o, const_scalar(m, scalar_of_int(I64, depth))->value}, 0, NULL, NULL);
	o = build(m, sum->block, sum, OpReshape, sum->loc, 1, &o, 0, NULL, &place);
	count.dims[0] = row.dims[1];
	Value *c = build(m, sum->block, sum, OpIota, sum->loc, 0, NULL, 0, NULL, &count);
	c = build(m, sum->block, sum, OpReshape, sum->loc, 1, &c, 0, NULL, &row);
	Value *same = build(m, sum->block, sum, OpEq, sum->loc, 2, (Value *[]){o, c}, 0, NULL, NULL);
	return build(m, sum->block, sum, OpWhere, sum->loc, 3, (Value *[]){same, s, const_scalar(m, scalar_of_real(F32, 0))->value}, 0, NULL, NULL);
}

/* b's weights where a has its taps. */
static Value *aligned(Module *m, Node *sum, const Term *a, const Term *b, const int64_t *shift)
{
	Value *w = b->conv ? b->w : weights_of_factors(m, sum, a, b->w);
	const int rank = w->type.rank;
	const Dim *pads[2 * MaxRank];

	if (equal_dims(&w->type, &a->w->type))
		return w;
	for (int d = 0; d < rank; d++) {
		const int64_t before = d < 2 ? 0 : shift[d - 2];
		pads[d] = dim_const(m, before);
		pads[rank + d] = dim_const(m, d < 2 ? 0 : extent_of(&a->w->type, d) - extent_of(&w->type, d) - before);
	}
	const Attr attr = mk_dims(m, Attr_pads_dim, 2 * rank, pads);
	return build(m, sum->block, sum, OpPad, sum->loc, 1, &w, 1, &attr, NULL);
}

static Value *add_before(Module *m, Node *sum, Value *a, Value *b)
{
	return build(m, sum->block, sum, OpAdd, sum->loc, 2, (Value *[]){a, b}, 0, NULL, NULL);
}

static bool is_bias(const Term *t)
{
	return !t->x && t->b;
}

typedef struct Known {
	const Value *v;
	bool moderate;
} Known;

static bool is_of(const void *item, const void *v)
{
	return ((const Known *)item)->v == v;
}

static void note(Module *m, Table *weights, const Value *v, bool moderate)
{
	Known *k = arena_alloc(m->arena, sizeof *k);
	*k = (Known){v, moderate};
	table_add(m->arena, weights, table_hash(&v, sizeof v, 0), k);
}

/* Are sums of MostTerms such numbers numbers?  NULL is none. */
static bool is_moderate(Module *m, Table *weights, Value *v)
{
	const Known *k = v ? table_find(weights, table_hash(&v, sizeof v, 0), is_of, v) : NULL;
	Tensor t;

	if (!v || k)
		return !v || k->moderate;
	bool moderate = !look_at_const(m, v, &t); /* if not, whoever writes it will say why */
	if (moderate) {
		const float *x = t.data;
		for (int64_t i = 0, n = tensor_numel(&t); i < n && moderate; i++)
			moderate = fabsf(x[i]) <= 0x1p120f;
		free_tensor(&t);
	}
	note(m, weights, v, moderate);
	return moderate;
}

static bool are_moderate(Module *m, Table *weights, const Term *t)
{
	return is_moderate(m, weights, t->w) && is_moderate(m, weights, t->b);
}

/* a takes b, if it can. */
static bool take(Module *m, Node *sum, Table *weights, Term *a, const Term *b)
{
	int64_t shift[MaxRank] = {0};

	if (!a->conv || !(is_bias(b) || lies_in(a, b, shift)) || !are_moderate(m, weights, a) || !are_moderate(m, weights, b) || !allow("reparam"))
		return false;
	if (b->x)
		a->w = add_before(m, sum, a->w, aligned(m, sum, a, b, shift));
	if (b->b) {
		Value *bias = by_channel(m, sum, b->b);
		a->b = a->b ? add_before(m, sum, a->b, bias) : bias;
		note(m, weights, a->b, true);
	}
	note(m, weights, a->w, true);
	a->v = build(m, sum->block, sum, OpConv, a->conv->loc, 3, (Value *[]){a->x, a->w, a->b}, a->conv->nattr, a->conv->attrs, NULL);
	a->conv = a->v->def;
	return true;
}

/* Some term takes another, which goes. */
static bool take_one(Module *m, Node *sum, Table *weights, Term *t, int *n)
{
	for (int i = 0; i < *n; i++)
		for (int k = 0; k < *n; k++)
			if (i != k && take(m, sum, weights, &t[i], &t[k])) {
				memmove(&t[k], &t[k + 1], (size_t)(--*n - k) * sizeof *t);
				return true;
			}
	return false;
}

bool fuse_reparam(Module *m, Node *sum, Table *weights)
{
	Term t[MostTerms];

	if (sum->op != OpAdd || sum->out[0]->type.dtype != F32 || sum->out[0]->type.rank < 3)
		return false;
	const Node *user = only_user(sum->out[0]);
	if (user && user->op == OpAdd && is_part(user, sum->out[0]))
		return false;
	int n = read_terms(sum, t);
	if (!take_one(m, sum, weights, t, &n))
		return false;
	report_match("reparam", sum->loc);
	while (take_one(m, sum, weights, t, &n))
		;
	Value *all = t[0].v;
	for (int i = 1; i < n; i++)
		all = add_before(m, sum, all, t[i].v);
	replace_uses(m, sum->out[0], all);
	return true;
}
