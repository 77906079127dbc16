/* import_quant.c - quantisation: a real value is (element - zero point) * scale.
 *
 * A product of bytes by a constant matrix is one in i32, which becomes linear_bytes (ir/bytes.h).  Others:
 * Products of centred 8-bit integers are summed in f32 where no partial sum can reach 2^24, so that every one is exact: long sums are cut
 * into parts that are joined in i32.  What cannot be cut is summed in i32 from the start.  A narrow floating type has not all integers
 * of 16 bits, so what they meet is computed in its wide_type().
 */
#include "build.h"
#include "import.h"
#include "window.h"

#include <math.h>
#include <string.h>

/* ---- scales and zero points ------------------------------------------------------------------------------------- */

/* Each element of v stands for `block` neighbours along the axis of x, the last one perhaps for fewer. */
static Value *spread_blocks(Call *c, Value *v, const Type *x, int axis, int64_t block)
{
	const Dim *dims[MaxRank + 1], *size = num(c, block);
	if (block > DimMax || v->type.rank != x->rank || x->rank == MaxRank)
		fatal_at(c->loc, "blocks of %lld and a scale %s do not fit %s", (long long)block, type_text(c->m, &v->type), type_text(c->m, x));
	for (int i = 0; i < x->rank; i++)
		require_equal(c, v->type.dims[i], i == axis ? dim_ceildiv(c->m, x->dims[i], size) : x->dims[i], "dims of the scale");
	v = of_blocks(c, v, axis);
	for (int i = 0; i <= x->rank; i++)
		dims[i] = i == axis + 1 ? size : v->type.dims[i];
	v = emit_expand(c, v, x->rank + 1, dims);
	return emit_range(c, emit_merge(c, v, axis), axis, num(c, 0), x->dims[axis], 1);
}

/* A vector along one axis of a tensor of that rank. */
static Value *along(Call *c, Value *v, int rank, int axis)
{
	const Dim *dims[MaxRank];
	for (int i = 0; i < rank; i++)
		dims[i] = i == axis ? v->type.dims[0] : num(c, 1);
	return emit_reshape(c, v, rank, dims);
}

static bool is_single(const Value *v)
{
	return v->type.rank == 0 || (v->type.rank == 1 && dim_equals(v->type.dims[0], 1));
}

static Value *first_element(Call *c, Value *v)
{
	if (v->type.rank == 1) {
		require_equal(c, v->type.dims[0], num(c, 1), "elements of the zero point");
		v = emit_range(c, v, 0, num(c, 0), num(c, 1), 1);
	}
	return emit_reshape(c, v, 0, NULL);
}

/* One for all elements, or one for each index of the axis (-1: not that). */
static Value *of_axis(Call *c, Value *v, const Type *x, int axis)
{
	if (!v || is_single(v))
		return v ? first_element(c, v) : NULL;
	if (v->type.rank != 1 || axis < 0 || axis >= x->rank)
		fatal_at(c->loc, "a scale or zero point %s for %s", type_text(c->m, &v->type), type_text(c->m, x));
	require_equal(c, v->type.dims[0], x->dims[axis], "extent of the scale");
	return along(c, v, x->rank, axis);
}

/* A scale or zero point v as it broadcasts to x: of the tensor, of each index of the axis, or of blocks along it, as the scale says. */
static Value *spread(Call *c, Value *v, const Value *scale, const Type *x)
{
	int64_t block = onnx_int(c, "block_size", 0);
	if (!v || (is_single(scale) && !block))
		return v ? first_element(c, v) : NULL;
	int axis = norm_axis(c, onnx_int(c, "axis", 1), x->rank);
	if (block > 0)
		return spread_blocks(c, v, x, axis, block);
	if (block < 0)
		fatal_at(c->loc, "blocks of %lld", (long long)block);
	return of_axis(c, v, x, axis);
}

static DType stated_dtype(Call *c, const char *attr, DType dflt)
{
	int64_t stated = onnx_int(c, attr, 0);
	if (stated && !onnx_dtype(stated, &dflt))
		refuse_at(c->loc, "element type %s is not supported", onnx_dtype_text(stated));
	return dflt;
}

void need_scale(Call *c, const Value *scale)
{
	if (!is_among(scale->type.dtype, TypesFlt))
		fatal_at(c->loc, "a scale of element type %s", dtypes[scale->type.dtype].text);
}

static void need_zero(Call *c, const Value *zero, DType elements)
{
	if (zero && zero->type.dtype != elements)
		fatal_at(c->loc, "a zero point of type %s for elements of type %s", dtypes[zero->type.dtype].text, dtypes[elements].text);
}

/* round(x) + zero, saturated; floating elements are rounded to their type at last. */
static Value *saturate(Call *c, Value *x, Value *zero, DType to)
{
	DType real = x->type.dtype;
	if (is_tiny(to) && to != F8E8M0)
		return emit_conversion(c, zero ? emit2(c, OpAdd, x, emit_cast(c, zero, real)) : x, to);
	if (!is_among(to, TypesInt) || dtypes[to].bytes > 2)
		refuse_at(c->loc, "not supported: quantised elements of type %s", dtypes[to].text);
	real = wide_type(real);
	x = emit_cast(c, emit1(c, OpRound, x), real);
	if (zero)
		x = emit2(c, OpAdd, x, emit_cast(c, zero, real));
	Attr bounds[2] = {mk_scalar(Attr_lo, cast_scalar(lowest_scalar(to), real)), mk_scalar(Attr_hi, cast_scalar(highest_scalar(to), real))};
	return emit_cast(c, emit(c, OpClip, 1, &x, 2, bounds, NULL), to);
}

void import_quantize_linear(Call *c)
{
	Value *x = c->in[0], *scale = c->in[1], *zero = input(c, 2);
	need_scale(c, scale);
	DType real = stated_dtype(c, "precision", scale->type.dtype == F8E8M0 ? F32 : scale->type.dtype), to = stated_dtype(c, "output_dtype", zero ? zero->type.dtype : U8);
	if (!is_among(real, TypesFlt) || is_tiny(real) || (zero && zero->type.dtype != to))
		fatal_at(c->loc, "the zero point's type is not the result's, or the precision is not a floating type");
	Value *steps = emit_cast(c, spread(c, scale, scale, &x->type), real);
	c->out[0] = saturate(c, emit2(c, OpDiv, emit_cast(c, x, real), steps), spread(c, zero, scale, &x->type), to);
}

/* x - zero: exact in floating point for elements of up to 16 bits. */
static Value *centred(Call *c, Value *x, Value *zero, DType to)
{
	bool narrow = dtypes[x->type.dtype].bytes <= 2;
	need_zero(c, zero, x->type.dtype);
	if (zero && !narrow)
		return emit_cast(c, emit2(c, OpSub, x, zero), to);
	x = emit_cast(c, x, to);
	return zero ? emit2(c, OpSub, x, emit_cast(c, zero, to)) : x;
}

Value *dequantised(Call *c, Value *q, Value *scale, Value *zero, DType real)
{
	Value *v = emit_cast(c, q, real);
	if (zero)
		v = emit2(c, OpSub, v, emit_cast(c, zero, real));
	return emit2(c, OpMul, v, emit_cast(c, scale, real));
}

Value *dequantise(Call *c, Value *q, Value *scale, Value *zero, int axis)
{
	need_scale(c, scale);
	need_zero(c, zero, q->type.dtype);
	return dequantised(c, q, of_axis(c, scale, &q->type, axis), of_axis(c, zero, &q->type, axis), wide_type(scale->type.dtype));
}

Value *quantise(Call *c, Value *x, Value *scale, Value *zero, DType to)
{
	need_scale(c, scale);
	need_zero(c, zero, to);
	Value *step = emit_cast(c, first_element(c, scale), x->type.dtype);
	return saturate(c, emit2(c, OpDiv, x, step), zero ? first_element(c, zero) : NULL, to);
}

/* What is left of a block that is longer than the axis. */
static int64_t used_block(const Dim *extent, int64_t block)
{
	int64_t n;
	return dim_is_const(extent, &n) && n < block ? n + (n == 0) : block;
}

/* Axis [n] as [n / block, block]; a constant is filled up to whole blocks.  NULL: q has no whole blocks. */
static Value *split_blocks(Call *c, Value *q, int axis, int64_t block)
{
	const Dim *dims[2 * MaxRank], *excess = dim_mod(c->m, dim_sub(c->m, num(c, 0), q->type.dims[axis]), num(c, block));
	int rank = q->type.rank;
	if (rank == MaxRank || (!dim_equals(excess, 0) && !is_const(q)))
		return NULL;
	if (!dim_equals(excess, 0)) {
		for (int d = 0; d < 2 * rank; d++)
			dims[d] = num(c, 0);
		dims[rank + axis] = excess;
		Attr pads = mk_dims(c->m, Attr_pads_dim, 2 * rank, dims);
		q = emit(c, OpPad, 1, &q, 1, &pads, NULL);
	}
	for (int d = 0; d <= rank; d++)
		dims[d] = q->type.dims[d > axis ? d - 1 : d];
	dims[axis] = dim_floordiv(c->m, q->type.dims[axis], num(c, block));
	dims[axis + 1] = num(c, block);
	return emit_reshape(c, q, rank + 1, dims);
}

Value *of_blocks(Call *c, Value *v, int axis)
{
	const Dim *dims[MaxRank + 1];
	for (int d = 0; d <= v->type.rank; d++)
		dims[d] = d == axis + 1 ? num(c, 1) : v->type.dims[d > axis ? d - 1 : d];
	return emit_reshape(c, v, v->type.rank + 1, dims);
}

Value *dequantised_blocks(Call *c, Value *q, Value *scale, Value *zero, int axis, int64_t block, DType real)
{
	const Type t = q->type;
	if (block < 1 || block > DimMax || scale->type.rank != t.rank || (zero && zero->type.rank && zero->type.rank != t.rank))
		fatal_at(c->loc, "blocks of %lld and a scale %s do not fit %s", (long long)block, type_text(c->m, &scale->type), type_text(c->m, &t));
	for (int d = 0; d < t.rank; d++) {
		const Dim *want = d == axis ? dim_ceildiv(c->m, t.dims[d], num(c, block)) : t.dims[d];
		require_equal(c, scale->type.dims[d], want, "dims of the scale");
		if (zero && zero->type.rank)
			require_equal(c, zero->type.dims[d], want, "dims of the zero point");
	}
	block = used_block(t.dims[axis], block);
	Value *split = split_blocks(c, q, axis, block);
	const bool each = zero && zero->type.rank;
	if (!split)
		return dequantised(c, q, spread_blocks(c, scale, &t, axis, block), each ? spread_blocks(c, zero, &t, axis, block) : zero, real);
	Value *v = dequantised(c, split, of_blocks(c, scale, axis), each ? of_blocks(c, zero, axis) : zero, real);
	return emit_range(c, emit_merge(c, v, axis), axis, num(c, 0), t.dims[axis], 1);
}

void import_dequantize_linear(Call *c)
{
	Value *x = c->in[0], *scale = c->in[1];
	need_scale(c, scale);
	DType real = stated_dtype(c, "output_dtype", scale->type.dtype);
	if (!is_among(real, TypesFlt) || is_tiny(real) || (!is_among(x->type.dtype, TypesInt) && !is_tiny(x->type.dtype)))
		fatal_at(c->loc, "from %s to %s", dtypes[x->type.dtype].text, dtypes[real].text);
	DType wide = wide_type(real);
	int64_t block = onnx_int(c, "block_size", 0);
	Value *zero = input(c, 2);
	/* of more bits, a difference from the zero point is exact as an integer only: centred() */
	if (block > 0 && dtypes[x->type.dtype].bytes <= 2 && (!zero || zero->type.dtype == x->type.dtype)) {
		Value *v = dequantised_blocks(c, x, scale, zero, norm_axis(c, onnx_int(c, "axis", 1), x->type.rank), block, wide);
		c->out[0] = emit_cast(c, v, real);
		return;
	}
	Value *v = centred(c, x, spread(c, input(c, 2), scale, &x->type), wide);
	c->out[0] = emit_cast(c, emit2(c, OpMul, v, emit_cast(c, spread(c, scale, scale, &x->type), wide)), real);
}

/* The standard's body of the function; a tensor of zeros has scale 0. */
void dynamic_quantize(Call *c, Value *x, Value **out)
{
	int64_t axes[MaxRank];
	int rank = x->type.rank;
	DType real = x->type.dtype;
	if (!is_among(real, TypesFlt))
		fatal_at(c->loc, "an operand of element type %s", dtypes[real].text);
	for (int i = 0; i < rank; i++)
		axes[i] = i;
	Value *none = emit_const(c, real, 0), *steps = emit_const(c, real, 255);
	Value *lo = emit2(c, OpMin, emit_reduce(c, OpReduceMin, x, rank, axes, false), none);
	Value *hi = emit2(c, OpMax, emit_reduce(c, OpReduceMax, x, rank, axes, false), none);
	out[1] = emit2(c, OpDiv, emit2(c, OpSub, hi, lo), steps);
	out[2] = saturate(c, emit1(c, OpNeg, emit2(c, OpDiv, lo, out[1])), NULL, U8);
	out[0] = saturate(c, emit2(c, OpDiv, x, out[1]), out[2], U8);
}

void import_dynamic_quantize(Call *c)
{
	Value *out[3];
	dynamic_quantize(c, c->in[0], out);
	for (int i = 0; i < c->nout; i++)
		c->out[i] = out[i];
}

/* ---- sums of products ------------------------------------------------------------------------------------------- */

/* The largest magnitude of element - zero. */
static int64_t reach(const Value *x, const Value *zero)
{
	int64_t lo = lowest_scalar(x->type.dtype).i, hi = highest_scalar(x->type.dtype).i;
	double z = 0;
	if (zero && !constant_fill(zero, &z))
		return hi - lo;
	return hi - (int64_t)z > (int64_t)z - lo ? hi - (int64_t)z : (int64_t)z - lo;
}

/* How many products of elements of a and b an f32 sums exactly. */
static int64_t exact_terms(Call *c, const Value *a, const Value *zero_a, const Value *b, const Value *zero_b)
{
	if (dtypes[a->type.dtype].bytes != 1 || dtypes[b->type.dtype].bytes != 1 || !is_among(a->type.dtype, TypesInt) ||
	    !is_among(b->type.dtype, TypesInt))
		fatal_at(c->loc, "operands of element types %s and %s, expected integers of 8 bits", dtypes[a->type.dtype].text,
		         dtypes[b->type.dtype].text);
	need_zero(c, zero_a, a->type.dtype);
	need_zero(c, zero_b, b->type.dtype);
	return (INT64_C(1) << 24) / (reach(a, zero_a) * reach(b, zero_b));
}

/* A zero point or scale of the rows (axis rank - 2) or columns (rank - 1) of x. */
static Value *of_lines(Call *c, Value *v, const Type *x, int from_end)
{
	if (!v || v->type.rank != 1 || x->rank < 2)
		return v && is_single(v) ? emit_reshape(c, v, 0, NULL) : v;
	return is_single(v) ? emit_reshape(c, v, 0, NULL) : along(c, v, from_end, 0);
}

static Value *sum_up(Call *c, Value *sum, Value *part)
{
	part = emit_cast(c, part, I32);
	return sum ? emit2(c, OpAdd, sum, part) : part;
}

/* x as elements of that type of a byte, 128 more or less each where it does not hold x's, and its zero point in i32, which moves with them;
 * NULL: it is 0. */
static Value *shifted(Call *c, Value *x, DType to, Value **zero)
{
	const DType from = x->type.dtype;
	const bool fits = lowest_scalar(from).i >= lowest_scalar(to).i && highest_scalar(from).i <= highest_scalar(to).i;
	const int64_t by = fits ? 0 : to == U8 ? 128 : -128;
	double z = 0;
	if (*zero && constant_fill(*zero, &z) && z + (double)by == 0)
		*zero = NULL;
	else if (*zero)
		*zero = emit_cast(c, *zero, I32);
	else if (by)
		*zero = emit_const(c, I32, 0);
	if (!by)
		return emit_cast(c, x, to);
	Value *shift = emit_const(c, I32, (double)by);
	if (*zero)
		*zero = emit2(c, OpAdd, *zero, shift);
	return emit_cast(c, emit2(c, OpAdd, emit_cast(c, x, I32), shift), to);
}

/* (a - zero_a) * (b - zero_b) in i32 by a constant matrix b: the product of u8 by i8, and what zero points p and q add to it:
 * sum of (a - p) (b - q) = sum of a b - p * sum of b - q * sum of a + k p q. */
static Value *matmul_of_bytes(Call *c, Value *a, Value *zero_a, Value *b, Value *zero_b)
{
	const int64_t last = a->type.rank - 1, first = 0;
	int64_t depth;
	if (!dim_is_const(b->type.dims[0], &depth))
		bug("a constant matrix of unknown size");
	Value *in[2] = {emit_cast(c, shifted(c, a, U8, &zero_a), I32), emit_cast(c, shifted(c, b, I8, &zero_b), I32)};
	Value *sum = import_as(c, import_matmul, 2, in);
	if (zero_b) {
		Value *of_rows = emit_reduce(c, OpSum, in[0], 1, &last, true), *k = emit_cast(c, emit_const(c, I64, (double)depth), I32);
		if (zero_a)
			of_rows = emit2(c, OpSub, of_rows, emit2(c, OpMul, k, zero_a));
		sum = emit2(c, OpSub, sum, emit2(c, OpMul, of_rows, zero_b));
	}
	return zero_a ? emit2(c, OpSub, sum, emit2(c, OpMul, emit_reduce(c, OpSum, in[1], 1, &first, false), zero_a)) : sum;
}

enum { MaxSlices = 64 };

/* The same by any b. */
static Value *integer_matmul(Call *c, Value *a, Value *zero_a, Value *b, Value *zero_b)
{
	int64_t terms = exact_terms(c, a, zero_a, b, zero_b), n;
	zero_a = of_lines(c, zero_a, &a->type, 2);
	zero_b = of_lines(c, zero_b, &b->type, 1);
	if (is_const(b) && b->type.rank == 2 && a->type.rank >= 2)
		return matmul_of_bytes(c, a, zero_a, b, zero_b);
	if (!a->type.rank || !b->type.rank)
		fatal_at(c->loc, "an operand is a scalar");
	bool cut = dim_is_const(a->type.dims[a->type.rank - 1], &n) && n > 0 && n <= terms * MaxSlices;
	DType via = cut ? F32 : I32;
	Value *in[2] = {centred(c, a, zero_a, via), centred(c, b, zero_b, via)}, *sum = NULL;
	if (!cut)
		return import_as(c, import_matmul, 2, in);
	int row = b->type.rank < 2 ? 0 : b->type.rank - 2;
	require_equal(c, b->type.dims[row], num(c, n), "the axes that are summed over");
	for (int64_t i = 0; i < n; i += terms) {
		const Dim *start = num(c, i), *size = num(c, n - i < terms ? n - i : terms);
		Value *part[2] = {emit_range(c, in[0], a->type.rank - 1, start, size, 1), emit_range(c, in[1], row, start, size, 1)};
		sum = sum_up(c, sum, import_as(c, import_matmul, 2, part));
	}
	return sum;
}

void import_matmul_integer(Call *c)
{
	c->out[0] = integer_matmul(c, c->in[0], input(c, 2), c->in[1], input(c, 3));
}

/* sum * (scale_a * scale_b) / scale, rounded and saturated. */
static Value *requantize(Call *c, Value *sum, Value *scale_a, Value *scale_b, Value *scale, Value *zero)
{
	need_scale(c, scale_a);
	need_scale(c, scale_b);
	need_scale(c, scale);
	DType wide = wide_type(scale_a->type.dtype);
	Value *scales = emit2(c, OpMul, emit_cast(c, scale_a, wide), emit_cast(c, scale_b, wide));
	Value *x = emit2(c, OpMul, emit_cast(c, sum, wide), scales), *step = emit_cast(c, emit_reshape(c, scale, 0, NULL), wide);
	return saturate(c, emit2(c, OpDiv, x, step), emit_reshape(c, zero, 0, NULL), zero->type.dtype);
}

void import_qlinear_matmul(Call *c)
{
	Value *a = c->in[0], *b = c->in[3];
	Value *sum = integer_matmul(c, a, c->in[2], b, c->in[5]);
	c->out[0] = requantize(c, sum, of_lines(c, c->in[1], &a->type, 2), of_lines(c, c->in[4], &b->type, 1), c->in[6], c->in[7]);
}

/* Channels start .. start + n of each group of x. */
static Value *channels(Call *c, Value *x, int64_t group, int64_t start, int64_t n)
{
	const Dim *dims[MaxRank + 1];
	int rank = x->type.rank;
	if (group == 1)
		return emit_range(c, x, 1, num(c, start), num(c, n), 1);
	if (rank == MaxRank)
		refuse_at(c->loc, "not supported: groups of channels of a tensor of rank %d", rank);
	memcpy(dims + 1, x->type.dims, rank * sizeof *dims);
	dims[0] = x->type.dims[0];
	dims[1] = num(c, group);
	dims[2] = divide_dims(c, x->type.dims[1], num(c, group));
	Value *v = emit_range(c, emit_reshape(c, x, rank + 1, dims), 2, num(c, start), num(c, n), 1);
	memcpy(dims, x->type.dims, rank * sizeof *dims);
	dims[1] = num(c, group * n);
	return emit_reshape(c, v, rank, dims);
}

/* How many channels f32 sums exactly over all taps; 0: that is not known, or not one. */
static int64_t exact_channels(const Type *w, int64_t terms)
{
	int64_t taps = 1, n;
	for (int i = 2; i < w->rank; i++)
		if (!dim_is_const(w->dims[i], &n) || __builtin_mul_overflow(taps, n, &taps))
			return 0;
	return taps && dim_is_const(w->dims[1], NULL) ? terms / taps : 0;
}

/* x, channels last, with pads around it that stand for 0. */
static Value *pad_with_zero_point(Call *c, const Window *w, Value *x, Value *zero)
{
	const Dim *pads[2 * MaxRank], *dims[MaxRank];
	const int rank = w->spatial + 2;
	bool any = false;
	double z = 0;
	for (int d = 0; d < 2 * rank; d++) {
		int axis = d % rank - 1;
		bool spatial = axis >= 0 && axis < w->spatial;
		pads[d] = spatial ? w->pads[axis + (d < rank ? 0 : w->spatial)] : num(c, 0);
		any |= !dim_equals(pads[d], 0);
	}
	if (!any)
		return x;
	const bool known = !zero || constant_fill(zero, &z);
	Attr attrs[2] = {mk_dims(c->m, Attr_pads_dim, 2 * rank, pads), mk_scalar(Attr_value, scalar_of_int(U8, (int64_t)z))};
	x = emit(c, OpPad, 1, &x, 2, attrs, NULL);
	if (known)
		return x;
	for (int d = 0; d < rank; d++)
		dims[d] = d > 0 && d < rank - 1 ? dim_sub(c->m, x->type.dims[d], dim_add(c->m, pads[d], pads[rank + d])) : num(c, 1);
	Value *inside = emit_expand(c, emit_const(c, Bool, 1), rank, dims);
	attrs[1] = mk_scalar(Attr_value, scalar_of_int(Bool, 0));
	inside = emit(c, OpPad, 1, &inside, 2, attrs, NULL);
	return emit(c, OpWhere, 3, (Value *[]){inside, x, emit_cast(c, zero, U8)}, 0, NULL, NULL);
}

/* Of x [batch, in.., channels] with its pads: [batch, out.., taps and channels]. */
static Value *window_rows(Call *c, const Window *w, Value *x, const Dim *const *out)
{
	Module *m = c->m;
	const int sp = w->spatial;
	const Dim *strides[MaxRank], *channels = x->type.dims[sp + 1], *step = channels;
	Type t = {.dtype = x->type.dtype, .rank = 2 * sp + 2};
	t.dims[0] = x->type.dims[0];
	t.dims[2 * sp + 1] = channels;
	strides[2 * sp + 1] = num(c, 1);
	for (int d = sp - 1; d >= 0; d--) {
		t.dims[1 + d] = out[d];
		t.dims[1 + sp + d] = w->taps[d];
		strides[1 + d] = dim_mul_const(m, step, w->strides[d]);
		strides[1 + sp + d] = dim_mul_const(m, step, w->dilations[d]);
		step = dim_mul(m, step, x->type.dims[1 + d]);
	}
	strides[0] = step;
	Attr attr = mk_dims(m, Attr_strides_dim, t.rank, strides);
	Value *v = emit(c, OpView, 1, &x, 1, &attr, &t);
	t.dims[sp + 1] = dim_mul(m, product(m, w->taps, sp), channels);
	return emit_reshape(c, v, sp + 2, t.dims);
}

/* Operands: x, constant weights of one group, and their zero points (NULL: 0).  A product of rows of bytes with a constant matrix. */
static void import_byte_conv(Call *c)
{
	Window w;
	Value *x = c->in[0], *weight = read_kernel(c, &w), *zero_x = c->in[2], *zero_w = c->in[3];
	const int sp = w.spatial;
	const Dim *out[MaxRank], *matrix[2] = {dim_mul(c->m, weight->type.dims[1], product(c->m, w.taps, sp)), weight->type.dims[0]};
	int last[MaxRank] = {0}, taps[MaxRank], back[MaxRank] = {0, sp + 1};
	read_pads(c, &w);
	require_equal(c, weight->type.dims[1], x->type.dims[1], "channels");
	for (int i = 0; i < sp; i++) {
		out[i] = count_windows(c, &w, i, x->type.dims[i + 2]);
		require_at_least(c, out[i], 0);
		last[1 + i] = taps[i] = i + 2;
		back[i + 2] = i + 1;
	}
	last[sp + 1] = taps[sp] = 1;
	taps[sp + 1] = 0;
	x = emit_transpose(c, shifted(c, x, U8, &zero_x), last);
	Value *rows = window_rows(c, &w, pad_with_zero_point(c, &w, x, zero_x), out);
	c->out[0] = emit_transpose(c, matmul_of_bytes(c, rows, zero_x, emit_reshape(c, emit_transpose(c, weight, taps), 2, matrix), zero_w), back);
}

/* The convolution of x - zero_x with w - zero_w in i32: a part for as many channels as f32 sums exactly. */
static Value *integer_conv(Call *c, Value *x, Value *zero_x, Value *w, Value *zero_w)
{
	int64_t terms = exact_terms(c, x, zero_x, w, zero_w), inner, group = onnx_int(c, "group", 1);
	int rank = x->type.rank;
	if (rank < 3 || w->type.rank != rank || group < 1 || group > DimMax)
		fatal_at(c->loc, "operands of ranks %d and %d, group %lld", rank, w->type.rank, (long long)group);
	int64_t step = exact_channels(&w->type, terms);
	DType via = step ? F32 : I32;
	zero_x = zero_x ? emit_reshape(c, zero_x, 0, NULL) : NULL;
	if (is_const(w) && group == 1 && 2 * rank - 2 <= MaxRank)
		return import_as(c, import_byte_conv, 4, (Value *[]){x, w, zero_x, zero_w && is_single(zero_w) ? emit_reshape(c, zero_w, 0, NULL) : zero_w});
	if (zero_w)
		zero_w = is_single(zero_w) ? emit_reshape(c, zero_w, 0, NULL) : along(c, zero_w, rank, 0);
	Value *in[2] = {centred(c, x, zero_x, via), centred(c, w, zero_w, via)}, *sum = NULL;
	if (!dim_is_const(w->type.dims[1], &inner) || !step)
		return import_as(c, import_conv, 2, in);
	require_equal(c, x->type.dims[1], num(c, inner * group), "channels");
	for (int64_t i = 0; i < inner || !sum; i += step) {
		int64_t size = inner - i < step ? inner - i : step;
		Value *part[2] = {channels(c, in[0], group, i, size), emit_range(c, in[1], 1, num(c, i), num(c, size), 1)};
		sum = sum_up(c, sum, import_as(c, import_conv, 2, part));
	}
	return sum;
}

void import_conv_integer(Call *c)
{
	c->out[0] = integer_conv(c, c->in[0], input(c, 2), c->in[1], input(c, 3));
}

static Value *of_channels(Call *c, Value *v, int rank)
{
	return is_single(v) ? emit_reshape(c, v, 0, NULL) : along(c, v, rank - 1, 0);
}

void import_qlinear_conv(Call *c)
{
	int rank = c->in[0]->type.rank;
	Value *sum = integer_conv(c, c->in[0], c->in[2], c->in[3], c->in[5]), *bias = input(c, 8);
	if (c->in[4]->type.rank > 1 || (bias && (bias->type.rank != 1 || bias->type.dtype != I32)))
		fatal_at(c->loc, "a weight scale of rank %d, or a bias that is not a vector of i32", c->in[4]->type.rank);
	if (bias)
		sum = emit2(c, OpAdd, sum, along(c, bias, rank - 1, 0));
	c->out[0] = requantize(c, sum, emit_reshape(c, c->in[1], 0, NULL), of_channels(c, c->in[4], rank), c->in[6], c->in[7]);
}

/* ---- products of what was dequantised --------------------------------------------------------------------------------- */

/* v = (q - zero) * scale, in f32, of bytes q. */
typedef struct Dequantised {
	Value *q, *zero, *scale; /* zero: NULL: 0; both of one element, or of one for each index of `axis` of q */
} Dequantised;

/* v as a value of rank 0 or, where only that axis has elements, 1; NULL: neither. */
static Value *line_of(Call *c, Value *v, int rank, int axis)
{
	const Dim *n = NULL;
	for (int d = 0; d < v->type.rank; d++)
		if (!dim_equals(v->type.dims[d], 1)) {
			if (n || d - v->type.rank + rank != axis)
				return NULL;
			n = v->type.dims[d];
		}
	return emit_reshape(c, v, n != NULL, &n);
}

/* A graph may subtract anything from bytes. */
static bool is_zero_point(const Value *zero, DType t)
{
	double z;
	if (!is_among(zero->type.dtype, TypesFlt))
		return zero->type.dtype == t;
	return is_among(t, TypesInt) && constant_fill(zero, &z) && z == floor(z) && z >= (double)lowest_scalar(t).i && z <= (double)highest_scalar(t).i;
}

static bool read_dequantised(Call *c, Value *v, int axis, Dequantised *d)
{
	const Node *n = v->def;
	const int rank = v->type.rank;
	*d = (Dequantised){0};
	if (!n || n->op != OpMul || v->type.dtype != F32)
		return false;
	Value *scale = n->in[1], *zero = NULL;
	n = n->in[0]->def;
	if (n && n->op == OpSub) {
		zero = n->in[1];
		if (zero->def && zero->def->op == OpCast)
			zero = zero->def->in[0];
		n = n->in[0]->def;
		if (n && n->op == OpCast && !is_zero_point(zero, n->in[0]->type.dtype))
			return false;
	}
	if (!n || n->op != OpCast || dtypes[n->in[0]->type.dtype].bytes != 1 || !is_among(n->in[0]->type.dtype, TypesInt) || n->in[0]->type.rank != rank)
		return false;
	d->q = n->in[0];
	d->scale = line_of(c, scale, rank, axis);
	d->zero = zero ? line_of(c, zero, rank, axis) : NULL;
	return d->scale && (d->zero || !zero);
}

/* The order of v's elements is that of its bytes: what chooses among them may do so before it is dequantised. */
Value *ordered_bytes(Call *c, Value *v)
{
	Dequantised d;
	double scale;
	return read_dequantised(c, v, -1, &d) && constant_fill(d.scale, &scale) && scale > 0 ? d.q : NULL;
}

Value *dequantise_like(Call *c, Value *v, Value *q)
{
	Dequantised d;
	if (!read_dequantised(c, v, -1, &d))
		bug("a value that is not dequantised");
	return dequantised(c, q, d.scale, d.zero, F32);
}

/* The operands of a product with constant weights, whose scale and zero point may be those of each column, which axis `axis` is; those of x
 * are of one element.  False also where an i32 might not hold a sum of as many products as a column has. */
static bool read_quantised(Call *c, Value *x, Value *w, int axis, Dequantised *a, Dequantised *b)
{
	int64_t columns, elements;
	if (!read_dequantised(c, x, -1, a) || !read_dequantised(c, w, axis, b) || !is_const(b->q) || !dim_is_const(w->type.dims[axis], &columns) ||
	    !dim_is_const(type_numel(c->m, &w->type), &elements))
		return false;
	return columns == 0 || elements / columns <= INT32_MAX / (reach(a->q, a->zero) * reach(b->q, b->zero));
}

/* a b; sums of products of bytes, dequantised, are exact, and scaled by both scales at last. */
Value *emit_product(Call *c, Value *a, Value *b)
{
	const Node *n = b->def;
	const bool swapped = n && n->op == OpTranspose && b->type.rank == 2;
	Dequantised x, w;
	if (b->type.rank != 2 || a->type.rank < 2 || !read_quantised(c, a, swapped ? n->in[0] : b, swapped ? 0 : 1, &x, &w))
		return emit2(c, OpMatMul, a, b);
	Value *sum = matmul_of_bytes(c, x.q, x.zero, swapped ? emit_swap(c, w.q) : w.q, w.zero);
	return emit2(c, OpMul, emit_cast(c, sum, F32), emit2(c, OpMul, x.scale, w.scale));
}

bool import_quantised_conv(Call *c)
{
	Value *bias = input(c, 2), *w_scale;
	const int rank = c->in[0]->type.rank;
	Dequantised x, w;
	if (rank < 3 || 2 * rank - 2 > MaxRank || c->in[1]->type.rank != rank || onnx_int(c, "group", 1) != 1 || (bias && bias->type.rank != 1) ||
	    !read_quantised(c, c->in[0], c->in[1], 0, &x, &w))
		return false;
	Value *sum = import_as(c, import_byte_conv, 4, (Value *[]){x.q, w.q, x.zero, w.zero});
	w_scale = w.scale->type.rank ? along(c, w.scale, rank - 1, 0) : w.scale;
	Value *y = emit2(c, OpMul, emit_cast(c, sum, F32), emit2(c, OpMul, x.scale, w_scale));
	c->out[0] = bias ? emit2(c, OpAdd, y, along(c, bias, rank - 1, 0)) : y;
	return true;
}
