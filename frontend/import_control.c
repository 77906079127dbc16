/* import_control.c - what If, Loop and Scan share: their bodies, sizes that change, and a loop around a body.
 *
 * A condition that is known takes its branch at once.  Everything else becomes the `if` and `loop` of the IR, with the
 * bodies imported in place: they see the names around them, and an iteration number is a symbol, so that what a body
 * cuts out of a sequence is a view.
 */
#include "build.h"
#include "check.h"
#include "control.h"
#include "import.h"

const OnnxGraph *body_of(Call *c, const char *attr)
{
	const OnnxAttr *a = onnx_attr(c, attr);
	if (!a || !a->g)
		fatal_at(c->loc, "attribute '%s' is missing", attr);
	if (c->scope->depth >= MaxBodies)
		fatal_at(c->loc, "bodies are nested too deeply");
	check_graph(c->im, a->g, c->opset);
	exit_if_errors();
	return a->g;
}

void set_sizes(Call *c, Node *n, const Sizes *s)
{
	set_attr(c->m, n, mk_dims(c->m, Attr_sizes, s->n, s->triples));
	for (int i = 0; i < s->n; i += 3)
		give_sym(c->m, n, dim_as_sym(s->triples[i]), SymMeasured);
}

void start_body(LoopImport *l, const Dim **syms)
{
	Call *c = l->c;
	l->n = new_node(c->m, c->im->block, NULL, OpLoop, c->loc, 0, NULL);
	set_attr(c->m, l->n, mk_text(c->m, Attr_counter, dim_as_sym(l->counter)->name));
	set_attr(c->m, l->n, mk_dim(Attr_trips, l->trips));
	define_sym(c->m, l->n, Attr_counter, SymLoop);
	for (int i = 0; i < l->ncarried; i++) {
		Type t = l->first[i]->type;
		for (int d = 0; d < t.rank; d++)
			if (l->grows[i * MaxRank + d]) {
				const Dim **sym = &syms[i * MaxRank + d];
				*sym = *sym ? *sym : dim_sym(c->m, new_symbol(c, "size", 0)->name);
				give_sym(c->m, l->n, dim_as_sym(*sym), SymMeasured);
				t.dims[d] = *sym;
			}
		add_block_param(c->m, l->n->body, t);
	}
}

/* Imports the body into l->n; `out` gets its outputs. */
static void fill_body(LoopImport *l, Value **out)
{
	Call *c = l->c;
	Block *outer = c->im->block;
	Value **in = arena_alloc(c->im->scratch, (l->nin + 1) * sizeof *in);
	Item *items = arena_alloc(c->im->scratch, (l->nin + l->g->n_output + 1) * sizeof *items), *results = items + l->nin;
	c->im->block = l->n->body;
	l->inputs(l, l->n->body->params, in);
	for (int i = 0; i < l->nin; i++)
		items[i] = (Item){.tensor = in[i]};
	import_body(c, l->g, l->n->body, l->nin, items, l->g->n_output, results);
	for (size_t i = 0; i < l->g->n_output; i++)
		out[i] = need_tensor(c, results[i], arena_printf(c->im->scratch, "output %zu of the body", i));
	for (int i = 0; l->length && i < l->ncarried; i++) {
		Value *counts = emit2(c, OpLt, emit_dims(c, 0, 1, &l->counter), l->length), **next = &out[l->yields_cond + i];
		*next = emit3(c, OpWhere, counts, *next, l->n->body->params[i]);
	}
	c->im->block = outer;
}

/* Whether a carried dim has turned out to change that was not expected to. */
static bool find_growth(LoopImport *l, Value *const *next)
{
	bool found = false;
	for (int i = 0; i < l->ncarried; i++) {
		const Type *a = &l->n->body->params[i]->type, *b = &next[i]->type;
		if (a->dtype != b->dtype || a->rank != b->rank)
			refuse_at(l->c->loc, "not supported: carried value %d is %s before and %s behind an iteration", i,
			         type_text(l->c->m, a), type_text(l->c->m, b));
		for (int d = 0; d < a->rank; d++)
			if (a->dims[d] != b->dims[d] && !l->grows[i * MaxRank + d])
				found = l->grows[i * MaxRank + d] = true;
	}
	return found;
}

/* Does d use a symbol that the body of n defines? */
static bool uses_inner_symbol(Call *c, const Node *n, const Dim *d)
{
	for (int i = 0; i < c->m->nsym; i++) {
		const Sym *s = c->m->syms[i];
		const Node *def = is_given(s) || !dim_uses_sym(d, s) ? NULL : s->def;
		while (def && def != n)
			def = def->block->owner;
		if (def)
			return true;
	}
	return false;
}

/* The carried dim number i (of MaxRank each) before the first iteration. */
static const Dim *first_dim(const LoopImport *l, int i)
{
	return l->first[i / MaxRank]->type.dims[i % MaxRank];
}

/* What iterations give is stacked, so it has the same size in each, that of the first: checked where it could change. */
static Value *stacked_value(LoopImport *l, const Dim *const *syms, Value *out, int which)
{
	Call *c = l->c;
	const Dim **at_first = arena_alloc(c->m->arena, ((size_t)c->m->nsym + 1) * sizeof *at_first), *dims[MaxRank];
	at_first[dim_as_sym(l->counter)->index] = num(c, 0);
	for (int i = 0; i < l->ncarried * MaxRank; i++)
		if (syms[i])
			at_first[dim_as_sym(syms[i])->index] = first_dim(l, i);
	for (int d = 0; d < out->type.rank; d++) {
		dims[d] = dim_subst(c->m, out->type.dims[d], at_first);
		if (uses_inner_symbol(c, l->n, dims[d]))
			refuse_at(c->loc, "not supported: output %d of the body has a size that the data of each iteration decides: %s", which,
			         type_text(c->m, &out->type));
		require_equal(c, out->type.dims[d], dims[d], "the size in each iteration and in the first");
	}
	return emit_reshape(c, out, out->type.rank, dims);
}

/* A carried dim has one value behind the loop, where its symbol had others in the iterations. */
static void fix_results(LoopImport *l, const Dim *const *syms)
{
	Call *c = l->c;
	for (int i = 0; i < l->ncarried; i++) {
		Type t = l->n->out[i]->type;
		for (int d = 0; d < t.rank; d++)
			if (syms[i * MaxRank + d])
				t.dims[d] = fix_dim(c, syms[i * MaxRank + d], "size", NULL);
		l->results[i] = emit_reshape(c, l->n->out[i], t.rank, t.dims);
	}
	for (int i = l->ncarried; i < l->n->nout; i++)
		l->results[i] = l->n->out[i];
}

void close_loop(LoopImport *l, const Dim *const *syms, Value *const *out)
{
	Call *c = l->c;
	Node *n = l->n;
	Sizes sizes = {.n = 0};
	int from = l->yields_cond, nout = l->g->n_output;
	Block *outer = c->im->block;
	c->im->block = n->body;
	if (l->cond) {
		if (out[0]->type.dtype != Bool || !dim_equals(type_numel(c->m, &out[0]->type), 1))
			fatal_at(c->loc, "the body's condition is %s, expected one bool", type_text(c->m, &out[0]->type));
		add_yield(c->m, n->body, emit_reshape(c, out[0], 0, NULL));
		append_in(c->m, n, l->cond);
		set_attr(c->m, n, mk_int(Attr_cond, 1));
		const Dim *count = dim_sym(c->m, new_symbol(c, "count", 0)->name);
		set_attr(c->m, n, mk_text(c->m, Attr_count, dim_as_sym(count)->name));
		define_sym(c->m, n, Attr_count, SymMeasured);
	}
	for (int i = from; i < nout; i++)
		add_yield(c->m, n->body, i < from + l->ncarried ? out[i] : stacked_value(l, syms, out[i], i));
	c->im->block = outer;
	for (int i = 0; i < l->ncarried; i++)
		append_in(c->m, n, l->first[i]);
	for (int i = 0; i < l->ncarried * MaxRank; i++) {
		if (!syms[i])
			continue;
		if (sizes.n == (int)(sizeof sizes.triples / sizeof *sizes.triples))
			refuse_at(c->loc, "not supported: more than %d dims that change in a loop", sizes.n / 3);
		sizes.triples[sizes.n++] = syms[i];
		sizes.triples[sizes.n++] = first_dim(l, i);
		sizes.triples[sizes.n++] = out[from + i / MaxRank]->type.dims[i % MaxRank];
	}
	set_sizes(c, n, &sizes);
	const char *wrong = add_body_results(c->m, n, NULL);
	if (wrong)
		type_error(c->m, n->op, c->loc, wrong);
	l->results = arena_alloc(c->im->scratch, ((size_t)n->nout + 1) * sizeof *l->results);
	fix_results(l, syms);
}

/* A body is imported again when a carried dim turns out to change, with a symbol in its place: once for each such dim
 * at most. */
Node *import_iterations(LoopImport *l)
{
	Call *c = l->c;
	int slots = l->ncarried * MaxRank;
	const Dim **syms = arena_alloc(c->im->scratch, (slots + 1) * sizeof *syms);
	Value **out = arena_alloc(c->im->scratch, (l->g->n_output + 1) * sizeof *out);
	l->grows = arena_alloc(c->im->scratch, slots + 1);
	l->counter = dim_sym(c->m, fresh_sym(c->m, "it")->name);
	if (l->g->n_output < (size_t)l->yields_cond + l->ncarried)
		fatal_at(c->loc, "the body has %zu outputs for %d carried values", l->g->n_output, l->ncarried);
	const int ntaken = c->im->file->ntaken;
	for (;;) { /* what an import that goes again has demanded of sizes goes with its body */
		c->im->file->ntaken = ntaken;
		start_body(l, syms);
		fill_body(l, out);
		if (!find_growth(l, out + l->yields_cond))
			break;
		erase_node(l->n);
	}
	close_loop(l, syms, out);
	return l->n;
}
