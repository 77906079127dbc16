/* profile_data.c - what dcc-run --profile=FILE has measured, read for the page of a report. */
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double number_of(const Loc *at, const Json *object, const char *key)
{
	const Json *v = json_member(object, key, JsonNumber);
	if (!v || !(v->number >= 0) || isinf(v->number))
		fatal_at(at, "is no profile of dcc-run: '%s' is no number from 0 on", key);
	return v->number;
}

static const char *text_of(const Loc *at, const Json *object, const char *key)
{
	const Json *v = json_member(object, key, JsonString);
	if (!v)
		fatal_at(at, "is no profile of dcc-run: '%s' is no text", key);
	return v->text;
}

static MeasuredStep step_of(const Loc *at, const Json *v)
{
	return (MeasuredStep){.kernel = text_of(at, v, "kernel"), .ms = number_of(at, v, "ms"), .calls = number_of(at, v, "calls"),
	                      .flop = number_of(at, v, "flop"), .bytes = number_of(at, v, "bytes")};
}

const Profile *read_profile(Arena *arena, const char *path)
{
	const Loc at = {.file = path};
	const Json *v = read_json(arena, path), *steps = json_member(v, "steps", JsonArray);
	Profile *p = arena_alloc(arena, sizeof *p);

	if (number_of(&at, v, "dcc_profile") != 1)
		fatal_at(&at, "is a profile of another version of dcc-run");
	*p = (Profile){.path = path, .hash = text_of(&at, v, "hash"), .target = text_of(&at, v, "target"),
	               .threads = number_of(&at, v, "threads"), .runs = number_of(&at, v, "runs"), .steps_ms = number_of(&at, v, "steps_ms"),
	               .run_ms = number_of(&at, v, "run_ms"), .gflop_per_s = number_of(&at, v, "gflop_per_s"),
	               .gbyte_per_s = number_of(&at, v, "gbyte_per_s"), .symbols = json_member(v, "symbols", JsonObject)};
	if (!steps || !p->symbols)
		fatal_at(&at, "is no profile of dcc-run: it has no steps and symbols");
	for (int i = 0; i < p->symbols->n; i++)
		number_of(&at, p->symbols, p->symbols->keys[i]);
	p->steps = arena_alloc(arena, ((size_t)steps->n + 1) * sizeof *p->steps);
	for (; p->n < steps->n; p->n++)
		p->steps[p->n] = step_of(&at, steps->items[p->n]);
	return p;
}

/* ---- does it belong to the model? -------------------------------------------------------------------------------- */

static const LFunc *find_program(const LModule *lm, const char *target)
{
	for (int i = 0; i < lm->nprog; i++)
		if (!strcmp(lm->programs[i]->target, target))
			return lm->programs[i];
	return NULL;
}

/* As objects call the kernel. */
static bool is_kernel(Arena *a, const LFunc *fn, const char *target, const char *name)
{
	return fn && !strcmp(name, fn->target ? fn->name : arena_printf(a, "%s.%s", fn->name, target));
}

void report_measured(Report *r, const Profile *p)
{
	const Loc at = {.file = p->path};
	const LModule *lm = r->m->loops;
	char *end;
	int n = 0;

	if (strtoull(p->hash, &end, 16) != r->m->model_hash || *end)
		fatal_at(&at, "is a profile of another model: its hash is %s, that of the model is %016llx", p->hash,
		         (unsigned long long)r->m->model_hash);
	const LFunc *program = lm ? find_program(lm, p->target) : NULL;
	if (!program)
		fatal_at(&at, "is a profile of code for %s, for which no code is made here", p->target);
	for (const LStmt *s = program->body.first; s; s = s->next) {
		if (s->kind != SStep)
			continue;
		if (n >= p->n || !is_kernel(r->m->arena, step_kernel(s), p->target, p->steps[n].kernel))
			fatal_at(&at, "is a profile of the model compiled with other options (-D, --state, --no-fuse, ...): its step %d is %s", n,
			         n < p->n ? p->steps[n].kernel : "missing");
		n++;
	}
	if (n != p->n)
		fatal_at(&at, "is a profile of the model compiled with other options (-D, --state, --no-fuse, ...): it has %d steps instead of %d",
		         p->n, n);
	r->profile = p;
}
