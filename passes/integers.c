/* integers.c - which constants are whole numbers. */
#include "pass.h"

#include <math.h>

enum {
	MostNodes = 32, /* of an expression; the frontend's for integer weights has a handful */
	Samples = 64 /* before all elements are looked at */
};

static bool is_whole(const Const *c, uint64_t i)
{
	double x;
	return scalar_as_real(scalar_at(c->type.dtype, c->data, (int64_t)i), &x) && x == trunc(x);
}

static bool holds_whole(const Const *c)
{
	const uint64_t numel = c->data ? (uint64_t)const_numel(&c->type) : 0;
	double x;

	for (uint64_t i = 0; i < Samples && i < numel; i++)
		if (!sample_of(c, i, &x) || x != trunc(x))
			return false;
	for (uint64_t i = 0; i < numel; i++)
		if (!is_whole(c, i))
			return false;
	return c->data;
}

/* Of at most *left nodes: whole numbers that are moved, added, subtracted or multiplied stay whole. */
static bool walk(const Value *v, int *left)
{
	const Node *n = v->def;

	if (is_among(v->type.dtype, TypesInt))
		return true;
	if (v->konst)
		return holds_whole(v->konst);
	if (!n || (*left)-- <= 0)
		return false;
	if (n->op != OpCast && n->op != OpAdd && n->op != OpSub && n->op != OpMul && (ops[n->op].cls != ClsMove || !n->nin))
		return false;
	for (int i = 0; i < n->nin; i++)
		if (n->in[i] && !walk(n->in[i], left))
			return false;
	return true;
}

bool holds_integers(const Value *w)
{
	int left = MostNodes;
	return walk(w, &left);
}
