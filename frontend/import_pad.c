/* import_pad.c - Pad: what is negative cuts, the rest is filled, continued by the edge, mirrored, or continued periodically. */
#include "axes.h"
#include "import.h"

#include <string.h>

/* The fill value as a number; false: the data decides. */
static bool known_fill(Call *c, Scalar *v)
{
	DType dtype = c->in[0]->type.dtype;
	*v = scalar_of_real(dtype, onnx_float(c, "value", 0));
	if (c->nin > 2 && c->in[2] && !value_as_scalar(c->in[2], v)) {
		int n;
		int64_t x;
		const Dim *const *known = known_dims(c, c->in[2], &n);
		if (!known || n != 1 || !dim_is_const(known[0], &x))
			return false;
		*v = scalar_of_int(dtype, x);
	}
	*v = cast_scalar(*v, dtype);
	return true;
}

/* pads[axis] before and pads[rank + axis] after each axis, from wherever this opset keeps them. */
static void read_pad_dims(Call *c, const Dim **pads)
{
	const Dim *given[2 * MaxRank];
	const int64_t *listed;
	int64_t axes[MaxRank];
	int rank = c->in[0]->type.rank, n = onnx_ints(c, c->opset < 2 ? "paddings" : "pads", &listed), naxes = -1;
	if (n > 2 * MaxRank)
		fatal_at(c->loc, "attribute 'pads' does not fit rank %d", rank);
	for (int i = 0; i < n; i++)
		given[i] = dim_const(c->m, listed[i]);
	if (c->opset >= 11)
		n = need_dims(c, 1, "pads", given, 2 * MaxRank);
	Axes named;
	if (run_time_axes(c, 3, rank, &named) && n == 2 * named.n) {
		for (int i = 0; i < rank; i++) {
			pads[i] = named_value(c, &named, i, given, dim_const(c->m, 0));
			pads[rank + i] = named_value(c, &named, i, given + named.n, dim_const(c->m, 0));
		}
		return;
	}
	if (c->nin > 3 && c->in[3])
		naxes = need_ints(c, 3, "axes", axes, MaxRank);
	int half = naxes < 0 ? rank : naxes;
	if (n != 2 * half)
		fatal_at(c->loc, "%d pads, expected %d", n, 2 * half);
	for (int i = 0; i < 2 * rank; i++)
		pads[i] = dim_const(c->m, 0);
	for (int i = 0; i < half; i++) {
		int axis = naxes < 0 ? i : norm_axis(c, axes[i], rank);
		pads[axis] = given[i];
		pads[rank + axis] = given[half + i];
	}
}

/* Negative pads cut: that is done here, and what is left to add stays in pads. */
static Value *cut_negative_pads(Call *c, Value *x, const Dim **pads)
{
	Module *m = c->m;
	const Dim *zero = dim_const(m, 0);
	int rank = x->type.rank;
	for (int i = 0; i < rank; i++) {
		const Dim *before = dim_sub(m, zero, dim_min(m, pads[i], zero));
		const Dim *after = dim_sub(m, zero, dim_min(m, pads[rank + i], zero));
		x = emit_range(c, x, i, before, name_dim(m, dim_sub(m, dim_sub(m, x->type.dims[i], before), after)), 1);
		pads[i] = dim_max(m, pads[i], zero);
		pads[rank + i] = dim_max(m, pads[rank + i], zero);
	}
	return x;
}

/* Which elements of the padded tensor come from x, as it broadcasts to it. */
static Value *is_inside(Call *c, const Type *x, const Dim *const *pads)
{
	Module *m = c->m;
	Value *inside = NULL;
	for (int i = 0; i < x->rank; i++) {
		if (dim_equals(pads[i], 0) && dim_equals(pads[x->rank + i], 0))
			continue;
		const Dim *end = dim_add(m, pads[i], x->dims[i]);
		Value *at = count_along(c, dim_add(m, end, pads[x->rank + i]), x->rank, i);
		Value *here = emit2(c, OpAnd, emit2(c, OpLe, emit_dims(c, 0, 1, &pads[i]), at), emit2(c, OpLt, at, emit_dims(c, 0, 1, &end)));
		inside = inside ? emit2(c, OpAnd, inside, here) : here;
	}
	return inside;
}

static Value *emit_pad(Call *c, Value *x, const Dim *const *pads, int mode, Scalar fill)
{
	Attr attrs[3] = {mk_dims(c->m, Attr_pads_dim, 2 * x->type.rank, pads), mk_int(Attr_mode, mode), mk_scalar(Attr_value, fill)};
	return emit(c, OpPad, 1, &x, 3, attrs, NULL);
}

static Value *pad_with_fill(Call *c, Value *x, const Dim *const *pads)
{
	Scalar fill;
	if (known_fill(c, &fill))
		return emit_pad(c, x, pads, 0, fill);
	require_equal(c, type_numel(c->m, &c->in[2]->type), num(c, 1), "elements of the fill value");
	Value *v = emit_pad(c, x, pads, 0, scalar_of_int(x->type.dtype, 0));
	return emit3(c, OpWhere, is_inside(c, &x->type, pads), v, emit_cast(c, emit_reshape(c, c->in[2], 0, NULL), x->type.dtype));
}

/* Element i of an axis is element (i - before) mod n of x's; of an empty axis there is none. */
static Value *pad_around(Call *c, Value *x, const Dim *const *pads)
{
	Module *m = c->m;
	int rank = x->type.rank;
	for (int i = 0; i < rank; i++) {
		const Dim *n = x->type.dims[i], *before = pads[i], *after = pads[rank + i], *some = dim_max(m, n, num(c, 1));
		if (dim_equals(before, 0) && dim_equals(after, 0))
			continue;
		const Dim *extent = dim_add(m, dim_add(m, before, n), after);
		Value *at = emit_iota(c, I64, extent, dim_sub(m, num(c, 0), before), num(c, 1));
		x = emit_gather(c, x, emit2(c, OpIMod, at, emit_dims(c, 0, 1, &some)), i);
	}
	return x;
}

void import_pad(Call *c)
{
	const Dim *pads[2 * MaxRank];
	int rank = c->in[0]->type.rank;
	bool grows = false;
	read_pad_dims(c, pads);
	Value *x = cut_negative_pads(c, c->in[0], pads);
	for (int i = 0; i < rank; i++) /* pads that arrive at run time: the extent of the result is one symbol */
		if (!dim_is_const(pads[i], NULL) && !dim_is_const(pads[rank + i], NULL)) {
			const Dim *inside = dim_add(c->m, x->type.dims[i], pads[i]);
			pads[rank + i] = dim_sub(c->m, derive_sym(c->m, dim_add(c->m, inside, pads[rank + i])), inside);
		}
	for (int i = 0; i < 2 * rank; i++)
		grows |= !dim_equals(pads[i], 0);
	if (!grows)
		c->out[0] = x;
	else if (onnx_word(c, "mode", "wrap"))
		c->out[0] = pad_around(c, x, pads);
	else if (onnx_word(c, "mode", "edge") || onnx_word(c, "mode", "reflect"))
		c->out[0] = emit_pad(c, x, pads, onnx_word(c, "mode", "edge") ? 1 : 2, scalar_of_int(x->type.dtype, 0));
	else
		c->out[0] = pad_with_fill(c, x, pads);
}
