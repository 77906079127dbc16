/* frontend.h - from a file to a Module. */
#ifndef DCC_FRONTEND_H
#define DCC_FRONTEND_H

#include "../ir/ir.h"

/* -D sym=lo..hi; lo == hi replaces the symbol by a constant. */
typedef struct DimBinding {
	const char *sym; /* as the model spells it, or as the IR does */
	int64_t lo, hi; /* inclusive */
} DimBinding;

typedef struct LoadOptions {
	int nbind;
	const DimBinding *bind; /* several for one symbol: all hold */
	const char *name; /* C identifier of the model; NULL: made from the file name */
	/* Names of ONNX values, comma separated: only the part of the graph between them is imported.  NULL: the graph's. */
	const char *inputs, *outputs;
	bool broadcast_symbols; /* dims that are not proved equal may be 1 at run time, and broadcast then */
	int nshape;
	const char *const *shape; /* "input=[dim, dim]": instead of what the model states of it */
	const char *random_seed; /* an input of this name, i64[], changes the model's random numbers; NULL: none does */
	int ncustom;
	const char *const *custom; /* operators that the application computes: --custom-op, see custom.c */
} LoadOptions;

/* Reads a file of ONNX or of IR text, whichever it holds.  What is wrong with it, or with the options (NULL:
 * none), is the user's error: every unsupported operator, attribute and element type of an ONNX file is reported
 * before it leaves. The result passes verify_module().  free_module() frees it; constants may point into the
 * mapped file until then. */
Module *load_model(const char *path, const LoadOptions *);

/* One line per supported ONNX operator: name, opset range, attributes. */
void print_onnx_ops(FILE *);

#endif
