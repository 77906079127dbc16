/* loop_parse_expr.c - reads names and expressions of loop IR. */
#include "loop_parse.h"

#include <string.h>

enum { MaxHeight = 2000 };

/* ---- names ------------------------------------------------------------------------------------------------------- */

void define_thing(LoopParser *p, const Loc *at, const char *name, Thing thing)
{
	if (find_name(&p->names, name))
		fatal_at(at, "%%%s is already defined", name);
	Thing *t = arena_alloc(p->arena, sizeof *t);
	*t = thing;
	add_name(&p->names, name, t);
	PUSH(p->arena, p->scope, p->nscope, p->capscope, t);
}

void close_scope(LoopParser *p, int first)
{
	for (int i = first; i < p->nscope; i++)
		p->scope[i]->hidden = true;
	p->nscope = first;
}

const char *take_local(LoopParser *p)
{
	expect_tok(p->lx, "%");
	return take_name(p->lx, "a name");
}

const Thing *take_thing(LoopParser *p)
{
	Loc at = here(p->lx);
	const char *name = take_local(p);
	void **found = find_name(&p->names, name);
	if (!found)
		fatal_at(&at, "%%%s is not defined", name);
	const Thing *t = *found;
	if (t->hidden)
		fatal_at(&at, "%%%s is not visible here: its block has ended", name);
	return t;
}

LBuf *take_buf(LoopParser *p)
{
	Loc at = here(p->lx);
	const Thing *t = take_thing(p);
	if (!t->buf)
		fatal_at(&at, "expected a buffer");
	return t->buf;
}

LExpr *raw_expr(LoopParser *p, LOp op)
{
	LExpr *e = arena_alloc(p->arena, sizeof *e);
	e->op = op;
	return e;
}

LExpr *index_const(LoopParser *p, int64_t v)
{
	LExpr *e = raw_expr(p, LConst);
	e->type = IndexType;
	e->value = scalar_of_int(I64, v);
	return e;
}

/* The type of a node that has its arguments, and whether they fit. */
static Ex finish_expr(LoopParser *p, const Loc *at, LExpr *e, int height)
{
	const char *why = lexpr_error(p->arena, e);
	if (why)
		fatal_at(at, "%s", why);
	if (height >= MaxHeight)
		fatal_at(at, "the expression is too deep; bind parts of it with let");
	return (Ex){e, height + 1};
}

/* ---- expressions ------------------------------------------------------------------------------------------------- */

LExpr *parse_index(LoopParser *p)
{
	Loc at = here(p->lx);
	LExpr *e = parse_expr(p, TopLevel, 0).e;
	if (!same_ltype(e->type, IndexType))
		fatal_at(&at, "expected i64, got %s", ltype_text(p->arena, e->type));
	return e;
}

LType parse_ltype(LoopParser *p)
{
	LType t = {.elem = take_dtype(p->lx), .lanes = 1};
	if (accept_tok(p->lx, "<")) {
		t.lanes = (int)take_int(p->lx, "16", Lanes, Lanes);
		expect_tok(p->lx, ">");
	}
	return t;
}

/* f32<16>(0.5) */
static Ex parse_typed_const(LoopParser *p)
{
	Loc at = here(p->lx);
	LExpr *e = raw_expr(p, LConst);
	e->type = parse_ltype(p);
	expect_tok(p->lx, "(");
	e->value = take_scalar(p->lx, e->type.elem, "an integer");
	expect_tok(p->lx, ")");
	return finish_expr(p, &at, e, 0);
}

static int max_int(int a, int b)
{
	return a > b ? a : b;
}

int parse_place_end(LoopParser *p, LExpr **stride, LExpr **mask, int depth, int *height)
{
	int lanes = 1;
	if (accept_tok(p->lx, "+:"))
		lanes = (int)take_int(p->lx, "16", Lanes, Lanes);
	for (int i = 0; i < 2; i++) {
		if (!accept_tok(p->lx, i ? "mask" : "stride"))
			continue;
		Ex x = parse_expr(p, TopLevel, depth + 1);
		*(i ? mask : stride) = x.e;
		*height = max_int(*height, x.height);
	}
	expect_tok(p->lx, "]");
	return lanes;
}

Ex parse_load_end(LoopParser *p, const Loc *at, LBuf *buf, Ex idx, int depth)
{
	LExpr *e = raw_expr(p, LLoad);
	e->buf = buf;
	e->a[0] = idx.e;
	int lanes = parse_place_end(p, &e->stride, &e->mask, depth, &idx.height);
	e->type = (LType){buf->elem, lanes};
	return finish_expr(p, at, e, idx.height);
}

static Ex parse_elem(LoopParser *p, const Loc *at, LTile *tile, int depth)
{
	LExpr *e = raw_expr(p, LElem);
	e->tile = tile;
	e->type = tile->type;
	expect_tok(p->lx, "[");
	Ex i = parse_expr(p, TopLevel, depth + 1);
	expect_tok(p->lx, ",");
	Ex j = parse_expr(p, TopLevel, depth + 1);
	expect_tok(p->lx, "]");
	e->a[0] = i.e;
	e->a[1] = j.e;
	return finish_expr(p, at, e, max_int(i.height, j.height));
}

Ex parse_thing(LoopParser *p, const Loc *at, const Thing *t, int depth)
{
	if (t->tile)
		return parse_elem(p, at, t->tile, depth);
	if (t->buf) {
		expect_tok(p->lx, "[");
		Ex idx = parse_expr(p, TopLevel, depth + 1);
		return parse_load_end(p, at, t->buf, idx, depth);
	}
	LExpr *e = raw_expr(p, LRef);
	e->var = t->var;
	e->type = t->var->type;
	return (Ex){e, 1};
}

static Ex parse_named(LoopParser *p, int depth)
{
	Loc at = here(p->lx);
	return parse_thing(p, &at, take_thing(p), depth);
}

static LOp find_lop(const char *text)
{
	LOp op = LAdd; /* behind Const and Ref, which have no text */
	while (op < NLOps && (strcmp(text, lops[op].text) || op == LLoad || op == LElem))
		op++;
	return op;
}

/* name(a, b, ...), name(type, a) or name(type) */
static Ex parse_call_form(LoopParser *p, int depth)
{
	Loc at = here(p->lx);
	const char *name = take_ident(p->lx, "an expression");
	LOp op = find_lop(name);
	if (op == NLOps)
		fatal_at(&at, "there is no function '%s' in the loop IR", name);
	LExpr *e = raw_expr(p, op);
	int height = 0, n = lops[op].nargs;
	expect_tok(p->lx, "(");
	if (op == LConvert || op == LBitcast || op == LIota) {
		e->type = parse_ltype(p);
		if (op != LIota)
			expect_tok(p->lx, ",");
	}
	for (int i = 0; i < n; i++) {
		if (i)
			expect_tok(p->lx, ",");
		Ex x = parse_expr(p, TopLevel, depth + 1);
		e->a[i] = x.e;
		height = max_int(height, x.height);
	}
	if (op == LSplat)
		e->type = (LType){e->a[0]->type.elem, Lanes};
	if (op == LFailed)
		e->type = (LType){Bool, 1};
	if (op == LWorker)
		e->type = IndexType;
	e->type = lop_type(e);
	Ex ex = finish_expr(p, &at, e, height);
	while ((op == LMin || op == LMax) && accept_tok(p->lx, ",")) {
		Ex x = parse_expr(p, TopLevel, depth + 1);
		LExpr *more = raw_expr(p, op);
		more->a[0] = ex.e;
		more->a[1] = x.e;
		more->type = lop_type(more);
		ex = finish_expr(p, &at, more, max_int(ex.height, x.height));
	}
	expect_tok(p->lx, ")");
	return ex;
}

static bool at_dtype(const Lexer *lx)
{
	for (int i = 0; i < NDTypes; i++)
		if (is_tok(lx, dtypes[i].text))
			return true;
	return false;
}

static Ex parse_primary(LoopParser *p, int depth)
{
	if (depth > MaxNest)
		fail_tok(p->lx, "an expression nested less deeply");
	if (p->lx->tok.kind == TokInt || is_tok(p->lx, "-"))
		return (Ex){index_const(p, take_int(p->lx, "an integer", INT64_MIN, INT64_MAX)), 1};
	if (is_tok(p->lx, "%"))
		return parse_named(p, depth);
	if (accept_tok(p->lx, "(")) {
		Ex x = parse_expr(p, TopLevel, depth + 1);
		expect_tok(p->lx, ")");
		return x;
	}
	if (p->lx->tok.kind == TokFloat)
		fail_tok(p->lx, "a number with its type, as f32(0.5)");
	return at_dtype(p->lx) ? parse_typed_const(p) : parse_call_form(p, depth);
}

static const struct Infix *at_infix(const Lexer *lx, int level)
{
	for (int i = 0; i < NInfix; i++)
		if (infixes[i].level >= level && is_tok(lx, infixes[i].text))
			return &infixes[i];
	return NULL;
}

/* Operators of at least `level` behind `left`. */
Ex parse_infix(LoopParser *p, Ex left, int level, int depth)
{
	const struct Infix *in;
	while ((in = at_infix(p->lx, level))) {
		Loc at = here(p->lx);
		next_tok(p->lx);
		Ex right = parse_expr(p, in->level + 1, depth + 1);
		LExpr *e = raw_expr(p, is_float(left.e->type) ? in->floats : in->ints);
		if (e->op == LConst)
			fatal_at(&at, "'%s' takes no floating-point numbers", in->text);
		e->a[0] = left.e;
		e->a[1] = right.e;
		e->type = lop_type(e);
		left = finish_expr(p, &at, e, max_int(left.height, right.height));
	}
	return left;
}

Ex parse_expr(LoopParser *p, int level, int depth)
{
	return parse_infix(p, parse_primary(p, depth), level, depth);
}
