/* slots.c - where values lie: slots of the workspace, inputs, outputs, weights.
 *
 * A value that no view explains gets a slot from its definition to its last use; slots are reused when their size fits for all
 * values of the symbols.  Outputs are written in place.  Constant expressions become weights.
 *
 * Where sizes grow from node to node, as in a chain of loops that append rows, no old slot fits, and offsets become sums over all of
 * them.  Such a module is lowered again (lower.c), with slots as large as the largest of their users, which are known by then.
 */
#include "kernel.h"

#include <limits.h>

/* ---- slots ---------------------------------------------------------------------------------------------------------------- */

static const Dim *aligned(Module *m, const Dim *bytes)
{
	return dim_mul_const(m, dim_ceildiv(m, bytes, dim_const(m, 64)), 64);
}

/* Sizes that one slot is compared with, by ranges and by proofs: where every size is another, more would be quadratic. */
enum { MaxLooks = 256, MaxProofs = 16 };

typedef struct Fit {
	const Dim *need, *have;
	bool fits;
} Fit;

static bool same_fit(const void *item, const void *key)
{
	const Fit *a = item, *b = key;
	return a->need == b->need && a->have == b->have;
}

/* Dims are interned, and a model has few sizes: each pair is looked at once. */
static bool fits(Lower *l, const Dim *need, const Dim *have)
{
	const Fit key = {need, have, false};
	const uint64_t hash = table_hash((const Dim *[]){need, have}, 2 * sizeof need, 0);
	const Fit *known = table_find(&l->fits, hash, same_fit, &key);
	int64_t lo, hi;
	if (need == have)
		return true;
	if (known)
		return known->fits;
	dim_range(dim_sub(l->m, have, need), &lo, &hi);
	Fit *f = arena_alloc(l->m->arena, sizeof *f);
	*f = (Fit){need, have, lo >= 0};
	table_add(l->m->arena, &l->fits, hash, f);
	return f->fits;
}

/* What the report calls the result of a node. */
static const char *value_name(const Node *n)
{
	if (!n)
		return "unpacked input";
	const Node *last = n->op == OpGroup ? n->body->last : n;
	if (n->out[0]->name)
		return n->out[0]->name;
	return last->loc && last->loc->node ? last->loc->node : ops[last->op].text;
}

const Dim *slot_bytes(Lower *l, const Block *b, const Type *t)
{
	return aligned(l->m, dim_mul_const(l->m, numel_most(l->m, b, t), dtypes[t->dtype].bytes));
}

static Slot *add_slot(Lower *l, const Dim *bytes)
{
	Slot *s = arena_alloc(l->m->arena, sizeof *s);
	int i = 0;
	while (i < l->nsize && l->sizes[i]->bytes != bytes)
		i++;
	if (i == l->nsize) {
		SlotSize *size = arena_alloc(l->m->arena, sizeof *size);
		size->bytes = bytes;
		PUSH(l->m->arena, l->sizes, l->nsize, l->capsize, size);
	}
	*s = (Slot){.offset = l->bytes, .size = l->sizes[i]};
	l->bytes = dim_add(l->m, l->bytes, bytes);
	return s;
}

const Dim *place_requests(Module *m, int n, Request *requests, const Dim *begin)
{
	Request *places = arena_alloc(m->arena, ((size_t)n + 1) * sizeof *places); /* with their last users' `until` */
	int nplace = 0;
	for (int i = 0; i < n; i++) {
		Request *r = &requests[i];
		int fits = -1, grows = -1;
		for (int k = nplace - 1, looks = 0; k >= 0 && looks < MaxProofs; k--) {
			const Dim *room = places[k].bytes;
			if (places[k].until > i)
				continue;
			looks++;
			if (dim_proves_at_most(m, r->bytes, room))
				fits = fits < 0 || dim_proves_at_most(m, room, places[fits].bytes) ? k : fits;
			else if (dim_proves_at_most(m, room, r->bytes))
				grows = grows < 0 || dim_proves_at_most(m, places[grows].bytes, room) ? k : grows;
		}
		r->place = fits >= 0 ? fits : grows >= 0 ? grows : nplace++;
		if (fits < 0)
			places[r->place].bytes = r->bytes;
		places[r->place].until = r->until;
	}
	for (int k = 0; k < nplace; k++) {
		places[k].offset = begin;
		begin = dim_add(m, begin, places[k].bytes);
	}
	for (int i = 0; i < n; i++) {
		requests[i].offset = places[requests[i].place].offset;
		requests[i].room = places[requests[i].place].bytes;
	}
	return begin;
}

/* The one that lies there when the module is lowered again. */
static Slot *placed_slot(Lower *l, const Dim *bytes)
{
	const Request *r = &l->placed[l->nrequest];
	SlotSize *size = arena_alloc(l->m->arena, sizeof *size);
	Slot *s = arena_alloc(l->m->arena, sizeof *s);
	if (r->bytes != bytes)
		bug("request %d is for %s bytes, it was for %s", l->nrequest, dim_text(l->m, bytes), dim_text(l->m, r->bytes));
	size->bytes = r->room;
	*s = (Slot){.offset = r->offset, .size = size};
	return s;
}

static Slot *free_slot(Lower *l, const Dim *bytes)
{
	SlotSize *best = NULL;
	for (int i = l->nsize - 1, looks = 0; i >= 0 && looks < MaxLooks; i--) {
		SlotSize *s = l->sizes[i];
		looks += s->free != NULL;
		if (s->free && fits(l, bytes, s->bytes) && (!best || fits(l, s->bytes, best->bytes)))
			best = s; /* the smallest that is known to fit */
	}
	Slot *s = best ? best->free : add_slot(l, bytes);
	if (best)
		best->free = s->next;
	return s;
}

Slot *new_slot(Lower *l, const Dim *bytes, int last)
{
	const Request request = {.bytes = aligned(l->m, dim_most(l->m, bytes)), .until = INT_MAX};
	Slot *s = l->placed ? placed_slot(l, request.bytes) : free_slot(l, request.bytes);
	s->request = l->nrequest;
	PUSH(l->m->arena, l->requests, l->nrequest, l->caprequest, request);
	s->need = bytes;
	s->what = value_name(l->node);
	s->from = l->nstep;
	s->next = l->ends[last];
	l->ends[last] = s;
	return s;
}

void release_slots(Lower *l)
{
	for (Slot *s = l->ends[l->at], *next; s; s = next) {
		next = s->next;
		s->next = s->size->free;
		s->size->free = s;
		l->requests[s->request].until = l->nrequest;
		report_place(l->t->name, s->offset, s->size->bytes, s->what, s->from, l->nstep - 1);
	}
	l->ends[l->at] = NULL;
}

static Slot *operand_slot(Lower *l, const Dim *elements, int last)
{
	Slot *s = new_slot(l, dim_mul_const(l->m, elements, 4), last);
	s->what = arena_printf(l->m->arena, "packed operand of %s", s->what);
	return s;
}

Slot *temp_slot(Lower *l, const Dim *elements)
{
	return operand_slot(l, elements, l->at);
}

Slot *packed_slot(Lower *l, Packed *p, const Dim *elements)
{
	if (!p->slot)
		p->slot = operand_slot(l, elements, p->last);
	return p->slot;
}

void need_scratch(Lower *l, const Dim *elements)
{
	l->worker_bytes = dim_max(l->m, l->worker_bytes, aligned(l->m, dim_mul_const(l->m, dim_most(l->m, elements), 4)));
}

/* ---- homes ---------------------------------------------------------------------------------------------------------------- */

Home *home_of(Value *v)
{
	return v->scratch;
}

Home *new_home(Lower *l, Value *v)
{
	if (!v->scratch) {
		Home *h = v->scratch = arena_alloc(l->m->arena, sizeof *h);
		*h = (Home){.last = -1};
	}
	return v->scratch;
}

Value *root_of(Module *m, Value *v)
{
	View w;
	plain_view(m, v, &w);
	return w.root;
}

enum { WeightsPerByte = 4, WeightsForAll = 192 << 20 };

typedef struct Weight {
	const Value *v;
	int number;
} Weight;

static bool is_weight(const void *item, const void *v)
{
	return ((const Weight *)item)->v == v;
}

static int add_weight(Lower *l, Value *v)
{
	LModule *lm = l->lm;
	const uint64_t hash = table_hash(&v, sizeof v, 0);
	Weight *known = table_find(&lm->weight_numbers, hash, is_weight, v);
	if (known)
		return known->number;
	int64_t bytes, numel = const_numel(&v->type);
	bytes = numel * dtypes[v->type.dtype].bytes;
	PUSH(l->m->arena, lm->weights, lm->nweight, lm->capweight, v);
	PUSH(l->m->arena, lm->weight_off, lm->nweight_off, lm->capweight_off, lm->weight_bytes);
	if (__builtin_add_overflow(lm->weight_bytes, (bytes + 63) / 64 * 64, &lm->weight_bytes))
		fatal_at(&(Loc){.file = l->m->path}, "the weights are too large");
	if (lm->weight_bytes / WeightsPerByte > l->m->const_bytes + WeightsForAll / WeightsPerByte)
		fatal_at(&(Loc){.file = l->m->path}, "computed constants make the weights larger than %d times the model's and %d MB",
		         WeightsPerByte, WeightsForAll >> 20);
	known = arena_alloc(l->m->arena, sizeof *known);
	*known = (Weight){v, lm->nweight - 1};
	table_add(l->m->arena, &lm->weight_numbers, hash, known);
	return known->number;
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
	if (!v->def && !v->konst && !v->block) {
		h = new_home(l, v);
		h->buf = l->in[v->index];
		h->offset = dim_const(l->m, 0);
		return h;
	}
	bug("a value of %s has no place", v->def ? ops[v->def->op].text : "a parameter");
}

void place_bytes(Lower *l, Value *v, const Dim *bytes)
{
	Home *h = new_home(l, v);

	if (h->buf)
		return; /* an output */
	h->buf = l->ws;
	h->offset = new_slot(l, bytes, h->last > l->at ? h->last : l->at)->offset;
}

void place_result(Lower *l, Value *v)
{
	const Block *b = v->def ? v->def->block : v->block ? v->block : &l->m->main->body;
	place_bytes(l, v, slot_bytes(l, b, &v->type));
}

static bool same_rows(const Packed *a, const Packed *b)
{
	if (a->form != b->form || a->split[0] != b->split[0] || a->split[1] != b->split[1] || a->unless_few != b->unless_few || a->block != b->block ||
	    a->base != b->base || a->nrow != b->nrow || a->nfactor != b->nfactor)
		return false;
	for (int i = 0; i < a->nfactor; i++)
		if (a->f[i].extent != b->f[i].extent || a->f[i].stride != b->f[i].stride)
			return false;
	return true;
}

bool lie_packed(const Node *linear, const Packed *p)
{
	const Type *x = &linear->in[0]->type;
	int rows = x->rank - (int)attr_int(linear, Attr_inner), steps = p->nfactor - p->nrow;

	if (p->form != PackedRows)
		return false;
	for (int d = 0; d < rows; d++)
		if (!dim_equals(x->dims[d], 1))
			return false;
	return p->nrow == 0 && (steps == 0 || (steps == 1 && dim_equals(p->f[0].stride, 1)));
}

/* The first `outer` axes of x are its rows; split0, split1: Packed.split. */
static Packed *find_packed(Lower *l, PackedForm form, const Node *user, Value *x, int outer, const Dim *split0, const Dim *split1)
{
	View w;
	Module *m = l->m;
	const Node *group = group_of(user);

	plain_view(m, x, &w);
	Packed key = {.form = form, .block = group ? group->block : user->block, .base = w.base, .split = {split0, split1}, .last = -1};
	if (user->op == OpAttention && query_count(user) == FewOrMany)
		key.unless_few = user->in[0]->type.dims[1];
	key.nrow = merge_factors(m, &w, 0, outer, key.f);
	key.nfactor = key.nrow + merge_factors(m, &w, outer, x->type.rank, key.f + key.nrow);
	Home *h = new_home(l, w.root);
	for (Packed *p = h->packed; p; p = p->next)
		if (same_rows(p, &key))
			return p;
	Packed *p = arena_alloc(m->arena, sizeof *p);
	*p = key;
	p->next = h->packed;
	return h->packed = p;
}

Packed *packed_rows(Lower *l, Node *linear)
{
	Value *x = linear->in[0];
	const PackedForm form = linear->op == OpStrassen ? PackedSums : linear->op == OpLinearBytes ? PackedBytes : PackedRows;
	return find_packed(l, form, linear, x, x->type.rank - (form == PackedSums ? 1 : (int)attr_int(linear, Attr_inner)), NULL, NULL);
}

Packed *row_order(Lower *l, Node *experts)
{
	Value *which = experts->in[3];
	const Type *x = &experts->in[0]->type;
	const int batch = which->type.rank;
	return find_packed(l, RowOrder, experts, which, batch, experts->in[1]->type.dims[0], dims_product(l->m, x->dims + batch, x->rank - 1 - batch));
}

HowMany query_count(const Node *attention)
{
	return sees_chunks(attention) ? Many : how_many(attention->in[0]->type.dims[1], FewQueries);
}

Packed *key_runs(Lower *l, Node *attention)
{
	Value *mask = attention->in[3];
	const Type *t = mask ? &mask->type : NULL;

	if (!t || t->rank == 0 || dim_equals(t->dims[t->rank - 1], 1))
		return NULL;
	if (t->dtype != Bool && t->rank > 2 && !dim_equals(t->dims[t->rank - 3], 1))
		return NULL; /* a bias of each head takes longer to read than it can save, and is seldom -inf */
	return find_packed(l, KeyRuns, attention, mask, t->rank - 1, t->rank > 1 ? t->dims[t->rank - 2] : dim_const(l->m, 1), NULL);
}

Packed *packed_heads(Lower *l, Node *attention, PackedForm form)
{
	Value *x = attention->in[form == KeyPanels ? 1 : 2];
	return find_packed(l, form, attention, x, 3, x->type.dims[1], x->type.dims[2]);
}
