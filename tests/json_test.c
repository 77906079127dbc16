/* json_test.c - JSON out of files: what it says, and where it is wrong. */
#include "../ir/json.h"
#include "test.h"

#include <stdlib.h>
#include <unistd.h>

static char path[] = "/tmp/json_testXXXXXX";

static void write_file(const char *bytes, size_t n)
{
	FILE *f = fopen(path, "w");
	fwrite(bytes, 1, n, f);
	fclose(f);
}

/* The first line of the complaint behind the path, or "". */
static const char *error_of(const char *bytes, size_t n)
{
	static char message[256];
	char *out = NULL;
	size_t size = 0;
	jmp_buf recover;
	Arena *arena = new_arena();

	write_file(bytes, n);
	diag_stream = open_memstream(&out, &size);
	diag_recover = &recover;
	if (!setjmp(recover))
		read_json(arena, path);
	diag_recover = NULL;
	fclose(diag_stream);
	diag_stream = NULL;
	const char *from = *out ? out + strlen(path) : out;
	snprintf(message, sizeof message, "%.*s", (int)strcspn(from, "\n"), from);
	free(out);
	free_arena(arena);
	diag_reset();
	return message;
}

static void test_values(void)
{
	Arena *arena = new_arena();
	static const char text[] = " {\"a\": [1, -2.5e+1, true, false, null, {}],\n\"s\": \"\\u0041\\n\\\"\\u00e9\\ud83d\\ude00\\ud83d\\u0000x\", \"a\": 3, \"n\": 0} ";

	write_file(text, sizeof text - 1);
	const Json *v = read_json(arena, path), *a = json_member(v, "a", JsonArray);
	CHECK_EQ(v->n, 4);
	CHECK_EQ(a->n, 6);
	CHECK(a->items[0]->number == 1 && a->items[1]->number == -25);
	CHECK(a->items[2]->kind == JsonBool && a->items[2]->number == 1 && a->items[3]->number == 0);
	CHECK(a->items[4]->kind == JsonNull && a->items[5]->kind == JsonObject && a->items[5]->n == 0);
	CHECK_STR(json_member(v, "s", JsonString)->text, "A\n\"\xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbd\xef\xbf\xbdx");
	CHECK(!json_member(v, "a", JsonNumber) && !json_member(v, "b", JsonNumber) && !json_member(a, "a", JsonNumber));
	free_arena(arena);
}

static void test_errors(void)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{"", ":1:1: error: JSON: a value expected"},
		{"{\"a\": 1,\n}", ":2:1: error: JSON: a key expected"},
		{"[1,]", ":1:4: error: JSON: a value expected"},
		{"[1 2]", ":1:4: error: JSON: ',' or ']' expected"},
		{"{\"a\" 1}", ":1:6: error: JSON: ':' expected"},
		{"{\"a\": 1", ":1:8: error: JSON: ',' or '}' expected"},
		{"01", ":1:2: error: JSON: the end of the file expected"},
		{"1.", ":1:3: error: JSON: a digit behind the point expected"},
		{"1e+", ":1:4: error: JSON: an exponent expected"},
		{"-", ":1:2: error: JSON: a value expected"},
		{"\"a", ":1:3: error: JSON: the end of a string expected"},
		{"\"a\\", ":1:4: error: JSON: an escape expected"},
		{"\"\\u12g4\"", ":1:6: error: JSON: a hexadecimal digit expected"},
		{"\"\\x\"", ":1:3: error: JSON: an escape expected"},
		{"nul", ":1:1: error: JSON: a value expected"},
		{"[] x", ":1:4: error: JSON: the end of the file expected"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		CHECK_STR(error_of(cases[i].text, strlen(cases[i].text)), cases[i].error);
	CHECK_STR(error_of("[1]", 4), ":1:4: error: JSON: the end of the file expected");
	char deep[200];
	memset(deep, '[', sizeof deep);
	CHECK_STR(error_of(deep, sizeof deep), ":1:66: error: JSON: less nesting expected");
	unlink(path);
	jmp_buf recover;
	FILE *nowhere = fopen("/dev/null", "w");
	diag_stream = nowhere;
	diag_recover = &recover;
	bool ended = false;
	Arena *arena = new_arena();
	if (!setjmp(recover))
		read_json(arena, path);
	else
		ended = true;
	diag_recover = NULL;
	diag_stream = NULL;
	fclose(nowhere);
	free_arena(arena);
	CHECK(ended);
}

int main(void)
{
	close(mkstemp(path));
	test_values();
	test_errors();
	return test_end("json_test");
}
