/* tune.c - dcc --tune: which schedules are faster on this machine.
 *
 * All schedules of an operator are numbered.  Program number i gives each node the schedule i of its operator, so that few programs
 * try all schedules of all shapes, where the model has them: with its epilogues, and caches as it leaves them.  Programs take turns, and
 * each of their steps is timed; those of all layers of a shape count together.  The best of many is partly luck, so what was chosen is
 * measured again, in a program of its own against the usual one, and stays only if it wins again.
 */
#include "tune.h"

#include <cpuid.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../backend/backend.h"
#include "../passes/tuning.h"
#include "inputs.h"
#include "steps.h"

/* A schedule wins a turn with less than this part of the usual time, and a measurement with most of its turns. */
static const double Winning = 0.98;

typedef struct Variant { /* a program, and what it takes */
	Program *p;
	Call call;
	StepRun run;
	double *seconds; /* of each step */
	int nchoice;
	Choice *choices;
} Variant;

typedef struct Tuner {
	Arena *arena;
	Module *m;
	const PassOptions *options;
	const Target *target;
	Tuning *tuning; /* what this lowering shall do */
	Tensor *in;
	int n, cap;
	Variant **v; /* 0: the usual schedules */
	int nshape, capshape;
	Shape *shapes;
	int *shape_of; /* by choice; -1: none */
	int64_t *samples; /* ns [turn][variant][shape, then all steps], > 0 */
	int turns;
} Tuner;

/* ---- programs ------------------------------------------------------------------------------------------------------------- */

static void refuse_customs(Module *m)
{
	for (Node *n = first_node(m); n; n = next_node(n))
		if (ops[n->op].cls == ClsExtern)
			fatal_at(n->loc, "--tune runs the model, and has no function for this operator of the application");
}

/* They are measured at the upper ends. */
static void need_bounds(const Program *p)
{
	const Loc loc = {.file = p->path};
	for (int i = 0; i < p->nsymbols; i++) {
		const dcc_symbol *s = &p->symbols[i];
		if ((s->source == DCC_SYMBOL_INPUT || s->source == DCC_SYMBOL_VALUE) && s->hi >= DimMax)
			error_at(&loc, "--tune measures at the largest sizes, and nothing bounds %s: -D %s=N or -D %s=LO..HI does", s->name, s->name, s->name);
	}
	exit_if_errors();
}

static void make_up_inputs(Tuner *t, Program *p)
{
	DimBinding *bind = arena_alloc(t->arena, ((size_t)p->nsymbols + 1) * sizeof *bind);
	need_bounds(p);
	for (int i = 0; i < p->nsymbols; i++)
		bind[i] = (DimBinding){.sym = p->symbols[i].name, .lo = p->symbols[i].hi, .hi = p->symbols[i].hi};
	t->in = arena_alloc(t->arena, ((size_t)p->ninputs + 1) * sizeof *t->in);
	make_inputs(t->arena, p, p->nsymbols, bind, 1, t->in);
}

/* All work in one place, so that none has better memory. */
static void share_workspace(Tuner *t, Variant *v)
{
	Call *c = &v->call, *first = &t->v[0]->call;
	if (c == first)
		return;
	if (c->args.workspace_size <= first->args.workspace_size) {
		free(c->workspace);
	} else {
		free(first->workspace);
		first->args.workspace_size = c->args.workspace_size;
		first->workspace = c->workspace;
	}
	for (int i = 0; i < t->n; i++) {
		t->v[i]->call.workspace = t->v[i]->run.frame.workspace = first->workspace;
		t->v[i]->call.args.workspace = first->workspace;
		t->v[i]->call.args.workspace_size = first->args.workspace_size;
	}
}

static bool same_element(const Tensor *a, const Tensor *b, int64_t i)
{
	size_t size = (size_t)dtypes[a->dtype].bytes;
	if (!memcmp((char *)a->data + (size_t)i * size, (char *)b->data + (size_t)i * size, size))
		return true;
	return dtypes[a->dtype].cls == ClassFloat && isnan(tensor_element(a, i)) && isnan(tensor_element(b, i));
}

static void compare_outputs(const Tuner *t, const Variant *v)
{
	for (int i = 0; i < v->p->noutputs; i++) {
		const Tensor *want = &t->v[0]->call.out[i], *got = &v->call.out[i];
		for (int64_t k = 0; k < tensor_numel(want); k++)
			if (!same_element(want, got, k))
				bug("another schedule gives output '%s' other bits", v->p->outputs[i].name);
	}
}

static void lower_again(Tuner *t, int number)
{
	PassOptions o = *t->options;
	o.ntarget = 1;
	o.target = &t->target;
	o.tuning = t->tuning;
	o.only = t->m->loops ? "lower" : NULL;
	t->tuning->number = number;
	run_passes(t->m, &o);
}

/* As the tuning says; a first run has looked at the inputs and the bits. */
static Variant *add_variant(Tuner *t, int number)
{
	Variant *v = arena_alloc(t->arena, sizeof *v);

	lower_again(t, number);
	v->p = load_lowered(t->arena, t->m, t->target, t->n ? t->v[0]->p : NULL);
	if (!t->in)
		make_up_inputs(t, v->p);
	new_call(t->arena, v->p, t->in, 1, NULL, &v->call);
	v->nchoice = t->tuning->nchoice;
	v->choices = arena_alloc(t->arena, ((size_t)v->nchoice + 1) * sizeof *v->choices);
	memcpy(v->choices, t->tuning->choices, (size_t)v->nchoice * sizeof *v->choices);
	PUSH(t->arena, t->v, t->n, t->cap, v);
	open_steps(t->arena, &v->call, &v->run);
	v->run.clock = thread_seconds; /* what else runs on the machine takes none of it */
	v->seconds = arena_alloc(t->arena, ((size_t)v->run.nstep + 1) * sizeof *v->seconds);
	share_workspace(t, v);
	run_call(&v->call);
	compare_outputs(t, v);
	return v;
}

/* ---- shapes --------------------------------------------------------------------------------------------------------------- */

static _Noreturn void refuse_file(Module *m)
{
	refuse_at(&(Loc){.file = m->path}, "the model has more shapes of layers than a tuning file holds, which are %d", MaxTuned);
}

static int add_shape(Tuner *t, const Shape *s)
{
	for (int i = 0; i < t->nshape; i++)
		if (same_shape(&t->shapes[i], s))
			return i;
	if (t->nshape == MaxTuned)
		refuse_file(t->m);
	PUSH(t->arena, t->shapes, t->nshape, t->capshape, *s);
	return t->nshape - 1;
}

static void list_shapes(Tuner *t)
{
	const Variant *usual = t->v[0];
	t->nshape = 0;
	t->shape_of = arena_alloc(t->arena, ((size_t)usual->nchoice + 1) * sizeof *t->shape_of);
	for (int i = 0; i < usual->nchoice; i++) {
		Shape s;
		bool known = shape_at(t->m, t->target, usual->choices[i].node, usual->run.syms, &s);
		t->shape_of[i] = known ? add_shape(t, &s) : -1;
	}
}

static int most_schedules(const Tuner *t)
{
	int most = 1;
	for (int i = 0; i < t->nshape; i++)
		if (count_schedules(t->shapes[i].op) > most)
			most = count_schedules(t->shapes[i].op);
	return most;
}

/* ---- times ---------------------------------------------------------------------------------------------------------------- */

static int64_t *sample_at(const Tuner *t, int turn, int variant, int shape)
{
	return &t->samples[((size_t)turn * (size_t)t->n + (size_t)variant) * ((size_t)t->nshape + 1) + (size_t)shape];
}

static double sum_steps(const Variant *v, int from, int to)
{
	double s = 0;
	for (int i = from; i < to; i++)
		s += v->seconds[i];
	return s;
}

static void take_turn(Tuner *t, int turn, int variant)
{
	Variant *v = t->v[variant];

	memset(v->seconds, 0, (size_t)v->run.nstep * sizeof *v->seconds);
	time_steps(&v->run, v->seconds);
	for (int i = 0; i <= t->nshape; i++)
		*sample_at(t, turn, variant, i) = 1;
	*sample_at(t, turn, variant, t->nshape) += (int64_t)(1e9 * sum_steps(v, 0, v->run.nstep));
	for (int i = 0; i < v->nchoice; i++)
		if (t->shape_of[i] >= 0)
			*sample_at(t, turn, variant, t->shape_of[i]) += (int64_t)(1e9 * sum_steps(v, v->choices[i].from, v->choices[i].to));
}

/* Of all programs, for some seconds, `least` turns at least. */
static void measure(Tuner *t, int least, int most, double seconds)
{
	const double end = now_s() + seconds;
	size_t row = (size_t)t->n * ((size_t)t->nshape + 1);

	part_begins("measuring");
	t->samples = arena_alloc(t->arena, (size_t)most * row * sizeof *t->samples);
	for (t->turns = 0; t->turns < least || (t->turns < most && now_s() < end); t->turns++)
		for (int i = 0; i < t->n; i++)
			take_turn(t, t->turns, i);
	part_ends(-1);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median_of(const Tuner *t, int variant, int shape, int over)
{
	double *x = arena_alloc(t->arena, (size_t)t->turns * sizeof *x);
	for (int i = 0; i < t->turns; i++)
		x[i] = (double)*sample_at(t, i, variant, shape) / (over < 0 ? 1.0 : (double)*sample_at(t, i, over, shape));
	qsort(x, (size_t)t->turns, sizeof *x, compare_doubles);
	return x[t->turns / 2];
}

/* Does it beat the usual one in two turns of three? */
static bool wins(const Tuner *t, int variant, int shape)
{
	int won = 0;
	for (int i = 0; i < t->turns; i++)
		won += (double)*sample_at(t, i, variant, shape) < Winning * (double)*sample_at(t, i, 0, shape);
	return won * 3 >= t->turns * 2;
}

/* ---- choosing ------------------------------------------------------------------------------------------------------------- */

/* Number of the schedule of least time among those that win; 0: none does. */
static int best_schedule(const Tuner *t, int shape)
{
	int best = 0;
	double least = 1;
	for (int i = 1; i < count_schedules(t->shapes[shape].op); i++) {
		double ratio = median_of(t, i, shape, 0);
		if (ratio < least && wins(t, i, shape)) {
			least = ratio;
			best = i;
		}
	}
	return best;
}

static int shape_number(const Tuner *t, const Shape *s)
{
	int i = 0;
	while (!same_shape(&t->shapes[i], s))
		i++;
	return i;
}

/* Rows for what won. */
static void choose_all(Tuner *t, Tuning *chosen)
{
	for (int i = 0; i < t->nshape; i++) {
		int best = best_schedule(t, i);
		Schedule s = schedule_number(t->target, t->shapes[i].op, best);
		if (best)
			add_tuned(chosen, &t->shapes[i], &s, 1, 1);
	}
}

/* All that won, at once. */
static bool gains_together(const Tuner *t)
{
	return median_of(t, 1, t->nshape, 0) < 1;
}

/* The rows that win again go to `kept`, with their times; none, if all of them make the whole no faster. */
static void confirm(Tuner *t, Tuning *chosen, Tuning *kept)
{
	enum { LeastTurns = 9, MostTurns = 400 };
	t->tuning = chosen;
	add_variant(t, AsTuned);
	measure(t, LeastTurns, MostTurns, 5);
	if (!gains_together(t))
		return;
	for (int i = 0; i < chosen->n; i++) {
		Tuned *x = &chosen->rows[i];
		int shape = shape_number(t, &x->shape);
		if (!wins(t, 1, shape))
			continue;
		if (kept->n == MaxTuned)
			refuse_file(t->m);
		add_tuned(kept, &x->shape, &x->schedule, (int64_t)median_of(t, 0, shape, -1), (int64_t)median_of(t, 1, shape, -1));
	}
}

static void free_variants(Tuner *t, int from)
{
	for (int i = from; i < t->n; i++) {
		if (i)
			t->v[i]->call.workspace = NULL;
		free_call(&t->v[i]->call);
	}
	t->n = from;
}

/* Says what came of a target. */
static void tell(FILE *f, const Tuner *t, int schedules, int chosen, int kept)
{
	fprintf(f, "%s: %d shapes, up to %d schedules each: ", t->target->name, t->nshape, schedules);
	if (chosen)
		fprintf(f, "%d won, %d of them again; %.4f ms, %.4f with all that won%s\n", chosen, kept, median_of(t, 0, t->nshape, -1) / 1e6,
		        median_of(t, 1, t->nshape, -1) / 1e6, gains_together(t) ? "" : ": no faster, so none is kept");
	else
		fprintf(f, "the usual ones are the best\n");
}

static void tune_target(Tuner *t, Tuning *kept, FILE *f)
{
	enum { LeastTurns = 7, MostTurns = 400 };
	Tuning all = {.arena = t->arena}, chosen = {.arena = t->arena};
	const int before = kept->n;

	t->tuning = &all;
	add_variant(t, 0);
	list_shapes(t);
	const int n = most_schedules(t);
	for (int i = 1; i < n; i++)
		add_variant(t, i);
	if (n > 1)
		measure(t, LeastTurns, MostTurns, 10);
	choose_all(t, &chosen);
	free_variants(t, 1);
	if (chosen.n)
		confirm(t, &chosen, kept);
	if (f)
		tell(f, t, n, chosen.n, kept->n - before);
	free((void *)t->v[0]->p->model->weights);
	free_variants(t, 0);
}

/* As it calls itself. */
static char *cpu_name(Arena *arena)
{
	unsigned r[13] = {0};
	for (unsigned i = 0; i < 3; i++)
		if (!__get_cpuid(0x80000002 + i, &r[4 * i], &r[4 * i + 1], &r[4 * i + 2], &r[4 * i + 3]))
			return arena_strdup(arena, "unknown");
	char *name = arena_strdup(arena, (const char *)r);
	for (char *p = name; *p; p++)
		*p = *p < ' ' || *p > '~' ? '?' : *p;
	return name;
}

static void write_file(Out *out, const Tuning *kept)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (f)
		write_tuning(f, kept);
	if (!f || fclose(f))
		refuse_at(NULL, "out of memory");
	end_text(out, text, n);
	free(text);
}

void tune_model(Module *m, const PassOptions *o, const char *path)
{
	Arena *arena = new_arena(); /* programs live as long as the process */
	Tuning kept = {.arena = arena, .version = DCC_VERSION, .cpu = cpu_name(arena)};

	if (m->loops)
		fatal_at(&(Loc){.file = m->path}, "is loop IR, whose schedules are chosen: --tune wants a model or tensor IR");
	refuse_customs(m);
	Out *out = begin_text(m, path);
	Tuner t = {.arena = arena, .m = m, .options = o};
	for (int i = 0; i < o->ntarget; i++) {
		t.target = o->target[i];
		tune_target(&t, &kept, strcmp(path, "-") ? stdout : NULL);
	}
	for (int i = 0; t.in && i < m->main->nparam; i++)
		free_tensor(&t.in[i]);
	write_file(out, &kept);
}
