/* values.c - elements of inputs that are larger than any dim.
 *
 * The symbols of elements saturate at +-DimMax, which most models cannot tell: a slice that ends there takes all there is, as it would with
 * the element itself.  Where a dim can tell, the saturated value is left out of the symbol's range, so that a run with it fails.
 */
#include "import.h"

typedef struct Telling {
	Module *m;
	const Dim **none; /* for dim_subst: no symbol is replaced */
	const Dim *d;
	const Sym *s;
	bool depends;
} Telling;

static void look_beyond(void *telling)
{
	Telling *t = telling;
	t->depends = dim_uses_sym(dim_subst(t->m, t->d, t->none), t->s);
}

/* Does the dim depend on which of lo .. hi the symbol is?  It may be too large a dim to say so. */
static bool depends(Telling *t, Sym *s, int64_t lo, int64_t hi)
{
	int64_t was_lo = s->lo, was_hi = s->hi;
	t->s = s;
	s->lo = lo;
	s->hi = hi;
	bool known = diag_try(look_beyond, t, NULL, 0);
	s->lo = was_lo;
	s->hi = was_hi;
	return !known || t->depends;
}

static void look_at_sym(void *ctx, Sym *s)
{
	Telling *t = ctx;
	if (s->kind != SymValue)
		return;
	DType dtype = t->m->main->params[s->input]->type.dtype;
	bool above = s->times || highest_scalar(dtype).u > DimMax, below = s->times || lowest_scalar(dtype).i < -DimMax;
	if (above && s->hi == DimMax && depends(t, s, DimMax, INT64_MAX))
		s->hi--;
	if (below && s->lo == -DimMax && depends(t, s, INT64_MIN, -DimMax))
		s->lo++;
}

static void look_at_dim(void *ctx, const Dim *d, const Node *n, const Attr *a)
{
	if (a && a->id == Attr_trips && loop_has_cond(n)) /* so many that the condition ends the loop before */
		return;
	((Telling *)ctx)->d = d;
	dim_each_sym(d, look_at_sym, ctx);
}

void bound_values(Module *m)
{
	Telling t = {.m = m, .none = arena_alloc(m->arena, ((size_t)m->nsym + 1) * sizeof *t.none)};
	module_each_dim(m, look_at_dim, &t);
}
