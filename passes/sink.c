/* sink.c - moves transposes behind elementwise operators, glu, pad and concat, so that these are computed where the product is:
 *
 *   add(transpose(linear(x)), c)  ->  transpose(add(linear(x), transpose'(c)))
 *
 * Applied where a transposed operand is a linear's result, or was computed from one elementwise, since those end up in the epilogue;
 * all operands that are not constant must be transposed alike.  A view of such a result, as a pool takes windows and an upsampling
 * repeats, is transposed if it lies side by side along another axis than the last; not in front of an output, which would be a copy
 * more, as it is behind a concat.  A pad of what is computed from an input is no epilogue, and may as well be in the order of who reads it.
 * A reshape that is a copy anyway, also in front of an output, is made in an order in which it copies runs.
 * Every step moves a transpose towards the outputs, or makes a copy of runs of one of elements, so it ends.
 */
#include "pass.h"
#include "view.h"

/* v is transpose(root, perm): axis d of v is axis perm[d] of root, which has the same rank. */
static bool is_transposed(Module *m, Value *v, Value **root, int64_t *perm)
{
	View w;
	const Dim *stride[MaxRank], *s = dim_const(m, 1);
	unsigned taken = 0;

	view_of(m, v, &w);
	const Type *t = &w.root->type;
	if (w.root == v || t->rank != v->type.rank || !view_is_permutation(m, &w))
		return false;
	for (int d = t->rank - 1; d >= 0; d--) {
		stride[d] = s;
		s = dim_mul(m, s, t->dims[d]);
	}
	for (int d = 0; d < t->rank; d++) {
		Factor f[MaxFactors];
		int n = merge_factors(m, &w, d, d + 1, f), axis = 0;
		if (n > 1)
			return false;
		while (axis < t->rank && (taken >> axis & 1 || t->dims[axis] != v->type.dims[d] || (n && stride[axis] != f[0].stride)))
			axis++;
		if (axis == t->rank)
			return false;
		perm[d] = axis;
		taken |= 1u << axis;
	}
	*root = w.root;
	return true;
}

static Value *transpose(Module *m, Node *at, Value *x, int rank, const int64_t *perm)
{
	Attr a = mk_ints(m, Attr_perm, rank, perm);
	return build(m, at->block, at, OpTranspose, at->loc, 1, &x, 1, &a, NULL);
}

/* Of v, as is_transposed() says, the value whose axes lie as `perm` says. */
static Value *transpose_back(Module *m, Node *at, Value *v, const int64_t *perm)
{
	int64_t back[MaxRank];
	for (int d = 0; d < v->type.rank; d++)
		back[perm[d]] = d;
	return transpose(m, at, v, v->type.rank, back);
}

/* A view of root that lies side by side along an axis before its last one: as if that one had been the last. */
static bool is_turned(Module *m, Value *v, Value **root, int64_t *perm)
{
	View w;
	int rank = v->type.rank, side = -1;

	view_of(m, v, &w);
	if (w.root == v)
		return false;
	for (int d = 0; d < rank; d++) {
		Factor f[MaxFactors];
		int n = merge_factors(m, &w, d, d + 1, f);
		if (n == 1 && dim_equals(f[0].stride, 1) && !dim_equals(v->type.dims[d], 1))
			side = d;
	}
	if (side < 0 || side == rank - 1)
		return false;
	for (int d = 0; d < rank; d++)
		perm[d] = d == side ? rank - 1 : d - (d > side);
	*root = w.root;
	return true;
}

static bool is_identity(const int64_t *perm, int rank)
{
	for (int d = 0; d < rank; d++)
		if (perm[d] != d)
			return false;
	return true;
}

/* Does memory in the order of perm differ: are axes exchanged that have more than one element? */
static bool moves_elements(const Type *t, const int64_t *perm)
{
	int64_t last = -1;
	for (int d = 0; d < t->rank; d++) {
		if (dim_equals(t->dims[d], 1))
			continue;
		if (perm[d] < last)
			return true;
		last = perm[d];
	}
	return false;
}

/* A reshape that is the root of a view is a copy. */
static bool computes_rows(const Value *v)
{
	const Node *n = v->def && v->def->op == OpPad ? v->def->in[0]->def : v->def;
	return n && !is_output(v) && (n->op == OpLinear || n->op == OpGroupConv || n->op == OpWinograd || n->op == OpWinConv || n->op == OpGlu || n->op == OpConcat || n->op == OpReshape || (ops[n->op].cls == ClsEwise && !is_const(v)));
}

/* Is v an input, or computed from it alone by a few elementwise operators, as it is where a model begins by quantising it? */
static bool comes_from_input(const Value *v)
{
	enum { Few = 16 };

	for (int i = 0; i < Few && v->def; i++) {
		const Value *next = NULL;
		for (int k = 0; k < v->def->nin; k++) {
			if (v->def->in[k] && next && !is_const(v->def->in[k]))
				return false;
			next = v->def->in[k] && !is_const(v->def->in[k]) ? v->def->in[k] : next;
		}
		if (!next || ops[v->def->op].cls != ClsEwise)
			return false;
		v = next;
	}
	return !v->def;
}

/* A constant operand of lower or equal rank, laid out like the roots. */
static Value *constant_operand(Module *m, Node *n, Value *v, int rank, const int64_t *perm)
{
	Type t = {.dtype = v->type.dtype, .rank = rank};
	int lead = rank - v->type.rank;

	if (v->type.rank == 0)
		return v;
	for (int d = 0; d < rank; d++)
		t.dims[d] = d < lead ? dim_const(m, 1) : v->type.dims[d - lead];
	if (lead)
		v = build(m, n->block, n, OpReshape, n->loc, 1, &v, 0, NULL, &t);
	return transpose_back(m, n, v, perm);
}

/* An attribute that goes by axes. */
static void permute_axes(Module *m, Node *made, const Node *n, int rank, const int64_t *perm)
{
	const Dim *const *pads, *moved[2 * MaxRank];
	if (n->op == OpGlu || n->op == OpConcat)
		set_attr(m, made, mk_int(Attr_axis, perm[attr_int(n, Attr_axis)]));
	if (n->op != OpPad || !attr_dims(n, Attr_pads_dim, &pads))
		return;
	for (int d = 0; d < rank; d++) {
		moved[perm[d]] = pads[d];
		moved[rank + perm[d]] = pads[rank + d];
	}
	set_attr(m, made, mk_dims(m, Attr_pads_dim, 2 * rank, moved));
}

static bool can_sink(const Node *n)
{
	if (n->op == OpIdentity || is_const(n->out[0]))
		return false;
	if (n->op == OpConcat)
		return !is_output(n->out[0]) && !attr_int(n, Attr_state);
	return ops[n->op].cls == ClsEwise || n->op == OpGlu || n->op == OpPad;
}

static bool sink_node(Module *m, Node *n)
{
	const Type *t = &n->out[0]->type;
	int64_t perm[MaxRank], other[MaxRank];
	bool worth = false, some = false;

	if (!can_sink(n))
		return false;
	Value **in = arena_alloc(m->arena, (size_t)n->nin * sizeof *in), *root;
	for (int i = 0; i < n->nin; i++) {
		Value *v = n->in[i];
		if (is_const(v))
			continue;
		if (v->type.rank != t->rank)
			return false;
		if (is_transposed(m, v, &root, some ? other : perm))
			in[i] = root;
		else if (is_output(n->out[0]) || !is_turned(m, v, &root, some ? other : perm))
			return false;
		for (int d = 0; some && d < t->rank; d++)
			if (other[d] != perm[d])
				return false;
		some = true;
		/* what is only broadcast along another axis is no reason to compute the result in an order that nobody wants */
		worth |= computes_rows(root) && !(n->op == OpPad && comes_from_input(root)) && (moves_elements(&v->type, perm) || !moves_elements(t, perm));
	}
	if (!some || !worth || is_identity(perm, t->rank))
		return false;
	for (int i = 0; i < n->nin; i++)
		if (is_const(n->in[i]))
			in[i] = constant_operand(m, n, n->in[i], t->rank, perm);
		else if (!in[i])
			in[i] = transpose_back(m, n, n->in[i], perm);
	Type given = {.dtype = t->dtype, .rank = t->rank};
	for (int d = 0; d < t->rank; d++)
		given.dims[perm[d]] = t->dims[d];
	Node *made = new_node(m, n->block, n, n->op, n->loc, n->nin, in);
	for (int i = 0; i < n->nattr; i++)
		set_attr(m, made, n->attrs[i]);
	permute_axes(m, made, n, t->rank, perm);
	const char *wrong = set_type(m, made, ops[n->op].given ? &given : NULL);
	if (wrong || !types_agree(n->block, &made->out[0]->type, &given))
		bug("sink: %s", wrong ? wrong : type_text(m, &made->out[0]->type));
	made->out[0]->type = given; /* as the text stated it: by dims that a check makes equal */
	replace_uses(m, n->out[0], transpose(m, n, made->out[0], t->rank, perm));
	return true;
}

/* transpose_back() by strides, which do not compose with the movement that v is. */
static Value *view_back(Module *m, Node *at, Value *v, const int64_t *perm)
{
	const Dim *strides[MaxRank], *stride = dim_const(m, 1);
	Type t = v->type;

	for (int d = t.rank - 1; d >= 0; d--) {
		t.dims[perm[d]] = v->type.dims[d];
		strides[perm[d]] = stride;
		stride = dim_mul(m, stride, v->type.dims[d]);
	}
	Attr attrs[2] = {mk_dim(Attr_base, dim_const(m, 0)), mk_dims(m, Attr_strides_dim, t.rank, strides)};
	return build(m, at->block, at, OpView, at->loc, 1, &v, 2, attrs, &t);
}

typedef struct AxesPart {
	int in, out; /* the first axis of the next part, in a reshape's operand and in its result */
} AxesPart;

/* Axes of the operand that become axes of the result, in parts as small as can be; 0: dims that do not compare. */
static int split_reshape(Module *m, const Type *from, const Type *to, AxesPart *part)
{
	int n = 0, i = 0, o = 0;

	while (i < from->rank || o < to->rank) {
		const Dim *in = i < from->rank ? from->dims[i++] : dim_const(m, 1), *out = o < to->rank ? to->dims[o++] : dim_const(m, 1), *times;
		while (in != out) {
			if (i < from->rank && dim_poly_div(m, out, in, &times))
				in = dim_mul(m, in, from->dims[i++]);
			else if (o < to->rank && dim_poly_div(m, in, out, &times))
				out = dim_mul(m, out, to->dims[o++]);
			else
				return 0;
		}
		part[n++] = (AxesPart){i, o};
	}
	return n;
}

/* perm: the axes from..to - 1 of `rank` last, the others before them as they were. */
static void axes_last(int64_t *perm, int rank, int from, int to)
{
	int n = 0;
	for (int d = 0; d < rank; d++)
		if (d < from || d >= to)
			perm[n++] = d;
	for (int d = from; d < to; d++)
		perm[n++] = d;
}

/* A reshape that is a copy, as that of a transposed convolution's phases, copies runs of what lies side by side. */
static bool sink_copied_reshape(Module *m, Node *n)
{
	enum { LeastRun = 16 };
	Value *x = n->in[0];
	const Type *t = &n->out[0]->type;
	AxesPart part[2 * MaxRank];
	int64_t perm[MaxRank], run;
	int side = -1, p = 0, sides = 0, behind = -1;
	View w;

	plain_view(m, n->out[0], &w);
	if (w.root != n->out[0] || is_const(n->out[0]))
		return false;
	view_of(m, x, &w);
	for (int d = 0; d < x->type.rank; d++) {
		Factor f[MaxFactors];
		if (merge_factors(m, &w, d, d + 1, f) != 1 || dim_equals(f[0].stride, 0))
			continue;
		behind = d;
		if (!dim_equals(f[0].stride, 1))
			continue;
		side = d;
		sides++;
	}
	if (sides != 1 || !computes_rows(w.root) || (dim_is_const(x->type.dims[side], &run) && run < LeastRun))
		return false;
	const int parts = split_reshape(m, &x->type, t, part);
	while (p < parts && part[p].in <= side)
		p++;
	if (p >= parts - 1 || part[p].in != side + 1)
		return false;
	if (behind <= side) /* what is behind has one element, or the same again and again */
		return false;
	const AxesPart first = p ? part[p - 1] : (AxesPart){0, 0};
	axes_last(perm, x->type.rank, first.in, part[p].in);
	x = transpose(m, n, x, x->type.rank, perm);
	axes_last(perm, t->rank, first.out, part[p].out);
	Type turned = *t;
	for (int d = 0; d < t->rank; d++)
		turned.dims[d] = t->dims[perm[d]];
	Value *v = build(m, n->block, n, OpReshape, n->loc, 1, &x, 0, NULL, &turned);
	plain_view(m, v, &w);
	if (w.root != v) { /* no copy: canon would put it back */
		erase_node(v->def);
		erase_node(x->def);
		return false;
	}
	replace_uses(m, n->out[0], view_back(m, n, v, perm));
	return true;
}

bool sink_transposes(Module *m)
{
	bool changed = false;

	FOR_ALL_NODES(n, m)
		if (n->nout == 1 && n->out[0]->nuse && !n->out[0]->known)
			changed |= n->op == OpReshape ? sink_copied_reshape(m, n) : sink_node(m, n);
	return changed;
}
