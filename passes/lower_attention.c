/* lower_attention.c - attention without a stored score matrix.
 *
 * Step one packs the keys (transposed) and the values of every head into panels.  Step two gives each worker a run of (batch, head,
 * tile of up to mr queries): scores of the tile against all keys by the register tile, kept in the worker's scratch; softmax
 * over each row with 16 virtual lanes (largest, exponentials, sum); the product with the values by the register tile again, keys
 * ascending; division by the sum when the tile is stored.  Workspace grows with T, not T*T.
 *
 * A tile looks only at the panels of keys of which one of its queries sees a key.  A window tells them by arithmetic.  For a mask they are
 * listed once, whatever it is made of, for all heads and layers that share it: runs of panels, one list a tile.  What is not looked at
 * would have had the probability 0.  Where the mask's fill is a number, that is seen when the largest score of the row is known: a tile
 * with a row whose hidden keys count too is computed again from all keys.  Which hidden keys are looked at depends on the target: a
 * row to which a value that is not finite has come is computed again from the keys that it sees.
 */
#include "lower.h"
#include <math.h>

typedef struct Att {
	Kernel *k;
	Node *n;
	Access q, mask, out;
	bool masked, bool_mask, zero_masked, zero_nan;
	double fill; /* the score of what a mask of bools hides */
	int64_t left, right; /* the window; -1: no bound */
	LBuf *keys, *values, *scratch, *acc, *sums;
	const Dim *T, *S, *R, *V, *panels, *vpanels;
	LExpr *seen, *first_panel, *seen_panels; /* a tile looks at keys before `seen`, which are panels first_panel .. seen_panels - 1 */
	LBuf *runs; /* NULL, or it looks at those that the list at `runs_at` names too: open_runs() */
	LExpr *runs_at;
	LBuf *again; /* one cell, 1: the tile looks at all keys, whatever the list says; NULL: it never does */
	LExpr *first_key; /* a row looks at keys first_key .. seen - 1 */
	LExpr *count, *from, *to, *qs, *scores; /* of the tile; the last two are offsets into scratch */
	LExpr *mask_base, *kv, *kv_head; /* kv: number of the (batch, kv head) pair */
} Att;

static const LType F32x16 = {F32, Lanes};

/* ---- which keys a tile looks at -------------------------------------------------------------------------------------------------- */

static Access mask_access(Kernel *k, Node *n) /* [batch or 1, head or 1, query or 1, key or 1] */
{
	Access x = kaccess(k, n->in[3]);
	return broadcast_access(k->l->m, &x, 4);
}

/* A list: how many runs; of each, the first panel and the one behind its last. */
static LExpr *run_at(LB *b, LExpr *list, LExpr *run)
{
	return ladd(b, list, lmul(b, run, li(b, 2)));
}

/* Of a mask as it is loaded: is the key seen?  Lanes or one. */
static LExpr *is_seen(LB *b, LExpr *mask)
{
	return mask->type.elem == Bool ? mask : lop(b, LNe, mask, lconst(b, mask->type, -INFINITY), NULL);
}

static const Dim *list_length(Module *m, const Dim *panels)
{
	return dim_add(m, dim_mul_const(m, dim_ceildiv(m, panels, dim_const(m, 2)), 2), dim_const(m, 1));
}

/* Is a key of the panel that begins with `key` seen by one of the queries from .. to - 1?  A one-lane Bool. */
static LExpr *sees_panel(Kernel *k, const Access *mask, LExpr *base, LExpr *from, LExpr *to, LExpr *key)
{
	LB *b = &k->b;
	const LType lanes = {F32, Lanes};
	LTile *any = lnew_tile(b, "any", lanes, 1, 1);
	LExpr *zero = li(b, 0), *none = lconst(b, lanes, 0);

	lset_tile(b, any, zero, zero, none);
	LExpr *i = lfor(b, ForSerial, from, to, NULL), *j = lfor(b, ForSerial, zero, li(b, PanelWidth), li(b, Lanes));
	LExpr *at = llet(b, ladd(b, key, j)), *inside = lane_mask(k, lsub(b, kdim(k, mask->extent[3]), at));
	LExpr *place = ladd(b, base, ladd(b, lmul(b, i, kdim(k, mask->stride[2])), lmul(b, at, kdim(k, mask->stride[3]))));
	LExpr *seen = is_seen(b, llet(b, load_lanes(k, mask, place, mask->stride[3], inside)));
	seen = lop(b, LAnd, llet(b, seen), inside, NULL);
	lset_tile(b, any, zero, zero, lop(b, LSelect, llet(b, seen), lconst(b, lanes, 1), lelem(b, any, zero, zero)));
	lend(b);
	lend(b);
	LExpr *some = llet(b, lop(b, LHMax, lelem(b, any, zero, zero), NULL, NULL));
	return llet(b, lop(b, LNe, some, lconst(b, some->type, 0), NULL));
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
	LExpr *zero = li(b, 0), *one = li(b, 1), *nt = kdim(&k, tiles), *rows = kdim(&k, mask.extent[2]), *worker;

	LExpr *task = share_tasks(&k, llet(b, lmul(b, kdim(&k, masks), nt)), kthreads(&k), &worker);
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
	lend(b);
	kcall(&k);
}

/* The first attention that reads a list makes it. */
static Slot *listed_keys(Lower *l, Node *n)
{
	Packed *p = key_runs(l, n);

	if (p && !p->slot)
		list_keys(l, n, p);
	return p ? p->slot : NULL;
}

static LExpr *is_again(Att *a)
{
	LB *b = &a->k->b;
	return lop(b, LNe, lload(b, a->again, 1, li(b, 0), NULL, NULL), li(b, 0), NULL);
}

/* What follows is done for each run of the list, cut to the window: first_panel, seen_panels, seen.  Returns what close_runs() takes. */
static Att open_runs(Att *a)
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

static void close_runs(Att *a, const Att *window)
{
	if (a->runs)
		lend(&a->k->b);
	*a = *window;
}

/* ---- the tile ------------------------------------------------------------------------------------------------------------------------ */

/* Where the score vector of row i (within the tile), keys panel*32 + j .. lies in scratch. */
static LExpr *score_at(Att *a, LExpr *panel, LExpr *i, LExpr *j)
{
	LB *b = &a->k->b;
	return ladd(b, a->scores, ladd(b, lmul(b, ladd(b, lmul(b, panel, a->count), i), li(b, PanelWidth)), j));
}

/* Where that of one key lies. */
static LExpr *key_at(Att *a, LExpr *i, LExpr *key)
{
	LB *b = &a->k->b;
	LExpr *width = li(b, PanelWidth);
	return score_at(a, lop(b, LFloorDiv, key, width, NULL), i, lop(b, LMod, key, width, NULL));
}

/* Scores of the whole tile: [panel][row][32], which is how the product with the values wants the probabilities packed. */
static void emit_scores(Att *a)
{
	LB *b = &a->k->b;
	LExpr *nr = kdim(a->k, a->R), *np = kdim(a->k, a->panels), *size = lmul(b, nr, li(b, PanelWidth));
	Att window = open_runs(a);
	LExpr *p = lfor(b, ForSerial, a->first_panel, a->seen_panels, NULL);

	call_tile(a->k, a->count, a->scratch, a->qs, a->keys, llet(b, lmul(b, ladd(b, lmul(b, a->kv, np), p), size)), a->scratch,
	          llet(b, score_at(a, p, li(b, 0), li(b, 0))), nr, li(b, 1), NULL, NULL);
	lend(b);
	close_runs(a, &window);
}

/* Offset of the mask's element for a query and a key. */
static LExpr *mask_at(Att *a, LExpr *query, LExpr *key)
{
	Kernel *k = a->k;
	LB *b = &k->b;
	LExpr *at = ladd(b, a->mask_base, lmul(b, query, kdim(k, a->mask.stride[2])));
	return dim_equals(a->mask.stride[3], 0) ? at : ladd(b, at, lmul(b, key, kdim(k, a->mask.stride[3])));
}

/* The scores s of keys key .. key + 15 (`inside`: those that exist) and row `query`, masked.  -inf hides a key, whatever its score. */
static LExpr *masked_scores(Att *a, LExpr *s, LExpr *query, LExpr *key, LExpr *inside)
{
	Kernel *k = a->k;
	LB *b = &k->b;
	LExpr *ns = kdim(k, a->S), *none = lconst(b, F32x16, -INFINITY);
	double cap = attr_float(a->n, Attr_softcap);

	if (cap != 0)
		s = llet(b, lmul(b, vm_tanh(b, llet(b, lop(b, LDiv, s, lconst(b, F32x16, cap), NULL))), lconst(b, F32x16, cap)));

	if (a->masked) {
		LExpr *m = llet(b, load_lanes(k, &a->mask, mask_at(a, query, key), a->mask.stride[3], inside));
		LExpr *sum = a->bool_mask ? s : llet(b, ladd(b, s, m));
		s = llet(b, lop(b, LSelect, llet(b, is_seen(b, m)), sum, lconst(b, F32x16, a->fill)));
	}
	LExpr *here = lsub(b, ladd(b, query, lsub(b, ns, kdim(k, a->T))), key);
	if (a->right >= 0) /* key <= query + keys - queries + right */
		inside = llet(b, lop(b, LAnd, inside, lane_mask(k, ladd(b, here, li(b, a->right + 1))), NULL));
	if (a->left >= 0) /* key >= query + keys - queries - left */
		inside = llet(b, lop(b, LAnd, inside, lop(b, LNot, lane_mask(k, lsub(b, here, li(b, a->left))), NULL, NULL), NULL));
	return llet(b, lop(b, LSelect, inside, s, none));
}

enum { HiddenBelow = 88 }; /* scores that are smaller by more than that have the exponential 0: vm_exp */

/* What is subtracted from every score of the row.  Where all are -inf that would make NaN of them. */
static LExpr *largest(Att *a, LTile *run)
{
	LB *b = &a->k->b;
	LExpr *most = llet(b, lop(b, LHMax, lelem(b, run, li(b, 0), li(b, 0)), NULL, NULL));

	if (a->again) { /* do hidden keys count? */
		LExpr *none = llt(b, lconst(b, most->type, HiddenBelow), llet(b, lsub(b, most, lconst(b, most->type, a->fill))));
		lif(b, lop(b, LNot, llet(b, none), NULL, NULL));
		lstore(b, a->again, li(b, 0), NULL, NULL, li(b, 1));
		lend(b);
	}

	if (a->zero_masked) {
		LExpr *none = lop(b, LEq, most, lconst(b, most->type, -INFINITY), NULL);
		most = lop(b, LSelect, none, lconst(b, most->type, 0), most);
	}
	return llet(b, lcast(b, LSplat, F32x16, most));
}

/* The sum of the exponentials of row i, keys first .. end - 1 (NULL: of the tile); if it is NaN, the probabilities are, which may have
 * to be 0. */
static LExpr *finish_row(Att *a, LTile *run, LExpr *i, LExpr *first, LExpr *end)
{
	LB *b = &a->k->b;
	LExpr *sum = llet(b, lop(b, LHAdd, lelem(b, run, li(b, 0), li(b, 0)), NULL, NULL));

	if (!a->zero_nan)
		return sum;
	LExpr *zero = lconst(b, sum->type, 0), *bad = llet(b, lop(b, LNe, sum, sum, NULL));
	lif(b, bad);
	Att window = open_runs(a);
	if (!first) {
		first = llet(b, lmul(b, a->first_panel, li(b, PanelWidth)));
		end = llet(b, lmul(b, a->seen_panels, li(b, PanelWidth)));
	}
	LExpr *key = lfor(b, ForSerial, first, end, NULL);
	lstore(b, a->scratch, key_at(a, i, key), NULL, NULL, zero);
	lend(b);
	close_runs(a, &window);
	lend(b);
	return llet(b, lop(b, LSelect, bad, zero, sum));
}

/* Row by row: scores to exponentials, and their sums. */
static void emit_softmax(Att *a)
{
	Kernel *k = a->k;
	LB *b = &k->b;
	LTile *run = lnew_tile(b, "run", F32x16, 1, 1);
	LExpr *zero = li(b, 0), *width = li(b, PanelWidth), *lanes = li(b, Lanes), *p, *j;
	Att window;

	LExpr *i = lfor(b, ForSerial, zero, a->count, NULL);
	LExpr *query = llet(b, ladd(b, a->from, i));
	lset_tile(b, run, zero, zero, lconst(b, F32x16, -INFINITY));
	window = open_runs(a);
	p = lfor(b, ForSerial, a->first_panel, a->seen_panels, NULL), j = lfor(b, ForSerial, zero, width, lanes);
	LExpr *at = llet(b, ladd(b, lmul(b, p, width), j));
	LExpr *raw = llet(b, lload(b, a->scratch, Lanes, score_at(a, p, i, j), NULL, NULL));
	LExpr *s = masked_scores(a, raw, query, at, lane_mask(k, lsub(b, kdim(k, a->S), at)));
	lstore(b, a->scratch, score_at(a, p, i, j), NULL, NULL, s);
	lset_tile(b, run, zero, zero, lop(b, LPMax, s, lelem(b, run, zero, zero), NULL));
	lend(b);
	lend(b);
	close_runs(a, &window);
	LExpr *most = largest(a, run);

	LExpr *start = lconst(b, F32x16, 0);
	if (a->runs) /* NaN where there are keys, but none is seen: perhaps not one panel is looked at */
		start = lop(b, LSelect, lcast(b, LSplat, (LType){Bool, Lanes}, llt(b, zero, kdim(k, a->S))), llet(b, lsub(b, most, most)), start);
	lset_tile(b, run, zero, zero, start);
	window = open_runs(a);
	p = lfor(b, ForSerial, a->first_panel, a->seen_panels, NULL), j = lfor(b, ForSerial, zero, width, lanes);
	LExpr *e = llet(b, vm_exp(b, llet(b, lsub(b, lload(b, a->scratch, Lanes, score_at(a, p, i, j), NULL, NULL), most))));
	LExpr *key = ladd(b, lmul(b, p, width), j);
	lstore(b, a->scratch, score_at(a, p, i, j), NULL, NULL, e);
	LExpr *inside = lane_mask(k, lsub(b, kdim(k, a->S), key)); /* a row of NaN must not count the filled-up keys */
	lset_tile(b, run, zero, zero, ladd(b, lelem(b, run, zero, zero), lop(b, LSelect, inside, e, lconst(b, F32x16, 0))));
	lend(b);
	lend(b);
	close_runs(a, &window);
	lstore(b, a->sums, i, NULL, NULL, finish_row(a, run, i, NULL, NULL));
	lend(b);
}

/* 1 at least, as the largest score counts 1, but 0 for a row of zeros, where the product with the values is 0; NaN stays. */
static LExpr *divisor(LB *b, LExpr *sum)
{
	return llet(b, lop(b, LPMax, lconst(b, (LType){F32, 1}, 1), sum, NULL));
}

static bool hides_keys(const Att *a)
{
	return a->left >= 0 || a->right >= 0 || a->masked;
}

/* The keys that lie in the window of `query`: from *first to *end - 1, where there are any. */
static void keys_of_row(Att *a, LExpr *query, LExpr **first, LExpr **end)
{
	LB *b = &a->k->b;
	LExpr *ns = kdim(a->k, a->S), *here = llet(b, ladd(b, query, lsub(b, ns, kdim(a->k, a->T))));

	*first = a->left < 0 ? li(b, 0) : llet(b, lop(b, LPMax, lsub(b, here, li(b, a->left)), li(b, 0), NULL));
	*end = a->right < 0 ? ns : llet(b, lop(b, LPMin, ladd(b, here, li(b, a->right + 1)), ns, NULL));
}

/* A sum of -0 depends on how many zeros it has. */
static LExpr *plain_zero(Att *a, LExpr *y)
{
	return hides_keys(a) ? ladd(&a->k->b, y, lconst(&a->k->b, F32x16, 0)) : y;
}

typedef struct Column { /* 16 channels of the values, and the probabilities of row i */
	const Access *x; /* NULL: panels of values at `from` */
	LExpr *from, *mask, *i;
} Column;

static LExpr *load_value(Att *a, const Column *c, LExpr *key)
{
	Kernel *k = a->k;
	LB *b = &k->b;

	if (!c->x)
		return lload(b, a->values, Lanes, ladd(b, c->from, lmul(b, key, li(b, PanelWidth))), NULL, NULL);
	return load_lanes(k, c->x, ladd(b, c->from, lmul(b, key, kdim(k, c->x->stride[1]))), c->x->stride[3], c->mask);
}

static LExpr *load_probability(Att *a, const Column *c, LExpr *key)
{
	LB *b = &a->k->b;
	return lload(b, a->scratch, 1, c->x ? ladd(b, a->scores, key) : key_at(a, c->i, key), NULL, NULL);
}

static void add_key(Att *a, const Column *c, LTile *sum, LExpr *p, LExpr *key)
{
	LB *b = &a->k->b;
	LExpr *zero = li(b, 0);
	lset_tile(b, sum, zero, zero, lfma(b, lcast(b, LSplat, F32x16, p), load_value(a, c, key), lelem(b, sum, zero, zero)));
}

/* Adds keys first .. end - 1, but those that the mask hides from the query and that have no part in the sum of probabilities. */
static void add_seen_keys(Att *a, const Column *c, LTile *sum, LExpr *query, LExpr *first, LExpr *end)
{
	LB *b = &a->k->b;
	LExpr *key = lfor(b, ForSerial, first, end, NULL), *p = llet(b, load_probability(a, c, key));

	if (a->masked) {
		LExpr *m = llet(b, lload(b, a->mask.buf, 1, mask_at(a, query, key), NULL, NULL));
		lif(b, lop(b, LOr, llet(b, is_seen(b, m)), lop(b, LNe, p, lconst(b, p->type, 0), NULL), NULL));
	}
	add_key(a, c, sum, p, key);
	if (a->masked)
		lend(b);
	lend(b);
}

/* A one-lane Bool: is a lane of y not finite?  0 times such a value of a hidden key is NaN, so the sum is made again. */
static LExpr *is_spoilt(LB *b, LExpr *y)
{
	LExpr *none = lconst(b, F32x16, 0), *zeros = lop(b, LEq, lsub(b, y, y), none, NULL);
	LExpr *bad = llet(b, lop(b, LHMax, lop(b, LSelect, llet(b, zeros), none, lconst(b, F32x16, 1)), NULL, NULL));
	return lop(b, LNe, bad, lconst(b, bad->type, 0), NULL);
}

/* Row i of the panel of values at `w` again, if it is spoilt. */
static void repair_row(Att *a, LExpr *i, LExpr *w, LExpr *columns)
{
	LB *b = &a->k->b;
	LExpr *zero = li(b, 0), *first, *end, *width = li(b, PanelWidth);
	LTile *sum = lnew_tile(b, "sum", F32x16, 1, 1);

	LExpr *j = lfor(b, ForSerial, zero, columns, li(b, Lanes)), *at = llet(b, ladd(b, lmul(b, i, width), j));
	lif(b, is_spoilt(b, llet(b, lload(b, a->acc, Lanes, at, NULL, NULL))));
	LExpr *query = llet(b, ladd(b, a->from, i));
	keys_of_row(a, query, &first, &end);
	lset_tile(b, sum, zero, zero, lconst(b, F32x16, 0));
	Att window = open_runs(a);
	if (a->runs) {
		first = llet(b, lop(b, LPMax, first, lmul(b, a->first_panel, width), NULL));
		end = llet(b, lop(b, LPMin, end, a->seen, NULL));
	}
	add_seen_keys(a, &(Column){NULL, llet(b, ladd(b, w, j)), NULL, i}, sum, query, first, end);
	close_runs(a, &window);
	lstore(b, a->acc, at, NULL, NULL, lelem(b, sum, zero, zero));
	lend(b);
	lend(b);
}

static void emit_values(Att *a, LExpr *batch, LExpr *head)
{
	Kernel *k = a->k;
	LB *b = &k->b;
	Lower *l = k->l;
	LExpr *ns = kdim(k, a->S), *nv = kdim(k, a->V), *nvp = kdim(k, a->vpanels), *step = li(b, l->t->kb), *zero = li(b, 0);
	LExpr *width = li(b, PanelWidth), *size = lmul(b, ns, width);

	LExpr *p = lfor(b, ForSerial, zero, nvp, NULL);
	LExpr *wp = llet(b, lmul(b, ladd(b, lmul(b, a->kv, nvp), p), size)), *columns = columns_left(b, nv, p), *end = NULL;
	int64_t channels;
	bool whole = dim_is_const(a->V, &channels) && channels % PanelWidth == 0;
	if (a->runs) { /* perhaps there is none */
		LExpr *i = lfor(b, ForSerial, zero, lmul(b, a->count, width), li(b, Lanes));
		lstore(b, a->acc, i, NULL, NULL, lconst(b, F32x16, 0));
		lend(b);
	}
	Att window = open_runs(a);
	end = a->runs ? a->seen : lop(b, LPMax, a->seen, li(b, 1), NULL);
	LExpr *start = llet(b, lmul(b, a->first_panel, width));
	LExpr *k0 = lfor(b, ForSerial, start, end, step);
	LExpr *klen = llet(b, lop(b, LPMin, step, lsub(b, a->seen, k0), NULL));
	LExpr *first = a->runs ? zero : llet(b, lop(b, LPMax, lsub(b, ladd(b, start, li(b, 1)), k0), zero, NULL));
	call_tile(k, a->count, a->scratch, llet(b, ladd(b, a->scores, lmul(b, k0, a->count))), a->values,
	          llet(b, ladd(b, wp, lmul(b, k0, width))), a->acc, zero, klen, first, NULL, whole ? NULL : columns);
	lend(b);
	close_runs(a, &window);
	LExpr *i = lfor(b, ForSerial, zero, a->count, NULL);
	if (hides_keys(a))
		repair_row(a, i, wp, columns);
	LExpr *sum = divisor(b, lload(b, a->sums, 1, i, NULL, NULL));
	LExpr *at[4] = {batch, ladd(b, a->from, i), head, NULL};
	LExpr *row = llet(b, offset_of(k, &a->out, at));
	LExpr *j = lfor(b, ForSerial, zero, columns, li(b, Lanes));
	LExpr *col = llet(b, ladd(b, lmul(b, p, li(b, PanelWidth)), j));
	LExpr *y = plain_zero(a, lload(b, a->acc, Lanes, ladd(b, lmul(b, i, li(b, PanelWidth)), j), NULL, NULL));
	y = llet(b, lop(b, LDiv, y, lcast(b, LSplat, F32x16, sum), NULL));
	lstore(b, a->out.buf, ladd(b, row, col), NULL, lane_mask(k, lsub(b, nv, col)), y);
	lend(b);
	lend(b);
	lend(b);
}

/* The list of the tile: the mask has one for each batch, head and tile of queries, as far as it distinguishes them. */
static void find_list(Att *a, LExpr *batch, LExpr *head, LExpr *tile, const Dim *tiles)
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

static Access head_matrix(const Access *x, int row_axis, int col_axis) /* [batch, head, rows, columns] */
{
	Access r = *x;
	int perm[] = {0, 2, row_axis, col_axis};
	for (int i = 0; i < 4; i++) {
		r.stride[i] = x->stride[perm[i]];
		r.extent[i] = x->extent[perm[i]];
	}
	return r;
}

/* The first attention to read these keys or values packs them. */
static Slot *pack_heads(Lower *l, Node *attention, PackedForm form)
{
	Module *m = l->m;
	bool transpose = form == KeyPanels;
	Packed *p = packed_heads(l, attention, form);
	if (p->slot)
		return p->slot;
	Kernel k = open_kernel(l, transpose ? "keys" : "values", false);
	Access x = kaccess(&k, attention->in[transpose ? 1 : 2]);
	Access mat = transpose ? head_matrix(&x, 3, 1) : head_matrix(&x, 1, 3);
	const Dim *n = dim_mul(m, mat.extent[0], mat.extent[1]);
	n = dim_mul(m, n, dim_mul_const(m, mat.extent[2], PanelWidth));
	Slot *s = packed_slot(l, p, dim_mul(m, n, dim_ceildiv(m, mat.extent[3], dim_const(m, PanelWidth))));
	pack_panels(&k, &mat, kslot(&k, s, true));
	kcall(&k);
	return s;
}

/* What both schedules need: shapes, operands, masks. */
static void open_attention(Att *a, Kernel *k, Node *n, Value *home)
{
	Module *m = k->l->m;
	const Dim *stride = dim_const(m, 1);

	*a = (Att){.k = k, .n = n, .T = n->in[0]->type.dims[1], .S = n->in[1]->type.dims[1], .R = n->in[0]->type.dims[3],
	           .V = n->in[2]->type.dims[3], .left = attr_int(n, Attr_left), .right = attr_int(n, Attr_right), .zero_masked = attr_int(n, Attr_zero_masked),
	           .zero_nan = attr_int(n, Attr_zero_nan), .fill = -INFINITY};
	a->panels = dim_ceildiv(m, a->S, dim_const(m, PanelWidth));
	a->vpanels = dim_ceildiv(m, a->V, dim_const(m, PanelWidth));
	Access q = kaccess(k, n->in[0]);
	a->q = head_matrix(&q, 1, 3);
	if ((a->masked = n->in[3])) {
		a->bool_mask = n->in[3]->type.dtype == Bool;
		if (a->bool_mask)
			a->fill = attr_float(n, Attr_fill);
		a->mask = mask_access(k, n);
	}
	a->out = (Access){.buf = kbuf(k, home, true), .rank = 4, .base = dim_const(m, 0)};
	for (int d = 3; d >= 0; d--) {
		a->out.stride[d] = stride;
		stride = dim_mul(m, stride, n->out[0]->type.dims[d]);
	}
	/* two products; scale, largest, difference, exponential, sum, mask; division */
	const Dim *scores = dim_mul(m, dim_mul(m, n->in[0]->type.dims[0], n->in[0]->type.dims[2]), dim_mul(m, a->T, a->S));
	kflop(k, dim_mul(m, scores, dim_mul_const(m, dim_add(m, a->R, a->V), 2)));
	kflop(k, dim_mul_const(m, scores, a->masked ? 6 : 5));
	kflop(k, type_numel(m, &n->out[0]->type));
}

/* Splits the number of a (batch, query head) pair; sets a->kv. */
static void find_head(Att *a, LExpr *bh, LExpr **batch, LExpr **head)
{
	LB *b = &a->k->b;
	LExpr *heads = kdim(a->k, a->n->in[0]->type.dims[2]), *kv_heads = kdim(a->k, a->n->in[1]->type.dims[2]);
	LExpr *group = lop(b, LFloorDiv, heads, kv_heads, NULL); /* query heads that share a kv head */

	*batch = llet(b, lop(b, LFloorDiv, bh, heads, NULL));
	*head = llet(b, lsub(b, bh, lmul(b, *batch, heads)));
	LExpr *kv_head = lop(b, LFloorDiv, *head, group, NULL);
	a->kv_head = llet(b, kv_head);
	a->kv = llet(b, ladd(b, lmul(b, *batch, kv_heads), a->kv_head));
}

/* All keys, or those from the first to the last that a query of the tile sees, in whole panels: one at least, since a row that sees none
 * is NaN. */
static void see_keys(Att *a)
{
	LB *b = &a->k->b;
	LExpr *ns = kdim(a->k, a->S), *width = li(b, PanelWidth), *zero = li(b, 0), *more = lsub(b, ns, kdim(a->k, a->T));

	a->seen = ns;
	a->first_panel = zero;
	a->seen_panels = kdim(a->k, a->panels);
	if (a->right >= 0) {
		LExpr *last = lop(b, LPMax, ladd(b, ladd(b, a->to, more), li(b, a->right)), li(b, 1), NULL);
		LExpr *panels = lop(b, LFloorDiv, ladd(b, last, li(b, PanelWidth - 1)), width, NULL);
		a->seen_panels = llet(b, lop(b, LPMin, a->seen_panels, panels, NULL));
		a->seen = llet(b, lop(b, LPMin, lmul(b, a->seen_panels, width), ns, NULL));
	}
	if (a->left >= 0) {
		LExpr *first = lop(b, LFloorDiv, lsub(b, ladd(b, a->from, more), li(b, a->left)), width, NULL);
		first = lop(b, LPMin, first, lsub(b, a->seen_panels, li(b, 1)), NULL);
		a->first_panel = llet(b, lop(b, LPMax, first, zero, NULL));
	}
}

static void attend_tiles(Lower *l, Node *n, Value *home)
{
	Module *m = l->m;
	Slot *keys = pack_heads(l, n, KeyPanels), *values = pack_heads(l, n, ValuePanels), *runs = listed_keys(l, n);
	Kernel k = open_kernel(l, "attention", true);
	LB *b = &k.b;
	const Type *qt = &n->in[0]->type;
	const Dim *width = dim_const(m, PanelWidth), *mr = dim_const(m, l->t->mr);
	Att a;

	open_attention(&a, &k, n, home);
	const Dim *qsize = dim_mul(m, packed_depth(m, a.R), mr), *ssize = dim_mul(m, dim_mul(m, a.panels, width), mr), *tiles = dim_ceildiv(m, a.T, mr);
	need_scratch(l, dim_add(m, qsize, ssize));
	a.keys = kslot(&k, keys, false);
	a.values = kslot(&k, values, false);
	a.scratch = kscratch(&k);
	LExpr *mine = kworker(&k), *workers = kthreads(&k), *nt = kdim(&k, tiles), *rows = kdim(&k, a.T), *w, *batch, *head;
	LExpr *tasks = llet(b, lmul(b, kdim(&k, dim_mul(m, qt->dims[0], qt->dims[2])), nt));
	a.acc = llocal(b, "acc", F32, (int64_t)l->t->mr * PanelWidth);
	a.sums = llocal(b, "sums", F32, l->t->mr);
	if (runs)
		a.runs = kslot_of(&k, runs, I64, false);
	if (runs && isfinite(a.fill))
		a.again = llocal(b, "again", I64, 1);

	LExpr *task = share_tasks(&k, tasks, workers, &w);
	LExpr *bh = llet(b, lop(b, LFloorDiv, task, nt, NULL)), *tile = llet(b, lsub(b, task, lmul(b, bh, nt)));
	find_head(&a, bh, &batch, &head);
	a.from = llet(b, tile_begin(b, tile, rows, nt));
	a.to = llet(b, tile_begin(b, ladd(b, tile, li(b, 1)), rows, nt));
	a.count = llet(b, lsub(b, a.to, a.from));
	see_keys(&a);
	a.qs = llet(b, lmul(b, w, mine));
	a.scores = llet(b, ladd(b, a.qs, kdim(&k, qsize)));
	LExpr *at[4] = {batch, head, NULL, NULL};
	if (a.masked)
		a.mask_base = llet(b, offset_of(&k, &a.mask, at));
	if (runs)
		find_list(&a, batch, head, tile, tiles);
	pack_tile(&k, &a.q, llet(b, offset_of(&k, &a.q, at)), a.from, a.to, a.scratch, a.qs, attr_float(n, Attr_scale));
	if (a.again) {
		lstore(b, a.again, li(b, 0), NULL, NULL, li(b, 0));
		LExpr *first = lop(b, LEq, lfor(b, ForSerial, li(b, 0), li(b, 2), NULL), li(b, 0), NULL);
		lif(b, lop(b, LOr, first, is_again(&a), NULL));
	}
	emit_scores(&a);
	emit_softmax(&a);
	if (a.again) {
		lend(b);
		lend(b);
	}
	emit_values(&a, batch, head);
	lend(b);
	lend(b);
	k.b.fn->loc = n->loc;
	kcall(&k);
}

/* ---- few queries ---------------------------------------------------------------------------------------------------------------- */

/* As see_keys(), for one query: from the begin of 16 keys. */
static void see_row_keys(Att *a, LExpr *query)
{
	LB *b = &a->k->b;
	LExpr *ns = kdim(a->k, a->S), *lanes = li(b, Lanes), *zero = li(b, 0);
	LExpr *here = llet(b, ladd(b, query, lsub(b, ns, kdim(a->k, a->T))));

	a->seen = ns;
	a->first_key = zero;
	if (a->left >= 0) {
		LExpr *first = lop(b, LPMin, lsub(b, here, li(b, a->left)), lsub(b, ns, li(b, 1)), NULL);
		a->first_key = llet(b, lop(b, LPMax, lmul(b, lop(b, LFloorDiv, first, lanes, NULL), lanes), zero, NULL));
	}
	if (a->right >= 0) {
		LExpr *end = lop(b, LPMax, ladd(b, here, li(b, a->right + 1)), ladd(b, a->first_key, li(b, 1)), NULL);
		a->seen = llet(b, lop(b, LPMin, end, ns, NULL));
	}
}

/* The products of the query at q_at with keys key .. key + 15 where channels lie side by side: a chain of each key, number by number, since a
 * vector across the keys would gather.  Those behind the last one are what that is. */
static LExpr *products_by_number(Att *a, const Access *keys, LExpr *q_at, LExpr *k_at, LExpr *key)
{
	Kernel *k = a->k;
	LB *b = &k->b;
	const LType one = {F32, 1};
	LTile *acc = lnew_tile(b, "acc", one, Lanes, 1);
	LExpr *zero = li(b, 0), *last = llet(b, lsub(b, kdim(k, a->S), li(b, 1))), *from[Lanes];

	for (int i = 0; i < Lanes; i++) {
		from[i] = llet(b, ladd(b, k_at, lmul(b, lop(b, LPMin, ladd(b, key, li(b, i)), last, NULL), kdim(k, keys->stride[1]))));
		lset_tile(b, acc, li(b, i), zero, lconst(b, one, 0));
	}
	LExpr *r = lfor(b, ForSerial, zero, kdim(k, a->R), NULL);
	LExpr *q = lload(b, a->q.buf, 1, ladd(b, q_at, lmul(b, r, kdim(k, a->q.stride[3]))), NULL, NULL);
	q = llet(b, lmul(b, q, lconst(b, one, attr_float(a->n, Attr_scale))));
	for (int i = 0; i < Lanes; i++)
		lset_tile(b, acc, li(b, i), zero, lfma(b, q, lload(b, keys->buf, 1, ladd(b, from[i], r), NULL, NULL), lelem(b, acc, li(b, i), zero)));
	lend(b);
	for (int i = 0; i < Lanes; i++)
		lstore(b, a->scratch, ladd(b, ladd(b, a->scores, key), li(b, i)), NULL, NULL, lelem(b, acc, li(b, i), zero));
	return llet(b, lload(b, a->scratch, Lanes, ladd(b, a->scores, key), NULL, NULL));
}

/* The same by a vector across the keys. */
static LExpr *products_by_lanes(Att *a, const Access *keys, LExpr *q_at, LExpr *k_at, LExpr *key, LExpr *inside)
{
	Kernel *k = a->k;
	LB *b = &k->b;
	LTile *acc = lnew_tile(b, "acc", F32x16, 1, 1);
	LExpr *zero = li(b, 0), *from = llet(b, ladd(b, k_at, lmul(b, key, kdim(k, keys->stride[1]))));

	lset_tile(b, acc, zero, zero, lconst(b, F32x16, 0));
	LExpr *r = lfor(b, ForSerial, zero, kdim(k, a->R), NULL);
	LExpr *q = lload(b, a->q.buf, 1, ladd(b, q_at, lmul(b, r, kdim(k, a->q.stride[3]))), NULL, NULL);
	q = lmul(b, q, lconst(b, (LType){F32, 1}, attr_float(a->n, Attr_scale)));
	LExpr *x = load_lanes(k, keys, ladd(b, from, lmul(b, r, kdim(k, keys->stride[3]))), keys->stride[1], inside);
	lset_tile(b, acc, zero, zero, lfma(b, lcast(b, LSplat, F32x16, q), x, lelem(b, acc, zero, zero)));
	lend(b);
	return llet(b, lelem(b, acc, zero, zero));
}

/* scores[key..] of one query, 16 keys at a time, straight from the keys: one FMA chain over the channels each. */
static void emit_row_scores(Att *a, const Access *keys, LExpr *query, LExpr *q_at, LExpr *k_at, LTile *run)
{
	Kernel *k = a->k;
	LB *b = &k->b;
	LExpr *ns = kdim(k, a->S), *zero = li(b, 0);
	bool by_number = dim_equals(keys->stride[3], 1) && !dim_equals(keys->stride[1], 1);

	LExpr *key = lfor(b, ForSerial, a->first_key, a->seen, li(b, Lanes)), *inside = lane_mask(k, lsub(b, ns, key));
	LExpr *s = by_number ? products_by_number(a, keys, q_at, k_at, key) : products_by_lanes(a, keys, q_at, k_at, key, inside);
	s = masked_scores(a, s, query, key, inside);
	lstore(b, a->scratch, ladd(b, a->scores, key), NULL, NULL, s);
	lset_tile(b, run, zero, zero, lop(b, LPMax, s, lelem(b, run, zero, zero), NULL));
	lend(b);
}

enum { MostVectors = 8 };

/* Vectors of channels that are summed side by side, so that a row of the values is read at once; all of them, or a divisor. */
static int vectors_at_once(const Att *a)
{
	int64_t channels, all;

	if (!dim_is_const(a->V, &channels) || channels == 0)
		return 1;
	all = (channels + Lanes - 1) / Lanes;
	for (int64_t n = MostVectors; n > 1; n--)
		if (all % n == 0)
			return (int)n;
	return 1;
}

/* 16 channels from c on: out = y / sum. */
static void finish_channels(Att *a, const Column *column, LExpr *y, LExpr *query, LExpr *at, LExpr *sum)
{
	LB *b = &a->k->b;
	LExpr *zero = li(b, 0), *first, *end;
	LTile *again = lnew_tile(b, "again", F32x16, 1, 1);

	lset_tile(b, again, zero, zero, y);
	if (a->masked) {
		lif(b, is_spoilt(b, y));
		lset_tile(b, again, zero, zero, lconst(b, F32x16, 0));
		keys_of_row(a, query, &first, &end);
		add_seen_keys(a, column, again, query, first, end);
		lend(b);
	}
	y = llet(b, lop(b, LDiv, plain_zero(a, lelem(b, again, zero, zero)), lcast(b, LSplat, F32x16, sum), NULL));
	lstore(b, a->out.buf, at, NULL, column->mask, y);
}

/* out = sum over keys of p[key] * v[key], keys ascending. */
static void emit_row_values(Att *a, const Access *values, LExpr *query, LExpr *v_at, LExpr *out_at, LExpr *sum)
{
	Kernel *k = a->k;
	LB *b = &k->b;
	const int n = vectors_at_once(a);
	LExpr *zero = li(b, 0), *nv = kdim(k, a->V), *step = kdim(k, values->stride[3]), *first, *end, *from[MostVectors], *mask[MostVectors];
	LTile *acc = lnew_tile(b, "acc", F32x16, n, 1);
	LBuf *sums = llocal(b, "sums", F32, n * Lanes);
	int64_t channels;
	bool whole = dim_is_const(a->V, &channels) && channels % Lanes == 0;

	keys_of_row(a, query, &first, &end);
	LExpr *c = lfor(b, ForSerial, zero, nv, li(b, n * Lanes));
	for (int i = 0; i < n; i++) {
		LExpr *at = llet(b, ladd(b, c, li(b, i * Lanes)));
		from[i] = llet(b, ladd(b, v_at, lmul(b, at, step)));
		mask[i] = whole ? NULL : lane_mask(k, lsub(b, nv, at));
		lset_tile(b, acc, li(b, i), zero, lconst(b, F32x16, 0));
	}
	LExpr *key = lfor(b, ForSerial, first, end, NULL);
	LExpr *p = llet(b, lcast(b, LSplat, F32x16, lload(b, a->scratch, 1, ladd(b, a->scores, key), NULL, NULL)));
	for (int i = 0; i < n; i++) {
		LExpr *v = load_value(a, &(Column){values, from[i], mask[i], NULL}, key);
		lset_tile(b, acc, li(b, i), zero, lfma(b, p, v, lelem(b, acc, li(b, i), zero)));
	}
	lend(b);
	for (int i = 0; i < n; i++)
		lstore(b, sums, li(b, i * Lanes), NULL, NULL, lelem(b, acc, li(b, i), zero));
	LExpr *i = lfor(b, ForSerial, zero, li(b, n * Lanes), li(b, Lanes)), *at = llet(b, ladd(b, c, i));
	const Column column = {values, llet(b, ladd(b, v_at, lmul(b, at, step))), whole ? NULL : lane_mask(k, lsub(b, nv, at)), NULL};
	LExpr *y = llet(b, lload(b, sums, Lanes, i, NULL, NULL));
	finish_channels(a, &column, y, query, ladd(b, out_at, at), sum);
	lend(b);
	lend(b);
}

/* Decoding: keys and values are read once, where they lie; packing them would cost more than the products.  The same FMA chains and
 * the same sums as attend_tiles(), so a chain of steps gives the bits of the full pass. */
static void attend_rows(Lower *l, Node *n, Value *home)
{
	Module *m = l->m;
	Kernel k = open_kernel(l, "attention_rows", false);
	LB *b = &k.b;
	const Type *qt = &n->in[0]->type;
	Att a;

	open_attention(&a, &k, n, home);
	Access keys = kaccess(&k, n->in[1]), values = kaccess(&k, n->in[2]);
	need_scratch(l, dim_mul(m, a.panels, dim_const(m, PanelWidth)));
	a.scratch = kscratch(&k);
	LExpr *mine = kworker(&k), *workers = kthreads(&k), *rows = kdim(&k, a.T), *ns = kdim(&k, a.S), *zero = li(b, 0), *w, *batch, *head;
	LExpr *tasks = llet(b, lmul(b, kdim(&k, dim_mul(m, qt->dims[0], qt->dims[2])), rows));
	LTile *run = lnew_tile(b, "run", F32x16, 1, 1);

	LExpr *task = share_tasks(&k, tasks, workers, &w);
	LExpr *bh = llet(b, lop(b, LFloorDiv, task, rows, NULL)), *query = llet(b, lsub(b, task, lmul(b, bh, rows)));
	find_head(&a, bh, &batch, &head);
	see_row_keys(&a, query);
	a.scores = llet(b, lmul(b, w, mine));
	a.count = li(b, 1);
	LExpr *at[4] = {batch, head, query, NULL}, *kv_at[4] = {batch, NULL, a.kv_head, NULL}, *out_at[4] = {batch, query, head, NULL};
	LExpr *mask_of[4] = {batch, head, NULL, NULL};
	if (a.masked)
		a.mask_base = llet(b, offset_of(&k, &a.mask, mask_of));
	lset_tile(b, run, zero, zero, lconst(b, F32x16, -INFINITY));
	emit_row_scores(&a, &keys, query, llet(b, offset_of(&k, &a.q, at)), llet(b, offset_of(&k, &keys, kv_at)), run);
	LExpr *most = largest(&a, run);
	lset_tile(b, run, zero, zero, lconst(b, F32x16, 0));
	LExpr *key = lfor(b, ForSerial, a.first_key, a.seen, li(b, Lanes)), *place = llet(b, ladd(b, a.scores, key));
	LExpr *e = llet(b, vm_exp(b, llet(b, lsub(b, lload(b, a.scratch, Lanes, place, NULL, NULL), most))));
	lstore(b, a.scratch, place, NULL, NULL, e);
	e = lop(b, LSelect, lane_mask(&k, lsub(b, ns, key)), e, lconst(b, F32x16, 0));
	lset_tile(b, run, zero, zero, ladd(b, lelem(b, run, zero, zero), e));
	lend(b);
	LExpr *sum = divisor(b, finish_row(&a, run, zero, a.first_key, a.seen));
	emit_row_values(&a, &values, query, llet(b, offset_of(&k, &values, kv_at)), llet(b, offset_of(&k, &a.out, out_at)), sum);
	lend(b);
	lend(b);
	k.b.fn->loc = n->loc;
	kcall(&k);
}

void lower_attention(Lower *l, Node *n, Value *home)
{
	enum { FewQueries = 4 };
	int64_t queries;

	if (dim_is_const(n->in[0]->type.dims[1], &queries) && queries <= FewQueries)
		attend_rows(l, n, home);
	else
		attend_tiles(l, n, home);
}
