/* tile.c - the pieces of matrix products: the register tile, and packing of both operands.
 *
 * The left operand is packed into tiles of up to mr rows, [K/32][rows][32]; tiles are balanced (128 rows = 8 x 13 + 2 x 12 of 14).
 * The right one lies in panels [N/32][K][32], read strictly in order.  Every output is one FMA chain, k ascending, whatever the
 * blocking: partial sums lie in [rows][32] and are reloaded.
 *
 * Products of bytes (ir/bytes.h) are the same on i32, four bytes a step, which a target's packed rows hold in one word or two.
 */
#include "kernel.h"

enum {
	Ahead = 60, /* cache lines between a load and its prefetch; not 64, 4096 bytes, with which a Xeon of 2024 reads 20 % less */
	AheadBlock = 64, /* where the last ones of a panel begin, in whole blocks of steps */
	StepsAtOnce = 4, /* of a large tile: on some CPUs scalar instructions take ports of the FMAs, and what counts each step costs 6 % */
	MostChains = 4 /* of sums of bytes: of two vectors each, they hide the latency of a product */
};

/* ---- register tile ----------------------------------------------------------------------------------------------------------- */

const Dim *packed_depth(Module *m, const Dim *k)
{
	return dim_mul_const(m, dim_ceildiv(m, k, dim_const(m, PackK)), PackK);
}

LExpr *packed_length(LB *b, LExpr *k)
{
	return lmul(b, lop(b, LFloorDiv, ladd(b, k, li(b, PackK - 1)), li(b, PackK), NULL), li(b, PackK));
}

int tile_rows(const Target *t, DType weights)
{
	return is_bytes(weights) ? t->byte_rows : t->mr;
}

int step_words(const Target *t, DType weights)
{
	return is_bytes(weights) ? t->byte_words : 1;
}

/* What products with those weights read of the left operand, and sum up in. */
static DType sum_type(DType weights)
{
	return is_bytes(weights) ? I32 : F32;
}

/* Of a packed row for so many steps. */
static LExpr *row_words(const Lower *l, LB *b, DType weights, LExpr *steps)
{
	return packed_length(b, lmul(b, steps, li(b, step_words(l->t, weights))));
}

/* Opens the two loops over the steps of k, `by` at once but for those that are left, in blocks of PackK words of a row, which begin at *block; *at is where a's first row has k, the
 * others lie PackK apart. */
static LExpr *open_steps(LB *b, LExpr *klen, int rows, int words, int by, LExpr **at, LExpr **block)
{
	if (by > 1)
		klen = llet(b, lsub(b, klen, lop(b, LMod, klen, li(b, by), NULL)));
	LExpr *width = li(b, PackK / words), *k0 = *block = lfor(b, ForSerial, li(b, 0), klen, width);
	LExpr *first = llet(b, lmul(b, k0, li(b, rows * words)));
	LExpr *k = lfor(b, ForSerial, li(b, 0), llet(b, lop(b, LPMin, width, lsub(b, klen, k0), NULL)), by > 1 ? li(b, by) : NULL);
	*at = llet(b, ladd(b, first, k));
	return llet(b, ladd(b, k0, k));
}

static void close_steps(LB *b)
{
	lend(b);
	lend(b);
}

/* a's row i at the step of k, in all lanes. */
static LExpr *load_left(LB *b, LBuf *a, LExpr *at, int i)
{
	return llet(b, lcast(b, LSplat, (LType){a->elem, Lanes}, lload(b, a, 1, ladd(b, at, li(b, i * PackK)), NULL, NULL)));
}

/* Row i of the tile meets a step's nv vectors: word `word` of `words` that a has of it. */
static void add_products(LB *b, LTile *t, int i, int nv, LExpr *x, LExpr *const *wv, int word, int words)
{
	const LOp op = x->type.elem == F32 ? LFma : words == 1 ? LDot4 : word ? LDotOdd : LDotEven;

	for (int j = 0; j < nv; j++)
		lset_tile(b, t, li(b, i), li(b, j), lop(b, op, x, wv[j], lelem(b, t, li(b, i), li(b, j))));
}

/* The loops of a tile of `rows` rows over the steps of k; sums of bytes are exact in any order, so where rows are few their products go by turns
 * to so many `chains` of sums, the rows of each behind those of the one before: one alone would wait for itself. */
typedef struct TileSteps {
	LTile *t;
	LBuf *a, *w;
	LExpr *next, *pace; /* what is prefetched */
	int rows, nv, words, chains;
	int by; /* steps at once, a multiple of chains */
} TileSteps;

static void emit_step(LB *b, const TileSteps *s, LExpr *a_at, LExpr *k, int chain)
{
	LExpr *wv[PanelWidth / Lanes];

	for (int j = 0; j < s->nv; j++)
		wv[j] = llet(b, lload(b, s->w, Lanes, ladd(b, lmul(b, k, li(b, PanelWidth)), li(b, j * Lanes)), NULL, NULL));
	for (int j = 0; j < s->nv; j++)
		lprefetch(b, s->w, ladd(b, ladd(b, s->next, lmul(b, k, s->pace)), li(b, j * Lanes)));
	for (int i = 0; i < s->rows; i++)
		for (int word = 0; word < s->words; word++) { /* at once: LLVM adds up integers in another order, and would keep all first products */
			LExpr *x = load_left(b, s->a, ladd(b, a_at, li(b, word * PackK / s->words)), i);
			add_products(b, s->t, chain * s->rows + i, s->nv, x, wv, word, s->words);
		}
}

static void emit_steps(LB *b, const TileSteps *s, LExpr *klen)
{
	LExpr *a_at, *block, *k = open_steps(b, klen, s->rows, s->words, s->by, &a_at, &block);

	for (int step = 0; step < s->by; step++)
		emit_step(b, s, ladd(b, a_at, li(b, step)), ladd(b, k, li(b, step)), step % s->chains);
	close_steps(b);
	if (s->by == 1)
		return;
	LExpr *steps = li(b, s->by), *rest = lop(b, LMod, klen, steps, NULL), *whole = llet(b, lsub(b, klen, rest)), *width = li(b, PackK / s->words);
	k = lfor(b, ForSerial, whole, klen, NULL);
	LExpr *in_block = llet(b, lop(b, LMod, k, width, NULL)), *first = lmul(b, lsub(b, k, in_block), li(b, s->rows * s->words));
	emit_step(b, s, llet(b, ladd(b, first, in_block)), k, 0);
	lend(b);
	for (int chain = 1; chain < s->chains; chain++)
		for (int i = 0; i < s->rows; i++)
			for (int j = 0; j < s->nv; j++)
				lset_tile(b, s->t, li(b, i), li(b, j),
				          ladd(b, lelem(b, s->t, li(b, i), li(b, j)), lelem(b, s->t, li(b, chain * s->rows + i), li(b, j))));
}

/* The register-tile kernel of `rows` rows and nv vectors: acc[rows][nv] (+)= a[row][k] * w[k][nv], k < klen; rows of acc and w are 32 wide.
 * Every step prefetches w[next + k * pace].  All are f32; or i32, for steps of four bytes.
 * Parameters: a, w, acc, klen, first (1: acc starts at 0), next, pace. */
static LFunc *tile_kernel(Lower *l, DType type, int rows, int nv)
{
	const bool bytes = is_bytes(type);
	LFunc **known = &l->tiles[bytes][nv - 1][rows];
	if (*known)
		return *known;
	const char *name = arena_printf(l->m->arena, "%s%stile%d", nv < l->t->nv ? "narrow_" : "", bytes ? "byte_" : "", rows);
	LB kb = new_kernel(l->lm, name, l->t->name), *b = &kb;
	const LType vec = {type, Lanes};
	const int words = step_words(l->t, type);
	LBuf *a = lparam_buf(b, "a", type, false), *w = lparam_buf(b, "w", type, false), *acc = lparam_buf(b, "acc", type, true);
	LExpr *klen = lparam(b, "klen"), *first = lparam(b, "first"), *next = lparam(b, "next"), *pace = lparam(b, "pace");
	TileSteps s = {.a = a, .w = w, .next = next, .pace = pace, .rows = rows, .nv = nv, .words = words};
	s.chains = bytes && rows <= MostChains ? MostChains / rows : 1;
	s.by = !bytes && nv == l->t->nv && rows >= l->t->mr * 2 / 3 ? StepsAtOnce : s.chains;
	LTile *t = s.t = lnew_tile(b, "t", vec, rows * s.chains, nv);

	for (int i = rows; i < rows * s.chains; i++)
		for (int j = 0; j < nv; j++)
			lset_tile(b, t, li(b, i), li(b, j), lconst(b, vec, 0));
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
	emit_steps(b, &s, klen);
	LExpr *i = lfor(b, ForUnroll, li(b, 0), li(b, rows), NULL);
	LExpr *j = lfor(b, ForUnroll, li(b, 0), li(b, nv), NULL);
	lstore(b, acc, ladd(b, lmul(b, i, li(b, PanelWidth)), lmul(b, j, li(b, Lanes))), NULL, NULL, lelem(b, t, i, j));
	lend(b);
	lend(b);
	kb.fn->leaf_noinline = true;
	return *known = finish_kernel(b);
}

LExpr *load_weights(LB *b, LBuf *w, LExpr *at)
{
	return llet(b, lcast(b, LConvert, (LType){F32, Lanes}, lload(b, w, Lanes, at, NULL, NULL)));
}

/* acc[rows][32] = a[row][k] * w[k][32] for all of k: the weights come once, as fast as memory gives them.
 * Parameters: a, w (of the given type), acc, klen, skip: from the end of w to the panel that is prefetched behind it; of two panels,
 * how far the second one's sums lie behind the first one's. */
static LFunc *stream_kernel(Lower *l, DType weights, int rows, int panels)
{
	LFunc **known = &l->streams[weights][panels - 1][rows];
	if (*known)
		return *known;
	LB kb = new_kernel(l->lm, arena_printf(l->m->arena, panels > 1 ? "streams%d" : "stream%d", rows), l->t->name), *b = &kb;
	const LType vec = {F32, Lanes};
	enum { OfPanel = PanelWidth / Lanes, MostVectors = 2 * OfPanel };
	const int vectors = panels * OfPanel;
	const int line = 64 / dtypes[weights].bytes; /* elements of a cache line */
	LBuf *a = lparam_buf(b, "a", F32, false), *w = lparam_buf(b, "w", weights, false), *acc = lparam_buf(b, "acc", F32, true);
	LExpr *klen = lparam(b, "klen"), *skip = lparam(b, "skip"), *apart = panels > 1 ? lparam(b, "apart") : NULL, *wv[MostVectors];
	LTile *t = lnew_tile(b, "t", vec, rows, vectors);

	for (int i = 0; i < rows * vectors; i++)
		lset_tile(b, t, li(b, i / vectors), li(b, i % vectors), lconst(b, vec, 0));
	LExpr *a_at, *block, *k = open_steps(b, klen, rows, 1, 1, &a_at, &block), *width = li(b, PanelWidth), *ahead = li(b, Ahead * line);
	LExpr *inside = llt(b, ladd(b, lmul(b, block, width), li(b, AheadBlock * line)), lmul(b, klen, width));
	LExpr *far = llet(b, ladd(b, ahead, lop(b, LSelect, inside, li(b, 0), skip)));
	LExpr *second = panels > 1 ? llet(b, lmul(b, klen, width)) : NULL;
	for (int j = 0; j < vectors; j++) {
		LExpr *at = ladd(b, lmul(b, k, width), li(b, j % OfPanel * Lanes));
		if (j >= OfPanel)
			at = llet(b, ladd(b, at, second));
		if (j % OfPanel * Lanes % line == 0)
			lprefetch(b, w, ladd(b, at, far));
		wv[j] = load_weights(b, w, at);
	}
	for (int i = 0; i < rows; i++)
		add_products(b, t, i, vectors, load_left(b, a, a_at, i), wv, 0, 1);
	close_steps(b);
	for (int i = 0; i < rows; i++)
		for (int j = 0; j < vectors; j++) {
			LExpr *at = li(b, i * PanelWidth + j % OfPanel * Lanes);
			lstore(b, acc, j < OfPanel ? at : ladd(b, apart, at), NULL, NULL, lelem(b, t, li(b, i), li(b, j)));
		}
	kb.fn->leaf_noinline = true;
	return *known = finish_kernel(b);
}

int stream_panels(const Lower *l, int rows)
{
	return rows * 2 * (PanelWidth / Lanes) <= l->t->mr * l->t->nv ? 2 : 1;
}

/* w + at is a panel, or behind the end of an empty w, which has no second half. */
static LArg part_of_panel(LB *b, LBuf *w, LExpr *at, LExpr *klen, int from)
{
	LExpr *shift = li(b, from), *all = lmul(b, klen, li(b, PanelWidth));
	LExpr *skip = from ? lop(b, LPMin, all, shift, NULL) : shift;
	return arg_buf(w, w->elem, ladd(b, at, skip), lsub(b, all, skip));
}

void call_stream(Kernel *k, int rows, int panels, LArg a, LBuf *w, LExpr *w_at, LBuf *acc, LExpr *acc_at, int acc_apart, LExpr *klen, LExpr *skip)
{
	LB *b = &k->b;
	lcall(b, stream_kernel(k->l, w->elem, rows, panels), panels > 1 ? 6 : 5,
	      (LArg[]){a, arg_buf(w, w->elem, w_at, lmul(b, klen, li(b, panels * PanelWidth))),
	               arg_buf(acc, F32, acc_at, li(b, (panels - 1) * acc_apart + rows * PanelWidth)), arg_e(klen), arg_e(skip), arg_e(li(b, acc_apart))});
}

/* Those of nv vectors each that make a whole panel, or `calls` of them. */
static void call_tiles(Kernel *k, LExpr *rows, LBuf *a, LExpr *a_at, LBuf *w, LExpr *w_at, LBuf *acc, LExpr *acc_at, LExpr *klen, LExpr *first,
                       const Turn *turn, int nv, int calls)
{
	LB *b = &k->b;
	Lower *l = k->l;
	const int width = Lanes * nv;
	LExpr *all = lmul(b, klen, li(b, PanelWidth)), *of = turn ? llet(b, lmul(b, turn->of, li(b, calls))) : NULL;
	LExpr *pace = turn ? llet(b, lop(b, LFloorDiv, ladd(b, of, li(b, PanelWidth - 1)), of, NULL)) : li(b, PanelWidth);

	for (int call = 0; call < calls; call++) {
		LExpr *number = turn ? ladd(b, lmul(b, turn->number, li(b, calls)), li(b, call)) : NULL, *shift = li(b, call * width);
		LExpr *next = turn ? llet(b, lsub(b, ladd(b, turn->next, lop(b, LFloorDiv, lmul(b, all, number), of, NULL)), shift)) : li(b, 0);
		for (int r = 1; r <= tile_rows(l->t, w->elem); r++) {
			lif(b, lop(b, LEq, rows, li(b, r), NULL));
			lcall(b, tile_kernel(l, w->elem, r, nv), 7,
			      (LArg[]){arg_buf(a, a->elem, a_at, lmul(b, row_words(l, b, w->elem, klen), li(b, r))), part_of_panel(b, w, w_at, klen, call * width),
			               arg_buf(acc, acc->elem, ladd(b, acc_at, shift), li(b, r * PanelWidth - call * width)), arg_e(klen),
			               arg_e(first), arg_e(next), arg_e(pace)});
			lend(b);
		}
	}
}

void call_tile(Kernel *k, LExpr *rows, LBuf *a, LExpr *a_at, LBuf *w, LExpr *w_at, LBuf *acc, LExpr *acc_at, LExpr *klen, LExpr *first,
               const Turn *turn, LExpr *columns)
{
	LB *b = &k->b;
	const int nv = k->l->t->nv;

	if (columns) {
		lif(b, lop(b, LLe, columns, li(b, Lanes), NULL));
		call_tiles(k, rows, a, a_at, w, w_at, acc, acc_at, klen, first, turn, 1, 1);
		lelse(b);
	}
	call_tiles(k, rows, a, a_at, w, w_at, acc, acc_at, klen, first, turn, nv, PanelWidth / (Lanes * nv));
	if (columns)
		lend(b);
}

LExpr *columns_left(LB *b, LExpr *columns, LExpr *panel)
{
	return llet(b, lop(b, LPMin, lsub(b, columns, lmul(b, panel, li(b, PanelWidth))), li(b, PanelWidth), NULL));
}

/* The slice of klen rows, from k0 on, of a panel at w_at, for the tiles: f32 as it lies, else a copy that is widened once for all of them. */
static LBuf *widen_slice(Kernel *k, LBuf *w, LExpr **w_at, LExpr *k0, LExpr *klen, const Scales *scales)
{
	LB *b = &k->b;
	if (w->elem == sum_type(w->elem))
		return w;
	LBuf *slice = llocal(b, "slice", F32, (int64_t)MaxSteps * PanelWidth);
	if (scales) {
		widen_scaled(b, scales, w, *w_at, k0, klen, slice);
		*w_at = li(b, 0);
		return slice;
	}
	LExpr *at = lfor(b, ForSerial, li(b, 0), lmul(b, klen, li(b, PanelWidth)), li(b, Lanes));
	lstore(b, slice, at, NULL, NULL, load_weights(b, w, ladd(b, *w_at, at)));
	lend(b);
	*w_at = li(b, 0);
	return slice;
}

/* As many blocks of depth as of `most` steps, of one size, since a short one costs as much around it as a long one. */
static LExpr *balanced_steps(LB *b, LExpr *depth, LExpr *most)
{
	LExpr *one = li(b, 1), *blocks = lop(b, LFloorDiv, ladd(b, depth, lsub(b, most, one)), most, NULL);
	blocks = llet(b, lop(b, LPMax, blocks, one, NULL));
	return llet(b, lop(b, LPMax, packed_length(b, lop(b, LFloorDiv, ladd(b, depth, lsub(b, blocks, one)), blocks, NULL)), li(b, PackK), NULL));
}

/* The kernel of call_panel(), for weights of that type: all tiles pass by each slice of the panels, one after the other.
 * Parameters: a, w, acc, depth, steps of a slice, rows, tiles, t0, t1, panels, apart; narrow: columns; of scaled weights those of scale_params(). */
static LFunc *panel_kernel(Lower *l, DType weights, bool narrow, const Scales *of)
{
	static const char kind[] = "panel";
	LFunc **known = of ? scaled_kernel(l, of, weights, kind, narrow) : &l->panels[weights][narrow];
	if (*known)
		return *known;
	const char *kind_of = of ? "scaled_" : is_bytes(weights) ? "byte_" : "";
	Kernel k = open_kernel(l, arena_printf(l->m->arena, "%s%spanel", narrow ? "narrow_" : "", kind_of), true);
	LB *b = &k.b;
	const DType sums = sum_type(weights);
	LBuf *a = lparam_buf(b, "a", sums, false), *w = lparam_buf(b, "w", weights, false), *acc = lparam_buf(b, "acc", sums, true);
	LExpr *depth = lparam(b, "depth"), *step = lparam(b, "steps"), *rows = lparam(b, "rows"), *tiles = lparam(b, "tiles"), *t0 = lparam(b, "t0"), *t1 = lparam(b, "t1");
	LExpr *panels = lparam(b, "panels"), *apart = lparam(b, "apart"), *zero = li(b, 0), *one = li(b, 1);
	LExpr *columns = narrow ? lparam(b, "columns") : NULL, *row0 = llet(b, tile_begin(b, t0, rows, tiles));
	const Scales scales = of ? scale_params(b, of) : (Scales){0};
	LExpr *width = li(b, of ? step_bytes(of) : PanelWidth), *panel = llet(b, lmul(b, depth, width));

	if (weights == sums)
		step = balanced_steps(b, depth, step);
	LExpr *k0 = lfor(b, ForSerial, zero, lop(b, LPMax, depth, one, NULL), step); /* once for an empty sum */
	LExpr *klen = llet(b, lop(b, LPMin, step, lsub(b, depth, k0), NULL));
	LExpr *first = llet(b, lop(b, LPMax, lsub(b, one, k0), zero, NULL));
	LExpr *back = llet(b, lop(b, LSelect, llt(b, ladd(b, k0, klen), depth), lmul(b, lsub(b, panels, one), panel), zero));
	LExpr *j = lfor(b, ForSerial, zero, panels, NULL), *last = lop(b, LEq, j, lsub(b, panels, one), NULL);
	LExpr *w_at = llet(b, ladd(b, lmul(b, j, panel), lmul(b, k0, width)));
	LBuf *slice = widen_slice(&k, w, &w_at, k0, klen, of ? &scales : NULL);
	LExpr *next = llet(b, lop(b, LSelect, last, lsub(b, lmul(b, klen, width), back), panel));
	LExpr *left = columns ? llet(b, lsub(b, columns, lmul(b, j, li(b, PanelWidth)))) : NULL;
	LExpr *t = lfor(b, ForSerial, t0, t1, NULL);
	LExpr *from = llet(b, tile_begin(b, t, rows, tiles)), *to = llet(b, tile_begin(b, ladd(b, t, one), rows, tiles));
	LExpr *count = llet(b, lsub(b, to, from)), *before = llet(b, lsub(b, from, row0));
	LExpr *words = li(b, step_words(l->t, weights));
	LExpr *a_at = llet(b, ladd(b, lmul(b, before, row_words(l, b, weights, depth)), lmul(b, lmul(b, k0, words), count)));
	LExpr *acc_at = llet(b, ladd(b, lmul(b, j, apart), lmul(b, before, li(b, PanelWidth))));
	Turn turn = {lsub(b, t, t0), llet(b, lsub(b, t1, t0)), next};
	call_tile(&k, count, a, a_at, slice, w_at, acc, acc_at, klen, first, slice == w ? &turn : NULL, left);
	lend(b);
	lend(b);
	lend(b);
	return *known = finish_kernel(b);
}

void call_panel(Kernel *k, const PanelTiles *p)
{
	LB *b = &k->b;
	const bool widened = p->w->elem != sum_type(p->w->elem);
	const int usual = p->steps ? p->steps : k->l->schedule.steps, steps = widened && usual > MaxSteps ? MaxSteps : usual;
	LExpr *rows = lsub(b, tile_begin(b, p->t1, p->rows, p->tiles), tile_begin(b, p->t0, p->rows, p->tiles));
	LExpr *panels = p->panels ? p->panels : li(b, 1), *apart = p->panels ? p->apart : li(b, 0);
	LExpr *panel = lmul(b, p->depth, li(b, p->scales ? step_bytes(p->scales) : PanelWidth));
	LExpr *sums = lmul(b, rows, li(b, PanelWidth));
	if (p->panels)
		sums = ladd(b, lmul(b, lsub(b, panels, li(b, 1)), apart), sums);
	enum { Always = 11, MostArgs = Always + 1 + 2 };
	LArg args[MostArgs] = {arg_buf(p->a, p->a->elem, p->a_at, lmul(b, rows, row_words(k->l, b, p->w->elem, p->depth))),
	               arg_buf(p->w, p->w->elem, p->w_at, p->panels ? lmul(b, panels, panel) : panel),
	               arg_buf(p->acc, p->acc->elem, p->acc_at, sums),
	               arg_e(p->depth), arg_e(li(b, steps)), arg_e(p->rows), arg_e(p->tiles), arg_e(p->t0), arg_e(p->t1), arg_e(panels), arg_e(apart)};
	int n = Always;
	if (p->columns)
		args[n++] = arg_e(p->columns);
	n += p->scales ? scale_args(b, p->scales, args + n) : 0;
	lcall(b, panel_kernel(k->l, p->w->elem, p->columns, p->scales), n, args);
}

/* The kernel of call_lone_tile().  Parameters: a, w, acc, depth, rows; narrow: columns. */
static LFunc *lone_tile_kernel(Lower *l, bool narrow)
{
	LFunc **known = &l->lone_tiles[narrow];
	if (*known)
		return *known;
	Kernel k = open_kernel(l, narrow ? "narrow_lone_tile" : "lone_tile", true);
	LB *b = &k.b;
	LBuf *a = lparam_buf(b, "a", F32, false), *w = lparam_buf(b, "w", F32, false), *acc = lparam_buf(b, "acc", F32, true);
	LExpr *depth = lparam(b, "depth"), *rows = lparam(b, "rows"), *columns = narrow ? lparam(b, "columns") : NULL;
	LExpr *zero = li(b, 0), *one = li(b, 1);
	call_tile(&k, rows, a, zero, w, zero, acc, zero, depth, one, &(Turn){zero, one, llet(b, lmul(b, depth, li(b, PanelWidth)))}, columns);
	return *known = finish_kernel(b);
}

void call_lone_tile(Kernel *k, LExpr *rows, LBuf *a, LExpr *a_at, const PanelTile *t)
{
	LB *b = &k->b;
	LArg args[] = {arg_buf(a, F32, a_at, lmul(b, rows, packed_length(b, t->depth))),
	               arg_buf(t->w, F32, t->w_at, lmul(b, t->depth, li(b, PanelWidth))),
	               arg_buf(t->acc, F32, t->acc_at, lmul(b, rows, li(b, PanelWidth))),
	               arg_e(t->depth), arg_e(rows), arg_e(t->columns ? t->columns : li(b, PanelWidth))};
	lcall(b, lone_tile_kernel(k->l, t->columns), t->columns ? 6 : 5, args);
}

/* ---- packing rows --------------------------------------------------------------------------------------------------------------- */

LExpr *tile_begin(LB *b, LExpr *i, LExpr *rows, LExpr *tiles)
{
	return lop(b, LFloorDiv, lmul(b, i, rows), tiles, NULL);
}

/* Kernels that move rows are as fast with an extent or stride as an argument, and one serves all widths; but contiguous is another code. */
LExpr *move_dim(Kernel *k, const Dim *d)
{
	return dim_equals(d, 0) || dim_equals(d, 1) ? kdim(k, d) : kparam(k, d);
}

int merge_axes(Module *m, Access *a, int from, int to)
{
	for (int d = to - 1; d > from; d--)
		if (dim_equals(a->extent[d - 1], 1) || a->stride[d - 1] == dim_mul(m, a->stride[d], a->extent[d])) {
			a->extent[d - 1] = dim_mul(m, a->extent[d - 1], a->extent[d]);
			a->stride[d - 1] = a->stride[d];
			for (int e = d; e + 1 < a->rank; e++) {
				a->stride[e] = a->stride[e + 1];
				a->extent[e] = a->extent[e + 1];
			}
			a->rank--;
			to--;
		}
	return to - from;
}

LExpr *row_offset(Kernel *k, const Access *x, int row_axes, LExpr *row)
{
	LB *b = &k->b;
	Access a = *x;

	row_axes = merge_axes(k->l->m, &a, 0, row_axes);
	LExpr *at = kbase(k, &a);
	for (int d = row_axes - 1; d >= 0; d--) {
		LExpr *i = row;
		if (d) {
			LExpr *n = kdim(k, a.extent[d]);
			i = llet(b, lop(b, LMod, row, n, NULL));
			row = llet(b, lop(b, LFloorDiv, row, n, NULL));
		}
		if (!dim_equals(a.stride[d], 0))
			at = ladd(b, at, lmul(b, i, move_dim(k, a.stride[d])));
	}
	return llet(b, at);
}

typedef struct Rows {
	Kernel *k;
	const Access *x;
	int axes; /* leading ones of x that are rows; with a base the one before the last is, and base says of which batch */
	LExpr *base, *from; /* from: number of the first row */
} Rows;

typedef struct Packing { /* of a tile */
	LBuf *buf, *rows; /* rows: where each begins in x */
	LExpr *count, *at, *stride; /* rows; of buf; of x along k */
	LExpr *next; /* from a row to that of the next tile, which is prefetched; NULL: other rows lie in between, or it comes by itself */
	double scale;
} Packing;

/* Element offset of row i of the tile. */
static LExpr *row_of_tile(const Rows *r, LExpr *i)
{
	LB *b = &r->k->b;
	LExpr *row = llet(b, ladd(b, r->from, i));
	if (!r->base)
		return row_offset(r->k, r->x, r->axes, row);
	return ladd(b, r->base, lmul(b, row, kdim(r->k, r->x->stride[r->x->rank - 2])));
}

/* Copies `lanes` steps of k, those of the mask (NULL: all), from step p of the tile on, of every row: they lie at `from` behind the row's
 * begin.  Steps that are masked out may get zeros: what follows them is copied later. */
static void copy_steps(const Rows *r, const Access *x, const Packing *t, LExpr *p, LExpr *from, int lanes, LExpr *mask, bool straddles)
{
	LB *b = &r->k->b;
	const Dim *stride = x->stride[x->rank - 1];
	LExpr *in_block = llet(b, lop(b, LMod, p, li(b, PackK), NULL)), *block = lsub(b, p, in_block), *room = lsub(b, li(b, PackK), in_block);
	LExpr *to = llet(b, ladd(b, t->at, ladd(b, lmul(b, block, t->count), in_block))), *next = NULL, *fits = NULL;

	if (straddles) { /* into the next block, where the steps go on that have no room */
		next = llet(b, ladd(b, to, lmul(b, lsub(b, t->count, li(b, 1)), li(b, PackK))));
		fits = llet(b, lane_mask(r->k, room));
	}
	LExpr *i = lfor(b, ForSerial, li(b, 0), t->count, NULL), *shift = llet(b, lmul(b, i, li(b, PackK)));
	LExpr *place = llet(b, ladd(b, lload(b, t->rows, 1, i, NULL, NULL), from));
	if (t->next)
		lprefetch(b, x->buf, ladd(b, place, t->next));
	LExpr *v = lload(b, x->buf, lanes, place, lanes == 1 || dim_equals(stride, 1) ? NULL : t->stride, mask);
	if (t->scale != 1)
		v = lmul(b, v, lconst(b, (LType){F32, lanes}, t->scale));
	v = straddles ? llet(b, v) : v;
	lstore(b, t->buf, ladd(b, to, shift), NULL, fits, v);
	if (straddles) {
		LExpr *left = lop(b, LNot, fits, NULL, NULL);
		lstore(b, t->buf, ladd(b, next, shift), NULL, mask ? lop(b, LAnd, left, mask, NULL) : left, v);
	}
	lend(b);
}

/* 16 steps, which may straddle blocks unless all of them begin at multiples of 16. */
static void copy_vectors(const Rows *r, const Access *x, const Packing *t, LExpr *p, LExpr *from, LExpr *mask, bool aligned)
{
	LB *b = &r->k->b;
	if (!aligned) {
		lif(b, lop(b, LLt, li(b, PackK - Lanes), lop(b, LMod, p, li(b, PackK), NULL), NULL));
		copy_steps(r, x, t, p, from, Lanes, mask, true);
		lelse(b);
	}
	copy_steps(r, x, t, p, from, Lanes, mask, false);
	if (!aligned)
		lend(b);
}

/* Packs rows as one tile: k runs over the last `inner` axes of x, 16 steps of the last one at once; what is left lies side by side, or
 * comes one by one.
 * The row count is no constant of the code, of which there is one for all counts. */
static void emit_pack(const Rows *r, int inner, LExpr *count, LBuf *buf, LExpr *at, double scale)
{
	LB *b = &r->k->b;
	Access merged = *r->x, *x = &merged;
	int64_t width;
	inner = merge_axes(r->k->l->m, x, x->rank - inner, x->rank);
	const int last = x->rank - 1;
	LExpr *n = move_dim(r->k, x->extent[last]), *kk = li(b, 0), *step = li(b, 0);
	LExpr *whole = llet(b, lsub(b, n, lop(b, LMod, n, li(b, Lanes), NULL)));
	Packing t = {buf, llocal(b, "rows", I64, MaxTileRows), count, at, move_dim(r->k, x->stride[last]), NULL, scale};
	if (r->base)
		t.next = llet(b, lmul(b, count, kdim(r->k, r->x->stride[r->x->rank - 2])));
	bool aligned = inner == 1 || (dim_is_const(x->extent[last], &width) && width % Lanes == 0);

	LExpr *i = lfor(b, ForSerial, li(b, 0), count, NULL);
	lstore(b, t.rows, i, NULL, NULL, row_of_tile(r, i));
	lend(b);
	for (int d = x->rank - inner; d < last; d++) {
		LExpr *len = move_dim(r->k, x->extent[d]), *j = lfor(b, ForSerial, li(b, 0), len, NULL);
		kk = llet(b, ladd(b, lmul(b, kk, len), j));
		step = llet(b, ladd(b, step, lmul(b, j, move_dim(r->k, x->stride[d]))));
	}
	kk = llet(b, lmul(b, kk, n));
	LExpr *k = lfor(b, ForSerial, li(b, 0), whole, li(b, Lanes)), *p = llet(b, ladd(b, kk, k));
	copy_vectors(r, x, &t, p, llet(b, ladd(b, step, lmul(b, k, t.stride))), NULL, aligned);
	lend(b);
	if (dim_equals(x->stride[last], 1)) {
		lif(b, llt(b, whole, n));
		LExpr *mask = llet(b, lane_mask(r->k, lsub(b, n, whole)));
		copy_vectors(r, x, &t, llet(b, ladd(b, kk, whole)), llet(b, ladd(b, step, whole)), mask, aligned);
	} else {
		k = lfor(b, ForSerial, whole, n, NULL);
		copy_steps(r, x, &t, llet(b, ladd(b, kk, k)), llet(b, ladd(b, step, lmul(b, k, t.stride))), 1, NULL, false);
	}
	lend(b);
	for (int d = 1; d < inner; d++)
		lend(b);
}

void pack_rows_here(Kernel *caller, const Access *of_caller, int inner, LExpr *from, LExpr *to, LBuf *buf, LExpr *at)
{
	Kernel k = open_inner(caller, "pack_tile");
	Access x = *of_caller;
	x.buf = kbuffer(&k, of_caller->buf, false);
	Rows r = {.k = &k, .x = &x, .axes = x.rank - inner, .from = kvalue(&k, from)};
	LExpr *count = kvalue(&k, lsub(&caller->b, to, from));
	emit_pack(&r, inner, count, kbuffer(&k, buf, true), kvalue(&k, at), 1);
	kcall_inner(&k);
}

void pack_rows(Lower *l, Value *xv, int inner, const Dim *rows, const Dim *depth, const Dim *tiles, Slot *packed)
{
	Kernel k = open_kernel(l, "pack", true);
	LB *b = &k.b;
	k.general = true;
	Access x = kaccess(&k, xv);
	LBuf *p = kslot(&k, packed, true);
	LExpr *nr = kdim(&k, rows), *nt = kdim(&k, tiles), *nk = move_dim(&k, depth);

	LExpr *t = lfor(b, ForParallel, li(b, 0), nt, NULL);
	LExpr *from = llet(b, tile_begin(b, t, nr, nt)), *to = llet(b, tile_begin(b, ladd(b, t, li(b, 1)), nr, nt));
	pack_rows_here(&k, &x, inner, from, to, p, llet(b, lmul(b, from, packed_length(b, nk))));
	lend(b);
	kcall(&k);
}

const Dim *tiles_of(Lower *l, const Dim *rows)
{
	return dim_ceildiv(l->m, rows, dim_const(l->m, l->t->mr));
}

void pack_tile(Kernel *k, const Access *x, LExpr *base, LExpr *from, LExpr *to, LBuf *buf, LExpr *at, double scale)
{
	Rows r = {.k = k, .x = x, .base = base, .from = from};
	emit_pack(&r, 1, llet(&k->b, lsub(&k->b, to, from)), buf, at, scale);
}
