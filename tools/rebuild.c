/* rebuild.c - makes the module without what a plan leaves out, through the same builders and shape functions as the parser, so that types follow
 * from what is left and nonsense is refused before any command runs.
 *
 * Bodies of if and loop are rebuilt as the rest is: their nodes are among those that go, results that nobody uses go by themselves.
 */
#include "rebuild.h"

#include <stdlib.h>
#include <string.h>

/* ---- rebuilding: dims ------------------------------------------------------------------------------------------- */

typedef struct Rebuild {
	const Reducer *r;
	const Plan *p;
	Module *from, *m;
	const bool *keep_sym;
	const Dim **by; /* in place of symbols of a node that its body replaces, by Sym.index; NULL: they stay */
	bool ok;
	int result, capresult;
} Rebuild;

static void *map_constant(void *ctx, int64_t v)
{
	Rebuild *rb = ctx;
	const Plan *p = rb->p;
	if (p->extent && v >= p->extent && v % p->extent == 0 && (!p->exact || v == p->extent))
		v = v / p->extent * p->by;
	return (void *)dim_const(rb->m, v);
}

static const Dim *map_dim(Rebuild *, const Dim *);

static void *map_symbol(void *ctx, const Sym *s)
{
	Rebuild *rb = ctx;
	if (rb->p->sym == s->index + 1)
		return (void *)dim_const(rb->m, rb->p->value);
	if (rb->by[s->index])
		return (void *)map_dim(rb, rb->by[s->index]);
	return (void *)dim_sym(rb->m, s->name);
}

static void *map_binary(void *ctx, const char *op, void *a, void *b)
{
	Rebuild *rb = ctx;
	Module *m = rb->m;
	switch (*op) {
	case '+': return (void *)dim_add(m, a, b);
	case '*': return (void *)dim_mul(m, a, b);
	case '/':
	case '%':
		if (dim_equals(b, 0)) {
			rb->ok = false;
			return a;
		}
		return (void *)(*op == '/' ? dim_floordiv(m, a, b) : dim_mod(m, a, b));
	default: return (void *)(op[1] == 'i' ? dim_min(m, a, b) : dim_max(m, a, b));
	}
}

static const Dim *map_dim(Rebuild *rb, const Dim *d)
{
	return dim_visit(d, &(DimVisitor){map_constant, map_symbol, map_binary, rb});
}

static Type map_type(Rebuild *rb, const Type *t)
{
	Type out = *t;
	for (int i = 0; i < t->rank; i++)
		out.dims[i] = map_dim(rb, t->dims[i]);
	return out;
}

static void rebuild_syms(Rebuild *rb)
{
	for (int i = 0; i < rb->from->nsym; i++) {
		const Sym *s = rb->from->syms[i];
		if (rb->p->sym == i + 1 || (rb->keep_sym && !rb->keep_sym[i]))
			continue;
		Sym *copy = dim_as_sym(dim_sym(rb->m, arena_strdup(rb->m->arena, s->name)));
		copy->lo = s->lo;
		copy->hi = s->hi;
		if (!is_given(s))
			continue; /* its node will give it */
		copy->kind = s->kind;
		copy->input = s->input;
		copy->element = s->element;
		copy->times = s->times ? map_dim(rb, s->times) : NULL;
		copy->is = s->is ? map_dim(rb, s->is) : NULL;
	}
}

/* As the text declares them: nodes that use them come later. */
static void give_syms(Rebuild *rb, Node *n)
{
	static const AttrId named[] = {Attr_counter, Attr_count, Attr_sym, Attr_flag};
	const Dim *const *sizes;
	for (size_t i = 0; i < sizeof named / sizeof *named; i++)
		if (*attr_text(n, named[i]))
			define_sym(rb->m, n, named[i], named[i] == Attr_counter ? SymLoop : SymMeasured);
	for (int i = 0, count = node_sizes(n, &sizes); i < count; i++)
		if (dim_as_sym(sizes[3 * i]))
			give_sym(rb->m, n, dim_as_sym(sizes[3 * i]), SymMeasured);
}

/* ---- rebuilding: values ----------------------------------------------------------------------------------------- */

static bool in_plan(const Rebuild *rb, Kind kind, int i)
{
	return rb->p->kind == kind && i >= rb->p->from && i < rb->p->to;
}

/* The corner of the old data that the smaller type covers; it outlives the module. */
static const void *corner(const Rebuild *rb, const Const *c, const Type *t)
{
	int64_t n = const_numel(t), index[MaxRank] = {0}, size[MaxRank], old[MaxRank];
	size_t step = (size_t)dtypes[t->dtype].bytes;
	char *data = arena_alloc(rb->r->arena, (size_t)n * step);
	for (int d = 0; d < t->rank; d++)
		if (!dim_is_const(t->dims[d], &size[d]) || !dim_is_const(c->type.dims[d], &old[d]))
			bug("a constant's dim is %s", dim_text(rb->m, t->dims[d]));
	for (int64_t i = 0; i < n; i++) {
		int64_t at = 0;
		for (int d = 0; d < t->rank; d++)
			at = at * old[d] + index[d];
		memcpy(data + (size_t)i * step, (const char *)c->data + (size_t)at * step, step);
		for (int d = t->rank - 1; d >= 0 && ++index[d] == size[d]; d--)
			index[d] = 0;
	}
	return data;
}

static Value *rebuild_const(Rebuild *rb, const Const *c)
{
	Type t = map_type(rb, &c->type);
	bool same = true;
	for (int d = 0; d < t.rank; d++) {
		int64_t was, is;
		dim_is_const(c->type.dims[d], &was);
		dim_is_const(t.dims[d], &is);
		same &= was == is;
	}
	size_t bytes = (size_t)const_numel(&t) * (size_t)dtypes[t.dtype].bytes;
	Const *copy = new_const(rb->m, c->name, t, same ? c->data : corner(rb, c, &t), bytes);
	copy->file = same && c->file ? arena_strdup(rb->m->arena, c->file) : NULL;
	copy->offset = c->offset;
	return copy->value;
}

/* All elements become the first one. */
static Value *rebuild_splat(Rebuild *rb, const Const *c)
{
	Type t = map_type(rb, &c->type), scalar = {.dtype = t.dtype};
	Block *body = &rb->m->main->body;
	Const *one = new_const(rb->m, c->name, scalar, c->data, (size_t)dtypes[t.dtype].bytes);
	Node *n = new_node(rb->m, body, body->first, OpExpand, NULL, 1, &one->value);
	rb->ok &= set_type(rb->m, n, &t) == NULL;
	return rb->ok ? n->out[0] : one->value;
}

static int const_index(const Module *m, const Const *c)
{
	for (int i = 0; i < m->nconst; i++)
		if (m->consts[i] == c)
			return i;
	bug("constant @%s is not in its module", c->name);
}

/* The new value for an old one: what defines it, or, where that was left out, an input. */
static Value *map_value(Rebuild *rb, Value *v)
{
	if (!v->scratch && v->konst) {
		int i = const_index(rb->from, v->konst);
		bool big = const_numel(&v->type) > SmallConst;
		if (big && in_plan(rb, DropSplat, i))
			v->scratch = rebuild_splat(rb, v->konst);
		else if (!big || !in_plan(rb, DropConst, i))
			v->scratch = rebuild_const(rb, v->konst);
	}
	if (!v->scratch)
		v->scratch = new_param(rb->m, v->name, map_type(rb, &v->type));
	return v->scratch;
}

/* Elements that are symbols, as long as one of those is in use. */
static void rebuild_known(Rebuild *rb, const Value *v, Value *copy)
{
	int64_t n = v->known ? const_numel(&v->type) : 0;
	bool used = false;
	for (int64_t i = 0; i < n; i++) {
		const Sym *s = dim_as_sym(v->known[i]);
		used |= s && (!rb->keep_sym || rb->keep_sym[s->index]);
	}
	if (!used)
		return;
	copy->known = arena_alloc(rb->m->arena, (size_t)n * sizeof *copy->known);
	for (int64_t i = 0; i < n; i++)
		copy->known[i] = map_dim(rb, v->known[i]);
}

static void rebuild_params(Rebuild *rb)
{
	Func *f = rb->from->main;
	for (int i = 0; i < f->nparam; i++) {
		Value *v = f->params[i];
		if (rb->p->param == i + 1) {
			v->scratch = f->params[rb->p->same]->scratch; /* an earlier one */
			rb->ok &= !v->known;
			continue;
		}
		Value *copy = new_param(rb->m, v->name, map_type(rb, &v->type));
		copy->name = arena_strdup(rb->m->arena, v->name);
		rebuild_known(rb, v, copy);
		v->scratch = copy;
	}
	for (int i = 0; i < rb->m->nsym; i++) {
		Sym *s = rb->m->syms[i];
		s->input = s->kind == SymValue ? ((Value *)f->params[s->input]->scratch)->index : 0;
	}
}

/* ---- rebuilding: nodes ------------------------------------------------------------------------------------------ */

static const Loc *map_loc(Rebuild *rb, const Loc *l)
{
	Arena *a = rb->m->arena;
	if (!l || rb->p->locs)
		return NULL;
	return new_loc(rb->m, (Loc){.node = l->node ? arena_strdup(a, l->node) : NULL,
	                            .op = l->op ? arena_strdup(a, l->op) : NULL,
	                            .opset = l->opset});
}

static Attr map_attr(Rebuild *rb, const Node *n, const Attr *a)
{
	Attr out = *a;
	if (a->id == Attr_trips && rb->p->trips && rb->p->node == n->mark)
		return mk_dim(a->id, dim_const(rb->m, rb->p->trips - 1));
	if (a->text)
		out = mk_text(rb->m, a->id, a->text);
	if (a->dim)
		out.dim = map_dim(rb, a->dim);
	if (a->ints)
		out = mk_ints(rb->m, a->id, a->n, a->ints);
	if (a->dims) {
		const Dim **dims = arena_alloc(rb->m->arena, ((size_t)a->n + 1) * sizeof *dims);
		for (int i = 0; i < a->n; i++)
			dims[i] = map_dim(rb, a->dims[i]);
		out = mk_dims(rb->m, a->id, a->n, dims);
	}
	return out;
}

/* Those that nodes ask for come again even where they are left out here. */
static void rebuild_checks(Rebuild *rb, const Block *from, Block *to)
{
	for (int i = 0; i < from->ncheck; i++) {
		const DimCheck *c = &from->checks[i];
		DimCheck copy = {map_dim(rb, c->a), map_dim(rb, c->b), map_loc(rb, c->loc), c->broadcast};
		if (copy.a == copy.b || in_plan(rb, DropCheck, from->end + i))
			continue;
		if (dim_is_const(copy.a, NULL) && dim_is_const(copy.b, NULL))
			rb->ok = false;
		add_check(rb->m, to, copy);
	}
}

static void rebuild_block(Rebuild *, const Block *, Block *to);

/* Of a body: where its results begin among its yields. */
static int first_result(const Node *n)
{
	return n->body->nyield - body_results(n);
}

/* Does nobody ask for the result of a node with bodies, nor for the value that becomes it?  Such a node keeps one. */
static bool is_idle(const Node *n, int i)
{
	if (n->out[i]->nuse || (i == 0 && is_unused(n)))
		return false;
	if (n->op != OpLoop || i >= loop_carried(n))
		return true;
	const Value *v = n->body->params[i];
	const Use *u = v->uses;
	return !v->nuse || (v->nuse == 1 && !u->node && u->block == n->body && u->index == first_result(n) + i);
}

static bool is_result_gone(const Rebuild *rb, const Node *n, int i)
{
	bool first = n->op == OpLoop && rb->p->node == n->mark && rb->p->carried == i + 1;
	return first || is_idle(n, i);
}

static bool has_idle(const Block *b)
{
	bool any = false;
	for (const Node *n = b->first; n && !any; n = n->next) {
		for (int i = 0; i < n->nout && n->body; i++)
			any |= is_idle(n, i);
		any = any || (n->body && has_idle(n->body)) || (n->other && has_idle(n->other));
	}
	return any;
}

static void rebuild_yields(Rebuild *rb, const Node *n, const Block *b, Block *to)
{
	int first = first_result(n);
	for (int i = 0; i < b->nyield; i++)
		if (i < first || !is_result_gone(rb, n, i - first))
			add_yield(rb->m, to, map_value(rb, b->yields[i]));
}

static void rebuild_block_params(Rebuild *rb, const Node *n, Block *to)
{
	for (int i = 0; i < n->body->nparam; i++) {
		Value *v = n->body->params[i];
		if (is_result_gone(rb, n, i))
			v->scratch = map_value(rb, n->in[n->nin - n->body->nparam + i]);
		else
			v->scratch = add_block_param(rb->m, to, map_type(rb, &v->type));
	}
}

static void rebuild_bodies(Rebuild *rb, const Node *n, Node *copy)
{
	int kept = 0;
	rebuild_block_params(rb, n, copy->body);
	rebuild_block(rb, n->body, copy->body);
	rebuild_yields(rb, n, n->body, copy->body);
	if (n->other) {
		rebuild_block(rb, n->other, copy->other);
		rebuild_yields(rb, n, n->other, copy->other);
	}
	Type *stated = arena_alloc(rb->m->arena, (size_t)n->nout * sizeof *stated);
	for (int i = 0; i < n->nout; i++)
		if (!is_result_gone(rb, n, i))
			stated[kept++] = map_type(rb, &n->out[i]->type);
	rb->ok = rb->ok && !add_body_results(rb->m, copy, stated);
}

static int rebuild_operands(Rebuild *rb, const Node *n, Value **in)
{
	int nin = 0, gone = rb->p->node == n->mark ? rb->p->absent - 1 : -1, carried = n->op == OpLoop ? n->nin - n->body->nparam : n->nin;
	for (int i = 0; i < n->nin; i++) {
		if ((i == gone && ops[n->op].nin < 0) || (i >= carried && is_result_gone(rb, n, i - carried)))
			continue;
		in[nin++] = i == gone || !n->in[i] ? NULL : map_value(rb, n->in[i]);
	}
	return nin;
}

static void rebuild_node(Rebuild *rb, const Node *n, Block *to)
{
	Value **in = arena_alloc(rb->m->arena, ((size_t)n->nin + 1) * sizeof *in);
	int nin = rebuild_operands(rb, n, in);
	Node *copy = new_node(rb->m, to, NULL, n->op, map_loc(rb, n->loc), nin, in);
	for (int i = 0; i < n->nattr; i++)
		if (rb->p->node != n->mark || rb->p->attr != i + 1)
			set_attr(rb->m, copy, map_attr(rb, n, &n->attrs[i]));
	give_syms(rb, copy);
	if (has_body(n->op)) {
		rebuild_bodies(rb, n, copy);
		if (!rb->ok)
			return;
	} else {
		Type t = map_type(rb, &n->out[0]->type);
		if (set_type(rb->m, copy, ops[n->op].given ? &t : NULL)) {
			rb->ok = false;
			return;
		}
		for (int i = copy->nout; i < n->nout; i++)
			add_result(rb->m, copy, map_type(rb, &n->out[i]->type));
	}
	for (int i = 0, next = 0; i < n->nout; i++) {
		if (has_body(n->op) && is_result_gone(rb, n, i)) {
			n->out[i]->scratch = n->op == OpLoop && i < n->body->nparam ? n->body->params[i]->scratch : NULL;
			continue;
		}
		if (n->out[i]->name)
			copy->out[next]->name = arena_strdup(rb->m->arena, n->out[i]->name);
		n->out[i]->scratch = copy->out[next++];
	}
}

/* The operand that can stand for the only result, or NULL. */
static Value *bypass(Rebuild *rb, const Node *n)
{
	bool chosen = rb->p->node == n->mark && rb->p->operand;
	if (n->nout != 1)
		return NULL;
	if (chosen)
		return n->in[rb->p->operand - 1] ? map_value(rb, n->in[rb->p->operand - 1]) : NULL;
	for (int i = 0; i < n->nin && in_plan(rb, DropBypass, n->mark); i++)
		if (n->in[i] && type_equal(&n->in[i]->type, &n->out[0]->type))
			return map_value(rb, n->in[i]);
	return NULL;
}

/* Itself, or with a group around it. */
static bool is_dropped(const Rebuild *rb, const Node *n)
{
	for (; n; n = n->block->owner) {
		bool chosen = rb->p->node == n->mark && rb->p->operand;
		if (chosen || in_plan(rb, DropCut, n->mark) || in_plan(rb, DropBypass, n->mark))
			return true;
	}
	return false;
}

/* The symbols of an if or loop, where a branch or one iteration takes its place: value 1 or 2 of its sizes, and behind the loop `behind`. */
static void replace_syms(Rebuild *rb, const Node *n, int which, bool behind)
{
	const Dim *const *sizes, **next;
	int count = node_sizes(n, &sizes);
	next = arena_alloc(rb->from->arena, ((size_t)count + 1) * sizeof *next);
	for (int i = 0; i < count; i++)
		next[i] = behind ? dim_subst(rb->from, sizes[3 * i + 2], rb->by) : sizes[3 * i + which];
	for (int i = 0; i < count; i++)
		rb->by[dim_as_sym(sizes[3 * i])->index] = next[i];
	if (n->op != OpLoop)
		return;
	rb->by[find_sym(rb->from, attr_text(n, Attr_counter))->index] = dim_const(rb->from, 0);
	if (loop_has_cond(n))
		rb->by[find_sym(rb->from, attr_text(n, Attr_count))->index] = dim_const(rb->from, 1);
}

/* Body and all: a group's, a branch, or one iteration. */
static void rebuild_open(Rebuild *rb, const Node *n, Block *to)
{
	const Block *b = rb->p->open == 2 ? n->other : n->body;
	int first = first_result(n), carried = n->nin - b->nparam;
	replace_syms(rb, n, n->op == OpIf ? rb->p->open : 1, false);
	for (int i = 0; i < b->nparam; i++)
		b->params[i]->scratch = map_value(rb, n->in[carried + i]);
	rebuild_block(rb, b, to);
	for (int i = 0; i < n->nout && rb->ok; i++) {
		bool stacked = n->op == OpLoop && i >= b->nparam;
		n->out[i]->scratch = stacked ? NULL : map_value(rb, b->yields[first + i]);
		rb->ok &= !stacked || !n->out[i]->nuse;
	}
	if (n->op == OpLoop)
		replace_syms(rb, n, 2, true);
}

static void rebuild_block(Rebuild *rb, const Block *b, Block *to)
{
	rebuild_checks(rb, b, to);
	for (const Node *n = b->first; n && rb->ok; n = n->next) {
		if (is_dropped(rb, n)) {
			if (n->nout == 1)
				n->out[0]->scratch = bypass(rb, n);
		} else if (rb->p->node == n->mark && rb->p->open) {
			rebuild_open(rb, n, to);
		} else {
			rebuild_node(rb, n, to);
		}
	}
}

/* ---- rebuilding: outputs ---------------------------------------------------------------------------------------- */

static void add_output(Rebuild *rb, Value *v, const char *name)
{
	Func *f = rb->m->main;
	const char *free_name = name ? name : "out";
	for (int k = 0, i = 0; i < f->body.nyield; i++)
		if (!strcmp(f->results[i], free_name)) {
			free_name = arena_printf(rb->m->arena, "%s_%d", name ? name : "out", ++k);
			i = -1;
		}
	const char *copy = arena_strdup(rb->m->arena, free_name);
	PUSH(rb->m->arena, f->results, rb->result, rb->capresult, copy);
	add_yield(rb->m, &f->body, v);
}

static bool lost_all_users(const Rebuild *rb, const Value *v)
{
	for (int i = 0; i < v->nuse; i++) {
		const Node *user = v->uses[i].node ? v->uses[i].node : v->uses[i].block->owner;
		if (!user || !is_dropped(rb, user))
			return false;
	}
	return v->nuse > 0;
}

/* The old outputs that are still computed, and, when nodes are cut off, what only those used. */
static void rebuild_outputs(Rebuild *rb)
{
	const Func *f = rb->from->main;
	for (int i = 0; i < f->body.nyield; i++) {
		Value *v = f->body.yields[i];
		bool cut = v->def && is_dropped(rb, v->def) && (rb->p->kind == DropCut || !v->scratch);
		if (!cut && !in_plan(rb, DropOutput, i))
			add_output(rb, map_value(rb, v), f->results[i]);
	}
	if (rb->p->kind != DropCut || rb->p->from == rb->p->to)
		return;
	for (const Node *n = f->body.first; n; n = n->next)
		for (int i = 0; i < n->nout; i++)
			if (!is_dropped(rb, n) && lost_all_users(rb, n->out[i]))
				add_output(rb, n->out[i]->scratch, n->out[i]->name);
}

/* ---- rebuilding: what is left over ------------------------------------------------------------------------------ */

static void drop_from_groups(Block *b)
{
	for (Node *n = b->last, *before; n; n = before) {
		before = n->prev;
		if (is_unused(n) && b->owner && b->owner->op == OpGroup) {
			erase_node(n);
			continue;
		}
		if (n->body)
			drop_from_groups(n->body);
		if (n->other)
			drop_from_groups(n->other);
	}
}

/* Symbols that read the input find it at its new place, or go with it. */
static void move_readers(Module *m, int from, int to)
{
	for (int i = 0; i < m->nsym; i++)
		if (m->syms[i]->kind == SymValue && m->syms[i]->input == from)
			m->syms[i]->input = to;
}

static bool has_readers(const Module *m, int input)
{
	bool any = false;
	for (int i = 0; i < m->nsym; i++)
		any |= m->syms[i]->kind == SymValue && m->syms[i]->input == input;
	return any;
}

static void drop_unused(Module *m)
{
	Func *f = m->main;
	int kept = 0;
	drop_from_groups(&f->body);
	remove_dead(m);
	for (int i = 0; i < f->nparam; i++)
		if (f->params[i]->nuse || has_readers(m, i)) {
			move_readers(m, i, kept);
			f->params[i]->index = kept;
			f->params[kept++] = f->params[i];
		}
	f->nparam = kept;
	kept = 0;
	for (int i = 0; i < m->nconst; i++)
		if (m->consts[i]->value->nuse)
			m->consts[kept++] = m->consts[i];
	m->nconst = kept;
}

static void mark_sym(void *used, Sym *s)
{
	((bool *)used)[s->index] = true;
}

static void mark_dim(void *used, const Dim *d)
{
	dim_each_sym(d, mark_sym, used);
}

static void mark_block(const Block *b, bool *used)
{
	for (int i = 0; i < b->nparam; i++)
		type_each_dim(&b->params[i]->type, mark_dim, used);
	for (const Node *n = b->first; n; n = n->next) {
		for (int i = 0; i < n->nout; i++)
			type_each_dim(&n->out[i]->type, mark_dim, used);
		for (int i = 0; i < n->nattr; i++)
			attr_each_dim(&n->attrs[i], mark_dim, used);
		if (n->body)
			mark_block(n->body, used);
		if (n->other)
			mark_block(n->other, used);
	}
}

/* An input tells all of its elements or none. */
static void mark_known(const Value *v, bool *used)
{
	int64_t n = v->known ? const_numel(&v->type) : 0;
	bool any = false;
	for (int64_t i = 0; i < n; i++)
		any |= dim_as_sym(v->known[i]) && used[dim_as_sym(v->known[i])->index];
	for (int64_t i = 0; i < n && any; i++)
		mark_dim(used, v->known[i]);
}

typedef struct About {
	const bool *used;
	bool all;
} About;

static void look_at_sym(void *about, Sym *s)
{
	About *a = about;
	a->all &= a->used[s->index];
}

/* Only those about symbols that are used. */
static void drop_checks(Block *b, const bool *used)
{
	int kept = 0;
	for (int i = 0; i < b->ncheck; i++) {
		About about = {used, true};
		dim_each_sym(b->checks[i].a, look_at_sym, &about);
		dim_each_sym(b->checks[i].b, look_at_sym, &about);
		if (about.all)
			b->checks[kept++] = b->checks[i];
	}
	b->ncheck = kept;
	for (Node *n = b->first; n; n = n->next) {
		if (n->body)
			drop_checks(n->body, used);
		if (n->other)
			drop_checks(n->other, used);
	}
}

/* Symbols that types, attributes and nodes use; checks that are about others are dropped.  True if some are not used. */
static bool find_used_syms(Module *m, bool *used)
{
	bool all = true;
	for (int i = 0; i < m->main->nparam; i++)
		type_each_dim(&m->main->params[i]->type, mark_dim, used);
	mark_block(&m->main->body, used);
	for (int i = m->nsym - 1; i >= 0; i--) { /* formulas are over symbols before them */
		const Sym *s = m->syms[i];
		used[i] |= s->def && !s->def->dead;
		if (used[i] && s->is)
			mark_dim(used, s->is);
		if (used[i] && s->times)
			mark_dim(used, s->times);
	}
	for (int i = 0; i < m->main->nparam; i++)
		mark_known(m->main->params[i], used);
	drop_checks(&m->main->body, used);
	for (int s = 0; s < m->nsym; s++)
		all = all && used[s];
	return !all;
}

/* An input with a dim that is the symbol, plus a constant perhaps, must tell it: code could not know it otherwise. */
static bool sym_is_bound(Module *m, const Sym *s)
{
	for (int i = 0; i < m->main->nparam; i++) {
		const Type *t = &m->main->params[i]->type;
		for (int d = 0; d < t->rank; d++)
			if (dim_is_const(dim_sub(m, t->dims[d], dim_sym(m, s->name)), NULL))
				return true;
	}
	return false;
}

static bool syms_are_bound(Module *m)
{
	for (int s = 0; s < m->nsym; s++)
		if (m->syms[s]->kind == SymInput && !sym_is_bound(m, m->syms[s]))
			return false;
	return true;
}

/* ---- rebuilding: all of it -------------------------------------------------------------------------------------- */

static void count_block(Reducer *r, Block *b)
{
	b->end = r->ncheck;
	r->ncheck += b->ncheck;
	for (Node *n = b->first; n; n = n->next) {
		n->mark = r->nnode++;
		if (n->body)
			count_block(r, n->body);
		if (n->other)
			count_block(r, n->other);
	}
}

void count_nodes(Reducer *r)
{
	r->nnode = r->ncheck = 0;
	count_block(r, &r->now->main->body);
}

/* False: shape.c says no, or nothing is left.  dim.c may leave by fatal_at. */
static bool rebuild(Rebuild *rb)
{
	rb->ok = true;
	rb->m->stage = arena_strdup(rb->m->arena, rb->from->stage);
	rb->m->model_hash = rb->from->model_hash;
	rb->m->main->name = arena_strdup(rb->m->arena, rb->from->main->name);
	rb->by = arena_alloc(rb->from->arena, ((size_t)rb->from->nsym + 1) * sizeof *rb->by);
	clear_scratch(rb->from);
	rebuild_syms(rb);
	rebuild_params(rb);
	rebuild_block(rb, &rb->from->main->body, &rb->m->main->body);
	if (!rb->ok)
		return false;
	rebuild_outputs(rb);
	drop_unused(rb->m);
	return rb->ok && rb->m->main->body.nyield > 0;
}

Module *without(Reducer *r, const Plan *p)
{
	static const Plan nothing = {.node = -1};
	jmp_buf here;
	Module *volatile m = NULL, *volatile before = NULL;
	volatile bool ok = false;
	diag_stream = r->null;
	diag_recover = &here;
	if (!setjmp(here)) {
		m = new_module(r->now->name, r->now->path);
		ok = rebuild(&(Rebuild){.r = r, .p = p, .from = r->now, .m = m});
		while (ok) { /* what goes may have been all that something else was for */
			bool *used = arena_alloc(m->arena, (size_t)m->nsym + 1);
			if (!find_used_syms(m, used) && !has_idle(&m->main->body))
				break;
			before = m;
			m = new_module(r->now->name, r->now->path);
			ok = rebuild(&(Rebuild){.r = r, .p = &nothing, .from = before, .m = m, .keep_sym = used});
			free_module(before);
			before = NULL;
		}
		ok = ok && !verify_module(m) && (syms_are_bound(m) || !syms_are_bound(r->now));
	} else {
		ok = false;
	}
	diag_recover = NULL;
	diag_stream = NULL;
	diag_reset();
	free_module(before);
	if (ok)
		return m;
	free_module(m);
	return NULL;
}
