/* import_index.c - gathers, and operators whose values are positions. */
#include "build.h"
#include "import.h"

#include <math.h>
#include <string.h>

/* ---- gathers --------------------------------------------------------------------------------------------------- */

/* One known index is a slice; the axis goes if the index is a scalar. */
static Value *pick(Call *c, Value *x, int axis, const Dim *at, const Type *idx)
{
	Module *m = c->m;
	int64_t lo, hi, value;
	const Dim *extent = x->type.dims[axis], *dims[2 * MaxRank];
	dim_range(at, &lo, &hi);
	if (dim_is_const(at, &value)) {
		if (value < -(int64_t)DimMax || value > DimMax)
			fatal_at(c->loc, "index %lld is out of range", (long long)value);
		require_at_least(c, extent, value < 0 ? -value : value + 1);
	} else if (lo < 0) {
		return NULL;
	} else {
		require_at_most(c, dim_add(m, at, dim_const(m, 1)), extent);
	}
	at = hi < 0 ? dim_add(m, at, extent) : at;
	x = emit_range(c, x, axis, at, dim_const(m, 1), 1);
	int rank = 0;
	for (int i = 0; i < x->type.rank; i++) {
		if (i != axis)
			dims[rank++] = x->type.dims[i];
		for (int k = 0; i == axis && k < idx->rank; k++)
			dims[rank++] = idx->dims[k];
	}
	return emit_reshape(c, x, rank, dims);
}

/* Constant indices count from the front afterwards where that needs no data. */
void import_gather(Call *c)
{
	Value *x = c->in[0], *idx = c->in[1];
	int axis = norm_axis(c, onnx_int(c, "axis", 0), x->type.rank), n;
	const Dim *const *known = known_dims(c, idx, &n);
	DClass cls = dtypes[idx->type.dtype].cls;
	if (known && n == 1 && (cls == ClassSigned || cls == ClassUnsigned))
		c->out[0] = pick(c, x, axis, known[0], &idx->type);
	if (c->out[0])
		return;
	Attr a = mk_int(Attr_axis, axis);
	c->out[0] = emit(c, OpGather, 2, (Value *[]){x, idx}, 1, &a, NULL);
}

void import_gather_elements(Call *c)
{
	Attr a = mk_int(Attr_axis, norm_axis(c, onnx_int(c, "axis", 0), c->in[0]->type.rank));
	c->out[0] = emit(c, OpGatherElem, 2, c->in, 1, &a, NULL);
}

/* The indices with a constant last extent.  Where it is symbolic, so is the rank of the result, unless the model states it. */
static Value *fix_width(Call *c, Value *idx, int batch)
{
	const Type *x = &c->in[0]->type, *t = &idx->type;
	const Dim *dims[MaxRank];
	int last = t->rank - 1;
	if (last < 0 || dim_is_const(t->dims[last], NULL))
		return idx;
	const OnnxValueInfo *stated = c->scope->depth ? NULL : find_info(c->im->graph, c->node->output[0]);
	if (!stated)
		refuse_at(c->loc, "not supported: indices %s, whose last extent decides the rank of the result, which the model does not state",
		         type_text(c->m, t));
	int width = last + x->rank - batch - (int)stated->type->tensor_type->shape->n_dim;
	if (width < 1 || width > x->rank - batch)
		fatal_at(c->loc, "a result of rank %zu of %s by indices %s", stated->type->tensor_type->shape->n_dim, type_text(c->m, x),
		         type_text(c->m, t));
	require_equal(c, t->dims[last], num(c, width), "last extent of the indices");
	memcpy(dims, t->dims, sizeof dims);
	dims[last] = num(c, width);
	return emit_reshape(c, idx, t->rank, dims);
}

void import_gather_nd(Call *c)
{
	int64_t batch = c->opset < 12 ? 0 : onnx_int(c, "batch_dims", 0);
	if (batch < 0 || batch > MaxRank)
		fatal_at(c->loc, "batch_dims %lld is out of range", (long long)batch);
	Value *idx = fix_width(c, c->in[1], (int)batch);
	Attr a = mk_int(Attr_batch_dims, batch);
	c->out[0] = emit(c, OpGatherND, 2, (Value *[]){c->in[0], idx}, 1, &a, NULL);
}

/* ---- scatters -------------------------------------------------------------------------------------------------- */

static Attr reduction_attr(Call *c)
{
	static const char *const words[] = {[ReduceNone] = "none", [ReduceAdd] = "add", [ReduceMul] = "mul", [ReduceLeast] = "min",
	                                    [ReduceMost] = "max"};
	int how = ReduceMost;
	while (how > ReduceNone && !onnx_word(c, "reduction", words[how]))
		how--;
	return mk_int(Attr_reduction, how);
}

void import_scatter_elements(Call *c)
{
	int axis = norm_axis(c, onnx_int(c, "axis", 0), c->in[0]->type.rank);
	c->out[0] = emit(c, OpScatterElem, 3, c->in, 2, (Attr[]){mk_int(Attr_axis, axis), reduction_attr(c)}, NULL);
}

void import_scatter_nd(Call *c)
{
	Attr a = reduction_attr(c);
	c->out[0] = emit(c, OpScatterND, 3, c->in, 1, &a, NULL);
}

/* Sequence b of the cache is written from write_indices[b] on: at that index plus 0, 1, 2 ..., around the end if it is circular. */
void import_tensor_scatter(Call *c)
{
	Value *cache = c->in[0], *update = c->in[1], *start = c->nin > 2 ? c->in[2] : NULL;
	int rank = cache->type.rank, axis = norm_axis(c, onnx_int(c, "axis", -2), rank);
	if (axis == 0 || update->type.rank != rank)
		fatal_at(c->loc, "axis %d and an update of rank %d for a cache of rank %d", axis, update->type.rank, rank);
	const Dim *capacity = cache->type.dims[axis], *dims[MaxRank];
	Value *at = count_along(c, update->type.dims[axis], rank, axis);
	for (int i = 0; i < rank; i++)
		dims[i] = i ? num(c, 1) : cache->type.dims[0];
	if (start && start->type.rank != 1)
		fatal_at(c->loc, "input 'write_indices' has rank %d", start->type.rank);
	if (start)
		at = emit2(c, OpAdd, at, emit_reshape(c, emit_cast(c, start, I64), rank, dims));
	if (onnx_word(c, "mode", "circular"))
		at = emit2(c, OpIMod, at, emit_dims(c, 0, 1, &capacity));
	else /* what is negative does not count from the end */
		at = emit3(c, OpWhere, emit2(c, OpLt, at, emit_const(c, I64, 0)), emit_dims(c, 0, 1, &capacity), at);
	at = emit_expand(c, at, rank, update->type.dims);
	Attr a = mk_int(Attr_axis, axis);
	c->out[0] = emit(c, OpScatterElem, 3, (Value *[]){cache, at, update}, 1, &a, NULL);
}

/* ---- counting -------------------------------------------------------------------------------------------------- */

static const Dim *known_scalar(Call *c, int input, const char *what)
{
	const Dim *d;
	if (need_dims(c, input, what, &d, 1) != 1)
		fatal_at(c->loc, "input '%s' is not a scalar", what);
	return d;
}

/* A scalar in units of 1/parts: whole, or a constant. */
static const Dim *scalar_in_parts(Call *c, int input, const char *what, int64_t parts)
{
	double v;
	bool given = c->in[input] && c->in[input]->type.rank == 0 && value_as_real(c->in[input], &v);
	if (!given || parts == 1 || !(fabs(v) < DimMax) || v == rint(v))
		return dim_mul_const(c->m, known_scalar(c, input, what), parts);
	if (v * parts != rint(v * parts))
		refuse_at(c->loc, "not supported: input '%s' = %g is no multiple of 1/%lld", what, v, (long long)parts);
	return dim_const(c->m, v * parts);
}

static bool is_known_scalar(Call *c, Value *v)
{
	int n;
	double x;
	return known_dims(c, v, &n) || value_as_real(v, &x);
}

/* Floating bounds that the data gives: as many as fit, then start + i * delta. */
static void range_of_data(Call *c)
{
	DType dtype = c->in[0]->type.dtype, wide = wide_type(dtype);
	Value *v[3];
	for (int i = 0; i < 3; i++) {
		require_equal(c, type_numel(c->m, &c->in[i]->type), num(c, 1), "elements of a bound of the range");
		v[i] = emit_cast(c, emit_reshape(c, c->in[i], 0, NULL), wide);
	}
	Value *span = emit2(c, OpSub, emit_cast(c, v[1], F64), emit_cast(c, v[0], F64));
	Value *count = emit1(c, OpCeil, emit2(c, OpDiv, span, emit_cast(c, v[2], F64)));
	Attr range[2] = {mk_scalar(Attr_lo, scalar_of_int(F64, 0)), mk_scalar(Attr_hi, scalar_of_int(F64, (int64_t)DimMax + 1))};
	count = emit_cast(c, emit(c, OpClip, 1, &count, 2, range, NULL), I64);
	const Dim *n = measure_dim(c, count, "range", NULL);
	Value *i = emit_cast(c, emit_iota(c, I64, n, num(c, 0), num(c, 1)), wide);
	c->out[0] = emit_cast(c, emit2(c, OpAdd, v[0], emit2(c, OpMul, i, v[2])), dtype);
}

/* Floating elements are counted in whole parts, so each is rounded once. */
void import_range(Call *c)
{
	Module *m = c->m;
	DType dtype = c->in[0]->type.dtype;
	bool real = dtypes[dtype].cls == ClassFloat;
	const int64_t parts = real ? 256 : 1;
	for (int i = 0; i < 3 && real; i++)
		if (!is_known_scalar(c, c->in[i])) {
			ask_values(c, c->in[i]); /* integers behind it are symbols then */
			range_of_data(c);
			return;
		}
	const Dim *start = scalar_in_parts(c, 0, "start", parts), *limit = scalar_in_parts(c, 1, "limit", parts);
	const Dim *delta = scalar_in_parts(c, 2, "delta", parts), *span = dim_sub(m, limit, start);
	const Dim *unit = dim_const(m, parts), *one = dim_const(m, 1), *first, *step, *n;
	int64_t lo, hi;
	dim_range(delta, &lo, &hi);
	if (dim_equals(delta, 0))
		fatal_at(c->loc, "input 'delta' is 0");
	if (lo > 0 || hi < 0) {
		n = dim_ceildiv(m, hi < 0 ? dim_mul_const(m, span, -1) : span, hi < 0 ? dim_mul_const(m, delta, -1) : delta);
	} else { /* the sign is known at run time only */
		const Dim *size = dim_max(m, delta, dim_mul_const(m, delta, -1)), *sign = dim_max(m, dim_min(m, delta, one), dim_const(m, -1));
		require_at_least(c, size, 1);
		n = dim_ceildiv(m, dim_mul(m, span, sign), dim_max(m, size, one));
	}
	n = name_dim(m, dim_max(m, n, dim_const(m, 0)));
	bool whole = dim_exact_div(m, start, unit, &first) && dim_exact_div(m, delta, unit, &step);
	Value *count = emit_iota(c, real ? I64 : dtype, n, whole ? first : start, whole ? step : delta);
	c->out[0] = emit_cast(c, count, dtype);
	if (!whole)
		c->out[0] = emit2(c, OpMul, c->out[0], emit_const(c, dtype, 1.0 / parts));
}

/* Indices into dims from flat ones, [n]: one row per axis. */
static Value *split_positions(Call *c, Value *flat, const Type *x)
{
	Module *m = c->m;
	const Dim *stride = num(c, 1), *row[2] = {stride, flat->type.dims[0]};
	Value *rows[MaxRank];
	for (int i = x->rank - 1; i >= 0; i--) {
		Value *at = flat;
		if (!dim_equals(stride, 1))
			at = emit2(c, OpIDiv, at, emit_dims(c, 0, 1, &stride));
		if (i > 0)
			at = emit2(c, OpIMod, at, emit_dims(c, 0, 1, &x->dims[i]));
		rows[i] = emit_reshape(c, at, 2, row);
		stride = dim_mul(m, stride, x->dims[i]);
	}
	Attr a = mk_int(Attr_axis, 0);
	return x->rank == 1 ? rows[0] : emit(c, OpConcat, x->rank, rows, 1, &a, NULL);
}

/* Every position goes to its place among those that hold, the others to one place more, which is cut off. */
Value *emit_positions(Call *c, Value *mask, const char *stem, const Dim *most)
{
	Module *m = c->m;
	const Dim *len = mask->type.dims[0], *zero = num(c, 0), *one = num(c, 1);
	Value *ones = emit_cast(c, mask, I64), *place;
	const Dim *n = measure_dim(c, emit_reduce(c, OpSum, ones, 1, (int64_t[]){0}, false), stem, most), *room = dim_add(m, n, one);
	Attr axis = mk_int(Attr_axis, 0);
	place = emit2(c, OpSub, emit(c, OpCumSum, 1, &ones, 1, &axis, NULL), emit_const(c, I64, 1));
	place = emit3(c, OpWhere, mask, place, emit_dims(c, 0, 1, &n));
	Value *in[3] = {emit_expand(c, emit_const(c, I64, 0), 1, &room), place, emit_iota(c, I64, len, zero, one)};
	return emit_range(c, emit(c, OpScatterElem, 3, in, 1, &axis, NULL), 0, zero, n, 1);
}

/* The indices of the elements that are not zero, in order: one row per axis, of a scalar none. */
void import_nonzero(Call *c)
{
	Module *m = c->m;
	Value *x = c->in[0], *flat;
	const Dim *n = type_numel(m, &x->type), *none[2] = {num(c, 0)};
	double fill;
	if (constant_fill(x, &fill) && fill != 0)
		flat = emit_iota(c, I64, n, num(c, 0), num(c, 1));
	else
		flat = emit_positions(c, emit_reshape(c, emit_cast(c, x, Bool), 1, &n), "nonzero", n);
	none[1] = flat->type.dims[0];
	c->out[0] = x->type.rank ? split_positions(c, flat, &x->type) : emit_expand(c, emit_const(c, I64, 0), 2, none);
}

/* The slices of an axis, or the elements in row-major order, whose condition holds; what the conditions do not reach is left out. */
void import_compress(Call *c)
{
	Value *x = c->in[0], *mask = c->in[1];
	const Dim *n = type_numel(c->m, &x->type);
	if (mask->type.dtype != Bool || mask->type.rank != 1)
		fatal_at(c->loc, "input 'condition' is %s, expected a vector of bools", type_text(c->m, &mask->type));
	Attr axis = mk_int(Attr_axis, has_attr(c, "axis") ? norm_axis(c, onnx_int(c, "axis", 0), x->type.rank) : 0);
	if (!has_attr(c, "axis"))
		x = emit_reshape(c, x, 1, &n);
	c->out[0] = emit(c, OpGather, 2, (Value *[]){x, emit_positions(c, mask, "selected", mask->type.dims[0])}, 1, &axis, NULL);
}

/* Sorted also where `sorted` is 0: then any order will do. */
void import_top_k(Call *c)
{
	Value *x = c->in[0];
	Type t = {.dtype = I64, .rank = x->type.rank};
	int axis = norm_axis(c, onnx_int(c, "axis", -1), t.rank);
	for (int i = 0; i < t.rank; i++)
		t.dims[i] = x->type.dims[i];
	if (c->nin > 1)
		t.dims[axis] = need_count(c, 1, "k", x->type.dims[axis]);
	if (c->nin == 1 && !has_attr(c, "k"))
		fatal_at(c->loc, "attribute 'k' is missing");
	if (c->nin == 1)
		t.dims[axis] = num(c, onnx_int(c, "k", 0));
	Attr a[] = {mk_int(Attr_axis, axis), mk_int(Attr_largest, onnx_int(c, "largest", 1) != 0)};
	c->out[1] = emit(c, OpTopK, 1, &x, 2, a, &t);
	c->out[0] = emit(c, OpGatherElem, 2, (Value *[]){x, c->out[1]}, 1, a, NULL);
}

/* Element (i, j) stays for j - i >= k (upper) or <= k. */
void import_trilu(Call *c)
{
	Module *m = c->m;
	Value *x = c->in[0];
	int rank = x->type.rank;
	const Dim *zero = dim_const(m, 0), *one = dim_const(m, 1);
	if (rank < 2)
		fatal_at(c->loc, "the operand has rank %d", rank);
	const Dim *rows = x->type.dims[rank - 2], *column[2] = {rows, one};
	Value *i = emit_reshape(c, emit_iota(c, I64, rows, zero, one), 2, column);
	if (c->nin > 1 && c->in[1]) {
		require_equal(c, type_numel(m, &c->in[1]->type), one, "elements of 'k'");
		i = emit2(c, OpAdd, i, emit_reshape(c, c->in[1], 0, NULL));
	}
	Value *j = emit_iota(c, I64, x->type.dims[rank - 1], zero, one);
	Value *keep = onnx_int(c, "upper", 1) ? emit2(c, OpLe, i, j) : emit2(c, OpLe, j, i);
	c->out[0] = emit3(c, OpWhere, keep, x, emit_const(c, x->type.dtype, 0));
}

/* Of any number type. */
static const Dim *read_depth(Call *c)
{
	const Dim *depth;
	Value *v = c->in[1];
	if (is_among(v->type.dtype, TypesFlt) && dim_equals(type_numel(c->m, &v->type), 1))
		depth = scaled_element(c, v, 0, num(c, 1), "depth");
	else if (need_dims(c, 1, "depth", &depth, 1) != 1)
		fatal_at(c->loc, "input 'depth' is not a scalar");
	require_at_least(c, depth, 0);
	return depth;
}

void import_one_hot(Call *c)
{
	Value *idx = c->in[0], *values = c->in[2];
	int rank = idx->type.rank + 1, axis = norm_axis(c, onnx_int(c, "axis", -1), rank);
	const Dim *depth = read_depth(c), *dims[MaxRank + 1];
	if (rank > MaxRank)
		refuse_at(c->loc, "the result has rank %d; at most %d is supported", rank, MaxRank);
	for (int i = 0; i < rank; i++)
		dims[i] = i < axis ? idx->type.dims[i] : i == axis ? num(c, 1) : idx->type.dims[i - 1];
	if (dtypes[idx->type.dtype].cls != ClassSigned)
		idx = emit_cast(c, idx, I64);
	Value *at = emit_reshape(c, emit_cast(c, idx, I64), rank, dims), *n = emit_dims(c, 0, 1, &depth);
	at = emit3(c, OpWhere, emit2(c, OpLt, at, emit_const(c, I64, 0)), emit2(c, OpAdd, at, n), at);
	Value *hit = emit2(c, OpEq, at, count_along(c, depth, rank, axis));
	if (values->type.rank != 1)
		fatal_at(c->loc, "input 'values' has rank %d", values->type.rank);
	require_equal(c, values->type.dims[0], num(c, 2), "elements of 'values'");
	Value *off = emit_reshape(c, emit_range(c, values, 0, num(c, 0), num(c, 1), 1), 0, NULL);
	Value *on = emit_reshape(c, emit_range(c, values, 0, num(c, 1), num(c, 1), 1), 0, NULL);
	c->out[0] = emit3(c, OpWhere, hit, on, off);
}

void import_eye_like(Call *c)
{
	const Type *x = &c->in[0]->type;
	DType dtype = x->dtype;
	int64_t k = onnx_int(c, "k", 0);
	if (x->rank != 2 || k < -DimMax || k > DimMax)
		fatal_at(c->loc, "an operand of rank %d and k = %lld", x->rank, (long long)k);
	if (has_attr(c, "dtype") && !onnx_dtype(onnx_int(c, "dtype", 0), &dtype))
		refuse_at(c->loc, "element type %s is not supported", onnx_dtype_text(onnx_int(c, "dtype", 0)));
	Value *i = emit_iota(c, I64, x->dims[0], num(c, k), num(c, 1));
	Value *hit = emit2(c, OpEq, emit_reshape(c, i, 2, (const Dim *[]){x->dims[0], num(c, 1)}),
	                   emit_iota(c, I64, x->dims[1], num(c, 0), num(c, 1)));
	c->out[0] = emit_cast(c, hit, dtype);
}

/* The first lens[b] elements of sequence b, in reverse order; the rest stays. */
void import_reverse_sequence(Call *c)
{
	Value *x = c->in[0], *lens = c->in[1];
	int rank = x->type.rank;
	int64_t batch = onnx_int(c, "batch_axis", 1), time = onnx_int(c, "time_axis", 0);
	const Dim *dims[MaxRank];
	if (rank < 2 || batch < 0 || batch > 1 || time != 1 - batch || lens->type.rank != 1)
		fatal_at(c->loc, "operands of ranks %d and %d, batch_axis %lld, time_axis %lld", rank, lens->type.rank, (long long)batch,
		         (long long)time);
	require_equal(c, lens->type.dims[0], x->type.dims[batch], "the number of sequences");
	for (int i = 0; i < rank; i++)
		dims[i] = i == batch ? x->type.dims[i] : num(c, 1);
	Value *len = emit_reshape(c, emit_cast(c, lens, I64), rank, dims), *t = count_along(c, x->type.dims[time], rank, time);
	Value *back = emit2(c, OpSub, emit2(c, OpSub, len, emit_const(c, I64, 1)), t);
	Value *at = emit_expand(c, emit3(c, OpWhere, emit2(c, OpLt, t, len), back, t), rank, x->type.dims);
	Attr a = mk_int(Attr_axis, time);
	c->out[0] = emit(c, OpGatherElem, 2, (Value *[]){x, at}, 1, &a, NULL);
}
