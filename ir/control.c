/* control.c - the operators with bodies that may run never or often: if and loop.
 *
 *   %r.. = if %c { ... yield %a.. } else { ... yield %b.. }
 *       Result i is yield i of the branch that runs; the other one is not run.
 *   %r.. = loop %go?, %init.. {cond, counter, trips, count} (%carried..) { ... yield %go?, %next.., %slice.. }
 *       Runs the body for counter = 0, 1, ... below trips (0 or more), with cond = 1 only while %go, the yield of the iteration
 *       before.  The results are the carried values behind the last iteration (the initial ones where there is none), then
 *       the slices of all iterations, stacked along a new first axis.  counter is a symbol; where cond may end the loop early,
 *       the length of that axis is the symbol `count`.
 *
 * Where dims depend on the branch, or change from one iteration to the next, they are symbols: `sizes` lists each with its
 * two values, [s, then, else, ...] or [s, first, next, ...].  The types of the branches' yields are those of the results
 * with `then` and `else` in place of s; those of the operands and of the next values are those of the carried ones with `first` and `next`.
 *
 * A body sees the values around it.  The counter of a loop is visible inside, `sizes` of a loop inside and behind it, those of an if,
 * `count` and what `measure` defines behind the node, in the same block and in those inside of it.
 *
 *   %n = measure %x {sym, most}
 *       From here on the symbol `sym` is the value of x.  It is at most `most`, a dim over symbols that are visible here, and
 *       within the declared range: a run that measures more, or less, fails and goes no further.
 * Whatever the data decides has an upper bound over the symbols of the inputs (dim_most): buffers are planned at it.
 */
#include "shape.h"

#include <string.h>

/* ---- parts of a loop ------------------------------------------------------------------------------------------------ */

bool loop_has_cond(const Node *n)
{
	return attr_int(n, Attr_cond);
}

int loop_carried(const Node *n)
{
	return n->nin - loop_has_cond(n);
}

const Dim *loop_count(Module *m, const Node *n)
{
	return loop_has_cond(n) ? dim_sym(m, attr_text(n, Attr_count)) : attr_dim(m, n, Attr_trips);
}

int node_sizes(const Node *n, const Dim *const **sizes)
{
	return attr_dims(n, Attr_sizes, sizes) / 3;
}

/* t with value number `which` (1 or 2) of each of n's sizes in place of its symbol. */
static Type with_sizes(Module *m, const Node *n, const Type *t, int which)
{
	const Dim *const *sizes, **by = NULL;
	int count = node_sizes(n, &sizes);
	Type out = *t;
	if (!count)
		return out;
	by = arena_alloc(m->arena, (size_t)m->nsym * sizeof *by);
	for (int i = 0; i < count; i++)
		by[dim_as_sym(sizes[3 * i])->index] = sizes[3 * i + which];
	for (int d = 0; d < t->rank; d++)
		out.dims[d] = dim_subst(m, t->dims[d], by);
	return out;
}

static const char *check_sizes(Module *m, const Node *n)
{
	const Dim *const *sizes;
	int count = attr_dims(n, Attr_sizes, &sizes);
	if (count % 3)
		FAIL("sizes is a list of triples");
	for (int i = 0; i < count; i += 3)
		if (!sizes[i] || !dim_as_sym(sizes[i]))
			FAIL("sizes: %s is no symbol", sizes[i] ? dim_text(m, sizes[i]) : "nothing");
	return NULL;
}

/* ---- symbols --------------------------------------------------------------------------------------------------------- */

bool is_given(const Sym *s)
{
	return s->kind == SymInput || s->kind == SymValue || s->kind == SymDerived;
}

int sym_cell(const Module *m, const Sym *s)
{
	int n = 0;
	for (int i = 0; i < s->index; i++)
		n += !is_given(m->syms[i]);
	return n;
}

int count_cells(const Module *m)
{
	int n = 0;
	for (int i = 0; i < m->nsym; i++)
		n += !is_given(m->syms[i]);
	return n;
}

Sym *fresh_sym(Module *m, const char *stem)
{
	const char *name = stem;
	Sym *like = find_sym(m, stem);
	while (find_sym(m, name))
		name = arena_printf(m->arena, "%s_%d", stem, ++like->taken + 1);
	return dim_as_sym(dim_sym(m, name));
}

const Dim *name_dim(Module *m, const Dim *d)
{
	enum { Short = 12 };
	return dim_size(d) <= Short ? d : derive_sym(m, d);
}

const Dim *derive_sym(Module *m, const Dim *d)
{
	if (dim_is_const(d, NULL) || is_measured_dim(d))
		return d;
	for (int i = 0; i < m->nsym; i++)
		if (m->syms[i]->kind == SymDerived && m->syms[i]->is == d)
			return dim_sym(m, m->syms[i]->name);
	Sym *s = fresh_sym(m, "n");
	s->kind = SymDerived;
	s->is = d;
	dim_range(d, &s->lo, &s->hi);
	s->lo = s->lo < -DimMax ? -DimMax : s->lo;
	s->hi = s->hi > DimMax ? DimMax : s->hi;
	return dim_sym(m, s->name);
}

void know_param(Module *m, Value *v)
{
	int64_t n = const_numel(&v->type);
	v->known = arena_alloc(m->arena, ((size_t)n + 1) * sizeof *v->known);
	for (int64_t i = 0; i < n; i++) {
		Sym *s = fresh_sym(m, arena_printf(m->arena, "%s_%lld", is_c_name(v->name) ? v->name : "value", (long long)i));
		s->kind = SymValue;
		s->lo = -DimMax;
		s->input = v->index;
		s->element = (int)i;
		v->known[i] = dim_sym(m, s->name);
	}
}

bool may_scale(const Value *v, int64_t element)
{
	int64_t n = 1, extent;
	for (int d = 0; d < v->type.rank; d++)
		n = dim_is_const(v->type.dims[d], &extent) && extent <= MaxKnown ? n * extent : MaxKnown + 1;
	return (v->type.dtype == F32 || v->type.dtype == F64) && n <= MaxKnown && element >= 0 && element < n;
}

const Dim *scaled_sym(Module *m, const Value *v, int64_t element, const Dim *times)
{
	for (int i = 0; i < m->nsym; i++) {
		const Sym *s = m->syms[i];
		if (s->kind == SymValue && s->times == times && s->input == v->index && s->element == element)
			return dim_sym(m, s->name);
	}
	Sym *s = fresh_sym(m, arena_printf(m->arena, "%s_%lld", is_c_name(v->name) ? v->name : "value", (long long)element));
	s->kind = SymValue;
	s->lo = -DimMax;
	s->input = v->index;
	s->element = (int)element;
	s->times = times;
	return dim_sym(m, s->name);
}

static void note_measured(void *found, Sym *s)
{
	*(bool *)found |= !is_given(s);
}

bool is_measured_dim(const Dim *d)
{
	bool found = false;
	dim_each_sym(d, note_measured, &found);
	return found;
}

/* ---- bounds: interval arithmetic over dims ---------------------------------------------------------------------------- */

typedef struct Bounds {
	const Dim *lo, *hi;
} Bounds;

static Bounds *new_bounds(Module *m, const Dim *lo, const Dim *hi)
{
	Bounds *b = arena_alloc(m->arena, sizeof *b);
	*b = (Bounds){lo, hi};
	return b;
}

static void *bound_constant(void *ctx, int64_t v)
{
	return new_bounds(ctx, dim_const(ctx, v), dim_const(ctx, v));
}

/* By its trips or by the declared range of its counter, which a run may not leave. */
static const Dim *most_trips(Module *m, const Node *n)
{
	const Sym *counter = find_sym(m, attr_text(n, Attr_counter)), *count = find_sym(m, attr_text(n, Attr_count));
	const Dim *most = dim_most(m, attr_dim(m, n, Attr_trips));
	if (counter && counter->hi < DimMax)
		most = dim_min(m, most, dim_const(m, counter->hi + 1));
	return count && count->hi < DimMax ? dim_min(m, most, dim_const(m, count->hi)) : most;
}

/* The sizes of a loop grow by what next is above the symbol, once an iteration. */
static const Dim *most_size(Module *m, const Node *n, const Sym *s)
{
	const Dim *const *sizes;
	int count = node_sizes(n, &sizes);
	for (int i = 0; i < count; i++) {
		if (dim_as_sym(sizes[3 * i]) != s)
			continue;
		const Dim *first = dim_most(m, sizes[3 * i + 1]), *next = sizes[3 * i + 2];
		if (n->op == OpLoop && dim_proves_at_most(m, next, sizes[3 * i]))
			return first;
		if (n->op == OpIf || !dim_uses_sym(next, s))
			return dim_max(m, first, dim_most(m, next));
		const Dim *growth = dim_sub(m, next, sizes[3 * i]);
		if (dim_uses_sym(growth, s))
			return NULL;
		growth = dim_max(m, dim_most(m, growth), dim_const(m, 0));
		return dim_add(m, first, dim_mul(m, growth, most_trips(m, n)));
	}
	return NULL;
}

static const Dim *most_of_symbol(Module *m, const Sym *s)
{
	const Node *n = s->def;
	if (s->most)
		return dim_max(m, dim_most(m, s->most), dim_const(m, s->lo));
	if (!n)
		return NULL;
	if (!strcmp(s->name, attr_text(n, Attr_flag)))
		return dim_const(m, 1);
	return most_size(m, n, s);
}

static void *bound_symbol(void *ctx, const Sym *symbol)
{
	Module *m = ctx;
	Sym *s = (Sym *)symbol;
	const Dim *d = dim_sym(m, s->name), *most = NULL, *hi = dim_const(m, s->hi);
	if (is_given(s))
		return new_bounds(m, d, d);
	if (!s->bounding) { /* else its bound depends on itself */
		s->bounding = true;
		most = most_of_symbol(m, s);
		s->bounding = false;
	}
	return new_bounds(m, dim_const(m, s->lo), most && s->hi < DimMax ? dim_min(m, most, hi) : most ? most : hi);
}

static bool is_nonnegative(const Dim *d)
{
	int64_t lo, hi;
	dim_range(d, &lo, &hi);
	return lo >= 0;
}

/* a * b, of upper bounds.  Where nothing is known of one, nor is of the product: it is as many elements as there may be, since formulas of such
 * factors leave 64 bits. */
static const Dim *product_most(Module *m, const Dim *a, const Dim *b)
{
	const int64_t all = (int64_t)1 << 47;
	int64_t x = 0, y = 0, n;
	const bool known_a = dim_is_const(a, &x), known_b = dim_is_const(b, &y);

	if (x < DimMax && y < DimMax)
		return dim_mul(m, a, b);
	return dim_const(m, known_a && known_b && !__builtin_mul_overflow(x, y, &n) && n < all ? n : all);
}

static void *bound_binary(void *ctx, const char *op, void *left, void *right)
{
	Module *m = ctx;
	const Bounds *a = left, *b = right;
	int64_t k;
	switch (*op) {
	case '+': return new_bounds(m, dim_add(m, a->lo, b->lo), dim_add(m, a->hi, b->hi));
	case '*':
		if (a->lo == a->hi && dim_is_const(a->lo, &k) && k < 0)
			return new_bounds(m, dim_mul(m, a->lo, b->hi), dim_mul(m, a->lo, b->lo));
		if (b->lo == b->hi && dim_is_const(b->lo, &k) && k < 0)
			return new_bounds(m, dim_mul(m, b->lo, a->hi), dim_mul(m, b->lo, a->lo));
		if (is_nonnegative(a->lo) && is_nonnegative(b->lo))
			return new_bounds(m, dim_mul(m, a->lo, b->lo), product_most(m, a->hi, b->hi));
		break;
	case '/':
		if (b->lo == b->hi && is_nonnegative(dim_sub(m, b->lo, dim_const(m, 1))))
			return new_bounds(m, dim_floordiv(m, a->lo, b->lo), dim_floordiv(m, a->hi, b->lo));
		if (is_nonnegative(a->lo) && is_nonnegative(dim_sub(m, b->lo, dim_const(m, 1))))
			return new_bounds(m, dim_const(m, 0), dim_floordiv(m, a->hi, b->lo));
		break;
	case '%':
		if (is_nonnegative(dim_sub(m, b->lo, dim_const(m, 1))))
			return new_bounds(m, dim_const(m, 0), dim_sub(m, b->hi, dim_const(m, 1)));
		break;
	case 'm': {
		const Dim *(*f)(Module *, const Dim *, const Dim *) = op[1] == 'i' ? dim_min : dim_max;
		return new_bounds(m, f(m, a->lo, b->lo), f(m, a->hi, b->hi));
	}
	}
	return new_bounds(m, dim_const(m, -DimMax), dim_const(m, DimMax)); /* nothing is known */
}

const Dim *dim_most(Module *m, const Dim *d)
{
	const DimVisitor v = {bound_constant, bound_symbol, bound_binary, m};
	if (!is_measured_dim(d))
		return d;
	return ((const Bounds *)dim_visit(d, &v))->hi;
}

/* Whether the check d == other is made before anything has the size d: where the block begins, or where `measure` gives the last
 * symbol of d, which ends the run if they differ, and with it all that the data decides of `other`. */
static bool is_checked_first(const Module *m, const Dim *d, const Dim *other)
{
	for (int i = 0; i < m->nsym; i++) {
		const Sym *s = m->syms[i];
		bool used = !is_given(s) && dim_uses_sym(d, s);
		if (used ? !s->def || s->def->op != OpMeasure : !is_given(s) && dim_uses_sym(other, s))
			return false;
	}
	return true;
}

const Dim *size_most(Module *m, const Block *b, const Dim *d)
{
	const Dim *most = dim_most(m, d);
	for (; b && d != most; b = block_around(b))
		for (int i = 0; i < b->ncheck && d != most; i++) {
			const DimCheck *c = &b->checks[i];
			const Dim *other = c->a == d ? c->b : c->a;
			if ((c->a == d || c->b == d) && is_checked_first(m, d, other))
				most = dim_min(m, most, dim_most(m, other));
		}
	return most;
}

/* That of the whole, or of the dims one by one. */
const Dim *numel_most(Module *m, const Block *b, const Type *t)
{
	const Dim *n = type_numel(m, t), *most = size_most(m, b, n), *product = dim_const(m, 1);
	if (n == most)
		return n;
	for (int d = 0; d < t->rank; d++)
		product = product_most(m, product, size_most(m, b, t->dims[d]));
	return dim_min(m, most, product);
}

/* With small sizes for the symbols that inputs give. */
static bool is_bounded(Module *m, const Dim *most)
{
	int64_t *syms = arena_alloc(m->arena, ((size_t)m->nsym + 1) * sizeof *syms), n;
	for (int i = 0; i < m->nsym; i++)
		syms[i] = m->syms[i]->lo > 1 ? m->syms[i]->lo : m->syms[i]->hi < 1 ? m->syms[i]->hi : 1;
	return dim_eval(most, syms, &n) && n < DimMax;
}

const Sym *find_unbounded(Module *m, const Block *b, const Type *t, bool by_dims)
{
	const Sym *any = NULL;
	const Dim *room = dim_const(m, 1);
	bool open = false;
	for (int d = 0; d < t->rank; d++) {
		open |= is_measured_dim(t->dims[d]);
		room = product_most(m, room, size_most(m, b, t->dims[d]));
	}
	if (!open || is_bounded(m, by_dims ? room : numel_most(m, b, t)))
		return NULL;
	for (int i = 0; i < m->nsym; i++) {
		const Sym *s = m->syms[i];
		bool used = false;
		for (int d = 0; d < t->rank && !is_given(s); d++)
			used |= dim_uses_sym(t->dims[d], s);
		any = any || !used ? any : s;
		if (used && !is_bounded(m, dim_most(m, dim_sym(m, s->name))))
			return s;
	}
	return any;
}

/* ---- types ------------------------------------------------------------------------------------------------------------ */

/* The same element type, rank and dims; what unequal dims say is left to the reader of the message. */
static const char *need_same(Module *m, const Block *at, const Type *a, const Type *b, const char *what, int i)
{
	if (!types_agree(at, a, b))
		FAIL("%s %d: %s and %s differ", what, i, type_text(m, a), type_text(m, b));
	return NULL;
}

static const char *need_condition(Module *m, const Value *v)
{
	if (v->type.dtype != Bool || v->type.rank)
		FAIL("the condition is %s, expected bool[]", type_text(m, &v->type));
	return NULL;
}

static const char *check_names(Module *m, const Node *n)
{
	if (!is_c_name(attr_text(n, Attr_counter)))
		FAIL("counter is not the name of a symbol");
	if (loop_has_cond(n) ? !is_c_name(attr_text(n, Attr_count)) : *attr_text(n, Attr_count))
		FAIL("count must name a symbol if and only if cond is 1");
	return NULL;
}

static const char *loop_types(Module *m, const Node *n, Type *out)
{
	const Block *b = n->body;
	int cond = loop_has_cond(n), carried = loop_carried(n);
	if (carried < 0 || b->nparam != carried || b->nyield < cond + carried)
		FAIL("%d operands, %d parameters and %d yields do not fit", n->nin, b->nparam, b->nyield);
	TRY(check_names(m, n));
	if (!cond) /* else the number of iterations is a symbol of its own */
		TRY(need_nonneg(m, n, attr_dim(m, n, Attr_trips), "trips"));
	for (int i = 0; i < cond; i++) {
		TRY(need_condition(m, n->in[i]));
		TRY(need_condition(m, b->yields[i]));
	}
	for (int i = 0; i < carried; i++) {
		out[i] = b->params[i]->type;
		Type first = with_sizes(m, n, &out[i], 1), next = with_sizes(m, n, &out[i], 2);
		TRY(need_same(m, n->block, &n->in[cond + i]->type, &first, "operand", i));
		TRY(need_same(m, b, &b->yields[cond + i]->type, &next, "yield", i));
	}
	for (int i = carried; cond + i < b->nyield; i++) {
		const Type *slice = &b->yields[cond + i]->type;
		if (slice->rank == MaxRank)
			LACK("slices of rank %d cannot be stacked", slice->rank);
		out[i] = (Type){.dtype = slice->dtype, .rank = slice->rank + 1, .dims = {loop_count(m, n)}};
		for (int d = 0; d < slice->rank; d++)
			out[i].dims[d + 1] = slice->dims[d];
	}
	return NULL;
}

static const char *if_types(Module *m, const Node *n, Type *out)
{
	const Block *a = n->body, *b = n->other;
	if (a->nyield != b->nyield)
		FAIL("the branches yield %d and %d values", a->nyield, b->nyield);
	TRY(need_condition(m, n->in[0]));
	for (int i = 0; i < a->nyield; i++) {
		Type first = with_sizes(m, n, &out[i], 1), other = with_sizes(m, n, &out[i], 2);
		TRY(need_same(m, a, &a->yields[i]->type, &first, "then-yield", i));
		TRY(need_same(m, b, &b->yields[i]->type, &other, "else-yield", i));
	}
	return NULL;
}

int body_results(const Node *n)
{
	return n->body->nyield - (n->op == OpLoop && loop_has_cond(n));
}

const char *body_types(Module *m, const Node *n, Type *out)
{
	TRY(check_sizes(m, n));
	if (n->op == OpLoop)
		return loop_types(m, n, out);
	if (n->op == OpIf)
		return if_types(m, n, out);
	for (int i = 0; i < n->body->nyield; i++)
		out[i] = n->body->yields[i]->type;
	return NULL;
}

const char *add_body_results(Module *m, Node *n, const Type *stated)
{
	int count = body_results(n);
	if (count < 0)
		FAIL("the body yields nothing");
	Type *types = arena_alloc(m->arena, ((size_t)count + 1) * sizeof *types);
	for (int i = 0; i < count && n->op == OpIf; i++)
		types[i] = stated ? stated[i] : n->body->yields[i]->type;
	TRY(body_types(m, n, types));
	for (int i = 0; i < count; i++)
		add_result(m, n, types[i]);
	return NULL;
}
