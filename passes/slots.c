/* slots.c - where values lie: slots of the workspace, inputs, outputs, weights.
 *
 * A value that no view explains gets a slot from its definition to its last use; slots are reused when their size fits for all
 * values of the symbols.  Outputs are written in place.  Constant expressions become weights.
 */
#include "kernel.h"

/* ---- slots ---------------------------------------------------------------------------------------------------------------- */

static const Dim *aligned(Module *m, const Dim *bytes)
{
	return dim_mul_const(m, dim_ceildiv(m, bytes, dim_const(m, 64)), 64);
}

static bool fits(Module *m, const Dim *need, const Dim *have)
{
	int64_t lo, hi;
	if (need == have)
		return true;
	dim_range(dim_sub(m, have, need), &lo, &hi);
	return lo >= 0;
}

/* What the report calls the result of a node. */
static const char *value_name(const Node *n)
{
	const Node *last = n->op == OpGroup ? n->body->last : n;
	if (n->out[0]->name)
		return n->out[0]->name;
	return last->loc && last->loc->node ? last->loc->node : ops[last->op].text;
}

Slot *new_slot(Lower *l, const Dim *bytes)
{
	const Dim *need = bytes;
	Slot *best = NULL;
	bytes = aligned(l->m, bytes);
	for (int i = 0; i < l->nslot; i++) {
		Slot *s = l->slots[i];
		if (s->used || !fits(l->m, bytes, s->bytes))
			continue;
		if (!best || (s->bytes != best->bytes && fits(l->m, s->bytes, best->bytes)))
			best = s; /* the smallest that is known to fit */
	}
	if (!best) {
		best = arena_alloc(l->m->arena, sizeof *best);
		*best = (Slot){.offset = l->bytes, .bytes = bytes};
		l->bytes = dim_add(l->m, l->bytes, bytes);
		PUSH(l->m->arena, l->slots, l->nslot, l->capslot, best);
	}
	best->used = true;
	best->need = need;
	best->what = value_name(l->node);
	best->from = l->nstep;
	return best;
}

void release_slot(Lower *l, Slot *s)
{
	s->used = false;
	report_place(l->t->name, s->offset, s->bytes, s->what, s->from, l->nstep - 1);
}

static Slot *operand_slot(Lower *l, const Dim *elements)
{
	Slot *s = new_slot(l, dim_mul_const(l->m, elements, 4));
	s->what = arena_printf(l->m->arena, "packed operand of %s", s->what);
	return s;
}

Slot *temp_slot(Lower *l, const Dim *elements)
{
	if (l->ntemp == (int)(sizeof l->temp / sizeof *l->temp))
		bug("too many temporaries in one schedule");
	return l->temp[l->ntemp++] = operand_slot(l, elements);
}

Slot *hold_packed(Lower *l, Value *v, const Dim *elements)
{
	if (l->packed_of == v)
		return NULL;
	if (l->packed)
		release_slot(l, l->packed);
	l->packed_of = v;
	return l->packed = operand_slot(l, elements);
}

void need_scratch(Lower *l, const Dim *elements)
{
	l->worker_bytes = dim_max(l->m, l->worker_bytes, aligned(l->m, dim_mul_const(l->m, elements, 4)));
}

/* ---- homes ---------------------------------------------------------------------------------------------------------------- */

void plain_view(Module *m, Value *v, View *w)
{
	View full;

	view_of(m, v, &full);
	*w = (View){.root = full.root, .base = full.base, .rank = full.rank};
	int k = 0;
	for (int d = 0; d < full.rank; d++) {
		Factor f[MaxFactors];
		int n = merge_factors(m, &full, d, d + 1, f);
		if (n > 1) {
			view_identity(m, v, w);
			return;
		}
		w->first[d] = k;
		if (n)
			w->f[k++] = f[0];
	}
	w->first[full.rank] = k;
	if (!view_storage(m, w))
		fatal_at(v->def ? v->def->loc : NULL, "state: the cache is read in an order that its layout in memory does not have");
}

Home *home_of(Value *v)
{
	return v->scratch;
}

Home *new_home(Lower *l, Value *v)
{
	if (!v->scratch) {
		v->scratch = arena_alloc(l->m->arena, sizeof(Home));
		((Home *)v->scratch)->last = -1;
		PUSH(l->m->arena, l->home_values, l->nhome, l->caphome, v);
	}
	return v->scratch;
}

Value *root_of(Module *m, Value *v)
{
	View w;
	plain_view(m, v, &w);
	return w.root;
}

static int add_weight(Lower *l, Value *v)
{
	LModule *lm = l->lm;
	for (int i = 0; i < lm->nweight; i++)
		if (lm->weights[i] == v)
			return i;
	int64_t bytes, numel = const_numel(&v->type);
	bytes = numel * dtypes[v->type.dtype].bytes;
	PUSH(l->m->arena, lm->weights, lm->nweight, lm->capweight, v);
	PUSH(l->m->arena, lm->weight_off, lm->nweight_off, lm->capweight_off, lm->weight_bytes);
	if (__builtin_add_overflow(lm->weight_bytes, (bytes + 63) / 64 * 64, &lm->weight_bytes))
		fatal_at(&(Loc){.file = l->m->path}, "the weights are too large");
	return lm->nweight - 1;
}

Home *find_home(Lower *l, Value *v)
{
	Home *h = home_of(v);
	if (h && h->buf)
		return h;
	if (is_const(v)) {
		h = new_home(l, v);
		h->buf = l->weights;
		int w = add_weight(l, v); /* may move the table */
		h->offset = dim_const(l->m, l->lm->weight_off[w]);
		return h;
	}
	if (!v->def && !v->konst) {
		h = new_home(l, v);
		h->buf = l->in[v->index];
		h->offset = dim_const(l->m, 0);
		return h;
	}
	bug("a value of %s has no place", v->def ? ops[v->def->op].text : "a parameter");
}

void place_result(Lower *l, Value *v)
{
	Home *h = new_home(l, v);

	if (h->buf)
		return; /* an output */
	h->slot = new_slot(l, dim_mul_const(l->m, type_numel(l->m, &v->type), dtypes[v->type.dtype].bytes));
	h->buf = l->ws;
	h->offset = h->slot->offset;
}

void clear_homes(Module *m, Block *block)
{
	for (int i = 0; i < m->main->nparam; i++)
		m->main->params[i]->scratch = NULL;
	for (int i = 0; i < m->nconst; i++)
		m->consts[i]->value->scratch = NULL;
	for (Node *n = block->first; n; n = n->next) {
		for (int i = 0; i < n->nout; i++)
			n->out[i]->scratch = NULL;
		if (n->body)
			clear_homes(m, n->body);
	}
}
