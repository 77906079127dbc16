/* lower_sort.c - top_k: the places of the k largest or smallest elements along an axis, in order.
 *
 * A line along the axis belongs to one worker.  Its result is first a heap, the root of which is the last of the k best so far: what
 * comes before it takes its place.  That is log k steps for an element at most, and one comparison for most if k is small.  Then
 * the root goes to the end of the heap, which becomes smaller by one, until all are in order: n log k for a line of n.
 *
 * The order is total, since the place decides between equal elements; so the result does not depend on the course of the heap.
 */
#include "lower.h"

typedef struct Heap {
	Kernel *k;
	Access x, y;
	int axis;
	bool largest;
	LExpr *x_line, *y_line; /* offsets of the line */
	LExpr *size, *depth; /* of the result along the axis; steps from the root of so large a heap to a leaf, at most */
	LTile *hole, *next; /* while an element sinks: its place in the heap, from which to go on */
} Heap;

static LTile *new_counter(Kernel *k, const char *name)
{
	return lnew_tile(&k->b, name, IndexType, 1, 1);
}

static LExpr *get(Heap *h, LTile *t)
{
	return llet(&h->k->b, lelem(&h->k->b, t, li(&h->k->b, 0), li(&h->k->b, 0)));
}

static void set(Heap *h, LTile *t, LExpr *e)
{
	lset_tile(&h->k->b, t, li(&h->k->b, 0), li(&h->k->b, 0), e);
}

/* Of the heap: the place of an element of the line. */
static LExpr *place_at(Heap *h, LExpr *i)
{
	LB *b = &h->k->b;
	return llet(b, lload(b, h->y.buf, 1, ladd(b, h->y_line, lmul(b, i, kdim(h->k, h->y.stride[h->axis]))), NULL, NULL));
}

static void put_place(Heap *h, LExpr *i, LExpr *place)
{
	LB *b = &h->k->b;
	lstore(b, h->y.buf, ladd(b, h->y_line, lmul(b, i, kdim(h->k, h->y.stride[h->axis]))), NULL, NULL, place);
}

static LExpr *element(Heap *h, LExpr *place)
{
	LB *b = &h->k->b;
	return llet(b, lload(b, h->x.buf, 1, ladd(b, h->x_line, lmul(b, place, kdim(h->k, h->x.stride[h->axis]))), NULL, NULL));
}

/* A NaN is the greatest; NaNs are equal. */
static LExpr *is_less(Heap *h, LExpr *x, LExpr *y)
{
	LB *b = &h->k->b;
	LExpr *less = llt(b, x, y);
	if (!is_among(h->x.dtype, TypesFlt))
		return less;
	return lop(b, LOr, less, lop(b, LAnd, lop(b, LEq, x, x, NULL), lop(b, LNe, y, y, NULL), NULL), NULL);
}

/* Does the element at `place` come before the one at `other` in the result. */
static LExpr *comes_before(Heap *h, LExpr *place, LExpr *other)
{
	LB *b = &h->k->b;
	LExpr *x = element(h, place), *y = element(h, other), *before = is_less(h, x, y), *behind = is_less(h, y, x);

	if (h->largest) {
		LExpr *less = before;
		before = behind;
		behind = less;
	}
	LExpr *first = lop(b, LAnd, lop(b, LNot, behind, NULL, NULL), llt(b, place, other), NULL);
	return llet(b, lop(b, LOr, before, first, NULL));
}

/* The place `root` of a heap of `size` sinks below those that come behind it. */
static void sink(Heap *h, LExpr *root, LExpr *size)
{
	LB *b = &h->k->b;
	LExpr *one = li(b, 1), *place = place_at(h, root);

	set(h, h->hole, root);
	set(h, h->next, root);
	lfor(b, ForSerial, li(b, 0), h->depth, NULL);
	LExpr *at = get(h, h->next), *left = llet(b, ladd(b, lmul(b, at, li(b, 2)), one));
	lif(b, llt(b, left, size));
	LExpr *right = llet(b, lmin(b, ladd(b, left, one), lsub(b, size, one)));
	LExpr *l = place_at(h, left), *r = place_at(h, right), *later = comes_before(h, l, r);
	LExpr *below = llet(b, lop(b, LSelect, later, right, left)), *last = llet(b, lop(b, LSelect, later, r, l));
	lif(b, comes_before(h, place, last));
	put_place(h, at, last);
	set(h, h->hole, below);
	set(h, h->next, below);
	lelse(b);
	set(h, h->next, size); /* it has no children */
	lend(b);
	lend(b);
	lend(b);
	put_place(h, get(h, h->hole), place);
}

/* log2 of the size, rounded down. */
static LExpr *find_depth(Heap *h)
{
	LB *b = &h->k->b;
	LTile *levels = new_counter(h->k, "levels");

	set(h, levels, li(b, 0));
	LExpr *i = lfor(b, ForSerial, li(b, 1), li(b, 32), NULL);
	LExpr *deeper = llt(b, li(b, 0), lop(b, LShr, h->size, i, NULL));
	set(h, levels, ladd(b, get(h, levels), lcast(b, LConvert, IndexType, deeper)));
	lend(b);
	return get(h, levels);
}

static void emit_line(Heap *h)
{
	LB *b = &h->k->b;
	LExpr *zero = li(b, 0), *one = li(b, 1), *size = h->size;

	LExpr *i = lfor(b, ForSerial, zero, size, NULL);
	put_place(h, i, i);
	lend(b);
	LExpr *half = llet(b, lop(b, LFloorDiv, size, li(b, 2), NULL));
	i = lfor(b, ForSerial, zero, half, NULL);
	sink(h, llet(b, lsub(b, lsub(b, half, one), i)), size);
	lend(b);
	i = lfor(b, ForSerial, size, kdim(h->k, h->x.extent[h->axis]), NULL);
	lif(b, comes_before(h, i, place_at(h, zero)));
	put_place(h, zero, i);
	sink(h, zero, size);
	lend(b);
	lend(b);
	i = lfor(b, ForSerial, one, size, NULL);
	LExpr *end = llet(b, lsub(b, size, i)), *last = place_at(h, end);
	put_place(h, end, place_at(h, zero));
	put_place(h, zero, last);
	sink(h, zero, end);
	lend(b);
}

void lower_top_k(Lower *l, Node *n, Value *home)
{
	Module *m = l->m;
	Kernel k = open_kernel(l, "top_k", false);
	LB *b = &k.b;
	Heap h = {.k = &k, .axis = attr_int(n, Attr_axis), .largest = attr_int(n, Attr_largest)};
	const Dim *lines[MaxRank], *size = n->out[0]->type.dims[h.axis];
	LExpr *at[MaxRank] = {0};

	h.x = kaccess(&k, n->in[0]);
	h.y = written_access(&k, &n->out[0]->type, home);
	h.size = kdim(&k, size);
	for (int d = 0; d < h.x.rank; d++)
		lines[d] = d == h.axis ? dim_min(m, size, dim_const(m, 1)) : h.x.extent[d]; /* nothing to do for an empty result */
	h.hole = new_counter(&k, "hole");
	h.next = new_counter(&k, "next");
	h.depth = find_depth(&h);
	LExpr *line = lfor(b, ForParallel, li(b, 0), kdim(&k, dims_product(m, lines, h.x.rank)), NULL);
	split_index(&k, line, lines, h.x.rank, at);
	at[h.axis] = NULL;
	h.x_line = llet(b, offset_of(&k, &h.x, at));
	h.y_line = llet(b, offset_of(&k, &h.y, at));
	emit_line(&h);
	lend(b);
	kflop(&k, type_numel(m, &n->in[0]->type));
	kcall(&k);
}
