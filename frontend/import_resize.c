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
	double scale; /* 0: not constant, but */
	Value *ratio; /* an f64; NULL: out over in */
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
	if (r->scale || r->ratio)
		return r->ratio ? r->ratio : real(c, r->scale);
	return emit2(c, OpDiv, real_dim(c, r->out), real_dim(c, r->in));
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
	refuse_at(c->loc, "attribute 'coordinate_transformation_mode' = %s is not supported", s->coordinates);
}

/* ---- taps ------------------------------------------------------------------------------------------------------------ */

static const char by_scale[] = "by scale"; /* Resize-10, which states no mode: what its tests and onnxruntime do */

static Value *nearest_along(Resize *s, const Resized *r, Value *v, Value *x)
{
	static const struct {
		const char *name;
		double shift;
		Op op;
	} modes[] = {{"round_prefer_floor", -0.5, OpCeil}, {"round_prefer_ceil", 0.5, OpFloor}, {"floor", 0, OpFloor}, {"ceil", 0, OpCeil}};
	Call *c = s->c;
	Value *at = NULL;
	if (s->nearest == by_scale)
		at = emit3(c, OpWhere, emit2(c, OpLt, scale_of(c, r), real(c, 1)), emit1(c, OpCeil, x), emit1(c, OpFloor, x));
	for (size_t k = 0; k < sizeof modes / sizeof *modes && !at; k++)
		if (!strcmp(modes[k].name, s->nearest))
			at = emit1(c, modes[k].op, emit2(c, OpAdd, x, real(c, modes[k].shift)));
	if (!at)
		refuse_at(c->loc, "attribute 'nearest_mode' = %s is not supported", s->nearest);
	return emit_gather(c, v, clamped(c, at, real(c, 0), emit2(c, OpSub, real_dim(c, r->in), real(c, 1))), r->axis);
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

/* Weights of the taps `offset` beyond base: those of the filter, stretched where the result shrinks; *at: where they read. */
static Value *tap_weight(Resize *s, const Resized *r, Value *base, Value *part, Value *offset, Value *shrink, Value **at)
{
	Call *c = s->c;
	Value *arg = emit2(c, OpMul, emit2(c, OpSub, offset, part), shrink), *raw = emit2(c, OpAdd, base, offset);
	*at = clamped(c, raw, real(c, 0), emit2(c, OpSub, real_dim(c, r->in), real(c, 1)));
	Value *w = onnx_word(c, "mode", "cubic") ? cubic_weight(c, arg) : linear_weight(c, arg);
	return onnx_int(c, "exclude_outside", 0) ? emit3(c, OpWhere, emit2(c, OpEq, raw, *at), w, real(c, 0)) : w;
}

/* All taps as one axis behind the resized one: for filters that cover many elements, or as many as sizes decide. */
static Value *weighted_sum(Resize *s, const Resized *r, Value *v, Value *x, const Dim *reach, Value *shrink)
{
	Call *c = s->c;
	int rank = v->type.rank + 1, axis = r->axis + 1;
	const Dim *taps = dim_mul_const(c->m, reach, 2), *dims[MaxRank + 1], *column[2] = {r->out, num(c, 1)};
	if (rank > MaxRank)
		refuse_at(c->loc, "not supported: antialias of a tensor of rank %d", v->type.rank);
	Value *base = emit_reshape(c, emit1(c, OpFloor, x), 2, column), *part = emit2(c, OpSub, emit_reshape(c, x, 2, column), base), *at;
	Value *offset = emit_cast(c, emit_iota(c, I64, taps, dim_sub(c->m, num(c, 1), reach), num(c, 1)), F64);
	Value *w = tap_weight(s, r, base, part, offset, shrink, &at);
	w = emit2(c, OpDiv, w, emit_reduce(c, OpSum, w, 1, (int64_t[]){1}, true));
	for (int i = 0; i < rank; i++)
		dims[i] = i == axis ? taps : i == r->axis ? r->out : num(c, 1);
	w = emit_reshape(c, emit_cast(c, w, v->type.dtype), rank, dims);
	return emit_reduce(c, OpSum, emit2(c, OpMul, emit_gather(c, v, at, r->axis), w), 1, (int64_t[]){axis}, false);
}

/* Elements on each side of a coordinate that a filter of this radius reaches when it is stretched by 1 / scale.  A scale that is kept
 * for all axes may lie half an element of the result above out / in. */
static const Dim *filter_reach(Call *c, const Resized *r, int64_t radius)
{
	Module *m = c->m;
	const Dim *out = r->ratio ? dim_sub(m, dim_mul_const(m, r->out, 2), num(c, 1)) : r->out;
	const Dim *wide = dim_mul_const(m, r->in, r->ratio ? 2 * radius : radius);
	return name_dim(m, dim_max(m, dim_ceildiv(m, wide, dim_max(m, out, num(c, 1))), num(c, radius)));
}

static Value *weighted_along(Resize *s, const Resized *r, Value *v, Value *x)
{
	enum { MaxTaps = 16 };
	Call *c = s->c;
	bool smooth = onnx_int(c, "antialias", 0), outside = onnx_int(c, "exclude_outside", 0);
	int radius = onnx_word(c, "mode", "cubic") ? 2 : 1;
	Value *one = real(c, 1), *shrink = smooth ? emit2(c, OpMin, scale_of(c, r), one) : one;
	if (smooth && !r->scale)
		return weighted_sum(s, r, v, x, filter_reach(c, r, radius), shrink);
	double reach = smooth && r->scale < 1 ? ceil(radius / r->scale) : radius;
	if (reach > DimMax / 2)
		fatal_at(c->loc, "scale %g is out of range", r->scale);
	if (2 * reach > MaxTaps)
		return weighted_sum(s, r, v, x, num(c, (int64_t)reach), shrink);
	Value *base = emit1(c, OpFloor, x), *part = emit2(c, OpSub, x, base), *w[MaxTaps], *at[MaxTaps];
	Value *sum = real(c, 0), *result = NULL;
	int n = 2 * (int)reach;
	for (int j = 0; j < n; j++) {
		w[j] = tap_weight(s, r, base, part, real(c, j + 1 - reach), shrink, &at[j]);
		sum = emit2(c, OpAdd, sum, w[j]);
	}
	const Dim *dims[MaxRank];
	for (int i = 0; i < v->type.rank; i++)
		dims[i] = i == r->axis ? r->out : num(c, 1);
	for (int j = 0; j < n; j++) {
		Value *weight = smooth || outside ? emit2(c, OpDiv, w[j], sum) : w[j];
		weight = emit_reshape(c, emit_cast(c, weight, v->type.dtype), v->type.rank, dims);
		Value *term = emit2(c, OpMul, emit_gather(c, v, at[j], r->axis), weight);
		result = result ? emit2(c, OpAdd, result, term) : term;
	}
	return result;
}

/* ---- what to resize -------------------------------------------------------------------------------------------------- */

static void set_scale(Resize *s, int i, double scale)
{
	Resized *r = &s->axes[i];
	if (!(scale > 0) || scale > 1 << 16)
		fatal_at(s->c->loc, "scale %g is out of range", scale);
	r->scale = scale;
}

/* Scales that attributes state; false: there are none. */
static bool read_stated_scales(Resize *s)
{
	Call *c = s->c;
	const OnnxAttr *a = onnx_attr(c, "scales");
	bool early = !strcmp(c->row->name, "Upsample") && c->opset < 7;
	const float stated[4] = {1, 1, early ? (float)onnx_float(c, "height_scale", 0) : 1, early ? (float)onnx_float(c, "width_scale", 0) : 1};
	const float *scales = early ? stated : a ? a->floats : NULL;
	int n = early ? 4 : a ? (int)a->n_floats : 0;
	if (scales && n != s->naxis)
		fatal_at(c->loc, "%d scales for %d axes", n, s->naxis);
	for (int i = 0; i < n; i++) {
		set_scale(s, i, scales[i]);
		s->axes[i].out = times_number(c, s->axes[i].in, scales[i], "scales");
	}
	return scales;
}

/* Where a factor arrives at run time, the extent of the result is a symbol. */
static bool read_scales(Resize *s)
{
	Call *c = s->c;
	int at = c->opset < 11 ? 1 : 2;
	double number;
	if (at >= c->nin || !c->in[at] || dim_equals(type_numel(c->m, &c->in[at]->type), 0))
		return false;
	Value *v = c->in[at];
	if (v->type.rank != 1 || !is_among(v->type.dtype, TypesFlt))
		fatal_at(c->loc, "input 'scales' is %s", type_text(c->m, &v->type));
	require_equal(c, v->type.dims[0], num(c, s->naxis), "elements of 'scales' and axes");
	for (int i = 0; i < s->naxis; i++) {
		Resized *r = &s->axes[i];
		if (constant_element(v, i, &number))
			set_scale(s, i, number);
		else
			r->ratio = emit_cast(c, emit_reshape(c, emit_range(c, v, 0, num(c, i), num(c, 1), 1), 0, NULL), F64);
		r->out = scaled_element(c, v, i, r->in, "scales");
		require_at_least(c, r->out, 0);
	}
	return true;
}

/* One scale for all axes: the least or greatest of those that the sizes ask for.  An extent is rounded, halfway cases up. */
static void keep_ratio(Resize *s, bool larger)
{
	Call *c = s->c;
	Module *m = c->m;
	const Dim *out[MaxRank];
	double least = 0;
	Value *ratio = NULL;
	bool known = true;
	for (int i = 0; i < s->naxis; i++) {
		const Resized *r = &s->axes[i];
		const Dim *some = dim_max(m, r->in, num(c, 1));
		require_at_least(c, r->in, 1);
		for (int k = 0; k < s->naxis; k++) {
			const Dim *half = dim_floordiv(m, some, num(c, 2));
			const Dim *own = name_dim(m, dim_floordiv(m, dim_add(m, dim_mul(m, s->axes[k].in, r->out), half), some));
			out[k] = !i ? own : name_dim(m, larger ? dim_max(m, out[k], own) : dim_min(m, out[k], own));
		}
		known &= r->scale != 0;
		least = !i || (larger ? r->scale > least : r->scale < least) ? r->scale : least;
		Value *own = scale_of(c, r);
		ratio = ratio ? emit2(c, larger ? OpMax : OpMin, ratio, own) : own;
	}
	for (int i = 0; i < s->naxis; i++) {
		s->axes[i].scale = known ? least : 0;
		s->axes[i].ratio = known ? NULL : ratio;
		s->axes[i].out = out[i];
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
	if (!read_stated_scales(s) && !read_scales(s))
		read_sizes(s);
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
	bool from_floor = !strcmp(s->coordinates, "asymmetric") && (s->nearest == by_scale || !strcmp(s->nearest, "floor"));
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
		if (!r->ratio) /* else an empty axis stays so */
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
	s.nearest = c->opset >= 11 ? onnx_text(c, "nearest_mode") : strcmp(c->row->name, "Upsample") ? by_scale : "floor";
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
