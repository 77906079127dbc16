/* vmath.c - exp, log, tanh, erf, sin, cos, atan, pow and sigmoid as loop IR over f32 values of any number of lanes; those of f64
 * values are vmath_f64.c's.
 *
 * Only add, mul, fma, div, integer operations and selections are used, so the bits are the same on every target.
 * Coefficients are minimax fits (Remez exchange in 40 digits, rounded to f32 one after the other with the rest fitted
 * again).  Error bounds are in units in the last place of the exact result, found by sweeping the f32 range against
 * double precision; tests/vmath_test.c repeats that on a coarser grid.  NaN in gives NaN out unless said otherwise.
 *
 * An integer in the low bits of a float: z = t + (1.5 * 2^23 + 127) rounds t to an integer n, whose biased exponent
 * then stands in the low bits of z; shifted left by 23 they are the float 2^n.
 */
#include "vmath_words.h"

#include <math.h>

#define Magic 12582912.0 /* 1.5 * 2^23 */
#define Ln2High 0x1.62e430p-1
#define Ln2Low -0x1.05c610p-29
#define Log2E 0x1.715476p+0
#define FloatMax 0x1.fffffep+127

/* The importer and the schedules have widened what is only stored, so that nothing else comes here. */
static bool is_f64(const LExpr *x)
{
	if (x->type.elem != F32 && x->type.elem != F64)
		bug("vector mathematics on %s", dtypes[x->type.elem].text);
	return x->type.elem == F64;
}

/* 2^n, n in the low bits of z as above. */
static LExpr *power_of_z(LB *b, LExpr *z)
{
	LExpr *bits = bits_of(b, z);
	return float_of(b, lop(b, LShl, bits, k(b, bits, 23), NULL));
}

/* Bound: 1.1 ULP; 3.3 above 88.37.  14 operations.  exp(0) = 1, exp(-inf) = 0, inf above 88.7228 (by overflow of the
 * last product).  Below -87.34 results are denormal, and 0 from -87.69.
 * e^x = 2^n e^r, n = round(x log2 e) at most 127, so r lies in +-0.347, and up to 0.694 for the largest x, where the
 * polynomial is allowed 8 times the error. */
LExpr *vm_exp(LB *b, LExpr *x)
{
	static const double c[] = {1, 1, 0x1.00002cp-1, 0x1.5554ecp-3, 0x1.55129ep-5, 0x1.11ed4ap-7, 0x1.99651cp-10};
	if (is_f64(x))
		return vm_exp_f64(b, llet(b, x));
	x = llet(b, at_least(b, -88, x));
	LExpr *magic = k(b, x, Magic + 127);
	LExpr *z = llet(b, at_most(b, Magic + 127 + 127, lfma(b, x, k(b, x, Log2E), magic)));
	LExpr *n = llet(b, lsub(b, z, magic));
	LExpr *r = lfma(b, n, k(b, x, -Ln2High), x);
	r = llet(b, lfma(b, n, k(b, x, -Ln2Low), r));
	return llet(b, lmul(b, POLY(b, r, c), power_of_z(b, z)));
}

/* e^(s*a) - 1 = q*scale + (scale - 1) with relative precision near 0; |s*a| < 32, s a power of two with a sign. */
static LExpr *expm1_parts(LB *b, LExpr *a, double s, LExpr **scale)
{
	static const double c[] = {0x1.fffffep-2, 0x1.5554aap-3, 0x1.55579cp-5, 0x1.122c62p-7, 0x1.6ab876p-10};
	LExpr *magic = k(b, a, Magic + 127);
	LExpr *z = llet(b, lfma(b, a, k(b, a, s * Log2E), magic));
	LExpr *n = lsub(b, z, magic);
	LExpr *r = llet(b, lfma(b, n, k(b, a, -Ln2High), s == 1 ? a : lmul(b, a, k(b, a, s))));
	*scale = llet(b, power_of_z(b, z));
	return lfma(b, POLY(b, r, c), lmul(b, r, r), r);
}

/* Bound: 2.5 ULP; odd; 1 from 9.02.  19 operations.
 * tanh a = e / (e + 2) with e = exp(2a) - 1. */
LExpr *vm_tanh(LB *b, LExpr *x)
{
	LExpr *scale;
	if (is_f64(x))
		return vm_tanh_f64(b, llet(b, x));
	x = llet(b, x);
	LExpr *a = llet(b, at_most(b, 10, lop(b, LAbs, x, NULL, NULL)));
	LExpr *q = expm1_parts(b, a, 2, &scale);
	LExpr *e = llet(b, lfma(b, q, scale, lsub(b, scale, k(b, x, 1))));
	return with_sign_of(b, lop(b, LDiv, e, ladd(b, e, k(b, x, 2)), NULL), x);
}

/* Bound: 2.3 ULP; odd; 1 from 3.93.  27 operations, no division.
 * erf a = 1 - exp(-u) with u = -log(erfc a) = a * polynomial(a); 2/sqrt(pi) in two parts keeps small a accurate. */
LExpr *vm_erf(LB *b, LExpr *x)
{
	static const double c[] = {-0x1.f7ac92p-25, 0x1.45f2bcp-1, 0x1.a51948p-4, -0x1.3c3d78p-6, 0x1.75f970p-13,
	                           0x1.4d324ep-10, -0x1.967f00p-12, 0x1.5cf0e4p-15};
	LExpr *scale;
	if (is_f64(x))
		return vm_erf_f64(b, llet(b, x));
	x = llet(b, x);
	LExpr *a = llet(b, at_most(b, 3.93, lop(b, LAbs, x, NULL, NULL)));
	LExpr *u = llet(b, lfma(b, a, k(b, x, 0x1.20dd76p+0), lmul(b, a, POLY(b, a, c))));
	LExpr *q = expm1_parts(b, u, -1, &scale);
	LExpr *rest = lsub(b, k(b, x, 1), scale);
	return with_sign_of(b, lfma(b, lop(b, LNeg, q, NULL, NULL), scale, rest), x);
}

/* Bound: 2.5 ULP; 0 below -88.73 (by overflow of exp); 1 for large x. */
LExpr *vm_sigmoid(LB *b, LExpr *x)
{
	LExpr *one = k(b, x, 1);
	return llet(b, lop(b, LDiv, one, ladd(b, vm_exp(b, lop(b, LNeg, x, NULL, NULL)), one), NULL));
}

/* Bound: 0.9 ULP, denormals included; log 0 = -inf, log x = NaN for x < 0, log inf = inf.
 * x = 2^e (1 + f) with 1 + f in sqrt(1/2) .. sqrt 2;  log(1 + f) = f - f^2/2 + f^3 * polynomial(f). */
LExpr *vm_log(LB *b, LExpr *x)
{
	static const double c[] = {0x1.555554p-2, -0x1.000228p-2, 0x1.99a036p-3, -0x1.547220p-3, 0x1.22d58ap-3,
	                           -0x1.0d8114p-3, 0x1.05773ap-3, -0x1.390dbcp-4};
	if (is_f64(x))
		return vm_log_f64(b, llet(b, x));
	x = llet(b, x);
	LExpr *tiny = llet(b, compare(b, LLt, x, 0x1p-126));
	LExpr *bits = llet(b, bits_of(b, select_if(b, tiny, lmul(b, x, k(b, x, 0x1p23)), x)));
	LExpr *above = lsub(b, bits, k(b, bits, 0x3f3504f3)); /* bits of sqrt(1/2) */
	LExpr *exponent = llet(b, both(b, above, k(b, bits, -0x800000)));
	LExpr *e = lcast(b, LConvert, x->type, exponent);
	e = llet(b, lfma(b, e, k(b, x, 0x1p-23), select_if(b, tiny, k(b, x, -23), k(b, x, 0))));
	LExpr *f = llet(b, lsub(b, float_of(b, lsub(b, bits, exponent)), k(b, x, 1)));
	LExpr *z = llet(b, lmul(b, f, f));
	LExpr *p = lfma(b, lmul(b, POLY(b, f, c), f), z, lmul(b, z, k(b, x, -0.5)));
	LExpr *y = ladd(b, f, lfma(b, e, k(b, x, Ln2Low), p));
	y = lfma(b, e, k(b, x, Ln2High), y);
	y = select_if(b, compare(b, LEq, x, 0), k(b, x, -INFINITY), y);
	y = select_if(b, lop(b, LLe, k(b, x, 0), x, NULL), y, k(b, x, NAN));
	return llet(b, select_if(b, compare(b, LEq, x, INFINITY), x, y));
}

/* x = n pi/2 + r for any x (Payne and Hanek), n by its residue modulo 4: x times each 24 bits of 2/pi is exact in f64, and so
 * is what is left of it modulo 4.  Once whole numbers are taken away, sums lose nothing that the remainder would need. */
static LExpr *reduce_large(LB *b, LExpr *x, LExpr **n)
{
	static const double two_over_pi[] = {0xa2f983p-24, 0x6e4e44p-48, 0x1529fcp-72, 0x2757d1p-96, 0xf534ddp-120,
	                                     0xc0db62p-144, 0x95993cp-168, 0x439041p-192};
	LExpr *d = llet(b, lcast(b, LConvert, with_elem(x, F64), x)), *sum = k(b, d, 0);
	*n = sum;
	for (size_t i = 0; i < sizeof two_over_pi / sizeof *two_over_pi; i++) {
		LExpr *t = llet(b, lmul(b, d, k(b, d, two_over_pi[i])));
		sum = ladd(b, sum, lfma(b, rounded(b, lmul(b, t, k(b, d, 0.25))), k(b, d, -4), t));
		sum = llet(b, sum);
		LExpr *whole = rounded(b, sum);
		*n = llet(b, ladd(b, *n, whole));
		sum = llet(b, lsub(b, sum, whole));
	}
	return lcast(b, LConvert, x->type, lmul(b, sum, k(b, d, 0x1.921fb54442d18p+0)));
}

/* x = n pi/2 + r by three fused steps (Cody and Waite), exact enough for |x| <= 10^5; a vector with a larger one branches. */
static LExpr *reduce_angle(LB *b, LExpr *x, LExpr **quadrant)
{
	enum { Most = 100000 };
	LType ints = with_elem(x, I32);
	LExpr *n = rounded(b, lmul(b, x, k(b, x, 0x1.45f306p-1))), *n64;
	LExpr *r = lfma(b, n, k(b, x, -0x1.921fb6p+0), x);
	r = lfma(b, n, k(b, x, 0x1.777a5cp-25), r);
	r = lfma(b, n, k(b, x, 0x1.ee59dap-50), r);
	LTile *rest = variable(b, "rest", r), *turns = variable(b, "turns", lcast(b, LConvert, ints, n));
	LExpr *a = llet(b, lop(b, LAbs, x, NULL, NULL)), *most = a->type.lanes == 1 ? a : lop(b, LHMax, a, NULL, NULL);
	lif(b, lop(b, LNot, compare(b, LLe, most, Most), NULL, NULL)); /* or NaN */
	LExpr *small = llet(b, compare(b, LLe, a, Most)), *zero = li(b, 0);
	r = reduce_large(b, x, &n64);
	lset_tile(b, rest, zero, zero, select_if(b, small, value_of(b, rest), r));
	lset_tile(b, turns, zero, zero, select_if(b, small, value_of(b, turns), lcast(b, LConvert, ints, n64)));
	lend(b);
	*quadrant = value_of(b, turns);
	return value_of(b, rest);
}

/* sin(x + turn * pi/2) */
static LExpr *sine(LB *b, LExpr *x, int turn)
{
	static const double s[] = {-0x1.555546p-3, 0x1.110774p-7, -0x1.9951eap-13};
	static const double c[] = {1, -0.5, 0x1.55554ap-5, -0x1.6c0c28p-10, 0x1.99e80cp-16};
	LExpr *q, *r = reduce_angle(b, x = llet(b, x), &q);
	LExpr *z = llet(b, lmul(b, r, r));
	LExpr *sin = lfma(b, POLY(b, z, s), lmul(b, z, r), r), *cos = POLY(b, z, c);
	q = llet(b, ladd(b, q, k(b, q, turn)));
	LExpr *odd = compare(b, LNe, both(b, q, k(b, q, 1)), 0);
	LExpr *sign = lop(b, LShl, both(b, q, k(b, q, 2)), k(b, q, 30), NULL);
	return llet(b, float_of(b, lop(b, LXor, bits_of(b, select_if(b, odd, cos, sin)), sign, NULL)));
}

/* Bound: 1.6 ULP for every x.  NaN for infinite x; +0 for -0. */
LExpr *vm_sin(LB *b, LExpr *x)
{
	return is_f64(x) ? vm_sin_f64(b, llet(b, x)) : sine(b, x, 0);
}

/* As vm_sin. */
LExpr *vm_cos(LB *b, LExpr *x)
{
	return is_f64(x) ? vm_cos_f64(b, llet(b, x)) : sine(b, x, 1);
}

/* Bound: 1.7 ULP; odd; pi/2 for infinity.  17 operations.
 * atan a = t + t^3 * polynomial(t^2) for t = a <= 1, and pi/2 less that for t = 1/a beyond. */
LExpr *vm_atan(LB *b, LExpr *x)
{
	static const double c[] = {-0x1.5554dcp-2, 0x1.9978ecp-3, -0x1.230a96p-3, 0x1.b4deep-4, -0x1.35519ep-4, 0x1.61f18p-5,
	                           -0x1.0c1c9ep-6, 0x1.7eb2e4p-9};
	if (is_f64(x))
		return vm_atan_f64(b, llet(b, x));
	x = llet(b, x);
	LExpr *a = llet(b, lop(b, LAbs, x, NULL, NULL)), *one = k(b, x, 1);
	LExpr *beyond = llet(b, lop(b, LLt, one, a, NULL));
	LExpr *t = llet(b, select_if(b, beyond, lop(b, LDiv, one, a, NULL), a));
	LExpr *z = llet(b, lmul(b, t, t));
	LExpr *p = llet(b, lfma(b, POLY(b, z, c), lmul(b, z, t), t));
	LExpr *rest = lsub(b, k(b, x, 0x1.921fb6p+0), ladd(b, p, k(b, x, 0x1.777a5cp-25)));
	return with_sign_of(b, select_if(b, beyond, rest, p), x);
}

/* x^n for n = 1 .. 4 by products. */
static LExpr *small_power(LB *b, LExpr *x, int n)
{
	if (n == 1)
		return x;
	LExpr *square = llet(b, lmul(b, x, x));
	return n == 2 ? square : lmul(b, square, n == 3 ? x : square);
}

/* pow(x, 0.5): the square root, but +0 for -0 and inf for -inf. */
static LExpr *root(LB *b, LExpr *x)
{
	LExpr *y = ladd(b, lop(b, LSqrt, x, NULL, NULL), k(b, x, 0));
	return select_if(b, compare(b, LEq, x, -INFINITY), k(b, x, INFINITY), y);
}

static LExpr *constant_power(LB *b, LExpr *x, double y)
{
	double n = fabs(y);
	LExpr *p;
	if (y == 0)
		return k(b, x, 1);
	if (n == 0.5)
		p = root(b, x);
	else if (n == 1 || n == 2 || n == 3 || n == 4)
		p = small_power(b, x, (int)n);
	else
		return NULL;
	return llet(b, y > 0 ? p : lop(b, LDiv, k(b, x, 1), p, NULL));
}

/* log2 of the f32 value a >= 0 in f64, relative error 5e-12; -inf for 0; inf and NaN stay.
 * a = 2^e m with m in sqrt(1/2) .. sqrt 2;  log2 m = s * polynomial(s^2), s = (m - 1)/(m + 1). */
static LExpr *log2_f64(LB *b, LExpr *a)
{
	static const double c[] = {2.8853900817901414, 0.96179667326673302, 0.57708360027004668, 0.41167174803148632,
	                           0.34074895838198516};
	LExpr *d = llet(b, lcast(b, LConvert, with_elem(a, F64), a));
	LExpr *m, *e;
	vm_split_f64(b, d, &m, &e);
	LExpr *s = llet(b, lop(b, LDiv, lsub(b, m, k(b, d, 1)), ladd(b, m, k(b, d, 1)), NULL));
	LExpr *z = llet(b, lmul(b, s, s));
	LExpr *y = lfma(b, POLY(b, z, c), s, e);
	y = select_if(b, compare(b, LLe, a, FloatMax), y, d);
	return select_if(b, compare(b, LEq, a, 0), k(b, d, -INFINITY), y);
}

/* 2^t as f32, relative error 3e-10 before the last rounding. */
static LExpr *exp2_f64(LB *b, LExpr *t, LType type)
{
	static const double c[] = {1, 0.69314718385649665, 0.24022650923493075, 0.05550400289217601,
	                           0.0096180563403758974, 0.0013341986221216541, 0.00015461599301905152,
	                           1.3359566413512747e-05};
	t = llet(b, at_least(b, -200, at_most(b, 200, t)));
	LExpr *magic = k(b, t, 0x1.8p52 + 1023);
	LExpr *z = llet(b, ladd(b, t, magic));
	LExpr *r = llet(b, lsub(b, t, lsub(b, z, magic)));
	LExpr *scale = float_of(b, lop(b, LShl, bits_of(b, z), i64_const(b, t, 52), NULL));
	return lcast(b, LConvert, type, lmul(b, POLY(b, r, c), scale));
}

/* Both of the vector type of one of them, bound to names. */
static void same_lanes(LB *b, LExpr **x, LExpr **y)
{
	if ((*y)->type.lanes > (*x)->type.lanes)
		*x = lcast(b, LSplat, (*y)->type, *x);
	else if ((*y)->type.lanes < (*x)->type.lanes)
		*y = lcast(b, LSplat, (*x)->type, *y);
	*x = llet(b, *x);
	*y = llet(b, *y);
}

/* ---- integers --------------------------------------------------------------------------------------------------------- */

static LExpr *is_odd(LB *b, LExpr *x)
{
	return compare(b, LNe, both(b, x, k(b, x, 1)), 0);
}

/* x^n for a known n >= 0 by squaring. */
static LExpr *known_power(LB *b, LExpr *x, uint64_t n)
{
	LExpr *p = n & 1 ? x : k(b, x, 1);
	while (n >>= 1) {
		x = llet(b, lmul(b, x, x));
		p = n & 1 ? llet(b, lmul(b, p, x)) : p;
	}
	return p;
}

/* x^y by squaring, a step for each bit of y. */
static LExpr *power_by_bits(LB *b, LExpr *x, LExpr *y)
{
	LTile *power = variable(b, "power", k(b, x, 1)), *square = variable(b, "square", x), *rest = variable(b, "rest", y);
	LExpr *zero = li(b, 0);
	lfor(b, ForSerial, zero, li(b, 8 * dtypes[x->type.elem].bytes), NULL);
	LExpr *s = value_of(b, square), *n = value_of(b, rest), *p = value_of(b, power);
	lset_tile(b, power, zero, zero, select_if(b, is_odd(b, n), lmul(b, p, s), p));
	lset_tile(b, square, zero, zero, lmul(b, s, s));
	lset_tile(b, rest, zero, zero, lop(b, LShr, n, k(b, n, 1), NULL));
	lend(b);
	return value_of(b, power);
}

/* The low bits of x^y; for y < 0 what is left of the fraction: 0, or 1 and -1 of themselves. */
static LExpr *power_int(LB *b, LExpr *x, LExpr *y)
{
	bool is_signed = dtypes[x->type.elem].cls == ClassSigned;
	if (y->op == LConst && !(is_signed && y->value.i < 0))
		return known_power(b, x, (uint64_t)y->value.i);
	LExpr *p = power_by_bits(b, x, y);
	if (!is_signed)
		return p;
	LExpr *unit = either(b, compare(b, LEq, x, 1), compare(b, LEq, x, -1));
	LExpr *inverse = select_if(b, unit, select_if(b, is_odd(b, y), x, k(b, x, 1)), k(b, x, 0));
	return llet(b, select_if(b, compare(b, LLt, y, 0), inverse, p));
}

/* ---- floating powers ------------------------------------------------------------------------------------------------ */

static LExpr *power_f32(LB *b, LExpr *a, LExpr *y)
{
	LExpr *y64 = lcast(b, LConvert, with_elem(y, F64), y);
	return exp2_f64(b, lmul(b, y64, log2_f64(b, a)), a->type);
}

/* C's pow, special cases included (x^0 = 1^y = 1 even for NaN; x < 0 needs an integer y).
 * Bound: 0.51 ULP, by f64 arithmetic (0.9 ULP of f64 by pairs); a constant y of +-1, +-2, +-3, +-4, +-0.5 is done in products, divisions and
 * roots, within 2 ULP (4 where 1/x^n exceeds 10^37, or 10^307 in f64, since x^n is denormal there; denormal results may be 0). */
LExpr *vm_pow(LB *b, LExpr *x, LExpr *y)
{
	LExpr *special = NULL;
	bool integer_base = dtypes[x->type.elem].cls != ClassFloat;
	x = llet(b, x);
	if (y->op == LConst && !integer_base)
		special = constant_power(b, x, y->value.f);
	if (special)
		return special;
	same_lanes(b, &x, &y);
	if (integer_base)
		return power_int(b, x, y);
	LExpr *a = llet(b, lop(b, LAbs, x, NULL, NULL));
	LExpr *r = llet(b, is_f64(x) ? vm_power_f64(b, a, y) : power_f32(b, a, y));

	LExpr *half = llet(b, lmul(b, y, k(b, y, 0.5)));
	LExpr *integer = llet(b, lop(b, LEq, lop(b, LFloor, y, NULL, NULL), y, NULL));
	LExpr *odd = both(b, integer, lop(b, LNe, lop(b, LFloor, half, NULL, NULL), half, NULL));
	LExpr *minus = both(b, odd, compare(b, LLt, bits_of(b, x), 0));
	r = select_if(b, minus, lop(b, LNeg, r, NULL, NULL), r);

	LExpr *finite = compare(b, LLt, a, INFINITY);
	LExpr *undefined = both(b, both(b, compare(b, LLt, x, 0), finite), lop(b, LNot, integer, NULL, NULL));
	r = select_if(b, undefined, k(b, x, NAN), r);

	LExpr *endless = compare(b, LEq, lop(b, LAbs, y, NULL, NULL), INFINITY);
	LExpr *one = either(b, compare(b, LEq, x, 1), both(b, compare(b, LEq, a, 1), endless));
	return llet(b, select_if(b, either(b, one, compare(b, LEq, y, 0)), k(b, x, 1), r));
}

/* ---- remainders ----------------------------------------------------------------------------------------------------- */

/* 2^k for an index k within the exponents of `like`, in all lanes. */
static LExpr *power_of_two(LB *b, const LExpr *like, LExpr *k)
{
	bool wide = like->type.elem == F64;
	LExpr *bits = lmul(b, ladd(b, k, li(b, wide ? 1023 : 127)), li(b, wide ? 1ll << 52 : 1 << 23));
	LExpr *power = float_of(b, wide ? bits : lcast(b, LConvert, (LType){I32, 1}, bits));
	return like->type.lanes == 1 ? power : lcast(b, LSplat, like->type, power);
}

/* Takes the divisor as often from *rest as it is in there, which must be less than 2^21 times (2^51 in f64): the quotient rounds to a
 * whole number that is one too large at most, and what is left is exact, since it is a multiple of the divisor's last bit. */
static void take_divisor(LB *b, LTile *rest, LExpr *divisor)
{
	LExpr *r = value_of(b, rest), *times = llet(b, lop(b, LFloor, lop(b, LDiv, r, divisor, NULL), NULL, NULL));
	LExpr *left = llet(b, lfma(b, lop(b, LNeg, times, NULL, NULL), divisor, r));
	left = select_if(b, compare(b, LLt, left, 0), ladd(b, left, divisor), left);
	lset_tile(b, rest, li(b, 0), li(b, 0), select_if(b, lop(b, LLe, divisor, r, NULL), left, r));
}

/* C's fmod: exact.  |y| times falling powers of two is taken from |x|, 20 bits of the quotient (50 in f64) at a time; a vector without so
 * large a quotient takes the last step alone. */
LExpr *vm_fmod(LB *b, LExpr *x, LExpr *y)
{
	same_lanes(b, &x, &y);
	int step = is_f64(x) ? 50 : 20, steps = is_f64(x) ? 42 : 14; /* x / y is below 2^(1024 + 1074), or 2^(128 + 149) */
	LExpr *a = llet(b, lop(b, LAbs, x, NULL, NULL)), *d = llet(b, lop(b, LAbs, y, NULL, NULL));
	LTile *rest = variable(b, "rest", a);
	LExpr *large = lop(b, LLe, lmul(b, d, k(b, x, (double)(1ll << step))), a, NULL);
	LExpr *many = select_if(b, large, k(b, x, 1), k(b, x, 0));
	lif(b, llt(b, lconst(b, (LType){x->type.elem, 1}, 0), x->type.lanes == 1 ? many : lop(b, LHMax, many, NULL, NULL)));
	LExpr *i = lfor(b, ForSerial, li(b, 0), li(b, steps), NULL);
	LExpr *power = llet(b, lmul(b, lsub(b, li(b, steps), i), li(b, step))), *third = llet(b, lop(b, LFloorDiv, power, li(b, 3), NULL));
	LExpr *part = llet(b, power_of_two(b, x, third)), *last = power_of_two(b, x, lsub(b, power, lmul(b, third, li(b, 2))));
	take_divisor(b, rest, llet(b, lmul(b, lmul(b, lmul(b, d, part), part), last)));
	lend(b);
	lend(b);
	take_divisor(b, rest, d);
	LExpr *defined = both(b, compare(b, LLt, a, INFINITY), lop(b, LLt, k(b, x, 0), d, NULL));
	return with_sign_of(b, select_if(b, defined, value_of(b, rest), k(b, x, NAN)), x);
}
