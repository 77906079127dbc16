/* loop_verify.c - the rules of the loop IR (ir.md): types, scopes, who may write what, what may stand where.
 *
 * Two walks.  The first checks every statement once (loop_verify_stmt.c).  The second walks kernels that use tiles the way the
 * emitter does, with unrolled loops unrolled and constant conditions decided, and checks that every tile index is a constant
 * in range (loop_verify_tiles.c).  Functions are checked in order, so callees have been checked before; both walks recurse only
 * as deep as the IR nests.
 */
#include "loop_verify.h"

#include <stdlib.h>
#include <string.h>

enum { WeightAlign = 64 };

void fail_rule(Verifier *v, const char *fmt, ...)
{
	va_list ap;
	char text[400];
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	const char *where = v->part;
	if (v->fn)
		where = arena_printf(v->arena, "%s @%s", v->fn->program ? "program" : "kernel", v->fn->name);
	if (v->stmt)
		v->message = arena_printf(v->lm->m->arena, "%s: '%s': %s", where, lstmt_text(v->arena, v->stmt), text);
	else
		v->message = arena_printf(v->lm->m->arena, "%s: %s", where, text);
	longjmp(v->leave, 1);
}

void fail_if(Verifier *v, const char *why)
{
	if (why)
		fail_rule(v, "%s", why);
}

void open_name(Verifier *v, const void *thing, const char *name)
{
	if (find_ptr(&v->scope, thing))
		fail_rule(v, "%%%s is defined twice", name);
	add_ptr(&v->scope, thing, v);
	PUSH(v->arena, v->open, v->nopen, v->capopen, thing);
}

void close_names(Verifier *v, int first)
{
	for (int i = first; i < v->nopen; i++)
		add_ptr(&v->scope, v->open[i], NULL);
	v->nopen = first;
}

void need_visible(Verifier *v, const void *thing, const char *name)
{
	void **found = find_ptr(&v->scope, thing);
	if (!found || !*found)
		fail_rule(v, "%%%s is not visible here", name);
}

static bool is_sym(const Verifier *v, const LVar *var)
{
	for (int i = 0; i < v->nsyms; i++)
		if (v->lm->syms[i] == var)
			return true;
	return false;
}

static void check_dim_query(Verifier *v, const LExpr *e)
{
	const Func *f = v->lm->m->main;
	bool in = e->op != LOutDim;
	int64_t t = e->a[0]->value.i, d = e->a[1]->value.i;
	if (in ? !v->may_indim : !v->may_outdim)
		fail_rule(v, "%s is not available here", lops[e->op].text);
	if (t < 0 || t >= (in ? f->nparam : f->body.nyield))
		fail_rule(v, "%s of tensor %lld: there is none", lops[e->op].text, (long long)t);
	const Value *value = in ? f->params[t] : f->body.yields[t];
	if (e->op == LInData) {
		bool ints = may_be_dims(value->type.dtype);
		int64_t numel;
		if (!ints || !dim_is_const(type_numel(v->lm->m, &value->type), &numel) || d < 0 || d >= numel)
			fail_rule(v, "indata: input %lld has no integer element %lld", (long long)t, (long long)d);
		return;
	}
	if (e->op == LInScaled) {
		if (!may_scale(value, d))
			fail_rule(v, "inscaled: input %lld has no element %lld of f32 or f64", (long long)t, (long long)d);
		return;
	}
	if (d < 0 || d >= value->type.rank)
		fail_rule(v, "%s: tensor %lld has no dim %lld", lops[e->op].text, (long long)t, (long long)d);
}

void check_lexpr(Verifier *v, const LExpr *e)
{
	if (!e)
		return;
	for (int i = 0; i < 3; i++)
		check_lexpr(v, e->a[i]);
	check_lexpr(v, e->stride);
	check_lexpr(v, e->mask);
	fail_if(v, lexpr_error(v->arena, e));
	if (e->op == LRef && !is_sym(v, e->var))
		need_visible(v, e->var, e->var->name);
	if (e->op == LLoad)
		need_visible(v, e->buf, e->buf->name);
	if (e->op == LElem)
		need_visible(v, e->tile, e->tile->name);
	if (asks_port(e->op))
		check_dim_query(v, e);
	if ((e->op == LFailed || e->op == LWorker) && v->fn->program)
		fail_rule(v, "%s stands in kernels only", lops[e->op].text);
}

void check_typed(Verifier *v, const char *what, const LExpr *e, LType want)
{
	check_lexpr(v, e);
	fail_if(v, expect_ltype(v->arena, what, e, want));
}

/* ---- functions and the module's parts --------------------------------------------------------------------------- */

static bool numbered(const char *name, const char *prefix, int count, int *number)
{
	size_t n = strlen(prefix);
	char *end;
	if (strncmp(name, prefix, n) || name[n] < '0' || name[n] > '9')
		return false;
	long i = strtol(name + n, &end, 10);
	*number = (int)i;
	return !*end && i < count;
}

static void check_program_buf(Verifier *v, const LBuf *buf)
{
	const Func *f = v->lm->m->main;
	int i;
	DType want;
	if (!strcmp(buf->name, "ws") || !strcmp(buf->name, "weights"))
		want = U8;
	else if (numbered(buf->name, "in", f->nparam, &i))
		want = f->params[i]->type.dtype;
	else if (numbered(buf->name, "out", f->body.nyield, &i))
		want = f->body.yields[i]->type.dtype;
	else
		fail_rule(v, "%%%s: a program's buffers are in0.., out0.., ws and weights", buf->name);
	want = is_packed(want) ? U8 : want;
	if (buf->elem != want)
		fail_rule(v, "%%%s has elements of %s, expected %s", buf->name, dtypes[buf->elem].text, dtypes[want].text);
	bool state = numbered(buf->name, "in", f->nparam, &i) && state_append(f->params[i]);
	if (buf->written && is_input_of_program(buf) && !state)
		fail_rule(v, "%%%s may not be mut", buf->name);
}

/* By name: the symbols' variables are bound by name. */
static void check_program_scalar(Verifier *v, const LVar *var)
{
	for (int i = 0; i < v->lm->nsym; i++) {
		if (strcmp(v->lm->syms[i]->name, var->name))
			continue;
		if (v->lm->syms[i] != var)
			open_name(v, var, var->name);
		return;
	}
	fail_rule(v, "%%%s: a program's scalars are the symbols and threads", var->name);
}

static void check_params(Verifier *v)
{
	const LFunc *fn = v->fn;
	for (int i = 0; i < fn->nparam; i++) {
		const LArg *p = &fn->params[i];
		if (p->buf) {
			open_name(v, p->buf, p->buf->name);
			if (fn->program)
				check_program_buf(v, p->buf);
		} else if (!p->e || p->e->op != LRef || !same_ltype(p->e->type, IndexType)) {
			fail_rule(v, "parameter %d is neither a buffer nor an i64", i + 1);
		} else if (fn->program) {
			check_program_scalar(v, p->e->var);
		} else {
			open_name(v, p->e->var, p->e->var->name);
		}
	}
}

static void check_top_of_program(Verifier *v)
{
	for (const LStmt *s = v->fn->body.first; s; s = s->next) {
		v->stmt = s;
		if (s->kind != SStep && s->kind != SLet && s->kind != SJump)
			fail_rule(v, "only let, step and jump stand at the top of a program");
	}
	v->stmt = NULL;
}

static void check_function(Verifier *v, const LFunc *fn, int number, Map *names)
{
	v->fn = fn;
	v->stmt = NULL;
	v->scope = (Map){.arena = v->arena};
	v->folds = (Map){.arena = v->arena};
	v->nopen = 0;
	v->local_bytes = v->work = 0;
	v->has_tiles = v->in_parallel = v->in_step = false;
	v->nsyms = fn->program ? v->lm->nsym : 0;
	v->may_indim = v->may_outdim = fn->program;
	v->facts = arena_alloc(v->arena, sizeof *v->facts);
	v->facts->number = number;
	if (find_name(names, fn->name))
		fail_rule(v, "the name is not unique");
	add_name(names, fn->name, NULL);
	check_params(v);
	if (fn->program)
		check_top_of_program(v);
	check_lblock(v, &fn->body);
	if (v->has_tiles)
		check_tiles(v, &fn->body);
	v->stmt = NULL;
	if (!fn->program)
		add_ptr(&v->funcs, fn, v->facts);
}

/* Returns where the weight ends. */
static int64_t check_weight(Verifier *v, int i, int64_t from)
{
	const Value *w = v->lm->weights[i];
	int64_t bytes = dtypes[w->type.dtype].bytes, extent, end;
	if (!is_const(w))
		fail_rule(v, "weight %d is not a constant", i);
	for (int d = 0; d < w->type.rank; d++)
		if (!dim_is_const(w->type.dims[d], &extent) || extent < 0 ||
		    __builtin_mul_overflow(bytes, extent, &bytes))
			fail_rule(v, "weight %d has no constant shape", i);
	int64_t off = v->lm->weight_off[i];
	if (off < from || off % WeightAlign || __builtin_add_overflow(off, bytes, &end) || end > v->lm->weight_bytes)
		fail_rule(v, "weight %d at %lld: weights are ascending multiples of %d that end within %lld bytes", i,
		     (long long)off, WeightAlign, (long long)v->lm->weight_bytes);
	return end;
}

static void check_weights(Verifier *v)
{
	int64_t end = 0;
	for (int i = 0; i < v->lm->nweight; i++)
		end = check_weight(v, i, end);
	if (v->lm->weight_bytes < 0 || v->lm->weight_bytes - end >= WeightAlign)
		fail_rule(v, "%lld bytes, but the last weight ends at %lld", (long long)v->lm->weight_bytes, (long long)end);
}

static void check_outdims(Verifier *v)
{
	const LModule *lm = v->lm;
	const Func *f = lm->m->main;
	if (lm->nout != f->body.nyield)
		fail_rule(v, "%d outputs, the function has %d", lm->nout, f->body.nyield);
	for (int o = 0; o < lm->nout; o++) {
		int rank = f->body.yields[o]->type.rank;
		for (int d = 0; d < MaxRank; d++) {
			const LExpr *e = lm->outdims[o * MaxRank + d];
			if (!e != (d >= rank))
				fail_rule(v, "output %d needs %d dims", o, rank);
			if (e)
				check_typed(v, "a dim of an output", e, IndexType);
		}
	}
}

/* What each part may read is what its emitted function gets: see dcc.h. */
static void check_module_parts(Verifier *v)
{
	const LModule *lm = v->lm;
	v->scope = (Map){.arena = v->arena};
	v->part = "loops";
	if (lm->nsym != lm->m->nsym + 1 || lm->nweight != lm->nweight_off)
		fail_rule(v, "symbols or weights do not match the model");
	v->may_indim = true;
	for (int i = 0; i < lm->nsym - 1; i++) {
		v->part = arena_printf(v->arena, "bind %%%s", lm->syms[i]->name);
		v->nsyms = i;
		if (lm->bind[i])
			check_typed(v, "the value", lm->bind[i], IndexType);
	}
	v->part = "loops";
	v->nsyms = lm->nsym;
	v->may_outdim = true;
	for (const LStmt *s = lm->checks.first; s; s = s->next) {
		v->stmt = s;
		if (s->kind != SCheck)
			fail_rule(v, "only checks stand in the module's part");
		check_lcheck(v, s);
	}
	v->stmt = NULL;
	v->may_indim = v->may_outdim = false;
	check_outdims(v);
	v->part = "workspace";
	if (lm->workspace)
		check_typed(v, "the size", lm->workspace, IndexType);
	v->part = "weights";
	check_weights(v);
}

static const char *run_verifier(Verifier *v)
{
	Map names = {.arena = v->arena};
	if (setjmp(v->leave))
		return v->message;
	check_module_parts(v);
	for (int i = 0; i < v->lm->nfunc; i++)
		check_function(v, v->lm->funcs[i], i, &names);
	for (int i = 0; i < v->lm->nprog; i++)
		check_function(v, v->lm->programs[i], i, &names);
	return NULL;
}

const char *verify_loops(LModule *lm)
{
	Arena *arena = new_arena();
	Verifier *v = arena_alloc(arena, sizeof *v);
	v->arena = arena;
	v->lm = lm;
	v->funcs = (Map){.arena = arena};
	const char *message = run_verifier(v);
	free_arena(arena);
	return message;
}
