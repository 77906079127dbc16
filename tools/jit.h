/* jit.h - links an object of dcc in this process, with what it may call. */
#ifndef DCC_JIT_H
#define DCC_JIT_H

#include "../ir/ir.h"
#include "../runtime/dcc.h"

/* Makes the functions of a shared object known (dcc-run --load); fatal_at if it cannot be loaded. */
void load_library(Arena *, const char *path);
void *find_loaded(const char *function); /* in those; NULL: in none */

/* The model in an object file whose bytes stay where they are, weights included.  What cannot be linked is a fatal_at.  The model
 * lives as long as the process. */
const dcc_model *link_model(Arena *, const void *bytes, size_t size, const Loc *);

#endif
