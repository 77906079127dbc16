/* report.c - what --report=FILE tells: what was fused, what nearly was and why not, the memory plan, sizes, and the cost
 * of every kernel.
 *
 * Passes add to it while they run; kernels are read off the loop IR when it is written.  Numbers hold at the symbols'
 * upper bounds; where one has none, the formula stands alone.  Estimates are the larger of FLOP and bytes over assumed
 * rates.
 */
#include "report.h"

#include "../ir/lex.h"

#include <stdlib.h>
#include <string.h>

Report *new_report(Module *m, ReportForm form)
{
	Report *r = arena_alloc(m->arena, sizeof *r);
	r->m = m;
	if (form == ReportPage)
		see_imported(r);
	return r;
}

void report_tuned(Report *r, const Tuning *t)
{
	r->tuning = t;
}

/* ---- collecting -------------------------------------------------------------------------------------------------- */

static Report *current(void)
{
	return pass_options() ? pass_options()->report : NULL;
}

bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
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

typedef struct Miss {
	const char *pattern, *why;
	const Loc *loc;
} Miss;

static bool same_miss(const void *item, const void *key)
{
	const Miss *a = item, *b = key;
	return a->loc == b->loc && !strcmp(a->pattern, b->pattern) && !strcmp(a->why, b->why);
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

static uint64_t hash_text(const char *text, uint64_t seed)
{
	return text ? table_hash(text, strlen(text), seed) : seed;
}

/* Passes look again and again: is the miss known already?  Of nodes without a name nobody knows. */
static bool is_known_miss(Report *r, const Miss *miss)
{
	const uint64_t hash = hash_text(miss->why, hash_text(miss->pattern, table_hash(&miss->loc, sizeof miss->loc, 0)));
	if (!miss->loc || !miss->loc->node)
		return false;
	if (table_find(&r->misses, hash, same_miss, miss))
		return true;
	Miss *kept = arena_alloc(r->m->arena, sizeof *kept);
	*kept = *miss;
	table_add(r->m->arena, &r->misses, hash, kept);
	return false;
}

void report_miss(const char *pattern, const Loc *loc, const char *why)
{
	Report *r = current();
	if (!r)
		return;
	const Miss miss = {pattern, arena_strdup(r->m->arena, why), loc};
	if (!is_known_miss(r, &miss))
		add_fused(r, pattern, loc, miss.why);
}

static bool same_room(const void *item, const void *key)
{
	const Room *a = item, *b = key;
	return a->offset == b->offset && same_text(a->target, b->target);
}

void report_place(const char *target, const Dim *offset, const Dim *bytes, const char *what, int from, int to)
{
	Report *r = current();
	if (!r)
		return;
	const Room key = {.target = target, .offset = offset, .bytes = bytes};
	uint64_t hash = hash_text(target, table_hash(&offset, sizeof offset, 0));
	Room *room = table_find(&r->places, hash, same_room, &key);
	if (!room) {
		room = arena_alloc(r->m->arena, sizeof *room);
		*room = key;
		table_add(r->m->arena, &r->places, hash, room);
		PUSH(r->m->arena, r->rooms, r->nroom, r->caproom, room);
	}
	PUSH(r->m->arena, room->held, room->n, room->cap, ((Held){what, from, to}));
}

void report_places_anew(void)
{
	if (!current())
		return;
	current()->nroom = 0;
	current()->places = (Table){0};
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

const char *formula(Module *m, const LExpr *e)
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

bool value_of(const Module *m, const LExpr *e, int64_t *v)
{
	int64_t x, y = 0;
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
	if (!e->a[0] || !value_of(m, e->a[0], &x) || (e->op != LNot && (!e->a[1] || !value_of(m, e->a[1], &y))))
		return false;
	int64_t q = y && !(y == -1 && x == INT64_MIN) ? x / y - (x % y != 0 && (x < 0) != (y < 0)) : 0;
	switch (e->op) {
	case LAdd: return !__builtin_add_overflow(x, y, v);
	case LSub: return !__builtin_sub_overflow(x, y, v);
	case LMul: return !__builtin_mul_overflow(x, y, v);
	case LFloorDiv: *v = q; return true;
	case LMod: *v = y ? (int64_t)((uint64_t)x - (uint64_t)y * (uint64_t)q) : 0; return true;
	case LMin: case LPMin: *v = x < y ? x : y; return true;
	case LMax: case LPMax: *v = x > y ? x : y; return true;
	case LLt: *v = x < y; return true;
	case LNot: *v = !x; return true;
	default: return false;
	}
}

bool dim_value(const Module *m, const Dim *d, int64_t *v)
{
	int64_t his[m->nsym + 1];
	for (int i = 0; i < m->nsym; i++) {
		his[i] = m->syms[i]->hi;
		if (his[i] == DimMax && dim_uses_sym(d, m->syms[i]))
			return false;
	}
	return dim_eval(d, his, v);
}

/* ---- kernels ----------------------------------------------------------------------------------------------------- */

static bool same_use(const void *item, const void *key)
{
	const KernelUse *a = item, *b = key;
	return a->fn == b->fn && same_text(a->target, b->target) && same_text(a->flop, b->flop) && same_text(a->bytes, b->bytes);
}

static void add_step(Report *r, const LFunc *program, const LStmt *s)
{
	const LFunc *fn = step_kernel(s);
	const KernelUse key = {.target = program->target, .fn = fn, .flop_of = s->e, .bytes_of = s->idx,
	                       .flop = formula(r->m, s->e), .bytes = formula(r->m, s->idx)};
	if (!fn)
		return;
	uint64_t hash = hash_text(key.bytes, hash_text(key.flop, hash_text(key.target, table_hash(&fn, sizeof fn, 0))));
	KernelUse *u = table_find(&r->calls, hash, same_use, &key);
	if (!u) {
		u = arena_alloc(r->m->arena, sizeof *u);
		*u = key;
		table_add(r->m->arena, &r->calls, hash, u);
		PUSH(r->m->arena, r->uses, r->nuse, r->capuse, u);
	}
	PUSH(r->m->arena, u->steps, u->n, u->cap, s);
}

/* Of the steps that sizes choose between, those that run at the sizes which the figures are for. */
static void find_kernels(Report *r, const LModule *lm)
{
	for (int p = 0; p < lm->nprog; p++) {
		int step = 0, next = 0;
		int64_t jumps;
		for (const LStmt *s = lm->programs[p]->body.first; s; s = s->next) {
			if (s->kind == SJump && step >= next && s->code > step && value_of(r->m, s->e, &jumps) && jumps)
				next = s->code;
			if (s->kind == SStep && step++ >= next)
				add_step(r, lm->programs[p], s);
		}
	}
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

/* The node, and the pattern; all that make groups are one, since a node can join only one group. */
static const char *node_and_family(const Report *r, const Fused *x, const char *node)
{
	bool group = !strcmp(x->pattern, "epilogue") || !strcmp(x->pattern, "ewise");
	return arena_printf(r->m->arena, "%s %s", group ? "group" : x->pattern, node);
}

static void settle_misses(Report *r)
{
	Map taken = {.arena = r->m->arena};
	for (int i = 0; i < r->nfused; i++)
		for (int k = 0; k < r->fused[i].n && !r->fused[i].why; k++) {
			const char *key = node_and_family(r, &r->fused[i], r->fused[i].nodes[k]->node);
			if (!find_name(&taken, key))
				add_name(&taken, key, r);
		}
	for (int i = 0; i < r->nfused; i++) {
		Fused *x = &r->fused[i];
		x->settled = x->why && x->n && find_name(&taken, node_and_family(r, x, x->nodes[0]->node));
	}
}

void report_ends(Report *r)
{
	settle_misses(r);
	if (r->m->loops)
		find_kernels(r, r->m->loops);
}
