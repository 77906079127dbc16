/* random_control.h - regions for random_graph.h: if, loop, group and measure, with bodies by chance around values of the pool.
 *
 * A loop takes a slice of some value along the counter and carries a state s.  In f32 that becomes tanh(0.4 s + 0.4 W s / |W s| + y),
 * where y comes from the slice and from outside: differences of s shrink, so that the noise of many iterations stays five times that
 * of one; so they do with the gates (a + b + c) * d of parts of 0.06 W s / |W s|, each of which is at most 1.  Other types carry exact values.  Conditions are exact: an input, or what is computed of a counter.
 */
#ifndef DCC_RANDOM_CONTROL_H
#define DCC_RANDOM_CONTROL_H

#include "random_products.h"

enum { MaxTrips = 12, MaxDepth = 3 };

static Val same_type_step(Gen *g, Val x);

static Val chain(Gen *g, Val x, int n)
{
	for (int i = 0; i < n; i++)
		x = same_type_step(g, x);
	return x;
}

/* Is the counter of the loop around less than 3, or the like? */
static Value *counter_test(Gen *g)
{
	Type t = typed(I64, 0, NULL);
	const Dim *values[2] = {g->counter, num(g, 1 + pick(g, 4))};
	Value *in[2];
	for (int i = 0; i < 2; i++) {
		Attr a = mk_dims(g->m, Attr_values, 1, &values[i]);
		in[i] = emit(g, OpDims, 0, NULL, 1, &a, &t);
	}
	return emit(g, OpLt, 2, in, 0, NULL, NULL);
}

static Val fill_branch(Gen *g, Val x, Block *b)
{
	Block *outer = g->block;
	int npool = g->npool;
	g->block = b;
	Val y = chain(g, x, pick(g, 4));
	add_yield(g->m, b, y.v);
	g->block = outer;
	g->npool = npool;
	return y;
}

static Val choose(Gen *g, Val x)
{
	Type flag = typed(Bool, 0, NULL);
	Value *cond = g->counter && once(g, 2) ? counter_test(g) : pick_typed(g, &flag).v;
	Node *n = new_node(g->m, g->block, NULL, OpIf, NULL, 1, &cond);
	Val yes = fill_branch(g, x, n->body), no = fill_branch(g, x, n->other);
	need(g, !add_body_results(g->m, n, &x.v->type));
	return finish(g, n->out[0], fmax(yes.bound, no.bound), fmax(yes.noise, no.noise), yes.exact && no.exact);
}

/* What the state becomes, given what the slice gives. */
static Val contract(Gen *g, Value *state, Val y)
{
	Val s = {state, 1, 0, false, false}, sum = binary(g, OpAdd, y, binary(g, OpMul, s, scalar(g, 0.4)));
	int64_t width = fixed(state->type.dims[state->type.rank - 1]);
	if (width > 0 && !once(g, 3)) {
		int parts = once(g, 2) ? 1 : 2 + pick(g, 3);
		Val recurrent = linear(g, s, parts * width, once(g, 2));
		recurrent = binary(g, OpMul, recurrent, scalar(g, (parts == 1 ? 0.4 : 0.06) / recurrent.bound));
		sum = binary(g, OpAdd, parts == 1 ? recurrent : combine_parts(g, recurrent, parts, width, 0), sum);
	}
	Val next = unary(g, OpTanh, sum);
	return (Val){next.v, 1, 5 * next.noise, false, false};
}

/* The same of other types: one of the two, or what wraps; `bound`: of the first state. */
static Val combine(Gen *g, Value *state, Val y, double bound)
{
	static const Op of_ints[] = {OpAdd, OpMul, OpSub, OpXor, OpMax}, of_bools[] = {OpAnd, OpOr, OpXor};
	DType t = state->type.dtype;
	Val s = {state, fmax(bound, y.bound), 0, true, false};
	need(g, y.exact);
	if (once(g, 3)) {
		Value *in[3] = {counter_test(g), s.v, y.v};
		return finish(g, emit(g, OpWhere, 3, in, 0, NULL, NULL), s.bound, 0, true);
	}
	s.bound = is_floating(t) ? s.bound : greatest(t);
	return binary(g, is_floating(t) ? (Op[]){OpMin, OpMax}[pick(g, 2)] : t == Bool ? of_bools[pick(g, 3)] : of_ints[pick(g, 5)], s, y);
}

static void name_symbol(Gen *g, Node *n, AttrId id, SymKind kind, const char *stem)
{
	need(g, g->m->nsym < MaxSyms);
	set_attr(g->m, n, mk_text(g->m, id, fresh_sym(g->m, stem)->name));
	define_sym(g->m, n, id, kind);
}

/* The node with its symbols; the states before the loop are behind the condition, if there is one. */
static Node *open_loop(Gen *g, const Dim *trips, bool stops, Value *first)
{
	Value *in[2] = {stops ? const_scalar(g->m, scalar_of_int(Bool, 1))->value : first, first};
	Node *n = new_node(g->m, g->block, NULL, OpLoop, NULL, 1 + stops, in);
	set_attr(g->m, n, mk_dim(Attr_trips, trips));
	name_symbol(g, n, Attr_counter, SymLoop, "it");
	if (stops) {
		set_attr(g->m, n, mk_int(Attr_cond, 1));
		name_symbol(g, n, Attr_count, SymMeasured, "count");
	}
	return n;
}

/* The states behind a loop over the first axis of x; the slices of all iterations go to the pool. */
static Val iterate(Gen *g, Val x)
{
	const Dim *trips = x.v->type.dims[0], *one = num(g, 1), *around = g->counter;
	need(g, run_size(g, trips) <= MaxTrips && g->depth < MaxDepth && g->npool < MaxPool);
	Type row = typed(x.v->type.dtype, x.v->type.rank - 1, x.v->type.dims + 1);
	bool stops = once(g, 4), contracts = row.dtype == F32 && row.rank;
	Val first = contracts ? unary(g, OpTanh, pick_typed(g, &row)) : pick_typed(g, &row);
	need(g, contracts || first.exact);
	Node *n = open_loop(g, trips, stops, first.v);
	Value *state = add_block_param(g->m, n->body, row);
	Block *outer = g->block;
	int npool = g->npool;
	g->block = n->body;
	g->counter = dim_sym(g->m, attr_text(n, Attr_counter));
	g->depth++;
	const Dim *at = once(g, 3) ? dim_sub(g->m, dim_sub(g->m, trips, one), g->counter) : g->counter;
	Val y = chain(g, reshape(g, slice_axis(g, x, 0, at, one), row.rank, row.dims), 1 + pick(g, 3));
	Val next = contracts ? contract(g, state, y) : combine(g, state, y, first.bound);
	if (stops)
		add_yield(g->m, n->body, counter_test(g));
	add_yield(g->m, n->body, next.v);
	if (!stops)
		add_yield(g->m, n->body, once(g, 2) ? next.v : y.v);
	g->depth--;
	g->counter = around;
	g->block = outer;
	g->npool = npool;
	need(g, !add_body_results(g->m, n, NULL));
	if (!stops && n->out[1]->type.rank <= 6)
		keep(g, finish(g, n->out[1], fmax(next.bound, y.bound), fmax(next.noise, y.noise), next.exact && y.exact));
	return finish(g, n->out[0], fmax(next.bound, first.bound), fmax(next.noise, first.noise), next.exact && first.exact);
}

/* Of f32. */
static Val real_step(Gen *g, Val x)
{
	int r = x.v->type.rank;
	int64_t width = r ? fixed(x.v->type.dims[r - 1]) : -1;
	switch (pick(g, 7)) {
	case 0: return unary(g, (Op[]){OpTanh, OpRelu, OpSigmoid, OpNeg}[pick(g, 4)], x);
	case 1: return binary(g, once(g, 2) ? OpAdd : OpMul, x, pick_partner(g, &x.v->type));
	case 2: return width <= 0 ? x : once(g, 2) ? linear(g, x, width, once(g, 2)) : gates(g, x, width, once(g, 2));
	case 3: return r ? softmax(g, x, r - 1) : x;
	case 4: return once(g, 2) ? choose(g, x) : x;
	case 5: { /* a loop over something that has the rows that it needs */
		if (!once(g, 3) || !r)
			return x;
		const Dim *dims[MaxRank] = {num(g, 1 + pick(g, 4))};
		for (int d = 0; d < r; d++)
			dims[d + 1] = x.v->type.dims[d];
		Type t = sized(g, typed(F32, r + 1, dims));
		return binary(g, OpAdd, x, iterate(g, pick_typed(g, &t)));
	}
	default: return binary(g, OpSub, x, pick_typed(g, &x.v->type));
	}
}

static Val same_type_step(Gen *g, Val x)
{
	DType t = x.v->type.dtype;
	if (t == F32)
		return real_step(g, x);
	switch (pick(g, 4)) {
	case 0: return unary(g, t == Bool ? OpNot : (Op[]){OpNeg, OpAbs, OpRelu}[pick(g, 3)], x);
	case 1: return binary(g, t == Bool ? OpXor : (Op[]){OpAdd, OpMul, OpMin}[pick(g, 3)], x, pick_typed(g, &x.v->type));
	case 2: return once(g, 3) ? choose(g, x) : x;
	default: return x;
	}
}

static Val step_if(Gen *g)
{
	return choose(g, pick_own(g, 0, 3));
}

static Val step_loop(Gen *g)
{
	return iterate(g, pick_own(g, 1, 4));
}

static Val step_group(Gen *g)
{
	Val x = pick_own(g, 0, 3);
	Node *n = new_node(g->m, g->block, NULL, OpGroup, NULL, 0, NULL);
	Val y = fill_branch(g, x, n->body);
	need(g, y.v != x.v && !add_body_results(g->m, n, NULL));
	return finish(g, n->out[0], y.bound, y.noise, y.exact);
}

/* The first elements along an axis, as many as the data says; then zeros to the full extent. */
static Val step_measure(Gen *g)
{
	Val x = pick_value(g, once(g, 2) ? F32 : I64, 1, 3);
	int axis = pick(g, x.v->type.rank), r = x.v->type.rank;
	const Dim *n = x.v->type.dims[axis], *pads[2 * MaxRank];
	int64_t most = (int64_t)fmin((double)lowest(n), greatest(g->type) - 1);
	Val many = new_input(g, typed(g->type, 0, NULL), FillIndex, most + 1);
	Node *node = new_node(g->m, g->block, NULL, OpMeasure, NULL, 1, &many.v);
	set_attr(g->m, node, mk_dim(Attr_most, num(g, most)));
	name_symbol(g, node, Attr_sym, SymMeasured, "many");
	need(g, !set_type(g->m, node, NULL));
	const Dim *taken = dim_sym(g->m, attr_text(node, Attr_sym));
	Sym *s = dim_as_sym(taken);
	s->lo = 0;
	s->hi = most;
	for (int run = 0; run < NRuns; run++)
		g->syms[run][s->index] = most;
	Val y = slice_axis(g, x, axis, num(g, 0), taken);
	for (int d = 0; d < 2 * r; d++)
		pads[d] = d == r + axis ? dim_sub(g->m, n, taken) : num(g, 0);
	Attr a = mk_dims(g->m, Attr_pads_dim, 2 * r, pads);
	return moved(g, x, emit(g, OpPad, 1, &y.v, 1, &a, NULL));
}

#endif
