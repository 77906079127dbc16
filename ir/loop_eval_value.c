/* loop_eval_value.c - expressions of loop IR: reading and writing buffers, tiles, and what is computed of them. */
#include "loop_eval.h"

#include <string.h>

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

static const Val *get_value(Frame *, const LExpr *, Val *tmp);

static void load_lanes(Frame *fr, const LExpr *e, Val *r)
{
	const LMem *m = &fr->bufs[e->buf->number];
	int64_t at = index_of(fr, e->a[0]), stride = e->stride ? index_of(fr, e->stride) : 1;
	int n = e->type.lanes;
	if (!e->mask && !e->stride && m->elem == F32 && n == Lanes && at >= 0 && at <= m->count - Lanes) {
		memcpy(r->f, (const float *)m->data + at, sizeof r->f);
		return;
	}
	Val tmp;
	const Val *mask = e->mask ? get_value(fr, e->mask, &tmp) : NULL;
	for (int l = 0; l < n; l++) {
		if (mask && !mask->i[l]) {
			zero_lane(m->elem, r, l);
			continue;
		}
		load_lane(m, lane_index(fr, "load of", e->buf, at, stride, l, n), r, l);
	}
}

void store_lanes(Frame *fr, const LStmt *s)
{
	const LMem *m = &fr->bufs[s->buf->number];
	int64_t at = index_of(fr, s->idx), stride = s->stride ? index_of(fr, s->stride) : 1;
	int n = s->e->type.lanes;
	Val tmp, tmp2;
	const Val *v = get_value(fr, s->e, &tmp), *mask = s->mask ? get_value(fr, s->mask, &tmp2) : NULL;
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

static void arithmetic(Frame *fr, const LExpr *e, Val *r)
{
	Val tx, ty, tz;
	const Val *x = get_value(fr, e->a[0], &tx);
	const Val *y = e->a[1] ? get_value(fr, e->a[1], &ty) : x, *z = e->a[2] ? get_value(fr, e->a[2], &tz) : x;
	DType elem = e->a[0]->type.elem;
	int n = e->type.lanes;
	if (e->op == LSelect) {
		choose_lanes(e->type.elem, n, r, x, y, z);
	} else if (e->op == LZipLo || e->op == LZipHi) {
		zip_lanes(elem, e->op == LZipLo ? 0 : Lanes / 2, r, x, y);
	} else {
		combine_lanes(e->op, elem, n, r, x, y, z);
	}
}

void eval_expr(Frame *fr, const LExpr *e, Val *r)
{
	Val tmp;
	switch (e->op) {
	case LConst: fill_const(e, r); break;
	case LRef: *r = fr->vars[e->var->number]; break;
	case LElem: *r = *tile_element(fr, e->tile, e->a[0], e->a[1]); break;
	case LLoad: load_lanes(fr, e, r); break;
	case LConvert: convert_lanes(e->a[0]->type.elem, e->type.elem, e->type.lanes, r, get_value(fr, e->a[0], &tmp)); break;
	case LBitcast: bitcast_lanes(e->a[0]->type.elem, e->type.elem, e->type.lanes, r, get_value(fr, e->a[0], &tmp)); break;
	case LSplat: splat_lane(e->type.elem, r, get_value(fr, e->a[0], &tmp)); break;
	case LIota: iota_lanes(e->type.elem, r); break;
	case LFailed: r->i[0] = fr->run->status[0] != 0; break;
	case LWorker: r->i[0] = fr->run->tid; break;
	case LHAdd: case LHMax: case LHMin: reduce_lanes(e->op, e->type.elem, r, get_value(fr, e->a[0], &tmp)); break;
	case LInDim: case LOutDim: r->i[0] = tensor_dim(fr, e); break;
	case LInData: case LInScaled: r->i[0] = tensor_element(fr, e); break;
	default: arithmetic(fr, e, r);
	}
}

/* The value where it lies, or computed into *tmp. */
static const Val *get_value(Frame *fr, const LExpr *e, Val *tmp)
{
	if (e->op == LRef)
		return &fr->vars[e->var->number];
	if (e->op == LElem)
		return tile_element(fr, e->tile, e->a[0], e->a[1]);
	eval_expr(fr, e, tmp);
	return tmp;
}

/* Index arithmetic is most of the work, so it has a short way. */
int64_t index_of(Frame *fr, const LExpr *e)
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
	default: eval_expr(fr, e, &tmp); return tmp.i[0];
	}
}

void set_tile(Frame *fr, const LStmt *s)
{
	Val tmp;
	Val *to = tile_element(fr, s->tile, s->idx, s->hi);
	const Val *v = get_value(fr, s->e, &tmp);
	memmove(to, v, sizeof *to);
}
