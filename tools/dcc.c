/* dcc.c - the dcc command: load, passes, emission (read this first); dcc_args.c: its options; dcc_output.c: its files. */
#include "dcc.h"

#include "../backend/elf.h"
#include "../runtime/dcc.h"
#include "options.h"
#include "reduce.h"
#include "tune.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* ---- --inspect ----------------------------------------------------------------------------------------------------- */

static void print_port(FILE *f, Module *m, const char *kind, const char *name, const Type *t)
{
	fprintf(f, "%-7s %s: %s\n", kind, safe_name(m->arena, name), type_text(m, t));
}

static const char *node_text(Module *m, const Loc *loc)
{
	return loc->node ? arena_printf(m->arena, "node '%s'", safe_name(m->arena, loc->node)) : arena_printf(m->arena, "the node in line %d", loc->line);
}

/* Where no input has it, it says whence it comes. */
static void print_symbol(Module *m, const Sym *s)
{
	printf("symbol  %s in %lld..%lld", s->name, (long long)s->lo, (long long)s->hi);
	if (s->kind == SymDerived)
		printf(" = %s", dim_text(m, s->is));
	if (s->def)
		printf(s->kind == SymLoop ? ": counts iterations of %s" : ": %s gives it", node_text(m, s->def->loc));
	int64_t most;
	if (s->def && s->most && !(dim_is_const(s->most, &most) && most >= s->hi - 1))
		printf(", at most %s", dim_text(m, s->most));
	putchar('\n');
}

static void inspect(Module *m)
{
	printf("model   %s\n", m->name);
	for (int i = 0; i < m->nsym; i++)
		print_symbol(m, m->syms[i]);
	for (int i = 0; i < m->main->nparam; i++)
		print_port(stdout, m, "input", m->main->params[i]->name, &m->main->params[i]->type);
	for (int i = 0; i < m->main->body.nyield; i++)
		print_port(stdout, m, "output", m->main->results[i], &m->main->body.yields[i]->type);
}

/* The model in an object; false: the file is something else. */
static bool inspect_binary(const char *path)
{
	Arena *arena = new_arena();
	const Loc loc = {.file = path};
	size_t size;
	const void *bytes = map_file(arena, path, &size);
	bool yes = bytes && is_elf(bytes, size);
	if (yes) {
		Elf e;
		open_elf(&e, bytes, size, &loc);
		inspect_object(&e, &loc, stdout);
	}
	free_arena(arena);
	return yes;
}

/* ---- the command --------------------------------------------------------------------------------------------------- */

/* A standard stream that is closed must not become an output file; using it stays an error. */
static void occupy_streams(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
			exit(1);
}

static void say(const Options *o)
{
	fprintf(stderr, "dcc " DCC_VERSION ": %s", safe_name(o->arena, o->input));
	for (int i = 0; i < o->pass.ntarget; i++)
		fprintf(stderr, "%s %s", i ? "," : " for", o->target[i]->name);
	fputc('\n', stderr);
}

/* Nothing but messages comes on the terminal, neither from dcc nor from who reads its standard output. */
static bool is_silent(const Options *o)
{
	return (o->mode < Reduce || o->mode == Tune) && strcmp(output_path(o), "-") && !o->verbose && !o->time_passes && !o->pass.print_after &&
	       !o->pass.print_changed && o->pass.bisect_limit < 0;
}

/* Of targets that nobody named, those that are of use for the model. */
static void settle_targets(Options *o, Module *m)
{
	bool named = false;
	for (int i = 0; i < ntargets; i++)
		named |= o->named[i];
	if (!named)
		o->pass.ntarget = useful_targets(m, o->target, o->pass.ntarget);
}

static void run_all_passes(Options *o, Module *m)
{
	const Profile *profile = o->profile_data ? read_profile(o->arena, o->profile_data) : NULL;

	if (o->tune_file && m->loops)
		usage_error("--tune-file says nothing about loop IR, whose schedules are chosen");
	o->pass.tuning = o->tune_file ? read_tuning(m->arena, o->tune_file) : NULL;
	o->pass.report = o->report ? new_report(m, report_form(o)) : NULL;
	run_passes(m, &o->pass);
	if (o->report) {
		report_ends(o->pass.report);
		report_tuned(o->pass.report, o->pass.tuning);
	}
	if (profile)
		report_measured(o->pass.report, profile);
}

/* --check and --inspect. */
static void look(Options *o, Module *m)
{
	if (o->mode == Inspect) {
		inspect(m);
	} else { /* all that can refuse a model */
		o->pass.only = NULL;
		run_all_passes(o, m);
		if (o->report)
			write_report_file(o, begin_text(m, o->report));
	}
	free_module(m);
}

static void tune(const Options *o, Module *m)
{
	tune_model(m, &o->pass, o->tune);
	free_module(m);
}

static void compile(Options *o, Module *m)
{
	const char *path = output_path(o), *rule = depend_path(o, path);
	bool text = is_graph(o->mode) || o->mode == EmitLoops;

	/* code needs every pass; a graph is that before the loops unless told otherwise */
	if (is_graph(o->mode) && !o->pass.stop_after && !o->pass.only)
		o->pass.stop_after = "layout";
	o->imported = o->mode == EmitExplorer ? explorer_graph(m) : NULL;
	run_all_passes(o, m);
	if (!is_graph(o->mode) && !m->loops)
		usage_error("--passes=%s does not end in loop IR: add --emit=ir", o->pass.only ? o->pass.only : "");
	Out *held = rule ? hold_depend(o, m, path, rule) : NULL, *report = o->report ? begin_text(m, o->report) : NULL;
	if (report && text)
		write_report_file(o, report);
	write_output(o, m);
	if (report && !text) /* the size of the code is known now */
		write_report_file(o, report);
	if (held)
		publish_output(held);
	free_module(m);
}

/* Weights are made, written and freed one after the other: in memory that is kept, the kernel need not clear pages for each of them. */
static void keep_freed_memory(void)
{
	enum { Largest = 32 << 20 /* bytes of one piece; larger ones go back at once */ };
	mallopt(M_MMAP_THRESHOLD, Largest);
	mallopt(M_TRIM_THRESHOLD, 4 * Largest);
}

int main(int argc, char **argv)
{
	Options o = {.pass.bisect_limit = -1};

	keep_freed_memory();
	occupy_streams();
	read_options(&o, argc, argv);
	diag_catch_signals();
	if (o.mode != Inspect)
		check_outputs(&o);
	if (o.mode == Inspect && inspect_binary(o.input))
		return flush_stdout(&dcc_command);
	if (o.time_passes)
		time_parts();
	if (is_silent(&o))
		start_progress();
	part_begins("import");
	Module *m = load_model(o.input, &o.load);
	part_ends(-1);
	const Loc whole = {.file = o.input};
	settle_targets(&o, m);
	if (o.verbose)
		say(&o);
	diag_place = o.mode < Check ? &whole : NULL;
	if (o.mode >= Check)
		look(&o, m);
	else if (o.mode == Tune)
		tune(&o, m);
	else if (o.mode == Reduce)
		reduce_module(m, o.reduce, output_path(&o));
	else
		compile(&o, m);
	part_begins("write");
	part_ends(-1);
	all_parts_end();
	hide_progress();
	return flush_stdout(&dcc_command);
}
