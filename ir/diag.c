/* diag.c - the two kinds of errors: the user's (counted, exit status 1) and ours (abort).
 *
 * All state is per thread.  Messages quote names out of untrusted files, so what is printed is safe (safe.c).
 */
#include "ir.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MaxRemoved = 8, MaxMessage = 4096 };

typedef struct Attempt {
	struct Attempt *outer;
	jmp_buf leave;
	char *why; /* the last message; NULL: nobody wants it */
	size_t size;
} Attempt;

_Thread_local jmp_buf *diag_recover;
_Thread_local FILE *diag_stream;
_Thread_local const Loc *diag_place;
static _Thread_local int errors;
static _Thread_local Attempt *attempt; /* of diag_try */
/* To be removed, in the order of their creation. */
struct DiagFiles {
	char *volatile names[MaxRemoved];
};
static _Thread_local struct DiagFiles own_files, *used_files; /* NULL: its own */
static const char *volatile abort_means;

static FILE *stream(void)
{
	return diag_stream ? diag_stream : stderr;
}

static void put_safe(FILE *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put_safe(FILE *out, const char *fmt, ...)
{
	char text[MaxMessage];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	print_safe(out, text);
}

/* Prints the place; returns whether the message still needs the word "error", which the ONNX form leaves out. */
static bool put_place(FILE *out, const Loc *l)
{
	bool vague = !l || !(l->node || l->op || l->line > 0);
	if (diag_place && vague && (!l || !l->file || (diag_place->file && !strcmp(l->file, diag_place->file))))
		l = diag_place;
	if (l && l->file)
		put_safe(out, "%s:", strcmp(l->file, "-") ? l->file : "<stdin>");
	if (l && l->line > 0) {
		put_safe(out, "%d:", l->line);
		if (l->col > 0)
			put_safe(out, "%d:", l->col);
	}
	if (!l || !(l->node || l->op)) {
		fputs(l && (l->file || l->line > 0) ? " " : "", out);
		return true;
	}
	put_safe(out, "%snode '%s'", l->file || l->line > 0 ? " " : "", l->node ? l->node : "");
	if (l->op && l->opset)
		put_safe(out, " (%s-%d)", l->op, l->opset);
	else if (l->op)
		put_safe(out, " (%s)", l->op);
	fputs(": ", out);
	return false;
}

static void put_message(FILE *out, const Loc *l, const char *word, bool always, const char *fmt, va_list args)
{
	char text[MaxMessage];
	vsnprintf(text, sizeof text, fmt, args);
	if (put_place(out, l) || always)
		fprintf(out, "%s: ", word);
	print_safe(out, text);
}

static void report(const Loc *l, const char *word, bool always, const char *fmt, va_list args)
{
	if (attempt) {
		FILE *out = attempt->why ? fmemopen(attempt->why, attempt->size, "w") : NULL;
		if (out) {
			put_message(out, l, word, always, fmt, args);
			fclose(out);
			attempt->why[attempt->size - 1] = 0;
		}
		return;
	}
	hide_progress();
	put_message(stream(), l, word, always, fmt, args);
	fputc('\n', stream());
	if (l && l->file && l->line > 0 && l->col > 0)
		print_caret(stream(), l);
	show_progress();
}

struct DiagFiles *diag_files(void)
{
	return used_files ? used_files : &own_files;
}

void diag_use_files(struct DiagFiles *files)
{
	used_files = files;
}

/* One thread at a time has the names and makes or removes the files that they name, and no signal comes to it meanwhile: a
 * handler finds whole names, and no file is made that it does not see. */
static atomic_flag names_held = ATOMIC_FLAG_INIT;

static sigset_t hold_names(void)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	while (atomic_flag_test_and_set(&names_held))
		sched_yield();
	return before;
}

static void release_names(sigset_t before)
{
	atomic_flag_clear(&names_held);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void forget(int i)
{
	char *volatile *removed = diag_files()->names, *name = removed[i];
	for (; i < MaxRemoved - 1; i++)
		removed[i] = removed[i + 1];
	removed[i] = NULL;
	free(name);
}

static void forget_all(void)
{
	while (diag_files()->names[0])
		forget(0);
}

/* The last first: a folder after what lies in it. */
static void remove_files(void)
{
	char *volatile *removed = diag_files()->names;
	for (int i = MaxRemoved - 1; i >= 0; i--)
		if (removed[i] && unlink(removed[i]))
			rmdir(removed[i]);
}

static void clean_up(void)
{
	sigset_t before = hold_names();
	remove_files();
	forget_all();
	release_names(before);
}

static _Noreturn void leave(void)
{
	if (attempt)
		longjmp(attempt->leave, 1);
	hide_progress();
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

static _Noreturn void end_with(const Loc *l, const char *fmt, va_list args)
{
	report(l, "error", false, fmt, args);
	errors++;
	leave();
}

void fatal_at(const Loc *l, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	end_with(l, fmt, args);
}

void refuse_at(const Loc *l, const char *fmt, ...)
{
	va_list args;
	while (attempt && attempt->why)
		attempt = attempt->outer;
	va_start(args, fmt);
	end_with(l, fmt, args);
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
	abort_means = NULL;
	hide_progress();
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

/* Takes the name, unless there are too many. */
static bool remember(char *name)
{
	char *volatile *removed = diag_files()->names;
	int i = 0;
	while (i < MaxRemoved && removed[i])
		i++;
	if (i < MaxRemoved)
		removed[i] = name;
	return i < MaxRemoved;
}

static _Noreturn void too_many_names(void)
{
	bug("more than %d files to remove on error", MaxRemoved);
}

void diag_remove_on_error(const char *path)
{
	char *name = path ? strdup(path) : NULL;
	bool room = true;
	if (path && !name)
		refuse_at(NULL, "out of memory");
	sigset_t before = hold_names();
	if (path)
		room = remember(name);
	else
		forget_all();
	release_names(before);
	if (!room)
		too_many_names();
}

void diag_keep(const char *path)
{
	sigset_t before = hold_names();
	char *volatile *removed = diag_files()->names;
	for (int i = 0; i < MaxRemoved && removed[i]; i++)
		if (!strcmp(removed[i], path)) {
			forget(i);
			break;
		}
	release_names(before);
}

/* ---- temporary files ---------------------------------------------------------------------------------------------- */

static int make_temporary(Arena *a, const char *path, bool folder, const char **name)
{
	char *text = arena_printf(a, "%s.XXXXXX", path), *kept = strdup(text);
	bool room = true;
	if (!kept)
		refuse_at(NULL, "out of memory");
	sigset_t before = hold_names();
	int fd = folder ? -!mkdtemp(text) : mkostemp(text, O_CLOEXEC), why = errno;
	if (fd >= 0)
		room = remember(strcpy(kept, text));
	else
		free(kept);
	release_names(before);
	if (!room)
		too_many_names();
	*name = text;
	errno = why;
	return fd;
}

int open_temporary(Arena *a, const char *path, const char **name)
{
	int fd = make_temporary(a, path, false, name);
	mode_t mask = umask(0);
	umask(mask);
	if (fd >= 0)
		fchmod(fd, 0666 & ~mask);
	return fd;
}

const char *make_temporary_folder(Arena *a, const char *path)
{
	const char *name;
	return make_temporary(a, path, true, &name) < 0 ? NULL : name;
}

/* ---- signals ------------------------------------------------------------------------------------------------------ */

void diag_abort_means(const char *message)
{
	abort_means = message;
}

/* In a signal handler: nothing but system calls. */
static _Noreturn void leave_with(const char *file, const char *message)
{
	const char *const parts[] = {file, file ? ": " : "error: ", message, "\n"};
	hide_progress();
	hold_names(); /* for good: no other thread makes a file now */
	remove_files();
	for (size_t i = file ? 0 : 1; i < sizeof parts / sizeof *parts; i++)
		if (write(2, parts[i], strlen(parts[i])) < 0)
			break;
	_exit(1);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	(void)context;
	const char *file = number == SIGBUS ? mapped_file_at(info->si_addr) : NULL;
	if (file)
		leave_with(file, "the file got shorter while it was read");
	if (number == SIGABRT && abort_means)
		leave_with(NULL, abort_means);
	hide_progress();
	hold_names(); /* for good: no other thread makes a file now */
	remove_files();
	signal(number, SIG_DFL);
	raise(number); /* it is blocked: the default action, once this returns */
}

/* All that end a process, also by a stack that is full.  Not with SA_RESETHAND: a second signal that comes just after the
 * first, as timeout(1) sends it, would find the default action before the first has blocked it. */
void diag_catch_signals(void)
{
	static const int others[] = {SIGKILL, SIGSTOP, SIGCHLD, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH, SIGXFSZ};
	static char stack[1 << 16];
	sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
	for (int number = 1; number <= SIGRTMAX; number++) {
		struct sigaction old, act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
		bool ends = true;
		sigfillset(&act.sa_mask);
		for (size_t i = 0; i < sizeof others / sizeof *others; i++)
			ends &= number != others[i];
		if (ends && !sigaction(number, NULL, &old) && old.sa_handler == SIG_DFL)
			sigaction(number, &act, NULL);
	}
	signal(SIGXFSZ, SIG_IGN); /* a file that gets too large is an error of its write */
}

DiagState diag_state(void)
{
	return (DiagState){attempt, diag_place, errors};
}

void diag_return_to(DiagState state)
{
	attempt = state.attempt;
	diag_place = state.place;
	errors = state.errors;
}

bool diag_try(void (*f)(void *), void *ctx, char *why, size_t size)
{
	Attempt here = {.outer = attempt, .why = why, .size = size};
	const DiagState before = diag_state();
	volatile bool good = false;
	if (why)
		memset(why, 0, size);
	if (!setjmp(here.leave)) {
		attempt = &here;
		f(ctx);
		good = true;
	}
	diag_return_to(before);
	return good;
}

void diag_reset(void)
{
	errors = 0;
}
