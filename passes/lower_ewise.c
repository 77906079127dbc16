/* lower_ewise.c - elementwise groups and copies: one pass over the iteration space of the result.
 *
 * Adjacent axes that are contiguous for every operand are one loop; the innermost runs 16 lanes at a time, the product of the
 * others is split over the workers, long rows into runs.
 */
#include "lower.h"

enum {
	RunLen = 4096, /* elements of the innermost loop that one worker takes at a time */
	Large = 1 << 13, /* elements */
	ShortRow = 4,
	FewRows = 4, /* are not worth a loop of their own */
	MostCopies = 32 /* of operators, in a body that computes each element of a short row by itself */
};

/* ---- leaves ------------------------------------------------------------------------------------------------------------------ */

static void add_leaf(Leaves *l, Value *v)
{
	for (Node *n = l->first; n != l->end; n = n->next)
		if (v->def == n)
			return;
	for (int i = 0; i < l->n; i++)
		if (l->of[i] == v)
			return;
	l->of[l->n++] = v;
}

void open_leaves(Kernel *k, Leaves *l, int rank)
{
	for (Node *n = l->first; n != l->end; n = n->next)
		for (int i = 0; i < n->nin; i++)
			add_leaf(l, n->in[i]);
	for (int i = 0; i < l->n; i++) {
		Access a = kaccess(k, l->of[i]);
		l->access[i] = broadcast_access(k->l->m, &a, rank);
	}
}

LExpr *member_or_leaf(const Leaves *l, const Value *v, LExpr *const *loaded, LExpr *const *values)
{
	int at = 0;
	for (const Node *n = l->first; n != l->end; n = n->next, at++)
		if (v->def == n)
			return values[at];
	for (int i = 0; i < l->n; i++)
		if (l->of[i] == v)
			return loaded[i];
	bug("a value inside an elementwise group is unknown");
}

void emit_members(Kernel *k, const Leaves *l, LExpr *const *loaded, LExpr **values)
{
	LExpr *in[MaxIn];
	int at = 0;

	for (Node *n = l->first; n != l->end; n = n->next) {
		for (int i = 0; i < n->nin; i++)
			in[i] = member_or_leaf(l, n->in[i], loaded, values);
		values[at++] = emit_scalar(k, n, in);
	}
}

/* ---- iteration space --------------------------------------------------------------------------------------------------------- */

typedef struct Space {
	Kernel *k;
	Leaves in; /* broadcast to the space */
	Value *result;
	int rank;
	const Dim *extent[MaxRank];
	Access out; /* the results' common strides; the buffers: */
	int nresult;
	Value *results[MaxResults];
	LBuf *stores[MaxResults];
	LExpr *base[MaxLeaves], *out_base; /* offsets at the current outer index */
	/* Short rows that are interleaved: elements of a row, 1 where there are none; from one of them to the next in each leaf. */
	int row;
	const Dim *apart[MaxLeaves];
} Space;

static bool is_contiguous_pair(Module *m, const Space *s, const Access *a, int d)
{
	return a->stride[d] == dim_mul(m, a->stride[d + 1], s->extent[d + 1]);
}

static void drop_axis(Access *a, int d)
{
	for (int e = d; e + 1 < a->rank; e++)
		a->stride[e] = a->stride[e + 1];
	a->rank--;
}

/* Removes axes of extent 1 and merges neighbours that every operand walks as one. */
static void collapse(Module *m, Space *s)
{
	for (int d = s->rank - 1; d >= 0; d--) {
		bool unit = dim_equals(s->extent[d], 1), merge = d + 1 < s->rank && is_contiguous_pair(m, s, &s->out, d);
		for (int i = 0; i < s->in.n && merge; i++)
			merge = is_contiguous_pair(m, s, &s->in.access[i], d);
		if (!unit && !merge)
			continue;
		if (merge && !unit)
			s->extent[d + 1] = dim_mul(m, s->extent[d], s->extent[d + 1]);
		for (int e = d; e + 1 < s->rank; e++)
			s->extent[e] = s->extent[e + 1];
		for (int i = 0; i < s->in.n; i++)
			drop_axis(&s->in.access[i], d);
		drop_axis(&s->out, d);
		s->rank--;
	}
}

static void swap_strides(Access *a, int d)
{
	const Dim *stride = a->stride[d];
	a->stride[d] = a->stride[d + 1];
	a->stride[d + 1] = stride;
}

static int count_members(const Space *s)
{
	int n = 0;
	for (const Node *at = s->in.first; at != s->in.end; at = at->next)
		n++;
	return n;
}

/* The rows of the results, which lie behind one another, are made of as many vectors as they have elements. */
static bool interleave_rows(Space *s, int64_t n)
{
	const int d = s->rank - 2;

	if ((n != 2 && n != 4 && n != 8) || n * count_members(s) > MostCopies || !dim_equals(s->out.stride[d + 1], 1) || !dim_equals(s->out.stride[d], n))
		return false;
	for (int i = 0; i < s->nresult; i++)
		if (!loop_takes(LZipLo, s->results[i]->type.dtype))
			return false;
	for (int i = 0; i < s->in.n; i++)
		if (!is_small_step(s->in.access[i].stride[d]))
			return false;
	for (int i = 0; i < s->in.n; i++) {
		s->apart[i] = s->in.access[i].stride[d + 1];
		s->in.access[i].rank--;
	}
	s->out.rank--;
	s->row = (int)n;
	s->rank--;
	return true;
}

/* A vector goes across short rows, as of complex pairs, instead of along one, unless there are only a few. */
static void turn_short_rows(Space *s)
{
	const int d = s->rank - 2;
	int64_t shorter, longer;

	if (d < 0 || !dim_is_const(s->extent[d + 1], &shorter) || (dim_is_const(s->extent[d], &longer) && longer < Lanes))
		return;
	if (interleave_rows(s, shorter) || shorter > ShortRow)
		return;
	const Dim *extent = s->extent[d];
	s->extent[d] = s->extent[d + 1];
	s->extent[d + 1] = extent;
	swap_strides(&s->out, d);
	for (int i = 0; i < s->in.n; i++)
		swap_strides(&s->in.access[i], d);
}

/* Vector number `row` of the results at index i of the innermost axis. */
static void compute_vectors(Space *s, LExpr *i, int row, LExpr *mask, LExpr **results)
{
	Kernel *k = s->k;
	LB *b = &k->b;
	LExpr *leaves[MaxLeaves], *values[MaxMembers];

	for (int j = 0; j < s->in.n; j++) {
		const Dim *stride = s->rank ? s->in.access[j].stride[s->rank - 1] : dim_const(k->l->m, 0);
		LExpr *offset = s->base[j];
		if (row && !dim_equals(s->apart[j], 0))
			offset = ladd(b, offset, lmul(b, li(b, row), kstep(k, s->apart[j])));
		if (!dim_equals(stride, 0))
			offset = ladd(b, offset, lmul(b, i, kstep(k, stride)));
		leaves[j] = llet(b, load_lanes(k, &s->in.access[j], offset, stride, mask));
	}
	emit_members(k, &s->in, leaves, values);
	for (int j = 0; j < s->nresult; j++)
		results[j] = member_or_leaf(&s->in, s->results[j], leaves, values);
}

static void store_rows(Space *s, LExpr *i, LExpr *mask)
{
	Kernel *k = s->k;
	LB *b = &k->b;
	LExpr *row[Lanes][MaxResults], *lanes[Lanes], *first = llet(b, lmul(b, i, li(b, s->row)));

	for (int r = 0; r < s->row; r++)
		compute_vectors(s, i, r, mask, row[r]);
	LExpr *left = mask ? lsub(b, lmul(b, kdim(k, s->extent[s->rank - 1]), li(b, s->row)), first) : NULL;
	for (int j = 0; j < s->nresult; j++) {
		for (int r = 0; r < s->row; r++)
			lanes[r] = row[r][j];
		interleave_lanes(b, lanes, s->row);
		for (int r = 0; r < s->row; r++) {
			LExpr *before = li(b, r * Lanes);
			LExpr *inside = mask ? lane_mask(k, lsub(b, left, before)) : NULL;
			lstore(b, s->stores[j], ladd(b, ladd(b, s->out_base, first), before), NULL, inside, lanes[r]);
		}
	}
}

/* One vector of the result at index i of the innermost axis, or one of each element of its short rows. */
static void emit_vector(void *ctx, Kernel *k, LExpr *i, LExpr *mask)
{
	Space *s = ctx;
	LB *b = &k->b;
	LExpr *results[MaxResults];
	int last = s->rank - 1;

	if (s->row > 1) {
		store_rows(s, i, mask);
		return;
	}
	compute_vectors(s, i, 0, mask, results);
	LExpr *step = s->rank && !dim_equals(s->out.stride[last], 1) ? kstep(k, s->out.stride[last]) : NULL;
	LExpr *to = ladd(b, s->out_base, step ? lmul(b, i, step) : i);
	for (int j = 0; j < s->nresult; j++)
		lstore(b, s->stores[j], to, step, mask, results[j]);
}

/* Do their elements differ by a distance that is the same everywhere, as the taps of a window do? */
static bool lie_alike(const Access *a, const Access *b)
{
	bool same = a->rank == b->rank;
	for (int d = 0; same && d < a->rank; d++)
		same = a->stride[d] == b->stride[d];
	return same;
}

/* idx: of the outer axes from number `from` on; of those before them from the flat index `at`.  Sets the bases. */
static void set_bases_from(Space *s, LExpr *at, LExpr **idx, int from)
{
	Kernel *k = s->k;
	LB *b = &k->b;

	for (int d = from - 1; d >= 0; d--) {
		LExpr *n = kdim(k, s->extent[d]);
		idx[d] = d ? llet(b, lop(b, LMod, at, n, NULL)) : at;
		if (d)
			at = llet(b, lop(b, LFloorDiv, at, n, NULL));
	}
	for (int i = 0; i < s->in.n; i++) {
		const Access *a = &s->in.access[i];
		int j = 0;
		while (j < i && !lie_alike(a, &s->in.access[j]))
			j++;
		LExpr *apart = j < i ? kdim(k, dim_sub(k->l->m, a->base, s->in.access[j].base)) : NULL;
		s->base[i] = llet(b, apart ? ladd(b, s->base[j], apart) : offset_of(k, a, idx));
	}
	s->out_base = llet(b, offset_of(k, &s->out, idx));
}

static void set_bases(Space *s, LExpr *at)
{
	LExpr *idx[MaxRank] = {0};
	set_bases_from(s, at, idx, s->rank - 1);
}

/* Elements lo .. hi - 1 of the innermost axis. */
static void emit_run(Space *s, LExpr *lo, LExpr *hi)
{
	Kernel *k = s->k;
	LB *b = &k->b;

	LExpr *i = lfor(b, ForSerial, lo, lsub(b, hi, li(b, Lanes - 1)), li(b, Lanes));
	emit_vector(s, k, i, NULL);
	lend(b);
	LExpr *whole = llet(b, ladd(b, lo, lmul(b, lop(b, LFloorDiv, lsub(b, hi, lo), li(b, Lanes), NULL), li(b, Lanes))));
	lif(b, llt(b, whole, hi));
	emit_vector(s, k, whole, lane_mask(k, lsub(b, hi, whole)));
	lend(b);
}

/* Indices of a short row cost as much as its elements: a task takes some of them, one behind the other along `axis` and all of the few along
 * the axes behind it.  How many along `axis`; 1: it takes one row. */
static int64_t rows_of_task(const Space *s, int *axis)
{
	int64_t row, rows;

	*axis = s->rank - 2;
	if (*axis < 0 || !dim_is_const(s->extent[*axis + 1], &row) || row * s->row > RunLen / FewRows)
		return 1;
	row = row * s->row > Lanes ? row * s->row : Lanes;
	while (dim_is_const(s->extent[*axis], &rows) && rows < FewRows) {
		if (!*axis)
			return 1;
		row *= rows > 1 ? rows : 1;
		--*axis;
	}
	return row < RunLen ? RunLen / row : 1;
}

static void emit_row_blocks(Space *s, int axis, int64_t n)
{
	Kernel *k = s->k;
	LB *b = &k->b;
	Module *m = k->l->m;
	const Dim *blocks = dim_ceildiv(m, s->extent[axis], dim_const(m, n));
	LExpr *idx[MaxRank] = {0}, *zero = li(b, 0), *some = kdim(k, dim_const(m, n));

	LExpr *task = lfor(b, ForParallel, zero, kdim(k, dim_mul(m, dims_product(m, s->extent, axis), blocks)), NULL), *at = task, *block = task;
	if (dim_equals(blocks, 1)) {
		block = zero;
	} else if (axis) {
		LExpr *count = kdim(k, blocks);
		at = llet(b, lop(b, LFloorDiv, task, count, NULL));
		block = lsub(b, task, lmul(b, at, count));
	}
	LExpr *first = llet(b, lmul(b, block, some));
	idx[axis] = lfor(b, ForSerial, first, llet(b, lop(b, LPMin, ladd(b, first, some), kdim(k, s->extent[axis]), NULL)), NULL);
	for (int d = axis + 1; d < s->rank - 1; d++)
		idx[d] = lfor(b, ForSerial, zero, kdim(k, s->extent[d]), NULL);
	set_bases_from(s, at, idx, axis);
	for_lanes(k, s->extent[s->rank - 1], emit_vector, s);
	for (int d = axis; d < s->rank; d++)
		lend(b);
}

/* For rows of the innermost axis in parallel, some of short ones, and runs of long ones. */
static void emit_rows(Space *s)
{
	Kernel *k = s->k;
	LB *b = &k->b;
	Module *m = k->l->m;
	const Dim *n = s->extent[s->rank - 1], *runs = dim_ceildiv(m, n, dim_const(m, RunLen));
	int axis;
	const int64_t some = rows_of_task(s, &axis);

	if (some > 1) {
		emit_row_blocks(s, axis, some);
		return;
	}
	LExpr *row = lfor(b, ForParallel, li(b, 0), kdim(k, dim_mul(m, dims_product(m, s->extent, s->rank - 1), runs)), NULL);
	if (dim_equals(runs, 1)) {
		set_bases(s, row);
		for_lanes(k, n, emit_vector, s);
	} else {
		LExpr *run = row;
		if (s->rank > 1) {
			LExpr *count = kdim(k, runs);
			row = llet(b, lop(b, LFloorDiv, run, count, NULL));
			run = lsub(b, run, lmul(b, row, count));
		}
		set_bases(s, row);
		LExpr *lo = llet(b, lmul(b, run, li(b, RunLen)));
		emit_run(s, lo, llet(b, lop(b, LPMin, ladd(b, lo, li(b, RunLen)), kdim(k, n), NULL)));
	}
	lend(b);
}

bool ewise_takes(Node *const *members, int n)
{
	for (int i = 0; i < n; i++)
		if (ops[members[i]->op].cls != ClsEwise || !equal_dims(&members[i]->out[0]->type, &members[0]->out[0]->type))
			return false;
	return n <= MaxMembers && count_operands(members, n) <= MaxLeaves;
}

/* A group stores all that it yields: those values have the same dims. */
static void open_results(Space *s, Node *first, Value *home)
{
	const Node *group = first ? group_of(first) : NULL;

	s->nresult = group ? group->nout : 1;
	for (int i = 0; i < s->nresult; i++) {
		s->results[i] = group ? group->body->yields[i] : s->result;
		s->stores[i] = kbuf(s->k, group ? group->out[i] : home, true);
	}
}

/* Do strides and extents that are arguments cost nothing?  Few elements, or short rows, have theirs in the code.  Symbols may be large. */
static bool is_large(const Space *s)
{
	int64_t n = 1, extent;

	if (s->rank && dim_is_const(s->extent[s->rank - 1], &extent) && extent < Lanes)
		return false;
	for (int d = 0; d < s->rank && n < Large; d++)
		if (!dim_is_const(s->extent[d], &extent) || __builtin_mul_overflow(n, extent, &n))
			n = Large;
	return n >= Large;
}

/* Over the iteration space of `result`, which is stored as `out` says. */
static void lower_space(Lower *l, const char *name, Node *first, Node *end, Value *result, Value *home, const Access *out)
{
	Kernel k = open_kernel(l, name, false);
	Space s = {.k = &k, .in = {.first = first, .end = end}, .result = result, .rank = result->type.rank, .out = *out, .row = 1};
	const Type *t = &result->type;

	if (!first)
		s.in.of[s.in.n++] = result;
	open_leaves(&k, &s.in, t->rank);
	for (int d = 0; d < t->rank; d++)
		s.extent[d] = t->dims[d];
	open_results(&s, first, home);
	collapse(l->m, &s);
	turn_short_rows(&s);
	k.general = is_large(&s);
	if (s.rank == 0) {
		set_bases(&s, NULL);
		LExpr *once = lfor(&k.b, ForParallel, li(&k.b, 0), li(&k.b, 1), li(&k.b, 1));
		emit_vector(&s, &k, once, lane_mask(&k, li(&k.b, 1)));
		lend(&k.b);
	} else {
		emit_rows(&s);
	}
	kflop_nodes(&k, first, end);
	for (int i = 0; i < s.nresult; i++)
		kreads(&k, s.stores[i], type_numel(l->m, t));
	kcall(&k);
}

/* The kernel of nodes first..end (exclusive) of one block whose last value is `result`, stored in `home`. */
void lower_ewise(Lower *l, Node *first, Node *end, Value *result, Value *home)
{
	const Access out = dense_access(l->m, &result->type, result->type.dims);
	if (first->op == OpIdentity && first->out[0] == result && !group_of(first) && lower_turned(l, first->in[0], home))
		return;
	lower_space(l, "ewise", first, end ? end : group_of(first) ? NULL : first->next, result, home, &out);
}

/* `to` gets the elements of `from` in order; from is read through its view, whatever its shape. */
void lower_copy(Lower *l, Value *from, Value *to)
{
	const Access out = dense_access(l->m, &from->type, from->type.dims);
	if (lower_turned(l, from, to))
		return;
	lower_space(l, "copy", NULL, NULL, from, to, &out);
}

void lower_part(Lower *l, const char *name, Value *from, Value *to, const Dim *const *dims, int axis, const Dim *start)
{
	Access out = dense_access(l->m, &from->type, dims);
	out.base = dim_mul(l->m, start, out.stride[axis]);
	lower_space(l, name, NULL, NULL, from, to, &out);
}
