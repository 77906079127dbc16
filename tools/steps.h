/* steps.h - runs a program step by step, each timed alone, on all workers. */
#ifndef DCC_STEPS_H
#define DCC_STEPS_H

#include "program.h"

typedef struct StepRun {
	const dcc_model *model;
	const dcc_target *target;
	dcc_frame frame;
	int64_t *syms, status[2];
	int workers, nstep;
	int64_t step;
	double (*clock)(void); /* seconds: now_s(), unless somebody sets another */
	int64_t *calls; /* of each step in the last run; the data, and so the calls, are the same in all */
} StepRun;

/* Of machine code only, and of a call that has run; an object that does not describe its steps is a fatal_at. */
void open_steps(Arena *, Call *, StepRun *);
void time_steps(StepRun *, double *seconds); /* one run: adds the time of each step */

#endif
