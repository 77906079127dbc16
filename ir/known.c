/* known.c - the elements of small integer tensors, as Dims: how shapes that a model computes become types.
 *
 * infer_known fills Value.known of a result from the elements of the operands, all of them or none; what is not
 * certain (a comparison of symbols, a division by what may be 0, an overflow) stays unknown.
 */
#include "ir.h"

#include <string.h>

typedef struct Box { /* a type with constant dims */
	int rank;
	int64_t dims[MaxRank], numel;
} Box;

static bool box_of(const Type *t, Box *b)
{
	b->rank = t->rank;
	b->numel = 1;
	for (int i = 0; i < t->rank; i++) {
		if (!dim_is_const(t->dims[i], &b->dims[i]) || b->dims[i] < 0
		    || __builtin_mul_overflow(b->numel, b->dims[i], &b->numel))
			return false;
	}
	return true;
}

/* Offset in row-major `b`, broadcast to `to`, of the element that lies under element `i` of `to`. */
static int64_t broadcast_index(const Box *b, const Box *to, int64_t i)
{
	int64_t offset = 0, stride = 1;
	for (int d = to->rank - 1; d >= 0; d--) {
		int64_t at = i % to->dims[d];
		int own = d - (to->rank - b->rank);
		i /= to->dims[d];
		if (own < 0)
			continue;
		if (b->dims[own] != 1)
			offset += at * stride;
		stride *= b->dims[own];
	}
	return offset;
}

/* The elements of a value, or NULL; a constant's are made on demand. */
static const Dim **known_of(Module *m, Value *v, Box *box)
{
	if (!box_of(&v->type, box) || box->numel > MaxKnown)
		return NULL;
	const Const *c = v->konst;
	if (v->known || !c)
		return v->known;
	if (!c->data || c->bytes < (uint64_t)box->numel * dtypes[c->type.dtype].bytes)
		return NULL;
	if (dtypes[c->type.dtype].cls == ClassFloat && box->numel != 1)
		return NULL;
	const Dim **known = arena_alloc(m->arena, (box->numel + 1) * sizeof *known);
	for (int64_t i = 0; i < box->numel; i++) {
		int64_t value;
		if (!scalar_as_int(scalar_at(c->type.dtype, c->data, i), &value))
			return NULL;
		known[i] = dim_const(m, value);
	}
	return v->known = known;
}

/* Arithmetic on constants this large is left alone: INT64_MAX is a common "to the end". */
static bool is_huge(const Dim *d)
{
	int64_t v;
	return dim_is_const(d, &v) && (v > (INT64_C(1) << 47) || v < -(INT64_C(1) << 47));
}

/* 1 where d > 0, else 0 */
static const Dim *is_positive(Module *m, const Dim *d)
{
	return dim_min(m, dim_max(m, d, dim_const(m, 0)), dim_const(m, 1));
}

static const Dim *absolute(Module *m, const Dim *d)
{
	return dim_max(m, dim_max(m, d, dim_mul_const(m, d, -1)), dim_const(m, 0));
}

/* 0 or 1, also where that depends on the sizes; of a scalar only: a mask over small indices stays a comparison. */
static const Dim *known_compare(Module *m, Op op, bool scalar, const Dim *a, const Dim *b)
{
	int64_t x, y;
	const Dim *one = dim_const(m, 1), *holds;
	if (dim_is_const(a, &x) && dim_is_const(b, &y))
		return dim_const(m, op == OpEq ? x == y : op == OpLt ? x < y : x <= y);
	if (is_huge(a) || is_huge(b))
		return NULL;
	const Dim *above = dim_sub(m, b, a);
	if (op == OpEq)
		holds = dim_sub(m, one, dim_min(m, absolute(m, above), one));
	else
		holds = is_positive(m, op == OpLt ? above : dim_add(m, above, one));
	return scalar || dim_is_const(holds, NULL) ? holds : NULL;
}

/* Where the divisor may be 0 the quotient has no meaning in ONNX, and 1 will do. */
static const Dim *known_divide(Module *m, Op op, const Dim *a, const Dim *b)
{
	const Dim *q;
	int64_t lo, hi;
	dim_range(b, &lo, &hi);
	if (hi < 0)
		return op == OpIDiv ? dim_floordiv(m, a, b) : dim_mod(m, a, b);
	if (hi <= 0 || lo < 0)
		return NULL;
	if (dim_poly_div(m, a, b, &q))
		return op == OpIDiv ? q : dim_const(m, 0);
	b = dim_max(m, b, dim_const(m, 1));
	return op == OpIDiv ? dim_floordiv(m, a, b) : dim_mod(m, a, b);
}

/* Of bools, which are 0 and 1. */
static const Dim *known_logic(Module *m, Op op, const Dim *a, const Dim *b)
{
	switch (op) {
	case OpAnd: return dim_min(m, a, b);
	case OpOr: return dim_max(m, a, b);
	default: return absolute(m, dim_sub(m, a, b));
	}
}

/* A small power as a product. */
static const Dim *known_power(Module *m, const Dim *a, const Dim *b)
{
	int64_t times;
	const Dim *p = dim_const(m, 1);
	if (is_huge(a) || dim_is_const(a, NULL) || !dim_is_const(b, &times) || times < 0 || times > 4)
		return NULL;
	for (; times; times--)
		p = dim_mul(m, p, a);
	return p;
}

static const Dim *known_product(Module *m, const Dim *a, const Dim *b)
{
	int64_t x, y, product;
	bool overflows = dim_is_const(a, &x) && dim_is_const(b, &y) && __builtin_mul_overflow(x, y, &product);
	return overflows || is_huge(a) || is_huge(b) ? NULL : dim_mul(m, a, b);
}

/* One element of a binary op; NULL: unknown. */
static const Dim *known_binary(Module *m, const Node *n, bool scalar, const Dim *a, const Dim *b)
{
	const Dim *q;
	bool logical = n->out[0]->type.dtype == Bool, huge = is_huge(a) || is_huge(b);
	switch (n->op) {
	case OpEq: case OpLt: case OpLe: return known_compare(m, n->op, scalar, a, b);
	case OpMin: return dim_min(m, a, b);
	case OpMax: return dim_max(m, a, b);
	case OpAdd: return huge ? NULL : dim_add(m, a, b);
	case OpSub: return huge ? NULL : dim_sub(m, a, b);
	case OpMul: return known_product(m, a, b);
	case OpDiv: return !huge && dim_exact_div(m, a, b, &q) ? q : NULL;
	case OpIDiv: case OpIMod: return huge ? NULL : known_divide(m, n->op, a, b);
	case OpPow: return known_power(m, a, b);
	case OpAnd: case OpOr: case OpXor: return logical ? known_logic(m, n->op, a, b) : NULL;
	default: return NULL;
	}
}

static const Dim *known_unary(Module *m, const Node *n, const Dim *a)
{
	bool logical = n->out[0]->type.dtype == Bool;
	switch (n->op) {
	case OpIdentity: case OpCast: return a;
	case OpNeg: return is_huge(a) ? NULL : dim_mul_const(m, a, -1);
	case OpNot: return logical ? dim_sub(m, dim_const(m, 1), a) : NULL;
	case OpAbs: return is_huge(a) ? NULL : absolute(m, a);
	case OpRelu: return is_huge(a) ? NULL : dim_max(m, a, dim_const(m, 0));
	default: return NULL;
	}
}

/* y + condition * (x - y); NULL as condition: unknown. */
static const Dim *known_where(Module *m, const Dim *condition, const Dim *x, const Dim *y)
{
	if (x == y || !condition)
		return x == y ? x : NULL;
	if (dim_is_const(condition, NULL))
		return dim_equals(condition, 0) ? y : x;
	return is_huge(x) || is_huge(y) ? NULL : dim_add(m, y, dim_mul(m, condition, dim_sub(m, x, y)));
}

/* Whether a known element may be carried by the type: constants and narrow types are checked; a symbolic dim is taken
 * to fit i32 and i64. */
static bool fits_dtype(const Dim *d, DType dtype)
{
	int64_t lo, hi, v, held;
	bool constant = dim_is_const(d, &v);
	if (is_among(dtype, TypesFlt))
		return !constant || (scalar_as_int(scalar_of_int(dtype, v), &held) && held == v);
	if (!constant && dtypes[dtype].bytes >= 4 && dtypes[dtype].cls == ClassSigned)
		return true;
	dim_range(d, &lo, &hi);
	return lo >= lowest_scalar(dtype).i && (hi < 0 || (uint64_t)hi <= highest_scalar(dtype).u);
}

static bool fill_ewise(Module *m, Node *n, const Box *to, const Dim **out)
{
	const Dim **in[3];
	Box box[3];
	if (n->nin > 3 || n->nin < 1)
		return false;
	for (int i = 0; i < n->nin; i++) {
		if (!n->in[i])
			return false;
		in[i] = known_of(m, n->in[i], &box[i]);
		if (!in[i] && !(n->op == OpWhere && i == 0 && box_of(&n->in[i]->type, &box[i])))
			return false;
	}
	for (int64_t e = 0; e < to->numel; e++) {
		const Dim *x[3] = {NULL};
		for (int i = 0; i < n->nin; i++)
			x[i] = in[i] ? in[i][broadcast_index(&box[i], to, e)] : NULL;
		if (n->nin == 1)
			out[e] = known_unary(m, n, x[0]);
		else if (n->nin == 2)
			out[e] = known_binary(m, n, to->numel == 1, x[0], x[1]);
		else
			out[e] = known_where(m, x[0], x[1], x[2]);
		if (!out[e])
			return false;
	}
	return true;
}

/* The whole part of the root of a number so small that no float rounds it to the next: int(n ** 0.5) is the side of a square of n patches. */
static const Dim *known_root(Module *m, const Value *v)
{
	const Node *n = v->def;
	Box box;
	double power;
	int64_t square, root = 0;
	if (!n || (n->op != OpSqrt && n->op != OpPow) || (v->type.dtype != F32 && v->type.dtype != F64))
		return NULL;
	const Const *c = n->op == OpPow ? n->in[1]->konst : NULL;
	if (n->op == OpPow && (!c || !c->data || const_numel(&c->type) != 1
	                       || !scalar_as_real(scalar_at(c->type.dtype, c->data, 0), &power) || power != 0.5))
		return NULL;
	const Dim **x = known_of(m, n->in[0], &box);
	if (!x || box.numel != 1 || !dim_is_const(*x, &square) || square < 0 || square > 1 << 20)
		return NULL;
	while ((root + 1) * (root + 1) <= square)
		root++;
	return dim_const(m, root);
}

/* Whole numbers stay.  A quotient of two that a float holds exactly is rounded to one across no integer, so it is known here
 * though not in between. */
static bool fill_rounded(Module *m, Node *n, const Box *to, const Dim **out)
{
	Box box;
	int64_t least, most;
	const Dim **x = known_of(m, n->in[0], &box), **y;
	const Node *div = n->in[0]->def;
	if (x) {
		memcpy(out, x, to->numel * sizeof *out);
		return true;
	}
	if (n->op == OpFloor && to->numel == 1 && (*out = known_root(m, n->in[0])))
		return true;
	if (!div || div->op != OpDiv || !(x = known_of(m, div->in[0], &box)) || !(y = known_of(m, div->in[1], &box)))
		return false;
	dim_range(*y, &least, &most);
	if (least < 1 || is_huge(*x))
		return false;
	*out = n->op == OpCeil ? dim_ceildiv(m, *x, *y) : dim_floordiv(m, *x, *y);
	return true;
}

/* To bool is "is not zero". */
static bool fill_cast(Module *m, Node *n, const Box *to, const Dim **out)
{
	const DType dtype = n->out[0]->type.dtype;
	if (to->numel == 1 && dtypes[dtype].bytes > 1 && dtypes[dtype].cls != ClassFloat && (*out = known_root(m, n->in[0])))
		return true;
	if (!fill_ewise(m, n, to, out))
		return false;
	for (int64_t i = 0; i < to->numel && n->out[0]->type.dtype == Bool; i++) {
		const Dim *is_zero = known_compare(m, OpEq, to->numel == 1, out[i], dim_const(m, 0));
		if (!is_zero)
			return false;
		out[i] = dim_sub(m, dim_const(m, 1), is_zero);
	}
	return true;
}

static bool fill_iota(Module *m, Node *n, const Box *to, const Dim **out)
{
	const Dim *start = attr_dim(m, n, Attr_start), *step = attr_dim(m, n, Attr_step);
	if (is_huge(start) || is_huge(step))
		return false;
	for (int64_t i = 0; i < to->numel; i++)
		out[i] = dim_add(m, start, dim_mul_const(m, step, i));
	return true;
}

static bool fill_dims(Module *m, Node *n, const Box *to, const Dim **out)
{
	const Dim *const *values;
	(void)m;
	if (attr_dims(n, Attr_values, &values) != to->numel)
		return false;
	memcpy(out, values, to->numel * sizeof *out);
	return true;
}

static bool fill_concat(Module *m, Node *n, const Box *to, const Dim **out)
{
	int axis = (int)attr_int(n, Attr_axis);
	int64_t inner = 1, done = 0;
	for (int d = axis + 1; d < to->rank; d++)
		inner *= to->dims[d];
	for (int i = 0; i < n->nin; i++) {
		Box box;
		const Dim **x = known_of(m, n->in[i], &box);
		if (!x)
			return false;
		int64_t chunk = box.dims[axis] * inner;
		for (int64_t e = 0; e < box.numel; e++)
			out[e / chunk * to->dims[axis] * inner + done + e % chunk] = x[e];
		done += chunk;
	}
	return true;
}

static bool fill_gather(Module *m, Node *n, const Box *to, const Dim **out)
{
	Box box, ibox;
	const Dim **x = known_of(m, n->in[0], &box), **idx = known_of(m, n->in[1], &ibox);
	int axis = (int)attr_int(n, Attr_axis);
	int64_t inner = 1;
	if (!x || !idx)
		return false;
	for (int d = axis + 1; d < box.rank; d++)
		inner *= box.dims[d];
	for (int64_t e = 0; e < to->numel; e++) {
		int64_t low = e % inner, i, extent = box.dims[axis];
		if (!dim_is_const(idx[e / inner % ibox.numel], &i) || i < -extent || i >= extent)
			return false;
		out[e] = x[(e / inner / ibox.numel * extent + (i < 0 ? i + extent : i)) * inner + low];
	}
	return true;
}

/* Axis d of the result runs along axis axis[d] of the operand, from base[d] by step[d]. */
static bool fill_strided(const Box *box, const Box *to, const Dim **x, const int64_t *base, const int64_t *step,
                         const int *axis, const Dim **out)
{
	for (int64_t e = 0; e < to->numel; e++) {
		int64_t at[MaxRank], rest = e, offset = 0;
		for (int d = to->rank - 1; d >= 0; d--) {
			at[axis[d]] = base[d] + rest % to->dims[d] * step[d];
			rest /= to->dims[d];
		}
		for (int d = 0; d < box->rank; d++) {
			if (at[d] < 0 || at[d] >= box->dims[d])
				return false;
			offset = offset * box->dims[d] + at[d];
		}
		out[e] = x[offset];
	}
	return true;
}

static bool fill_move(Module *m, Node *n, const Box *to, const Dim **out)
{
	Box box;
	const Dim **x = known_of(m, n->in[0], &box);
	const int64_t *ints;
	const Dim *const *starts;
	int64_t base[MaxRank] = {0}, step[MaxRank];
	int axis[MaxRank];
	if (!x)
		return false;
	for (int d = 0; d < to->rank; d++) {
		step[d] = 1;
		axis[d] = d;
	}
	switch (n->op) {
	case OpReshape:
		if (box.numel == to->numel)
			memcpy(out, x, to->numel * sizeof *out);
		return box.numel == to->numel;
	case OpExpand:
		for (int64_t e = 0; e < to->numel; e++)
			out[e] = x[broadcast_index(&box, to, e)];
		return true;
	case OpSlice:
		attr_dims(n, Attr_starts, &starts);
		for (int d = 0; d < to->rank; d++)
			if (!dim_is_const(starts[d], &base[d]))
				return false;
		if (attr_ints(n, Attr_steps, &ints))
			memcpy(step, ints, to->rank * sizeof *step);
		break;
	case OpTranspose:
		attr_ints(n, Attr_perm, &ints);
		for (int d = 0; d < to->rank; d++)
			axis[d] = (int)ints[d];
		break;
	default: return false;
	}
	return fill_strided(&box, to, x, base, step, axis, out);
}

/* Over all elements, one after the other. */
static bool fill_reduce(Module *m, Node *n, const Box *to, const Dim **out)
{
	Box box;
	const Dim **x = known_of(m, n->in[0], &box);
	if (!x || to->numel != 1 || !box.numel)
		return false;
	*out = x[0];
	for (int64_t i = 1; i < box.numel; i++) {
		if (is_huge(*out) || is_huge(x[i]))
			return false;
		*out = n->op == OpSum ? dim_add(m, *out, x[i]) : n->op == OpReduceMax ? dim_max(m, *out, x[i]) : dim_min(m, *out, x[i]);
	}
	return true;
}

/* Along the only axis. */
static bool fill_cumsum(Module *m, Node *n, const Box *to, const Dim **out)
{
	Box box;
	const Dim **x = known_of(m, n->in[0], &box), *sum;
	bool product = attr_int(n, Attr_product), back = attr_int(n, Attr_reverse), before = attr_int(n, Attr_exclusive);
	if (!x || to->rank != 1)
		return false;
	sum = dim_const(m, product);
	for (int64_t i = 0; i < to->numel; i++) {
		int64_t at = back ? to->numel - 1 - i : i;
		if (is_huge(x[at]) || is_huge(sum))
			return false;
		const Dim *next = product ? dim_mul(m, sum, x[at]) : dim_add(m, sum, x[at]);
		out[at] = before ? sum : next;
		sum = next;
	}
	return true;
}

typedef bool Fill(Module *, Node *, const Box *, const Dim **);

static Fill *const fills[NOps] = {
	[OpDims] = fill_dims, [OpIota] = fill_iota, [OpCast] = fill_cast, [OpIdentity] = fill_ewise,
	[OpNeg] = fill_ewise, [OpAbs] = fill_ewise, [OpNot] = fill_ewise, [OpAdd] = fill_ewise,
	[OpSub] = fill_ewise, [OpMul] = fill_ewise, [OpDiv] = fill_ewise, [OpCeil] = fill_rounded, [OpFloor] = fill_rounded,
	[OpIDiv] = fill_ewise, [OpIMod] = fill_ewise, [OpMin] = fill_ewise, [OpMax] = fill_ewise, [OpEq] = fill_ewise,
	[OpLt] = fill_ewise, [OpLe] = fill_ewise, [OpAnd] = fill_ewise, [OpOr] = fill_ewise, [OpXor] = fill_ewise,
	[OpWhere] = fill_ewise, [OpConcat] = fill_concat, [OpGather] = fill_gather, [OpSlice] = fill_move,
	[OpPow] = fill_ewise, [OpRelu] = fill_ewise, [OpRound] = fill_rounded, [OpSum] = fill_reduce, [OpReduceMax] = fill_reduce,
	[OpReduceMin] = fill_reduce, [OpCumSum] = fill_cumsum,
	[OpReshape] = fill_move, [OpExpand] = fill_move, [OpTranspose] = fill_move,
};

bool has_known_rule(Op op)
{
	return fills[op];
}

void infer_known(Module *m, Node *n)
{
	Box box;
	if (n->nout != 1 || !fills[n->op])
		return;
	Value *v = n->out[0];
	v->known = NULL;
	if (!box_of(&v->type, &box) || box.numel > MaxKnown)
		return;
	if (dtypes[v->type.dtype].cls == ClassFloat && box.numel != 1)
		return; /* floats are known as scalars only */
	const Dim **known = arena_alloc(m->arena, (box.numel + 1) * sizeof *known);
	if (!fills[n->op](m, n, &box, known))
		return;
	for (int64_t i = 0; i < box.numel; i++)
		if (!fits_dtype(known[i], v->type.dtype))
			return;
	v->known = known;
}
