/* eval_case.h - for tests of the evaluator and of shape functions: texts of a module with one result, and its elements. */
#ifndef DCC_EVAL_CASE_H
#define DCC_EVAL_CASE_H

#include "../ir/ir.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>

#define UNUSED __attribute__((unused))

enum { MaxWant = 64 };

/* constants; result type; nodes that define %y; its elements */
typedef struct Case {
	const char *name, *consts, *type, *nodes;
	int n;
	double want[MaxWant];
} Case;

#define NaN NAN
#define Inf INFINITY

/* [0, 3], [0, 4] and a point of the axis y, all from 0 to 1 of x; one elsewhere. */
#define BOXES "const @b: f32[1, 4, 4] = [0, 0, 3, 1, 0, 0, 4, 1, 2, 0, 2, 1, 5, 0, 6, 1] "

static UNUSED char *case_text(const Case *c)
{
	static const char form[] = "dcc-ir 1 stage import\nmodel t #0000000000000000\n%s\n"
				   "func @main() -> (y: %s) {\n%s\nreturn %%y\n}\n";
	size_t size = sizeof form + strlen(c->consts) + strlen(c->type) + strlen(c->nodes);
	char *text = malloc(size);
	snprintf(text, size, form, c->consts, c->type, c->nodes);
	return text;
}

static UNUSED double element(const Tensor *t, int64_t i)
{
	switch (t->dtype) {
#define DTYPE(name, text, bits, ctype, cls, onnx)                                                                     \
	case name: return (double)((const ctype *)t->data)[i];
#include "../ir/dtypes.def"
#undef DTYPE
	case NDTypes: break;
	}
	return NAN;
}

static UNUSED bool is_close(double got, double want)
{
	if (isnan(want) || isinf(want))
		return isnan(want) ? isnan(got) : got == want;
	return fabs(got - want) <= 1e-6 * fabs(want) + 1e-9 * (fabs(want) > 1e-9);
}

static UNUSED void check_tensor(const char *name, const Tensor *t, int n, const double *want)
{
	CHECK_EQ(tensor_numel(t), n);
	for (int i = 0; i < n && tensor_numel(t) == n; i++) {
		test_checks++;
		if (is_close(element(t, i), want[i]))
			continue;
		test_failures++;
		fprintf(stderr, "%s: element %d is %.10g, expected %.10g\n", name, i, element(t, i), want[i]);
	}
}

/* Parses text; NULL and the message in `message` if that is refused. */
static UNUSED Module *parse_or_say(const char *text, char *message, size_t size)
{
	char *out = NULL;
	size_t n = 0;
	jmp_buf recover;
	Module *volatile m = NULL;
	diag_stream = open_memstream(&out, &n);
	diag_recover = &recover;
	if (!setjmp(recover))
		m = parse_module("t.ir", text);
	diag_recover = NULL;
	fclose(diag_stream);
	diag_stream = NULL;
	snprintf(message, size, "%s", out);
	free(out);
	diag_reset();
	return m;
}

static UNUSED void expect_text(const char *message, const char *part)
{
	test_checks++;
	if (strstr(message, part))
		return;
	test_failures++;
	fprintf(stderr, "expected \"%s\", got \"%s\"\n", part, message);
}

#define EACH(i, table) for (size_t i = 0; i < sizeof(table) / sizeof *(table); i++)

#endif
