/* log_sum.c - probabilities that a model makes of the logarithms of their sums: exp(s - l), l = log(sum(exp(s))) along the last axis.
 *
 * But for the rounding of l they are softmax(s), and l weighs what several attentions give (LSH attention in rounds).  What exporters
 * write for l is safe from overflow: log(sum(exp(s - c))) + c, where c is the largest s, or 0 if that is infinite.
 */
#include "idioms.h"
#include <math.h>

static Node *made_by(const Value *v, Op op)
{
	return v->def && v->def->op == op ? v->def : NULL;
}

static bool is_uniform(Value *v, double x)
{
	double c;
	return uniform_value(v, &c) && c == x;
}

/* v, which only its user needs, is `op` of x along the last axis, which stays. */
static Node *along_rows(const Value *v, Op op, int users)
{
	const int64_t *axes;
	Node *n = made_by(v, op);

	if (!n || v->nuse != users || !attr_int(n, Attr_keepdims) || attr_ints(n, Attr_axes, &axes) != 1 || axes[0] != v->type.rank - 1)
		return NULL;
	return n;
}

/* where(|most| == inf, 0, most) of the largest x: returns x; NULL: it is something else, or needed elsewhere. */
static Value *largest_of(const Value *c)
{
	Node *choice = c->nuse == 2 ? made_by(c, OpWhere) : NULL, *most = choice ? along_rows(choice->in[2], OpReduceMax, 2) : NULL;
	Node *same = most && choice->in[0]->nuse == 1 ? made_by(choice->in[0], OpEq) : NULL;

	for (int i = 0; same && i < 2; i++) {
		Node *size = same->in[i]->nuse == 1 ? made_by(same->in[i], OpAbs) : NULL;
		if (size && size->in[0] == most->out[0] && is_uniform(same->in[1 - i], INFINITY) && is_uniform(choice->in[1], 0))
			return most->in[0];
	}
	return NULL;
}

/* The s of l; NULL: l is something else, or what it is made of is needed elsewhere. */
static Value *scores_of(const Value *l)
{
	Node *add = made_by(l, OpAdd);

	for (int i = 0; add && i < 2; i++) {
		Node *log = add->in[i]->nuse == 1 ? made_by(add->in[i], OpLog) : NULL, *sum = log ? along_rows(log->in[0], OpSum, 1) : NULL;
		Node *exp = sum && sum->in[0]->nuse == 1 ? made_by(sum->in[0], OpExp) : NULL;
		Node *sub = exp && exp->in[0]->nuse == 1 ? made_by(exp->in[0], OpSub) : NULL;
		if (sub && sub->in[1] == add->in[1 - i] && largest_of(sub->in[1]) == sub->in[0])
			return sub->in[0];
	}
	return NULL;
}

Value *log_sum_of(const Value *p)
{
	enum { Users = 3 /* of the scores: c and the sums of l, and p */ };
	Node *exp = made_by(p, OpExp), *sub = exp && exp->in[0]->nuse == 1 ? made_by(exp->in[0], OpSub) : NULL;

	if (p->type.dtype == F64)
		return NULL; /* which is computed openly, without the rounding of l */
	return sub && scores_of(sub->in[1]) == sub->in[0] && sub->in[0]->nuse == Users ? sub->in[1] : NULL;
}

bool is_log_sum_ready(const Value *l, const Value *p, const Node *end)
{
	enum { Farthest = 1000 /* nodes between them: a walk through them for each attention stays short */ };
	const Node *sub = p->def->in[0]->def;
	int left = Farthest;

	for (int u = 0; u < l->nuse; u++)
		if (l->uses[u].node ? l->uses[u].node->block != end->block : l->uses[u].block != end->block)
			return false;
	for (const Node *n = end->prev; n && n != l->def; n = n->prev) {
		if (--left < 0)
			return false;
		for (int i = 0; i < n->nin; i++)
			if (n->in[i] == l && n != sub)
				return false;
	}
	return true;
}
