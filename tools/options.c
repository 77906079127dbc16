/* options.c - reads arguments by a table of options, and prints what the table says. */
#include "options.h"

#include "../ir/target.h"
#include "../runtime/dcc.h"
#include "commit.h"

#include <ctype.h>
#include <errno.h>
#include <llvm-c/Core.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const Command *command; /* the one that runs */
static Arena *arena; /* of arguments out of response files; they live as long as the process */

_Noreturn void usage_error(const char *fmt, ...)
{
	char text[2048];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	hide_progress();
	fprintf(stderr, "%s: %s (%s --help lists the options)\n", command->program, safe_name(arena, text),
	        command->program);
	exit(1);
}

/* ---- hints ------------------------------------------------------------------------------------------------------- */

enum { MaxWord = 32 };

/* Edits of one letter that turn a into b; MaxWord for long ones. */
static int distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	int row[MaxWord + 1];
	if (n >= MaxWord || m >= MaxWord)
		return MaxWord;
	for (size_t j = 0; j <= m; j++)
		row[j] = (int)j;
	for (size_t i = 1; i <= n; i++) {
		int diagonal = row[0];
		row[0] = (int)i;
		for (size_t j = 1; j <= m; j++) {
			int change = diagonal + (a[i - 1] != b[j - 1]), step = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
			diagonal = row[j];
			row[j] = change < step ? change : step;
		}
	}
	return row[m];
}

typedef struct Nearest {
	const char *word;
	int distance;
} Nearest;

/* At most a third of the letters may be wrong. */
static void try_word(Nearest *n, const char *word, const char *given)
{
	int d = distance(word, given);
	if (d < n->distance && 3 * d <= (int)strlen(word) + 1)
		*n = (Nearest){word, d};
}

static char *words_text(void (*words)(FILE *))
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	if (!f)
		refuse_at(NULL, "out of memory");
	words(f);
	if (fclose(f))
		refuse_at(NULL, "out of memory");
	return text;
}

_Noreturn void wrong_word(const char *option, const char *word, void (*words)(FILE *))
{
	char *all = words_text(words), *copy = arena_strdup(arena, all), *save = NULL;
	Nearest near = {NULL, MaxWord};
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		try_word(&near, w, word);
	if (near.word)
		usage_error("%s: there is no '%s'; did you mean '%s'? There are: %s", option, word, near.word, all);
	usage_error("%s: there is no '%s'; there are: %s", option, word, all);
}

static const char *bare(const char *name)
{
	return name + strspn(name, "-");
}

static _Noreturn void unknown_option(const char *arg)
{
	char *name = arena_printf(arena, "%.*s", (int)strcspn(bare(arg), "="), bare(arg));
	Nearest near = {NULL, MaxWord};
	for (int i = 0; i < command->noption; i++)
		if (command->options[i].name)
			try_word(&near, bare(command->options[i].name), name);
	for (int i = 0; near.word && i < command->noption; i++)
		if (command->options[i].name && bare(command->options[i].name) == near.word)
			usage_error("unknown option '%s'; did you mean '%s'?", arg, command->options[i].name);
	usage_error("unknown option '%s'", arg);
}

/* ---- parsing ----------------------------------------------------------------------------------------------------- */

typedef struct Arguments {
	char **v;
	int n, cap, at;
} Arguments;

static void add_argument(Arguments *a, char *text)
{
	PUSH(arena, a->v, a->n, a->cap, text);
}

/* Words between blanks; quotes keep blanks, a backslash keeps the next character, as clang reads such files. */
static void split_words(Arguments *out, const char *p)
{
	while (*p) {
		p += strspn(p, " \t\r\n");
		if (!*p)
			return;
		char *word = arena_alloc(arena, strlen(p) + 1), *to = word, quote = 0;
		for (; *p && (quote || !strchr(" \t\r\n", *p)); p++) {
			if (*p == '\\' && p[1])
				*to++ = *++p;
			else if (quote ? *p == quote : *p == '"' || *p == '\'')
				quote = quote ? 0 : *p;
			else
				*to++ = *p;
		}
		*to = 0;
		add_argument(out, arena_strdup(arena, word));
	}
}

enum { MaxNested = 8, MaxResponse = 1 << 20 };

static void expand(Arguments *out, int n, char **v, int depth)
{
	for (int i = 0; i < n; i++) {
		/* a file that is really called so is a file: names that a shell has listed must not become options */
		size_t size;
		const char *text = *v[i] != '@' || !access(v[i], F_OK) ? NULL : map_file(arena, v[i] + 1, &size);
		Arguments inside = {0};
		if (!text) {
			add_argument(out, v[i]);
			continue;
		}
		if (depth >= MaxNested || size > MaxResponse || memchr(text, 0, size))
			usage_error("%s: %s", v[i], depth >= MaxNested ? "response files are nested too deeply"
			                                               : "no text file of a sensible size");
		split_words(&inside, text);
		expand(out, inside.n, inside.v, depth + 1);
	}
}

static const Option *find_option(const char *arg, size_t n)
{
	size_t dashes = strspn(arg, "-");
	for (int i = 0; i < command->noption; i++) {
		const char *name = command->options[i].name;
		if (!name || strncmp(bare(name), arg + dashes, n) || bare(name)[n])
			continue;
		if (n == 1 ? dashes == 1 : dashes <= 2)
			return &command->options[i];
	}
	return NULL;
}

/* -oFILE, -DSYM=N; the longest name counts. */
static const Option *find_joined(const char *arg)
{
	const Option *found = NULL;
	for (int i = 0; i < command->noption; i++) {
		const Option *o = &command->options[i];
		if (o->name && *o->value == ' ' && o->name[1] != '-' && !strncmp(arg, o->name, strlen(o->name)) &&
		    (!found || strlen(o->name) > strlen(found->name)))
			found = o;
	}
	return found;
}

static void set_option(const Option *o, void *options, const char *value)
{
	char *field = (char *)options + o->field;
	if (o->how == SetCall)
		o->call(options, o->name, value);
	else if (o->how == SetFlag)
		*(bool *)field = true;
	else
		*(const char **)field = value;
}

static void parse_option(Arguments *a, void *options)
{
	const char *arg = a->v[a->at++], *value = NULL;
	size_t n = strcspn(bare(arg), "=");
	const Option *o = n > 1 || !bare(arg)[n] ? find_option(arg, n) : NULL; /* -o=x is -o with the file =x */
	if (o && bare(arg)[n])
		value = bare(arg) + n + 1;
	if (!o && (o = find_joined(arg)))
		value = arg + strlen(o->name);
	if (!o)
		unknown_option(arg);
	if (!*o->value && value)
		usage_error("%s takes no value, got '%s'", o->name, value);
	if (*o->value && *o->value != '[' && !value) {
		if (a->at == a->n)
			usage_error("%s wants a value: %s%s", o->name, o->name, o->value);
		value = a->v[a->at++];
	}
	set_option(o, options, value);
}

void parse_arguments(const Command *c, void *options, int argc, char **argv)
{
	Arguments a = {0};
	command = c;
	arena = new_arena();
	expand(&a, argc - 1, argv + 1, 0);
	bool files = false;
	while (a.at < a.n) {
		const char *arg = a.v[a.at];
		if (!files && arg[0] == '-' && arg[1] && strcmp(arg, "--")) {
			parse_option(&a, options);
			continue;
		}
		if (files || strcmp(arg, "--"))
			c->file(options, arg);
		else
			files = true;
		a.at++;
	}
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static bool read_number(const char **p, int64_t lo, int64_t hi, int64_t *v)
{
	char *end;
	errno = 0;
	*v = strtoll(*p, &end, 10);
	bool good = end != *p && !errno && !isspace((unsigned char)**p) && *v >= lo && *v <= hi;
	*p = end;
	return good;
}

int64_t parse_number(const char *option, const char *text, int64_t lo, int64_t hi)
{
	const char *p = text;
	int64_t v;
	if (!read_number(&p, lo, hi, &v) || *p)
		usage_error("%s wants a number from %lld to %lld, got '%s'", option, (long long)lo, (long long)hi, text);
	return v;
}

DimBinding parse_binding(const char *text)
{
	const char *eq = strrchr(text, '='), *p = eq ? eq + 1 : text;
	DimBinding b = {0};
	bool good = eq && eq != text && read_number(&p, 0, DimMax, &b.lo);
	b.hi = b.lo;
	if (good && !strncmp(p, "..", 2)) {
		p += 2;
		good = read_number(&p, b.lo, DimMax, &b.hi);
	}
	if (!good || *p)
		usage_error("-D wants SYM=N or SYM=LO..HI with 0 <= LO <= HI <= %d, got '%s'", DimMax, text);
	b.sym = arena_printf(arena, "%.*s", (int)(eq - text), text);
	return b;
}

/* ---- what the table says ----------------------------------------------------------------------------------------- */

enum { HelpColumn = 27, HelpWidth = 116 };

/* Words up to the width, the next lines under the first. */
static void print_wrapped(const char *text)
{
	int at = HelpColumn;
	for (const char *p = text; *p; p += strspn(p, " ")) {
		int n = (int)strcspn(p, " ");
		if (at > HelpColumn && at + 1 + n > HelpWidth) {
			printf("\n%*s", HelpColumn, "");
			at = HelpColumn;
		}
		at += printf("%s%.*s", at > HelpColumn ? " " : "", n, p);
		p += n;
	}
	putchar('\n');
}

static void print_help(const Command *c)
{
	fputs(c->usage, stdout);
	for (int i = 0; i < c->noption; i++) {
		const Option *o = &c->options[i];
		if (!o->name) {
			printf("\n%s\n", o->help);
			continue;
		}
		int n = printf("  %s%s", o->name, o->value);
		if (n < HelpColumn)
			printf("%*s", HelpColumn - n, "");
		else
			printf("\n%*s", HelpColumn, "");
		print_wrapped(o->help);
	}
	fputs(c->tail, stdout);
}

/* Bash splits at '=', so that the word before it may be the option and the word itself "=". */
static void print_completion(const Command *c)
{
	printf("# bash completion for %s: made by %s --completion\n_%.3s_complete_%zu() {\n", c->program, c->program, c->program,
	       strlen(c->program));
	puts("\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
	     "\t[ \"$cur\" = = ] && cur=\n"
	     "\t[ \"$prev\" = = ] && prev=${COMP_WORDS[COMP_CWORD-2]}\n"
	     "\tcase $prev in");
	for (int i = 0; i < c->noption; i++) {
		const Option *o = &c->options[i];
		if (!o->name || !o->words)
			continue;
		char *words = words_text(o->words);
		printf("\t%s|-%s) COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n", o->name, bare(o->name), words);
		free(words);
	}
	printf("\tesac\n\t[[ $cur = -* ]] && COMPREPLY=($(compgen -W '");
	for (int i = 0, n = 0; i < c->noption; i++)
		if (c->options[i].name)
			printf("%s%s", n++ ? " " : "", c->options[i].name);
	printf("' -- \"$cur\"))\n}\ncomplete -o default -F _%.3s_complete_%zu %s\n", c->program, strlen(c->program), c->program);
}

static void print_version(const Command *c)
{
	unsigned major, minor, patch;
	LLVMGetVersion(&major, &minor, &patch);
	printf("%s " DCC_VERSION " (commit " DCC_COMMIT ")\nLLVM %u.%u.%u, ABI %d\ntargets:", c->program, major, minor, patch, DCC_ABI);
	for (int i = ntargets - 1; i >= 0; i--)
		printf(" %s (%s)", targets[i].name, targets[i].march);
	putchar('\n');
}

int flush_stdout(const Command *c)
{
	if (!fflush(stdout) && !ferror(stdout))
		return 0;
	fprintf(stderr, "%s: standard output cannot be written: %s\n", c->program, strerror(errno));
	return 1;
}

void print_and_exit(const Command *c, const char *option)
{
	if (!strcmp(option, "--version"))
		print_version(c);
	else if (!strcmp(option, "--completion"))
		print_completion(c);
	else
		print_help(c);
	exit(flush_stdout(c));
}
