/* bind.c - the values of symbols from the dims of the inputs, as a plan that the evaluator and the program follow alike.
 *
 * A dim that is a symbol gives it; then each dim with one unknown symbol left, in which it is linear with a factor proved not 0;
 * then elimination over what several dims determine together.  Dims that no step used are checked, not solved.
 */
#include "ir.h"

#include <string.h>

enum { MaxUnknowns = 8, MaxEquations = 16, MaxCost = 256 };

typedef struct Equation { /* a dim of an input that is no symbol and has not been used */
	const Dim *d;
	int input, axis;
	bool done;
} Equation;

typedef struct Planner {
	Module *m;
	SymPlan *plan;
	const Dim **by; /* for dim_subst; all NULL between uses */
	int *cost; /* of writing out a symbol's value, by Sym.index; 0: not bound */
	int neq, capeq;
	Equation *eqs;
} Planner;

/* ---- dims as trees ---------------------------------------------------------------------------------------------- */

typedef struct Census {
	const Planner *p;
	const Sym *unknown; /* the first one */
	bool several;
	int64_t cost;
} Census;

static void *count_constant(void *ctx, int64_t value)
{
	(void)value;
	((Census *)ctx)->cost++;
	return ctx;
}

static void *count_symbol(void *ctx, const Sym *s)
{
	Census *c = ctx;
	c->cost += c->p->cost[s->index];
	if (!c->p->cost[s->index]) {
		c->several |= c->unknown && c->unknown != s;
		c->unknown = c->unknown ? c->unknown : s;
	}
	return ctx;
}

static void *count_binary(void *ctx, const char *op, void *a, void *b)
{
	(void)op;
	(void)a;
	(void)b;
	((Census *)ctx)->cost++;
	return ctx;
}

static Census take_census(const Planner *p, const Dim *d)
{
	Census c = {.p = p};
	dim_visit(d, &(DimVisitor){count_constant, count_symbol, count_binary, &c});
	return c;
}

/* ---- steps ------------------------------------------------------------------------------------------------------ */

/* False: the value would be too long an expression of the inputs. */
static bool add_binding(Planner *p, SymBinding b)
{
	int64_t cost = 1 + 2 * b.n + take_census(p, b.rest).cost + take_census(p, b.divisor).cost;
	if (cost > MaxCost)
		return false;
	p->plan->rows[p->plan->n++] = b;
	p->cost[b.sym->index] = (int)cost;
	return true;
}

static bool bind_dim(Planner *p, const Sym *s, const Equation *e, int64_t sign, const Dim *rest, const Dim *divisor)
{
	DimSource *from = arena_alloc(p->m->arena, sizeof *from);
	*from = (DimSource){e->input, e->axis, sign, false, NULL};
	return add_binding(p, (SymBinding){s, 1, from, rest, divisor});
}

static void bind_value(Planner *p, const Sym *s)
{
	DimSource *from = arena_alloc(p->m->arena, sizeof *from);
	*from = (DimSource){s->input, s->element, 1, true, s->times};
	add_binding(p, (SymBinding){s, 1, from, dim_const(p->m, 0), dim_const(p->m, 1)});
}

static void bind_values(Planner *p)
{
	for (int i = 0; i < p->m->nsym; i++)
		if (p->m->syms[i]->kind == SymValue && !p->m->syms[i]->times)
			bind_value(p, p->m->syms[i]);
}

static void bind_plain_dims(Planner *p)
{
	const Dim *zero = dim_const(p->m, 0), *one = dim_const(p->m, 1);
	for (int i = 0; i < p->m->main->nparam; i++) {
		const Type *t = &p->m->main->params[i]->type;
		for (int d = 0; d < t->rank; d++) {
			Equation e = {t->dims[d], i, d, false};
			const Sym *s = dim_as_sym(t->dims[d]);
			if (s && !p->cost[s->index])
				bind_dim(p, s, &e, 1, zero, one);
			else if (!s && !dim_is_const(t->dims[d], NULL))
				PUSH(p->m->arena, p->eqs, p->neq, p->capeq, e);
		}
	}
}

static const Dim *with_symbol(Planner *p, const Dim *d, const Sym *s, int64_t value)
{
	p->by[s->index] = dim_const(p->m, value);
	d = dim_subst(p->m, d, p->by);
	p->by[s->index] = NULL;
	return d;
}

/* d = factor * s + rest, where neither uses s */
static bool split_linear(Planner *p, const Dim *d, const Sym *s, const Dim **factor, const Dim **rest)
{
	Module *m = p->m;
	*rest = with_symbol(p, d, s, 0);
	*factor = dim_sub(m, with_symbol(p, d, s, 1), *rest);
	return dim_add(m, *rest, dim_mul(m, *factor, dim_sym(m, s->name))) == d;
}

static bool solve_equation(Planner *p, Equation *e)
{
	const Dim *factor, *rest;
	int64_t lo, hi, sign;
	Census c = take_census(p, e->d);
	if (!c.unknown || c.several)
		return false;
	e->done = true;
	if (!split_linear(p, e->d, c.unknown, &factor, &rest))
		return false;
	dim_range(factor, &lo, &hi);
	sign = hi < 0 ? -1 : 1;
	if (lo <= 0 && hi >= 0)
		return false;
	return bind_dim(p, c.unknown, e, sign, dim_mul_const(p->m, rest, sign), dim_mul_const(p->m, factor, sign));
}

static void solve_one_by_one(Planner *p)
{
	bool again = true;
	while (again) {
		again = false;
		for (int i = 0; i < p->neq; i++)
			again |= !p->eqs[i].done && solve_equation(p, &p->eqs[i]);
	}
}

/* ---- elimination ------------------------------------------------------------------------------------------------ */

typedef struct Row { /* sum of unknown[k] * the k-th unknown == sum of of[e] * (dim e - rest e) */
	int64_t unknown[MaxUnknowns], of[MaxEquations];
} Row;

typedef struct System {
	int nunknown, nrow;
	const Sym *unknowns[MaxUnknowns];
	const Equation *eqs[MaxEquations];
	const Dim *rest[MaxEquations];
	Row rows[MaxEquations];
} System;

static int find_unknown(System *y, const Sym *s)
{
	int k = 0;
	while (k < y->nunknown && y->unknowns[k] != s)
		k++;
	if (k == MaxUnknowns)
		return -1;
	y->unknowns[k] = s;
	y->nunknown += k == y->nunknown;
	return k;
}

/* Takes the unknowns of the equation out of it, one after the other; false: one is not linear with a constant factor. */
static bool add_row(Planner *p, System *y, const Equation *e)
{
	Row row = {{0}, {0}};
	const Dim *rest = e->d, *factor;
	for (;;) {
		const Sym *s = take_census(p, rest).unknown;
		if (!s)
			break;
		int k = find_unknown(y, s);
		if (k < 0 || !split_linear(p, rest, s, &factor, &rest) || !dim_is_const(factor, &row.unknown[k]))
			return false;
	}
	row.of[y->nrow] = 1;
	y->eqs[y->nrow] = e;
	y->rest[y->nrow] = rest;
	y->rows[y->nrow++] = row;
	return true;
}

/* a = a * by[k] - by * a[k]: unknown k leaves a.  False: too large. */
static bool eliminate(Row *a, const Row *by, int k)
{
	int64_t *x = a->unknown, fa = a->unknown[k], fb = by->unknown[k];
	const int64_t *y = by->unknown;
	for (int part = 0; part < 2; part++) {
		for (int i = 0; i < (part ? MaxEquations : MaxUnknowns); i++) {
			int64_t u, v;
			if (__builtin_mul_overflow(x[i], fb, &u) || __builtin_mul_overflow(y[i], fa, &v)
			    || __builtin_sub_overflow(u, v, &x[i]) || x[i] > DimMax || x[i] < -(int64_t)DimMax)
				return false;
		}
		x = a->of;
		y = by->of;
	}
	return true;
}

static bool reduce_rows(System *y)
{
	int done = 0;
	for (int k = 0; k < y->nunknown; k++) {
		int pivot = done;
		while (pivot < y->nrow && !y->rows[pivot].unknown[k])
			pivot++;
		if (pivot == y->nrow)
			continue;
		Row row = y->rows[pivot];
		y->rows[pivot] = y->rows[done];
		y->rows[done] = row;
		for (int r = 0; r < y->nrow; r++)
			if (r != done && y->rows[r].unknown[k] && !eliminate(&y->rows[r], &row, k))
				return false;
		done++;
	}
	return true;
}

static void bind_row(Planner *p, const System *y, const Row *row)
{
	int only = -1, n = 0;
	for (int k = 0; k < y->nunknown; k++) {
		if (row->unknown[k] && only >= 0)
			return;
		only = row->unknown[k] ? k : only;
	}
	if (only < 0)
		return;
	int64_t sign = row->unknown[only] < 0 ? -1 : 1;
	DimSource *from = arena_alloc(p->m->arena, y->nrow * sizeof *from);
	const Dim *rest = dim_const(p->m, 0);
	for (int e = 0; e < y->nrow; e++) {
		if (!row->of[e])
			continue;
		from[n++] = (DimSource){y->eqs[e]->input, y->eqs[e]->axis, sign * row->of[e], false, NULL};
		rest = dim_add(p->m, rest, dim_mul_const(p->m, y->rest[e], sign * row->of[e]));
	}
	add_binding(p, (SymBinding){y->unknowns[only], n, from, rest, dim_const(p->m, sign * row->unknown[only])});
}

static void solve_together(Planner *p)
{
	System y = {.nunknown = 0};
	for (int i = 0; i < p->neq && y.nrow < MaxEquations; i++) {
		int had = y.nunknown;
		if (!p->eqs[i].done && take_census(p, p->eqs[i].d).unknown && !add_row(p, &y, &p->eqs[i]))
			y.nunknown = had;
	}
	if (!reduce_rows(&y))
		return;
	for (int r = 0; r < y.nrow; r++)
		bind_row(p, &y, &y.rows[r]);
}

/* By symbols of smaller index, which have values by then. */
static void bind_derived(Planner *p)
{
	for (int i = 0; i < p->m->nsym; i++) {
		const Sym *s = p->m->syms[i];
		if (s->kind == SymValue && s->times)
			bind_value(p, s);
		if (s->kind != SymDerived)
			continue;
		p->plan->rows[p->plan->n++] = (SymBinding){s, 0, NULL, dim_mul_const(p->m, s->is, -1), dim_const(p->m, 1)};
		p->cost[i] = 1;
	}
}

/* ---- the plan --------------------------------------------------------------------------------------------------- */

static void mark_symbol(void *used, Sym *s)
{
	((bool *)used)[s->index] = true;
}

static void mark_symbols(void *used, const Dim *d, const Node *n, const Attr *a)
{
	(void)n;
	(void)a;
	dim_each_sym(d, mark_symbol, used);
}

SymPlan plan_symbols(Module *m)
{
	/* one by data or a formula, and one by dims, where a dim of an input has such a symbol */
	SymPlan plan = {.rows = arena_alloc(m->arena, (2 * (size_t)m->nsym + 1) * sizeof *plan.rows)};
	Planner p = {.m = m, .plan = &plan};
	p.by = arena_alloc(m->arena, (m->nsym + 1) * sizeof *p.by);
	p.cost = arena_alloc(m->arena, (m->nsym + 1) * sizeof *p.cost);
	bind_values(&p);
	bind_plain_dims(&p);
	solve_one_by_one(&p);
	solve_together(&p);
	bind_derived(&p);
	bool *used = arena_alloc(m->arena, (size_t)m->nsym + 1); /* a pass may leave some behind */
	module_each_dim(m, mark_symbols, used);
	for (int i = 0; i < m->nsym && !plan.undecided; i++) {
		const Sym *s = m->syms[i];
		if (!p.cost[i] && is_given(s) && s->lo != s->hi && used[i])
			plan.undecided = s;
	}
	return plan;
}
