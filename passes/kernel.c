/* kernel.c - what schedules write with: a kernel, its parameters and the arguments of its call, and access to values through views. */
#include "feed.h"

#include <string.h>

Kernel open_kernel(Lower *l, const char *name, bool per_target)
{
	return (Kernel){.l = l, .b = new_kernel(l->lm, name, per_target ? l->t->name : NULL)};
}

Kernel open_inner(Kernel *caller, const char *name)
{
	Kernel k = open_kernel(caller->l, name, true);
	k.caller = caller;
	k.general = caller->general;
	return k;
}

typedef struct Locs {
	const Loc **e;
	int n, cap;
} Locs;

/* ONNX nodes of a group or node, those that feed it first; `all`, or the first one. */
static void add_locs(Lower *l, const Node *n, bool all, Locs *locs)
{
	if (!n)
		return;
	const Node *x = n->op == OpGroup ? n->body->first : n;

	if (all && x->nin && x->in[0] && feeder(x->in[0]))
		add_locs(l, feeder(x->in[0]), true, locs);
	for (; x; x = all && x != n ? x->next : NULL) {
		bool known = !x->loc;
		for (int i = 0; i < locs->n && !known; i++)
			known = x->loc == locs->e[i] || (x->loc->node && locs->e[i]->node && !strcmp(x->loc->node, locs->e[i]->node));
		if (!known)
			PUSH(l->m->arena, locs->e, locs->n, locs->cap, x->loc);
	}
}

void kcall(Kernel *k)
{
	Lower *l = k->l;
	LB *p = &l->prog;
	const Dim *bytes = dim_const(l->m, 0);
	Locs locs = {NULL};

	add_locs(l, k->with, k->flop, &locs);
	add_locs(l, l->node, k->flop, &locs);
	if (!k->b.fn->loc && locs.n)
		k->b.fn->loc = locs.e[0];
	LFunc *fn = finish_kernel(&k->b);
	for (int i = 0; i < k->nbuf; i++)
		if (k->bufs[i].bytes)
			bytes = dim_add(l->m, bytes, k->bufs[i].bytes);
	if (k->runs) {
		bytes = dim_mul(l->m, bytes, k->runs);
		k->flop = k->flop ? dim_mul(l->m, k->flop, k->runs) : NULL;
	}
	lstep(p);
	lstep_cost(p, ldim(p, k->flop ? k->flop : dim_const(l->m, 0)), ldim(p, bytes), locs.n, locs.e);
	lcall(p, fn, k->narg, k->args);
	lend(p);
	l->nstep++;
}

void kcall_inner(Kernel *k)
{
	lcall(&k->caller->b, finish_kernel(&k->b), k->narg, k->args);
}

void kflop(Kernel *k, const Dim *flop)
{
	k->flop = k->flop ? dim_add(k->l->m, k->flop, flop) : flop;
}

void kflop_nodes(Kernel *k, const Node *first, const Node *end)
{
	for (const Node *n = first; n != end; n = n->next)
		if (n->op != OpIdentity && n->op != OpCast && n->op != OpBitCast && ops[n->op].cls != ClsMove)
			kflop(k, dim_mul_const(k->l->m, type_numel(k->l->m, &n->out[0]->type), n->op == OpGlu ? 2 : 1));
}

static KernelBuf *find_buf(Kernel *k, const LBuf *buf)
{
	for (int i = 0; i < k->nbuf; i++)
		if (k->bufs[i].buf == buf)
			return &k->bufs[i];
	bug("kernel %s has no such buffer", k->b.fn->name);
}

void kreads(Kernel *k, const LBuf *buf, const Dim *elements)
{
	KernelBuf *kb = find_buf(k, buf);
	kb->bytes = dim_min(k->l->m, dim_mul_const(k->l->m, elements, dtypes[buf->elem].bytes), kb->bytes);
}

/* `bytes` more of a buffer, of which there are `all`. */
static void count_bytes(Kernel *k, const LBuf *buf, const Dim *bytes, const Dim *all)
{
	Module *m = k->l->m;
	KernelBuf *kb = find_buf(k, buf);
	kb->bytes = dim_min(m, kb->bytes ? dim_add(m, kb->bytes, bytes) : bytes, all);
}

static const char *add_arg(Kernel *k, LArg arg, char letter)
{
	Arena *arena = k->l->m->arena;
	PUSH(arena, k->args, k->narg, k->caparg, arg);
	return arena_printf(arena, "%c%d", letter, k->narg - 1);
}

static LExpr *add_scalar(Kernel *k, LExpr *value)
{
	return lparam(&k->b, add_arg(k, arg_e(value), 'n'));
}

LExpr *kvalue(Kernel *k, LExpr *of_caller)
{
	return add_scalar(k, of_caller);
}

const Dim *times_of_elements(Module *m, const Dim *times, const Dim *elements)
{
	int64_t lo, hi;
	const Dim *q;
	dim_range(elements, &lo, &hi);
	return lo >= 1 || dim_poly_div(m, times, elements, &q) ? times : dim_mul(m, times, dim_min(m, elements, dim_const(m, 1)));
}

HowMany how_many(const Dim *d, int64_t few)
{
	int64_t least, most;

	dim_range(d, &least, &most);
	return least > few ? Many : most <= few ? Few : FewOrMany;
}

const Dim *is_few(Module *m, const Dim *d, int64_t few)
{
	const Dim *one = dim_const(m, 1);
	return how_many(d, few) == Few ? one : dim_max(m, dim_min(m, dim_sub(m, dim_const(m, few + 1), d), one), dim_const(m, 0));
}

LStmt *skip_steps(Lower *l, LExpr *condition)
{
	return ljump(&l->prog, condition, 0);
}

LStmt *skip_where_few(Lower *l, const Dim *d, int64_t few)
{
	LB *p = &l->prog;
	return skip_steps(l, llt(p, ldim(p, d), li(p, few + 1)));
}

void end_skip(Lower *l, LStmt *jump)
{
	if (jump)
		jump->code = l->jumped = l->nstep;
}

LExpr *kdim(Kernel *k, const Dim *d)
{
	int64_t v;

	return dim_is_const(d, &v) && (!k->general || v == 0 || v == 1) ? li(&k->b, v) : kparam(k, d);
}

/* place: NULL: asked for once. */
static LExpr *dim_argument(Kernel *k, const Dim *d, const void *place)
{
	bool own = k->general && dim_is_const(d, NULL);
	for (int i = 0; i < k->ndim; i++)
		if (k->dims[i].dim == d && (!own || (place && k->dims[i].place == place)))
			return k->dims[i].var;
	LExpr *value = k->caller ? dim_argument(k->caller, d, place) : ldim(&k->l->prog, d);
	KernelDim kd = {d, place, add_scalar(k, value)};
	PUSH(k->l->m->arena, k->dims, k->ndim, k->capdim, kd);
	return kd.var;
}

LExpr *kparam(Kernel *k, const Dim *d)
{
	return dim_argument(k, d, NULL);
}

LExpr *kparam_at(Kernel *k, const Dim *const *place)
{
	return dim_argument(k, *place, place);
}

static LBuf *add_buffer(Kernel *k, const void *key, DType dtype, bool write, LArg arg)
{
	for (int i = 0; i < k->nbuf; i++)
		if (k->bufs[i].key == key) {
			k->bufs[i].buf->written |= write;
			return k->bufs[i].buf;
		}
	KernelBuf kb = {.key = key, .buf = lparam_buf(&k->b, add_arg(k, arg, 'b'), dtype, write)};
	PUSH(k->l->m->arena, k->bufs, k->nbuf, k->capbuf, kb);
	return kb.buf;
}

LBuf *kbuffer(Kernel *k, LBuf *of_caller, bool write)
{
	return add_buffer(k, of_caller, of_caller->elem, write, arg_buf(of_caller, of_caller->elem, li(&k->caller->b, 0), NULL));
}

static LBuf *buf_as(Kernel *k, Value *root, DType t, bool write)
{
	Home *h = find_home(k->l, root);
	Module *m = k->l->m;
	LB *p = &k->l->prog;
	LExpr *offset = ldim(p, dim_floordiv(m, h->offset, dim_const(m, dtypes[t].bytes)));

	Type storage;
	storage_type(m, root, &storage);
	return add_buffer(k, root, t, write, arg_buf(h->buf, t, offset, ldim(p, type_numel(m, &storage))));
}

static LBuf *value_buf(Kernel *k, Value *root, bool write)
{
	return buf_as(k, root, root->type.dtype, write);
}

static const Dim *bytes_of(Module *m, const Type *t)
{
	return dim_mul_const(m, type_numel(m, t), dtypes[t->dtype].bytes);
}

LBuf *kcells(Kernel *k)
{
	LB *p = &k->l->prog;
	return add_buffer(k, k->l, I64, true, arg_buf(k->l->ws, I64, li(p, 0), li(p, count_cells(k->l->m))));
}

LBuf *kbuf(Kernel *k, Value *root, bool write)
{
	LBuf *buf = value_buf(k, root, write);
	const Dim *all = bytes_of(k->l->m, &root->type);

	count_bytes(k, buf, all, all);
	return buf;
}

LBuf *kbytes(Kernel *k, Value *root, DType t, bool write)
{
	LBuf *buf = buf_as(k, root, t, write);
	const Dim *all = bytes_of(k->l->m, &root->type);

	count_bytes(k, buf, all, all);
	return buf;
}

LBuf *kport(Kernel *k, LBuf *port, const Dim *bytes, bool write)
{
	LB *p = &k->l->prog;
	LBuf *buf = add_buffer(k, port, U8, write, arg_buf(port, U8, li(p, 0), ldim(p, bytes)));

	count_bytes(k, buf, bytes, bytes);
	return buf;
}

LBuf *kslot_of(Kernel *k, Slot *s, DType d, bool write)
{
	Module *m = k->l->m;
	LB *p = &k->l->prog;
	const Dim *bytes = dim_const(m, dtypes[d].bytes);
	LBuf *buf = add_buffer(k, s, d, write, arg_buf(k->l->ws, d, ldim(p, dim_floordiv(m, s->offset, bytes)),
	                                               ldim(p, dim_floordiv(m, s->size->bytes, bytes))));

	count_bytes(k, buf, s->need, s->need);
	return buf;
}

LBuf *kslot(Kernel *k, Slot *s, bool write)
{
	return kslot_of(k, s, F32, write);
}

LExpr *threads_of(Lower *l)
{
	const LFunc *program = l->prog.fn;
	for (int i = 0; i < program->nparam; i++)
		if (program->params[i].e && program->params[i].e->var == l->lm->syms[l->lm->nsym - 1])
			return program->params[i].e;
	bug("a program does not know its threads");
}

LExpr *kthreads(Kernel *k)
{
	return add_scalar(k, threads_of(k->l));
}

LBuf *kscratch(Kernel *k)
{
	return kscratch_of(k, F32);
}

LBuf *kscratch_of(Kernel *k, DType d)
{
	Lower *l = k->l;
	LB *p = &l->prog;
	LExpr *at = d == F32 ? l->scratch : lop(p, LFloorDiv, lmul(p, l->scratch, li(p, 4)), li(p, dtypes[d].bytes), NULL);
	return add_buffer(k, &l->scratch, d, true, arg_buf(l->ws, d, at, NULL));
}

LExpr *kworker(Kernel *k)
{
	return add_scalar(k, k->l->worker);
}

/* Of the elements that a view shows; broadcast axes show the same ones again. */
static const Dim *viewed_bytes(Module *m, const View *w, DType dtype)
{
	const Dim *n = dim_const(m, dtypes[dtype].bytes);
	for (int i = 0; i < w->first[w->rank]; i++)
		if (!dim_equals(w->f[i].stride, 0))
			n = dim_mul(m, n, w->f[i].extent);
	return n;
}

Access kaccess(Kernel *k, Value *v)
{
	View w;
	Module *m = k->l->m;
	Access a = {.rank = v->type.rank, .dtype = v->type.dtype};

	plain_view(m, v, &w);
	a.buf = value_buf(k, w.root, false);
	count_bytes(k, a.buf, viewed_bytes(m, &w, v->type.dtype), bytes_of(m, &w.root->type));
	a.base = w.base;
	for (int d = 0; d < a.rank; d++) {
		a.extent[d] = v->type.dims[d];
		a.stride[d] = w.first[d + 1] > w.first[d] ? w.f[w.first[d]].stride : dim_const(m, 0);
	}
	return a;
}

Access dense_access(Module *m, const Type *t, const Dim *const *dims)
{
	Access a = {.rank = t->rank, .base = dim_const(m, 0), .dtype = t->dtype};
	const Dim *stride = dim_const(m, 1);

	for (int d = t->rank - 1; d >= 0; d--) {
		a.stride[d] = stride;
		a.extent[d] = t->dims[d];
		stride = dim_mul(m, stride, dims[d]);
	}
	return a;
}

Access written_access(Kernel *k, const Type *t, Value *home)
{
	Access y = dense_access(k->l->m, t, t->dims);
	y.buf = kbuf(k, home, true);
	return y;
}

Access broadcast_access(Module *m, const Access *a, int rank)
{
	Access r = {.buf = a->buf, .base = a->base, .rank = rank, .dtype = a->dtype};
	for (int d = 0; d < rank; d++) {
		int e = d - (rank - a->rank);
		r.stride[d] = e < 0 ? dim_const(m, 0) : a->stride[e];
		r.extent[d] = e < 0 ? dim_const(m, 1) : a->extent[e];
	}
	return r;
}

LExpr *kbase(Kernel *k, const Access *a)
{
	return dim_equals(a->base, 0) && !k->general ? li(&k->b, 0) : kparam(k, a->base);
}

LExpr *offset_of(Kernel *k, const Access *a, LExpr *const *idx)
{
	LB *b = &k->b;
	LExpr *at = kbase(k, a);

	for (int d = 0; d < a->rank; d++)
		if (idx[d] && !dim_equals(a->stride[d], 0))
			at = ladd(b, at, lmul(b, idx[d], kdim(k, a->stride[d])));
	return at;
}

void fail_index(Kernel *k, const Node *n, int operand, LExpr *index)
{
	Module *m = k->l->m;
	const Value *v = n->in[operand];
	const char *name = message_name(m, v->name ? v->name : "indices");
	lfail(&k->b, 0, lmessage(k->l->lm, arena_printf(m->arena, "%s: tensor '%s': index {} out of range",
	                                             message_place(m, n->loc, ops[n->op].text), name)), index);
}

void split_index(Kernel *k, LExpr *at, const Dim *const *extent, int n, LExpr **idx)
{
	LB *b = &k->b;

	for (int d = n - 1; d >= 0; d--) {
		idx[d] = at;
		if (!d)
			break;
		LExpr *n = kdim(k, extent[d]);
		idx[d] = llet(b, lop(b, LMod, at, n, NULL));
		at = llet(b, lop(b, LFloorDiv, at, n, NULL));
	}
}

void tap_range(LB *b, LExpr *from, LExpr *to, LExpr *extent, int64_t dilation, LExpr *taps, LExpr **lo, LExpr **hi)
{
	LExpr *step = li(b, dilation), *up = li(b, dilation - 1);
	*lo = llet(b, lop(b, LPMax, lop(b, LFloorDiv, lsub(b, up, to), step, NULL), li(b, 0), NULL));
	*hi = llet(b, lop(b, LPMin, lop(b, LFloorDiv, ladd(b, lsub(b, extent, from), up), step, NULL), taps, NULL));
}

bool is_small_step(const Dim *stride)
{
	int64_t step;
	return dim_is_const(stride, &step) && (!step || loads_by_shuffles(step));
}

LExpr *kstep(Kernel *k, const Dim *stride)
{
	int64_t step;
	return is_small_step(stride) && dim_is_const(stride, &step) ? li(&k->b, step) : kdim(k, stride);
}

LExpr *load_lanes(Kernel *k, const Access *a, LExpr *offset, const Dim *stride, LExpr *mask)
{
	LB *b = &k->b;

	if (dim_equals(stride, 0))
		return lcast(b, LSplat, (LType){a->dtype, Lanes}, lload(b, a->buf, 1, offset, NULL, NULL));
	return lload(b, a->buf, Lanes, offset, dim_equals(stride, 1) ? NULL : kstep(k, stride), mask);
}

LExpr *this_worker(Kernel *k)
{
	return llet(&k->b, lcast(&k->b, LWorker, IndexType, NULL));
}

LExpr *own_tasks(Kernel *k, LExpr *tasks)
{
	LB *b = &k->b;
	LExpr *worker = this_worker(k), *workers = kthreads(k);
	return lfor(b, ForSerial, lop(b, LFloorDiv, lmul(b, tasks, worker), workers, NULL),
	            lop(b, LFloorDiv, lmul(b, tasks, ladd(b, worker, li(b, 1))), workers, NULL), NULL);
}

LExpr *share_tasks(Kernel *k, LExpr *tasks)
{
	return lfor(&k->b, ForParallel, li(&k->b, 0), tasks, NULL);
}

LExpr *lane_mask(Kernel *k, LExpr *left)
{
	LB *b = &k->b;
	LExpr *few = lop(b, LPMin, lop(b, LPMax, left, li(b, 0), NULL), li(b, Lanes), NULL); /* 32-bit lanes compare faster */
	return llet(b, llt(b, lcast(b, LIota, (LType){I32, Lanes}, NULL), llet(b, lcast(b, LConvert, (LType){I32, 1}, few))));
}

void for_lanes(Kernel *k, const Dim *n, void (*body)(void *ctx, Kernel *, LExpr *i, LExpr *mask), void *ctx)
{
	LB *b = &k->b;
	LExpr *len = kdim(k, n), *step = li(b, Lanes);
	int64_t count;
	bool known = dim_is_const(n, &count);
	LExpr *whole = lmul(b, lop(b, LFloorDiv, len, step, NULL), step);

	if (!known || count >= Lanes) {
		LExpr *i = lfor(b, ForSerial, li(b, 0), whole, step);
		body(ctx, k, i, NULL);
		lend(b);
	}
	if (known && count % Lanes == 0)
		return;
	if (!known)
		lif(b, llt(b, whole, len));
	LExpr *i = llet(b, whole);
	body(ctx, k, i, lane_mask(k, lsub(b, len, i)));
	if (!known)
		lend(b);
}
