/* parse_node.c - reads nodes: results, operands, attributes, bodies, symbols. */
#include "parse.h"

#include <string.h>

enum { MaxResults = 64 };

static Results parse_results(Lexer *lx)
{
	Results r = {0};
	do {
		Result one = {0};
		one.key = take_new_ref(lx, "% and the name or number of a result", &one.at);
		expect_tok(lx, ":");
		one.type = parse_type(lx);
		if (r.n == MaxResults)
			fail_tok(lx, "at most 64 results");
		PUSH(lx->m->arena, r.items, r.n, r.cap, one);
	} while (accept_tok(lx, ","));
	expect_tok(lx, "=");
	return r;
}

static const char *operand_names(Lexer *lx, const OpInfo *op)
{
	const char *s = op->nin ? "" : "nothing";
	for (int i = 0; i < op->nin; i++)
		s = arena_printf(lx->m->arena, "%s%s%s%s", s, i ? ", " : "", op->in[i], op->optional[i] ? " or _" : "");
	return s;
}

bool at_operand(const Lexer *lx)
{
	return is_tok(lx, "%") || is_tok(lx, "@") || is_tok(lx, "_");
}

/* Returns the count. */
static int parse_operands(Lexer *lx, Op op, const Loc *at, Value ***in)
{
	const OpInfo *info = &ops[op];
	Value **items = NULL;
	int n = 0, cap = 0;
	/* an op without operands is followed by the next line's result */
	if (info->nin != 0 && (op != OpLoop || at_operand(lx))) {
		do {
			Loc here_at = here(lx);
			if (!at_operand(lx))
				fail_tok(lx, "an operand (%value, @constant or _)");
			Value *v = accept_tok(lx, "_") ? NULL : take_value(lx);
			if (!v && info->nin > n && !info->optional[n])
				fatal_at(&here_at, "%s: operand %s may not be absent", info->text, info->in[n]);
			if (!v && info->nin < 0)
				fatal_at(&here_at, "%s: no operand may be absent", info->text);
			PUSH(lx->m->arena, items, n, cap, v);
		} while (accept_tok(lx, ","));
	}
	if (info->nin >= 0 && n != info->nin)
		fatal_at(at, "%s takes %d operand%s (%s), got %d", info->text, info->nin, info->nin == 1 ? "" : "s",
		         operand_names(lx, info), n);
	*in = items;
	return n;
}

static int64_t parse_word(Lexer *lx, const char *words)
{
	int64_t i = 0;
	for (const char *w = words;; w++, i++) {
		size_t n = strcspn(w, "|");
		if (lx->tok.kind == TokIdent && lx->tok.len == n && !memcmp(lx->tok.start, w, n)) {
			next_tok(lx);
			return i;
		}
		w += n;
		if (!*w)
			fail_tok(lx, arena_printf(lx->m->arena, "one of %s", words));
	}
}

static Op parse_op(Lexer *lx)
{
	Op op;
	Loc at = here(lx);
	const char *name = take_ident(lx, "an operator");
	if (!find_op(name, &op))
		fatal_at(&at, "there is no operator '%s' (dcc --list-ops shows them)", name);
	return op;
}

/* In a list that ends with ], behind n items of it: is another one there? */
static bool next_item(Lexer *lx, int n)
{
	if (accept_tok(lx, "]"))
		return false;
	if (n)
		expect_tok(lx, ",");
	if (n == MaxListItems)
		fail_tok(lx, "a shorter list");
	return true;
}

static Attr parse_ints(Lexer *lx, AttrId id)
{
	int64_t *items = NULL;
	int n = 0, cap = 0;
	while (next_item(lx, n)) {
		int64_t v = take_int(lx, "an integer", INT64_MIN, INT64_MAX);
		PUSH(lx->m->arena, items, n, cap, v);
	}
	return mk_ints(lx->m, id, n, items);
}

static Attr parse_dims(Lexer *lx, AttrId id)
{
	const Dim **items = NULL;
	int n = 0, cap = 0;
	while (next_item(lx, n)) {
		const Dim *d = parse_dim(lx);
		PUSH(lx->m->arena, items, n, cap, d);
	}
	return mk_dims(lx->m, id, n, items);
}

/* Of attributes that hold an element of operand 0. */
static DType scalar_type(Lexer *lx, const Node *n)
{
	if (!n->nin || !n->in[0])
		fail_tok(lx, "operand 0, whose type this attribute has");
	return n->in[0]->type.dtype;
}

static Attr parse_attr_value(Lexer *lx, const Node *n, AttrId id)
{
	const AttrInfo *info = &attr_infos[id];
	switch (info->kind) {
	case AttrFlag: return mk_int(id, take_int(lx, arena_printf(lx->m->arena, "%s, a flag,", info->text), 0, 1));
	case AttrInt: return mk_int(id, take_int(lx, "an integer", INT64_MIN, INT64_MAX));
	case AttrFloat: return mk_float(id, take_scalar(lx, F64, "a number").f);
	case AttrScalar: return mk_scalar(id, take_scalar(lx, scalar_type(lx, n), "a number of the operand's type"));
	case AttrOp: return mk_int(id, (int64_t)parse_op(lx));
	case AttrWord: return mk_int(id, parse_word(lx, info->words));
	case AttrDim: return mk_dim(id, parse_dim(lx));
	case AttrText: return mk_text(lx->m, id, take_string(lx, "a text in quotes"));
	case AttrInts: expect_tok(lx, "["); return parse_ints(lx, id);
	case AttrDims: break;
	}
	expect_tok(lx, "[");
	return parse_dims(lx, id);
}

/* An if may have attributes, which begin with a name and =, or none before its body. */
static bool at_attrs(Lexer *lx)
{
	Lexer ahead = *lx;
	return accept_tok(&ahead, "{") && (is_tok(&ahead, "sizes") || is_tok(&ahead, "flag"));
}

static void parse_attrs(Lexer *lx, Node *n)
{
	uint64_t seen = 0;
	if (!accept_tok(lx, "{"))
		return;
	do {
		Loc at = here(lx);
		const char *name = take_ident(lx, "an attribute");
		int id = 0;
		while (id < NAttrs && strcmp(name, attr_infos[id].text))
			id++;
		if (id == NAttrs || !(ops[n->op].attrs >> id & 1))
			fatal_at(&at, "%s has no attribute '%s'", ops[n->op].text, name);
		if (seen >> id & 1)
			fatal_at(&at, "attribute '%s' is given twice", name);
		seen |= UINT64_C(1) << id;
		expect_tok(lx, "=");
		set_attr(lx->m, n, parse_attr_value(lx, n, (AttrId)id));
	} while (accept_tok(lx, ","));
	expect_tok(lx, "}");
}

void parse_nodes(Lexer *lx, Block *block, int depth);

void parse_check(Lexer *lx, Block *b)
{
	Loc at = here(lx);
	DimCheck c = {.a = parse_dim(lx)};
	expect_tok(lx, "==");
	c.b = parse_dim(lx);
	c.loc = take_loc(lx, at);
	add_check(lx->m, b, c);
}

/* %a: type, %b: type) */
static void parse_block_params(Lexer *lx, Block *b)
{
	for (int i = 0; !is_tok(lx, ")"); i++) {
		if (i)
			expect_tok(lx, ",");
		Loc at;
		const char *key = take_new_ref(lx, "% and the name of a value", &at);
		expect_tok(lx, ":");
		Value *v = add_block_param(lx->m, b, parse_type(lx));
		if (*key == '%')
			v->name = key + 1;
		define_value(lx, &at, key, v);
	}
	next_tok(lx);
}

static void parse_body(Lexer *lx, Block *b, int depth)
{
	int first = lx->nscope;
	if (depth >= MaxBlocks)
		fail_tok(lx, "fewer nested bodies");
	if (b->owner->op == OpLoop) {
		expect_tok(lx, "(");
		parse_block_params(lx, b);
	}
	expect_tok(lx, "{");
	while (accept_tok(lx, "check"))
		parse_check(lx, b);
	parse_nodes(lx, b, depth + 1);
	expect_tok(lx, "yield");
	do
		add_yield(lx->m, b, take_value(lx));
	while (accept_tok(lx, ","));
	expect_tok(lx, "}");
	for (int i = first; i < lx->nscope; i++)
		lx->scope[i]->hidden = true;
	lx->nscope = first;
}

/* A symbol has one definition. */
static void parse_sym_def(Module *m, Node *n, Sym *s, SymKind kind, const Loc *at)
{
	if (!s)
		fatal_at(at, "sizes: a symbol is expected");
	if (s->def)
		fatal_at(at, "symbol '%s' has a value already", s->name);
	give_sym(m, n, s, kind);
	if (s->bounds)
		fatal_at(at, "symbol '%s' bounds another one, or itself, before it has a value", s->name);
}

static void parse_sym_use(Lexer *lx, Node *n, AttrId id, SymKind kind, const Loc *at)
{
	const char *name = attr_text(n, id);
	if (!*name)
		return;
	Sym *s = find_sym(lx->m, name);
	if (!s)
		fatal_at(at, "symbol '%s' is not declared", name);
	parse_sym_def(lx->m, n, s, kind, at);
}

static void parse_syms(Lexer *lx, Node *n, const Loc *at)
{
	parse_sym_use(lx, n, Attr_counter, SymLoop, at);
	parse_sym_use(lx, n, Attr_count, SymMeasured, at);
	parse_sym_use(lx, n, Attr_sym, SymMeasured, at);
	parse_sym_use(lx, n, Attr_flag, SymMeasured, at);
	const Dim *const *sizes;
	int nsizes = attr_dims(n, Attr_sizes, &sizes);
	for (int i = 0; i < nsizes; i += 3)
		parse_sym_def(lx->m, n, dim_as_sym(sizes[i]), SymMeasured, at);
}

static void parse_bodies(Lexer *lx, Node *n, int depth)
{
	parse_body(lx, n->body, depth);
	if (n->op == OpIf) {
		expect_tok(lx, "else");
		parse_body(lx, n->other, depth);
	}
}

static void infer_result(Lexer *lx, Node *n, const Result *r, const Loc *at)
{
	const char *why = set_type(lx->m, n, ops[n->op].given ? &r->type : NULL);
	if (why)
		type_error(lx->m, n->op, at, why);
	if (!types_agree(n->block, &n->out[0]->type, &r->type))
		fatal_at(&r->at, "%s: the result is %s, the text says %s", ops[n->op].text,
		         type_text(lx->m, &n->out[0]->type), type_text(lx->m, &r->type));
	n->out[0]->type = r->type;
}

/* The types that the bodies give, which the text repeats. */
static void infer_body_results(Lexer *lx, Node *n, const Results *r, const Loc *at)
{
	Type *stated = arena_alloc(lx->m->arena, (size_t)r->n * sizeof *stated);
	for (int i = 0; i < r->n; i++)
		stated[i] = r->items[i].type;
	const char *why = body_results(n) == r->n ? add_body_results(lx->m, n, stated) : NULL;
	if (why)
		type_error(lx->m, n->op, at, why);
	if (n->nout != r->n)
		fatal_at(at, "%s yields %d values for %d results", ops[n->op].text, n->nout, r->n);
	for (int i = 0; i < r->n; i++) {
		if (!types_agree(n->block, &n->out[i]->type, &r->items[i].type))
			fatal_at(&r->items[i].at, "%s yields %s here, the text says %s", ops[n->op].text,
			         type_text(lx->m, &n->out[i]->type), type_text(lx->m, &r->items[i].type));
		n->out[i]->type = r->items[i].type;
	}
}

static void set_results(Lexer *lx, Node *n, const Results *r, const Loc *at)
{
	if (has_body(n->op))
		infer_body_results(lx, n, r, at);
	else
		infer_result(lx, n, &r->items[0], at);
	for (int i = 0; i < r->n; i++) {
		const Result *one = &r->items[i];
		Value *v = i < n->nout ? n->out[i] : add_result(lx->m, n, one->type);
		if (*one->key == '%')
			v->name = one->key + 1;
		define_value(lx, &one->at, one->key, v);
	}
}

static void parse_node(Lexer *lx, Block *block, int depth)
{
	Results r = parse_results(lx);
	Loc at = here(lx);
	Op op = parse_op(lx);
	if (r.n != 1 && !has_body(op) && op != OpCustom)
		fatal_at(&at, "%s has one result, the text names %d", ops[op].text, r.n);
	Value **in;
	int nin = parse_operands(lx, op, &at, &in);
	Node *n = new_node(lx->m, block, NULL, op, new_loc(lx->m, at), nin, in);
	if (op != OpGroup && !(op == OpIf && !at_attrs(lx)))
		parse_attrs(lx, n);
	parse_syms(lx, n, &at);
	if (has_body(op))
		parse_bodies(lx, n, depth);
	n->loc = take_loc(lx, at);
	set_results(lx, n, &r, &at);
}

void parse_nodes(Lexer *lx, Block *block, int depth)
{
	while (is_tok(lx, "%"))
		parse_node(lx, block, depth);
}
