/* formula.c - numbers that depend on symbols: formulas as rows of a table, and one function for all of them that computes what rows say.
 *
 *   v[41] = v[2] / numbers[0];  v[40] = v[41] * numbers[1];  v[40] += v[7] * numbers[2]; ...
 *
 * A layer of symbolic sizes has a dozen offsets and extents, each a polynomial.  As code they were two thirds of a detector's, and LLVM took
 * as much of its time; a row costs it nothing, and a run a nanosecond.  What several steps multiply or divide is computed once in a call of
 * the program, with the program's lets: these lie at the begin of v, behind a 1.
 */
#include "emit.h"

#include <string.h>

#include "../runtime/dcc.h"

/* v[to] = v[a] * numbers[b], with AddBefore more what the row before gave; symbol or cell of the data `a`; v[a] op v[b], or numbers[b] with
 * FromNumbers. */
typedef enum RowOp { RowLinear, RowSym, RowCell, RowMul, RowDiv, RowMod, RowMin, RowMax, NRowOps } RowOp;

enum { RowOps = 15, FromNumbers = 16, AddBefore = 32, One = -1 /* the source that is 1 */, MaxShared = 256 };

typedef struct FormulaRow {
	uint16_t op, to, a, b;
} FormulaRow;

typedef struct Term {
	int value;
	int64_t by;
} Term;

typedef enum ValueKind { ValueLinear = RowLinear, ValueLet = NRowOps } ValueKind; /* the others are as rows */

/* Equal ones are one.  Linear: the sum of its terms and the number. */
typedef struct FormulaValue {
	int op;
	int a, b;
	int64_t number;
	int nterm;
	const Term *terms;
	bool given; /* by the data: it may change */
	int uses, seen; /* codes that compute it; the last of them */
	int let; /* its place among lets, or 0 */
	int source, code; /* what has it in that code */
} FormulaValue;

typedef struct Made { /* a row before it is known where values go: a and b may be sources: numbers of rows, or -1 - the place of a let */
	int op, a, b;
	int to, last; /* its place; the last row that reads it */
	int sum; /* the last row of its sum, or itself */
} Made;

typedef struct Code { /* equal ones stand once */
	const FormulaRow *rows;
	int n, at;
} Code;

typedef struct Wanted {
	int n;
	const int *values;
	FormulaCode code;
} Wanted;

typedef struct Numbers {
	int n, cap;
	int64_t *items;
} Numbers;

struct Formulas {
	Emit *e;
	Arena *arena;
	int nvalue, capvalue, nwanted, capwanted, nlet, caplet;
	FormulaValue *values;
	Table known;
	Wanted *wanted;
	int *lets; /* values: those of the program, then those that several codes share */
	int n, cap;
	FormulaRow *rows; /* of all codes */
	Table codes;
	Numbers numbers; /* of all codes, and of who adds to them */
	FormulaCode let_code;
	int most; /* places */
	/* of the code being made */
	Arena *own;
	int code;
	bool making_lets;
	int nmade, capmade, first; /* its first number */
	Made *made;
};

Formulas *new_formulas(Emit *e, Arena *arena)
{
	Formulas *f = arena_alloc(arena, sizeof *f);
	*f = (Formulas){.e = e, .arena = arena};
	return f;
}

/* ---- values -------------------------------------------------------------------------------------------------------- */

typedef struct ValueKey {
	const Formulas *f;
	const FormulaValue *value;
} ValueKey;

static bool is_value(const void *item, const void *key)
{
	const ValueKey *k = key;
	const FormulaValue *a = &k->f->values[(intptr_t)item - 1], *b = k->value;
	return a->op == b->op && a->a == b->a && a->b == b->b && a->number == b->number && a->nterm == b->nterm &&
	       (!a->nterm || !memcmp(a->terms, b->terms, (size_t)a->nterm * sizeof *a->terms));
}

static bool is_binary(const FormulaValue *v)
{
	return v->op >= RowMul && v->op < NRowOps;
}

static bool is_given_value(const Formulas *f, const FormulaValue *v)
{
	if (v->op == RowCell)
		return true;
	if (is_binary(v))
		return f->values[v->a].given || f->values[v->b].given;
	for (int i = 0; i < v->nterm; i++)
		if (f->values[v->terms[i].value].given)
			return true;
	return false;
}

static int add_value(Formulas *f, FormulaValue v)
{
	const int64_t head[] = {v.op, v.a, v.b, v.number};
	const uint64_t hash = table_hash(v.terms, (size_t)v.nterm * sizeof *v.terms, table_hash(head, sizeof head, 0));
	const void *known = table_find(&f->known, hash, is_value, &(ValueKey){f, &v});
	if (known)
		return (int)((intptr_t)known - 1);
	if (v.nterm)
		v.terms = memcpy(arena_alloc(f->arena, (size_t)v.nterm * sizeof *v.terms), v.terms, (size_t)v.nterm * sizeof *v.terms);
	v.given = is_given_value(f, &v);
	v.seen = v.code = -1;
	PUSH(f->arena, f->values, f->nvalue, f->capvalue, v);
	table_add(f->arena, &f->known, hash, (void *)(intptr_t)f->nvalue);
	return f->nvalue - 1;
}

static int add_op(Formulas *f, int op, int a, int b)
{
	return add_value(f, (FormulaValue){.op = op, .a = a, .b = b});
}

static int add_number(Formulas *f, int64_t number)
{
	return add_value(f, (FormulaValue){.op = ValueLinear, .number = number});
}

static int ref_value(Formulas *f, const LVar *v)
{
	const int let = v->number - f->e->lm->nsym;
	if (v->number < 0)
		return add_op(f, RowCell, -1 - v->number, 0);
	if (let < 0)
		return add_op(f, RowSym, v->number, 0);
	return add_op(f, ValueLet, let, 0);
}

typedef struct Sum {
	int n, cap;
	Term *terms;
	uint64_t number; /* which wraps, as all integers do */
} Sum;

static void add_term(Formulas *f, Sum *s, int value, uint64_t by)
{
	int64_t all;
	for (int i = 0; i < s->n; i++)
		if (s->terms[i].value == value && !__builtin_add_overflow(s->terms[i].by, (int64_t)by, &all)) {
			s->terms[i].by = all;
			return;
		}
	PUSH(f->arena, s->terms, s->n, s->cap, ((Term){value, (int64_t)by}));
}

static int value_of(Formulas *f, const LExpr *x);

/* The product of all factors of x that are no constants, behind `product` (-1: none yet); *by is multiplied by the others. */
static int multiply(Formulas *f, const LExpr *x, int product, uint64_t *by)
{
	if (x->op == LMul)
		return multiply(f, x->a[1], multiply(f, x->a[0], product, by), by);
	int64_t all;
	if (x->op == LConst && !__builtin_mul_overflow((int64_t)*by, x->value.i, &all)) { /* else the product in doubles is to see it */
		*by = (uint64_t)all;
		return product;
	}
	const int factor = value_of(f, x);
	return product < 0 ? factor : add_op(f, RowMul, product, factor);
}

static void add_terms(Formulas *f, Sum *s, const LExpr *x, uint64_t by)
{
	if (x->op == LAdd || x->op == LSub) {
		add_terms(f, s, x->a[0], by);
		add_terms(f, s, x->a[1], x->op == LSub ? -by : by);
		return;
	}
	const int product = multiply(f, x, -1, &by);
	int64_t all;
	if (product < 0 && __builtin_add_overflow((int64_t)s->number, (int64_t)by, &all))
		add_term(f, s, add_number(f, (int64_t)by), 1);
	else if (product < 0)
		s->number = (uint64_t)all;
	else
		add_term(f, s, product, by);
}

static int sum_value(Formulas *f, const LExpr *x)
{
	Sum s = {0};
	add_terms(f, &s, x, 1);
	if (!s.n)
		return add_number(f, (int64_t)s.number);
	if (s.n == 1 && s.terms[0].by == 1 && !s.number)
		return s.terms[0].value;
	return add_value(f, (FormulaValue){.op = ValueLinear, .number = (int64_t)s.number, .nterm = s.n, .terms = s.terms});
}

static int value_of(Formulas *f, const LExpr *x)
{
	RowOp op;
	switch (x->op) {
	case LConst: return add_number(f, x->value.i);
	case LRef: return ref_value(f, x->var);
	case LAdd: case LSub: case LMul: return sum_value(f, x);
	case LFloorDiv: op = RowDiv; break;
	case LMod: op = RowMod; break;
	case LMin: case LPMin: op = RowMin; break;
	case LMax: case LPMax: op = RowMax; break;
	default: bug("a formula with the operation %s", lops[x->op].text);
	}
	const int a = value_of(f, x->a[0]);
	return add_op(f, op, a, value_of(f, x->a[1]));
}

int want_formulas(Formulas *f, int n, const LExpr *const *formulas)
{
	int *values = arena_alloc(f->arena, ((size_t)n + 1) * sizeof *values);
	for (int i = 0; i < n; i++)
		values[i] = value_of(f, formulas[i]);
	PUSH(f->arena, f->wanted, f->nwanted, f->capwanted, ((Wanted){.n = n, .values = values}));
	return f->nwanted - 1;
}

/* ---- what codes share ------------------------------------------------------------------------------------------------ */

static void count_uses(Formulas *f, int value, int code)
{
	FormulaValue *v = &f->values[value];
	if (v->seen == code)
		return;
	v->seen = code;
	v->uses++;
	for (int i = 0; i < v->nterm; i++)
		count_uses(f, v->terms[i].value, code);
	if (is_binary(v)) {
		count_uses(f, v->a, code);
		count_uses(f, v->b, code);
	}
}

static void add_let(Formulas *f, int value)
{
	PUSH(f->arena, f->lets, f->nlet, f->caplet, value);
	f->values[value].let = f->nlet;
}

/* Operands come before what is made of them. */
static void share_values(Formulas *f)
{
	int n = 0;
	for (int c = 0; c < f->nwanted; c++)
		for (int i = 0; i < f->wanted[c].n; i++)
			count_uses(f, f->wanted[c].values[i], c);
	for (int i = 0; i < f->nvalue && n < MaxShared; i++) {
		const FormulaValue *v = &f->values[i];
		if (v->uses > 1 && !v->given && (v->op == RowSym || is_binary(v))) {
			add_let(f, i);
			n++;
		}
	}
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

int add_formula_number(Formulas *f, int64_t v)
{
	PUSH(f->arena, f->numbers.items, f->numbers.n, f->numbers.cap, v);
	return f->numbers.n - 1;
}

static int number_at(Formulas *f, int64_t v)
{
	for (int i = f->first; i < f->numbers.n; i++)
		if (f->numbers.items[i] == v)
			return i - f->first;
	return add_formula_number(f, v) - f->first;
}

static int make_row(Formulas *f, int op, int a, int b)
{
	const Made m = {.op = op, .a = a, .b = b, .to = -1, .sum = f->nmade};
	PUSH(f->own, f->made, f->nmade, f->capmade, m);
	return m.sum;
}

static int source_of(Formulas *f, int value);

/* Terms first, then rows without a gap. */
static int make_sum(Formulas *f, const FormulaValue *v)
{
	int *terms = arena_alloc(f->own, (size_t)v->nterm * sizeof *terms + 1);
	for (int i = 0; i < v->nterm; i++)
		terms[i] = source_of(f, v->terms[i].value);
	const int begin = f->nmade;
	if (v->number || !v->nterm)
		make_row(f, RowLinear, One, number_at(f, v->number));
	for (int i = 0; i < v->nterm; i++)
		make_row(f, RowLinear | (f->nmade > begin ? AddBefore : 0), terms[i], number_at(f, v->terms[i].by));
	for (int i = begin; i < f->nmade; i++)
		f->made[i].sum = f->nmade - 1;
	return f->nmade - 1;
}

static int make_value(Formulas *f, const FormulaValue *v)
{
	if (v->let && !f->making_lets)
		return -1 - v->let;
	switch (v->op) {
	case ValueLinear: return make_sum(f, v);
	case ValueLet: return f->making_lets ? source_of(f, f->lets[v->a]) : -2 - v->a;
	case RowSym: case RowCell: return make_row(f, v->op, v->a, 0);
	default: break;
	}
	const int a = source_of(f, v->a);
	const FormulaValue *b = &f->values[v->b];
	if (b->op == ValueLinear && !b->nterm)
		return make_row(f, v->op | FromNumbers, a, number_at(f, b->number));
	return make_row(f, v->op, a, source_of(f, v->b));
}

static int source_of(Formulas *f, int value)
{
	FormulaValue *v = &f->values[value];
	if (v->code != f->code) {
		v->source = make_value(f, v);
		v->code = f->code;
	}
	return v->source;
}

/* ---- places ---------------------------------------------------------------------------------------------------------- */

static bool reads_a(const Made *m)
{
	return m->op != RowSym && m->op != RowCell;
}

static bool reads_b(const Made *m)
{
	return (m->op & RowOps) >= RowMul && !(m->op & FromNumbers);
}

static uint16_t in_row(int v)
{
	if (v > UINT16_MAX)
		refuse_at(NULL, "the sizes of the model, or of a step, take more than %d numbers", UINT16_MAX);
	return (uint16_t)v;
}

static int place_of(const Formulas *f, int source)
{
	return source < 0 ? -1 - source : f->made[source].to;
}

static void note_reader(Formulas *f, int source, int row)
{
	if (source >= 0)
		f->made[source].last = row;
}

/* Values for one use have the places from `begin` on, as long as something reads them. */
static FormulaRow *place_rows(Formulas *f, int begin)
{
	FormulaRow *rows = arena_alloc(f->own, (size_t)f->nmade * sizeof *rows);
	int *free_places = arena_alloc(f->own, 2 * (size_t)f->nmade * sizeof *free_places), nfree = 0, most = begin;
	for (int i = 0; i < f->nmade; i++) {
		if (reads_a(&f->made[i]))
			note_reader(f, f->made[i].a, i);
		if (reads_b(&f->made[i]))
			note_reader(f, f->made[i].b, i);
	}
	for (int i = 0; i < f->nmade; i++) {
		Made *m = &f->made[i], *sum = &f->made[m->sum];
		const int a = reads_a(m) ? place_of(f, m->a) : m->a, b = reads_b(m) ? place_of(f, m->b) : m->b;
		if (reads_a(m) && a >= begin && f->made[m->a].last == i)
			free_places[nfree++] = a;
		if (reads_b(m) && b >= begin && f->made[m->b].last == i && b != a)
			free_places[nfree++] = b;
		if (sum->to < 0)
			sum->to = nfree ? free_places[--nfree] : most++;
		m->to = sum->to;
		rows[i] = (FormulaRow){in_row(m->op), in_row(m->to), in_row(a), in_row(b)};
	}
	if (most > f->most)
		f->most = most;
	return rows;
}

/* ---- codes ------------------------------------------------------------------------------------------------------------- */

static bool is_code(const void *item, const void *key)
{
	const Code *a = item, *b = key;
	return a->n == b->n && !memcmp(a->rows, b->rows, (size_t)a->n * sizeof *a->rows);
}

static int add_code(Formulas *f, const FormulaRow *rows, int n)
{
	const Code key = {rows, n, f->n};
	const uint64_t hash = table_hash(rows, (size_t)n * sizeof *rows, 0);
	Code *code = table_find(&f->codes, hash, is_code, &key);
	if (code)
		return code->at;
	code = arena_alloc(f->arena, sizeof *code);
	*code = key;
	code->rows = memcpy(arena_alloc(f->arena, (size_t)n * sizeof *rows), rows, (size_t)n * sizeof *rows);
	table_add(f->arena, &f->codes, hash, code);
	for (int i = 0; i < n; i++)
		PUSH(f->arena, f->rows, f->n, f->cap, rows[i]);
	return code->at;
}

/* Wanted values go to the places from `to` on. */
static FormulaCode make_code(Formulas *f, int to, int n, const int *wanted)
{
	int *from = arena_alloc(f->arena, ((size_t)n + 1) * sizeof *from);
	f->own = new_inner_arena(f->arena);
	f->code++;
	f->nmade = f->capmade = 0;
	f->first = f->numbers.n;
	for (int i = 0; i < n; i++)
		from[i] = source_of(f, wanted[i]);
	for (int i = 0; i < n; i++) {
		const bool taken = from[i] < 0 || f->made[from[i]].to >= 0; /* a let, or two are equal */
		const int row = taken ? make_row(f, RowLinear, from[i], number_at(f, 1)) : from[i];
		f->made[row].to = to + i;
	}
	const FormulaRow *rows = place_rows(f, to + n);
	const FormulaCode code = {.at = add_code(f, rows, f->nmade), .n = f->nmade, .numbers = f->first};
	free_arena(f->own);
	return code;
}

void make_formulas(Formulas *f, int nlet, const LExpr *const *lets)
{
	for (int i = 0; i < nlet; i++) { /* equal ones, and what others are made of, have places of their own */
		const int value = value_of(f, lets[i]);
		PUSH(f->arena, f->lets, f->nlet, f->caplet, value);
	}
	share_values(f);
	f->making_lets = true;
	if (f->nlet)
		f->let_code = make_code(f, 1, f->nlet, f->lets);
	f->making_lets = false;
	for (int i = 0; i < f->nwanted; i++)
		f->wanted[i].code = make_code(f, f->nlet + 1, f->wanted[i].n, f->wanted[i].values);
}

FormulaCode formula_code(const Formulas *f, int wanted)
{
	return f->wanted[wanted].code;
}

/* ---- the function ------------------------------------------------------------------------------------------------------ */

static LLVMValueRef field_of_row(Emit *e, LLVMValueRef row, size_t offset)
{
	LLVMValueRef v = LLVMBuildLShr(e->b, row, const_i64_of(e, 8 * (int64_t)offset), "");
	return LLVMBuildAnd(e->b, v, const_i64_of(e, UINT16_MAX), "");
}

static LLVMValueRef item_at(Emit *e, LLVMValueRef array, LLVMValueRef i)
{
	return LLVMBuildGEP2(e->b, e->i64, array, &i, 1, "");
}

static LLVMValueRef load_item(Emit *e, LLVMValueRef array, LLVMValueRef i)
{
	return LLVMBuildLoad2(e->b, e->i64, item_at(e, array, i), "");
}

/* As in all other code. */
static LLVMValueRef emit_index_op(Emit *e, RowOp op, LLVMValueRef a, LLVMValueRef b)
{
	static const LOp ops[NRowOps] = {[RowMul] = LMul, [RowDiv] = LFloorDiv, [RowMod] = LMod, [RowMin] = LMin, [RowMax] = LMax};
	LVar vars[2] = {{.type = IndexType}, {.type = IndexType}};
	LExpr refs[2] = {{.op = LRef, .type = IndexType, .var = &vars[0]}, {.op = LRef, .type = IndexType, .var = &vars[1]}};
	const LExpr x = {.op = ops[op], .type = IndexType, .a = {&refs[0], &refs[1]}};
	bind_var(&vars[0], a);
	bind_var(&vars[1], b);
	return emit_expr(e, &x);
}

/* Divisions unrounded. */
static LLVMValueRef emit_real_op(Emit *e, RowOp op, LLVMValueRef a, LLVMValueRef b)
{
	switch (op) {
	case RowMul: return LLVMBuildFMul(e->b, a, b, "");
	case RowDiv: return LLVMBuildFDiv(e->b, a, b, "");
	case RowMod: return b; /* which it does not reach */
	default: return emit_pick(e, op == RowMax, F64, a, b);
	}
}

static LLVMValueRef is_set(Emit *e, LLVMValueRef op, int flag)
{
	LLVMValueRef v = LLVMBuildAnd(e->b, op, const_i64_of(e, flag), "");
	return LLVMBuildICmp(e->b, LLVMIntNE, v, const_i64_of(e, 0), "");
}

/* The function's state while it is emitted, and its integers as it computes. */
typedef struct Machine {
	Emit *e;
	bool real;
	LLVMTypeRef type;
	LLVMValueRef v, numbers, op, a, b;
} Machine;

static LLVMValueRef as_value(const Machine *m, LLVMValueRef integer)
{
	return m->real ? LLVMBuildSIToFP(m->e->b, integer, m->type, "") : integer;
}

static LLVMValueRef load_value(const Machine *m, LLVMValueRef i)
{
	return LLVMBuildLoad2(m->e->b, m->type, item_at(m->e, m->v, i), "");
}

static LLVMValueRef emit_linear(const Machine *m, LLVMValueRef before)
{
	LLVMBuilderRef b = m->e->b;
	LLVMValueRef x = load_value(m, m->a), by = as_value(m, load_item(m->e, m->numbers, m->b));
	LLVMValueRef more = LLVMBuildSelect(b, is_set(m->e, m->op, AddBefore), before, LLVMConstNull(m->type), "");
	return m->real ? LLVMBuildFAdd(b, LLVMBuildFMul(b, x, by, ""), more, "") : LLVMBuildAdd(b, LLVMBuildMul(b, x, by, ""), more, "");
}

static LLVMValueRef emit_binary(const Machine *m, RowOp op)
{
	LLVMValueRef flag = is_set(m->e, m->op, FromNumbers), left = load_value(m, m->a);
	LLVMValueRef right = load_item(m->e, LLVMBuildSelect(m->e->b, flag, m->numbers, m->v, ""), m->b);
	if (!m->real)
		return emit_index_op(m->e, op, left, right);
	right = LLVMBuildSelect(m->e->b, flag, as_value(m, right), LLVMBuildBitCast(m->e->b, right, m->type, ""), "");
	return emit_real_op(m->e, op, left, right);
}

/* May it leave the range of an i64?  Constants stay where they are. */
static LLVMValueRef is_huge(const Machine *m, LLVMValueRef value)
{
	LLVMBuilderRef b = m->e->b;
	LLVMValueRef size = call_intrinsic(m->e, "llvm.fabs", 1, (LLVMTypeRef[]){m->type}, 1, &value);
	LLVMValueRef out = LLVMBuildFCmp(b, LLVMRealUGE, size, LLVMConstReal(m->type, 0x1p62), "");
	LLVMValueRef made = LLVMBuildICmp(b, LLVMIntNE, LLVMBuildOr(b, m->op, m->a, ""), const_i64_of(m->e, 0), "");
	return LLVMBuildAnd(b, out, made, "");
}

/* formulas(v, rows, n, numbers, syms, cells): n > 0 rows.  One for all targets.  Most rows are linear: that branch is foreseen.
 * real: computes doubles, and returns whether one of them leaves the range. */
static LLVMValueRef emit_formulas(Emit *e, bool real)
{
	LLVMTypeRef types[] = {e->ptr, e->ptr, e->i64, e->ptr, e->ptr, e->ptr};
	if (!real)
		e->divide = new_divide(e);
	const char *name = arena_printf(e->m->arena, "%s.formulas%s", e->m->name, real ? ".real" : "");
	LLVMValueRef f = begin_function(e, name, real ? e->i1 : e->void_type, 6, types, false), values[NRowOps];
	Machine m = {.e = e, .real = real, .type = real ? LLVMDoubleTypeInContext(e->cx) : e->i64, .v = LLVMGetParam(f, 0), .numbers = LLVMGetParam(f, 3)};
	LLVMBasicBlockRef from = LLVMGetInsertBlock(e->b), loop = new_label(e, "loop"), made = new_label(e, "made"), done = new_label(e, "done");
	LLVMBasicBlockRef blocks[NRowOps], never = new_label(e, "never"), other = new_label(e, "other");
	LLVMValueRef none = LLVMConstNull(m.type), huge = LLVMConstNull(e->i1);

	LLVMBuildBr(e->b, loop);
	place_label(e, loop);
	LLVMValueRef i = LLVMBuildPhi(e->b, e->i64, "i"), before = LLVMBuildPhi(e->b, m.type, "before"), wraps = LLVMBuildPhi(e->b, e->i1, "wraps");
	LLVMValueRef row = load_item(e, LLVMGetParam(f, 1), i);
	m.op = field_of_row(e, row, offsetof(FormulaRow, op));
	m.a = field_of_row(e, row, offsetof(FormulaRow, a));
	m.b = field_of_row(e, row, offsetof(FormulaRow, b));
	LLVMValueRef kind = LLVMBuildAnd(e->b, m.op, const_i64_of(e, RowOps), "");
	blocks[RowLinear] = new_label(e, "linear");
	LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntEQ, kind, const_i64_of(e, RowLinear), ""), blocks[RowLinear], other);
	place_label(e, blocks[RowLinear]);
	values[RowLinear] = emit_linear(&m, before);
	LLVMBuildBr(e->b, made);
	place_label(e, other);
	LLVMValueRef choice = LLVMBuildSwitch(e->b, kind, never, NRowOps);
	for (int k = RowSym; k < NRowOps; k++) {
		blocks[k] = new_label(e, "op");
		LLVMAddCase(choice, const_i64_of(e, k), blocks[k]);
		place_label(e, blocks[k]);
		values[k] = k < RowMul ? as_value(&m, load_item(e, LLVMGetParam(f, k == RowSym ? 4 : 5), m.a)) : emit_binary(&m, (RowOp)k);
		blocks[k] = LLVMGetInsertBlock(e->b);
		LLVMBuildBr(e->b, made);
	}
	place_label(e, never);
	LLVMBuildUnreachable(e->b);
	place_label(e, made);
	LLVMValueRef value = LLVMBuildPhi(e->b, m.type, "value"), next = LLVMBuildNSWAdd(e->b, i, const_i64_of(e, 1), "");
	LLVMAddIncoming(value, values, blocks, NRowOps);
	LLVMBuildStore(e->b, value, item_at(e, m.v, field_of_row(e, row, offsetof(FormulaRow, to))));
	if (real)
		huge = LLVMBuildOr(e->b, wraps, is_huge(&m, value), "");
	LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, next, LLVMGetParam(f, 2), ""), loop, done);
	LLVMAddIncoming(i, (LLVMValueRef[]){const_i64_of(e, 0), next}, (LLVMBasicBlockRef[]){from, made}, 2);
	LLVMAddIncoming(before, (LLVMValueRef[]){none, value}, (LLVMBasicBlockRef[]){from, made}, 2);
	LLVMAddIncoming(wraps, (LLVMValueRef[]){LLVMConstNull(e->i1), huge}, (LLVMBasicBlockRef[]){from, made}, 2);
	place_label(e, done);
	end_function(e, real ? huge : NULL);
	e->divide = NULL;
	return f;
}

/* ---- tables and calls ---------------------------------------------------------------------------------------------------- */

void need_formulas(Emit *e, bool real)
{
	const Target *t = e->target;
	if (e->formulas[real])
		return;
	e->target = NULL;
	e->formulas[real] = emit_formulas(e, real);
	e->target = t;
}

FormulaTable emit_formula_table(Emit *e, const Formulas *f, const char *name)
{
	FormulaTable t = {.places = f->most, .first = f->nlet + 1, .lets = f->let_code};
	t.numbers = table_of_bytes(e, arena_printf(f->arena, "%s.numbers", name), f->numbers.items, (size_t)f->numbers.n * sizeof *f->numbers.items);
	if (f->n)
		t.rows = table_of_bytes(e, arena_printf(f->arena, "%s.formulas", name), f->rows, (size_t)f->n * sizeof *f->rows);
	return t;
}

LLVMValueRef call_formulas(Emit *e, const FormulaPlaces *p, LLVMValueRef rows, LLVMValueRef n, LLVMValueRef numbers)
{
	LLVMValueRef args[] = {p->at, item_at(e, p->table->rows, rows), n, numbers, p->syms, p->cells}, f = e->formulas[p->real];
	return LLVMBuildCall2(e->b, LLVMGlobalGetValueType(f), f, args, 6, "");
}

LLVMValueRef call_formula_code(Emit *e, const FormulaPlaces *p, const FormulaCode *c)
{
	LLVMValueRef numbers = item_at(e, p->table->numbers, const_i64_of(e, c->numbers));
	return call_formulas(e, p, const_i64_of(e, c->at), const_i64_of(e, c->n), numbers);
}

FormulaPlaces open_formulas(Emit *e, const FormulaTable *t, bool real, LLVMValueRef syms, LLVMValueRef cells)
{
	LLVMTypeRef array = LLVMArrayType2(e->i64, (uint64_t)t->places), type = LLVMDoubleTypeInContext(e->cx);
	const FormulaPlaces p = {t, real, LLVMBuildAlloca(e->allocas, array, "places"), syms, cells};
	LLVMBuildStore(e->b, real ? LLVMConstReal(type, 1) : const_i64_of(e, 1), p.at);
	if (t->lets.n)
		call_formula_code(e, &p, &t->lets);
	return p;
}

LLVMValueRef formula_place(Emit *e, const FormulaPlaces *p, int i)
{
	return item_at(e, p->at, const_i64_of(e, p->table->first + i));
}
