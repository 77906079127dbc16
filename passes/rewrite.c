/* rewrite.c - applies rules.def.
 *
 * Patterns are parsed once per run into trees and matched from the root down, trying every order and association of the
 * operands of commutative operators until one also meets the rule's condition.  A match binds %names to values and #names to
 * numbers; `after` is built in front of the root.
 */
#include "rewrite.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MaxBind = 8, MaxInner = 32, MaxPatIn = 4, MaxPatAttr = 3, MaxSpellings = 2 };

typedef enum PatKind { PatValue, PatNumber, PatScalar, PatAbsent, PatOp } PatKind;

typedef struct PatAttr {
	AttrId id;
	char scalar; /* #name, or 0 */
	bool last; /* axis=last */
	double number;
} PatAttr;

typedef struct Pat {
	PatKind kind;
	char name; /* PatValue, PatScalar */
	int nnumber;
	double numbers[MaxSpellings];
	Op op;
	int nin, nattr;
	bool any_attrs;
	struct Pat *in[MaxPatIn];
	PatAttr attrs[MaxPatAttr];
} Pat;

typedef struct Match {
	Value *values[26];
	double scalars[26];
	bool bound[26];
	Node *inner[MaxInner]; /* matched nodes, root first */
	int ninner;
	const Node *any; /* the last that matched {*} */
} Match;

typedef bool Where(const Match *);

const Rule rules[] = {
#define RULE(name, before, after, where, test) {#name, before, after, #where, test},
#include "rules.def"
#undef RULE
};
const int nrules = sizeof rules / sizeof *rules;

/* ---- patterns --------------------------------------------------------------------------------------------------------- */

static const char *skip_space(const char *s)
{
	while (isspace((unsigned char)*s))
		s++;
	return s;
}

static const char *parse_word(const char *s, char *word, size_t size)
{
	size_t n = 0;
	while ((isalnum((unsigned char)*s) || *s == '_') && n + 1 < size)
		word[n++] = *s++;
	word[n] = 0;
	return s;
}

static const char *parse_pat_attrs(const char *s, Pat *p)
{
	char word[32];

	for (s++; *(s = skip_space(s)) != '}'; s = skip_space(s) + (*skip_space(s) == ',')) {
		if (*s == '*') {
			p->any_attrs = true;
			s++;
			continue;
		}
		PatAttr *a = &p->attrs[p->nattr++];
		s = parse_word(s, word, sizeof word);
		for (a->id = 0; a->id < NAttrs && strcmp(attr_infos[a->id].text, word); a->id++)
			;
		if (a->id == NAttrs || p->nattr == MaxPatAttr || *s++ != '=')
			bug("rules.def: bad attribute at '%s'", s);
		if (*s == '#') {
			a->scalar = s[1];
			s += 2;
		} else if (!strncmp(s, "last", 4)) {
			a->last = true;
			s += 4;
		} else {
			char *end;
			a->number = strtod(s, &end);
			s = end;
		}
	}
	return s + 1;
}

static const char *parse_pat(Arena *arena, const char *s, Pat **out)
{
	Pat *p = *out = arena_alloc(arena, sizeof *p);
	char word[32], *end;

	s = skip_space(s);
	if (*s == '%' || *s == '#') {
		p->kind = *s == '%' ? PatValue : PatScalar;
		p->name = s[1];
		return s + 2;
	}
	if (*s == '_') {
		p->kind = PatAbsent;
		return s + 1;
	}
	if (isdigit((unsigned char)*s) || *s == '-') {
		p->kind = PatNumber;
		for (end = (char *)s - 1; p->nnumber == 0 || (*end == '|' && p->nnumber < MaxSpellings); p->nnumber++)
			p->numbers[p->nnumber] = strtod(end + 1, &end);
		return end;
	}
	p->kind = PatOp;
	s = parse_word(s, word, sizeof word);
	if (!find_op(word, &p->op) || *s++ != '(')
		bug("rules.def: no operator '%s'", word);
	while (*(s = skip_space(s)) != ')') {
		if (p->nin == MaxPatIn)
			bug("rules.def: too many operands at '%s'", s);
		s = skip_space(parse_pat(arena, s, &p->in[p->nin++]));
		if (*s == ',')
			s++;
		else if (*s != ')')
			bug("rules.def: expected , or ) at '%s'", s);
	}
	s = skip_space(s + 1);
	return *s == '{' ? parse_pat_attrs(s, p) : s;
}

/* ---- matching --------------------------------------------------------------------------------------------------------- */

bool uniform_scalar(Value *v, Scalar *s)
{
	for (Node *n; (n = v->def) && (n->op == OpExpand || n->op == OpReshape || n->op == OpView); v = n->in[0])
		;
	return value_as_scalar(v, s);
}

bool uniform_value(Value *v, double *x)
{
	Scalar s;
	return uniform_scalar(v, &s) && scalar_as_real(s, x);
}

/* Is x, an element of type t, the number as t holds it?  -0 is not 0. */
static bool is_number(DType t, double x, double number)
{
	double held = is_among(t, TypesFlt) ? scalar_of_real(t, number).f : number;
	return x == held && !signbit(x) == !signbit(held);
}

static bool number_matches(const Pat *p, Value *v)
{
	double x;
	bool any = false;

	for (int i = 0; i < p->nnumber && v && uniform_value(v, &x); i++)
		any |= is_number(v->type.dtype, x, p->numbers[i]);
	return any;
}

static bool number_of_attr(const Node *n, AttrId id, double *x)
{
	switch (attr_infos[id].kind) {
	case AttrFloat: *x = attr_float(n, id); return true;
	case AttrScalar: return scalar_as_real(attr_scalar(n, id), x);
	default: *x = attr_int(n, id); return true;
	}
}

static bool attr_matches(const PatAttr *a, const Node *n, Match *b)
{
	double x;

	if (!number_of_attr(n, a->id, &x))
		return false;
	if (a->last)
		return x == n->in[0]->type.rank - 1;
	if (!a->scalar)
		return x == a->number;
	int i = a->scalar - 'a';
	if (b->bound[i] && b->scalars[i] != x)
		return false;
	b->bound[i] = true;
	b->scalars[i] = x;
	return true;
}

static bool attrs_match(const Pat *p, const Node *n, Match *b)
{
	if (p->any_attrs)
		return true;
	for (int i = 0; i < n->nattr; i++) {
		bool written = false;
		for (int j = 0; j < p->nattr; j++)
			written |= p->attrs[j].id == n->attrs[i].id;
		if (!written && find_attr(n, n->attrs[i].id))
			return false;
	}
	for (int j = 0; j < p->nattr; j++)
		if (!attr_matches(&p->attrs[j], n, b))
			return false;
	return true;
}

/* What is left to match: v as p, where p is an operator with the operands of the set `operands`, and then the next goals. */
typedef struct Goal {
	const Pat *p;
	unsigned operands;
	Value *v;
	const struct Goal *next;
} Goal;

static unsigned all_operands(const Pat *p)
{
	return (1u << p->nin) - 1;
}

/* v as p(operands), which for a single operand is that operand. */
static Goal goal_of(const Pat *p, unsigned operands, Value *v, const Goal *next)
{
	for (int i = 0; i < p->nin; i++)
		if (operands == 1u << i)
			return (Goal){p->in[i], all_operands(p->in[i]), v, next};
	return (Goal){p, operands, v, next};
}

static bool match_goals(const Goal *g, Match *b, Where *where);

/* The operands in any association: each split of them over the two inputs. */
static bool match_splits(const Goal *g, const Node *n, Match *b, Where *where)
{
	const Match saved = *b;

	for (unsigned left = -g->operands & g->operands; left != g->operands; left = (left - g->operands) & g->operands) {
		Goal second = goal_of(g->p, g->operands & ~left, n->in[1], g->next);
		Goal first = goal_of(g->p, left, n->in[0], &second);
		if (match_goals(&first, b, where))
			return true;
		*b = saved;
	}
	return false;
}

static bool match_op(const Goal *g, Match *b, Where *where)
{
	const Pat *p = g->p;
	Node *n = g->v ? g->v->def : NULL;
	Goal goals[MaxPatIn];
	const Goal *next = g->next;

	if (!n || n->op != p->op || !attrs_match(p, n, b))
		return false;
	bool seen = false;
	for (int i = 0; i < b->ninner; i++)
		seen |= b->inner[i] == n;
	if (!seen) {
		if (b->ninner == MaxInner || (b->ninner && n->block != b->inner[0]->block)) /* nothing moves into a loop */
			return false;
		b->inner[b->ninner++] = n;
	}
	if (p->any_attrs)
		b->any = n;
	if (ops[n->op].flags & Commutes)
		return match_splits(g, n, b, where);
	if (n->nin != p->nin)
		return false;
	for (int i = p->nin - 1; i >= 0; i--) {
		goals[i] = (Goal){p->in[i], all_operands(p->in[i]), n->in[i], next};
		next = &goals[i];
	}
	return match_goals(next, b, where);
}

static bool is_closed(const Match *b);

/* Leaves in *b the first match that meets the condition. */
static bool match_goals(const Goal *g, Match *b, Where *where)
{
	double x;

	if (!g)
		return is_closed(b) && where(b);
	Value *v = g->v;
	int i = g->p->name ? g->p->name - 'a' : 0;
	switch (g->p->kind) {
	case PatValue:
		if (!v || (b->values[i] && b->values[i] != v))
			return false;
		b->values[i] = v;
		break;
	case PatNumber:
		if (!number_matches(g->p, v))
			return false;
		break;
	case PatScalar:
		if (!v || !uniform_value(v, &x) || (b->bound[i] && b->scalars[i] != x))
			return false;
		b->bound[i] = true;
		b->scalars[i] = x;
		break;
	case PatAbsent:
		if (v)
			return false;
		break;
	case PatOp: return match_op(g, b, where);
	}
	return match_goals(g->next, b, where);
}

/* Values inside the match have all their uses inside it. */
static bool is_closed(const Match *b)
{
	for (int i = 1; i < b->ninner; i++) {
		const Value *v = b->inner[i]->out[0];
		for (int u = 0; u < v->nuse; u++) {
			bool inside = false;
			for (int j = 0; j < b->ninner; j++)
				inside |= v->uses[u].node == b->inner[j];
			if (!inside)
				return false;
		}
	}
	return true;
}

/* ---- conditions ------------------------------------------------------------------------------------------------------- */

static bool always(const Match *b)
{
	return b->ninner > 0;
}

static bool is_float(const Match *b)
{
	return dtypes[b->inner[0]->out[0]->type.dtype].cls == ClassFloat;
}

/* Every mean is over the last axis and keeps it. */
static bool mean_of_last_axis(const Match *b)
{
	for (int i = 0; i < b->ninner; i++) {
		const Node *n = b->inner[i];
		const int64_t *axes;
		if (n->op != OpMean)
			continue;
		if (attr_ints(n, Attr_axes, &axes) != 1 || axes[0] != n->in[0]->type.rank - 1 || !attr_int(n, Attr_keepdims))
			return false;
	}
	return true;
}

static bool is_bool(const Match *b)
{
	return b->inner[0]->out[0]->type.dtype == Bool;
}

/* Without NaN, of which no comparison holds. */
static bool ints_compared(const Match *b)
{
	return dtypes[b->values['x' - 'a']->type.dtype].cls != ClassFloat;
}

static bool is_vector_of_last(const Value *v, const Node *root)
{
	const Type *t = &root->out[0]->type;
	return v && v->type.rank == 1 && t->rank >= 1 && v->type.dims[0] == t->dims[t->rank - 1];
}

static bool scale_and_bias(const Match *b)
{
	Value *s = b->values['s' - 'a'], *bias = b->values['b' - 'a'];
	return (!s || is_vector_of_last(s, b->inner[0])) && (!bias || is_vector_of_last(bias, b->inner[0]));
}

static bool rms_of_last_axis(const Match *b)
{
	return b->inner[0]->out[0]->type.dtype == F32 && mean_of_last_axis(b) && scale_and_bias(b);
}

/* #n, or its reciprocal, is the number of elements that go into each sum. */
static bool number_of_terms(const Match *b)
{
	const Node *sum = b->any;
	const int64_t *axes;
	int64_t extent;
	double n = b->scalars['n' - 'a'], terms = 1;

	for (int i = 0, k = attr_ints(sum, Attr_axes, &axes); i < k; i++) {
		if (!dim_is_const(sum->in[0]->type.dims[axes[i]], &extent))
			return false;
		terms *= (double)extent;
	}
	return is_float(b) && is_number(sum->out[0]->type.dtype, n, b->inner[0]->op == OpDiv ? terms : 1 / terms);
}

static bool const_matrix(const Match *b)
{
	Value *x = b->values['x' - 'a'], *w = b->values['w' - 'a'];
	return (x->type.dtype == F32 || x->type.dtype == I32) && x->type.rank >= 1 && w->type.rank == 2 && is_const(w) && !is_const(x);
}

static bool const_vector(const Match *b)
{
	Value *v = b->values['b' - 'a'];
	return is_const(v) && is_vector_of_last(v, b->inner[0]);
}

static Where *const wheres[] = {
#define RULE(name, before, after, where, test) where,
#include "rules.def"
#undef RULE
};

/* ---- replacing -------------------------------------------------------------------------------------------------------- */

static Value *number_const(Module *m, const Node *root, double x)
{
	return const_scalar(m, scalar_of_real(root->out[0]->type.dtype, x))->value;
}

static Value *build_pat(Module *m, const Pat *p, const Match *b, Node *root)
{
	Value *in[MaxPatIn];
	Attr attrs[NAttrs + MaxPatAttr];
	int nattr = 0;

	if (p->kind == PatValue)
		return b->values[p->name - 'a'];
	if (p->kind == PatAbsent)
		return NULL;
	if (p->kind != PatOp)
		return number_const(m, root, p->kind == PatNumber ? p->numbers[0] : b->scalars[p->name - 'a']);
	for (int i = 0; i < p->nin; i++)
		in[i] = build_pat(m, p->in[i], b, root);
	for (int i = 0; p->any_attrs && i < b->any->nattr; i++)
		attrs[nattr++] = b->any->attrs[i];
	for (int i = 0; i < p->nattr; i++) {
		const PatAttr *a = &p->attrs[i];
		double x = a->scalar ? b->scalars[a->scalar - 'a'] : a->last ? root->out[0]->type.rank - 1 : a->number;
		attrs[nattr++] = mk_number(a->id, p->nin && in[0] ? in[0]->type.dtype : F32, x);
	}
	return build(m, root->block, root, p->op, root->loc, p->nin, in, nattr, attrs, NULL);
}

typedef struct ParsedRule {
	Pat *before, *after;
} ParsedRule;

/* What only the match used would count as a user of the values below it in the next match. */
static void erase_dead(const Match *b)
{
	for (bool again = true; again;) {
		again = false;
		for (int i = 0; i < b->ninner; i++)
			if (!b->inner[i]->dead && !b->inner[i]->out[0]->nuse) {
				erase_node(b->inner[i]);
				again = true;
			}
	}
}

static bool apply_rule(Module *m, int r, const ParsedRule *parsed, Node *n)
{
	Match b = {0};

	Goal goal = {parsed->before, all_operands(parsed->before), n->out[0], NULL};
	if (!match_goals(&goal, &b, wheres[r]))
		return false;
	if (parsed->after->kind == PatValue && !type_equal(&b.values[parsed->after->name - 'a']->type, &n->out[0]->type))
		return false;
	if (!allow(rules[r].name))
		return false;
	Value *v = build_pat(m, parsed->after, &b, n);
	if (!type_equal(&v->type, &n->out[0]->type)) { /* a broadcast by a constant's shape: leave it */
		if (v->def && !v->nuse)
			erase_node(v->def);
		return false;
	}
	replace_uses(m, n->out[0], v);
	if (b.ninner > 1) {
		report_match(rules[r].name, n->loc);
		for (int i = 1; i < b.ninner; i++)
			report_also(b.inner[i]->loc);
	}
	erase_dead(&b);
	return true;
}

bool apply_rules(Module *m, int only)
{
	ParsedRule *parsed = arena_alloc(m->arena, nrules * sizeof *parsed);
	bool changed = false;

	for (int r = 0; r < nrules; r++) {
		parse_pat(m->arena, rules[r].before, &parsed[r].before);
		parse_pat(m->arena, rules[r].after, &parsed[r].after);
	}
	FOR_ALL_NODES(n, m) {
		for (int r = 0; r < nrules; r++)
			if ((only < 0 || only == r) && n->nout == 1 && n->out[0]->nuse && apply_rule(m, r, &parsed[r], n)) {
				changed = true;
				break;
			}
	}
	return changed;
}
