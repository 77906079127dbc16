/* lower_winograd.c - convolutions of 3 by 3 taps, stride 1, channels last, by Winograd's transforms (ir/winograd.h).
 *
 * The tiles of all images are the rows of size * size products, one for each place of the transformed tiles.  A task is a chunk of so many
 * rows that what becomes of them stays in the second cache (where it can: of few rows the weights come slower than they are used), and, if there are fewer chunks than workers, a part of the panels of
 * outputs.  It transforms the tiles' inputs, packed as left operands; then, panel by panel, all products, whose panels of weights lie one behind
 * the other, and the tiles' outputs with the epilogue.  Every sum has one order, whatever the target, chunk and part.
 */
#include "epilogue.h"
#include "../ir/winograd.h"

typedef struct Conv {
	Kernel *k;
	const Node *n;
	Winograd form;
	Access x;
	Epilogue e;
	LBuf *w, *scratch;
	LBuf *sums; /* tile * tile vectors: outputs */
	const Dim *down, *across; /* tiles of an image */
	const Dim *rows, *row_tiles, *panels, *chunk; /* chunk: its row tiles */
	const Dim *plane, *products; /* of a chunk, elements: its packed rows, its rows' products with a panel */
	bool whole; /* all vectors of outputs are full */
	LExpr *in_at, *out_at; /* offsets into scratch: transformed inputs, products */
	LExpr *first, *begin, *end; /* the chunk's first row, and its row tiles */
} Conv;

static const LType F32x16 = {F32, Lanes};

static LExpr *times(LB *b, LExpr *x, double factor)
{
	return factor == 1 ? x : llet(b, lmul(b, x, lconst(b, F32x16, factor)));
}

/* sum + x * factor; sum NULL: nothing yet */
static LExpr *add_times(LB *b, LExpr *sum, LExpr *x, double factor)
{
	if (!sum)
		return times(b, x, factor);
	return llet(b, factor == 1 ? ladd(b, sum, x) : lfma(b, x, lconst(b, F32x16, factor), sum));
}

/* winograd_inputs() on vectors. */
static void emit_inputs(LB *b, const Winograd *w, LExpr *const *from, LExpr **to)
{
	LExpr *first = NULL, *last = NULL;

	for (int j = w->pairs; j >= 0; j--) {
		first = add_times(b, first, from[2 * j], w->all[j]);
		last = add_times(b, last, from[2 * j + 1], w->all[j]);
	}
	to[0] = first;
	to[w->size - 1] = last;
	for (int i = 0; i < w->pairs; i++) {
		LExpr *even = NULL, *odd = NULL;
		for (int j = w->pairs - 1; j >= 0; j--) {
			even = add_times(b, even, from[2 * j + 2], w->without[i][j]);
			odd = add_times(b, odd, from[2 * j + 1], w->without[i][j]);
		}
		to[1 + 2 * i] = add_times(b, even, odd, w->point[i]);
		to[2 + 2 * i] = add_times(b, even, odd, -w->point[i]);
	}
}

/* winograd_outputs() on vectors. */
static void emit_outputs(LB *b, const Winograd *w, LExpr *const *from, LExpr **to)
{
	LExpr *plus[MaxWinogradPairs], *minus[MaxWinogradPairs];

	for (int i = 0; i < w->pairs; i++) {
		plus[i] = llet(b, ladd(b, from[1 + 2 * i], from[2 + 2 * i]));
		minus[i] = llet(b, lsub(b, from[1 + 2 * i], from[2 + 2 * i]));
	}
	for (int64_t k = 0; k < w->tile; k++) {
		to[k] = k == 0 ? from[0] : k == w->tile - 1 ? from[w->size - 1] : NULL;
		for (int i = 0; i < w->pairs; i++) {
			double power = 1;
			for (int64_t e = 0; e < k; e++)
				power *= w->point[i];
			to[k] = add_times(b, to[k], k % 2 ? minus[i] : plus[i], power);
		}
	}
}

/* ---- rows ------------------------------------------------------------------------------------------------------------------------ */

typedef struct Row { /* a tile of an image, and where it is packed */
	LExpr *number, *count, *base; /* row; rows of its row tile, and where that begins behind the chunk's begin, in rows */
	LExpr *image, *top, *left; /* its first output */
} Row;

/* Opens two loops over the chunk's rows. */
static Row open_rows(Conv *c)
{
	Kernel *k = c->k;
	LB *b = &k->b;
	LExpr *nr = kparam_at(k, &c->rows), *nt = kparam_at(k, &c->row_tiles), *t = lfor(b, ForSerial, c->begin, c->end, NULL), *at, *rest;
	LExpr *from = llet(b, tile_begin(b, t, nr, nt)), *to = llet(b, tile_begin(b, ladd(b, t, li(b, 1)), nr, nt));
	LExpr *down = kparam_at(k, &c->down), *across = kparam_at(k, &c->across), *tile = li(b, c->form.tile);
	Row r = {.count = llet(b, lsub(b, to, from)), .base = llet(b, lsub(b, from, c->first))};

	r.number = lfor(b, ForSerial, from, to, NULL);
	at = llet(b, lop(b, LFloorDiv, r.number, across, NULL));
	rest = llet(b, lop(b, LFloorDiv, at, down, NULL));
	r.image = rest;
	r.left = llet(b, lmul(b, lsub(b, r.number, lmul(b, at, across)), tile));
	r.top = llet(b, lmul(b, lsub(b, at, lmul(b, rest, down)), tile));
	return r;
}

static void close_rows(LB *b)
{
	lend(b);
	lend(b);
}

/* Of vector j of row i, in a buffer of rows of n. */
static LExpr *vector_at(LB *b, LExpr *i, int64_t n, LExpr *j)
{
	return lmul(b, ladd(b, lmul(b, i, li(b, n)), j), li(b, Lanes));
}

static LExpr *is_inside(LB *b, LExpr *at, LExpr *extent)
{
	return llet(b, lop(b, LAnd, lop(b, LLe, li(b, 0), at, NULL), llt(b, at, extent), NULL));
}

/* The inputs of row i of the tile, 16 channels; beyond the image they are 0. */
static void load_inputs(Conv *c, const Row *r, LExpr *image, LExpr *i, LExpr *channel, LExpr **x)
{
	Kernel *k = c->k;
	LB *b = &k->b;
	const Access *a = &c->x;
	LExpr *left_channels = llet(b, lsub(b, kparam_at(k, &a->extent[3]), channel));
	LExpr *y = llet(b, ladd(b, r->top, lsub(b, i, li(b, attr_int_at(c->n, Attr_pads, 0, 0)))));
	LExpr *line = llet(b, ladd(b, image, ladd(b, lmul(b, y, kparam_at(k, &a->stride[1])), lmul(b, channel, kdim(k, a->stride[3])))));
	LExpr *in_line = is_inside(b, y, kparam_at(k, &a->extent[1])), *left = llet(b, lsub(b, r->left, li(b, attr_int_at(c->n, Attr_pads, 1, 0))));

	for (int j = 0; j < c->form.size; j++) {
		LExpr *at = llet(b, ladd(b, left, li(b, j)));
		LExpr *inside = llet(b, lop(b, LAnd, in_line, is_inside(b, at, kparam_at(k, &a->extent[2])), NULL));
		/* no `and` of masks: of one whose upper half is known to be false LLVM 19 makes a load of that half without a mask, on AVX2 */
		LExpr *mask = lane_mask(k, llet(b, lop(b, LSelect, inside, left_channels, li(b, 0))));
		LExpr *place = ladd(b, line, lmul(b, at, kparam_at(k, &a->stride[2])));
		/* not load_lanes(): of a stride of 0, which an empty image has too, it reads one element without asking */
		LExpr *stride = dim_equals(a->stride[3], 1) ? NULL : kdim(k, a->stride[3]);
		x[j] = llet(b, lload(b, a->buf, Lanes, llet(b, place), stride, mask));
	}
}

/* The chunk's tiles, transformed and packed: [size * size][row tile][channels / 32][row][32].  No epilogue matters here: a kernel for all. */
static void transform_inputs(const Conv *of)
{
	Kernel inner = open_inner(of->k, "winograd_inputs"), *k = &inner;
	LB *b = &k->b;
	Conv in = *of, *c = &in;
	const int size = c->form.size;
	c->k = k;
	c->x.buf = kbuffer(k, of->x.buf, false);
	c->scratch = kbuffer(k, of->scratch, true);
	c->in_at = kvalue(k, of->in_at);
	c->first = kvalue(k, of->first);
	c->begin = kvalue(k, of->begin);
	c->end = kvalue(k, of->end);
	LBuf *half = llocal(b, "half", F32, (int64_t)size * size * Lanes);
	LExpr *from[MaxWinogradSize], *to[MaxWinogradSize], *zero = li(b, 0), *idx[4] = {NULL}, *depth = packed_length(b, kparam_at(k, &c->x.extent[3]));
	Row r = open_rows(c);

	idx[0] = r.image;
	LExpr *image = llet(b, offset_of(k, &c->x, idx)), *row = llet(b, lsub(b, lsub(b, r.number, c->first), r.base));
	LExpr *base = llet(b, ladd(b, c->in_at, lmul(b, r.base, depth)));
	LExpr *channel = lfor(b, ForSerial, zero, kparam_at(k, &c->x.extent[3]), li(b, Lanes));
	LExpr *i = lfor(b, ForSerial, zero, li(b, size), NULL);
	load_inputs(c, &r, image, i, channel, from);
	emit_inputs(b, &c->form, from, to);
	for (int j = 0; j < size; j++)
		lstore(b, half, vector_at(b, i, size, li(b, j)), NULL, NULL, to[j]);
	lend(b);
	LExpr *block = lop(b, LFloorDiv, channel, li(b, PackK), NULL), *in_block = lop(b, LMod, channel, li(b, PackK), NULL);
	LExpr *place = ladd(b, lmul(b, ladd(b, lmul(b, block, r.count), row), li(b, PackK)), in_block);
	place = llet(b, ladd(b, base, place));
	LExpr *j = lfor(b, ForSerial, zero, li(b, size), NULL);
	for (int n = 0; n < size; n++)
		from[n] = llet(b, lload(b, half, Lanes, vector_at(b, li(b, n), size, j), NULL, NULL));
	emit_inputs(b, &c->form, from, to);
	for (int n = 0; n < size; n++)
		lstore(b, c->scratch, ladd(b, place, lmul(b, ladd(b, li(b, n * size), j), kparam_at(k, &c->plane))), NULL, NULL, to[n]);
	lend(b);
	lend(b);
	close_rows(b);
	kcall_inner(k);
}

/* All products of the chunk with panel p: [size * size][row][32]. */
static void multiply(Conv *c, LExpr *p)
{
	Kernel *k = c->k;
	LB *b = &k->b;
	const int64_t places = c->form.size * c->form.size;
	LExpr *width = li(b, PanelWidth), *depth = kparam_at(k, &c->x.extent[3]), *columns = NULL;
	int64_t outputs;

	if (!dim_is_const(c->n->out[0]->type.dims[3], &outputs) || outputs % PanelWidth)
		columns = columns_left(b, kparam_at(k, &c->n->out[0]->type.dims[3]), p);
	LExpr *place = lfor(b, ForSerial, li(b, 0), li(b, places), NULL);
	LExpr *w = lmul(b, ladd(b, lmul(b, p, li(b, places)), place), lmul(b, depth, width));
	LExpr *a = ladd(b, c->in_at, lmul(b, place, kparam_at(k, &c->plane))), *y = ladd(b, c->out_at, lmul(b, place, kparam_at(k, &c->products)));
	call_panel(k, &(PanelTiles){.a = c->scratch, .w = c->w, .acc = c->scratch, .a_at = llet(b, a), .w_at = llet(b, w), .acc_at = llet(b, y),
	                       .rows = kparam_at(k, &c->rows), .tiles = kparam_at(k, &c->row_tiles), .t0 = c->begin, .t1 = c->end,
	                       .depth = depth, .columns = columns});
	lend(b);
}

/* The tile of 16 columns whose products begin at `place`, `products` apart, to c->sums; lines from `lines` on lie outside of the image. */
static void transform_outputs(const Conv *of, LExpr *place, LExpr *lines)
{
	Kernel inner = open_inner(of->k, "winograd_outputs"), *k = &inner;
	LB *b = &k->b;
	const int size = of->form.size, tile = (int)of->form.tile;
	LBuf *scratch = kbuffer(k, of->scratch, false), *sums = kbuffer(k, of->sums, true), *half = llocal(b, "half", F32, (int64_t)size * tile * Lanes);
	LExpr *from[MaxWinogradSize] = {NULL}, *to[MaxWinogradTile], *zero = li(b, 0), *apart = kparam_at(k, &of->products);
	place = kvalue(k, place);
	lines = kvalue(k, lines);

	LExpr *j = lfor(b, ForSerial, zero, li(b, size), NULL);
	for (int n = 0; n < size; n++)
		from[n] = llet(b, lload(b, scratch, Lanes, ladd(b, place, lmul(b, ladd(b, li(b, n * size), j), apart)), NULL, NULL));
	emit_outputs(b, &of->form, from, to);
	for (int n = 0; n < tile; n++)
		lstore(b, half, vector_at(b, li(b, n), size, j), NULL, NULL, to[n]);
	lend(b);
	LExpr *i = lfor(b, ForSerial, zero, lines, NULL);
	for (int n = 0; n < size; n++)
		from[n] = llet(b, lload(b, half, Lanes, vector_at(b, i, size, li(b, n)), NULL, NULL));
	emit_outputs(b, &of->form, from, to);
	for (int n = 0; n < tile; n++)
		lstore(b, sums, vector_at(b, i, tile, li(b, n)), NULL, NULL, to[n]);
	lend(b);
	kcall_inner(k);
}

/* The outputs of the chunk with panel p, and what joins them. */
static void finish_outputs(Conv *c, LExpr *p)
{
	Kernel *k = c->k;
	LB *b = &k->b;
	const Type *t = &c->n->out[0]->type;
	LExpr *rows[MaxOperands], *zero = li(b, 0), *tile = li(b, c->form.tile), *width = kparam_at(k, &t->dims[2]);
	Row r = open_rows(c);

	LExpr *lines = llet(b, lop(b, LPMin, tile, lsub(b, kparam_at(k, &t->dims[1]), r.top), NULL));
	LExpr *columns = llet(b, lop(b, LPMin, tile, lsub(b, width, r.left), NULL));
	LExpr *begin = llet(b, ladd(b, lmul(b, ladd(b, lmul(b, r.image, kparam_at(k, &t->dims[1])), r.top), width), r.left));
	LExpr *lane = lfor(b, ForSerial, zero, columns_left(b, kparam_at(k, &t->dims[3]), p), li(b, Lanes));
	LExpr *place = ladd(b, c->out_at, ladd(b, lmul(b, lsub(b, r.number, c->first), li(b, PanelWidth)), lane));
	LExpr *col = llet(b, ladd(b, lmul(b, p, li(b, PanelWidth)), lane));
	LExpr *mask = c->whole ? NULL : lane_mask(k, lsub(b, kparam_at(k, &t->dims[3]), col));
	transform_outputs(c, llet(b, place), lines);
	LExpr *i = lfor(b, ForSerial, zero, lines, NULL), *line = llet(b, ladd(b, begin, lmul(b, i, width)));
	LExpr *j = lfor(b, ForSerial, zero, columns, NULL), *at = llet(b, ladd(b, line, j));
	LExpr *sum = llet(b, lload(b, c->sums, Lanes, vector_at(b, i, c->form.tile, j), NULL, NULL));
	leaf_rows(&c->e, k, at, rows);
	emit_columns(&c->e, k, (ByPart){{sum}}, rows, ladd(b, llet(b, lmul(b, at, kparam_at(k, &t->dims[3]))), col), col, mask);
	lend(b);
	lend(b);
	lend(b);
	close_rows(b);
}

enum { LeastTiles = 2, MostTiles = 16 }; /* of rows in a chunk: products of one would wait for the weights */

/* Chunks of as many row tiles as fit, and what one worker needs for them. */
static void size_chunks(Conv *c)
{
	Lower *l = c->k->l;
	Module *m = l->m;
	const int64_t places = c->form.size * c->form.size;
	const Dim *depth = packed_depth(m, c->x.extent[3]);
	const int64_t bytes = (int64_t)l->schedule.kib << 10;
	int64_t known, row_bytes;

	if (!dim_is_const(depth, &known) || __builtin_mul_overflow(known + PanelWidth, 4 * places, &row_bytes))
		known = 0, row_bytes = bytes;
	int64_t chunk = bytes / (row_bytes * l->t->mr);
	chunk = chunk < LeastTiles ? LeastTiles : chunk > MostTiles ? MostTiles : chunk;
	c->chunk = dim_const(m, chunk);
	c->plane = dim_mul_const(m, depth, chunk * l->t->mr);
	c->products = dim_const(m, chunk * l->t->mr * PanelWidth);
	need_scratch(l, dim_mul_const(m, dim_add(m, c->plane, c->products), places));
}

void lower_winograd(Lower *l, Node *n, Node *epilogue, Value *result, Value *home)
{
	Module *m = l->m;
	Kernel k = open_kernel(l, "winograd", true);
	LB *b = &k.b;
	k.general = true;
	const Type *t = &n->out[0]->type;
	Conv c = {.k = &k, .n = n, .x = kaccess(&k, n->in[0]), .w = kbuf(&k, n->in[1], false)};
	int64_t outputs;

	if (!winograd_of(attr_int(n, Attr_tile), &c.form))
		bug("winograd: no such tile");
	const Dim *tile = dim_const(m, c.form.tile);
	c.down = dim_ceildiv(m, t->dims[1], tile);
	c.across = dim_ceildiv(m, t->dims[2], tile);
	c.rows = dim_mul(m, t->dims[0], dim_mul(m, c.down, c.across));
	c.row_tiles = tiles_of(l, c.rows);
	c.panels = n->in[1]->type.dims[0];
	c.whole = dim_is_const(t->dims[3], &outputs) && outputs % Lanes == 0;
	size_chunks(&c);
	c.e = (Epilogue){.l = l, .root = n, .first = epilogue, .result = result, .home = home, .added = n->in[2]};
	open_epilogue(&c.e, &k);
	c.scratch = kscratch(&k);
	c.sums = llocal(b, "sums", F32, c.form.tile * c.form.tile * Lanes);

	LExpr *mine = kworker(&k), *workers = kthreads(&k), *one = li(b, 1), *nt = kparam_at(&k, &c.row_tiles), *np = kparam_at(&k, &c.panels);
	LExpr *size = kparam_at(&k, &c.chunk), *chunks = llet(b, lop(b, LFloorDiv, ladd(b, nt, lsub(b, size, one)), size, NULL));
	LExpr *some = llet(b, lop(b, LPMax, chunks, one, NULL));
	LExpr *want = lop(b, LFloorDiv, ladd(b, workers, lsub(b, some, one)), some, NULL);
	LExpr *parts = llet(b, lop(b, LPMax, lop(b, LPMin, want, np, NULL), one, NULL));
	LExpr *task = share_tasks(&k, llet(b, lmul(b, chunks, parts)));
	LExpr *chunk = llet(b, lop(b, LFloorDiv, task, parts, NULL)), *part = llet(b, lsub(b, task, lmul(b, chunk, parts)));
	c.begin = llet(b, lmul(b, chunk, size));
	c.end = llet(b, lop(b, LPMin, ladd(b, c.begin, size), nt, NULL));
	c.first = llet(b, tile_begin(b, c.begin, kparam_at(&k, &c.rows), nt));
	c.in_at = llet(b, lmul(b, this_worker(&k), mine));
	c.out_at = llet(b, ladd(b, c.in_at, lmul(b, kparam_at(&k, &c.plane), li(b, (int64_t)c.form.size * c.form.size))));
	transform_inputs(&c);
	LExpr *p = lfor(b, ForSerial, lop(b, LFloorDiv, lmul(b, np, part), parts, NULL),
	                lop(b, LFloorDiv, lmul(b, np, ladd(b, part, one)), parts, NULL), NULL);
	multiply(&c, p);
	finish_outputs(&c, p);
	lend(b);
	lend(b);
	kflop(&k, dim_mul_const(m, dim_mul(m, c.rows, dim_mul(m, c.x.extent[3], t->dims[3])), 2 * (int64_t)c.form.size * c.form.size));
	kflop_nodes(&k, epilogue, NULL);
	k.b.fn->loc = n->loc;
	kcall(&k);
}
