/* emit.c - statements and functions of the loop IR to LLVM IR; it knows nothing of operators.
 *
 * Every kernel is emitted once for each target that it serves, as an internal function (buffers as pointers,
 * scalars as i64, then worker, workers, frame).  Unrolled loops are expanded here with their variable bound to a
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

/* Part p of n is the iterations [count*p/n, count*(p+1)/n). */
static void emit_part(Emit *e, const LStmt *s, LLVMValueRef lo, LLVMValueRef hi, LLVMValueRef step, LLVMValueRef count, LLVMValueRef part, LLVMValueRef parts)
{
	int64_t by = 0;
	bool unit = is_llvm_int(step, &by) && by == 1;
	LLVMValueRef begin = LLVMBuildMul(e->b, count, part, "");
	LLVMValueRef end = LLVMBuildAdd(e->b, begin, count, "");
	begin = LLVMBuildUDiv(e->b, begin, parts, "");
	end = LLVMBuildUDiv(e->b, end, parts, "");
	if (!unit) {
		begin = LLVMBuildMul(e->b, begin, step, "");
		end = LLVMBuildMul(e->b, end, step, "");
	}
	end = LLVMBuildAdd(e->b, lo, end, "");
	if (!unit) /* the last iteration may end beyond hi: the same iterations, but indices that read `hi` stay the loop's */
		end = emit_pick(e, false, I64, end, hi);
	emit_serial(e, s, LLVMBuildAdd(e->b, lo, begin, ""), end, step);
}

/* Loops of a few iterations a worker are a part each; others have several, and who is done helps who is behind (dcc_frame.next_part). */
static void emit_parallel(Emit *e, const LStmt *s, LLVMValueRef lo, LLVMValueRef hi, LLVMValueRef step)
{
	enum { Parts = 8, Few = 2 }; /* of a worker */
	int64_t by = 0;
	LLVMTypeRef type = LLVMFunctionType(e->i64, (LLVMTypeRef[]){e->ptr, e->i64, e->i64}, 3, false);
	LLVMValueRef zero = const_i64_of(e, 0), one = const_i64_of(e, 1);
	LLVMValueRef count = LLVMBuildSub(e->b, hi, lo, "");
	count = LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSGT, hi, lo, ""), count, zero, "");
	if (!is_llvm_int(step, &by) || by != 1) {
		count = LLVMBuildAdd(e->b, count, LLVMBuildSub(e->b, step, one, ""), "");
		count = LLVMBuildUDiv(e->b, count, step, "");
	}
	LLVMValueRef next = load_field(e, e->frame, offsetof(dcc_frame, next_part), e->ptr);
	LLVMValueRef few = LLVMBuildICmp(e->b, LLVMIntSLT, count, LLVMBuildMul(e->b, e->workers, const_i64_of(e, Few), ""), "");
	LLVMValueRef whole = LLVMBuildOr(e->b, LLVMBuildIsNull(e->b, next, ""), few, "");
	LLVMValueRef most = emit_pick(e, false, I64, count, LLVMBuildMul(e->b, e->workers, const_i64_of(e, Parts), ""));
	LLVMValueRef parts = LLVMBuildSelect(e->b, whole, e->workers, most, "parts");
	LLVMBasicBlockRef from = LLVMGetInsertBlock(e->b), ask = new_label(e, "ask"), do_part = new_label(e, "part"), done = new_label(e, "shared");
	LLVMBuildCondBr(e->b, whole, do_part, ask);
	place_label(e, ask);
	LLVMValueRef given = LLVMBuildCall2(e->b, type, next, (LLVMValueRef[]){e->frame, e->worker, parts}, 3, "");
	LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, given, zero, ""), done, do_part);
	place_label(e, do_part);
	LLVMValueRef part = LLVMBuildPhi(e->b, e->i64, "part");
	LLVMAddIncoming(part, (LLVMValueRef[]){e->worker, given}, (LLVMBasicBlockRef[]){from, ask}, 2);
	emit_part(e, s, lo, hi, step, count, part, parts);
	LLVMBuildCondBr(e->b, whole, done, ask);
	place_label(e, done);
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

/* if VAR == constant, and nothing else. */
static bool is_case(const LStmt *s, const LVar **var, int64_t *value)
{
	if (!s || s->kind != SIf || s->other.first || s->e->op != LEq || s->e->a[0]->op != LRef || s->e->a[1]->op != LConst)
		return false;
	*var = s->e->a[0]->var;
	*value = s->e->a[1]->value.i;
	return s->e->a[0]->type.elem == I64;
}

/* The last of the ifs from s to `end` that ask for ascending values of one variable; s, if there are no others.  One jump decides between
 * them, where LLVM would test each. */
static const LStmt *last_case(const LStmt *s, const LStmt *end)
{
	const LVar *var, *same;
	int64_t value, next;
	if (!is_case(s, &var, &value))
		return s;
	for (; s->next != end && is_case(s->next, &same, &next) && same == var && next > value; s = s->next)
		value = next;
	return s;
}

static void emit_cases(Emit *e, LLVMValueRef x, const LStmt *s, const LStmt *last)
{
	LLVMBasicBlockRef done = new_label(e, "done");
	LLVMValueRef choice = LLVMBuildSwitch(e->b, x, done, 8);
	for (const LStmt *end = last->next; s != end; s = s->next) {
		LLVMBasicBlockRef one = new_label(e, "case");
		LLVMAddCase(choice, const_i64_of(e, s->e->a[1]->value.i), one);
		place_label(e, one);
		debug_line(e, s);
		emit_block(e, &s->body);
		LLVMBuildBr(e->b, done);
	}
	place_label(e, done);
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
	args[n++] = e->frame;
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
	LLVMValueRef word = e->status;
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
	case SStep: case SJump: bug("%s: a step or a jump inside of a block", function_name(e)); /* program.c */
	}
}

void emit_stmts(Emit *e, const LStmt *from, const LStmt *end)
{
	for (const LStmt *s = from; s != end; s = s->next) {
		if (++e->work > MaxWork)
			fatal_at(e->fn ? e->fn->loc : NULL, "%s: more than %d statements after unrolling",
			         function_name(e), MaxWork);
		debug_line(e, s);
		const LStmt *last = last_case(s, end);
		LLVMValueRef x = last == s ? NULL : emit_expr(e, s->e->a[0]);
		if (!x || LLVMIsConstant(x)) {
			emit_stmt(e, s);
			continue;
		}
		emit_cases(e, x, s, last);
		s = last;
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

void add_flag(Emit *e, LLVMValueRef f, LLVMAttributeIndex at, const char *name)
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

void share_function(Emit *e, LLVMValueRef f)
{
	if (!e->single)
		make_hidden(f);
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
	const char *name = arena_printf(e->m->arena, "%s.%s", e->m->name, emitted_name(e->m->arena, fn, e->target->name));
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
	debug_function(e, fn->line, emitted_name(e->m->arena, fn, e->target->name), f);
	for (unsigned i = 0; i < n; i++) {
		LLVMValueRef p = LLVMGetParam(f, i);
		if (fn->params[i].buf)
			fn->params[i].buf->scratch = p;
		else
			bind_var(fn->params[i].e->var, p);
	}
	e->worker = LLVMGetParam(f, n);
	e->workers = LLVMGetParam(f, n + 1);
	e->frame = LLVMGetParam(f, n + 2);
	e->status = load_field(e, e->frame, offsetof(dcc_frame, status), e->ptr);
	emit_block(e, &fn->body);
	end_function(e, NULL);
}

/* ---- all of a module ---------------------------------------------------------------------------------------- */

static LFunc *find_program(LModule *lm, const Target *t)
{
	for (int i = 0; i < lm->nprog; i++) {
		const char *name = lm->programs[i]->name;
		if (!strncmp(name, "main.", 5) && !strcmp(name + 5, t->name))
			return lm->programs[i];
	}
	fatal_at(&(Loc){.file = lm->m->path}, "there is no program for target %s", t->name);
}

void emit_target(Emit *e, int target)
{
	e->target = e->opt->target[target];
	e->sources[target] = find_program(e->lm, e->target);
	e->divide = new_divide(e);
	for (int i = 0; i < e->lm->nfunc; i++) {
		e->lm->funcs[i]->scratch = NULL;
		if (serves(e->lm->funcs[i], e->target->name))
			declare_kernel(e, e->lm->funcs[i]);
	}
	for (int i = 0; i < e->lm->nfunc; i++)
		if (serves(e->lm->funcs[i], e->target->name))
			emit_kernel(e, e->lm->funcs[i]);
	emit_steps(e, target);
	e->divide = NULL;
	e->target = NULL;
}

void emit_programs(Emit *e)
{
	for (int t = 0; t < e->opt->ntarget; t++) {
		e->target = e->opt->target[t];
		emit_program(e, t);
	}
	e->target = NULL;
}
