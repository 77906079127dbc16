/* axes.c - axes that arrive at run time: which axis an entry names is arithmetic of dims.
 *
 * [a == b] is max(0, 1 - |a - b|), so whether entry k names axis i is a dim of 0 or 1, and an extent that depends on it a sum of
 * products; long ones become symbols (name_dim).  An operation along such axes becomes one along constant axes of a tensor of twice the rank (split_named).
 */
#include "axes.h"

static const Dim *is_equal(Module *m, const Dim *a, int64_t b)
{
	const Dim *d = dim_sub(m, a, dim_const(m, b)), *zero = dim_const(m, 0);
	return name_dim(m, dim_max(m, zero, dim_sub(m, dim_const(m, 1), dim_max(m, d, dim_sub(m, zero, d)))));
}

/* a, or what it counts from the end. */
static const Dim *from_front(Module *m, const Dim *a, int rank)
{
	const Dim *zero = dim_const(m, 0), *negative = dim_min(m, dim_max(m, dim_sub(m, zero, a), zero), dim_const(m, 1));
	return name_dim(m, dim_add(m, a, dim_mul_const(m, negative, rank)));
}

bool run_time_axes(Call *c, int input, int rank, Axes *axes)
{
	if (input >= c->nin || !c->in[input])
		return false;
	*axes = (Axes){.n = need_dims(c, input, "axes", axes->at, MaxRank), .rank = rank};
	const Dim *entries[MaxRank];
	bool constant = true;
	need_dims(c, input, "axes", entries, MaxRank);
	for (int i = 0; i < axes->n; i++)
		constant &= dim_is_const(entries[i], NULL);
	if (constant)
		return false;
	for (int i = 0; i < axes->n; i++) {
		require_at_least(c, entries[i], -rank);
		require_at_most(c, entries[i], dim_const(c->m, rank - 1));
		axes->at[i] = from_front(c->m, entries[i], rank);
	}
	return true;
}

const Dim *named_value(Call *c, const Axes *axes, int axis, const Dim *const *values, const Dim *dflt)
{
	const Dim *v = dflt;
	for (int i = 0; i < axes->n; i++)
		v = dim_add(c->m, v, dim_mul(c->m, is_equal(c->m, axes->at[i], axis), dim_sub(c->m, values[i], dflt)));
	return name_dim(c->m, v);
}

const Dim *is_named(Call *c, const Axes *axes, int axis)
{
	const Dim *sum = dim_const(c->m, 0);
	for (int i = 0; i < axes->n; i++)
		sum = dim_add(c->m, sum, is_equal(c->m, axes->at[i], axis));
	return name_dim(c->m, dim_min(c->m, sum, dim_const(c->m, 1)));
}

/* The extent of x's axis number `number`, a dim; 0 if there is none. */
static const Dim *extent_at(Call *c, const Type *x, const Dim *number)
{
	const Dim *sum = dim_const(c->m, 0);
	for (int i = 0; i < x->rank; i++)
		sum = dim_add(c->m, sum, dim_mul(c->m, is_equal(c->m, number, i), x->dims[i]));
	return name_dim(c->m, sum);
}

void fold_around(Call *c, const Axes *axes, const Type *x, const Dim **dims)
{
	Module *m = c->m;
	const Dim *one = dim_const(m, 1), *is_behind = dim_const(m, 0);
	dims[0] = dims[2] = one;
	for (int i = 0; i < x->rank; i++) {
		const Dim *named = is_named(c, axes, i), *is_before = dim_sub(m, one, dim_add(m, named, is_behind));
		const Dim *more = dim_sub(m, x->dims[i], one);
		dims[0] = name_dim(m, dim_mul(m, dims[0], dim_add(m, one, dim_mul(m, is_before, more))));
		dims[2] = name_dim(m, dim_mul(m, dims[2], dim_add(m, one, dim_mul(m, is_behind, more))));
		is_behind = name_dim(m, dim_add(m, is_behind, named));
	}
	dims[1] = extent_at(c, x, axes->at[0]);
}

int drop_named(Call *c, const Axes *axes, const Type *x, const Dim **dims)
{
	Module *m = c->m;
	int rank = x->rank - axes->n;
	if (rank < 0)
		fatal_at(c->loc, "%d axes of a tensor of rank %d", axes->n, x->rank);
	for (int j = 0; j < rank; j++) {
		const Dim *kept = dim_const(m, 0); /* axes before i that stay */
		dims[j] = dim_const(m, 0);
		for (int i = 0; i < x->rank; i++) {
			const Dim *stays = dim_sub(m, dim_const(m, 1), is_named(c, axes, i));
			dims[j] = dim_add(m, dims[j], dim_mul(m, dim_mul(m, stays, is_equal(m, kept, j)), x->dims[i]));
			kept = name_dim(m, dim_add(m, kept, stays));
		}
		dims[j] = name_dim(m, dims[j]);
	}
	return rank;
}

int add_named(Call *c, const Axes *axes, const Type *x, const Dim **dims)
{
	Module *m = c->m;
	const Dim *from = dim_const(m, 0), *one = dim_const(m, 1);
	for (int i = 0; i < axes->rank; i++) {
		const Dim *is_new = is_named(c, axes, i), *old = dim_sub(m, one, is_new);
		dims[i] = name_dim(m, dim_add(m, is_new, dim_mul(m, old, extent_at(c, x, from))));
		from = name_dim(m, dim_add(m, from, old));
	}
	return axes->rank;
}

Value *split_named(Call *c, const Axes *axes, Value *x)
{
	Module *m = c->m;
	const Dim *dims[MaxRank], *one = dim_const(m, 1);
	if (2 * x->type.rank > MaxRank)
		refuse_at(c->loc, "not supported: axes that arrive at run time, of a tensor of rank %d", x->type.rank);
	for (int i = 0; i < x->type.rank; i++) {
		const Dim *named = is_named(c, axes, i), *extent = x->type.dims[i];
		dims[2 * i] = name_dim(m, dim_add(m, extent, dim_mul(m, named, dim_sub(m, one, extent))));
		dims[2 * i + 1] = name_dim(m, dim_add(m, one, dim_mul(m, named, dim_sub(m, extent, one))));
	}
	return emit_reshape(c, x, 2 * x->type.rank, dims);
}
