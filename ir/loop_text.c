/* loop_text.c - the text form of the loop IR: what follows the function in a module that has been lowered (ir.md).
 *
 * Expressions print as a tree with as few parentheses as the table of infix operators allows, and read back to the same
 * tree: nothing is folded here.  Names are made unique per function while printing.  The parser checks types as it goes
 * (lexpr_error), bounds recursion (MaxNest, MaxBlocks) and the height of trees, which others walk recursively.
 */
#include "lex.h"

#include <stdlib.h>
#include <string.h>

enum { MaxHeight = 2000, MaxParams = 4096 };

static const LType IndexType = {I64, 1};

/* Operators between their operands, loosest first; all associate to the left. */
static const struct Infix {
	const char *text;
	int level;
	LOp ints, floats; /* LConst: none */
} infixes[] = {
	{"|", 1, LOr, LConst},      {"^", 2, LXor, LConst},  {"&", 3, LAnd, LConst}, {"==", 4, LEq, LEq},
	{"!=", 4, LNe, LNe},        {"<=", 5, LLe, LLe},     {"<", 5, LLt, LLt},     {"<<", 6, LShl, LConst},
	{">>", 6, LShr, LConst},    {"+", 7, LAdd, LAdd},    {"-", 7, LSub, LSub},   {"*", 8, LMul, LMul},
	{"/", 8, LFloorDiv, LDiv},  {"%", 8, LMod, LConst},
};
enum { NInfix = sizeof infixes / sizeof *infixes, TopLevel = 1, Atom = 9 };

static bool is_float(LType t)
{
	return dtypes[t.elem].cls == ClassFloat;
}

static const struct Infix *find_infix(LOp op, LType args)
{
	for (int i = 0; i < NInfix; i++)
		if (op != LConst && (is_float(args) ? infixes[i].floats : infixes[i].ints) == op)
			return &infixes[i];
	return NULL;
}

/* ==== printing =================================================================================================== */

typedef struct Printer {
	FILE *f;
	Map taken; /* names of this function */
	Map names; /* of variables, buffers and tiles by address */
	int depth;
} Printer;

static Printer new_printer(FILE *f, Arena *arena)
{
	return (Printer){.f = f, .taken = {.arena = arena}, .names = {.arena = arena}, .depth = 1};
}

static void name_as(Printer *p, const void *thing, const char *name)
{
	add_ptr(&p->names, thing, (void *)(uintptr_t)name);
}

/* Gives `thing` its name, or one with a number behind it if another thing has that. */
static void define_name(Printer *p, const void *thing, const char *name)
{
	const char *unique = name = name && *name ? name : "v";
	for (int i = 1; find_name(&p->taken, unique); i++)
		unique = arena_printf(p->taken.arena, "%s.%d", name, i);
	add_name(&p->taken, unique, NULL);
	name_as(p, thing, unique);
}

static void print_thing(Printer *p, const void *thing, const char *name)
{
	void **found = find_ptr(&p->names, thing);
	const char *shown = found ? *found : name;
	putc('%', p->f);
	print_name(p->f, shown && *shown ? shown : "v");
}

static void print_ltype(FILE *f, LType t)
{
	fputs(dtypes[t.elem].text, f);
	if (t.lanes != 1)
		fprintf(f, "<%d>", t.lanes);
}

static void print_expr(Printer *p, const LExpr *e, int level);

static uint64_t float_bits(DType type, double v)
{
	float f = (float)v;
	uint32_t b;
	uint64_t bits;
	memcpy(&b, &f, sizeof b);
	memcpy(&bits, &v, sizeof bits);
	return type == F32 ? b : bits;
}

static void print_lconst(Printer *p, const LExpr *e)
{
	if (same_ltype(e->type, IndexType)) {
		fprintf(p->f, "%lld", (long long)e->i);
		return;
	}
	print_ltype(p->f, e->type);
	putc('(', p->f);
	if (is_float(e->type))
		print_number(p->f, e->type.elem, e->f, float_bits(e->type.elem, e->f));
	else
		fprintf(p->f, "%lld", (long long)e->i);
	putc(')', p->f);
}

/* [idx], [idx +: 16], [idx +: 16 stride s mask m] */
static void print_place(Printer *p, int lanes, const LExpr *idx, const LExpr *stride, const LExpr *mask)
{
	putc('[', p->f);
	print_expr(p, idx, TopLevel);
	if (lanes != 1)
		fprintf(p->f, " +: %d", lanes);
	if (stride) {
		fputs(" stride ", p->f);
		print_expr(p, stride, TopLevel);
	}
	if (mask) {
		fputs(" mask ", p->f);
		print_expr(p, mask, TopLevel);
	}
	putc(']', p->f);
}

/* min(min(a, b), c) as min(a, b, c): sums of many sizes would nest too deeply otherwise. */
static void print_arguments(Printer *p, const LExpr *e)
{
	const LExpr *first = e->a[0];
	if ((e->op == LMin || e->op == LMax) && first->op == e->op && same_ltype(first->type, e->type))
		print_arguments(p, first);
	else
		print_expr(p, first, TopLevel);
	for (int i = 1; i < lops[e->op].nargs; i++) {
		fputs(", ", p->f);
		print_expr(p, e->a[i], TopLevel);
	}
}

static void print_call_form(Printer *p, const LExpr *e)
{
	fprintf(p->f, "%s(", lops[e->op].text);
	if (e->op == LConvert || e->op == LBitcast || e->op == LIota) {
		print_ltype(p->f, e->type);
		if (e->op != LIota)
			fputs(", ", p->f);
	}
	if (lops[e->op].nargs)
		print_arguments(p, e);
	putc(')', p->f);
}

static void print_infix(Printer *p, const LExpr *e, const struct Infix *in, int level)
{
	bool parens = in->level < level;
	if (parens)
		putc('(', p->f);
	print_expr(p, e->a[0], in->level);
	fprintf(p->f, " %s ", in->text);
	print_expr(p, e->a[1], in->level + 1);
	if (parens)
		putc(')', p->f);
}

static void print_expr(Printer *p, const LExpr *e, int level)
{
	const struct Infix *in = lops[e->op].nargs == 2 ? find_infix(e->op, e->a[0]->type) : NULL;
	switch (e->op) {
	case LConst: print_lconst(p, e); return;
	case LRef: print_thing(p, e->var, e->var->name); return;
	case LLoad:
		print_thing(p, e->buf, e->buf->name);
		print_place(p, e->type.lanes, e->a[0], e->stride, e->mask);
		return;
	case LElem:
		print_thing(p, e->tile, e->tile->name);
		putc('[', p->f);
		print_arguments(p, e);
		putc(']', p->f);
		return;
	default: break;
	}
	if (in)
		print_infix(p, e, in, level);
	else
		print_call_form(p, e);
}

static void print_arg(Printer *p, const LArg *a)
{
	int64_t zero = 0;
	if (!a->buf) {
		print_expr(p, a->e, TopLevel);
		return;
	}
	print_thing(p, a->buf, a->buf->name);
	bool at_start = !a->offset || (a->offset->op == LConst && a->offset->i == zero);
	if (a->len || !at_start) {
		putc('[', p->f);
		if (a->offset)
			print_expr(p, a->offset, TopLevel);
		else
			putc('0', p->f);
		fputs(a->len ? " ..+ " : " ..", p->f);
		if (a->len)
			print_expr(p, a->len, TopLevel);
		putc(']', p->f);
	}
	if (a->elem != a->buf->elem)
		fprintf(p->f, " as %s", dtypes[a->elem].text);
}

static void print_args(Printer *p, int n, const LArg *args)
{
	putc('(', p->f);
	for (int i = 0; i < n; i++) {
		fputs(i ? ", " : "", p->f);
		print_arg(p, &args[i]);
	}
	putc(')', p->f);
}

/* %b[offset]: f32[n, 4] */
static void print_tensors(Printer *p, int n, const LArg *args)
{
	putc('(', p->f);
	for (int i = 0; i < n; i++) {
		const LArg *a = &args[i];
		fputs(i ? ", " : "", p->f);
		print_thing(p, a->buf, a->buf->name);
		if (!(a->offset->op == LConst && a->offset->i == 0))
			print_place(p, 1, a->offset, NULL, NULL);
		fprintf(p->f, ": %s[", dtypes[a->elem].text);
		for (int d = 0; d < a->rank; d++) {
			fputs(d ? ", " : "", p->f);
			print_expr(p, a->dims[d], TopLevel);
		}
		putc(']', p->f);
	}
	putc(')', p->f);
}

static bool is_short(const LExpr *e)
{
	return e->op == LConst || e->op == LRef;
}

static void print_for(Printer *p, const LStmt *s)
{
	static const char *const words[] = {[ForSerial] = "", [ForUnroll] = "unroll ", [ForParallel] = "parallel "};
	fprintf(p->f, "%sfor ", words[s->loop]);
	print_thing(p, s->var, s->var->name);
	fputs(" in ", p->f);
	print_expr(p, s->e, TopLevel);
	fputs(is_short(s->e) && is_short(s->hi) ? ".." : " .. ", p->f);
	print_expr(p, s->hi, TopLevel);
	if (s->step && !(s->step->op == LConst && s->step->i == 1)) {
		fputs(" step ", p->f);
		print_expr(p, s->step, TopLevel);
	}
}

static void define_stmt(Printer *p, const LStmt *s)
{
	if (s->kind == SLet || s->kind == SFor)
		define_name(p, s->var, s->var->name);
	else if (s->kind == SLocal)
		define_name(p, s->buf, s->buf->name);
	else if (s->kind == STile)
		define_name(p, s->tile, s->tile->name);
}

static void print_step(Printer *p, const LStmt *s)
{
	fputs("step", p->f);
	if (s->e) {
		fputs(" flop ", p->f);
		print_expr(p, s->e, TopLevel);
	}
	if (s->idx) {
		fputs(" bytes ", p->f);
		print_expr(p, s->idx, TopLevel);
	}
	for (int i = 0; i < s->nloc; i++)
		print_loc(p->f, s->locs[i]);
}

/* The statement's line, without the blocks that belong to it. */
static void print_stmt_head(Printer *p, const LStmt *s)
{
	FILE *f = p->f;
	switch (s->kind) {
	case SLet:
		fputs("let ", f);
		print_thing(p, s->var, s->var->name);
		fputs(" = ", f);
		print_expr(p, s->e, TopLevel);
		break;
	case SFor: print_for(p, s); break;
	case SIf:
		fputs("if ", f);
		print_expr(p, s->e, TopLevel);
		break;
	case SStore:
		fputs("store ", f);
		print_thing(p, s->buf, s->buf->name);
		print_place(p, s->e->type.lanes, s->idx, s->stride, s->mask);
		fputs(" = ", f);
		print_expr(p, s->e, TopLevel);
		break;
	case SLocal:
		fputs("local ", f);
		print_thing(p, s->buf, s->buf->name);
		fprintf(f, ": %s[%lld]", dtypes[s->buf->elem].text, (long long)s->buf->count);
		break;
	case STile:
		fputs("tile ", f);
		print_thing(p, s->tile, s->tile->name);
		fputs(": ", f);
		print_ltype(f, s->tile->type);
		fprintf(f, "[%d, %d]", s->tile->rows, s->tile->cols);
		break;
	case SSetTile:
		fputs("set ", f);
		print_thing(p, s->tile, s->tile->name);
		putc('[', f);
		print_expr(p, s->idx, TopLevel);
		fputs(", ", f);
		print_expr(p, s->hi, TopLevel);
		fputs("] = ", f);
		print_expr(p, s->e, TopLevel);
		break;
	case SCall:
		fputs("call @", f);
		print_name(f, s->callee->name);
		print_args(p, s->narg, s->args);
		break;
	case SExtern:
		fprintf(f, "extern %s", s->text);
		print_tensors(p, s->narg - s->nresult, s->args);
		fputs(" -> ", f);
		print_tensors(p, s->nresult, s->args + s->narg - s->nresult);
		fprintf(f, " else %d", s->code);
		break;
	case SPrefetch:
		fputs("prefetch ", f);
		print_thing(p, s->buf, s->buf->name);
		print_place(p, 1, s->idx, NULL, NULL);
		break;
	case SFail:
		fprintf(f, "fail %d, ", s->code);
		print_expr(p, s->e, TopLevel);
		break;
	case SCheck:
		fputs("check ", f);
		print_expr(p, s->e, TopLevel);
		fprintf(f, " else %d ", s->code);
		print_quoted(f, s->text ? s->text : "");
		if (s->narg) {
			putc(' ', f);
			print_args(p, s->narg, s->args);
		}
		break;
	case SStep: print_step(p, s); break;
	}
}

static void print_indent(Printer *p)
{
	for (int i = 0; i < p->depth; i++)
		fputs("  ", p->f);
}

static void print_lblock(Printer *p, const LBlock *b);

static void print_body(Printer *p, const LBlock *b)
{
	fputs(" {\n", p->f);
	p->depth++;
	print_lblock(p, b);
	p->depth--;
	print_indent(p);
	putc('}', p->f);
}

static void print_lblock(Printer *p, const LBlock *b)
{
	for (const LStmt *s = b->first; s; s = s->next) {
		print_indent(p);
		define_stmt(p, s);
		print_stmt_head(p, s);
		if (s->kind == SFor || s->kind == SIf || s->kind == SStep)
			print_body(p, &s->body);
		if (s->other.first) {
			fputs(" else", p->f);
			print_body(p, &s->other);
		}
		putc('\n', p->f);
	}
}

static void print_param(Printer *p, const LFunc *fn, const LArg *a)
{
	if (a->buf) {
		define_name(p, a->buf, a->buf->name);
		print_thing(p, a->buf, a->buf->name);
		fprintf(p->f, ": %s%s buf", a->buf->written ? "mut " : "", dtypes[a->buf->elem].text);
		return;
	}
	/* a program's scalars are the module's symbols, by name */
	if (fn->program)
		name_as(p, a->e->var, a->e->var->name);
	else
		define_name(p, a->e->var, a->e->var->name);
	print_thing(p, a->e->var, a->e->var->name);
}

static void print_function(Printer *p, const LFunc *fn)
{
	fprintf(p->f, "%s @", fn->program ? "program" : "kernel");
	print_name(p->f, fn->name);
	if (fn->target) {
		fputs(" target ", p->f);
		print_name(p->f, fn->target);
	}
	fputs(fn->leaf_noinline ? " noinline(" : "(", p->f);
	for (int i = 0; i < fn->nparam; i++) {
		fputs(i ? ", " : "", p->f);
		print_param(p, fn, &fn->params[i]);
	}
	putc(')', p->f);
	print_loc(p->f, fn->loc);
	fputs(" {\n", p->f);
	print_lblock(p, &fn->body);
	fputs("}\n", p->f);
}

void print_lfunc(FILE *f, const LFunc *fn)
{
	Arena *arena = new_arena();
	Printer p = new_printer(f, arena);
	print_function(&p, fn);
	free_arena(arena);
}

char *lstmt_text(Arena *arena, const LStmt *s)
{
	char *text = NULL;
	size_t size;
	Arena *own = new_arena();
	FILE *f = open_memstream(&text, &size);
	if (!f)
		fatal_at(NULL, "out of memory");
	Printer p = new_printer(f, own);
	print_stmt_head(&p, s);
	fclose(f);
	free_arena(own);
	char *copy = arena_printf(arena, "%.100s%s", text, size > 100 ? "..." : "");
	free(text);
	return copy;
}

static void print_weights(FILE *f, const LModule *lm)
{
	fprintf(f, "  weights %lld {\n", (long long)lm->weight_bytes);
	for (int i = 0; i < lm->nweight; i++) {
		fprintf(f, "    %lld: ", (long long)lm->weight_off[i]);
		print_ref(f, lm->weights[i]);
		putc('\n', f);
	}
	fputs("  }\n", f);
}

static void print_outdims(Printer *p, const LModule *lm)
{
	for (int o = 0; o < lm->nout; o++) {
		fprintf(p->f, "  out %d [", o);
		for (int d = 0; d < MaxRank && lm->outdims[o * MaxRank + d]; d++) {
			fputs(d ? ", " : "", p->f);
			print_expr(p, lm->outdims[o * MaxRank + d], TopLevel);
		}
		fputs("]\n", p->f);
	}
}

static void print_module_parts(Printer *p, const LModule *lm)
{
	fputs("loops {\n", p->f);
	for (int i = 0; i < lm->nsym - 1; i++) {
		if (!lm->bind[i])
			continue;
		fputs("  bind ", p->f);
		print_thing(p, lm->syms[i], lm->syms[i]->name);
		fputs(" = ", p->f);
		print_expr(p, lm->bind[i], TopLevel);
		putc('\n', p->f);
	}
	print_lblock(p, &lm->checks);
	print_outdims(p, lm);
	if (lm->workspace) {
		fputs("  workspace ", p->f);
		print_expr(p, lm->workspace, TopLevel);
		putc('\n', p->f);
	}
	for (int i = 0; i < lm->nmessage; i++) {
		fprintf(p->f, "  message %d ", i);
		print_quoted(p->f, lm->messages[i]);
		putc('\n', p->f);
	}
	print_weights(p->f, lm);
	fputs("}\n", p->f);
}

/* ---- the listing ------------------------------------------------------------------------------------------------ */

static const char listing_head[] =
	"; Kernels and programs of the model (ir.md); line numbers of debug information mean this file.\n";

/* One line a statement, and one for each closing brace: what print_lblock does. */
static int number_block(const LBlock *b, int line)
{
	for (LStmt *s = b->first; s; s = s->next) {
		s->line = line++;
		if (s->kind == SFor || s->kind == SIf || s->kind == SStep)
			line = number_block(&s->body, line) + 1;
		if (s->other.first)
			line = number_block(&s->other, line) + 1;
	}
	return line;
}

static int number_function(LFunc *fn, int line)
{
	fn->line = line;
	return number_block(&fn->body, line + 1) + 1;
}

void number_lines(LModule *lm)
{
	int line = 2; /* behind listing_head */
	for (int i = 0; i < lm->nfunc; i++)
		line = number_function(lm->funcs[i], line);
	for (int i = 0; i < lm->nprog; i++)
		line = number_function(lm->programs[i], line);
}

static void print_functions(FILE *f, LModule *lm, Arena *arena)
{
	for (int i = 0; i < lm->nfunc; i++)
		print_lfunc(f, lm->funcs[i]);
	for (int i = 0; i < lm->nprog; i++) {
		Printer p = new_printer(f, arena);
		for (int s = 0; s < lm->nsym; s++)
			define_name(&p, lm->syms[s], lm->syms[s]->name);
		print_function(&p, lm->programs[i]);
	}
}

void print_listing(FILE *f, LModule *lm)
{
	Arena *arena = new_arena();
	fputs(listing_head, f);
	print_functions(f, lm, arena);
	free_arena(arena);
}

void print_loops(FILE *f, LModule *lm)
{
	Arena *arena = new_arena();
	number_values(lm->m);
	Printer p = new_printer(f, arena);
	print_module_parts(&p, lm);
	print_functions(f, lm, arena);
	free_arena(arena);
}

/* ==== parsing ==================================================================================================== */

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
	e->i = v;
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
	uint64_t bits;
	LExpr *e = raw_expr(p, LConst);
	e->type = parse_ltype(p);
	expect_tok(p->lx, "(");
	if (is_float(e->type))
		e->f = take_float(p->lx, e->type.elem, &bits);
	else
		e->i = take_int(p->lx, "an integer", INT64_MIN, INT64_MAX);
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
		if (s->narg == MaxLArgs)
			fail_tok(p->lx, "fewer tensors");
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
	parse_args(p, s, MaxLArgs);
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
	}
}

static void parse_lblock(LoopParser *p, LBlock *b, int depth)
{
	static const struct {
		const char *word;
		LStmtKind kind;
	} words[] = {{"let", SLet}, {"for", SFor}, {"unroll", SFor}, {"parallel", SFor}, {"if", SIf}, {"store", SStore},
	             {"local", SLocal}, {"tile", STile}, {"set", SSetTile}, {"call", SCall}, {"prefetch", SPrefetch},
	             {"extern", SExtern}, {"fail", SFail}, {"check", SCheck}, {"step", SStep}};
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
	int cap = 0;
	expect_tok(p->lx, "(");
	while (!is_tok(p->lx, ")")) {
		if (fn->nparam)
			expect_tok(p->lx, ",");
		if (fn->nparam == (fn->program ? MaxParams : MaxLArgs))
			fail_tok(p->lx, "fewer parameters");
		LArg a = parse_param(p, fn);
		PUSH(p->arena, fn->params, fn->nparam, cap, a);
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
			LFunc *fn = parse_function(&p, false);
			PUSH(p.arena, p.lm->funcs, p.lm->nfunc, p.lm->capfunc, fn);
		} else if (accept_tok(lx, "program")) {
			LFunc *fn = parse_function(&p, true);
			PUSH(p.arena, p.lm->programs, p.lm->nprog, p.lm->capprog, fn);
		} else {
			return p.lm;
		}
	}
}
