/* loop.c - building loop IR: modules, kernels, expressions, statements.
 *
 * Expressions are folded as they are built: integer constants, x+0, x*1, (x+c)+d and the like, so that schedules can
 * write general index arithmetic.  One-lane operands of a 16-lane operation are splat.  A type error is a schedule's:
 * bug().
 * finish_kernel() shares kernels of equal form (loop_form.c).
 */
#include "lex.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const LOpInfo lops[NLOps] = {
#define LOP(name, text, nargs, args, result) [L##name] = {text, nargs, Types##args, Result##result},
#include "loop_ops.def"
#undef LOP
};

static const LType BoolType = {Bool, 1};

/* ---- modules and functions --------------------------------------------------------------------------------------- */

typedef struct KernelText {
	LForm form;
	LFunc *fn;
} KernelText;

typedef struct KernelName {
	LFunc *fn;
	int last; /* number of the last kernel that got this name with a number */
} KernelName;

static LVar *new_lvar(Arena *arena, const char *name, LType type)
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

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);
	return n >= k && !strcmp(s + n - k, end);
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

static LBuf *new_buf(LB *b, const char *name, DType elem, int64_t count, bool written)
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

static LExpr *new_expr(LB *b, LOp op, LType type)
{
	LExpr *e = arena_alloc(b->arena, sizeof *e);
	e->op = op;
	e->type = type;
	return e;
}

static LExpr *ref(LB *b, LVar *v)
{
	LExpr *e = new_expr(b, LRef, v->type);
	e->var = v;
	return e;
}

LExpr *lparam(LB *b, const char *name)
{
	LExpr *e = ref(b, new_lvar(b->arena, arena_strdup(b->arena, name), IndexType));
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

static const char *fresh_name(LB *b, const char *prefix)
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

/* ---- constants and folding --------------------------------------------------------------------------------------- */

bool same_ltype(LType a, LType b)
{
	return a.elem == b.elem && a.lanes == b.lanes;
}

LExpr *lscalar(LB *b, int lanes, Scalar s)
{
	LExpr *e = new_expr(b, LConst, (LType){s.dtype, lanes});
	e->value = s;
	return e;
}

static LExpr *int_const(LB *b, LType type, int64_t v)
{
	return lscalar(b, type.lanes, scalar_of_int(type.elem, v));
}

LExpr *li(LB *b, int64_t v)
{
	return int_const(b, IndexType, v);
}

LExpr *lconst(LB *b, LType type, double v)
{
	Scalar s = scalar_of_real(type.elem, v);
	return is_float(type) || type.elem == Bool ? lscalar(b, type.lanes, s) : int_const(b, type, scalar_of_real(I64, v).i);
}

static bool is_int_const(const LExpr *e, int64_t *v)
{
	if (!e || e->op != LConst || is_float(e->type))
		return false;
	*v = e->value.i;
	return true;
}

bool fold_ints(LOp op, DType elem, int64_t x, int64_t y, int64_t *r)
{
	switch (op) {
	case LAdd: *r = add_int(x, y); break;
	case LSub: *r = sub_int(x, y); break;
	case LMul: *r = mul_int(x, y); break;
	case LFloorDiv: *r = divide_int(elem, x, y); break;
	case LMod: *r = modulo_int(elem, x, y); break;
	case LMin: case LPMin: *r = less_int(elem, x, y) ? x : y; break;
	case LMax: case LPMax: *r = less_int(elem, y, x) ? x : y; break;
	case LEq: *r = x == y; break;
	case LNe: *r = x != y; break;
	case LLt: *r = less_int(elem, x, y); break;
	case LLe: *r = !less_int(elem, y, x); break;
	case LAnd: *r = x & y; break;
	case LOr: *r = x | y; break;
	case LXor: *r = x ^ y; break;
	case LNeg: *r = sub_int(0, x); break;
	case LNot: *r = elem == Bool ? !x : ~x; break;
	default: return false;
	}
	return true;
}

/* (x op c) op d with op one of + *, integers: x op (c op d). */
static LExpr *fold_chain(LB *b, LOp op, LExpr *x, LExpr *y)
{
	int64_t c, d, r;
	if ((op != LAdd && op != LMul) || x->op != op || !is_int_const(x->a[1], &c) || !is_int_const(y, &d))
		return NULL;
	fold_ints(op, x->type.elem, c, d, &r);
	return lop(b, op, x->a[0], int_const(b, x->type, r), NULL);
}

/* Folds with a constant on the right (it has been moved there if op commutes); NULL if nothing applies. */
static LExpr *fold_identity(LB *b, LOp op, LExpr *x, LExpr *y)
{
	int64_t c;
	if (is_float(x->type))
		return (op == LMul || op == LDiv) && y->op == LConst && y->value.f == 1 ? x : NULL;
	if (!is_int_const(y, &c))
		return NULL;
	bool mask = x->type.elem == Bool;
	switch (op) {
	case LAdd: case LOr: case LXor: case LShl: case LShr:
		if (c == 0)
			return x;
		return op == LOr && mask ? y : fold_chain(b, op, x, y);
	case LSub: return c == 0 ? x : lop(b, LAdd, x, int_const(b, y->type, sub_int(0, c)), NULL);
	case LMul: return c == 1 ? x : c == 0 ? y : fold_chain(b, op, x, y);
	case LAnd: return c == 0 ? y : mask ? x : NULL;
	case LFloorDiv: return c == 1 ? x : c == 0 ? y : NULL;
	case LMod: return c == 1 || c == 0 ? int_const(b, x->type, 0) : NULL;
	default: return NULL;
	}
}

static bool commutes(LOp op)
{
	return op == LAdd || op == LMul || op == LAnd || op == LOr || op == LXor || op == LEq || op == LNe;
}

/* ---- expressions ------------------------------------------------------------------------------------------------- */

static const char *fn_name(const LB *b)
{
	return b->fn ? b->fn->name : "(module)";
}

static LExpr *splat(LB *b, LExpr *e)
{
	if (e->type.lanes == Lanes)
		return e;
	return lcast(b, LSplat, (LType){e->type.elem, Lanes}, e);
}

bool loop_takes(LOp op, DType t)
{
	return is_among(t, lops[op].args) && (op == LSelect || !is_stored(t));
}

/* Brings all arguments to the same number of lanes and checks their types. */
static void check_args(LB *b, LOp op, LExpr **a, int n)
{
	int lanes = 1;
	for (int i = 0; i < n; i++) {
		if (!a[i])
			bug("%s: %s needs %d arguments", fn_name(b), lops[op].text, n);
		if (a[i]->type.lanes == Lanes)
			lanes = Lanes;
	}
	int first = op == LSelect;
	for (int i = 0; i < n; i++) {
		if (lanes == Lanes)
			a[i] = splat(b, a[i]);
		LType want = {i < first ? Bool : a[first]->type.elem, lanes};
		if (!same_ltype(a[i]->type, want) || (i >= first && !loop_takes(op, want.elem)))
			bug("%s: argument %d of %s is %s<%d>, expected %s<%d>%s", fn_name(b), i, lops[op].text,
			    dtypes[a[i]->type.elem].text, a[i]->type.lanes, dtypes[want.elem].text, lanes,
			    same_ltype(a[i]->type, want) ? " of another class" : "");
	}
	if (takes_wide(op) && lanes != Lanes)
		bug("%s: %s of one lane", fn_name(b), lops[op].text);
}

static LType result_type(LOp op, LExpr *const *a)
{
	switch (lops[op].result) {
	case ResultMask: return (LType){Bool, a[0]->type.lanes};
	case ResultScalar: return (LType){a[0]->type.elem, 1};
	case ResultArg1: return a[1]->type;
	case ResultGiven: return IndexType; /* of asks_port() */
	case ResultSame: case ResultWide: break;
	}
	return a[0]->type;
}

static LExpr *fold(LB *b, LOp op, LType type, LExpr **a, int n)
{
	int64_t x, y = 0, r;
	if (asks_port(op) || takes_wide(op))
		return NULL;
	if (op == LSelect)
		return is_int_const(a[0], &x) ? a[x ? 1 : 2] : NULL;
	if (is_int_const(a[0], &x) && n <= 2 && (n < 2 || is_int_const(a[1], &y)))
		return fold_ints(op, a[0]->type.elem, x, y, &r) ? int_const(b, type, r) : NULL;
	if (n != 2)
		return NULL;
	if (a[0]->op == LConst && commutes(op)) {
		LExpr *t = a[0];
		a[0] = a[1];
		a[1] = t;
	}
	return fold_identity(b, op, a[0], a[1]);
}

LExpr *lop(LB *b, LOp op, LExpr *x, LExpr *y, LExpr *z)
{
	LExpr *a[3] = {x, y, z};
	int n = lops[op].nargs;
	if (!lops[op].args)
		bug("%s: %s is not built by lop", fn_name(b), lops[op].text);
	check_args(b, op, a, n);
	LType type = result_type(op, a);
	LExpr *e = fold(b, op, type, a, n);
	if (e)
		return e;
	e = new_expr(b, op, type);
	memcpy(e->a, a, (size_t)n * sizeof *a);
	return e;
}

static LExpr *fold_convert(LB *b, LType type, const LExpr *a)
{
	return a->op == LConst && !is_float(a->type) ? lscalar(b, type.lanes, cast_scalar(a->value, type.elem)) : NULL;
}

LExpr *lcast(LB *b, LOp op, LType type, LExpr *a)
{
	LExpr *e = NULL;
	if (op == LFailed)
		return new_expr(b, LFailed, type);
	if (op == LIota) {
		if (a || type.lanes != Lanes || type.elem == Bool || is_stored(type.elem))
			bug("%s: iota of type %s<%d>", fn_name(b), dtypes[type.elem].text, type.lanes);
		return new_expr(b, LIota, type);
	}
	if (!a)
		bug("%s: %s of nothing", fn_name(b), lops[op].text);
	if (op == LSplat) {
		if (a->type.lanes != 1 || type.lanes != Lanes || a->type.elem != type.elem)
			bug("%s: splat of %s<%d>", fn_name(b), dtypes[a->type.elem].text, a->type.lanes);
		e = a->op == LConst ? lscalar(b, Lanes, a->value) : NULL;
	} else if (op == LConvert || op == LBitcast) {
		if (same_ltype(type, a->type))
			return a;
		if (a->type.lanes == 1 && type.lanes == Lanes)
			return splat(b, lcast(b, op, (LType){type.elem, 1}, a));
		if (a->type.lanes != type.lanes)
			bug("%s: %s from 16 lanes to one", fn_name(b), lops[op].text);
		bool bits = op == LBitcast;
		bool masks = type.elem == Bool || a->type.elem == Bool;
		if (bits && (masks || dtypes[type.elem].bits != dtypes[a->type.elem].bits))
			bug("%s: bitcast of %s to %s", fn_name(b), dtypes[a->type.elem].text, dtypes[type.elem].text);
		e = bits ? NULL : fold_convert(b, type, a);
	} else {
		bug("%s: %s is not a cast", fn_name(b), lops[op].text);
	}
	if (e)
		return e;
	e = new_expr(b, op, type);
	e->a[0] = a;
	return e;
}

static void check_type(LB *b, const char *what, const LExpr *e, LType want)
{
	if (!e)
		bug("%s: %s is missing", fn_name(b), what);
	if (!same_ltype(e->type, want))
		bug("%s: %s is %s<%d>, expected %s<%d>", fn_name(b), what, dtypes[e->type.elem].text, e->type.lanes,
		    dtypes[want.elem].text, want.lanes);
}

LExpr *lelem(LB *b, LTile *t, LExpr *i, LExpr *j)
{
	check_type(b, "tile row", i, IndexType);
	check_type(b, "tile column", j, IndexType);
	LExpr *e = new_expr(b, LElem, t->type);
	e->tile = t;
	e->a[0] = i;
	e->a[1] = j;
	return e;
}

/* Checks index, stride and mask of a load or store; stride 1 and an all-true mask become NULL. */
static void check_access(LB *b, const LBuf *buf, int lanes, LExpr *idx, LExpr **stride, LExpr **mask)
{
	int64_t v;
	check_type(b, "index", idx, IndexType);
	if (lanes != 1 && lanes != Lanes)
		bug("%s: access to %s with %d lanes", fn_name(b), buf->name, lanes);
	if (lanes == 1 && (*stride || *mask))
		bug("%s: stride or mask for one lane of %s", fn_name(b), buf->name);
	if (*stride)
		check_type(b, "stride", *stride, IndexType);
	if (*mask)
		check_type(b, "mask", *mask = splat(b, *mask), (LType){Bool, Lanes});
	if (is_int_const(*stride, &v) && v == 1)
		*stride = NULL;
	if (is_int_const(*mask, &v) && v)
		*mask = NULL;
}

LExpr *lload(LB *b, LBuf *buf, int lanes, LExpr *idx, LExpr *stride, LExpr *mask)
{
	check_access(b, buf, lanes, idx, &stride, &mask);
	LExpr *e = new_expr(b, LLoad, (LType){buf->elem, lanes});
	e->buf = buf;
	e->a[0] = idx;
	e->stride = stride;
	e->mask = mask;
	return e;
}

/* ---- dims -------------------------------------------------------------------------------------------------------- */

static void *dim_constant(void *ctx, int64_t v)
{
	return li(ctx, v);
}

static void *dim_symbol(void *ctx, const Sym *s)
{
	LB *b = ctx;
	if (s->index >= b->lm->nsym - 1)
		bug("symbol %s is younger than the loop module", s->name);
	return ref(b, b->lm->syms[s->index]);
}

static void *dim_bound_symbol(void *ctx, const Sym *s)
{
	LB *b = ctx;
	return b->lm->bind[s->index];
}

static void *dim_binary(void *ctx, const char *op, void *x, void *y)
{
	static const struct {
		const char *text;
		LOp op;
	} table[] = {{"+", LAdd}, {"*", LMul}, {"/", LFloorDiv}, {"%", LMod}, {"min", LMin}, {"max", LMax}};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (!strcmp(table[i].text, op))
			return lop(ctx, table[i].op, x, y, NULL);
	bug("dim operator %s", op);
}

typedef struct DimExpr {
	const Dim *d;
	LExpr *e;
} DimExpr;

static bool is_of_dim(const void *item, const void *d)
{
	return ((const DimExpr *)item)->d == d;
}

/* Where the workspace has many slots their offsets are long sums: the expressions that the module owns are built once. */
LExpr *ldim(LB *b, const Dim *d)
{
	DimVisitor v = {dim_constant, dim_symbol, dim_binary, b};
	const uint64_t hash = table_hash(&d, sizeof d, 0);
	const bool shared = b->arena == b->m->arena;
	DimExpr *known = shared ? table_find(&b->lm->dims, hash, is_of_dim, d) : NULL;
	if (known)
		return known->e;
	LExpr *e = dim_visit(d, &v);
	if (shared) {
		known = arena_alloc(b->arena, sizeof *known);
		*known = (DimExpr){d, e};
		table_add(b->arena, &b->lm->dims, hash, known);
	}
	return e;
}

LExpr *ldim_bound(LB *b, const Dim *d)
{
	DimVisitor v = {dim_constant, dim_bound_symbol, dim_binary, b};
	return dim_visit(d, &v);
}

/* ---- statements -------------------------------------------------------------------------------------------------- */

static LStmt *add_stmt(LB *b, LStmtKind kind)
{
	LStmt *s = arena_alloc(b->arena, sizeof *s);
	s->kind = kind;
	if (b->at->last)
		b->at->last->next = s;
	else
		b->at->first = s;
	b->at->last = s;
	return s;
}

static void open_block(LB *b, LBlock *block)
{
	block->up = b->at;
	b->at = block;
}

LExpr *llet(LB *b, LExpr *e)
{
	if (e->op == LConst || e->op == LRef)
		return e;
	LStmt *s = add_stmt(b, SLet);
	s->var = new_lvar(b->arena, fresh_name(b, same_ltype(e->type, IndexType) ? "i" : "v"), e->type);
	s->e = e;
	return ref(b, s->var);
}

LExpr *lfor(LB *b, LForKind kind, LExpr *lo, LExpr *hi, LExpr *step)
{
	if (!step)
		step = li(b, 1);
	check_type(b, "lower bound", lo, IndexType);
	check_type(b, "upper bound", hi, IndexType);
	check_type(b, "step", step, IndexType);
	int64_t v;
	if (is_int_const(step, &v) && v <= 0)
		bug("%s: loop step %lld", fn_name(b), (long long)v);
	if (kind == ForUnroll && !(is_int_const(lo, &v) && is_int_const(hi, &v) && is_int_const(step, &v)))
		bug("%s: bounds of an unrolled loop are not constant", fn_name(b));
	LStmt *s = add_stmt(b, SFor);
	s->loop = kind;
	s->var = new_lvar(b->arena, fresh_name(b, "i"), IndexType);
	s->e = lo;
	s->hi = hi;
	s->step = step;
	open_block(b, &s->body);
	return ref(b, s->var);
}

void lif(LB *b, LExpr *cond)
{
	check_type(b, "condition", cond, BoolType);
	LStmt *s = add_stmt(b, SIf);
	s->e = cond;
	open_block(b, &s->body);
}

void lelse(LB *b)
{
	LStmt *s = b->at->up ? b->at->up->last : NULL;
	if (!s || s->kind != SIf || b->at != &s->body)
		bug("%s: else without if", fn_name(b));
	lend(b);
	open_block(b, &s->other);
}

void lend(LB *b)
{
	LBlock *up = b->at->up;
	if (!up)
		bug("%s: end without a beginning", fn_name(b));
	b->at->up = NULL;
	b->at = up;
}

void lstore(LB *b, LBuf *buf, LExpr *idx, LExpr *stride, LExpr *mask, LExpr *e)
{
	if (!e)
		bug("%s: store of nothing to %s", fn_name(b), buf->name);
	if (!buf->written)
		bug("%s: store to %s, which is read only", fn_name(b), buf->name);
	if (stride || mask)
		e = splat(b, e);
	check_type(b, "stored value", e, (LType){buf->elem, e->type.lanes});
	check_access(b, buf, e->type.lanes, idx, &stride, &mask);
	LStmt *s = add_stmt(b, SStore);
	s->buf = buf;
	s->idx = idx;
	s->stride = stride;
	s->mask = mask;
	s->e = e;
}

LBuf *llocal(LB *b, const char *name, DType elem, int64_t count)
{
	if (count <= 0)
		bug("%s: local %s of %lld elements", fn_name(b), name, (long long)count);
	LStmt *s = add_stmt(b, SLocal);
	s->buf = new_buf(b, fresh_name(b, name), elem, count, true);
	return s->buf;
}

LTile *lnew_tile(LB *b, const char *name, LType type, int rows, int cols)
{
	if (rows <= 0 || cols <= 0)
		bug("%s: tile %s of %d x %d", fn_name(b), name, rows, cols);
	LTile *t = arena_alloc(b->arena, sizeof *t);
	t->name = fresh_name(b, name);
	t->type = type;
	t->rows = rows;
	t->cols = cols;
	add_stmt(b, STile)->tile = t;
	return t;
}

void lset_tile(LB *b, LTile *t, LExpr *i, LExpr *j, LExpr *e)
{
	check_type(b, "tile row", i, IndexType);
	check_type(b, "tile column", j, IndexType);
	if (t->type.lanes == Lanes)
		e = splat(b, e);
	check_type(b, "tile element", e, t->type);
	LStmt *s = add_stmt(b, SSetTile);
	s->tile = t;
	s->idx = i;
	s->hi = j;
	s->e = e;
}

static void check_call(LB *b, const LFunc *fn, int narg, const LArg *args)
{
	if (narg != fn->nparam)
		bug("%s: call of %s with %d arguments, expected %d", fn_name(b), fn->name, narg, fn->nparam);
	for (int i = 0; i < narg; i++) {
		const LArg *p = &fn->params[i], *a = &args[i];
		if (!p->buf) {
			if (a->buf)
				bug("%s: argument %d of %s is a buffer, expected a scalar", fn_name(b), i, fn->name);
			check_type(b, "argument", a->e, p->e->type);
			continue;
		}
		if (!a->buf || a->elem != p->buf->elem)
			bug("%s: argument %d of %s is not a buffer of %s", fn_name(b), i, fn->name,
			    dtypes[p->buf->elem].text);
		if (!b->fn->program && a->buf->elem != a->elem)
			bug("%s: argument %d of %s changes its type", fn_name(b), i, fn->name);
		if (p->buf->written && !a->buf->written && !b->fn->program)
			bug("%s: %s writes argument %d, which is read only here", fn_name(b), fn->name, i);
		if (a->offset)
			check_type(b, "offset of a slice", a->offset, IndexType);
		if (a->len)
			check_type(b, "length of a slice", a->len, IndexType);
	}
}

void lcall(LB *b, LFunc *fn, int narg, const LArg *args)
{
	check_call(b, fn, narg, args);
	LStmt *s = add_stmt(b, SCall);
	s->callee = fn;
	s->narg = narg;
	s->args = arena_alloc(b->arena, ((size_t)narg + 1) * sizeof *s->args);
	memcpy(s->args, args, (size_t)narg * sizeof *s->args);
	for (int i = 0; i < narg; i++)
		if (args[i].buf && !args[i].offset)
			s->args[i].offset = li(b, 0);
}

void lprefetch(LB *b, LBuf *buf, LExpr *idx)
{
	check_type(b, "index", idx, IndexType);
	LStmt *s = add_stmt(b, SPrefetch);
	s->buf = buf;
	s->idx = idx;
}

void lfail(LB *b, int status, int message, LExpr *value)
{
	check_type(b, "failed value", value, IndexType);
	if (message < 0 || message >= b->lm->nmessage)
		bug("%s: message %d of %d", fn_name(b), message, b->lm->nmessage);
	LStmt *s = add_stmt(b, SFail);
	s->code = message;
	s->status = status;
	s->e = value;
}

void lextern(LB *b, const char *symbol, int message, int nin, int nout, const LArg *tensors)
{
	LStmt *s = add_stmt(b, SExtern);
	s->text = arena_strdup(b->arena, symbol);
	s->code = message;
	s->narg = nin + nout;
	s->nresult = nout;
	s->args = arena_alloc(b->arena, (size_t)s->narg * sizeof *s->args);
	memcpy(s->args, tensors, (size_t)s->narg * sizeof *s->args);
}

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

void lcheck(LB *b, LExpr *cond, int code, const char *text, LExpr *x, LExpr *y, LExpr *z)
{
	check_type(b, "condition", cond, BoolType);
	LExpr *values[3] = {x, y, z};
	LStmt *s = add_stmt(b, SCheck);
	s->e = cond;
	s->code = code;
	s->text = arena_strdup(b->arena, text);
	s->args = arena_alloc(b->arena, 3 * sizeof *s->args);
	while (s->narg < 3 && values[s->narg]) {
		check_type(b, "checked value", values[s->narg], IndexType);
		s->args[s->narg] = arg_e(values[s->narg]);
		s->narg++;
	}
}

void lstep(LB *b)
{
	if (!b->fn || !b->fn->program || b->at != &b->fn->body)
		bug("%s: a step stands at the top of a program", fn_name(b));
	open_block(b, &add_stmt(b, SStep)->body);
}

LStmt *ljump(LB *b, LExpr *cond, int step)
{
	LStmt *s = add_stmt(b, SJump);
	s->e = cond;
	s->code = step;
	return s;
}

void lstep_cost(LB *b, LExpr *flop, LExpr *bytes, int nloc, const Loc *const *locs)
{
	LStmt *s = b->at->up ? b->at->up->last : NULL;
	if (!s || s->kind != SStep || b->at != &s->body)
		bug("%s: a cost without a step", fn_name(b));
	check_type(b, "FLOP of a step", flop, IndexType);
	check_type(b, "bytes of a step", bytes, IndexType);
	s->e = flop;
	s->idx = bytes;
	s->nloc = nloc;
	s->locs = locs;
}

const LFunc *step_kernel(const LStmt *step)
{
	for (const LStmt *s = step->body.first; s; s = s->next)
		if (s->kind == SCall)
			return s->callee;
	return NULL;
}

LArg arg_buf(LBuf *buf, DType elem, LExpr *offset, LExpr *len)
{
	return (LArg){.buf = buf, .elem = elem, .offset = offset, .len = len};
}

LArg arg_e(LExpr *e)
{
	return (LArg){.e = e, .elem = e->type.elem};
}

LArg arg_tensor(LB *b, LBuf *buf, LExpr *offset, int rank, LExpr *const *dims)
{
	LArg a = {.buf = buf, .elem = buf->elem, .offset = offset, .rank = rank};
	check_type(b, "offset of a tensor", offset, IndexType);
	a.dims = arena_alloc(b->arena, ((size_t)rank + 1) * sizeof *a.dims);
	for (int d = 0; d < rank; d++)
		check_type(b, "dim of a tensor", a.dims[d] = dims[d], IndexType);
	return a;
}
