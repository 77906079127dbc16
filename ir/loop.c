/* loop.c - building loop IR: modules, kernels, messages; loop_expr.c: expressions; loop_stmt.c: statements.
 *
 * Expressions are folded as they are built: integer constants, x+0, x*1, (x+c)+d and the like, so that schedules can
 * write general index arithmetic.  One-lane operands of a 16-lane operation are splat.  A type error is a schedule's:
 * bug().
 * finish_kernel() shares kernels of equal form (loop_form.c).
 */
#include "loop_build.h"

#include <string.h>

/* ---- modules and functions --------------------------------------------------------------------------------------- */

typedef struct KernelText {
	LForm form;
	LFunc *fn;
} KernelText;

typedef struct KernelName {
	LFunc *fn;
	int last; /* number of the last kernel that got this name with a number */
} KernelName;

LVar *new_lvar(Arena *arena, const char *name, LType type)
{
	LVar *v = arena_alloc(arena, sizeof *v);
	v->name = name;
	v->type = type;
	return v;
}

LModule *new_lmodule(Module *m)
{
	LModule *lm = arena_alloc(m->arena, sizeof *lm);
	lm->m = m;
	lm->nsym = m->nsym + 1;
	lm->syms = arena_alloc(m->arena, (size_t)lm->nsym * sizeof *lm->syms);
	for (int i = 0; i < m->nsym; i++)
		lm->syms[i] = new_lvar(m->arena, m->syms[i]->name, IndexType);
	lm->syms[m->nsym] = new_lvar(m->arena, "threads", IndexType);
	lm->bind = arena_alloc(m->arena, (size_t)lm->nsym * sizeof *lm->bind);
	lm->nout = m->main ? m->main->body.nyield : 0;
	lm->outdims = arena_alloc(m->arena, ((size_t)lm->nout * MaxRank + 1) * sizeof *lm->outdims);
	return lm;
}

LB builder_at(LModule *lm, LFunc *program, LBlock *at)
{
	return (LB){.m = lm->m, .arena = lm->m->arena, .lm = lm, .fn = program, .at = at};
}

LB new_kernel(LModule *lm, const char *name, const char *target)
{
	Module *m = lm->m;
	Arena *arena = new_inner_arena(m->arena);
	LFunc *fn = arena_alloc(arena, sizeof *fn);
	if (target) {
		const char *end = arena_printf(arena, ".%s", target);
		fn->name = arena_printf(arena, "%s%s", name, ends_with(name, end) ? "" : end);
		fn->target = arena_strdup(arena, target);
	} else {
		fn->name = arena_strdup(arena, name);
	}
	return (LB){.m = m, .arena = arena, .lm = lm, .fn = fn, .at = &fn->body};
}

static void add_param(LB *b, LArg param)
{
	PUSH(b->arena, b->fn->params, b->fn->nparam, b->fn->capparam, param);
}

LBuf *new_buf(LB *b, const char *name, DType elem, int64_t count, bool written)
{
	LBuf *buf = arena_alloc(b->arena, sizeof *buf);
	buf->name = name;
	buf->elem = elem;
	buf->count = count;
	buf->written = written;
	return buf;
}

LBuf *lparam_buf(LB *b, const char *name, DType elem, bool written)
{
	LBuf *buf = new_buf(b, arena_strdup(b->arena, name), elem, 0, written);
	add_param(b, (LArg){.buf = buf, .elem = elem});
	return buf;
}

LExpr *lparam(LB *b, const char *name)
{
	LExpr *e = ref_var(b, new_lvar(b->arena, arena_strdup(b->arena, name), IndexType));
	add_param(b, (LArg){.e = e, .elem = I64});
	return e;
}

static bool name_taken(const LB *b, const char *name)
{
	for (int i = 0; b->fn && i < b->fn->nparam; i++) {
		const LArg *p = &b->fn->params[i];
		if (!strcmp(p->buf ? p->buf->name : p->e->var->name, name))
			return true;
	}
	for (int i = 0; b->fn && b->fn->program && i < b->lm->nsym; i++)
		if (!strcmp(b->lm->syms[i]->name, name))
			return true;
	return false;
}

const char *fresh_name(LB *b, const char *prefix)
{
	char *name;
	do
		name = arena_printf(b->arena, "%s%d", prefix, b->nname++);
	while (name_taken(b, name));
	return name;
}

static bool has_kernel_name(const void *item, const void *name)
{
	return !strcmp(((const KernelName *)item)->fn->name, name);
}

static KernelName *kernel_name(const LModule *lm, const char *name)
{
	return table_find(&lm->names, table_hash(name, strlen(name), 0), has_kernel_name, name);
}

LFunc *find_kernel(LModule *lm, const char *name)
{
	const KernelName *k = kernel_name(lm, name);
	return k ? k->fn : NULL;
}

void list_kernel(LModule *lm, LFunc *fn)
{
	KernelName *k = arena_alloc(lm->m->arena, sizeof *k);
	*k = (KernelName){fn, 1};
	table_add(lm->m->arena, &lm->names, table_hash(fn->name, strlen(fn->name), 0), k);
	PUSH(lm->m->arena, lm->funcs, lm->nfunc, lm->capfunc, fn);
}

/* ---- sharing kernels --------------------------------------------------------------------------------------------- */

/* "gemm.avx2" that is taken becomes "gemm.2.avx2", "gemm.3.avx2", ... */
static const char *unique_name(LModule *lm, const LFunc *fn)
{
	KernelName *taken = kernel_name(lm, fn->name);
	if (!taken)
		return fn->name;
	int stem = (int)(strlen(fn->name) - (fn->target ? strlen(fn->target) + 1 : 0));
	const char *name;
	do
		name = arena_printf(lm->m->arena, "%.*s.%d%s", stem, fn->name, ++taken->last, fn->name + stem);
	while (kernel_name(lm, name));
	return name;
}

static bool same_text(const void *item, const void *key)
{
	return same_form(&((const KernelText *)item)->form, key);
}

LFunc *finish_kernel(LB *b)
{
	LModule *lm = b->lm;
	if (b->at != &b->fn->body)
		bug("kernel %s: a block is still open", b->fn->name);
	LForm form = kernel_form(b->arena, b->fn);
	uint64_t hash = table_hash(form.bytes, form.size, 0);
	const KernelText *known = table_find(&lm->texts, hash, same_text, &form);
	if (known) {
		free_arena(b->arena);
		return known->fn;
	}
	KernelText *text = arena_alloc(b->arena, sizeof *text);
	*text = (KernelText){form, b->fn};
	b->fn->name = unique_name(lm, b->fn);
	table_add(lm->m->arena, &lm->texts, hash, text);
	list_kernel(lm, b->fn);
	return b->fn;
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

const char *message_name(Module *m, const char *name)
{
	const char *text = safe_name(m->arena, name);
	char *copy = arena_alloc(m->arena, 3 * strlen(text) + 1), *to = copy;
	for (const char *p = text; *p; p++) {
		*to++ = *p;
		if (p[0] == '{' && p[1] == '}') {
			memcpy(to, "\\x7d", 4);
			to += 4;
			p++;
		}
	}
	return copy;
}

const char *message_place(Module *m, const Loc *loc, const char *op)
{
	const char *of = op ? arena_printf(m->arena, " (%s)", op) : "";

	if (loc && loc->node && *loc->node)
		return arena_printf(m->arena, "node '%s'%s", message_name(m, loc->node), of);
	if (loc && loc->line > 0)
		return arena_printf(m->arena, "line %d%s", loc->line, of);
	return op ? op : "the model";
}

int lmessage(LModule *lm, const char *text)
{
	for (int i = 0; i < lm->nmessage; i++)
		if (!strcmp(lm->messages[i], text))
			return i;
	const char *copy = arena_strdup(lm->m->arena, text);
	PUSH(lm->m->arena, lm->messages, lm->nmessage, lm->capmessage, copy);
	return lm->nmessage - 1;
}
