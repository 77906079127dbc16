/* value.c - expressions of the loop IR as LLVM values: types, arithmetic, memory.
 *
 * What the loop IR leaves defined and LLVM does not (division by zero, shifts beyond the width, conversions out of
 * range) is spelled out here.  Min, Max and the reductions are exactly loop_ops.def's.
 */
#include "emit.h"

#include <string.h>

#include "../runtime/dcc.h"

/* ---- types, constants, helpers --------------------------------------------------------------------------------- */

void begin_emit(Emit *e)
{
	e->i1 = LLVMInt1TypeInContext(e->cx);
	e->i8 = LLVMInt8TypeInContext(e->cx);
	e->i32 = LLVMInt32TypeInContext(e->cx);
	e->i64 = LLVMInt64TypeInContext(e->cx);
	e->ptr = LLVMPointerTypeInContext(e->cx, 0);
	e->void_type = LLVMVoidTypeInContext(e->cx);
	e->zeros = LLVMAddGlobal(e->mod, e->i64, "zeros");
	LLVMSetInitializer(e->zeros, LLVMConstNull(e->i64));
	LLVMSetGlobalConstant(e->zeros, true);
	LLVMSetLinkage(e->zeros, LLVMPrivateLinkage);
	LLVMSetAlignment(e->zeros, 8);
}

const char *function_name(const Emit *e)
{
	return e->fn ? e->fn->name : "(module)";
}

static bool is_float(DType t)
{
	return dtypes[t].cls == ClassFloat && !is_narrow(t);
}

static bool is_signed(DType t)
{
	return dtypes[t].cls == ClassSigned;
}

LLVMTypeRef elem_type(Emit *e, DType t, bool memory)
{
	if (t == Bool)
		return memory ? e->i8 : e->i1;
	if (t == F32)
		return LLVMFloatTypeInContext(e->cx);
	if (t == F64)
		return LLVMDoubleTypeInContext(e->cx);
	return LLVMIntTypeInContext(e->cx, (unsigned)dtypes[t].bytes * 8);
}

LLVMTypeRef with_lanes(LLVMTypeRef elem, int lanes)
{
	return lanes == 1 ? elem : LLVMVectorType(elem, (unsigned)lanes);
}

LLVMTypeRef value_type(Emit *e, LType t)
{
	return with_lanes(elem_type(e, t.elem, false), t.lanes);
}

LLVMValueRef const_i64_of(Emit *e, int64_t v)
{
	return LLVMConstInt(e->i64, (uint64_t)v, true);
}

LLVMValueRef const_i32_of(Emit *e, int v)
{
	return LLVMConstInt(e->i32, (uint64_t)v, true);
}

static LLVMValueRef splat_const(LLVMValueRef v, int lanes)
{
	LLVMValueRef all[Lanes];
	for (int i = 0; i < Lanes; i++)
		all[i] = v;
	return lanes == 1 ? v : LLVMConstVector(all, (unsigned)lanes);
}

static LLVMValueRef int_of_type(LLVMTypeRef type, int lanes, int64_t v)
{
	return splat_const(LLVMConstInt(lanes == 1 ? type : LLVMGetElementType(type), (uint64_t)v, true), lanes);
}

static LLVMValueRef splat(Emit *e, LLVMValueRef v)
{
	LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(v), Lanes);
	if (LLVMIsConstant(v))
		return splat_const(v, Lanes);
	LLVMValueRef one = LLVMBuildInsertElement(e->b, LLVMGetPoison(type), v, const_i64_of(e, 0), "");
	LLVMValueRef zero = LLVMConstNull(LLVMVectorType(e->i32, Lanes));
	return LLVMBuildShuffleVector(e->b, one, LLVMGetPoison(type), zero, "");
}

static LLVMValueRef lane(Emit *e, LLVMValueRef v, int i)
{
	return LLVMBuildExtractElement(e->b, v, const_i64_of(e, i), "");
}

static LLVMValueRef iota(LLVMTypeRef elem, bool floating)
{
	LLVMValueRef lanes[Lanes];
	for (int i = 0; i < Lanes; i++)
		lanes[i] = floating ? LLVMConstReal(elem, i) : LLVMConstInt(elem, (uint64_t)i, false);
	return LLVMConstVector(lanes, Lanes);
}

LLVMValueRef call_intrinsic(Emit *e, const char *name, int ntype, LLVMTypeRef *types, int narg, LLVMValueRef *args)
{
	unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
	if (!id)
		bug("LLVM has no intrinsic %s", name);
	LLVMValueRef f = LLVMGetIntrinsicDeclaration(e->mod, id, types, (size_t)ntype);
	return LLVMBuildCall2(e->b, LLVMIntrinsicGetType(e->cx, id, types, (size_t)ntype), f, args, (unsigned)narg, "");
}

static LLVMValueRef unary_intrinsic(Emit *e, const char *name, LLVMValueRef a)
{
	LLVMTypeRef type = LLVMTypeOf(a);
	return call_intrinsic(e, name, 1, &type, 1, &a);
}

bool is_llvm_int(LLVMValueRef v, int64_t *value)
{
	if (!LLVMIsAConstantInt(v))
		return false;
	*value = LLVMConstIntGetSExtValue(v);
	return true;
}

int64_t need_const(Emit *e, const LExpr *x, const char *what)
{
	int64_t v;
	if (!is_llvm_int(emit_expr(e, x), &v))
		bug("%s: %s is not constant after unrolling", function_name(e), what);
	return v;
}

LLVMValueRef load_field(Emit *e, LLVMValueRef base, uint64_t offset, LLVMTypeRef type)
{
	LLVMValueRef at = const_i64_of(e, (int64_t)offset);
	return LLVMBuildLoad2(e->b, type, offset ? LLVMBuildGEP2(e->b, e->i8, base, &at, 1, "") : base, "");
}

void store_field(Emit *e, LLVMValueRef base, uint64_t offset, LLVMValueRef v)
{
	LLVMValueRef at = const_i64_of(e, (int64_t)offset);
	LLVMBuildStore(e->b, v, LLVMBuildGEP2(e->b, e->i8, base, &at, 1, ""));
}

void bind_var(LVar *v, LLVMValueRef value)
{
	v->scratch = value;
}

LLVMBasicBlockRef new_label(Emit *e, const char *name)
{
	return LLVMAppendBasicBlockInContext(e->cx, e->f, name);
}

void place_label(Emit *e, LLVMBasicBlockRef label)
{
	LLVMPositionBuilderAtEnd(e->b, label);
}

/* ---- integer division ------------------------------------------------------------------------------------------ */

/* Rounds down by a constant c > 0. */
static LLVMValueRef divide_by_const(Emit *e, LLVMValueRef a, LLVMTypeRef type, int lanes, int64_t c, bool mod)
{
	LLVMValueRef zero = LLVMConstNull(type);
	if ((c & (c - 1)) == 0) {
		if (mod)
			return LLVMBuildAnd(e->b, a, int_of_type(type, lanes, c - 1), "");
		return LLVMBuildAShr(e->b, a, int_of_type(type, lanes, __builtin_ctzll((uint64_t)c)), "");
	}
	LLVMValueRef by = int_of_type(type, lanes, c);
	LLVMValueRef r = LLVMBuildSRem(e->b, a, by, "");
	LLVMValueRef below = LLVMBuildICmp(e->b, LLVMIntSLT, r, zero, "");
	if (mod)
		return LLVMBuildSelect(e->b, below, LLVMBuildAdd(e->b, r, by, ""), r, "");
	LLVMValueRef q = LLVMBuildSDiv(e->b, a, by, "");
	return LLVMBuildAdd(e->b, q, LLVMBuildSExt(e->b, below, type, ""), "");
}

static LLVMValueRef divide_unsigned(Emit *e, LLVMValueRef a, LLVMValueRef b, LLVMTypeRef type, int lanes, bool mod)
{
	LLVMValueRef none = LLVMBuildICmp(e->b, LLVMIntEQ, b, LLVMConstNull(type), "");
	LLVMValueRef by = LLVMBuildSelect(e->b, none, int_of_type(type, lanes, 1), b, "");
	LLVMValueRef r = mod ? LLVMBuildURem(e->b, a, by, "") : LLVMBuildUDiv(e->b, a, by, "");
	return LLVMBuildSelect(e->b, none, LLVMConstNull(type), r, "");
}

/* LLVM's division is undefined for a divisor 0 and for the smallest number by -1: both divide by 1 instead. */
static LLVMValueRef divide_signed(Emit *e, LLVMValueRef a, LLVMValueRef b, LLVMTypeRef type, int lanes, bool mod)
{
	LLVMValueRef zero = LLVMConstNull(type), one = int_of_type(type, lanes, 1);
	LLVMValueRef none = LLVMBuildICmp(e->b, LLVMIntEQ, b, zero, "");
	LLVMValueRef negate = LLVMBuildICmp(e->b, LLVMIntEQ, b, LLVMConstAllOnes(type), "");
	LLVMValueRef by = LLVMBuildSelect(e->b, LLVMBuildOr(e->b, none, negate, ""), one, b, "");
	LLVMValueRef r = LLVMBuildSRem(e->b, a, by, "");
	LLVMValueRef inexact = LLVMBuildICmp(e->b, LLVMIntNE, r, zero, "");
	LLVMValueRef differ = LLVMBuildICmp(e->b, LLVMIntSLT, LLVMBuildXor(e->b, r, by, ""), zero, "");
	LLVMValueRef down = LLVMBuildAnd(e->b, inexact, differ, "");
	if (mod)
		return LLVMBuildSelect(e->b, down, LLVMBuildAdd(e->b, r, by, ""), r, "");
	LLVMValueRef q = LLVMBuildSDiv(e->b, a, by, "");
	q = LLVMBuildAdd(e->b, q, LLVMBuildSExt(e->b, down, type, ""), "");
	q = LLVMBuildSelect(e->b, negate, LLVMBuildNeg(e->b, a, ""), q, "");
	return LLVMBuildSelect(e->b, none, zero, q, "");
}

/* All that stands in a function of the target, which leaves its callers' registers alone: schedules divide indices so often that divisions
 * were a third of the code of a network of convolutions.  Numbers below 2^32 take the short way.  LLVM moves and merges the calls as it does
 * divisions. */
LLVMValueRef new_divide(Emit *e)
{
	static const char *const flags[] = {"memory", "speculatable", "willreturn"};
	const char *name = arena_printf(e->m->arena, "%s.divide.%s", e->m->name, e->target ? e->target->name : "any");
	LLVMValueRef f = begin_function(e, name, e->i64, 2, (LLVMTypeRef[]){e->i64, e->i64}, false), a = LLVMGetParam(f, 0), b = LLVMGetParam(f, 1);
	LLVMBasicBlockRef small = new_label(e, "small"), any = new_label(e, "any");
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		add_flag(e, f, LLVMAttributeFunctionIndex, flags[i]); /* memory: none */
	LLVMSetFunctionCallConv(f, LLVMPreserveMostCallConv);
	LLVMValueRef high = LLVMBuildLShr(e->b, LLVMBuildOr(e->b, a, b, ""), const_i64_of(e, 32), "");
	LLVMValueRef fits = LLVMBuildICmp(e->b, LLVMIntEQ, high, const_i64_of(e, 0), "");
	LLVMValueRef some = LLVMBuildICmp(e->b, LLVMIntNE, b, const_i64_of(e, 0), "");
	LLVMBuildCondBr(e->b, LLVMBuildAnd(e->b, fits, some, ""), small, any);
	place_label(e, small);
	LLVMValueRef q = LLVMBuildUDiv(e->b, LLVMBuildTrunc(e->b, a, e->i32, ""), LLVMBuildTrunc(e->b, b, e->i32, ""), "");
	LLVMBuildRet(e->b, LLVMBuildZExt(e->b, q, e->i64, ""));
	place_label(e, any);
	end_function(e, divide_signed(e, a, b, e->i64, 1, false));
	return f;
}

static LLVMValueRef call_divide(Emit *e, LLVMValueRef a, LLVMValueRef b, bool mod)
{
	LLVMValueRef q = LLVMBuildCall2(e->b, LLVMGlobalGetValueType(e->divide), e->divide, (LLVMValueRef[]){a, b}, 2, "");
	LLVMSetInstructionCallConv(q, LLVMPreserveMostCallConv);
	if (!mod)
		return q;
	LLVMValueRef r = LLVMBuildSub(e->b, a, LLVMBuildMul(e->b, q, b, ""), ""), zero = LLVMConstNull(e->i64);
	return LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntEQ, b, zero, ""), zero, r, "");
}

static LLVMValueRef emit_division(Emit *e, const LExpr *x, LLVMValueRef a, LLVMValueRef b)
{
	bool mod = x->op == LMod;
	LLVMTypeRef type = LLVMTypeOf(a);
	int lanes = x->type.lanes;
	if (!is_signed(x->type.elem))
		return divide_unsigned(e, a, b, type, lanes, mod);
	const LExpr *by = x->a[1]->op == LSplat ? x->a[1]->a[0] : x->a[1];
	int64_t c;
	if (by->op == LConst && by->value.i > 0)
		return divide_by_const(e, a, type, lanes, by->value.i, mod);
	if (is_llvm_int(b, &c) && c > 0)
		return divide_by_const(e, a, type, lanes, c, mod);
	if (e->divide && type == e->i64 && !LLVMIsConstant(b))
		return call_divide(e, a, b, mod);
	return divide_signed(e, a, b, type, lanes, mod);
}

/* ---- arithmetic ------------------------------------------------------------------------------------------------ */

static LLVMValueRef emit_compare(Emit *e, LOp op, DType t, LLVMValueRef a, LLVMValueRef b)
{
	static const struct {
		LLVMRealPredicate real;
		LLVMIntPredicate sign, unsign;
	} table[NLOps] = {
		[LEq] = {LLVMRealOEQ, LLVMIntEQ, LLVMIntEQ},
		[LNe] = {LLVMRealUNE, LLVMIntNE, LLVMIntNE},
		[LLt] = {LLVMRealOLT, LLVMIntSLT, LLVMIntULT},
		[LLe] = {LLVMRealOLE, LLVMIntSLE, LLVMIntULE},
	};
	if (is_float(t))
		return LLVMBuildFCmp(e->b, table[op].real, a, b, "");
	return LLVMBuildICmp(e->b, is_signed(t) ? table[op].sign : table[op].unsign, a, b, "");
}

/* iota < n with i64 lanes is four compares of four lanes on AVX2; with n clamped to 0 .. 16 the lanes may be i32. */
static LLVMValueRef emit_prefix_mask(Emit *e, const LExpr *count)
{
	LLVMValueRef n = emit_expr(e, count), lo = const_i64_of(e, 0), hi = const_i64_of(e, Lanes);
	n = LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSGT, n, lo, ""), n, lo, "");
	n = LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, n, hi, ""), n, hi, "");
	n = splat(e, LLVMBuildTrunc(e->b, n, e->i32, ""));
	return LLVMBuildICmp(e->b, LLVMIntSGT, n, iota(e->i32, false), "");
}

static bool is_vector(LLVMValueRef v)
{
	return LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind;
}

static LLVMValueRef some_lanes(Emit *e, LLVMValueRef x, LLVMValueRef y, int first, int n)
{
	LLVMValueRef at[Lanes];
	for (int i = 0; i < n; i++)
		at[i] = LLVMConstInt(e->i32, (uint64_t)(first + i), false);
	return LLVMBuildShuffleVector(e->b, x, y, LLVMConstVector(at, (unsigned)n), "");
}

/* a < b ? a : b or a > b ? a : b */
LLVMValueRef emit_pick(Emit *e, bool max, DType t, LLVMValueRef a, LLVMValueRef b)
{
	LLVMValueRef c;
	if (is_float(t))
		c = LLVMBuildFCmp(e->b, max ? LLVMRealOGT : LLVMRealOLT, a, b, "");
	else if (is_signed(t))
		c = LLVMBuildICmp(e->b, max ? LLVMIntSGT : LLVMIntSLT, a, b, "");
	else
		c = LLVMBuildICmp(e->b, max ? LLVMIntUGT : LLVMIntULT, a, b, "");
	return LLVMBuildSelect(e->b, c, a, b, "");
}

/* The same of 16 numbers, as the instruction that it is.  Written as comparison and choice, LLVM would join it with the next choice: two
 * comparisons, whose masks wait for one another, and no such instruction. */
static LLVMValueRef emit_pick_lanes(Emit *e, bool max, LLVMValueRef a, LLVMValueRef b)
{
	if (e->target->need & DCC_CPU_AVX512) {
		LLVMValueRef args[3] = {a, b, LLVMConstInt(e->i32, 4, false)}; /* rounding as it is */
		return call_intrinsic(e, max ? "llvm.x86.avx512.max.ps.512" : "llvm.x86.avx512.min.ps.512", 0, NULL, 3, args);
	}
	LLVMValueRef half[2];
	for (int i = 0; i < 2; i++) {
		LLVMValueRef args[2] = {some_lanes(e, a, a, i * Lanes / 2, Lanes / 2), some_lanes(e, b, b, i * Lanes / 2, Lanes / 2)};
		half[i] = call_intrinsic(e, max ? "llvm.x86.avx.max.ps.256" : "llvm.x86.avx.min.ps.256", 0, NULL, 2, args);
	}
	return some_lanes(e, half[0], half[1], 0, Lanes);
}

static LLVMValueRef emit_minmax(Emit *e, LOp op, DType t, LLVMValueRef a, LLVMValueRef b)
{
	const bool max = op == LMax || op == LPMax || op == LHMax, propagates = is_float(t) && op != LPMin && op != LPMax;
	if (!propagates)
		return emit_pick(e, max, t, a, b);
	const bool lanes = t == F32 && e->target && is_vector(a) && LLVMGetVectorSize(LLVMTypeOf(a)) == Lanes;
	LLVMValueRef r = lanes ? emit_pick_lanes(e, max, a, b) : emit_pick(e, max, t, a, b);
	return LLVMBuildSelect(e->b, LLVMBuildFCmp(e->b, LLVMRealUNO, a, a, ""), a, r, "");
}

static LLVMValueRef slice_lanes(Emit *e, LLVMValueRef v, int from, int n)
{
	LLVMValueRef idx[Lanes];
	for (int i = 0; i < n; i++)
		idx[i] = const_i32_of(e, from + i);
	return LLVMBuildShuffleVector(e->b, v, LLVMGetPoison(LLVMTypeOf(v)), LLVMConstVector(idx, (unsigned)n), "");
}

static LLVMValueRef emit_zip(Emit *e, int from, LLVMValueRef a, LLVMValueRef b)
{
	LLVMValueRef idx[Lanes];
	for (int i = 0; i < Lanes; i++)
		idx[i] = const_i32_of(e, from + i / 2 + i % 2 * Lanes);
	return LLVMBuildShuffleVector(e->b, a, b, LLVMConstVector(idx, Lanes), "");
}

/* Lane i with i + 8, then i + 4, i + 2, i + 1: the one order of every reduction. */
static LLVMValueRef emit_horizontal(Emit *e, LOp op, DType t, LLVMValueRef v)
{
	for (int half = Lanes / 2; half >= 1; half /= 2) {
		LLVMValueRef a = half > 1 ? slice_lanes(e, v, 0, half) : lane(e, v, 0);
		LLVMValueRef b = half > 1 ? slice_lanes(e, v, half, half) : lane(e, v, 1);
		if (op != LHAdd)
			v = emit_minmax(e, op, t, a, b);
		else
			v = is_float(t) ? LLVMBuildFAdd(e->b, a, b, "") : LLVMBuildAdd(e->b, a, b, "");
	}
	return v;
}

/* A count beyond the width shifts everything out; in LLVM it would be undefined. */
static LLVMValueRef emit_shift(Emit *e, const LExpr *x, LLVMValueRef a, LLVMValueRef n)
{
	LLVMTypeRef type = LLVMTypeOf(a);
	LLVMValueRef most = int_of_type(type, x->type.lanes, dtypes[x->type.elem].bytes * 8 - 1);
	LLVMValueRef inside = LLVMBuildICmp(e->b, LLVMIntULE, n, most, "");
	LLVMValueRef by = LLVMBuildSelect(e->b, inside, n, most, "");
	if (x->op == LShr && is_signed(x->type.elem))
		return LLVMBuildAShr(e->b, a, by, "");
	LLVMValueRef r = x->op == LShl ? LLVMBuildShl(e->b, a, by, "") : LLVMBuildLShr(e->b, a, by, "");
	return LLVMBuildSelect(e->b, inside, r, LLVMConstNull(type), "");
}

static LLVMValueRef emit_abs(Emit *e, DType t, LLVMValueRef a)
{
	if (is_float(t))
		return unary_intrinsic(e, "llvm.fabs", a);
	if (!is_signed(t))
		return a;
	LLVMTypeRef type = LLVMTypeOf(a);
	LLVMValueRef args[] = {a, LLVMConstInt(e->i1, 0, false)};
	return call_intrinsic(e, "llvm.abs", 1, &type, 2, args);
}

static LLVMValueRef emit_const(Emit *e, const LExpr *x)
{
	LLVMTypeRef type = elem_type(e, x->type.elem, false);
	if (is_float(x->type.elem))
		return splat_const(LLVMConstReal(type, x->value.f), x->type.lanes);
	uint64_t bits = 0;
	put_scalar(&bits, x->value);
	return splat_const(LLVMConstInt(type, bits, false), x->type.lanes);
}

/* ---- memory ---------------------------------------------------------------------------------------------------- */

LLVMValueRef buffer_address(Emit *e, const LBuf *buf)
{
	return buf->scratch ? buf->scratch : program_buffer(e, buf->name);
}

LLVMValueRef emit_address(Emit *e, const LBuf *buf, LLVMValueRef idx)
{
	return LLVMBuildGEP2(e->b, elem_type(e, buf->elem, true), buffer_address(e, buf), &idx, 1, "");
}

static LLVMValueRef from_memory(Emit *e, DType t, LLVMValueRef v)
{
	return t == Bool ? LLVMBuildICmp(e->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "") : v;
}

static LLVMValueRef to_memory(Emit *e, LType t, LLVMValueRef v)
{
	return t.elem == Bool ? LLVMBuildZExt(e->b, v, with_lanes(e->i8, t.lanes), "") : v;
}

static LLVMValueRef lane_address(Emit *e, const LBuf *buf, LLVMValueRef idx, LLVMValueRef stride, int i)
{
	LLVMValueRef step = stride ? LLVMBuildMul(e->b, stride, const_i64_of(e, i), "") : const_i64_of(e, i);
	return emit_address(e, buf, LLVMBuildAdd(e->b, idx, step, ""));
}

static LLVMValueRef lane_addresses(Emit *e, const LBuf *buf, LLVMValueRef idx, LLVMValueRef stride)
{
	LLVMValueRef step = iota(e->i64, false);
	step = LLVMBuildMul(e->b, splat(e, stride), step, "");
	LLVMValueRef at = emit_address(e, buf, idx);
	return LLVMBuildGEP2(e->b, elem_type(e, buf->elem, true), at, &step, 1, "");
}

/* AVX2 has no masked access to bytes and words, no scatter, and LLVM branches around each lane of its gathers:
 * those go lane by lane. */
static bool by_lanes(const Emit *e, DType t, bool strided, bool masked)
{
	if (e->target->need & DCC_CPU_AVX512)
		return !masked || (strided && dtypes[t].bytes < 4);
	return strided || dtypes[t].bytes < 4;
}

/* Masked-off lanes read zeros or write to a spare cell instead, so there are no branches. */
static LLVMValueRef load_lanes(Emit *e, const LBuf *buf, LLVMValueRef idx, LLVMValueRef stride, LLVMValueRef mask)
{
	LLVMTypeRef elem = elem_type(e, buf->elem, true);
	LLVMValueRef r = LLVMGetPoison(LLVMVectorType(elem, Lanes));
	for (int i = 0; i < Lanes; i++) {
		LLVMValueRef at = lane_address(e, buf, idx, stride, i);
		if (mask)
			at = LLVMBuildSelect(e->b, lane(e, mask, i), at, e->zeros, "");
		LLVMValueRef v = LLVMBuildLoad2(e->b, elem, at, "");
		LLVMSetAlignment(v, (unsigned)dtypes[buf->elem].bytes);
		r = LLVMBuildInsertElement(e->b, r, v, const_i64_of(e, i), "");
	}
	return r;
}

static void store_lanes(Emit *e, const LBuf *buf, LLVMValueRef idx, LLVMValueRef stride, LLVMValueRef mask,
                        LLVMValueRef v)
{
	if (mask && !e->spill)
		e->spill = LLVMBuildAlloca(e->allocas, e->i64, "");
	for (int i = 0; i < Lanes; i++) {
		LLVMValueRef at = lane_address(e, buf, idx, stride, i);
		if (mask)
			at = LLVMBuildSelect(e->b, lane(e, mask, i), at, e->spill, "");
		LLVMSetAlignment(LLVMBuildStore(e->b, lane(e, v, i), at), (unsigned)dtypes[buf->elem].bytes);
	}
}

static LLVMValueRef load_side_by_side(Emit *e, const LBuf *buf, LLVMValueRef idx, LLVMValueRef mask)
{
	LLVMTypeRef type = LLVMVectorType(elem_type(e, buf->elem, true), Lanes);
	unsigned align = (unsigned)dtypes[buf->elem].bytes;
	LLVMValueRef at = emit_address(e, buf, idx);
	if (!mask) {
		LLVMValueRef v = LLVMBuildLoad2(e->b, type, at, "");
		LLVMSetAlignment(v, align);
		return v;
	}
	LLVMTypeRef types[] = {type, LLVMTypeOf(at)};
	LLVMValueRef args[] = {at, const_i32_of(e, (int)align), mask, LLVMConstNull(type)};
	return call_intrinsic(e, "llvm.masked.load", 2, types, 4, args);
}

/* Lanes that lie `step` elements apart, or in reverse: as many vectors as have them, the last of which ends with the last of them.  A gather
 * takes three to ten times as long. */
static LLVMValueRef load_apart(Emit *e, const LBuf *buf, LLVMValueRef idx, int64_t step, LLVMValueRef mask)
{
	const int64_t first = step < 0 ? step * (Lanes - 1) : 0, span = (step < 0 ? -step : step) * (Lanes - 1) + 1;
	const int n = (int)((span + Lanes - 1) / Lanes);
	LLVMValueRef r = NULL, pick[Lanes];

	for (int j = 0; j < n; j++) {
		const int64_t from = first + (j < n - 1 ? j * Lanes : span - Lanes), past = first + (int64_t)j * Lanes;
		LLVMValueRef part_mask = NULL;
		int lane_of[Lanes]; /* of r, at each lane of the part */
		for (int i = 0; i < Lanes; i++)
			lane_of[i] = -1;
		for (int i = 0; i < Lanes; i++) {
			const bool here = i * step >= past && i * step < past + Lanes;
			if (here)
				lane_of[i * step - from] = i;
			pick[i] = const_i32_of(e, here ? Lanes + (int)(i * step - from) : i);
		}
		if (mask) {
			LLVMValueRef spread[Lanes];
			for (int i = 0; i < Lanes; i++)
				spread[i] = const_i32_of(e, lane_of[i] < 0 ? Lanes : lane_of[i]);
			part_mask = LLVMBuildShuffleVector(e->b, mask, LLVMConstNull(LLVMTypeOf(mask)), LLVMConstVector(spread, Lanes), "");
		}
		LLVMValueRef part = load_side_by_side(e, buf, LLVMBuildAdd(e->b, idx, const_i64_of(e, from), ""), part_mask);
		r = LLVMBuildShuffleVector(e->b, r ? r : LLVMGetPoison(LLVMTypeOf(part)), part, LLVMConstVector(pick, Lanes), "");
	}
	return r;
}

static LLVMValueRef load_vector(Emit *e, const LBuf *buf, LLVMValueRef idx, LLVMValueRef stride, LLVMValueRef mask)
{
	if (!stride && !mask)
		return load_side_by_side(e, buf, idx, NULL);
	if (stride && LLVMIsAConstantInt(stride) && loads_by_shuffles(LLVMConstIntGetSExtValue(stride)) && (!mask || !by_lanes(e, buf->elem, false, true)))
		return load_apart(e, buf, idx, LLVMConstIntGetSExtValue(stride), mask);
	if (by_lanes(e, buf->elem, stride, mask))
		return load_lanes(e, buf, idx, stride, mask);
	if (!stride)
		return load_side_by_side(e, buf, idx, mask);
	LLVMTypeRef type = LLVMVectorType(elem_type(e, buf->elem, true), Lanes);
	LLVMValueRef at = lane_addresses(e, buf, idx, stride);
	LLVMTypeRef types[] = {type, LLVMTypeOf(at)};
	LLVMValueRef args[] = {at, const_i32_of(e, (int)dtypes[buf->elem].bytes), mask, LLVMConstNull(type)};
	return call_intrinsic(e, "llvm.masked.gather", 2, types, 4, args);
}

static LLVMValueRef emit_load(Emit *e, const LExpr *x)
{
	LLVMValueRef idx = emit_expr(e, x->a[0]);
	if (x->type.lanes == 1) {
		LLVMValueRef v = LLVMBuildLoad2(e->b, elem_type(e, x->buf->elem, true), emit_address(e, x->buf, idx), "");
		LLVMSetAlignment(v, (unsigned)dtypes[x->buf->elem].bytes);
		return from_memory(e, x->type.elem, v);
	}
	LLVMValueRef stride = x->stride ? emit_expr(e, x->stride) : NULL;
	LLVMValueRef mask = x->mask ? emit_expr(e, x->mask) : NULL;
	return from_memory(e, x->type.elem, load_vector(e, x->buf, idx, stride, mask));
}

void emit_store(Emit *e, const LStmt *s)
{
	LLVMValueRef v = to_memory(e, s->e->type, emit_expr(e, s->e)), idx = emit_expr(e, s->idx);
	unsigned align = (unsigned)dtypes[s->buf->elem].bytes;
	LLVMValueRef stride = s->stride ? emit_expr(e, s->stride) : NULL;
	LLVMValueRef mask = s->mask ? emit_expr(e, s->mask) : NULL;
	if (!stride && !mask) {
		LLVMSetAlignment(LLVMBuildStore(e->b, v, emit_address(e, s->buf, idx)), align);
		return;
	}
	if (by_lanes(e, s->buf->elem, stride, mask)) {
		store_lanes(e, s->buf, idx, stride, mask, v);
		return;
	}
	LLVMValueRef at = stride ? lane_addresses(e, s->buf, idx, stride) : emit_address(e, s->buf, idx);
	LLVMTypeRef types[] = {LLVMTypeOf(v), LLVMTypeOf(at)};
	LLVMValueRef args[] = {v, at, const_i32_of(e, (int)align), mask};
	call_intrinsic(e, stride ? "llvm.masked.scatter" : "llvm.masked.store", 2, types, 4, args);
}

LLVMValueRef tile_cell(Emit *e, const LTile *t, const LExpr *i, const LExpr *j)
{
	int64_t row = need_const(e, i, "a tile's row"), col = need_const(e, j, "a tile's column");
	if (row < 0 || row >= t->rows || col < 0 || col >= t->cols)
		bug("%s: element [%lld, %lld] of tile %s", e->fn->name, (long long)row, (long long)col, t->name);
	return ((LLVMValueRef *)t->scratch)[row * t->cols + col];
}

static LLVMValueRef emit_tensor_dim(Emit *e, const LExpr *x)
{
	uint64_t t = (uint64_t)need_const(e, x->a[0], "a tensor's number");
	uint64_t d = (uint64_t)need_const(e, x->a[1], "an axis");
	LLVMValueRef base = x->op == LInDim ? e->inputs : e->outputs;
	if (!base || d >= DCC_MAX_RANK)
		bug("%s out of place", x->op == LInDim ? "indim" : "outdim");
	return load_field(e, base, t * sizeof(dcc_tensor) + offsetof(dcc_tensor, dims) + d * sizeof(int64_t), e->i64);
}

/* floor(v * times), saturated to +-DimMax; NaN is the least.  Truncated, and one less where that was up: x86-64 has no instruction
 * for floor that the library's callers are sure to have. */
static LLVMValueRef emit_scaled(Emit *e, LLVMValueRef v, LLVMValueRef times)
{
	const LType real = {F64, 1}, index = {I64, 1};
	LLVMValueRef most = emit_convert(e, const_i64_of(e, DimMax), index, real);
	LLVMValueRef least = emit_convert(e, const_i64_of(e, -DimMax), index, real);
	v = LLVMBuildFMul(e->b, v, emit_convert(e, times, index, real), "");
	v = LLVMBuildSelect(e->b, LLVMBuildFCmp(e->b, LLVMRealOGT, v, least, ""), v, least, "");
	v = LLVMBuildSelect(e->b, LLVMBuildFCmp(e->b, LLVMRealOLT, v, most, ""), v, most, "");
	LLVMValueRef whole = emit_convert(e, v, real, index);
	LLVMValueRef up = LLVMBuildFCmp(e->b, LLVMRealOGT, emit_convert(e, whole, index, real), v, "");
	return LLVMBuildSub(e->b, whole, LLVMBuildZExt(e->b, up, e->i64, ""), "");
}

static LLVMValueRef emit_tensor_element(Emit *e, const LExpr *x)
{
	uint64_t t = (uint64_t)need_const(e, x->a[0], "a tensor's number");
	uint64_t i = (uint64_t)need_const(e, x->a[1], "an element");
	if (!e->inputs || t >= (uint64_t)e->m->main->nparam)
		bug("%s out of place", lops[x->op].text);
	DType dtype = e->m->main->params[t]->type.dtype;
	LLVMValueRef data = load_field(e, e->inputs, t * sizeof(dcc_tensor) + offsetof(dcc_tensor, data), e->ptr);
	LLVMValueRef v = load_field(e, data, i * (uint64_t)dtypes[dtype].bytes, elem_type(e, dtype, true));
	if (x->op == LInScaled)
		return emit_scaled(e, emit_convert(e, v, (LType){dtype, 1}, (LType){F64, 1}), emit_expr(e, x->a[2]));
	return LLVMBuildIntCast2(e->b, v, e->i64, dtypes[dtype].cls == ClassSigned, "");
}

/* ---- products of short integers in lanes of i32 ------------------------------------------------------------------ */

static LLVMValueRef lanes_of(Emit *e, LLVMValueRef like, int64_t number)
{
	LLVMValueRef c = LLVMConstInt(e->i32, (uint64_t)number, true);
	return is_vector(like) ? splat(e, c) : c;
}

/* `bits` bits of each lane from bit `from` on, with their sign. */
static LLVMValueRef signed_part(Emit *e, LLVMValueRef v, int from, int bits)
{
	LLVMValueRef up = LLVMBuildShl(e->b, v, lanes_of(e, v, 32 - from - bits), "");
	return LLVMBuildAShr(e->b, up, lanes_of(e, v, 32 - bits), "");
}

/* Eight or sixteen lanes of x and y: sums of products of halves. */
static LLVMValueRef madd(Emit *e, LLVMValueRef x, LLVMValueRef y, int lanes)
{
	LLVMTypeRef halves = LLVMVectorType(LLVMInt16TypeInContext(e->cx), (unsigned)lanes * 2);
	LLVMValueRef a[2] = {LLVMBuildBitCast(e->b, x, halves, ""), LLVMBuildBitCast(e->b, y, halves, "")};
	return call_intrinsic(e, lanes == Lanes ? "llvm.x86.avx512.pmaddw.d.512" : "llvm.x86.avx2.pmadd.wd", 0, NULL, 2, a);
}

/* The sum of x's halves times bytes `odd` and odd + 2 of y. */
static LLVMValueRef dot_halves(Emit *e, LLVMValueRef x, LLVMValueRef y, int odd)
{
	if (!e->target || !is_vector(x)) {
		LLVMValueRef p[2];
		for (int i = 0; i < 2; i++)
			p[i] = LLVMBuildMul(e->b, signed_part(e, x, 16 * i, 16), signed_part(e, y, 16 * i + 8 * odd, 8), "");
		return LLVMBuildAdd(e->b, p[0], p[1], "");
	}
	LLVMTypeRef halves = LLVMVectorType(LLVMInt16TypeInContext(e->cx), 2 * Lanes), type = LLVMTypeOf(y);
	LLVMValueRef eights[2 * Lanes], by;
	for (int i = 0; i < 2 * Lanes; i++)
		eights[i] = LLVMConstInt(LLVMInt16TypeInContext(e->cx), 8, false);
	by = LLVMConstVector(eights, 2 * Lanes);
	y = LLVMBuildBitCast(e->b, y, halves, "");
	y = LLVMBuildAShr(e->b, odd ? y : LLVMBuildShl(e->b, y, by, ""), by, "");
	y = LLVMBuildBitCast(e->b, y, type, "");
	if (e->target->need & DCC_CPU_AVX512)
		return madd(e, x, y, Lanes);
	LLVMValueRef part[2];
	for (int i = 0; i < 2; i++)
		part[i] = madd(e, some_lanes(e, x, x, i * Lanes / 2, Lanes / 2), some_lanes(e, y, y, i * Lanes / 2, Lanes / 2), Lanes / 2);
	return some_lanes(e, part[0], part[1], 0, Lanes);
}

static LLVMValueRef emit_dot(Emit *e, LOp op, LLVMValueRef *a)
{
	if (op == LDot4 && is_vector(a[0]) && e->target && e->target->need & DCC_CPU_VNNI)
		return call_intrinsic(e, "llvm.x86.avx512.vpdpbusd.512", 0, NULL, 3, (LLVMValueRef[]){a[2], a[0], a[1]});
	if (op != LDot4)
		return LLVMBuildAdd(e->b, dot_halves(e, a[0], a[1], op == LDotOdd), a[2], "");
	LLVMValueRef sum = a[2], low = lanes_of(e, a[0], 0xff00ff);
	for (int odd = 0; odd < 2; odd++) {
		LLVMValueRef x = odd ? LLVMBuildLShr(e->b, a[0], lanes_of(e, a[0], 8), "") : a[0];
		sum = LLVMBuildAdd(e->b, dot_halves(e, LLVMBuildAnd(e->b, x, low, ""), a[1], odd), sum, "");
	}
	return sum;
}

/* ---- expressions ----------------------------------------------------------------------------------------------- */

void bind_syms_from(Emit *e, LLVMValueRef syms)
{
	for (int i = 0; i < e->lm->nsym; i++) {
		e->lm->syms[i]->number = i;
		bind_var(e->lm->syms[i], NULL);
	}
	e->syms = syms;
}

/* What has no value yet is a symbol: number `number` of the array, or cell -1 - number of the workspace. */
static LLVMValueRef emit_ref(Emit *e, const LVar *v)
{
	bool cell = v->number < 0;
	if (v->scratch)
		return v->scratch;
	if (!e->syms)
		bug("%s: %s is read before it is bound", function_name(e), v->name);
	LLVMValueRef array = cell ? load_field(e, e->frame, offsetof(dcc_frame, workspace), e->ptr) : e->syms;
	return load_field(e, array, (uint64_t)(cell ? -1 - v->number : v->number) * sizeof(int64_t), e->i64);
}

static LLVMValueRef emit_leaf(Emit *e, const LExpr *x)
{
	switch (x->op) {
	case LConst: return emit_const(e, x);
	case LRef: return emit_ref(e, x->var);
	case LIota: return iota(elem_type(e, x->type.elem, false), is_float(x->type.elem));
	case LFailed: return LLVMBuildIsNotNull(e->b, LLVMBuildLoad2(e->b, e->i64, e->status, ""), "");
	case LWorker: return e->worker;
	case LLoad: return emit_load(e, x);
	case LElem: return LLVMBuildLoad2(e->b, value_type(e, x->type), tile_cell(e, x->tile, x->a[0], x->a[1]), "");
	case LInData: case LInScaled: return emit_tensor_element(e, x);
	default: return emit_tensor_dim(e, x);
	}
}

static LLVMValueRef emit_float_op(Emit *e, const LExpr *x, LLVMValueRef *a)
{
	LLVMTypeRef type = LLVMTypeOf(a[0]);
	switch (x->op) {
	case LAdd: return LLVMBuildFAdd(e->b, a[0], a[1], "");
	case LSub: return LLVMBuildFSub(e->b, a[0], a[1], "");
	case LMul: return LLVMBuildFMul(e->b, a[0], a[1], "");
	case LDiv: return LLVMBuildFDiv(e->b, a[0], a[1], "");
	case LFma: return call_intrinsic(e, "llvm.fma", 1, &type, 3, a);
	case LNeg: return LLVMBuildFNeg(e->b, a[0], "");
	case LSqrt: return unary_intrinsic(e, "llvm.sqrt", a[0]);
	case LFloor: return unary_intrinsic(e, "llvm.floor", a[0]);
	case LCeil: return unary_intrinsic(e, "llvm.ceil", a[0]);
	case LRound: return unary_intrinsic(e, "llvm.roundeven", a[0]);
	default: bug("%s: floating operation %d", function_name(e), x->op);
	}
}

static LLVMValueRef emit_int_op(Emit *e, const LExpr *x, LLVMValueRef *a)
{
	switch (x->op) {
	case LAdd: return LLVMBuildAdd(e->b, a[0], a[1], "");
	case LSub: return LLVMBuildSub(e->b, a[0], a[1], "");
	case LMul: return LLVMBuildMul(e->b, a[0], a[1], "");
	case LFloorDiv: case LMod: return emit_division(e, x, a[0], a[1]);
	case LFma: return LLVMBuildAdd(e->b, LLVMBuildMul(e->b, a[0], a[1], ""), a[2], "");
	case LNeg: return LLVMBuildNeg(e->b, a[0], "");
	case LFloor: case LCeil: case LRound: return a[0];
	case LAnd: return LLVMBuildAnd(e->b, a[0], a[1], "");
	case LOr: return LLVMBuildOr(e->b, a[0], a[1], "");
	case LXor: return LLVMBuildXor(e->b, a[0], a[1], "");
	case LNot: return LLVMBuildNot(e->b, a[0], "");
	case LShl: case LShr: return emit_shift(e, x, a[0], a[1]);
	case LDot4: case LDotEven: case LDotOdd: return emit_dot(e, x->op, a);
	default: bug("%s: integer operation %d", function_name(e), x->op);
	}
}

static bool is_prefix_mask(const LExpr *x)
{
	return x->op == LLt && x->a[0]->op == LIota && x->a[0]->type.elem == I64 && x->a[1]->op == LSplat;
}

static LLVMValueRef emit_op(Emit *e, const LExpr *x)
{
	LLVMValueRef a[3];
	if (lops[x->op].nargs == 0 || x->op == LLoad || x->op == LElem || asks_port(x->op))
		return emit_leaf(e, x);
	if (is_prefix_mask(x))
		return emit_prefix_mask(e, x->a[1]->a[0]);
	for (int i = 0; i < lops[x->op].nargs; i++)
		a[i] = emit_expr(e, x->a[i]);
	LType from = x->a[0]->type;
	switch (x->op) {
	case LEq: case LNe: case LLt: case LLe: return emit_compare(e, x->op, from.elem, a[0], a[1]);
	case LMin: case LMax: case LPMin: case LPMax: return emit_minmax(e, x->op, from.elem, a[0], a[1]);
	case LHAdd: case LHMax: case LHMin: return emit_horizontal(e, x->op, from.elem, a[0]);
	case LZipLo: return emit_zip(e, 0, a[0], a[1]);
	case LZipHi: return emit_zip(e, Lanes / 2, a[0], a[1]);
	case LSelect: return LLVMBuildSelect(e->b, a[0], a[1], a[2], "");
	case LConvert: return emit_convert(e, a[0], from, x->type);
	case LBitcast: return emit_bitcast(e, a[0], x->type);
	case LSplat: return splat(e, a[0]);
	case LAbs: return emit_abs(e, from.elem, a[0]);
	default: return is_float(from.elem) ? emit_float_op(e, x, a) : emit_int_op(e, x, a);
	}
}

/* LLVM 19 derives classes of floats from selects and absolute values, wrongly in places (a zero's sign, NaN, x for |x|),
 * and folds comparisons by them; and it compares what were half floats as such, for which x86-64 has no instruction, lane by lane in
 * ten times the time.  Results of these operations are fenced, so that it knows nothing of them. */
LLVMValueRef emit_expr(Emit *e, const LExpr *x)
{
	LLVMValueRef v = emit_op(e, x);
	switch (x->op) {
	case LMin: case LMax: case LPMin: case LPMax: case LHMin: case LHMax: case LAbs: case LSelect: case LBitcast:
		return is_float(x->type.elem) ? unary_intrinsic(e, "llvm.arithmetic.fence", v) : v;
	case LConvert: return x->a[0]->type.elem == F16 && is_float(x->type.elem) ? unary_intrinsic(e, "llvm.arithmetic.fence", v) : v;
	default: return v;
	}
}
