/* view.c - affine views: what each move makes of one, what a view is proved to be, and the nodes for one; see view.h.
 *
 * view_of.c finds the view of a value, affine.c the affine index tensors that gathers are views by.
 */
#include "view_walk.h"

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

bool view_expand(Module *m, const View *a, const Type *from, const Type *to, View *out)
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
		const int begin = a->first[d - lead], end = a->first[d - lead + 1];
		const bool same = from->dims[d - lead] == to->dims[d]; /* or equal only when it runs, which is checked before */
		if (n + end - begin > MaxFactors || (!same && end - begin != 1))
			return false;
		for (int i = begin; i < end; i++)
			w.f[n++] = (Factor){same ? a->f[i].extent : to->dims[d], a->f[i].stride};
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

bool view_slice(Module *m, const View *a, const Node *n, View *out)
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

bool is_below(Module *m, const Dim *small, const Dim *limit)
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

/* The outermost factor along which the offset is a step that stays inside; as a loop's counter times what one iteration passes. */
static int offset_factor(Module *m, const Flat *flat, const Dim *offset, const Dim **q)
{
	for (int i = 0; i < flat->n; i++)
		if (dim_poly_div(m, offset, flat->size[i], q) && is_below(m, *q, flat->f[i].extent))
			return i;
	return flat_factor(m, flat, offset, q);
}

/* The offset as steps of the factors: a number of as many as each takes whole, any other of one of them. */
static bool add_offset(Module *m, Flat *flat, const Dim *offset, const Dim **base)
{
	const Dim *q;
	int64_t left, size;

	if (!dim_is_const(offset, &left) || left < 0) {
		int i = offset_factor(m, flat, offset, &q);
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
static bool compose_views(Module *m, const View *a, const View *over, View *out)
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
bool view_view(Module *m, const View *a, const Node *n, View *out)
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
