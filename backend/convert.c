/* convert.c - value conversions of the loop IR as LLVM values: as cast_scalar() of ir/scalar.c says, bit for bit.
 *
 * f16 and bf16 are integers here.  f16 has instructions (F16C is part of both targets), which LLVM makes of casts between half
 * and float; bf16 is the upper half of an f32.  What narrows to them goes through f32: an f64 so that nothing is rounded twice.
 */
#include "emit.h"

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

/* ---- f16 and bf16 ---------------------------------------------------------------------------------------------- */

static LLVMValueRef widen(Emit *e, LLVMValueRef bits, LType from)
{
	LLVMTypeRef single = value_type(e, (LType){F32, from.lanes});
	if (from.elem == F16)
		return LLVMBuildFPExt(e->b, LLVMBuildBitCast(e->b, bits, half_type(e, from.lanes), ""), single, "");
	bits = LLVMBuildZExt(e->b, bits, value_type(e, (LType){I32, from.lanes}), "");
	return LLVMBuildBitCast(e->b, LLVMBuildShl(e->b, bits, int_like(bits, 16, from.lanes), ""), single, "");
}

/* Adding a half, or a bit less where the last place is even, carries into what is kept; a NaN could become infinite by it. */
static LLVMValueRef narrow_bf16(Emit *e, LLVMValueRef f, int lanes)
{
	LLVMValueRef bits = LLVMBuildBitCast(e->b, f, value_type(e, (LType){I32, lanes}), "");
	LLVMValueRef last = LLVMBuildAnd(e->b, LLVMBuildLShr(e->b, bits, int_like(bits, 16, lanes), ""), int_like(bits, 1, lanes), "");
	LLVMValueRef up = LLVMBuildAdd(e->b, LLVMBuildAdd(e->b, bits, int_like(bits, 0x7fff, lanes), ""), last, "");
	LLVMValueRef quiet = LLVMBuildOr(e->b, bits, int_like(bits, 0x400000, lanes), "");
	LLVMValueRef nan = LLVMBuildFCmp(e->b, LLVMRealUNO, f, f, "");
	LLVMValueRef kept = LLVMBuildSelect(e->b, nan, quiet, up, "");
	kept = LLVMBuildLShr(e->b, kept, int_like(bits, 16, lanes), "");
	return LLVMBuildTrunc(e->b, kept, value_type(e, (LType){BF16, lanes}), "");
}

static LLVMValueRef narrow(Emit *e, LLVMValueRef f, LType to)
{
	if (to.elem == BF16)
		return narrow_bf16(e, f, to.lanes);
	return LLVMBuildBitCast(e->b, LLVMBuildFPTrunc(e->b, f, half_type(e, to.lanes), ""), value_type(e, to), "");
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

static LLVMValueRef float_to_int(Emit *e, LLVMValueRef a, LType to)
{
	DType via = saturating_type(to.elem);
	LLVMTypeRef types[] = {value_type(e, (LType){via, to.lanes}), LLVMTypeOf(a)};
	LLVMValueRef r = call_intrinsic(e, is_signed(via) ? "llvm.fptosi.sat" : "llvm.fptoui.sat", 2, types, 1, &a);
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
