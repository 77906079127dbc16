/* eval_winograd.c - what convolutions by Winograd's transforms mean: in double, so all but exactly what the direct sum means. */
#include "eval.h"
#include "winograd.h"

#include <string.h>

/* w [3, 3, channels, outputs] -> [size * size * channels, outputs], some columns at a time, which stay in the first cache. */
const char *eval_winograd_weights(EvalNode *e)
{
	enum { Some = 256, Taps = WinogradTaps * WinogradTaps };
	const Tensor *w = e->in[0];
	const int64_t count = w->dims[2] * w->dims[3];
	double row[Some], taps[Taps][Some] = {0}, to[WinogradTaps][MaxWinogradSize]; /* to[t]: what tap t becomes */
	Winograd form;

	if (!winograd_of(attr_int(e->n, Attr_tile), &form))
		return eval_fail(e, "there is no such tile");
	for (int t = 0; t < WinogradTaps; t++) {
		double tap[WinogradTaps] = {0};
		tap[t] = 1;
		winograd_weights(&form, tap, to[t], 1);
	}
	for (int64_t first = 0; first < count; first += Some) {
		const int64_t n = count - first < Some ? count - first : Some;
		for (int t = 0; t < Taps; t++)
			load_reals(taps[t], w, t * count + first, 1, n);
		for (int at = 0; at < form.size * form.size; at++) {
			memset(row, 0, sizeof row);
			for (int t = 0; t < Taps; t++) {
				const double factor = to[t / WinogradTaps][at / form.size] * to[t % WinogradTaps][at % form.size];
				for (int i = 0; factor != 0 && i < Some; i++)
					row[i] += factor * taps[t][i];
			}
			store_reals(e->out, at * count + first, row, n);
		}
	}
	return NULL;
}

typedef struct Tiles {
	Winograd form;
	int64_t height, width, channels, out_height, out_width, outputs, top, left;
	const double *x, *w, *bias; /* of one image; panels */
} Tiles;

/* in[size * size][channels], transformed along both axes */
static void read_tile(const Tiles *t, int64_t y0, int64_t x0, double *in)
{
	const int size = t->form.size;
	const int64_t n = t->channels;

	for (int64_t c = 0; c < n; c++) {
		double d[MaxWinogradSize * MaxWinogradSize], half[MaxWinogradSize * MaxWinogradSize];
		for (int i = 0; i < size * size; i++) {
			int64_t y = y0 - t->top + i / size, x = x0 - t->left + i % size;
			bool inside = y >= 0 && y < t->height && x >= 0 && x < t->width;
			d[i] = inside ? t->x[(y * t->width + x) * n + c] : 0;
		}
		for (int y = 0; y < size; y++)
			winograd_inputs(&t->form, d + y * size, half + y * size, 1);
		for (int x = 0; x < size; x++)
			winograd_inputs(&t->form, half + x, d + x, size);
		for (int i = 0; i < size * size; i++)
			in[i * n + c] = d[i];
	}
}

/* The tile's outputs of column m. */
static void write_tile(const Tiles *t, int64_t y0, int64_t x0, const double *in, int64_t m, Tensor *out, int64_t at)
{
	const int size = t->form.size, tile = (int)t->form.tile;
	double sums[MaxWinogradSize * MaxWinogradSize], half[MaxWinogradSize * MaxWinogradSize], y[MaxWinogradTile * MaxWinogradTile];
	const double *panel = t->w + m / PanelWidth * size * size * t->channels * PanelWidth + m % PanelWidth;

	for (int i = 0; i < size * size; i++) {
		sums[i] = 0;
		for (int64_t c = 0; c < t->channels; c++)
			sums[i] += in[i * t->channels + c] * panel[(i * t->channels + c) * PanelWidth];
	}
	for (int i = 0; i < size; i++)
		winograd_outputs(&t->form, sums + i * size, half + i * tile, 1);
	for (int i = 0; i < tile; i++)
		winograd_outputs(&t->form, half + i, y + i, tile);
	for (int i = 0; i < tile * tile; i++) {
		int64_t oy = y0 + i / tile, ox = x0 + i % tile;
		double sum = y[i] + (t->bias ? t->bias[m] : 0);
		if (oy < t->out_height && ox < t->out_width)
			store_reals(out, at + (oy * t->out_width + ox) * t->outputs + m, &sum, 1);
	}
}

/* x [batch, height, width, channels], w [panels, size * size * channels, PanelWidth], b [outputs] */
const char *eval_winograd(EvalNode *e)
{
	const Tensor *x = e->in[0], *w = e->in[1], *b = operand(e, 2), *y = e->out;
	const int64_t *pads;
	Tiles t = {.height = x->dims[1], .width = x->dims[2], .channels = x->dims[3], .out_height = y->dims[1], .out_width = y->dims[2],
	           .outputs = y->dims[3]};

	if (!winograd_of(attr_int(e->n, Attr_tile), &t.form))
		return eval_fail(e, "there is no such tile");
	if (attr_ints(e->n, Attr_pads, &pads)) {
		t.top = pads[0];
		t.left = pads[1];
	}
	TRY(need_agree(e, w->dims[1] == t.form.size * t.form.size * t.channels && w->dims[0] * w->dims[2] >= t.outputs && w->dims[2] == PanelWidth &&
	                      (!b || b->dims[0] == t.outputs)));
	const double *xs = as_reals(e, x), *bias = b ? as_reals(e, b) : NULL;
	double *in = alloc_temp(e, w->dims[1], sizeof *in);
	t.w = as_reals(e, w);
	t.bias = bias;
	if (!xs || !in || !t.w || (b && !bias))
		return OUT_OF_MEMORY(e);
	for (int64_t n = 0; n < x->dims[0]; n++) {
		t.x = xs + n * t.height * t.width * t.channels;
		for (int64_t y0 = 0; y0 < t.out_height; y0 += t.form.tile)
			for (int64_t x0 = 0; x0 < t.out_width; x0 += t.form.tile) {
				read_tile(&t, y0, x0, in);
				for (int64_t m = 0; m < t.outputs; m++)
					write_tile(&t, y0, x0, in, m, e->out, n * t.out_height * t.out_width * t.outputs);
			}
	}
	return NULL;
}
