/* shape.c - result types of the operators that tell them; shape_given.c has those whose result is stated.
 *
 * A shape function looks at operand types and attributes only and never trusts them: operands may be missing, of any
 * type, and attributes of any value.  What is provably wrong is a message; what depends on symbols becomes a DimCheck,
 * so that code behind it may rely on the dims; what needs the data is left to the run.
 */
#include "shape.h"

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
	TRY(need_operands(m, n));
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
	TRY(need_operands(m, n));
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
	TRY(need_operands(m, n));
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
	TRY(need_operands(m, n));
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
	TRY(need_operands(m, n));
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
	TRY(need_operands(m, n));
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

const char *need_which(Module *m, const Node *n)
{
	const Type *x = type_in(n, 0), *which = type_in(n, 3);
	TRY(need_index(m, n, 3));
	if (x->rank < 1 || which->rank >= x->rank)
		FAIL("x has rank %d, which %d", x->rank, which->rank);
	for (int d = 0; d < which->rank; d++)
		TRY(need_equal(m, n, which->dims[d], x->dims[d], "dims of which and leading ones of x"));
	return NULL;
}

const char *shape_experts(Module *m, const Node *n, Type *out)
{
	TRY(need_operands(m, n));
	TRY(need_operand(m, n, 0, -1));
	TRY(need_operand(m, n, 1, 0));
	TRY(need_which(m, n));
	const Type *x = type_in(n, 0), *w = type_in(n, 1), *b = type_in(n, 2);
	TRY(need_rank(m, w, 3, "w"));
	TRY(need_equal(m, n, x->dims[x->rank - 1], w->dims[1], "inner dimensions"));
	Type t = *x;
	t.dims[t.rank - 1] = w->dims[2];
	if (b) {
		TRY(need_operand(m, n, 2, 0));
		TRY(need_rank(m, b, 2, "b"));
		TRY(need_equal(m, n, w->dims[0], b->dims[0], "matrices of w and rows of b"));
		TRY(need_equal(m, n, w->dims[2], b->dims[1], "columns of w and of b"));
	}
	*out = t;
	return NULL;
}

const char *shape_glu(Module *m, const Node *n, Type *out)
{
	int axis = 0;
	TRY(need_operands(m, n));
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

const char *shape_conv(Module *m, const Node *n, Type *out)
{
	TRY(need_operands(m, n));
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
	TRY(need_operands(m, n));
	TRY(need_operand(m, n, 0, -1));
	TRY(need_operand(m, n, 1, -1));
	const Type *x = type_in(n, 0), *w = type_in(n, 1), *b = type_in(n, 2);
	const Dim *group = dim_const(m, attr_int(n, Attr_group));
	const int64_t offset = attr_int(n, Attr_offset);
	const bool bytes = x->dtype == U8 || x->dtype == I8;
	int last = x->rank - 1;
	if (!is_among(w->dtype, TypesFlt) || (bytes ? w->dtype != F32 : x->dtype != w->dtype))
		FAIL("x is %s, w %s; expected one floating type, or bytes and f32", dtypes[x->dtype].text, dtypes[w->dtype].text);
	if (offset && (!bytes || offset < lowest_scalar(x->dtype).i || offset > highest_scalar(x->dtype).i))
		FAIL("offset %lld of elements of %s", (long long)offset, dtypes[x->dtype].text);
	if (attr_int(n, Attr_group) < 1 || attr_int(n, Attr_group) > DimMax)
		FAIL("group %lld is out of range", (long long)attr_int(n, Attr_group));
	if (x->rank < 3)
		FAIL("x has no spatial axis: %s", type_text(m, x));
	TRY(need_rank(m, w, x->rank, "w"));
	TRY(need_equal(m, n, x->dims[last], dim_mul(m, w->dims[last - 1], group), "channels of x and of w times groups"));
	TRY(need_multiple(m, n, w->dims[last], group, "output channels"));
	if (b) {
		TRY(need_operand(m, n, 2, 1));
		TRY(need_rank(m, b, 1, "b"));
		TRY(need_equal(m, n, w->dims[last], b->dims[0], "output channels and length of b"));
	}
	Type t = *x;
	t.dtype = w->dtype;
	t.dims[last] = w->dims[last];
	for (int i = 1; i < last; i++)
		TRY(slide_window(m, n, i - 1, last - 1, x->dims[i], w->dims[i - 1], &t.dims[i]));
	*out = t;
	return NULL;
}

Chunks attention_chunks(const Node *n)
{
	const int64_t *chunks;
	Chunks c = {.n = 1, .of = 1, .parts = 1, .shift = {0}};
	const int64_t *shifts;

	if (attr_ints(n, Attr_chunks, &chunks) == 2) {
		c.n = chunks[0];
		c.of = chunks[1];
	}
	int parts = attr_ints(n, Attr_shifts, &shifts);
	for (int i = 0; i < parts && i < MaxShifts; i++)
		c.shift[i] = shifts[i];
	c.parts = parts ? parts : 1;
	return c;
}

bool sees_chunks(const Node *n)
{
	return find_attr(n, Attr_chunks) || find_attr(n, Attr_shifts);
}

const Dim *attention_keys(Module *m, const Node *n)
{
	return dim_mul_const(m, n->in[1]->type.dims[1], attention_chunks(n).parts);
}

static const char *check_chunks(Module *m, const Node *n, const Dim *queries, const Dim *keys)
{
	const int64_t *list;
	const int nlist = attr_ints(n, Attr_chunks, &list);
	const Chunks c = attention_chunks(n);

	if (!sees_chunks(n))
		return need_equal(m, n, queries, keys, "batch dims of q and k");
	if (type_in(n, 0)->dtype != F32)
		FAIL("chunks and shifts are only supported in f32");
	if (nlist && nlist != 2)
		FAIL("chunks has %d entries, expected 2", nlist);
	if (c.n < 1 || c.of < 1 || c.n > INT32_MAX || c.of > INT32_MAX)
		FAIL("chunks is out of range: %lld, %lld", (long long)c.n, (long long)c.of);
	if (c.parts > MaxShifts)
		FAIL("shifts has %d entries, at most %d are supported", c.parts, MaxShifts);
	for (int i = 0; i < c.parts; i++)
		if (c.shift[i] < 0 || c.shift[i] >= c.of)
			FAIL("shift %lld is not in 0..%lld", (long long)c.shift[i], (long long)c.of - 1);
	int64_t part;
	if (c.parts > 1 && !(dim_is_const(type_in(n, 1)->dims[1], &part) && part > 0 && part % PanelWidth == 0))
		FAIL("%s keys are no whole panels of %d, as several shifts take", dim_text(m, type_in(n, 1)->dims[1]), PanelWidth);
	TRY(need_multiple(m, n, queries, dim_const(m, c.n), "batches of q over chunks"));
	TRY(need_multiple(m, n, keys, dim_const(m, c.of), "batches of k over chunks"));
	return need_equal(m, n, dim_mul_const(m, queries, c.of), dim_mul_const(m, keys, c.n), "batch dims of q and k, times chunks");
}

static const char *check_mask(Module *m, const Node *n, const Type *q)
{
	const Type *mask = type_in(n, 3);
	if (!mask)
		return NULL;
	if (mask->dtype != q->dtype && mask->dtype != Bool)
		FAIL("the mask has type %s, expected %s or bool", dtypes[mask->dtype].text, dtypes[q->dtype].text);
	Type scores = {.dtype = q->dtype, .rank = 4, .dims = {q->dims[0], q->dims[2], q->dims[1], attention_keys(m, n)}};
	return need_broadcastable(m, n, mask, &scores, "mask");
}

const char *shape_attention(Module *m, const Node *n, Type *out)
{
	TRY(need_operands(m, n));
	TRY(need_operand(m, n, 0, -1));
	TRY(need_operand(m, n, 1, 0));
	TRY(need_operand(m, n, 2, 0));
	const Type *q = type_in(n, 0), *k = type_in(n, 1), *v = type_in(n, 2);
	TRY(need_rank(m, q, 4, "q"));
	TRY(need_rank(m, k, 4, "k"));
	TRY(need_rank(m, v, 4, "v"));
	TRY(check_chunks(m, n, q->dims[0], k->dims[0]));
	TRY(need_equal(m, n, k->dims[0], v->dims[0], "batch dims of k and v"));
	TRY(need_equal(m, n, k->dims[1], v->dims[1], "tokens of k and v"));
	TRY(need_equal(m, n, k->dims[2], v->dims[2], "heads of k and v"));
	TRY(need_equal(m, n, q->dims[3], k->dims[3], "widths of q and k"));
	if (q->dims[2] != k->dims[2])
		TRY(need_multiple(m, n, q->dims[2], k->dims[2], "query heads over key heads"));
	TRY(check_mask(m, n, q));
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
	if (attr_int(n, Attr_lse))
		t.dims[3] = dim_add(m, t.dims[3], dim_const(m, 1));
	*out = t;
	return NULL;
}

/* ---- data movement ---------------------------------------------------------------------------------------------- */

const char *shape_transpose(Module *m, const Node *n, Type *out)
{
	const int64_t *perm;
	unsigned seen = 0;
	TRY(need_operands(m, n));
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
	TRY(need_operands(m, n));
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
	TRY(need_operands(m, n));
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
	TRY(need_operands(m, n));
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
