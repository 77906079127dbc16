/* lower_index.c - gathers and scatters by data-dependent indices.
 *
 * Indices are untrusted: each is checked, a bad one is recorded by `fail`, and nothing is read or written for it.  A scatter first
 * copies its operand; no two workers write one element, so that duplicates have one order whatever the number of threads.
 */
#include "lower.h"

#include <string.h>

/* ---- gathers ----------------------------------------------------------------------------------------------------------------------- */

/* The index read at `offset`, wrapped if negative; opens an `if` that holds for good indices (the caller closes it after use). */
static LExpr *checked_index(Kernel *k, Node *n, const Access *idx, LExpr *offset, LExpr *extent)
{
	LB *b = &k->b;
	LExpr *raw = llet(b, lcast(b, LConvert, (LType){I64, 1}, lload(b, idx->buf, 1, offset, NULL, NULL))), *zero = li(b, 0);
	LExpr *i = llet(b, lop(b, LSelect, llt(b, raw, zero), ladd(b, raw, extent), raw));
	LExpr *bad = lop(b, LOr, llt(b, i, zero), lop(b, LLe, extent, i, NULL), NULL);

	lif(b, bad);
	fail_index(k, n, 1, raw);
	lelse(b);
	return i;
}

/* Copies the trailing axes from..rank of x, whose leading offset is `at`, to y from `to` on. */
static void copy_tail(Kernel *k, const Access *x, int from, LExpr *at, LBuf *y, LExpr *to)
{
	LB *b = &k->b;
	Module *m = k->l->m;
	int last = x->rank - 1, loops = 0;
	const Dim *inner = dim_const(m, 1);

	if (from > last) {
		lstore(b, y, to, NULL, NULL, lload(b, x->buf, 1, at, NULL, NULL));
		return;
	}
	for (int d = last; d > from; d--)
		inner = dim_mul(m, inner, x->extent[d]);
	for (int d = from; d < last; d++) {
		LExpr *i = lfor(b, ForSerial, li(b, 0), kdim(k, x->extent[d]), NULL);
		at = llet(b, ladd(b, at, lmul(b, i, kdim(k, x->stride[d]))));
		to = llet(b, ladd(b, to, lmul(b, i, kdim(k, inner))));
		const Dim *next = dim_const(m, 1);
		for (int e = last; e > d + 1; e--)
			next = dim_mul(m, next, x->extent[e]);
		inner = next;
		loops++;
	}
	LExpr *n = kdim(k, x->extent[last]), *j = lfor(b, ForSerial, li(b, 0), n, li(b, Lanes));
	LExpr *mask = lane_mask(k, lsub(b, n, j));
	LExpr *v = load_lanes(k, x, ladd(b, at, lmul(b, j, kdim(k, x->stride[last]))), x->stride[last], mask);
	lstore(b, y, ladd(b, to, j), NULL, mask, v);
	for (int i = 0; i <= loops; i++)
		lend(b);
}

enum { Run = 64 }; /* short rows that one worker gathers at a time */

/* Opens loops over the first `lead` axes of t, at[] their indices, and returns the number of the row of `tail` elements there.  The last
 * of the axes goes in runs where rows are short: a division for each axis then serves a run, not an element or two.  `times`: 0 for no rows. */
static LExpr *for_rows(Kernel *k, const Type *t, int lead, const Dim *tail, const Dim *times, LExpr **at, int *loops)
{
	LB *b = &k->b;
	Module *m = k->l->m;
	int64_t length;
	const Dim *outer[MaxRank] = {0};

	*loops = lead && dim_is_const(tail, &length) && length < Lanes ? 2 : 1;
	if (*loops == 1) {
		LExpr *row = lfor(b, ForParallel, li(b, 0), kdim(k, dim_mul(m, dims_product(m, t->dims, lead), times)), NULL);
		split_index(k, row, t->dims, lead, at);
		return row;
	}
	const Dim *last = t->dims[lead - 1], *runs = dim_ceildiv(m, last, dim_const(m, Run));
	memcpy(outer, t->dims, (size_t)lead * sizeof *outer);
	outer[lead - 1] = runs;
	LExpr *run = lfor(b, ForParallel, li(b, 0), kdim(k, dim_mul(m, dims_product(m, outer, lead), times)), NULL);
	split_index(k, run, outer, lead, at);
	LExpr *from = llet(b, lmul(b, at[lead - 1], li(b, Run)));
	LExpr *line = llet(b, lmul(b, lop(b, LFloorDiv, run, kdim(k, runs), NULL), kdim(k, last)));
	LExpr *j = lfor(b, ForSerial, from, lop(b, LPMin, ladd(b, from, li(b, Run)), kdim(k, last), NULL), NULL);
	at[lead - 1] = j;
	return llet(b, ladd(b, line, j));
}

enum { RowsAhead = 8, MostLines = 4, LineBytes = 64 }; /* of what is prefetched: rows after this one, lines of such a row */

/* Rows of one axis, side by side and not short?  They lie anywhere, so no cache sees the next one coming. */
static bool needs_prefetch(const Access *x, int from)
{
	const int last = x->rank - 1;
	int64_t length;
	return from == last && dim_equals(x->stride[last], 1) && dim_is_const(x->extent[last], &length) && length >= Lanes;
}

/* Where among the first `lead` axes of t the row stands that comes RowsAhead after that at at[]. */
static void stand_ahead(Kernel *k, const Type *t, int lead, LExpr *const *at, LExpr **next)
{
	LB *b = &k->b;
	LExpr *last = lsub(b, kdim(k, t->dims[lead - 1]), li(b, 1));

	memcpy(next, at, MaxRank * sizeof *next);
	next[lead - 1] = llet(b, lop(b, LPMin, ladd(b, at[lead - 1], li(b, RowsAhead)), last, NULL));
}

/* The row of x at xi[], where xi[axis] is the index at `offset`; one that counts from the end, or is wrong, prefetches something else. */
static void prefetch_row(Kernel *k, const Access *x, const Access *idx, LExpr *offset, int axis, LExpr **xi)
{
	LB *b = &k->b;
	const int line = LineBytes / dtypes[x->dtype].bytes;
	int64_t length = 0;

	dim_is_const(x->extent[x->rank - 1], &length);
	xi[axis] = llet(b, lcast(b, LConvert, IndexType, lload(b, idx->buf, 1, offset, NULL, NULL)));
	LExpr *place = llet(b, offset_of(k, x, xi));
	for (int i = 0; i < MostLines && i * line < length; i++)
		lprefetch(b, x->buf, ladd(b, place, li(b, i * line)));
}

/* out[pre.., i.., post..] = x[pre.., idx[i..], post..] */
static void lower_take(Lower *l, Node *n, Value *home)
{
	Module *m = l->m;
	Kernel k = open_kernel(l, "gather", false);
	LB *b = &k.b;
	Access x = kaccess(&k, n->in[0]), idx = kaccess(&k, n->in[1]);
	int axis = attr_int(n, Attr_axis), lead = axis + idx.rank;
	const Type *t = &n->out[0]->type;
	LBuf *y = kbuf(&k, home, true);
	LExpr *at[MaxRank] = {0}, *xi[MaxRank] = {0};
	const Dim *tail = dims_product(m, t->dims + lead, t->rank - lead);

	int loops;
	LExpr *row = for_rows(&k, t, lead, tail, dim_const(m, 1), at, &loops);
	for (int d = 0; d < axis; d++)
		xi[d] = at[d];
	if (idx.rank && needs_prefetch(&x, axis + 1)) {
		LExpr *next[MaxRank];
		stand_ahead(&k, t, lead, at, next);
		prefetch_row(&k, &x, &idx, offset_of(&k, &idx, next + axis), axis, xi);
	}
	xi[axis] = checked_index(&k, n, &idx, offset_of(&k, &idx, at + axis), kdim(&k, x.extent[axis]));
	copy_tail(&k, &x, axis + 1, llet(b, offset_of(&k, &x, xi)), y, llet(b, lmul(b, row, kdim(&k, tail))));
	for (int i = 0; i <= loops; i++)
		lend(b);
	kreads(&k, x.buf, type_numel(m, t));
	kcall(&k);
}

/* out[i..] = x[i.. with idx[i..] at axis].  Trailing axes along which the index stays the same (it was expanded) are copied as rows. */
static void lower_take_elements(Lower *l, Node *n, Value *home)
{
	Module *m = l->m;
	Kernel k = open_kernel(l, "gather_elements", false);
	LB *b = &k.b;
	Access x = kaccess(&k, n->in[0]), idx = kaccess(&k, n->in[1]);
	const Type *t = &n->out[0]->type;
	int axis = attr_int(n, Attr_axis), lead = t->rank;
	LBuf *y = kbuf(&k, home, true);
	LExpr *at[MaxRank] = {0};

	for (; lead > axis + 1 && dim_equals(idx.stride[lead - 1], 0); lead--)
		x.extent[lead - 1] = t->dims[lead - 1]; /* of which x may have more */
	const Dim *tail = dims_product(m, t->dims + lead, t->rank - lead), *any = dim_min(m, tail, dim_const(m, 1));
	int loops;
	LExpr *row = for_rows(&k, t, lead, tail, any, at, &loops);
	if (needs_prefetch(&x, lead)) {
		LExpr *next[MaxRank];
		stand_ahead(&k, t, lead, at, next);
		prefetch_row(&k, &x, &idx, offset_of(&k, &idx, next), axis, next);
	}
	at[axis] = checked_index(&k, n, &idx, offset_of(&k, &idx, at), kdim(&k, x.extent[axis]));
	copy_tail(&k, &x, lead, llet(b, offset_of(&k, &x, at)), y, llet(b, lmul(b, row, kdim(&k, tail))));
	for (int i = 0; i <= loops; i++)
		lend(b);
	kreads(&k, x.buf, type_numel(m, t));
	kcall(&k);
}

/* out[batch.., i.., post..] = x[batch.., idx[batch.., i.., :].., post..] */
static void lower_take_nd(Lower *l, Node *n, Value *home)
{
	Module *m = l->m;
	Kernel k = open_kernel(l, "gather_nd", false);
	LB *b = &k.b;
	Access x = kaccess(&k, n->in[0]), idx = kaccess(&k, n->in[1]);
	int batch = attr_int(n, Attr_batch_dims), lead = idx.rank - 1;
	int64_t depth;
	const Type *t = &n->out[0]->type;
	LBuf *y = kbuf(&k, home, true);
	LExpr *at[MaxRank] = {0}, *xi[MaxRank] = {0};

	if (!dim_is_const(idx.extent[lead], &depth)) {
		error_at(n->loc, "gather_nd: the last axis of the indices must be constant, got %s", dim_text(m, idx.extent[lead]));
		return;
	}
	const Dim *tail = dims_product(m, t->dims + lead, t->rank - lead);
	int loops;
	LExpr *row = for_rows(&k, t, lead, tail, dim_const(m, 1), at, &loops);
	for (int d = 0; d < batch; d++)
		xi[d] = at[d];
	for (int64_t d = 0; d < depth; d++) {
		at[lead] = li(b, d);
		xi[batch + d] = checked_index(&k, n, &idx, offset_of(&k, &idx, at), kdim(&k, x.extent[batch + d]));
	}
	copy_tail(&k, &x, batch + depth, llet(b, offset_of(&k, &x, xi)), y, llet(b, lmul(b, row, kdim(&k, tail))));
	for (int64_t d = 0; d < depth + loops; d++)
		lend(b);
	kreads(&k, x.buf, type_numel(m, t));
	kcall(&k);
}

/* ---- scatters ---------------------------------------------------------------------------------------------------------------------- */

static LExpr *combined(LB *b, const Node *n, LExpr *old, LExpr *update)
{
	static const LOp how[] = {[ReduceAdd] = LAdd, [ReduceMul] = LMul, [ReduceLeast] = LMin, [ReduceMost] = LMax};
	int64_t r = attr_int(n, Attr_reduction);

	return r == ReduceNone ? update : lop(b, how[r], old, update, NULL);
}

/* y[i.. with idx[i..] at axis] takes upd[i..].  A line along the axis belongs to one worker, which goes through it in order. */
static void lower_put_elements(Lower *l, Node *n, Value *home)
{
	Kernel k = open_kernel(l, "scatter_elements", false);
	LB *b = &k.b;
	int axis = attr_int(n, Attr_axis);
	Access idx = kaccess(&k, n->in[1]), upd = kaccess(&k, n->in[2]), y = written_access(&k, &n->out[0]->type, home);
	const Dim *lines[MaxRank];
	LExpr *at[MaxRank] = {0}, *first[MaxRank];

	for (int d = 0; d < idx.rank; d++)
		lines[d] = d == axis ? dim_const(l->m, 1) : idx.extent[d];
	LExpr *line = lfor(b, ForParallel, li(b, 0), kdim(&k, times_of_elements(l->m, dims_product(l->m, lines, idx.rank), idx.extent[axis])), NULL);
	split_index(&k, line, lines, idx.rank, at);
	memcpy(first, at, sizeof first);
	first[axis] = NULL;
	LExpr *to = llet(b, offset_of(&k, &y, first));
	at[axis] = lfor(b, ForSerial, li(b, 0), kdim(&k, idx.extent[axis]), NULL);
	LExpr *from = llet(b, offset_of(&k, &upd, at)), *read = llet(b, offset_of(&k, &idx, at));
	LExpr *i = checked_index(&k, n, &idx, read, kdim(&k, y.extent[axis]));
	to = llet(b, ladd(b, to, lmul(b, i, kdim(&k, y.stride[axis]))));
	lstore(b, y.buf, to, NULL, NULL, combined(b, n, lload(b, y.buf, 1, to, NULL, NULL), lload(b, upd.buf, 1, from, NULL, NULL)));
	lend(b);
	lend(b);
	lend(b);
	kcall(&k);
}

/* The trailing axes from..rank of y, from offset `to` on, take those of upd, whose offset is `at`. */
static void combine_tail(Kernel *k, const Node *n, const Access *upd, int from, LExpr *at, const Access *y, int y_from, LExpr *to)
{
	LB *b = &k->b;
	int last = upd->rank - 1;

	for (int d = from; d < last; d++) {
		LExpr *i = lfor(b, ForSerial, li(b, 0), kdim(k, upd->extent[d]), NULL);
		at = llet(b, ladd(b, at, lmul(b, i, kdim(k, upd->stride[d]))));
		to = llet(b, ladd(b, to, lmul(b, i, kdim(k, y->stride[y_from + d - from]))));
	}
	if (from <= last) {
		LExpr *len = kdim(k, upd->extent[last]), *j = lfor(b, ForSerial, li(b, 0), len, li(b, Lanes));
		LExpr *mask = lane_mask(k, lsub(b, len, j)), *there = llet(b, ladd(b, to, j));
		LExpr *v = load_lanes(k, upd, ladd(b, at, lmul(b, j, kdim(k, upd->stride[last]))), upd->stride[last], mask);
		lstore(b, y->buf, there, NULL, mask, combined(b, n, lload(b, y->buf, Lanes, there, NULL, mask), v));
	} else {
		LExpr *v = lload(b, upd->buf, 1, at, NULL, NULL);
		lstore(b, y->buf, to, NULL, NULL, combined(b, n, lload(b, y->buf, 1, to, NULL, NULL), v));
	}
	for (int d = from; d <= last; d++)
		lend(b);
}

/* y[idx[i.., :].., post..] takes upd[i.., post..].  Each worker owns a range of the leading axes of y: it goes through all indices in
 * order and uses those that fall into its range. */
static void lower_put_nd(Lower *l, Node *n, Value *home)
{
	Module *m = l->m;
	Kernel k = open_kernel(l, "scatter_nd", false);
	LB *b = &k.b;
	Access idx = kaccess(&k, n->in[1]), upd = kaccess(&k, n->in[2]), y = written_access(&k, &n->out[0]->type, home);
	int lead = idx.rank - 1, depth = scatter_depth(n);
	LExpr *at[MaxRank] = {0}, *yi[MaxRank] = {0}, *flat = li(b, 0);

	LExpr *workers = kthreads(&k), *cells = kdim(&k, dims_product(m, y.extent, depth));
	LExpr *w = lfor(b, ForParallel, li(b, 0), workers, NULL);
	LExpr *lo = llet(b, lop(b, LFloorDiv, lmul(b, w, cells), workers, NULL));
	LExpr *hi = llet(b, lop(b, LFloorDiv, lmul(b, ladd(b, w, li(b, 1)), cells), workers, NULL));
	LExpr *row = lfor(b, ForSerial, li(b, 0), kdim(&k, dims_product(m, idx.extent, lead)), NULL);
	split_index(&k, row, idx.extent, lead, at);
	LExpr *from = llet(b, offset_of(&k, &upd, at));
	for (int d = 0; d < depth; d++) {
		at[lead] = li(b, d);
		yi[d] = checked_index(&k, n, &idx, offset_of(&k, &idx, at), kdim(&k, y.extent[d]));
		flat = llet(b, ladd(b, lmul(b, flat, kdim(&k, y.extent[d])), yi[d]));
	}
	lif(b, lop(b, LAnd, lop(b, LLe, lo, flat, NULL), llt(b, flat, hi), NULL));
	combine_tail(&k, n, &upd, lead, from, &y, depth, llet(b, offset_of(&k, &y, yi)));
	for (int d = 0; d < depth + 3; d++)
		lend(b);
	kcall(&k);
}

void lower_index(Lower *l, Node *n, Value *home)
{
	switch (n->op) {
	case OpGather: lower_take(l, n, home); return;
	case OpGatherElem: lower_take_elements(l, n, home); return;
	case OpGatherND: lower_take_nd(l, n, home); return;
	case OpTopK: lower_top_k(l, n, home); return;
	case OpNms: lower_nms(l, n, home); return;
	case OpScatterElem:
		lower_copy(l, n->in[0], home);
		lower_put_elements(l, n, home);
		return;
	case OpScatterND:
		lower_copy(l, n->in[0], home);
		lower_put_nd(l, n, home);
		return;
	default: bug("no schedule for %s", ops[n->op].text);
	}
}
