/* import_sample.c - operators that read between elements, at places that the data gives: GridSample, DeformConv; AffineGrid, which makes
 * such places.
 *
 * A sample is a weighted sum of neighbours.  Their places are computed for all samples, gathered at once as rows of channels, weighted and
 * summed: [planes, samples, taps, channels].
 */
#include "import.h"
#include "window.h"

/* ---- sampling -------------------------------------------------------------------------------------------------- */

typedef enum Mode { Nearest, Linear, Cubic } Mode;
typedef enum Outside { Zeros, Border, Reflection } Outside;

typedef struct Sampler {
	Call *c;
	Mode mode;
	Outside outside;
	bool corners; /* the border is the centre of the outermost elements, not their edge */
	DType dtype; /* of places */
	const Dim *planes, *samples;
} Sampler;

static Value *real(const Sampler *s, double v)
{
	return emit_const(s->c, s->dtype, v);
}

static Value *real_of_dim(const Sampler *s, const Dim *d)
{
	return emit_cast(s->c, emit_dims(s->c, 0, 1, &d), s->dtype);
}

/* x folded into [lo, hi] as by mirrors at both ends */
static Value *reflect(const Sampler *s, Value *x, Value *lo, Value *hi)
{
	Call *c = s->c;
	Value *range = emit2(c, OpSub, hi, lo), *twice = emit2(c, OpAdd, range, range);
	Value *period = emit2(c, OpMax, twice, real(s, 1)), *t = emit2(c, OpSub, x, lo);
	t = emit2(c, OpSub, t, emit2(c, OpMul, period, emit1(c, OpFloor, emit2(c, OpDiv, t, period))));
	t = emit3(c, OpWhere, emit2(c, OpLe, t, range), t, emit2(c, OpSub, twice, t));
	return emit2(c, OpMin, emit2(c, OpMax, emit2(c, OpAdd, lo, t), lo), hi);
}

/* Places beyond the border of an axis, brought back as the padding says. */
static Value *bring_back(const Sampler *s, int outside, Value *x, const Dim *extent)
{
	Call *c = s->c;
	double edge = s->corners ? 0 : 0.5;
	Value *last = emit2(c, OpSub, real_of_dim(s, extent), real(s, 1));
	Value *lo = real(s, -edge), *hi = emit2(c, OpAdd, last, real(s, edge)), *back;
	if (outside == Zeros)
		back = emit2(c, OpMin, emit2(c, OpMax, x, real(s, -4)), emit2(c, OpAdd, last, real(s, 4))); /* as far as a tap reaches */
	else if (outside == Border)
		back = emit2(c, OpMin, emit2(c, OpMax, x, real(s, 0)), last);
	else
		back = reflect(s, x, lo, hi);
	return emit3(c, OpWhere, emit2(c, OpAnd, emit2(c, OpLe, lo, x), emit2(c, OpLe, x, hi)), x, back);
}

static int taps_of(const Sampler *s)
{
	return s->mode == Nearest ? 1 : s->mode == Linear ? 2 : 4;
}

/* ((a * x + b) * x + c) * x + d */
static Value *cubic(const Sampler *s, Value *x, const double *factor)
{
	Value *y = real(s, factor[0]);
	for (int i = 1; i < 4; i++)
		y = emit2(s->c, OpAdd, emit2(s->c, OpMul, y, x), real(s, factor[i]));
	return y;
}

/* Weights of the taps from floor(x) on, or from one before it, given x - floor(x); Keys' kernel with -0.75. */
static Value *tap_weight(const Sampler *s, Value *t, int tap)
{
	static const double near[4] = {1.25, -2.25, 0, 1}, far[4] = {-0.75, 3.75, -6, 3};
	Call *c = s->c;
	Value *one = real(s, 1);
	switch (s->mode) {
	case Nearest: return one;
	case Linear: return tap ? t : emit2(c, OpSub, one, t);
	default: break;
	}
	Value *distance = tap == 0 ? emit2(c, OpAdd, t, one) : tap == 1 ? t : emit2(c, OpSub, real(s, tap - 1), t);
	return cubic(s, distance, tap == 0 || tap == 3 ? far : near);
}

typedef struct Taps { /* [planes, samples, taps] */
	Value *place, *weight, *inside; /* inside: bool; NULL: all are */
} Taps;

static Value *stack(const Sampler *s, Value **parts, int n)
{
	Attr axis = mk_int(Attr_axis, 2);
	const Dim *dims[3] = {s->planes, s->samples, num(s->c, 1)};
	for (int i = 0; i < n; i++)
		parts[i] = emit_expand(s->c, emit_reshape(s->c, parts[i], parts[i]->type.rank ? 3 : 0, dims), 3, dims);
	return n == 1 ? parts[0] : emit(s->c, OpConcat, n, parts, 1, &axis, NULL);
}

/* The taps along one axis of the places x [planes, samples]. */
static Taps axis_taps(const Sampler *s, Value *x, const Dim *extent)
{
	Call *c = s->c;
	Value *place[4], *weight[4], *inside[4], *last = emit2(c, OpSub, real_of_dim(s, extent), real(s, 1));
	int n = taps_of(s);
	if (s->mode == Nearest)
		x = emit1(c, OpRound, x);
	/* PyTorch and onnxruntime bring back each tap of a cubic alone; onnx's reference the place, whose taps would no longer be those around it */
	x = bring_back(s, s->mode == Cubic && s->outside == Border ? Zeros : s->outside, x, extent);
	Value *floor = emit1(c, s->mode == Nearest ? OpRound : OpFloor, x), *t = emit2(c, OpSub, x, floor);
	for (int i = 0; i < n; i++) {
		Value *at = emit2(c, OpAdd, floor, real(s, i - (s->mode == Cubic)));
		inside[i] = emit2(c, OpAnd, emit2(c, OpLe, real(s, 0), at), emit2(c, OpLe, at, last));
		if (s->outside != Zeros)
			at = bring_back(s, s->outside, at, extent);
		at = emit2(c, OpMax, emit2(c, OpMin, at, last), real(s, 0));
		place[i] = emit_cast(c, at, I64);
		weight[i] = tap_weight(s, t, i);
	}
	Taps taps = {stack(s, place, n), stack(s, weight, n), NULL};
	if (s->outside == Zeros)
		taps.inside = stack(s, inside, n);
	return taps;
}

/* a [.., m] and b [.., n] -> [.., m * n] */
static Value *pairs(const Sampler *s, Op op, Value *a, Value *b)
{
	Call *c = s->c;
	const Dim *m = a->type.dims[2], *n = b->type.dims[2], *one = num(c, 1);
	a = emit_reshape(c, a, 4, (const Dim *[]){s->planes, s->samples, m, one});
	b = emit_reshape(c, b, 4, (const Dim *[]){s->planes, s->samples, one, n});
	return emit_reshape(c, emit2(c, op, a, b), 3, (const Dim *[]){s->planes, s->samples, dim_mul(c->m, m, n)});
}

/* x [planes, channels, extents..] at pos[axis] [planes, samples] -> [planes, samples, channels] */
static Value *sample(const Sampler *s, Value *x, Value *const *pos)
{
	Call *c = s->c;
	Module *m = c->m;
	int r = x->type.rank - 2;
	const Dim *const *d = x->type.dims, *one = num(c, 1), *plane = product(m, d + 2, r);
	Taps all = {0};
	for (int i = 0; i < r; i++) {
		Taps t = axis_taps(s, pos[i], d[i + 2]);
		all.place = i ? emit2(c, OpMul, all.place, emit_dims(c, 0, 1, &d[i + 2])) : t.place;
		all.place = i ? pairs(s, OpAdd, all.place, t.place) : t.place;
		all.weight = i ? pairs(s, OpMul, all.weight, t.weight) : t.weight;
		all.inside = !t.inside ? NULL : i ? pairs(s, OpAnd, all.inside, t.inside) : t.inside;
	}
	const Dim *taps = all.place->type.dims[2], *dims[4] = {s->planes, s->samples, taps, one};
	const Dim *flat[3] = {s->planes, d[1], plane}, *rows[2] = {dim_mul(m, s->planes, plane), d[1]};
	x = emit_reshape(c, emit_transpose(c, emit_reshape(c, x, 3, flat), (const int[]){0, 2, 1}), 2, rows);
	Value *base = emit_reshape(c, emit_iota(c, I64, s->planes, num(c, 0), plane), 3, (const Dim *[]){s->planes, one, one});
	Attr axis = mk_int(Attr_axis, 0);
	Value *y = emit(c, OpGather, 2, (Value *[]){x, emit2(c, OpAdd, all.place, base)}, 1, &axis, NULL);
	if (s->mode != Nearest)
		y = emit2(c, OpMul, y, emit_cast(c, emit_reshape(c, all.weight, 4, dims), y->type.dtype));
	if (all.inside)
		y = emit3(c, OpWhere, emit_reshape(c, all.inside, 4, dims), y, emit_const(c, y->type.dtype, 0));
	return emit_reduce(c, OpSum, y, 1, (const int64_t[]){2}, false);
}

/* ---- GridSample ------------------------------------------------------------------------------------------------ */

static int word_of(Call *c, const char *attr, const char *const *words, int n)
{
	if (!has_attr(c, attr))
		return 0;
	for (int i = 0; i < n; i++)
		if (onnx_word(c, attr, words[i]))
			return i;
	refuse_at(c->loc, "attribute '%s' = %s is not supported", attr, onnx_text(c, attr));
}

/* From [-1, 1] to elements of an axis. */
static Value *denormalise(const Sampler *s, Value *x, const Dim *extent)
{
	Call *c = s->c;
	Value *n = real_of_dim(s, extent), *from = emit2(c, OpAdd, x, real(s, 1));
	if (s->corners)
		return emit2(c, OpMul, emit2(c, OpMul, from, real(s, 0.5)), emit2(c, OpSub, n, real(s, 1)));
	return emit2(c, OpMul, emit2(c, OpSub, emit2(c, OpMul, from, n), real(s, 1)), real(s, 0.5));
}

/* The last axis of the grid counts the axes of x from the last one on. */
void import_grid_sample(Call *c)
{
	static const char *const modes[] = {"linear", "bilinear", "nearest", "cubic", "bicubic"};
	static const Mode meaning[] = {Linear, Linear, Nearest, Cubic, Cubic};
	static const char *const paddings[] = {"zeros", "border", "reflection"};
	Value *x = c->in[0], *grid = c->in[1], *pos[MaxRank];
	int rank = x->type.rank, r = rank - 2;
	if (r < 1 || grid->type.rank != rank)
		fatal_at(c->loc, "the operands have ranks %d and %d", rank, grid->type.rank);
	const Dim *const *g = grid->type.dims, *dims[MaxRank] = {x->type.dims[0], x->type.dims[1]};
	require_equal(c, g[0], x->type.dims[0], "batches of the operand and the grid");
	require_equal(c, g[rank - 1], num(c, r), "coordinates of the grid and spatial axes");
	Sampler s = {.c = c, .mode = meaning[word_of(c, "mode", modes, 5)], .outside = (Outside)word_of(c, "padding_mode", paddings, 3),
	             .corners = onnx_int(c, "align_corners", 0), .dtype = grid->type.dtype, .planes = dims[0],
	             .samples = product(c->m, g + 1, r)};
	grid = emit_reshape(c, grid, 3, (const Dim *[]){s.planes, s.samples, num(c, r)});
	for (int i = 0; i < r; i++) {
		Value *part = emit_range(c, grid, 2, num(c, r - 1 - i), num(c, 1), 1);
		pos[i] = denormalise(&s, emit_reshape(c, part, 2, (const Dim *[]){s.planes, s.samples}), x->type.dims[i + 2]);
		dims[i + 2] = g[i + 1];
	}
	c->out[0] = emit_reshape(c, emit_transpose(c, sample(&s, x, pos), (const int[]){0, 2, 1}), rank, dims);
}

/* ---- AffineGrid ------------------------------------------------------------------------------------------------ */

/* -1 to 1 along an axis: the centres of the outermost elements, or their edges. */
static Value *even_places(Call *c, DType dtype, const Dim *n, bool corners)
{
	Module *m = c->m;
	const Dim *first = dim_sub(m, num(c, 1), n), *steps = corners ? dim_max(m, dim_sub(m, n, num(c, 1)), num(c, 1)) : n;
	if (corners) /* of one element: -1 */
		first = dim_mul_const(m, steps, -1);
	Value *at = emit_cast(c, emit_iota(c, I64, n, first, num(c, 2)), dtype);
	return emit2(c, OpDiv, at, emit_cast(c, emit_dims(c, 0, 1, &steps), dtype));
}

void import_affine_grid(Call *c)
{
	Value *theta = c->in[0], *columns[4];
	DType dtype = theta->type.dtype;
	const Dim *size[MaxRank], *dims[MaxRank];
	int n = need_dims(c, 1, "size", size, 5), r = n - 2;
	if (r < 2 || theta->type.rank != 3)
		fatal_at(c->loc, "a size of %d numbers and matrices of rank %d", n, theta->type.rank);
	require_equal(c, theta->type.dims[0], size[0], "batches of theta and size");
	require_equal(c, theta->type.dims[1], num(c, r), "rows of theta");
	require_equal(c, theta->type.dims[2], num(c, r + 1), "columns of theta");
	const Dim *samples = product(c->m, size + 2, r), *column[2] = {samples, num(c, 1)};
	for (int i = 0; i <= r; i++) {
		for (int d = 0; d < r; d++)
			dims[d] = d == r - 1 - i ? size[d + 2] : num(c, 1);
		Value *v = emit_const(c, dtype, 1);
		if (i < r)
			v = emit_reshape(c, even_places(c, dtype, size[r + 1 - i], onnx_int(c, "align_corners", 0)), r, dims);
		columns[i] = emit_reshape(c, emit_expand(c, v, r, size + 2), 2, column);
	}
	Attr axis = mk_int(Attr_axis, 1);
	Value *places = emit(c, OpConcat, r + 1, columns, 1, &axis, NULL);
	Value *y = emit2(c, OpMatMul, places, emit_transpose(c, theta, (const int[]){0, 2, 1}));
	dims[0] = size[0];
	for (int i = 0; i < r; i++)
		dims[i + 1] = size[i + 2];
	dims[r + 1] = num(c, r);
	c->out[0] = emit_reshape(c, y, r + 2, dims);
}

/* ---- DeformConv ------------------------------------------------------------------------------------------------ */

/* Where tap k reads for output o without an offset: o * stride - pad + k * dilation along one axis, [1, taps, outputs]. */
static Value *regular_places(const Sampler *s, const Window *w, int axis, const Dim *const *out)
{
	Call *c = s->c;
	Module *m = c->m;
	const Dim *const *taps = w->taps, *k[MaxRank], *o[MaxRank];
	for (int i = 0; i < w->spatial; i++) {
		k[i] = i == axis ? taps[i] : num(c, 1);
		o[i] = i == axis ? out[i] : num(c, 1);
	}
	Value *tap = emit_iota(c, I64, taps[axis], num(c, 0), num(c, w->dilations[axis]));
	Value *first = emit_iota(c, I64, out[axis], dim_mul_const(m, w->pads[axis], -1), num(c, w->strides[axis]));
	tap = emit_expand(c, emit_reshape(c, tap, w->spatial, k), w->spatial, taps);
	first = emit_expand(c, emit_reshape(c, first, w->spatial, o), w->spatial, out);
	const Dim *nk = product(m, taps, w->spatial), *no = product(m, out, w->spatial), *one = num(c, 1);
	tap = emit_reshape(c, tap, 3, (const Dim *[]){one, nk, one});
	return emit_cast(c, emit2(c, OpAdd, tap, emit_reshape(c, first, 3, (const Dim *[]){one, one, no})), s->dtype);
}

/* Columns [planes, channels * taps, outputs] of samples, then a product with the weights of each group. */
void import_deform_conv(Call *c)
{
	Module *m = c->m;
	Window w;
	Value *x = c->in[0], *weight = read_kernel(c, &w), *offset = c->in[2], *pos[MaxRank];
	Value *bias = c->nin > 3 ? c->in[3] : NULL, *mask = c->nin > 4 ? c->in[4] : NULL;
	int r = w.spatial, rank = r + 2;
	const Dim *const *d = x->type.dims, *taps = num(c, 1), *dims[MaxRank], *out[MaxRank];
	int64_t ngroup = onnx_int(c, "group", 1), noffset = onnx_int(c, "offset_group", 1);
	read_pads(c, &w);
	if (offset->type.rank != rank || ngroup < 1 || ngroup > DimMax || noffset < 1 || noffset > DimMax)
		fatal_at(c->loc, "an offset of rank %d, %lld groups, %lld of offsets", offset->type.rank, (long long)ngroup, (long long)noffset);
	for (int i = 0; i < r; i++) {
		taps = dim_mul(m, taps, w.taps[i]);
		out[i] = count_windows(c, &w, i, d[i + 2]);
		require_equal(c, offset->type.dims[i + 2], out[i], "extents of offset and output");
	}
	const Dim *outputs = product(m, out, r), *groups = num(c, noffset), *planes = dim_mul(m, d[0], groups);
	const Dim *channels = divide_dims(c, d[1], groups);
	require_equal(c, dim_mul(m, channels, groups), d[1], "channels and groups of offsets");
	Sampler s = {.c = c, .mode = Linear, .outside = Zeros, .corners = true, .dtype = offset->type.dtype, .planes = planes,
	             .samples = dim_mul(m, taps, outputs)};
	offset = emit_reshape(c, offset, 4, (const Dim *[]){planes, taps, num(c, r), outputs});
	for (int i = 0; i < r; i++) {
		Value *part = emit_range(c, offset, 2, num(c, i), num(c, 1), 1);
		part = emit_reshape(c, part, 3, (const Dim *[]){planes, taps, outputs});
		part = emit2(c, OpAdd, part, regular_places(&s, &w, i, out));
		pos[i] = emit_reshape(c, part, 2, (const Dim *[]){planes, s.samples});
		dims[i + 2] = d[i + 2];
	}
	dims[0] = planes;
	dims[1] = channels;
	Value *cols = sample(&s, emit_reshape(c, x, rank, dims), pos);
	if (mask)
		cols = emit2(c, OpMul, cols, emit_reshape(c, mask, 3, (const Dim *[]){planes, s.samples, num(c, 1)}));
	const Dim *group = num(c, ngroup), *depth = weight->type.dims[1], *made = divide_dims(c, weight->type.dims[0], group);
	require_equal(c, dim_mul(m, depth, group), d[1], "channels and groups");
	require_equal(c, dim_mul(m, made, group), weight->type.dims[0], "output channels and groups");
	cols = emit_transpose(c, cols, (const int[]){0, 2, 1});
	cols = emit_reshape(c, cols, 4, (const Dim *[]){d[0], group, dim_mul(m, depth, taps), outputs});
	weight = emit_reshape(c, weight, 3, (const Dim *[]){group, made, dim_mul(m, depth, taps)});
	dims[0] = d[0];
	dims[1] = dim_mul(m, made, group);
	for (int i = 0; i < r; i++)
		dims[i + 2] = out[i];
	c->out[0] = emit_reshape(c, emit2(c, OpMatMul, weight, cols), rank, dims);
	for (int i = 0; i < rank; i++)
		dims[i] = num(c, 1);
	if (bias) {
		dims[1] = type_numel(m, &bias->type);
		c->out[0] = emit2(c, OpAdd, c->out[0], emit_reshape(c, bias, rank, dims));
	}
}
