/* import_window.c - convolutions, and what they share with pools: strides, dilations, padding. */
#include "import.h"
#include "window.h"

#include <string.h>

/* ---- windows --------------------------------------------------------------------------------------------------- */

void read_ints(Call *c, const char *name, int want, int64_t dflt, int64_t least, int64_t *out)
{
	const int64_t *given;
	int n = onnx_ints(c, name, &given);
	if (n >= 0 && n != want)
		fatal_at(c->loc, "attribute '%s' has %d entries, expected %d", name, n, want);
	for (int i = 0; i < want; i++) {
		out[i] = n < 0 ? dflt : given[i];
		if (out[i] < least || out[i] > DimMax)
			fatal_at(c->loc, "attribute '%s' holds %lld", name, (long long)out[i]);
	}
}

const Dim *window_span(Call *c, const Window *w, int axis)
{
	return dim_add(c->m, dim_mul_const(c->m, dim_sub(c->m, w->taps[axis], num(c, 1)), w->dilations[axis]), num(c, 1));
}

void read_window(Call *c, Window *w)
{
	read_ints(c, "strides", w->spatial, 1, 1, w->strides);
	read_ints(c, "dilations", w->spatial, 1, 1, w->dilations);
	for (int i = 0; i < w->spatial; i++) {
		int64_t span;
		if (w->kernel[i])
			w->taps[i] = num(c, w->kernel[i]);
		if (dim_is_const(window_span(c, w, i), &span) && span > DimMax)
			fatal_at(c->loc, "a window spans %lld elements", (long long)span);
	}
}

/* What SAME_UPPER and SAME_LOWER pad: output extent = ceil(extent / stride). */
static void same_pads(Call *c, Window *w, int axis)
{
	Module *m = c->m;
	const Dim *extent = c->in[0]->type.dims[axis + 2], *stride = num(c, w->strides[axis]);
	const Dim *last = dim_sub(m, dim_ceildiv(m, extent, stride), num(c, 1));
	const Dim *end = dim_add(m, dim_mul(m, last, stride), window_span(c, w, axis));
	const Dim *total = dim_max(m, dim_sub(m, end, extent), num(c, 0)), *less = dim_floordiv(m, total, num(c, 2));
	bool lower = onnx_word(c, "auto_pad", "SAME_LOWER");
	w->pads[axis] = lower ? dim_sub(m, total, less) : less;
	w->pads[w->spatial + axis] = dim_sub(m, total, w->pads[axis]);
}

void read_pads(Call *c, Window *w)
{
	const char *how = onnx_text(c, "auto_pad");
	int64_t pads[2 * MaxRank];
	bool stated = !how || !*how || !strcmp(how, "NOTSET");
	read_ints(c, "pads", 2 * w->spatial, 0, 0, pads);
	for (int i = 0; i < 2 * w->spatial; i++)
		w->pads[i] = num(c, stated ? pads[i] : 0);
	w->same = !stated && strcmp(how, "VALID");
	if (!w->same)
		return;
	if (strcmp(how, "SAME_UPPER") && strcmp(how, "SAME_LOWER"))
		refuse_at(c->loc, "attribute 'auto_pad' = %s is not supported", how);
	for (int i = 0; i < w->spatial; i++)
		same_pads(c, w, i);
}

Value *pad_spatial(Call *c, Value *x, const Dim *const *spatial, Scalar with)
{
	const Dim *pads[2 * MaxRank] = {NULL};
	int rank = x->type.rank;
	bool grows = false;
	for (int i = 0; i < rank; i++) {
		pads[i] = i < 2 ? num(c, 0) : spatial[i - 2];
		pads[rank + i] = i < 2 ? num(c, 0) : spatial[rank - 2 + i - 2];
		grows |= !dim_equals(pads[i], 0) || !dim_equals(pads[rank + i], 0);
	}
	Attr attrs[2] = {mk_dims(c->m, Attr_pads_dim, 2 * rank, pads), mk_scalar(Attr_value, with)};
	return grows ? emit(c, OpPad, 1, &x, 2, attrs, NULL) : x;
}

const Dim *count_windows(Call *c, const Window *w, int axis, const Dim *extent)
{
	Module *m = c->m;
	const Dim *padded = dim_add(m, extent, dim_add(m, w->pads[axis], w->pads[w->spatial + axis]));
	const Dim *room = dim_floordiv(m, dim_sub(m, padded, window_span(c, w, axis)), num(c, w->strides[axis]));
	return name_dim(m, dim_add(m, room, num(c, 1)));
}

/* The elements under each tap of each window: [.., n..] -> [N, C, taps, windows]; out: windows along each axis.  Axis i + 2 of x,
 * once padded, becomes [taps, windows]: from the last axis on, so that those before it stay. */
static Value *window_columns(Call *c, const Window *w, Value *x, const Dim **out)
{
	int spatial = w->spatial, perm[MaxRank] = {0, 1};
	Module *m = c->m;
	if (2 + 2 * spatial > MaxRank)
		refuse_at(c->loc, "not supported: this convolution along %d axes", spatial);
	for (int i = 0; i < spatial; i++) {
		out[i] = derive_sym(m, count_windows(c, w, i, x->type.dims[i + 2])); /* it becomes a factor of every stride */
		require_at_least(c, out[i], 0);
	}
	x = pad_spatial(c, x, w->pads, scalar_of_int(x->type.dtype, 0));
	for (int i = spatial - 1; i >= 0; i--) {
		Value *tap = emit_iota(c, I64, w->taps[i], num(c, 0), num(c, w->dilations[i]));
		tap = emit_reshape(c, tap, 2, (const Dim *[]){w->taps[i], num(c, 1)});
		x = emit_gather(c, x, emit2(c, OpAdd, tap, emit_iota(c, I64, out[i], num(c, 0), num(c, w->strides[i]))), i + 2);
		perm[i + 2] = 2 * i + 2;
		perm[i + 2 + spatial] = 2 * i + 3;
	}
	const Dim *const *d = x->type.dims;
	x = emit_transpose(c, x, perm);
	return emit_reshape(c, x, 4, (const Dim *[]){d[0], d[1], product(m, w->taps, spatial), product(m, out, spatial)});
}

/* ---- convolution ----------------------------------------------------------------------------------------------- */

/* The weight [.., .., k..]; its extents are the taps, which the attribute may state. */
Value *read_kernel(Call *c, Window *w)
{
	const Type *x = &c->in[0]->type, *weight = &c->in[1]->type;
	w->spatial = x->rank - 2;
	if (w->spatial < 1 || weight->rank != x->rank)
		fatal_at(c->loc, "operands have ranks %d and %d", x->rank, weight->rank);
	bool stated = has_attr(c, "kernel_shape");
	read_ints(c, "kernel_shape", w->spatial, 1, 1, w->kernel);
	for (int i = 0; i < w->spatial; i++) {
		const Dim *extent = weight->dims[i + 2];
		if (stated)
			require_equal(c, extent, num(c, w->kernel[i]), "extent of the weight and attribute 'kernel_shape'");
		else
			require_at_least(c, extent, 1);
		w->taps[i] = extent;
		if (!stated && !dim_is_const(extent, &w->kernel[i]))
			w->kernel[i] = 0;
	}
	read_window(c, w);
	const Dim *dims[MaxRank] = {weight->dims[0], weight->dims[1]};
	memcpy(dims + 2, w->taps, w->spatial * sizeof *dims);
	return emit_reshape(c, c->in[1], w->spatial + 2, dims);
}

/* A product of matrices: any element type, any number of groups. */
static Value *conv_by_columns(Call *c, const Window *w, Value *x, Value *weight, Value *bias, const Dim *group)
{
	Module *m = c->m;
	const Dim *out[MaxRank], *dims[MaxRank], *inner = weight->type.dims[1], *made = divide_dims(c, weight->type.dims[0], group);
	require_equal(c, dim_mul(m, made, group), weight->type.dims[0], "output channels and groups");
	require_equal(c, dim_mul(m, inner, group), x->type.dims[1], "channels and groups");
	Value *columns = window_columns(c, w, x, out);
	const Dim *depth = dim_mul(m, inner, columns->type.dims[2]), *windows = columns->type.dims[3];
	columns = emit_reshape(c, columns, 4, (const Dim *[]){x->type.dims[0], group, depth, windows});
	Value *y = emit2(c, OpMatMul, emit_reshape(c, weight, 3, (const Dim *[]){group, made, depth}), columns);
	dims[0] = x->type.dims[0];
	dims[1] = weight->type.dims[0];
	memcpy(dims + 2, out, w->spatial * sizeof *dims);
	y = emit_reshape(c, y, w->spatial + 2, dims);
	if (!bias)
		return y;
	require_equal(c, type_numel(m, &bias->type), dims[1], "output channels and elements of the bias");
	for (int i = 0; i < w->spatial; i++)
		dims[i + 2] = num(c, 1);
	return emit2(c, OpAdd, y, emit_reshape(c, bias, w->spatial + 1, dims + 1));
}

/* Pads that are numbers belong to the operator, others are elements of the operand. */
static Value *emit_conv(Call *c, const Window *w, Value *x, Value *weight, Value *bias, const Dim *group)
{
	Module *m = c->m;
	DType t = x->type.dtype;
	int64_t pads[2 * MaxRank] = {0}, groups;
	bool known = true;
	if (!dim_is_const(group, &groups) || !is_among(t, TypesFlt))
		return conv_by_columns(c, w, x, weight, bias, group);
	for (int i = 0; i < 2 * w->spatial; i++)
		known &= dim_is_const(w->pads[i], &pads[i]);
	if (!known)
		x = pad_spatial(c, x, w->pads, scalar_of_int(t, 0));
	Attr attrs[4] = {mk_ints(m, Attr_strides, w->spatial, w->strides), mk_ints(m, Attr_dilations, w->spatial, w->dilations),
	                 mk_int(Attr_group, groups), mk_ints(m, Attr_pads, 2 * w->spatial, pads)};
	return emit(c, OpConv, bias ? 3 : 2, (Value *[]){x, weight, bias}, known ? 4 : 3, attrs, NULL);
}

static const Dim *read_group(Call *c)
{
	int64_t group = onnx_int(c, "group", 1);
	if (group < 1 || group > DimMax)
		fatal_at(c->loc, "group %lld is out of range", (long long)group);
	return num(c, group);
}

void import_conv(Call *c)
{
	Window w;
	if (import_quantised_conv(c))
		return;
	Value *weight = read_kernel(c, &w);
	read_pads(c, &w);
	c->out[0] = emit_conv(c, &w, c->in[0], weight, c->nin > 2 ? c->in[2] : NULL, read_group(c));
}

/* A convolution of each channel over the past and the operand; the last elements of both are the next call's past. */
void import_causal_conv(Call *c)
{
	Window w;
	Value *weight = read_kernel(c, &w), *x = c->in[0], *bias = c->nin > 2 ? c->in[2] : NULL, *past = c->nin > 3 ? c->in[3] : NULL;
	const Dim *len = x->type.dims[x->type.rank - 1], *reach = dim_sub(c->m, w.taps[0], num(c, 1));
	Attr axis = mk_int(Attr_axis, 2);
	if (w.spatial != 1)
		fatal_at(c->loc, "an operand of rank %d", x->type.rank);
	read_pads(c, &w);
	if (past && past->type.rank == 3)
		require_equal(c, past->type.dims[2], reach, "length of the past and taps before the current one");
	if (past)
		x = emit(c, OpConcat, 2, (Value *[]){past, x}, 1, &axis, NULL);
	else
		x = pad_spatial(c, x, (const Dim *[]){reach, num(c, 0)}, scalar_of_int(x->type.dtype, 0));
	Value *y = emit_conv(c, &w, x, weight, bias, weight->type.dims[0]);
	const char *act = onnx_text(c, "activation");
	bool plain = !act || !strcmp(act, "none");
	if (!plain && strcmp(act, "silu") && strcmp(act, "swish"))
		refuse_at(c->loc, "attribute 'activation' = %s is not supported", act);
	c->out[0] = plain ? y : emit1(c, OpSilu, y);
	if (c->nout > 1)
		c->out[1] = emit_range(c, x, 2, len, reach, 1);
}

/* ---- transposed convolution ------------------------------------------------------------------------------------ */

/* Element q of an output axis sums x[i] * w[k] over i * stride + k * dilation = q.  Written as k = stride * t + phase, that is
 * for each phase a convolution with the taps t, backwards: all phases are channels of one convolution, and then elements
 * side by side.  The channels of a phase are neighbours, so that they stay so where channels come last; but by groups the phases of a channel.  With constant weights all of this but the convolution and the last transpose is done at compile time.
 * Along an axis whose phases would not share taps evenly (a dilation, a stride so wide that most phases have none, taps whose number is
 * symbolic) zeros go between the elements of x. */
enum {
	MaxPhases = 64, /* of an axis, where windows do not meet */
	MostPhases = 1 << 24 /* of all axes */
};

typedef struct Transposed {
	Call *c;
	Window w; /* of the operator */
	Window conv; /* of the convolution: stride 1 */
	const Dim *group;
	int64_t split[MaxRank], phases; /* of an axis, and of all */
	const Dim *lead[MaxRank]; /* blocks of `split` elements that the convolution makes before element 0 */
	const Dim *start[MaxRank], *out[MaxRank]; /* which elements are the result */
	int nsplit; /* axes with more than one phase */
	bool outside; /* phases before channels */
} Transposed;

/* `after` zeros behind an axis */
static Value *pad_axis(Call *c, Value *x, int axis, int64_t after)
{
	const Dim *pads[2 * MaxRank];
	int rank = x->type.rank;
	for (int i = 0; i < 2 * rank; i++)
		pads[i] = num(c, i == rank + axis ? after : 0);
	Attr a = mk_dims(c->m, Attr_pads_dim, 2 * rank, pads);
	return after ? emit(c, OpPad, 1, &x, 1, &a, NULL) : x;
}

/* by - 1 zeros behind each element of an axis */
static Value *spread_axis(Call *c, Value *x, int axis, int64_t by)
{
	const Dim *dims[MaxRank], *const *d = x->type.dims;
	int rank = x->type.rank;
	for (int i = 0; i < rank; i++)
		dims[i] = i == axis ? dim_mul_const(c->m, d[i], by) : d[i];
	const Dim *apart[4] = {product(c->m, d, axis), d[axis], num(c, 1), product(c->m, d + axis + 1, rank - axis - 1)};
	return emit_reshape(c, pad_axis(c, emit_reshape(c, x, 4, apart), 2, by - 1), rank, dims);
}

/* [groups * C, M, k..] -> [groups * M, C, k..] */
static Value *swap_channels(Transposed *t, Value *w)
{
	Call *c = t->c;
	const Dim *const *d = w->type.dims, *g = t->group, *dims[MaxRank];
	int rank = w->type.rank;
	const Dim *depth = divide_dims(c, d[0], g), *taps = product(c->m, d + 2, rank - 2);
	require_equal(c, dim_mul(c->m, depth, g), d[0], "channels and groups");
	memcpy(dims, d, sizeof dims);
	dims[0] = dim_mul(c->m, g, d[1]);
	dims[1] = depth;
	w = emit_reshape(c, w, 4, (const Dim *[]){g, depth, d[1], taps});
	return emit_reshape(c, emit_transpose(c, w, (const int[]){0, 2, 1, 3}), rank, dims);
}

/* [M, C, k..] -> [M * phases or phases * M, C, taps..], taps backwards */
static Value *split_phases(Transposed *t, Value *w)
{
	Call *c = t->c;
	int spatial = t->w.spatial, perm[MaxRank] = {0} /* M, where nothing else is */, at = 2, phase = !t->outside, tap = t->nsplit + 2;
	const Dim *apart[MaxRank] = {w->type.dims[0], w->type.dims[1]}, *dims[MaxRank];
	perm[t->nsplit + 1] = 1;
	dims[0] = dim_mul_const(c->m, w->type.dims[0], t->phases);
	dims[1] = w->type.dims[1];
	for (int i = 0; i < spatial; i++) {
		int64_t split = t->split[i], taps = t->conv.kernel[i];
		if (split > 1)
			w = pad_axis(c, w, i + 2, taps * split - t->w.kernel[i]);
		perm[tap++] = at;
		apart[at++] = dims[i + 2] = t->conv.taps[i];
		if (split > 1) {
			perm[phase++] = at;
			apart[at++] = num(c, split);
		}
	}
	w = emit_reshape(c, emit_transpose(c, emit_reshape(c, w, at, apart), perm), spatial + 2, dims);
	for (int i = 0; i < spatial; i++)
		if (t->conv.kernel[i] != 1)
			w = emit_range(c, w, i + 2, dim_sub(c->m, dims[i + 2], num(c, 1)), dims[i + 2], -1);
	return w;
}

/* [N, M * phases or phases * M, n..] -> [N, M, n * stride..] */
static Value *join_phases(Transposed *t, Value *y, const Dim *channels)
{
	Call *c = t->c;
	int spatial = t->w.spatial, channel = t->outside ? 1 + t->nsplit : 1, perm[MaxRank] = {0, channel}, at = 2, phase = t->outside ? 1 : 2;
	const Dim *apart[MaxRank] = {y->type.dims[0]}, *dims[MaxRank] = {y->type.dims[0], channels};
	apart[channel] = channels;
	for (int i = 0; i < spatial; i++) {
		int64_t split = t->split[i];
		const Dim *n = y->type.dims[i + 2];
		dims[i + 2] = dim_mul_const(c->m, n, split);
		apart[t->nsplit + 2 + i] = n;
		perm[at++] = t->nsplit + 2 + i;
		if (split > 1) {
			apart[phase] = num(c, split);
			perm[at++] = phase++;
		}
	}
	return emit_reshape(c, emit_transpose(c, emit_reshape(c, y, at, apart), perm), spatial + 2, dims);
}

/* The result's extents, and where it begins among all elements that the taps reach. */
static void transposed_extents(Transposed *t)
{
	Call *c = t->c;
	Module *m = c->m;
	const Window *w = &t->w;
	int spatial = w->spatial;
	int64_t more[MaxRank], shape[MaxRank];
	bool stated = has_attr(c, "output_shape"), upper = onnx_word(c, "auto_pad", "SAME_UPPER");
	read_ints(c, "output_padding", spatial, 0, 0, more);
	read_ints(c, "output_shape", spatial, 0, 0, shape);
	for (int i = 0; i < spatial; i++) {
		const Dim *extent = c->in[0]->type.dims[i + 2], *stride = num(c, w->strides[i]);
		const Dim *all = dim_mul(m, dim_sub(m, extent, num(c, 1)), stride);
		all = dim_add(m, all, dim_add(m, num(c, more[i]), window_span(c, w, i)));
		t->out[i] = stated ? num(c, shape[i]) : dim_mul(m, extent, stride);
		const Dim *total = dim_sub(m, all, t->out[i]), *half = dim_floordiv(m, total, num(c, 2)); /* may be negative */
		t->start[i] = name_dim(m, upper ? half : dim_sub(m, total, half));
		if (stated || w->same)
			continue;
		t->start[i] = w->pads[i];
		t->out[i] = dim_sub(m, dim_sub(m, all, w->pads[i]), w->pads[spatial + i]);
	}
}

/* The convolution of x gives the blocks that hold the result; those without any tap are padding. */
static void transposed_window(Transposed *t, const Value *x)
{
	Call *c = t->c;
	Module *m = c->m;
	t->conv = (Window){.spatial = t->w.spatial};
	for (int i = 0; i < t->w.spatial; i++) {
		int64_t split = t->split[i];
		t->lead[i] = dim_ceildiv(m, dim_max(m, dim_mul_const(m, t->start[i], -1), num(c, 0)), num(c, split));
		t->conv.kernel[i] = t->w.kernel[i] ? (t->w.kernel[i] - 1) / split + 1 : 0;
		t->conv.taps[i] = t->w.kernel[i] ? num(c, t->conv.kernel[i]) : t->w.taps[i];
		t->conv.strides[i] = 1;
		t->conv.dilations[i] = split > 1 ? 1 : t->w.dilations[i];
		const Dim *reach = dim_sub(m, window_span(c, &t->conv, i), num(c, 1));
		const Dim *end = dim_ceildiv(m, dim_add(m, t->start[i], t->out[i]), num(c, split));
		const Dim *tail = dim_max(m, dim_sub(m, end, dim_add(m, x->type.dims[i + 2], reach)), num(c, 0));
		t->conv.pads[i] = name_dim(m, dim_add(m, reach, t->lead[i]));
		t->conv.pads[t->w.spatial + i] = name_dim(m, dim_add(m, reach, tail));
	}
}

/* Chooses between phases and zeros for each axis; x with the zeros. */
static Value *split_axes(Transposed *t, Value *x)
{
	for (int i = 0; i < t->w.spatial; i++) {
		int64_t stride = t->w.strides[i];
		bool phases = t->w.kernel[i] && (stride <= MaxPhases || stride <= t->w.kernel[i]) && stride <= MostPhases / t->phases && (t->w.dilations[i] == 1 || t->w.kernel[i] == 1);
		t->split[i] = phases ? stride : 1;
		t->phases *= t->split[i];
		t->nsplit += t->split[i] > 1;
		if (!phases)
			x = spread_axis(t->c, x, i + 2, stride);
	}
	if (t->w.spatial + t->nsplit + 2 > MaxRank)
		refuse_at(t->c->loc, "not supported: strides along %d axes", t->nsplit);
	return x;
}

static Value *repeat_bias(Transposed *t, Value *bias)
{
	Call *c = t->c;
	if (!bias || t->phases == 1)
		return bias;
	if (bias->type.rank != 1)
		fatal_at(c->loc, "the bias has rank %d", bias->type.rank);
	const Dim *n = bias->type.dims[0], *wide[2], *one[2], *flat = dim_mul_const(c->m, n, t->phases);
	wide[t->outside] = one[t->outside] = n;
	wide[!t->outside] = num(c, t->phases);
	one[!t->outside] = num(c, 1);
	return emit_reshape(c, emit_expand(c, emit_reshape(c, bias, 2, one), 2, wide), 1, &flat);
}

/* With start and out set. */
static Value *transpose_conv(Transposed *t, Value *x, Value *w, Value *bias)
{
	Call *c = t->c;
	t->outside = dim_equals(t->group, 1);
	x = split_axes(t, x);
	w = swap_channels(t, w);
	transposed_window(t, x);
	const Dim *channels = w->type.dims[0];
	Value *y = emit_conv(c, &t->conv, x, split_phases(t, w), repeat_bias(t, bias), t->group);
	y = join_phases(t, y, channels);
	for (int i = 0; i < t->w.spatial; i++)
		y = emit_range(c, y, i + 2, dim_add(c->m, t->start[i], dim_mul_const(c->m, t->lead[i], t->split[i])), t->out[i], 1);
	return y;
}

void import_conv_transpose(Call *c)
{
	Transposed t = {.c = c, .group = read_group(c), .phases = 1};
	Value *w = read_kernel(c, &t.w);
	read_pads(c, &t.w);
	transposed_extents(&t);
	c->out[0] = transpose_conv(&t, c->in[0], w, c->nin > 2 ? c->in[2] : NULL);
}

/* ---- columns to an image --------------------------------------------------------------------------------------- */

/* Blocks are summed where they overlap: a transposed convolution in which tap k takes channel k. */
void import_col2im(Call *c)
{
	Module *m = c->m;
	Transposed t = {.c = c, .group = num(c, 1), .phases = 1};
	Window *w = &t.w;
	Value *x = c->in[0];
	const Dim *image[MaxRank], *taps = num(c, 1), *dims[MaxRank], *shape[MaxRank];
	w->spatial = need_dims(c, 1, "image_shape", image, MaxRank - 2);
	if (need_dims(c, 2, "block_shape", w->taps, MaxRank - 2) != w->spatial || w->spatial < 1 || x->type.rank != 3)
		fatal_at(c->loc, "an operand of rank %d, and shapes of %d axes", x->type.rank, w->spatial);
	for (int i = 0; i < w->spatial; i++) {
		require_at_least(c, w->taps[i], 1);
		require_at_least(c, image[i], 0);
		if (dim_is_const(w->taps[i], &w->kernel[i]) && w->kernel[i] > MaxPhases)
			refuse_at(c->loc, "not supported: a block of %lld elements", (long long)w->kernel[i]);
		taps = dim_mul(m, taps, w->taps[i]);
		shape[i + 2] = w->taps[i];
	}
	read_window(c, w);
	read_pads(c, w);
	const Dim *channels = divide_dims(c, x->type.dims[1], taps), *planes = dim_mul(m, x->type.dims[0], channels);
	require_equal(c, dim_mul(m, channels, taps), x->type.dims[1], "channels and elements of a block");
	dims[0] = planes;
	dims[1] = shape[0] = taps;
	shape[1] = num(c, 1);
	for (int i = 0; i < w->spatial; i++) {
		dims[i + 2] = count_windows(c, w, i, image[i]);
		require_at_least(c, dims[i + 2], 0);
		t.start[i] = w->pads[i];
		t.out[i] = image[i];
	}
	Value *unit = emit2(c, OpEq, count_along(c, taps, 2, 0), count_along(c, taps, 2, 1));
	unit = emit_reshape(c, emit_cast(c, unit, x->type.dtype), w->spatial + 2, shape);
	Value *y = transpose_conv(&t, emit_reshape(c, x, w->spatial + 2, dims), unit, NULL);
	dims[0] = x->type.dims[0];
	dims[1] = channels;
	for (int i = 0; i < w->spatial; i++)
		dims[i + 2] = image[i];
	c->out[0] = emit_reshape(c, y, w->spatial + 2, dims);
}
