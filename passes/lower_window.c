/* lower_window.c - window contractions: winconv along tokens; pools.
 *
 * winconv: y[b,t,c] = sum over k of w[..,h(c),k] * x[b,t+k-before,c].  A task is a block of tokens by a chunk of up to 64 channels
 * that share a head.  Its input rows are first copied to a slab [tokens + K - 1][chunk], with zeros outside the sequence: rows
 * of a power-of-two width fall into one L1 set, slab rows do not, and no edge needs a case of its own.  Then 4 tokens x 4 vectors
 * of accumulators run over the taps, k ascending, one FMA chain per output.
 *   broadcast: one weight a head and tap, splat over its channels (blocked map, 16 channels a head or more);
 *   vector:    a row of weights a tap, one per channel (interleaved map, narrow heads): gathered once a task where they are static,
 *              once a token where they are not.
 */
#include "lower.h"

enum { ChunkVecs = 4, Chunk = ChunkVecs * Lanes, TokenTile = 4 };

static const LType F32x16 = {F32, Lanes};

typedef struct Win {
	Kernel *k;
	Access x, w, y;
	int64_t channels, heads, width /* channels that a chunk may span: a head's, or all */, taps, chunks;
	int vecs;
	const Dim *before; /* elements of the first window before x */
	bool per_token, vector, interleaved;
	LBuf *scratch;
	LExpr *slab, *rows; /* offsets into scratch: the slab, the weight rows of vector mode */
	LExpr *batch, *head, *channel /* first of the chunk */, *count /* channels in it */, *t0;
	LExpr *masks[ChunkVecs];
} Win;

static LExpr *weight_at(Win *a, LExpr *t, LExpr *head, LExpr *tap)
{
	LExpr *token[] = {a->batch, t, head, tap}, *fixed[] = {head, tap};
	return offset_of(a->k, &a->w, a->per_token ? token : fixed);
}

static void fill_slab(Win *a, LExpr *tokens)
{
	Kernel *k = a->k;
	LB *b = &k->b;
	LExpr *n = kdim(k, a->x.extent[1]);
	const Dim *stride = a->x.stride[2];

	LExpr *r = lfor(b, ForSerial, li(b, 0), ladd(b, tokens, li(b, a->taps - 1)), NULL);
	LExpr *t = llet(b, lsub(b, ladd(b, a->t0, r), kdim(k, a->before)));
	LExpr *at = llet(b, ladd(b, a->slab, lmul(b, r, li(b, a->vecs * Lanes))));
	LExpr *in = lop(b, LAnd, lop(b, LLe, li(b, 0), t, NULL), llt(b, t, n), NULL);
	for (int outside = 0; outside < 2; outside++) {
		LExpr *from = NULL;
		if (outside) {
			lelse(b);
		} else {
			lif(b, in);
			LExpr *idx[] = {a->batch, t, a->channel};
			from = llet(b, offset_of(k, &a->x, idx));
		}
		for (int v = 0; v < a->vecs; v++) {
			LExpr *c = li(b, v * Lanes);
			LExpr *e = outside ? lconst(b, F32x16, 0)
			                   : load_lanes(k, &a->x, ladd(b, from, lmul(b, c, kdim(k, stride))), stride, a->masks[v]);
			lstore(b, a->scratch, ladd(b, at, c), NULL, NULL, e);
		}
	}
	lend(b);
	lend(b);
}

/* rows[tap][channel of the chunk] = weight of that channel; channels past the end get 0. */
static void fill_weight_rows(Win *a, LExpr *t)
{
	LB *b = &a->k->b;
	LExpr *per_head = li(b, a->channels / a->heads), *heads = li(b, a->heads), *width = li(b, a->vecs * Lanes);

	LExpr *c = lfor(b, ForSerial, li(b, 0), width, NULL);
	LExpr *channel = llet(b, lop(b, LPMin, ladd(b, a->channel, c), li(b, a->channels - 1), NULL));
	LExpr *head = llet(b, lop(b, a->interleaved ? LMod : LFloorDiv, channel, a->interleaved ? heads : per_head, NULL));
	LExpr *from = llet(b, weight_at(a, t, head, NULL));
	LExpr *tap = lfor(b, ForSerial, li(b, 0), li(b, a->taps), NULL);
	LExpr *v = lload(b, a->w.buf, 1, ladd(b, from, lmul(b, tap, kdim(a->k, a->w.stride[a->w.rank - 1]))), NULL, NULL);
	lstore(b, a->scratch, ladd(b, a->rows, ladd(b, lmul(b, tap, width), c)), NULL, NULL, v);
	lend(b);
	lend(b);
}

/* `tokens` outputs from token t on. */
static void emit_tokens(Win *a, LExpr *t, int tokens)
{
	Kernel *k = a->k;
	LB *b = &k->b;
	LTile *acc = lnew_tile(b, "acc", F32x16, tokens, a->vecs);
	LExpr *width = li(b, a->vecs * Lanes), *from[TokenTile];
	LExpr *row = llet(b, ladd(b, a->slab, lmul(b, lsub(b, t, a->t0), width)));

	for (int i = 0; i < tokens; i++) {
		from[i] = a->vector ? NULL : llet(b, weight_at(a, ladd(b, t, li(b, i)), a->head, NULL));
		for (int v = 0; v < a->vecs; v++)
			lset_tile(b, acc, li(b, i), li(b, v), lconst(b, F32x16, 0));
	}
	LExpr *tap = lfor(b, ForSerial, li(b, 0), li(b, a->taps), NULL), *rows[ChunkVecs];
	for (int v = 0; a->vector && v < a->vecs; v++)
		rows[v] = llet(b, lload(b, a->scratch, Lanes, ladd(b, a->rows, ladd(b, lmul(b, tap, width), li(b, v * Lanes))), NULL, NULL));
	LExpr *at = llet(b, ladd(b, row, lmul(b, tap, width)));
	for (int i = 0; i < tokens; i++) {
		LExpr *w = NULL;
		if (!a->vector) {
			LExpr *step = lmul(b, tap, kdim(k, a->w.stride[a->w.rank - 1]));
			w = llet(b, lcast(b, LSplat, F32x16, lload(b, a->w.buf, 1, ladd(b, from[i], step), NULL, NULL)));
		}
		for (int v = 0; v < a->vecs; v++) {
			LExpr *x = lload(b, a->scratch, Lanes, ladd(b, at, li(b, (i * a->vecs + v) * Lanes)), NULL, NULL);
			lset_tile(b, acc, li(b, i), li(b, v), lfma(b, x, w ? w : rows[v], lelem(b, acc, li(b, i), li(b, v))));
		}
	}
	lend(b);
	for (int i = 0; i < tokens; i++) {
		LExpr *idx[] = {a->batch, ladd(b, t, li(b, i)), a->channel};
		LExpr *to = llet(b, offset_of(k, &a->y, idx));
		for (int v = 0; v < a->vecs; v++)
			lstore(b, a->y.buf, ladd(b, to, li(b, v * Lanes)), NULL, a->masks[v], lelem(b, acc, li(b, i), li(b, v)));
	}
}

static void emit_task(Win *a, LExpr *tokens)
{
	LB *b = &a->k->b;
	bool exact = a->width % (a->vecs * Lanes) == 0;

	for (int v = 0; v < a->vecs; v++)
		a->masks[v] = exact ? NULL : lane_mask(a->k, lsub(b, a->count, li(b, v * Lanes)));
	fill_slab(a, tokens);
	if (a->vector && !a->per_token)
		fill_weight_rows(a, NULL);
	LExpr *end = llet(b, ladd(b, a->t0, tokens)), *rest = a->t0;
	if (!(a->vector && a->per_token)) { /* per-token weight rows go one token at a time */
		LExpr *t = lfor(b, ForSerial, a->t0, lsub(b, end, li(b, TokenTile - 1)), li(b, TokenTile));
		emit_tokens(a, t, TokenTile);
		lend(b);
		LExpr *tile = li(b, TokenTile);
		rest = llet(b, ladd(b, a->t0, lmul(b, lop(b, LFloorDiv, tokens, tile, NULL), tile)));
	}
	LExpr *t = lfor(b, ForSerial, rest, end, NULL);
	if (a->vector && a->per_token)
		fill_weight_rows(a, t);
	emit_tokens(a, t, 1);
	lend(b);
}

/* All else goes by places, as convolution by groups does. */
bool is_token_window(const Node *n)
{
	const Type *t = &n->out[0]->type;
	return n->op == OpWinConv && t->rank == 3 && dim_is_const(t->dims[2], NULL) && attr_int_at(n, Attr_strides, 0, 1) == 1 &&
	       attr_int_at(n, Attr_dilations, 0, 1) == 1;
}

void lower_token_window(Lower *l, Node *n, Value *home)
{
	Module *m = l->m;
	const Type *t = &n->out[0]->type, *wt = &n->in[1]->type;
	const Dim *const *before;
	Kernel k = open_kernel(l, "winconv", false);
	LB *b = &k.b;
	Win a = {.k = &k, .x = kaccess(&k, n->in[0]), .w = kaccess(&k, n->in[1]), .heads = attr_int(n, Attr_heads),
	         .per_token = wt->rank == 4, .interleaved = attr_int(n, Attr_map)};

	attr_dims(n, Attr_pads_dim, &before);
	a.before = before[0];
	dim_is_const(t->dims[2], &a.channels);
	dim_is_const(wt->dims[wt->rank - 1], &a.taps);
	int64_t per_head = a.channels / a.heads;
	a.interleaved &= a.heads > 1 && per_head > 1;
	a.vector = a.interleaved || (per_head < Lanes && !a.per_token);
	a.width = a.vector ? a.channels : per_head;
	a.vecs = a.width >= Chunk ? ChunkVecs : (a.width + Lanes - 1) / Lanes;
	a.chunks = (a.width + a.vecs * Lanes - 1) / (a.vecs * Lanes);
	const int tokens = l->schedule.tokens; /* of a task */
	int64_t chunk = a.vecs * Lanes, slab = (tokens + a.taps - 1) * chunk, groups = a.channels / a.width * a.chunks;

	need_scratch(l, dim_const(m, slab + (a.vector ? a.taps * chunk : 0)));
	a.y = written_access(&k, t, home);
	a.scratch = kscratch(&k);
	LExpr *len = kdim(&k, t->dims[1]);
	LExpr *blocks = kdim(&k, dim_ceildiv(m, t->dims[1], dim_const(m, tokens)));
	LExpr *tasks = llet(b, lmul(b, lmul(b, kdim(&k, t->dims[0]), blocks), li(b, groups)));

	a.slab = llet(b, lmul(b, this_worker(&k), kworker(&k)));
	a.rows = llet(b, ladd(b, a.slab, li(b, slab)));
	LExpr *task = share_tasks(&k, tasks);
	LExpr *block = llet(b, lop(b, LFloorDiv, task, li(b, groups), NULL)), *group = llet(b, lsub(b, task, lmul(b, block, li(b, groups))));
	a.batch = llet(b, lop(b, LFloorDiv, block, blocks, NULL));
	a.t0 = llet(b, lmul(b, lsub(b, block, lmul(b, a.batch, blocks)), li(b, tokens)));
	a.head = llet(b, lop(b, LFloorDiv, group, li(b, a.chunks), NULL));
	LExpr *within = llet(b, lmul(b, lsub(b, group, lmul(b, a.head, li(b, a.chunks))), li(b, chunk)));
	a.channel = llet(b, ladd(b, lmul(b, a.head, li(b, a.width)), within));
	a.count = llet(b, lop(b, LPMin, lsub(b, li(b, a.width), within), li(b, chunk), NULL));
	emit_task(&a, llet(b, lop(b, LPMin, lsub(b, len, a.t0), li(b, tokens), NULL)));
	lend(b);
	kflop(&k, dim_mul_const(m, type_numel(m, t), 2 * a.taps));
	k.b.fn->loc = n->loc;
	kcall(&k);
}

/* ---- pools --------------------------------------------------------------------------------------------------------------------- */

typedef struct Pool {
	Kernel *k;
	Node *n;
	Access x;
	int sp, join;
	LType type; /* of x, 16 lanes */
	LExpr *base; /* offset of the plane */
	LExpr *first[MaxRank]; /* where the window's first tap lies, which may be outside of x; of lane 0 along the last axis */
	LExpr *tap[MaxRank]; /* the tap's place along the axes before the last one */
	LTile *best, *where;
} Pool;

static const LType I64x16 = {I64, Lanes};

/* Joins the elements at `from`, one for each lane in `inside`; pos: their places along the last axis. */
static void join_tap(Pool *p, LExpr *from, LExpr *pos, LExpr *inside)
{
	LB *b = &p->k->b;
	int last = p->sp - 1;
	const Dim *step = dim_mul_const(p->k->l->m, p->x.stride[2 + last], attr_int_at(p->n, Attr_strides, last, 1));
	LExpr *zero = li(b, 0), *best = lelem(b, p->best, zero, zero);
	LExpr *v = llet(b, lload(b, p->x.buf, Lanes, from, dim_equals(step, 1) ? NULL : kdim(p->k, step), inside));
	if (p->join == JoinSum) {
		lset_tile(b, p->best, zero, zero, ladd(b, best, v)); /* masked lanes load 0 */
		return;
	}
	if (p->join == JoinMax) {
		lset_tile(b, p->best, zero, zero, lop(b, LSelect, inside, lmax(b, best, v), best));
		return;
	}
	LExpr *where = lelem(b, p->where, zero, zero), *place = zero;
	for (int d = 0; d < last; d++)
		place = lmul(b, ladd(b, place, p->tap[d]), kdim(p->k, p->x.extent[3 + d]));
	LExpr *more = lop(b, LOr, llt(b, best, v), llt(b, where, lconst(b, I64x16, 0)), NULL);
	if (dtypes[p->x.dtype].cls == ClassFloat) /* a NaN is larger than all numbers */
		more = lop(b, LOr, more, lop(b, LAnd, lop(b, LNe, v, v, NULL), lop(b, LEq, best, best, NULL), NULL), NULL);
	more = llet(b, lop(b, LAnd, inside, more, NULL));
	place = llet(b, ladd(b, pos, lcast(b, LSplat, I64x16, place)));
	lset_tile(b, p->where, zero, zero, lop(b, LSelect, more, place, where));
	lset_tile(b, p->best, zero, zero, lop(b, LSelect, more, v, best));
}

/* All taps of 16 windows side by side along the last axis; `last_start`: where the last one of them begins. */
static void emit_windows(Pool *p, LExpr *last_start)
{
	LB *b = &p->k->b;
	LExpr *from = p->base, *lo, *hi;
	const int64_t *kernel;
	int last = p->sp - 1;
	int64_t stride = attr_int_at(p->n, Attr_strides, last, 1);
	attr_ints(p->n, Attr_kernel, &kernel);
	for (int d = 0; d <= last; d++) {
		int64_t dilation = attr_int_at(p->n, Attr_dilations, d, 1);
		tap_range(b, p->first[d], d == last ? last_start : p->first[d], kdim(p->k, p->x.extent[2 + d]), dilation, li(b, kernel[d]), &lo, &hi);
		LExpr *k = lfor(b, ForSerial, lo, hi, NULL);
		p->tap[d] = llet(b, ladd(b, p->first[d], lmul(b, k, li(b, dilation))));
		from = llet(b, ladd(b, from, lmul(b, p->tap[d], kdim(p->k, p->x.stride[2 + d]))));
	}
	LExpr *lanes = lmul(b, lcast(b, LIota, I64x16, NULL), lconst(b, I64x16, (double)stride));
	LExpr *pos = llet(b, ladd(b, lanes, lcast(b, LSplat, I64x16, p->tap[last])));
	LExpr *extent = lcast(b, LSplat, I64x16, kdim(p->k, p->x.extent[2 + last]));
	LExpr *inside = lop(b, LAnd, lop(b, LLe, lconst(b, I64x16, 0), pos, NULL), llt(b, pos, extent), NULL);
	join_tap(p, from, pos, llet(b, inside));
	for (int d = 0; d <= last; d++)
		lend(b);
}

/* y[n,c,o..] = join over k of x[n,c,o*stride + k*dilation - before], of those taps that lie inside of x: 16 windows of the last axis
 * at a time, taps ascending. */
void lower_pool(Lower *l, Node *n, Value *home)
{
	Module *m = l->m;
	Kernel k = open_kernel(l, "pool", false);
	LB *b = &k.b;
	const Type *t = &n->out[0]->type;
	const Dim *const *before;
	int rank = t->rank, last = rank - 3;
	Pool p = {.k = &k, .n = n, .x = kaccess(&k, n->in[0]), .sp = rank - 2, .join = (int)attr_int(n, Attr_join)};
	LBuf *y = kbuf(&k, home, true);
	LExpr *idx[MaxRank] = {0}, *zero = li(b, 0), *len = kdim(&k, t->dims[rank - 1]);

	p.type = (LType){p.x.dtype, Lanes};
	attr_dims(n, Attr_pads_dim, &before);
	LExpr *row = lfor(b, ForParallel, zero, kdim(&k, times_of_elements(m, dims_product(m, t->dims, rank - 1), t->dims[rank - 1])), NULL);
	split_index(&k, row, t->dims, rank - 1, idx);
	LExpr *plane[MaxRank] = {idx[0], idx[1]};
	p.base = llet(b, offset_of(&k, &p.x, plane));
	for (int d = 0; d < last; d++)
		p.first[d] = llet(b, lsub(b, lmul(b, idx[2 + d], li(b, attr_int_at(n, Attr_strides, d, 1))), kdim(&k, before[d])));
	p.best = lnew_tile(b, "best", p.type, 1, 1);
	p.where = p.join == JoinWhere ? lnew_tile(b, "where", I64x16, 1, 1) : NULL;
	LExpr *o = lfor(b, ForSerial, zero, len, li(b, Lanes)), *stride = li(b, attr_int_at(n, Attr_strides, last, 1));
	Scalar none = p.join == JoinSum ? scalar_of_int(p.x.dtype, 0) : lowest_scalar(p.x.dtype);
	lset_tile(b, p.best, zero, zero, lscalar(b, Lanes, none));
	if (p.where)
		lset_tile(b, p.where, zero, zero, lconst(b, I64x16, -1));
	p.first[last] = llet(b, lsub(b, lmul(b, o, stride), kdim(&k, before[last])));
	emit_windows(&p, llet(b, ladd(b, p.first[last], lmul(b, stride, li(b, Lanes - 1)))));
	lstore(b, y, ladd(b, lmul(b, row, len), o), NULL, lane_mask(&k, lsub(b, len, o)), lelem(b, p.where ? p.where : p.best, zero, zero));
	lend(b);
	lend(b);
	const int64_t *kernel;
	const Dim *flop = type_numel(m, t);
	attr_ints(n, Attr_kernel, &kernel);
	for (int d = 0; d < p.sp; d++)
		flop = dim_mul(m, flop, dim_min(m, dim_const(m, kernel[d]), p.x.extent[2 + d]));
	kflop(&k, flop);
	k.b.fn->loc = n->loc;
	kcall(&k);
}
