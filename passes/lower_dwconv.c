/* lower_dwconv.c - depthwise convolution with channels last: vectors run across the channels.
 *
 *   y[n, o.., c] = b[c] + sum over k.. of x[n, o*stride + k*dilation - before, c] * w[k.., c]
 *
 * A task is a row of outputs along the last spatial axis, for a chunk of channels whose weights stay in the first cache.  Where
 * windows lie inside along that axis, several outputs side by side share each vector of weights, and each vector of x that lies in
 * more than one window; at the edges outputs go one by one over the taps inside.  Taps are summed in ascending order everywhere.
 * Extents and strides of tensors are arguments: layers that differ in them alone are one kernel.
 */
#include "kernel.h"
#include "lower.h"

enum {
	Chunk = 128, /* channels */
	MaxUnrolled = 16, /* taps of the last axis */
	MaxOutputs = 8 /* side by side */
};

typedef struct Depthwise {
	Kernel *k;
	const Node *n;
	Access x, w, bias; /* bias.buf: NULL without one */
	LBuf *y;
	LTile *acc;
	int sp, last; /* spatial axes, the last of them */
	bool whole; /* vectors of channels are full */
	LExpr *batch; /* offset of x[n] */
	LExpr *first[MaxRank]; /* where the window's first tap lies, perhaps outside of x; of axes before the last one */
	LExpr *row, *chan, *mask; /* y's row; first channel of the vectors; NULL: all lanes */
} Depthwise;

static int64_t int_of(const Node *n, AttrId id, int i, int64_t otherwise)
{
	const int64_t *v;
	return attr_ints(n, id, &v) > i ? v[i] : otherwise;
}

static LExpr *taps_of(const Depthwise *d, int axis)
{
	return kdim(d->k, d->w.extent[axis]);
}

/* The taps of an axis that lie inside of x, where the first one is at `first`. */
static void tap_range(const Depthwise *d, int axis, LExpr *first, LExpr **lo, LExpr **hi)
{
	LB *b = &d->k->b;
	LExpr *step = li(b, int_of(d->n, Attr_dilations, axis, 1)), *up = lsub(b, step, li(b, 1));
	LExpr *before = lop(b, LFloorDiv, lsub(b, up, first), step, NULL);
	LExpr *end = lop(b, LFloorDiv, ladd(b, lsub(b, kparam(d->k, d->x.extent[1 + axis]), first), up), step, NULL);
	*lo = llet(b, lop(b, LPMax, before, li(b, 0), NULL));
	*hi = llet(b, lop(b, LPMin, end, taps_of(d, axis), NULL));
}

static LExpr *first_tap(const Depthwise *d, int axis, LExpr *o)
{
	LB *b = &d->k->b;
	LExpr *at = lmul(b, o, li(b, int_of(d->n, Attr_strides, axis, 1)));
	return llet(b, lsub(b, at, li(b, int_of(d->n, Attr_pads, axis, 0))));
}

static LExpr *load_channels(const Depthwise *d, const Access *a, LExpr *offset)
{
	LB *b = &d->k->b;
	const Dim *stride = a->stride[a->rank - 1];
	LExpr *at = ladd(b, offset, dim_equals(stride, 1) ? d->chan : lmul(b, d->chan, kparam(d->k, stride)));
	return llet(b, load_lanes(d->k, a, at, stride, d->mask));
}

static LExpr *step_along(const Depthwise *d, const Access *a, int axis, LExpr *from, LExpr *steps)
{
	LB *b = &d->k->b;
	return llet(b, ladd(b, from, lmul(b, steps, kparam(d->k, a->stride[axis]))));
}

static void add_product(const Depthwise *d, int i, LExpr *x, LExpr *w)
{
	LB *b = &d->k->b;
	lset_tile(b, d->acc, li(b, i), li(b, 0), lfma(b, x, w, lelem(b, d->acc, li(b, i), li(b, 0))));
}

/* The taps of the last axis for `count` windows that lie inside: every vector of x is read once. */
static void add_inside(const Depthwise *d, int count, LExpr *from_x, LExpr *from_w, LExpr *first)
{
	LB *b = &d->k->b;
	int64_t stride = int_of(d->n, Attr_strides, d->last, 1), dilation = int_of(d->n, Attr_dilations, d->last, 1), taps = 0;
	LExpr *w[MaxUnrolled];

	dim_is_const(d->w.extent[d->last], &taps);
	for (int64_t t = 0; t < taps; t++)
		w[t] = load_channels(d, &d->w, step_along(d, &d->w, d->last, from_w, li(b, t)));
	for (int64_t at = 0; at <= (count - 1) * stride + (taps - 1) * dilation; at++) {
		LExpr *x = NULL;
		for (int i = 0; i < count; i++) {
			int64_t past = at - i * stride;
			if (past < 0 || past % dilation || past / dilation >= taps)
				continue;
			if (!x)
				x = load_channels(d, &d->x, step_along(d, &d->x, 1 + d->last, from_x, ladd(b, first, li(b, at))));
			add_product(d, i, x, w[past / dilation]);
		}
	}
}

/* The taps of the last axis that lie inside, for one window. */
static void add_edge(const Depthwise *d, LExpr *from_x, LExpr *from_w, LExpr *first)
{
	LB *b = &d->k->b;
	LExpr *lo, *hi;
	tap_range(d, d->last, first, &lo, &hi);
	LExpr *t = lfor(b, ForSerial, lo, hi, NULL);
	LExpr *at = ladd(b, first, lmul(b, t, li(b, int_of(d->n, Attr_dilations, d->last, 1))));
	LExpr *x = load_channels(d, &d->x, step_along(d, &d->x, 1 + d->last, from_x, at));
	add_product(d, 0, x, load_channels(d, &d->w, step_along(d, &d->w, d->last, from_w, t)));
	lend(b);
}

/* Outputs o .. o + count - 1 of the row, for the channels from `from` to `to`. */
static void emit_outputs(Depthwise *d, LExpr *o, int count, bool inside, LExpr *from, LExpr *to)
{
	LB *b = &d->k->b;
	const LType vec = {d->x.dtype, Lanes};
	LExpr *chans = kparam(d->k, d->x.extent[d->sp + 1]), *first = first_tap(d, d->last, o), *lo, *hi;

	d->chan = lfor(b, ForSerial, from, to, li(b, Lanes));
	d->mask = d->whole ? NULL : lane_mask(d->k, lsub(b, chans, d->chan));
	LExpr *start = d->bias.buf ? load_channels(d, &d->bias, d->bias.base ? kdim(d->k, d->bias.base) : li(b, 0)) : lconst(b, vec, 0);
	for (int i = 0; i < count; i++)
		lset_tile(b, d->acc, li(b, i), li(b, 0), start);
	LExpr *x = d->batch, *w = dim_equals(d->w.base, 0) ? li(b, 0) : kparam(d->k, d->w.base);
	for (int a = 0; a < d->last; a++) {
		tap_range(d, a, d->first[a], &lo, &hi);
		LExpr *t = lfor(b, ForSerial, lo, hi, NULL);
		x = step_along(d, &d->x, 1 + a, x, ladd(b, d->first[a], lmul(b, t, li(b, int_of(d->n, Attr_dilations, a, 1)))));
		w = step_along(d, &d->w, a, w, t);
	}
	if (inside)
		add_inside(d, count, x, w, first);
	else
		add_edge(d, x, w, first);
	for (int a = 0; a < d->last; a++)
		lend(b);
	for (int i = 0; i < count; i++) {
		LExpr *at = lmul(b, ladd(b, d->row, ladd(b, o, li(b, i))), chans);
		lstore(b, d->y, ladd(b, at, d->chan), NULL, d->mask, lelem(b, d->acc, li(b, i), li(b, 0)));
	}
	lend(b);
}

/* The outputs of the last axis whose windows lie inside: lo .. hi - 1. */
static void inner_outputs(const Depthwise *d, LExpr *len, LExpr **lo, LExpr **hi)
{
	LB *b = &d->k->b;
	int64_t stride = int_of(d->n, Attr_strides, d->last, 1), pad = int_of(d->n, Attr_pads, d->last, 0), taps = 1;
	int64_t dilation = int_of(d->n, Attr_dilations, d->last, 1);
	dim_is_const(d->w.extent[d->last], &taps);
	LExpr *room = ladd(b, kparam(d->k, d->x.extent[1 + d->last]), li(b, pad - (taps - 1) * dilation - 1 + stride));
	LExpr *end = lop(b, LPMax, lop(b, LFloorDiv, room, li(b, stride), NULL), li(b, 0), NULL);
	*hi = llet(b, lop(b, LPMin, end, len, NULL));
	*lo = llet(b, lop(b, LPMin, li(b, pad > 0 ? (pad + stride - 1) / stride : 0), *hi, NULL));
}

static void emit_row(Depthwise *d, LExpr *len, LExpr *from, LExpr *to)
{
	LB *b = &d->k->b;
	int64_t taps;
	LExpr *lo = li(b, 0), *hi = lo;
	int side = d->k->l->t->mr / 2 < MaxOutputs ? d->k->l->t->mr / 2 : MaxOutputs;

	if (dim_is_const(d->w.extent[d->last], &taps) && taps <= MaxUnrolled) {
		inner_outputs(d, len, &lo, &hi);
		LExpr *tiles = llet(b, lop(b, LFloorDiv, lsub(b, hi, lo), li(b, side), NULL));
		LExpr *rest = llet(b, ladd(b, lo, lmul(b, tiles, li(b, side))));
		emit_outputs(d, lfor(b, ForSerial, lo, rest, li(b, side)), side, true, from, to);
		lend(b);
		emit_outputs(d, lfor(b, ForSerial, rest, hi, NULL), 1, true, from, to);
		lend(b);
	}
	LExpr *edge = lfor(b, ForSerial, li(b, 0), lsub(b, len, lsub(b, hi, lo)), NULL);
	LExpr *behind = lop(b, LSelect, llt(b, edge, lo), li(b, 0), lsub(b, hi, lo));
	emit_outputs(d, llet(b, ladd(b, edge, behind)), 1, false, from, to);
	lend(b);
}

void lower_dwconv(Lower *l, Node *n, Value *home)
{
	Module *m = l->m;
	Kernel k = open_kernel(l, "dwconv", true);
	LB *b = &k.b;
	const Type *t = &n->out[0]->type;
	Depthwise d = {.k = &k, .n = n, .x = kaccess(&k, n->in[0]), .w = kaccess(&k, n->in[1]), .sp = t->rank - 2, .last = t->rank - 3};
	const Dim *rows = dim_const(m, 1), *depth = rows;
	LExpr *idx[MaxRank] = {0}, *x_batch[MaxRank] = {0};
	int64_t chans;

	if (n->in[2])
		d.bias = kaccess(&k, n->in[2]);
	d.y = kbuf(&k, home, true);
	d.whole = dim_is_const(t->dims[t->rank - 1], &chans) && chans % Lanes == 0;
	for (int a = 0; a <= d.last; a++)
		rows = dim_mul(m, rows, t->dims[a]);
	LExpr *c = kparam(&k, t->dims[t->rank - 1]), *len = kparam(&k, t->dims[1 + d.last]);
	LExpr *chunks = llet(b, lop(b, LFloorDiv, ladd(b, c, li(b, Chunk - 1)), li(b, Chunk), NULL));
	LExpr *task = lfor(b, ForParallel, li(b, 0), lmul(b, kdim(&k, rows), chunks), NULL);
	LExpr *row = llet(b, lop(b, LFloorDiv, task, chunks, NULL)), *from = llet(b, lmul(b, lsub(b, task, lmul(b, row, chunks)), li(b, Chunk)));
	LExpr *to = llet(b, lop(b, LPMin, ladd(b, from, li(b, Chunk)), c, NULL)), *at = row;
	d.row = llet(b, lmul(b, row, len));
	for (int a = d.last; a >= 0; a--) {
		LExpr *size = kparam(&k, t->dims[a]);
		idx[a] = a ? llet(b, lop(b, LMod, at, size, NULL)) : at;
		if (a)
			at = llet(b, lop(b, LFloorDiv, at, size, NULL));
	}
	x_batch[0] = idx[0];
	d.batch = llet(b, offset_of(&k, &d.x, x_batch));
	for (int a = 0; a < d.last; a++)
		d.first[a] = first_tap(&d, a, idx[1 + a]);
	d.acc = lnew_tile(b, "acc", (LType){t->dtype, Lanes}, MaxOutputs, 1);
	emit_row(&d, len, from, to);
	lend(b);
	for (int a = 0; a < d.sp; a++)
		depth = dim_mul(m, depth, d.w.extent[a]);
	kflop(&k, dim_mul_const(m, dim_mul(m, type_numel(m, t), depth), 2));
	k.b.fn->loc = n->loc;
	kcall(&k);
}
