/* import_norm.c - normalisations: over the last axes, over channels with given statistics, over groups of channels. */
#include "build.h"
#include "import.h"

#include <math.h>

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

/* Statistics of channels; of single elements where, in early opsets, spatial = 0. */
static Value *per_channel(Call *c, Value *v, int rank)
{
	const Dim *dims[MaxRank];
	if (v->type.rank == rank - 1 && !onnx_int(c, "spatial", 1))
		return v;
	if (v->type.rank != 1)
		fatal_at(c->loc, "a statistic has rank %d, expected 1", v->type.rank);
	for (int i = 0; i < rank; i++)
		dims[i] = i == 1 ? v->type.dims[0] : dim_const(c->m, 1);
	return emit_reshape(c, v, rank, dims);
}

/* Does the node normalise by the batch's own statistics?  Before opset 14 those who ask for them say so. */
static bool trains(Call *c)
{
	if (c->opset < 7)
		return !onnx_int(c, "is_test", 0);
	if (c->opset >= 14)
		return onnx_int(c, "training_mode", 0);
	for (int i = 1; i < c->nout; i++)
		if (c->wanted[i])
			return true;
	return false;
}

/* Over all axes but that of the channels, or over the batch alone. */
static Value *batch_mean(Call *c, Value *x)
{
	int64_t axes[MaxRank];
	int n = 0;
	for (int i = 0; i < x->type.rank; i++)
		if (onnx_int(c, "spatial", 1) ? i != 1 : i == 0)
			axes[n++] = i;
	return emit_reduce(c, OpMean, x, n, axes, false);
}

/* Of the statistics that go in and the batch's. */
static Value *running(Call *c, int input, Value *batch)
{
	Value *v = emit_cast(c, c->in[input], batch->type.dtype);
	double momentum = onnx_float(c, "momentum", 0.9f);
	v = emit2(c, OpMul, v, emit_const(c, v->type.dtype, momentum));
	v = emit2(c, OpAdd, v, emit2(c, OpMul, batch, emit_const(c, v->type.dtype, 1 - momentum)));
	return emit_cast(c, v, c->in[input]->type.dtype);
}

/* Half floats are averaged in f32, and what has types of its own meets in the widest. */
static DType norm_type(const Call *c, bool training)
{
	DType dtype = c->in[0]->type.dtype;
	bool mixed = training && is_narrow(dtype), wide = false;
	for (int i = 0; i < 5; i++) {
		mixed |= c->in[i]->type.dtype != dtype;
		wide |= c->in[i]->type.dtype == F64;
	}
	return !mixed ? dtype : wide ? F64 : F32;
}

static Value *of_type(Call *c, int input, DType dtype)
{
	return emit_cast(c, c->in[input], dtype);
}

/* x * s + (bias - mean * s) with s = scale / sqrt(var + eps): of constants, so it folds.  In training (x - mean) * s + bias. */
void import_batch_norm(Call *c)
{
	enum { X, Scale, Bias, Mean, Var };
	bool training = trains(c);
	DType dtype = norm_type(c, training);
	Value *x = of_type(c, X, dtype), *mean = of_type(c, Mean, dtype), *var = of_type(c, Var, dtype);
	int rank = x->type.rank;
	if (rank == 1) /* one channel */
		x = emit_reshape(c, x, 2, (const Dim *[]){x->type.dims[0], num(c, 1)});
	else if (rank < 1)
		fatal_at(c->loc, "the operand has rank %d", rank);
	rank = x->type.rank;
	if (training) {
		mean = batch_mean(c, x);
		x = emit2(c, OpSub, x, per_channel(c, mean, rank));
		var = batch_mean(c, emit2(c, OpMul, x, x));
		if (c->nout > 1)
			c->out[1] = running(c, Mean, mean);
		if (c->nout > 2)
			c->out[2] = running(c, Var, var);
	}
	Value *eps = emit_const(c, dtype, onnx_float(c, "epsilon", 1e-5));
	Value *s = emit2(c, OpDiv, of_type(c, Scale, dtype), emit1(c, OpSqrt, emit2(c, OpAdd, var, eps)));
	Value *shift = of_type(c, Bias, dtype), *y = emit2(c, OpMul, x, per_channel(c, s, rank));
	if (!training)
		shift = emit2(c, OpSub, shift, emit2(c, OpMul, mean, s));
	y = emit_cast(c, emit2(c, OpAdd, y, per_channel(c, shift, rank)), c->in[X]->type.dtype);
	c->out[0] = emit_reshape(c, y, c->in[X]->type.rank, c->in[X]->type.dims);
}

/* ---- normalisation over groups --------------------------------------------------------------------------------- */

/* norm over [n, groups, rest], then scale and bias of the channels */
static void norm_groups(Call *c, const Dim *groups)
{
	Value *x = c->in[0];
	int rank = x->type.rank;
	if (rank < 3)
		fatal_at(c->loc, "the operand has rank %d", rank);
	const Dim *numel = product(c->m, x->type.dims + 1, rank - 1);
	const Dim *flat[3] = {x->type.dims[0], groups, divide_dims(c, numel, groups)}, *channel[MaxRank];
	require_equal(c, dim_mul(c->m, groups, flat[2]), numel, "channels and groups");
	Value *v = emit_reshape(c, x, 3, flat);
	Attr attrs[2] = {mk_int(Attr_axis, 2), mk_float(Attr_eps, onnx_float(c, "epsilon", 1e-5))};
	v = emit_reshape(c, emit(c, OpNorm, 1, (Value *[]){v, NULL, NULL}, 2, attrs, NULL), rank, x->type.dims);
	for (int i = 0; i < rank; i++)
		channel[i] = i == 1 ? x->type.dims[1] : num(c, 1);
	v = emit2(c, OpMul, v, emit_reshape(c, c->in[1], rank, channel));
	c->out[0] = emit2(c, OpAdd, v, emit_reshape(c, c->in[2], rank, channel));
}

void import_instance_norm(Call *c)
{
	if (c->in[0]->type.rank < 3)
		fatal_at(c->loc, "the operand has rank %d", c->in[0]->type.rank);
	norm_groups(c, c->in[0]->type.dims[1]);
}

/* Before opset 21 scale and bias belong to groups. */
static void widen_to_channels(Call *c, int64_t groups)
{
	const Dim *n = num(c, groups), *channels = c->in[0]->type.rank > 1 ? c->in[0]->type.dims[1] : n;
	const Dim *wide[2] = {n, divide_dims(c, channels, n)};
	for (int i = 1; i < 3; i++) {
		require_equal(c, type_numel(c->m, &c->in[i]->type), n, "groups and elements of scale and bias");
		Value *v = emit_expand(c, emit_reshape(c, c->in[i], 2, (const Dim *[]){n, num(c, 1)}), 2, wide);
		c->in[i] = emit_reshape(c, v, 1, &channels);
	}
}

void import_group_norm(Call *c)
{
	int64_t groups = onnx_int(c, "num_groups", 0);
	if (groups < 1 || groups > DimMax)
		fatal_at(c->loc, "num_groups %lld is out of range", (long long)groups);
	if (c->opset < 21)
		widen_to_channels(c, groups);
	norm_groups(c, num(c, groups));
}

void import_lp_norm(Call *c)
{
	Value *x = c->in[0];
	int64_t axes[1] = {norm_axis(c, onnx_int(c, "axis", -1), x->type.rank)}, p = onnx_int(c, "p", 2);
	Value *part = p == 1 ? emit1(c, OpAbs, x) : emit2(c, OpMul, x, x);
	Value *size = emit_reduce(c, OpSum, part, 1, axes, true), *zero = emit_const(c, x->type.dtype, 0);
	if (p != 1 && p != 2)
		refuse_at(c->loc, "attribute 'p' = %lld is not supported", (long long)p);
	size = p == 1 ? size : emit1(c, OpSqrt, size);
	Value *y = emit2(c, OpDiv, x, size);
	c->out[0] = emit3(c, OpWhere, emit2(c, OpEq, size, zero), zero, y);
}

/* ---- normalisation by neighbours, and over any axes ------------------------------------------------------------- */

/* Sums of squares over windows of channels: a pool of [N, 1, channels, rest]. */
void import_lrn(Call *c)
{
	Module *m = c->m;
	Value *x = c->in[0];
	const Type *t = &x->type;
	int64_t size = onnx_int(c, "size", 0), kernel[2] = {size, 1};
	if (t->rank < 2 || size < 1 || size > DimMax)
		fatal_at(c->loc, "an operand of rank %d and a size of %lld", t->rank, (long long)size);
	Type planes = {.dtype = t->dtype, .rank = 4, .dims = {t->dims[0], num(c, 1), t->dims[1], product(m, t->dims + 2, t->rank - 2)}};
	const Dim *before[2] = {num(c, (size - 1) / 2), num(c, 0)};
	Value *sum = emit_reshape(c, emit2(c, OpMul, x, x), 4, planes.dims);
	Attr attrs[3] = {mk_ints(m, Attr_kernel, 2, kernel), mk_dims(m, Attr_pads_dim, 2, before), mk_int(Attr_join, JoinSum)};
	sum = emit_reshape(c, emit(c, OpPool, 1, &sum, 3, attrs, &planes), t->rank, t->dims);
	sum = emit2(c, OpMul, sum, emit_const(c, t->dtype, onnx_float(c, "alpha", 1e-4) / (double)size));
	sum = emit2(c, OpAdd, sum, emit_const(c, t->dtype, onnx_float(c, "bias", 1)));
	c->out[0] = emit2(c, OpDiv, x, emit2(c, OpPow, sum, emit_const(c, t->dtype, onnx_float(c, "beta", 0.75))));
}

/* (x - mean) / (deviation + 1e-9), as the standard's function body says */
void import_mean_variance_norm(Call *c)
{
	Value *x = c->in[0];
	int64_t axes[MaxRank] = {0, 2, 3};
	int n = norm_axes(c, "axes", -1, x->type.rank, axes);
	if (n < 0 && x->type.rank != 4)
		fatal_at(c->loc, "an operand of rank %d without the attribute 'axes'", x->type.rank);
	n = n < 0 ? 3 : n;
	Value *centred = emit2(c, OpSub, x, emit_reduce(c, OpMean, x, n, axes, true));
	Value *var = emit_reduce(c, OpMean, emit2(c, OpMul, centred, centred), n, axes, true);
	c->out[0] = emit2(c, OpDiv, centred, emit2(c, OpAdd, emit1(c, OpSqrt, var), emit_const(c, x->type.dtype, 1e-9)));
}
