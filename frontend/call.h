/* call.h - a node of the model that is being imported, and what surrounds it: what all of the frontend sees. */
#ifndef DCC_CALL_H
#define DCC_CALL_H

#include "frontend.h"
#include "names.h"
#include "onnx.h"

typedef struct Call Call;
typedef struct CustomOp CustomOp;

/* A sequence of the model, or an optional without an element (one with an element is that element).  How long it is, is known
 * here, so the IR has none: an operator that takes one apart picks Values. */
typedef struct List {
	bool none; /* the optional without an element */
	DType dtype; /* of the elements */
	int n;
	Value **items;
} List;

/* What a name stands for: one of them; none: absent. */
typedef struct Item {
	Value *tensor;
	const List *list;
} Item;

/* The names that a node sees: of the graph, of a branch (and of the graphs around it), or of a function's body. */
typedef struct Scope {
	Names values; /* Item */
	Names tensors; /* OnnxTensor: initializers that no node has used so far */
	struct Scope *outer;
	const Call *caller; /* functions: the call, whose attributes the body may refer to */
	const OnnxFunction *function;
	Names absent; /* its inputs that the call leaves out */
	const Place *place;
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
	bool *shape_used; /* by --shape */
	Names cuts; /* --inputs: CutInput by name, and in order */
	int ncut, capcut;
	struct CutInput **cut_list;
	const OnnxGraph *graph; /* after the cut */
	Block *block; /* where nodes go: the function's body, or that of an if or loop */
	CustomOp *customs;
	Value *random_seed; /* --random-seed: the input; NULL: there is none */
	int nrandom; /* nodes that draw random numbers */
	int64_t ninlined, max_inlined; /* nodes, inputs, outputs, attributes, elements: what functions and loops expand to ends */
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
	Value **in; /* NULL: absent, or a list */
	Value **out; /* to be set; NULL on entry */
	const List **lists, **out_lists; /* inputs and outputs that are lists; else NULL */
	bool *wanted; /* is out[i] named */
	const void *body; /* the last one that was imported for the node, how often in a row */
	int nbody;
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
	bool lists; /* inputs and outputs may be lists */
	bool wide; /* of several steps, none of which rounds to a float that is only stored */
	const char *domain; /* "": the standard's */
} OnnxOp;
enum { AnyNumber = 1 << 20, FirstOpset = 1, LastOpset = 28 };

void count_inlined(Import *, int64_t n, const Loc *); /* too much in all: fatal */
List *new_list(Import *, DType, int64_t n, const Loc *); /* items to be set */
Item input_item(const Call *, int); /* both NULL: absent */
static inline Value *input(const Call *c, int i) { return i < c->nin ? c->in[i] : NULL; } /* of a row without lists; NULL: absent */
void set_output(Call *, int, Item);
Value *need_tensor(const Call *, Item, const char *what); /* anything else is fatal */
const char *item_text(Import *, Item); /* for messages: its type, or what list it is */
/* The tensor type within an optional or a sequence, and which of them it is in; NULL: dcc has no such type. */
const Onnx__TypeProto__Tensor *tensor_of_type(const Onnx__TypeProto *, bool *optional, bool *sequence);

/* What --shape says of an input, from its bracket on; NULL: nothing.  *dtype: the element type in front of it, or NDTypes. */
const char *shape_option(Import *, const char *name, DType *dtype);
const char *node_name(const OnnxNode *); /* or its first output */
const char *node_layers(Arena *, const OnnxNode *); /* as in Loc */
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
