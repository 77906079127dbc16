/* import_if.c - If: the branch of a known condition at once; else an `if` of the IR, or the one branch that can be. */
#include "build.h"
#include "control.h"
#include "import.h"

#include <string.h>

/* The results with which an if or a loop yields an item, in order. */
static void yield_item(Call *c, Block *b, Item item)
{
	if (item.tensor)
		add_yield(c->m, b, item.tensor);
	for (int i = 0; item.list && i < item.list->n; i++)
		add_yield(c->m, b, item.list->items[i]);
}

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
