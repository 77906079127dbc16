/* fuse_glu.c - value * act(gate), where value and gate are the two halves of one axis of the same tensor, or two linears of one
 * input, whose weights are then put side by side.
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

/* What glu needs to know of its operand. */
typedef struct Halves {
	Value *both; /* NULL: the halves are linears of their own */
	Node *value, *gate; /* those linears */
	int axis;
	bool gate_first;
} Halves;

static bool halves_of_one(Module *m, Value *value, Value *gate, Halves *h)
{
	Part v, g;

	if (!part_of(m, value, &v) || !part_of(m, gate, &g) || v.parts != 2 || v.number == g.number || v.of != g.of || v.axis != g.axis)
		return false;
	*h = (Halves){.both = v.of, .axis = v.axis, .gate_first = g.number == 0};
	return true;
}

static bool is_linear_of(const Node *n, const Value *x)
{
	return n && n->op == OpLinear && (!x || n->in[0] == x) && is_const(n->in[1]) && (!n->in[2] || is_const(n->in[2]));
}

/* NULL, or why not, if value and gate are linears of one input. */
static const char *halves_of_two(Value *value, Value *gate, Halves *h)
{
	*h = (Halves){.value = value->def, .gate = gate->def, .axis = value->type.rank - 1};
	if (h->value == h->gate || !type_equal(&value->type, &gate->type))
		return "value and gate differ in shape";
	if (!only_user(value) || is_output(value) || !only_user(gate) || is_output(gate))
		return "value or gate is used elsewhere too";
	return NULL;
}

static Value *beside(Module *m, Node *at, Value *a, Value *b)
{
	Value *in[] = {a, b};
	Attr axis = mk_int(Attr_axis, a->type.rank - 1);
	return build(m, at->block, at, OpConcat, at->loc, 2, in, 1, &axis, NULL);
}

static Value *bias_of(Module *m, Node *linear, Node *at)
{
	const Type *t = &linear->out[0]->type;
	Type b = {.dtype = t->dtype, .rank = 1, .dims = {t->dims[t->rank - 1]}};
	Value *zero;
	if (linear->in[2])
		return linear->in[2];
	zero = const_scalar(m, scalar_of_int(t->dtype, 0))->value;
	return build(m, at->block, at, OpExpand, at->loc, 1, &zero, 0, NULL, &b);
}

/* One linear of both weights, made before n. */
static Value *join_linears(Module *m, Node *n, const Halves *h)
{
	bool bias = h->value->in[2] || h->gate->in[2];
	Value *in[] = {h->value->in[0], beside(m, n, h->value->in[1], h->gate->in[1]),
	               bias ? beside(m, n, bias_of(m, h->value, n), bias_of(m, h->gate, n)) : NULL};
	return build(m, n->block, n, OpLinear, h->value->loc, 3, in, 0, NULL, NULL);
}

bool fuse_glu(Module *m, Node *n)
{
	if (n->op != OpMul)
		return false;
	for (int g = 0; g < 2; g++) { /* operand g is the activated gate */
		Node *act = n->in[g]->def;
		Value *value = n->in[1 - g];
		const char *why = NULL;
		Halves h;
		if (!is_activation(act))
			continue;
		bool two = is_linear_of(value->def, NULL) && is_linear_of(act->in[0]->def, value->def->in[0]);
		if (two)
			why = halves_of_two(value, act->in[0], &h);
		else if (!halves_of_one(m, value, act->in[0], &h))
			continue;
		if (!why && !only_user(act->out[0]))
			why = "the activated gate is used elsewhere too";
		if (why) {
			report_miss("glu", n->loc, why);
			continue;
		}
		if (!allow("glu"))
			return false;
		report_match("glu", n->loc);
		report_also(act->loc);
		for (int i = 0; i < 2 && two; i++)
			report_also((i ? h.gate : h.value)->loc);
		Value *x = two ? join_linears(m, n, &h) : h.both;
		Attr attrs[] = {mk_int(Attr_axis, h.axis), mk_int(Attr_gate, h.gate_first), mk_int(Attr_act, act->op)};
		replace_uses(m, n->out[0], build(m, n->block, n, OpGlu, n->loc, 1, &x, 3, attrs, NULL));
		return true;
	}
	return false;
}
