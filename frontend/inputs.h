/* inputs.h - between the walk over a graph (import.c) and its inputs (inputs.c). */
#ifndef DCC_INPUTS_H
#define DCC_INPUTS_H

#include "import.h"

void import_inputs(Import *, Scope *, const OnnxGraph *, const Loc *);
void import_random_seed(Import *, const Loc *); /* the input of --random-seed, behind those of the graph */
/* Once the nodes are imported: every -D is about a symbol (those that the data gives are made on the way); --random-seed has a use. */
void check_bindings(Import *, const Loc *);
void check_random_seed(const Import *, const Loc *);

void define_item(Scope *, const char *name, Item, const Loc *); /* import.c: a name that must be new */

#endif
