/* import_dft.c - the discrete Fourier transform, as a product with waves. */
#include "build.h"
#include "import.h"

#include <math.h>
#include <string.h>

/* cos or sin of 2 pi k n / N for n < N, k < bins, as [N, bins].  The product is reduced to (-N/2, N/2] before it
 * is scaled, which keeps the angle's rounding error small. */
static Value *wave(Call *c, Op op, const Dim *n, const Dim *bins, DType dtype)
{
	Module *m = c->m;
	const Dim *half = dim_floordiv(m, n, num(c, 2));
	Value *row = emit_reshape(c, emit_iota(c, I64, n, num(c, 0), num(c, 1)), 2, (const Dim *[]){n, num(c, 1)});
	Value *k = emit2(c, OpMul, row, emit_iota(c, I64, bins, num(c, 0), num(c, 1)));
	Value *size = emit_dims(c, 0, 1, &n), *shift = emit_dims(c, 0, 1, &half);
	k = emit2(c, OpSub, emit2(c, OpIMod, emit2(c, OpAdd, k, shift), size), shift);
	Value *angle = emit2(c, OpDiv, emit2(c, OpMul, emit_cast(c, k, dtype), emit_const(c, dtype, 2 * M_PI)),
	                     emit_cast(c, size, dtype));
	return emit1(c, op, angle);
}

/* One part of the complex pairs, [.., N], with the transformed axis last; a vector becomes a row. */
static Value *take_part(Call *c, Value *x, int axis, int part)
{
	int rank = x->type.rank - 1, perm[MaxRank];
	Value *v = emit_reshape(c, emit_range(c, x, rank, num(c, part), num(c, 1), 1), rank, x->type.dims);
	for (int i = 0; i < rank; i++)
		perm[i] = i == axis ? rank - 1 : i == rank - 1 ? axis : i;
	if (rank == 1)
		return emit_reshape(c, v, 2, (const Dim *[]){num(c, 1), x->type.dims[0]});
	return emit_transpose(c, v, perm);
}

typedef struct Dft {
	int axis; /* the one transformed */
	const Dim *n, *bins;
	bool complex, inverse;
} Dft;

static void read_dft(Call *c, Dft *d)
{
	const Type *x = &c->in[0]->type;
	const Dim *length;
	int64_t at = c->opset < 20 ? onnx_int(c, "axis", 1) : -2, parts;
	bool onesided = onnx_int(c, "onesided", 0);
	if (c->opset >= 20 && c->nin > 2 && c->in[2] && need_ints(c, 2, "axis", &at, 1) != 1)
		fatal_at(c->loc, "input 'axis' is not a scalar");
	d->axis = norm_axis(c, at, x->rank);
	bool pairs = x->rank > 1 && d->axis < x->rank - 1 && dim_is_const(x->dims[x->rank - 1], &parts);
	if (!pairs || parts < 1 || parts > 2)
		fatal_at(c->loc, "the last axis of %s does not hold real and imaginary parts", type_text(c->m, x));
	d->complex = parts == 2;
	d->inverse = onnx_int(c, "inverse", 0);
	d->n = d->bins = x->dims[d->axis];
	require_at_least(c, d->n, 1);
	if (c->nin > 1 && c->in[1] && (need_dims(c, 1, "dft_length", &length, 1) != 1 || length != d->n))
		fatal_at(c->loc, "not supported: a dft_length that is not the extent %s", dim_text(c->m, d->n));
	if (onesided && (d->inverse || d->complex))
		fatal_at(c->loc, "not supported: onesided with inverse or complex input");
	if (onesided)
		d->bins = dim_add(c->m, dim_floordiv(c->m, d->n, num(c, 2)), num(c, 1));
}

/* One part of the result with its axes back in place and an axis of extent 1 behind them. */
static Value *finish_part(Call *c, const Dft *d, Value *v)
{
	const Dim *dims[MaxRank];
	int rank = c->in[0]->type.rank - 1, perm[MaxRank];
	for (int i = 0; i < rank; i++)
		perm[i] = i == d->axis ? rank - 1 : i == rank - 1 ? d->axis : i;
	v = rank == 1 ? emit_reshape(c, v, 1, &d->bins) : emit_transpose(c, v, perm);
	if (d->inverse)
		v = emit2(c, OpDiv, v, emit_cast(c, emit_dims(c, 0, 1, &d->n), v->type.dtype));
	memcpy(dims, v->type.dims, rank * sizeof *dims);
	dims[rank] = num(c, 1);
	return emit_reshape(c, v, rank + 1, dims);
}

/* (re + i im) (cos - i sin), and + i sin for the inverse. */
void import_dft(Call *c)
{
	Dft d;
	read_dft(c, &d);
	Value *x = c->in[0], *out[2];
	DType dtype = x->type.dtype;
	Value *cosine = wave(c, OpCos, d.n, d.bins, dtype), *sine = wave(c, OpSin, d.n, d.bins, dtype);
	if (!d.inverse)
		sine = emit1(c, OpNeg, sine);
	Value *re = take_part(c, x, d.axis, 0);
	out[0] = emit2(c, OpMatMul, re, cosine);
	out[1] = emit2(c, OpMatMul, re, sine);
	if (d.complex) {
		Value *im = take_part(c, x, d.axis, 1);
		out[0] = emit2(c, OpSub, out[0], emit2(c, OpMatMul, im, sine));
		out[1] = emit2(c, OpAdd, out[1], emit2(c, OpMatMul, im, cosine));
	}
	out[0] = finish_part(c, &d, out[0]);
	out[1] = finish_part(c, &d, out[1]);
	Attr a = mk_int(Attr_axis, x->type.rank - 1);
	c->out[0] = emit(c, OpConcat, 2, out, 1, &a, NULL);
}
