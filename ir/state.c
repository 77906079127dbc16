/* state.c - state: an input and an output of a model that share one buffer of the caller.
 *
 * A concat with the attribute `state` appends in place: its first operand is a parameter whose buffer has room for `state`
 * elements along the concat's axis, and its result is the same buffer with the new rows written behind the old ones.  In the
 * tensor IR nothing else changes: the evaluator copies, and views count elements of the dense tensor.  Only where values become
 * memory does the capacity replace the extent of the axis in the strides.
 */
#include "ir.h"

const Node *state_append(const Value *v)
{
	if (v->def)
		return v->def->op == OpConcat && attr_int(v->def, Attr_state) ? v->def : NULL;
	for (int i = 0; i < v->nuse && v->appended && !v->konst; i++) {
		const Node *n = v->uses[i].node;
		if (n && v->uses[i].index == 0 && n->op == OpConcat && attr_int(n, Attr_state))
			return n;
	}
	return NULL;
}

void storage_type(Module *m, const Value *v, Type *t)
{
	const Node *append = state_append(v);

	*t = v->type;
	if (append)
		t->dims[attr_int(append, Attr_axis)] = dim_const(m, attr_int(append, Attr_state));
}

bool state_of_output(Module *m, const Value *v, State *s)
{
	const Node *n = v->def, *append = state_append(v);
	const Dim *shift = dim_const(m, 0), *inner = dim_const(m, 1);

	if (!n)
		return false;
	if (!append && (n->op == OpView || n->op == OpSlice) && n->in[0]->def)
		append = state_append(n->in[0]);
	if (!append)
		return false;
	int axis = attr_int(append, Attr_axis);
	const Type *t = &append->out[0]->type;
	for (int d = axis + 1; d < t->rank; d++)
		inner = dim_mul(m, inner, t->dims[d]);
	if (n->op == OpView) {
		const Dim *const *strides, *stride = dim_const(m, 1);
		if (attr_dims(n, Attr_strides_dim, &strides) != t->rank || !dim_poly_div(m, attr_dim(m, n, Attr_base), inner, &shift))
			return false;
		for (int d = t->rank - 1; d >= 0; d--) {
			if (strides[d] != stride && !dim_equals(v->type.dims[d], 1))
				return false;
			stride = dim_mul(m, stride, t->dims[d]);
		}
	} else if (n->op == OpSlice) {
		const Dim *const *starts;
		const int64_t *steps;
		if (attr_dims(n, Attr_starts, &starts))
			shift = starts[axis];
		for (int i = 0, k = attr_ints(n, Attr_steps, &steps); i < k; i++)
			if (steps[i] != 1)
				return false;
	}
	s->input = append->in[0]->index;
	s->axis = axis;
	s->capacity = attr_int(append, Attr_state);
	return dim_is_const(shift, &s->shift);
}
