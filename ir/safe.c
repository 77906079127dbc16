/* safe.c - text out of untrusted files, made fit for a terminal, a header or a message.
 *
 * Control characters drive terminals, and characters that turn the direction of writing or have no width make text look
 * like another one (CVE-2021-42574).  They, and bytes that are no UTF-8, are shown as \x1b or \u202e.
 */
#include "ir.h"

#include <string.h>

enum { MaxEscaped = 8 }; /* bytes of an escape, with the NUL */

/* The character at p and how many bytes it has; -1 and 1 where no character starts. */
static int32_t decode(const unsigned char *p, int *bytes)
{
	static const int32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	int n = *p < 0x80 ? 1 : *p >> 5 == 6 ? 2 : *p >> 4 == 14 ? 3 : *p >> 3 == 30 ? 4 : 0;
	int32_t ch = n > 1 ? *p & (0x7f >> n) : *p;
	for (int i = 1; i < n; i++) {
		if (p[i] >> 6 != 2)
			n = 0;
		ch = ch << 6 | (p[i] & 0x3f);
	}
	bool good = n && ch >= least[n] && ch <= 0x10ffff && ch >> 11 != 0x1b; /* surrogates */
	*bytes = good ? n : 1;
	return good ? ch : -1;
}

static bool is_shown(int32_t ch)
{
	static const int32_t hidden[][2] = {
		{-1, 0x1f},         {0x7f, 0x9f},     {0xad, 0xad},     {0x61c, 0x61c},   {0x180e, 0x180e},
		{0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb},
		{0xe0000, 0xe0fff}, /* tags */
	};
	for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
		if (ch >= hidden[i][0] && ch <= hidden[i][1])
			return false;
	return true;
}

/* One character, as it is or escaped; returns the bytes of text that it took. */
static int safe_char(const char *text, char *out)
{
	int n;
	int32_t ch = decode((const unsigned char *)text, &n);
	if (is_shown(ch)) {
		memcpy(out, text, (size_t)n);
		out[n] = 0;
	} else if (ch < 0x100) {
		snprintf(out, MaxEscaped, "\\x%02x", ch < 0 ? (unsigned char)*text : (unsigned)ch);
	} else {
		snprintf(out, MaxEscaped, "\\u%04x", (unsigned)ch & 0xfffff);
	}
	return n;
}

int hidden_bytes(const char *text)
{
	int n;
	return is_shown(decode((const unsigned char *)text, &n)) ? 0 : n;
}

void print_safe(FILE *f, const char *text)
{
	char out[MaxEscaped];
	while (*text) {
		text += safe_char(text, out);
		fputs(out, f);
	}
}

const char *safe_name(Arena *a, const char *text)
{
	int n;
	const char *p = text;
	while (*p && is_shown(decode((const unsigned char *)p, &n)))
		p += n;
	if (!*p)
		return text;
	char *copy = arena_alloc(a, strlen(text) * MaxEscaped + 1), *to = copy;
	while (*text) {
		text += safe_char(text, to);
		to += strlen(to);
	}
	return copy;
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
