/* hoist.c - the pass hoist: what a loop computes without its carried values is computed in front of it.
 *
 *   a node whose operands and dims come from outside of the loop moves out as it is;
 *   linear(view(x)), where the view steps through x with the counter, is one linear over the views of all iterations,
 *   of which the body reads its part:
 *
 *     loop {counter="it"} { %v: f32[B, N] = view %x {base=a*it + b, ..}; %y = linear %v, @w, @b; .. }
 *     ->  %all: f32[trips, B, N] = view %x {base=b, strides_dim=[a, ..]}; %ys = linear %all, @w, @b
 *         loop {counter="it"} { %y = view %ys {base=B*M*it, ..}; .. }
 *
 * This is how a recurrent cell that is spelled as Scan or Loop multiplies its inputs by the packed weights of one product, as those of
 * LSTM do.  Rows of a product do not depend on one another, so no bit changes.
 *
 * Only what cannot fail moves, since the body may never run, and what needs no checks of the body; and only out of loops without a
 * condition, which would run fewer iterations than `trips`.  Every step takes a node out of a body, so it ends.
 */
#include "pass.h"

#include <string.h>

typedef struct Hoist {
	Module *m;
	Node *loop;
	const Dim *trips;
	Sym *counter;
	int ninner;
	Sym **inner; /* symbols that have a value inside of the loop only */
} Hoist;

static bool from_outside(const Hoist *h, const Value *v)
{
	return v->def ? v->def->block != h->loop->body : v->block != h->loop->body;
}

static bool known_outside(const Hoist *h, const Dim *d)
{
	for (int i = 0; i < h->ninner; i++)
		if (dim_uses_sym(d, h->inner[i]))
			return false;
	return true;
}

static bool type_known_outside(const Hoist *h, const Type *t)
{
	for (int d = 0; d < t->rank; d++)
		if (!known_outside(h, t->dims[d]))
			return false;
	return true;
}

static bool attrs_known_outside(const Hoist *h, const Node *n)
{
	for (int i = 0; i < n->nattr; i++) {
		const Attr *a = &n->attrs[i];
		if (a->dim && !known_outside(h, a->dim))
			return false;
		for (int k = 0; a->dims && k < a->n; k++)
			if (!known_outside(h, a->dims[k]))
				return false;
	}
	return true;
}

static bool operands_from_outside(const Hoist *h, const Node *n, int from)
{
	for (int i = from; i < n->nin; i++)
		if (n->in[i] && !from_outside(h, n->in[i]))
			return false;
	return true;
}

/* Integer division and lookups look at their data; the other classes have a status of their own. */
static bool cannot_fail(const Node *n)
{
	OpClass cls = ops[n->op].cls;
	return n->op != OpIDiv && n->op != OpIMod && n->op != OpExperts && n->op != OpExpertsPacked &&
	       (cls == ClsEwise || cls == ClsReduce || cls == ClsGemm || cls == ClsWindow || cls == ClsAttention || cls == ClsMove);
}

static bool is_invariant(const Hoist *h, const Node *n)
{
	return n->nout == 1 && !n->body && cannot_fail(n) && operands_from_outside(h, n, 0) && attrs_known_outside(h, n) &&
	       type_known_outside(h, &n->out[0]->type);
}

/* Moves n in front of the loop, unless its type holds by checks of the body only. */
static bool move_out(const Hoist *h, Node *n)
{
	Block *body = h->loop->body, *front = block_of_checks(h->loop->block);
	Node *next = n->next;
	Type t = n->out[0]->type;
	int ncheck = front->ncheck;

	move_before(n, h->loop->block, h->loop);
	bool holds = !ops[n->op].shape(h->m, n, &t) && types_agree(front, &t, &n->out[0]->type) && front->ncheck == ncheck;
	front->ncheck = ncheck;
	if (!holds)
		move_before(n, body, next);
	return holds;
}

/* d as base + step * counter, neither of which needs the loop. */
static bool split_counter(const Hoist *h, const Dim *d, const Dim **base, const Dim **step)
{
	Module *m = h->m;
	const Dim *counter = dim_sym(m, h->counter->name);
	const Dim **by = arena_alloc(m->arena, (size_t)m->nsym * sizeof *by);
	by[h->counter->index] = dim_const(m, 0);
	*base = dim_subst(m, d, by);
	by[h->counter->index] = dim_const(m, 1);
	*step = dim_sub(m, dim_subst(m, d, by), *base);
	return known_outside(h, *base) && known_outside(h, *step) && dim_add(m, *base, dim_mul(m, *step, counter)) == d;
}

/* The views of all iterations, along a new first axis. */
static bool all_iterations(const Hoist *h, const View *w, View *out)
{
	int nfactor = w->first[w->rank];
	View all = {.root = w->root, .rank = w->rank + 1};
	if (w->rank == MaxRank || nfactor == MaxFactors || !from_outside(h, w->root))
		return false;
	for (int i = 0; i < nfactor; i++)
		if (!known_outside(h, w->f[i].extent) || !known_outside(h, w->f[i].stride))
			return false;
	all.f[0].extent = h->trips;
	if (!split_counter(h, w->base, &all.base, &all.f[0].stride) || dim_equals(all.f[0].stride, 0))
		return false;
	memcpy(all.f + 1, w->f, (size_t)nfactor * sizeof *w->f);
	for (int d = 0; d <= w->rank; d++)
		all.first[d + 1] = w->first[d] + 1;
	*out = all;
	return true;
}

/* What v holds at number `counter` of its first axis. */
static Value *at_counter(const Hoist *h, Value *v, const Type *type, Node *before)
{
	Module *m = h->m;
	View w = {.root = v, .base = dim_sym(m, h->counter->name), .rank = type->rank};
	const Dim *stride = dim_const(m, 1);
	for (int d = type->rank - 1; d >= 0; d--) {
		w.first[d] = d;
		w.f[d] = (Factor){type->dims[d], stride};
		stride = dim_mul(m, stride, type->dims[d]);
	}
	w.first[w.rank] = w.rank;
	w.base = dim_mul(m, w.base, stride);
	return build_view(m, &w, type, before, before->loc);
}

static bool is_row_product(const Node *n)
{
	return n->op == OpLinear || (n->op == OpMatMul && n->in[1]->type.rank == 2 && n->in[0]->type.rank >= 2);
}

static bool hoist_product(const Hoist *h, Node *n)
{
	Module *m = h->m;
	View w, all;
	if (!is_row_product(n))
		return false;
	Type type = n->in[0]->type;
	if (!operands_from_outside(h, n, 1) || is_measured_dim(h->trips) ||
	    !type_known_outside(h, &type) || !type_known_outside(h, &n->out[0]->type))
		return false;
	view_of(m, n->in[0], &w);
	if (!all_iterations(h, &w, &all) || !view_is_inside(m, &all) || !allow("hoist"))
		return false; /* what is not proved inside would be checked in front, where the body may never run */
	memmove(type.dims + 1, type.dims, (size_t)type.rank++ * sizeof *type.dims);
	type.dims[0] = h->trips;
	Block *front = block_of_checks(h->loop->block);
	int ncheck = front->ncheck;
	Value *in[MaxIn] = {build_view(m, &all, &type, h->loop, n->loc)};
	if (!in[0])
		return false;
	for (int i = 1; i < n->nin; i++)
		in[i] = n->in[i];
	Value *products = build(m, h->loop->block, h->loop, n->op, n->loc, n->nin, in, n->nattr, n->attrs, NULL);
	if (front->ncheck > ncheck) { /* the product holds by checks of the body */
		front->ncheck = ncheck;
		erase_node(products->def);
		return false; /* the view goes with what is dead */
	}
	replace_uses(m, n->out[0], at_counter(h, products, &n->out[0]->type, n));
	erase_node(n);
	return true;
}

static Hoist in_loop(Module *m, Node *loop)
{
	Hoist h = {.m = m, .loop = loop, .trips = attr_dim(m, loop, Attr_trips), .counter = find_sym(m, attr_text(loop, Attr_counter))};
	h.inner = arena_alloc(m->arena, (size_t)m->nsym * sizeof *h.inner);
	for (int i = 0; i < m->nsym; i++)
		if (m->syms[i]->def && (m->syms[i]->def == loop || m->syms[i]->def->block == loop->body))
			h.inner[h.ninner++] = m->syms[i];
	return h;
}

static bool hoist_loop(Module *m, Node *loop)
{
	Hoist h = in_loop(m, loop);
	bool changed = false;
	FOR_NODES (n, loop->body) {
		if (is_invariant(&h, n) && move_out(&h, n))
			changed = true;
		else
			changed |= hoist_product(&h, n);
	}
	return changed;
}

bool pass_hoist(Module *m)
{
	bool changed = false, again;
	do { /* once for each loop around a loop */
		again = false;
		FOR_ALL_NODES (n, m)
			if (n->op == OpLoop && !loop_has_cond(n))
				again |= hoist_loop(m, n);
		changed |= again;
	} while (again);
	return changed && (remove_dead(m), true);
}
