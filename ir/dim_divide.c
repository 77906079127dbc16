/* dim_divide.c - floordiv and mod, min and max of dims.
 *
 * Rules of division, for a divisor b proved positive (a negative one changes both signs):
 *   a = q*b + r, term by term           a/b = q + r/b                   a%b = r%b
 *   common factor g of r and b          (g*r + k)/(g*b) = (r + k/g)/b   (g*r + k)%(g*b) = g*((r + k/g)%b) + k%g
 *   positive constants                  ((x/c) + k)/d = (x + k*c)/(c*d) ((x%c) + k)%d = (x + k)%d where d divides c
 *   leading coefficient negative        r/b = -1 - (-r - 1)/b
 *   ranges that leave one quotient k    r/b = k                         r%b = r - k*b
 *   a with x%c written as x - c*(x/c) is a multiple of b: the quotient, and 0
 */
#include "dim.h"

enum { MaxSteps = 1024 }; /* of one polynomial division */
enum { MaxExpand = 4, MaxExpandDepth = 4 }; /* mods written as divisions: expansions nest, so their cost is a power */

static const Dim *add_const(Module *m, const Dim *a, int64_t k)
{
	return dim_add(m, a, dim_const(m, k));
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
		if (mono)
			add_term(&quot, t.mono->n ? t.coef / by.coef : floor_div(t.coef, by.coef), mono);
		add_term(&rem, !mono ? t.coef : t.mono->n ? t.coef % by.coef : floor_mod(t.coef, by.coef), t.mono);
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
	const Atom *x = dim_as_atom(r);
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
		fatal_at(&(Loc){.file = m->path}, "dimension is divided by 0");
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
	if (kind == AtomMin ? r.lo >= 0 : r.hi <= 0)
		return true;
	return kind == AtomMin ? dim_proves_at_most(m, b, a) : dim_proves_at_most(m, a, b);
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
		dim_refuse(m, "dimension has too many operands of min or max");
	for (at = kept; at > 0 && dim_compare(o->d[at - 1], d) > 0; at--)
		o->d[at] = o->d[at - 1];
	o->d[at] = d;
	o->n = kept + 1;
}

/* min(min(a, b), c) is built to the left, so its operands are found along the left side. */
static void add_operands(Module *m, Operands *o, const Dim *d)
{
	const Atom *x = dim_as_atom(d);
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
	dim_table(m);
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
