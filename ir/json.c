/* json.c - reads JSON (RFC 8259), in time linear in the text. */
#include "json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MaxDepth = 64 };

typedef struct Reader {
	Arena *arena;
	Loc at; /* of what is read now */
	const char *p, *line_start;
	int depth;
} Reader;

static _Noreturn void wrong(Reader *r, const char *expected)
{
	r->at.col = (int)(r->p - r->line_start) + 1;
	fatal_at(&r->at, "JSON: %s expected", expected);
}

static void skip_blanks(Reader *r)
{
	for (; *r->p && strchr(" \t\r\n", *r->p); r->p++)
		if (*r->p == '\n') {
			r->at.line++;
			r->line_start = r->p + 1;
		}
}

static bool take(Reader *r, const char *word)
{
	size_t n = strlen(word);
	if (strncmp(r->p, word, n))
		return false;
	r->p += n;
	return true;
}

/* ---- strings ----------------------------------------------------------------------------------------------------- */

static int32_t take_hex(Reader *r)
{
	int32_t code = 0;
	for (int i = 0; i < 4; i++, r->p++) {
		const char *digits = "0123456789abcdefABCDEF", *d = *r->p ? strchr(digits, *r->p) : NULL;
		if (!d)
			wrong(r, "a hexadecimal digit");
		code = code * 16 + (int32_t)(d - digits < 16 ? d - digits : d - digits - 6);
	}
	return code;
}

/* Behind \u. */
static int32_t take_code(Reader *r)
{
	int32_t high = take_hex(r);
	const char *behind = r->p;
	if (high >> 10 == 0x36 && take(r, "\\u")) {
		int32_t low = take_hex(r);
		if (low >> 10 == 0x37)
			return 0x10000 + ((high & 0x3ff) << 10 | (low & 0x3ff));
		r->p = behind;
	}
	return high == 0 || high >> 11 == 0x1b ? 0xfffd : high;
}

static char *put_utf8(char *to, int32_t code)
{
	int n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	static const int first[] = {0, 0, 0xc0, 0xe0, 0xf0};
	for (int i = n - 1; i > 0; i--, code >>= 6)
		to[i] = (char)(0x80 | (code & 0x3f));
	to[0] = (char)(first[n] | code);
	return to + n;
}

static const char *take_text(Reader *r)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *end = ++r->p;
	while (*end && *end != '"')
		end += 1 + (*end == '\\' && end[1]);
	char *text = arena_alloc(r->arena, (size_t)(end - r->p) + 1), *out = text;
	while (*r->p != '"') {
		if ((unsigned char)*r->p < ' ')
			wrong(r, "the end of a string");
		if (*r->p != '\\') {
			*out++ = *r->p++;
			continue;
		}
		const char *escape = *++r->p ? strchr(from, *r->p) : NULL;
		if (take(r, "u")) {
			out = put_utf8(out, take_code(r));
		} else if (escape) {
			*out++ = to[escape - from];
			r->p++;
		} else {
			wrong(r, "an escape");
		}
	}
	r->p++;
	return text;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static void take_digits(Reader *r, const char *expected)
{
	const char *start = r->p;
	while (*r->p >= '0' && *r->p <= '9')
		r->p++;
	if (r->p == start)
		wrong(r, expected);
}

static double take_number(Reader *r)
{
	const char *start = r->p;
	take(r, "-");
	if (!take(r, "0"))
		take_digits(r, "a value");
	if (take(r, "."))
		take_digits(r, "a digit behind the point");
	if (take(r, "e") || take(r, "E")) {
		if (!take(r, "-"))
			take(r, "+");
		take_digits(r, "an exponent");
	}
	return strtod(start, NULL);
}

static Json *take_value(Reader *r);

/* Behind the bracket that opens it. */
static void take_items(Reader *r, Json *to, char close)
{
	if (++r->depth > MaxDepth)
		wrong(r, "less nesting");
	skip_blanks(r);
	while (*r->p != close) {
		if (to->n && !take(r, ","))
			wrong(r, close == ']' ? "',' or ']'" : "',' or '}'");
		skip_blanks(r);
		if (to->kind == JsonObject) {
			if (*r->p != '"')
				wrong(r, "a key");
			PUSH(r->arena, to->keys, to->n, to->capkey, take_text(r));
			to->n--; /* counted with its value */
			skip_blanks(r);
			if (!take(r, ":"))
				wrong(r, "':'");
		}
		Json *item = take_value(r);
		PUSH(r->arena, to->items, to->n, to->cap, item);
		skip_blanks(r);
	}
	r->p++;
	r->depth--;
}

static Json *take_value(Reader *r)
{
	Json *v = arena_alloc(r->arena, sizeof *v);
	skip_blanks(r);
	if (take(r, "{")) {
		v->kind = JsonObject;
		take_items(r, v, '}');
	} else if (take(r, "[")) {
		v->kind = JsonArray;
		take_items(r, v, ']');
	} else if (*r->p == '"') {
		v->kind = JsonString;
		v->text = take_text(r);
	} else if (take(r, "true") || take(r, "false")) {
		v->kind = JsonBool;
		v->number = r->p[-2] == 'u';
	} else if (!take(r, "null")) {
		v->kind = JsonNumber;
		v->number = take_number(r);
	}
	return v;
}

const Json *read_json(Arena *arena, const char *path)
{
	Reader r = {.arena = arena, .at = {.file = path, .line = 1}};
	size_t size;
	r.p = r.line_start = map_file(arena, path, &size);
	if (!r.p)
		fatal_at(&(Loc){.file = path}, "cannot be read: %s", strerror(errno));
	const char *end = r.p + size;
	const Json *v = take_value(&r);
	skip_blanks(&r);
	if (r.p != end)
		wrong(&r, "the end of the file");
	return v;
}

const Json *json_member(const Json *object, const char *key, JsonKind kind)
{
	for (int i = 0; object && object->kind == JsonObject && i < object->n; i++)
		if (!strcmp(object->keys[i], key))
			return object->items[i]->kind == kind ? object->items[i] : NULL;
	return NULL;
}
