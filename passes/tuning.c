/* tuning.c - which schedule a node gets: the usual one, a numbered one while dcc --tune measures, or what a tuning file says. */
#include "kernel.h"

/* ---- shapes ------------------------------------------------------------------------------------------------------------- */

typedef struct Sizes {
	const Dim *rows, *depth, *columns;
} Sizes;

/* Rows: all but the last axis of the result.  Depth: what a sum runs over, of attention the keys of a batch. */
static Sizes sizes_of(Module *m, const Node *n)
{
	const Type *y = &n->out[0]->type, *x = &n->in[0]->type, *w = &n->in[1]->type;
	const Dim *one = dim_const(m, 1), *depth = one;

	switch (n->op) {
	case OpLinearPacked: case OpLinearScaled: depth = w->dims[1]; break;
	case OpStrassen: depth = x->dims[x->rank - 1]; break;
	case OpLinearBytes: depth = dims_product(m, x->dims + x->rank - attr_int(n, Attr_inner), (int)attr_int(n, Attr_inner)); break;
	case OpMatMul: depth = x->dims[x->rank > 1 && attr_int(n, Attr_trans_a) ? x->rank - 2 : x->rank - 1]; break;
	case OpAttention: depth = w->dims[1]; break;
	case OpWinograd: depth = x->dims[x->rank - 1]; break;
	case OpGroupConv: depth = dims_product(m, w->dims, w->rank - 1); break;
	case OpWinConv: depth = w->dims[w->rank - 1]; break;
	default: bug("%s has no shape", ops[n->op].text);
	}
	if (y->rank == 0)
		return (Sizes){one, depth, one};
	return (Sizes){dims_product(m, y->dims, y->rank - 1), depth, y->dims[y->rank - 1]};
}

bool shape_at(Module *m, const Target *t, const Node *n, const int64_t *syms, Shape *s)
{
	const Sizes sizes = sizes_of(m, n);

	*s = (Shape){.target = t, .op = n->op, .dtype = n->in[1]->type.dtype};
	return dim_eval(sizes.rows, syms, &s->rows) && dim_eval(sizes.depth, syms, &s->depth) && dim_eval(sizes.columns, syms, &s->columns);
}

bool same_shape(const Shape *a, const Shape *b)
{
	return a->target == b->target && a->op == b->op && a->dtype == b->dtype && a->rows == b->rows && a->depth == b->depth &&
	       a->columns == b->columns;
}

/* Numbers of rows up to the same power of two are alike. */
static int row_class(int64_t rows)
{
	return rows > 1 ? 64 - __builtin_clzll((uint64_t)rows - 1) : 0;
}

static bool may_be(const Dim *d, int64_t value)
{
	int64_t lo, hi;
	dim_range(d, &lo, &hi);
	return lo <= value && value <= hi;
}

static bool may_be_like(const Dim *rows, int64_t value)
{
	int64_t lo, hi;
	dim_range(rows, &lo, &hi);
	return row_class(lo) <= row_class(value) && row_class(value) <= row_class(hi);
}

/* ---- rows --------------------------------------------------------------------------------------------------------------- */

void add_tuned(Tuning *t, const Shape *shape, const Schedule *schedule, int64_t usual_ns, int64_t ns)
{
	PUSH(t->arena, t->rows, t->n, t->cap, ((Tuned){*shape, *schedule, usual_ns, ns, false}));
}

/* The row for a node; where symbols leave several, that for the largest of them, which takes most time.  NULL: none. */
static Tuned *find_tuned(Module *m, const Tuning *tuning, const Target *t, const Node *n)
{
	const Sizes sizes = sizes_of(m, n);
	Tuned *found = NULL;

	for (int i = 0; i < tuning->n; i++) {
		const Shape *s = &tuning->rows[i].shape;
		if (s->target == t && s->op == n->op && s->dtype == n->in[1]->type.dtype && may_be_like(sizes.rows, s->rows) &&
		    may_be(sizes.depth, s->depth) && may_be(sizes.columns, s->columns) && (!found || found->shape.rows < s->rows))
			found = &tuning->rows[i];
	}
	return found;
}

uint64_t tuning_hash(const Tuning *t)
{
	return t ? t->hash : 0;
}

int count_tuned(const Tuning *t)
{
	int n = 0;
	for (int i = 0; i < t->nchoice; i++)
		n += t->choices[i].tuned;
	return n;
}

int count_used(const Tuning *t)
{
	int n = 0;
	for (int i = 0; i < t->n; i++)
		n += t->rows[i].used;
	return n;
}

/* ---- for schedules ------------------------------------------------------------------------------------------------------ */

static Tuning *current(void)
{
	return pass_options() ? pass_options()->tuning : NULL;
}

void tuning_begins(void)
{
	Tuning *t = current();
	if (!t)
		return;
	t->nchoice = 0;
	for (int i = 0; i < t->n; i++)
		t->rows[i].used = false;
}

Schedule choose_schedule(Module *m, const Target *target, const Node *root)
{
	Tuning *t = current();
	const int count = count_schedules(root->op);
	if (!t || count == 1)
		return usual_schedule(target, root->op);
	Tuned *row = t->number == AsTuned ? find_tuned(m, t, target, root) : NULL;
	PUSH(t->arena, t->choices, t->nchoice, t->capchoice, ((Choice){.target = target, .node = root, .tuned = row != NULL}));
	if (row)
		row->used = true;
	return row ? row->schedule : schedule_number(target, root->op, t->number != AsTuned && t->number < count ? t->number : 0);
}

void schedule_steps(const Target *target, const Node *root, int from, int to)
{
	Tuning *t = current();
	for (int i = t ? t->nchoice - 1 : -1; i >= 0; i--)
		if (t->choices[i].node == root && t->choices[i].target == target) {
			t->choices[i].from = from;
			t->choices[i].to = to;
			return;
		}
}
