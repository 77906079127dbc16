/* lower_conv.c - convolution with channels first: vectors run along the last axis.
 *
 *   y[n, m, o..] = b[m] + sum over c, k.. of x[n, first(m) + c, o*stride + k*dilation] * w[m, c, k..]
 *
 * Fills its vectors however few the outputs are, where a linear over windows (fuse_conv.c) would leave lanes empty, and packs nothing.
 * A chunk of several vectors side by side, of several outputs of one group, stays in registers over all channels and taps: each vector
 * of x meets the outputs' weights, one lane each.  Padding is a `pad` in front (pass_expand), so that only the end of the axis is masked.
 * A task is a few chunks of one row.  Every output is one FMA chain, channels and then taps ascending.
 */
#include "epilogue.h"

enum {
	MostVectors = 8, /* side by side */
	TaskChunks = 8 /* so that finding a task's place costs little beside it */
};

typedef struct Conv {
	Kernel *k;
	const Node *n;
	Access x, w, bias; /* bias.buf: NULL without one */
	Epilogue e;
	LTile *acc; /* [outputs][vectors] */
	LBuf *sums; /* the same for the epilogue */
	int sp, outputs, vectors; /* spatial axes; of a chunk */
	LType vec;
	LExpr *idx[MaxRank]; /* of the chunk's first output, without the last axis */
	LExpr *row, *rows; /* of the first output's row in y; from one output to the next */
	LExpr *len;
} Conv;

/* As many outputs, a divisor of a group's, and vectors as registers hold beside the vectors of x: balanced over the axis. */
static void choose_chunk(Conv *c, const Target *t)
{
	const Type *y = &c->n->out[0]->type;
	const int room = dtypes[y->dtype].bytes == 4 ? t->mr * t->nv : t->mr * t->nv / 2;
	const int beside = dtypes[y->dtype].bytes == 4 ? room + t->nv : room;
	int64_t all, length;

	c->outputs = 1;
	if (dim_is_const(y->dims[1], &all))
		for (int i = 2; i <= room / t->nv; i++)
			if (all / attr_int(c->n, Attr_group) % i == 0)
				c->outputs = i;
	c->vectors = 1;
	while (c->vectors < MostVectors && (c->vectors + 1) * c->outputs <= room &&
	       (c->vectors + 1) * (c->outputs + (c->outputs > 1)) <= beside)
		c->vectors++;
	if (dim_is_const(y->dims[y->rank - 1], &length) && length > 0) {
		int64_t needed = (length - 1) / Lanes + 1, chunks = (needed - 1) / c->vectors + 1;
		c->vectors = (int)((needed - 1) / chunks + 1);
	}
}

/* The products of one tap; masks NULL: all lanes count. */
static void add_tap(Conv *c, LExpr *x_at, LExpr *w_at, LExpr *const *masks)
{
	LB *b = &c->k->b;
	const int last = c->x.rank - 1;
	const Dim *step = dim_mul_const(c->k->l->m, c->x.stride[last], attr_int_at(c->n, Attr_strides, c->sp - 1, 1));
	LExpr *x[MostVectors];

	for (int v = 0; v < c->vectors; v++) {
		LExpr *at = ladd(b, x_at, lmul(b, li(b, v * Lanes), kdim(c->k, step)));
		x[v] = llet(b, lload(b, c->x.buf, Lanes, at, dim_equals(step, 1) ? NULL : kdim(c->k, step), masks ? masks[v] : NULL));
	}
	for (int i = 0; i < c->outputs; i++) {
		LExpr *at = ladd(b, w_at, lmul(b, li(b, i), kdim(c->k, c->w.stride[0])));
		LExpr *w = llet(b, lcast(b, LSplat, c->vec, lload(b, c->w.buf, 1, at, NULL, NULL)));
		for (int v = 0; v < c->vectors; v++)
			lset_tile(b, c->acc, li(b, i), li(b, v), lfma(b, x[v], w, lelem(b, c->acc, li(b, i), li(b, v))));
	}
}

/* All channels and taps of the chunk that begins at o. */
static void add_taps(Conv *c, LExpr *o, LExpr *const *masks)
{
	Kernel *k = c->k;
	LB *b = &k->b;
	LExpr *zero = li(b, 0), *x[MaxRank] = {c->idx[0]}, *w[MaxRank] = {c->idx[1]};
	LExpr *per_group = lop(b, LFloorDiv, kdim(k, c->n->out[0]->type.dims[1]), li(b, attr_int(c->n, Attr_group)), NULL);
	LExpr *channels = kdim(k, c->w.extent[1]), *first = llet(b, lmul(b, lop(b, LFloorDiv, c->idx[1], per_group, NULL), channels));

	w[1] = lfor(b, ForSerial, zero, channels, NULL);
	x[1] = ladd(b, first, w[1]);
	for (int d = 0; d < c->sp; d++) {
		LExpr *from = lmul(b, d == c->sp - 1 ? o : c->idx[2 + d], li(b, attr_int_at(c->n, Attr_strides, d, 1)));
		w[2 + d] = lfor(b, ForSerial, zero, kdim(k, c->w.extent[2 + d]), NULL);
		x[2 + d] = llet(b, ladd(b, from, lmul(b, w[2 + d], li(b, attr_int_at(c->n, Attr_dilations, d, 1)))));
	}
	add_tap(c, llet(b, offset_of(k, &c->x, x)), llet(b, offset_of(k, &c->w, w)), masks);
	for (int d = 0; d <= c->sp; d++)
		lend(b);
}

/* The epilogue's code stands once for all of the chunk, so its sums go through memory, which is near. */
static void finish_chunk(Conv *c, LExpr *o)
{
	LB *b = &c->k->b;
	LExpr *rows[MaxOperands], *zero = li(b, 0), *lanes = li(b, Lanes), *vectors = li(b, c->vectors);

	for (int i = 0; i < c->outputs * c->vectors; i++)
		lstore(b, c->sums, li(b, i * Lanes), NULL, NULL, lelem(b, c->acc, li(b, i / c->vectors), li(b, i % c->vectors)));
	LExpr *i = lfor(b, ForSerial, zero, li(b, c->outputs), NULL), *row = llet(b, ladd(b, c->row, lmul(b, i, c->rows)));
	leaf_rows(&c->e, c->k, row, rows);
	LExpr *left = llet(b, lop(b, LPMin, lsub(b, c->len, o), lmul(b, vectors, lanes), NULL)), *j = lfor(b, ForSerial, zero, left, lanes);
	LExpr *at = ladd(b, lmul(b, lmul(b, i, vectors), lanes), j), *col = llet(b, ladd(b, o, j));
	LExpr *sum = llet(b, lload(b, c->sums, Lanes, at, NULL, NULL));
	emit_columns(&c->e, c->k, (ByPart){{sum}}, rows, ladd(b, lmul(b, row, c->len), col), col, lane_mask(c->k, lsub(b, left, j)));
	lend(b);
	lend(b);
}

static void emit_chunk(Conv *c, LExpr *o)
{
	Kernel *k = c->k;
	LB *b = &k->b;
	LExpr *masks[MostVectors], *width = li(b, (int64_t)c->vectors * Lanes), *left = llet(b, lsub(b, c->len, o));

	for (int i = 0; i < c->outputs; i++) {
		LExpr *start = lconst(b, c->vec, 0), *at[] = {ladd(b, c->idx[1], li(b, i))};
		if (c->bias.buf)
			start = llet(b, lcast(b, LSplat, c->vec, lload(b, c->bias.buf, 1, offset_of(k, &c->bias, at), NULL, NULL)));
		for (int v = 0; v < c->vectors; v++)
			lset_tile(b, c->acc, li(b, i), li(b, v), start);
	}
	lif(b, lop(b, LLe, width, left, NULL));
	add_taps(c, o, NULL);
	lelse(b);
	for (int v = 0; v < c->vectors; v++)
		masks[v] = lane_mask(k, lsub(b, left, li(b, v * Lanes)));
	add_taps(c, o, masks);
	lend(b);
	finish_chunk(c, o);
}

void lower_conv(Lower *l, Node *n, Node *epilogue, Value *result, Value *home)
{
	Module *m = l->m;
	Kernel k = open_kernel(l, "conv", true);
	LB *b = &k.b;
	const Type *t = &n->out[0]->type;
	const int last = t->rank - 1;
	Conv c = {.k = &k, .n = n, .x = kaccess(&k, n->in[0]), .w = kaccess(&k, n->in[1]), .sp = t->rank - 2, .vec = {t->dtype, Lanes}};

	if (n->in[2])
		c.bias = kaccess(&k, n->in[2]);
	c.e = (Epilogue){.l = l, .root = n, .first = epilogue, .result = result, .home = home};
	open_epilogue(&c.e, &k);
	choose_chunk(&c, l->t);
	c.acc = lnew_tile(b, "acc", c.vec, c.outputs, c.vectors);
	c.sums = llocal(b, "sums", t->dtype, (int64_t)c.outputs * c.vectors * Lanes);
	c.len = kdim(&k, t->dims[last]);
	c.rows = kdim(&k, dims_product(m, t->dims + 2, c.sp - 1));

	const int64_t width = (int64_t)c.vectors * Lanes;
	const Dim *extent[MaxRank]; /* of tasks: images, chunks' outputs, rows, parts of a row */
	for (int d = 0; d < last; d++)
		extent[d] = t->dims[d];
	extent[1] = dim_floordiv(m, t->dims[1], dim_const(m, c.outputs));
	extent[last] = dim_ceildiv(m, t->dims[last], dim_const(m, width * TaskChunks));
	LExpr *task = lfor(b, ForParallel, li(b, 0), kdim(&k, dims_product(m, extent, t->rank)), NULL);
	split_index(&k, task, extent, t->rank, c.idx);
	c.idx[1] = llet(b, lmul(b, c.idx[1], li(b, c.outputs)));
	c.row = ladd(b, lmul(b, c.idx[0], kdim(&k, t->dims[1])), c.idx[1]);
	for (int d = 2; d < last; d++)
		c.row = ladd(b, lmul(b, c.row, kdim(&k, t->dims[d])), c.idx[d]);
	c.row = llet(b, c.row);
	LExpr *from = llet(b, lmul(b, c.idx[last], li(b, width * TaskChunks)));
	LExpr *to = llet(b, lop(b, LPMin, ladd(b, from, li(b, width * TaskChunks)), c.len, NULL));
	emit_chunk(&c, lfor(b, ForSerial, from, to, li(b, width)));
	lend(b);
	lend(b);
	kflop(&k, dim_mul_const(m, dim_mul(m, type_numel(m, t), dims_product(m, c.w.extent + 1, c.sp + 1)), 2));
	kflop_nodes(&k, epilogue, NULL);
	k.b.fn->loc = n->loc;
	kcall(&k);
}
