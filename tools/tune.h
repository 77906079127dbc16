/* tune.h - dcc --tune. */
#ifndef DCC_TUNE_H
#define DCC_TUNE_H

#include "../ir/ir.h"
#include "../passes/passes.h"

/* Compiles the model in memory with every schedule that its operators can have (passes/knobs.def), for each target of the options, which
 * this CPU can run; times their steps by turns on made-up inputs, at the symbols' upper bounds, with one thread; and writes those that
 * beat the usual ones to `path`, whole or not at all.  What the model lacks for that is a fatal_at.  Outputs that differ in a bit are a
 * bug(). */
void tune_model(Module *, const PassOptions *, const char *path);

#endif
