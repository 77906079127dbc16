/* attention.c - pieces of attention's kernels: operands, masks, softmax of a row, sums that leave out hidden keys. */
#include "attention.h"
#include <math.h>

Access mask_access(Kernel *k, Node *n)
{
	Access x = kaccess(k, n->in[3]);
	return broadcast_access(k->l->m, &x, 4);
}

Access head_matrix(const Access *x, int row_axis, int col_axis)
{
	Access r = *x;
	int perm[] = {0, 2, row_axis, col_axis};
	for (int i = 0; i < 4; i++) {
		r.stride[i] = x->stride[perm[i]];
		r.extent[i] = x->extent[perm[i]];
	}
	return r;
}

void open_attention(Att *a, Kernel *k, Node *n, Value *home)
{
	Module *m = k->l->m;
	const Dim *stride = dim_const(m, 1);

	*a = (Att){.k = k, .n = n, .T = n->in[0]->type.dims[1], .S = attention_keys(m, n), .R = n->in[0]->type.dims[3],
	           .V = n->in[2]->type.dims[3], .chunks = attention_chunks(n), .part = n->in[1]->type.dims[1],
	           .left = attr_int(n, Attr_left), .right = attr_int(n, Attr_right), .zero_masked = attr_int(n, Attr_zero_masked),
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

void find_head(Att *a, LExpr *bh, LExpr **batch, LExpr **head)
{
	LB *b = &a->k->b;
	LExpr *heads = kdim(a->k, a->n->in[0]->type.dims[2]), *kv_heads = kdim(a->k, a->n->in[1]->type.dims[2]);
	LExpr *group = lop(b, LFloorDiv, heads, kv_heads, NULL); /* query heads that share a kv head */

	*batch = llet(b, lop(b, LFloorDiv, bh, heads, NULL));
	*head = llet(b, lsub(b, bh, lmul(b, *batch, heads)));
	LExpr *kv_head = lop(b, LFloorDiv, *head, group, NULL), *first = *batch, *chunk = li(b, 0);
	const Chunks *c = &a->chunks;
	a->kv_head = llet(b, kv_head);
	if (c->n != 1 || c->of != 1) {
		LExpr *n = li(b, c->n), *number = llet(b, lop(b, LFloorDiv, *batch, n, NULL));
		chunk = llet(b, lsub(b, *batch, lmul(b, number, n)));
		first = lmul(b, number, li(b, c->of));
	}
	for (int i = 0; i < c->parts; i++) {
		LExpr *at = ladd(b, chunk, li(b, c->shift[i]));
		if (c->shift[i] || c->n > c->of)
			at = lop(b, LMod, at, li(b, c->of), NULL);
		a->kv[i] = llet(b, ladd(b, lmul(b, ladd(b, first, at), kv_heads), a->kv_head));
	}
}

LExpr *by_part(Att *a, LExpr *key, LExpr *const *of)
{
	LB *b = &a->k->b;
	LExpr *e = of[a->chunks.parts - 1];
	for (int i = a->chunks.parts - 2; i >= 0; i--)
		e = lop(b, LSelect, llt(b, key, lmul(b, kdim(a->k, a->part), li(b, i + 1))), of[i], e);
	return a->chunks.parts > 1 ? llet(b, e) : e;
}

LExpr *mask_shows(LB *b, LExpr *mask)
{
	return mask->type.elem == Bool ? mask : lop(b, LNe, mask, lconst(b, mask->type, -INFINITY), NULL);
}

LExpr *score_at(Att *a, LExpr *panel, LExpr *i, LExpr *j)
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

/* Offset of the mask's element for a query and a key. */
static LExpr *mask_at(Att *a, LExpr *query, LExpr *key)
{
	Kernel *k = a->k;
	LB *b = &k->b;
	LExpr *at = ladd(b, a->mask_base, lmul(b, query, kdim(k, a->mask.stride[2])));
	return dim_equals(a->mask.stride[3], 0) ? at : ladd(b, at, lmul(b, key, kdim(k, a->mask.stride[3])));
}

void prefetch_mask(Att *a, LExpr *query, LExpr *key)
{
	LB *b = &a->k->b;
	if (a->masked && dim_equals(a->mask.stride[3], 1) && !dim_equals(a->mask.stride[2], 0))
		lprefetch(b, a->mask.buf, mask_at(a, ladd(b, query, a->count), key));
}

/* x: NULL: all lanes. */
static LExpr *both(LB *b, LExpr *x, LExpr *y)
{
	return llet(b, x ? lop(b, LAnd, x, y, NULL) : y);
}

LExpr *masked_scores(Att *a, LExpr *s, LExpr *query, LExpr *key, LExpr *inside)
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
		s = llet(b, lop(b, LSelect, llet(b, mask_shows(b, m)), sum, lconst(b, F32x16, a->fill)));
	}
	LExpr *here = lsub(b, ladd(b, query, lsub(b, ns, kdim(k, a->T))), key);
	if (a->right >= 0) /* key <= query + keys - queries + right */
		inside = both(b, inside, lane_mask(k, ladd(b, here, li(b, a->right + 1))));
	if (a->left >= 0) /* key >= query + keys - queries - left */
		inside = both(b, inside, lop(b, LNot, lane_mask(k, lsub(b, here, li(b, a->left))), NULL, NULL));
	return inside ? llet(b, lop(b, LSelect, inside, s, none)) : s;
}

void keep_largest(Att *a, LTile *run, LExpr *s)
{
	LB *b = &a->k->b;
	LExpr *zero = li(b, 0);
	lset_tile(b, run, zero, zero, lop(b, attr_int(a->n, Attr_lse) ? LMax : LPMax, s, lelem(b, run, zero, zero), NULL));
}

enum { HiddenBelow = 88 }; /* scores that are smaller by more than that have the exponential 0: vm_exp */

LExpr *largest_score(Att *a, LTile *run)
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

LExpr *sum_of_row(Att *a, LTile *run, LExpr *i, LExpr *first, LExpr *end)
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

LExpr *score_divisor(LB *b, LExpr *sum)
{
	return llet(b, lop(b, LPMax, lconst(b, (LType){F32, 1}, 1), sum, NULL));
}

LExpr *log_sum(LB *b, LExpr *most, LExpr *sum, LExpr **divisor)
{
	LExpr *y = llet(b, ladd(b, most, vm_log(b, sum)));
	LExpr *open = llet(b, lop(b, LEq, lop(b, LAbs, most, NULL, NULL), lconst(b, most->type, INFINITY), NULL));
	LExpr *several = llet(b, lop(b, LLt, lconst(b, sum->type, 1), sum, NULL));
	*divisor = llet(b, lop(b, LSelect, several, vm_exp(b, llet(b, lsub(b, y, most))), sum));
	return llet(b, lop(b, LSelect, open, most, y));
}

bool hides_keys(const Att *a)
{
	return a->left >= 0 || a->right >= 0 || a->masked;
}

void keys_of_row(Att *a, LExpr *query, LExpr **first, LExpr **end)
{
	LB *b = &a->k->b;
	LExpr *ns = kdim(a->k, a->S), *here = llet(b, ladd(b, query, lsub(b, ns, kdim(a->k, a->T))));

	*first = a->left < 0 ? li(b, 0) : llet(b, lop(b, LPMax, lsub(b, here, li(b, a->left)), li(b, 0), NULL));
	*end = a->right < 0 ? ns : llet(b, lop(b, LPMin, ladd(b, here, li(b, a->right + 1)), ns, NULL));
}

LExpr *plain_zero(Att *a, LExpr *y)
{
	return hides_keys(a) ? ladd(&a->k->b, y, lconst(&a->k->b, F32x16, 0)) : y;
}

LExpr *load_value(Att *a, const Column *c, LExpr *key)
{
	Kernel *k = a->k;
	LB *b = &k->b;

	if (!c->x)
		return lload(b, a->values, Lanes, ladd(b, ladd(b, by_part(a, key, a->value_at), c->from), lmul(b, key, li(b, PanelWidth))), NULL, NULL);
	return load_lanes(k, c->x, ladd(b, c->from, lmul(b, key, kdim(k, c->x->stride[1]))), c->x->stride[3], c->mask);
}

static LExpr *load_probability(Att *a, const Column *c, LExpr *key)
{
	LB *b = &a->k->b;
	return lload(b, a->scratch, 1, c->x ? ladd(b, a->scores, key) : key_at(a, c->i, key), NULL, NULL);
}

void add_seen_keys(Att *a, const Column *c, LTile *sum, LExpr *query, LExpr *first, LExpr *end)
{
	LB *b = &a->k->b;
	LExpr *zero = li(b, 0), *key = lfor(b, ForSerial, first, end, NULL), *p = llet(b, load_probability(a, c, key));

	if (a->masked) {
		LExpr *m = llet(b, lload(b, a->mask.buf, 1, mask_at(a, query, key), NULL, NULL));
		lif(b, lop(b, LOr, llet(b, mask_shows(b, m)), lop(b, LNe, p, lconst(b, p->type, 0), NULL), NULL));
	}
	lset_tile(b, sum, zero, zero, lfma(b, lcast(b, LSplat, F32x16, p), load_value(a, c, key), lelem(b, sum, zero, zero)));
	if (a->masked)
		lend(b);
	lend(b);
}

LExpr *is_spoilt(LB *b, LExpr *y)
{
	LExpr *none = lconst(b, F32x16, 0), *zeros = lop(b, LEq, lsub(b, y, y), none, NULL);
	LExpr *bad = llet(b, lop(b, LHMax, lop(b, LSelect, llet(b, zeros), none, lconst(b, F32x16, 1)), NULL, NULL));
	return lop(b, LNe, bad, lconst(b, bad->type, 0), NULL);
}

