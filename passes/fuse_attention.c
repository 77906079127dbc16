/* fuse_attention.c - softmax(scale * q k^T + mask) v, in every layout.
 *
 * The operands are taken as views, so transposes, head splits and packed projections do not matter.  Scales on q, on k and on
 * the scores become one factor; `where(isnan(p), 0, p)` behind the softmax becomes zero_nan; cap * tanh(s / cap) becomes softcap.
 * Whatever masks and biases lie between product and softmax, in any order, is brought to the form
 *   where(keep, scale * product + bias, fill)
 * from the softmax inwards, and becomes one mask operand; conditions that keep a window of keys around key i + keys - queries for query
 * i become the attributes left and right.  The result has the layout [batch, query, head, channel] that the next projection reads in order;
 * or batch and heads are one axis, where the model wants rows in the order of the product.
 *
 * Where probabilities are made of the logarithms of their sums, and those are needed too, they are a column more of the result.
 */
#include "idioms.h"
#include <math.h>

typedef struct Window { /* keys that a query sees: so many before and behind the one that stands for itself */
	int64_t left, right; /* -1: all */
} Window;

typedef struct Heads { /* the parts of one attention */
	Node *at; /* the product with v: everything is made before it, where all operands are known */
	Value *q, *k, *v; /* scores = q k', result = p v; k' is [.., channel, key] */
	bool k_rows; /* k is [.., key, channel] instead */
	Value *keep, *bias; /* broadcast to the scores; NULL: keep all, add nothing */
	double scale, fill, softcap; /* softcap 0: none */
	bool zero_nan;
	Value *open, *log_sum; /* what the softmax is of; NULL, or the logarithm of its sums, which probabilities are made of (log_sum.c) */
	int first; /* axis of the scores that the heads begin with; what is in front of it is the batch */
	bool in_order; /* all leading axes are the batch */
	Window window;
	bool closed; /* further inside only scales are left that fit the form */
	const Loc *scores_loc, *softmax_loc;
	Type scores;
} Heads;

/* x * c or x / c with a uniform c: multiplies *scale and returns x. */
static Value *strip_scale(Value *v, double *scale)
{
	for (;;) {
		Node *n = v->def;
		double c;
		if (!n || (n->op != OpMul && n->op != OpDiv))
			return v;
		int i = uniform_value(n->in[1], &c) ? 0 : n->op == OpMul && uniform_value(n->in[0], &c) ? 1 : -1;
		if (i < 0 || !type_equal(&n->in[i]->type, &v->type) || c == 0 || !isfinite(c))
			return v;
		*scale = n->op == OpMul ? *scale * c : *scale / c;
		v = n->in[i];
	}
}

static Value *strip_nan_guard(Value *p, bool *zero_nan)
{
	Node *w = p->def;
	double zero;

	if (!w || w->op != OpWhere || !w->in[0]->def || w->in[0]->def->op != OpIsNaN || w->in[0]->def->in[0] != w->in[2] ||
	    !uniform_value(w->in[1], &zero) || zero != 0)
		return p;
	*zero_nan = true;
	return w->in[2];
}

/* ---- between product and softmax ---------------------------------------------------------------------------------------------- */

/* Added to any score it gives itself: a select of it is as good as an addition. */
static bool swallows_scores(double fill)
{
	return fill < -1e30;
}

static Value *binary(Module *m, Node *at, Op op, Value *a, Value *b)
{
	Value *in[] = {a, b};
	return build(m, at->block, at, op, at->loc, 2, in, 0, NULL, NULL);
}

static Value *f32_scalar(Module *m, double x)
{
	return const_scalar(m, scalar_of_real(F32, x))->value;
}

static Value *scaled(Module *m, Node *at, Value *v, double factor)
{
	return factor == 1 ? v : binary(m, at, OpMul, v, f32_scalar(m, factor));
}

static Value *either(Module *m, Node *at, Value *keep, Value *a, Value *b)
{
	Value *in[] = {keep, a, b};
	return build(m, at->block, at, OpWhere, at->loc, 3, in, 0, NULL, NULL);
}

static void add_bias(Module *m, Heads *h, Value *bias)
{
	h->bias = h->bias ? binary(m, h->at, OpAdd, h->bias, bias) : bias;
}

/* Do excluded keys have a score of their own, which a bias would change? */
static bool has_own_fill(const Heads *h)
{
	return h->keep && isfinite(h->fill) && !swallows_scores(h->fill);
}

/* The scores are where(keep, inner, fill). */
static bool add_select(Module *m, Heads *h, Value *keep, double fill)
{
	fill = fill * h->scale;
	if (h->scale <= 0)
		return false;
	if (isfinite(fill) && (h->bias || h->keep) && swallows_scores(fill) && fill != h->fill && !has_own_fill(h)) {
		add_bias(m, h, either(m, h->at, keep, f32_scalar(m, 0), f32_scalar(m, fill)));
		h->closed = true; /* the select hid what an inner mask does to these keys, the addition would not */
		return true;
	}
	if ((h->keep && fill != h->fill) || (h->bias && fill != -INFINITY))
		return false;
	h->keep = h->keep ? binary(m, h->at, OpAnd, h->keep, keep) : keep;
	h->fill = fill;
	return true;
}

/* cap * tanh(u / cap): returns u. */
static Value *strip_softcap(Value *s, Heads *h)
{
	double cap = 1, inverse = 1;
	Value *v = strip_scale(s, &cap);
	Node *n = v->def;

	if (!n || n->op != OpTanh || !(cap > 0) || h->softcap != 0 || h->scale != 1 || !only_user(v))
		return s;
	Value *u = strip_scale(n->in[0], &inverse);
	h->softcap = cap;
	h->closed = true;
	h->scale = inverse * cap;
	return u;
}

enum { Deepest = 8 }; /* operations between product and softmax */

/* Is v computed elementwise from a product? */
static bool leads_to_product(const Value *v, const Type *scores, int depth)
{
	const Node *n = v->def;
	if (!n || !depth || !type_equal(&v->type, scores))
		return false;
	for (int i = 0; ops[n->op].cls == ClsEwise && i < n->nin; i++)
		if (leads_to_product(n->in[i], scores, depth - 1))
			return true;
	return n->op == OpMatMul;
}

/* Takes the outermost operation off the scores; returns them if there is none to take. */
static Value *strip_one(Module *m, Value *s, Heads *h)
{
	Node *n = s->def;
	Value *inner;
	double x;

	if (!n || (s != h->open && !only_user(s)))
		return s;
	if ((!h->closed && (inner = strip_softcap(s, h)) != s) || (inner = strip_scale(s, &h->scale)) != s)
		return inner;
	if (h->closed)
		return s;
	for (int i = 0; n->op == OpAdd && i < 2 && !has_own_fill(h); i++)
		if (leads_to_product(n->in[i], &s->type, Deepest)) {
			add_bias(m, h, scaled(m, h->at, n->in[1 - i], h->scale));
			return n->in[i];
		}
	for (int fill = 1; n->op == OpWhere && fill <= 2; fill++)
		if (uniform_value(n->in[fill], &x) && type_equal(&n->in[3 - fill]->type, &s->type)) {
			Value *keep = n->in[0];
			if (fill == 1)
				keep = build(m, h->at->block, h->at, OpNot, n->loc, 1, &keep, 0, NULL, NULL);
			return add_select(m, h, keep, x) ? n->in[3 - fill] : s;
		}
	return s;
}

/* ---- windows ----------------------------------------------------------------------------------------------------------------- */

/* v without leading axes along which it does not change. */
static Value *without_broadcast(Module *m, Value *v)
{
	View w, root;
	int r = v->type.rank;

	view_of(m, v, &w);
	int rr = w.root->type.rank;
	if (w.root == v || r < 2 || rr < 2 || w.root->type.dims[rr - 1] != v->type.dims[r - 1] ||
	    w.root->type.dims[rr - 2] != v->type.dims[r - 2] || !dim_equals(w.base, 0))
		return v;
	for (int d = 0; d < rr - 2; d++)
		if (!dim_equals(w.root->type.dims[d], 1))
			return v;
	view_identity(m, w.root, &root);
	for (int i = 0; i < w.first[r]; i++) {
		int j = i - w.first[r - 2];
		if (j < 0 ? !dim_equals(w.f[i].stride, 0)
		          : root.first[rr - 2] + j >= root.first[rr] || w.f[i].stride != root.f[root.first[rr - 2] + j].stride)
			return v;
	}
	return w.root;
}

typedef struct Index { /* base + row * (index of the query) + column * (index of the key) */
	const Dim *base, *row, *column;
} Index;

/* Of an index tensor that broadcasts to the scores. */
static bool index_in_scores(Module *m, Value *v, Index *x)
{
	Affine a;

	if (!affine_of(m, v, &a))
		return false;
	x->base = a.base;
	x->row = a.rank > 1 ? a.coef[a.rank - 2] : dim_const(m, 0);
	x->column = a.rank > 0 ? a.coef[a.rank - 1] : dim_const(m, 0);
	for (int d = 0; d < a.rank - 2; d++)
		if (!dim_equals(a.coef[d], 0))
			return false;
	return true;
}

static Index minus(Module *m, const Index *a, const Index *b)
{
	return (Index){dim_sub(m, a->base, b->base), dim_sub(m, a->row, b->row), dim_sub(m, a->column, b->column)};
}

static void narrow(int64_t *bound, int64_t to)
{
	if (*bound < 0 || to < *bound)
		*bound = to;
}

/* Is a <= b (`strict`: a < b) for query i and key j if and only if j <= i + keys - queries + n, or j >= i + keys - queries - n?  Then it
 * bounds the window. */
static bool bounds_window(Module *m, const Index *a, const Index *b, bool strict, const Type *scores, Window *w)
{
	const Dim *lag = dim_sub(m, scores->dims[scores->rank - 1], scores->dims[scores->rank - 2]);
	Index x = minus(m, a, b); /* column * j + row * i <= -base */
	const Dim *shift = dim_sub(m, dim_const(m, -strict), x.base);
	bool right = dim_equals(x.column, 1) && dim_equals(x.row, -1), left = dim_equals(x.column, -1) && dim_equals(x.row, 1);
	int64_t more;

	if (!right && !left)
		return false;
	if (!dim_is_const(right ? dim_sub(m, shift, lag) : dim_add(m, shift, lag), &more) || more < 0)
		return false;
	narrow(right ? &w->right : &w->left, more < DimMax ? more : DimMax);
	return true;
}

/* Is v (`excludes`: its negation) such a comparison, or |a| <= b, which is two of them? */
static bool is_window(Module *m, Value *v, bool excludes, const Type *scores, Window *w)
{
	const Node *n = without_broadcast(m, v)->def;
	Window both = *w;
	Index a, b;

	for (; n && n->op == OpNot; excludes = !excludes)
		n = without_broadcast(m, n->in[0])->def;
	if (!n || (n->op != OpLe && n->op != OpLt))
		return false;
	bool strict = (n->op == OpLt) != excludes; /* not(a < b) is b <= a */
	Value *less = n->in[excludes], *more = n->in[!excludes];
	const Node *abs = without_broadcast(m, less)->def;
	bool two = abs && abs->op == OpAbs;
	if (!index_in_scores(m, two ? abs->in[0] : less, &a) || !index_in_scores(m, more, &b))
		return false;
	if (!two)
		return bounds_window(m, &a, &b, strict, scores, w);
	const Dim *zero = dim_const(m, 0);
	Index opposite = minus(m, &(Index){zero, zero, zero}, &a);
	if (!bounds_window(m, &a, &b, strict, scores, &both) || !bounds_window(m, &opposite, &b, strict, scores, &both))
		return false;
	*w = both;
	return true;
}

enum { MaxConditions = 64 };

/* The conditions of a conjunction that bound no window; NULL: none is left.  Of `limit` conditions: those that are shared are met on
 * each path to them. */
static Value *other_conditions(Module *m, const Heads *h, Value *keep, Window *w, int *limit)
{
	Node *n = keep->def;

	if (--*limit < 0)
		return keep;
	if (is_window(m, keep, false, &h->scores, w))
		return NULL;
	if (!n || n->op != OpAnd)
		return keep;
	Value *a = other_conditions(m, h, n->in[0], w, limit), *b = other_conditions(m, h, n->in[1], w, limit);
	if (a == n->in[0] && b == n->in[1])
		return keep;
	return a && b ? binary(m, h->at, OpAnd, a, b) : a ? a : b;
}

/* Takes the window out of h->keep.  A number in the place of -inf is as good where every query keeps a key that nothing else hides: if
 * windows are all that there is, and the key that stands for the query exists. */
static void take_window(Module *m, Heads *h)
{
	int64_t more, ignored;
	const Type *s = &h->scores;
	Window w = h->window;

	dim_range(dim_sub(m, s->dims[s->rank - 1], s->dims[s->rank - 2]), &more, &ignored);
	Value *others = other_conditions(m, h, h->keep, &w, &(int){MaxConditions});
	if (h->fill != -INFINITY && (others || h->bias || more < 0 || !swallows_scores(h->fill)))
		return;
	h->keep = others;
	h->window = w;
}

/* A bias that is 0 or -inf, or so small that nothing is left of a score, is a condition. */
static void find_window(Module *m, Heads *h)
{
	Value *bias = h->bias;
	Node *n = bias && !h->keep ? without_broadcast(m, bias)->def : NULL;

	if (h->keep)
		take_window(m, h);
	for (int zero = 1; n && n->op == OpWhere && zero <= 2; zero++) {
		double none, fill;
		if (!uniform_value(n->in[zero], &none) || none != 0 || !uniform_value(n->in[3 - zero], &fill) || !swallows_scores(fill))
			continue;
		h->keep = n->in[0];
		if (zero == 2)
			h->keep = build(m, h->at->block, h->at, OpNot, n->loc, 1, &h->keep, 0, NULL, NULL);
		h->bias = NULL;
		h->fill = fill;
		take_window(m, h);
		return;
	}
}

/* The mask operand, or NULL for none. */
static Value *mask_of(Module *m, const Heads *h)
{
	if (h->bias && h->keep)
		return either(m, h->at, h->keep, h->bias, f32_scalar(m, h->fill));
	return h->bias ? h->bias : h->keep;
}

static const char *find_parts(Module *m, Node *n, Heads *h)
{
	if (attr_int(n, Attr_trans_a) || attr_int(n, Attr_trans_b))
		return "probabilities or values are transposed";
	h->scale = 1;
	h->fill = -INFINITY;
	h->v = n->in[1];
	Value *p = strip_nan_guard(n->in[0], &h->zero_nan);
	Node *softmax = p->def;
	h->softmax_loc = softmax->loc;
	h->log_sum = log_sum_of(p);
	if (!h->log_sum && attr_int(softmax, Attr_axis) != p->type.rank - 1)
		return "softmax is not over the last axis";
	if (is_output(p) || (!h->zero_nan && only_user(p) != n))
		return "the probabilities are used elsewhere too";
	if (h->log_sum && !is_log_sum_ready(h->log_sum, p, n))
		return "the logarithms of the sums are used in front of the product, or far from it";
	Value *s = h->open = (h->log_sum ? softmax->in[0]->def : softmax)->in[0];
	if (!h->log_sum && only_user(s) != softmax)
		return "the scores are used elsewhere too";
	for (Value *outer = NULL; outer != s;) {
		outer = s;
		s = strip_one(m, outer, h);
	}
	Node *qk = s->def;
	if (qk && ops[qk->op].cls == ClsEwise && leads_to_product(s, &s->type, Deepest))
		return "an operation between product and softmax is no scale, mask or softcap, or does not combine with the others";
	if (!qk || qk->op != OpMatMul || attr_int(qk, Attr_trans_a))
		return "the scores are not a product of queries and keys";
	h->scores_loc = qk->loc;
	h->scores = s->type;
	h->k_rows = attr_int(qk, Attr_trans_b);
	h->q = strip_scale(qk->in[0], &h->scale);
	h->k = strip_scale(qk->in[1], &h->scale);
	if (h->q->type.rank != s->type.rank || h->k->type.rank != s->type.rank || h->v->type.rank != s->type.rank ||
	    s->type.rank < 2)
		return "queries, keys and values differ in rank";
	return NULL;
}

/* v, whose last two axes are rows and columns, as [batch, rows, head, columns]: through a view that splits batch and head. */
static Value *as_heads(Module *m, Value *v, bool swap, const Dim *batch, const Dim *heads, Node *before)
{
	View w, split, t;
	int r = v->type.rank;
	Type four = {.dtype = v->type.dtype, .rank = 4, .dims = {batch, heads, v->type.dims[r - 2], v->type.dims[r - 1]}};

	view_of(m, v, &w);
	if (!view_reshape(m, &w, &four, &split)) {
		view_identity(m, v, &w);
		if (!view_reshape(m, &w, &four, &split))
			return NULL;
	}
	const int64_t perm[] = {0, swap ? 3 : 2, 1, swap ? 2 : 3};
	view_transpose(&split, perm, &t);
	Type type = four;
	for (int i = 0; i < 4; i++)
		type.dims[i] = four.dims[perm[i]];
	return build_view(m, &t, &type, before, before->loc);
}

/* Leading axes from .. to - 1 of scores or an operand, as one. */
static const Dim *leading(Module *m, const Type *t, int from, int to)
{
	const int end = to < t->rank - 2 ? to : t->rank - 2;
	return from < end ? dims_product(m, t->dims + from, end - from) : dim_const(m, 1);
}

static const Dim *heads_of(Module *m, const Heads *h, const Type *t)
{
	return leading(m, t, h->first, t->rank - 2);
}

/* Has the product several leading axes, is it only reshaped, as no projection of heads is, and do its operands lie so too? */
static bool stays_in_order(Module *m, const Heads *h, const Value *y)
{
	Value *const in[] = {h->q, h->k, h->v};
	const int lead = h->scores.rank - 2;
	Factor f[MaxFactors];
	View w;

	for (int u = 0; u < y->nuse; u++)
		if (!y->uses[u].node || y->uses[u].node->op != OpReshape)
			return false;
	for (int i = 0; i < 3; i++) {
		view_of(m, in[i], &w);
		for (int d = 0; d < lead; d++)
			if (in[i]->type.dims[d] != h->scores.dims[d])
				return false;
		if (merge_factors(m, &w, 0, lead, f) > 1)
			return false;
	}
	return lead > 1 && !dim_equals(h->scores.dims[lead], 1); /* one query lies in both orders */
}

/* Are keys and values perhaps chunks that were put one behind the other, each for a batch of queries (chunk_attention.c)?  Parts of a cache differ
 * in length. */
static bool joins_chunks(Module *m, const Heads *h)
{
	Value *const in[] = {h->k, h->v};
	View w;

	for (int i = 0; i < 2; i++) {
		view_of(m, in[i], &w);
		const Node *concat = w.root->def;
		if (!concat || concat->op != OpConcat)
			return false;
		for (int p = 1; p < concat->nin; p++)
			if (!type_equal(&concat->in[p]->type, &concat->in[0]->type))
				return false;
	}
	return h->scores.rank > 4;
}

/* Batch and heads of the scores; a single leading axis by the factors of its view; none as 1, 1. */
static void split_batch(Module *m, const Heads *h, const Dim **batch, const Dim **heads)
{
	View w;
	int lead = h->scores.rank - 2;

	*batch = leading(m, &h->scores, 0, h->first);
	*heads = heads_of(m, h, &h->scores);
	if (lead == 1) {
		Factor f[MaxFactors];
		view_of(m, h->q, &w);
		int n = merge_factors(m, &w, 0, 1, f);
		*batch = n == 2 ? f[0].extent : *batch;
		if (n == 2)
			*heads = f[1].extent;
	}
}

/* v with its leading axes broadcast to those of the scores; of the heads', for keys and values (`shared`), only so many that
 * those which are left out come last: they serve all heads of a group. */
static Value *broadcast_heads(Module *m, const Heads *h, Value *v, bool shared)
{
	Type t = v->type;
	bool own = shared;

	for (int d = t.rank - 3; d >= 0; d--) {
		own &= d >= h->first && dim_equals(v->type.dims[d], 1);
		if (!own)
			t.dims[d] = h->scores.dims[d];
	}
	return type_equal(&t, &v->type) ? v : build(m, h->at->block, h->at, OpExpand, h->at->loc, 1, &v, 0, NULL, &t);
}

/* Key heads that are a head repeated for each query head of a group: the head itself. */
static void share_heads(Module *m, Node *attention)
{
	View k, v;
	Factor fk[MaxFactors], fv[MaxFactors];
	const Type *t = &attention->in[1]->type;

	view_of(m, attention->in[1], &k);
	view_of(m, attention->in[2], &v);
	int nk = merge_factors(m, &k, 2, 3, fk), nv = merge_factors(m, &v, 2, 3, fv);
	if (!nk || nk != nv || nk > 2 || !dim_equals(fk[nk - 1].stride, 0) || !dim_equals(fv[nv - 1].stride, 0) ||
	    fk[nk - 1].extent != fv[nv - 1].extent)
		return;
	for (int i = 1; i <= 2; i++) {
		const View *from = i == 1 ? &k : &v;
		View w = {.root = from->root, .base = from->base, .rank = 4};
		Type narrow = attention->in[i]->type;
		int n = 0;
		narrow.dims[2] = nk == 2 ? fk[0].extent : dim_const(m, 1);
		for (int d = 0; d < 4; d++) {
			w.first[d] = n;
			if (d == 2 && nk == 2)
				w.f[n++] = i == 1 ? fk[0] : fv[0];
			for (int j = from->first[d]; d != 2 && j < from->first[d + 1]; j++)
				w.f[n++] = from->f[j];
		}
		w.first[4] = n;
		Value *one = build_view(m, &w, &narrow, attention, attention->loc);
		if (!one)
			bug("share_heads: %s", type_text(m, t));
		set_in(m, attention, i, one);
	}
}

/* The mask as [B or 1, H or 1, T or 1, S or 1]. */
static Value *as_mask(Module *m, const Heads *h, Value *mask, const Dim *batch, const Dim *heads, Node *before)
{
	View w, s;
	const Type *scores = &h->scores;
	Type t = {.dtype = mask->type.dtype, .rank = scores->rank};
	int lead = scores->rank - mask->type.rank;

	if (mask->type.dtype != F32 && mask->type.dtype != Bool)
		return NULL;
	for (int d = 0; d < scores->rank; d++)
		t.dims[d] = d < lead ? dim_const(m, 1) : mask->type.dims[d - lead];
	view_of(m, mask, &w);
	for (int d = lead; d < scores->rank; d++) /* broadcast axes need no extent */
		if (w.first[d - lead + 1] - w.first[d - lead] == 1 && dim_equals(w.f[w.first[d - lead]].stride, 0))
			t.dims[d] = dim_const(m, 1);
	View narrow = {.root = w.root, .base = w.base, .rank = t.rank};
	/* of the batch, and of the heads: then all its axes are there, since they become one */
	const bool some[] = {!dim_equals(leading(m, &t, 0, h->first), 1), !dim_equals(heads_of(m, h, &t), 1)};
	int k = 0;
	for (int d = 0; d < t.rank; d++) {
		narrow.first[d] = k;
		if (d < t.rank - 2 && some[d >= h->first] && dim_equals(t.dims[d], 1) && !dim_equals(scores->dims[d], 1)) {
			t.dims[d] = scores->dims[d];
			narrow.f[k++] = (Factor){t.dims[d], dim_const(m, 0)};
		} else if (!dim_equals(t.dims[d], 1))
			for (int i = w.first[d - lead]; i < w.first[d - lead + 1]; i++)
				narrow.f[k++] = w.f[i];
	}
	narrow.first[t.rank] = k;
	Type four = {.dtype = t.dtype, .rank = 4};
	for (int i = 0; i < 4; i++)
		four.dims[i] = dim_const(m, 1);
	four.dims[2] = t.dims[t.rank - 2];
	four.dims[3] = t.dims[t.rank - 1];
	if (t.rank >= 4) {
		four.dims[0] = leading(m, &t, 0, h->first);
		four.dims[1] = heads_of(m, h, &t);
	} else if (t.rank == 3 && !dim_equals(t.dims[0], 1)) {
		four.dims[0] = batch;
		four.dims[1] = heads;
	}
	if (!view_reshape(m, &narrow, &four, &s))
		return NULL;
	return build_view(m, &s, &four, before, before->loc);
}

/* The attention a, [batch, query, head, channel], from channel `first` on as a value of that type, in front of n; NULL: no view says that. */
static Value *channels_as(Module *m, Value *a, const Dim *first, const Type *out, Node *n)
{
	View w, t, merged;
	Type part = a->type;

	if (part.dims[3] != out->dims[out->rank - 1]) {
		Attr starts = mk_dims(m, Attr_starts, 4, (const Dim *[]){dim_const(m, 0), dim_const(m, 0), dim_const(m, 0), first});
		part.dims[3] = out->dims[out->rank - 1];
		a = build(m, n->block, n, OpSlice, n->loc, 1, &a, 1, &starts, &part);
	}
	view_of(m, a, &w);
	view_transpose(&w, (const int64_t[]){0, 2, 1, 3}, &t);
	if (!view_reshape(m, &t, out, &merged)) { /* merges batch and head, which lie apart: regroup by hand */
		if (out->rank >= 4)
			return NULL;
		merged = t;
		merged.rank = out->rank;
		int skip = 4 - out->rank;
		merged.first[0] = 0;
		for (int d = 1; d <= out->rank; d++)
			merged.first[d] = t.first[d + skip];
	}
	return build_view(m, &merged, out, n, n->loc);
}

static bool build_attention(Module *m, Node *n, Heads *h)
{
	const Dim *batch, *heads, *channels = h->v->type.dims[h->v->type.rank - 1];

	split_batch(m, h, &batch, &heads);
	bool shared = !h->in_order;
	Value *q = broadcast_heads(m, h, h->q, false), *k = broadcast_heads(m, h, h->k, shared), *v = broadcast_heads(m, h, h->v, shared);
	if (heads_of(m, h, &k->type) != heads_of(m, h, &v->type)) {
		k = broadcast_heads(m, h, h->k, false);
		v = broadcast_heads(m, h, h->v, false);
	}
	const Dim *kv_heads = h->scores.rank > 3 && shared ? heads_of(m, h, &k->type) : heads;
	Value *in[4] = {as_heads(m, q, false, batch, heads, n), as_heads(m, k, !h->k_rows, batch, kv_heads, n),
	                as_heads(m, v, false, batch, kv_heads, n), NULL};
	find_window(m, h);
	Value *mask = mask_of(m, h);
	if (mask)
		in[3] = as_mask(m, h, mask, batch, heads, n);
	if (!in[0] || !in[1] || !in[2] || (mask && !in[3]))
		return false;
	Attr attrs[] = {mk_float(Attr_scale, h->scale), mk_int(Attr_zero_nan, h->zero_nan), mk_float(Attr_softcap, h->softcap),
	                mk_float(Attr_fill, h->keep && !h->bias ? h->fill : -INFINITY), mk_int(Attr_left, h->window.left), mk_int(Attr_right, h->window.right),
	                mk_int(Attr_lse, h->log_sum != NULL)};
	Value *a = build(m, n->block, n, OpAttention, n->loc, 4, in, 7, attrs, NULL);
	share_heads(m, a->def);
	Value *y = channels_as(m, a, dim_const(m, 0), &n->out[0]->type, n);
	Value *l = h->log_sum ? channels_as(m, a, channels, &h->log_sum->type, n) : NULL;
	if (!y || (h->log_sum && !l))
		return false;
	replace_uses(m, n->out[0], y);
	if (h->log_sum)
		replace_uses(m, h->log_sum, l);
	return true;
}

bool fuse_attention(Module *m, Node *n)
{
	Heads h = {.at = n, .window = {-1, -1}};
	bool guard = false;

	if (n->op == OpAttention) /* as imported */
		share_heads(m, n);
	if (n->op != OpMatMul)
		return false;
	Value *p = strip_nan_guard(n->in[0], &guard);
	if (!p->def || (p->def->op != OpSoftmax && !log_sum_of(p)))
		return false;
	const char *why = find_parts(m, n, &h);
	if (!why && n->out[0]->type.dtype != F32)
		why = "only f32 is supported";
	if (why) {
		report_miss("attention", n->loc, why);
		return false;
	}
	if (!allow("attention"))
		return false;
	const int lead = h.scores.rank - 2;
	h.in_order = stays_in_order(m, &h, n->out[0]);
	const bool chunks = !h.in_order && joins_chunks(m, &h);
	h.first = h.in_order ? lead : chunks ? lead - 1 : 1;
	bool built = build_attention(m, n, &h);
	if (!built && chunks) {
		h.first = 1;
		built = build_attention(m, n, &h);
	}
	if (!built) {
		report_miss("attention", n->loc, "an operand is no view of whole heads");
		return false;
	}
	report_match("attention", n->loc);
	report_also(h.scores_loc);
	report_also(h.softmax_loc);
	return true;
}
