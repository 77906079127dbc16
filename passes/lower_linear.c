/* lower_linear.c - linear: packed constant weights, and an epilogue.
 *
 * y[M, N] = x[M, K] w.  Step one packs x into tiles.  Step two takes panels as the outer loop, split over the workers, and runs all
 * tiles of a block of rows inside, K in blocks of kb, so that a panel slice stays in L1 while the tiles pass by.  After the last
 * block of K the epilogue runs over the rows while they are in L1.
 * A few rows (decoding) are bound by the weights' way from memory: they take a whole panel at once, prefetching what follows.
 */
#include "epilogue.h"

enum { BlockRows = 256 /* that share one pass over a panel: at least 128, design.md section 8 */ };

/* Rows from .. to of unit `unit`; acc holds them, [panel of the unit][rows up to acc_rows][32]. */
static void emit_epilogue(Epilogue *e, Kernel *k, LExpr *from, LExpr *to, LBuf *acc, int acc_rows, LExpr *unit)
{
	LB *b = &k->b;
	const Type *t = &e->result->type;
	const Dim *width = t->dims[t->rank - 1];
	const int chunk = part_width(e->parts);
	LExpr *rows[MaxOperands], *n = kparam(k, width), *j = li(b, 0);
	ByPart sums;
	int64_t known;
	bool whole = dim_is_const(width, &known) && known % chunk == 0;

	LExpr *row = lfor(b, ForSerial, from, to, NULL);
	LExpr *acc_row = llet(b, lmul(b, lsub(b, row, from), li(b, PanelWidth)));
	LExpr *out_row = llet(b, lmul(b, row, n));
	leaf_rows(e, k, row, rows);
	if (chunk > Lanes)
		j = lfor(b, ForSerial, j, li(b, chunk), li(b, Lanes));
	LExpr *col = llet(b, ladd(b, lmul(b, unit, li(b, chunk)), j));
	LExpr *mask = whole ? NULL : lane_mask(k, lsub(b, n, col));
	for (int g = 0; g < e->parts; g++) {
		int at = g * chunk / PanelWidth * acc_rows * PanelWidth + g * chunk % PanelWidth;
		sums.e[g] = llet(b, lload(b, acc, Lanes, ladd(b, ladd(b, acc_row, li(b, at)), j), NULL, NULL));
	}
	emit_columns(e, k, sums, rows, out_row, col, mask);
	if (chunk > Lanes)
		lend(b);
	lend(b);
}

/* ---- linear ------------------------------------------------------------------------------------------------------------------- */

/* The slice of klen rows of a panel at w_at, for the tiles: f32 as it lies, else a copy that is widened once for all of them. */
static LBuf *widen_slice(Kernel *k, LBuf *w, LExpr **w_at, LExpr *klen)
{
	LB *b = &k->b;
	if (w->elem == F32)
		return w;
	LBuf *slice = llocal(b, "slice", F32, (int64_t)k->l->t->kb * PanelWidth);
	LExpr *at = lfor(b, ForSerial, li(b, 0), lmul(b, klen, li(b, PanelWidth)), li(b, Lanes));
	lstore(b, slice, at, NULL, NULL, load_weights(b, w, ladd(b, *w_at, at)));
	lend(b);
	*w_at = li(b, 0);
	return slice;
}

/* What the kernel of a linear has at hand. */
typedef struct Gemm {
	Kernel *k;
	LBuf *packed, *w, *acc;
	LExpr *rows, *tiles, *depth;
	LExpr *row_at; /* where the only row lies, which nobody packed; else NULL */
} Gemm;

/* One panel, at wp, by a few rows; opens the case that there are more, which the caller closes.  False: there never are. */
static bool emit_stream(Gemm *g, const Dim *rows, LExpr *wp, LExpr *acc_at)
{
	LB *b = &g->k->b;
	int64_t lo, hi;

	dim_range(rows, &lo, &hi);
	for (int r = 1; r <= WholeRows; r++) {
		if (r < lo || r > hi)
			continue;
		lif(b, lop(b, LEq, g->rows, li(b, r), NULL));
		LExpr *length = g->row_at ? g->depth : lmul(b, packed_length(b, g->depth), li(b, r));
		call_stream(g->k, r, arg_buf(g->packed, F32, g->row_at ? g->row_at : li(b, 0), length), g->w, wp, g->acc, acc_at, g->depth);
		lend(b);
	}
	if (hi > WholeRows)
		lif(b, llt(b, li(b, WholeRows), g->rows));
	return hi > WholeRows;
}

/* One panel, at wp, by tiles t0 .. t1, the first of which begins at row0: all of them pass by each slice of the panel. */
static void emit_tiles(Gemm *g, LExpr *t0, LExpr *t1, LExpr *row0, LExpr *wp, LExpr *acc0)
{
	Kernel *k = g->k;
	LB *b = &k->b;
	LExpr *step = li(b, k->l->t->kb), *nk = g->depth;

	LExpr *k0 = lfor(b, ForSerial, li(b, 0), lop(b, LPMax, nk, li(b, 1), NULL), step); /* once for an empty sum */
	LExpr *klen = llet(b, lop(b, LPMin, step, lsub(b, nk, k0), NULL));
	LExpr *first = llet(b, lop(b, LPMax, lsub(b, li(b, 1), k0), li(b, 0), NULL));
	LExpr *w_at = llet(b, ladd(b, wp, lmul(b, k0, li(b, PanelWidth)))), *slice_at = w_at;
	LBuf *slice = widen_slice(k, g->w, &slice_at, klen);
	LExpr *t = lfor(b, ForSerial, t0, t1, NULL);
	LExpr *from = llet(b, tile_begin(b, t, g->rows, g->tiles)), *to = llet(b, tile_begin(b, ladd(b, t, li(b, 1)), g->rows, g->tiles));
	LExpr *count = llet(b, lsub(b, to, from));
	LExpr *a_at = llet(b, ladd(b, lmul(b, from, packed_length(b, nk)), lmul(b, k0, count)));
	Turn turn = {lsub(b, t, t0), llet(b, lsub(b, t1, t0))};
	LExpr *acc_at = llet(b, ladd(b, acc0, lmul(b, lsub(b, from, row0), li(b, PanelWidth))));
	call_tile(k, count, g->packed, a_at, slice, slice_at, g->acc, acc_at, klen, first, slice == g->w ? &turn : NULL);
	lend(b);
	lend(b);
}

/* For row blocks x units of panels in parallel: the panels, K blocks, tiles, epilogue.  Sizes are arguments, which cost nothing
 * beside the tiles: linears that differ in them alone are one kernel. */
static void emit_gemm(Kernel *k, Epilogue *e, LBuf *packed, LExpr *row_at, LBuf *w, const Dim *rows, const Dim *depth, const Dim *tiles,
                      const Dim *units)
{
	LB *b = &k->b;
	Module *m = k->l->m;
	const int mr = k->l->t->mr, panels = unit_panels(e->parts), block_tiles = BlockRows / mr / panels, acc_rows = block_tiles * mr;
	const Dim *blocks = dim_ceildiv(m, tiles, dim_const(m, block_tiles));
	Gemm g = {.k = k, .packed = packed, .w = w, .rows = kdim(k, rows), .tiles = kdim(k, tiles), .depth = kparam(k, depth), .row_at = row_at};
	LExpr *nu = kparam(k, units), *nb = kdim(k, blocks);

	g.acc = llocal(b, "acc", F32, (int64_t)panels * acc_rows * PanelWidth);
	LExpr *p = lfor(b, ForParallel, li(b, 0), lmul(b, nb, nu), NULL);
	LExpr *block = llet(b, lop(b, LFloorDiv, p, nu, NULL)), *unit = llet(b, lsub(b, p, lmul(b, block, nu)));
	/* balanced too: at most block_tiles tiles each */
	LExpr *t0 = llet(b, tile_begin(b, block, g.tiles, nb)), *t1 = llet(b, tile_begin(b, ladd(b, block, li(b, 1)), g.tiles, nb));
	LExpr *row0 = llet(b, tile_begin(b, t0, g.rows, g.tiles)), *panel = unit, *acc0 = li(b, 0);

	if (panels > 1) {
		LExpr *i = lfor(b, ForSerial, li(b, 0), li(b, panels), NULL);
		panel = llet(b, ladd(b, lmul(b, unit, li(b, panels)), i));
		acc0 = llet(b, lmul(b, i, li(b, acc_rows * PanelWidth)));
	}
	LExpr *wp = llet(b, lmul(b, panel, lmul(b, g.depth, li(b, PanelWidth))));
	if (emit_stream(&g, rows, wp, acc0)) {
		emit_tiles(&g, t0, t1, row0, wp, acc0);
		lend(b);
	}
	if (panels > 1)
		lend(b);
	LExpr *last = llet(b, tile_begin(b, t1, g.rows, g.tiles));
	emit_epilogue(e, k, row0, last, g.acc, acc_rows, unit);
	lend(b);
}

void lower_linear(Lower *l, Node *root, Node *epilogue, Value *result, Value *home)
{
	Module *m = l->m;
	const Type *xt = &root->in[0]->type, *wt = &root->in[1]->type;
	const Dim *depth = wt->dims[1], *panels = wt->dims[0], *rows = dim_const(m, 1);
	const Dim *per_unit = dim_const(m, unit_panels((int)attr_int(root, Attr_parts)));
	int inner = (int)attr_int(root, Attr_inner);

	for (int d = 0; d < xt->rank - inner; d++)
		rows = dim_mul(m, rows, xt->dims[d]);
	const Dim *tiles = tiles_of(l, rows);
	Packed *packed = packed_rows(l, root);
	const bool in_place = lie_packed(root, packed);
	if (!in_place && !packed->slot)
		pack_rows(l, root->in[0], inner, rows, depth, tiles, packed_slot(l, packed, dim_mul(m, rows, packed_depth(m, depth))));

	Kernel k = open_kernel(l, "linear", true);
	k.general = true;
	Epilogue e = {.l = l, .root = root, .first = epilogue, .result = result, .home = home, .added = root->in[2]};
	Access row = {.buf = NULL};
	if (in_place)
		row = kaccess(&k, root->in[0]);
	LExpr *row_at = !in_place ? NULL : dim_equals(row.base, 0) ? li(&k.b, 0) : kparam(&k, row.base);
	LBuf *a = in_place ? row.buf : kslot(&k, packed->slot, false), *w = kbuf(&k, root->in[1], false);
	open_epilogue(&e, &k);
	emit_gemm(&k, &e, a, row_at, w, rows, depth, tiles, dim_floordiv(m, panels, per_unit));
	const Dim *outputs = type_numel(m, &root->out[0]->type);
	kflop(&k, dim_mul_const(m, dim_mul(m, outputs, depth), 2));
	if (root->in[2])
		kflop(&k, outputs);
	kflop_nodes(&k, epilogue, NULL);
	k.b.fn->loc = root->loc;
	kcall(&k);
}
