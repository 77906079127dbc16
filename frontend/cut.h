/* cut.h - the part of a graph between --inputs and --outputs. */
#ifndef DCC_CUT_H
#define DCC_CUT_H

#include "call.h"

/* The part of g between the --inputs and --outputs; g itself without these options. */
const OnnxGraph *cut_graph(Import *, const OnnxGraph *g, int opset);
void note_cut(Import *, const Scope *, const char *name, Item); /* a value has been defined */
bool found_cut_types(Import *); /* some that the file does not state: stored in file->found_types for the next import */

#endif
