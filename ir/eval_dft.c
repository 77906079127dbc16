/* eval_dft.c - what a discrete Fourier transform means: the sums, term by term. */
#include "eval.h"

#include <math.h>

/* cos and sin of 2 pi k / n for k < n, side by side; NULL: out of memory. */
static const double *make_waves(EvalNode *e, int64_t n)
{
	double *w = alloc_temp(e, n, 2 * sizeof *w);
	for (int64_t k = 0; w && k < n; k++) {
		w[2 * k] = cos(2 * M_PI * (double)k / (double)n);
		w[2 * k + 1] = sin(2 * M_PI * (double)k / (double)n);
	}
	return w;
}

/* The n elements of a line: sums[0] + i sums[1] of (re + i im) (cos - i sin); step k of the waves, which are n. */
static void add_terms(const double *re, const double *im, int64_t stride, const double *waves, int64_t n, int64_t k, double sign, double *sums)
{
	sums[0] = sums[1] = 0;
	for (int64_t j = 0, at = 0; j < n; j++) {
		const double c = waves[2 * at], s = sign * waves[2 * at + 1], x = re[j * stride], y = im ? im[j * stride] : 0;
		sums[0] += x * c + y * s;
		sums[1] += y * c - x * s;
		at += k;
		at -= at >= n ? n : 0;
	}
}

const char *eval_dft(EvalNode *e)
{
	const Tensor *x = e->in[0], *y = operand(e, 1), *w = operand(e, 2);
	const int axis = (int)attr_int(e->n, Attr_axis);
	const bool inverse = attr_int(e->n, Attr_inverse);
	const int64_t outer = count_dims(x, 0, axis), n = x->dims[axis], inner = count_dims(x, axis + 1, x->rank);
	const int64_t parts = e->out->dims[0], bins = e->out->dims[axis + 1];

	TRY(need_agree(e, parts <= 2 && bins <= n && tensor_numel(e->out) == parts * outer * bins * inner && (!y || tensor_numel(y) == outer * n * inner) &&
	                      (!w || (w->dims[0] == n && w->dims[1] == 2))));
	if (!tensor_numel(e->out))
		return NULL;
	const double *re = as_reals(e, x), *im = y ? as_reals(e, y) : NULL, *waves = w ? as_reals(e, w) : make_waves(e, n);
	if (!re || (y && !im) || !waves)
		return OUT_OF_MEMORY(e);
	for (int64_t line = 0; line < outer * inner; line++) {
		const int64_t from = line / inner * n * inner + line % inner, to = line / inner * bins * inner + line % inner;
		for (int64_t k = 0; k < bins; k++) {
			double sums[2];
			add_terms(re + from, im ? im + from : NULL, inner, waves, n, k, inverse ? -1 : 1, sums);
			for (int64_t p = 0; p < parts; p++) {
				double part = inverse ? sums[p] / (double)n : sums[p];
				store_reals(e->out, p * outer * bins * inner + to + k * inner, &part, 1);
			}
		}
	}
	return NULL;
}
