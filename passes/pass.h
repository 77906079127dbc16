/* pass.h - what passes share among themselves. */
#ifndef DCC_PASS_H
#define DCC_PASS_H

#include "passes.h"
#include "view.h"

/* May the rewrite or fusion `name` be applied now?  False when --no-fuse names it or --opt-bisect-limit is reached; counts. */
bool allow(const char *name);
/* The report: where a pattern matched, and its other nodes; for near misses, the condition that failed; which value a part of
 * the workspace holds from one step to another. */
void report_match(const char *pattern, const Loc *);
void report_also(const Loc *); /* another node of the last match */
void report_miss(const char *pattern, const Loc *, const char *why);
void report_places_anew(void);
void report_place(const char *target, const Dim *offset, const Dim *bytes, const char *what, int from, int to);

const PassOptions *pass_options(void);

/* All elements equal: a constant, or an expand, reshape or view of one. */
bool uniform_scalar(Value *, Scalar *);
bool uniform_value(Value *, double *); /* false where a double cannot hold it */
bool equal_dims(const Type *, const Type *); /* operands.c */
/* Nodes in order; safe when the visitor erases or adds around the node visited. */
#define FOR_NODES(n, block) for (Node *n = (block)->first, *n##_next; n && (n##_next = n->next, true); n = n##_next)

/* The same for all nodes of the function, those of bodies of if and loop behind the node itself. */
#define FOR_ALL_NODES(n, m) for (Node *n = first_node(m), *n##_next; n && (n##_next = next_node(n), true); n = n##_next)

/* The passes: each returns true if it changed something. */
#define PASS(name, help) bool pass_##name(Module *);
#include "passes.def"
#undef PASS

/* sizes.c: values of the symbols, from `smallest` on, with which all of the model's checks hold; false: none are found. */
bool choose_sizes(const Module *, int64_t smallest, int64_t *syms);
void expand_lone_glus(Module *); /* expand.c: where no pass group follows; those that are in no group with their linear */
bool sink_transposes(Module *); /* sink.c */
/* canon.c: the axes along which a view is only broadcast.  The view without those that `drop` names, which get extent 1 in *t; false: of a broadcast to no
 * elements one would be read that is not there. */
unsigned broadcast_axes(const View *);
bool drop_broadcast(Module *, const View *, unsigned drop, View *out, Type *t);
/* state.c: the input to which a concat appends rows: it may be a state, whose next value is a slice of the concat.  NULL: none. */
const Value *appended_input(const Node *concat);
bool trim_conv(Module *, Node *view); /* trim.c: the view's root becomes a convolution without the outputs that it skips */
bool computes_in_stored(const Node *); /* with elements that are only stored: nothing behind pass widen does */
bool dissolve_groups(Module *, bool (*stays)(Module *, const Node *group)); /* expand.c: those that do not stay become their nodes */
/* skip_zeros.c: element number i of a guess at what a constant with data and elements holds; false: it is no number. */
bool sample_of(const Const *, uint64_t i, double *x);
/* integers.c: constant weights that are whole numbers, as those of integer products are once they are f32: sums of such products are exact, while
 * forms with fewer products (Winograd, Strassen) round. */
bool holds_integers(const Value *w);
/* The result of linear n, of x (its operand, or what that merges, whose last `inner` axes it contracts) and weights w, before
 * the node `outer`; NULL: it is to be dense.  bytes: that a weight takes else; what is left of them may not take more. */
Value *sparse_linear(Module *, Node *n, Node *outer, Value *x, int inner, Value *w, int parts, double bytes);
/* scaled.c: weights w [k, n] of a linear that are (elements - zero) * scale, each what dequantising gives in f32; scale and zero have a row for
 * each `block` of k. */
typedef struct Scaled {
	Value *elements, *scale, *zero; /* of 8 bits or less, [k, n]; [blocks, n]; the same, or NULL */
	int64_t block, offset; /* offset: subtracted from what panels hold, which has no sign where an element is less than a byte */
} Scaled;
bool scaled_weights(Module *, Node *before, Value *w, Scaled *);
bool merge_constants(Module *); /* equal nodes of a block that compute constants become one; outputs keep their own */

#endif
