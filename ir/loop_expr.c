/* loop_expr.c - building expressions of loop IR; they are folded on the way (loop.c says how). */
#include "loop_build.h"

#include <string.h>

const LOpInfo lops[NLOps] = {
#define LOP(name, text, nargs, args, result) [L##name] = {text, nargs, Types##args, Result##result},
#include "loop_ops.def"
#undef LOP
};

static LExpr *new_expr(LB *b, LOp op, LType type)
{
	LExpr *e = arena_alloc(b->arena, sizeof *e);
	e->op = op;
	e->type = type;
	return e;
}

LExpr *ref_var(LB *b, LVar *v)
{
	LExpr *e = new_expr(b, LRef, v->type);
	e->var = v;
	return e;
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

bool is_int_const(const LExpr *e, int64_t *v)
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

const char *fn_name(const LB *b)
{
	return b->fn ? b->fn->name : "(module)";
}

LExpr *splat_expr(LB *b, LExpr *e)
{
	if (e->type.lanes == Lanes)
		return e;
	return lcast(b, LSplat, (LType){e->type.elem, Lanes}, e);
}

bool loop_takes(LOp op, DType t)
{
	bool dot = op == LDot4 || op == LDotEven || op == LDotOdd;
	return is_among(t, lops[op].args) && (op == LSelect || !is_stored(t)) && (!dot || t == I32);
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
			a[i] = splat_expr(b, a[i]);
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
	if (op == LFailed || op == LWorker)
		return new_expr(b, op, type);
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
			return splat_expr(b, lcast(b, op, (LType){type.elem, 1}, a));
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

void check_type(LB *b, const char *what, const LExpr *e, LType want)
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

void check_access(LB *b, const LBuf *buf, int lanes, LExpr *idx, LExpr **stride, LExpr **mask)
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
		check_type(b, "mask", *mask = splat_expr(b, *mask), MaskType);
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
	return ref_var(b, b->lm->syms[s->index]);
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
