/* dcc.c - the dcc command: options, then load, passes, emission. */
#include "../backend/backend.h"
#include "../backend/elf.h"
#include "../frontend/frontend.h"
#include "../passes/passes.h"
#include "../runtime/dcc.h"
#include "reduce.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef enum Output { EmitObject, EmitShared, EmitAssembly, EmitLlvm, EmitIr, EmitLoops } Output;

typedef struct Options {
	const char *input, *output, *header, *weights, *linker;
	int nlink;
	const char *const *link; /* to be linked into a shared object */
	Output kind;
	LoadOptions load;
	PassOptions pass;
	const Target *target[8];
	bool check, inspect, debug;
	const char *report, *reduce;
} Options;

static const char help[] =
	"usage: dcc [options] model.onnx|model.ir\n"
	"\n"
	"Compiles an ONNX model, or IR text that dcc has printed, to one object file and one header.\n"
	"\n"
	"Output\n"
	"  -o FILE                  where to write; default: the input's name with .o (.so, .s, .ll, .ir)\n"
	"  -S, -emit-llvm           assembly or LLVM IR instead of an object; -o - is stdout\n"
	"  -g                       line information: debuggers and profilers show kernels, ONNX nodes and lines of the loop\n"
	"                           IR, which goes to the output's name with .loops\n"
	"  -shared [FILE...]        a shared object with the model, libdcc and these .o, .a or .so, linked by the C compiler;\n"
	"                           -lNAME and -LFOLDER are for it\n"
	"  --linker=PROG            that C compiler; default: cc\n"
	"  --emit=ir|loops          the tensor IR, or the loop IR; dcc reads both back and goes on from there\n"
	"  --header=FILE            the generated header; default: the object's name with .h\n"
	"  --weights=FILE           weights to a side file, which the application maps; default: inside the object\n"
	"  --name=NAME              prefix of the object's symbols; default: from the file name\n"
	"\n"
	"Model\n"
	"  -D SYM=VALUE             binds a symbolic dim\n"
	"  -D SYM=LO..HI            bounds it\n"
	"  --inputs=A,B             cuts the ONNX graph: these values become inputs, what only leads to them is left out\n"
	"  --outputs=A,B            these values, of any node, are the outputs\n"
	"  --custom-op=DOMAIN:OP=FUNCTION(%x: f32[n, 4], alpha: f32[] = 1) -> (f32[n])\n"
	"                           an operator that a C function of the application computes (dcc_custom_op in dcc.h), with\n"
	"                           inputs, ONNX attributes and results; without a signature the model's own types hold\n"
	"  --state OUT=IN,cap=N     input IN and output OUT (IN with rows appended, or its newest rows) share one buffer of the\n"
	"                           caller with room for N rows: nothing is copied; auto,cap=N: all such pairs\n"
	"  -march=NAME[,NAME]       avx2 (x86-64-v3), avx512 (x86-64-v4), native; default: both in one object\n"
	"\n"
	"Looking inside\n"
	"  --stop-after=PASS        with --emit=ir: the IR after that pass\n"
	"  --passes=A,B             runs just these passes (on IR text)\n"
	"  --print-after=A,B        prints the IR after these passes; --print-after-all; --print-changed\n"
	"  --verify-each            checks the IR after every pass (always on)\n"
	"  --verify-passes          runs the model in the evaluator after every pass, names the first that changes its values\n"
	"  --time-passes            time and node count of each pass\n"
	"  --no-fuse=NAME[,NAME]    leaves out fusions or rules by name (--help-passes lists them)\n"
	"  --opt-bisect-limit=N     applies only the first N rewrites and fusions, and prints them\n"
	"  --report=FILE            what was fused, by ONNX node, and what nearly was; FILE.json gives JSON; - is stdout\n"
	"  --reduce=CMD             shrinks the model while the shell command CMD, given the path of a candidate's IR for {}\n"
	"                           or at its end, fails with the exit code that it gives for all of the model; writes IR\n"
	"  --check                  imports and checks the model, lists everything unsupported, writes nothing\n"
	"  --inspect                inputs, outputs and symbols of the model, which may also be an object or shared object\n"
	"  --list-ops               the operators of the IR; --list-onnx-ops: those of ONNX; --help-passes: the passes\n"
	"  --version, --help\n"
	"\n"
	"Exit code: 0, or 1 after an error; no output is left half-written.\n";

static _Noreturn void usage(const char *fmt, const char *arg)
{
	fputs("dcc: ", stderr);
	fprintf(stderr, fmt, arg);
	fputs(" (dcc --help lists the options)\n", stderr);
	exit(1);
}

/* Value of `--name=value` or `-name=value`; NULL if arg is another option. */
static const char *option_value(const char *arg, const char *name)
{
	size_t n = strlen(name);
	arg += arg[1] == '-' ? 2 : 1;
	return !strncmp(arg, name, n) && arg[n] == '=' ? arg + n + 1 : NULL;
}

static bool is_flag(const char *arg, const char *name)
{
	return !strcmp(arg + (arg[1] == '-' ? 2 : 1), name);
}

/* Output that a full disk or a closed pipe swallowed is an error like any other. */
static int flush_stdout(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return 0;
	fprintf(stderr, "dcc: standard output cannot be written: %s\n", strerror(errno));
	return 1;
}

static int64_t number(const char *text, char **end)
{
	errno = 0;
	int64_t v = strtoll(text, end, 10);
	if (*end == text || errno)
		usage("expected a number, got '%s'", text);
	return v;
}

static void add_binding(Options *o, const char *text)
{
	const char *eq = strchr(text, '=');
	char *end;

	if (!eq || eq == text)
		usage("-D wants SYM=VALUE or SYM=LO..HI, got '%s'", text);
	DimBinding b = {.sym = strndup(text, eq - text), .lo = number(eq + 1, &end)};
	b.hi = b.lo;
	if (!strncmp(end, "..", 2))
		b.hi = number(end + 2, &end);
	if (*end || b.lo < 0 || b.hi < b.lo)
		usage("-D wants SYM=VALUE or SYM=LO..HI with 0 <= LO <= HI, got '%s'", text);
	DimBinding *all = realloc((void *)o->load.bind, (o->load.nbind + 1) * sizeof *all);
	all[o->load.nbind++] = b;
	o->load.bind = all;
}

static void add_target(Options *o, const Target *t)
{
	for (int i = 0; i < o->pass.ntarget; i++)
		if (o->target[i] == t)
			return;
	o->target[o->pass.ntarget++] = t;
}

static void choose_targets(Options *o, const char *list)
{
	bool wanted[8] = {0};
	char *copy = strdup(list), *save = NULL;

	for (char *name = strtok_r(copy, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		const Target *t = find_target(name);
		if (!strcmp(name, "native")) {
			for (int i = ntargets - 1; i >= 0; i--)
				if ((targets[i].need & ~dcc_cpu_features()) == 0)
					t = &targets[i];
			if (!t)
				usage("-march=native: this CPU has none of the targets%s", "");
		}
		if (!t)
			usage("-march: unknown target '%s'", name);
		wanted[t - targets] = true;
	}
	for (int i = 0; i < ntargets; i++) /* best first */
		if (wanted[i])
			add_target(o, &targets[i]);
	if (!o->pass.ntarget)
		usage("-march wants at least one target, got '%s'", list);
	free(copy);
}

static void add_state(Options *o, const char *text)
{
	o->pass.state = realloc((void *)o->pass.state, (o->pass.nstate + 1) * sizeof *o->pass.state);
	((const char **)o->pass.state)[o->pass.nstate++] = text;
}

static void add_custom(Options *o, const char *text)
{
	const char **all = realloc((void *)o->load.custom, ((size_t)o->load.ncustom + 1) * sizeof *all);
	all[o->load.ncustom++] = text;
	o->load.custom = all;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);
	return n >= m && !strcmp(s + n - m, end);
}

static bool is_code(const char *path)
{
	return ends_with(path, ".o") || ends_with(path, ".a") || ends_with(path, ".so");
}

static void add_link(Options *o, const char *what)
{
	const char **all = realloc((void *)o->link, ((size_t)o->nlink + 1) * sizeof *all);
	all[o->nlink++] = what;
	o->link = all;
}

/* The model is the file that is not code; all others are linked with it.  A file alone is the input, whatever it is. */
static void add_file(Options *o, const char *path)
{
	const char *code = path;
	if (!o->input || (is_code(o->input) && !is_code(path))) {
		code = o->input;
		o->input = path;
	}
	if (!code)
		return;
	if (!is_code(code))
		usage("more than one input: '%s'", code);
	add_link(o, code);
}

static bool parse_info(const char *a)
{
	if (is_flag(a, "help") || !strcmp(a, "-h"))
		fputs(help, stdout);
	else if (is_flag(a, "version"))
		puts("dcc " DCC_VERSION);
	else if (is_flag(a, "list-ops"))
		print_ops(stdout);
	else if (is_flag(a, "list-onnx-ops"))
		print_onnx_ops(stdout);
	else if (is_flag(a, "help-passes")) {
		print_passes(stdout);
		print_fusions(stdout);
	} else
		return false;
	return true;
}

static bool is_pass(const char *name)
{
	return find_pass(name) && strcmp(name, "import");
}

/* The list, once every name in it is known. */
static const char *checked_list(const char *list, bool (*known)(const char *name), const char *complaint)
{
	char *copy = strdup(list), *save = NULL;

	for (char *name = strtok_r(copy, ",", &save); name; name = strtok_r(NULL, ",", &save))
		if (!known(name))
			usage(complaint, name);
	free(copy);
	return list;
}

static bool parse_valued(Options *o, const char *a)
{
	const char *v;
	char *end;

	if ((v = option_value(a, "emit"))) {
		if (strcmp(v, "ir") && strcmp(v, "loops"))
			usage("--emit wants ir or loops, got '%s'", v);
		o->kind = *v == 'i' ? EmitIr : EmitLoops;
	} else if ((v = option_value(a, "march")))
		choose_targets(o, v);
	else if ((v = option_value(a, "stop-after")) || (v = option_value(a, "stop_after"))) {
		if (!find_pass(v))
			usage("--stop-after: no pass '%s'", v);
		o->pass.stop_after = v;
	} else if ((v = option_value(a, "passes")))
		o->pass.only = checked_list(v, is_pass, "--passes: no pass '%s'");
	else if ((v = option_value(a, "print-after")))
		o->pass.print_after = checked_list(v, is_pass, "--print-after: no pass '%s'");
	else if ((v = option_value(a, "no-fuse")))
		o->pass.no_fuse = checked_list(v, find_fusion, "--no-fuse: no fusion or rule '%s'");
	else if ((v = option_value(a, "opt-bisect-limit"))) {
		int64_t limit = number(v, &end);
		if (*end || limit < 0 || limit > INT_MAX)
			usage("--opt-bisect-limit wants a number from 0 on, got '%s'", v);
		o->pass.bisect_limit = (int)limit;
	} else if ((v = option_value(a, "report")))
		o->report = v;
	else if ((v = option_value(a, "reduce")))
		o->reduce = v;
	else if ((v = option_value(a, "inputs")))
		o->load.inputs = v;
	else if ((v = option_value(a, "outputs")))
		o->load.outputs = v;
	else if ((v = option_value(a, "state")))
		add_state(o, v);
	else if ((v = option_value(a, "custom-op")))
		add_custom(o, v);
	else if ((v = option_value(a, "header")))
		o->header = v;
	else if ((v = option_value(a, "weights")))
		o->weights = v;
	else if ((v = option_value(a, "linker")))
		o->linker = v;
	else if ((v = option_value(a, "name")))
		o->load.name = v;
	else
		return false;
	return true;
}

static bool parse_flag(Options *o, const char *a)
{
	if (!strcmp(a, "-g"))
		o->debug = true;
	else if (!strcmp(a, "-S"))
		o->kind = EmitAssembly;
	else if (!strcmp(a, "-c"))
		o->kind = EmitObject;
	else if (is_flag(a, "shared"))
		o->kind = EmitShared;
	else if (is_flag(a, "emit-llvm"))
		o->kind = EmitLlvm;
	else if (is_flag(a, "print-after-all"))
		o->pass.print_after = "*";
	else if (is_flag(a, "print-changed"))
		o->pass.print_changed = true;
	else if (is_flag(a, "verify-each"))
		o->pass.verify_each = true;
	else if (is_flag(a, "verify-passes"))
		o->pass.verify_passes = true;
	else if (is_flag(a, "time-passes"))
		o->pass.time_passes = true;
	else if (is_flag(a, "check"))
		o->check = true;
	else if (is_flag(a, "inspect"))
		o->inspect = true;
	else
		return false;
	return true;
}

static bool wants_value(const char *a)
{
	static const char *const valued[] = {"emit", "march", "stop-after", "passes", "print-after", "no-fuse",
	                                     "opt-bisect-limit", "report", "reduce", "inputs", "outputs", "custom-op", "header",
	                                     "weights", "linker", "name"};
	for (size_t i = 0; i < sizeof valued / sizeof *valued; i++)
		if (is_flag(a, valued[i]))
			return true;
	return false;
}

static void parse_options(Options *o, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *a = argv[i];
		if (a[0] != '-' || !a[1]) {
			add_file(o, a);
		} else if (parse_info(a)) {
			exit(flush_stdout());
		} else if (is_flag(a, "state")) {
			if (++i == argc)
				usage("%s wants a value", a);
			add_state(o, argv[i]);
		} else if (!strcmp(a, "-o") || !strcmp(a, "-D")) {
			if (++i == argc)
				usage("%s wants a value", a);
			if (a[1] == 'o')
				o->output = argv[i];
			else
				add_binding(o, argv[i]);
		} else if (!strncmp(a, "-D", 2)) {
			add_binding(o, a + 2);
		} else if (parse_flag(o, a) || parse_valued(o, a)) {
			continue;
		} else if (a[1] == 'l' || a[1] == 'L') {
			add_link(o, a);
		} else {
			usage(wants_value(a) ? "%1$s wants a value: %1$s=VALUE" : "unknown option '%s'", a);
		}
	}
	if (!o->input)
		usage("no input%s", "");
	if (o->nlink && o->kind != EmitShared)
		usage("'%s' is linked with -shared only", o->link[0]);
	if (o->linker && o->kind != EmitShared)
		usage("--linker=%s wants -shared", o->linker);
	for (int i = 0; i < ntargets && !o->pass.ntarget; i++)
		for (int j = 0; j < ntargets; j++)
			add_target(o, &targets[j]);
	o->pass.target = o->target;
}

static Arena *names; /* file names made up here; they live as long as the process */

static char *with_suffix(const char *path, const char *suffix)
{
	const char *base = strrchr(path, '/'), *dot = strrchr(path, '.');
	int n = dot && (!base || dot > base) ? (int)(dot - path) : (int)strlen(path);

	if (!names)
		names = new_arena();
	return arena_printf(names, "%.*s%s", n, path, suffix);
}

static void print_port(FILE *f, Module *m, const char *kind, const char *name, const Type *t)
{
	fprintf(f, "%-7s %s: %s\n", kind, name, type_text(m, t));
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
	if (o->kind != EmitObject && o->kind != EmitShared)
		return NULL;
	return o->header || is_special(path) ? o->header : with_suffix(path, ".h");
}

static const char *output_path(const Options *o)
{
	static const char *const suffix[] = {".o", ".so", ".s", ".ll", ".ir", ".ir"};
	return o->output ? o->output : with_suffix(o->input, o->reduce ? ".small.ir" : suffix[o->kind]);
}

/* -g: the loop IR that line information refers to, beside the code; none without a file beside which it could lie. */
static const char *listing_path(const Options *o, const char *path)
{
	if (!o->debug || o->kind == EmitIr || o->kind == EmitLoops || is_special(path))
		return NULL;
	return with_suffix(path, ".loops");
}

static void check_outputs(const Options *o)
{
	const char *path = output_path(o);
	const char *all[] = {path, header_path(o, path), o->weights, o->report, listing_path(o, path)};
	int n = sizeof all / sizeof *all;

	for (int i = 0; i < n; i++) {
		if (all[i] && !*all[i])
			usage("the name of an output is empty%s", "");
		if (!all[i] || is_special(all[i]))
			continue;
		if (same_file(all[i], o->input))
			usage("the output would overwrite the input '%s'", all[i]);
		for (int j = 0; j < i; j++)
			if (all[j] && same_file(all[i], all[j]))
				usage("two outputs would be written to '%s'", all[i]);
	}
}

/* The header waits until the code is there: both appear, or neither. */
static void write_code(const Options *o, Module *m, const EmitOptions *e, const char *path)
{
	const char *name = header_path(o, path);
	Out *header = name ? hold_header(m->loops, e, name) : NULL;

	if (o->kind == EmitShared)
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
		fatal_at(NULL, "out of memory");
	Out *out = hold_text(m, path, text, n);
	free(text);
	return out;
}

static void emit_output(const Options *o, Module *m, const char *path, const EmitOptions *e)
{
	switch (o->kind) {
	case EmitObject:
	case EmitShared: write_code(o, m, e, path); return;
	case EmitAssembly: emit_assembly(m->loops, e, path); return;
	case EmitLlvm: emit_llvm(m->loops, e, path); return;
	case EmitIr:
	case EmitLoops: write_module(path, m);
	}
}

static void write_output(const Options *o, Module *m)
{
	const char *path = output_path(o), *listing = listing_path(o, path);
	EmitOptions e = {.ntarget = o->pass.ntarget, .target = o->target, .weights_path = o->weights,
	                 .listing = o->debug ? base_name(listing ? listing : with_suffix(o->input, ".loops")) : NULL};
	Out *held = listing ? hold_listing(m, listing) : NULL;

	emit_output(o, m, path, &e);
	if (held)
		publish_output(held);
}

/* Once it is whole. */
static void write_report_file(const Options *o, Module *m)
{
	char *text = NULL;
	size_t n = 0, length = o->report ? strlen(o->report) : 0;
	FILE *f = o->report ? open_memstream(&text, &n) : NULL;

	if (!o->report)
		return;
	if (!f)
		fatal_at(NULL, "out of memory");
	write_report(o->pass.report, f, length > 5 && !strcmp(o->report + length - 5, ".json"));
	if (fclose(f))
		fatal_at(NULL, "out of memory");
	write_text(m, o->report, text, n);
	free(text);
}

/* A standard stream that is closed must not become an output file; using it stays an error. */
static void occupy_streams(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
			exit(1);
}

int main(int argc, char **argv)
{
	Options o = {.pass.bisect_limit = -1};

	occupy_streams();
	parse_options(&o, argc, argv);
	diag_catch_signals();
	if (!o.check && !o.inspect)
		check_outputs(&o);
	if (o.inspect && inspect_binary(o.input))
		return flush_stdout();
	Module *m = load_model(o.input, &o.load);
	if (o.inspect)
		inspect(m);
	if (o.check) { /* all that can refuse a model */
		o.pass.stop_after = o.pass.only = NULL;
		run_passes(m, &o.pass);
	}
	if (o.check || o.inspect) {
		free_module(m);
		return flush_stdout();
	}
	const Loc whole = {.file = o.input};
	diag_place = &whole;

	if (o.reduce) {
		reduce_module(m, o.reduce, output_path(&o));
		return flush_stdout();
	}

	/* code needs every pass; --emit=ir stops before the loops unless told otherwise */
	if (o.kind == EmitIr && !o.pass.stop_after && !o.pass.only)
		o.pass.stop_after = "layout";
	if (o.kind != EmitIr && o.pass.stop_after)
		usage("--stop-after=%s gives IR: add --emit=ir", o.pass.stop_after);
	o.pass.report = o.report ? new_report(m) : NULL;
	run_passes(m, &o.pass);
	if (o.kind != EmitIr && !m->loops)
		usage("--passes=%s does not end in loop IR: add --emit=ir", o.pass.only ? o.pass.only : "");

	bool text = o.kind == EmitIr || o.kind == EmitLoops;
	if (text)
		write_report_file(&o, m);
	write_output(&o, m);
	if (!text) /* the size of the code is known now */
		write_report_file(&o, m);
	free_module(m);
	return flush_stdout();
}
