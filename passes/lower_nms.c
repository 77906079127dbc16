/* lower_nms.c - non-maximum suppression: boxes are taken in a given order unless they overlap one that was taken before.
 *
 * A line of the order, one class of one batch, belongs to one worker.  The boxes that it has taken, their corners and areas, lie in
 * its scratch, so that the next one is compared with 16 of them at a time.
 */
#include "lower.h"

static const LType F32x16 = {F32, Lanes};

enum { LowY, LowX, HighY, HighX, Area, Parts }; /* of a box; the first four as `boxes` has them */

typedef struct Nms {
	Kernel *k;
	Node *n;
	Access boxes, order, y;
	LBuf *scratch;
	LExpr *mine, *room; /* where the boxes taken lie: part p of the i-th at mine + p * room + i */
	LExpr *most, *iou; /* scalars */
	LTile *count, *hits; /* boxes taken; lanes that the present one overlaps */
} Nms;

static LExpr *load_scalar(Kernel *k, Value *v)
{
	Access a = kaccess(k, v);
	LExpr *idx[MaxRank] = {0};
	return llet(&k->b, lload(&k->b, a.buf, 1, offset_of(k, &a, idx), NULL, NULL));
}

static LExpr *place(Nms *s, int part, LExpr *i)
{
	LB *b = &s->k->b;
	return ladd(b, s->mine, ladd(b, lmul(b, li(b, part), s->room), i));
}

static LExpr *get(Nms *s, LTile *t)
{
	LB *b = &s->k->b;
	return llet(b, lelem(b, t, li(b, 0), li(b, 0)));
}

static void set(Nms *s, LTile *t, LExpr *e)
{
	LB *b = &s->k->b;
	lset_tile(b, t, li(b, 0), li(b, 0), e);
}

static void load_box(Nms *s, LExpr *at, LExpr **box)
{
	LB *b = &s->k->b;
	LExpr *idx[MaxRank] = {0};

	for (int p = 0; p < Area; p++) {
		idx[2] = li(b, p);
		box[p] = llet(b, lload(b, s->boxes.buf, 1, ladd(b, at, lmul(b, idx[2], kdim(s->k, s->boxes.stride[2]))), NULL, NULL));
	}
	box[Area] = llet(b, lmul(b, lsub(b, box[HighY], box[LowY]), lsub(b, box[HighX], box[LowX])));
}

/* How far two boxes overlap along an axis. */
static LExpr *common(LB *b, LExpr *low, LExpr *high, LExpr *other_low, LExpr *other_high)
{
	return llet(b, lsub(b, lop(b, LPMin, high, other_high, NULL), lop(b, LPMax, low, other_low, NULL)));
}

/* Lanes that the masked load leaves out are 0, a point: nothing overlaps it. */
static void compare_taken(Nms *s, LExpr *const *box, LExpr *count)
{
	LB *b = &s->k->b;
	LExpr *zero = lconst(b, F32x16, 0), *one[Parts], *other[Parts];

	for (int p = 0; p < Parts; p++)
		one[p] = llet(b, lcast(b, LSplat, F32x16, box[p]));
	LExpr *iou = llet(b, lcast(b, LSplat, F32x16, s->iou));
	set(s, s->hits, zero);
	LExpr *i = lfor(b, ForSerial, li(b, 0), count, li(b, Lanes)), *mask = lane_mask(s->k, lsub(b, count, i));
	for (int p = 0; p < Parts; p++)
		other[p] = llet(b, lload(b, s->scratch, Lanes, place(s, p, i), NULL, mask));
	LExpr *y = common(b, one[LowY], one[HighY], other[LowY], other[HighY]);
	LExpr *x = common(b, one[LowX], one[HighX], other[LowX], other[HighX]);
	LExpr *both = llet(b, lmul(b, y, x)), *either = lsub(b, ladd(b, one[Area], other[Area]), both);
	LExpr *hit = lop(b, LAnd, llt(b, zero, y), llt(b, zero, x), NULL);
	hit = lop(b, LAnd, hit, llt(b, zero, both), NULL);
	hit = lop(b, LAnd, hit, llt(b, iou, lop(b, LDiv, both, either, NULL)), NULL);
	set(s, s->hits, lop(b, LSelect, hit, lconst(b, F32x16, 1), get(s, s->hits)));
	lend(b);
}

/* The next box of the order, unless its number is negative or there are enough; `to`: where it is marked as taken. */
static void emit_box(Nms *s, LExpr *number, LExpr *first_box, LExpr *to)
{
	LB *b = &s->k->b;
	LExpr *box[Parts], *count = get(s, s->count);

	lif(b, lop(b, LAnd, lop(b, LLe, li(b, 0), number, NULL), llt(b, count, s->most), NULL));
	load_box(s, llet(b, ladd(b, first_box, lmul(b, number, kdim(s->k, s->boxes.stride[1])))), box);
	compare_taken(s, box, count);
	lif(b, lop(b, LEq, lop(b, LHMax, get(s, s->hits), NULL, NULL), lconst(b, (LType){F32, 1}, 0), NULL));
	for (int p = 0; p < Parts; p++)
		lstore(b, s->scratch, place(s, p, count), NULL, NULL, box[p]);
	set(s, s->count, ladd(b, count, li(b, 1)));
	lstore(b, s->y.buf, to, NULL, NULL, lconst(b, (LType){Bool, 1}, 1));
	lend(b);
	lend(b);
}

static void emit_line(Nms *s, LExpr *first_box, LExpr *from, LExpr *to)
{
	Kernel *k = s->k;
	LB *b = &k->b;

	set(s, s->count, li(b, 0));
	LExpr *i = lfor(b, ForSerial, li(b, 0), kdim(k, s->order.extent[2]), NULL);
	LExpr *at = llet(b, ladd(b, from, lmul(b, i, kdim(k, s->order.stride[2]))));
	LExpr *number = llet(b, lcast(b, LConvert, IndexType, lload(b, s->order.buf, 1, at, NULL, NULL)));
	to = llet(b, ladd(b, to, i));
	lstore(b, s->y.buf, to, NULL, NULL, lconst(b, (LType){Bool, 1}, 0));
	lif(b, lop(b, LLe, kdim(k, s->boxes.extent[1]), number, NULL));
	fail_index(k, s->n, 1, number);
	lelse(b);
	emit_box(s, number, first_box, to);
	lend(b);
	lend(b);
}

void lower_nms(Lower *l, Node *n, Value *home)
{
	Module *m = l->m;
	Kernel k = open_kernel(l, "nms", false);
	LB *b = &k.b;
	Nms s = {.k = &k, .n = n, .boxes = kaccess(&k, n->in[0]), .order = kaccess(&k, n->in[1])};
	const Dim *lanes = dim_const(m, Lanes), *size = s.order.extent[2];
	const Dim *room = dim_mul(m, dim_ceildiv(m, size, lanes), lanes), *lines = dims_product(m, s.order.extent, 2);
	LExpr *at[MaxRank] = {0};

	s.y = written_access(&k, &n->out[0]->type, home);
	need_scratch(l, dim_mul_const(m, room, Parts));
	s.scratch = kscratch(&k);
	s.room = kdim(&k, room);
	s.most = load_scalar(&k, n->in[2]);
	s.iou = load_scalar(&k, n->in[3]);
	s.count = lnew_tile(b, "count", IndexType, 1, 1);
	s.hits = lnew_tile(b, "hits", F32x16, 1, 1);
	LExpr *mine = kworker(&k), *line = share_tasks(&k, kdim(&k, times_of_elements(m, lines, size)));
	s.mine = llet(b, lmul(b, this_worker(&k), mine));
	split_index(&k, line, s.order.extent, 2, at);
	LExpr *batch[MaxRank] = {at[0]};
	emit_line(&s, llet(b, offset_of(&k, &s.boxes, batch)), llet(b, offset_of(&k, &s.order, at)), llet(b, offset_of(&k, &s.y, at)));
	lend(b);
	kflop(&k, type_numel(m, &n->out[0]->type));
	k.b.fn->loc = n->loc;
	kcall(&k);
}
