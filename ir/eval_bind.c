/* eval_bind.c - the inputs of a run: they must fit their types; their dims give the symbols, which must keep ranges and checks. */
#include "eval_env.h"

#include <stdlib.h>
#include <string.h>

const char *check_holds(Module *m, const DimCheck *c, const int64_t *syms)
{
	int64_t x, y;
	bool known = dim_eval(c->a, syms, &x) && dim_eval(c->b, syms, &y);
	if (known && x == y)
		return NULL;
	const char *node = c->loc && c->loc->node ? c->loc->node : "";
	if (!known)
		return arena_printf(m->arena, "dimensions %s and %s cannot be evaluated (node '%s')", dim_text(m, c->a),
		                    dim_text(m, c->b), node);
	return arena_printf(m->arena, "dimensions must be equal: %s is %lld and %s is %lld (node '%s')", dim_text(m, c->a),
	                    (long long)x, dim_text(m, c->b), (long long)y, node);
}

typedef struct Binding {
	Module *m;
	const Tensor *inputs;
	int64_t *values;
	bool *bound; /* by Sym.index */
} Binding;

const char *param_text(Module *m, int i)
{
	const char *name = m->main->params[i]->name;
	return name ? arena_printf(m->arena, "input '%s'", name) : arena_printf(m->arena, "input %d", i);
}

static const char *check_input(Module *m, const Tensor *t, int i)
{
	const Type *type = &m->main->params[i]->type;
	if (t->dtype != type->dtype)
		return arena_printf(m->arena, "%s has type %s, expected %s", param_text(m, i),
		                    t->dtype < NDTypes ? dtypes[t->dtype].text : "?", dtypes[type->dtype].text);
	if (t->rank != type->rank)
		return arena_printf(m->arena, "%s has rank %d, expected %d: %s", param_text(m, i), t->rank, type->rank,
		                    type_text(m, type));
	for (int d = 0; d < t->rank; d++)
		if (t->dims[d] < 0 || t->dims[d] > DimMax)
			return arena_printf(m->arena, "%s: dimension %d is %lld, out of range", param_text(m, i), d,
			                    (long long)t->dims[d]);
	return NULL;
}

/* The data is there: check_input has looked. */
static int64_t source_value(const Binding *b, const DimSource *from)
{
	const Tensor *t = &b->inputs[from->input];
	int64_t value = 0, times;
	if (!from->data)
		return t->dims[from->axis];
	if (from->axis >= tensor_numel(t) || !t->data)
		return 0;
	if (from->times)
		return dim_eval(from->times, b->values, &times) ? tensor_scaled(t, from->axis, times) : -DimMax;
	value = tensor_int(t, from->axis);
	return value > DimMax ? DimMax : value < -DimMax ? -DimMax : value;
}

/* Wraps where no input of a legal size does; the dims are compared afterwards. */
static const char *bind_row(Binding *b, const SymBinding *row)
{
	int64_t rest, divisor, sum = 0;
	if (!dim_eval(row->rest, b->values, &rest) || !dim_eval(row->divisor, b->values, &divisor) || divisor < 1)
		return arena_printf(b->m->arena, "the value of symbol %s cannot be evaluated", row->sym->name);
	for (int i = 0; i < row->n; i++)
		sum = add_int(sum, mul_int(row->from[i].coef, source_value(b, &row->from[i])));
	sum = sub_int(sum, rest);
	b->values[row->sym->index] = floor_div(sum, divisor);
	b->bound[row->sym->index] = true;
	return NULL;
}

static const char *bind_planned(Binding *b)
{
	SymPlan plan = plan_symbols(b->m);
	if (plan.undecided)
		return arena_printf(b->m->arena, "no input decides the value of symbol %s", plan.undecided->name);
	for (int i = 0; i < b->m->nsym; i++)
		b->values[i] = b->m->syms[i]->lo; /* of those that a pass has left behind */
	for (int i = 0; i < plan.n; i++)
		TRY(bind_row(b, &plan.rows[i]));
	return NULL;
}

static const char *check_input_dims(const Binding *b, int i)
{
	Module *m = b->m;
	const Type *type = &m->main->params[i]->type;
	for (int d = 0; d < type->rank; d++) {
		int64_t want, got = b->inputs[i].dims[d];
		Sym *s = dim_as_sym(type->dims[d]);
		if (!dim_eval(type->dims[d], b->values, &want))
			return arena_printf(m->arena, "%s: dimension %d: %s cannot be evaluated", param_text(m, i), d,
			                    dim_text(m, type->dims[d]));
		if (want != got && dim_is_const(type->dims[d], NULL))
			return arena_printf(m->arena, "%s: dimension %d is %lld, expected %lld", param_text(m, i), d,
			                    (long long)got, (long long)want);
		if (want != got)
			return arena_printf(m->arena, "%s: dimension %d is %lld, expected %s = %lld", param_text(m, i),
			                    d, (long long)got, dim_text(m, type->dims[d]), (long long)want);
		if (s && (got < s->lo || got > s->hi))
			return arena_printf(m->arena, "%s: dimension %d: %s = %lld is outside %lld..%lld",
			                    param_text(m, i), d, s->name, (long long)got, (long long)s->lo,
			                    (long long)s->hi);
	}
	return NULL;
}

static const char *check_ranges(const Binding *b)
{
	for (int i = 0; i < b->m->nsym; i++) {
		const Sym *s = b->m->syms[i];
		if (b->bound[i] && (b->values[i] < s->lo || b->values[i] > s->hi))
			return arena_printf(b->m->arena, "%s = %lld is outside %lld..%lld", s->name,
			                    (long long)b->values[i], (long long)s->lo, (long long)s->hi);
	}
	return NULL;
}

static const char *check_equalities(const Binding *b)
{
	const Block *body = &b->m->main->body;
	for (int i = 0; i < body->ncheck; i++) {
		const DimCheck *c = &body->checks[i];
		if (!is_measured_dim(c->a) && !is_measured_dim(c->b)) /* else when those symbols have values */
			TRY(check_holds(b->m, c, b->values));
	}
	return NULL;
}

static const char *bind_all(Binding *b)
{
	const Func *f = b->m->main;
	for (int i = 0; i < f->nparam; i++)
		TRY(check_input(b->m, &b->inputs[i], i));
	TRY(bind_planned(b));
	for (int i = 0; i < f->nparam; i++)
		TRY(check_input_dims(b, i));
	TRY(check_ranges(b));
	return check_equalities(b);
}

const char *bind_syms(Module *m, const Tensor *inputs, int64_t *sym_values)
{
	Binding b = {.m = m, .inputs = inputs, .values = sym_values, .bound = calloc(m->nsym + 1, 1)};
	if (!b.bound)
		return arena_printf(m->arena, "out of memory");
	memset(sym_values, 0, m->nsym * sizeof *sym_values);
	const char *wrong = bind_all(&b);
	free(b.bound);
	return wrong;
}
