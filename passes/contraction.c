/* contraction.c - reads contractions off taps, products, sums of products and convolutions; see contraction.h. */
#include "contraction.h"

enum { MaxTaps = 1024, MaxLevels = 3 /* of loops over the taps */ };

/* ---- taps -------------------------------------------------------------------------------------------------------------- */

static bool is_add(const Node *n)
{
	return n && n->op == OpAdd;
}

/* The products that `sum` adds up, from left to right; -1: something else is added, or there are too many. */
static int collect_products(const Node *sum, Node **products)
{
	const Type *type = &sum->out[0]->type;
	Value *left[2 * MaxTaps + 1]; /* of the sum, the next one last */
	int nleft = 0, n = 0;

	left[nleft++] = sum->in[1];
	left[nleft++] = sum->in[0];
	while (nleft) {
		Value *v = left[--nleft];
		Node *d = v->def;
		double start;
		if (uniform_value(v, &start) && start == 0) /* what the sum begins with */
			continue;
		if (!d || !type_equal(&v->type, type) || v->nuse != 1)
			return -1;
		if (is_add(d) && nleft <= 2 * MaxTaps - 1) {
			left[nleft++] = d->in[1];
			left[nleft++] = d->in[0];
		} else if (d->op == OpMul && n < MaxTaps) {
			products[n++] = d;
		} else {
			return -1;
		}
	}
	return n;
}

/* The bases of n views as a row-major walk over up to MaxLevels axes, innermost first: the number of axes, or 0. */
static int nest_steps(Module *m, const Dim *const *base, int n, Factor *level)
{
	int levels = 0;

	for (int run = 1, count; run < n; run *= count) {
		const Dim *step = dim_sub(m, base[run], base[0]);
		for (count = 2; count * run < n && dim_sub(m, base[count * run], base[(count - 1) * run]) == step; count++)
			;
		if (n % (run * count) || levels == MaxLevels)
			return 0;
		for (int k = run; k < run * count; k++)
			if (dim_sub(m, base[k], base[k - run]) != step)
				return 0;
		level[levels++] = (Factor){dim_const(m, count), step};
	}
	return levels;
}

/* Operand i of every product as a view, with a k axis: the bases must be in arithmetic progression, or in one of such. */
static bool tap_operand(Module *m, Node *const *p, const int *which, int n, const Type *out, View *w)
{
	const Dim **base = arena_alloc(m->arena, (size_t)n * sizeof *base);
	Factor level[MaxLevels];

	for (int k = 0; k < n; k++) {
		View v, full;
		Value *x = p[k]->in[which[k]];
		view_of(m, x, &v);
		/* broadcast to the output's rank and extents */
		full = (View){.root = v.root, .base = v.base, .rank = out->rank};
		int nf = 0, lead = out->rank - v.rank;
		for (int d = 0; d < out->rank; d++) {
			bool repeats = d < lead || (dim_equals(x->type.dims[d - lead], 1) && !dim_equals(out->dims[d], 1));
			Factor repeat = {out->dims[d], dim_const(m, 0)};
			const Factor *f = repeats ? &repeat : &v.f[v.first[d - lead]];
			int count = repeats ? !dim_equals(out->dims[d], 1) : v.first[d - lead + 1] - v.first[d - lead];
			full.first[d] = nf;
			if (nf + count > MaxFactors - MaxLevels)
				return false;
			for (int i = 0; i < count; i++)
				full.f[nf++] = f[i];
		}
		full.first[out->rank] = nf;
		if (k == 0)
			*w = full;
		else if (full.root != w->root || !same_view(&full, w))
			return false;
		base[k] = full.base;
	}
	int levels = nest_steps(m, base, n, level), end = w->first[w->rank];
	for (int i = levels - 1; i >= 0; i--)
		w->f[end++] = level[i];
	w->first[++w->rank] = end;
	return levels > 0;
}

bool contraction_of_taps(Module *m, Node *n, Contraction *c)
{
	Node **p;
	int which_x[MaxTaps], which_w[MaxTaps], count;

	if (!is_add(n) || is_add(only_user(n->out[0])) || n->out[0]->type.rank == MaxRank)
		return false;
	p = arena_alloc(m->arena, MaxTaps * sizeof *p);
	count = collect_products(n, p);
	if (count < 2)
		return false;
	View a;
	view_of(m, p[0]->in[0], &a);
	for (int k = 0; k < count; k++) { /* operands with the root of p[0]->in[0] are one side */
		View b;
		view_of(m, p[k]->in[0], &b);
		which_x[k] = b.root != a.root;
		which_w[k] = !which_x[k];
	}
	c->out = n->out[0]->type;
	c->taps = dim_const(m, count);
	c->likely = true;
	return tap_operand(m, p, which_x, count, &c->out, &c->x) && tap_operand(m, p, which_w, count, &c->out, &c->w);
}

/* ---- an explicit k axis -------------------------------------------------------------------------------------------------- */

/* Axes of v in the order `perm` (-1: broadcast to out's extent); those behind out's are k.  False: too many factors. */
static bool arrange(Module *m, Value *v, const int *perm, int n, const Type *out, View *w)
{
	View a;
	int k = 0;

	view_of(m, v, &a);
	*w = (View){.root = a.root, .base = a.base, .rank = n};
	for (int d = 0; d < n; d++) {
		w->first[d] = k;
		if (perm[d] >= 0 && !(d < out->rank && dim_equals(v->type.dims[perm[d]], 1))) {
			for (int i = a.first[perm[d]]; i < a.first[perm[d] + 1]; i++) {
				if (k == MaxFactors)
					return false;
				w->f[k++] = a.f[i];
			}
		} else if (d < out->rank && !dim_equals(out->dims[d], 1)) {
			if (k == MaxFactors)
				return false;
			w->f[k++] = (Factor){out->dims[d], dim_const(m, 0)};
		}
	}
	w->first[n] = k;
	return true;
}

/* Axis k and all behind it become one. */
static void join_axes(View *w, int k)
{
	w->first[k + 1] = w->first[w->rank];
	w->rank = k + 1;
}

bool contraction_of_matmul(Module *m, Node *n, Contraction *c)
{
	if (n->op != OpMatMul || n->in[0]->type.rank < 2 || n->in[1]->type.rank < 2)
		return false;
	int rank = n->out[0]->type.rank, a[MaxRank + 1], b[MaxRank + 1];
	c->out = n->out[0]->type;
	if (rank == MaxRank || (!dim_equals(c->out.dims[rank - 1], 1) && !dim_equals(c->out.dims[rank - 2], 1)))
		return false; /* a window contraction is a product with one row or column */
	int ra = n->in[0]->type.rank, rb = n->in[1]->type.rank, ta = attr_int(n, Attr_trans_a), tb = attr_int(n, Attr_trans_b);
	for (int d = 0; d < rank - 2; d++) {
		a[d] = d - (rank - ra);
		b[d] = d - (rank - rb);
	}
	a[rank - 2] = ra - 2 + ta;
	a[rank - 1] = -1;
	a[rank] = ra - 1 - ta;
	b[rank - 2] = -1;
	b[rank - 1] = rb - 1 - tb;
	b[rank] = rb - 2 + tb;
	c->taps = n->in[0]->type.dims[a[rank]];
	return arrange(m, n->in[0], a, rank + 1, &c->out, &c->x) && arrange(m, n->in[1], b, rank + 1, &c->out, &c->w);
}

bool contraction_of_sum(Module *m, Node *n, Contraction *c)
{
	const int64_t *axes;
	Node *mul = n->op == OpSum ? n->in[0]->def : NULL;

	if (!mul || mul->op != OpMul || attr_int(n, Attr_keepdims))
		return false;
	const Type *t = &mul->out[0]->type;
	int naxes = attr_ints(n, Attr_axes, &axes), rank = n->out[0]->type.rank, perm[2][MaxRank];
	for (int i = 0; i < 2; i++) {
		int lead = t->rank - mul->in[i]->type.rank, kept = 0;
		for (int d = 0, k = 0; d < t->rank; d++) {
			bool summed = k < naxes && axes[k] == d;
			perm[i][summed ? rank + k : kept] = d - lead;
			k += summed;
			kept += !summed;
		}
	}
	c->out = n->out[0]->type;
	c->taps = dim_const(m, 1);
	for (int k = 0; k < naxes; k++) {
		if (axes[k] < t->rank - mul->in[0]->type.rank || axes[k] < t->rank - mul->in[1]->type.rank)
			return false;
		c->taps = dim_mul(m, c->taps, t->dims[axes[k]]);
	}
	if (!naxes || !arrange(m, mul->in[0], perm[0], t->rank, &c->out, &c->x) || !arrange(m, mul->in[1], perm[1], t->rank, &c->out, &c->w))
		return false;
	join_axes(&c->x, rank);
	join_axes(&c->w, rank);
	return true;
}

static bool all_ones(const Node *node, AttrId id)
{
	const int64_t *x;
	int n = attr_ints(node, id, &x);

	for (int i = 0; i < n; i++)
		if (x[i] != 1)
			return false;
	return true;
}

bool contraction_of_conv(Module *m, Node *n, Contraction *c)
{
	const int64_t *pads;

	if (n->op != OpConv || n->out[0]->type.rank != 3 || !dim_equals(n->in[1]->type.dims[1], 1) ||
	    !dim_equals(n->in[1]->type.dims[0], attr_int(n, Attr_group)))
		return false;
	if (!all_ones(n, Attr_strides) || !all_ones(n, Attr_dilations)) {
		report_miss("winconv", n->loc, "stride or dilation is not 1");
		return false;
	}
	int npad = attr_ints(n, Attr_pads, &pads);
	c->out = n->out[0]->type;
	c->taps = n->in[1]->type.dims[2];
	c->pad_left = dim_const(m, npad ? pads[0] : 0);
	c->conv = c->likely = true;
	c->length = n->in[0]->type.dims[2];
	int id[] = {0, 1, 2, -1}, wp[] = {-1, 0, -1, 2};
	if (!arrange(m, n->in[0], id, 3, &n->in[0]->type, &c->x) || c->x.first[3] == MaxFactors)
		return false;
	if (!view_is_permutation(m, &c->x)) /* of a part of the root (channels of a wider linear): what counts is that part */
		view_identity(m, n->in[0], &c->x);
	/* along t and k the input moves by the same stride; the extent of t is the output's */
	int t = c->x.first[2];
	if (c->x.first[3] - t != 1)
		return false;
	c->x.f[t].extent = c->out.dims[2];
	c->x.f[t + 1] = (Factor){c->taps, c->x.f[t].stride};
	c->x.first[4] = t + 2;
	c->x.rank = 4;
	return arrange(m, n->in[1], wp, 4, &c->out, &c->w);
}
