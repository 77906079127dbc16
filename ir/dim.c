/* dim.c - symbolic integer expressions in a normal form, interned, so that equal means the same pointer; see dim.h. */
#include "dim.h"

#include <string.h>

static const char *const Overflows = "not supported: a dimension whose formula overflows 64 bits";

_Noreturn void dim_refuse(const Module *m, const char *what)
{
	refuse_at(&(Loc){.file = m->path}, "%s", what);
}

static void check(const Module *m, const char *what)
{
	if (what)
		dim_refuse(m, what);
}

/* ---- interning -------------------------------------------------------------------------------------------------- */

static int max_int(int a, int b)
{
	return a > b ? a : b;
}

static bool same_atom(const void *item, const void *key)
{
	const Atom *x = item, *y = key;
	return x->kind == y->kind && x->sym == y->sym && x->a == y->a && x->b == y->b;
}

const Atom *intern_atom(Module *m, AtomKind kind, const Sym *sym, const Dim *a, const Dim *b)
{
	Atom key = {kind, sym, a, b, table_join(kind, sym ? (uint64_t)sym->index : 0), 1, 1};
	if (a) {
		key.hash = table_join(table_join(key.hash, a->hash), b->hash);
		key.size = 1 + a->size + b->size;
		key.depth = 1 + max_int(a->depth, b->depth);
	}
	if (key.depth > MaxDepth)
		dim_refuse(m, "dimension is nested too deeply");
	Atom *found = table_find(&m->dims->atoms, key.hash, same_atom, &key);
	if (found)
		return found;
	found = arena_alloc(m->arena, sizeof *found);
	*found = key;
	table_add(m->arena, &m->dims->atoms, key.hash, found);
	return found;
}

typedef struct MonoKey {
	int n;
	const Atom *const *atoms;
} MonoKey;

static bool same_mono(const void *item, const void *key)
{
	const Mono *x = item;
	const MonoKey *y = key;
	return x->n == y->n && (!x->n || !memcmp(x->atoms, y->atoms, (size_t)x->n * sizeof *x->atoms));
}

const Mono *intern_mono(Module *m, int n, const Atom *const *atoms)
{
	MonoKey key = {n, atoms};
	uint64_t hash = table_join(n, 1);
	for (int i = 0; i < n; i++)
		hash = table_join(hash, atoms[i]->hash);
	Mono *found = table_find(&m->dims->monos, hash, same_mono, &key);
	if (found)
		return found;
	found = arena_alloc(m->arena, sizeof *found + (size_t)n * sizeof *atoms);
	found->hash = hash;
	found->n = n;
	found->size = 1;
	for (int i = 0; i < n; i++) {
		found->atoms[i] = atoms[i];
		found->size += atoms[i]->size;
		found->depth = max_int(found->depth, atoms[i]->depth);
	}
	table_add(m->arena, &m->dims->monos, hash, found);
	return found;
}

DimTable *dim_table(Module *m)
{
	if (!m->dims) {
		m->dims = arena_alloc(m->arena, sizeof *m->dims);
		m->dims->unit = intern_mono(m, 0, NULL);
	}
	return m->dims;
}

static bool same_dim(const void *item, const void *key)
{
	const Dim *x = item;
	const Poly *y = key;
	if (x->n != y->n)
		return false;
	for (int i = 0; i < x->n; i++)
		if (x->terms[i].coef != y->t[i].coef || x->terms[i].mono != y->t[i].mono)
			return false;
	return true;
}

const Dim *intern_dim(Module *m, const Poly *p)
{
	uint64_t hash = table_join(p->n, 2);
	int size = 1, depth = 0;
	for (int i = 0; i < p->n; i++) {
		hash = table_join(table_join(hash, (uint64_t)p->t[i].coef), p->t[i].mono->hash);
		size += p->t[i].mono->size;
		depth = max_int(depth, p->t[i].mono->depth);
	}
	if (size > MaxSize)
		dim_refuse(m, "dimension expression is too large");
	Dim *found = table_find(&m->dims->dims, hash, same_dim, p);
	if (found)
		return found;
	found = arena_alloc(m->arena, sizeof *found + (size_t)p->n * sizeof *p->t);
	found->hash = hash;
	found->size = size;
	found->depth = depth;
	found->n = p->n;
	memcpy(found->terms, p->t, (size_t)p->n * sizeof *p->t);
	table_add(m->arena, &m->dims->dims, hash, found);
	return found;
}

/* ---- order ------------------------------------------------------------------------------------------------------ */

static int compare_int(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static int compare_atom(const Atom *x, const Atom *y)
{
	if (x == y)
		return 0;
	if (x->kind != y->kind)
		return compare_int(x->kind, y->kind);
	if (x->sym)
		return compare_int(x->sym->index, y->sym->index);
	int c = dim_compare(x->a, y->a);
	return c ? c : dim_compare(x->b, y->b);
}

static int compare_mono(const Mono *x, const Mono *y)
{
	if (x == y)
		return 0;
	if (x->n != y->n)
		return compare_int(y->n, x->n);
	for (int i = 0; i < x->n; i++) {
		int c = compare_atom(x->atoms[i], y->atoms[i]);
		if (c)
			return c;
	}
	return 0;
}

int dim_size(const Dim *d)
{
	return d->size;
}

int dim_compare(const Dim *a, const Dim *b)
{
	if (a == b)
		return 0;
	for (int i = 0; i < a->n && i < b->n; i++) {
		int c = compare_mono(a->terms[i].mono, b->terms[i].mono);
		if (!c)
			c = compare_int(a->terms[i].coef, b->terms[i].coef);
		if (c)
			return c;
	}
	return compare_int(a->n, b->n);
}

/* ---- products of atoms ------------------------------------------------------------------------------------------ */

static const Mono *multiply_mono(Module *m, const Mono *x, const Mono *y)
{
	const Atom *atoms[2 * MaxFactors];
	int n = 0, i = 0, j = 0;
	if (!x->n || !y->n)
		return x->n ? x : y;
	if (x->n + y->n > MaxFactors)
		dim_refuse(m, "dimension has too many factors");
	while (i < x->n || j < y->n) {
		bool left = j == y->n || (i < x->n && compare_atom(x->atoms[i], y->atoms[j]) <= 0);
		atoms[n++] = left ? x->atoms[i++] : y->atoms[j++];
	}
	return intern_mono(m, n, atoms);
}

/* x / y, or NULL where y does not divide x. */
const Mono *divide_mono(Module *m, const Mono *x, const Mono *y)
{
	const Atom *atoms[MaxFactors];
	int n = 0, j = 0;
	for (int i = 0; i < x->n; i++) {
		if (j < y->n && x->atoms[i] == y->atoms[j])
			j++;
		else
			atoms[n++] = x->atoms[i];
	}
	return j == y->n ? intern_mono(m, n, atoms) : NULL;
}

const Mono *gcd_mono(Module *m, const Mono *x, const Mono *y)
{
	const Atom *atoms[MaxFactors];
	int n = 0, i = 0, j = 0;
	while (i < x->n && j < y->n) {
		int c = compare_atom(x->atoms[i], y->atoms[j]);
		if (!c)
			atoms[n++] = x->atoms[i];
		i += c <= 0;
		j += c >= 0;
	}
	return intern_mono(m, n, atoms);
}

/* ---- sums ------------------------------------------------------------------------------------------------------- */

static int find_place(const Poly *p, const Mono *mono)
{
	int lo = 0, hi = p->n;
	while (lo < hi) {
		int mid = (lo + hi) / 2;
		if (compare_mono(p->t[mid].mono, mono) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Returns NULL, or what went wrong. */
const char *add_term(Poly *p, int64_t coef, const Mono *mono)
{
	int at = find_place(p, mono);
	if (at < p->n && p->t[at].mono == mono) {
		if (__builtin_add_overflow(p->t[at].coef, coef, &p->t[at].coef))
			return Overflows;
		if (!p->t[at].coef)
			memmove(&p->t[at], &p->t[at + 1], (size_t)(--p->n - at) * sizeof *p->t);
		return NULL;
	}
	if (!coef)
		return NULL;
	if (p->n == MaxTerms)
		return "dimension has too many terms";
	memmove(&p->t[at + 1], &p->t[at], (size_t)(p->n++ - at) * sizeof *p->t);
	p->t[at] = (Term){coef, mono};
	return NULL;
}

/* p += factor * d * mono */
const char *add_scaled(Module *m, Poly *p, const Dim *d, int64_t factor, const Mono *mono)
{
	for (int i = 0; i < d->n; i++) {
		int64_t coef;
		if (__builtin_mul_overflow(d->terms[i].coef, factor, &coef))
			return Overflows;
		const char *wrong = add_term(p, coef, multiply_mono(m, d->terms[i].mono, mono));
		if (wrong)
			return wrong;
	}
	return NULL;
}

void set_poly(Poly *p, const Dim *d)
{
	p->n = d->n;
	memcpy(p->t, d->terms, (size_t)d->n * sizeof *p->t);
}

const Dim *dim_const(Module *m, int64_t value)
{
	Poly p;
	p.n = 0;
	add_term(&p, value, dim_table(m)->unit);
	return intern_dim(m, &p);
}

const Dim *dim_of_atom(Module *m, const Atom *atom)
{
	Poly p;
	p.n = 0;
	add_term(&p, 1, intern_mono(m, 1, &atom));
	return intern_dim(m, &p);
}

static bool same_sym(const void *item, const void *key)
{
	return !strcmp(((const Sym *)item)->name, key);
}

Sym *find_sym(const Module *m, const char *name)
{
	return m->dims ? table_find(&m->dims->syms, table_hash(name, strlen(name), 0), same_sym, name) : NULL;
}

const Dim *dim_sym(Module *m, const char *name)
{
	dim_table(m);
	Sym *s = find_sym(m, name);
	if (!s) {
		s = arena_alloc(m->arena, sizeof *s);
		*s = (Sym){.name = arena_strdup(m->arena, name), .hi = DimMax, .index = m->nsym};
		PUSH(m->arena, m->syms, m->nsym, m->capsym, s);
		table_add(m->arena, &m->dims->syms, table_hash(name, strlen(name), 0), s);
	}
	return dim_of_atom(m, intern_atom(m, AtomSym, s, NULL, NULL));
}

const Dim *add_multiple(Module *m, const Dim *a, const Dim *b, int64_t factor)
{
	Poly p;
	set_poly(&p, a);
	check(m, add_scaled(m, &p, b, factor, dim_table(m)->unit));
	return intern_dim(m, &p);
}

const Dim *dim_add(Module *m, const Dim *a, const Dim *b)
{
	return add_multiple(m, a, b, 1);
}

const Dim *dim_sub(Module *m, const Dim *a, const Dim *b)
{
	return add_multiple(m, a, b, -1);
}

const Dim *dim_mul_const(Module *m, const Dim *a, int64_t factor)
{
	return add_multiple(m, dim_const(m, 0), a, factor);
}

const Dim *dims_product(Module *m, const Dim *const *extent, int n)
{
	const Dim *p = dim_const(m, 1);
	for (int d = 0; d < n; d++)
		p = dim_mul(m, p, extent[d]);
	return p;
}

const Dim *dim_mul(Module *m, const Dim *a, const Dim *b)
{
	Poly p;
	p.n = 0;
	dim_table(m);
	for (int i = 0; i < b->n; i++)
		check(m, add_scaled(m, &p, a, b->terms[i].coef, b->terms[i].mono));
	return intern_dim(m, &p);
}

/* ---- questions -------------------------------------------------------------------------------------------------- */

bool dim_is_const(const Dim *d, int64_t *value)
{
	bool yes = !d->n || (d->n == 1 && !d->terms[0].mono->n);
	if (yes && value)
		*value = d->n ? d->terms[0].coef : 0;
	return yes;
}

bool dim_equals(const Dim *d, int64_t value)
{
	int64_t have;
	return dim_is_const(d, &have) && have == value;
}

/* The atom that the dim is, or NULL. */
const Atom *dim_as_atom(const Dim *d)
{
	bool yes = d->n == 1 && d->terms[0].coef == 1 && d->terms[0].mono->n == 1;
	return yes ? d->terms[0].mono->atoms[0] : NULL;
}

Sym *dim_as_sym(const Dim *d)
{
	const Atom *atom = dim_as_atom(d);
	return atom ? (Sym *)atom->sym : NULL;
}

void dim_each_sym(const Dim *d, void (*visit)(void *ctx, Sym *), void *ctx)
{
	for (int i = 0; i < d->n; i++) {
		const Mono *mono = d->terms[i].mono;
		for (int j = 0; j < mono->n; j++) {
			const Atom *x = mono->atoms[j];
			if (x->sym) {
				visit(ctx, (Sym *)x->sym);
				continue;
			}
			dim_each_sym(x->a, visit, ctx);
			dim_each_sym(x->b, visit, ctx);
		}
	}
}

bool dim_uses_sym(const Dim *d, const Sym *sym)
{
	for (int i = 0; i < d->n; i++) {
		const Mono *mono = d->terms[i].mono;
		for (int j = 0; j < mono->n; j++) {
			const Atom *x = mono->atoms[j];
			if (x->sym ? x->sym == sym : dim_uses_sym(x->a, sym) || dim_uses_sym(x->b, sym))
				return true;
		}
	}
	return false;
}
