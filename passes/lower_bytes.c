/* lower_bytes.c - packing of rows of bytes for the products of ir/bytes.h.
 *
 * A block of 64 steps is four vectors of 16, which become 16 words of four bytes each; or, where a target multiplies halves, 16 words of the
 * first and third vector's, and 16 of the others'.
 */
#include "kernel.h"
#include "../ir/bytes.h"

typedef struct Bytes {
	Kernel *k;
	const Access *x;
	LBuf *to;
	LExpr *row, *tile_rows; /* where the row begins in x; rows of its tile */
	LExpr *at; /* where its first block lies */
	LExpr *first; /* block that begins at `row`; NULL: its first */
	int words;
} Bytes;

/* Words of the row begin at every 32nd of its tile's. */
static LExpr *block_place(const Bytes *p, LExpr *word)
{
	LB *b = &p->k->b;
	LExpr *in_block = llet(b, lop(b, LMod, word, li(b, PackK), NULL));
	return llet(b, ladd(b, p->at, ladd(b, lmul(b, lsub(b, word, in_block), p->tile_rows), in_block)));
}

static LExpr *join_bytes(LB *b, LExpr *low, LExpr *high, int shift)
{
	return lop(b, LOr, low, lop(b, LShl, high, lconst(b, low->type, shift), NULL), NULL);
}

/* The block of `block` of the row, whose vectors lie `groups` steps apart; left: steps of it; NULL: all. */
static void pack_block(const Bytes *p, LExpr *block, LExpr *groups, LExpr *left)
{
	LB *b = &p->k->b;
	const Dim *stride = p->x->stride[p->x->rank - 1];
	LExpr *v[BytesOfGroup], *step = llet(b, lmul(b, block, li(b, BytesOfBlock))), *unit = kparam(p->k, stride);

	for (int i = 0; i < BytesOfGroup; i++) {
		LExpr *from = llet(b, lmul(b, groups, li(b, i))), *mask = NULL;
		if (left)
			mask = lane_mask(p->k, llet(b, lop(b, LPMin, groups, lsub(b, left, from), NULL)));
		LExpr *at = ladd(b, p->row, lmul(b, ladd(b, step, from), unit));
		v[i] = llet(b, lcast(b, LConvert, (LType){I32, Lanes}, load_lanes(p->k, p->x, at, stride, mask)));
	}
	LExpr *number = p->first ? ladd(b, p->first, block) : block;
	LExpr *to = block_place(p, llet(b, lmul(b, number, li(b, GroupsOfBlock * p->words))));
	if (p->words == 1) {
		LExpr *low = join_bytes(b, v[0], v[1], 8), *high = join_bytes(b, v[2], v[3], 8);
		lstore(b, p->to, to, NULL, NULL, join_bytes(b, low, high, 16));
	} else {
		for (int i = 0; i < 2; i++)
			lstore(b, p->to, ladd(b, to, li(b, i * GroupsOfBlock)), NULL, NULL, join_bytes(b, v[i], v[i + 2], 16));
	}
}

/* The row as it lies, one axis; or a copy of its elements side by side in the worker's scratch. */
typedef struct Line {
	Access x;
	LExpr *at;
} Line;

/* Opens loops over the last `inner` axes of x but the innermost; *from, where that begins in x, goes along; the number of its first element. */
static LExpr *open_lines(Kernel *k, const Access *x, int inner, LExpr **from)
{
	LB *b = &k->b;
	const int last = x->rank - 1;
	LExpr *kk = li(b, 0);

	for (int d = x->rank - inner; d < last; d++) {
		LExpr *len = move_dim(k, x->extent[d]), *j = lfor(b, ForSerial, li(b, 0), len, NULL);
		kk = llet(b, ladd(b, lmul(b, kk, len), j));
		*from = llet(b, ladd(b, *from, lmul(b, j, move_dim(k, x->stride[d]))));
	}
	return llet(b, lmul(b, kk, move_dim(k, x->extent[last])));
}

static void close_lines(Kernel *k, int inner)
{
	for (int d = 1; d < inner; d++)
		lend(&k->b);
}

/* Copies the last `inner` axes of x from `row` on. */
static void copy_line(Kernel *k, const Access *x, int inner, LExpr *row, const Line *to)
{
	LB *b = &k->b;
	const int last = x->rank - 1;
	const Dim *stride = x->stride[last];
	LExpr *n = move_dim(k, x->extent[last]), *from = row, *unit = move_dim(k, stride), *kk = open_lines(k, x, inner, &from);
	LExpr *at = llet(b, ladd(b, to->at, kk)), *whole = llet(b, lsub(b, n, lop(b, LMod, n, li(b, Lanes), NULL)));
	LExpr *i = lfor(b, ForSerial, li(b, 0), whole, li(b, Lanes));
	lstore(b, to->x.buf, ladd(b, at, i), NULL, NULL, load_lanes(k, x, ladd(b, from, lmul(b, i, unit)), stride, NULL));
	lend(b);
	lif(b, llt(b, whole, n)); /* lanes behind the end are overwritten, or lie behind the line */
	LExpr *mask = llet(b, lane_mask(k, lsub(b, n, whole)));
	lstore(b, to->x.buf, ladd(b, at, whole), NULL, NULL, load_lanes(k, x, ladd(b, from, lmul(b, whole, unit)), stride, mask));
	lend(b);
	close_lines(k, inner);
}

static void pack_row(const Bytes *p, LExpr *blocks, LExpr *left)
{
	LB *b = &p->k->b;
	LExpr *zero = li(b, 0);

	pack_block(p, lfor(b, ForSerial, zero, blocks, NULL), li(b, GroupsOfBlock), NULL);
	lend(b);
	lif(b, llt(b, zero, left));
	pack_block(p, blocks, llet(b, lop(b, LFloorDiv, ladd(b, left, li(b, BytesOfGroup - 1)), li(b, BytesOfGroup), NULL)), left);
	lend(b);
}

/* The last `inner` axes of x, of which the innermost is whole blocks. */
static void pack_lines(Bytes *p, int inner)
{
	LB *b = &p->k->b;
	LExpr *block = li(b, BytesOfBlock), *blocks = llet(b, lop(b, LFloorDiv, move_dim(p->k, p->x->extent[p->x->rank - 1]), block, NULL));
	LExpr *kk = open_lines(p->k, p->x, inner, &p->row);

	p->first = llet(b, lop(b, LFloorDiv, kk, block, NULL));
	pack_block(p, lfor(b, ForSerial, li(b, 0), blocks, NULL), li(b, GroupsOfBlock), NULL);
	lend(b);
	close_lines(p->k, inner);
}

/* Rows whose last axes do not lie side by side in whole blocks are copied, those of a tile before the first of them is packed: it would wait for
 * what was just written. */
void pack_bytes(Lower *l, Value *xv, int inner, const Dim *rows, const Dim *tiles, Slot *packed)
{
	Module *m = l->m;
	Kernel k = open_kernel(l, "pack_bytes", true);
	LB *b = &k.b;
	k.general = true;
	Access x = kaccess(&k, xv);
	LBuf *to = kslot_of(&k, packed, I32, true);
	const Dim *depth = dims_product(m, x.extent + x.rank - inner, inner), *groups = dim_ceildiv(m, depth, dim_const(m, BytesOfGroup));
	const Dim *room = dim_add(m, depth, dim_const(m, Lanes));
	inner = merge_axes(m, &x, x.rank - inner, x.rank);
	int64_t width;
	const bool lines = inner > 1 && dim_is_const(x.extent[x.rank - 1], &width) && width % BytesOfBlock == 0, copied = inner > 1 && !lines;
	LExpr *nr = kdim(&k, rows), *nt = kdim(&k, tiles), *nk = kparam(&k, depth), *one = li(b, 1), *zero = li(b, 0), *block = li(b, BytesOfBlock);
	LExpr *length = llet(b, packed_length(b, kparam(&k, dim_mul_const(m, groups, l->t->byte_words))));
	LExpr *blocks = llet(b, lop(b, LFloorDiv, nk, block, NULL)), *left = llet(b, lsub(b, nk, lmul(b, blocks, block))), *mine = NULL;
	Line line = {.x = {.rank = 1, .base = dim_const(m, 0), .stride = {dim_const(m, 1)}, .extent = {depth}, .dtype = U8}};

	if (copied) {
		need_scratch(l, dim_ceildiv(m, dim_mul_const(m, room, l->t->byte_rows), dim_const(m, dtypes[F32].bytes)));
		line.x.buf = kscratch_of(&k, U8);
		mine = lmul(b, kworker(&k), li(b, dtypes[F32].bytes));
	}
	LExpr *t = share_tasks(&k, nt);
	LExpr *from = llet(b, tile_begin(b, t, nr, nt)), *count = llet(b, lsub(b, tile_begin(b, ladd(b, t, one), nr, nt), from)), *i, *row = NULL;
	if (copied) {
		LExpr *begin = llet(b, lmul(b, this_worker(&k), mine)), *apart = kparam(&k, room);
		i = lfor(b, ForSerial, zero, count, NULL);
		line.at = llet(b, ladd(b, begin, lmul(b, i, apart)));
		copy_line(&k, &x, inner, row_offset(&k, &x, x.rank - inner, llet(b, ladd(b, from, i))), &line);
		lend(b);
		i = lfor(b, ForSerial, zero, count, NULL);
		row = llet(b, ladd(b, begin, lmul(b, i, apart)));
	} else {
		i = lfor(b, ForSerial, zero, count, NULL);
		row = row_offset(&k, &x, x.rank - inner, llet(b, ladd(b, from, i)));
	}
	Bytes p = {.k = &k, .x = copied ? &line.x : &x, .to = to, .row = row, .tile_rows = count, .words = l->t->byte_words};
	p.at = llet(b, ladd(b, lmul(b, from, length), lmul(b, i, li(b, PackK))));
	if (lines)
		pack_lines(&p, inner);
	else
		pack_row(&p, blocks, left);
	lend(b);
	lend(b);
	kcall(&k);
}
