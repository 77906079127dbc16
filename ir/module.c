/* module.c - modules, their parameters and constants. */
#include "graph.h"

#include <string.h>

Module *new_module(const char *name, const char *path)
{
	Arena *arena = new_arena();
	Module *m = arena_alloc(arena, sizeof *m);
	m->arena = arena;
	m->name = arena_strdup(arena, name);
	m->path = path ? arena_strdup(arena, path) : NULL;
	m->stage = "import";
	m->const_names = new_names(m, "c");
	m->param_names = new_names(m, "arg");
	m->main = arena_alloc(arena, sizeof *m->main);
	m->main->name = "main";
	return m;
}

void free_module(Module *m)
{
	if (m)
		free_arena(m->arena);
}

const Loc *new_loc(Module *m, Loc loc)
{
	Loc *l = arena_alloc(m->arena, sizeof *l);
	*l = loc;
	return l;
}

Value *new_param(Module *m, const char *name, Type type)
{
	Value *v = append_value(m, &m->main->params, &m->main->nparam, type);
	v->name = unique_name(m, m->param_names, name);
	return v;
}

Const *new_const(Module *m, const char *name, Type type, const void *data, size_t bytes)
{
	Const *c = arena_alloc(m->arena, sizeof *c);
	*c = (Const){.name = unique_name(m, m->const_names, name), .type = type, .data = data, .bytes = bytes};
	c->value = arena_alloc(m->arena, sizeof *c->value);
	c->value->type = type;
	c->value->konst = c;
	c->value->konst_expr = true;
	m->const_bytes += (int64_t)bytes;
	PUSH(m->arena, m->consts, m->nconst, m->capconst, c);
	return c;
}

Const *const_i64(Module *m, int n, const int64_t *values)
{
	size_t bytes = (size_t)n * sizeof *values;
	int64_t *data = arena_alloc(m->arena, bytes);
	if (n)
		memcpy(data, values, bytes);
	return new_const(m, NULL, (Type){I64, 1, {dim_const(m, n)}}, data, bytes);
}

Const *const_scalar(Module *m, Scalar s)
{
	size_t bytes = (size_t)dtypes[s.dtype].bytes;
	void *data = arena_alloc(m->arena, bytes);
	put_scalar(data, s);
	return new_const(m, NULL, (Type){s.dtype, 0, {NULL}}, data, bytes);
}

enum { MaxSplat = 64 };

bool value_as_scalar(const Value *v, Scalar *s)
{
	const Const *c = v->konst;
	if (!c)
		return false;
	size_t step = (size_t)dtypes[c->type.dtype].bytes;
	int64_t n = const_numel(&c->type);
	if (n < 1 || n > MaxSplat || c->bytes < (size_t)n * step)
		return false;
	for (int64_t i = 1; i < n; i++)
		if (memcmp(c->data, (const char *)c->data + (size_t)i * step, step))
			return false;
	*s = scalar_at(c->type.dtype, c->data, 0);
	return true;
}

bool value_as_real(const Value *v, double *x)
{
	Scalar s;
	return value_as_scalar(v, &s) && scalar_as_real(s, x);
}
