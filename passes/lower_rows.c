/* lower_rows.c - operators that reduce along axes: softmax, norm, rmsnorm, cumsum, sum, mean, max, min.
 *
 * A row is one combination of the axes that stay; rows are split over the workers.  Where a row's elements lie apart, and those of
 * neighbouring rows side by side, vectors run across rows.  Else, within a row the last reduced axis runs over 16
 * virtual lanes, the other reduced axes are loops around it, and one fixed tree joins the lanes at the end, on every target.
 * cumsum goes along its axis one by one; the lanes are neighbours of an axis behind that, where there is one.
 * What a sum, mean, largest or least is of may be computed on the way, by elementwise nodes in front of it in a group.
 */
#include "lower.h"
#include <math.h>
#include <string.h>

typedef struct Rows {
	Kernel *k;
	Node *n;
	Access x, y; /* y: over the same axes as x (stride 0 where they are reduced away) */
	Leaves from; /* of the nodes that compute x; none: x lies in memory.  Else x only says how the first that is not broadcast lies */
	bool reduced[MaxRank];
	int last; /* the reduced axis that runs over lanes */
	LExpr *x_row, *y_row;
	PackedTile tile; /* of the row, where y is stored as packed rows; else no `from` */
	LExpr *row; /* its number then */
	LTile *acc, *odd; /* odd: what is no number, of largest or least elements; else NULL */
	LExpr *idx[MaxRank]; /* of all axes where an element of x is loaded; NULL: only a load of leaves would ask */
	LExpr *a, *b; /* statistics of the row: largest or mean; sum or 1/deviation */
	Access scale, bias; /* of norms: over the reduced axes */
} Rows;

typedef void RowBody(Rows *, LExpr *x_at, LExpr *y_at, LExpr *mask);

typedef struct LaneCtx {
	Rows *r;
	RowBody *body;
	LExpr *x, *y;
} LaneCtx;

static void lane_body(void *ctx, Kernel *k, LExpr *i, LExpr *mask)
{
	LaneCtx *c = ctx;
	Rows *r = c->r;
	LB *b = &k->b;

	r->idx[r->last] = i;
	LExpr *y = r->tile.from ? packed_place(b, &r->tile, r->row, i) : ladd(b, c->y, lmul(b, i, kdim(k, r->y.stride[r->last])));
	c->body(r, ladd(b, c->x, lmul(b, i, kdim(k, r->x.stride[r->last]))), y, mask);
}

/* Elements of a row along the axes behind `axis`; of all, if that is -1. */
static const Dim *elements_behind(const Rows *r, int axis)
{
	Module *m = r->k->l->m;
	const Dim *n = dim_const(m, 1);
	for (int d = axis + 1; d < r->x.rank; d++)
		if (r->reduced[d])
			n = dim_mul(m, n, r->x.extent[d]);
	return n;
}

/* Opens the loop along one of the axes of a row but the last. */
static LExpr *for_axis(Rows *r, int axis)
{
	LB *b = &r->k->b;
	return lfor(b, ForSerial, li(b, 0), kdim(r->k, times_of_elements(r->k->l->m, r->x.extent[axis], elements_behind(r, axis))), NULL);
}

/* Runs body over all elements of the row. */
static void each(Rows *r, RowBody *body)
{
	LB *b = &r->k->b;
	LExpr *x = r->x_row, *y = r->y_row;
	int loops = 0;

	for (int d = 0; d < r->x.rank; d++) {
		if (!r->reduced[d] || d == r->last)
			continue;
		r->idx[d] = for_axis(r, d);
		x = llet(b, ladd(b, x, lmul(b, r->idx[d], kdim(r->k, r->x.stride[d]))));
		y = llet(b, ladd(b, y, lmul(b, r->idx[d], kdim(r->k, r->y.stride[d]))));
		loops++;
	}
	LaneCtx c = {r, body, x, y};
	for_lanes(r->k, r->x.extent[r->last], lane_body, &c);
	while (loops--)
		lend(b);
}

static LExpr *get(Rows *r)
{
	LB *b = &r->k->b;
	return lelem(b, r->acc, li(b, 0), li(b, 0));
}

static void set(Rows *r, LExpr *e)
{
	LB *b = &r->k->b;
	lset_tile(b, r->acc, li(b, 0), li(b, 0), e);
}

static LExpr *only_else(Rows *r, LExpr *mask, LExpr *e, LExpr *otherwise)
{
	return mask ? lop(&r->k->b, LSelect, mask, e, otherwise) : e;
}

static LExpr *only(Rows *r, LExpr *mask, LExpr *e, double otherwise)
{
	return only_else(r, mask, e, lconst(&r->k->b, e->type, otherwise));
}

/* 16 elements along an axis, the first at `at`, or r->idx; lanes that the mask leaves out are anything. */
static LExpr *load_along(Rows *r, int axis, LExpr *at, LExpr *mask)
{
	Kernel *k = r->k;
	LB *b = &k->b;
	LExpr *loaded[MaxLeaves], *values[MaxMembers];

	if (!r->from.first)
		return llet(b, load_lanes(k, &r->x, at, r->x.stride[axis], mask));
	for (int i = 0; i < r->from.n; i++) {
		const Access *a = &r->from.access[i];
		loaded[i] = llet(b, load_lanes(k, a, llet(b, offset_of(k, a, r->idx)), a->stride[axis], mask));
	}
	emit_members(k, &r->from, loaded, values);
	return member_or_leaf(&r->from, r->n->in[0], loaded, values);
}

/* 16 elements of a row; lanes that the mask leaves out are 0. */
static LExpr *load_x(Rows *r, LExpr *at, LExpr *mask)
{
	LExpr *v = load_along(r, r->last, at, mask);
	const bool masked = !r->from.first && !dim_equals(r->x.stride[r->last], 0); /* a splat knows no mask */
	return masked ? v : llet(&r->k->b, only(r, mask, v, 0));
}

static LExpr *const16(Rows *r, double v)
{
	return lconst(&r->k->b, (LType){r->x.dtype, Lanes}, v);
}

static LExpr *splat16(Rows *r, LExpr *e)
{
	LB *b = &r->k->b;
	return llet(b, lcast(b, LSplat, (LType){e->type.elem, Lanes}, e));
}

static LExpr *horizontal(Rows *r, LOp op)
{
	return lop(&r->k->b, op, get(r), NULL, NULL);
}

static void store_y(Rows *r, LExpr *at, LExpr *mask, LExpr *e)
{
	const Dim *stride = r->y.stride[r->last];
	lstore(&r->k->b, r->y.buf, at, dim_equals(stride, 1) ? NULL : kdim(r->k, stride), mask, e);
}

/* ---- softmax -------------------------------------------------------------------------------------------------------------------- */

static void take_max(Rows *r, LExpr *x, LExpr *y, LExpr *mask)
{
	(void)y;
	set(r, lop(&r->k->b, LPMax, only(r, mask, load_x(r, x, mask), -INFINITY), get(r), NULL)); /* what is no number is none in the sum of exponentials */
}

static void take_exp(Rows *r, LExpr *x, LExpr *y, LExpr *mask)
{
	LB *b = &r->k->b;
	LExpr *e = llet(b, vm_exp(b, llet(b, lsub(b, load_x(r, x, mask), r->a))));
	store_y(r, y, mask, e);
	set(r, ladd(b, get(r), only(r, mask, e, 0)));
}

static void divide(Rows *r, LExpr *x, LExpr *y, LExpr *mask)
{
	LB *b = &r->k->b;
	(void)x;
	Access a = r->y;
	store_y(r, y, mask, lop(b, LDiv, load_lanes(r->k, &a, y, a.stride[r->last], mask), r->b, NULL));
}

static void emit_softmax(Rows *r)
{
	set(r, const16(r, -INFINITY));
	each(r, take_max);
	r->a = splat16(r, horizontal(r, LHMax));
	set(r, const16(r, 0));
	each(r, take_exp);
	r->b = splat16(r, horizontal(r, LHAdd));
	each(r, divide);
}

/* ---- norms ------------------------------------------------------------------------------------------------------------------------ */

static void take_sum(Rows *r, LExpr *x, LExpr *y, LExpr *mask)
{
	(void)y;
	set(r, ladd(&r->k->b, get(r), load_x(r, x, mask))); /* masked lanes load 0 */
}

static void take_squares(Rows *r, LExpr *x, LExpr *y, LExpr *mask)
{
	LB *b = &r->k->b;
	LExpr *v = load_x(r, x, mask);
	(void)y;
	if (r->a)
		v = llet(b, only(r, mask, lsub(b, v, r->a), 0));
	set(r, lfma(b, v, v, get(r)));
}

static LExpr *load_affine(Rows *r, const Access *a, LExpr *mask)
{
	LExpr *idx[MaxRank] = {0};
	int lead = r->x.rank - a->rank;

	for (int d = 0; d < a->rank; d++)
		idx[d] = r->idx[d + lead];
	return load_lanes(r->k, a, offset_of(r->k, a, idx), a->stride[r->last - lead], mask);
}

static void write_normed(Rows *r, LExpr *x, LExpr *y, LExpr *mask)
{
	LB *b = &r->k->b;
	LExpr *v = load_x(r, x, mask);

	if (r->a)
		v = lsub(b, v, r->a);
	v = llet(b, lmul(b, v, r->b));
	if (r->scale.buf)
		v = llet(b, lmul(b, v, load_affine(r, &r->scale, mask)));
	if (r->bias.buf)
		v = llet(b, ladd(b, v, load_affine(r, &r->bias, mask)));
	store_y(r, y, mask, v);
}

static LExpr *row_size(Rows *r)
{
	LB *b = &r->k->b;
	LExpr *n = li(b, 1);
	for (int d = 0; d < r->x.rank; d++)
		if (r->reduced[d])
			n = lmul(b, n, kdim(r->k, r->x.extent[d]));
	return llet(b, lcast(b, LConvert, (LType){r->x.dtype, 1}, n));
}

static void emit_norm(Rows *r)
{
	LB *b = &r->k->b;
	const LType one = {r->x.dtype, 1};
	LExpr *n = row_size(r);

	r->a = NULL;
	if (r->n->op == OpNorm) {
		set(r, const16(r, 0));
		each(r, take_sum);
		r->a = splat16(r, lop(b, LDiv, horizontal(r, LHAdd), n, NULL));
	}
	set(r, const16(r, 0));
	each(r, take_squares);
	LExpr *var = lop(b, LDiv, horizontal(r, LHAdd), n, NULL);
	LExpr *dev = lop(b, LSqrt, ladd(b, var, lconst(b, one, attr_float(r->n, Attr_eps))), NULL, NULL);
	r->b = splat16(r, lop(b, LDiv, lconst(b, one, 1), dev, NULL));
	each(r, write_normed);
}

/* ---- reductions ------------------------------------------------------------------------------------------------------------------- */

static LExpr *nothing_reduced(Rows *r)
{
	return lscalar(&r->k->b, Lanes, reduce_identity(r->n->op, r->x.dtype));
}

/* What is no number stays: beside the others, so that a step waits for one comparison alone. */
static void take_extreme(Rows *r, LExpr *x, LExpr *y, LExpr *mask)
{
	LB *b = &r->k->b;
	LExpr *zero = li(b, 0), *v = llet(b, only_else(r, mask, load_x(r, x, mask), nothing_reduced(r)));

	(void)y;
	set(r, lop(b, r->n->op == OpReduceMax ? LPMax : LPMin, v, get(r), NULL));
	if (r->odd)
		lset_tile(b, r->odd, zero, zero, lop(b, LSelect, lop(b, LNe, v, v, NULL), v, lelem(b, r->odd, zero, zero)));
}

/* The largest or least of each lane, or what is no number. */
static void emit_extreme(Rows *r)
{
	LB *b = &r->k->b;
	LExpr *zero = li(b, 0);

	if (dtypes[r->x.dtype].cls == ClassFloat) {
		r->odd = lnew_tile(b, "odd", r->acc->type, 1, 1);
		lset_tile(b, r->odd, zero, zero, const16(r, 0));
	}
	set(r, nothing_reduced(r));
	each(r, take_extreme);
	if (!r->odd)
		return;
	LExpr *odd = llet(b, lelem(b, r->odd, zero, zero));
	set(r, lop(b, LSelect, lop(b, LNe, odd, odd, NULL), odd, get(r)));
}

static void emit_reduction(Rows *r)
{
	LB *b = &r->k->b;
	LExpr *v;

	if (r->n->op == OpSum || r->n->op == OpMean) {
		set(r, const16(r, 0));
		each(r, take_sum);
		v = horizontal(r, LHAdd);
		if (r->n->op == OpMean)
			v = lop(b, LDiv, v, row_size(r), NULL);
	} else {
		emit_extreme(r);
		v = horizontal(r, r->n->op == OpReduceMax ? LHMax : LHMin);
	}
	lstore(b, r->y.buf, r->y_row, NULL, NULL, v);
}

/* ---- reductions of elements that lie apart: vectors run across an axis that stays ---------------------------------------------------- */

enum {
	MinColumns = 8, /* fewer fill too little of a vector */
	MaxVectors = 4, /* side by side */
	SumVectors = 16, /* the same for cumsum where extents are known: rows that lie far apart are read in longer pieces */
	RunLen = 64 /* elements that are joined before they are joined to the rest: sums of long axes round less */
};

/* The axis that stays whose elements run over lanes, if that along which the operator goes does not: x is contiguous along it, but for
 * cumsum, whose last axis it is; -1: there is none. */
static int column_axis(const Rows *r)
{
	const Dim *stride = r->x.stride[r->last];
	int64_t n;

	if (r->n->op == OpCumSum) {
		int d = r->x.rank - 1;
		while (d > r->last && dim_equals(r->x.extent[d], 1))
			d--;
		return d > r->last ? d : -1;
	}
	if (r->n->op == OpNorm || r->n->op == OpRmsNorm || dim_equals(stride, 1) || dim_equals(stride, 0))
		return -1;
	for (int d = 0; d < r->x.rank; d++)
		if (!r->reduced[d] && dim_equals(r->x.stride[d], 1) && !(dim_is_const(r->x.extent[d], &n) && n < MinColumns))
			return d;
	return -1;
}

static void join_columns(Rows *r, LTile *acc, int i, LExpr *v)
{
	LB *b = &r->k->b;
	LExpr *old = lelem(b, acc, li(b, i), li(b, 0));
	LOp op = r->n->op == OpReduceMax ? LMax : r->n->op == OpReduceMin ? LMin : LAdd;
	/* v first, which is asked whether it is a number: nothing waits for the answer */
	lset_tile(b, acc, li(b, i), li(b, 0), op == LAdd ? ladd(b, old, v) : lop(b, op, v, old, NULL));
}

/* `count` vectors of columns from `from` on, of n. */
static void emit_columns(Rows *r, int axis, LExpr *from, int count, bool whole)
{
	LB *b = &r->k->b;
	const LType vec = {r->x.dtype, Lanes};
	LTile *all = lnew_tile(b, "all", vec, count, 1), *run = lnew_tile(b, "run", vec, count, 1);
	LExpr *col[MaxVectors], *mask[MaxVectors], *n = kdim(r->k, r->x.extent[axis]), *len = kdim(r->k, r->x.extent[r->last]), *x = r->x_row;
	int loops = 1;

	for (int i = 0; i < count; i++) {
		col[i] = llet(b, ladd(b, from, li(b, i * Lanes)));
		mask[i] = whole ? NULL : lane_mask(r->k, lsub(b, n, col[i]));
		lset_tile(b, all, li(b, i), li(b, 0), nothing_reduced(r));
	}
	for (int d = 0; d < r->x.rank; d++) {
		if (!r->reduced[d] || d == r->last)
			continue;
		r->idx[d] = for_axis(r, d);
		x = llet(b, ladd(b, x, lmul(b, r->idx[d], kdim(r->k, r->x.stride[d]))));
		loops++;
	}
	LExpr *start = lfor(b, ForSerial, li(b, 0), len, li(b, RunLen)), *end = llet(b, lop(b, LPMin, ladd(b, start, li(b, RunLen)), len, NULL));
	for (int i = 0; i < count; i++)
		lset_tile(b, run, li(b, i), li(b, 0), nothing_reduced(r));
	LExpr *t = lfor(b, ForSerial, start, end, NULL), *at = llet(b, ladd(b, x, lmul(b, t, kdim(r->k, r->x.stride[r->last]))));
	r->idx[r->last] = t;
	for (int i = 0; i < count; i++) {
		r->idx[axis] = col[i];
		join_columns(r, run, i, load_along(r, axis, ladd(b, at, col[i]), mask[i]));
	}
	lend(b);
	for (int i = 0; i < count; i++)
		join_columns(r, all, i, lelem(b, run, li(b, i), li(b, 0)));
	while (loops--)
		lend(b);
	LExpr *size = r->n->op == OpMean ? splat16(r, row_size(r)) : NULL;
	for (int i = 0; i < count; i++) {
		LExpr *v = lelem(b, all, li(b, i), li(b, 0)), *to = ladd(b, r->y_row, lmul(b, col[i], kdim(r->k, r->y.stride[axis])));
		lstore(b, r->y.buf, to, dim_equals(r->y.stride[axis], 1) ? NULL : kdim(r->k, r->y.stride[axis]), mask[i],
		       size ? lop(b, LDiv, v, size, NULL) : v);
	}
}

/* Softmax of `count` vectors of columns from `from` on, of n. */
static void emit_softmax_columns(Rows *r, int axis, LExpr *from, int count, bool whole)
{
	Kernel *k = r->k;
	LB *b = &k->b;
	const LType vec = {r->x.dtype, Lanes};
	LTile *most = lnew_tile(b, "most", vec, count, 1), *sum = lnew_tile(b, "sum", vec, count, 1), *run = lnew_tile(b, "run", vec, count, 1);
	LExpr *zero = li(b, 0), *n = kdim(k, r->x.extent[axis]), *len = kdim(k, r->x.extent[r->last]), *col[MaxVectors], *mask[MaxVectors];
	LExpr *y_step = dim_equals(r->y.stride[axis], 1) ? NULL : kdim(k, r->y.stride[axis]);

	for (int i = 0; i < count; i++) {
		col[i] = llet(b, ladd(b, from, li(b, i * Lanes)));
		mask[i] = whole ? NULL : lane_mask(k, lsub(b, n, col[i]));
		lset_tile(b, most, li(b, i), zero, const16(r, -INFINITY));
		lset_tile(b, sum, li(b, i), zero, const16(r, 0));
	}
	for (int pass = 0; pass < 3; pass++) { /* largest, exponentials and their sum, division */
		LExpr *start = lfor(b, ForSerial, zero, len, li(b, RunLen)), *end = llet(b, lop(b, LPMin, ladd(b, start, li(b, RunLen)), len, NULL));
		for (int i = 0; pass == 1 && i < count; i++)
			lset_tile(b, run, li(b, i), zero, const16(r, 0));
		LExpr *t = lfor(b, ForSerial, start, end, NULL);
		LExpr *x = llet(b, ladd(b, r->x_row, lmul(b, t, kdim(k, r->x.stride[r->last]))));
		LExpr *y = llet(b, ladd(b, r->y_row, lmul(b, t, kdim(k, r->y.stride[r->last]))));
		for (int i = 0; i < count; i++) {
			LExpr *to = llet(b, ladd(b, y, lmul(b, col[i], kdim(k, r->y.stride[axis]))));
			LExpr *v = pass == 2 ? lload(b, r->y.buf, Lanes, to, y_step, mask[i]) : load_lanes(k, &r->x, ladd(b, x, col[i]), r->x.stride[axis], mask[i]);
			v = llet(b, v);
			LExpr *before = lelem(b, pass == 0 ? most : pass == 1 ? run : sum, li(b, i), zero);
			if (pass == 0)
				lset_tile(b, most, li(b, i), zero, lop(b, LPMax, v, before, NULL));
			if (pass == 1) {
				v = llet(b, vm_exp(b, llet(b, lsub(b, v, lelem(b, most, li(b, i), zero)))));
				lset_tile(b, run, li(b, i), zero, ladd(b, before, v));
			}
			if (pass > 0)
				lstore(b, r->y.buf, to, y_step, mask[i], pass == 1 ? v : lop(b, LDiv, v, before, NULL));
		}
		lend(b);
		for (int i = 0; pass == 1 && i < count; i++)
			lset_tile(b, sum, li(b, i), zero, ladd(b, lelem(b, sum, li(b, i), zero), lelem(b, run, li(b, i), zero)));
		lend(b);
	}
}

/* ---- cumsum ------------------------------------------------------------------------------------------------------------------------ */

/* Opens the loop along the axis; returns the place of its element. */
static LExpr *begin_sums(Rows *r)
{
	LB *b = &r->k->b;
	LExpr *len = kdim(r->k, r->x.extent[r->last]), *i = lfor(b, ForSerial, li(b, 0), len, NULL);

	return attr_int(r->n, Attr_reverse) ? llet(b, lsub(b, lsub(b, len, li(b, 1)), i)) : i;
}

/* Element v joins those before it, in the tile's vector number `at`; returns the result in its place. */
static LExpr *join_sums(Rows *r, LTile *all, int at, LExpr *v)
{
	LB *b = &r->k->b;
	LExpr *before = llet(b, lelem(b, all, li(b, at), li(b, 0)));
	LExpr *sum = llet(b, lop(b, attr_int(r->n, Attr_product) ? LMul : LAdd, before, v, NULL));
	lset_tile(b, all, li(b, at), li(b, 0), sum);
	return attr_int(r->n, Attr_exclusive) ? before : sum;
}

/* The sums or products along the axis of one element of x_row. */
static void emit_cumsum(Rows *r)
{
	LB *b = &r->k->b;
	LTile *all = lnew_tile(b, "all", (LType){r->x.dtype, 1}, 1, 1);

	lset_tile(b, all, li(b, 0), li(b, 0), lconst(b, all->type, (double)attr_int(r->n, Attr_product)));
	LExpr *i = begin_sums(r), *x = ladd(b, r->x_row, lmul(b, i, kdim(r->k, r->x.stride[r->last])));
	LExpr *y = ladd(b, r->y_row, lmul(b, i, kdim(r->k, r->y.stride[r->last])));
	lstore(b, r->y.buf, y, NULL, NULL, join_sums(r, all, 0, lload(b, r->x.buf, 1, x, NULL, NULL)));
	lend(b);
}

/* Those of `count` vectors of columns from `from` on, of n. */
static void emit_cumsum_columns(Rows *r, int axis, LExpr *from, int count, bool whole)
{
	Kernel *k = r->k;
	LB *b = &k->b;
	LTile *all = lnew_tile(b, "all", (LType){r->x.dtype, Lanes}, count, 1);
	LExpr *x[SumVectors], *y[SumVectors], *mask[SumVectors], *n = kdim(k, r->x.extent[axis]);

	for (int j = 0; j < count; j++) {
		LExpr *col = llet(b, ladd(b, from, li(b, j * Lanes)));
		mask[j] = whole ? NULL : lane_mask(k, lsub(b, n, col));
		x[j] = llet(b, ladd(b, r->x_row, lmul(b, col, kdim(k, r->x.stride[axis]))));
		y[j] = llet(b, ladd(b, r->y_row, lmul(b, col, kdim(k, r->y.stride[axis]))));
		lset_tile(b, all, li(b, j), li(b, 0), const16(r, (double)attr_int(r->n, Attr_product)));
	}
	LExpr *i = begin_sums(r), *in = llet(b, lmul(b, i, kdim(k, r->x.stride[r->last])));
	LExpr *out = llet(b, lmul(b, i, kdim(k, r->y.stride[r->last])));
	for (int j = 0; j < count; j++) {
		LExpr *v = llet(b, load_lanes(k, &r->x, ladd(b, x[j], in), r->x.stride[axis], mask[j]));
		lstore(b, r->y.buf, ladd(b, y[j], out), dim_equals(r->y.stride[axis], 1) ? NULL : kdim(k, r->y.stride[axis]), mask[j],
		       join_sums(r, all, j, v));
	}
	lend(b);
}

/* ---- frame ------------------------------------------------------------------------------------------------------------------------ */

static void find_axes(Rows *r)
{
	const Node *n = r->n;
	const int64_t *axes;
	int rank = r->x.rank, count = attr_ints(n, Attr_axes, &axes);

	if (n->op == OpSoftmax || n->op == OpCumSum) {
		r->reduced[attr_int(n, Attr_axis)] = true;
	} else if (n->op == OpNorm || n->op == OpRmsNorm) {
		for (int d = attr_int(n, Attr_axis); d < rank; d++)
			r->reduced[d] = true;
	} else {
		for (int i = 0; i < count; i++)
			r->reduced[axes[i]] = true;
	}
	r->last = -1;
	for (int d = 0; d < rank; d++)
		if (r->reduced[d] && (r->last < 0 || !dim_equals(r->x.extent[d], 1)))
			r->last = d;
}

/* y over x's axes: dense strides of the result, 0 along axes that it lacks. */
static void find_output(Rows *r, Value *home)
{
	Module *m = r->k->l->m;
	const Type *t = &r->n->out[0]->type;
	bool same = t->rank == r->x.rank;
	const Dim *stride = dim_const(m, 1);

	LBuf *packed = packed_result(r->k, home);
	r->y = (Access){.buf = packed ? packed : kbuf(r->k, home, true), .rank = r->x.rank, .base = dim_const(m, 0), .dtype = t->dtype};
	for (int d = r->x.rank - 1, e = t->rank - 1; d >= 0; d--) {
		r->y.stride[d] = dim_const(m, 0);
		if (!same && r->reduced[d])
			continue;
		if (!dim_equals(t->dims[e], 1))
			r->y.stride[d] = stride;
		stride = dim_mul(m, stride, t->dims[e--]);
	}
}

/* Operations an element. */
static int row_flop(const Node *n)
{
	int affine = (n->nin > 1 && n->in[1]) + (n->nin > 2 && n->in[2]);
	switch (n->op) {
	case OpSoftmax: return 5; /* largest, difference, exponential, sum, division */
	case OpNorm: return 6 + affine; /* sum; difference, square, sum; difference, product */
	case OpRmsNorm: return 3 + affine; /* square, sum; product */
	default: return 1;
	}
}

/* The index along each axis that stays, but `columns`, of row number `at`. */
static void split_rows(Rows *r, LExpr *at, int columns, LExpr **idx)
{
	LB *b = &r->k->b;
	for (int d = r->x.rank - 1; d >= 0; d--) {
		int left = 0;
		if (r->reduced[d] || d == columns)
			continue;
		for (int e = 0; e < d; e++)
			left += !r->reduced[e] && e != columns;
		LExpr *size = left ? kdim(r->k, r->x.extent[d]) : NULL;
		idx[d] = left ? llet(b, lop(b, LMod, at, size, NULL)) : at;
		if (left)
			at = llet(b, lop(b, LFloorDiv, at, size, NULL));
	}
}

bool is_reduction(const Node *n)
{
	const int64_t *axes;
	return (n->op == OpSum || n->op == OpMean || n->op == OpReduceMax || n->op == OpReduceMin) && attr_ints(n, Attr_axes, &axes) > 0;
}

bool reduction_takes(Node *const *members, int n)
{
	const Node *root = NULL;

	for (int i = 0; i < n && !root; i++)
		root = is_reduction(members[i]) ? members[i] : NULL;
	for (int i = 0; i < n && root; i++)
		if (members[i] != root && (ops[members[i]->op].cls != ClsEwise || !equal_dims(&members[i]->out[0]->type, &root->in[0]->type)))
			return false;
	return root && is_member(root->in[0]->def, members, n) && n <= MaxMembers && count_operands(members, n) <= MaxLeaves;
}

/* x of a group in front of n: how the first leaf lies that is not broadcast; where there is none, as if it were in memory. */
static void open_made(Rows *r)
{
	const Type *t = &r->n->in[0]->type;

	r->from.first = group_of(r->n)->body->first;
	r->from.end = r->n;
	open_leaves(r->k, &r->from, t->rank);
	r->x = dense_access(r->k->l->m, t, t->dims);
	for (int i = 0; i < r->from.n; i++) {
		bool whole = true;
		for (int d = 0; d < t->rank; d++)
			whole &= !dim_equals(r->from.access[i].stride[d], 0) || dim_equals(t->dims[d], 1);
		if (!whole)
			continue;
		memcpy(r->x.stride, r->from.access[i].stride, sizeof r->x.stride);
		return;
	}
}

void lower_rows(Lower *l, Node *n, Value *home)
{
	Module *m = l->m;
	Kernel k = open_kernel(l, ops[n->op].text, home_of(home)->stored_packed); /* in tiles of the target's size */
	LB *b = &k.b;
	Rows r = {.k = &k, .n = n};
	const Dim *rows = dim_const(m, 1);
	const Node *group = group_of(n);

	if (group && group->body->first != n)
		open_made(&r);
	else
		r.x = kaccess(&k, n->in[0]);
	find_axes(&r);
	if (r.last < 0) { /* a scalar: nothing to reduce over */
		lower_copy(l, n->in[0], home);
		return;
	}
	find_output(&r, home);
	if (n->nin > 1 && n->in[1])
		r.scale = kaccess(&k, n->in[1]);
	if (n->nin > 2 && n->in[2])
		r.bias = kaccess(&k, n->in[2]);
	int64_t n_columns;
	int columns = column_axis(&r), vectors = MaxVectors;
	k.general = columns >= 0; /* one load an iteration: extents need not be known */
	for (int d = 0; d < r.x.rank; d++)
		if (!r.reduced[d] && d != columns)
			rows = dim_mul(m, rows, r.x.extent[d]);
	bool known = columns >= 0 && dim_is_const(r.x.extent[columns], &n_columns);
	if (known) { /* as many in each part */
		const int64_t most = (n->op == OpCumSum ? SumVectors : MaxVectors) * Lanes, n_parts = n_columns > most ? (n_columns + most - 1) / most : 1;
		vectors = n_columns > Lanes ? (int)((n_columns + n_parts * Lanes - 1) / (n_parts * Lanes)) : 1;
	}
	const Dim *parts = columns < 0 ? dim_const(m, 1) : dim_ceildiv(m, r.x.extent[columns], dim_const(m, vectors * Lanes));
	const Dim *times = dim_mul(m, rows, parts);
	if (!(ops[n->op].attrs >> Attr_axes & 1)) /* a result for each element of a row, not for all */
		times = times_of_elements(m, times, elements_behind(&r, -1));
	LExpr *at = lfor(b, ForParallel, li(b, 0), kdim(&k, times), NULL), *part = at;
	if (columns >= 0) {
		at = llet(b, lop(b, LFloorDiv, part, kdim(&k, parts), NULL));
		part = llet(b, lmul(b, lsub(b, part, lmul(b, at, kdim(&k, parts))), li(b, vectors * Lanes)));
	}
	split_rows(&r, at, columns, r.idx);
	r.x_row = llet(b, offset_of(&k, &r.x, r.idx));
	r.y_row = llet(b, offset_of(&k, &r.y, r.idx));
	if (home_of(home)->stored_packed) {
		r.row = at;
		r.tile = tile_of_row(&k, at, rows, r.x.extent[r.last]);
	}
	if (n->op != OpCumSum)
		r.acc = lnew_tile(b, "acc", (LType){r.x.dtype, Lanes}, 1, 1);
	const bool whole = known && n_columns % (vectors * Lanes) == 0;
	if (columns >= 0 && n->op == OpCumSum)
		emit_cumsum_columns(&r, columns, part, vectors, whole);
	else if (columns >= 0 && n->op == OpSoftmax)
		emit_softmax_columns(&r, columns, part, vectors, whole);
	else if (columns >= 0)
		emit_columns(&r, columns, part, vectors, whole);
	else if (n->op == OpSoftmax)
		emit_softmax(&r);
	else if (n->op == OpCumSum)
		emit_cumsum(&r);
	else if (n->op == OpNorm || n->op == OpRmsNorm)
		emit_norm(&r);
	else
		emit_reduction(&r);
	lend(b);
	kflop_nodes(&k, r.from.first, r.from.end);
	kflop(&k, dim_mul_const(m, type_numel(m, &n->in[0]->type), row_flop(n)));
	k.b.fn->loc = n->loc;
	kcall(&k);
}
