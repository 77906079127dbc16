/* parse.c - reads the text form of ir.md back into a module.
 *
 * Text is untrusted.  Every line goes through the same builders and shape functions as the frontend's; every error
 * names line and column.  Recursion is bounded by MaxNest and MaxBlocks, memory by the length of the text (and of the
 * dims in it, which dim.c bounds).  Constants in files: plain names beside the text only, so that a text cannot read
 * elsewhere.
 */
#include "lex.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct Scoped {
	Value *value;
	bool hidden; /* defined in a group that has ended */
} Scoped;

static const int64_t MaxExtent = INT64_C(1) << 47; /* elements of one tensor */

/* ---- names of values -------------------------------------------------------------------------------------------- */

/* "@w" constants, "%x" names, "#3" numbers: three spaces, so that a parameter may be called "3". */
static const char *take_ref(Lexer *lx)
{
	Arena *arena = lx->m->arena;
	if (accept_tok(lx, "@"))
		return arena_printf(arena, "@%s", take_name(lx, "the name of a constant"));
	if (!accept_tok(lx, "%"))
		fail_tok(lx, "a value (%name, %number or @constant)");
	if (lx->tok.kind != TokInt)
		return arena_printf(arena, "%%%s", take_name(lx, "the name or number of a value"));
	const char *key = arena_printf(arena, "#%llu", (unsigned long long)lx->tok.number);
	next_tok(lx);
	return key;
}

static const char *shown_ref(Lexer *lx, const char *key)
{
	return *key == '#' ? arena_printf(lx->m->arena, "%%%s", key + 1) : key;
}

Value *find_value(Lexer *lx, bool *hidden)
{
	Loc at = here(lx);
	const char *key = take_ref(lx);
	void **found = find_name(&lx->values, key);
	if (!found)
		fatal_at(&at, "%s is not defined", shown_ref(lx, key));
	Scoped *s = *found;
	*hidden = s->hidden;
	return s->value;
}

Value *take_value(Lexer *lx)
{
	Loc at = here(lx);
	bool hidden;
	Value *v = find_value(lx, &hidden);
	if (hidden)
		fatal_at(&at, "the value is not visible outside of its group");
	return v;
}

static void check_free(Lexer *lx, const Loc *at, const char *key)
{
	if (find_name(&lx->values, key))
		fatal_at(at, "%s is already defined", shown_ref(lx, key));
}

/* The name of a value that is defined here: `what`, for the message. */
static const char *take_new_ref(Lexer *lx, const char *what, Loc *at)
{
	*at = here(lx);
	if (!is_tok(lx, "%"))
		fail_tok(lx, what);
	const char *key = take_ref(lx);
	check_free(lx, at, key);
	return key;
}

static void define(Lexer *lx, const Loc *at, const char *key, Value *v)
{
	check_free(lx, at, key);
	Scoped *s = arena_alloc(lx->m->arena, sizeof *s);
	s->value = v;
	add_name(&lx->values, key, s);
	PUSH(lx->m->arena, lx->scope, lx->nscope, lx->capscope, s);
}

/* ---- dims and types --------------------------------------------------------------------------------------------- */

static const Dim *parse_sum(Lexer *lx, int depth);

static void count_dim_op(Lexer *lx)
{
	if (--lx->steps < 0)
		fail_tok(lx, "a dim of at most 8192 operators");
}

static const Dim *parse_dim_call(Lexer *lx, bool min, int depth)
{
	next_tok(lx);
	const Dim *d = parse_sum(lx, depth);
	while (accept_tok(lx, ",")) {
		count_dim_op(lx);
		const Dim *e = parse_sum(lx, depth);
		d = min ? dim_min(lx->m, d, e) : dim_max(lx->m, d, e);
	}
	expect_tok(lx, ")");
	return d;
}

static const Dim *parse_dim_atom(Lexer *lx, int depth)
{
	Loc at = here(lx);
	if (depth > MaxNest)
		fail_tok(lx, "a dim nested less deeply");
	if (lx->tok.kind == TokInt)
		return dim_const(lx->m, take_int(lx, "a number", INT64_MIN, INT64_MAX));
	if (accept_tok(lx, "(")) {
		const Dim *d = parse_sum(lx, depth + 1);
		expect_tok(lx, ")");
		return d;
	}
	if (accept_tok(lx, "-")) {
		if (lx->tok.kind == TokInt && lx->tok.number == (uint64_t)INT64_MAX + 1) {
			next_tok(lx);
			return dim_const(lx->m, INT64_MIN);
		}
		count_dim_op(lx);
		return dim_mul_const(lx->m, parse_dim_atom(lx, depth + 1), -1);
	}
	const char *name = take_ident(lx, "a dim");
	if (is_tok(lx, "(") && (!strcmp(name, "min") || !strcmp(name, "max")))
		return parse_dim_call(lx, !strcmp(name, "min"), depth + 1);
	void **sym = find_name(&lx->values, arena_printf(lx->m->arena, "sym %s", name));
	if (!sym)
		fatal_at(&at, "symbol '%s' is not declared (sym %s in 0..)", name, name);
	return *sym;
}

/* Then a % is that of a value and ends the dim before it. */
static bool begins_line(const Tok *t)
{
	const char *p = t->start;
	while (p[-1] == ' ' || p[-1] == '\t')
		p--;
	return p[-1] == '\n';
}

static const Dim *parse_product(Lexer *lx, int depth)
{
	const Dim *d = parse_dim_atom(lx, depth);
	for (;;) {
		char op = lx->tok.kind == TokPunct && lx->tok.len == 1 ? *lx->tok.start : 0;
		if ((op != '*' && op != '/' && op != '%') || (op == '%' && begins_line(&lx->tok)))
			return d;
		next_tok(lx);
		count_dim_op(lx);
		Loc at = here(lx);
		const Dim *e = parse_dim_atom(lx, depth);
		if (op != '*' && dim_equals(e, 0))
			fatal_at(&at, "division by zero");
		d = op == '*' ? dim_mul(lx->m, d, e) : op == '/' ? dim_floordiv(lx->m, d, e) : dim_mod(lx->m, d, e);
	}
}

static const Dim *parse_sum(Lexer *lx, int depth)
{
	const Dim *d = parse_product(lx, depth);
	for (;;) {
		bool minus = is_tok(lx, "-");
		if (!minus && !is_tok(lx, "+"))
			return d;
		next_tok(lx);
		count_dim_op(lx);
		const Dim *e = parse_product(lx, depth);
		d = minus ? dim_sub(lx->m, d, e) : dim_add(lx->m, d, e);
	}
}

static const Dim *parse_dim(Lexer *lx)
{
	lx->steps = MaxDimOps;
	return parse_sum(lx, 0);
}

static Type parse_type(Lexer *lx)
{
	Type t = {.dtype = take_dtype(lx)};
	expect_tok(lx, "[");
	while (!is_tok(lx, "]")) {
		if (t.rank)
			expect_tok(lx, ",");
		if (t.rank == MaxRank)
			fail_tok(lx, "at most 8 dims");
		t.dims[t.rank++] = parse_dim(lx);
	}
	next_tok(lx);
	return t;
}

/* ---- constants -------------------------------------------------------------------------------------------------- */

typedef struct Bytes {
	Arena *arena;
	char *items;
	int n, cap;
} Bytes;

static void put_bytes(Lexer *lx, Bytes *b, const void *p, int n)
{
	for (int i = 0; i < n; i++) {
		if (b->n == INT32_MAX - 1)
			fail_tok(lx, "a smaller constant");
		PUSH(b->arena, b->items, b->n, b->cap, ((const char *)p)[i]);
	}
}

static void parse_element(Lexer *lx, DType type, Bytes *b)
{
	uint64_t bits = 0;
	put_scalar(&bits, take_scalar(lx, type, "an element"));
	put_bytes(lx, b, &bits, dtypes[type].bytes); /* little-endian, as the targets are */
}

static Bytes parse_list(Lexer *lx, DType type)
{
	Bytes b = {.arena = lx->m->arena};
	while (!is_tok(lx, "]")) {
		if (b.n)
			expect_tok(lx, ",");
		parse_element(lx, type, &b);
	}
	next_tok(lx);
	return b;
}

static int hex_value(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static Bytes parse_hex(Lexer *lx)
{
	Bytes b = {.arena = lx->m->arena};
	if (lx->tok.kind != TokString)
		fail_tok(lx, "hexadecimal digits in quotes");
	for (; lx->tok.kind == TokString; next_tok(lx)) {
		const char *s = lx->tok.string;
		for (; *s; s += 2) {
			int hi = hex_value(s[0]), lo = s[1] ? hex_value(s[1]) : -1;
			if (hi < 0 || lo < 0)
				fail_tok(lx, "pairs of the digits 0-9 and a-f");
			char c = (char)(hi * 16 + lo);
			put_bytes(lx, &b, &c, 1);
		}
	}
	return b;
}

/* '#' and hexadecimal digits, which may look like a number or a word. */
static uint64_t parse_hash(Lexer *lx)
{
	uint64_t v = 0;
	if (!is_tok(lx, "#"))
		fail_tok(lx, "'#' and 16 hexadecimal digits");
	const char *s = lx->at;
	for (int i = 0; i < 16; i++) {
		if (hex_value(s[i]) < 0)
			fail_tok(lx, "'#' and 16 hexadecimal digits");
		v = v * 16 + (uint64_t)hex_value(s[i]);
	}
	lx->at += 16;
	next_tok(lx);
	return v;
}

typedef struct DataFile {
	const char *bytes;
	size_t size;
} DataFile;

static const DataFile *map_data(Lexer *lx, const Loc *at, const char *name)
{
	const char *key = arena_printf(lx->m->arena, "file %s", name);
	void **found = find_name(&lx->values, key);
	if (found)
		return *found;
	if (!*name || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
		fatal_at(at, "the file \"%s\" must be a plain name: data lies beside the text", name);
	const char *slash = strrchr(lx->path, '/');
	int dir = slash ? (int)(slash + 1 - lx->path) : 0;
	DataFile *df = arena_alloc(lx->m->arena, sizeof *df);
	df->bytes = map_file(lx->m->arena, arena_printf(lx->m->arena, "%.*s%s", dir, lx->path, name), &df->size);
	if (!df->bytes)
		fatal_at(at, "cannot read \"%s\" beside the text: %s", name, strerror(errno));
	add_name(&lx->values, key, df);
	return df;
}

static const void *parse_file_ref(Lexer *lx, size_t bytes, const char **name, uint64_t *offset)
{
	Loc at = here(lx);
	*name = take_string(lx, "the name of a file in quotes");
	*offset = (uint64_t)take_int(lx, "an offset", 0, INT64_MAX);
	uint64_t hash = parse_hash(lx);
	const DataFile *df = map_data(lx, &at, *name);
	if (*offset > df->size || bytes > df->size - *offset)
		fatal_at(&at, "%zu bytes at %llu lie beyond the end of \"%s\" (%zu bytes)", bytes,
		         (unsigned long long)*offset, *name, df->size);
	const char *data = df->bytes + *offset;
	if (hash_bytes(data, bytes, 0) != hash)
		fatal_at(&at, "\"%s\" does not hold the bytes that the text was written for", *name);
	return data;
}

static size_t const_bytes(Lexer *lx, const Loc *at, const Type *t)
{
	int64_t n = dtypes[t->dtype].bytes, extent;
	bool zero = false;
	for (int i = 0; i < t->rank; i++) {
		if (!dim_is_const(t->dims[i], &extent) || extent < 0)
			fatal_at(at, "the shape of a constant must be constant: %s", type_text(lx->m, t));
		zero |= extent == 0;
		if (extent && (__builtin_mul_overflow(n, extent, &n) || n > MaxExtent))
			fatal_at(at, "a constant of this shape is too large: %s", type_text(lx->m, t));
	}
	return zero ? 0 : (size_t)n;
}

static void check_size(Lexer *lx, const Loc *at, const Type *t, size_t got, size_t bytes)
{
	size_t one = (size_t)dtypes[t->dtype].bytes;
	if (got != bytes)
		fatal_at(at, "%s has %zu elements (%zu bytes), got %zu (%zu bytes)", type_text(lx->m, t), bytes / one,
		         bytes, got / one, got);
}

/* Bytes of a file or of hex digits are elements as the compiler keeps them. */
static void check_elements(const Loc *at, DType t, const uint8_t *data, size_t bytes)
{
	for (size_t i = 0; is_packed(t) && i < bytes; i++) {
		uint8_t element;
		put_scalar(&element, scalar_at(t, data, (int64_t)i));
		if (element != data[i])
			fatal_at(at, "the byte 0x%02x is no element of %s", data[i], dtypes[t].text);
	}
}

static void parse_const(Lexer *lx)
{
	Loc at = here(lx);
	if (!is_tok(lx, "@"))
		fail_tok(lx, "@ and the name of a constant");
	const char *key = take_ref(lx), *file = NULL;
	uint64_t offset = 0;
	check_free(lx, &at, key);
	expect_tok(lx, ":");
	Type t = parse_type(lx);
	size_t bytes = const_bytes(lx, &at, &t);
	expect_tok(lx, "=");
	Loc data_at = here(lx);
	const void *data = NULL;
	if (accept_tok(lx, "file")) {
		data = parse_file_ref(lx, bytes, &file, &offset);
	} else if (accept_tok(lx, "elided")) {
		fatal_at(&data_at,
		         "the data of %s was not written into this text; write the text to a file to keep it", key);
	} else {
		bool list = accept_tok(lx, "[");
		if (!list && !accept_tok(lx, "hex"))
			fail_tok(lx, "'[', hex, file or elided");
		Bytes b = list ? parse_list(lx, t.dtype) : parse_hex(lx);
		check_size(lx, &data_at, &t, (size_t)b.n, bytes);
		data = b.items ? b.items : "";
	}
	check_elements(&data_at, t.dtype, data, bytes);
	Const *c = new_const(lx->m, key + 1, t, data, bytes);
	c->name = key + 1; /* as it stands, even if new_const would have it otherwise */
	c->file = file;
	c->offset = offset;
	define(lx, &at, key, c->value);
}

/* ---- nodes ------------------------------------------------------------------------------------------------------ */

typedef struct Result {
	Loc at;
	const char *key;
	Type type;
} Result;

typedef struct Results {
	int n, cap;
	Result *items;
} Results;

enum { MaxResults = 64, MaxListItems = 4096 };

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

static bool at_operand(const Lexer *lx)
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

static Attr parse_ints(Lexer *lx, AttrId id)
{
	int64_t *items = NULL;
	int n = 0, cap = 0;
	for (; !is_tok(lx, "]");) {
		if (n)
			expect_tok(lx, ",");
		if (n == MaxListItems)
			fail_tok(lx, "a shorter list");
		int64_t v = take_int(lx, "an integer", INT64_MIN, INT64_MAX);
		PUSH(lx->m->arena, items, n, cap, v);
	}
	next_tok(lx);
	return mk_ints(lx->m, id, n, items);
}

static Attr parse_dims(Lexer *lx, AttrId id)
{
	const Dim **items = NULL;
	int n = 0, cap = 0;
	for (; !is_tok(lx, "]");) {
		if (n)
			expect_tok(lx, ",");
		if (n == MaxListItems)
			fail_tok(lx, "a shorter list");
		const Dim *d = parse_dim(lx);
		PUSH(lx->m->arena, items, n, cap, d);
	}
	next_tok(lx);
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

static void parse_nodes(Lexer *lx, Block *block, int depth);

static void parse_check(Lexer *lx, Block *b)
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
		define(lx, &at, key, v);
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
		define(lx, &one->at, one->key, v);
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

static void parse_nodes(Lexer *lx, Block *block, int depth)
{
	while (is_tok(lx, "%"))
		parse_node(lx, block, depth);
}

/* ---- the function ----------------------------------------------------------------------------------------------- */

/* [s0, s1, ..]: the elements of a parameter, each a symbol of its own. */
static void parse_values(Lexer *lx, Value *v, const Loc *at)
{
	int64_t n = 1, extent;
	for (int d = 0; d < v->type.rank; d++)
		n = dim_is_const(v->type.dims[d], &extent) && extent <= MaxKnown ? n * extent : MaxKnown + 1;
	if (!may_be_dims(v->type.dtype) || n > MaxKnown)
		fatal_at(at, "elements of %s cannot be symbols", type_text(lx->m, &v->type));
	v->known = arena_alloc(lx->m->arena, ((size_t)n + 1) * sizeof *v->known);
	expect_tok(lx, "[");
	for (int64_t i = 0; i < n; i++) {
		if (i)
			expect_tok(lx, ",");
		Loc here_at = here(lx);
		Sym *s = dim_as_sym(v->known[i] = parse_dim(lx));
		if (!s || s->kind != SymInput)
			fatal_at(&here_at, "a symbol of its own is expected");
		s->kind = SymValue;
		s->input = v->index;
		s->element = (int)i;
	}
	expect_tok(lx, "]");
}

static void parse_params(Lexer *lx)
{
	expect_tok(lx, "(");
	for (int i = 0; !is_tok(lx, ")"); i++) {
		if (i)
			expect_tok(lx, ",");
		Loc at;
		const char *key = take_new_ref(lx, "% and the name of a parameter", &at);
		if (*key != '%')
			fatal_at(&at, "a parameter needs a name");
		expect_tok(lx, ":");
		Value *v = new_param(lx->m, key + 1, parse_type(lx));
		v->name = key + 1;
		if (accept_tok(lx, "="))
			parse_values(lx, v, &at);
		define(lx, &at, key, v);
	}
	next_tok(lx);
}

static void parse_signature(Lexer *lx, Results *r)
{
	expect_tok(lx, "(");
	while (!is_tok(lx, ")")) {
		if (r->n)
			expect_tok(lx, ",");
		Result one = {.at = here(lx)};
		one.key = take_name(lx, "the name of a result");
		for (int i = 0; i < r->n; i++)
			if (r->n < MaxListItems && !strcmp(r->items[i].key, one.key))
				fatal_at(&one.at, "result '%s' is named twice", one.key);
		expect_tok(lx, ":");
		one.type = parse_type(lx);
		PUSH(lx->m->arena, r->items, r->n, r->cap, one);
	}
	next_tok(lx);
}

static void parse_return(Lexer *lx, const Results *r)
{
	Func *fn = lx->m->main;
	Loc at = here(lx);
	expect_tok(lx, "return");
	for (int i = 0; i < r->n && at_operand(lx); i++) {
		const Result *one = &r->items[i];
		Loc value_at = here(lx);
		Value *v = take_value(lx);
		if (!type_equal(&v->type, &one->type))
			fatal_at(&value_at, "result '%s' is %s, the value returned is %s", one->key,
			         type_text(lx->m, &one->type), type_text(lx->m, &v->type));
		add_yield(lx->m, &fn->body, v);
		if (!accept_tok(lx, ","))
			break;
	}
	if (fn->body.nyield != r->n || at_operand(lx))
		fatal_at(&at, "the function returns %d value%s", r->n, r->n == 1 ? "" : "s");
	expect_tok(lx, "}");
}

static void parse_func(Lexer *lx)
{
	Module *m = lx->m;
	Results r = {0};
	expect_tok(lx, "@");
	m->main->name = take_name(lx, "the name of the function");
	parse_params(lx);
	expect_tok(lx, "->");
	parse_signature(lx, &r);
	expect_tok(lx, "{");
	parse_nodes(lx, &m->main->body, 0);
	m->main->results = arena_alloc(m->arena, ((size_t)r.n + 1) * sizeof *m->main->results);
	for (int i = 0; i < r.n; i++)
		m->main->results[i] = r.items[i].key;
	parse_return(lx, &r);
}

/* ---- the head --------------------------------------------------------------------------------------------------- */

static void parse_head(Lexer *lx)
{
	Module *m = lx->m;
	Loc at = here(lx);
	if (!accept_tok(lx, "dcc") || !accept_tok(lx, "-") || !accept_tok(lx, "ir"))
		fatal_at(&at, "this is not IR text: its first line begins with 'dcc-ir 1'");
	at = here(lx);
	int64_t version = take_int(lx, "the version of the IR", 1, INT32_MAX);
	if (version != 1)
		fatal_at(&at, "IR of version %lld; this dcc reads version 1", (long long)version);
	expect_tok(lx, "stage");
	m->stage = take_ident(lx, "the name of a pass");
	expect_tok(lx, "model");
	at = here(lx);
	m->name = take_name(lx, "the name of the model");
	if (!is_c_name(m->name))
		fatal_at(&at, "the model's name '%s' must be a C identifier", m->name);
	if (is_tok(lx, "#")) /* hand-written text has none */
		m->model_hash = parse_hash(lx);
}

/* in2[3] * n: an element of a floating input times a dim over the symbols before this one; the verifier looks for the input. */
static void parse_scaled(Lexer *lx, Sym *s)
{
	Loc at = here(lx);
	const char *input = take_ident(lx, "an input, such as in0");
	char *end = NULL;
	long number = strncmp(input, "in", 2) ? -1 : strtol(input + 2, &end, 10);
	if (number < 0 || number > DimMax || !input[2] || *end)
		fatal_at(&at, "an input such as in0 is expected");
	s->input = (int)number;
	expect_tok(lx, "[");
	s->element = (int)take_int(lx, "the number of an element", 0, MaxKnown);
	expect_tok(lx, "]");
	expect_tok(lx, "*");
	s->times = parse_dim(lx);
	s->kind = SymValue;
}

static void parse_sym(Lexer *lx)
{
	Loc at = here(lx);
	const char *name = take_ident(lx, "the name of a symbol");
	const char *key = arena_printf(lx->m->arena, "sym %s", name);
	if (!is_c_name(name))
		fatal_at(&at, "the symbol '%s' must be a C identifier", name);
	if (find_name(&lx->values, key))
		fatal_at(&at, "symbol '%s' is already declared", name);
	expect_tok(lx, "in");
	const Dim *d = dim_sym(lx->m, name);
	Sym *s = dim_as_sym(d);
	s->lo = take_int(lx, "the lower bound", -(int64_t)MaxExtent, MaxExtent);
	expect_tok(lx, "..");
	s->hi = lx->tok.kind == TokInt ? take_int(lx, "the upper bound", s->lo, MaxExtent) : DimMax;
	if (accept_tok(lx, "=")) { /* over the symbols before it */
		s->is = parse_dim(lx);
		s->kind = SymDerived;
	}
	if (accept_tok(lx, "of"))
		parse_scaled(lx, s);
	add_name(&lx->values, key, (void *)(uintptr_t)d);
}

static void parse_text(Lexer *lx)
{
	Module *m = lx->m;
	parse_head(lx);
	while (!is_tok(lx, "func")) {
		if (accept_tok(lx, "sym"))
			parse_sym(lx);
		else if (accept_tok(lx, "const"))
			parse_const(lx);
		else if (accept_tok(lx, "check"))
			parse_check(lx, &m->main->body);
		else
			fail_tok(lx, "sym, const, check or func");
	}
	next_tok(lx);
	parse_func(lx);
	Loc at = {.file = lx->path};
	const char *why = verify_module(m);
	if (why)
		fatal_at(&at, "%s", why);
	if (is_tok(lx, "loops"))
		m->loops = parse_loops(m, lx);
	if (lx->tok.kind != TokEnd)
		fail_tok(lx, m->loops ? "kernel, program or the end of the text" : "loops or the end of the text");
	why = m->loops ? verify_loops(m->loops) : NULL;
	if (why)
		fatal_at(&at, "%s", why);
}

Module *parse_module(const char *path, const char *text)
{
	Module *m = new_module("model", path);
	Lexer lx;
	jmp_buf *outer = diag_recover, mine;
	if (outer) { /* the caller goes on after an error: release what was read so far */
		if (setjmp(mine)) {
			diag_recover = outer;
			free_module(m);
			longjmp(*outer, 1);
		}
		diag_recover = &mine;
	}
	start_lexer(&lx, m, m->path, text);
	parse_text(&lx);
	diag_recover = outer;
	return m;
}
