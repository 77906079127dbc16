/* lower_move.c - data movement that no view explains, and gathers by data-dependent indices.
 *
 * Indices are untrusted: each is checked, a bad one is recorded by `fail`, and nothing is read for it.
 */
#include "lower.h"

static const Dim *product(Module *m, const Dim *const *extent, int n)
{
	const Dim *p = dim_const(m, 1);
	for (int d = 0; d < n; d++)
		p = dim_mul(m, p, extent[d]);
	return p;
}

/* ---- iota, dims ------------------------------------------------------------------------------------------------------------------ */

static void lower_iota(Lower *l, Node *n, Value *home)
{
	Kernel k = open_kernel(l, "iota", false);
	LB *b = &k.b;
	Type *t = &n->out[0]->type;
	LBuf *y = kbuf(&k, home, true);
	LExpr *len = kdim(&k, type_numel(l->m, t)), *start = kdim(&k, attr_dim(l->m, n, Attr_start)), *step = kdim(&k, attr_dim(l->m, n, Attr_step));

	LExpr *i = lfor(b, ForParallel, li(b, 0), len, NULL);
	lstore(b, y, i, NULL, NULL, lcast(b, LConvert, (LType){t->dtype, 1}, ladd(b, start, lmul(b, i, step))));
	lend(b);
	kcall(&k);
}

static void lower_dims(Lower *l, Node *n, Value *home)
{
	Kernel k = open_kernel(l, "dims", false);
	LB *b = &k.b;
	const Dim *const *values;
	int count = attr_dims(n, Attr_values, &values);
	LBuf *y = kbuf(&k, home, true);

	lfor(b, ForParallel, li(b, 0), li(b, 1), NULL);
	for (int i = 0; i < count; i++)
		lstore(b, y, li(b, i), NULL, NULL, lcast(b, LConvert, (LType){n->out[0]->type.dtype, 1}, kdim(&k, values[i])));
	lend(b);
	kcall(&k);
}

/* ---- concat, pad ------------------------------------------------------------------------------------------------------------------ */

/* Axes from `axis` inwards that lie side by side become one; returns the last axis then. */
static int merge_tail(Module *m, Access *x, int axis)
{
	int last = x->rank - 1;

	for (; last > axis; last--) {
		bool unit = dim_equals(x->extent[last], 1), one = dim_equals(x->extent[last - 1], 1);
		if (!unit && !one && x->stride[last - 1] != dim_mul(m, x->stride[last], x->extent[last]))
			break;
		if (!unit)
			x->stride[last - 1] = x->stride[last];
		x->extent[last - 1] = dim_mul(m, x->extent[last - 1], x->extent[last]);
	}
	return last;
}

/* y[to + i] = x[from + i * stride] for lo <= i < hi. */
static void copy_run(Kernel *k, const Access *x, const Dim *stride, LExpr *from, LBuf *y, LExpr *to, LExpr *lo, LExpr *hi)
{
	LB *b = &k->b;
	LExpr *whole = llet(b, ladd(b, lo, lmul(b, lop(b, LFloorDiv, lsub(b, hi, lo), li(b, Lanes), NULL), li(b, Lanes))));

	for (int tail = 0; tail < 2; tail++) {
		LExpr *i = whole, *mask = NULL;
		if (tail) {
			lif(b, llt(b, whole, hi));
			mask = lane_mask(k, lsub(b, hi, whole));
		} else {
			i = lfor(b, ForSerial, lo, whole, li(b, Lanes));
		}
		LExpr *v = load_lanes(k, x, ladd(b, from, lmul(b, i, kdim(k, stride))), stride, mask);
		lstore(b, y, ladd(b, to, i), NULL, mask, v);
		lend(b);
	}
}

/* One kernel an operand: rows of everything from the axis inwards, in runs of at most RunLen elements. */
static void lower_concat(Lower *l, Node *n, Value *home)
{
	enum { RunLen = 4096 };
	Module *m = l->m;
	const Type *t = &n->out[0]->type;
	int axis = attr_int(n, Attr_axis);
	const Dim *start = dim_const(m, 0), *stride[MaxRank], *s = dim_const(m, 1);
	Type storage;

	storage_type(m, n->out[0], &storage);
	for (int d = t->rank - 1; d >= 0; d--) {
		stride[d] = s;
		s = dim_mul(m, s, storage.dims[d]);
	}
	for (int i = 0; i < n->nin; i++) {
		if (i == 0 && attr_int(n, Attr_state)) { /* lies there already */
			start = n->in[0]->type.dims[axis];
			continue;
		}
		Kernel k = open_kernel(l, "concat", false);
		LB *b = &k.b;
		Access x = kaccess(&k, n->in[i]);
		LBuf *y = kbuf(&k, home, true);
		int last = merge_tail(m, &x, axis);
		LExpr *idx[MaxRank] = {0}, *to = kdim(&k, dim_mul(m, start, stride[axis])), *run = li(b, RunLen);
		LExpr *len = kdim(&k, x.extent[last]), *runs = kdim(&k, dim_ceildiv(m, x.extent[last], dim_const(m, RunLen)));
		LExpr *p = lfor(b, ForParallel, li(b, 0), lmul(b, kdim(&k, product(m, x.extent, last)), runs), NULL);
		LExpr *row = llet(b, lop(b, LFloorDiv, p, runs, NULL)), *lo = llet(b, lmul(b, lop(b, LMod, p, runs, NULL), run));
		split_index(&k, row, x.extent, last, idx);
		for (int d = 0; d < last; d++)
			to = ladd(b, to, lmul(b, idx[d], kdim(&k, stride[d])));
		LExpr *hi = llet(b, lop(b, LPMin, len, ladd(b, lo, run), NULL));
		copy_run(&k, &x, x.stride[last], llet(b, offset_of(&k, &x, idx)), y, llet(b, to), lo, hi);
		lend(b);
		kcall(&k);
		start = dim_add(m, start, n->in[i]->type.dims[axis]);
	}
}

/* Index into an axis of n elements from a position that may lie outside it. */
static LExpr *inside_index(LB *b, LExpr *i, LExpr *n, int mode)
{
	LExpr *last = lsub(b, n, li(b, 1)), *zero = li(b, 0);

	if (mode == 1)
		return lop(b, LPMax, lop(b, LPMin, i, last, NULL), zero, NULL);
	LExpr *period = llet(b, lop(b, LPMax, lmul(b, last, li(b, 2)), li(b, 1), NULL)); /* reflect: 0 1 2 1 0 1 2 ... */
	LExpr *r = llet(b, lop(b, LMod, i, period, NULL));
	return lop(b, LPMin, r, lsub(b, period, r), NULL);
}

/* Element by element: edge and reflect. */
static void pad_elements(Kernel *k, const Node *n, const Access *x, LBuf *y, const Dim *const *pads)
{
	LB *b = &k->b;
	const Type *t = &n->out[0]->type;
	LExpr *idx[MaxRank] = {0};

	LExpr *at = lfor(b, ForParallel, li(b, 0), kdim(k, type_numel(k->l->m, t)), NULL);
	split_index(k, at, t->dims, t->rank, idx);
	for (int d = 0; d < t->rank; d++) {
		LExpr *i = llet(b, lsub(b, idx[d], kdim(k, pads[d])));
		idx[d] = llet(b, inside_index(b, i, kdim(k, x->extent[d]), (int)attr_int(n, Attr_mode)));
	}
	lstore(b, y, at, NULL, NULL, lload(b, x->buf, 1, offset_of(k, x, idx), NULL, NULL));
	lend(b);
}

typedef struct PadRow {
	const Access *x;
	LBuf *y;
	LExpr *from, *to; /* offsets of the row's first element; from: as if x went on before it */
	const Dim *before, *len; /* of the last axis; len: of x */
	bool inside; /* the row holds elements of x */
	Scalar value;
} PadRow;

static void pad_lanes(void *ctx, Kernel *k, LExpr *i, LExpr *mask)
{
	PadRow *r = ctx;
	LB *b = &k->b;
	const LType lanes = {I64, Lanes};
	LExpr *v = lscalar(b, Lanes, r->value);

	if (r->inside) {
		LExpr *first = llet(b, lsub(b, i, kdim(k, r->before)));
		LExpr *at = llet(b, ladd(b, lcast(b, LIota, lanes, NULL), lcast(b, LSplat, lanes, first)));
		LExpr *in = llet(b, lop(b, LAnd, lop(b, LLe, lconst(b, lanes, 0), at, NULL),
		                        llt(b, at, lcast(b, LSplat, lanes, kdim(k, r->len))), NULL));
		const Dim *stride = r->x->stride[r->x->rank - 1];
		LExpr *x = load_lanes(k, r->x, ladd(b, r->from, lmul(b, first, kdim(k, stride))), stride, in);
		v = lop(b, LSelect, in, x, v);
	}
	lstore(b, r->y, ladd(b, r->to, i), NULL, mask, v);
}

/* Rows of the last axis; one that lies outside of x along another axis is padding as a whole. */
static void pad_rows(Kernel *k, const Node *n, const Access *x, LBuf *y, const Dim *const *pads)
{
	LB *b = &k->b;
	Module *m = k->l->m;
	const Type *t = &n->out[0]->type;
	int last = t->rank - 1;
	LExpr *idx[MaxRank] = {0}, *in = NULL;
	PadRow r = {.x = x, .y = y, .before = pads[last], .len = x->extent[last], .value = attr_scalar(n, Attr_value)};

	LExpr *row = lfor(b, ForParallel, li(b, 0), kdim(k, product(m, t->dims, last)), NULL);
	split_index(k, row, t->dims, last, idx);
	for (int d = 0; d < last; d++) {
		if (pads[d] == dim_const(m, 0) && x->extent[d] == t->dims[d])
			continue;
		idx[d] = llet(b, lsub(b, idx[d], kdim(k, pads[d])));
		LExpr *ok = lop(b, LAnd, lop(b, LLe, li(b, 0), idx[d], NULL), llt(b, idx[d], kdim(k, x->extent[d])), NULL);
		in = in ? lop(b, LAnd, in, ok, NULL) : ok;
	}
	r.to = llet(b, lmul(b, row, kdim(k, t->dims[last])));
	if (in)
		lif(b, in);
	r.inside = true;
	r.from = llet(b, offset_of(k, x, idx));
	for_lanes(k, t->dims[last], pad_lanes, &r);
	if (in) {
		lelse(b);
		r.inside = false;
		for_lanes(k, t->dims[last], pad_lanes, &r);
		lend(b);
	}
	lend(b);
}

static void lower_pad(Lower *l, Node *n, Value *home)
{
	Kernel k = open_kernel(l, "pad", false);
	Access x = kaccess(&k, n->in[0]);
	LBuf *y = kbuf(&k, home, true);
	const Dim *const *given, *pads[MaxRank];
	int npad = attr_dims(n, Attr_pads_dim, &given);

	for (int d = 0; d < x.rank; d++)
		pads[d] = npad ? given[d] : dim_const(l->m, 0);
	if (attr_int(n, Attr_mode) || !x.rank)
		pad_elements(&k, n, &x, y, pads);
	else
		pad_rows(&k, n, &x, y, pads);
	kcall(&k);
}

void lower_move(Lower *l, Node *n, Value *home)
{
	switch (n->op) {
	case OpIota: lower_iota(l, n, home); return;
	case OpDims: lower_dims(l, n, home); return;
	case OpConcat: lower_concat(l, n, home); return;
	case OpPad: lower_pad(l, n, home); return;
	case OpReshape: lower_copy(l, n->in[0], home); return; /* of a view that has no plain form */
	default: error_at(n->loc, "%s: no schedule for this data movement", ops[n->op].text);
	}
}

/* ---- gathers ----------------------------------------------------------------------------------------------------------------------- */

/* The index read at `offset`, wrapped if negative; opens an `if` that holds for good indices (the caller closes it after use). */
static LExpr *checked_index(Kernel *k, Node *n, const Access *idx, LExpr *offset, LExpr *extent)
{
	LB *b = &k->b;
	const char *name = n->in[1]->name ? n->in[1]->name : "indices";
	LExpr *raw = llet(b, lcast(b, LConvert, (LType){I64, 1}, lload(b, idx->buf, 1, offset, NULL, NULL))), *zero = li(b, 0);
	LExpr *i = llet(b, lop(b, LSelect, llt(b, raw, zero), ladd(b, raw, extent), raw));
	LExpr *bad = lop(b, LOr, llt(b, i, zero), lop(b, LLe, extent, i, NULL), NULL);

	lif(b, bad);
	const char *node = message_name(k->l->m, n->loc && n->loc->node ? n->loc->node : "");
	lfail(b, lmessage(k->l->lm, arena_printf(k->l->m->arena, "node '%s' (%s): tensor '%s': index {} out of range",
	                                         node, ops[n->op].text, message_name(k->l->m, name))), raw);
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
	const Dim *tail = product(m, t->dims + lead, t->rank - lead);

	LExpr *row = lfor(b, ForParallel, li(b, 0), kdim(&k, product(m, t->dims, lead)), NULL);
	split_index(&k, row, t->dims, lead, at);
	for (int d = 0; d < axis; d++)
		xi[d] = at[d];
	xi[axis] = checked_index(&k, n, &idx, offset_of(&k, &idx, at + axis), kdim(&k, x.extent[axis]));
	copy_tail(&k, &x, axis + 1, llet(b, offset_of(&k, &x, xi)), y, llet(b, lmul(b, row, kdim(&k, tail))));
	lend(b);
	lend(b);
	kreads(&k, x.buf, type_numel(m, t));
	kcall(&k);
}

/* out[i..] = x[i.. with idx[i..] at axis] */
static void lower_take_elements(Lower *l, Node *n, Value *home)
{
	Kernel k = open_kernel(l, "gather_elements", false);
	LB *b = &k.b;
	Access x = kaccess(&k, n->in[0]), idx = kaccess(&k, n->in[1]);
	int axis = attr_int(n, Attr_axis);
	const Type *t = &n->out[0]->type;
	LBuf *y = kbuf(&k, home, true);
	LExpr *at[MaxRank] = {0};

	LExpr *row = lfor(b, ForParallel, li(b, 0), kdim(&k, type_numel(l->m, t)), NULL);
	split_index(&k, row, t->dims, t->rank, at);
	at[axis] = checked_index(&k, n, &idx, offset_of(&k, &idx, at), kdim(&k, x.extent[axis]));
	lstore(b, y, row, NULL, NULL, lload(b, x.buf, 1, offset_of(&k, &x, at), NULL, NULL));
	lend(b);
	lend(b);
	kreads(&k, x.buf, type_numel(l->m, t));
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
	const Dim *tail = product(m, t->dims + lead, t->rank - lead);
	LExpr *row = lfor(b, ForParallel, li(b, 0), kdim(&k, product(m, t->dims, lead)), NULL);
	split_index(&k, row, t->dims, lead, at);
	for (int d = 0; d < batch; d++)
		xi[d] = at[d];
	for (int64_t d = 0; d < depth; d++) {
		at[lead] = li(b, d);
		xi[batch + d] = checked_index(&k, n, &idx, offset_of(&k, &idx, at), kdim(&k, x.extent[batch + d]));
	}
	copy_tail(&k, &x, batch + depth, llet(b, offset_of(&k, &x, xi)), y, llet(b, lmul(b, row, kdim(&k, tail))));
	for (int64_t d = 0; d <= depth; d++)
		lend(b);
	kreads(&k, x.buf, type_numel(m, t));
	kcall(&k);
}

void lower_gather(Lower *l, Node *n, Value *home)
{
	if (n->op == OpGather)
		lower_take(l, n, home);
	else if (n->op == OpGatherElem)
		lower_take_elements(l, n, home);
	else
		lower_take_nd(l, n, home);
}
