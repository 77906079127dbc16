/* report.c - what --report=FILE says: what was fused, what nearly was and why not, the memory plan, sizes, and the cost
 * of every kernel.
 *
 * Passes add to it while they run; kernels are read off the loop IR when it is written.  Numbers hold at the symbols'
 * upper bounds; where one has none, the formula stands alone.  Estimates are the larger of FLOP and bytes over assumed
 * rates.
 */
#include "pass.h"

#include <stdlib.h>
#include <string.h>

#include "../runtime/dcc.h"

static const double AssumedFlops = 100e9, AssumedBytes = 20e9; /* per second */

typedef struct Fused {
	const char *pattern, *why; /* why: NULL: it matched */
	int n, cap;
	const Loc **nodes;
} Fused;

typedef struct Place { /* a slot of the workspace while one value lives in it */
	const char *target, *what;
	const Dim *offset, *bytes;
	int from, to; /* steps, inclusive */
} Place;

typedef struct KernelUse { /* calls of one kernel at one cost */
	const char *target;
	const LFunc *fn;
	const char *flop, *bytes; /* formulas; NULL: not known */
	const LExpr *flop_of, *bytes_of;
	int n, cap;
	const LStmt **steps;
} KernelUse;

struct Report {
	Module *m;
	int nfused, capfused;
	Fused *fused;
	int nplace, capplace;
	Place *places;
	int nuse, capuse;
	KernelUse *uses;
};

Report *new_report(Module *m)
{
	Report *r = arena_alloc(m->arena, sizeof *r);
	r->m = m;
	return r;
}

/* ---- collecting -------------------------------------------------------------------------------------------------- */

static Report *current(void)
{
	return pass_options() ? pass_options()->report : NULL;
}

static void add_node(Report *r, Fused *f, const Loc *loc)
{
	if (!loc || !loc->node)
		return;
	for (int i = 0; i < f->n; i++)
		if (!strcmp(f->nodes[i]->node, loc->node))
			return;
	PUSH(r->m->arena, f->nodes, f->n, f->cap, loc);
}

static Fused *add_fused(Report *r, const char *pattern, const Loc *loc, const char *why)
{
	PUSH(r->m->arena, r->fused, r->nfused, r->capfused, ((Fused){.pattern = pattern, .why = why}));
	add_node(r, &r->fused[r->nfused - 1], loc);
	return &r->fused[r->nfused - 1];
}

static bool is_at(const Fused *f, const char *pattern, const Loc *loc)
{
	return loc && loc->node && f->n && f->nodes[0] == loc && !strcmp(f->pattern, pattern);
}

void report_match(const char *pattern, const Loc *loc)
{
	Report *r = current();
	if (!r)
		return;
	add_fused(r, pattern, loc, NULL);
}

void report_also(const Loc *loc)
{
	Report *r = current();
	if (r && r->nfused)
		add_node(r, &r->fused[r->nfused - 1], loc);
}

void report_miss(const char *pattern, const Loc *loc, const char *why)
{
	Report *r = current();
	if (!r)
		return;
	for (int i = 0; i < r->nfused; i++) /* passes look again and again */
		if (r->fused[i].why && is_at(&r->fused[i], pattern, loc) && !strcmp(r->fused[i].why, why))
			return;
	add_fused(r, pattern, loc, arena_strdup(r->m->arena, why));
}

void report_place(const char *target, const Dim *offset, const Dim *bytes, const char *what, int from, int to)
{
	Report *r = current();
	if (!r)
		return;
	Place p = {.target = target, .what = what, .offset = offset, .bytes = bytes, .from = from, .to = to};
	PUSH(r->m->arena, r->places, r->nplace, r->capplace, p);
}

void report_places_anew(void)
{
	if (current())
		current()->nplace = 0;
}

/* ---- formulas ---------------------------------------------------------------------------------------------------- */

static const struct {
	LOp op;
	const char *text;
	int level; /* 0: written as a call */
} operators[] = {{LAdd, " + ", 1}, {LSub, " - ", 1}, {LMul, "*", 2}, {LFloorDiv, "/", 2}, {LMod, "%", 2},
                 {LMin, "min", 0}, {LMax, "max", 0}};

static void print_formula(FILE *f, const LExpr *e, int level)
{
	if (e->op == LConst)
		fprintf(f, "%lld", (long long)e->value.i);
	if (e->op == LRef)
		fputs(e->var->name, f);
	for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
		if (operators[i].op != e->op)
			continue;
		int own = operators[i].level;
		fprintf(f, "%s%s", own ? "" : operators[i].text, own >= level && own ? "" : "(");
		print_formula(f, e->a[0], own);
		fputs(own ? operators[i].text : ", ", f);
		print_formula(f, e->a[1], own ? own + 1 : 0);
		fputs(own >= level && own ? "" : ")", f);
	}
}

static const char *formula(Module *m, const LExpr *e)
{
	char *text;
	size_t size;
	FILE *f = e ? open_memstream(&text, &size) : NULL;
	if (!f)
		return NULL;
	print_formula(f, e, 0);
	fclose(f);
	const char *copy = arena_strdup(m->arena, text);
	free(text);
	return copy;
}

/* At the symbols' upper bounds, one thread; false: there is none, or it is too large. */
static bool value_of(const Module *m, const LExpr *e, int64_t *v)
{
	int64_t x, y;
	if (!e)
		return false;
	if (e->op == LConst) {
		*v = e->value.i;
		return true;
	}
	if (e->op == LRef) {
		const Sym *s = find_sym(m, e->var->name);
		*v = s ? s->hi : 1;
		return !s || s->hi < DimMax;
	}
	if (!e->a[0] || !e->a[1] || !value_of(m, e->a[0], &x) || !value_of(m, e->a[1], &y))
		return false;
	int64_t q = y && !(y == -1 && x == INT64_MIN) ? x / y - (x % y != 0 && (x < 0) != (y < 0)) : 0;
	switch (e->op) {
	case LAdd: return !__builtin_add_overflow(x, y, v);
	case LSub: return !__builtin_sub_overflow(x, y, v);
	case LMul: return !__builtin_mul_overflow(x, y, v);
	case LFloorDiv: *v = q; return true;
	case LMod: *v = y ? (int64_t)((uint64_t)x - (uint64_t)y * (uint64_t)q) : 0; return true;
	case LMin: *v = x < y ? x : y; return true;
	case LMax: *v = x > y ? x : y; return true;
	default: return false;
	}
}

static bool dim_value(const Module *m, const Dim *d, int64_t *v)
{
	int64_t his[m->nsym + 1];
	for (int i = 0; i < m->nsym; i++) {
		his[i] = m->syms[i]->hi;
		if (his[i] == DimMax && dim_uses_sym(d, m->syms[i]))
			return false;
	}
	return dim_eval(d, his, v);
}

/* Seconds; false: not known. */
static bool estimate(const Module *m, const KernelUse *u, double *seconds)
{
	int64_t flop, bytes;
	if (!value_of(m, u->flop_of, &flop) || !value_of(m, u->bytes_of, &bytes))
		return false;
	double compute = (double)flop / AssumedFlops, memory = (double)bytes / AssumedBytes;
	*seconds = compute > memory ? compute : memory;
	return true;
}

/* ---- kernels ----------------------------------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static void add_step(Report *r, const LFunc *program, const LStmt *s)
{
	const LFunc *fn = step_kernel(s);
	KernelUse use = {.target = program->target, .fn = fn, .flop_of = s->e, .bytes_of = s->idx,
	                 .flop = formula(r->m, s->e), .bytes = formula(r->m, s->idx)};
	KernelUse *u = r->uses, *end = u + r->nuse;
	if (!fn)
		return;
	while (u < end && !(same_text(u->target, use.target) && u->fn == fn && same_text(u->flop, use.flop) &&
	                    same_text(u->bytes, use.bytes)))
		u++;
	if (u == end) {
		PUSH(r->m->arena, r->uses, r->nuse, r->capuse, use);
		u = &r->uses[r->nuse - 1];
	}
	PUSH(r->m->arena, u->steps, u->n, u->cap, s);
}

static void find_kernels(Report *r, const LModule *lm)
{
	r->nuse = 0;
	for (int p = 0; p < lm->nprog; p++)
		for (const LStmt *s = lm->programs[p]->body.first; s; s = s->next)
			if (s->kind == SStep)
				add_step(r, lm->programs[p], s);
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

static void print_nodes(FILE *f, int n, const Loc *const *nodes)
{
	int shown = 0;
	for (int i = 0; i < n; i++)
		if (nodes[i]->node) {
			fputs(shown++ ? " + " : "", f);
			print_safe(f, nodes[i]->node);
		}
}

static bool is_grouping(const char *pattern)
{
	return !strcmp(pattern, "epilogue") || !strcmp(pattern, "ewise");
}

/* A miss at a node that the same pattern took at another time; of groups a node can join only one, so that one counts. */
static bool is_settled(const Report *r, const Fused *miss)
{
	for (int i = 0; i < r->nfused && miss->why && miss->n; i++) {
		const Fused *x = &r->fused[i];
		bool same = !strcmp(x->pattern, miss->pattern) || (is_grouping(x->pattern) && is_grouping(miss->pattern));
		for (int k = 0; k < x->n && same && !x->why; k++)
			if (!strcmp(x->nodes[k]->node, miss->nodes[0]->node))
				return true;
	}
	return false;
}

static void text_fused(FILE *f, const Report *r)
{
	for (int missed = 0; missed < 2; missed++)
		for (int i = 0; i < r->nfused; i++) {
			const Fused *x = &r->fused[i];
			if ((x->why != NULL) != missed || is_settled(r, x))
				continue;
			fprintf(f, "%-8s %-10s ", missed ? "missed" : "matched", x->pattern);
			print_nodes(f, x->n, x->nodes);
			fprintf(f, "%s%s\n", x->why ? ": " : "", x->why ? x->why : "");
		}
}

static void text_sizes(FILE *f, const Report *r, const LModule *lm)
{
	int64_t v;
	fprintf(f, "\nsizes\n  weights    %lld bytes\n", (long long)lm->weight_bytes);
	if (lm->code_bytes)
		fprintf(f, "  code       %lld bytes\n", (long long)lm->code_bytes);
	fprintf(f, "  workspace  %s", lm->workspace ? formula(r->m, lm->workspace) : "0");
	if (value_of(r->m, lm->workspace, &v) && lm->workspace->op != LConst)
		fprintf(f, " = %lld", (long long)v);
	fputs(" bytes\n", f);
}

static bool same_slot(const Place *a, const Place *b)
{
	return same_text(a->target, b->target) && a->offset == b->offset;
}

/* Is it the first of its slot? */
static bool opens_slot(const Report *r, int i)
{
	for (int k = 0; k < i; k++)
		if (same_slot(&r->places[k], &r->places[i]))
			return false;
	return true;
}

static void text_memory(FILE *f, const Report *r, const LModule *lm)
{
	for (int p = 0; p < lm->nprog && r->nplace; p++) {
		fprintf(f, "\nmemory %s: slots of the workspace, and what each holds from step to step\n", lm->programs[p]->target);
		for (int i = 0; i < r->nplace; i++) {
			const Place *x = &r->places[i];
			if (!same_text(x->target, lm->programs[p]->target) || !opens_slot(r, i))
				continue;
			fprintf(f, "  at %s: %s bytes\n", dim_text(r->m, x->offset), dim_text(r->m, x->bytes));
			for (int k = i; k < r->nplace; k++)
				if (same_slot(&r->places[k], x))
					fprintf(f, "    %5d .. %-5d %s\n", r->places[k].from, r->places[k].to, safe_name(r->m->arena, r->places[k].what));
		}
	}
}

static void text_kernels(FILE *f, const Report *r, const LModule *lm)
{
	for (int p = 0; p < lm->nprog; p++) {
		fprintf(f, "\nkernels %s: calls, estimated ms a call, kernel, FLOP, bytes; ONNX nodes of each call\n",
		        lm->programs[p]->target);
		for (int i = 0; i < r->nuse; i++) {
			const KernelUse *u = &r->uses[i];
			double s;
			if (!same_text(u->target, lm->programs[p]->target))
				continue;
			char ms[32] = "-";
			if (estimate(r->m, u, &s))
				snprintf(ms, sizeof ms, "%.4f", 1e3 * s);
			fprintf(f, "  %4d  %9s  %-20s  %s  %s\n", u->n, ms, u->fn->name, u->flop ? u->flop : "?",
			        u->bytes ? u->bytes : "?");
			for (int k = 0; k < u->n; k++) {
				fputs("                     ", f);
				print_nodes(f, u->steps[k]->nloc, u->steps[k]->locs);
				putc('\n', f);
			}
		}
	}
}

static void text_head(FILE *f, const Report *r)
{
	fprintf(f, "dcc " DCC_VERSION ": model %s\n", r->m->name);
	for (int i = 0; i < r->m->nsym; i++)
		fprintf(f, "symbol %s in %lld..%lld\n", r->m->syms[i]->name, (long long)r->m->syms[i]->lo,
		        (long long)r->m->syms[i]->hi);
	fprintf(f,
	        "Numbers hold at the symbols' upper bounds and one thread; -D SYM=N gives other ones.\n"
	        "Estimates: the larger of FLOP / %g GFLOP/s and bytes / %g GB/s, both assumed.\n\n",
	        AssumedFlops / 1e9, AssumedBytes / 1e9);
}

static void write_report_text(FILE *f, const Report *r, const LModule *lm)
{
	if (lm)
		text_head(f, r);
	text_fused(f, r);
	if (!lm)
		return;
	text_sizes(f, r, lm);
	text_memory(f, r, lm);
	text_kernels(f, r, lm);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void json_key(FILE *f, const char *key, const char *value)
{
	fprintf(f, ", \"%s\": ", key);
	print_json(f, value);
}

static void json_number(FILE *f, const char *key, bool known, int64_t v)
{
	fprintf(f, ", \"%s\": ", key);
	if (known)
		fprintf(f, "%lld", (long long)v);
	else
		fputs("null", f);
}

static void json_nodes(FILE *f, int n, const Loc *const *nodes)
{
	int shown = 0;
	putc('[', f);
	for (int i = 0; i < n; i++)
		if (nodes[i]->node) {
			fputs(shown++ ? ", " : "", f);
			print_json(f, nodes[i]->node);
		}
	putc(']', f);
}

static void json_fused(FILE *f, const Report *r, bool missed)
{
	int shown = 0;
	fprintf(f, ",\n\"%s\": [", missed ? "missed" : "fused");
	for (int i = 0; i < r->nfused; i++) {
		const Fused *x = &r->fused[i];
		if ((x->why != NULL) != missed || is_settled(r, x))
			continue;
		fputs(shown++ ? ",\n  {\"pattern\": " : "\n  {\"pattern\": ", f);
		print_json(f, x->pattern);
		if (missed) {
			json_key(f, "node", x->n ? x->nodes[0]->node : "");
			json_key(f, "why", x->why);
		} else {
			fputs(", \"nodes\": ", f);
			json_nodes(f, x->n, x->nodes);
		}
		putc('}', f);
	}
	putc(']', f);
}

static void json_sizes(FILE *f, const Report *r, const LModule *lm)
{
	int64_t v = 0;
	bool known = !lm->workspace || value_of(r->m, lm->workspace, &v);
	fprintf(f, ",\n\"sizes\": {\"weights_bytes\": %lld", (long long)lm->weight_bytes);
	json_number(f, "code_bytes", lm->code_bytes > 0, lm->code_bytes);
	json_key(f, "workspace", lm->workspace ? formula(r->m, lm->workspace) : "0");
	json_number(f, "workspace_bytes", known, v);
	putc('}', f);
}

static void json_memory(FILE *f, const Report *r)
{
	fputs(",\n\"memory\": [", f);
	for (int i = 0; i < r->nplace; i++) {
		const Place *p = &r->places[i];
		int64_t v;
		fputs(i ? ",\n  {\"target\": " : "\n  {\"target\": ", f);
		print_json(f, p->target);
		json_key(f, "value", p->what);
		fprintf(f, ", \"first_step\": %d, \"last_step\": %d", p->from, p->to);
		json_key(f, "offset", dim_text(r->m, p->offset));
		json_key(f, "size", dim_text(r->m, p->bytes));
		bool known = dim_value(r->m, p->bytes, &v);
		json_number(f, "size_bytes", known, v);
		putc('}', f);
	}
	putc(']', f);
}

static void json_kernel(FILE *f, const Report *r, const KernelUse *u)
{
	int64_t v;
	double seconds;
	fputs("{\"kernel\": ", f);
	print_json(f, u->fn->name);
	json_key(f, "target", u->target);
	fprintf(f, ", \"calls\": %d", u->n);
	json_key(f, "flop_formula", u->flop);
	json_key(f, "bytes_formula", u->bytes);
	bool known = value_of(r->m, u->flop_of, &v);
	json_number(f, "flop", known, v);
	known = value_of(r->m, u->bytes_of, &v);
	json_number(f, "bytes", known, v);
	fputs(", \"estimate_ms\": ", f);
	if (estimate(r->m, u, &seconds))
		fprintf(f, "%.6g", 1e3 * seconds);
	else
		fputs("null", f);
	fputs(", \"nodes\": [", f);
	for (int i = 0; i < u->n; i++) {
		fputs(i ? ", " : "", f);
		json_nodes(f, u->steps[i]->nloc, u->steps[i]->locs);
	}
	fputs("]}", f);
}

static void json_kernels(FILE *f, const Report *r)
{
	fputs(",\n\"kernels\": [", f);
	for (int i = 0; i < r->nuse; i++) {
		fputs(i ? ",\n  " : "\n  ", f);
		json_kernel(f, r, &r->uses[i]);
	}
	putc(']', f);
}

static void write_report_json(FILE *f, const Report *r, const LModule *lm)
{
	fputs("{\"dcc\": \"" DCC_VERSION "\"", f);
	json_key(f, "model", r->m->name);
	fputs(",\n\"symbols\": [", f);
	for (int i = 0; i < r->m->nsym; i++) {
		const Sym *s = r->m->syms[i];
		fputs(i ? ", {\"name\": " : "{\"name\": ", f);
		print_json(f, s->name);
		json_number(f, "lo", true, s->lo);
		json_number(f, "hi", s->hi < DimMax, s->hi);
		putc('}', f);
	}
	fprintf(f, "],\n\"assumed\": {\"gflop_per_s\": %g, \"gbyte_per_s\": %g}", AssumedFlops / 1e9, AssumedBytes / 1e9);
	if (lm)
		json_sizes(f, r, lm);
	json_fused(f, r, false);
	json_fused(f, r, true);
	if (lm) {
		json_memory(f, r);
		json_kernels(f, r);
	}
	fputs("}\n", f);
}

void write_report(Report *r, FILE *f, bool json)
{
	const LModule *lm = r->m->loops;
	if (lm)
		find_kernels(r, lm);
	(json ? write_report_json : write_report_text)(f, r, lm);
}
