/* lower_sparse.c - what sparse weights (ir/sparse.h) add to a linear: kernels that meet only the entries of a group of columns.
 * Sums begin at 0 and k ascends as in tile.c, so finite numbers give what all the products give. */
#include "kernel.h"
#include "../ir/sparse.h"

enum { Ahead = 64 /* entries, a cache line each, between a load and its prefetch */ };

/* Made of weights with as many groups and rows, so there is nothing to look at. */
static bool is_made_here(const Node *sparse, int64_t groups, int64_t depth)
{
	const Node *index = sparse->in[3]->def;
	int64_t cols;

	if (!index || index->op != OpSparseIndex || attr_int(index, Attr_apart) != attr_int(sparse, Attr_apart) || !dim_equals(index->in[0]->type.dims[0], depth))
		return false;
	return dim_is_const(index->in[0]->type.dims[1], &cols) && sparse_groups(cols, (int)attr_int(index, Attr_parts)) == groups;
}

void need_index_holds(Module *m, const Node *sparse)
{
	const Type *x = &sparse->in[0]->type;
	const int inner = (int)attr_int(sparse, Attr_inner);
	const int64_t entries = const_numel(&sparse->in[1]->type) / SparseWidth, length = const_numel(&sparse->in[3]->type);
	const int64_t places = entries * sparse_places(attr_int(sparse, Attr_apart)), groups = length - places - 1;
	int64_t depth = 0, *index;
	Tensor t;

	if (!dim_is_const(dims_product(m, x->dims + x->rank - inner, inner), &depth))
		bug("sparse has a symbolic depth");
	if (is_made_here(sparse, groups, depth))
		return;
	const char *wrong = eval_const(m, sparse->in[3], &t);
	if (wrong)
		fatal_at(sparse->loc, "%s", wrong);
	index = arena_alloc(m->arena, (size_t)length * sizeof *index);
	for (int64_t i = 0; i < length; i++)
		index[i] = tensor_int(&t, i);
	free_tensor(&t);
	if (!sparse_index_holds(index, groups, entries, places, depth))
		fatal_at(sparse->loc, "sparse: the index leads to rows or entries that are not there");
}

/* acc[rows][SparseWidth of 32] = the sum over entries from .. to - 1 of a[row][k of the entry] * w[entry].
 * Parameters: a (packed), w, ks, acc, from, to. */
static LFunc *sparse_kernel(Lower *l, int rows)
{
	if (l->sparse[rows])
		return l->sparse[rows];
	LB kb = new_kernel(l->lm, arena_printf(l->m->arena, "sparse%d", rows), l->t->name), *b = &kb;
	const LType vec = {F32, Lanes};
	LBuf *a = lparam_buf(b, "a", F32, false), *w = lparam_buf(b, "w", F32, false), *ks = lparam_buf(b, "ks", I32, false);
	LBuf *acc = lparam_buf(b, "acc", F32, true);
	LExpr *from = lparam(b, "from"), *to = lparam(b, "to"), *zero = li(b, 0);
	LTile *t = lnew_tile(b, "t", vec, rows, 1);

	_Static_assert((int)SparseWidth == (int)Lanes, "an entry is a vector");
	for (int i = 0; i < rows; i++)
		lset_tile(b, t, li(b, i), zero, lconst(b, vec, 0));
	LExpr *entry = lfor(b, ForSerial, from, to, NULL), *w_at = llet(b, lmul(b, entry, li(b, Lanes)));
	LExpr *k = llet(b, lcast(b, LConvert, IndexType, lload(b, ks, 1, entry, NULL, NULL)));
	LExpr *in_block = llet(b, lop(b, LAnd, k, li(b, PackK - 1), NULL));
	LExpr *at = llet(b, ladd(b, lmul(b, lsub(b, k, in_block), li(b, rows)), in_block));
	LExpr *wv = llet(b, lload(b, w, Lanes, w_at, NULL, NULL));
	lprefetch(b, w, ladd(b, w_at, li(b, Ahead * Lanes)));
	for (int i = 0; i < rows; i++) {
		LExpr *x = lcast(b, LSplat, vec, lload(b, a, 1, ladd(b, at, li(b, i * PackK)), NULL, NULL));
		lset_tile(b, t, li(b, i), zero, lfma(b, x, wv, lelem(b, t, li(b, i), zero)));
	}
	lend(b);
	for (int i = 0; i < rows; i++)
		lstore(b, acc, li(b, i * PanelWidth), NULL, NULL, lelem(b, t, li(b, i), zero));
	kb.fn->leaf_noinline = true;
	return l->sparse[rows] = finish_kernel(b);
}

/* The same of one row and columns with entries of their own: acc[i] = the sum of a[ks[entry][i]] * w[entry][i].  Scalars, which are as fast as
 * gathers; half of the columns at a time, for AVX2 has 16 registers. */
static LFunc *apart_kernel(Lower *l)
{
	if (l->sparse[0])
		return l->sparse[0];
	LB kb = new_kernel(l->lm, "sparse_apart", l->t->name), *b = &kb;
	enum { Half = SparseWidth / 2 };
	const LType one = {F32, 1};
	LBuf *a = lparam_buf(b, "a", F32, false), *w = lparam_buf(b, "w", F32, false), *ks = lparam_buf(b, "ks", I32, false);
	LBuf *acc = lparam_buf(b, "acc", F32, true);
	LExpr *from = lparam(b, "from"), *to = lparam(b, "to"), *zero = li(b, 0);
	LTile *t = lnew_tile(b, "t", one, Half, 1);

	for (int half = 0; half < SparseWidth; half += Half) {
		for (int i = 0; i < Half; i++)
			lset_tile(b, t, li(b, i), zero, lconst(b, one, 0));
		LExpr *entry = lfor(b, ForSerial, from, to, NULL), *at = llet(b, ladd(b, lmul(b, entry, li(b, SparseWidth)), li(b, half)));
		if (half == 0) {
			lprefetch(b, w, ladd(b, at, li(b, Ahead * SparseWidth)));
			lprefetch(b, ks, ladd(b, at, li(b, Ahead * SparseWidth)));
		}
		for (int i = 0; i < Half; i++) {
			LExpr *place = ladd(b, at, li(b, i)), *k = llet(b, lcast(b, LConvert, IndexType, lload(b, ks, 1, place, NULL, NULL)));
			LExpr *x = lload(b, a, 1, k, NULL, NULL), *wv = lload(b, w, 1, place, NULL, NULL);
			lset_tile(b, t, li(b, i), zero, lfma(b, x, wv, lelem(b, t, li(b, i), zero)));
		}
		lend(b);
		for (int i = 0; i < Half; i++)
			lstore(b, acc, li(b, half + i), NULL, NULL, lelem(b, t, li(b, i), zero));
	}
	kb.fn->leaf_noinline = true;
	return l->sparse[0] = finish_kernel(b);
}

LExpr *sparse_begin(LB *b, const Sparse *s, LExpr *group)
{
	return llet(b, lcast(b, LConvert, IndexType, lload(b, s->index, 1, group, NULL, NULL)));
}

void call_sparse(Kernel *k, LExpr *rows, LBuf *a, LExpr *a_at, LExpr *depth, const Sparse *s, LExpr *from, LExpr *to, LBuf *acc, LExpr *acc_at)
{
	LB *b = &k->b;

	for (int r = 1; r <= (s->apart ? 1 : k->l->t->mr); r++) {
		lif(b, lop(b, LEq, rows, li(b, r), NULL));
		LExpr *length = r > 1 ? lmul(b, packed_length(b, depth), li(b, r)) : depth; /* one row may lie in place */
		lcall(b, s->apart ? apart_kernel(k->l) : sparse_kernel(k->l, r), 6,
		      (LArg[]){arg_buf(a, F32, a_at, length), arg_buf(s->w, F32, li(b, 0), lmul(b, s->entries, li(b, SparseWidth))),
		               arg_buf(s->index, I32, s->ks, lmul(b, s->entries, li(b, sparse_places(s->apart)))),
		               arg_buf(acc, F32, acc_at, li(b, r * PanelWidth - PanelWidth + SparseWidth)), arg_e(from), arg_e(to)});
		lend(b);
	}
}
