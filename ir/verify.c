/* verify.c - the rules that every module keeps between passes; the text form's manual (ir.md) states them in words.
 *
 * Structure: nodes are linked both ways, know their block, and use only values that are defined before and visible:
 * those of blocks around, parameters, constants.  Use lists hold every use once and nothing else.  Attributes belong to
 * their op and have its kind.  Types are those that the shape functions give, except that dims may stand for each other
 * where a DimCheck makes them equal.  Known elements agree with those that the operands give.
 */
#include "lex.h"

#include <string.h>

enum { MaxDepth = 64 };

typedef struct Seen {
	bool visible;
	int refs; /* operands and yields that name the value */
} Seen;

typedef struct Verify {
	Module *m;
	Map seen; /* Value to Seen */
	Table uses; /* UseKey */
	int nvalue, capvalue;
	Value **values; /* all that are defined, in order */
	int nspecial, capspecial;
	const Sym **special; /* symbols that no input gives */
	bool *in_scope; /* by Sym.index */
	int nshown, capshown;
	const Sym **shown; /* those in scope, in order */
} Verify;

#define FAIL(...) return arena_printf(vf->m->arena, __VA_ARGS__)

static const char *node_text(Verify *vf, const Node *n)
{
	const char *op = (int)n->op >= 0 && n->op < NOps ? ops[n->op].text : "?";
	if (n->loc && n->loc->node)
		return arena_printf(vf->m->arena, "%s (node '%s')", op, n->loc->node);
	if (n->loc && n->loc->line)
		return arena_printf(vf->m->arena, "%s (line %d)", op, n->loc->line);
	if (n->nout > 0 && n->out[0]->name)
		return arena_printf(vf->m->arena, "%s (%%%s)", op, n->out[0]->name);
	return op;
}

#define FAIL_NODE(n, fmt, ...) FAIL("%s: " fmt, node_text(vf, n), __VA_ARGS__)

/* ---- values ----------------------------------------------------------------------------------------------------- */

static const char *define_value(Verify *vf, Value *v)
{
	if (find_ptr(&vf->seen, v))
		FAIL("a value%s%s is defined twice", v->name ? " " : "", v->name ? v->name : "");
	Seen *s = arena_alloc(vf->m->arena, sizeof *s);
	s->visible = true;
	add_ptr(&vf->seen, v, s);
	PUSH(vf->m->arena, vf->values, vf->nvalue, vf->capvalue, v);
	return NULL;
}

/* Symbols of loops and of measure are visible from their definition on. */
static const char *check_dim(Verify *vf, const Dim *d)
{
	for (int i = 0; i < vf->nspecial; i++) {
		const Sym *s = vf->special[i];
		if (!vf->in_scope[s->index] && dim_uses_sym(d, s))
			FAIL("symbol %s has no value here", s->name);
	}
	return NULL;
}

static const char *check_type(Verify *vf, const Type *t)
{
	int64_t lo, hi;
	if ((int)t->dtype < 0 || t->dtype >= NDTypes)
		FAIL("element type number %d does not exist", (int)t->dtype);
	if (t->rank < 0 || t->rank > MaxRank)
		FAIL("rank %d is out of range", t->rank);
	for (int i = 0; i < t->rank; i++) {
		if (!t->dims[i])
			FAIL("dim %d is missing", i);
		dim_range(t->dims[i], &lo, &hi);
		if (hi < 0)
			FAIL("dim %d is negative: %s", i, type_text(vf->m, t));
		TRY(check_dim(vf, t->dims[i]));
	}
	return NULL;
}

static const char *check_known(Verify *vf, const Value *v)
{
	int64_t numel = 1, extent;
	if (!v->known)
		return NULL;
	for (int i = 0; i < v->type.rank; i++)
		if (!dim_is_const(v->type.dims[i], &extent) || __builtin_mul_overflow(numel, extent, &numel))
			FAIL("known elements of %s, which is not small", type_text(vf->m, &v->type));
	if (numel > MaxKnown)
		FAIL("known elements of %s, which is not small", type_text(vf->m, &v->type));
	for (int64_t i = 0; i < numel; i++)
		if (!v->known[i])
			FAIL("known element %lld is missing", (long long)i);
	return NULL;
}

typedef struct UseKey {
	const Value *v;
	Use use;
} UseKey;

static bool same_use(const void *item, const void *key)
{
	const UseKey *a = item, *b = key;
	return a->v == b->v && a->use.index == b->use.index && a->use.node == b->use.node && a->use.block == b->use.block;
}

static uint64_t hash_use(const UseKey *k)
{
	const void *place = k->use.node ? (const void *)k->use.node : (const void *)k->use.block;
	return table_join(table_join((uintptr_t)k->v, (uintptr_t)place), (uint64_t)k->use.index);
}

/* Values of many users have their uses in a table, once they are asked for. */
static bool has_use_in_table(Verify *vf, const Value *v, Seen *s, Use use)
{
	UseKey *all = s->refs ? NULL : arena_alloc(vf->m->arena, (size_t)v->nuse * sizeof *all);
	for (int i = 0; all && i < v->nuse; i++) {
		all[i] = (UseKey){v, v->uses[i]};
		table_add(vf->m->arena, &vf->uses, hash_use(&all[i]), &all[i]);
	}
	UseKey key = {v, use};
	return table_find(&vf->uses, hash_use(&key), same_use, &key);
}

/* The use list of v has an entry for this reference. */
static bool has_use(Verify *vf, const Value *v, Seen *s, Use use)
{
	enum { Few = 32 };
	if (v->nuse > Few)
		return has_use_in_table(vf, v, s, use);
	for (int i = 0; i < v->nuse; i++)
		if (same_use(&(UseKey){v, v->uses[i]}, &(UseKey){v, use}))
			return true;
	return false;
}

static const char *check_ref(Verify *vf, const Value *v, const Node *n, const Block *b, int index)
{
	void **found = find_ptr(&vf->seen, v);
	if (!found)
		FAIL("value %d is not defined before its use", index);
	Seen *s = *found;
	if (!s->visible)
		FAIL("value %d is defined in a group that does not enclose its use", index);
	if (!has_use(vf, v, s, (Use){(Node *)n, n ? NULL : (Block *)b, index}))
		FAIL("value %d lacks this use in its use list", index);
	s->refs++;
	return NULL;
}

static const char *check_use_counts(Verify *vf)
{
	for (int i = 0; i < vf->nvalue; i++) {
		const Value *v = vf->values[i];
		const Seen *s = *find_ptr(&vf->seen, v);
		const char *name = v->konst ? v->konst->name : v->name ? v->name : "?";
		if (s->refs != v->nuse)
			FAIL("value %s%s%s has %d uses, its use list %d", name, v->def ? " of " : "",
			     v->def ? node_text(vf, v->def) : "", s->refs, v->nuse);
	}
	return NULL;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------ */

static int count_words(const char *words)
{
	int n = 1;
	for (; (words = strchr(words, '|')); words++)
		n++;
	return n;
}

static const char *check_attr(Verify *vf, const Node *n, const Attr *a)
{
	if ((int)a->id < 0 || a->id >= NAttrs)
		FAIL("attribute number %d does not exist", (int)a->id);
	const AttrInfo *info = &attr_infos[a->id];
	if (!(ops[n->op].attrs >> a->id & 1))
		FAIL("has no attribute %s", info->text);
	switch (info->kind) {
	case AttrFlag:
		if (a->i != 0 && a->i != 1)
			FAIL("attribute %s is %lld, neither 0 nor 1", info->text, (long long)a->i);
		break;
	case AttrWord:
		if (a->i < 0 || a->i >= count_words(info->words))
			FAIL("attribute %s: word %lld of %s", info->text, (long long)a->i, info->words);
		break;
	case AttrOp:
		if (a->i < 0 || a->i >= NOps || ops[a->i].cls != ClsEwise)
			FAIL("attribute %s is not an elementwise op", info->text);
		break;
	case AttrInts:
		if (a->n < 0 || (a->n && !a->ints))
			FAIL("attribute %s has no integers", info->text);
		break;
	case AttrDim:
		if (!a->dim)
			FAIL("attribute %s has no dim", info->text);
		return check_dim(vf, a->dim);
	case AttrDims:
		for (int i = 0; i < a->n; i++)
			if (!a->dims || !a->dims[i])
				FAIL("attribute %s: dim %d is missing", info->text, i);
		if (a->id == Attr_sizes)
			break; /* check_bodies looks where its symbols are visible */
		for (int i = 0; i < a->n; i++)
			TRY(check_dim(vf, a->dims[i]));
		break;
	case AttrText:
		if (!a->text)
			FAIL("attribute %s has no text", info->text);
		break;
	case AttrScalar:
		if (a->s.dtype != n->in[0]->type.dtype)
			FAIL("attribute %s is %s, operand 0 %s", info->text, dtypes[a->s.dtype].text,
			     dtypes[n->in[0]->type.dtype].text);
		break;
	case AttrInt: case AttrFloat: break;
	}
	return NULL;
}

static const char *check_attrs(Verify *vf, const Node *n)
{
	uint64_t seen = 0;
	for (int i = 0; i < n->nattr; i++) {
		TRY(check_attr(vf, n, &n->attrs[i]));
		if (seen >> n->attrs[i].id & 1)
			FAIL("attribute %s is given twice", attr_infos[n->attrs[i].id].text);
		seen |= UINT64_C(1) << n->attrs[i].id;
	}
	return NULL;
}

static const char *check_operands(Verify *vf, const Node *n)
{
	const OpInfo *info = &ops[n->op];
	int required = 0;
	for (int i = 0; i < info->nin; i++)
		required = info->optional[i] ? required : i + 1;
	if (info->nin >= 0 && (n->nin < required || n->nin > info->nin))
		FAIL("has %d operands, expected %d to %d", n->nin, required, info->nin);
	if (info->nin < 0 && n->nin < 1 && n->op != OpLoop)
		FAIL("has no operands");
	for (int i = 0; i < n->nin; i++) {
		if (n->in[i])
			TRY(check_ref(vf, n->in[i], n, NULL, i));
		else if (info->nin < 0 || !info->optional[i])
			FAIL("operand %d is missing", i);
	}
	return NULL;
}

static const char *check_inferred(Verify *vf, const Node *n)
{
	Module *m = vf->m;
	const Type *stated = &n->out[0]->type;
	Type t = *stated;
	Block *home = block_of_checks(n->block);
	int ncheck = home->ncheck;
	const char *wrong = ops[n->op].shape(m, n, &t);
	if (!wrong && !types_agree(n->block, &t, stated))
		wrong = arena_printf(m->arena, "the result is %s, its type says %s", type_text(m, &t),
		                     type_text(m, stated));
	home->ncheck = ncheck; /* it has them, or has replaced them by others */
	return wrong;
}

/* Where operands give constant elements, the stated ones must be those. */
static const char *check_inferred_known(Verify *vf, Node *n)
{
	Value *v = n->out[0];
	const Dim **stated = v->known;
	if (!stated)
		return NULL;
	infer_known(vf->m, n);
	const Dim **found = v->known;
	v->known = stated;
	int64_t numel = found ? const_numel(&v->type) : 0, a, b;
	for (int64_t i = 0; i < numel; i++)
		if (dim_is_const(stated[i], &a) && dim_is_const(found[i], &b) && a != b)
			FAIL("known element %lld is %lld, the operands give %lld", (long long)i, (long long)a,
			     (long long)b);
	return NULL;
}

static const char *check_results(Verify *vf, const Node *n)
{
	if (n->nout < 1 || (!has_body(n->op) && n->op != OpCustom && n->nout != 1))
		FAIL("has %d results", n->nout);
	for (int i = 0; i < n->nout; i++) {
		const Value *v = n->out[i];
		if (!v || v->def != n || v->index != i || v->konst)
			FAIL("result %d does not point back to its node", i);
		TRY(check_type(vf, &v->type));
		TRY(check_known(vf, v));
	}
	return NULL;
}

static const char *check_block(Verify *vf, const Block *b, int depth);

static void show_sym(Verify *vf, const Sym *s)
{
	vf->in_scope[s->index] = true;
	PUSH(vf->m->arena, vf->shown, vf->nshown, vf->capshown, s);
}

/* The node is the one that gives the symbol its value.  *s: NULL where the attribute names none. */
static const char *find_defined(Verify *vf, const Node *n, AttrId id, SymKind kind, const Sym **s)
{
	const char *name = attr_text(n, id);
	*s = *name ? find_sym(vf->m, name) : NULL;
	if (*name && (!*s || (*s)->kind != kind || (*s)->def != n))
		FAIL("symbol '%s' is not this node's", name);
	return NULL;
}

/* The sizes of n are its own symbols; the values that are read where the caller stands are visible there. */
static const char *check_sizes(Verify *vf, const Node *n, int which)
{
	const Dim *const *sizes;
	int count = node_sizes(n, &sizes);
	for (int i = 0; i < count; i++) {
		const Sym *s = dim_as_sym(sizes[3 * i]);
		if (!s || s->kind != SymMeasured || s->def != n)
			FAIL("sizes: %s is no symbol of this node", dim_text(vf->m, sizes[3 * i]));
		TRY(check_dim(vf, sizes[3 * i + which]));
	}
	return NULL;
}

static void show_sizes(Verify *vf, const Node *n)
{
	const Dim *const *sizes;
	int count = node_sizes(n, &sizes);
	for (int i = 0; i < count; i++)
		show_sym(vf, dim_as_sym(sizes[3 * i]));
}

static const char *check_body(Verify *vf, const Node *n, const Block *b, const Sym *counter, int depth)
{
	if (!b || b->owner != n)
		FAIL("has no body");
	if (depth >= MaxDepth)
		FAIL("bodies are nested more than %d deep", MaxDepth);
	int first = vf->nvalue, shown = vf->nshown;
	if (counter) {
		show_sym(vf, counter);
		show_sizes(vf, n);
	}
	for (int i = 0; i < b->nparam; i++) {
		Value *v = b->params[i];
		if (!v || v->def || v->konst || v->block != b || v->index != i)
			FAIL("parameter %d does not point back to its body", i);
		TRY(check_type(vf, &v->type));
		TRY(define_value(vf, v));
	}
	TRY(check_block(vf, b, depth + 1));
	TRY(check_sizes(vf, n, b == n->other || counter ? 2 : 1));
	for (int i = first; i < vf->nvalue; i++)
		((Seen *)*find_ptr(&vf->seen, vf->values[i]))->visible = false;
	while (vf->nshown > shown)
		vf->in_scope[vf->shown[--vf->nshown]->index] = false;
	return NULL;
}

static const char *check_bodies(Verify *vf, const Node *n, int depth)
{
	const Sym *counter = NULL;
	const Dim *const *sizes;
	if (attr_dims(n, Attr_sizes, &sizes) % 3)
		FAIL("sizes is a list of triples");
	if (n->op == OpLoop) {
		TRY(find_defined(vf, n, Attr_counter, SymLoop, &counter));
		TRY(check_sizes(vf, n, 1));
	}
	TRY(check_body(vf, n, n->body, counter, depth));
	if (n->op == OpGroup && !n->body->first)
		FAIL("a group without nodes");
	if (n->op == OpIf)
		TRY(check_body(vf, n, n->other, NULL, depth));
	if (body_results(n) != n->nout)
		FAIL("yields %d values for %d results", n->body->nyield, n->nout);
	Type *types = arena_alloc(vf->m->arena, (size_t)n->nout * sizeof *types);
	for (int i = 0; i < n->nout; i++)
		types[i] = n->out[i]->type;
	TRY(body_types(vf->m, n, types));
	for (int i = 0; i < n->nout; i++)
		if (!types_agree(n->block, &types[i], &n->out[i]->type))
			FAIL("result %d is %s, the body yields %s", i, type_text(vf->m, &n->out[i]->type),
			     type_text(vf->m, &types[i]));
	return NULL;
}

/* Symbols that the node gives a value are visible behind it. */
static const char *show_syms(Verify *vf, const Node *n)
{
	const Sym *s = NULL;
	if (n->op == OpLoop)
		TRY(find_defined(vf, n, Attr_count, SymMeasured, &s));
	if (n->op == OpMeasure)
		TRY(find_defined(vf, n, Attr_sym, SymMeasured, &s));
	if (n->op == OpMeasure && !s)
		FAIL("names no symbol");
	if (n->op == OpMeasure && n->in[0]->type.rank != 0)
		FAIL("the value of symbol %s: expected a scalar, got %s", s->name, type_text(vf->m, &n->in[0]->type));
	if (s)
		show_sym(vf, s);
	show_sizes(vf, n);
	return NULL;
}

/* Everything about a node but its place and its bodies. */
static const char *check_parts(Verify *vf, Node *n)
{
	TRY(check_operands(vf, n));
	TRY(check_attrs(vf, n));
	if (has_body(n->op))
		return NULL;
	TRY(check_results(vf, n));
	if (n->body || n->other)
		FAIL("has a body");
	TRY(check_inferred(vf, n));
	return check_inferred_known(vf, n);
}

static const char *check_node(Verify *vf, Node *n, const Block *b, int depth)
{
	if ((int)n->op < 0 || n->op >= NOps)
		FAIL("operator number %d does not exist", (int)n->op);
	if (n->block != b || n->dead)
		FAIL_NODE(n, "stands in a block that %s", n->dead ? "it was erased from" : "it does not know");
	const char *wrong = check_parts(vf, n);
	if (!wrong && has_body(n->op))
		wrong = check_bodies(vf, n, depth);
	if (!wrong)
		wrong = show_syms(vf, n);
	if (!wrong && has_body(n->op))
		wrong = check_results(vf, n);
	if (wrong)
		FAIL_NODE(n, "%s", wrong);
	for (int i = 0; i < n->nout; i++)
		TRY(define_value(vf, n->out[i]));
	return NULL;
}

/* Behind the last node: symbols of nodes that are gone have no value anywhere, and nothing relies on what is said of them. */
static const char *check_demands(Verify *vf, const Block *b)
{
	for (int i = 0; i < b->ncheck; i++) {
		const DimCheck *c = &b->checks[i];
		if (!c->a || !c->b)
			FAIL("dim check %d lacks a dim", i);
		for (int k = 0; k < vf->nspecial; k++) {
			const Sym *s = vf->special[k];
			if (!vf->in_scope[s->index] && !(s->def && s->def->dead) && (dim_uses_sym(c->a, s) || dim_uses_sym(c->b, s)))
				FAIL("check %s == %s: symbol %s has no value where it stands", dim_text(vf->m, c->a), dim_text(vf->m, c->b), s->name);
		}
	}
	return NULL;
}

static const char *check_block(Verify *vf, const Block *b, int depth)
{
	const Node *before = NULL;
	for (Node *n = b->first; n; n = n->next) {
		if (n->prev != before)
			FAIL_NODE(n, "%s", "the list of nodes is broken before it");
		TRY(check_node(vf, n, b, depth));
		before = n;
	}
	if (b->last != before)
		FAIL("the list of nodes does not end at the block's last");
	TRY(check_demands(vf, b));
	for (int i = 0; i < b->nyield; i++) {
		if (!b->yields[i])
			FAIL("yield %d is missing", i);
		const char *wrong = check_ref(vf, b->yields[i], NULL, b, i);
		if (wrong)
			FAIL("%s: %s", b->owner ? "yield" : "return", wrong);
	}
	return NULL;
}

/* ---- the module ------------------------------------------------------------------------------------------------- */

static const char *check_consts(Verify *vf)
{
	Map names = {.arena = vf->m->arena};
	for (int i = 0; i < vf->m->nconst; i++) {
		const Const *c = vf->m->consts[i];
		Value *v = c->value;
		int64_t bytes = dtypes[c->type.dtype].bytes, extent;
		if (!c->name || find_name(&names, c->name))
			FAIL("the name of constant @%s is missing or not unique", c->name ? c->name : "");
		add_name(&names, c->name, v);
		const char *wrong = check_type(vf, &c->type);
		if (wrong)
			FAIL("constant @%s: %s", c->name, wrong);
		for (int d = 0; d < c->type.rank; d++)
			if (!dim_is_const(c->type.dims[d], &extent) || __builtin_mul_overflow(bytes, extent, &bytes))
				FAIL("constant @%s: its shape is not constant: %s", c->name,
				     type_text(vf->m, &c->type));
		if ((!c->data && bytes) || (uint64_t)bytes != c->bytes)
			FAIL("constant @%s has %zu bytes, its type %lld", c->name, c->bytes, (long long)bytes);
		if (!v || v->konst != c || v->def || !type_equal(&v->type, &c->type))
			FAIL("constant @%s does not agree with its value", c->name);
		TRY(check_known(vf, v));
		TRY(define_value(vf, v));
	}
	return NULL;
}

static const char *check_syms(Verify *vf)
{
	Module *m = vf->m;
	for (int i = 0; i < m->nsym; i++) {
		const Sym *s = m->syms[i];
		if (!s->name || s->index != i || s->lo > s->hi)
			FAIL("symbol %s: its range or place is wrong", s->name ? s->name : "?");
		const Dim *formula = s->kind == SymDerived ? s->is : s->kind == SymValue ? s->times : NULL;
		if (s->kind == SymDerived && !s->is)
			FAIL("symbol %s: it has no formula", s->name);
		for (int k = 0; k < m->nsym && formula; k++)
			if ((k >= i || !is_given(m->syms[k])) && dim_uses_sym(formula, m->syms[k]))
				FAIL("symbol %s: its formula uses a symbol that comes later", s->name);
		if (s->kind == SymValue && s->times && (s->input >= m->main->nparam || !may_scale(m->main->params[s->input], s->element)))
			FAIL("symbol %s: there is no element %d of a floating input %d", s->name, s->element, s->input);
		if (!is_given(s))
			PUSH(m->arena, vf->special, vf->nspecial, vf->capspecial, s);
	}
	vf->in_scope = arena_alloc(m->arena, (size_t)m->nsym + 1);
	return NULL;
}

static const char *check_interface(Verify *vf)
{
	const Func *f = vf->m->main;
	Map params = {.arena = vf->m->arena}, results = {.arena = vf->m->arena};
	for (int i = 0; i < f->nparam; i++) {
		Value *v = f->params[i];
		if (!v->name || find_name(&params, v->name))
			FAIL("the name of parameter '%s' is missing or not unique", v->name ? v->name : "");
		add_name(&params, v->name, v);
		const char *wrong = check_type(vf, &v->type);
		if (wrong)
			FAIL("parameter '%s': %s", v->name, wrong);
		if (v->def || v->konst || v->index != i)
			FAIL("parameter '%s' is defined by something else as well", v->name);
		TRY(define_value(vf, v));
	}
	for (int i = 0; i < f->body.nyield; i++) {
		const char *name = f->results ? f->results[i] : NULL;
		if (!name || find_name(&results, name))
			FAIL("the name of result '%s' is missing or not unique", name ? name : "");
		add_name(&results, name, (void *)name);
	}
	return NULL;
}

const char *verify_module(Module *m)
{
	Verify verify = {.m = m, .seen = {.arena = m->arena}}, *vf = &verify;
	if (!m->main)
		FAIL("the module has no function");
	TRY(check_syms(vf));
	TRY(check_consts(vf));
	TRY(check_interface(vf));
	TRY(check_block(vf, &m->main->body, 0));
	if (m->main->body.owner)
		FAIL("the function's body belongs to a node");
	return check_use_counts(vf);
}
