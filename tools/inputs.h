/* inputs.h - which tensor goes to which input of a program. */
#ifndef DCC_INPUTS_H
#define DCC_INPUTS_H

#include "program.h"
#include "tensors.h"

/* For each of n ports the tensor with its name; tensors whose name is no port's fill the rest in order.  A wrong number
 * is a fatal_at the program.  what: "input", "output". */
void match_tensors(Arena *, const Program *, const char *what, int n, const dcc_port *, int ngiven,
		   const NamedTensor *given, Tensor *out);

/* Made-up inputs.  Symbols have the values of the bindings; those without one are DefaultDim, within their bounds, and told by made_up. */
enum { DefaultDim = 8 };
void make_inputs(Arena *, Program *, int nbind, const DimBinding *, uint64_t seed, Tensor *out);

#endif
