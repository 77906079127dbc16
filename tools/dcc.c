/* dcc.c - the dcc command: options, then load, passes, emission. */
#include "../backend/backend.h"
#include "../backend/elf.h"
#include "../passes/passes.h"
#include "../runtime/dcc.h"
#include "options.h"
#include "reduce.h"
#include "tune.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef enum Mode {
	EmitObject, EmitShared, EmitAssembly, EmitLlvm, EmitIr, EmitLoops, EmitDot, EmitExplorer, Reduce, Tune, Check, Inspect, NModes
} Mode;

/* Default suffix of the output; the last three have none. */
static const char *const suffixes[NModes] = {".o", ".so", ".s", ".ll", ".ir", ".ir", ".dot", ".graph.json", ".small.ir", "", "", ""};

/* Values of --emit. */
static const struct {
	const char *word;
	Mode mode;
} emits[] = {{"ir", EmitIr}, {"loops", EmitLoops}, {"dot", EmitDot}, {"model-explorer", EmitExplorer}};
enum { NEmits = sizeof emits / sizeof *emits, MaxJobs = 1024 };

typedef struct Options {
	const char *input, *output, *header, *weights, *linker;
	int nlink, caplink, capbind, capshape, capcustom, capstate;
	const char **link; /* to be linked into a shared object */
	DimBinding *bind;
	const char **shape, **custom, **state;
	Mode mode;
	const char *mode_text; /* the option that chose it; NULL: none */
	LoadOptions load;
	PassOptions pass;
	int jobs; /* 0: as many as there are CPUs */
	bool wanted[8]; /* targets */
	const Target *target[8];
	bool debug, depend, verbose, time_passes, quick;
	const char *depend_file, *report, *profile_data, *reduce, *tune, *tune_file;
	char *imported; /* of a picture with two graphs: the first one */
} Options;

static Arena *arena; /* lists and file names made up here; it lives as long as the process */

/* ---- words that options take ------------------------------------------------------------------------------------- */

static void emit_words(FILE *f)
{
	for (int i = 0; i < NEmits; i++)
		fprintf(f, "%s%s", i ? " " : "", emits[i].word);
}

static void level_words(FILE *f)
{
	fputs("0 2", f);
}

static void changed_words(FILE *f)
{
	fputs("diff", f);
}

static void target_words(FILE *f)
{
	print_target_names(f);
	fputs(" native", f);
}

static void pass_words(FILE *f)
{
	print_pass_names(f);
}

static void fusion_words(FILE *f)
{
	print_fusion_names(f);
}

/* The list, once every word in it is known. */
static const char *checked_list(const char *option, const char *list, bool (*known)(const char *), void (*words)(FILE *))
{
	char *copy = arena_strdup(arena, list), *save = NULL;

	for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save))
		if (!known(word))
			wrong_word(option, word, words);
	return list;
}

static bool is_pass(const char *name)
{
	return find_pass(name) && strcmp(name, "import");
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static void choose_mode(Options *o, Mode mode, const char *text)
{
	bool llvm = (mode == EmitLlvm && o->mode == EmitAssembly) || (mode == EmitAssembly && o->mode == EmitLlvm);

	if (o->mode_text && o->mode != mode && !llvm) /* -S -emit-llvm is one thing, as for clang */
		usage_error("%s and %s exclude each other", o->mode_text, text);
	o->mode = llvm ? EmitLlvm : mode;
	o->mode_text = text;
}

static void set_mode(void *o, const char *name, const char *value)
{
	static const struct {
		const char *name;
		Mode mode;
	} modes[] = {{"-c", EmitObject},         {"-S", EmitAssembly},  {"-shared", EmitShared},
	             {"-emit-llvm", EmitLlvm}, {"--check", Check}, {"--inspect", Inspect}};
	(void)value;
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
		if (!strcmp(name, modes[i].name))
			choose_mode(o, modes[i].mode, name);
}

static void set_emit(void *o, const char *name, const char *value)
{
	int i = 0;
	while (i < NEmits && strcmp(value, emits[i].word))
		i++;
	if (i == NEmits)
		wrong_word(name, value, emit_words);
	choose_mode(o, emits[i].mode, arena_printf(arena, "--emit=%s", value));
}

static void set_level(void *o, const char *name, const char *value)
{
	if (strcmp(value, "0") && strcmp(value, "2"))
		wrong_word(name, value, level_words);
	((Options *)o)->quick = *value == '0';
}

static void set_jobs(void *o, const char *name, const char *value)
{
	((Options *)o)->jobs = (int)parse_number(name, value, 1, MaxJobs);
}

static void set_reduce(void *o, const char *name, const char *value)
{
	choose_mode(o, Reduce, name);
	((Options *)o)->reduce = value;
}

static void set_tune(void *o, const char *name, const char *value)
{
	choose_mode(o, Tune, name);
	((Options *)o)->tune = value;
}

static void add_library(void *options, const char *name, const char *value)
{
	Options *o = options;
	PUSH(arena, o->link, o->nlink, o->caplink, (const char *)arena_printf(arena, "%s%s", name, value));
}

static void add_binding(void *options, const char *name, const char *value)
{
	Options *o = options;
	(void)name;
	PUSH(arena, o->bind, o->load.nbind, o->capbind, parse_binding(value));
}

static void add_shape(void *options, const char *name, const char *value)
{
	Options *o = options;
	(void)name;
	PUSH(arena, o->shape, o->load.nshape, o->capshape, value);
}

static void add_custom(void *options, const char *name, const char *value)
{
	Options *o = options;
	(void)name;
	PUSH(arena, o->custom, o->load.ncustom, o->capcustom, value);
}

static void add_state(void *options, const char *name, const char *value)
{
	Options *o = options;
	(void)name;
	PUSH(arena, o->state, o->pass.nstate, o->capstate, value);
}

static void choose_targets(void *options, const char *option, const char *list)
{
	Options *o = options;
	char *copy = arena_strdup(arena, list), *save = NULL;

	for (char *name = strtok_r(copy, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		const Target *t = find_target(name);
		bool native = !strcmp(name, "native");
		for (int i = ntargets - 1; i >= 0 && native; i--)
			if ((targets[i].need & ~dcc_cpu_features()) == 0)
				t = &targets[i];
		if (!t && native)
			usage_error("%s=native: this CPU has none of the targets", option);
		if (!t)
			wrong_word(option, name, target_words);
		o->wanted[t - targets] = true;
	}
	if (!*list)
		wrong_word(option, list, target_words);
}

static void set_stop(void *o, const char *name, const char *value)
{
	if (!find_pass(value))
		wrong_word(name, value, pass_words);
	((Options *)o)->pass.stop_after = value;
}

static void set_passes(void *o, const char *name, const char *value)
{
	((Options *)o)->pass.only = checked_list(name, value, is_pass, pass_words);
}

static void set_print_after(void *o, const char *name, const char *value)
{
	((Options *)o)->pass.print_after = checked_list(name, value, is_pass, pass_words);
}

static void set_print_all(void *o, const char *name, const char *value)
{
	(void)name, (void)value;
	((Options *)o)->pass.print_after = "*";
}

static void set_print_changed(void *o, const char *name, const char *value)
{
	if (value && strcmp(value, "diff"))
		wrong_word(name, value, changed_words);
	((Options *)o)->pass.print_changed = value ? PrintDiff : PrintWhole;
}

static void set_no_fuse(void *o, const char *name, const char *value)
{
	((Options *)o)->pass.no_fuse = checked_list(name, value, find_fusion, fusion_words);
}

static void set_bisect(void *o, const char *name, const char *value)
{
	((Options *)o)->pass.bisect_limit = (int)parse_number(name, value, 0, INT_MAX);
}

static void show(void *o, const char *name, const char *value);

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);
	return n >= m && !strcmp(s + n - m, end);
}

static bool is_code(const char *path)
{
	return ends_with(path, ".o") || ends_with(path, ".a") || ends_with(path, ".so");
}

/* The model is the file that is not code; all others are linked with it.  A file alone is the input, whatever it is. */
static void add_file(void *options, const char *path)
{
	Options *o = options;
	const char *code = path;
	if (!o->input || (is_code(o->input) && !is_code(path))) {
		code = o->input;
		o->input = path;
	}
	if (!code)
		return;
	if (!is_code(code))
		usage_error("more than one input: '%s' and '%s'", o->input, code);
	PUSH(arena, o->link, o->nlink, o->caplink, (const char *)plain_path(arena, code));
}

static const Option options[] = {
#include "dcc_options.def"
};

static const Command command = {
	.program = "dcc",
	.usage = "usage: dcc [options] model.onnx|model.ir\n"
	         "\n"
	         "Compiles an ONNX model, or IR text that dcc has printed, to one object file and one header.\n"
	         "- is standard input; @FILE stands for the arguments in FILE; after -- all are files.\n",
	.tail = "\nExit code: 0, or 1 after an error; no output is left half-written.\n",
	.noption = sizeof options / sizeof *options,
	.options = options,
	.file = add_file,
};

/* Options that only print something. */
static void show(void *o, const char *name, const char *value)
{
	(void)o, (void)value;
	if (!strcmp(name, "--list-ops"))
		print_ops(stdout);
	else if (!strcmp(name, "--list-onnx-ops"))
		print_onnx_ops(stdout);
	else if (!strcmp(name, "--help-passes")) {
		print_passes(stdout);
		print_fusions(stdout);
	} else
		print_and_exit(&command, name);
	exit(flush_stdout(&command));
}

/* Best first, whatever the order of the options; all, if none is named. */
static void list_targets(Options *o)
{
	bool any = false;
	for (int i = 0; i < ntargets; i++)
		any |= o->wanted[i];
	for (int i = 0; i < ntargets; i++)
		if (!any || o->wanted[i])
			o->target[o->pass.ntarget++] = &targets[i];
	o->pass.target = o->target;
}

static void list_native_targets(Options *o)
{
	bool any = false;
	for (int i = 0; i < ntargets; i++)
		any |= o->wanted[i];
	if (!any)
		choose_targets(o, "--tune", "native");
	for (int i = 0; i < ntargets; i++)
		if (o->wanted[i] && (targets[i].need & ~dcc_cpu_features()))
			usage_error("--tune runs the model: this CPU lacks instructions of the target %s", targets[i].name);
}

/* Of the tensor IR, at any stage. */
static bool is_graph(Mode mode)
{
	return mode == EmitIr || mode == EmitDot || mode == EmitExplorer;
}

static ReportForm report_form(const Options *o)
{
	return ends_with(o->report, ".html") ? ReportPage : ends_with(o->report, ".json") ? ReportJson : ReportText;
}

/* What an option needs of the mode. */
static void check_mode(const Options *o)
{
	const char *mode = o->mode_text ? o->mode_text : "an object";
	bool code = o->mode == EmitObject || o->mode == EmitShared, writes = o->mode < Reduce;
	const struct {
		const char *name;
		bool given, fits;
	} needs[] = {
		{"--linker", o->linker, o->mode == EmitShared},
		{"--header", o->header, code},
		{"--weights", o->weights, o->mode <= EmitLlvm},
		{"-O0", o->quick, o->mode <= EmitLlvm},
		{"--jobs", o->jobs, code},
		{"--tune-file", o->tune_file, o->mode <= EmitLlvm || o->mode == EmitLoops || o->mode == Check},
		{"--report", o->report, writes || o->mode == Check},
		{"--profile-data", o->profile_data, writes || o->mode == Check},
		{"-MD", o->depend || o->depend_file, writes},
		{"-o", o->output, writes || o->mode == Reduce},
	};

	if (o->nlink && o->mode != EmitShared)
		usage_error("'%s' is linked with -shared only", o->link[0]);
	for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
		if (needs[i].given && !needs[i].fits)
			usage_error("%s says nothing about %s", needs[i].name, mode);
	if (o->profile_data && (!o->report || report_form(o) != ReportPage))
		usage_error("--profile-data is shown by --report=FILE.html");
	if (o->pass.stop_after && o->pass.only)
		usage_error("--stop-after and --passes exclude each other");
	if (o->pass.stop_after && !is_graph(o->mode))
		usage_error("--stop-after=%s gives IR: add --emit=ir", o->pass.stop_after);
}

static void read_options(Options *o, int argc, char **argv)
{
	arena = new_arena();
	parse_arguments(&command, o, argc, argv);
	if (!o->input && o->verbose)
		show(o, "--version", NULL);
	if (!o->input)
		usage_error("no input");
	o->load.bind = o->bind;
	o->load.shape = o->shape;
	o->load.custom = o->custom;
	o->pass.state = o->state;
	if (!strcmp(o->input, "-") && !o->load.name)
		o->load.name = "model";
	if (o->mode == Tune)
		list_native_targets(o);
	list_targets(o);
	check_mode(o);
}

static char *with_suffix(const char *path, const char *suffix)
{
	const char *base = strrchr(path, '/'), *dot = strrchr(path, '.');
	int n = dot && (!base || dot > base) ? (int)(dot - path) : (int)strlen(path);

	return arena_printf(arena, "%.*s%s", n, path, suffix);
}

/* ---- --inspect ----------------------------------------------------------------------------------------------------- */

static void print_port(FILE *f, Module *m, const char *kind, const char *name, const Type *t)
{
	fprintf(f, "%-7s %s: %s\n", kind, safe_name(m->arena, name), type_text(m, t));
}

static void inspect(Module *m)
{
	printf("model   %s\n", m->name);
	for (int i = 0; i < m->nsym; i++)
		printf("symbol  %s in %lld..%lld\n", m->syms[i]->name, (long long)m->syms[i]->lo,
		       (long long)m->syms[i]->hi);
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

/* ---- output files ---------------------------------------------------------------------------------------------- */

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

static const char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? strndup(path, (size_t)(slash + 1 - path)) : ".";
}

/* Also true of files that do not exist yet. */
static bool same_file(const char *a, const char *b)
{
	const char *x = strrchr(a, '/'), *y = strrchr(b, '/');
	if (same_inode(a, b))
		return true;
	return !strcmp(x ? x + 1 : a, y ? y + 1 : b) && same_inode(folder_of(a), folder_of(b));
}

/* Default header: none without a file beside which it could lie. */
static const char *header_path(const Options *o, const char *path)
{
	if (o->mode != EmitObject && o->mode != EmitShared)
		return NULL;
	return o->header || is_special(path) ? o->header : with_suffix(path, ".h");
}

static const char *output_path(const Options *o)
{
	if (o->output || o->mode >= Check)
		return o->output;
	if (o->mode == Tune)
		return o->tune;
	return strcmp(o->input, "-") ? with_suffix(o->input, suffixes[o->mode]) : "-";
}

/* -g: the loop IR that line information refers to, beside the code; none without a file beside which it could lie. */
static const char *listing_path(const Options *o, const char *path)
{
	if (!o->debug || o->mode > EmitLlvm || is_special(path))
		return NULL;
	return with_suffix(path, ".loops");
}

/* -MD: a rule for make. */
static const char *depend_path(const Options *o, const char *path)
{
	if (o->depend_file || !o->depend)
		return o->depend_file;
	if (is_special(path))
		usage_error("-MD has no file beside the output: name one with -MF");
	return with_suffix(path, ".d");
}

static void check_outputs(const Options *o)
{
	const char *path = output_path(o);
	const char *all[] = {path, header_path(o, path), o->weights, o->report, listing_path(o, path), depend_path(o, path)};
	int n = sizeof all / sizeof *all;

	for (int i = 0; i < n; i++) {
		if (all[i] && !*all[i])
			usage_error("the name of an output is empty");
		if (!all[i] || is_special(all[i]))
			continue;
		if (same_file(all[i], o->input))
			usage_error("the output would overwrite the input '%s'", all[i]);
		for (int j = 0; j < i; j++)
			if (all[j] && same_file(all[i], all[j]))
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

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static Out *hold_listing(Module *m, const char *path)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (f)
		print_listing(f, m->loops);
	if (!f || fclose(f))
		refuse_at(NULL, "out of memory");
	Out *out = hold_text(m, path, text, n);
	free(text);
	return out;
}

static void write_picture(const Options *o, Module *m, const char *path)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (f && o->mode == EmitDot)
		print_dot(f, m);
	else if (f)
		print_explorer(f, m, o->imported);
	if (!f || fclose(f))
		refuse_at(NULL, "out of memory");
	write_text(m, path, text, n);
	free(text);
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

static void write_output(const Options *o, Module *m)
{
	const char *path = output_path(o), *listing = listing_path(o, path);
	EmitOptions e = {.ntarget = o->pass.ntarget, .target = o->target, .weights_path = o->weights, .verbose = o->verbose, .quick = o->quick,
	                 .jobs = o->jobs, .tuning_hash = tuning_hash(o->pass.tuning), .listing = o->debug ? base_name(listing ? listing : with_suffix(o->input, ".loops")) : NULL};
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

/* Of the output: the model and the files that hold its weights, which are all that have been mapped so far. */
static Out *hold_depend(const Options *o, Module *m, const char *output, const char *path)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	const char *file;

	if (!f)
		refuse_at(NULL, "out of memory");
	print_make_name(f, output);
	fputs(": ", f);
	print_make_name(f, o->input);
	for (int i = 0; (file = arena_mapped(m->arena, i)); i++)
		if (strcmp(file, o->input)) {
			fputs(" \\\n  ", f);
			print_make_name(f, file);
		}
	fputc('\n', f);
	if (fclose(f))
		refuse_at(NULL, "out of memory");
	Out *out = hold_text(m, path, text, n);
	free(text);
	return out;
}

/* Once it is whole. */
static void write_report_file(const Options *o, Out *out)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		refuse_at(NULL, "out of memory");
	write_report(o->pass.report, f, report_form(o));
	if (fclose(f))
		refuse_at(NULL, "out of memory");
	end_text(out, text, n);
	free(text);
}

/* A standard stream that is closed must not become an output file; using it stays an error. */
static void occupy_streams(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
			exit(1);
}

static void say(const Options *o)
{
	fprintf(stderr, "dcc " DCC_VERSION ": %s", safe_name(arena, o->input));
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

static void run_all_passes(Options *o, Module *m)
{
	const Profile *profile = o->profile_data ? read_profile(arena, o->profile_data) : NULL;

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
	if (o.verbose)
		say(&o);
	if (o.mode == Inspect && inspect_binary(o.input))
		return flush_stdout(&command);
	if (o.time_passes)
		time_parts();
	if (is_silent(&o))
		start_progress();
	part_begins("import");
	Module *m = load_model(o.input, &o.load);
	part_ends(-1);
	const Loc whole = {.file = o.input};
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
	return flush_stdout(&command);
}
