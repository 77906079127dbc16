/* trim.c - a convolution computes no outputs that nothing reads.
 *
 *   view(conv(x))  ->  view'(conv'(x)),   conv' with less padding along the last axis
 *
 * where the view leaves out the first or last outputs: causal and even kernels are exported as padded on both sides and cut.
 */
#include "pass.h"

/* The outputs first .. last along the last axis (of `length`) that a view node reads; rows[d]: what its axis d walks in rows of
 * that axis, NULL where it walks along it.  False if the view may go on from one row to the next. */
static bool find_span(Module *m, const Node *view, const Dim *length, int64_t *first, const Dim **last, const Dim **rows)
{
	const Dim *const *strides, *zero = dim_const(m, 0);
	const Type *t = &view->out[0]->type;
	int64_t step;

	if (!dim_is_const(attr_dim(m, view, Attr_base), first) || attr_dims(view, Attr_strides_dim, &strides) != t->rank)
		return false;
	*last = dim_const(m, *first);
	for (int d = 0; d < t->rank; d++) {
		rows[d] = zero;
		if (dim_equals(t->dims[d], 1) || dim_poly_div(m, strides[d], length, &rows[d]))
			continue;
		if (!dim_is_const(strides[d], &step) || step < 1)
			return false;
		rows[d] = NULL;
		*last = dim_add(m, *last, dim_mul_const(m, dim_sub(m, t->dims[d], dim_const(m, 1)), step));
	}
	return true;
}

static Value *build_trimmed(Module *m, Node *conv, const int64_t *cut)
{
	const int64_t *old;
	int64_t pads[2 * MaxRank];
	int n = attr_ints(conv, Attr_pads, &old);
	Node *made = new_node(m, conv->block, conv, OpConv, conv->loc, conv->nin, conv->in);

	for (int i = 0; i < n; i++)
		pads[i] = old[i];
	pads[n / 2 - 1] -= cut[0];
	pads[n - 1] -= cut[1];
	for (int i = 0; i < conv->nattr; i++)
		set_attr(m, made, conv->attrs[i]);
	set_attr(m, made, mk_ints(m, Attr_pads, n, pads));
	const char *error = set_type(m, made, NULL);
	if (error)
		bug("trim_conv: %s", error);
	return made->out[0];
}

bool trim_conv(Module *m, Node *view)
{
	Node *conv = view->op == OpView ? view->in[0]->def : NULL;
	const Dim *last, *rows[MaxRank], *strides[MaxRank];
	const Dim *const *old;
	const int64_t *pads, *steps;
	int64_t first, after, length, unused;

	if (!conv || conv->op != OpConv || only_user(conv->out[0]) != view || is_output(conv->out[0]))
		return false;
	int axis = conv->out[0]->type.rank - 1, npad = attr_ints(conv, Attr_pads, &pads);
	const Dim *outputs = conv->out[0]->type.dims[axis];
	if (!npad || (attr_ints(conv, Attr_strides, &steps) && steps[axis - 2] != 1) ||
	    !find_span(m, view, outputs, &first, &last, rows) ||
	    !dim_is_const(dim_sub(m, dim_sub(m, outputs, last), dim_const(m, 1)), &after) || first < 0 || after < 0)
		return false;
	int64_t cut[] = {first < pads[npad / 2 - 1] ? first : pads[npad / 2 - 1], after < pads[npad - 1] ? after : pads[npad - 1]};
	const Dim *left = dim_sub(m, outputs, dim_const(m, cut[0] + cut[1]));
	dim_range(left, &length, &unused);
	if (cut[0] + cut[1] == 0 || length < 0)
		return false;
	attr_dims(view, Attr_strides_dim, &old);
	for (int d = 0; d < view->out[0]->type.rank; d++)
		strides[d] = rows[d] ? dim_mul(m, rows[d], left) : old[d];
	Value *y = build_trimmed(m, conv, cut);
	if (y->type.dims[axis] != left) { /* the text stated its outputs by dims that a check makes equal */
		erase_node(y->def);
		return false;
	}
	Attr attrs[] = {mk_dim(Attr_base, dim_const(m, first - cut[0])), mk_dims(m, Attr_strides_dim, view->out[0]->type.rank, strides)};
	replace_uses(m, view->out[0], build(m, view->block, view, OpView, view->loc, 1, &y, 2, attrs, &view->out[0]->type));
	return true;
}
