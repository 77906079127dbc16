/* lower_custom.c - operators that the application computes (dcc --custom-op): a kernel that hands tensors to a C function.
 *
 * pass_expand has copied strided operands, so every tensor is a contiguous part of its root.
 */
#include "lower.h"

#include <string.h>

static LArg tensor_of(Kernel *k, Value *v, bool written)
{
	LExpr *dims[MaxRank], *offset = li(&k->b, 0);
	LBuf *buf;

	if (written) {
		buf = kbuf(k, v, true);
	} else {
		Access a = kaccess(k, v);
		buf = a.buf;
		offset = kdim(k, a.base);
	}
	for (int d = 0; d < v->type.rank; d++)
		dims[d] = kdim(k, v->type.dims[d]);
	return arg_tensor(&k->b, buf, offset, v->type.rank, dims);
}

/* The object defines these itself. */
static bool is_taken(const Module *m, const char *symbol)
{
	static const char *const suffixes[] = {"", "_run", "_model", "_workspace_size"};
	size_t n = strlen(m->name);

	if (!strncmp(symbol, "dcc_", 4))
		return true;
	for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
		if (!strncmp(symbol, m->name, n) && !strcmp(symbol + n, suffixes[i]))
			return true;
	return false;
}

void lower_custom(Lower *l, Node *n)
{
	const char *symbol = attr_text(n, Attr_symbol);
	Kernel k = open_kernel(l, symbol, false);
	LArg *tensors = arena_alloc(l->m->arena, (size_t)(n->nin + n->nout) * sizeof *tensors);

	if (is_taken(l->m, symbol))
		fatal_at(n->loc, "the custom operator's function cannot be called '%s': the object has a symbol of this name", symbol);
	if (is_libc_name(symbol))
		fatal_at(n->loc, "the custom operator's function cannot be called '%s', as one of the C library is", symbol);
	for (int i = 0; i < n->nin; i++)
		tensors[i] = tensor_of(&k, n->in[i], false);
	for (int i = 0; i < n->nout; i++)
		tensors[n->nin + i] = tensor_of(&k, n->out[i], true);
	lextern(&k.b, symbol, lmessage(l->lm, arena_printf(l->m->arena, "%s: the function '%s' returned {}",
	                                                        message_place(l->m, n->loc, NULL), symbol)),
	        n->nin, n->nout, tensors);
	kcall(&k);
}
