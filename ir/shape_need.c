/* shape_need.c - what shape functions ask of operands and dims, and what they make of two. */
#include "shape.h"

const Type *type_in(const Node *n, int i)
{
	return i < n->nin && n->in[i] ? &n->in[i]->type : NULL;
}

Site site_of(const Node *n)
{
	return (Site){n->block, n->loc};
}

void check_equal(Module *m, const Dim *a, const Dim *b, Site at)
{
	add_check(m, at.block, (DimCheck){a, b, at.loc, false});
}

static bool provably_differ(Module *m, const Dim *a, const Dim *b)
{
	int64_t alo, ahi, blo, bhi, lo, hi;
	if (a == b)
		return false;
	dim_range(a, &alo, &ahi);
	dim_range(b, &blo, &bhi);
	if (alo > bhi || blo > ahi)
		return true;
	dim_range(dim_sub(m, a, b), &lo, &hi);
	return lo > 0 || hi < 0;
}

static const Dim *simpler_of(const Dim *a, const Dim *b)
{
	return dim_is_const(b, NULL) || dim_size(b) < dim_size(a) ? b : a;
}

bool merge_dims(Module *m, const Dim *a, const Dim *b, const Dim **out, Site at)
{
	if (provably_differ(m, a, b))
		return false;
	check_equal(m, a, b, at);
	*out = simpler_of(a, b);
	return true;
}

const char *need_equal(Module *m, const Node *n, const Dim *a, const Dim *b, const char *what)
{
	const Dim *merged;
	if (!merge_dims(m, a, b, &merged, site_of(n)))
		FAIL("%s differ: %s and %s", what, dim_text(m, a), dim_text(m, b));
	return NULL;
}

const char *need_nonneg(Module *m, const Node *n, const Dim *d, const char *what)
{
	int64_t lo, hi;
	dim_range(d, &lo, &hi);
	if (hi < 0)
		FAIL("%s is negative: %s", what, dim_text(m, d));
	if (!dim_proves_nonneg(m, d))
		check_equal(m, dim_min(m, d, dim_const(m, 0)), dim_const(m, 0), site_of(n));
	return NULL;
}

const char *need_multiple(Module *m, const Node *n, const Dim *d, const Dim *of, const char *what)
{
	if (dim_equals(of, 0))
		FAIL("%s: division by zero", what);
	const Dim *rest = dim_mod(m, d, of);
	int64_t lo, hi;
	dim_range(rest, &lo, &hi);
	if (lo > 0)
		FAIL("%s: %s is not a multiple of %s", what, dim_text(m, d), dim_text(m, of));
	check_equal(m, rest, dim_const(m, 0), site_of(n));
	return NULL;
}

/* Where nodes broadcast: constants alone decide. */
static bool broadcast_dim(Module *m, const Dim *a, const Dim *b, const Dim **out, Site at)
{
	if (dim_equals(a, 1))
		*out = b;
	else if (dim_equals(b, 1))
		*out = a;
	else if (provably_differ(m, a, b))
		return false;
	else {
		add_check(m, at.block, (DimCheck){a, b, at.loc, true});
		*out = simpler_of(a, b);
	}
	return true;
}

/* `unit` is at most 1, and proved to be 1 wherever d is more than 0. */
static bool is_unit_of(Module *m, const Dim *unit, const Dim *d)
{
	return dim_proves_at_most(m, dim_min(m, d, dim_const(m, 1)), unit);
}

/* 0 or 1 beside b: nothing, or b elements.  Nothing goes with nothing and with 1 only. */
static bool broadcast_unit(Module *m, const Dim *unit, const Dim *b, const Dim **out, Site at)
{
	const Dim *one = dim_const(m, 1), *zero = dim_const(m, 0);
	int64_t lo, hi;
	*out = b;
	if (is_unit_of(m, unit, b))
		return true;
	const Dim *wrong = dim_mul(m, dim_sub(m, one, unit), dim_max(m, dim_sub(m, b, one), zero));
	dim_range(wrong, &lo, &hi);
	if (lo > 0)
		return false;
	if (hi > 0)
		check_equal(m, wrong, zero, at);
	*out = dim_mul(m, unit, b);
	return true;
}

bool dim_is_unit(const Dim *d)
{
	int64_t lo, hi;
	dim_range(d, &lo, &hi);
	return hi <= 1 && !dim_equals(d, 1);
}

/* Dim of the axis that lies under axis `axis` of a result of rank `rank`, or NULL if the operand does not reach it. */
static const Dim *aligned_dim(const Type *t, int rank, int axis)
{
	int own = axis - (rank - t->rank);
	return own >= 0 ? t->dims[own] : NULL;
}

/* The joint type of a and b, axis by axis, with the dtype of a. */
static bool join_types(Module *m, const Type *a, const Type *b, Type *out, Site at,
                       bool (*join)(Module *, const Dim *, const Dim *, const Dim **, Site))
{
	Type t = {.dtype = a->dtype, .rank = a->rank > b->rank ? a->rank : b->rank};
	for (int i = 0; i < t.rank; i++) {
		const Dim *da = aligned_dim(a, t.rank, i), *db = aligned_dim(b, t.rank, i);
		if (!da || !db)
			t.dims[i] = da ? da : db;
		else if (!join(m, da, db, &t.dims[i], at))
			return false;
	}
	*out = t;
	return true;
}

bool dim_may_broadcast(const Module *m, const Dim *d, const Dim *to)
{
	int64_t lo, hi;
	dim_range(d, &lo, &hi);
	return m->broadcast_symbols && d != to && lo <= 1 && hi > 1;
}

const Dim *dim_differs(Module *m, const Dim *a, const Dim *b)
{
	return dim_min(m, dim_max(m, dim_sub(m, a, b), dim_sub(m, b, a)), dim_const(m, 1));
}

/* Whether d has gone into `joint`, so that it is equal to it or 1. */
static bool is_part_of(const Module *m, const Dim *d, const Dim *joint)
{
	for (int i = 0; i < m->njoint; i++)
		if (m->joints[i].joint == joint && m->joints[i].part == d)
			return true;
	return d == joint;
}

/* d, and what has gone into it, goes into `joint`. */
static void add_parts(Module *m, const Dim *d, const Dim *joint)
{
	int n = m->njoint;
	if (d == joint)
		return;
	PUSH(m->arena, m->joints, m->njoint, m->capjoint, ((JointDim){d, joint}));
	for (int i = 0; i < n; i++)
		if (m->joints[i].joint == d && !is_part_of(m, m->joints[i].part, joint))
			PUSH(m->arena, m->joints, m->njoint, m->capjoint, ((JointDim){m->joints[i].part, joint}));
}

/* Two extents of which one or either may be 1: their larger, or nothing beside nothing. */
static bool broadcast_symbols(Module *m, const Dim *a, const Dim *b, const Dim **out, Site at)
{
	if (is_part_of(m, a, b) || is_part_of(m, b, a)) {
		*out = is_part_of(m, a, b) ? b : a;
		return true;
	}
	const Dim *one = dim_const(m, 1), *wrong = dim_differs(m, a, b);
	bool a_may = dim_may_broadcast(m, a, b), b_may = dim_may_broadcast(m, b, a);
	if (a_may)
		wrong = dim_mul(m, wrong, dim_differs(m, a, one));
	if (b_may)
		wrong = dim_mul(m, wrong, dim_differs(m, b, one));
	check_equal(m, wrong, dim_const(m, 0), at);
	*out = !b_may ? b : !a_may ? a : derive_sym(m, dim_mul(m, dim_max(m, a, b), dim_min(m, dim_min(m, a, b), one)));
	add_parts(m, a, *out);
	add_parts(m, b, *out);
	return true;
}

/* By range: what is at most 1 broadcasts. */
static bool broadcast_by_range(Module *m, const Dim *a, const Dim *b, const Dim **out, Site at)
{
	*out = a;
	if (a == b)
		return true;
	if (dim_is_unit(a) && !dim_equals(b, 1))
		return broadcast_unit(m, a, b, out, at);
	if (dim_is_unit(b) && !dim_equals(a, 1))
		return broadcast_unit(m, b, a, out, at);
	if (!dim_equals(a, 1) && !dim_equals(b, 1) && (dim_may_broadcast(m, a, b) || dim_may_broadcast(m, b, a)))
		return broadcast_symbols(m, a, b, out, at);
	return broadcast_dim(m, a, b, out, at);
}

bool broadcast_types(Module *m, const Type *a, const Type *b, Type *out, Site at)
{
	return join_types(m, a, b, out, at, broadcast_by_range);
}

const char *broadcast_or_say(Module *m, const Node *n, const Type *a, const Type *b, Type *out)
{
	if (!join_types(m, a, b, out, site_of(n), broadcast_dim))
		FAIL("cannot broadcast %s with %s", type_text(m, a), type_text(m, b));
	return NULL;
}

/* `t` reaches `to` by broadcasting and does not enlarge it. */
const char *need_broadcastable(Module *m, const Node *n, const Type *t, const Type *to, const char *what)
{
	Type joint;
	if (t->rank > to->rank)
		FAIL("%s: %s has more axes than %s", what, type_text(m, t), type_text(m, to));
	for (int i = 0; i < to->rank; i++) {
		const Dim *d = aligned_dim(t, to->rank, i), *full = to->dims[i];
		if (!d || dim_equals(d, 1) || (dim_is_unit(d) && is_unit_of(m, d, full)))
			continue;
		if (dim_is_unit(d) && !dim_is_unit(full)) /* 0 elements become 0 only */
			check_equal(m, dim_mul(m, d, full), full, site_of(n));
		else if (!merge_dims(m, full, d, &joint.dims[i], site_of(n)))
			FAIL("%s: cannot broadcast %s to %s", what, type_text(m, t), type_text(m, to));
	}
	return NULL;
}

const char *need_class(Module *m, const Node *n, DType d)
{
	if (!is_among(d, ops[n->op].takes))
		LACK("does not take %s", dtypes[d].text);
	return NULL;
}

/* Operand i exists where the op needs it, and has the type of operand `like` (-1: need not). */
const char *need_operand(Module *m, const Node *n, int i, int like)
{
	const Type *t = type_in(n, i);
	if (!t)
		FAIL("operand %s is missing", ops[n->op].in[i]);
	TRY(need_class(m, n, t->dtype));
	if (like >= 0 && t->dtype != type_in(n, like)->dtype)
		FAIL("element types differ: %s and %s", dtypes[type_in(n, like)->dtype].text, dtypes[t->dtype].text);
	return NULL;
}

const char *need_operands(Module *m, const Node *n)
{
	int nin = ops[n->op].nin;
	if (nin >= 0 && n->nin > nin)
		FAIL("takes at most %d operands, not %d", nin, n->nin);
	return NULL;
}

const char *need_rank(Module *m, const Type *t, int rank, const char *what)
{
	if (t->rank != rank)
		FAIL("%s has rank %d, expected %d: %s", what, t->rank, rank, type_text(m, t));
	return NULL;
}

const char *need_axis(Module *m, const Node *n, const Type *t, int *axis)
{
	int64_t a = attr_int(n, Attr_axis);
	if (a < 0 || a >= t->rank)
		FAIL("axis %lld is out of range for %s", (long long)a, type_text(m, t));
	*axis = (int)a;
	return NULL;
}

const char *need_index(Module *m, const Node *n, int i)
{
	const Type *t = type_in(n, i);
	if (!t)
		FAIL("operand %s is missing", ops[n->op].in[i]);
	if (!is_among(t->dtype, TypesInt))
		FAIL("indices have type %s, expected integers", dtypes[t->dtype].text);
	return NULL;
}

const char *append_dims(Module *m, Type *out, const Type *from, int first, int end)
{
	for (int i = first; i < end; i++) {
		if (out->rank == MaxRank)
			LACK("the result has more than %d axes", MaxRank);
		out->dims[out->rank++] = from->dims[i];
	}
	return NULL;
}

/* ---- windows ---------------------------------------------------------------------------------------------------- */

const char *need_window(Module *m, const Node *n, int axis, int spatial, Window *w)
{
	const int64_t *strides, *dilations, *pads;
	int nstrides = attr_ints(n, Attr_strides, &strides), ndilations = attr_ints(n, Attr_dilations, &dilations);
	int npads = attr_ints(n, Attr_pads, &pads);
	if ((nstrides && nstrides != spatial) || (ndilations && ndilations != spatial)
	    || (npads && npads != 2 * spatial))
		FAIL("strides, dilations or pads do not fit %d spatial axes", spatial);
	w->stride = nstrides ? strides[axis] : 1;
	w->dilation = ndilations ? dilations[axis] : 1;
	w->before = npads ? pads[axis] : 0;
	w->after = npads ? pads[spatial + axis] : 0;
	if (w->stride < 1 || w->stride > DimMax || w->dilation < 1 || w->dilation > DimMax)
		FAIL("stride %lld or dilation %lld is out of range", (long long)w->stride, (long long)w->dilation);
	if (w->before < -DimMax || w->before > DimMax || w->after < -DimMax || w->after > DimMax)
		FAIL("padding %lld, %lld is out of range", (long long)w->before, (long long)w->after);
	return NULL;
}

const char *slide_window(Module *m, const Node *n, int axis, int spatial, const Dim *d, const Dim *taps, const Dim **out)
{
	Window win = {1, 1, 0, 0};
	TRY(need_window(m, n, axis, spatial, &win));
	TRY(need_nonneg(m, n, dim_sub(m, taps, dim_const(m, 1)), "kernel extent - 1"));
	const Dim *span = dim_mul_const(m, dim_sub(m, taps, dim_const(m, 1)), win.dilation);
	const Dim *room = dim_add(m, d, dim_const(m, win.before + win.after));
	const Dim *steps = dim_floordiv(m, dim_sub(m, dim_sub(m, room, span), dim_const(m, 1)), dim_const(m, win.stride));
	*out = dim_add(m, steps, dim_const(m, 1));
	return need_nonneg(m, n, *out, "output extent");
}
