/* shape.c - result types of the operators.
 *
 * A shape function looks at operand types and attributes only and never trusts them: operands may be missing, of any
 * type, and attributes of any value.  What is provably wrong is a message; what depends on symbols becomes a DimCheck,
 * so that code behind it may rely on the dims; what needs the data is left to the run.
 */
#include "shape.h"
#include "strassen.h"
#include "winograd.h"

#include <string.h>

/* ---- helpers ---------------------------------------------------------------------------------------------------- */

static const Type *type_in(const Node *n, int i)
{
	return i < n->nin && n->in[i] ? &n->in[i]->type : NULL;
}

static Site site_of(const Node *n)
{
	return (Site){n->block, n->loc};
}

static void check_equal(Module *m, const Dim *a, const Dim *b, Site at)
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

/* Two dims that must be equal become one, the simpler: a constant if one of them is. */
static bool merge_dims(Module *m, const Dim *a, const Dim *b, const Dim **out, Site at)
{
	if (provably_differ(m, a, b))
		return false;
	check_equal(m, a, b, at);
	*out = simpler_of(a, b);
	return true;
}

static const char *need_equal(Module *m, const Node *n, const Dim *a, const Dim *b, const char *what)
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

static const char *need_multiple(Module *m, const Node *n, const Dim *d, const Dim *of, const char *what)
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

static const char *broadcast_or_say(Module *m, const Node *n, const Type *a, const Type *b, Type *out)
{
	if (!join_types(m, a, b, out, site_of(n), broadcast_dim))
		FAIL("cannot broadcast %s with %s", type_text(m, a), type_text(m, b));
	return NULL;
}

/* `t` reaches `to` by broadcasting and does not enlarge it. */
static const char *need_broadcastable(Module *m, const Node *n, const Type *t, const Type *to, const char *what)
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

static const char *need_class(Module *m, const Node *n, DType d)
{
	if (!is_among(d, ops[n->op].takes))
		LACK("does not take %s", dtypes[d].text);
	return NULL;
}

/* Operand i exists where the op needs it, and has the type of operand `like` (-1: need not). */
static const char *need_operand(Module *m, const Node *n, int i, int like)
{
	const Type *t = type_in(n, i);
	if (!t)
		FAIL("operand %s is missing", ops[n->op].in[i]);
	TRY(need_class(m, n, t->dtype));
	if (like >= 0 && t->dtype != type_in(n, like)->dtype)
		FAIL("element types differ: %s and %s", dtypes[type_in(n, like)->dtype].text, dtypes[t->dtype].text);
	return NULL;
}

static const char *need_count(Module *m, const Node *n)
{
	int nin = ops[n->op].nin;
	if (nin >= 0 && n->nin > nin)
		FAIL("takes at most %d operands, not %d", nin, n->nin);
	return NULL;
}

static const char *need_rank(Module *m, const Type *t, int rank, const char *what)
{
	if (t->rank != rank)
		FAIL("%s has rank %d, expected %d: %s", what, t->rank, rank, type_text(m, t));
	return NULL;
}

static const char *need_axis(Module *m, const Node *n, const Type *t, int *axis)
{
	int64_t a = attr_int(n, Attr_axis);
	if (a < 0 || a >= t->rank)
		FAIL("axis %lld is out of range for %s", (long long)a, type_text(m, t));
	*axis = (int)a;
	return NULL;
}

static const char *need_index(Module *m, const Node *n, int i)
{
	const Type *t = type_in(n, i);
	if (!t)
		FAIL("operand %s is missing", ops[n->op].in[i]);
	if (!is_among(t->dtype, TypesInt))
		FAIL("indices have type %s, expected integers", dtypes[t->dtype].text);
	return NULL;
}

static const char *append_dims(Module *m, Type *out, const Type *from, int first, int end)
{
	for (int i = first; i < end; i++) {
		if (out->rank == MaxRank)
			LACK("the result has more than %d axes", MaxRank);
		out->dims[out->rank++] = from->dims[i];
	}
	return NULL;
}

/* ---- elementwise and reductions --------------------------------------------------------------------------------- */

/* The other operands of a normalisation, scale and bias, have the dims of the normalised axes. */
static const char *check_scales(Module *m, const Node *n, const Type *x, int axis)
{
	for (int i = 1; i < ops[n->op].nin; i++) {
		const Type *t = type_in(n, i);
		if (!t)
			continue;
		TRY(need_operand(m, n, i, 0));
		TRY(need_rank(m, t, x->rank - axis, ops[n->op].in[i]));
		for (int d = 0; d < t->rank; d++)
			TRY(need_equal(m, n, x->dims[axis + d], t->dims[d], "dims of x and of the scale or bias"));
	}
	return NULL;
}

const char *shape_same(Module *m, const Node *n, Type *out)
{
	int axis = 0;
	TRY(need_count(m, n));
	TRY(need_operand(m, n, 0, -1));
	const Type *x = type_in(n, 0);
	if (ops[n->op].attrs >> Attr_axis & 1)
		TRY(need_axis(m, n, x, &axis));
	TRY(check_scales(m, n, x, axis));
	*out = *x;
	return NULL;
}

const char *shape_bool(Module *m, const Node *n, Type *out)
{
	TRY(shape_same(m, n, out));
	out->dtype = Bool;
	return NULL;
}

const char *shape_bcast(Module *m, const Node *n, Type *out)
{
	TRY(need_count(m, n));
	TRY(need_operand(m, n, 0, -1));
	TRY(need_operand(m, n, 1, 0));
	return broadcast_or_say(m, n, type_in(n, 0), type_in(n, 1), out);
}

const char *shape_compare(Module *m, const Node *n, Type *out)
{
	TRY(shape_bcast(m, n, out));
	out->dtype = Bool;
	return NULL;
}

const char *shape_where(Module *m, const Node *n, Type *out)
{
	Type values;
	TRY(need_count(m, n));
	TRY(need_operand(m, n, 0, -1));
	TRY(need_operand(m, n, 1, -1));
	TRY(need_operand(m, n, 2, 1));
	if (type_in(n, 0)->dtype != Bool)
		FAIL("the condition has type %s, expected bool", dtypes[type_in(n, 0)->dtype].text);
	TRY(broadcast_or_say(m, n, type_in(n, 1), type_in(n, 2), &values));
	TRY(broadcast_or_say(m, n, &values, type_in(n, 0), out));
	out->dtype = values.dtype;
	return NULL;
}

const char *shape_reduce(Module *m, const Node *n, Type *out)
{
	const int64_t *axes;
	TRY(need_count(m, n));
	TRY(need_operand(m, n, 0, -1));
	const Type *x = type_in(n, 0);
	int naxes = attr_ints(n, Attr_axes, &axes);
	Type t = {.dtype = x->dtype};
	int next = 0;
	for (int i = 0; i < x->rank; i++) {
		if (next < naxes && axes[next] == i) {
			next++;
			if (attr_int(n, Attr_keepdims))
				t.dims[t.rank++] = dim_const(m, 1);
		} else {
			t.dims[t.rank++] = x->dims[i];
		}
	}
	if (next < naxes)
		FAIL("axes must be ascending and inside the rank of %s", type_text(m, x));
	*out = t;
	return NULL;
}

/* ---- contractions ----------------------------------------------------------------------------------------------- */

/* The operand as a matrix [rows, cols] after the transposition that `trans` asks for; a vector is a row on the left and
 * a column on the right. */
static const char *matrix_dims(Module *m, const Node *n, int i, AttrId trans, const Dim **rows, const Dim **cols)
{
	const Type *t = type_in(n, i);
	bool swap = attr_int(n, trans);
	if (t->rank == 0 || (t->rank == 1 && swap))
		FAIL("operand %s has rank %d, too small for a matrix product", ops[n->op].in[i], t->rank);
	if (t->rank == 1) {
		*rows = i ? t->dims[0] : dim_const(m, 1);
		*cols = i ? dim_const(m, 1) : t->dims[0];
		return NULL;
	}
	*rows = t->dims[t->rank - (swap ? 1 : 2)];
	*cols = t->dims[t->rank - (swap ? 2 : 1)];
	return NULL;
}

const char *shape_matmul(Module *m, const Node *n, Type *out)
{
	const Dim *rows = NULL, *ka = NULL, *kb = NULL, *cols = NULL;
	TRY(need_count(m, n));
	TRY(need_operand(m, n, 0, -1));
	TRY(need_operand(m, n, 1, 0));
	const Type *a = type_in(n, 0), *b = type_in(n, 1);
	TRY(matrix_dims(m, n, 0, Attr_trans_a, &rows, &ka));
	TRY(matrix_dims(m, n, 1, Attr_trans_b, &kb, &cols));
	TRY(need_equal(m, n, ka, kb, "inner dimensions"));
	Type batch_a = *a, batch_b = *b, t;
	batch_a.rank = a->rank > 2 ? a->rank - 2 : 0;
	batch_b.rank = b->rank > 2 ? b->rank - 2 : 0;
	TRY(broadcast_or_say(m, n, &batch_a, &batch_b, &t));
	if (a->rank > 1)
		t.dims[t.rank++] = rows;
	if (b->rank > 1)
		t.dims[t.rank++] = cols;
	*out = t;
	return NULL;
}

const char *shape_linear(Module *m, const Node *n, Type *out)
{
	TRY(need_count(m, n));
	TRY(need_operand(m, n, 0, -1));
	TRY(need_operand(m, n, 1, 0));
	const Type *x = type_in(n, 0), *w = type_in(n, 1), *b = type_in(n, 2);
	if (x->rank < 1)
		FAIL("x is a scalar");
	TRY(need_rank(m, w, 2, "w"));
	TRY(need_equal(m, n, x->dims[x->rank - 1], w->dims[0], "inner dimensions"));
	Type t = *x;
	t.dims[t.rank - 1] = w->dims[1];
	if (b) {
		TRY(need_operand(m, n, 2, 0));
		TRY(need_rank(m, b, 1, "b"));
		TRY(need_equal(m, n, w->dims[1], b->dims[0], "columns of w and length of b"));
	}
	*out = t;
	return NULL;
}

const char *shape_glu(Module *m, const Node *n, Type *out)
{
	int axis = 0;
	TRY(need_count(m, n));
	TRY(need_operand(m, n, 0, -1));
	Type t = *type_in(n, 0);
	TRY(need_axis(m, n, &t, &axis));
	int64_t act = attr_int(n, Attr_act);
	if (act < 0 || act >= NOps || ops[act].cls != ClsEwise || ops[act].nin != 1 || ops[act].shape != shape_same
	    || !(ops[act].takes & TypesFlt))
		FAIL("act is not an elementwise op of one operand");
	TRY(need_multiple(m, n, t.dims[axis], dim_const(m, 2), "split axis"));
	t.dims[axis] = dim_floordiv(m, t.dims[axis], dim_const(m, 2));
	*out = t;
	return NULL;
}

typedef struct Window { int64_t stride, dilation, before, after; } Window;

static const char *read_window(Module *m, const Node *n, int axis, int spatial, Window *w)
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

/* The places of a window of `taps` taps along one axis of extent d. */
static const char *slide_window(Module *m, const Node *n, int axis, int spatial, const Dim *d, const Dim *taps, const Dim **out)
{
	Window win = {1, 1, 0, 0};
	TRY(read_window(m, n, axis, spatial, &win));
	TRY(need_nonneg(m, n, dim_sub(m, taps, dim_const(m, 1)), "kernel extent - 1"));
	const Dim *span = dim_mul_const(m, dim_sub(m, taps, dim_const(m, 1)), win.dilation);
	const Dim *room = dim_add(m, d, dim_const(m, win.before + win.after));
	const Dim *steps = dim_floordiv(m, dim_sub(m, dim_sub(m, room, span), dim_const(m, 1)), dim_const(m, win.stride));
	*out = dim_add(m, steps, dim_const(m, 1));
	return need_nonneg(m, n, *out, "output extent");
}

const char *shape_conv(Module *m, const Node *n, Type *out)
{
	TRY(need_count(m, n));
	TRY(need_operand(m, n, 0, -1));
	TRY(need_operand(m, n, 1, 0));
	const Type *x = type_in(n, 0), *w = type_in(n, 1), *b = type_in(n, 2);
	const Dim *group = dim_const(m, attr_int(n, Attr_group));
	if (attr_int(n, Attr_group) < 1 || attr_int(n, Attr_group) > DimMax)
		FAIL("group %lld is out of range", (long long)attr_int(n, Attr_group));
	if (x->rank < 3)
		FAIL("x has no spatial axis: %s", type_text(m, x));
	TRY(need_rank(m, w, x->rank, "w"));
	TRY(need_equal(m, n, x->dims[1], dim_mul(m, w->dims[1], group), "channels of x and of w times groups"));
	TRY(need_multiple(m, n, w->dims[0], group, "output channels"));
	if (b) {
		TRY(need_operand(m, n, 2, 0));
		TRY(need_rank(m, b, 1, "b"));
		TRY(need_equal(m, n, w->dims[0], b->dims[0], "output channels and length of b"));
	}
	Type t = {.dtype = x->dtype, .rank = x->rank, .dims = {x->dims[0], w->dims[0]}};
	for (int i = 2; i < x->rank; i++)
		TRY(slide_window(m, n, i - 2, x->rank - 2, x->dims[i], w->dims[i], &t.dims[i]));
	*out = t;
	return NULL;
}

/* x [batch, in.., channels], w [taps.., channels / group, outputs], b [outputs] -> [batch, out.., outputs] */
const char *shape_group_conv(Module *m, const Node *n, Type *out)
{
	TRY(need_count(m, n));
	TRY(need_operand(m, n, 0, -1));
	TRY(need_operand(m, n, 1, 0));
	const Type *x = type_in(n, 0), *w = type_in(n, 1), *b = type_in(n, 2);
	const Dim *group = dim_const(m, attr_int(n, Attr_group));
	int last = x->rank - 1;
	if (attr_int(n, Attr_group) < 1 || attr_int(n, Attr_group) > DimMax)
		FAIL("group %lld is out of range", (long long)attr_int(n, Attr_group));
	if (x->rank < 3)
		FAIL("x has no spatial axis: %s", type_text(m, x));
	TRY(need_rank(m, w, x->rank, "w"));
	TRY(need_equal(m, n, x->dims[last], dim_mul(m, w->dims[last - 1], group), "channels of x and of w times groups"));
	TRY(need_multiple(m, n, w->dims[last], group, "output channels"));
	if (b) {
		TRY(need_operand(m, n, 2, 0));
		TRY(need_rank(m, b, 1, "b"));
		TRY(need_equal(m, n, w->dims[last], b->dims[0], "output channels and length of b"));
	}
	Type t = *x;
	t.dims[last] = w->dims[last];
	for (int i = 1; i < last; i++)
		TRY(slide_window(m, n, i - 1, last - 1, x->dims[i], w->dims[i - 1], &t.dims[i]));
	*out = t;
	return NULL;
}

const char *shape_winconv(Module *m, const Node *n, Type *out)
{
	TRY(need_count(m, n));
	TRY(need_operand(m, n, 0, -1));
	TRY(need_operand(m, n, 1, 0));
	const Type *x = type_in(n, 0), *w = type_in(n, 1);
	int64_t heads = attr_int(n, Attr_heads), left = attr_int(n, Attr_pad_left);
	TRY(need_rank(m, x, 3, "x"));
	if (w->rank != 2 && w->rank != 4)
		FAIL("w has rank %d, expected [heads, taps] or [batch, tokens, heads, taps]", w->rank);
	if (heads < 1 || heads > DimMax)
		FAIL("heads %lld is out of range", (long long)heads);
	if (left < -DimMax || left > DimMax)
		FAIL("pad_left %lld is out of range", (long long)left);
	TRY(need_multiple(m, n, x->dims[2], dim_const(m, heads), "channels over heads"));
	TRY(need_equal(m, n, w->dims[w->rank - 2], dim_const(m, heads), "heads of w and of the attribute"));
	if (w->rank == 4) {
		TRY(need_equal(m, n, x->dims[0], w->dims[0], "batch dims of x and w"));
		TRY(need_equal(m, n, x->dims[1], w->dims[1], "tokens of x and w"));
	}
	*out = *x;
	return NULL;
}

static const char *check_mask(Module *m, const Node *n, const Type *q, const Type *k)
{
	const Type *mask = type_in(n, 3);
	if (!mask)
		return NULL;
	if (mask->dtype != q->dtype && mask->dtype != Bool)
		FAIL("the mask has type %s, expected %s or bool", dtypes[mask->dtype].text, dtypes[q->dtype].text);
	Type scores = {.dtype = q->dtype, .rank = 4, .dims = {q->dims[0], q->dims[2], q->dims[1], k->dims[1]}};
	return need_broadcastable(m, n, mask, &scores, "mask");
}

const char *shape_attention(Module *m, const Node *n, Type *out)
{
	TRY(need_count(m, n));
	TRY(need_operand(m, n, 0, -1));
	TRY(need_operand(m, n, 1, 0));
	TRY(need_operand(m, n, 2, 0));
	const Type *q = type_in(n, 0), *k = type_in(n, 1), *v = type_in(n, 2);
	TRY(need_rank(m, q, 4, "q"));
	TRY(need_rank(m, k, 4, "k"));
	TRY(need_rank(m, v, 4, "v"));
	TRY(need_equal(m, n, q->dims[0], k->dims[0], "batch dims of q and k"));
	TRY(need_equal(m, n, k->dims[0], v->dims[0], "batch dims of k and v"));
	TRY(need_equal(m, n, k->dims[1], v->dims[1], "tokens of k and v"));
	TRY(need_equal(m, n, k->dims[2], v->dims[2], "heads of k and v"));
	TRY(need_equal(m, n, q->dims[3], k->dims[3], "widths of q and k"));
	if (q->dims[2] != k->dims[2])
		TRY(need_multiple(m, n, q->dims[2], k->dims[2], "query heads over key heads"));
	TRY(check_mask(m, n, q, k));
	if (attr_float(n, Attr_softcap) < 0)
		FAIL("softcap is negative: %g", attr_float(n, Attr_softcap));
	for (int side = 0; side < 2; side++) {
		int64_t bound = attr_int(n, side ? Attr_right : Attr_left);
		if (bound < -1 || bound > DimMax)
			FAIL("%s is out of range: %lld", side ? "right" : "left", (long long)bound);
	}
	if (find_attr(n, Attr_fill) && (!type_in(n, 3) || type_in(n, 3)->dtype != Bool))
		FAIL("fill belongs to a bool mask");
	Type t = {.dtype = q->dtype, .rank = 4, .dims = {q->dims[0], q->dims[1], q->dims[2], v->dims[3]}};
	*out = t;
	return NULL;
}

/* ---- data movement ---------------------------------------------------------------------------------------------- */

const char *shape_transpose(Module *m, const Node *n, Type *out)
{
	const int64_t *perm;
	unsigned seen = 0;
	TRY(need_count(m, n));
	TRY(need_operand(m, n, 0, -1));
	const Type *x = type_in(n, 0);
	Type t = {.dtype = x->dtype, .rank = x->rank};
	if (attr_ints(n, Attr_perm, &perm) != x->rank)
		FAIL("perm does not have one entry per axis of %s", type_text(m, x));
	for (int i = 0; i < x->rank; i++) {
		if (perm[i] < 0 || perm[i] >= x->rank || (seen >> perm[i] & 1))
			FAIL("perm is not a permutation");
		seen |= 1u << perm[i];
		t.dims[i] = x->dims[perm[i]];
	}
	*out = t;
	return NULL;
}

const char *shape_concat(Module *m, const Node *n, Type *out)
{
	int axis = 0;
	if (n->nin < 1 || !type_in(n, 0))
		FAIL("operands are missing");
	Type t = *type_in(n, 0);
	TRY(need_axis(m, n, &t, &axis));
	if (is_packed(t.dtype) && attr_int(n, Attr_state))
		FAIL("no state has elements of %s, which are packed", dtypes[t.dtype].text);
	for (int i = 1; i < n->nin; i++) {
		const Type *x = type_in(n, i);
		if (!x)
			FAIL("operand %d is missing", i);
		if (x->dtype != t.dtype)
			FAIL("element types differ: %s and %s", dtypes[t.dtype].text, dtypes[x->dtype].text);
		if (x->rank != t.rank)
			FAIL("ranks differ: %s and %s", type_text(m, &t), type_text(m, x));
		for (int d = 0; d < t.rank; d++) {
			if (d == axis)
				t.dims[d] = dim_add(m, t.dims[d], x->dims[d]);
			else if (!merge_dims(m, t.dims[d], x->dims[d], &t.dims[d], site_of(n)))
				FAIL("dims of axis %d differ: %s and %s", d, dim_text(m, t.dims[d]),
				     dim_text(m, x->dims[d]));
		}
	}
	*out = t;
	return NULL;
}

enum { ModeZero, ModeEdge, ModeReflect }; /* words of the attribute `mode` */

/* An axis of extent d gets `pad` copies of its own elements, so it has one. */
static const char *need_filled(Module *m, const Node *n, const Dim *d, const Dim *pad, int axis)
{
	const Dim *one = dim_const(m, 1);
	if (dim_equals(pad, 0))
		return NULL;
	if (dim_equals(d, 0) && dim_proves_at_most(m, one, pad))
		FAIL("axis %d is empty: nothing to pad with", axis);
	if (dim_proves_at_most(m, one, pad))
		check_equal(m, dim_max(m, d, one), d, site_of(n));
	else
		check_equal(m, dim_max(m, d, dim_min(m, pad, one)), d, site_of(n));
	return NULL;
}

const char *shape_pad(Module *m, const Node *n, Type *out)
{
	const Dim *const *pads;
	TRY(need_count(m, n));
	TRY(need_operand(m, n, 0, -1));
	Type t = *type_in(n, 0);
	if (attr_dims(n, Attr_pads_dim, &pads) != 2 * t.rank)
		FAIL("pads_dim does not have two entries per axis of %s", type_text(m, &t));
	for (int i = 0; i < t.rank; i++) {
		const Dim *d = t.dims[i], *pad = dim_add(m, pads[i], pads[t.rank + i]);
		if (attr_int(n, Attr_mode) != ModeZero)
			TRY(need_filled(m, n, d, pad, i));
		t.dims[i] = dim_add(m, d, pad);
		TRY(need_nonneg(m, n, t.dims[i], "padded extent"));
	}
	*out = t;
	return NULL;
}

/* An operand of any type and indices into it. */
static const char *need_indexed(Module *m, const Node *n)
{
	TRY(need_count(m, n));
	TRY(need_operand(m, n, 0, -1));
	return need_index(m, n, 1);
}

/* Indices of the operand's rank that reach beyond it along no axis but `axis`. */
static const char *need_within(Module *m, const Node *n, int axis)
{
	const Type *x = type_in(n, 0), *idx = type_in(n, 1);
	TRY(need_rank(m, idx, x->rank, "idx"));
	for (int i = 0; i < x->rank; i++)
		if (i != axis && idx->dims[i] != x->dims[i])
			TRY(need_nonneg(m, n, dim_sub(m, x->dims[i], idx->dims[i]), "extent of x less that of idx"));
	return NULL;
}

const char *shape_gather(Module *m, const Node *n, Type *out)
{
	int axis = 0;
	TRY(need_indexed(m, n));
	const Type *x = type_in(n, 0), *idx = type_in(n, 1);
	TRY(need_axis(m, n, x, &axis));
	Type t = {.dtype = x->dtype};
	TRY(append_dims(m, &t, x, 0, axis));
	TRY(append_dims(m, &t, idx, 0, idx->rank));
	TRY(append_dims(m, &t, x, axis + 1, x->rank));
	*out = t;
	return NULL;
}

const char *shape_gather_elements(Module *m, const Node *n, Type *out)
{
	int axis = 0;
	TRY(need_indexed(m, n));
	const Type *x = type_in(n, 0), *idx = type_in(n, 1);
	TRY(need_axis(m, n, x, &axis));
	TRY(need_within(m, n, axis));
	*out = *idx;
	out->dtype = x->dtype;
	return NULL;
}

const char *shape_gather_nd(Module *m, const Node *n, Type *out)
{
	TRY(need_indexed(m, n));
	const Type *x = type_in(n, 0), *idx = type_in(n, 1);
	int64_t batch = attr_int(n, Attr_batch_dims), len;
	if (batch < 0 || batch >= x->rank || batch >= idx->rank)
		FAIL("batch_dims %lld does not fit %s and %s", (long long)batch, type_text(m, x), type_text(m, idx));
	const Dim *last = idx->dims[idx->rank - 1];
	if (!dim_is_const(last, &len) || len < 1 || len > x->rank - batch)
		FAIL("last axis of idx is %s, expected a constant from 1 to %lld", dim_text(m, last),
		     (long long)(x->rank - batch));
	for (int i = 0; i < batch; i++)
		TRY(need_equal(m, n, x->dims[i], idx->dims[i], "batch dims of x and idx"));
	Type t = {.dtype = x->dtype};
	TRY(append_dims(m, &t, idx, 0, idx->rank - 1));
	TRY(append_dims(m, &t, x, (int)(batch + len), x->rank));
	*out = t;
	return NULL;
}

/* The updates, of the operand's type; what reduces them is arithmetic. */
static const char *need_updates(Module *m, const Node *n)
{
	TRY(need_indexed(m, n));
	TRY(need_operand(m, n, 2, 0));
	if (attr_int(n, Attr_reduction) != ReduceNone && !is_among(type_in(n, 0)->dtype, TypesNum))
		FAIL("%s has no arithmetic", type_text(m, type_in(n, 0)));
	return NULL;
}

const char *shape_scatter_elements(Module *m, const Node *n, Type *out)
{
	int axis = 0;
	TRY(need_updates(m, n));
	const Type *x = type_in(n, 0), *idx = type_in(n, 1), *upd = type_in(n, 2);
	TRY(need_axis(m, n, x, &axis));
	TRY(need_within(m, n, axis));
	TRY(need_rank(m, upd, x->rank, "upd"));
	for (int i = 0; i < x->rank; i++)
		TRY(need_equal(m, n, idx->dims[i], upd->dims[i], "dims of idx and upd"));
	*out = *x;
	return NULL;
}

int scatter_depth(const Node *n)
{
	return n->in[0]->type.rank + n->in[1]->type.rank - 1 - n->in[2]->type.rank;
}

const char *shape_scatter_nd(Module *m, const Node *n, Type *out)
{
	TRY(need_updates(m, n));
	const Type *x = type_in(n, 0), *idx = type_in(n, 1), *upd = type_in(n, 2);
	int len = scatter_depth(n);
	if (!idx->rank || len < 1 || len > x->rank)
		FAIL("the ranks of x, idx and upd do not fit: %d, %d and %d", x->rank, idx->rank, upd->rank);
	TRY(need_equal(m, n, idx->dims[idx->rank - 1], dim_const(m, len), "last axis of idx and the axes of x that it addresses"));
	Type want = {.dtype = x->dtype};
	TRY(append_dims(m, &want, idx, 0, idx->rank - 1));
	TRY(append_dims(m, &want, x, len, x->rank));
	for (int i = 0; i < want.rank; i++)
		TRY(need_equal(m, n, want.dims[i], upd->dims[i], "dims of upd"));
	*out = *x;
	return NULL;
}

static const char *need_dtype(Module *m, const Node *n, int i, DType want)
{
	const Type *t = type_in(n, i);
	if (!t)
		FAIL("operand %s is missing", ops[n->op].in[i]);
	if (t->dtype != want)
		FAIL("operand %s has type %s, expected %s", ops[n->op].in[i], dtypes[t->dtype].text, dtypes[want].text);
	return NULL;
}

const char *shape_nms(Module *m, const Node *n, Type *out)
{
	TRY(need_count(m, n));
	TRY(need_dtype(m, n, 0, F32));
	TRY(need_index(m, n, 1));
	TRY(need_dtype(m, n, 2, I64));
	TRY(need_dtype(m, n, 3, F32));
	const Type *boxes = type_in(n, 0), *order = type_in(n, 1);
	TRY(need_rank(m, boxes, 3, "boxes"));
	TRY(need_rank(m, order, 3, "order"));
	TRY(need_rank(m, type_in(n, 2), 0, "most"));
	TRY(need_rank(m, type_in(n, 3), 0, "iou"));
	TRY(need_equal(m, n, boxes->dims[0], order->dims[0], "batch dims of boxes and order"));
	TRY(need_equal(m, n, boxes->dims[2], dim_const(m, 4), "corners of a box"));
	*out = *order;
	out->dtype = Bool;
	return NULL;
}

/* ---- stated result types ---------------------------------------------------------------------------------------- */

const char *shape_given(Module *m, const Node *n, Type *out)
{
	TRY(need_count(m, n));
	for (int i = 0; i < ops[n->op].nin; i++)
		if (n->in[i] || !ops[n->op].optional[i])
			TRY(need_operand(m, n, i, -1));
	for (int i = 0; i < out->rank; i++)
		TRY(need_nonneg(m, n, out->dims[i], "extent of the result"));
	return NULL;
}

static const char *given_like_operand(Module *m, const Node *n, Type *out)
{
	TRY(shape_given(m, n, out));
	if (out->dtype != type_in(n, 0)->dtype)
		FAIL("element types differ: %s and %s", dtypes[type_in(n, 0)->dtype].text, dtypes[out->dtype].text);
	return NULL;
}

const char *shape_given_iota(Module *m, const Node *n, Type *out)
{
	TRY(shape_given(m, n, out));
	TRY(need_class(m, n, out->dtype));
	if (out->rank > 1)
		FAIL("the result has rank %d, expected at most 1", out->rank);
	return NULL;
}

const char *shape_given_dims(Module *m, const Node *n, Type *out)
{
	const Dim *const *values;
	int count = attr_dims(n, Attr_values, &values);
	TRY(shape_given(m, n, out));
	TRY(need_class(m, n, out->dtype));
	if (!dim_equals(type_numel(m, out), count))
		FAIL("%d values for %s", count, type_text(m, out));
	return NULL;
}

const char *shape_given_cast(Module *m, const Node *n, Type *out)
{
	const Type *x = type_in(n, 0);
	TRY(shape_given(m, n, out));
	if (x->rank != out->rank)
		FAIL("ranks differ: %s and %s", type_text(m, x), type_text(m, out));
	for (int i = 0; i < x->rank; i++)
		TRY(need_equal(m, n, x->dims[i], out->dims[i], "dims of operand and result"));
	return NULL;
}

/* Between types of as many bits. */
const char *shape_given_bitcast(Module *m, const Node *n, Type *out)
{
	TRY(shape_given_cast(m, n, out));
	DType from = type_in(n, 0)->dtype, to = out->dtype;
	if (from == Bool || to == Bool || dtypes[from].bits != dtypes[to].bits)
		FAIL("%s has other bits than %s", dtypes[from].text, dtypes[to].text);
	return NULL;
}

const char *shape_given_reshape(Module *m, const Node *n, Type *out)
{
	TRY(given_like_operand(m, n, out));
	return need_equal(m, n, type_numel(m, type_in(n, 0)), type_numel(m, out), "element counts");
}

const char *shape_given_expand(Module *m, const Node *n, Type *out)
{
	TRY(given_like_operand(m, n, out));
	return need_broadcastable(m, n, type_in(n, 0), out, "operand");
}

/* excess: what must be 0 for the node to read only its operand; false if it never is. */
static bool need_inside(Module *m, const Node *n, const Dim *excess)
{
	int64_t lo = 0, hi;
	if (!excess)
		return true;
	dim_range(excess, &lo, &hi);
	if (lo <= 0)
		check_equal(m, excess, dim_const(m, 0), site_of(n));
	return lo <= 0;
}

const char *shape_given_slice(Module *m, const Node *n, Type *out)
{
	const Dim *const *starts;
	const int64_t *steps;
	const Type *x = type_in(n, 0);
	int nsteps = attr_ints(n, Attr_steps, &steps);
	TRY(given_like_operand(m, n, out));
	TRY(need_rank(m, out, x->rank, "the result"));
	if (attr_dims(n, Attr_starts, &starts) != x->rank || (nsteps && nsteps != x->rank))
		FAIL("starts or steps do not have one entry per axis of %s", type_text(m, x));
	for (int i = 0; i < x->rank; i++) {
		int64_t step = nsteps ? steps[i] : 1;
		if (step == 0 || step < -DimMax || step > DimMax)
			FAIL("step %lld of axis %d is out of range", (long long)step, i);
		if (!need_inside(m, n, slice_excess(m, x->dims[i], starts[i], out->dims[i], step)))
			FAIL("axis %d: %s elements from %s by %lld leave %s", i, dim_text(m, out->dims[i]), dim_text(m, starts[i]),
			     (long long)step, type_text(m, x));
	}
	return NULL;
}

const char *shape_given_view(Module *m, const Node *n, Type *out)
{
	const Dim *const *strides;
	TRY(given_like_operand(m, n, out));
	if (attr_dims(n, Attr_strides_dim, &strides) != out->rank)
		FAIL("strides_dim does not have one entry per axis of %s", type_text(m, out));
	const Dim *excess = view_excess(m, type_numel(m, type_in(n, 0)), attr_dim(m, n, Attr_base), out->rank, out->dims,
	                                strides);
	if (!need_inside(m, n, excess))
		FAIL("leaves %s by %s elements", type_text(m, type_in(n, 0)), dim_text(m, excess));
	return NULL;
}

const Dim *panel_count(Module *m, const Dim *cols, int parts)
{
	const Dim *width = dim_floordiv(m, cols, dim_const(m, parts));
	return dim_mul_const(m, dim_ceildiv(m, width, dim_const(m, part_width(parts))), unit_panels(parts));
}

static const char *need_panels(Module *m, const Node *n, const Dim *cols, const Dim *panels)
{
	int64_t parts = attr_int(n, Attr_parts);
	if (parts < 1 || parts > MaxParts)
		FAIL("parts=%lld, expected 1 to %d", (long long)parts, MaxParts);
	TRY(need_multiple(m, n, cols, dim_const(m, parts), "columns"));
	return need_equal(m, n, panel_count(m, cols, parts), panels, "panel counts");
}

const char *shape_given_pack(Module *m, const Node *n, Type *out)
{
	const Type *w = type_in(n, 0);
	TRY(given_like_operand(m, n, out));
	TRY(need_rank(m, w, 2, "w"));
	TRY(need_rank(m, out, 3, "the result"));
	TRY(need_panels(m, n, w->dims[1], out->dims[0]));
	TRY(need_equal(m, n, w->dims[0], out->dims[1], "rows of w and of the panels"));
	return need_equal(m, n, dim_const(m, PanelWidth), out->dims[2], "panel widths");
}

/* Rows of the weights for each channel. */
static const char *winograd_rows(Module *m, const Node *n, const Dim *channels, const Dim **rows)
{
	Winograd w;
	if (!winograd_of(attr_int(n, Attr_tile), &w))
		FAIL("tile=%lld, expected 2 or 4", (long long)attr_int(n, Attr_tile));
	*rows = dim_mul_const(m, channels, w.size * w.size);
	return NULL;
}

/* w [3, 3, channels, outputs], constant */
const char *shape_winograd_weights(Module *m, const Node *n, Type *out)
{
	const Type *w = type_in(n, 0);
	const Dim *taps = dim_const(m, WinogradTaps);
	TRY(need_count(m, n));
	TRY(need_rank(m, w, 4, "w"));
	TRY(need_equal(m, n, w->dims[0], taps, "rows of taps"));
	TRY(need_equal(m, n, w->dims[1], taps, "columns of taps"));
	if (!is_const(n->in[0]))
		FAIL("w is no constant");
	*out = (Type){.dtype = w->dtype, .rank = 2, .dims = {NULL, w->dims[3]}};
	return winograd_rows(m, n, w->dims[2], &out->dims[0]);
}

/* x [batch, height, width, channels], w [panels, rows, PanelWidth], b [outputs] */
const char *shape_given_winograd(Module *m, const Node *n, Type *out)
{
	const Type *x = type_in(n, 0), *w = type_in(n, 1), *b = type_in(n, 2);
	const Dim *rows, *places;
	TRY(given_like_operand(m, n, out));
	TRY(need_rank(m, x, 4, "x"));
	TRY(need_rank(m, w, 3, "w"));
	TRY(need_rank(m, out, 4, "the result"));
	TRY(winograd_rows(m, n, x->dims[3], &rows));
	TRY(need_equal(m, n, rows, w->dims[1], "rows of w"));
	TRY(need_equal(m, n, dim_const(m, PanelWidth), w->dims[2], "panel widths"));
	TRY(need_equal(m, n, x->dims[0], out->dims[0], "batches"));
	for (int i = 0; i < 2; i++) {
		TRY(slide_window(m, n, i, 2, x->dims[1 + i], dim_const(m, WinogradTaps), &places));
		TRY(need_equal(m, n, places, out->dims[1 + i], "places"));
	}
	if (b) {
		TRY(need_rank(m, b, 1, "b"));
		TRY(need_equal(m, n, out->dims[3], b->dims[0], "outputs and length of b"));
	}
	return need_panels(m, n, out->dims[3], w->dims[0]);
}

/* The columns of the result say how much of the last panels is real. */
const char *shape_given_linear_packed(Module *m, const Node *n, Type *out)
{
	const Type *x = type_in(n, 0), *w = type_in(n, 1), *b = type_in(n, 2);
	TRY(given_like_operand(m, n, out));
	TRY(need_rank(m, w, 3, "w"));
	int64_t inner = attr_int(n, Attr_inner), outer = x->rank - inner;
	if (inner < 1 || outer < 0 || out->rank != outer + 1)
		FAIL("x has rank %d, of which %lld axes are contracted, the result %d", x->rank, (long long)inner, out->rank);
	for (int d = 0; d < outer; d++)
		TRY(need_equal(m, n, x->dims[d], out->dims[d], "rows"));
	const Dim *depth = dim_const(m, 1);
	for (int d = outer; d < x->rank; d++)
		depth = dim_mul(m, depth, x->dims[d]);
	TRY(need_equal(m, n, depth, w->dims[1], "inner dimensions"));
	TRY(need_equal(m, n, dim_const(m, PanelWidth), w->dims[2], "panel widths"));
	TRY(need_panels(m, n, out->dims[out->rank - 1], w->dims[0]));
	if (b) {
		TRY(need_rank(m, b, 1, "b"));
		TRY(need_equal(m, n, out->dims[out->rank - 1], b->dims[0], "columns and length of b"));
	}
	return NULL;
}

/* Of x and w: the rows of w's panels and how many there are. */
static const char *strassen_panels(Module *m, const Node *n, const Dim *depth, const Dim *cols, const Dim **rows, const Dim **count)
{
	const int parts = (int)attr_int(n, Attr_parts);
	TRY(need_panels(m, n, cols, panel_count(m, cols, parts < 1 || parts > MaxParts ? 1 : parts)));
	if (unit_panels(parts) != 1)
		FAIL("parts=%d, expected 1 or 2", parts);
	TRY(need_multiple(m, n, depth, dim_const(m, StrassenDepth), "inner dimension"));
	*rows = dim_mul_const(m, dim_floordiv(m, depth, dim_const(m, 2)), StrassenProducts);
	*count = dim_ceildiv(m, panel_count(m, cols, parts), dim_const(m, 2));
	return NULL;
}

/* w [k, n], constant */
const char *shape_strassen_weights(Module *m, const Node *n, Type *out)
{
	const Type *w = type_in(n, 0);
	TRY(need_rank(m, w, 2, "w"));
	if (!is_const(n->in[0]))
		FAIL("w is no constant");
	*out = (Type){.dtype = w->dtype, .rank = 3, .dims = {NULL, NULL, dim_const(m, PanelWidth)}};
	return strassen_panels(m, n, w->dims[0], w->dims[1], &out->dims[1], &out->dims[0]);
}

/* x [rows.., k], w [pairs of panels, products * k / 2, PanelWidth], b [n]; the columns of the result say how much of the last panels is real */
const char *shape_given_strassen(Module *m, const Node *n, Type *out)
{
	const Type *x = type_in(n, 0), *w = type_in(n, 1), *b = type_in(n, 2);
	const Dim *rows, *count, *cols;
	TRY(given_like_operand(m, n, out));
	TRY(need_rank(m, w, 3, "w"));
	if (x->rank < 1 || x->rank != out->rank)
		FAIL("x has rank %d, the result %d", x->rank, out->rank);
	cols = out->dims[out->rank - 1];
	for (int d = 0; d + 1 < x->rank; d++)
		TRY(need_equal(m, n, x->dims[d], out->dims[d], "rows"));
	TRY(strassen_panels(m, n, x->dims[x->rank - 1], cols, &rows, &count));
	TRY(need_equal(m, n, rows, w->dims[1], "rows of w"));
	TRY(need_equal(m, n, count, w->dims[0], "pairs of panels"));
	TRY(need_equal(m, n, dim_const(m, PanelWidth), w->dims[2], "panel widths"));
	if (b) {
		TRY(need_rank(m, b, 1, "b"));
		TRY(need_equal(m, n, cols, b->dims[0], "columns and length of b"));
	}
	return NULL;
}

/* re, im [...], waves [n, 2] for the extent n of the axis; the result has an axis of parts in front, and the first bins of those n. */
const char *shape_given_dft(Module *m, const Node *n, Type *out)
{
	const Type *re = type_in(n, 0), *im = type_in(n, 1), *waves = type_in(n, 2);
	int axis = 0;
	TRY(given_like_operand(m, n, out));
	TRY(need_axis(m, n, re, &axis));
	TRY(need_rank(m, out, re->rank + 1, "the result"));
	if (!dim_equals(out->dims[0], 1) && !dim_equals(out->dims[0], 2))
		FAIL("the result %s has neither one part nor two in front", type_text(m, out));
	if (im)
		TRY(need_rank(m, im, re->rank, "im"));
	for (int d = 0; d < re->rank; d++) {
		if (im)
			TRY(need_equal(m, n, re->dims[d], im->dims[d], "dims of re and im"));
		if (d != axis)
			TRY(need_equal(m, n, re->dims[d], out->dims[d + 1], "dims of operand and result"));
	}
	if (waves) {
		TRY(need_rank(m, waves, 2, "waves"));
		TRY(need_equal(m, n, re->dims[axis], waves->dims[0], "length and waves"));
		TRY(need_equal(m, n, dim_const(m, 2), waves->dims[1], "parts of a wave"));
	}
	return need_nonneg(m, n, dim_sub(m, re->dims[axis], out->dims[axis + 1]), "extent of the axis less that of the result");
}

/* The result says how many. */
const char *shape_given_top_k(Module *m, const Node *n, Type *out)
{
	const Type *x = type_in(n, 0);
	int axis = 0;
	TRY(shape_given(m, n, out));
	TRY(need_axis(m, n, x, &axis));
	TRY(need_rank(m, out, x->rank, "the result"));
	if (out->dtype != I64)
		FAIL("the result has type %s, expected i64", dtypes[out->dtype].text);
	for (int i = 0; i < x->rank; i++)
		if (i != axis)
			TRY(need_equal(m, n, x->dims[i], out->dims[i], "dims of operand and result"));
	return need_nonneg(m, n, dim_sub(m, x->dims[axis], out->dims[axis]), "extent of x less that of the result");
}

/* Taps outside of x do not count, so the extents are whatever the result says. */
const char *shape_given_pool(Module *m, const Node *n, Type *out)
{
	const Type *x = type_in(n, 0);
	const int64_t *kernel;
	const Dim *const *pads;
	int spatial = x ? x->rank - 2 : 0;
	bool where = attr_int(n, Attr_join) == JoinWhere;
	TRY(shape_given(m, n, out));
	if (spatial < 1)
		FAIL("x has no spatial axis: %s", type_text(m, x));
	TRY(need_rank(m, out, x->rank, "the result"));
	if (out->dtype != (where ? I64 : x->dtype))
		FAIL("the result has type %s", dtypes[out->dtype].text);
	for (int i = 0; i < 2; i++)
		TRY(need_equal(m, n, x->dims[i], out->dims[i], "batch and channels of x and the result"));
	if (attr_ints(n, Attr_kernel, &kernel) != spatial || attr_dims(n, Attr_pads_dim, &pads) != spatial)
		FAIL("kernel or pads_dim does not have one entry per spatial axis");
	for (int i = 0; i < spatial; i++) {
		Window win = {1, 1, 0, 0};
		int64_t span;
		TRY(read_window(m, n, i, spatial, &win));
		if (kernel[i] < 1 || __builtin_mul_overflow(kernel[i] - 1, win.dilation, &span) || span > DimMax)
			FAIL("a window of %lld elements is out of range", (long long)kernel[i]);
	}
	return NULL;
}

/* The linker finds the function by this name. */
const char *shape_given_custom(Module *m, const Node *n, Type *out)
{
	const char *symbol = attr_text(n, Attr_symbol);
	TRY(shape_given(m, n, out));
	for (int i = 0; i < n->nin; i++)
		if (n->in[i] && is_packed(n->in[i]->type.dtype))
			LACK("not supported: elements of %s, which are packed", dtypes[n->in[i]->type.dtype].text);
	for (int i = 0; i < n->nout; i++)
		if (is_packed(n->out[i]->type.dtype))
			LACK("not supported: elements of %s, which are packed", dtypes[n->out[i]->type.dtype].text);
	if (!is_c_name(symbol))
		FAIL("the symbol '%s' is not a C identifier", symbol);
	return NULL;
}
