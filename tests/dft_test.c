/* dft_test.c - a Fourier transform in f32 is at least as near to the one in double as the product with a matrix of cosines is. */
#include <math.h>
#include <stdlib.h>

#include "../ir/loop.h"
#include "../passes/passes.h"
#include "test.h"

/* Both, of 32 rows of n; the angles of the matrix are reduced before they are rounded. */
static const char model[] = "dcc-ir 1 stage import\nmodel t #0000000000000000\n"
                            "const @n: i64[] = [%1$d] const @s: f32[] = [%1$d] const @half: i64[] = [%2$d] const @turn: f32[] = [6.2831855]\n"
                            "func @main(%%x: f32[32, %1$d]) -> (a: f32[1, 32, %1$d], b: f32[32, %1$d]) {\n"
                            "%%0: f32[1, 32, %1$d] = dft %%x, _, _ {axis=1}\n"
                            "%%1: i64[%1$d] = iota\n"
                            "%%2: i64[%1$d, 1] = reshape %%1\n"
                            "%%3: i64[%1$d, %1$d] = mul %%2, %%1\n"
                            "%%4: i64[%1$d, %1$d] = add %%3, @half\n"
                            "%%5: i64[%1$d, %1$d] = imod %%4, @n\n"
                            "%%6: i64[%1$d, %1$d] = sub %%5, @half\n"
                            "%%7: f32[%1$d, %1$d] = cast %%6\n"
                            "%%8: f32[%1$d, %1$d] = mul %%7, @turn\n"
                            "%%9: f32[%1$d, %1$d] = div %%8, @s\n"
                            "%%10: f32[%1$d, %1$d] = cos %%9\n"
                            "%%11: f32[32, %1$d] = matmul %%x, %%10\n"
                            "return %%0, %%11\n}\n";

static double error_of(const Tensor *want, const Tensor *got)
{
	double sum = 0;
	for (int64_t i = 0; i < tensor_numel(want); i++) {
		double e = (double)((const float *)want->data)[i] - (double)((const float *)got->data)[i];
		sum += e * e;
	}
	return sqrt(sum);
}

static void check_length(int n)
{
	char text[sizeof model + 400];
	uint32_t state = 1;
	Tensor x = {.dtype = F32, .rank = 2, .dims = {32, n}, .data = malloc((size_t)n * 32 * sizeof(float))}, want[2], got[2];
	const Target *target = find_target("avx2");
	PassOptions options = {.bisect_limit = -1, .ntarget = 1, .target = &target};

	snprintf(text, sizeof text, model, n, n / 2);
	for (int i = 0; i < 32 * n; i++)
		((float *)x.data)[i] = (float)((int32_t)(state = state * 1664525u + 1013904223u) * 0x1p-31);
	Module *m = parse_module("dft", text);
	CHECK(!eval_module(m, &x, want));
	run_passes(m, &options);
	CHECK(!interp_program(m->loops, "avx2", 1, &x, got));
	double transform = error_of(&want[0], &got[0]), product = error_of(&want[0], &got[1]);
	if (transform > product)
		fprintf(stderr, "length %d: error %g, of the product %g\n", n, transform, product);
	CHECK(transform <= product);
	for (int i = 0; i < 2; i++) {
		free_tensor(&want[i]);
		free_tensor(&got[i]);
	}
	free(x.data);
	free_module(m);
}

int main(void)
{
	static const int lengths[] = {31, 36, 64, 96, 100, 121, 128, 210, 251, 384, 512, 768};
	for (int n = 1; n <= 24; n++)
		check_length(n);
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
		check_length(lengths[i]);
	return test_end("dft");
}
