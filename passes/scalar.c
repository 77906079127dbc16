/* scalar.c - the scalar meaning of ops.def as loop IR. */
#include "kernel.h"

LExpr *emit_scalar(Kernel *k, const Node *n, LExpr *const *in)
{
	LB *b = &k->b;
	LExpr *x = in[0], *y = n->nin > 1 ? in[1] : NULL, *z = n->nin > 2 ? in[2] : NULL;
	LType result = {n->out[0]->type.dtype, x->type.lanes};

#define A x
#define B y
#define C z
#define K(c) lconst(b, x->type, c)
#define LO attr_float(n, Attr_lo)
#define HI attr_float(n, Attr_hi)
#define OP1(op, u) llet(b, lop(b, op, u, NULL, NULL))
#define OP2(op, u, v) llet(b, lop(b, op, u, v, NULL))
#define NEG(u) OP1(LNeg, u)
#define ABS(u) OP1(LAbs, u)
#define SQRT(u) OP1(LSqrt, u)
#define ROUNDED(op, u) (dtypes[(u)->type.elem].cls == ClassFloat ? OP1(op, u) : (u)) /* integers are whole */
#define FLOOR(u) ROUNDED(LFloor, u)
#define CEIL(u) ROUNDED(LCeil, u)
#define ROUND(u) ROUNDED(LRound, u)
#define NOT(u) OP1(LNot, u)
#define ADD(u, v) OP2(LAdd, u, v)
#define SUB(u, v) OP2(LSub, u, v)
#define MUL(u, v) OP2(LMul, u, v)
#define DIV(u, v) OP2(LDiv, u, v)
#define IDIV(u, v) OP2(LFloorDiv, u, v)
#define IMOD(u, v) OP2(LMod, u, v)
#define MIN(u, v) OP2(LMin, u, v)
#define MAX(u, v) OP2(LMax, u, v)
#define AND(u, v) OP2(LAnd, u, v)
#define OR(u, v) OP2(LOr, u, v)
#define XOR(u, v) OP2(LXor, u, v)
#define EQ(u, v) OP2(LEq, u, v)
#define LT(u, v) OP2(LLt, u, v)
#define LE(u, v) OP2(LLe, u, v)
#define ISNAN(u) OP2(LNe, u, u)
#define SELECT(c, u, v) llet(b, lop(b, LSelect, c, u, v))
#define CAST(u) llet(b, lcast(b, LConvert, result, u))
#define EXP(u) llet(b, vm_exp(b, u))
#define LOG(u) llet(b, vm_log(b, u))
#define TANH(u) llet(b, vm_tanh(b, u))
#define ERF(u) llet(b, vm_erf(b, u))
#define SIN(u) llet(b, vm_sin(b, u))
#define COS(u) llet(b, vm_cos(b, u))
#define POW(u, v) llet(b, vm_pow(b, u, v))
	switch (n->op) {
#define EMIT_Source(name, value)
#define EMIT_Ewise(name, value) case Op##name: return value;
#define EMIT_Reduce(name, value)
#define EMIT_Gemm(name, value)
#define EMIT_Window(name, value)
#define EMIT_Attention(name, value)
#define EMIT_Move(name, value)
#define EMIT_Index(name, value)
#define EMIT_Opaque(name, value)
#define EMIT_Extern(name, value)
#define EMIT_Group(name, value)
#define OP(name, text, ins, cls, takes, code, shape, attrs, flags, meaning) EMIT_##cls(name, meaning)
#include "../ir/ops.def"
#undef OP
	default: bug("%s is not elementwise", ops[n->op].text);
	}
#undef A
#undef B
#undef C
}
