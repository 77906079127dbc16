/* shape_given.c - operators whose result type is stated: does it fit? */
#include "bytes.h"
#include "shape.h"
#include "sparse.h"
#include "strassen.h"
#include "winograd.h"

const char *shape_given(Module *m, const Node *n, Type *out)
{
	TRY(need_operands(m, n));
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

bool has_halves(const Node *n)
{
	const Type *w = type_in(n, 1);
	return n->op == OpLinearScaled && w->rank == 3 && dim_equals(w->dims[2], HalfWidth);
}

static const char *need_panels(Module *m, const Node *n, const Dim *cols, const Dim *panels)
{
	int64_t parts = attr_int(n, Attr_parts);
	if (parts < 1 || parts > MaxParts)
		FAIL("parts=%lld, expected 1 to %d", (long long)parts, MaxParts);
	TRY(need_multiple(m, n, cols, dim_const(m, parts), "columns"));
	return need_equal(m, n, panel_count(m, cols, parts), panels, "panel counts");
}

/* 1 where need_panels is going to fail. */
static int sane_parts(const Node *n)
{
	int64_t parts = attr_int(n, Attr_parts);
	return parts < 1 || parts > MaxParts ? 1 : (int)parts;
}

/* One matrix, or several along a first axis.  Integers of less than a byte may become halves of bytes. */
const char *shape_given_pack(Module *m, const Node *n, Type *out)
{
	const Type *w = type_in(n, 0);
	const int several = w->rank == 3;
	const bool halves = is_half(w->dtype) && out->dtype == U8;
	TRY(halves ? shape_given(m, n, out) : given_like_operand(m, n, out));
	TRY(need_rank(m, w, 2 + several, "w"));
	TRY(need_rank(m, out, 3 + several, "the result"));
	if (several)
		TRY(need_equal(m, n, w->dims[0], out->dims[0], "matrices"));
	TRY(need_panels(m, n, w->dims[several + 1], out->dims[several]));
	TRY(need_equal(m, n, w->dims[several], out->dims[several + 1], "rows of w and of the panels"));
	return need_equal(m, n, dim_const(m, halves ? HalfWidth : PanelWidth), out->dims[several + 2], "panel widths");
}

/* Bytes that hold several integers of 2 or 4 bits each, the first in the low bits. */
const char *shape_given_unpack(Module *m, const Node *n, Type *out)
{
	const Type *x = type_in(n, 0);
	const int last = x->rank - 1;
	TRY(shape_given(m, n, out));
	if (x->dtype != U8 || !x->rank || out->rank != x->rank || !is_packed(out->dtype) || dtypes[out->dtype].cls != ClassUnsigned)
		FAIL("from %s to %s, expected bytes and integers of 2 or 4 bits without a sign, of one rank, not 0", type_text(m, x), type_text(m, out));
	for (int d = 0; d < last; d++)
		TRY(need_equal(m, n, x->dims[d], out->dims[d], "dims"));
	return need_equal(m, n, dim_mul_const(m, x->dims[last], 8 / dtypes[out->dtype].bits), out->dims[last], "elements of a row");
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
	TRY(need_operands(m, n));
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

/* Of scale or zero: a row of every panel for each block of the depth. */
static const char *need_scales(Module *m, const Node *n, int operand)
{
	const Type *t = type_in(n, operand), *w = type_in(n, 1);
	const int64_t block = attr_int(n, Attr_block);
	const bool real = operand == 3; /* the scale */
	if (t->dtype != F32 && (!is_weight_type(t->dtype) || (real && dtypes[t->dtype].cls != ClassFloat)))
		FAIL("%s has type %s, expected f32, f16%s", real ? "scale" : "zero", dtypes[t->dtype].text, real ? " or bf16" : ", bf16, i8 or u8");
	TRY(need_rank(m, t, 3, real ? "scale" : "zero"));
	if (block < 1 || block > DimMax || (block % PanelWidth && PanelWidth % block && !dim_equals(t->dims[1], 1)))
		FAIL("block=%lld, expected a multiple or divisor of %d", (long long)block, PanelWidth);
	TRY(need_equal(m, n, w->dims[0], t->dims[0], "panels"));
	TRY(need_equal(m, n, dim_ceildiv(m, w->dims[1], dim_const(m, block)), t->dims[1], "blocks"));
	return need_equal(m, n, dim_const(m, PanelWidth), t->dims[2], "panel widths");
}

/* The last `inner` axes of x, of *depth elements, are; the others are those of the result but its last. */
static const char *contracted(Module *m, const Node *n, const Type *out, const Dim **depth)
{
	const Type *x = type_in(n, 0);
	int64_t inner = attr_int(n, Attr_inner), outer = x->rank - inner;
	if (inner < 1 || outer < 0 || out->rank != outer + 1)
		FAIL("x has rank %d, of which %lld axes are contracted, the result %d", x->rank, (long long)inner, out->rank);
	for (int d = 0; d < outer; d++)
		TRY(need_equal(m, n, x->dims[d], out->dims[d], "rows"));
	*depth = dim_const(m, 1);
	for (int d = outer; d < x->rank; d++)
		*depth = dim_mul(m, *depth, x->dims[d]);
	return NULL;
}

/* Of x, b, and panels. */
static const char *need_weight_types(Module *m, const Node *n)
{
	const Type *x = type_in(n, 0), *w = type_in(n, 1), *b = type_in(n, 2);
	if (dtypes[x->dtype].cls != ClassFloat || (b && b->dtype != x->dtype))
		FAIL("x and b have the types %s and %s, expected one floating type", dtypes[x->dtype].text, dtypes[(b ? b : x)->dtype].text);
	if (!is_weight_type(w->dtype) && w->dtype != x->dtype)
		FAIL("w has type %s, expected that of x, f16, bf16, i8 or u8", dtypes[w->dtype].text);
	return NULL;
}

/* Of all but the weights' type.  The columns of the result say how much of the last panels is real. */
static const char *need_packed_product(Module *m, const Node *n, Type *out)
{
	const Type *w = type_in(n, 1), *b = type_in(n, 2);
	const Dim *depth;
	TRY(need_rank(m, w, 3, "w"));
	TRY(contracted(m, n, out, &depth));
	TRY(need_equal(m, n, depth, w->dims[1], "inner dimensions"));
	TRY(need_equal(m, n, dim_const(m, has_halves(n) ? HalfWidth : PanelWidth), w->dims[2], "panel widths"));
	TRY(need_panels(m, n, out->dims[out->rank - 1], w->dims[0]));
	if (b) {
		TRY(need_rank(m, b, 1, "b"));
		TRY(need_equal(m, n, out->dims[out->rank - 1], b->dims[0], "columns and length of b"));
	}
	return NULL;
}

const char *shape_given_linear_packed(Module *m, const Node *n, Type *out)
{
	TRY(given_like_operand(m, n, out));
	TRY(need_weight_types(m, n));
	return need_packed_product(m, n, out);
}

/* w [k, n], constant */
const char *shape_pack_bytes(Module *m, const Node *n, Type *out)
{
	const Type *w = type_in(n, 0);
	TRY(need_rank(m, w, 2, "w"));
	if (w->dtype != I8)
		FAIL("w has type %s, expected i8", dtypes[w->dtype].text);
	if (!is_const(n->in[0]))
		FAIL("w is no constant");
	*out = (Type){.dtype = I32, .rank = 3};
	out->dims[0] = panel_count(m, w->dims[1], 1);
	out->dims[1] = dim_ceildiv(m, w->dims[0], dim_const(m, BytesOfGroup));
	out->dims[2] = dim_const(m, PanelWidth);
	return NULL;
}

/* x [rows.., k], w [panels, groups, PanelWidth]; the columns of the result say how much of the last panel is real */
const char *shape_given_linear_bytes(Module *m, const Node *n, Type *out)
{
	const Type *x = type_in(n, 0), *w = type_in(n, 1);
	TRY(need_rank(m, w, 3, "w"));
	if (x->dtype != U8 || w->dtype != I32 || out->dtype != I32)
		FAIL("x, w and the result have the types %s, %s and %s, expected u8, i32 and i32", dtypes[x->dtype].text, dtypes[w->dtype].text,
		     dtypes[out->dtype].text);
	const Dim *depth;
	TRY(contracted(m, n, out, &depth));
	TRY(need_equal(m, n, dim_ceildiv(m, depth, dim_const(m, BytesOfGroup)), w->dims[1], "groups of four of the inner dimension"));
	TRY(need_equal(m, n, dim_const(m, PanelWidth), w->dims[2], "panel widths"));
	return need_equal(m, n, panel_count(m, out->dims[out->rank - 1], 1), w->dims[0], "panels");
}

/* x [which.., rows.., k], w [matrices, panels, k, PanelWidth], b [matrices, n] */
const char *shape_given_experts_packed(Module *m, const Node *n, Type *out)
{
	const Type *x = type_in(n, 0), *w = type_in(n, 1), *b = type_in(n, 2);
	TRY(need_operands(m, n));
	TRY(need_operand(m, n, 0, -1));
	if (!w)
		FAIL("operand w is missing");
	TRY(need_weight_types(m, n));
	TRY(need_which(m, n));
	TRY(need_rank(m, w, 4, "w"));
	if (x->dtype != out->dtype || out->rank != x->rank)
		FAIL("x is %s, the result %s", type_text(m, x), type_text(m, out));
	const Dim *cols = out->dims[out->rank - 1];
	for (int d = 0; d + 1 < x->rank; d++)
		TRY(need_equal(m, n, x->dims[d], out->dims[d], "rows"));
	TRY(need_equal(m, n, x->dims[x->rank - 1], w->dims[2], "inner dimensions"));
	TRY(need_equal(m, n, dim_const(m, PanelWidth), w->dims[3], "panel widths"));
	TRY(need_panels(m, n, cols, w->dims[1]));
	if (b) {
		TRY(need_rank(m, b, 2, "b"));
		TRY(need_equal(m, n, w->dims[0], b->dims[0], "matrices of w and rows of b"));
		TRY(need_equal(m, n, cols, b->dims[1], "columns of the result and of b"));
	}
	return NULL;
}

/* Weights are (element - offset - zero) * scale. */
const char *shape_given_linear_scaled(Module *m, const Node *n, Type *out)
{
	const Type *x = type_in(n, 0), *w = type_in(n, 1), *b = type_in(n, 2);
	const int64_t offset = attr_int(n, Attr_offset);
	TRY(given_like_operand(m, n, out));
	if (x->dtype != F32 || (b && b->dtype != F32))
		FAIL("x and b have the types %s and %s, expected f32", dtypes[x->dtype].text, dtypes[(b ? b : x)->dtype].text);
	if (w->dtype != U8 && (w->dtype != I8 || has_halves(n)))
		FAIL("w has type %s, expected u8%s", type_text(m, w), has_halves(n) ? " of halves" : " or i8");
	if (offset < -(1 << 16) || offset > 1 << 16)
		FAIL("offset=%lld, expected -65536 to 65536", (long long)offset);
	TRY(need_packed_product(m, n, out));
	TRY(need_scales(m, n, 3));
	return type_in(n, 4) ? need_scales(m, n, 4) : NULL;
}

/* Of x and w: the rows of w's panels and how many there are. */
static const char *strassen_panels(Module *m, const Node *n, const Dim *depth, const Dim *cols, const Dim **rows, const Dim **count)
{
	const int parts = sane_parts(n);
	TRY(need_panels(m, n, cols, panel_count(m, cols, parts)));
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

/* w [k, n], constant, of which the data says how many entries there are */
static const char *need_sparse(Module *m, const Node *n)
{
	const Type *w = type_in(n, 0);
	TRY(need_rank(m, w, 2, "w"));
	if (!is_const(n->in[0]))
		FAIL("w is no constant");
	return need_panels(m, n, w->dims[1], panel_count(m, w->dims[1], sane_parts(n)));
}

const Dim *sparse_index_length(Module *m, const Dim *cols, int parts, bool apart, const Dim *entries)
{
	const Dim *groups = dim_mul_const(m, panel_count(m, cols, parts), PanelWidth / SparseWidth);
	return dim_add(m, dim_add(m, groups, dim_const(m, 1)), dim_mul_const(m, entries, sparse_places(apart)));
}

const char *shape_given_sparse_weights(Module *m, const Node *n, Type *out)
{
	TRY(given_like_operand(m, n, out));
	TRY(need_sparse(m, n));
	TRY(need_rank(m, out, 2, "the result"));
	return need_equal(m, n, dim_const(m, SparseWidth), out->dims[1], "columns of an entry");
}

const char *shape_given_sparse_index(Module *m, const Node *n, Type *out)
{
	TRY(shape_given(m, n, out));
	TRY(need_sparse(m, n));
	TRY(need_rank(m, out, 1, "the result"));
	if (out->dtype != I32)
		FAIL("the result has type %s, expected i32", dtypes[out->dtype].text);
	return need_nonneg(m, n, dim_sub(m, out->dims[0], sparse_index_length(m, type_in(n, 0)->dims[1], sane_parts(n), false, dim_const(m, 0))),
	                   "length of the index less that of the begins");
}

/* x [rows.., inner..], w [entries, SparseWidth], b [n], index (sparse.h), the latter constant: what they say is looked at when code is
 * made.  Columns apart: of one row. */
const char *shape_given_sparse(Module *m, const Node *n, Type *out)
{
	const Type *x = type_in(n, 0), *w = type_in(n, 1), *b = type_in(n, 2), *index = type_in(n, 3);
	TRY(need_operands(m, n));
	TRY(need_operand(m, n, 0, -1));
	TRY(need_operand(m, n, 1, 0));
	TRY(need_index(m, n, 3));
	TRY(need_rank(m, w, 2, "w"));
	TRY(need_rank(m, index, 1, "index"));
	if (x->dtype != out->dtype || index->dtype != I32)
		FAIL("the result has type %s, the index %s", dtypes[out->dtype].text, dtypes[index->dtype].text);
	if (!is_const(n->in[1]) || !is_const(n->in[3]))
		FAIL("w or index is no constant");
	int64_t inner = attr_int(n, Attr_inner), outer = x->rank - inner;
	if (inner < 1 || outer < 0 || out->rank != outer + 1)
		FAIL("x has rank %d, of which %lld axes are contracted, the result %d", x->rank, (long long)inner, out->rank);
	for (int d = 0; d < x->rank; d++)
		if (d < outer)
			TRY(need_equal(m, n, x->dims[d], out->dims[d], "rows"));
		else if (!dim_is_const(x->dims[d], NULL))
			FAIL("the inner dimension %s is no constant", dim_text(m, x->dims[d]));
	for (int d = 0; d < outer && attr_int(n, Attr_apart); d++)
		TRY(need_equal(m, n, x->dims[d], dim_const(m, 1), "rows and 1, for columns apart"));
	const Dim *cols = out->dims[outer];
	TRY(need_panels(m, n, cols, panel_count(m, cols, sane_parts(n))));
	TRY(need_equal(m, n, dim_const(m, SparseWidth), w->dims[1], "columns of an entry"));
	TRY(need_equal(m, n, sparse_index_length(m, cols, sane_parts(n), attr_int(n, Attr_apart), w->dims[0]), index->dims[0], "length of the index"));
	if (b) {
		TRY(need_operand(m, n, 2, 0));
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

/* The strides, dilations and pads_dim of windows with so many taps along each of the spatial axes; taps outside of x do not count, so the
 * extents are whatever the result says. */
static const char *need_windows(Module *m, const Node *n, int spatial, const int64_t *taps)
{
	const Dim *const *pads;
	if (attr_dims(n, Attr_pads_dim, &pads) != spatial)
		FAIL("pads_dim does not have one entry per spatial axis");
	for (int i = 0; i < spatial; i++) {
		Window win = {1, 1, 0, 0};
		int64_t span;
		TRY(need_window(m, n, i, spatial, &win));
		if (taps[i] < 1 || __builtin_mul_overflow(taps[i] - 1, win.dilation, &span) || span > DimMax)
			FAIL("a window of %lld elements is out of range", (long long)taps[i]);
	}
	return NULL;
}

const char *shape_given_pool(Module *m, const Node *n, Type *out)
{
	const Type *x = type_in(n, 0);
	const int64_t *kernel;
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
	if (attr_ints(n, Attr_kernel, &kernel) != spatial)
		FAIL("kernel does not have one entry per spatial axis");
	return need_windows(m, n, spatial, kernel);
}

/* x [batch, in.., channels], w [heads, taps..] or [batch, out.., heads, taps..] -> [batch, out.., channels] */
const char *shape_given_winconv(Module *m, const Node *n, Type *out)
{
	const Type *x = type_in(n, 0), *w = type_in(n, 1);
	int64_t heads = attr_int(n, Attr_heads), taps[MaxRank];
	TRY(shape_given(m, n, out));
	TRY(need_operand(m, n, 1, 0));
	int spatial = x->rank - 2, lead = w->rank - spatial - 1; /* axes of w before the heads */
	if (spatial < 1)
		FAIL("x has no spatial axis: %s", type_text(m, x));
	if (lead != 0 && lead != spatial + 1)
		FAIL("w has rank %d, expected [heads, taps..] or [batch, places.., heads, taps..]", w->rank);
	TRY(need_rank(m, out, x->rank, "the result"));
	if (out->dtype != x->dtype)
		FAIL("the result has type %s", dtypes[out->dtype].text);
	if (heads < 1 || heads > DimMax)
		FAIL("heads %lld is out of range", (long long)heads);
	TRY(need_equal(m, n, x->dims[0], out->dims[0], "batch of x and the result"));
	TRY(need_equal(m, n, x->dims[spatial + 1], out->dims[spatial + 1], "channels of x and the result"));
	TRY(need_multiple(m, n, x->dims[spatial + 1], dim_const(m, heads), "channels over heads"));
	TRY(need_equal(m, n, w->dims[lead], dim_const(m, heads), "heads of w and of the attribute"));
	for (int i = 0; i < lead; i++)
		TRY(need_equal(m, n, w->dims[i], out->dims[i], "batch or places of w and the result"));
	for (int i = 0; i < spatial; i++)
		if (!dim_is_const(w->dims[lead + 1 + i], &taps[i]))
			FAIL("the number of taps %s is not constant", dim_text(m, w->dims[lead + 1 + i]));
	return need_windows(m, n, spatial, taps);
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
