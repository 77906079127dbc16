/* diag.c - the two kinds of errors: the user's (counted, exit status 1) and ours (abort).
 *
 * All state is per thread.  Messages quote names out of untrusted files, so what is printed is safe (safe.c).
 */
#include "ir.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MaxRemoved = 8, MaxMessage = 4096 };

_Thread_local jmp_buf *diag_recover;
_Thread_local FILE *diag_stream;
_Thread_local const Loc *diag_place;
static _Thread_local int errors;
static _Thread_local char *volatile removed[MaxRemoved];

static FILE *stream(void)
{
	return diag_stream ? diag_stream : stderr;
}

static void put_safe(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void put_safe(const char *fmt, ...)
{
	char text[MaxMessage];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	print_safe(stream(), text);
}

/* Prints the place; returns whether the message still needs the word "error", which the ONNX form leaves out. */
static bool put_place(const Loc *l)
{
	bool vague = !l || !(l->node || l->op || l->line > 0);
	if (diag_place && vague && (!l || !l->file || (diag_place->file && !strcmp(l->file, diag_place->file))))
		l = diag_place;
	if (l && l->file)
		put_safe("%s:", strcmp(l->file, "-") ? l->file : "<stdin>");
	if (l && l->line > 0) {
		put_safe("%d:", l->line);
		if (l->col > 0)
			put_safe("%d:", l->col);
	}
	if (!l || !(l->node || l->op)) {
		fputs(l && (l->file || l->line > 0) ? " " : "", stream());
		return true;
	}
	put_safe("%snode '%s'", l->file || l->line > 0 ? " " : "", l->node ? l->node : "");
	if (l->op && l->opset)
		put_safe(" (%s-%d)", l->op, l->opset);
	else if (l->op)
		put_safe(" (%s)", l->op);
	fputs(": ", stream());
	return false;
}

static void report(const Loc *l, const char *word, bool always, const char *fmt, va_list args)
{
	char text[MaxMessage];
	vsnprintf(text, sizeof text, fmt, args);
	if (put_place(l) || always)
		fprintf(stream(), "%s: ", word);
	print_safe(stream(), text);
	fputc('\n', stream());
	if (l && l->file && l->line > 0 && l->col > 0)
		print_caret(stream(), l);
}

/* A signal must not find a freed name. */
static void forget(int i)
{
	char *name = removed[i];
	removed[i] = NULL;
	free(name);
}

static void clean_up(void)
{
	for (int i = 0; i < MaxRemoved; i++) {
		if (removed[i])
			unlink(removed[i]);
		forget(i);
	}
}

static _Noreturn void leave(void)
{
	clean_up();
	diag_place = NULL;
	if (diag_recover)
		longjmp(*diag_recover, 1);
	fflush(stream());
	exit(1);
}

void error_at(const Loc *l, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	report(l, "error", false, fmt, args);
	va_end(args);
	errors++;
}

void fatal_at(const Loc *l, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	report(l, "error", false, fmt, args);
	va_end(args);
	errors++;
	leave();
}

void warn_at(const Loc *l, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	report(l, "warning", true, fmt, args);
	va_end(args);
}

int error_count(void)
{
	return errors;
}

void exit_if_errors(void)
{
	if (errors)
		leave();
}

void bug_at(const char *file, int line, const char *fmt, ...)
{
	char text[MaxMessage];
	va_list args;
	fflush(stdout);
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	fprintf(stream(), "%s:%d: bug in dcc: ", file, line);
	print_safe(stream(), text);
	fputc('\n', stream());
	fflush(stream());
	clean_up();
	abort();
}

void diag_remove_on_error(const char *path)
{
	if (!path) {
		for (int i = 0; i < MaxRemoved; i++)
			forget(i);
		return;
	}
	for (int i = 0; i < MaxRemoved; i++) {
		if (removed[i])
			continue;
		removed[i] = strdup(path);
		if (!removed[i])
			fatal_at(NULL, "out of memory");
		return;
	}
	bug("more than %d files to remove on error", MaxRemoved);
}

void diag_keep(const char *path)
{
	for (int i = 0; i < MaxRemoved; i++) {
		if (!removed[i] || strcmp(removed[i], path))
			continue;
		forget(i);
		return;
	}
}

static void on_signal(int number)
{
	for (int i = 0; i < MaxRemoved; i++)
		if (removed[i])
			unlink(removed[i]);
	raise(number); /* SA_RESETHAND: the default action, once this returns */
}

void diag_catch_signals(void)
{
	static const int ends[] = {SIGHUP, SIGINT, SIGTERM, SIGPIPE};
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		struct sigaction old, act = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};
		if (!sigaction(ends[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaction(ends[i], &act, NULL);
	}
	signal(SIGXFSZ, SIG_IGN); /* a file that gets too large is an error of its write */
}

void diag_reset(void)
{
	errors = 0;
}
