/* eval.h - between the evaluator's engine (eval.c) and the meaning of the operators (eval_ops.c). */
#ifndef DCC_EVAL_H
#define DCC_EVAL_H

#include "ir.h"

enum { MaxTemps = 12 };

/* One node being evaluated.  Operand and result tensors have the dims of their types; operands may be NULL if optional. */
typedef struct EvalNode {
	Module *m;
	const Node *n;
	const int64_t *syms; /* by Sym.index; NULL: constants only */
	const Tensor *const *in;
	Tensor *out; /* of n->out[0], zeroed */
	void *temps[MaxTemps]; /* freed by the engine */
	int ntemps;
} EvalNode;

/* Fills e->out.  Returns NULL or a message; checks whatever the data or the run's dims could break. */
const char *eval_node(EvalNode *e);

const char *eval_fail(EvalNode *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool eval_dim(const int64_t *syms, const Dim *, int64_t *value); /* false: symbolic without syms, or overflow */

#endif
