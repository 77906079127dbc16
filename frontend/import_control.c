/* import_control.c - If, Loop and Scan.
 *
 * A condition that is known takes its branch at once.  Everything else becomes the `if` and `loop` of the IR, with the
 * bodies imported in place: they see the names around them, and an iteration number is a symbol, so that what a body
 * cuts out of a sequence is a view.
 */
#include "build.h"
#include "check.h"
#include "import.h"

#include <string.h>

enum { MaxBodies = 32 };

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

/* The results with which an if or a loop yields an item, in order. */
static void yield_item(Call *c, Block *b, Item item)
{
	if (item.tensor)
		add_yield(c->m, b, item.tensor);
	for (int i = 0; item.list && i < item.list->n; i++)
		add_yield(c->m, b, item.list->items[i]);
}

/* ---- sizes: dims that depend on the branch or the iteration ------------------------------------------------------ */

typedef struct Sizes {
	const Dim *triples[3 * MaxRank * 8];
	int n; /* dims in triples */
} Sizes;

/* The symbol that is `a` here and `b` there. */
static const Dim *size_symbol(Call *c, Sizes *s, const Dim *a, const Dim *b)
{
	int64_t alo, ahi, blo, bhi;
	for (int i = 0; i < s->n; i += 3)
		if (s->triples[i + 1] == a && s->triples[i + 2] == b)
			return s->triples[i];
	if (s->n == (int)(sizeof s->triples / sizeof *s->triples))
		refuse_at(c->loc, "not supported: more than %d dims that depend on the data", s->n / 3);
	Sym *size = new_symbol(c, "size", 0);
	const Dim *sym = dim_sym(c->m, size->name);
	dim_range(a, &alo, &ahi);
	dim_range(b, &blo, &bhi);
	int64_t hi = ahi > bhi ? ahi : bhi;
	size->hi = hi < size->hi ? hi : size->hi;
	s->triples[s->n++] = sym;
	s->triples[s->n++] = a;
	s->triples[s->n++] = b;
	return sym;
}

static void set_sizes(Call *c, Node *n, const Sizes *s)
{
	set_attr(c->m, n, mk_dims(c->m, Attr_sizes, s->n, s->triples));
	for (int i = 0; i < s->n; i += 3)
		give_sym(c->m, n, dim_as_sym(s->triples[i]), SymMeasured);
}

/* ---- If ---------------------------------------------------------------------------------------------------------- */

/* Returns its outputs; those that somebody wants are yielded if it is a block of its own. */
static Item *import_branch(Call *c, const OnnxGraph *g, Block *b)
{
	Item *out = arena_alloc(c->im->scratch, (c->nout + 1) * sizeof *out);
	if ((size_t)c->nout > g->n_output)
		fatal_at(c->loc, "the branch has %zu outputs", g->n_output);
	import_body(c, g, b, 0, NULL, c->nout, out);
	for (int i = 0; i < c->nout && b != c->im->block; i++)
		if (c->wanted[i])
			yield_item(c, b, out[i]);
	return out;
}

/* Are both tensors of one rank, or sequences of one length? */
static bool same_structure(Item a, Item b)
{
	if (!a.list || !b.list)
		return !a.list && !b.list && a.tensor->type.rank == b.tensor->type.rank;
	for (int i = 0; i < a.list->n && i < b.list->n; i++)
		if (a.list->items[i]->type.rank != b.list->items[i]->type.rank)
			return false;
	return a.list->n == b.list->n && a.list->none == b.list->none && a.list->dtype == b.list->dtype;
}

/* The n-th result on, in the place of `like`. */
static Item take_results(Call *c, Item like, Node *n, int *at)
{
	if (like.tensor)
		return (Item){.tensor = n->out[(*at)++]};
	List *list = new_list(c->im, like.list->dtype, like.list->n, c->loc);
	list->none = like.list->none;
	for (int i = 0; i < list->n; i++)
		list->items[i] = n->out[(*at)++];
	return (Item){.list = list};
}

/* The type of a result that is a or b. */
static Type joint_type(Call *c, Sizes *s, const Type *a, const Type *b)
{
	Type t = *a;
	if (a->dtype != b->dtype)
		fatal_at(c->loc, "the branches give %s and %s", type_text(c->m, a), type_text(c->m, b));
	for (int d = 0; d < t.rank; d++)
		if (a->dims[d] != b->dims[d] || is_measured_dim(a->dims[d]))
			t.dims[d] = size_symbol(c, s, a->dims[d], b->dims[d]);
	return t;
}

/* The place of c's node, for when this import has ended. */
static Loc lasting_loc(Call *c)
{
	Loc loc = *c->loc;
	loc.node = arena_strdup(c->im->scratch, loc.node);
	loc.op = arena_strdup(c->im->scratch, loc.op);
	loc.file = c->im->file->path;
	return loc;
}

/* Ends the import, to find out which branch fits what follows. */
static _Noreturn void open_dispute(Call *c, Item yes, Item no)
{
	Arena *a = c->im->scratch;
	Dispute *d = &c->im->file->dispute;
	*d = (Dispute){c->node, c->scope->place, lasting_loc(c), arena_printf(a, "%s and %s", item_text(c->im, yes), item_text(c->im, no))};
	longjmp(*c->im->again, 1);
}

typedef struct Branch {
	Call *c;
	const OnnxGraph *g;
	Block *block;
	const Item *out;
	char why[512]; /* it cannot be */
} Branch;

static void import_as_attempt(void *branch)
{
	Branch *b = branch;
	b->out = import_branch(b->c, b->g, b->block);
}

/* False: the branch is an error, as where dims are fixed that another branch is for. */
static bool try_branch(Branch *b)
{
	return diag_try(import_as_attempt, b, b->why, sizeof b->why);
}

static Branch branch_of(Call *c, bool yes, Block *block)
{
	return (Branch){.c = c, .g = body_of(c, yes ? "then_branch" : "else_branch"), .block = block};
}

/* A branch that is an error ends the import; the next one takes the other branch. */
static const Item *import_possible_branch(Call *c, bool yes, Block *block)
{
	OnnxFile *file = c->im->file;
	Branch b = branch_of(c, yes, block);
	if (try_branch(&b))
		return b.out;
	if (file->nchoice == MaxChoices)
		refuse_at(c->loc, "not supported: more than %d branches that cannot be; the last: %s", MaxChoices, b.why);
	file->choices[file->nchoice++] = (Choice){c->node, c->scope->place, !yes, arena_strdup(c->im->scratch, b.why), lasting_loc(c)};
	longjmp(*c->im->again, 1);
}

/* v, or a status of the run where `wrong` is 1 instead of 0. */
static Value *guarded(Call *c, Value *v, Value *wrong)
{
	const Dim *dims[MaxRank + 1] = {num(c, 1)};
	Attr axis = mk_int(Attr_axis, 0);
	memcpy(dims + 1, v->type.dims, v->type.rank * sizeof *dims);
	Value *one = emit_reshape(c, v, v->type.rank + 1, dims);
	return emit(c, OpGather, 2, (Value *[]){one, wrong}, 1, &axis, NULL);
}

/* Only one branch can be, or fits what follows: it is taken; a run where the condition takes the other one ends in a status. */
static void import_fitting_branch(Call *c, Value *cond, const Choice *choice)
{
	int n;
	const bool yes = choice->yes;
	Branch b = branch_of(c, yes, c->im->block);
	if (!choice->why)
		import_as_attempt(&b);
	else if (!try_branch(&b))
		fatal_at(c->loc, "both branches are errors: %s; %s", choice->why, b.why);
	const Item *out = b.out;
	const Dim *const *known = known_dims(c, cond, &n);
	if (known && !is_measured_dim(known[0])) {
		require_equal(c, known[0], num(c, yes), "the condition, and the one that the branch that fits needs");
		for (int i = 0; i < c->nout; i++)
			set_output(c, i, out[i]);
		return;
	}
	Value *wrong = emit_cast(c, yes ? emit1(c, OpNot, cond) : cond, I64);
	bool guards = false;
	for (int i = 0; i < c->nout; i++) {
		Item item = out[i];
		List *list = item.list ? new_list(c->im, item.list->dtype, item.list->n, c->loc) : NULL;
		for (int k = 0; list && k < list->n; k++)
			list->items[k] = guarded(c, item.list->items[k], wrong);
		if (list)
			list->none = item.list->none;
		guards |= item.tensor || list->n;
		set_output(c, i, list ? (Item){.list = list} : (Item){.tensor = guarded(c, item.tensor, wrong)});
	}
	if (!guards)
		refuse_at(c->loc, "not supported: the data decides between %s and something else", item_text(c->im, out[0]));
}

static bool same_place(const Place *a, const Place *b)
{
	for (; a && b && a != b; a = a->outer, b = b->outer)
		if (a->node != b->node || a->body != b->body || a->number != b->number)
			return false;
	return a == b;
}

static void import_open_if(Call *c)
{
	Value *cond = c->in[0];
	Sizes sizes = {.n = 0};
	OnnxFile *file = c->im->file;
	if (cond->type.dtype != Bool || !dim_equals(type_numel(c->m, &cond->type), 1))
		fatal_at(c->loc, "the condition is %s, expected one bool", type_text(c->m, &cond->type));
	cond = emit_reshape(c, cond, 0, NULL);
	for (int i = 0; i < file->nchoice; i++)
		if (file->choices[i].node == c->node && same_place(file->choices[i].place, c->scope->place)) {
			file->taken[file->ntaken++] = i;
			import_fitting_branch(c, cond, &file->choices[i]);
			return;
		}
	Node *n = new_node(c->m, c->im->block, NULL, OpIf, c->loc, 1, &cond);
	const Item *yes = import_possible_branch(c, true, n->body);
	const Item *no = import_possible_branch(c, false, n->other);
	for (int i = 0; i < c->nout; i++)
		if (c->wanted[i] && !same_structure(yes[i], no[i]))
			open_dispute(c, yes[i], no[i]);
	Type *types = arena_alloc(c->m->arena, (n->body->nyield + 1) * sizeof *types);
	for (int i = 0; i < n->body->nyield; i++)
		types[i] = joint_type(c, &sizes, &n->body->yields[i]->type, &n->other->yields[i]->type);
	set_sizes(c, n, &sizes);
	const char *wrong = add_body_results(c->m, n, types);
	if (wrong)
		type_error(c->m, n->op, c->loc, wrong);
	for (int i = 0, k = 0; i < c->nout; i++)
		if (c->wanted[i])
			set_output(c, i, take_results(c, yes[i], n, &k));
}

void import_if(Call *c)
{
	int n;
	const Dim *const *cond = known_dims(c, need_tensor(c, input_item(c, 0), "the condition"), &n);
	if (!cond || n != 1 || !dim_is_const(cond[0], NULL)) {
		import_open_if(c);
		return;
	}
	const OnnxGraph *g = body_of(c, dim_equals(cond[0], 0) ? "else_branch" : "then_branch");
	const Item *out = import_branch(c, g, c->im->block);
	for (int i = 0; i < c->nout; i++)
		set_output(c, i, out[i]);
}

/* ---- loops: what Loop and Scan share ----------------------------------------------------------------------------- */

typedef struct LoopImport {
	Call *c;
	const OnnxGraph *g;
	const Dim *trips; /* most iterations */
	Value *cond; /* the first condition; NULL: the body's is not looked at */
	bool yields_cond; /* output 0 of the body is one */
	int ncarried;
	Value **first; /* of the carried values */
	const Dim *counter;
	Value *length; /* iterations from there on do not count: carried values stay; NULL: all do */
	bool *grows; /* [carried][MaxRank]: the dim changes from one iteration to the next */
	Node *n; /* being built */
	Value **results; /* once it is */
	/* The body's inputs, given its carried values; emits what cuts them out. */
	void (*inputs)(struct LoopImport *, Value *const *carried, Value **in);
	const void *ctx;
	int nin; /* of the body */
} LoopImport;

static void start_body(LoopImport *l, const Dim **syms)
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

static void close_loop(LoopImport *l, const Dim *const *syms, Value *const *out)
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
static Node *import_iterations(LoopImport *l)
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

/* ---- Loop -------------------------------------------------------------------------------------------------------- */

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

/* ---- Scan -------------------------------------------------------------------------------------------------------- */

typedef struct ScanInputs {
	int n; /* scanned */
	int axis[MaxBodies];
	bool reverse[MaxBodies];
	Value **in;
} ScanInputs;

static int64_t entry(const int64_t *list, int n, int i, int64_t dflt)
{
	return i < n ? list[i] : dflt;
}

/* x[length - 1 - counter], x[0] from there on. */
static Value *slice_from_end(LoopImport *l, Value *x)
{
	Call *c = l->c;
	const Dim *next = dim_add(c->m, l->counter, num(c, 1));
	Value *at = emit2(c, OpSub, l->length, emit_dims(c, 0, 1, &next));
	Attr axis = mk_int(Attr_axis, 0);
	return emit(c, OpGather, 2, (Value *[]){x, emit2(c, OpMax, at, emit_const(c, I64, 0))}, 1, &axis, NULL);
}

/* Carried values, then the slice of each scanned input at the iteration's place. */
static void scan_inputs(LoopImport *l, Value *const *carried, Value **in)
{
	Call *c = l->c;
	const ScanInputs *s = l->ctx;
	for (int i = 0; i < l->ncarried; i++)
		in[i] = carried[i];
	for (int i = 0; i < s->n; i++) {
		Value *x = s->in[i];
		const Dim *last = dim_sub(c->m, l->trips, num(c, 1)), *dims[MaxRank];
		const Dim *at = s->reverse[i] ? dim_sub(c->m, last, l->counter) : l->counter;
		int rank = 0;
		for (int d = 0; d < x->type.rank; d++)
			if (d != s->axis[i])
				dims[rank++] = x->type.dims[d];
		Value *slice = s->reverse[i] && l->length ? slice_from_end(l, x) : emit_range(c, x, s->axis[i], at, num(c, 1), 1);
		in[l->ncarried + i] = emit_reshape(c, slice, rank, dims);
	}
}

static void read_scan_inputs(Call *c, ScanInputs *s, int ncarried, LoopImport *l)
{
	const int64_t *axes, *directions;
	int naxis = onnx_ints(c, "scan_input_axes", &axes), ndirection = onnx_ints(c, "scan_input_directions", &directions);
	s->in = c->in + ncarried;
	for (int i = 0; i < s->n; i++) {
		if (!s->in[i])
			fatal_at(c->loc, "input %d is missing", ncarried + i);
		s->axis[i] = norm_axis(c, entry(axes, naxis, i, 0), s->in[i]->type.rank);
		s->reverse[i] = entry(directions, ndirection, i, 0) != 0;
		const Dim *len = s->in[i]->type.dims[s->axis[i]];
		if (l->trips)
			require_equal(c, l->trips, len, "lengths of the scanned inputs");
		else
			l->trips = len;
	}
}

/* A stacked result has the iterations as its first axis, in their order. */
static Value *scan_output(Call *c, Value *v, int64_t axis, bool reverse)
{
	int perm[MaxRank], to = norm_axis(c, axis, v->type.rank);
	const Dim *len = v->type.dims[0];
	if (reverse)
		v = emit_range(c, v, 0, dim_sub(c->m, len, num(c, 1)), len, -1);
	for (int d = 0; d < v->type.rank; d++)
		perm[d] = d < to ? d + 1 : d == to ? 0 : d;
	return emit_transpose(c, v, perm);
}

void import_scan(Call *c)
{
	const int64_t *axes, *directions;
	const OnnxGraph *g = body_of(c, "body");
	ScanInputs s = {.n = onnx_int(c, "num_scan_inputs", 0)};
	LoopImport l = {.c = c, .g = g, .ncarried = c->nin - s.n, .first = c->in, .inputs = scan_inputs, .ctx = &s, .nin = c->nin};
	if (s.n < 1 || s.n > c->nin || s.n > MaxBodies || g->n_input != (size_t)c->nin)
		fatal_at(c->loc, "%d inputs, of which %d are scanned, and a body with %zu inputs", c->nin, s.n, g->n_input);
	for (int i = 0; i < l.ncarried; i++)
		if (!l.first[i])
			fatal_at(c->loc, "input %d is missing", i);
	read_scan_inputs(c, &s, l.ncarried, &l);
	Node *loop = import_iterations(&l);
	int naxis = onnx_ints(c, "scan_output_axes", &axes), ndirection = onnx_ints(c, "scan_output_directions", &directions);
	for (int i = 0; i < c->nout && i < loop->nout; i++) {
		int k = i - l.ncarried;
		c->out[i] = k < 0 ? l.results[i]
		                  : scan_output(c, l.results[i], entry(axes, naxis, k, 0), entry(directions, ndirection, k, 0) != 0);
	}
}

/* x[b], where b counts the batch. */
static Value *batch_slice(Call *c, Value *x, const Dim *b)
{
	return emit_reshape(c, emit_range(c, x, 0, b, num(c, 1), 1), x->type.rank - 1, x->type.dims + 1);
}

/* The extents of axis 0 (and, of scanned inputs, of axis 1) are the same. */
static const Dim *common_extent(Call *c, int from, int axis, const char *what)
{
	const Dim *extent = NULL;
	for (int i = from; i < c->nin; i++) {
		const Value *v = c->in[i];
		if (!v || v->type.rank <= axis)
			fatal_at(c->loc, "input %d is %s, expected a rank of at least %d", i, item_text(c->im, input_item(c, i)), axis + 1);
		if (extent)
			require_equal(c, extent, v->type.dims[axis], what);
		else
			extent = v->type.dims[axis];
	}
	return extent;
}

/* Opset 8: a scan for each of a batch, of `sequence_lens` iterations.  One loop over the batch, and in it one over the sequence, whose
 * iterations behind a length change nothing. */
void import_batched_scan(Call *c)
{
	enum { First = 1 };
	const int64_t *directions;
	int ndirection = onnx_ints(c, "directions", &directions), nin = c->nin - First;
	const OnnxGraph *g = body_of(c, "body");
	ScanInputs s = {.n = onnx_int(c, "num_scan_inputs", 0)};
	if (s.n < 1 || s.n > nin || s.n > MaxBodies || g->n_input != (size_t)nin)
		fatal_at(c->loc, "%d inputs, of which %d are scanned, and a body with %zu inputs", nin, s.n, g->n_input);
	LoopImport batch = {.c = c, .g = g, .trips = common_extent(c, First, 0, "extents of the batch")};
	LoopImport l = {.c = c, .g = g, .ncarried = nin - s.n, .inputs = scan_inputs, .ctx = &s, .nin = nin};
	l.trips = common_extent(c, c->nin - s.n, 1, "lengths of the scanned inputs");
	if (c->in[0] && (c->in[0]->type.rank != 1 || dtypes[c->in[0]->type.dtype].cls != ClassSigned))
		fatal_at(c->loc, "input 'sequence_lens' is %s", type_text(c->m, &c->in[0]->type));
	if (c->in[0])
		require_equal(c, c->in[0]->type.dims[0], batch.trips, "number of sequence_lens and extent of the batch");
	Value **slices = arena_alloc(c->im->scratch, nin * sizeof *slices);
	batch.counter = dim_sym(c->m, fresh_sym(c->m, "batch")->name);
	start_body(&batch, NULL);
	Block *outer = c->im->block;
	c->im->block = batch.n->body;
	for (int i = 0; i < nin; i++)
		slices[i] = batch_slice(c, c->in[First + i], batch.counter);
	if (c->in[0]) {
		l.length = emit_cast(c, batch_slice(c, c->in[0], batch.counter), I64);
		l.length = emit2(c, OpMin, l.length, emit_dims(c, 0, 1, &l.trips));
	}
	l.first = slices;
	s.in = slices + l.ncarried;
	for (int i = 0; i < s.n; i++)
		s.reverse[i] = entry(directions, ndirection, i, 0) != 0;
	Node *scan = import_iterations(&l);
	c->im->block = outer;
	close_loop(&batch, NULL, scan->out);
	for (int i = 0; i < c->nout && i < batch.n->nout; i++)
		c->out[i] = batch.n->out[i];
}
