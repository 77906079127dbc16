/* safe.c - text out of untrusted files, made fit for a terminal, a header or a message (runtime/escape.h). */
#include "ir.h"

#include "../runtime/escape.h"

int hidden_bytes(const char *text)
{
	int n;
	return is_shown(decode_char(text, &n)) ? 0 : n;
}

void print_safe(FILE *f, const char *text)
{
	char out[DccMaxEscaped];
	while (*text) {
		text += escape_char(text, out);
		fputs(out, f);
	}
}

const char *safe_name(Arena *a, const char *text)
{
	int n;
	const char *p = text;
	while (*p && is_shown(decode_char(p, &n)))
		p += n;
	if (!*p)
		return text;
	char *copy = arena_alloc(a, strlen(text) * DccMaxEscaped + 1), *to = copy;
	while (*text) {
		text += escape_char(text, to);
		to += strlen(to);
	}
	return copy;
}

/* Bytes that are no UTF-8 become U+FFFD. */
void print_json(FILE *f, const char *text)
{
	int n;
	if (!text) {
		fputs("null", f);
		return;
	}
	putc('"', f);
	for (; *text; text += n) {
		int32_t ch = decode_char(text, &n);
		if (ch == '"' || ch == '\\')
			fprintf(f, "\\%c", ch);
		else if (ch > 0xffff && !is_shown(ch))
			fprintf(f, "\\u%04x\\u%04x", 0xd7c0 + (ch >> 10), 0xdc00 + (ch & 0x3ff));
		else if (!is_shown(ch) || ch == '<') /* no </script> */
			fprintf(f, "\\u%04x", ch < 0 ? 0xfffd : ch);
		else
			fwrite(text, 1, (size_t)n, f);
	}
	putc('"', f);
}

/* ---- a place in a text ------------------------------------------------------------------------------------------- */

enum { MaxShown = 160 }; /* bytes of a line */

/* The line and a caret under the column, read from the file again; nothing if it cannot be. */
void print_caret(FILE *f, const Loc *l)
{
	Arena *a = new_arena();
	size_t size;
	const char *text = map_file(a, l->file, &size), *end = text ? text + size : NULL;
	for (int i = 1; text && i < l->line; i++) {
		text = memchr(text, '\n', (size_t)(end - text));
		text = text ? text + 1 : NULL;
	}
	size_t length = text ? strcspn(text, "\n") : 0, at = (size_t)l->col - 1;
	if (text && at <= length) {
		size_t from = at > MaxShown / 2 ? at - MaxShown / 2 : 0;
		char *line = arena_printf(a, "%.*s", (int)(length - from < MaxShown ? length - from : MaxShown), text + from);
		char *before = arena_printf(a, "%.*s", (int)(at - from), line);
		for (char *p = line; (p = strchr(p, '\t'));)
			*p = ' ';
		for (char *p = before; (p = strchr(p, '\t'));)
			*p = ' ';
		print_safe(f, line);
		fputc('\n', f);
		for (const char *p = safe_name(a, before); *p; p++)
			if ((*p & 0xc0) != 0x80) /* a character's first byte */
				fputc(' ', f);
		fputs("^\n", f);
	}
	free_arena(a);
}
