/* loop_eval.c - the interpreter of loop IR: what each statement and expression means, without any machine.
 *
 * A value is 16 lanes: f32 in f[], f64 in d[], integers and masks sign- or zero-extended in i[].  Each operation is
 * rounded on its own, so f32 results equal the emitted code's bits (NaN payloads aside).  Variables, buffers and tiles
 * are numbered per function by resolve(), and a frame holds their values.  Every access is checked; whatever has not
 * been written (locals, tiles, workspace) holds bytes 0xff: NaN, or -1.
 * Errors leave by longjmp from fail_run(), which frees the frames.
 */
#include "loop.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

enum { MaxCallDepth = 64, SliceAlign = 64, Poison = 0xff };
#define MaxLocalBytes ((int64_t)1 << 30)

typedef union Val {
	float f[Lanes];
	double d[Lanes];
	int64_t i[Lanes];
	uint64_t u[Lanes]; /* the same; a type that is only stored: its bits */
} Val;

typedef struct FnInfo {
	const LFunc *fn;
	int nvar, nbuf, ntile; /* ntile: elements of all tiles */
} FnInfo;

typedef struct Run {
	LModule *lm;
	int ninfo, capinfo;
	FnInfo *infos;
	int64_t tid, nt;
	int64_t *status;
	const Tensor *inputs, *outputs; /* of a program */
	int depth;
	struct Frame *top;
	jmp_buf leave;
	const char *message;
} Run;

typedef struct Frame {
	Run *run;
	const LFunc *fn; /* NULL: the module's own expressions */
	Val *vars, *tiles;
	LMem *bufs;
	bool in_step;
	struct Frame *up;
} Frame;

static void free_frame(Frame *fr, const FnInfo *info)
{
	if (info)
		for (int i = info->fn->nparam; i < info->nbuf; i++)
			free(fr->bufs[i].data);
	free(fr->vars);
	free(fr->bufs);
	free(fr->tiles);
}

static FnInfo *find_info(Run *run, const LFunc *fn)
{
	for (int i = 0; i < run->ninfo; i++)
		if (run->infos[i].fn == fn)
			return &run->infos[i];
	return NULL;
}

static _Noreturn void fail_run(Run *run, const char *message)
{
	run->message = message;
	for (Frame *fr = run->top; fr; fr = fr->up)
		free_frame(fr, fr->fn ? find_info(run, fr->fn) : NULL);
	run->top = NULL;
	longjmp(run->leave, 1);
}

#define FAIL(fr, ...) fail_run((fr)->run, arena_printf((fr)->run->lm->m->arena, __VA_ARGS__))

static const char *frame_name(const Frame *fr)
{
	return fr->fn ? fr->fn->name : "(module)";
}

/* ---- numbering --------------------------------------------------------------------------------------------------- */

static void resolve(Run *, const LFunc *);

static void resolve_block(Run *run, int info, const LBlock *block)
{
	for (const LStmt *s = block->first; s; s = s->next) {
		FnInfo *in = &run->infos[info];
		if (s->var)
			s->var->number = in->nvar++;
		if (s->kind == SLocal)
			s->buf->number = in->nbuf++;
		if (s->kind == STile) {
			s->tile->number = in->ntile;
			if (__builtin_add_overflow(in->ntile, s->tile->rows * s->tile->cols, &in->ntile))
				bug("tiles of %s", in->fn->name);
		}
		if (s->callee)
			resolve(run, s->callee);
		resolve_block(run, info, &s->body);
		resolve_block(run, info, &s->other);
	}
}

static int sym_index(const LModule *lm, const char *name)
{
	for (int i = 0; i < lm->nsym; i++)
		if (!strcmp(lm->syms[i]->name, name))
			return i;
	bug("program parameter %s is no symbol", name);
}

/* Buffers are numbered by parameter, locals after them.  A program's variables begin with the module's symbols. */
static void resolve(Run *run, const LFunc *fn)
{
	if (find_info(run, fn))
		return;
	FnInfo info = {.fn = fn, .nvar = fn->program ? run->lm->nsym : 0, .nbuf = fn->nparam};
	for (int i = 0; i < fn->nparam; i++) {
		if (fn->params[i].buf)
			fn->params[i].buf->number = i;
		else if (fn->program)
			fn->params[i].e->var->number = sym_index(run->lm, fn->params[i].e->var->name);
		else
			fn->params[i].e->var->number = info.nvar++;
	}
	PUSH(run->lm->m->arena, run->infos, run->ninfo, run->capinfo, info);
	resolve_block(run, run->ninfo - 1, &fn->body);
}

/* ---- integers ---------------------------------------------------------------------------------------------------- */

#define EACH(field, value)                                                                                             \
	for (int l = 0; l < n; l++)                                                                                    \
		r->field[l] = (value);                                                                                 \
	break
#define X(field) (x->field[l])
#define Y(field) (y->field[l])
#define WRAPPED(op) (int64_t)((uint64_t)X(i) op (uint64_t)Y(i))

static void int_op(LOp op, DType elem, int n, Val *r, const Val *x, const Val *y)
{
	switch (op) {
	case LAdd: EACH(i, WRAPPED(+));
	case LSub: EACH(i, WRAPPED(-));
	case LMul: EACH(i, WRAPPED(*));
	case LFloorDiv: EACH(i, divide_int(elem, X(i), Y(i)));
	case LMod: EACH(i, modulo_int(elem, X(i), Y(i)));
	case LMin: case LPMin: EACH(i, less_int(elem, X(i), Y(i)) ? X(i) : Y(i));
	case LMax: case LPMax: EACH(i, less_int(elem, Y(i), X(i)) ? X(i) : Y(i));
	case LNeg: EACH(i, (int64_t)(0 - (uint64_t)X(i)));
	case LAbs: EACH(i, less_int(elem, X(i), 0) ? (int64_t)(0 - (uint64_t)X(i)) : X(i));
	case LAnd: EACH(i, X(i) & Y(i));
	case LOr: EACH(i, X(i) | Y(i));
	case LXor: EACH(i, X(i) ^ Y(i));
	case LNot: EACH(i, elem == Bool ? !X(i) : ~X(i));
	case LShl: EACH(i, shift_left(elem, X(i), Y(i)));
	case LShr: EACH(i, shift_right(elem, X(i), Y(i)));
	default: bug("integer operation %d", (int)op);
	}
	if (elem != I64 && elem != Bool)
		for (int l = 0; l < n; l++)
			r->i[l] = wrap_int(elem, r->i[l]);
}

static bool int_compare(LOp op, DType elem, int n, Val *r, const Val *x, const Val *y)
{
	switch (op) {
	case LEq: EACH(i, X(i) == Y(i));
	case LNe: EACH(i, X(i) != Y(i));
	case LLt: EACH(i, less_int(elem, X(i), Y(i)));
	case LLe: EACH(i, !less_int(elem, Y(i), X(i)));
	default: return false;
	}
	return true;
}

/* ---- floating point, once for each width ------------------------------------------------------------------------- */

#define FLOAT_OPS(name, F, fmafn, absfn, sqrtfn, floorfn, ceilfn, roundfn)                                             \
	static void name##_op(LOp op, int n, Val *r, const Val *x, const Val *y, const Val *z)                         \
	{                                                                                                              \
		switch (op) {                                                                                          \
		case LAdd: EACH(F, X(F) + Y(F));                                                                       \
		case LSub: EACH(F, X(F) - Y(F));                                                                       \
		case LMul: EACH(F, X(F) * Y(F));                                                                       \
		case LDiv: EACH(F, X(F) / Y(F));                                                                       \
		case LFma: EACH(F, fmafn(X(F), Y(F), z->F[l]));                                                        \
		case LMin: EACH(F, X(F) != X(F) ? X(F) : X(F) < Y(F) ? X(F) : Y(F));                                   \
		case LMax: EACH(F, X(F) != X(F) ? X(F) : X(F) > Y(F) ? X(F) : Y(F));                                   \
		case LPMin: EACH(F, X(F) < Y(F) ? X(F) : Y(F));                                                        \
		case LPMax: EACH(F, X(F) > Y(F) ? X(F) : Y(F));                                                        \
		case LNeg: EACH(F, -X(F));                                                                             \
		case LAbs: EACH(F, absfn(X(F)));                                                                       \
		case LSqrt: EACH(F, sqrtfn(X(F)));                                                                     \
		case LFloor: EACH(F, floorfn(X(F)));                                                                   \
		case LCeil: EACH(F, ceilfn(X(F)));                                                                     \
		case LRound: EACH(F, roundfn(X(F)));                                                                   \
		default: bug("floating operation %d", (int)op);                                                        \
		}                                                                                                      \
	}                                                                                                              \
	static bool name##_compare(LOp op, int n, Val *r, const Val *x, const Val *y)                                  \
	{                                                                                                              \
		Val c;                                                                                                 \
		switch (op) {                                                                                          \
		case LEq: for (int l = 0; l < n; l++) c.i[l] = X(F) == Y(F); break;                                    \
		case LNe: for (int l = 0; l < n; l++) c.i[l] = X(F) != Y(F); break;                                    \
		case LLt: for (int l = 0; l < n; l++) c.i[l] = X(F) < Y(F); break;                                     \
		case LLe: for (int l = 0; l < n; l++) c.i[l] = X(F) <= Y(F); break;                                    \
		default: return false;                                                                                 \
		}                                                                                                      \
		memcpy(r->i, c.i, (size_t)n * sizeof *r->i);                                                           \
		return true;                                                                                           \
	}

FLOAT_OPS(f32, f, fmaf, fabsf, sqrtf, floorf, ceilf, nearbyintf)
FLOAT_OPS(f64, d, fma, fabs, sqrt, floor, ceil, nearbyint)

/* ---- conversions ------------------------------------------------------------------------------------------------- */

static Scalar lane_scalar(DType t, const Val *v, int l)
{
	return scalar_at(t, t == F32 ? (const void *)&v->f[l] : &v->i[l], 0);
}

static void set_lane(Val *v, int l, Scalar s)
{
	uint64_t bits = 0;
	put_scalar(&bits, s);
	if (s.dtype == F32)
		memcpy(&v->f[l], &bits, sizeof v->f[l]);
	else
		v->u[l] = is_among(s.dtype, TypesFlt) ? bits : s.u;
}

static void convert(DType from, DType to, int n, Val *r, const Val *x)
{
	Val t;
	for (int l = 0; l < n; l++)
		set_lane(&t, l, cast_scalar(lane_scalar(from, x, l), to));
	memcpy(r, &t, sizeof t);
}

static void bitcast(DType from, DType to, int n, Val *r, const Val *x)
{
	Val t;
	for (int l = 0; l < n; l++) {
		uint64_t bits;
		put_scalar(&bits, lane_scalar(from, x, l));
		set_lane(&t, l, scalar_at(to, &bits, 0));
	}
	memcpy(r, &t, sizeof t);
}

/* The tree is loop_ops.def's: lane i with i+8, then i+4, i+2, i+1. */
static void reduce(LOp op, DType elem, Val *r, const Val *x)
{
	LOp each = op == LHAdd ? LAdd : op == LHMax ? LMax : LMin;
	Val t = *x, high;
	for (int n = Lanes / 2; n; n /= 2) {
		if (elem == F32) {
			memcpy(high.f, t.f + n, (size_t)n * sizeof *t.f);
			f32_op(each, n, &t, &t, &high, NULL);
		} else if (elem == F64) {
			memcpy(high.d, t.d + n, (size_t)n * sizeof *t.d);
			f64_op(each, n, &t, &t, &high, NULL);
		} else {
			memcpy(high.i, t.i + n, (size_t)n * sizeof *t.i);
			int_op(each, elem, n, &t, &t, &high);
		}
	}
	r->i[0] = t.i[0];
}

/* ---- buffers ----------------------------------------------------------------------------------------------------- */

static void load_lane(const LMem *m, int64_t at, Val *r, int l)
{
	const char *p = (const char *)m->data + at * dtypes[m->elem].bytes;
	if (m->elem == F32)
		memcpy(&r->f[l], p, 4);
	else if (m->elem == F64)
		memcpy(&r->d[l], p, 8);
	else
		set_lane(r, l, scalar_at(m->elem, p, 0));
}

static void store_lane(const LMem *m, int64_t at, const Val *v, int l)
{
	char *p = (char *)m->data + at * dtypes[m->elem].bytes;
	if (m->elem == F32)
		memcpy(p, &v->f[l], 4);
	else if (m->elem == F64)
		memcpy(p, &v->d[l], 8);
	else /* little-endian: the low bytes come first */
		memcpy(p, &v->i[l], (size_t)dtypes[m->elem].bytes);
}

static _Noreturn void fail_access(Frame *fr, const char *what, const LBuf *buf, int64_t at, int lane, int lanes)
{
	const char *where = lanes == 1 ? "" : arena_printf(fr->run->lm->m->arena, " (lane %d)", lane);
	FAIL(fr, "kernel %s, worker %lld: %s %%%s[%lld]%s is out of bounds, it has %lld elements", frame_name(fr),
	     (long long)fr->run->tid, what, buf->name, (long long)at, where, (long long)fr->bufs[buf->number].count);
}

/* Element at + stride * lane, or out of bounds. */
static int64_t lane_index(Frame *fr, const char *what, const LBuf *buf, int64_t at, int64_t stride, int lane, int lanes)
{
	int64_t i;
	bool far = __builtin_mul_overflow(stride, lane, &i) || __builtin_add_overflow(i, at, &i);
	if (far || i < 0 || i >= fr->bufs[buf->number].count)
		fail_access(fr, what, buf, (int64_t)((uint64_t)at + (uint64_t)stride * (uint64_t)lane), lane, lanes);
	return i;
}

static void zero_lane(DType elem, Val *r, int l)
{
	if (elem == F32)
		r->f[l] = 0;
	else if (elem == F64)
		r->d[l] = 0;
	else
		r->i[l] = 0;
}

static const Val *get(Frame *, const LExpr *, Val *);
static int64_t index_of(Frame *, const LExpr *);

static void load(Frame *fr, const LExpr *e, Val *r)
{
	const LMem *m = &fr->bufs[e->buf->number];
	int64_t at = index_of(fr, e->a[0]), stride = e->stride ? index_of(fr, e->stride) : 1;
	int n = e->type.lanes;
	if (!e->mask && !e->stride && m->elem == F32 && n == Lanes && at >= 0 && at <= m->count - Lanes) {
		memcpy(r->f, (const float *)m->data + at, sizeof r->f);
		return;
	}
	Val tmp;
	const Val *mask = e->mask ? get(fr, e->mask, &tmp) : NULL;
	for (int l = 0; l < n; l++) {
		if (mask && !mask->i[l]) {
			zero_lane(m->elem, r, l);
			continue;
		}
		load_lane(m, lane_index(fr, "load of", e->buf, at, stride, l, n), r, l);
	}
}

static void store(Frame *fr, const LStmt *s)
{
	const LMem *m = &fr->bufs[s->buf->number];
	int64_t at = index_of(fr, s->idx), stride = s->stride ? index_of(fr, s->stride) : 1;
	int n = s->e->type.lanes;
	Val tmp, tmp2;
	const Val *v = get(fr, s->e, &tmp), *mask = s->mask ? get(fr, s->mask, &tmp2) : NULL;
	if (!mask && !s->stride && m->elem == F32 && n == Lanes && at >= 0 && at <= m->count - Lanes) {
		memcpy((float *)m->data + at, v->f, sizeof v->f);
		return;
	}
	for (int l = 0; l < n; l++) {
		if (mask && !mask->i[l])
			continue;
		store_lane(m, lane_index(fr, "store to", s->buf, at, stride, l, n), v, l);
	}
}

/* ---- expressions ------------------------------------------------------------------------------------------------- */

static Val *tile_element(Frame *fr, const LTile *t, const LExpr *row, const LExpr *col)
{
	int64_t i = index_of(fr, row), j = index_of(fr, col);
	if (i < 0 || i >= t->rows || j < 0 || j >= t->cols)
		FAIL(fr, "kernel %s: tile %%%s[%lld, %lld] is out of bounds, it is %d x %d", frame_name(fr), t->name,
		     (long long)i, (long long)j, t->rows, t->cols);
	return &fr->tiles[t->number + i * t->cols + j];
}

/* check_inputs has compared the dims, which are constant. */
static int64_t tensor_element(Frame *fr, const LExpr *e)
{
	int64_t t = index_of(fr, e->a[0]), d = index_of(fr, e->a[1]);
	if (!fr->run->inputs || d >= tensor_numel(&fr->run->inputs[t]))
		FAIL(fr, "%s: %s(%lld, %lld) does not exist", frame_name(fr), lops[e->op].text, (long long)t, (long long)d);
	if (e->op == LInScaled)
		return tensor_scaled(&fr->run->inputs[t], d, index_of(fr, e->a[2]));
	return tensor_int(&fr->run->inputs[t], d);
}

static int64_t tensor_dim(Frame *fr, const LExpr *e)
{
	bool in = e->op == LInDim;
	const Module *m = fr->run->lm->m;
	const Tensor *tensors = in ? fr->run->inputs : fr->run->outputs;
	int64_t t = index_of(fr, e->a[0]), d = index_of(fr, e->a[1]);
	if (!tensors || t < 0 || t >= (in ? m->main->nparam : fr->run->lm->nout) || d < 0 || d >= tensors[t].rank)
		FAIL(fr, "%s: %s(%lld, %lld) does not exist", frame_name(fr), in ? "indim" : "outdim", (long long)t,
		     (long long)d);
	return tensors[t].dims[d];
}

static void fill_const(const LExpr *e, Val *r)
{
	for (int l = 0; l < e->type.lanes; l++)
		set_lane(r, l, e->value);
}

static void splat(DType elem, Val *r, const Val *x)
{
	float f = x->f[0];
	double d = x->d[0];
	for (int l = 0; l < Lanes; l++) {
		if (elem == F32)
			r->f[l] = f;
		else
			r->d[l] = d; /* same bytes as i */
	}
}

static void fill_iota(DType elem, Val *r)
{
	for (int l = 0; l < Lanes; l++) {
		if (elem == F32)
			r->f[l] = (float)l;
		else if (elem == F64)
			r->d[l] = l;
		else
			r->i[l] = l;
	}
}

static void choose(DType elem, int n, Val *r, const Val *mask, const Val *x, const Val *y)
{
	Val t;
	for (int l = 0; l < n; l++) {
		const Val *v = mask->i[l] ? x : y;
		if (elem == F32)
			t.f[l] = v->f[l];
		else
			t.d[l] = v->d[l];
	}
	memcpy(r, &t, elem == F32 ? sizeof t.f : sizeof t);
}

static void zip(DType elem, int from, Val *r, const Val *x, const Val *y)
{
	Val t;
	for (int l = 0; l < Lanes; l++) {
		const Val *v = l % 2 ? y : x;
		if (elem == F32)
			t.f[l] = v->f[from + l / 2];
		else
			t.d[l] = v->d[from + l / 2];
	}
	memcpy(r, &t, elem == F32 ? sizeof t.f : sizeof t);
}

static void arithmetic(Frame *fr, const LExpr *e, Val *r)
{
	Val tx, ty, tz;
	const Val *x = get(fr, e->a[0], &tx);
	const Val *y = e->a[1] ? get(fr, e->a[1], &ty) : x, *z = e->a[2] ? get(fr, e->a[2], &tz) : x;
	DType elem = e->a[0]->type.elem;
	int n = e->type.lanes;
	if (e->op == LSelect) {
		choose(e->type.elem, n, r, x, y, z);
	} else if (e->op == LZipLo || e->op == LZipHi) {
		zip(elem, e->op == LZipLo ? 0 : Lanes / 2, r, x, y);
	} else if (elem == F32) {
		if (!f32_compare(e->op, n, r, x, y))
			f32_op(e->op, n, r, x, y, z);
	} else if (elem == F64) {
		if (!f64_compare(e->op, n, r, x, y))
			f64_op(e->op, n, r, x, y, z);
	} else if (!int_compare(e->op, elem, n, r, x, y)) {
		int_op(e->op, elem, n, r, x, y);
	}
}

static void eval(Frame *fr, const LExpr *e, Val *r)
{
	Val tmp;
	switch (e->op) {
	case LConst: fill_const(e, r); break;
	case LRef: *r = fr->vars[e->var->number]; break;
	case LElem: *r = *tile_element(fr, e->tile, e->a[0], e->a[1]); break;
	case LLoad: load(fr, e, r); break;
	case LConvert: convert(e->a[0]->type.elem, e->type.elem, e->type.lanes, r, get(fr, e->a[0], &tmp)); break;
	case LBitcast: bitcast(e->a[0]->type.elem, e->type.elem, e->type.lanes, r, get(fr, e->a[0], &tmp)); break;
	case LSplat: splat(e->type.elem, r, get(fr, e->a[0], &tmp)); break;
	case LIota: fill_iota(e->type.elem, r); break;
	case LFailed: r->i[0] = fr->run->status[0] != 0; break;
	case LHAdd: case LHMax: case LHMin: reduce(e->op, e->type.elem, r, get(fr, e->a[0], &tmp)); break;
	case LInDim: case LOutDim: r->i[0] = tensor_dim(fr, e); break;
	case LInData: case LInScaled: r->i[0] = tensor_element(fr, e); break;
	default: arithmetic(fr, e, r);
	}
}

/* The value where it lies, or computed into *tmp. */
static const Val *get(Frame *fr, const LExpr *e, Val *tmp)
{
	if (e->op == LRef)
		return &fr->vars[e->var->number];
	if (e->op == LElem)
		return tile_element(fr, e->tile, e->a[0], e->a[1]);
	eval(fr, e, tmp);
	return tmp;
}

/* Index arithmetic is most of the work, so it has a short way. */
static int64_t index_of(Frame *fr, const LExpr *e)
{
	Val tmp;
	switch (e->op) {
	case LConst: return e->value.i;
	case LRef: return fr->vars[e->var->number].i[0];
	case LAdd: return (int64_t)((uint64_t)index_of(fr, e->a[0]) + (uint64_t)index_of(fr, e->a[1]));
	case LSub: return (int64_t)((uint64_t)index_of(fr, e->a[0]) - (uint64_t)index_of(fr, e->a[1]));
	case LMul: return (int64_t)((uint64_t)index_of(fr, e->a[0]) * (uint64_t)index_of(fr, e->a[1]));
	case LFloorDiv: return floor_div(index_of(fr, e->a[0]), index_of(fr, e->a[1]));
	case LMod: return floor_mod(index_of(fr, e->a[0]), index_of(fr, e->a[1]));
	default: eval(fr, e, &tmp); return tmp.i[0];
	}
}

/* ---- statements -------------------------------------------------------------------------------------------------- */

static void exec_block(Frame *, const LBlock *);

static void exec_for(Frame *fr, const LStmt *s)
{
	int64_t lo = index_of(fr, s->e), hi = index_of(fr, s->hi), step = s->step ? index_of(fr, s->step) : 1, span;
	if (step <= 0 || __builtin_sub_overflow(hi, lo, &span))
		FAIL(fr, "kernel %s: loop over %%%s from %lld to %lld step %lld", frame_name(fr), s->var->name,
		     (long long)lo, (long long)hi, (long long)step);
	int64_t n = span <= 0 ? 0 : (span - 1) / step + 1, first = 0, last = n;
	if (s->loop == ForParallel) {
		first = (int64_t)((__int128)n * fr->run->tid / fr->run->nt);
		last = (int64_t)((__int128)n * (fr->run->tid + 1) / fr->run->nt);
	}
	for (int64_t k = first; k < last; k++) {
		fr->vars[s->var->number].i[0] = lo + k * step;
		exec_block(fr, &s->body);
	}
}

static void make_local(Frame *fr, const LBuf *buf)
{
	LMem *m = &fr->bufs[buf->number];
	int64_t bytes;
	bool large = __builtin_mul_overflow(buf->count, dtypes[buf->elem].bytes, &bytes) || bytes > MaxLocalBytes;
	if (buf->count <= 0 || large)
		FAIL(fr, "kernel %s: local %%%s of %lld elements", frame_name(fr), buf->name, (long long)buf->count);
	if (!m->data)
		*m = (LMem){.data = malloc((size_t)bytes), .elem = buf->elem, .count = buf->count};
	if (!m->data)
		FAIL(fr, "kernel %s: out of memory", frame_name(fr));
	memset(m->data, Poison, (size_t)bytes);
}

static void set_tile(Frame *fr, const LStmt *s)
{
	Val tmp;
	Val *to = tile_element(fr, s->tile, s->idx, s->hi);
	const Val *v = get(fr, s->e, &tmp);
	memmove(to, v, sizeof *to);
}

/* Replaces each {} of text by the next value. */
static const char *report_text(Arena *arena, const char *text, int n, const int64_t *values)
{
	const char *out = "";
	for (int i = 0;; i++) {
		const char *hole = strstr(text, "{}");
		if (!hole || i >= n)
			return arena_printf(arena, "%s%s", out, text);
		out = arena_printf(arena, "%s%.*s%lld", out, (int)(hole - text), text, (long long)values[i]);
		text = hole + 2;
	}
}

static void exec_check(Frame *fr, const LStmt *s)
{
	int64_t values[3] = {0};
	if (index_of(fr, s->e))
		return;
	for (int i = 0; i < s->narg && i < 3; i++)
		values[i] = index_of(fr, s->args[i].e);
	fail_run(fr->run, report_text(fr->run->lm->m->arena, s->text, s->narg, values));
}

static void exec_fail(Frame *fr, const LStmt *s)
{
	int64_t *status = fr->run->status;
	if (!status[0]) {
		status[0] = s->code + 1;
		status[1] = index_of(fr, s->e);
	}
}

/* A tensor that aliases the buffer. */
static Tensor extern_tensor(Frame *fr, const LStmt *s, const LArg *a)
{
	const LMem *m = &fr->bufs[a->buf->number];
	int64_t at = index_of(fr, a->offset), numel = 1, end;
	Tensor t = {.dtype = a->elem, .rank = a->rank};
	for (int d = 0; d < a->rank; d++) {
		t.dims[d] = index_of(fr, a->dims[d]);
		if (t.dims[d] < 0 || __builtin_mul_overflow(numel, t.dims[d], &numel))
			FAIL(fr, "%s: a tensor of %s has the dim %lld", frame_name(fr), s->text, (long long)t.dims[d]);
	}
	if (numel && (at < 0 || __builtin_add_overflow(at, numel, &end) || end > m->count))
		FAIL(fr, "%s: a tensor of %s is %lld elements at %lld of %%%s, which has %lld", frame_name(fr), s->text,
		     (long long)numel, (long long)at, a->buf->name, (long long)m->count);
	t.data = numel ? (char *)m->data + at * dtypes[a->elem].bytes : m->data;
	return t;
}

static void exec_extern(Frame *fr, const LStmt *s)
{
	int nin = s->narg - s->nresult;
	if (fr->run->tid)
		return;
	if (!eval_custom)
		FAIL(fr, "the function '%s' is not part of this program", s->text);
	Arena *arena = fr->run->lm->m->arena;
	Tensor *tensors = arena_alloc(arena, (size_t)s->narg * sizeof *tensors);
	for (int i = 0; i < s->narg; i++)
		tensors[i] = extern_tensor(fr, s, &s->args[i]);
	const Loc *loc = fr->fn->loc;
	const char *wrong = eval_custom(arena, s->text, loc ? loc->node : NULL, nin, tensors, s->nresult, tensors + nin);
	if (wrong)
		FAIL(fr, "%s: %s", message_place(fr->run->lm->m, loc, NULL), wrong);
}

/* The part of a buffer that a call passes, or an error: outside of it.  A
 * part of no elements may begin anywhere: every access to it is an error. */
static LMem slice(Frame *fr, const LStmt *call, int i)
{
	const LArg *a = &call->args[i];
	const LMem *m = &fr->bufs[a->buf->number];
	int64_t size = dtypes[a->elem].bytes, bytes = m->count * dtypes[m->elem].bytes;
	int64_t offset = a->offset ? index_of(fr, a->offset) : 0, at, len = a->len ? index_of(fr, a->len) : 0, end;
	if (a->len && len <= 0)
		return (LMem){.data = m->data, .elem = a->elem, .count = 0};
	if (__builtin_mul_overflow(offset, size, &at) || at < 0 || at > bytes)
		FAIL(fr, "%s: argument %d of %s begins at element %lld of %%%s, which has %lld bytes", frame_name(fr),
		     i, call->callee->name, (long long)offset, a->buf->name, (long long)bytes);
	len = a->len ? len : (bytes - at) / size;
	if (__builtin_mul_overflow(len, size, &end) || end > bytes - at)
		FAIL(fr, "%s: argument %d of %s is %lld elements at %lld of %%%s, which has %lld bytes",
		     frame_name(fr), i, call->callee->name, (long long)len, (long long)offset, a->buf->name,
		     (long long)bytes);
	return (LMem){.data = m->data ? (char *)m->data + at : NULL, .elem = a->elem, .count = len};
}

static void *alloc_or_fail(Run *run, size_t count, size_t size)
{
	void *p = calloc(count + 1, size);
	if (!p)
		fail_run(run, "out of memory");
	return p;
}

/* Makes fr the running frame of fn, its tiles poisoned. */
static void push_frame(Run *run, Frame *fr, const LFunc *fn)
{
	const FnInfo *info = find_info(run, fn);
	*fr = (Frame){.run = run, .fn = fn, .up = run->top};
	if (run->depth == MaxCallDepth)
		fail_run(run, arena_printf(run->lm->m->arena, "%s: calls are nested too deeply", fn->name));
	fr->vars = alloc_or_fail(run, (size_t)info->nvar, sizeof *fr->vars);
	fr->bufs = calloc((size_t)info->nbuf + 1, sizeof *fr->bufs);
	fr->tiles = malloc(((size_t)info->ntile + 1) * sizeof *fr->tiles);
	if (!fr->bufs || !fr->tiles)
		refuse_at(NULL, "out of memory");
	memset(fr->tiles, Poison, ((size_t)info->ntile + 1) * sizeof *fr->tiles);
	run->top = fr;
	run->depth++;
}

static void pop_frame(Frame *fr)
{
	Run *run = fr->run;
	run->top = fr->up;
	run->depth--;
	free_frame(fr, fr->fn ? find_info(run, fr->fn) : NULL);
}

static void exec_call(Frame *fr, const LStmt *s)
{
	const LFunc *fn = s->callee;
	if (fr->fn->program && !fr->in_step)
		FAIL(fr, "%s: call of %s outside of a step", frame_name(fr), fn->name);
	Frame in;
	push_frame(fr->run, &in, fn);
	for (int i = 0; i < fn->nparam; i++) {
		if (s->args[i].buf)
			in.bufs[i] = slice(fr, s, i);
		else
			in.vars[fn->params[i].e->var->number].i[0] = index_of(fr, s->args[i].e);
	}
	exec_block(&in, &fn->body);
	pop_frame(&in);
}

static void exec_step(Frame *fr, const LStmt *s)
{
	Run *run = fr->run;
	fr->in_step = true;
	for (run->tid = 0; run->tid < run->nt; run->tid++)
		exec_block(fr, &s->body);
	fr->in_step = false;
	run->tid = 0;
	if (run->status[0] > 0) {
		if (run->status[0] > run->lm->nmessage)
			bug("message %lld", (long long)run->status[0]);
		const char *text = run->lm->messages[run->status[0] - 1];
		fail_run(run, report_text(run->lm->m->arena, text, 1, &run->status[1]));
	}
}

static void exec(Frame *fr, const LStmt *s)
{
	switch (s->kind) {
	case SLet: eval(fr, s->e, &fr->vars[s->var->number]); break;
	case SFor: exec_for(fr, s); break;
	case SIf: exec_block(fr, index_of(fr, s->e) ? &s->body : &s->other); break;
	case SStore: store(fr, s); break;
	case SLocal: make_local(fr, s->buf); break;
	case STile:
		memset(&fr->tiles[s->tile->number], Poison, sizeof(Val) * (size_t)(s->tile->rows * s->tile->cols));
		break;
	case SSetTile: set_tile(fr, s); break;
	case SCall: exec_call(fr, s); break;
	case SExtern: exec_extern(fr, s); break;
	case SPrefetch: break; /* may point anywhere */
	case SFail: exec_fail(fr, s); break;
	case SCheck: exec_check(fr, s); break;
	case SStep: exec_step(fr, s); break;
	case SJump: bug("a jump inside of a block"); /* run_steps follows those of programs */
	}
}

static void exec_block(Frame *fr, const LBlock *block)
{
	for (const LStmt *s = block->first; s; s = s->next)
		exec(fr, s);
}

/* ---- kernels ----------------------------------------------------------------------------------------------------- */

static void set_params(Frame *fr, const LMem *mems, const int64_t *scalars)
{
	const LFunc *fn = fr->fn;
	int nmem = 0, nscalar = 0;
	for (int i = 0; i < fn->nparam; i++) {
		if (!fn->params[i].buf) {
			fr->vars[fn->params[i].e->var->number].i[0] = scalars[nscalar++];
			continue;
		}
		fr->bufs[i] = mems[nmem++];
		if (fr->bufs[i].elem != fn->params[i].buf->elem)
			FAIL(fr, "kernel %s: buffer %%%s has elements of another type", fn->name,
			     fn->params[i].buf->name);
	}
}

/* The function that calls setjmp has no variables of its own that change. */
static void run_kernel(Run *run, const LFunc *fn, const LMem *mems, const int64_t *scalars)
{
	Frame fr;
	if (setjmp(run->leave))
		return;
	resolve(run, fn);
	push_frame(run, &fr, fn);
	set_params(&fr, mems, scalars);
	exec_block(&fr, &fn->body);
	pop_frame(&fr);
}

const char *interp_kernel(LModule *lm, const LFunc *fn, const LMem *mems, const int64_t *scalars, int64_t tid,
                          int64_t nt, int64_t *status)
{
	int64_t own_status[MaxStatus] = {0};
	Run run = {.lm = lm, .tid = tid, .nt = nt, .status = status ? status : own_status};
	run_kernel(&run, fn, mems, scalars);
	return run.message;
}

/* ---- programs ---------------------------------------------------------------------------------------------------- */

typedef struct Program {
	Run run;
	const LFunc *fn;
	LMem ws, weights;
	Tensor *outputs;
	LMem *packed; /* what the program sees of inputs, then outputs, of less than a byte an element; else no data */
} Program;

static void check_inputs(Frame *fr)
{
	Run *run = fr->run;
	const Func *f = run->lm->m->main;
	for (int i = 0; i < f->nparam; i++) {
		const Type *t = &f->params[i]->type;
		const Tensor *in = &run->inputs[i];
		if (in->dtype != t->dtype || in->rank != t->rank)
			FAIL(fr, "input %d: expected %s of rank %d, got %s of rank %d", i, dtypes[t->dtype].text,
			     t->rank, dtypes[in->dtype].text, in->rank);
	}
}

static void bind_symbols(Frame *fr, int threads)
{
	LModule *lm = fr->run->lm;
	for (int i = 0; i < lm->nsym; i++)
		lm->syms[i]->number = i;
	for (int i = 0; i < lm->nsym - 1; i++)
		fr->vars[i].i[0] = lm->bind[i] ? index_of(fr, lm->bind[i]) : lm->m->syms[i]->lo;
	fr->vars[lm->nsym - 1].i[0] = threads;
}

/* Where the data decides: bounds before the steps have run, true dims behind them. */
static void set_output_dims(Frame *fr, Tensor *outputs)
{
	const LModule *lm = fr->run->lm;
	for (int o = 0; o < lm->nout; o++)
		for (int d = 0; d < outputs[o].rank; d++)
			outputs[o].dims[d] = index_of(fr, lm->outdims[o * MaxRank + d]);
}

static void alloc_outputs(Frame *fr, Tensor *outputs)
{
	LModule *lm = fr->run->lm;
	for (int o = 0; o < lm->nout; o++) {
		const Type *t = &lm->m->main->body.yields[o]->type;
		Tensor *out = &outputs[o];
		int64_t bytes = dtypes[t->dtype].bytes;
		out->dtype = t->dtype;
		out->rank = t->rank;
		for (int d = 0; d < t->rank; d++) {
			out->dims[d] = index_of(fr, lm->outdims[o * MaxRank + d]);
			if (out->dims[d] < 0 || __builtin_mul_overflow(bytes, out->dims[d], &bytes))
				FAIL(fr, "output %d: dim %d is %lld", o, d, (long long)out->dims[d]);
		}
		out->data = malloc((size_t)bytes + 1);
		if (!out->data)
			FAIL(fr, "output %d: no memory for %lld bytes", o, (long long)bytes);
		memset(out->data, Poison, (size_t)bytes);
	}
}

static LMem alloc_aligned(Frame *fr, int64_t bytes, const char *what)
{
	if (bytes < 0 || bytes > INT64_MAX - 2 * SliceAlign)
		FAIL(fr, "%s of %lld bytes", what, (long long)bytes);
	size_t whole = ((size_t)bytes / SliceAlign + 1) * SliceAlign;
	void *p = aligned_alloc(SliceAlign, whole);
	if (!p)
		FAIL(fr, "no memory for %s of %lld bytes", what, (long long)bytes);
	memset(p, Poison, whole);
	return (LMem){.data = p, .elem = U8, .count = bytes};
}

static void fill_weights(Frame *fr, const LMem *to)
{
	LModule *lm = fr->run->lm;
	for (int i = 0; i < lm->nweight; i++) {
		Tensor t = {0};
		const char *wrong = eval_const(lm->m, lm->weights[i], &t);
		if (wrong)
			fail_run(fr->run, wrong);
		int64_t bytes = tensor_numel(&t) * dtypes[t.dtype].bytes, at = lm->weight_off[i];
		bool fits = at >= 0 && at % SliceAlign == 0 && at <= to->count && bytes <= to->count - at;
		if (fits && bytes)
			memcpy((char *)to->data + at, t.data, (size_t)bytes);
		free_tensor(&t);
		if (!fits)
			FAIL(fr, "weight %d: %lld bytes at %lld lie outside of the section", i, (long long)bytes,
			     (long long)at);
	}
}

static LMem tensor_mem(const Program *p, const Tensor *t, int port)
{
	return p->packed[port].data ? p->packed[port] : (LMem){.data = t->data, .elem = t->dtype, .count = tensor_numel(t)};
}

static void pack_ports(Frame *fr, Program *p)
{
	const LModule *lm = p->run.lm;
	int nin = lm->m->main->nparam;
	p->packed = arena_alloc(lm->m->arena, (size_t)(nin + lm->nout + 1) * sizeof *p->packed);
	for (int i = 0; i < nin + lm->nout; i++) {
		const Tensor *t = i < nin ? &p->run.inputs[i] : &p->outputs[i - nin];
		if (!is_packed(t->dtype))
			continue;
		p->packed[i] = alloc_aligned(fr, (int64_t)packed_bytes(t->dtype, tensor_numel(t)), "a port");
		if (i < nin)
			pack_elements(t->dtype, t->data, tensor_numel(t), p->packed[i].data);
	}
}

static void unpack_ports(Program *p)
{
	const LModule *lm = p->run.lm;
	int nin = lm->m->main->nparam;
	for (int i = 0; p->packed && i < nin + lm->nout; i++) {
		if (i >= nin && p->packed[i].data && !p->run.message)
			unpack_elements(p->outputs[i - nin].dtype, p->packed[i].data, tensor_numel(&p->outputs[i - nin]), p->outputs[i - nin].data);
		free(p->packed[i].data);
	}
}

static LMem program_buffer(Frame *fr, const Program *p, const LBuf *buf)
{
	const LModule *lm = p->run.lm;
	int n;
	char rest;
	if (!strcmp(buf->name, "ws"))
		return p->ws;
	if (!strcmp(buf->name, "weights"))
		return p->weights;
	if (sscanf(buf->name, "in%d%c", &n, &rest) == 1 && n >= 0 && n < lm->m->main->nparam)
		return tensor_mem(p, &p->run.inputs[n], n);
	if (sscanf(buf->name, "out%d%c", &n, &rest) == 1 && n >= 0 && n < lm->nout)
		return tensor_mem(p, &p->outputs[n], lm->m->main->nparam + n);
	FAIL(fr, "%s: no such buffer: %%%s", frame_name(fr), buf->name);
}

/* The statements before step `number`, jumps among them, else that step. */
static const LStmt *find_jump(const LBlock *b, int number)
{
	const LStmt *s = b->first;
	for (int n = 0; s && (n < number || s->kind == SLet); s = s->next)
		n += s->kind == SStep;
	return s;
}

/* Symbols that the data gives have the values that lie in their cells now. */
static void read_cells(Frame *fr, const LMem *ws)
{
	const LModule *lm = fr->run->lm;
	const int64_t *cells = ws->data;
	int n = 0;
	for (int i = 0; i < lm->nsym - 1; i++) {
		if (is_given(lm->m->syms[i]))
			continue;
		if ((n + 1) * (int64_t)sizeof *cells > ws->count)
			FAIL(fr, "the workspace has no room for symbol %s", lm->m->syms[i]->name);
		fr->vars[lm->syms[i]->number].i[0] = cells[n++];
	}
}

static void run_steps(Frame *fr, const Program *p)
{
	const LBlock *b = &p->fn->body;
	for (const LStmt *s = b->first; s;) {
		if (s->kind != SLet)
			read_cells(fr, &p->ws);
		if (s->kind != SJump)
			exec(fr, s);
		s = s->kind == SJump && index_of(fr, s->e) ? find_jump(b, s->code) : s->next;
	}
}

static void run_program(Program *p, int threads)
{
	Run *run = &p->run;
	LModule *lm = run->lm;
	Frame fr;
	if (setjmp(run->leave))
		return;
	resolve(run, p->fn);
	push_frame(run, &fr, p->fn);
	check_inputs(&fr);
	bind_symbols(&fr, threads);
	alloc_outputs(&fr, p->outputs); /* the checks read their dims */
	exec_block(&fr, &lm->checks);
	p->ws = alloc_aligned(&fr, lm->workspace ? index_of(&fr, lm->workspace) : 0, "workspace");
	p->weights = alloc_aligned(&fr, lm->weight_bytes, "weights");
	fill_weights(&fr, &p->weights);
	pack_ports(&fr, p);
	for (int i = 0; i < p->fn->nparam; i++)
		if (p->fn->params[i].buf)
			fr.bufs[i] = program_buffer(&fr, p, p->fn->params[i].buf);
	run_steps(&fr, p);
	read_cells(&fr, &p->ws);
	set_output_dims(&fr, p->outputs);
	pop_frame(&fr);
}

static const LFunc *find_program(const LModule *lm, const char *target)
{
	for (int i = 0; i < lm->nprog; i++)
		if (!strncmp(lm->programs[i]->name, "main.", 5) && !strcmp(lm->programs[i]->name + 5, target))
			return lm->programs[i];
	return NULL;
}

const char *interp_program(LModule *lm, const char *target, int threads, const Tensor *inputs, Tensor *outputs)
{
	int64_t status[MaxStatus] = {0};
	Program p = {.run = {.lm = lm, .nt = threads, .status = status, .inputs = inputs, .outputs = outputs},
	             .fn = find_program(lm, target), .outputs = outputs};
	if (!p.fn || threads < 1)
		return arena_printf(lm->m->arena, "no program for target %s and %d threads", target, threads);
	memset(outputs, 0, (size_t)lm->nout * sizeof *outputs);
	run_program(&p, threads);
	unpack_ports(&p);
	for (int i = 0; p.run.message && i < lm->nout; i++)
		free_tensor(&outputs[i]);
	free(p.ws.data);
	free(p.weights.data);
	return p.run.message;
}
