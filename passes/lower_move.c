/* lower_move.c - data movement that no view explains. */
#include "lower.h"

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
static void pad_rows(Kernel *k, const Node *n, const Access *x, LBuf *y, const Dim *const *pads)
{
	LB *b = &k->b;
	Module *m = k->l->m;
	const Type *t = &n->out[0]->type;
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
	for_lanes(k, t->dims[lane], pad_lanes, &r);
	if (in) {
		lelse(b);
		r.inside = false;
		for_lanes(k, t->dims[lane], pad_lanes, &r);
		lend(b);
	}
	lend(b);
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
