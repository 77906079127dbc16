/* lower_attention_rows.c - attention of few queries, as in decoding: keys and values are read once, where they lie. */
#include "attention.h"
#include <math.h>

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
 * vector across the keys would gather.  Those behind the last one are what that is.  Lines of the next 16 keys are prefetched. */
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
	LExpr *line = lfor(b, ForSerial, zero, kdim(k, a->R), li(b, Lanes)), *next = llet(b, lmul(b, kdim(k, keys->stride[1]), li(b, Lanes)));
	for (int i = 0; i < Lanes; i++)
		lprefetch(b, keys->buf, ladd(b, ladd(b, from[i], line), next));
	LExpr *r = lfor(b, ForSerial, line, lop(b, LPMin, ladd(b, line, li(b, Lanes)), kdim(k, a->R), NULL), NULL);
	LExpr *q = lload(b, a->q.buf, 1, ladd(b, q_at, lmul(b, r, kdim(k, a->q.stride[3]))), NULL, NULL);
	q = llet(b, lmul(b, q, lconst(b, one, attr_float(a->n, Attr_scale))));
	for (int i = 0; i < Lanes; i++)
		lset_tile(b, acc, li(b, i), zero, lfma(b, q, lload(b, keys->buf, 1, ladd(b, from[i], r), NULL, NULL), lelem(b, acc, li(b, i), zero)));
	lend(b);
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
	LExpr *ns = kdim(k, a->S);
	bool by_number = dim_equals(keys->stride[3], 1) && !dim_equals(keys->stride[1], 1);

	LExpr *key = lfor(b, ForSerial, a->first_key, a->seen, li(b, Lanes)), *inside = lane_mask(k, lsub(b, ns, key));
	LExpr *s = by_number ? products_by_number(a, keys, q_at, k_at, key) : products_by_lanes(a, keys, q_at, k_at, key, inside);
	s = masked_scores(a, s, query, key, inside);
	lstore(b, a->scratch, ladd(b, a->scores, key), NULL, NULL, s);
	keep_largest(a, run, s);
	lend(b);
}

enum { MostVectors = 8, KeysAhead = 16 /* between a load and its prefetch */ };

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
	LExpr *next = llet(b, lmul(b, kdim(k, values->stride[1]), ladd(b, key, li(b, KeysAhead))));
	for (int i = 0; i < n; i++) {
		lprefetch(b, values->buf, ladd(b, from[i], next));
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
 * the same sums as attend_tiles(), so a chain of steps gives the bits of the full pass.  runs: 1, or 0 where other steps do all of it. */
void attend_rows(Lower *l, Node *n, Value *home, const Dim *runs)
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
	LExpr *mine = kworker(&k), *rows = kdim(&k, a.T), *ns = kdim(&k, a.S), *zero = li(b, 0), *batch, *head;
	k.runs = runs;
	LExpr *tasks = llet(b, lmul(b, kdim(&k, dim_mul(m, dim_mul(m, qt->dims[0], qt->dims[2]), runs)), rows));
	LTile *run = lnew_tile(b, "run", F32x16, 1, 1);

	LExpr *task = share_tasks(&k, tasks);
	LExpr *bh = llet(b, lop(b, LFloorDiv, task, rows, NULL)), *query = llet(b, lsub(b, task, lmul(b, bh, rows)));
	find_head(&a, bh, &batch, &head);
	see_row_keys(&a, query);
	a.scores = llet(b, lmul(b, this_worker(&k), mine));
	a.count = li(b, 1);
	LExpr *at[4] = {batch, head, query, NULL}, *kv_at[4] = {batch, NULL, a.kv_head, NULL}, *out_at[4] = {batch, query, head, NULL};
	LExpr *mask_of[4] = {batch, head, NULL, NULL};
	if (a.masked)
		a.mask_base = llet(b, offset_of(&k, &a.mask, mask_of));
	lset_tile(b, run, zero, zero, lconst(b, F32x16, -INFINITY));
	emit_row_scores(&a, &keys, query, llet(b, offset_of(&k, &a.q, at)), llet(b, offset_of(&k, &keys, kv_at)), run);
	LExpr *most = largest_score(&a, run);
	lset_tile(b, run, zero, zero, lconst(b, F32x16, 0));
	LExpr *key = lfor(b, ForSerial, a.first_key, a.seen, li(b, Lanes)), *place = llet(b, ladd(b, a.scores, key));
	LExpr *e = llet(b, vm_exp(b, llet(b, lsub(b, lload(b, a.scratch, Lanes, place, NULL, NULL), most))));
	lstore(b, a.scratch, place, NULL, NULL, e);
	e = lop(b, LSelect, lane_mask(&k, lsub(b, ns, key)), e, lconst(b, F32x16, 0));
	lset_tile(b, run, zero, zero, ladd(b, lelem(b, run, zero, zero), e));
	lend(b);
	LExpr *all = sum_of_row(&a, run, zero, a.first_key, a.seen), *row = llet(b, offset_of(&k, &a.out, out_at));
	if (attr_int(n, Attr_lse))
		lstore(b, a.out.buf, ladd(b, row, kdim(&k, a.V)), NULL, NULL, log_sum(b, llet(b, lop(b, LHMax, most, NULL, NULL)), all, &all));
	LExpr *sum = score_divisor(b, all);
	emit_row_values(&a, &values, query, llet(b, offset_of(&k, &values, kv_at)), row, sum);
	lend(b);
	k.b.fn->loc = n->loc;
	kcall(&k);
}
