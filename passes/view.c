/* view.c - affine views and affine index tensors; see view.h. */
#include "view.h"

/* Row-major strides of `storage` under the extents of v. */
static void view_in_storage(Module *m, Value *v, const Type *storage, View *w)
{
	const Dim *stride[MaxRank], *s = dim_const(m, 1);

	w->root = v;
	w->base = dim_const(m, 0);
	w->rank = v->type.rank;
	for (int d = w->rank - 1; d >= 0; d--) {
		stride[d] = s;
		s = dim_mul(m, s, storage->dims[d]);
	}
	int n = 0;
	for (int d = 0; d < w->rank; d++) {
		w->first[d] = n;
		if (!dim_equals(v->type.dims[d], 1))
			w->f[n++] = (Factor){v->type.dims[d], stride[d]};
	}
	w->first[w->rank] = n;
}

void view_identity(Module *m, Value *v, View *w)
{
	view_in_storage(m, v, &v->type, w);
}

bool view_storage(Module *m, View *w)
{
	Type t;
	View storage;

	if (!state_append(w->root))
		return true;
	storage_type(m, w->root, &t);
	view_in_storage(m, w->root, &t, &storage);
	return compose_views(m, &storage, w, w);
}

void view_transpose(const View *a, const int64_t *perm, View *out)
{
	View w = *a;
	int n = 0;

	for (int d = 0; d < a->rank; d++) {
		w.first[d] = n;
		for (int i = a->first[perm[d]]; i < a->first[perm[d] + 1]; i++)
			w.f[n++] = a->f[i];
	}
	w.first[a->rank] = n;
	*out = w;
}

int merge_factors(Module *m, const View *w, int from, int to, Factor *out)
{
	int n = 0;

	for (int i = w->first[from]; i < w->first[to]; i++) {
		Factor f = w->f[i];
		if (n && out[n - 1].stride == dim_mul(m, f.extent, f.stride))
			out[n - 1] = (Factor){dim_mul(m, out[n - 1].extent, f.extent), f.stride};
		else
			out[n++] = f;
	}
	return n;
}

/* Takes factors for one axis of extent `want` off the front of f[*at..n); splits f[*at] where need be. */
static bool take_axis(Module *m, const Dim *want, Factor *f, int n, int *at, View *out, int *nout)
{
	while (!dim_equals(want, 1)) {
		const Dim *rest;
		if (*at == n || *nout == MaxFactors)
			return false;
		Factor *g = &f[*at];
		if (g->extent == want) {
			out->f[(*nout)++] = *g;
			(*at)++;
			return true;
		}
		if (dim_poly_div(m, g->extent, want, &rest)) { /* the outer part of g */
			out->f[(*nout)++] = (Factor){want, dim_mul(m, g->stride, rest)};
			g->extent = rest;
			return true;
		}
		if (!dim_poly_div(m, want, g->extent, &rest))
			return false;
		out->f[(*nout)++] = *g;
		(*at)++;
		want = rest;
	}
	return true;
}

bool view_reshape(Module *m, const View *a, const Type *type, View *out)
{
	Factor f[MaxFactors];
	int n = merge_factors(m, a, 0, a->rank, f), at = 0, nout = 0;
	View w = {.root = a->root, .base = a->base, .rank = type->rank};

	for (int d = 0; d < type->rank; d++) {
		w.first[d] = nout;
		if (!take_axis(m, type->dims[d], f, n, &at, &w, &nout))
			return false;
	}
	w.first[type->rank] = nout;
	if (at != n)
		return false;
	*out = w;
	return true;
}

static bool view_expand(Module *m, const View *a, const Type *from, const Type *to, View *out)
{
	View w = {.root = a->root, .base = a->base, .rank = to->rank};
	int n = 0, lead = to->rank - from->rank;

	for (int d = 0; d < to->rank; d++) {
		w.first[d] = n;
		bool unit = d >= lead && (dim_equals(from->dims[d - lead], 1) || dim_is_unit(from->dims[d - lead]));
		if (d < lead || (unit && from->dims[d - lead] != to->dims[d])) {
			if (dim_equals(to->dims[d], 1))
				continue;
			if (n == MaxFactors)
				return false;
			w.f[n++] = (Factor){to->dims[d], dim_const(m, 0)};
			continue;
		}
		if (from->dims[d - lead] != to->dims[d])
			return false; /* equal only at run time */
		for (int i = a->first[d - lead]; i < a->first[d - lead + 1]; i++) {
			if (n == MaxFactors)
				return false;
			w.f[n++] = a->f[i];
		}
	}
	w.first[to->rank] = n;
	*out = w;
	return true;
}

/* Narrows axis d to len indices from start in steps of `step`. */
static bool slice_axis(Module *m, View *w, int d, const Dim *old, const Dim *len, const Dim *start, int64_t step)
{
	int i = w->first[d], n = w->first[d + 1] - i;

	if (len == old && dim_equals(start, 0) && step == 1)
		return true;
	if (n == 0 && dim_equals(len, 1))
		return true;
	if (n == 0) { /* at most one of one: no step ever counts */
		int end = w->first[w->rank];
		if (end == MaxFactors)
			return false;
		for (int j = end; j > i; j--)
			w->f[j] = w->f[j - 1];
		w->f[i] = (Factor){len, dim_const(m, 0)};
		for (int e = d + 1; e <= w->rank; e++)
			w->first[e]++;
		return true;
	}
	if (n > 1) { /* whole runs of the inner factors: narrow the outermost */
		const Dim *inner = dim_const(m, 1), *qs, *ql;
		for (int j = i + 1; j < i + n; j++)
			inner = dim_mul(m, inner, w->f[j].extent);
		if (step != 1 || !dim_poly_div(m, start, inner, &qs) || !dim_poly_div(m, len, inner, &ql))
			return false;
		w->base = dim_add(m, w->base, dim_mul(m, qs, w->f[i].stride));
		w->f[i].extent = ql;
		return true;
	}
	w->base = dim_add(m, w->base, dim_mul(m, start, w->f[i].stride));
	if (dim_equals(len, 1)) {
		for (int j = i; j + 1 < w->first[w->rank]; j++)
			w->f[j] = w->f[j + 1];
		for (int e = d + 1; e <= w->rank; e++)
			w->first[e]--;
		return true;
	}
	w->f[i] = (Factor){len, dim_mul_const(m, w->f[i].stride, step)};
	return true;
}

static bool view_slice(Module *m, const View *a, const Node *n, View *out)
{
	const Dim *const *starts;
	const int64_t *steps;
	int nstart = attr_dims(n, Attr_starts, &starts), nstep = attr_ints(n, Attr_steps, &steps);
	const Type *from = &n->in[0]->type, *to = &n->out[0]->type;

	*out = *a;
	for (int d = 0; d < to->rank; d++)
		if (!slice_axis(m, out, d, from->dims[d], to->dims[d], nstart ? starts[d] : dim_const(m, 0), nstep ? steps[d] : 1))
			return false;
	return true;
}

static bool is_below(Module *m, const Dim *small, const Dim *limit) /* proved: small < limit */
{
	return dim_proves_at_most(m, dim_add(m, small, dim_const(m, 1)), limit);
}

/* A walk over the flat elements of a value that is itself viewed as `a`. */
typedef struct Flat {
	int n;
	Factor f[MaxFactors]; /* of a, merged */
	const Dim *size[MaxFactors]; /* flat elements that one step of f[i] passes */
	const Dim *least[MaxFactors], *reach[MaxFactors]; /* smallest and largest index along f[i] so far */
} Flat;

/* A stride (or offset) in flat elements is `*q` steps of one factor, of the outermost that divides it. */
static int flat_factor(Module *m, const Flat *flat, const Dim *stride, const Dim **q)
{
	for (int i = 0; i < flat->n; i++)
		if (dim_poly_div(m, stride, flat->size[i], q) && (dim_is_const(*q, NULL) || i == flat->n - 1))
			return i;
	return -1;
}

/* n indices (or none at all), q steps of factor i apart; false if their direction is not known. */
static bool extend_reach(Module *m, Flat *flat, int i, const Dim *q, const Dim *n)
{
	int64_t lo, hi;
	const Dim *by = dim_mul(m, q, dim_sub(m, n, dim_const(m, 1)));
	dim_range(q, &lo, &hi);
	if (lo >= 0)
		flat->reach[i] = dim_add(m, flat->reach[i], by);
	else if (hi <= 0)
		flat->least[i] = dim_add(m, flat->least[i], by);
	return lo >= 0 || hi <= 0;
}

/* The offset as steps of the factors: a number of as many as each takes whole, any other of one of them. */
static bool add_offset(Module *m, Flat *flat, const Dim *offset, const Dim **base)
{
	const Dim *q;
	int64_t left, size;

	if (!dim_is_const(offset, &left) || left < 0) {
		int i = flat_factor(m, flat, offset, &q);
		if (i < 0)
			return false;
		flat->least[i] = flat->reach[i] = q;
		*base = dim_add(m, *base, dim_mul(m, q, flat->f[i].stride));
		return true;
	}
	for (int i = 0; i < flat->n; i++) {
		if (!dim_is_const(flat->size[i], &size) || size < 1)
			continue;
		q = dim_const(m, left / size);
		left %= size;
		flat->least[i] = flat->reach[i] = q;
		*base = dim_add(m, *base, dim_mul(m, q, flat->f[i].stride));
	}
	return left == 0;
}

/* `over` counts flat elements of a value whose own view is a.  Along each factor of a the indices must be proved to stay inside
 * it, so that no step carries into the next factor. */
bool compose_views(Module *m, const View *a, const View *over, View *out)
{
	const Dim *q, *one = dim_const(m, 1);
	View w = *over;
	Flat flat = {.n = merge_factors(m, a, 0, a->rank, flat.f)};

	w.root = a->root;
	if (view_is_dense(m, a)) { /* flat elements are the root's: nothing can carry */
		*out = w;
		return true;
	}
	const Dim *size = one;
	for (int i = flat.n - 1; i >= 0; i--) {
		flat.size[i] = size;
		flat.least[i] = flat.reach[i] = dim_const(m, 0);
		size = dim_mul(m, size, flat.f[i].extent);
	}
	w.base = a->base;
	if (!add_offset(m, &flat, over->base, &w.base))
		return false;
	for (int d = 0; d < w.first[w.rank]; d++) {
		if (dim_equals(w.f[d].stride, 0))
			continue;
		int i = flat_factor(m, &flat, w.f[d].stride, &q);
		if (i < 0)
			return false;
		if (!extend_reach(m, &flat, i, q, w.f[d].extent))
			return false;
		w.f[d].stride = dim_mul(m, q, flat.f[i].stride);
	}
	for (int i = 0; i < flat.n; i++)
		if (!is_below(m, flat.reach[i], flat.f[i].extent) || !is_below(m, dim_const(m, -1), flat.least[i]))
			return false;
	*out = w;
	return true;
}

/* An explicit view node: strides are in flat elements of the operand. */
static bool view_view(Module *m, const View *a, const Node *n, View *out)
{
	const Dim *const *strides;
	const Type *type = &n->out[0]->type;
	View over = {.base = attr_dim(m, n, Attr_base), .rank = type->rank};
	int k = 0;

	if (attr_dims(n, Attr_strides_dim, &strides) != type->rank)
		return false;
	for (int d = 0; d < type->rank; d++) {
		over.first[d] = k;
		if (!dim_equals(type->dims[d], 1))
			over.f[k++] = (Factor){type->dims[d], strides[d]};
	}
	over.first[type->rank] = k;
	return compose_views(m, a, &over, out);
}

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
/* What one question may cost: operands that are shared are walked for each path to them, and chains are as long as the model makes
 * them.  Passes go from the inputs to the outputs, so what they have been through is short. */
typedef struct Walk {
	int steps; /* left */
	int moves; /* on the way from the value that was asked for */
} Walk;

enum { MaxSteps = 200, MaxMoves = 12 };

static void view_in(Walk *, Module *, Value *, View *);
static bool affine_in(Walk *, Module *, Value *, Affine *);

static bool view_gather(Walk *walk, Module *m, const View *a, const Node *n, View *out)
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
static bool view_gather_nd(Walk *walk, Module *m, const View *a, const Node *n, View *out)
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
static bool view_concat(Walk *walk, Module *m, const Node *n, View *out)
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

static bool view_step(Walk *walk, Module *m, const View *a, const Node *n, View *out)
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

static void view_in(Walk *walk, Module *m, Value *v, View *out)
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
	Walk walk = {.steps = MaxSteps};
	view_in(&walk, m, v, out);
}

bool view_is_dense(Module *m, const View *w)
{
	Factor f[MaxFactors];
	int n = merge_factors(m, w, 0, w->rank, f);
	const Dim *numel = type_numel(m, &w->root->type);

	if (!dim_equals(w->base, 0))
		return false;
	if (n == 0)
		return dim_equals(numel, 1);
	return n == 1 && dim_equals(f[0].stride, 1) && f[0].extent == numel;
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

bool view_is_permutation(Module *m, const View *w)
{
	int n = w->first[w->rank], left = n;
	bool used[MaxFactors] = {0};
	const Dim *stride = dim_const(m, 1);

	if (!dim_equals(w->base, 0))
		return false;
	while (left) {
		int i = 0;
		while (i < n && (used[i] || w->f[i].stride != stride))
			i++;
		if (i == n)
			return false;
		used[i] = true;
		stride = dim_mul(m, stride, w->f[i].extent);
		left--;
	}
	return stride == type_numel(m, &w->root->type);
}

bool view_is_inside(Module *m, const View *w)
{
	const Dim *extents[MaxFactors], *strides[MaxFactors];
	int n = w->first[w->rank];

	for (int i = 0; i < n; i++) {
		extents[i] = w->f[i].extent;
		strides[i] = w->f[i].stride;
	}
	return !view_excess(m, type_numel(m, &w->root->type), w->base, n, extents, strides);
}

bool same_view(const View *a, const View *b)
{
	if (a->rank != b->rank)
		return false;
	for (int d = 0; d <= a->rank; d++)
		if (a->first[d] != b->first[d])
			return false;
	for (int i = 0; i < a->first[a->rank]; i++)
		if (a->f[i].extent != b->f[i].extent || a->f[i].stride != b->f[i].stride)
			return false;
	return true;
}

Value *build_view(Module *m, const View *w, const Type *type, Node *before, const Loc *loc)
{
	Block *block = before ? before->block : &m->main->body;
	Value *root = w->root;

	if (view_is_dense(m, w)) {
		if (type_equal(&root->type, type))
			return root;
		return build(m, block, before, OpReshape, loc, 1, &root, 0, NULL, type);
	}
	Type split = {.dtype = type->dtype};
	const Dim *strides[MaxFactors];
	bool plain = true;
	Factor f[MaxFactors];
	for (int d = 0; d < w->rank; d++) {
		int n = merge_factors(m, w, d, d + 1, f);
		plain &= n <= 1;
		if (split.rank + (n ? n : 1) > MaxRank)
			return NULL;
		if (n == 0) {
			strides[split.rank] = dim_const(m, 0);
			split.dims[split.rank++] = dim_const(m, 1);
		}
		for (int i = 0; i < n; i++) {
			strides[split.rank] = f[i].stride;
			split.dims[split.rank++] = f[i].extent;
		}
	}
	Attr attrs[2] = {mk_dim(Attr_base, w->base), mk_dims(m, Attr_strides_dim, split.rank, strides)};
	Value *v = build(m, block, before, OpView, loc, 1, &root, 2, attrs, &split);
	return plain ? v : build(m, block, before, OpReshape, loc, 1, &v, 0, NULL, type);
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

/* ---- affine index tensors ------------------------------------------------------------------------------------------- */

enum { MaxAffineElements = 1 << 16 }; /* larger constants are not examined */

static bool affine_const(Module *m, const Const *c, Affine *a)
{
	int64_t n = const_numel(&c->type), extent[MaxRank], stride[MaxRank], s = 1, coef[MaxRank];

	if (c->type.dtype != I64 && c->type.dtype != I32)
		return false;
	if (n < 1 || n > MaxAffineElements)
		return false;
	for (int d = c->type.rank - 1; d >= 0; d--) {
		dim_is_const(c->type.dims[d], &extent[d]);
		stride[d] = s;
		s *= extent[d];
	}
#define AT(i) (c->type.dtype == I64 ? ((const int64_t *)c->data)[i] : ((const int32_t *)c->data)[i])
	for (int d = 0; d < c->type.rank; d++)
		if (__builtin_sub_overflow(extent[d] > 1 ? AT(stride[d]) : AT(0), AT(0), &coef[d]))
			return false;
	for (int64_t i = 0; i < n; i++) {
		__int128 want = AT(0);
		for (int d = 0; d < c->type.rank; d++)
			want += (__int128)(i / stride[d] % extent[d]) * coef[d];
		if (want != AT(i))
			return false;
	}
	a->base = dim_const(m, AT(0));
	a->rank = c->type.rank;
	for (int d = 0; d < a->rank; d++)
		a->coef[d] = dim_const(m, coef[d]);
#undef AT
	return true;
}

/* Known elements that progress evenly along every axis. */
static bool affine_known(Module *m, const Value *v, Affine *a)
{
	int64_t extent[MaxRank], stride[MaxRank], n = 1;

	for (int d = v->type.rank - 1; d >= 0; d--) {
		if (!dim_is_const(v->type.dims[d], &extent[d]) || extent[d] < 1)
			return false;
		stride[d] = n;
		n *= extent[d];
	}
	*a = (Affine){.base = v->known[0], .rank = v->type.rank};
	for (int d = 0; d < a->rank; d++)
		a->coef[d] = extent[d] > 1 ? dim_sub(m, v->known[stride[d]], v->known[0]) : dim_const(m, 0);
	for (int64_t i = 0; i < n; i++) {
		const Dim *want = a->base;
		for (int d = 0; d < a->rank; d++)
			want = dim_add(m, want, dim_mul_const(m, a->coef[d], i / stride[d] % extent[d]));
		if (want != v->known[i])
			return false;
	}
	return true;
}

static void affine_broadcast(Module *m, const Affine *a, const Type *from, int rank, Affine *out)
{
	Affine r = {.base = a->base, .rank = rank};
	for (int d = 0; d < rank; d++) {
		int e = d - (rank - a->rank);
		r.coef[d] = e < 0 || dim_equals(from->dims[e], 1) ? dim_const(m, 0) : a->coef[e];
	}
	*out = r;
}

static bool affine_scalar(const Affine *a)
{
	for (int d = 0; d < a->rank; d++)
		if (!dim_equals(a->coef[d], 0))
			return false;
	return true;
}

static bool affine_binary(Walk *walk, Module *m, const Node *n, Affine *out)
{
	Affine a, b;
	int rank = n->out[0]->type.rank;

	if (!affine_in(walk, m, n->in[0], &a) || !affine_in(walk, m, n->in[1], &b))
		return false;
	affine_broadcast(m, &a, &n->in[0]->type, rank, &a);
	affine_broadcast(m, &b, &n->in[1]->type, rank, &b);
	out->rank = rank;
	if (n->op == OpMul) {
		if (affine_scalar(&a)) {
			Affine t = a;
			a = b;
			b = t;
		}
		if (!affine_scalar(&b))
			return false;
		out->base = dim_mul(m, a.base, b.base);
		for (int d = 0; d < rank; d++)
			out->coef[d] = dim_mul(m, a.coef[d], b.base);
		return true;
	}
	const Dim *(*f)(Module *, const Dim *, const Dim *) = n->op == OpAdd ? dim_add : dim_sub;
	out->base = f(m, a.base, b.base);
	for (int d = 0; d < rank; d++)
		out->coef[d] = f(m, a.coef[d], b.coef[d]);
	return true;
}

/* An index tensor that is a view of an affine root: composes where every axis maps to axes of the root. */
static bool affine_view(Walk *walk, Module *m, Value *v, Affine *out)
{
	View w;
	Affine a;

	view_in(walk, m, v, &w);
	if (w.root == v || !affine_in(walk, m, w.root, &a))
		return false;
	/* strides of the root's axes tell which axis a factor walks along */
	View id;
	view_identity(m, w.root, &id);
	if (!dim_equals(w.base, 0))
		return false;
	out->base = a.base;
	out->rank = w.rank;
	for (int d = 0; d < w.rank; d++) {
		Factor f[MaxFactors];
		int n = merge_factors(m, &w, d, d + 1, f);
		if (n > 1)
			return false;
		out->coef[d] = dim_const(m, 0);
		if (n == 0 || dim_equals(f[0].stride, 0))
			continue;
		int e = 0;
		while (e < id.rank && !(id.first[e + 1] > id.first[e] && id.f[id.first[e]].stride == f[0].stride))
			e++;
		if (e == id.rank || id.f[id.first[e]].extent != f[0].extent)
			return false;
		out->coef[d] = a.coef[e];
	}
	return true;
}

static bool affine_in(Walk *walk, Module *m, Value *v, Affine *a)
{
	const Node *n = v->def;

	if (v->konst)
		return affine_const(m, v->konst, a);
	if (!n || --walk->steps < 0)
		return false;
	if (v->known && affine_known(m, v, a))
		return true;
	switch (n->op) {
	case OpIota:
		a->base = attr_dim(m, n, Attr_start);
		a->rank = v->type.rank;
		if (a->rank)
			a->coef[0] = attr_dim(m, n, Attr_step);
		return a->rank <= 1;
	case OpAdd: case OpSub: case OpMul: return affine_binary(walk, m, n, a);
	case OpCast:
		return dtypes[v->type.dtype].cls == ClassSigned && dtypes[n->in[0]->type.dtype].cls == ClassSigned &&
		       dtypes[v->type.dtype].bytes >= 4 && affine_in(walk, m, n->in[0], a);
	case OpReshape: case OpExpand: case OpTranspose: case OpSlice: case OpView: return affine_view(walk, m, v, a);
	default: return false;
	}
}

bool affine_of(Module *m, Value *v, Affine *a)
{
	Walk walk = {.steps = MaxSteps};
	return affine_in(&walk, m, v, a);
}

bool affine_range(Module *m, const Affine *a, const Type *t, const Dim **lo, const Dim **hi)
{
	*lo = *hi = a->base;
	for (int d = 0; d < a->rank; d++) {
		int64_t least, most;
		const Dim *span = dim_mul(m, a->coef[d], dim_sub(m, t->dims[d], dim_const(m, 1)));
		dim_range(a->coef[d], &least, &most);
		if (least >= 0)
			*hi = dim_add(m, *hi, span);
		else if (most <= 0)
			*lo = dim_add(m, *lo, span);
		else
			return false;
	}
	return true;
}
