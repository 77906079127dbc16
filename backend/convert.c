/* convert.c - value conversions of the loop IR as LLVM values: as cast_scalar() of ir/scalar.c says, bit for bit.
 *
 * Floating types of less than 32 bits are integers here.  f16 has instructions (F16C is part of all targets), which LLVM makes of
 * casts between half and float; bf16 is the upper half of an f32; those of a byte are put together as their `formats` say.  What
 * narrows goes through f32: an f64 so that nothing is rounded twice.
 */
#include "emit.h"

#include <math.h>

static bool is_float(DType t)
{
	return dtypes[t].cls == ClassFloat;
}

static bool is_signed(DType t)
{
	return dtypes[t].cls == ClassSigned;
}

static LLVMTypeRef half_type(Emit *e, int lanes)
{
	return with_lanes(LLVMHalfTypeInContext(e->cx), lanes);
}

static LLVMValueRef int_like(LLVMValueRef v, int64_t n, int lanes)
{
	LLVMTypeRef type = LLVMTypeOf(v);
	LLVMValueRef all[Lanes];
	for (int i = 0; i < lanes; i++)
		all[i] = LLVMConstInt(lanes == 1 ? type : LLVMGetElementType(type), (uint64_t)n, true);
	return lanes == 1 ? all[0] : LLVMConstVector(all, (unsigned)lanes);
}

/* ---- floating types of less than 32 bits ------------------------------------------------------------------------- */

typedef LLVMValueRef Binary(LLVMBuilderRef, LLVMValueRef, LLVMValueRef, const char *);

/* i32 lanes, and constants of their type. */
typedef struct Ints {
	Emit *e;
	int lanes;
	LLVMTypeRef type, single;
} Ints;

static Ints ints_of(Emit *e, int lanes)
{
	return (Ints){e, lanes, value_type(e, (LType){I32, lanes}), value_type(e, (LType){F32, lanes})};
}

static LLVMValueRef constant(const Ints *x, int64_t n)
{
	return int_like(LLVMConstNull(x->type), n, x->lanes);
}

static LLVMValueRef with(const Ints *x, Binary *op, LLVMValueRef v, int64_t n)
{
	return op(x->e->b, v, constant(x, n), "");
}

/* `v`, or `then` where `key` compares so with n. */
static LLVMValueRef unless(const Ints *x, LLVMValueRef v, LLVMValueRef key, LLVMIntPredicate is, int64_t n, LLVMValueRef then)
{
	return LLVMBuildSelect(x->e->b, LLVMBuildICmp(x->e->b, is, key, constant(x, n), ""), then, v, "");
}

static LLVMValueRef as_real(const Ints *x, LLVMValueRef bits)
{
	return LLVMBuildBitCast(x->e->b, bits, x->single, "");
}

static LLVMValueRef as_ints(const Ints *x, LLVMValueRef real)
{
	return LLVMBuildBitCast(x->e->b, real, x->type, "");
}

enum { Fraction = 23, Bias = 127, Inf = 0x7f800000, Quiet = 0x7fc00000, Magnitude = 0x7fffffff }; /* of f32 */

/* 2^bits; 2^-127 and NaN are written otherwise in f32. */
static LLVMValueRef widen_power(const Ints *x, LLVMValueRef bits)
{
	LLVMValueRef r = with(x, LLVMBuildShl, bits, Fraction);
	r = unless(x, r, r, LLVMIntEQ, 0, constant(x, 1 << (Fraction - 1)));
	return unless(x, r, r, LLVMIntEQ, Inf, constant(x, Quiet));
}

/* Numbers that are denormal here are products of an integer, so that no f32 has to be denormal. */
static LLVMValueRef widen_magnitude(const Ints *x, LLVMValueRef bits, DType t)
{
	Format f = formats[t];
	int64_t most = (int64_t)largest_bits(t), unit_exponent = Bias + 1 - f.bias - f.fraction, ones = (1 << f.exponent) - 1;
	LLVMValueRef unit = as_real(x, constant(x, unit_exponent << Fraction));
	LLVMValueRef small = LLVMBuildFMul(x->e->b, LLVMBuildUIToFP(x->e->b, bits, x->single, ""), unit, "");
	LLVMValueRef r = with(x, LLVMBuildShl, bits, Fraction - f.fraction);
	LLVMValueRef special = f.special == SpecialIeee ? with(x, LLVMBuildAdd, r, (255 - ones) << Fraction) : constant(x, Quiet);
	r = with(x, LLVMBuildAdd, r, (int64_t)(Bias - f.bias) << Fraction);
	r = unless(x, r, bits, LLVMIntULT, 1 << f.fraction, as_ints(x, small));
	return unless(x, r, bits, LLVMIntUGT, most, special);
}

static LLVMValueRef widen_tiny(Emit *e, LLVMValueRef v, LType from)
{
	const Ints x = ints_of(e, from.lanes);
	Format f = formats[from.elem];
	int sign_at = f.exponent + f.fraction;
	LLVMValueRef bits = LLVMBuildZExt(e->b, v, x.type, "");
	if (f.special == SpecialPower)
		return as_real(&x, widen_power(&x, bits));
	LLVMValueRef sign = with(&x, LLVMBuildShl, with(&x, LLVMBuildLShr, bits, sign_at), 31);
	LLVMValueRef r = widen_magnitude(&x, with(&x, LLVMBuildAnd, bits, (1 << sign_at) - 1), from.elem);
	r = LLVMBuildOr(e->b, r, sign, "");
	if (f.special == SpecialMinusZero)
		r = unless(&x, r, bits, LLVMIntEQ, (int64_t)nan_bits(from.elem), constant(&x, Quiet));
	return as_real(&x, r);
}

static LLVMValueRef widen(Emit *e, LLVMValueRef bits, LType from)
{
	const Ints x = ints_of(e, from.lanes);
	if (is_tiny(from.elem))
		return widen_tiny(e, bits, from);
	if (from.elem == F16)
		return LLVMBuildFPExt(e->b, LLVMBuildBitCast(e->b, bits, half_type(e, from.lanes), ""), x.single, "");
	return as_real(&x, with(&x, LLVMBuildShl, LLVMBuildZExt(e->b, bits, x.type, ""), 16));
}

/* Drops so many bits.  Adding a half, or a bit less where the last place is even, carries into what is kept. */
static LLVMValueRef round_bits(const Ints *x, LLVMValueRef bits, int drop)
{
	LLVMValueRef last = with(x, LLVMBuildAnd, with(x, LLVMBuildLShr, bits, drop), 1);
	LLVMValueRef up = LLVMBuildAdd(x->e->b, with(x, LLVMBuildAdd, bits, (1 << (drop - 1)) - 1), last, "");
	return with(x, LLVMBuildLShr, up, drop);
}

/* A NaN could become infinite by rounding. */
static LLVMValueRef narrow_bf16(Emit *e, LLVMValueRef f, int lanes)
{
	const Ints x = ints_of(e, lanes);
	LLVMValueRef bits = as_ints(&x, f), nan = LLVMBuildFCmp(e->b, LLVMRealUNO, f, f, "");
	LLVMValueRef quiet = with(&x, LLVMBuildLShr, with(&x, LLVMBuildOr, bits, 1 << (Fraction - 1)), 16);
	return LLVMBuildSelect(e->b, nan, quiet, round_bits(&x, bits, 16), "");
}

/* The exponent, rounded up; what has a sign is too small. */
static LLVMValueRef narrow_power(const Ints *x, LLVMValueRef bits, DType t)
{
	int64_t most = (int64_t)largest_bits(t);
	LLVMValueRef r = with(x, LLVMBuildLShr, with(x, LLVMBuildAdd, bits, (1 << Fraction) - 1), Fraction);
	r = unless(x, r, bits, LLVMIntSLE, 1 << (Fraction - 1), constant(x, 0));
	return unless(x, r, r, LLVMIntUGT, most, constant(x, most));
}

/* Numbers that become denormal are rounded by adding one whose last place is theirs. */
static LLVMValueRef narrow_magnitude(const Ints *x, LLVMValueRef bits, DType t)
{
	Format f = formats[t];
	int64_t most = (int64_t)largest_bits(t), bias = Bias - f.bias, unit = (bias + 1 - f.fraction + Fraction) << Fraction;
	LLVMValueRef shifted = LLVMBuildFAdd(x->e->b, as_real(x, bits), as_real(x, constant(x, unit)), "");
	LLVMValueRef small = with(x, LLVMBuildSub, as_ints(x, shifted), unit);
	LLVMValueRef r = with(x, LLVMBuildSub, round_bits(x, bits, Fraction - f.fraction), bias << f.fraction);
	r = unless(x, r, r, LLVMIntSGT, most, constant(x, most));
	return unless(x, r, bits, LLVMIntULT, (bias + 1) << Fraction, small);
}

static LLVMValueRef narrow_tiny(Emit *e, LLVMValueRef v, LType to)
{
	const Ints x = ints_of(e, to.lanes);
	Format f = formats[to.elem];
	int sign_at = f.exponent + f.fraction;
	LLVMValueRef bits = as_ints(&x, v), is_nan = LLVMBuildFCmp(e->b, LLVMRealUNO, v, v, "");
	LLVMValueRef r, nan = constant(&x, (int64_t)nan_bits(to.elem));
	if (f.special == SpecialPower)
		return LLVMBuildSelect(e->b, is_nan, nan, narrow_power(&x, bits, to.elem), "");
	LLVMValueRef sign = with(&x, LLVMBuildShl, with(&x, LLVMBuildLShr, bits, 31), sign_at);
	r = narrow_magnitude(&x, with(&x, LLVMBuildAnd, bits, Magnitude), to.elem);
	if (f.special == SpecialMinusZero)
		sign = unless(&x, sign, r, LLVMIntEQ, 0, constant(&x, 0));
	else if (f.special != SpecialNone)
		nan = LLVMBuildOr(e->b, nan, sign, "");
	return LLVMBuildSelect(e->b, is_nan, nan, LLVMBuildOr(e->b, r, sign, ""), "");
}

static LLVMValueRef narrow(Emit *e, LLVMValueRef f, LType to)
{
	LLVMTypeRef type = value_type(e, to);
	if (to.elem == F16)
		return LLVMBuildBitCast(e->b, LLVMBuildFPTrunc(e->b, f, half_type(e, to.lanes), ""), type, "");
	return LLVMBuildTrunc(e->b, to.elem == BF16 ? narrow_bf16(e, f, to.lanes) : narrow_tiny(e, f, to), type, "");
}

/* f64 to f32, rounded to odd: towards 0, and the last bit is set if that lost something.  With so many bits to spare the second
 * rounding then is right (Boldo and Melquiond, 2008). */
static LLVMValueRef round_to_odd(Emit *e, LLVMValueRef d, int lanes)
{
	LLVMTypeRef single = value_type(e, (LType){F32, lanes}), ints = value_type(e, (LType){I32, lanes}), types[] = {LLVMTypeOf(d)};
	LLVMValueRef f = LLVMBuildFPTrunc(e->b, d, single, ""), back = LLVMBuildFPExt(e->b, f, LLVMTypeOf(d), "");
	LLVMValueRef far = call_intrinsic(e, "llvm.fabs", 1, types, 1, &back), near = call_intrinsic(e, "llvm.fabs", 1, types, 1, &d);
	LLVMValueRef lost = LLVMBuildFCmp(e->b, LLVMRealONE, d, back, ""), above = LLVMBuildFCmp(e->b, LLVMRealOGT, far, near, "");
	LLVMValueRef bits = LLVMBuildBitCast(e->b, f, ints, "");
	bits = LLVMBuildSub(e->b, bits, LLVMBuildZExt(e->b, above, ints, ""), "");
	bits = LLVMBuildOr(e->b, bits, LLVMBuildZExt(e->b, lost, ints, ""), "");
	return LLVMBuildBitCast(e->b, bits, single, "");
}

/* ---- all types ------------------------------------------------------------------------------------------------- */

/* The low bits of a byte, as an element of the type. */
static LLVMValueRef wrap(Emit *e, LLVMValueRef v, LType to)
{
	int unused = 8 - dtypes[to.elem].bits;
	LLVMValueRef high = LLVMBuildShl(e->b, v, int_like(v, unused, to.lanes), ""), by = int_like(v, unused, to.lanes);
	return is_signed(to.elem) ? LLVMBuildAShr(e->b, high, by, "") : LLVMBuildLShr(e->b, high, by, "");
}

LLVMValueRef emit_bitcast(Emit *e, LLVMValueRef v, LType to)
{
	LLVMValueRef r = LLVMBuildBitCast(e->b, v, value_type(e, to), "");
	return is_packed(to.elem) ? wrap(e, r, to) : r;
}

static LLVMValueRef float_like(LLVMValueRef v, double x)
{
	LLVMValueRef all[Lanes];
	for (int i = 0; i < Lanes; i++)
		all[i] = LLVMConstReal(LLVMGetElementType(LLVMTypeOf(v)), x);
	return LLVMConstVector(all, Lanes);
}

/* As the intrinsics fptosi.sat and fptoui.sat, which LLVM makes of one lane after the other. */
static LLVMValueRef saturate_lanes(Emit *e, LLVMValueRef a, DType to)
{
	const int bits = dtypes[to].bits;
	const bool sign = is_signed(to);
	LLVMTypeRef type = value_type(e, (LType){to, Lanes});
	LLVMValueRef none = LLVMConstNull(type);
	LLVMValueRef below = LLVMBuildFCmp(e->b, LLVMRealOLT, a, float_like(a, sign ? ldexp(-1, bits - 1) : 0), "");
	LLVMValueRef above = LLVMBuildFCmp(e->b, LLVMRealOGE, a, float_like(a, ldexp(1, bits - sign)), "");
	LLVMValueRef number = LLVMBuildFCmp(e->b, LLVMRealORD, a, a, "");
	LLVMValueRef inside = LLVMBuildAnd(e->b, number, LLVMBuildNot(e->b, LLVMBuildOr(e->b, below, above, ""), ""), "");
	LLVMValueRef v = LLVMBuildSelect(e->b, inside, a, LLVMConstNull(LLVMTypeOf(a)), "");
	v = sign ? LLVMBuildFPToSI(e->b, v, type, "") : LLVMBuildFPToUI(e->b, v, type, "");
	v = LLVMBuildSelect(e->b, above, int_like(none, highest_scalar(to).i, Lanes), v, "");
	return LLVMBuildSelect(e->b, below, int_like(none, lowest_scalar(to).i, Lanes), v, "");
}

static LLVMValueRef float_to_int(Emit *e, LLVMValueRef a, LType to)
{
	DType via = saturating_type(to.elem);
	LLVMTypeRef types[] = {value_type(e, (LType){via, to.lanes}), LLVMTypeOf(a)};
	LLVMValueRef r;
	if (to.lanes == Lanes)
		r = saturate_lanes(e, a, via);
	else
		r = call_intrinsic(e, is_signed(via) ? "llvm.fptosi.sat" : "llvm.fptoui.sat", 2, types, 1, &a);
	return via == to.elem ? r : LLVMBuildTrunc(e->b, r, value_type(e, to), "");
}

LLVMValueRef emit_convert(Emit *e, LLVMValueRef a, LType from, LType to)
{
	const LType single = {F32, to.lanes};
	LLVMTypeRef type = value_type(e, to);
	LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(a));
	if (from.elem == to.elem)
		return a;
	if (is_narrow(from.elem))
		return emit_convert(e, widen(e, a, from), single, to);
	if (is_narrow(to.elem))
		return narrow(e, from.elem == F64 ? round_to_odd(e, a, to.lanes) : emit_convert(e, a, from, single), to);
	if (is_packed(to.elem))
		return wrap(e, emit_convert(e, a, from, (LType){wide_type(to.elem), to.lanes}), to);
	if (to.elem == Bool)
		return is_float(from.elem) ? LLVMBuildFCmp(e->b, LLVMRealUNE, a, zero, "")
		                           : LLVMBuildICmp(e->b, LLVMIntNE, a, zero, "");
	if (is_float(from.elem) && is_float(to.elem))
		return LLVMBuildFPCast(e->b, a, type, "");
	if (is_float(from.elem))
		return float_to_int(e, a, to);
	if (is_float(to.elem))
		return is_signed(from.elem) ? LLVMBuildSIToFP(e->b, a, type, "") : LLVMBuildUIToFP(e->b, a, type, "");
	return LLVMBuildIntCast2(e->b, a, type, is_signed(from.elem), "");
}
