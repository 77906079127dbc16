/* eval_control.c - how the evaluator runs what decides by the data: measure, if and loop. */
#include "eval_env.h"

#include <stdlib.h>
#include <string.h>

/* Gives up the uses that count_block counted. */
static void release_block(Env *env, const Block *b)
{
	for (const Node *n = b->first; n; n = n->next) {
		for (int i = 0; i < n->nin; i++)
			release_use(env, n->in[i]);
		if (n->body)
			release_block(env, n->body);
		if (n->other)
			release_block(env, n->other);
	}
	for (int i = 0; i < b->nyield; i++)
		release_use(env, b->yields[i]);
}

static const char *need_syms(Env *env, const Node *n)
{
	return env->syms ? NULL : arena_printf(env->m->arena, "%s is no constant", where_text(env, n));
}

static bool has_value(const Env *env, const Dim *d)
{
	for (int i = 0; i < env->m->nsym; i++)
		if (!is_given(env->m->syms[i]) && !env->measured[i] && dim_uses_sym(d, env->m->syms[i]))
			return false;
	return true;
}

/* The checks of a block that waited for symbol s. */
static const char *check_measured(Env *env, const Block *b, const Sym *s)
{
	for (int i = 0; i < b->ncheck; i++) {
		const DimCheck *c = &b->checks[i];
		if ((dim_uses_sym(c->a, s) || dim_uses_sym(c->b, s)) && has_value(env, c->a) && has_value(env, c->b))
			TRY(check_holds(env->m, c, env->syms));
	}
	return NULL;
}

/* The checks of a body that runs now, but those that wait for symbols which it defines itself. */
static const char *enter_block(Env *env, const Block *b)
{
	for (int i = 0; i < env->m->nsym; i++)
		if (env->m->syms[i]->def && env->m->syms[i]->def->block == b)
			env->measured[i] = false;
	for (int i = 0; i < b->ncheck; i++)
		if (has_value(env, b->checks[i].a) && has_value(env, b->checks[i].b))
			TRY(check_holds(env->m, &b->checks[i], env->syms));
	return NULL;
}

static const char *assign_sym(Env *env, const Node *n, const Sym *s, int64_t value)
{
	int64_t most = 0;
	TRY(need_syms(env, n));
	if (value < s->lo || value > s->hi)
		return arena_printf(env->m->arena, "%s: %s = %lld is outside %lld..%lld", where_text(env, n), s->name,
		                    (long long)value, (long long)s->lo, (long long)s->hi);
	if (s->most && (!dim_eval(s->most, env->syms, &most) || value > most))
		return arena_printf(env->m->arena, "%s: %s = %lld is above %s = %lld", where_text(env, n), s->name, (long long)value,
		                    dim_text(env->m, s->most), (long long)most);
	env->syms[s->index] = value;
	env->measured[s->index] = true;
	return NULL;
}

/* A symbol gets its value. */
static const char *set_sym(Env *env, const Node *n, const Sym *s, int64_t value)
{
	TRY(assign_sym(env, n, s, value));
	return check_measured(env, n->block, s);
}

static const char *read_int(Env *env, Value *v, int64_t *value)
{
	const Tensor *t = NULL;
	TRY(use_value(env, v, &t));
	if (tensor_numel(t) != 1)
		return arena_printf(env->m->arena, "a value that decides has %lld elements", (long long)tensor_numel(t));
	load_ints(value, t, 0, 1, 1);
	return NULL;
}

const char *run_measure(Env *env, Node *n)
{
	int64_t value = 0;
	TRY(read_int(env, n->in[0], &value));
	TRY(set_sym(env, n, find_sym(env->m, attr_text(n, Attr_sym)), value));
	return copy_value(env, n->in[0], n->out[0]);
}

/* Behind an if or a loop. */
static const char *check_sizes(Env *env, const Node *n)
{
	const Dim *const *sizes;
	int count = node_sizes(n, &sizes);
	for (int i = 0; i < count; i++)
		TRY(check_measured(env, n->block, dim_as_sym(sizes[3 * i])));
	return NULL;
}

/* The symbols of n's sizes get their values of the given number, all at once. */
static const char *set_sizes(Env *env, const Node *n, int which)
{
	const Dim *const *sizes;
	int count = node_sizes(n, &sizes);
	int64_t *values = arena_alloc(env->m->arena, (size_t)count * sizeof *values);
	if (count)
		TRY(need_syms(env, n));
	for (int i = 0; i < count; i++)
		if (!dim_eval(sizes[3 * i + which], env->syms, &values[i]))
			return arena_printf(env->m->arena, "%s: %s cannot be evaluated", where_text(env, n),
			                    dim_text(env->m, sizes[3 * i + which]));
	for (int i = 0; i < count; i++)
		TRY(assign_sym(env, n, dim_as_sym(sizes[3 * i]), values[i]));
	return NULL;
}

const char *run_if(Env *env, Node *n, int depth)
{
	int64_t cond = 0;
	if (depth >= MaxBodyDepth)
		return arena_printf(env->m->arena, "bodies are nested too deeply");
	TRY(read_int(env, n->in[0], &cond));
	Block *taken = cond ? n->body : n->other;
	TRY(enter_block(env, taken));
	TRY(run_block(env, taken, depth + 1));
	TRY(set_sizes(env, n, cond ? 1 : 2));
	TRY(check_sizes(env, n));
	for (int i = 0; i < n->nout; i++) {
		TRY(copy_value(env, taken->yields[i], n->out[i]));
		release_use(env, taken->yields[i]);
	}
	release_block(env, cond ? n->other : n->body);
	return NULL;
}

typedef struct LoopRun {
	Node *n;
	int cond, carried, slices;
	int64_t trips, done; /* at most; so far */
	Tensor *stack; /* one per slice output, of `room` slices */
	int64_t room;
} LoopRun;

/* Slice number r->done of each stacked result. */
static const char *store_slices(Env *env, LoopRun *r)
{
	for (int i = 0; i < r->slices; i++) {
		const Tensor *t = NULL;
		Tensor *all = &r->stack[i];
		TRY(use_value(env, r->n->body->yields[r->cond + r->carried + i], &t));
		size_t bytes = (size_t)tensor_bytes(t);
		if (!r->done)
			*all = *t, all->data = NULL;
		if (all->dtype != t->dtype || all->rank != t->rank || memcmp(all->dims, t->dims, t->rank * sizeof *t->dims))
			return arena_printf(env->m->arena, "%s: slices of different dims", where_text(env, r->n));
		if (r->done + 1 > MaxTensorBytes / (int64_t)(bytes + 1))
			return arena_printf(env->m->arena, "%s: the stacked result is too large", where_text(env, r->n));
		void *data = realloc(all->data, bytes * (size_t)(r->done + 1) + 1);
		if (!data)
			return arena_printf(env->m->arena, "out of memory");
		all->data = data;
		memcpy((char *)data + bytes * (size_t)r->done, t->data, bytes);
	}
	return NULL;
}

/* One iteration; the next values of the carried ones are read before any is replaced. */
static const char *run_iteration(Env *env, LoopRun *r, int64_t *go, int depth)
{
	Block *b = r->n->body;
	Tensor *next = arena_alloc(env->m->arena, (size_t)(r->carried + 1) * sizeof *next);
	const Sym *count = r->cond ? find_sym(env->m, attr_text(r->n, Attr_count)) : NULL;
	if (count && r->done >= count->hi) /* one more is too many */
		TRY(assign_sym(env, r->n, count, r->done + 1));
	TRY(assign_sym(env, r->n, find_sym(env->m, attr_text(r->n, Attr_counter)), r->done));
	TRY(enter_block(env, b));
	if (!count_block(env, b, depth + 1))
		return arena_printf(env->m->arena, "out of memory");
	for (int i = 0; i < b->nparam; i++)
		find_slot(env, b->params[i])->uses++; /* they live as long as the iteration */
	TRY(run_block(env, b, depth + 1));
	if (r->cond)
		TRY(read_int(env, b->yields[0], go));
	TRY(store_slices(env, r));
	for (int i = 0; i < r->carried; i++) {
		const Tensor *t = NULL;
		TRY(use_value(env, b->yields[r->cond + i], &t));
		TRY(copy_tensor(env, t, &next[i]));
	}
	for (int i = 0; i < b->nyield; i++)
		release_use(env, b->yields[i]);
	TRY(set_sizes(env, r->n, 2));
	for (int i = 0; i < r->carried; i++)
		TRY(fill_slot(env, b->params[i], next[i]));
	for (int i = 0; i < b->nparam; i++)
		find_slot(env, b->params[i])->uses--;
	return NULL;
}

static const char *finish_loop(Env *env, LoopRun *r)
{
	Node *n = r->n;
	if (r->cond)
		TRY(set_sym(env, n, find_sym(env->m, attr_text(n, Attr_count)), r->done));
	TRY(check_sizes(env, n));
	for (int i = 0; i < r->carried; i++)
		TRY(copy_value(env, n->body->params[i], n->out[i]));
	for (int i = 0; i < r->slices; i++) {
		Tensor all;
		TRY(eval_type(env, &n->out[r->carried + i]->type, &all));
		if (!r->done && !alloc_data(&r->stack[i]))
			return arena_printf(env->m->arena, "out of memory");
		all.data = r->stack[i].data;
		r->stack[i].data = NULL;
		TRY(fill_slot(env, n->out[r->carried + i], all));
	}
	return NULL;
}

static const char *run_iterations(Env *env, LoopRun *r, int depth)
{
	Node *n = r->n;
	int64_t go = 1;
	TRY(need_syms(env, n));
	if (!dim_eval(attr_dim(env->m, n, Attr_trips), env->syms, &r->trips))
		return arena_printf(env->m->arena, "%s: the number of iterations cannot be evaluated", where_text(env, n));
	if (r->cond)
		TRY(read_int(env, n->in[0], &go));
	TRY(set_sizes(env, n, 1));
	for (int i = 0; i < r->carried; i++) {
		if (!make_slot(env, n->body->params[i]))
			return arena_printf(env->m->arena, "out of memory");
		TRY(copy_value(env, n->in[r->cond + i], n->body->params[i]));
	}
	for (; go && r->done < r->trips; r->done++)
		TRY(run_iteration(env, r, &go, depth));
	return finish_loop(env, r);
}

/* count_block has counted the body once before: that keeps the values around it alive until the end. */
const char *run_loop(Env *env, Node *n, int depth)
{
	LoopRun r = {.n = n, .cond = loop_has_cond(n), .carried = loop_carried(n)};
	r.slices = n->nout - r.carried;
	if (depth >= MaxBodyDepth)
		return arena_printf(env->m->arena, "bodies are nested too deeply");
	r.stack = calloc((size_t)r.slices + 1, sizeof *r.stack);
	const char *wrong = r.stack ? run_iterations(env, &r, depth) : arena_printf(env->m->arena, "out of memory");
	for (int i = 0; i < r.slices && r.stack; i++)
		free(r.stack[i].data);
	free(r.stack);
	if (!wrong)
		release_block(env, n->body);
	for (int i = 0; i < n->body->nparam; i++) {
		Slot *s = find_slot(env, n->body->params[i]);
		if (s)
			empty_slot(s);
	}
	return wrong;
}
