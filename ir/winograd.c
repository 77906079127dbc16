/* winograd.c - the points, and the transforms as the evaluator and constant folding compute them. */
#include "winograd.h"

/* The points decide the rounding errors.  0.75 and 1.5 keep them at 1.2 to 1.8 times those of the direct sum, where the usual 1 and 2
 * make them 5 times as large; all constants of the transforms of inputs and outputs are numbers of few bits. */
static const struct {
	int pairs;
	double point[MaxWinogradPairs];
} forms[] = {{1, {1}}, {2, {0.75, 1.5}}};

bool winograd_of(int64_t tile, Winograd *w)
{
	if (tile != 2 && tile != 4)
		return false;
	int pairs = (int)tile / 2;
	*w = (Winograd){.tile = tile, .pairs = pairs, .size = (int)tile + 2, .all = {1}};
	for (int i = 0; i < pairs; i++)
		w->point[i] = forms[pairs - 1].point[i];
	for (int skip = pairs; skip >= 0; skip--) { /* the last one is without none */
		double *c = skip < pairs ? w->without[skip] : w->all;
		int degree = 0;
		c[0] = 1;
		for (int i = 0; i < pairs; i++) {
			if (i == skip)
				continue;
			c[degree + 1] = c[degree];
			for (int d = degree; d >= 0; d--)
				c[d] = (d ? c[d - 1] : 0) - w->point[i] * w->point[i] * c[d];
			degree++;
		}
	}
	return true;
}

void winograd_inputs(const Winograd *w, const double *from, double *to, int64_t step)
{
	double first = 0, last = 0;

	for (int j = 0; j <= w->pairs; j++) {
		first += w->all[j] * from[2 * j * step];
		last += w->all[j] * from[(2 * j + 1) * step];
	}
	to[0] = first;
	to[(w->size - 1) * step] = last;
	for (int i = 0; i < w->pairs; i++) {
		double even = 0, odd = 0;
		for (int j = 0; j < w->pairs; j++) {
			even += w->without[i][j] * from[(2 * j + 2) * step];
			odd += w->without[i][j] * from[(2 * j + 1) * step];
		}
		to[(1 + 2 * i) * step] = even + w->point[i] * odd;
		to[(2 + 2 * i) * step] = even - w->point[i] * odd;
	}
}

/* Row of a point p: p^t, over what the others make of the product of their differences to p. */
void winograd_weights(const Winograd *w, const double *from, double *to, int64_t step)
{
	to[0] = from[0] / w->all[0];
	to[(w->size - 1) * step] = from[(WinogradTaps - 1) * step];
	for (int i = 0; i < w->pairs; i++) {
		double p = w->point[i], square = p * p, rest = 0, even, odd;
		for (int j = w->pairs - 1; j >= 0; j--)
			rest = rest * square + w->without[i][j];
		even = from[0] + square * from[2 * step];
		odd = p * from[step];
		to[(1 + 2 * i) * step] = (even + odd) / (2 * square * rest);
		to[(2 + 2 * i) * step] = (even - odd) / (2 * square * rest);
	}
}

void winograd_outputs(const Winograd *w, const double *from, double *to, int64_t step)
{
	for (int64_t k = 0; k < w->tile; k++) {
		double y = k == 0 ? from[0] : k == w->tile - 1 ? from[(w->size - 1) * step] : 0;
		for (int i = 0; i < w->pairs; i++) {
			double power = 1, plus = from[(1 + 2 * i) * step], minus = from[(2 + 2 * i) * step];
			for (int64_t e = 0; e < k; e++)
				power *= w->point[i];
			y += power * (k % 2 ? plus - minus : plus + minus);
		}
		to[k * step] = y;
	}
}
