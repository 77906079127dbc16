/* import_shape.c - operators that make, cut and move tensors.
 *
 * Shape operands must be known as dims; nothing here reads data.  Where ONNX clamps or counts from the end, the dims do
 * the same symbolically, so that a result is right for every size that its symbols allow.
 */
#include "axes.h"
#include "import.h"

#include <string.h>

/* ---- constants ------------------------------------------------------------------------------------------------- */

static Value *const_f32(Call *c, int n, const float *values, int rank)
{
	Type type = {.dtype = F32, .rank = rank};
	if (rank)
		type.dims[0] = dim_const(c->m, n);
	float *data = arena_alloc(c->m->arena, (n + 1) * sizeof *data);
	if (n)
		memcpy(data, values, n * sizeof *data);
	return new_const(c->m, node_name(c->node), type, data, n * sizeof *data)->value;
}

void import_constant(Call *c)
{
	static const char *const forms[] = {"value", "value_float", "value_floats", "value_int", "value_ints"};
	const OnnxAttr *a = NULL;
	int form = 0;
	while (form < 5 && !(a = onnx_attr(c, forms[form])))
		form++;
	if (!a)
		fatal_at(c->loc, "a Constant without a value");
	if (form == 0 && !a->t)
		fatal_at(c->loc, "attribute 'value' has the wrong type");
	if (form == 0)
		c->out[0] = tensor_const(c->m, c->im->file, a->t, node_name(c->node), c->loc)->value;
	else if (form == 1)
		c->out[0] = const_f32(c, 1, &a->f, 0);
	else if (form == 2)
		c->out[0] = const_f32(c, a->n_floats, a->floats, 1);
	else if (form == 3)
		c->out[0] = emit_dims(c, 0, 1, (const Dim *[]){dim_const(c->m, a->i)});
	else
		c->out[0] = const_i64(c->m, a->n_ints, a->ints)->value;
}

void import_constant_of_shape(Call *c)
{
	const Dim *dims[MaxRank];
	int rank = need_dims(c, 0, "shape", dims, MaxRank);
	const OnnxAttr *a = onnx_attr(c, "value");
	Value *fill;
	if (a && !a->t)
		fatal_at(c->loc, "attribute 'value' has the wrong type");
	fill = a ? tensor_const(c->m, c->im->file, a->t, "fill", c->loc)->value : emit_const(c, F32, 0);
	if (!dim_equals(type_numel(c->m, &fill->type), 1))
		fatal_at(c->loc, "attribute 'value' has %s elements, not one", dim_text(c->m, type_numel(c->m,
		                                                                                         &fill->type)));
	fill = emit_reshape(c, fill, 0, NULL);
	for (int i = 0; i < rank; i++)
		require_at_least(c, dims[i], 0);
	Type type = {.dtype = fill->type.dtype, .rank = rank};
	memcpy(type.dims, dims, rank * sizeof *dims);
	c->out[0] = rank ? emit(c, OpExpand, 1, &fill, 0, NULL, &type) : fill;
}

/* ---- shapes as values ------------------------------------------------------------------------------------------ */

void import_alias(Call *c)
{
	c->out[0] = c->in[0];
	c->out_lists[0] = c->lists[0];
}

static int64_t clamp(int64_t v, int rank)
{
	v = v < 0 ? v + rank : v;
	return v < 0 ? 0 : v > rank ? rank : v;
}

void import_shape(Call *c)
{
	const Type *t = &c->in[0]->type;
	int from = clamp(onnx_int(c, "start", 0), t->rank), to = clamp(onnx_int(c, "end", t->rank), t->rank);
	c->out[0] = emit_dims(c, 1, to > from ? to - from : 0, t->dims + from);
}

void import_size(Call *c)
{
	const Dim *n = type_numel(c->m, &c->in[0]->type);
	c->out[0] = emit_dims(c, 0, 1, &n);
}

/* ---- reshapes -------------------------------------------------------------------------------------------------- */

/* Can d be 0 while `others` is 0 too and `have` is not?  Tried with one symbol that is 0; not where symbols are many. */
static bool empties_with_others(Call *c, const Dim *d, const Dim *others, const Dim *have)
{
	enum { Usual = 7, Many = 64 };
	Module *m = c->m;
	int64_t values[Many], now, rest, copied;
	bool found = false;
	if (m->nsym > Many)
		return false;
	for (int i = 0; i < m->nsym; i++)
		values[i] = m->syms[i]->lo > Usual ? m->syms[i]->lo : m->syms[i]->hi < Usual ? m->syms[i]->hi : Usual;
	for (int i = 0; i < m->nsym && !found; i++) {
		int64_t usual = values[i];
		if (m->syms[i]->lo > 0 || !dim_uses_sym(d, m->syms[i]))
			continue;
		values[i] = 0;
		found = dim_eval(d, values, &now) && now == 0 && dim_eval(others, values, &rest) && rest == 0 &&
		        dim_eval(have, values, &copied) && copied != 0;
		values[i] = usual;
	}
	return found;
}

/* A target extent that is 0 at run time copies the operand's, as one that is written 0.  Where nothing else makes the
 * tensor empty then, the element counts do not agree, and the extent stays simple. */
static void copy_zeros(Call *c, const Dim **dims, int rank)
{
	Module *m = c->m;
	const Type *x = &c->in[0]->type;
	const Dim *copied[MaxRank], *zero = dim_const(m, 0), *one = dim_const(m, 1);
	for (int i = 0; i < rank; i++) {
		const Dim *others = dim_mul(m, product(m, dims, i), product(m, dims + i + 1, rank - i - 1));
		copied[i] = dims[i];
		if (i < x->rank && dims[i] != x->dims[i] && !dim_is_const(dims[i], NULL) &&
		    empties_with_others(c, dims[i], others, x->dims[i]))
			copied[i] = dim_add(m, dims[i], dim_mul(m, x->dims[i], dim_max(m, zero, dim_sub(m, one, dims[i]))));
	}
	memcpy(dims, copied, (size_t)rank * sizeof *dims);
}

/* Sizes from an attribute, which only early opsets have, or from an input. */
static int read_sizes(Call *c, const char *what, int input, const Dim **dims)
{
	const int64_t *listed;
	int n = onnx_ints(c, what, &listed);
	if (n < 0)
		return need_dims(c, input, what, dims, MaxRank);
	if (n > MaxRank)
		refuse_at(c->loc, "attribute '%s' has %d elements, at most %d are supported", what, n, MaxRank);
	for (int i = 0; i < n; i++)
		dims[i] = num(c, listed[i]);
	return n;
}

/* Entries that arrive at run time may be -1, or 0 for a copy: the extents that they mean then. */
static void resolve_values(Call *c, const Dim **dims, int rank, bool zero_copies)
{
	Module *m = c->m;
	const Type *x = &c->in[0]->type;
	const Dim *holes[MaxRank], *zero = dim_const(m, 0), *one = dim_const(m, 1), *rest = one;
	int64_t lo, hi;
	bool open = false;
	for (int i = 0; i < rank; i++) {
		dim_range(dims[i], &lo, &hi);
		bool value = lo < -1 && hi > 0;
		open |= value;
		holes[i] = value ? dim_min(m, dim_max(m, dim_sub(m, zero, dims[i]), zero), one) : dim_equals(dims[i], -1) ? one : zero;
		if (!value)
			continue;
		require_at_least(c, dims[i], -1);
		const Dim *is_zero = dim_max(m, zero, dim_sub(m, one, dim_max(m, dims[i], dim_sub(m, zero, dims[i]))));
		dims[i] = dim_max(m, dims[i], zero);
		if (zero_copies && i < x->rank)
			dims[i] = name_dim(m, dim_add(m, dims[i], dim_mul(m, is_zero, x->dims[i])));
	}
	for (int i = 0; i < rank && open; i++)
		rest = name_dim(m, dim_mul(m, rest, dim_max(m, dims[i], holes[i])));
	for (int i = 0; i < rank && open; i++)
		if (!dim_equals(holes[i], 0))
			dims[i] = name_dim(m, dim_add(m, dim_max(m, dims[i], zero),
			                              dim_mul(m, holes[i], dim_floordiv(m, type_numel(m, x), dim_max(m, rest, one)))));
}

void import_reshape(Call *c)
{
	const Type *x = &c->in[0]->type;
	const Dim *dims[MaxRank], *rest = dim_const(c->m, 1);
	int rank = read_sizes(c, "shape", 1, dims), hole = -1;
	bool zero_copies = !onnx_int(c, "allowzero", 0);
	resolve_values(c, dims, rank, zero_copies);
	for (int i = 0; i < rank; i++) {
		if (dim_equals(dims[i], -1)) {
			if (hole >= 0)
				fatal_at(c->loc, "the shape has more than one -1");
			hole = i;
			continue;
		}
		if (dim_equals(dims[i], 0) && zero_copies) {
			if (i >= x->rank)
				fatal_at(c->loc, "the shape copies axis %d of a tensor of rank %d", i, x->rank);
			dims[i] = x->dims[i];
		}
		require_at_least(c, dims[i], 0);
		rest = dim_mul(c->m, rest, dims[i]);
	}
	const Dim *numel = type_numel(c->m, x);
	if (hole >= 0) {
		if (dim_equals(rest, 0))
			fatal_at(c->loc, "-1 next to an extent of 0");
		dims[hole] = divide_dims(c, numel, rest);
		rest = dim_mul(c->m, rest, dims[hole]);
	}
	require_equal(c, numel, rest, "element counts");
	if (zero_copies && hole < 0)
		copy_zeros(c, dims, rank);
	c->out[0] = emit_reshape(c, c->in[0], rank, dims);
}

void import_flatten(Call *c)
{
	const Type *x = &c->in[0]->type;
	int64_t axis = onnx_int(c, "axis", 1);
	axis = axis < 0 ? axis + x->rank : axis;
	if (axis < 0 || axis > x->rank)
		fatal_at(c->loc, "axis %lld is out of range for rank %d", (long long)axis, x->rank);
	const Dim *dims[2] = {product(c->m, x->dims, axis), product(c->m, x->dims + axis, x->rank - axis)};
	c->out[0] = emit_reshape(c, c->in[0], 2, dims);
}

void import_squeeze(Call *c)
{
	const Type *x = &c->in[0]->type;
	int64_t axes[MaxRank];
	Axes named;
	const Dim *dims[MaxRank];
	if (run_time_axes(c, 1, x->rank, &named)) {
		int left = drop_named(c, &named, x, dims);
		c->out[0] = emit_reshape(c, c->in[0], left, dims);
		return;
	}
	int n = norm_axes(c, "axes", 1, x->rank, axes), rank = 0;
	bool drop[MaxRank] = {false};
	for (int i = 0; i < n; i++) {
		drop[axes[i]] = true;
		require_equal(c, x->dims[axes[i]], dim_const(c->m, 1), "squeezed extent");
	}
	for (int i = 0; i < x->rank; i++)
		if (!(n < 0 ? dim_equals(x->dims[i], 1) : drop[i]))
			dims[rank++] = x->dims[i];
	c->out[0] = emit_reshape(c, c->in[0], rank, dims);
}

void import_unsqueeze(Call *c)
{
	const Type *x = &c->in[0]->type;
	int64_t axes[MaxRank], raw[MaxRank];
	const int64_t *listed;
	int n = onnx_ints(c, "axes", &listed), next = 0;
	const Dim *dims[MaxRank];
	Axes named;
	if (n < 0 && c->nin > 1 && c->in[1] && dim_is_const(type_numel(c->m, &c->in[1]->type), &raw[0]) && raw[0] + x->rank <= MaxRank &&
	    run_time_axes(c, 1, (int)raw[0] + x->rank, &named)) {
		int wide = add_named(c, &named, x, dims);
		c->out[0] = emit_reshape(c, c->in[0], wide, dims);
		return;
	}
	if (n < 0)
		n = need_ints(c, 1, "axes", raw, MaxRank);
	if (n + x->rank > MaxRank)
		refuse_at(c->loc, "the result has rank %d; at most %d is supported", n + x->rank, MaxRank);
	int rank = n + x->rank;
	n = norm_axes(c, "axes", 1, rank, axes);
	for (int i = 0, from = 0; i < rank; i++) {
		bool is_new = next < n && axes[next] == i;
		dims[i] = is_new ? dim_const(c->m, 1) : x->dims[from++];
		next += is_new;
	}
	c->out[0] = emit_reshape(c, c->in[0], rank, dims);
}

/* A target extent that arrives at run time beside an extent of several is that extent or 1. */
static const Dim *open_extent(Call *c, const Dim *d, int from_end)
{
	Module *m = c->m;
	const Type *x = &c->in[0]->type;
	int64_t extent;
	if (dim_is_const(d, NULL) || x->rank + from_end < 0 || !dim_is_const(x->dims[x->rank + from_end], &extent) || extent < 2)
		return d;
	const Dim *one = dim_const(m, 1), *have = dim_const(m, extent);
	require_equal(c, dim_mul(m, dim_sub(m, d, one), dim_sub(m, d, have)), dim_const(m, 0), "extents to broadcast");
	return have;
}

void import_expand(Call *c)
{
	const Dim *dims[MaxRank];
	int rank = need_dims(c, 1, "shape", dims, MaxRank);
	for (int i = 0; i < rank; i++) {
		require_at_least(c, dims[i], 0);
		dims[i] = open_extent(c, dims[i], i - rank);
	}
	c->out[0] = emit_expand(c, c->in[0], rank, dims);
}

/* Does an axis of its own count the repetitions? */
static bool splits_axis(const Type *x, const Dim *const *by, int axis)
{
	return !dim_equals(by[axis], 1) && !dim_equals(x->dims[axis], 1);
}

/* [.. d ..] -> [.. 1, d ..] -> [.. r, d ..] -> [.. r*d ..] for the axes from .. to - 1 that repeat. */
static Value *tile_axes(Call *c, Value *v, const Dim *const *by, int from, int to)
{
	const Type *x = &v->type;
	const Dim *split[2 * MaxRank], *wide[2 * MaxRank], *out[MaxRank];
	int n = 0;
	for (int i = 0; i < x->rank; i++) {
		const Dim *times = i < from || i >= to ? num(c, 1) : by[i];
		out[i] = dim_mul(c->m, x->dims[i], times);
		if (times == by[i] && splits_axis(x, by, i)) {
			split[n] = num(c, 1);
			wide[n++] = times;
		}
		split[n] = x->dims[i];
		wide[n++] = dim_equals(x->dims[i], 1) ? times : x->dims[i];
	}
	v = emit_reshape(c, v, n, split);
	return emit_reshape(c, emit_expand(c, v, n, wide), c->in[0]->type.rank, out);
}

/* As many axes at a time as there is room for. */
void import_tile(Call *c)
{
	Value *v = c->in[0];
	const int rank = v->type.rank;
	const Dim *by[MaxRank];
	int from = 0, room = MaxRank - rank;
	if (need_dims(c, 1, "repeats", by, MaxRank) != rank)
		fatal_at(c->loc, "input 'repeats' does not have one element per axis");
	for (int i = 0; i < rank; i++) {
		require_at_least(c, by[i], 0);
		if (!splits_axis(&v->type, by, i) || room-- > 0 || i == from)
			continue;
		v = tile_axes(c, v, by, from, i);
		from = i;
		room = MaxRank - rank - 1;
	}
	c->out[0] = tile_axes(c, v, by, from, rank);
}

void import_transpose(Call *c)
{
	int rank = c->in[0]->type.rank, perm[MaxRank];
	const int64_t *given;
	int n = onnx_ints(c, "perm", &given);
	if (n >= 0 && n != rank)
		fatal_at(c->loc, "perm has %d entries for rank %d", n, rank);
	bool seen[MaxRank] = {false};
	for (int i = 0; i < rank; i++) {
		perm[i] = n < 0 ? rank - 1 - i : norm_axis(c, given[i], rank);
		if (seen[perm[i]])
			fatal_at(c->loc, "perm is not a permutation");
		seen[perm[i]] = true;
	}
	c->out[0] = emit_transpose(c, c->in[0], perm);
}

void import_concat(Call *c)
{
	for (int i = 0; i < c->nin; i++)
		if (!c->in[i])
			fatal_at(c->loc, "input %d is missing", i);
	int axis = norm_axis(c, onnx_int(c, "axis", 1), c->in[0]->type.rank);
	if (c->opset >= 4 && !has_attr(c, "axis"))
		fatal_at(c->loc, "attribute 'axis' is missing");
	Attr a = mk_int(Attr_axis, axis);
	c->out[0] = c->nin == 1 ? c->in[0] : emit(c, OpConcat, c->nin, c->in, 1, &a, NULL);
}

/* ---- slices ---------------------------------------------------------------------------------------------------- */

/* An index as ONNX counts it, from the front: a negative one counts from the end.  Where the sign depends on the sizes, so does
 * what is added: at + extent * (at < 0), or, where that is shorter, max(at, 0) + (at + extent) * (at < 0). */
static const Dim *count_from_front(Call *c, const Dim *at, const Dim *extent)
{
	Module *m = c->m;
	const Dim *q, *zero = dim_const(m, 0), *minus = dim_mul_const(m, at, -1), *sum = dim_add(m, at, extent);
	if (dim_proves_nonneg(m, at))
		return at;
	if (dim_proves_nonneg(m, minus) && dim_poly_div(m, extent, at, &q))
		return sum; /* at == 0 says extent == 0 */
	const Dim *is_negative = dim_min(m, dim_max(m, minus, zero), dim_const(m, 1));
	if (dim_equals(is_negative, 1))
		return sum;
	if (dim_size(sum) < dim_size(extent))
		return dim_add(m, dim_max(m, at, zero), dim_mul(m, sum, is_negative));
	return dim_add(m, at, dim_mul(m, extent, is_negative));
}

/* Bounds of a slice: further than any extent is `most` or `least`. */
static const Dim *slice_bound(Call *c, const Dim *at, const Dim *extent, const Dim *least, const Dim *most)
{
	int64_t value;
	if (dim_is_const(at, &value) && (value > DimMax || value < -(int64_t)DimMax))
		return value > 0 ? most : least;
	return count_from_front(c, at, extent);
}

static const Dim *at_least_0(Module *m, const Dim *d)
{
	return dim_proves_nonneg(m, d) ? d : dim_max(m, d, dim_const(m, 0));
}

static const Dim *at_most(Module *m, const Dim *d, const Dim *most)
{
	return dim_proves_at_most(m, d, most) ? d : dim_min(m, d, most);
}

/* With clamped bounds max(0, min(end, extent) - max(start, 0)), as one min: it shows more that is equal. */
static const Dim *count_forward(Module *m, const Dim *start, const Dim *end, const Dim *extent)
{
	const Dim *n = dim_min(m, dim_min(m, dim_sub(m, end, start), end), dim_min(m, dim_sub(m, extent, start), extent));
	return at_least_0(m, n);
}

static const Dim *count_backward(Module *m, const Dim *start, const Dim *end)
{
	return at_least_0(m, dim_min(m, dim_sub(m, start, end), dim_add(m, start, dim_const(m, 1))));
}

static Value *slice_axis(Call *c, Value *x, int axis, const Dim *start, const Dim *end, int64_t step)
{
	Module *m = c->m;
	const Dim *extent = x->type.dims[axis], *zero = dim_const(m, 0), *one = dim_const(m, 1);
	const Dim *last = step > 0 ? extent : dim_sub(m, extent, one), *before = step > 0 ? zero : dim_const(m, -1);
	if (step == 0)
		fatal_at(c->loc, "a step of 0");
	step = step > DimMax ? DimMax : step < -DimMax ? -DimMax : step;
	start = slice_bound(c, start, extent, zero, last);
	end = slice_bound(c, end, extent, before, last);
	const Dim *first = at_most(m, at_least_0(m, start), last);
	const Dim *n = step > 0 ? count_forward(m, start, end, extent) : count_backward(m, first, end);
	return emit_range(c, x, axis, first, dim_ceildiv(m, n, dim_const(m, step > 0 ? step : -step)), step);
}

/* 1 where d is negative, else 0. */
static const Dim *is_below_0(Module *m, const Dim *d)
{
	const Dim *zero = dim_const(m, 0);
	return dim_min(m, dim_max(m, dim_sub(m, zero, d), zero), dim_const(m, 1));
}

/* By gathering start, start + step, ...: the step's sign is known at run time only. */
static Value *slice_with_step(Call *c, Value *x, int axis, const Dim *start, const Dim *end, const Dim *step)
{
	Module *m = c->m;
	const Dim *extent = x->type.dims[axis], *zero = dim_const(m, 0), *back = is_below_0(m, step);
	const Dim *last = dim_sub(m, extent, back), *before = dim_sub(m, zero, back);
	start = slice_bound(c, start, extent, zero, last);
	end = slice_bound(c, end, extent, before, last);
	start = name_dim(m, dim_min(m, dim_max(m, start, zero), last)); /* -1 in front of no element at all */
	end = name_dim(m, dim_max(m, dim_min(m, end, last), before));
	const Dim *forward = dim_sub(m, dim_const(m, 1), dim_mul_const(m, back, 2)); /* 1 or -1 */
	const Dim *size = name_dim(m, dim_mul(m, forward, step)), *way = name_dim(m, dim_mul(m, forward, dim_sub(m, end, start)));
	require_at_least(c, size, 1);
	const Dim *n = name_dim(m, dim_max(m, dim_ceildiv(m, way, dim_max(m, size, dim_const(m, 1))), zero));
	n = is_measured_dim(n) ? fix_dim(c, n, "slice", extent) : n;
	Value *in[2] = {x, emit_iota(c, I64, n, start, step)};
	Attr attr = mk_int(Attr_axis, axis);
	return emit(c, OpGather, 2, in, 1, &attr, NULL);
}

/* Where axes or steps arrive at run time, every axis is cut by what the entry says that names it.  False: they are constant. */
static bool slice_at_run_time(Call *c, int n, const Dim *const *starts, const Dim *const *ends)
{
	Module *m = c->m;
	Value *x = c->in[0];
	const Dim *steps[MaxRank], *zero = dim_const(m, 0), *one = dim_const(m, 1);
	int rank = x->type.rank, nsteps = c->nin > 4 && c->in[4] ? need_dims(c, 4, "steps", steps, MaxRank) : -1;
	bool constant = true;
	Axes axes;
	for (int i = 0; i < nsteps; i++)
		constant &= dim_is_const(steps[i], NULL);
	bool named = run_time_axes(c, 3, rank, &axes);
	if ((constant && !named) || (nsteps >= 0 && nsteps != n) || (named && axes.n != n))
		return false;
	if (!named) {
		int64_t at[MaxRank];
		int naxes = c->nin > 3 && c->in[3] ? need_ints(c, 3, "axes", at, MaxRank) : -1;
		axes = (Axes){.n = n, .rank = rank};
		for (int i = 0; i < n && (naxes < 0 || naxes == n); i++)
			axes.at[i] = dim_const(m, naxes < 0 ? i : norm_axis(c, at[i], rank));
		if (naxes >= 0 && naxes != n)
			return false;
	}
	for (int i = 0; i < n && nsteps < 0; i++)
		steps[i] = one;
	for (int axis = 0; axis < rank; axis++) {
		const Dim *start = named_value(c, &axes, axis, starts, zero), *end = named_value(c, &axes, axis, ends, x->type.dims[axis]);
		const Dim *step = named_value(c, &axes, axis, steps, one);
		int64_t by;
		if (dim_equals(start, 0) && end == x->type.dims[axis] && dim_equals(step, 1))
			continue;
		x = dim_is_const(step, &by) ? slice_axis(c, x, axis, start, end, by) : slice_with_step(c, x, axis, start, end, step);
	}
	c->out[0] = x;
	return true;
}

void import_slice(Call *c)
{
	const Dim *starts[MaxRank], *ends[MaxRank];
	int64_t axes[MaxRank], steps[MaxRank];
	int n, rank = c->in[0]->type.rank, naxes = -1, nsteps = -1;
	if (c->opset < 10) {
		const int64_t *s, *e, *a;
		n = onnx_ints(c, "starts", &s);
		naxes = onnx_ints(c, "axes", &a);
		if (n < 0 || n > rank || n != onnx_ints(c, "ends", &e))
			fatal_at(c->loc, "attributes 'starts' and 'ends' do not fit rank %d", rank);
		for (int i = 0; i < n; i++) {
			starts[i] = dim_const(c->m, s[i]);
			ends[i] = dim_const(c->m, e[i]);
		}
		for (int i = 0; i < naxes && i < MaxRank; i++)
			axes[i] = a[i];
	} else {
		n = need_dims(c, 1, "starts", starts, MaxRank);
		if (n > rank || n != need_dims(c, 2, "ends", ends, MaxRank))
			fatal_at(c->loc, "inputs 'starts' and 'ends' do not fit rank %d", rank);
		if (slice_at_run_time(c, n, starts, ends))
			return;
		if (c->nin > 3 && c->in[3])
			naxes = need_ints(c, 3, "axes", axes, MaxRank);
		if (c->nin > 4 && c->in[4])
			nsteps = need_ints(c, 4, "steps", steps, MaxRank);
	}
	if ((naxes >= 0 && naxes != n) || (nsteps >= 0 && nsteps != n))
		fatal_at(c->loc, "'axes' or 'steps' do not have one entry per start");
	Value *x = c->in[0];
	bool cut[MaxRank] = {false};
	for (int i = 0; i < n; i++) {
		int axis = naxes < 0 ? i : norm_axis(c, axes[i], rank);
		if (cut[axis])
			fatal_at(c->loc, "axis %d is listed twice", axis);
		cut[axis] = true;
		x = slice_axis(c, x, axis, starts[i], ends[i], nsteps < 0 ? 1 : steps[i]);
	}
	c->out[0] = x;
}

void import_split(Call *c)
{
	Module *m = c->m;
	Value *x = c->in[0];
	int axis = norm_axis(c, onnx_int(c, "axis", 0), x->type.rank), n = -1;
	const Dim *extent = x->type.dims[axis], *at = dim_const(m, 0);
	const Dim **sizes = arena_alloc(c->im->scratch, (c->nout + 1) * sizeof *sizes);
	const int64_t *listed;
	if (c->nin > 1 && c->in[1])
		n = need_dims(c, 1, "split", sizes, c->nout);
	else if ((n = onnx_ints(c, "split", &listed)) >= 0)
		for (int i = 0; i < n && i < c->nout; i++)
			sizes[i] = dim_const(m, listed[i]);
	if (n >= 0 && n != c->nout)
		fatal_at(c->loc, "%d sizes for %d outputs", n, c->nout);
	if (has_attr(c, "num_outputs") && onnx_int(c, "num_outputs", 0) != c->nout)
		fatal_at(c->loc, "num_outputs is not the number of outputs, %d", c->nout);
	if (n < 0) { /* equal chunks; only since opset 18 may the last one be smaller */
		const Dim *chunk = dim_ceildiv(m, extent, dim_const(m, c->nout));
		const Dim *last = dim_sub(m, extent, dim_mul_const(m, chunk, c->nout - 1));
		if (c->opset < 18)
			require_equal(c, last, chunk, "chunks of the split axis");
		for (int i = 0; i < c->nout; i++)
			sizes[i] = i < c->nout - 1 ? chunk : last;
	}
	for (int i = 0; i < c->nout; i++) {
		require_at_least(c, sizes[i], 0);
		if (c->wanted[i])
			c->out[i] = emit_range(c, x, axis, at, sizes[i], 1);
		at = dim_add(m, at, sizes[i]);
	}
	require_equal(c, at, extent, "sum of the sizes and the split axis");
}
