/* loop_verify.c - the rules of the loop IR (ir.md): types, scopes, who may write what, what may stand where.
 *
 * Two walks.  The first checks every statement once.  The second walks kernels that use tiles the way the emitter
 * does, with unrolled loops unrolled and constant conditions decided, and checks that every tile index is a constant
 * in range. Functions are checked in order, so callees have been checked before; both walks recurse only as deep as
 * the IR nests.
 */
#include "lex.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

enum { MaxTrips = 64, MaxLocalBytes = 1 << 20, MaxAllLocals = 2 << 20, MaxTileCells = 1024 };
enum { MaxUnrolled = 1 << 22, WeightAlign = 64 };

static const LType MaskType = {Bool, Lanes}, BoolType = {Bool, 1};

/* ---- types of expressions --------------------------------------------------------------------------------------- */

char *ltype_text(Arena *arena, LType t)
{
	const char *elem = t.elem < NDTypes ? dtypes[t.elem].text : "?";
	return t.lanes == 1 ? arena_strdup(arena, elem) : arena_printf(arena, "%s<%d>", elem, t.lanes);
}

LType lop_type(const LExpr *e)
{
	switch (lops[e->op].result) {
	case ResultMask: return (LType){Bool, e->a[0]->type.lanes};
	case ResultScalar: return (LType){e->a[0]->type.elem, 1};
	case ResultArg1: return e->a[1]->type;
	case ResultSame: case ResultWide: return e->a[0]->type;
	case ResultGiven: break;
	}
	return asks_port(e->op) ? IndexType : e->type;
}

#define SAY(...) return arena_printf(arena, __VA_ARGS__)

static const char *expect_ltype(Arena *arena, const char *what, const LExpr *e, LType want)
{
	if (!e)
		SAY("%s is missing", what);
	if (!same_ltype(e->type, want))
		SAY("%s is %s, expected %s", what, ltype_text(arena, e->type), ltype_text(arena, want));
	return NULL;
}

static const char *place_error(Arena *arena, int lanes, const LExpr *idx, const LExpr *stride, const LExpr *mask)
{
	const char *why = expect_ltype(arena, "the index", idx, IndexType);
	if (!why && lanes == 1 && (stride || mask))
		SAY("an access to one lane has no stride and no mask");
	if (!why && stride)
		why = expect_ltype(arena, "the stride", stride, IndexType);
	if (!why && mask)
		why = expect_ltype(arena, "the mask", mask, MaskType);
	return why;
}

static const char *const_error(Arena *arena, const LExpr *e)
{
	Scalar s = e->value;
	if (s.dtype != e->type.elem || (!is_float(e->type) && wrap_int(s.dtype, s.i) != s.i))
		SAY("the constant %lld does not fit %s", (long long)s.i, dtypes[e->type.elem].text);
	return NULL;
}

static const char *cast_error(Arena *arena, const LExpr *e)
{
	LType to = e->type, from = e->op == LIota ? to : e->a[0]->type;
	bool same_lanes = to.lanes == from.lanes;
	if (e->op == LIota && (to.lanes != Lanes || to.elem == Bool || is_stored(to.elem)))
		SAY("iota of %s", ltype_text(arena, to));
	if (e->op == LSplat && (from.lanes != 1 || to.lanes != Lanes || to.elem != from.elem))
		SAY("splat of %s to %s", ltype_text(arena, from), ltype_text(arena, to));
	if (e->op == LConvert && !same_lanes)
		SAY("convert from %s to %s changes the lanes", ltype_text(arena, from), ltype_text(arena, to));
	bool bits = to.elem != Bool && from.elem != Bool && dtypes[to.elem].bits == dtypes[from.elem].bits;
	if (e->op == LBitcast && (!same_lanes || !bits))
		SAY("bitcast from %s to %s", ltype_text(arena, from), ltype_text(arena, to));
	return NULL;
}

static const char *operator_error(Arena *arena, const LExpr *e)
{
	const LOpInfo *info = &lops[e->op];
	int first = e->op == LSelect;
	LType want = e->a[first]->type;
	for (int i = 0; i < info->nargs; i++) {
		LType w = i < first ? (LType){Bool, want.lanes} : want;
		if (!same_ltype(e->a[i]->type, w))
			SAY("argument %d of %s is %s, expected %s", i + 1, info->text, ltype_text(arena, e->a[i]->type),
			    ltype_text(arena, w));
	}
	if (!loop_takes(e->op, want.elem))
		SAY("%s does not take %s", info->text, ltype_text(arena, want));
	if (takes_wide(e->op) && want.lanes != Lanes)
		SAY("%s takes 16 lanes, got %s", info->text, ltype_text(arena, want));
	if (asks_port(e->op))
		for (int i = 0; i < 2; i++)
			if (!same_ltype(want, IndexType) || e->a[i]->op != LConst)
				SAY("%s takes two constants%s", info->text, e->op == LInScaled ? " and an index" : "");
	return NULL;
}

const char *lexpr_error(Arena *arena, const LExpr *e)
{
	const char *why = NULL;
	if ((unsigned)e->op >= NLOps || (unsigned)e->type.elem >= NDTypes ||
	    (e->type.lanes != 1 && e->type.lanes != Lanes))
		SAY("a malformed expression");
	for (int i = 0; i < lops[e->op].nargs; i++)
		if (!e->a[i])
			SAY("%s takes %d arguments", lops[e->op].text, lops[e->op].nargs);
	switch (e->op) {
	case LConst: why = const_error(arena, e); break;
	case LRef: why = expect_ltype(arena, "the variable", e, e->var->type); break;
	case LLoad:
		why = expect_ltype(arena, "the load", e, (LType){e->buf->elem, e->type.lanes});
		if (!why)
			why = place_error(arena, e->type.lanes, e->a[0], e->stride, e->mask);
		break;
	case LElem:
		why = expect_ltype(arena, "the element", e, e->tile->type);
		for (int i = 0; i < 2 && !why; i++)
			why = expect_ltype(arena, i ? "the column" : "the row", e->a[i], IndexType);
		break;
	case LConvert: case LBitcast: case LSplat: case LIota: why = cast_error(arena, e); break;
	case LFailed: why = expect_ltype(arena, "failed", e, (LType){Bool, 1}); break;
	default: why = operator_error(arena, e); break;
	}
	if (!why && !same_ltype(e->type, lop_type(e)))
		SAY("%s gives %s, the node says %s", lops[e->op].text, ltype_text(arena, lop_type(e)),
		    ltype_text(arena, e->type));
	return why;
}

/* ---- the verifier ----------------------------------------------------------------------------------------------- */

typedef struct FuncFacts {
	int number; /* place in funcs */
	bool parallel; /* it, or a kernel that it calls, has a parallel loop */
} FuncFacts;

typedef struct Fold { /* a variable's value while unrolling */
	bool known;
	int64_t value;
} Fold;

typedef struct Verifier {
	Arena *arena;
	LModule *lm;
	const LFunc *fn; /* NULL: the module's parts */
	const char *part; /* of the module */
	const LStmt *stmt;
	FuncFacts *facts; /* of fn */
	Map funcs; /* FuncFacts by LFunc */
	Map scope; /* visible variables, buffers and tiles; value NULL: no longer visible */
	const void **open;
	int nopen, capopen;
	int nsyms; /* how many of lm->syms may be used */
	bool may_indim, may_outdim, in_step, in_parallel, has_tiles;
	int64_t local_bytes, work;
	Map folds; /* Fold by LVar */
	const char *message;
	jmp_buf leave;
} Verifier;

__attribute__((format(printf, 2, 3), noreturn)) static void fail(Verifier *v, const char *fmt, ...)
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

static void check(Verifier *v, const char *why)
{
	if (why)
		fail(v, "%s", why);
}

static void open_name(Verifier *v, const void *thing, const char *name)
{
	if (find_ptr(&v->scope, thing))
		fail(v, "%%%s is defined twice", name);
	add_ptr(&v->scope, thing, v);
	PUSH(v->arena, v->open, v->nopen, v->capopen, thing);
}

static void close_names(Verifier *v, int first)
{
	for (int i = first; i < v->nopen; i++)
		add_ptr(&v->scope, v->open[i], NULL);
	v->nopen = first;
}

static void need_visible(Verifier *v, const void *thing, const char *name)
{
	void **found = find_ptr(&v->scope, thing);
	if (!found || !*found)
		fail(v, "%%%s is not visible here", name);
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
		fail(v, "%s is not available here", lops[e->op].text);
	if (t < 0 || t >= (in ? f->nparam : f->body.nyield))
		fail(v, "%s of tensor %lld: there is none", lops[e->op].text, (long long)t);
	const Value *value = in ? f->params[t] : f->body.yields[t];
	if (e->op == LInData) {
		bool ints = may_be_dims(value->type.dtype);
		int64_t numel;
		if (!ints || !dim_is_const(type_numel(v->lm->m, &value->type), &numel) || d < 0 || d >= numel)
			fail(v, "indata: input %lld has no integer element %lld", (long long)t, (long long)d);
		return;
	}
	if (e->op == LInScaled) {
		if (!may_scale(value, d))
			fail(v, "inscaled: input %lld has no element %lld of f32 or f64", (long long)t, (long long)d);
		return;
	}
	if (d < 0 || d >= value->type.rank)
		fail(v, "%s: tensor %lld has no dim %lld", lops[e->op].text, (long long)t, (long long)d);
}

static void check_expr(Verifier *v, const LExpr *e)
{
	if (!e)
		return;
	for (int i = 0; i < 3; i++)
		check_expr(v, e->a[i]);
	check_expr(v, e->stride);
	check_expr(v, e->mask);
	check(v, lexpr_error(v->arena, e));
	if (e->op == LRef && !is_sym(v, e->var))
		need_visible(v, e->var, e->var->name);
	if (e->op == LLoad)
		need_visible(v, e->buf, e->buf->name);
	if (e->op == LElem)
		need_visible(v, e->tile, e->tile->name);
	if (asks_port(e->op))
		check_dim_query(v, e);
	if (e->op == LFailed && v->fn->program)
		fail(v, "failed stands in kernels only");
}

static void check_typed(Verifier *v, const char *what, const LExpr *e, LType want)
{
	check_expr(v, e);
	check(v, expect_ltype(v->arena, what, e, want));
}

/* ---- statements ------------------------------------------------------------------------------------------------- */

static void check_block(Verifier *v, const LBlock *b);

static bool int_const(const LExpr *e, int64_t *value)
{
	*value = e->value.i;
	return e->op == LConst;
}

static void check_trips(Verifier *v, const LStmt *s)
{
	int64_t lo, hi, step, span;
	if (!int_const(s->e, &lo) || !int_const(s->hi, &hi) || !int_const(s->step, &step))
		fail(v, "the bounds of an unrolled loop must be constants");
	if (__builtin_sub_overflow(hi, lo, &span) || (span > 0 && (span - 1) / step + 1 > MaxTrips))
		fail(v, "an unrolled loop runs at most %d times", MaxTrips);
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
		fail(v, "the step must be positive");
	if (s->loop == ForUnroll)
		check_trips(v, s);
	if (s->loop == ForParallel) {
		if (outer)
			fail(v, "a parallel loop inside of another");
		if (v->fn->program && !v->in_step)
			fail(v, "a parallel loop of a program stands in a step");
		v->in_parallel = v->facts->parallel = true;
	}
	if (!same_ltype(s->var->type, IndexType))
		fail(v, "the loop's variable is not i64");
	open_name(v, s->var, s->var->name);
	check_block(v, &s->body);
	close_names(v, first);
	v->in_parallel = outer;
}

static void check_store(Verifier *v, const LStmt *s)
{
	check_expr(v, s->e);
	if (!s->e)
		fail(v, "the value is missing");
	check_expr(v, s->idx);
	check_expr(v, s->stride);
	check_expr(v, s->mask);
	check(v, place_error(v->arena, s->e->type.lanes, s->idx, s->stride, s->mask));
	check(v, expect_ltype(v->arena, "the value", s->e, (LType){s->buf->elem, s->e->type.lanes}));
	need_visible(v, s->buf, s->buf->name);
	if (!s->buf->written)
		fail(v, "%%%s is not mut", s->buf->name);
	if (v->fn->program && !v->in_step)
		fail(v, "a program stores only in steps");
}

static void check_local(Verifier *v, const LStmt *s)
{
	int64_t bytes;
	if (s->buf->count < 1 || __builtin_mul_overflow(s->buf->count, dtypes[s->buf->elem].bytes, &bytes) ||
	    bytes > MaxLocalBytes)
		fail(v, "a local buffer has at most %d bytes", MaxLocalBytes);
	v->local_bytes += bytes;
	if (v->local_bytes > MaxAllLocals)
		fail(v, "the local buffers of a function have at most %d bytes", MaxAllLocals);
	open_name(v, s->buf, s->buf->name);
}

static void check_tile(Verifier *v, const LStmt *s)
{
	const LTile *t = s->tile;
	if (t->rows < 1 || t->cols < 1 || (int64_t)t->rows * t->cols > MaxTileCells)
		fail(v, "a tile has at most %d elements", MaxTileCells);
	if (t->type.lanes != 1 && t->type.lanes != Lanes)
		fail(v, "a tile's vectors have 1 or 16 lanes");
	v->has_tiles = true;
	open_name(v, t, t->name);
}

/* What a program's buffers are: in0.. and weights are read, out0.. and ws are written. */
static bool is_input_of_program(const LBuf *buf)
{
	return !strncmp(buf->name, "in", 2) || !strcmp(buf->name, "weights");
}

static void check_buf_arg(Verifier *v, int i, const LArg *a, const LBuf *to)
{
	need_visible(v, a->buf, a->buf->name);
	if (a->elem != to->elem)
		fail(v, "argument %d is a buffer of %s, expected %s", i + 1, dtypes[a->elem].text,
		     dtypes[to->elem].text);
	if (a->elem != a->buf->elem && (!v->fn->program || a->buf->elem != U8))
		fail(v, "argument %d changes the element type of %%%s", i + 1, a->buf->name);
	if (to->written && !a->buf->written && (!v->fn->program || is_input_of_program(a->buf)))
		fail(v, "argument %d is written, but %%%s is read only", i + 1, a->buf->name);
	if (a->offset)
		check_typed(v, "an offset", a->offset, IndexType);
	if (a->len)
		check_typed(v, "a length", a->len, IndexType);
}

static void check_callee(Verifier *v, const LFunc *callee)
{
	void **found = callee ? find_ptr(&v->funcs, callee) : NULL;
	if (!found)
		fail(v, "the kernel is not defined above");
	const FuncFacts *facts = *found;
	if (callee->target && (!v->fn->target || strcmp(callee->target, v->fn->target)))
		fail(v, "@%s is for target %s only", callee->name, callee->target);
	if (facts->parallel && v->in_parallel)
		fail(v, "@%s has a parallel loop, this is inside of one", callee->name);
	v->facts->parallel |= facts->parallel;
	if (v->fn->program && !v->in_step)
		fail(v, "a program calls kernels only in steps");
}

static void check_call(Verifier *v, const LStmt *s)
{
	check_callee(v, s->callee);
	if (s->narg != s->callee->nparam)
		fail(v, "%d arguments, expected %d", s->narg, s->callee->nparam);
	for (int i = 0; i < s->narg; i++) {
		const LArg *a = &s->args[i], *to = &s->callee->params[i];
		if (!a->buf != !to->buf)
			fail(v, "argument %d is a %s, expected a %s", i + 1, a->buf ? "buffer" : "scalar",
			     to->buf ? "buffer" : "scalar");
		if (to->buf)
			check_buf_arg(v, i, a, to->buf);
		else
			check_typed(v, "a scalar argument", a->e, to->e->type);
	}
}

static void check_check(Verifier *v, const LStmt *s)
{
	if (v->fn)
		fail(v, "a check stands in the module's part only");
	check_typed(v, "the condition", s->e, BoolType);
	if (s->narg < 0 || s->narg > 3)
		fail(v, "a check shows at most three values");
	for (int i = 0; i < s->narg; i++) {
		if (s->args[i].buf)
			fail(v, "a check shows scalars");
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
		fail(v, "a step stands in a program only, and not in another step");
	v->in_step = true;
	check_block(v, &s->body);
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
		fail(v, "a jump stands behind a step and goes to one of the %d steps or behind the last", steps);
	check_typed(v, "the condition", s->e, (LType){Bool, 1});
}

static void check_fail(Verifier *v, const LStmt *s)
{
	if (v->fn->program)
		fail(v, "fail stands in kernels only");
	if (s->code < 0 || s->code >= v->lm->nmessage)
		fail(v, "there are %d messages", v->lm->nmessage);
	check_typed(v, "the value", s->e, IndexType);
}

static void check_extern(Verifier *v, const LStmt *s)
{
	if (v->fn->program || v->in_parallel)
		fail(v, "extern stands in kernels only, outside of parallel loops");
	if (!s->text || !is_c_name(s->text))
		fail(v, "the function's name is not a C identifier");
	if (s->code < 0 || s->code >= v->lm->nmessage)
		fail(v, "there are %d messages", v->lm->nmessage);
	for (int i = 0; i < s->narg; i++) {
		const LArg *a = &s->args[i];
		need_visible(v, a->buf, a->buf->name);
		if (a->elem != a->buf->elem)
			fail(v, "tensor %d changes the element type of %%%s", i + 1, a->buf->name);
		if (i >= s->narg - s->nresult && !a->buf->written)
			fail(v, "tensor %d is written, but %%%s is not mut", i + 1, a->buf->name);
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
	check_block(v, &s->body);
	close_names(v, first);
	check_block(v, &s->other);
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
	[SExtern] = check_extern, [SFail] = check_fail, [SCheck] = check_check, [SStep] = check_step,
	[SJump] = check_jump,
};

static void check_block(Verifier *v, const LBlock *b)
{
	for (const LStmt *s = b->first; s; s = s->next) {
		v->stmt = s;
		stmt_checks[s->kind](v, s);
	}
}

/* ---- tile indices, as unrolled ---------------------------------------------------------------------------------- */

static void set_fold(Verifier *v, const LVar *var, bool known, int64_t value)
{
	void **found = find_ptr(&v->folds, var);
	Fold *f = found ? *found : arena_alloc(v->arena, sizeof *f);
	*f = (Fold){known, value};
	if (!found)
		add_ptr(&v->folds, var, f);
}

/* The value of an i64 or bool that is constant now. */
static bool fold(const Verifier *v, const LExpr *e, int64_t *r)
{
	int64_t a, b;
	if (e->type.lanes != 1 || (e->type.elem != I64 && e->type.elem != Bool))
		return false;
	switch (e->op) {
	case LConst: *r = e->value.i; return true;
	case LRef: {
		void **found = find_ptr(&v->folds, e->var);
		const Fold *f = found ? *found : NULL;
		*r = f ? f->value : 0;
		return f && f->known;
	}
	case LNot:
		if (!fold(v, e->a[0], &a))
			return false;
		*r = e->type.elem == Bool ? !a : ~a;
		return true;
	case LSelect: return fold(v, e->a[0], &a) && fold(v, e->a[a ? 1 : 2], r);
	default: break;
	}
	return lops[e->op].nargs == 2 && e->op != LElem && fold(v, e->a[0], &a) && fold(v, e->a[1], &b) &&
	       fold_ints(e->op, e->a[0]->type.elem, a, b, r);
}

static void check_cell(Verifier *v, const LTile *t, const LExpr *row, const LExpr *col)
{
	int64_t i, j;
	if (!fold(v, row, &i) || !fold(v, col, &j))
		fail(v, "an index of %%%s is not constant after unrolling", t->name);
	if (i < 0 || i >= t->rows || j < 0 || j >= t->cols)
		fail(v, "%%%s[%lld, %lld] lies outside of the tile", t->name, (long long)i, (long long)j);
}

static void check_cells(Verifier *v, const LExpr *e)
{
	if (!e)
		return;
	if (++v->work > MaxUnrolled)
		fail(v, "the function is too large after unrolling");
	if (e->op == LElem)
		check_cell(v, e->tile, e->a[0], e->a[1]);
	for (int i = 0; i < 3; i++)
		check_cells(v, e->a[i]);
	check_cells(v, e->stride);
	check_cells(v, e->mask);
}

static void unroll_block(Verifier *v, const LBlock *b);

static void unroll_for(Verifier *v, const LStmt *s)
{
	if (s->loop != ForUnroll) {
		set_fold(v, s->var, false, 0);
		unroll_block(v, &s->body);
		return;
	}
	for (int64_t i = s->e->value.i; i < s->hi->value.i;) {
		set_fold(v, s->var, true, i);
		unroll_block(v, &s->body);
		if (__builtin_add_overflow(i, s->step->value.i, &i))
			break;
	}
}

static void unroll_if(Verifier *v, const LStmt *s)
{
	int64_t c;
	bool known = fold(v, s->e, &c);
	if (!known || c)
		unroll_block(v, &s->body);
	if (!known || !c)
		unroll_block(v, &s->other);
}

static void unroll_stmt(Verifier *v, const LStmt *s)
{
	int64_t value = 0;
	if (++v->work > MaxUnrolled)
		fail(v, "the function is too large after unrolling");
	const LExpr *parts[] = {s->e, s->idx, s->hi, s->step, s->stride, s->mask};
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		check_cells(v, parts[i]);
	for (int i = 0; i < s->narg; i++) {
		check_cells(v, s->args[i].offset);
		check_cells(v, s->args[i].len);
		check_cells(v, s->args[i].e);
	}
	switch (s->kind) {
	case SSetTile: check_cell(v, s->tile, s->idx, s->hi); break;
	case SLet: {
		bool known = fold(v, s->e, &value);
		set_fold(v, s->var, known, value);
		break;
	}
	case SFor: unroll_for(v, s); break;
	case SIf: unroll_if(v, s); break;
	default: break;
	}
}

static void unroll_block(Verifier *v, const LBlock *b)
{
	for (const LStmt *s = b->first; s; s = s->next) {
		v->stmt = s;
		unroll_stmt(v, s);
	}
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
		fail(v, "%%%s: a program's buffers are in0.., out0.., ws and weights", buf->name);
	want = is_packed(want) ? U8 : want;
	if (buf->elem != want)
		fail(v, "%%%s has elements of %s, expected %s", buf->name, dtypes[buf->elem].text, dtypes[want].text);
	bool state = numbered(buf->name, "in", f->nparam, &i) && state_append(f->params[i]);
	if (buf->written && is_input_of_program(buf) && !state)
		fail(v, "%%%s may not be mut", buf->name);
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
	fail(v, "%%%s: a program's scalars are the symbols and threads", var->name);
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
			fail(v, "parameter %d is neither a buffer nor an i64", i + 1);
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
			fail(v, "only let, step and jump stand at the top of a program");
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
		fail(v, "the name is not unique");
	add_name(names, fn->name, NULL);
	check_params(v);
	if (fn->program)
		check_top_of_program(v);
	check_block(v, &fn->body);
	if (v->has_tiles)
		unroll_block(v, &fn->body);
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
		fail(v, "weight %d is not a constant", i);
	for (int d = 0; d < w->type.rank; d++)
		if (!dim_is_const(w->type.dims[d], &extent) || extent < 0 ||
		    __builtin_mul_overflow(bytes, extent, &bytes))
			fail(v, "weight %d has no constant shape", i);
	int64_t off = v->lm->weight_off[i];
	if (off < from || off % WeightAlign || __builtin_add_overflow(off, bytes, &end) || end > v->lm->weight_bytes)
		fail(v, "weight %d at %lld: weights are ascending multiples of %d that end within %lld bytes", i,
		     (long long)off, WeightAlign, (long long)v->lm->weight_bytes);
	return end;
}

static void check_weights(Verifier *v)
{
	int64_t end = 0;
	for (int i = 0; i < v->lm->nweight; i++)
		end = check_weight(v, i, end);
	if (v->lm->weight_bytes < 0 || v->lm->weight_bytes - end >= WeightAlign)
		fail(v, "%lld bytes, but the last weight ends at %lld", (long long)v->lm->weight_bytes, (long long)end);
}

static void check_outdims(Verifier *v)
{
	const LModule *lm = v->lm;
	const Func *f = lm->m->main;
	if (lm->nout != f->body.nyield)
		fail(v, "%d outputs, the function has %d", lm->nout, f->body.nyield);
	for (int o = 0; o < lm->nout; o++) {
		int rank = f->body.yields[o]->type.rank;
		for (int d = 0; d < MaxRank; d++) {
			const LExpr *e = lm->outdims[o * MaxRank + d];
			if (!e != (d >= rank))
				fail(v, "output %d needs %d dims", o, rank);
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
		fail(v, "symbols or weights do not match the model");
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
			fail(v, "only checks stand in the module's part");
		check_check(v, s);
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
