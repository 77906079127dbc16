/* expr.c - two small expression languages, read by recursive descent.
 *
 *   rows of onnx_ops.def   expr = op "(" arg {"," arg} ")" | "%" digit | number | "$" attribute
 *                          arg = expr | attr "=" (number | "$" attribute);  op and attr are those of the tensor IR.
 *                          A number is a scalar of the first input's type; cast(x) casts to that type.
 *   dim_param              integer expressions as exporters write them: "P + 1", "2*s0 - 3", "floor(T/2)"
 *
 * The first is ours, so a mistake in it is a bug(); the second is the user's, so what does not parse is refused.
 */
#include "expr.h"
#include "build.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- rows ------------------------------------------------------------------------------------------------------ */

typedef struct Text {
	Call *call;
	const char *start, *p;
} Text;

static void skip_space(const char **p)
{
	while (isspace((unsigned char)**p))
		(*p)++;
}

static bool take(const char **p, char ch)
{
	skip_space(p);
	if (**p != ch)
		return false;
	(*p)++;
	return true;
}

static void expect(Text *t, char ch)
{
	if (!take(&t->p, ch))
		bug("onnx_ops.def: '%c' expected in \"%s\" before \"%s\"", ch, t->start, t->p);
}

static int take_name(const char **p, char *name, int size)
{
	skip_space(p);
	int n = 0;
	while (isalnum((unsigned char)**p) || **p == '_') {
		if (n < size - 1)
			name[n++] = **p;
		(*p)++;
	}
	name[n] = 0;
	return n;
}

/* The default after "name:" in the row's attributes. */
static double default_of(const Call *c, const char *name)
{
	size_t n = strlen(name);
	for (const char *p = strstr(c->row->attrs, name); p; p = strstr(p + 1, name))
		if (p[n] == ':' && (p == c->row->attrs || p[-1] == ' '))
			return strtod(p + n + 1, NULL);
	bug("onnx_ops.def: %s: no default of $%s", c->row->name, name);
}

static bool take_number(Text *t, double *v)
{
	skip_space(&t->p);
	char name[32], *end;
	if (take(&t->p, '$')) {
		take_name(&t->p, name, sizeof name);
		*v = onnx_float(t->call, name, default_of(t->call, name));
		return true;
	}
	if (!isdigit((unsigned char)*t->p) && *t->p != '-' && strncmp(t->p, "inf", 3))
		return false;
	*v = strtod(t->p, &end);
	t->p = end;
	return true;
}

static Value *read_expr(Text *t);

static AttrId find_attr_id(const char *name)
{
	for (int i = 0; i < NAttrs; i++)
		if (!strcmp(attr_infos[i].text, name))
			return i;
	bug("onnx_ops.def: no attribute '%s'", name);
}

static Value *read_node(Text *t, const char *name)
{
	Value *in[MaxIn];
	Attr attrs[4];
	int nin = 0, nattr = 0;
	Op op;
	if (!find_op(name, &op))
		bug("onnx_ops.def: no op '%s' in \"%s\"", name, t->start);
	expect(t, '(');
	do {
		char key[32];
		const char *back = t->p;
		double v;
		if (take_name(&t->p, key, sizeof key) && take(&t->p, '=')) {
			if (nattr == 4 || !take_number(t, &v))
				bug("onnx_ops.def: bad attribute in \"%s\"", t->start);
			AttrId id = find_attr_id(key);
			attrs[nattr++] = mk_number(id, t->call->in[0]->type.dtype, v);
			continue;
		}
		t->p = back;
		if (nin == MaxIn)
			bug("onnx_ops.def: too many operands in \"%s\"", t->start);
		in[nin++] = read_expr(t);
	} while (take(&t->p, ','));
	expect(t, ')');
	if (op == OpCast)
		return emit_cast(t->call, in[0], t->call->in[0]->type.dtype);
	return emit(t->call, op, nin, in, nattr, attrs, NULL);
}

static Value *read_expr(Text *t)
{
	char name[32];
	double v;
	Call *c = t->call;
	if (take(&t->p, '%')) {
		int i = *t->p++ - '0';
		if (i < 0 || i >= c->row->max_in)
			bug("onnx_ops.def: no input %%%d in \"%s\"", i, t->start);
		if (i >= c->nin || !c->in[i])
			fatal_at(c->loc, "input %d is missing", i);
		return c->in[i];
	}
	if (take_number(t, &v))
		return emit_const(c, c->in[0]->type.dtype, v);
	if (!take_name(&t->p, name, sizeof name))
		bug("onnx_ops.def: cannot read \"%s\" at \"%s\"", t->start, t->p);
	return read_node(t, name);
}

Value *expand_text(Call *c, const char *text)
{
	Text t = {c, text, text};
	if (!c->nin || !c->in[0])
		fatal_at(c->loc, "input 0 is missing");
	Value *v = read_expr(&t);
	skip_space(&t.p);
	if (*t.p)
		bug("onnx_ops.def: \"%s\" goes on after \"%s\"", text, t.p);
	return v;
}

/* ---- dims ------------------------------------------------------------------------------------------------------ */

enum { MaxDepth = 32 };

typedef struct DimParser {
	Module *m;
	const char *p;
	const Dim *(*symbol)(void *, const char *);
	void *ctx;
	int depth;
} DimParser;

static const Dim *read_sum(DimParser *);

static const Dim *floordiv(Module *m, const Dim *a, const Dim *b)
{
	return dim_equals(b, 0) ? NULL : dim_floordiv(m, a, b);
}

static const Dim *ceildiv(Module *m, const Dim *a, const Dim *b)
{
	return dim_equals(b, 0) ? NULL : dim_ceildiv(m, a, b);
}

static const Dim *mod(Module *m, const Dim *a, const Dim *b)
{
	return dim_equals(b, 0) ? NULL : dim_mod(m, a, b);
}

static const struct {
	const char *name;
	const Dim *(*f)(Module *, const Dim *, const Dim *);
} calls[] = {{"min", dim_min},       {"Min", dim_min},       {"max", dim_max}, {"Max", dim_max},
             {"FloorDiv", floordiv}, {"CeilDiv", ceildiv}, {"Mod", mod},     {"mod", mod}};

/* After the opening parenthesis of name( . */
static const Dim *read_dim_call(DimParser *d, const char *name)
{
	const Dim *a = read_sum(d);
	if (a && (!strcmp(name, "floor") || !strcmp(name, "")) && take(&d->p, ')'))
		return a; /* floor of a quotient: "/" rounds down already */
	for (size_t i = 0; a && i < sizeof calls / sizeof *calls; i++) {
		if (strcmp(calls[i].name, name))
			continue;
		while (a && take(&d->p, ',')) {
			const Dim *b = read_sum(d);
			a = b ? calls[i].f(d->m, a, b) : NULL;
		}
		return a && take(&d->p, ')') ? a : NULL;
	}
	return NULL;
}

static const Dim *read_atom(DimParser *d)
{
	char name[64];
	skip_space(&d->p);
	if (take(&d->p, '('))
		return read_dim_call(d, "");
	if (isdigit((unsigned char)*d->p)) {
		char *end;
		long long v = strtoll(d->p, &end, 10);
		d->p = end;
		return v > DimMax || *end == '.' ? NULL : dim_const(d->m, v);
	}
	int n = take_name(&d->p, name, sizeof name);
	if (!n || n == sizeof name - 1)
		return NULL;
	return take(&d->p, '(') ? read_dim_call(d, name) : d->symbol(d->ctx, name);
}


static const Dim *read_product(DimParser *d)
{
	bool negative = take(&d->p, '-');
	const Dim *a = read_atom(d);
	while (a) {
		const Dim *b;
		if (take(&d->p, '*')) {
			b = read_atom(d);
			a = b ? dim_mul(d->m, a, b) : NULL;
		} else if (take(&d->p, '/')) {
			take(&d->p, '/');
			b = read_atom(d);
			a = b ? floordiv(d->m, a, b) : NULL;
		} else if (take(&d->p, '%')) {
			b = read_atom(d);
			a = b ? mod(d->m, a, b) : NULL;
		} else {
			break;
		}
	}
	return a && negative ? dim_mul_const(d->m, a, -1) : a;
}

static const Dim *read_sum(DimParser *d)
{
	if (++d->depth > MaxDepth)
		return NULL;
	const Dim *a = read_product(d);
	while (a) {
		const Dim *b;
		if (take(&d->p, '+')) {
			b = read_product(d);
			a = b ? dim_add(d->m, a, b) : NULL;
		} else if (take(&d->p, '-')) {
			b = read_product(d);
			a = b ? dim_sub(d->m, a, b) : NULL;
		} else {
			break;
		}
	}
	d->depth--;
	return a;
}

const Dim *parse_dim_text(Module *m, const char *text, const Dim *(*symbol)(void *, const char *), void *ctx)
{
	DimParser d = {m, text, symbol, ctx, 0};
	const Dim *result = read_sum(&d);
	skip_space(&d.p);
	return result && !*d.p ? result : NULL;
}
