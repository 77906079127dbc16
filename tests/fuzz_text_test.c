/* fuzz_text_test.c - damaged IR text must be refused with a message, never crash; what is accepted must round-trip, and can
 * be drawn.
 *
 * usage: fuzz_text_test [iterations [seed]]
 */
#include "../ir/loop.h"
#include "test.h"

#include <stdlib.h>

static const char seed_tensor[] = "dcc-ir 1 stage fuse\n"
				  "model net #0123456789abcdef\n"
				  "sym batch in 0..2147483647\n"
				  "sym seq in 1..1024\n"
				  "const @w: f32[2, 4] = [0.1, -0, inf, nan, 0xffc00001, 1e-45, 3, 4]\n"
				  "const @h: u8[4] = hex \"00ff10ab\"\n"
				  "const @i: i64[2] = [1, -1]\n"
				  "check seq == (seq + 15)/16*16 loc \"check\" Add-13\n"
				  "func @main(%x: f32[batch, seq, 2], %\"in put\": bool[batch, seq, 4]) -> (y: "
                                  "f32[batch, seq, 4], \"z/0\": i64[2]) {\n"
				  "  %0: f32[batch, seq, 4] = linear %x, @w, _ loc \"/layers.0/MatMul\" MatMul-17\n"
				  "  %act: f32[batch, seq, 4] = group {\n"
				  "    %1: f32[batch, seq, 4] = clip %0 {hi=6, lo=-0.5}\n"
				  "    %2: f32[batch, seq, 4] = where %\"in put\", %1, %0\n"
				  "    yield %2\n"
				  "  } loc _ Where-16\n"
				  "  %3: f32[batch, seq, 2] = glu %act {act=sigmoid, axis=2, gate=first}\n"
				  "  %4: f32[batch*seq, 2] = reshape %3\n"
				  "  %5: f32[seq, 2, batch] = transpose %x {perm=[1, 2, 0]}\n"
				  "  %6: i64[2] = dims {values=[seq%3, min(batch, seq)]}\n"
				  "  %7: f32[batch, seq, 4] = concat %x, %3 {axis=2}\n"
				  "  %8: f32[seq], %9: i64[2] = custom %3, @i {symbol=\"f\"}\n"
				  "  return %7, %9\n"
				  "}\n";

static const char seed_loops[] =
	"dcc-ir 1 stage lower\n"
	"model net #0123456789abcdef\n"
	"sym seq in 0..2147483647\n"
	"const @w: f32[2, 2] = [1, 2, 3, 4]\n"
	"func @main(%x: f32[seq, 2]) -> (y: f32[seq, 2]) {\n"
	"  %0: f32[2, 2] = neg @w\n"
	"  %1: f32[seq, 2] = linear %x, %0, _\n"
	"  return %1\n"
	"}\n"
	"loops {\n"
	"  bind %seq = indim(0, 0)\n"
	"  check outdim(0, 0) == %seq else 3 \"got {}\" (outdim(0, 0))\n"
	"  out 0 [%seq, 2]\n"
	"  workspace %seq * 64 + (%threads - 1) / 2 % 7\n"
	"  message 0 \"bad index {}\"\n"
	"  weights 64 {\n"
	"    0: %0\n"
	"  }\n"
	"}\n"
	"kernel @leaf.avx2 target avx2 noinline(%x: f32 buf, %y: mut f32 buf, %n) loc \"/a\" Add-13 {\n"
	"  tile %acc: f32<16>[2, 3]\n"
	"  unroll for %i in 0..6 {\n"
	"    set %acc[%i / 3, %i % 3] = f32<16>(-0.5)\n"
	"  }\n"
	"  for %k in 1 .. %n - 1 step 16 {\n"
	"    let %m = convert(i32<16>, iota(i64<16>)) < splat(convert(i32, %n - %k))\n"
	"    let %v = %x[%k * (%n + %k) +: 16 stride %n mask %m]\n"
	"    set %acc[0, 1] = fma(%v, %acc[0, 0], %acc[1, 2])\n"
	"    store %y[%k +: 16 mask %m] = select(%m, %v, f32<16>(nan))\n"
	"    prefetch %x[%k + 64]\n"
	"  }\n"
	"  if %n < 3 & not(%n == 1) {\n"
	"    store %y[%n] = hadd(%acc[0, 1]) - (%x[%n] - f32(2))\n"
	"  } else {\n"
	"    fail 0, max(%n, 1, 2)\n"
	"  }\n"
	"}\n"
	"kernel @custom(%x: f32 buf, %y: mut f32 buf, %n) loc \"/c\" C-1 {\n"
	"  extern f(%x[%n]: f32[%n, 2], %y: f32[]) -> (%y[%n * 2]: f32[2, %n]) else 0\n"
	"}\n"
	"kernel @caller.avx2 target avx2(%x: f32 buf, %y: mut f32 buf, %n) {\n"
	"  local %t: f32[64]\n"
	"  parallel for %i in 0..%n {\n"
	"    call @leaf.avx2(%x[%i * 4 ..+ %n], %t, %n)\n"
	"    call @leaf.avx2(%t, %y[%i ..], %n * %i)\n"
	"  }\n"
	"}\n"
	"program @main.avx2 target avx2(%in0: f32 buf, %out0: mut f32 buf, %ws: mut u8 buf, %weights: u8 buf, %seq) {\n"
	"  let %a = %seq * 16\n"
	"  step {\n"
	"    call @caller.avx2(%weights[0 ..+ 4] as f32, %ws[%a ..] as f32, %seq)\n"
	"  }\n"
	"  step {\n"
	"    call @caller.avx2(%in0, %out0, %seq)\n"
	"    call @custom(%in0, %out0, %seq)\n"
	"  }\n"
	"}\n";

static uint64_t state;

static uint32_t next_random(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)((state >> 16) % below);
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The word or single character at or around `at`. */
static size_t token_at(const char *text, size_t n, size_t *at)
{
	size_t end = *at;
	if (!is_word(text[end]))
		return 1;
	while (*at > 0 && is_word(text[*at - 1]))
		--*at;
	while (end < n && is_word(text[end]))
		end++;
	return end - *at;
}

static size_t replace(char *text, size_t n, size_t cap, size_t at, size_t len, const char *by, size_t bylen)
{
	if (n - len + bylen >= cap)
		return n;
	memmove(text + at + bylen, text + at + len, n - at - len);
	memcpy(text + at, by, bylen);
	return n - len + bylen;
}

/* A token becomes another one of the text: what gets past the grammar and meets the rules. */
static size_t swap_token(char *text, size_t n, size_t cap)
{
	char by[64];
	size_t from = next_random((uint32_t)n), to = next_random((uint32_t)n);
	size_t bylen = token_at(text, n, &from), len = token_at(text, n, &to);
	if (bylen > sizeof by)
		return n;
	memcpy(by, text + from, bylen);
	return replace(text, n, cap, to, len, by, bylen);
}

static size_t random_number(char *text, size_t n, size_t cap)
{
	static const char *const numbers[] = {"0",
	                                      "1",
	                                      "2",
	                                      "3",
	                                      "16",
	                                      "63",
	                                      "64",
	                                      "1000000",
	                                      "2147483647",
	                                      "4294967296",
	                                      "9223372036854775807",
	                                      "9223372036854775808",
	                                      "0x7f800001",
	                                      "1e400"};
	size_t at = next_random((uint32_t)n);
	while (at < n && (text[at] < '0' || text[at] > '9'))
		at++;
	if (at >= n)
		return n;
	const char *by = numbers[next_random(sizeof numbers / sizeof *numbers)];
	size_t len = token_at(text, n, &at);
	return replace(text, n, cap, at, len, by, strlen(by));
}

static size_t damage_bytes(char *text, size_t n, size_t cap)
{
	static const char likely[] = "%@#{}[]()<>=+-*/.,:;\"\\0123456789abefilnorst_ \n";
	size_t at = next_random((uint32_t)n), span = 1 + next_random(20);
	char copy[20];
	if (at + span > n)
		return n;
	switch (next_random(4)) {
	case 0: text[at] = (char)(1 + next_random(255)); return n;
	case 1: text[at] = likely[next_random(sizeof likely - 1)]; return n;
	case 2: return replace(text, n, cap, at, span, "", 0);
	default: memcpy(copy, text + at, span); return replace(text, n, cap, at, 0, copy, span);
	}
}

/* One to three edits. */
static void damage(char *text, size_t n, size_t cap)
{
	for (uint32_t edits = 1 + next_random(3); edits && n > 40; edits--) {
		uint32_t how = next_random(10);
		n = how < 2   ? damage_bytes(text, n, cap)
		    : how < 5 ? random_number(text, n, cap)
		              : swap_token(text, n, cap);
	}
	text[n] = 0;
}

static FILE *nowhere; /* what is drawn goes there */

/* Parses; returns the text of what was understood, NULL if it was refused. */
static char *try_parse(const char *text, FILE *log)
{
	jmp_buf recover;
	char *volatile again = NULL;
	diag_stream = log;
	diag_recover = &recover;
	if (!setjmp(recover)) {
		Module *m = parse_module("fuzz.ir", text);
		again = module_text(m);
		print_dot(nowhere, m);
		free(explorer_graph(m));
		free_module(m);
	}
	diag_recover = NULL;
	diag_stream = NULL;
	return again;
}

static void run_one(const char *seed, size_t size, FILE *log)
{
	enum { Cap = 8192 };
	static char text[Cap];
	memcpy(text, seed, size);
	damage(text, size - 1, Cap);
	char *first = try_parse(text, log);
	if (!first)
		return;
	char *second = try_parse(first, log);
	CHECK_STR(second, first);
	free(first);
	free(second);
}

int main(int argc, char **argv)
{
	long iterations = argc > 1 ? atol(argv[1]) : 2000;
	state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	state = state * 0x9e3779b97f4a7c15u + 1;
	FILE *log = nowhere = fopen("/dev/null", "w");
	const char *seeds[] = {seed_tensor, seed_loops};
	const size_t sizes[] = {sizeof seed_tensor, sizeof seed_loops};
	for (int i = 0; i < 2; i++) {
		char *text = try_parse(seeds[i], NULL);
		CHECK(text != NULL);
		free(text);
	}
	for (long i = 0; i < iterations; i++)
		run_one(seeds[i % 2], sizes[i % 2], log);
	fclose(log);
	return test_end("fuzz_text");
}
