/* vmath_f64_test.c - the vector functions of f64 against long double: error bounds over sweeps, special values; fmod of both types. */
#include "../passes/vmath.h"
#include "test.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { Points = 1 << 13 };

typedef LExpr *Builder(LB *, LExpr *);

static Module *m;
static LModule *lm;

static double double_of_bits(uint64_t u)
{
	double d;
	memcpy(&d, &u, sizeof d);
	return d;
}

static uint64_t bits_of_double(double d)
{
	uint64_t u;
	memcpy(&u, &d, sizeof u);
	return u;
}

static bool same_bits(double a, double b)
{
	return bits_of_double(a) == bits_of_double(b) || (isnan(a) && isnan(b));
}

/* y[i] = f(x[i]) for i < n in steps of `lanes`. */
static LFunc *unary_kernel(const char *name, Builder *f, int lanes)
{
	LB b = new_kernel(lm, name, NULL);
	LBuf *x = lparam_buf(&b, "x", F64, false), *y = lparam_buf(&b, "y", F64, true);
	LExpr *n = lparam(&b, "n"), *i = lfor(&b, ForSerial, li(&b, 0), n, li(&b, lanes));
	lstore(&b, y, i, NULL, NULL, f(&b, lload(&b, x, lanes, i, NULL, NULL)));
	lend(&b);
	return finish_kernel(&b);
}

static void run(const LFunc *fn, const double *x, double *y, int n)
{
	LMem mems[2] = {{(void *)x, F64, n}, {y, F64, n}};
	int64_t scalars[1] = {n};
	const char *wrong = interp_kernel(lm, fn, mems, scalars, 0, 1, NULL);
	if (wrong)
		fprintf(stderr, "%s\n", wrong);
	CHECK(!wrong);
}

/* Distance in units in the last place of the exact value, rounded to f64's range. */
static double ulps(double y, long double exact)
{
	int e;
	if (isnan(exact))
		return isnan(y) ? 0 : INFINITY;
	if (fabsl(exact) >= 0x1.fffffffffffff8p+1023L)
		return isinf(y) && (y < 0) == (exact < 0) ? 0 : INFINITY;
	if (isnan(y) || isinf(y))
		return INFINITY;
	frexpl(exact, &e);
	return (double)(fabsl((long double)y - exact) / ldexpl(1, (e < -1021 ? -1021 : e) - 53));
}

static long double sigmoidl(long double x)
{
	return 1 / (1 + expl(-x));
}

typedef struct Sweep {
	const char *name;
	Builder *build;
	long double (*exact)(long double);
	double lo, hi, bound;
} Sweep;

/* Both signs where lo is negative. */
static const Sweep sweeps[] = {
	{"exp", vm_exp, expl, 1e-300, 1, 1.1},
	{"exp", vm_exp, expl, 0.01, 709.78, 1.1},
	{"exp", vm_exp, expl, 709.79, 1e308, 0},
	{"exp", vm_exp, expl, -1e-20, -1, 1.1},
	{"exp", vm_exp, expl, -0.01, -708, 1.1},
	{"exp", vm_exp, expl, -708, -745.2, 1.1},
	{"log", vm_log, logl, 5e-324, 1e-300, 1},
	{"log", vm_log, logl, 1e-300, 1e308, 1},
	{"log", vm_log, logl, 0.5, 2, 1},
	{"log", vm_log, logl, 0.99, 1.01, 1},
	{"log", vm_log, logl, 0.999999, 1.000001, 1},
	{"tanh", vm_tanh, tanhl, 1e-300, 0.01, 1.6},
	{"tanh", vm_tanh, tanhl, 0.01, 0.3, 1.6},
	{"tanh", vm_tanh, tanhl, 0.1, 1.1, 1.6},
	{"tanh", vm_tanh, tanhl, 0.9, 30, 1.6},
	{"tanh", vm_tanh, tanhl, -0.01, -10, 1.6},
	{"erf", vm_erf, erfl, 1e-300, 0.01, 1.2},
	{"erf", vm_erf, erfl, 0.01, 1, 1.2},
	{"erf", vm_erf, erfl, 0.9, 7, 1.2},
	{"erf", vm_erf, erfl, -0.01, -5, 1.2},
	{"sin", vm_sin, sinl, 1e-300, 1, 1},
	{"sin", vm_sin, sinl, 0.1, 1e5, 1},
	{"sin", vm_sin, sinl, -1, -1e6, 1},
	{"sin", vm_sin, sinl, 1e5, 1e18, 1},
	{"sin", vm_sin, sinl, 1e18, 1.7e308, 1},
	{"cos", vm_cos, cosl, 1e-300, 1, 1},
	{"cos", vm_cos, cosl, 0.1, 1e5, 1},
	{"cos", vm_cos, cosl, 1e5, 1.7e308, 1},
	{"cos", vm_cos, cosl, -1e5, -1.7e308, 1},
	{"atan", vm_atan, atanl, 1e-300, 0.1, 1.1},
	{"atan", vm_atan, atanl, 0.1, 3, 1.1},
	{"atan", vm_atan, atanl, 2, 1.7e308, 1.1},
	{"atan", vm_atan, atanl, -0.1, -9, 1.1},
	{"sigmoid", vm_sigmoid, sigmoidl, 1e-20, 100, 2.2},
	{"sigmoid", vm_sigmoid, sigmoidl, -1e-20, -709.7, 2.2},
};

/* Values from lo to hi of one sign, evenly spaced as bit patterns. */
static void sweep(const Sweep *s)
{
	static double x[Points], y[Points];
	uint64_t first = bits_of_double(s->lo);
	double step = (double)((int64_t)bits_of_double(s->hi) - (int64_t)first) / (Points - 1), worst = 0, at = 0;
	for (int i = 0; i < Points; i++)
		x[i] = double_of_bits(first + (uint64_t)(int64_t)(step * i));
	run(unary_kernel(s->name, s->build, Lanes), x, y, Points);
	for (int i = 0; i < Points; i++) {
		double e = ulps(y[i], s->exact(x[i]));
		if (!(e <= worst)) {
			worst = e;
			at = x[i];
		}
	}
	if (getenv("SHOW"))
		printf("%-8s [%g, %g]: %.3f ulp at %.17g\n", s->name, s->lo, s->hi, worst, at);
	if (!(worst <= s->bound))
		fprintf(stderr, "%s in [%g, %g]: %g ulp at %.17g\n", s->name, s->lo, s->hi, worst, at);
	CHECK(worst <= s->bound);
}

static double one_value(Builder *f, double x)
{
	double y[1];
	run(unary_kernel("one", f, 1), &x, y, 1);
	return y[0];
}

static void test_special_values(void)
{
	static const double half_pi = 0x1.921fb54442d18p+0;
	static const struct {
		Builder *f;
		double x, y;
	} cases[] = {
		{vm_exp, 0, 1}, {vm_exp, -0.0, 1}, {vm_exp, -INFINITY, 0}, {vm_exp, INFINITY, INFINITY}, {vm_exp, NAN, NAN},
		{vm_exp, 1e300, INFINITY}, {vm_exp, -1e300, 0}, {vm_exp, 710, INFINITY}, {vm_exp, -746, 0}, {vm_exp, 5e-324, 1},
		{vm_exp, -745.13, 5e-324},
		{vm_log, 1, 0}, {vm_log, 0, -INFINITY}, {vm_log, -0.0, -INFINITY}, {vm_log, -1, NAN}, {vm_log, -INFINITY, NAN},
		{vm_log, INFINITY, INFINITY}, {vm_log, NAN, NAN},
		{vm_tanh, 0, 0}, {vm_tanh, -0.0, -0.0}, {vm_tanh, INFINITY, 1}, {vm_tanh, -INFINITY, -1}, {vm_tanh, NAN, NAN},
		{vm_tanh, 5e-324, 5e-324},
		{vm_erf, 0, 0}, {vm_erf, -0.0, -0.0}, {vm_erf, INFINITY, 1}, {vm_erf, -INFINITY, -1}, {vm_erf, NAN, NAN}, {vm_erf, 6.5, 1},
		{vm_sin, 0, 0}, {vm_sin, -0.0, -0.0}, {vm_sin, INFINITY, NAN}, {vm_sin, -INFINITY, NAN}, {vm_sin, NAN, NAN},
		{vm_sin, 5e-324, 5e-324},
		{vm_cos, 0, 1}, {vm_cos, -INFINITY, NAN}, {vm_cos, NAN, NAN},
		/* the double that lies closest to a multiple of pi/2 */
		{vm_cos, 0x1.6ac5b262ca1ffp+849, -0x1.14ae72e6ba22fp-61},
		{vm_atan, 0, 0}, {vm_atan, -0.0, -0.0}, {vm_atan, INFINITY, half_pi}, {vm_atan, -INFINITY, -half_pi}, {vm_atan, NAN, NAN},
		{vm_sigmoid, 0, 0.5}, {vm_sigmoid, INFINITY, 1}, {vm_sigmoid, -INFINITY, 0}, {vm_sigmoid, NAN, NAN},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		double y = one_value(cases[i].f, cases[i].x);
		if (!same_bits(y, cases[i].y))
			fprintf(stderr, "case %zu: f(%.17g) = %a, expected %a\n", i, cases[i].x, y, cases[i].y);
		CHECK(same_bits(y, cases[i].y));
	}
}

/* f(-x) == -f(x) to the bit, and one lane computes what 16 do. */
static void test_symmetry_and_lanes(void)
{
	static double x[1024], y[1024], z[1024];
	for (int i = 0; i < 1024; i++)
		x[i] = (i - 512) * 0.0371 * (i % 7 ? 1 : 1e7);
	Builder *odd[] = {vm_tanh, vm_erf, vm_sin, vm_atan};
	Builder *all[] = {vm_exp, vm_log, vm_tanh, vm_erf, vm_sin, vm_cos, vm_atan, vm_sigmoid};
	for (size_t f = 0; f < sizeof odd / sizeof *odd; f++) {
		run(unary_kernel("odd", odd[f], Lanes), x, y, 1024);
		for (int i = 0; i < 1024; i++)
			z[i] = -x[i];
		run(unary_kernel("odd", odd[f], Lanes), z, z, 1024);
		for (int i = 0; i < 1024; i++)
			CHECK(y[i] == -z[i]);
	}
	for (size_t f = 0; f < sizeof all / sizeof *all; f++) {
		run(unary_kernel("wide", all[f], Lanes), x, y, 1024);
		run(unary_kernel("narrow", all[f], 1), x, z, 1024);
		for (int i = 0; i < 1024; i++)
			CHECK(same_bits(y[i], z[i]));
	}
}

static LFunc *pow_kernel(double constant)
{
	LB b = new_kernel(lm, "pow", NULL);
	LBuf *x = lparam_buf(&b, "x", F64, false), *e = lparam_buf(&b, "e", F64, false);
	LBuf *y = lparam_buf(&b, "y", F64, true);
	LExpr *n = lparam(&b, "n"), *i = lfor(&b, ForSerial, li(&b, 0), n, li(&b, Lanes));
	LExpr *p = isnan(constant) ? lload(&b, e, Lanes, i, NULL, NULL) : lconst(&b, (LType){F64, 1}, constant);
	lstore(&b, y, i, NULL, NULL, vm_pow(&b, lload(&b, x, Lanes, i, NULL, NULL), p));
	lend(&b);
	return finish_kernel(&b);
}

/* A negative constant exponent is a reciprocal: results that are denormal may be 0, and the others err more where x^n is denormal. */
static void check_pow(double constant, const double *x, const double *e, int n, double bound)
{
	static double y[Points];
	LMem mems[3] = {{(void *)x, F64, n}, {(void *)e, F64, n}, {y, F64, n}};
	int64_t scalars[1] = {n};
	double worst = 0;
	CHECK(!interp_kernel(lm, pow_kernel(constant), mems, scalars, 0, 1, NULL));
	for (int i = 0; i < n; i++) {
		double power = isnan(constant) ? e[i] : constant;
		long double exact = powl(x[i], power);
		bool reciprocal = !isnan(constant) && constant < 0;
		bool flushed = reciprocal && fabsl(exact) < DBL_MIN && y[i] == 0;
		double err = ulps(y[i], exact), most = reciprocal && fabsl(exact) > 1e307L ? 4 : bound;
		if (exact == 0 && bound < 1)
			err = same_bits(y[i], (double)exact) ? 0 : INFINITY;
		if (!flushed && !(err <= most))
			fprintf(stderr, "pow(%.17g, %.17g) = %.17g, expected %.17Lg: %g ulp\n", x[i], power, y[i], exact, err);
		CHECK(flushed || err <= most);
		worst = err > worst ? err : worst;
	}
	if (getenv("SHOW"))
		printf("pow %g: %.3f\n", constant, worst);
}

static void test_pow(void)
{
	static double x[Points], e[Points];
	static const double special[] = {0, -0.0, 1, -1, 2, -2, 3, 0.5, -0.5, -3, 4, 7, 2.5, 1e-310, -1e-310, 1e300, -1e300, INFINITY,
	                                 -INFINITY, NAN, 0x1.fffffffffffffp-1, 0x1.0000000000001p+0, 1e10, 9007199254740991.0,
	                                 -9007199254740992.0};
	enum { S = sizeof special / sizeof *special };
	for (int i = 0; i < (S * S + 15) / 16 * 16; i++) {
		x[i] = special[i / S % S];
		e[i] = special[i % S];
	}
	check_pow(NAN, x, e, (S * S + 15) / 16 * 16, 0.9);
	srand(1);
	for (int i = 0; i < Points; i++) {
		x[i] = double_of_bits(((uint64_t)rand() << 32 | (uint64_t)rand() << 1) & INT64_MAX);
		e[i] = (rand() % 2000 - 1000) * (i % 3 ? 0.001 : 0.01);
		if (i % 3 == 0)
			x[i] = 1 + (rand() % 20000 - 10000) * 1e-5;
		if (i % 5 == 0)
			e[i] = rand() % 2000 - 1000;
		if (i % 7 == 0)
			x[i] = 1 + (rand() - RAND_MAX / 2) * 1e-18 * i;
	}
	check_pow(NAN, x, e, Points, 0.9);
	static const double constants[] = {0, 1, 2, 3, 4, 0.5, -0.5, -1, -2, -3, -4, 5, 1.5, -0.25};
	for (size_t k = 0; k < sizeof constants / sizeof *constants; k++) {
		for (int i = 0; i < Points; i++)
			x[i] = i < S ? special[i] : double_of_bits(0x2000000000000000u + (uint64_t)i * 0x001ffffffff00001u);
		check_pow(constants[k], x, e, Points, 2);
	}
}

/* C's fmod to the bit, of f32 and f64: quotients of all sizes, special values. */
static void test_fmod(DType type)
{
	enum { N = 1 << 12 };
	static double x[N], y[N], z[N];
	static float fx[N], fy[N], fz[N];
	static const double special[] = {0, -0.0, 1, -1, 3, 5e-324, 1e-45, 3e38, -1e38, 1e308, INFINITY, -INFINITY, NAN, 0.1};
	enum { S = sizeof special / sizeof *special };
	bool wide = type == F64;
	LB b = new_kernel(lm, "fmod", NULL);
	LBuf *bx = lparam_buf(&b, "x", type, false), *by = lparam_buf(&b, "y", type, false), *bz = lparam_buf(&b, "z", type, true);
	LExpr *i = lfor(&b, ForSerial, li(&b, 0), lparam(&b, "n"), li(&b, Lanes));
	lstore(&b, bz, i, NULL, NULL, vm_fmod(&b, lload(&b, bx, Lanes, i, NULL, NULL), lload(&b, by, Lanes, i, NULL, NULL)));
	lend(&b);
	srand(2);
	for (int k = 0; k < N; k++) {
		x[k] = k < S * S ? special[k / S] : ldexp(rand() - RAND_MAX / 2, rand() % (wide ? 1900 : 200) - (wide ? 1000 : 100));
		y[k] = k < S * S ? special[k % S] : ldexp(rand(), k & 1 ? rand() % 60 - 30 : -(rand() % (wide ? 1000 : 150)));
		y[k] = k % 3 ? y[k] : x[k] * (rand() % 100 + 1) / 64;
		fx[k] = (float)x[k];
		fy[k] = (float)y[k];
	}
	const void *const from[2] = {wide ? (void *)x : fx, wide ? (void *)y : fy};
	LMem mems[3] = {{(void *)from[0], type, N}, {(void *)from[1], type, N}, {wide ? (void *)z : fz, type, N}};
	CHECK(!interp_kernel(lm, finish_kernel(&b), mems, (int64_t[]){N}, 0, 1, NULL));
	for (int k = 0; k < N; k++) {
		double got = wide ? z[k] : (double)fz[k], want = wide ? fmod(x[k], y[k]) : (double)fmodf(fx[k], fy[k]);
		if (!same_bits(got, want))
			fprintf(stderr, "fmod of %s(%.17g, %.17g) = %.17g, expected %.17g\n", dtypes[type].text, x[k], y[k], got, want);
		CHECK(same_bits(got, want));
	}
}

int main(void)
{
	m = new_module("test", "test");
	lm = new_lmodule(m);
	for (size_t i = 0; i < sizeof sweeps / sizeof *sweeps; i++)
		sweep(&sweeps[i]);
	test_special_values();
	test_symmetry_and_lanes();
	test_pow();
	test_fmod(F32);
	test_fmod(F64);
	free_module(m);
	return test_end("vmath_f64");
}
