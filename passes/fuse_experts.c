/* fuse_experts.c - products with matrices that an index takes out of a constant: mixtures of experts, as exporters spell them.
 *
 *   matmul(gather(w, idx), x) with x [.., k, 1],  matmul(x, gather(w, idx)) with x [.., m, k],  transposed, cast, or viewed in between
 *
 * become `experts`, which finds the matrices where they lie and copies none; a bias that the same index takes out of a constant joins.
 * So do products by constant matrices of which each batch has its own: they are numbered.
 */
#include "idioms.h"

typedef struct Chosen { /* an operand of a product: matrices of a constant */
	Node *gather; /* NULL: all of them, in order */
	Value *w; /* [matrices, k, n] or, `turned`, [matrices, n, k]; of the type that it is stored in */
	bool turned;
	View at; /* which of them each batch takes: a view of the gather's indices, or of their numbers */
} Chosen;

static Node *made_by(const Value *v, Op op)
{
	return v->def && v->def->op == op ? v->def : NULL;
}

/* Does a matrix axis of a view walk like that of `extent` elements that lie `stride` apart? */
static bool walks(Module *m, const View *v, int axis, const Dim *extent, const Dim *stride)
{
	Factor f[MaxFactors];
	if (dim_equals(extent, 1))
		return v->first[axis + 1] == v->first[axis];
	return merge_factors(m, v, axis, axis + 1, f) == 1 && f[0].extent == extent && f[0].stride == stride;
}

/* A view of what gather makes, whose two last axes are matrices (k: which of them is summed over), as one of the indices. */
static bool view_of_numbers(Module *m, const View *v, const Type *w, int k, Chosen *c)
{
	const int batch = v->rank - 2, n = 2 * v->rank - 3 - k;
	const Dim *one = dim_const(m, 1), *size = dim_mul(m, w->dims[1], w->dims[2]);

	c->turned = walks(m, v, k, w->dims[2], one) && walks(m, v, n, w->dims[1], w->dims[2]);
	if (!c->turned && !(walks(m, v, k, w->dims[1], w->dims[2]) && walks(m, v, n, w->dims[2], one)))
		return false;
	c->at = (View){.root = c->gather->in[1], .rank = batch};
	for (int d = 0; d <= batch; d++)
		c->at.first[d] = v->first[d];
	for (int i = 0; i < v->first[batch]; i++) {
		c->at.f[i].extent = v->f[i].extent;
		if (!dim_poly_div(m, v->f[i].stride, size, &c->at.f[i].stride))
			return false;
	}
	return dim_poly_div(m, v->base, size, &c->at.base);
}

/* Is the operand, of which axis k is summed over, made of matrices of a constant that indices choose? */
static bool is_chosen(Module *m, Value *operand, int k, Chosen *c)
{
	View v;
	view_of(m, operand, &v);
	Node *cast = made_by(v.root, OpCast);
	if (cast && v.root == operand) /* what is stored in a shorter type is widened behind the gather */
		view_of(m, cast->in[0], &v);
	c->gather = made_by(v.root, OpGather);
	if (!c->gather || attr_int(c->gather, Attr_axis) || !is_const(c->gather->in[0]) || c->gather->in[0]->type.rank != 3)
		return false;
	c->w = c->gather->in[0];
	const Type *w = &c->w->type;
	if (cast && !is_weight_type(w->dtype))
		return false;
	return const_numel(w) > 0 && view_of_numbers(m, &v, w, k, c);
}

/* Is all that becomes of v, moved and widened or not, operands of products? */
static bool meets_only_products(const Value *v)
{
	if (is_output(v))
		return false;
	for (int i = 0; i < v->nuse; i++) {
		const Node *n = v->uses[i].node;
		const bool moves = ops[n->op].cls == ClsMove || n->op == OpCast;
		if (moves ? !meets_only_products(n->out[0]) : n->op != OpMatMul)
			return false;
	}
	return true;
}

enum { FewBytes = 4 << 20, Widening = 4 };

/* Panels of few columns are filled up: is that little, or little more? */
static bool fits_panels(const Type *w, bool turned)
{
	int64_t matrices = 0, k = 0, n = 0;
	dim_is_const(w->dims[0], &matrices);
	dim_is_const(w->dims[turned ? 2 : 1], &k);
	dim_is_const(w->dims[turned ? 1 : 2], &n);
	return n * Widening >= PanelWidth || (double)matrices * (double)k * PanelWidth * dtypes[w->dtype].bytes <= FewBytes;
}

static Value *reshaped(Module *m, Node *at, Value *v, const Type *t)
{
	return build(m, at->block, at, OpReshape, at->loc, 1, &v, 0, NULL, t);
}

/* v with its last two axes swapped. */
static Value *turned(Module *m, Node *at, Value *v)
{
	int64_t perm[MaxRank];
	const int rank = v->type.rank;
	for (int d = 0; d < rank; d++)
		perm[d] = d < rank - 2 ? d : 2 * rank - 3 - d;
	const Attr attr = mk_ints(m, Attr_perm, rank, perm);
	return build(m, at->block, at, OpTranspose, at->loc, 1, &v, 1, &attr, NULL);
}

static Value *expanded(Module *m, Node *at, Value *v, const Type *t)
{
	return type_equal(&v->type, t) ? v : build(m, at->block, at, OpExpand, at->loc, 1, &v, 0, NULL, t);
}

/* All matrices as [matrices, k, n], in the type of the product. */
static Value *weights_of(Module *m, Node *at, const Chosen *c)
{
	Value *w = c->turned ? turned(m, at, c->w) : c->w;
	Type t = w->type;
	t.dtype = at->out[0]->type.dtype;
	return t.dtype == w->type.dtype ? w : build(m, at->block, at, OpCast, at->loc, 1, &w, 0, NULL, &t);
}

/* Does all that follows look at v with fewer axes? */
static bool is_squeezed(const Value *v)
{
	for (int i = 0; i < v->nuse; i++) {
		const Node *n = v->uses[i].node;
		if (!n || ops[n->op].cls != ClsMove || n->out[0]->type.rank >= v->type.rank)
			return false;
	}
	return true;
}

/* The product n of x and what c chooses; left: c stands on the left, and x is a column. */
static void multiply_chosen(Module *m, Node *n, const Chosen *c, bool left)
{
	const Type *out = &n->out[0]->type;
	const int batch = out->rank - 2;
	Value *x = n->in[left];
	bool shared = true; /* one matrix for all batches */
	for (int d = 0; d < c->at.rank; d++)
		shared &= dim_equals(n->in[!left]->type.dims[d], 1);
	if (attr_int(n, left ? Attr_trans_b : Attr_trans_a) != left)
		x = turned(m, n, x); /* rows are [.., k] */
	Type which = {.dtype = c->at.root->type.dtype, .rank = c->at.rank}, rows = *out;
	for (int d = 0; d < which.rank; d++)
		which.dims[d] = n->in[!left]->type.dims[d];
	Value *numbers = build_view(m, &c->at, &which, n, n->loc);
	if (!numbers)
		return;
	which.rank = shared ? 0 : batch;
	for (int d = 0; d < which.rank; d++)
		which.dims[d] = out->dims[d];
	numbers = shared ? reshaped(m, n, numbers, &which) : expanded(m, n, numbers, &which);
	rows.dims[batch] = out->dims[batch + left];
	rows.dims[batch + 1] = x->type.dims[x->type.rank - 1];
	x = expanded(m, n, x, &rows);
	if (dim_equals(rows.dims[batch], 1) && (left || is_squeezed(n->out[0]))) {
		rows.dims[batch] = rows.dims[batch + 1];
		rows.rank--;
		x = reshaped(m, n, x, &rows);
	}
	Value *in[] = {x, weights_of(m, n, c), NULL, numbers};
	Value *y = build(m, n->block, n, OpExperts, n->loc, 4, in, 0, NULL, NULL);
	report_match("experts", n->loc);
	if (c->gather)
		report_also(c->gather->loc);
	replace_uses(m, n->out[0], type_equal(&y->type, out) ? y : reshaped(m, n, y, out));
}

/* Is the axis before the last one summed over? */
static bool sums_rows(const Node *matmul, bool left)
{
	return attr_int(matmul, left ? Attr_trans_a : Attr_trans_b) == left;
}

static bool fuse_product(Module *m, Node *n)
{
	const Type *out = &n->out[0]->type;
	if (out->dtype != F32 || n->in[0]->type.rank < 2 || n->in[1]->type.rank < 2)
		return false;
	for (int left = 0; left < 2; left++) {
		Chosen c;
		Value *operand = n->in[!left];
		if (!is_chosen(m, operand, operand->type.rank - 1 - sums_rows(n, left), &c))
			continue;
		const char *why = NULL;
		if (!meets_only_products(c.gather->out[0]))
			why = "the matrices that the index takes are needed elsewhere too";
		else if (left && !dim_equals(out->dims[out->rank - 1], 1))
			why = "the matrices stand on the left, by more than one column";
		else if (!fits_panels(&c.w->type, c.turned))
			why = "the matrices have few columns";
		if (why)
			report_miss("experts", n->loc, why);
		if (why || !allow("experts"))
			return false;
		multiply_chosen(m, n, &c, left);
		return !n->out[0]->nuse;
	}
	return false;
}

/* Are v's elements all those of root, in its order? */
static bool lies_like(Module *m, Value *v, Value **root)
{
	View w;
	view_of(m, v, &w);
	*root = w.root;
	return view_is_dense(m, &w);
}

/* Does anybody but its user need v, or what lies between it and the node that it comes from? */
static bool is_needed_elsewhere(const Value *v, const Node *from)
{
	for (;; v = v->def->in[0]) {
		if (!v->def || is_output(v) || !only_user(v))
			return true;
		if (v->def == from)
			return false;
	}
}

/* add(experts(x, w, _, which), gather(b, which)) -> experts(x, w, b, which), for a row of x to each number. */
static bool fuse_bias(Module *m, Node *n)
{
	for (int i = 0; i < 2; i++) {
		Value *sums, *rows, *which, *idx;
		if (!type_equal(&n->in[0]->type, &n->in[1]->type) || !lies_like(m, n->in[i], &sums) || !lies_like(m, n->in[1 - i], &rows))
			continue;
		Node *experts = made_by(sums, OpExperts), *gather = made_by(rows, OpGather);
		if (!experts || experts->in[2] || !gather || attr_int(gather, Attr_axis) || !is_const(gather->in[0]) ||
		    gather->in[0]->type.rank != 2 || experts->in[3]->type.rank != experts->in[0]->type.rank - 1 || is_needed_elsewhere(n->in[i], experts))
			continue;
		const Type *b = &gather->in[0]->type, *w = &experts->in[1]->type;
		if (b->dtype != w->dtype || b->dims[0] != w->dims[0] || b->dims[1] != w->dims[2] || !lies_like(m, experts->in[3], &which) ||
		    !lies_like(m, gather->in[1], &idx) || which != idx || !allow("experts"))
			continue;
		Value *in[] = {experts->in[0], experts->in[1], gather->in[0], experts->in[3]};
		Value *y = build(m, n->block, n, OpExperts, experts->loc, 4, in, 0, NULL, NULL);
		report_match("experts", n->loc);
		report_also(gather->loc);
		replace_uses(m, n->out[0], type_equal(&y->type, &n->out[0]->type) ? y : reshaped(m, n, y, &n->out[0]->type));
		return true;
	}
	return false;
}

bool fuse_experts(Module *m, Node *n)
{
	return n->op == OpMatMul ? fuse_product(m, n) : n->op == OpAdd && fuse_bias(m, n);
}

/* All rows by the one constant matrix, which has axes of extent 1 in front. */
static void multiply_by_one(Module *m, Node *n)
{
	Value *x = attr_int(n, Attr_trans_a) ? turned(m, n, n->in[0]) : n->in[0], *w = attr_int(n, Attr_trans_b) ? turned(m, n, n->in[1]) : n->in[1];
	const Type matrix = {.dtype = F32, .rank = 2, .dims = {w->type.dims[w->type.rank - 2], w->type.dims[w->type.rank - 1]}};
	Value *in[] = {x, reshaped(m, n, w, &matrix), NULL}, *y = build(m, n->block, n, OpLinear, n->loc, 3, in, 0, NULL, NULL);
	report_match("linear", n->loc);
	replace_uses(m, n->out[0], type_equal(&y->type, &n->out[0]->type) ? y : reshaped(m, n, y, &n->out[0]->type));
}

bool fuse_matrices(Module *m, Node *n)
{
	const Type *out = &n->out[0]->type;
	if (n->op != OpMatMul || out->dtype != F32)
		return false;
	for (int left = 0; left < 2; left++) {
		Value *w = n->in[!left];
		const int batch = w->type.rank - 2;
		const Dim *count = batch > 0 ? dims_product(m, w->type.dims, batch) : NULL;
		const bool one = count && dim_equals(count, 1);
		if (!count || !is_const(w) || is_const(n->in[left]) || n->in[left]->type.rank < 2 || const_numel(&w->type) == 0 ||
		    (left && (one || !dim_equals(out->dims[out->rank - 1], 1))))
			continue;
		if (one) {
			if (!allow("linear"))
				return false;
			multiply_by_one(m, n);
			return true;
		}
		const Type matrices = {.dtype = F32, .rank = 3, .dims = {count, w->type.dims[batch], w->type.dims[batch + 1]}};
		Type numbers = {.dtype = I64, .rank = 1, .dims = {count}};
		Chosen c = {.turned = !sums_rows(n, left)};
		if (!fits_panels(&matrices, c.turned) || !allow("experts"))
			return false;
		c.w = reshaped(m, n, w, &matrices);
		Value *all = build(m, n->block, n, OpIota, n->loc, 0, NULL, 0, NULL, &numbers);
		numbers.rank = batch;
		for (int d = 0; d < batch; d++)
			numbers.dims[d] = w->type.dims[d];
		view_identity(m, reshaped(m, n, all, &numbers), &c.at);
		multiply_chosen(m, n, &c, left);
		return !n->out[0]->nuse;
	}
	return false;
}
