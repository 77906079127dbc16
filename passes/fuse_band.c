/* fuse_band.c - products by a constant square matrix that is one number but for a band around its diagonal: AFT with local biases, whose
 * exponentials are 1 outside, averages of neighbours.
 *
 * Rows go by blocks.  A block meets the keys of its own block and of those that the band reaches, by a product; of all the others the sum is
 * the same for each of its rows, and grows by a block from one to the next.  So it takes the time of the band, not of the square.  Nothing
 * is subtracted: sums over all keys plus a band of (a - c) would lose all digits where one key outweighs the others.
 *
 *   y[i] = sum of a[i][j] x[j], j in the blocks around i  +  sum of c x[j], j in front of them  +  sum of c x[j], j behind them
 */
#include "idioms.h"

#include <math.h>

enum {
	BlockRows = 32, /* of registers' tiles two or three; keys of a block are packed for each block that meets them */
	Samples = 1024,
	MostBand = 1 << 27, /* elements: larger matrices are not looked through */
	MostSteps = 64, /* nodes that it is computed from */
	Gain = 2 /* so many times fewer keys must be met, at the largest size */
};

/* What stands in a constant [.., n, n]. */
typedef struct Band {
	const Value *a;
	bool found;
	float rest; /* what stands outside */
	int64_t before, behind; /* blocks that the band reaches on either side */
} Band;

/* A product by the part of it that has so many rows, from its corner on. */
typedef struct Square {
	Value *a;
	const Dim *rows;
	int64_t n, most; /* rows of a, and at most of the part */
} Square;

/* Is one number most of what is stored of this matrix or of what it is computed from, or are places of elements compared?  A guess. */
static bool may_be_band(const Value *v, int64_t size, int *steps)
{
	const Node *n = v->def;
	bool stored = false;

	if (v->konst) {
		int64_t same = 0;
		double last = NAN, x;
		for (int i = 0; i < Samples && v->konst->data; i++, last = x)
			same += sample_of(v->konst, i, &x) && x == last;
		return 2 * same >= Samples;
	}
	if (!n || --*steps < 0)
		return false;
	for (int i = 0; i < n->nin; i++) {
		if (!n->in[i] || const_numel(&n->in[i]->type) < size)
			continue;
		if (may_be_band(n->in[i], size, steps))
			return true;
		stored = true;
	}
	return !stored;
}

/* How far the band reaches: elements of t that are not its upper right one. */
static void find_band(const Tensor *t, int64_t n, Band *b)
{
	const float *a = t->data;
	const int64_t all = tensor_numel(t);
	int64_t before = 0, behind = 0;

	b->rest = a[n - 1];
	b->found = true;
	for (int64_t at = 0; at < all && b->found; at++) {
		const int64_t i = at / n % n, j = at % n;
		b->found = isfinite(a[at]); /* it would meet the zeros around x */
		if (a[at] != b->rest) {
			before = i - j > before ? i - j : before;
			behind = j - i > behind ? j - i : behind;
		}
	}
	b->before = (before + BlockRows - 1) / BlockRows;
	b->behind = (behind + BlockRows - 1) / BlockRows;
}

static bool is_of(const void *item, const void *a)
{
	return ((const Band *)item)->a == a;
}

/* Computed once for each matrix, whose products may be many. */
static const Band *band_of(Module *m, const Square *s, Table *bands)
{
	const uint64_t hash = table_hash(&s->a, sizeof s->a, 0);
	Band *b = table_find(bands, hash, is_of, s->a);
	const int64_t all = const_numel(&s->a->type);
	int steps = MostSteps;
	Tensor t;

	if (b)
		return b;
	b = arena_alloc(m->arena, sizeof *b);
	*b = (Band){.a = s->a};
	/* Where it cannot be computed, whoever writes it will say why. */
	if (all != 0 && all <= MostBand && may_be_band(s->a, s->n * s->n, &steps) && !look_at_const(m, s->a, &t)) {
		find_band(&t, s->n, b);
		free_tensor(&t);
	}
	table_add(m->arena, bands, hash, b);
	return b;
}

/* Is v all of a constant [.., n, n], or [.., rows, rows] of it from the corner on? */
static bool see_square(Module *m, Value *v, Square *s)
{
	View w, whole;
	const int rank = v->type.rank;
	int64_t least;

	view_of(m, v, &w);
	s->a = w.root;
	if (rank < 2 || !is_const(s->a) || s->a->type.rank != rank || !dim_equals(w.base, 0))
		return false;
	const Type *t = &s->a->type;
	s->rows = v->type.dims[rank - 1];
	if (s->rows != v->type.dims[rank - 2] || t->dims[rank - 1] != t->dims[rank - 2] || !dim_is_const(t->dims[rank - 1], &s->n))
		return false;
	dim_range(s->rows, &least, &s->most);
	s->most = s->most < s->n ? s->most : s->n;
	view_identity(m, s->a, &whole);
	for (int d = 0; d < rank; d++) {
		const Factor *f = &w.f[w.first[d]], *g = &whole.f[whole.first[d]];
		const int count = whole.first[d + 1] - whole.first[d];
		if (w.first[d + 1] - w.first[d] != count)
			return false;
		for (int i = 0; i < count; i++)
			if (f[i].stride != g[i].stride || (d < rank - 2 && f[i].extent != g[i].extent))
				return false;
	}
	return true;
}

static Value *padded(Module *m, Node *at, Value *x, const Dim *const *pads)
{
	const Attr attr = mk_dims(m, Attr_pads_dim, 2 * x->type.rank, pads);
	return build(m, at->block, at, OpPad, at->loc, 1, &x, 1, &attr, NULL);
}

static Value *binary(Module *m, Node *at, Op op, Value *a, Value *b)
{
	return build(m, at->block, at, op, at->loc, 2, (Value *[]){a, b}, 0, NULL, NULL);
}

/* 0, 1, .. along axis `axis` of two. */
static Value *counted(Module *m, Node *at, int64_t n, int axis)
{
	Type line = {.dtype = I32, .rank = 1, .dims = {dim_const(m, n)}}, column = {.dtype = I32, .rank = 2, .dims = {line.dims[0], dim_const(m, 1)}};
	Value *v = build(m, at->block, at, OpIota, at->loc, 0, NULL, 0, NULL, &line);
	return axis == 1 ? v : build(m, at->block, at, OpReshape, at->loc, 1, &v, 0, NULL, &column);
}

/* The blocks of a: [.., blocks, BlockRows, keys], zeros where the keys are none; cut to as many as x has.  NULL: the numbers
 * of keys would be so many that only the run may make them. */
static Value *blocks_of_band(Module *m, Node *at, const Square *s, const Band *b, const Dim *blocks)
{
	const int rank = s->a->type.rank;
	const int64_t all = (s->n + BlockRows - 1) / BlockRows, rows = all * BlockRows, keys = (b->before + 1 + b->behind) * BlockRows;
	const Dim *pads[2 * MaxRank];
	Type t = s->a->type;

	for (int d = 0; d < rank; d++)
		pads[d] = pads[rank + d] = dim_const(m, 0);
	pads[rank - 1] = dim_const(m, b->before * BlockRows);
	pads[2 * rank - 2] = dim_const(m, rows - s->n);
	pads[2 * rank - 1] = dim_const(m, rows - s->n + b->behind * BlockRows);
	Value *a = padded(m, at, s->a, pads), *block = const_scalar(m, scalar_of_int(I32, BlockRows))->value;
	Value *first = binary(m, at, OpMul, binary(m, at, OpIDiv, counted(m, at, rows, 0), block), block);
	Value *index = binary(m, at, OpAdd, first, counted(m, at, keys, 1));
	t.dtype = I32;
	t.dims[rank - 2] = dim_const(m, rows);
	t.dims[rank - 1] = dim_const(m, keys);
	if (rank > 2)
		index = build(m, at->block, at, OpExpand, at->loc, 1, &index, 0, NULL, &t);
	const Attr axis = mk_int(Attr_axis, rank - 1);
	a = build(m, at->block, at, OpGatherElem, at->loc, 2, (Value *[]){a, index}, 1, &axis, NULL);
	t = (Type){.dtype = F32, .rank = rank + 1};
	for (int d = 0; d < rank - 2; d++)
		t.dims[d] = s->a->type.dims[d];
	t.dims[rank - 2] = dim_const(m, all);
	t.dims[rank - 1] = dim_const(m, BlockRows);
	t.dims[rank] = dim_const(m, keys);
	a = build(m, at->block, at, OpReshape, at->loc, 1, &a, 0, NULL, &t);
	if (!is_const(a))
		return NULL;
	View w;
	view_identity(m, a, &w);
	w.f[w.first[rank - 2]].extent = t.dims[rank - 2] = blocks;
	return build_view(m, &w, &t, at, at->loc);
}

/* The sums of the blocks of `sums` [.., before + blocks + behind, 1, d] in front of the keys that a block meets, or behind them. */
static Value *sums_beside(Module *m, Node *at, Value *sums, bool behind, int64_t skipped, const Dim *blocks)
{
	const int axis = sums->type.rank - 3;
	const Attr attrs[] = {mk_int(Attr_axis, axis), mk_int(Attr_exclusive, 1), mk_int(Attr_reverse, behind)};
	Value *v = build(m, at->block, at, OpCumSum, at->loc, 1, &sums, 3, attrs, NULL);
	const Dim *starts[MaxRank];
	Type t = v->type;

	t.dims[axis] = blocks;
	for (int d = 0; d < t.rank; d++)
		starts[d] = dim_const(m, d == axis && behind ? skipped : 0);
	const Attr attr = mk_dims(m, Attr_starts, t.rank, starts);
	return build(m, at->block, at, OpSlice, at->loc, 1, &v, 1, &attr, &t);
}

/* x [.., rows, d] by blocks, those in front and behind that are met too: [.., before + blocks + behind, BlockRows, d]. */
static Value *blocks_of_rows(Module *m, Node *at, const Square *s, const Band *b, Value *x, const Dim *blocks)
{
	const int rank = x->type.rank;
	const Dim *pads[2 * MaxRank];
	Type t = x->type;

	for (int i = 0; i < 2 * rank; i++)
		pads[i] = dim_const(m, 0);
	pads[rank - 2] = dim_const(m, b->before * BlockRows);
	pads[2 * rank - 2] = dim_add(m, dim_sub(m, dim_mul_const(m, blocks, BlockRows), s->rows), dim_const(m, b->behind * BlockRows));
	x = padded(m, at, x, pads);
	t.rank++;
	t.dims[rank - 2] = dim_add(m, blocks, dim_const(m, b->before + b->behind));
	t.dims[rank - 1] = dim_const(m, BlockRows);
	t.dims[rank] = x->type.dims[rank - 1];
	return build(m, at->block, at, OpReshape, at->loc, 1, &x, 0, NULL, &t);
}

/* Of these blocks those that each block meets: [.., blocks, keys, d]. */
static Value *met_blocks(Module *m, Node *at, const Band *b, Value *x, const Dim *blocks)
{
	const int rank = x->type.rank, axis = rank - 3;
	Type t = x->type;
	View w;

	view_identity(m, x, &w);
	w.f[w.first[axis]].extent = t.dims[axis] = blocks;
	w.f[w.first[axis + 1]].extent = t.dims[axis + 1] = dim_const(m, (b->before + 1 + b->behind) * BlockRows);
	return build_view(m, &w, &t, at, at->loc);
}

bool fuse_band(Module *m, Node *n, Table *bands)
{
	Square s;

	if (n->op != OpMatMul || n->out[0]->type.dtype != F32 || attr_int(n, Attr_trans_a) || attr_int(n, Attr_trans_b) || n->in[1]->type.rank < 2 ||
	    n->out[0]->type.rank == MaxRank || !see_square(m, n->in[0], &s) || s.most < Gain * BlockRows)
		return false;
	const Band *b = band_of(m, &s, bands);
	if (!b->found || Gain * (b->before + 1 + b->behind) * BlockRows > s.most)
		return false;
	const Dim *blocks = dim_ceildiv(m, s.rows, dim_const(m, BlockRows));
	Value *a = blocks_of_band(m, n, &s, b, blocks);
	if (!a)
		report_miss("band", n->loc, "its blocks are too many");
	if (!a || !allow("band"))
		return false;
	Value *x = blocks_of_rows(m, n, &s, b, n->in[1], blocks), *y = binary(m, n, OpMatMul, a, met_blocks(m, n, b, x, blocks));
	if (b->rest != 0) {
		const int64_t axis = x->type.rank - 2;
		const Attr attrs[] = {mk_ints(m, Attr_axes, 1, &axis), mk_int(Attr_keepdims, 1)};
		/* Products first: c may be small, and x so large that its sums are no numbers. */
		Value *cx = b->rest == 1 ? x : binary(m, n, OpMul, x, const_scalar(m, scalar_of_real(F32, b->rest))->value);
		Value *sums = build(m, n->block, n, OpSum, n->loc, 1, &cx, 2, attrs, NULL);
		Value *front = sums_beside(m, n, sums, false, 0, blocks), *behind = sums_beside(m, n, sums, true, b->before + b->behind, blocks);
		y = binary(m, n, OpAdd, y, binary(m, n, OpAdd, front, behind));
	}
	report_match("band", n->loc);
	Type whole = n->out[0]->type;
	whole.dims[whole.rank - 2] = dim_mul_const(m, blocks, BlockRows);
	y = build(m, n->block, n, OpReshape, n->loc, 1, &y, 0, NULL, &whole);
	const Dim *starts[MaxRank];
	for (int d = 0; d < whole.rank; d++)
		starts[d] = dim_const(m, 0);
	const Attr attr = mk_dims(m, Attr_starts, whole.rank, starts);
	replace_uses(m, n->out[0], build(m, n->block, n, OpSlice, n->loc, 1, &y, 1, &attr, &n->out[0]->type));
	return true;
}
