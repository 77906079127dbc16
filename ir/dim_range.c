/* dim_range.c - what values a dim can take.  Bounds are conservative; INT64_MIN and INT64_MAX stand for minus and plus
 * infinity. */
#include "dim.h"

bool is_infinite(int64_t x)
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

Range divide_range(Range a, Range b)
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

/* The symbol with an upper bound that the term is a multiple of; NULL: it is something else. */
static const Sym *bounded_sym(const Term *t)
{
	const Sym *s = t->mono->n == 1 ? t->mono->atoms[0]->sym : NULL;
	return s && s->most ? s : NULL;
}

/* d with the upper bound of a symbol in its place where that makes d smaller (larger), or NULL.  The symbol must stand in one
 * term, alone. */
static const Dim *at_upper_bound(const Dim *d, bool smaller)
{
	for (int i = 0; i < d->n; i++) {
		const Term *t = &d->terms[i];
		const Sym *s = bounded_sym(t);
		if (!s || (t->coef < 0) != smaller)
			continue;
		const Dim *own = dim_sym(s->module, s->name);
		const Dim *rest = dim_sub(s->module, d, dim_mul_const(s->module, own, t->coef));
		if (dim_uses_sym(rest, s))
			continue;
		return dim_add(s->module, rest, dim_mul_const(s->module, s->most, t->coef));
	}
	return NULL;
}

/* Bounds may use symbols that have bounds. */
Range range_of(const Dim *d)
{
	enum { MaxBounds = 8 };
	Range r = range_of_terms(d->terms, d->n);
	const Dim *low = d, *high = d;
	for (int i = 0; i < MaxBounds && (low = at_upper_bound(low, true)); i++) {
		Range least = range_of_terms(low->terms, low->n);
		r.lo = least.lo > r.lo ? least.lo : r.lo;
	}
	for (int i = 0; i < MaxBounds && (high = at_upper_bound(high, false)); i++) {
		Range most = range_of_terms(high->terms, high->n);
		r.hi = most.hi < r.hi ? most.hi : r.hi;
	}
	return r;
}

void dim_range(const Dim *d, int64_t *lo, int64_t *hi)
{
	Range r = range_of(d);
	*lo = r.lo;
	*hi = r.hi;
}


/* Of a + factor * b; everything where that overflows. */
Range range_of_sum(Module *m, const Dim *a, const Dim *b, int64_t factor)
{
	Poly p;
	set_poly(&p, a);
	if (add_scaled(m, &p, b, factor, m->dims->unit))
		return (Range){INT64_MIN, INT64_MAX};
	for (int i = 0; i < p.n; i++)
		if (bounded_sym(&p.t[i]))
			return range_of(intern_dim(m, &p));
	return range_of_terms(p.t, p.n);
}

/* ---- proofs ------------------------------------------------------------------------------------------------------- */

/* A range counts each atom of a sum on its own.  A proof looks into min, max and floordiv: it puts an operand in the place of one
 * atom of one term, and its upper bound in that of a loop's counter or a measured symbol.  Where the atom is the least of two sums either will do,
 * where it is the largest both must be proved.  The sums are not interned: most are seen once. */
typedef struct Proof {
	Module *m;
	int steps; /* left; what takes more is not proved */
} Proof;

enum { MaxProofSteps = 64, MaxProofTerms = 32 };

typedef struct Place { /* of an atom in a sum */
	int term, atom;
} Place;

/* *out = scale * (d without the term) + the term with `by` for its atom; false: too large. */
static bool replace_atom(Module *m, const Poly *d, Place at, const Dim *by, int64_t scale, Poly *out)
{
	Term t = d->t[at.term];
	const Atom *others[MaxFactors];
	int n = 0;
	out->n = 0;
	for (int i = 0; i < t.mono->n; i++)
		if (i != at.atom)
			others[n++] = t.mono->atoms[i];
	for (int i = 0; i < by->n; i++)
		if (by->terms[i].mono->n + n > MaxFactors)
			return false;
	for (int i = 0; i < d->n; i++) {
		int64_t coef;
		if (i != at.term && (__builtin_mul_overflow(d->t[i].coef, scale, &coef) || add_term(out, coef, d->t[i].mono)))
			return false;
	}
	return !add_scaled(m, out, by, t.coef, intern_mono(m, n, others)) && out->n <= MaxProofTerms;
}

static bool prove(Proof *, const Poly *);

static bool prove_with(Proof *p, const Poly *d, Place at, const Dim *by, int64_t scale)
{
	Poly sum;
	return replace_atom(p->m, d, at, by, scale, &sum) && prove(p, &sum);
}

/* by * d, with a - by + 1 <= by * (a / by) <= a; more than -by is enough. */
static bool prove_quotient(Proof *p, const Poly *d, Place at, const Atom *x)
{
	Term t = d->t[at.term];
	int64_t by, slack;
	Poly sum;
	if (!dim_is_const(x->b, &by) || by < 1 || by > DimMax || t.mono->n > 1)
		return false;
	if (__builtin_mul_overflow(t.coef > 0 ? 1 - t.coef : 1, by - 1, &slack))
		return false;
	return replace_atom(p->m, d, at, x->a, by, &sum) && !add_term(&sum, slack, p->m->dims->unit) && prove(p, &sum);
}

/* x = (a + c) / (n * k), y = a / n: x <= (y + c / n rounded up) / k.  NULL: they are no such. */
static const Dim *coarser(Module *m, const Atom *x, const Atom *y, int64_t *k)
{
	Poly apart;
	int64_t by, n;
	if (y == x || y->kind != AtomDiv || !dim_is_const(x->b, &by) || !dim_is_const(y->b, &n) || n < 1 || by < n || by > DimMax || by % n)
		return NULL;
	set_poly(&apart, x->a);
	if (add_scaled(m, &apart, y->a, -1, m->dims->unit) || apart.n > 1 || (apart.n && apart.t[0].mono->n))
		return NULL;
	const int64_t c = apart.n ? apart.t[0].coef : 0;
	if (c < -DimMax || c > DimMax)
		return NULL;
	*k = by / n;
	return dim_add(m, dim_of_atom(m, y), dim_const(m, -floor_div(-c, n)));
}

/* By a finer quotient of the same, where the sum has one. */
static bool prove_by_finer(Proof *p, const Poly *d, Place at, const Atom *x)
{
	if (d->t[at.term].coef > 0)
		return false;
	for (int i = 0; i < d->n; i++)
		for (int j = 0; j < d->t[i].mono->n && p->steps > 0; j++) {
			int64_t k;
			const Dim *most = coarser(p->m, x, d->t[i].mono->atoms[j], &k);
			if (most && prove_with(p, d, at, most, k))
				return true;
		}
	return false;
}

/* The kind of replacement: 0 none, 1 either operand (the only one) will do, 2 both must be proved. */
static int replacement(const Poly *d, Place at)
{
	const Mono *mono = d->t[at.term].mono;
	const Sym *s = mono->atoms[at.atom]->sym;
	AtomKind kind = mono->atoms[at.atom]->kind;
	bool counts_down = s && s->most && d->t[at.term].coef < 0;
	if (kind != AtomMin && kind != AtomMax && kind != AtomDiv && !counts_down)
		return 0;
	for (int i = 0; i < mono->n; i++)
		if (i != at.atom && range_of_atom(mono->atoms[i]).lo < 0)
			return 0; /* the sign of the factor is not known */
	return (kind == AtomMin) == (d->t[at.term].coef > 0) && kind != AtomDiv && !counts_down ? 2 : 1;
}

static bool prove_either(Proof *p, const Poly *d, Place at)
{
	const Atom *x = d->t[at.term].mono->atoms[at.atom];
	if (x->kind == AtomDiv)
		return prove_by_finer(p, d, at, x) || prove_quotient(p, d, at, x);
	if (x->sym) /* the term is least at the upper bound */
		return prove_with(p, d, at, x->sym->most, 1);
	return prove_with(p, d, at, x->a, 1) || prove_with(p, d, at, x->b, 1);
}

static bool prove(Proof *p, const Poly *d)
{
	if (range_of_terms(d->t, d->n).lo >= 0)
		return true;
	if (d->n > MaxProofTerms || --p->steps < 0)
		return false;
	for (int kind = 2; kind > 0; kind--)
		for (Place at = {0, 0}; at.term < d->n; at.term++)
			for (at.atom = 0; at.atom < d->t[at.term].mono->n; at.atom++) {
				const Atom *x = d->t[at.term].mono->atoms[at.atom];
				if (replacement(d, at) != kind)
					continue;
				if (kind == 2 ? prove_with(p, d, at, x->a, 1) && prove_with(p, d, at, x->b, 1) : prove_either(p, d, at))
					return true;
			}
	return false;
}

bool dim_proves_nonneg(Module *m, const Dim *d)
{
	Proof p = {m, MaxProofSteps};
	Poly sum;
	set_poly(&sum, d);
	return prove(&p, &sum);
}

bool dim_proves_at_most(Module *m, const Dim *a, const Dim *b)
{
	Proof p = {m, MaxProofSteps};
	Poly sum;
	set_poly(&sum, b);
	return !add_scaled(m, &sum, a, -1, m->dims->unit) && prove(&p, &sum);
}
