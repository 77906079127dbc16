/* import_more.c - operators that the IR has no counterpart of, as compositions of those it has.
 *
 * They are right for every size; speed is left to the passes that recognise what matters.
 */
#include "import.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

static const Dim *num(Call *c, int64_t v)
{
	return dim_const(c->m, v);
}

static Value *count_along(Call *c, const Dim *n, int rank, int axis)
{
	const Dim *dims[MaxRank];
	for (int i = 0; i < rank; i++)
		dims[i] = i == axis ? n : num(c, 1);
	return emit_reshape(c, emit_iota(c, I64, n, num(c, 0), num(c, 1)), rank, dims);
}

/* ---- pooling --------------------------------------------------------------------------------------------------- */

enum { MaxTaps = 128 };

typedef struct Pool {
	int spatial;
	int64_t kernel[MaxRank], strides[MaxRank], dilations[MaxRank], pads[2 * MaxRank];
	const Dim *out[MaxRank]; /* extents */
	const Dim *extra[MaxRank]; /* beyond the pads, for windows that ceil_mode lets hang over the end */
	bool hangs;
} Pool;

/* ceil_mode rounds up, but a window must start inside of the tensor or the padding before it. */
static void pool_extent(Call *c, Pool *p, int i, bool ceil_mode)
{
	Module *m = c->m;
	int64_t span = (p->kernel[i] - 1) * p->dilations[i] + 1;
	const Dim *x = c->in[0]->type.dims[i + 2], *stride = num(c, p->strides[i]);
	const Dim *padded = dim_add(m, x, num(c, p->pads[i] + p->pads[p->spatial + i]));
	const Dim *room = dim_sub(m, padded, num(c, span)), *n;
	require_at_least(c, room, 0);
	if (ceil_mode) {
		n = dim_add(m, dim_ceildiv(m, room, stride), num(c, 1));
		n = dim_min(m, n, dim_ceildiv(m, dim_add(m, x, num(c, p->pads[i])), stride));
	} else {
		n = dim_add(m, dim_floordiv(m, room, stride), num(c, 1));
	}
	const Dim *end = dim_add(m, dim_mul_const(m, dim_sub(m, n, num(c, 1)), p->strides[i]), num(c, span));
	p->out[i] = n;
	p->extra[i] = dim_max(m, dim_sub(m, end, padded), num(c, 0));
	p->hangs |= !dim_equals(p->extra[i], 0);
}

static void read_pool(Call *c, Pool *p)
{
	int64_t taps = 1;
	p->spatial = c->in[0]->type.rank - 2;
	p->hangs = false;
	if (p->spatial < 1)
		fatal_at(c->loc, "the operand has rank %d", c->in[0]->type.rank);
	if (!has_attr(c, "kernel_shape"))
		fatal_at(c->loc, "attribute 'kernel_shape' is missing");
	read_windows(c, "kernel_shape", p->spatial, 1, 1, p->kernel);
	read_windows(c, "strides", p->spatial, 1, 1, p->strides);
	read_windows(c, "dilations", p->spatial, 1, 1, p->dilations);
	read_pads(c, p->spatial, p->kernel, p->strides, p->dilations, p->pads);
	for (int i = 0; i < p->spatial; i++) {
		taps *= p->kernel[i];
		if (taps > MaxTaps)
			fatal_at(c->loc, "not supported: a pooling window of more than %d elements", MaxTaps);
		pool_extent(c, p, i, onnx_int(c, "ceil_mode", 0));
	}
}

static Value *pad_spatial(Call *c, const Pool *p, Value *x, bool stated, double with)
{
	const Dim *pads[2 * MaxRank] = {NULL};
	int rank = x->type.rank;
	bool grows = false;
	for (int i = 0; i < rank; i++) {
		bool spatial = i >= 2;
		pads[i] = num(c, spatial && stated ? p->pads[i - 2] : 0);
		pads[rank + i] = num(c, spatial && stated ? p->pads[p->spatial + i - 2] : 0);
		if (spatial && !stated)
			pads[rank + i] = p->extra[i - 2];
		grows |= !dim_equals(pads[i], 0) || !dim_equals(pads[rank + i], 0);
	}
	Attr attrs[2] = {mk_dims(c->m, Attr_pads_dim, 2 * rank, pads), mk_float(Attr_value, with)};
	return grows ? emit(c, OpPad, 1, &x, 2, attrs, NULL) : x;
}

/* Joins the taps of every window with `op`; x is padded already. */
static Value *pool_taps(Call *c, const Pool *p, Op op, Value *x)
{
	int64_t at[MaxRank] = {0}, steps[MaxRank];
	int rank = x->type.rank;
	Type type = x->type;
	Value *all = NULL;
	for (int i = 0; i < rank; i++)
		steps[i] = i < 2 ? 1 : p->strides[i - 2];
	for (int i = 0; i < p->spatial; i++)
		type.dims[i + 2] = p->out[i];
	for (;;) {
		const Dim *starts[MaxRank];
		for (int i = 0; i < rank; i++)
			starts[i] = num(c, i < 2 ? 0 : at[i - 2] * p->dilations[i - 2]);
		Attr attrs[2] = {mk_dims(c->m, Attr_starts, rank, starts), mk_ints(c->m, Attr_steps, rank, steps)};
		Value *tap = emit(c, OpSlice, 1, &x, 2, attrs, &type);
		all = all ? emit2(c, op, all, tap) : tap;
		int i = p->spatial - 1;
		while (i >= 0 && ++at[i] == p->kernel[i])
			at[i--] = 0;
		if (i < 0)
			return all;
	}
}

void import_max_pool(Call *c)
{
	Pool p;
	read_pool(c, &p);
	DType dtype = c->in[0]->type.dtype;
	double least = dtypes[dtype].cls == ClassFloat ? -INFINITY : dtypes[dtype].cls == ClassUnsigned ? 0 : -128;
	Value *x = pad_spatial(c, &p, pad_spatial(c, &p, c->in[0], true, least), false, least);
	c->out[0] = pool_taps(c, &p, OpMax, x);
}

/* The sum over the number of elements that count: those of the tensor, or of the tensor and its pads. */
void import_average_pool(Call *c)
{
	Pool p;
	read_pool(c, &p);
	bool include = onnx_int(c, "count_include_pad", 0), uneven = p.hangs;
	double taps = 1;
	for (int i = 0; i < p.spatial; i++) {
		taps *= p.kernel[i];
		uneven |= !include && (p.pads[i] || p.pads[p.spatial + i]);
	}
	Value *x = c->in[0];
	DType dtype = x->type.dtype;
	Value *sum = pool_taps(c, &p, OpAdd, pad_spatial(c, &p, pad_spatial(c, &p, x, true, 0), false, 0));
	Value *count = emit_const(c, dtype, taps);
	if (uneven) {
		const Dim *dims[MaxRank];
		for (int i = 0; i < x->type.rank; i++)
			dims[i] = i < 2 ? num(c, 1) : x->type.dims[i];
		Value *ones = emit_expand(c, emit_const(c, dtype, 1), x->type.rank, dims);
		ones = pad_spatial(c, &p, pad_spatial(c, &p, ones, true, include), false, 0);
		count = pool_taps(c, &p, OpAdd, ones);
	}
	c->out[0] = emit2(c, OpDiv, sum, count);
}

void import_global_max_pool(Call *c)
{
	int64_t axes[MaxRank];
	int n = 0;
	for (int i = 2; i < c->in[0]->type.rank; i++)
		axes[n++] = i;
	c->out[0] = emit_reduce(c, OpReduceMax, c->in[0], n, axes, true);
}

/* ---- rearrangements -------------------------------------------------------------------------------------------- */

/* By how much each axis grows; whole numbers only. */
static void read_factors(Call *c, int64_t *factors)
{
	const Type *x = &c->in[0]->type;
	int at = c->opset < 11 ? 1 : 2, n;
	if (at < c->nin && c->in[at] && !dim_equals(type_numel(c->m, &c->in[at]->type), 0)) {
		const Const *k = c->in[at]->konst;
		if (!k || k->type.dtype != F32 || const_numel(&k->type) != x->rank)
			fatal_at(c->loc, "not supported: input 'scales' is not a constant with one element per axis");
		for (int i = 0; i < x->rank; i++) {
			float f;
			memcpy(&f, (const char *)k->data + i * sizeof f, sizeof f);
			factors[i] = f >= 1 && f <= 64 ? f : 0;
			if (factors[i] != f)
				fatal_at(c->loc, "not supported: scale %g of axis %d", f, i);
		}
		return;
	}
	const Dim *sizes[MaxRank], *q;
	n = need_dims(c, 3, "sizes", sizes, MaxRank);
	if (n != x->rank)
		fatal_at(c->loc, "input 'sizes' has %d elements for rank %d", n, x->rank);
	for (int i = 0; i < n; i++) {
		q = divide_dims(c, sizes[i], x->dims[i]);
		if (!dim_is_const(q, &factors[i]) || factors[i] < 1 || dim_mul(c->m, q, x->dims[i]) != sizes[i])
			fatal_at(c->loc, "not supported: resizing %s to %s", dim_text(c->m, x->dims[i]),
			         dim_text(c->m, sizes[i]));
	}
}

/* Nearest-neighbour growth by whole factors repeats elements: [.. d ..] -> [.. d, f ..] -> [.. d*f ..]. */
void import_resize(Call *c)
{
	Value *x = c->in[0];
	int64_t factors[MaxRank];
	const char *mode = onnx_text(c, "coordinate_transformation_mode");
	const char *round = onnx_text(c, "nearest_mode");
	bool from_floor = c->opset < 11 || (mode && !strcmp(mode, "asymmetric") && round && !strcmp(round, "floor"));
	bool half = !mode || !strcmp(mode, "half_pixel");
	if (!from_floor && !(half && (!round || !strncmp(round, "round_prefer_", 13))))
		fatal_at(c->loc, "not supported: nearest_mode %s with coordinates %s",
		         round ? round : "round_prefer_floor",
		         mode ? mode : "half_pixel");
	if (has_attr(c, "axes"))
		fatal_at(c->loc, "not supported: attribute 'axes'");
	read_factors(c, factors);
	const Dim *split[2 * MaxRank], *wide[2 * MaxRank], *out[MaxRank];
	int n = 0;
	for (int i = 0; i < x->type.rank; i++) {
		split[n] = x->type.dims[i];
		wide[n++] = x->type.dims[i];
		if (factors[i] != 1) {
			split[n] = num(c, 1);
			wide[n++] = num(c, factors[i]);
		}
		out[i] = dim_mul_const(c->m, x->type.dims[i], factors[i]);
	}
	Value *v = emit_expand(c, emit_reshape(c, x, n, split), n, wide);
	c->out[0] = emit_reshape(c, v, x->type.rank, out);
}

static Value *shuffle(Call *c, Value *x, int n, const Dim *const *split, const int *perm, const Dim *const *out)
{
	return emit_reshape(c, emit_transpose(c, emit_reshape(c, x, n, split), perm), 4, out);
}

static int64_t read_block(Call *c)
{
	int64_t b = onnx_int(c, "blocksize", 0);
	if (b < 1 || b > DimMax / 64 || c->in[0]->type.rank != 4)
		fatal_at(c->loc, "blocksize %lld and an operand of rank %d", (long long)b, c->in[0]->type.rank);
	return b;
}

void import_depth_to_space(Call *c)
{
	static const int dcr[6] = {0, 3, 4, 1, 5, 2}, crd[6] = {0, 1, 4, 2, 5, 3};
	int64_t b = read_block(c);
	const Dim *const *d = c->in[0]->type.dims, *block = num(c, b), *depth = divide_dims(c, d[1], num(c, b * b));
	bool columns = onnx_word(c, "mode", "CRD");
	const Dim *split[6] = {d[0], columns ? depth : block, block, columns ? block : depth, d[2], d[3]};
	const Dim *out[4] = {d[0], depth, dim_mul(c->m, d[2], block), dim_mul(c->m, d[3], block)};
	c->out[0] = shuffle(c, c->in[0], 6, split, columns ? crd : dcr, out);
}

void import_space_to_depth(Call *c)
{
	static const int perm[6] = {0, 3, 5, 1, 2, 4};
	int64_t b = read_block(c);
	const Dim *const *d = c->in[0]->type.dims, *block = num(c, b);
	const Dim *h = divide_dims(c, d[2], block), *w = divide_dims(c, d[3], block);
	const Dim *split[6] = {d[0], d[1], h, block, w, block};
	const Dim *out[4] = {d[0], dim_mul(c->m, d[1], num(c, b * b)), h, w};
	c->out[0] = shuffle(c, c->in[0], 6, split, perm, out);
}

/* ---- einsum ---------------------------------------------------------------------------------------------------- */

enum { MaxTerms = 16 };

/* A tensor whose axes carry labels, one letter each. */
typedef struct Labelled {
	Value *v;
	char axes[MaxRank + 1];
} Labelled;

static bool has_label(const char *axes, char label)
{
	return strchr(axes, label) != NULL;
}

/* At most MaxRank labels together: the caller has counted. */
static void join_labels(char *out, const char *a, const char *b, const char *rest)
{
	const char *const parts[] = {a, b, rest};
	int n = 0;
	for (int i = 0; i < 3; i++)
		for (const char *p = parts[i]; *p && n < MaxRank; p++)
			out[n++] = *p;
	out[n] = 0;
}

/* The axes in the order that `to` lists them. */
static Value *reorder(Call *c, const Labelled *x, const char *to)
{
	int perm[MaxRank];
	for (int i = 0; to[i]; i++)
		perm[i] = strchr(x->axes, to[i]) - x->axes;
	return emit_transpose(c, x->v, perm);
}

/* Sums over the axes that `needed` does not list. */
static void drop_axes(Call *c, Labelled *x, const char *needed)
{
	int64_t axes[MaxRank];
	int n = 0, kept = 0;
	for (int i = 0; x->axes[i]; i++) {
		if (has_label(needed, x->axes[i]))
			x->axes[kept++] = x->axes[i];
		else
			axes[n++] = i;
	}
	x->axes[kept] = 0;
	x->v = emit_reduce(c, OpSum, x->v, n, axes, false);
}

static void pick_labels(char *out, const char *from, const char *other, bool in_other, const char *needed,
                        bool in_needed)
{
	for (; *from; from++)
		if (has_label(other, *from) == in_other && has_label(needed, *from) == in_needed)
			*out++ = *from;
	*out = 0;
}

/* The axes as [batch.., joined, joined]: a matrix product with whatever is in the groups. */
static Value *as_matrix(Call *c, const Labelled *x, const char *batch, const char *rows, const char *cols)
{
	char order[MaxRank + 1];
	const Dim *dims[MaxRank];
	join_labels(order, batch, rows, cols);
	Value *v = reorder(c, x, order);
	int nb = strlen(batch), nr = strlen(rows), nc = strlen(cols);
	memcpy(dims, v->type.dims, nb * sizeof *dims);
	if (nb + 2 > MaxRank)
		fatal_at(c->loc, "not supported: %d batch axes", nb);
	dims[nb] = product(c->m, v->type.dims + nb, nr);
	dims[nb + 1] = product(c->m, v->type.dims + nb + nr, nc);
	return emit_reshape(c, v, nb + 2, dims);
}

/* Labels of both operands that are still needed are batch axes; shared ones that are not are summed over. */
static Labelled contract(Call *c, Labelled *a, Labelled *b, const char *needed)
{
	char batch[MaxRank + 1], inner[MaxRank + 1], rows[MaxRank + 1], cols[MaxRank + 1];
	drop_axes(c, a, arena_printf(c->im->scratch, "%s%s", needed, b->axes));
	drop_axes(c, b, arena_printf(c->im->scratch, "%s%s", needed, a->axes));
	pick_labels(batch, a->axes, b->axes, true, needed, true);
	pick_labels(inner, a->axes, b->axes, true, needed, false);
	pick_labels(rows, a->axes, b->axes, false, needed, true);
	pick_labels(cols, b->axes, a->axes, false, needed, true);
	if (strlen(batch) + strlen(rows) + strlen(cols) > MaxRank)
		fatal_at(c->loc, "not supported: an intermediate result of rank above %d", MaxRank);
	Value *left = as_matrix(c, a, batch, rows, inner), *right = as_matrix(c, b, batch, inner, cols);
	Labelled out = {emit2(c, OpMatMul, left, right), ""};
	const Dim *dims[MaxRank];
	int n = 0;
	for (int i = 0; batch[i]; i++, n++)
		dims[n] = out.v->type.dims[n];
	for (int i = 0; rows[i]; i++)
		dims[n++] = a->v->type.dims[strchr(a->axes, rows[i]) - a->axes];
	for (int i = 0; cols[i]; i++)
		dims[n++] = b->v->type.dims[strchr(b->axes, cols[i]) - b->axes];
	out.v = emit_reshape(c, out.v, n, dims);
	join_labels(out.axes, batch, rows, cols);
	return out;
}

/* How many axes "..." stands for in the operand at p. */
static int count_unlabelled(const char *p, int rank)
{
	bool dots = false;
	for (; *p && *p != ',' && *p != '-'; p++) {
		rank -= isalpha((unsigned char)*p) != 0;
		dots |= *p == '.';
	}
	return dots ? rank : 0;
}

/* The labels of the `wide` axes of "..." are digits, 0 for the last one: operands broadcast from there. */
static int label_dots(char *axes, int n, int wide)
{
	while (wide-- > 0)
		axes[n++] = '0' + wide;
	return n;
}

static const char *take_labels(Call *c, const char *p, int wide, char *axes)
{
	int n = 0;
	for (; *p && *p != ',' && *p != '-'; p++) {
		bool dots = !strncmp(p, "...", 3);
		if (*p == ' ')
			continue;
		if (!(dots || isalpha((unsigned char)*p)) || n + (dots ? wide : 1) > MaxRank || memchr(axes, dots ? '0' : *p, n))
			fatal_at(c->loc, "not supported: equation '%s'", onnx_text(c, "equation"));
		if (dots)
			n = label_dots(axes, n, wide);
		else
			axes[n++] = *p;
		p += dots ? 2 : 0;
	}
	axes[n] = 0;
	return p;
}

/* What "ij,jk" means when no output is given: the axes of "...", then the labels that occur once, sorted. */
static void implicit_output(const char *equation, int wide, char *out)
{
	int n = label_dots(out, 0, wide);
	for (int label = 'A'; label <= 'z'; label++) {
		const char *first = isalpha(label) ? strchr(equation, label) : NULL;
		if (first && !strchr(first + 1, label) && n < MaxRank)
			out[n++] = label;
	}
	out[n] = 0;
}

void import_einsum(Call *c)
{
	const char *equation = onnx_text(c, "equation"), *p = equation;
	Labelled *in = arena_alloc(c->im->scratch, (c->nin + 1) * sizeof *in);
	char out[MaxRank + 1];
	int wide = 0;
	if (!equation)
		fatal_at(c->loc, "attribute 'equation' is missing");
	if (c->nin > MaxTerms)
		fatal_at(c->loc, "not supported: %d operands", c->nin);
	for (int i = 0; i < c->nin; i++) {
		if (!c->in[i])
			fatal_at(c->loc, "input %d is missing", i);
		int own = count_unlabelled(p, c->in[i]->type.rank);
		p = take_labels(c, p, own, in[i].axes);
		in[i].v = c->in[i];
		wide = own > wide ? own : wide;
		if ((int)strlen(in[i].axes) != c->in[i]->type.rank || (*p == ',') != (i < c->nin - 1))
			fatal_at(c->loc, "equation '%s' does not fit the operands", equation);
		p += *p == ',';
	}
	if (!strncmp(p, "->", 2)) {
		if (*take_labels(c, p + 2, wide, out) || (wide && !has_label(out, '0')))
			fatal_at(c->loc, "not supported: equation '%s'", equation);
	} else {
		implicit_output(equation, wide, out);
	}
	Labelled all = in[0];
	for (int i = 1; i < c->nin; i++) {
		char *needed = arena_strdup(c->im->scratch, out);
		for (int k = i + 1; k < c->nin; k++)
			needed = arena_printf(c->im->scratch, "%s%s", needed, in[k].axes);
		all = contract(c, &all, &in[i], needed);
	}
	drop_axes(c, &all, out);
	if (strlen(all.axes) != strlen(out))
		fatal_at(c->loc, "equation '%s': an output label is in no operand", equation);
	c->out[0] = reorder(c, &all, out);
}

/* ---- searching and counting ------------------------------------------------------------------------------------ */

/* The first (or last) place of the extreme element: the least (largest) index where x equals it. */
static void import_arg(Call *c, Op extreme)
{
	Value *x = c->in[0];
	int axis = norm_axis(c, onnx_int(c, "axis", 0), x->type.rank);
	bool last = onnx_int(c, "select_last_index", 0);
	const Dim *n = x->type.dims[axis], *none = last ? num(c, 0) : dim_sub(c->m, n, num(c, 1));
	int64_t axes[1] = {axis};
	require_at_least(c, n, 1);
	Value *hit = emit2(c, OpEq, x, emit_reduce(c, extreme, x, 1, axes, true));
	Value *at = emit3(c, OpWhere, hit, count_along(c, n, x->type.rank, axis), emit_dims(c, 0, 1, &none));
	c->out[0] = emit_reduce(c, last ? OpReduceMax : OpReduceMin, at, 1, axes, onnx_int(c, "keepdims", 1));
}

void import_arg_max(Call *c)
{
	import_arg(c, OpReduceMax);
}

void import_arg_min(Call *c)
{
	import_arg(c, OpReduceMin);
}

void import_cum_sum(Call *c)
{
	int64_t at;
	if (need_ints(c, 1, "axis", &at, 1) != 1)
		fatal_at(c->loc, "input 'axis' is not a scalar");
	Attr attrs[3] = {mk_int(Attr_axis, norm_axis(c, at, c->in[0]->type.rank))};
	attrs[1] = mk_int(Attr_exclusive, onnx_int(c, "exclusive", 0));
	attrs[2] = mk_int(Attr_reverse, onnx_int(c, "reverse", 0));
	c->out[0] = emit(c, OpCumSum, 1, c->in, 3, attrs, NULL);
}

void import_one_hot(Call *c)
{
	Value *idx = c->in[0], *values = c->in[2];
	int rank = idx->type.rank + 1, axis = norm_axis(c, onnx_int(c, "axis", -1), rank);
	const Dim *depth, *dims[MaxRank + 1];
	if (need_dims(c, 1, "depth", &depth, 1) != 1 || rank > MaxRank)
		fatal_at(c->loc, "input 'depth' is not a scalar, or the result has too many axes");
	for (int i = 0; i < rank; i++)
		dims[i] = i < axis ? idx->type.dims[i] : i == axis ? num(c, 1) : idx->type.dims[i - 1];
	if (dtypes[idx->type.dtype].cls != ClassSigned)
		idx = emit_cast(c, idx, I64);
	Value *at = emit_reshape(c, emit_cast(c, idx, I64), rank, dims), *n = emit_dims(c, 0, 1, &depth);
	at = emit3(c, OpWhere, emit2(c, OpLt, at, emit_const(c, I64, 0)), emit2(c, OpAdd, at, n), at);
	Value *hit = emit2(c, OpEq, at, count_along(c, depth, rank, axis));
	if (values->type.rank != 1)
		fatal_at(c->loc, "input 'values' has rank %d", values->type.rank);
	require_equal(c, values->type.dims[0], num(c, 2), "elements of 'values'");
	Value *off = emit_reshape(c, emit_range(c, values, 0, num(c, 0), num(c, 1), 1), 0, NULL);
	Value *on = emit_reshape(c, emit_range(c, values, 0, num(c, 1), num(c, 1), 1), 0, NULL);
	c->out[0] = emit3(c, OpWhere, hit, on, off);
}

void import_eye_like(Call *c)
{
	const Type *x = &c->in[0]->type;
	DType dtype = x->dtype;
	int64_t k = onnx_int(c, "k", 0);
	if (x->rank != 2 || k < -DimMax || k > DimMax)
		fatal_at(c->loc, "an operand of rank %d and k = %lld", x->rank, (long long)k);
	if (has_attr(c, "dtype") && !onnx_dtype(onnx_int(c, "dtype", 0), &dtype))
		fatal_at(c->loc, "element type %s is not supported", onnx_dtype_text(onnx_int(c, "dtype", 0)));
	Value *i = emit_iota(c, I64, x->dims[0], num(c, k), num(c, 1));
	Value *hit = emit2(c, OpEq, emit_reshape(c, i, 2, (const Dim *[]){x->dims[0], num(c, 1)}),
	                   emit_iota(c, I64, x->dims[1], num(c, 0), num(c, 1)));
	c->out[0] = emit_cast(c, hit, dtype);
}

/* ---- normalisation over groups --------------------------------------------------------------------------------- */

/* norm over [n, groups, rest], then scale and bias of the channels */
static void norm_groups(Call *c, const Dim *groups)
{
	Value *x = c->in[0];
	int rank = x->type.rank;
	if (rank < 3)
		fatal_at(c->loc, "the operand has rank %d", rank);
	const Dim *numel = product(c->m, x->type.dims + 1, rank - 1);
	const Dim *flat[3] = {x->type.dims[0], groups, divide_dims(c, numel, groups)}, *channel[MaxRank];
	require_equal(c, dim_mul(c->m, groups, flat[2]), numel, "channels and groups");
	Value *v = emit_reshape(c, x, 3, flat);
	Attr attrs[2] = {mk_int(Attr_axis, 2), mk_float(Attr_eps, onnx_float(c, "epsilon", 1e-5))};
	v = emit_reshape(c, emit(c, OpNorm, 1, (Value *[]){v, NULL, NULL}, 2, attrs, NULL), rank, x->type.dims);
	for (int i = 0; i < rank; i++)
		channel[i] = i == 1 ? x->type.dims[1] : num(c, 1);
	v = emit2(c, OpMul, v, emit_reshape(c, c->in[1], rank, channel));
	c->out[0] = emit2(c, OpAdd, v, emit_reshape(c, c->in[2], rank, channel));
}

void import_instance_norm(Call *c)
{
	if (c->in[0]->type.rank < 3)
		fatal_at(c->loc, "the operand has rank %d", c->in[0]->type.rank);
	norm_groups(c, c->in[0]->type.dims[1]);
}

void import_group_norm(Call *c)
{
	int64_t groups = onnx_int(c, "num_groups", 0);
	if (groups < 1 || groups > DimMax)
		fatal_at(c->loc, "num_groups %lld is out of range", (long long)groups);
	norm_groups(c, num(c, groups));
}

void import_lp_norm(Call *c)
{
	Value *x = c->in[0];
	int64_t axes[1] = {norm_axis(c, onnx_int(c, "axis", -1), x->type.rank)}, p = onnx_int(c, "p", 2);
	Value *part = p == 1 ? emit1(c, OpAbs, x) : emit2(c, OpMul, x, x);
	Value *size = emit_reduce(c, OpSum, part, 1, axes, true), *zero = emit_const(c, x->type.dtype, 0);
	if (p != 1 && p != 2)
		fatal_at(c->loc, "attribute 'p' = %lld is not supported", (long long)p);
	size = p == 1 ? size : emit1(c, OpSqrt, size);
	Value *y = emit2(c, OpDiv, x, size);
	c->out[0] = emit3(c, OpWhere, emit2(c, OpEq, size, zero), zero, y);
}

/* ---- Fourier transform ----------------------------------------------------------------------------------------- */

/* cos or sin of 2 pi k n / N for n < N, k < bins, as [N, bins].  The product is reduced to (-N/2, N/2] before it
 * is scaled, which keeps the angle's rounding error small. */
static Value *wave(Call *c, Op op, const Dim *n, const Dim *bins, DType dtype)
{
	Module *m = c->m;
	const Dim *half = dim_floordiv(m, n, num(c, 2));
	Value *row = emit_reshape(c, emit_iota(c, I64, n, num(c, 0), num(c, 1)), 2, (const Dim *[]){n, num(c, 1)});
	Value *k = emit2(c, OpMul, row, emit_iota(c, I64, bins, num(c, 0), num(c, 1)));
	Value *size = emit_dims(c, 0, 1, &n), *shift = emit_dims(c, 0, 1, &half);
	k = emit2(c, OpSub, emit2(c, OpIMod, emit2(c, OpAdd, k, shift), size), shift);
	Value *angle = emit2(c, OpDiv, emit2(c, OpMul, emit_cast(c, k, dtype), emit_const(c, dtype, 2 * M_PI)),
	                     emit_cast(c, size, dtype));
	return emit1(c, op, angle);
}

/* One part of the complex pairs, [.., N], with the transformed axis last; a vector becomes a row. */
static Value *take_part(Call *c, Value *x, int axis, int part)
{
	int rank = x->type.rank - 1, perm[MaxRank];
	Value *v = emit_reshape(c, emit_range(c, x, rank, num(c, part), num(c, 1), 1), rank, x->type.dims);
	for (int i = 0; i < rank; i++)
		perm[i] = i == axis ? rank - 1 : i == rank - 1 ? axis : i;
	if (rank == 1)
		return emit_reshape(c, v, 2, (const Dim *[]){num(c, 1), x->type.dims[0]});
	return emit_transpose(c, v, perm);
}

typedef struct Dft {
	int axis; /* the one transformed */
	const Dim *n, *bins;
	bool complex, inverse;
} Dft;

static void read_dft(Call *c, Dft *d)
{
	const Type *x = &c->in[0]->type;
	const Dim *length;
	int64_t at = c->opset < 20 ? onnx_int(c, "axis", 1) : -2, parts;
	bool onesided = onnx_int(c, "onesided", 0);
	if (c->opset >= 20 && c->nin > 2 && c->in[2] && need_ints(c, 2, "axis", &at, 1) != 1)
		fatal_at(c->loc, "input 'axis' is not a scalar");
	d->axis = norm_axis(c, at, x->rank);
	bool pairs = x->rank > 1 && d->axis < x->rank - 1 && dim_is_const(x->dims[x->rank - 1], &parts);
	if (!pairs || parts < 1 || parts > 2)
		fatal_at(c->loc, "the last axis of %s does not hold real and imaginary parts", type_text(c->m, x));
	d->complex = parts == 2;
	d->inverse = onnx_int(c, "inverse", 0);
	d->n = d->bins = x->dims[d->axis];
	require_at_least(c, d->n, 1);
	if (c->nin > 1 && c->in[1] && (need_dims(c, 1, "dft_length", &length, 1) != 1 || length != d->n))
		fatal_at(c->loc, "not supported: a dft_length that is not the extent %s", dim_text(c->m, d->n));
	if (onesided && (d->inverse || d->complex))
		fatal_at(c->loc, "not supported: onesided with inverse or complex input");
	if (onesided)
		d->bins = dim_add(c->m, dim_floordiv(c->m, d->n, num(c, 2)), num(c, 1));
}

/* One part of the result with its axes back in place and an axis of extent 1 behind them. */
static Value *finish_part(Call *c, const Dft *d, Value *v)
{
	const Dim *dims[MaxRank];
	int rank = c->in[0]->type.rank - 1, perm[MaxRank];
	for (int i = 0; i < rank; i++)
		perm[i] = i == d->axis ? rank - 1 : i == rank - 1 ? d->axis : i;
	v = rank == 1 ? emit_reshape(c, v, 1, &d->bins) : emit_transpose(c, v, perm);
	if (d->inverse)
		v = emit2(c, OpDiv, v, emit_cast(c, emit_dims(c, 0, 1, &d->n), v->type.dtype));
	memcpy(dims, v->type.dims, rank * sizeof *dims);
	dims[rank] = num(c, 1);
	return emit_reshape(c, v, rank + 1, dims);
}

/* (re + i im) (cos - i sin), and + i sin for the inverse. */
void import_dft(Call *c)
{
	Dft d;
	read_dft(c, &d);
	Value *x = c->in[0], *out[2];
	DType dtype = x->type.dtype;
	Value *cosine = wave(c, OpCos, d.n, d.bins, dtype), *sine = wave(c, OpSin, d.n, d.bins, dtype);
	if (!d.inverse)
		sine = emit1(c, OpNeg, sine);
	Value *re = take_part(c, x, d.axis, 0);
	out[0] = emit2(c, OpMatMul, re, cosine);
	out[1] = emit2(c, OpMatMul, re, sine);
	if (d.complex) {
		Value *im = take_part(c, x, d.axis, 1);
		out[0] = emit2(c, OpSub, out[0], emit2(c, OpMatMul, im, sine));
		out[1] = emit2(c, OpAdd, out[1], emit2(c, OpMatMul, im, cosine));
	}
	out[0] = finish_part(c, &d, out[0]);
	out[1] = finish_part(c, &d, out[1]);
	Attr a = mk_int(Attr_axis, x->type.rank - 1);
	c->out[0] = emit(c, OpConcat, 2, out, 1, &a, NULL);
}
