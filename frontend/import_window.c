/* import_window.c - operators that slide a window: convolutions and pools; global pools have one that covers all. */
#include "build.h"
#include "import.h"

#include <math.h>
#include <string.h>

/* ---- convolution ----------------------------------------------------------------------------------------------- */

/* One entry per spatial axis from an attribute, `dflt` if it is absent. */
static void read_windows(Call *c, const char *name, int want, int64_t dflt, int64_t least, int64_t *out)
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

/* What SAME_UPPER and SAME_LOWER pad: output extent = ceil(extent / stride). */
static void same_pads(Call *c, int axis, int spatial, int64_t span, int64_t stride, int64_t *pads)
{
	const Dim *dim = c->in[0]->type.dims[axis + 2];
	int64_t extent, total = span - 1;
	bool lower = onnx_word(c, "auto_pad", "SAME_LOWER");
	if (stride != 1) {
		if (!dim_is_const(dim, &extent))
			fatal_at(c->loc, "not supported: auto_pad with a stride over the symbolic extent %s",
			         dim_text(c->m, dim));
		total = ((extent + stride - 1) / stride - 1) * stride + span - extent;
	}
	total = total < 0 ? 0 : total;
	pads[axis] = lower ? total - total / 2 : total / 2;
	pads[spatial + axis] = total - pads[axis];
}

static void read_pads(Call *c, int spatial, const int64_t *kernel, const int64_t *strides, const int64_t *dilations,
               int64_t *pads)
{
	const char *how = onnx_text(c, "auto_pad");
	read_windows(c, "pads", 2 * spatial, 0, 0, pads);
	if (!how || !*how || !strcmp(how, "NOTSET"))
		return;
	memset(pads, 0, 2 * spatial * sizeof *pads);
	if (!strcmp(how, "VALID"))
		return;
	if (strcmp(how, "SAME_UPPER") && strcmp(how, "SAME_LOWER"))
		fatal_at(c->loc, "attribute 'auto_pad' = %s is not supported", how);
	for (int i = 0; i < spatial; i++)
		same_pads(c, i, spatial, (kernel[i] - 1) * dilations[i] + 1, strides[i], pads);
}

void import_conv(Call *c)
{
	Module *m = c->m;
	const Type *x = &c->in[0]->type, *w = &c->in[1]->type;
	int spatial = x->rank - 2;
	int64_t kernel[MaxRank], strides[MaxRank], dilations[MaxRank], pads[2 * MaxRank];
	if (spatial < 1 || w->rank != x->rank)
		fatal_at(c->loc, "operands have ranks %d and %d", x->rank, w->rank);
	read_windows(c, "strides", spatial, 1, 1, strides);
	read_windows(c, "dilations", spatial, 1, 1, dilations);
	for (int i = 0; i < spatial; i++)
		if (!dim_is_const(w->dims[i + 2], &kernel[i]) || kernel[i] < 1)
			fatal_at(c->loc, "not supported: the kernel extent %s", dim_text(m, w->dims[i + 2]));
	const int64_t *stated;
	int n = onnx_ints(c, "kernel_shape", &stated);
	if (n >= 0 && (n != spatial || memcmp(stated, kernel, n * sizeof *kernel)))
		fatal_at(c->loc, "attribute 'kernel_shape' does not agree with the weight %s", type_text(m, w));
	read_pads(c, spatial, kernel, strides, dilations, pads);
	Attr attrs[4] = {mk_ints(m, Attr_pads, 2 * spatial, pads), mk_ints(m, Attr_strides, spatial, strides),
	                 mk_ints(m, Attr_dilations, spatial, dilations), mk_int(Attr_group, onnx_int(c, "group", 1))};
	c->out[0] = emit(c, OpConv, c->nin > 2 && c->in[2] ? 3 : 2, c->in, 4, attrs, NULL);
}

/* ---- pooling --------------------------------------------------------------------------------------------------- */

enum { MaxTaps = 128 };

typedef struct Pool {
	int spatial;
	int64_t kernel[MaxRank], strides[MaxRank], dilations[MaxRank], pads[2 * MaxRank];
	const Dim *out[MaxRank]; /* extents */
	const Dim *extra[MaxRank]; /* beyond the pads, for windows that ceil_mode lets hang over the end */
	bool hangs;
} Pool;

/* ceil_mode rounds up, but a window must start inside of the tensor or the padding before it. */
static void pool_extent(Call *c, Pool *p, int i, bool ceil_mode)
{
	Module *m = c->m;
	int64_t span = (p->kernel[i] - 1) * p->dilations[i] + 1;
	const Dim *x = c->in[0]->type.dims[i + 2], *stride = num(c, p->strides[i]);
	const Dim *padded = dim_add(m, x, num(c, p->pads[i] + p->pads[p->spatial + i]));
	const Dim *room = dim_sub(m, padded, num(c, span)), *n;
	require_at_least(c, room, 0);
	if (ceil_mode) {
		n = dim_add(m, dim_ceildiv(m, room, stride), num(c, 1));
		n = dim_min(m, n, dim_ceildiv(m, dim_add(m, x, num(c, p->pads[i])), stride));
	} else {
		n = dim_add(m, dim_floordiv(m, room, stride), num(c, 1));
	}
	const Dim *end = dim_add(m, dim_mul_const(m, dim_sub(m, n, num(c, 1)), p->strides[i]), num(c, span));
	p->out[i] = n;
	p->extra[i] = dim_max(m, dim_sub(m, end, padded), num(c, 0));
	p->hangs |= !dim_equals(p->extra[i], 0);
}

static void read_pool(Call *c, Pool *p)
{
	int64_t taps = 1;
	p->spatial = c->in[0]->type.rank - 2;
	p->hangs = false;
	if (p->spatial < 1)
		fatal_at(c->loc, "the operand has rank %d", c->in[0]->type.rank);
	if (!has_attr(c, "kernel_shape"))
		fatal_at(c->loc, "attribute 'kernel_shape' is missing");
	read_windows(c, "kernel_shape", p->spatial, 1, 1, p->kernel);
	read_windows(c, "strides", p->spatial, 1, 1, p->strides);
	read_windows(c, "dilations", p->spatial, 1, 1, p->dilations);
	read_pads(c, p->spatial, p->kernel, p->strides, p->dilations, p->pads);
	for (int i = 0; i < p->spatial; i++) {
		taps *= p->kernel[i];
		if (taps > MaxTaps)
			fatal_at(c->loc, "not supported: a pooling window of more than %d elements", MaxTaps);
		pool_extent(c, p, i, onnx_int(c, "ceil_mode", 0));
	}
}

static Value *pad_spatial(Call *c, const Pool *p, Value *x, bool stated, Scalar with)
{
	const Dim *pads[2 * MaxRank] = {NULL};
	int rank = x->type.rank;
	bool grows = false;
	for (int i = 0; i < rank; i++) {
		bool spatial = i >= 2;
		pads[i] = num(c, spatial && stated ? p->pads[i - 2] : 0);
		pads[rank + i] = num(c, spatial && stated ? p->pads[p->spatial + i - 2] : 0);
		if (spatial && !stated)
			pads[rank + i] = p->extra[i - 2];
		grows |= !dim_equals(pads[i], 0) || !dim_equals(pads[rank + i], 0);
	}
	Attr attrs[2] = {mk_dims(c->m, Attr_pads_dim, 2 * rank, pads), mk_scalar(Attr_value, with)};
	return grows ? emit(c, OpPad, 1, &x, 2, attrs, NULL) : x;
}

/* Joins the taps of every window with `op`; x is padded already. */
static Value *pool_taps(Call *c, const Pool *p, Op op, Value *x)
{
	int64_t at[MaxRank] = {0}, steps[MaxRank];
	int rank = x->type.rank;
	Type type = x->type;
	Value *all = NULL;
	for (int i = 0; i < rank; i++)
		steps[i] = i < 2 ? 1 : p->strides[i - 2];
	for (int i = 0; i < p->spatial; i++)
		type.dims[i + 2] = p->out[i];
	for (;;) {
		const Dim *starts[MaxRank];
		for (int i = 0; i < rank; i++)
			starts[i] = num(c, i < 2 ? 0 : at[i - 2] * p->dilations[i - 2]);
		Attr attrs[2] = {mk_dims(c->m, Attr_starts, rank, starts), mk_ints(c->m, Attr_steps, rank, steps)};
		Value *tap = emit(c, OpSlice, 1, &x, 2, attrs, &type);
		all = all ? emit2(c, op, all, tap) : tap;
		int i = p->spatial - 1;
		while (i >= 0 && ++at[i] == p->kernel[i])
			at[i--] = 0;
		if (i < 0)
			return all;
	}
}

void import_max_pool(Call *c)
{
	Pool p;
	read_pool(c, &p);
	DType dtype = c->in[0]->type.dtype;
	Scalar least = lowest_scalar(dtype);
	Value *x = pad_spatial(c, &p, pad_spatial(c, &p, c->in[0], true, least), false, least);
	c->out[0] = pool_taps(c, &p, OpMax, x);
}

/* The sum over the number of elements that count: those of the tensor, or of the tensor and its pads. */
void import_average_pool(Call *c)
{
	Pool p;
	read_pool(c, &p);
	bool include = onnx_int(c, "count_include_pad", 0), uneven = p.hangs;
	double taps = 1;
	for (int i = 0; i < p.spatial; i++) {
		taps *= p.kernel[i];
		uneven |= !include && (p.pads[i] || p.pads[p.spatial + i]);
	}
	Value *x = c->in[0];
	DType dtype = x->type.dtype;
	Scalar zero = scalar_of_int(dtype, 0);
	Value *sum = pool_taps(c, &p, OpAdd, pad_spatial(c, &p, pad_spatial(c, &p, x, true, zero), false, zero));
	Value *count = emit_const(c, dtype, taps);
	if (uneven) {
		const Dim *dims[MaxRank];
		for (int i = 0; i < x->type.rank; i++)
			dims[i] = i < 2 ? num(c, 1) : x->type.dims[i];
		Value *ones = emit_expand(c, emit_const(c, dtype, 1), x->type.rank, dims);
		ones = pad_spatial(c, &p, pad_spatial(c, &p, ones, true, scalar_of_int(dtype, include)), false, zero);
		count = pool_taps(c, &p, OpAdd, ones);
	}
	c->out[0] = emit2(c, OpDiv, sum, count);
}

/* ---- global pools ---------------------------------------------------------------------------------------------- */

static void pool_space(Call *c, Op op)
{
	int64_t axes[MaxRank];
	int n = 0;
	for (int i = 2; i < c->in[0]->type.rank; i++)
		axes[n++] = i;
	c->out[0] = emit_reduce(c, op, c->in[0], n, axes, true);
}

void import_global_average_pool(Call *c)
{
	pool_space(c, OpMean);
}

void import_global_max_pool(Call *c)
{
	pool_space(c, OpReduceMax);
}
