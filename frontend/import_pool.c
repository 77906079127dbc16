/* import_pool.c - operators that join the elements of windows: maxima, averages, norms; global pools have one window. */
#include "import.h"
#include "window.h"

#include <math.h>

/* ---- windows --------------------------------------------------------------------------------------------------- */

enum { MaxTaps = 128 }; /* of windows that are written as slices, which join the elementwise groups around them */

typedef struct Pool {
	Window w;
	int64_t taps; /* at most MaxTaps + 1 */
	const Dim *out[MaxRank]; /* extents */
	const Dim *extra[2 * MaxRank]; /* beyond the pads, for windows that ceil_mode lets hang over the end */
	bool hangs;
} Pool;

/* ceil_mode rounds up, but a window must start inside of the tensor or the padding before it. */
static void pool_extent(Call *c, Pool *p, int i, bool ceil_mode)
{
	Module *m = c->m;
	const Window *w = &p->w;
	const Dim *x = c->in[0]->type.dims[i + 2], *stride = num(c, w->strides[i]), *span = window_span(c, w, i), *n;
	const Dim *padded = dim_add(m, x, dim_add(m, w->pads[i], w->pads[w->spatial + i]));
	const Dim *room = dim_sub(m, padded, span);
	if (w->same) {
		n = dim_ceildiv(m, x, stride);
	} else if (ceil_mode) {
		n = dim_add(m, dim_ceildiv(m, room, stride), num(c, 1));
		n = dim_min(m, n, dim_ceildiv(m, dim_add(m, x, w->pads[i]), stride));
	} else {
		n = dim_add(m, dim_floordiv(m, room, stride), num(c, 1));
	}
	if (!w->same)
		require_at_least(c, room, 0);
	const Dim *end = dim_add(m, dim_mul(m, dim_sub(m, n, num(c, 1)), stride), span);
	p->out[i] = n;
	p->extra[i] = num(c, 0);
	p->extra[w->spatial + i] = dim_max(m, dim_sub(m, end, padded), num(c, 0));
	p->hangs |= !w->same && !dim_equals(p->extra[w->spatial + i], 0);
}

static void read_pool(Call *c, Pool *p)
{
	Window *w = &p->w;
	*p = (Pool){.taps = 1, .w.spatial = c->in[0]->type.rank - 2};
	if (w->spatial < 1)
		fatal_at(c->loc, "the operand has rank %d", c->in[0]->type.rank);
	if (!has_attr(c, "kernel_shape"))
		fatal_at(c->loc, "attribute 'kernel_shape' is missing");
	read_ints(c, "kernel_shape", w->spatial, 1, 1, w->kernel);
	read_window(c, w);
	read_pads(c, w);
	for (int i = 0; i < w->spatial; i++) {
		p->taps = p->taps * w->kernel[i] > MaxTaps ? MaxTaps + 1 : p->taps * w->kernel[i];
		pool_extent(c, p, i, onnx_int(c, "ceil_mode", 0));
	}
}

static Type pooled_type(const Pool *p, const Value *x, DType dtype)
{
	Type type = x->type;
	type.dtype = dtype;
	for (int i = 0; i < p->w.spatial; i++)
		type.dims[i + 2] = p->out[i];
	return type;
}

/* The operator; windows begin `before` elements before x. */
static Value *emit_pool(Call *c, const Pool *p, int join, Value *x, const Dim *const *before)
{
	const Window *w = &p->w;
	int n = w->spatial;
	Type type = pooled_type(p, x, join == JoinWhere ? I64 : x->type.dtype);
	Attr attrs[5] = {mk_ints(c->m, Attr_kernel, n, w->kernel), mk_ints(c->m, Attr_strides, n, w->strides),
	                 mk_ints(c->m, Attr_dilations, n, w->dilations), mk_dims(c->m, Attr_pads_dim, n, before),
	                 mk_int(Attr_join, join)};
	return emit(c, OpPool, 1, &x, 5, attrs, &type);
}

/* Joins the taps that a window has along axes from .. to - 1; x is padded already. */
static Value *join_taps(Call *c, const Pool *p, int join, Value *x, int from, int to)
{
	int64_t at[MaxRank] = {0}, steps[MaxRank];
	int rank = x->type.rank;
	Type type = x->type;
	Value *all = NULL;
	for (int i = 0; i < rank; i++)
		steps[i] = 1;
	for (int i = from; i < to; i++) {
		type.dims[i + 2] = p->out[i];
		steps[i + 2] = p->w.strides[i];
	}
	for (;;) {
		const Dim *starts[MaxRank];
		for (int i = 0; i < rank; i++)
			starts[i] = num(c, i < 2 ? 0 : at[i - 2] * p->w.dilations[i - 2]);
		Attr attrs[2] = {mk_dims(c->m, Attr_starts, rank, starts), mk_ints(c->m, Attr_steps, rank, steps)};
		Value *tap = emit(c, OpSlice, 1, &x, 2, attrs, &type);
		/* the tap first, which is asked whether it is a number: nothing waits for the answer */
		all = all ? emit2(c, join == JoinMax ? OpMax : OpAdd, tap, all) : tap;
		int i = to - 1;
		while (i >= from && ++at[i] == p->w.kernel[i])
			at[i--] = 0;
		if (i < from)
			return all;
	}
}

/* What joining axis by axis costs, in elements a result: it makes tensors between that are not yet smaller along the axes behind. */
static int64_t cost_by_axes(const Window *w)
{
	int64_t cost = 0, larger = 1;
	for (int i = w->spatial - 1; i >= 0; i--) {
		cost += (w->kernel[i] + 2) * larger;
		larger = larger * w->strides[i] > MaxTaps ? MaxTaps : larger * w->strides[i];
	}
	return cost;
}

/* Joins the taps of every window; x is padded already. */
static Value *slice_taps(Call *c, const Pool *p, int join, Value *x)
{
	const int n = p->w.spatial;
	if (cost_by_axes(&p->w) > p->taps)
		return join_taps(c, p, join, x, 0, n);
	for (int i = 0; i < n; i++)
		x = join_taps(c, p, join, x, i, i + 1);
	return x;
}

/* Largest elements or sums of all windows; what is outside of x and its pads does not count. */
static Value *pool(Call *c, const Pool *p, int join, Value *x)
{
	DType dtype = x->type.dtype;
	Scalar none = join == JoinMax ? lowest_scalar(dtype) : scalar_of_int(dtype, 0);
	if (p->taps > MaxTaps)
		return emit_pool(c, p, join, x, p->w.pads);
	return slice_taps(c, p, join, pad_spatial(c, pad_spatial(c, x, p->w.pads, none), p->extra, none));
}

/* ---- maxima ---------------------------------------------------------------------------------------------------- */

/* Place of an element in its plane, row-major, -> its place in the tensor; the plane may be stored by columns (the first
 * spatial axis is the fastest). */
static Value *place_in_tensor(Call *c, Value *at, const Type *x, bool columns)
{
	Module *m = c->m;
	int rank = x->rank;
	const Dim *plane = product(m, x->dims + 2, rank - 2), *planes = dim_mul(m, x->dims[0], x->dims[1]), *dims[MaxRank];
	const Dim *rows = num(c, 1), *cols = plane;
	Value *turned = emit_const(c, I64, 0);
	for (int i = 2; i < rank && columns; i++) {
		cols = divide_dims(c, cols, x->dims[i]);
		Value *index = emit2(c, OpIMod, emit2(c, OpIDiv, at, emit_dims(c, 0, 1, &cols)), emit_dims(c, 0, 1, &x->dims[i]));
		turned = emit2(c, OpAdd, turned, emit2(c, OpMul, index, emit_dims(c, 0, 1, &rows)));
		rows = dim_mul(m, rows, x->dims[i]);
	}
	for (int i = 0; i < rank; i++)
		dims[i] = i < 2 ? x->dims[i] : num(c, 1);
	Value *first = emit_reshape(c, emit_iota(c, I64, planes, num(c, 0), plane), rank, dims);
	return emit2(c, OpAdd, columns ? turned : at, first);
}

/* Does every window see an element, whatever the sizes?  The largest of none is -inf, which no byte is. */
static bool sees_elements(const Pool *p, const Type *x)
{
	const Window *w = &p->w;
	int64_t least, most, before, after;
	for (int i = 0; i < w->spatial; i++) {
		dim_range(x->dims[i + 2], &least, &most);
		if (least < 1 || w->dilations[i] != 1 || !dim_is_const(w->pads[i], &before) || !dim_is_const(w->pads[w->spatial + i], &after))
			return false;
		if (before >= w->kernel[i] || after >= w->kernel[i])
			return false;
	}
	return true;
}

void import_max_pool(Call *c)
{
	Pool p;
	read_pool(c, &p);
	Value *q = sees_elements(&p, &c->in[0]->type) ? ordered_bytes(c, c->in[0]) : NULL;
	c->out[0] = q ? dequantise_like(c, c->in[0], pool(c, &p, JoinMax, q)) : pool(c, &p, JoinMax, c->in[0]);
	if (c->nout > 1 && c->wanted[1])
		c->out[1] = place_in_tensor(c, emit_pool(c, &p, JoinWhere, c->in[0], p.w.pads), &c->in[0]->type,
		                            onnx_int(c, "storage_order", 0));
}

/* The tensor whose maxima x were, with 0 for all that was none.  The places in it are those of the smallest tensor that the windows fit;
 * a larger output_shape adds zeros behind its ends. */
void import_max_unpool(Call *c)
{
	Module *m = c->m;
	Value *x = c->in[0], *zero = emit_const(c, x->type.dtype, 0);
	Window w = {.spatial = x->type.rank - 2};
	int rank = x->type.rank;
	bool stated = c->nin > 2 && c->in[2];
	const Dim *dims[MaxRank], *want[MaxRank], *pads[2 * MaxRank], *none = num(c, 0);
	if (w.spatial < 1)
		fatal_at(c->loc, "the operand has rank %d", rank);
	if (!has_attr(c, "kernel_shape"))
		fatal_at(c->loc, "attribute 'kernel_shape' is missing");
	if (stated && has_attr(c, "pads"))
		refuse_at(c->loc, "not supported: 'pads' beside the input 'output_shape'");
	read_ints(c, "kernel_shape", w.spatial, 1, 1, w.kernel);
	read_window(c, &w);
	read_pads(c, &w);
	for (int i = 0; i < rank; i++) {
		require_equal(c, c->in[1]->type.rank == rank ? c->in[1]->type.dims[i] : none, x->type.dims[i], "values and places");
		dims[i] = x->type.dims[i];
		if (i < 2)
			continue;
		const Dim *steps = dim_mul_const(m, dim_sub(m, dims[i], num(c, 1)), w.strides[i - 2]);
		const Dim *around = dim_add(m, w.pads[i - 2], w.pads[w.spatial + i - 2]);
		dims[i] = dim_sub(m, dim_add(m, steps, num(c, w.kernel[i - 2])), around);
		require_at_least(c, dims[i], 0);
	}
	const Dim *count = type_numel(m, &x->type), *all = product(m, dims, rank);
	Value *to[3] = {emit_expand(c, zero, 1, &all), emit_reshape(c, c->in[1], 1, &count), emit_reshape(c, x, 1, &count)};
	Attr axis = mk_int(Attr_axis, 0);
	Value *y = emit_reshape(c, emit(c, OpScatterElem, 3, to, 1, &axis, NULL), rank, dims);
	if (stated && need_dims(c, 2, "output_shape", want, MaxRank) != rank)
		fatal_at(c->loc, "input 'output_shape' has another length than the rank %d", rank);
	for (int i = 0; i < rank; i++) {
		pads[i] = none;
		pads[rank + i] = stated ? dim_sub(m, want[i], dims[i]) : none;
		require_at_least(c, pads[rank + i], 0);
	}
	Attr attrs[2] = {mk_dims(m, Attr_pads_dim, 2 * rank, pads), mk_scalar(Attr_value, scalar_of_int(x->type.dtype, 0))};
	c->out[0] = stated ? emit(c, OpPad, 1, &y, 2, attrs, NULL) : y;
}

/* ---- sums ------------------------------------------------------------------------------------------------------ */

/* How many elements of each window count: those of the tensor, or of the tensor and its pads. */
static Value *count_taps(Call *c, const Pool *p, bool include)
{
	const Type *x = &c->in[0]->type;
	const Dim *dims[MaxRank];
	double taps = 1;
	bool uneven = p->hangs;
	for (int i = 0; i < p->w.spatial; i++) {
		taps *= p->w.kernel[i];
		uneven |= !include && !(dim_equals(p->w.pads[i], 0) && dim_equals(p->w.pads[p->w.spatial + i], 0));
	}
	if (!uneven)
		return emit_const(c, x->dtype, taps);
	for (int i = 0; i < x->rank; i++)
		dims[i] = i < 2 ? num(c, 1) : x->dims[i];
	Value *ones = emit_expand(c, emit_const(c, x->dtype, 1), x->rank, dims);
	Scalar zero = scalar_of_int(x->dtype, 0);
	if (p->taps > MaxTaps && !include)
		return emit_pool(c, p, JoinSum, ones, p->w.pads);
	ones = pad_spatial(c, ones, p->w.pads, scalar_of_int(x->dtype, include));
	if (p->taps > MaxTaps)
		return emit_pool(c, p, JoinSum, ones, p->extra);
	return slice_taps(c, p, JoinSum, pad_spatial(c, ones, p->extra, zero));
}

void import_average_pool(Call *c)
{
	Pool p;
	read_pool(c, &p);
	Value *sum = pool(c, &p, JoinSum, c->in[0]);
	c->out[0] = emit2(c, OpDiv, sum, count_taps(c, &p, onnx_int(c, "count_include_pad", 0)));
}

/* |x|^p, and the root of sums of them */
static double lp_order(Call *c)
{
	double p = c->opset < 2 ? onnx_float(c, "p", 2) : (double)onnx_int(c, "p", 2);
	if (!(p > 0) || !isfinite(p))
		fatal_at(c->loc, "attribute 'p' = %g is out of range", p);
	return p;
}

static Value *lp_powers(Call *c, Value *x, double p)
{
	if (p == 2)
		return emit2(c, OpMul, x, x);
	Value *size = emit1(c, OpAbs, x);
	return p == 1 ? size : emit2(c, OpPow, size, emit_const(c, x->type.dtype, p));
}

static Value *lp_root(Call *c, Value *sum, double p)
{
	if (p == 1)
		return sum;
	return p == 2 ? emit1(c, OpSqrt, sum) : emit2(c, OpPow, sum, emit_const(c, sum->type.dtype, 1 / p));
}

void import_lp_pool(Call *c)
{
	Pool p;
	double order = lp_order(c);
	read_pool(c, &p);
	c->out[0] = lp_root(c, pool(c, &p, JoinSum, lp_powers(c, c->in[0], order)), order);
}

/* ---- global pools ---------------------------------------------------------------------------------------------- */

static Value *pool_space(Call *c, Op op, Value *x)
{
	int64_t axes[MaxRank];
	int n = 0;
	for (int i = 2; i < x->type.rank; i++)
		axes[n++] = i;
	return emit_reduce(c, op, x, n, axes, true);
}

void import_global_average_pool(Call *c)
{
	c->out[0] = pool_space(c, OpMean, c->in[0]);
}

void import_global_max_pool(Call *c)
{
	c->out[0] = pool_space(c, OpReduceMax, c->in[0]);
}

void import_global_lp_pool(Call *c)
{
	double order = lp_order(c);
	c->out[0] = lp_root(c, pool_space(c, OpSum, lp_powers(c, c->in[0], order)), order);
}
