/* dim.c - symbolic integer expressions in a normal form, interned, so that equal means the same pointer.
 *
 * A Dim is a sorted sum of terms; a term is a coefficient times a Mono, a sorted product of Atoms; an Atom is a symbol,
 * or floordiv, mod, min or max of two Dims.  All three are hash-consed.  Monos are ordered by degree, then by atoms: a
 * monomial order in the sense of polynomial division, the constant last.  No order depends on an address.
 *
 * Rules of division, for a divisor b proved positive (a negative one changes both signs):
 *   a = q*b + r, term by term           a/b = q + r/b                   a%b = r%b
 *   common factor g of r and b          (g*r + k)/(g*b) = (r + k/g)/b   (g*r + k)%(g*b) = g*((r + k/g)%b) + k%g
 *   positive constants                  ((x/c) + k)/d = (x + k*c)/(c*d) ((x%c) + k)%d = (x + k)%d where d divides c
 *   leading coefficient negative        r/b = -1 - (-r - 1)/b
 *   ranges that leave one quotient k    r/b = k                         r%b = r - k*b
 *   a with x%c written as x - c*(x/c) is a multiple of b: the quotient, and 0
 *
 * Input is hostile: terms, factors, depth and tree size are bounded, so every walk over a Dim as a tree is, too.
 */
#include "ir.h"

#include <stdlib.h>
#include <string.h>

enum { MaxTerms = 256, MaxFactors = 32, MaxDepth = 64, MaxSize = 4096 };
enum { MaxSteps = 1024 }; /* of one polynomial division */
enum { MaxExpand = 4, MaxExpandDepth = 4 }; /* mods written as divisions: expansions nest, so their cost is a power */

typedef enum AtomKind { AtomSym, AtomDiv, AtomMod, AtomMin, AtomMax } AtomKind;

typedef struct Atom {
	AtomKind kind;
	const Sym *sym;
	const Dim *a, *b;
	uint64_t hash;
	int size, depth; /* of the tree */
} Atom;

typedef struct Mono {
	uint64_t hash;
	int size, depth, n; /* n == 0: the factor of a constant */
	const Atom *atoms[];
} Mono;

typedef struct Term {
	int64_t coef; /* not 0 */
	const Mono *mono;
} Term;

struct Dim {
	uint64_t hash;
	int size, depth, n;
	Term terms[];
};

/* A sum under construction, sorted as in a Dim. */
typedef struct Poly {
	int n;
	Term t[MaxTerms];
} Poly;

struct DimTable {
	Table dims, monos, atoms, syms;
	const Mono *unit;
};

static const char *const Overflows = "dimension overflows";

static _Noreturn void fail(const Module *m, const char *what)
{
	fatal_at(&(Loc){.file = m->path}, "%s", what);
}

static void check(const Module *m, const char *what)
{
	if (what)
		fail(m, what);
}

/* ---- interning -------------------------------------------------------------------------------------------------- */

static uint64_t join_hash(uint64_t h, uint64_t word)
{
	return hash_bytes(&word, sizeof word, h);
}

static int max_int(int a, int b)
{
	return a > b ? a : b;
}

static bool same_atom(const void *item, const void *key)
{
	const Atom *x = item, *y = key;
	return x->kind == y->kind && x->sym == y->sym && x->a == y->a && x->b == y->b;
}

static const Atom *intern_atom(Module *m, AtomKind kind, const Sym *sym, const Dim *a, const Dim *b)
{
	Atom key = {kind, sym, a, b, join_hash(kind, sym ? (uint64_t)sym->index : 0), 1, 1};
	if (a) {
		key.hash = join_hash(join_hash(key.hash, a->hash), b->hash);
		key.size = 1 + a->size + b->size;
		key.depth = 1 + max_int(a->depth, b->depth);
	}
	if (key.depth > MaxDepth)
		fail(m, "dimension is nested too deeply");
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

static const Mono *intern_mono(Module *m, int n, const Atom *const *atoms)
{
	MonoKey key = {n, atoms};
	uint64_t hash = join_hash(n, 1);
	for (int i = 0; i < n; i++)
		hash = join_hash(hash, atoms[i]->hash);
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

static DimTable *table_of(Module *m)
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

static const Dim *intern_dim(Module *m, const Poly *p)
{
	uint64_t hash = join_hash(p->n, 2);
	int size = 1, depth = 0;
	for (int i = 0; i < p->n; i++) {
		hash = join_hash(join_hash(hash, (uint64_t)p->t[i].coef), p->t[i].mono->hash);
		size += p->t[i].mono->size;
		depth = max_int(depth, p->t[i].mono->depth);
	}
	if (size > MaxSize)
		fail(m, "dimension expression is too large");
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
		fail(m, "dimension has too many factors");
	while (i < x->n || j < y->n) {
		bool left = j == y->n || (i < x->n && compare_atom(x->atoms[i], y->atoms[j]) <= 0);
		atoms[n++] = left ? x->atoms[i++] : y->atoms[j++];
	}
	return intern_mono(m, n, atoms);
}

/* x / y, or NULL where y does not divide x. */
static const Mono *divide_mono(Module *m, const Mono *x, const Mono *y)
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

static const Mono *gcd_mono(Module *m, const Mono *x, const Mono *y)
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
static const char *add_term(Poly *p, int64_t coef, const Mono *mono)
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
static const char *add_scaled(Module *m, Poly *p, const Dim *d, int64_t factor, const Mono *mono)
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

static void set_poly(Poly *p, const Dim *d)
{
	p->n = d->n;
	memcpy(p->t, d->terms, (size_t)d->n * sizeof *p->t);
}

const Dim *dim_const(Module *m, int64_t value)
{
	Poly p;
	p.n = 0;
	add_term(&p, value, table_of(m)->unit);
	return intern_dim(m, &p);
}

static const Dim *dim_of_atom(Module *m, const Atom *atom)
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
	return m->dims ? table_find(&m->dims->syms, hash_bytes(name, strlen(name), 0), same_sym, name) : NULL;
}

const Dim *dim_sym(Module *m, const char *name)
{
	table_of(m);
	Sym *s = find_sym(m, name);
	if (!s) {
		s = arena_alloc(m->arena, sizeof *s);
		*s = (Sym){arena_strdup(m->arena, name), 0, DimMax, m->nsym};
		PUSH(m->arena, m->syms, m->nsym, m->capsym, s);
		table_add(m->arena, &m->dims->syms, hash_bytes(name, strlen(name), 0), s);
	}
	return dim_of_atom(m, intern_atom(m, AtomSym, s, NULL, NULL));
}

static const Dim *add_multiple(Module *m, const Dim *a, const Dim *b, int64_t factor)
{
	Poly p;
	set_poly(&p, a);
	check(m, add_scaled(m, &p, b, factor, table_of(m)->unit));
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

static const Dim *add_const(Module *m, const Dim *a, int64_t k)
{
	return dim_add(m, a, dim_const(m, k));
}

const Dim *dim_mul(Module *m, const Dim *a, const Dim *b)
{
	Poly p;
	p.n = 0;
	table_of(m);
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
static const Atom *only_atom(const Dim *d)
{
	bool yes = d->n == 1 && d->terms[0].coef == 1 && d->terms[0].mono->n == 1;
	return yes ? d->terms[0].mono->atoms[0] : NULL;
}

Sym *dim_as_sym(const Dim *d)
{
	const Atom *atom = only_atom(d);
	return atom ? (Sym *)atom->sym : NULL;
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

/* ---- ranges: INT64_MIN and INT64_MAX stand for minus and plus infinity ------------------------------------------- */

typedef struct Range {
	int64_t lo, hi;
} Range;

static bool is_infinite(int64_t x)
{
	return x == INT64_MIN || x == INT64_MAX;
}

static int64_t add_bound(int64_t a, int64_t b)
{
	int64_t sum;
	if (is_infinite(a) || is_infinite(b))
		return is_infinite(a) ? a : b;
	if (__builtin_add_overflow(a, b, &sum))
		return a < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

static int64_t mul_bound(int64_t a, int64_t b)
{
	int64_t product;
	if (!a || !b)
		return 0;
	if (is_infinite(a) || is_infinite(b) || __builtin_mul_overflow(a, b, &product))
		return (a < 0) != (b < 0) ? INT64_MIN : INT64_MAX;
	return product;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static int64_t div_bound(int64_t a, int64_t b)
{
	if (is_infinite(a))
		return (a < 0) != (b < 0) ? INT64_MIN : INT64_MAX;
	return floor_div(a, b);
}

/* f is monotonic in each argument, so its extremes over a box lie at the corners. */
static Range corners(int64_t (*f)(int64_t, int64_t), Range a, Range b)
{
	int64_t v[4] = {f(a.lo, b.lo), f(a.lo, b.hi), f(a.hi, b.lo), f(a.hi, b.hi)};
	Range r = {v[0], v[0]};
	for (int i = 1; i < 4; i++) {
		r.lo = v[i] < r.lo ? v[i] : r.lo;
		r.hi = v[i] > r.hi ? v[i] : r.hi;
	}
	return r;
}

static Range divide_range(Range a, Range b)
{
	if (b.lo == 0)
		b.lo = b.hi > 0; /* a division by zero has no value */
	if (b.hi == 0)
		b.hi = -(b.lo < 0);
	if (b.lo > 0 || b.hi < 0)
		return corners(div_bound, a, b);
	if (!b.lo)
		return (Range){INT64_MIN, INT64_MAX};
	Range up = corners(div_bound, a, (Range){1, b.hi}), down = corners(div_bound, a, (Range){b.lo, -1});
	return (Range){up.lo < down.lo ? up.lo : down.lo, up.hi > down.hi ? up.hi : down.hi};
}

static Range mod_range(Range a, Range b)
{
	Range r = {b.lo < 0 ? add_bound(b.lo, 1) : 0, b.hi > 0 ? add_bound(b.hi, -1) : 0};
	if (b.lo >= 0 && a.lo >= 0 && a.hi < r.hi)
		r.hi = a.hi;
	return r;
}

static Range range_of_terms(const Term *terms, int n);

static Range range_of_atom(const Atom *x)
{
	if (x->sym)
		return (Range){x->sym->lo, x->sym->hi};
	Range a = range_of_terms(x->a->terms, x->a->n), b = range_of_terms(x->b->terms, x->b->n);
	switch (x->kind) {
	case AtomDiv: return divide_range(a, b);
	case AtomMod: return mod_range(a, b);
	case AtomMin: return (Range){a.lo < b.lo ? a.lo : b.lo, a.hi < b.hi ? a.hi : b.hi};
	case AtomMax: return (Range){a.lo > b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi};
	case AtomSym: break;
	}
	bug("atom of kind %d", x->kind);
}

static Range range_of_mono(const Mono *mono)
{
	Range r = {1, 1};
	for (int i = 0; i < mono->n; i++)
		r = corners(mul_bound, r, range_of_atom(mono->atoms[i]));
	return r;
}

static Range range_of_terms(const Term *terms, int n)
{
	Range r = {0, 0};
	for (int i = 0; i < n; i++) {
		Range t = corners(mul_bound, range_of_mono(terms[i].mono), (Range){terms[i].coef, terms[i].coef});
		r = (Range){add_bound(r.lo, t.lo), add_bound(r.hi, t.hi)};
	}
	return r;
}

static Range range_of(const Dim *d)
{
	return range_of_terms(d->terms, d->n);
}

void dim_range(const Dim *d, int64_t *lo, int64_t *hi)
{
	Range r = range_of(d);
	*lo = r.lo;
	*hi = r.hi;
}

/* Of a + factor * b; everything where that overflows. */
static Range range_of_sum(Module *m, const Dim *a, const Dim *b, int64_t factor)
{
	Poly p;
	set_poly(&p, a);
	if (add_scaled(m, &p, b, factor, m->dims->unit))
		return (Range){INT64_MIN, INT64_MAX};
	return range_of_terms(p.t, p.n);
}

/* ---- division --------------------------------------------------------------------------------------------------- */

/* a = q*b + r, term by term; a b of several terms leaves q = 0.  b > 0; for a constant b, r's constant is in [0, b). */
static void divide_terms(Module *m, const Dim *a, const Dim *b, const Dim **q, const Dim **r)
{
	Poly quot, rem;
	quot.n = rem.n = 0;
	for (int i = 0; i < a->n; i++) {
		Term t = a->terms[i], by = b->terms[0];
		const Mono *mono = b->n == 1 && by.coef > 0 ? divide_mono(m, t.mono, by.mono) : NULL;
		int64_t k = 0;
		if (mono) {
			k = t.mono->n ? t.coef / by.coef : floor_div(t.coef, by.coef);
			add_term(&quot, k, mono);
		}
		add_term(&rem, t.coef - k * by.coef, t.mono);
	}
	*q = intern_dim(m, &quot);
	*r = intern_dim(m, &rem);
}

/* Polynomial division by the leading terms; true if nothing remains. */
static bool divide_exactly(Module *m, const Dim *a, const Dim *b, const Dim **q)
{
	Poly quot, rem;
	quot.n = 0;
	set_poly(&rem, a);
	for (int step = 0; rem.n; step++) {
		Term lead = rem.t[0], by = b->terms[0];
		const Mono *mono = divide_mono(m, lead.mono, by.mono);
		if (!mono || step == MaxSteps || (by.coef == -1 && lead.coef == INT64_MIN) || lead.coef % by.coef)
			return false;
		int64_t k = lead.coef / by.coef;
		if (k == INT64_MIN || add_term(&quot, k, mono) || mono->n + b->terms[0].mono->n > MaxFactors
		    || add_scaled(m, &rem, b, -k, mono))
			return false;
	}
	*q = intern_dim(m, &quot);
	return true;
}

/* x%c as x - c*(x/c) in every term; the same dim where there is nothing to do. */
static const Dim *expand_mods(Module *m, const Dim *a)
{
	const Dim *sum = dim_const(m, 0);
	int nmod = 0;
	for (int i = 0; i < a->n; i++)
		for (int j = 0; j < a->terms[i].mono->n; j++)
			nmod += a->terms[i].mono->atoms[j]->kind == AtomMod;
	if (!nmod || nmod > MaxExpand || a->depth > MaxExpandDepth)
		return a;
	for (int i = 0; i < a->n; i++) {
		const Dim *product = dim_const(m, a->terms[i].coef);
		for (int j = 0; j < a->terms[i].mono->n; j++) {
			const Atom *x = a->terms[i].mono->atoms[j];
			const Dim *factor = dim_of_atom(m, x);
			if (x->kind == AtomMod)
				factor = dim_sub(m, x->a, dim_mul(m, x->b, dim_floordiv(m, x->a, x->b)));
			product = dim_mul(m, product, factor);
		}
		sum = dim_add(m, sum, product);
	}
	return sum;
}

static bool is_multiple(Module *m, const Dim *a, const Dim *b, const Dim **q)
{
	if (divide_exactly(m, a, b, q))
		return true;
	const Dim *plain = expand_mods(m, a);
	return plain != a && divide_exactly(m, plain, b, q);
}

bool dim_exact_div(Module *m, const Dim *a, const Dim *b, const Dim **q)
{
	Range r = range_of(b);
	return (r.lo > 0 || r.hi < 0) && is_multiple(m, a, b, q);
}

bool dim_poly_div(Module *m, const Dim *a, const Dim *b, const Dim **q)
{
	return !dim_equals(b, 0) && is_multiple(m, a, b, q);
}

static int64_t gcd_coef(int64_t a, int64_t b)
{
	uint64_t x = a < 0 ? -(uint64_t)a : (uint64_t)a, y = b < 0 ? -(uint64_t)b : (uint64_t)b;
	while (y) {
		uint64_t rest = x % y;
		x = y;
		y = rest;
	}
	return x > INT64_MAX ? 1 : (int64_t)x;
}

typedef struct Factor {
	int64_t coef; /* > 0 */
	const Mono *mono;
} Factor;

/* The factor common to b and r, where the coefficient of r's constant does not count. */
static Factor common_factor(Module *m, const Dim *r, const Dim *b)
{
	Factor g = {0, b->terms[0].mono};
	for (int i = 0; i < b->n; i++) {
		g.coef = gcd_coef(g.coef, b->terms[i].coef);
		g.mono = gcd_mono(m, g.mono, b->terms[i].mono);
	}
	for (int i = 0; i < r->n; i++) {
		if (r->terms[i].mono->n)
			g.coef = gcd_coef(g.coef, r->terms[i].coef);
		g.mono = gcd_mono(m, g.mono, r->terms[i].mono);
	}
	return g;
}

/* floor(d / g); *rest is what the constant leaves. */
static const Dim *divide_by_factor(Module *m, const Dim *d, Factor g, int64_t *rest)
{
	Poly p;
	p.n = 0;
	*rest = 0;
	for (int i = 0; i < d->n; i++) {
		int64_t k = floor_div(d->terms[i].coef, g.coef);
		if (!d->terms[i].mono->n)
			*rest = d->terms[i].coef - k * g.coef;
		add_term(&p, k, divide_mono(m, d->terms[i].mono, g.mono));
	}
	return intern_dim(m, &p);
}

static const Dim *dim_of_factor(Module *m, Factor g)
{
	Poly p;
	p.n = 0;
	add_term(&p, g.coef, g.mono);
	return intern_dim(m, &p);
}

/* Is r/b the same number k for all values? */
static bool has_one_quotient(Module *m, const Dim *r, const Dim *b, int64_t *k)
{
	Range q = divide_range(range_of(r), range_of(b));
	*k = q.lo;
	if (q.lo == q.hi && !is_infinite(q.lo))
		return true;
	const Atom *x = only_atom(r);
	*k = 0;
	if (x && x->kind == AtomMod && x->b == b)
		return true;
	if (range_of(r).lo >= 0 && range_of_sum(m, b, r, -1).lo > 0)
		return true;
	*k = -1;
	return range_of(r).hi < 0 && range_of_sum(m, r, b, 1).lo >= 0;
}

/* Is r = x + k for an atom x of this kind with a positive constant as divisor? */
static bool split_nested(const Dim *r, AtomKind kind, const Atom **x, int64_t *c, int64_t *k)
{
	if (r->n < 1 || r->n > 2 || r->terms[0].coef != 1 || r->terms[0].mono->n != 1)
		return false;
	if (r->n == 2 && r->terms[1].mono->n)
		return false;
	*x = r->terms[0].mono->atoms[0];
	*k = r->n == 2 ? r->terms[1].coef : 0;
	return (*x)->kind == kind && dim_is_const((*x)->b, c) && *c > 0;
}

static const Dim *divide_nested(Module *m, const Dim *r, const Dim *b)
{
	const Atom *x;
	int64_t c, d, k, both;
	if (!split_nested(r, AtomDiv, &x, &c, &k) || !dim_is_const(b, &d) || __builtin_mul_overflow(c, d, &both)
	    || __builtin_mul_overflow(k, c, &k))
		return NULL;
	return dim_floordiv(m, add_const(m, x->a, k), dim_const(m, both));
}

static const Dim *negate(Module *m, const Dim *d)
{
	return dim_mul_const(m, d, -1);
}

static const Dim *divide_by_positive(Module *m, const Dim *a, const Dim *b)
{
	const Dim *q, *r, *nested;
	int64_t k;
	if (is_multiple(m, a, b, &q))
		return q;
	divide_terms(m, a, b, &q, &r);
	if (has_one_quotient(m, r, b, &k))
		return add_const(m, q, k);
	Factor g = common_factor(m, r, b);
	if (g.coef > 1 || g.mono->n) {
		r = divide_by_factor(m, r, g, &k);
		return dim_add(m, q, dim_floordiv(m, r, divide_by_factor(m, b, g, &k)));
	}
	if ((nested = divide_nested(m, r, b)))
		return dim_add(m, q, nested);
	if (r->terms[0].coef < 0)
		return dim_sub(m, add_const(m, q, -1), dim_floordiv(m, add_const(m, negate(m, r), -1), b));
	return dim_add(m, q, dim_of_atom(m, intern_atom(m, AtomDiv, NULL, r, b)));
}

static const Dim *mod_nested(Module *m, const Dim *r, const Dim *b)
{
	const Atom *x;
	int64_t c, d, k;
	if (!split_nested(r, AtomMod, &x, &c, &k) || !dim_is_const(b, &d) || c % d)
		return NULL;
	return dim_mod(m, add_const(m, x->a, k), b);
}

static const Dim *mod_by_positive(Module *m, const Dim *a, const Dim *b)
{
	const Dim *q, *r, *nested;
	int64_t k;
	if (is_multiple(m, a, b, &q))
		return dim_const(m, 0);
	divide_terms(m, a, b, &q, &r);
	if (has_one_quotient(m, r, b, &k))
		return add_multiple(m, r, b, -k);
	Factor g = common_factor(m, r, b);
	if (g.coef > 1 || g.mono->n) {
		int64_t rest, none;
		r = divide_by_factor(m, r, g, &rest);
		r = dim_mod(m, r, divide_by_factor(m, b, g, &none));
		return add_const(m, dim_mul(m, dim_of_factor(m, g), r), rest);
	}
	nested = mod_nested(m, r, b);
	return nested ? nested : dim_of_atom(m, intern_atom(m, AtomMod, NULL, r, b));
}

static Range divisor_range(const Module *m, const Dim *b)
{
	if (!b->n)
		fail(m, "dimension is divided by 0");
	return range_of(b);
}

const Dim *dim_floordiv(Module *m, const Dim *a, const Dim *b)
{
	Range r = divisor_range(m, b);
	if (r.hi < 0)
		return divide_by_positive(m, negate(m, a), negate(m, b));
	if (r.lo > 0)
		return divide_by_positive(m, a, b);
	return dim_of_atom(m, intern_atom(m, AtomDiv, NULL, a, b));
}

const Dim *dim_ceildiv(Module *m, const Dim *a, const Dim *b)
{
	return negate(m, dim_floordiv(m, negate(m, a), b));
}

const Dim *dim_mod(Module *m, const Dim *a, const Dim *b)
{
	Range r = divisor_range(m, b);
	if (r.hi < 0)
		return negate(m, mod_by_positive(m, negate(m, a), negate(m, b)));
	if (r.lo > 0)
		return mod_by_positive(m, a, b);
	return dim_of_atom(m, intern_atom(m, AtomMod, NULL, a, b));
}

/* ---- min and max ------------------------------------------------------------------------------------------------ */

enum { MaxOperands = 16 };

typedef struct Operands {
	AtomKind kind;
	int n;
	const Dim *d[MaxOperands + 1];
} Operands;

/* Is a never the one that counts beside b? */
static bool is_dominated(Module *m, AtomKind kind, const Dim *a, const Dim *b)
{
	Range r = range_of_sum(m, a, b, -1);
	return kind == AtomMin ? r.lo >= 0 : r.hi <= 0;
}

/* Keeps the list sorted and free of operands that another one dominates. */
static void add_operand(Module *m, Operands *o, const Dim *d)
{
	int kept = 0, at;
	for (int i = 0; i < o->n; i++)
		if (is_dominated(m, o->kind, d, o->d[i]))
			return;
	for (int i = 0; i < o->n; i++)
		if (!is_dominated(m, o->kind, o->d[i], d))
			o->d[kept++] = o->d[i];
	if (kept == MaxOperands)
		fail(m, "dimension has too many operands of min or max");
	for (at = kept; at > 0 && dim_compare(o->d[at - 1], d) > 0; at--)
		o->d[at] = o->d[at - 1];
	o->d[at] = d;
	o->n = kept + 1;
}

/* min(min(a, b), c) is built to the left, so its operands are found along the left side. */
static void add_operands(Module *m, Operands *o, const Dim *d)
{
	const Atom *x = only_atom(d);
	if (!x || x->kind != o->kind) {
		add_operand(m, o, d);
		return;
	}
	add_operands(m, o, x->a);
	add_operands(m, o, x->b);
}

static const Dim *choose(Module *m, AtomKind kind, const Dim *a, const Dim *b)
{
	Operands o = {kind, 0, {NULL}};
	table_of(m);
	add_operands(m, &o, a);
	add_operands(m, &o, b);
	const Dim *d = o.d[0];
	for (int i = 1; i < o.n; i++)
		d = dim_of_atom(m, intern_atom(m, kind, NULL, d, o.d[i]));
	return d;
}

const Dim *dim_min(Module *m, const Dim *a, const Dim *b)
{
	return choose(m, AtomMin, a, b);
}

const Dim *dim_max(Module *m, const Dim *a, const Dim *b)
{
	return choose(m, AtomMax, a, b);
}

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
	const Atom *x = only_atom(d);
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
		fatal_at(NULL, "out of memory");
	put_dim(f, d);
	if (fclose(f))
		fatal_at(NULL, "out of memory");
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
		fatal_at(NULL, "a tensor has more than 2^47 elements");
	return empty ? 0 : n;
}
