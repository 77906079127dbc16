/* panels.c - packing of a right operand that is no constant: values of attention, keys, matrices of a product.
 *
 * Where its rows lie side by side in memory along k, as keys do, 16 by 16 elements are transposed in registers: a line of the cache is read
 * once as a whole, however far the next column is, where lane by lane it would be needed again after 31 others.
 */
#include "kernel.h"

#include <string.h>

/* As often as n can be halved, the same: the top bit of the row's number becomes the lowest of the lane's. */
void interleave_lanes(LB *b, LExpr **rows, int n)
{
	LExpr *next[Lanes];

	for (int bit = 1; bit < n; bit *= 2) {
		for (int i = 0; i < n / 2; i++) {
			next[2 * i] = llet(b, lop(b, LZipLo, rows[i], rows[i + n / 2], NULL));
			next[2 * i + 1] = llet(b, lop(b, LZipHi, rows[i], rows[i + n / 2], NULL));
		}
		memcpy(rows, next, (size_t)n * sizeof *next);
	}
}

void transpose_lanes(LB *b, LExpr *rows[Lanes])
{
	interleave_lanes(b, rows, Lanes);
}

typedef struct Panel {
	const Access *x;
	LBuf *panels;
	LExpr *from, *to, *first, *columns; /* of x's matrix, of the panel in panels; the panel's first column; of x */
} Panel;

/* Steps k0 .. k0 + 15 of all columns, whose steps lie side by side. */
static void pack_columns(Kernel *k, const Panel *p, LExpr *k0)
{
	LB *b = &k->b;
	const LType bools = {Bool, Lanes};
	LExpr *stride = kdim(k, p->x->stride[p->x->rank - 1]), *rows[Lanes];

	LExpr *j = lfor(b, ForSerial, li(b, 0), li(b, PanelWidth), li(b, Lanes)), *col = llet(b, ladd(b, p->first, j));
	LExpr *at = llet(b, ladd(b, ladd(b, p->from, k0), lmul(b, col, stride)));
	LExpr *ahead = llet(b, lop(b, LPMax, lmul(b, stride, li(b, PanelWidth)), li(b, BytesAhead / dtypes[F32].bytes), NULL));
	for (int i = 0; i < Lanes; i++) {
		LExpr *inside = lcast(b, LSplat, bools, llt(b, ladd(b, col, li(b, i)), p->columns));
		LExpr *row = llet(b, ladd(b, at, lmul(b, li(b, i), stride)));
		lprefetch(b, p->x->buf, ladd(b, row, ahead));
		rows[i] = llet(b, lload(b, p->x->buf, Lanes, row, NULL, inside));
	}
	transpose_lanes(b, rows);
	LExpr *to = llet(b, ladd(b, p->to, ladd(b, lmul(b, k0, li(b, PanelWidth)), j)));
	for (int i = 0; i < Lanes; i++)
		lstore(b, p->panels, ladd(b, to, li(b, i * PanelWidth)), NULL, NULL, rows[i]);
	lend(b);
}

/* Step kk of all columns. */
static void pack_step(Kernel *k, const Panel *p, LExpr *kk)
{
	LB *b = &k->b;
	const Access *x = p->x;
	const Dim *stride = x->stride[x->rank - 1];
	LExpr *apart = kdim(k, x->stride[x->rank - 2]), *row = llet(b, ladd(b, p->from, lmul(b, kk, apart)));
	LExpr *j = lfor(b, ForSerial, li(b, 0), li(b, PanelWidth), li(b, Lanes)), *col = llet(b, ladd(b, p->first, j));
	LExpr *mask = lane_mask(k, lsub(b, p->columns, col)), *v;
	if (dim_equals(stride, 0)) {
		LExpr *one = lcast(b, LSplat, (LType){F32, Lanes}, lload(b, x->buf, 1, row, NULL, NULL));
		v = lop(b, LSelect, mask, one, lconst(b, (LType){F32, Lanes}, 0));
	} else {
		LExpr *at = llet(b, ladd(b, row, lmul(b, col, kdim(k, stride))));
		lprefetch(b, x->buf, ladd(b, at, lmul(b, apart, li(b, StepsAhead))));
		v = load_lanes(k, x, at, stride, mask);
	}
	lstore(b, p->panels, ladd(b, p->to, ladd(b, lmul(b, kk, li(b, PanelWidth)), j)), NULL, NULL, v);
	lend(b);
}

void pack_panels(Kernel *k, const Access *x, LBuf *panels)
{
	LB *b = &k->b;
	Module *m = k->l->m;
	int rank = x->rank;
	const Dim *depth = x->extent[rank - 2], *width = x->extent[rank - 1], *batch = dim_const(m, 1);
	LExpr *idx[MaxRank] = {0}, *nk = kdim(k, depth), *transposed = li(b, 0);
	LExpr *count = kdim(k, dim_ceildiv(m, width, dim_const(m, PanelWidth)));

	for (int d = 0; d < rank - 2; d++)
		batch = dim_mul(m, batch, x->extent[d]);
	LExpr *p = lfor(b, ForParallel, li(b, 0), lmul(b, kdim(k, times_of_elements(m, batch, depth)), count), NULL);
	LExpr *at = llet(b, lop(b, LFloorDiv, p, count, NULL)), *panel = llet(b, lsub(b, p, lmul(b, at, count)));
	for (int d = rank - 3; d >= 0; d--) {
		idx[d] = d ? llet(b, lop(b, LMod, at, kdim(k, x->extent[d]), NULL)) : at;
		if (d)
			at = llet(b, lop(b, LFloorDiv, at, kdim(k, x->extent[d]), NULL));
	}
	LExpr *from = llet(b, offset_of(k, x, idx)), *to = llet(b, lmul(b, p, lmul(b, nk, li(b, PanelWidth))));
	Panel one = {x, panels, from, to, llet(b, lmul(b, panel, li(b, PanelWidth))), kdim(k, width)};
	if (dim_equals(x->stride[rank - 2], 1) && !dim_equals(x->stride[rank - 1], 1)) {
		transposed = llet(b, lsub(b, nk, lop(b, LMod, nk, li(b, Lanes), NULL)));
		pack_columns(k, &one, lfor(b, ForSerial, li(b, 0), transposed, li(b, Lanes)));
		lend(b);
	}
	pack_step(k, &one, lfor(b, ForSerial, transposed, nk, NULL));
	lend(b);
	lend(b);
}
