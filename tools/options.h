/* options.h - a command's options as one table: parsing, help, shell completion and the man pages' check read it.
 *
 * A row is OPTION(name, value, how, words, help) of dcc_options.def or run_options.def.
 *   name   with its dashes as the help shows it; one or two are accepted where it is longer than a letter
 *   value  "" for a flag, else what follows the name in the help; its first character tells the forms:
 *            ' '  --name VALUE, --name=VALUE; with one dash also -nameVALUE
 *            '='  the same but -nameVALUE
 *            '['  --name or --name=VALUE
 *   how    FLAG(field): becomes true.  TEXT(field): becomes the value.  CALL(f): f(options, name, value)
 *   words  prints what the value may be, separated by blanks; NULL: anything
 * HEADING(title) starts a section of the help.
 */
#ifndef DCC_OPTIONS_H
#define DCC_OPTIONS_H

#include "../frontend/frontend.h"

#include <stddef.h>

typedef struct Option {
	const char *name; /* NULL: a heading */
	const char *value;
	enum { SetFlag, SetText, SetCall } how;
	size_t field;
	void (*call)(void *options, const char *name, const char *value);
	void (*words)(FILE *);
	const char *help;
} Option;

#define HEADING(title) {.help = title},
#define OPTION(name, value, how, words, help) {name, value, how, words, help},
#define FLAG(field) SetFlag, offsetof(Options, field), NULL
#define TEXT(field) SetText, offsetof(Options, field), NULL
#define CALL(f) SetCall, 0, f

typedef struct Command {
	const char *program; /* as messages begin */
	const char *usage, *tail; /* before and after the list in the help */
	int noption;
	const Option *options;
	void (*file)(void *options, const char *path); /* an argument that is no option */
} Command;

/* Also `--`, after which all are files, and @FILE, whose words are arguments.  What is wrong is a usage_error. */
void parse_arguments(const Command *, void *options, int argc, char **argv);

/* PROGRAM: message (PROGRAM --help lists the options), and exit. */
_Noreturn void usage_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Of a word among those that the option takes: a message with all of them and the nearest one. */
_Noreturn void wrong_word(const char *option, const char *word, void (*words)(FILE *));

int64_t parse_number(const char *option, const char *text, int64_t lo, int64_t hi);
DimBinding parse_binding(const char *text); /* SYM=N or SYM=LO..HI */

_Noreturn void print_and_exit(const Command *, const char *option); /* --version, --completion, else the help */
int flush_stdout(const Command *); /* exit status: what a full disk or a closed pipe swallowed is an error */

#endif
