/* lower_matmul.c - products of two activations: f32 by register tiles, any other element type where the operands lie; so is one row or
 * column that meets a matrix of its own, which would be packed for a single use. */
#include "lower.h"

static Access transposed(const Access *a, bool swap)
{
	Access r = *a;
	int x = a->rank - 2, y = a->rank - 1;

	if (swap) {
		r.stride[x] = a->stride[y];
		r.stride[y] = a->stride[x];
		r.extent[x] = a->extent[y];
		r.extent[y] = a->extent[x];
	}
	return r;
}

/* A vector counts as one row (a) or one column (b). */
static Access as_matrix(Module *m, const Access *a, bool column)
{
	Access r = *a;
	if (a->rank >= 2)
		return r;
	r.rank = 2;
	int axis = column ? 0 : 1;
	r.stride[axis] = a->stride[0];
	r.extent[axis] = a->extent[0];
	r.stride[1 - axis] = dim_const(m, 0);
	r.extent[1 - axis] = dim_const(m, 1);
	return r;
}

typedef struct Products {
	Access a, b;
	LExpr *a_at, *b_at, *y_at; /* of a row of a and of the result, and of the matrix b */
	LBuf *y;
	LTile *sum;
} Products;

static void emit_products(void *ctx, Kernel *k, LExpr *col, LExpr *mask)
{
	Products *p = ctx;
	LB *b = &k->b;
	int inner = p->a.rank - 1;
	const LType vec = p->sum->type;
	LExpr *zero = li(b, 0), *at = llet(b, ladd(b, p->b_at, lmul(b, col, kdim(k, p->b.stride[inner]))));

	lset_tile(b, p->sum, zero, zero, lconst(b, vec, 0));
	LExpr *i = lfor(b, ForSerial, zero, kdim(k, p->a.extent[inner]), NULL);
	LExpr *x = lload(b, p->a.buf, 1, ladd(b, p->a_at, lmul(b, i, kdim(k, p->a.stride[inner]))), NULL, NULL);
	LExpr *row = load_lanes(k, &p->b, ladd(b, at, lmul(b, i, kdim(k, p->b.stride[inner - 1]))), p->b.stride[inner], mask);
	LExpr *term = lmul(b, lcast(b, LSplat, vec, x), row);
	lset_tile(b, p->sum, zero, zero, ladd(b, lelem(b, p->sum, zero, zero), term));
	lend(b);
	lstore(b, p->y, ladd(b, p->y_at, col), NULL, mask, lelem(b, p->sum, zero, zero));
}

/* Any element type, 16 columns at a time where the operands lie: models multiply masks and counts so, not large matrices. */
static void lower_plain_matmul(Lower *l, Node *n, Value *home)
{
	Module *m = l->m;
	Kernel k = open_kernel(l, "plain_matmul", false);
	LB *b = &k.b;
	const Type *t = &n->out[0]->type;
	Access x = kaccess(&k, n->in[0]), w = kaccess(&k, n->in[1]);
	int batch_axes = t->rank - (x.rank > 1) - (w.rank > 1), rank = batch_axes + 2;
	const Dim *extent[MaxRank], *rows = dim_const(m, 1);
	LExpr *idx[MaxRank] = {0};

	x = as_matrix(m, &x, false);
	x = transposed(&x, attr_int(n, Attr_trans_a));
	w = as_matrix(m, &w, true);
	w = transposed(&w, attr_int(n, Attr_trans_b));
	Products p = {.a = broadcast_access(m, &x, rank), .b = broadcast_access(m, &w, rank), .y = kbuf(&k, home, true)};
	for (int d = 0; d <= batch_axes; d++) {
		extent[d] = d < batch_axes ? t->dims[d] : p.a.extent[d];
		rows = dim_mul(m, rows, extent[d]);
	}
	LExpr *row = lfor(b, ForParallel, li(b, 0), kdim(&k, times_of_elements(m, rows, p.b.extent[rank - 1])), NULL);
	split_index(&k, row, extent, batch_axes + 1, idx);
	p.a_at = llet(b, offset_of(&k, &p.a, idx));
	idx[batch_axes] = NULL;
	p.b_at = llet(b, offset_of(&k, &p.b, idx));
	p.y_at = llet(b, lmul(b, row, kdim(&k, p.b.extent[rank - 1])));
	p.sum = lnew_tile(b, "sum", (LType){t->dtype, Lanes}, 1, 1);
	for_lanes(&k, p.b.extent[rank - 1], emit_products, &p);
	lend(b);
	kflop(&k, dim_mul_const(m, dim_mul(m, type_numel(m, t), p.a.extent[rank - 1]), 2));
	k.b.fn->loc = n->loc;
	kcall(&k);
}

/* ---- a row by a matrix of its own -------------------------------------------------------------------------------------------------- */

enum { SomeVectors = 4, ManyVectors = 8 /* of columns, whose sums are in registers; the more, the more of a line of w is read at once */ };

typedef struct RowMatrix {
	Kernel *k;
	Access x, w; /* x: batch.., 1, steps; w: batch.., steps, columns */
	LExpr *x_at, *w_at, *y_at, *steps, *columns;
	LBuf *y;
	LTile *sums;
	int vectors; /* at once, at most */
} RowMatrix;

static LExpr *step_of_row(const RowMatrix *r, LExpr *step)
{
	LB *b = &r->k->b;
	LExpr *x = lload(b, r->x.buf, 1, ladd(b, r->x_at, lmul(b, step, kdim(r->k, r->x.stride[r->x.rank - 1]))), NULL, NULL);
	return llet(b, lcast(b, LSplat, (LType){F32, Lanes}, x));
}

static void add_step(const RowMatrix *r, int vector, LExpr *x, LExpr *w)
{
	LB *b = &r->k->b;
	LExpr *i = li(b, vector), *zero = li(b, 0);
	lset_tile(b, r->sums, i, zero, lfma(b, x, w, lelem(b, r->sums, i, zero)));
}

/* Steps from .. to of `vectors` vectors of columns from `col` on; mask: of the columns of the only one, NULL: all. */
static void add_steps(const RowMatrix *r, LExpr *from, LExpr *to, LExpr *col, int vectors, LExpr *mask)
{
	Kernel *k = r->k;
	LB *b = &k->b;
	const Dim *apart = r->w.stride[r->w.rank - 1];
	LExpr *step = lfor(b, ForSerial, from, to, NULL), *x = step_of_row(r, step);
	LExpr *stride = kdim(k, r->w.stride[r->w.rank - 2]), *row = llet(b, ladd(b, r->w_at, lmul(b, step, stride)));

	for (int v = 0; v < vectors; v++) {
		LExpr *at = ladd(b, row, lmul(b, ladd(b, col, li(b, v * Lanes)), kdim(k, apart)));
		if (vectors > 1)
			lprefetch(b, r->w.buf, ladd(b, at, lmul(b, stride, li(b, StepsAhead))));
		add_step(r, v, x, load_lanes(k, &r->w, at, apart, mask));
	}
	lend(b);
}

/* The same of one vector of columns whose steps lie side by side, as far as there are whole vectors of steps; returns how far. */
static LExpr *add_turned_steps(const RowMatrix *r, LExpr *col)
{
	Kernel *k = r->k;
	LB *b = &k->b;
	LExpr *whole = llet(b, lsub(b, r->steps, lop(b, LMod, r->steps, li(b, Lanes), NULL))), *rows[Lanes];
	LExpr *apart = kdim(k, r->w.stride[r->w.rank - 1]), *first = llet(b, ladd(b, r->w_at, lmul(b, col, apart)));
	LExpr *ahead = llet(b, lop(b, LPMax, lmul(b, apart, li(b, Lanes)), li(b, BytesAhead / dtypes[F32].bytes), NULL));

	LExpr *step = lfor(b, ForSerial, li(b, 0), whole, li(b, Lanes));
	for (int i = 0; i < Lanes; i++) {
		LExpr *inside = lcast(b, LSplat, (LType){Bool, Lanes}, llt(b, ladd(b, col, li(b, i)), r->columns));
		LExpr *at = llet(b, ladd(b, first, ladd(b, step, lmul(b, li(b, i), apart))));
		lprefetch(b, r->w.buf, ladd(b, at, ahead));
		rows[i] = llet(b, lload(b, r->w.buf, Lanes, at, NULL, inside));
	}
	transpose_lanes(b, rows);
	for (int i = 0; i < Lanes; i++)
		add_step(r, 0, step_of_row(r, ladd(b, step, li(b, i))), rows[i]);
	lend(b);
	return whole;
}

static void clear_sums(const RowMatrix *r, int vectors)
{
	LB *b = &r->k->b;
	for (int v = 0; v < vectors; v++)
		lset_tile(b, r->sums, li(b, v), li(b, 0), lconst(b, (LType){F32, Lanes}, 0));
}

static void store_sums(const RowMatrix *r, LExpr *col, int vectors, LExpr *mask)
{
	LB *b = &r->k->b;
	for (int v = 0; v < vectors; v++)
		lstore(b, r->y, ladd(b, r->y_at, ladd(b, col, li(b, v * Lanes))), NULL, mask, lelem(b, r->sums, li(b, v), li(b, 0)));
}

static void sum_columns(const RowMatrix *r, LExpr *col, int vectors, LExpr *mask)
{
	clear_sums(r, vectors);
	add_steps(r, li(&r->k->b, 0), r->steps, col, vectors, mask);
	store_sums(r, col, vectors, mask);
}

/* Columns col .. end - 1, at most r->vectors vectors of them. */
static void emit_columns_of_row(const RowMatrix *r, LExpr *col, LExpr *end)
{
	Kernel *k = r->k;
	LB *b = &k->b;
	const Dim *const *stride = r->w.stride + r->w.rank - 2;
	const bool turned = dim_equals(stride[0], 1) && !dim_equals(stride[1], 1), many = !turned && r->vectors > SomeVectors;
	LExpr *lanes = li(b, Lanes), *some = li(b, SomeVectors * Lanes), *rest = col;

	if (many) {
		lif(b, lop(b, LEq, lsub(b, end, col), li(b, r->vectors * Lanes), NULL));
		sum_columns(r, col, r->vectors, NULL);
		lelse(b);
	}
	if (!turned) {
		rest = llet(b, ladd(b, col, lmul(b, lop(b, LFloorDiv, lsub(b, end, col), some, NULL), some)));
		LExpr *j = lfor(b, ForSerial, col, rest, some);
		sum_columns(r, j, SomeVectors, NULL);
		lend(b);
	}
	LExpr *j = lfor(b, ForSerial, rest, end, lanes), *mask = lane_mask(k, lsub(b, end, j));
	if (turned) {
		clear_sums(r, 1);
		add_steps(r, add_turned_steps(r, j), r->steps, j, 1, mask);
		store_sums(r, j, 1, mask);
	} else {
		sum_columns(r, j, 1, mask);
	}
	lend(b);
	if (many)
		lend(b);
}

/* As AVX2 has registers for, or narrow matrices have columns: SomeVectors. */
static int vectors_of_row(const Lower *l, const Dim *width)
{
	int64_t n;
	return l->t->need & DCC_CPU_AVX512 && !(dim_is_const(width, &n) && n < ManyVectors * Lanes) ? ManyVectors : SomeVectors;
}

/* x: the row, w: the matrix, both with the batch axes of t, the result's type, in front.  runs: 1, or 0 where x has no row or
 * more than one. */
static void lower_row(Lower *l, Node *n, Value *home, bool column, const Dim *runs)
{
	Module *m = l->m;
	Kernel k = open_kernel(l, "matmul_row", true);
	LB *b = &k.b;
	const Type *t = &n->out[0]->type;
	Access x = kaccess(&k, n->in[0]), w = kaccess(&k, n->in[1]);
	const int batch = t->rank - (x.rank > 1) - (w.rank > 1), rank = batch + 2;
	LExpr *idx[MaxRank] = {0}, *zero = li(b, 0);

	x = as_matrix(m, &x, false);
	x = transposed(&x, attr_int(n, Attr_trans_a));
	w = as_matrix(m, &w, true);
	w = transposed(&w, attr_int(n, Attr_trans_b));
	if (column) {
		Access matrix = transposed(&x, true);
		x = transposed(&w, true);
		w = matrix;
	}
	RowMatrix r = {.k = &k, .x = broadcast_access(m, &x, rank), .w = broadcast_access(m, &w, rank), .y = kbuf(&k, home, true)};
	for (int d = 0; d < batch; d++) {
		if (dim_equals(r.x.extent[d], 1))
			r.x.stride[d] = dim_const(m, 0);
		if (dim_equals(r.w.extent[d], 1))
			r.w.stride[d] = dim_const(m, 0);
	}
	const Dim *width = r.w.extent[rank - 1], *batches = dim_mul(m, dims_product(m, t->dims, batch), runs);
	r.steps = kdim(&k, r.w.extent[rank - 2]);
	r.columns = kdim(&k, width);
	r.vectors = vectors_of_row(l, width);
	r.sums = lnew_tile(b, "sums", (LType){F32, Lanes}, r.vectors, 1);
	LExpr *wide = li(b, r.vectors * Lanes);
	const Dim *runs_of_columns = dim_ceildiv(m, width, dim_const(m, r.vectors * Lanes));
	LExpr *parts = kdim(&k, runs_of_columns), *task = lfor(b, ForParallel, zero, kdim(&k, dim_mul(m, batches, runs_of_columns)), NULL);
	LExpr *at = llet(b, lop(b, LFloorDiv, task, parts, NULL)), *col = llet(b, lmul(b, lsub(b, task, lmul(b, at, parts)), wide));
	split_index(&k, at, t->dims, batch, idx);
	r.x_at = llet(b, offset_of(&k, &r.x, idx));
	r.w_at = llet(b, offset_of(&k, &r.w, idx));
	r.y_at = llet(b, lmul(b, at, r.columns));
	emit_columns_of_row(&r, col, llet(b, lop(b, LPMin, ladd(b, col, wide), r.columns, NULL)));
	lend(b);
	kflop(&k, dim_mul_const(m, dim_mul(m, type_numel(m, t), r.w.extent[rank - 2]), 2));
	k.runs = runs;
	k.b.fn->loc = n->loc;
	kcall(&k);
}

/* Has each row of x a matrix of its own, operand i? */
static bool has_own_matrices(const Node *n, int i)
{
	const Type *y = &n->out[0]->type, *w = &n->in[i]->type;
	const int batch = y->rank - (n->in[0]->type.rank > 1) - (n->in[1]->type.rank > 1);

	if (w->rank != batch + 2)
		return false;
	for (int d = 0; d < batch; d++)
		if (w->dims[d] != y->dims[d])
			return false;
	return true;
}

/* The rows of operand 0, or the columns of operand 1. */
static const Dim *outer_extent(Module *m, const Node *n, int i)
{
	const Type *t = &n->in[i]->type;
	const bool swap = attr_int(n, i ? Attr_trans_b : Attr_trans_a);
	return t->rank == 1 ? dim_const(m, 1) : t->dims[t->rank - 1 - (i == swap)];
}

/* out[batch, M, N]: the right operand is packed into panels by a first kernel, the left tile by tile inside the second. */
static void lower_tiles(Lower *l, Node *n, Value *home)
{
	Module *m = l->m;
	Kernel pk = open_kernel(l, "panels", false);
	Access b0 = kaccess(&pk, n->in[1]);
	b0 = as_matrix(m, &b0, true);
	b0 = transposed(&b0, attr_int(n, Attr_trans_b));
	int rb = b0.rank;
	const Dim *depth = b0.extent[rb - 2], *width = b0.extent[rb - 1], *one = dim_const(m, 1), *own = one;
	const Dim *panels = dim_ceildiv(m, width, dim_const(m, PanelWidth)), *panel_size = dim_mul_const(m, depth, PanelWidth);
	for (int d = 0; d < rb - 2; d++)
		own = dim_mul(m, own, b0.extent[d]);
	Slot *packed = temp_slot(l, dim_mul(m, own, dim_mul(m, panels, panel_size)));
	pack_panels(&pk, &b0, kslot(&pk, packed, true));
	kcall(&pk);

	Kernel k = open_kernel(l, "matmul", true);
	LB *b = &k.b;
	Access a = kaccess(&k, n->in[0]);
	a = as_matrix(m, &a, false);
	a = transposed(&a, attr_int(n, Attr_trans_a));
	const Type *t = &n->out[0]->type;
	bool row_vector = n->in[0]->type.rank == 1, col_vector = n->in[1]->type.rank == 1;
	int batch_axes = t->rank - !row_vector - !col_vector;
	const Dim *batch = one, *rows = a.extent[a.rank - 2], *tiles = tiles_of(l, rows);
	for (int d = 0; d < batch_axes; d++)
		batch = dim_mul(m, batch, t->dims[d]);
	a = broadcast_access(m, &a, batch_axes + 2);
	Access pb = {.rank = batch_axes, .base = dim_const(m, 0)}; /* panel number of a batch */
	const Dim *stride = panels;
	for (int d = batch_axes - 1; d >= 0; d--) {
		int e = d - (batch_axes - (rb - 2));
		pb.stride[d] = e < 0 || dim_equals(b0.extent[e], 1) ? dim_const(m, 0) : stride;
		if (e >= 0)
			stride = dim_mul(m, stride, b0.extent[e]);
		if (dim_equals(a.extent[d], 1))
			a.stride[d] = dim_const(m, 0);
	}
	need_scratch(l, dim_mul_const(m, packed_depth(m, depth), l->t->mr));
	LBuf *w = kslot(&k, packed, false), *out = kbuf(&k, home, true), *scratch = kscratch(&k);
	LExpr *mine = kworker(&k), *nk = kdim(&k, depth), *np = kdim(&k, panels), *nt = kdim(&k, tiles), *nr = kdim(&k, rows);
	LExpr *nn = kdim(&k, width), *step = li(b, l->schedule.steps);
	LExpr *tasks = llet(b, lmul(b, kdim(&k, times_of_elements(m, batch, width)), nt));
	LBuf *acc = llocal(b, "acc", F32, (int64_t)l->t->mr * PanelWidth);
	int64_t known;

	LExpr *space = llet(b, lmul(b, this_worker(&k), mine)), *task = share_tasks(&k, tasks);
	LExpr *at = llet(b, lop(b, LFloorDiv, task, nt, NULL)), *tile = llet(b, lsub(b, task, lmul(b, at, nt)));
	LExpr *idx[MaxRank] = {0};
	split_index(&k, at, t->dims, batch_axes, idx);
	LExpr *from = llet(b, tile_begin(b, tile, nr, nt)), *to = llet(b, tile_begin(b, ladd(b, tile, li(b, 1)), nr, nt));
	LExpr *count = llet(b, lsub(b, to, from));
	pack_tile(&k, &a, llet(b, offset_of(&k, &a, idx)), from, to, scratch, space, 1);
	LExpr *first_panel = llet(b, offset_of(&k, &pb, idx));
	LExpr *panel = lfor(b, ForSerial, li(b, 0), np, NULL);
	LExpr *wp = llet(b, lmul(b, ladd(b, first_panel, panel), kdim(&k, panel_size))), *columns = columns_left(b, nn, panel);
	LExpr *k0 = lfor(b, ForSerial, li(b, 0), lop(b, LPMax, nk, li(b, 1), NULL), step);
	LExpr *klen = llet(b, lop(b, LPMin, step, lsub(b, nk, k0), NULL));
	LExpr *first = llet(b, lop(b, LPMax, lsub(b, li(b, 1), k0), li(b, 0), NULL));
	call_tile(&k, count, scratch, llet(b, ladd(b, space, lmul(b, k0, count))), w, llet(b, ladd(b, wp, lmul(b, k0, li(b, PanelWidth)))),
	          acc, li(b, 0), klen, first, NULL, dim_is_const(width, &known) && known % PanelWidth == 0 ? NULL : columns);
	lend(b);
	LExpr *i = lfor(b, ForSerial, from, to, NULL);
	LExpr *j = lfor(b, ForSerial, li(b, 0), columns, li(b, Lanes));
	LExpr *col = llet(b, ladd(b, lmul(b, panel, li(b, PanelWidth)), j));
	LExpr *sum = lload(b, acc, Lanes, ladd(b, lmul(b, lsub(b, i, from), li(b, PanelWidth)), j), NULL, NULL);
	lstore(b, out, ladd(b, lmul(b, ladd(b, lmul(b, at, nr), i), nn), col), NULL, lane_mask(&k, lsub(b, nn, col)), sum);
	for (int c = 0; c < 4; c++)
		lend(b);
	kflop(&k, dim_mul_const(m, dim_mul(m, type_numel(m, t), depth), 2));
	k.b.fn->loc = n->loc;
	kcall(&k);
}

void lower_matmul(Lower *l, Node *n, Value *home)
{
	const Dim *extent = NULL;
	HowMany best = Many;
	int vector = 0;

	if (n->out[0]->type.dtype != F32) {
		lower_plain_matmul(l, n, home);
		return;
	}
	for (int i = 0; i < 2; i++) { /* one that is a vector for sure, or else the first that may be */
		const Dim *d = outer_extent(l->m, n, i);
		const HowMany count = has_own_matrices(n, !i) ? how_many(d, 1) : Many;
		if (count == best || count == Many || best == Few)
			continue;
		best = count;
		vector = i;
		extent = d;
	}
	if (best != Many)
		lower_row(l, n, home, vector, dim_mul(l->m, is_few(l->m, extent, 1), extent));
	LStmt *skip = best == FewOrMany ? skip_where_few(l, extent, 1) : NULL;
	if (best != Few)
		lower_tiles(l, n, home);
	end_skip(l, skip);
}
