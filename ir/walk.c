/* walk.c - walks over a module: its nodes, its dims. */
#include "ir.h"

Node *first_node(const Module *m)
{
	return m->main->body.first;
}

Node *next_node(const Node *n)
{
	if (n->op != OpGroup && n->body && n->body->first)
		return n->body->first;
	if (n->other && n->other->first)
		return n->other->first;
	while (!n->next) {
		const Block *b = n->block;
		if (!b->owner)
			return NULL;
		n = b->owner;
		if (b == n->body && n->other && n->other->first)
			return n->other->first;
	}
	return n->next;
}

typedef struct Walk {
	DimVisit *visit;
	void *ctx;
	const Node *n;
	const Attr *a;
} Walk;

static void visit_dim(void *walk, const Dim *d)
{
	const Walk *w = walk;
	w->visit(w->ctx, d, w->n, w->a);
}

static void walk_block(Walk *w, const Block *b)
{
	w->n = NULL;
	w->a = NULL;
	for (int i = 0; i < b->nparam; i++)
		type_each_dim(&b->params[i]->type, visit_dim, w);
	for (int i = 0; i < b->ncheck; i++) {
		visit_dim(w, b->checks[i].a);
		visit_dim(w, b->checks[i].b);
	}
	for (const Node *n = b->first; n; n = n->next) {
		w->n = n;
		for (int i = 0; i < n->nout; i++)
			type_each_dim(&n->out[i]->type, visit_dim, w);
		for (int i = 0; i < n->nattr; i++) {
			w->a = &n->attrs[i];
			attr_each_dim(w->a, visit_dim, w);
		}
		w->a = NULL;
		if (n->body)
			walk_block(w, n->body);
		if (n->other)
			walk_block(w, n->other);
	}
}

void module_each_dim(const Module *m, DimVisit *visit, void *ctx)
{
	Walk w = {.visit = visit, .ctx = ctx};
	for (int i = 0; i < m->nsym; i++) {
		const Sym *s = m->syms[i];
		const Dim *of[] = {s->is, s->times, s->most};
		for (int k = 0; k < 3; k++)
			if (of[k])
				visit_dim(&w, of[k]);
	}
	for (int i = 0; i < m->main->nparam; i++)
		type_each_dim(&m->main->params[i]->type, visit_dim, &w);
	walk_block(&w, &m->main->body);
}
