/* masks_test.c - what stands between the product and the softmax of an attention: random chains of masks, fills, scales and caps
 * must mean the same before and after they are fused, also for rows that lose all their keys.
 *
 * usage: masks_test [first seed [count]]
 */
#include "../passes/passes.h"
#include "chance.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { Queries = 5, Keys = 7, Width = 4 };

/* %s0 to the softmax of %s0 after `n` operations; mask names: f32 %m, f32 with -inf %f, bool %c and %d. */
static void write_chain(FILE *out, int n)
{
	static const char *const fills[] = {"@none", "@low", "@min", "@min"}, *const bools[] = {"%c", "%d"};
	for (int i = 0; i < n; i++) {
		const char *fill = fills[pick(4)], *keep = bools[pick(2)];
		switch (pick(6)) {
		case 0: fprintf(out, "  %%s%d: f32[5, 7] = add %%s%d, %s\n", i + 1, i, pick(2) ? "%m" : "%f"); break;
		case 1: fprintf(out, "  %%s%d: f32[5, 7] = mul %%s%d, %s\n", i + 1, i, pick(5) ? "@half" : "@minus"); break;
		case 2:
			fprintf(out, "  %%t%d: f32[5, 7] = div %%s%d, @cap\n  %%u%d: f32[5, 7] = tanh %%t%d\n", i, i, i, i);
			fprintf(out, "  %%s%d: f32[5, 7] = mul %%u%d, @cap\n", i + 1, i);
			break;
		case 3: fprintf(out, "  %%s%d: f32[5, 7] = where %s, %s, %%s%d\n", i + 1, keep, fill, i); break;
		default: fprintf(out, "  %%s%d: f32[5, 7] = where %s, %%s%d, %s\n", i + 1, keep, i, fill); break;
		}
	}
	fprintf(out, "  %%p: f32[5, 7] = softmax %%s%d {axis=1}\n", n);
}

static char *make_text(void)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	fputs("dcc-ir 1 stage import\nmodel masks\nconst @none: f32[] = [-inf]\nconst @low: f32[] = [-10000]\n"
	      "const @min: f32[] = [-3.4028235e+38]\nconst @half: f32[] = [0.5]\nconst @minus: f32[] = [-0.5]\nconst @cap: f32[] = [2]\n"
	      "func @main(%q: f32[5, 4], %k: f32[4, 7], %v: f32[7, 4], %m: f32[5, 7], %f: f32[1, 7], %c: bool[5, 7], %d: bool[1, 7])"
	      " -> (y: f32[5, 4]) {\n  %s0: f32[5, 7] = matmul %q, %k\n", out);
	write_chain(out, pick(5));
	fputs("  %y: f32[5, 4] = matmul %p, %v\n  return %y\n}\n", out);
	fclose(out);
	return text;
}

static Tensor real(int64_t rows, int64_t columns, double none)
{
	Tensor t = {.dtype = F32, .rank = 2, .dims = {rows, columns}, .data = malloc((size_t)(rows * columns) * sizeof(float))};
	for (int64_t i = 0; i < rows * columns; i++)
		((float *)t.data)[i] = uniform() * 0.5 + 0.5 < none ? -INFINITY : (float)(2 * uniform());
	return t;
}

/* Some rows are all false. */
static Tensor condition(int64_t rows)
{
	Tensor t = {.dtype = Bool, .rank = 2, .dims = {rows, Keys}, .data = malloc((size_t)(rows * Keys))};
	for (int64_t r = 0; r < rows; r++) {
		int often = pick(3);
		for (int64_t i = 0; i < Keys; i++)
			((uint8_t *)t.data)[r * Keys + i] = often && pick(3) < often;
	}
	return t;
}

static int count_ops(const Module *m, Op op)
{
	int n = 0;
	for (const Node *x = m->main->body.first; x; x = x->next)
		n += x->op == op;
	return n;
}

static bool agree(const Tensor *a, const Tensor *b)
{
	const float *x = a->data, *y = b->data;
	for (int64_t i = 0; i < tensor_numel(a); i++)
		if (isnan(x[i]) ? !isnan(y[i]) : !(fabsf(x[i] - y[i]) <= 2e-5f * (1 + fabsf(x[i]))))
			return false;
	return true;
}

/* Whether attention was found. */
static bool run_seed(uint64_t seed)
{
	state = seed * 0x9e3779b97f4a7c15u + 1;
	for (int i = 0; i < 8; i++)
		pick(2);
	char *text = make_text();
	Module *plain = parse_module("masks.ir", text), *fused = parse_module("masks.ir", text);
	PassOptions options = {.bisect_limit = -1, .stop_after = "tidy"};
	Tensor in[] = {real(Queries, Width, 0), real(Width, Keys, 0), real(Keys, Width, 0), real(Queries, Keys, 0),
	               real(1, Keys, 0.4), condition(Queries), condition(1)};
	Tensor want, got;
	run_passes(fused, &options);
	const char *wrong = eval_module(plain, in, &want);
	wrong = wrong ? wrong : eval_module(fused, in, &got);
	bool same = !wrong && agree(&want, &got), found = count_ops(fused, OpAttention);
	CHECK(same);
	if (!same) {
		fprintf(stderr, "seed %llu: %s\n%s", (unsigned long long)seed, wrong ? wrong : "the values differ", text);
		print_module(stderr, fused);
	}
	for (size_t i = 0; i < sizeof in / sizeof *in; i++)
		free_tensor(&in[i]);
	free_tensor(&want);
	free_tensor(&got);
	free_module(plain);
	free_module(fused);
	free(text);
	return found;
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1, count = argc > 2 ? strtoull(argv[2], NULL, 10) : 2000, found = 0;
	for (uint64_t seed = first; seed < first + count; seed++)
		found += run_seed(seed);
	printf("%llu of %llu chains are attention\n", (unsigned long long)found, (unsigned long long)count);
	CHECK(found * 4 > count || count < 100);
	return test_end("masks");
}
