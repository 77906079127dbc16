/* constness.c - which values are computed from constants alone: Value.konst_expr, which is_const() answers by.
 *
 * Kept up to date by whatever changes a node: update_const() after it carries the change to all that is computed from it.
 */
#include "graph.h"

static bool are_const(int n, const Dim *const *dims)
{
	for (int i = 0; i < n; i++)
		if (!dim_is_const(dims[i], NULL))
			return false;
	return true;
}

enum { GrowFreely = 32 << 20 }; /* bytes */

static double bytes_of(const Value *v)
{
	double bytes = dtypes[v->type.dtype].bytes;
	for (int d = 0; d < v->type.rank; d++) {
		int64_t extent = 0;
		dim_is_const(v->type.dims[d], &extent);
		bytes *= (double)extent;
	}
	return bytes;
}

/* What makes of a constant one that is larger by a factor that we know: packing, which pads, sums of weights, a cast. */
static bool grows_little(Op op)
{
	return op == OpPack || op == OpPackBytes || op == OpUnpack || op == OpCast || op == OpWinogradWeights || op == OpStrassenWeights ||
	       op == OpSparseWeights || op == OpSparseIndex;
}

/* A few bytes of a file can ask for a constant of gigabytes: what is large, and larger than what it is computed from, is left
 * to the run. */
static bool grows(const Node *n)
{
	double from = GrowFreely, to = 0;
	for (int i = 0; i < n->nin; i++)
		from += n->in[i] ? bytes_of(n->in[i]) : 0;
	for (int i = 0; i < n->nout; i++)
		to += bytes_of(n->out[i]);
	return !grows_little(n->op) && to > from;
}

static bool computes_const(const Node *n)
{
	if (ops[n->op].cls == ClsGroup || ops[n->op].cls == ClsExtern || ops[n->op].cls == ClsControl)
		return false;
	for (int i = 0; i < n->nin; i++)
		if (n->in[i] && !n->in[i]->konst_expr)
			return false;
	for (int i = 0; i < n->nattr; i++) {
		const Attr *a = &n->attrs[i];
		if ((a->dim && !dim_is_const(a->dim, NULL)) || (a->dims && !are_const(a->n, a->dims)))
			return false;
	}
	for (int i = 0; i < n->nout; i++)
		if (!are_const(n->out[i]->type.rank, n->out[i]->type.dims))
			return false;
	return !grows(n);
}

/* Whether the results of n changed. */
static bool update_results(Node *n)
{
	bool now = computes_const(n), changed = false;
	for (int i = 0; i < n->nout; i++) {
		changed |= n->out[i]->konst_expr != now;
		n->out[i]->konst_expr = now;
	}
	return changed;
}

/* Carries a change to all that is computed from n.  Ends because the graph has no cycles. */
void update_const(Module *m, Node *n)
{
	int count = 0, cap = 0;
	Node **work = NULL;
	if (!update_results(n))
		return;
	PUSH(m->arena, work, count, cap, n);
	while (count) {
		Node *from = work[--count];
		for (int i = 0; i < from->nout; i++) {
			for (int j = 0; j < from->out[i]->nuse; j++) {
				Node *user = from->out[i]->uses[j].node;
				if (user && update_results(user))
					PUSH(m->arena, work, count, cap, user);
			}
		}
	}
}

bool is_const(const Value *v)
{
	return v->konst_expr;
}
