/* pool.c - a dcc_exec of n - 1 threads and the caller.
 *
 * Between runs the threads sleep in a futex on `round`; run() publishes fn and ctx, adds one to `round` and wakes them.
 * Within a run they meet at a barrier that counts arrivals and then moves `phase` on; who waits spins with `pause`, and
 * after a while gives its CPU away at every look, so that more threads than CPUs are slow but never stuck.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity, syscall */
#endif
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dcc.h"

enum { CacheLine = 64, MaxThreads = 1024, Spins = 4000 /* pauses, some 50 to 150 us */ };

typedef struct Pool Pool;

typedef struct Member {
	Pool *pool;
	int32_t worker; /* 1 .. n - 1 */
	pthread_t thread;
} Member;

/* What is written often by several threads has a cache line of its own. */
struct Pool {
	dcc_exec exec; /* first: a dcc_exec * is a Pool * */
	int spins; /* 0 if there are more threads than CPUs */
	void (*fn)(void *ctx, int32_t worker); /* NULL: the threads end */
	void *ctx;
	alignas(CacheLine) atomic_uint round; /* of runs */
	alignas(CacheLine) atomic_int running; /* threads that have not finished this round */
	alignas(CacheLine) atomic_int arrived;
	alignas(CacheLine) atomic_uint phase; /* of barriers */
	alignas(CacheLine) int nmember;
	Member member[];
};

static void relax(const Pool *pool, int *spun)
{
	if (*spun < pool->spins) {
		++*spun;
		__builtin_ia32_pause();
	} else {
		sched_yield();
	}
}

static void futex(atomic_uint *word, int op, unsigned value)
{
	syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static void meet(dcc_exec *exec, int32_t worker)
{
	Pool *pool = (Pool *)exec;
	(void)worker;
	/* Cannot move before this thread has arrived. */
	unsigned phase = atomic_load_explicit(&pool->phase, memory_order_relaxed);
	if (atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel) == exec->threads - 1) {
		atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
		atomic_store_explicit(&pool->phase, phase + 1, memory_order_release);
		return;
	}
	for (int spun = 0; atomic_load_explicit(&pool->phase, memory_order_acquire) == phase;)
		relax(pool, &spun);
}

static void wake_members(Pool *pool, void (*fn)(void *, int32_t), void *ctx)
{
	pool->fn = fn;
	pool->ctx = ctx;
	atomic_store_explicit(&pool->running, pool->nmember, memory_order_relaxed);
	atomic_fetch_add_explicit(&pool->round, 1, memory_order_release);
	if (pool->nmember)
		futex(&pool->round, FUTEX_WAKE, pool->nmember);
}

static void run_all(dcc_exec *exec, void (*fn)(void *, int32_t), void *ctx)
{
	Pool *pool = (Pool *)exec;
	wake_members(pool, fn, ctx);
	fn(ctx, 0);
	for (int spun = 0; atomic_load_explicit(&pool->running, memory_order_acquire);)
		relax(pool, &spun);
}

static void *serve(void *arg)
{
	const Member *me = arg;
	Pool *pool = me->pool;
	for (unsigned seen = 0;; seen++) {
		while (atomic_load_explicit(&pool->round, memory_order_acquire) == seen)
			futex(&pool->round, FUTEX_WAIT, seen);
		if (!pool->fn)
			return NULL;
		pool->fn(pool->ctx, me->worker);
		atomic_fetch_sub_explicit(&pool->running, 1, memory_order_release);
	}
}

static int usable_cpus(void)
{
	cpu_set_t set;
	return sched_getaffinity(0, sizeof set, &set) ? (int)sysconf(_SC_NPROCESSORS_ONLN) : CPU_COUNT(&set);
}

/* Signals stay the application's: the new threads take none. */
static bool start_members(Pool *pool, int count)
{
	sigset_t all, before;
	sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &before))
		return false;
	for (; pool->nmember < count; pool->nmember++) {
		Member *m = &pool->member[pool->nmember];
		m->pool = pool;
		m->worker = pool->nmember + 1;
		if (pthread_create(&m->thread, NULL, serve, m))
			break;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return pool->nmember == count;
}

dcc_exec *dcc_pool_new(int threads)
{
	if (threads < 1 || threads > MaxThreads)
		return NULL;
	size_t bytes = sizeof(Pool) + (size_t)threads * sizeof(Member);
	bytes = (bytes + CacheLine - 1) / CacheLine * CacheLine;
	Pool *pool = aligned_alloc(CacheLine, bytes);
	if (!pool)
		return NULL;
	memset(pool, 0, bytes);
	pool->exec = (dcc_exec){.size = sizeof(dcc_exec), .threads = threads, .run = run_all, .barrier = meet};
	pool->spins = threads <= usable_cpus() ? Spins : 0;
	if (!start_members(pool, threads - 1)) {
		dcc_pool_free(&pool->exec);
		return NULL;
	}
	return &pool->exec;
}

void dcc_pool_free(dcc_exec *exec)
{
	Pool *pool = (Pool *)exec;
	if (!pool)
		return;
	wake_members(pool, NULL, NULL);
	for (int i = 0; i < pool->nmember; i++)
		pthread_join(pool->member[i].thread, NULL);
	free(pool);
}
