/* loop_eval_program.c - runs a program of loop IR: its ports, its weights and workspace, its steps one after the other. */
#include "loop_eval.h"

#include <stdlib.h>
#include <string.h>

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
			exec_stmt(fr, s);
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
