/* eval_data.c - the elements of tensors: reading, writing and converting them; walks over several tensors at once. */
#include "eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory and conversion -------------------------------------------------------------------------------------- */

void *alloc_temp(EvalNode *e, int64_t count, size_t bytes)
{
	if (e->ntemps == MaxTemps)
		bug("too many temporaries");
	void *p = calloc(count > 0 ? (size_t)count : 1, bytes);
	if (p)
		e->temps[e->ntemps++] = p;
	return p;
}

#define NORMAL(cls, x) ((cls) == ClassBool ? (x) != 0 : (x))

void load_reals(double *to, const Tensor *t, int64_t at, int64_t stride, int64_t n)
{
	if (is_narrow(t->dtype)) {
		for (int64_t i = 0; i < n; i++)
			to[i] = scalar_at(t->dtype, t->data, at + i * stride).f;
		return;
	}
	switch (t->dtype) {
#define DTYPE(name, text, bits, ctype, cls, onnx)                                                                     \
	case name:                                                                                                     \
		for (int64_t i = 0; i < n; i++)                                                                        \
			to[i] = (double)NORMAL(cls, ((const ctype *)t->data)[at + i * stride]);                        \
		break;
#include "dtypes.def"
#undef DTYPE
	case NDTypes: bug("no such type");
	}
}

void load_ints(int64_t *to, const Tensor *t, int64_t at, int64_t stride, int64_t n)
{
	switch (t->dtype) {
#define DTYPE(name, text, bits, ctype, cls, onnx)                                                                     \
	case name:                                                                                                     \
		for (int64_t i = 0; i < n && (cls) != ClassFloat; i++)                                                 \
			to[i] = (int64_t)NORMAL(cls, ((const ctype *)t->data)[at + i * stride]);                       \
		break;
#include "dtypes.def"
#undef DTYPE
	case NDTypes: bug("no such type");
	}
}

int64_t tensor_int(const Tensor *t, int64_t i)
{
	int64_t value = 0;
	load_ints(&value, t, i, 1, 1);
	return value;
}

int64_t tensor_scaled(const Tensor *t, int64_t i, int64_t times)
{
	double v = scalar_at(t->dtype, t->data, i).f * (double)times;
	if (!(v > -(double)DimMax))
		return -DimMax;
	return v < DimMax ? (int64_t)floor(v) : DimMax;
}

void store_reals(Tensor *t, int64_t at, const double *from, int64_t n)
{
	float *f = t->data;
	double *d = t->data;
	uint8_t *b = t->data;
	if (t->dtype == F32) { /* nearly always */
		for (int64_t i = 0; i < n; i++)
			f[at + i] = (float)from[i];
		return;
	}
	for (int64_t i = 0; i < n; i++) {
		if (t->dtype == F64)
			d[at + i] = from[i];
		else if (is_narrow(t->dtype))
			put_scalar((char *)t->data + (at + i) * dtypes[t->dtype].bytes, scalar_of_real(t->dtype, from[i]));
		else
			b[at + i] = from[i] != 0;
	}
}

void store_ints(Tensor *t, int64_t at, const int64_t *from, int64_t n)
{
	switch (t->dtype) {
#define DTYPE(name, text, bits, ctype, cls, onnx)                                                                     \
	case name:                                                                                                     \
		for (int64_t i = 0; i < n; i++)                                                                        \
			((ctype *)t->data)[at + i] = (ctype)((bits) < 8 ? wrap_int(name, from[i]) : from[i]);                                                   \
		break;
#include "dtypes.def"
#undef DTYPE
	case NDTypes: bug("no such type");
	}
}

const double *as_reals(EvalNode *e, const Tensor *t)
{
	if (t->dtype == F64)
		return t->data;
	int64_t n = tensor_numel(t);
	double *p = alloc_temp(e, n, sizeof *p);
	if (p)
		load_reals(p, t, 0, 1, n);
	return p;
}

const int64_t *as_ints(EvalNode *e, const Tensor *t)
{
	if (t->dtype == I64)
		return t->data;
	int64_t n = tensor_numel(t);
	int64_t *p = alloc_temp(e, n, sizeof *p);
	if (p)
		load_ints(p, t, 0, 1, n);
	return p;
}

bool is_real(const Tensor *t)
{
	return dtypes[t->dtype].cls == ClassFloat;
}

const Tensor *operand(const EvalNode *e, int i)
{
	return i < e->n->nin ? e->in[i] : NULL;
}

int64_t count_dims(const Tensor *t, int first, int end)
{
	int64_t n = 1;
	for (int i = first; i < end; i++)
		n *= t->dims[i];
	return n;
}

const char *need_agree(EvalNode *e, bool agree)
{
	return agree ? NULL : eval_fail(e, "dims of the operands disagree");
}

/* ---- walking several tensors at once ---------------------------------------------------------------------------- */

static bool can_collapse(const Walk *w, int d)
{
	for (int k = 0; k < w->nstream; k++)
		if (w->stride[k][d] != w->stride[k][d + 1] * w->dims[d + 1])
			return false;
	return true;
}

static void drop_axis(Walk *w, int d)
{
	for (int i = d; i + 1 < w->rank; i++) {
		w->dims[i] = w->dims[i + 1];
		for (int k = 0; k < w->nstream; k++)
			w->stride[k][i] = w->stride[k][i + 1];
	}
	w->rank--;
}

bool walk_start(Walk *w)
{
	if (w->rank == 0) {
		w->rank = 1;
		w->dims[0] = 1;
	}
	for (int d = 0; d < w->rank; d++)
		if (w->dims[d] == 0)
			return false;
	for (int d = w->rank - 2; d >= 0; d--) {
		if (can_collapse(w, d)) {
			w->dims[d + 1] *= w->dims[d];
			drop_axis(w, d);
		}
	}
	memset(w->at, 0, sizeof w->at);
	return true;
}

bool walk_next(Walk *w)
{
	for (int d = w->rank - 2; d >= 0; d--) {
		for (int k = 0; k < w->nstream; k++)
			w->off[k] += w->stride[k][d];
		if (++w->at[d] < w->dims[d])
			return true;
		for (int k = 0; k < w->nstream; k++)
			w->off[k] -= w->stride[k][d] * w->dims[d];
		w->at[d] = 0;
	}
	return false;
}

void walk_over(Walk *w, const Tensor *space)
{
	memset(w, 0, sizeof *w);
	w->rank = space->rank;
	memcpy(w->dims, space->dims, sizeof w->dims);
}

bool walk_add(Walk *w, const Tensor *t)
{
	int64_t stride = 1, *own = w->stride[w->nstream++];
	if (t->rank > w->rank)
		return false;
	for (int d = t->rank - 1; d >= 0; d--) {
		int to = d + w->rank - t->rank;
		if (t->dims[d] != w->dims[to] && t->dims[d] != 1)
			return false;
		own[to] = t->dims[d] == 1 ? 0 : stride;
		stride *= t->dims[d];
	}
	return true;
}
