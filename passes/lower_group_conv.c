/* lower_group_conv.c - convolution by groups with channels last: vectors run across the outputs of a group.
 *
 *   group_conv:  y[n, o.., m] = b[m] + sum over k.., c of (x[n, o*stride + k*dilation - before, first(m) + c] - offset) * w[k.., c, m]
 *   winconv:     y[n, o.., m] = sum over k.. of x[n, o*stride + k*dilation - before, m] * w[n, o.., head(m), k..]
 *
 * x may be bytes, the weights f32.
 * Depthwise, where every output has a channel of its own, they run across all of them, and x comes in vectors too, not one by one.  So it
 * does for winconv, whose groups are the channels of a head, all of which get the same weight, or those that each have a head of their own.
 * A task is a row of outputs along the last spatial axis, for a group or a chunk of channels whose weights stay in the first cache.  Where
 * windows lie inside along that axis, several places side by side share each vector of weights that they have in common, and each vector of
 * x that lies in more than one window; at the edges every element is looked at whether it lies inside.  The order of a sum is the same
 * everywhere: taps of the axes before the last one, channels, taps of the last one.
 * Extents and strides of tensors are arguments: layers that differ in them alone are one kernel.
 *
 * A linear on either side may share the kernel (feed.h): it makes the lines of x, which lie in a ring, or takes the outputs, tile by tile.
 */
#include "epilogue.h"
#include "feed.h"

enum {
	MaxUnrolled = 16, /* taps of the last axis */
	MaxPlaces = 8 /* side by side */
};

typedef struct Ring { /* of lines of x; NULL members: x lies in memory */
	TileLinear *source;
	LBuf *made; /* the number of the line behind the last one that was made: lines count through all images */
	LExpr *at, *lines; /* of the scratch; how many it holds */
	LExpr *image; /* number of the first line of the image */
} Ring;

struct GroupConv {
	Kernel *k;
	const Node *n;
	Access x, w, bias; /* bias.buf: NULL without one */
	Epilogue e;
	LBuf *sums; /* of the places side by side, for the epilogue; NULL without one */
	LTile *acc;
	int sp, last; /* spatial axes, the last of them */
	int taps; /* the first axis of w that is a tap's */
	const Dim *outs, *before[MaxRank]; /* outputs; elements of the first window before each axis */
	bool depthwise, unrolled, whole; /* unrolled: the taps of the last axis; whole: all vectors are full */
	bool splat; /* winconv: the vectors' outputs have the same weight */
	LExpr *channel; /* of x, of a group: the first one, in the loops the current one */
	LExpr *batch; /* offset of x[n] */
	LExpr *first[MaxRank]; /* where the window's first tap lies, perhaps outside of x; of axes before the last one */
	LExpr *weights; /* offset of those of the row, or of all, for the group */
	LExpr *place[MaxPlaces]; /* offset behind that of those of the places side by side; group_conv: NULL */
	LExpr *row, *out, *mask; /* y's row; first output of the vectors; NULL: all lanes */
	LExpr *group, *head; /* first output of the group; its head's number, where the group is one */
	Ring ring;
	LExpr *tile_at, *tile_first, *tile_rows; /* the packed tile that takes the outputs; NULL: they have a home */
};

/* The taps of an axis that lie inside of x, where the first one is at `first`. */
static void taps_inside(const GroupConv *d, int axis, LExpr *first, LExpr **lo, LExpr **hi)
{
	LExpr *extent = kparam_at(d->k, &d->x.extent[1 + axis]), *taps = kparam_at(d->k, &d->w.extent[d->taps + axis]);
	tap_range(&d->k->b, first, first, extent, attr_int_at(d->n, Attr_dilations, axis, 1), taps, lo, hi);
}

static LExpr *first_tap(const GroupConv *d, int axis, LExpr *o)
{
	LB *b = &d->k->b;
	LExpr *at = lmul(b, o, li(b, attr_int_at(d->n, Attr_strides, axis, 1)));
	return llet(b, lsub(b, at, kdim(d->k, d->before[axis])));
}

static LExpr *along(const GroupConv *d, const Access *a, int axis, LExpr *i)
{
	const Dim *const *stride = &a->stride[axis];
	return dim_equals(*stride, 1) ? i : lmul(&d->k->b, i, kparam_at(d->k, stride));
}

static LExpr *along_last(const GroupConv *d, const Access *a, LExpr *offset, LExpr *i)
{
	return ladd(&d->k->b, offset, along(d, a, a->rank - 1, i));
}

static LExpr *load_outputs(const GroupConv *d, const Access *a, LExpr *offset)
{
	LB *b = &d->k->b;
	return llet(b, load_lanes(d->k, a, along_last(d, a, offset, d->out), a->stride[a->rank - 1], d->mask));
}

/* Bytes as numbers, which they stand for but for the factor in the weights. */
static LExpr *real_x(const GroupConv *d, LExpr *x)
{
	LB *b = &d->k->b;
	const int64_t offset = attr_int(d->n, Attr_offset);
	const LType real = {d->w.dtype, x->type.lanes};
	if (d->x.dtype == d->w.dtype)
		return x;
	x = llet(b, lcast(b, LConvert, real, x));
	return offset ? llet(b, lsub(b, x, lconst(b, real, (double)offset))) : x;
}

/* What the outputs' vectors take of x: their own channels, or one. */
static LExpr *load_x(const GroupConv *d, LExpr *offset)
{
	LB *b = &d->k->b;
	if (d->depthwise)
		return real_x(d, load_outputs(d, &d->x, offset));
	LExpr *one = lload(b, d->x.buf, 1, along_last(d, &d->x, offset, d->channel), NULL, NULL);
	return llet(b, lcast(b, LSplat, (LType){d->w.dtype, Lanes}, real_x(d, one)));
}

static LExpr *step_along(const GroupConv *d, const Access *a, int axis, LExpr *from, LExpr *steps)
{
	LB *b = &d->k->b;
	return llet(b, ladd(b, from, lmul(b, steps, kparam_at(d->k, &a->stride[axis]))));
}

/* Of a winconv, what tap t of the last axis takes for place i. */
static LExpr *load_weight(const GroupConv *d, LExpr *from, int i, LExpr *t)
{
	LB *b = &d->k->b;
	const Access *w = &d->w;
	LExpr *at = ladd(b, ladd(b, from, d->place[i]), along(d, w, d->taps + d->last, t));
	if (d->splat)
		return llet(b, lcast(b, LSplat, (LType){w->dtype, Lanes}, lload(b, w->buf, 1, at, NULL, NULL)));
	at = ladd(b, at, along(d, w, d->taps - 1, lsub(b, d->out, d->group)));
	return llet(b, load_lanes(d->k, w, at, w->stride[d->taps - 1], d->mask));
}

static void add_product(const GroupConv *d, int i, LExpr *x, LExpr *w)
{
	LB *b = &d->k->b;
	lset_tile(b, d->acc, li(b, i), li(b, 0), lfma(b, x, w, lelem(b, d->acc, li(b, i), li(b, 0))));
}

static LExpr *is_inside(const GroupConv *d, LExpr *at)
{
	LB *b = &d->k->b;
	return lop(b, LAnd, lop(b, LLe, li(b, 0), at, NULL), llt(b, at, kparam_at(d->k, &d->x.extent[1 + d->last])), NULL);
}

/* The next tap of any of `count` windows side by side, as elements behind the first one's first tap; -1: none behind `past`. */
static int64_t next_tap(const GroupConv *d, int count, int64_t past, int64_t taps)
{
	int64_t stride = attr_int_at(d->n, Attr_strides, d->last, 1), dilation = attr_int_at(d->n, Attr_dilations, d->last, 1), next = -1;

	for (int i = 0; i < count; i++)
		for (int64_t t = 0, at = i * stride; t < taps; t++, at += dilation)
			if (at > past && (next < 0 || at < next))
				next = at;
	return next;
}

/* The products of the windows that have a tap at `past` elements behind the first one's first tap, with the weights w[tap] or (winconv)
 * those of each. */
static void add_products(const GroupConv *d, int count, int64_t past, LExpr *from_x, LExpr *from_w, LExpr *at, LExpr *const *w, int64_t taps)
{
	int64_t stride = attr_int_at(d->n, Attr_strides, d->last, 1), dilation = attr_int_at(d->n, Attr_dilations, d->last, 1);
	LExpr *x = load_x(d, step_along(d, &d->x, 1 + d->last, from_x, at));

	for (int i = 0; i < count; i++) {
		int64_t t = past - i * stride;
		if (t >= 0 && t % dilation == 0 && t / dilation < taps)
			add_product(d, i, x, d->place[i] ? load_weight(d, from_w, i, li(&d->k->b, t / dilation)) : w[t / dilation]);
	}
}

/* The taps of the last axis for `count` windows, the first of which begins at `first`; checked: they may lie outside of x. */
static void add_windows(const GroupConv *d, int count, bool checked, LExpr *from_x, LExpr *from_w, LExpr *first)
{
	LB *b = &d->k->b;
	int64_t taps = 0;
	LExpr *w[MaxUnrolled];

	dim_is_const(d->w.extent[d->taps + d->last], &taps);
	for (int64_t t = 0; t < taps && !d->place[0]; t++)
		w[t] = load_outputs(d, &d->w, step_along(d, &d->w, d->last, from_w, li(b, t)));
	for (int64_t past = 0; past >= 0; past = next_tap(d, count, past, taps)) {
		LExpr *at = llet(b, ladd(b, first, li(b, past)));
		if (checked)
			lif(b, is_inside(d, at));
		add_products(d, count, past, from_x, from_w, at, w, taps);
		if (checked)
			lend(b);
	}
}

/* One window with so many taps along the last axis that they are a loop: those that lie inside. */
static void add_long_window(const GroupConv *d, LExpr *from_x, LExpr *from_w, LExpr *first)
{
	LB *b = &d->k->b;
	LExpr *lo, *hi;
	taps_inside(d, d->last, first, &lo, &hi);
	LExpr *t = lfor(b, ForSerial, lo, hi, NULL);
	LExpr *at = ladd(b, first, lmul(b, t, li(b, attr_int_at(d->n, Attr_dilations, d->last, 1))));
	LExpr *x = load_x(d, step_along(d, &d->x, 1 + d->last, from_x, at));
	add_product(d, 0, x, d->place[0] ? load_weight(d, from_w, 0, t) : load_outputs(d, &d->w, step_along(d, &d->w, d->last, from_w, t)));
	lend(b);
}

/* Opens the loops over what all taps of the last axis have in common, and returns their number. */
static int open_sums(GroupConv *d, LExpr **x, LExpr **w)
{
	LB *b = &d->k->b;
	LExpr *lo, *hi, *first = d->channel;

	for (int a = 0; a < d->last; a++) {
		taps_inside(d, a, d->first[a], &lo, &hi);
		LExpr *t = lfor(b, ForSerial, lo, hi, NULL), *at = ladd(b, d->first[a], lmul(b, t, li(b, attr_int_at(d->n, Attr_dilations, a, 1))));
		if (d->ring.source)
			at = lop(b, LMod, ladd(b, d->ring.image, at), d->ring.lines, NULL);
		*x = step_along(d, &d->x, 1 + a, *x, at);
		*w = step_along(d, &d->w, d->taps + a, *w, t);
	}
	if (d->depthwise)
		return d->last;
	LExpr *c = lfor(b, ForSerial, li(b, 0), kparam_at(d->k, &d->w.extent[d->sp]), NULL);
	d->channel = llet(b, ladd(b, first, c));
	*w = step_along(d, &d->w, d->sp, *w, c);
	return d->last + 1;
}

static void finish_place(GroupConv *d, LExpr *row, LExpr *sum)
{
	LB *b = &d->k->b;
	LExpr *rows[MaxOperands], *at = llet(b, row), *to;
	leaf_rows(&d->e, d->k, at, rows);
	if (d->tile_at) {
		LExpr *in_block = llet(b, lop(b, LMod, d->out, li(b, PackK), NULL)), *place = lmul(b, lsub(b, at, d->tile_first), li(b, PackK));
		to = ladd(b, ladd(b, d->tile_at, lmul(b, lsub(b, d->out, in_block), d->tile_rows)), ladd(b, place, in_block));
	} else {
		to = ladd(b, lmul(b, at, kparam_at(d->k, &d->outs)), d->out);
	}
	emit_columns(&d->e, d->k, (ByPart){{sum}}, rows, to, d->out, d->mask);
}

/* The sums of `count` places, whose first window begins at `first`, for the vector of outputs at d->out. */
static void sum_places(GroupConv *d, LExpr *first, int count, bool checked)
{
	LB *b = &d->k->b;
	const LType vec = {d->w.dtype, Lanes};
	LExpr *x = d->batch, *w = d->weights, *channel = d->channel;

	LExpr *start = d->bias.buf ? load_outputs(d, &d->bias, kdim(d->k, d->bias.base)) : lconst(b, vec, 0);
	for (int i = 0; i < count; i++)
		lset_tile(b, d->acc, li(b, i), li(b, 0), start);
	int loops = open_sums(d, &x, &w);
	if (d->unrolled)
		add_windows(d, count, checked, x, w, first);
	else
		add_long_window(d, x, w, first);
	while (loops--)
		lend(b);
	d->channel = channel;
	for (int i = 0; i < count && d->sums; i++)
		lstore(b, d->sums, li(b, i * Lanes), NULL, NULL, lelem(b, d->acc, li(b, i), li(b, 0)));
}

/* The epilogue's code stands once for all places, so their sums go through memory, which is near. */
static void finish_places(GroupConv *d, LExpr *o, int count, LExpr *end)
{
	LB *b = &d->k->b;
	LExpr *i = lfor(b, ForSerial, li(b, 0), llet(b, lop(b, LPMin, li(b, count), lsub(b, end, o), NULL)), NULL);
	finish_place(d, ladd(b, d->row, ladd(b, o, i)), llet(b, lload(b, d->sums, Lanes, lmul(b, i, li(b, Lanes)), NULL, NULL)));
	lend(b);
}

/* Places o .. o + count - 1 of the row, those below `end`, for the outputs from `from` to `to`.  end NULL: all of them count, and their windows
 * lie inside, as they do if `inside`; NULL: they may not. */
static void emit_places(GroupConv *d, LExpr *o, int count, LExpr *end, LExpr *inside, LExpr *from, LExpr *to)
{
	LB *b = &d->k->b;
	LExpr *first = first_tap(d, d->last, o);

	for (int i = 0; i < count && d->n->op == OpWinConv; i++) {
		LExpr *at = ladd(b, o, li(b, i));
		at = end && i ? lop(b, LPMin, at, lsub(b, end, li(b, 1)), NULL) : at; /* behind the row's end there are no weights */
		d->place[i] = d->taps > 1 ? llet(b, lmul(b, at, kparam_at(d->k, &d->w.stride[1 + d->last]))) : li(b, 0);
	}
	d->out = lfor(b, ForSerial, from, to, li(b, Lanes));
	d->mask = d->whole ? NULL : lane_mask(d->k, lsub(b, to, d->out));
	if (inside) {
		lif(b, inside);
		sum_places(d, first, count, false);
		lelse(b);
	}
	sum_places(d, first, count, end);
	if (inside)
		lend(b);
	if (d->sums)
		finish_places(d, o, count, end);
	for (int i = 0; i < count && !d->sums; i++) {
		if (end && i)
			lif(b, llt(b, ladd(b, o, li(b, i)), end));
		finish_place(d, ladd(b, d->row, ladd(b, o, li(b, i))), lelem(b, d->acc, li(b, i), li(b, 0)));
		if (end && i)
			lend(b);
	}
	lend(b);
}

/* Those of the places begin .. end - 1 along the last axis whose windows lie inside: lo .. hi - 1. */
static void inner_places(const GroupConv *d, LExpr *begin, LExpr *end, LExpr **lo, LExpr **hi)
{
	LB *b = &d->k->b;
	int64_t stride = attr_int_at(d->n, Attr_strides, d->last, 1), dilation = attr_int_at(d->n, Attr_dilations, d->last, 1), taps = 1;
	LExpr *before = kdim(d->k, d->before[d->last]);
	dim_is_const(d->w.extent[d->taps + d->last], &taps);
	LExpr *room = ladd(b, ladd(b, kparam_at(d->k, &d->x.extent[1 + d->last]), before), li(b, stride - (taps - 1) * dilation - 1));
	LExpr *past = lop(b, LFloorDiv, room, li(b, stride), NULL);
	LExpr *first = lop(b, LPMax, lop(b, LFloorDiv, ladd(b, before, li(b, stride - 1)), li(b, stride), NULL), begin, NULL);
	*hi = llet(b, lop(b, LPMax, lop(b, LPMin, past, end, NULL), begin, NULL));
	*lo = llet(b, lop(b, LPMin, first, *hi, NULL));
}

/* Places begin .. end - 1 of the row, as many side by side as registers hold: inside without checks; in front, and behind, where they may
 * lie outside.  An epilogue's code stands once for all three. */
static void emit_row(GroupConv *d, LExpr *begin, LExpr *end, LExpr *from, LExpr *to)
{
	LB *b = &d->k->b;
	int side = d->k->l->t->mr / 2 < MaxPlaces ? d->k->l->t->mr / 2 : MaxPlaces;
	LExpr *lo, *hi, *zero = li(b, 0), *inside = NULL;

	if (!d->unrolled) {
		emit_places(d, lfor(b, ForSerial, begin, end, NULL), 1, d->sums ? end : NULL, NULL, from, to);
		lend(b);
		return;
	}
	inner_places(d, begin, end, &lo, &hi);
	LExpr *tiles = llet(b, lop(b, LFloorDiv, lsub(b, hi, lo), li(b, side), NULL));
	LExpr *first = llet(b, lop(b, LSelect, llt(b, zero, tiles), lo, begin)), *last = llet(b, ladd(b, first, lmul(b, tiles, li(b, side))));
	if (!d->sums) {
		emit_places(d, lfor(b, ForSerial, first, last, li(b, side)), side, NULL, NULL, from, to);
		lend(b);
	}
	LExpr *part = lfor(b, ForSerial, zero, li(b, d->sums ? 3 : 2), NULL), *behind = llet(b, lop(b, LEq, part, li(b, 1), NULL));
	LExpr *o = lop(b, LSelect, behind, last, begin), *stop = lop(b, LSelect, behind, end, first);
	if (d->sums) {
		inside = llet(b, lop(b, LEq, part, li(b, 2), NULL));
		o = lop(b, LSelect, inside, first, o);
		stop = lop(b, LSelect, inside, last, stop);
	}
	stop = llet(b, stop);
	emit_places(d, lfor(b, ForSerial, o, stop, li(b, side)), side, stop, inside, from, to);
	lend(b);
	lend(b);
}

/* Of the lines that the windows of a row of places reach, makes those that the ring does not hold yet. */
static void fill_ring(const GroupConv *d, LExpr *image)
{
	Kernel *k = d->k;
	LB *b = &k->b;
	LExpr *lo, *hi, *zero = li(b, 0), *dilation = li(b, attr_int_at(d->n, Attr_dilations, 0, 1));
	LExpr *w = kparam_at(k, &d->x.extent[2]);

	taps_inside(d, 0, d->first[0], &lo, &hi);
	LExpr *from = ladd(b, image, lop(b, LPMax, d->first[0], zero, NULL)); /* also what this row's dilated taps skip: the next one's do not */
	LExpr *end = llet(b, ladd(b, image, ladd(b, d->first[0], ladd(b, lmul(b, lsub(b, hi, li(b, 1)), dilation), li(b, 1)))));
	LExpr *done = lload(b, d->ring.made, 1, zero, NULL, NULL);
	lif(b, llt(b, lo, hi));
	LExpr *line = lfor(b, ForSerial, llet(b, lop(b, LPMax, from, done, NULL)), end, NULL);
	LExpr *row0 = llet(b, lmul(b, line, w)), *slot = lop(b, LMod, line, d->ring.lines, NULL);
	LExpr *base = ladd(b, d->ring.at, lmul(b, lsub(b, slot, line), lmul(b, w, kparam_at(k, &d->x.extent[3]))));
	base = llet(b, base);
	make_linear_line(d->ring.source, row0, base);
	lend(b);
	lstore(b, d->ring.made, zero, NULL, NULL, lop(b, LPMax, end, lload(b, d->ring.made, 1, zero, NULL, NULL), NULL));
	lend(b);
}

/* Places begin .. end - 1 of a row, for the outputs from .. to - 1. */
static void emit_line(GroupConv *d, LExpr *row, LExpr *begin, LExpr *end, LExpr *from, LExpr *to)
{
	Kernel *k = d->k;
	LB *b = &k->b;
	const Type *t = &d->n->out[0]->type;
	LExpr *idx[MaxRank] = {0}, *head[MaxRank] = {0};

	d->row = llet(b, lmul(b, row, kparam_at(k, &t->dims[1 + d->last])));
	for (int a = d->last; a > 0; a--) {
		LExpr *size = kparam_at(k, &t->dims[a]);
		idx[a] = llet(b, lop(b, LMod, row, size, NULL));
		row = llet(b, lop(b, LFloorDiv, row, size, NULL));
	}
	idx[0] = row;
	LExpr *first[MaxRank] = {row};
	for (int a = 0; a < d->last; a++)
		d->first[a] = first_tap(d, a, idx[1 + a]);
	if (d->ring.source) {
		d->ring.image = llet(b, lmul(b, row, kparam_at(k, &d->x.extent[1])));
		d->batch = d->ring.at;
		fill_ring(d, d->ring.image);
	} else {
		d->batch = llet(b, offset_of(k, &d->x, first));
	}
	for (int a = 0; d->taps > 1 && a <= d->last; a++)
		head[a] = idx[a];
	if (d->splat)
		head[d->taps - 1] = d->head;
	d->weights = llet(b, offset_of(k, &d->w, head));
	emit_row(d, begin, end, from, to);
}

static GroupConv open_conv(Kernel *k, const Feed *f)
{
	const Type *t = &f->root->out[0]->type;
	GroupConv d = {.k = k, .n = f->root, .w = kaccess(k, f->root->in[1]), .sp = t->rank - 2, .last = t->rank - 3, .outs = t->dims[t->rank - 1]};

	k->general = true;
	if (f->root->op == OpGroupConv && f->root->in[2])
		d.bias = kaccess(k, f->root->in[2]);
	d.e = (Epilogue){.l = k->l, .root = f->root, .first = f->epilogue, .result = f->result, .home = f->home, .made = f->made};
	open_epilogue(&d.e, k);
	if (f->epilogue)
		d.sums = llocal(&k->b, "sums", t->dtype, MaxPlaces * Lanes);
	d.acc = lnew_tile(&k->b, "acc", (LType){t->dtype, Lanes}, MaxPlaces, 1);
	return d;
}

/* When the axes of its operands are known. */
static void open_taps(GroupConv *d)
{
	Kernel *k = d->k;
	Module *m = k->l->m;
	int64_t width;

	d->unrolled = dim_is_const(d->w.extent[d->taps + d->last], &width) && width <= MaxUnrolled;
	kflop(k, dim_mul_const(m, dim_mul(m, type_numel(m, &d->n->out[0]->type),
	                                  dims_product(m, d->w.extent + d->taps, d->n->op == OpWinConv ? d->sp : d->sp + 1)), 2));
	kflop_nodes(k, d->e.first, NULL);
}

static GroupConv open_group_conv(Kernel *k, const Feed *f)
{
	GroupConv d = open_conv(k, f);
	Module *m = k->l->m;
	int64_t width;

	for (int a = 0; a < d.sp; a++)
		d.before[a] = dim_const(m, attr_int_at(d.n, Attr_pads, a, 0));
	d.depthwise = is_depthwise(d.n);
	const Dim *group = dim_floordiv(m, d.outs, dim_const(m, attr_int(d.n, Attr_group)));
	d.whole = dim_is_const(d.depthwise ? d.outs : group, &width) && width % Lanes == 0;
	open_taps(&d);
	return d;
}

/* The ring in front of it, of which the worker has made nothing. */
static void open_ring(GroupConv *d, Node *source, Scratch *scratch)
{
	Kernel *k = d->k;
	LB *b = &k->b;
	Module *m = k->l->m;
	const Type *x = &d->n->in[0]->type;
	const Dim *stride = dim_const(m, 1);
	const Feed f = feed_of(source, scratch->buf);

	d->x = (Access){.buf = scratch->buf, .base = dim_const(m, 0), .rank = x->rank, .dtype = x->dtype};
	for (int a = x->rank - 1; a >= 0; a--) {
		d->x.extent[a] = x->dims[a];
		d->x.stride[a] = stride;
		stride = dim_mul(m, stride, x->dims[a]);
	}
	d->ring.lines = li(b, ring_lines(d->n));
	d->ring.at = take_scratch(k, scratch, ring_size(m, d->n));
	d->ring.source = open_tile_linear(k, &f, x->dims[2], scratch);
	d->ring.made = llocal(b, "made", I64, 1);
	lstore(b, d->ring.made, li(b, 0), NULL, NULL, li(b, 0));
}

GroupConv *open_fed_conv(Kernel *k, const Feed *f, Scratch *scratch)
{
	GroupConv *d = arena_alloc(k->l->m->arena, sizeof *d);
	Node *source = feeder(f->root->in[0]);

	*d = open_group_conv(k, f);
	if (source)
		open_ring(d, source, scratch);
	else
		d->x = kaccess(k, f->root->in[0]);
	return d;
}

bool has_ring(const GroupConv *d)
{
	return d->ring.lines != NULL;
}

void make_conv_tile(GroupConv *d, LExpr *from, LExpr *to, LExpr *at)
{
	LB *b = &d->k->b;
	const Type *t = &d->n->out[0]->type;
	LExpr *len = kparam_at(d->k, &t->dims[1 + d->last]), *zero = li(b, 0), *one = li(b, 1);

	d->tile_at = at;
	d->tile_first = from;
	d->tile_rows = llet(b, lsub(b, to, from));
	LExpr *row = lfor(b, ForSerial, lop(b, LFloorDiv, from, len, NULL), ladd(b, lop(b, LFloorDiv, lsub(b, to, one), len, NULL), one), NULL);
	LExpr *first = llet(b, lmul(b, row, len));
	LExpr *begin = llet(b, lop(b, LPMax, lsub(b, from, first), zero, NULL)), *end = llet(b, lop(b, LPMin, lsub(b, to, first), len, NULL));
	emit_line(d, row, begin, end, zero, kparam_at(d->k, &d->outs));
	lend(b);
}

/* Rows of outputs, whose lines of x the worker makes, in parallel. */
static void lower_ring(Lower *l, const Feed *f)
{
	Kernel k = open_kernel(l, "group_conv", true);
	LB *b = &k.b;
	k.general = true;
	const Type *t = &f->root->out[0]->type;
	LExpr *rows = kdim(&k, dims_product(l->m, t->dims, t->rank - 2));
	Scratch scratch = open_scratch(&k);
	GroupConv *d = open_fed_conv(&k, f, &scratch);
	LExpr *row = own_tasks(&k, rows);
	emit_line(d, row, li(b, 0), kparam_at(&k, &t->dims[1 + d->last]), li(b, 0), kparam_at(&k, &d->outs));
	lend(b);
	close_scratch(&k, &scratch);
	k.b.fn->loc = f->root->loc;
	kcall(&k);
}

/* Tasks for each row of outputs and each `part` of them, and the kernel's end. */
static void emit_tasks(GroupConv *d, const Dim *part)
{
	Kernel *k = d->k;
	LB *b = &k->b;
	Module *m = k->l->m;
	const Type *t = &d->n->out[0]->type;
	LExpr *parts = kparam(k, dim_ceildiv(m, d->outs, part));

	LExpr *task = lfor(b, ForParallel, li(b, 0), lmul(b, kdim(k, dims_product(m, t->dims, d->last + 1)), parts), NULL);
	LExpr *row = llet(b, lop(b, LFloorDiv, task, parts, NULL)), *number = d->head = llet(b, lsub(b, task, lmul(b, row, parts)));
	LExpr *from = d->group = llet(b, lmul(b, number, kparam_at(k, &part)));
	LExpr *to = llet(b, lop(b, LPMin, ladd(b, from, kparam_at(k, &part)), kparam_at(k, &d->outs), NULL));
	d->channel = d->depthwise ? NULL : llet(b, lmul(b, number, kparam_at(k, &d->w.extent[d->sp])));
	emit_line(d, row, li(b, 0), kparam_at(k, &t->dims[1 + d->last]), from, to);
	lend(b);
	k->b.fn->loc = d->n->loc;
	kcall(k);
}

void lower_group_conv(Lower *l, Node *n, Node *epilogue, Value *result, Value *home)
{
	const Feed f = {n, epilogue, result, home, NULL};
	if (feeder(n->in[0])) {
		lower_ring(l, &f);
		return;
	}
	Kernel k = open_kernel(l, "group_conv", true);
	GroupConv d = open_group_conv(&k, &f);
	d.x = kaccess(&k, n->in[0]);
	emit_tasks(&d, d.depthwise ? dim_const(l->m, l->schedule.outputs) : dim_floordiv(l->m, d.outs, dim_const(l->m, attr_int(n, Attr_group))));
}

void lower_window_conv(Lower *l, Node *n, Node *epilogue, Value *result, Value *home)
{
	Module *m = l->m;
	Kernel k = open_kernel(l, "winconv", true);
	GroupConv d = open_conv(&k, &(Feed){n, epilogue, result, home, NULL});
	const Dim *const *before, *heads = dim_const(m, attr_int(n, Attr_heads)), *width = dim_floordiv(m, d.outs, heads);
	int64_t lanes;

	d.x = kaccess(&k, n->in[0]);
	attr_dims(n, Attr_pads_dim, &before);
	for (int a = 0; a < d.sp; a++)
		d.before[a] = before[a];
	d.depthwise = true;
	d.taps = d.w.rank - d.sp;
	d.splat = (!attr_int(n, Attr_map) || dim_equals(heads, 1)) && !dim_equals(width, 1);
	const Dim *part = d.splat ? width : heads;
	d.whole = dim_is_const(part, &lanes) && lanes % Lanes == 0;
	open_taps(&d);
	emit_tasks(&d, part);
}
