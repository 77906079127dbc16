/* parse.c - reads the text form of ir.md back into a module: head, symbols, function; parse_dim.c: dims and types; parse_const.c:
 * constants; parse_node.c: nodes.
 *
 * Text is untrusted.  Every line goes through the same builders and shape functions as the frontend's; every error
 * names line and column.  Recursion is bounded by MaxNest and MaxBlocks, memory by the length of the text (and of the
 * dims in it, which dim.c bounds).  Constants in files: plain names beside the text only, so that a text cannot read
 * elsewhere.
 */
#include "parse.h"

#include <stdlib.h>
#include <string.h>

/* ---- names of values -------------------------------------------------------------------------------------------- */

/* "@w" constants, "%x" names, "#3" numbers: three spaces, so that a parameter may be called "3". */
const char *take_ref(Lexer *lx)
{
	Arena *arena = lx->m->arena;
	if (accept_tok(lx, "@"))
		return arena_printf(arena, "@%s", take_name(lx, "the name of a constant"));
	if (!accept_tok(lx, "%"))
		fail_tok(lx, "a value (%name, %number or @constant)");
	if (lx->tok.kind != TokInt)
		return arena_printf(arena, "%%%s", take_name(lx, "the name or number of a value"));
	const char *key = arena_printf(arena, "#%llu", (unsigned long long)lx->tok.number);
	next_tok(lx);
	return key;
}

static const char *shown_ref(Lexer *lx, const char *key)
{
	return *key == '#' ? arena_printf(lx->m->arena, "%%%s", key + 1) : key;
}

Value *find_value(Lexer *lx, bool *hidden)
{
	Loc at = here(lx);
	const char *key = take_ref(lx);
	void **found = find_name(&lx->values, key);
	if (!found)
		fatal_at(&at, "%s is not defined", shown_ref(lx, key));
	Scoped *s = *found;
	*hidden = s->hidden;
	return s->value;
}

Value *take_value(Lexer *lx)
{
	Loc at = here(lx);
	bool hidden;
	Value *v = find_value(lx, &hidden);
	if (hidden)
		fatal_at(&at, "the value is not visible outside of its group");
	return v;
}

void check_free(Lexer *lx, const Loc *at, const char *key)
{
	if (find_name(&lx->values, key))
		fatal_at(at, "%s is already defined", shown_ref(lx, key));
}

const char *take_new_ref(Lexer *lx, const char *what, Loc *at)
{
	*at = here(lx);
	if (!is_tok(lx, "%"))
		fail_tok(lx, what);
	const char *key = take_ref(lx);
	check_free(lx, at, key);
	return key;
}

void define_value(Lexer *lx, const Loc *at, const char *key, Value *v)
{
	check_free(lx, at, key);
	Scoped *s = arena_alloc(lx->m->arena, sizeof *s);
	s->value = v;
	add_name(&lx->values, key, s);
	PUSH(lx->m->arena, lx->scope, lx->nscope, lx->capscope, s);
}

/* ---- the function ----------------------------------------------------------------------------------------------- */

/* [s0, s1, ..]: the elements of a parameter, each a symbol of its own. */
static void parse_values(Lexer *lx, Value *v, const Loc *at)
{
	int64_t n = 1, extent;
	for (int d = 0; d < v->type.rank; d++)
		n = dim_is_const(v->type.dims[d], &extent) && extent <= MaxKnown ? n * extent : MaxKnown + 1;
	if (!may_be_dims(v->type.dtype) || n > MaxKnown)
		fatal_at(at, "elements of %s cannot be symbols", type_text(lx->m, &v->type));
	v->known = arena_alloc(lx->m->arena, ((size_t)n + 1) * sizeof *v->known);
	expect_tok(lx, "[");
	for (int64_t i = 0; i < n; i++) {
		if (i)
			expect_tok(lx, ",");
		Loc here_at = here(lx);
		Sym *s = dim_as_sym(v->known[i] = parse_dim(lx));
		if (!s || s->kind != SymInput)
			fatal_at(&here_at, "a symbol of its own is expected");
		s->kind = SymValue;
		s->input = v->index;
		s->element = (int)i;
	}
	expect_tok(lx, "]");
}

static void parse_params(Lexer *lx)
{
	expect_tok(lx, "(");
	for (int i = 0; !is_tok(lx, ")"); i++) {
		if (i)
			expect_tok(lx, ",");
		Loc at;
		const char *key = take_new_ref(lx, "% and the name of a parameter", &at);
		if (*key != '%')
			fatal_at(&at, "a parameter needs a name");
		expect_tok(lx, ":");
		Value *v = new_param(lx->m, key + 1, parse_type(lx));
		v->name = key + 1;
		if (accept_tok(lx, "="))
			parse_values(lx, v, &at);
		define_value(lx, &at, key, v);
	}
	next_tok(lx);
}

static void parse_signature(Lexer *lx, Results *r)
{
	expect_tok(lx, "(");
	while (!is_tok(lx, ")")) {
		if (r->n)
			expect_tok(lx, ",");
		Result one = {.at = here(lx)};
		one.key = take_name(lx, "the name of a result");
		for (int i = 0; i < r->n; i++)
			if (r->n < MaxListItems && !strcmp(r->items[i].key, one.key))
				fatal_at(&one.at, "result '%s' is named twice", one.key);
		expect_tok(lx, ":");
		one.type = parse_type(lx);
		PUSH(lx->m->arena, r->items, r->n, r->cap, one);
	}
	next_tok(lx);
}

static void parse_return(Lexer *lx, const Results *r)
{
	Func *fn = lx->m->main;
	Loc at = here(lx);
	expect_tok(lx, "return");
	for (int i = 0; i < r->n && at_operand(lx); i++) {
		const Result *one = &r->items[i];
		Loc value_at = here(lx);
		Value *v = take_value(lx);
		if (!type_equal(&v->type, &one->type))
			fatal_at(&value_at, "result '%s' is %s, the value returned is %s", one->key,
			         type_text(lx->m, &one->type), type_text(lx->m, &v->type));
		add_yield(lx->m, &fn->body, v);
		if (!accept_tok(lx, ","))
			break;
	}
	if (fn->body.nyield != r->n || at_operand(lx))
		fatal_at(&at, "the function returns %d value%s", r->n, r->n == 1 ? "" : "s");
	expect_tok(lx, "}");
}

static void parse_func(Lexer *lx)
{
	Module *m = lx->m;
	Results r = {0};
	expect_tok(lx, "@");
	m->main->name = take_name(lx, "the name of the function");
	parse_params(lx);
	expect_tok(lx, "->");
	parse_signature(lx, &r);
	expect_tok(lx, "{");
	parse_nodes(lx, &m->main->body, 0);
	m->main->results = arena_alloc(m->arena, ((size_t)r.n + 1) * sizeof *m->main->results);
	for (int i = 0; i < r.n; i++)
		m->main->results[i] = r.items[i].key;
	parse_return(lx, &r);
}

/* ---- the head --------------------------------------------------------------------------------------------------- */

static void parse_head(Lexer *lx)
{
	Module *m = lx->m;
	Loc at = here(lx);
	if (!accept_tok(lx, "dcc") || !accept_tok(lx, "-") || !accept_tok(lx, "ir"))
		fatal_at(&at, "this is not IR text: its first line begins with 'dcc-ir 1'");
	at = here(lx);
	int64_t version = take_int(lx, "the version of the IR", 1, INT32_MAX);
	if (version != 1)
		fatal_at(&at, "IR of version %lld; this dcc reads version 1", (long long)version);
	expect_tok(lx, "stage");
	m->stage = take_ident(lx, "the name of a pass");
	expect_tok(lx, "model");
	at = here(lx);
	m->name = take_name(lx, "the name of the model");
	if (!is_c_name(m->name))
		fatal_at(&at, "the model's name '%s' must be a C identifier", m->name);
	if (is_tok(lx, "#")) /* hand-written text has none */
		m->model_hash = parse_hash(lx);
}

/* in2[3] * n: an element of a floating input times a dim over the symbols before this one; the verifier looks for the input. */
static void parse_scaled(Lexer *lx, Sym *s)
{
	Loc at = here(lx);
	const char *input = take_ident(lx, "an input, such as in0");
	char *end = NULL;
	long number = strncmp(input, "in", 2) ? -1 : strtol(input + 2, &end, 10);
	if (number < 0 || number > DimMax || !input[2] || *end)
		fatal_at(&at, "an input such as in0 is expected");
	s->input = (int)number;
	expect_tok(lx, "[");
	s->element = (int)take_int(lx, "the number of an element", 0, MaxKnown);
	expect_tok(lx, "]");
	expect_tok(lx, "*");
	s->times = parse_dim(lx);
	s->kind = SymValue;
}

static void parse_sym(Lexer *lx)
{
	Loc at = here(lx);
	const char *name = take_ident(lx, "the name of a symbol");
	const char *key = arena_printf(lx->m->arena, "sym %s", name);
	if (!is_c_name(name))
		fatal_at(&at, "the symbol '%s' must be a C identifier", name);
	if (find_name(&lx->values, key))
		fatal_at(&at, "symbol '%s' is already declared", name);
	expect_tok(lx, "in");
	const Dim *d = dim_sym(lx->m, name);
	Sym *s = dim_as_sym(d);
	s->lo = take_int(lx, "the lower bound", -(int64_t)MaxExtent, MaxExtent);
	expect_tok(lx, "..");
	s->hi = lx->tok.kind == TokInt ? take_int(lx, "the upper bound", s->lo, MaxExtent) : DimMax;
	if (accept_tok(lx, "=")) { /* over the symbols before it */
		s->is = parse_dim(lx);
		s->kind = SymDerived;
	}
	if (accept_tok(lx, "of"))
		parse_scaled(lx, s);
	add_name(&lx->values, key, (void *)(uintptr_t)d);
}

static void parse_text(Lexer *lx)
{
	Module *m = lx->m;
	parse_head(lx);
	while (!is_tok(lx, "func")) {
		if (accept_tok(lx, "sym"))
			parse_sym(lx);
		else if (accept_tok(lx, "const"))
			parse_const(lx);
		else if (accept_tok(lx, "check"))
			parse_check(lx, &m->main->body);
		else
			fail_tok(lx, "sym, const, check or func");
	}
	next_tok(lx);
	parse_func(lx);
	Loc at = {.file = lx->path};
	const char *why = verify_module(m);
	if (why)
		fatal_at(&at, "%s", why);
	if (is_tok(lx, "loops"))
		m->loops = parse_loops(m, lx);
	if (lx->tok.kind != TokEnd)
		fail_tok(lx, m->loops ? "kernel, program or the end of the text" : "loops or the end of the text");
	why = m->loops ? verify_loops(m->loops) : NULL;
	if (why)
		fatal_at(&at, "%s", why);
}

Module *parse_module(const char *path, const char *text)
{
	Module *m = new_module("model", path);
	Lexer lx;
	jmp_buf *outer = diag_recover, mine;
	if (outer) { /* the caller goes on after an error: release what was read so far */
		if (setjmp(mine)) {
			diag_recover = outer;
			free_module(m);
			longjmp(*outer, 1);
		}
		diag_recover = &mine;
	}
	start_lexer(&lx, m, m->path, text);
	parse_text(&lx);
	diag_recover = outer;
	return m;
}
