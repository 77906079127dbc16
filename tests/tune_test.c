/* tune_test.c - schedules that a tuning file may choose give the bits of the usual one, on every target; and which rows of a file a node
 * takes.  label: full, seconds: 18
 *
 * Targets that the CPU lacks are interpreted, so sizes are small, but several blocks, tiles and chunks of every schedule.
 */
#include "../passes/tuning.h"
#include "../tools/program.h"
#include "schedule.h"

#include <math.h>

static Arena *arena;

static void make_linear(Family *f)
{
	param(f, "x: f32[n, 290]");
	weights(f, "w", "290, 40", 290 * 40);
	weights(f, "c", "40", 40);
	line(f, "%%0: f32[n, 40] = linear %%x, %%w, %%c");
	line(f, "%%1: f32[n, 40] = relu %%0");
	result(f, "%1", "f32[n, 40]");
}

static void make_narrow(Family *f)
{
	param(f, "x: f32[n, 290]");
	weights(f, "w", "290, 36", 290 * 36);
	line(f, "%%h: f16[290, 36] = cast %%w");
	line(f, "%%v: f32[290, 36] = cast %%h");
	line(f, "%%0: f32[n, 36] = linear %%x, %%v, _");
	result(f, "%0", "f32[n, 36]");
}

static void make_strassen(Family *f)
{
	param(f, "x: f32[n, 288]");
	weights(f, "w", "288, 256", 288 * 256);
	line(f, "%%0: f32[n, 256] = linear %%x, %%w, _");
	result(f, "%0", "f32[n, 256]");
}

static void make_matmul(Family *f)
{
	param(f, "a: f32[2, n, 290]");
	param(f, "c: f32[2, 290, 40]");
	line(f, "%%0: f32[2, n, 40] = matmul %%a, %%c");
	result(f, "%0", "f32[2, n, 40]");
}

static void make_attention(Family *f)
{
	param(f, "q: f32[1, n, 2, 8]");
	param(f, "k: f32[1, 290, 2, 8]");
	param(f, "v: f32[1, 290, 2, 8]");
	line(f, "%%0: f32[1, n, 2, 8] = attention %%q, %%k, %%v, _");
	line(f, "%%1: f32[1, n, 2, 8] = attention %%q, %%k, %%v, _ {left=70, right=9}");
	result(f, "%0", "f32[1, n, 2, 8]");
	result(f, "%1", "f32[1, n, 2, 8]");
}

static void make_winograd(Family *f)
{
	param(f, "x: f32[1, 64, n, 30]");
	weights(f, "w", "64, 64, 3, 3", 64 * 64 * 9);
	line(f, "%%0: f32[1, 64, n, 30] = conv %%x, %%w, _ {pads=[1, 1, 1, 1]}");
	result(f, "%0", "f32[1, 64, n, 30]");
}

static void make_depthwise(Family *f)
{
	param(f, "x: f32[1, 300, n, 7]");
	weights(f, "w", "300, 1, 3, 3", 300 * 9);
	line(f, "%%0: f32[1, 300, n, 7] = conv %%x, %%w, _ {group=300, pads=[1, 1, 1, 1]}");
	result(f, "%0", "f32[1, 300, n, 7]");
}

static void make_winconv(Family *f)
{
	param(f, "x: f32[1, n, 20]");
	param(f, "w: f32[1, n, 2, 5]");
	line(f, "%%0: f32[1, n, 20] = winconv %%x, %%w {heads=2, pads_dim=[2]}");
	result(f, "%0", "f32[1, n, 20]");
}

static const struct Case {
	const char *name;
	void (*make)(Family *);
	Op op; /* of which there must be one */
	const char *sizes, *interpreted; /* of which the interpreter sees the second, which it can do in time */
	bool fast_matmul;
} cases[] = {
	{"linear", make_linear, OpLinearPacked, "n=400", "n=30", false},
	{"narrow", make_narrow, OpLinearPacked, "n=150", "n=20", false},
	{"many_rows", make_linear, OpLinearPacked, "n=600", "n=31", false},
	{"strassen", make_strassen, OpStrassen, "n=301", NULL, true},
	{"matmul", make_matmul, OpMatMul, "n=33", "n=15", false},
	{"attention", make_attention, OpAttention, "n=40", "n=15", false},
	{"winograd", make_winograd, OpWinograd, "n=30", NULL, false},
	{"depthwise", make_depthwise, OpGroupConv, "n=9", "n=3", false},
	{"winconv", make_winconv, OpWinConv, "n=600", "n=140", false},
};

typedef struct Trial {
	const struct Case *c;
	Module *m;
	const Target *target;
	Tuning tuning;
	Tensor in[MaxPorts], first[MaxPorts]; /* first: what all others must equal */
	bool have_first;
} Trial;

static Module *module_of(const struct Case *c, const char *sizes)
{
	Family f = {.name = c->name, .fixed = sizes};
	random_state = 88172645463325252u;
	c->make(&f);
	return parse_module("tune_test.ir", family_text(&f));
}

static void lower_trial(Trial *t, int number)
{
	PassOptions o = {.bisect_limit = -1, .ntarget = 1, .target = &t->target, .tuning = &t->tuning, .fast_matmul = t->c->fast_matmul};
	o.only = t->m->loops ? "lower" : NULL;
	t->tuning.number = number;
	run_passes(t->m, &o);
}

static void compare(Trial *t, int number, const Tensor *out)
{
	for (int i = 0; i < t->m->main->body.nyield; i++) {
		int64_t at = -1;
		if (!t->have_first) {
			t->first[i] = out[i];
			t->first[i].data = malloc(tensor_bytes(&out[i]) + 1);
			memcpy(t->first[i].data, out[i].data, tensor_bytes(&out[i]));
			continue;
		}
		bool same = same_bits(&t->first[i], out[i].data, &at);
		if (!same)
			fprintf(stderr, "%s, %s: schedule %d: output %d: element %lld differs\n", t->c->name, t->target->name, number, i, (long long)at);
		CHECK(same);
	}
	t->have_first = true;
}

static void interpret(Trial *t, int number)
{
	Tensor out[MaxPorts] = {0};
	const char *wrong = interp_program(t->m->loops, t->target->name, 3, t->in, out);
	CHECK(!wrong);
	if (!wrong)
		compare(t, number, out);
	for (int i = 0; i < t->m->main->body.nyield; i++)
		free_tensor(&out[i]);
}

static void run(Trial *t, int number)
{
	Program *p = load_lowered(arena, t->m, t->target, NULL);
	Call call;
	new_call(arena, p, t->in, 1, NULL, &call);
	run_call(&call);
	compare(t, number, call.out);
	free_call(&call);
	free((void *)p->model->weights);
}

/* All schedules on one target. */
static void try_schedules(Trial *t)
{
	const int n = count_schedules(t->c->op);
	bool found = false;

	CHECK(n > 1);
	for (int number = 0; number < n; number++) {
		lower_trial(t, number);
		if (has_target(t->target))
			run(t, number);
		else
			interpret(t, number);
	}
	for (int i = 0; i < t->tuning.nchoice; i++)
		found |= t->tuning.choices[i].node->op == t->c->op;
	if (!found)
		fprintf(stderr, "%s: nothing became %s\n", t->c->name, ops[t->c->op].text);
	CHECK(found);
}

/* The targets share inputs and outputs: they differ in nothing either. */
static void try_case(const struct Case *c)
{
	Trial t = {.c = c};
	bool all = true;

	for (int i = 0; i < ntargets; i++)
		all &= has_target(&targets[i]);
	const char *sizes = all ? c->sizes : c->interpreted;
	for (int i = 0; i < ntargets && sizes; i++) {
		t.m = module_of(c, sizes);
		t.target = &targets[i];
		t.tuning = (Tuning){.arena = arena};
		for (int k = 0; k < t.m->main->nparam && !i; k++) {
			const Value *v = t.m->main->params[k];
			t.in[k] = tensor_of(&v->type, NULL);
			t.in[k].data = malloc(tensor_bytes(&t.in[k]) + 1);
			for (int64_t e = 0; e < tensor_numel(&t.in[k]); e++)
				set_element(&t.in[k], e, input_value(v->name, t.in[k].dtype));
		}
		try_schedules(&t);
		free_module(t.m);
	}
}

/* ---- files ------------------------------------------------------------------------------------------------------------------ */

/* What is written reads back: every schedule of every operator, once. */
static void try_file(void)
{
	Tuning t = {.arena = arena, .version = "1", .cpu = "some CPU"};
	char path[] = "/tmp/tune_test.XXXXXX";
	FILE *f = fdopen(mkstemp(path), "w");

	for (int op = 0; op < NOps; op++)
		for (int i = 0; i < count_schedules(op) && count_schedules(op) > 1; i++) {
			const Target *target = &targets[i % ntargets];
			Shape s = {target, op, i % 2 ? F32 : F16, i, 1000000007, op};
			Schedule schedule = schedule_number(target, op, i);
			add_tuned(&t, &s, &schedule, i + 2, i + 1);
		}
	write_tuning(f, &t);
	fclose(f);
	const Tuning *again = read_tuning(arena, path);
	unlink(path);
	CHECK(again->hash && !strcmp(again->version, "1") && !strcmp(again->cpu, "some CPU"));
	CHECK(again->n == t.n && t.n > 40);
	for (int i = 0; i < t.n && i < again->n; i++) {
		const Tuned *x = &t.rows[i], *y = &again->rows[i];
		CHECK(same_shape(&x->shape, &y->shape) && x->usual_ns == y->usual_ns && x->ns == y->ns);
		CHECK(!memcmp(&x->schedule, &y->schedule, sizeof x->schedule));
	}
}

/* ---- which row a node takes ------------------------------------------------------------------------------------------------ */

static void add_row(Tuning *t, int64_t rows, int64_t depth, int64_t columns, int number)
{
	const Target *target = &targets[0];
	Shape s = {target, OpLinearPacked, F32, rows, depth, columns};
	Schedule schedule = schedule_number(target, OpLinearPacked, number);
	add_tuned(t, &s, &schedule, 2, 1);
}

/* The row that the linear of `sym` rows takes; -1: none. */
static int row_taken(const char *sym, Tuning *t)
{
	const Target *target = &targets[0];
	PassOptions o = {.bisect_limit = -1, .ntarget = 1, .target = &target, .tuning = t};
	Family f = {.name = "rows"};
	int row = -1;

	add_text(&f.syms, "sym n in %s\n", sym);
	make_linear(&f);
	Module *m = parse_module("tune_test.ir", family_text(&f));
	t->number = AsTuned;
	run_passes(m, &o);
	CHECK(t->nchoice == 1);
	CHECK(count_used(t) == count_tuned(t));
	for (int i = 0; i < t->n; i++)
		row = t->rows[i].used ? i : row;
	free_module(m);
	return row;
}

static void try_rows(void)
{
	Tuning t = {.arena = arena};

	CHECK(row_taken("100..100", &t) == -1);
	add_row(&t, 128, 291, 40, 1);
	add_row(&t, 128, 290, 41, 1);
	CHECK(row_taken("100..100", &t) == -1); /* of another depth, of other columns */
	add_row(&t, 128, 290, 40, 1);
	add_row(&t, 250, 290, 40, 2);
	CHECK(row_taken("100..100", &t) == 2); /* rows up to the same power of two */
	CHECK(row_taken("65..128", &t) == 2);
	CHECK(row_taken("64..64", &t) == -1);
	CHECK(row_taken("129..256", &t) == 3);
	CHECK(row_taken("0..2147483647", &t) == 3); /* the largest */
	CHECK(row_taken("1..128", &t) == 2);
	CHECK(row_taken("257..2147483647", &t) == -1);
}

/* Groups of several channels and windows of a plane have one schedule only. */
static void try_without_choice(void)
{
	const Target *target = &targets[0];
	Tuning t = {.arena = arena};
	PassOptions o = {.bisect_limit = -1, .ntarget = 1, .target = &target, .tuning = &t};
	Family f = {.name = "no_choice"};

	param(&f, "x: f32[1, 5, 6, 16]");
	param(&f, "p: f32[1, 5, 6, 2, 3, 3]");
	weights(&f, "w", "3, 3, 4, 16", 3 * 3 * 4 * 16);
	line(&f, "%%0: f32[1, 3, 4, 16] = group_conv %%x, %%w, _ {group=4}");
	line(&f, "%%1: f32[1, 5, 6, 16] = winconv %%x, %%p {heads=2, pads_dim=[1, 1]}");
	result(&f, "%0", "f32[1, 3, 4, 16]");
	result(&f, "%1", "f32[1, 5, 6, 16]");
	Module *m = parse_module("tune_test.ir", family_text(&f));
	run_passes(m, &o);
	CHECK(t.nchoice == 0);
	free_module(m);
}

int main(void)
{
	arena = new_arena();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		try_case(&cases[i]);
	try_rows();
	try_without_choice();
	try_file();
	return test_end("tune");
}
