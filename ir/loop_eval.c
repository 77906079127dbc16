/* loop_eval.c - the interpreter of loop IR: what each statement means, without any machine; loop_eval_lanes.c and loop_eval_value.c:
 * what each expression does; loop_eval_program.c: programs.
 *
 * A value is 16 lanes: f32 in f[], f64 in d[], integers and masks sign- or zero-extended in i[].  Each operation is
 * rounded on its own, so f32 results equal the emitted code's bits (NaN payloads aside).  Variables, buffers and tiles
 * are numbered per function by resolve(), and a frame holds their values.  Every access is checked; whatever has not
 * been written (locals, tiles, workspace) holds bytes 0xff: NaN, or -1.
 * Errors leave by longjmp from fail_run(), which frees the frames.
 */
#include "loop_eval.h"

#include <stdlib.h>
#include <string.h>

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

_Noreturn void fail_run(Run *run, const char *message)
{
	run->message = message;
	for (Frame *fr = run->top; fr; fr = fr->up)
		free_frame(fr, fr->fn ? find_info(run, fr->fn) : NULL);
	run->top = NULL;
	longjmp(run->leave, 1);
}

const char *frame_name(const Frame *fr)
{
	return fr->fn ? fr->fn->name : "(module)";
}

/* ---- numbering --------------------------------------------------------------------------------------------------- */

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
void resolve(Run *run, const LFunc *fn)
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

/* ---- statements -------------------------------------------------------------------------------------------------- */

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
void push_frame(Run *run, Frame *fr, const LFunc *fn)
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

void pop_frame(Frame *fr)
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

void exec_stmt(Frame *fr, const LStmt *s)
{
	switch (s->kind) {
	case SLet: eval_expr(fr, s->e, &fr->vars[s->var->number]); break;
	case SFor: exec_for(fr, s); break;
	case SIf: exec_block(fr, index_of(fr, s->e) ? &s->body : &s->other); break;
	case SStore: store_lanes(fr, s); break;
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

void exec_block(Frame *fr, const LBlock *block)
{
	for (const LStmt *s = block->first; s; s = s->next)
		exec_stmt(fr, s);
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
