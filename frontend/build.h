/* build.h - small steps shared by the importers: emit a node, check a dim (build.c); read a number that decides a shape (data_dims.c). */
#ifndef DCC_BUILD_H
#define DCC_BUILD_H

#include "call.h"

Value *emit(Call *, Op, int nin, Value *const *in, int nattr, const Attr *, const Type *given);
Value *emit1(Call *, Op, Value *);
Value *emit2(Call *, Op, Value *, Value *);
Value *emit3(Call *, Op, Value *, Value *, Value *);
Value *emit_const(Call *, DType, double); /* rank 0 */
Value *emit_dims(Call *, int rank, int n, const Dim *const *); /* i64, rank 0 (n = 1) or 1 */
const Dim *num(Call *, int64_t);
Value *emit_iota(Call *, DType, const Dim *n, const Dim *start, const Dim *step);
/* 0, 1, 2 .. n - 1 along one axis of a tensor of that rank; all other dims are 1. */
Value *count_along(Call *, const Dim *n, int rank, int axis);
Value *emit_cast(Call *, Value *, DType); /* the value itself if it has the dtype */
Value *emit_reshape(Call *, Value *, int rank, const Dim *const *dims);
Value *emit_expand(Call *, Value *, int rank, const Dim *const *dims); /* numpy broadcasting of both */
Value *emit_transpose(Call *, Value *, const int *perm);
/* Axis [n * inner] as two axes [n, inner]; that n divides it is known, or checked at run time. */
Value *emit_split(Call *, Value *, int axis, const Dim *n);
Value *emit_merge(Call *, Value *, int axis); /* axes `axis` and the next as one */
Value *emit_rsqrt(Call *, DType, const Dim *); /* 1 / sqrt(dim), rank 0 */
Value *emit_swap(Call *, Value *); /* the last two axes */
Value *emit_range(Call *, Value *, int axis, const Dim *start, const Dim *n, int64_t step); /* slice of one axis */
Value *emit_gather(Call *, Value *, Value *index, int axis); /* the index, of any numbers, as i64 */
Value *emit_reduce(Call *, Op, Value *, int naxis, const int64_t *axes, bool keepdims);

/* What an importer makes of these inputs with the node's attributes: its first output. */
Value *import_as(Call *, void (*import)(Call *), int nin, Value *const *in);

/* A loop of at most `trips` iterations: what is emitted until end_loop() is its body, whose params are the carried values and which yields
 * their successors.  cond (NULL: there is none): is there a first iteration; the body then yields whether there is a next one before all else. */
Node *begin_loop(Call *, const Dim *trips, Value *cond, int ncarried, Value *const *first, const Dim **counter);
void end_loop(Call *, Node *);

int norm_axis(const Call *, int64_t axis, int rank); /* out of range: fatal */
/* Sorted distinct non-negative axes from an attribute or a known input; -1: neither is there. */
int norm_axes(Call *, const char *attr, int input, int rank, int64_t *axes);

void require_equal(Call *, const Dim *, const Dim *, const char *what); /* now, or as a run-time check */
void require_at_least(Call *, const Dim *, int64_t);
void require_at_most(Call *, const Dim *, const Dim *most);
/* a / b where the model guarantees that b divides a; b == 0 may give anything. */
const Dim *divide_dims(Call *, const Dim *a, const Dim *b);
const Dim *product(Module *, const Dim *const *dims, int n);
bool same_dims(const Type *, int rank, const Dim *const *dims);
/* import_index.c: where a vector of bools holds, in order; `most`: in how many places at most */
Value *emit_positions(Call *, Value *mask, const char *stem, const Dim *most);

/* ---- data_dims.c: numbers that decide shapes ---------------------------------------------------------------------- */

/* Elements of a small integer value as dims; NULL if they depend on data. */
const Dim *const *known_dims(Call *, Value *, int *n);
bool constant_element(const Value *v, int64_t i, double *); /* element i of rank 0 or 1, if it is a constant's */
bool constant_fill(const Value *, double *); /* all elements equal, seen through Move nodes */
/* v decides a shape: if it is computed from small integer inputs, imports again with their elements as symbols. */
void ask_values(Call *, const Value *v);
/* The same, but fatal unless there are at most `max`; `what` names the operand in the message. */
int need_dims(Call *, int input, const char *what, const Dim **dims, int max);
int need_ints(Call *, int input, const char *what, int64_t *ints, int max);
/* The element of a small integer operand, at most `most`: known, or measured when the data gives it. */
const Dim *need_count(Call *, int input, const char *what, const Dim *most);

/* From here on the value of v, an integer of one element, as a dim: a symbol called `stem` or like it, from 0 to `most` (NULL: as
 * far as -D says).  What is larger ends the run. */
const Dim *measure_dim(Call *, Value *v, const char *stem, const Dim *most);
/* The value that a dim has here (those of loops change), or a shorter name for it, at most `most` (NULL: its own bound). */
const Dim *fix_dim(Call *, const Dim *, const char *stem, const Dim *most);
/* Makes the elements of v symbols, saturated to +-DimMax, or formulas of those that v is computed from; false: it has too many, or no
 * integers.  They have no bounds but by -D and the formulas that use them. */
bool measure_elements(Call *, Value *v);
/* floor(element i of v * times) for a floating v of rank 0 or 1: of f32 and f64 inputs it is a symbol that they give before anything
 * runs, of what is computed from data one as measure_elements() makes them.  `what` names the operand in messages. */
const Dim *scaled_element(Call *, Value *v, int64_t i, const Dim *times, const char *what);
const Dim *times_number(Call *, const Dim *, double number, const char *what); /* floor(dim * number) */

Sym *new_symbol(Call *, const char *stem, int64_t lo); /* called so or like it; with the bounds of -D */
/* Narrows the range of the symbol `name`, which the model spells `raw`, to what -D says. */
void apply_bindings(Import *, const char *raw, const char *name, int64_t *lo, int64_t *hi);
void bind_symbol(Import *, Sym *);
char *identifier_of(Arena *, const char *text); /* with everything but letters, digits and underscores replaced */

#endif
