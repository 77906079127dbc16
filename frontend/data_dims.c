/* data_dims.c - numbers that decide shapes: what is known of them when the model is imported, symbols for what the data gives.
 *
 * Where a graph must be imported again to know more (elements of its inputs as symbols), ask_values() notes it and leaves by
 * longjmp to the walk (import.c).
 */
#include "build.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

/* ---- known values ---------------------------------------------------------------------------------------------- */

const Dim *const *known_dims(Call *c, Value *v, int *n)
{
	static const Dim *const none[1];
	int64_t numel = 1, extent, x;
	for (int i = 0; i < v->type.rank; i++)
		if (!dim_is_const(v->type.dims[i], &extent) || __builtin_mul_overflow(numel, extent, &numel))
			return NULL;
	if (numel > MaxKnown)
		return NULL;
	*n = numel;
	if (!numel)
		return none;
	if (v->known || !v->konst)
		return v->known;
	const Dim **known = arena_alloc(c->im->scratch, numel * sizeof *known);
	for (int i = 0; i < numel; i++) {
		if (!scalar_as_int(scalar_at(v->type.dtype, v->konst->data, i), &x))
			return NULL;
		known[i] = dim_const(c->m, x);
	}
	return known;
}

static bool is_short(const Value *v, int most)
{
	int64_t n = 1, extent;
	for (int d = 0; d < v->type.rank; d++)
		n = dim_is_const(v->type.dims[d], &extent) && extent <= most ? n * extent : most + 1;
	return n <= most;
}

static bool may_be_symbols(const Value *v)
{
	return !v->def && !v->konst && !v->block && !v->known && is_short(v, MaxKnown) && may_be_dims(v->type.dtype);
}

void ask_values(Call *c, const Value *v)
{
	enum { MaxWalk = 256 };
	const Value *walk[MaxWalk];
	int n = 1;
	bool found = false;
	walk[0] = v;
	for (int at = 0; at < n; at++) {
		v = walk[at];
		if (may_be_symbols(v) && !get_name(&c->im->file->values, v->name)) {
			put_name(&c->im->file->values, arena_strdup(c->im->scratch, v->name), c->im->file);
			found = true;
		}
		for (int i = 0; v->def && !v->known && i < v->def->nin; i++) {
			bool seen = !v->def->in[i];
			for (int k = 0; k < n && !seen; k++)
				seen = walk[k] == v->def->in[i];
			if (!seen && n < MaxWalk)
				walk[n++] = v->def->in[i];
		}
	}
	if (found)
		longjmp(*c->im->again, 1);
}

/* v must hold one element; if symbols say otherwise, imports again with 1 in their place. */
static void ask_single(Call *c, const Value *v)
{
	Names *units = &c->im->file->units;
	bool found = false;
	for (int d = 0; d < v->type.rank; d++) {
		const Sym *s = dim_as_sym(v->type.dims[d]);
		if (!s || s->kind != SymInput || get_name(units, s->name))
			continue;
		put_name(units, arena_strdup(c->im->scratch, s->name), c->im->file);
		found = true;
	}
	if (found)
		longjmp(*c->im->again, 1);
}

/* ---- dims that the data decides ---------------------------------------------------------------------------------- */

/* `text` with everything but letters, digits and underscores replaced. */
char *identifier_of(Arena *a, const char *text)
{
	bool digit = isdigit((unsigned char)*text);
	char *id = arena_printf(a, "%s%s", digit || !*text ? "_" : "", text);
	for (char *p = id; *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '_')
			*p = '_';
	return id;
}

void apply_bindings(Import *im, const char *raw, const char *name, int64_t *lo, int64_t *hi)
{
	for (int i = 0; i < im->opt->nbind; i++) {
		const DimBinding *b = &im->opt->bind[i];
		if (strcmp(b->sym, raw) && strcmp(b->sym, name))
			continue;
		im->bind_used[i] = true;
		*lo = b->lo > *lo ? b->lo : *lo;
		*hi = b->hi < *hi ? b->hi : *hi;
		if (*lo > *hi)
			fatal_at(&(Loc){.file = im->file->path}, "-D %s: the bounds contradict each other", b->sym);
	}
}

void bind_symbol(Import *im, Sym *s)
{
	apply_bindings(im, s->name, s->name, &s->lo, &s->hi);
}

Sym *new_symbol(Call *c, const char *stem, int64_t lo)
{
	Sym *s = fresh_sym(c->m, stem);
	s->lo = lo;
	bind_symbol(c->im, s);
	return s;
}

/* v is an i64 scalar of the block; NULL as `before`: the block's end. */
static const Dim *measure(Call *c, Block *b, Node *before, Value *v, const char *stem, int64_t lo, const Dim *most)
{
	Module *m = c->m;
	Sym *s = new_symbol(c, stem, lo);
	Attr attrs[2] = {mk_text(m, Attr_sym, s->name)};
	if (most)
		attrs[1] = mk_dim(Attr_most, most);
	Value *measured = build(m, b, before, OpMeasure, c->loc, 1, &v, most ? 2 : 1, attrs, NULL);
	define_sym(m, measured->def, Attr_sym, SymMeasured);
	return s->lo == s->hi ? dim_const(m, s->lo) : dim_sym(m, s->name);
}

const Dim *fix_dim(Call *c, const Dim *d, const char *stem, const Dim *most)
{
	return measure(c, c->im->block, NULL, emit_dims(c, 0, 1, &d), stem, 0, most ? most : dim_most(c->m, d));
}

const Dim *measure_dim(Call *c, Value *v, const char *stem, const Dim *most)
{
	int n;
	const Dim *const *known = known_dims(c, v, &n);
	require_equal(c, type_numel(c->m, &v->type), num(c, 1), "elements of what a dim is");
	if (!known)
		return measure(c, c->im->block, NULL, emit_reshape(c, emit_cast(c, v, I64), 0, NULL), stem, 0, most);
	require_at_least(c, known[0], 0);
	if (most && !dim_proves_at_most(c->m, known[0], most))
		require_at_most(c, known[0], most);
	return known[0];
}

static bool is_integer(const Value *v)
{
	DClass cls = dtypes[v->type.dtype].cls;
	return cls == ClassSigned || cls == ClassUnsigned;
}

/* Each element of v, right behind v, so that it is known wherever v is. */
static void measure_each(Call *c, Value *v)
{
	Module *m = c->m;
	Block *b = v->def ? v->def->block : v->block;
	Node *before = v->def ? v->def->next : b->first;
	const Loc *loc = v->def ? v->def->loc : c->loc;
	int64_t n = const_numel(&v->type);
	const Dim **known = arena_alloc(m->arena, ((size_t)n + 1) * sizeof *known);
	Type wide = {I64, 1, {dim_const(m, n)}}, one = {I64, 1, {dim_const(m, 1)}}, scalar = {.dtype = I64}, own = wide;
	const char *name = loc && loc->node && *loc->node ? loc->node : "value", *stem = identifier_of(m->arena, name);
	Attr most = mk_scalar(Attr_hi, scalar_of_int(v->type.dtype, DimMax)), range[2] = {most};
	own.dtype = v->type.dtype;
	stem = identifier_of(m->arena, stem + strspn(stem, "_"));
	if (dtypes[own.dtype].cls == ClassSigned)
		range[1] = mk_scalar(Attr_lo, scalar_of_int(own.dtype, -DimMax));
	Value *x = build(m, b, before, OpReshape, loc, 1, &v, 0, NULL, &own);
	if (dtypes[own.dtype].bytes >= 4)
		x = build(m, b, before, OpClip, loc, 1, &x, dtypes[own.dtype].cls == ClassSigned ? 2 : 1, range, NULL);
	if (own.dtype != I64)
		x = build(m, b, before, OpCast, loc, 1, &x, 0, NULL, &wide);
	for (int64_t i = 0; i < n; i++) {
		const Dim *at = dim_const(m, i);
		Attr start = mk_dims(m, Attr_starts, 1, &at);
		Value *e = build(m, b, before, OpSlice, loc, 1, &x, 1, &start, &one);
		e = build(m, b, before, OpReshape, loc, 1, &e, 0, NULL, &scalar);
		known[i] = measure(c, b, before, e, n > 1 ? arena_printf(m->arena, "%s_%d", stem, (int)i) : stem, -DimMax, NULL);
	}
	v->known = known;
	v->measured = true;
}

enum { MaxMeasured = 16 /* elements */, MaxFormula = 32 /* nodes deep */ };

/* Whether the elements of n's result are a formula of those of its operands: not of sums over many. */
static bool is_formula(const Node *n)
{
	for (int i = 0; i < n->nin; i++)
		if (!n->in[i] || (!n->in[i]->known && !n->in[i]->konst && (!is_integer(n->in[i]) || !is_short(n->in[i], MaxMeasured))))
			return false;
	return has_known_rule(n->op) && ops[n->op].cls != ClsReduce;
}

/* The elements of an integer that is computed from constants, as 16 ** 0.5 is; false: they are no numbers for dims. */
static bool evaluate_elements(Call *c, Value *v)
{
	Tensor t = {0};
	const int64_t n = const_numel(&v->type);
	int64_t x;
	const Dim **known = arena_alloc(c->m->arena, ((size_t)n + 1) * sizeof *known);

	bool fits = !eval_const(c->m, v, &t);
	for (int64_t i = 0; fits && i < n; i++) {
		fits = scalar_as_int(scalar_at(v->type.dtype, t.data, i), &x);
		known[i] = fits ? dim_const(c->m, x) : NULL;
	}
	free_tensor(&t);
	v->known = fits ? known : NULL;
	return fits;
}

static bool measure_formula(Call *c, Value *v, int depth)
{
	int n;
	if (known_dims(c, v, &n))
		return true;
	if (!is_integer(v) || !is_short(v, MaxMeasured) || (!v->def && !v->block))
		return false;
	if (v->def && depth < MaxFormula && is_formula(v->def)) {
		for (int i = 0; i < v->def->nin; i++)
			measure_formula(c, v->def->in[i], depth + 1);
		infer_known(c->m, v->def);
	}
	if (!v->known && !(is_const(v) && evaluate_elements(c, v)))
		measure_each(c, v);
	return true;
}

bool measure_elements(Call *c, Value *v)
{
	return measure_formula(c, v, 0);
}

int need_dims(Call *c, int input, const char *what, const Dim **dims, int max)
{
	int n;
	if (input >= c->nin || !c->in[input])
		fatal_at(c->loc, "input '%s' is missing", what);
	const Dim *const *known = known_dims(c, c->in[input], &n);
	if (!known && max == 1)
		ask_single(c, c->in[input]);
	if (!known)
		ask_values(c, c->in[input]);
	if (!known && measure_elements(c, c->in[input]))
		known = known_dims(c, c->in[input], &n);
	if (!known)
		refuse_at(c->loc, "not supported: input '%s' depends on the data, not only on shapes", what);
	if (n > max)
		refuse_at(c->loc, "input '%s' has %d elements, at most %d are supported", what, n, max);
	for (int i = 0; i < n; i++)
		dims[i] = known[i];
	return n;
}

const Dim *need_count(Call *c, int input, const char *what, const Dim *most)
{
	int n;
	if (input >= c->nin || !c->in[input])
		fatal_at(c->loc, "input '%s' is missing", what);
	if (!known_dims(c, c->in[input], &n)) {
		ask_single(c, c->in[input]);
		ask_values(c, c->in[input]);
	}
	return measure_dim(c, c->in[input], what, most);
}

int need_ints(Call *c, int input, const char *what, int64_t *ints, int max)
{
	const Dim *dims[MaxKnown];
	int n = need_dims(c, input, what, dims, max < MaxKnown ? max : MaxKnown);
	for (int i = 0; i < n; i++)
		if (!dim_is_const(dims[i], &ints[i]))
			refuse_at(c->loc, "not supported: input '%s' is not constant: %s", what, dim_text(c->m,
			                                                                                 dims[i]));
	return n;
}

/* Element *i of v is element *i of the value returned, behind what moves elements of vectors. */
static const Value *trace_element(const Value *v, int64_t *i)
{
	while (v->def) {
		const Node *n = v->def;
		const Dim *const *starts;
		const int64_t *steps;
		int64_t start, extent;
		int from = 0;
		if (n->op == OpConcat && n->in[0]->type.rank == 1) {
			while (from < n->nin - 1 && dim_is_const(n->in[from]->type.dims[0], &extent) && *i >= extent)
				*i -= extent, from++;
			if (!dim_is_const(n->in[from]->type.dims[0], &extent) || *i >= extent)
				return v;
		} else if (n->op == OpSlice && attr_dims(n, Attr_starts, &starts) == 1 && dim_is_const(starts[0], &start)) {
			*i = start + *i * (attr_ints(n, Attr_steps, &steps) ? steps[0] : 1);
		} else if (n->op != OpReshape && n->op != OpIdentity) {
			return v;
		}
		v = n->in[from];
	}
	return v;
}

bool constant_element(const Value *v, int64_t i, double *number)
{
	v = trace_element(v, &i);
	return v->konst && v->konst->data && scalar_as_real(scalar_at(v->type.dtype, v->konst->data, i), number);
}

/* Of a symbolic dim where the number is an integer of 31 bits over a power of 2, as every f32 above 2^-38 is. */
const Dim *times_number(Call *c, const Dim *d, double number, const char *what)
{
	int64_t n, part;
	int power = 0;
	if (dim_is_const(d, &n) && fabs((double)n * number) <= DimMax)
		return num(c, (int64_t)floor((double)n * number));
	while (number != floor(number) && power < 62) {
		number *= 2;
		power++;
	}
	part = fabs(number) <= DimMax ? (int64_t)number : 0;
	if ((double)part != number)
		refuse_at(c->loc, "not supported: input '%s' = %g for an extent of %s", what, ldexp(number, -power), dim_text(c->m, d));
	return dim_floordiv(c->m, dim_mul_const(c->m, d, part), num(c, INT64_C(1) << power));
}

/* The same as a number that is computed, -1 for NaN, which then is the dim. */
static const Dim *measure_scaled(Call *c, Value *v, int64_t i, const Dim *times)
{
	int n;
	Value *x = emit_reshape(c, v->type.rank ? emit_range(c, v, 0, num(c, i), num(c, 1), 1) : v, 0, NULL);
	x = emit2(c, OpMul, emit_cast(c, x, F64), emit_cast(c, emit_dims(c, 0, 1, &times), F64));
	x = emit3(c, OpWhere, emit2(c, OpEq, x, x), emit1(c, OpFloor, x), emit_const(c, F64, -1));
	x = emit_cast(c, x, I64);
	measure_elements(c, x);
	return *known_dims(c, x, &n);
}

const Dim *scaled_element(Call *c, Value *v, int64_t i, const Dim *times, const char *what)
{
	double number;
	int64_t at = i;
	if (constant_element(v, i, &number))
		return times_number(c, times, number, what);
	const Value *from = trace_element(v, &at);
	if (from->known)
		return dim_mul(c->m, times, from->known[at]);
	if (from->def || from->konst || from->block || !may_scale(from, at) || is_measured_dim(times))
		return measure_scaled(c, v, i, times);
	const Dim *sym = scaled_sym(c->m, from, at, times);
	bind_symbol(c->im, dim_as_sym(sym));
	return sym;
}

bool constant_fill(const Value *v, double *fill)
{
	while (v->def && ops[v->def->op].cls == ClsMove && v->def->nin == 1 && v->def->op != OpPad)
		v = v->def->in[0];
	if (!v->konst)
		return false;
	const Const *k = v->konst;
	size_t step = dtypes[k->type.dtype].bytes;
	if (k->bytes < step || memcmp(k->data, (const char *)k->data + step, k->bytes - step))
		return false;
	return scalar_as_real(scalar_at(k->type.dtype, k->data, 0), fill);
}
