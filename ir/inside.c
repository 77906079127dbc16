/* inside.c - whether what a slice or a view reads lies inside its operand.
 *
 * Proved for every value of the symbols, or checked at run time: the text of the IR is not trusted.  A result without elements
 * reads nothing, so a proof may take every extent of the result to be at least 1.
 */
#include "dim.h"
#include "shape.h"

/* Lower bounds of symbols that hold during a proof. */
typedef struct Raised {
	int n;
	Sym *sym[2 * MaxRank];
	int64_t lo[2 * MaxRank]; /* as they were */
} Raised;

static void raise_symbol(Raised *r, Sym *s, int64_t lo)
{
	if (lo <= s->lo || lo > s->hi || r->n == 2 * MaxRank)
		return;
	r->sym[r->n] = s;
	r->lo[r->n++] = s->lo;
	s->lo = lo;
}

static void restore_symbols(Raised *r)
{
	while (r->n--)
		r->sym[r->n]->lo = r->lo[r->n];
}

/* What d >= 1 says of symbols: scale * s + rest, a min of such, a max of which only one operand can be that large. */
static void take_as_filled(Raised *r, const Dim *d)
{
	const Atom *x = dim_as_atom(d), *s;
	if (x && x->kind == AtomMin) {
		take_as_filled(r, x->a);
		take_as_filled(r, x->b);
	} else if (x && x->kind == AtomMax) {
		if (range_of(x->a).hi < 1)
			take_as_filled(r, x->b);
		else if (range_of(x->b).hi < 1)
			take_as_filled(r, x->a);
	} else if (d->n && d->n <= 2 && d->terms[0].mono->n == 1 && d->terms[0].coef > 0 && (d->n == 1 || !d->terms[1].mono->n)) {
		int64_t rest = d->n == 2 ? d->terms[1].coef : 0, scale = d->terms[0].coef;
		s = d->terms[0].mono->atoms[0];
		if (s->sym && rest >= -DimMax && rest <= DimMax)
			raise_symbol(r, (Sym *)s->sym, -floor_div(rest - 1, scale));
	}
}

/* Indices least .. most of an extent, read only if every one of `filled` is positive. */
typedef struct Reach {
	const Dim *least, *most, *extent;
	int nfilled;
	const Dim *filled[MaxViewAxes];
} Reach;

/* NULL where it is proved that the reach stays inside; else a dim that must be 0, and is a constant only if it never is. */
static const Dim *excess_of(Module *m, const Reach *reach)
{
	const Dim *zero = dim_const(m, 0), *one = dim_const(m, 1), *excess = zero;
	const Dim *over = dim_sub(m, dim_add(m, reach->most, one), reach->extent), *under = dim_mul_const(m, reach->least, -1);
	Raised raised = {.n = 0};
	for (int i = 0; i < reach->nfilled; i++)
		take_as_filled(&raised, reach->filled[i]);
	bool above = dim_proves_at_most(m, over, zero), below = dim_proves_at_most(m, under, zero);
	restore_symbols(&raised);
	if (above && below)
		return NULL;
	if (!above)
		excess = dim_max(m, excess, over);
	if (!below)
		excess = dim_max(m, excess, under);
	for (int i = 0; i < reach->nfilled; i++)
		excess = dim_mul(m, excess, dim_min(m, reach->filled[i], one));
	return dim_equals(excess, 0) ? NULL : excess;
}

const Dim *slice_excess(Module *m, const Dim *extent, const Dim *start, const Dim *n, int64_t step)
{
	const Dim *last = dim_add(m, start, dim_mul_const(m, dim_sub(m, n, dim_const(m, 1)), step));
	Reach r = {.least = step > 0 ? start : last, .most = step > 0 ? last : start, .extent = extent, .nfilled = 1, .filled = {n}};
	return excess_of(m, &r);
}

/* The first and last element that a view reads are corners of its index box. */
const Dim *view_excess(Module *m, const Dim *numel, const Dim *base, int n, const Dim *const *extents, const Dim *const *strides)
{
	const Dim *zero = dim_const(m, 0), *one = dim_const(m, 1);
	Reach r = {.least = base, .most = base, .extent = numel};
	for (int i = 0; i < n; i++) {
		const Dim *span = dim_mul(m, strides[i], dim_sub(m, extents[i], one));
		Range stride = range_of(strides[i]);
		if (stride.lo < 0)
			r.least = dim_add(m, r.least, stride.hi <= 0 ? span : dim_min(m, span, zero));
		if (stride.hi > 0)
			r.most = dim_add(m, r.most, stride.lo >= 0 ? span : dim_max(m, span, zero));
		if (range_of(extents[i]).lo < 1)
			r.filled[r.nfilled++] = extents[i];
	}
	return excess_of(m, &r);
}
