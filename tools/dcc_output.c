/* dcc_output.c - the files that dcc writes: their names, that none overwrites another or the input, and what goes into them. */
#include "dcc.h"

#include "options.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Default suffix of the output; the last three have none. */
static const char *const suffixes[NModes] = {".o", ".so", ".s", ".ll", ".ir", ".ir", ".dot", ".graph.json", ".small.ir", "", "", ""};

static const char *with_suffix(const Options *o, const char *path, const char *suffix)
{
	const char *dot = strrchr(path, '.');
	int n = dot && dot >= base_name(path) ? (int)(dot - path) : (int)strlen(path);
	return arena_printf(o->arena, "%.*s%s", n, path, suffix);
}

/* Standard output, a device, a folder: nothing that can be renamed to. */
static bool is_special(const char *path)
{
	struct stat st;
	return !strcmp(path, "-") || (!stat(path, &st) && !S_ISREG(st.st_mode));
}

static bool same_inode(const char *a, const char *b)
{
	struct stat x, y;
	return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static const char *folder_of(const Options *o, const char *path)
{
	int n = (int)(base_name(path) - path);
	return n ? arena_printf(o->arena, "%.*s", n, path) : ".";
}

/* Also true of files that do not exist yet. */
static bool same_file(const Options *o, const char *a, const char *b)
{
	if (same_inode(a, b))
		return true;
	return !strcmp(base_name(a), base_name(b)) && same_inode(folder_of(o, a), folder_of(o, b));
}

/* Default header: none without a file beside which it could lie. */
static const char *header_path(const Options *o, const char *path)
{
	if (o->mode != EmitObject && o->mode != EmitShared)
		return NULL;
	return o->header || is_special(path) ? o->header : with_suffix(o, path, ".h");
}

const char *output_path(const Options *o)
{
	if (o->output || o->mode >= Check)
		return o->output;
	if (o->mode == Tune)
		return o->tune;
	return strcmp(o->input, "-") ? with_suffix(o, o->input, suffixes[o->mode]) : "-";
}

/* -g: the loop IR that line information refers to, beside the code; none without a file beside which it could lie. */
static const char *listing_path(const Options *o, const char *path)
{
	if (!o->debug || o->mode > EmitLlvm || is_special(path))
		return NULL;
	return with_suffix(o, path, ".loops");
}

/* -MD: a rule for make. */
const char *depend_path(const Options *o, const char *path)
{
	if (o->depend_file || !o->depend)
		return o->depend_file;
	if (is_special(path))
		usage_error("-MD has no file beside the output: name one with -MF");
	return with_suffix(o, path, ".d");
}

void check_outputs(const Options *o)
{
	const char *path = output_path(o);
	const char *all[] = {path, header_path(o, path), o->weights, o->report, listing_path(o, path), depend_path(o, path)};
	int n = sizeof all / sizeof *all;

	for (int i = 0; i < n; i++) {
		if (all[i] && !*all[i])
			usage_error("the name of an output is empty");
		if (!all[i] || is_special(all[i]))
			continue;
		if (same_file(o, all[i], o->input))
			usage_error("the output would overwrite the input '%s'", all[i]);
		for (int j = 0; j < i; j++)
			if (all[j] && same_file(o, all[i], all[j]))
				usage_error("two outputs would be written to '%s'", all[i]);
	}
}

/* The header waits until the code is there: both appear, or neither. */
static void write_code(const Options *o, Module *m, const EmitOptions *e, const char *path)
{
	const char *name = header_path(o, path);
	Out *header = name ? hold_header(m->loops, e, name) : NULL;

	if (o->mode == EmitShared)
		emit_shared(m->loops, e, o->linker, o->nlink, o->link, path);
	else
		emit_object(m->loops, e, path);
	if (header)
		publish_output(header);
}

/* A text is made in memory first, so that its file appears whole. */
typedef struct Text {
	FILE *f;
	char *bytes;
	size_t n;
} Text;

static void open_text(Text *t)
{
	t->f = open_memstream(&t->bytes, &t->n);
	if (!t->f)
		refuse_at(NULL, "out of memory");
}

static void close_text(Text *t)
{
	if (fclose(t->f))
		refuse_at(NULL, "out of memory");
}

static Out *hold_listing(Module *m, const char *path)
{
	Text t;
	open_text(&t);
	print_listing(t.f, m->loops);
	close_text(&t);
	Out *out = hold_text(m, path, t.bytes, t.n);
	free(t.bytes);
	return out;
}

static void write_picture(const Options *o, Module *m, const char *path)
{
	Text t;
	open_text(&t);
	if (o->mode == EmitDot)
		print_dot(t.f, m);
	else
		print_explorer(t.f, m, o->imported);
	close_text(&t);
	write_text(m, path, t.bytes, t.n);
	free(t.bytes);
	free(o->imported);
}

static void emit_output(const Options *o, Module *m, const char *path, const EmitOptions *e)
{
	switch (o->mode) {
	case EmitObject:
	case EmitShared: write_code(o, m, e, path); return;
	case EmitAssembly: emit_assembly(m->loops, e, path); return;
	case EmitLlvm: emit_llvm(m->loops, e, path); return;
	case EmitDot:
	case EmitExplorer: write_picture(o, m, path); return;
	default: write_module(path, m);
	}
}

void write_output(const Options *o, Module *m)
{
	const char *path = output_path(o), *listing = listing_path(o, path);
	const char *lines = listing ? listing : with_suffix(o, o->input, ".loops"); /* what line information names */
	EmitOptions e = {.ntarget = o->pass.ntarget, .target = o->target, .weights_path = o->weights, .verbose = o->verbose, .quick = o->quick,
	                 .jobs = o->jobs, .tuning_hash = tuning_hash(o->pass.tuning), .listing = o->debug ? base_name(lines) : NULL};
	Out *held = listing ? hold_listing(m, listing) : NULL;

	emit_output(o, m, path, &e);
	if (held)
		publish_output(held);
}

/* What make reads as that name. */
static void print_make_name(FILE *f, const char *path)
{
	for (const char *p = path; *p; p++) {
		if (strchr(" #\\", *p))
			fputc('\\', f);
		if (*p == '$')
			fputc('$', f);
		fputc(*p, f);
	}
}

Out *hold_depend(const Options *o, Module *m, const char *output, const char *path)
{
	const char *file;
	Text t;
	open_text(&t);
	print_make_name(t.f, output);
	fputs(": ", t.f);
	print_make_name(t.f, o->input);
	for (int i = 0; (file = arena_mapped(m->arena, i)); i++)
		if (strcmp(file, o->input)) {
			fputs(" \\\n  ", t.f);
			print_make_name(t.f, file);
		}
	fputc('\n', t.f);
	close_text(&t);
	Out *out = hold_text(m, path, t.bytes, t.n);
	free(t.bytes);
	return out;
}

void write_report_file(const Options *o, Out *out)
{
	Text t;
	open_text(&t);
	write_report(o->pass.report, t.f, report_form(o));
	close_text(&t);
	end_text(out, t.bytes, t.n);
	free(t.bytes);
}
