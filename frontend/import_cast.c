/* import_cast.c - conversions of element types.
 *
 * The operator `cast` saturates where the type is a float of a byte or less, and rounds to an f8e8m0 upwards, as the standard does if a node
 * says nothing else.  What a node says with `saturate` and `round_mode` is written around it.
 */
#include "build.h"
#include "import.h"

#include <math.h>

static DType wanted_dtype(Call *c)
{
	DType dtype;
	if (!onnx_dtype(onnx_int(c, "to", 0), &dtype))
		refuse_at(c->loc, "element type %s is not supported", onnx_dtype_text(onnx_int(c, "to", 0)));
	return dtype;
}

static Value *const_bits(Call *c, DType t, uint64_t bits)
{
	return const_scalar(c->m, scalar_at(t, &bits, 0))->value;
}

/* ---- f8e8m0 ------------------------------------------------------------------------------------------------------ */

/* A power of two below x, or the nearest one (of two as near, the larger): what x becomes upwards, or half of that. */
static Value *round_power(Call *c, Value *x, bool nearest)
{
	DType real = x->type.dtype;
	Value *up = emit_cast(c, emit_cast(c, x, F8E8M0), real), *half = emit2(c, OpMul, up, emit_const(c, real, 0.5));
	Value *limit = nearest ? emit2(c, OpMul, up, emit_const(c, real, 0.75)) : up;
	return emit3(c, OpWhere, emit2(c, OpLt, x, limit), half, up);
}

static Value *cast_power(Call *c, Value *x, bool saturates)
{
	DType real = x->type.dtype;
	Value *given = x, *least = emit_const(c, real, lowest_scalar(F8E8M0).f), *most = emit_const(c, real, highest_scalar(F8E8M0).f);
	bool down = onnx_word(c, "round_mode", "down"), nearest = onnx_word(c, "round_mode", "nearest");
	if (onnx_text(c, "round_mode") && !down && !nearest && !onnx_word(c, "round_mode", "up"))
		fatal_at(c->loc, "attribute 'round_mode' is '%s', expected up, down or nearest", onnx_text(c, "round_mode"));
	Value *y = emit_cast(c, down || nearest ? round_power(c, x, nearest) : x, F8E8M0);
	if (saturates)
		return y;
	Value *outside = emit2(c, OpOr, emit2(c, OpLt, given, least), emit2(c, OpLt, most, given));
	return emit3(c, OpWhere, outside, const_bits(c, F8E8M0, nan_bits(F8E8M0)), y);
}

/* ---- other floats of a byte or less ---------------------------------------------------------------------------------------- */

/* What rounds to more than the largest number is infinite; NaN, if the type has no infinity. */
static Value *cast_unsaturated(Call *c, Value *x, DType to)
{
	Format f = formats[to];
	DType real = x->type.dtype;
	bool infinite = f.special == SpecialIeee, signless = f.special == SpecialMinusZero;
	uint64_t most = largest_bits(to), sign = signless ? 0 : UINT64_C(1) << (f.exponent + f.fraction);
	uint64_t beyond = infinite ? most + 1 : nan_bits(to), before = most - 1;
	double largest = highest_scalar(to).f, tie = largest + (largest - scalar_at(to, &before, 0).f) / 2;
	Value *size = emit1(c, OpAbs, x), *edge = emit_const(c, real, tie); /* a tie becomes even */
	Value *outside = emit2(c, most % 2 ? OpLe : OpLt, edge, size), *negative = emit2(c, OpLt, x, emit_const(c, real, 0));
	Value *other = emit3(c, OpWhere, negative, const_bits(c, to, sign | beyond), const_bits(c, to, beyond));
	return emit3(c, OpWhere, outside, other, emit_cast(c, x, to));
}

Value *emit_conversion(Call *c, Value *x, DType to)
{
	bool saturates = onnx_int(c, "saturate", 1) != 0 || formats[to].special == SpecialNone, rounds = to == F8E8M0 && onnx_text(c, "round_mode");
	if (!is_tiny(to) || (saturates && !rounds && x->type.dtype != F8E5M2))
		return emit_cast(c, x, to);
	x = emit_cast(c, x, x->type.dtype == F64 ? F64 : F32); /* of an f8e5m2 infinity saturates too */
	if (to == F8E8M0)
		return cast_power(c, x, saturates);
	return saturates ? emit_cast(c, x, to) : cast_unsaturated(c, x, to);
}

void import_cast(Call *c)
{
	c->out[0] = emit_conversion(c, c->in[0], wanted_dtype(c));
}

void import_cast_like(Call *c)
{
	c->out[0] = emit_conversion(c, c->in[0], c->in[1]->type.dtype);
}

/* ---- bits -------------------------------------------------------------------------------------------------------- */

static Value *emit_bits(Call *c, Value *x, DType dtype)
{
	Type type = x->type;
	type.dtype = dtype;
	return x->type.dtype == dtype ? x : emit(c, OpBitCast, 1, &x, 0, NULL, &type);
}

/* A bool is the byte 0 or 1, and a byte that is neither is true. */
void import_bit_cast(Call *c)
{
	DType from = c->in[0]->type.dtype, to = wanted_dtype(c);
	if (dtypes[from].bits != dtypes[to].bits)
		fatal_at(c->loc, "from %s to %s, which has other bits", dtypes[from].text, dtypes[to].text);
	Value *x = from == Bool ? emit_cast(c, c->in[0], U8) : c->in[0];
	c->out[0] = emit_cast(c, emit_bits(c, x, to == Bool ? U8 : to), to);
}
