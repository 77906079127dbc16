/* expand.c - the pass expand: the last rewrites before grouping, so that every node that is left has a schedule.
 *
 *   groups that no schedule takes                    -> their nodes
 *   glu that no linear can take into its epilogue   -> value * act(gate) on two views
 *   experts of matrices that are no constant, or of other types -> gather and matmul
 *   group_conv of dequantised bytes                 -> of the bytes, their scale a factor of the weights
 *   a movement of more factors than a view can have axes -> that of a copy
 *   a product with a constant matrix that the rules left (--no-fuse=linear)  stays matmul
 *   a reduction along no axes                        -> its operand
 *   panels of a matrix that is no constant           -> pad, reshape and transpose
 *   attention of other types than f32               -> products and a softmax (ir/open_attention.c)
 *   a dft without its waves                          -> one with them: constants where its length is one
 *   a conv's padding, or an x whose last axis is not side by side -> a pad or a copy in front
 *   operands of custom that are strided views        -> copies; so are panels that are views
 *   outputs                                          -> results of nodes of their own, one each
 *   their dims that the data decides                 -> symbols where bounds of symbols in them give no bound: 9 - n
 * and the list of everything that has no schedule: all of it in one go.
 */
#include "lower.h"

#include <math.h>
#include <string.h>

/* The nodes of the group stand for themselves. */
static void dissolve(Module *m, Node *group)
{
	while (group->body->first)
		move_before(group->body->first, group->block, group);
	for (int i = 0; i < group->nout; i++)
		replace_uses(m, group->out[i], group->body->yields[i]);
	erase_node(group);
}

bool dissolve_groups(Module *m, bool (*stays)(Module *, const Node *group))
{
	bool changed = false;

	for (Node *n = first_node(m), *next; n; n = next) {
		bool whole = n->op != OpGroup || stays(m, n);
		next = !whole && n->body->first ? n->body->first : next_node(n); /* which may be a group too */
		if (!whole)
			dissolve(m, n);
		changed |= !whole;
	}
	return changed;
}

static Value *half(Module *m, Node *glu, int which)
{
	Value *x = glu->in[0];
	Type t = glu->out[0]->type;
	int axis = attr_int(glu, Attr_axis);
	const Dim *starts[MaxRank];

	for (int d = 0; d < t.rank; d++)
		starts[d] = d == axis && which ? t.dims[d] : dim_const(m, 0);
	Attr attr = mk_dims(m, Attr_starts, t.rank, starts);
	return build(m, glu->block, glu, OpSlice, glu->loc, 1, &x, 1, &attr, &t);
}

static bool joins_linear(const Node *glu)
{
	const Node *n = glu->in[0]->def;
	int64_t width;
	const Type *t = &glu->in[0]->type;

	return n && n->block == glu->block && (n->op == OpLinear || n->op == OpExperts) && only_user(glu->in[0]) == glu &&
	       attr_int(glu, Attr_axis) == t->rank - 1 && dim_is_const(t->dims[t->rank - 1], &width) && allow("epilogue");
}

static void expand_glu(Module *m, Node *n)
{
	int gate_first = attr_int(n, Attr_gate);
	Value *value = half(m, n, gate_first), *gate = half(m, n, !gate_first);
	gate = build(m, n->block, n, attr_int(n, Attr_act), n->loc, 1, &gate, 0, NULL, NULL);
	Value *in[] = {value, gate};
	replace_uses(m, n->out[0], build(m, n->block, n, OpMul, n->loc, 2, in, 0, NULL, NULL));
}

/* all: those that pass group would join with their linear, too. */
static bool expand_glus(Module *m, bool all)
{
	bool changed = false;
	FOR_ALL_NODES(n, m)
		if (n->op == OpGlu && n->out[0]->nuse && (all || !joins_linear(n))) {
			expand_glu(m, n);
			changed = true;
		}
	return changed;
}

static bool is_byte(const Value *v)
{
	return v->type.dtype == U8;
}

static bool is_byte_weight(const Value *v)
{
	return is_const(v) && v->type.dtype == I8;
}

/* A linear in i32 of what was u8 and i8: its four multiplications are one. */
static bool expand_byte_linear(Module *m, Node *n)
{
	if (n->op != OpLinear || n->out[0]->type.dtype != I32)
		return false;
	Value *x = before_cast(m, n, n->in[0], is_byte), *w = before_cast(m, n, n->in[1], is_byte_weight);
	if (!x || !w || !allow("bytes"))
		return false;
	int inner;
	x = unmerged(m, x, &inner);
	w = build(m, n->block, n, OpPackBytes, n->loc, 1, &w, 0, NULL, NULL);
	Attr attr = mk_int(Attr_inner, inner);
	Value *in[] = {x, w}, *y = build(m, n->block, n, OpLinearBytes, n->loc, 2, in, 1, &attr, &n->out[0]->type);
	if (n->in[2])
		y = build(m, n->block, n, OpAdd, n->loc, 2, (Value *[]){y, n->in[2]}, 0, NULL, NULL);
	report_match("bytes", n->loc);
	replace_uses(m, n->out[0], y);
	return true;
}

static Value *operand_of(const Value *v, Op op, int i)
{
	return v->def && v->def->op == op ? v->def->in[i] : NULL;
}

/* A group_conv of bytes that were dequantised, (x - offset) * scale, for it alone: it reads the bytes, and the scale is a factor of the weights. */
static bool expand_byte_conv(Module *m, Node *n)
{
	double scale, offset = 0;
	if (n->op != OpGroupConv || n->out[0]->type.dtype != F32 || !is_const(n->in[1]) || only_user(n->in[0]) != n || is_output(n->in[0]))
		return false;
	const Node *times = n->in[0]->def;
	const int at = times && times->op == OpMul && uniform_value(times->in[0], &scale);
	Value *v = operand_of(n->in[0], OpMul, at);
	if (!v || !uniform_value(times->in[!at], &scale) || !isfinite(scale) || !equal_dims(&v->type, &n->in[0]->type))
		return false;
	Value *centred = operand_of(v, OpSub, 0), *zero = centred ? v->def->in[1] : NULL;
	if (centred && (!uniform_value(zero, &offset) || offset != floor(offset) || !equal_dims(&centred->type, &v->type)))
		return false;
	Value *x = operand_of(centred ? centred : v, OpCast, 0);
	if (!x || (x->type.dtype != U8 && x->type.dtype != I8) || offset < (double)lowest_scalar(x->type.dtype).i ||
	    offset > (double)highest_scalar(x->type.dtype).i || !allow("bytes"))
		return false;
	Value *factors[] = {n->in[1], const_scalar(m, scalar_of_real(F32, scale))->value};
	set_in(m, n, 1, build(m, n->block, n, OpMul, n->loc, 2, factors, 0, NULL, NULL));
	set_in(m, n, 0, x);
	if (offset)
		set_attr(m, n, mk_int(Attr_offset, (int64_t)offset));
	report_match("bytes", n->loc);
	return true;
}

/* May there be such a one in the module's code, or is there one for that target in its loops? */
static bool multiplies_bytes(Module *m, const Target *t)
{
	for (int i = 0; m->loops && i < m->loops->nprog; i++)
		if (!strcmp(m->loops->programs[i]->target, t->name))
			return true;
	for (Node *n = m->loops ? NULL : first_node(m); n; n = next_node(n))
		if (n->op == OpLinearBytes || ((n->op == OpLinear || n->op == OpMatMul) && n->out[0]->type.dtype == I32 && is_const(n->in[1])))
			return true;
	return false;
}

int useful_targets(Module *m, const Target **list, int n)
{
	int left = 0;
	for (int i = 0; i < n; i++) {
		const Target *t = list[i];
		if (t->for_bytes && !multiplies_bytes(m, t))
			t++;
		if (left == 0 || list[left - 1] != t)
			list[left++] = t;
	}
	return left;
}

/* linear without constant weights, or not of f32, cannot be packed ahead of time. */
static bool expand_linear(Module *m, Node *n)
{
	if (n->op != OpLinear || (is_const(n->in[1]) && n->out[0]->type.dtype == F32))
		return false;
	Value *y = build(m, n->block, n, OpMatMul, n->loc, 2, n->in, 0, NULL, NULL);
	if (n->in[2]) {
		Value *in[] = {y, n->in[2]};
		y = build(m, n->block, n, OpAdd, n->loc, 2, in, 0, NULL, NULL);
	}
	replace_uses(m, n->out[0], y);
	return true;
}

/* A reduction along no axes is its operand. */
static bool expand_reduction(Module *m, Node *n)
{
	const int64_t *axes;
	if (!(ops[n->op].attrs >> Attr_axes & 1) || attr_ints(n, Attr_axes, &axes))
		return false;
	replace_uses(m, n->out[0], n->in[0]);
	return true;
}

static Value *reshape_before(Module *m, Node *at, Value *v, int rank, const Dim *const *dims)
{
	Type t = {.dtype = v->type.dtype, .rank = rank};
	for (int d = 0; d < rank; d++)
		t.dims[d] = dims[d];
	return build(m, at->block, at, OpReshape, at->loc, 1, &v, 0, NULL, &t);
}

/* What the numbers of experts take of operand i, as [numbers.., rows, columns]. */
static Value *take_chosen(Module *m, Node *n, int i, const Dim *rows)
{
	const Attr axis = mk_int(Attr_axis, 0);
	Value *in[] = {n->in[i], n->in[3]}, *v = build(m, n->block, n, OpGather, n->loc, 2, in, 1, &axis, NULL);
	const Type *t = &v->type;
	const Dim *dims[MaxRank];
	const int batch = n->in[3]->type.rank;
	if (t->rank == batch + 2)
		return v;
	for (int d = 0; d < batch; d++)
		dims[d] = t->dims[d];
	dims[batch] = rows;
	dims[batch + 1] = t->dims[batch];
	return reshape_before(m, n, v, batch + 2, dims);
}

static bool expand_experts(Module *m, Node *n)
{
	if (n->op != OpExperts || (is_const(n->in[1]) && n->out[0]->type.dtype == F32))
		return false;
	const Type *x = &n->in[0]->type, *y = &n->out[0]->type;
	const int batch = n->in[3]->type.rank;
	const Dim *dims[MaxRank];
	if (batch + 2 > MaxRank)
		refuse_at(n->loc, "not supported: experts by %d axes of numbers, at most %d", batch, MaxRank - 2);
	for (int d = 0; d < batch; d++)
		dims[d] = x->dims[d];
	dims[batch] = dims_product(m, x->dims + batch, x->rank - 1 - batch);
	dims[batch + 1] = x->dims[x->rank - 1];
	Value *in[] = {reshape_before(m, n, n->in[0], batch + 2, dims), take_chosen(m, n, 1, NULL)};
	Value *v = build(m, n->block, n, OpMatMul, n->loc, 2, in, 0, NULL, NULL);
	if (n->in[2]) {
		Value *sum[] = {v, take_chosen(m, n, 2, dim_const(m, 1))};
		v = build(m, n->block, n, OpAdd, n->loc, 2, sum, 0, NULL, NULL);
	}
	replace_uses(m, n->out[0], reshape_before(m, n, v, y->rank, y->dims));
	return true;
}

/* [k, n] is [k, parts, n / parts]; padded to whole panels that is [k, parts, units, width], and with the parts that share a panel
 * apart [k, panels, shared, units, width]; in panels [units, panels, k, shared, width].  Several matrices: the same behind their axis. */
static bool expand_pack(Module *m, Node *n)
{
	if (n->op != OpPack || is_const(n->out[0]) || n->out[0]->type.dtype != n->in[0]->type.dtype)
		return false;
	const int parts = (int)attr_int(n, Attr_parts), panels = unit_panels(parts);
	const Type *from = &n->in[0]->type, *to = &n->out[0]->type;
	const int several = from->rank - 2;
	const Dim *zero = dim_const(m, 0), *split = dim_const(m, parts), *width = dim_const(m, part_width(parts)), *unit = dim_const(m, panels);
	const Dim *rows = from->dims[several], *cols = dim_floordiv(m, from->dims[several + 1], split);
	const Dim *units = dim_floordiv(m, to->dims[several], unit);
	const Dim *excess = dim_sub(m, dim_mul(m, units, width), cols), *first = from->dims[0], *pad[8];
	Value *v = reshape_before(m, n, n->in[0], 3 + several, (const Dim *[]){first, rows, split, cols} + 1 - several);
	for (int i = 0; i < 2 * (3 + several); i++)
		pad[i] = i == 2 * (3 + several) - 1 ? excess : zero;
	Attr pads = mk_dims(m, Attr_pads_dim, 2 * (3 + several), pad);
	const int64_t perm[2][6] = {{3, 1, 0, 2, 4}, {0, 4, 2, 1, 3, 5}};
	Attr order = mk_ints(m, Attr_perm, 5 + several, perm[several]);
	v = build(m, n->block, n, OpPad, n->loc, 1, &v, 1, &pads, NULL);
	v = reshape_before(m, n, v, 5 + several, (const Dim *[]){first, rows, unit, dim_const(m, parts / panels), units, width} + 1 - several);
	v = build(m, n->block, n, OpTranspose, n->loc, 1, &v, 1, &order, NULL);
	replace_uses(m, n->out[0], reshape_before(m, n, v, 3 + several, to->dims));
	return true;
}

/* Each byte shifted by as many bits as stand in front of each of its elements, and the others cleared. */
static bool expand_unpack(Module *m, Node *n)
{
	if (n->op != OpUnpack || is_const(n->out[0]))
		return false;
	const Type *to = &n->out[0]->type;
	const int rank = to->rank, bits = dtypes[to->dtype].bits, share = 8 / bits;
	const Type elements = {.dtype = U8, .rank = 1, .dims = {dim_const(m, share)}};
	const Dim *dims[MaxRank + 1];
	uint8_t *shifts = arena_alloc(m->arena, (size_t)share);

	for (int i = 0; i < share; i++)
		shifts[i] = (uint8_t)(i * bits);
	if (rank == MaxRank)
		fatal_at(n->loc, "unpack of %s has too many axes", type_text(m, to));
	memcpy(dims, n->in[0]->type.dims, rank * sizeof *dims);
	dims[rank] = dim_const(m, 1);
	Value *in[2] = {reshape_before(m, n, n->in[0], rank + 1, dims), new_const(m, NULL, elements, shifts, (size_t)share)->value};
	in[0] = build(m, n->block, n, OpShr, n->loc, 2, in, 0, NULL, NULL);
	in[1] = const_scalar(m, scalar_of_int(U8, (1 << bits) - 1))->value;
	Value *v = build(m, n->block, n, OpAnd, n->loc, 2, in, 0, NULL, NULL);
	v = reshape_before(m, n, v, rank, to->dims);
	replace_uses(m, n->out[0], build(m, n->block, n, OpCast, n->loc, 1, &v, 0, NULL, to));
	return true;
}

/* A copy of v for `at`; in front of all loops around it that v comes from outside of, which read one copy in all iterations. */
static Value *copy_before(Module *m, Node *at, Value *v, const Loc *loc)
{
	const Block *home = v->def ? v->def->block : v->block;

	while (at->block != home && at->block->owner && at->block->owner->op == OpLoop)
		at = at->block->owner;
	return build(m, at->block, at, OpIdentity, loc, 1, &v, 0, NULL, NULL);
}

/* A movement over a movement that did not compose reads a copy of it, unless that is a copy itself. */
static bool copy_chained_move(Module *m, Node *n)
{
	View w, inner;

	view_of(m, n->out[0], &w);
	if (w.root == n->out[0] || !w.root->def || is_const(w.root))
		return false;
	plain_view(m, w.root, &inner);
	if (inner.root == w.root)
		return false;
	Value *copy = copy_before(m, n, w.root, n->loc);
	for (int i = 0; i < n->nin; i++)
		if (n->in[i] == w.root)
			set_in(m, n, i, copy);
	return true;
}

/* Is v read where its root lies, or a root itself, that no movement computes? */
static bool is_plain(Module *m, Value *v)
{
	View w, plain;

	view_of(m, v, &w);
	plain_view(m, v, &plain);
	return w.root == plain.root;
}

/* A movement that has more factors along an axis than a view can say moves a copy, of the last value that is read where its root lies: with all
 * of that side by side, the reshapes behind it are plain.  A reshape itself is computed, so it ends such a chain; roots are plain, so one
 * is found.  Other than copy_chained_move, whose movements do not compose. */
static bool copy_uneven_move(Module *m, Node *n)
{
	if (n->op == OpReshape || is_const(n->out[0]) || is_plain(m, n->out[0]))
		return false;
	Node *user = n;
	while (!is_plain(m, user->in[0]))
		user = user->in[0]->def;
	set_in(m, user, 0, copy_before(m, user, user->in[0], n->loc));
	return true;
}

static bool copy_uneven_moves(Module *m)
{
	bool changed = false;
	FOR_ALL_NODES(n, m)
		if (ops[n->op].cls == ClsMove && n->out[0]->nuse)
			changed |= copy_uneven_move(m, n);
	return changed;
}

/* `at`: the node, or the group around it. */
static void copy_operand(Module *m, Node *at, Node *n, int i)
{
	set_in(m, n, i, copy_before(m, at, n->in[i], n->loc));
}

/* A function of the application reads dense tensors. */
static bool copy_strided_operands(Module *m, Node *n)
{
	bool changed = false;

	for (int i = 0; i < n->nin; i++) {
		if (view_is_contiguous(m, n->in[i]))
			continue;
		copy_operand(m, n, n, i);
		changed = true;
	}
	return changed;
}

/* Panels and waves that are computed have a place of their own; constant weights of a group_conv lie as its vectors read them. */
static bool needs_copy(Module *m, const Node *n, int i)
{
	Value *v = n->in[i];
	const bool moved = root_of(m, v) != v;

	switch (n->op) {
	case OpLinearPacked: case OpLinearBytes: case OpExpertsPacked: case OpStrassen: case OpWinograd: return i == 1 && moved && !is_const(v);
	case OpLinearScaled: return (i == 1 || i > 2) && moved && !is_const(v);
	case OpDft: return i == 2 && moved;
	case OpGroupConv: return i == 1 && is_const(v) && !view_is_contiguous(m, v);
	default: return false;
	}
}

static bool copy_weights(Module *m, Node *n)
{
	Node *root = inner_root(n);
	bool changed = false;

	for (int i = 1; i < root->nin; i++)
		if (root->in[i] && needs_copy(m, root, i)) {
			copy_operand(m, n, root, i);
			changed = true;
		}
	return changed;
}

/* Vectors of a convolution with channels first run along the last axis of x, padding included. */
static bool expand_conv(Module *m, Node *n)
{
	Node *root = inner_root(n);
	const Dim *pads[2 * MaxRank];
	const int64_t *given;
	bool any = false;
	View w;
	Factor f[MaxFactors];

	if (root->op != OpConv || is_const(n->out[0]))
		return false;
	const int rank = root->in[0]->type.rank, np = attr_ints(root, Attr_pads, &given);
	for (int d = 0; d < 2 * rank; d++) {
		int axis = d % rank, at = axis - 2 + (d < rank ? 0 : rank - 2);
		pads[d] = dim_const(m, axis < 2 || !np ? 0 : given[at]);
		any |= !dim_equals(pads[d], 0);
	}
	plain_view(m, root->in[0], &w);
	int count = merge_factors(m, &w, rank - 1, rank, f);
	if (!any && (is_const(root->in[0]) || count == 0 || (count == 1 && dim_equals(f[0].stride, 1))))
		return false;
	Attr to_pad = mk_dims(m, Attr_pads_dim, 2 * rank, pads);
	set_in(m, root, 0, build(m, n->block, n, OpPad, root->loc, 1, &root->in[0], 1, &to_pad, NULL));
	set_attr(m, root, mk_ints(m, Attr_pads, 0, given));
	return true;
}

/* Each yield is the result of a node of the block that computes it, so that it can be written in place; an output may be a reshape of one. */
static bool own_yields(Module *m, Block *b)
{
	bool changed = false;
	Value **written = arena_alloc(m->arena, ((size_t)b->nyield + 1) * sizeof *written);

	for (int i = b->owner && b->owner->op == OpLoop && loop_has_cond(b->owner); i < b->nyield; i++) {
		Value *v = b->yields[i];
		written[i] = v;
		View w;
		bool first = true;
		State state;
		if (!b->owner && state_of_output(m, v, &state))
			continue;
		if (!b->owner && !is_packed(v->type.dtype))
			v = written[i] = same_elements(m, v);
		plain_view(m, v, &w);
		for (int j = 0; j < i; j++)
			first &= written[j] != v;
		bool own = v->def && v->def->block == b && (v->def->op == OpGroup || !has_body(v->def->op));
		if (own && (!is_const(v) || (v == b->yields[i] && v->def->op == OpIdentity)) && w.root == v && first)
			continue;
		v = b->yields[i];
		written[i] = build(m, b, NULL, OpIdentity, v->def ? v->def->loc : NULL, 1, &v, 0, NULL, NULL);
		set_yield(m, b, i, written[i]);
		changed = true;
	}
	return changed;
}

static bool own_outputs(Module *m)
{
	bool changed = own_yields(m, &m->main->body);

	FOR_ALL_NODES(n, m) {
		if (n->body && n->op != OpGroup)
			changed |= own_yields(m, n->body);
		if (n->other)
			changed |= own_yields(m, n->other);
	}
	return changed;
}

/* Whether the bounds of the symbols that the data gives make d its own bound: not that of 9 - n. */
static bool grows_with_symbols(Module *m, const Dim *d)
{
	const Dim **most = arena_alloc(m->arena, ((size_t)m->nsym + 1) * sizeof *most);
	for (int i = 0; i < m->nsym; i++)
		if (!is_given(m->syms[i]) && dim_uses_sym(d, m->syms[i]))
			most[i] = dim_most(m, dim_sym(m, m->syms[i]->name));
	return dim_subst(m, d, most) == size_most(m, &m->main->body, d);
}

/* d as a symbol that has its bound. */
static const Dim *measure_extent(Module *m, const Dim *d, const Loc *loc)
{
	Type scalar = {.dtype = I64};
	const char *name = fresh_sym(m, "extent")->name;
	Attr values = mk_dims(m, Attr_values, 1, &d), attrs[] = {mk_text(m, Attr_sym, name), mk_dim(Attr_most, size_most(m, &m->main->body, d))};
	Value *v = build(m, &m->main->body, NULL, OpDims, loc, 0, NULL, 1, &values, &scalar);
	Value *measured = build(m, &m->main->body, NULL, OpMeasure, loc, 1, &v, 2, attrs, NULL);
	define_sym(m, measured->def, Attr_sym, SymMeasured);
	return dim_sym(m, name);
}

/* The caller gives an output room by the bounds of the symbols in its dims: see output_dims in runtime/dcc.h. */
static bool bound_outputs(Module *m)
{
	Block *b = &m->main->body;
	bool changed = false;

	for (int i = 0; i < b->nyield; i++) {
		Value *v = b->yields[i];
		Type t = v->type;
		for (int d = 0; d < t.rank; d++)
			if (is_measured_dim(t.dims[d]) && !grows_with_symbols(m, t.dims[d]))
				t.dims[d] = measure_extent(m, t.dims[d], v->def ? v->def->loc : NULL);
		if (type_equal(&t, &v->type))
			continue;
		set_yield(m, b, i, build(m, b, NULL, OpReshape, v->def ? v->def->loc : NULL, 1, &v, 0, NULL, &t));
		changed = true;
	}
	return changed;
}

/* Every if and loop has a symbol for its condition. */
static bool name_flags(Module *m)
{
	bool changed = false;

	FOR_ALL_NODES(n, m) {
		if ((n->op != OpIf && n->op != OpLoop) || *attr_text(n, Attr_flag))
			continue;
		set_attr(m, n, mk_text(m, Attr_flag, fresh_sym(m, "go")->name));
		define_sym(m, n, Attr_flag, SymMeasured);
		changed = true;
	}
	return changed;
}

/* ---- what no schedule covers ---------------------------------------------------------------------------------------------------- */

/* A symbol that nothing bounds: usually most of what follows has such a size, so it is said once. */
typedef struct Unbounded {
	const Node *first;
	const Value *result; /* of it */
	int count; /* of nodes with such a result */
} Unbounded;

static void report_unbounded(Module *m, const Sym *s, const Unbounded *u)
{
	const char *more = u->count > 1 ? arena_printf(m->arena, " (the first of %d such results)", u->count) : "";
	error_at(u->first->loc, "not supported: the size of the result %s depends on the data, and nothing bounds it but -D %s=LO..HI%s",
	         type_text(m, &u->result->type), s->name, more);
}

/* `unbounded`: by the symbol's index. */
static void check_supported(Module *m, const Node *n, Unbounded *unbounded)
{
	const Type *t = &n->out[0]->type;
	const Sym *open = NULL;
	for (int i = 0; i < n->nout && !open; i++)
		if ((open = find_unbounded(m, n->block, &n->out[i]->type, n->block == &m->main->body && is_output(n->out[i])))) {
			Unbounded *u = &unbounded[open->index];
			if (!u->count++)
				*u = (Unbounded){n, n->out[i], 1};
		}
	if (n->op == OpGroup)
		for (const Node *x = n->body->first; x; x = x->next)
			check_supported(m, x, unbounded);
	if (ops[n->op].cls == ClsGemm && attr_int(n, Attr_parts) > 1 && !dim_equals(t->dims[t->rank - 1], 0) &&
	    !(n->block->owner && n->block->owner->op == OpGroup))
		error_at(n->loc, "%s with parts=%d needs what reads the parts behind it, in one group", ops[n->op].text,
		         (int)attr_int(n, Attr_parts));
	if (n->op == OpPack && t->dtype != n->in[0]->type.dtype)
		error_at(n->loc, "pack of %s to %s is not supported; only that of a constant is", type_text(m, &n->in[0]->type), type_text(m, t));
	if (computes_in_stored(n))
		error_at(n->loc, "%s of %s is not supported; pass widen makes it one of f32", ops[n->op].text, type_text(m, t));
	if (ops[n->op].code == CodeF32 && t->dtype != F32)
		error_at(n->loc, "%s of %s is not supported; only f32 is", ops[n->op].text, type_text(m, t));
	if (ops[n->op].code == CodeFlt && !is_among(t->dtype, TypesFlt))
		error_at(n->loc, "%s of %s is not supported", ops[n->op].text, type_text(m, t));
}

/* The schedule knows attention of f32. */
static bool expand_attention(Module *m, Node *n)
{
	DType dtype = n->out[0]->type.dtype;
	Value *steps[4];
	if (n->op != OpAttention || dtype == F32)
		return false;
	replace_uses(m, n->out[0], attention_openly(m, n, n, dtype, steps));
	return true;
}

/* cos and sin of 2 pi k / n for k < n, side by side, rounded from f64. */
static Value *waves_before(Module *m, Node *at, const Dim *n, DType dtype)
{
	const Loc *loc = at->loc;
	Block *b = at->block;
	const Type count = {.dtype = I64}, real = {.dtype = F64}, line = {.dtype = F64, .rank = 1, .dims = {n}};
	const Type rounded = {.dtype = dtype, .rank = 2, .dims = {n, dim_const(m, 2)}};
	Attr values = mk_dims(m, Attr_values, 1, &n), axis = mk_int(Attr_axis, 1);
	Value *k = build(m, b, at, OpIota, loc, 0, NULL, 0, NULL, &line);
	k = reshape_before(m, at, k, 2, (const Dim *[]){n, dim_const(m, 1)});
	Value *size = build(m, b, at, OpDims, loc, 0, NULL, 1, &values, &count);
	size = build(m, b, at, OpCast, loc, 1, &size, 0, NULL, &real);
	Value *turn = const_scalar(m, scalar_of_real(F64, 2 * M_PI))->value;
	Value *angle = build(m, b, at, OpMul, loc, 2, (Value *[]){k, turn}, 0, NULL, NULL);
	angle = build(m, b, at, OpDiv, loc, 2, (Value *[]){angle, size}, 0, NULL, NULL);
	Value *parts[] = {build(m, b, at, OpCos, loc, 1, &angle, 0, NULL, NULL), build(m, b, at, OpSin, loc, 1, &angle, 0, NULL, NULL)};
	Value *waves = build(m, b, at, OpConcat, loc, 2, parts, 1, &axis, NULL);
	return build(m, b, at, OpCast, loc, 1, &waves, 0, NULL, &rounded);
}

/* Those of an earlier dft of the block serve for the same length. */
static bool add_waves(Module *m, Node *n)
{
	if (n->op != OpDft || n->in[2])
		return false;
	const DType dtype = n->out[0]->type.dtype;
	const Dim *length = n->in[0]->type.dims[attr_int(n, Attr_axis)];
	Value *waves = NULL;
	int looks = 1000;
	for (const Node *x = n->prev; x && !waves && looks--; x = x->prev)
		if (x->op == OpDft && x->in[2] && x->in[2]->type.dims[0] == length && x->in[2]->type.dtype == dtype)
			waves = x->in[2];
	set_in(m, n, 2, waves ? waves : waves_before(m, n, length, dtype));
	return true;
}

/* The copy of a view of the same elements that an earlier node of the block reads; else one made for it. */
static Value *shared_copy(Module *m, Node *n, Value *v)
{
	View w, other;
	int looks = 1000;

	view_of(m, v, &w);
	for (const Node *x = n->prev; x && looks--; x = x->prev) {
		if (x->op != OpIdentity || !type_equal(&x->out[0]->type, &v->type))
			continue;
		view_of(m, x->in[0], &other);
		if (other.root == w.root && other.base == w.base && same_view(&other, &w))
			return x->out[0];
	}
	return copy_before(m, n, v, n->loc);
}

/* Rows of a mask are read by vectors: where the keys of one lie apart (biases of positions that are looked up for all heads at once, then
 * transposed) a copy is read in which they lie side by side.  Axes along which it is broadcast stay so. */
static bool line_up_mask(Module *m, Node *n)
{
	Value *mask = n->op == OpAttention ? n->in[3] : NULL;
	Factor f[MaxFactors];
	View w;

	if (!mask)
		return false;
	const Type whole = mask->type;
	view_of(m, mask, &w);
	if (w.root == mask || merge_factors(m, &w, w.rank - 1, w.rank, f) != 1 || dim_equals(f[0].stride, 1) || dim_equals(f[0].stride, 0))
		return false;
	Type t = whole;
	View narrow;
	const unsigned axes = broadcast_axes(&w);
	Value *v = drop_broadcast(m, &w, axes, &narrow, &t) ? axes ? build_view(m, &narrow, &t, n, n->loc) : mask : NULL;
	if (!v)
		return false;
	v = shared_copy(m, n, v);
	set_in(m, n, 3, type_equal(&v->type, &whole) ? v : build(m, n->block, n, OpExpand, n->loc, 1, &v, 0, NULL, &whole));
	return true;
}

/* Rows that many indices choose are copied side by side before, if their elements lie apart, as the channels of an image do that is sampled. */
static bool line_up_rows(Module *m, Node *n)
{
	enum { LeastRow = 16, LeastRows = 16, FewTimes = 8 };
	Factor f[MaxFactors];
	int64_t length, extent, rows;
	View w;

	if (n->op != OpGather || is_const(n->in[0]))
		return false;
	Value *x = n->in[0];
	const int axis = (int)attr_int(n, Attr_axis), last = x->type.rank - 1;
	const Dim *chosen = type_numel(m, &n->in[1]->type);
	if (axis == last || (dim_is_const(x->type.dims[last], &length) && length < LeastRow))
		return false;
	if (dim_is_const(chosen, &rows) && (rows < LeastRows || (dim_is_const(x->type.dims[axis], &extent) && rows < extent / FewTimes)))
		return false;
	view_of(m, x, &w);
	if (w.root == x || merge_factors(m, &w, last, last + 1, f) != 1 || dim_equals(f[0].stride, 1) || dim_equals(f[0].stride, 0))
		return false;
	set_in(m, n, 0, shared_copy(m, n, x));
	return true;
}

void expand_lone_glus(Module *m)
{
	dissolve_groups(m, is_lowered_whole);
	expand_glus(m, true);
}

bool pass_expand(Module *m)
{
	enum { MaxRounds = 1000 };
	bool changed = dissolve_groups(m, is_lowered_whole); /* a text may hold others */

	changed |= bound_outputs(m);
	FOR_ALL_NODES(n, m)
		if (n->nout == 1 && n->out[0]->nuse)
			changed |= expand_byte_linear(m, n) || expand_byte_conv(m, n) || expand_linear(m, n) || expand_experts(m, n) ||
			           expand_reduction(m, n) || expand_attention(m, n) || expand_pack(m, n) || expand_unpack(m, n) || add_waves(m, n) || line_up_mask(m, n) || line_up_rows(m, n);
	int round = 0;
	do { /* what canon moves may part a glu from its linear, and copies are moved */
		if (round++ == MaxRounds)
			bug("expand does not end");
		changed |= pass_canon(m);
	} while (expand_glus(m, false) || copy_uneven_moves(m));
	FOR_ALL_NODES(n, m) {
		if (ops[n->op].cls == ClsMove && n->out[0]->nuse)
			changed |= copy_chained_move(m, n);
		if (n->op == OpCustom)
			changed |= copy_strided_operands(m, n);
		changed |= copy_weights(m, n) || expand_conv(m, n);
	}
	changed |= own_outputs(m);
	changed |= name_flags(m);
	changed |= remove_dead(m);
	Unbounded *unbounded = arena_alloc(m->arena, (m->nsym + 1) * sizeof *unbounded);
	FOR_ALL_NODES(n, m)
		if (!is_const(n->out[0]))
			check_supported(m, n, unbounded);
	for (int i = 0; i < m->nsym; i++)
		if (unbounded[i].count)
			report_unbounded(m, m->syms[i], &unbounded[i]);
	return changed;
}
