/* call.h - a node of the model that is being imported, and what surrounds it: what all of the frontend sees. */
#ifndef DCC_CALL_H
#define DCC_CALL_H

#include "frontend.h"
#include "names.h"
#include "onnx.h"

typedef struct Call Call;
typedef struct CustomOp CustomOp;

/* The names that a node sees: of the graph, of a branch (and of the graphs around it), or of a function's body. */
typedef struct Scope {
	Names values; /* Value */
	Names tensors; /* OnnxTensor: initializers that no node has used so far */
	struct Scope *outer;
	const Call *caller; /* functions: the call, whose attributes the body may refer to */
	const OnnxFunction *function;
	Names absent; /* its inputs that the call leaves out */
	int opset, depth;
} Scope;

/* What the model's own operations demand of a symbol; see load.c. */
typedef struct Demand {
	const char *sym;
	int64_t lo, hi;
} Demand;

typedef struct Import {
	Module *m;
	OnnxFile *file;
	Arena *scratch; /* freed when the import ends */
	const LoadOptions *opt;
	int ndemand;
	const Demand *demand;
	Names syms; /* dim_param as the model spells it -> Dim */
	Names taken; /* identifiers of symbols -> number of the last that was made from it */
	Names ops, functions; /* first row of an operator; functions of the model by domain, name and overload */
	bool *bind_used; /* by -D */
	Names cuts; /* --inputs: CutInput by name, and in order */
	int ncut, capcut;
	struct CutInput **cut_list;
	const OnnxGraph *graph; /* after the cut */
	Block *block; /* where nodes go: the function's body, or that of an if or loop */
	CustomOp *customs;
	int64_t ninlined, max_inlined; /* nodes, inputs, outputs and attributes, so that functions calling functions end */
	jmp_buf *again; /* ends this import, for another one that knows more */
} Import;

struct Call {
	Import *im;
	Module *m;
	const struct OnnxOp *row;
	const OnnxNode *node;
	const Loc *loc;
	int opset;
	Scope *scope;
	int nin, nout;
	Value **in; /* NULL: absent */
	Value **out; /* to be set; NULL on entry */
	bool *wanted; /* is out[i] named */
};

/* One row of onnx_ops.def. */
typedef struct OnnxOp {
	const char *name;
	int since, until; /* opsets of the standard */
	int min_in, max_in, max_out; /* inputs and outputs beyond are not supported */
	/* "name", "name:default" for text rows, "name=value|value": other values are not supported */
	const char *attrs;
	const char *text; /* expr.c */
	void (*func)(Call *);
	const char *domain; /* "": the standard's */
} OnnxOp;
enum { AnyNumber = 1 << 20, FirstOpset = 1, LastOpset = 28 };

const char *node_name(const OnnxNode *); /* or its first output */
bool is_standard(const char *domain);
int standard_opset(Onnx__OperatorSetIdProto *const *imports, size_t n); /* -1: none */

/* The row for an operator, or NULL. */
const OnnxOp *find_row(const Import *, const char *domain, const char *op_type, int opset);
const char *row_key(Arena *, const char *domain, const char *op_type); /* of Import.ops */
const OnnxFunction *find_function(const Import *, const OnnxNode *);

const OnnxAttr *onnx_attr(const Call *, const char *name); /* resolves the caller's attributes in functions; or NULL */
bool has_attr(const Call *, const char *name);
int64_t onnx_int(const Call *, const char *name, int64_t dflt);
double onnx_float(const Call *, const char *name, double dflt);
bool onnx_word(const Call *, const char *name, const char *word); /* is the string attribute equal to word */
int onnx_ints(const Call *, const char *name, const int64_t **); /* -1: absent */
const char *onnx_text(const Call *, const char *name); /* a string attribute, or NULL */

/* The declaration of a name, with type and shape; NULL: there is none. */
const OnnxValueInfo *info_among(OnnxValueInfo *const *, size_t n, const char *name);
const OnnxValueInfo *find_info(const OnnxGraph *, const char *name); /* among values and outputs */

#endif
