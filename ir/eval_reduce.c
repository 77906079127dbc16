/* eval_reduce.c - what reductions, cumulative sums, softmax and norm mean. */
#include "eval.h"

#include <math.h>

/* Streams: 0 the operand, 1 the result with stride 0 along reduced axes. */
static const char *walk_reduce(EvalNode *e, Walk *w, int64_t *reduced)
{
	const int64_t *axes;
	const Tensor *x = e->in[0];
	int naxes = attr_ints(e->n, Attr_axes, &axes);
	int64_t stride = 1;
	walk_over(w, x);
	walk_add(w, x);
	w->nstream = 2;
	*reduced = 1;
	for (int d = x->rank - 1; d >= 0; d--) {
		if (naxes && axes[naxes - 1] == d) {
			naxes--;
			*reduced *= x->dims[d];
		} else {
			w->stride[1][d] = stride;
			stride *= x->dims[d];
		}
	}
	return need_agree(e, stride == tensor_numel(e->out));
}

/* The result of reducing nothing. */
Scalar reduce_identity(Op op, DType dtype)
{
	return op == OpReduceMax ? lowest_scalar(dtype) : op == OpReduceMin ? highest_scalar(dtype) : scalar_of_int(dtype, 0);
}

static const char *reduce_reals(EvalNode *e)
{
	Walk w;
	int64_t reduced, n = tensor_numel(e->out);
	Op op = e->n->op;
	Scalar begin = reduce_identity(op, e->out->dtype);
	const double *x = as_reals(e, e->in[0]);
	double *sum = alloc_temp(e, n, sizeof *sum);
	if (!x || !sum)
		return OUT_OF_MEMORY(e);
	TRY(walk_reduce(e, &w, &reduced));
	for (int64_t i = 0; i < n; i++)
		sum[i] = begin.f;
	if (walk_start(&w)) {
		do {
			for (int64_t i = 0; i < w.dims[w.rank - 1]; i++) {
				double v = x[w.off[0] + i * w.stride[0][w.rank - 1]];
				double *s = &sum[w.off[1] + i * w.stride[1][w.rank - 1]];
				*s = op == OpReduceMax ? max_f64(v, *s) : op == OpReduceMin ? min_f64(v, *s) : *s + v;
			}
		} while (walk_next(&w));
	}
	for (int64_t i = 0; i < n && op == OpMean; i++)
		sum[i] /= (double)reduced;
	store_reals(e->out, 0, sum, n);
	return NULL;
}

static const char *reduce_ints(EvalNode *e)
{
	Walk w;
	int64_t reduced, n = tensor_numel(e->out);
	Op op = e->n->op;
	Scalar begin = reduce_identity(op, e->out->dtype);
	const int64_t *x = as_ints(e, e->in[0]);
	int64_t *sum = alloc_temp(e, n, sizeof *sum);
	if (!x || !sum)
		return OUT_OF_MEMORY(e);
	TRY(walk_reduce(e, &w, &reduced));
	for (int64_t i = 0; i < n; i++)
		sum[i] = begin.i;
	if (walk_start(&w)) {
		do {
			for (int64_t i = 0; i < w.dims[w.rank - 1]; i++) {
				int64_t v = x[w.off[0] + i * w.stride[0][w.rank - 1]];
				int64_t *s = &sum[w.off[1] + i * w.stride[1][w.rank - 1]];
				*s = op == OpReduceMax   ? (less_int(begin.dtype, *s, v) ? v : *s)
				     : op == OpReduceMin ? (less_int(begin.dtype, v, *s) ? v : *s)
				                         : add_int(*s, v);
			}
		} while (walk_next(&w));
	}
	for (int64_t i = 0; i < n && op == OpMean; i++)
		sum[i] = !reduced                    ? 0
		         : less_int(begin.dtype, sum[i], 0) ? sum[i] / reduced
		                                            : (int64_t)((uint64_t)sum[i] / (uint64_t)reduced);
	store_ints(e->out, 0, sum, n);
	return NULL;
}

const char *eval_reduce(EvalNode *e)
{
	return is_real(e->in[0]) ? reduce_reals(e) : reduce_ints(e);
}

/* In place; `stride` elements apart. */
static void accumulate_reals(double *x, int64_t n, int64_t stride, bool exclusive, bool product)
{
	double sum = product;
	for (int64_t i = 0; i < n; i++) {
		double before = sum;
		sum = product ? sum * x[i * stride] : sum + x[i * stride];
		x[i * stride] = exclusive ? before : sum;
	}
}

static void accumulate_ints(int64_t *x, int64_t n, int64_t stride, bool exclusive, bool product)
{
	int64_t sum = product;
	for (int64_t i = 0; i < n; i++) {
		int64_t before = sum;
		sum = product ? mul_int(sum, x[i * stride]) : add_int(sum, x[i * stride]);
		x[i * stride] = exclusive ? before : sum;
	}
}

const char *eval_cumsum(EvalNode *e)
{
	const Tensor *x = e->in[0];
	int axis = (int)attr_int(e->n, Attr_axis);
	int64_t n = tensor_numel(x), len = x->dims[axis], inner = count_dims(x, axis + 1, x->rank);
	bool exclusive = attr_int(e->n, Attr_exclusive), reverse = attr_int(e->n, Attr_reverse);
	bool product = attr_int(e->n, Attr_product);
	int64_t stride = reverse ? -inner : inner, first = reverse ? (len - 1) * inner : 0;
	double *reals = is_real(x) ? alloc_temp(e, n, sizeof *reals) : NULL;
	int64_t *ints = is_real(x) ? NULL : alloc_temp(e, n, sizeof *ints);
	if (!reals && !ints)
		return OUT_OF_MEMORY(e);
	if (reals)
		load_reals(reals, x, 0, 1, n);
	else
		load_ints(ints, x, 0, 1, n);
	for (int64_t row = 0; row < n; row += len * inner)
		for (int64_t i = 0; i < inner; i++)
			if (reals)
				accumulate_reals(reals + row + first + i, len, stride, exclusive, product);
			else
				accumulate_ints(ints + row + first + i, len, stride, exclusive, product);
	if (reals)
		store_reals(e->out, 0, reals, n);
	else
		store_ints(e->out, 0, ints, n);
	return NULL;
}

void softmax_row(double *x, int64_t n, int64_t stride)
{
	double top = -INFINITY, sum = 0;
	for (int64_t i = 0; i < n; i++)
		top = x[i * stride] > top ? x[i * stride] : top;
	for (int64_t i = 0; i < n; i++)
		sum += x[i * stride] = exp(x[i * stride] - top);
	for (int64_t i = 0; i < n; i++)
		x[i * stride] /= sum;
}

const char *eval_softmax(EvalNode *e)
{
	const Tensor *x = e->in[0];
	int axis = (int)attr_int(e->n, Attr_axis);
	int64_t outer = count_dims(x, 0, axis), len = x->dims[axis], inner = count_dims(x, axis + 1, x->rank);
	double *p = alloc_temp(e, tensor_numel(x), sizeof *p);
	if (!p)
		return OUT_OF_MEMORY(e);
	load_reals(p, x, 0, 1, tensor_numel(x));
	for (int64_t o = 0; o < outer; o++)
		for (int64_t i = 0; i < inner; i++)
			softmax_row(p + o * len * inner + i, len, inner);
	store_reals(e->out, 0, p, tensor_numel(x));
	return NULL;
}

const char *eval_norm(EvalNode *e)
{
	const Tensor *x = e->in[0], *scale = operand(e, 1), *bias = e->n->op == OpNorm ? operand(e, 2) : NULL;
	int axis = (int)attr_int(e->n, Attr_axis);
	int64_t rows = count_dims(x, 0, axis), len = count_dims(x, axis, x->rank);
	double eps = attr_float(e->n, Attr_eps);
	TRY(need_agree(e, (!scale || tensor_numel(scale) == len) && (!bias || tensor_numel(bias) == len)));
	const double *s = scale ? as_reals(e, scale) : NULL, *b = bias ? as_reals(e, bias) : NULL;
	double *y = alloc_temp(e, len, sizeof *y);
	if (!y || (scale && !s) || (bias && !b))
		return OUT_OF_MEMORY(e);
	for (int64_t r = 0; r < rows; r++) {
		double mean = 0, square = 0;
		load_reals(y, x, r * len, 1, len);
		for (int64_t i = 0; i < len && e->n->op == OpNorm; i++)
			mean += y[i];
		mean /= (double)len;
		for (int64_t i = 0; i < len; i++)
			square += (y[i] - mean) * (y[i] - mean);
		double factor = 1 / sqrt(square / (double)len + eps);
		for (int64_t i = 0; i < len; i++)
			y[i] = (y[i] - mean) * factor * (s ? s[i] : 1) + (b ? b[i] : 0);
		store_reals(e->out, r * len, y, len);
	}
	return NULL;
}
