/* rebuild.h - the module without some of its things: what --reduce tries (reduce.c). */
#ifndef DCC_REBUILD_H
#define DCC_REBUILD_H

#include "../ir/ir.h"

enum { SmallConst = 8 }; /* elements: such constants are axes, sizes and factors, and stay */

typedef enum Kind { DropCut, DropBypass, DropOutput, DropConst, DropSplat, DropCheck, NKinds } Kind;

/* What one candidate leaves out of the current module; all zero: nothing. */
typedef struct Plan {
	Kind kind;
	int from, to; /* things of that kind: nodes in preorder, outputs, constants, checks */
	int node; /* -1, or the node that the next three are about */
	int operand, open; /* node becomes operand - 1; its body (an if's other one: 2) takes its place */
	int carried; /* value - 1 that its loop carries stays the first one */
	int64_t trips; /* - 1: of its loop */
	int attr, absent; /* attribute - 1, operand - 1 that goes */
	int param, same; /* parameter - 1 becomes parameter `same` */
	int sym; /* symbol - 1 becomes `value` */
	int64_t value;
	int64_t extent, by; /* dims that are multiples k * extent become k * by; 0: none */
	bool exact; /* only k == 1 */
	bool locs;
} Plan;

typedef struct Reducer {
	Arena *arena;
	Module *first, *now; /* first == now at the start */
	const char *command, *output, *dir, *path; /* path of candidates, in the temporary folder dir */
	const char *data; /* that write_module() may put beside `output`; NULL: was there before, not ours to remove */
	int want; /* exit code */
	int ntest, nnode, ncheck;
	Table tried; /* hashes of texts */
	FILE *null;
} Reducer;

/* Numbers the nodes and checks of the current module, as plans name them. */
void count_nodes(Reducer *);
/* The current module without what the plan names; NULL: that makes no sense. */
Module *without(Reducer *, const Plan *);

#endif
