/* app.c - a compiled model on the threads of the application: a dcc_exec of OpenMP, beside the pool of libdcc and one thread.
 *
 *   dcc -o dynconv.o ../dynconv.onnx
 *   cc -fopenmp $(pkg-config --cflags dcc) -I. app.c dynconv.o $(pkg-config --libs dcc) -o app
 */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dynconv.h"

enum { Threads = 3, Batch = 2, Seq = 64, Width = 48, Count = Batch * Seq * Width };

static float x[Count], one[Count], pooled[Count], parallel[Count];

static void run_team(dcc_exec *exec, void (*fn)(void *, int32_t), void *ctx)
{
#pragma omp parallel num_threads(exec->threads)
	fn(ctx, omp_get_thread_num());
}

static void meet_team(dcc_exec *exec, int32_t worker)
{
	(void)exec, (void)worker;
#pragma omp barrier
}

static void run(float *y, dcc_exec *exec)
{
	dynconv_dims dims = {.batch = Batch, .seq = Seq, .threads = exec ? exec->threads : 1};
	size_t bytes = dynconv_workspace_size(&dims); /* a multiple of the alignment */
	void *workspace = aligned_alloc(DCC_WORKSPACE_ALIGN, bytes);
	dcc_error error;
	if (!workspace || dynconv(&dims, x, y, workspace, bytes, exec, &error)) {
		fprintf(stderr, "dynconv: %s\n", workspace ? error.text : "no memory");
		exit(1);
	}
	free(workspace);
}

int main(void)
{
	dcc_exec team = {.size = sizeof team, .threads = Threads, .run = run_team, .barrier = meet_team};
	dcc_exec *pool = dcc_pool_new(Threads);

	for (int i = 0; i < Count; i++)
		x[i] = (float)(i % 7 - 3);
	omp_set_dynamic(0); /* a team has as many threads as it asks for, or the run fails */
	run(one, NULL);
	run(pooled, pool);
	run(parallel, &team);
	printf("one thread, %d of a pool, %d of OpenMP: %s\n", Threads, Threads,
	       memcmp(one, pooled, sizeof one) || memcmp(one, parallel, sizeof one) ? "OTHER VALUES" : "the same bits");
	dcc_pool_free(pool);
	return 0;
}
