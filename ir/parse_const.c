/* parse_const.c - reads constants: lists of elements, bytes as hex digits, or a place in a file beside the text. */
#include "parse.h"

#include <errno.h>
#include <string.h>

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

uint64_t parse_hash(Lexer *lx)
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

void parse_const(Lexer *lx)
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
	define_value(lx, &at, key, c->value);
}
