/* tile_in_place.c - the register tile over rows that lie in memory, nobody packed them.
 *
 * Where few columns meet the rows (the first layers of convolution nets), packing takes as long as a third of the products.  Rows that lie
 * equally far apart, as windows along a line of an image do, are read where they lie: the distance is a number in the code, so that an
 * address costs no more than in a packed tile.  The order of a sum is that of packed rows.
 */
#include "kernel.h"

enum {
	MostApart = 1024, /* elements from one row to the next: where they are 4 KB apart all fall into one set of the first cache */
	MostPanels = 8, /* of weights, for which packing costs more than what it saves */
	MostPanelsOfAny = 2, /* where a line may have any length: of one row more than tiles have, that row is a tile, too */
	LeastRows = 4 /* of a tile: fewer have too few sums for the latency of the units, and take as long */
};

typedef struct InPlaceTile {
	int64_t apart;
	bool contiguous; /* steps of k */
	int rows, nv;
	LFunc *fn;
	struct InPlaceTile *next;
} InPlaceTile;

/* A line's tiles: all have as many rows but the last.  False: they take more time than packing. */
static bool share_line(const Lower *l, int64_t panels, InPlace *p)
{
	const int mr = l->t->mr;
	int64_t n, tiles, slots;

	p->rows = mr;
	p->rest = 0;
	if (!dim_is_const(p->line, &n) || n < 1)
		return panels <= MostPanelsOfAny;
	tiles = (n + mr - 1) / mr;
	p->rows = (int)((n + tiles - 1) / tiles);
	p->rest = (int)(n - (tiles - 1) * p->rows);
	slots = (tiles - 1) * p->rows + (p->rest < LeastRows ? LeastRows : p->rest);
	return panels <= MostPanels && p->rows >= LeastRows && slots - n <= n / 8;
}

bool lies_for_tiles(Lower *l, const Access *of, int inner, const Dim *panels, const Dim *line, InPlace *p)
{
	Module *m = l->m;
	Access *x = &p->x;
	int64_t n, least, most;

	p->x = *of;
	const int axes = merge_axes(m, x, x->rank - inner, x->rank), rows = merge_axes(m, x, 0, x->rank - axes);
	if (!dim_is_const(panels, &n) || axes > 2 || rows < 1 || !dim_is_const(x->stride[rows - 1], &p->apart))
		return false;
	for (int d = rows; d < x->rank; d++) {
		dim_range(x->stride[d], &least, &most);
		if (least < 0) /* what a tile is given of x begins with its first step */
			return false;
	}
	p->row_axes = rows;
	p->line = line ? line : x->extent[rows - 1];
	return p->apart > 0 && p->apart < MostApart && share_line(l, n, p);
}

LExpr *in_place_begin(LB *b, const InPlace *p, LExpr *tile, LExpr *line)
{
	return llet(b, lop(b, LPMin, lmul(b, tile, li(b, p->rows)), line, NULL));
}

const Dim *in_place_tiles(Module *m, const InPlace *p)
{
	return dim_ceildiv(m, p->line, dim_const(m, p->rows));
}

/* Sums of `rows` rows and nv vectors: acc[rows][nv] = a[row][k] * w[k][nv] over lines of steps; rows of acc and w are 32 wide.
 * Parameters: a, w, acc, lines, steps; from one line to the next; and from one step to the next unless they lie side by side. */
static LFunc *in_place_kernel(Lower *l, const InPlace *p, int rows, int nv)
{
	const bool contiguous = dim_equals(p->x.stride[p->x.rank - 1], 1);
	InPlaceTile *t = l->in_place;

	while (t && !(t->apart == p->apart && t->contiguous == contiguous && t->rows == rows && t->nv == nv))
		t = t->next;
	if (t)
		return t->fn;
	LB kb = new_kernel(l->lm, arena_printf(l->m->arena, "%stile%d_in_place", nv < l->t->nv ? "narrow_" : "", rows), l->t->name), *b = &kb;
	const LType vec = {F32, Lanes};
	LBuf *a = lparam_buf(b, "a", F32, false), *w = lparam_buf(b, "w", F32, false), *acc = lparam_buf(b, "acc", F32, true);
	LExpr *lines = lparam(b, "lines"), *steps = lparam(b, "steps"), *line_apart = lparam(b, "line_apart"), *wv[PanelWidth / Lanes];
	LExpr *step_apart = contiguous ? NULL : lparam(b, "step_apart");
	LTile *sums = lnew_tile(b, "t", vec, rows, nv);

	for (int i = 0; i < rows * nv; i++)
		lset_tile(b, sums, li(b, i / nv), li(b, i % nv), lconst(b, vec, 0));
	LExpr *line = lfor(b, ForSerial, li(b, 0), lines, NULL);
	LExpr *a_at = llet(b, lmul(b, line, line_apart)), *k0 = llet(b, lmul(b, line, steps));
	LExpr *k = lfor(b, ForSerial, li(b, 0), steps, NULL), *w_at = llet(b, lmul(b, ladd(b, k0, k), li(b, PanelWidth)));
	LExpr *at = llet(b, ladd(b, a_at, contiguous ? k : lmul(b, k, step_apart)));
	for (int j = 0; j < nv; j++)
		wv[j] = llet(b, lload(b, w, Lanes, ladd(b, w_at, li(b, j * Lanes)), NULL, NULL));
	for (int i = 0; i < rows; i++) {
		LExpr *x = llet(b, lcast(b, LSplat, vec, lload(b, a, 1, ladd(b, at, li(b, i * p->apart)), NULL, NULL)));
		for (int j = 0; j < nv; j++)
			lset_tile(b, sums, li(b, i), li(b, j), lop(b, LFma, x, wv[j], lelem(b, sums, li(b, i), li(b, j))));
	}
	lend(b);
	lend(b);
	for (int i = 0; i < rows; i++)
		for (int j = 0; j < nv; j++)
			lstore(b, acc, li(b, i * PanelWidth + j * Lanes), NULL, NULL, lelem(b, sums, li(b, i), li(b, j)));
	kb.fn->leaf_noinline = true;
	t = arena_alloc(l->m->arena, sizeof *t);
	*t = (InPlaceTile){p->apart, contiguous, rows, nv, finish_kernel(b), l->in_place};
	l->in_place = t;
	return t->fn;
}

/* The tile of `rows` rows by nv vectors of each of the `calls` parts that make the panel. */
static void call_vectors(Kernel *k, const InPlace *p, int rows, LExpr *at, const PanelTile *t, int nv, int calls)
{
	LB *b = &k->b;
	const Access *x = &p->x;
	const int last = x->rank - 1;
	const bool lines = last > p->row_axes, contiguous = dim_equals(x->stride[last], 1);
	LExpr *zero = li(b, 0), *one = li(b, 1), *n = lines ? move_dim(k, x->extent[last - 1]) : one, *steps = move_dim(k, x->extent[last]);
	LExpr *line_apart = lines ? move_dim(k, x->stride[last - 1]) : zero, *step_apart = move_dim(k, x->stride[last]);
	LExpr *to_last = ladd(b, lmul(b, lsub(b, n, one), line_apart), lmul(b, lsub(b, steps, one), step_apart));
	LExpr *all = lmul(b, t->depth, li(b, PanelWidth));

	for (int call = 0; call < calls; call++) {
		LExpr *shift = li(b, call * nv * Lanes);
		lcall(b, in_place_kernel(k->l, p, rows, nv), contiguous ? 6 : 7,
		      (LArg[]){arg_buf(x->buf, F32, at, ladd(b, to_last, li(b, (rows - 1) * p->apart + 1))),
		               arg_buf(t->w, F32, ladd(b, t->w_at, shift), lsub(b, all, shift)),
		               arg_buf(t->acc, F32, ladd(b, t->acc_at, shift), lsub(b, li(b, rows * PanelWidth), shift)), arg_e(n), arg_e(steps),
		               arg_e(line_apart), arg_e(step_apart)});
	}
}

void call_tile_in_place(Kernel *k, const InPlace *p, int rows, LExpr *from, const PanelTile *t)
{
	LB *b = &k->b;
	const int nv = k->l->t->nv;
	LExpr *at = row_offset(k, &p->x, p->row_axes, from);

	if (t->columns) {
		lif(b, lop(b, LLe, t->columns, li(b, Lanes), NULL));
		call_vectors(k, p, rows, at, t, 1, 1);
		lelse(b);
	}
	call_vectors(k, p, rows, at, t, nv, PanelWidth / (Lanes * nv));
	if (t->columns)
		lend(b);
}
