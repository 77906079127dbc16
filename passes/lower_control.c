/* lower_control.c - if and loop: steps of the program with jumps between them, and the symbols that the data gives.
 *
 *   loop:  start (counter 0, first sizes, go)          if:  read the condition
 *          copy the first carried values                    jump else if it is 0
 *          jump end if go is 0                              steps of then, its sizes
 *   body:  steps of the body                                jump end if it is not 0
 *          next (counter + 1, next sizes, go)         else: steps of else, its sizes
 *          jump body if go is not 0                   end:
 *   end:
 *
 * A jump goes to the place behind a step, where other jumps may stand: they are looked at in turn.
 *
 * Symbols live in cells at the begin of the workspace.  One worker writes them, in a step of its own; the others read them behind
 * the barrier, and at least one more step lies between that and the next write.
 *
 * A carried value has room for two: iteration i reads half i mod 2 and writes the other; behind n iterations the result
 * lies in half n mod 2.  Slices are written where they belong in the stacked result.
 *
 * A value that is not what the module says of its symbol ends the program: measure, and the steps that check dims, are followed by
 * a jump behind the last step.
 */
#include "lower.h"

/* ---- cells ---------------------------------------------------------------------------------------------------------- */

static void store_cell(Kernel *k, LBuf *cells, const Sym *s, LExpr *value)
{
	lstore(&k->b, cells, li(&k->b, sym_cell(k->l->m, s)), NULL, NULL, value);
}

static Kernel open_cells(Lower *l, const char *name, LBuf **cells)
{
	Kernel k = open_kernel(l, name, false);
	*cells = kcells(&k);
	lfor(&k.b, ForParallel, li(&k.b, 0), li(&k.b, 1), NULL);
	return k;
}

static void close_cells(Kernel *k)
{
	lend(&k->b);
	kcall(k);
}

/* A value of one element, 0 or 1, or an integer. */
static LExpr *load_one(Kernel *k, Value *v)
{
	Access a = kaccess(k, v);
	LExpr *idx[MaxRank] = {0};
	return llet(&k->b, lcast(&k->b, LConvert, (LType){I64, 1}, lload(&k->b, a.buf, 1, offset_of(k, &a, idx), NULL, NULL)));
}

static const Sym *flag_of(Lower *l, const Node *n)
{
	return find_sym(l->m, attr_text(n, Attr_flag));
}

static LExpr *cell_is_zero(Lower *l, const Sym *s, bool zero)
{
	LB *p = &l->prog;
	return lop(p, zero ? LEq : LNe, ldim(p, dim_sym(l->m, s->name)), li(p, 0), NULL);
}

/* v, or the nearest bound of the symbol and a failure: buffers are planned at the bounds. */
static LExpr *within_bounds(Kernel *k, const Sym *s, LExpr *v)
{
	LB *b = &k->b;
	Lower *l = k->l;
	Module *m = l->m;
	const Dim *most = dim_const(m, s->hi), *upper = s->most ? dim_min(m, s->most, most) : most;
	LExpr *lo = li(b, s->lo), *hi = kdim(k, upper);

	lif(b, lop(b, LOr, llt(b, v, lo), llt(b, hi, v), NULL));
	const char *text = arena_printf(m->arena, "%s: %s is {}, allowed %lld..%s", message_place(m, l->node->loc, NULL), s->name,
	                                (long long)s->lo, dim_text(m, upper));
	lfail(b, DCC_ERROR_RANGE, lmessage(l->lm, text), v);
	lend(b);
	return llet(b, lop(b, LPMax, lop(b, LPMin, v, hi, NULL), lo, NULL));
}

/* ---- failures ------------------------------------------------------------------------------------------------------------ */

/* Steps behind a failure would read and write by dims that do not agree, so the program ends there: the cell of a symbol that it
 * looks at anyway says so to all workers. */
static LExpr *unless_failed(Kernel *k, LExpr *v)
{
	LB *b = &k->b;
	return llet(b, lop(b, LSelect, lcast(b, LFailed, (LType){Bool, 1}, NULL), li(b, INT64_MIN), v));
}

static void stop_if_failed(Lower *l, const Sym *s)
{
	LB *p = &l->prog;
	LStmt *jump = ljump(p, lop(p, LEq, ldim(p, dim_sym(l->m, s->name)), li(p, INT64_MIN), NULL), 0);
	PUSH(l->m->arena, l->stops, l->nstop, l->capstop, jump);
}

/* ---- checks of dims: in bodies, and of those that the data gives ---------------------------------------------------------- */

static bool is_ready(const Lower *l, const Dim *d)
{
	for (int i = 0; i < l->m->nsym; i++)
		if (!is_given(l->m->syms[i]) && !l->ready[i] && dim_uses_sym(d, l->m->syms[i]))
			return false;
	return true;
}

/* The next check of the block from number `from` on whose last symbols are these; NULL: there is none. */
static const DimCheck *next_check(Lower *l, const Block *b, int *from, int n, const Sym *const *syms)
{
	while (*from < b->ncheck) {
		const DimCheck *c = &b->checks[(*from)++];
		for (int s = 0; s < n; s++)
			if ((dim_uses_sym(c->a, syms[s]) || dim_uses_sym(c->b, syms[s])) && is_ready(l, c->a) && is_ready(l, c->b))
				return c;
	}
	return NULL;
}

static void fail_unless_equal(Kernel *k, const DimCheck *c)
{
	Module *m = k->l->m;
	LExpr *a = kdim(k, c->a), *b = kdim(k, c->b);
	lif(&k->b, lop(&k->b, LNe, a, b, NULL));
	const char *place = message_place(m, c->loc, NULL);
	const char *text = arena_printf(m->arena, "%s: %s is {}, expected %s", place, dim_text(m, c->a), dim_text(m, c->b));
	lfail(&k->b, DCC_ERROR_SHAPE, lmessage(k->l->lm, text), a);
	lend(&k->b);
}

/* Checks of the block that waited for these symbols, in a step that may be the program's last; without any there is no step. */
static void check_symbols(Lower *l, const Block *b, int n, const Sym *const *syms)
{
	LBuf *cells;
	int from = 0;
	const DimCheck *c = next_check(l, b, &from, n, syms);

	if (!c)
		return;
	Kernel k = open_cells(l, "check", &cells);
	for (; c; c = next_check(l, b, &from, n, syms))
		fail_unless_equal(&k, c);
	store_cell(&k, cells, syms[0], unless_failed(&k, kdim(&k, dim_sym(l->m, syms[0]->name))));
	close_cells(&k);
	stop_if_failed(l, syms[0]);
}

/* In the block. */
static void define_symbols(Lower *l, const Block *b, int n, const Sym *const *syms)
{
	for (int i = 0; i < n; i++)
		l->ready[syms[i]->index] = true;
	check_symbols(l, b, n, syms);
}

/* Where it runs, the checks of a body that have all their symbols in front of it.  False: there are none. */
static bool check_entry(Kernel *k, const Block *body, LExpr *runs)
{
	bool any = false;
	for (int i = 0; i < body->ncheck; i++) {
		const DimCheck *c = &body->checks[i];
		if (!is_ready(k->l, c->a) || !is_ready(k->l, c->b))
			continue;
		if (!any)
			lif(&k->b, runs);
		any = true;
		fail_unless_equal(k, c);
	}
	if (any)
		lend(&k->b);
	return any;
}

/* Symbols that a body has defined have no value behind it. */
static void lower_body(Lower *l, Block *b)
{
	bool *outer = l->ready;
	l->ready = arena_alloc(l->m->arena, (size_t)l->m->nsym + 1);
	for (int i = 0; i < l->m->nsym; i++)
		l->ready[i] = outer[i];
	lower_block(l, b);
	l->at = b->end;
	release_slots(l);
	l->ready = outer;
}

/* ---- sizes ----------------------------------------------------------------------------------------------------------------- */

static void store_sizes(Kernel *k, LBuf *cells, const Node *n, int which)
{
	const Dim *const *sizes;
	int count = node_sizes(n, &sizes);
	for (int i = 0; i < count; i++) {
		const Sym *s = dim_as_sym(sizes[3 * i]);
		store_cell(k, cells, s, within_bounds(k, s, kdim(k, sizes[3 * i + which])));
	}
}

static int size_symbols(Lower *l, const Node *n, const Sym ***syms)
{
	const Dim *const *sizes;
	int count = node_sizes(n, &sizes);
	*syms = arena_alloc(l->m->arena, ((size_t)count + 1) * sizeof **syms); /* and a loop's counter or count */
	for (int i = 0; i < count; i++)
		(*syms)[i] = dim_as_sym(sizes[3 * i]);
	return count;
}

static void set_home(Lower *l, Value *v, LBuf *buf, const Dim *offset)
{
	Home *h = new_home(l, v);
	h->buf = buf;
	h->offset = offset;
}

/* ---- if -------------------------------------------------------------------------------------------------------------------- */

static void lower_branch(Lower *l, Node *n, Block *b, int which)
{
	const Dim *const *sizes;
	LBuf *cells;

	for (int i = 0; i < n->nout; i++)
		set_home(l, b->yields[i], home_of(n->out[i])->buf, home_of(n->out[i])->offset);
	lower_body(l, b);
	l->node = n;
	if (!node_sizes(n, &sizes))
		return;
	Kernel k = open_cells(l, "sizes", &cells);
	store_sizes(&k, cells, n, which);
	close_cells(&k);
}

static void lower_if(Lower *l, Node *n)
{
	const Sym **syms;
	LBuf *cells;

	l->node = n;
	for (int i = 0; i < n->nout; i++) { /* a branch may be just too large for the result */
		const Dim *bytes = dim_max(l->m, slot_bytes(l, n->body, &n->body->yields[i]->type),
		                           slot_bytes(l, n->other, &n->other->yields[i]->type));
		place_bytes(l, n->out[i], dim_max(l->m, bytes, slot_bytes(l, n->block, &n->out[i]->type)));
	}
	Kernel k = open_cells(l, "if", &cells);
	LExpr *cond = load_one(&k, n->in[0]);
	bool checked = check_entry(&k, n->body, lop(&k.b, LNe, cond, li(&k.b, 0), NULL));
	checked |= check_entry(&k, n->other, lop(&k.b, LEq, cond, li(&k.b, 0), NULL));
	store_cell(&k, cells, flag_of(l, n), checked ? unless_failed(&k, cond) : cond);
	close_cells(&k);
	if (checked)
		stop_if_failed(l, flag_of(l, n));
	LStmt *to_else = ljump(&l->prog, cell_is_zero(l, flag_of(l, n), true), 0);
	lower_branch(l, n, n->body, 1);
	LStmt *to_end = ljump(&l->prog, cell_is_zero(l, flag_of(l, n), false), 0);
	to_else->code = l->nstep;
	lower_branch(l, n, n->other, 2);
	to_end->code = l->nstep; /* its flag is no size: who writes those need not wait */
	int nsyms = size_symbols(l, n, &syms);
	define_symbols(l, n->block, nsyms, syms);
}

/* ---- loop ------------------------------------------------------------------------------------------------------------------- */

typedef struct Looping {
	Lower *l;
	Node *n;
	Block *body;
	int cond, carried;
	const Sym *counter, *count, *flag; /* count: NULL without a condition */
	const Dim *it;
} Looping;

/* Where a carried value lies in iteration `at`. */
static const Dim *half_at(Lower *l, const Slot *s, const Dim *half, const Dim *at)
{
	return dim_add(l->m, s->offset, dim_mul(l->m, dim_mod(l->m, at, dim_const(l->m, 2)), half));
}

static void place_carried(Looping *g, int i)
{
	Lower *l = g->l;
	Module *m = l->m;
	Value *now = g->body->params[i], *next = g->body->yields[g->cond + i], *result = g->n->out[i];
	const Dim *half = dim_max(m, slot_bytes(l, g->body, &now->type), slot_bytes(l, g->body, &next->type)); /* the next one may be just too large */
	Home *h = new_home(l, result);
	Slot *s = new_slot(l, dim_mul_const(m, half, 2), h->last > g->body->end ? h->last : g->body->end);
	set_home(l, now, l->ws, half_at(l, s, half, g->it));
	set_home(l, next, l->ws, half_at(l, s, half, dim_add(m, g->it, dim_const(m, 1))));
	set_home(l, result, l->ws, half_at(l, s, half, loop_count(m, g->n)));
}

static void place_slices(Looping *g, int i)
{
	Lower *l = g->l;
	Module *m = l->m;
	Value *slice = g->body->yields[g->cond + i], *all = g->n->out[i];
	const Dim *bytes = dim_mul_const(m, type_numel(m, &slice->type), dtypes[slice->type.dtype].bytes);
	place_result(l, all);
	const Home *h = home_of(all);
	set_home(l, slice, h->buf, dim_add(m, h->offset, dim_mul(m, g->it, bytes)));
}

/* Is there an iteration number `it`, and does the value `cond` (if the loop has one) want it?  Not after a failure. */
static LExpr *wants(Looping *g, Kernel *k, LExpr *it, Value *cond)
{
	LB *b = &k->b;
	LExpr *go = llt(b, it, kdim(k, attr_dim(g->l->m, g->n, Attr_trips)));
	go = lop(b, LAnd, go, lop(b, LNot, lcast(b, LFailed, (LType){Bool, 1}, NULL), NULL, NULL), NULL);
	if (cond)
		go = lop(b, LAnd, go, lop(b, LNe, load_one(k, cond), li(b, 0), NULL), NULL);
	return lcast(b, LConvert, (LType){I64, 1}, llet(b, go));
}

/* go, unless iteration `it` is beyond the declared bounds of the loop's symbols, which buffers are planned at. */
static LExpr *within_limit(Looping *g, Kernel *k, LExpr *it, LExpr *go)
{
	LB *b = &k->b;
	int64_t limit = g->counter->hi + 1;
	if (g->count && g->count->hi < limit)
		limit = g->count->hi;
	if (limit >= DimMax)
		return go;
	LExpr *over = lop(b, LLe, li(b, limit), it, NULL);
	lif(b, lop(b, LAnd, over, lop(b, LNe, go, li(b, 0), NULL), NULL));
	const char *place = message_place(g->l->m, g->n->loc, NULL);
	const char *text = arena_printf(g->l->m->arena, "%s: iteration {} is beyond the bound of %lld", place, (long long)limit);
	lfail(b, DCC_ERROR_RANGE, lmessage(g->l->lm, text), it);
	lend(b);
	return llet(b, lop(b, LSelect, over, li(b, 0), go));
}

/* Cells of iteration `it`; returns whether it is run. */
static LExpr *store_iteration(Looping *g, Kernel *k, LBuf *cells, LExpr *it, Value *cond, int which)
{
	LExpr *go = within_limit(g, k, it, llet(&k->b, wants(g, k, it, cond)));
	store_cell(k, cells, g->counter, it);
	if (g->count)
		store_cell(k, cells, g->count, it);
	store_sizes(k, cells, g->n, which);
	return go;
}

/* A formula that has left the range of an i64 may say so by its sign; the result would not lie where the loop has left it. */
static void check_trips(Looping *g, Kernel *k)
{
	LB *b = &k->b;
	const Dim *trips = attr_dim(g->l->m, g->n, Attr_trips);
	if (dim_is_const(trips, NULL) || dim_as_sym(trips))
		return;
	LExpr *n = kdim(k, trips);
	lif(b, llt(b, n, li(b, 0)));
	const char *text = arena_printf(g->l->m->arena, "%s: {} iterations", message_place(g->l->m, g->n->loc, NULL));
	lfail(b, DCC_ERROR_RANGE, lmessage(g->l->lm, text), n);
	lend(b);
}

static void lower_start(Looping *g)
{
	LBuf *cells;
	Kernel k = open_cells(g->l, "loop_start", &cells);
	check_trips(g, &k);
	LExpr *go = store_iteration(g, &k, cells, li(&k.b, 0), g->cond ? g->n->in[0] : NULL, 1);
	bool checked = check_entry(&k, g->body, lop(&k.b, LNe, go, li(&k.b, 0), NULL));
	store_cell(&k, cells, g->flag, checked ? unless_failed(&k, go) : go);
	close_cells(&k);
	if (checked)
		stop_if_failed(g->l, g->flag);
	for (int i = 0; i < g->carried; i++)
		lower_copy(g->l, g->n->in[g->cond + i], g->body->params[i]);
}

static void lower_next(Looping *g)
{
	LBuf *cells;
	Kernel k = open_cells(g->l, "loop_next", &cells);
	LExpr *it = llet(&k.b, ladd(&k.b, kdim(&k, g->it), li(&k.b, 1)));
	store_cell(&k, cells, g->flag, store_iteration(g, &k, cells, it, g->cond ? g->body->yields[0] : NULL, 2));
	close_cells(&k);
}

/* The workers read the cells behind one step, and one more lies between that and the step that writes them. */
static void lower_pause(Lower *l)
{
	lstep(&l->prog);
	lend(&l->prog);
	l->nstep++;
}

static void lower_loop(Lower *l, Node *n)
{
	Looping g = {.l = l, .n = n, .body = n->body, .cond = loop_has_cond(n), .carried = loop_carried(n)};
	const Sym **syms;

	g.counter = find_sym(l->m, attr_text(n, Attr_counter));
	g.count = g.cond ? find_sym(l->m, attr_text(n, Attr_count)) : NULL;
	g.flag = flag_of(l, n);
	g.it = dim_sym(l->m, g.counter->name);
	l->node = n;
	for (int i = 0; i < n->nout; i++)
		if (i < g.carried)
			place_carried(&g, i);
		else
			place_slices(&g, i);
	lower_start(&g);
	LStmt *to_end = ljump(&l->prog, cell_is_zero(l, g.flag, true), 0);
	int body = l->nstep, nsyms = size_symbols(l, n, &syms);
	syms[nsyms] = g.counter;
	define_symbols(l, n->body, nsyms + 1, syms);
	lower_body(l, n->body);
	l->node = n;
	if (l->nstep == body || l->jumped == l->nstep) /* a jump that reads sizes may lead here */
		lower_pause(l);
	lower_next(&g);
	ljump(&l->prog, cell_is_zero(l, g.flag, false), body);
	to_end->code = l->nstep;
	l->ready[g.counter->index] = false;
	if (g.count)
		syms[nsyms++] = g.count;
	define_symbols(l, n->block, nsyms, syms);
}

/* ---- measure ------------------------------------------------------------------------------------------------------------------ */

static bool has_checks(Lower *l, const Block *b, const Sym *s)
{
	int from = 0;
	l->ready[s->index] = true;
	return next_check(l, b, &from, 1, &s);
}

static void lower_measure(Lower *l, Node *n)
{
	const Sym *s = find_sym(l->m, attr_text(n, Attr_sym));
	LBuf *cells;

	l->node = n;
	place_result(l, n->out[0]);
	Kernel k = open_cells(l, "measure", &cells);
	LExpr *v = within_bounds(&k, s, load_one(&k, n->in[0]));
	bool checked = has_checks(l, n->block, s); /* then the step that does it may end the program */
	store_cell(&k, cells, s, checked ? v : unless_failed(&k, v));
	close_cells(&k);
	if (!checked)
		stop_if_failed(l, s);
	define_symbols(l, n->block, 1, &s);
	if (n->out[0]->nuse)
		lower_copy(l, n->in[0], n->out[0]);
}

void lower_control(Lower *l, Node *n)
{
	switch (n->op) {
	case OpIf: lower_if(l, n); return;
	case OpLoop: lower_loop(l, n); return;
	default: lower_measure(l, n); return;
	}
}
