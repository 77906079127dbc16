/* import_resize.c - Resize and Upsample.
 *
 * Along each axis an element of the result is a weighted sum of elements of the operand: output i lies at a coordinate x of the
 * operand, its taps are the elements around floor(x).  Coordinates, indices and weights are f64 arithmetic over the extents, which
 * folds where they are constant; a tap is a gather along the axis.  Growth by whole factors that repeats elements is an expand.
 */
#include "build.h"
#include "import.h"

#include <math.h>
#include <string.h>

typedef struct Resized {
	int axis;
	const Dim *in, *out;
	double scale; /* 0: not constant */
	Value *start, *end; /* of the region, tf_crop_and_resize only */
} Resized;

typedef struct Resize {
	Call *c;
	const char *coordinates, *nearest;
	int naxis;
	Resized axes[MaxRank];
} Resize;

/* ---- f64 arithmetic -------------------------------------------------------------------------------------------------- */

static Value *real(Call *c, double v)
{
	return emit_const(c, F64, v);
}

static Value *real_dim(Call *c, const Dim *d)
{
	return emit_cast(c, emit_dims(c, 0, 1, &d), F64);
}

static Value *scale_of(Call *c, const Resized *r)
{
	return r->scale ? real(c, r->scale) : emit2(c, OpDiv, real_dim(c, r->out), real_dim(c, r->in));
}

static Value *clamped(Call *c, Value *x, Value *lo, Value *hi)
{
	return emit2(c, OpMax, emit2(c, OpMin, x, hi), lo);
}

/* ---- coordinates ----------------------------------------------------------------------------------------------------- */

/* (i + 0.5) / scale - 0.5 */
static Value *half_pixel(Call *c, const Resized *r, Value *i)
{
	Value *middle = emit2(c, OpDiv, emit2(c, OpAdd, i, real(c, 0.5)), scale_of(c, r));
	return emit2(c, OpSub, middle, real(c, 0.5));
}

static Value *half_pixel_symmetric(Call *c, const Resized *r, Value *i)
{
	Value *in = real_dim(c, r->in);
	Value *adjustment = emit2(c, OpDiv, real_dim(c, r->out), emit2(c, OpMul, scale_of(c, r), in));
	Value *offset = emit2(c, OpMul, emit2(c, OpMul, in, real(c, 0.5)), emit2(c, OpSub, real(c, 1), adjustment));
	return emit2(c, OpAdd, offset, half_pixel(c, r, i));
}

/* `many`, or `single` where the result has one element along the axis. */
static Value *unless_single(Call *c, const Resized *r, Value *many, Value *single)
{
	Value *is_single = emit2(c, OpLe, real_dim(c, r->out), real(c, 1));
	return emit3(c, OpWhere, is_single, single, many);
}

static Value *pytorch_half_pixel(Call *c, const Resized *r, Value *i)
{
	return unless_single(c, r, half_pixel(c, r, i), real(c, 0));
}

/* i * (in - 1) / (out - 1) */
static Value *spread(Call *c, const Resized *r, Value *i)
{
	Value *gaps = emit2(c, OpMax, emit2(c, OpSub, real_dim(c, r->out), real(c, 1)), real(c, 1));
	return emit2(c, OpDiv, emit2(c, OpMul, i, emit2(c, OpSub, real_dim(c, r->in), real(c, 1))), gaps);
}

static Value *align_corners(Call *c, const Resized *r, Value *i)
{
	return spread(c, r, i);
}

static Value *asymmetric(Call *c, const Resized *r, Value *i)
{
	return emit2(c, OpDiv, i, scale_of(c, r));
}

static Value *tf_crop_and_resize(Call *c, const Resized *r, Value *i)
{
	Value *last = emit2(c, OpSub, real_dim(c, r->in), real(c, 1));
	Value *many = emit2(c, OpAdd, emit2(c, OpMul, r->start, last), emit2(c, OpMul, spread(c, r, i), emit2(c, OpSub, r->end, r->start)));
	Value *middle = emit2(c, OpMul, emit2(c, OpMul, real(c, 0.5), emit2(c, OpAdd, r->start, r->end)), last);
	return unless_single(c, r, many, middle);
}

static const struct {
	const char *name;
	Value *(*at)(Call *, const Resized *, Value *i);
} transforms[] = {
	{"half_pixel", half_pixel},       {"half_pixel_symmetric", half_pixel_symmetric}, {"pytorch_half_pixel", pytorch_half_pixel},
	{"align_corners", align_corners}, {"asymmetric", asymmetric},                     {"tf_crop_and_resize", tf_crop_and_resize},
};

static Value *coordinates_of(Resize *s, const Resized *r)
{
	Call *c = s->c;
	Value *i = emit_cast(c, emit_iota(c, I64, r->out, num(c, 0), num(c, 1)), F64);
	for (size_t k = 0; k < sizeof transforms / sizeof *transforms; k++)
		if (!strcmp(transforms[k].name, s->coordinates))
			return transforms[k].at(c, r, i);
	fatal_at(c->loc, "attribute 'coordinate_transformation_mode' = %s is not supported", s->coordinates);
}

/* ---- taps ------------------------------------------------------------------------------------------------------------ */

static Value *take_along(Call *c, Value *v, Value *index, int axis)
{
	Attr a = mk_int(Attr_axis, axis);
	return emit(c, OpGather, 2, (Value *[]){v, emit_cast(c, index, I64)}, 1, &a, NULL);
}

static Value *nearest_along(Resize *s, const Resized *r, Value *v, Value *x)
{
	static const struct {
		const char *name;
		double shift;
		Op op;
	} modes[] = {{"round_prefer_floor", -0.5, OpCeil}, {"round_prefer_ceil", 0.5, OpFloor}, {"floor", 0, OpFloor}, {"ceil", 0, OpCeil}};
	Call *c = s->c;
	for (size_t k = 0; k < sizeof modes / sizeof *modes; k++) {
		if (strcmp(modes[k].name, s->nearest))
			continue;
		Value *at = emit1(c, modes[k].op, emit2(c, OpAdd, x, real(c, modes[k].shift)));
		return take_along(c, v, clamped(c, at, real(c, 0), emit2(c, OpSub, real_dim(c, r->in), real(c, 1))), r->axis);
	}
	fatal_at(c->loc, "attribute 'nearest_mode' = %s is not supported", s->nearest);
}

/* 1 - |x|, not below 0 */
static Value *linear_weight(Call *c, Value *x)
{
	return emit2(c, OpMax, emit2(c, OpSub, real(c, 1), emit1(c, OpAbs, x)), real(c, 0));
}

/* c[0] + x (c[1] + x (c[2] + x c[3])) */
static Value *polynomial(Call *c, Value *x, const double *k)
{
	Value *v = real(c, k[3]);
	for (int i = 2; i >= 0; i--)
		v = emit2(c, OpAdd, emit2(c, OpMul, v, x), real(c, k[i]));
	return v;
}

/* Keys' cubic convolution with coefficient a. */
static Value *cubic_weight(Call *c, Value *x)
{
	double a = onnx_float(c, "cubic_coeff_a", -0.75);
	Value *d = emit1(c, OpAbs, x);
	Value *near = polynomial(c, d, (double[]){1, 0, -(a + 3), a + 2});
	Value *far = polynomial(c, d, (double[]){-4 * a, 8 * a, -5 * a, a});
	Value *outer = emit3(c, OpWhere, emit2(c, OpLt, d, real(c, 2)), far, real(c, 0));
	return emit3(c, OpWhere, emit2(c, OpLe, d, real(c, 1)), near, outer);
}

static Value *weighted_along(Resize *s, const Resized *r, Value *v, Value *x)
{
	enum { MaxTaps = 64 };
	Call *c = s->c;
	bool cubic = onnx_word(c, "mode", "cubic"), smooth = onnx_int(c, "antialias", 0), outside = onnx_int(c, "exclude_outside", 0);
	double shrink = smooth && r->scale < 1 ? r->scale : 1;
	if (smooth && !r->scale)
		fatal_at(c->loc, "not supported: antialias with a scale that is not constant");
	int first = floor(-(cubic ? 2 : 1) / shrink) + 1, n = 2 - 2 * first;
	if (n > MaxTaps)
		fatal_at(c->loc, "not supported: antialias over %d elements", n);
	Value *base = emit1(c, OpFloor, x), *part = emit2(c, OpSub, x, base), *zero = real(c, 0), *w[MaxTaps], *at[MaxTaps];
	Value *last = emit2(c, OpSub, real_dim(c, r->in), real(c, 1)), *sum = zero, *result = NULL;
	for (int j = 0; j < n; j++) {
		Value *arg = emit2(c, OpMul, emit2(c, OpSub, real(c, first + j), part), real(c, shrink));
		Value *raw = emit2(c, OpAdd, base, real(c, first + j));
		at[j] = clamped(c, raw, zero, last);
		w[j] = cubic ? cubic_weight(c, arg) : linear_weight(c, arg);
		if (outside)
			w[j] = emit3(c, OpWhere, emit2(c, OpEq, raw, at[j]), w[j], zero);
		sum = emit2(c, OpAdd, sum, w[j]);
	}
	const Dim *dims[MaxRank];
	for (int i = 0; i < v->type.rank; i++)
		dims[i] = i == r->axis ? r->out : num(c, 1);
	for (int j = 0; j < n; j++) {
		Value *weight = smooth || outside ? emit2(c, OpDiv, w[j], sum) : w[j];
		weight = emit_reshape(c, emit_cast(c, weight, v->type.dtype), v->type.rank, dims);
		Value *term = emit2(c, OpMul, take_along(c, v, at[j], r->axis), weight);
		result = result ? emit2(c, OpAdd, result, term) : term;
	}
	return result;
}

/* ---- what to resize -------------------------------------------------------------------------------------------------- */

/* floor(d * scale); of a symbolic extent only where the scale is a fraction of a small power of 2. */
static const Dim *scaled_dim(Call *c, const Dim *d, double scale)
{
	const int64_t parts = 1 << 12;
	int64_t n;
	if (!(scale > 0) || scale > 1 << 16)
		fatal_at(c->loc, "scale %g is out of range", scale);
	if (dim_is_const(d, &n))
		return num(c, (int64_t)floor((double)n * scale));
	if (scale * parts != floor(scale * parts))
		fatal_at(c->loc, "not supported: scale %g of the extent %s", scale, dim_text(c->m, d));
	return dim_floordiv(c->m, dim_mul_const(c->m, d, scale * parts), num(c, parts));
}

/* The scales by attribute or input; false: there are none. */
static bool read_scales(Resize *s, float *scales)
{
	Call *c = s->c;
	const OnnxAttr *a = onnx_attr(c, "scales");
	int at = c->opset < 11 ? 1 : 2;
	if (!strcmp(c->row->name, "Upsample") && c->opset < 7) {
		scales[0] = scales[1] = 1;
		scales[2] = onnx_float(c, "height_scale", 0);
		scales[3] = onnx_float(c, "width_scale", 0);
		if (s->naxis != 4)
			fatal_at(c->loc, "the operand has rank %d, expected 4", s->naxis);
		return true;
	}
	if (a) {
		if ((int)a->n_floats != s->naxis)
			fatal_at(c->loc, "attribute 'scales' has %zu elements for %d axes", a->n_floats, s->naxis);
		memcpy(scales, a->floats, a->n_floats * sizeof *scales);
		return true;
	}
	if (at >= c->nin || !c->in[at] || dim_equals(type_numel(c->m, &c->in[at]->type), 0))
		return false;
	const Const *k = c->in[at]->konst;
	if (!k || k->type.dtype != F32)
		fatal_at(c->loc, "not supported: input 'scales' depends on the data");
	if (const_numel(&k->type) != s->naxis)
		fatal_at(c->loc, "input 'scales' has %lld elements for %d axes", (long long)const_numel(&k->type), s->naxis);
	memcpy(scales, k->data, s->naxis * sizeof *scales);
	return true;
}

/* One scale for all axes: the least or greatest of those that the sizes ask for. */
static void keep_ratio(Resize *s, bool larger)
{
	Call *c = s->c;
	double scale = 0;
	for (int i = 0; i < s->naxis; i++) {
		int64_t in, out;
		if (!dim_is_const(s->axes[i].in, &in) || !dim_is_const(s->axes[i].out, &out) || in < 1)
			fatal_at(c->loc, "not supported: keep_aspect_ratio_policy with extents that are not constant");
		double own = (double)out / (double)in;
		scale = !i || (larger ? own > scale : own < scale) ? own : scale;
	}
	for (int i = 0; i < s->naxis; i++) {
		int64_t in = 0;
		dim_is_const(s->axes[i].in, &in);
		s->axes[i].scale = scale;
		s->axes[i].out = num(c, (int64_t)floor((double)in * scale + 0.5));
	}
}

static void read_sizes(Resize *s)
{
	Call *c = s->c;
	const Dim *sizes[MaxRank];
	const char *policy = onnx_text(c, "keep_aspect_ratio_policy");
	if (need_dims(c, 3, "sizes", sizes, MaxRank) != s->naxis)
		fatal_at(c->loc, "input 'sizes' does not have one element for each of %d axes", s->naxis);
	for (int i = 0; i < s->naxis; i++) {
		int64_t in, out;
		require_at_least(c, sizes[i], 0);
		s->axes[i].out = sizes[i];
		if (dim_is_const(s->axes[i].in, &in) && dim_is_const(sizes[i], &out) && in > 0)
			s->axes[i].scale = (double)out / (double)in;
	}
	if (policy && strcmp(policy, "stretch"))
		keep_ratio(s, !strcmp(policy, "not_smaller"));
}

static void read_axes(Resize *s)
{
	Call *c = s->c;
	const Type *x = &c->in[0]->type;
	const int64_t *listed;
	bool seen[MaxRank] = {false};
	float scales[MaxRank];
	int n = onnx_ints(c, "axes", &listed);
	s->naxis = n < 0 ? x->rank : n;
	if (n > x->rank)
		fatal_at(c->loc, "%d axes for rank %d", n, x->rank);
	for (int i = 0; i < s->naxis; i++) {
		int axis = n < 0 ? i : norm_axis(c, listed[i], x->rank);
		if (seen[axis])
			fatal_at(c->loc, "axis %d is listed twice", axis);
		seen[axis] = true;
		s->axes[i] = (Resized){.axis = axis, .in = x->dims[axis]};
	}
	if (!read_scales(s, scales)) {
		read_sizes(s);
		return;
	}
	for (int i = 0; i < s->naxis; i++) {
		s->axes[i].scale = scales[i];
		s->axes[i].out = scaled_dim(c, s->axes[i].in, scales[i]);
	}
}

static void read_region(Resize *s)
{
	Call *c = s->c;
	Value *roi = c->nin > 1 ? c->in[1] : NULL;
	if (!roi || roi->type.rank != 1)
		fatal_at(c->loc, "input 'roi' is missing, or no list");
	require_equal(c, roi->type.dims[0], num(c, 2 * s->naxis), "elements of 'roi'");
	roi = emit_cast(c, roi, F64);
	for (int i = 0; i < s->naxis; i++) {
		s->axes[i].start = emit_reshape(c, emit_range(c, roi, 0, num(c, i), num(c, 1), 1), 0, NULL);
		s->axes[i].end = emit_reshape(c, emit_range(c, roi, 0, num(c, s->naxis + i), num(c, 1), 1), 0, NULL);
	}
}

/* ---- the operators --------------------------------------------------------------------------------------------------- */

/* Nearest-neighbour growth by whole factors repeats elements: [.. d ..] -> [.. d, f ..] -> [.. d*f ..].  NULL: it is not that. */
static Value *grow_whole(Resize *s, Value *x)
{
	Call *c = s->c;
	bool from_floor = !strcmp(s->coordinates, "asymmetric") && !strcmp(s->nearest, "floor");
	if (!from_floor && (strcmp(s->coordinates, "half_pixel") || strncmp(s->nearest, "round_prefer_", 13)))
		return NULL;
	const Dim *factor[MaxRank], *split[2 * MaxRank], *wide[2 * MaxRank], *out[MaxRank], *q;
	int64_t f;
	for (int i = 0; i < x->type.rank; i++)
		factor[i] = num(c, 1);
	for (int i = 0; i < s->naxis; i++) {
		const Resized *r = &s->axes[i];
		q = r->scale ? num(c, r->scale) : divide_dims(c, r->out, r->in);
		if (!dim_is_const(q, &f) || f < 1 || f > 64 || dim_mul(c->m, q, r->in) != r->out || (r->scale && r->scale != f))
			return NULL;
		factor[r->axis] = q;
	}
	int n = 0;
	for (int i = 0; i < x->type.rank; i++) {
		split[n] = wide[n] = x->type.dims[i];
		n++;
		if (!dim_equals(factor[i], 1)) {
			split[n] = num(c, 1);
			wide[n++] = factor[i];
		}
		out[i] = dim_mul(c->m, x->type.dims[i], factor[i]);
	}
	Value *v = n > MaxRank ? NULL : emit_expand(c, emit_reshape(c, x, n, split), n, wide);
	return v ? emit_reshape(c, v, x->type.rank, out) : NULL;
}

/* Where a coordinate lies outside of the operand, the result is a number that the node states. */
static Value *extrapolated(Resize *s, const Resized *r, Value *v, Value *x)
{
	Call *c = s->c;
	const Dim *dims[MaxRank];
	Value *last = emit2(c, OpSub, real_dim(c, r->in), real(c, 1));
	Value *out = emit2(c, OpOr, emit2(c, OpLt, x, real(c, 0)), emit2(c, OpLt, last, x));
	for (int i = 0; i < v->type.rank; i++)
		dims[i] = i == r->axis ? r->out : num(c, 1);
	Value *number = emit_const(c, v->type.dtype, onnx_float(c, "extrapolation_value", 0));
	return emit3(c, OpWhere, emit_reshape(c, out, v->type.rank, dims), number, v);
}

static bool stays(const Resize *s, const Resized *r)
{
	return r->in == r->out && (!r->scale || r->scale == 1) && strcmp(s->coordinates, "tf_crop_and_resize");
}

static Value *resize_axes(Resize *s, Value *v, bool nearest)
{
	bool crop = !strcmp(s->coordinates, "tf_crop_and_resize");
	Value *at[MaxRank] = {NULL};
	for (int i = 0; i < s->naxis; i++) {
		const Resized *r = &s->axes[i];
		if (stays(s, r))
			continue;
		require_at_least(s->c, r->in, 1);
		at[i] = coordinates_of(s, r);
		v = nearest ? nearest_along(s, r, v, at[i]) : weighted_along(s, r, v, at[i]);
	}
	for (int i = 0; i < s->naxis && crop; i++)
		if (at[i])
			v = extrapolated(s, &s->axes[i], v, at[i]);
	return v;
}

/* Weights are floating: other elements go through f32. */
void import_resize(Call *c)
{
	Value *x = c->in[0];
	Resize s = {.c = c, .coordinates = c->opset < 11 ? "asymmetric" : onnx_text(c, "coordinate_transformation_mode")};
	s.nearest = c->opset < 11 ? "floor" : onnx_text(c, "nearest_mode");
	s.coordinates = s.coordinates ? s.coordinates : "half_pixel";
	s.nearest = s.nearest ? s.nearest : "round_prefer_floor";
	bool nearest = !has_attr(c, "mode") || onnx_word(c, "mode", "nearest");
	read_axes(&s);
	if (!strcmp(s.coordinates, "tf_crop_and_resize"))
		read_region(&s);
	if (nearest && (c->out[0] = grow_whole(&s, x)))
		return;
	DType dtype = x->type.dtype, work = nearest || dtypes[dtype].cls == ClassFloat ? dtype : F32;
	c->out[0] = emit_cast(c, resize_axes(&s, emit_cast(c, x, work), nearest), dtype);
}
