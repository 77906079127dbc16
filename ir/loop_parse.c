/* loop_parse.c - reads the loop IR: what follows the function in a module that has been lowered (ir.md).
 *
 * Expressions read back to the tree that loop_print.c printed: nothing is folded here.  The parser checks types as it goes
 * (lexpr_error), bounds recursion (MaxNest, MaxBlocks) and the height of trees, which others walk recursively.
 */
#include "lex.h"

#include <limits.h>
#include <string.h>

enum { MaxHeight = 2000 };

/* ---- names and expressions -------------------------------------------------------------------------------------- */

typedef struct Thing { /* what a name stands for */
	LVar *var;
	LBuf *buf;
	LTile *tile;
	bool hidden; /* its block has ended */
} Thing;

typedef struct LoopParser {
	Lexer *lx;
	Arena *arena;
	LModule *lm;
	Map names; /* of the current function */
	Map funcs;
	Thing **scope;
	int nscope, capscope;
} LoopParser;

typedef struct Ex {
	LExpr *e;
	int height;
} Ex;

static void define_thing(LoopParser *p, const Loc *at, const char *name, Thing thing)
{
	if (find_name(&p->names, name))
		fatal_at(at, "%%%s is already defined", name);
	Thing *t = arena_alloc(p->arena, sizeof *t);
	*t = thing;
	add_name(&p->names, name, t);
	PUSH(p->arena, p->scope, p->nscope, p->capscope, t);
}

static void close_scope(LoopParser *p, int first)
{
	for (int i = first; i < p->nscope; i++)
		p->scope[i]->hidden = true;
	p->nscope = first;
}

static const char *take_local(LoopParser *p)
{
	expect_tok(p->lx, "%");
	return take_name(p->lx, "a name");
}

static const Thing *take_thing(LoopParser *p)
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

static LBuf *take_buf(LoopParser *p)
{
	Loc at = here(p->lx);
	const Thing *t = take_thing(p);
	if (!t->buf)
		fatal_at(&at, "expected a buffer");
	return t->buf;
}

static LExpr *raw_expr(LoopParser *p, LOp op)
{
	LExpr *e = arena_alloc(p->arena, sizeof *e);
	e->op = op;
	return e;
}

static LExpr *index_const(LoopParser *p, int64_t v)
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

static Ex parse_expr(LoopParser *p, int level, int depth);
static Ex parse_infix(LoopParser *p, Ex left, int level, int depth);

static LExpr *parse_index(LoopParser *p)
{
	Loc at = here(p->lx);
	LExpr *e = parse_expr(p, TopLevel, 0).e;
	if (!same_ltype(e->type, IndexType))
		fatal_at(&at, "expected i64, got %s", ltype_text(p->arena, e->type));
	return e;
}

static LType parse_ltype(LoopParser *p)
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

/* Behind the index: `+: 16 stride s mask m ]`.  Returns the lanes. */
static int parse_place_end(LoopParser *p, LExpr **stride, LExpr **mask, int depth, int *height)
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

/* The load whose index has been read. */
static Ex parse_load_end(LoopParser *p, const Loc *at, LBuf *buf, Ex idx, int depth)
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

/* An expression that begins with a name, which has been read. */
static Ex parse_thing(LoopParser *p, const Loc *at, const Thing *t, int depth)
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
static Ex parse_infix(LoopParser *p, Ex left, int level, int depth)
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

static Ex parse_expr(LoopParser *p, int level, int depth)
{
	return parse_infix(p, parse_primary(p, depth), level, depth);
}

/* ---- statements ------------------------------------------------------------------------------------------------- */

static void parse_lblock(LoopParser *p, LBlock *b, int depth);

static LStmt *add_stmt(LoopParser *p, LBlock *b, LStmtKind kind)
{
	LStmt *s = arena_alloc(p->arena, sizeof *s);
	s->kind = kind;
	if (b->last)
		b->last->next = s;
	else
		b->first = s;
	b->last = s;
	return s;
}

static void parse_braces(LoopParser *p, LBlock *b, int depth)
{
	int first = p->nscope;
	if (depth >= MaxBlocks)
		fail_tok(p->lx, "fewer nested blocks");
	expect_tok(p->lx, "{");
	parse_lblock(p, b, depth + 1);
	expect_tok(p->lx, "}");
	close_scope(p, first);
}

static LVar *new_var(LoopParser *p, const char *name, LType type)
{
	LVar *v = arena_alloc(p->arena, sizeof *v);
	v->name = name;
	v->type = type;
	return v;
}

static void parse_let(LoopParser *p, LStmt *s)
{
	Loc at = here(p->lx);
	const char *name = take_local(p);
	expect_tok(p->lx, "=");
	s->e = parse_expr(p, TopLevel, 0).e;
	s->var = new_var(p, name, s->e->type);
	define_thing(p, &at, name, (Thing){.var = s->var});
}


static void parse_for(LoopParser *p, LStmt *s)
{
	s->loop = ForSerial;
	if (accept_tok(p->lx, "unroll"))
		s->loop = ForUnroll;
	else if (accept_tok(p->lx, "parallel"))
		s->loop = ForParallel;
	expect_tok(p->lx, "for");
	Loc at = here(p->lx);
	const char *name = take_local(p);
	expect_tok(p->lx, "in");
	s->e = parse_index(p);
	expect_tok(p->lx, "..");
	s->hi = parse_index(p);
	s->step = accept_tok(p->lx, "step") ? parse_index(p) : index_const(p, 1);
	s->var = new_var(p, name, IndexType);
	define_thing(p, &at, name, (Thing){.var = s->var});
}

static void parse_store(LoopParser *p, LStmt *s)
{
	int height = 0;
	s->buf = take_buf(p);
	expect_tok(p->lx, "[");
	s->idx = parse_index(p);
	LType want = {s->buf->elem, parse_place_end(p, &s->stride, &s->mask, 0, &height)};
	expect_tok(p->lx, "=");
	Loc at = here(p->lx);
	s->e = parse_expr(p, TopLevel, 0).e;
	if (!same_ltype(s->e->type, want))
		fatal_at(&at, "stores %s, expected %s", ltype_text(p->arena, s->e->type), ltype_text(p->arena, want));
}

static void parse_local(LoopParser *p, LStmt *s)
{
	Loc at = here(p->lx);
	const char *name = take_local(p);
	LBuf *buf = arena_alloc(p->arena, sizeof *buf);
	expect_tok(p->lx, ":");
	buf->name = name;
	buf->elem = take_dtype(p->lx);
	buf->written = true;
	expect_tok(p->lx, "[");
	buf->count = take_int(p->lx, "a count of elements", 1, 1 << 20);
	expect_tok(p->lx, "]");
	s->buf = buf;
	define_thing(p, &at, name, (Thing){.buf = buf});
}

static void parse_tile(LoopParser *p, LStmt *s)
{
	Loc at = here(p->lx);
	const char *name = take_local(p);
	LTile *t = arena_alloc(p->arena, sizeof *t);
	expect_tok(p->lx, ":");
	t->name = name;
	t->type = parse_ltype(p);
	expect_tok(p->lx, "[");
	t->rows = (int)take_int(p->lx, "a count of rows", 1, 1024);
	expect_tok(p->lx, ",");
	t->cols = (int)take_int(p->lx, "a count of columns", 1, 1024);
	expect_tok(p->lx, "]");
	s->tile = t;
	define_thing(p, &at, name, (Thing){.tile = t});
}

static void parse_set(LoopParser *p, LStmt *s)
{
	Loc at = here(p->lx);
	s->tile = take_thing(p)->tile;
	if (!s->tile)
		fatal_at(&at, "expected a tile");
	expect_tok(p->lx, "[");
	s->idx = parse_index(p);
	expect_tok(p->lx, ",");
	s->hi = parse_index(p);
	expect_tok(p->lx, "]");
	expect_tok(p->lx, "=");
	s->e = parse_expr(p, TopLevel, 0).e;
}

static LArg scalar_arg(LExpr *e)
{
	return (LArg){.e = e, .elem = e->type.elem};
}

/* %x, %x[offset ..], %x[offset ..+ length], each with `as TYPE`; or a scalar, which may begin with a load. */
static LArg parse_arg(LoopParser *p)
{
	Loc at = here(p->lx);
	if (!is_tok(p->lx, "%"))
		return scalar_arg(parse_expr(p, TopLevel, 0).e);
	const Thing *t = take_thing(p);
	if (!t->buf)
		return scalar_arg(parse_infix(p, parse_thing(p, &at, t, 0), TopLevel, 0).e);
	LArg a = {.buf = t->buf, .elem = t->buf->elem, .offset = index_const(p, 0)};
	if (accept_tok(p->lx, "[")) {
		Ex idx = parse_expr(p, TopLevel, 1);
		a.offset = idx.e;
		if (accept_tok(p->lx, "..+"))
			a.len = parse_index(p);
		else if (!accept_tok(p->lx, ".."))
			return scalar_arg(parse_infix(p, parse_load_end(p, &at, t->buf, idx, 0), TopLevel, 0).e);
		expect_tok(p->lx, "]");
	}
	if (accept_tok(p->lx, "as"))
		a.elem = take_dtype(p->lx);
	return a;
}

static void parse_args(LoopParser *p, LStmt *s, int most)
{
	int cap = 0;
	expect_tok(p->lx, "(");
	while (!is_tok(p->lx, ")")) {
		if (s->narg)
			expect_tok(p->lx, ",");
		if (s->narg == most)
			fail_tok(p->lx, "fewer arguments");
		LArg a = parse_arg(p);
		PUSH(p->arena, s->args, s->narg, cap, a);
	}
	next_tok(p->lx);
}

static LArg parse_tensor(LoopParser *p)
{
	Loc at = here(p->lx);
	const Thing *t = take_thing(p);
	if (!t->buf)
		fatal_at(&at, "expected a buffer");
	LArg a = {.buf = t->buf, .offset = index_const(p, 0), .dims = arena_alloc(p->arena, MaxRank * sizeof *a.dims)};
	if (accept_tok(p->lx, "[")) {
		a.offset = parse_index(p);
		expect_tok(p->lx, "]");
	}
	expect_tok(p->lx, ":");
	a.elem = take_dtype(p->lx);
	expect_tok(p->lx, "[");
	while (!is_tok(p->lx, "]")) {
		if (a.rank)
			expect_tok(p->lx, ",");
		if (a.rank == MaxRank)
			fail_tok(p->lx, "at most 8 dims");
		a.dims[a.rank++] = parse_index(p);
	}
	next_tok(p->lx);
	return a;
}

/* Returns the count. */
static int parse_tensors(LoopParser *p, LStmt *s, int *cap)
{
	int from = s->narg;
	expect_tok(p->lx, "(");
	while (!is_tok(p->lx, ")")) {
		if (s->narg > from)
			expect_tok(p->lx, ",");
		LArg a = parse_tensor(p);
		PUSH(p->arena, s->args, s->narg, *cap, a);
	}
	next_tok(p->lx);
	return s->narg - from;
}

static void parse_extern(LoopParser *p, LStmt *s)
{
	int cap = 0;
	s->text = take_ident(p->lx, "the name of a C function");
	parse_tensors(p, s, &cap);
	expect_tok(p->lx, "->");
	s->nresult = parse_tensors(p, s, &cap);
	expect_tok(p->lx, "else");
	s->code = (int)take_int(p->lx, "the number of a message", 0, INT32_MAX);
}

static void parse_call(LoopParser *p, LStmt *s)
{
	expect_tok(p->lx, "@");
	Loc at = here(p->lx);
	const char *name = take_name(p->lx, "the name of a kernel");
	void **found = find_name(&p->funcs, name);
	if (!found)
		fatal_at(&at, "kernel @%s is not defined above", name);
	s->callee = *found;
	parse_args(p, s, INT_MAX);
}

static void parse_check(LoopParser *p, LStmt *s)
{
	s->e = parse_expr(p, TopLevel, 0).e;
	expect_tok(p->lx, "else");
	s->code = (int)take_int(p->lx, "a status code", 1, 255);
	s->text = take_string(p->lx, "a message in quotes");
	if (is_tok(p->lx, "("))
		parse_args(p, s, 3);
}

static void parse_if(LoopParser *p, LStmt *s, int depth)
{
	s->e = parse_expr(p, TopLevel, 0).e;
	parse_braces(p, &s->body, depth);
	if (accept_tok(p->lx, "else"))
		parse_braces(p, &s->other, depth);
}

static void parse_prefetch(LoopParser *p, LStmt *s)
{
	s->buf = take_buf(p);
	expect_tok(p->lx, "[");
	s->idx = parse_index(p);
	expect_tok(p->lx, "]");
}

static void parse_fail(LoopParser *p, LStmt *s)
{
	s->code = (int)take_int(p->lx, "the number of a message", 0, INT32_MAX);
	expect_tok(p->lx, ",");
	s->e = parse_index(p);
	if (accept_tok(p->lx, "status"))
		s->status = (int)take_int(p->lx, "a status code", 1, 255);
}

/* The loop's variable is in scope only inside of it. */
static void parse_loop(LoopParser *p, LStmt *s, int depth)
{
	int first = p->nscope;
	parse_for(p, s);
	parse_braces(p, &s->body, depth);
	close_scope(p, first);
}

static void parse_step(LoopParser *p, LStmt *s, int depth)
{
	const Loc **locs = NULL;
	int cap = 0;
	if (accept_tok(p->lx, "flop"))
		s->e = parse_index(p);
	if (accept_tok(p->lx, "bytes"))
		s->idx = parse_index(p);
	while (is_tok(p->lx, "loc")) {
		const Loc *loc = take_loc(p->lx, here(p->lx));
		PUSH(p->arena, locs, s->nloc, cap, loc);
	}
	s->locs = locs;
	parse_braces(p, &s->body, depth);
}

static void parse_jump(LoopParser *p, LStmt *s)
{
	s->code = (int)take_int(p->lx, "the number of a step", 0, INT32_MAX);
	expect_tok(p->lx, "if");
	s->e = parse_expr(p, TopLevel, 0).e;
}

static void parse_stmt_kind(LoopParser *p, LStmt *s, int depth)
{
	switch (s->kind) {
	case SLet: parse_let(p, s); break;
	case SFor: parse_loop(p, s, depth); break;
	case SIf: parse_if(p, s, depth); break;
	case SStore: parse_store(p, s); break;
	case SLocal: parse_local(p, s); break;
	case STile: parse_tile(p, s); break;
	case SSetTile: parse_set(p, s); break;
	case SCall: parse_call(p, s); break;
	case SExtern: parse_extern(p, s); break;
	case SPrefetch: parse_prefetch(p, s); break;
	case SFail: parse_fail(p, s); break;
	case SCheck: parse_check(p, s); break;
	case SStep: parse_step(p, s, depth); break;
	case SJump: parse_jump(p, s); break;
	}
}

static void parse_lblock(LoopParser *p, LBlock *b, int depth)
{
	static const struct {
		const char *word;
		LStmtKind kind;
	} words[] = {{"let", SLet}, {"for", SFor}, {"unroll", SFor}, {"parallel", SFor}, {"if", SIf}, {"store", SStore},
	             {"local", SLocal}, {"tile", STile}, {"set", SSetTile}, {"call", SCall}, {"prefetch", SPrefetch},
	             {"extern", SExtern}, {"fail", SFail}, {"check", SCheck}, {"step", SStep}, {"jump", SJump}};
	enum { NWord = sizeof words / sizeof *words };
	while (!is_tok(p->lx, "}")) {
		int i = 0;
		while (i < NWord && !is_tok(p->lx, words[i].word))
			i++;
		if (i == NWord)
			fail_tok(p->lx, "a statement or '}'");
		if (words[i].kind != SFor)
			next_tok(p->lx);
		parse_stmt_kind(p, add_stmt(p, b, words[i].kind), depth);
	}
}

/* ---- functions and the module's parts --------------------------------------------------------------------------- */

static void begin_scope(LoopParser *p, bool with_syms)
{
	p->names = (Map){.arena = p->arena};
	p->nscope = 0;
	Loc at = here(p->lx);
	for (int i = 0; with_syms && i < p->lm->nsym; i++)
		define_thing(p, &at, p->lm->syms[i]->name, (Thing){.var = p->lm->syms[i]});
}

static LArg parse_buf_param(LoopParser *p, const Loc *at, const char *name)
{
	LBuf *buf = arena_alloc(p->arena, sizeof *buf);
	buf->name = name;
	buf->written = accept_tok(p->lx, "mut");
	buf->elem = take_dtype(p->lx);
	expect_tok(p->lx, "buf");
	define_thing(p, at, name, (Thing){.buf = buf});
	return (LArg){.buf = buf, .elem = buf->elem};
}

static LArg parse_param(LoopParser *p, const LFunc *fn)
{
	Loc at = here(p->lx);
	const char *name = take_local(p);
	if (accept_tok(p->lx, ":"))
		return parse_buf_param(p, &at, name);
	LExpr *e = raw_expr(p, LRef);
	e->type = IndexType;
	if (fn->program) {
		void **found = find_name(&p->names, name);
		e->var = found ? ((Thing *)*found)->var : NULL;
		if (!e->var)
			fatal_at(&at, "a program's scalars are the symbols and threads; %%%s is neither", name);
	} else {
		e->var = new_var(p, name, IndexType);
		define_thing(p, &at, name, (Thing){.var = e->var});
	}
	return (LArg){.e = e, .elem = I64};
}

static void parse_params(LoopParser *p, LFunc *fn)
{
	expect_tok(p->lx, "(");
	while (!is_tok(p->lx, ")")) {
		if (fn->nparam)
			expect_tok(p->lx, ",");
		LArg a = parse_param(p, fn);
		PUSH(p->arena, fn->params, fn->nparam, fn->capparam, a);
	}
	next_tok(p->lx);
}

static LFunc *parse_function(LoopParser *p, bool program)
{
	LFunc *fn = arena_alloc(p->arena, sizeof *fn);
	fn->program = program;
	expect_tok(p->lx, "@");
	Loc at = here(p->lx);
	fn->name = take_name(p->lx, "the name of a function");
	if (find_name(&p->funcs, fn->name))
		fatal_at(&at, "@%s is already defined", fn->name);
	if (accept_tok(p->lx, "target"))
		fn->target = take_name(p->lx, "the name of a target");
	fn->leaf_noinline = accept_tok(p->lx, "noinline");
	begin_scope(p, program);
	parse_params(p, fn);
	fn->loc = take_loc(p->lx, at);
	parse_braces(p, &fn->body, 0);
	add_name(&p->funcs, fn->name, fn);
	return fn;
}

static void parse_bind(LoopParser *p)
{
	LModule *lm = p->lm;
	Loc at = here(p->lx);
	const LVar *var = take_thing(p)->var;
	expect_tok(p->lx, "=");
	for (int i = 0; i < lm->nsym - 1; i++) {
		if (lm->syms[i] != var)
			continue;
		if (lm->bind[i])
			fatal_at(&at, "%%%s is bound twice", var->name);
		lm->bind[i] = parse_index(p);
		return;
	}
	fatal_at(&at, "expected a symbol of the model");
}

static void parse_outdims(LoopParser *p)
{
	LModule *lm = p->lm;
	Loc at = here(p->lx);
	int o = (int)take_int(p->lx, "the number of an output", 0, INT32_MAX), d = 0;
	if (o >= lm->nout)
		fatal_at(&at, "the model has %d outputs", lm->nout);
	if (lm->outdims[o * MaxRank])
		fatal_at(&at, "output %d is given twice", o);
	expect_tok(p->lx, "[");
	for (; !is_tok(p->lx, "]"); d++) {
		if (d)
			expect_tok(p->lx, ",");
		if (d == MaxRank)
			fail_tok(p->lx, "at most 8 dims");
		lm->outdims[o * MaxRank + d] = parse_index(p);
	}
	next_tok(p->lx);
}

static void parse_message(LoopParser *p)
{
	LModule *lm = p->lm;
	Loc at = here(p->lx);
	if (take_int(p->lx, "the number of a message", 0, INT32_MAX) != lm->nmessage)
		fatal_at(&at, "messages are numbered from 0; expected %d", lm->nmessage);
	const char *text = take_string(p->lx, "a message in quotes");
	PUSH(p->arena, lm->messages, lm->nmessage, lm->capmessage, text);
}

static void parse_weights(LoopParser *p)
{
	LModule *lm = p->lm;
	lm->weight_bytes = take_int(p->lx, "a count of bytes", 0, INT64_C(1) << 47);
	expect_tok(p->lx, "{");
	while (!accept_tok(p->lx, "}")) {
		bool hidden;
		int64_t offset = take_int(p->lx, "an offset", 0, lm->weight_bytes);
		expect_tok(p->lx, ":");
		Value *v = find_value(p->lx, &hidden);
		PUSH(p->arena, lm->weights, lm->nweight, lm->capweight, v);
		PUSH(p->arena, lm->weight_off, lm->nweight_off, lm->capweight_off, offset);
	}
}

static void parse_module_parts(LoopParser *p)
{
	Lexer *lx = p->lx;
	LModule *lm = p->lm;
	begin_scope(p, true);
	expect_tok(lx, "{");
	while (!accept_tok(lx, "}")) {
		if (accept_tok(lx, "bind")) {
			parse_bind(p);
		} else if (accept_tok(lx, "check")) {
			parse_check(p, add_stmt(p, &lm->checks, SCheck));
		} else if (accept_tok(lx, "out")) {
			parse_outdims(p);
		} else if (accept_tok(lx, "workspace")) {
			lm->workspace = parse_index(p);
		} else if (accept_tok(lx, "message")) {
			parse_message(p);
		} else if (accept_tok(lx, "weights")) {
			parse_weights(p);
		} else {
			fail_tok(lx, "bind, check, out, workspace, message, weights or '}'");
		}
	}
}

LModule *parse_loops(Module *m, Lexer *lx)
{
	LoopParser p = {.lx = lx, .arena = m->arena, .lm = new_lmodule(m), .funcs = {.arena = m->arena}};
	expect_tok(lx, "loops");
	parse_module_parts(&p);
	for (;;) {
		if (accept_tok(lx, "kernel")) {
			list_kernel(p.lm, parse_function(&p, false));
		} else if (accept_tok(lx, "program")) {
			LFunc *fn = parse_function(&p, true);
			PUSH(p.arena, p.lm->programs, p.lm->nprog, p.lm->capprog, fn);
		} else {
			return p.lm;
		}
	}
}
