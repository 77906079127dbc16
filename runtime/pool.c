/* pool.c - a dcc_exec of n - 1 threads and the caller.
 *
 * Between runs the threads sleep in a futex on `round`; run() publishes fn and ctx, adds one to `round` and wakes them.
 * Within a run they meet at a barrier that counts arrivals and then moves `phase` on.  Who waits spins with `pause` for
 * a moment and then sleeps too: where another thread needs the CPU (more threads than CPUs, a busy machine), giving it
 * away costs microseconds, spinning on would cost a slice of the scheduler (measured: 4 ms).
 *
 * A run that cannot be begun calls no worker, which dcc_run reports: another run has the pool, or the process was forked and
 * this one has the memory of the pool without its threads.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity, syscall */
#endif
#include <limits.h>
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

enum { CacheLine = 64, MaxThreads = 1024, Spins = 500 /* pauses, 10 to 25 us: twice what a sleep and a wake cost */ };

typedef struct Pool Pool;

typedef struct Member {
	Pool *pool;
	int32_t worker; /* 1 .. n - 1 */
	pthread_t thread;
} Member;

typedef struct Gate { /* a word that threads wait on */
	alignas(CacheLine) atomic_uint value; /* the futex */
	atomic_int sleepers;
} Gate;

/* What is written often by several threads has a cache line of its own. */
struct Pool {
	dcc_exec exec; /* first: a dcc_exec * is a Pool * */
	int spins; /* 0 if there are more threads than CPUs */
	unsigned process; /* forks of the process that has the threads */
	atomic_flag busy; /* a run has the pool */
	void (*fn)(void *ctx, int32_t worker); /* NULL: the threads end */
	void *ctx;
	Gate round; /* of runs */
	Gate running; /* threads that have not finished this round */
	Gate phase; /* of barriers */
	alignas(CacheLine) atomic_int arrived; /* at this barrier */
	alignas(CacheLine) int nmember;
	Member member[];
};

static atomic_uint forks; /* between the process of the first pool and this one */

static void count_fork(void)
{
	atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, count_fork);
}

static void futex(atomic_uint *word, int op, unsigned value)
{
	syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

/* Returns when the value is, or a moment ago was, another one. */
static void sleep_at(Gate *g, unsigned value)
{
	atomic_fetch_add(&g->sleepers, 1);
	futex(&g->value, FUTEX_WAIT, value);
	atomic_fetch_sub(&g->sleepers, 1);
}

/* After a sequentially consistent write of the value: this sees the sleeper, or the sleeper's futex the value. */
static void wake_sleepers(Gate *g)
{
	if (atomic_load(&g->sleepers))
		futex(&g->value, FUTEX_WAKE, INT_MAX);
}

static void wait_at(Gate *g, unsigned value, int spins)
{
	while (atomic_load_explicit(&g->value, memory_order_acquire) == value) {
		if (spins-- > 0)
			__builtin_ia32_pause();
		else
			sleep_at(g, value);
	}
}

static void meet(dcc_exec *exec, int32_t worker)
{
	Pool *pool = (Pool *)exec;
	(void)worker;
	/* Cannot move before this thread has arrived. */
	unsigned phase = atomic_load_explicit(&pool->phase.value, memory_order_relaxed);
	if (atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel) < exec->threads - 1) {
		wait_at(&pool->phase, phase, pool->spins);
		return;
	}
	atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
	atomic_store(&pool->phase.value, phase + 1);
	wake_sleepers(&pool->phase);
}

static void wake_members(Pool *pool, void (*fn)(void *, int32_t), void *ctx)
{
	pool->fn = fn;
	pool->ctx = ctx;
	atomic_store_explicit(&pool->running.value, (unsigned)pool->nmember, memory_order_relaxed);
	atomic_fetch_add(&pool->round.value, 1);
	wake_sleepers(&pool->round);
}

static void run_all(dcc_exec *exec, void (*fn)(void *, int32_t), void *ctx)
{
	Pool *pool = (Pool *)exec;
	unsigned left;
	if (pool->process != atomic_load_explicit(&forks, memory_order_relaxed) ||
	    atomic_flag_test_and_set_explicit(&pool->busy, memory_order_acquire))
		return;
	wake_members(pool, fn, ctx);
	fn(ctx, 0);
	while ((left = atomic_load_explicit(&pool->running.value, memory_order_acquire)))
		wait_at(&pool->running, left, pool->spins);
	atomic_flag_clear_explicit(&pool->busy, memory_order_release);
}

static void *serve(void *arg)
{
	const Member *me = arg;
	Pool *pool = me->pool;
	for (unsigned seen = 0;; seen++) {
		wait_at(&pool->round, seen, 0);
		if (!pool->fn)
			return NULL;
		pool->fn(pool->ctx, me->worker);
		if (atomic_fetch_sub(&pool->running.value, 1) == 1)
			wake_sleepers(&pool->running);
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
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	if (threads < 1 || threads > MaxThreads || pthread_once(&once, watch_forks))
		return NULL;
	size_t bytes = sizeof(Pool) + (size_t)threads * sizeof(Member);
	bytes = (bytes + CacheLine - 1) / CacheLine * CacheLine;
	Pool *pool = aligned_alloc(CacheLine, bytes);
	if (!pool)
		return NULL;
	memset(pool, 0, bytes);
	pool->exec = (dcc_exec){.size = sizeof(dcc_exec), .threads = threads, .run = run_all, .barrier = meet};
	pool->process = atomic_load_explicit(&forks, memory_order_relaxed);
	atomic_flag_clear_explicit(&pool->busy, memory_order_relaxed);
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
	bool here = pool->process == atomic_load_explicit(&forks, memory_order_relaxed);
	if (here)
		wake_members(pool, NULL, NULL);
	for (int i = 0; here && i < pool->nmember; i++)
		pthread_join(pool->member[i].thread, NULL);
	free(pool);
}
