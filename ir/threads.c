/* threads.c - work for several threads, of which the caller is one; it goes on when all of them have ended. */
#include "ir.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { StackBytes = 8 << 20, SignalStack = 1 << 16 };

typedef struct Helper {
	pthread_t thread;
	void (*f)(void *ctx, int thread);
	void *ctx;
	int number;
	struct DiagFiles *files;
} Helper;

int usable_cpus(void)
{
	cpu_set_t set;
	return sched_getaffinity(0, sizeof set, &set) ? (int)sysconf(_SC_NPROCESSORS_ONLN) : CPU_COUNT(&set);
}

/* What a thread does itself comes to it whatever it blocks, and would then not be caught. */
static void let_own_signals_in(void)
{
	static const int own[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		sigaddset(&set, own[i]);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* Begins with all signals blocked: those from outside are the caller's.  A stack that is full needs another for the handler. */
static void *help(void *helper)
{
	Helper *h = helper;
	char stack[SignalStack];
	sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
	diag_use_files(h->files);
	let_own_signals_in();
	h->f(h->ctx, h->number);
	sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL);
	return NULL;
}

void on_threads(int n, void (*f)(void *ctx, int thread), void *ctx)
{
	Helper *helpers = n > 1 ? calloc((size_t)n - 1, sizeof *helpers) : NULL;
	int started = 0;
	pthread_attr_t attr;
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (helpers && !pthread_attr_init(&attr)) {
		pthread_attr_setstacksize(&attr, StackBytes);
		for (; started < n - 1; started++) {
			Helper *h = &helpers[started];
			*h = (Helper){.f = f, .ctx = ctx, .number = started + 1, .files = diag_files()};
			if (pthread_create(&h->thread, &attr, help, h))
				break;
		}
		pthread_attr_destroy(&attr);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	f(ctx, 0);
	for (int i = 0; i < started; i++)
		pthread_join(helpers[i].thread, NULL);
	free(helpers);
}
