/* import_dft.c - the discrete Fourier transform of a tensor or of its frames, and window functions. */
#include "axes.h"
#include "import.h"

#include <math.h>
#include <string.h>

/* 2 pi k / n for integers k, which are reduced to (-n/2, n/2] before they are scaled: that keeps the rounding error small. */
static Value *angles(Call *c, Value *k, const Dim *n, DType dtype)
{
	const Dim *half = dim_floordiv(c->m, n, num(c, 2));
	Value *size = emit_dims(c, 0, 1, &n), *shift = emit_dims(c, 0, 1, &half);
	k = emit2(c, OpSub, emit2(c, OpIMod, emit2(c, OpAdd, k, shift), size), shift);
	return emit2(c, OpDiv, emit2(c, OpMul, emit_cast(c, k, dtype), emit_const(c, dtype, 2 * M_PI)), emit_cast(c, size, dtype));
}

typedef struct Dft {
	int axis; /* the one transformed */
	const Dim *n, *rows, *bins; /* length of the transform, extents of the axis before and after */
	bool complex, inverse;
	bool half; /* the operand is the first half of a spectrum whose other half mirrors it: the result is real */
} Dft;

static const Dim *half_of(Call *c, const Dim *n)
{
	return dim_add(c->m, dim_floordiv(c->m, n, num(c, 2)), num(c, 1));
}

/* The axis cut or continued with zeros to n elements. */
static Value *fit_axis(Call *c, Value *x, int axis, const Dim *n)
{
	const Dim *pads[2 * MaxRank], *have = x->type.dims[axis];
	int rank = x->type.rank;
	if (have == n)
		return x;
	for (int i = 0; i < 2 * rank; i++)
		pads[i] = num(c, 0);
	pads[rank + axis] = dim_max(c->m, dim_sub(c->m, n, have), num(c, 0));
	Attr a = mk_dims(c->m, Attr_pads_dim, 2 * rank, pads);
	if (!dim_equals(pads[rank + axis], 0))
		x = emit(c, OpPad, 1, &x, 1, &a, NULL);
	return emit_range(c, x, axis, num(c, 0), n, 1);
}

/* The last axis holds real parts, or real and imaginary ones; where sizes decide which, imaginary parts are added. */
static Value *with_parts(Call *c, Value *x, bool real, bool *complex)
{
	const Dim *two = num(c, 2);
	int last = x->type.rank - 1;
	int64_t parts;
	bool known = last > 0 && dim_is_const(x->type.dims[last], &parts);
	if (last < 1 || (known && (parts < 1 || parts > 2 || (real && parts == 2))))
		fatal_at(c->loc, "the last axis of %s does not hold %s", type_text(c->m, &x->type), real ? "real parts" : "real and imaginary parts");
	*complex = !real && !(known && parts == 1);
	if (known)
		return x;
	require_at_least(c, x->type.dims[last], 1);
	require_at_most(c, x->type.dims[last], real ? num(c, 1) : two);
	return fit_axis(c, x, last, real ? num(c, 1) : two);
}

/* The operand with the axis that is transformed at d->axis: its own, or one that arrives at run time, as the middle one of three.  `named`
 * tells which it is then; n = 0: a constant. */
static Value *read_axis(Call *c, Dft *d, Axes *named)
{
	Value *x = c->in[0];
	const Dim *dims[MaxRank];
	int rank = x->type.rank;
	int64_t at = c->opset < 20 ? onnx_int(c, "axis", 1) : -2;
	if (c->opset >= 20 && run_time_axes(c, 2, rank, named)) {
		Type signal = x->type;
		signal.rank--;
		if (named->n != 1 || rank < 2)
			fatal_at(c->loc, "input 'axis' is not a scalar, or the operand is %s", type_text(c->m, &x->type));
		require_at_most(c, named->at[0], num(c, rank - 2));
		fold_around(c, named, &signal, dims);
		dims[3] = x->type.dims[rank - 1];
		d->axis = 1;
		return emit_reshape(c, x, 4, dims);
	}
	if (c->opset >= 20 && c->nin > 2 && c->in[2] && need_ints(c, 2, "axis", &at, 1) != 1)
		fatal_at(c->loc, "input 'axis' is not a scalar");
	named->n = 0;
	d->axis = norm_axis(c, at, rank);
	if (d->axis == rank - 1)
		fatal_at(c->loc, "the last axis of %s holds the parts of its elements", type_text(c->m, &x->type));
	return x;
}

/* Returns the operand. */
static Value *read_dft(Call *c, Dft *d, Axes *named)
{
	const Dim *length;
	bool onesided = onnx_int(c, "onesided", 0);
	Value *x = read_axis(c, d, named);
	d->inverse = onnx_int(c, "inverse", 0);
	d->half = onesided && d->inverse;
	Value *v = with_parts(c, x, onesided && !d->inverse, &d->complex);
	d->n = x->type.dims[d->axis];
	if (d->half)
		d->n = dim_mul_const(c->m, dim_sub(c->m, d->n, num(c, 1)), 2);
	if (c->nin > 1 && c->in[1] && need_dims(c, 1, "dft_length", &length, 1) != 1)
		fatal_at(c->loc, "input 'dft_length' is not a scalar");
	if (c->nin > 1 && c->in[1])
		d->n = length;
	require_at_least(c, d->n, 1);
	d->rows = d->half ? half_of(c, d->n) : d->n;
	d->bins = onesided && !d->half ? half_of(c, d->n) : d->n;
	return fit_axis(c, v, d->axis, d->rows);
}

/* The part of the pairs along the last axis, in any shape.  Exporters widen real signals by a concat with zeros, which needs not be read. */
static Value *part_of_pairs(Call *c, Value *x, int part)
{
	const Value *v = x;
	int64_t at = part, extent;

	while (v->def && v->def->op == OpReshape && v->def->in[0]->type.rank && /* Unsqueeze, that is */
	       v->def->in[0]->type.dims[v->def->in[0]->type.rank - 1] == v->type.dims[v->type.rank - 1])
		v = v->def->in[0];
	const int last = v->type.rank - 1;
	const Node *n = v->def;
	for (int i = 0; n && n->op == OpConcat && attr_int(n, Attr_axis) == last && i < n->nin; i++) {
		if (!dim_is_const(n->in[i]->type.dims[last], &extent))
			break;
		if (at < extent)
			return emit_range(c, n->in[i], last, num(c, at), num(c, 1), 1);
		at -= extent;
	}
	return emit_range(c, x, x->type.rank - 1, num(c, part), num(c, 1), 1);
}

/* One part of the complex pairs, as the axis is transformed: a half spectrum is continued with the conjugate of its mirror image. */
static Value *take_part(Call *c, const Dft *d, Value *x, int part)
{
	const int rank = x->type.rank - 1;
	Value *v = emit_reshape(c, part_of_pairs(c, x, part), rank, x->type.dims);
	if (!d->half)
		return v;
	const Dim *rest = dim_sub(c->m, d->n, d->rows); /* the first element, and the middle one of even n, have no image */
	Value *in[] = {v, emit_range(c, v, d->axis, rest, rest, -1)};
	if (part)
		in[1] = emit1(c, OpNeg, in[1]);
	Attr axis = mk_int(Attr_axis, d->axis);
	return emit(c, OpConcat, 2, in, 1, &axis, NULL);
}

/* The parts of the result, in front of its axes, go behind them. */
static Value *transform(Call *c, const Dft *d, Value *x)
{
	const int rank = x->type.rank - 1;
	Value *in[] = {take_part(c, d, x, 0), d->complex ? take_part(c, d, x, 1) : NULL, NULL};
	Attr attrs[] = {mk_int(Attr_axis, d->axis), mk_int(Attr_inverse, d->inverse)};
	Type t = {.dtype = x->type.dtype, .rank = rank + 1, .dims = {num(c, d->half ? 1 : 2)}};
	double fill;
	int perm[MaxRank];

	if (in[1] && constant_fill(in[1], &fill) && fill == 0)
		in[1] = NULL;
	for (int i = 0; i < rank; i++) {
		t.dims[i + 1] = i == d->axis ? d->bins : x->type.dims[i];
		perm[i] = i + 1;
	}
	perm[rank] = 0;
	return emit_transpose(c, emit(c, OpDft, 3, in, 2, attrs, &t), perm);
}

void import_dft(Call *c)
{
	Dft d;
	Axes named;
	const Dim *dims[MaxRank], *bins[MaxRank];
	const Type *x = &c->in[0]->type;
	Value *y = transform(c, &d, read_dft(c, &d, &named));
	for (int i = 0; i < x->rank && named.n; i++) {
		bins[0] = d.bins;
		dims[i] = i < x->rank - 1 ? named_value(c, &named, i, bins, x->dims[i]) : y->type.dims[3];
	}
	c->out[0] = named.n ? emit_reshape(c, y, x->rank, dims) : y;
}

/* ---- frames ----------------------------------------------------------------------------------------------------- */

static const Dim *known_count(Call *c, int input, const char *what)
{
	const Dim *d;
	if (need_dims(c, input, what, &d, 1) != 1)
		fatal_at(c->loc, "input '%s' is not a scalar", what);
	require_at_least(c, d, 1);
	return d;
}

/* [B, frames, length, parts]: frame f starts at f * step. */
static Value *cut_frames(Call *c, Value *x, const Dim *length, const Dim *step)
{
	Module *m = c->m;
	const Dim *room = dim_sub(m, x->type.dims[1], length);
	require_at_least(c, room, 0);
	const Dim *frames = dim_add(m, dim_floordiv(m, room, step), num(c, 1)), *column[2] = {frames, num(c, 1)};
	Value *start = emit_reshape(c, emit_iota(c, I64, frames, num(c, 0), step), 2, column);
	Value *at = emit2(c, OpAdd, start, emit_iota(c, I64, length, num(c, 0), num(c, 1)));
	return emit_gather(c, x, at, 1);
}

void import_stft(Call *c)
{
	Value *x = c->in[0], *window = c->nin > 2 ? c->in[2] : NULL;
	bool onesided = onnx_int(c, "onesided", 1), complex;
	if (x->type.rank == 2) /* real, as torch's exporter leaves it and onnxruntime takes it */
		x = emit_reshape(c, x, 3, (const Dim *[]){x->type.dims[0], x->type.dims[1], num(c, 1)});
	if (x->type.rank != 3 || (window && window->type.rank != 1))
		fatal_at(c->loc, "the signal is %s", type_text(c->m, &x->type));
	x = with_parts(c, x, onesided, &complex);
	const Dim *step = known_count(c, 1, "frame_step"), *n = window ? window->type.dims[0] : x->type.dims[1];
	if (c->nin > 3 && c->in[3])
		n = known_count(c, 3, "frame_length");
	Value *frames = cut_frames(c, x, n, step);
	if (window) {
		require_equal(c, window->type.dims[0], n, "the lengths of window and frame");
		frames = emit2(c, OpMul, frames, emit_reshape(c, window, 2, (const Dim *[]){n, num(c, 1)}));
	}
	Dft d = {.axis = 2, .n = n, .rows = n, .bins = onesided ? half_of(c, n) : n, .complex = complex};
	c->out[0] = transform(c, &d, frames);
}

/* ---- windows ---------------------------------------------------------------------------------------------------- */

/* a - b cos(2 pi k / N) + e cos(4 pi k / N) for k = 0 .. size - 1; N is size, or size - 1 if both ends are to be the same. */
static void import_cosines(Call *c, double a, double b, double e)
{
	Module *m = c->m;
	DType dtype, real;
	const Dim *size;
	int64_t stated = onnx_int(c, "output_datatype", 1);
	if (!onnx_dtype(stated, &dtype))
		refuse_at(c->loc, "element type %s is not supported", onnx_dtype_text(stated));
	if (need_dims(c, 0, "size", &size, 1) != 1)
		fatal_at(c->loc, "input 'size' is not a scalar");
	require_at_least(c, size, 0);
	real = dtype == F64 ? F64 : F32;
	const Dim *n = onnx_int(c, "periodic", 1) ? size : dim_sub(m, size, num(c, 1));
	n = dim_max(m, n, num(c, 1));
	Value *once = angles(c, emit_iota(c, I64, size, num(c, 0), num(c, 1)), n, real);
	Value *twice = angles(c, emit_iota(c, I64, size, num(c, 0), num(c, 2)), n, real);
	Value *v = emit2(c, OpSub, emit_const(c, real, a), emit2(c, OpMul, emit_const(c, real, b), emit1(c, OpCos, once)));
	if (e != 0)
		v = emit2(c, OpAdd, v, emit2(c, OpMul, emit_const(c, real, e), emit1(c, OpCos, twice)));
	c->out[0] = emit_cast(c, v, dtype);
}

void import_hann_window(Call *c)
{
	import_cosines(c, 0.5, 0.5, 0);
}

void import_hamming_window(Call *c)
{
	import_cosines(c, 25.0 / 46, 21.0 / 46, 0);
}

void import_blackman_window(Call *c)
{
	import_cosines(c, 0.42, 0.5, 0.08);
}

/* ---- the mel scale ---------------------------------------------------------------------------------------------- */

static Value *real_input(Call *c, int i)
{
	if (!dim_equals(type_numel(c->m, &c->in[i]->type), 1))
		fatal_at(c->loc, "input %d is not a scalar", i);
	return emit_cast(c, emit_reshape(c, c->in[i], 0, NULL), F64);
}

static Value *scale_by(Call *c, Value *v, double factor)
{
	return emit2(c, OpMul, v, emit_const(c, F64, factor));
}

/* mel(f) = 2595 log10(1 + f/700) */
static Value *mel_of(Call *c, Value *hertz)
{
	return scale_by(c, emit1(c, OpLog, emit2(c, OpAdd, scale_by(c, hertz, 1.0 / 700), emit_const(c, F64, 1))), 2595 / log(10));
}

static Value *hertz_of(Call *c, Value *mel)
{
	return scale_by(c, emit2(c, OpSub, emit1(c, OpExp, scale_by(c, mel, log(10) / 2595)), emit_const(c, F64, 1)), 700);
}

/* Band i rises from bin[i] to 1 at bin[i + 1] and falls to bin[i + 2]; the bins lie evenly on the mel scale, rounded down to whole ones
 * of the spectrum.  As many steps as bins, which is what the standard's reference takes. */
void import_mel_weights(Call *c)
{
	Module *m = c->m;
	DType dtype;
	const Dim *bands, *length, *one = num(c, 1);
	int64_t stated = onnx_int(c, "output_datatype", 1);
	if (!onnx_dtype(stated, &dtype))
		refuse_at(c->loc, "element type %s is not supported", onnx_dtype_text(stated));
	if (need_dims(c, 0, "num_mel_bins", &bands, 1) != 1 || need_dims(c, 1, "dft_length", &length, 1) != 1)
		fatal_at(c->loc, "input 'num_mel_bins' or 'dft_length' is not a scalar");
	require_at_least(c, bands, 0);
	require_at_least(c, length, 0);
	const Dim *points = dim_add(m, bands, num(c, 2)), *more = dim_add(m, length, one);
	Value *low = mel_of(c, real_input(c, 3)), *high = mel_of(c, real_input(c, 4));
	Value *step = emit2(c, OpDiv, emit2(c, OpSub, high, low), emit_cast(c, emit_dims(c, 0, 1, &points), F64));
	Value *mel = emit2(c, OpAdd, emit2(c, OpMul, emit_iota(c, F64, points, num(c, 0), one), step), low);
	Value *bin = emit2(c, OpMul, hertz_of(c, mel), emit_cast(c, emit_dims(c, 0, 1, &more), F64));
	bin = emit1(c, OpFloor, emit2(c, OpDiv, bin, real_input(c, 2)));
	Value *left = emit_range(c, bin, 0, num(c, 0), bands, 1), *peak = emit_range(c, bin, 0, one, bands, 1);
	Value *right = emit_range(c, bin, 0, num(c, 2), bands, 1), *zero = emit_const(c, F64, 0);
	Value *at = emit_cast(c, count_along(c, dim_add(m, dim_floordiv(m, length, num(c, 2)), one), 2, 0), F64);
	Value *rise = emit2(c, OpDiv, emit2(c, OpSub, at, left), emit2(c, OpSub, peak, left));
	Value *fall = emit2(c, OpDiv, emit2(c, OpSub, right, at), emit2(c, OpSub, right, peak));
	rise = emit3(c, OpWhere, emit2(c, OpEq, peak, left), emit_const(c, F64, 1), rise);
	Value *rises = emit2(c, OpAnd, emit2(c, OpLe, left, at), emit2(c, OpLe, at, peak));
	Value *falls = emit2(c, OpAnd, emit2(c, OpLe, peak, at), emit2(c, OpLt, at, right));
	c->out[0] = emit_cast(c, emit3(c, OpWhere, falls, fall, emit3(c, OpWhere, rises, rise, zero)), dtype);
}
