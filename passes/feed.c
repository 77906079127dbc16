/* feed.c - which products and convolutions lie inside the kernel of their reader: where that can be, and where it pays. */
#include "feed.h"

enum {
	MostRing = 256 << 10, /* bytes of the lines in front of a convolution; weights want to stay in the second cache beside it */
	MostWeights = 256 << 10, /* bytes, of the linear that fills it */
	LeastImage = 512 << 10, /* bytes between the two, of an image: less stays in that cache anyway */
	LeastOfRow = 2 << 10, /* bytes of a row between two linears: fewer are soon read again */
	MostOfRow = 16 << 10 /* blocks of longer rows are too few rows for what they read of the weights */
};

Feed feed_of(Node *n, LBuf *made)
{
	if (n->op != OpGroup)
		return (Feed){n, NULL, n->out[0], n->out[0], made};
	return (Feed){n->body->first, n->body->first->next, n->body->yields[0], n->out[0], made};
}

Node *feeder(const Value *v)
{
	const Home *h = v->scratch;
	return h ? h->feeder : NULL;
}

Node *chained(const Value *v)
{
	const Home *h = v->scratch;
	return h ? h->chained : NULL;
}

/* ---- where it can be ------------------------------------------------------------------------------------------------------------ */

bool is_depthwise(const Node *conv)
{
	const Type *w = &conv->in[1]->type;
	return dim_equals(w->dims[w->rank - 2], 1) && dim_equals(w->dims[w->rank - 1], attr_int(conv, Attr_group));
}

int64_t ring_lines(const Node *conv)
{
	int64_t taps, lines;
	if (!dim_is_const(conv->in[1]->type.dims[0], &taps) || taps < 1)
		return 0;
	return __builtin_mul_overflow(taps - 1, attr_int_at(conv, Attr_dilations, 0, 1), &lines) || lines > MostRing ? 0 : lines + 1;
}

const Dim *ring_size(Module *m, const Node *conv)
{
	const Type *x = &conv->in[0]->type;
	return dim_mul_const(m, dim_mul(m, x->dims[2], x->dims[3]), ring_lines(conv));
}

/* Bytes of a tensor from axis `from` on; 0: not known, or too many to count. */
static int64_t known_bytes(const Type *t, int from)
{
	int64_t n = dtypes[t->dtype].bytes, extent;
	for (int d = from; d < t->rank; d++)
		if (!dim_is_const(t->dims[d], &extent) || __builtin_mul_overflow(n, extent, &n))
			return 0;
	return n;
}

/* A linear, all columns of which its reader sees in rows, a vector of lines of an image. */
static bool fills_ring(const Node *linear, const Node *conv)
{
	const Type *x = &conv->in[0]->type;
	const int64_t line = known_bytes(x, 2), lines = ring_lines(conv);
	int64_t bytes;

	return x->rank == 4 && attr_int(linear, Attr_parts) == 1 && known_bytes(&linear->in[1]->type, 0) > 0 && is_depthwise(conv) && line > 0 &&
	       lines > 0 && !__builtin_mul_overflow(line, lines, &bytes) && bytes <= MostRing;
}

/* A convolution whose outputs are, row by row, what a linear contracts. */
static bool fills_tiles(const Node *conv, const Node *linear)
{
	return is_depthwise(conv) && attr_int(linear, Attr_inner) == 1 && known_bytes(&linear->in[1]->type, 1) > 0;
}

/* The root that alone reads what n's root computes, as its first operand. */
static Node *only_reader(Node *n)
{
	Value *v = n->out[0];
	Node *reader = n->nout == 1 && v->nuse == 1 && !is_output(v) ? v->uses[0].node : NULL, *group = reader ? group_of(reader) : NULL;

	if (!reader || v->type.dtype != F32 || reader->in[0] != v || (group ? group : reader)->block != n->block || (group && group->body->first != reader))
		return NULL;
	return reader;
}

/* The reader, if its kernel can contain n's. */
static Node *reader_of(Node *n)
{
	const Node *root = inner_root(n);
	Node *reader = root->op == OpLinearPacked || root->op == OpGroupConv ? only_reader(n) : NULL;

	if (!reader || reader->op == root->op)
		return NULL;
	if (reader->op == OpGroupConv)
		return fills_ring(root, reader) ? reader : NULL;
	return reader->op == OpLinearPacked && fills_tiles(root, reader) ? reader : NULL;
}

static bool asks(const Node *root)
{
	return (root->op == OpLinearPacked || root->op == OpGroupConv) && attr_int(root, Attr_feeds);
}

/* A linear has one of its neighbours in the same kernel: with both, chains would have no end. */
bool can_feed(Node *n)
{
	const Node *root = inner_root(n);
	Node *from = root->op == OpLinearPacked ? root->in[0]->def : NULL;
	return asks(root) && reader_of(n) && !(from && can_feed(from));
}

/* The linear that alone reads what n's, a linear too, computes. */
static Node *linear_behind(Node *n)
{
	Node *reader = inner_root(n)->op == OpLinearPacked ? only_reader(n) : NULL;
	return reader && reader->op == OpLinearPacked && attr_int(reader, Attr_inner) == 1 ? reader : NULL;
}

bool can_chain(Node *n)
{
	Node *root = inner_root(n), *from = root->nin && root->in[0] ? root->in[0]->def : NULL, *second = linear_behind(n), *group;

	if (!second || !asks(root) || (from && can_feed(from)))
		return false;
	group = group_of(second);
	return !can_feed(group ? group : second);
}

/* ---- where it pays -------------------------------------------------------------------------------------------------------------- */

/* Bytes of an image that need not go through memory; 0: n stays a kernel of its own. */
static int64_t feed_gain(Node *n)
{
	const Node *root = inner_root(n), *reader = reader_of(n);
	const int64_t bytes = known_bytes(&n->out[0]->type, 1);

	if (!reader || bytes < LeastImage)
		return 0;
	if (reader->op == OpLinearPacked)
		return is_made_by_tiles(reader, false, false) ? bytes : 0;
	return is_made_by_tiles(root, false, false) && known_bytes(&root->in[1]->type, 0) <= MostWeights ? bytes : 0;
}

/* Of the two neighbours of a linear, the one with more between them shares its kernel. */
static bool is_larger(Node *n, int64_t gain)
{
	const Node *root = inner_root(n);
	if (root->op == OpLinearPacked)
		return !root->in[0]->def || gain > feed_gain(root->in[0]->def);
	Node *reader = reader_of(n), *group = group_of(reader);
	return gain >= feed_gain(group ? group : reader);
}

/* Two linears, of which many rows may meet the first. */
static bool gains_by_blocks(Node *n)
{
	const Node *root = inner_root(n), *second = linear_behind(n);
	Node *from = root->in[0]->def;
	const Type *x = &root->in[0]->type;
	int64_t rows = 1, least, most, between;

	if (!second || attr_int(second, Attr_feeds) || (from && asks(inner_root(from))))
		return false;
	between = known_bytes(&second->in[0]->type, second->in[0]->type.rank - 1);
	if (between < LeastOfRow || between > MostOfRow || is_made_by_tiles(root, false, false) || is_made_by_tiles(second, false, false))
		return false;
	for (int d = 0; d < x->rank - attr_int(root, Attr_inner); d++) {
		dim_range(x->dims[d], &least, &most);
		rows *= most < LeastBlockRows ? most : LeastBlockRows;
		rows = rows < LeastBlockRows ? rows : LeastBlockRows;
	}
	return rows >= LeastBlockRows;
}

bool choose_feeds(Module *m)
{
	bool changed = false;

	FOR_ALL_NODES(n, m) {
		Node *root = inner_root(n);
		int64_t gain = (root->op == OpLinearPacked || root->op == OpGroupConv) && !group_of(n) && !asks(root) ? feed_gain(n) : 0;
		if (!gain || !is_larger(n, gain) || !allow("feed"))
			continue;
		set_attr(m, root, mk_int(Attr_feeds, 1));
		report_match("feed", root->loc);
		changed = true;
	}
	FOR_ALL_NODES(n, m) {
		Node *root = inner_root(n);
		if (root->op != OpLinearPacked || group_of(n) || asks(root) || !gains_by_blocks(n) || !allow("chain"))
			continue;
		set_attr(m, root, mk_int(Attr_feeds, 1));
		report_match("chain", root->loc);
		report_also(linear_behind(n)->loc);
		changed = true;
	}
	return changed;
}

/* ---- scratch -------------------------------------------------------------------------------------------------------------------- */

Scratch open_scratch(Kernel *k)
{
	LB *b = &k->b;
	return (Scratch){kscratch(k), llet(b, lmul(b, this_worker(k), kworker(k))), dim_const(k->l->m, 0)};
}

LExpr *take_scratch(Kernel *k, Scratch *s, const Dim *elements)
{
	Module *m = k->l->m;
	const Dim *line = dim_const(m, PackK);
	LExpr *at = llet(&k->b, ladd(&k->b, s->begin, kparam(k, s->used)));
	s->used = dim_add(m, s->used, dim_mul(m, dim_ceildiv(m, elements, line), line));
	return at;
}

void close_scratch(Kernel *k, const Scratch *s)
{
	need_scratch(k->l, s->used);
}
