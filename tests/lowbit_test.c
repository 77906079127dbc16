/* lowbit_test.c - element types of a byte and less: every element, and the f32 around every place where rounding changes, against
 * numbers that are enumerated here from the definitions of the types.  Evaluator, interpreter and machine code agree bit for bit. */
#include "onnx_build.h"
#include "schedule.h"

#include <math.h>

enum { MaxX = 65536, MaxOut = 32, Nowhere = -1 };

/* ---- the numbers of a type ---------------------------------------------------------------------------------------- */

typedef struct Float8 {
	DType dtype;
	int ones, mantissa; /* bits of exponent and fraction */
	double least; /* the smallest number above 0 */
	int most, nan, infinite; /* codes without sign; nan with its sign; Nowhere: there is none */
	bool minus_zero;
} Float8;

static const Float8 floats[] = {
	{F8E4M3FN, 4, 3, 0x1p-9, 0x7e, 0x7f, Nowhere, true},
	{F8E4M3FNUZ, 4, 3, 0x1p-10, 0x7f, 0x80, Nowhere, false},
	{F8E5M2, 5, 2, 0x1p-16, 0x7b, 0x7e, 0x7c, true},
	{F8E5M2FNUZ, 5, 2, 0x1p-17, 0x7f, 0x80, Nowhere, false},
	{F4E2M1, 2, 1, 0.5, 7, 8, Nowhere, true}, /* NaN becomes a number */
};
enum { NFloats = sizeof floats / sizeof *floats };

/* Codes count up in steps of `least` for two rounds of the fraction; then the step doubles with every round. */
static double number(const Float8 *f, int magnitude)
{
	int round = 1 << f->mantissa;
	double value = 0, step = f->least;
	for (int i = 0; i < magnitude; i++) {
		if (i >= 2 * round && i % round == 0)
			step *= 2;
		value += step;
	}
	return value;
}

static int sign_bit(const Float8 *f)
{
	return 1 << (f->ones + f->mantissa);
}

static bool code_is_nan(const Float8 *f, int code)
{
	if (f->dtype == F4E2M1)
		return false;
	if (f->infinite != Nowhere)
		return (code & 0x7f) > f->infinite;
	return f->minus_zero ? (code & 0x7f) == f->nan : code == f->nan;
}

static double meaning(const Float8 *f, int code)
{
	int sign = sign_bit(f), magnitude = code & (sign - 1);
	double size = magnitude == f->infinite ? INFINITY : number(f, magnitude);
	return code_is_nan(f, code) ? NAN : code & sign ? -size : size;
}

/* The code of x, by the tables of the standard's text on Cast. */
static int nearest(const Float8 *f, double x, bool saturate)
{
	double size = fabs(x);
	int sign = signbit(x) ? sign_bit(f) : 0, code = 0;
	if (isnan(x))
		return f->minus_zero && f->nan < sign_bit(f) ? sign | f->nan : f->nan;
	while (code < f->most && number(f, code + 1) <= size)
		code++;
	double here = number(f, code), above = number(f, code + 1); /* behind the last one: where it would be */
	if (size - here > above - size || (size - here == above - size && code % 2))
		code++;
	if (code > f->most) {
		int beyond = f->infinite != Nowhere ? f->infinite : f->nan;
		return saturate || f->dtype == F4E2M1 ? sign | f->most : f->minus_zero ? sign | beyond : beyond;
	}
	return code || f->minus_zero ? sign | code : 0;
}

/* The code of a power of two; -1: the text leaves it open. */
static int power(double x, const char *mode, bool saturate)
{
	int code = 0;
	if (isnan(x))
		return 0xff;
	if (x < 0 || (x == 0 && signbit(x)))
		return -1;
	if (!saturate && (x < 0x1p-127 || x > 0x1p127))
		return 0xff;
	if (x <= 0x1p-127 || x >= 0x1p127)
		return x <= 1 ? 0 : 0xfe;
	while (ldexp(1, code - 127) < x)
		code++;
	double up = ldexp(1, code - 127), down = up / 2;
	bool lower = up != x && (!strcmp(mode, "down") || (!strcmp(mode, "nearest") && x - down < up - x));
	return code - lower;
}

/* ---- what is converted -------------------------------------------------------------------------------------------- */

static float xs[MaxX];
static int nx;

/* With both signs, and the three next numbers on either side. */
static void add_x(double x)
{
	float up = (float)x, down = up;
	for (int i = 0; i < 4; i++) {
		const float all[] = {up, down, -up, -down};
		for (int k = 0; k < 4 && nx < MaxX; k++)
			xs[nx++] = all[k];
		up = nextafterf(up, INFINITY);
		down = nextafterf(down, -INFINITY);
	}
}

static void add_all(void)
{
	static const double others[] = {0, INFINITY, FLT_MAX, 0x1p-149, 0x1p-126, 1e-30, 1, 3, 1e5, 1e30};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		add_x(others[i]);
	xs[nx++] = NAN;
	xs[nx++] = -NAN;
	for (int t = 0; t < NFloats; t++)
		for (int code = 0; code <= floats[t].most; code++) {
			add_x(number(&floats[t], code));
			add_x((number(&floats[t], code) + number(&floats[t], code + 1)) / 2);
		}
	for (int e = -130; e < 128; e++) {
		add_x(ldexp(1, e));
		add_x(ldexp(1.5, e));
	}
	CHECK(nx < MaxX);
}

/* ---- the three ways ------------------------------------------------------------------------------------------------- */

typedef struct Ways {
	Family f;
	Tensor in, out[MaxOut]; /* as the evaluator has them */
	int nout;
} Ways;

/* To the bit, but that a NaN is a NaN. */
static void check_same(const Tensor *want, const void *got)
{
	for (int64_t i = 0, n = tensor_numel(want); i < n; i++) {
		Scalar a = scalar_at(want->dtype, want->data, i), b = scalar_at(want->dtype, got, i);
		CHECK(same_scalar(a, b) || (is_among(a.dtype, TypesFlt) && isnan(a.f) && isnan(b.f)));
	}
}

static void run_object(Ways *w, int target)
{
	dcc_tensor in = to_dcc(&w->in), out[MaxOut];
	in.data = malloc(port_bytes(&w->in) + 1);
	fill_port(&w->in, in.data);
	dcc_error error = {0};
	uint64_t bytes = 0;
	CHECK(!dcc_plan(w->f.model, &in, 1, 1, NULL, &bytes, &error));
	void *workspace = aligned_alloc(64, bytes + 64), *side = aligned_alloc(64, (w->f.weights_bytes + 64) / 64 * 64);
	memcpy(side, w->f.weights, w->f.weights_bytes);
	char *outputs = calloc(1, 1 << 22), *end = outputs; /* each begins where the one before ends */
	for (int i = 0; i < w->nout; i++) {
		size_t align = (size_t)dtypes[w->out[i].dtype].bytes;
		out[i] = to_dcc(&w->out[i]);
		out[i].data = end += (align - (uintptr_t)end % align) % align;
		end += port_bytes(&w->out[i]);
	}
	if (end - outputs > 1 << 22)
		bug("the outputs are too large");
	dcc_args args = {.size = sizeof args, .inputs = &in, .outputs = out, .ninputs = 1, .noutputs = w->nout, .workspace = workspace,
	                 .workspace_size = bytes, .weights = side, .weights_size = w->f.weights_bytes, .error = &error,
	                 .target = (uint32_t)target + 1};
	CHECK(!dcc_run(w->f.model, &args));
	if (error.code)
		fprintf(stderr, "%s\n", error.text);
	for (int i = 0; i < w->nout; i++) {
		void *elements = read_port(&w->out[i], out[i].data);
		check_same(&w->out[i], elements);
		if (elements != out[i].data)
			free(elements);
	}
	free(outputs);
	free(in.data);
	free(workspace);
	free(side);
}

static void run_interpreted(Ways *w)
{
	Tensor got[MaxOut] = {0};
	const char *wrong = interp_program(w->f.lowered->loops, "avx512", 1, &w->in, got);
	CHECK(!wrong);
	for (int i = 0; !wrong && i < w->nout; i++) {
		check_same(&w->out[i], got[i].data);
		free_tensor(&got[i]);
	}
}

/* Imports, evaluates, compiles, runs; w->out are the results. */
static void run_ways(Ways *w, Builder *b)
{
	char path[] = "/tmp/dcc-lowbit-XXXXXX.onnx", *said;
	if (!make_model_file(path))
		bug("no temporary file");
	write_built(b, path);
	w->f = (Family){.name = "lowbit", .oracle = try_load_model(path, NULL, &said)};
	if (!w->f.oracle)
		bug("%s", said);
	w->f.lowered = try_load_model(path, NULL, &said);
	unlink(path);
	w->nout = w->f.oracle->main->body.nyield;
	const char *wrong = eval_module(w->f.oracle, &w->in, w->out);
	if (wrong)
		bug("%s", wrong);
	compile_modules(&w->f);
	for (int i = 0; i < w->f.model->ntargets; i++)
		run_object(w, i);
	run_interpreted(w);
}

static void end_ways(Ways *w)
{
	for (int i = 0; i < w->nout; i++)
		free_tensor(&w->out[i]);
	free_family(&w->f);
}

/* ---- tests ---------------------------------------------------------------------------------------------------------- */

static Onnx__NodeProto *add_cast(Builder *b, int i, int to, bool saturate)
{
	char *y = arena_printf(b->arena, "y%d", i);
	Onnx__NodeProto *node = add_op(b, "Cast", "x", y);
	set_i(b->arena, node, "to", to);
	set_i(b->arena, node, "saturate", saturate);
	add_output(b, y);
	return node;
}

static void check_code(DType t, int i, float x, int got, int want)
{
	CHECK(got == want);
	if (got != want)
		fprintf(stderr, "output %d: %a to %s is 0x%x, expected 0x%x\n", i, (double)x, dtypes[t].text, got, want);
}

static void test_rounding(void)
{
	static const char *const modes[] = {"up", "down", "nearest"};
	Arena *a = new_arena();
	Builder *b = new_builder(a, 24);
	Ways w = {.in = {.dtype = F32, .rank = 1, .dims = {nx}, .data = xs}};
	add_input(b, "x", 1, "n");
	for (int i = 0; i < 2 * NFloats; i++)
		add_cast(b, i, dtypes[floats[i / 2].dtype].onnx, i % 2);
	for (int i = 0; i < 6; i++)
		set_s(a, add_cast(b, 2 * NFloats + i, dtypes[F8E8M0].onnx, i % 2), "round_mode", modes[i / 2]);
	run_ways(&w, b);
	for (int i = 0; i < 2 * NFloats; i++)
		for (int k = 0; k < nx; k++)
			check_code(floats[i / 2].dtype, i, xs[k], ((uint8_t *)w.out[i].data)[k], nearest(&floats[i / 2], (double)xs[k], i % 2));
	for (int i = 0; i < 6; i++)
		for (int k = 0; k < nx; k++) {
			int want = power((double)xs[k], modes[i / 2], i % 2);
			if (want >= 0)
				check_code(F8E8M0, 2 * NFloats + i, xs[k], ((uint8_t *)w.out[2 * NFloats + i].data)[k], want);
		}
	end_ways(&w);
	free_arena(a);
}

/* All of them to f32, and, of the numbers, back. */
static void test_elements(DType t, const Float8 *f)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 24);
	uint8_t codes[256];
	int n = 1 << dtypes[t].bits;
	Ways w = {.in = {.dtype = t, .rank = 1, .dims = {n}, .data = codes}};
	for (int i = 0; i < n; i++)
		codes[i] = (uint8_t)i;
	add_input(b, "x", dtypes[t].onnx, arena_printf(a, "%d", n));
	add_cast(b, 0, 1, true);
	set_i(a, add_op(b, "Cast", "y0", "y1"), "to", dtypes[t].onnx);
	add_output(b, "y1");
	run_ways(&w, b);
	for (int i = 0; i < n; i++) {
		double got = (double)((float *)w.out[0].data)[i], want = f ? meaning(f, i) : i == 255 ? NAN : ldexp(1, i - 127);
		CHECK(isnan(want) ? isnan(got) : got == want && signbit(got) == signbit(want));
		if (isfinite(want))
			CHECK_EQ(((uint8_t *)w.out[1].data)[i], i);
		uint8_t bits = 0;
		put_scalar(&bits, scalar_at(t, codes, i));
		CHECK_EQ(bits, f && !f->minus_zero && isnan(want) ? f->nan : i);
	}
	end_ways(&w);
	free_arena(a);
}

/* Integers of less than a byte: the low bits of what is truncated, every element back, and any number of them in a port. */
static void test_integers(DType t)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 24);
	float x[203];
	int n = sizeof x / sizeof *x, bits = dtypes[t].bits, count = 1 << bits;
	Ways w = {.in = {.dtype = F32, .rank = 1, .dims = {n}, .data = x}};
	for (int i = 0; i < n; i++)
		x[i] = (float)(i - 101) * 0.75f;
	add_input(b, "x", 1, "n");
	add_cast(b, 0, dtypes[t].onnx, true);
	set_i(a, add_op(b, "Cast", "y0", "y1"), "to", 6);
	add_output(b, "y1");
	run_ways(&w, b);
	for (int i = 0; i < n; i++) {
		int want = ((int)x[i] % count + count) % count;
		want -= dtypes[t].cls == ClassSigned && want >= count / 2 ? count : 0;
		CHECK_EQ(((int8_t *)w.out[0].data)[i], want);
		CHECK_EQ(((int32_t *)w.out[1].data)[i], want);
	}
	end_ways(&w);
	free_arena(a);
}

/* BitCast through types of as many bits, each of the one before: every element keeps its bits. */
static void test_bits(int n, const DType *types)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 26);
	uint8_t codes[256];
	int count = 1 << dtypes[types[0]].bits;
	Ways w = {.in = {.dtype = types[0], .rank = 1, .dims = {count}, .data = codes}};
	for (int i = 0; i < count; i++)
		codes[i] = (uint8_t)i;
	add_input(b, "y0", dtypes[types[0]].onnx, "n");
	for (int i = 1; i < n; i++) {
		char *y = arena_printf(a, "y%d", i);
		set_i(a, add_op(b, "BitCast", arena_printf(a, "y%d", i - 1), y), "to", dtypes[types[i]].onnx);
		add_output(b, y);
	}
	run_ways(&w, b);
	for (int i = 1; i < n; i++)
		for (int k = 0; k < count; k++) {
			bool negative = dtypes[types[i]].cls == ClassSigned && k >= count / 2;
			CHECK_EQ(((uint8_t *)w.out[i - 1].data)[k], (uint8_t)(negative ? k - count : k));
		}
	end_ways(&w);
	free_arena(a);
}

int main(void)
{
	add_all();
	test_rounding();
	for (int i = 0; i < NFloats; i++)
		test_elements(floats[i].dtype, &floats[i]);
	test_elements(F8E8M0, NULL);
	static const DType ints[] = {I4, U4, I2, U2};
	for (int i = 0; i < 4; i++)
		test_integers(ints[i]);
	test_bits(8, (const DType[]){U8, F8E4M3FN, I8, F8E5M2, F8E8M0, F8E4M3FNUZ, F8E5M2FNUZ, U8});
	test_bits(6, (const DType[]){U4, I4, F4E2M1, I4, U4, F4E2M1});
	test_bits(3, (const DType[]){U2, I2, U2});
	return test_end("lowbit");
}
