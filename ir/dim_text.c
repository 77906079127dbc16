/* dim_text.c - dims as numbers and as text, with other symbols in them, and types, which are made of them. */
#include "dim.h"

#include <stdlib.h>

/* ---- values and substitution ------------------------------------------------------------------------------------ */

static bool eval_atom(const Atom *x, const int64_t *sym_values, int64_t *result)
{
	int64_t a, b;
	if (x->sym) {
		*result = sym_values[x->sym->index];
		return true;
	}
	if (!dim_eval(x->a, sym_values, &a) || !dim_eval(x->b, sym_values, &b))
		return false;
	bool divides = x->kind == AtomDiv || x->kind == AtomMod;
	if (divides && (!b || (b == -1 && a == INT64_MIN)))
		return false;
	switch (x->kind) {
	case AtomDiv: *result = floor_div(a, b); break;
	case AtomMod: *result = a - floor_div(a, b) * b; break;
	case AtomMin: *result = a < b ? a : b; break;
	case AtomMax: *result = a > b ? a : b; break;
	case AtomSym: break;
	}
	return true;
}

bool dim_eval(const Dim *d, const int64_t *sym_values, int64_t *result)
{
	int64_t sum = 0;
	for (int i = 0; i < d->n; i++) {
		int64_t product = d->terms[i].coef, factor = 0;
		for (int j = 0; j < d->terms[i].mono->n; j++)
			if (!eval_atom(d->terms[i].mono->atoms[j], sym_values, &factor)
			    || __builtin_mul_overflow(product, factor, &product))
				return false;
		if (__builtin_add_overflow(sum, product, &sum))
			return false;
	}
	*result = sum;
	return true;
}

typedef const Dim *BinaryFn(Module *, const Dim *, const Dim *);

static const struct {
	const char *op;
	BinaryFn *make;
} atom_kinds[] = {
	[AtomDiv] = {"/", dim_floordiv},
	[AtomMod] = {"%", dim_mod},
	[AtomMin] = {"min", dim_min},
	[AtomMax] = {"max", dim_max},
};

static const Dim *subst_atom(Module *m, const Atom *x, const Dim *const *by)
{
	if (!x->sym)
		return atom_kinds[x->kind].make(m, dim_subst(m, x->a, by), dim_subst(m, x->b, by));
	return by[x->sym->index] ? by[x->sym->index] : dim_of_atom(m, x);
}

const Dim *dim_subst(Module *m, const Dim *d, const Dim *const *by)
{
	const Dim *sum = dim_const(m, 0);
	for (int i = 0; i < d->n; i++) {
		const Dim *product = dim_const(m, d->terms[i].coef);
		for (int j = 0; j < d->terms[i].mono->n; j++)
			product = dim_mul(m, product, subst_atom(m, d->terms[i].mono->atoms[j], by));
		sum = dim_add(m, sum, product);
	}
	return sum;
}

static void *visit_atom(const Atom *x, const DimVisitor *v)
{
	if (x->sym)
		return v->symbol(v->ctx, x->sym);
	void *a = dim_visit(x->a, v);
	return v->binary(v->ctx, atom_kinds[x->kind].op, a, dim_visit(x->b, v));
}

static void *visit_term(Term t, const DimVisitor *v)
{
	void *product = t.coef == 1 && t.mono->n ? NULL : v->constant(v->ctx, t.coef);
	for (int i = 0; i < t.mono->n; i++) {
		void *factor = visit_atom(t.mono->atoms[i], v);
		product = product ? v->binary(v->ctx, "*", product, factor) : factor;
	}
	return product;
}

void *dim_visit(const Dim *d, const DimVisitor *v)
{
	if (!d->n)
		return v->constant(v->ctx, 0);
	void *sum = visit_term(d->terms[0], v);
	for (int i = 1; i < d->n; i++)
		sum = v->binary(v->ctx, "+", sum, visit_term(d->terms[i], v));
	return sum;
}

/* ---- text ------------------------------------------------------------------------------------------------------- */

static void put_dim(FILE *f, const Dim *d);

/* An operand of / or %: bare where it is one word. */
static void put_operand(FILE *f, const Dim *d)
{
	const Atom *x = dim_as_atom(d);
	int64_t k;
	bool bare = (x && x->kind != AtomDiv && x->kind != AtomMod) || (dim_is_const(d, &k) && k >= 0);
	fputs(bare ? "" : "(", f);
	put_dim(f, d);
	fputs(bare ? "" : ")", f);
}

static void put_atom(FILE *f, const Atom *x, bool alone)
{
	if (x->sym) {
		fputs(x->sym->name, f);
		return;
	}
	bool call = x->kind == AtomMin || x->kind == AtomMax;
	if (call) {
		fprintf(f, "%s(", atom_kinds[x->kind].op);
		put_dim(f, x->a);
		fputs(", ", f);
		put_dim(f, x->b);
		fputc(')', f);
		return;
	}
	fputs(alone ? "" : "(", f);
	put_operand(f, x->a);
	fputs(atom_kinds[x->kind].op, f);
	put_operand(f, x->b);
	fputs(alone ? "" : ")", f);
}

/* The absolute value of a term; its sign is the caller's.  A leading minus before a product is written as -1*. */
static void put_term(FILE *f, Term t, bool lead)
{
	uint64_t size = t.coef < 0 ? -(uint64_t)t.coef : (uint64_t)t.coef;
	bool number = size != 1 || !t.mono->n || (lead && t.coef < 0);
	if (number)
		fprintf(f, "%llu", (unsigned long long)size);
	for (int i = 0; i < t.mono->n; i++) {
		if (number || i)
			fputc('*', f);
		put_atom(f, t.mono->atoms[i], t.mono->n == 1 && !number);
	}
}

/* Starts with a positive term if there is one. */
static void put_dim(FILE *f, const Dim *d)
{
	int lead = 0;
	while (lead < d->n && d->terms[lead].coef < 0)
		lead++;
	lead = lead < d->n ? lead : 0;
	if (!d->n) {
		fputc('0', f);
		return;
	}
	if (d->terms[lead].coef < 0)
		fputc('-', f);
	put_term(f, d->terms[lead], true);
	for (int i = 0; i < d->n; i++) {
		if (i == lead)
			continue;
		fputs(d->terms[i].coef < 0 ? " - " : " + ", f);
		put_term(f, d->terms[i], false);
	}
}

char *dim_text(Module *m, const Dim *d)
{
	char *text = NULL;
	size_t bytes;
	FILE *f = open_memstream(&text, &bytes);
	if (!f)
		refuse_at(NULL, "out of memory");
	put_dim(f, d);
	if (fclose(f))
		refuse_at(NULL, "out of memory");
	char *kept = arena_strdup(m->arena, text);
	free(text);
	return kept;
}

/* ---- types ------------------------------------------------------------------------------------------------------ */

#define MaxElements ((int64_t)1 << 47)

const Dim *type_numel(Module *m, const Type *t)
{
	const Dim *n = dim_const(m, 1);
	for (int i = 0; i < t->rank; i++)
		n = dim_mul(m, n, t->dims[i]);
	return n;
}

void type_each_dim(const Type *t, void (*visit)(void *ctx, const Dim *), void *ctx)
{
	for (int i = 0; i < t->rank; i++)
		visit(ctx, t->dims[i]);
}

bool type_equal(const Type *a, const Type *b)
{
	if (a->dtype != b->dtype || a->rank != b->rank)
		return false;
	for (int i = 0; i < a->rank; i++)
		if (a->dims[i] != b->dims[i])
			return false;
	return true;
}

char *type_text(Module *m, const Type *t)
{
	char *text = arena_printf(m->arena, "%s[", dtypes[t->dtype].text);
	for (int i = 0; i < t->rank; i++)
		text = arena_printf(m->arena, "%s%s%s", text, i ? ", " : "", dim_text(m, t->dims[i]));
	return arena_printf(m->arena, "%s]", text);
}

int64_t const_numel(const Type *t)
{
	int64_t n = 1, extent;
	bool empty = false, large = false;
	for (int i = 0; i < t->rank; i++) {
		if (!dim_is_const(t->dims[i], &extent))
			bug("const_numel of a type with symbolic dims");
		if (extent < 0)
			fatal_at(NULL, "a tensor has the negative extent %lld", (long long)extent);
		empty |= !extent;
		large |= __builtin_mul_overflow(n, extent, &n) || n > MaxElements;
		n = large ? 1 : n;
	}
	if (large && !empty)
		refuse_at(NULL, "a tensor has more than 2^47 elements");
	return empty ? 0 : n;
}
