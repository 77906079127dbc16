/* canon.c - the pass canon: one form for every affine data movement.
 *
 * Slices, transposes, reshapes, expands and gathers by affine indices become
 *   the root itself, a reshape of it (dense), a `view` of it (one stride per axis), or a reshape of a view.
 * Then a linear or norm whose rows are a permutation of the root's rows is computed in the root's order, and its result is
 * viewed instead:   linear(view(x)) -> view'(linear(x)),   so that inverse movements meet and vanish.
 * The same for a pad of one axis.
 * What is reduced along an axis on which values are stacked needs no stack, and slices that lie in one operand of a concat need no concat.
 * A convolution of which a view reads a part gets less padding (trim.c).
 * Every step shortens a chain of movements or moves one towards the outputs, so it ends.
 */
#include "pass.h"

static bool is_move(const Node *n)
{
	return n->op == OpTranspose || n->op == OpReshape || n->op == OpExpand || n->op == OpSlice || n->op == OpView ||
	       n->op == OpGather || n->op == OpGatherND || n->op == OpConcat;
}

/* n already has the form that build_view() would give. */
static bool is_canonical(Module *m, const Node *n, const View *w)
{
	if (n->op == OpConcat)
		return false;
	if (n->in[0] == w->root)
		return n->op == (view_is_dense(m, w) ? OpReshape : OpView);
	const Node *inner = n->in[0]->def; /* reshape of a view: some axis has several factors */
	if (n->op != OpReshape || !inner || inner->op != OpView || inner->in[0] != w->root)
		return false;
	for (int d = 0; d < w->rank; d++) {
		Factor f[MaxFactors];
		if (merge_factors(m, w, d, d + 1, f) > 1)
			return true;
	}
	return false;
}

static bool canon_move(Module *m, Node *n)
{
	View w;

	view_of(m, n->out[0], &w);
	if (w.root == n->out[0])
		return false;
	if (is_canonical(m, n, &w))
		return false;
	Value *v = build_view(m, &w, &n->out[0]->type, n, n->loc);
	if (!v)
		return false;
	replace_uses(m, n->out[0], v);
	return true;
}

/* n becomes a view of a root that was made for it; where that cannot be written, the root is undone. */
static bool become_view(Module *m, Node *n, const View *w)
{
	Value *v = build_view(m, w, &n->out[0]->type, n, n->loc);
	if (v)
		replace_uses(m, n->out[0], v);
	else
		erase_node(w->root->def);
	return v;
}

/* Does the view end in whole rows of `width` elements, the other factors permuting the rows of the root? */
static bool permutes_rows(Module *m, const View *w, const Dim *width, View *rows)
{
	Factor last[MaxFactors];
	int n = merge_factors(m, w, w->rank - 1, w->rank, last);

	if (!view_is_permutation(m, w) || n != 1 || last[0].extent != width || !dim_equals(last[0].stride, 1))
		return false;
	*rows = *w;
	for (int i = 0; i < w->first[w->rank - 1]; i++)
		if (!dim_poly_div(m, w->f[i].stride, width, &rows->f[i].stride))
			return false;
	return true;
}

/* The root as rows of `width`: its own leading axes where the trailing ones make up a row, else [rows, width]. */
static bool row_type(Module *m, const Type *root, const Dim *width, Type *out)
{
	const Dim *tail = dim_const(m, 1), *rows;

	for (int d = root->rank - 1; d >= 0; d--) {
		tail = dim_mul(m, tail, root->dims[d]);
		if (tail == width) {
			*out = *root;
			out->rank = d + 1;
			out->dims[d] = width;
			return true;
		}
	}
	*out = (Type){.dtype = root->dtype, .rank = 2};
	if (!dim_poly_div(m, type_numel(m, root), width, &rows))
		return false;
	out->dims[0] = rows;
	out->dims[1] = width;
	return true;
}

/* linear(view(x)) -> view'(linear(x)); the same for norm over the last axis. */
static bool sink_view(Module *m, Node *n)
{
	bool row_wise = n->op == OpLinear || ((n->op == OpNorm || n->op == OpRmsNorm) && attr_int(n, Attr_axis) == n->in[0]->type.rank - 1);
	View w, rows;
	Type xt;

	if (!row_wise || n->in[0]->type.rank < 1)
		return false;
	const Type *t = &n->out[0]->type;
	const Dim *width = n->in[0]->type.dims[n->in[0]->type.rank - 1], *out_width = t->dims[t->rank - 1];
	view_of(m, n->in[0], &w);
	if (w.root == n->in[0] || !permutes_rows(m, &w, width, &rows) || !row_type(m, &w.root->type, width, &xt))
		return false;
	if (view_is_dense(m, &w) && type_equal(&xt, &n->in[0]->type))
		return false; /* the form that this makes */

	Value *in[MaxIn] = {0};
	for (int i = 1; i < n->nin; i++)
		in[i] = n->in[i];
	in[0] = w.root;
	if (!type_equal(&xt, &w.root->type))
		in[0] = build(m, n->block, n, OpReshape, n->loc, 1, &w.root, 0, NULL, &xt);
	Node *made = new_node(m, n->block, n, n->op, n->loc, n->nin, in);
	for (int i = 0; i < n->nattr; i++)
		set_attr(m, made, n->attrs[i]);
	if (n->op != OpLinear)
		set_attr(m, made, mk_int(Attr_axis, xt.rank - 1));
	const char *error = set_type(m, made, NULL);
	if (error)
		bug("sink_view: %s", error);

	int last = rows.first[rows.rank - 1];
	rows.root = made->out[0];
	for (int i = 0; i < last; i++)
		rows.f[i].stride = dim_mul(m, rows.f[i].stride, out_width);
	rows.first[rows.rank] = last;
	if (!dim_equals(out_width, 1)) {
		rows.f[last] = (Factor){out_width, dim_const(m, 1)};
		rows.first[rows.rank] = last + 1;
	}
	return become_view(m, n, &rows);
}

/* The axis that a pad pads; -1 if there are several, or none. */
static int padded_axis(const Node *pad)
{
	const Dim *const *pads;
	int n = attr_dims(pad, Attr_pads_dim, &pads), rank = pad->out[0]->type.rank, axis = -1;

	for (int i = 0; i < n; i++) {
		if (dim_equals(pads[i], 0) || i % rank == axis)
			continue;
		if (axis >= 0)
			return -1;
		axis = i % rank;
	}
	return axis;
}

/* The axis of a dense tensor along which f walks from end to end; -1: along a part, or several. */
static int whole_axis(Module *m, Value *v, const Factor *f)
{
	View id;

	view_identity(m, v, &id);
	for (int d = 0; d < id.rank; d++) {
		const Factor *g = &id.f[id.first[d]];
		if (id.first[d + 1] > id.first[d] && g->extent == f->extent && g->stride == f->stride)
			return d;
	}
	return -1;
}

/* What `pad` puts around its axis `from`, around axis `to` of x instead. */
static Value *build_pad(Module *m, Node *pad, int from, Value *x, int to)
{
	const Dim *const *old, *pads[2 * MaxRank];
	int rank = pad->out[0]->type.rank, n = x->type.rank;
	Attr attrs[] = {mk_int(Attr_mode, attr_int(pad, Attr_mode)), {0}, {0}};

	attr_dims(pad, Attr_pads_dim, &old);
	for (int i = 0; i < 2 * n; i++)
		pads[i] = i % n == to ? old[i / n * rank + from] : dim_const(m, 0);
	attrs[1] = mk_dims(m, Attr_pads_dim, 2 * n, pads);
	attrs[2] = mk_scalar(Attr_value, attr_scalar(pad, Attr_value));
	return build(m, pad->block, pad, OpPad, pad->loc, 1, &x, 3, attrs, NULL);
}

/* pad(view(x)) -> view'(pad(x)) where x has fewer axes than the view, and the view keeps the padded one whole: windows are found
 * along an axis of x.  Elements that lie side by side must stay so: padding a transpose by columns lays out rows for those that
 * read it. */
static bool sink_past_pad(Module *m, Node *n)
{
	int axis = n->op == OpPad ? padded_axis(n) : -1, to;
	const Dim *q;
	View w;

	if (axis < 0)
		return false;
	view_of(m, n->in[0], &w);
	int count = w.first[w.rank], at = w.first[axis];
	if (w.root->type.rank >= w.rank || w.first[axis + 1] - at != 1 || !view_is_permutation(m, &w) ||
	    !dim_equals(w.f[count - 1].stride, 1) || (to = whole_axis(m, w.root, &w.f[at])) < 0)
		return false;
	const Factor old = w.f[at];
	const Dim *unpadded = dim_mul(m, old.extent, old.stride);
	w.root = build_pad(m, n, axis, w.root, to);
	w.f[at].extent = w.root->type.dims[to];
	for (int i = 0; i < count; i++) /* those outside of the padded axis */
		if (dim_poly_div(m, w.f[i].stride, unpadded, &q))
			w.f[i].stride = dim_mul(m, q, dim_mul(m, w.f[at].extent, old.stride));
	return become_view(m, n, &w);
}

bool drop_broadcast(Module *m, const View *w, unsigned drop, View *out, Type *t)
{
	int k = 0;

	*out = (View){.root = w->root, .base = w->base, .rank = w->rank};
	for (int d = 0; d < w->rank; d++) {
		out->first[d] = k;
		if (drop >> d & 1)
			t->dims[d] = dim_const(m, 1);
		else
			for (int j = w->first[d]; j < w->first[d + 1]; j++)
				out->f[k++] = w->f[j];
	}
	out->first[w->rank] = k;
	return view_is_inside(m, out);
}

unsigned broadcast_axes(const View *w)
{
	unsigned axes = 0;
	for (int d = 0; d < w->rank; d++)
		if (w->first[d + 1] - w->first[d] == 1 && dim_equals(w->f[w->first[d]].stride, 0))
			axes |= 1u << d;
	return axes;
}

/* The axes of operand i whose extent another operand gives too. */
static unsigned given_elsewhere(const Node *n, int i)
{
	unsigned axes = 0;
	const Type *t = &n->in[i]->type;

	for (int d = 0; d < t->rank; d++)
		for (int j = 0; j < n->nin; j++) {
			int e = n->in[j]->type.rank - t->rank + d;
			if (j != i && e >= 0 && n->in[j]->type.dims[e] == t->dims[d])
				axes |= 1u << d;
		}
	return axes;
}

/* An elementwise operand that is only broadcast needs no expand of its own. */
static bool drop_expand(Module *m, Node *n)
{
	bool changed = false;

	if (ops[n->op].cls != ClsEwise || n->nin < 2)
		return false;
	for (int i = 0; i < n->nin; i++) {
		View w, s;
		Type t = n->in[i]->type;
		view_of(m, n->in[i], &w);
		unsigned drop = w.root == n->in[i] ? 0 : broadcast_axes(&w) & given_elsewhere(n, i);
		if (!drop || !drop_broadcast(m, &w, drop, &s, &t))
			continue;
		Value *narrow = build_view(m, &s, &t, n, n->loc);
		if (!narrow)
			continue;
		set_in(m, n, i, narrow);
		changed = true;
	}
	return changed;
}

/* ewise(expand(x), scalars) -> expand(ewise(x, scalars)).  An identity is a copy that pass expand wants as it is. */
static bool sink_expand(Module *m, Node *n)
{
	int wide = -1;
	Value *in[MaxIn];
	View w, s;
	Type small;

	if (ops[n->op].cls != ClsEwise || n->op == OpIdentity)
		return false;
	for (int i = 0; i < n->nin; i++) {
		in[i] = n->in[i];
		if (in[i]->konst && const_numel(&in[i]->type) == 1)
			continue;
		if (wide >= 0)
			return false;
		wide = i;
	}
	if (wide < 0 || n->out[0]->type.rank != in[wide]->type.rank)
		return false;
	view_of(m, in[wide], &w);
	unsigned drop = w.root == in[wide] ? 0 : broadcast_axes(&w);
	small = in[wide]->type;
	if (!drop)
		return false;
	if (!drop_broadcast(m, &w, drop, &s, &small) || !(in[wide] = build_view(m, &s, &small, n, n->loc)))
		return false;
	small.dtype = n->out[0]->type.dtype;
	Value *y = build(m, n->block, n, n->op, n->loc, n->nin, in, n->nattr, n->attrs, ops[n->op].given ? &small : NULL);
	replace_uses(m, n->out[0], build(m, n->block, n, OpExpand, n->loc, 1, &y, 0, NULL, &n->out[0]->type));
	return true;
}

/* Does n alone read v and what it is a view of? */
static bool reads_alone(const Node *n, const Value *v, const Value *root)
{
	for (;; n = v->def, v = n->in[0]) {
		if (is_output(v) || only_user(v) != n)
			return false;
		if (v == root)
			return true;
	}
}

/* ewise(view(constant), ..) -> view(ewise(constant, ..)): the first [T, T] of a table of exponentials is computed as the object is written.
 * Not where the object would grow, because something else reads the table too. */
static bool sink_into_constant(Module *m, Node *n)
{
	Value *in[MaxIn], *table = NULL;
	View w, other;
	Scalar s;
	int freed = 0; /* bytes an element */

	if (ops[n->op].cls != ClsEwise || is_const(n->out[0]))
		return false;
	for (int i = 0; i < n->nin; i++) {
		if (uniform_scalar(n->in[i], &s)) {
			in[i] = const_scalar(m, s)->value;
			continue;
		}
		view_of(m, n->in[i], &other);
		in[i] = other.root;
		if (in[i] == n->in[i] || !is_const(in[i]) || (table && !(equal_dims(&in[i]->type, &table->type) && other.base == w.base && same_view(&other, &w))))
			return false;
		w = other;
		table = in[i];
		freed += reads_alone(n, n->in[i], table) ? dtypes[table->type.dtype].bytes : 0;
	}
	if (!table || freed < dtypes[n->out[0]->type.dtype].bytes || w.rank != n->out[0]->type.rank)
		return false;
	Type t = table->type;
	t.dtype = n->out[0]->type.dtype;
	w.root = build(m, n->block, n, n->op, n->loc, n->nin, in, n->nattr, n->attrs, ops[n->op].given ? &t : NULL);
	return become_view(m, n, &w);
}

/* softmax {axis=1} of [n, k, 1] -> softmax {axis=1} of [n, k]: axes of extent 1 behind the axis go. */
static bool drop_unit_axes(Module *m, Node *n)
{
	if (n->op != OpSoftmax)
		return false;
	Type t = n->in[0]->type, whole = t;
	Attr a = mk_int(Attr_axis, attr_int(n, Attr_axis));
	t.rank = (int)a.i + 1;
	for (int d = t.rank; d < whole.rank; d++)
		if (!dim_equals(t.dims[d], 1))
			return false;
	if (t.rank == whole.rank)
		return false;
	Value *x = build(m, n->block, n, OpReshape, n->loc, 1, &n->in[0], 0, NULL, &t);
	x = build(m, n->block, n, OpSoftmax, n->loc, 1, &x, 1, &a, NULL);
	replace_uses(m, n->out[0], build(m, n->block, n, OpReshape, n->loc, 1, &x, 0, NULL, &whole));
	return true;
}

enum { MostStacked = 8 };

/* The largest, least or sum along an axis on which values are stacked, one each: reduce_max(concat(a, b, c)) -> max(max(a, b), c). */
static bool unstack(Module *m, Node *n)
{
	static const Op joins[] = {[OpSum] = OpAdd, [OpReduceMax] = OpMax, [OpReduceMin] = OpMin};
	const bool reduces = n->op == OpSum || n->op == OpReduceMax || n->op == OpReduceMin;
	Node *stack = reduces ? n->in[0]->def : NULL;
	const int64_t *axes;

	if (!stack || stack->op != OpConcat || stack->nin > MostStacked || only_user(n->in[0]) != n || is_output(n->in[0]) ||
	    attr_int(stack, Attr_state) || attr_ints(n, Attr_axes, &axes) != 1 || axes[0] != attr_int(stack, Attr_axis))
		return false;
	for (int i = 0; i < stack->nin; i++)
		if (!dim_equals(stack->in[i]->type.dims[axes[0]], 1))
			return false;
	Value *y = NULL;
	for (int i = 0; i < stack->nin; i++) {
		Value *x = build(m, n->block, n, OpReshape, n->loc, 1, &stack->in[i], 0, NULL, &n->out[0]->type);
		y = y ? build(m, n->block, n, joins[n->op], n->loc, 2, (Value *[]){y, x}, 0, NULL, NULL) : x;
	}
	replace_uses(m, n->out[0], y);
	return true;
}

/* The operand of a concat in which a slice of it lies, and how far that operand is from its begin; NULL: it reaches over several. */
static Value *operand_of_slice(Module *m, const Node *concat, const Node *slice, const Dim **at)
{
	const int64_t axis = attr_int(concat, Attr_axis), *steps;
	const Dim *const *starts;

	attr_dims(slice, Attr_starts, &starts);
	if (attr_ints(slice, Attr_steps, &steps) && steps[axis] != 1)
		return NULL;
	const Dim *from = starts[axis], *to = dim_add(m, from, slice->out[0]->type.dims[axis]), *end;
	*at = dim_const(m, 0);
	for (int i = 0; i < concat->nin; i++, *at = end) {
		end = dim_add(m, *at, concat->in[i]->type.dims[axis]);
		if (dim_proves_at_most(m, *at, from) && dim_proves_at_most(m, to, end))
			return concat->in[i];
	}
	return NULL;
}

enum { MostJoined = 64 };

/* Slices of a concat, each of which lies in one operand, are slices of these, if nothing else reads it: the two streams of reversible layers. */
static bool unjoin(Module *m, Node *n)
{
	const Dim *at;
	Value *joined = n->out[0];

	if (n->op != OpConcat || attr_int(n, Attr_state) || n->nin > MostJoined || appended_input(n))
		return false;
	for (int i = 0; i < joined->nuse; i++) {
		const Node *user = joined->uses[i].node;
		if (!user || user->op != OpSlice || !operand_of_slice(m, n, user, &at))
			return false;
	}
	while (joined->nuse) {
		Node *user = joined->uses[0].node;
		Value *part = operand_of_slice(m, n, user, &at);
		const Dim *const *old, *starts[MaxRank];
		const int rank = attr_dims(user, Attr_starts, &old);
		for (int d = 0; d < rank; d++)
			starts[d] = d == attr_int(n, Attr_axis) ? dim_sub(m, old[d], at) : old[d];
		set_attr(m, user, mk_dims(m, Attr_starts, rank, starts));
		set_in(m, user, 0, part);
	}
	return true;
}

bool pass_canon(Module *m)
{
	bool changed = false, again = true;

	for (int round = 0; again; round++) {
		again = false;
		FOR_ALL_NODES(n, m) {
			if (n->nout != 1 || !n->out[0]->nuse || n->out[0]->known)
				continue;
			again |= unjoin(m, n) || (is_move(n) && canon_move(m, n)) || trim_conv(m, n) || sink_view(m, n) || sink_past_pad(m, n) ||
			         drop_unit_axes(m, n) || unstack(m, n) || sink_into_constant(m, n) || sink_expand(m, n) || drop_expand(m, n);
		}
		again |= remove_dead(m);
		changed |= again;
		if (round == 1000)
			bug("canon does not end");
	}
	return changed;
}
