/* dcc_args.c - the options of dcc: the words that they take, what they set, and which of them go together. */
#include "dcc.h"

#include "../runtime/dcc.h"
#include "options.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Values of --emit. */
static const struct {
	const char *word;
	Mode mode;
} emits[] = {{"ir", EmitIr}, {"loops", EmitLoops}, {"dot", EmitDot}, {"model-explorer", EmitExplorer}};
enum { NEmits = sizeof emits / sizeof *emits, MaxJobs = 1024 };

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
static const char *checked_list(const Options *o, const char *option, const char *list, bool (*known)(const char *), void (*words)(FILE *))
{
	char *copy = arena_strdup(o->arena, list), *save = NULL;

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
	choose_mode(o, emits[i].mode, arena_printf(((Options *)o)->arena, "--emit=%s", value));
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
	PUSH(o->arena, o->link, o->nlink, o->caplink, (const char *)arena_printf(o->arena, "%s%s", name, value));
}

static void add_binding(void *options, const char *name, const char *value)
{
	Options *o = options;
	(void)name;
	PUSH(o->arena, o->bind, o->load.nbind, o->capbind, parse_binding(value));
}

static void add_shape(void *options, const char *name, const char *value)
{
	Options *o = options;
	(void)name;
	PUSH(o->arena, o->shape, o->load.nshape, o->capshape, value);
}

static void add_custom(void *options, const char *name, const char *value)
{
	Options *o = options;
	(void)name;
	PUSH(o->arena, o->custom, o->load.ncustom, o->capcustom, value);
}

static void add_state(void *options, const char *name, const char *value)
{
	Options *o = options;
	(void)name;
	PUSH(o->arena, o->state, o->pass.nstate, o->capstate, value);
}

static void choose_targets(void *options, const char *option, const char *list)
{
	Options *o = options;
	char *copy = arena_strdup(o->arena, list), *save = NULL;

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
		o->named[t - targets] |= !native;
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
	((Options *)o)->pass.only = checked_list(o, name, value, is_pass, pass_words);
}

static void set_print_after(void *o, const char *name, const char *value)
{
	((Options *)o)->pass.print_after = checked_list(o, name, value, is_pass, pass_words);
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
	((Options *)o)->pass.no_fuse = checked_list(o, name, value, find_fusion, fusion_words);
}

static void set_bisect(void *o, const char *name, const char *value)
{
	((Options *)o)->pass.bisect_limit = (int)parse_number(name, value, 0, INT_MAX);
}

static void show(void *o, const char *name, const char *value);

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
	PUSH(o->arena, o->link, o->nlink, o->caplink, (const char *)plain_path(o->arena, code));
}

static const Option options[] = {
#include "dcc_options.def"
};

const Command dcc_command = {
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
		print_and_exit(&dcc_command, name);
	exit(flush_stdout(&dcc_command));
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

bool is_graph(Mode mode)
{
	return mode == EmitIr || mode == EmitDot || mode == EmitExplorer;
}

ReportForm report_form(const Options *o)
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

void read_options(Options *o, int argc, char **argv)
{
	o->arena = new_arena();
	parse_arguments(&dcc_command, o, argc, argv);
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
