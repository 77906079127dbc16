/* steps.c - see steps.h: the program entry runs any range of steps. */
#include "steps.h"

#include <string.h>

static int count_steps(const dcc_model *model, const dcc_step *steps)
{
	int n = 0;
	while (n < model->nsteps && steps[n].kernel)
		n++;
	return n;
}

void open_steps(Arena *arena, Call *c, StepRun *r)
{
	const Program *p = c->p;
	const Loc loc = {.file = p->path};
	if (!p->model->steps || !p->model->step_cost)
		fatal_at(&loc, "does not describe its steps: an older dcc compiled it");
	*r = (StepRun){.model = p->model, .target = &p->model->targets[p->target - 1], .workers = c->args.exec ? c->threads : 1, .clock = now_s};
	r->nstep = count_steps(p->model, p->model->steps[p->target - 1]);
	r->calls = arena_alloc(arena, ((size_t)r->nstep + 1) * sizeof *r->calls);
	r->syms = arena_alloc(arena, ((size_t)p->nsymbols + 1) * sizeof *r->syms);
	p->model->bind(c->args.inputs, r->syms);
	r->syms[p->nsymbols] = r->workers;
	r->frame = (dcc_frame){.in = c->args.inputs, .out = c->args.outputs, .workspace = c->workspace,
	                       .weights = p->weights ? p->weights : p->model->weights, .syms = r->syms,
	                       .status = r->status, .exec = c->args.exec};
}

static void run_worker(void *ctx, int32_t worker)
{
	const StepRun *r = ctx;
	r->target->program(&r->frame, worker, r->workers, r->step, r->step + 1);
}

static double time_step(StepRun *r)
{
	dcc_exec *exec = r->frame.exec;
	double start = r->clock();
	if (exec)
		exec->run(exec, run_worker, r);
	else
		run_worker(r, 0);
	return r->clock() - start;
}

/* A loop comes back to its steps: their times add up. */
static int64_t next_step(const StepRun *r)
{
	return r->target->next ? r->target->next(&r->frame, r->step + 1) : r->step + 1;
}

void time_steps(StepRun *r, double *seconds)
{
	memset(r->calls, 0, (size_t)r->nstep * sizeof *r->calls);
	for (r->step = 0; r->step < r->nstep; r->step = next_step(r)) {
		seconds[r->step] += time_step(r);
		r->calls[r->step]++;
	}
}
