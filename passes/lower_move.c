/* lower_move.c - data movement that no view explains. */
#include "lower.h"

#include <string.h>

enum { LeastTurned = 4 }; /* elements side by side, for which turning blocks of 16 pays */

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

/* One kernel an operand. */
static void lower_concat(Lower *l, Node *n, Value *home)
{
	Module *m = l->m;
	int axis = attr_int(n, Attr_axis);
	const Dim *start = dim_const(m, 0);
	Type storage;

	storage_type(m, n->out[0], &storage);
	for (int i = 0; i < n->nin; i++) {
		if (i || !attr_int(n, Attr_state)) /* else it lies there already */
			lower_part(l, "concat", n->in[i], home, storage.dims, axis, start);
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

/* Edge and reflect, row by row along the last axis: what lies in x by vectors, what was added by elements. */
static void pad_from_inside(Kernel *k, const Node *n, const Access *x, LBuf *y, const Dim *const *pads)
{
	LB *b = &k->b;
	const Type *t = &n->out[0]->type;
	const int last = t->rank - 1, mode = (int)attr_int(n, Attr_mode);
	LExpr *idx[MaxRank] = {0}, *zero = li(b, 0);

	LExpr *row = lfor(b, ForParallel, zero, kdim(k, dims_product(k->l->m, t->dims, last)), NULL);
	split_index(k, row, t->dims, last, idx);
	for (int d = 0; d < last; d++)
		if (!dim_equals(pads[d], 0) || x->extent[d] != t->dims[d])
			idx[d] = llet(b, inside_index(b, llet(b, lsub(b, idx[d], kdim(k, pads[d]))), kdim(k, x->extent[d]), mode));
	LExpr *from = llet(b, offset_of(k, x, idx)), *len = kdim(k, x->extent[last]), *all = kdim(k, t->dims[last]);
	LExpr *to = llet(b, lmul(b, row, all)), *before = kdim(k, pads[last]), *stride = kdim(k, x->stride[last]);
	LExpr *lo = llet(b, lop(b, LPMin, lop(b, LPMax, before, zero, NULL), all, NULL));
	LExpr *hi = llet(b, lop(b, LPMin, lop(b, LPMax, ladd(b, before, len), lo, NULL), all, NULL));
	LExpr *j = lfor(b, ForSerial, lo, hi, li(b, Lanes)), *mask = lane_mask(k, lsub(b, hi, j));
	LExpr *v = load_lanes(k, x, ladd(b, from, lmul(b, lsub(b, j, before), stride)), x->stride[last], mask);
	lstore(b, y, ladd(b, to, j), NULL, mask, v);
	lend(b);
	for (int behind = 0; behind < 2; behind++) {
		LExpr *i = lfor(b, ForSerial, behind ? hi : zero, behind ? all : lo, NULL);
		LExpr *at = llet(b, inside_index(b, llet(b, lsub(b, i, before)), len, mode));
		lstore(b, y, ladd(b, to, i), NULL, NULL, lload(b, x->buf, 1, ladd(b, from, lmul(b, at, stride)), NULL, NULL));
		lend(b);
	}
	lend(b);
}

typedef struct PadRow {
	const Access *x;
	LBuf *y;
	LExpr *from, *to; /* offsets of the row's first element; from: as if x went on before it */
	int lane; /* the axis of the row */
	const Dim *before, *len, *stride; /* of that axis; len: of x; stride: of y */
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
		const Dim *stride = r->x->stride[r->lane];
		LExpr *x = load_lanes(k, r->x, ladd(b, r->from, lmul(b, first, kdim(k, stride))), stride, in);
		v = lop(b, LSelect, in, x, v);
	}
	LExpr *stride = dim_equals(r->stride, 1) ? NULL : kdim(k, r->stride);
	lstore(b, r->y, ladd(b, r->to, stride ? lmul(b, i, stride) : i), stride, mask, v);
}

typedef struct PadPart { /* of a row */
	const PadRow *row;
	LExpr *to; /* where it goes */
	bool of_x; /* or it is padding */
} PadPart;

static void part_lanes(void *ctx, Kernel *k, LExpr *i, LExpr *mask)
{
	const PadPart *p = ctx;
	const PadRow *r = p->row;
	LB *b = &k->b;
	const Dim *step = r->x->stride[r->lane];
	LExpr *stride = dim_equals(r->stride, 1) ? NULL : kdim(k, r->stride);
	LExpr *v = p->of_x ? load_lanes(k, r->x, ladd(b, r->from, lmul(b, i, kdim(k, step))), step, mask) : lscalar(b, Lanes, r->value);
	lstore(b, r->y, ladd(b, p->to, stride ? lmul(b, i, stride) : i), stride, mask, v);
}

/* The row's elements of x between what is added, if that is known to be no less than none. */
static bool pad_in_parts(Kernel *k, const PadRow *r, const Dim *all)
{
	LB *b = &k->b;
	Module *m = k->l->m;
	const Dim *to = dim_add(m, r->before, r->len), *after = dim_sub(m, all, to);
	int64_t least_before, least_after, most;

	dim_range(r->before, &least_before, &most);
	dim_range(after, &least_after, &most);
	if (least_before < 0 || least_after < 0)
		return false;
	for_lanes(k, r->before, part_lanes, &(PadPart){r, r->to, false});
	for_lanes(k, r->len, part_lanes, &(PadPart){r, llet(b, ladd(b, r->to, lmul(b, kdim(k, r->before), kdim(k, r->stride)))), true});
	for_lanes(k, after, part_lanes, &(PadPart){r, llet(b, ladd(b, r->to, lmul(b, kdim(k, to), kdim(k, r->stride)))), false});
	return true;
}

/* Axes to which nothing is added, behind one along which x goes on where they end, are part of that one: an image's lines, with the channels last.
 * As long as there are rows enough for many workers. */
static void merge_unpadded(Module *m, Access *x, Type *t, const Dim **pads)
{
	enum { Enough = 16 };

	while (x->rank > 1) {
		const int last = x->rank - 1;
		const Dim *extent = x->extent[last];
		int64_t rows = 1, n;
		for (int d = 0; d < last - 1 && rows < Enough; d++)
			rows *= dim_is_const(t->dims[d], &n) ? n < Enough ? n : Enough : 1;
		if (rows < Enough || pads[last] != dim_const(m, 0) || extent != t->dims[last] || !dim_equals(x->stride[last], 1) || x->stride[last - 1] != extent)
			return;
		pads[last - 1] = dim_mul(m, pads[last - 1], extent);
		x->extent[last - 1] = dim_mul(m, x->extent[last - 1], extent);
		x->stride[last - 1] = dim_const(m, 1);
		t->dims[last - 1] = dim_mul(m, t->dims[last - 1], extent);
		x->rank = t->rank = last;
	}
}

/* The last axis, unless it is short and x lies side by side along another one: colours of an image that is to have them last. */
static int lane_axis(const Access *x, const Type *t)
{
	enum { Short = 8 };
	int64_t n;
	int last = x->rank - 1;
	bool short_last = dim_is_const(t->dims[last], &n) && n < Short && !dim_equals(x->stride[last], 1);
	for (int d = 0; d < last && short_last; d++)
		if (dim_equals(x->stride[d], 1) && !(dim_is_const(t->dims[d], &n) && n < Lanes))
			return d;
	return last;
}

/* Rows along one axis; one that lies outside of x along another axis is padding as a whole. */
static void pad_rows(Kernel *k, const Node *n, const Access *of, LBuf *y, const Dim *const *given)
{
	LB *b = &k->b;
	Module *m = k->l->m;
	Type type = n->out[0]->type, *t = &type;
	Access merged = *of, *x = &merged;
	const Dim *pads[MaxRank];
	for (int d = 0; d < t->rank; d++)
		pads[d] = given[d];
	merge_unpadded(m, x, t, pads);
	int lane = lane_axis(x, t), rest = 0;
	const Dim *stride[MaxRank] = {0}, *step = dim_const(m, 1), *extent[MaxRank];
	LExpr *idx[MaxRank] = {0}, *at[MaxRank], *in = NULL;
	PadRow r = {.x = x, .y = y, .lane = lane, .before = pads[lane], .len = x->extent[lane], .value = attr_scalar(n, Attr_value)};

	for (int d = t->rank - 1; d >= 0; d--) {
		stride[d] = step;
		step = dim_mul(m, step, t->dims[d]);
	}
	r.stride = stride[lane];
	for (int d = 0; d < t->rank; d++)
		if (d != lane)
			extent[rest++] = t->dims[d];
	LExpr *row = lfor(b, ForParallel, li(b, 0), kdim(k, dims_product(m, extent, rest)), NULL);
	split_index(k, row, extent, rest, at);
	r.to = li(b, 0);
	for (int d = 0; d < t->rank; d++)
		if (d != lane) {
			idx[d] = at[d - (d > lane)];
			r.to = ladd(b, r.to, lmul(b, idx[d], kdim(k, stride[d])));
		}
	r.to = llet(b, r.to);
	for (int d = 0; d < t->rank; d++) {
		if (d == lane || (pads[d] == dim_const(m, 0) && x->extent[d] == t->dims[d]))
			continue;
		idx[d] = llet(b, lsub(b, idx[d], kdim(k, pads[d])));
		LExpr *ok = lop(b, LAnd, lop(b, LLe, li(b, 0), idx[d], NULL), llt(b, idx[d], kdim(k, x->extent[d])), NULL);
		in = in ? lop(b, LAnd, in, ok, NULL) : ok;
	}
	if (in)
		lif(b, in);
	r.inside = true;
	r.from = llet(b, offset_of(k, x, idx));
	if (!pad_in_parts(k, &r, t->dims[lane]))
		for_lanes(k, t->dims[lane], pad_lanes, &r);
	if (in) {
		lelse(b);
		r.inside = false;
		for_lanes(k, t->dims[lane], pad_lanes, &r);
		lend(b);
	}
	lend(b);
}

/* The type of lanes that blocks of such elements are turned as, bit by bit; NDTypes: they are not. */
static DType lanes_type(DType t)
{
	switch (t == Bool || is_packed(t) ? 0 : dtypes[t].bits) {
	case 8: return U8;
	case 16: return U16;
	case 32: return t == F32 ? F32 : U32;
	default: return NDTypes;
	}
}

/* The axis along which x lies side by side, if that is another one than y's, and nothing is added to it; else -1. */
static int turned_axis(Module *m, const Node *n, const Access *x, const Dim *const *pads)
{
	const Type *t = &n->out[0]->type;
	int64_t few;

	if (lanes_type(x->dtype) == NDTypes || attr_scalar(n, Attr_value).u || /* +0, as masked lanes load */ dim_equals(x->stride[x->rank - 1], 1))
		return -1;
	for (int d = 0; d < x->rank - 1; d++)
		if (dim_equals(x->stride[d], 1) && pads[d] == dim_const(m, 0) && x->extent[d] == t->dims[d] && !(dim_is_const(t->dims[d], &few) && few < LeastTurned))
			return d;
	return -1;
}

typedef struct Turned {
	const Access *x;
	LBuf *y;
	LExpr *from, *to; /* of the first column's element 0 in x, as if x went on before it; in y */
	LExpr *columns, *first, *len, *all; /* of the block; x[first] is y's element 0; extents of x and y along the last axis */
	LExpr *step, *apart; /* from one element of a column to the next in x; from one column to the next in y */
} Turned;

/* Elements o .. o + 15 of 16 columns; `whole`: all of them are of x. */
static void turn_block(Kernel *k, const Turned *t, LExpr *o, bool whole)
{
	LB *b = &k->b;
	const LType bools = {Bool, Lanes}, own = {t->x->dtype, Lanes}, turned = {lanes_type(t->x->dtype), Lanes};
	LExpr *rows[Lanes], *lanes = li(b, Lanes), *at = llet(b, ladd(b, t->first, o)), *mask = whole ? NULL : lane_mask(k, t->columns);

	for (int i = 0; i < Lanes; i++) {
		LExpr *p = ladd(b, at, li(b, i)), *from, *inside = NULL;
		if (whole) {
			from = llet(b, ladd(b, t->from, lmul(b, p, t->step)));
		} else { /* a line without any elements is read where memory is: elsewhere the CPU takes thousands of cycles to find that none is wanted */
			p = llet(b, p);
			LExpr *is_there = llet(b, lop(b, LAnd, lop(b, LLe, li(b, 0), p, NULL), llt(b, p, t->len), NULL));
			from = llet(b, lop(b, LSelect, is_there, ladd(b, t->from, lmul(b, p, t->step)), li(b, 0)));
			inside = llet(b, lop(b, LAnd, lcast(b, LSplat, bools, is_there), mask, NULL));
		}
		lprefetch(b, t->x->buf, ladd(b, from, lmul(b, t->step, lanes)));
		rows[i] = llet(b, lcast(b, LBitcast, turned, lload(b, t->x->buf, Lanes, from, NULL, inside)));
	}
	transpose_lanes(b, rows);
	mask = whole ? NULL : lane_mask(k, lsub(b, t->all, o));
	for (int i = 0; i < Lanes; i++) {
		if (!whole)
			lif(b, llt(b, li(b, i), t->columns));
		lstore(b, t->y, ladd(b, ladd(b, t->to, o), lmul(b, li(b, i), t->apart)), NULL, mask, lcast(b, LBitcast, own, rows[i]));
		if (!whole)
			lend(b);
	}
}

/* Axes along which x goes on where `side` ends, and to which nothing is added, are part of it: the lines of an image. */
static int merge_side(Module *m, Type *t, Access *x, const Dim **pads, int side)
{
	while (side > 0 && pads[side - 1] == dim_const(m, 0) && x->extent[side - 1] == t->dims[side - 1] && x->stride[side - 1] == x->extent[side]) {
		x->extent[side] = t->dims[side] = dim_mul(m, x->extent[side - 1], x->extent[side]);
		for (int d = side--; d < x->rank; d++) {
			x->extent[d - 1] = x->extent[d];
			x->stride[d - 1] = x->stride[d];
			t->dims[d - 1] = t->dims[d];
			pads[d - 1] = pads[d];
		}
		x->stride[side] = dim_const(m, 1);
		t->rank = --x->rank;
	}
	return side;
}

/* x lies side by side along `side`: blocks of 16 by 16 are turned in registers. */
static void pad_turned(Kernel *k, const Type *given, const Access *of, LBuf *y, const Dim *const *given_pads, int side)
{
	LB *b = &k->b;
	Module *m = k->l->m;
	Type type = *given;
	Access x = *of;
	const Dim *extent[MaxRank], *pads[MaxRank];
	memcpy(pads, given_pads, (size_t)x.rank * sizeof *pads);
	side = merge_side(m, &type, &x, pads, side);
	const int last = type.rank - 1;
	LExpr *at[MaxRank], *idx[MaxRank] = {0}, *in = llt(b, li(b, 0), kparam(k, x.extent[last])), *zero = li(b, 0), *lanes = li(b, Lanes);
	Turned t = {.x = &x, .y = y, .len = kparam(k, x.extent[last]), .all = kparam(k, type.dims[last]), .step = kparam(k, x.stride[last])};

	for (int d = 0; d < last; d++)
		extent[d] = d == side ? dim_ceildiv(m, type.dims[d], dim_const(m, Lanes)) : type.dims[d];
	LExpr *task = lfor(b, ForParallel, zero, kdim(k, dims_product(m, extent, last)), NULL);
	split_index(k, task, extent, last, at);
	LExpr *row = zero;
	for (int d = 0; d < last; d++) {
		LExpr *i = d == side ? llet(b, lmul(b, at[d], lanes)) : at[d];
		row = ladd(b, lmul(b, row, kparam(k, type.dims[d])), i);
		idx[d] = pads[d] == dim_const(m, 0) ? i : llet(b, lsub(b, i, kparam(k, pads[d])));
		if (d != side && !(pads[d] == dim_const(m, 0) && x.extent[d] == type.dims[d]))
			in = lop(b, LAnd, in, lop(b, LAnd, lop(b, LLe, zero, idx[d], NULL), llt(b, idx[d], kparam(k, x.extent[d])), NULL), NULL);
	}
	t.to = llet(b, lmul(b, row, t.all));
	t.apart = kparam(k, dims_product(m, type.dims + side + 1, last - side));
	t.columns = llet(b, lop(b, LPMin, lsub(b, kparam(k, type.dims[side]), idx[side]), lanes, NULL));
	t.from = llet(b, offset_of(k, &x, idx));
	t.first = llet(b, lsub(b, zero, kparam(k, pads[last])));
	t.len = llet(b, lop(b, LSelect, in, t.len, zero)); /* none of such a row is of x */
	LExpr *o = lfor(b, ForSerial, zero, t.all, lanes), *p = llet(b, ladd(b, t.first, o));
	LExpr *whole = lop(b, LAnd, lop(b, LLe, zero, p, NULL), lop(b, LLe, ladd(b, p, lanes), t.len, NULL), NULL);
	whole = lop(b, LAnd, whole, lop(b, LAnd, lop(b, LLe, lanes, t.columns, NULL), lop(b, LLe, ladd(b, o, lanes), t.all, NULL), NULL), NULL);
	lif(b, whole);
	turn_block(k, &t, o, true);
	lelse(b);
	turn_block(k, &t, o, false);
	lend(b);
	lend(b);
	lend(b);
}

enum { LeastElements = 1 << 12 }; /* less is not worth the code */

bool lower_turned(Lower *l, Value *from, Value *to)
{
	Module *m = l->m;
	const Type *t = &from->type;
	const Dim *pads[MaxRank], *stride[MaxRank];
	View w;
	int side = -1;
	int64_t n;

	plain_view(m, from, &w);
	for (int d = 0; d < t->rank; d++) {
		pads[d] = dim_const(m, 0);
		stride[d] = w.first[d + 1] > w.first[d] ? w.f[w.first[d]].stride : pads[d];
		if (dim_equals(stride[d], 1) && !(dim_is_const(t->dims[d], &n) && n < Lanes))
			side = d;
	}
	const int last = t->rank - 1;
	if (lanes_type(t->dtype) == NDTypes || side < 0 || side == last || dim_equals(stride[last], 0) || (dim_is_const(type_numel(m, t), &n) && n < LeastElements))
		return false;
	const Dim *row = t->dims[last]; /* axes that go on in equal steps are one row */
	for (int d = last; d > 0 && stride[d - 1] == dim_mul(m, stride[d], t->dims[d]); d--)
		row = dim_mul(m, row, t->dims[d - 1]);
	if (dim_is_const(row, &n) && n < Lanes)
		return false;
	Kernel k = open_kernel(l, "turn", false);
	k.general = true;
	Access x = kaccess(&k, from);
	pad_turned(&k, t, &x, kbuf(&k, to, true), pads, side);
	kcall(&k);
	return true;
}

static void lower_pad(Lower *l, Node *n, Value *home)
{
	Kernel k = open_kernel(l, "pad", false);
	k.general = true;
	Access x = kaccess(&k, n->in[0]);
	LBuf *y = kbuf(&k, home, true);
	const Dim *const *given, *pads[MaxRank];
	int npad = attr_dims(n, Attr_pads_dim, &given);

	for (int d = 0; d < x.rank; d++)
		pads[d] = npad ? given[d] : dim_const(l->m, 0);
	int side = attr_int(n, Attr_mode) || !x.rank ? -1 : turned_axis(l->m, n, &x, pads);
	if (!x.rank)
		lstore(&k.b, y, li(&k.b, 0), NULL, NULL, lload(&k.b, x.buf, 1, offset_of(&k, &x, NULL), NULL, NULL));
	else if (attr_int(n, Attr_mode))
		pad_from_inside(&k, n, &x, y, pads);
	else if (side >= 0)
		pad_turned(&k, &n->out[0]->type, &x, y, pads, side);
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
