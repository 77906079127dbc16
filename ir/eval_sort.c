/* eval_sort.c - what operators mean that put elements in order, or take them in order.
 *
 * The order of elements: a NaN is the greatest, NaNs are equal, and so are 0 and -0.  Equal elements keep the order that they have.
 */
#include "eval.h"

#include <math.h>

typedef struct Keys { /* what is put in order: the places of elements, by these */
	const double *reals;
	const int64_t *ints; /* NULL: reals */
	DType dtype;
	bool largest; /* the largest first */
} Keys;

static bool is_less(const Keys *k, int64_t a, int64_t b)
{
	if (k->ints)
		return less_int(k->dtype, k->ints[a], k->ints[b]);
	double x = k->reals[a], y = k->reals[b];
	return x < y || (x == x && y != y);
}

/* Merges a[0..na) and b[0..nb), places in order each; of equal elements those of a come first. */
static void merge(const Keys *k, const int64_t *a, int64_t na, const int64_t *b, int64_t nb, int64_t *to)
{
	for (int64_t i = 0, j = 0; i < na || j < nb;) {
		bool second = i == na || (j < nb && (k->largest ? is_less(k, a[i], b[j]) : is_less(k, b[j], a[i])));
		*to++ = second ? b[j++] : a[i++];
	}
}

/* Puts n places in order; returns `places` or `room`, wherever they are now. */
static int64_t *sort_places(const Keys *k, int64_t *places, int64_t *room, int64_t n)
{
	for (int64_t run = 1; run < n; run *= 2) {
		for (int64_t at = 0; at < n; at += 2 * run) {
			int64_t na = n - at < run ? n - at : run, nb = n - at - na < run ? n - at - na : run;
			merge(k, places + at, na, places + at + na, nb, room + at);
		}
		int64_t *sorted = room;
		room = places;
		places = sorted;
	}
	return places;
}

const char *eval_top_k(EvalNode *e)
{
	const Tensor *x = e->in[0];
	int axis = (int)attr_int(e->n, Attr_axis);
	int64_t outer = count_dims(x, 0, axis), len = x->dims[axis], inner = count_dims(x, axis + 1, x->rank), k = e->out->dims[axis];
	Keys keys = {.dtype = x->dtype, .largest = attr_int(e->n, Attr_largest)};
	int64_t *places = alloc_temp(e, len, sizeof *places), *room = alloc_temp(e, len, sizeof *room), *y = e->out->data;
	TRY(need_agree(e, k <= len && tensor_numel(e->out) == outer * k * inner));
	if (is_real(x))
		keys.reals = as_reals(e, x);
	else
		keys.ints = as_ints(e, x);
	if (!places || !room || (!keys.reals && !keys.ints))
		return OUT_OF_MEMORY(e);
	for (int64_t o = 0; o < outer; o++) {
		for (int64_t i = 0; i < inner; i++) {
			for (int64_t j = 0; j < len; j++)
				places[j] = (o * len + j) * inner + i;
			const int64_t *sorted = sort_places(&keys, places, room, len);
			for (int64_t j = 0; j < k; j++)
				y[(o * k + j) * inner + i] = sorted[j] / inner - o * len;
		}
	}
	return NULL;
}

/* ---- non-maximum suppression --------------------------------------------------------------------------------------- */

/* Boxes are two corners, of which the first has the smaller coordinates; in f32, as the standard's operands are. */
static bool overlap(const float *a, const float *b, float iou)
{
	float y = fminf(a[2], b[2]) - fmaxf(a[0], b[0]), x = fminf(a[3], b[3]) - fmaxf(a[1], b[1]), both = y * x;
	float either = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both;
	return y > 0 && x > 0 && both > 0 && both / either > iou;
}

/* Takes the boxes of one line of `order`, n of them, in that order, unless they overlap one taken before.  taken: room for n. */
static const char *take_boxes(EvalNode *e, const float *boxes, int64_t nbox, const int64_t *order, int64_t n, int64_t *taken, uint8_t *y)
{
	int64_t most = tensor_int(e->in[2], 0), count = 0;
	float iou = *(const float *)e->in[3]->data;
	for (int64_t i = 0; i < n; i++) {
		if (order[i] >= nbox)
			return eval_fail(e, "index %lld is out of range for an extent of %lld", (long long)order[i], (long long)nbox);
		bool take = order[i] >= 0 && count < most;
		for (int64_t k = 0; take && k < count; k++)
			take = !overlap(boxes + 4 * order[i], boxes + 4 * taken[k], iou);
		if (take)
			taken[count++] = order[i];
		y[i] = take;
	}
	return NULL;
}

const char *eval_nms(EvalNode *e)
{
	const Tensor *boxes = e->in[0], *t = e->in[1];
	int64_t n = t->dims[2], lines = count_dims(t, 0, 2);
	int64_t *taken = alloc_temp(e, n, sizeof *taken);
	const int64_t *order = as_ints(e, t);
	TRY(need_agree(e, boxes->dims[0] == t->dims[0] && boxes->dims[2] == 4));
	if (!taken || !order)
		return OUT_OF_MEMORY(e);
	for (int64_t i = 0; i < lines && n; i++)
		TRY(take_boxes(e, (const float *)boxes->data + i / t->dims[1] * boxes->dims[1] * 4, boxes->dims[1], order + i * n, n, taken,
		               (uint8_t *)e->out->data + i * n));
	return NULL;
}
