/* lower.h - the schedules, and the programs that call what they make. */
#ifndef DCC_LOWER_H
#define DCC_LOWER_H

#include "../runtime/dcc.h"
#include "kernel.h"

/* ---- program.c --------------------------------------------------------------------------------------------------------- */

void open_program(Lower *);
void close_program(Lower *);
LB open_checks(Module *, LModule *); /* symbols, checks and the outputs' dims */
void close_checks(LB *, const Dim *bytes, const Dim *worker_bytes); /* the workspace's size, which suffices for all targets */

/* ---- what a schedule computes as one kernel: what groups are made of --------------------------------------------------- */

enum { MaxMembers = 200, MaxResults = 8 }; /* of a group */
bool has_epilogue(const Node *); /* may other nodes join its kernel */
/* Such a node, then what its epilogue computes, in program order; all: nothing else will join. */
bool epilogue_takes(Module *, Node *const *members, int n, bool all);
int epilogue_parts(Module *, Node *const *members, int n); /* of the columns, that it reads each by itself */
bool ewise_takes(Node *const *members, int n); /* in any order */
bool is_reduction(const Node *); /* whose kernel may compute what it reduces: elementwise nodes that nothing else reads */
bool reduction_takes(Node *const *members, int n); /* in any order; one of them is such a node, of what another computes */
Node *inner_root(Node *group_or_node); /* the node whose schedule lowers it all */
bool is_lowered_whole(Module *, const Node *group);
/* x or, where x is a reshape that merges axes which do not lie side by side, what it reshapes: packing reads either, but the
 * reshape would be a copy.  *inner: its axes that make up the last one of x. */
Value *unmerged(Module *, Value *x, int *inner);
/* v as it was before a cast, if `takes` says yes to that; the movements that v makes of the cast are made of it in front of the node.  Else NULL. */
Value *before_cast(Module *, Node *before, Value *v, bool (*takes)(const Value *));

/* What elementwise nodes first .. end (exclusive) of a block read of others. */
enum { MaxLeaves = 20 };
typedef struct Leaves {
	Node *first, *end;
	int n;
	Value *of[MaxLeaves];
	Access access[MaxLeaves]; /* broadcast to the nodes' dims */
} Leaves;
void open_leaves(Kernel *, Leaves *, int rank); /* behind `first` and `end`, and what is in `of` already */
/* From the vectors loaded of each leaf those of each node. */
void emit_members(Kernel *, const Leaves *, LExpr *const *loaded, LExpr **values);
LExpr *member_or_leaf(const Leaves *, const Value *, LExpr *const *loaded, LExpr *const *values);

/* ---- the schedules ------------------------------------------------------------------------------------------------------ */

/* Writes nodes first..end of a block over the iteration space of `result`'s type: the kernel of an elementwise group or copy. */
void lower_ewise(Lower *, Node *first, Node *end, Value *result, Value *home);
void lower_copy(Lower *, Value *from, Value *to); /* to: the home; from: any view of equal element count */
bool lower_turned(Lower *, Value *from, Value *to); /* the same where f32 lie side by side along another axis than the last; false: they do not */
/* Writes `from` into the part of `to`, a tensor of these dims, that begins at `start` of the axis. */
void lower_part(Lower *, const char *name, Value *from, Value *to, const Dim *const *dims, int axis, const Dim *start);
void lower_linear(Lower *, Node *root, Node *epilogue, Value *result, Value *home);
void lower_linear_bytes(Lower *, Node *root, Node *epilogue, Value *result, Value *home);
void lower_strassen(Lower *, Node *root, Node *epilogue, Value *result, Value *home);
void lower_experts(Lower *, Node *root, Node *epilogue, Value *result, Value *home);
void lower_matmul(Lower *, Node *, Value *home);
bool is_token_window(const Node *); /* a winconv along one axis, step by step */
void lower_token_window(Lower *, Node *, Value *home);
void lower_window_conv(Lower *, Node *root, Node *epilogue, Value *result, Value *home); /* any other winconv */
void lower_attention(Lower *, Node *, Value *home);
void lower_rows(Lower *, Node *, Value *home); /* softmax, norm, rmsnorm, cumsum, reductions */
void lower_index(Lower *, Node *, Value *home); /* gathers and scatters; top_k, nms */
void lower_top_k(Lower *, Node *, Value *home);
void lower_nms(Lower *, Node *, Value *home);
void lower_dft(Lower *, Node *, Value *home);
void lower_move(Lower *, Node *, Value *home); /* concat, pad, iota, dims and copies */
void lower_conv(Lower *, Node *root, Node *epilogue, Value *result, Value *home);
void lower_group_conv(Lower *, Node *root, Node *epilogue, Value *result, Value *home);
void lower_winograd(Lower *, Node *root, Node *epilogue, Value *result, Value *home);
void lower_pool(Lower *, Node *, Value *home);
void lower_custom(Lower *, Node *);
void lower_control(Lower *, Node *); /* if, loop, measure */

/* Of types of less than a byte: slots hold bytes, the program begins and ends with packed tensors. */
void unpack_inputs(Lower *);
void keep_packed_outputs(Lower *); /* to the end of the program */
void pack_outputs(Lower *);

void lower_block(Lower *, Block *); /* the nodes of a block in order: lower.c */

#endif
