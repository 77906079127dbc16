/* reduce.h - dcc --reduce: from a model that makes a command fail to a small one that does. */
#ifndef DCC_REDUCE_H
#define DCC_REDUCE_H

#include "../ir/ir.h"

/* Shrinks the tensor IR of m while the shell command, with the path of a candidate's text for {} or at its end, exits
 * with the code that it gave for all of m (128 + N when signal N ends it).  The smallest so far is always in `output`.
 * A command that succeeds on m, or a lowered module, is the user's error.  Frees m. */
void reduce_module(Module *m, const char *command, const char *output);

#endif
