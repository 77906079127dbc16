/* program.c - the frames of programs: parameters, the workers' scratch; and what all targets share: symbols, checks, sizes. */
#include "lower.h"

#include <string.h>

/* Symbol i of the module; the last is the number of threads. */
static LExpr *sym_ref(LB *b, int i)
{
	LExpr *e = arena_alloc(b->arena, sizeof *e);
	*e = (LExpr){.op = LRef, .type = {I64, 1}, .var = b->lm->syms[i]};
	return e;
}

/* What a packed port is made of. */
static DType port_dtype(const Value *v)
{
	return is_packed(v->type.dtype) ? U8 : v->type.dtype;
}

void open_program(Lower *l)
{
	Module *m = l->m;
	LFunc *fn = arena_alloc(m->arena, sizeof *fn);
	LB *p = &l->prog;
	int nout = m->main->body.nyield, nin = m->main->nparam;

	*fn = (LFunc){.name = arena_printf(m->arena, "main.%s", l->t->name), .program = true, .target = l->t->name};
	*p = builder_at(l->lm, fn, &fn->body);
	l->in = arena_alloc(m->arena, (size_t)nin * sizeof *l->in);
	l->out = arena_alloc(m->arena, (size_t)nout * sizeof *l->out);
	for (int i = 0; i < nin; i++)
		l->in[i] = lparam_buf(p, arena_printf(m->arena, "in%d", i), port_dtype(m->main->params[i]), false);
	for (int i = 0; i < nout; i++)
		l->out[i] = lparam_buf(p, arena_printf(m->arena, "out%d", i), port_dtype(m->main->body.yields[i]), true);
	l->ws = lparam_buf(p, "ws", U8, true);
	l->weights = lparam_buf(p, "weights", U8, false);
	for (int i = 0; i < l->lm->nsym; i++) {
		LArg symbol = {.e = sym_ref(p, i), .elem = I64};
		PUSH(m->arena, fn->params, fn->nparam, fn->capparam, symbol);
	}
	/* close_program() sets what these are */
	l->scratch = llet(p, ladd(p, sym_ref(p, l->lm->nsym - 1), li(p, 1)));
	l->scratch_let = p->at->last;
	l->worker = llet(p, ladd(p, sym_ref(p, l->lm->nsym - 1), li(p, 1)));
	l->worker_let = p->at->last;
}

void close_program(Lower *l)
{
	const Dim *four = dim_const(l->m, 4);

	for (int i = 0; i < l->nstop; i++)
		l->stops[i]->code = l->nstep;
	l->scratch_let->e = ldim(&l->prog, dim_floordiv(l->m, l->bytes, four));
	l->worker_let->e = ldim(&l->prog, dim_floordiv(l->m, l->worker_bytes, four));
	PUSH(l->m->arena, l->lm->programs, l->lm->nprog, l->lm->capprog, l->prog.fn);
}

/* No value has a home yet, whatever other passes left in the scratch fields. */
/* ---- what all targets share ------------------------------------------------------------------------------------------------- */

static LExpr *in_dim(LB *b, int input, int d)
{
	return lop(b, LInDim, li(b, input), li(b, d), NULL);
}

/* An element of an input, saturated. */
static LExpr *in_data(LB *b, const DimSource *from)
{
	if (from->times)
		return lop(b, LInScaled, li(b, from->input), li(b, from->axis), ldim(b, from->times));
	LExpr *v = lop(b, LInData, li(b, from->input), li(b, from->axis), NULL);
	return lop(b, LPMin, lop(b, LPMax, v, li(b, -DimMax), NULL), li(b, DimMax), NULL);
}

static LExpr *bound_value(LB *b, const SymBinding *row)
{
	LExpr *x = NULL;
	for (int i = 0; i < row->n; i++) {
		const DimSource *from = &row->from[i];
		LExpr *dim = lmul(b, from->data ? in_data(b, from) : in_dim(b, from->input, from->axis), li(b, from->coef));
		x = x ? ladd(b, x, dim) : dim;
	}
	x = lsub(b, x, ldim_bound(b, row->rest));
	if (dim_equals(row->divisor, 1))
		return x;
	return lop(b, LFloorDiv, x, lop(b, LMax, ldim_bound(b, row->divisor), li(b, 1), NULL), NULL); /* ranges are checked later */
}

enum { MaxSymbols = 1000 }; /* code that reads and checks more takes LLVM minutes */

static void bind_symbols(Module *m, LB *b)
{
	if (m->nsym > MaxSymbols)
		refuse_at(&(Loc){.file = m->path}, "the model has %d symbols (of dims, conditions and loops), at most %d are supported", m->nsym, MaxSymbols);
	SymPlan plan = plan_symbols(m);
	if (plan.undecided)
		fatal_at(&(Loc){.file = m->path}, "no input decides the value of symbol %s", plan.undecided->name);
	for (int i = 0; i < plan.n; i++)
		b->lm->bind[plan.rows[i].sym->index] = plan.rows[i].sym->kind == SymDerived ? ldim(b, plan.rows[i].sym->is)
		                                                                            : bound_value(b, &plan.rows[i]);
	for (int s = 0; s < m->nsym; s++)
		if (!is_given(m->syms[s]))
			b->lm->bind[s] = ldim_bound(b, dim_most(m, dim_sym(m, m->syms[s]->name)));
}

static const char *dim_message(Module *m, const char *side, const char *name, int d, const Dim *dim)
{
	if (dim_is_const(dim, NULL))
		return arena_printf(m->arena, "%s '%s': dim %d is {}, expected {}", side, message_name(m, name), d);
	return arena_printf(m->arena, "%s '%s': dim %d (%s) is {}, expected {}", side, message_name(m, name), d, dim_text(m, dim));
}

static const char *check_message(Module *m, const DimCheck *check)
{
	const char *place = message_place(m, check->loc, NULL), *hint = check->broadcast ? " (--broadcast-symbols lets one be 1)" : "";
	if (dim_is_const(check->b, NULL))
		return arena_printf(m->arena, "%s: %s is {}, expected {}%s", place, dim_text(m, check->a), hint);
	return arena_printf(m->arena, "%s: dims %s = {} and %s = {} differ%s", place, dim_text(m, check->a),
	                    dim_text(m, check->b), hint);
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
			lcheck(b, lop(b, LEq, got, want, NULL), DCC_ERROR_SHAPE, dim_message(m, "input", p->name, d, p->type.dims[d]), got, want,
			       NULL);
		}
	}
	for (int i = 0; i < m->main->body.ncheck; i++) {
		const DimCheck *c = &m->main->body.checks[i];
		if (is_measured_dim(c->a) || is_measured_dim(c->b))
			continue; /* checked when those symbols have values */
		LExpr *x = ldim(b, c->a), *y = ldim(b, c->b);
		lcheck(b, lop(b, LEq, x, y, NULL), DCC_ERROR_SHAPE, check_message(m, c), x, y, NULL);
	}
	for (const Node *n = m->main->body.first; n; n = n->next)
		if (n->op == OpConcat && attr_int(n, Attr_state)) {
			LExpr *rows = ldim(b, n->out[0]->type.dims[attr_int(n, Attr_axis)]), *room = li(b, attr_int(n, Attr_state));
			lcheck(b, lop(b, LLe, rows, room, NULL), DCC_ERROR_RANGE,
			       arena_printf(m->arena, "input '%s': {} rows do not fit the state's capacity of {}",
			                    message_name(m, n->in[0]->name)), rows, room, NULL);
		}
	for (int i = 0; i < m->main->body.nyield; i++) {
		const Value *v = m->main->body.yields[i];
		for (int d = 0; d < v->type.rank; d++) {
			LExpr *want = b->lm->outdims[i * MaxRank + d], *got = lop(b, LOutDim, li(b, i), li(b, d), NULL);
			lcheck(b, lop(b, LEq, got, want, NULL), DCC_ERROR_SHAPE,
			       dim_message(m, "output", m->main->results[i], d, v->type.dims[d]), got, want, NULL);
		}
	}
}

LB open_checks(Module *m, LModule *lm)
{
	LB b = builder_at(lm, NULL, &lm->checks);

	bind_symbols(m, &b);
	for (int i = 0; i < lm->nout; i++)
		for (int d = 0; d < m->main->body.yields[i]->type.rank; d++)
			lm->outdims[i * MaxRank + d] = ldim(&b, m->main->body.yields[i]->type.dims[d]);
	check_dims(m, &b);
	return b;
}

void close_checks(LB *b, const Dim *bytes, const Dim *worker_bytes)
{
	b->lm->workspace = ladd(b, ldim(b, bytes), lmul(b, sym_ref(b, b->lm->nsym - 1), ldim(b, worker_bytes)));
}
