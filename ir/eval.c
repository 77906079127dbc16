/* eval.c - runs the tensor IR: binds symbols, walks nodes in order, frees each tensor after its last use.
 *
 * Values live in a hash table of slots, so that an evaluation may run inside any pass without touching its scratch.
 * A slot counts the uses that are still to come; parameters and constants alias the caller's memory or the module's,
 * unless that is not aligned to the element.  What nodes mean is in eval_ops.c,
 * eval_contract.c and eval_move.c.
 */
#include "eval.h"

#include <stdlib.h>
#include <string.h>

#define MaxTensorBytes (INT64_C(1) << 32) /* refuses sizes that only a hostile text asks for */
enum { MaxBodyDepth = 64 };

typedef struct Slot {
	const Value *value; /* NULL: free */
	Tensor tensor;
	bool filled, owned;
	int64_t uses; /* to come */
} Slot;

typedef struct Env {
	Module *m;
	int64_t *syms; /* values of the symbols; NULL: constants only */
	bool *measured; /* symbols that have got their value while the function runs */
	Slot *slots;
	size_t nslot, capslot; /* capacity is a power of two */
	void (*visit)(void *, Value *, const Tensor *);
	void *ctx;
} Env;

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

static int64_t tensor_bytes(const Tensor *t)
{
	return tensor_numel(t) * dtypes[t->dtype].bytes;
}

bool eval_dim(const int64_t *syms, const Dim *d, int64_t *value)
{
	return syms ? dim_eval(d, syms, value) : dim_is_const(d, value);
}

/* Fills in dtype, rank and dims; refuses negative dims and sizes beyond MaxTensorBytes. */
static const char *eval_type(Env *env, const Type *type, Tensor *t)
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

static bool alloc_data(Tensor *t)
{
	size_t bytes = (size_t)tensor_bytes(t);
	t->data = calloc(bytes ? bytes : 1, 1);
	return t->data;
}

static const char *copy_tensor(Env *env, const Tensor *from, Tensor *to)
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

static Slot *find_slot(Env *env, const Value *v)
{
	if (!env->capslot)
		return NULL;
	Slot *s = probe(env, v);
	return s->value ? s : NULL;
}

/* The slot of v, made if need be; NULL: out of memory.  Invalidates other slot pointers. */
static Slot *make_slot(Env *env, const Value *v)
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

static void empty_slot(Slot *s)
{
	if (s->owned)
		free_tensor(&s->tensor);
	s->filled = s->owned = false;
	s->tensor.data = NULL;
}

static void free_env(Env *env)
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
static const char *fill_alias(Env *env, Slot *s, const Tensor *t)
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

static const char *use_value(Env *env, Value *v, const Tensor **t)
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

static void release_use(Env *env, const Value *v)
{
	Slot *s = v ? find_slot(env, v) : NULL;
	if (s && --s->uses <= 0)
		empty_slot(s);
}

/* ---- counting uses ---------------------------------------------------------------------------------------------- */

static bool count_use(Env *env, const Value *v)
{
	if (!v)
		return true;
	Slot *s = make_slot(env, v);
	if (s)
		s->uses++;
	return s;
}

static bool count_block(Env *env, const Block *b, int depth);

static bool count_node(Env *env, const Node *n, int depth)
{
	for (int i = 0; i < n->nin; i++)
		if (!count_use(env, n->in[i]))
			return false;
	if (depth >= MaxBodyDepth)
		return true;
	return (!n->body || count_block(env, n->body, depth + 1)) && (!n->other || count_block(env, n->other, depth + 1));
}

static bool count_block(Env *env, const Block *b, int depth)
{
	for (const Node *n = b->first; n; n = n->next)
		if (!count_node(env, n, depth))
			return false;
	for (int i = 0; i < b->nyield; i++)
		if (!count_use(env, b->yields[i]))
			return false;
	return true;
}

/* ---- running ---------------------------------------------------------------------------------------------------- */

static const char *where_text(Env *env, const Node *n)
{
	const char *op = ops[n->op].text;
	if (n->loc && n->loc->node)
		return arena_printf(env->m->arena, "%s (node '%s')", op, n->loc->node);
	if (n->loc && n->loc->line)
		return arena_printf(env->m->arena, "%s (line %d)", op, n->loc->line);
	return op;
}

const char *eval_fail(EvalNode *e, const char *fmt, ...)
{
	char text[512];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	Env env = {.m = e->m};
	return arena_printf(e->m->arena, "%s: %s", where_text(&env, e->n), text);
}

/* The operands' tensors; NULL for those that are absent. */
static const char *find_operands(Env *env, const Node *n, const Tensor **in)
{
	for (int i = 0; i < n->nin; i++) {
		const Tensor *t = NULL;
		in[i] = NULL;
		if (n->in[i])
			TRY(use_value(env, n->in[i], &t));
	}
	/* slots move while they are made: only now are their addresses final */
	for (int i = 0; i < n->nin; i++)
		if (n->in[i])
			in[i] = &find_slot(env, n->in[i])->tensor;
	return NULL;
}

/* The slot owns the tensor from now on, also when there is no memory for a slot. */
static const char *fill_slot(Env *env, const Value *v, Tensor t)
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

static const char *run_simple(Env *env, Node *n, const Tensor **in, Tensor *out)
{
	TRY(find_operands(env, n, in));
	EvalNode e = {.m = env->m, .n = n, .syms = env->syms, .in = in, .out = out};
	const char *wrong = eval_type(env, &n->out[0]->type, out);
	if (wrong)
		return eval_fail(&e, "%s", wrong);
	if (!alloc_data(out))
		return eval_fail(&e, "out of memory");
	wrong = eval_node(&e);
	for (int i = 0; i < e.ntemps; i++)
		free(e.temps[i]);
	return wrong;
}

static const char *run_block(Env *env, Block *b, int depth);

/* A copy of what `from` holds becomes the value of `to`. */
static const char *copy_value(Env *env, Value *from, const Value *to)
{
	const Tensor *t = NULL;
	Tensor copy = {0};
	TRY(use_value(env, from, &t));
	TRY(copy_tensor(env, t, &copy));
	return fill_slot(env, to, copy);
}

static const char *run_group(Env *env, Node *n, int depth)
{
	if (depth >= MaxBodyDepth)
		return arena_printf(env->m->arena, "groups are nested too deeply");
	if (!n->body || n->body->nyield != n->nout)
		return arena_printf(env->m->arena, "a group yields %d values for %d results",
		                    n->body ? n->body->nyield : 0, n->nout);
	TRY(run_block(env, n->body, depth + 1));
	for (int i = 0; i < n->nout; i++) {
		TRY(copy_value(env, n->body->yields[i], n->out[i]));
		release_use(env, n->body->yields[i]);
	}
	return NULL;
}

static const char *check_equal(Module *m, const DimCheck *c, const int64_t *syms)
{
	int64_t x, y;
	bool known = dim_eval(c->a, syms, &x) && dim_eval(c->b, syms, &y);
	if (known && x == y)
		return NULL;
	const char *node = c->loc && c->loc->node ? c->loc->node : "";
	if (!known)
		return arena_printf(m->arena, "dimensions %s and %s cannot be evaluated (node '%s')", dim_text(m, c->a),
		                    dim_text(m, c->b), node);
	return arena_printf(m->arena, "dimensions must be equal: %s is %lld and %s is %lld (node '%s')", dim_text(m, c->a),
	                    (long long)x, dim_text(m, c->b), (long long)y, node);
}

/* ---- control flow ------------------------------------------------------------------------------------------------- */

/* Gives up the uses that count_block counted. */
static void release_block(Env *env, const Block *b)
{
	for (const Node *n = b->first; n; n = n->next) {
		for (int i = 0; i < n->nin; i++)
			release_use(env, n->in[i]);
		if (n->body)
			release_block(env, n->body);
		if (n->other)
			release_block(env, n->other);
	}
	for (int i = 0; i < b->nyield; i++)
		release_use(env, b->yields[i]);
}

static const char *need_syms(Env *env, const Node *n)
{
	return env->syms ? NULL : arena_printf(env->m->arena, "%s is no constant", where_text(env, n));
}

static bool has_value(const Env *env, const Dim *d)
{
	for (int i = 0; i < env->m->nsym; i++)
		if (!is_given(env->m->syms[i]) && !env->measured[i] && dim_uses_sym(d, env->m->syms[i]))
			return false;
	return true;
}

/* The checks of a block that waited for symbol s. */
static const char *check_measured(Env *env, const Block *b, const Sym *s)
{
	for (int i = 0; i < b->ncheck; i++) {
		const DimCheck *c = &b->checks[i];
		if ((dim_uses_sym(c->a, s) || dim_uses_sym(c->b, s)) && has_value(env, c->a) && has_value(env, c->b))
			TRY(check_equal(env->m, c, env->syms));
	}
	return NULL;
}

/* The checks of a body that runs now, but those that wait for symbols which it defines itself. */
static const char *enter_block(Env *env, const Block *b)
{
	for (int i = 0; i < env->m->nsym; i++)
		if (env->m->syms[i]->def && env->m->syms[i]->def->block == b)
			env->measured[i] = false;
	for (int i = 0; i < b->ncheck; i++)
		if (has_value(env, b->checks[i].a) && has_value(env, b->checks[i].b))
			TRY(check_equal(env->m, &b->checks[i], env->syms));
	return NULL;
}

static const char *assign_sym(Env *env, const Node *n, const Sym *s, int64_t value)
{
	int64_t most = 0;
	TRY(need_syms(env, n));
	if (value < s->lo || value > s->hi)
		return arena_printf(env->m->arena, "%s: %s = %lld is outside %lld..%lld", where_text(env, n), s->name,
		                    (long long)value, (long long)s->lo, (long long)s->hi);
	if (s->most && (!dim_eval(s->most, env->syms, &most) || value > most))
		return arena_printf(env->m->arena, "%s: %s = %lld is above %s = %lld", where_text(env, n), s->name, (long long)value,
		                    dim_text(env->m, s->most), (long long)most);
	env->syms[s->index] = value;
	env->measured[s->index] = true;
	return NULL;
}

/* A symbol gets its value. */
static const char *set_sym(Env *env, const Node *n, const Sym *s, int64_t value)
{
	TRY(assign_sym(env, n, s, value));
	return check_measured(env, n->block, s);
}

static const char *read_int(Env *env, Value *v, int64_t *value)
{
	const Tensor *t = NULL;
	TRY(use_value(env, v, &t));
	if (tensor_numel(t) != 1)
		return arena_printf(env->m->arena, "a value that decides has %lld elements", (long long)tensor_numel(t));
	load_ints(value, t, 0, 1, 1);
	return NULL;
}

static const char *run_measure(Env *env, Node *n)
{
	int64_t value = 0;
	TRY(read_int(env, n->in[0], &value));
	TRY(set_sym(env, n, find_sym(env->m, attr_text(n, Attr_sym)), value));
	return copy_value(env, n->in[0], n->out[0]);
}

/* Behind an if or a loop. */
static const char *check_sizes(Env *env, const Node *n)
{
	const Dim *const *sizes;
	int count = node_sizes(n, &sizes);
	for (int i = 0; i < count; i++)
		TRY(check_measured(env, n->block, dim_as_sym(sizes[3 * i])));
	return NULL;
}

/* The symbols of n's sizes get their values of the given number, all at once. */
static const char *set_sizes(Env *env, const Node *n, int which)
{
	const Dim *const *sizes;
	int count = node_sizes(n, &sizes);
	int64_t *values = arena_alloc(env->m->arena, (size_t)count * sizeof *values);
	if (count)
		TRY(need_syms(env, n));
	for (int i = 0; i < count; i++)
		if (!dim_eval(sizes[3 * i + which], env->syms, &values[i]))
			return arena_printf(env->m->arena, "%s: %s cannot be evaluated", where_text(env, n),
			                    dim_text(env->m, sizes[3 * i + which]));
	for (int i = 0; i < count; i++)
		TRY(assign_sym(env, n, dim_as_sym(sizes[3 * i]), values[i]));
	return NULL;
}

static const char *run_if(Env *env, Node *n, int depth)
{
	int64_t cond = 0;
	if (depth >= MaxBodyDepth)
		return arena_printf(env->m->arena, "bodies are nested too deeply");
	TRY(read_int(env, n->in[0], &cond));
	Block *taken = cond ? n->body : n->other;
	TRY(enter_block(env, taken));
	TRY(run_block(env, taken, depth + 1));
	TRY(set_sizes(env, n, cond ? 1 : 2));
	TRY(check_sizes(env, n));
	for (int i = 0; i < n->nout; i++) {
		TRY(copy_value(env, taken->yields[i], n->out[i]));
		release_use(env, taken->yields[i]);
	}
	release_block(env, cond ? n->other : n->body);
	return NULL;
}

typedef struct LoopRun {
	Node *n;
	int cond, carried, slices;
	int64_t trips, done; /* at most; so far */
	Tensor *stack; /* one per slice output, of `room` slices */
	int64_t room;
} LoopRun;

/* Slice number r->done of each stacked result. */
static const char *store_slices(Env *env, LoopRun *r)
{
	for (int i = 0; i < r->slices; i++) {
		const Tensor *t = NULL;
		Tensor *all = &r->stack[i];
		TRY(use_value(env, r->n->body->yields[r->cond + r->carried + i], &t));
		size_t bytes = (size_t)tensor_bytes(t);
		if (!r->done)
			*all = *t, all->data = NULL;
		if (all->dtype != t->dtype || all->rank != t->rank || memcmp(all->dims, t->dims, t->rank * sizeof *t->dims))
			return arena_printf(env->m->arena, "%s: slices of different dims", where_text(env, r->n));
		if (r->done + 1 > MaxTensorBytes / (int64_t)(bytes + 1))
			return arena_printf(env->m->arena, "%s: the stacked result is too large", where_text(env, r->n));
		void *data = realloc(all->data, bytes * (size_t)(r->done + 1) + 1);
		if (!data)
			return arena_printf(env->m->arena, "out of memory");
		all->data = data;
		memcpy((char *)data + bytes * (size_t)r->done, t->data, bytes);
	}
	return NULL;
}

/* One iteration; the next values of the carried ones are read before any is replaced. */
static const char *run_iteration(Env *env, LoopRun *r, int64_t *go, int depth)
{
	Block *b = r->n->body;
	Tensor *next = arena_alloc(env->m->arena, (size_t)(r->carried + 1) * sizeof *next);
	const Sym *count = r->cond ? find_sym(env->m, attr_text(r->n, Attr_count)) : NULL;
	if (count && r->done >= count->hi) /* one more is too many */
		TRY(assign_sym(env, r->n, count, r->done + 1));
	TRY(assign_sym(env, r->n, find_sym(env->m, attr_text(r->n, Attr_counter)), r->done));
	TRY(enter_block(env, b));
	if (!count_block(env, b, depth + 1))
		return arena_printf(env->m->arena, "out of memory");
	for (int i = 0; i < b->nparam; i++)
		find_slot(env, b->params[i])->uses++; /* they live as long as the iteration */
	TRY(run_block(env, b, depth + 1));
	if (r->cond)
		TRY(read_int(env, b->yields[0], go));
	TRY(store_slices(env, r));
	for (int i = 0; i < r->carried; i++) {
		const Tensor *t = NULL;
		TRY(use_value(env, b->yields[r->cond + i], &t));
		TRY(copy_tensor(env, t, &next[i]));
	}
	for (int i = 0; i < b->nyield; i++)
		release_use(env, b->yields[i]);
	TRY(set_sizes(env, r->n, 2));
	for (int i = 0; i < r->carried; i++)
		TRY(fill_slot(env, b->params[i], next[i]));
	for (int i = 0; i < b->nparam; i++)
		find_slot(env, b->params[i])->uses--;
	return NULL;
}

static const char *finish_loop(Env *env, LoopRun *r)
{
	Node *n = r->n;
	if (r->cond)
		TRY(set_sym(env, n, find_sym(env->m, attr_text(n, Attr_count)), r->done));
	TRY(check_sizes(env, n));
	for (int i = 0; i < r->carried; i++)
		TRY(copy_value(env, n->body->params[i], n->out[i]));
	for (int i = 0; i < r->slices; i++) {
		Tensor all;
		TRY(eval_type(env, &n->out[r->carried + i]->type, &all));
		if (!r->done && !alloc_data(&r->stack[i]))
			return arena_printf(env->m->arena, "out of memory");
		all.data = r->stack[i].data;
		r->stack[i].data = NULL;
		TRY(fill_slot(env, n->out[r->carried + i], all));
	}
	return NULL;
}

static const char *run_iterations(Env *env, LoopRun *r, int depth)
{
	Node *n = r->n;
	int64_t go = 1;
	TRY(need_syms(env, n));
	if (!dim_eval(attr_dim(env->m, n, Attr_trips), env->syms, &r->trips))
		return arena_printf(env->m->arena, "%s: the number of iterations cannot be evaluated", where_text(env, n));
	if (r->cond)
		TRY(read_int(env, n->in[0], &go));
	TRY(set_sizes(env, n, 1));
	for (int i = 0; i < r->carried; i++) {
		if (!make_slot(env, n->body->params[i]))
			return arena_printf(env->m->arena, "out of memory");
		TRY(copy_value(env, n->in[r->cond + i], n->body->params[i]));
	}
	for (; go && r->done < r->trips; r->done++)
		TRY(run_iteration(env, r, &go, depth));
	return finish_loop(env, r);
}

/* count_block has counted the body once before: that keeps the values around it alive until the end. */
static const char *run_loop(Env *env, Node *n, int depth)
{
	LoopRun r = {.n = n, .cond = loop_has_cond(n), .carried = loop_carried(n)};
	r.slices = n->nout - r.carried;
	if (depth >= MaxBodyDepth)
		return arena_printf(env->m->arena, "bodies are nested too deeply");
	r.stack = calloc((size_t)r.slices + 1, sizeof *r.stack);
	const char *wrong = r.stack ? run_iterations(env, &r, depth) : arena_printf(env->m->arena, "out of memory");
	for (int i = 0; i < r.slices && r.stack; i++)
		free(r.stack[i].data);
	free(r.stack);
	if (!wrong)
		release_block(env, n->body);
	for (int i = 0; i < n->body->nparam; i++) {
		Slot *s = find_slot(env, n->body->params[i]);
		if (s)
			empty_slot(s);
	}
	return wrong;
}

static const char *run_one(Env *env, Node *n)
{
	Tensor out = {0};
	const Tensor *few[MaxIn], **in = n->nin <= MaxIn ? few : malloc(n->nin * sizeof *in);
	const char *wrong = in ? run_simple(env, n, in, &out) : arena_printf(env->m->arena, "out of memory");
	if (in != few)
		free(in);
	if (wrong)
		free_tensor(&out);
	return wrong ? wrong : fill_slot(env, n->out[0], out);
}

const char *(*eval_custom)(Arena *, const char *symbol, const char *node, int nin, const Tensor *in, int nout, Tensor *out);

static const char *call_custom(Env *env, Node *n, const Tensor *in, Tensor *out)
{
	const char *symbol = attr_text(n, Attr_symbol);
	EvalNode e = {.m = env->m, .n = n};
	if (!eval_custom)
		return eval_fail(&e, "the function '%s' is not part of this program", symbol);
	for (int i = 0; i < n->nout; i++) {
		const char *wrong = eval_type(env, &n->out[i]->type, &out[i]);
		if (wrong || !alloc_data(&out[i]))
			return eval_fail(&e, "%s", wrong ? wrong : "out of memory");
	}
	const char *wrong = eval_custom(env->m->arena, symbol, n->loc ? n->loc->node : NULL, n->nin, in, n->nout, out);
	return wrong ? eval_fail(&e, "%s", wrong) : NULL;
}

static const char *run_custom(Env *env, Node *n)
{
	Arena *a = env->m->arena;
	const Tensor **from = arena_alloc(a, (size_t)n->nin * sizeof *from);
	Tensor *in = arena_alloc(a, (size_t)n->nin * sizeof *in), *out = arena_alloc(a, (size_t)n->nout * sizeof *out);
	TRY(find_operands(env, n, from));
	for (int i = 0; i < n->nin; i++)
		in[i] = *from[i];
	const char *wrong = call_custom(env, n, in, out);
	for (int i = 0; i < n->nout && wrong; i++)
		free_tensor(&out[i]);
	for (int i = 0; i < n->nout && !wrong; i++)
		wrong = fill_slot(env, n->out[i], out[i]);
	return wrong;
}

static const char *run_node(Env *env, Node *n, int depth)
{
	if (n->op == OpGroup)
		TRY(run_group(env, n, depth));
	else if (n->op == OpIf)
		TRY(run_if(env, n, depth));
	else if (n->op == OpLoop)
		TRY(run_loop(env, n, depth));
	else if (n->op == OpMeasure)
		TRY(run_measure(env, n));
	else if (n->op == OpCustom)
		TRY(run_custom(env, n));
	else
		TRY(run_one(env, n));
	for (int i = 0; i < n->nout; i++) {
		Slot *s = find_slot(env, n->out[i]);
		if (depth == 0 && env->visit)
			env->visit(env->ctx, n->out[i], &s->tensor);
		if (s->uses <= 0)
			empty_slot(s);
	}
	for (int i = 0; i < n->nin; i++)
		release_use(env, n->in[i]);
	return NULL;
}

static const char *run_block(Env *env, Block *b, int depth)
{
	for (Node *n = b->first; n; n = n->next)
		TRY(run_node(env, n, depth));
	return NULL;
}

/* Moves or copies a value's tensor into *out. */
static const char *take_value(Env *env, Value *v, Tensor *out)
{
	const Tensor *t = NULL;
	TRY(use_value(env, v, &t));
	Slot *s = find_slot(env, v);
	if (s->uses > 1 || !s->owned) {
		TRY(copy_tensor(env, t, out));
	} else {
		*out = s->tensor;
		s->owned = false;
	}
	release_use(env, v);
	return NULL;
}

/* ---- binding symbols -------------------------------------------------------------------------------------------- */

typedef struct Binding {
	Module *m;
	const Tensor *inputs;
	int64_t *values;
	bool *bound; /* by Sym.index */
} Binding;

static const char *param_text(Module *m, int i)
{
	const char *name = m->main->params[i]->name;
	return name ? arena_printf(m->arena, "input '%s'", name) : arena_printf(m->arena, "input %d", i);
}

static const char *check_input(Module *m, const Tensor *t, int i)
{
	const Type *type = &m->main->params[i]->type;
	if (t->dtype != type->dtype)
		return arena_printf(m->arena, "%s has type %s, expected %s", param_text(m, i),
		                    t->dtype < NDTypes ? dtypes[t->dtype].text : "?", dtypes[type->dtype].text);
	if (t->rank != type->rank)
		return arena_printf(m->arena, "%s has rank %d, expected %d: %s", param_text(m, i), t->rank, type->rank,
		                    type_text(m, type));
	for (int d = 0; d < t->rank; d++)
		if (t->dims[d] < 0 || t->dims[d] > DimMax)
			return arena_printf(m->arena, "%s: dimension %d is %lld, out of range", param_text(m, i), d,
			                    (long long)t->dims[d]);
	return NULL;
}

/* The data is there: check_input has looked. */
static int64_t source_value(const Binding *b, const DimSource *from)
{
	const Tensor *t = &b->inputs[from->input];
	int64_t value = 0, times;
	if (!from->data)
		return t->dims[from->axis];
	if (from->axis >= tensor_numel(t) || !t->data)
		return 0;
	if (from->times)
		return dim_eval(from->times, b->values, &times) ? tensor_scaled(t, from->axis, times) : -DimMax;
	value = tensor_int(t, from->axis);
	return value > DimMax ? DimMax : value < -DimMax ? -DimMax : value;
}

/* Wraps where no input of a legal size does; the dims are compared afterwards. */
static const char *bind_row(Binding *b, const SymBinding *row)
{
	int64_t rest, divisor, sum = 0;
	if (!dim_eval(row->rest, b->values, &rest) || !dim_eval(row->divisor, b->values, &divisor) || divisor < 1)
		return arena_printf(b->m->arena, "the value of symbol %s cannot be evaluated", row->sym->name);
	for (int i = 0; i < row->n; i++)
		sum = add_int(sum, mul_int(row->from[i].coef, source_value(b, &row->from[i])));
	sum = sub_int(sum, rest);
	b->values[row->sym->index] = floor_div(sum, divisor);
	b->bound[row->sym->index] = true;
	return NULL;
}

static const char *bind_planned(Binding *b)
{
	SymPlan plan = plan_symbols(b->m);
	if (plan.undecided)
		return arena_printf(b->m->arena, "no input decides the value of symbol %s", plan.undecided->name);
	for (int i = 0; i < b->m->nsym; i++)
		b->values[i] = b->m->syms[i]->lo; /* of those that a pass has left behind */
	for (int i = 0; i < plan.n; i++)
		TRY(bind_row(b, &plan.rows[i]));
	return NULL;
}

static const char *check_input_dims(const Binding *b, int i)
{
	Module *m = b->m;
	const Type *type = &m->main->params[i]->type;
	for (int d = 0; d < type->rank; d++) {
		int64_t want, got = b->inputs[i].dims[d];
		Sym *s = dim_as_sym(type->dims[d]);
		if (!dim_eval(type->dims[d], b->values, &want))
			return arena_printf(m->arena, "%s: dimension %d: %s cannot be evaluated", param_text(m, i), d,
			                    dim_text(m, type->dims[d]));
		if (want != got && dim_is_const(type->dims[d], NULL))
			return arena_printf(m->arena, "%s: dimension %d is %lld, expected %lld", param_text(m, i), d,
			                    (long long)got, (long long)want);
		if (want != got)
			return arena_printf(m->arena, "%s: dimension %d is %lld, expected %s = %lld", param_text(m, i),
			                    d, (long long)got, dim_text(m, type->dims[d]), (long long)want);
		if (s && (got < s->lo || got > s->hi))
			return arena_printf(m->arena, "%s: dimension %d: %s = %lld is outside %lld..%lld",
			                    param_text(m, i), d, s->name, (long long)got, (long long)s->lo,
			                    (long long)s->hi);
	}
	return NULL;
}

static const char *check_ranges(const Binding *b)
{
	for (int i = 0; i < b->m->nsym; i++) {
		const Sym *s = b->m->syms[i];
		if (b->bound[i] && (b->values[i] < s->lo || b->values[i] > s->hi))
			return arena_printf(b->m->arena, "%s = %lld is outside %lld..%lld", s->name,
			                    (long long)b->values[i], (long long)s->lo, (long long)s->hi);
	}
	return NULL;
}

static const char *check_equalities(const Binding *b)
{
	const Block *body = &b->m->main->body;
	for (int i = 0; i < body->ncheck; i++) {
		const DimCheck *c = &body->checks[i];
		if (!is_measured_dim(c->a) && !is_measured_dim(c->b)) /* else when those symbols have values */
			TRY(check_equal(b->m, c, b->values));
	}
	return NULL;
}

static const char *bind_all(Binding *b)
{
	const Func *f = b->m->main;
	for (int i = 0; i < f->nparam; i++)
		TRY(check_input(b->m, &b->inputs[i], i));
	TRY(bind_planned(b));
	for (int i = 0; i < f->nparam; i++)
		TRY(check_input_dims(b, i));
	TRY(check_ranges(b));
	return check_equalities(b);
}

const char *bind_syms(Module *m, const Tensor *inputs, int64_t *sym_values)
{
	Binding b = {.m = m, .inputs = inputs, .values = sym_values, .bound = calloc(m->nsym + 1, 1)};
	if (!b.bound)
		return arena_printf(m->arena, "out of memory");
	memset(sym_values, 0, m->nsym * sizeof *sym_values);
	const char *wrong = bind_all(&b);
	free(b.bound);
	return wrong;
}

/* ---- whole functions -------------------------------------------------------------------------------------------- */

static const char *run_main(Env *env, const Tensor *inputs, int64_t *syms, Tensor *outputs)
{
	Func *f = env->m->main;
	TRY(bind_syms(env->m, inputs, syms));
	env->syms = syms;
	if (!count_block(env, &f->body, 0))
		return arena_printf(env->m->arena, "out of memory");
	for (int i = 0; i < f->nparam; i++) {
		Tensor t;
		Slot *s = make_slot(env, f->params[i]);
		if (!s)
			return arena_printf(env->m->arena, "out of memory");
		TRY(eval_type(env, &f->params[i]->type, &t));
		t.data = inputs[i].data;
		if (!t.data && tensor_bytes(&t))
			return arena_printf(env->m->arena, "%s has no data", param_text(env->m, i));
		TRY(fill_alias(env, s, &t));
	}
	TRY(run_block(env, &f->body, 0));
	for (int i = 0; i < f->body.nyield; i++)
		TRY(take_value(env, f->body.yields[i], &outputs[i]));
	return NULL;
}

const char *eval_visit(Module *m, const Tensor *inputs, Tensor *outputs, void (*visit)(void *, Value *, const Tensor *),
                       void *ctx)
{
	Env env = {.m = m, .visit = visit, .ctx = ctx};
	int nout = m->main->body.nyield;
	int64_t *syms = calloc(m->nsym + 1, sizeof *syms);
	env.measured = calloc(m->nsym + 1, sizeof *env.measured);
	memset(outputs, 0, nout * sizeof *outputs);
	const char *wrong = syms && env.measured ? run_main(&env, inputs, syms, outputs) : arena_printf(m->arena, "out of memory");
	for (int i = 0; i < nout && wrong; i++)
		free_tensor(&outputs[i]);
	free_env(&env);
	free(syms);
	free(env.measured);
	return wrong;
}

const char *eval_module(Module *m, const Tensor *inputs, Tensor *outputs)
{
	return eval_visit(m, inputs, outputs, NULL, NULL);
}

/* ---- constant expressions --------------------------------------------------------------------------------------- */

typedef struct NodeList {
	Node **items;
	int64_t count, cap;
} NodeList;

static bool push_node(NodeList *l, Node *n)
{
	if (l->count == l->cap) {
		int64_t cap = l->cap ? 2 * l->cap : 64;
		Node **items = realloc(l->items, cap * sizeof *items);
		if (!items)
			return false;
		l->items = items;
		l->cap = cap;
	}
	l->items[l->count++] = n;
	return true;
}

/* The slot of a node's first result stands for the node. */
static bool is_listed(Env *env, const Node *n)
{
	Slot *s = find_slot(env, n->out[0]);
	return s && s->filled;
}

static bool push_operand(Env *env, NodeList *stack, const Value *v, const Node *within)
{
	Node *n = v ? v->def : NULL;
	if (!n || (n->block && n->block->owner == within && within) || is_listed(env, n))
		return true;
	return push_node(stack, n);
}

static bool push_operands(Env *env, NodeList *stack, const Node *n)
{
	for (int i = 0; i < n->nin; i++)
		if (!push_operand(env, stack, n->in[i], NULL))
			return false;
	if (n->op != OpGroup)
		return !n->body;
	for (const Node *inner = n->body->first; inner; inner = inner->next) {
		if (inner->body)
			return false;
		for (int i = 0; i < inner->nin; i++)
			if (!push_operand(env, stack, inner->in[i], n))
				return false;
	}
	for (int i = 0; i < n->body->nyield; i++)
		if (!push_operand(env, stack, n->body->yields[i], n))
			return false;
	return true;
}

/* Lists the nodes that `root` needs, operands first.  Uses Slot.filled as the mark and clears it at the end. */
static bool list_needed(Env *env, Node *root, NodeList *order)
{
	NodeList stack = {0};
	bool ok = push_node(&stack, root);
	while (ok && stack.count) {
		Node *top = stack.items[stack.count - 1];
		int64_t before = stack.count;
		if (!is_listed(env, top)) {
			ok = push_operands(env, &stack, top);
			if (!ok || stack.count > before)
				continue;
			Slot *s = make_slot(env, top->out[0]);
			ok = s && push_node(order, top);
			if (ok)
				s->filled = true;
		}
		stack.count--;
	}
	free(stack.items);
	for (size_t i = 0; i < env->capslot; i++)
		env->slots[i].filled = false;
	return ok;
}

static const char *run_needed(Env *env, const NodeList *order, Value *v, Tensor *out)
{
	bool ok = count_use(env, v);
	for (int64_t i = 0; i < order->count && ok; i++)
		ok = count_node(env, order->items[i], 0);
	if (!ok)
		return arena_printf(env->m->arena, "out of memory");
	for (int64_t i = 0; i < order->count; i++)
		TRY(run_node(env, order->items[i], 0));
	return take_value(env, v, out);
}

/* Constants may share long expressions that are evaluated anew for each: what all may take is bounded by what they are made of. */
static const char *charge(Module *m, const NodeList *order)
{
	enum { PerByte = 64, ForAll = 8 }; /* ForAll: gigabytes */
	double limit = (double)ForAll * (1 << 30) + (double)PerByte * (double)m->const_bytes;
	for (int64_t i = 0; i < order->count; i++)
		for (int k = 0; k < order->items[i]->nout; k++) {
			const Type *t = &order->items[i]->out[k]->type;
			m->evaluated += (double)const_numel(t) * dtypes[t->dtype].bytes;
		}
	if (m->evaluated > limit)
		return arena_printf(m->arena, "constant expressions take more than %d times the constants' bytes and %d GB", PerByte,
		                    ForAll);
	return NULL;
}

const char *eval_const(Module *m, Value *v, Tensor *out)
{
	Env env = {.m = m};
	NodeList order = {0};
	const char *wrong;
	memset(out, 0, sizeof *out);
	if (v->def && !list_needed(&env, v->def, &order))
		wrong = arena_printf(m->arena, "the constant expression cannot be ordered");
	else if (!(wrong = charge(m, &order)))
		wrong = run_needed(&env, &order, v, out);
	free(order.items);
	free_env(&env);
	return wrong;
}
