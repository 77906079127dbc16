/* scalar.c - the scalar meaning of ops.def as loop IR: a function for each word of its vocabulary. */
#include "kernel.h"

static struct {
	LB *b;
	LType type, result; /* of the first operand, and of the node */
} at; /* where the words write; emit_scalar() sets it */

static LExpr *unary(LOp op, LExpr *x)
{
	return llet(at.b, lop(at.b, op, x, NULL, NULL));
}

static LExpr *binary(LOp op, LExpr *x, LExpr *y)
{
	return llet(at.b, lop(at.b, op, x, y, NULL));
}

static LExpr *rounded(LOp op, LExpr *x) /* integers are whole */
{
	return dtypes[x->type.elem].cls == ClassFloat ? unary(op, x) : x;
}

static LExpr *K(double c) { return lconst(at.b, at.type, c); }
static LExpr *CAST(LExpr *x) { return llet(at.b, lcast(at.b, LConvert, at.result, x)); }
static LExpr *BITS(LExpr *x) { return llet(at.b, lcast(at.b, LBitcast, at.result, x)); }
static LExpr *NEG(LExpr *x) { return unary(LNeg, x); }
static LExpr *ABS(LExpr *x) { return unary(LAbs, x); }
static LExpr *SQRT(LExpr *x) { return unary(LSqrt, x); }
static LExpr *NOT(LExpr *x) { return unary(LNot, x); }
static LExpr *FLOOR(LExpr *x) { return rounded(LFloor, x); }
static LExpr *CEIL(LExpr *x) { return rounded(LCeil, x); }
static LExpr *ROUND(LExpr *x) { return rounded(LRound, x); }
static LExpr *EXP(LExpr *x) { return llet(at.b, vm_exp(at.b, x)); }
static LExpr *LOG(LExpr *x) { return llet(at.b, vm_log(at.b, x)); }
static LExpr *TANH(LExpr *x) { return llet(at.b, vm_tanh(at.b, x)); }
static LExpr *ERF(LExpr *x) { return llet(at.b, vm_erf(at.b, x)); }
static LExpr *SIN(LExpr *x) { return llet(at.b, vm_sin(at.b, x)); }
static LExpr *COS(LExpr *x) { return llet(at.b, vm_cos(at.b, x)); }
static LExpr *ATAN(LExpr *x) { return llet(at.b, vm_atan(at.b, x)); }
static LExpr *ISNAN(LExpr *x) { return binary(LNe, x, x); }
static LExpr *ADD(LExpr *x, LExpr *y) { return binary(LAdd, x, y); }
static LExpr *SUB(LExpr *x, LExpr *y) { return binary(LSub, x, y); }
static LExpr *MUL(LExpr *x, LExpr *y) { return binary(LMul, x, y); }
static LExpr *DIV(LExpr *x, LExpr *y) { return binary(LDiv, x, y); }
static LExpr *IDIV(LExpr *x, LExpr *y) { return binary(LFloorDiv, x, y); }
static LExpr *IMOD(LExpr *x, LExpr *y) { return binary(LMod, x, y); }
static LExpr *MIN(LExpr *x, LExpr *y) { return binary(LMin, x, y); }
static LExpr *MAX(LExpr *x, LExpr *y) { return binary(LMax, x, y); }
static LExpr *AND(LExpr *x, LExpr *y) { return binary(LAnd, x, y); }
static LExpr *OR(LExpr *x, LExpr *y) { return binary(LOr, x, y); }
static LExpr *XOR(LExpr *x, LExpr *y) { return binary(LXor, x, y); }
static LExpr *SHL(LExpr *x, LExpr *y) { return binary(LShl, x, y); }
static LExpr *SHR(LExpr *x, LExpr *y) { return binary(LShr, x, y); }
static LExpr *EQ(LExpr *x, LExpr *y) { return binary(LEq, x, y); }
static LExpr *LT(LExpr *x, LExpr *y) { return binary(LLt, x, y); }
static LExpr *LE(LExpr *x, LExpr *y) { return binary(LLe, x, y); }
static LExpr *POW(LExpr *x, LExpr *y) { return llet(at.b, vm_pow(at.b, x, y)); }
static LExpr *FMOD(LExpr *x, LExpr *y) { return llet(at.b, vm_fmod(at.b, x, y)); }
static LExpr *SELECT(LExpr *c, LExpr *x, LExpr *y) { return llet(at.b, lop(at.b, LSelect, c, x, y)); }

LExpr *emit_scalar(Kernel *k, const Node *n, LExpr *const *in)
{
	LExpr *A = in[0], *B = n->nin > 1 ? in[1] : NULL, *C = n->nin > 2 ? in[2] : NULL;

	at.b = &k->b;
	at.type = A->type;
	at.result = (LType){n->out[0]->type.dtype, A->type.lanes};
	LExpr *level = emit_level(k, n, A); /* the same integers in fewer instructions */
	if (level)
		return level;
#define LO lscalar(at.b, A->type.lanes, attr_scalar(n, Attr_lo))
#define HI lscalar(at.b, A->type.lanes, attr_scalar(n, Attr_hi))
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
#define EMIT_Control(name, meaning)
#define OP(name, text, ins, cls, takes, code, shape, attrs, flags, meaning) EMIT_##cls(name, meaning)
#include "../ir/ops.def"
#undef OP
	default: bug("%s is not elementwise", ops[n->op].text);
	}
}
