/* model.c - what surrounds the programs in the object: bind, check, output_dims, workspace_size, the descriptor
 * NAME_model and the exported functions.  These run before the CPU is known, so they are compiled for any x86-64.
 *
 * The descriptor's layout is dcc.h's; struct_of() checks each struct against the C compiler's.
 */
#include "emit.h"

#include <llvm-c/Target.h>
#include <string.h>

#include "../runtime/dcc.h"

/* ---- constants ------------------------------------------------------------------------------------------------- */

static LLVMValueRef int_const(LLVMTypeRef type, int64_t v)
{
	return LLVMConstInt(type, (uint64_t)v, true);
}

/* A struct constant that must have the size of its C counterpart. */
static LLVMValueRef struct_of(Emit *e, const char *name, size_t size, int n, LLVMValueRef *fields)
{
	LLVMValueRef s = LLVMConstStructInContext(e->cx, fields, (unsigned)n, false);
	size_t got = LLVMABISizeOfType(LLVMGetModuleDataLayout(e->mod), LLVMTypeOf(s));
	if (got != size)
		bug("%s has %zu bytes in the object, %zu in dcc.h", name, got, size);
	return s;
}

LLVMValueRef global_const(Emit *e, const char *name, LLVMValueRef init, LLVMLinkage linkage)
{
	LLVMValueRef g = LLVMAddGlobal(e->mod, LLVMTypeOf(init), name);
	LLVMSetInitializer(g, init);
	LLVMSetGlobalConstant(g, true);
	LLVMSetLinkage(g, linkage);
	LLVMSetAlignment(g, 8);
	return g;
}

LLVMValueRef table_of_bytes(Emit *e, const char *name, const void *bytes, size_t n)
{
	return global_const(e, name, LLVMConstStringInContext2(e->cx, bytes, n, true), LLVMInternalLinkage);
}

/* A private table; empty: a null pointer. */
static LLVMValueRef table_of(Emit *e, const char *name, int n, LLVMValueRef *items)
{
	if (n == 0)
		return LLVMConstNull(e->ptr);
	return global_const(e, name, LLVMConstArray2(LLVMTypeOf(items[0]), items, (uint64_t)n), LLVMInternalLinkage);
}

static LLVMValueRef *new_items(Emit *e, int n)
{
	return arena_alloc(e->m->arena, ((size_t)n + 1) * sizeof(LLVMValueRef));
}

/* ---- descriptor ------------------------------------------------------------------------------------------------ */

int symbol_source(const Sym *s)
{
	return s->kind == SymInput ? DCC_SYMBOL_INPUT : s->kind == SymValue ? (s->times ? DCC_SYMBOL_SCALED : DCC_SYMBOL_VALUE)
	     : s->kind == SymDerived ? DCC_SYMBOL_DERIVED : DCC_SYMBOL_DATA;
}

static LLVMValueRef symbol_table(Emit *e)
{
	LLVMValueRef *items = new_items(e, e->m->nsym);
	for (int i = 0; i < e->m->nsym; i++) {
		const Sym *s = e->m->syms[i];
		LLVMValueRef f[] = {emit_string(e, s->name), int_const(e->i64, s->lo), int_const(e->i64, s->hi),
		                    int_const(e->i32, symbol_source(s)), int_const(e->i32, s->input), int_const(e->i32, s->element),
		                    int_const(e->i32, 0)};
		items[i] = struct_of(e, "dcc_symbol", sizeof(dcc_symbol), 7, f);
	}
	return table_of(e, "symbols", e->m->nsym, items);
}

/* other: the partner's number, -1 without state */
static LLVMValueRef port(Emit *e, const char *name, const Type *t, int other, const State *state)
{
	LLVMValueRef dims[DCC_MAX_RANK], texts[DCC_MAX_RANK];
	for (int d = 0; d < DCC_MAX_RANK; d++) {
		int64_t v = 0;
		if (d < t->rank && !dim_is_const(t->dims[d], &v))
			v = -1;
		dims[d] = int_const(e->i64, v);
		texts[d] = emit_string(e, d < t->rank ? dim_text(e->m, t->dims[d]) : NULL);
	}
	LLVMValueRef f[] = {
		emit_string(e, name), int_const(e->i32, dtypes[t->dtype].onnx), int_const(e->i32, t->rank),
		LLVMConstArray2(e->i64, dims, DCC_MAX_RANK), LLVMConstArray2(e->ptr, texts, DCC_MAX_RANK),
		int_const(e->i32, other + 1), int_const(e->i32, state->axis),
		int_const(e->i64, state->capacity), int_const(e->i64, state->shift),
	};
	return struct_of(e, "dcc_port", sizeof(dcc_port), 9, f);
}

static LLVMValueRef input_table(Emit *e)
{
	const Func *fn = e->m->main;
	LLVMValueRef *items = new_items(e, fn->nparam);
	State *states = arena_alloc(e->m->arena, (size_t)fn->nparam * sizeof *states), s;
	int *partner = arena_alloc(e->m->arena, (size_t)fn->nparam * sizeof *partner); /* its number plus one */
	for (int o = 0; o < fn->body.nyield; o++)
		if (state_of_output(e->m, fn->body.yields[o], &s)) {
			states[s.input] = s;
			partner[s.input] = o + 1;
		}
	for (int i = 0; i < fn->nparam; i++)
		items[i] = port(e, fn->params[i]->name, &fn->params[i]->type, partner[i] - 1, &states[i]);
	return table_of(e, "inputs", fn->nparam, items);
}

static LLVMValueRef output_table(Emit *e)
{
	const Func *fn = e->m->main;
	LLVMValueRef *items = new_items(e, fn->body.nyield);
	for (int i = 0; i < fn->body.nyield; i++) {
		State state = {0};
		bool shared = state_of_output(e->m, fn->body.yields[i], &state);
		items[i] = port(e, fn->results[i], &fn->body.yields[i]->type, shared ? state.input : -1, &state);
	}
	return table_of(e, "outputs", fn->body.nyield, items);
}

static LLVMValueRef target_table(Emit *e)
{
	LLVMValueRef *items = new_items(e, e->opt->ntarget);
	for (int i = 0; i < e->opt->ntarget; i++) {
		const Target *t = e->opt->target[i];
		LLVMValueRef f[] = {emit_string(e, t->name), int_const(e->i64, (int64_t)t->need), e->programs[i], e->nexts[i]};
		items[i] = struct_of(e, "dcc_target", sizeof(dcc_target), 4, f);
	}
	return table_of(e, "targets", e->opt->ntarget, items);
}

/* ---- steps ----------------------------------------------------------------------------------------------------- */

/* Equal layers have steps of equal cost: formulas are shared. */
typedef struct Costs {
	int n, cap;
	const LStmt **steps; /* the first of each cost */
} Costs;

static bool same_expr(const LExpr *a, const LExpr *b)
{
	if (!a || !b)
		return a == b;
	if (a->op != b->op || a->value.u != b->value.u || a->var != b->var)
		return false;
	for (int i = 0; i < 3; i++)
		if (!same_expr(a->a[i], b->a[i]))
			return false;
	return true;
}

static int cost_number(Emit *e, Costs *c, const LStmt *s)
{
	for (int i = 0; i < c->n; i++)
		if (same_expr(c->steps[i]->e, s->e) && same_expr(c->steps[i]->idx, s->idx))
			return i;
	PUSH(e->m->arena, c->steps, c->n, c->cap, s);
	return c->n - 1;
}

static LLVMValueRef node_names(Emit *e, const LStmt *s, int *n)
{
	LLVMValueRef *names = new_items(e, s->nloc);
	*n = 0;
	for (int i = 0; i < s->nloc; i++)
		if (s->locs[i]->node)
			names[(*n)++] = emit_string(e, s->locs[i]->node);
	return table_of(e, "nodes", *n, names);
}

static LLVMValueRef step_row(Emit *e, const char *kernel, LLVMValueRef nodes, int nnodes, int cost)
{
	LLVMValueRef f[] = {emit_string(e, kernel), nodes, int_const(e->i32, nnodes), int_const(e->i32, cost)};
	return struct_of(e, "dcc_step", sizeof(dcc_step), 4, f);
}

/* Shorter programs end in rows without a kernel. */
static LLVMValueRef steps_of_target(Emit *e, int t, Costs *costs)
{
	LLVMValueRef *items = new_items(e, e->nstep);
	int n = 0, nnodes;
	for (const LStmt *s = e->sources[t]->body.first; s; s = s->next) {
		if (s->kind != SStep)
			continue;
		const LFunc *fn = step_kernel(s);
		LLVMValueRef nodes = node_names(e, s, &nnodes);
		items[n++] = step_row(e, fn ? emitted_name(e->m->arena, fn, e->opt->target[t]->name) : "", nodes, nnodes, cost_number(e, costs, s));
	}
	while (n < e->nstep)
		items[n++] = step_row(e, NULL, LLVMConstNull(e->ptr), 0, 0);
	return table_of(e, "steps", n, items);
}

static LLVMValueRef step_table(Emit *e, Costs *costs)
{
	LLVMValueRef *items = new_items(e, e->opt->ntarget);
	for (int t = 0; t < e->opt->ntarget; t++)
		items[t] = steps_of_target(e, t, costs);
	return table_of(e, "target_steps", e->opt->ntarget, items);
}

static LLVMValueRef message_table(Emit *e)
{
	LLVMValueRef *items = new_items(e, e->lm->nmessage);
	for (int i = 0; i < e->lm->nmessage; i++)
		items[i] = emit_string(e, e->lm->messages[i]);
	return table_of(e, "messages", e->lm->nmessage, items);
}

/* Stands for the weights while LLVM works; object.c puts the bytes behind it. */
static LLVMValueRef weights_global(Emit *e)
{
	if (e->opt->weights_path)
		return LLVMConstNull(e->ptr);
	LLVMValueRef zero = LLVMConstNull(LLVMArrayType2(e->i8, WeightsPlaceholder));
	const char *name = arena_printf(e->m->arena, "%s.weights", e->m->name);
	LLVMValueRef g = global_const(e, name, zero, LLVMInternalLinkage);
	LLVMSetSection(g, DCC_WEIGHTS_SECTION);
	LLVMSetAlignment(g, 64);
	return g;
}

/* ---- functions ------------------------------------------------------------------------------------------------- */

static LLVMValueRef param(Emit *e, unsigned i)
{
	return LLVMGetParam(e->f, i);
}

/* A function over n items, which may be emitted as several: emit() does [from, to). */
typedef struct Piece {
	const char *name;
	LLVMTypeRef ret;
	int nparam;
	LLVMTypeRef params[4];
	int n, size; /* items in all, and of a piece at most */
	void (*emit)(Emit *, int from, int to);
	LLVMValueRef result; /* NULL: void; else what a function returns that found nothing wrong */
} Piece;

static LLVMValueRef emit_piece(Emit *e, const Piece *p, const char *name, int from, int to)
{
	LLVMValueRef f = begin_function(e, name, p->ret, p->nparam, p->params, false);
	p->emit(e, from, to);
	end_function(e, p->result);
	return f;
}

/* Returns what the piece returns, if that is not p->result. */
static void call_piece(Emit *e, const Piece *p, LLVMValueRef piece)
{
	LLVMValueRef args[4];
	LLVMGetParams(e->f, args);
	LLVMValueRef got = LLVMBuildCall2(e->b, LLVMGlobalGetValueType(piece), piece, args, (unsigned)p->nparam, "");
	if (!p->result)
		return;
	LLVMBasicBlockRef fail = new_label(e, "fail"), pass = new_label(e, "pass");
	LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntEQ, got, p->result, ""), pass, fail);
	place_label(e, fail);
	LLVMBuildRet(e->b, got);
	place_label(e, pass);
}

/* One function, or one that calls pieces. */
static LLVMValueRef emit_in_pieces(Emit *e, const Piece *p)
{
	LLVMValueRef *pieces = NULL;
	int n = 0, cap = 0;
	if (p->n <= p->size)
		return emit_piece(e, p, p->name, 0, p->n);
	for (int from = 0; from < p->n; from += p->size) {
		int to = p->n - from < p->size ? p->n : from + p->size;
		LLVMValueRef f = emit_piece(e, p, arena_printf(e->m->arena, "%s.%d", p->name, n), from, to);
		PUSH(e->m->arena, pieces, n, cap, f);
	}
	LLVMValueRef f = begin_function(e, p->name, p->ret, p->nparam, p->params, false);
	for (int i = 0; i < n; i++)
		call_piece(e, p, pieces[i]);
	end_function(e, p->result);
	return f;
}

static void bind_some(Emit *e, int from, int to)
{
	e->inputs = param(e, 0);
	for (int i = from; i < to; i++) {
		const LExpr *x = e->lm->bind[i];
		LLVMValueRef v = x ? emit_expr(e, x) : const_i64_of(e, e->m->syms[i]->lo);
		bind_var(e->lm->syms[i], v);
		store_field(e, param(e, 1), (uint64_t)i * sizeof(int64_t), v);
	}
}

static LLVMValueRef emit_bind(Emit *e)
{
	for (int i = 0; i < e->lm->nsym; i++)
		bind_var(e->lm->syms[i], NULL);
	return emit_in_pieces(e, &(Piece){.name = arena_printf(e->m->arena, "%s.bind", e->m->name), .ret = e->void_type,
	                                  .nparam = 2, .params = {e->ptr, e->ptr}, .n = e->lm->nsym - 1, .size = PieceSize,
	                                  .emit = bind_some});
}

static void check_some(Emit *e, int from, int to)
{
	const LStmt *first = e->lm->checks.first, *end;
	e->inputs = param(e, 0);
	e->outputs = param(e, 1);
	e->error = param(e, 3);
	bind_syms_from(e, param(e, 2));
	for (int i = 0; i < from; i++)
		first = first->next;
	end = first;
	for (int i = from; i < to; i++)
		end = end->next;
	emit_stmts(e, first, end);
}

static LLVMValueRef emit_check_function(Emit *e)
{
	int n = 0;
	for (const LStmt *s = e->lm->checks.first; s; s = s->next)
		n++;
	return emit_in_pieces(e, &(Piece){.name = arena_printf(e->m->arena, "%s.check", e->m->name), .ret = e->i32, .nparam = 4,
	                                  .params = {e->ptr, e->ptr, e->ptr, e->ptr}, .n = n, .size = PieceSize,
	                                  .emit = check_some, .result = int_const(e->i32, DCC_OK)});
}

static void output_dims_of_some(Emit *e, int from, int to)
{
	bind_syms_from(e, param(e, 0));
	for (int i = from * MaxRank; i < to * MaxRank; i++) {
		const LExpr *x = e->lm->outdims[i];
		store_field(e, param(e, 1), (uint64_t)i * sizeof(int64_t), x ? emit_expr(e, x) : const_i64_of(e, 0));
	}
}

static LLVMValueRef emit_output_dims(Emit *e)
{
	return emit_in_pieces(e, &(Piece){.name = arena_printf(e->m->arena, "%s.output_dims", e->m->name), .ret = e->void_type,
	                                  .nparam = 2, .params = {e->ptr, e->ptr}, .n = e->lm->nout,
	                                  .size = PieceSize / MaxRank, .emit = output_dims_of_some});
}

static const LExpr zero = {.op = LConst, .type = {I64, 1}};

static LExpr *times(Emit *e, const LExpr *a, const LExpr *b)
{
	LExpr *x = arena_alloc(e->m->arena, sizeof *x);
	*x = (LExpr){.op = LMul, .type = IndexType, .a = {(LExpr *)a, (LExpr *)b}}; /* which nothing changes */
	return x;
}

static const LExpr *output_bytes(Emit *e, int i)
{
	LExpr *x = arena_alloc(e->m->arena, sizeof *x);
	*x = (LExpr){.op = LConst, .type = IndexType, .value.i = dtypes[e->m->main->body.yields[i]->type.dtype].bytes};
	for (int d = 0; d < MaxRank && e->lm->outdims[i * MaxRank + d]; d++)
		x = times(e, x, e->lm->outdims[i * MaxRank + d]);
	return x;
}

/* Every value lies in an input, an output or a slot of the workspace: where their sizes fit an i64, so do its parts' offsets. */
static LLVMValueRef emit_workspace(Emit *e)
{
	const LExpr **sizes = arena_alloc(e->m->arena, ((size_t)e->lm->nout + 1) * sizeof *sizes);
	const char *name = arena_printf(e->m->arena, "%s.workspace", e->m->name);
	Formulas *f = new_formulas(e, e->m->arena);

	bind_syms_from(e, NULL);
	sizes[0] = e->lm->workspace ? e->lm->workspace : &zero;
	for (int i = 0; i < e->lm->nout; i++)
		sizes[i + 1] = output_bytes(e, i);
	want_formulas(f, e->lm->nout + 1, sizes);
	make_formulas(f, 0, NULL);
	const FormulaCode code = formula_code(f, 0); /* the only one, so there are no lets that could leave the range */
	const FormulaTable t = emit_formula_table(e, f, name);
	need_formulas(e, false);
	need_formulas(e, true);
	LLVMValueRef fn = begin_function(e, name, e->i64, 1, (LLVMTypeRef[]){e->ptr}, false), none = LLVMConstNull(e->ptr);
	const FormulaPlaces real = open_formulas(e, &t, true, param(e, 0), none), whole = open_formulas(e, &t, false, param(e, 0), none);
	LLVMValueRef wraps = call_formula_code(e, &real, &code);
	call_formula_code(e, &whole, &code);
	LLVMValueRef size = LLVMBuildLoad2(e->b, e->i64, formula_place(e, &whole, 0), "");
	end_function(e, LLVMBuildSelect(e->b, wraps, const_i64_of(e, -1), size, ""));
	return fn;
}

static void store_cost(Emit *e, LLVMValueRef to, const FormulaPlaces *p, int i)
{
	LLVMValueRef v = LLVMBuildLoad2(e->b, e->i64, formula_place(e, p, i), "");
	store_field(e, to, 0, LLVMBuildSIToFP(e->b, v, LLVMDoubleTypeInContext(e->cx), ""));
}

static LLVMValueRef cost_field(Emit *e, LLVMValueRef row, uint64_t offset)
{
	return LLVMBuildZExt(e->b, load_field(e, row, offset, e->i32), e->i64, "");
}

static LLVMValueRef emit_step_cost(Emit *e, const Costs *costs)
{
	LLVMTypeRef types[] = {e->ptr, e->i32, e->ptr, e->ptr};
	const char *name = arena_printf(e->m->arena, "%s.step_cost", e->m->name);
	FormulaCode *rows = arena_alloc(e->m->arena, ((size_t)costs->n + 1) * sizeof *rows);
	Formulas *f = new_formulas(e, e->m->arena);

	bind_syms_from(e, NULL);
	for (int i = 0; i < costs->n; i++) {
		const LExpr *flop = costs->steps[i]->e, *bytes = costs->steps[i]->idx;
		want_formulas(f, 2, (const LExpr *[]){flop ? flop : &zero, bytes ? bytes : &zero});
	}
	make_formulas(f, 0, NULL);
	for (int i = 0; i < costs->n; i++)
		rows[i] = formula_code(f, i);
	const FormulaTable t = emit_formula_table(e, f, name);
	LLVMValueRef table = table_of_bytes(e, arena_printf(e->m->arena, "%s.rows", name), rows, (size_t)costs->n * sizeof *rows);
	LLVMValueRef fn = begin_function(e, name, e->void_type, 4, types, false), n = const_i32_of(e, costs->n);
	if (t.rows) {
		LLVMBasicBlockRef some = new_label(e, "some"), done = new_label(e, "done");
		LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntULT, param(e, 1), n, ""), some, done);
		place_label(e, some);
		const FormulaPlaces p = open_formulas(e, &t, false, param(e, 0), LLVMConstNull(e->ptr));
		LLVMValueRef at = LLVMBuildZExt(e->b, param(e, 1), e->i64, ""), row = LLVMBuildGEP2(e->b, LLVMArrayType2(e->i8, sizeof *rows), table, &at, 1, "");
		LLVMValueRef first = cost_field(e, row, offsetof(FormulaCode, numbers)), numbers = LLVMBuildGEP2(e->b, e->i64, t.numbers, &first, 1, "");
		call_formulas(e, &p, cost_field(e, row, offsetof(FormulaCode, at)), cost_field(e, row, offsetof(FormulaCode, n)), numbers);
		store_cost(e, param(e, 2), &p, 0);
		store_cost(e, param(e, 3), &p, 1);
		LLVMBuildBr(e->b, done);
		place_label(e, done);
	}
	end_function(e, NULL);
	return fn;
}

static LLVMValueRef is_between(Emit *e, LLVMValueRef v, int64_t lo, int64_t hi)
{
	LLVMValueRef above = LLVMBuildICmp(e->b, LLVMIntSGE, v, const_i64_of(e, lo), "");
	return LLVMBuildAnd(e->b, above, LLVMBuildICmp(e->b, LLVMIntSLE, v, const_i64_of(e, hi), ""), "");
}

/* NAME_dims holds the symbols that inputs give, then threads; syms all symbols, of which sizes use no others.  Outside of their
 * bounds no run is possible: SIZE_MAX. */
static void emit_workspace_size(Emit *e, LLVMValueRef workspace)
{
	LLVMTypeRef types[] = {e->ptr};
	begin_function(e, arena_printf(e->m->arena, "%s_workspace_size", e->m->name), e->i64, 1, types, true);
	LLVMTypeRef array = LLVMArrayType2(e->i64, (uint64_t)e->lm->nsym);
	LLVMValueRef syms = LLVMBuildAlloca(e->allocas, array, "syms"), one = const_i64_of(e, 1);
	LLVMValueRef good = LLVMConstInt(e->i1, 1, false);
	for (int i = 0, field = 0; i < e->lm->nsym; i++) {
		if (i < e->m->nsym && !is_given(e->m->syms[i]))
			continue;
		bool threads = i == e->lm->nsym - 1, derived = !threads && e->m->syms[i]->kind == SymDerived;
		LLVMValueRef v = derived ? emit_expr(e, e->lm->bind[i])
		                         : load_field(e, param(e, 0), (uint64_t)field++ * sizeof(int64_t), e->i64);
		bind_var(e->lm->syms[i], v);
		int64_t lo = threads ? 0 : e->m->syms[i]->lo, hi = threads ? DCC_MAX_THREADS : e->m->syms[i]->hi;
		good = LLVMBuildAnd(e->b, good, is_between(e, v, lo, hi), "");
		if (threads)
			v = LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntEQ, v, const_i64_of(e, 0), ""), one, v, "");
		store_field(e, syms, (uint64_t)i * sizeof(int64_t), v);
	}
	LLVMValueRef bytes = LLVMBuildCall2(e->b, LLVMGlobalGetValueType(workspace), workspace, &syms, 1, "");
	end_function(e, LLVMBuildSelect(e->b, good, bytes, const_i64_of(e, -1), ""));
}

static void emit_run(Emit *e, LLVMValueRef model)
{
	LLVMTypeRef two[] = {e->ptr, e->ptr};
	LLVMValueRef run = LLVMAddFunction(e->mod, "dcc_run", LLVMFunctionType(e->i32, two, 2, false));
	begin_function(e, arena_printf(e->m->arena, "%s_run", e->m->name), e->i32, 1, &e->ptr, true);
	LLVMValueRef args[] = {model, param(e, 0)};
	end_function(e, LLVMBuildCall2(e->b, LLVMGlobalGetValueType(run), run, args, 2, ""));
}

static void declare_report(Emit *e)
{
	LLVMTypeRef types[] = {e->ptr, e->i32, e->ptr, e->i64, e->i64, e->i64};
	e->report = LLVMAddFunction(e->mod, "dcc_report", LLVMFunctionType(e->i32, types, 6, false));
}

void emit_model(Emit *e, uint64_t weights_hash)
{
	const Func *fn = e->m->main;
	declare_report(e);
	LLVMValueRef bind = emit_bind(e), check = emit_check_function(e), dims = emit_output_dims(e);
	LLVMValueRef workspace = emit_workspace(e);
	uint64_t layout = e->opt->weights_path ? hash_layout(e->lm) : 0;
	Costs costs = {0};
	LLVMValueRef steps = step_table(e, &costs), step_cost = emit_step_cost(e, &costs);
	LLVMValueRef f[] = {
		LLVMConstStringInContext2(e->cx, "dcc\0mod", 8, true),
		int_const(e->i32, DCC_ABI), int_const(e->i32, sizeof(dcc_model)),
		emit_string(e, e->m->name), emit_string(e, DCC_VERSION), int_const(e->i64, (int64_t)e->m->model_hash),
		int_const(e->i32, e->m->nsym), int_const(e->i32, fn->nparam), int_const(e->i32, fn->body.nyield),
		int_const(e->i32, e->opt->ntarget), int_const(e->i32, e->nstep), int_const(e->i32, e->lm->nmessage),
		symbol_table(e), input_table(e), output_table(e), target_table(e), message_table(e), weights_global(e),
		int_const(e->i64, e->lm->weight_bytes), int_const(e->i64, (int64_t)weights_hash),
		bind, check, dims, workspace, steps, step_cost, int_const(e->i64, (int64_t)layout), int_const(e->i64, (int64_t)e->opt->tuning_hash),
	};
	LLVMValueRef init = struct_of(e, "dcc_model", sizeof(dcc_model), sizeof f / sizeof *f, f);
	const char *name = arena_printf(e->m->arena, "%s_model", e->m->name);
	LLVMValueRef model = global_const(e, name, init, LLVMExternalLinkage);
	emit_workspace_size(e, workspace);
	emit_run(e, model);
}
