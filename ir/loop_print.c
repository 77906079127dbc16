/* loop_print.c - prints the loop IR: what follows the function in a module that has been lowered (ir.md), single functions
 * and statements, and the listing that debug information refers to.
 *
 * Expressions print as a tree with as few parentheses as the table of infix operators allows; loop_parse.c reads them back to
 * the same tree.  Names are made unique per function while printing.  number_lines counts the lines that print_lblock writes.
 */
#include "lex.h"

#include <stdlib.h>
#include <string.h>

const struct Infix infixes[] = {
	{"|", 1, LOr, LConst},      {"^", 2, LXor, LConst},  {"&", 3, LAnd, LConst}, {"==", 4, LEq, LEq},
	{"!=", 4, LNe, LNe},        {"<=", 5, LLe, LLe},     {"<", 5, LLt, LLt},     {"<<", 6, LShl, LConst},
	{">>", 6, LShr, LConst},    {"+", 7, LAdd, LAdd},    {"-", 7, LSub, LSub},   {"*", 8, LMul, LMul},
	{"/", 8, LFloorDiv, LDiv},  {"%", 8, LMod, LConst},
};
_Static_assert(sizeof infixes / sizeof *infixes == NInfix, "the count in lex.h");

static const struct Infix *find_infix(LOp op, LType args)
{
	for (int i = 0; i < NInfix; i++)
		if (op != LConst && (is_float(args) ? infixes[i].floats : infixes[i].ints) == op)
			return &infixes[i];
	return NULL;
}

/* ---- names, expressions, statements, functions ------------------------------------------------------------------ */

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

static void print_lconst(Printer *p, const LExpr *e)
{
	if (same_ltype(e->type, IndexType)) {
		print_scalar(p->f, e->value);
		return;
	}
	print_ltype(p->f, e->type);
	putc('(', p->f);
	print_scalar(p->f, e->value);
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
	bool at_start = !a->offset || (a->offset->op == LConst && a->offset->value.i == zero);
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
		if (!(a->offset->op == LConst && a->offset->value.i == 0))
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
	if (s->step && !(s->step->op == LConst && s->step->value.i == 1)) {
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
		if (s->status)
			fprintf(f, " status %d", s->status);
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
	case SJump:
		fprintf(f, "jump %d if ", s->code);
		print_expr(p, s->e, TopLevel);
		break;
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
		refuse_at(NULL, "out of memory");
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
