/* import_nn.c - matrix products, convolutions and normalisations. */
#include "import.h"

#include <math.h>
#include <string.h>

/* ---- matrix products ------------------------------------------------------------------------------------------- */

/* torch's TorchScript exporter drops as_strided().copy_() and leaves the zeros that were to be written to: a stack of
 * matrices.  A single matrix of zeros is more likely a weight that starts there. */
static void refuse_lost_write(Call *c, const Value *v)
{
	double fill;
	if (v->type.rank > 2 && constant_fill(v, &fill) && fill == 0)
		fatal_at(c->loc, "a constant operand of the product is all zeros: the exporter has dropped an in-place "
		                 "write to it, so the model computes something else than its source");
}

/* Vectors become matrices first: a row on the left, a column on the right. */
void import_matmul(Call *c)
{
	Value *a = c->in[0], *b = c->in[1];
	bool row = a->type.rank == 1, column = b->type.rank == 1;
	const Dim *one = dim_const(c->m, 1), *dims[MaxRank];
	refuse_lost_write(c, a);
	refuse_lost_write(c, b);
	if (row)
		a = emit_reshape(c, a, 2, (const Dim *[]){one, a->type.dims[0]});
	if (column)
		b = emit_reshape(c, b, 2, (const Dim *[]){b->type.dims[0], one});
	Value *v = emit2(c, OpMatMul, a, b);
	int rank = 0, r = v->type.rank;
	for (int i = 0; i < r; i++)
		if (!(row && i == r - 2) && !(column && i == r - 1))
			dims[rank++] = v->type.dims[i];
	c->out[0] = emit_reshape(c, v, rank, dims);
}

static Value *scaled(Call *c, Value *v, double by)
{
	return by == 1 ? v : emit2(c, OpMul, v, emit_const(c, v->type.dtype, by));
}

/* alpha * a' b' + beta * c; a transposed weight is a constant that folds. */
void import_gemm(Call *c)
{
	Value *a = c->in[0], *b = c->in[1];
	if (a->type.rank != 2 || b->type.rank != 2)
		fatal_at(c->loc, "operands have ranks %d and %d, expected 2", a->type.rank, b->type.rank);
	if (onnx_int(c, "transA", 0))
		a = emit_swap(c, a);
	if (onnx_int(c, "transB", 0))
		b = emit_swap(c, b);
	Value *v = scaled(c, emit2(c, OpMatMul, a, b), onnx_float(c, "alpha", 1));
	if (c->nin > 2 && c->in[2]) {
		if (c->in[2]->type.rank > 2)
			fatal_at(c->loc, "input 2 has rank %d, expected at most 2", c->in[2]->type.rank);
		v = emit2(c, OpAdd, v, scaled(c, c->in[2], onnx_float(c, "beta", 1)));
	}
	c->out[0] = v;
}

/* ---- convolution ----------------------------------------------------------------------------------------------- */

/* One entry per spatial axis from an attribute, `dflt` if it is absent. */
void read_windows(Call *c, const char *name, int want, int64_t dflt, int64_t least, int64_t *out)
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

void read_pads(Call *c, int spatial, const int64_t *kernel, const int64_t *strides, const int64_t *dilations,
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

void import_global_average_pool(Call *c)
{
	int64_t axes[MaxRank];
	int n = 0;
	for (int i = 2; i < c->in[0]->type.rank; i++)
		axes[n++] = i;
	c->out[0] = emit_reduce(c, OpMean, c->in[0], n, axes, true);
}

/* ---- normalisation --------------------------------------------------------------------------------------------- */

/* The op takes scale and bias of exactly the normalised dims; what only broadcasts to them is applied afterwards. */
static void import_norm(Call *c, Op op)
{
	Value *x = c->in[0], *in[3] = {x, NULL, NULL};
	int axis = norm_axis(c, onnx_int(c, "axis", -1), x->type.rank), n = 1;
	bool fits = true;
	for (int i = 1; i < c->nin && i < 3; i++) {
		if (!c->in[i])
			continue;
		fits &= same_dims(&c->in[i]->type, x->type.rank - axis, x->type.dims + axis);
		in[i] = c->in[i];
		n = i + 1;
	}
	Attr attrs[2] = {mk_int(Attr_axis, axis), mk_float(Attr_eps, onnx_float(c, "epsilon", 1e-5))};
	c->out[0] = emit(c, op, fits ? n : 1, in, 2, attrs, NULL);
	for (int i = 1; !fits && i < n; i++)
		if (in[i])
			c->out[0] = emit2(c, i == 1 ? OpMul : OpAdd, c->out[0], in[i]);
}

/* The optional outputs: mean and 1 / sqrt(variance + epsilon), with the normalised axes at extent 1. */
static void norm_statistics(Call *c)
{
	Value *x = c->in[0];
	int64_t axes[MaxRank];
	int n = 0;
	for (int i = norm_axis(c, onnx_int(c, "axis", -1), x->type.rank); i < x->type.rank; i++)
		axes[n++] = i;
	Value *mean = emit_reduce(c, OpMean, x, n, axes, true), *centred = emit2(c, OpSub, x, mean);
	Value *var = emit_reduce(c, OpMean, emit2(c, OpMul, centred, centred), n, axes, true);
	var = emit2(c, OpAdd, var, emit_const(c, x->type.dtype, onnx_float(c, "epsilon", 1e-5)));
	c->out[1] = mean;
	if (c->nout > 2)
		c->out[2] = emit1(c, OpRecip, emit1(c, OpSqrt, var));
}

void import_layer_norm(Call *c)
{
	import_norm(c, OpNorm);
	if (c->nout > 1)
		norm_statistics(c);
}

void import_rms_norm(Call *c)
{
	import_norm(c, OpRmsNorm);
}

static Value *per_channel(Call *c, Value *v, int rank)
{
	const Dim *dims[MaxRank];
	if (v->type.rank != 1)
		fatal_at(c->loc, "a statistic has rank %d, expected 1", v->type.rank);
	for (int i = 0; i < rank; i++)
		dims[i] = i == 1 ? v->type.dims[0] : dim_const(c->m, 1);
	return emit_reshape(c, v, rank, dims);
}

/* x * s + (bias - mean * s) with s = scale / sqrt(var + eps): of constants, so it folds. */
void import_batch_norm(Call *c)
{
	Value *x = c->in[0], *scale = c->in[1], *bias = c->in[2], *mean = c->in[3], *var = c->in[4];
	Value *eps = emit_const(c, var->type.dtype, onnx_float(c, "epsilon", 1e-5));
	if (x->type.rank < 2)
		fatal_at(c->loc, "the operand has rank %d", x->type.rank);
	Value *s = emit2(c, OpDiv, scale, emit1(c, OpSqrt, emit2(c, OpAdd, var, eps)));
	Value *shift = emit2(c, OpSub, bias, emit2(c, OpMul, mean, s));
	Value *y = emit2(c, OpMul, x, per_channel(c, s, x->type.rank));
	c->out[0] = emit2(c, OpAdd, y, per_channel(c, shift, x->type.rank));
}
