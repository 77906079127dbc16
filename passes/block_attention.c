/* block_attention.c - attention to blocks of keys that a constant names (Big Bird and the like).
 *
 * Exporters gather the blocks, once for each block of queries, and the copies are several times as large as what they copy.  Here the
 * blocks of queries are already heads of the attention, the last factor of that axis.  They become a group of query heads that share the keys
 * as they were before the gather, and a mask shows each of them its blocks.  The schedule skips the others.
 */
#include "idioms.h"

/* keys or values: [batch, key, head, channel], made of a gather's result */
typedef struct Blocks {
	Value *from, *index; /* of the gather */
	int axis; /* of `from`: the blocks; the index has one for block of queries and slot at axes `axis` and `axis` + 1 of the result */
	int64_t rows, slots, blocks, size; /* blocks of queries, slots of each; of keys; keys of a block */
	const Type *result;
	int seen; /* its axes, so far */
	int nfactor;
	View view; /* over `from`'s root: all keys */
	Type type;
} Blocks;

/* The gather takes whole slices along one axis, by an index of rank 2. */
static bool is_block_gather(const Node *n, Blocks *b)
{
	const Type *index;
	int64_t depth;

	if (!n || (n->op != OpGather && n->op != OpGatherND) || !n->in[1]->konst || !n->in[1]->konst->data)
		return false;
	index = &n->in[1]->type;
	bool nd = n->op == OpGatherND;
	if (index->rank != 2 + nd || (nd && (attr_int(n, Attr_batch_dims) || !dim_is_const(index->dims[2], &depth) || depth != 1)))
		return false;
	b->from = n->in[0];
	b->index = n->in[1];
	b->axis = nd ? 0 : (int)attr_int(n, Attr_axis);
	return dim_is_const(index->dims[0], &b->rows) && dim_is_const(index->dims[1], &b->slots) &&
	       dim_is_const(b->from->type.dims[b->axis], &b->blocks) && b->rows > 1;
}

/* The axes of a row-major value that a factor steps along from end to end. */
static bool axes_of(Module *m, const Type *t, const Factor *f, int *outer, int *inner)
{
	const Dim *stride = dim_const(m, 1), *extent = stride;
	int d = t->rank - 1;

	for (; d >= 0 && (stride != f->stride || dim_equals(t->dims[d], 1)); d--)
		stride = dim_mul(m, stride, t->dims[d]);
	for (*inner = d; d >= 0; d--) {
		extent = dim_mul(m, extent, t->dims[d]);
		*outer = d;
		if (extent == f->extent)
			return true;
	}
	return false;
}

/* Axis `axis` of the gather's result is a factor of axis d of what the attention reads, at its begin or end or between: appends the
 * factors that it was before the gather. */
static bool add_axis(Blocks *b, const View *whole, int axis, int d, bool begin, bool end)
{
	const Dim *extent = b->result->dims[axis];
	int64_t n = 1;

	if (b->seen >> axis & 1)
		return false;
	b->seen |= 1 << axis;
	if (axis == b->axis)
		return d == 2 && end;
	if (axis == b->axis + 1 && (d != 1 || !begin))
		return false;
	if (axis != b->axis + 1 && d == 1 && (!dim_is_const(extent, &n) || __builtin_mul_overflow(b->size, n, &b->size)))
		return false;
	int from = axis < b->axis ? axis : axis - 1;
	for (int k = whole->first[from]; k < whole->first[from + 1]; k++) {
		if (b->nfactor == MaxFactors)
			return false;
		b->view.f[b->nfactor++] = whole->f[k];
	}
	return true;
}

/* Undoes the gather: the view of all keys.  The slots are the outermost factor of the key axis, the blocks of queries the innermost of the
 * heads, and every other axis is there as it was. */
static bool find_blocks(Module *m, Value *v, Blocks *b)
{
	View w, whole;
	int outer, inner;

	*b = (Blocks){.size = 1};
	view_of(m, v, &w);
	if (w.rank != 4 || !dim_equals(w.base, 0) || !is_block_gather(w.root->def, b))
		return false;
	view_of(m, b->from, &whole);
	b->result = &w.root->type;
	b->view = (View){.root = whole.root, .base = whole.base, .rank = 4};
	b->type = v->type;
	for (int d = 0; d < 4; d++) {
		b->view.first[d] = b->nfactor;
		for (int i = w.first[d]; i < w.first[d + 1]; i++) {
			if (!axes_of(m, b->result, &w.f[i], &outer, &inner))
				return false;
			for (int axis = outer; axis <= inner; axis++) {
				bool begin = i == w.first[d] && axis == outer, end = i == w.first[d + 1] - 1 && axis == inner;
				if (!dim_equals(b->result->dims[axis], 1) && !add_axis(b, &whole, axis, d, begin, end))
					return false;
			}
		}
	}
	b->view.first[4] = b->nfactor;
	for (int d = 0; d < b->result->rank; d++)
		if (!(b->seen >> d & 1) && !dim_equals(b->result->dims[d], 1))
			return false;
	return b->seen >> b->axis & 1 && b->seen >> (b->axis + 1) & 1;
}

/* Which blocks of keys each block of queries sees: [rows][blocks].  False if one is seen twice, which counts twice, or is not there. */
static bool read_index(const Blocks *b, bool *sees)
{
	const Const *c = b->index->konst;

	for (int64_t i = 0; i < b->rows * b->slots; i++) {
		int64_t block;
		if (!scalar_as_int(scalar_at(c->type.dtype, c->data, i), &block))
			return false;
		block += block < 0 ? b->blocks : 0;
		if (block < 0 || block >= b->blocks || sees[i / b->slots * b->blocks + block])
			return false;
		sees[i / b->slots * b->blocks + block] = true;
	}
	return true;
}

enum { LargestMask = 1 << 24 };

/* bool[1, heads, 1, keys], where head h is block h % rows of the queries. */
static Value *mask_of_blocks(Module *m, const Blocks *b, int64_t heads)
{
	int64_t keys, bytes;

	if (__builtin_mul_overflow(b->blocks, b->size, &keys) || __builtin_mul_overflow(heads, keys, &bytes) || bytes > LargestMask || b->rows * b->blocks > LargestMask)
		return NULL;
	bool *sees = arena_alloc(m->arena, (size_t)(b->rows * b->blocks) + 1);
	unsigned char *mask = arena_alloc(m->arena, (size_t)bytes + 1);
	if (!read_index(b, sees))
		return NULL;
	for (int64_t i = 0; i < bytes; i++)
		mask[i] = sees[i / keys % b->rows * b->blocks + i % keys / b->size];
	const Dim *one = dim_const(m, 1);
	const Type type = {.dtype = Bool, .rank = 4, .dims = {one, dim_const(m, heads), one, dim_const(m, keys)}};
	return new_const(m, NULL, type, mask, (size_t)bytes)->value;
}

/* NULL: the view has too many axes. */
static Value *all_keys(Module *m, Blocks *b, int64_t heads, Node *before)
{
	b->type.dims[1] = dim_const(m, b->blocks * b->size);
	b->type.dims[2] = dim_const(m, heads / b->rows);
	return build_view(m, &b->view, &b->type, before, before->loc);
}

bool see_blocks(Module *m, Node *n)
{
	Blocks k, v;
	int64_t heads;

	if (n->op != OpAttention || sees_chunks(n) || n->in[3] || attr_int(n, Attr_left) >= 0 || attr_int(n, Attr_right) >= 0)
		return false;
	if (!find_blocks(m, n->in[1], &k) || !find_blocks(m, n->in[2], &v) || k.index != v.index || k.axis != v.axis || k.blocks != v.blocks || k.size != v.size)
		return false;
	if (k.size % PanelWidth != 0 || n->in[1]->type.dims[2] != n->in[0]->type.dims[2] || !dim_is_const(n->in[0]->type.dims[2], &heads) || heads % k.rows != 0)
		return false; /* the schedule looks at whole panels: of smaller blocks it would see too much */
	if (!allow("attention"))
		return false;
	Value *mask = mask_of_blocks(m, &k, heads);
	if (!mask)
		return false;
	Value *keys = all_keys(m, &k, heads, n), *values = all_keys(m, &v, heads, n);
	if (!keys || !values)
		return false;
	set_in(m, n, 1, keys);
	set_in(m, n, 2, values);
	set_in(m, n, 3, mask);
	report_match("attention to blocks", n->loc);
	return true;
}
