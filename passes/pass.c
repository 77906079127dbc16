/* pass.c - runs the pipeline of passes.def: dumps, verification, timing, bisection. */
#include "rewrite.h"
#include <stdlib.h>
#include <string.h>

typedef struct PassInfo {
	const char *name, *help;
	bool (*run)(Module *);
} PassInfo;

static const PassInfo passes[] = {
#define PASS(name, help) {#name, help, pass_##name},
#include "passes.def"
#undef PASS
};
enum { NPasses = sizeof passes / sizeof *passes };

static _Thread_local const PassOptions *options;
static _Thread_local int rewrites; /* allowed so far, for --opt-bisect-limit */

/* norm and linear are rules. */
static const char *const fusions[] = {"glu", "dft", "winconv", "attention", "reparam", "conv", "band", "experts", "group_conv", "winograd", "scaled", "sparse", "strassen", "bytes",
                                      "epilogue", "feed", "chain", "ewise", "reduce", NULL};

bool find_fusion(const char *name)
{
	for (const char *const *f = fusions; *f; f++)
		if (!strcmp(*f, name))
			return true;
	for (int i = 0; i < nrules; i++)
		if (!strcmp(rules[i].name, name))
			return true;
	return false;
}

void print_fusions(FILE *f)
{
	fputs("fusions:", f);
	for (const char *const *name = fusions; *name; name++)
		fprintf(f, " %s", *name);
	fputs("\nrules:", f);
	for (int i = 0; i < nrules; i++)
		fprintf(f, "%s %s", i % 12 == 11 ? "\n      " : "", rules[i].name);
	fputc('\n', f);
}

void print_fusion_names(FILE *f)
{
	for (const char *const *name = fusions; *name; name++)
		fprintf(f, "%s ", *name);
	for (int i = 0; i < nrules; i++)
		fprintf(f, "%s%s", i ? " " : "", rules[i].name);
}

const PassOptions *pass_options(void)
{
	return options;
}

static int pass_index(const char *name)
{
	for (int i = 0; i < NPasses; i++)
		if (!strcmp(passes[i].name, name))
			return i;
	return -1;
}

bool find_pass(const char *name)
{
	return !strcmp(name, "import") || pass_index(name) >= 0;
}

void print_passes(FILE *f)
{
	for (int i = 0; i < NPasses; i++)
		fprintf(f, "  %-10s %s\n", passes[i].name, passes[i].help);
}

void print_pass_names(FILE *f)
{
	for (int i = 0; i < NPasses; i++)
		fprintf(f, "%s%s", i ? " " : "", passes[i].name);
}

static bool in_list(const char *list, const char *name)
{
	size_t n = strlen(name);
	for (const char *p = list; p && *p; p += strcspn(p, ","), p += *p == ',')
		if (strcspn(p, ",") == n && !strncmp(p, name, n))
			return true;
	return false;
}

bool allow(const char *name)
{
	if (!options)
		return true;
	if (in_list(options->no_fuse, name))
		return false;
	if (options->bisect_limit >= 0 && rewrites >= options->bisect_limit)
		return false;
	rewrites++;
	if (options->bisect_limit >= 0)
		fprintf(stderr, "BISECT: %d: %s\n", rewrites, name);
	return true;
}

/* ---- value checks ------------------------------------------------------------------------------------------------------ */
/* --verify-passes: the module runs in the evaluator on random inputs before the first pass and after every one. */

typedef struct Oracle {
	int nin, nout;
	Tensor *in, *out;
} Oracle;

static uint64_t next_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	return *s ^= *s << 17;
}

/* Integers are lo .. lo + count - 1, without a sign where the type has none. */
static void random_tensor(const Value *v, const int64_t *syms, uint64_t *seed, int64_t lo, int64_t count, Tensor *t)
{
	size_t bytes = (size_t)dtypes[v->type.dtype].bytes;
	DClass cls = dtypes[v->type.dtype].cls;
	t->dtype = v->type.dtype;
	t->rank = v->type.rank;
	for (int d = 0; d < t->rank; d++)
		dim_eval(v->type.dims[d], syms, &t->dims[d]); /* choose_sizes has tried it */
	int64_t n = tensor_numel(t);
	t->data = calloc((size_t)n + 1, bytes);
	if (!t->data)
		refuse_at(NULL, "out of memory");
	for (int64_t i = 0; i < n; i++) {
		double u = (next_random(seed) >> 11) * 0x1p-53, real = 4 * u - 2;
		int64_t integer = cls == ClassBool ? u < 0.8 : lo + (int64_t)(u * count);
		integer = cls == ClassUnsigned && integer < 0 ? -integer : integer;
		put_scalar((char *)t->data + (size_t)i * bytes, cls == ClassFloat ? scalar_of_real(t->dtype, real)
		                                                                  : scalar_of_int(t->dtype, integer));
	}
}

/* NULL once the module has run on such inputs.  Wide integers first; indices have to be small. */
static const char *try_inputs(Module *m, Oracle *o, const int64_t *syms)
{
	static const struct {
		int64_t lo, count;
	} integers[] = {{-60, 121}, {0, 3}, {0, 2}, {0, 1}};
	const char *error = NULL;

	for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
		uint64_t seed = 0x9e3779b97f4a7c15;
		for (int k = 0; k < o->nin; k++)
			random_tensor(m->main->params[k], syms, &seed, integers[i].lo, integers[i].count, &o->in[k]);
		error = eval_module(m, o->in, o->out);
		if (!error)
			return NULL;
		for (int k = 0; k < o->nin; k++)
			free_tensor(&o->in[k]);
	}
	return error;
}

/* Runs the module at the first sizes that it takes; false: there are none, and nothing will be compared. */
static bool start_oracle(Module *m, Oracle *o)
{
	static const int64_t smallest[] = {3, 8, 17, 64, 1, 0};
	int64_t *syms = arena_alloc(m->arena, (m->nsym + 1) * sizeof *syms);
	const char *error = "no small sizes satisfy the checks of the model";
	Loc loc = {.file = m->path};

	o->nin = m->main->nparam;
	o->nout = m->main->body.nyield;
	o->in = arena_alloc(m->arena, ((size_t)o->nin + 1) * sizeof *o->in);
	o->out = arena_alloc(m->arena, ((size_t)o->nout + 1) * sizeof *o->out);
	for (size_t i = 0; i < sizeof smallest / sizeof *smallest; i++) {
		if (!choose_sizes(m, smallest[i], syms))
			continue;
		error = try_inputs(m, o, syms);
		if (!error)
			return true;
	}
	warn_at(&loc, "--verify-passes: skipped: %s", error);
	return false;
}

static double largest_error(const Tensor *a, const Tensor *b)
{
	double most = 0, error = 0;

	if (a->dtype != F32 && !is_narrow(a->dtype))
		return memcmp(a->data, b->data, tensor_numel(a) * dtypes[a->dtype].bytes) ? 1 : 0;
	for (int64_t i = 0, n = tensor_numel(a); i < n; i++) {
		double x = scalar_at(a->dtype, a->data, i).f, y = scalar_at(b->dtype, b->data, i).f;
		if (x != x && y != y)
			continue;
		if (x == y)
			continue;
		double e = x > y ? x - y : y - x;
		error = !(e <= error) ? e : error;
		most = x > most ? x : -x > most ? -x : most;
	}
	return error == 0 ? 0 : most > 0 ? error / most : 1;
}

/* In proportion to the largest element: what sums in f32 lose, a hundred times over where a softmax takes their exponentials, and two units
 * in the last place of a type that is only stored. */
static double allowed_error(DType t)
{
	return is_narrow(t) ? 2 * unit_of(t) : 1e-4;
}

static void check_oracle(Module *m, const Oracle *o, const char *pass)
{
	Tensor *out = calloc((size_t)o->nout + 1, sizeof *out);
	if (!out)
		refuse_at(NULL, "out of memory");
	const char *error = eval_module(m, o->in, out);

	if (error)
		bug("pass %s: the result does not evaluate: %s", pass, error);
	for (int i = 0; i < o->nout; i++) {
		double e = largest_error(&o->out[i], &out[i]);
		if (!(e <= allowed_error(out[i].dtype)))
			bug("pass %s changed the values of output '%s' by %g", pass, m->main->results[i], e);
		free_tensor(&out[i]);
	}
	free(out);
}

/* ---- running ----------------------------------------------------------------------------------------------------------- */

static int count_nodes(const Module *m)
{
	int n = 0;
	for (const Node *x = m->main->body.first; x; x = x->next)
		n++;
	return n;
}

static void verify(Module *m, const char *pass)
{
	const char *error = m->loops ? verify_loops(m->loops) : verify_module(m);
	if (error)
		bug("after pass %s: %s", pass, error);
}

/* before: the text that the pass found, for the difference; NULL: not asked for. */
static void print_after(Module *m, const PassInfo *p, bool changed, const char *before)
{
	bool wanted = options->print_after && (in_list(options->print_after, p->name) || !strcmp(options->print_after, "*"));
	bool shown = options->print_changed && changed;
	if (wanted || shown)
		fprintf(stderr, "; after %s%s\n", p->name, changed ? "" : " (no change)");
	if (wanted || (shown && !before)) {
		print_module(stderr, m);
	} else if (shown) {
		char *after = module_text(m);
		print_diff(stderr, before, after);
		free(after);
	}
}

static void run_pass(Module *m, const PassInfo *p, const Oracle *oracle)
{
	char *before = options->print_changed == PrintDiff ? module_text(m) : NULL;
	part_begins(p->name);
	bool changed = p->run(m);

	m->stage = p->name;
	exit_if_errors();
	verify(m, p->name);
	part_ends(count_nodes(m));
	if (oracle && !m->loops)
		check_oracle(m, oracle, p->name);
	print_after(m, p, changed, before);
	free(before);
}

/* lower relies on what expand and layout do, and group leaves no glu alone.  A text may say any stage, a list leave out any pass: where it
 * is true that a module is behind pass number `stage`, they change nothing. */
static void bring_about(Module *m, int stage)
{
	if (stage >= pass_index("group"))
		expand_lone_glus(m);
	if (stage >= pass_index("expand"))
		pass_expand(m);
	exit_if_errors();
	if (stage >= pass_index("layout"))
		pass_layout(m);
	exit_if_errors();
}

static void run_listed(Module *m, const Oracle *oracle)
{
	char *list = arena_strdup(m->arena, options->only), *save = NULL;

	for (char *name = strtok_r(list, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		int i = pass_index(name);
		if (i < 0)
			fatal_at(NULL, "--passes: no pass '%s'", name);
		if (passes[i].run == pass_lower)
			bring_about(m, i);
		run_pass(m, &passes[i], oracle);
	}
}

void run_passes(Module *m, const PassOptions *o)
{
	Oracle oracle, *check = NULL;

	options = o;
	rewrites = 0;
	if (!find_pass(m->stage))
		fatal_at(&(Loc){.file = m->path}, "the text says stage %s, which is no pass (dcc --help-passes lists them)", m->stage);
	verify(m, m->stage);
	if (o->verify_passes && !m->loops && start_oracle(m, &oracle))
		check = &oracle;
	if (o->only) {
		run_listed(m, check);
	} else if (!m->loops) {
		bring_about(m, pass_index(m->stage));
		int from = pass_index(m->stage) + 1, to = o->stop_after ? pass_index(o->stop_after) : NPasses - 1;
		for (int i = from; i <= to; i++)
			run_pass(m, &passes[i], check);
	}
	for (int i = 0; check && i < check->nin; i++)
		free_tensor(&check->in[i]);
	for (int i = 0; check && i < check->nout; i++)
		free_tensor(&check->out[i]);
	options = NULL;
}
