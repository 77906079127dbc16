/* lower_experts.c - experts: rows that meet one of several packed matrices each, which a number chooses while the model runs.
 *
 * A first kernel sorts the rows by their number, so that those of one matrix are neighbours and it is read once for all of them, and cuts
 * them into blocks, which have a matrix each, and those into tiles.  A second one packs the rows in that order.  The third one goes through
 * the blocks as a linear does: few rows take a whole panel at once, as fast as memory gives it, more of them go by tiles; the
 * epilogue puts each row where it belongs.  Who reads the same numbers shares the order.
 *
 * The order is a table of i64:
 *   blocks, sorted rows
 *   for each matrix  where its next row goes; at the end, where those of the next matrix begin
 *   for each number  the number, counted from 0; -1: it is out of range, which ends the run in an error, and its rows go nowhere
 *   for each block   matrix, first sorted row, rows
 *   for each sorted row  the row, the first sorted row of its tile, rows of the tile
 */
#include "epilogue.h"

enum { HeadCells = 2, BlockCells = 3, RowCells = 3, MostRows = 256 /* of a block, at most: they share one pass over a panel */ };

typedef struct Order { /* cells of the table */
	const Dim *matrices, *numbers, *rows; /* rows of all numbers */
	const Dim *own, *blocks, *sorted, *end; /* where these begin: the numbers, the blocks, the rows; the end */
} Order;

static int block_rows(const Lower *l)
{
	return MostRows / l->t->mr * l->t->mr;
}

static Order order_of(Lower *l, const Node *root)
{
	Module *m = l->m;
	const Type *x = &root->in[0]->type;
	Order o = {.matrices = root->in[1]->type.dims[0], .numbers = type_numel(m, &root->in[3]->type), .rows = dims_product(m, x->dims, x->rank - 1)};
	/* a matrix with rows has a block for each full one, and one more */
	const Dim *blocks = dim_add(m, dim_min(m, o.matrices, o.rows), dim_floordiv(m, o.rows, dim_const(m, block_rows(l))));

	o.own = dim_add(m, o.matrices, dim_const(m, HeadCells));
	o.blocks = dim_add(m, o.own, o.numbers);
	o.sorted = dim_add(m, o.blocks, dim_mul_const(m, blocks, BlockCells));
	o.end = dim_add(m, o.sorted, dim_mul_const(m, o.rows, RowCells));
	return o;
}

static LExpr *cell(LB *b, LBuf *table, LExpr *at)
{
	return llet(b, lload(b, table, 1, at, NULL, NULL));
}

static void set_cell(LB *b, LBuf *table, LExpr *at, LExpr *to)
{
	lstore(b, table, at, NULL, NULL, to);
}

/* ---- the order ------------------------------------------------------------------------------------------------------------------ */

typedef struct Sorting {
	Kernel *k;
	LBuf *table;
	LExpr *matrices, *numbers, *each, *own, *blocks, *sorted; /* each: rows of a number */
} Sorting;

/* Counts the rows of each matrix, and leaves in `own` which it is. */
static void count_rows(const Sorting *s, const Node *n, const Access *which)
{
	Kernel *k = s->k;
	LB *b = &k->b;
	LExpr *zero = li(b, 0), *head = li(b, HeadCells);

	set_cell(b, s->table, ladd(b, head, lfor(b, ForSerial, zero, s->matrices, NULL)), zero);
	lend(b);
	LExpr *i = lfor(b, ForSerial, zero, s->numbers, NULL);
	LExpr *raw = llet(b, lcast(b, LConvert, IndexType, lload(b, which->buf, 1, row_offset(k, which, which->rank, i), NULL, NULL)));
	LExpr *number = llet(b, lop(b, LSelect, llt(b, raw, zero), ladd(b, raw, s->matrices), raw));
	lif(b, lop(b, LOr, llt(b, number, zero), lop(b, LLe, s->matrices, number, NULL), NULL));
	fail_index(k, n, 3, raw);
	set_cell(b, s->table, ladd(b, s->own, i), li(b, -1));
	lelse(b);
	LExpr *at = llet(b, ladd(b, head, number));
	set_cell(b, s->table, at, ladd(b, cell(b, s->table, at), s->each));
	set_cell(b, s->table, ladd(b, s->own, i), number);
	lend(b);
	lend(b);
}

/* Of each matrix: where its rows begin, and its blocks, as equal as can be. */
static void make_blocks(const Sorting *s, int most)
{
	LB *b = &s->k->b;
	LExpr *zero = li(b, 0), *one = li(b, 1);

	set_cell(b, s->table, zero, zero);
	set_cell(b, s->table, one, zero);
	LExpr *e = lfor(b, ForSerial, zero, s->matrices, NULL), *at = llet(b, ladd(b, li(b, HeadCells), e));
	LExpr *rows = cell(b, s->table, at), *first = cell(b, s->table, one), *number = cell(b, s->table, zero);
	set_cell(b, s->table, at, first);
	LExpr *count = llet(b, lop(b, LFloorDiv, ladd(b, rows, li(b, most - 1)), li(b, most), NULL));
	LExpr *i = lfor(b, ForSerial, zero, count, NULL), *to = llet(b, ladd(b, s->blocks, lmul(b, ladd(b, number, i), li(b, BlockCells))));
	LExpr *from = llet(b, tile_begin(b, i, rows, count)), *end = llet(b, tile_begin(b, ladd(b, i, one), rows, count));
	set_cell(b, s->table, to, e);
	set_cell(b, s->table, ladd(b, to, one), ladd(b, first, from));
	set_cell(b, s->table, ladd(b, to, li(b, 2)), lsub(b, end, from));
	lend(b);
	set_cell(b, s->table, zero, ladd(b, number, count));
	set_cell(b, s->table, one, ladd(b, first, rows));
	lend(b);
}

static LExpr *sorted_row(LB *b, LExpr *sorted, LExpr *number)
{
	return llet(b, ladd(b, sorted, lmul(b, number, li(b, RowCells))));
}

/* Rows keep their order within a matrix. */
static void sort_rows(const Sorting *s)
{
	LB *b = &s->k->b;
	LExpr *zero = li(b, 0);

	LExpr *i = lfor(b, ForSerial, zero, s->numbers, NULL), *number = cell(b, s->table, ladd(b, s->own, i));
	lif(b, lop(b, LLe, zero, number, NULL));
	LExpr *at = llet(b, ladd(b, li(b, HeadCells), number)), *first = cell(b, s->table, at);
	set_cell(b, s->table, at, ladd(b, first, s->each));
	LExpr *row = lfor(b, ForSerial, zero, s->each, NULL);
	set_cell(b, s->table, sorted_row(b, s->sorted, ladd(b, first, row)), ladd(b, lmul(b, i, s->each), row));
	lend(b);
	lend(b);
	lend(b);
}

static LExpr *tiles_in(const Lower *l, LB *b, LExpr *rows)
{
	return llet(b, lop(b, LFloorDiv, ladd(b, rows, li(b, l->t->mr - 1)), li(b, l->t->mr), NULL));
}

static void make_tiles(const Sorting *s)
{
	LB *b = &s->k->b;
	LExpr *zero = li(b, 0), *one = li(b, 1), *two = li(b, 2);

	LExpr *block = lfor(b, ForSerial, zero, cell(b, s->table, zero), NULL);
	LExpr *at = llet(b, ladd(b, s->blocks, lmul(b, block, li(b, BlockCells))));
	LExpr *first = cell(b, s->table, ladd(b, at, one)), *rows = cell(b, s->table, ladd(b, at, two)), *tiles = tiles_in(s->k->l, b, rows);
	LExpr *i = lfor(b, ForSerial, zero, tiles, NULL);
	LExpr *from = llet(b, ladd(b, first, tile_begin(b, i, rows, tiles))), *to = llet(b, ladd(b, first, tile_begin(b, ladd(b, i, one), rows, tiles)));
	LExpr *row = sorted_row(b, s->sorted, lfor(b, ForSerial, from, to, NULL));
	set_cell(b, s->table, ladd(b, row, one), from);
	set_cell(b, s->table, ladd(b, row, two), lsub(b, to, from));
	for (int i = 0; i < 3; i++)
		lend(b);
}

static void order_rows(Lower *l, const Node *root, const Order *o, Slot *slot)
{
	Kernel k = open_kernel(l, "order_rows", true);
	LB *b = &k.b;
	k.general = true;
	const Type *x = &root->in[0]->type;
	const int batch = root->in[3]->type.rank;
	Access which = kaccess(&k, root->in[3]);
	Sorting s = {.k = &k, .table = kslot_of(&k, slot, I64, true), .matrices = kparam(&k, o->matrices), .numbers = kparam(&k, o->numbers)};
	s.each = kdim(&k, dims_product(l->m, x->dims + batch, x->rank - 1 - batch));
	s.own = kparam(&k, o->own);
	s.blocks = kparam(&k, o->blocks);
	s.sorted = kparam(&k, o->sorted);
	lfor(b, ForParallel, li(b, 0), li(b, 1), NULL); /* by one worker */
	count_rows(&s, root, &which);
	make_blocks(&s, block_rows(l));
	sort_rows(&s);
	make_tiles(&s);
	lend(b);
	k.b.fn->loc = root->loc;
	kcall(&k);
}

/* ---- rows ----------------------------------------------------------------------------------------------------------------------- */

typedef struct PackedRow {
	const Access *x;
	LBuf *to;
	LExpr *from, *at, *size; /* in x; in `to`, which has `size` rows to a block of PackK steps */
} PackedRow;

static void copy_lanes(void *ctx, Kernel *k, LExpr *i, LExpr *mask)
{
	const PackedRow *r = ctx;
	LB *b = &k->b;
	const Dim *stride = r->x->stride[r->x->rank - 1];
	LExpr *in_block = llet(b, lop(b, LMod, i, li(b, PackK), NULL)), *block = lsub(b, i, in_block);
	LExpr *v = load_lanes(k, r->x, ladd(b, r->from, lmul(b, i, kdim(k, stride))), stride, mask);
	lstore(b, r->to, ladd(b, r->at, ladd(b, lmul(b, block, r->size), in_block)), NULL, NULL, v);
}

static void pack_sorted(Lower *l, const Node *root, const Order *o, Slot *slot, const Dim *depth, Slot *packed)
{
	Kernel k = open_kernel(l, "pack_sorted", true);
	LB *b = &k.b;
	k.general = true;
	Access x = kaccess(&k, root->in[0]);
	LBuf *table = kslot_of(&k, slot, I64, false);
	PackedRow r = {.x = &x, .to = kslot(&k, packed, true)};
	LExpr *one = li(b, 1), *sorted = kparam(&k, o->sorted), *nk = kparam(&k, depth);

	LExpr *i = lfor(b, ForParallel, li(b, 0), kparam(&k, o->rows), NULL);
	lif(b, llt(b, i, cell(b, table, one)));
	LExpr *row = sorted_row(b, sorted, i), *first = cell(b, table, ladd(b, row, one));
	r.size = cell(b, table, ladd(b, row, li(b, 2)));
	r.from = row_offset(&k, &x, x.rank - 1, cell(b, table, row));
	r.at = llet(b, ladd(b, lmul(b, first, packed_length(b, nk)), lmul(b, lsub(b, i, first), li(b, PackK))));
	for_lanes(&k, depth, copy_lanes, &r);
	lend(b);
	lend(b);
	k.b.fn->loc = root->loc;
	kcall(&k);
}

/* ---- products ------------------------------------------------------------------------------------------------------------------- */

typedef struct Experts {
	Kernel *k;
	Epilogue e;
	Access bias;
	LBuf *table, *packed, *w, *acc;
	LExpr *sorted, *depth, *panels; /* panels: of a matrix */
	LExpr *matrix, *from, *rows; /* of the block */
	const Dim *most; /* rows of a block, at most */
} Experts;

/* The block by the panel at wp: few rows at once, more by tiles. */
static void emit_panel(const Experts *x, LExpr *wp, LExpr *acc_at, LExpr *columns)
{
	Kernel *k = x->k;
	LB *b = &k->b;
	LExpr *zero = li(b, 0), *length = packed_length(b, x->depth), *at = llet(b, lmul(b, x->from, length));
	int64_t least, most;

	dim_range(x->most, &least, &most);
	for (int r = 1; r <= WholeRows && r <= most; r++) {
		lif(b, lop(b, LEq, x->rows, li(b, r), NULL));
		call_stream(k, r, 1, arg_buf(x->packed, F32, at, lmul(b, length, li(b, r))), x->w, wp, x->acc, acc_at, 0, x->depth, zero);
		lend(b);
	}
	if (most <= WholeRows)
		return;
	lif(b, llt(b, li(b, WholeRows), x->rows));
	LExpr *tiles = tiles_in(k->l, b, x->rows);
	call_panel(k, &(PanelTiles){.a = x->packed, .w = x->w, .acc = x->acc, .a_at = at, .w_at = wp, .acc_at = acc_at, .rows = x->rows,
	                            .tiles = tiles, .t0 = zero, .t1 = tiles, .depth = x->depth, .columns = columns});
	lend(b);
}

static LExpr *load_bias(const Experts *x, LExpr *col, LExpr *mask)
{
	Kernel *k = x->k;
	LB *b = &k->b;
	LExpr *row = ladd(b, kbase(k, &x->bias), lmul(b, x->matrix, kdim(k, x->bias.stride[0])));
	return load_lanes(k, &x->bias, ladd(b, row, lmul(b, col, kdim(k, x->bias.stride[1]))), x->bias.stride[1], mask);
}

/* The block's rows of a unit of panels, each to where it belongs. */
static void emit_rows(Experts *x, LExpr *unit, int acc_rows)
{
	Kernel *k = x->k;
	LB *b = &k->b;
	Epilogue *e = &x->e;
	const Dim *width = e->result->type.dims[e->result->type.rank - 1];
	const int chunk = part_width(e->parts);
	LExpr *leaves[MaxOperands], *n = kparam(k, width), *j = li(b, 0), *columns = li(b, chunk);
	ByPart sums;
	int64_t known;
	const bool whole = dim_is_const(width, &known) && known % chunk == 0;

	LExpr *i = lfor(b, ForSerial, li(b, 0), x->rows, NULL), *acc_row = llet(b, lmul(b, i, li(b, PanelWidth)));
	LExpr *row = cell(b, x->table, sorted_row(b, x->sorted, ladd(b, x->from, i))), *out_row = llet(b, lmul(b, row, n));
	leaf_rows(e, k, row, leaves);
	if (!whole && e->parts == 1)
		columns = columns_left(b, n, unit);
	if (chunk > Lanes)
		j = lfor(b, ForSerial, j, columns, li(b, Lanes));
	LExpr *col = llet(b, ladd(b, lmul(b, unit, li(b, chunk)), j)), *mask = whole ? NULL : lane_mask(k, lsub(b, n, col)), *of_whole = col;
	for (int g = 0; g < e->parts; g++) {
		int at = g * chunk / PanelWidth * acc_rows * PanelWidth + g * chunk % PanelWidth;
		sums.e[g] = llet(b, lload(b, x->acc, Lanes, ladd(b, ladd(b, acc_row, li(b, at)), j), NULL, NULL));
		if (e->root->in[2])
			sums.e[g] = llet(b, ladd(b, sums.e[g], load_bias(x, of_whole, mask)));
		of_whole = llet(b, ladd(b, of_whole, n));
	}
	emit_columns(e, k, sums, leaves, ladd(b, out_row, col), col, mask);
	if (chunk > Lanes)
		lend(b);
	lend(b);
}

static void emit_unit(Experts *x, LExpr *unit, int acc_rows)
{
	Kernel *k = x->k;
	LB *b = &k->b;
	const Type *t = &x->e.result->type;
	const int panels = unit_panels(x->e.parts);
	LExpr *columns = NULL, *i = li(b, 0);
	int64_t width;

	if (x->e.parts == 1 && !(dim_is_const(t->dims[t->rank - 1], &width) && width % PanelWidth == 0))
		columns = columns_left(b, kparam(k, t->dims[t->rank - 1]), unit);
	if (panels > 1)
		i = lfor(b, ForSerial, i, li(b, panels), NULL);
	LExpr *panel = ladd(b, lmul(b, x->matrix, x->panels), ladd(b, lmul(b, unit, li(b, panels)), i));
	emit_panel(x, llet(b, lmul(b, panel, lmul(b, x->depth, li(b, PanelWidth)))), llet(b, lmul(b, i, li(b, acc_rows * PanelWidth))), columns);
	if (panels > 1)
		lend(b);
	emit_rows(x, unit, acc_rows);
}

/* Each worker has its share of the units of each block, by turns a larger or a smaller one. */
static void emit_blocks(Experts *x, LExpr *blocks, LExpr *units, int acc_rows)
{
	Kernel *k = x->k;
	LB *b = &k->b;
	LExpr *one = li(b, 1), *workers = kthreads(k), *worker = this_worker(k);

	LExpr *i = lfor(b, ForSerial, li(b, 0), cell(b, x->table, li(b, 0)), NULL);
	LExpr *at = llet(b, ladd(b, blocks, lmul(b, i, li(b, BlockCells)))), *turn = llet(b, lop(b, LMod, ladd(b, worker, i), workers, NULL));
	x->matrix = cell(b, x->table, at);
	x->from = cell(b, x->table, ladd(b, at, one));
	x->rows = cell(b, x->table, ladd(b, at, li(b, 2)));
	LExpr *unit = lfor(b, ForSerial, llet(b, tile_begin(b, turn, units, workers)), llet(b, tile_begin(b, ladd(b, turn, one), units, workers)), NULL);
	emit_unit(x, unit, acc_rows);
	lend(b);
	lend(b);
}

void lower_experts(Lower *l, Node *root, Node *epilogue, Value *result, Value *home)
{
	Module *m = l->m;
	const Type *y = &root->out[0]->type, *wt = &root->in[1]->type;
	const Dim *depth = wt->dims[2], *panels = wt->dims[1], *cols = y->dims[y->rank - 1];
	const Order o = order_of(l, root);
	const int acc_rows = block_rows(l);
	Packed *order = row_order(l, root);
	if (!order->slot)
		order_rows(l, root, &o, packed_slot(l, order, dim_mul_const(m, o.end, 2)));
	Slot *packed = temp_slot(l, dim_mul(m, o.rows, packed_depth(m, depth)));
	pack_sorted(l, root, &o, order->slot, depth, packed);

	Kernel k = open_kernel(l, "experts", true);
	k.general = true;
	Experts x = {.k = &k, .e = {.l = l, .root = root, .first = epilogue, .result = result, .home = home}};
	if (root->in[2])
		x.bias = kaccess(&k, root->in[2]);
	x.table = kslot_of(&k, order->slot, I64, false);
	x.packed = kslot(&k, packed, false);
	x.w = kbuf(&k, root->in[1], false);
	x.sorted = kparam(&k, o.sorted);
	x.depth = kparam(&k, depth);
	x.panels = kparam(&k, panels);
	x.most = dim_min(m, o.rows, dim_const(m, acc_rows));
	open_epilogue(&x.e, &k);
	const int of_unit = unit_panels(x.e.parts);
	x.acc = llocal(&k.b, "acc", F32, (int64_t)of_unit * acc_rows * PanelWidth);
	emit_blocks(&x, kparam(&k, o.blocks), kparam(&k, dim_floordiv(m, panels, dim_const(m, of_unit))), acc_rows);
	kreads(&k, x.w, dim_mul(m, o.rows, dim_mul(m, depth, dim_mul_const(m, panels, PanelWidth))));
	kflop(&k, dim_mul_const(m, dim_mul(m, dim_mul(m, o.rows, cols), depth), 2));
	if (root->in[2])
		kflop(&k, type_numel(m, y));
	kflop_nodes(&k, epilogue, NULL);
	k.b.fn->loc = root->loc;
	kcall(&k);
}
