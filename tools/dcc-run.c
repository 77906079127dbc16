/* dcc-run.c - runs a model: once, against recorded data, timed, or as a server of bench scripts.  Options, then one
 * function a mode. */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../ir/target.h"
#include "inputs.h"
#include "options.h"
#include "profile.h"

typedef struct Options {
	const char *model, *dir, *save, *check, *node_data, *profile_file;
	const char **files;
	int nfile, capfile;
	int nbind, capbind, capshape, capcustom, capload;
	DimBinding *bind;
	const char **shape, **custom, **load;
	bool random, bench, profile, protocol;
	uint64_t seed;
	double seconds;
	int threads;
	Tolerance tol; /* tol.tol: -1: by the type of the output */
	ProgramOptions program;
} Options;

static const Loc in_options = {.file = "dcc-run"};

/* ---- options ----------------------------------------------------------------------------------------------------- */

static Arena *words; /* lists of the options; they live as long as the process */

static double parse_positive(const char *what, const char *s)
{
	char *stop;
	double v = strtod(s, &stop);
	if (stop == s || *stop || !(v >= 0) || isinf(v))
		fatal_at(&in_options, "%s: '%s' is no number from 0 on", what, s);
	return v;
}

static bool is_dir(const char *path)
{
	struct stat st;
	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

static void set_inputs(void *options, const char *name, const char *path)
{
	Options *o = options;
	if (is_dir(path) && o->dir)
		usage_error("%s: two folders: %s and %s", name, o->dir, path);
	if (is_dir(path))
		o->dir = path;
	else
		PUSH(words, o->files, o->nfile, o->capfile, path);
}

static void set_random(void *options, const char *name, const char *value)
{
	Options *o = options;
	o->random = true;
	o->seed = (uint64_t)parse_number(name, value, 0, INT64_MAX);
}

static void add_binding(void *options, const char *name, const char *value)
{
	Options *o = options;
	(void)name;
	PUSH(words, o->bind, o->nbind, o->capbind, parse_binding(value));
}

static void set_seconds(void *o, const char *name, const char *value)
{
	((Options *)o)->seconds = parse_positive(name, value);
}

static void set_profile(void *options, const char *name, const char *value)
{
	Options *o = options;
	if (value && !*value)
		usage_error("%s: the name of the file is empty", name);
	o->profile = true;
	o->profile_file = value ? value : o->profile_file;
}

static void set_threads(void *o, const char *name, const char *value)
{
	((Options *)o)->threads = (int)parse_number(name, value, 1, 1024);
}

static void set_how(void *options, const char *name, const char *value)
{
	ProgramOptions *p = &((Options *)options)->program;
	How how = strcmp(name, "--oracle") ? HowInterp : HowOracle;
	(void)value;
	if (p->how != HowCode && p->how != how)
		usage_error("--oracle and --interp exclude each other");
	p->how = how;
}

static void add_shape(void *options, const char *name, const char *value)
{
	Options *o = options;
	(void)name;
	PUSH(words, o->shape, o->program.nshape, o->capshape, value);
}

static void add_custom(void *options, const char *name, const char *value)
{
	Options *o = options;
	(void)name;
	PUSH(words, o->custom, o->program.ncustom, o->capcustom, value);
}

static void add_load(void *options, const char *name, const char *value)
{
	Options *o = options;
	(void)name;
	PUSH(words, o->load, o->program.nload, o->capload, value);
}

static void set_tolerance(void *o, const char *name, const char *value)
{
	Tolerance *t = &((Options *)o)->tol;
	double *field = !strcmp(name, "--tol") ? &t->tol : !strcmp(name, "--rtol") ? &t->rtol : &t->atol;
	*field = parse_positive(name, value);
	t->elementwise |= field != &t->tol;
}

static void show(void *o, const char *name, const char *value);

/* The first argument that is no tensor file is the model; tensor files are more inputs. */
static void add_file(void *options, const char *path)
{
	Options *o = options;
	if (is_tensor_file(path))
		set_inputs(o, "--inputs", path);
	else if (o->model)
		usage_error("two models: %s and %s", o->model, path);
	else
		o->model = path;
}

static const Option options[] = {
#include "run_options.def"
};

static const Command command = {
	.program = "dcc-run",
	.usage = "usage: dcc-run [options] MODEL [FILE...]\n"
	         "\n"
	         "Runs MODEL: an .onnx or .ir file (compiled in memory), or an .o or .so file that dcc made.\n"
	         "@FILE stands for the arguments in FILE; after -- all are files.\n",
	.tail = "\nExit status: 0, or 1 on any error.\n",
	.noption = sizeof options / sizeof *options,
	.options = options,
	.file = add_file,
};

static void show(void *o, const char *name, const char *value)
{
	(void)o, (void)value;
	print_and_exit(&command, name);
}

static void check_options(const Options *o)
{
	if (!o->model)
		usage_error("no model");
	if (o->program.isa && !find_target(o->program.isa))
		wrong_word("--isa", o->program.isa, print_target_names);
	if ((o->dir != NULL) + (o->nfile > 0) + o->random + (o->check != NULL) > 1)
		usage_error("inputs come from one of --inputs DIR, --inputs FILE..., --random and --check");
	if (o->protocol && (o->check || o->save || o->bench || o->profile))
		usage_error("--protocol excludes --check, --save, --bench and --profile");
	if (o->profile && o->program.how != HowCode)
		usage_error("--profile excludes --oracle and --interp: it times machine code");
	if (o->node_data && !o->profile)
		usage_error("--node-data is written by --profile");
	if (o->check && o->save)
		usage_error("--check excludes --save");
}

static void read_options(Options *o, int argc, char **argv)
{
	*o = (Options){.seconds = 2, .threads = 1, .tol = {.tol = -1}};
	words = new_arena();
	parse_arguments(&command, o, argc, argv);
	o->program.nbind = o->nbind;
	o->program.bind = o->bind;
	o->program.shape = o->shape;
	o->program.custom = o->custom;
	o->program.load = o->load;
	check_options(o);
}

/* ---- inputs ------------------------------------------------------------------------------------------------------ */

static Tensor *read_inputs(Arena *arena, const Options *o, Program *p)
{
	Tensor *in = arena_alloc(arena, (size_t)(p->ninputs + 1) * sizeof *in);
	TensorList given = {0};
	if (o->random) {
		make_inputs(arena, p, o->nbind, o->bind, o->seed, in);
		return in;
	}
	if (o->dir)
		read_tensor_folder(arena, o->dir, "input", &given);
	for (int i = 0; i < o->nfile; i++)
		read_tensor_file(arena, o->files[i], &given);
	match_tensors(arena, p, "input", p->ninputs, p->inputs, given.n, given.items, in);
	return in;
}

static void free_inputs(const Program *p, Tensor *in)
{
	for (int i = 0; i < p->ninputs; i++)
		free_tensor(&in[i]);
}

/* Timed as an application would have it, else with all threads in every run. */
static dcc_exec *new_pool(const Options *o)
{
	dcc_exec *exec = o->threads > 1 ? dcc_pool_new(o->threads) : NULL;
	if (o->threads > 1 && !exec)
		fatal_at(&in_options, "cannot start %d threads", o->threads);
	if (exec)
		exec->always = !o->bench && !o->protocol;
	return exec;
}

/* ---- run once ---------------------------------------------------------------------------------------------------- */

static void print_output(Arena *arena, const char *name, const Tensor *t)
{
	double lo = INFINITY, hi = -INFINITY, sum = 0;
	int64_t n = tensor_numel(t), nan = 0;
	for (int64_t i = 0; i < n; i++) {
		double v = tensor_element(t, i);
		nan += isnan(v);
		lo = fmin(lo, v);
		hi = fmax(hi, v);
		sum += v;
	}
	printf("%s: %s", safe_name(arena, name), tensor_text(arena, t));
	if (n)
		printf("  min %.7g  max %.7g  mean %.7g", lo, hi, sum / (double)n);
	if (nan)
		printf("  NaN %lld", (long long)nan);
	for (int64_t i = 0; i < n && i < 4; i++)
		printf("%s%.7g", i ? ", " : "  [", tensor_element(t, i));
	puts(n > 4 ? ", ...]" : n ? "]" : "");
}

static void make_folder(const char *path)
{
	const Loc loc = {.file = path};
	if (mkdir(path, 0777) && !is_dir(path))
		fatal_at(&loc, "cannot be made: %s", strerror(errno));
}

/* Inputs that were made up or came from several files are saved too: the folder is then a data set for --check. */
static void save_inputs(Arena *arena, const Call *c, const char *dir)
{
	for (int i = 0; i < c->p->ninputs; i++)
		write_pb(arena, arena_printf(arena, "%s/input_%d.pb", dir, i), c->p->inputs[i].name, &c->in[i]);
}

static int save_outputs(Arena *arena, const Call *c, const char *dir)
{
	for (int i = 0; i < c->p->noutputs; i++)
		write_pb(arena, arena_printf(arena, "%s/output_%d.pb", dir, i), c->p->outputs[i].name, &c->out[i]);
	return c->p->noutputs;
}

/* ---- --check ----------------------------------------------------------------------------------------------------- */

static const char *index_text(Arena *arena, const Tensor *t, int64_t i)
{
	const char *s = "";
	for (int d = t->rank - 1; d >= 0; d--) {
		s = arena_printf(arena, "%lld%s%s", (long long)(i % t->dims[d]), *s ? ", " : "", s);
		i /= t->dims[d];
	}
	return s;
}

static bool check_output(Arena *arena, const char *set, const char *name, const Tensor *got, const Tensor *expected,
			 const Tolerance *tol)
{
	Tolerance by_type = *tol;
	if (by_type.tol < 0)
		by_type.tol = is_narrow(got->dtype) ? 2 * unit_of(got->dtype) : 2e-5;
	Difference d = compare_tensors(got, expected, &by_type);
	bool is_float = dtypes[got->dtype].cls == ClassFloat;
	printf("%s: output '%s' %s: ", safe_name(arena, set), safe_name(arena, name), tensor_text(arena, got));
	if (!d.same_type)
		printf("expected %s", tensor_text(arena, expected));
	else if (is_float)
		printf("error %.3g", d.error);
	else
		printf("%lld differ", (long long)d.wrong);
	printf(": %s", d.good ? "ok" : "WRONG");
	if (d.same_type && !d.good)
		printf(", worst at [%s]: got %.9g, expected %.9g", index_text(arena, got, d.worst), d.got, d.expected);
	puts("");
	return d.good;
}

/* One data set; returns the number of wrong outputs. */
static int check_set(Arena *arena, const Options *o, const Program *p, dcc_exec *exec, const char *dir)
{
	const Loc loc = {.file = dir};
	TensorList given = {0}, recorded = {0};
	int wrong = 0;
	read_tensor_folder(arena, dir, "input", &given);
	read_tensor_folder(arena, dir, "output", &recorded);
	Tensor *in = arena_alloc(arena, (size_t)(p->ninputs + 1) * sizeof *in);
	Tensor *expected = arena_alloc(arena, (size_t)(p->noutputs + 1) * sizeof *expected);
	if (!recorded.n)
		fatal_at(&loc, "has no output_0.pb to compare with");
	match_tensors(arena, p, "input", p->ninputs, p->inputs, given.n, given.items, in);
	match_tensors(arena, p, "output", p->noutputs, p->outputs, recorded.n, recorded.items, expected);
	Call c;
	new_call(arena, p, in, o->threads, exec, &c);
	run_call(&c);
	for (int i = 0; i < p->noutputs; i++) {
		wrong += !check_output(arena, dir, p->outputs[i].name, &c.out[i], &expected[i], &o->tol);
		free_tensor(&expected[i]);
	}
	free_call(&c);
	free_inputs(p, in);
	return wrong;
}

static int is_data_set(const struct dirent *e)
{
	return !strncmp(e->d_name, "test_data_set_", 14);
}

/* The data sets of a model's folder, or the folder itself. */
static int find_sets(Arena *arena, const char *dir, const char ***sets)
{
	const Loc loc = {.file = dir};
	struct dirent **entries;
	int n = scandir(dir, &entries, is_data_set, versionsort), count = n ? n : 1;
	if (n < 0)
		fatal_at(&loc, "cannot be read: %s", strerror(errno));
	*sets = arena_alloc(arena, (size_t)count * sizeof **sets);
	(*sets)[0] = dir;
	for (int i = 0; i < n; i++) {
		(*sets)[i] = arena_printf(arena, "%s/%s", dir, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return count;
}

static int check_program(Arena *arena, const Options *o, const Program *p, dcc_exec *exec)
{
	const char **sets;
	int n = find_sets(arena, o->check, &sets), wrong = 0;
	for (int i = 0; i < n; i++)
		wrong += check_set(arena, o, p, exec, sets[i]);
	printf("%s: %d data set%s, %s\n", wrong ? "FAIL" : "PASS", n, n == 1 ? "" : "s", p->isa ? p->isa : "oracle");
	return wrong != 0;
}

/* ---- --bench and --protocol -------------------------------------------------------------------------------------- */

typedef struct Times { /* nanoseconds */
	int64_t *ns;
	int n, cap;
	int64_t median, min;
} Times;

static int compare_times(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static Times time_runs(Arena *arena, Call *c, double seconds)
{
	Times t = {0};
	double end = now_s() + seconds, start, stop;
	do {
		start = now_s();
		run_call(c);
		stop = now_s();
		PUSH(arena, t.ns, t.n, t.cap, (int64_t)((stop - start) * 1e9));
	} while (stop < end);
	qsort(t.ns, (size_t)t.n, sizeof *t.ns, compare_times);
	t.min = t.ns[0];
	t.median = (t.ns[(t.n - 1) / 2] + t.ns[t.n / 2]) / 2;
	return t;
}

static void bench(const Options *o, Call *c)
{
	Arena *arena = new_arena();
	run_call(c);
	Times t = time_runs(arena, c, o->seconds);
	const char *how = c->p->isa ? c->p->isa : "oracle";
	printf("median %.6f ms  min %.6f ms  runs %d  threads %d  %s", (double)t.median / 1e6, (double)t.min / 1e6, t.n,
	       o->threads, how);
	for (int i = 0; i < c->p->ninputs; i++)
		printf("  %s %s", safe_name(arena, c->p->inputs[i].name), tensor_text(arena, &c->in[i]));
	puts("");
	free_arena(arena);
}

static long peak_rss_kb(void)
{
	char line[256];
	long kb = 0;
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof line, f))
		sscanf(line, "VmHWM: %ld", &kb);
	if (f)
		fclose(f);
	return kb;
}

static void serve(const Program *p, Call *c)
{
	char line[4096];
	puts("ready");
	for (fflush(stdout); fgets(line, sizeof line, stdin); fflush(stdout)) {
		Arena *arena = new_arena();
		line[strcspn(line, "\n")] = 0;
		char *arg = line + strcspn(line, " ");
		arg += *arg ? (*arg = 0, 1) : 0;
		if (!strcmp(line, "run")) {
			Times t = time_runs(arena, c, parse_positive("run", arg));
			printf("%d %lld %lld\n", t.n, (long long)t.median, (long long)t.min);
		} else if (!strcmp(line, "save")) {
			make_folder(arg);
			printf("saved %d\n", save_outputs(arena, c, arg));
		} else if (!strcmp(line, "quit")) {
			printf("rss_kb=%ld load_s=%.4f compile_s=%.4f version=%s isa=%s\n", peak_rss_kb(), p->load_s,
			       p->compile_s, DCC_VERSION, p->isa ? p->isa : "oracle");
			free_arena(arena);
			return;
		} else {
			printf("unknown %s\n", line);
		}
		free_arena(arena);
	}
}

/* ---- modes ------------------------------------------------------------------------------------------------------- */

static int run_modes(Arena *arena, const Options *o)
{
	if (o->save)
		make_folder(o->save);
	Program *p = load_program(arena, o->model, &o->program);
	dcc_exec *exec = new_pool(o);
	int status = o->check ? check_program(arena, o, p, exec) : 0;
	if (!o->check || o->bench || o->profile) {
		Options with = *o;
		const char **sets;
		if (o->check && find_sets(arena, o->check, &sets))
			with.dir = sets[0];
		Tensor *in = read_inputs(arena, &with, p);
		Call c;
		new_call(arena, p, in, o->threads, exec, &c);
		if (o->protocol) {
			serve(p, &c);
		} else {
			if (!o->check)
				run_call(&c);
			for (int i = 0; i < p->noutputs && !o->check && !o->save && !o->bench && !o->profile; i++)
				print_output(arena, p->outputs[i].name, &c.out[i]);
			if (o->save && !o->dir)
				save_inputs(arena, &c, o->save);
			if (o->save)
				save_outputs(arena, &c, o->save);
			if (o->bench)
				bench(o, &c);
			if (o->profile)
				profile_call(stdout, &c, o->seconds, o->profile_file, o->node_data);
		}
		free_call(&c);
		free_inputs(p, in);
	}
	dcc_pool_free(exec);
	return status;
}

/* Errors go to whoever speaks the protocol as one line: error WHY. */
static int run_protocol(Arena *arena, const Options *o)
{
	jmp_buf recover;
	char *text = NULL;
	size_t size;
	diag_stream = open_memstream(&text, &size);
	diag_recover = &recover;
	if (!setjmp(recover))
		return run_modes(arena, o);
	fflush(diag_stream);
	text[strcspn(text, "\n")] = 0;
	printf("error %s\n", text);
	return 1;
}

int main(int argc, char **argv)
{
	Arena *arena = new_arena();
	Options o;
	read_options(&o, argc, argv);
	int status = o.protocol ? run_protocol(arena, &o) : run_modes(arena, &o);
	free_arena(arena);
	return flush_stdout(&command) ? 1 : status;
}
