/* timing.c - where the time of a compilation goes.  Parts follow one another, so that they add up to all of it. */
#include "ir.h"

#include <time.h>

static _Thread_local double begin, last; /* seconds; begin 0: nobody asks */
static const char *volatile part = ""; /* volatile: progress.c reads it in a signal handler */

static double seconds_of(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec + 1e-9 * t.tv_nsec;
}

static double now(void)
{
	return seconds_of(CLOCK_MONOTONIC);
}

double thread_seconds(void)
{
	return seconds_of(CLOCK_THREAD_CPUTIME_ID);
}

void time_parts(void)
{
	begin = last = now();
}

static void put_part(const char *name, double seconds, const char *note)
{
	fprintf(stderr, "%-14s %9.1f ms%s\n", name, 1e3 * seconds, note);
}

void part_begins(const char *name)
{
	part = name;
}

const char *running_part(void)
{
	return part;
}

void part_ends(int nodes)
{
	char note[32] = "";
	if (nodes >= 0)
		snprintf(note, sizeof note, " %7d nodes", nodes);
	part_ends_with(note);
}

void part_ends_with(const char *note)
{
	double t = begin ? now() : 0;
	if (!begin)
		return;
	put_part(part, t - last, note);
	last = t;
}

void all_parts_end(void)
{
	if (begin)
		put_part("all", last - begin, "");
	begin = 0;
}
