/* simplify.c - the passes simplify and tidy: rules, constant folding, common subexpressions and dead nodes to a fixpoint.
 *
 * Folding evaluates only results of at most MaxFold elements, which print inline.  Larger constant expressions (transposed
 * or packed weights) stay nodes and are evaluated one by one when the object is written, so no copy of a weight lives long.
 */
#include "idioms.h"
#include "rewrite.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MaxFold = 64, MaxRounds = 100 };

/* ---- constant folding --------------------------------------------------------------------------------------------------- */

static bool has_const_dims(const Type *t)
{
	for (int d = 0; d < t->rank; d++)
		if (!dim_is_const(t->dims[d], NULL))
			return false;
	return true;
}

static bool fold_small(Module *m, Node *n)
{
	Value *v = n->out[0];
	Tensor t = {0};

	if (n->nout != 1 || n->body || !is_const(v) || !has_const_dims(&v->type) || const_numel(&v->type) > MaxFold)
		return false;
	if (n->op == OpDims && !v->known)
		return false;
	const char *error = eval_const(m, v, &t);
	if (error) {
		error_at(n->loc, "%s", error);
		return false;
	}
	size_t bytes = const_numel(&v->type) * dtypes[v->type.dtype].bytes;
	void *data = arena_alloc(m->arena, bytes + 1);
	memcpy(data, t.data, bytes);
	free_tensor(&t);
	replace_uses(m, v, new_const(m, NULL, v->type, data, bytes)->value);
	return true;
}

static Value *build_uniform(Module *m, const Type *t, Scalar s, Node *before)
{
	Value *c = const_scalar(m, s)->value;
	return t->rank ? build(m, before->block, before, OpExpand, before->loc, 1, &c, 0, NULL, t) : c;
}

/* A comparison of index tensors whose ranges do not overlap. */
static bool fold_compare(Module *m, Node *n)
{
	Affine a, b;
	const Dim *alo, *ahi, *blo, *bhi;
	int64_t lo, hi;

	if ((n->op != OpLt && n->op != OpLe) || !affine_of(m, n->in[0], &a) || !affine_of(m, n->in[1], &b) ||
	    !affine_range(m, &a, &n->in[0]->type, &alo, &ahi) || !affine_range(m, &b, &n->in[1]->type, &blo, &bhi))
		return false;
	int64_t strict = n->op == OpLt;
	dim_range(dim_sub(m, blo, ahi), &lo, &hi);
	bool yes = lo >= strict;
	dim_range(dim_sub(m, bhi, alo), &lo, &hi);
	if (!yes && hi >= strict)
		return false;
	replace_uses(m, n->out[0], build_uniform(m, &n->out[0]->type, scalar_of_int(Bool, yes), n));
	return true;
}

/* Gathering from a tensor whose elements are all equal. */
static bool fold_uniform_gather(Module *m, Node *n)
{
	Scalar s;

	if ((n->op != OpGather && n->op != OpGatherElem && n->op != OpGatherND) || !uniform_scalar(n->in[0], &s))
		return false;
	replace_uses(m, n->out[0], build_uniform(m, &n->out[0]->type, s, n));
	return true;
}

static Value *expanded(Module *m, Value *v, Node *n)
{
	const Type *t = &n->out[0]->type;
	return type_equal(&v->type, t) ? v : build(m, n->block, n, OpExpand, n->loc, 1, &v, 0, NULL, t);
}

/* A condition that is known everywhere: and(x, true), or(x, true), where(true, a, b) and the like. */
static bool fold_condition(Module *m, Node *n)
{
	Scalar c;

	if (n->op == OpWhere && uniform_scalar(n->in[0], &c)) {
		replace_uses(m, n->out[0], expanded(m, n->in[c.i ? 1 : 2], n));
		return true;
	}
	for (int i = 0; (n->op == OpAnd || n->op == OpOr) && n->out[0]->type.dtype == Bool && i < 2; i++)
		if (uniform_scalar(n->in[i], &c)) {
			bool other = (n->op == OpAnd) == (c.i != 0); /* it decides nothing */
			replace_uses(m, n->out[0], expanded(m, n->in[other ? 1 - i : i], n));
			return true;
		}
	return false;
}

/* f(where(c, a, b)) -> where(c, f(a), f(b)) where all else is uniform: what masks are made of by eq, not, cast and where. */
static bool fold_choice(Module *m, Node *n)
{
	Node *choice = NULL;
	Value *in[2][MaxIn];
	Scalar s;

	if (ops[n->op].cls != ClsEwise || ops[n->op].given || n->op == OpIdentity)
		return false;
	for (int i = 0; i < n->nin; i++) {
		Node *d = n->in[i]->def;
		bool chosen = d && d->op == OpWhere && uniform_scalar(d->in[1], &s) && uniform_scalar(d->in[2], &s);
		if (chosen ? choice != NULL : !uniform_scalar(n->in[i], &s))
			return false;
		for (int k = 0; k < 2; k++) {
			uniform_scalar(chosen ? d->in[1 + k] : n->in[i], &s);
			in[k][i] = const_scalar(m, s)->value;
		}
		choice = chosen ? d : choice;
	}
	if (!choice)
		return false;
	Value *y[3] = {choice->in[0]};
	for (int k = 0; k < 2; k++)
		y[1 + k] = build(m, n->block, n, n->op, n->loc, n->nin, in[k], n->nattr, n->attrs, NULL);
	replace_uses(m, n->out[0], expanded(m, build(m, n->block, n, OpWhere, n->loc, 3, y, 0, NULL, NULL), n));
	return true;
}

/* where(c, true, false) -> c, where(c, false, true) -> not c */
static bool fold_bool_choice(Module *m, Node *n)
{
	Scalar a, b;

	if (n->op != OpWhere || n->out[0]->type.dtype != Bool || !uniform_scalar(n->in[1], &a) || !uniform_scalar(n->in[2], &b) ||
	    a.i == b.i)
		return false;
	Value *c = n->in[0];
	if (!a.i)
		c = build(m, n->block, n, OpNot, n->loc, 1, &c, 0, NULL, NULL);
	replace_uses(m, n->out[0], expanded(m, c, n));
	return true;
}

/* Elementwise over uniform operands: the scalar is folded, then expanded. */
static bool fold_uniform_ewise(Module *m, Node *n)
{
	Scalar s;
	Value *in[MaxIn];

	if (ops[n->op].cls != ClsEwise || n->nout != 1 || n->out[0]->type.rank == 0 || ops[n->op].given)
		return false;
	for (int i = 0; i < n->nin; i++)
		if (!uniform_scalar(n->in[i], &s))
			return false;
	for (int i = 0; i < n->nin; i++) {
		uniform_scalar(n->in[i], &s);
		in[i] = const_scalar(m, s)->value;
	}
	Value *y = build(m, n->block, n, n->op, n->loc, n->nin, in, n->nattr, n->attrs, NULL);
	replace_uses(m, n->out[0], build(m, n->block, n, OpExpand, n->loc, 1, &y, 0, NULL, &n->out[0]->type));
	return true;
}

/* A carried value that no iteration changes is what it was before the loop: weights of a cell that TensorFlow spells as a loop. */
static bool fold_unchanged(Module *m, Node *n)
{
	bool changed = false;
	if (n->op != OpLoop)
		return false;
	int first = loop_has_cond(n);
	for (int i = loop_carried(n) - 1; i >= 0; i--) {
		Value *inside = n->body->params[i], *before = n->in[first + i];
		if (n->body->yields[first + i] != inside || !type_equal(&inside->type, &before->type))
			continue;
		replace_uses(m, inside, before);
		replace_uses(m, n->out[i], before);
		drop_carried(n, i);
		changed = true;
	}
	return changed;
}

/* A pad of nothing: exporters write pads that turn out to be 0 whatever the sizes. */
static bool fold_pad(Module *m, Node *n)
{
	const Dim *const *pads;
	if (n->op != OpPad)
		return false;
	for (int i = attr_dims(n, Attr_pads_dim, &pads) - 1; i >= 0; i--)
		if (!dim_equals(pads[i], 0))
			return false;
	replace_uses(m, n->out[0], n->in[0]);
	return true;
}

/* Is v one of the numbers that `stored`, f16 or bf16, holds?  What chooses among those, or changes the sign of one, computes such. */
static bool is_rounded(Value *v, DType stored, int depth)
{
	enum { MostDeep = 8 };
	const Node *n = v->def;
	Scalar s;

	if (uniform_scalar(v, &s))
		return same_scalar(cast_scalar(cast_scalar(s, stored), s.dtype), s);
	if (!n || depth == MostDeep)
		return false;
	if (n->op == OpCast)
		return n->in[0]->type.dtype == stored;
	if (n->op != OpMax && n->op != OpMin && n->op != OpRelu && n->op != OpClip && n->op != OpNeg && n->op != OpAbs)
		return false;
	for (int i = 0; i < n->nattr; i++)
		if (attr_infos[n->attrs[i].id].kind == AttrScalar && !same_scalar(cast_scalar(cast_scalar(n->attrs[i].s, stored), n->attrs[i].s.dtype), n->attrs[i].s))
			return false;
	for (int i = 0; i < n->nin; i++)
		if (!is_rounded(n->in[i], stored, depth + 1))
			return false;
	return true;
}

/* cast(cast(v)) -> v where the type between holds v: a max or min of half floats needs no rounding of its own. */
static bool fold_round_trip(Module *m, Node *n)
{
	const Node *inner = n->op == OpCast ? n->in[0]->def : NULL;

	if (!inner || inner->op != OpCast)
		return false;
	const DType between = inner->out[0]->type.dtype;
	Value *v = inner->in[0];
	if ((between != F16 && between != BF16) || (v->type.dtype != F32 && v->type.dtype != F64)) /* which hold all that those do */
		return false;
	if (v->type.dtype != n->out[0]->type.dtype || !is_rounded(v, between, 0))
		return false;
	replace_uses(m, n->out[0], v);
	return true;
}

static bool fold(Module *m)
{
	bool changed = false;

	FOR_ALL_NODES(n, m)
		if (!is_unused(n) &&
		    (fold_unchanged(m, n) || fold_pad(m, n) || fold_compare(m, n) || fold_uniform_gather(m, n) || fold_small(m, n) || fold_uniform_ewise(m, n) || fold_condition(m, n) ||
		     fold_choice(m, n) || fold_bool_choice(m, n) || fold_round_trip(m, n)))
			changed = true;
	return changed;
}

/* ---- common subexpressions ---------------------------------------------------------------------------------------------- */

static bool same_node(const Node *a, const Node *b)
{
	if (a->op != b->op || a->nin != b->nin || a->nattr != b->nattr || !type_equal(&a->out[0]->type, &b->out[0]->type))
		return false;
	for (int i = 0; i < a->nin; i++)
		if (a->in[i] != b->in[i])
			return false;
	for (int i = 0; i < a->nattr; i++) {
		const Attr *other = find_attr(b, a->attrs[i].id);
		if (!other || !same_attr(&a->attrs[i], other))
			return false;
	}
	return true;
}

static bool same_const(const Const *a, const Const *b)
{
	return a->bytes == b->bytes && type_equal(&a->type, &b->type) && !memcmp(a->data, b->data, a->bytes);
}

/* Small equal constants become one, so that nodes that use them can be equal. */
static bool merge_consts(Module *m)
{
	bool changed = false;
	enum { Slots = 4096, Small = 64 };
	Const **slot = arena_alloc(m->arena, Slots * sizeof *slot);

	for (int i = 0; i < m->nconst; i++) {
		Const *c = m->consts[i];
		if (!c->value->nuse || c->bytes > Small)
			continue;
		uint64_t h = hash_bytes(c->data, c->bytes, c->type.dtype);
		for (int probe = 0; probe < 8; probe++) {
			Const **s = &slot[(h + probe) % Slots];
			if (!*s) {
				*s = c;
				break;
			}
			if (same_const(*s, c)) {
				replace_uses(m, c->value, (*s)->value);
				changed = true;
				break;
			}
		}
	}
	return changed;
}

static uint64_t hash_attr(const Attr *a, uint64_t h)
{
	int64_t parts[] = {(int64_t)(uintptr_t)a->dim, a->i};
	h = table_hash(parts, sizeof parts, h + a->id);
	h = table_hash(&a->f, sizeof a->f, h);
	if (a->text)
		h = table_hash(a->text, strlen(a->text), h);
	if (a->ints)
		h = table_hash(a->ints, a->n * sizeof *a->ints, h);
	return a->dims ? table_hash(a->dims, a->n * sizeof *a->dims, h) : h;
}

static uint64_t hash_node(const Node *n)
{
	const Type *t = &n->out[0]->type;
	uint64_t h = table_hash(n->in, n->nin * sizeof *n->in, n->op);
	for (int i = 0; i < n->nattr; i++)
		h = hash_attr(&n->attrs[i], h);
	return table_hash(t->dims, t->rank * sizeof *t->dims, h);
}

static bool is_same_node(const void *item, const void *key)
{
	const Node *a = item, *b = key;
	return a->block == b->block && same_node(a, b);
}

/* A node is looked up once its operands are merged. */
static bool merge_nodes(Module *m, bool constants_only)
{
	bool changed = false;
	Table seen = {0};

	FOR_ALL_NODES(n, m) {
		if (n->body || n->nout != 1 || (n->nin ? !n->in[0] : n->op != OpIota) || is_unused(n) || (constants_only && (!is_const(n->out[0]) || is_output(n->out[0]))))
			continue;
		uint64_t hash = hash_node(n);
		const Node *same = table_find(&seen, hash, is_same_node, n);
		if (same) {
			replace_uses(m, n->out[0], same->out[0]);
			changed = true;
		} else {
			table_add(m->arena, &seen, hash, n);
		}
	}
	return changed;
}

bool merge_constants(Module *m)
{
	return merge_nodes(m, true);
}

/* ---- the passes --------------------------------------------------------------------------------------------------------- */

static bool simplify_once(Module *m)
{
	bool changed = apply_rules(m, -1);

	changed |= fold(m);
	changed |= merge_consts(m);
	changed |= merge_nodes(m, false);
	changed |= remove_dead(m);
	return changed;
}

bool pass_simplify(Module *m)
{
	bool changed = remove_dead(m);

	for (int round = 0; simplify_once(m); round++) {
		changed = true;
		if (round == MaxRounds)
			bug("simplify does not end");
	}
	return changed;
}

bool pass_tidy(Module *m)
{
	bool changed = false;

	for (int round = 0;; round++) {
		bool again = sink_transposes(m);
		FOR_ALL_NODES(n, m) /* of linears that were convolutions */
			if (n->nout == 1 && n->out[0]->nuse)
				again |= fuse_glu(m, n);
		again |= pass_canon(m);
		again |= pass_simplify(m);
		if (!again)
			break;
		changed = true;
		if (round == MaxRounds)
			bug("tidy does not end");
	}
	return changed;
}
