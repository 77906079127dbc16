/* import_loop.c - Loop: a `loop` of the IR, or, where it carries lists, each iteration in its place. */
#include "build.h"
#include "control.h"
#include "import.h"

#include <string.h>

/* The number of iterations that input 0 allows; what depends on the data is measured. */
static const Dim *loop_trips(Call *c)
{
	int n;
	Module *m = c->m;
	Value *v = c->in[0];
	const Dim *zero = dim_const(m, 0), *most = dim_const(m, DimMax);
	if (!v)
		return most;
	const Dim *const *known = known_dims(c, v, &n);
	if (!dim_equals(type_numel(m, &v->type), 1))
		fatal_at(c->loc, "the trip count is %s, expected one integer", type_text(m, &v->type));
	if (!known)
		ask_values(c, v);
	if (!known && measure_elements(c, v))
		known = known_dims(c, v, &n);
	if (!known)
		fatal_at(c->loc, "the trip count is %s, expected one integer", type_text(m, &v->type));
	return dim_min(m, dim_max(m, known[0], zero), most);
}

/* Iteration number, condition (which holds while the body runs), carried values. */
static void loop_inputs(LoopImport *l, Value *const *carried, Value **in)
{
	in[0] = emit_dims(l->c, 0, 1, &l->counter);
	in[1] = emit_const(l->c, Bool, 1);
	for (int i = 0; i < l->ncarried; i++)
		in[2 + i] = carried[i];
}

/* The condition as known at import: 0, 1, or -1 where the data decides. */
static int known_condition(Call *c, Value *cond)
{
	int n;
	const Dim *const *known = known_dims(c, cond, &n);
	if (!dim_equals(type_numel(c->m, &cond->type), 1) || cond->type.dtype != Bool)
		fatal_at(c->loc, "the condition is %s, expected one bool", type_text(c->m, &cond->type));
	return !known || !dim_is_const(known[0], NULL) ? -1 : !dim_equals(known[0], 0);
}

/* Does a node in here, or in a body of it, read a list from around? */
static bool reads_lists(const Scope *around, const OnnxGraph *g)
{
	for (size_t i = 0; i < g->n_node; i++) {
		const OnnxNode *n = g->node[i];
		for (size_t k = 0; k < n->n_input; k++)
			for (const Scope *s = around; s; s = s->outer) {
				const Item *item = get_name(&s->values, n->input[k]);
				if (item && item->list)
					return true;
			}
		for (size_t k = 0; k < n->n_attribute; k++)
			if (n->attribute[k]->g && reads_lists(around, n->attribute[k]->g))
				return true;
	}
	return false;
}

/* n tensors along a new axis. */
Value *stack_tensors(Call *c, int n, Value *const *in, int axis)
{
	Value **wide = arena_alloc(c->im->scratch, n * sizeof *wide);
	Attr along = mk_int(Attr_axis, axis);
	for (int i = 0; i < n; i++) {
		const Dim *dims[MaxRank + 1];
		for (int d = 0; d <= in[i]->type.rank; d++)
			dims[d] = d == axis ? num(c, 1) : in[i]->type.dims[d - (d > axis)];
		wide[i] = emit_reshape(c, in[i], in[i]->type.rank + 1, dims);
	}
	return n == 1 ? wide[0] : emit(c, OpConcat, n, wide, 1, &along, NULL);
}

/* A loop over lists is its iterations one after the other, so their number must be known. */
static void unroll_loop(Call *c, const OnnxGraph *g, const Dim *trips)
{
	Import *im = c->im;
	int nin = c->nin < 2 ? 2 : c->nin, ncarried = nin - 2, nstacked = (int)g->n_output - 1 - ncarried, done = 0;
	int n = 0, cap = 0;
	Value **stacked = NULL; /* those of one iteration after those of another */
	int64_t most;
	int cond = c->nin > 1 && c->in[1] ? known_condition(c, c->in[1]) : 1;
	if (!dim_is_const(trips, &most))
		refuse_at(c->loc, "not supported: a loop over sequences runs %s times, which is not known here", dim_text(c->m, trips));
	Item *in = arena_alloc(im->scratch, nin * sizeof *in), *out = arena_alloc(im->scratch, (g->n_output + 1) * sizeof *out);
	for (int i = 2; i < nin; i++)
		in[i] = input_item(c, i);
	for (; done < most && cond; done++) {
		const Dim *at = num(c, done);
		if (cond < 0)
			refuse_at(c->loc, "not supported: the data decides how often a loop over sequences runs");
		count_inlined(im, 1 + (int64_t)g->n_output, c->loc);
		in[0] = (Item){.tensor = emit_dims(c, 0, 1, &at)};
		in[1] = (Item){.tensor = emit_const(c, Bool, 1)};
		import_body(c, g, im->block, nin, in, g->n_output, out);
		cond = c->nin > 1 && c->in[1] ? known_condition(c, need_tensor(c, out[0], "the body's condition")) : 1;
		memcpy(in + 2, out + 1, ncarried * sizeof *in);
		for (int i = 0; i < nstacked; i++)
			PUSH(im->scratch, stacked, n, cap, need_tensor(c, out[1 + ncarried + i], "an output that is stacked"));
	}
	if (!done && c->nout > ncarried)
		refuse_at(c->loc, "not supported: a loop over sequences that stacks tensors, and has no iterations");
	for (int i = 0; i < c->nout && i < ncarried; i++)
		set_output(c, i, in[2 + i]);
	for (int i = 0; i < nstacked && ncarried + i < c->nout; i++) {
		Value **one = arena_alloc(im->scratch, done * sizeof *one);
		for (int k = 0; k < done; k++)
			one[k] = stacked[k * nstacked + i];
		c->out[ncarried + i] = stack_tensors(c, done, one, 0);
	}
}

void import_loop(Call *c)
{
	const OnnxGraph *g = body_of(c, "body");
	LoopImport l = {.c = c, .g = g, .yields_cond = true, .ncarried = c->nin > 2 ? c->nin - 2 : 0, .first = c->in + 2,
	                .inputs = loop_inputs};
	l.nin = l.ncarried + 2;
	if (g->n_input != (size_t)l.nin)
		fatal_at(c->loc, "the body has %zu inputs, the loop gives it %d", g->n_input, l.nin);
	if (g->n_output < (size_t)l.ncarried + 1)
		fatal_at(c->loc, "the body has %zu outputs for %d carried values", g->n_output, l.ncarried);
	bool lists = false;
	for (int i = 0; i < c->nin; i++) {
		if (i >= 2 && !c->in[i] && !c->lists[i])
			fatal_at(c->loc, "input %d is missing", i);
		if (i < 2 && c->lists[i])
			need_tensor(c, input_item(c, i), i ? "the condition" : "the trip count");
		lists |= c->lists[i] != NULL;
	}
	l.trips = loop_trips(c);
	if (lists || (dim_is_const(l.trips, NULL) && reads_lists(c->scope, g))) {
		unroll_loop(c, g, l.trips);
		return;
	}
	if (c->nin > 1 && c->in[1]) {
		if (!known_condition(c, c->in[1]))
			l.trips = dim_const(c->m, 0);
		l.cond = emit_reshape(c, c->in[1], 0, NULL);
	}
	Node *loop = import_iterations(&l);
	for (int i = 0; i < c->nout && i < loop->nout; i++)
		c->out[i] = l.results[i];
}
