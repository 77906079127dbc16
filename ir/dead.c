/* dead.c - nodes that reach no output go.
 *
 * What a node gives is its results and, if it is control flow, symbols, whose users are dims: of results, attributes and parameters of the
 * nodes behind it, and what is known of elements; they go or stay before it is looked at.  A symbol that a check names is measured as
 * well, since the run may fail there.
 */
#include "ir.h"

typedef struct Living {
	Module *m;
	bool *used, *checked; /* symbols, by index: by nodes that stay, by checks */
	bool changed;
} Living;

static void mark(void *by_index, Sym *s)
{
	((bool *)by_index)[s->index] = true;
}

static void use_dim(void *living, const Dim *d)
{
	dim_each_sym(d, mark, ((Living *)living)->used);
}

static void use_node(Living *l, const Node *n)
{
	for (int i = 0; i < n->nout; i++) {
		const Value *v = n->out[i];
		type_each_dim(&v->type, use_dim, l);
		for (int64_t k = v->known ? const_numel(&v->type) : 0; k-- > 0;)
			use_dim(l, v->known[k]);
	}
	for (int i = 0; i < n->nattr; i++)
		attr_each_dim(&n->attrs[i], use_dim, l);
}

static bool gives_used_symbol(const Living *l, const Node *n)
{
	if (ops[n->op].cls != ClsControl)
		return false;
	for (int i = 0; i < l->m->nsym; i++)
		if (l->m->syms[i]->def == n && (l->used[i] || (n->op == OpMeasure && l->checked[i])))
			return true;
	return false;
}

bool is_unused(const Node *n)
{
	for (int i = 0; i < n->nout; i++)
		if (n->out[i]->nuse)
			return false;
	return true;
}

/* All nodes of a group belong to it. */
static void clean(Living *l, Block *b)
{
	bool in_group = b->owner && b->owner->op == OpGroup;
	for (int i = 0; i < b->nparam; i++)
		type_each_dim(&b->params[i]->type, use_dim, l);
	for (int i = 0; i < b->ncheck; i++) {
		dim_each_sym(b->checks[i].a, mark, l->checked);
		dim_each_sym(b->checks[i].b, mark, l->checked);
	}
	for (Node *n = b->last, *prev; n; n = prev) { /* backwards: users go first */
		prev = n->prev;
		if (!in_group && is_unused(n) && !gives_used_symbol(l, n)) {
			erase_node(n);
			l->changed = true;
			continue;
		}
		use_node(l, n);
		if (n->body)
			clean(l, n->body);
		if (n->other)
			clean(l, n->other);
	}
}

bool remove_dead(Module *m)
{
	size_t n = (size_t)m->nsym + 1;
	Living l = {.m = m, .used = arena_alloc(m->arena, 2 * n)};
	l.checked = l.used + n;
	clean(&l, &m->main->body);
	return l.changed;
}
