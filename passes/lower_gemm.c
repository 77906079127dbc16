/* lower_gemm.c - matrix products: linear (packed constant weights) with its epilogue, and products of two activations.
 *
 * y[M, N] = x[M, K] w.  Weights lie in panels [N/32][K][32], read strictly in order.  Step one packs x into tiles of up to mr
 * rows, k-major ([K][rows]); tiles are balanced (128 rows = 8 x 13 + 2 x 12 of 14).  Step two takes panels as the outer loop, split
 * over the workers, and runs all tiles of a block of rows inside, K in blocks of kb, so that a panel slice stays in L1
 * while the tiles pass by; partial sums lie in a local [rows][32] and are reloaded: one FMA chain per output, k ascending, whatever
 * the blocking.  After the last block of K the epilogue runs over the rows while they are in L1.
 * A few rows (decoding) are bound by the weights' way from memory: they take a whole panel at once, prefetching what follows.
 */
#include "lower.h"

enum {
	BlockRows = 256, /* rows that share one pass over a panel: at least 128, design.md section 8 */
	StreamRows = 3, /* so few that all sums of a panel stay in registers, also with 16 of 8 lanes */
	Ahead = 32, /* rows of a panel between a load and its prefetch: 4 KB */
};

/* ---- register tile ----------------------------------------------------------------------------------------------------------- */

LFunc *tile_kernel(Lower *l, int rows)
{
	const char *name = arena_printf(l->m->arena, "tile%d.%s", rows, l->t->name);
	LFunc *known = find_kernel(l->lm, name);

	if (known)
		return known;
	LB kb = new_kernel(l->lm, name, l->t->name), *b = &kb;
	const LType vec = {F32, Lanes};
	int nv = l->t->nv;
	LBuf *a = lparam_buf(b, "a", F32, false), *w = lparam_buf(b, "w", F32, false), *acc = lparam_buf(b, "acc", F32, true);
	LExpr *klen = lparam(b, "klen"), *first = lparam(b, "first");
	LTile *t = lnew_tile(b, "t", vec, rows, nv);

	for (int load = 0; load < 2; load++) {
		if (load)
			lelse(b);
		else
			lif(b, lop(b, LNe, first, li(b, 0), NULL));
		LExpr *i = lfor(b, ForUnroll, li(b, 0), li(b, rows), NULL);
		LExpr *j = lfor(b, ForUnroll, li(b, 0), li(b, nv), NULL);
		LExpr *at = ladd(b, lmul(b, i, li(b, PanelWidth)), lmul(b, j, li(b, Lanes)));
		lset_tile(b, t, i, j, load ? lload(b, acc, Lanes, at, NULL, NULL) : lconst(b, vec, 0));
		lend(b);
		lend(b);
	}
	lend(b);
	LExpr *k = lfor(b, ForSerial, li(b, 0), klen, NULL), *wv[4];
	for (int j = 0; j < nv; j++)
		wv[j] = llet(b, lload(b, w, Lanes, ladd(b, lmul(b, k, li(b, PanelWidth)), li(b, j * Lanes)), NULL, NULL));
	for (int i = 0; i < rows; i++) {
		LExpr *x = llet(b, lcast(b, LSplat, vec, lload(b, a, 1, ladd(b, lmul(b, k, li(b, rows)), li(b, i)), NULL, NULL)));
		for (int j = 0; j < nv; j++)
			lset_tile(b, t, li(b, i), li(b, j), lfma(b, x, wv[j], lelem(b, t, li(b, i), li(b, j))));
	}
	lend(b);
	LExpr *i = lfor(b, ForUnroll, li(b, 0), li(b, rows), NULL);
	LExpr *j = lfor(b, ForUnroll, li(b, 0), li(b, nv), NULL);
	lstore(b, acc, ladd(b, lmul(b, i, li(b, PanelWidth)), lmul(b, j, li(b, Lanes))), NULL, NULL, lelem(b, t, i, j));
	lend(b);
	lend(b);
	kb.fn->leaf_noinline = true;
	return finish_kernel(b);
}

/* acc[rows][32] = a[k][rows] * w[k][32] for all of k: the weights come once, as fast as memory gives them. */
static LFunc *stream_kernel(Lower *l, int rows)
{
	const char *name = arena_printf(l->m->arena, "stream%d.%s", rows, l->t->name);
	LFunc *known = find_kernel(l->lm, name);

	if (known)
		return known;
	LB kb = new_kernel(l->lm, name, l->t->name), *b = &kb;
	const LType vec = {F32, Lanes};
	enum { Vectors = PanelWidth / Lanes };
	LBuf *a = lparam_buf(b, "a", F32, false), *w = lparam_buf(b, "w", F32, false), *acc = lparam_buf(b, "acc", F32, true);
	LExpr *klen = lparam(b, "klen"), *wv[Vectors];
	LTile *t = lnew_tile(b, "t", vec, rows, Vectors);

	for (int i = 0; i < rows * Vectors; i++)
		lset_tile(b, t, li(b, i / Vectors), li(b, i % Vectors), lconst(b, vec, 0));
	LExpr *k = lfor(b, ForSerial, li(b, 0), klen, NULL);
	for (int j = 0; j < Vectors; j++) {
		LExpr *at = ladd(b, lmul(b, k, li(b, PanelWidth)), li(b, j * Lanes));
		lprefetch(b, w, ladd(b, at, li(b, Ahead * PanelWidth)));
		wv[j] = llet(b, lload(b, w, Lanes, at, NULL, NULL));
	}
	for (int i = 0; i < rows; i++) {
		LExpr *x = llet(b, lcast(b, LSplat, vec, lload(b, a, 1, ladd(b, lmul(b, k, li(b, rows)), li(b, i)), NULL, NULL)));
		for (int j = 0; j < Vectors; j++)
			lset_tile(b, t, li(b, i), li(b, j), lfma(b, x, wv[j], lelem(b, t, li(b, i), li(b, j))));
	}
	lend(b);
	for (int i = 0; i < rows * Vectors; i++)
		lstore(b, acc, li(b, i * Lanes), NULL, NULL, lelem(b, t, li(b, i / Vectors), li(b, i % Vectors)));
	kb.fn->leaf_noinline = true;
	return finish_kernel(b);
}

void call_tile(Kernel *k, LExpr *rows, LBuf *a, LExpr *a_at, LBuf *w, LExpr *w_at, LBuf *acc, LExpr *acc_at, LExpr *klen, LExpr *first)
{
	LB *b = &k->b;
	Lower *l = k->l;

	for (int half = 0; half < PanelWidth; half += Lanes * l->t->nv)
		for (int r = 1; r <= l->t->mr; r++) {
			LExpr *shift = li(b, half), *all = lmul(b, klen, li(b, PanelWidth));
			LExpr *skip = half ? lop(b, LPMin, all, shift, NULL) : shift; /* an empty w has no second half */
			lif(b, lop(b, LEq, rows, li(b, r), NULL));
			lcall(b, tile_kernel(l, r), 5,
			      (LArg[]){arg_buf(a, F32, a_at, lmul(b, klen, li(b, r))),
			               arg_buf(w, F32, ladd(b, w_at, skip), lsub(b, all, skip)),
			               arg_buf(acc, F32, ladd(b, acc_at, shift), li(b, r * PanelWidth - half)), arg_e(klen), arg_e(first)});
			lend(b);
		}
}

/* ---- packing rows --------------------------------------------------------------------------------------------------------------- */

/* First row of tile i of n rows in `tiles` balanced tiles. */
LExpr *tile_begin(LB *b, LExpr *i, LExpr *rows, LExpr *tiles)
{
	return lop(b, LFloorDiv, lmul(b, i, rows), tiles, NULL);
}

/* Element offset of row `row` of x, whose leading axes are rows. */
static LExpr *row_offset(Kernel *k, const Access *x, int row_axes, LExpr *row)
{
	LB *b = &k->b;
	Module *m = k->l->m;
	LExpr *idx[MaxRank] = {0};
	Access a = *x;

	for (int d = row_axes - 1; d > 0; d--) /* merge what is contiguous */
		if (a.stride[d - 1] == dim_mul(m, a.stride[d], a.extent[d])) {
			a.extent[d - 1] = dim_mul(m, a.extent[d - 1], a.extent[d]);
			a.stride[d - 1] = a.stride[d];
			for (int e = d; e + 1 < a.rank; e++) {
				a.stride[e] = a.stride[e + 1];
				a.extent[e] = a.extent[e + 1];
			}
			a.rank--;
			row_axes--;
		}
	for (int d = row_axes - 1; d >= 0; d--) {
		idx[d] = d ? llet(b, lop(b, LMod, row, kdim(k, a.extent[d]), NULL)) : row;
		if (d)
			row = llet(b, lop(b, LFloorDiv, row, kdim(k, a.extent[d]), NULL));
	}
	return llet(b, offset_of(k, &a, idx));
}

/* buf[at + k * count + i] = x[rows[i] + k * stride] * scale for the `count` rows of a tile: one branch a row count, so that the
 * rows are unrolled and the stores of one k stand side by side.  k runs over the last `inner` axes of x. */
static void emit_pack(Kernel *k, const Access *x, int inner, LExpr *count, LExpr *(*row)(void *ctx, int i), void *ctx, LBuf *buf,
                      LExpr *at, double scale)
{
	LB *b = &k->b;
	LExpr *from[64];

	for (int r = 1; r <= k->l->t->mr; r++) {
		lif(b, lop(b, LEq, count, li(b, r), NULL));
		for (int i = 0; i < r; i++)
			from[i] = llet(b, row(ctx, i));
		LExpr *kk = li(b, 0), *step = li(b, 0);
		for (int d = x->rank - inner; d < x->rank; d++) {
			LExpr *i = lfor(b, ForSerial, li(b, 0), kdim(k, x->extent[d]), NULL);
			kk = llet(b, ladd(b, lmul(b, kk, kdim(k, x->extent[d])), i));
			step = llet(b, ladd(b, step, lmul(b, i, kdim(k, x->stride[d]))));
		}
		LExpr *to = llet(b, ladd(b, at, lmul(b, kk, li(b, r))));
		for (int i = 0; i < r; i++) {
			LExpr *v = lload(b, x->buf, 1, ladd(b, from[i], step), NULL, NULL);
			if (scale != 1)
				v = lmul(b, v, lconst(b, (LType){F32, 1}, scale));
			lstore(b, buf, ladd(b, to, li(b, i)), NULL, NULL, v);
		}
		for (int d = 0; d <= inner; d++)
			lend(b);
	}
}

typedef struct RowCtx {
	Kernel *k;
	const Access *x;
	int row_axes;
	LExpr *base, *from;
} RowCtx;

static LExpr *flat_row(void *ctx, int i)
{
	RowCtx *c = ctx;
	return row_offset(c->k, c->x, c->row_axes, llet(&c->k->b, ladd(&c->k->b, c->from, li(&c->k->b, i))));
}

/* packed[start * K + k * count + i] = x[row start + i][k] for every tile; k: the last `inner` axes. */
static void pack_rows(Lower *l, Value *xv, int inner, const Dim *rows, const Dim *depth, const Dim *tiles, Slot *packed)
{
	Kernel k = open_kernel(l, "pack", true);
	LB *b = &k.b;
	Access x = kaccess(&k, xv);
	LBuf *p = kslot(&k, packed, true);
	LExpr *nr = kdim(&k, rows), *nt = kdim(&k, tiles), *nk = kdim(&k, depth);

	LExpr *t = lfor(b, ForParallel, li(b, 0), nt, NULL);
	LExpr *from = llet(b, tile_begin(b, t, nr, nt)), *to = llet(b, tile_begin(b, ladd(b, t, li(b, 1)), nr, nt));
	RowCtx ctx = {.k = &k, .x = &x, .row_axes = x.rank - inner, .from = from};
	emit_pack(&k, &x, inner, llet(b, lsub(b, to, from)), flat_row, &ctx, p, llet(b, lmul(b, from, nk)), 1);
	lend(b);
	kcall(&k);
}

static const Dim *tiles_of(Lower *l, const Dim *rows)
{
	return dim_ceildiv(l->m, rows, dim_const(l->m, l->t->mr));
}

/* ---- epilogue ----------------------------------------------------------------------------------------------------------------- */

enum { MaxLeaves = 16 };

typedef struct Epilogue {
	Lower *l;
	Node *root, *first; /* first node behind the root, or NULL */
	Value *result, *home;
	bool glu;
	Access out, leaf[MaxLeaves];
	Value *leaf_values[MaxLeaves];
	int nleaf;
	Access bias; /* no buffer: none */
} Epilogue;

static void add_epilogue_leaf(Epilogue *e, Kernel *k, Value *v)
{
	const Type *t = &e->result->type;

	if (v == e->root->out[0])
		return;
	for (Node *n = e->first; n; n = n->next)
		if (v->def == n)
			return;
	for (int i = 0; i < e->nleaf; i++)
		if (e->leaf_values[i] == v)
			return;
	if (e->nleaf == MaxLeaves)
		bug("an epilogue has too many operands");
	Access a = kaccess(k, v);
	a = broadcast_access(e->l->m, &a, t->rank);
	for (int d = 0; d < t->rank; d++)
		if (dim_equals(a.extent[d], 1)) {
			a.stride[d] = dim_const(e->l->m, 0);
		}
	for (int d = 0; d < t->rank; d++)
		a.extent[d] = t->dims[d];
	e->leaf_values[e->nleaf] = v;
	e->leaf[e->nleaf++] = a;
}

static void open_epilogue(Epilogue *e, Kernel *k)
{
	const Type *t = &e->result->type;
	const Dim *stride = dim_const(e->l->m, 1);

	e->glu = attr_int(e->root, Attr_glu);
	if (e->root->in[2])
		e->bias = kaccess(k, e->root->in[2]);
	for (Node *n = e->first; n; n = n->next)
		for (int i = 0; i < n->nin; i++)
			add_epilogue_leaf(e, k, n->in[i]);
	e->out = (Access){.buf = kbuf(k, e->home, true), .rank = t->rank, .base = dim_const(e->l->m, 0)};
	for (int d = t->rank - 1; d >= 0; d--) {
		e->out.extent[d] = t->dims[d];
		e->out.stride[d] = stride;
		stride = dim_mul(e->l->m, stride, t->dims[d]);
	}
}

static LExpr *epilogue_operand(Epilogue *e, Value *v, LExpr *root, LExpr *const *leaves, LExpr *const *values)
{
	int at = 0;

	if (v == e->root->out[0])
		return root;
	for (Node *n = e->first; n; n = n->next, at++)
		if (v->def == n)
			return values[at];
	for (int i = 0; i < e->nleaf; i++)
		if (e->leaf_values[i] == v)
			return leaves[i];
	bug("a value inside an epilogue is unknown");
}

static LExpr *load_bias(Epilogue *e, Kernel *k, LExpr *col, LExpr *mask)
{
	LB *b = &k->b;
	const Dim *stride = e->bias.stride[0];
	LExpr *at = ladd(b, kdim(k, e->bias.base), lmul(b, col, kdim(k, stride)));
	return load_lanes(k, &e->bias, at, stride, mask);
}

/* One vector of 16 columns of one row: `sums` are the products (value and gate for glu), `col` the first column of the result. */
static void emit_columns(Epilogue *e, Kernel *k, LExpr *sum, LExpr *gate, LExpr *const *rows, LExpr *out_row, LExpr *col, LExpr *mask)
{
	LB *b = &k->b;
	Module *m = e->l->m;
	enum { MaxNodes = 64 };
	LExpr *leaves[MaxLeaves], *values[MaxNodes], *in[MaxIn], *y = sum;
	int last = e->out.rank - 1, at = 0;
	bool second = e->glu && attr_int(e->root, Attr_gate) == 0;

	if (e->bias.buf) {
		const Type *t = &e->root->out[0]->type;
		LExpr *half = e->glu ? kdim(k, dim_floordiv(m, t->dims[t->rank - 1], dim_const(m, 2))) : li(b, 0);
		LExpr *vcol = e->glu && !second ? ladd(b, half, col) : col, *gcol = second ? ladd(b, half, col) : col;
		y = llet(b, ladd(b, y, load_bias(e, k, vcol, mask)));
		if (gate)
			gate = llet(b, ladd(b, gate, load_bias(e, k, gcol, mask)));
	}
	for (int i = 0; i < e->nleaf; i++) {
		const Dim *stride = e->leaf[i].stride[last];
		LExpr *offset = rows[i];
		if (!dim_equals(stride, 0))
			offset = ladd(b, offset, lmul(b, col, kdim(k, stride)));
		leaves[i] = llet(b, load_lanes(k, &e->leaf[i], offset, stride, mask));
	}
	for (Node *n = e->first; n; n = n->next) {
		if (at == MaxNodes)
			bug("an epilogue has too many nodes");
		if (n->op == OpGlu) { /* the first node, by pass layout */
			Node act = {.op = attr_int(n, Attr_act), .nin = 1, .nout = 1, .in = n->in, .out = n->out};
			LExpr *g = emit_scalar(k, &act, &gate);
			values[at++] = llet(b, lmul(b, y, g));
			continue;
		}
		for (int i = 0; i < n->nin; i++)
			in[i] = epilogue_operand(e, n->in[i], y, leaves, values);
		values[at++] = emit_scalar(k, n, in);
	}
	lstore(b, e->out.buf, ladd(b, out_row, col), NULL, mask, epilogue_operand(e, e->result, y, leaves, values));
}

/* Rows from .. to of panel `panel`; acc holds them from acc_row on. */
static void emit_epilogue(Epilogue *e, Kernel *k, LExpr *from, LExpr *to, LBuf *acc, LExpr *acc_row, LExpr *panel)
{
	LB *b = &k->b;
	const Type *t = &e->result->type;
	const Dim *width = t->dims[t->rank - 1];
	LExpr *rows[MaxLeaves], *n = kdim(k, width);
	int64_t known;
	bool whole = dim_is_const(width, &known) && known % (e->glu ? Lanes : PanelWidth) == 0;

	LExpr *row = lfor(b, ForSerial, from, to, NULL);
	LExpr *sums = llet(b, lmul(b, ladd(b, acc_row, lsub(b, row, from)), li(b, PanelWidth)));
	LExpr *out_row = llet(b, lmul(b, row, n));
	for (int i = 0; i < e->nleaf; i++)
		rows[i] = row_offset(k, &e->leaf[i], e->leaf[i].rank - 1, row);
	if (e->glu) {
		LExpr *col = llet(b, lmul(b, panel, li(b, Lanes)));
		LExpr *mask = whole ? NULL : lane_mask(k, lsub(b, n, col));
		emit_columns(e, k, llet(b, lload(b, acc, Lanes, sums, NULL, NULL)),
		             llet(b, lload(b, acc, Lanes, ladd(b, sums, li(b, Lanes)), NULL, NULL)), rows, out_row, col, mask);
	} else {
		LExpr *j = lfor(b, ForSerial, li(b, 0), li(b, PanelWidth), li(b, Lanes));
		LExpr *col = llet(b, ladd(b, lmul(b, panel, li(b, PanelWidth)), j));
		LExpr *mask = whole ? NULL : lane_mask(k, lsub(b, n, col));
		emit_columns(e, k, llet(b, lload(b, acc, Lanes, ladd(b, sums, j), NULL, NULL)), NULL, rows, out_row, col, mask);
		lend(b);
	}
	lend(b);
}

/* ---- linear ------------------------------------------------------------------------------------------------------------------- */

/* While tile number t of `tiles` computes on a slice of the weights, its share of the next slice comes into the cache: the first tile
 * of a slice would otherwise wait for memory.  The last slice prefetches what follows the panel, which is the next one. */
static void prefetch_next(Kernel *k, LBuf *w, LExpr *next, LExpr *klen, LExpr *t, LExpr *tiles)
{
	LB *b = &k->b;
	LExpr *lines = llet(b, lmul(b, klen, li(b, PanelWidth * 4 / 64)));
	LExpr *from = llet(b, lop(b, LFloorDiv, lmul(b, lines, t), tiles, NULL));
	LExpr *to = llet(b, lop(b, LFloorDiv, lmul(b, lines, ladd(b, t, li(b, 1))), tiles, NULL));

	LExpr *line = lfor(b, ForSerial, from, to, NULL);
	lprefetch(b, w, ladd(b, next, lmul(b, line, li(b, Lanes))));
	lend(b);
}

/* The sums of one panel if there are only a few rows; opens the other case, which the caller closes.  False: there is none. */
static bool emit_stream(Kernel *k, const Dim *rows, LBuf *packed, LBuf *w, LExpr *wp, LBuf *acc, LExpr *nr, LExpr *nk)
{
	LB *b = &k->b;
	int64_t lo, hi;

	dim_range(rows, &lo, &hi);
	if (lo > StreamRows)
		return false;
	for (int r = 1; r <= StreamRows; r++) {
		lif(b, lop(b, LEq, nr, li(b, r), NULL));
		lcall(b, stream_kernel(k->l, r), 4,
		      (LArg[]){arg_buf(packed, F32, li(b, 0), lmul(b, nk, li(b, r))), arg_buf(w, F32, wp, lmul(b, nk, li(b, PanelWidth))),
		               arg_buf(acc, F32, li(b, 0), li(b, r * PanelWidth)), arg_e(nk)});
		lend(b);
	}
	lif(b, llt(b, li(b, StreamRows), nr));
	return true;
}

/* For row blocks x panels in parallel: K blocks, tiles, epilogue. */
static void emit_gemm(Kernel *k, Epilogue *e, LBuf *packed, LBuf *w, const Dim *rows, const Dim *depth, const Dim *tiles, const Dim *panels)
{
	LB *b = &k->b;
	Lower *l = k->l;
	Module *m = l->m;
	int block_tiles = BlockRows / l->t->mr;
	const Dim *blocks = dim_ceildiv(m, tiles, dim_const(m, block_tiles));
	LExpr *nr = kdim(k, rows), *nt = kdim(k, tiles), *nk = kdim(k, depth), *np = kdim(k, panels), *step = li(b, l->t->kb);

	LBuf *acc = llocal(b, "acc", F32, (int64_t)block_tiles * l->t->mr * PanelWidth);
	LExpr *p = lfor(b, ForParallel, li(b, 0), lmul(b, kdim(k, blocks), np), NULL);
	LExpr *block = llet(b, lop(b, LFloorDiv, p, np, NULL)), *panel = llet(b, lsub(b, p, lmul(b, block, np)));
	LExpr *nb = kdim(k, blocks); /* balanced too: at most block_tiles tiles each */
	LExpr *t0 = llet(b, tile_begin(b, block, nt, nb)), *t1 = llet(b, tile_begin(b, ladd(b, block, li(b, 1)), nt, nb));
	LExpr *row0 = llet(b, tile_begin(b, t0, nr, nt)), *wp = llet(b, lmul(b, panel, lmul(b, nk, li(b, PanelWidth))));

	bool few = emit_stream(k, rows, packed, w, wp, acc, nr, nk);
	LExpr *k0 = lfor(b, ForSerial, li(b, 0), lop(b, LPMax, nk, li(b, 1), NULL), step); /* once for an empty sum */
	LExpr *klen = llet(b, lop(b, LPMin, step, lsub(b, nk, k0), NULL));
	LExpr *first = llet(b, lop(b, LPMax, lsub(b, li(b, 1), k0), li(b, 0), NULL));
	LExpr *t = lfor(b, ForSerial, t0, t1, NULL);
	LExpr *from = llet(b, tile_begin(b, t, nr, nt)), *to = llet(b, tile_begin(b, ladd(b, t, li(b, 1)), nr, nt));
	LExpr *count = llet(b, lsub(b, to, from));
	LExpr *a_at = llet(b, ladd(b, lmul(b, from, nk), lmul(b, k0, count)));
	LExpr *w_at = llet(b, ladd(b, wp, lmul(b, k0, li(b, PanelWidth))));
	prefetch_next(k, w, llet(b, ladd(b, w_at, lmul(b, klen, li(b, PanelWidth)))), klen, lsub(b, t, t0), llet(b, lsub(b, t1, t0)));
	call_tile(k, count, packed, a_at, w, w_at, acc, llet(b, lmul(b, lsub(b, from, row0), li(b, PanelWidth))), klen, first);
	lend(b);
	lend(b);
	if (few)
		lend(b);
	LExpr *last = llet(b, tile_begin(b, t1, nr, nt));
	emit_epilogue(e, k, row0, last, acc, li(b, 0), panel);
	lend(b);
}

void lower_linear(Lower *l, Node *root, Node *epilogue, Value *result, Value *home)
{
	Module *m = l->m;
	const Type *xt = &root->in[0]->type, *wt = &root->in[1]->type;
	const Dim *depth = wt->dims[1], *panels = wt->dims[0], *rows = dim_const(m, 1);
	int inner = (int)attr_int(root, Attr_inner);

	for (int d = 0; d < xt->rank - inner; d++)
		rows = dim_mul(m, rows, xt->dims[d]);
	const Dim *tiles = tiles_of(l, rows);
	Slot *packed = hold_packed(l, root->in[0], dim_mul(m, rows, depth));
	if (packed) /* not the rows that the last linear has left packed */
		pack_rows(l, root->in[0], inner, rows, depth, tiles, packed);
	packed = l->packed;

	Kernel k = open_kernel(l, "linear", true);
	Epilogue e = {.l = l, .root = root, .first = epilogue, .result = result, .home = home};
	LBuf *a = kslot(&k, packed, false), *w = kbuf(&k, root->in[1], false);
	open_epilogue(&e, &k);
	emit_gemm(&k, &e, a, w, rows, depth, tiles, panels);
	const Dim *outputs = type_numel(m, &root->out[0]->type);
	kflop(&k, dim_mul_const(m, dim_mul(m, outputs, depth), 2));
	if (root->in[2])
		kflop(&k, outputs);
	kflop_nodes(&k, epilogue, NULL);
	k.b.fn->loc = root->loc;
	kcall(&k);
}

/* ---- matmul -------------------------------------------------------------------------------------------------------------------- */

void pack_panels(Kernel *k, const Access *x, LBuf *panels)
{
	LB *b = &k->b;
	Module *m = k->l->m;
	int rank = x->rank;
	const Dim *depth = x->extent[rank - 2], *width = x->extent[rank - 1], *batch = dim_const(m, 1);
	LExpr *idx[MaxRank] = {0}, *nk = kdim(k, depth), *nn = kdim(k, width);
	LExpr *count = kdim(k, dim_ceildiv(m, width, dim_const(m, PanelWidth)));

	for (int d = 0; d < rank - 2; d++)
		batch = dim_mul(m, batch, x->extent[d]);
	LExpr *p = lfor(b, ForParallel, li(b, 0), lmul(b, kdim(k, batch), count), NULL);
	LExpr *at = llet(b, lop(b, LFloorDiv, p, count, NULL)), *panel = llet(b, lsub(b, p, lmul(b, at, count)));
	for (int d = rank - 3; d >= 0; d--) {
		idx[d] = d ? llet(b, lop(b, LMod, at, kdim(k, x->extent[d]), NULL)) : at;
		if (d)
			at = llet(b, lop(b, LFloorDiv, at, kdim(k, x->extent[d]), NULL));
	}
	LExpr *from = llet(b, offset_of(k, x, idx)), *to = llet(b, lmul(b, p, lmul(b, nk, li(b, PanelWidth))));
	LExpr *kk = lfor(b, ForSerial, li(b, 0), nk, NULL);
	LExpr *row = llet(b, ladd(b, from, lmul(b, kk, kdim(k, x->stride[rank - 2]))));
	LExpr *j = lfor(b, ForSerial, li(b, 0), li(b, PanelWidth), li(b, Lanes));
	LExpr *col = llet(b, ladd(b, lmul(b, panel, li(b, PanelWidth)), j));
	const Dim *stride = x->stride[rank - 1];
	LExpr *mask = lane_mask(k, lsub(b, nn, col)), *v;
	if (dim_equals(stride, 0)) {
		LExpr *one = lcast(b, LSplat, (LType){F32, Lanes}, lload(b, x->buf, 1, row, NULL, NULL));
		v = lop(b, LSelect, mask, one, lconst(b, (LType){F32, Lanes}, 0));
	} else {
		v = load_lanes(k, x, ladd(b, row, lmul(b, col, kdim(k, stride))), stride, mask);
	}
	lstore(b, panels, ladd(b, to, ladd(b, lmul(b, kk, li(b, PanelWidth)), j)), NULL, NULL, v);
	lend(b);
	lend(b);
	lend(b);
}

static LExpr *batch_row(void *ctx, int i)
{
	RowCtx *c = ctx;
	LB *b = &c->k->b;
	return ladd(b, c->base, lmul(b, ladd(b, c->from, li(b, i)), kdim(c->k, c->x->stride[c->x->rank - 2])));
}

void pack_tile(Kernel *k, const Access *x, LExpr *base, LExpr *from, LExpr *to, LBuf *buf, LExpr *at, double scale)
{
	RowCtx ctx = {.k = k, .x = x, .base = base, .from = from};
	emit_pack(k, x, 1, llet(&k->b, lsub(&k->b, to, from)), batch_row, &ctx, buf, at, scale);
}

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
	LExpr *row = lfor(b, ForParallel, li(b, 0), kdim(&k, rows), NULL);
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

/* out[batch, M, N]: the right operand is packed into panels by a first kernel, the left tile by tile inside the second. */
void lower_matmul(Lower *l, Node *n, Value *home)
{
	Module *m = l->m;
	if (n->out[0]->type.dtype != F32) {
		lower_plain_matmul(l, n, home);
		return;
	}
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
	need_scratch(l, dim_mul_const(m, depth, l->t->mr));
	LBuf *w = kslot(&k, packed, false), *out = kbuf(&k, home, true), *scratch = kscratch(&k);
	LExpr *mine = kworker(&k), *nk = kdim(&k, depth), *np = kdim(&k, panels), *nt = kdim(&k, tiles), *nr = kdim(&k, rows);
	LExpr *nn = kdim(&k, width), *step = li(b, l->t->kb), *workers = kthreads(&k);
	LExpr *tasks = llet(b, lmul(b, kdim(&k, batch), nt));
	LBuf *acc = llocal(b, "acc", F32, (int64_t)l->t->mr * PanelWidth);

	LExpr *worker = lfor(b, ForParallel, li(b, 0), workers, NULL);
	LExpr *space = llet(b, lmul(b, worker, mine));
	LExpr *task = lfor(b, ForSerial, lop(b, LFloorDiv, lmul(b, tasks, worker), workers, NULL),
	                   lop(b, LFloorDiv, lmul(b, tasks, ladd(b, worker, li(b, 1))), workers, NULL), NULL);
	LExpr *at = llet(b, lop(b, LFloorDiv, task, nt, NULL)), *tile = llet(b, lsub(b, task, lmul(b, at, nt)));
	LExpr *idx[MaxRank] = {0};
	split_index(&k, at, t->dims, batch_axes, idx);
	LExpr *from = llet(b, tile_begin(b, tile, nr, nt)), *to = llet(b, tile_begin(b, ladd(b, tile, li(b, 1)), nr, nt));
	LExpr *count = llet(b, lsub(b, to, from));
	pack_tile(&k, &a, llet(b, offset_of(&k, &a, idx)), from, to, scratch, space, 1);
	LExpr *first_panel = llet(b, offset_of(&k, &pb, idx));
	LExpr *panel = lfor(b, ForSerial, li(b, 0), np, NULL);
	LExpr *wp = llet(b, lmul(b, ladd(b, first_panel, panel), kdim(&k, panel_size)));
	LExpr *k0 = lfor(b, ForSerial, li(b, 0), lop(b, LPMax, nk, li(b, 1), NULL), step);
	LExpr *klen = llet(b, lop(b, LPMin, step, lsub(b, nk, k0), NULL));
	LExpr *first = llet(b, lop(b, LPMax, lsub(b, li(b, 1), k0), li(b, 0), NULL));
	call_tile(&k, count, scratch, llet(b, ladd(b, space, lmul(b, k0, count))), w, llet(b, ladd(b, wp, lmul(b, k0, li(b, PanelWidth)))),
	          acc, li(b, 0), klen, first);
	lend(b);
	LExpr *i = lfor(b, ForSerial, from, to, NULL);
	LExpr *j = lfor(b, ForSerial, li(b, 0), li(b, PanelWidth), li(b, Lanes));
	LExpr *col = llet(b, ladd(b, lmul(b, panel, li(b, PanelWidth)), j));
	LExpr *sum = lload(b, acc, Lanes, ladd(b, lmul(b, lsub(b, i, from), li(b, PanelWidth)), j), NULL, NULL);
	lstore(b, out, ladd(b, lmul(b, ladd(b, lmul(b, at, nr), i), nn), col), NULL, lane_mask(&k, lsub(b, nn, col)), sum);
	for (int c = 0; c < 5; c++)
		lend(b);
	kflop(&k, dim_mul_const(m, dim_mul(m, type_numel(m, t), depth), 2));
	k.b.fn->loc = n->loc;
	kcall(&k);
}
