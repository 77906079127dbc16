/* lower_linear.c - linear: packed constant weights, and an epilogue.
 *
 * y[M, N] = x[M, K] w.  Step one packs x into tiles.  Step two takes panels as the outer loop, split over the workers, and runs all
 * tiles of a block of rows inside, K in blocks of kb, so that a panel slice stays in L1 while the tiles pass by.  After the last
 * block of K the epilogue runs over the rows while they are in L1.
 * A few rows (decoding) are bound by the weights' way from memory: they take a whole panel at once, prefetching what follows.
 */
#include "lower.h"

enum {
	BlockRows = 256, /* rows that share one pass over a panel: at least 128, design.md section 8 */
	StreamRows = 3, /* so few that all sums of a panel stay in registers, also with 16 of 8 lanes */
};

/* ---- epilogue ----------------------------------------------------------------------------------------------------------------- */

enum { MaxEpilogue = 47, MaxOperands = 16 /* the product's own included */ };

typedef struct Epilogue {
	Lower *l;
	Node *root, *first; /* first node behind the root, or NULL */
	Value *result, *home;
	bool glu;
	Access out; /* the results' common strides; the buffers: */
	int nresult;
	Value *results[MaxResults];
	LBuf *stores[MaxResults];
	Access leaf[MaxOperands];
	Value *leaf_values[MaxOperands];
	int nleaf;
	Access bias; /* no buffer: none */
} Epilogue;

static void add_epilogue_leaf(Epilogue *e, Kernel *k, Value *v)
{
	const Type *t = &e->result->type;

	if (v == e->root->out[0])
		return;
	for (Node *n = e->first; n; n = n->next)
		if (v->def == n)
			return;
	for (int i = 0; i < e->nleaf; i++)
		if (e->leaf_values[i] == v)
			return;
	Access a = kaccess(k, v);
	a = broadcast_access(e->l->m, &a, t->rank);
	for (int d = 0; d < t->rank; d++)
		if (dim_equals(a.extent[d], 1)) {
			a.stride[d] = dim_const(e->l->m, 0);
		}
	for (int d = 0; d < t->rank; d++)
		a.extent[d] = t->dims[d];
	e->leaf_values[e->nleaf] = v;
	e->leaf[e->nleaf++] = a;
}

static void open_epilogue(Epilogue *e, Kernel *k)
{
	const Type *t = &e->result->type;
	const Dim *stride = dim_const(e->l->m, 1);

	e->glu = attr_int(e->root, Attr_glu);
	if (e->root->in[2])
		e->bias = kaccess(k, e->root->in[2]);
	for (Node *n = e->first; n; n = n->next)
		for (int i = 0; i < n->nin; i++)
			add_epilogue_leaf(e, k, n->in[i]);
	const Node *group = group_of(e->root);
	e->nresult = group ? group->nout : 1;
	for (int i = 0; i < e->nresult; i++) {
		e->results[i] = group ? group->body->yields[i] : e->result;
		e->stores[i] = kbuf(k, group ? group->out[i] : e->home, true);
	}
	e->out = (Access){.rank = t->rank, .base = dim_const(e->l->m, 0)};
	for (int d = t->rank - 1; d >= 0; d--) {
		e->out.extent[d] = t->dims[d];
		e->out.stride[d] = stride;
		stride = dim_mul(e->l->m, stride, t->dims[d]);
	}
}

static LExpr *epilogue_operand(Epilogue *e, Value *v, LExpr *root, LExpr *const *leaves, LExpr *const *values)
{
	int at = 0;

	if (v == e->root->out[0])
		return root;
	for (Node *n = e->first; n; n = n->next, at++)
		if (v->def == n)
			return values[at];
	for (int i = 0; i < e->nleaf; i++)
		if (e->leaf_values[i] == v)
			return leaves[i];
	bug("a value inside an epilogue is unknown");
}

static LExpr *load_bias(Epilogue *e, Kernel *k, LExpr *col, LExpr *mask)
{
	LB *b = &k->b;
	const Dim *stride = e->bias.stride[0];
	LExpr *at = ladd(b, kdim(k, e->bias.base), lmul(b, col, kdim(k, stride)));
	return load_lanes(k, &e->bias, at, stride, mask);
}

/* One vector of 16 columns of one row: `sums` are the products (value and gate for glu), `col` the first column of the result. */
static void emit_columns(Epilogue *e, Kernel *k, LExpr *sum, LExpr *gate, LExpr *const *rows, LExpr *out_row, LExpr *col, LExpr *mask)
{
	LB *b = &k->b;
	Module *m = e->l->m;
	LExpr *leaves[MaxOperands], *values[MaxEpilogue], *in[MaxIn], *y = sum;
	int last = e->out.rank - 1, at = 0;
	bool second = e->glu && attr_int(e->root, Attr_gate) == 0;

	if (e->bias.buf) {
		const Type *t = &e->root->out[0]->type;
		LExpr *half = e->glu ? kdim(k, dim_floordiv(m, t->dims[t->rank - 1], dim_const(m, 2))) : li(b, 0);
		LExpr *vcol = e->glu && !second ? ladd(b, half, col) : col, *gcol = second ? ladd(b, half, col) : col;
		y = llet(b, ladd(b, y, load_bias(e, k, vcol, mask)));
		if (gate)
			gate = llet(b, ladd(b, gate, load_bias(e, k, gcol, mask)));
	}
	for (int i = 0; i < e->nleaf; i++) {
		const Dim *stride = e->leaf[i].stride[last];
		LExpr *offset = rows[i];
		if (!dim_equals(stride, 0))
			offset = ladd(b, offset, lmul(b, col, kdim(k, stride)));
		leaves[i] = llet(b, load_lanes(k, &e->leaf[i], offset, stride, mask));
	}
	for (Node *n = e->first; n; n = n->next) {
		if (n->op == OpGlu) { /* the first node, by pass layout */
			Node act = {.op = attr_int(n, Attr_act), .nin = 1, .nout = 1, .in = n->in, .out = n->out};
			LExpr *g = emit_scalar(k, &act, &gate);
			values[at++] = llet(b, lmul(b, y, g));
			continue;
		}
		for (int i = 0; i < n->nin; i++)
			in[i] = epilogue_operand(e, n->in[i], y, leaves, values);
		values[at++] = emit_scalar(k, n, in);
	}
	for (int i = 0; i < e->nresult; i++)
		lstore(b, e->stores[i], ladd(b, out_row, col), NULL, mask, epilogue_operand(e, e->results[i], y, leaves, values));
}

/* Rows from .. to of panel `panel`; acc holds them from acc_row on. */
static void emit_epilogue(Epilogue *e, Kernel *k, LExpr *from, LExpr *to, LBuf *acc, LExpr *acc_row, LExpr *panel)
{
	LB *b = &k->b;
	const Type *t = &e->result->type;
	const Dim *width = t->dims[t->rank - 1];
	LExpr *rows[MaxOperands], *n = kparam(k, width);
	int64_t known;
	bool whole = dim_is_const(width, &known) && known % (e->glu ? Lanes : PanelWidth) == 0;

	LExpr *row = lfor(b, ForSerial, from, to, NULL);
	LExpr *sums = llet(b, lmul(b, ladd(b, acc_row, lsub(b, row, from)), li(b, PanelWidth)));
	LExpr *out_row = llet(b, lmul(b, row, n));
	for (int i = 0; i < e->nleaf; i++)
		rows[i] = row_offset(k, &e->leaf[i], e->leaf[i].rank - 1, row);
	if (e->glu) {
		LExpr *col = llet(b, lmul(b, panel, li(b, Lanes)));
		LExpr *mask = whole ? NULL : lane_mask(k, lsub(b, n, col));
		emit_columns(e, k, llet(b, lload(b, acc, Lanes, sums, NULL, NULL)),
		             llet(b, lload(b, acc, Lanes, ladd(b, sums, li(b, Lanes)), NULL, NULL)), rows, out_row, col, mask);
	} else {
		LExpr *j = lfor(b, ForSerial, li(b, 0), li(b, PanelWidth), li(b, Lanes));
		LExpr *col = llet(b, ladd(b, lmul(b, panel, li(b, PanelWidth)), j));
		LExpr *mask = whole ? NULL : lane_mask(k, lsub(b, n, col));
		emit_columns(e, k, llet(b, lload(b, acc, Lanes, ladd(b, sums, j), NULL, NULL)), NULL, rows, out_row, col, mask);
		lend(b);
	}
	lend(b);
}

/* ---- linear ------------------------------------------------------------------------------------------------------------------- */

/* While tile number t of `tiles` computes on a slice of the weights, its share of the next slice comes into the cache: the first tile
 * of a slice would otherwise wait for memory.  The last slice prefetches what follows the panel, which is the next one. */
static void prefetch_next(Kernel *k, LBuf *w, LExpr *next, LExpr *klen, LExpr *t, LExpr *tiles)
{
	LB *b = &k->b;
	int bytes = dtypes[w->elem].bytes;
	LExpr *lines = llet(b, lmul(b, klen, li(b, PanelWidth * bytes / 64)));
	LExpr *from = llet(b, lop(b, LFloorDiv, lmul(b, lines, t), tiles, NULL));
	LExpr *to = llet(b, lop(b, LFloorDiv, lmul(b, lines, ladd(b, t, li(b, 1))), tiles, NULL));

	LExpr *line = lfor(b, ForSerial, from, to, NULL);
	lprefetch(b, w, ladd(b, next, lmul(b, line, li(b, 64 / bytes))));
	lend(b);
}

/* The slice of klen rows of a panel at w_at, for the tiles: f32 as it lies, else a copy that is widened once for all of them. */
static LBuf *widen_slice(Kernel *k, LBuf *w, LExpr **w_at, LExpr *klen)
{
	LB *b = &k->b;
	if (w->elem == F32)
		return w;
	LBuf *slice = llocal(b, "slice", F32, (int64_t)k->l->t->kb * PanelWidth);
	LExpr *at = lfor(b, ForSerial, li(b, 0), lmul(b, klen, li(b, PanelWidth)), li(b, Lanes));
	lstore(b, slice, at, NULL, NULL, load_weights(b, w, ladd(b, *w_at, at)));
	lend(b);
	*w_at = li(b, 0);
	return slice;
}

/* The sums of one panel if there are only a few rows; opens the other case, which the caller closes.  False: there is none. */
static bool emit_stream(Kernel *k, const Dim *rows, LBuf *packed, LBuf *w, LExpr *wp, LBuf *acc, LExpr *nr, LExpr *nk)
{
	LB *b = &k->b;
	int64_t lo, hi;

	dim_range(rows, &lo, &hi);
	if (lo > StreamRows)
		return false;
	for (int r = 1; r <= StreamRows; r++) {
		lif(b, lop(b, LEq, nr, li(b, r), NULL));
		lcall(b, stream_kernel(k->l, w->elem, r), 4,
		      (LArg[]){arg_buf(packed, F32, li(b, 0), lmul(b, nk, li(b, r))), arg_buf(w, w->elem, wp, lmul(b, nk, li(b, PanelWidth))),
		               arg_buf(acc, F32, li(b, 0), li(b, r * PanelWidth)), arg_e(nk)});
		lend(b);
	}
	lif(b, llt(b, li(b, StreamRows), nr));
	return true;
}

/* For row blocks x panels in parallel: K blocks, tiles, epilogue.  Depth and widths are arguments, which cost nothing beside the
 * tiles: linears of other sizes with the same epilogue are one kernel. */
static void emit_gemm(Kernel *k, Epilogue *e, LBuf *packed, LBuf *w, const Dim *rows, const Dim *depth, const Dim *tiles, const Dim *panels)
{
	LB *b = &k->b;
	Lower *l = k->l;
	Module *m = l->m;
	int block_tiles = BlockRows / l->t->mr;
	const Dim *blocks = dim_ceildiv(m, tiles, dim_const(m, block_tiles));
	LExpr *nr = kdim(k, rows), *nt = kdim(k, tiles), *nk = kparam(k, depth), *np = kparam(k, panels), *step = li(b, l->t->kb);

	LBuf *acc = llocal(b, "acc", F32, (int64_t)block_tiles * l->t->mr * PanelWidth);
	LExpr *p = lfor(b, ForParallel, li(b, 0), lmul(b, kdim(k, blocks), np), NULL);
	LExpr *block = llet(b, lop(b, LFloorDiv, p, np, NULL)), *panel = llet(b, lsub(b, p, lmul(b, block, np)));
	LExpr *nb = kdim(k, blocks); /* balanced too: at most block_tiles tiles each */
	LExpr *t0 = llet(b, tile_begin(b, block, nt, nb)), *t1 = llet(b, tile_begin(b, ladd(b, block, li(b, 1)), nt, nb));
	LExpr *row0 = llet(b, tile_begin(b, t0, nr, nt)), *wp = llet(b, lmul(b, panel, lmul(b, nk, li(b, PanelWidth))));

	bool few = emit_stream(k, rows, packed, w, wp, acc, nr, nk);
	LExpr *k0 = lfor(b, ForSerial, li(b, 0), lop(b, LPMax, nk, li(b, 1), NULL), step); /* once for an empty sum */
	LExpr *klen = llet(b, lop(b, LPMin, step, lsub(b, nk, k0), NULL));
	LExpr *first = llet(b, lop(b, LPMax, lsub(b, li(b, 1), k0), li(b, 0), NULL));
	LExpr *w_at = llet(b, ladd(b, wp, lmul(b, k0, li(b, PanelWidth)))), *slice_at = w_at;
	LBuf *slice = widen_slice(k, w, &slice_at, klen);
	LExpr *t = lfor(b, ForSerial, t0, t1, NULL);
	LExpr *from = llet(b, tile_begin(b, t, nr, nt)), *to = llet(b, tile_begin(b, ladd(b, t, li(b, 1)), nr, nt));
	LExpr *count = llet(b, lsub(b, to, from));
	LExpr *a_at = llet(b, ladd(b, lmul(b, from, nk), lmul(b, k0, count)));
	prefetch_next(k, w, llet(b, ladd(b, w_at, lmul(b, klen, li(b, PanelWidth)))), klen, lsub(b, t, t0), llet(b, lsub(b, t1, t0)));
	call_tile(k, count, packed, a_at, slice, slice_at, acc, llet(b, lmul(b, lsub(b, from, row0), li(b, PanelWidth))), klen, first);
	lend(b);
	lend(b);
	if (few)
		lend(b);
	LExpr *last = llet(b, tile_begin(b, t1, nr, nt));
	emit_epilogue(e, k, row0, last, acc, li(b, 0), panel);
	lend(b);
}

bool linear_takes(Node *const *members, int n)
{
	const Node *root = members[0];
	const Value *v = root->out[0]; /* whose dims the rest has */

	if (n > MaxEpilogue + 1 || count_operands(members, n) > MaxOperands)
		return false;
	for (int i = 1; i < n; i++) {
		const Node *x = members[i];
		if (x->op == OpGlu) {
			if (i > 1 || x->in[0] != v || attr_int(x, Attr_axis) != v->type.rank - 1)
				return false;
			v = x->out[0];
		} else if (ops[x->op].cls != ClsEwise || !equal_dims(&x->out[0]->type, &v->type)) {
			return false;
		}
	}
	return root->op == OpLinear || attr_int(root, Attr_glu) == (n > 1 && members[1]->op == OpGlu);
}

void lower_linear(Lower *l, Node *root, Node *epilogue, Value *result, Value *home)
{
	Module *m = l->m;
	const Type *xt = &root->in[0]->type, *wt = &root->in[1]->type;
	const Dim *depth = wt->dims[1], *panels = wt->dims[0], *rows = dim_const(m, 1);
	int inner = (int)attr_int(root, Attr_inner);

	for (int d = 0; d < xt->rank - inner; d++)
		rows = dim_mul(m, rows, xt->dims[d]);
	const Dim *tiles = tiles_of(l, rows);
	Packed *packed = packed_rows(l, root);
	if (!packed->slot)
		pack_rows(l, root->in[0], inner, rows, depth, tiles, packed_slot(l, packed, dim_mul(m, rows, depth)));

	Kernel k = open_kernel(l, "linear", true);
	Epilogue e = {.l = l, .root = root, .first = epilogue, .result = result, .home = home};
	LBuf *a = kslot(&k, packed->slot, false), *w = kbuf(&k, root->in[1], false);
	open_epilogue(&e, &k);
	emit_gemm(&k, &e, a, w, rows, depth, tiles, panels);
	const Dim *outputs = type_numel(m, &root->out[0]->type);
	kflop(&k, dim_mul_const(m, dim_mul(m, outputs, depth), 2));
	if (root->in[2])
		kflop(&k, outputs);
	kflop_nodes(&k, epilogue, NULL);
	k.b.fn->loc = root->loc;
	kcall(&k);
}
