/* scalar.c - the scalar meaning of ops.def as loop IR: a function for each word of its vocabulary; and what quantising means in fewer instructions. */
#include "kernel.h"

#include <math.h>
#include <string.h>

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

/* ---- quantising ---------------------------------------------------------------------------------------------------------
 *
 * round(x / scale) + zero, clipped and cast to bytes, as ONNX defines QuantizeLinear.  A division takes as long as all else, and clip and cast
 * bear NaN and what is out of range by a dozen instructions.  The same integers come with fewer. */

enum { MostLevels = 256 };

/* Whole numbers, clipped to such, which only casts to short integers read: NaN may be any number that these make 0 of. */
static bool is_level(const Node *clip)
{
	const Value *v = clip->out[0];
	double lo, hi;

	if (clip->op != OpClip || v->type.dtype != F32 || is_output(v) || !v->nuse)
		return false;
	for (int i = 0; i < v->nuse; i++) {
		const Node *user = v->uses[i].node;
		if (!user || user->op != OpCast || !is_among(user->out[0]->type.dtype, TypesInt) || dtypes[user->out[0]->type.dtype].bits > 16)
			return false;
	}
	lo = attr_scalar(clip, Attr_lo).f;
	hi = attr_scalar(clip, Attr_hi).f;
	if (!(lo <= 0 && 0 <= hi && hi - lo < 1 << 16 && lo == floor(lo) && hi == floor(hi)))
		return false;
	const Node *n = clip->in[0]->def;
	Scalar zero;
	if (n && n->op == OpAdd && uniform_scalar(n->in[1], &zero) && zero.f == floor(zero.f) && fabs(zero.f) < 1 << 16)
		n = n->in[0]->def;
	return n && n->op == OpRound;
}

/* Of a division whose rounded quotient becomes levels: the first and the last of these, as quotients. */
static bool find_levels(const Node *div, double *first, double *last)
{
	Node *round = only_user(div->out[0]), *n = round && round->op == OpRound ? only_user(round->out[0]) : NULL;
	Scalar zero = {.f = 0};

	if (is_output(div->out[0]) || !n || is_output(round->out[0]))
		return false;
	if (n->op == OpAdd) {
		if (!uniform_scalar(n->in[1], &zero) || is_output(n->out[0]) || !(n = only_user(n->out[0])))
			return false;
	}
	if (!is_level(n))
		return false;
	*first = attr_scalar(n, Attr_lo).f - zero.f;
	*last = attr_scalar(n, Attr_hi).f - zero.f;
	return true;
}

/* Does x * high + x * low, the first product not rounded, round to the same level as x / c for all x?  Neither falls where x grows, so it is enough
 * to look at the numbers around those where a level begins. */
static bool gives_levels(float c, float high, float low, double first, double last)
{
	enum { Near = 8 };

	for (double level = first; level < last; level++) {
		float x = (float)((level + 0.5) * (double)c);
		for (int i = 0; i < Near / 2; i++)
			x = nextafterf(x, -INFINITY);
		for (int i = 0; i < Near; i++, x = nextafterf(x, INFINITY))
			if (nearbyintf(x / c) != nearbyintf(low == 0 ? x * high : fmaf(x, high, x * low)))
				return false;
	}
	return true;
}

/* A number as an argument of the kernel, so that layers share it whatever their scales are. */
static LExpr *positive(Kernel *k, float x)
{
	int32_t bits;

	memcpy(&bits, &x, sizeof bits);
	LExpr *v = lcast(at.b, LConvert, (LType){I32, 1}, kparam(k, dim_const(k->l->m, bits)));
	v = llet(at.b, lcast(at.b, LBitcast, (LType){F32, 1}, llet(at.b, v)));
	return at.type.lanes == 1 ? v : llet(at.b, lcast(at.b, LSplat, at.type, v));
}

/* x / c by products; NULL: not known to be the same. */
static LExpr *quotient_of_level(Kernel *k, const Node *n, LExpr *x)
{
	double first, last;
	Scalar s;

	if (n->op != OpDiv || n->out[0]->type.dtype != F32 || !uniform_scalar(n->in[1], &s) || !find_levels(n, &first, &last) || last - first > MostLevels)
		return NULL;
	const float c = (float)s.f;
	if (!(c > 0) || !isnormal(c))
		return NULL;
	float high = (float)(1 / (double)c);
	if ((double)high > 1 / (double)c) /* low is not negative: infinities stay what they are */
		high = nextafterf(high, 0);
	const float low = (float)(1 / (double)c - (double)high);
	if (!isnormal(high) || !gives_levels(c, high, low, first, last))
		return NULL;
	return low == 0 ? MUL(x, positive(k, high)) : llet(at.b, lfma(at.b, x, positive(k, high), MUL(x, positive(k, low))));
}

static LExpr *clip_of_level(const Node *n, LExpr *x)
{
	const Scalar lo = attr_scalar(n, Attr_lo), hi = attr_scalar(n, Attr_hi);

	if (lo.f != 0) /* which NaN would become */
		x = SELECT(EQ(x, x), x, K(0));
	return binary(LPMin, binary(LPMax, x, K(lo.f)), K(hi.f));
}

/* Whole numbers of less than 22 bits: as the last places of a sum. */
static LExpr *cast_of_level(LExpr *x)
{
	const LType ints = {I32, x->type.lanes};
	LExpr *sum = ADD(x, K(0x1.8p23));
	return CAST(llet(at.b, lcast(at.b, LBitcast, ints, sum)));
}

static LExpr *emit_level(Kernel *k, const Node *n, LExpr *x)
{
	if (n->op == OpDiv)
		return quotient_of_level(k, n, x);
	if (n->op == OpClip && is_level(n))
		return clip_of_level(n, x);
	return n->op == OpCast && n->in[0]->def && is_level(n->in[0]->def) ? cast_of_level(x) : NULL;
}

/* ---- all operators ------------------------------------------------------------------------------------------------------ */

LExpr *emit_scalar(Kernel *k, const Node *n, LExpr *const *in)
{
	LExpr *A = in[0], *B = n->nin > 1 ? in[1] : NULL, *C = n->nin > 2 ? in[2] : NULL;

	at.b = &k->b;
	at.type = A->type;
	at.result = (LType){n->out[0]->type.dtype, A->type.lanes};
	LExpr *level = emit_level(k, n, A);
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
