/* chunk_attention.c - chunks of a sequence that look at themselves and at chunks beside them (LSH and local attention of Reformer, LongT5).
 *
 * Exporters put the keys of those chunks one behind the other for each chunk, so that each key is written and packed as often as it is
 * looked at.  Here keys and values stay as they were, each chunk a batch, and the attention says which of them a batch of queries sees.
 */
#include "idioms.h"

/* One of the parts that a query sees: chunk c of it lies at base + (c + shift) % chunks * stride. */
typedef struct ChunkPart {
	View view; /* of all its chunks, or of a run of them */
	const Dim *base;
	int64_t shift;
	bool rolled; /* else chunk c is at base + c * stride, and `shift` is told later */
} ChunkPart;

typedef struct KeyChunks {
	int axis; /* of the parts: the chunks; the next one is the keys */
	int64_t n, stride;
	int nparts;
	ChunkPart part[MaxShifts];
	int64_t of;
	Value *all; /* [batch, key, head, channel]: of all chunks */
} KeyChunks;

/* Are the axes of two parts but for `axis` the same places of the same value? */
static bool same_but(const View *a, const View *b, int axis)
{
	if (a->root != b->root || a->rank != b->rank)
		return false;
	for (int d = 0; d < a->rank; d++) {
		const int n = a->first[d + 1] - a->first[d];
		if (d == axis)
			continue;
		if (b->first[d + 1] - b->first[d] != n)
			return false;
		for (int i = 0; i < n; i++) {
			const Factor *x = &a->f[a->first[d] + i], *y = &b->f[b->first[d] + i];
			if (x->extent != y->extent || x->stride != y->stride)
				return false;
		}
	}
	return true;
}

/* How far the chunks of a view lie apart; false: that varies.  Of one chunk, nothing is said. */
static bool find_stride(KeyChunks *c, const View *w)
{
	const int first = w->first[c->axis], n = w->first[c->axis + 1] - first;
	int64_t stride;

	if (n == 0)
		return true;
	if (n > 1 || !dim_is_const(w->f[first].stride, &stride) || stride <= 0 || (c->stride && c->stride != stride))
		return false;
	c->stride = stride;
	return true;
}

static bool distance(Module *m, const Dim *from, const Dim *to, int64_t *n)
{
	return dim_is_const(dim_sub(m, to, from), n);
}

/* The last chunks in front of the first ones: concat(x[k:], x[:k]) along the chunks. */
static bool find_rolled(Module *m, KeyChunks *c, const Node *concat, ChunkPart *p)
{
	View last;
	int64_t apart;

	if (concat->nin != 2 || !dim_is_const(concat->in[1]->type.dims[c->axis], &p->shift) || p->shift < 1 || p->shift >= c->n)
		return false;
	view_of(m, concat->in[0], &last);
	view_of(m, concat->in[1], &p->view);
	p->base = p->view.base;
	p->rolled = true;
	if (!same_but(&last, &p->view, c->axis) || !find_stride(c, &last) || !find_stride(c, &p->view) || !distance(m, p->base, last.base, &apart))
		return false;
	if (apart <= 0 || apart % p->shift || (c->stride && c->stride != apart / p->shift))
		return false;
	c->stride = apart / p->shift;
	return true;
}

static bool find_part(Module *m, KeyChunks *c, Value *v, ChunkPart *p)
{
	if (v->def && v->def->op == OpConcat && attr_int(v->def, Attr_axis) == c->axis)
		return find_rolled(m, c, v->def, p);
	view_of(m, v, &p->view);
	p->base = p->view.base;
	return find_stride(c, &p->view);
}

/* Counts all parts' chunks from the first that one of them has. */
static bool find_shifts(Module *m, KeyChunks *c)
{
	const Dim *base = c->part[0].base;
	int64_t apart, most = 0;
	bool rolled = false;

	for (int i = 1; i < c->nparts; i++) {
		if (!same_but(&c->part[i].view, &c->part[0].view, c->axis) || !distance(m, base, c->part[i].base, &apart))
			return false;
		base = apart < 0 ? c->part[i].base : base;
	}
	for (int i = 0; i < c->nparts; i++) {
		ChunkPart *p = &c->part[i];
		distance(m, base, p->base, &apart);
		rolled |= p->rolled;
		if (apart % c->stride)
			return false;
		if (!p->rolled)
			p->shift = apart / c->stride;
		else if (apart)
			return false;
		most = !p->rolled && p->shift > most ? p->shift : most;
	}
	c->part[0].base = base;
	if (__builtin_add_overflow(c->n, most, &c->of) || c->of > c->n * c->nparts || c->of > INT32_MAX)
		return false; /* copies are smaller than all that lies between the parts */
	return !(rolled && most);
}

/* The chunks as batches: the view of a part with all of them. */
static Value *all_chunks(Module *m, const KeyChunks *c, const Type *part, const Type *four, Node *before)
{
	const View *from = &c->part[0].view;
	View w = {.root = from->root, .base = c->part[0].base, .rank = from->rank}, merged;
	Type t = *four;
	int k = 0;

	for (int d = 0; d < from->rank; d++) {
		w.first[d] = k;
		if (d == c->axis)
			w.f[k++] = (Factor){dim_const(m, c->of), dim_const(m, c->stride)};
		for (int i = from->first[d]; d != c->axis && i < from->first[d + 1]; i++) {
			if (k == MaxFactors)
				return NULL;
			w.f[k++] = from->f[i];
		}
	}
	w.first[from->rank] = k;
	t.dims[0] = dim_mul_const(m, dims_product(m, part->dims, c->axis), c->of);
	t.dims[1] = part->dims[c->axis + 1];
	return view_reshape(m, &w, &t, &merged) ? build_view(m, &merged, &t, before, before->loc) : NULL;
}

/* v, [batch, key, head, channel], is a row-major concat along the keys, each batch a chunk; the axis in front of the keys counts them. */
static bool find_chunks(Module *m, Value *v, KeyChunks *c, Node *before)
{
	const Type *four = &v->type;
	View w;

	view_of(m, v, &w);
	const Node *concat = w.root->def;
	if (!concat || concat->op != OpConcat || !view_is_dense(m, &w) || concat->nin < 2 || concat->nin > MaxShifts)
		return false;
	const Type *t = &concat->out[0]->type, *part = &concat->in[0]->type;
	const int keys = (int)attr_int(concat, Attr_axis);
	int64_t size;
	*c = (KeyChunks){.axis = keys - 1, .nparts = concat->nin};
	if (keys < 1 || keys > t->rank - 2 || !dim_is_const(t->dims[c->axis], &c->n) || c->n < 2)
		return false;
	if (dims_product(m, t->dims, keys) != four->dims[0] || t->dims[keys] != four->dims[1] || t->dims[t->rank - 1] != four->dims[3])
		return false;
	for (int i = 0; i < c->nparts; i++)
		if (concat->in[i]->type.dims[keys] != part->dims[keys] || !find_part(m, c, concat->in[i], &c->part[i]))
			return false;
	if (!dim_is_const(part->dims[keys], &size) || size == 0 || size % PanelWidth != 0 || !c->stride || !find_shifts(m, c))
		return false; /* the schedule looks at whole panels */
	c->all = all_chunks(m, c, part, four, before);
	return c->all;
}

bool see_chunks(Module *m, Node *n)
{
	KeyChunks k, v;

	if (n->op != OpAttention || n->in[0]->type.dtype != F32 || sees_chunks(n) || !allow("attention"))
		return false;
	if (!find_chunks(m, n->in[1], &k, n) || !find_chunks(m, n->in[2], &v, n) || k.n != v.n || k.of != v.of || k.nparts != v.nparts)
		return false;
	int64_t shifts[MaxShifts];
	for (int i = 0; i < k.nparts; i++)
		if ((shifts[i] = k.part[i].shift) != v.part[i].shift)
			return false;
	set_attr(m, n, mk_ints(m, Attr_chunks, 2, (const int64_t[]){k.n, k.of}));
	set_attr(m, n, mk_ints(m, Attr_shifts, k.nparts, shifts));
	set_in(m, n, 1, k.all);
	set_in(m, n, 2, v.all);
	report_match("attention to chunks", n->loc);
	return true;
}
