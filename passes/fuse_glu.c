/* fuse_glu.c - value * act(gate), where value and gate are the two halves of one axis of the same tensor.
 *
 * Split, chunk and slices have become views of the tensor; either half may be the gate; act is any unary elementwise operator
 * (sigmoid, silu, gelu, relu, ...).
 */
#include "idioms.h"

static bool is_activation(const Node *n)
{
	return n && ops[n->op].cls == ClsEwise && n->nin == 1 && n->nattr == 0 && n->op != OpCast && n->op != OpIdentity &&
	       n->out[0]->type.dtype == n->in[0]->type.dtype;
}

/* half 0 or 1 of `axis` of the root: -1 if the value is no such view. */
static int half_of(Module *m, Value *v, View *w, int *axis)
{
	view_of(m, v, w);
	const Type *t = &w->root->type;
	if (w->root == v || t->rank != v->type.rank)
		return -1;
	View id;
	view_identity(m, w->root, &id);
	*axis = -1;
	for (int d = 0; d < t->rank; d++)
		if (t->dims[d] != v->type.dims[d]) {
			if (*axis >= 0)
				return -1;
			*axis = d;
		}
	if (*axis < 0 || dim_mul_const(m, v->type.dims[*axis], 2) != t->dims[*axis])
		return -1;
	/* same strides as the root, along every axis */
	const Dim *stride = dim_const(m, 1);
	for (int d = t->rank - 1; d >= 0; d--) {
		Factor f[MaxFactors];
		int n = merge_factors(m, w, d, d + 1, f);
		if (n > 1 || (n == 1 && f[0].stride != stride))
			return -1;
		if (d == *axis) {
			const Dim *half = dim_mul(m, v->type.dims[d], stride);
			if (w->base != half && !dim_equals(w->base, 0))
				return -1;
		}
		stride = dim_mul(m, stride, t->dims[d]);
	}
	return dim_equals(w->base, 0) ? 0 : 1;
}

bool fuse_glu(Module *m, Node *n)
{
	if (n->op != OpMul)
		return false;
	for (int g = 0; g < 2; g++) { /* operand g is the activated gate */
		Node *act = n->in[g]->def;
		View wv, wg;
		int axis, gate_axis;
		if (!is_activation(act))
			continue;
		int gate = half_of(m, act->in[0], &wg, &gate_axis), value = half_of(m, n->in[1 - g], &wv, &axis);
		if (gate < 0 || value < 0 || gate == value || wv.root != wg.root || axis != gate_axis)
			continue;
		if (!only_user(act->out[0])) {
			report_miss("glu", n->loc, "the activated gate is used elsewhere too");
			continue;
		}
		if (!allow("glu"))
			return false;
		Value *x = wv.root;
		Attr attrs[] = {mk_int(Attr_axis, axis), mk_int(Attr_gate, gate == 0), mk_int(Attr_act, act->op)};
		replace_uses(m, n->out[0], build(m, n->block, n, OpGlu, n->loc, 1, &x, 3, attrs, NULL));
		report_match("glu", n->loc);
		report_also(act->loc);
		return true;
	}
	return false;
}
