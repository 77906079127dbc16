/* loop_stmt.c - building statements of loop IR. */
#include "loop_build.h"

#include <string.h>

static LStmt *add_stmt(LB *b, LStmtKind kind)
{
	LStmt *s = arena_alloc(b->arena, sizeof *s);
	s->kind = kind;
	if (b->at->last)
		b->at->last->next = s;
	else
		b->at->first = s;
	b->at->last = s;
	return s;
}

static void open_block(LB *b, LBlock *block)
{
	block->up = b->at;
	b->at = block;
}

LExpr *llet(LB *b, LExpr *e)
{
	if (e->op == LConst || e->op == LRef)
		return e;
	LStmt *s = add_stmt(b, SLet);
	s->var = new_lvar(b->arena, fresh_name(b, same_ltype(e->type, IndexType) ? "i" : "v"), e->type);
	s->e = e;
	return ref_var(b, s->var);
}

LExpr *lfor(LB *b, LForKind kind, LExpr *lo, LExpr *hi, LExpr *step)
{
	if (!step)
		step = li(b, 1);
	check_type(b, "lower bound", lo, IndexType);
	check_type(b, "upper bound", hi, IndexType);
	check_type(b, "step", step, IndexType);
	int64_t v;
	if (is_int_const(step, &v) && v <= 0)
		bug("%s: loop step %lld", fn_name(b), (long long)v);
	if (kind == ForUnroll && !(is_int_const(lo, &v) && is_int_const(hi, &v) && is_int_const(step, &v)))
		bug("%s: bounds of an unrolled loop are not constant", fn_name(b));
	LStmt *s = add_stmt(b, SFor);
	s->loop = kind;
	s->var = new_lvar(b->arena, fresh_name(b, "i"), IndexType);
	s->e = lo;
	s->hi = hi;
	s->step = step;
	open_block(b, &s->body);
	return ref_var(b, s->var);
}

void lif(LB *b, LExpr *cond)
{
	check_type(b, "condition", cond, BoolType);
	LStmt *s = add_stmt(b, SIf);
	s->e = cond;
	open_block(b, &s->body);
}

void lelse(LB *b)
{
	LStmt *s = b->at->up ? b->at->up->last : NULL;
	if (!s || s->kind != SIf || b->at != &s->body)
		bug("%s: else without if", fn_name(b));
	lend(b);
	open_block(b, &s->other);
}

void lend(LB *b)
{
	LBlock *up = b->at->up;
	if (!up)
		bug("%s: end without a beginning", fn_name(b));
	b->at->up = NULL;
	b->at = up;
}

void lstore(LB *b, LBuf *buf, LExpr *idx, LExpr *stride, LExpr *mask, LExpr *e)
{
	if (!e)
		bug("%s: store of nothing to %s", fn_name(b), buf->name);
	if (!buf->written)
		bug("%s: store to %s, which is read only", fn_name(b), buf->name);
	if (stride || mask)
		e = splat_expr(b, e);
	check_type(b, "stored value", e, (LType){buf->elem, e->type.lanes});
	check_access(b, buf, e->type.lanes, idx, &stride, &mask);
	LStmt *s = add_stmt(b, SStore);
	s->buf = buf;
	s->idx = idx;
	s->stride = stride;
	s->mask = mask;
	s->e = e;
}

LBuf *llocal(LB *b, const char *name, DType elem, int64_t count)
{
	if (count <= 0)
		bug("%s: local %s of %lld elements", fn_name(b), name, (long long)count);
	LStmt *s = add_stmt(b, SLocal);
	s->buf = new_buf(b, fresh_name(b, name), elem, count, true);
	return s->buf;
}

LTile *lnew_tile(LB *b, const char *name, LType type, int rows, int cols)
{
	if (rows <= 0 || cols <= 0)
		bug("%s: tile %s of %d x %d", fn_name(b), name, rows, cols);
	LTile *t = arena_alloc(b->arena, sizeof *t);
	t->name = fresh_name(b, name);
	t->type = type;
	t->rows = rows;
	t->cols = cols;
	add_stmt(b, STile)->tile = t;
	return t;
}

void lset_tile(LB *b, LTile *t, LExpr *i, LExpr *j, LExpr *e)
{
	check_type(b, "tile row", i, IndexType);
	check_type(b, "tile column", j, IndexType);
	if (t->type.lanes == Lanes)
		e = splat_expr(b, e);
	check_type(b, "tile element", e, t->type);
	LStmt *s = add_stmt(b, SSetTile);
	s->tile = t;
	s->idx = i;
	s->hi = j;
	s->e = e;
}

static void check_call(LB *b, const LFunc *fn, int narg, const LArg *args)
{
	if (narg != fn->nparam)
		bug("%s: call of %s with %d arguments, expected %d", fn_name(b), fn->name, narg, fn->nparam);
	for (int i = 0; i < narg; i++) {
		const LArg *p = &fn->params[i], *a = &args[i];
		if (!p->buf) {
			if (a->buf)
				bug("%s: argument %d of %s is a buffer, expected a scalar", fn_name(b), i, fn->name);
			check_type(b, "argument", a->e, p->e->type);
			continue;
		}
		if (!a->buf || a->elem != p->buf->elem)
			bug("%s: argument %d of %s is not a buffer of %s", fn_name(b), i, fn->name,
			    dtypes[p->buf->elem].text);
		if (!b->fn->program && a->buf->elem != a->elem)
			bug("%s: argument %d of %s changes its type", fn_name(b), i, fn->name);
		if (p->buf->written && !a->buf->written && !b->fn->program)
			bug("%s: %s writes argument %d, which is read only here", fn_name(b), fn->name, i);
		if (a->offset)
			check_type(b, "offset of a slice", a->offset, IndexType);
		if (a->len)
			check_type(b, "length of a slice", a->len, IndexType);
	}
}

void lcall(LB *b, LFunc *fn, int narg, const LArg *args)
{
	check_call(b, fn, narg, args);
	LStmt *s = add_stmt(b, SCall);
	s->callee = fn;
	s->narg = narg;
	s->args = arena_alloc(b->arena, ((size_t)narg + 1) * sizeof *s->args);
	memcpy(s->args, args, (size_t)narg * sizeof *s->args);
	for (int i = 0; i < narg; i++)
		if (args[i].buf && !args[i].offset)
			s->args[i].offset = li(b, 0);
}

void lprefetch(LB *b, LBuf *buf, LExpr *idx)
{
	check_type(b, "index", idx, IndexType);
	LStmt *s = add_stmt(b, SPrefetch);
	s->buf = buf;
	s->idx = idx;
}

void lfail(LB *b, int status, int message, LExpr *value)
{
	check_type(b, "failed value", value, IndexType);
	if (message < 0 || message >= b->lm->nmessage)
		bug("%s: message %d of %d", fn_name(b), message, b->lm->nmessage);
	LStmt *s = add_stmt(b, SFail);
	s->code = message;
	s->status = status;
	s->e = value;
}

void lextern(LB *b, const char *symbol, int message, int nin, int nout, const LArg *tensors)
{
	LStmt *s = add_stmt(b, SExtern);
	s->text = arena_strdup(b->arena, symbol);
	s->code = message;
	s->narg = nin + nout;
	s->nresult = nout;
	s->args = arena_alloc(b->arena, (size_t)s->narg * sizeof *s->args);
	memcpy(s->args, tensors, (size_t)s->narg * sizeof *s->args);
}

void lcheck(LB *b, LExpr *cond, int code, const char *text, LExpr *x, LExpr *y, LExpr *z)
{
	check_type(b, "condition", cond, BoolType);
	LExpr *values[3] = {x, y, z};
	LStmt *s = add_stmt(b, SCheck);
	s->e = cond;
	s->code = code;
	s->text = arena_strdup(b->arena, text);
	s->args = arena_alloc(b->arena, 3 * sizeof *s->args);
	while (s->narg < 3 && values[s->narg]) {
		check_type(b, "checked value", values[s->narg], IndexType);
		s->args[s->narg] = arg_e(values[s->narg]);
		s->narg++;
	}
}

void lstep(LB *b)
{
	if (!b->fn || !b->fn->program || b->at != &b->fn->body)
		bug("%s: a step stands at the top of a program", fn_name(b));
	open_block(b, &add_stmt(b, SStep)->body);
}

LStmt *ljump(LB *b, LExpr *cond, int step)
{
	LStmt *s = add_stmt(b, SJump);
	s->e = cond;
	s->code = step;
	return s;
}

void lstep_cost(LB *b, LExpr *flop, LExpr *bytes, int nloc, const Loc *const *locs)
{
	LStmt *s = b->at->up ? b->at->up->last : NULL;
	if (!s || s->kind != SStep || b->at != &s->body)
		bug("%s: a cost without a step", fn_name(b));
	check_type(b, "FLOP of a step", flop, IndexType);
	check_type(b, "bytes of a step", bytes, IndexType);
	s->e = flop;
	s->idx = bytes;
	s->nloc = nloc;
	s->locs = locs;
}

bool serves(const LFunc *kernel, const char *target)
{
	return !kernel->target || !strcmp(kernel->target, target);
}

const char *emitted_name(Arena *a, const LFunc *kernel, const char *target)
{
	return kernel->target ? kernel->name : arena_printf(a, "%s.%s", kernel->name, target);
}

const LFunc *step_kernel(const LStmt *step)
{
	for (const LStmt *s = step->body.first; s; s = s->next)
		if (s->kind == SCall)
			return s->callee;
	return NULL;
}

LArg arg_buf(LBuf *buf, DType elem, LExpr *offset, LExpr *len)
{
	return (LArg){.buf = buf, .elem = elem, .offset = offset, .len = len};
}

LArg arg_e(LExpr *e)
{
	return (LArg){.e = e, .elem = e->type.elem};
}

LArg arg_tensor(LB *b, LBuf *buf, LExpr *offset, int rank, LExpr *const *dims)
{
	LArg a = {.buf = buf, .elem = buf->elem, .offset = offset, .rank = rank};
	check_type(b, "offset of a tensor", offset, IndexType);
	a.dims = arena_alloc(b->arena, ((size_t)rank + 1) * sizeof *a.dims);
	for (int d = 0; d < rank; d++)
		check_type(b, "dim of a tensor", a.dims[d] = dims[d], IndexType);
	return a;
}
