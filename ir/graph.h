/* graph.h - what the files that keep the invariants of the tensor IR (ir.c) share; passes change it by ir.h alone. */
#ifndef DCC_GRAPH_H
#define DCC_GRAPH_H

#include "ir.h"

/* ---- names.c ------------------------------------------------------------------------------------------------------ */

struct NameSet *new_names(Module *, const char *fresh); /* fresh: the stem of values that come without a name */
const char *unique_name(Module *, struct NameSet *, const char *name); /* a word like it (NULL: like fresh), now taken */

/* ---- uses.c ------------------------------------------------------------------------------------------------------- */

/* Storage of the arena that holds the `count` items and has room for one more. */
void *copy_longer(Module *, const void *items, int count, size_t item_bytes);
Value *append_value(Module *, Value ***list, int *count, Type); /* a new one */

Use use_of(Node *, int i); /* by operand i */
Use yield_of(Block *, int i);
void add_use(Module *, Value *, Use);
void drop_use(Value *, Use); /* which must be there */
void move_use(Value *, Use from, Use to); /* the operand or yield has moved; NULL: an absent one */
void mark_appended(const Node *); /* a concat, or what it appends to, has changed */

/* ---- constness.c -------------------------------------------------------------------------------------------------- */

void update_const(Module *, Node *); /* after a change of its operands, attributes or results */

#endif
