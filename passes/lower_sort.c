/* lower_sort.c - top_k: the places of the k largest or smallest elements along an axis, in order.
 *
 * A line along the axis belongs to one worker.  Its result is first a heap, the root of which is the last of the k best so far: what
 * comes before it takes its place.  That is log k steps for an element at most, and one comparison for 16 of most if k is small.  Then
 * the root goes to the end of the heap, which becomes smaller by one, until all are in order: n log k for a line of n.
 *
 * A whole line of integers, unless it is short, is sorted by its digits of 8 bits instead, the last first: places go from one half of
 * the worker's scratch to the other and stay in order where digits are equal.  A digit that all elements share is left out, so a
 * permutation of a line of 1000 takes two passes.
 *
 * The order is total, since the place decides between equal elements; so the result does not depend on the way to it.
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

/* May any of 16 elements from place i on come before the heap's root?  Those beyond the line are 0, which may; so may a NaN, whatever the order. */
static LExpr *may_come(Heap *h, LExpr *i)
{
	LB *b = &h->k->b;
	const LType lanes = {h->x.dtype, Lanes}, count = {I32, Lanes};
	LExpr *root = lcast(b, LSplat, lanes, element(h, place_at(h, li(b, 0))));
	LExpr *mask = lane_mask(h->k, lsub(b, kdim(h->k, h->x.extent[h->axis]), i));
	LExpr *v = llet(b, lload(b, h->x.buf, Lanes, ladd(b, h->x_line, i), NULL, mask));
	LExpr *behind = h->largest ? lop(b, LLe, v, root, NULL) : lop(b, LLe, root, v, NULL);
	LExpr *ones = llet(b, lop(b, LSelect, behind, lconst(b, count, 0), lconst(b, count, 1)));
	return llt(b, lconst(b, (LType){I32, 1}, 0), lop(b, LHMax, ones, NULL, NULL));
}

/* Each element behind the first `size` that comes before the root takes its place: few do, so that 16 are looked at first. */
static void emit_scan(Heap *h)
{
	LB *b = &h->k->b;
	LExpr *zero = li(b, 0), *n = kdim(h->k, h->x.extent[h->axis]), *from = h->size, *to = n;
	const bool by_lanes = dim_equals(h->x.stride[h->axis], 1) && !is_stored(h->x.dtype) && dtypes[h->x.dtype].bytes >= 4;

	if (by_lanes) {
		from = lfor(b, ForSerial, h->size, n, li(b, Lanes));
		to = llet(b, lop(b, LPMin, ladd(b, from, li(b, Lanes)), n, NULL));
		lif(b, may_come(h, from));
	}
	LExpr *i = lfor(b, ForSerial, from, to, NULL);
	lif(b, comes_before(h, i, place_at(h, zero)));
	put_place(h, zero, i);
	sink(h, zero, h->size);
	lend(b);
	lend(b);
	if (by_lanes) {
		lend(b);
		lend(b);
	}
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
	emit_scan(h);
	i = lfor(b, ForSerial, one, size, NULL);
	LExpr *end = llet(b, lsub(b, size, i)), *last = place_at(h, end);
	put_place(h, end, place_at(h, zero));
	put_place(h, zero, last);
	sink(h, zero, end);
	lend(b);
}

enum { DigitBits = 8, Digits = 1 << DigitBits, FewElements = 64 /* which a heap sorts before counts are set to 0 */ };

/* Is a line of that length sorted by digits? */
static bool has_digits(const Node *n, int axis, int64_t length)
{
	const Type *x = &n->in[0]->type;
	return dtypes[x->dtype].cls != ClassFloat && n->out[0]->type.dims[axis] == x->dims[axis] && length >= FewElements;
}

typedef struct Digit { /* of elements: ((x >> shift) & 255) ^ flip */
	LExpr *shift, *flip;
} Digit;

static LExpr *whole_element(Heap *h, LExpr *place)
{
	return llet(&h->k->b, lcast(&h->k->b, LConvert, IndexType, element(h, place)));
}

static LExpr *digit_of(Heap *h, const Digit *d, LExpr *place)
{
	LB *b = &h->k->b;
	LExpr *bits = lop(b, LAnd, lop(b, LShr, whole_element(h, place), d->shift, NULL), li(b, Digits - 1), NULL);
	return llet(b, lop(b, LXor, bits, d->flip, NULL));
}

/* The places at `from` of scratch, in the order of a digit to those at `to`. */
static void sort_digit(Heap *h, const Digit *d, LBuf *scratch, LBuf *counts, LExpr *from, LExpr *to, LExpr *length)
{
	LB *b = &h->k->b;
	LExpr *zero = li(b, 0), *one = li(b, 1);
	LTile *before = new_counter(h->k, "before");

	LExpr *i = lfor(b, ForSerial, zero, li(b, Digits), li(b, Lanes));
	lstore(b, counts, i, NULL, NULL, lconst(b, (LType){I64, Lanes}, 0));
	lend(b);
	i = lfor(b, ForSerial, zero, length, NULL);
	LExpr *digit = digit_of(h, d, i);
	lstore(b, counts, digit, NULL, NULL, ladd(b, lload(b, counts, 1, digit, NULL, NULL), one));
	lend(b);
	set(h, before, zero);
	i = lfor(b, ForSerial, zero, li(b, Digits), NULL);
	LExpr *count = llet(b, lload(b, counts, 1, i, NULL, NULL)), *sum = get(h, before);
	lstore(b, counts, i, NULL, NULL, sum);
	set(h, before, ladd(b, sum, count));
	lend(b);
	i = lfor(b, ForSerial, zero, length, NULL);
	LExpr *place = llet(b, lload(b, scratch, 1, ladd(b, from, i), NULL, NULL));
	digit = digit_of(h, d, place);
	LExpr *at = llet(b, lload(b, counts, 1, digit, NULL, NULL));
	lstore(b, scratch, ladd(b, to, at), NULL, NULL, place);
	lstore(b, counts, digit, NULL, NULL, ladd(b, at, one));
	lend(b);
}

/* room: of two lines, in scratch. */
static void emit_digits(Heap *h, LBuf *scratch, LBuf *counts, LExpr *room)
{
	LB *b = &h->k->b;
	const DType x = h->x.dtype;
	const int bits = 8 * dtypes[x].bytes;
	LExpr *zero = li(b, 0), *length = kdim(h->k, h->x.extent[h->axis]), *first = whole_element(h, zero);
	LTile *differ = new_counter(h->k, "differ"), *from = new_counter(h->k, "from");

	set(h, differ, zero);
	set(h, from, room);
	LExpr *i = lfor(b, ForSerial, zero, length, NULL);
	lstore(b, scratch, ladd(b, room, i), NULL, NULL, i);
	set(h, differ, lop(b, LOr, get(h, differ), lop(b, LXor, whole_element(h, i), first, NULL), NULL));
	lend(b);
	LExpr *shift = lfor(b, ForSerial, zero, li(b, bits), li(b, DigitBits));
	lif(b, lop(b, LNe, lop(b, LAnd, lop(b, LShr, get(h, differ), shift, NULL), li(b, Digits - 1), NULL), zero, NULL));
	LExpr *sign = dtypes[x].cls == ClassSigned ? lop(b, LSelect, lop(b, LEq, shift, li(b, bits - DigitBits), NULL), li(b, Digits / 2), zero) : zero;
	const Digit digit = {shift, llet(b, lop(b, LXor, sign, li(b, h->largest ? Digits - 1 : 0), NULL))};
	LExpr *now = get(h, from), *to = llet(b, lsub(b, ladd(b, ladd(b, room, room), length), now));
	sort_digit(h, &digit, scratch, counts, now, to, length);
	set(h, from, to);
	lend(b);
	lend(b);
	i = lfor(b, ForSerial, zero, length, NULL);
	put_place(h, i, llet(b, lload(b, scratch, 1, ladd(b, get(h, from), i), NULL, NULL)));
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
	int64_t shortest, longest;
	dim_range(n->in[0]->type.dims[h.axis], &shortest, &longest);
	const bool some_digits = has_digits(n, h.axis, longest), all_digits = has_digits(n, h.axis, shortest);
	LBuf *scratch = NULL, *counts = NULL;
	LExpr *tasks = llet(b, kdim(&k, dims_product(m, lines, h.x.rank))), *room = NULL;
	if (!all_digits) {
		h.hole = new_counter(&k, "hole");
		h.next = new_counter(&k, "next");
		h.depth = find_depth(&h);
	}
	if (some_digits) {
		need_scratch(l, dim_mul_const(m, size, 2 * dtypes[I64].bytes / dtypes[F32].bytes));
		scratch = kscratch_of(&k, I64);
		counts = llocal(b, "counts", I64, Digits);
		room = llet(b, lop(b, LFloorDiv, lmul(b, this_worker(&k), kworker(&k)), li(b, dtypes[I64].bytes / dtypes[F32].bytes), NULL));
	}
	LExpr *line = share_tasks(&k, tasks);
	split_index(&k, line, lines, h.x.rank, at);
	at[h.axis] = NULL;
	h.x_line = llet(b, offset_of(&k, &h.x, at));
	h.y_line = llet(b, offset_of(&k, &h.y, at));
	const bool both = some_digits && !all_digits;
	if (both)
		lif(b, llt(b, h.size, li(b, FewElements)));
	if (!all_digits)
		emit_line(&h);
	if (both)
		lelse(b);
	if (some_digits)
		emit_digits(&h, scratch, counts, room);
	if (both)
		lend(b);
	lend(b);
	kflop(&k, type_numel(m, &n->in[0]->type));
	kcall(&k);
}
