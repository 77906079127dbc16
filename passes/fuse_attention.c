/* fuse_attention.c - softmax(scale * q k^T + mask) v, in every layout.
 *
 * The operands are taken as views, so transposes, head splits and packed projections do not matter.  Scales on q, on k and on
 * the scores become one factor; `where(isnan(p), 0, p)` behind the softmax becomes zero_nan; an added or a -inf-filled mask becomes
 * the mask operand.  The result has the layout [batch, query, head, channel] that the next projection reads in order.
 */
#include "idioms.h"
#include <math.h>

typedef struct Heads { /* the parts of one attention */
	Value *q, *k, *v; /* scores = q k', result = p v; k' is [.., channel, key] */
	bool k_rows; /* k is [.., key, channel] instead */
	Value *mask; /* broadcasts to the scores; f32 (added) or bool (kept) */
	double scale;
	bool zero_nan;
	const Loc *scores_loc, *softmax_loc;
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

/* Takes one mask off the scores: an addition, or a select of -inf. */
static Value *strip_mask(Module *m, Value *s, Heads *h)
{
	Node *n = s->def;
	double x;

	if (!n || h->mask)
		return s;
	if (n->op == OpAdd)
		for (int i = 0; i < 2; i++) {
			double ignored = 1;
			Value *inner = strip_scale(n->in[i], &ignored);
			if (type_equal(&n->in[i]->type, &s->type) && inner->def && inner->def->op == OpMatMul) {
				h->mask = n->in[1 - i];
				return n->in[i];
			}
		}
	if (n->op != OpWhere)
		return s;
	for (int fill = 1; fill <= 2; fill++)
		if (uniform_value(n->in[fill], &x) && x == -INFINITY && type_equal(&n->in[3 - fill]->type, &s->type)) {
			Value *keep = n->in[0];
			if (fill == 1)
				keep = build(m, n->block, n, OpNot, n->loc, 1, &keep, 0, NULL, NULL);
			h->mask = keep;
			return n->in[3 - fill];
		}
	return s;
}

static const char *find_parts(Module *m, Node *n, Heads *h)
{
	if (attr_int(n, Attr_trans_a) || attr_int(n, Attr_trans_b))
		return "probabilities or values are transposed";
	h->scale = 1;
	h->v = n->in[1];
	Value *p = strip_nan_guard(n->in[0], &h->zero_nan);
	Node *softmax = p->def;
	h->softmax_loc = softmax->loc;
	if (attr_int(softmax, Attr_axis) != p->type.rank - 1)
		return "softmax is not over the last axis";
	if (is_output(p) || (!h->zero_nan && only_user(p) != n))
		return "the probabilities are used elsewhere too";
	Value *s = softmax->in[0];
	if (only_user(s) != softmax)
		return "the scores are used elsewhere too";
	s = strip_scale(strip_mask(m, s, h), &h->scale); /* a scale outside the mask would scale the mask too */
	Node *qk = s->def;
	if (!qk || qk->op != OpMatMul || attr_int(qk, Attr_trans_a))
		return "the scores are not a product of queries and keys";
	h->scores_loc = qk->loc;
	h->k_rows = attr_int(qk, Attr_trans_b);
	h->q = strip_scale(qk->in[0], &h->scale);
	h->k = strip_scale(qk->in[1], &h->scale);
	if (h->q->type.rank != s->type.rank || h->k->type.rank != s->type.rank || h->v->type.rank != s->type.rank ||
	    s->type.rank < 2 || s->type.rank > 4)
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

/* Batch and heads of the leading axes: [B, H] as they are; one axis by the factors of its view; none as 1, 1. */
static void split_batch(Module *m, Value *q, const Dim **batch, const Dim **heads)
{
	View w;
	int lead = q->type.rank - 2;

	*batch = *heads = dim_const(m, 1);
	if (lead == 2) {
		*batch = q->type.dims[0];
		*heads = q->type.dims[1];
	} else if (lead == 1) {
		Factor f[MaxFactors];
		view_of(m, q, &w);
		int n = merge_factors(m, &w, 0, 1, f);
		*batch = n == 2 ? f[0].extent : q->type.dims[0];
		if (n == 2)
			*heads = f[1].extent;
	}
}

/* The mask as [B or 1, H or 1, T or 1, S or 1]. */
static Value *as_mask(Module *m, Value *mask, const Type *scores, const Dim *batch, const Dim *heads, Node *before)
{
	View w, s;
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
	int k = 0;
	for (int d = 0; d < t.rank; d++) {
		narrow.first[d] = k;
		if (!dim_equals(t.dims[d], 1))
			for (int i = w.first[d - lead]; i < w.first[d - lead + 1]; i++)
				narrow.f[k++] = w.f[i];
	}
	narrow.first[t.rank] = k;
	Type four = {.dtype = t.dtype, .rank = 4};
	for (int i = 0; i < 4; i++)
		four.dims[i] = dim_const(m, 1);
	four.dims[2] = t.dims[t.rank - 2];
	four.dims[3] = t.dims[t.rank - 1];
	if (t.rank == 4) {
		four.dims[0] = t.dims[0];
		four.dims[1] = t.dims[1];
	} else if (t.rank == 3 && !dim_equals(t.dims[0], 1)) {
		four.dims[0] = batch;
		four.dims[1] = heads;
	}
	if (!view_reshape(m, &narrow, &four, &s))
		return NULL;
	return build_view(m, &s, &four, before, before->loc);
}

static bool build_attention(Module *m, Node *n, const Heads *h)
{
	const Dim *batch, *heads;
	const Type *out = &n->out[0]->type;
	Type scores = h->q->type;

	split_batch(m, h->q, &batch, &heads);
	scores.dims[scores.rank - 1] = h->v->type.dims[scores.rank - 2];
	Value *in[4] = {as_heads(m, h->q, false, batch, heads, n), as_heads(m, h->k, !h->k_rows, batch, heads, n),
	                as_heads(m, h->v, false, batch, heads, n), NULL};
	if (h->mask)
		in[3] = as_mask(m, h->mask, &scores, batch, heads, n);
	if (!in[0] || !in[1] || !in[2] || (h->mask && !in[3]))
		return false;
	Attr attrs[] = {mk_float(Attr_scale, h->scale), mk_int(Attr_zero_nan, h->zero_nan)};
	Value *a = build(m, n->block, n, OpAttention, n->loc, 4, in, 2, attrs, NULL);
	View w, t, merged;
	view_identity(m, a, &w);
	view_transpose(&w, (const int64_t[]){0, 2, 1, 3}, &t);
	if (!view_reshape(m, &t, out, &merged)) { /* merges batch and head, which lie apart: regroup by hand */
		if (out->rank == 4)
			return false;
		merged = t;
		merged.rank = out->rank;
		int skip = 4 - out->rank;
		merged.first[0] = 0;
		for (int d = 1; d <= out->rank; d++)
			merged.first[d] = t.first[d + skip];
	}
	Value *y = build_view(m, &merged, out, n, n->loc);
	if (!y)
		return false;
	replace_uses(m, n->out[0], y);
	return true;
}

bool fuse_attention(Module *m, Node *n)
{
	Heads h = {0};
	bool guard = false;

	if (n->op != OpMatMul)
		return false;
	Value *p = strip_nan_guard(n->in[0], &guard);
	if (!p->def || p->def->op != OpSoftmax)
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
	if (!build_attention(m, n, &h)) {
		report_miss("attention", n->loc, "an operand is no view of whole heads");
		return false;
	}
	report_match("attention", n->loc);
	report_also(h.scores_loc);
	report_also(h.softmax_loc);
	return true;
}
