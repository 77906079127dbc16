/* view_of.c - the view of a value over what holds its data: the chain of moves that made it, followed from there. */
#include "view_walk.h"

static bool add_factor(View *w, int *n, Factor f)
{
	if (*n == MaxFactors)
		return false;
	w->f[(*n)++] = f;
	return true;
}

/* Those of axis d of a. */
static bool copy_factors(View *w, int *n, const View *a, int d)
{
	for (int i = a->first[d]; i < a->first[d + 1]; i++)
		if (!add_factor(w, n, a->f[i]))
			return false;
	return true;
}

/* Gather along an axis by an affine index that is proved to stay inside. */
static bool view_gather(ViewWalk *walk, Module *m, const View *a, const Node *n, View *out)
{
	Affine x;
	int axis = attr_int(n, Attr_axis), at = a->first[axis], nf = a->first[axis + 1] - at, k = 0;
	const Type *it = &n->in[1]->type, *type = &n->out[0]->type;
	const Dim *lo, *hi, *stride = nf ? a->f[at].stride : dim_const(m, 0);
	int64_t least, unused;
	View w = {.root = a->root, .rank = type->rank};

	if (nf > 1 || !affine_in(walk, m, n->in[1], &x) || !affine_range(m, &x, it, &lo, &hi))
		return false;
	dim_range(lo, &least, &unused);
	if (least < 0 || !is_below(m, hi, n->in[0]->type.dims[axis]))
		return false;
	w.base = dim_add(m, a->base, dim_mul(m, x.base, stride));
	for (int d = 0; d < type->rank; d++) {
		w.first[d] = k;
		bool index = d >= axis && d < axis + it->rank;
		if (index) {
			if (!dim_equals(type->dims[d], 1) &&
			    !add_factor(&w, &k, (Factor){type->dims[d], dim_mul(m, x.coef[d - axis], stride)}))
				return false;
			continue;
		}
		int from = d < axis ? d : d - it->rank + 1;
		if (!copy_factors(&w, &k, a, from))
			return false;
	}
	w.first[type->rank] = k;
	*out = w;
	return true;
}

/* GatherND whose index is the concatenation, along the last axis, of affine columns: one per leading axis of the data. */
static bool view_gather_nd(ViewWalk *walk, Module *m, const View *a, const Node *n, View *out)
{
	Node *cat = n->in[1]->def;
	const Type *it = &n->in[1]->type, *type = &n->out[0]->type, *xt = &n->in[0]->type;
	int rows = it->rank - 1, k = 0;
	View w = {.root = a->root, .base = a->base, .rank = type->rank};
	const Dim *coef[MaxRank];

	if (attr_int(n, Attr_batch_dims) || !cat || cat->op != OpConcat || attr_int(cat, Attr_axis) != rows || cat->nin > xt->rank)
		return false;
	for (int d = 0; d < rows; d++)
		coef[d] = dim_const(m, 0);
	for (int c = 0; c < cat->nin; c++) {
		Affine x;
		const Dim *lo, *hi;
		int64_t least, unused;
		int nf = a->first[c + 1] - a->first[c];
		if (nf > 1 || !dim_equals(cat->in[c]->type.dims[rows], 1) || !affine_in(walk, m, cat->in[c], &x) ||
		    !affine_range(m, &x, &cat->in[c]->type, &lo, &hi))
			return false;
		dim_range(lo, &least, &unused);
		if (least < 0 || !is_below(m, hi, xt->dims[c]))
			return false;
		if (nf == 0)
			continue;
		const Dim *stride = a->f[a->first[c]].stride;
		w.base = dim_add(m, w.base, dim_mul(m, x.base, stride));
		for (int d = 0; d < rows; d++)
			coef[d] = dim_add(m, coef[d], dim_mul(m, x.coef[d], stride));
	}
	for (int d = 0; d < type->rank; d++) {
		w.first[d] = k;
		if (d < rows) {
			if (!dim_equals(type->dims[d], 1) && !add_factor(&w, &k, (Factor){type->dims[d], coef[d]}))
				return false;
			continue;
		}
		int from = d - rows + cat->nin;
		if (!copy_factors(&w, &k, a, from))
			return false;
	}
	w.first[type->rank] = k;
	*out = w;
	return true;
}

/* A concat of views of one root, each of extent 1 along the axis, whose bases progress evenly: stacked slices are one view. */
static bool view_concat(ViewWalk *walk, Module *m, const Node *n, View *out)
{
	int axis = attr_int(n, Attr_axis), k = 0;
	View first, v;
	const Dim *step = NULL, *last = NULL;

	if (n->nin < 2 || attr_int(n, Attr_state))
		return false;
	for (int i = 0; i < n->nin; i++) {
		if (!dim_equals(n->in[i]->type.dims[axis], 1))
			return false;
		view_in(walk, m, n->in[i], &v);
		if (i == 0) {
			first = v;
			if (v.root == n->in[0])
				return false;
		} else if (v.root != first.root || !same_view(&v, &first)) {
			return false;
		} else {
			const Dim *d = dim_sub(m, v.base, last);
			if (step && d != step)
				return false;
			step = d;
		}
		last = v.base;
	}
	*out = (View){.root = first.root, .base = first.base, .rank = first.rank};
	for (int d = 0; d < first.rank; d++) {
		out->first[d] = k;
		if (d == axis)
			out->f[k++] = (Factor){dim_const(m, n->nin), step};
		for (int i = first.first[d]; i < first.first[d + 1]; i++) {
			if (k == MaxFactors)
				return false;
			out->f[k++] = first.f[i];
		}
	}
	out->first[first.rank] = k;
	return true;
}

static bool view_step(ViewWalk *walk, Module *m, const View *a, const Node *n, View *out)
{
	const int64_t *perm;

	switch (n->op) {
	case OpTranspose:
		attr_ints(n, Attr_perm, &perm);
		view_transpose(a, perm, out);
		return true;
	case OpReshape: return view_reshape(m, a, &n->out[0]->type, out);
	case OpExpand: return view_expand(m, a, &n->in[0]->type, &n->out[0]->type, out);
	case OpSlice: return view_slice(m, a, n, out);
	case OpView: return view_view(m, a, n, out);
	case OpGather: return view_gather(walk, m, a, n, out);
	case OpGatherND: return view_gather_nd(walk, m, a, n, out);
	default: return false;
	}
}

void view_in(ViewWalk *walk, Module *m, Value *v, View *out)
{
	View a;
	Node *n = --walk->steps < 0 || walk->moves == MaxMoves ? NULL : v->def;

	if (n && n->op == OpConcat && view_concat(walk, m, n, out))
		return;

	if (n && (n->op == OpTranspose || n->op == OpReshape || n->op == OpExpand || n->op == OpSlice || n->op == OpView ||
	          n->op == OpGather || n->op == OpGatherND)) {
		walk->moves++;
		view_in(walk, m, n->in[0], &a);
		walk->moves--;
		if (view_step(walk, m, &a, n, out))
			return;
		if (a.root != n->in[0]) { /* perhaps over the operand as it is */
			view_identity(m, n->in[0], &a);
			if (view_step(walk, m, &a, n, out))
				return;
		}
	}
	view_identity(m, v, out);
}

void view_of(Module *m, Value *v, View *out)
{
	ViewWalk walk = {.steps = MaxSteps};
	view_in(&walk, m, v, out);
}

void plain_view(Module *m, Value *v, View *w)
{
	View full;

	view_of(m, v, &full);
	*w = (View){.root = full.root, .base = full.base, .rank = full.rank};
	int k = 0;
	for (int d = 0; d < full.rank; d++) {
		Factor f[MaxFactors];
		int n = merge_factors(m, &full, d, d + 1, f);
		if (n > 1) {
			view_identity(m, v, w);
			return;
		}
		w->first[d] = k;
		if (n)
			w->f[k++] = f[0];
	}
	w->first[full.rank] = k;
	if (!view_storage(m, w))
		fatal_at(v->def ? v->def->loc : NULL, "state: the cache is read in an order that its layout in memory does not have");
}

bool view_is_contiguous(Module *m, Value *v)
{
	View w;
	Factor f[MaxFactors];

	view_of(m, v, &w);
	if (!view_storage(m, &w))
		return false;
	int n = merge_factors(m, &w, 0, w.rank, f);
	return n == 0 || (n == 1 && dim_equals(f[0].stride, 1));
}

Value *same_elements(Module *m, Value *v)
{
	View w;

	view_of(m, v, &w);
	return view_is_dense(m, &w) && w.root->type.dtype == v->type.dtype && !state_append(w.root) ? w.root : v;
}

bool part_of(Module *m, Value *v, Part *p)
{
	View w;
	view_of(m, v, &w);
	const Type *t = &w.root->type, *own = &v->type;
	*p = (Part){.of = w.root, .axis = -1};
	if (w.root == v || t->rank != own->rank)
		return false;
	for (int d = 0; d < t->rank; d++)
		if (t->dims[d] != own->dims[d]) {
			if (p->axis >= 0)
				return false;
			p->axis = d;
		}
	if (p->axis < 0)
		return false;
	const Dim *extent = own->dims[p->axis], *stride = dim_const(m, 1), *distance = NULL;
	for (int n = 2; n <= MaxParts; n++)
		if (dim_mul_const(m, extent, n) == t->dims[p->axis])
			p->parts = n;
	for (int d = t->rank - 1; d >= 0; d--) { /* it steps as the other does along every axis */
		Factor f[MaxFactors];
		int n = merge_factors(m, &w, d, d + 1, f);
		if (n > 1 || (n == 1 && f[0].stride != stride))
			return false;
		if (d == p->axis)
			distance = dim_mul(m, extent, stride);
		stride = dim_mul(m, stride, t->dims[d]);
	}
	for (; p->number < p->parts; p->number++)
		if (w.base == dim_mul_const(m, distance, p->number))
			return true;
	return false;
}
