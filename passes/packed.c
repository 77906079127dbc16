/* packed.c - results that only linears read are written as those read them: in tiles of packed rows.
 *
 * A block of a panel's results has the shape of a block of packed rows, [rows of the tile][32 columns], so the kernel that computes
 * them may as well store them there: nobody need read and write them once more.
 */
#include "feed.h"

static bool is_panel_linear(const Node *n)
{
	return n->op == OpLinearPacked || n->op == OpLinearScaled || n->op == OpSparse;
}

static const Dim *rows_of(Module *m, const Type *t)
{
	return dims_product(m, t->dims, t->rank - 1);
}

/* Does the kernel of that root go through rows that are those of its result, so that it can find their tiles? */
static bool can_store_packed(Lower *l, Node *root, const Value *v)
{
	if (root->op == OpNorm || root->op == OpRmsNorm)
		return attr_int(root, Attr_axis) == v->type.rank - 1;
	return is_panel_linear(root) && is_made_by_panels(l, root) &&
	       dims_product(l->m, root->in[0]->type.dims, root->in[0]->type.rank - (int)attr_int(root, Attr_inner)) == rows_of(l->m, &v->type);
}

/* Do all who read v read its rows as p has them? */
static bool all_read_packed(const Value *v, const Packed *p)
{
	if (is_output(v) || v->nuse != p->users)
		return false;
	for (int i = 0; i < v->nuse; i++) {
		const Node *n = v->uses[i].node;
		if (!is_panel_linear(n) || n->in[0] != v || attr_int(n, Attr_inner) != 1 || lie_packed(n, p) || is_made_by_tiles(n, p->users > 1, false))
			return false;
	}
	return true;
}

static bool choose_packed(Lower *l, const Node *n, Node *root)
{
	Value *v = n->out[0];
	Home *h = home_of(v);
	Packed *p = h ? h->packed : NULL;

	if (n->nout != 1 || v->type.dtype != F32 || !p || p->next || p->form != PackedRows || p->block != n->block || h->buf)
		return false;
	h->stored_packed = all_read_packed(v, p) && can_store_packed(l, root, v);
	return h->stored_packed;
}

void place_results(Lower *l, Node *n)
{
	if (!choose_packed(l, n, inner_root(n)))
		for (int i = 0; i < n->nout; i++)
			place_result(l, n->out[i]);
}

LBuf *packed_result(Kernel *k, Value *home)
{
	Lower *l = k->l;
	const Type *t = &home->type;
	const Home *h = home_of(home);

	if (!h->stored_packed)
		return NULL;
	return kslot(k, packed_slot(l, h->packed, dim_mul(l->m, rows_of(l->m, t), packed_depth(l->m, t->dims[t->rank - 1]))), true);
}

PackedTile packed_tile(LB *b, LExpr *from, LExpr *to, LExpr *columns)
{
	return (PackedTile){from, llet(b, lmul(b, from, packed_length(b, columns))), llet(b, lmul(b, lsub(b, to, from), li(b, PackK)))};
}

PackedTile tile_of_row(Kernel *k, LExpr *row, const Dim *rows, const Dim *columns)
{
	LB *b = &k->b;
	LExpr *nr = kdim(k, rows), *nt = kdim(k, tiles_of(k->l, rows)), *one = li(b, 1);
	/* the last tile that does not begin behind the row */
	LExpr *t = llet(b, lop(b, LFloorDiv, lsub(b, lmul(b, ladd(b, row, one), nt), one), nr, NULL));
	return packed_tile(b, llet(b, tile_begin(b, t, nr, nt)), llet(b, tile_begin(b, ladd(b, t, one), nr, nt)), kdim(k, columns));
}

LExpr *packed_place(LB *b, const PackedTile *t, LExpr *row, LExpr *col)
{
	LExpr *width = li(b, PackK), *block = lmul(b, lop(b, LFloorDiv, col, width, NULL), t->block);
	return ladd(b, ladd(b, ladd(b, t->at, block), lmul(b, lsub(b, row, t->from), width)), lop(b, LMod, col, width, NULL));
}
