/* fuse_conv.c - convolutions with constant weights: those by groups get their channels last, and
 * a plain one is a linear over overlapping windows:
 *
 *   conv(x, w, b)  ->  transpose(linear(reshape(view(pad(transpose(x)))), w', b))
 *
 * Channels go last; the window of an output is then taps x channels, of which the innermost tap axis and the channels lie
 * side by side in memory, so one dimension needs no im2col at all.  The view is read while rows are packed.  What a
 * linear gets, convolution gets: packed weights, epilogues (pass_tidy moves the transpose behind them), threads.
 * One to few outputs (of a group, too), for which most lanes of vectors would be empty, keeps its channels first: its vectors run along the last
 * axis (lower_conv.c).  With a stride there, x is parted into the elements that each first tap meets, as channels of their own.
 * Groups of many channels and outputs each are convolutions of their own.
 * Of three axes, the first with one tap, it is one of two axes and a larger batch.
 * Of 3 by 3 taps, stride 1, Winograd's transforms need a half to a quarter of the products, where that outweighs them; sums of integers stay exact.
 */
#include <string.h>

#include "idioms.h"
#include "../ir/winograd.h"

/* Of a depthwise convolution, of a group: fewer fill too little of a vector. */
enum { MinChannels = 8, MinOutputs = 4 };

typedef struct Conv {
	Module *m;
	Node *n;
	int sp; /* spatial axes */
	int64_t stride[MaxRank], dilation[MaxRank], before[MaxRank], after[MaxRank];
} Conv;

static Value *transpose(Conv *c, Value *x, int rank, const int64_t *perm)
{
	Attr a = mk_ints(c->m, Attr_perm, rank, perm);
	return build(c->m, c->n->block, c->n, OpTranspose, c->n->loc, 1, &x, 1, &a, NULL);
}

static Value *reshape(Conv *c, Value *x, const Type *t)
{
	return build(c->m, c->n->block, c->n, OpReshape, c->n->loc, 1, &x, 0, NULL, t);
}

/* Axis `from` goes to `to`, the others keep their order. */
static Value *move_axis(Conv *c, Value *x, int from, int to)
{
	int64_t perm[MaxRank];
	int rank = x->type.rank;
	for (int d = 0, next = 0; d < rank; d++) {
		next += next == from;
		perm[d] = d == to ? from : next++;
	}
	return transpose(c, x, rank, perm);
}

/* Its part of that type, which begins at `from` of the axis. */
static Value *cut(Conv *c, Value *x, int axis, int64_t from, const Type *t)
{
	const Dim *starts[MaxRank];
	for (int d = 0; d < t->rank; d++)
		starts[d] = dim_const(c->m, d == axis ? from : 0);
	Attr a = mk_dims(c->m, Attr_starts, t->rank, starts);
	return build(c->m, c->n->block, c->n, OpSlice, c->n->loc, 1, &x, 1, &a, t);
}

static void read_conv(Conv *c)
{
	const int64_t *strides, *dilations, *pads;
	int ns = attr_ints(c->n, Attr_strides, &strides), nd = attr_ints(c->n, Attr_dilations, &dilations);
	int np = attr_ints(c->n, Attr_pads, &pads);
	for (int d = 0; d < c->sp; d++) {
		c->stride[d] = ns ? strides[d] : 1;
		c->dilation[d] = nd ? dilations[d] : 1;
		c->before[d] = np ? pads[d] : 0;
		c->after[d] = np ? pads[c->sp + d] : 0;
	}
}

static Value *pad(Conv *c, Value *x)
{
	const Dim *pads[2 * MaxRank];
	int rank = c->sp + 2;
	bool any = false;
	for (int d = 0; d < rank; d++) {
		bool spatial = d > 0 && d < rank - 1;
		pads[d] = dim_const(c->m, spatial ? c->before[d - 1] : 0);
		pads[rank + d] = dim_const(c->m, spatial ? c->after[d - 1] : 0);
		any |= spatial && (c->before[d - 1] || c->after[d - 1]);
	}
	Attr a = mk_dims(c->m, Attr_pads_dim, 2 * rank, pads);
	return any ? build(c->m, c->n->block, c->n, OpPad, c->n->loc, 1, &x, 1, &a, NULL) : x;
}

/* [batch, out.., taps.., channels] of a padded [batch, in.., channels]. */
static Value *windows(Conv *c, Value *x)
{
	Module *m = c->m;
	const Type *w = &c->n->in[1]->type, *y = &c->n->out[0]->type;
	int sp = c->sp;
	Type t = {.dtype = F32, .rank = 2 * sp + 2};
	const Dim *strides[MaxRank], *step = x->type.dims[sp + 1];
	t.dims[0] = y->dims[0];
	t.dims[2 * sp + 1] = x->type.dims[sp + 1];
	strides[2 * sp + 1] = dim_const(m, 1);
	for (int d = sp - 1; d >= 0; d--) {
		t.dims[1 + d] = y->dims[2 + d];
		t.dims[1 + sp + d] = w->dims[2 + d];
		strides[1 + d] = dim_mul_const(m, step, c->stride[d]);
		strides[1 + sp + d] = dim_mul_const(m, step, c->dilation[d]);
		step = dim_mul(m, step, x->type.dims[1 + d]);
	}
	strides[0] = step;
	Attr a = mk_dims(m, Attr_strides_dim, t.rank, strides);
	Value *v = build(m, c->n->block, c->n, OpView, c->n->loc, 1, &x, 1, &a, &t);
	Type rows = {.dtype = F32, .rank = sp + 2};
	const Dim *depth = dim_const(m, 1);
	for (int d = 0; d <= sp; d++)
		rows.dims[d] = t.dims[d];
	for (int d = sp + 1; d < t.rank; d++)
		depth = dim_mul(m, depth, t.dims[d]);
	rows.dims[sp + 1] = depth;
	return reshape(c, v, &rows);
}

enum { MostAxes = (MaxRank - 2) / 2 /* of which a view of windows has two each */ };
enum { LargeMap = 32 /* outputs along an axis whose extent is not known */ };

enum {
	MostFew = 8, /* outputs, of a group: of more, a vector of 16 is well filled */
	LeastTaps = 3, /* for each element of x, which may have to be copied to get its channels first */
	Chains = 4, /* sums that a core needs side by side */
	Long = 1 << 20 /* outputs along an axis: more are as good */
};

/* Is there no stride along the last axis, or one that part_strides() takes away? */
static bool has_no_gaps(const Conv *c)
{
	const int last = c->sp - 1;
	int64_t taps;
	return c->stride[last] == 1 || (attr_int(c->n, Attr_group) == 1 && c->dilation[last] == 1 && dim_is_const(c->n->in[1]->type.dims[2 + last], &taps) && taps % c->stride[last] == 0);
}

/* Do vectors along the last axis need far fewer operations than vectors of outputs?  By the layer's shape alone. */
static bool has_few_outputs(const Conv *c)
{
	const Type *w = &c->n->in[1]->type, *y = &c->n->out[0]->type;
	int64_t outputs, length = LargeMap, taps = 1, extent;

	if (!dim_is_const(w->dims[0], &outputs))
		return false;
	outputs /= attr_int(c->n, Attr_group);
	if (outputs < 1 || outputs > MostFew || !has_no_gaps(c))
		return false;
	for (int d = 0; d < c->sp; d++)
		taps *= dim_is_const(w->dims[2 + d], &extent) && taps < LeastTaps ? extent : 1;
	dim_is_const(y->dims[y->rank - 1], &length);
	length = length < Long ? length : Long;
	int64_t sums = (length + Lanes - 1) / Lanes * outputs;
	return taps >= LeastTaps && 3 * (sums < Chains ? Chains : sums) <= 2 * length;
}

/* Where the first of three axes or more has one tap, so that each of its elements is convolved by itself (frames of a video, in the spatial half
 * of R(2+1)D), it is part of the batch; with channels last the two lie side by side. */
static bool join_batch(Conv *c)
{
	Module *m = c->m;
	Node *n = c->n;

	const int64_t group = attr_int(n, Attr_group);

	if (c->sp < 3 || !dim_equals(n->in[1]->type.dims[2], 1) || c->stride[0] != 1 || c->before[0] || c->after[0] ||
	    !allow(group == 1 ? "conv" : "group_conv"))
		return false;
	const int rank = c->sp + 1, left = c->sp - 1;
	Value *x = move_axis(c, n->in[0], 2, 1);
	const Type *frames = &x->type, *w = &n->in[1]->type, *old = &n->out[0]->type;
	Type flat = {.dtype = F32, .rank = rank}, taps = flat, apart = *old;
	flat.dims[0] = dim_mul(m, frames->dims[0], frames->dims[1]);
	taps.dims[0] = w->dims[0];
	for (int d = 1; d < rank; d++) {
		flat.dims[d] = frames->dims[d + 1];
		taps.dims[d] = w->dims[d == 1 ? 1 : d + 1];
	}
	int64_t pads[2 * MaxRank];
	for (int d = 0; d < left; d++) {
		pads[d] = c->before[d + 1];
		pads[left + d] = c->after[d + 1];
	}
	Attr attrs[] = {mk_ints(m, Attr_strides, left, c->stride + 1), mk_ints(m, Attr_dilations, left, c->dilation + 1),
	                mk_ints(m, Attr_pads, 2 * left, pads), mk_int(Attr_group, group)};
	Value *in[] = {reshape(c, x, &flat), reshape(c, n->in[1], &taps), n->in[2]};
	Value *y = build(m, n->block, n, OpConv, n->loc, 3, in, 4, attrs, NULL);
	apart.dims[1] = old->dims[2];
	apart.dims[2] = old->dims[1];
	replace_uses(m, n->out[0], move_axis(c, reshape(c, y, &apart), 1, 2));
	fuse_conv(m, y->def);
	return true;
}

enum {
	MostParts = 64,
	LeastPart = 16, /* channels and outputs of a group */
	LeastProducts = 1 << 19 /* of one: fewer take no longer than the steps around them */
};

/* Do groups fill products of their own?  By the layer's shape alone. */
static bool is_worth_parting(const Conv *c, int64_t channels, int64_t outputs)
{
	const Type *w = &c->n->in[1]->type, *y = &c->n->out[0]->type;
	double products = (double)channels * (double)outputs;
	int64_t extent;

	for (int d = 2; d < c->sp + 2; d++) {
		products *= dim_is_const(y->dims[d], &extent) ? (double)extent : LargeMap;
		products *= dim_is_const(w->dims[d], &extent) ? (double)extent : 1;
	}
	return attr_int(c->n, Attr_group) <= MostParts && channels >= LeastPart && outputs >= LeastPart && products >= LeastProducts;
}

/* Each group is a convolution of its own, of a part of the channels. */
static bool part_groups(Conv *c)
{
	Module *m = c->m;
	Node *n = c->n;
	const int group = (int)attr_int(n, Attr_group), last = c->sp + 1;
	Type taps = n->in[1]->type;
	int64_t outputs, channels, pads[2 * MaxRank];

	if (c->sp > MostAxes || !dim_is_const(taps.dims[0], &outputs) || !dim_is_const(taps.dims[1], &channels) ||
	    !is_worth_parting(c, channels, outputs / group) || !allow("conv"))
		return false;
	outputs /= group;
	memcpy(pads, c->before, (size_t)c->sp * sizeof *pads);
	memcpy(pads + c->sp, c->after, (size_t)c->sp * sizeof *pads);
	const Attr attrs[] = {mk_ints(m, Attr_strides, c->sp, c->stride), mk_ints(m, Attr_dilations, c->sp, c->dilation), mk_ints(m, Attr_pads, 2 * c->sp, pads)};
	Value *x = move_axis(c, n->in[0], 1, last), *y[MostParts];
	Type xt = x->type, bias = {.dtype = F32, .rank = 1, .dims = {dim_const(m, outputs)}};
	xt.dims[last] = dim_const(m, channels);
	taps.dims[0] = dim_const(m, outputs);
	for (int g = 0; g < group; g++) {
		Value *in[] = {move_axis(c, cut(c, x, last, g * channels, &xt), last, 1), cut(c, n->in[1], 0, g * outputs, &taps), NULL};
		if (n->in[2])
			in[2] = cut(c, n->in[2], 0, g * outputs, &bias);
		y[g] = build(m, n->block, n, OpConv, n->loc, 3, in, 3, attrs, NULL);
	}
	Value *parts[MostParts];
	for (int g = 0; g < group; g++)
		parts[g] = move_axis(c, y[g], 1, last);
	const Attr axis = mk_int(Attr_axis, last);
	replace_uses(m, n->out[0], move_axis(c, build(m, n->block, n, OpConcat, n->loc, group, parts, 1, &axis, NULL), last, 1));
	for (int g = 0; g < group; g++)
		fuse_conv(m, y[g]->def);
	return true;
}

/* By groups: channels last, as the products before and behind have them; vectors run across the outputs. */
static bool fuse_groups(Conv *c)
{
	Module *m = c->m;
	Node *n = c->n;
	const Type *w = &n->in[1]->type;
	int64_t outs, group = attr_int(n, Attr_group);
	bool depthwise = dim_equals(w->dims[1], 1) && dim_equals(w->dims[0], group);

	if (!dim_is_const(w->dims[0], &outs) || (depthwise ? outs < MinChannels : outs / group < MinOutputs))
		return false;
	const bool few = !depthwise && has_few_outputs(c);
	if (!few && (part_groups(c) || join_batch(c)))
		return true;
	if (!allow("group_conv"))
		return false;
	if (few) {
		report_match("conv of few outputs", n->loc);
		return false;
	}
	Value *taps = move_axis(c, move_axis(c, n->in[1], 0, c->sp + 1), 0, c->sp); /* taps.., channels, outputs */
	Value *in[] = {move_axis(c, n->in[0], 1, c->sp + 1), taps, n->in[2]};
	Value *y = build(m, n->block, n, OpGroupConv, n->loc, n->nin, in, n->nattr, n->attrs, NULL);
	replace_uses(m, n->out[0], move_axis(c, y, c->sp + 1, 1));
	report_match("group_conv", n->loc);
	return true;
}

enum {
	LeastWinograd = 16, /* channels and outputs */
	WeightRows = 8 /* what reading a weight takes, in products of it */
};

/* Vector operations for each tile and 16 channels or outputs: both axes of the transform, loads and stores. */
static double transform_cost(const Winograd *w, bool in)
{
	double once = in ? 4 * w->pairs + 4 : 5 * w->pairs + 2;
	return once * (w->size + (in ? w->size : (double)w->tile)) + 3.0 * w->size * w->size;
}

/* The tile that takes the least time, by the layer's shape alone; 0: the direct sum does.  In products of each channel with each output. */
static int64_t winograd_tile(Conv *c)
{
	const Type *w = &c->n->in[1]->type, *y = &c->n->out[0]->type;
	int64_t outputs, channels, extent[2], best = 0;
	Winograd form;

	if (c->sp != 2 || !dim_is_const(w->dims[0], &outputs) || !dim_is_const(w->dims[1], &channels) || outputs < LeastWinograd ||
	    channels < LeastWinograd)
		return 0;
	for (int d = 0; d < 2; d++) {
		if (!dim_equals(w->dims[2 + d], WinogradTaps) || c->stride[d] != 1 || c->dilation[d] != 1)
			return 0;
		if (!dim_is_const(y->dims[2 + d], &extent[d]))
			extent[d] = LargeMap;
	}
	double least = 0.85 * WinogradTaps * WinogradTaps * ((double)extent[0] * (double)extent[1] + WeightRows);
	for (int64_t tile = 2; winograd_of(tile, &form); tile += 2) {
		double tiles = (double)((extent[0] + tile - 1) / tile) * (double)((extent[1] + tile - 1) / tile);
		double transforms = transform_cost(&form, true) / (double)outputs + transform_cost(&form, false) / (double)channels;
		double cost = form.size * form.size * (tiles + WeightRows) + tiles * transforms;
		if (cost < least) {
			least = cost;
			best = tile;
		}
	}
	return best;
}

static bool fuse_winograd(Conv *c)
{
	Module *m = c->m;
	Node *n = c->n;
	int64_t tile = winograd_tile(c);
	const Type *old = &n->out[0]->type;
	const int64_t pads[] = {c->before[0], c->before[1], c->after[0], c->after[1]};

	if (!tile || (pass_options() && pass_options()->exact_conv) || holds_integers(n->in[1]) || !allow("winograd"))
		return false;
	Attr attrs[] = {mk_int(Attr_tile, tile), mk_ints(m, Attr_pads, 4, pads)};
	Value *w = move_axis(c, move_axis(c, n->in[1], 0, 3), 0, 2); /* taps.., channels, outputs */
	w = build(m, n->block, n, OpWinogradWeights, n->loc, 1, &w, 1, attrs, NULL);
	const Dim *panels = dim_ceildiv(m, old->dims[1], dim_const(m, PanelWidth));
	const Type packed = {.dtype = F32, .rank = 3, .dims = {panels, w->type.dims[0], dim_const(m, PanelWidth)}};
	w = build(m, n->block, n, OpPack, n->loc, 1, &w, 0, NULL, &packed);
	const Type t = {.dtype = F32, .rank = 4, .dims = {old->dims[0], old->dims[2], old->dims[3], old->dims[1]}};
	Value *in[] = {move_axis(c, n->in[0], 1, 3), w, n->in[2]};
	Value *y = build(m, n->block, n, OpWinograd, n->loc, 3, in, 2, attrs, &t);
	replace_uses(m, n->out[0], move_axis(c, y, 3, 1));
	report_match(tile == 2 ? "winograd F(2x2)" : "winograd F(4x4)", n->loc);
	return true;
}

/* Axis d of t becomes two, of n / `by` and `by`. */
static void split_axis(Module *m, Type *t, int d, int64_t by)
{
	for (int e = t->rank++; e > d; e--)
		t->dims[e] = t->dims[e - 1];
	t->dims[d] = dim_floordiv(m, t->dims[d], dim_const(m, by));
	t->dims[d + 1] = dim_const(m, by);
}

/* Makes axis `from` part of the channels, of axis 1. */
static Value *into_channels(Conv *c, Value *x, int from)
{
	Value *v = move_axis(c, x, from, 2);
	Type t = v->type;
	t.dims[1] = dim_mul(c->m, t.dims[1], t.dims[2]);
	t.rank--;
	for (int d = 2; d < t.rank; d++)
		t.dims[d] = t.dims[d + 1];
	return reshape(c, v, &t);
}

/* x[.., s*q + p] as x'[p, .., q], so that taps s*k + p of x are taps k of x'. */
static bool part_strides(Conv *c)
{
	Module *m = c->m;
	Node *n = c->n;
	const Type *w = &n->in[1]->type, *y = &n->out[0]->type;
	const int last = c->sp - 1;
	const int64_t s = c->stride[last];
	int64_t taps = 0, strides[MaxRank], dilations[MaxRank];

	if (s == 1)
		return false;
	dim_is_const(w->dims[2 + last], &taps);
	const Dim *pads[2 * MaxRank];
	for (int d = 0; d < 2 * w->rank; d++) {
		int axis = d % w->rank - 2;
		pads[d] = dim_const(m, axis < 0 ? 0 : d < w->rank ? c->before[axis] : c->after[axis]);
	}
	Attr to_pad = mk_dims(m, Attr_pads_dim, 2 * w->rank, pads);
	Value *x = build(m, n->block, n, OpPad, n->loc, 1, &n->in[0], 1, &to_pad, NULL);
	Type t = x->type, tw = *w;
	const Dim *step[MaxRank];
	step[t.rank - 1] = dim_const(m, 1);
	for (int d = t.rank - 2; d >= 0; d--)
		step[d] = dim_mul(m, step[d + 1], t.dims[d + 1]);
	t.dims[t.rank - 1] = dim_mul_const(m, dim_add(m, y->dims[y->rank - 1], dim_const(m, taps / s - 1)), s); /* that windows reach */
	split_axis(m, &t, t.rank - 1, s);
	step[t.rank - 1] = dim_const(m, 1);
	step[t.rank - 2] = dim_const(m, s);
	Attr by = mk_dims(m, Attr_strides_dim, t.rank, step);
	x = build(m, n->block, n, OpView, n->loc, 1, &x, 1, &by, &t);
	split_axis(m, &tw, tw.rank - 1, s);
	for (int d = 0; d <= last; d++) {
		strides[d] = d < last ? c->stride[d] : 1;
		dilations[d] = c->dilation[d];
	}
	Attr attrs[] = {mk_ints(m, Attr_strides, c->sp, strides), mk_ints(m, Attr_dilations, c->sp, dilations)};
	Value *in[] = {into_channels(c, x, t.rank - 1), into_channels(c, reshape(c, n->in[1], &tw), tw.rank - 1), n->in[2]};
	replace_uses(m, n->out[0], build(m, n->block, n, OpConv, n->loc, 3, in, 2, attrs, NULL));
	return true;
}

bool fuse_conv(Module *m, Node *n)
{
	Conv c = {.m = m, .n = n, .sp = n->out[0]->type.rank - 2};

	if (n->op != OpConv || c.sp < 1 || !is_const(n->in[1]) || n->out[0]->type.dtype != F32)
		return false;
	read_conv(&c);
	if (attr_int(n, Attr_group) != 1)
		return fuse_groups(&c);
	if (!has_few_outputs(&c) && join_batch(&c))
		return true;
	if (c.sp > MostAxes || !allow("conv"))
		return false;
	if (fuse_winograd(&c))
		return true;
	if (has_few_outputs(&c)) {
		report_match("conv of few outputs", n->loc);
		return part_strides(&c);
	}
	Value *x = windows(&c, pad(&c, move_axis(&c, n->in[0], 1, c.sp + 1)));
	Value *w = move_axis(&c, move_axis(&c, n->in[1], 0, c.sp + 1), 0, c.sp); /* taps.., channels, outputs */
	Type matrix = {.dtype = F32, .rank = 2, .dims = {x->type.dims[c.sp + 1], n->in[1]->type.dims[0]}};
	Value *in[] = {x, reshape(&c, w, &matrix), n->in[2]};
	Value *y = build(m, n->block, n, OpLinear, n->loc, 3, in, 0, NULL, NULL);
	replace_uses(m, n->out[0], move_axis(&c, y, c.sp + 1, 1));
	report_match("conv", n->loc);
	return true;
}
