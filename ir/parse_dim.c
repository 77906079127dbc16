/* parse_dim.c - reads dims and types. */
#include "parse.h"

#include <string.h>

static const Dim *parse_sum(Lexer *lx, int depth);

static void count_dim_op(Lexer *lx)
{
	if (--lx->steps < 0)
		fail_tok(lx, "a dim of at most 8192 operators");
}

static const Dim *parse_dim_call(Lexer *lx, bool min, int depth)
{
	next_tok(lx);
	const Dim *d = parse_sum(lx, depth);
	while (accept_tok(lx, ",")) {
		count_dim_op(lx);
		const Dim *e = parse_sum(lx, depth);
		d = min ? dim_min(lx->m, d, e) : dim_max(lx->m, d, e);
	}
	expect_tok(lx, ")");
	return d;
}

static const Dim *parse_dim_atom(Lexer *lx, int depth)
{
	Loc at = here(lx);
	if (depth > MaxNest)
		fail_tok(lx, "a dim nested less deeply");
	if (lx->tok.kind == TokInt)
		return dim_const(lx->m, take_int(lx, "a number", INT64_MIN, INT64_MAX));
	if (accept_tok(lx, "(")) {
		const Dim *d = parse_sum(lx, depth + 1);
		expect_tok(lx, ")");
		return d;
	}
	if (accept_tok(lx, "-")) {
		if (lx->tok.kind == TokInt && lx->tok.number == (uint64_t)INT64_MAX + 1) {
			next_tok(lx);
			return dim_const(lx->m, INT64_MIN);
		}
		count_dim_op(lx);
		return dim_mul_const(lx->m, parse_dim_atom(lx, depth + 1), -1);
	}
	const char *name = take_ident(lx, "a dim");
	if (is_tok(lx, "(") && (!strcmp(name, "min") || !strcmp(name, "max")))
		return parse_dim_call(lx, !strcmp(name, "min"), depth + 1);
	void **sym = find_name(&lx->values, arena_printf(lx->m->arena, "sym %s", name));
	if (!sym)
		fatal_at(&at, "symbol '%s' is not declared (sym %s in 0..)", name, name);
	return *sym;
}

/* Then a % is that of a value and ends the dim before it. */
static bool begins_line(const Tok *t)
{
	const char *p = t->start;
	while (p[-1] == ' ' || p[-1] == '\t')
		p--;
	return p[-1] == '\n';
}

static const Dim *parse_product(Lexer *lx, int depth)
{
	const Dim *d = parse_dim_atom(lx, depth);
	for (;;) {
		char op = lx->tok.kind == TokPunct && lx->tok.len == 1 ? *lx->tok.start : 0;
		if ((op != '*' && op != '/' && op != '%') || (op == '%' && begins_line(&lx->tok)))
			return d;
		next_tok(lx);
		count_dim_op(lx);
		Loc at = here(lx);
		const Dim *e = parse_dim_atom(lx, depth);
		if (op != '*' && dim_equals(e, 0))
			fatal_at(&at, "division by zero");
		d = op == '*' ? dim_mul(lx->m, d, e) : op == '/' ? dim_floordiv(lx->m, d, e) : dim_mod(lx->m, d, e);
	}
}

static const Dim *parse_sum(Lexer *lx, int depth)
{
	const Dim *d = parse_product(lx, depth);
	for (;;) {
		bool minus = is_tok(lx, "-");
		if (!minus && !is_tok(lx, "+"))
			return d;
		next_tok(lx);
		count_dim_op(lx);
		const Dim *e = parse_product(lx, depth);
		d = minus ? dim_sub(lx->m, d, e) : dim_add(lx->m, d, e);
	}
}

const Dim *parse_dim(Lexer *lx)
{
	lx->steps = MaxDimOps;
	return parse_sum(lx, 0);
}

Type parse_type(Lexer *lx)
{
	Type t = {.dtype = take_dtype(lx)};
	expect_tok(lx, "[");
	while (!is_tok(lx, "]")) {
		if (t.rank)
			expect_tok(lx, ",");
		if (t.rank == MaxRank)
			fail_tok(lx, "at most 8 dims");
		t.dims[t.rank++] = parse_dim(lx);
	}
	next_tok(lx);
	return t;
}
