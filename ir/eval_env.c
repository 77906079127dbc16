/* eval_env.c - the values of a run of the evaluator: tensors, the slots that hold them, the uses that are still to come. */
#include "eval_env.h"

#include <stdlib.h>
#include <string.h>

/* ---- tensors ---------------------------------------------------------------------------------------------------- */

void free_tensor(Tensor *t)
{
	free(t->data);
	t->data = NULL;
}

int64_t tensor_numel(const Tensor *t)
{
	int64_t n = 1;
	for (int i = 0; i < t->rank; i++)
		n *= t->dims[i];
	return n;
}

int64_t tensor_bytes(const Tensor *t)
{
	return tensor_numel(t) * dtypes[t->dtype].bytes;
}

bool eval_dim(const int64_t *syms, const Dim *d, int64_t *value)
{
	return syms ? dim_eval(d, syms, value) : dim_is_const(d, value);
}

/* Fills in dtype, rank and dims; refuses negative dims and sizes beyond MaxTensorBytes. */
const char *eval_type(Env *env, const Type *type, Tensor *t)
{
	int64_t bytes = dtypes[type->dtype].bytes, nonzero = bytes;
	*t = (Tensor){.dtype = type->dtype, .rank = type->rank};
	for (int i = 0; i < type->rank; i++) {
		if (!eval_dim(env->syms, type->dims[i], &t->dims[i]))
			return arena_printf(env->m->arena, "dimension %s cannot be evaluated",
			                    dim_text(env->m, type->dims[i]));
		if (t->dims[i] < 0)
			return arena_printf(env->m->arena, "dimension %s is %lld, less than 0",
			                    dim_text(env->m, type->dims[i]), (long long)t->dims[i]);
		if (t->dims[i] > 0 && __builtin_mul_overflow(nonzero, t->dims[i], &nonzero))
			return arena_printf(env->m->arena, "%s is too large", type_text(env->m, type));
		bytes = nonzero;
	}
	if (bytes > MaxTensorBytes)
		return arena_printf(env->m->arena, "%s needs %lld bytes, too many", type_text(env->m, type),
		                    (long long)bytes);
	return NULL;
}

bool alloc_data(Tensor *t)
{
	size_t bytes = (size_t)tensor_bytes(t);
	t->data = calloc(bytes ? bytes : 1, 1);
	return t->data;
}

const char *copy_tensor(Env *env, const Tensor *from, Tensor *to)
{
	*to = *from;
	if (!alloc_data(to))
		return arena_printf(env->m->arena, "out of memory");
	if (tensor_bytes(from))
		memcpy(to->data, from->data, tensor_bytes(from));
	return NULL;
}

/* ---- slots ------------------------------------------------------------------------------------------------------ */

static Slot *probe(Env *env, const Value *v)
{
	size_t at = (size_t)(((uintptr_t)v >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 20) & (env->capslot - 1);
	while (env->slots[at].value && env->slots[at].value != v)
		at = (at + 1) & (env->capslot - 1);
	return &env->slots[at];
}

static bool grow_slots(Env *env)
{
	Env old = *env;
	env->capslot = old.capslot ? old.capslot * 2 : 256;
	env->slots = calloc(env->capslot, sizeof *env->slots);
	if (!env->slots) {
		*env = old;
		return false;
	}
	for (size_t i = 0; i < old.capslot; i++)
		if (old.slots[i].value)
			*probe(env, old.slots[i].value) = old.slots[i];
	free(old.slots);
	return true;
}

Slot *find_slot(Env *env, const Value *v)
{
	if (!env->capslot)
		return NULL;
	Slot *s = probe(env, v);
	return s->value ? s : NULL;
}

/* The slot of v, made if need be; NULL: out of memory.  Invalidates other slot pointers. */
Slot *make_slot(Env *env, const Value *v)
{
	if (env->nslot * 2 >= env->capslot && !grow_slots(env))
		return NULL;
	Slot *s = probe(env, v);
	if (!s->value) {
		s->value = v;
		env->nslot++;
	}
	return s;
}

void empty_slot(Slot *s)
{
	if (s->owned)
		free_tensor(&s->tensor);
	s->filled = s->owned = false;
	s->tensor.data = NULL;
}

void free_env(Env *env)
{
	for (size_t i = 0; i < env->capslot; i++)
		empty_slot(&env->slots[i]);
	free(env->slots);
}

static bool is_aligned(const void *p, DType dtype)
{
	return (uintptr_t)p % (uintptr_t)dtypes[dtype].bytes == 0;
}

/* Makes a tensor that somebody else owns the slot's value. */
const char *fill_alias(Env *env, Slot *s, const Tensor *t)
{
	s->filled = true;
	s->tensor = *t;
	if (is_aligned(t->data, t->dtype))
		return NULL;
	TRY(copy_tensor(env, t, &s->tensor));
	s->owned = true;
	return NULL;
}

static const char *fill_const(Env *env, Slot *s, const Const *c)
{
	Tensor t;
	TRY(eval_type(env, &c->type, &t));
	if ((uint64_t)tensor_bytes(&t) > c->bytes || (!c->data && tensor_bytes(&t)))
		return arena_printf(env->m->arena, "constant @%s is shorter than its type", c->name);
	t.data = (void *)c->data;
	return fill_alias(env, s, &t);
}

const char *use_value(Env *env, Value *v, const Tensor **t)
{
	Slot *s = make_slot(env, v);
	if (!s)
		return arena_printf(env->m->arena, "out of memory");
	if (!s->filled && v->konst)
		TRY(fill_const(env, s, v->konst));
	if (!s->filled)
		return arena_printf(env->m->arena, "a value is used before it is computed");
	*t = &s->tensor;
	return NULL;
}

void release_use(Env *env, const Value *v)
{
	Slot *s = v ? find_slot(env, v) : NULL;
	if (s && --s->uses <= 0)
		empty_slot(s);
}

/* The slot owns the tensor from now on, also when there is no memory for a slot. */
const char *fill_slot(Env *env, const Value *v, Tensor t)
{
	Slot *s = make_slot(env, v);
	if (!s) {
		free_tensor(&t);
		return arena_printf(env->m->arena, "out of memory");
	}
	empty_slot(s);
	s->tensor = t;
	s->filled = s->owned = true;
	return NULL;
}

/* ---- counting uses ---------------------------------------------------------------------------------------------- */

bool count_use(Env *env, const Value *v)
{
	if (!v)
		return true;
	Slot *s = make_slot(env, v);
	if (s)
		s->uses++;
	return s;
}

bool count_block(Env *env, const Block *b, int depth);

bool count_node(Env *env, const Node *n, int depth)
{
	for (int i = 0; i < n->nin; i++)
		if (!count_use(env, n->in[i]))
			return false;
	if (depth >= MaxBodyDepth)
		return true;
	return (!n->body || count_block(env, n->body, depth + 1)) && (!n->other || count_block(env, n->other, depth + 1));
}

bool count_block(Env *env, const Block *b, int depth)
{
	for (const Node *n = b->first; n; n = n->next)
		if (!count_node(env, n, depth))
			return false;
	for (int i = 0; i < b->nyield; i++)
		if (!count_use(env, b->yields[i]))
			return false;
	return true;
}
