/* escape.h - text out of untrusted files, made fit for a terminal, a header or a message: one character at a time.
 *
 * Control characters drive terminals, and characters that turn the direction of writing or have no width make text look
 * like another one (CVE-2021-42574).  They, and bytes that are no UTF-8, are shown as \x1b or \u202e.
 */
#ifndef DCC_ESCAPE_H
#define DCC_ESCAPE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { DccMaxEscaped = 8 }; /* bytes of an escape, with the NUL */

/* The character at p and how many bytes it has; -1 and 1 where no character starts. */
static inline int32_t decode_char(const char *text, int *bytes)
{
	static const int32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *p = (const unsigned char *)text;
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

static inline bool is_shown(int32_t ch)
{
	static const int32_t hidden[][2] = {
		{-1, 0x1f},         {0x7f, 0x9f},     {0xad, 0xad},     {0x61c, 0x61c},   {0x180e, 0x180e},
		{0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb},
		{0xe0000, 0xe0fff}, /* tags */
	};
	for (unsigned i = 0; i < sizeof hidden / sizeof *hidden; i++)
		if (ch >= hidden[i][0] && ch <= hidden[i][1])
			return false;
	return true;
}

/* The first character, as it is or escaped, into out[DccMaxEscaped]; returns the bytes of text that it took. */
static inline int escape_char(const char *text, char *out)
{
	int n;
	int32_t ch = decode_char(text, &n);
	if (is_shown(ch)) {
		memcpy(out, text, (size_t)n);
		out[n] = 0;
		return n;
	}
	uint32_t code = (ch < 0 ? (unsigned char)*text : (uint32_t)ch) & 0xfffff;
	int digits = code < 0x100 ? 2 : code < 0x10000 ? 4 : 5;
	*out++ = '\\';
	*out++ = digits == 2 ? 'x' : 'u';
	for (int d = digits; d--;)
		*out++ = "0123456789abcdef"[code >> 4 * d & 15];
	*out = 0;
	return n;
}

#endif
