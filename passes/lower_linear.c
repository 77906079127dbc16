/* lower_linear.c - linear: packed constant weights, and an epilogue.
 *
 * y[M, N] = x[M, K] w.  Step one packs x into tiles, unless who computes x has stored it so (packed.c).  Step two takes panels as the outer
 * loop, split over the workers, and runs all tiles of a block of rows inside, K in blocks, so that a panel slice stays in a cache while the
 * tiles pass by (target.h).  After the last block of K the epilogue runs over the rows while they are in L1.  Rows so deep that the second cache
 * has no room for a block of them meet several panels slice by slice (plan_runs()).
 * A few rows (decoding) are bound by the weights' way from memory: they take a whole panel at once, prefetching what follows.
 * The body of a loop reads the same weights again and again: it goes through the panels there and back by turns, so that those that came last
 * come first, while they lie in the second cache.
 *
 * Many rows by few weights (convolutions of large maps) are another loop: a tile of rows is packed, by the same kernel, and meets all
 * panels, which stay in the second cache; its results are written side by side.  Such a one may lie in another kernel, or contain what
 * computes its rows (feed.h).
 *
 * Weights of integers with scales (lower_scaled.c) become f32 in registers where a few rows meet them, else once for each slice.
 *
 * Sparse weights (ir/sparse.h): each group of columns meets its own entries, all of K at once.
 *
 * Strassen's linears (ir/strassen.h) are seven such products of half the rows, depth and columns, for each pair of panels.
 */
#include "epilogue.h"
#include "feed.h"
#include "../ir/sparse.h"
#include "../ir/strassen.h"

enum {
	/* Each tile packed by itself: */
	ManyRows = 512,
	FewWeights = 1 << 20, /* bytes, at most */
	SomeRows = 32, /* stands for an extent that is not known, but the first */
	/* Panels of a task that meet a slice of rows one after the other: */
	PanelsOfRun = 8,
	RunsOfWorker = 4 /* at least */
};

/* Rows from .. to of unit `unit`; acc holds them from acc_at on, [panel of the unit][rows up to acc_rows][32].  base: where row 0 would lie;
 * NULL: at 0.  tile: which they are, where they are stored packed; else NULL. */
static void emit_epilogue(Epilogue *e, Kernel *k, LExpr *from, LExpr *to, LBuf *acc, LExpr *acc_at, int acc_rows, LExpr *unit, LExpr *base,
                          const PackedTile *tile)
{
	LB *b = &k->b;
	const Type *t = &e->result->type;
	const Dim *width = t->dims[t->rank - 1];
	const int chunk = part_width(e->parts);
	LExpr *rows[MaxOperands], *n = kparam(k, width), *j = li(b, 0), *columns = li(b, chunk);
	ByPart sums;
	int64_t known;
	bool whole = dim_is_const(width, &known) && known % chunk == 0;

	LExpr *row = lfor(b, ForSerial, from, to, NULL);
	LExpr *acc_row = llet(b, ladd(b, acc_at, lmul(b, lsub(b, row, from), li(b, PanelWidth))));
	LExpr *out_row = llet(b, base ? ladd(b, base, lmul(b, row, n)) : lmul(b, row, n));
	leaf_rows(e, k, row, rows);
	if (!whole && e->parts == 1)
		columns = columns_left(b, n, unit);
	if (chunk > Lanes)
		j = lfor(b, ForSerial, j, columns, li(b, Lanes));
	LExpr *col = llet(b, ladd(b, lmul(b, unit, li(b, chunk)), j));
	LExpr *mask = whole ? NULL : lane_mask(k, lsub(b, n, col));
	for (int g = 0; g < e->parts; g++) {
		int at = g * chunk / PanelWidth * acc_rows * PanelWidth + g * chunk % PanelWidth;
		sums.e[g] = llet(b, lload(b, acc, Lanes, ladd(b, ladd(b, acc_row, li(b, at)), j), NULL, NULL));
	}
	emit_columns(e, k, sums, rows, tile ? packed_place(b, tile, row, col) : ladd(b, out_row, col), col, mask);
	if (chunk > Lanes)
		lend(b);
	lend(b);
}

/* ---- linear ------------------------------------------------------------------------------------------------------------------- */

/* What the kernel of a linear has at hand. */
typedef struct Gemm {
	Kernel *k;
	LBuf *packed, *w, *acc;
	LExpr *rows, *tiles, *depth;
	LExpr *row_at; /* where the only row lies, which nobody packed; else NULL */
	LExpr *block_at; /* where the block's rows are packed; NULL: all rows are, from 0 on */
	LExpr *w_from; /* where w's panels begin; NULL: at 0 */
	LExpr *made_at; /* where those of its results are, that are stored packed; NULL: as those of x */
	LExpr *columns; /* of the panel, that count; NULL: more than half of them */
	LExpr *back; /* 1: units come in falling order, 0: in rising order; NULL: always so */
	LExpr *skip; /* call_stream()'s */
	const Sparse *sparse; /* NULL: w is panels */
	Scales *scales; /* of linear_scaled, for the panel of open_unit(); else NULL */
	int paired; /* so few rows meet two units at once */
	bool many; /* rows are not few */
	int run; /* units of a task, at most */
	int steps; /* PanelTiles' */
} Gemm;

/* As many rows as can meet so many panels at once. */
static int stream_rows(const Lower *l, int panels)
{
	int rows = WholeRows;
	while (rows > 0 && stream_panels(l, rows) < panels)
		rows--;
	return rows;
}

/* `panels` panels from wp on by a few rows, least .. most; opens the case that there are more, which
 * the caller closes.  False: there never are. */
static bool emit_stream(Gemm *g, const Dim *rows, int least, int most, int panels, LExpr *wp, LExpr *acc_at, int acc_apart)
{
	LB *b = &g->k->b;
	int64_t lo, hi;

	dim_range(rows, &lo, &hi);
	for (int r = least; r <= most; r++) {
		if (r < lo || r > hi)
			continue;
		lif(b, lop(b, LEq, g->rows, li(b, r), NULL));
		LExpr *length = g->row_at ? g->depth : lmul(b, packed_length(b, g->depth), li(b, r));
		const LArg a = arg_buf(g->packed, F32, g->row_at ? g->row_at : li(b, 0), length);
		if (g->scales)
			call_scaled_stream(g->k, r, panels, a, g->w, wp, g->acc, acc_at, acc_apart, g->depth, g->skip, g->scales);
		else
			call_stream(g->k, r, panels, a, g->w, wp, g->acc, acc_at, acc_apart, g->depth, g->skip);
		lend(b);
	}
	if (hi > most)
		lif(b, llt(b, li(b, most), g->rows));
	return hi > most;
}

/* `panels` panels (NULL: one) from wp on by tiles t0 .. t1 - 1, of which the first begins at row0; the sums of each are `apart` elements behind
 * those of the one before. */
static void emit_tiles(Gemm *g, LExpr *t0, LExpr *t1, LExpr *row0, LExpr *wp, LExpr *panels, LExpr *acc0, LExpr *apart)
{
	LB *b = &g->k->b;
	LExpr *words = lmul(b, g->depth, li(b, step_words(g->k->l->t, g->w->elem)));
	LExpr *at = g->block_at ? g->block_at : lmul(b, row0, packed_length(b, words));
	call_panel(g->k, &(PanelTiles){.a = g->packed, .w = g->w, .acc = g->acc, .a_at = at, .w_at = wp, .acc_at = acc0, .rows = g->rows,
	                          .tiles = g->tiles, .t0 = t0, .t1 = t1, .depth = g->depth, .panels = panels, .apart = apart, .columns = g->columns,
	                          .steps = g->steps, .scales = g->scales});
}

/* Where the tile lies that begins with row `from`, or the only row. */
static LExpr *tile_place(const Gemm *g, LExpr *from)
{
	LB *b = &g->k->b;
	return g->row_at ? g->row_at : llet(b, lmul(b, from, packed_length(b, g->depth)));
}

/* The same of a panel of sparse weights. */
static void emit_sparse(Gemm *g, LExpr *t0, LExpr *t1, LExpr *row0, LExpr *panel, LExpr *acc0)
{
	Kernel *k = g->k;
	LB *b = &k->b;
	LExpr *groups = li(b, PanelWidth / SparseWidth);

	LExpr *i = lfor(b, ForSerial, li(b, 0), groups, NULL), *group = llet(b, ladd(b, lmul(b, panel, groups), i));
	LExpr *begin = sparse_begin(b, g->sparse, group), *end = sparse_begin(b, g->sparse, ladd(b, group, li(b, 1)));
	LExpr *t = lfor(b, ForSerial, t0, t1, NULL);
	LExpr *from = llet(b, tile_begin(b, t, g->rows, g->tiles)), *to = llet(b, tile_begin(b, ladd(b, t, li(b, 1)), g->rows, g->tiles));
	LExpr *acc_at = ladd(b, acc0, ladd(b, lmul(b, lsub(b, from, row0), li(b, PanelWidth)), lmul(b, i, li(b, SparseWidth))));
	call_sparse(k, llet(b, lsub(b, to, from)), g->packed, tile_place(g, from), g->depth, g->sparse, begin, end, g->acc, llet(b, acc_at));
	lend(b);
	lend(b);
}

/* Elements of w in a panel. */
static LExpr *panel_size(const Gemm *g)
{
	LB *b = &g->k->b;
	return lmul(b, g->depth, li(b, g->scales ? step_bytes(g->scales) : PanelWidth));
}

static const Dim *last_dim(const Type *t)
{
	return t->dims[t->rank - 1];
}

/* May the last panel be half empty? */
static bool has_half_panel(const Epilogue *e)
{
	int64_t width;
	return e->parts == 1 && !(dim_is_const(last_dim(&e->result->type), &width) && (width - 1) % PanelWidth >= Lanes);
}

/* A unit's panels, one by one: opens that loop, if there are several; returns whether it did. */
static bool open_unit(Gemm *g, const Epilogue *e, LExpr *unit, int acc_rows, LExpr **number, LExpr **acc0)
{
	Kernel *k = g->k;
	LB *b = &k->b;
	const int panels = unit_panels(e->parts);
	LExpr *panel = unit;

	*acc0 = g->skip = li(b, 0);
	if (g->back)
		g->skip = llet(b, lmul(b, lmul(b, g->back, li(b, -2 * panels)), panel_size(g)));
	if (panels > 1) {
		LExpr *i = lfor(b, ForSerial, li(b, 0), li(b, panels), NULL);
		panel = llet(b, ladd(b, lmul(b, unit, li(b, panels)), i));
		*acc0 = llet(b, lmul(b, i, li(b, acc_rows * PanelWidth)));
		if (g->back)
			g->skip = llet(b, lop(b, LSelect, lop(b, LEq, i, li(b, panels - 1), NULL), g->skip, li(b, 0)));
	}
	if (has_half_panel(e))
		g->columns = columns_left(b, kparam(k, last_dim(&e->result->type)), panel);
	if (g->scales)
		g->scales->at = llet(b, lmul(b, panel, lmul(b, g->scales->blocks, li(b, PanelWidth))));
	*number = panel;
	return panels > 1;
}

static LExpr *panel_at(const Gemm *g, LExpr *panel)
{
	LB *b = &g->k->b;
	LExpr *at = lmul(b, panel, panel_size(g));
	return llet(b, g->w_from ? ladd(b, g->w_from, at) : at);
}

/* Both panels of a unit at once, by so few rows that their sums stay in registers; what follows emit_stream() holds here too. */
static bool emit_two_panels(Gemm *g, const Dim *rows, LExpr *unit, LExpr *acc_at, int acc_rows)
{
	LB *b = &g->k->b;
	LExpr *panel = lmul(b, g->depth, li(b, PanelWidth)); /* the next unit's first panel lies one behind the end of the first, and so on */
	g->skip = g->back ? llet(b, lmul(b, lsub(b, li(b, 1), lmul(b, g->back, li(b, 4))), panel)) : panel;
	return emit_stream(g, rows, 1, stream_rows(g->k->l, 2), 2, panel_at(g, lmul(b, unit, li(b, 2))), acc_at, acc_rows * PanelWidth);
}

/* The epilogue over the rows of tiles t0 .. t1 - 1, of which the first is row0: their sums begin at acc_at. */
static void emit_results(Gemm *g, Epilogue *e, LExpr *t0, LExpr *t1, LExpr *row0, LExpr *unit, LExpr *acc_at, int acc_rows)
{
	LB *b = &g->k->b;

	if (!e->made) {
		emit_epilogue(e, g->k, row0, llet(b, tile_begin(b, t1, g->rows, g->tiles)), g->acc, acc_at, acc_rows, unit, NULL, NULL);
		return;
	}
	const Type *t = &e->result->type;
	LExpr *i = lfor(b, ForSerial, t0, t1, NULL);
	LExpr *from = llet(b, tile_begin(b, i, g->rows, g->tiles)), *to = llet(b, tile_begin(b, ladd(b, i, li(b, 1)), g->rows, g->tiles));
	LExpr *columns = kparam(g->k, t->dims[t->rank - 1]);
	PackedTile tile = packed_tile(b, from, to, columns);
	if (g->made_at)
		tile.at = llet(b, ladd(b, g->made_at, lmul(b, lsub(b, from, row0), packed_length(b, columns))));
	emit_epilogue(e, g->k, from, to, g->acc, llet(b, ladd(b, acc_at, lmul(b, lsub(b, from, row0), li(b, PanelWidth)))), acc_rows, unit, NULL, &tile);
	lend(b);
}

/* The sums of a unit of panels, from acc_at on, by few rows, or where weights are sparse or scaled. */
static void emit_unit(Gemm *g, Epilogue *e, const Dim *rows, LExpr *t0, LExpr *t1, LExpr *row0, LExpr *unit, LExpr *acc_at, int acc_rows)
{
	LB *b = &g->k->b;
	LExpr *panel, *acc0, *wp;
	const int panels = unit_panels(e->parts);
	const bool pairs = panels == 2 && !g->sparse && !g->scales;
	const int least = (g->paired ? g->paired : pairs ? stream_rows(g->k->l, panels) : 0) + 1;
	const int most = g->scales ? scaled_stream_rows(g->k->l, 1) : stream_rows(g->k->l, 1);

	if (pairs && !emit_two_panels(g, rows, unit, acc_at, acc_rows))
		return;
	bool several = open_unit(g, e, unit, acc_rows, &panel, &acc0);
	acc0 = llet(b, ladd(b, acc_at, acc0));
	if (g->sparse)
		emit_sparse(g, t0, t1, row0, panel, acc0);
	else if (emit_stream(g, rows, least, most, 1, wp = panel_at(g, panel), acc0, 0)) {
		if (g->scales)
			emit_tiles(g, t0, t1, row0, wp, NULL, acc0, NULL);
		lend(b);
	}
	if (several)
		lend(b);
	if (pairs)
		lend(b);
}

/* Row tiles t0 .. t1 - 1, of which the first begins at row0, by units from .. to - 1 (NULL: one), whose sums lie one behind the other from acc_at
 * on: K blocks, panels, tiles; then the epilogues. */
static void emit_units(Gemm *g, Epilogue *e, const Dim *rows, LExpr *t0, LExpr *t1, LExpr *row0, LExpr *from, LExpr *to, LExpr *acc_at, int acc_rows)
{
	Kernel *k = g->k;
	LB *b = &k->b;
	const int panels = unit_panels(e->parts), few = g->many || is_bytes(g->w->elem) ? 0 : stream_rows(k->l, 1);
	LExpr *apart = li(b, acc_rows * PanelWidth), *unit = from, *sums = acc_at;
	int64_t least, most;

	dim_range(rows, &least, &most);
	if (!g->sparse && !g->scales && most > few) {
		LExpr *panel = llet(b, lmul(b, from, li(b, panels))), *count = li(b, panels);
		if (least <= few)
			lif(b, llt(b, li(b, few), g->rows));
		g->columns = has_half_panel(e) ? llet(b, lsub(b, kparam(k, last_dim(&e->result->type)), lmul(b, panel, li(b, PanelWidth)))) : NULL;
		emit_tiles(g, t0, t1, row0, panel_at(g, panel), to ? llet(b, lmul(b, lsub(b, to, from), count)) : count, acc_at, apart);
		if (least <= few)
			lend(b);
	}
	if (to) {
		unit = lfor(b, ForSerial, from, to, NULL);
		sums = llet(b, ladd(b, acc_at, lmul(b, lsub(b, unit, from), lmul(b, li(b, panels), apart))));
	}
	if (few || g->sparse || g->scales)
		emit_unit(g, e, rows, t0, t1, row0, unit, sums, acc_rows);
	emit_results(g, e, t0, t1, row0, unit, sums, acc_rows);
	if (to)
		lend(b);
}

/* Two units of a panel each, at once: few enough rows that the sums of both stay in registers.  `task` counts such pairs. */
static void emit_pair_of_units(Gemm *g, Epilogue *e, const Dim *rows, LExpr *units, LExpr *task)
{
	LB *b = &g->k->b;
	enum { Apart = WholeRows * PanelWidth };
	LExpr *two = li(b, 2), *unit = llet(b, lmul(b, task, two)), *count = llet(b, lop(b, LPMin, two, lsub(b, units, unit), NULL));
	LExpr *wp = panel_at(g, unit), *zero = li(b, 0), *one = li(b, 1);

	g->scales->at = llet(b, lmul(b, unit, lmul(b, g->scales->blocks, li(b, PanelWidth))));
	g->skip = llet(b, g->back ? lmul(b, lsub(b, one, lmul(b, g->back, li(b, 4))), panel_size(g)) : panel_size(g));
	lif(b, lop(b, LEq, count, two, NULL));
	if (emit_stream(g, rows, 1, g->paired, 2, wp, zero, Apart))
		lend(b);
	lelse(b);
	g->skip = zero;
	if (emit_stream(g, rows, 1, g->paired, 1, wp, zero, 0))
		lend(b);
	lend(b);
	LExpr *i = lfor(b, ForSerial, zero, count, NULL);
	emit_results(g, e, zero, one, zero, llet(b, ladd(b, unit, i)), llet(b, lmul(b, i, li(b, Apart))), WholeRows);
	lend(b);
}

/* 0 and 1 by turns in the iterations of the loop around, where its weights stay the same and much of the second cache is too small for them;
 * else NULL. */
static LExpr *turn_of(Kernel *k, const Node *root)
{
	Module *m = k->l->m;
	const Value *w = root->in[1];
	const Block *b = root->block;
	int64_t elements;

	while (b && !(b->owner && b->owner->op == OpLoop))
		b = block_around(b);
	if (!b || !is_const(w) || !dim_is_const(type_numel(m, &w->type), &elements) || elements <= k->l->t->l2 / 2 / dtypes[w->type.dtype].bytes)
		return NULL;
	return kparam(k, dim_mod(m, dim_sym(m, attr_text(b->owner, Attr_counter)), dim_const(m, 2)));
}

/* Opens a loop over the tasks of each worker; where `back` is 1 the last one comes first. */
static LExpr *open_tasks(Kernel *k, LExpr *tasks, LExpr *back)
{
	LB *b = &k->b;
	LExpr *one = li(b, 1);

	if (!back)
		return lfor(b, ForParallel, li(b, 0), tasks, NULL);
	LExpr *workers = kthreads(k), *worker = this_worker(k);
	LExpr *from = llet(b, lop(b, LFloorDiv, lmul(b, tasks, worker), workers, NULL));
	LExpr *to = llet(b, lop(b, LFloorDiv, lmul(b, tasks, ladd(b, worker, one)), workers, NULL));
	LExpr *i = lfor(b, ForSerial, from, to, NULL), *mirrored = lsub(b, ladd(b, from, lsub(b, to, one)), i);
	return llet(b, lop(b, LSelect, lop(b, LEq, back, one, NULL), mirrored, i));
}

/* Where the rows of a block, at most `rows`, are too many for the second cache, several units are a task, and each slice of the rows comes there once for all of
 * them: from a far cache of 15 GB/s a core they would come no faster than the products of one panel take them. */
static void plan_runs(Gemm *g, const Epilogue *e, int64_t rows)
{
	const Lower *l = g->k->l;
	const int64_t l2 = l->t->l2 / dtypes[F32].bytes;
	int64_t least, depth, elements;

	g->run = 1;
	if (g->sparse || g->scales || g->back)
		return;
	dim_range(e->root->in[1]->type.dims[1], &least, &depth);
	rows *= step_words(l->t, g->w->elem);
	if (!__builtin_mul_overflow(rows, depth, &elements) && elements <= l2)
		return;
	g->run = PanelsOfRun / unit_panels(e->parts);
	g->steps = (int)(l2 / 2 / rows / PackK * PackK);
	if (g->steps > l->schedule.steps)
		g->steps = 0;
}

/* For row blocks x units of panels in parallel.  Sizes are arguments, which cost nothing beside the tiles: linears that differ in them
 * alone are one kernel. */
static void emit_gemm(Gemm *g, Epilogue *e, const Dim *rows, const Dim *tiles, const Dim *units)
{
	Kernel *k = g->k;
	LB *b = &k->b;
	Module *m = k->l->m;
	const int mr = tile_rows(k->l->t, g->w->elem), panels = unit_panels(e->parts);
	const int block_tiles = k->l->schedule.rows / mr / panels, acc_rows = block_tiles * mr;
	LExpr *nu = kparam(k, units), *nb = kparam(k, dim_ceildiv(m, tiles, dim_const(m, block_tiles))), *one = li(b, 1);
	const int64_t sums = (int64_t)panels * acc_rows * PanelWidth;
	LExpr *acc_at = li(b, 0), *runs = nu, *few = NULL;
	int64_t least, most;

	dim_range(rows, &least, &most);
	g->back = turn_of(k, e->root);
	plan_runs(g, e, acc_rows < most ? acc_rows : most);
	if (g->run > 1) {
		need_scratch(k->l, dim_const(m, g->run * sums));
		g->acc = kscratch_of(k, is_bytes(g->w->elem) ? I32 : F32);
		acc_at = llet(b, lmul(b, this_worker(k), kworker(k)));
		LExpr *share = lop(b, LFloorDiv, lmul(b, nb, nu), lmul(b, kthreads(k), li(b, RunsOfWorker)), NULL);
		LExpr *units_of_run = llet(b, lop(b, LPMin, lop(b, LPMax, share, one, NULL), li(b, g->run), NULL));
		runs = llet(b, lop(b, LFloorDiv, ladd(b, nu, lsub(b, units_of_run, one)), units_of_run, NULL));
	} else {
		g->acc = llocal(b, "acc", is_bytes(g->w->elem) ? I32 : F32, sums);
	}
	LExpr *tasks = lmul(b, nb, runs);
	g->paired = g->scales && panels == 1 && least <= scaled_stream_rows(k->l, 2) ? scaled_stream_rows(k->l, 2) : 0;
	if (g->paired) {
		few = llet(b, lop(b, LLe, g->rows, li(b, g->paired), NULL));
		tasks = llet(b, lop(b, LSelect, few, lop(b, LFloorDiv, ladd(b, nu, li(b, 1)), li(b, 2), NULL), tasks));
	}
	LExpr *p = open_tasks(k, tasks, g->back);
	if (few) {
		lif(b, few);
		emit_pair_of_units(g, e, rows, nu, p);
		lelse(b);
	}
	LExpr *block = llet(b, lop(b, LFloorDiv, p, runs, NULL)), *number = llet(b, lsub(b, p, lmul(b, block, runs)));
	LExpr *u0 = g->run > 1 ? llet(b, tile_begin(b, number, nu, runs)) : number;
	LExpr *u1 = g->run > 1 ? llet(b, tile_begin(b, ladd(b, number, one), nu, runs)) : NULL;
	/* balanced too: at most block_tiles tiles each */
	LExpr *t0 = llet(b, tile_begin(b, block, g->tiles, nb)), *t1 = llet(b, tile_begin(b, ladd(b, block, li(b, 1)), g->tiles, nb));
	emit_units(g, e, rows, t0, t1, llet(b, tile_begin(b, t0, g->rows, g->tiles)), u0, u1, acc_at, acc_rows);
	if (few)
		lend(b);
	lend(b);
}

/* Do these panels, as f32, stay in the second cache? */
static bool has_few_weights(const Type *w)
{
	int64_t k, n, bytes;
	return dim_is_const(w->dims[1], &k) && dim_is_const(w->dims[0], &n) && !__builtin_mul_overflow(k * 4, n * PanelWidth, &bytes) && bytes <= FewWeights;
}

bool is_made_by_tiles(const Node *root, bool packed_elsewhere, bool repack)
{
	const Type *x = &root->in[0]->type, *w = &root->in[1]->type;
	int64_t rows = 1, extent;

	if (packed_elsewhere || !dim_is_const(w->dims[1], NULL) || !dim_is_const(w->dims[0], NULL) || dim_equals(w->dims[1], 0))
		return false;
	if (!has_few_weights(w))
		return repack;
	for (int d = 0; d < x->rank - attr_int(root, Attr_inner) && rows < ManyRows; d++)
		rows *= dim_is_const(x->dims[d], &extent) ? extent < ManyRows ? extent : ManyRows : d ? SomeRows : 1;
	return (rows >= ManyRows) != repack;
}

bool is_made_by_panels(Lower *l, Node *linear)
{
	Packed *p = packed_rows(l, linear);
	if (feeder(linear->in[0]))
		return false;
	return p->slot || linear->op == OpSparse || lie_packed(linear, p) || !is_made_by_tiles(linear, p->users > 1, l->schedule.repack);
}

struct TileLinear {
	Gemm g;
	Epilogue e;
	Access x;
	GroupConv *source; /* of the rows; NULL: x is there */
	const Dim *line; /* rows that tiles share out between them */
	InPlace rows; /* of x */
	bool in_place; /* tiles read them where they lie; others are packed */
	int inner;
	const Dim *units;
};

static void count_flop(Kernel *k, const Node *root, Node *epilogue, const Dim *products)
{
	const Dim *outputs = type_numel(k->l->m, &root->out[0]->type);

	kflop(k, dim_mul_const(k->l->m, products, 2));
	if (root->nin > 2 && root->in[2])
		kflop(k, outputs);
	kflop_nodes(k, epilogue, NULL);
}

/* The operands of a linear_scaled that make its weights; of other linears NULL. */
static Scales *scales_of(Kernel *k, const Node *root)
{
	if (root->op != OpLinearScaled)
		return NULL;
	Scales *s = arena_alloc(k->l->m->arena, sizeof *s);
	const int64_t block = attr_int(root, Attr_block);
	const Dim *blocks = root->in[3]->type.dims[1];
	*s = (Scales){.scale = kbuf(k, root->in[3], false), .zero = root->in[4] ? kbuf(k, root->in[4], false) : NULL};
	s->blocks = kparam(k, blocks);
	s->block = dim_equals(blocks, 1) ? 0 : block;
	s->steps = s->block % PackK == 0 ? PackK : (int)block;
	s->offset = (int)attr_int(root, Attr_offset);
	s->halves = has_halves(root);
	return s;
}

static const Dim *units_of(Module *m, const Node *root)
{
	return dim_floordiv(m, root->in[1]->type.dims[0], dim_const(m, unit_panels((int)attr_int(root, Attr_parts))));
}

/* Each worker reads what its tiles have in common, panels of a shorter type, once: as f32 in its scratch. */
static void widen_panels(Gemm *g, const Type *w, Scratch *scratch)
{
	LB *b = &g->k->b;
	const Dim *size = dims_product(g->k->l->m, w->dims, w->rank);

	g->w_from = take_scratch(g->k, scratch, size);
	LExpr *i = lfor(b, ForSerial, li(b, 0), kparam(g->k, size), li(b, Lanes));
	lstore(b, scratch->buf, ladd(b, g->w_from, i), NULL, NULL, load_weights(b, g->w, i));
	lend(b);
	g->w = scratch->buf;
}

TileLinear *open_tile_linear(Kernel *k, const Feed *f, const Dim *line, Scratch *scratch)
{
	Lower *l = k->l;
	Node *root = f->root, *source = feeder(root->in[0]);
	TileLinear *t = arena_alloc(l->m->arena, sizeof *t);
	const Dim *depth = root->in[1]->type.dims[1];

	*t = (TileLinear){.inner = (int)attr_int(root, Attr_inner), .units = units_of(l->m, root), .line = line};
	t->e = (Epilogue){.l = l, .root = root, .first = f->epilogue, .result = f->result, .home = f->home, .added = root->in[2], .made = f->made};
	t->g = (Gemm){.k = k, .packed = scratch->buf};
	t->g.depth = kparam(k, depth);
	t->g.w = kbuf(k, root->in[1], false);
	t->g.scales = scales_of(k, root);
	if (is_stored(t->g.w->elem) && !t->g.scales && has_few_weights(&root->in[1]->type))
		widen_panels(&t->g, &root->in[1]->type, scratch);
	if (!source) {
		t->x = kaccess(k, root->in[0]);
		t->in_place = t->g.w->elem == F32 && lies_for_tiles(l, &t->x, t->inner, root->in[1]->type.dims[0], line, &t->rows);
	}
	if (!line)
		t->line = t->in_place ? t->rows.line : dims_product(l->m, root->in[0]->type.dims, root->in[0]->type.rank - t->inner);
	if (!t->in_place || !t->rows.rest)
		t->g.block_at = take_scratch(k, scratch, dim_mul_const(l->m, packed_depth(l->m, depth), l->t->mr));
	if (source) {
		Feed from = feed_of(source, scratch->buf);
		t->source = open_fed_conv(k, &from, scratch);
	}
	open_epilogue(&t->e, k);
	t->g.acc = llocal(&k->b, "acc", F32, (int64_t)unit_panels(t->e.parts) * l->t->mr * PanelWidth);
	count_flop(k, root, f->epilogue, dim_mul(l->m, type_numel(l->m, &root->out[0]->type), depth));
	return t;
}

/* A tile of packed rows by one panel: no slice of it is used again, so it needs no blocks of K unless they are scaled. */
static void emit_packed_tile(const Gemm *g, LExpr *count, const PanelTile *p)
{
	LB *b = &g->k->b;
	LExpr *zero = li(b, 0), *one = li(b, 1);

	if (g->w->elem == F32)
		call_lone_tile(g->k, count, g->packed, g->block_at, p);
	else
		call_panel(g->k, &(PanelTiles){.a = g->packed, .w = p->w, .acc = p->acc, .a_at = g->block_at, .w_at = p->w_at, .acc_at = p->acc_at, .rows = count,
		                          .tiles = one, .t0 = zero, .t1 = one, .depth = p->depth, .columns = p->columns, .scales = g->scales});
}

/* Rows from .. to, at most mr, of which row 0 would lie at `base` of the result's buffer (NULL: 0). */
static void make_rows(TileLinear *t, LExpr *from, LExpr *to, LExpr *base)
{
	Gemm *g = &t->g;
	Kernel *k = g->k;
	LB *b = &k->b;
	const InPlace *p = t->in_place ? &t->rows : NULL;
	const bool packed = !p || !p->rest, both = p && p->rest != p->rows; /* are some tiles packed; are there two kinds of tiles */
	LExpr *panel, *acc0, *count = llet(b, lsub(b, to, from)), *whole = both ? llet(b, lop(b, LEq, count, li(b, p->rows), NULL)) : NULL;

	if (packed && both)
		lif(b, lop(b, LNot, whole, NULL, NULL));
	if (t->source)
		make_conv_tile(t->source, from, to, g->block_at);
	else if (packed)
		pack_rows_here(k, &t->x, t->inner, from, to, g->packed, g->block_at);
	if (packed && both)
		lend(b);
	LExpr *unit = lfor(b, ForSerial, li(b, 0), kparam(k, t->units), NULL);
	bool several = open_unit(g, &t->e, unit, k->l->t->mr, &panel, &acc0);
	const PanelTile tile = {.w = g->w, .acc = g->acc, .w_at = panel_at(g, panel), .acc_at = acc0, .depth = g->depth, .columns = g->columns};
	if (both)
		lif(b, whole);
	if (p)
		call_tile_in_place(k, p, p->rows, from, &tile);
	if (both)
		lelse(b);
	if (packed)
		emit_packed_tile(g, count, &tile);
	else if (both)
		call_tile_in_place(k, p, p->rest, from, &tile);
	if (both)
		lend(b);
	if (several)
		lend(b);
	emit_epilogue(&t->e, k, from, to, g->acc, li(b, 0), k->l->t->mr, unit, base, NULL);
	lend(b);
}

/* A line's tile number `tile` of `tiles`; row0: the line's first row, NULL: 0. */
static void make_tile(TileLinear *t, LExpr *row0, LExpr *length, LExpr *tile, LExpr *tiles, LExpr *base)
{
	LB *b = &t->g.k->b;
	LExpr *bound[2];

	for (int i = 0; i < 2; i++) {
		LExpr *number = i ? ladd(b, tile, li(b, 1)) : tile;
		LExpr *at = t->in_place ? in_place_begin(b, &t->rows, number, length) : tile_begin(b, number, length, tiles);
		bound[i] = llet(b, row0 ? ladd(b, row0, at) : at);
	}
	make_rows(t, bound[0], bound[1], base);
}

static const Dim *line_tiles(TileLinear *t)
{
	Lower *l = t->g.k->l;
	return t->in_place ? in_place_tiles(l->m, &t->rows) : tiles_of(l, t->line);
}

void make_linear_line(TileLinear *t, LExpr *row0, LExpr *base)
{
	Kernel *k = t->g.k;
	LB *b = &k->b;
	LExpr *length = kparam(k, t->line), *tiles = kparam(k, line_tiles(t));

	LExpr *tile = lfor(b, ForSerial, li(b, 0), tiles, NULL);
	make_tile(t, row0, length, tile, tiles, base);
	lend(b);
}

/* Tiles in parallel. */
static void lower_tiles(Lower *l, const Feed *f)
{
	Kernel k = open_kernel(l, "linear", true);
	LB *b = &k.b;
	k.general = true;
	Scratch scratch = open_scratch(&k);
	TileLinear *t = open_tile_linear(&k, f, NULL, &scratch);
	LExpr *length = kdim(&k, t->line), *tiles = kdim(&k, line_tiles(t)), *row0 = NULL;
	const bool lines = t->in_place && t->rows.row_axes > 1;
	LExpr *all = lines ? lmul(b, tiles, kdim(&k, dims_product(l->m, t->rows.x.extent, t->rows.row_axes - 1))) : tiles;
	LExpr *tile = t->source && has_ring(t->source) ? own_tasks(&k, all) : share_tasks(&k, all);
	if (lines) {
		LExpr *line = llet(b, lop(b, LFloorDiv, tile, tiles, NULL));
		row0 = llet(b, lmul(b, line, length));
		tile = llet(b, lsub(b, tile, lmul(b, line, tiles)));
	}
	make_tile(t, row0, length, tile, tiles, NULL);
	lend(b);
	close_scratch(&k, &scratch);
	k.b.fn->loc = f->root->loc;
	kcall(&k);
}

/* Rows of x as the linear reads them, which this packs unless that is done. */
static Packed *pack_left(Lower *l, Node *root, const Dim *depth)
{
	Module *m = l->m;
	const Type *t = &root->in[0]->type;
	const int inner = (int)attr_int(root, Attr_inner);
	const Dim *rows = dims_product(m, t->dims, t->rank - inner);
	Packed *p = packed_rows(l, root);
	if (!lie_packed(root, p) && !p->slot)
		pack_rows(l, root->in[0], inner, rows, depth, tiles_of(l, rows), packed_slot(l, p, dim_mul(m, rows, packed_depth(m, depth))));
	return p;
}

/* ---- two linears by blocks of rows ---------------------------------------------------------------------------------------------- */

/* Tiles of rows of which what lies between takes most of the second cache, at most as many as have room beside so many panels; 0: too few. */
static int block_tiles(const Lower *l, const Node *second, int panels)
{
	enum { Least = 2 };
	const Type *t = &second->in[0]->type;
	int64_t width, tiles;

	if (!dim_is_const(t->dims[t->rank - 1], &width) || width < 1 || width > l->t->l2)
		return 0;
	tiles = l->t->l2 * 3 / 4 / (width * dtypes[F32].bytes * l->t->mr);
	if (tiles > l->schedule.rows / l->t->mr / panels)
		tiles = l->schedule.rows / l->t->mr / panels;
	return tiles < Least ? 0 : (int)tiles;
}

LStmt *lower_row_blocks(Lower *l, Node *first, Node *second)
{
	Module *m = l->m;
	const Feed f[2] = {feed_of(first, NULL), feed_of(second, NULL)};
	const Type *xt = &f[0].root->in[0]->type, *between = &f[1].root->in[0]->type;
	const Dim *rows = dims_product(m, xt->dims, xt->rank - (int)attr_int(f[0].root, Attr_inner)), *tiles = tiles_of(l, rows);

	int panels = 1;
	for (int i = 0; i < 2; i++) {
		const int own = unit_panels((int)attr_int(f[i].root, Attr_parts));
		panels = own > panels ? own : panels;
	}
	const int block = block_tiles(l, f[1].root, panels), block_rows = block * l->t->mr;
	if (!block || !is_made_by_panels(l, f[0].root) || !is_made_by_panels(l, f[1].root) || lie_packed(f[0].root, packed_rows(l, f[0].root)))
		return NULL;
	if (how_many(rows, (block_rows > LeastBlockRows ? block_rows : LeastBlockRows) - 1) == Few)
		return NULL;
	l->node = first;
	Packed *x = pack_left(l, f[0].root, f[0].root->in[1]->type.dims[1]);
	l->node = second;
	place_results(l, second);

	LB *p = &l->prog;
	LExpr *least = lop(p, LPMax, lmul(p, threads_of(l), li(p, block_rows)), li(p, LeastBlockRows), NULL);
	LStmt *skip = skip_steps(l, llt(p, ldim(p, rows), least));
	Kernel k = open_kernel(l, "linears", true);
	LB *b = &k.b;
	k.general = true;
	k.with = first;
	LExpr *threads = kthreads(&k), *nr = kdim(&k, rows), *nt = kparam(&k, tiles);
	Scratch scratch = open_scratch(&k);
	LExpr *made_at = take_scratch(&k, &scratch, dim_mul_const(m, packed_depth(m, between->dims[between->rank - 1]), block_rows));
	Gemm g[2];
	Epilogue e[2];
	for (int i = 0; i < 2; i++) {
		Node *root = f[i].root;
		g[i] = (Gemm){.k = &k, .rows = nr, .tiles = nt, .depth = kparam(&k, root->in[1]->type.dims[1]), .many = true};
		g[i].w = kbuf(&k, root->in[1], false);
		e[i] = (Epilogue){.l = l, .root = root, .first = f[i].epilogue, .result = f[i].result, .home = f[i].home, .added = root->in[2]};
		e[i].made = i ? packed_result(&k, f[i].home) : scratch.buf;
		open_epilogue(&e[i], &k);
		count_flop(&k, root, f[i].epilogue, dim_mul(m, type_numel(m, &root->out[0]->type), root->in[1]->type.dims[1]));
	}
	g[0].packed = kslot(&k, x->slot, false);
	g[1].packed = scratch.buf;
	g[0].made_at = g[1].block_at = made_at;
	g[0].acc = g[1].acc = llocal(b, "acc", F32, (int64_t)panels * block_rows * PanelWidth);
	/* as many for each worker */
	LExpr *blocks = lop(b, LFloorDiv, ladd(b, nt, li(b, block - 1)), li(b, block), NULL);
	blocks = llet(b, lmul(b, lop(b, LFloorDiv, ladd(b, blocks, lsub(b, threads, li(b, 1))), threads, NULL), threads));
	LExpr *at = share_tasks(&k, blocks);
	LExpr *t0 = llet(b, tile_begin(b, at, nt, blocks)), *t1 = llet(b, tile_begin(b, ladd(b, at, li(b, 1)), nt, blocks));
	LExpr *row0 = llet(b, tile_begin(b, t0, nr, nt));
	for (int i = 0; i < 2; i++) {
		LExpr *unit = lfor(b, ForSerial, li(b, 0), kparam(&k, units_of(m, f[i].root)), NULL);
		emit_units(&g[i], &e[i], rows, t0, t1, row0, unit, NULL, li(b, 0), block_rows);
		lend(b);
	}
	lend(b);
	close_scratch(&k, &scratch);
	k.b.fn->loc = f[1].root->loc;
	kcall(&k);
	end_skip(l, skip);
	return skip_steps(l, lop(p, LNot, llt(p, ldim(p, rows), least), NULL, NULL));
}

/* ---- one linear ------------------------------------------------------------------------------------------------------------------- */

void lower_linear(Lower *l, Node *root, Node *epilogue, Value *result, Value *home)
{
	Module *m = l->m;
	const Type *xt = &root->in[0]->type, *wt = &root->in[1]->type, *yt = &root->out[0]->type;
	const int inner = (int)attr_int(root, Attr_inner), parts = (int)attr_int(root, Attr_parts);
	const Dim *depth = wt->dims[1], *panels = wt->dims[0];
	const Dim *rows = dims_product(m, xt->dims, xt->rank - inner);
	const bool sparse = root->op == OpSparse;

	if (sparse) {
		need_index_holds(m, root);
		depth = dims_product(m, xt->dims + xt->rank - inner, inner);
		panels = panel_count(m, yt->dims[yt->rank - 1], parts);
	}
	const Dim *tiles = tiles_of(l, rows);
	if (!is_made_by_panels(l, root)) {
		lower_tiles(l, &(Feed){root, epilogue, result, home, NULL});
		return;
	}
	const Packed *packed = pack_left(l, root, depth);
	const bool in_place = lie_packed(root, packed);
	Kernel k = open_kernel(l, sparse ? "sparse_linear" : "linear", true);
	k.general = true;
	Epilogue e = {.l = l, .root = root, .first = epilogue, .result = result, .home = home, .added = root->in[2], .made = packed_result(&k, home)};
	Gemm g = {.k = &k, .rows = kdim(&k, rows), .tiles = kparam(&k, tiles), .depth = kparam(&k, depth)};
	if (in_place) {
		Access x = kaccess(&k, root->in[0]);
		g.row_at = dim_equals(x.base, 0) ? li(&k.b, 0) : kparam(&k, x.base);
		g.packed = x.buf;
	} else {
		g.packed = kslot(&k, packed->slot, false);
	}
	g.w = kbuf(&k, root->in[1], false);
	g.scales = scales_of(&k, root);
	Sparse s = {.w = g.w};
	const Dim *products = dim_mul(m, type_numel(m, yt), depth);
	if (sparse) {
		const Dim *entries = wt->dims[0];
		s.index = kbuf(&k, root->in[3], false);
		s.entries = kparam(&k, entries);
		s.ks = kparam(&k, sparse_index_length(m, yt->dims[yt->rank - 1], parts, false, dim_const(m, 0)));
		s.apart = attr_int(root, Attr_apart);
		g.sparse = &s;
		products = dim_mul(m, rows, dim_mul_const(m, entries, SparseWidth));
	}
	open_epilogue(&e, &k);
	emit_gemm(&g, &e, rows, tiles, dim_floordiv(m, panels, dim_const(m, unit_panels(parts))));
	count_flop(&k, root, epilogue, products);
	k.b.fn->loc = root->loc;
	kcall(&k);
}

/* ---- bytes ---------------------------------------------------------------------------------------------------------------------- */

void lower_linear_bytes(Lower *l, Node *root, Node *epilogue, Value *result, Value *home)
{
	Module *m = l->m;
	const Type *xt = &root->in[0]->type, *wt = &root->in[1]->type, *yt = &root->out[0]->type;
	const int inner = (int)attr_int(root, Attr_inner);
	const Dim *rows = dims_product(m, xt->dims, xt->rank - inner), *groups = wt->dims[1], *words = dim_mul_const(m, groups, l->t->byte_words);
	const Dim *tiles = dim_ceildiv(m, rows, dim_const(m, l->t->byte_rows));
	Packed *packed = packed_rows(l, root);
	if (!packed->slot)
		pack_bytes(l, root->in[0], inner, rows, tiles, packed_slot(l, packed, dim_mul(m, rows, packed_depth(m, words))));

	Kernel k = open_kernel(l, "byte_linear", true);
	k.general = true;
	Epilogue e = {.l = l, .root = root, .first = epilogue, .result = result, .home = home};
	Gemm g = {.k = &k, .rows = kdim(&k, rows), .tiles = kparam(&k, tiles), .depth = kparam(&k, groups)};
	g.packed = kslot_of(&k, packed->slot, I32, false);
	g.w = kbuf(&k, root->in[1], false);
	open_epilogue(&e, &k);
	emit_gemm(&g, &e, rows, tiles, wt->dims[0]);
	count_flop(&k, root, epilogue, dim_mul(m, type_numel(m, yt), dims_product(m, xt->dims + xt->rank - inner, inner)));
	k.b.fn->loc = root->loc;
	kcall(&k);
}

/* ---- Strassen ------------------------------------------------------------------------------------------------------------------- */

/* Pairs of rows of tiles t0 .. t1 - 1, of which the first is pair0, by a pair of panels: the products, the results' blocks, epilogues. */
static void emit_pair(Gemm *g, Epilogue *e, LExpr *plane, LExpr *panels, LExpr *t0, LExpr *t1, LExpr *pair, LExpr *acc_at, int acc_rows)
{
	Kernel *k = g->k;
	LB *b = &k->b;
	LExpr *zero = li(b, 0), *two = li(b, 2), *pair0 = llet(b, tile_begin(b, t0, g->rows, g->tiles));
	LExpr *count = llet(b, lsub(b, tile_begin(b, t1, g->rows, g->tiles), pair0)), *size = li(b, acc_rows * PanelWidth);

	LExpr *i = lfor(b, ForSerial, zero, li(b, StrassenProducts), NULL);
	g->block_at = llet(b, ladd(b, lmul(b, i, plane), lmul(b, pair0, packed_length(b, g->depth))));
	LExpr *w = ladd(b, lmul(b, pair, li(b, StrassenProducts)), i);
	emit_tiles(g, t0, t1, pair0, llet(b, lmul(b, w, lmul(b, g->depth, li(b, PanelWidth)))), NULL, llet(b, ladd(b, acc_at, lmul(b, i, size))), NULL);
	lend(b);
	LExpr *sums = llet(b, ladd(b, acc_at, lmul(b, li(b, StrassenProducts), size)));
	blocks_of_products(k, g->acc, acc_at, sums, acc_rows, count);
	LExpr *row0 = llet(b, lmul(b, pair0, two)), *rows = kparam(k, dims_product(k->l->m, e->root->out[0]->type.dims, e->root->out[0]->type.rank - 1));
	LExpr *to = llet(b, lop(b, LPMin, ladd(b, row0, lmul(b, count, two)), rows, NULL)), *first = llet(b, lmul(b, pair, two));
	LExpr *j = lfor(b, ForSerial, zero, llet(b, lop(b, LPMin, two, lsub(b, panels, first), NULL)), NULL);
	emit_epilogue(e, k, row0, to, g->acc, llet(b, ladd(b, sums, lmul(b, j, lmul(b, size, two)))), 0, llet(b, ladd(b, first, j)), NULL, NULL);
	lend(b);
}

void lower_strassen(Lower *l, Node *root, Node *epilogue, Value *result, Value *home)
{
	Module *m = l->m;
	const Type *xt = &root->in[0]->type, *yt = &root->out[0]->type;
	const Dim *two = dim_const(m, 2), *half = dim_floordiv(m, xt->dims[xt->rank - 1], two), *rows = dims_product(m, xt->dims, xt->rank - 1);
	const Dim *pairs = dim_ceildiv(m, rows, two), *tiles = tiles_of(l, pairs), *plane = strassen_plane(m, pairs, half);
	const int block_tiles = l->schedule.rows / 2 / l->t->mr, acc_rows = block_tiles * l->t->mr;
	Packed *packed = packed_rows(l, root);
	if (!packed->slot)
		pack_sums(l, root->in[0], rows, pairs, half, tiles, packed_slot(l, packed, dim_mul_const(m, plane, StrassenProducts)));

	Kernel k = open_kernel(l, "strassen", true);
	LB *b = &k.b;
	k.general = true;
	Epilogue e = {.l = l, .root = root, .first = epilogue, .result = result, .home = home, .added = root->in[2]};
	Gemm g = {.k = &k, .rows = kdim(&k, pairs), .tiles = kdim(&k, tiles), .depth = kparam(&k, half)};
	g.packed = kslot(&k, packed->slot, false);
	g.w = kbuf(&k, root->in[1], false);
	open_epilogue(&e, &k);
	need_scratch(l, dim_const(m, (int64_t)(StrassenProducts + StrassenBlocks) * acc_rows * PanelWidth));
	g.acc = kscratch(&k);
	LExpr *mine = kworker(&k), *nu = kparam(&k, root->in[1]->type.dims[0]), *nb = kdim(&k, dim_ceildiv(m, tiles, dim_const(m, block_tiles)));
	LExpr *panels = kparam(&k, panel_count(m, yt->dims[yt->rank - 1], e.parts));
	LExpr *task = share_tasks(&k, llet(b, lmul(b, nb, nu)));
	LExpr *block = llet(b, lop(b, LFloorDiv, task, nu, NULL)), *pair = llet(b, lsub(b, task, lmul(b, block, nu)));
	LExpr *t0 = llet(b, tile_begin(b, block, g.tiles, nb)), *t1 = llet(b, tile_begin(b, ladd(b, block, li(b, 1)), g.tiles, nb));
	emit_pair(&g, &e, kparam(&k, plane), panels, t0, t1, pair, llet(b, lmul(b, this_worker(&k), mine)), acc_rows);
	lend(b);
	const Dim *blocks = dim_mul(m, dim_mul(m, pairs, half), dim_mul_const(m, root->in[1]->type.dims[0], PanelWidth));
	count_flop(&k, root, epilogue, dim_mul_const(m, blocks, StrassenProducts));
	k.b.fn->loc = root->loc;
	kcall(&k);
}
