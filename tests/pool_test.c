/* pool_test.c - the pool runs every worker once a run, and its barrier orders what they write; also with more threads
 * than CPUs. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "../runtime/dcc.h"
#include "test.h"

enum { MaxWorkers = 16 };

typedef struct Shared {
	dcc_exec *exec;
	int rounds;
	int calls[MaxWorkers];
	int64_t cell[MaxWorkers]; /* not atomic: the barrier alone orders them */
	int wrong[MaxWorkers];
} Shared;

/* Each round everyone adds one to its cell, then reads all cells. */
static void work(void *ctx, int32_t worker)
{
	Shared *s = ctx;
	s->calls[worker]++;
	for (int r = 1; r <= s->rounds; r++) {
		s->cell[worker] = r;
		s->exec->barrier(s->exec, worker);
		for (int i = 0; i < s->exec->threads; i++)
			s->wrong[worker] += s->cell[i] != r;
		s->exec->barrier(s->exec, worker);
	}
}

static void test_threads(int threads, int runs, int rounds)
{
	Shared s = {.exec = dcc_pool_new(threads), .rounds = rounds};
	CHECK(s.exec != NULL);
	if (!s.exec)
		return;
	CHECK_EQ(s.exec->threads, threads);
	CHECK_EQ(s.exec->size, sizeof(dcc_exec));
	for (int i = 0; i < runs; i++)
		s.exec->run(s.exec, work, &s);
	for (int i = 0; i < threads; i++) {
		CHECK_EQ(s.calls[i], runs);
		CHECK_EQ(s.wrong[i], 0);
	}
	dcc_pool_free(s.exec);
}

static void *use_own_pool(void *arg)
{
	test_threads(2, 20, 10);
	return arg;
}

int main(void)
{
	alarm(300); /* workers that wait for each other for ever are a failure too */
	dcc_pool_free(NULL);
	CHECK(dcc_pool_new(0) == NULL);
	CHECK(dcc_pool_new(-1) == NULL);
	CHECK(dcc_pool_new(1 << 20) == NULL);
	test_threads(1, 10, 10);
	test_threads(2, 300, 50);
	test_threads(3, 50, 20);
	test_threads(MaxWorkers, 10, 10);
	for (int i = 0; i < 20; i++)
		test_threads(4, i % 2, 1); /* freed without a run, or after one */
	pthread_t one;
	int failed = pthread_create(&one, NULL, use_own_pool, NULL);
	if (!failed)
		pthread_join(one, NULL);
	CHECK_EQ(failed, 0);
	return test_end("pool");
}
