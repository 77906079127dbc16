/* vmath_test.c - the vector functions against double precision: error bounds over sweeps, special values. */
#include "../passes/vmath.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>

enum { Points = 1 << 15 };

typedef LExpr *Builder(LB *, LExpr *);

static Module *m;
static LModule *lm;

static float float_of_bits(uint32_t u)
{
	float f;
	memcpy(&f, &u, sizeof f);
	return f;
}

static uint32_t bits_of_float(float f)
{
	uint32_t u;
	memcpy(&u, &f, sizeof u);
	return u;
}

/* y[i] = f(x[i]) for i < n in steps of `lanes`. */
static LFunc *unary_kernel(const char *name, Builder *f, int lanes)
{
	LB b = new_kernel(lm, name, NULL);
	LBuf *x = lparam_buf(&b, "x", F32, false), *y = lparam_buf(&b, "y", F32, true);
	LExpr *n = lparam(&b, "n"), *i = lfor(&b, ForSerial, li(&b, 0), n, li(&b, lanes));
	lstore(&b, y, i, NULL, NULL, f(&b, lload(&b, x, lanes, i, NULL, NULL)));
	lend(&b);
	return finish_kernel(&b);
}

static void run(const LFunc *fn, const float *x, float *y, int n)
{
	LMem mems[2] = {{(void *)x, F32, n}, {y, F32, n}};
	int64_t scalars[1] = {n};
	const char *wrong = interp_kernel(lm, fn, mems, scalars, 0, 1, NULL);
	if (wrong)
		fprintf(stderr, "%s\n", wrong);
	CHECK(!wrong);
}

/* Distance in units in the last place of the exact value, rounded to f32's range. */
static double ulps(float y, double exact)
{
	int e;
	if (isnan(exact))
		return isnan(y) ? 0 : INFINITY;
	if (fabs(exact) >= 0x1.ffffffp+127)
		return isinf(y) && (y < 0) == (exact < 0) ? 0 : INFINITY;
	if (isnan(y) || isinf(y))
		return INFINITY;
	frexp(exact, &e);
	return fabs((double)y - exact) / ldexp(1, (e < -125 ? -125 : e) - 24);
}

static double sigmoid(double x)
{
	return 1 / (1 + exp(-x));
}

/* Floats from lo to hi of one sign, evenly spaced as bit patterns. */
static void sweep(const char *name, const LFunc *fn, double (*exact)(double), float lo, float hi, double bound)
{
	static float x[Points], y[Points];
	uint32_t first = bits_of_float(lo), last = bits_of_float(hi);
	double worst = 0, at = 0;
	for (int i = 0; i < Points; i++)
		x[i] = float_of_bits((uint32_t)(first + ((int64_t)last - first) * i / (Points - 1)));
	run(fn, x, y, Points);
	for (int i = 0; i < Points; i++) {
		double e = ulps(y[i], exact(x[i]));
		if (!(e <= worst)) {
			worst = e;
			at = x[i];
		}
	}
	if (!(worst <= bound))
		fprintf(stderr, "%s in [%g, %g]: %g ulp at %.9g\n", name, lo, hi, worst, at);
	CHECK(worst <= bound);
}

typedef struct Sweep {
	const char *name;
	Builder *build;
	double (*exact)(double);
	float lo, hi;
	double bound;
} Sweep;

static const Sweep sweeps[] = {
	{"exp", vm_exp, exp, 1e-9f, 1, 1.1},
	{"exp", vm_exp, exp, 1, 88.37f, 1.1},
	{"exp", vm_exp, exp, 88.37f, 88.7228394f, 3.3},
	{"exp", vm_exp, exp, 88.7229f, 3e38f, 0},
	{"exp", vm_exp, exp, -1, -87.336f, 1.1},
	{"exp", vm_exp, exp, -1e-9f, -1, 1.1},
	{"log", vm_log, log, 1e-44f, 1e-37f, 0.9},
	{"log", vm_log, log, 1e-37f, 3.4e38f, 0.9},
	{"log", vm_log, log, 0.5f, 1, 0.9},
	{"log", vm_log, log, 1, 2, 0.9},
	{"log", vm_log, log, 0.999f, 1.001f, 0.9},
	{"tanh", vm_tanh, tanh, 1e-37f, 0.01f, 2.5},
	{"tanh", vm_tanh, tanh, 0.01f, 1, 2.5},
	{"tanh", vm_tanh, tanh, 1, 100, 2.5},
	{"tanh", vm_tanh, tanh, -0.01f, -10, 2.5},
	{"erf", vm_erf, erf, 1e-37f, 0.01f, 2.3},
	{"erf", vm_erf, erf, 0.01f, 1, 2.3},
	{"erf", vm_erf, erf, 1, 100, 2.3},
	{"erf", vm_erf, erf, -0.01f, -5, 2.3},
	{"sin", vm_sin, sin, 1e-37f, 1, 1.6},
	{"sin", vm_sin, sin, 1, 1e5f, 1.6},
	{"sin", vm_sin, sin, -1, -1e5f, 1.6},
	{"sin", vm_sin, sin, 1e5f, 1e9f, 1.6},
	{"sin", vm_sin, sin, 1e9f, 3.4e38f, 1.6},
	{"sin", vm_sin, sin, -1e5f, -3.4e38f, 1.6},
	{"cos", vm_cos, cos, 1e-37f, 1, 1.6},
	{"cos", vm_cos, cos, 1, 1e5f, 1.6},
	{"cos", vm_cos, cos, -1, -1e5f, 1.6},
	{"cos", vm_cos, cos, 1e5f, 3.4e38f, 1.6},
	{"cos", vm_cos, cos, -1e5f, -3.4e38f, 1.6},
	{"atan", vm_atan, atan, 1e-37f, 0.1f, 1.7},
	{"atan", vm_atan, atan, 0.1f, 2, 1.7},
	{"atan", vm_atan, atan, 2, 3.4e38f, 1.7},
	{"atan", vm_atan, atan, -0.1f, -9, 1.7},
	{"sigmoid", vm_sigmoid, sigmoid, 1e-9f, 100, 2.5},
	{"sigmoid", vm_sigmoid, sigmoid, -1e-9f, -87.3f, 2.5},
};

static void test_sweeps(void)
{
	for (size_t i = 0; i < sizeof sweeps / sizeof *sweeps; i++) {
		const Sweep *s = &sweeps[i];
		sweep(s->name, unary_kernel(s->name, s->build, Lanes), s->exact, s->lo, s->hi, s->bound);
	}
}

static float one_value(Builder *f, float x)
{
	float y[1];
	run(unary_kernel("one", f, 1), &x, y, 1);
	return y[0];
}

static bool same_bits(float a, float b)
{
	return bits_of_float(a) == bits_of_float(b) || (isnan(a) && isnan(b));
}

static void test_special_values(void)
{
	static const struct {
		Builder *f;
		float x, y;
	} cases[] = {
		{vm_exp, 0, 1}, {vm_exp, -0.0f, 1}, {vm_exp, -INFINITY, 0}, {vm_exp, INFINITY, INFINITY},
		{vm_exp, -1e9f, 0}, {vm_exp, 1e9f, INFINITY}, {vm_exp, 89, INFINITY}, {vm_exp, NAN, NAN},
		{vm_exp, -88, 0}, {vm_exp, -3e38f, 0},
		{vm_log, 1, 0}, {vm_log, 0, -INFINITY}, {vm_log, -0.0f, -INFINITY}, {vm_log, -1, NAN},
		{vm_log, -INFINITY, NAN}, {vm_log, INFINITY, INFINITY}, {vm_log, NAN, NAN},
		{vm_tanh, 0, 0}, {vm_tanh, -0.0f, -0.0f}, {vm_tanh, INFINITY, 1}, {vm_tanh, -INFINITY, -1},
		{vm_tanh, NAN, NAN}, {vm_tanh, 20, 1}, {vm_tanh, -9.5f, -1},
		{vm_erf, 0, 0}, {vm_erf, -0.0f, -0.0f}, {vm_erf, INFINITY, 1}, {vm_erf, -INFINITY, -1},
		{vm_erf, NAN, NAN}, {vm_erf, 4, 1}, {vm_erf, -1e30f, -1},
		{vm_sin, 0, 0}, {vm_sin, -0.0f, 0}, {vm_sin, INFINITY, NAN}, {vm_sin, NAN, NAN},
		{vm_cos, 0, 1}, {vm_cos, -INFINITY, NAN}, {vm_cos, NAN, NAN},
		{vm_atan, 0, 0}, {vm_atan, -0.0f, -0.0f}, {vm_atan, INFINITY, 0x1.921fb6p+0f}, {vm_atan, -INFINITY, -0x1.921fb6p+0f},
		{vm_atan, NAN, NAN},
		{vm_sigmoid, 0, 0.5f}, {vm_sigmoid, INFINITY, 1}, {vm_sigmoid, -INFINITY, 0}, {vm_sigmoid, 40, 1},
		{vm_sigmoid, -200, 0}, {vm_sigmoid, NAN, NAN},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		float y = one_value(cases[i].f, cases[i].x);
		if (!same_bits(y, cases[i].y))
			fprintf(stderr, "case %zu: f(%g) = %g, expected %g\n", i, cases[i].x, y, cases[i].y);
		CHECK(same_bits(y, cases[i].y));
	}
	for (uint32_t payload = 1; payload < 0x400000; payload = payload * 3 + 1) {
		CHECK(isnan(one_value(vm_exp, float_of_bits(0x7fc00000 | payload))));
		CHECK(isnan(one_value(vm_tanh, float_of_bits(0xffc00000 | payload))));
	}
}

/* f(-x) == -f(x) to the bit, and one lane computes what 16 do. */
static void test_symmetry_and_lanes(void)
{
	static float x[1024], y[1024], z[1024];
	for (int i = 0; i < 1024; i++)
		x[i] = (float)(i - 512) * 0.0371f;
	Builder *odd[] = {vm_tanh, vm_erf, vm_sin, vm_atan};
	Builder *all[] = {vm_exp, vm_log, vm_tanh, vm_erf, vm_sin, vm_cos, vm_atan, vm_sigmoid};
	for (size_t f = 0; f < sizeof odd / sizeof *odd; f++) {
		run(unary_kernel("odd", odd[f], Lanes), x, y, 1024);
		for (int i = 1; i < 1024; i++)
			CHECK(y[i] == -y[1024 - i]);
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
	LBuf *x = lparam_buf(&b, "x", F32, false), *e = lparam_buf(&b, "e", F32, false);
	LBuf *y = lparam_buf(&b, "y", F32, true);
	LExpr *n = lparam(&b, "n"), *i = lfor(&b, ForSerial, li(&b, 0), n, li(&b, Lanes));
	LExpr *p = isnan(constant) ? lload(&b, e, Lanes, i, NULL, NULL) : lconst(&b, (LType){F32, 1}, constant);
	lstore(&b, y, i, NULL, NULL, vm_pow(&b, lload(&b, x, Lanes, i, NULL, NULL), p));
	lend(&b);
	return finish_kernel(&b);
}

static void run_pow(double constant, const float *x, const float *e, float *y, int n)
{
	LMem mems[3] = {{(void *)x, F32, n}, {(void *)e, F32, n}, {y, F32, n}};
	int64_t scalars[1] = {n};
	CHECK(!interp_kernel(lm, pow_kernel(constant), mems, scalars, 0, 1, NULL));
}

static void check_pow(const char *what, float x, float e, float y, double bound)
{
	double exact = pow(x, e);
	bool flushed = bound > 1 && fabs(exact) < 0x1p-126 && y == 0;
	bool good = exact == 0 ? same_bits(y, (float)exact) : flushed || ulps(y, exact) <= bound;
	if (!good)
		fprintf(stderr, "%s: pow(%.9g, %.9g) = %.9g, expected %.9g\n", what, x, e, y, exact);
	CHECK(good);
}

static void test_pow(void)
{
	enum { N = 1 << 13 };
	static float x[N], e[N], y[N];
	static const float special[] = {0, -0.0f, 1, -1, 2, -2, 3, 0.5f, -0.5f, -3, 4, 7, 2.5f, 1e-40f, -1e-40f, 1e30f,
	                                -1e30f, INFINITY, -INFINITY, NAN, 0.99999994f, 1e10f, 16777215.0f,
	                                -16777216.0f};
	enum { S = sizeof special / sizeof *special };
	for (int i = 0; i < S * S; i++) {
		x[i] = special[i / S];
		e[i] = special[i % S];
	}
	run_pow(NAN, x, e, y, (S * S + 15) / 16 * 16);
	for (int i = 0; i < S * S; i++)
		check_pow("special", x[i], e[i], y[i], 0.51);
	srand(1);
	for (int i = 0; i < N; i++) {
		x[i] = float_of_bits(0x00800000u + (uint32_t)((rand() & 0xffff) * 0x7e80ll));
		e[i] = (float)(rand() % 2000 - 1000) * (i % 3 ? 0.05f : 0.001f);
		if (i % 5 == 0) {
			x[i] = 1 + (float)(rand() % 20000 - 10000) * 1e-5f;
			e[i] = (float)(rand() % 2000 - 1000);
		}
	}
	run_pow(NAN, x, e, y, N);
	for (int i = 0; i < N; i++)
		check_pow("random", x[i], e[i], y[i], 0.51);
	static const float constants[] = {0, 1, 2, 3, 4, 0.5f, -0.5f, -1, -2, -3, -4, 5, 1.5f, -0.25f};
	for (size_t k = 0; k < sizeof constants / sizeof *constants; k++) {
		for (int i = 0; i < N; i++)
			x[i] = i < S ? special[i] : float_of_bits(0x20000000u + (uint32_t)i * 0x10000u);
		run_pow(constants[k], x, e, y, N);
		for (int i = 0; i < N; i++)
			check_pow("constant", x[i], constants[k], y[i], fabs(pow(x[i], constants[k])) > 1e37 ? 4 : 2);
	}
}

int main(void)
{
	m = new_module("test", "test");
	lm = new_lmodule(m);
	test_sweeps();
	test_special_values();
	test_symmetry_and_lanes();
	test_pow();
	free_module(m);
	return test_end("vmath");
}
