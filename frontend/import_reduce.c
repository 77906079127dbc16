/* import_reduce.c - what makes one element of many: reductions, ArgMax, sums and products so far, Softmax, Hardmax. */
#include "axes.h"
#include "import.h"

#include <math.h>

/* ---- reductions ------------------------------------------------------------------------------------------------ */

/* The axes to reduce; all of them if none is listed and the node does not say noop. */
static int reduced_axes(Call *c, int64_t *axes)
{
	int rank = c->in[0]->type.rank, n = norm_axes(c, "axes", 1, rank, axes);
	if (n > 0 || (c->opset >= 13 && onnx_int(c, "noop_with_empty_axes", 0)))
		return n > 0 ? n : 0;
	for (int i = 0; i < rank; i++)
		axes[i] = i;
	return rank;
}

/* Axes that arrive at run time: reduces along constant axes of x with each axis split in two.  False: they are constant. */
static bool over_run_time_axes(Call *c, void (*reduce)(Call *))
{
	Axes axes;
	Value *x = c->in[0], *out = NULL;
	const Dim *dims[MaxRank];
	int64_t odd[MaxRank];
	int rank = x->type.rank;
	if (!run_time_axes(c, 1, rank, &axes))
		return false;
	for (int i = 0; i < rank; i++) {
		const Dim *named = is_named(c, &axes, i);
		dims[i] = name_dim(c->m, dim_add(c->m, x->type.dims[i], dim_mul(c->m, named, dim_sub(c->m, num(c, 1), x->type.dims[i]))));
		odd[i] = 2 * i + 1;
	}
	Call inner = *c;
	inner.in = (Value *[]){split_named(c, &axes, x), const_i64(c->m, rank, odd)->value};
	inner.nin = 2;
	inner.out = &out;
	reduce(&inner);
	if (!onnx_int(c, "keepdims", 1))
		rank = drop_named(c, &axes, &x->type, dims);
	c->out[0] = emit_reshape(c, out, rank, dims);
	return true;
}

static const Dim *fold_dims(Module *m, Op op, const Dim *a, const Dim *b)
{
	switch (op) {
	case OpSum: return dim_add(m, a, b);
	case OpReduceMax: return dim_max(m, a, b);
	case OpReduceMin: return dim_min(m, a, b);
	default: return dim_mul(m, a, b);
	}
}

/* A reduction of known elements to one; OpMul stands for the product.  NULL: not that simple. */
static Value *reduce_known(Call *c, Op op, int naxis, bool keepdims)
{
	Value *x = c->in[0];
	int n;
	const Dim *const *known = known_dims(c, x, &n), *one = dim_const(c->m, 1), *ones[MaxRank];
	if (x->type.dtype != I64 || naxis != x->type.rank || !known || !n)
		return NULL;
	const Dim *d = known[0];
	for (int i = 1; i < n; i++)
		d = fold_dims(c->m, op, d, known[i]);
	for (int i = 0; i < MaxRank; i++)
		ones[i] = one;
	return emit_reshape(c, emit_dims(c, 0, 1, &d), keepdims ? x->type.rank : 0, ones);
}

/* v, whose listed axes have extent 1, without them. */
static Value *without_axes(Call *c, Value *v, int naxis, const int64_t *axes)
{
	const Dim *dims[MaxRank];
	int rank = 0;
	for (int i = 0, next = 0; i < v->type.rank; i++) {
		bool gone = next < naxis && axes[next] == i;
		next += gone;
		if (!gone)
			dims[rank++] = v->type.dims[i];
	}
	return emit_reshape(c, v, rank, dims);
}

/* The last product so far, of the elements and a 1 behind them: the product of none is 1. */
static Value *multiply_along(Call *c, Value *x, int axis)
{
	const Dim *pads[2 * MaxRank], *n = x->type.dims[axis];
	int rank = x->type.rank;
	for (int i = 0; i < 2 * rank; i++)
		pads[i] = num(c, i == rank + axis);
	Attr more[2] = {mk_dims(c->m, Attr_pads_dim, 2 * rank, pads), mk_scalar(Attr_value, scalar_of_int(x->type.dtype, 1))};
	Attr so_far[2] = {mk_int(Attr_axis, axis), mk_int(Attr_product, 1)};
	x = emit(c, OpPad, 1, &x, 2, more, NULL);
	return emit_range(c, emit(c, OpCumSum, 1, &x, 2, so_far, NULL), axis, n, num(c, 1), 1);
}

static Value *multiply_axes(Call *c, int naxis, const int64_t *axes, bool keepdims)
{
	Value *v = c->in[0];
	for (int i = 0; i < naxis; i++)
		v = multiply_along(c, v, axes[i]);
	return keepdims ? v : without_axes(c, v, naxis, axes);
}

static void import_reduce(Call *c, Op op)
{
	int64_t axes[MaxRank];
	int n = reduced_axes(c, axes);
	bool keepdims = onnx_int(c, "keepdims", 1);
	if (op != OpMean)
		c->out[0] = reduce_known(c, op, n, keepdims);
	if (!c->out[0] && op == OpMul)
		c->out[0] = multiply_axes(c, n, axes, keepdims);
	if (!c->out[0])
		c->out[0] = emit_reduce(c, op, c->in[0], n, axes, keepdims);
}

void import_reduce_sum(Call *c)
{
	if (over_run_time_axes(c, import_reduce_sum))
		return;
	import_reduce(c, OpSum);
}

void import_reduce_mean(Call *c)
{
	if (over_run_time_axes(c, import_reduce_mean))
		return;
	import_reduce(c, OpMean);
}

/* Of booleans through u8: the greatest of none is false, the least true. */
static void reduce_extremum(Call *c, Op op)
{
	bool truth = c->in[0]->type.dtype == Bool;
	if (truth)
		c->in[0] = emit_cast(c, c->in[0], U8);
	import_reduce(c, op);
	if (truth)
		c->out[0] = emit_cast(c, c->out[0], Bool);
}

void import_reduce_max(Call *c)
{
	if (over_run_time_axes(c, import_reduce_max))
		return;
	reduce_extremum(c, OpReduceMax);
}

void import_reduce_min(Call *c)
{
	if (over_run_time_axes(c, import_reduce_min))
		return;
	reduce_extremum(c, OpReduceMin);
}

void import_reduce_prod(Call *c)
{
	if (over_run_time_axes(c, import_reduce_prod))
		return;
	import_reduce(c, OpMul);
}

/* sum(prepared), over the axes that the node lists */
static Value *reduce_sum_of(Call *c, Value *prepared)
{
	int64_t axes[MaxRank];
	int n = reduced_axes(c, axes);
	return emit_reduce(c, OpSum, prepared, n, axes, onnx_int(c, "keepdims", 1));
}

void import_reduce_l1(Call *c)
{
	if (over_run_time_axes(c, import_reduce_l1))
		return;
	c->out[0] = reduce_sum_of(c, emit1(c, OpAbs, c->in[0]));
}

void import_reduce_sum_square(Call *c)
{
	if (over_run_time_axes(c, import_reduce_sum_square))
		return;
	c->out[0] = reduce_sum_of(c, emit2(c, OpMul, c->in[0], c->in[0]));
}

void import_reduce_l2(Call *c)
{
	if (over_run_time_axes(c, import_reduce_l2))
		return;
	import_reduce_sum_square(c);
	c->out[0] = emit1(c, OpSqrt, c->out[0]);
}

void import_reduce_log_sum(Call *c)
{
	if (over_run_time_axes(c, import_reduce_log_sum))
		return;
	c->out[0] = emit1(c, OpLog, reduce_sum_of(c, c->in[0]));
}

/* log(sum(exp(x - m))) + m with m the maximum, or 0 where that is infinite. */
void import_reduce_log_sum_exp(Call *c)
{
	if (over_run_time_axes(c, import_reduce_log_sum_exp))
		return;
	int64_t axes[MaxRank];
	int n = reduced_axes(c, axes);
	Value *x = c->in[0], *zero = emit_const(c, x->type.dtype, 0), *inf = emit_const(c, x->type.dtype, INFINITY);
	Value *most = emit_reduce(c, OpReduceMax, x, n, axes, true);
	Value *m = emit3(c, OpWhere, emit2(c, OpEq, emit1(c, OpAbs, most), inf), zero, most);
	Value *sum = emit_reduce(c, OpSum, emit1(c, OpExp, emit2(c, OpSub, x, m)), n, axes, true);
	Value *v = emit2(c, OpAdd, emit1(c, OpLog, sum), m);
	c->out[0] = onnx_int(c, "keepdims", 1) ? v : without_axes(c, v, n, axes);
}

/* ---- softmax --------------------------------------------------------------------------------------------------- */

/* Below opset 13 a softmax works on [axes before, axes from `axis` on].  Calls build() on that form and undoes it. */
static Value *rowwise(Call *c, Value *(*row)(Call *, Value *, int axis))
{
	Value *x = c->in[0];
	Type type = x->type;
	double fill;
	if (constant_fill(x, &fill) && fill == -INFINITY)
		fatal_at(c->loc,
		         "the operand is constant -inf: the exporter has dropped an in-place write to it, so the "
		                 "model computes something else than its source");
	int axis = norm_axis(c, onnx_int(c, "axis", c->opset < 13 ? 1 : -1), type.rank);
	if (c->opset >= 13 || axis == type.rank - 1)
		return row(c, x, axis);
	const Dim *flat[2] = {product(c->m, type.dims, axis), product(c->m, type.dims + axis, type.rank - axis)};
	return emit_reshape(c, row(c, emit_reshape(c, x, 2, flat), 1), type.rank, type.dims);
}

static Value *softmax_row(Call *c, Value *x, int axis)
{
	Attr a = mk_int(Attr_axis, axis);
	return emit(c, OpSoftmax, 1, &x, 1, &a, NULL);
}

Value *log_softmax(Call *c, Value *x, int axis)
{
	int64_t axes[1] = {axis};
	Value *centred = emit2(c, OpSub, x, emit_reduce(c, OpReduceMax, x, 1, axes, true));
	Value *sum = emit_reduce(c, OpSum, emit1(c, OpExp, centred), 1, axes, true);
	return emit2(c, OpSub, centred, emit1(c, OpLog, sum));
}

void import_softmax(Call *c)
{
	c->out[0] = rowwise(c, softmax_row);
}

void import_log_softmax(Call *c)
{
	c->out[0] = rowwise(c, log_softmax);
}

/* ---- searching and summing ------------------------------------------------------------------------------------ */

/* The first (or last) place of the extreme element: the least (largest) index where x equals it, or is NaN as it is. */
Value *place_of(Call *c, Op extreme, Value *x, int axis, bool last, bool keepdims)
{
	const Dim *n = x->type.dims[axis], *none = last ? num(c, 0) : dim_sub(c->m, n, num(c, 1));
	int64_t axes[1] = {axis};
	require_at_least(c, n, 1);
	Value *hit = emit2(c, OpEq, x, emit_reduce(c, extreme, x, 1, axes, true));
	if (is_among(x->type.dtype, TypesFlt))
		hit = emit2(c, OpOr, hit, emit1(c, OpIsNaN, x));
	Value *at = emit3(c, OpWhere, hit, count_along(c, n, x->type.rank, axis), emit_dims(c, 0, 1, &none));
	return emit_reduce(c, last ? OpReduceMax : OpReduceMin, at, 1, axes, keepdims);
}

static void import_arg(Call *c, Op extreme)
{
	int axis = norm_axis(c, onnx_int(c, "axis", 0), c->in[0]->type.rank);
	bool last = onnx_int(c, "select_last_index", 0);
	c->out[0] = place_of(c, extreme, c->in[0], axis, last, onnx_int(c, "keepdims", 1));
}

static Value *hardmax_row(Call *c, Value *x, int axis)
{
	Value *at = place_of(c, OpReduceMax, x, axis, false, true);
	return emit_cast(c, emit2(c, OpEq, at, count_along(c, x->type.dims[axis], x->type.rank, axis)), x->type.dtype);
}

void import_hardmax(Call *c)
{
	c->out[0] = rowwise(c, hardmax_row);
}

void import_arg_max(Call *c)
{
	import_arg(c, OpReduceMax);
}

void import_arg_min(Call *c)
{
	import_arg(c, OpReduceMin);
}

/* Along the middle axis of [axes before, the axis, axes behind]. */
static void cumulative_at_run_time(Call *c, const Axes *axes, bool product)
{
	Value *x = c->in[0];
	const Dim *dims[3] = {num(c, 1), num(c, 1), num(c, 1)}, *behind = num(c, 0), *one = num(c, 1);
	if (axes->n != 1)
		fatal_at(c->loc, "input 'axis' is not a scalar");
	for (int i = 0; i < x->type.rank; i++) {
		const Dim *named = is_named(c, axes, i), *more = dim_sub(c->m, x->type.dims[i], one);
		const Dim *before = dim_sub(c->m, one, dim_add(c->m, named, behind));
		dims[0] = dim_mul(c->m, dims[0], dim_add(c->m, one, dim_mul(c->m, before, more)));
		dims[1] = dim_mul(c->m, dims[1], dim_add(c->m, one, dim_mul(c->m, named, more)));
		dims[2] = dim_mul(c->m, dims[2], dim_add(c->m, one, dim_mul(c->m, behind, more)));
		behind = dim_add(c->m, behind, named);
		for (int k = 0; k < 3; k++)
			dims[k] = name_dim(c->m, dims[k]);
	}
	Value *three = emit_reshape(c, x, 3, dims);
	Attr attrs[4] = {mk_int(Attr_axis, 1), mk_int(Attr_exclusive, onnx_int(c, "exclusive", 0) != 0),
	                 mk_int(Attr_reverse, onnx_int(c, "reverse", 0) != 0), mk_int(Attr_product, product)};
	c->out[0] = emit_reshape(c, emit(c, OpCumSum, 1, &three, 4, attrs, NULL), x->type.rank, x->type.dims);
}

static void import_cumulative(Call *c, bool product)
{
	Axes axes;
	int64_t at;
	if (run_time_axes(c, 1, c->in[0]->type.rank, &axes)) {
		cumulative_at_run_time(c, &axes, product);
		return;
	}
	if (need_ints(c, 1, "axis", &at, 1) != 1)
		fatal_at(c->loc, "input 'axis' is not a scalar");
	Attr attrs[4] = {mk_int(Attr_axis, norm_axis(c, at, c->in[0]->type.rank))};
	attrs[1] = mk_int(Attr_exclusive, onnx_int(c, "exclusive", 0) != 0);
	attrs[2] = mk_int(Attr_reverse, onnx_int(c, "reverse", 0) != 0);
	attrs[3] = mk_int(Attr_product, product);
	c->out[0] = emit(c, OpCumSum, 1, c->in, 4, attrs, NULL);
}

void import_cum_sum(Call *c)
{
	import_cumulative(c, false);
}

void import_cum_prod(Call *c)
{
	import_cumulative(c, true);
}
