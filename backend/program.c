/* program.c - programs: a table of steps, and one function for all steps of a form.
 *
 * Most steps of a model differ in numbers alone: which part of the workspace they read, which weights.  A row of the table names
 * the function of the step's form and the place of its numbers, so LLVM sees each form once, however long the program is.
 * Numbers that are the same in all steps of a form are constants of its function; those that depend on symbols are computed before it is
 * called (formula.c).
 */
#include "emit.h"

#include <string.h>

#include "../runtime/dcc.h"

typedef struct Form { /* the steps of one */
	int index;
	StepForm step; /* the first */
	const LStmt *source;
	bool *varies; /* per number */
} Form;

typedef struct Row { /* a step */
	Form *form;
	const LExpr *const *numbers;
} Row;

typedef struct Rows {
	Arena *arena;
	Table known; /* forms by their bytes */
	int nform, capform, n, cap;
	Form **forms;
	Row *items;
	int nvar; /* symbols and lets of the program */
	bool jumps; /* are there any */
	bool formulas; /* are numbers formulas, outside of loops */
	int *loops; /* by the number of a step: how many begin with it, less how many have ended before it */
} Rows;

/* ---- what a program sees -------------------------------------------------------------------------------------------- */

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
		return port_data(e, e->inputs, number);
	if (sscanf(name, "out%d", &number) == 1 && number >= 0 && number < e->m->main->body.nyield)
		return port_data(e, e->outputs, number);
	bug("%s: parameter %s", e->fn->name, name);
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

/* Buffers and symbols are read where they are needed; those that the data gives have the values that their cells hold then. */
static void bind_program(Emit *e, const LFunc *fn)
{
	int nscalar = 0, cell = 0;
	for (int i = 0; i < e->lm->nsym - 1; i++)
		if (!is_given(e->m->syms[i]))
			e->lm->syms[i]->number = -1 - cell++;
	for (int i = 0; i < fn->nparam; i++) {
		LArg *p = &fn->params[i];
		if (p->buf) {
			p->buf->number = i;
			p->buf->scratch = NULL;
			continue;
		}
		p->e->var->number = program_symbol(e, p->e->var->name, nscalar++)->number;
		bind_var(p->e->var, NULL);
	}
}

/* The function of a program that begins: its first parameter is the frame. */
static void open_frame(Emit *e, const LFunc *fn)
{
	e->fn = fn;
	e->frame = LLVMGetParam(e->f, 0);
	e->inputs = load_field(e, e->frame, offsetof(dcc_frame, in), e->ptr);
	e->outputs = load_field(e, e->frame, offsetof(dcc_frame, out), e->ptr);
	e->status = load_field(e, e->frame, offsetof(dcc_frame, status), e->ptr);
	bind_syms_from(e, load_field(e, e->frame, offsetof(dcc_frame, syms), e->ptr));
	bind_program(e, fn);
}

/* ---- forms ---------------------------------------------------------------------------------------------------------- */

static bool has_form(const void *item, const void *key)
{
	return same_form(&((const Form *)item)->step.form, key);
}

/* The form of a step among those known; with line information each step has its own, named after its node. */
static Form *find_form(Emit *e, Rows *r, const LStmt *s, bool formulas, const LExpr ***numbers)
{
	Arena *own = new_inner_arena(r->arena);
	const StepForm step = step_form(own, s, r->nvar, formulas);
	const uint64_t hash = table_hash(step.form.bytes, step.form.size, 0);
	Form *form = e->debug ? NULL : table_find(&r->known, hash, has_form, &step.form);
	*numbers = arena_alloc(r->arena, (size_t)step.n * sizeof **numbers + 1);
	for (int i = 0; i < step.n; i++)
		(*numbers)[i] = step.numbers[i].e;
	if (form) {
		free_arena(own);
		return form;
	}
	form = arena_alloc(r->arena, sizeof *form);
	*form = (Form){.index = r->nform, .step = step, .source = s, .varies = arena_alloc(r->arena, (size_t)step.n + 1)};
	if (!e->debug)
		table_add(r->arena, &r->known, hash, form);
	PUSH(r->arena, r->forms, r->nform, r->capform, form);
	return form;
}

static void add_row(Emit *e, Rows *r, const LStmt *s, bool formulas)
{
	const LExpr **numbers;
	Form *form = find_form(e, r, s, formulas, &numbers);
	for (int i = 0; i < form->step.n; i++)
		form->varies[i] |= numbers[i]->op != LConst || numbers[i]->value.i != form->step.numbers[i].e->value.i;
	PUSH(r->arena, r->items, r->n, r->cap, ((Row){form, numbers}));
}

/* Lets behind the symbols; how many there are of both. */
static int number_lets(Emit *e, const LFunc *fn)
{
	int n = e->lm->nsym;
	for (const LStmt *s = fn->body.first; s; s = s->next)
		if (s->kind == SLet)
			s->var->number = n++;
	return n;
}

static bool reads_cell(const LExpr *x)
{
	if (!x || x->op == LRef)
		return x && x->var->number < 0;
	return reads_cell(x->a[0]) || reads_cell(x->a[1]) || reads_cell(x->a[2]);
}

/* Lets that the data gives would have to be computed again and again. */
static bool has_given_let(const LFunc *fn)
{
	for (const LStmt *s = fn->body.first; s; s = s->next)
		if (s->kind == SLet && reads_cell(s->e))
			return true;
	return false;
}

/* Steps from the target of a jump back to it are a loop's.  They run often and compute little: code is faster there than a table. */
static void find_loops(Rows *r, const LFunc *fn)
{
	int n = 0, at = 0;
	for (const LStmt *s = fn->body.first; s; s = s->next)
		n += s->kind == SStep;
	r->loops = arena_alloc(r->arena, ((size_t)n + 1) * sizeof *r->loops);
	for (const LStmt *s = fn->body.first; s; s = s->next) {
		at += s->kind == SStep;
		if (s->kind == SJump && s->code < at) {
			r->loops[s->code]++;
			r->loops[at]--;
		}
		r->jumps |= s->kind == SJump;
	}
}

static Rows *rows_of(Emit *e, const LFunc *fn)
{
	Arena *arena = new_inner_arena(e->m->arena);
	Rows *r = arena_alloc(arena, sizeof *r);
	*r = (Rows){.arena = arena, .formulas = has_formulas(fn) && !has_given_let(fn)};
	r->nvar = number_lets(e, fn);
	find_loops(r, fn);
	int inside = 0;
	for (const LStmt *s = fn->body.first; s; s = s->next)
		if (s->kind == SStep) {
			inside += r->loops[r->n];
			add_row(e, r, s, r->formulas && !inside);
		}
	return r;
}

/* What is let in front of a statement of the program is let in every function that may need it. */
static void emit_lets(Emit *e, const LFunc *fn, const LStmt *before)
{
	for (const LStmt *s = fn->body.first; s != before; s = s->next)
		if (s->kind == SLet)
			bind_var(s->var, emit_expr(e, s->e));
}

static const char *form_name(Emit *e, const Form *form)
{
	return arena_printf(e->m->arena, "%s.step.%d.%s", e->m->name, form->index, e->target->name);
}

/* form(frame, worker, workers, numbers): the numbers that vary, 8 bytes each. */
static void emit_form(Emit *e, const LFunc *fn, const Form *form)
{
	LLVMTypeRef types[] = {e->ptr, e->i64, e->i64, e->ptr};
	uint64_t at = 0;

	LLVMValueRef f = begin_function(e, form_name(e, form), e->void_type, 4, types, false);
	share_function(e, f);
	debug_step(e, form->source, f);
	open_frame(e, fn);
	e->worker = LLVMGetParam(f, 1);
	e->workers = LLVMGetParam(f, 2);
	if (form->step.code)
		emit_lets(e, fn, form->source);
	for (int i = 0; i < form->step.n; i++)
		bind_var(form->step.numbers[i].var, form->varies[i] ? load_field(e, LLVMGetParam(f, 3), 8 * at++, e->i64)
		                                                    : const_i64_of(e, form->step.numbers[i].e->value.i));
	emit_block(e, &form->step.body);
	end_function(e, NULL);
}

/* ---- tables --------------------------------------------------------------------------------------------------------- */

static LLVMTypeRef form_type(Emit *e)
{
	return LLVMFunctionType(e->void_type, (LLVMTypeRef[]){e->ptr, e->i64, e->i64, e->ptr}, 4, false);
}

static LLVMValueRef form_function(Emit *e, const Form *form)
{
	const char *name = form_name(e, form);
	LLVMValueRef f = LLVMGetNamedFunction(e->mod, name);
	if (f)
		return f;
	f = LLVMAddFunction(e->mod, name, form_type(e));
	share_function(e, f);
	return f;
}

static LLVMValueRef table_of_forms(Emit *e, const char *name, const Rows *r)
{
	LLVMValueRef *items = arena_alloc(r->arena, ((size_t)r->nform + 1) * sizeof *items);
	for (int i = 0; i < r->nform; i++)
		items[i] = form_function(e, r->forms[i]);
	return global_const(e, name, LLVMConstArray2(e->ptr, items, (uint64_t)r->nform), LLVMInternalLinkage);
}

typedef struct Tables {
	LLVMValueRef forms; /* pointers to their functions */
	LLVMValueRef rows; /* StepRow */
	FormulaTable formulas;
} Tables;

typedef struct StepRow {
	int32_t form, numbers; /* where its numbers begin */
	int32_t formulas, n; /* rows that compute the varying numbers out of those, if any */
} StepRow;

/* The numbers of a step that its form reads; true: they are constants. */
static bool varying_numbers(const Row *row, const LExpr **wanted, int *n)
{
	bool constant = true;
	*n = 0;
	for (int k = 0; k < row->form->step.n; k++)
		if (row->form->varies[k]) {
			constant &= row->numbers[k]->op == LConst;
			wanted[(*n)++] = row->numbers[k];
		}
	return constant;
}

/* Until all formulas are known `formulas` says which they are, and n is -1. */
static StepRow step_row(Formulas *f, const Row *row, const LExpr **wanted)
{
	StepRow r = {.form = row->form->index};
	int n;
	if (!varying_numbers(row, wanted, &n)) {
		r.n = -1;
		r.formulas = want_formulas(f, n, wanted);
		return r;
	}
	for (int k = 0; k < n; k++) {
		const int at = add_formula_number(f, wanted[k]->value.i);
		if (k == 0)
			r.numbers = at;
	}
	return r;
}

static void make_all_formulas(const Rows *r, const LFunc *fn, Formulas *f)
{
	const LExpr **lets = NULL;
	int n = 0, cap = 0;
	for (const LStmt *s = fn->body.first; s; s = s->next)
		if (s->kind == SLet)
			PUSH(r->arena, lets, n, cap, s->e);
	make_formulas(f, n, lets);
}

static const LExpr **room_for_numbers(const Rows *r)
{
	int most = 0;
	for (int i = 0; i < r->nform; i++)
		if (r->forms[i]->step.n > most)
			most = r->forms[i]->step.n;
	return arena_alloc(r->arena, ((size_t)most + 1) * sizeof(LExpr *));
}

static Tables emit_tables(Emit *e, const Rows *r, const LFunc *fn, const char *name)
{
	StepRow *rows = arena_alloc(r->arena, ((size_t)r->n + 1) * sizeof *rows);
	Formulas *f = new_formulas(e, r->arena);
	const LExpr **wanted = room_for_numbers(r);
	bool any = false;
	for (int i = 0; i < r->n; i++) {
		rows[i] = step_row(f, &r->items[i], wanted);
		any |= rows[i].n != 0;
	}
	if (any)
		make_all_formulas(r, fn, f);
	for (int i = 0; i < r->n; i++)
		if (rows[i].n) {
			const FormulaCode code = formula_code(f, rows[i].formulas);
			rows[i] = (StepRow){rows[i].form, code.numbers, code.at, code.n};
		}
	return (Tables){table_of_forms(e, arena_printf(r->arena, "%s.forms", name), r),
	                table_of_bytes(e, arena_printf(r->arena, "%s.rows", name), rows, (size_t)r->n * sizeof *rows),
	                emit_formula_table(e, f, name)};
}

/* ---- running steps --------------------------------------------------------------------------------------------------- */

/* The jumps from s to the next step: the first whose condition holds sets *from and leads to `again`. */
static void emit_jumps(Emit *e, const LStmt *s, LLVMValueRef from, LLVMBasicBlockRef again)
{
	for (; s && s->kind != SStep; s = s->next) {
		if (s->kind != SJump)
			continue;
		LLVMBasicBlockRef taken = new_label(e, "jump"), next = new_label(e, "next");
		LLVMBuildCondBr(e->b, emit_expr(e, s->e), taken, next);
		place_label(e, taken);
		LLVMBuildStore(e->b, const_i64_of(e, s->code), from);
		LLVMBuildBr(e->b, again);
		place_label(e, next);
	}
}

/* next(frame, step): the step that follows from position `step` on, once the jumps there are taken. */
static LLVMValueRef emit_next(Emit *e, const LFunc *fn, const char *name)
{
	LLVMTypeRef types[] = {e->ptr, e->i64};
	LLVMValueRef f = begin_function(e, name, e->i64, 2, types, false);
	open_frame(e, fn);
	LLVMValueRef from = LLVMBuildAlloca(e->allocas, e->i64, "from");
	LLVMBasicBlockRef again = new_label(e, "again"), done = new_label(e, "done");
	emit_lets(e, fn, NULL);
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
		emit_jumps(e, s, from, again);
		LLVMBuildBr(e->b, done);
		last = step;
	}
	place_label(e, done);
	end_function(e, LLVMBuildLoad2(e->b, e->i64, from, ""));
	return f;
}

/* Where item i of a table begins. */
static LLVMValueRef item_of(Emit *e, LLVMValueRef table, LLVMTypeRef type, LLVMValueRef i)
{
	return LLVMBuildGEP2(e->b, type, table, &i, 1, "");
}

/* The barrier of a run that has one, behind a step. */
static void emit_barrier(Emit *e)
{
	LLVMTypeRef types[] = {e->ptr, e->i64};
	LLVMBasicBlockRef many = new_label(e, "many"), meet = new_label(e, "meet"), met = new_label(e, "met");
	LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSGT, e->workers, const_i64_of(e, 1), ""), many, met);
	place_label(e, many);
	LLVMValueRef barrier = load_field(e, e->frame, offsetof(dcc_frame, barrier), e->ptr);
	LLVMBuildCondBr(e->b, LLVMBuildIsNotNull(e->b, barrier, ""), meet, met);
	place_label(e, meet);
	LLVMBuildCall2(e->b, LLVMFunctionType(e->void_type, types, 2, false), barrier, (LLVMValueRef[]){e->frame, e->worker}, 2, "");
	LLVMBuildBr(e->b, met);
	place_label(e, met);
}

static LLVMValueRef row_field(Emit *e, LLVMValueRef row, uint64_t offset)
{
	return LLVMBuildZExt(e->b, load_field(e, row, offset, e->i32), e->i64, "");
}

static FormulaPlaces open_places(Emit *e, const FormulaTable *t)
{
	return open_formulas(e, t, false, load_field(e, e->frame, offsetof(dcc_frame, syms), e->ptr),
	                     load_field(e, e->frame, offsetof(dcc_frame, workspace), e->ptr));
}

/* Where the numbers of a step are: in the table, or computed. */
static LLVMValueRef emit_numbers(Emit *e, const FormulaPlaces *p, LLVMValueRef row, LLVMValueRef numbers)
{
	LLVMValueRef n = row_field(e, row, offsetof(StepRow, n)), rows = row_field(e, row, offsetof(StepRow, formulas));
	LLVMBasicBlockRef from = LLVMGetInsertBlock(e->b), some = new_label(e, "formulas"), known = new_label(e, "known");
	LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntEQ, n, const_i64_of(e, 0), ""), known, some);
	place_label(e, some);
	call_formulas(e, p, rows, n, numbers);
	LLVMValueRef computed = formula_place(e, p, 0);
	LLVMBuildBr(e->b, known);
	place_label(e, known);
	LLVMValueRef either = LLVMBuildPhi(e->b, e->ptr, "numbers");
	LLVMAddIncoming(either, (LLVMValueRef[]){numbers, computed}, (LLVMBasicBlockRef[]){from, some}, 2);
	return either;
}

/* program(frame, worker, workers, first, last), as dcc_target says.  `last` counts the steps of the longest target's program, this one has
 * `steps`. */
static LLVMValueRef emit_main(Emit *e, const LFunc *fn, const char *name, const Tables *t, LLVMValueRef next, int steps)
{
	LLVMTypeRef types[] = {e->ptr, e->i64, e->i64, e->i64, e->i64};
	LLVMValueRef f = begin_function(e, name, e->void_type, 5, types, false);
	debug_function(e, fn->line, fn->name, f);
	LLVMValueRef first = LLVMGetParam(f, 3), last = LLVMGetParam(f, 4), end = const_i64_of(e, steps);
	last = LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, last, end, ""), last, end, "last");
	e->frame = LLVMGetParam(f, 0);
	e->worker = LLVMGetParam(f, 1);
	e->workers = LLVMGetParam(f, 2);
	FormulaPlaces places = {0};
	if (t->formulas.rows)
		places = open_places(e, &t->formulas);
	LLVMBasicBlockRef from = LLVMGetInsertBlock(e->b), loop = new_label(e, "loop"), jumps = new_label(e, "jumps");
	LLVMBasicBlockRef latch = new_label(e, "latch"), done = new_label(e, "done");
	LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, first, last, ""), loop, done);
	place_label(e, loop);
	LLVMValueRef step = LLVMBuildPhi(e->b, e->i64, "step"), row = item_of(e, t->rows, LLVMArrayType2(e->i8, sizeof(StepRow)), step);
	LLVMValueRef form = row_field(e, row, offsetof(StepRow, form)), numbers = row_field(e, row, offsetof(StepRow, numbers));
	numbers = item_of(e, t->formulas.numbers, e->i64, numbers);
	if (t->formulas.rows)
		numbers = emit_numbers(e, &places, row, numbers);
	LLVMValueRef args[] = {e->frame, e->worker, e->workers, numbers};
	LLVMBuildCall2(e->b, form_type(e), load_field(e, item_of(e, t->forms, e->ptr, form), 0, e->ptr), args, 4, "");
	emit_barrier(e);
	LLVMValueRef following = LLVMBuildNSWAdd(e->b, step, const_i64_of(e, 1), "");
	LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, following, last, ""), jumps, done);
	place_label(e, jumps);
	if (next)
		following = LLVMBuildCall2(e->b, LLVMGlobalGetValueType(next), next, (LLVMValueRef[]){e->frame, following}, 2, "");
	LLVMBuildBr(e->b, latch);
	place_label(e, latch);
	LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, following, last, ""), loop, done);
	LLVMAddIncoming(step, (LLVMValueRef[]){first, following}, (LLVMBasicBlockRef[]){from, latch}, 2);
	place_label(e, done);
	end_function(e, NULL);
	return f;
}

void emit_steps(Emit *e, int target)
{
	const LFunc *fn = e->sources[target];
	bind_syms_from(e, NULL); /* forms go by the numbers of what is bound */
	bind_program(e, fn);
	Rows *r = e->rows[target] = rows_of(e, fn);
	for (int i = 0; i < r->nform; i++)
		emit_form(e, fn, r->forms[i]);
	if (r->n > e->nstep)
		e->nstep = r->n;
}

void emit_program(Emit *e, int target)
{
	const char *name = arena_printf(e->m->arena, "%s.main.%s", e->m->name, e->target->name);
	const LFunc *fn = e->sources[target];
	const Rows *r = e->rows[target];
	bind_program(e, fn); /* formulas go by numbers, too */
	number_lets(e, fn);
	const Tables tables = emit_tables(e, r, fn, name);
	if (tables.formulas.rows)
		need_formulas(e, false);
	LLVMValueRef next = r->jumps ? emit_next(e, fn, arena_printf(e->m->arena, "%s.next", name)) : NULL;
	e->programs[target] = emit_main(e, fn, name, &tables, next, r->n);
	e->nexts[target] = next ? next : LLVMConstNull(e->ptr);
	free_arena(r->arena);
}
