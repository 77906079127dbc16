/* import_select.c - NonMaxSuppression and Unique: elements that the data selects, as many as it does. */
#include "build.h"
#include "import.h"

static Value *on_axis(Call *c, Op op, Value *x, Value *other, int axis)
{
	Attr a = mk_int(Attr_axis, axis);
	return emit(c, op, other ? 2 : 1, (Value *[]){x, other}, 1, &a, NULL);
}

/* The places of all elements along the axis, the smallest or largest first, in the order of their places where they are equal. */
static Value *order_along(Call *c, Value *x, int axis, bool largest)
{
	Type t = x->type;
	t.dtype = I64;
	return emit(c, OpTopK, 1, &x, 2, (Attr[]){mk_int(Attr_axis, axis), mk_int(Attr_largest, largest)}, &t);
}

/* ---- NonMaxSuppression --------------------------------------------------------------------------------------------- */

static Value *optional_scalar(Call *c, int input, const char *what, DType dtype, double dflt)
{
	Value *v = input < c->nin ? c->in[input] : NULL;
	if (!v)
		return emit_const(c, dtype, dflt);
	require_equal(c, type_numel(c->m, &v->type), num(c, 1), what);
	return emit_reshape(c, emit_cast(c, v, dtype), 0, NULL);
}

/* [batch, boxes, 4]: the corner of the smaller coordinates, then the other. */
static Value *corners(Call *c, Value *boxes)
{
	const Dim *two = num(c, 2);
	Value *a = emit_range(c, boxes, 2, num(c, 0), two, 1), *b = emit_range(c, boxes, 2, two, two, 1), *low, *high;
	if (onnx_int(c, "center_point_box", 0)) {
		Value *half = emit2(c, OpMul, b, emit_const(c, boxes->type.dtype, 0.5));
		low = emit2(c, OpSub, a, half);
		high = emit2(c, OpAdd, a, half);
	} else {
		low = emit2(c, OpMin, a, b);
		high = emit2(c, OpMax, a, b);
	}
	return on_axis(c, OpConcat, low, high, 2);
}

/* How many boxes of a class can be selected: what is asked for if that is known, and all there are. */
static const Dim *most_boxes(Call *c, const Dim *boxes)
{
	int n;
	if (c->nin < 3 || !c->in[2])
		return num(c, 0);
	const Dim *const *known = known_dims(c, c->in[2], &n);
	if (!known)
		ask_values(c, c->in[2]);
	return known && n == 1 ? dim_max(c->m, dim_min(c->m, known[0], boxes), num(c, 0)) : boxes;
}

/* Flat places in [batch, classes, boxes] as rows of three indices, the last by way of the order of the boxes. */
static Value *selected_rows(Call *c, Value *flat, Value *order)
{
	const Dim *const *d = order->type.dims, *column[2] = {flat->type.dims[0], num(c, 1)}, *all = type_numel(c->m, &order->type);
	Value *line = emit2(c, OpIDiv, flat, emit_dims(c, 0, 1, &d[2])), *classes = emit_dims(c, 0, 1, &d[1]);
	Value *parts[3] = {emit2(c, OpIDiv, line, classes), emit2(c, OpIMod, line, classes),
	                   on_axis(c, OpGather, emit_reshape(c, order, 1, &all), flat, 0)};
	Attr axis = mk_int(Attr_axis, 1);
	for (int i = 0; i < 3; i++)
		parts[i] = emit_reshape(c, parts[i], 2, column);
	return emit(c, OpConcat, 3, parts, 1, &axis, NULL);
}

/* The scores of a class say in which order its boxes are tried; those that are too small are not. */
void import_non_max_suppression(Call *c)
{
	Module *m = c->m;
	Value *boxes = c->in[0], *scores = c->in[1];
	if (boxes->type.rank != 3 || scores->type.rank != 3)
		fatal_at(c->loc, "boxes of rank %d and scores of rank %d", boxes->type.rank, scores->type.rank);
	const Dim *const *d = scores->type.dims, *n = d[2], *all = type_numel(m, &scores->type);
	require_equal(c, boxes->type.dims[1], n, "numbers of boxes and of scores");
	Value *order = order_along(c, scores, 2, true), *threshold = c->nin > 4 ? c->in[4] : NULL;
	if (threshold) {
		threshold = optional_scalar(c, 4, "elements of 'score_threshold'", scores->type.dtype, 0);
		Value *enough = emit2(c, OpLt, threshold, on_axis(c, OpGatherElem, scores, order, 2));
		order = emit3(c, OpWhere, enough, order, emit_const(c, I64, -1));
	}
	Value *in[4] = {corners(c, boxes), order, optional_scalar(c, 2, "elements of 'max_output_boxes_per_class'", I64, 0),
	                optional_scalar(c, 3, "elements of 'iou_threshold'", F32, 0)};
	Value *taken = emit_reshape(c, emit(c, OpNms, 4, in, 0, NULL, NULL), 1, &all);
	const Dim *most = dim_mul(m, dim_mul(m, d[0], d[1]), most_boxes(c, n));
	c->out[0] = selected_rows(c, emit_positions(c, taken, "selected", most), order);
}

/* ---- Unique ----------------------------------------------------------------------------------------------------------- */

static Value *zeros(Call *c, const Dim *n)
{
	return emit_expand(c, emit_const(c, I64, 0), 1, &n);
}

/* y[at[i]] joined with values[i]. */
static Value *scatter(Call *c, Value *y, Value *at, Value *values, int reduction)
{
	Attr a[] = {mk_int(Attr_axis, 0), mk_int(Attr_reduction, reduction)};
	return emit(c, OpScatterElem, 3, (Value *[]){y, at, values}, 2, a, NULL);
}

/* The places of the rows of x, [rows, columns], in lexicographic order: a loop sorts by one column after the other, the last first. */
static Value *order_rows(Call *c, Value *x)
{
	Module *m = c->m;
	const Dim *rows = x->type.dims[0], *columns = x->type.dims[1], *it;
	if (dim_equals(columns, 1))
		return order_along(c, emit_reshape(c, x, 1, &rows), 0, false);
	Value *first = emit_iota(c, I64, rows, num(c, 0), num(c, 1));
	Node *loop = begin_loop(c, columns, NULL, 1, &first, &it);
	Value *order = loop->body->params[0];
	Value *column = emit_range(c, x, 1, dim_sub(m, dim_sub(m, columns, num(c, 1)), it), num(c, 1), 1);
	column = on_axis(c, OpGather, emit_reshape(c, column, 1, &rows), order, 0);
	add_yield(m, loop->body, on_axis(c, OpGather, order, order_along(c, column, 0, false), 0));
	end_loop(c, loop);
	return loop->out[0];
}

/* Of rows in order: does one differ from the one before it, NaN being equal to NaN; the first does. */
static Value *begins_group(Call *c, Value *x)
{
	const Dim *pads[4] = {num(c, 1), num(c, 0), num(c, -1), num(c, 0)}, *rows = x->type.dims[0];
	Attr shift = mk_dims(c->m, Attr_pads_dim, 4, pads);
	Value *before = emit(c, OpPad, 1, &x, 1, &shift, NULL), *same = emit2(c, OpEq, x, before);
	if (dtypes[x->type.dtype].cls == ClassFloat)
		same = emit2(c, OpOr, same, emit2(c, OpAnd, emit1(c, OpIsNaN, x), emit1(c, OpIsNaN, before)));
	Value *differ = emit_reduce(c, OpReduceMax, emit_cast(c, emit1(c, OpNot, same), U8), 1, (const int64_t[]){1}, false);
	Value *first = emit2(c, OpEq, emit_iota(c, I64, rows, num(c, 0), num(c, 1)), emit_const(c, I64, 0));
	return emit2(c, OpOr, emit_cast(c, differ, Bool), first);
}

/* Slices of the axis as rows; without an axis every element is one. */
static Value *as_rows(Call *c, Value *x, int axis)
{
	int perm[MaxRank], rank = x->type.rank;
	const Dim *flat[2] = {type_numel(c->m, &x->type), num(c, 1)};
	if (axis < 0)
		return emit_reshape(c, x, 2, flat);
	for (int i = 0; i < rank; i++)
		perm[i] = i == 0 ? axis : i <= axis ? i - 1 : i;
	x = emit_transpose(c, x, perm);
	return emit_reshape(c, x, 2, (const Dim *[]){x->type.dims[0], product(c->m, x->type.dims + 1, rank - 1)});
}

/* Rows are put in order, so that equal ones are neighbours: a group, whose number is how many begin before it.  A group's first occurrence
 * is the least place of its members. */
void import_unique(Call *c)
{
	Value *x = c->in[0];
	int axis = has_attr(c, "axis") ? norm_axis(c, onnx_int(c, "axis", 0), x->type.rank) : -1;
	Value *rows = as_rows(c, x, axis), *keys = rows->type.dtype == Bool ? emit_cast(c, rows, U8) : rows;
	const Dim *n = rows->type.dims[0];
	Value *order = order_rows(c, keys), *one = emit_const(c, I64, 1);
	Value *begins = emit_cast(c, begins_group(c, on_axis(c, OpGather, keys, order, 0)), I64);
	const Dim *groups = measure_dim(c, emit_reduce(c, OpSum, begins, 1, (const int64_t[]){0}, false), "unique", n);
	Value *group = emit2(c, OpSub, on_axis(c, OpCumSum, begins, NULL, 0), one);
	Value *most = emit_expand(c, emit_const(c, I64, DimMax), 1, &groups);
	Value *places = scatter(c, most, group, order, ReduceLeast);
	Value *inverse = scatter(c, zeros(c, n), order, group, ReduceNone);
	Value *counts = scatter(c, zeros(c, groups), group, emit_expand(c, one, 1, &n), ReduceAdd);
	if (!onnx_int(c, "sorted", 1)) {
		Value *by_place = order_along(c, places, 0, false), *number = emit_iota(c, I64, groups, num(c, 0), num(c, 1));
		Value *renamed = scatter(c, zeros(c, groups), by_place, number, ReduceNone);
		places = on_axis(c, OpGather, places, by_place, 0);
		counts = on_axis(c, OpGather, counts, by_place, 0);
		inverse = on_axis(c, OpGather, renamed, inverse, 0);
	}
	Value *out[4] = {on_axis(c, OpGather, axis < 0 ? emit_reshape(c, x, 1, &n) : x, places, axis < 0 ? 0 : axis), places, inverse, counts};
	for (int i = 0; i < c->nout; i++)
		c->out[i] = out[i];
}
