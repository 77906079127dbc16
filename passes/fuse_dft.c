/* fuse_dft.c - Fourier transforms of which less is wanted than they give.
 *
 *   a transform of which all users look at real parts              ->  one that gives no others
 *   the real part of a transform of a real tensor along two axes   ->  half of it, and its mirror image
 *
 * y[j, k] is the conjugate of y[-j, -k] there, indices modulo the extents: rows 0 .. n/2 suffice.  So of the first transform half of the
 * rows are needed, and the second one has half as many lines.  The first is the one along the outer axis: its vectors run across
 * what lies side by side, and only one transform, that of half the rows, has to turn them.
 */
#include "idioms.h"

/* Proved: all that the view shows of `root` lies among its first n elements. */
static bool is_among_first(Module *m, const View *w, const Dim *n)
{
	const Dim *end = dim_add(m, w->base, dim_const(m, 1));

	for (int i = 0; i < w->first[w->rank]; i++) {
		if (!dim_proves_nonneg(m, w->f[i].stride))
			return false;
		end = dim_add(m, end, dim_mul(m, dim_sub(m, w->f[i].extent, dim_const(m, 1)), w->f[i].stride));
	}
	return dim_proves_at_most(m, end, n);
}

/* Views of real parts alone stay what they are if there is nothing behind those. */
static bool drop_imaginary(Module *m, Node *n)
{
	Value *y = n->out[0];
	const Dim *half = dim_floordiv(m, type_numel(m, &y->type), dim_const(m, 2));
	View w;

	if (!dim_equals(y->type.dims[0], 2))
		return false;
	for (int i = 0; i < y->nuse; i++) {
		const Node *user = y->uses[i].node;
		if (!user || (user->op != OpView && user->op != OpSlice))
			return false;
		view_of(m, user->out[0], &w);
		if (w.root != y || !is_among_first(m, &w, half))
			return false;
	}
	if (!allow("dft"))
		return false;
	y->type.dims[0] = dim_const(m, 1);
	return true;
}

/* v is one part of all of a transform's result. */
static bool is_part(Module *m, Value *v, const Value *of, int part)
{
	const Dim *stride = dim_const(m, 1);
	View w;

	view_of(m, v, &w);
	if (w.root != of || w.rank != of->type.rank - 1)
		return false;
	for (int d = w.rank - 1; d >= 0; d--) {
		const int n = w.first[d + 1] - w.first[d];
		const Dim *extent = of->type.dims[d + 1];
		if (v->type.dims[d] != extent || n > 1 || (n && w.f[w.first[d]].stride != stride))
			return false;
		stride = dim_mul(m, stride, extent);
	}
	return w.base == dim_mul_const(m, stride, part);
}

static const Dim *length_of(const Node *n)
{
	return n->in[0]->type.dims[attr_int(n, Attr_axis)];
}

static bool gives_all_bins(const Node *n)
{
	int64_t least, most;
	dim_range(length_of(n), &least, &most);
	return n->out[0]->type.dims[attr_int(n, Attr_axis) + 1] == length_of(n) && least >= 1;
}

/* The transform of a real tensor along another axis of whose transform n takes the real part; NULL: there is none, or it is used
 * elsewhere too. */
static Node *inner_transform(Module *m, const Node *n)
{
	View w;
	if (!n->in[1] || n->in[2] || !dim_equals(n->out[0]->type.dims[0], 1))
		return NULL;
	view_of(m, n->in[0], &w);
	Node *inner = w.root->def;
	if (!inner || inner->op != OpDft || inner->in[1] || inner->in[2] || inner->block != n->block ||
	    attr_int(inner, Attr_axis) == attr_int(n, Attr_axis) || !is_part(m, n->in[0], w.root, 0) || !is_part(m, n->in[1], w.root, 1))
		return NULL;
	bool shared = w.root->nuse != 2;
	for (int i = 0; i < 2; i++)
		shared |= only_user(n->in[i]) != n;
	const char *why = shared ? "the first transform is used elsewhere too"
	                  : !gives_all_bins(n) || !gives_all_bins(inner) ? "not all elements of an axis are there, or an axis may be empty" : NULL;
	if (why)
		report_miss("dft", n->loc, why);
	return why ? NULL : inner;
}

static Value *slice(Module *m, Node *at, Value *v, const Dim *const *starts, const int64_t *steps, const Type *t)
{
	Attr attrs[] = {mk_dims(m, Attr_starts, t->rank, starts), mk_ints(m, Attr_steps, t->rank, steps)};
	return build(m, at->block, at, OpSlice, at->loc, 1, &v, 2, attrs, t);
}

static Value *join(Module *m, Node *at, Value *a, Value *b, int axis)
{
	Attr attr = mk_int(Attr_axis, axis);
	return build(m, at->block, at, OpConcat, at->loc, 2, (Value *[]){a, b}, 1, &attr, NULL);
}

/* One part of a transform, without the axis of parts. */
static Value *take_part(Module *m, Node *at, Value *y, int part)
{
	const Dim *starts[MaxRank];
	int64_t steps[MaxRank];
	Type t = y->type, flat = {.dtype = t.dtype, .rank = t.rank - 1};

	for (int d = 0; d < t.rank; d++) {
		starts[d] = dim_const(m, d ? 0 : part);
		steps[d] = 1;
		if (d)
			flat.dims[d - 1] = t.dims[d];
	}
	t.dims[0] = dim_const(m, 1);
	Value *v = slice(m, at, y, starts, steps, &t);
	return build(m, at->block, at, OpReshape, at->loc, 1, &v, 0, NULL, &flat);
}

/* Rows `rest` .. 1 of the half y, which are the mirror images of those behind it; of their columns the first comes first. */
static Value *mirror(Module *m, Node *at, Value *y, int row, const Dim *rest, int column)
{
	const Dim *starts[MaxRank], *one = dim_const(m, 1);
	int64_t steps[MaxRank];
	Type first = y->type, others;

	for (int d = 0; d < first.rank; d++) {
		starts[d] = d == row ? rest : dim_const(m, 0);
		steps[d] = d == row ? -1 : 1;
	}
	first.dims[row] = rest;
	others = first;
	first.dims[column] = one;
	others.dims[column] = dim_sub(m, others.dims[column], one);
	Value *a = slice(m, at, y, starts, steps, &first);
	starts[column] = others.dims[column];
	steps[column] = -1;
	return join(m, at, a, slice(m, at, y, starts, steps, &others), column);
}

/* One axis of a transform, of so many bins and parts, before `at`. */
static Value *transform(Module *m, Node *at, Value *re, Value *im, const Node *like, const Dim *bins, int parts)
{
	const int axis = attr_int(like, Attr_axis);
	Value *in[] = {re, im, NULL};
	Type t = {.dtype = re->type.dtype, .rank = re->type.rank + 1, .dims = {dim_const(m, parts)}};

	for (int d = 0; d < re->type.rank; d++)
		t.dims[d + 1] = d == axis ? bins : re->type.dims[d];
	return build(m, at->block, at, OpDft, like->loc, 3, in, like->nattr, like->attrs, &t);
}

static bool halve_real_part(Module *m, Node *n)
{
	Node *inner = inner_transform(m, n);

	if (!inner || !allow("dft"))
		return false;
	report_match("dft", n->loc);
	report_also(inner->loc);
	bool swap = attr_int(n, Attr_axis) < attr_int(inner, Attr_axis);
	const Node *first = swap ? n : inner, *second = swap ? inner : n;
	const int row = attr_int(first, Attr_axis), column = attr_int(second, Attr_axis);
	const Dim *rows = length_of(first), *half = dim_add(m, dim_floordiv(m, rows, dim_const(m, 2)), dim_const(m, 1));

	Value *h = transform(m, n, inner->in[0], NULL, first, half, 2);
	Value *y = transform(m, n, take_part(m, n, h, 0), take_part(m, n, h, 1), second, length_of(second), 1);
	y = take_part(m, n, y, 0);
	y = join(m, n, y, mirror(m, n, y, row, dim_sub(m, rows, half), column), row);
	replace_uses(m, n->out[0], build(m, n->block, n, OpReshape, n->loc, 1, &y, 0, NULL, &n->out[0]->type));
	return true;
}

bool fuse_dft(Module *m, Node *n)
{
	if (n->op != OpDft)
		return false;
	bool changed = drop_imaginary(m, n);
	return halve_real_part(m, n) || changed;
}
