/* import.h - for tests of the ONNX importer: small models made by hand go through it from a temporary folder. */
#ifndef DCC_TEST_IMPORT_H
#define DCC_TEST_IMPORT_H

#include "onnx_build.h"
#include "test.h"

static UNUSED char dir[] = "/tmp/dcc-import-XXXXXX";

static const char *file_in(Arena *a, const char *name)
{
	return arena_printf(a, "%s/%s", dir, name);
}

static UNUSED Module *load_built(Builder *b, const LoadOptions *opt, char **said)
{
	const char *path = file_in(b->arena, "m.onnx");
	write_built(b, path);
	return try_load_model(path, opt, said);
}

static UNUSED Module *must_load(Builder *b, const LoadOptions *opt, int line)
{
	char *said;
	Module *m = load_built(b, opt, &said);
	const char *wrong = m ? verify_module(m) : NULL;
	if (!m || wrong)
		fprintf(stderr, "%s:%d: %s%s\n", __FILE__, line, said ? said : "", wrong ? wrong : "");
	CHECK(m && !wrong);
	free(said);
	return m;
}

/* The load fails and says each of the texts (NULL ends the list). */
static UNUSED void must_fail(Builder *b, const LoadOptions *opt, int line, ...)
{
	char *said;
	Module *m = load_built(b, opt, &said);
	va_list texts;
	va_start(texts, line);
	for (const char *t; (t = va_arg(texts, const char *));) {
		bool there = said && strstr(said, t);
		CHECK(!m && there);
		if (!there)
			fprintf(stderr, "%s:%d: expected \"%s\", got \"%s\"\n", __FILE__, line, t, said ? said : "");
	}
	va_end(texts);
	free_module(m);
	free(said);
}

static UNUSED int count_ops(const Module *m, Op op)
{
	int n = 0;
	for (const Node *at = m->main->body.first; at; at = at->next)
		n += op == NOps || at->op == op;
	return n;
}

static UNUSED char *result_text(Module *m, int i)
{
	return type_text(m, &m->main->body.yields[i]->type);
}

static UNUSED double element(const Tensor *t, int i)
{
	const Scalar s = scalar_at(t->dtype, t->data, i);
	return is_among(t->dtype, TypesFlt) ? s.f : (double)s.i;
}

static UNUSED bool begin_imports(void)
{
	return mkdtemp(dir);
}

/* Removes the folder. */
static UNUSED int end_imports(const char *name)
{
	Arena *a = new_arena();
	unlink(file_in(a, "m.onnx"));
	free_arena(a);
	rmdir(dir);
	return test_end(name);
}

#endif
