/* import.h - inside of the frontend: what the importers of single operators see.
 *
 * import.c walks the graph; for every node it finds the row of onnx_ops.def and either expands the row's text
 * (expr.c) or calls the row's function (import_*.c) with a Call.  Such a function reads c->in and the attributes,
 * emits nodes and sets c->out[0 .. nout).  What a model can do wrong is a fatal_at(c->loc).
 */
#ifndef DCC_IMPORT_H
#define DCC_IMPORT_H

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
	Names taken; /* identifiers of symbols */
	Names ops, functions; /* first row of an operator; functions of the model by domain, name and overload */
	bool *bind_used; /* by -D */
	Names cuts; /* --inputs: CutInput by name, and in order */
	int ncut, capcut;
	struct CutInput **cut_list;
	const OnnxGraph *graph; /* after the cut */
	CustomOp *customs;
	int64_t ninlined, max_inlined; /* nodes, so that functions calling functions end */
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
	int since, until; /* opsets */
	int min_in, max_in, max_out; /* inputs and outputs beyond are not supported */
	/* "name", "name:default" for text rows, "name=value|value": other values are not supported */
	const char *attrs;
	const char *text; /* expr.c */
	void (*func)(Call *);
} OnnxOp;
extern const OnnxOp onnx_ops[];
extern const int nonnx_ops;
enum { AnyNumber = 1 << 20, FirstOpset = 7, LastOpset = 26 };

/* ---- import.c -------------------------------------------------------------------------------------------------- */

const OnnxAttr *onnx_attr(const Call *, const char *name); /* resolves the caller's attributes in functions; or NULL */
bool has_attr(const Call *, const char *name);
int64_t onnx_int(const Call *, const char *name, int64_t dflt);
double onnx_float(const Call *, const char *name, double dflt);
bool onnx_word(const Call *, const char *name, const char *word); /* is the string attribute equal to word */
int onnx_ints(const Call *, const char *name, const int64_t **); /* -1: absent */

const char *onnx_text(const Call *, const char *name); /* a string attribute, or NULL */
/* True: types of --inputs were found; the module is of no use, import again. */
bool import_model(Module *, OnnxFile *, Arena *scratch, const LoadOptions *, int ndemand, const Demand *);
void import_nodes(Import *, Scope *, OnnxNode *const *, size_t n);
void add_tensors(Scope *, OnnxTensor *const *, size_t n, const Loc *);
Value *need_value(Import *, Scope *, const char *name, const Loc *); /* undefined: fatal */

/* ---- check.c --------------------------------------------------------------------------------------------------- */

/* Lists everything in the graph, and in the functions that it calls, that is not supported; the caller exits if so. */
void check_graph(Import *, const OnnxGraph *, int opset);
/* The row for a node of the standard domain, or NULL. */
const OnnxOp *find_row(const Import *, const char *op_type, int opset);
const OnnxFunction *find_function(const Import *, const OnnxNode *);
bool is_supported(const Import *, const OnnxNode *, int opset); /* by --custom-op, a function of the model or a row */
bool is_standard(const char *domain);
int standard_opset(Onnx__OperatorSetIdProto *const *imports, size_t n); /* -1: none */
/* NULL, or what about this attribute is not supported (scratch). */
const char *check_attr(const Import *, const OnnxOp *, const OnnxAttr *, const OnnxAttr *resolved);
const char *node_name(const OnnxNode *); /* or its first output */

/* ---- cut.c ----------------------------------------------------------------------------------------------------- */

/* The part of g between the --inputs and --outputs; g itself without these options. */
const OnnxGraph *cut_graph(Import *, const OnnxGraph *g, int opset);
void note_cut(Import *, const Scope *, const char *name, const Value *); /* a value has been defined */
bool found_cut_types(Import *); /* some that the file does not state: stored in file->found_types for the next import */

/* Where the graph states type and shape of a value; NULL: nowhere. */
const OnnxValueInfo *find_info(const OnnxGraph *, const char *name);

/* ---- custom.c -------------------------------------------------------------------------------------------------- */

void read_customs(Import *); /* the options; what is wrong with them is fatal */
bool find_custom(const Import *, const OnnxNode *); /* is the operator one of them */
void warn_unused_customs(const Import *);
void import_custom(Call *); /* of an operator that find_custom has found */

/* ---- expr.c ---------------------------------------------------------------------------------------------------- */

Value *expand_text(Call *, const char *text);
/* An expression over symbols: integers, names, + - * / ( ) min max floor ceiling Mod.  NULL: not one.  symbol()
 * may return NULL to refuse. */
const Dim *parse_dim_text(Module *, const char *text, const Dim *(*symbol)(void *, const char *name), void *ctx);

/* ---- build.c: small steps shared by the importers -------------------------------------------------------------- */

Value *emit(Call *, Op, int nin, Value *const *in, int nattr, const Attr *, const Type *given);
Value *emit1(Call *, Op, Value *);
Value *emit2(Call *, Op, Value *, Value *);
Value *emit3(Call *, Op, Value *, Value *, Value *);
Value *emit_const(Call *, DType, double); /* rank 0 */
Value *emit_dims(Call *, int rank, int n, const Dim *const *); /* i64, rank 0 (n = 1) or 1 */
Value *emit_iota(Call *, DType, const Dim *n, const Dim *start, const Dim *step);
Value *emit_cast(Call *, Value *, DType); /* the value itself if it has the dtype */
Value *emit_reshape(Call *, Value *, int rank, const Dim *const *dims);
Value *emit_expand(Call *, Value *, int rank, const Dim *const *dims); /* numpy broadcasting of both */
Value *emit_transpose(Call *, Value *, const int *perm);
Value *emit_swap(Call *, Value *); /* the last two axes */
Value *emit_range(Call *, Value *, int axis, const Dim *start, const Dim *n, int64_t step); /* slice of one axis */
Value *emit_reduce(Call *, Op, Value *, int naxis, const int64_t *axes, bool keepdims);

int norm_axis(const Call *, int64_t axis, int rank); /* out of range: fatal */
/* Sorted distinct non-negative axes from an attribute or a known input; -1: neither is there. */
int norm_axes(Call *, const char *attr, int input, int rank, int64_t *axes);
/* Elements of a small integer value as dims; NULL if they depend on data. */
const Dim *const *known_dims(Call *, Value *, int *n);
/* The same, but fatal unless there are at most `max`; `what` names the operand in the message. */
int need_dims(Call *, int input, const char *what, const Dim **dims, int max);
int need_ints(Call *, int input, const char *what, int64_t *ints, int max);
bool constant_fill(const Value *, double *); /* all elements equal, seen through Move nodes */
void require_equal(Call *, const Dim *, const Dim *, const char *what); /* now, or as a run-time check */
void require_at_least(Call *, const Dim *, int64_t);
void require_at_most(Call *, const Dim *, const Dim *most);
/* a / b where the model guarantees that b divides a; b == 0 may give anything. */
const Dim *divide_dims(Call *, const Dim *a, const Dim *b);
const Dim *product(Module *, const Dim *const *dims, int n);
bool same_dims(const Type *, int rank, const Dim *const *dims);

/* ---- import_*.c: the functions of onnx_ops.def ----------------------------------------------------------------- */

void import_if(Call *); /* import.c */

void import_constant(Call *); /* import_shape.c */
void import_constant_of_shape(Call *);
void import_alias(Call *);
void import_cast(Call *);
void import_cast_like(Call *);
void import_shape(Call *);
void import_size(Call *);
void import_reshape(Call *);
void import_flatten(Call *);
void import_squeeze(Call *);
void import_unsqueeze(Call *);
void import_expand(Call *);
void import_tile(Call *);
void import_transpose(Call *);
void import_concat(Call *);
void import_slice(Call *);
void import_split(Call *);
void import_pad(Call *);
void import_gather(Call *);
void import_gather_elements(Call *);
void import_gather_nd(Call *);
void import_range(Call *);
void import_nonzero(Call *);
void import_trilu(Call *);

void import_div(Call *); /* import_math.c */
void import_pow(Call *);
void import_clip(Call *);
void import_gelu(Call *);
void import_dropout(Call *);
void import_sum(Call *);
void import_mean(Call *);
void import_max(Call *);
void import_min(Call *);
void import_reduce_sum(Call *);
void import_reduce_mean(Call *);
void import_reduce_max(Call *);
void import_reduce_min(Call *);
void import_reduce_prod(Call *);
void import_reduce_l1(Call *);
void import_reduce_l2(Call *);
void import_reduce_sum_square(Call *);
void import_reduce_log_sum(Call *);
void import_reduce_log_sum_exp(Call *);
void import_softmax(Call *);
void import_log_softmax(Call *);

void import_matmul(Call *); /* import_nn.c */
void import_gemm(Call *);
void import_conv(Call *);
void import_layer_norm(Call *);
void import_rms_norm(Call *);
void import_batch_norm(Call *);
void import_global_average_pool(Call *);
/* One entry per spatial axis from an attribute, `dflt` where it is absent; smaller than `least` is fatal. */
void read_windows(Call *, const char *attr, int want, int64_t dflt, int64_t least, int64_t *out);
void read_pads(Call *, int spatial, const int64_t *kernel, const int64_t *strides, const int64_t *dilations,
               int64_t *pads);

void import_attention(Call *); /* import_attention.c */
void import_rotary_embedding(Call *);

void import_max_pool(Call *); /* import_more.c */
void import_average_pool(Call *);
void import_global_max_pool(Call *);
void import_resize(Call *);
void import_depth_to_space(Call *);
void import_space_to_depth(Call *);
void import_einsum(Call *);
void import_arg_max(Call *);
void import_arg_min(Call *);
void import_cum_sum(Call *);
void import_one_hot(Call *);
void import_eye_like(Call *);
void import_instance_norm(Call *);
void import_group_norm(Call *);
void import_lp_norm(Call *);
void import_dft(Call *);

#endif
