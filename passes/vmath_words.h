/* vmath_words.h - what vmath.c (f32) and vmath_f64.c are written with: short names for the steps of a polynomial in loop IR. */
#ifndef DCC_VMATH_WORDS_H
#define DCC_VMATH_WORDS_H

#include "vmath.h"

static inline LExpr *k(LB *b, const LExpr *like, double v)
{
	return lconst(b, like->type, v);
}

static inline LType with_elem(const LExpr *like, DType elem)
{
	return (LType){elem, like->type.lanes};
}

static inline LExpr *bits_of(LB *b, LExpr *x)
{
	return lcast(b, LBitcast, with_elem(x, x->type.elem == F64 ? I64 : I32), x);
}

static inline LExpr *float_of(LB *b, LExpr *bits)
{
	return lcast(b, LBitcast, with_elem(bits, bits->type.elem == I64 ? F64 : F32), bits);
}

static inline LExpr *select_if(LB *b, LExpr *cond, LExpr *x, LExpr *y)
{
	return lop(b, LSelect, cond, x, y);
}

static inline LExpr *compare(LB *b, LOp op, LExpr *x, double v)
{
	return lop(b, op, x, k(b, x, v), NULL);
}

static inline LExpr *both(LB *b, LExpr *x, LExpr *y)
{
	return lop(b, LAnd, x, y, NULL);
}

static inline LExpr *either(LB *b, LExpr *x, LExpr *y)
{
	return lop(b, LOr, x, y, NULL);
}

/* Bounds a NaN-preserving way: pmin and pmax return their second argument when it is NaN. */
static inline LExpr *at_most(LB *b, double v, LExpr *x)
{
	return lop(b, LPMin, k(b, x, v), x, NULL);
}

static inline LExpr *at_least(LB *b, double v, LExpr *x)
{
	return lop(b, LPMax, k(b, x, v), x, NULL);
}

/* p*x^n + c[n-1]*x^(n-1) + ... + c[0] by Horner's rule. */
static inline LExpr *horner(LB *b, LExpr *p, LExpr *x, int n, const double *c)
{
	while (n--)
		p = lfma(b, p, x, k(b, x, c[n]));
	return p;
}

static inline LExpr *poly(LB *b, LExpr *x, int n, const double *c)
{
	return horner(b, k(b, x, c[n - 1]), x, n - 1, c);
}
#define POLY(b, x, c) poly(b, x, (int)(sizeof(c) / sizeof *(c)), c)

static inline LExpr *rounded(LB *b, LExpr *x)
{
	return llet(b, lop(b, LRound, x, NULL, NULL));
}

/* A variable that an `if` may set. */
static inline LTile *variable(LB *b, const char *name, LExpr *value)
{
	LTile *t = lnew_tile(b, name, value->type, 1, 1);
	lset_tile(b, t, li(b, 0), li(b, 0), value);
	return t;
}

static inline LExpr *value_of(LB *b, LTile *t)
{
	return llet(b, lelem(b, t, li(b, 0), li(b, 0)));
}

/* y with the sign bit of x; y >= 0. */
static inline LExpr *with_sign_of(LB *b, LExpr *y, LExpr *x)
{
	LExpr *bits = bits_of(b, x);
	LExpr *sign = both(b, bits, k(b, bits, bits->type.elem == I64 ? INT64_MIN : INT32_MIN));
	return llet(b, float_of(b, either(b, bits_of(b, y), sign)));
}

static inline LExpr *i64_const(LB *b, const LExpr *like, int64_t v)
{
	LExpr *e = li(b, v);
	return like->type.lanes == 1 ? e : lcast(b, LSplat, with_elem(like, I64), e);
}

#endif
