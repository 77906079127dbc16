/* loop_parse_stmt.c - reads statements of loop IR. */
#include "loop_parse.h"

#include <limits.h>

static void parse_lblock(LoopParser *p, LBlock *b, int depth);

LStmt *append_stmt(LoopParser *p, LBlock *b, LStmtKind kind)
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

void parse_braces(LoopParser *p, LBlock *b, int depth)
{
	int first = p->nscope;
	if (depth >= MaxBlocks)
		fail_tok(p->lx, "fewer nested blocks");
	expect_tok(p->lx, "{");
	parse_lblock(p, b, depth + 1);
	expect_tok(p->lx, "}");
	close_scope(p, first);
}

LVar *new_var(LoopParser *p, const char *name, LType type)
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

void parse_lcheck(LoopParser *p, LStmt *s)
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
	case SCheck: parse_lcheck(p, s); break;
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
		parse_stmt_kind(p, append_stmt(p, b, words[i].kind), depth);
	}
}
