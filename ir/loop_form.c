/* loop_form.c - the form of kernels and of a program's steps: a byte string, equal where two differ in names alone.
 *
 * Variables, buffers and tiles are written by number, in the order of their definitions.
 */
#include "loop.h"

#include <stdlib.h>
#include <string.h>

typedef struct Writer {
	char *bytes;
	size_t n, cap;
	int nvar, nbuf, ntile;
} Writer;

static void put(Writer *w, const void *p, size_t n)
{
	if (w->n + n > w->cap) {
		w->cap = (w->n + n) * 2;
		w->bytes = realloc(w->bytes, w->cap);
		if (!w->bytes)
			refuse_at(NULL, "out of memory");
	}
	memcpy(w->bytes + w->n, p, n);
	w->n += n;
}

/* Small numbers in one byte, all others in nine; so the form is unambiguous and short. */
static void put_int(Writer *w, int64_t v)
{
	uint8_t small = v >= 0 && v < 255 ? (uint8_t)v : 255;
	put(w, &small, 1);
	if (small == 255)
		put(w, &v, sizeof v);
}

static void put_str(Writer *w, const char *s)
{
	put_int(w, s ? (int64_t)strlen(s) : -1);
	if (s)
		put(w, s, strlen(s));
}

static void put_type(Writer *w, LType t)
{
	put_int(w, (int64_t)t.elem * 32 + t.lanes);
}

static void put_expr(Writer *w, const LExpr *e)
{
	if (!e) {
		put_int(w, NLOps);
		return;
	}
	put_int(w, e->op);
	put_type(w, e->type);
	if (e->op == LConst) {
		put_int(w, e->value.i);
	} else if (e->op == LRef) {
		put_int(w, e->var->number);
	} else if (e->op == LLoad) {
		put_int(w, e->buf->number);
		put_expr(w, e->stride);
		put_expr(w, e->mask);
	} else if (e->op == LElem) {
		put_int(w, e->tile->number);
	}
	for (int i = 0; i < lops[e->op].nargs; i++)
		put_expr(w, e->a[i]);
}

static void define_var(Writer *w, LVar *v)
{
	v->number = w->nvar++;
	put_type(w, v->type);
}

static void define_buf(Writer *w, LBuf *buf)
{
	buf->number = w->nbuf++;
	put_int(w, buf->elem * 2 + buf->written);
	put_int(w, buf->count);
}

static void define_tile(Writer *w, LTile *t)
{
	t->number = w->ntile++;
	put_type(w, t->type);
	put_int(w, t->rows);
	put_int(w, t->cols);
}

static void put_args(Writer *w, const LStmt *s)
{
	put_int(w, s->narg);
	for (int i = 0; i < s->narg; i++) {
		const LArg *a = &s->args[i];
		put_int(w, a->buf ? a->buf->number : -1);
		put_int(w, a->elem);
		put_expr(w, a->offset);
		put_expr(w, a->len);
		put_expr(w, a->e);
		put_int(w, a->rank);
		for (int d = 0; d < a->rank; d++)
			put_expr(w, a->dims[d]);
	}
}

static void put_block(Writer *w, const LBlock *block)
{
	for (const LStmt *s = block->first; s; s = s->next) {
		put_int(w, s->kind);
		put_int(w, s->loop);
		put_int(w, s->code);
		put_int(w, s->status);
		put_expr(w, s->e);
		put_expr(w, s->idx);
		put_expr(w, s->hi);
		put_expr(w, s->step);
		put_expr(w, s->stride);
		put_expr(w, s->mask);
		if (s->var)
			define_var(w, s->var);
		if (s->kind == SLocal)
			define_buf(w, s->buf);
		else if (s->buf)
			put_int(w, s->buf->number);
		if (s->kind == STile)
			define_tile(w, s->tile);
		else if (s->tile)
			put_int(w, s->tile->number);
		put_str(w, s->callee ? s->callee->name : NULL);
		put_str(w, s->text);
		put_int(w, s->nresult);
		put_args(w, s);
		put_block(w, &s->body);
		put_block(w, &s->other);
	}
	put_int(w, -1);
}

static void put_kernel(Writer *w, const LFunc *fn)
{
	put_str(w, fn->target);
	put_int(w, fn->leaf_noinline);
	put_int(w, fn->nparam);
	for (int i = 0; i < fn->nparam; i++) {
		put_int(w, fn->params[i].buf != NULL);
		if (fn->params[i].buf)
			define_buf(w, fn->params[i].buf);
		else
			define_var(w, fn->params[i].e->var);
	}
	put_block(w, &fn->body);
}

/* A copy in the arena. */
static LForm take_form(Arena *arena, Writer *w)
{
	LForm form = {arena_alloc(arena, w->n), w->n};
	memcpy(form.bytes, w->bytes, w->n);
	free(w->bytes);
	return form;
}

bool same_form(const LForm *a, const LForm *b)
{
	return a->size == b->size && !memcmp(a->bytes, b->bytes, a->size);
}

LForm kernel_form(Arena *arena, const LFunc *fn)
{
	Writer w = {0};
	put_kernel(&w, fn);
	return take_form(arena, &w);
}

/* ---- steps -------------------------------------------------------------------------------------------------------- */

/* Of integers that a program knows before its steps run: symbols and lets. */
static bool is_formula(const LExpr *x)
{
	if (!same_ltype(x->type, IndexType))
		return false;
	switch (x->op) {
	case LConst: case LRef: return true;
	case LAdd: case LSub: case LMul: case LMin: case LMax: case LPMin: case LPMax: case LFloorDiv: case LMod:
		return is_formula(x->a[0]) && is_formula(x->a[1]);
	default: return false;
	}
}

bool has_formulas(const LFunc *program)
{
	for (const LStmt *s = program->body.first; s; s = s->next)
		if (s->kind == SLet && !is_formula(s->e))
			return false;
	return true;
}

static LExpr *number_apart(Arena *arena, StepForm *f, const LExpr *x)
{
	LVar *v = arena_alloc(arena, sizeof *v);
	*v = (LVar){.name = "number", .type = IndexType};
	PUSH(arena, f->numbers, f->n, f->cap, ((StepNumber){v, x}));
	LExpr *ref = arena_alloc(arena, sizeof *ref);
	*ref = (LExpr){.op = LRef, .type = IndexType, .var = v};
	return ref;
}

/* What is no formula is left to code.  Divisors stay there: a division by a variable is slow. */
static LExpr *apart(Arena *arena, StepForm *f, LExpr *x)
{
	if (!x || !same_ltype(x->type, IndexType))
		return x;
	if (x->op == LConst || (f->formulas && is_formula(x)))
		return number_apart(arena, f, x);
	f->code = true;
	switch (x->op) {
	case LAdd: case LSub: case LMul: case LMin: case LMax: case LPMin: case LPMax: case LFloorDiv: case LMod: break;
	default: return x;
	}
	LExpr *copy = arena_alloc(arena, sizeof *copy);
	*copy = *x;
	copy->a[0] = apart(arena, f, x->a[0]);
	if (x->op != LFloorDiv && x->op != LMod)
		copy->a[1] = apart(arena, f, x->a[1]);
	return copy;
}

static LStmt *call_apart(Arena *arena, StepForm *f, const LStmt *s)
{
	LStmt *copy = arena_alloc(arena, sizeof *copy);
	*copy = *s;
	copy->args = arena_alloc(arena, ((size_t)s->narg + 1) * sizeof *copy->args);
	for (int i = 0; i < s->narg; i++) {
		copy->args[i] = s->args[i];
		copy->args[i].offset = apart(arena, f, s->args[i].offset);
		copy->args[i].e = apart(arena, f, s->args[i].e);
		copy->args[i].len = NULL;
	}
	return copy;
}

static bool is_all_calls(const LStmt *step)
{
	for (const LStmt *s = step->body.first; s; s = s->next)
		if (s->kind != SCall)
			return false;
	return true;
}

StepForm step_form(Arena *arena, const LStmt *step, int nvar, bool formulas)
{
	const bool calls = is_all_calls(step);
	StepForm f = {.formulas = formulas && calls, .code = !calls};
	for (const LStmt *s = step->body.first; s; s = s->next) {
		LStmt *copy = s->kind == SCall ? call_apart(arena, &f, s) : arena_alloc(arena, sizeof *copy);
		if (s->kind != SCall)
			*copy = *s;
		copy->next = NULL;
		if (f.body.last)
			f.body.last->next = copy;
		else
			f.body.first = copy;
		f.body.last = copy;
	}
	for (int i = 0; i < f.n; i++)
		f.numbers[i].var->number = nvar++;
	Writer w = {.nvar = nvar};
	put_block(&w, &f.body);
	f.form = take_form(arena, &w);
	return f;
}
