/* scaled.c - weights of a linear that are dequantised: which integers, scales and zero points, so that panels need not hold f32.
 *
 *   w = view(mul(sub(cast q, zero), scale))
 *
 * is what DequantizeLinear, MatMulNBits and those who spell it by hand come to; operands broadcast, and blocks are an axis of their own,
 * [n, blocks, block], along which the scale is broadcast.  So where a scale steps along the axes that w's k and n run over says what the
 * block is.  All is constant, and the values are f32's: each element is (q - zero) * scale with one rounding of each operation.
 */
#include "lower.h"

#include <math.h>

/* Of the product's axes, the ones that one axis of w runs over, innermost last; none: from == to. */
typedef struct Run {
	int from, to;
} Run;

typedef struct Space { /* of the product: constant extents, and how its elements lie */
	int rank;
	int64_t extent[MaxRank], stride[MaxRank];
} Space;

/* An operand over that space. */
typedef struct Lines {
	Value *root;
	const Dim *base;
	int64_t stride[MaxRank]; /* 0: broadcast */
} Lines;

static bool space_of(const Type *t, Space *s)
{
	int64_t stride = 1;
	s->rank = t->rank;
	for (int d = t->rank - 1; d >= 0; d--) {
		if (!dim_is_const(t->dims[d], &s->extent[d]) || s->extent[d] < 1)
			return false;
		s->stride[d] = stride;
		stride *= s->extent[d];
	}
	return true;
}

/* `extent` steps of `stride` over the space: whole axes, but the outermost may have more. */
static bool find_run(const Space *s, int64_t extent, int64_t stride, Run *r)
{
	int64_t covered = 1;
	*r = (Run){0, 0};
	if (extent == 1)
		return true;
	for (int d = s->rank - 1; d >= 0 && covered < extent; d--) {
		if (s->extent[d] == 1)
			continue;
		if (r->to == 0 && s->stride[d] != stride)
			continue;
		if (r->to == 0)
			r->to = d + 1;
		r->from = d;
		covered *= s->extent[d];
	}
	return covered >= extent;
}

static bool lines_of(Module *m, Value *v, const Space *s, Lines *l)
{
	View w;
	const int shift = s->rank - v->type.rank;
	view_of(m, v, &w);
	*l = (Lines){.root = w.root, .base = w.base};
	for (int d = 0; d < v->type.rank; d++) {
		Factor f[MaxFactors];
		const int n = merge_factors(m, &w, d, d + 1, f);
		if (n > 1 || (n == 1 && !dim_is_const(f[0].stride, &l->stride[shift + d])))
			return false;
	}
	return true;
}

/* Along the run the operand changes every *block steps, by *step elements; one that never does: *block = `never`, *step = 0. */
static bool steps_along(const Space *s, const Lines *l, Run r, int64_t never, int64_t *block, int64_t *step)
{
	int d = r.to - 1, last = -1;
	*block = 1;
	*step = 0;
	for (; d >= r.from && l->stride[d] == 0; d--)
		*block *= s->extent[d];
	if (d < r.from || *block >= never) {
		*block = never;
		return true;
	}
	*step = l->stride[d];
	for (; d >= r.from; d--) {
		if (s->extent[d] == 1)
			continue;
		if (last >= 0 && l->stride[d] != l->stride[last] * s->extent[last])
			return false;
		last = d;
	}
	return true;
}

/* v, a movement over others, as one: what canon would make of it. */
static Value *as_one_view(Module *m, Node *before, Value *v)
{
	View w;
	view_of(m, v, &w);
	Value *one = w.root == v ? NULL : build_view(m, &w, &v->type, before, before->loc);
	return one ? one : v;
}

/* The operand as a matrix [blocks, n] of its elements as they are stored: [base + i * step + j * column].  Factors are floats. */
static Value *rows_of_blocks(Module *m, Node *before, const Lines *l, bool factors, const Dim *blocks, const Dim *n, int64_t step, int64_t column)
{
	Node *cast = l->root->def;
	Value *root = cast && cast->op == OpCast && is_const(cast->in[0]) && dtypes[cast->in[0]->type.dtype].bits < 32 ? cast->in[0] : l->root;
	const DType stored = root->type.dtype;
	if ((!is_weight_type(stored) && !is_half(stored)) || (factors && dtypes[stored].cls != ClassFloat))
		root = l->root;
	Type t = {.dtype = root->type.dtype, .rank = 2, .dims = {blocks, n}}, byte = t;
	Attr attrs[] = {mk_dim(Attr_base, l->base), mk_dims(m, Attr_strides_dim, 2, (const Dim *[]){dim_const(m, step), dim_const(m, column)})};
	Value *v = as_one_view(m, before, build(m, before->block, before, OpView, before->loc, 1, &root, 2, attrs, &t));
	byte.dtype = wide_type(t.dtype);
	return is_half(t.dtype) ? build(m, before->block, before, OpCast, before->loc, 1, &v, 0, NULL, &byte) : v;
}

static bool is_stored_integer(const Value *v)
{
	return is_const(v) && is_among(v->type.dtype, TypesInt) && dtypes[v->type.dtype].bytes == 1;
}

static bool is_whole(const Type *t, const Type *space)
{
	bool same = t->rank == space->rank;
	for (int d = 0; same && d < t->rank; d++)
		same = t->dims[d] == space->dims[d];
	return same;
}

/* The pieces of a product: scaled = whole - zero, or whole. */
static bool take_apart(const Type *space, Value *scaled, Value **whole, Value **zero)
{
	Node *n = scaled->def;
	const bool sub = n && n->op == OpSub;
	*whole = sub ? n->in[0] : scaled;
	*zero = sub ? n->in[1] : NULL;
	return is_whole(&scaled->type, space) && is_whole(&(*whole)->type, space);
}

/* What both make of a block of k: one has a row for each, the other as well or one for all. */
static bool join_blocks(int64_t k, int64_t *block, int64_t other)
{
	if (other != k && *block != k && other != *block)
		return false;
	*block = other < *block ? other : *block;
	return *block == k || *block % PanelWidth == 0 || (*block >= 8 && PanelWidth % *block == 0);
}

typedef struct Place { /* of w's axes in the product */
	Space space;
	Run k, n;
	int64_t depth, columns;
} Place;

static bool place_of_axes(Module *m, const Type *t, const View *w, Place *p)
{
	Factor f[MaxFactors];
	int64_t stride[2] = {0, 0};
	if (!dim_equals(w->base, 0) || !dim_is_const(t->dims[0], &p->depth) || !dim_is_const(t->dims[1], &p->columns) || p->depth < 1 || p->columns < 1)
		return false;
	for (int d = 0; d < 2; d++) {
		const int n = merge_factors(m, w, d, d + 1, f);
		if (n > 1 || (n == 1 && (!dim_is_const(f[0].stride, &stride[d]) || stride[d] < 1)))
			return false;
	}
	return space_of(&w->root->type, &p->space) && find_run(&p->space, p->depth, stride[0], &p->k) && find_run(&p->space, p->columns, stride[1], &p->n) &&
	       (p->k.from >= p->n.to || p->n.from >= p->k.to);
}

/* Fills in all of *s but the elements: `factor` is the scale in the product, zero may be NULL. */
static bool find_scales(Module *m, Node *before, const Place *p, const Type *w, Value *factor, Value *zero, bool uniform, Scaled *s)
{
	Lines scale, point;
	int64_t blocks[2] = {p->depth, p->depth}, step[2] = {0}, across[2], column[2] = {0};
	if (!lines_of(m, factor, &p->space, &scale) || !steps_along(&p->space, &scale, p->k, p->depth, &blocks[0], &step[0]) ||
	    !steps_along(&p->space, &scale, p->n, p->columns, &across[0], &column[0]))
		return false;
	if (!uniform && (!lines_of(m, zero, &p->space, &point) || !steps_along(&p->space, &point, p->k, p->depth, &blocks[1], &step[1]) ||
	                 !steps_along(&p->space, &point, p->n, p->columns, &across[1], &column[1])))
		return false;
	for (int i = 0; i < 2 - uniform; i++)
		if (across[i] != 1 && across[i] != p->columns)
			return false;
	s->block = blocks[0];
	if (!join_blocks(p->depth, &s->block, blocks[1]))
		return false;
	const Dim *rows = dim_ceildiv(m, w->dims[0], dim_const(m, s->block));
	s->scale = rows_of_blocks(m, before, &scale, true, rows, w->dims[1], step[0], column[0]);
	s->zero = uniform ? NULL : rows_of_blocks(m, before, &point, false, rows, w->dims[1], step[1], column[1]);
	return true;
}

/* Is it one number for all, which *z takes: an integer, and not too large for an offset? */
static bool is_offset(Value *zero, int64_t *z)
{
	enum { MostOffset = 1 << 15 };
	double x;
	if (!uniform_value(zero, &x) || !(fabs(x) <= MostOffset) || x != floor(x))
		return false;
	*z = (int64_t)x;
	return true;
}

static bool scaled_matrix(Module *m, Node *before, Value *w, Scaled *s)
{
	View view, of_elements;
	Place p;

	*s = (Scaled){0};
	if (w->type.rank != 2 || w->type.dtype != F32 || !is_const(w))
		return false;
	view_of(m, w, &view);
	Node *product = view.root->def;
	if (!product || product->op != OpMul || !place_of_axes(m, &w->type, &view, &p))
		return false;
	for (int i = 0; i < 2; i++) {
		Value *whole, *zero, *q;
		int64_t z = 0;
		if (!take_apart(&view.root->type, product->in[i], &whole, &zero) || !(q = before_cast(m, before, whole, is_stored_integer)))
			continue;
		const bool uniform = !zero || is_offset(zero, &z);
		if (!find_scales(m, before, &p, &w->type, product->in[1 - i], zero, uniform, s))
			return false;
		s->offset = z - (is_half(q->type.dtype) ? lowest_scalar(q->type.dtype).i : 0);
		of_elements = view;
		of_elements.root = q;
		Type t = w->type;
		t.dtype = q->type.dtype;
		s->elements = build_view(m, &of_elements, &t, before, before->loc);
		if (s->elements)
			s->elements = as_one_view(m, before, s->elements);
		return s->elements != NULL;
	}
	return false;
}

static bool stored_alike(const Scaled *a, const Scaled *b)
{
	return a->elements->type.dtype == b->elements->type.dtype && a->scale->type.dtype == b->scale->type.dtype && a->block == b->block &&
	       a->offset == b->offset && !a->zero == !b->zero && (!a->zero || a->zero->type.dtype == b->zero->type.dtype);
}

/* Matrices side by side, as those of a gate and of what it lets through. */
static bool scaled_concat(Module *m, Node *before, const Node *concat, Scaled *s)
{
	enum { Most = 16, Operands = 3 };
	Scaled part[Most];
	Value *in[Operands][Most];
	if (concat->nin > Most)
		return false;
	for (int i = 0; i < concat->nin; i++) {
		if (!scaled_matrix(m, before, concat->in[i], &part[i]) || !stored_alike(&part[0], &part[i]))
			return false;
		in[0][i] = part[i].elements;
		in[1][i] = part[i].scale;
		in[2][i] = part[i].zero;
	}
	*s = part[0];
	Value **out[Operands] = {&s->elements, &s->scale, &s->zero};
	Attr axis = mk_int(Attr_axis, 1);
	for (int i = 0; i < Operands; i++)
		if (*out[i])
			*out[i] = build(m, before->block, before, OpConcat, before->loc, concat->nin, in[i], 1, &axis, NULL);
	return true;
}

bool scaled_weights(Module *m, Node *before, Value *w, Scaled *s)
{
	const Node *n = w->def;
	if (w->type.rank == 2 && n && n->op == OpConcat && attr_int(n, Attr_axis) == 1 && !attr_int(n, Attr_state))
		return scaled_concat(m, before, n, s);
	return scaled_matrix(m, before, w, s);
}
