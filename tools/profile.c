/* profile.c - where the time of a run goes, by kernel and ONNX node.
 *
 * The object says which kernel each step runs, for which nodes, and what it costs; the program entry runs any range of
 * steps.  So each step is timed alone, in order, on all workers, and the median over the runs counts.  The roofline of a
 * step is the larger of FLOP / measured FMA rate and bytes / measured read rate, over its time; data that stay in a
 * cache can take it beyond 100%.
 */
#include "profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../ir/lex.h"
#include "roofline.h"
#include "steps.h"

typedef struct Row {
	int step, count; /* its number; steps of a kind */
	const char *kernel;
	int name_length; /* of the kernel's name, or of its kind */
	int64_t calls; /* in a run: steps of a loop have several, those of a branch not taken none */
	double s, flop, bytes; /* of a run */
} Row;

typedef struct Times {
	int n, runs;
	Row *rows;
	double steps, run; /* seconds: of all rows, of a run that nobody stops */
} Times;

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *values, int n)
{
	qsort(values, (size_t)n, sizeof *values, compare_doubles);
	return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

/* times[run][step] */
static int time_runs(Arena *arena, StepRun *r, int nstep, double seconds, double ***times)
{
	enum { LeastRuns = 3, MostRuns = 10000 };
	int n = 0, cap = 0;
	double end = now_s() + seconds;
	*times = NULL;
	while (n < LeastRuns || (n < MostRuns && now_s() < end)) {
		double *row = arena_alloc(arena, ((size_t)nstep + 1) * sizeof *row);
		time_steps(r, row);
		PUSH(arena, *times, n, cap, row);
	}
	return n;
}

static double median_run(Arena *arena, Call *c, int runs)
{
	double *t = arena_alloc(arena, (size_t)runs * sizeof *t);
	for (int i = 0; i < runs; i++) {
		double start = now_s();
		run_call(c);
		t[i] = now_s() - start;
	}
	return median(t, runs);
}

/* Slowest first; equal ones in order of their steps. */
static int compare_rows(const void *a, const void *b)
{
	const Row *x = a, *y = b;
	return x->s != y->s ? (x->s < y->s) - (x->s > y->s) : x->step - y->step;
}

static void print_numbers(FILE *f, const Row *x, double total, const Roofline *roof)
{
	double s = x->s > 0 ? x->s : 1e-9, compute = x->flop / roof->flops, memory = x->bytes / roof->bytes;
	fprintf(f, "%9.4f %5.1f%% %8.1f %7.1f %4.0f%%", 1e3 * x->s, total > 0 ? 100 * x->s / total : 0, x->flop / s / 1e9,
	        x->bytes / s / 1e9, 100 * (compute > memory ? compute : memory) / s);
}

static void print_steps(FILE *f, Row *rows, int n, double total, const Roofline *roof, const dcc_step *steps)
{
	fprintf(f, "\n       ms  share  GFLOP/s    GB/s  roof  step  %-20s ONNX nodes\n", "kernel");
	qsort(rows, (size_t)n, sizeof *rows, compare_rows);
	for (int i = 0; i < n; i++) {
		const dcc_step *s = &steps[rows[i].step];
		print_numbers(f, &rows[i], total, roof);
		char calls[24] = "";
		int left = 20 - (int)strlen(s->kernel);
		if (rows[i].calls != 1)
			snprintf(calls, sizeof calls, " x%lld", (long long)rows[i].calls);
		fprintf(f, " %5d  %s%-*s ", rows[i].step, s->kernel, left > 0 ? left : 0, calls);
		for (int k = 0; k < s->nnodes; k++) {
			fputs(k ? " + " : "", f);
			print_safe(f, s->nodes[k]);
		}
		putc('\n', f);
	}
}

static void print_kinds(FILE *f, Arena *arena, const Row *rows, int n, double total, const Roofline *roof)
{
	Row *kinds = arena_alloc(arena, ((size_t)n + 1) * sizeof *kinds);
	int nkind = 0;
	for (int i = 0; i < n; i++) {
		const Row *x = &rows[i];
		int k = 0;
		while (k < nkind && !(kinds[k].name_length == x->name_length &&
		                      !strncmp(kinds[k].kernel, x->kernel, (size_t)x->name_length)))
			k++;
		if (k == nkind)
			kinds[nkind++] = (Row){.step = x->step, .kernel = x->kernel, .name_length = x->name_length};
		kinds[k].count++;
		kinds[k].s += x->s;
		kinds[k].flop += x->flop;
		kinds[k].bytes += x->bytes;
	}
	qsort(kinds, (size_t)nkind, sizeof *kinds, compare_rows);
	fputs("\n       ms  share  GFLOP/s    GB/s  roof  steps kind\n", f);
	for (int i = 0; i < nkind; i++) {
		print_numbers(f, &kinds[i], total, roof);
		fprintf(f, " %6d %.*s\n", kinds[i].count, kinds[i].name_length, kinds[i].kernel);
	}
}

/* What the times hold for: dims that nobody gives are made up. */
static void print_sizes(FILE *f, Arena *arena, const Call *c, const StepRun *r)
{
	const char *before = "; at";
	for (int i = 0; i < c->p->nsymbols; i++) {
		if (c->p->symbols[i].source == DCC_SYMBOL_DATA)
			continue;
		fprintf(f, "%s %s = %lld", before, safe_name(arena, c->p->symbols[i].name), (long long)r->syms[i]);
		before = ",";
	}
	putc('\n', f);
}

static void fill_rows(Arena *arena, const StepRun *r, const dcc_step *steps, int nstep, int runs, double **times, Row *rows)
{
	double *all = arena_alloc(arena, (size_t)runs * sizeof *all);
	for (int i = 0; i < nstep; i++) {
		Row *x = &rows[i];
		for (int k = 0; k < runs; k++)
			all[k] = times[k][i];
		*x = (Row){.step = i, .count = 1, .calls = r->calls[i], .kernel = steps[i].kernel, .s = median(all, runs)};
		x->name_length = (int)strcspn(x->kernel, ".");
		r->model->step_cost(r->syms, steps[i].cost, &x->flop, &x->bytes);
		x->flop *= (double)x->calls;
		x->bytes *= (double)x->calls;
	}
}

/* ---- for Model Explorer ------------------------------------------------------------------------------------------ */

typedef struct NodeCosts {
	int n;
	const char **names;
	double *s, *flop, *bytes;
} NodeCosts;

/* A step counts for the first of its nodes alone, so that sums over nodes are those over steps. */
static NodeCosts sum_nodes(Arena *arena, const Row *rows, int n, const dcc_step *steps)
{
	size_t bytes = ((size_t)n + 1) * sizeof(double);
	NodeCosts c = {0, arena_alloc(arena, bytes), arena_alloc(arena, bytes), arena_alloc(arena, bytes), arena_alloc(arena, bytes)};
	Map places = {.arena = arena};

	for (int i = 0; i < n; i++) {
		const dcc_step *step = &steps[rows[i].step];
		if (!step->nnodes)
			continue;
		void **found = find_name(&places, step->nodes[0]);
		int k = found ? (int)((double *)*found - c.s) : c.n++;
		if (!found)
			add_name(&places, step->nodes[0], &c.s[k]);
		c.names[k] = step->nodes[0];
		c.s[k] += rows[i].s;
		c.flop[k] += rows[i].flop;
		c.bytes[k] += rows[i].bytes;
	}
	return c;
}

static void write_node_data(Arena *arena, const char *prefix, const char *suffix, const char *what, const NodeCosts *c,
                            const double *values)
{
	const Loc loc = {.file = arena_printf(arena, "%s.%s.json", prefix, suffix)};
	FILE *f = fopen(loc.file, "w");

	if (f)
		print_node_data(f, arena, what, c->n, c->names, values);
	if (!f || ferror(f) || fclose(f))
		fatal_at(&loc, "cannot be written: %s", strerror(errno));
}

static void write_costs(Arena *arena, const char *prefix, const NodeCosts *c)
{
	double *ms = arena_alloc(arena, ((size_t)c->n + 1) * sizeof *ms), *rate = arena_alloc(arena, ((size_t)c->n + 1) * sizeof *rate);

	for (int i = 0; i < c->n; i++) {
		ms[i] = 1e3 * c->s[i];
		rate[i] = c->s[i] > 0 ? c->flop[i] / c->s[i] / 1e9 : 0;
	}
	write_node_data(arena, prefix, "ms", "time in ms", c, ms);
	write_node_data(arena, prefix, "flop", "FLOP", c, c->flop);
	write_node_data(arena, prefix, "bytes", "bytes", c, c->bytes);
	write_node_data(arena, prefix, "gflops", "GFLOP/s", c, rate);
}

/* ---- for dcc --profile-data -------------------------------------------------------------------------------------- */

static void put_number(FILE *f, const char *key, double value)
{
	fprintf(f, ", \"%s\": %.9g", key, value);
}

static void put_step(FILE *f, const Row *x, const dcc_step *step)
{
	fputs("{\"kernel\": ", f);
	print_json(f, x->kernel);
	put_number(f, "ms", 1e3 * x->s);
	put_number(f, "calls", (double)x->calls);
	put_number(f, "flop", x->flop);
	put_number(f, "bytes", x->bytes);
	fputs(", \"nodes\": [", f);
	for (int i = 0; i < step->nnodes; i++) {
		fputs(i ? ", " : "", f);
		print_json(f, step->nodes[i]);
	}
	fputs("]}", f);
}

static void put_symbols(FILE *f, const Call *c, const StepRun *r)
{
	const char *before = "";
	fputs(", \"symbols\": {", f);
	for (int i = 0; i < c->p->nsymbols; i++) {
		if (c->p->symbols[i].source == DCC_SYMBOL_DATA)
			continue; /* each iteration gives others */
		fputs(before, f);
		print_json(f, c->p->symbols[i].name);
		fprintf(f, ": %lld", (long long)r->syms[i]);
		before = ", ";
	}
	putc('}', f);
}

/* Rows in the order of their steps. */
static void write_profile(const char *path, const Call *c, const StepRun *r, const Times *t, const Roofline *roof, const dcc_step *steps)
{
	const Loc loc = {.file = path};
	FILE *f = fopen(path, "w");
	if (!f)
		fatal_at(&loc, "cannot be written: %s", strerror(errno));
	fprintf(f, "{\"dcc_profile\": 1, \"version\": \"" DCC_VERSION "\", \"model\": ");
	print_json(f, r->model->name);
	fprintf(f, ", \"hash\": \"%016llx\", \"target\": ", (unsigned long long)r->model->model_hash);
	print_json(f, r->target->name);
	put_number(f, "threads", r->workers);
	put_number(f, "runs", t->runs);
	put_symbols(f, c, r);
	put_number(f, "steps_ms", 1e3 * t->steps);
	put_number(f, "run_ms", 1e3 * t->run);
	put_number(f, "gflop_per_s", roof->flops / 1e9);
	put_number(f, "gbyte_per_s", roof->bytes / 1e9);
	fputs(",\n\"steps\": [", f);
	for (int i = 0; i < t->n; i++) {
		fputs(i ? ",\n  " : "\n  ", f);
		put_step(f, &t->rows[i], &steps[i]);
	}
	fputs("]}\n", f);
	bool bad = ferror(f);
	if (fclose(f) || bad)
		fatal_at(&loc, "cannot be written: %s", strerror(errno));
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

void profile_call(FILE *f, Call *c, double seconds, const char *json, const char *node_data)
{
	const dcc_model *model = c->p->model;
	Arena *arena = new_arena();
	StepRun r;
	double **times;
	open_steps(arena, c, &r);
	const dcc_step *steps = model->steps[c->p->target - 1];
	Times t = {.n = r.nstep};
	Roofline roof = measure_roofline(r.target->features, c->args.exec);
	t.runs = time_runs(arena, &r, t.n, seconds, &times);
	t.rows = arena_alloc(arena, ((size_t)t.n + 1) * sizeof *t.rows);
	fill_rows(arena, &r, steps, t.n, t.runs, times, t.rows);
	for (int i = 0; i < t.n; i++)
		t.steps += t.rows[i].s;
	t.run = median_run(arena, c, t.runs);
	fprintf(f, "%s  %s  threads %d  %d steps: %.4f ms in all; a whole run: %.4f ms; medians of %d runs", model->name,
	        r.target->name, r.workers, t.n, 1e3 * t.steps, 1e3 * t.run, t.runs);
	print_sizes(f, arena, c, &r);
	fprintf(f, "roof: %.1f GFLOP/s by FMA in registers, %.1f GB/s reading %.0f MiB; above 100%%: data came from a cache\n",
	        roof.flops / 1e9, roof.bytes / 1e9, roof.buffer / (1 << 20));
	if (node_data) {
		NodeCosts costs = sum_nodes(arena, t.rows, t.n, steps);
		write_costs(arena, node_data, &costs);
	}
	if (json)
		write_profile(json, c, &r, &t, &roof, steps);
	print_steps(f, t.rows, t.n, t.steps, &roof, steps);
	print_kinds(f, arena, t.rows, t.n, t.steps, &roof);
	free_arena(arena);
}
