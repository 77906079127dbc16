/* epilogue.c - what a kernel computes on its sums while they are at hand: which nodes may join it, and their code. */
#include "epilogue.h"

/* ---- which nodes -------------------------------------------------------------------------------------------------------- */

/* Does the epilogue's node read a part of whole rows? */
static bool reads_part(Module *m, const Node *n, Part *p)
{
	if (n->op == OpGlu)
		*p = (Part){.of = n->in[0], .axis = (int)attr_int(n, Attr_axis), .parts = 2};
	return n->op == OpGlu || (ops[n->op].cls == ClsMove && part_of(m, n->out[0], p));
}

int epilogue_parts(Module *m, Node *const *members, int n)
{
	Part p;
	for (int i = 1; i < n; i++)
		if (reads_part(m, members[i], &p))
			return p.parts;
	return 1;
}

/* Are the member's operands that other members compute of its own dims, or, of a part, of whole rows? */
static bool reads_alike(Module *m, Node *const *members, int n, const Node *x)
{
	const Type *whole = &members[0]->out[0]->type;
	Part p;

	if (reads_part(m, x, &p))
		return is_member(p.of->def, members, n) && equal_dims(&p.of->type, whole) && p.axis == whole->rank - 1;
	for (int i = 0; i < x->nin; i++)
		if (x->in[i] && is_member(x->in[i]->def, members, n) && !equal_dims(&x->in[i]->type, &x->out[0]->type))
			return false;
	return ops[x->op].cls == ClsEwise;
}

bool has_epilogue(const Node *n)
{
	Op op = n->op;
	return op == OpLinear || op == OpLinearPacked || op == OpLinearScaled || op == OpLinearBytes || op == OpExperts ||
	       op == OpExpertsPacked || op == OpSparse || op == OpStrassen || op == OpConv || op == OpGroupConv || op == OpWinograd ||
	       (op == OpWinConv && !is_token_window(n));
}

bool epilogue_takes(Module *m, Node *const *members, int n, bool all)
{
	const Node *root = members[0];
	const Type *whole = &root->out[0]->type, *part = whole;
	int parts = epilogue_parts(m, members, n);
	Part p;

	if (n > MaxEpilogue + 1 || count_operands(members, n) > MaxOperands)
		return false;
	for (int i = 1; i < n; i++)
		if (reads_part(m, members[i], &p) && part == whole)
			part = &members[i]->out[0]->type;
	for (int i = 1; i < n; i++) {
		const Type *t = &members[i]->out[0]->type;
		if (!reads_alike(m, members, n, members[i]) || !(equal_dims(t, part) || (equal_dims(t, whole) && !reads_part(m, members[i], &p))))
			return false;
	}
	for (int i = 0; i < n && all; i++)
		if ((i == n - 1 || is_output(members[i]->out[0])) && !equal_dims(&members[i]->out[0]->type, part))
			return false;
	if (ops[root->op].cls == ClsWindow)
		return parts == 1;
	return root->op == OpLinear || root->op == OpExperts || attr_int(root, Attr_parts) == parts;
}

/* ---- their code --------------------------------------------------------------------------------------------------------- */

static bool is_of_part(const Epilogue *e, const Node *n)
{
	return !equal_dims(&n->out[0]->type, &e->root->out[0]->type);
}

static void add_epilogue_leaf(Epilogue *e, Kernel *k, const Node *user, Value *v)
{
	const Type *t = &user->out[0]->type;

	if (v == e->root->out[0])
		return;
	for (Node *n = e->first; n; n = n->next)
		if (v->def == n)
			return;
	for (int i = 0; i < e->nleaf; i++)
		if (e->leaf_values[i] == v)
			return;
	Access a = kaccess(k, v);
	a = broadcast_access(e->l->m, &a, t->rank);
	for (int d = 0; d < t->rank; d++)
		if (dim_equals(a.extent[d], 1))
			a.stride[d] = dim_const(e->l->m, 0);
	for (int d = 0; d < t->rank; d++)
		a.extent[d] = t->dims[d];
	e->leaf_of_part[e->nleaf] = is_of_part(e, user);
	e->leaf_values[e->nleaf] = v;
	e->leaf[e->nleaf++] = a;
}

void open_epilogue(Epilogue *e, Kernel *k)
{
	const Type *t = &e->result->type;
	const Dim *stride = dim_const(e->l->m, 1);

	e->parts = ops[e->root->op].attrs >> Attr_parts & 1 ? (int)attr_int(e->root, Attr_parts) : 1;
	if (e->added)
		e->bias = kaccess(k, e->added);
	for (Node *n = e->first; n; n = n->next)
		for (int i = 0; i < n->nin; i++)
			add_epilogue_leaf(e, k, n, n->in[i]);
	const Node *group = group_of(e->root);
	e->nresult = group ? group->nout : 1;
	if (e->made) {
		e->results[0] = e->result;
		e->stores[0] = e->made;
	}
	for (int i = 0; i < e->nresult && !e->made; i++) {
		e->results[i] = group ? group->body->yields[i] : e->result;
		e->stores[i] = kbuf(k, group ? group->out[i] : e->home, true);
	}
	e->out = (Access){.rank = t->rank, .base = dim_const(e->l->m, 0)};
	for (int d = t->rank - 1; d >= 0; d--) {
		e->out.extent[d] = t->dims[d];
		e->out.stride[d] = stride;
		stride = dim_mul(e->l->m, stride, t->dims[d]);
	}
}

static const ByPart *epilogue_operand(Epilogue *e, const Value *v, const ByPart *sums, const ByPart *leaves, const ByPart *values)
{
	int at = 0;

	if (v == e->root->out[0])
		return sums;
	for (Node *n = e->first; n; n = n->next, at++)
		if (v->def == n)
			return &values[at];
	for (int i = 0; i < e->nleaf; i++)
		if (e->leaf_values[i] == v)
			return &leaves[i];
	bug("a value inside an epilogue is unknown");
}

static LExpr *load_bias(Epilogue *e, Kernel *k, LExpr *col, LExpr *mask)
{
	LB *b = &k->b;
	const Dim *stride = e->bias.stride[0];
	LExpr *at = ladd(b, kdim(k, e->bias.base), lmul(b, col, kdim(k, stride)));
	return load_lanes(k, &e->bias, at, stride, mask);
}

/* One vector of 16 columns of a row's leaf: of each part, if they differ. */
static ByPart load_leaf(Epilogue *e, Kernel *k, int i, LExpr *row, LExpr *const *cols, LExpr *mask)
{
	LB *b = &k->b;
	const Dim *stride = e->leaf[i].stride[e->out.rank - 1];
	bool splat = dim_equals(stride, 0);
	ByPart y;

	for (int g = 0; g < e->parts; g++) {
		LExpr *offset = splat ? row : ladd(b, row, lmul(b, cols[g], kdim(k, stride)));
		y.e[g] = g && (splat || e->leaf_of_part[i]) ? y.e[0] : llet(b, load_lanes(k, &e->leaf[i], offset, stride, mask));
	}
	return y;
}

static ByPart emit_node(Epilogue *e, Kernel *k, const Node *n, const ByPart *sums, const ByPart *leaves, const ByPart *values)
{
	LB *b = &k->b;
	LExpr *in[MaxIn];
	ByPart y;
	Part part;

	if (n->op == OpGlu) {
		const ByPart *x = epilogue_operand(e, n->in[0], sums, leaves, values);
		bool gate_first = attr_int(n, Attr_gate);
		Node act = {.op = attr_int(n, Attr_act), .nin = 1, .nout = 1, .in = n->in, .out = n->out};
		LExpr *gate = x->e[!gate_first];
		y.e[0] = llet(b, lmul(b, x->e[gate_first], emit_scalar(k, &act, &gate)));
	} else if (ops[n->op].cls == ClsMove) {
		if (!part_of(e->l->m, n->out[0], &part))
			bug("an epilogue moves data");
		y.e[0] = epilogue_operand(e, part.of, sums, leaves, values)->e[part.number];
	}
	for (int g = 0; g < e->parts; g++) {
		bool same = g > 0 && is_of_part(e, n);
		for (int i = 0; i < n->nin && !same && ops[n->op].cls == ClsEwise; i++)
			in[i] = epilogue_operand(e, n->in[i], sums, leaves, values)->e[g];
		if (same)
			y.e[g] = y.e[0];
		else if (ops[n->op].cls == ClsEwise)
			y.e[g] = emit_scalar(k, n, in);
	}
	return y;
}

void leaf_rows(const Epilogue *e, Kernel *k, LExpr *row, LExpr **rows)
{
	for (int i = 0; i < e->nleaf; i++)
		rows[i] = row_offset(k, &e->leaf[i], e->leaf[i].rank - 1, row);
}

void emit_columns(Epilogue *e, Kernel *k, ByPart sums, LExpr *const *rows, LExpr *to, LExpr *col, LExpr *mask)
{
	LB *b = &k->b;
	ByPart leaves[MaxOperands], values[MaxEpilogue];
	LExpr *cols[MaxParts] = {col};
	int at = 0;

	for (int g = 1; g < e->parts; g++)
		cols[g] = llet(b, ladd(b, cols[g - 1], kparam(k, e->out.extent[e->out.rank - 1])));
	for (int g = 0; g < e->parts && e->added; g++)
		sums.e[g] = llet(b, ladd(b, sums.e[g], load_bias(e, k, cols[g], mask)));
	for (int i = 0; i < e->nleaf; i++)
		leaves[i] = load_leaf(e, k, i, rows[i], cols, mask);
	for (Node *n = e->first; n; n = n->next, at++)
		values[at] = emit_node(e, k, n, &sums, leaves, values);
	for (int i = 0; i < e->nresult; i++)
		lstore(b, e->stores[i], to, NULL, mask, epilogue_operand(e, e->results[i], &sums, leaves, values)->e[0]);
}
