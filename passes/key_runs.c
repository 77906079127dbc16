/* key_runs.c - which panels of keys a tile of queries looks at: a mask has a list for each tile, batch and head, as far as it
 * distinguishes them. */
#include "attention.h"
#include <math.h>

/* A list: how many runs; of each, the first panel and the one behind its last. */
static LExpr *run_at(LB *b, LExpr *list, LExpr *run)
{
	return ladd(b, list, lmul(b, run, li(b, 2)));
}

static const Dim *list_length(Module *m, const Dim *panels)
{
	return dim_add(m, dim_mul_const(m, dim_ceildiv(m, panels, dim_const(m, 2)), 2), dim_const(m, 1));
}

/* Is a lane not 0? */
static LExpr *is_any(LB *b, LTile *any)
{
	LExpr *most = llet(b, lop(b, LHMax, lelem(b, any, li(b, 0), li(b, 0)), NULL, NULL));
	return lop(b, LNe, most, lconst(b, most->type, 0), NULL);
}

/* Is a key of the panel that begins with `key` seen by one of the queries from .. to - 1?  A one-lane Bool.  Mostly the first query tells. */
static LExpr *sees_panel(Kernel *k, const Access *mask, LExpr *base, LExpr *from, LExpr *to, LExpr *key)
{
	LB *b = &k->b;
	const LType lanes = {F32, Lanes};
	LTile *any = lnew_tile(b, "any", lanes, 1, 1);
	LExpr *zero = li(b, 0), *none = lconst(b, lanes, 0);

	lset_tile(b, any, zero, zero, none);
	LExpr *others = lop(b, LNe, lfor(b, ForSerial, zero, li(b, 2), NULL), zero, NULL), *second = llet(b, ladd(b, from, li(b, 1)));
	lif(b, lop(b, LNot, llet(b, is_any(b, any)), NULL, NULL));
	LExpr *begin = llet(b, lop(b, LSelect, others, second, from)), *end = llet(b, lop(b, LSelect, others, to, second));
	LExpr *i = lfor(b, ForSerial, begin, end, NULL), *j = lfor(b, ForSerial, zero, li(b, PanelWidth), li(b, Lanes));
	LExpr *at = llet(b, ladd(b, key, j)), *inside = lane_mask(k, lsub(b, kdim(k, mask->extent[3]), at));
	LExpr *place = ladd(b, base, ladd(b, lmul(b, i, kdim(k, mask->stride[2])), lmul(b, at, kdim(k, mask->stride[3]))));
	LExpr *seen = mask_shows(b, llet(b, load_lanes(k, mask, place, mask->stride[3], inside)));
	seen = lop(b, LAnd, llet(b, seen), inside, NULL);
	lset_tile(b, any, zero, zero, lop(b, LSelect, llet(b, seen), lconst(b, lanes, 1), lelem(b, any, zero, zero)));
	lend(b);
	lend(b);
	lend(b);
	lend(b);
	return llet(b, is_any(b, any));
}

/* The lists of all tiles of queries, for each batch and head that the mask has. */
static void list_keys(Lower *l, Node *n, Packed *p)
{
	Module *m = l->m;
	Kernel k = open_kernel(l, "key_runs", true);
	LB *b = &k.b;
	Access mask = mask_access(&k, n);
	const Dim *panels = dim_ceildiv(m, mask.extent[3], dim_const(m, PanelWidth)), *length = list_length(m, panels);
	const Dim *masks = dim_mul(m, mask.extent[0], mask.extent[1]), *tiles = tiles_of(l, mask.extent[2]);
	LBuf *lists = kslot_of(&k, packed_slot(l, p, dim_mul(m, dim_mul_const(m, dim_mul(m, masks, tiles), 2), length)), I64, true);
	LExpr *zero = li(b, 0), *one = li(b, 1), *nt = kdim(&k, tiles), *rows = kdim(&k, mask.extent[2]);

	LExpr *task = share_tasks(&k, llet(b, lmul(b, kdim(&k, masks), nt)));
	LExpr *number = llet(b, lop(b, LFloorDiv, task, nt, NULL)), *tile = llet(b, lsub(b, task, lmul(b, number, nt)));
	LExpr *from = llet(b, tile_begin(b, tile, rows, nt)), *to = llet(b, tile_begin(b, ladd(b, tile, one), rows, nt));
	LExpr *list = llet(b, lmul(b, task, kdim(&k, length))), *idx[4];
	split_index(&k, number, mask.extent, 2, idx);
	idx[2] = idx[3] = NULL;
	LExpr *base = llet(b, offset_of(&k, &mask, idx));
	lstore(b, lists, list, NULL, NULL, zero);
	LExpr *panel = lfor(b, ForSerial, zero, kdim(&k, panels), NULL);
	lif(b, sees_panel(&k, &mask, base, from, to, llet(b, lmul(b, panel, li(b, PanelWidth)))));
	LExpr *count = llet(b, lload(b, lists, 1, list, NULL, NULL)), *last = llet(b, run_at(b, list, count));
	LExpr *open = lop(b, LAnd, lop(b, LNe, count, zero, NULL), lop(b, LEq, lload(b, lists, 1, last, NULL, NULL), panel, NULL), NULL);
	LExpr *end = ladd(b, panel, one);
	lif(b, open);
	lstore(b, lists, last, NULL, NULL, end);
	lelse(b);
	lstore(b, lists, ladd(b, last, one), NULL, NULL, panel);
	lstore(b, lists, ladd(b, last, li(b, 2)), NULL, NULL, end);
	lstore(b, lists, list, NULL, NULL, ladd(b, count, one));
	lend(b);
	lend(b);
	lend(b);
	lend(b);
	kcall(&k);
}

/* The first attention that reads a list makes it. */
Slot *listed_keys(Lower *l, Node *n)
{
	Packed *p = key_runs(l, n);

	if (p && !p->slot)
		list_keys(l, n, p);
	return p ? p->slot : NULL;
}

void find_list(Att *a, LExpr *batch, LExpr *head, LExpr *tile, const Dim *tiles)
{
	Module *m = a->k->l->m;
	LB *b = &a->k->b;
	const Dim *const *extent = a->mask.extent;
	const Dim *length = list_length(m, a->panels);
	LExpr *number = dim_equals(extent[0], 1) ? li(b, 0) : batch;

	if (!dim_equals(extent[1], 1))
		number = ladd(b, lmul(b, number, kdim(a->k, extent[1])), head);
	if (!dim_equals(extent[2], 1))
		number = ladd(b, lmul(b, number, kdim(a->k, tiles)), tile);
	a->runs_at = llet(b, lmul(b, llet(b, number), kdim(a->k, length)));
}

LExpr *is_again(Att *a)
{
	LB *b = &a->k->b;
	return lop(b, LNe, lload(b, a->again, 1, li(b, 0), NULL, NULL), li(b, 0), NULL);
}

Att open_runs(Att *a)
{
	LB *b = &a->k->b;
	LExpr *zero = li(b, 0), *one = li(b, 1), *runs, *at, *first, *end;
	Att window = *a;

	if (!a->runs)
		return window;
	runs = llet(b, lload(b, a->runs, 1, a->runs_at, NULL, NULL));
	if (a->again)
		runs = llet(b, lop(b, LSelect, is_again(a), one, runs));
	at = llet(b, run_at(b, a->runs_at, lfor(b, ForSerial, zero, runs, NULL)));
	first = llet(b, lload(b, a->runs, 1, ladd(b, at, one), NULL, NULL));
	end = llet(b, lload(b, a->runs, 1, ladd(b, at, li(b, 2)), NULL, NULL));
	if (a->again) {
		LExpr *all = llet(b, is_again(a));
		first = llet(b, lop(b, LSelect, all, zero, first));
		end = llet(b, lop(b, LSelect, all, a->seen_panels, end));
	}
	a->first_panel = llet(b, lop(b, LPMax, first, a->first_panel, NULL));
	a->seen_panels = llet(b, lop(b, LPMin, end, a->seen_panels, NULL));
	a->seen = llet(b, lop(b, LPMin, lmul(b, a->seen_panels, li(b, PanelWidth)), a->seen, NULL));
	return window;
}

void close_runs(Att *a, const Att *window)
{
	if (a->runs)
		lend(&a->k->b);
	*a = *window;
}

