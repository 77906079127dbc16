/* loop_parse.c - reads the loop IR: what follows the function in a module that has been lowered (ir.md).
 *
 * Expressions read back to the tree that loop_print.c printed: nothing is folded here.  The parser checks types as it goes
 * (lexpr_error), bounds recursion (MaxNest, MaxBlocks) and the height of trees, which others walk recursively.
 */
#include "loop_parse.h"

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
			parse_lcheck(p, append_stmt(p, &lm->checks, SCheck));
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
