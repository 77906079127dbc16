/* rules_test.c - every rule of passes/rules.def is its own test.
 *
 * `before` is built on parameters of the types in the rule's test column (default f32[4,8]), and evaluated before and
 * after the rule alone has been applied.  Each rule is tried in several spellings: equal subexpressions shared or not,
 * the operands of commutative operators as written or swapped; where there are more than two, beginning with each of
 * them.  One more makes each inner value an output, one at a time: nothing may change.  Values: uniform in [-2, 2),
 * compared with the largest; then infinities, NaN, zeros of both signs and denormals.
 * Then with every other element type that the operators take, integers of every size: where the condition lets it
 * through, values must be equal.  At last each number is replaced by its neighbour, 0 by -0: nothing may change.
 */
#include "../passes/rewrite.h"
#include "test.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

enum { MaxBuilt = 64, MaxParams = 8, MaxOperands = 4 };

typedef struct Spelling {
	bool share, swap, special;
	int first; /* of three or more operands, the one that the others are added to or multiplied with in turn */
	int output; /* inner node that is an output too, in order of building; -1: none */
	bool retyped; /* operands have `type`, instead of what the test column says; conditions stay */
	DType type;
	int nudged; /* the number that is replaced by its neighbour, counted from 1; 0: none */
} Spelling;

typedef struct Builder {
	Module *m;
	const Rule *rule;
	Spelling how;
	uint64_t seed;
	Value *named[26];
	const char *text[MaxBuilt]; /* of what has been built */
	Value *value[MaxBuilt];
	int n, nnumber;
	bool misfit; /* an operator does not take the type of its operands */
} Builder;

static double next_uniform(uint64_t *s)
{
	*s = *s * 6364136223846793005u + 1442695040888963407u;
	return (double)(*s >> 11) * 0x1p-53;
}

static void fill(const Type *t, void *data, Builder *b)
{
	static const double special[] = {NAN, INFINITY, -INFINITY, 0.0, -0.0, 1e-40, -1e-40, 100, -100, 1e18, -1, 0.5};
	int64_t n = const_numel(t);

	for (int64_t i = 0; i < n; i++) {
		double u = next_uniform(&b->seed);
		double x = b->how.special ? special[(size_t)(u * 12)] : 4 * u - 2;
		int64_t v = (int64_t)b->seed >> (int)(u * 64);
		if (t->dtype == Bool)
			((uint8_t *)data)[i] = u < 0.5;
		else if (t->dtype == F32)
			((float *)data)[i] = x;
		else if (t->dtype == F64)
			((double *)data)[i] = x;
		else
			memcpy((char *)data + i * dtypes[t->dtype].bytes, &v, dtypes[t->dtype].bytes);
	}
}

/* ---- types ------------------------------------------------------------------------------------------------------- */

static const char *skip(const char *s, const char *chars)
{
	return s + strspn(s, chars);
}

/* "f32[2,4,8]" */
static const char *parse_type(Module *m, const char *s, Type *t)
{
	char word[8] = {0};
	size_t n = strcspn(s, "[");

	*t = (Type){0};
	if (n >= sizeof word)
		bug("type '%s'", s);
	memcpy(word, s, n);
	if (!find_dtype(word, &t->dtype) || (t->dtype != F32 && t->dtype != Bool && t->dtype != I64))
		bug("type '%s'", s);
	for (s += n + 1; *s != ']'; s = skip(s, ", ")) {
		char *end;
		t->dims[t->rank++] = dim_const(m, strtol(s, &end, 10));
		if (end == s || t->rank == MaxRank)
			bug("type '%s'", s);
		s = end;
	}
	return s + 1;
}

/* Is the test column's entry at s a number? */
static bool is_number(const char *s)
{
	return isdigit((unsigned char)*skip(s + 1, ": "));
}

/* What the test column says about #name. */
static double find_number(const char *test, char name)
{
	for (const char *s = test; *s; s = skip(s + strcspn(s, ","), ", "))
		if (*s == name && is_number(s))
			return strtod(skip(s + 1, ": "), NULL);
	return 0.01;
}

/* What the test column says about %name. */
static bool find_type(Module *m, const char *test, char name, Type *t)
{
	bool constant = false;

	parse_type(m, "f32[4,8]", t);
	for (const char *s = test; *s && !is_number(s); s = skip(s, ", ")) {
		Type other;
		char who = *s;
		s = skip(s + 1, ": ");
		bool is_const = !strncmp(s, "const ", 6);
		s = parse_type(m, s + 6 * is_const, &other);
		if (who == name) {
			*t = other;
			constant = is_const;
		}
	}
	return constant;
}

static Value *named_value(Builder *b, char name)
{
	Value **v = &b->named[name - 'a'];
	Type t;

	if (*v)
		return *v;
	bool constant = find_type(b->m, b->rule->test, name, &t);
	if (b->how.retyped && name != 'c')
		t.dtype = b->how.type;
	if (!constant)
		return *v = new_param(b->m, arena_printf(b->m->arena, "%c", name), t);
	size_t bytes = const_numel(&t) * dtypes[t.dtype].bytes;
	void *data = arena_alloc(b->m->arena, bytes);
	fill(&t, data, b);
	return *v = new_const(b->m, NULL, t, data, bytes)->value;
}

/* ---- building `before` ------------------------------------------------------------------------------------------- */

static Value *build_before(Builder *b, const char **text, DType number_type);

static int parse_attrs(Builder *b, const char **text, Op op, const Value *first, Attr *attrs)
{
	const char *s = skip(*text, " ");
	int n = 0;

	if (op == OpMean || op == OpSum) { /* {*}: what its condition asks for */
		int64_t last = first->type.rank - 1;
		attrs[n++] = mk_ints(b->m, Attr_axes, 1, &last);
		attrs[n++] = mk_int(Attr_keepdims, 1);
	}
	if (*s != '{')
		return n;
	if (strstr(s, "axis=last") && strstr(s, "axis=last") < strchr(s, '}'))
		attrs[n++] = mk_int(Attr_axis, first->type.rank - 1);
	if (strstr(s, "eps=#") && strstr(s, "eps=#") < strchr(s, '}'))
		attrs[n++] = mk_float(Attr_eps, find_number(b->rule->test, 'e'));
	*text = strchr(s, '}') + 1;
	return n;
}

static Value *remember(Builder *b, char *spelled, Value *v)
{
	if (b->n == MaxBuilt)
		bug("the pattern is too large");
	b->text[b->n] = spelled;
	b->value[b->n++] = v;
	return v;
}

static Value *build_pair(Builder *b, Op op, Value *x, Value *y, int nattr, const Attr *attrs)
{
	Value *in[] = {b->how.swap ? y : x, b->how.swap ? x : y};
	return build(b->m, &b->m->main->body, NULL, op, NULL, 2, in, nattr, attrs, NULL);
}

static Value *build_node(Builder *b, const char **text, DType number_type)
{
	const char *begin = *text, *s = strchr(begin, '(');
	char *word = strndup(begin, s - begin);
	Value *in[MaxIn] = {0};
	Attr attrs[4];
	int nin = 0;
	Op op;

	if (!find_op(word, &op))
		bug("no operator '%s'", word);
	free(word);
	for (s++; *(s = skip(s, ", ")) != ')';)
		in[nin++] = build_before(b, &s, number_type);
	*text = s + 1;
	int nattr = parse_attrs(b, text, op, in[0], attrs);
	for (int i = 0; i < nin; i++)
		b->misfit |= op != OpWhere && in[i] && !is_among(in[i]->type.dtype, ops[op].takes);
	if (b->misfit)
		return in[0];
	char *spelled = arena_printf(b->m->arena, "%.*s", (int)(*text - begin), begin);
	for (int i = 0; i < b->n && b->how.share; i++)
		if (!strcmp(b->text[i], spelled))
			return b->value[i];
	if (ops[op].flags & Commutes) {
		Value *v = in[b->how.first % nin];
		for (int i = 1; i < nin; i++) {
			Value *next = in[(b->how.first + i) % nin];
			v = remember(b, arena_printf(b->m->arena, "%s %d", spelled, i), build_pair(b, op, v, next, nattr, attrs));
		}
		b->text[b->n - 1] = spelled;
		return v;
	}
	const Type *given = ops[op].given ? &in[0]->type : NULL;
	return remember(b, spelled, build(b->m, &b->m->main->body, NULL, op, NULL, nin, in, nattr, attrs, given));
}

/* A number of the pattern, or its neighbour; `exact`: only that number will do. */
static Value *number(Builder *b, DType type, double x, bool exact)
{
	b->nnumber += exact;
	if (exact && b->nnumber == b->how.nudged)
		x = type == Bool ? !x : x == 0 ? -0.0 : nextafterf((float)x, INFINITY);
	return const_scalar(b->m, scalar_of_real(type, x))->value;
}

static Value *build_before(Builder *b, const char **text, DType number_type)
{
	const char *s = *text;

	if (*s == '%') {
		*text += 2;
		return named_value(b, s[1]);
	}
	if (*s == '#') {
		*text += 2;
		double x = find_number(b->rule->test, s[1]);
		return number(b, number_type, x, s[1] == 'n');
	}
	if (*s == '_') {
		*text += 1;
		return NULL;
	}
	if (isdigit((unsigned char)*s) || *s == '-') {
		char *end;
		double x = strtod(s, &end);
		*text = end + strspn(end, "|.0123456789"); /* the first of its spellings */
		return number(b, number_type, x, true);
	}
	return build_node(b, text, number_type);
}

/* False where an operator does not take the type. */
static bool build_rule(Builder *b, const Rule *r, Spelling how)
{
	const char *s = r->before;
	Type t;

	*b = (Builder){.m = new_module("rule", r->name), .rule = r, .how = how};
	b->seed = hash_bytes(r->name, strlen(r->name), 1);
	find_type(b->m, r->test, 'x', &t);
	Value *v = build_before(b, &s, how.retyped ? how.type : t.dtype);
	CHECK(!*skip(s, " "));
	if (b->misfit)
		return false;
	add_yield(b->m, &b->m->main->body, v);
	if (how.output >= 0)
		add_yield(b->m, &b->m->main->body, b->value[how.output]);
	static const char *const names[] = {"y", "inner"};
	b->m->main->results = arena_alloc(b->m->arena, sizeof names);
	memcpy(b->m->main->results, names, sizeof names);
	const char *error = verify_module(b->m);
	if (error)
		bug("%s: %s", r->name, error);
	return true;
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

/* Rules that only drop or rename operators must keep every bit (relu of a zero aside: max(-0, 0) is either zero);
 * the others round differently. */
static bool is_exact(const Rule *r)
{
	static const char *const plain[] = {"%x", "mul(%x, %x)", "recip(%x)", "relu(%x)", "mul(%x, 0.5)", "neg(%x)"};
	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
		if (!strcmp(r->after, plain[i]))
			return true;
	return false;
}

static double element(const Tensor *t, int64_t i)
{
	return t->dtype == F32 ? ((const float *)t->data)[i] : ((const double *)t->data)[i];
}

static void compare(const Rule *r, const Spelling *how, const Tensor *a, const Tensor *b)
{
	int64_t n = tensor_numel(a);
	double most = 0, error = 0;
	int classes = 0;

	CHECK_EQ(a->dtype, b->dtype);
	CHECK_EQ(n, tensor_numel(b));
	if (dtypes[a->dtype].cls != ClassFloat) {
		bool same = !memcmp(a->data, b->data, n * dtypes[a->dtype].bytes);
		if (!same)
			fprintf(stderr, "rule %s on %s: other values\n", r->name, dtypes[a->dtype].text);
		CHECK(same);
		return;
	}
	for (int64_t i = 0; i < n; i++) {
		double x = element(a, i), y = element(b, i);
		if (isnan(x) && isnan(y))
			continue;
		bool same = x == y && (r->after[0] != '%' || !signbit(x) == !signbit(y));
		if (is_exact(r) || !isfinite(x) || !isfinite(y)) {
			classes += !same;
			continue;
		}
		most = fmax(most, fabs(x));
		error = fmax(error, fabs(x - y));
	}
	if (classes || error > 2e-6 * most)
		fprintf(stderr,
			"rule %s (share %d, swap %d, first %d, special %d): %d elements of another kind, largest error %g of "
			"%g\n",
			r->name, how->share, how->swap, how->first, how->special, classes, error, most);
	CHECK_EQ(classes, 0);
	CHECK(error <= 2e-6 * most);
}

static int count_nodes(const Module *m)
{
	int n = 0;
	for (const Node *x = m->main->body.first; x; x = x->next)
		n += x->out[0]->nuse > 0;
	return n;
}

static void eval(Builder *b, const Tensor *in, Tensor *out)
{
	const char *error = eval_module(b->m, in, out);
	if (error)
		bug("%s: %s", b->rule->name, error);
}

static void check_rule(int i, Spelling how)
{
	Builder b;
	Tensor in[MaxParams] = {0}, before[2] = {0}, after[2] = {0};

	if (!build_rule(&b, &rules[i], how)) {
		CHECK(how.retyped);
		free_module(b.m);
		return;
	}
	Func *f = b.m->main;
	for (int p = 0; p < f->nparam; p++) {
		const Type *t = &f->params[p]->type;
		in[p] = (Tensor){.dtype = t->dtype, .rank = t->rank, .data = malloc(const_numel(t) * dtypes[t->dtype].bytes)};
		for (int d = 0; d < t->rank; d++)
			dim_is_const(t->dims[d], &in[p].dims[d]);
		fill(t, in[p].data, &b);
	}
	eval(&b, in, before);
	int count = count_nodes(b.m);
	bool applied = apply_rules(b.m, i), expected = how.retyped ? applied : how.output < 0;
	if (applied != expected)
		fprintf(stderr, "rule %s: %s (share %d, swap %d, first %d, output %d)\n", rules[i].name,
			applied ? "applied" : "did not apply", how.share, how.swap, how.first, how.output);
	CHECK_EQ(applied, expected);
	const char *error = verify_module(b.m);
	CHECK_STR(error ? error : "", "");
	CHECK(!applied || count_nodes(b.m) <= count);
	CHECK(!apply_rules(b.m, i)); /* it ends */
	eval(&b, in, after);
	for (int o = 0; o < f->body.nyield; o++) {
		compare(&rules[i], &how, &before[o], &after[o]);
		free_tensor(&before[o]);
		free_tensor(&after[o]);
	}
	for (int p = 0; p < f->nparam; p++)
		free(in[p].data);
	free_module(b.m);
}

/* Each inner value as an output; the last value built is the root. */
static void check_outputs(int i)
{
	Builder b;

	build_rule(&b, &rules[i], (Spelling){.share = true, .output = -1});
	int inner = b.n - 1;
	free_module(b.m);
	for (int o = 0; o < inner; o++)
		check_rule(i, (Spelling){.share = true, .output = o});
}

static void check_types(int i)
{
	for (int t = 0; t < NDTypes; t++)
		for (int v = 0; v < 4 && !is_stored(t); v++) /* pass widen leaves rules nothing that computes in those */
			check_rule(i, (Spelling){.share = true, .swap = v & 1, .special = v & 2, .output = -1, .retyped = true, .type = t});
}

/* Each number in turn as its neighbour: the rule does not apply. */
static void check_numbers(int i)
{
	Builder b;
	int count = 1;

	for (int k = 1; k <= count; k++) {
		build_rule(&b, &rules[i], (Spelling){.share = true, .output = -1, .nudged = k});
		count = b.nnumber;
		bool applied = k <= count && apply_rules(b.m, i);
		if (applied)
			fprintf(stderr, "rule %s: applies though number %d is another\n", rules[i].name, k);
		CHECK(!applied);
		free_module(b.m);
	}
}

int main(void)
{
	for (int i = 0; i < nrules; i++) {
		for (int v = 0; v < 8 * MaxOperands; v++)
			check_rule(i, (Spelling){.share = v & 1, .swap = v & 2, .special = v & 4, .first = v / 8, .output = -1});
		check_outputs(i);
		check_types(i);
		check_numbers(i);
	}
	printf("rules: %d rules\n", nrules);
	return test_end("rules");
}
