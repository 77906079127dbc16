/* loop_verify_tiles.c - tile indices of a function, with unrolled loops unrolled and constant conditions decided, as the emitter does. */
#include "loop_verify.h"

enum { MaxUnrolled = 1 << 22 };

typedef struct Fold { /* a variable's value while unrolling */
	bool known;
	int64_t value;
} Fold;

static void set_fold(Verifier *v, const LVar *var, bool known, int64_t value)
{
	void **found = find_ptr(&v->folds, var);
	Fold *f = found ? *found : arena_alloc(v->arena, sizeof *f);
	*f = (Fold){known, value};
	if (!found)
		add_ptr(&v->folds, var, f);
}

/* The value of an i64 or bool that is constant now. */
static bool fold(const Verifier *v, const LExpr *e, int64_t *r)
{
	int64_t a, b;
	if (e->type.lanes != 1 || (e->type.elem != I64 && e->type.elem != Bool))
		return false;
	switch (e->op) {
	case LConst: *r = e->value.i; return true;
	case LRef: {
		void **found = find_ptr(&v->folds, e->var);
		const Fold *f = found ? *found : NULL;
		*r = f ? f->value : 0;
		return f && f->known;
	}
	case LNot:
		if (!fold(v, e->a[0], &a))
			return false;
		*r = e->type.elem == Bool ? !a : ~a;
		return true;
	case LSelect: return fold(v, e->a[0], &a) && fold(v, e->a[a ? 1 : 2], r);
	default: break;
	}
	return lops[e->op].nargs == 2 && e->op != LElem && fold(v, e->a[0], &a) && fold(v, e->a[1], &b) &&
	       fold_ints(e->op, e->a[0]->type.elem, a, b, r);
}

static void check_cell(Verifier *v, const LTile *t, const LExpr *row, const LExpr *col)
{
	int64_t i, j;
	if (!fold(v, row, &i) || !fold(v, col, &j))
		fail_rule(v, "an index of %%%s is not constant after unrolling", t->name);
	if (i < 0 || i >= t->rows || j < 0 || j >= t->cols)
		fail_rule(v, "%%%s[%lld, %lld] lies outside of the tile", t->name, (long long)i, (long long)j);
}

static void check_cells(Verifier *v, const LExpr *e)
{
	if (!e)
		return;
	if (++v->work > MaxUnrolled)
		fail_rule(v, "the function is too large after unrolling");
	if (e->op == LElem)
		check_cell(v, e->tile, e->a[0], e->a[1]);
	for (int i = 0; i < 3; i++)
		check_cells(v, e->a[i]);
	check_cells(v, e->stride);
	check_cells(v, e->mask);
}

static void unroll_for(Verifier *v, const LStmt *s)
{
	if (s->loop != ForUnroll) {
		set_fold(v, s->var, false, 0);
		check_tiles(v, &s->body);
		return;
	}
	for (int64_t i = s->e->value.i; i < s->hi->value.i;) {
		set_fold(v, s->var, true, i);
		check_tiles(v, &s->body);
		if (__builtin_add_overflow(i, s->step->value.i, &i))
			break;
	}
}

static void unroll_if(Verifier *v, const LStmt *s)
{
	int64_t c;
	bool known = fold(v, s->e, &c);
	if (!known || c)
		check_tiles(v, &s->body);
	if (!known || !c)
		check_tiles(v, &s->other);
}

static void unroll_stmt(Verifier *v, const LStmt *s)
{
	int64_t value = 0;
	if (++v->work > MaxUnrolled)
		fail_rule(v, "the function is too large after unrolling");
	const LExpr *parts[] = {s->e, s->idx, s->hi, s->step, s->stride, s->mask};
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		check_cells(v, parts[i]);
	for (int i = 0; i < s->narg; i++) {
		check_cells(v, s->args[i].offset);
		check_cells(v, s->args[i].len);
		check_cells(v, s->args[i].e);
	}
	switch (s->kind) {
	case SSetTile: check_cell(v, s->tile, s->idx, s->hi); break;
	case SLet: {
		bool known = fold(v, s->e, &value);
		set_fold(v, s->var, known, value);
		break;
	}
	case SFor: unroll_for(v, s); break;
	case SIf: unroll_if(v, s); break;
	default: break;
	}
}

void check_tiles(Verifier *v, const LBlock *b)
{
	for (const LStmt *s = b->first; s; s = s->next) {
		v->stmt = s;
		unroll_stmt(v, s);
	}
}
