/* lower.c - the pass lower: places every buffer, lowers each node by the schedule of its operator, and frames the programs.
 *
 * Buffers: a value that no view explains gets a slot of the workspace from its definition to its last use; slots are reused
 * when their size fits for all values of the symbols.  Outputs are written in place.  Constant expressions become weights.
 * Each target has a program of its own; symbols, checks, sizes and weights are shared.
 */
#include "lower.h"
#include <stdlib.h>
#include <string.h>

/* ---- slots ---------------------------------------------------------------------------------------------------------------- */

static const Dim *aligned(Module *m, const Dim *bytes)
{
	return dim_mul_const(m, dim_ceildiv(m, bytes, dim_const(m, 64)), 64);
}

static bool fits(Module *m, const Dim *need, const Dim *have)
{
	int64_t lo, hi;
	if (need == have)
		return true;
	dim_range(dim_sub(m, have, need), &lo, &hi);
	return lo >= 0;
}

/* What the report calls the result of a node. */
static const char *value_name(const Node *n)
{
	const Node *last = n->op == OpGroup ? n->body->last : n;
	if (n->out[0]->name)
		return n->out[0]->name;
	return last->loc && last->loc->node ? last->loc->node : ops[last->op].text;
}

Slot *new_slot(Lower *l, const Dim *bytes)
{
	const Dim *need = bytes;
	Slot *best = NULL;
	bytes = aligned(l->m, bytes);
	for (int i = 0; i < l->nslot; i++) {
		Slot *s = l->slots[i];
		if (s->used || !fits(l->m, bytes, s->bytes))
			continue;
		if (!best || (s->bytes != best->bytes && fits(l->m, s->bytes, best->bytes)))
			best = s; /* the smallest that is known to fit */
	}
	if (!best) {
		best = arena_alloc(l->m->arena, sizeof *best);
		*best = (Slot){.offset = l->bytes, .bytes = bytes};
		l->bytes = dim_add(l->m, l->bytes, bytes);
		PUSH(l->m->arena, l->slots, l->nslot, l->capslot, best);
	}
	best->used = true;
	best->need = need;
	best->what = value_name(l->node);
	best->from = l->nstep;
	return best;
}

static void release_slot(Lower *l, Slot *s)
{
	s->used = false;
	report_place(l->t->name, s->offset, s->bytes, s->what, s->from, l->nstep - 1);
}

static Slot *operand_slot(Lower *l, const Dim *elements)
{
	Slot *s = new_slot(l, dim_mul_const(l->m, elements, 4));
	s->what = arena_printf(l->m->arena, "packed operand of %s", s->what);
	return s;
}

Slot *temp_slot(Lower *l, const Dim *elements)
{
	if (l->ntemp == (int)(sizeof l->temp / sizeof *l->temp))
		bug("too many temporaries in one schedule");
	return l->temp[l->ntemp++] = operand_slot(l, elements);
}

Slot *hold_packed(Lower *l, Value *v, const Dim *elements)
{
	if (l->packed_of == v)
		return NULL;
	if (l->packed)
		release_slot(l, l->packed);
	l->packed_of = v;
	return l->packed = operand_slot(l, elements);
}

void need_scratch(Lower *l, const Dim *elements)
{
	l->worker_bytes = dim_max(l->m, l->worker_bytes, aligned(l->m, dim_mul_const(l->m, elements, 4)));
}

/* ---- homes ---------------------------------------------------------------------------------------------------------------- */

void plain_view(Module *m, Value *v, View *w)
{
	View full;

	view_of(m, v, &full);
	*w = (View){.root = full.root, .base = full.base, .rank = full.rank};
	int k = 0;
	for (int d = 0; d < full.rank; d++) {
		Factor f[MaxFactors];
		int n = merge_factors(m, &full, d, d + 1, f);
		if (n > 1) {
			view_identity(m, v, w);
			return;
		}
		w->first[d] = k;
		if (n)
			w->f[k++] = f[0];
	}
	w->first[full.rank] = k;
	if (!view_storage(m, w))
		fatal_at(v->def ? v->def->loc : NULL, "state: the cache is read in an order that its layout in memory does not have");
}

static Home *home_of(Value *v)
{
	return v->scratch;
}

static Home *new_home(Lower *l, Value *v)
{
	if (!v->scratch) {
		v->scratch = arena_alloc(l->m->arena, sizeof(Home));
		((Home *)v->scratch)->last = -1;
		PUSH(l->m->arena, l->home_values, l->nhome, l->caphome, v);
	}
	return v->scratch;
}

/* Root of v for code: itself or what it views. */
static Value *root_of(Module *m, Value *v)
{
	View w;
	plain_view(m, v, &w);
	return w.root;
}

static int add_weight(Lower *l, Value *v)
{
	LModule *lm = l->lm;
	for (int i = 0; i < lm->nweight; i++)
		if (lm->weights[i] == v)
			return i;
	int64_t bytes, numel = const_numel(&v->type);
	bytes = numel * dtypes[v->type.dtype].bytes;
	PUSH(l->m->arena, lm->weights, lm->nweight, lm->capweight, v);
	PUSH(l->m->arena, lm->weight_off, lm->nweight_off, lm->capweight_off, lm->weight_bytes);
	if (__builtin_add_overflow(lm->weight_bytes, (bytes + 63) / 64 * 64, &lm->weight_bytes))
		fatal_at(&(Loc){.file = l->m->path}, "the weights are too large");
	return lm->nweight - 1;
}

/* Inputs, constants and constant expressions find their homes when first used. */
static Home *find_home(Lower *l, Value *v)
{
	Home *h = home_of(v);
	if (h && h->buf)
		return h;
	if (is_const(v)) {
		h = new_home(l, v);
		h->buf = l->weights;
		int w = add_weight(l, v); /* may move the table */
		h->offset = dim_const(l->m, l->lm->weight_off[w]);
		return h;
	}
	if (!v->def && !v->konst) {
		h = new_home(l, v);
		h->buf = l->in[v->index];
		h->offset = dim_const(l->m, 0);
		return h;
	}
	bug("a value of %s has no place", v->def ? ops[v->def->op].text : "a parameter");
}

/* ---- kernels -------------------------------------------------------------------------------------------------------------- */

Kernel open_kernel(Lower *l, const char *name, bool per_target)
{
	return (Kernel){.l = l, .b = new_kernel(l->lm, name, per_target ? l->t->name : NULL)};
}

/* ONNX nodes of the step: all of a group; the first alone for a kernel that only moves data. */
static int step_locs(Lower *l, bool all, const Loc ***out)
{
	const Loc **locs = NULL;
	int n = 0, cap = 0;
	const Node *x = l->node->op == OpGroup ? l->node->body->first : l->node;

	for (; x; x = all && x != l->node ? x->next : NULL) {
		bool known = !x->loc;
		for (int i = 0; i < n && !known; i++)
			known = x->loc == locs[i] || (x->loc->node && locs[i]->node && !strcmp(x->loc->node, locs[i]->node));
		if (!known)
			PUSH(l->m->arena, locs, n, cap, x->loc);
	}
	*out = locs;
	return n;
}

void kcall(Kernel *k)
{
	Lower *l = k->l;
	LB *p = &l->prog;
	const Dim *bytes = dim_const(l->m, 0);
	const Loc **locs;
	int nloc = step_locs(l, k->flop, &locs);

	if (!k->b.fn->loc && nloc)
		k->b.fn->loc = locs[0];
	LFunc *fn = finish_kernel(&k->b);
	for (int i = 0; i < k->nbuf; i++)
		if (k->bytes[i])
			bytes = dim_add(l->m, bytes, k->bytes[i]);
	lstep(p);
	lstep_cost(p, ldim(p, k->flop ? k->flop : dim_const(l->m, 0)), ldim(p, bytes), nloc, locs);
	lcall(p, fn, k->narg, k->args);
	lend(p);
	l->nstep++;
}

void kflop(Kernel *k, const Dim *flop)
{
	k->flop = k->flop ? dim_add(k->l->m, k->flop, flop) : flop;
}

void kflop_nodes(Kernel *k, const Node *first, const Node *end)
{
	for (const Node *n = first; n != end; n = n->next)
		if (n->op != OpIdentity && n->op != OpCast)
			kflop(k, dim_mul_const(k->l->m, type_numel(k->l->m, &n->out[0]->type), n->op == OpGlu ? 2 : 1));
}

void kreads(Kernel *k, const LBuf *buf, const Dim *elements)
{
	for (int i = 0; i < k->nbuf; i++)
		if (k->bufs[i] == buf)
			k->bytes[i] = dim_min(k->l->m, dim_mul_const(k->l->m, elements, dtypes[buf->elem].bytes), k->bytes[i]);
}

/* `bytes` more of a buffer, of which there are `all`. */
static void count_bytes(Kernel *k, const LBuf *buf, const Dim *bytes, const Dim *all)
{
	Module *m = k->l->m;
	for (int i = 0; i < k->nbuf; i++)
		if (k->bufs[i] == buf)
			k->bytes[i] = dim_min(m, k->bytes[i] ? dim_add(m, k->bytes[i], bytes) : bytes, all);
}

static LExpr *add_scalar(Kernel *k, LExpr *value)
{
	if (k->narg == MaxLArgs)
		bug("kernel %s has too many parameters", k->b.fn->name);
	k->args[k->narg] = arg_e(value);
	return lparam(&k->b, arena_printf(k->l->m->arena, "n%d", k->narg++));
}

LExpr *kdim(Kernel *k, const Dim *d)
{
	int64_t v;

	if (dim_is_const(d, &v))
		return li(&k->b, v);
	for (int i = 0; i < k->ndim; i++)
		if (k->dims[i] == d)
			return k->dim_vars[i];
	if (k->ndim == MaxKDims)
		bug("kernel %s has too many dims", k->b.fn->name);
	k->dims[k->ndim] = d;
	return k->dim_vars[k->ndim++] = add_scalar(k, ldim(&k->l->prog, d));
}

static LBuf *add_buffer(Kernel *k, const void *key, DType dtype, bool write, LArg arg)
{
	for (int i = 0; i < k->nbuf; i++)
		if (k->keys[i] == key) {
			k->bufs[i]->written |= write;
			return k->bufs[i];
		}
	if (k->narg == MaxLArgs)
		bug("kernel %s has too many parameters", k->b.fn->name);
	k->args[k->narg] = arg;
	k->keys[k->nbuf] = key;
	return k->bufs[k->nbuf++] = lparam_buf(&k->b, arena_printf(k->l->m->arena, "b%d", k->narg++), dtype, write);
}

static LBuf *value_buf(Kernel *k, Value *root, bool write)
{
	Home *h = find_home(k->l, root);
	Module *m = k->l->m;
	DType t = root->type.dtype;
	LB *p = &k->l->prog;
	LExpr *offset = ldim(p, dim_floordiv(m, h->offset, dim_const(m, dtypes[t].bytes)));

	Type storage;
	storage_type(m, root, &storage);
	return add_buffer(k, root, t, write, arg_buf(h->buf, t, offset, ldim(p, type_numel(m, &storage))));
}

static const Dim *bytes_of(Module *m, const Type *t)
{
	return dim_mul_const(m, type_numel(m, t), dtypes[t->dtype].bytes);
}

LBuf *kbuf(Kernel *k, Value *root, bool write)
{
	LBuf *buf = value_buf(k, root, write);
	const Dim *all = bytes_of(k->l->m, &root->type);

	count_bytes(k, buf, all, all);
	return buf;
}

LBuf *kslot(Kernel *k, Slot *s, bool write)
{
	Module *m = k->l->m;
	LB *p = &k->l->prog;
	const Dim *four = dim_const(m, 4);
	LBuf *buf = add_buffer(k, s, F32, write, arg_buf(k->l->ws, F32, ldim(p, dim_floordiv(m, s->offset, four)),
	                                                 ldim(p, dim_floordiv(m, s->bytes, four))));

	count_bytes(k, buf, s->need, s->need);
	return buf;
}

LExpr *kthreads(Kernel *k)
{
	Lower *l = k->l;
	LExpr *threads = NULL;
	for (int i = 0; i < l->prog.fn->nparam; i++)
		if (l->prog.fn->params[i].e && l->prog.fn->params[i].e->var == l->lm->syms[l->lm->nsym - 1])
			threads = l->prog.fn->params[i].e;
	return add_scalar(k, threads);
}

LBuf *kscratch(Kernel *k)
{
	Lower *l = k->l;
	return add_buffer(k, &l->scratch, F32, true, arg_buf(l->ws, F32, l->scratch, NULL));
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

LExpr *offset_of(Kernel *k, const Access *a, LExpr *const *idx)
{
	LB *b = &k->b;
	LExpr *at = kdim(k, a->base);

	for (int d = 0; d < a->rank; d++)
		if (idx[d] && !dim_equals(a->stride[d], 0))
			at = ladd(b, at, lmul(b, idx[d], kdim(k, a->stride[d])));
	return at;
}

void split_index(Kernel *k, LExpr *at, const Dim *const *extent, int n, LExpr **idx)
{
	LB *b = &k->b;

	for (int d = n - 1; d >= 0; d--) {
		idx[d] = d ? llet(b, lop(b, LMod, at, kdim(k, extent[d]), NULL)) : at;
		if (d)
			at = llet(b, lop(b, LFloorDiv, at, kdim(k, extent[d]), NULL));
	}
}

LExpr *load_lanes(Kernel *k, const Access *a, LExpr *offset, const Dim *stride, LExpr *mask)
{
	LB *b = &k->b;

	if (dim_equals(stride, 0))
		return lcast(b, LSplat, (LType){a->dtype, Lanes}, lload(b, a->buf, 1, offset, NULL, NULL));
	return lload(b, a->buf, Lanes, offset, dim_equals(stride, 1) ? NULL : kdim(k, stride), mask);
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

/* ---- nodes ---------------------------------------------------------------------------------------------------------------- */

static bool is_alias(Module *m, Node *n)
{
	return n->nout == 1 && root_of(m, n->out[0]) != n->out[0];
}

/* Values that code must compute: views are read through their roots, constants are weights unless they are results. */
static bool needs_code(Module *m, Node *n)
{
	return !is_alias(m, n) && (!is_const(n->out[0]) || is_output(n->out[0]));
}

static void use_operands(Lower *l, Node *n, int at)
{
	for (int i = 0; i < n->nin; i++)
		if (n->in[i]) {
			Value *r = root_of(l->m, n->in[i]);
			if (!is_const(r))
				new_home(l, r)->last = at;
		}
	if (n->body)
		for (Node *x = n->body->first; x; x = x->next)
			use_operands(l, x, at);
}

static void find_last_uses(Lower *l)
{
	int at = 0;

	for (Node *n = l->m->main->body.first; n; n = n->next, at++)
		if (needs_code(l->m, n))
			use_operands(l, n, at);
}

static void lower_root(Lower *l, Node *root, Node *epilogue, Value *result, Value *home)
{
	switch (ops[root->op].cls) {
	case ClsEwise: lower_ewise(l, root, NULL, result, home); return;
	case ClsReduce: lower_rows(l, root, home); return;
	case ClsIndex: lower_gather(l, root, home); return;
	case ClsSource: case ClsMove: lower_move(l, root, home); return;
	case ClsExtern: lower_custom(l, root); return;
	case ClsAttention: lower_attention(l, root, home); return;
	case ClsWindow:
		if (root->op == OpWinConv)
			lower_winconv(l, root, home);
		else
			lower_conv(l, root, home);
		return;
	case ClsGemm:
		if (root->op == OpMatMul)
			lower_matmul(l, root, home);
		else
			lower_linear(l, root, epilogue, result, home);
		return;
	default: bug("no schedule for %s", ops[root->op].text);
	}
}

static void place_result(Lower *l, Value *v)
{
	Home *h = new_home(l, v);

	if (h->buf)
		return; /* an output */
	h->slot = new_slot(l, dim_mul_const(l->m, type_numel(l->m, &v->type), dtypes[v->type.dtype].bytes));
	h->buf = l->ws;
	h->offset = h->slot->offset;
}

static bool is_used(const Node *n)
{
	for (int i = 0; i < n->nout; i++)
		if (n->out[i]->nuse)
			return true;
	return false;
}

static void lower_node(Lower *l, Node *n, int at)
{
	Value *v = n->out[0];

	if (!needs_code(l->m, n) || !is_used(n))
		return;
	l->node = n;
	for (int i = 0; i < n->nout; i++)
		place_result(l, n->out[i]);
	l->ntemp = 0;
	if (n->op == OpGroup)
		lower_root(l, n->body->first, n->body->first->next, n->body->yields[0], v);
	else
		lower_root(l, n, NULL, v, v);
	for (int i = 0; i < l->ntemp; i++)
		release_slot(l, l->temp[i]);
	for (int i = 0; i < l->nhome; i++) {
		Home *d = home_of(l->home_values[i]);
		if (d->slot && d->last <= at) {
			release_slot(l, d->slot);
			d->slot = NULL;
		}
	}
}

/* ---- programs ------------------------------------------------------------------------------------------------------------- */

static LExpr *sym_ref(Lower *l, int i)
{
	LExpr *e = arena_alloc(l->m->arena, sizeof *e);
	*e = (LExpr){.op = LRef, .type = {I64, 1}, .var = l->lm->syms[i]};
	return e;
}

static void open_program(Lower *l)
{
	Module *m = l->m;
	LFunc *fn = arena_alloc(m->arena, sizeof *fn);
	int nout = m->main->body.nyield, np = m->main->nparam;

	*fn = (LFunc){.name = arena_printf(m->arena, "main.%s", l->t->name), .program = true, .target = l->t->name};
	fn->params = arena_alloc(m->arena, (np + nout + 2 + l->lm->nsym + MaxLArgs) * sizeof *fn->params);
	l->prog = (LB){.m = m, .lm = l->lm, .fn = fn, .at = &fn->body};
	l->in = arena_alloc(m->arena, (np + 1) * sizeof *l->in);
	l->out = arena_alloc(m->arena, (nout + 1) * sizeof *l->out);
#define PROGRAM_BUF(dst, nm, type, w)                                                                                  \
	do {                                                                                                           \
		LBuf *buf_ = arena_alloc(m->arena, sizeof *buf_);                                                      \
		*buf_ = (LBuf){.name = nm, .elem = type, .written = w};                                                \
		fn->params[fn->nparam++] = (LArg){.buf = buf_, .elem = type};                                          \
		dst = buf_;                                                                                            \
	} while (0)
	for (int i = 0; i < np; i++)
		PROGRAM_BUF(l->in[i], arena_printf(m->arena, "in%d", i), m->main->params[i]->type.dtype, false);
	for (int i = 0; i < nout; i++)
		PROGRAM_BUF(l->out[i], arena_printf(m->arena, "out%d", i), m->main->body.yields[i]->type.dtype, true);
	PROGRAM_BUF(l->ws, "ws", U8, true);
	PROGRAM_BUF(l->weights, "weights", U8, false);
#undef PROGRAM_BUF
	for (int i = 0; i < l->lm->nsym; i++)
		fn->params[fn->nparam++] = (LArg){.e = sym_ref(l, i), .elem = I64};
	LStmt *s[2];
	LExpr *v[2];
	for (int i = 0; i < 2; i++) {
		v[i] = llet(&l->prog, ladd(&l->prog, sym_ref(l, l->lm->nsym - 1), li(&l->prog, 1))); /* set by close_program */
		s[i] = l->prog.at->last;
	}
	l->scratch = v[0];
	l->worker = v[1];
	l->scratch_let = s[0];
	l->worker_let = s[1];
}

static void close_program(Lower *l, const Dim **bytes, const Dim **worker)
{
	const Dim *four = dim_const(l->m, 4);

	if (l->packed)
		release_slot(l, l->packed);
	l->scratch_let->e = ldim(&l->prog, dim_floordiv(l->m, l->bytes, four));
	l->worker_let->e = ldim(&l->prog, dim_floordiv(l->m, l->worker_bytes, four));
	*bytes = dim_max(l->m, *bytes, l->bytes);
	*worker = dim_max(l->m, *worker, l->worker_bytes);
	PUSH(l->m->arena, l->lm->programs, l->lm->nprog, l->lm->capprog, l->prog.fn);
}

/* No value has a home yet, whatever other passes left in the scratch fields. */
static void clear_homes(Module *m, Block *block)
{
	for (int i = 0; i < m->main->nparam; i++)
		m->main->params[i]->scratch = NULL;
	for (int i = 0; i < m->nconst; i++)
		m->consts[i]->value->scratch = NULL;
	for (Node *n = block->first; n; n = n->next) {
		for (int i = 0; i < n->nout; i++)
			n->out[i]->scratch = NULL;
		if (n->body)
			clear_homes(m, n->body);
	}
}

static void lower_target(Module *m, LModule *lm, const Target *t, const Dim **bytes, const Dim **worker)
{
	Lower l = {.m = m, .lm = lm, .t = t, .bytes = dim_const(m, 0), .worker_bytes = dim_const(m, 0)};
	int at = 0;

	clear_homes(m, &m->main->body);
	open_program(&l);
	for (Node *n = m->main->body.first; n; n = n->next)
		if (n->op == OpConcat && attr_int(n, Attr_state)) { /* in the buffer of its first operand */
			Home *h = new_home(&l, n->out[0]);
			h->buf = l.in[n->in[0]->index];
			h->buf->written = true;
			h->offset = dim_const(m, 0);
		}
	for (int i = 0; i < m->main->body.nyield; i++) { /* pass_expand made them results of nodes of their own */
		State state;
		if (state_of_output(m, m->main->body.yields[i], &state))
			continue;
		Home *h = new_home(&l, m->main->body.yields[i]);
		h->buf = l.out[i];
		h->offset = dim_const(m, 0);
	}
	find_last_uses(&l);
	for (Node *n = m->main->body.first; n; n = n->next)
		lower_node(&l, n, at++);
	close_program(&l, bytes, worker);
}

/* ---- what all targets share ------------------------------------------------------------------------------------------------- */

static LExpr *in_dim(LB *b, int input, int d)
{
	return lop(b, LInDim, li(b, input), li(b, d), NULL);
}

/* The value of symbol s from dim d of input i: the dim itself, or the dim less a constant.  NULL if it says something else. */
static LExpr *symbol_from(Module *m, LB *b, int s, int i, int d, bool exact)
{
	const Dim *x = m->main->params[i]->type.dims[d], *rest = dim_sub(m, x, dim_sym(m, m->syms[s]->name));

	if (!dim_uses_sym(x, m->syms[s]) || !dim_is_const(rest, NULL) || (exact && !dim_equals(rest, 0)))
		return NULL;
	return lsub(b, in_dim(b, i, d), ldim(b, rest));
}

/* Symbols are read off the inputs, from a dim that is the symbol where there is one. */
static void bind_symbols(Module *m, LB *b)
{
	for (int s = 0; s < m->nsym; s++)
		for (int exact = 1; exact >= 0; exact--)
			for (int i = 0; i < m->main->nparam; i++)
				for (int d = 0; d < m->main->params[i]->type.rank && !b->lm->bind[s]; d++)
					b->lm->bind[s] = symbol_from(m, b, s, i, d, exact);
}

/* A name as part of a message, where {} stands for a value. */
static const char *name_text(Module *m, const char *name)
{
	char *s = arena_strdup(m->arena, name);
	for (char *p = s; (p = strstr(p, "{}")); p++)
		p[1] = '?';
	return s;
}

static const char *dim_message(Module *m, const char *side, const char *name, int d, const Dim *dim)
{
	if (dim_is_const(dim, NULL))
		return arena_printf(m->arena, "%s '%s': dim %d is {}, expected {}", side, name_text(m, name), d);
	return arena_printf(m->arena, "%s '%s': dim %d (%s) is {}, expected {}", side, name_text(m, name), d, dim_text(m, dim));
}

static const char *check_message(Module *m, const DimCheck *check)
{
	const char *node = name_text(m, check->loc && check->loc->node ? check->loc->node : "?");
	if (dim_is_const(check->b, NULL))
		return arena_printf(m->arena, "node '%s': %s is {}, expected {}", node, dim_text(m, check->a));
	return arena_printf(m->arena, "node '%s': dims %s = {} and %s = {} differ", node, dim_text(m, check->a),
	                    dim_text(m, check->b));
}

static void check_dims(Module *m, LB *b)
{
	for (int i = 0; i < m->main->nparam; i++) {
		const Value *p = m->main->params[i];
		for (int d = 0; d < p->type.rank; d++) {
			if (dim_is_const(p->type.dims[d], NULL))
				continue; /* the library checks these */
			LExpr *got = in_dim(b, i, d), *want = ldim(b, p->type.dims[d]);
			if (want->op == LRef && b->lm->bind[dim_as_sym(p->type.dims[d])->index] == got)
				continue;
			lcheck(b, lop(b, LEq, got, want, NULL), 3, dim_message(m, "input", p->name, d, p->type.dims[d]), got, want,
			       NULL);
		}
	}
	for (int i = 0; i < m->ncheck; i++) {
		LExpr *x = ldim(b, m->checks[i].a), *y = ldim(b, m->checks[i].b);
		lcheck(b, lop(b, LEq, x, y, NULL), 3, check_message(m, &m->checks[i]), x, y, NULL);
	}
	for (const Node *n = m->main->body.first; n; n = n->next)
		if (n->op == OpConcat && attr_int(n, Attr_state)) {
			LExpr *rows = ldim(b, n->out[0]->type.dims[attr_int(n, Attr_axis)]), *room = li(b, attr_int(n, Attr_state));
			lcheck(b, lop(b, LLe, rows, room, NULL), 4,
			       arena_printf(m->arena, "input '%s': {} rows do not fit the state's capacity of {}",
			                    name_text(m, n->in[0]->name)), rows, room, NULL);
		}
	for (int i = 0; i < m->main->body.nyield; i++) {
		const Value *v = m->main->body.yields[i];
		for (int d = 0; d < v->type.rank; d++) {
			LExpr *want = b->lm->outdims[i * MaxRank + d], *got = lop(b, LOutDim, li(b, i), li(b, d), NULL);
			lcheck(b, lop(b, LEq, got, want, NULL), 3,
			       dim_message(m, "output", m->main->results[i], d, v->type.dims[d]), got, want, NULL);
		}
	}
}

bool pass_lower(Module *m)
{
	LModule *lm = new_lmodule(m);
	LB b = {.m = m, .lm = lm, .at = &lm->checks};
	const PassOptions *o = pass_options();
	const Dim *bytes = dim_const(m, 0), *worker = bytes;

	bind_symbols(m, &b);
	for (int i = 0; i < lm->nout; i++)
		for (int d = 0; d < m->main->body.yields[i]->type.rank; d++)
			lm->outdims[i * MaxRank + d] = ldim(&b, m->main->body.yields[i]->type.dims[d]);
	check_dims(m, &b);
	for (int i = 0; i < o->ntarget; i++)
		lower_target(m, lm, o->target[i], &bytes, &worker);
	LExpr *threads = arena_alloc(m->arena, sizeof *threads);
	*threads = (LExpr){.op = LRef, .type = {I64, 1}, .var = lm->syms[m->nsym]};
	lm->workspace = ladd(&b, ldim(&b, bytes), lmul(&b, threads, ldim(&b, worker)));
	m->loops = lm;
	return true;
}
