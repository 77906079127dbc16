/* vmath_f64.c - the functions of vmath.c over f64 values.
 *
 * Written as those are: add, mul, fma, div, integer operations and selections alone, the same bits on every target.  Coefficients
 * are minimax fits in 50 digits.  Bounds are in units in the last place of the exact result; tests/vmath_test.c sweeps them
 * against long double.  Denormal operands and results count as any other.
 *
 * A sum of two doubles carries what one loses: `Pair`.  An integer in the low bits: z = t + 1.5 * 2^52 rounds t to an integer n, which
 * then stands in the low bits of z.
 */
#include "vmath_words.h"

#include <math.h>

#define Magic 0x1.8p52
#define Bias 1023
#define Log2E 0x1.71547652b82fep+0
#define Ln2 0x1.62e42fefa39efp-1
#define Ln2Rest 0x1.abc9e3b39803fp-56
#define DoubleMin 0x1p-1022

typedef struct Pair { /* hi + lo, lo below one unit in the last place of hi */
	LExpr *hi, *lo;
} Pair;

static LExpr *neg(LB *b, LExpr *x)
{
	return lop(b, LNeg, x, NULL, NULL);
}

static LExpr *magnitude(LB *b, LExpr *x)
{
	return llet(b, lop(b, LAbs, x, NULL, NULL));
}

static LExpr *divide(LB *b, LExpr *x, LExpr *y)
{
	return llet(b, lop(b, LDiv, x, y, NULL));
}

/* x + y for |x| >= |y| or x = 0 */
static Pair quick_sum(LB *b, LExpr *x, LExpr *y)
{
	LExpr *hi = llet(b, ladd(b, x, y));
	return (Pair){hi, llet(b, ladd(b, lsub(b, x, hi), y))};
}

static Pair sum(LB *b, LExpr *x, LExpr *y)
{
	LExpr *hi = llet(b, ladd(b, x, y)), *part = llet(b, lsub(b, hi, x));
	return (Pair){hi, llet(b, ladd(b, lsub(b, x, lsub(b, hi, part)), lsub(b, y, part)))};
}

static Pair product(LB *b, LExpr *x, LExpr *y)
{
	LExpr *hi = llet(b, lmul(b, x, y));
	return (Pair){hi, llet(b, lfma(b, x, y, neg(b, hi)))};
}

/* ---- powers of e -------------------------------------------------------------------------------------------------- */

/* 2^n for the integer n that stands, with Bias added, in the low bits of z. */
static LExpr *power_of_z(LB *b, LExpr *z)
{
	return llet(b, float_of(b, lop(b, LShl, bits_of(b, z), i64_const(b, z, 52), NULL)));
}

/* y * 2^n for |n| < 2000, rounded once: by two powers, since one may be out of range where the product is not. */
static LExpr *scaled(LB *b, LExpr *y, LExpr *n)
{
	LExpr *magic = k(b, n, Magic + Bias), *z = llet(b, lfma(b, n, k(b, n, 0.5), magic));
	LExpr *rest = ladd(b, lsub(b, n, lsub(b, z, magic)), magic);
	return llet(b, lmul(b, lmul(b, y, power_of_z(b, z)), power_of_z(b, rest)));
}

/* e^(hi + lo) = 2^n (1 + the result), n = round(hi log2 e), so that the exponent left lies in +-0.347; lo may be NULL. */
static LExpr *exp_parts(LB *b, LExpr *hi, LExpr *lo, LExpr **n)
{
	static const double c[] = {0.5, 0x1.5555555555558p-3, 0x1.5555555555559p-5, 0x1.111111110fc2dp-7, 0x1.6c16c16c14b56p-10,
	                           0x1.a01a01ae02702p-13, 0x1.a01a01aefbabbp-16, 0x1.71ddfc937b509p-19, 0x1.27e4c8ba1fcd2p-22,
	                           0x1.af57fb357f6efp-26, 0x1.1f9140d00c1a7p-29};
	LExpr *magic = k(b, hi, Magic);
	*n = llet(b, lsub(b, lfma(b, hi, k(b, hi, Log2E), magic), magic));
	LExpr *most = llet(b, lfma(b, *n, k(b, hi, -Ln2), hi)); /* exact */
	LExpr *rest = lo ? lfma(b, *n, k(b, hi, -Ln2Rest), lo) : lmul(b, *n, k(b, hi, -Ln2Rest));
	Pair r = quick_sum(b, most, llet(b, rest));
	return llet(b, ladd(b, lfma(b, POLY(b, r.hi, c), lmul(b, r.hi, r.hi), r.lo), r.hi));
}

/* Bound: 1.1 ULP.  exp(0) = 1, exp(-inf) = 0, 0 from -745.14, inf from 709.79. */
LExpr *vm_exp_f64(LB *b, LExpr *x)
{
	LExpr *n, *bounded = llet(b, at_least(b, -746, at_most(b, 710, x)));
	LExpr *y = exp_parts(b, bounded, NULL, &n);
	return scaled(b, ladd(b, y, k(b, x, 1)), n);
}

/* Bound: 1.6 ULP; odd; 1 from 19.1.
 * With e = exp(2a) - 1: e / (e + 2), and 1 - 2 / (e + 2) from 1 on.  The quotient's rest, and what e + 2 lost, are divided by e + 2 too,
 * which is 2 / (1 - quotient). */
LExpr *vm_tanh_f64(LB *b, LExpr *x)
{
	LExpr *n, *a = llet(b, at_most(b, 20, magnitude(b, x))), *one = k(b, x, 1), *two = k(b, x, 2);
	LExpr *part = exp_parts(b, llet(b, ladd(b, a, a)), NULL, &n);
	LExpr *scale = power_of_z(b, ladd(b, n, k(b, x, Magic + Bias)));
	LExpr *e = llet(b, lfma(b, part, scale, lsub(b, scale, one))), *large = llet(b, lop(b, LLe, one, a, NULL));
	Pair under = sum(b, e, two);
	LExpr *q = divide(b, select_if(b, large, two, e), under.hi), *left = llet(b, lsub(b, one, q));
	LExpr *rest = lfma(b, neg(b, q), under.lo, lfma(b, neg(b, q), under.hi, e));
	return with_sign_of(b, select_if(b, large, left, lfma(b, rest, lmul(b, left, k(b, x, 0.5)), q)), x);
}

/* Bound: 1.2 ULP; odd; 1 from 5.93.
 * a + a * polynomial(a^2) below 1; 1 - exp(-a^2) * polynomial(1 / (a + 2)) beyond. */
LExpr *vm_erf_f64(LB *b, LExpr *x)
{
	static const double small[] = {0x1.06eba8214db69p-3,  -0x1.812746b0379e6p-2,  0x1.ce2f21a042b34p-4,  -0x1.b82ce31284f38p-6,
	                               0x1.565bcd0dbd933p-8,  -0x1.c02db3db49ba2p-11, 0x1.f9a321e4c16fep-14, -0x1.f4d1e43580474p-17,
	                               0x1.b9df306753008p-20, -0x1.5f1f415a7bd5dp-23, 0x1.f7b9a1ab45609p-27, -0x1.38ac2fdfde333p-30,
	                               0x1.06277e826a4f4p-34};
	static const double large[] = {-0x1.a42ce2482217bp-19, 0x1.20f6137476cc8p-1,  0x1.1f8e4f2b48874p+0,  0x1.077cc3043627ep+1,
	                               0x1.e5c0dc1ccbec2p+0,   0x1.3c697458da850p+3,  -0x1.48f1452c15eafp+5, 0x1.42739e733c540p+7,
	                               -0x1.fed2e14984255p+8,  0x1.f164d85d64293p+9,  -0x1.2041d959744b0p+10, 0x1.7601f31f3410dp+9,
	                               -0x1.a8440489577b0p+7};
	LExpr *n, *a = llet(b, at_most(b, 6, magnitude(b, x))), *one = k(b, x, 1);
	Pair square = product(b, a, a);
	LExpr *below = lfma(b, a, POLY(b, square.hi, small), a);
	LExpr *t = divide(b, one, ladd(b, a, k(b, x, 2)));
	LExpr *part = exp_parts(b, llet(b, neg(b, square.hi)), llet(b, neg(b, square.lo)), &n);
	LExpr *rest = lmul(b, ladd(b, part, one), power_of_z(b, ladd(b, n, k(b, x, Magic + Bias))));
	LExpr *beyond = lfma(b, llet(b, neg(b, rest)), POLY(b, t, large), one);
	return with_sign_of(b, select_if(b, lop(b, LLt, a, one, NULL), below, beyond), x);
}

/* ---- logarithms ----------------------------------------------------------------------------------------------------- */

/* x = 2^e m with m in sqrt(1/2) .. sqrt 2, for positive x: e + Bias are the upper bits of x less sqrt(1/2) more 1. */
void vm_split_f64(LB *b, LExpr *x, LExpr **m, LExpr **e)
{
	LExpr *bits = llet(b, bits_of(b, x));
	LExpr *above = ladd(b, bits, i64_const(b, x, ((int64_t)Bias << 52) - 0x3fe6a09e667f3bcd)); /* positive even for 0 */
	LExpr *biased = llet(b, lop(b, LShr, above, i64_const(b, x, 52), NULL));
	*e = lsub(b, float_of(b, either(b, biased, i64_const(b, x, 0x4330000000000000))), k(b, x, 0x1p52 + Bias));
	LExpr *shift = lop(b, LShl, lsub(b, biased, i64_const(b, x, Bias)), i64_const(b, x, 52), NULL);
	*m = llet(b, float_of(b, lsub(b, bits, shift)));
}

/* The same for denormal x too. */
static void split_any(LB *b, LExpr *x, LExpr **m, LExpr **e)
{
	LExpr *tiny = llet(b, compare(b, LLt, x, DoubleMin));
	vm_split_f64(b, llet(b, select_if(b, tiny, lmul(b, x, k(b, x, 0x1p54)), x)), m, e);
	*e = llet(b, ladd(b, *e, select_if(b, tiny, k(b, x, -54), k(b, x, 0))));
}

/* Bound: 1 ULP; log 0 = -inf, log x = NaN for x < 0, log inf = inf.
 * log m = 2s + s^3 * polynomial(s^2) with s = f / (f + 2), f = m - 1; written as f - f^2/2 + s * (f^2/2 + s^2 * polynomial). */
LExpr *vm_log_f64(LB *b, LExpr *x)
{
	static const double c[] = {0x1.5555555555555p-1, 0x1.9999999999cf0p-2, 0x1.249249243d666p-2, 0x1.c71c7245dd125p-3,
	                           0x1.745ce3aefee22p-3, 0x1.3b1fcdd58187cp-3, 0x1.0f6f0222609cep-3, 0x1.0ec7a4d11a396p-3};
	LExpr *m, *e;
	split_any(b, x, &m, &e);
	LExpr *f = llet(b, lsub(b, m, k(b, x, 1))), *half = llet(b, lmul(b, lmul(b, f, f), k(b, x, 0.5)));
	LExpr *s = divide(b, f, ladd(b, f, k(b, x, 2))), *z = llet(b, lmul(b, s, s));
	LExpr *y = lfma(b, s, lfma(b, POLY(b, z, c), z, half), lmul(b, e, k(b, x, Ln2Rest)));
	y = lfma(b, e, k(b, x, Ln2), lsub(b, f, lsub(b, half, y)));
	y = select_if(b, compare(b, LEq, x, 0), k(b, x, -INFINITY), y);
	y = select_if(b, lop(b, LLe, k(b, x, 0), x, NULL), y, k(b, x, NAN));
	return llet(b, select_if(b, compare(b, LEq, x, INFINITY), x, y));
}

/* log a for a >= 0 with a relative error below 2^-64; -inf for 0; inf and NaN stay.
 * log m = s (2 + (2/3 + s^2 * polynomial(s^2)) s^2), where what is not small is carried by pairs. */
static Pair log_pair(LB *b, LExpr *a)
{
	static const double c[] = {0x1.999999999999ap-2, 0x1.2492492492363p-2, 0x1.c71c71c747e67p-3, 0x1.745d172bce3e2p-3,
	                           0x1.3b13ba573f98ep-3, 0x1.110f1d399b202p-3, 0x1.e2652a385ac47p-4, 0x1.a51001aba2df3p-4,
	                           0x1.ec6457aff5e41p-4};
	LExpr *m, *e, *third = k(b, a, 0x1.5555555555555p-1), *third_rest = k(b, a, 0x1.5555555555555p-55); /* 2/3 */
	split_any(b, a, &m, &e);
	LExpr *f = llet(b, lsub(b, m, k(b, a, 1)));
	Pair d = quick_sum(b, k(b, a, 1), m); /* exact, though m may be above 1: the sum less 1 is */
	LExpr *inverse = divide(b, k(b, a, 1), d.hi), *s = llet(b, lmul(b, f, inverse));
	LExpr *left = lsub(b, lfma(b, neg(b, s), d.hi, f), lmul(b, s, d.lo));
	LExpr *s_rest = llet(b, lmul(b, left, inverse));
	Pair z = product(b, s, s);
	z.lo = llet(b, lfma(b, ladd(b, s, s), s_rest, z.lo));
	Pair u = product(b, z.hi, third);
	u.lo = ladd(b, u.lo, lfma(b, z.hi, third_rest, lmul(b, z.lo, third)));
	Pair v = quick_sum(b, u.hi, llet(b, lmul(b, lmul(b, z.hi, z.hi), POLY(b, z.hi, c))));
	Pair w = quick_sum(b, k(b, a, 2), v.hi);
	w.lo = llet(b, ladd(b, w.lo, ladd(b, v.lo, u.lo)));
	Pair y = product(b, s, w.hi);
	y.lo = ladd(b, y.lo, lfma(b, s, w.lo, lmul(b, s_rest, w.hi)));
	Pair log = quick_sum(b, llet(b, lmul(b, e, k(b, a, 0x1.62e42fefa3800p-1))), y.hi); /* ln 2 to 42 bits: times e exact */
	log.lo = ladd(b, log.lo, lfma(b, e, k(b, a, 0x1.ef35793c76730p-45), y.lo));
	LExpr *finite = llet(b, both(b, lop(b, LLt, k(b, a, 0), a, NULL), compare(b, LLt, a, INFINITY)));
	LExpr *special = select_if(b, compare(b, LEq, a, 0), k(b, a, -INFINITY), a);
	return (Pair){llet(b, select_if(b, finite, log.hi, special)), llet(b, select_if(b, finite, log.lo, k(b, a, 0)))};
}

/* Bound: 0.9 ULP.  a^y for a >= 0; what C says of special operands is vm_pow's. */
LExpr *vm_power_f64(LB *b, LExpr *a, LExpr *y)
{
	Pair log = log_pair(b, a), t = product(b, log.hi, y);
	LExpr *small = lop(b, LLt, magnitude(b, t.hi), k(b, a, 1000), NULL), *n;
	LExpr *rest = llet(b, select_if(b, small, lfma(b, log.lo, y, t.lo), k(b, a, 0)));
	LExpr *bounded = llet(b, at_least(b, -750, at_most(b, 711, t.hi)));
	LExpr *part = exp_parts(b, bounded, rest, &n);
	return scaled(b, ladd(b, part, k(b, a, 1)), n);
}

/* ---- angles --------------------------------------------------------------------------------------------------------- */

#define TwoOverPi 0x1.45f306dc9c883p-1
#define HalfPi 0x1.921fb54442d18p+0
#define HalfPiRest 0x1.1a62633145c07p-54
#define HalfPiLast -0x1.f1976b7ed8fbcp-110

/* Adds the term x * c to *turns, whose whole numbers go to *n; multiples of 4 do not count, and are taken away first: exactly. */
static void add_turns(LB *b, LExpr *x, LExpr *c, Pair *turns, LExpr **n)
{
	LExpr *t = llet(b, lmul(b, x, c));
	t = llet(b, lfma(b, rounded(b, lmul(b, t, k(b, t, 0.25))), k(b, t, -4), t));
	Pair all = sum(b, turns->hi, t);
	LExpr *whole = rounded(b, all.hi);
	*n = llet(b, ladd(b, *n, whole));
	*turns = quick_sum(b, llet(b, lsub(b, all.hi, whole)), llet(b, ladd(b, all.lo, turns->lo)));
}

/* a = n pi/2 + r for a of 10^5 and more (Payne and Hanek), n by its residue modulo 4: each 24 bits of 2/pi times the upper and the
 * lower half of a are exact. */
static Pair reduce_large(LB *b, LExpr *a, LExpr **n)
{
	static const double bits[] = {
		0xa2f983, 0x6e4e44, 0x1529fc, 0x2757d1, 0xf534dd, 0xc0db62, 0x95993c, 0x439041, 0xfe5163, 0xabdebb, 0xc561b7, 0x246e3a,
		0x424dd2, 0xe00649, 0x2eea09, 0xd1921c, 0xfe1deb, 0x1cb129, 0xa73ee8, 0x8235f5, 0x2ebb44, 0x84e99c, 0x7026b4, 0x5f7e41,
		0x3991d6, 0x398353, 0x39f49c, 0x845f8b, 0xbdf928, 0x3b1ff8, 0x97ffde, 0x05980f, 0xef2f11, 0x8b5a0a, 0x6d1f6d, 0x367ecf,
		0x27cb09, 0xb74f46, 0x3f669e, 0x5fea2d, 0x7527ba, 0xc7ebe5, 0xf17b3d, 0x0739f7, 0x8a5292, 0xea6bfb, 0x5fb11f, 0x8d5d08};
	enum { Parts = sizeof bits / sizeof *bits, Shift = 200 /* keeps the last ones from being denormal */ };
	LBuf *table = llocal(b, "two_over_pi", F64, Parts);
	for (int i = 0; i < Parts; i++)
		lstore(b, table, li(b, i), NULL, NULL, lconst(b, (LType){F64, 1}, ldexp(bits[i], Shift - 24 * (i + 1))));
	a = llet(b, lmul(b, a, k(b, a, ldexp(1, -Shift))));
	LExpr *zero = li(b, 0), *none = k(b, a, 0);
	LExpr *upper = llet(b, float_of(b, both(b, bits_of(b, a), i64_const(b, a, -(1ll << 27)))));
	LExpr *lower = llet(b, lsub(b, a, upper));
	LTile *hi = variable(b, "hi", none), *lo = variable(b, "lo", none), *count = variable(b, "count", none);
	LExpr *i = lfor(b, ForSerial, zero, li(b, Parts), NULL), *c = lload(b, table, 1, i, NULL, NULL);
	c = llet(b, a->type.lanes == 1 ? c : lcast(b, LSplat, a->type, c));
	Pair turns = {value_of(b, hi), value_of(b, lo)};
	LExpr *whole = value_of(b, count);
	add_turns(b, upper, c, &turns, &whole);
	add_turns(b, lower, c, &turns, &whole);
	lset_tile(b, hi, zero, zero, turns.hi);
	lset_tile(b, lo, zero, zero, turns.lo);
	lset_tile(b, count, zero, zero, whole);
	lend(b);
	*n = value_of(b, count);
	turns = (Pair){value_of(b, hi), value_of(b, lo)};
	Pair r = product(b, turns.hi, k(b, a, HalfPi));
	r.lo = llet(b, ladd(b, r.lo, lfma(b, turns.hi, k(b, a, HalfPiRest), lmul(b, turns.lo, k(b, a, HalfPi)))));
	return r;
}

/* a = n pi/2 + r for a >= 0, pi/2 in three parts (Cody and Waite) up to 10^5; a vector with a larger one branches.  The first step is
 * exact: it takes the upper bits of a away, and has no lower ones than a or pi/2. */
static Pair reduce_angle(LB *b, LExpr *a, LExpr **n)
{
	enum { Most = 100000 };
	LExpr *magic = k(b, a, Magic), *zero = li(b, 0), *n_large;
	LExpr *turns = llet(b, lsub(b, lfma(b, a, k(b, a, TwoOverPi), magic), magic));
	LExpr *first = llet(b, lfma(b, turns, k(b, a, -HalfPi), a));
	Pair next = product(b, turns, k(b, a, -HalfPiRest)), r = sum(b, first, next.hi);
	r.lo = ladd(b, r.lo, lfma(b, turns, k(b, a, -HalfPiLast), next.lo));
	LTile *hi = variable(b, "rest", r.hi), *lo = variable(b, "rest_low", r.lo), *count = variable(b, "turns", turns);
	LExpr *most = a->type.lanes == 1 ? a : lop(b, LHMax, a, NULL, NULL);
	lif(b, lop(b, LNot, compare(b, LLe, llet(b, most), Most), NULL, NULL)); /* or NaN */
	LExpr *small = llet(b, compare(b, LLe, a, Most));
	r = reduce_large(b, a, &n_large);
	lset_tile(b, hi, zero, zero, select_if(b, small, value_of(b, hi), r.hi));
	lset_tile(b, lo, zero, zero, select_if(b, small, value_of(b, lo), r.lo));
	lset_tile(b, count, zero, zero, select_if(b, small, value_of(b, count), n_large));
	lend(b);
	*n = value_of(b, count);
	return (Pair){value_of(b, hi), value_of(b, lo)};
}

/* sin(a + turn * pi/2) for a >= 0 */
static LExpr *sine(LB *b, LExpr *a, int turn)
{
	static const double s[] = {0x1.1111111111067p-7, -0x1.a01a019ffdba6p-13, 0x1.71de3a32a9fdfp-19, -0x1.ae642ad770065p-26,
	                           0x1.6108b4fdfa3ecp-33, -0x1.9f71b8d55574dp-41}; /* after -1/6 */
	static const double c[] = {0x1.5555555555555p-5,   -0x1.6c16c16c16b2ap-10, 0x1.a01a019ffb4fcp-16, -0x1.27e4fb582a89dp-22,
	                           0x1.1eed6ced3ae3ap-29, -0x1.937118e910842p-37, 0x1.9c1ff9af727a3p-45}; /* after 1 - z/2 */
	LExpr *n, *one = k(b, a, 1), *half = k(b, a, 0.5);
	Pair r = reduce_angle(b, a, &n);
	LExpr *z = llet(b, lmul(b, r.hi, r.hi)), *cube = llet(b, lmul(b, z, r.hi)), *z_half = llet(b, lmul(b, z, half));
	LExpr *low = lsub(b, lmul(b, z, lsub(b, lmul(b, r.lo, half), lmul(b, cube, POLY(b, z, s)))), r.lo);
	LExpr *sin = lsub(b, r.hi, lfma(b, cube, k(b, a, 0x1.5555555555555p-3), low));
	LExpr *w = llet(b, lsub(b, one, z_half));
	LExpr *rest = lfma(b, lmul(b, z, z), POLY(b, z, c), neg(b, lmul(b, r.hi, r.lo)));
	LExpr *cos = ladd(b, w, ladd(b, lsub(b, lsub(b, one, w), z_half), rest));
	LExpr *q = llet(b, bits_of(b, ladd(b, n, k(b, a, Magic + turn))));
	LExpr *odd = compare(b, LNe, both(b, q, k(b, q, 1)), 0);
	LExpr *sign = lop(b, LShl, both(b, q, k(b, q, 2)), k(b, q, 62), NULL);
	return llet(b, float_of(b, lop(b, LXor, bits_of(b, select_if(b, odd, cos, sin)), sign, NULL)));
}

/* Bound: 1 ULP for every x; odd.  NaN for infinite x. */
LExpr *vm_sin_f64(LB *b, LExpr *x)
{
	LExpr *y = sine(b, magnitude(b, x), 0), *bits = bits_of(b, x);
	LExpr *sign = both(b, bits, k(b, bits, INT64_MIN));
	return llet(b, float_of(b, lop(b, LXor, bits_of(b, y), sign, NULL)));
}

/* As vm_sin_f64; even. */
LExpr *vm_cos_f64(LB *b, LExpr *x)
{
	return sine(b, magnitude(b, x), 1);
}

/* Bound: 1.1 ULP; odd; pi/2 for infinity.
 * atan a = atan c + atan t, t = (a - c) / (1 + a c), for the nearest of c = 0, 1/2, 1, 3/2, inf; atan t = t + t^3 * polynomial(t^2). */
LExpr *vm_atan_f64(LB *b, LExpr *x)
{
	static const double c[] = {-0x1.5555555555552p-2, 0x1.999999999902cp-3,  -0x1.2492492447bbap-3, 0x1.c71c71a219df2p-4,
	                           -0x1.745d11e16cf61p-4, 0x1.3b1330e80f1fcp-4,  -0x1.110915d9b1b30p-4, 0x1.e1336c80e7f08p-5,
	                           -0x1.a9ff64d40a1c3p-5, 0x1.6b2d33d6239cfp-5, -0x1.058afe71eab46p-5, 0x1.c12ad20dcfeb6p-7};
	static const struct {
		double from, centre, hi, lo;
	} pieces[] = {{0.4375, 0.5, 0x1.dac670561bb4fp-2, 0x1.a2b7f222f65e2p-56},
	              {0.6875, 1, 0x1.921fb54442d18p-1, 0x1.1a62633145c07p-55},
	              {1.1875, 1.5, 0x1.f730bd281f69bp-1, 0x1.007887af0cbbdp-56},
	              {2.4375, INFINITY, HalfPi, HalfPiRest}};
	LExpr *a = magnitude(b, x), *one = k(b, x, 1), *over = a, *under = one, *hi = k(b, x, 0), *lo = hi;
	for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
		LExpr *in = llet(b, lop(b, LLe, k(b, x, pieces[i].from), a, NULL)), *centre = k(b, x, pieces[i].centre);
		bool last = isinf(pieces[i].centre);
		over = select_if(b, in, last ? k(b, x, -1) : lsub(b, a, centre), over);
		under = select_if(b, in, last ? a : lfma(b, a, centre, one), under);
		hi = select_if(b, in, k(b, x, pieces[i].hi), hi);
		lo = select_if(b, in, k(b, x, pieces[i].lo), lo);
	}
	LExpr *t = divide(b, over, under), *z = llet(b, lmul(b, t, t));
	LExpr *y = ladd(b, hi, ladd(b, t, lfma(b, lmul(b, t, z), POLY(b, z, c), lo)));
	return with_sign_of(b, y, x);
}
