/* control.h - what the importers of If, Loop and Scan share (import_control.c). */
#ifndef DCC_CONTROL_H
#define DCC_CONTROL_H

#include "call.h"

enum { MaxBodies = 32 }; /* in one another */

/* Dims of results that depend on the branch, or change from one iteration to the next: the attribute `sizes` (ir.md). */
typedef struct Sizes {
	const Dim *triples[3 * MaxRank * 8]; /* a symbol; what it is in one branch, or before the loop; in the other, or behind an iteration */
	int n; /* dims in triples */
} Sizes;

void set_sizes(Call *, Node *, const Sizes *); /* the node gives those symbols */

typedef struct LoopImport {
	Call *c;
	const OnnxGraph *g;
	const Dim *trips; /* most iterations */
	Value *cond; /* the first condition; NULL: the body's is not looked at */
	bool yields_cond; /* output 0 of the body is one */
	int ncarried;
	Value **first; /* of the carried values */
	const Dim *counter;
	Value *length; /* iterations from there on do not count: carried values stay; NULL: all do */
	bool *grows; /* [carried][MaxRank]: the dim changes from one iteration to the next */
	Node *n; /* being built */
	Value **results; /* once it is */
	/* The body's inputs, given its carried values; emits what cuts them out. */
	void (*inputs)(struct LoopImport *, Value *const *carried, Value **in);
	const void *ctx;
	int nin; /* of the body */
} LoopImport;

/* The loop, with the body imported into it as often as it takes to know which carried dims change; sets `results`. */
Node *import_iterations(LoopImport *);
/* Its two ends, for a body that the caller fills; `out` are the body's outputs.  syms: [carried][MaxRank], the symbols of the dims that grow. */
void start_body(LoopImport *, const Dim **syms);
void close_loop(LoopImport *, const Dim *const *syms, Value *const *out);

#endif
