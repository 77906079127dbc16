/* lower_strassen.c - what one level of Strassen (ir/strassen.h) adds to a linear: sums of blocks of rows, packed as seven left operands, and
 * the blocks of the result from the seven products.  Sums are taken in the table's order, whatever the target.
 */
#include "kernel.h"
#include "../ir/strassen.h"

/* The sum of those with a factor, first one whose factor is 1: there is one wherever there are any. */
static LExpr *emit_sum(LB *b, LExpr *const *x, const signed char *factor, int n, int step)
{
	int first = 0;

	while (factor[first * step] != 1)
		first++;
	LExpr *sum = x[first];
	for (int i = 0; i < n; i++) {
		int f = i == first ? 0 : factor[i * step];
		if (f)
			sum = llet(b, f > 0 ? ladd(b, sum, x[i]) : lsub(b, sum, x[i]));
	}
	return sum;
}

const Dim *strassen_plane(Module *m, const Dim *pairs, const Dim *half)
{
	return dim_mul(m, pairs, packed_depth(m, half));
}

void pack_sums(Lower *l, Value *xv, const Dim *rows, const Dim *pairs, const Dim *half, const Dim *tiles, Slot *packed)
{
	Kernel k = open_kernel(l, "pack_sums", true);
	LB *b = &k.b;
	k.general = true;
	Access x = kaccess(&k, xv);
	const Dim *stride = x.stride[x.rank - 1];
	LBuf *p = kslot(&k, packed, true);
	LExpr *np = kparam(&k, pairs), *nt = kparam(&k, tiles), *nk = kparam(&k, half), *last = llet(b, lsub(b, kparam(&k, rows), li(b, 1)));
	LExpr *plane = kparam(&k, strassen_plane(l->m, pairs, half)), *block[StrassenBlocks], *row_at[2];

	LExpr *t = lfor(b, ForParallel, li(b, 0), nt, NULL);
	LExpr *from = llet(b, tile_begin(b, t, np, nt)), *to = llet(b, tile_begin(b, ladd(b, t, li(b, 1)), np, nt));
	LExpr *count = llet(b, lsub(b, to, from)), *base = llet(b, lmul(b, from, packed_length(b, nk)));
	LExpr *i = lfor(b, ForSerial, from, to, NULL), *even = llet(b, lmul(b, i, li(b, 2)));
	LExpr *place = llet(b, ladd(b, base, lmul(b, lsub(b, i, from), li(b, PackK))));
	row_at[0] = row_offset(&k, &x, x.rank - 1, even);
	row_at[1] = row_offset(&k, &x, x.rank - 1, llet(b, lop(b, LPMin, ladd(b, even, li(b, 1)), last, NULL))); /* one row has itself for a partner */
	LExpr *step = lfor(b, ForSerial, li(b, 0), nk, li(b, Lanes)), *in_block = llet(b, lop(b, LMod, step, li(b, PackK), NULL));
	LExpr *at = llet(b, ladd(b, place, ladd(b, lmul(b, lsub(b, step, in_block), count), in_block)));
	for (int j = 0; j < StrassenBlocks; j++) {
		LExpr *kk = j % 2 ? ladd(b, nk, step) : step;
		block[j] = llet(b, load_lanes(&k, &x, ladd(b, row_at[j / 2], lmul(b, kk, kdim(&k, stride))), stride, NULL));
	}
	for (int s = 0; s < StrassenProducts; s++)
		lstore(b, p, ladd(b, at, lmul(b, li(b, s), plane)), NULL, NULL, emit_sum(b, block, strassen[s].left, StrassenBlocks, 1));
	lend(b);
	lend(b);
	lend(b);
	kcall(&k);
}

void blocks_of_products(Kernel *k, LBuf *acc, LExpr *from, LExpr *to, int acc_rows, LExpr *count)
{
	LB *b = &k->b;
	LExpr *product[StrassenProducts], *width = li(b, PanelWidth);

	LExpr *i = lfor(b, ForSerial, li(b, 0), count, NULL), *j = lfor(b, ForSerial, li(b, 0), width, li(b, Lanes));
	LExpr *at = llet(b, ladd(b, from, ladd(b, lmul(b, i, width), j)));
	for (int s = 0; s < StrassenProducts; s++)
		product[s] = llet(b, lload(b, acc, Lanes, ladd(b, at, li(b, s * acc_rows * PanelWidth)), NULL, NULL));
	LExpr *row = llet(b, ladd(b, to, ladd(b, lmul(b, i, li(b, 2 * PanelWidth)), j)));
	for (int block = 0; block < StrassenBlocks; block++) {
		LExpr *place = ladd(b, row, li(b, (block % 2 * 2 * acc_rows + block / 2) * PanelWidth));
		lstore(b, acc, place, NULL, NULL, emit_sum(b, product, strassen[0].to + block, StrassenProducts, sizeof *strassen));
	}
	lend(b);
	lend(b);
}
