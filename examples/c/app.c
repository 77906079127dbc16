/* app.c - a compiled model in a C program: the typed call, on one thread and on a pool.
 *
 *   dcc -o dynconv.o ../dynconv.onnx                                also writes dynconv.h
 *   cc $(pkg-config --cflags dcc) -I. app.c dynconv.o $(pkg-config --libs dcc) -lm -o app
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dynconv.h"

static void *allocate(size_t bytes)
{
	void *p = aligned_alloc(DCC_WORKSPACE_ALIGN, (bytes / DCC_WORKSPACE_ALIGN + 1) * DCC_WORKSPACE_ALIGN);
	if (!p) {
		fputs("no memory\n", stderr);
		exit(1);
	}
	return p;
}

static void run(const dynconv_dims *dims, const float *x, float *y, dcc_exec *exec)
{
	size_t bytes = dynconv_workspace_size(dims);
	void *workspace = allocate(bytes);
	dcc_error error;
	if (dynconv(dims, x, y, workspace, bytes, exec, &error)) {
		fprintf(stderr, "dynconv: %s\n", error.text);
		exit(1);
	}
	free(workspace);
}

int main(void)
{
	dynconv_dims dims = {.batch = 2, .seq = 17, .threads = 2};
	size_t n = (size_t)dynconv_x_count(&dims), m = (size_t)dynconv_y_count(&dims);
	float *x = allocate(n * sizeof *x), *y = allocate(m * sizeof *y), *again = allocate(m * sizeof *again);
	dcc_exec *pool = dcc_pool_new((int)dims.threads);
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		x[i] = (float)sin((double)i);
	run(&dims, x, y, NULL);
	run(&dims, x, again, pool);
	for (size_t i = 0; i < m; i++)
		sum += fabs((double)y[i]);
	printf("dcc %s: %zu outputs, mean |y| = %.6f, two threads give %s\n", dcc_version(), m, sum / (double)m,
	       memcmp(y, again, m * sizeof *y) ? "OTHER VALUES" : "the same bits");
	dcc_pool_free(pool);
	free(x);
	free(y);
	free(again);
	return 0;
}
