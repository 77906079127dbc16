/* eval_env.h - what the files of the evaluator's engine share: eval.c, eval_env.c, eval_control.c, eval_bind.c, eval_const.c.
 *
 * Functions that return a string return NULL, or what is wrong, in the module's arena.
 */
#ifndef DCC_EVAL_ENV_H
#define DCC_EVAL_ENV_H

#include "eval.h"

#define MaxTensorBytes (INT64_C(1) << 32) /* refuses sizes that only a hostile text asks for */
enum { MaxBodyDepth = 64 };

typedef struct Slot {
	const Value *value; /* NULL: free */
	Tensor tensor;
	bool filled, owned;
	int64_t uses; /* to come */
} Slot;

typedef struct Env {
	Module *m;
	int64_t *syms; /* values of the symbols; NULL: constants only */
	bool *measured; /* symbols that have got their value while the function runs */
	Slot *slots;
	size_t nslot, capslot; /* capacity is a power of two */
	void (*visit)(void *, Value *, const Tensor *);
	void *ctx;
} Env;

/* ---- eval_env.c --------------------------------------------------------------------------------------------------- */

int64_t tensor_bytes(const Tensor *);
/* Fills in dtype, rank and dims; refuses negative dims and sizes beyond MaxTensorBytes. */
const char *eval_type(Env *, const Type *, Tensor *);
bool alloc_data(Tensor *); /* zeroed; false: out of memory */
const char *copy_tensor(Env *, const Tensor *from, Tensor *to);

Slot *find_slot(Env *, const Value *); /* NULL: it has none */
Slot *make_slot(Env *, const Value *); /* the one it has, or a new one; NULL: out of memory.  Invalidates other slot pointers */
void empty_slot(Slot *);
void free_env(Env *); /* its slots */
const char *fill_slot(Env *, const Value *, Tensor); /* the slot owns the tensor from now on, also when there is no memory for a slot */
const char *fill_alias(Env *, Slot *, const Tensor *); /* its value is a tensor that somebody else owns */
/* The tensor of a value that has been computed; it stays where it is until the next slot is made. */
const char *use_value(Env *, Value *, const Tensor **);
void release_use(Env *, const Value *); /* one use less is to come; after the last the tensor is freed */

/* Uses to come; false: out of memory. */
bool count_use(Env *, const Value *);
bool count_node(Env *, const Node *, int depth); /* those that it and its bodies have */
bool count_block(Env *, const Block *, int depth);

/* ---- eval.c: depth counts the blocks around --------------------------------------------------------------------- */

const char *run_block(Env *, Block *, int depth);
const char *run_node(Env *, Node *, int depth);
const char *copy_value(Env *, Value *from, const Value *to); /* a copy of what `from` holds becomes the value of `to` */
const char *take_tensor(Env *, Value *, Tensor *out); /* its last use takes the tensor, others a copy; the caller frees it */
const char *where_text(Env *, const Node *); /* the operator, and the node's name or line */

/* ---- eval_control.c ----------------------------------------------------------------------------------------------- */

const char *run_measure(Env *, Node *);
const char *run_if(Env *, Node *, int depth);
const char *run_loop(Env *, Node *, int depth);

/* ---- eval_bind.c -------------------------------------------------------------------------------------------------- */

const char *check_holds(Module *, const DimCheck *, const int64_t *syms); /* by Sym.index */
const char *param_text(Module *, int i); /* its name, for messages */

#endif
