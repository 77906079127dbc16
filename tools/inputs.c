/* inputs.c - see inputs.h. */
#include "inputs.h"

#include <stdlib.h>
#include <string.h>

/* ---- by name, then by order -------------------------------------------------------------------------------------- */

static int find_port(int n, const dcc_port *ports, const char *name)
{
	for (int i = 0; i < n; i++)
		if (*name && !strcmp(ports[i].name, name))
			return i;
	return -1;
}

static const char *port_names(Arena *arena, int n, const dcc_port *ports)
{
	const char *all = "";
	for (int i = 0; i < n; i++)
		all = arena_printf(arena, "%s%s%s", all, i ? ", " : "", ports[i].name);
	return all;
}

void match_tensors(Arena *arena, const Program *p, const char *what, int n, const dcc_port *ports, int ngiven,
                   const NamedTensor *given, Tensor *out)
{
	const Loc loc = {.file = p->path};
	bool *taken = arena_alloc(arena, (size_t)n + 1);
	if (ngiven != n)
		fatal_at(&loc, "%d %s tensor%s given, the model has %d (%s)%s", ngiven, what, ngiven == 1 ? "" : "s", n,
		         port_names(arena, n, ports),
		         ngiven || strcmp(what, "input") ? "" : "; --random 1 makes them up, --inputs FILE... reads them");
	for (int i = 0; i < ngiven; i++) {
		int port = find_port(n, ports, given[i].name);
		if (port >= 0 && taken[port])
			fatal_at(&loc, "two tensors are named '%s': %s is the second", given[i].name, given[i].path);
		if (port >= 0) {
			out[port] = given[i].t;
			taken[port] = true;
		}
	}
	for (int i = 0, next = 0; i < ngiven; i++) {
		if (find_port(n, ports, given[i].name) >= 0)
			continue;
		while (taken[next])
			next++;
		out[next] = given[i].t;
		taken[next] = true;
	}
}

/* ---- dims as text ------------------------------------------------------------------------------------------------ */

typedef struct Reader { /* of + - * / % min() max() and parentheses over symbols and integers */
	const char *at;
	int nsymbols;
	const dcc_symbol *symbols;
	const int64_t *values;
	int depth;
	bool bad;
} Reader;

enum { MaxDepth = 50 };

static int64_t read_sum(Reader *);

static char peek_char(Reader *r)
{
	r->at += strspn(r->at, " ");
	return *r->at;
}

static bool take_char(Reader *r, char c)
{
	bool yes = peek_char(r) == c;
	r->at += yes;
	r->bad |= !yes;
	return yes;
}

static int64_t apply(Reader *r, char op, int64_t a, int64_t b)
{
	int64_t v = 0;
	switch (op) {
	case '+': r->bad |= __builtin_add_overflow(a, b, &v); break;
	case '-': r->bad |= __builtin_sub_overflow(a, b, &v); break;
	case '*': r->bad |= __builtin_mul_overflow(a, b, &v); break;
	default:
		if (b == 0 || b == -1)
			r->bad = true;
		else
			v = op == '/' ? floor_div(a, b) : a - b * floor_div(a, b);
	}
	return v;
}

static int64_t read_name(Reader *r)
{
	static const char end_of_name[] = " +-*/%(),";
	size_t n = strcspn(r->at, end_of_name);
	const char *name = r->at;
	r->at += n;
	for (int i = 0; i < r->nsymbols; i++)
		if (strlen(r->symbols[i].name) == n && !memcmp(r->symbols[i].name, name, n))
			return r->values[i];
	bool min = n == 3 && !memcmp(name, "min", 3), max = n == 3 && !memcmp(name, "max", 3);
	if ((!min && !max) || !take_char(r, '(')) {
		r->bad = true;
		return 0;
	}
	int64_t a = read_sum(r);
	take_char(r, ',');
	int64_t b = read_sum(r);
	take_char(r, ')');
	return (a < b) == min ? a : b;
}

static int64_t read_atom(Reader *r)
{
	char c = peek_char(r);
	if (r->bad || r->depth > MaxDepth) {
		r->bad = true;
		return 0;
	}
	if (c == '(') {
		r->at++;
		int64_t v = read_sum(r);
		take_char(r, ')');
		return v;
	}
	if (c == '-') {
		r->at++;
		r->depth++;
		int64_t v = apply(r, '-', 0, read_atom(r));
		r->depth--;
		return v;
	}
	if (c < '0' || c > '9')
		return read_name(r);
	char *end;
	int64_t v = strtoll(r->at, &end, 10);
	r->at = end;
	return v;
}

static int64_t read_product(Reader *r)
{
	int64_t v = read_atom(r);
	for (char op; !r->bad && (op = peek_char(r)) && strchr("*/%", op);) {
		r->at++;
		v = apply(r, op, v, read_atom(r));
	}
	return v;
}

static int64_t read_sum(Reader *r)
{
	r->depth++;
	int64_t v = read_product(r);
	for (char op; !r->bad && (op = peek_char(r)) && strchr("+-", op);) {
		r->at++;
		v = apply(r, op, v, read_product(r));
	}
	r->depth--;
	return v;
}

/* The value of "past + 1" where symbols have the given values; -1: it has none. */
static int64_t eval_dim_text(const char *text, int nsymbols, const dcc_symbol *symbols, const int64_t *values)
{
	Reader r = {.at = text, .nsymbols = nsymbols, .symbols = symbols, .values = values};
	int64_t v = read_sum(&r);
	return r.bad || peek_char(&r) || v < 0 ? -1 : v;
}

/* ---- made up ----------------------------------------------------------------------------------------------------- */

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

enum { MaxTold = 8 }; /* symbols in a message */

static bool may_choose(const dcc_symbol *sym)
{
	return sym->source == DCC_SYMBOL_INPUT || sym->source == DCC_SYMBOL_VALUE;
}

static _Noreturn void refuse_name(Arena *arena, const Program *p, const char *name, const char *why)
{
	const Loc loc = {.file = p->path};
	const char *have = "";
	for (int i = 0, n = 0; i < p->nsymbols && n < MaxTold; i++)
		if (may_choose(&p->symbols[i]))
			have = arena_printf(arena, "%s%s%s", have, n++ ? ", " : "; there are: ", p->symbols[i].name);
	fatal_at(&loc, "-D %s: %s%s", name, why, have);
}

/* In source files the importer has looked at -D; a compiled model has just its symbols, of which these names may be chosen. */
static void check_names(Arena *arena, const Program *p, int nbind, const DimBinding *bind)
{
	for (int b = 0; b < nbind && p->compiled; b++) {
		int i = 0;
		while (i < p->nsymbols && strcmp(bind[b].sym, p->symbols[i].name))
			i++;
		if (i == p->nsymbols)
			refuse_name(arena, p, bind[b].sym, "the model has no symbol of this name");
		if (p->symbols[i].source == DCC_SYMBOL_DERIVED)
			refuse_name(arena, p, bind[b].sym, "it follows from others");
		if (p->symbols[i].source == DCC_SYMBOL_DATA)
			refuse_name(arena, p, bind[b].sym, "the run itself gives it");
	}
}

/* Number `told` of the sizes that nobody chose. */
static void tell_size(Arena *arena, Program *p, int told, const char *name, int64_t value)
{
	const char *before = told ? p->made_up : "", *comma = told ? ", " : "";
	if (told < MaxTold)
		p->made_up = arena_printf(arena, "%s%s%s = %lld", before, comma, name, (long long)value);
	else if (told == MaxTold)
		p->made_up = arena_printf(arena, "%s%s...", before, comma);
}

static void choose_symbols(Arena *arena, Program *p, int nbind, const DimBinding *bind, int64_t *values)
{
	int told = 0;
	check_names(arena, p, nbind, bind);
	for (int i = 0; i < p->nsymbols; i++) {
		const dcc_symbol *sym = &p->symbols[i];
		bool chosen = !may_choose(sym);
		values[i] = clamp(DefaultDim, sym->lo, sym->hi);
		for (int b = 0; b < nbind; b++)
			if (!strcmp(bind[b].sym, sym->name)) {
				values[i] = clamp(values[i], bind[b].lo, bind[b].hi);
				chosen = true;
			}
		if (!chosen)
			tell_size(arena, p, told++, sym->name, values[i]);
	}
}

void make_inputs(Arena *arena, Program *p, int nbind, const DimBinding *bind, uint64_t seed, Tensor *out)
{
	const Loc loc = {.file = p->path};
	int64_t *values = calloc((size_t)p->nsymbols + 1, sizeof *values);
	if (!values)
		fatal_at(&loc, "no memory");
	choose_symbols(arena, p, nbind, bind, values);
	for (int i = 0; i < p->ninputs; i++) {
		const dcc_port *port = &p->inputs[i];
		Tensor *t = &out[i];
		*t = (Tensor){.dtype = dtype_of_port(port), .rank = port->rank};
		for (int d = 0; d < port->rank; d++) {
			t->dims[d] = port->dims[d] >= 0
					 ? port->dims[d]
					 : eval_dim_text(port->dim_text[d], p->nsymbols, p->symbols, values);
			if (t->dims[d] < 0)
				fatal_at(&loc, "input '%s': dim %d (%s) has no size; set its symbols with -D",
					 port->name, d, port->dim_text[d]);
		}
		alloc_tensor(t, &loc);
		fill_random(t, &seed);
	}
	for (int i = 0; i < p->nsymbols; i++) {
		const dcc_symbol *s = &p->symbols[i];
		if (s->source == DCC_SYMBOL_VALUE)
			set_element(&out[s->input], s->element, (double)values[i]);
		if (s->source == DCC_SYMBOL_SCALED)
			set_element(&out[s->input], s->element, 1.5);
	}
	free(values);
}
