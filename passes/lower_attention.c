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
#include "attention.h"
#include <math.h>

/* Scores of the whole tile: [panel][row][32], which is how the product with the values wants the probabilities packed. */
static void emit_scores(Att *a)
{
	LB *b = &a->k->b;
	LExpr *nr = kdim(a->k, a->R), *size = lmul(b, nr, li(b, PanelWidth)), *first[MaxShifts];
	Module *m = a->k->l->m;
	LExpr *np = kdim(a->k, dim_ceildiv(m, a->part, dim_const(m, PanelWidth)));

	for (int i = 0; i < a->chunks.parts; i++)
		first[i] = lmul(b, i ? lsub(b, a->kv[i], li(b, i)) : a->kv[i], np);
	Att window = open_runs(a);
	LExpr *p = lfor(b, ForSerial, a->first_panel, a->seen_panels, NULL);
	LExpr *from = by_part(a, a->chunks.parts > 1 ? llet(b, lmul(b, p, li(b, PanelWidth))) : NULL, first);

	call_tile(a->k, a->count, a->scratch, a->qs, a->keys, llet(b, lmul(b, ladd(b, from, p), size)), a->scratch,
	          llet(b, score_at(a, p, li(b, 0), li(b, 0))), nr, li(b, 1), NULL, NULL);
	lend(b);
	close_runs(a, &window);
}

/* Behind the channels of each row of the tile: the logarithms of all sums are one vector. */
static void store_log_sums(Att *a, LExpr *batch, LExpr *head)
{
	Kernel *k = a->k;
	LB *b = &k->b;
	LExpr *zero = li(b, 0), *rows = lane_mask(k, a->count), *divisor;
	LExpr *most = llet(b, lload(b, a->mosts, Lanes, zero, NULL, rows)), *sum = llet(b, lload(b, a->sums, Lanes, zero, NULL, rows));

	lstore(b, a->mosts, zero, NULL, rows, log_sum(b, most, sum, &divisor));
	lstore(b, a->sums, zero, NULL, rows, divisor);
	LExpr *i = lfor(b, ForSerial, zero, a->count, NULL), *place[4] = {batch, ladd(b, a->from, i), head, NULL};
	lstore(b, a->out.buf, ladd(b, llet(b, offset_of(k, &a->out, place)), kdim(k, a->V)), NULL, NULL, lload(b, a->mosts, 1, i, NULL, NULL));
	lend(b);
}

static bool has_whole_panels(const Att *a)
{
	int64_t keys;
	return dim_is_const(a->S, &keys) && keys % PanelWidth == 0;
}

/* The scores behind the last key, which count nothing: exp(-inf) is 0. */
static void clear_rest(Att *a)
{
	Kernel *k = a->k;
	LB *b = &k->b;
	LExpr *zero = li(b, 0), *width = li(b, PanelWidth), *keys = kdim(k, a->S);

	if (has_whole_panels(a))
		return;
	LExpr *end = llet(b, lmul(b, a->seen_panels, width)), *last = llet(b, lsub(b, a->seen_panels, li(b, 1)));
	lif(b, llt(b, keys, end));
	LExpr *i = lfor(b, ForSerial, zero, a->count, NULL), *j = lfor(b, ForSerial, zero, width, li(b, Lanes));
	LExpr *at = llet(b, score_at(a, last, i, j)), *inside = lane_mask(k, lsub(b, lsub(b, keys, lmul(b, last, width)), j));
	lstore(b, a->scratch, at, NULL, NULL, lop(b, LSelect, inside, lload(b, a->scratch, Lanes, at, NULL, NULL), lconst(b, F32x16, -INFINITY)));
	lend(b);
	lend(b);
	lend(b);
}

/* The scores of row i, panels first .. end - 1, as masks and the like leave them; the largest goes to `run`.  whole: of keys that all exist. */
static void change_scores(Att *a, LExpr *i, LExpr *query, LTile *run, LExpr *first, LExpr *end, bool whole)
{
	Kernel *k = a->k;
	LB *b = &k->b;
	LExpr *p = lfor(b, ForSerial, first, end, NULL), *j = lfor(b, whole ? ForUnroll : ForSerial, li(b, 0), li(b, PanelWidth), li(b, Lanes));
	LExpr *at = llet(b, ladd(b, lmul(b, p, li(b, PanelWidth)), j)), *place = llet(b, score_at(a, p, i, j));
	LExpr *inside = whole ? NULL : lane_mask(k, lsub(b, kdim(k, a->S), at));
	prefetch_mask(a, query, at);
	LExpr *s = masked_scores(a, llet(b, lload(b, a->scratch, Lanes, place, NULL, NULL)), query, at, inside);
	lstore(b, a->scratch, place, NULL, NULL, s);
	keep_largest(a, run, s);
	lend(b);
	lend(b);
}

/* Row by row: scores to exponentials, and their sums.  What lies behind the last key is -inf: of a row that has a number as its largest score it
 * adds 0 to the sum, and else the keys make that NaN. */
static void emit_softmax(Att *a, LExpr *batch, LExpr *head)
{
	Kernel *k = a->k;
	LB *b = &k->b;
	LTile *run = lnew_tile(b, "run", F32x16, 1, 1);
	LExpr *zero = li(b, 0), *width = li(b, PanelWidth), *lanes = li(b, Lanes), *p, *j;
	const bool changed = hides_keys(a) || attr_float(a->n, Attr_softcap) != 0;
	Att window;

	if (!changed)
		clear_rest(a);

	LExpr *i = lfor(b, ForSerial, zero, a->count, NULL);
	LExpr *query = llet(b, ladd(b, a->from, i));
	lset_tile(b, run, zero, zero, lconst(b, F32x16, -INFINITY));
	window = open_runs(a);
	if (changed) {
		LExpr *whole = llet(b, lop(b, LPMin, lop(b, LFloorDiv, kdim(k, a->S), width, NULL), a->seen_panels, NULL));
		change_scores(a, i, query, run, a->first_panel, whole, true);
		if (!has_whole_panels(a))
			change_scores(a, i, query, run, llet(b, lop(b, LPMax, a->first_panel, whole, NULL)), a->seen_panels, false);
	} else {
		p = lfor(b, ForSerial, a->first_panel, a->seen_panels, NULL), j = lfor(b, ForUnroll, zero, width, lanes);
		keep_largest(a, run, llet(b, lload(b, a->scratch, Lanes, score_at(a, p, i, j), NULL, NULL)));
		lend(b);
		lend(b);
	}
	close_runs(a, &window);
	LExpr *most = largest_score(a, run);

	LExpr *start = lconst(b, F32x16, 0);
	if (a->runs) /* NaN where there are keys, but none is seen: perhaps not one panel is looked at */
		start = lop(b, LSelect, lcast(b, LSplat, (LType){Bool, Lanes}, llt(b, zero, kdim(k, a->S))), llet(b, lsub(b, most, most)), start);
	lset_tile(b, run, zero, zero, start);
	window = open_runs(a);
	p = lfor(b, ForSerial, a->first_panel, a->seen_panels, NULL), j = lfor(b, ForUnroll, zero, width, lanes);
	LExpr *e = llet(b, vm_exp(b, llet(b, lsub(b, lload(b, a->scratch, Lanes, score_at(a, p, i, j), NULL, NULL), most))));
	lstore(b, a->scratch, score_at(a, p, i, j), NULL, NULL, e);
	lset_tile(b, run, zero, zero, ladd(b, lelem(b, run, zero, zero), e));
	lend(b);
	lend(b);
	close_runs(a, &window);
	lstore(b, a->sums, i, NULL, NULL, sum_of_row(a, run, i, NULL, NULL));
	if (a->mosts)
		lstore(b, a->mosts, i, NULL, NULL, lop(b, LHMax, most, NULL, NULL));
	lend(b);
	if (a->mosts)
		store_log_sums(a, batch, head);
}

/* Does the tile of the panel of values in work hold a number that is not finite? */
static LExpr *is_tile_spoilt(Att *a, LExpr *columns)
{
	LB *b = &a->k->b;
	LExpr *zero = li(b, 0);
	LTile *bad = lnew_tile(b, "bad", F32x16, 1, 1);

	lset_tile(b, bad, zero, zero, lconst(b, F32x16, 0));
	LExpr *i = lfor(b, ForSerial, zero, a->count, NULL), *j = lfor(b, ForSerial, zero, columns, li(b, Lanes));
	LExpr *y = llet(b, lload(b, a->acc, Lanes, ladd(b, lmul(b, i, li(b, PanelWidth)), j), NULL, NULL));
	lset_tile(b, bad, zero, zero, ladd(b, lelem(b, bad, zero, zero), lsub(b, y, y)));
	lend(b);
	lend(b);
	return is_spoilt(b, llet(b, lelem(b, bad, zero, zero)));
}

/* Row i of the panel of values in work again, if it is spoilt. */
static void repair_row(Att *a, LExpr *i, LExpr *columns)
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
	add_seen_keys(a, &(Column){NULL, j, NULL, i}, sum, query, first, end);
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
	LExpr *ns = kdim(k, a->part), *nv = kdim(k, a->V), *nvp = kdim(k, a->vpanels), *step = li(b, l->schedule.steps), *zero = li(b, 0);
	LExpr *width = li(b, PanelWidth), *size = lmul(b, ns, width);

	LExpr *p = lfor(b, ForSerial, zero, nvp, NULL);
	LExpr *columns = columns_left(b, nv, p), *begin, *end, *part = NULL;
	for (int i = 0; i < a->chunks.parts; i++) {
		LExpr *panel = ladd(b, lmul(b, a->kv[i], nvp), p);
		a->value_at[i] = llet(b, lmul(b, i ? lsub(b, panel, li(b, i)) : panel, size));
	}
	int64_t channels;
	bool whole = dim_is_const(a->V, &channels) && channels % PanelWidth == 0;
	if (a->runs) { /* perhaps there is none */
		LExpr *i = lfor(b, ForSerial, zero, lmul(b, a->count, width), li(b, Lanes));
		lstore(b, a->acc, i, NULL, NULL, lconst(b, F32x16, 0));
		lend(b);
	}
	Att window = open_runs(a);
	LExpr *start = begin = llet(b, lmul(b, a->first_panel, width)), *seen = a->seen;
	if (a->chunks.parts > 1) { /* blocks of keys that are in one part */
		part = lfor(b, ForSerial, zero, li(b, a->chunks.parts), NULL);
		begin = llet(b, lop(b, LPMax, start, lmul(b, part, ns), NULL));
		seen = llet(b, lop(b, LPMin, seen, lmul(b, ladd(b, part, li(b, 1)), ns), NULL));
	}
	end = a->runs || part ? seen : lop(b, LPMax, seen, li(b, 1), NULL);
	LExpr *k0 = lfor(b, ForSerial, begin, end, step);
	LExpr *klen = llet(b, lop(b, LPMin, step, lsub(b, seen, k0), NULL));
	LExpr *first = a->runs ? zero : llet(b, lop(b, LPMax, lsub(b, ladd(b, start, li(b, 1)), k0), zero, NULL));
	call_tile(k, a->count, a->scratch, llet(b, ladd(b, a->scores, lmul(b, k0, a->count))), a->values,
	          llet(b, ladd(b, by_part(a, k0, a->value_at), lmul(b, k0, width))), a->acc, zero, klen, first, NULL, whole ? NULL : columns);
	lend(b);
	if (part)
		lend(b);
	close_runs(a, &window);
	if (hides_keys(a)) {
		lif(b, is_tile_spoilt(a, columns));
		repair_row(a, lfor(b, ForSerial, zero, a->count, NULL), columns);
		lend(b);
		lend(b);
	}
	LExpr *i = lfor(b, ForSerial, zero, a->count, NULL);
	LExpr *sum = score_divisor(b, lload(b, a->sums, 1, i, NULL, NULL));
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
	LExpr *mine = kworker(&k), *nt = kdim(&k, tiles), *rows = kdim(&k, a.T), *batch, *head;
	LExpr *tasks = llet(b, lmul(b, kdim(&k, dim_mul(m, qt->dims[0], qt->dims[2])), nt));
	a.acc = llocal(b, "acc", F32, (int64_t)l->t->mr * PanelWidth);
	a.sums = llocal(b, "sums", F32, Lanes);
	a.mosts = attr_int(n, Attr_lse) ? llocal(b, "mosts", F32, Lanes) : NULL;
	if (runs)
		a.runs = kslot_of(&k, runs, I64, false);
	if (runs && isfinite(a.fill))
		a.again = llocal(b, "again", I64, 1);

	LExpr *task = share_tasks(&k, tasks);
	LExpr *bh = llet(b, lop(b, LFloorDiv, task, nt, NULL)), *tile = llet(b, lsub(b, task, lmul(b, bh, nt)));
	find_head(&a, bh, &batch, &head);
	a.from = llet(b, tile_begin(b, tile, rows, nt));
	a.to = llet(b, tile_begin(b, ladd(b, tile, li(b, 1)), rows, nt));
	a.count = llet(b, lsub(b, a.to, a.from));
	see_keys(&a);
	a.qs = llet(b, lmul(b, this_worker(&k), mine));
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
	emit_softmax(&a, batch, head);
	if (a.again) {
		lend(b);
		lend(b);
	}
	emit_values(&a, batch, head);
	lend(b);
	k.b.fn->loc = n->loc;
	kcall(&k);
}

/* Few queries are tasks of their own, more are tiles, whose panels are packed. */
void lower_attention(Lower *l, Node *n, Value *home)
{
	const Dim *queries = n->in[0]->type.dims[1];
	const HowMany count = query_count(n);

	if (count != Many)
		attend_rows(l, n, home, is_few(l->m, queries, FewQueries));
	LStmt *skip = count == FewOrMany ? skip_where_few(l, queries, FewQueries) : NULL;
	if (count != Few)
		attend_tiles(l, n, home);
	end_skip(l, skip);
}
