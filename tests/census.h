/* census.h - how often the fuzzer compared each operator, by element type.
 *
 * A node counts if its elements, of which there is one at least, reach an output of a graph whose outputs were compared, and if they
 * are computed while the model runs: nodes at the top level that are no constants.  Its element type is that of the result; where no
 * operand has that one (comparisons, casts, positions), of the first operand that the operator takes.  Casts count by their results as
 * well, in a line of their own.
 */
#ifndef DCC_CENSUS_H
#define DCC_CENSUS_H

#include "../ir/ir.h"

enum { CastTo = NOps, NLines, Enough = 100 };

typedef struct Census {
	int counts[NLines][NDTypes];
} Census;

/* What the shape functions last said of a pair that was tried in vain. */
static char refusals[NOps][NDTypes][200];

/* What ops.def lets the operator compute with, and has code for. */
static bool is_permitted(Op op, DType t)
{
	bool coded = ops[op].code == CodeAll || (ops[op].code == CodeFlt ? is_among(t, TypesFlt) : wide_type(t) == F32);
	return is_among(t, ops[op].takes) && coded;
}

static DType type_counted(const Node *n)
{
	DType t = n->out[0]->type.dtype;
	bool has_it = ops[n->op].cls == ClsControl;
	for (int i = 0; i < n->nin; i++)
		has_it = has_it || (n->in[i] && n->in[i]->type.dtype == t);
	for (int i = 0; i < n->nin && !has_it; i++)
		if (n->in[i] && is_among(n->in[i]->type.dtype, ops[n->op].takes))
			return n->in[i]->type.dtype;
	return t;
}

enum { MarkElements = 1, MarkLive = 2 }; /* bits of Node.mark */

static void mark_elements(void *ctx, Value *v, const Tensor *t)
{
	(void)ctx;
	if (v->def && tensor_numel(t) > 0)
		v->def->mark |= MarkElements;
}

/* Uses lie behind v. */
static bool is_live(const Value *v)
{
	for (int i = 0; i < v->nuse; i++) {
		const Node *user = v->uses[i].node ? v->uses[i].node : v->uses[i].block->owner;
		while (user && user->block->owner)
			user = user->block->owner;
		if (!user || user->mark & MarkLive)
			return true;
	}
	return false;
}

/* The nodes of m that count, given that mark_elements saw them: as many as *n, each as line * NDTypes + type, in the module's memory. */
static int *take_census(Module *m, int *n)
{
	Block *b = &m->main->body;
	int room = 0;
	*n = 0;
	for (Node *x = b->first; x; x = x->next)
		room += 2;
	int *list = arena_alloc(m->arena, ((size_t)room + 1) * sizeof *list);
	for (Node *x = b->last; x; x = x->prev) {
		bool live = x->op == OpMeasure, counts = x->mark & MarkElements && !is_const(x->out[0]);
		for (int i = 0; i < x->nout; i++)
			live = live || is_live(x->out[i]);
		x->mark = live ? MarkLive : 0;
		if (live && counts)
			list[(*n)++] = (int)x->op * NDTypes + (int)type_counted(x);
		if (live && counts && x->op == OpCast)
			list[(*n)++] = CastTo * NDTypes + (int)x->out[0]->type.dtype;
	}
	for (Node *x = b->first; x; x = x->next)
		x->mark = 0;
	return list;
}

static void add_census(Census *c, const int *list, int n)
{
	for (int i = 0; i < n; i++)
		c->counts[list[i] / NDTypes][list[i] % NDTypes]++;
}

/* A line for each operator, a column for each type; "-": not permitted. */
static void print_census(FILE *f, const char *what, const Census *c)
{
	fprintf(f, "%-17s", what);
	for (DType t = 0; t < NDTypes; t++)
		fprintf(f, " %6.6s", dtypes[t].text + (is_tiny(t) && dtypes[t].bits == 8));
	fprintf(f, "\n");
	for (int line = 0; line < NLines; line++) {
		fprintf(f, "%-17s", line == CastTo ? "cast to" : ops[line].text);
		for (DType t = 0; t < NDTypes; t++)
			if (c->counts[line][t] || line == CastTo || is_permitted((Op)line, t))
				fprintf(f, " %6d", c->counts[line][t]);
			else
				fprintf(f, " %6s", "-");
		fprintf(f, "\n");
	}
}

/* The permitted pairs that were compared less often than Enough, a line for each operator; what the shape functions refuse all the same
 * has lines of its own and does not count.  Returns how many. */
static int print_rare(FILE *f, const Census *c)
{
	int all = 0;
	for (Op op = 0; op < NOps; op++) {
		int rare = 0;
		for (DType t = 0; t < NDTypes; t++) {
			int n = c->counts[op][t];
			if (!is_permitted(op, t) || n >= Enough || (!n && *refusals[op][t]))
				continue;
			if (!rare++)
				fprintf(f, "rare: %s of", ops[op].text);
			fprintf(f, " %s %d", dtypes[t].text, n);
		}
		if (rare)
			fprintf(f, "\n");
		for (DType t = 0; t < NDTypes; t++)
			if (!c->counts[op][t] && *refusals[op][t])
				fprintf(f, "refused: %s of %s: %s", ops[op].text, dtypes[t].text, refusals[op][t]);
		all += rare;
	}
	return all;
}

#endif
