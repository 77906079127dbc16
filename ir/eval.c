/* eval.c - runs the tensor IR: binds symbols, walks nodes in order, frees each tensor after its last use.
 *
 * Values live in a hash table of slots, so that an evaluation may run inside any pass without touching its scratch.
 * A slot counts the uses that are still to come; parameters and constants alias the caller's memory or the module's,
 * unless that is not aligned to the element.  eval_env.h lists the engine's files, eval.h those in which the operators are.
 */
#include "eval_env.h"

#include <stdlib.h>
#include <string.h>

/* ---- running ---------------------------------------------------------------------------------------------------- */

const char *where_text(Env *env, const Node *n)
{
	const char *op = ops[n->op].text;
	if (n->loc && n->loc->node)
		return arena_printf(env->m->arena, "%s (node '%s')", op, n->loc->node);
	if (n->loc && n->loc->line)
		return arena_printf(env->m->arena, "%s (line %d)", op, n->loc->line);
	return op;
}

const char *eval_fail(EvalNode *e, const char *fmt, ...)
{
	char text[512];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	Env env = {.m = e->m};
	return arena_printf(e->m->arena, "%s: %s", where_text(&env, e->n), text);
}

/* The operands' tensors; NULL for those that are absent. */
static const char *find_operands(Env *env, const Node *n, const Tensor **in)
{
	for (int i = 0; i < n->nin; i++) {
		const Tensor *t = NULL;
		in[i] = NULL;
		if (n->in[i])
			TRY(use_value(env, n->in[i], &t));
	}
	/* slots move while they are made: only now are their addresses final */
	for (int i = 0; i < n->nin; i++)
		if (n->in[i])
			in[i] = &find_slot(env, n->in[i])->tensor;
	return NULL;
}

static const char *run_simple(Env *env, Node *n, const Tensor **in, Tensor *out)
{
	TRY(find_operands(env, n, in));
	EvalNode e = {.m = env->m, .n = n, .syms = env->syms, .in = in, .out = out};
	const char *wrong = eval_type(env, &n->out[0]->type, out);
	if (wrong)
		return eval_fail(&e, "%s", wrong);
	if (!alloc_data(out))
		return eval_fail(&e, "out of memory");
	wrong = eval_node(&e);
	for (int i = 0; i < e.ntemps; i++)
		free(e.temps[i]);
	return wrong;
}

/* A copy of what `from` holds becomes the value of `to`. */
const char *copy_value(Env *env, Value *from, const Value *to)
{
	const Tensor *t = NULL;
	Tensor copy = {0};
	TRY(use_value(env, from, &t));
	TRY(copy_tensor(env, t, &copy));
	return fill_slot(env, to, copy);
}

static const char *run_group(Env *env, Node *n, int depth)
{
	if (depth >= MaxBodyDepth)
		return arena_printf(env->m->arena, "groups are nested too deeply");
	if (!n->body || n->body->nyield != n->nout)
		return arena_printf(env->m->arena, "a group yields %d values for %d results",
		                    n->body ? n->body->nyield : 0, n->nout);
	TRY(run_block(env, n->body, depth + 1));
	for (int i = 0; i < n->nout; i++) {
		TRY(copy_value(env, n->body->yields[i], n->out[i]));
		release_use(env, n->body->yields[i]);
	}
	return NULL;
}

static const char *run_one(Env *env, Node *n)
{
	Tensor out = {0};
	const Tensor *few[MaxIn], **in = n->nin <= MaxIn ? few : malloc(n->nin * sizeof *in);
	const char *wrong = in ? run_simple(env, n, in, &out) : arena_printf(env->m->arena, "out of memory");
	if (in != few)
		free(in);
	if (wrong)
		free_tensor(&out);
	return wrong ? wrong : fill_slot(env, n->out[0], out);
}

const char *(*eval_custom)(Arena *, const char *symbol, const char *node, int nin, const Tensor *in, int nout, Tensor *out);

static const char *call_custom(Env *env, Node *n, const Tensor *in, Tensor *out)
{
	const char *symbol = attr_text(n, Attr_symbol);
	EvalNode e = {.m = env->m, .n = n};
	if (!eval_custom)
		return eval_fail(&e, "the function '%s' is not part of this program", symbol);
	for (int i = 0; i < n->nout; i++) {
		const char *wrong = eval_type(env, &n->out[i]->type, &out[i]);
		if (wrong || !alloc_data(&out[i]))
			return eval_fail(&e, "%s", wrong ? wrong : "out of memory");
	}
	const char *wrong = eval_custom(env->m->arena, symbol, n->loc ? n->loc->node : NULL, n->nin, in, n->nout, out);
	return wrong ? eval_fail(&e, "%s", wrong) : NULL;
}

static const char *run_custom(Env *env, Node *n)
{
	Arena *a = env->m->arena;
	const Tensor **from = arena_alloc(a, (size_t)n->nin * sizeof *from);
	Tensor *in = arena_alloc(a, (size_t)n->nin * sizeof *in), *out = arena_alloc(a, (size_t)n->nout * sizeof *out);
	TRY(find_operands(env, n, from));
	for (int i = 0; i < n->nin; i++)
		in[i] = *from[i];
	const char *wrong = call_custom(env, n, in, out);
	for (int i = 0; i < n->nout && wrong; i++)
		free_tensor(&out[i]);
	for (int i = 0; i < n->nout && !wrong; i++)
		wrong = fill_slot(env, n->out[i], out[i]);
	return wrong;
}

const char *run_node(Env *env, Node *n, int depth)
{
	if (n->op == OpGroup)
		TRY(run_group(env, n, depth));
	else if (n->op == OpIf)
		TRY(run_if(env, n, depth));
	else if (n->op == OpLoop)
		TRY(run_loop(env, n, depth));
	else if (n->op == OpMeasure)
		TRY(run_measure(env, n));
	else if (n->op == OpCustom)
		TRY(run_custom(env, n));
	else
		TRY(run_one(env, n));
	for (int i = 0; i < n->nout; i++) {
		Slot *s = find_slot(env, n->out[i]);
		if (depth == 0 && env->visit)
			env->visit(env->ctx, n->out[i], &s->tensor);
		if (s->uses <= 0)
			empty_slot(s);
	}
	for (int i = 0; i < n->nin; i++)
		release_use(env, n->in[i]);
	return NULL;
}

const char *run_block(Env *env, Block *b, int depth)
{
	for (Node *n = b->first; n; n = n->next)
		TRY(run_node(env, n, depth));
	return NULL;
}

/* Moves or copies a value's tensor into *out. */
const char *take_tensor(Env *env, Value *v, Tensor *out)
{
	const Tensor *t = NULL;
	TRY(use_value(env, v, &t));
	Slot *s = find_slot(env, v);
	if (s->uses > 1 || !s->owned) {
		TRY(copy_tensor(env, t, out));
	} else {
		*out = s->tensor;
		s->owned = false;
	}
	release_use(env, v);
	return NULL;
}

/* ---- whole functions -------------------------------------------------------------------------------------------- */

static const char *run_main(Env *env, const Tensor *inputs, int64_t *syms, Tensor *outputs)
{
	Func *f = env->m->main;
	TRY(bind_syms(env->m, inputs, syms));
	env->syms = syms;
	if (!count_block(env, &f->body, 0))
		return arena_printf(env->m->arena, "out of memory");
	for (int i = 0; i < f->nparam; i++) {
		Tensor t;
		Slot *s = make_slot(env, f->params[i]);
		if (!s)
			return arena_printf(env->m->arena, "out of memory");
		TRY(eval_type(env, &f->params[i]->type, &t));
		t.data = inputs[i].data;
		if (!t.data && tensor_bytes(&t))
			return arena_printf(env->m->arena, "%s has no data", param_text(env->m, i));
		TRY(fill_alias(env, s, &t));
	}
	TRY(run_block(env, &f->body, 0));
	for (int i = 0; i < f->body.nyield; i++)
		TRY(take_tensor(env, f->body.yields[i], &outputs[i]));
	return NULL;
}

const char *eval_visit(Module *m, const Tensor *inputs, Tensor *outputs, void (*visit)(void *, Value *, const Tensor *),
                       void *ctx)
{
	Env env = {.m = m, .visit = visit, .ctx = ctx};
	int nout = m->main->body.nyield;
	int64_t *syms = calloc(m->nsym + 1, sizeof *syms);
	env.measured = calloc(m->nsym + 1, sizeof *env.measured);
	memset(outputs, 0, nout * sizeof *outputs);
	const char *wrong = syms && env.measured ? run_main(&env, inputs, syms, outputs) : arena_printf(m->arena, "out of memory");
	for (int i = 0; i < nout && wrong; i++)
		free_tensor(&outputs[i]);
	free_env(&env);
	free(syms);
	free(env.measured);
	return wrong;
}

const char *eval_module(Module *m, const Tensor *inputs, Tensor *outputs)
{
	return eval_visit(m, inputs, outputs, NULL, NULL);
}
