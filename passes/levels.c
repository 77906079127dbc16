/* levels.c - quantising in few instructions.
 *
 * QuantizeLinear is round(x / scale) + zero, clipped and cast to bytes.  A division takes as long as all else, and clip and cast bear NaN and what
 * is out of range by a dozen instructions.  The same integers, levels here, come with fewer.
 */
#include "kernel.h"

#include <math.h>
#include <string.h>

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
static LExpr *positive(Kernel *k, float x, int lanes)
{
	LB *b = &k->b;
	int32_t bits;

	memcpy(&bits, &x, sizeof bits);
	LExpr *v = llet(b, lcast(b, LConvert, (LType){I32, 1}, kparam(k, dim_const(k->l->m, bits))));
	v = llet(b, lcast(b, LBitcast, (LType){F32, 1}, v));
	return lanes == 1 ? v : llet(b, lcast(b, LSplat, (LType){F32, lanes}, v));
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
	LB *b = &k->b;
	LExpr *by = positive(k, high, x->type.lanes);
	return llet(b, low == 0 ? lmul(b, x, by) : lfma(b, x, by, llet(b, lmul(b, x, positive(k, low, x->type.lanes)))));
}

static LExpr *clip_of_level(LB *b, const Node *n, LExpr *x)
{
	const double lo = attr_scalar(n, Attr_lo).f, hi = attr_scalar(n, Attr_hi).f;

	if (lo != 0) /* which NaN would become */
		x = llet(b, lop(b, LSelect, llet(b, lop(b, LEq, x, x, NULL)), x, lconst(b, x->type, 0)));
	x = llet(b, lop(b, LPMax, x, lconst(b, x->type, lo), NULL));
	return llet(b, lop(b, LPMin, x, lconst(b, x->type, hi), NULL));
}

/* Whole numbers of less than 22 bits: as the last places of a sum. */
static LExpr *cast_of_level(LB *b, DType to, LExpr *x)
{
	const LType ints = {I32, x->type.lanes}, result = {to, x->type.lanes};
	LExpr *sum = llet(b, ladd(b, x, lconst(b, x->type, 0x1.8p23)));
	return llet(b, lcast(b, LConvert, result, llet(b, lcast(b, LBitcast, ints, sum))));
}

LExpr *emit_level(Kernel *k, const Node *n, LExpr *x)
{
	if (n->op == OpDiv)
		return quotient_of_level(k, n, x);
	if (n->op == OpClip && is_level(n))
		return clip_of_level(&k->b, n, x);
	return n->op == OpCast && n->in[0]->def && is_level(n->in[0]->def) ? cast_of_level(&k->b, n->out[0]->type.dtype, x) : NULL;
}
