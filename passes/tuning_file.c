/* tuning_file.c - tuning files: text, whose every word is checked.
 *
 *   dcc-tuning 1
 *   dcc 0.1.0
 *   cpu AMD EPYC 9R14
 *   avx512 linear_packed f32 rows=128 depth=768 columns=3072 : steps=256 rows=256 repack=0 : 2210034 2110502
 *   end
 *
 * A line is a shape, its schedule, and the times in ns with the usual one and with that.  The last line tells that the file is whole.
 */
#include "pass.h"
#include "tuning.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

static const char first_line[] = "dcc-tuning 1";

/* ---- writing ------------------------------------------------------------------------------------------------------------ */

void write_tuning(FILE *f, const Tuning *t)
{
	fprintf(f, "%s\ndcc %s\ncpu %s\n", first_line, t->version, t->cpu);
	for (int i = 0; i < t->n; i++) {
		const Tuned *x = &t->rows[i];
		const Shape *s = &x->shape;
		fprintf(f, "%s %s %s rows=%lld depth=%lld columns=%lld :", s->target->name, ops[s->op].text, dtypes[s->dtype].text, (long long)s->rows,
		        (long long)s->depth, (long long)s->columns);
		for (int k = 0; k < NKnobs; k++)
			if (has_knob(s->op, k))
				fprintf(f, " %s=%d", knob_name(k), knob_value(&x->schedule, k));
		fprintf(f, " : %lld %lld\n", (long long)x->usual_ns, (long long)x->ns);
	}
	fputs("end\n", f);
}

/* ---- reading ------------------------------------------------------------------------------------------------------------ */

enum { MaxFile = 1 << 20, MaxText = 200 };
static const int64_t MaxNumber = INT64_C(1) << 52;

typedef struct Reader {
	Arena *arena;
	const char *at; /* what is left of the file */
	Loc loc;
	char *words; /* of the line, from the current one on */
} Reader;

static void next_line(Reader *r)
{
	const char *end = strchr(r->at, '\n');
	if (!end)
		fatal_at(&r->loc, "the file is cut off: its last line is 'end'");
	r->words = arena_printf(r->arena, "%.*s", (int)(end - r->at), r->at);
	r->at = end + 1;
	r->loc.line++;
}

static const char *next_word(Reader *r, const char *what)
{
	char *word = r->words + strspn(r->words, " ");
	size_t n = strcspn(word, " ");
	if (!n)
		fatal_at(&r->loc, "%s is missing", what);
	r->words = word + n;
	if (*r->words)
		*r->words++ = 0;
	return word;
}

static void expect_word(Reader *r, const char *word)
{
	const char *got = next_word(r, word);
	if (strcmp(got, word))
		fatal_at(&r->loc, "expected '%s', got '%s'", word, got);
}

static int64_t read_number(Reader *r, const char *what, const char *text, int64_t lo)
{
	int64_t v = 0;
	const char *p = text;
	for (; isdigit((unsigned char)*p) && v <= MaxNumber; p++)
		v = v * 10 + (*p - '0');
	if (*p || p == text || v < lo || v > MaxNumber)
		fatal_at(&r->loc, "%s wants a number from %lld to %lld, got '%s'", what, (long long)lo, (long long)MaxNumber, text);
	return v;
}

/* NAME=NUMBER */
static int64_t read_field(Reader *r, const char *name)
{
	const char *word = next_word(r, name);
	size_t n = strlen(name);
	if (strncmp(word, name, n) || word[n] != '=')
		fatal_at(&r->loc, "expected '%s=...', got '%s'", name, word);
	return read_number(r, name, word + n + 1, 0);
}

/* The rest of a line that begins with that word. */
static const char *read_text(Reader *r, const char *name)
{
	next_line(r);
	expect_word(r, name);
	if (strlen(r->words) > MaxText)
		fatal_at(&r->loc, "the text is longer than %d characters", MaxText);
	return r->words;
}

static DType read_dtype(Reader *r)
{
	const char *word = next_word(r, "the element type");
	DType found;
	if (!find_dtype(word, &found))
		fatal_at(&r->loc, "there is no element type '%s'", word);
	return found;
}

static Shape read_shape(Reader *r)
{
	const char *name = next_word(r, "the target");
	Shape s = {.target = find_target(name)};

	if (!s.target)
		fatal_at(&r->loc, "there is no target '%s'", name);
	name = next_word(r, "the operator");
	if (!find_op(name, &s.op) || count_schedules(s.op) == 1)
		fatal_at(&r->loc, "'%s' is no operator with several schedules", name);
	s.dtype = read_dtype(r);
	s.rows = read_field(r, "rows");
	s.depth = read_field(r, "depth");
	s.columns = read_field(r, "columns");
	return s;
}

static Schedule read_schedule(Reader *r, const Shape *shape)
{
	Schedule s = usual_schedule(shape->target, shape->op);
	for (int k = 0; k < NKnobs; k++) {
		int64_t v = has_knob(shape->op, k) ? read_field(r, knob_name(k)) : 0;
		if (has_knob(shape->op, k) && (v > INT32_MAX || !set_knob(&s, k, (int)v)))
			fatal_at(&r->loc, "%s=%lld is none of the values that dcc --tune tries", knob_name(k), (long long)v);
	}
	return s;
}

static void read_row(Reader *r, Tuning *t)
{
	Shape shape = read_shape(r);
	expect_word(r, ":");
	Schedule schedule = read_schedule(r, &shape);
	expect_word(r, ":");
	int64_t usual_ns = read_number(r, "a time in ns", next_word(r, "the usual time"), 1);
	int64_t ns = read_number(r, "a time in ns", next_word(r, "the time"), 1);
	if (r->words[strspn(r->words, " ")])
		fatal_at(&r->loc, "nothing more is expected, got '%s'", r->words);
	for (int i = 0; i < t->n; i++)
		if (same_shape(&t->rows[i].shape, &shape))
			fatal_at(&r->loc, "the shape has a line already");
	if (t->n == MaxTuned)
		fatal_at(&r->loc, "the file has more than %d shapes", MaxTuned);
	add_tuned(t, &shape, &schedule, usual_ns, ns);
}

Tuning *read_tuning(Arena *arena, const char *path)
{
	Reader r = {.arena = arena, .loc = {.file = path}};
	size_t size;
	Tuning *t = arena_alloc(arena, sizeof *t);

	r.at = map_file(arena, path, &size);
	if (!r.at)
		fatal_at(&r.loc, "cannot be read: %s", strerror(errno));
	if (size > MaxFile || memchr(r.at, 0, size))
		fatal_at(&r.loc, "is no tuning file: %s", size > MaxFile ? "it is too large" : "it holds a zero byte");
	uint64_t hash = hash_bytes(r.at, size, 0);
	*t = (Tuning){.arena = arena, .path = path, .hash = hash ? hash : 1, .number = AsTuned};
	next_line(&r);
	if (strcmp(r.words, first_line))
		fatal_at(&r.loc, "is no tuning file of this version of dcc: it begins with '%s', not with '%s'", r.words, first_line);
	t->version = read_text(&r, "dcc");
	t->cpu = read_text(&r, "cpu");
	for (next_line(&r); strcmp(r.words, "end"); next_line(&r))
		read_row(&r, t);
	if (*r.at)
		fatal_at(&r.loc, "something follows the line 'end'");
	return t;
}
