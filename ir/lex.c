/* lex.c - tokens of the text form, small maps, and the printing of names and numbers. */
#include "lex.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- maps: open addressing, at most half full ------------------------------------------------------------------- */

typedef struct MapSlot {
	const void *key; /* NULL: free */
	void *value;
} MapSlot;

static uint64_t hash_name(const char *name)
{
	return table_hash(name, strlen(name), 0);
}

static uint64_t hash_ptr(const void *p)
{
	return ((uint64_t)(uintptr_t)p >> 4) * 0x9e3779b97f4a7c15u >> 20;
}

static MapSlot *find_slot(const Map *map, const void *key, uint64_t hash, bool string)
{
	uint64_t mask = (uint64_t)map->cap - 1;
	for (uint64_t i = hash & mask;; i = (i + 1) & mask) {
		MapSlot *s = &map->slots[i];
		if (!s->key || (string ? !strcmp(s->key, key) : s->key == key))
			return s;
	}
}

static void **find_key(const Map *map, const void *key, bool string)
{
	if (!map->n)
		return NULL;
	MapSlot *s = find_slot(map, key, string ? hash_name(key) : hash_ptr(key), string);
	return s->key ? &s->value : NULL;
}

static void grow_map(Map *map, bool string)
{
	Map bigger = {.arena = map->arena, .n = map->n, .cap = map->cap ? map->cap * 2 : 32};
	bigger.slots = arena_alloc(map->arena, (size_t)bigger.cap * sizeof *bigger.slots);
	for (int i = 0; i < map->cap; i++) {
		const MapSlot *s = &map->slots[i];
		if (s->key)
			*find_slot(&bigger, s->key, string ? hash_name(s->key) : hash_ptr(s->key), string) = *s;
	}
	*map = bigger;
}

static void add_key(Map *map, const void *key, void *value, bool string)
{
	if (map->n * 2 >= map->cap)
		grow_map(map, string);
	MapSlot *s = find_slot(map, key, string ? hash_name(key) : hash_ptr(key), string);
	if (!s->key)
		map->n++;
	*s = (MapSlot){key, value};
}

void **find_name(const Map *map, const char *name)
{
	return find_key(map, name, true);
}

void **find_ptr(const Map *map, const void *p)
{
	return find_key(map, p, false);
}

void add_name(Map *map, const char *name, void *value)
{
	add_key(map, name, value, true);
}

void add_ptr(Map *map, const void *p, void *value)
{
	add_key(map, p, value, false);
}

/* ---- tokens ----------------------------------------------------------------------------------------------------- */

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int hex_digit(char c)
{
	return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Letters, digits and _; a dot only between them, so that `%a..%b` is a range. */
static size_t ident_length(const char *s)
{
	size_t n = 0;
	if (!is_letter(*s))
		return 0;
	while (is_letter(s[n]) || is_digit(s[n]) || (s[n] == '.' && (is_letter(s[n + 1]) || is_digit(s[n + 1]))))
		n++;
	return n;
}

static void skip_blanks(Lexer *lx)
{
	for (;; lx->at++) {
		if (*lx->at == ';')
			while (lx->at[0] && lx->at[0] != '\n')
				lx->at++;
		if (*lx->at == '\n') {
			lx->line++;
			lx->line_start = lx->at + 1;
		} else if (*lx->at != ' ' && *lx->at != '\t' && *lx->at != '\r') {
			return;
		}
	}
}

_Noreturn static void fail_text(Lexer *lx, const char *what)
{
	Loc at = here(lx);
	fatal_at(&at, "%s", what);
}

static void lex_hex(Lexer *lx, Tok *t)
{
	const char *s = lx->at + 2;
	int digits = 0;
	for (; hex_digit(*s) >= 0; s++, digits++) {
		if (digits == 16)
			fail_text(lx, "number too large");
		t->number = t->number * 16 + (uint64_t)hex_digit(*s);
	}
	if (!digits)
		fail_text(lx, "expected hexadecimal digits after 0x");
	t->kind = TokInt;
	lx->at = s;
}

static void lex_decimal(Lexer *lx, Tok *t)
{
	const char *s = lx->at;
	bool overflow = false;
	t->kind = TokInt;
	for (; is_digit(*s); s++)
		if (__builtin_mul_overflow(t->number, 10u, &t->number) ||
		    __builtin_add_overflow(t->number, (uint64_t)(*s - '0'), &t->number))
			overflow = true;
	if (s[0] == '.' && is_digit(s[1])) {
		t->kind = TokFloat;
		for (s++; is_digit(*s); s++)
			;
	}
	if (*s == 'e' && (is_digit(s[1]) || ((s[1] == '-' || s[1] == '+') && is_digit(s[2])))) {
		t->kind = TokFloat;
		for (s += 2; is_digit(*s); s++)
			;
	}
	if (t->kind == TokInt && overflow)
		fail_text(lx, "number too large");
	if (s - lx->at > 60)
		fail_text(lx, "number too long");
	lx->at = s;
}

/* One character of a string behind s; returns its length in the text, 0 if it is malformed. */
static size_t decode_char(const char *s, char *c)
{
	static const char from[] = "\\\"nrt", to[] = "\\\"\n\r\t";
	if ((unsigned char)*s < ' ')
		return 0;
	if (*s != '\\') {
		*c = *s;
		return 1;
	}
	if (s[1] == 'x' && hex_digit(s[2]) >= 0 && hex_digit(s[3]) >= 0) {
		*c = (char)(hex_digit(s[2]) * 16 + hex_digit(s[3]));
		return *c ? 4 : 0;
	}
	const char *p = s[1] ? strchr(from, s[1]) : NULL;
	if (!p)
		return 0;
	*c = to[p - from];
	return 2;
}

static void lex_string(Lexer *lx, Tok *t)
{
	const char *s = lx->at + 1;
	while (*s && *s != '"' && *s != '\n')
		s += *s == '\\' && s[1] && s[1] != '\n' ? 2 : 1;
	if (*s != '"')
		fail_text(lx, "the string does not end on its line");
	char *out = arena_alloc(lx->m->arena, (size_t)(s - lx->at)), *o = out;
	for (const char *p = lx->at + 1; p < s; o++) {
		size_t n = decode_char(p, o);
		if (!n) {
			t->col += (int)(p - lx->at);
			lx->tok = *t;
			fail_text(lx, "malformed character in a string");
		}
		p += n;
	}
	t->kind = TokString;
	t->string = out;
	lx->at = s + 1;
}

static void lex_punct(Lexer *lx, Tok *t)
{
	/* longer ones first */
	static const char *const puncts[] = {"..+", "..", "+:", "->", "==", "!=", "<=", "<<", ">>", "(",
	                                     ")",   "{",  "}",  "[",  "]",  ",",  ":",  "=",  "+",  "-",
	                                     "*",   "/",  "%",  "@",  "#",  "<",  ">",  "&",  "|",  "^"};
	for (size_t i = 0; i < sizeof puncts / sizeof *puncts; i++) {
		size_t n = strlen(puncts[i]);
		if (!strncmp(lx->at, puncts[i], n)) {
			t->kind = TokPunct;
			lx->at += n;
			return;
		}
	}
	Loc at = here(lx);
	unsigned char c = (unsigned char)*lx->at;
	if (c >= ' ' && c < 0x7f)
		fatal_at(&at, "unexpected character '%c'", c);
	fatal_at(&at, "unexpected byte 0x%02x", c);
}

void next_tok(Lexer *lx)
{
	skip_blanks(lx);
	Tok t = {.start = lx->at, .line = lx->line, .col = (int)(lx->at - lx->line_start) + 1};
	lx->tok = t;
	size_t n = ident_length(lx->at);
	if (n) {
		t.kind = TokIdent;
		lx->at += n;
	} else if (lx->at[0] == '0' && lx->at[1] == 'x') {
		lex_hex(lx, &t);
	} else if (is_digit(*lx->at)) {
		lex_decimal(lx, &t);
	} else if (*lx->at == '"') {
		lex_string(lx, &t);
	} else if (*lx->at) {
		lex_punct(lx, &t);
	}
	t.len = (size_t)(lx->at - t.start);
	lx->tok = t;
}

void start_lexer(Lexer *lx, Module *m, const char *path, const char *text)
{
	*lx = (Lexer){.m = m, .path = path, .at = text, .line_start = text, .line = 1, .values = {.arena = m->arena}};
	next_tok(lx);
}

Loc here(const Lexer *lx)
{
	return (Loc){.file = lx->path, .line = lx->tok.line, .col = lx->tok.col};
}

void fail_tok(Lexer *lx, const char *expected)
{
	Loc at = here(lx);
	int n = lx->tok.len > 40 ? 40 : (int)lx->tok.len;
	if (lx->tok.kind == TokEnd)
		fatal_at(&at, "expected %s, got the end of the text", expected);
	fatal_at(&at, "expected %s, got '%.*s'", expected, n, lx->tok.start);
}

bool is_tok(const Lexer *lx, const char *text)
{
	return (lx->tok.kind == TokIdent || lx->tok.kind == TokPunct) && strlen(text) == lx->tok.len &&
	       !memcmp(text, lx->tok.start, lx->tok.len);
}

bool accept_tok(Lexer *lx, const char *text)
{
	if (!is_tok(lx, text))
		return false;
	next_tok(lx);
	return true;
}

void expect_tok(Lexer *lx, const char *text)
{
	if (!accept_tok(lx, text))
		fail_tok(lx, arena_printf(lx->m->arena, "'%s'", text));
}

const char *take_ident(Lexer *lx, const char *what)
{
	if (lx->tok.kind != TokIdent)
		fail_tok(lx, what);
	const char *s = arena_printf(lx->m->arena, "%.*s", (int)lx->tok.len, lx->tok.start);
	next_tok(lx);
	return s;
}

const char *take_string(Lexer *lx, const char *what)
{
	if (lx->tok.kind != TokString)
		fail_tok(lx, what);
	const char *s = lx->tok.string;
	next_tok(lx);
	return s;
}

const char *take_name(Lexer *lx, const char *what)
{
	return lx->tok.kind == TokString ? take_string(lx, what) : take_ident(lx, what);
}

int64_t take_int(Lexer *lx, const char *what, int64_t lo, int64_t hi)
{
	Loc at = here(lx);
	bool negative = accept_tok(lx, "-");
	if (lx->tok.kind != TokInt)
		fail_tok(lx, what);
	uint64_t u = lx->tok.number, limit = (uint64_t)INT64_MAX + negative;
	int64_t v = (int64_t)(negative ? 0 - u : u);
	if (u > limit || v < lo || v > hi)
		fatal_at(&at, "%s lies outside %lld..%lld", what, (long long)lo, (long long)hi);
	next_tok(lx);
	return v;
}

/* Rounded once. */
static double read_real(DType type, const char *text)
{
	return type == F32 ? (double)strtof(text, NULL) : scalar_of_real(type, strtod(text, NULL)).f;
}

/* Written as its bits, for NaNs. */
static Scalar take_bits(Lexer *lx, DType type)
{
	uint64_t bits = lx->tok.number;
	if (dtypes[type].bytes < 8 && bits >> 8 * dtypes[type].bytes)
		fail_tok(lx, "at most 8 digits");
	next_tok(lx);
	return scalar_at(type, &bits, 0);
}

static Scalar take_real(Lexer *lx, DType type)
{
	char text[64];
	bool negative = accept_tok(lx, "-");
	const Tok *t = &lx->tok;
	Scalar s = {.dtype = type};
	if (t->kind == TokInt && t->len > 1 && t->start[1] == 'x' && !negative)
		return take_bits(lx, type);
	if (is_tok(lx, "inf")) {
		s.f = INFINITY;
	} else if (is_tok(lx, "nan")) {
		s.u = QuietNaN;
	} else if (t->kind == TokInt || t->kind == TokFloat) {
		snprintf(text, sizeof text, "%.*s", (int)t->len, t->start);
		s.f = read_real(type, text);
	} else {
		fail_tok(lx, "a number");
	}
	next_tok(lx);
	s.u ^= (uint64_t)negative << 63;
	return s;
}

static char *integer_text(Arena *arena, Scalar s)
{
	bool positive = dtypes[s.dtype].cls == ClassUnsigned;
	return positive ? arena_printf(arena, "%llu", (unsigned long long)s.u) : arena_printf(arena, "%lld", (long long)s.i);
}

static Scalar take_integer(Lexer *lx, DType type, const char *what)
{
	Loc at = here(lx);
	Scalar lo = lowest_scalar(type), hi = highest_scalar(type);
	bool negative = accept_tok(lx, "-");
	if (lx->tok.kind != TokInt)
		fail_tok(lx, what);
	uint64_t u = lx->tok.number;
	if (u > (negative ? 0 - lo.u : hi.u))
		fatal_at(&at, "%s lies outside %s..%s", what, integer_text(lx->m->arena, lo), integer_text(lx->m->arena, hi));
	next_tok(lx);
	return (Scalar){.dtype = type, .u = negative ? 0 - u : u};
}

Scalar take_scalar(Lexer *lx, DType type, const char *what)
{
	return is_among(type, TypesFlt) ? take_real(lx, type) : take_integer(lx, type, what);
}

DType take_dtype(Lexer *lx)
{
	DType t;
	char text[16];
	if (lx->tok.kind != TokIdent || lx->tok.len >= sizeof text)
		fail_tok(lx, "an element type");
	snprintf(text, sizeof text, "%.*s", (int)lx->tok.len, lx->tok.start);
	if (!find_dtype(text, &t))
		fail_tok(lx, "an element type");
	next_tok(lx);
	return t;
}

/* loc ("NODE" | _) (OP [- OPSET] | _) */
const Loc *take_loc(Lexer *lx, Loc at)
{
	if (accept_tok(lx, "loc")) {
		if (!accept_tok(lx, "_"))
			at.node = take_string(lx, "the name of a node in quotes, or _");
		if (!accept_tok(lx, "_"))
			at.op = take_name(lx, "an ONNX operator, or _");
		if (at.op && accept_tok(lx, "-"))
			at.opset = (int)take_int(lx, "an opset version", 1, INT32_MAX);
	}
	return new_loc(lx->m, at);
}

/* ---- printing --------------------------------------------------------------------------------------------------- */

static bool is_ident(const char *s)
{
	return *s && ident_length(s) == strlen(s) && strcmp(s, "_");
}

void print_quoted(FILE *f, const char *s)
{
	static const char from[] = "\\\"\n\r\t", to[] = "\\\"nrt";
	int hidden = 0; /* bytes to escape */
	putc('"', f);
	for (; *s; s++) {
		const char *p = strchr(from, *s);
		hidden = hidden ? hidden : hidden_bytes(s);
		if (p)
			fprintf(f, "\\%c", to[p - from]);
		else if (hidden)
			fprintf(f, "\\x%02x", (unsigned char)*s);
		else
			putc(*s, f);
		hidden -= hidden > 0;
	}
	putc('"', f);
}

void print_name(FILE *f, const char *s)
{
	if (is_ident(s))
		fputs(s, f);
	else
		print_quoted(f, s);
}

/* The shortest decimal that reads back to the same bits. */
static void print_real(FILE *f, Scalar s)
{
	char text[40];
	uint64_t bits = 0;
	if (isnan(s.f)) {
		put_scalar(&bits, s);
		if (s.u == QuietNaN)
			fputs("nan", f);
		else
			fprintf(f, "0x%llx", (unsigned long long)bits);
		return;
	}
	for (int digits = s.dtype == F64 ? 15 : s.dtype == F32 ? 6 : 1; digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, s.f);
		if (same_scalar(s, (Scalar){s.dtype, .f = read_real(s.dtype, text)}))
			break;
	}
	fputs(text, f);
}

void print_scalar(FILE *f, Scalar s)
{
	if (is_among(s.dtype, TypesFlt))
		print_real(f, s);
	else if (dtypes[s.dtype].cls == ClassUnsigned)
		fprintf(f, "%llu", (unsigned long long)s.u);
	else
		fprintf(f, "%lld", (long long)s.i);
}

void print_loc(FILE *f, const Loc *loc)
{
	if (!loc || (!loc->node && !loc->op))
		return;
	fputs(" loc ", f);
	if (loc->node)
		print_quoted(f, loc->node);
	else
		putc('_', f);
	putc(' ', f);
	if (!loc->op) {
		putc('_', f);
		return;
	}
	print_name(f, loc->op);
	if (loc->opset > 0)
		fprintf(f, "-%d", loc->opset);
}
