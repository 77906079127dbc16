/* report_page.c - the report as one page of HTML: data as JSON, and the files of passes/page/ that draw it.
 *
 * The graph is of all targets; what each of them runs stands beside the others.  Texts stand once, in the list "strings"; all else refers to
 * them by number, -1 is none.  What could make the page too large for a browser has a limit, which the page tells.
 */
#include "page.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "../runtime/dcc.h"
#include "../runtime/escape.h"

/* ---- strings ----------------------------------------------------------------------------------------------------- */

/* At most so many characters, safe to show. */
static const char *cut_text(Page *p, const char *text, int most)
{
	char out[DccMaxEscaped];
	FILE *f = begin_line(p->line);
	for (; *text && most > 0; most--) {
		text += escape_char(text, out);
		fputs(out, f);
	}
	fputs(*text ? "\xe2\x80\xa6" : "", f);
	return line_text(p->line);
}

/* The last bytes of a name, which tell more than its first ones; at most so many, from the begin of a character on. */
static const char *end_of_name(const char *name, size_t most)
{
	size_t n = strlen(name);
	const char *end = n > most ? name + n - most : name;
	while ((*end & 0xc0) == 0x80)
		end++;
	return end;
}

static int add_string(Page *p, const char *key, const char *before, const char *shown)
{
	Strings *s = &p->strings;
	shown = arena_printf(p->m->arena, "%s%s", before, shown);
	s->bytes += strlen(shown);
	add_name(&s->places, key, number_as(s->n));
	PUSH(p->m->arena, s->text, s->n, s->cap, shown);
	return s->n - 1;
}

int name_number(Page *p, const char *name)
{
	void **found = name ? find_name(&p->strings.places, name) : NULL;
	if (!name || found)
		return name ? as_number(found) : -1;
	bool late = p->strings.bytes >= NameShare;
	p->strings.cut |= late;
	const char *end = late ? end_of_name(name, MaxLateName) : name;
	return add_string(p, name, end > name ? "\xe2\x80\xa6" : "", cut_text(p, end, MaxName));
}

/* A formula that is cut would be another one. */
static int formula_number(Page *p, const char *text)
{
	void **found = text ? find_name(&p->strings.places, text) : NULL;
	if (found)
		return as_number(found);
	return text && strlen(text) <= MaxFormula && p->strings.bytes < NameShare ? add_string(p, text, "", text) : -1;
}

int loc_number(Page *p, const Loc *loc)
{
	return loc ? name_number(p, loc->node) : -1;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

void put_key(Page *p, const char *key)
{
	fprintf(p->f, ",\n\"%s\": ", key);
}

static void put_text(Page *p, const char *key, const char *text)
{
	put_key(p, key);
	print_json(p->f, text ? safe_name(p->m->arena, text) : NULL);
}

void put_number(Page *p, const char *key, bool known, double v)
{
	put_key(p, key);
	if (known)
		fprintf(p->f, "%.17g", v);
	else
		fputs("null", p->f);
}

void next_row(Page *p, int i)
{
	fputs(i ? ",\n" : "\n", p->f);
}

void begin_part(Page *p, const char *key)
{
	put_key(p, key);
	putc('[', p->f);
	p->begin = ftell(p->f);
	p->cut = false;
}

bool has_room(Page *p, long share)
{
	p->cut |= ftell(p->f) - p->begin > share;
	return !p->cut;
}

void end_part(Page *p, const char *key)
{
	putc(']', p->f);
	put_number(p, key, true, p->cut);
}

/* [a, b, c] of the texts that have numbers. */
static void put_names(Page *p, int n, const Loc *const *locs)
{
	int shown = 0;
	putc('[', p->f);
	for (int i = 0; i < n; i++)
		if (locs[i]->node)
			fprintf(p->f, "%s%d", shown++ ? "," : "", name_number(p, locs[i]->node));
	putc(']', p->f);
}

/* ---- fusions, weights -------------------------------------------------------------------------------------------- */

/* [pattern, why not, [ONNX nodes]] */
static void put_fusions(Page *p)
{
	int n = 0, more = 0;
	put_key(p, "fusions");
	putc('[', p->f);
	for (int i = 0; i < p->r->nfused; i++) {
		const Fused *x = &p->r->fused[i];
		more += !x->settled && n >= MaxFusions;
		if (x->settled || n >= MaxFusions)
			continue;
		next_row(p, n++);
		fprintf(p->f, "[%d,%d,", name_number(p, x->pattern), name_number(p, x->why));
		put_names(p, x->n, x->nodes);
		putc(']', p->f);
	}
	putc(']', p->f);
	put_number(p, "more_fusions", true, more);
}

typedef struct Weight {
	const Value *v;
	int64_t bytes;
	int number;
} Weight;

/* Largest first. */
static int compare_weights(const void *a, const void *b)
{
	const Weight *x = a, *y = b;
	return x->bytes != y->bytes ? (x->bytes < y->bytes) - (x->bytes > y->bytes) : x->number - y->number;
}

static Weight *list_weights(const Page *p, int *n)
{
	const LModule *lm = p->m->loops;
	*n = lm ? lm->nweight : p->m->nconst;
	Weight *list = arena_alloc(p->m->arena, ((size_t)*n + 1) * sizeof *list);
	for (int i = 0; i < *n; i++) {
		const Value *v = lm ? lm->weights[i] : p->m->consts[i]->value;
		list[i] = (Weight){v, const_numel(&v->type) * dtypes[v->type.dtype].bytes, i};
	}
	qsort(list, (size_t)*n, sizeof *list, compare_weights);
	return list;
}

/* Of the constant that a weight is, or is computed from by way of first operands. */
static const char *weight_name(const Value *v)
{
	while (v && !v->konst)
		v = v->def && v->def->nin ? v->def->in[0] : NULL;
	return v ? v->konst->name : NULL;
}

static const Loc *weight_user(const Value *v)
{
	for (int i = 0; i < v->nuse; i++)
		if (v->uses[i].node && v->uses[i].node->loc)
			return v->uses[i].node->loc;
	return v->def ? v->def->loc : NULL;
}

/* [name, how it is made or nothing, type, bytes, ONNX node that uses it] */
static void put_weights(Page *p)
{
	int n, more = 0;
	double more_bytes = 0;
	const Weight *list = list_weights(p, &n);
	put_key(p, "weights");
	putc('[', p->f);
	for (int i = 0; i < n; i++) {
		const Value *v = list[i].v;
		if (i >= MaxWeights) {
			more++;
			more_bytes += (double)list[i].bytes;
			continue;
		}
		next_row(p, i);
		fprintf(p->f, "[%d,%d,%d,%lld,%d]", name_number(p, weight_name(v)), v->def ? name_number(p, ops[v->def->op].text) : -1,
		        name_number(p, type_text(p->m, &v->type)), (long long)list[i].bytes, loc_number(p, weight_user(v)));
	}
	putc(']', p->f);
	put_number(p, "more_weights", true, more);
	put_number(p, "more_weight_bytes", true, more_bytes);
}

/* ---- what runs --------------------------------------------------------------------------------------------------- */

static const LStmt *step_at(const LStmt *s)
{
	while (s && s->kind != SStep)
		s = s->next;
	return s;
}

static bool same_work(Page *p, const LStmt *a, const LStmt *b)
{
	return same_text(formula(p->m, a->e), formula(p->m, b->e)) && same_text(formula(p->m, a->idx), formula(p->m, b->idx)) &&
	       a->nloc == b->nloc && (!a->nloc || !memcmp(a->locs, b->locs, (size_t)a->nloc * sizeof *a->locs));
}

/* [kernel, FLOP, bytes, [ONNX nodes]], or [kernel] if the rest is that of the first program's step.  At most so many; how many they are. */
static int put_steps(Page *p, const LFunc *program, int most)
{
	const LFunc *first = p->m->loops->programs[0];
	const LStmt *twin = program == first ? NULL : step_at(first->body.first);
	int n = 0;
	begin_part(p, "steps");
	for (const LStmt *s = step_at(program->body.first); s && has_room(p, StepShare); s = step_at(s->next)) {
		const LFunc *fn = step_kernel(s);
		p->cut |= n == most;
		if (p->cut)
			break;
		next_row(p, n++);
		fprintf(p->f, "[%d", name_number(p, fn ? fn->name : NULL));
		if (!twin || !same_work(p, s, twin)) {
			fprintf(p->f, ",%d,%d,", formula_number(p, formula(p->m, s->e)), formula_number(p, formula(p->m, s->idx)));
			put_names(p, s->nloc, s->locs);
		}
		putc(']', p->f);
		twin = twin ? step_at(twin->next) : NULL;
	}
	end_part(p, "steps_cut");
	return n;
}

/* [offset, bytes, [[what, first step, last step], ...]] */
static void put_rooms(Page *p, const LFunc *program)
{
	int n = 0;
	begin_part(p, "slots");
	for (int i = 0; i < p->r->nroom && has_room(p, SlotShare / p->m->loops->nprog); i++) {
		const Room *x = p->r->rooms[i];
		if (!same_text(x->target, program->target))
			continue;
		next_row(p, n++);
		fprintf(p->f, "[%d,%d,[", formula_number(p, dim_text(p->m, x->offset)), formula_number(p, dim_text(p->m, x->bytes)));
		for (int k = 0; k < x->n && has_room(p, SlotShare / p->m->loops->nprog); k++)
			fprintf(p->f, "%s[%d,%d,%d]", k ? "," : "", name_number(p, x->held[k].what), x->held[k].from, x->held[k].to);
		fputs("]]", p->f);
	}
	end_part(p, "slots_cut");
}

/* [kernel, bytes of its code] */
static void put_code(Page *p, const LFunc *program)
{
	const LModule *lm = p->m->loops;
	int n = 0;
	begin_part(p, "code");
	for (int i = 0; lm->code && i < lm->nfunc && has_room(p, StepShare); i++) {
		const LFunc *fn = lm->funcs[i];
		void **bytes = serves(fn, program->target) ? find_name(lm->code, emitted_name(p->m->arena, fn, program->target)) : NULL;
		if (!bytes)
			continue;
		fprintf(p->f, "%s[%d,%lld]", n++ ? "," : "", name_number(p, fn->name), (long long)(intptr_t)*bytes);
	}
	end_part(p, "code_cut");
}

/* What each target runs: its steps, their slots, the size of its code. */
static void put_programs(Page *p)
{
	const LModule *lm = p->m->loops;
	int most = INT_MAX; /* steps: those that the first program has here */
	put_key(p, "programs");
	putc('[', p->f);
	for (int i = 0; lm && i < lm->nprog; i++) {
		next_row(p, i);
		fputs("{\"target\": ", p->f);
		print_json(p->f, lm->programs[i]->target);
		int n = put_steps(p, lm->programs[i], most);
		most = i ? most : n;
		put_rooms(p, lm->programs[i]);
		put_code(p, lm->programs[i]);
		putc('}', p->f);
	}
	putc(']', p->f);
}

static void put_profile(Page *p)
{
	const Profile *x = p->r->profile;
	put_key(p, "profile");
	if (!x) {
		fputs("null", p->f);
		return;
	}
	fputs("{\"target\": ", p->f);
	print_json(p->f, x->target);
	fprintf(p->f, ", \"threads\": %.17g, \"runs\": %.17g, \"steps_ms\": %.9g, \"run_ms\": %.9g, \"gflop_per_s\": %.9g, \"gbyte_per_s\": %.9g",
	        x->threads, x->runs, x->steps_ms, x->run_ms, x->gflop_per_s, x->gbyte_per_s);
	put_key(p, "symbols");
	putc('{', p->f);
	for (int i = 0; i < x->symbols->n; i++) {
		fputs(i ? ", " : "", p->f);
		print_json(p->f, safe_name(p->m->arena, x->symbols->keys[i]));
		fprintf(p->f, ": %.17g", x->symbols->items[i]->number);
	}
	putc('}', p->f);
	begin_part(p, "steps"); /* [ms, calls, FLOP, bytes] */
	for (int i = 0; i < x->n && has_room(p, StepShare); i++) {
		next_row(p, i);
		fprintf(p->f, "[%.6g,%.17g,%.17g,%.17g]", x->steps[i].ms, x->steps[i].calls, x->steps[i].flop, x->steps[i].bytes);
	}
	fputs("]}", p->f);
}

/* ---- texts ------------------------------------------------------------------------------------------------------- */

/* A stream that keeps its first bytes, until the next one begins. */
typedef struct Capped {
	char *text;
	size_t n, most;
	bool cut;
} Capped;

static ssize_t keep_first(void *ctx, const char *bytes, size_t n)
{
	Capped *c = ctx;
	size_t room = c->most - c->n, kept = n < room ? n : room;
	memcpy(c->text + c->n, bytes, kept);
	c->n += kept;
	c->cut |= kept < n;
	return (ssize_t)n;
}

static FILE *open_capped(Page *p, Capped *c, size_t most)
{
	p->room = p->room ? p->room : arena_alloc(p->m->arena, TextShare + 1);
	*c = (Capped){.text = p->room, .most = most};
	FILE *f = fopencookie(c, "w", (cookie_io_functions_t){.write = keep_first});
	if (!f)
		refuse_at(NULL, "out of memory");
	return f;
}

/* Whole lines. */
static const char *capped_text(Capped *c)
{
	while (c->cut && c->n && c->text[c->n - 1] != '\n')
		c->n--;
	c->text[c->n] = 0;
	return c->text;
}

static void put_ir(Page *p)
{
	Capped c;
	FILE *f = open_capped(p, &c, TextShare);
	print_main(f, p->m);
	fclose(f);
	put_key(p, "ir");
	print_json(p->f, capped_text(&c));
	put_number(p, "ir_cut", true, c.cut);
}

/* Those of each target, and with the first those of all, until there is no more room for one. */
static void put_kernels(Page *p)
{
	const LModule *lm = p->m->loops;
	int shown = 0, more = 0;
	put_key(p, "kernels");
	putc('[', p->f);
	for (int t = 0; lm && t < lm->nprog; t++) {
		size_t room = TextShare;
		for (int i = 0; i < lm->nfunc; i++) {
			Capped c;
			const LFunc *fn = lm->funcs[i];
			if (!serves(fn, lm->programs[t]->target) || (t && !fn->target))
				continue;
			FILE *f = open_capped(p, &c, room);
			print_lfunc(f, fn);
			fclose(f);
			more += c.cut;
			if (c.cut)
				continue;
			room -= c.n;
			next_row(p, shown++);
			fprintf(p->f, "[%d,", name_number(p, fn->name));
			print_json(p->f, capped_text(&c));
			putc(']', p->f);
		}
	}
	putc(']', p->f);
	put_number(p, "more_kernels", true, more);
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

static void put_symbols(Page *p)
{
	put_key(p, "symbols"); /* [name, least, most, do the inputs give it] */
	putc('[', p->f);
	for (int i = 0; i < p->m->nsym; i++) {
		const Sym *s = p->m->syms[i];
		next_row(p, i);
		fprintf(p->f, "[%d,%lld,", name_number(p, s->name), (long long)s->lo);
		fprintf(p->f, s->hi < DimMax ? "%lld" : "null", (long long)s->hi);
		fprintf(p->f, ",%s]", is_given(s) ? "true" : "false");
	}
	putc(']', p->f);
}

static void put_head(Page *p)
{
	const LModule *lm = p->m->loops;
	int64_t v = 0;
	fputs("{\"dcc\": \"" DCC_VERSION "\"", p->f);
	put_text(p, "model", p->m->name);
	put_text(p, "stage", p->m->stage);
	put_key(p, "hash");
	fprintf(p->f, "\"%016llx\"", (unsigned long long)p->m->model_hash);
	put_number(p, "assumed_gflop_per_s", true, AssumedFlops / 1e9);
	put_number(p, "assumed_gbyte_per_s", true, AssumedBytes / 1e9);
	put_number(p, "weight_bytes", true, lm ? (double)lm->weight_bytes : (double)p->m->const_bytes);
	put_number(p, "code_bytes", lm && lm->code_bytes, lm ? (double)lm->code_bytes : 0);
	put_key(p, "workspace");
	fprintf(p->f, "%d", lm ? formula_number(p, lm->workspace ? formula(p->m, lm->workspace) : "0") : -1);
	put_number(p, "workspace_bytes", lm && (!lm->workspace || value_of(p->m, lm->workspace, &v)), (double)v);
	put_number(p, "most_text", true, TextShare);
}

static void put_strings(Page *p)
{
	put_number(p, "names_cut", true, p->strings.cut);
	put_key(p, "strings");
	putc('[', p->f);
	for (int i = 0; i < p->strings.n; i++) {
		fputs(i ? "," : "", p->f);
		print_json(p->f, p->strings.text[i]);
	}
	putc(']', p->f);
}

static void put_data(FILE *f, const Report *r)
{
	Page p = {.f = f, .r = r, .m = r->m, .line = new_line(),
	          .strings.places.arena = r->m->arena, .ids.arena = r->m->arena};

	put_head(&p);
	put_symbols(&p);
	put_operators(&p);
	put_ir(&p); /* numbers the values */
	put_graph(&p);
	put_onnx(&p);
	put_fusions(&p);
	put_weights(&p);
	put_programs(&p);
	put_kernels(&p);
	put_profile(&p);
	put_strings(&p);
	fputs("}\n", f);
	free_line(p.line);
}

void write_page(const Report *r, FILE *f)
{
	fwrite(page_front, 1, (size_t)(page_front_end - page_front), f);
	put_data(f, r);
	fwrite(page_back, 1, (size_t)(page_back_end - page_back), f);
}
