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
};

/* ---- epilogue ----------------------------------------------------------------------------------------------------------------- */

enum { MaxEpilogue = 47, MaxOperands = 16 /* the product's own included */ };

/* The columns of the product may be read as equal parts (gates), which lie side by side in a unit of panels: the result has the
 * columns of one part, and what is computed on whole rows before that is computed for each part.  Without parts there is one. */
typedef struct Epilogue {
	Lower *l;
	Node *root, *first; /* first node behind the root, or NULL */
	Value *result, *home;
	int parts;
	Access out; /* the results' common strides; the buffers: */
	int nresult;
	Value *results[MaxResults];
	LBuf *stores[MaxResults];
	Access leaf[MaxOperands];
	Value *leaf_values[MaxOperands];
	bool leaf_of_part[MaxOperands]; /* or of whole rows */
	int nleaf;
	Access bias; /* no buffer: none */
} Epilogue;

typedef struct ByPart {
	LExpr *e[MaxParts]; /* of a part: the same each */
} ByPart;

static bool is_of_part(const Epilogue *e, const Node *n)
{
	return !equal_dims(&n->out[0]->type, &e->root->out[0]->type);
}

static void add_epilogue_leaf(Epilogue *e, Kernel *k, const Node *user, Value *v)
{
	const Type *t = &user->out[0]->type;

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
	e->leaf_of_part[e->nleaf] = is_of_part(e, user);
	e->leaf_values[e->nleaf] = v;
	e->leaf[e->nleaf++] = a;
}

static void open_epilogue(Epilogue *e, Kernel *k)
{
	const Type *t = &e->result->type;
	const Dim *stride = dim_const(e->l->m, 1);

	e->parts = attr_int(e->root, Attr_parts);
	if (e->root->in[2])
		e->bias = kaccess(k, e->root->in[2]);
	for (Node *n = e->first; n; n = n->next)
		for (int i = 0; i < n->nin; i++)
			add_epilogue_leaf(e, k, n, n->in[i]);
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

static const ByPart *epilogue_operand(Epilogue *e, const Value *v, const ByPart *sums, const ByPart *leaves, const ByPart *values)
{
	int at = 0;

	if (v == e->root->out[0])
		return sums;
	for (Node *n = e->first; n; n = n->next, at++)
		if (v->def == n)
			return &values[at];
	for (int i = 0; i < e->nleaf; i++)
		if (e->leaf_values[i] == v)
			return &leaves[i];
	bug("a value inside an epilogue is unknown");
}

static LExpr *load_bias(Epilogue *e, Kernel *k, LExpr *col, LExpr *mask)
{
	LB *b = &k->b;
	const Dim *stride = e->bias.stride[0];
	LExpr *at = ladd(b, kdim(k, e->bias.base), lmul(b, col, kdim(k, stride)));
	return load_lanes(k, &e->bias, at, stride, mask);
}

/* One vector of 16 columns of a row's leaf: of each part, if they differ. */
static ByPart load_leaf(Epilogue *e, Kernel *k, int i, LExpr *row, LExpr *const *cols, LExpr *mask)
{
	LB *b = &k->b;
	const Dim *stride = e->leaf[i].stride[e->out.rank - 1];
	bool splat = dim_equals(stride, 0);
	ByPart y;

	for (int g = 0; g < e->parts; g++) {
		LExpr *offset = splat ? row : ladd(b, row, lmul(b, cols[g], kdim(k, stride)));
		y.e[g] = g && (splat || e->leaf_of_part[i]) ? y.e[0] : llet(b, load_lanes(k, &e->leaf[i], offset, stride, mask));
	}
	return y;
}

static ByPart emit_node(Epilogue *e, Kernel *k, const Node *n, const ByPart *sums, const ByPart *leaves, const ByPart *values)
{
	LB *b = &k->b;
	LExpr *in[MaxIn];
	ByPart y;
	Part part;

	if (n->op == OpGlu) {
		const ByPart *x = epilogue_operand(e, n->in[0], sums, leaves, values);
		bool gate_first = attr_int(n, Attr_gate);
		Node act = {.op = attr_int(n, Attr_act), .nin = 1, .nout = 1, .in = n->in, .out = n->out};
		LExpr *gate = x->e[!gate_first];
		y.e[0] = llet(b, lmul(b, x->e[gate_first], emit_scalar(k, &act, &gate)));
	} else if (ops[n->op].cls == ClsMove) {
		if (!part_of(e->l->m, n->out[0], &part))
			bug("an epilogue moves data");
		y.e[0] = epilogue_operand(e, part.of, sums, leaves, values)->e[part.number];
	}
	for (int g = 0; g < e->parts; g++) {
		bool same = g > 0 && is_of_part(e, n);
		for (int i = 0; i < n->nin && !same && ops[n->op].cls == ClsEwise; i++)
			in[i] = epilogue_operand(e, n->in[i], sums, leaves, values)->e[g];
		if (same)
			y.e[g] = y.e[0];
		else if (ops[n->op].cls == ClsEwise)
			y.e[g] = emit_scalar(k, n, in);
	}
	return y;
}

/* One vector of 16 columns of one row: `sums` are the products of each part, `col` the first column of the result. */
static void emit_columns(Epilogue *e, Kernel *k, ByPart sums, LExpr *const *rows, LExpr *out_row, LExpr *col, LExpr *mask)
{
	LB *b = &k->b;
	ByPart leaves[MaxOperands], values[MaxEpilogue];
	LExpr *cols[MaxParts] = {col};
	int at = 0;

	for (int g = 1; g < e->parts; g++)
		cols[g] = llet(b, ladd(b, cols[g - 1], kparam(k, e->out.extent[e->out.rank - 1])));
	for (int g = 0; g < e->parts && e->bias.buf; g++)
		sums.e[g] = llet(b, ladd(b, sums.e[g], load_bias(e, k, cols[g], mask)));
	for (int i = 0; i < e->nleaf; i++)
		leaves[i] = load_leaf(e, k, i, rows[i], cols, mask);
	for (Node *n = e->first; n; n = n->next, at++)
		values[at] = emit_node(e, k, n, &sums, leaves, values);
	for (int i = 0; i < e->nresult; i++)
		lstore(b, e->stores[i], ladd(b, out_row, col), NULL, mask, epilogue_operand(e, e->results[i], &sums, leaves, values)->e[0]);
}

/* Rows from .. to of unit `unit`; acc holds them, [panel of the unit][rows up to acc_rows][32]. */
static void emit_epilogue(Epilogue *e, Kernel *k, LExpr *from, LExpr *to, LBuf *acc, int acc_rows, LExpr *unit)
{
	LB *b = &k->b;
	const Type *t = &e->result->type;
	const Dim *width = t->dims[t->rank - 1];
	const int chunk = part_width(e->parts);
	LExpr *rows[MaxOperands], *n = kparam(k, width), *j = li(b, 0);
	ByPart sums;
	int64_t known;
	bool whole = dim_is_const(width, &known) && known % chunk == 0;

	LExpr *row = lfor(b, ForSerial, from, to, NULL);
	LExpr *acc_row = llet(b, lmul(b, lsub(b, row, from), li(b, PanelWidth)));
	LExpr *out_row = llet(b, lmul(b, row, n));
	for (int i = 0; i < e->nleaf; i++)
		rows[i] = row_offset(k, &e->leaf[i], e->leaf[i].rank - 1, row);
	if (chunk > Lanes)
		j = lfor(b, ForSerial, j, li(b, chunk), li(b, Lanes));
	LExpr *col = llet(b, ladd(b, lmul(b, unit, li(b, chunk)), j));
	LExpr *mask = whole ? NULL : lane_mask(k, lsub(b, n, col));
	for (int g = 0; g < e->parts; g++) {
		int at = g * chunk / PanelWidth * acc_rows * PanelWidth + g * chunk % PanelWidth;
		sums.e[g] = llet(b, lload(b, acc, Lanes, ladd(b, ladd(b, acc_row, li(b, at)), j), NULL, NULL));
	}
	emit_columns(e, k, sums, rows, out_row, col, mask);
	if (chunk > Lanes)
		lend(b);
	lend(b);
}

/* ---- linear ------------------------------------------------------------------------------------------------------------------- */

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

/* What the kernel of a linear has at hand. */
typedef struct Gemm {
	Kernel *k;
	LBuf *packed, *w, *acc;
	LExpr *rows, *tiles, *depth;
} Gemm;

/* One panel, at wp, by a few rows; opens the case that there are more, which the caller closes.  False: there never are. */
static bool emit_stream(Gemm *g, const Dim *rows, LExpr *wp, LExpr *acc_at)
{
	LB *b = &g->k->b;
	int64_t lo, hi;

	dim_range(rows, &lo, &hi);
	for (int r = 1; r <= WholeRows; r++) {
		if (r < lo || r > hi)
			continue;
		lif(b, lop(b, LEq, g->rows, li(b, r), NULL));
		call_stream(g->k, r, g->packed, g->w, wp, g->acc, acc_at, g->depth);
		lend(b);
	}
	if (hi > WholeRows)
		lif(b, llt(b, li(b, WholeRows), g->rows));
	return hi > WholeRows;
}

/* One panel, at wp, by tiles t0 .. t1, the first of which begins at row0: all of them pass by each slice of the panel. */
static void emit_tiles(Gemm *g, LExpr *t0, LExpr *t1, LExpr *row0, LExpr *wp, LExpr *acc0)
{
	Kernel *k = g->k;
	LB *b = &k->b;
	LExpr *step = li(b, k->l->t->kb), *nk = g->depth;

	LExpr *k0 = lfor(b, ForSerial, li(b, 0), lop(b, LPMax, nk, li(b, 1), NULL), step); /* once for an empty sum */
	LExpr *klen = llet(b, lop(b, LPMin, step, lsub(b, nk, k0), NULL));
	LExpr *first = llet(b, lop(b, LPMax, lsub(b, li(b, 1), k0), li(b, 0), NULL));
	LExpr *w_at = llet(b, ladd(b, wp, lmul(b, k0, li(b, PanelWidth)))), *slice_at = w_at;
	LBuf *slice = widen_slice(k, g->w, &slice_at, klen);
	LExpr *t = lfor(b, ForSerial, t0, t1, NULL);
	LExpr *from = llet(b, tile_begin(b, t, g->rows, g->tiles)), *to = llet(b, tile_begin(b, ladd(b, t, li(b, 1)), g->rows, g->tiles));
	LExpr *count = llet(b, lsub(b, to, from));
	LExpr *a_at = llet(b, ladd(b, lmul(b, from, nk), lmul(b, k0, count)));
	Turn turn = {lsub(b, t, t0), llet(b, lsub(b, t1, t0))};
	LExpr *acc_at = llet(b, ladd(b, acc0, lmul(b, lsub(b, from, row0), li(b, PanelWidth))));
	call_tile(k, count, g->packed, a_at, slice, slice_at, g->acc, acc_at, klen, first, slice == g->w ? &turn : NULL);
	lend(b);
	lend(b);
}

/* For row blocks x units of panels in parallel: the panels, K blocks, tiles, epilogue.  Depth and widths are arguments, which cost
 * nothing beside the tiles: linears of other sizes with the same epilogue are one kernel. */
static void emit_gemm(Kernel *k, Epilogue *e, LBuf *packed, LBuf *w, const Dim *rows, const Dim *depth, const Dim *tiles, const Dim *units)
{
	LB *b = &k->b;
	Module *m = k->l->m;
	const int mr = k->l->t->mr, panels = unit_panels(e->parts), block_tiles = BlockRows / mr / panels, acc_rows = block_tiles * mr;
	const Dim *blocks = dim_ceildiv(m, tiles, dim_const(m, block_tiles));
	Gemm g = {.k = k, .packed = packed, .w = w, .rows = kdim(k, rows), .tiles = kdim(k, tiles), .depth = kparam(k, depth)};
	LExpr *nu = kparam(k, units);

	g.acc = llocal(b, "acc", F32, (int64_t)panels * acc_rows * PanelWidth);
	LExpr *p = lfor(b, ForParallel, li(b, 0), lmul(b, kdim(k, blocks), nu), NULL);
	LExpr *block = llet(b, lop(b, LFloorDiv, p, nu, NULL)), *unit = llet(b, lsub(b, p, lmul(b, block, nu)));
	LExpr *nb = kdim(k, blocks); /* balanced too: at most block_tiles tiles each */
	LExpr *t0 = llet(b, tile_begin(b, block, g.tiles, nb)), *t1 = llet(b, tile_begin(b, ladd(b, block, li(b, 1)), g.tiles, nb));
	LExpr *row0 = llet(b, tile_begin(b, t0, g.rows, g.tiles)), *panel = unit, *acc0 = li(b, 0);

	if (panels > 1) {
		LExpr *i = lfor(b, ForSerial, li(b, 0), li(b, panels), NULL);
		panel = llet(b, ladd(b, lmul(b, unit, li(b, panels)), i));
		acc0 = llet(b, lmul(b, i, li(b, acc_rows * PanelWidth)));
	}
	LExpr *wp = llet(b, lmul(b, panel, lmul(b, g.depth, li(b, PanelWidth))));
	if (emit_stream(&g, rows, wp, acc0)) {
		emit_tiles(&g, t0, t1, row0, wp, acc0);
		lend(b);
	}
	if (panels > 1)
		lend(b);
	LExpr *last = llet(b, tile_begin(b, t1, g.rows, g.tiles));
	emit_epilogue(e, k, row0, last, g.acc, acc_rows, unit);
	lend(b);
}

/* Does the epilogue's node read a part of whole rows? */
static bool reads_part(Module *m, const Node *n, Part *p)
{
	if (n->op == OpGlu)
		*p = (Part){.of = n->in[0], .axis = (int)attr_int(n, Attr_axis), .parts = 2};
	return n->op == OpGlu || (ops[n->op].cls == ClsMove && part_of(m, n->out[0], p));
}

int epilogue_parts(Module *m, Node *const *members, int n)
{
	Part p;
	for (int i = 1; i < n; i++)
		if (reads_part(m, members[i], &p))
			return p.parts;
	return 1;
}

/* Are the member's operands that other members compute of its own dims, or, of a part, of whole rows? */
static bool reads_alike(Module *m, Node *const *members, int n, const Node *x)
{
	const Type *whole = &members[0]->out[0]->type;
	Part p;

	if (reads_part(m, x, &p))
		return is_member(p.of->def, members, n) && equal_dims(&p.of->type, whole) && p.axis == whole->rank - 1;
	for (int i = 0; i < x->nin; i++)
		if (x->in[i] && is_member(x->in[i]->def, members, n) && !equal_dims(&x->in[i]->type, &x->out[0]->type))
			return false;
	return ops[x->op].cls == ClsEwise;
}

bool linear_takes(Module *m, Node *const *members, int n, bool all)
{
	const Node *root = members[0];
	const Type *whole = &root->out[0]->type, *part = whole;
	int parts = epilogue_parts(m, members, n);
	Part p;

	if (n > MaxEpilogue + 1 || count_operands(members, n) > MaxOperands)
		return false;
	for (int i = 1; i < n; i++)
		if (reads_part(m, members[i], &p) && part == whole)
			part = &members[i]->out[0]->type;
	for (int i = 1; i < n; i++) {
		const Type *t = &members[i]->out[0]->type;
		if (!reads_alike(m, members, n, members[i]) || !(equal_dims(t, part) || (equal_dims(t, whole) && !reads_part(m, members[i], &p))))
			return false;
	}
	for (int i = 0; i < n && all; i++)
		if ((i == n - 1 || is_output(members[i]->out[0])) && !equal_dims(&members[i]->out[0]->type, part))
			return false;
	return root->op == OpLinear || attr_int(root, Attr_parts) == parts;
}

void lower_linear(Lower *l, Node *root, Node *epilogue, Value *result, Value *home)
{
	Module *m = l->m;
	const Type *xt = &root->in[0]->type, *wt = &root->in[1]->type;
	const Dim *depth = wt->dims[1], *panels = wt->dims[0], *rows = dim_const(m, 1);
	const Dim *per_unit = dim_const(m, unit_panels((int)attr_int(root, Attr_parts)));
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
	emit_gemm(&k, &e, a, w, rows, depth, tiles, dim_floordiv(m, panels, per_unit));
	const Dim *outputs = type_numel(m, &root->out[0]->type);
	kflop(&k, dim_mul_const(m, dim_mul(m, outputs, depth), 2));
	if (root->in[2])
		kflop(&k, outputs);
	kflop_nodes(&k, epilogue, NULL);
	k.b.fn->loc = root->loc;
	kcall(&k);
}
