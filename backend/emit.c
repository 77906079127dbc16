/* emit.c - statements and functions of the loop IR to LLVM IR; it knows nothing of operators.
 *
 * Every kernel is emitted once for each target that it serves, as an internal function (buffers as pointers,
 * scalars as i64, then worker, workers, status).  Unrolled loops are expanded here with their variable bound to a
 * constant, so that a tile is a set of allocas that SROA promotes.  Vectors keep their 16 lanes; LLVM splits them
 * for AVX2.  No fast-math flag is ever set: what the loop IR says is what is computed, on every target alike.
 */
#include "emit.h"

#include <string.h>

#include "../runtime/dcc.h"

enum { MaxWork = 1 << 18 }; /* statements of a function after unrolling */

/* ---- statements ------------------------------------------------------------------------------------------------ */

static void emit_unrolled(Emit *e, const LStmt *s)
{
	int64_t lo = need_const(e, s->e, "an unrolled loop's bound"), hi = need_const(e, s->hi, "an unrolled loop's bound");
	int64_t step = need_const(e, s->step, "an unrolled loop's step");
	for (int64_t i = lo; i < hi && step > 0; i += step) {
		bind_var(s->var, const_i64_of(e, i));
		emit_block(e, &s->body);
		if (__builtin_add_overflow(i, step, &(int64_t){0}))
			break;
	}
}

/* lo < hi is known here: the test stands at the end. */
static void emit_counted(Emit *e, const LStmt *s, LLVMValueRef lo, LLVMValueRef hi, LLVMValueRef step)
{
	LLVMBasicBlockRef from = LLVMGetInsertBlock(e->b), loop = new_label(e, "loop"), done = new_label(e, "done");
	LLVMBuildBr(e->b, loop);
	place_label(e, loop);
	LLVMValueRef i = LLVMBuildPhi(e->b, e->i64, "i");
	bind_var(s->var, i);
	emit_block(e, &s->body);
	debug_line(e, s);
	LLVMValueRef next = LLVMBuildNSWAdd(e->b, i, step, "");
	LLVMBasicBlockRef latch = LLVMGetInsertBlock(e->b);
	LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, next, hi, ""), loop, done);
	LLVMAddIncoming(i, (LLVMValueRef[]){lo, next}, (LLVMBasicBlockRef[]){from, latch}, 2);
	place_label(e, done);
}

static void emit_serial(Emit *e, const LStmt *s, LLVMValueRef lo, LLVMValueRef hi, LLVMValueRef step)
{
	int64_t l, h;
	if (is_llvm_int(lo, &l) && is_llvm_int(hi, &h)) {
		if (l < h)
			emit_counted(e, s, lo, hi, step);
		return;
	}
	LLVMBasicBlockRef some = new_label(e, "some"), none = new_label(e, "none");
	LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, lo, hi, ""), some, none);
	place_label(e, some);
	emit_counted(e, s, lo, hi, step);
	LLVMBuildBr(e->b, none);
	place_label(e, none);
}

/* Worker w of n runs the iterations [count*w/n, count*(w+1)/n). */
static void emit_parallel(Emit *e, const LStmt *s, LLVMValueRef lo, LLVMValueRef hi, LLVMValueRef step)
{
	int64_t by = 0;
	bool unit = is_llvm_int(step, &by) && by == 1;
	LLVMValueRef zero = const_i64_of(e, 0), one = const_i64_of(e, 1);
	LLVMValueRef count = LLVMBuildSub(e->b, hi, lo, "");
	count = LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSGT, hi, lo, ""), count, zero, "");
	if (!unit) {
		count = LLVMBuildAdd(e->b, count, LLVMBuildSub(e->b, step, one, ""), "");
		count = LLVMBuildUDiv(e->b, count, step, "");
	}
	LLVMValueRef begin = LLVMBuildMul(e->b, count, e->worker, "");
	LLVMValueRef end = LLVMBuildAdd(e->b, begin, count, "");
	begin = LLVMBuildUDiv(e->b, begin, e->workers, "");
	end = LLVMBuildUDiv(e->b, end, e->workers, "");
	if (!unit) {
		begin = LLVMBuildMul(e->b, begin, step, "");
		end = LLVMBuildMul(e->b, end, step, "");
	}
	end = LLVMBuildAdd(e->b, lo, end, "");
	if (!unit) /* the last iteration may end beyond hi: the same iterations, but indices that read `hi` stay the loop's */
		end = emit_pick(e, false, I64, end, hi);
	emit_serial(e, s, LLVMBuildAdd(e->b, lo, begin, ""), end, step);
}

static void emit_for(Emit *e, const LStmt *s)
{
	if (s->loop == ForUnroll) {
		emit_unrolled(e, s);
		return;
	}
	LLVMValueRef lo = emit_expr(e, s->e), hi = emit_expr(e, s->hi), step = emit_expr(e, s->step);
	(s->loop == ForParallel ? emit_parallel : emit_serial)(e, s, lo, hi, step);
}

static void emit_if(Emit *e, const LStmt *s)
{
	LLVMValueRef c = emit_expr(e, s->e);
	if (LLVMIsAConstantInt(c)) {
		emit_block(e, LLVMConstIntGetZExtValue(c) ? &s->body : &s->other);
		return;
	}
	LLVMBasicBlockRef yes = new_label(e, "then"), no = new_label(e, "else"), end = new_label(e, "end");
	LLVMBuildCondBr(e->b, c, yes, no);
	place_label(e, yes);
	emit_block(e, &s->body);
	LLVMBuildBr(e->b, end);
	place_label(e, no);
	emit_block(e, &s->other);
	LLVMBuildBr(e->b, end);
	place_label(e, end);
}

static void emit_local(Emit *e, LBuf *buf)
{
	int64_t bytes;
	if (__builtin_mul_overflow(buf->count, dtypes[buf->elem].bytes, &bytes) || bytes > INT32_MAX)
		bug("%s: local %s has %lld elements", e->fn->name, buf->name, (long long)buf->count);
	LLVMTypeRef type = LLVMArrayType2(elem_type(e, buf->elem, true), (uint64_t)buf->count);
	LLVMValueRef a = LLVMBuildAlloca(e->allocas, type, buf->name);
	LLVMSetAlignment(a, 64);
	buf->scratch = a;
}

static void emit_tile(Emit *e, LTile *t)
{
	LLVMValueRef *cells = arena_alloc(e->m->arena, (size_t)t->rows * (size_t)t->cols * sizeof *cells);
	LLVMTypeRef type = value_type(e, t->type);
	for (int i = 0; i < t->rows * t->cols; i++)
		cells[i] = LLVMBuildAlloca(e->allocas, type, t->name);
	t->scratch = cells;
}

static LLVMValueRef slice_address(Emit *e, const LArg *a)
{
	LLVMValueRef at = a->offset ? emit_expr(e, a->offset) : const_i64_of(e, 0), base = buffer_address(e, a->buf);
	int64_t none;
	if (is_llvm_int(at, &none) && !none)
		return base;
	return LLVMBuildGEP2(e->b, elem_type(e, a->elem, true), base, &at, 1, "");
}

static void emit_call(Emit *e, const LStmt *s)
{
	LLVMValueRef f = s->callee->scratch, *args = arena_alloc(e->m->arena, ((size_t)s->narg + 3) * sizeof *args);
	int n = 0;
	if (!f)
		bug("%s calls %s, which is not emitted for its target", e->fn->name, s->callee->name);
	for (; n < s->narg; n++)
		args[n] = s->args[n].buf ? slice_address(e, &s->args[n]) : emit_expr(e, s->args[n].e);
	args[n++] = e->worker;
	args[n++] = e->workers;
	args[n++] = load_frame(e, e->status, offsetof(dcc_frame, status));
	LLVMBuildCall2(e->b, LLVMGlobalGetValueType(f), f, args, (unsigned)n, "");
}

static void emit_prefetch(Emit *e, const LStmt *s)
{
	LLVMValueRef at = emit_address(e, s->buf, emit_expr(e, s->idx));
	LLVMValueRef args[] = {at, const_i32_of(e, 0), const_i32_of(e, 3), const_i32_of(e, 1)};
	call_intrinsic(e, "llvm.prefetch", 1, &e->ptr, 4, args);
}

/* The first of all workers wins the cell; its value follows.  A plain look first keeps repeated failures cheap. */
static void emit_failure(Emit *e, int message, dcc_status status, LLVMValueRef value)
{
	LLVMBasicBlockRef claim = new_label(e, "claim"), won = new_label(e, "won"), done = new_label(e, "recorded");
	LLVMValueRef zero = const_i64_of(e, 0), number = const_i64_of(e, (int64_t)status << 32 | (message + 1));
	LLVMValueRef word = load_frame(e, e->status, offsetof(dcc_frame, status));
	LLVMValueRef seen = LLVMBuildLoad2(e->b, e->i64, word, "");
	LLVMSetOrdering(seen, LLVMAtomicOrderingMonotonic);
	LLVMSetAlignment(seen, 8);
	LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntEQ, seen, zero, ""), claim, done);
	place_label(e, claim);
	LLVMValueRef swap = LLVMBuildAtomicCmpXchg(e->b, word, zero, number, LLVMAtomicOrderingMonotonic,
	                                               LLVMAtomicOrderingMonotonic, false);
	LLVMBuildCondBr(e->b, LLVMBuildExtractValue(e->b, swap, 1, ""), won, done);
	place_label(e, won);
	LLVMValueRef one = const_i64_of(e, 1);
	LLVMValueRef store = LLVMBuildStore(e->b, value, LLVMBuildGEP2(e->b, e->i64, word, &one, 1, ""));
	LLVMSetOrdering(store, LLVMAtomicOrderingMonotonic);
	LLVMSetAlignment(store, 8);
	LLVMBuildBr(e->b, done);
	place_label(e, done);
}

static void emit_fail(Emit *e, const LStmt *s)
{
	emit_failure(e, s->code, (dcc_status)s->status, emit_expr(e, s->e));
}

static LLVMValueRef string_global(Emit *e, const char *text)
{
	LLVMValueRef s = LLVMConstStringInContext2(e->cx, text, strlen(text), false);
	LLVMValueRef g = LLVMAddGlobal(e->mod, LLVMTypeOf(s), "str");
	LLVMSetInitializer(g, s);
	LLVMSetGlobalConstant(g, true);
	LLVMSetLinkage(g, LLVMPrivateLinkage);
	LLVMSetUnnamedAddress(g, LLVMGlobalUnnamedAddr);
	LLVMSetAlignment(g, 1);
	return g;
}

LLVMValueRef emit_string(Emit *e, const char *text)
{
	return text ? string_global(e, text) : LLVMConstNull(e->ptr);
}

static void emit_check(Emit *e, const LStmt *s)
{
	if (!e->error)
		bug("%s: a check outside of check()", function_name(e));
	LLVMBasicBlockRef fail = new_label(e, "fail"), pass = new_label(e, "pass");
	LLVMBuildCondBr(e->b, emit_expr(e, s->e), pass, fail);
	place_label(e, fail);
	LLVMValueRef args[6] = {e->error, const_i32_of(e, s->code), emit_string(e, s->text)};
	for (int i = 0; i < 3; i++)
		args[3 + i] = i < s->narg ? emit_expr(e, s->args[i].e) : const_i64_of(e, 0);
	LLVMBuildRet(e->b, LLVMBuildCall2(e->b, LLVMGlobalGetValueType(e->report), e->report, args, 6, ""));
	place_label(e, pass);
}

static bool is_empty(const LArg *a)
{
	for (int d = 0; d < a->rank; d++)
		if (a->dims[d]->op == LConst && a->dims[d]->value.i == 0)
			return true;
	return false;
}

static void store_tensor(Emit *e, LLVMValueRef array, int i, const LArg *a)
{
	uint64_t at = (uint64_t)i * sizeof(dcc_tensor);
	LLVMValueRef data = is_empty(a) ? LLVMConstNull(e->ptr) : emit_address(e, a->buf, emit_expr(e, a->offset));
	store_field(e, array, at + offsetof(dcc_tensor, data), data);
	store_field(e, array, at + offsetof(dcc_tensor, dtype), const_i32_of(e, dtypes[a->elem].onnx));
	store_field(e, array, at + offsetof(dcc_tensor, rank), const_i32_of(e, a->rank));
	for (int d = 0; d < DCC_MAX_RANK; d++)
		store_field(e, array, at + offsetof(dcc_tensor, dims) + (uint64_t)d * sizeof(int64_t),
		            d < a->rank ? emit_expr(e, a->dims[d]) : const_i64_of(e, 0));
	for (int r = 0; r < 2; r++)
		store_field(e, array, at + offsetof(dcc_tensor, reserved) + (uint64_t)r * sizeof(uint64_t), const_i64_of(e, 0));
}

static LLVMValueRef stack_bytes(Emit *e, size_t size, const char *name)
{
	LLVMValueRef a = LLVMBuildAlloca(e->allocas, LLVMArrayType2(e->i8, size), name);
	LLVMSetAlignment(a, 8);
	return a;
}

/* Worker 0 calls the application's function. */
static void emit_extern(Emit *e, const LStmt *s)
{
	LLVMBasicBlockRef call = new_label(e, "call"), failed = new_label(e, "failed"), done = new_label(e, "called");
	LLVMTypeRef type = LLVMFunctionType(e->i32, &e->ptr, 1, false);
	LLVMValueRef f = LLVMGetNamedFunction(e->mod, s->text), zero = const_i64_of(e, 0);
	LLVMValueRef tensors = stack_bytes(e, (size_t)s->narg * sizeof(dcc_tensor), "tensors");
	LLVMValueRef args = stack_bytes(e, sizeof(dcc_custom_args), "args");
	if (!f)
		f = LLVMAddFunction(e->mod, s->text, type);
	LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntEQ, e->worker, zero, ""), call, done);
	place_label(e, call);
	for (int i = 0; i < s->narg; i++)
		store_tensor(e, tensors, i, &s->args[i]);
	LLVMValueRef first_out = const_i64_of(e, (int64_t)(s->narg - s->nresult) * (int64_t)sizeof(dcc_tensor));
	const char *node = e->fn->loc ? e->fn->loc->node : NULL;
	store_field(e, args, offsetof(dcc_custom_args, size), const_i64_of(e, sizeof(dcc_custom_args)));
	store_field(e, args, offsetof(dcc_custom_args, inputs), tensors);
	store_field(e, args, offsetof(dcc_custom_args, outputs), LLVMBuildGEP2(e->b, e->i8, tensors, &first_out, 1, ""));
	store_field(e, args, offsetof(dcc_custom_args, ninputs), const_i32_of(e, s->narg - s->nresult));
	store_field(e, args, offsetof(dcc_custom_args, noutputs), const_i32_of(e, s->nresult));
	store_field(e, args, offsetof(dcc_custom_args, node), emit_string(e, node ? node : ""));
	LLVMValueRef result = LLVMBuildCall2(e->b, type, f, &args, 1, "");
	LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntNE, result, const_i32_of(e, 0), ""), failed, done);
	place_label(e, failed);
	emit_failure(e, s->code, DCC_ERROR_CUSTOM, LLVMBuildSExt(e->b, result, e->i64, ""));
	LLVMBuildBr(e->b, done);
	place_label(e, done);
}

/* Between two steps. */
static void emit_barrier(Emit *e)
{
	LLVMValueRef args[] = {e->frame, e->worker, e->workers};
	LLVMBuildCall2(e->b, LLVMGlobalGetValueType(e->meet), e->meet, args, 3, "");
}

/* A step runs when first <= its number < last: in one comparison, number - first below span as unsigned numbers. */
static void emit_step(Emit *e, const LStmt *s)
{
	if (!e->frame)
		bug("%s: a step outside of a program", function_name(e));
	LLVMBasicBlockRef run = new_label(e, "step"), next = new_label(e, "next");
	LLVMValueRef number = const_i64_of(e, e->step++);
	LLVMValueRef at = LLVMBuildSub(e->b, number, e->first, "");
	LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntULT, at, e->span, ""), run, next);
	place_label(e, run);
	debug_step(e, s);
	e->nloaded = 0;
	emit_block(e, &s->body);
	e->nloaded = -1;
	debug_step_end(e, s);
	emit_barrier(e);
	LLVMBuildBr(e->b, next);
	place_label(e, next);
}

static void emit_stmt(Emit *e, const LStmt *s)
{
	switch (s->kind) {
	case SLet: bind_var(s->var, emit_expr(e, s->e)); break;
	case SFor: emit_for(e, s); break;
	case SIf: emit_if(e, s); break;
	case SStore: emit_store(e, s); break;
	case SLocal: emit_local(e, s->buf); break;
	case STile: emit_tile(e, s->tile); break;
	case SSetTile: LLVMBuildStore(e->b, emit_expr(e, s->e), tile_cell(e, s->tile, s->idx, s->hi)); break;
	case SCall: emit_call(e, s); break;
	case SExtern: emit_extern(e, s); break;
	case SPrefetch: emit_prefetch(e, s); break;
	case SFail: emit_fail(e, s); break;
	case SCheck: emit_check(e, s); break;
	case SStep: emit_step(e, s); break;
	case SJump: bug("%s: a jump inside of a block", function_name(e)); /* the entry has them */
	}
}

void emit_stmts(Emit *e, const LStmt *from, const LStmt *end)
{
	for (const LStmt *s = from; s != end; s = s->next) {
		if (++e->work > MaxWork)
			fatal_at(e->fn ? e->fn->loc : NULL, "%s: more than %d statements after unrolling",
			         function_name(e), MaxWork);
		debug_line(e, s);
		emit_stmt(e, s);
	}
}

void emit_block(Emit *e, const LBlock *block)
{
	emit_stmts(e, block->first, NULL);
}

/* ---- functions ------------------------------------------------------------------------------------------------- */

static void add_attribute(Emit *e, LLVMValueRef f, const char *key, const char *value)
{
	LLVMAttributeRef a =
		LLVMCreateStringAttribute(e->cx, key, (unsigned)strlen(key), value, (unsigned)strlen(value));
	LLVMAddAttributeAtIndex(f, LLVMAttributeFunctionIndex, a);
}

static void add_flag(Emit *e, LLVMValueRef f, LLVMAttributeIndex at, const char *name)
{
	unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
	LLVMAddAttributeAtIndex(f, at, LLVMCreateEnumAttribute(e->cx, kind, 0));
}

static LLVMValueRef new_function(Emit *e, const char *name, LLVMTypeRef ret, int nparam, const LLVMTypeRef *params,
                                 bool exported)
{
	LLVMTypeRef type = LLVMFunctionType(ret, (LLVMTypeRef *)params, (unsigned)nparam, false); /* reads them */
	LLVMValueRef f = LLVMAddFunction(e->mod, name, type);
	LLVMSetLinkage(f, exported ? LLVMExternalLinkage : LLVMInternalLinkage);
	add_attribute(e, f, "target-cpu", e->target ? e->target->cpu : "x86-64");
	if (e->target && *e->target->features)
		add_attribute(e, f, "target-features", e->target->features);
	if (e->target)
		add_attribute(e, f, "prefer-vector-width", e->target->need & DCC_CPU_AVX512 ? "512" : "256");
	add_attribute(e, f, "probe-stack", "inline-asm"); /* large locals must meet the guard page, not jump it */
	add_flag(e, f, LLVMAttributeFunctionIndex, "nounwind");
	return f;
}

/* Allocas go to a block of their own, which end_function closes. */
static void open_function(Emit *e, LLVMValueRef f)
{
	e->f = f;
	e->spill = e->inputs = e->outputs = e->error = e->frame = e->syms = e->status = NULL;
	e->late = false;
	e->work = 0;
	LLVMPositionBuilderAtEnd(e->allocas, LLVMAppendBasicBlockInContext(e->cx, f, "entry"));
	e->body = new_label(e, "body");
	place_label(e, e->body);
}

LLVMValueRef begin_function(Emit *e, const char *name, LLVMTypeRef ret, int nparam, const LLVMTypeRef *params,
                            bool exported)
{
	LLVMValueRef f = new_function(e, name, ret, nparam, params, exported);
	e->fn = NULL;
	open_function(e, f);
	no_debug(e);
	return f;
}

void end_function(Emit *e, LLVMValueRef result)
{
	if (result)
		LLVMBuildRet(e->b, result);
	else
		LLVMBuildRetVoid(e->b);
	LLVMBuildBr(e->allocas, e->body);
}

static bool serves(const LFunc *fn, const Target *t)
{
	return !fn->target || !strcmp(fn->target, t->name);
}

const char *kernel_name(Emit *e, const LFunc *fn, const Target *t)
{
	return fn->target ? fn->name : arena_printf(e->m->arena, "%s.%s", fn->name, t->name);
}

/* An application's function gets the kernel's buffers: LLVM must not assume that they stay inside. */
static bool has_extern(const LBlock *block)
{
	for (const LStmt *s = block->first; s; s = s->next)
		if (s->kind == SExtern || has_extern(&s->body) || has_extern(&s->other))
			return true;
	return false;
}

static void declare_kernel(Emit *e, LFunc *fn)
{
	LLVMTypeRef *types = arena_alloc(e->m->arena, ((size_t)fn->nparam + 3) * sizeof *types);
	int n = 0;
	for (; n < fn->nparam; n++)
		types[n] = fn->params[n].buf ? e->ptr : e->i64;
	types[n++] = e->i64;
	types[n++] = e->i64;
	types[n++] = e->ptr;
	bool outside = has_extern(&fn->body);
	const char *name = arena_printf(e->m->arena, "%s.%s", e->m->name, kernel_name(e, fn, e->target));
	LLVMValueRef f = new_function(e, name, e->void_type, n, types, false);
	if (fn->leaf_noinline)
		add_flag(e, f, LLVMAttributeFunctionIndex, "noinline");
	for (int i = 0; i < fn->nparam; i++) {
		if (!fn->params[i].buf || outside)
			continue;
		add_flag(e, f, (LLVMAttributeIndex)i + 1, "nocapture");
		if (!fn->params[i].buf->written)
			add_flag(e, f, (LLVMAttributeIndex)i + 1, "readonly");
	}
	fn->scratch = f;
}

static void emit_kernel(Emit *e, LFunc *fn)
{
	LLVMValueRef f = fn->scratch;
	unsigned n = (unsigned)fn->nparam;
	e->fn = fn;
	open_function(e, f);
	no_debug(e);
	debug_function(e, fn, kernel_name(e, fn, e->target), f);
	for (unsigned i = 0; i < n; i++) {
		LLVMValueRef p = LLVMGetParam(f, i);
		if (fn->params[i].buf)
			fn->params[i].buf->scratch = p;
		else
			bind_var(fn->params[i].e->var, p);
	}
	e->worker = LLVMGetParam(f, n);
	e->workers = LLVMGetParam(f, n + 1);
	e->status = LLVMGetParam(f, n + 2);
	emit_block(e, &fn->body);
	end_function(e, NULL);
}

static LLVMValueRef port_data(Emit *e, LLVMValueRef ports, int number)
{
	return load_field(e, ports, (uint64_t)number * sizeof(dcc_tensor) + offsetof(dcc_tensor, data), e->ptr);
}

/* "in3", "out0", "ws", "weights" */
LLVMValueRef program_buffer(Emit *e, const char *name)
{
	int number;
	if (!strcmp(name, "ws"))
		return load_field(e, e->frame, offsetof(dcc_frame, workspace), e->ptr);
	if (!strcmp(name, "weights"))
		return load_field(e, e->frame, offsetof(dcc_frame, weights), e->ptr);
	if (sscanf(name, "in%d", &number) == 1 && number >= 0 && number < e->m->main->nparam)
		return port_data(e, load_frame(e, e->inputs, offsetof(dcc_frame, in)), number);
	if (sscanf(name, "out%d", &number) == 1 && number >= 0 && number < e->m->main->body.nyield)
		return port_data(e, load_frame(e, e->outputs, offsetof(dcc_frame, out)), number);
	bug("%s: parameter %s", e->fn->name, name);
}

void bind_syms_from(Emit *e, LLVMValueRef syms)
{
	bool late = e->late || e->lm->nsym > PieceSize;
	for (int i = 0; i < e->lm->nsym; i++) {
		LVar *v = e->lm->syms[i];
		v->number = i;
		bind_var(v, late ? NULL : load_field(e, syms, (uint64_t)i * sizeof(int64_t), e->i64));
	}
	e->syms = late ? syms : NULL;
}

/* A program's scalars are the symbols, as a rule in their order. */
static const LVar *program_symbol(Emit *e, const char *name, int guess)
{
	if (guess < e->lm->nsym && !strcmp(name, e->lm->syms[guess]->name))
		return e->lm->syms[guess];
	for (int i = 0; i < e->lm->nsym; i++)
		if (!strcmp(name, e->lm->syms[i]->name))
			return e->lm->syms[i];
	bug("%s: parameter %s", e->fn->name, name);
}

static void bind_program(Emit *e, LFunc *fn)
{
	int nscalar = 0;
	for (int i = 0; i < fn->nparam; i++) {
		LArg *p = &fn->params[i];
		if (p->buf) {
			p->buf->scratch = e->late ? NULL : program_buffer(e, p->buf->name);
			continue;
		}
		const LVar *s = program_symbol(e, p->e->var->name, nscalar++);
		p->e->var->number = s->number;
		bind_var(p->e->var, s->scratch);
	}
}

/* ---- programs --------------------------------------------------------------------------------------------------- */
/* A program is a list of parts: functions of at most MaxPart steps, so that none is large for LLVM.  Jumps stand between
 * parts; the program's entry calls the parts and follows the jumps. */

enum { MaxPart = 64, MaxOptimised = 128 /* steps; of longer programs LLVM's time counts for more than the few ns that it wins a step */ };

typedef struct Part {
	const LStmt *from, *end; /* statements; end is exclusive */
	int first, last; /* steps; last is exclusive */
	LLVMValueRef f;
	LLVMBasicBlockRef label, behind; /* in the entry: where it is called, and what follows it */
} Part;

typedef struct Parts {
	int n, cap;
	Part *items;
	bool jumps; /* are there any */
} Parts;

/* Parts end before a jump, before a step that one jumps to, and when they are full. */
static Parts split_program(Emit *e, const LFunc *fn)
{
	Parts p = {0};
	int steps = 0, step = 0;
	bool open = false;
	for (const LStmt *s = fn->body.first; s; s = s->next)
		steps += s->kind == SStep;
	bool *is_target = arena_alloc(e->m->arena, (size_t)steps + 1);
	for (const LStmt *s = fn->body.first; s; s = s->next)
		if (s->kind == SJump)
			p.jumps = is_target[s->code] = true;
	for (const LStmt *s = fn->body.first; s; s = s->next) {
		if (s->kind != SStep) {
			open &= s->kind != SJump;
			continue;
		}
		if (!open || is_target[step] || step - p.items[p.n - 1].first == MaxPart)
			PUSH(e->m->arena, p.items, p.n, p.cap, ((Part){.from = s, .first = step}));
		open = true;
		p.items[p.n - 1].last = ++step;
		p.items[p.n - 1].end = s->next;
	}
	return p;
}

/* A function over a frame and what the caller of the program says: worker, workers, first, last. */
static LLVMValueRef begin_part(Emit *e, const LFunc *fn, const char *name)
{
	LLVMTypeRef types[] = {e->ptr, e->i64, e->i64, e->i64, e->i64};
	LLVMValueRef f = new_function(e, name, e->void_type, 5, types, false);
	e->fn = fn;
	open_function(e, f);
	no_debug(e);
	debug_function(e, fn, fn->name, f);
	e->frame = LLVMGetParam(f, 0);
	e->worker = LLVMGetParam(f, 1);
	e->workers = LLVMGetParam(f, 2);
	e->first = LLVMGetParam(f, 3);
	e->last = LLVMGetParam(f, 4);
	return f;
}

/* Symbols that the data gives are read where they are needed: they have the values that their cells hold now. */
static void bind_cells(Emit *e)
{
	int cell = 0;
	for (int i = 0; i < e->lm->nsym - 1; i++)
		if (!is_given(e->m->syms[i])) {
			bind_var(e->lm->syms[i], NULL);
			e->lm->syms[i]->number = -1 - cell++;
		}
}

/* late: symbols and buffers are read where they are needed.  A value that lives from the start to a far use costs LLVM more
 * than a second read, and a part uses few of them. */
static void bind_frame(Emit *e, LFunc *fn, bool late)
{
	e->late = late;
	e->inputs = late ? NULL : load_frame(e, NULL, offsetof(dcc_frame, in));
	e->outputs = late ? NULL : load_frame(e, NULL, offsetof(dcc_frame, out));
	e->status = late ? NULL : load_frame(e, NULL, offsetof(dcc_frame, status));
	bind_syms_from(e, late ? NULL : load_frame(e, NULL, offsetof(dcc_frame, syms)));
	bind_cells(e);
	bind_program(e, fn);
}

static void leave_as_is(Emit *e, LLVMValueRef f)
{
	add_flag(e, f, LLVMAttributeFunctionIndex, "optnone");
	add_flag(e, f, LLVMAttributeFunctionIndex, "noinline");
}

/* The steps of one part; what is let before them is let here again. */
static void emit_part(Emit *e, LFunc *fn, Part *p, const char *name, bool whole, bool optimised)
{
	p->f = begin_part(e, fn, name);
	if (!optimised)
		leave_as_is(e, p->f);
	LLVMValueRef some = LLVMBuildICmp(e->b, LLVMIntSLT, e->first, e->last, "");
	e->span = LLVMBuildSelect(e->b, some, LLVMBuildSub(e->b, e->last, e->first, ""), const_i64_of(e, 0), "");
	bind_frame(e, fn, !whole);
	e->step = p->first;
	for (const LStmt *s = fn->body.first; s != p->end; s = s->next) {
		if (s == p->from) {
			emit_stmts(e, s, p->end);
			break;
		}
		if (s->kind == SLet)
			emit_stmts(e, s, s->next);
	}
	end_function(e, NULL);
}

/* Where the steps and jumps go on that stand before step `number`: position 0 is the first part. */
static LLVMBasicBlockRef position_label(const Parts *parts, int number)
{
	for (int i = 0; i < parts->n; i++)
		if (parts->items[i].last == number)
			return parts->items[i].behind;
	return parts->items[0].label;
}

/* The jumps before step `position`: the first whose condition holds sets *from and goes to its target's place among the
 * parts, or to `again`. */
static void emit_jumps(Emit *e, const LFunc *fn, int position, LLVMValueRef from, const Parts *parts, LLVMBasicBlockRef again)
{
	int step = 0;
	for (const LStmt *s = fn->body.first; s && step <= position; s = s->next) {
		step += s->kind == SStep;
		if (s->kind != SJump || step != position)
			continue;
		LLVMBasicBlockRef taken = new_label(e, "jump"), next = new_label(e, "next");
		LLVMBuildCondBr(e->b, emit_expr(e, s->e), taken, next);
		place_label(e, taken);
		LLVMBuildStore(e->b, const_i64_of(e, s->code), from);
		LLVMBuildBr(e->b, parts ? position_label(parts, s->code) : again);
		place_label(e, next);
	}
}

/* Steps first .. last - 1 of the parts in order, and the jumps that are met on the way. */
static LLVMValueRef emit_entry(Emit *e, LFunc *fn, const char *name, Parts *parts)
{
	LLVMValueRef f = begin_part(e, fn, name);
	LLVMBasicBlockRef end = new_label(e, "end");
	LLVMValueRef from = LLVMBuildAlloca(e->allocas, e->i64, "from");
	LLVMValueRef args[] = {e->frame, e->worker, e->workers, NULL, e->last};
	bind_frame(e, fn, true);
	LLVMBuildStore(e->b, e->first, from);
	for (int i = 0; i < parts->n; i++) { /* before the jumps that name them */
		parts->items[i].label = new_label(e, "part");
		parts->items[i].behind = new_label(e, "behind");
	}
	LLVMBuildBr(e->b, parts->n ? parts->items[0].label : end);
	for (int i = 0; i < parts->n; i++) {
		Part *p = &parts->items[i];
		LLVMBasicBlockRef next = i + 1 < parts->n ? parts->items[i + 1].label : end, run = new_label(e, "run");
		place_label(e, p->label);
		args[3] = LLVMBuildLoad2(e->b, e->i64, from, "");
		LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, args[3], const_i64_of(e, p->last), ""), run, next);
		place_label(e, run);
		LLVMTypeRef type = LLVMGlobalGetValueType(p->f);
		LLVMBuildCall2(e->b, type, p->f, args, 5, "");
		LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLE, e->last, const_i64_of(e, p->last), ""), end, p->behind);
		place_label(e, p->behind);
		emit_jumps(e, fn, p->last, from, parts, NULL);
		LLVMBuildBr(e->b, next);
	}
	place_label(e, end);
	end_function(e, NULL);
	return f;
}

/* The step that follows from position `step` on, once the jumps there are taken. */
static LLVMValueRef emit_next(Emit *e, LFunc *fn, const char *name)
{
	LLVMTypeRef types[] = {e->ptr, e->i64};
	LLVMValueRef f = new_function(e, name, e->i64, 2, types, false);
	e->fn = fn;
	open_function(e, f);
	no_debug(e);
	e->frame = LLVMGetParam(f, 0);
	bind_frame(e, fn, true);
	LLVMValueRef from = LLVMBuildAlloca(e->allocas, e->i64, "from");
	LLVMBasicBlockRef again = new_label(e, "again"), done = new_label(e, "done");
	LLVMBuildStore(e->b, LLVMGetParam(f, 1), from);
	LLVMBuildBr(e->b, again);
	place_label(e, again);
	LLVMValueRef at = LLVMBuildSwitch(e->b, LLVMBuildLoad2(e->b, e->i64, from, ""), done, 8);
	int step = 0, last = -1;
	for (const LStmt *s = fn->body.first; s; s = s->next) {
		step += s->kind == SStep;
		if (s->kind != SJump || step == last)
			continue;
		LLVMBasicBlockRef jumps = new_label(e, "jumps");
		LLVMAddCase(at, const_i64_of(e, step), jumps);
		place_label(e, jumps);
		emit_jumps(e, fn, step, from, NULL, again);
		LLVMBuildBr(e->b, done);
		last = step;
	}
	place_label(e, done);
	end_function(e, LLVMBuildLoad2(e->b, e->i64, from, ""));
	return f;
}

static void emit_program(Emit *e, LFunc *fn, int target)
{
	Parts parts = split_program(e, fn);
	const char *name = arena_printf(e->m->arena, "%s.main.%s", e->m->name, e->target->name);
	bool whole = parts.n == 1 && !parts.jumps;
	int steps = parts.n ? parts.items[parts.n - 1].last : 0;
	bool optimised = steps <= MaxOptimised;
	for (int i = 0; i < parts.n; i++)
		emit_part(e, fn, &parts.items[i], whole ? name : arena_printf(e->m->arena, "%s.%d", name, i), whole, optimised);
	LLVMValueRef entry = whole ? parts.items[0].f : emit_entry(e, fn, name, &parts);
	LLVMValueRef next = parts.jumps ? emit_next(e, fn, arena_printf(e->m->arena, "%s.next", name)) : NULL;
	if (!whole && !optimised)
		leave_as_is(e, entry);
	if (next && !optimised)
		leave_as_is(e, next);
	e->programs[target] = entry;
	e->nexts[target] = next ? next : LLVMConstNull(e->ptr);
	if (steps > e->nstep)
		e->nstep = steps;
}

static LFunc *find_program(LModule *lm, const Target *t)
{
	for (int i = 0; i < lm->nprog; i++) {
		const char *name = lm->programs[i]->name;
		if (!strncmp(name, "main.", 5) && !strcmp(name + 5, t->name))
			return lm->programs[i];
	}
	fatal_at(&(Loc){.file = lm->m->path}, "there is no program for target %s", t->name);
}

/* meet(frame, worker, workers): the barrier of a run that has one.  A function: its blocks behind each of thousands of steps
 * took LLVM longer than all else. */
static void emit_meet(Emit *e)
{
	LLVMTypeRef types[] = {e->ptr, e->i64, e->i64};
	LLVMValueRef f = begin_function(e, arena_printf(e->m->arena, "%s.meet", e->m->name), e->void_type, 3, types, false);
	LLVMBasicBlockRef many = new_label(e, "many"), meet = new_label(e, "meet"), met = new_label(e, "met");
	LLVMValueRef frame = LLVMGetParam(f, 0);

	add_flag(e, f, LLVMAttributeFunctionIndex, "noinline");
	LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSGT, LLVMGetParam(f, 2), const_i64_of(e, 1), ""), many, met);
	place_label(e, many);
	LLVMValueRef barrier = load_field(e, frame, offsetof(dcc_frame, barrier), e->ptr);
	LLVMBuildCondBr(e->b, LLVMBuildIsNotNull(e->b, barrier, ""), meet, met);
	place_label(e, meet);
	LLVMBuildCall2(e->b, LLVMFunctionType(e->void_type, types, 2, false), barrier, (LLVMValueRef[]){frame, LLVMGetParam(f, 1)}, 2, "");
	LLVMBuildBr(e->b, met);
	place_label(e, met);
	end_function(e, NULL);
	e->meet = f;
}

void emit_functions(Emit *e)
{
	emit_meet(e);
	for (int t = 0; t < e->opt->ntarget; t++) {
		e->target = e->opt->target[t];
		for (int i = 0; i < e->lm->nfunc; i++) {
			e->lm->funcs[i]->scratch = NULL;
			if (serves(e->lm->funcs[i], e->target))
				declare_kernel(e, e->lm->funcs[i]);
		}
		for (int i = 0; i < e->lm->nfunc; i++)
			if (serves(e->lm->funcs[i], e->target))
				emit_kernel(e, e->lm->funcs[i]);
		LFunc *program = find_program(e->lm, e->target);
		emit_program(e, program, t);
		e->sources[t] = program;
	}
	e->target = NULL;
}
