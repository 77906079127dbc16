/* eval_contract.c - what contractions mean: matrix products, convolutions, attention, and products of packed panels.
 *
 * As plain loops; sums are in double, or int64_t for integers.  Operands become arrays of those first, so that the loops do
 * not depend on the element type.  Dims that must agree are checked here again: a wrong type is a message, never a wild access.
 */
#include "bytes.h"
#include "eval.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* row[j] += sum over k of a[k * step] * b[k][j] */
static void add_row_reals(double *row, const double *a, int64_t step, const double *b, int64_t depth, int64_t cols)
{
	for (int64_t k = 0; k < depth; k++) {
		double f = a[k * step];
		for (int64_t j = 0; j < cols; j++)
			row[j] += f * b[k * cols + j];
	}
}

static void add_row_ints(int64_t *row, const int64_t *a, int64_t step, const int64_t *b, int64_t depth, int64_t cols)
{
	for (int64_t k = 0; k < depth; k++)
		for (int64_t j = 0; j < cols; j++)
			row[j] = add_int(row[j], mul_int(a[k * step], b[k * cols + j]));
}

/* One matrix product: a is rows x depth (or transposed), b depth x cols, all row-major; y gets rows x cols. */
typedef struct Product {
	int64_t rows, depth, cols;
	bool trans_a;
	int64_t a, b, y; /* first elements */
} Product;

static void multiply_reals(Tensor *y, const double *a, const double *b, const double *bias, double *row, Product p)
{
	for (int64_t i = 0; i < p.rows; i++) {
		for (int64_t j = 0; j < p.cols; j++)
			row[j] = bias ? bias[j] : 0;
		add_row_reals(row, a + p.a + i * (p.trans_a ? 1 : p.depth), p.trans_a ? p.rows : 1, b + p.b, p.depth,
		              p.cols);
		store_reals(y, p.y + i * p.cols, row, p.cols);
	}
}

static void multiply_ints(Tensor *y, const int64_t *a, const int64_t *b, const int64_t *bias, int64_t *row, Product p)
{
	for (int64_t i = 0; i < p.rows; i++) {
		for (int64_t j = 0; j < p.cols; j++)
			row[j] = bias ? bias[j] : 0;
		add_row_ints(row, a + p.a + i * (p.trans_a ? 1 : p.depth), p.trans_a ? p.rows : 1, b + p.b, p.depth,
		             p.cols);
		store_ints(y, p.y + i * p.cols, row, p.cols);
	}
}

const char *eval_linear(EvalNode *e)
{
	const Tensor *x = e->in[0], *w = e->in[1], *b = operand(e, 2);
	Product p = {.rows = count_dims(x, 0, x->rank - 1), .depth = w->dims[0], .cols = w->dims[1]};
	TRY(need_agree(e, x->dims[x->rank - 1] == p.depth && (!b || b->dims[0] == p.cols)));
	void *row = alloc_temp(e, p.cols, sizeof(double));
	if (is_real(x)) {
		const double *xs = as_reals(e, x), *ws = as_reals(e, w), *bs = b ? as_reals(e, b) : NULL;
		if (!row || !xs || !ws || (b && !bs))
			return OUT_OF_MEMORY(e);
		multiply_reals(e->out, xs, ws, bs, row, p);
	} else {
		const int64_t *xs = as_ints(e, x), *ws = as_ints(e, w), *bs = b ? as_ints(e, b) : NULL;
		if (!row || !xs || !ws || (b && !bs))
			return OUT_OF_MEMORY(e);
		multiply_ints(e->out, xs, ws, bs, row, p);
	}
	return NULL;
}

/* b with its last two axes swapped, so that its rows are contiguous along the result; elements have 8 bytes. */
static const void *swap_last_axes(EvalNode *e, const void *b, const Tensor *t)
{
	int64_t rows = t->dims[t->rank - 2], cols = t->dims[t->rank - 1], n = tensor_numel(t);
	const uint64_t *from = b;
	uint64_t *to = alloc_temp(e, n, sizeof *to);
	if (!to)
		return NULL;
	for (int64_t at = 0; at < n; at += rows * cols)
		for (int64_t i = 0; i < rows; i++)
			for (int64_t j = 0; j < cols; j++)
				to[at + j * rows + i] = from[at + i * cols + j];
	return to;
}

static Tensor batch_of(const Tensor *t)
{
	Tensor batch = *t;
	batch.rank = t->rank > 2 ? t->rank - 2 : 0;
	return batch;
}

const char *eval_matmul(EvalNode *e)
{
	const Tensor *a = e->in[0], *b = e->in[1];
	bool trans_a = attr_int(e->n, Attr_trans_a), trans_b = attr_int(e->n, Attr_trans_b), real = is_real(a);
	int64_t a_rows = a->rank > 1 ? a->dims[a->rank - 2] : 1, a_cols = a->dims[a->rank - 1];
	int64_t b_rows = b->rank > 1 ? b->dims[b->rank - 2] : b->dims[0];
	int64_t b_cols = b->rank > 1 ? b->dims[b->rank - 1] : 1;
	Product p = {.rows = trans_a ? a_cols : a_rows, .depth = trans_a ? a_rows : a_cols,
	             .cols = trans_b ? b_rows : b_cols, .trans_a = trans_a};
	Tensor space = *e->out, batch_a = batch_of(a), batch_b = batch_of(b);
	space.rank -= (a->rank > 1) + (b->rank > 1);
	Walk w;
	walk_over(&w, &space);
	bool fits = walk_add(&w, &space);
	fits = walk_add(&w, &batch_a) && fits;
	fits = walk_add(&w, &batch_b) && fits;
	TRY(need_agree(e, fits && p.depth == (trans_b ? b_cols : b_rows)));
	const void *as = real ? (const void *)as_reals(e, a) : as_ints(e, a);
	const void *bs = real ? (const void *)as_reals(e, b) : as_ints(e, b);
	void *row = alloc_temp(e, p.cols, sizeof(double));
	if (bs && trans_b)
		bs = swap_last_axes(e, bs, b);
	if (!as || !bs || !row)
		return OUT_OF_MEMORY(e);
	if (!walk_start(&w))
		return NULL;
	int inner = w.rank - 1;
	do {
		for (int64_t i = 0; i < w.dims[inner]; i++) {
			p.y = (w.off[0] + i * w.stride[0][inner]) * p.rows * p.cols;
			p.a = (w.off[1] + i * w.stride[1][inner]) * p.rows * p.depth;
			p.b = (w.off[2] + i * w.stride[2][inner]) * p.depth * p.cols;
			if (real)
				multiply_reals(e->out, as, bs, NULL, row, p);
			else
				multiply_ints(e->out, as, bs, NULL, row, p);
		}
	} while (walk_next(&w));
	return NULL;
}

typedef struct ConvShape {
	int spatial;
	int64_t in[MaxRank], out[MaxRank], taps[MaxRank], stride[MaxRank], dilation[MaxRank], before[MaxRank];
	int64_t in_numel, out_numel, taps_numel;
} ConvShape;

/* x, w: the first of their axes that are spatial; y's is x's. */
static void read_conv(const EvalNode *e, int x, int w, ConvShape *s)
{
	const int64_t *strides, *dilations, *pads;
	int nstrides = attr_ints(e->n, Attr_strides, &strides);
	int ndilations = attr_ints(e->n, Attr_dilations, &dilations);
	int npads = attr_ints(e->n, Attr_pads, &pads);
	s->spatial = e->out->rank - 2;
	s->in_numel = s->out_numel = s->taps_numel = 1;
	for (int i = 0; i < s->spatial; i++) {
		s->in[i] = e->in[0]->dims[i + x];
		s->out[i] = e->out->dims[i + x];
		s->taps[i] = e->in[1]->dims[i + w];
		s->stride[i] = nstrides ? strides[i] : 1;
		s->dilation[i] = ndilations ? dilations[i] : 1;
		s->before[i] = npads ? pads[i] : 0;
		s->in_numel *= s->in[i];
		s->out_numel *= s->out[i];
		s->taps_numel *= s->taps[i];
	}
}

/* First element of the input row that output row `row` reads with the tap at[]; false: the row is padding. */
static bool find_input_row(const ConvShape *s, const int64_t *at, int64_t row, int64_t *first)
{
	int64_t stride = s->in[s->spatial - 1];
	*first = 0;
	for (int d = s->spatial - 2; d >= 0; d--) {
		int64_t i = row % s->out[d] * s->stride[d] + at[d] * s->dilation[d] - s->before[d];
		if (i < 0 || i >= s->in[d])
			return false;
		*first += i * stride;
		stride *= s->in[d];
		row /= s->out[d];
	}
	return true;
}

/* y += weight * x, shifted by tap number `tap`; x and y are one channel each, x's elements `step` apart. */
static void add_tap(const ConvShape *s, double *y, const double *x, int64_t step, int64_t tap, double weight)
{
	int64_t at[MaxRank], first;
	int last = s->spatial - 1;
	for (int d = last; d >= 0; d--) {
		at[d] = tap % s->taps[d];
		tap /= s->taps[d];
	}
	int64_t shift = at[last] * s->dilation[last] - s->before[last], width = s->out[last];
	for (int64_t row = 0; row * width < s->out_numel; row++) {
		if (!find_input_row(s, at, row, &first))
			continue;
		for (int64_t j = 0; j < width; j++) {
			int64_t i = j * s->stride[last] + shift;
			if (i >= 0 && i < s->in[last])
				y[row * width + j] += weight * x[(first + i) * step];
		}
	}
}

/* last: channels are the last axis of x and y, and channels and outputs those of w; else x and y are [batch, channels, ..],
 * w [outputs, channels, ..]. */
static const char *convolve(EvalNode *e, bool last)
{
	const Tensor *x = e->in[0], *w = e->in[1], *b = operand(e, 2);
	int64_t group = attr_int(e->n, Attr_group), chans = x->dims[last ? x->rank - 1 : 1];
	int64_t outs = w->dims[last ? w->rank - 1 : 0], depth = w->dims[last ? w->rank - 2 : 1];
	ConvShape s;
	read_conv(e, last ? 1 : 2, last ? 0 : 2, &s);
	TRY(need_agree(e, chans == depth * group && outs % group == 0 && (!b || b->dims[0] == outs)));
	const double *xs = as_reals(e, x), *ws = as_reals(e, w), *bs = b ? as_reals(e, b) : NULL;
	double *plane = alloc_temp(e, s.out_numel, sizeof *plane), offset = e->n->op == OpGroupConv ? (double)attr_int(e->n, Attr_offset) : 0;
	if (!xs || !ws || !plane || (b && !bs))
		return OUT_OF_MEMORY(e);
	if (tensor_numel(e->out) == 0)
		return NULL;
	if (offset) {
		double *centred = alloc_temp(e, tensor_numel(x), sizeof *centred);
		if (!centred)
			return OUT_OF_MEMORY(e);
		for (int64_t i = 0; i < tensor_numel(x); i++)
			centred[i] = xs[i] - offset;
		xs = centred;
	}
	int64_t x_channel = last ? 1 : s.in_numel, x_step = last ? chans : 1, y_channel = last ? 1 : s.out_numel, y_step = last ? outs : 1;
	int64_t w_out = last ? 1 : depth * s.taps_numel, w_channel = last ? outs : s.taps_numel, w_step = last ? depth * outs : 1;
	for (int64_t nm = 0; nm < x->dims[0] * outs; nm++) {
		int64_t n = nm / outs, m = nm % outs, first = m / (outs / group) * depth;
		for (int64_t i = 0; i < s.out_numel; i++)
			plane[i] = bs ? bs[m] : 0;
		for (int64_t c = 0; c < depth; c++)
			for (int64_t tap = 0; tap < s.taps_numel; tap++)
				add_tap(&s, plane, xs + n * chans * s.in_numel + (first + c) * x_channel, x_step, tap,
				        ws[m * w_out + c * w_channel + tap * w_step]);
		for (int64_t i = 0; i < s.out_numel; i++)
			store_reals(e->out, n * outs * s.out_numel + m * y_channel + i * y_step, plane + i, 1);
	}
	return NULL;
}

const char *eval_conv(EvalNode *e)
{
	return convolve(e, false);
}

const char *eval_group_conv(EvalNode *e)
{
	return convolve(e, true);
}

/* ---- attention --------------------------------------------------------------------------------------------------- */

/* A row of the mask: key s has values[at + s * step]. */
typedef struct MaskRow {
	const double *values; /* NULL: no mask */
	int64_t at, step;
	bool choice; /* the mask is bool: keep the score or take the fill; else it is added */
	bool openly; /* without exception: NaN and -inf is NaN */
} MaskRow;

static bool mask_shows(const MaskRow *m, int64_t s)
{
	double v = m->values ? m->values[m->at + s * m->step] : 1;
	return m->choice ? v != 0 : v != -INFINITY;
}

static double masked(const MaskRow *m, int64_t s, double score, double fill)
{
	if (!mask_shows(m, s) && (m->choice || !m->openly))
		return m->choice ? fill : -INFINITY;
	return m->choice || !m->values ? score : score + m->values[m->at + s * m->step];
}

/* Scores are of the element type: beside a mask of -1e9 nothing is left of them, and what is left decides where no key is seen. */
static double rounded(double score, DType d)
{
	return d == F64 ? score : (double)(float)score;
}

static bool all_masked(const double *scores, int64_t keys)
{
	for (int64_t s = 0; s < keys; s++)
		if (scores[s] != -INFINITY)
			return false;
	return true;
}

/* Does key s lie in the window around key `at`? */
static bool in_window(const Node *n, int64_t s, int64_t at)
{
	int64_t left = attr_int(n, Attr_left), right = attr_int(n, Attr_right);
	return (left < 0 || s >= at - left) && (right < 0 || s <= at + right);
}

/* The logarithm of the sum of the exponentials of a row of scores. */
static double log_sum(const double *scores, int64_t keys)
{
	double most = -INFINITY, sum = 0;
	for (int64_t s = 0; s < keys; s++)
		most = scores[s] > most || isnan(scores[s]) ? scores[s] : most;
	for (int64_t s = 0; s < keys; s++)
		sum += exp(scores[s] - most);
	return isinf(most) ? most : most + log(sum);
}

/* Softmax of a row of scores.  A NaN, or no key at all, makes the whole row NaN, unless the attributes ask for zeros. */
static void finish_scores(const Node *n, double *scores, int64_t keys)
{
	if (attr_int(n, Attr_zero_masked) && all_masked(scores, keys))
		memset(scores, 0, keys * sizeof *scores);
	else
		softmax_row(scores, keys, 1);
	if (attr_int(n, Attr_zero_nan) && keys > 0 && isnan(scores[0]))
		memset(scores, 0, keys * sizeof *scores);
}

/* Of all batches and keys side by side: the one that is key s of batch b of queries. */
static int64_t key_row(const Chunks *c, int64_t b, int64_t s, int64_t part)
{
	return (b / c->n * c->of + (b % c->n + c->shift[s / part]) % c->of) * part + s % part;
}

const char *eval_attention(EvalNode *e)
{
	const Tensor *q = e->in[0], *k = e->in[1], *v = e->in[2], *mask = operand(e, 3);
	int64_t batch = q->dims[0], rows = q->dims[1], heads = q->dims[2], width = q->dims[3];
	const Chunks c = attention_chunks(e->n);
	int64_t part = k->dims[1], keys = part * c.parts, kv_heads = k->dims[2], out_width = v->dims[3], lse = attr_int(e->n, Attr_lse) != 0;
	double scale = attr_float(e->n, Attr_scale), softcap = attr_float(e->n, Attr_softcap);
	bool openly = e->out->dtype == F64; /* as products, where 0 times NaN is NaN */
	Tensor space = {.rank = 4, .dims = {batch, heads, rows, keys}};
	Walk w;
	walk_over(&w, &space);
	TRY(need_agree(e, (!mask || walk_add(&w, mask)) && batch % c.n == 0 && k->dims[0] % c.of == 0
	                      && batch / c.n == k->dims[0] / c.of && v->dims[0] == k->dims[0]
	                      && v->dims[1] == part && v->dims[2] == kv_heads && k->dims[3] == width
	                      && (heads == 0 || (kv_heads > 0 && heads % kv_heads == 0))));
	const double *qs = as_reals(e, q), *ks = as_reals(e, k), *vs = as_reals(e, v);
	const double *ms = mask ? as_reals(e, mask) : NULL;
	MaskRow row = {.values = ms, .step = mask ? w.stride[0][3] : 0, .choice = mask && mask->dtype == Bool, .openly = openly};
	double *scores = alloc_temp(e, keys, sizeof *scores), *y = alloc_temp(e, out_width + lse, sizeof *y);
	if (!qs || !ks || !vs || (mask && !ms) || !scores || !y)
		return OUT_OF_MEMORY(e);
	for (int64_t bth = 0; bth < batch * rows * heads; bth++) {
		int64_t h = bth % heads, t = bth / heads % rows, b = bth / heads / rows, kv = h / (heads / kv_heads);
		for (int64_t s = 0; s < keys; s++) {
			const double *key = ks + (key_row(&c, b, s, part) * kv_heads + kv) * width;
			double dot = 0;
			for (int64_t r = 0; r < width; r++)
				dot += qs[bth * width + r] * key[r];
			scores[s] = rounded(softcap ? softcap * tanh(dot * scale / softcap) : dot * scale, e->out->dtype);
		}
		if (mask)
			row.at = b * w.stride[0][0] + h * w.stride[0][1] + t * w.stride[0][2];
		for (int64_t s = 0; s < keys; s++)
			scores[s] = in_window(e->n, s, t + (keys - rows)) ? rounded(masked(&row, s, scores[s], attr_float(e->n, Attr_fill)), e->out->dtype) : -INFINITY;
		double logarithm = log_sum(scores, keys);
		finish_scores(e->n, scores, keys);
		if (lse && isfinite(logarithm)) { /* probabilities are made of the logarithm as it is stored */
			const double change = exp(logarithm - rounded(logarithm, e->out->dtype));
			for (int64_t s = 0; s < keys; s++)
				scores[s] *= change;
		}
		memset(y, 0, out_width * sizeof *y);
		for (int64_t s = 0; s < keys; s++) { /* 0 times a value that is not seen is 0, whatever it is; a row of NaN is NaN */
			bool seen = in_window(e->n, s, t + (keys - rows)) && mask_shows(&row, s);
			for (int64_t r = 0; r < out_width && (openly || seen || !(scores[s] < FLT_MIN)); r++)
				y[r] += scores[s] * vs[(key_row(&c, b, s, part) * kv_heads + kv) * out_width + r];
		}
		if (lse)
			y[out_width] = logarithm;
		store_reals(e->out, bth * (out_width + lse), y, out_width + lse);
	}
	return NULL;
}

/* As linear of integers, on the panels that eval_pack_bytes makes. */
const char *eval_linear_bytes(EvalNode *e)
{
	const Tensor *x = e->in[0], *w = e->in[1];
	const int outer = x->rank - (int)attr_int(e->n, Attr_inner);
	const int64_t rows = count_dims(x, 0, outer), depth = count_dims(x, outer, x->rank), groups = byte_groups(depth);
	const int64_t cols = e->out->dims[e->out->rank - 1];
	const uint8_t *from = x->data;
	const int8_t *ws = w->data;
	int32_t *y = e->out->data;
	TRY(need_agree(e, w->dims[1] == groups && w->dims[2] == PanelWidth && w->dims[0] == (cols + PanelWidth - 1) / PanelWidth));
	for (int64_t r = 0; r < rows; r++, from += depth)
		for (int64_t n = 0; n < cols; n++) {
			int64_t sum = 0;
			for (int64_t g = 0; g < groups; g++)
				for (int i = 0; i < BytesOfGroup; i++) {
					int64_t k = byte_step(depth, g, i), at = (n / PanelWidth * groups + g) * PanelWidth + n % PanelWidth;
					sum += k < 0 ? 0 : from[k] * ws[at * BytesOfGroup + i];
				}
			*y++ = (int32_t)sum;
		}
	return NULL;
}

/* ---- packed panels, and matrices that an operand chooses among ------------------------------------------------- */

/* Of panels whose elements are scaled. */
typedef struct Scales {
	const double *scale, *zero; /* zero NULL: there is none */
	int64_t block, rows; /* of a panel */
	double offset;
	bool halves;
} Scales;

/* Column c of step k of a panel, of which there are `depth`: as a kernel computes it in f32. */
static double scaled_element(const double *w, const Scales *s, int64_t panel, int64_t depth, int64_t k, int64_t c)
{
	const int64_t row = panel * depth + k, at = (panel * s->rows + k / s->block) * PanelWidth + c;
	double v = s->halves ? w[row * HalfWidth + c % HalfWidth] : w[row * PanelWidth + c];
	if (s->halves)
		v = (int64_t)v >> (c < HalfWidth ? 0 : 4) & 15;
	v = rounded(v - s->offset - (s->zero ? s->zero[at] : 0), F32);
	return rounded(v * s->scale[at], F32);
}

typedef struct Panels { /* of a matrix of `cols` columns */
	int64_t depth, cols, count;
	int parts;
	const Scales *scales; /* NULL: they hold the matrix itself */
} Panels;

/* The matrix that the panels from number `first` on hold. */
static void unpack_panels(const Panels *p, const double *panels, int64_t first, double *w)
{
	const int chunk = part_width(p->parts), of_unit = unit_panels(p->parts);
	const int64_t width = p->cols / p->parts;
	for (int64_t n = 0; n < p->cols; n++) {
		int64_t part = n / width, c = n % width, at = part * chunk + c % chunk; /* of the unit's columns */
		int64_t panel = first + c / chunk * of_unit + at / PanelWidth;
		for (int64_t k = 0; k < p->depth; k++)
			w[k * p->cols + n] = p->scales ? scaled_element(panels, p->scales, panel, p->depth, k, at % PanelWidth)
			                               : panels[(panel * p->depth + k) * PanelWidth + at % PanelWidth];
	}
}

static bool panels_agree(const Panels *p)
{
	const int chunk = part_width(p->parts);
	return p->cols % p->parts == 0 && p->count == (p->cols / p->parts + chunk - 1) / chunk * unit_panels(p->parts);
}

/* As linear, on the panels that eval_pack makes; of elements, if their scales are there. */
static const char *eval_panels(EvalNode *e, const Tensor *scale, const Tensor *zero)
{
	const Tensor *x = e->in[0], *w = e->in[1], *b = operand(e, 2);
	Scales s = {.halves = scale && w->dims[2] == HalfWidth};
	int outer = x->rank - (int)attr_int(e->n, Attr_inner);
	Product p = {.rows = count_dims(x, 0, outer), .depth = w->dims[1], .cols = e->out->dims[e->out->rank - 1]};
	const Panels panels = {p.depth, p.cols, w->dims[0], (int)attr_int(e->n, Attr_parts), scale ? &s : NULL};
	TRY(need_agree(e, count_dims(x, outer, x->rank) == p.depth && (!b || b->dims[0] == p.cols) && (s.halves || w->dims[2] == PanelWidth)
	                      && panels_agree(&panels)));
	const double *xs = as_reals(e, x), *ps = as_reals(e, w), *bs = b ? as_reals(e, b) : NULL;
	double *ws = alloc_temp(e, p.depth * p.cols, sizeof(double)), *row = alloc_temp(e, p.cols, sizeof(double));
	if (scale) {
		s.block = attr_int(e->n, Attr_block);
		s.offset = (double)attr_int(e->n, Attr_offset);
		s.scale = as_reals(e, scale);
		s.zero = zero ? as_reals(e, zero) : NULL;
		s.rows = scale->dims[1];
		TRY(need_agree(e, s.block > 0 && scale->dims[0] == w->dims[0] && s.rows == (p.depth + s.block - 1) / s.block && scale->dims[2] == PanelWidth
		                      && (!zero || tensor_numel(zero) == tensor_numel(scale))));
	}
	if (!xs || !ps || !ws || !row || (b && !bs) || (scale && !s.scale) || (zero && !s.zero))
		return OUT_OF_MEMORY(e);
	unpack_panels(&panels, ps, 0, ws);
	multiply_reals(e->out, xs, ws, bs, row, p);
	return NULL;
}

const char *eval_linear_packed(EvalNode *e)
{
	return eval_panels(e, NULL, NULL);
}

const char *eval_linear_scaled(EvalNode *e)
{
	return eval_panels(e, e->in[3], operand(e, 4));
}

/* panels: of each matrix; NULL: w holds the matrices themselves. */
static const char *multiply_by_chosen(EvalNode *e, int64_t depth, const Panels *panels)
{
	const Tensor *x = e->in[0], *w = e->in[1], *b = operand(e, 2), *which = e->in[3];
	const int64_t cols = e->out->dims[e->out->rank - 1], batches = tensor_numel(which);
	Product p = {.rows = count_dims(x, which->rank, x->rank - 1), .depth = depth, .cols = cols};
	TRY(need_agree(e, x->dims[x->rank - 1] == depth && count_dims(x, 0, which->rank) == batches
	                      && (!b || (b->dims[0] == w->dims[0] && b->dims[1] == cols))));
	const double *xs = as_reals(e, x), *ws = as_reals(e, w), *bs = b ? as_reals(e, b) : NULL;
	const int64_t *numbers = as_ints(e, which);
	double *row = alloc_temp(e, cols, sizeof *row), *one = panels ? alloc_temp(e, depth * cols, sizeof *one) : NULL;
	if (!xs || !ws || !numbers || !row || (panels && !one) || (b && !bs))
		return OUT_OF_MEMORY(e);
	for (int64_t i = 0; i < batches; i++, p.a += p.rows * depth, p.y += p.rows * cols) {
		int64_t number = numbers[i];
		TRY(resolve_index(e, &number, w->dims[0]));
		if (panels)
			unpack_panels(panels, ws, number * panels->count, one);
		multiply_reals(e->out, xs, panels ? one : ws + number * depth * cols, bs ? bs + number * cols : NULL, row, p);
	}
	return NULL;
}

const char *eval_experts(EvalNode *e)
{
	const Tensor *w = e->in[1];
	TRY(need_agree(e, w->dims[2] == e->out->dims[e->out->rank - 1]));
	return multiply_by_chosen(e, w->dims[1], NULL);
}

const char *eval_experts_packed(EvalNode *e)
{
	const Tensor *w = e->in[1];
	const Panels panels = {w->dims[2], e->out->dims[e->out->rank - 1], w->dims[1], (int)attr_int(e->n, Attr_parts), NULL};
	TRY(need_agree(e, w->dims[3] == PanelWidth && panels_agree(&panels)));
	return multiply_by_chosen(e, panels.depth, &panels);
}
