/* widen.c - the pass widen: floats that are only stored (f16, bf16, a byte and less) are computed with in f32, integers of less than
 * a byte in i8 and u8.
 *
 *   %y: f16[n] = add %a, %b   ->   %c: f32[n] = cast %a  %d: f32[n] = cast %b  %e: f32[n] = add %c, %d  %y: f16[n] = cast %e
 *
 * Every result is rounded to its type by the cast behind it, and no rule drops a cast to a narrower type, so that the values are
 * the same however the nodes are grouped; groups that compute so are dissolved.  Movement, `where` and control flow carry the elements
 * as they are.
 */
#include "pass.h"

static bool computes(const Node *n)
{
	bool moves = ops[n->op].cls != ClsEwise || n->op == OpIdentity || n->op == OpCast || n->op == OpWhere;
	bool reduces = ops[n->op].attrs >> Attr_reduction & 1 && attr_int(n, Attr_reduction); /* scatter */
	bool halves = n->op == OpPack && n->out[0]->type.dtype != n->in[0]->type.dtype;
	return n->op != OpBitCast && !halves && (ops[n->op].takes != TypesAny || !moves || reduces);
}

/* Panels of weights are widened by the kernel that reads them. */
static bool reads_stored(const Node *n, int i)
{
	return (n->op == OpLinearPacked || n->op == OpLinearScaled || n->op == OpExpertsPacked) && i > 0 && i != 2 && is_weight_type(n->in[i]->type.dtype);
}

static bool is_to_widen(const Node *n, int i)
{
	return n->in[i] && is_stored(n->in[i]->type.dtype) && !reads_stored(n, i);
}

bool computes_in_stored(const Node *n)
{
	bool stored = false;
	for (int i = 0; i < n->nin; i++)
		stored |= is_to_widen(n, i);
	for (int i = 0; i < n->nout; i++)
		stored |= is_stored(n->out[i]->type.dtype);
	return stored && computes(n);
}

static Value *cast_before(Module *m, Node *at, Block *block, const Loc *loc, Value *v, DType to)
{
	Type t = v->type;
	t.dtype = to;
	return build(m, block, at, OpCast, loc, 1, &v, 0, NULL, &t);
}

static void widen_attrs(Module *m, Node *n)
{
	for (int i = 0; i < n->nattr; i++)
		if (attr_infos[n->attrs[i].id].kind == AttrScalar)
			set_attr(m, n, mk_scalar(n->attrs[i].id, cast_scalar(n->attrs[i].s, wide_type(n->attrs[i].s.dtype))));
}

static void widen_node(Module *m, Node *n)
{
	for (int i = 0; i < n->nin; i++)
		if (is_to_widen(n, i))
			set_in(m, n, i, cast_before(m, n, n->block, n->loc, n->in[i], wide_type(n->in[i]->type.dtype)));
	widen_attrs(m, n);
	for (int i = 0; i < n->nout; i++) {
		Value *v = n->out[i];
		DType stored = v->type.dtype;
		if (!is_stored(stored))
			continue;
		v->type.dtype = wide_type(stored);
		Value *rounded = cast_before(m, n->next, n->block, n->loc, v, stored);
		replace_uses(m, v, rounded);
		set_in(m, rounded->def, 0, v);
	}
}

/* A text may hold groups, also with bodies inside, which no schedule takes. */
static bool stays_group(Module *m, const Node *group)
{
	(void)m;
	for (const Node *n = group->body->first; n; n = n->next)
		if (computes_in_stored(n) || has_body(n->op))
			return false;
	return true;
}

bool pass_widen(Module *m)
{
	bool changed = dissolve_groups(m, stays_group);

	FOR_ALL_NODES(n, m) {
		if (!computes_in_stored(n))
			continue;
		widen_node(m, n);
		changed = true;
	}
	return changed;
}
