/* sizes.c - small values of the symbols that satisfy the model's own checks, for running it on made-up inputs.
 *
 * From a start, every check that fails is mended by one symbol of it, until all hold or nothing helps; then from another start.
 */
#include "pass.h"

enum { MaxSize = 64 /* of a symbol that is searched */, MaxRounds = 20, MaxInput = 1 << 22 /* elements */ };

/* False: the dims have no values, or differ. */
static bool holds(const DimCheck *c, const int64_t *syms)
{
	int64_t a, b;
	return dim_eval(c->a, syms, &a) && dim_eval(c->b, syms, &b) && a == b;
}

static int count_failures(const Module *m, const int64_t *syms)
{
	int n = 0;
	for (int i = 0; i < m->main->body.ncheck; i++)
		n += !holds(&m->main->body.checks[i], syms);
	return n;
}

/* Gives one symbol of the check the smallest value that makes it hold, and that of all symbols which breaks fewest others. */
static bool mend(const Module *m, const DimCheck *c, int64_t *syms)
{
	int fewest = m->main->body.ncheck, best = -1;
	int64_t value = 0;
	for (int s = 0; s < m->nsym; s++) {
		const Sym *sym = m->syms[s];
		int64_t was = syms[s];
		if (!dim_uses_sym(c->a, sym) && !dim_uses_sym(c->b, sym))
			continue;
		for (int64_t v = sym->lo; v <= sym->hi && v <= sym->lo + MaxSize; v++) {
			syms[s] = v;
			if (!holds(c, syms))
				continue;
			int failures = count_failures(m, syms);
			if (failures < fewest) {
				fewest = failures;
				best = s;
				value = v;
			}
		}
		syms[s] = was;
	}
	if (best >= 0)
		syms[best] = value;
	return best >= 0;
}

static bool mend_all(const Module *m, int64_t *syms)
{
	for (int round = 0; round < MaxRounds; round++) {
		bool changed = false;
		for (int i = 0; i < m->main->body.ncheck; i++)
			changed |= !holds(&m->main->body.checks[i], syms) && mend(m, &m->main->body.checks[i], syms);
		if (!changed)
			break;
	}
	return !count_failures(m, syms);
}

static bool inputs_are_small(const Module *m, const int64_t *syms)
{
	for (int i = 0; i < m->main->nparam; i++) {
		const Type *t = &m->main->params[i]->type;
		int64_t n = 1, extent;
		for (int d = 0; d < t->rank; d++)
			if (!dim_eval(t->dims[d], syms, &extent) || extent < 0 || extent > MaxInput || (n *= extent) > MaxInput)
				return false;
	}
	return true;
}

/* Symbols differ where they can, so that mixed-up dims show. */
bool choose_sizes(const Module *m, int64_t smallest, int64_t *syms)
{
	for (int apart = 2; apart >= 0; apart--) {
		for (int i = 0; i < m->nsym; i++) {
			int64_t want = smallest + apart * i;
			syms[i] = want < m->syms[i]->lo ? m->syms[i]->lo : want > m->syms[i]->hi ? m->syms[i]->hi : want;
		}
		if (mend_all(m, syms) && inputs_are_small(m, syms))
			return true;
	}
	return false;
}
