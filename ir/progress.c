/* progress.c - a line on the terminal that says what dcc is at, once it has taken a second:
 *
 *   dcc: LLVM code, 12 s
 *
 * A timer's signal writes it over and over, and whoever has something else to print hides it first: nothing but the line itself is
 * ever erased.  No line is shown where stderr is no terminal, or a job in the background would write into that of another.
 */
#include "ir.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static const char erase[] = "\r\033[K";
static volatile sig_atomic_t seconds, hidden, drawn;

static void write_text(const char *text)
{
	drawn = write(2, text, strlen(text)) > 0;
}

/* In a signal handler, as all here but start_progress(). */
static void draw(int n)
{
	char digits[16], *d = digits + sizeof digits - 1, line[128];
	*d = 0;
	do
		*--d = (char)('0' + n % 10);
	while (n /= 10);
	char *end = stpcpy(stpcpy(line, erase), "dcc: ");
	stpcpy(stpcpy(stpcpy(stpcpy(end, running_part()), ", "), d), " s");
	write_text(line);
}

static void on_tick(int number)
{
	int before = errno;
	(void)number;
	seconds++;
	if (!hidden && tcgetpgrp(2) == getpgrp())
		draw(seconds);
	errno = before;
}

void start_progress(void)
{
	const struct itimerval each = {{1, 0}, {1, 0}};
	struct sigaction act = {.sa_handler = on_tick, .sa_flags = SA_RESTART | SA_ONSTACK};
	const char *terminal = getenv("TERM");
	if (!isatty(2) || !terminal || !strcmp(terminal, "dumb"))
		return;
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &each, NULL);
}

void hide_progress(void)
{
	hidden = true; /* first: no line may come behind the erased one */
	if (!drawn)
		return;
	write_text(erase);
	drawn = false;
}

void show_progress(void)
{
	hidden = false;
}
