/* dim_test.c - symbolic dims: stated identities, and random expressions against direct evaluation, ranges and text. */
#include "../ir/ir.h"

#include "test.h"

#include <stdlib.h>

static Module *m;

/* ---- a parser of the printed form ------------------------------------------------------------------------------- */

static const Dim *parse_sum(const char **s);

static void skip_space(const char **s)
{
	while (**s == ' ')
		++*s;
}

static bool accept(const char **s, char c)
{
	skip_space(s);
	bool found = **s == c;
	*s += found;
	return found;
}

static const Dim *parse_call(const char **s, const char *name)
{
	const Dim *a = parse_sum(s);
	accept(s, ',');
	const Dim *b = parse_sum(s);
	accept(s, ')');
	return !strcmp(name, "min") ? dim_min(m, a, b) : dim_max(m, a, b);
}

static const Dim *parse_factor(const char **s)
{
	char word[64];
	int n;
	skip_space(s);
	if (accept(s, '(')) {
		const Dim *d = parse_sum(s);
		accept(s, ')');
		return d;
	}
	if (accept(s, '-'))
		return dim_mul_const(m, parse_factor(s), -1);
	if (sscanf(*s, "%63[0-9]%n", word, &n) == 1) {
		*s += n;
		return dim_const(m, strtoll(word, NULL, 10));
	}
	if (sscanf(*s, "%63[A-Za-z0-9_]%n", word, &n) != 1) {
		fprintf(stderr, "cannot parse '%s'\n", *s);
		exit(1);
	}
	*s += n;
	return accept(s, '(') ? parse_call(s, word) : dim_sym(m, word);
}

static const Dim *parse_product(const char **s)
{
	const Dim *d = parse_factor(s);
	for (;;) {
		if (accept(s, '*'))
			d = dim_mul(m, d, parse_factor(s));
		else if (accept(s, '/'))
			d = dim_floordiv(m, d, parse_factor(s));
		else if (accept(s, '%'))
			d = dim_mod(m, d, parse_factor(s));
		else
			return d;
	}
}

static const Dim *parse_sum(const char **s)
{
	const Dim *d = parse_product(s);
	for (;;) {
		if (accept(s, '+'))
			d = dim_add(m, d, parse_product(s));
		else if (accept(s, '-'))
			d = dim_sub(m, d, parse_product(s));
		else
			return d;
	}
}

static const Dim *parse(const char *s)
{
	const Dim *d = parse_sum(&s);
	skip_space(&s);
	CHECK_STR(s, "");
	return d;
}

/* ---- identities ------------------------------------------------------------------------------------------------- */

static void set_range(const char *name, int64_t lo, int64_t hi)
{
	Sym *s = dim_as_sym(dim_sym(m, name));
	s->lo = lo;
	s->hi = hi;
}

/* batch, seq, w may be 0; heads, T, s1 are positive; neg is negative; any has any sign. */
static void begin(void)
{
	m = new_module("t", "t.onnx");
	dim_sym(m, "batch");
	dim_sym(m, "seq");
	set_range("heads", 1, 64);
	set_range("T", 1, DimMax);
	set_range("s1", 1, 10);
	set_range("w", 0, 7);
	set_range("neg", -9, -1);
	set_range("any", -20, 20);
}

typedef struct Identity {
	const char *left, *text; /* parsed; the printed normal form */
} Identity;

static const Identity identities[] = {
	{"0", "0"}, {"3 - 5", "-2"}, {"seq*2*3", "6*seq"}, {"(seq + 3) - 3", "seq"}, {"seq - seq", "0"},
	{"seq*batch - batch*seq", "0"}, {"3 - seq", "3 - seq"}, {"0 - seq", "-1*seq"},
	{"0 - 2*seq - batch", "-1*batch - 2*seq"},
	{"(seq + 1)*(seq - 1)", "seq*seq - 1"}, {"4*batch*seq + 3", "4*batch*seq + 3"},
	{"(seq*heads*64)/64", "seq*heads"}, {"batch*20*T/(4*T)", "5*batch"},
	{"(4*batch + seq)/4", "batch + seq/4"},
	{"(12*seq)/(4*seq)", "(12*seq)/(4*seq)"}, {"(12*T)/(4*T)", "3"}, {"(12*seq)/4", "3*seq"}, {"T/T", "1"},
	{"(12*seq)/8", "seq + seq/2"}, {"(seq + 15)/16", "(seq + 15)/16"}, {"(seq + 31)/16", "(seq + 15)/16 + 1"},
	{"(4*seq + 6)/8", "(seq + 1)/2"}, {"(4*seq + 7)/8", "(seq + 1)/2"},
	{"(2*seq + 1)/2", "seq"}, {"7/2", "3"},
	{"(0 - 7)/2", "-4"}, {"7/(0 - 2)", "-4"}, {"(seq/4)/8", "seq/32"}, {"(seq/4 + 3)/8", "(seq + 12)/32"},
	{"(batch*T*7 + 5)/T", "7*batch + 5/T"}, {"(seq*T + batch*T)/(T*heads)", "(batch + seq)/heads"},
	{"((seq + 3)*heads)/(seq + 3)", "heads"}, {"w/8", "0"}, {"w/(w + 1)", "0"}, {"(seq%heads)/heads", "0"},
	{"(8*batch + w)/8", "batch"}, {"(4*batch + seq%4)/4", "batch"}, {"(seq + (0 - seq)%4)/4", "(seq + 3)/4"},
	{"(0 - seq)/16", "-1*((seq + 15)/16)"}, {"seq/(0 - 4)", "-1*((seq + 3)/4)"}, {"w/(0 - 1)", "-1*w"},
	{"(seq*neg)/neg", "seq"}, {"any/any", "any/any"}, {"any/seq", "any/seq"},
	{"seq%3", "seq%3"}, {"(0 - 9223372036854775807)%2147483647", "2147483646"}, {"(4*seq)%4", "0"}, {"(seq*T)%T", "0"},
	{"(5*seq + 9)%4", "(seq + 1)%4"}, {"w%8", "w"},
	{"(6*seq)%4", "2*(seq%2)"}, {"(6*seq + 3)%4", "2*((seq + 1)%2) + 1"},
	{"(seq%8)%4", "seq%4"}, {"(seq%8 + 3)%4", "(seq + 3)%4"},
	{"7%(0 - 2)", "-1"}, {"(0 - 7)%2", "1"}, {"(seq + (0 - seq)%4)%4", "0"},
	{"2*(seq/4)", "2*(seq/4)"}, {"seq - seq/4", "seq - seq/4"},
	{"(seq/4)*4", "4*(seq/4)"}, {"((seq/4)*4)/4", "seq/4"}, {"batch*(seq%3)", "batch*(seq%3)"},
	{"min(seq, 7)", "min(seq, 7)"}, {"min(7, seq)", "min(seq, 7)"},
	{"min(seq, seq)", "seq"}, {"min(seq, seq + 1)", "seq"},
	{"max(seq, seq + 1)", "seq + 1"}, {"min(w, 7)", "w"}, {"max(w, 7)", "7"},
	{"max(0, seq)", "seq"}, {"max(T, 1)", "T"}, {"max(0, 2*(seq/2) - seq)", "0"}, {"min(seq, 3*(seq/3))", "3*(seq/3)"},
	{"min(3, 5)", "3"}, {"max(3, 5)", "5"}, {"min(batch, min(seq, 7))", "min(min(batch, seq), 7)"},
	{"min(min(seq, 7), seq)", "min(seq, 7)"}, {"min(min(7, batch), seq)", "min(min(batch, seq), 7)"},
	{"max(seq, any)*2", "2*max(seq, any)"},
};

static void test_identities(void)
{
	begin();
	for (size_t i = 0; i < sizeof identities / sizeof *identities; i++) {
		const Dim *d = parse(identities[i].left);
		CHECK_STR(dim_text(m, d), identities[i].text);
		CHECK(parse(identities[i].text) == d);
	}
	CHECK(dim_ceildiv(m, parse("seq"), parse("16")) == parse("(seq + 15)/16"));
	CHECK(dim_ceildiv(m, parse("32*seq"), parse("16")) == parse("2*seq"));
	CHECK(dim_ceildiv(m, parse("7"), parse("2")) == parse("4"));
	free_module(m);
}

static void check_exact(const char *a, const char *b, const char *q)
{
	const Dim *got;
	bool exact = dim_exact_div(m, parse(a), parse(b), &got);
	CHECK_EQ(exact, q != NULL);
	if (exact && q)
		CHECK_STR(dim_text(m, got), q);
}

static void test_exact_div(void)
{
	begin();
	check_exact("batch*T*20", "T*4", "5*batch");
	check_exact("batch*seq*20", "seq*4", NULL);
	check_exact("batch*seq*20", "4", "5*batch*seq");
	check_exact("batch*seq*20", "0 - 4", "-5*batch*seq");
	check_exact("seq", "4", NULL);
	check_exact("seq", "0", NULL);
	check_exact("0", "4", "0");
	check_exact("seq*heads", "heads", "seq");
	check_exact("(seq + 3)*(batch + T)", "seq + 3", "batch + T");
	check_exact("seq*seq - 1", "seq + 1", "seq - 1");
	check_exact("seq*seq + 1", "seq + 1", NULL);
	check_exact("seq + (0 - seq)%4", "4", "(seq + 3)/4");
	check_exact("4*(seq/4)", "4", "seq/4");
	check_exact("seq*neg", "neg", "seq");
	check_exact("seq*any", "any", NULL);
	free_module(m);
}

static void test_queries(void)
{
	int64_t lo, hi, value;
	begin();
	dim_range(parse("2*w - 3"), &lo, &hi);
	CHECK(lo == -3 && hi == 11);
	dim_range(parse("w%3 + (w + 4)/2"), &lo, &hi);
	CHECK(lo == 2 && hi == 7);
	dim_range(parse("seq*seq*seq*batch"), &lo, &hi);
	CHECK(lo == 0 && hi == INT64_MAX);
	dim_range(parse("w - seq*seq*seq*batch + 5"), &lo, &hi);
	CHECK(lo == INT64_MIN && hi == 12);
	CHECK(dim_is_const(parse("0"), &value) && value == 0);
	CHECK(!dim_is_const(parse("w"), NULL));
	CHECK(dim_equals(parse("2 + 3"), 5));
	CHECK(dim_uses_sym(parse("min(4, seq/3) + T"), find_sym(m, "seq")));
	CHECK(!dim_uses_sym(parse("min(4, seq/3) + T"), find_sym(m, "w")));
	CHECK(!find_sym(m, "none"));
	CHECK_STR(dim_as_sym(parse("w"))->name, "w");
	CHECK(!dim_as_sym(parse("2*w")));
	const Dim *by[8] = {0};
	by[find_sym(m, "seq")->index] = parse("4*T");
	CHECK(dim_subst(m, parse("(seq + 3)/4 + seq%4 + w"), by) == parse("T + w"));
	Type t = {F32, 3, {parse("batch"), parse("seq"), parse("512")}};
	CHECK_STR(type_text(m, &t), "f32[batch, seq, 512]");
	CHECK_STR(dim_text(m, type_numel(m, &t)), "512*batch*seq");
	Type c = {I8, 2, {parse("3"), parse("5")}};
	CHECK_EQ(const_numel(&c), 15);
	c.dims[0] = parse("0");
	CHECK_EQ(const_numel(&c), 0);
	CHECK(!type_equal(&t, &c) && type_equal(&t, &t));
	free_module(m);
}

/* The counter of a loop over T beside other factors. */
static void test_counter(void)
{
	begin();
	Sym *it = dim_as_sym(dim_sym(m, "it"));
	it->module = m;
	it->most = parse("T - 1");
	CHECK(dim_proves_nonneg(m, parse("batch*T - batch - batch*it")));
	CHECK(dim_proves_nonneg(m, parse("batch*seq*T - batch*seq - batch*seq*it + T")));
	CHECK(!dim_proves_nonneg(m, parse("batch*T - 2*batch - batch*it")));
	CHECK(dim_proves_nonneg(m, parse("80*(seq/2) - 160*(seq/4)")));
	CHECK(!dim_proves_nonneg(m, parse("80*(seq/2) - 161*(seq/4)")));
	CHECK(!dim_proves_nonneg(m, parse("160*(seq/4) - 80*(seq/2)")));
	CHECK(!dim_proves_nonneg(m, parse("2*(seq/3) - 3*(seq/4)")));
	CHECK(dim_proves_nonneg(m, parse("(seq + 1)/2 + 1 - 2*((seq + 3)/4)")));
	CHECK(!dim_proves_nonneg(m, parse("(seq + 1)/2 - 2*((seq + 3)/4)")));
	CHECK(dim_proves_nonneg(m, parse("(seq + 3)/2 + 1 - 2*((seq + 4)/4)"))); /* the part of a half rounds up */
	CHECK(dim_proves_nonneg(m, parse("T*((seq + 1)/2) + T - 2*T*((seq + 3)/4)")));
	CHECK(!dim_proves_nonneg(m, parse("T*((seq + 1)/2) + T - 2*batch*((seq + 3)/4)")));
	CHECK(!dim_proves_nonneg(m, parse("(seq + 2)/2 - 2*((seq + 5)/4)")));
	CHECK(!dim_proves_nonneg(m, parse("any*T - any - any*it")));
	CHECK(!dim_proves_nonneg(m, parse("batch*it - batch*T + batch")));
	free_module(m);
}

/* ---- errors ----------------------------------------------------------------------------------------------------- */

static void check_error(const char *want, void (*act)(void))
{
	char text[256] = "";
	jmp_buf out;
	begin();
	diag_stream = fmemopen(text, sizeof text, "w");
	diag_recover = &out;
	if (!setjmp(out)) {
		act();
		CHECK(!"an error was expected");
	}
	diag_recover = NULL;
	fclose(diag_stream);
	diag_stream = NULL;
	CHECK_STR(text, want);
	diag_reset();
	free_module(m);
}

static void divide_by_zero(void)
{
	parse("seq/(w - w)");
}

static void mod_zero(void)
{
	parse("seq%0");
}

static void overflow(void)
{
	parse("4611686018427387904*seq + 4611686018427387904*seq");
}

static void overflow_product(void)
{
	parse("(9223372036854775807*seq)*(2*w)");
}

static void too_deep(void)
{
	const Dim *d = parse("seq");
	for (;;)
		d = dim_floordiv(m, d, parse("batch"));
}

/* Expanding nested mods again and again would take for ever. */
static void nested_mods(void)
{
	static const char *const by[] = {"T", "heads", "s1", "7"};
	const Dim *d = parse("seq");
	for (int i = 0;; i++) {
		d = dim_mod(m, dim_sub(m, d, parse("batch")), parse(by[i % 4]));
		dim_floordiv(m, dim_sub(m, d, parse("batch")), parse("4"));
	}
}

static void too_large(void)
{
	const Dim *d = parse("seq");
	for (;;)
		d = dim_floordiv(m, d, d);
}

static void too_many_terms(void)
{
	const Dim *d = dim_const(m, 0);
	for (int i = 0;; i++)
		d = dim_add(m, d, dim_sym(m, arena_printf(m->arena, "x%d", i)));
}

static void too_many_factors(void)
{
	const Dim *d = parse("seq");
	for (;;)
		d = dim_mul(m, d, d);
}

static void power_of_a_sum(void)
{
	const Dim *sum = parse("batch + seq + heads + T + w + any + neg + 1"), *d = sum;
	for (;;)
		d = dim_mul(m, d, sum);
}

static void too_many_operands(void)
{
	const Dim *d = parse("seq");
	for (int i = 0;; i++)
		d = dim_min(m, d, dim_sym(m, arena_printf(m->arena, "x%d", i)));
}

static void test_errors(void)
{
	check_error("t.onnx: error: dimension is divided by 0\n", divide_by_zero);
	check_error("t.onnx: error: dimension is divided by 0\n", mod_zero);
	check_error("t.onnx: error: not supported: a dimension whose formula overflows 64 bits\n", overflow);
	check_error("t.onnx: error: not supported: a dimension whose formula overflows 64 bits\n", overflow_product);
	check_error("t.onnx: error: dimension is nested too deeply\n", too_deep);
	check_error("t.onnx: error: dimension is nested too deeply\n", nested_mods);
	check_error("t.onnx: error: dimension expression is too large\n", too_large);
	check_error("t.onnx: error: dimension has too many terms\n", too_many_terms);
	check_error("t.onnx: error: dimension has too many factors\n", too_many_factors);
	check_error("t.onnx: error: dimension has too many terms\n", power_of_a_sum);
	check_error("t.onnx: error: dimension has too many operands of min or max\n", too_many_operands);
}

/* ---- random expressions ----------------------------------------------------------------------------------------- */

static uint64_t seed = 12345;

static int pick(int n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (int)((seed >> 33) % (uint64_t)n);
}

enum { NPoints = 12, NSyms = 8 };
static int64_t points[NPoints][NSyms];

typedef struct Sample { /* a dim, and its value at each point by direct evaluation */
	const Dim *d;
	int64_t v[NPoints];
	bool defined[NPoints];
} Sample;

static int64_t apply(int op, int64_t a, int64_t b)
{
	switch (op) {
	case 0: return a + b;
	case 1: return a - b;
	case 2: return a * b;
	case 3: return floor_div(a, b);
	case 4: return a - b * floor_div(a, b);
	case 5: return -floor_div(-a, b);
	case 6: return a < b ? a : b;
	default: return a > b ? a : b;
	}
}

static const Dim *(*const makers[])(Module *, const Dim *, const Dim *) = {
	dim_add, dim_sub, dim_mul, dim_floordiv, dim_mod, dim_ceildiv, dim_min, dim_max,
};

static Sample random_sample(int depth)
{
	Sample s;
	if (!depth || !pick(6)) {
		bool constant = pick(2);
		int value = pick(12) - (pick(3) ? 0 : 6), sym = pick(NSyms);
		s.d = constant ? dim_const(m, value) : dim_sym(m, m->syms[sym]->name);
		for (int i = 0; i < NPoints; i++) {
			s.v[i] = constant ? value : points[i][sym];
			s.defined[i] = true;
		}
		return s;
	}
	Sample a = random_sample(depth - 1), b = random_sample(depth - 1);
	int op = pick(8);
	bool divides = op >= 3 && op <= 5;
	if (divides && dim_equals(b.d, 0))
		return a;
	s.d = makers[op](m, a.d, b.d);
	for (int i = 0; i < NPoints; i++) {
		s.defined[i] = a.defined[i] && b.defined[i] && !(divides && !b.v[i]);
		s.v[i] = s.defined[i] ? apply(op, a.v[i], b.v[i]) : 0;
	}
	return s;
}

static void *visit_const(void *ctx, int64_t value)
{
	(void)ctx;
	return (void *)dim_const(m, value);
}

static void *visit_sym(void *ctx, const Sym *sym)
{
	(void)ctx;
	return (void *)dim_sym(m, sym->name);
}

static void *visit_binary(void *ctx, const char *op, void *a, void *b)
{
	static const char *const names[] = {"+", "", "*", "/", "%", "", "min", "max"};
	(void)ctx;
	for (int i = 0; i < 8; i++)
		if (!strcmp(op, names[i]))
			return (void *)makers[i](m, a, b);
	CHECK(!"known operator");
	return NULL;
}

static void check_sample(const Sample *s)
{
	int64_t lo, hi, value;
	const char *text = dim_text(m, s->d);
	bool wrong = parse(text) != s->d;
	wrong |= dim_visit(s->d, &(DimVisitor){visit_const, visit_sym, visit_binary, NULL}) != s->d;
	dim_range(s->d, &lo, &hi);
	for (int i = 0; i < NPoints; i++) {
		if (!s->defined[i])
			continue;
		bool ok = dim_eval(s->d, points[i], &value);
		wrong |= !ok || value != s->v[i] || value < lo || value > hi;
	}
	CHECK(!wrong);
	if (wrong)
		fprintf(stderr, "  %s\n", text);
}

static void test_random(int rounds, int depth)
{
	for (int r = 0; r < rounds; r++) {
		begin();
		for (int i = 0; i < NPoints; i++)
			for (int j = 0; j < NSyms; j++) {
				int64_t span = m->syms[j]->hi - m->syms[j]->lo;
				points[i][j] = m->syms[j]->lo + pick(span < 30 ? (int)span + 1 : 30);
			}
		for (int k = 0; k < 40; k++) {
			Sample s = random_sample(depth);
			check_sample(&s);
		}
		free_module(m);
	}
}

int main(void)
{
	test_identities();
	test_exact_div();
	test_queries();
	test_counter();
	test_errors();
	test_random(400, 3);
	test_random(100, 4);
	return test_end("dim");
}
