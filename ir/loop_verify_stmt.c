/* loop_verify_stmt.c - the rules of each statement: scopes, types, who may write what. */
#include "loop_verify.h"

#include <string.h>

enum { MaxTrips = 64, MaxLocalBytes = 1 << 20, MaxAllLocals = 2 << 20, MaxTileCells = 1024 };

static bool int_const(const LExpr *e, int64_t *value)
{
	*value = e->value.i;
	return e->op == LConst;
}

static void check_trips(Verifier *v, const LStmt *s)
{
	int64_t lo, hi, step, span;
	if (!int_const(s->e, &lo) || !int_const(s->hi, &hi) || !int_const(s->step, &step))
		fail_rule(v, "the bounds of an unrolled loop must be constants");
	if (__builtin_sub_overflow(hi, lo, &span) || (span > 0 && (span - 1) / step + 1 > MaxTrips))
		fail_rule(v, "an unrolled loop runs at most %d times", MaxTrips);
}

static void check_for(Verifier *v, const LStmt *s)
{
	int64_t step;
	int first = v->nopen;
	bool outer = v->in_parallel;
	check_typed(v, "the lower bound", s->e, IndexType);
	check_typed(v, "the upper bound", s->hi, IndexType);
	check_typed(v, "the step", s->step, IndexType);
	if (int_const(s->step, &step) && step <= 0)
		fail_rule(v, "the step must be positive");
	if (s->loop == ForUnroll)
		check_trips(v, s);
	if (s->loop == ForParallel) {
		if (outer)
			fail_rule(v, "a parallel loop inside of another");
		if (v->fn->program && !v->in_step)
			fail_rule(v, "a parallel loop of a program stands in a step");
		v->in_parallel = v->facts->parallel = true;
	}
	if (!same_ltype(s->var->type, IndexType))
		fail_rule(v, "the loop's variable is not i64");
	open_name(v, s->var, s->var->name);
	check_lblock(v, &s->body);
	close_names(v, first);
	v->in_parallel = outer;
}

static void check_store(Verifier *v, const LStmt *s)
{
	check_lexpr(v, s->e);
	if (!s->e)
		fail_rule(v, "the value is missing");
	check_lexpr(v, s->idx);
	check_lexpr(v, s->stride);
	check_lexpr(v, s->mask);
	fail_if(v, place_error(v->arena, s->e->type.lanes, s->idx, s->stride, s->mask));
	fail_if(v, expect_ltype(v->arena, "the value", s->e, (LType){s->buf->elem, s->e->type.lanes}));
	need_visible(v, s->buf, s->buf->name);
	if (!s->buf->written)
		fail_rule(v, "%%%s is not mut", s->buf->name);
	if (v->fn->program && !v->in_step)
		fail_rule(v, "a program stores only in steps");
}

static void check_local(Verifier *v, const LStmt *s)
{
	int64_t bytes;
	if (s->buf->count < 1 || __builtin_mul_overflow(s->buf->count, dtypes[s->buf->elem].bytes, &bytes) ||
	    bytes > MaxLocalBytes)
		fail_rule(v, "a local buffer has at most %d bytes", MaxLocalBytes);
	v->local_bytes += bytes;
	if (v->local_bytes > MaxAllLocals)
		fail_rule(v, "the local buffers of a function have at most %d bytes", MaxAllLocals);
	open_name(v, s->buf, s->buf->name);
}

static void check_tile(Verifier *v, const LStmt *s)
{
	const LTile *t = s->tile;
	if (t->rows < 1 || t->cols < 1 || (int64_t)t->rows * t->cols > MaxTileCells)
		fail_rule(v, "a tile has at most %d elements", MaxTileCells);
	if (t->type.lanes != 1 && t->type.lanes != Lanes)
		fail_rule(v, "a tile's vectors have 1 or 16 lanes");
	v->has_tiles = true;
	open_name(v, t, t->name);
}

/* What a program's buffers are: in0.. and weights are read, out0.. and ws are written. */
bool is_input_of_program(const LBuf *buf)
{
	return !strncmp(buf->name, "in", 2) || !strcmp(buf->name, "weights");
}

static void check_buf_arg(Verifier *v, int i, const LArg *a, const LBuf *to)
{
	need_visible(v, a->buf, a->buf->name);
	if (a->elem != to->elem)
		fail_rule(v, "argument %d is a buffer of %s, expected %s", i + 1, dtypes[a->elem].text,
		     dtypes[to->elem].text);
	if (a->elem != a->buf->elem && (!v->fn->program || a->buf->elem != U8))
		fail_rule(v, "argument %d changes the element type of %%%s", i + 1, a->buf->name);
	if (to->written && !a->buf->written && (!v->fn->program || is_input_of_program(a->buf)))
		fail_rule(v, "argument %d is written, but %%%s is read only", i + 1, a->buf->name);
	if (a->offset)
		check_typed(v, "an offset", a->offset, IndexType);
	if (a->len)
		check_typed(v, "a length", a->len, IndexType);
}

static void check_callee(Verifier *v, const LFunc *callee)
{
	void **found = callee ? find_ptr(&v->funcs, callee) : NULL;
	if (!found)
		fail_rule(v, "the kernel is not defined above");
	const FuncFacts *facts = *found;
	if (callee->target && (!v->fn->target || strcmp(callee->target, v->fn->target)))
		fail_rule(v, "@%s is for target %s only", callee->name, callee->target);
	if (facts->parallel && v->in_parallel)
		fail_rule(v, "@%s has a parallel loop, this is inside of one", callee->name);
	v->facts->parallel |= facts->parallel;
	if (v->fn->program && !v->in_step)
		fail_rule(v, "a program calls kernels only in steps");
}

static void check_call(Verifier *v, const LStmt *s)
{
	check_callee(v, s->callee);
	if (s->narg != s->callee->nparam)
		fail_rule(v, "%d arguments, expected %d", s->narg, s->callee->nparam);
	for (int i = 0; i < s->narg; i++) {
		const LArg *a = &s->args[i], *to = &s->callee->params[i];
		if (!a->buf != !to->buf)
			fail_rule(v, "argument %d is a %s, expected a %s", i + 1, a->buf ? "buffer" : "scalar",
			     to->buf ? "buffer" : "scalar");
		if (to->buf)
			check_buf_arg(v, i, a, to->buf);
		else
			check_typed(v, "a scalar argument", a->e, to->e->type);
	}
}

void check_lcheck(Verifier *v, const LStmt *s)
{
	if (v->fn)
		fail_rule(v, "a check stands in the module's part only");
	check_typed(v, "the condition", s->e, BoolType);
	if (s->narg < 0 || s->narg > 3)
		fail_rule(v, "a check shows at most three values");
	for (int i = 0; i < s->narg; i++) {
		if (s->args[i].buf)
			fail_rule(v, "a check shows scalars");
		check_typed(v, "a value", s->args[i].e, IndexType);
	}
}

/* Over the symbols alone: the object computes it outside of the program. */
static void check_cost(Verifier *v, const char *what, const LExpr *e)
{
	const Map scope = v->scope;
	bool may_indim = v->may_indim, may_outdim = v->may_outdim;
	if (!e)
		return;
	v->scope = (Map){.arena = v->arena};
	v->may_indim = v->may_outdim = false;
	check_typed(v, what, e, IndexType);
	v->scope = scope;
	v->may_indim = may_indim;
	v->may_outdim = may_outdim;
}

static void check_step(Verifier *v, const LStmt *s)
{
	int first = v->nopen;
	check_cost(v, "the FLOP of a step", s->e);
	check_cost(v, "the bytes of a step", s->idx);
	if (!v->fn->program || v->in_step)
		fail_rule(v, "a step stands in a program only, and not in another step");
	v->in_step = true;
	check_lblock(v, &s->body);
	v->in_step = false;
	close_names(v, first);
}

static void check_jump(Verifier *v, const LStmt *s)
{
	int steps = 0, before = 0;
	for (const LStmt *t = v->fn->body.first; t; t = t->next) {
		before = t == s ? steps : before;
		steps += t->kind == SStep;
	}
	if (s->code < 0 || s->code > steps || !before)
		fail_rule(v, "a jump stands behind a step and goes to one of the %d steps or behind the last", steps);
	check_typed(v, "the condition", s->e, (LType){Bool, 1});
}

static void check_fail(Verifier *v, const LStmt *s)
{
	if (v->fn->program)
		fail_rule(v, "fail stands in kernels only");
	if (s->code < 0 || s->code >= v->lm->nmessage)
		fail_rule(v, "there are %d messages", v->lm->nmessage);
	check_typed(v, "the value", s->e, IndexType);
}

static void check_extern(Verifier *v, const LStmt *s)
{
	if (v->fn->program || v->in_parallel)
		fail_rule(v, "extern stands in kernels only, outside of parallel loops");
	if (!s->text || !is_c_name(s->text))
		fail_rule(v, "the function's name is not a C identifier");
	if (s->code < 0 || s->code >= v->lm->nmessage)
		fail_rule(v, "there are %d messages", v->lm->nmessage);
	for (int i = 0; i < s->narg; i++) {
		const LArg *a = &s->args[i];
		need_visible(v, a->buf, a->buf->name);
		if (a->elem != a->buf->elem)
			fail_rule(v, "tensor %d changes the element type of %%%s", i + 1, a->buf->name);
		if (i >= s->narg - s->nresult && !a->buf->written)
			fail_rule(v, "tensor %d is written, but %%%s is not mut", i + 1, a->buf->name);
		check_typed(v, "an offset", a->offset, IndexType);
		for (int d = 0; d < a->rank; d++)
			check_typed(v, "a dim", a->dims[d], IndexType);
	}
	v->facts->parallel = true; /* worker 0 alone calls it: all must come by */
}

static void check_set(Verifier *v, const LStmt *s)
{
	need_visible(v, s->tile, s->tile->name);
	check_typed(v, "the row", s->idx, IndexType);
	check_typed(v, "the column", s->hi, IndexType);
	check_typed(v, "the value", s->e, s->tile->type);
}

static void check_if(Verifier *v, const LStmt *s)
{
	int first = v->nopen;
	check_typed(v, "the condition", s->e, BoolType);
	check_lblock(v, &s->body);
	close_names(v, first);
	check_lblock(v, &s->other);
	close_names(v, first);
}

static void check_let(Verifier *v, const LStmt *s)
{
	check_typed(v, "the value", s->e, s->var->type);
	open_name(v, s->var, s->var->name);
}

static void check_prefetch(Verifier *v, const LStmt *s)
{
	need_visible(v, s->buf, s->buf->name);
	check_typed(v, "the index", s->idx, IndexType);
}

static void (*const stmt_checks[])(Verifier *, const LStmt *) = {
	[SLet] = check_let, [SFor] = check_for, [SIf] = check_if, [SStore] = check_store, [SLocal] = check_local,
	[STile] = check_tile, [SSetTile] = check_set, [SCall] = check_call, [SPrefetch] = check_prefetch,
	[SExtern] = check_extern, [SFail] = check_fail, [SCheck] = check_lcheck, [SStep] = check_step,
	[SJump] = check_jump,
};

void check_lblock(Verifier *v, const LBlock *b)
{
	for (const LStmt *s = b->first; s; s = s->next) {
		v->stmt = s;
		stmt_checks[s->kind](v, s);
	}
}
