/* build.c - small steps shared by the importers of operators: emit a node, begin and end a loop, check a dim.
 *
 * Emitters leave out what does nothing (a cast to the same type, a reshape to the same dims), so that a graph that
 * is all shape arithmetic imports to nothing.
 */
#include "build.h"

#include <string.h>

/* The axes of an operand that take part in broadcasting. */
static Type broadcast_part(Op op, const Type *t)
{
	Type part = *t;
	if (op == OpMatMul)
		part.rank = t->rank > 2 ? t->rank - 2 : 0;
	return part;
}

/* Whether some operand has dims of which only the run says whether they broadcast. */
static bool has_open_dims(const Module *m, Op op, int nin, Value *const *in)
{
	if ((ops[op].cls != ClsEwise && op != OpMatMul) || nin < 2)
		return false;
	if (m->broadcast_symbols)
		return true;
	for (int i = 0; i < nin; i++) {
		Type t = in[i] ? broadcast_part(op, &in[i]->type) : (Type){.rank = 0};
		for (int d = 0; d < t.rank; d++)
			if (dim_is_unit(t.dims[d]))
				return true;
	}
	return false;
}

/* x with the `rank` axes from its first on as wide as the last of `joint`, where only the run says which of them have an extent of 1:
 * those get the stride 0 then. */
static Value *meet_symbols(Call *c, Value *x, int rank, const Type *joint)
{
	Module *m = c->m;
	Type wide = x->type;
	const Dim *strides[MaxRank], *stride = dim_const(m, 1);
	for (int d = x->type.rank - 1; d >= 0; d--) {
		const Dim *have = x->type.dims[d], *want = d < rank ? joint->dims[joint->rank - rank + d] : have;
		strides[d] = stride;
		stride = dim_mul(m, stride, have);
		if (!dim_may_broadcast(m, have, want))
			continue;
		strides[d] = dim_mul(m, strides[d], dim_differs(m, have, dim_const(m, 1)));
		wide.dims[d] = want;
	}
	if (type_equal(&wide, &x->type))
		return x;
	Attr attrs[2] = {mk_dim(Attr_base, dim_const(m, 0)), mk_dims(m, Attr_strides_dim, wide.rank, strides)};
	return emit(c, OpView, 1, &x, 2, attrs, &wide);
}

/* One operand to the joint dims: what is 1 for some sizes only is expanded; beside what is 0 for some, others have no elements then. */
static Value *meet_units(Call *c, Value *x, const Type *part, const Type *joint)
{
	Type wide = x->type;
	for (int d = 0; d < part->rank; d++)
		if (dim_is_unit(part->dims[d]))
			wide.dims[d] = joint->dims[joint->rank - part->rank + d];
	if (!type_equal(&wide, &x->type))
		x = emit(c, OpExpand, 1, &x, 0, NULL, &wide);
	for (int d = 0; d < part->rank; d++) {
		const Dim *want = joint->dims[joint->rank - part->rank + d], *q;
		if (wide.dims[d] != want && dim_poly_div(c->m, want, wide.dims[d], &q) && dim_is_unit(q))
			x = emit_range(c, x, d, dim_const(c->m, 0), want, 1);
	}
	return meet_symbols(c, x, part->rank, joint);
}

static bool expand_open(Call *c, Op op, int nin, Value *const *in, Value **wide)
{
	Type joint = {.rank = 0};
	for (int i = 0; i < nin; i++) {
		Type t = broadcast_part(op, &in[i]->type);
		if (!broadcast_types(c->m, &joint, &t, &joint, (Site){c->im->block, c->loc}))
			return false; /* the operator says so */
	}
	for (int i = 0; i < nin; i++) {
		Type part = broadcast_part(op, &in[i]->type);
		wide[i] = meet_units(c, in[i], &part, &joint);
	}
	return true;
}

Value *emit(Call *c, Op op, int nin, Value *const *in, int nattr, const Attr *attrs, const Type *given)
{
	Value *wide[MaxIn];
	if (has_open_dims(c->m, op, nin, in) && expand_open(c, op, nin, in, wide))
		in = wide;
	return build(c->m, c->im->block, NULL, op, c->loc, nin, in, nattr, attrs, given);
}

Value *emit1(Call *c, Op op, Value *x)
{
	return emit(c, op, 1, &x, 0, NULL, NULL);
}

Value *emit2(Call *c, Op op, Value *a, Value *b)
{
	return emit(c, op, 2, (Value *[]){a, b}, 0, NULL, NULL);
}

Value *emit3(Call *c, Op op, Value *x, Value *y, Value *z)
{
	return emit(c, op, 3, (Value *[]){x, y, z}, 0, NULL, NULL);
}

Value *emit_const(Call *c, DType dtype, double v)
{
	return const_scalar(c->m, scalar_of_real(dtype, v))->value;
}

Value *emit_dims(Call *c, int rank, int n, const Dim *const *dims)
{
	static const int64_t none;
	Type type = {.dtype = I64, .rank = rank};
	if (!n)
		return const_i64(c->m, 0, &none)->value;
	if (rank)
		type.dims[0] = dim_const(c->m, n);
	Attr values = mk_dims(c->m, Attr_values, n, dims);
	return emit(c, OpDims, 0, NULL, 1, &values, &type);
}

const Dim *num(Call *c, int64_t v)
{
	return dim_const(c->m, v);
}

Value *emit_iota(Call *c, DType dtype, const Dim *n, const Dim *start, const Dim *step)
{
	Type type = {.dtype = dtype, .rank = 1, .dims = {n}};
	Attr attrs[2] = {mk_dim(Attr_start, start), mk_dim(Attr_step, step)};
	return emit(c, OpIota, 0, NULL, 2, attrs, &type);
}

/* One number stays a constant, which may be asked for as such. */
static Value *cast_number(Call *c, Scalar s, Type type)
{
	size_t bytes = (size_t)dtypes[type.dtype].bytes;
	void *data = arena_alloc(c->m->arena, bytes);
	put_scalar(data, cast_scalar(s, type.dtype));
	return new_const(c->m, NULL, type, data, bytes)->value;
}

Value *emit_cast(Call *c, Value *x, DType dtype)
{
	Scalar s;
	if (x->type.dtype == dtype)
		return x;
	Type type = x->type;
	type.dtype = dtype;
	if (dim_equals(type_numel(c->m, &type), 1) && value_as_scalar(x, &s))
		return cast_number(c, s, type);
	return emit(c, OpCast, 1, &x, 0, NULL, &type);
}

bool same_dims(const Type *t, int rank, const Dim *const *dims)
{
	return t->rank == rank && (!rank || !memcmp(t->dims, dims, rank * sizeof *dims));
}

static Type with_dims(Call *c, DType dtype, int rank, const Dim *const *dims)
{
	if (rank > MaxRank)
		refuse_at(c->loc, "a tensor of rank %d; at most %d is supported", rank, MaxRank);
	Type t = {.dtype = dtype, .rank = rank};
	if (rank)
		memcpy(t.dims, dims, rank * sizeof *dims);
	return t;
}

Value *emit_reshape(Call *c, Value *x, int rank, const Dim *const *dims)
{
	Type type = with_dims(c, x->type.dtype, rank, dims);
	return same_dims(&x->type, rank, dims) ? x : emit(c, OpReshape, 1, &x, 0, NULL, &type);
}

Value *emit_split(Call *c, Value *x, int axis, const Dim *n)
{
	const Dim *dims[MaxRank + 1], *const *d = x->type.dims, *inner = divide_dims(c, d[axis], n);
	int64_t all, parts;
	if (dim_is_const(d[axis], &all) && dim_is_const(n, &parts) && all % parts)
		fatal_at(c->loc, "an axis of %lld does not split into %lld parts", (long long)all, (long long)parts);
	require_equal(c, dim_mul(c->m, n, inner), d[axis], "the parts of an axis");
	for (int i = 0; i <= x->type.rank; i++)
		dims[i] = i == axis ? n : i == axis + 1 ? inner : d[i < axis ? i : i - 1];
	return emit_reshape(c, x, x->type.rank + 1, dims);
}

Value *emit_merge(Call *c, Value *x, int axis)
{
	const Dim *dims[MaxRank], *const *d = x->type.dims;
	for (int i = 0; i < x->type.rank - 1; i++)
		dims[i] = i == axis ? dim_mul(c->m, d[i], d[i + 1]) : d[i < axis ? i : i + 1];
	return emit_reshape(c, x, x->type.rank - 1, dims);
}

Value *emit_rsqrt(Call *c, DType dtype, const Dim *d)
{
	return emit1(c, OpRecip, emit1(c, OpSqrt, emit_cast(c, emit_dims(c, 0, 1, &d), dtype)));
}

Value *count_along(Call *c, const Dim *n, int rank, int axis)
{
	const Dim *dims[MaxRank];
	for (int i = 0; i < rank; i++)
		dims[i] = i == axis ? n : num(c, 1);
	return emit_reshape(c, emit_iota(c, I64, n, num(c, 0), num(c, 1)), rank, dims);
}

Value *emit_expand(Call *c, Value *x, int rank, const Dim *const *dims)
{
	Type want = with_dims(c, x->type.dtype, rank, dims), out;
	if (!broadcast_types(c->m, &x->type, &want, &out, (Site){c->im->block, c->loc}))
		fatal_at(c->loc, "cannot broadcast %s to %s", type_text(c->m, &x->type), type_text(c->m, &want));
	out.dtype = x->type.dtype;
	const Type part = x->type;
	x = meet_units(c, x, &part, &out);
	return same_dims(&x->type, out.rank, out.dims) ? x : emit(c, OpExpand, 1, &x, 0, NULL, &out);
}

Value *emit_transpose(Call *c, Value *x, const int *perm)
{
	int64_t wide[MaxRank];
	bool moves = false;
	for (int i = 0; i < x->type.rank; i++) {
		wide[i] = perm[i];
		moves |= perm[i] != i;
	}
	if (!moves)
		return x;
	Attr a = mk_ints(c->m, Attr_perm, x->type.rank, wide);
	return emit(c, OpTranspose, 1, &x, 1, &a, NULL);
}

Value *emit_swap(Call *c, Value *x)
{
	int perm[MaxRank], r = x->type.rank;
	for (int i = 0; i < r; i++)
		perm[i] = i < r - 2 ? i : 2 * r - 3 - i;
	return emit_transpose(c, x, perm);
}

Value *emit_range(Call *c, Value *x, int axis, const Dim *start, const Dim *n, int64_t step)
{
	Type type = x->type;
	if (dim_equals(start, 0) && n == type.dims[axis] && step == 1)
		return x;
	const Dim *starts[MaxRank];
	int64_t steps[MaxRank];
	for (int i = 0; i < type.rank; i++) {
		starts[i] = i == axis ? start : dim_const(c->m, 0);
		steps[i] = i == axis ? step : 1;
	}
	type.dims[axis] = n;
	Attr attrs[2] = {mk_dims(c->m, Attr_starts, type.rank, starts), mk_ints(c->m, Attr_steps, type.rank, steps)};
	return emit(c, OpSlice, 1, &x, step == 1 ? 1 : 2, attrs, &type);
}

Value *emit_gather(Call *c, Value *x, Value *index, int axis)
{
	Attr a = mk_int(Attr_axis, axis);
	return emit(c, OpGather, 2, (Value *[]){x, emit_cast(c, index, I64)}, 1, &a, NULL);
}

Value *emit_reduce(Call *c, Op op, Value *x, int naxis, const int64_t *axes, bool keepdims)
{
	if (!naxis)
		return x;
	Attr attrs[2] = {mk_ints(c->m, Attr_axes, naxis, axes), mk_int(Attr_keepdims, keepdims)};
	return emit(c, op, 1, &x, keepdims ? 2 : 1, attrs, NULL);
}

Value *import_as(Call *c, void (*import)(Call *), int nin, Value *const *in)
{
	Value *out = NULL;
	bool wanted = true;
	Call call = *c;
	call.nin = nin;
	call.in = (Value **)in;
	call.nout = 1;
	call.out = &out;
	call.wanted = &wanted;
	import(&call);
	return out;
}

/* ---- loops ----------------------------------------------------------------------------------------------------- */

static const Dim *define_loop_sym(Call *c, Node *n, AttrId id, const char *stem, SymKind kind)
{
	const Dim *sym = dim_sym(c->m, (kind == SymLoop ? fresh_sym(c->m, stem) : new_symbol(c, stem, 0))->name);
	set_attr(c->m, n, mk_text(c->m, id, dim_as_sym(sym)->name));
	define_sym(c->m, n, id, kind);
	return sym;
}

Node *begin_loop(Call *c, const Dim *trips, Value *cond, int ncarried, Value *const *first, const Dim **counter)
{
	Node *n = new_node(c->m, c->im->block, NULL, OpLoop, c->loc, cond != NULL, &cond);
	set_attr(c->m, n, mk_dim(Attr_trips, trips));
	*counter = define_loop_sym(c, n, Attr_counter, "it", SymLoop);
	if (cond) {
		set_attr(c->m, n, mk_int(Attr_cond, 1));
		define_loop_sym(c, n, Attr_count, "count", SymMeasured);
	}
	for (int i = 0; i < ncarried; i++) {
		append_in(c->m, n, first[i]);
		add_block_param(c->m, n->body, first[i]->type);
	}
	c->im->block = n->body;
	return n;
}

void end_loop(Call *c, Node *n)
{
	c->im->block = n->block;
	const char *wrong = add_body_results(c->m, n, NULL);
	if (wrong)
		type_error(c->m, n->op, c->loc, wrong);
}

/* ---- axes ------------------------------------------------------------------------------------------------------ */

int norm_axis(const Call *c, int64_t axis, int rank)
{
	if (axis < -(int64_t)rank || axis >= rank)
		fatal_at(c->loc, "axis %lld is out of range for rank %d", (long long)axis, rank);
	return axis < 0 ? axis + rank : axis;
}

int norm_axes(Call *c, const char *attr, int input, int rank, int64_t *axes)
{
	int64_t list[MaxKnown];
	const int64_t *given;
	int n = onnx_ints(c, attr, &given);
	if (n > MaxRank)
		fatal_at(c->loc, "attribute '%s' lists %d axes", attr, n);
	if (n > 0)
		memcpy(list, given, n * sizeof *list);
	else if (n < 0 && input >= 0 && input < c->nin && c->in[input])
		n = need_ints(c, input, "axes", list, MaxRank);
	if (n < 0)
		return -1;
	bool set[MaxRank] = {false};
	for (int i = 0; i < n; i++) {
		int axis = norm_axis(c, list[i], rank);
		if (set[axis])
			fatal_at(c->loc, "axis %d is listed twice", axis);
		set[axis] = true;
	}
	n = 0;
	for (int i = 0; i < rank; i++)
		if (set[i])
			axes[n++] = i;
	return n;
}

/* ---- dims ------------------------------------------------------------------------------------------------------ */

void require_equal(Call *c, const Dim *a, const Dim *b, const char *what)
{
	if (a == b)
		return;
	int64_t lo, hi;
	dim_range(dim_sub(c->m, a, b), &lo, &hi);
	if (lo > 0 || hi < 0)
		fatal_at(c->loc, "%s: %s and %s differ", what, dim_text(c->m, a), dim_text(c->m, b));
	add_check(c->m, c->im->block, (DimCheck){.a = a, .b = b, .loc = c->loc});
}

/* a <= b; in the form that says most to load.c */
void require_at_most(Call *c, const Dim *a, const Dim *b)
{
	if (dim_is_const(b, NULL))
		require_equal(c, dim_min(c->m, a, b), a, "index and extent");
	else
		require_equal(c, dim_max(c->m, a, b), b, "index and extent");
}

void require_at_least(Call *c, const Dim *d, int64_t least)
{
	int64_t lo, hi;
	dim_range(d, &lo, &hi);
	if (dim_proves_at_most(c->m, dim_const(c->m, least), d))
		return;
	if (hi < least)
		fatal_at(c->loc, "the extent %s must be at least %lld", dim_text(c->m, d), (long long)least);
	Sym *sym = dim_as_sym(d);
	if (sym && sym->hi >= least && !c->im->block->owner)
		sym->lo = least;
	else
		require_equal(c, dim_max(c->m, d, dim_const(c->m, least)), d, "extent");
}

const Dim *product(Module *m, const Dim *const *dims, int n)
{
	const Dim *p = dim_const(m, 1);
	for (int i = 0; i < n; i++)
		p = dim_mul(m, p, dims[i]);
	return p;
}

const Dim *divide_dims(Call *c, const Dim *a, const Dim *b)
{
	const Dim *q;
	return dim_poly_div(c->m, a, b, &q) ? q : dim_floordiv(c->m, a, b);
}
