/* ir.h - the tensor IR: everything that frontend, passes and backend share about it.
 *
 * A Module owns everything through one Arena and is freed whole.  A Func is an ordered list of Nodes in SSA form; a Node
 * has named operands, named attributes and typed results.  A dim is an interned symbolic integer expression, so two dims
 * are equal if and only if their pointers are equal (within a Module).  The text form is described in ir.md.
 *
 * Not thread safe: one thread per Module, and the diagnostics are per thread.
 */
#ifndef DCC_IR_H
#define DCC_IR_H

#include "scalar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

/* ---- arena.c ------------------------------------------------------------------------------------------------------ */

typedef struct Arena Arena;

Arena *new_arena(void);
Arena *new_inner_arena(Arena *outer); /* freed with the outer one, if not before */
void free_arena(Arena *); /* takes NULL */
void *arena_alloc(Arena *, size_t bytes); /* zeroed, aligned to 16; out of memory is a user error */
char *arena_strdup(Arena *, const char *);
char *arena_printf(Arena *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Appends to a growable array held as (pointer, count, capacity); old storage stays in the arena. */
void *arena_grow(Arena *, void *items, int count, int *cap, size_t item_bytes);
#define PUSH(arena, items, count, cap, item) \
	((items) = arena_grow((arena), (items), (count), &(cap), sizeof *(items)), (items)[(count)++] = (item))

/* ---- diag.c: two kinds of errors, never mixed --------------------------------------------------------------------- */

/* Where something came from.  From ONNX: file, node name, op and opset; from IR text: file, line, col.  Unset: NULL, 0. */
typedef struct Loc {
	const char *file;
	int line, col; /* 1-based; 0: not from text */
	const char *node; /* ONNX node name (or its first output) */
	const char *op;
	int opset; /* of the standard operators; those of other domains have none here */
	const char *layers; /* where the exporter says that it stands, outermost first, with slashes between; NULL: it says nothing */
} Loc;

/* The user's error.  Prints `file: node 'name' (Op-opset): message` or `file:line:col: error: message` to diag_stream. */
void error_at(const Loc *, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* counts and goes on */
_Noreturn void fatal_at(const Loc *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* fatal_at for what dcc or the machine lacks: the model may be right. */
_Noreturn void refuse_at(const Loc *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void warn_at(const Loc *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int error_count(void);
void exit_if_errors(void); /* leaves like fatal_at if error_count() > 0 */
/* Our error: prints where and aborts.  Input must never reach it. */
_Noreturn void bug_at(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#define bug(...) bug_at(__FILE__, __LINE__, __VA_ARGS__)

/* safe.c: names and messages with control characters, bidi controls and bytes that are no UTF-8 as \x1b and \u202e.
 * All that a file gives and somebody may look at goes through these. */
void print_safe(FILE *, const char *text);
const char *safe_name(Arena *, const char *text); /* text itself if it is safe */
void print_json(FILE *, const char *text); /* a string of JSON, which ASCII escapes keep safe, in HTML too; NULL: null */
int hidden_bytes(const char *text); /* of the character at its start, if it must not be shown; else 0 */
void print_caret(FILE *, const Loc *); /* the line of a file and a caret under the column */

/* In a function that returns NULL or a message: hands on what is wrong with expr, which does so too. */
#define TRY(expr)                                                                                                      \
	do {                                                                                                           \
		const char *wrong_ = (expr);                                                                           \
		if (wrong_)                                                                                            \
			return wrong_;                                                                                 \
	} while (0)

/* How fatal_at leaves: longjmp(*diag_recover, 1) if set (fuzzers, tests, bindings), else exit(1) after diag_cleanup(). */
extern _Thread_local jmp_buf *diag_recover;
extern _Thread_local FILE *diag_stream; /* NULL: stderr */
/* Where an error belongs that has no node and no line of its own, such as an overflow in a dim; NULL: nowhere. */
extern _Thread_local const Loc *diag_place;
/* A file to be removed when the process leaves by an error; NULL forgets it.  At most 8. */
void diag_remove_on_error(const char *path);
void diag_keep(const char *path);
/* A new file or folder of a name that nobody can guess, beside `path`; removed on error unless diag_keep()s it.  Negative
 * or NULL: errno. */
int open_temporary(Arena *, const char *path, const char **name);
const char *make_temporary_folder(Arena *, const char *path);
/* Signals that end the program remove those files first; a mapped file that got shorter is an error.  Called by programs,
 * once. */
void diag_catch_signals(void);
/* What an abort of a library that cannot say more means, while it runs; NULL: a bug. */
void diag_abort_means(const char *message);
/* Runs f as an attempt: an error ends it, and nothing is printed.  False: it has ended so; `why` holds the message, cut to its
 * size in bytes.  Who asks why wants what is wrong with the model: refuse_at goes past him.  NULL: any error will do. */
bool diag_try(void (*f)(void *), void *ctx, char *why, size_t size);
/* Who jumps out of attempts by a setjmp of his own returns to the state that he has found. */
typedef struct DiagState {
	struct Attempt *attempt;
	const Loc *place;
	int errors;
} DiagState;
DiagState diag_state(void);
void diag_return_to(DiagState);
void diag_reset(void); /* forgets the count; for tests */
/* The files of this thread to be removed on error, for one that works for it: what ends the process there removes them too. */
struct DiagFiles *diag_files(void);
void diag_use_files(struct DiagFiles *);

/* ---- threads.c ---------------------------------------------------------------------------------------------------- */

int usable_cpus(void); /* by this process */
/* Calls f on n threads at once, fewer where the system has no more, and returns when all are back.  The caller is number 0, and the one
 * that signals come to.  In f nothing may end by an error, fatal_at and the like, nor use an arena of others. */
void on_threads(int n, void (*f)(void *ctx, int thread), void *ctx);

/* ---- timing.c ----------------------------------------------------------------------------------------------------- */

void time_parts(void); /* from here on stderr is told of each part */
void part_begins(const char *name); /* it lives as long as the process */
const char *running_part(void); /* the one that began last; also in a signal handler */
void part_ends(int nodes); /* its time is all since the last end; nodes of the module, negative: not said */
void part_ends_with(const char *note); /* the same; more that is to be said of it */
double thread_seconds(void); /* of CPU that this thread has used */
void all_parts_end(void); /* their sum */

/* ---- progress.c ---------------------------------------------------------------------------------------------------- */

void start_progress(void); /* from here on a terminal at stderr shows the part that runs, in a line of its own */
void hide_progress(void); /* the line goes, until show_progress(): for what else is printed; also in a signal handler */
void show_progress(void);

/* ---- types -------------------------------------------------------------------------------------------------------- */

enum { MaxRank = 8 };
enum { JoinMax, JoinSum, JoinWhere }; /* words of the attribute `join` */
enum { PanelWidth = 32 }; /* columns of a panel of packed weights */
enum { HalfWidth = PanelWidth / 2 }; /* bytes of a row of one of integers of at most 4 bits: byte i has column i in its low half, and i + 16 */
/* A matrix whose columns are `parts` equal parts is packed by units of panels, which hold that many columns of each part. */
enum { MaxParts = 4 };
static inline int part_width(int parts) { return parts % 2 ? PanelWidth : PanelWidth / 2; }
static inline int unit_panels(int parts) { return parts * part_width(parts) / PanelWidth; }

typedef struct Dim Dim;
typedef struct Module Module;

typedef struct Type {
	DType dtype;
	int rank;
	const Dim *dims[MaxRank];
} Type;

/* ---- dim.c: symbolic integer expressions -------------------------------------------------------------------------- */
/* Normal form: a polynomial with int64 coefficients over atoms; an atom is a symbol or floordiv/mod/min/max of two dims
 * (ceildiv(a,b) is -floordiv(-a,b)).  Terms are sorted, so printing is deterministic.  Overflow of a coefficient is
 * refused.  floordiv and mod by a dim that is not proved positive stay as atoms.
 *   floordiv: exact factors of a divisor proved positive cancel: (12*seq)/(4*seq) needs seq >= 1, (12*seq)/4 does not;
 *             (4*a + b)/4 = a + b/4;  mod accordingly; min/max fold by ranges. */

/* Where a symbol's value comes from. */
typedef enum SymKind {
	SymInput, /* dims of the inputs, before anything runs */
	SymValue, /* an element of an input, perhaps times an extent, saturated to +-DimMax, before anything runs */
	SymDerived, /* symbols of smaller index, by a formula too long to be written out in every dim */
	SymLoop, /* the number of the current iteration of a loop */
	SymMeasured, /* the data: a node gives it while the function runs */
} SymKind;

typedef struct Sym {
	const char *name;
	int64_t lo, hi; /* inclusive; default 0 .. DimMax */
	int index; /* place in module->syms */
	SymKind kind;
	int input, element; /* of a value: which element of which input */
	const struct Dim *times; /* of a value whose input is floating: it is element * times, rounded down; else NULL */
	const struct Dim *is; /* of a derived symbol */
	struct Node *def; /* of loop and measured symbols: whose attribute names it; NULL before that is read */
	struct Module *module; /* where `most` lives */
	const struct Dim *most; /* loop and measured symbols: their value is at most this; NULL: no more is known than hi */
	bool bounds; /* the `most` of another symbol uses it */
	int taken; /* of the names that fresh_sym makes of this one, from _2 on: those before the next one to try */
	bool bounding; /* scratch of dim_most */
} Sym;
#define DimMax INT32_MAX /* largest extent of one dim; an element count may reach 2^47 */

const Dim *dim_const(Module *, int64_t);
const Dim *dim_sym(Module *, const char *name); /* created with the default range when new; the name is an identifier */
Sym *find_sym(const Module *, const char *name); /* NULL: there is none */
const Dim *dim_add(Module *, const Dim *, const Dim *);
const Dim *dim_sub(Module *, const Dim *, const Dim *);
const Dim *dim_mul(Module *, const Dim *, const Dim *);
const Dim *dim_floordiv(Module *, const Dim *, const Dim *); /* a divisor constant 0 is a user error */
const Dim *dim_ceildiv(Module *, const Dim *, const Dim *);
const Dim *dim_mod(Module *, const Dim *, const Dim *); /* sign of the divisor, as floordiv */
const Dim *dim_min(Module *, const Dim *, const Dim *);
const Dim *dim_max(Module *, const Dim *, const Dim *);
const Dim *dim_mul_const(Module *, const Dim *, int64_t);
const Dim *dims_product(Module *, const Dim *const *extent, int n);
bool dim_is_const(const Dim *, int64_t *value); /* value may be NULL */
bool dim_equals(const Dim *, int64_t value); /* is the constant `value` */
void dim_range(const Dim *, int64_t *lo, int64_t *hi); /* conservative; saturates at INT64_MIN/MAX */
/* Proved for all values of the symbols: looks into min, max and divisions by constants, where a range does not. */
bool dim_proves_nonneg(Module *, const Dim *);
bool dim_proves_at_most(Module *, const Dim *a, const Dim *b); /* a <= b */
bool dim_exact_div(Module *, const Dim *a, const Dim *b, const Dim **q); /* a == q * b for all values; b proved non-zero */
/* q with a == q * b as polynomials.  True also where b could be 0: then a is 0 too and any q will do, which is right for
 * extents, because the tensor is empty. */
bool dim_poly_div(Module *, const Dim *a, const Dim *b, const Dim **q);
Sym *dim_as_sym(const Dim *); /* the symbol that the dim is, or NULL */
bool dim_uses_sym(const Dim *, const Sym *);
void dim_each_sym(const Dim *, void (*visit)(void *ctx, Sym *), void *ctx); /* of those that it uses, some perhaps several times */
/* Evaluates with sym values by Sym.index; false on overflow or division by zero. */
bool dim_eval(const Dim *, const int64_t *sym_values, int64_t *result);
/* Replaces symbols: by[sym->index] == NULL keeps a symbol. */
const Dim *dim_subst(Module *, const Dim *, const Dim *const *by);
/* Walks the normal form bottom-up, for building loop IR or descriptors out of it: each callback returns a handle.
 * sum of (coef * product of atoms): fold() is called with the operator text "+", "*", "/", "%", "min", "max". */
typedef struct DimVisitor {
	void *(*constant)(void *ctx, int64_t);
	void *(*symbol)(void *ctx, const Sym *);
	void *(*binary)(void *ctx, const char *op, void *a, void *b);
	void *ctx;
} DimVisitor;
void *dim_visit(const Dim *, const DimVisitor *);
char *dim_text(Module *, const Dim *); /* arena; e.g. "4*batch*seq + 3", "(seq + 15)/16", "min(seq, 7)", "seq%3" */
int dim_size(const Dim *); /* of the expression: which of two equal ones is simpler */
int dim_compare(const Dim *, const Dim *); /* a total order independent of addresses */

const Dim *type_numel(Module *, const Type *);
void type_each_dim(const Type *, void (*visit)(void *ctx, const Dim *), void *ctx);
bool type_equal(const Type *, const Type *);
char *type_text(Module *, const Type *); /* "f32[batch, seq, 512]" */
int64_t const_numel(const Type *); /* of a type with constant dims; bug() otherwise */

/* ---- operators and attributes ------------------------------------------------------------------------------------- */

typedef enum AttrId {
#define ATTR(name, kind, dflt, help) Attr_##name,
#include "attrs.def"
#undef ATTR
	NAttrs
} AttrId;

typedef enum AttrKind { AttrFlag, AttrInt, AttrInts, AttrFloat, AttrScalar, AttrOp, AttrWord, AttrDim, AttrDims, AttrText } AttrKind;

typedef struct AttrInfo {
	const char *text;
	AttrKind kind;
	double number; /* default of Flag, Int, Float and Scalar (infinite: the extreme of the type), the Op of kind Op */
	const char *words; /* kind Word: "a|b|c"; kind Text: the default */
	const char *help;
} AttrInfo;
extern const AttrInfo attr_infos[NAttrs];

typedef enum Op {
#define OP(name, text, in, cls, takes, code, shape, attrs, flags, meaning) Op##name,
#include "ops.def"
#undef OP
	NOps
} Op;

typedef enum OpClass {
	ClsSource, ClsEwise, ClsReduce, ClsGemm, ClsWindow, ClsAttention, ClsMove, ClsIndex, ClsOpaque, ClsExtern, ClsGroup,
	ClsControl
} OpClass;

enum { MaxIn = 5, Commutes = 1 };

typedef enum OpCode { CodeAll, CodeFlt, CodeF32 } OpCode; /* element types that schedules compile */

typedef struct Node Node;
typedef struct Value Value;
typedef struct Block Block;

typedef struct OpInfo {
	const char *text;
	int nin; /* -1: variadic */
	const char *in[MaxIn]; /* operand names */
	bool optional[MaxIn];
	OpClass cls;
	int takes; /* Types... */
	OpCode code;
	/* Sets out->dtype, rank, dims from n's operands and attributes; for "given" results checks *out, which the caller has
	 * filled.  Returns NULL, or what is wrong (in the arena). */
	const char *(*shape)(Module *, const Node *n, Type *out);
	bool given; /* the result type is stated, not inferred */
	uint64_t attrs; /* 1 << AttrId */
	int flags;
} OpInfo;
extern const OpInfo ops[NOps];

/* ops.c, names.c */
bool find_op(const char *text, Op *);
bool is_c_name(const char *); /* a C identifier of at most 200 characters */
/* cnames.c: names that an object or a header must not take. */
bool is_libc_name(const char *);
bool is_system_header(const char *file);

typedef struct Attr {
	AttrId id;
	int64_t i; /* Flag, Int, Op, Word (index of the word) */
	double f;
	Scalar s; /* Scalar: of the type of operand 0 */
	int n;
	const int64_t *ints;
	const Dim *dim;
	const Dim *const *dims;
	const char *text;
} Attr;

/* ---- functions, nodes, values ------------------------------------------------------------------------------------- */

/* A constant tensor.  The bytes are little-endian, row-major, and belong to a mapped file or to the arena. */
typedef struct Const {
	const char *name; /* printed @name, unique in the module */
	Type type; /* constant dims */
	const void *data;
	size_t bytes;
	const char *file; /* where the bytes lie, as the text refers to them; NULL: only in memory (printed inline) */
	uint64_t offset;
	Value *value; /* its SSA value */
	bool used;
} Const;

typedef struct Use {
	Node *node; /* NULL: yield of a block (index into block->yields) */
	Block *block;
	int index;
} Use;

struct Value {
	Type type;
	Node *def; /* NULL: parameter or constant */
	Block *block; /* set for parameters of a block inside of a node; NULL: def, constant, or parameter of the function */
	int index; /* result number of def, or parameter number */
	Const *konst; /* set for constants */
	const char *name; /* parameters and results that have an ONNX name worth keeping; else NULL and printed %N */
	const Dim **known; /* elements of a small integer or bool tensor as dims, row-major; NULL: unknown */
	bool measured; /* those are symbols that nodes read from it */
	int nuse, capuse;
	Use *uses;
	bool konst_expr; /* kept by constness.c; ask is_const() */
	bool appended; /* kept by uses.c: a concat in place may be among the uses; ask state_append() */
	int number; /* scratch of printer and passes */
	void *scratch; /* of the running pass */
};

/* Two dims that the model silently assumes equal, or a dim's lower bound; checked at run time. */
typedef struct DimCheck {
	const Dim *a, *b; /* a == b */
	const Loc *loc;
	bool broadcast; /* ONNX lets one of them be 1: broadcast_symbols would */
} DimCheck;

/* Where something is asked for: checks that come of it are the block's. */
typedef struct Site {
	Block *block;
	const Loc *loc;
} Site;

struct Block {
	Node *first, *last;
	Node *owner; /* the node whose body it is, NULL for a function's body */
	int end; /* scratch of passes */
	int nparam; /* loop: the carried values */
	Value **params;
	Value **yields;
	int *yield_use; /* where each stands among its value's uses */
	int nyield;
	int ncheck, capcheck;
	DimCheck *checks; /* what must hold whenever the block runs, before anything in it; a group's stand with the block around it */
};

struct Node {
	Op op;
	int nin, nout;
	Value **in; /* NULL: absent optional operand */
	int *in_use; /* where each stands among its value's uses */
	Value **out;
	int nattr;
	Attr *attrs;
	const Loc *loc;
	Block *body; /* group, if (then), loop: sees the values around it */
	Block *other; /* if: else */
	Block *block; /* where it stands */
	Node *prev, *next;
	bool dead;
	int mark; /* scratch of passes */
};

typedef struct Func {
	const char *name;
	int nparam;
	Value **params;
	const char **results; /* result names, one per body.yields */
	Block body;
} Func;

/* An extent that has gone into that of two axes which broadcast by the sizes of the run. */
typedef struct JointDim {
	const Dim *part, *joint;
} JointDim;

typedef struct DimTable DimTable;
struct LModule;

struct Module {
	Arena *arena;
	const char *name; /* C identifier, prefix of all symbols */
	const char *path; /* of the file read, for messages */
	const char *stage; /* the last pass that has run, "import" at first */
	DimTable *dims;
	int nsym, capsym;
	Sym **syms;
	int nconst, capconst;
	int64_t const_bytes; /* of all constants: what a model may cost is measured by it */
	double evaluated, looked; /* bytes of constant expressions so far; see eval_const and look_at_const */
	Const **consts;
	Func *main;
	struct LModule *loops; /* loop IR, once lowered */
	const char *lack; /* the last answer of a shape function that the model may be right and dcc lacks something */
	bool broadcast_symbols; /* two dims that are not proved equal: either may be 1 at run time; else they are taken as equal, and checked */
	int njoint, capjoint;
	JointDim *joints; /* of broadcast_symbols */
	struct NameSet *const_names, *param_names;
	uint64_t model_hash; /* of the ONNX file's bytes, 0 for text */
};

/* ---- module.c ------------------------------------------------------------------------------------------------------ */

Module *new_module(const char *name, const char *path);
void free_module(Module *);
const Loc *new_loc(Module *, Loc);
Value *new_param(Module *, const char *name, Type); /* appended to main's parameters */
Const *new_const(Module *, const char *name, Type, const void *data, size_t bytes); /* name made unique; data not copied */
Const *const_i64(Module *, int n, const int64_t *); /* rank 1 */
Const *const_scalar(Module *, Scalar); /* rank 0 */
bool value_as_scalar(const Value *, Scalar *); /* a constant with one element (any rank) or all elements equal and <= 64 of them */
bool value_as_real(const Value *, double *); /* as above; false where a double cannot hold it */

/* ---- ir.c: nodes and blocks ---------------------------------------------------------------------------------------- */

/* new_node + attributes (an array of nattr) + set_type; what is wrong is type_error()'s. */
Value *build(Module *, Block *, Node *before, Op, const Loc *, int nin, Value *const *in, int nattr, const Attr *, const Type *given);
/* Makes a node before `before` (NULL: at the end of `block`) without results: set_type(), add_result() or add_body_results() adds them. */
Node *new_node(Module *, Block *, Node *before, Op, const Loc *, int nin, Value *const *in);
/* Runs the shape function.  `given`: result type for ops that state it (else NULL).  Returns NULL or what is wrong. */
const char *set_type(Module *, Node *, const Type *given);
/* Ends with what is wrong with a node of the operator: refuse_at() for what dcc lacks, else fatal_at(). */
_Noreturn void type_error(const Module *, Op, const Loc *, const char *wrong);
Value *add_result(Module *, Node *, Type); /* for nodes with several results, which their maker states */
Value *add_block_param(Module *, Block *, Type);
/* The node gives the symbol its value: as the iteration, a number of them, one of its sizes, what it measures. */
void give_sym(Module *, Node *, Sym *, SymKind);
void define_sym(Module *, Node *, AttrId, SymKind); /* the symbol that the attribute names */
void move_before(Node *, Block *, Node *before);
void erase_node(Node *); /* its results must have no uses */
void clear_scratch(Module *); /* of all values, whatever other passes left there */
void drop_carried(Node *loop, int i); /* a carried value of which neither the parameter nor the result is used */
bool has_body(Op); /* group, if, loop */
Node *group_of(const Node *); /* the group that it is a member of, or NULL */

/* The block says that the dims must be equal, unless it or one around it does so already. */
void add_check(Module *, Block *, DimCheck);
const Block *block_around(const Block *); /* NULL: it is a function's body */
Block *block_of_checks(Block *); /* where what is asked for in the block is checked: itself, or what is around a group */
bool types_agree(const Block *, const Type *, const Type *); /* equal, or equal once checks hold: of the block, or of those around it */

/* ---- uses.c, constness.c ------------------------------------------------------------------------------------------- */

void set_in(Module *, Node *, int i, Value *);
void append_in(Module *, Node *, Value *); /* of an op with any number of them */
void set_yield(Module *, Block *, int i, Value *);
void add_yield(Module *, Block *, Value *);
void replace_uses(Module *, Value *old, Value *by);
bool is_output(const Value *); /* some block yields it */
Node *only_user(const Value *); /* the node of its only use (all uses in one node count as one), NULL otherwise */
bool is_const(const Value *); /* a constant, or computed from constants only (evaluated when the object is written) */

/* ---- walk.c -------------------------------------------------------------------------------------------------------- */

/* All nodes, those of the bodies of if and loop behind the node itself; groups are not entered.  first_node(), then next_node() until NULL. */
Node *first_node(const Module *);
Node *next_node(const Node *);
/* All that checks, code and the bounds of symbols are made of; n, a: the node and the attribute where it stands, NULL if there is none. */
typedef void DimVisit(void *ctx, const Dim *, const Node *n, const Attr *a);
void module_each_dim(const Module *, DimVisit *, void *ctx);

/* ---- attr.c -------------------------------------------------------------------------------------------------------- */

void set_attr(Module *, Node *, Attr); /* replaces; copies nothing */
const Attr *find_attr(const Node *, AttrId); /* NULL: has its default */
enum { ReduceNone, ReduceAdd, ReduceMul, ReduceLeast, ReduceMost }; /* words of the attribute `reduction` */
int64_t attr_int(const Node *, AttrId); /* Flag, Int, Op, Word */
double attr_float(const Node *, AttrId);
Scalar attr_scalar(const Node *, AttrId);
int attr_ints(const Node *, AttrId, const int64_t **); /* returns the count */
int64_t attr_int_at(const Node *, AttrId, int i, int64_t otherwise); /* element i of a list that may be left out */
const Dim *attr_dim(Module *, const Node *, AttrId); /* default: 0 (base, start) or 1 (step) */
int attr_dims(const Node *, AttrId, const Dim *const **);
const char *attr_text(const Node *, AttrId);
Attr mk_int(AttrId, int64_t);
Attr mk_float(AttrId, double);
Attr mk_scalar(AttrId, Scalar);
Attr mk_number(AttrId, DType, double); /* of kind Flag, Int, Float or Scalar, the last of this type */
Attr mk_ints(Module *, AttrId, int n, const int64_t *); /* these copy lists and text into the arena */
Attr mk_dim(AttrId, const Dim *);
Attr mk_dims(Module *, AttrId, int n, const Dim *const *);
Attr mk_text(Module *, AttrId, const char *);
bool same_attr(const Attr *, const Attr *);
void attr_each_dim(const Attr *, void (*visit)(void *ctx, const Dim *), void *ctx);

/* ---- shape.c: attention to chunks ------------------------------------------------------------------------------------- */

enum { MaxShifts = 8 };
typedef struct Chunks { /* of an attention: batch c of each n of queries sees `parts` batches of keys, (c + shift[i]) % of of each `of` */
	int64_t n, of, shift[MaxShifts];
	int parts;
} Chunks;
bool sees_chunks(const Node *); /* has it attributes that say so */
Chunks attention_chunks(const Node *);
const Dim *attention_keys(Module *, const Node *); /* that a query has: of all parts */

/* ---- open_attention.c, dead.c -------------------------------------------------------------------------------------- */

/* The attention n as nodes of the same block in front of `before` (NULL: at its end), which do not use it. */
Value *attention_scores(Module *, const Node *n, Node *before); /* [batch, heads, queries, keys], times the scale */
Value *attention_values(Module *, const Node *n, Node *before, Value *probabilities); /* [batch, queries, heads, width] */
/* The whole, with the softmax in a type of its own.  steps: scores, capped, masked, as probabilities. */
Value *attention_openly(Module *, const Node *n, Node *before, DType precision, Value *steps[4]);
bool is_unused(const Node *); /* none of its results has a use */
bool remove_dead(Module *); /* nodes that reach no output */

/* ---- control.c ----------------------------------------------------------------------------------------------------- */

bool loop_has_cond(const Node *);
int loop_carried(const Node *); /* number of carried values */
const Dim *loop_count(Module *, const Node *); /* iterations, once it has ended */
int body_results(const Node *); /* of group, if, loop: results that the bodies give */
int node_sizes(const Node *, const Dim *const **sizes); /* of if and loop: number of triples */
/* Their types; NULL or what is wrong with the bodies.  Of an if, *out holds the types that the results should have. */
const char *body_types(Module *, const Node *, Type *out);
/* Adds the results to a node that has none yet; `stated`: their types where an if has sizes, else NULL will do. */
const char *add_body_results(Module *, Node *, const Type *stated);

bool is_given(const Sym *); /* by the inputs, before anything runs */
bool is_measured_dim(const Dim *); /* uses a symbol that no input gives */
/* d, or a derived symbol for it where it is long and its symbols are given. */
const Dim *name_dim(Module *, const Dim *d);
const Dim *derive_sym(Module *, const Dim *d); /* however short; constants and what the data gives stay as they are */
/* Makes the elements of a parameter symbols; its dims are constant, its type an integer's. */
void know_param(Module *, Value *param);
/* Element number `element` of a floating parameter, f32 or f64 of constant dims, times a dim that inputs give, rounded down: a symbol. */
const Dim *scaled_sym(Module *, const Value *param, int64_t element, const Dim *times);
bool may_scale(const Value *param, int64_t element); /* has it such a parameter's type and that many elements */
Sym *fresh_sym(Module *, const char *stem); /* a new one, named `stem` or like it */
/* An upper bound over symbols that inputs give; the dim itself if it uses no others. */
const Dim *dim_most(Module *, const Dim *);
/* The same of a size and of an element count in a block, where checks may tie them to others. */
const Dim *size_most(Module *, const Block *, const Dim *);
const Dim *numel_most(Module *, const Block *, const Type *);
const Dim *panel_count(Module *, const Dim *columns, int parts); /* of a packed matrix */
bool has_halves(const Node *); /* a linear_scaled whose panels hold two columns to a byte */
/* Why the elements have no bound, or (by_dims) the dims one by one: a symbol of the data; NULL: they have. */
const Sym *find_unbounded(Module *, const Block *, const Type *, bool by_dims);
int count_cells(const Module *); /* symbols that no input gives */
int sym_cell(const Module *, const Sym *); /* which of those it is */

/* ---- state.c ------------------------------------------------------------------------------------------------------- */

typedef struct State { /* what an output shares with an input */
	int input; /* parameter number */
	int axis;
	int64_t capacity; /* elements along the axis that the buffer has room for */
	int64_t shift; /* the output begins this many indices of the axis behind the input */
} State;

const Node *state_append(const Value *); /* the in-place concat that v is the result or the parameter of, or NULL */
void storage_type(Module *, const Value *, Type *); /* v's type as it lies in memory: state with its capacity */
bool state_of_output(Module *, const Value *yield, State *);

/* ---- known.c, shape.c --------------------------------------------------------------------------------------------- */

/* Known elements of n's results from known operands: Dims, Iota, Cast, Add, Sub, Mul, IDiv, IMod, Min, Max, Neg, Eq, Lt, Le, And,
 * Or, Not, Where, Concat, Gather, Slice, Reshape, Expand, Transpose of integer or bool tensors with at most MaxKnown elements, and
 * of floating scalars that hold integers; also Div without a rest, Ceil and Floor of Div.  Called by set_type(). */
enum { MaxKnown = 64 };
void infer_known(Module *, Node *);
bool has_known_rule(Op);
int scatter_depth(const Node *); /* scatter_nd: how many axes of x an index addresses, which the ranks say */
/* The type that a and b broadcast to, with the dtype of a; DimChecks where that depends on symbols.  Nodes broadcast by constants
 * alone: an extent that is 1 for some sizes only has to be expanded first. */
bool broadcast_types(Module *, const Type *a, const Type *b, Type *out, Site);
bool dim_is_unit(const Dim *); /* 0, or 1 for some sizes only */
bool dim_may_broadcast(const Module *, const Dim *d, const Dim *to); /* only the run decides whether d is `to`, or 1 */
const Dim *dim_differs(Module *, const Dim *a, const Dim *b); /* 1 if they do, else 0 */
/* inside.c: NULL where it is proved that base + sum of index * stride, for all indices below the n extents (at most MaxViewAxes), is
 * one of numel elements; else a dim that must be 0 for that. */
enum { MaxViewAxes = 16 };
const Dim *view_excess(Module *, const Dim *numel, const Dim *base, int n, const Dim *const *extents, const Dim *const *strides);

/* ---- text: print.c, parse.c, verify.c ------------------------------------------------------------------------------ */

void print_module(FILE *, Module *); /* the tensor IR, or the loop IR once lowered */
void print_main(FILE *, Module *); /* its function alone: tensor IR without constants */
char *module_text(Module *); /* what it prints; to be freed */
/* As print_module; constants that are only in memory and larger than 4096 bytes go to `path`.data, if there are any. */
void write_module(const char *path, Module *);
/* Errors: fatal_at with line and column.  text is NUL-terminated; path for messages and relative file references. */
Module *parse_module(const char *path, const char *text);
/* Checks every rule of ir.md; returns NULL or a message that names node and rule. */
const char *verify_module(Module *);
void print_ops(FILE *); /* dcc --list-ops */
/* dot.c, explorer.c: pictures of the tensor IR, which stays beneath loop IR as it was lowered. */
void print_dot(FILE *, Module *);
/* For Model Explorer, two graphs: as it was imported, which explorer_graph() gives (to be freed), and as it is now. */
char *explorer_graph(Module *);
void print_explorer(FILE *, Module *, const char *imported);
/* What it shows upon them: a number for each of these ONNX nodes. */
void print_node_data(FILE *, Arena *, const char *what, int n, const char *const *nodes, const double *values);

/* ---- eval.c: the oracle -------------------------------------------------------------------------------------------- */

typedef struct Tensor {
	DType dtype;
	int rank;
	int64_t dims[MaxRank];
	void *data; /* malloc'ed by the evaluator, freed by free_tensor */
} Tensor;

Scalar reduce_identity(Op, DType); /* what reduce_max, reduce_min and sums give of no elements */
void free_tensor(Tensor *);
int64_t tensor_numel(const Tensor *);
int64_t tensor_int(const Tensor *, int64_t i); /* element i, of no floating type */
int64_t tensor_scaled(const Tensor *, int64_t i, int64_t times); /* floor(element i * times), saturated to +-DimMax; NaN is the least */
/* Runs the function on inputs (one per parameter); fills outputs[nyield].  sym_values are bound from the input dims.
 * Data errors (a bad index, dims that disagree) are returned as a message, NULL otherwise.  Plain loops; sums in double. */
const char *eval_module(Module *, const Tensor *inputs, Tensor *outputs);
/* As above; after every node of the top level, visit(ctx, value, tensor) may look at its results. */
const char *eval_visit(Module *, const Tensor *inputs, Tensor *outputs, void (*visit)(void *, Value *, const Tensor *), void *ctx);
/* The value of a constant expression (is_const); deterministic, no symbols. */
const char *eval_const(Module *, Value *, Tensor *out);
/* The same for a pass that decides by it and can do without: it leaves what eval_const may take as it is, and may take less itself. */
const char *look_at_const(Module *, Value *, Tensor *out);
/* How the evaluator and the interpreter of loop IR run `custom`: fills the data of out[nout], whose dtypes and dims are set.
 * Returns NULL, or what went wrong (in the arena).  NULL: nobody can. */
extern const char *(*eval_custom)(Arena *, const char *symbol, const char *node, int nin, const Tensor *in, int nout, Tensor *out);
/* Binds symbols from input dims, checks constants and DimChecks; sym_values[nsym]. */
const char *bind_syms(Module *, const Tensor *inputs, int64_t *sym_values);

/* ---- bind.c --------------------------------------------------------------------------------------------------------- */

typedef struct DimSource { /* coef * the extent of an input's axis, or (data) its element number `axis` */
	int input, axis;
	int64_t coef;
	bool data;
	const Dim *times; /* the input is floating: the element times this, rounded down; else NULL */
} DimSource;

typedef struct SymBinding { /* sym = (sum of from - rest) / divisor, rounded down */
	const Sym *sym;
	int n;
	const DimSource *from;
	const Dim *rest, *divisor; /* over symbols of earlier rows; the divisor is positive */
} SymBinding;

/* How the dims of the inputs give the symbols.  They need not agree with it: that is checked afterwards. */
typedef struct SymPlan {
	int n;
	SymBinding *rows;
	const Sym *undecided; /* a symbol that is used and that no input gives, or NULL */
} SymPlan;
SymPlan plan_symbols(Module *);

/* ---- table.c, path.c, arena.c: util --------------------------------------------------------------------------------- */

uint64_t hash_bytes(const void *, size_t, uint64_t seed); /* the same in every process: for what is written to files */
/* Another in every process, so that no file can hold keys that collide: for tables. */
uint64_t table_hash(const void *, size_t, uint64_t seed);
uint64_t table_join(uint64_t hash, uint64_t word); /* quicker: for numbers that are hashes or small */
/* A hash table of pointers by table_hash; nothing is removed, and nobody walks it, so no order leaks out.  Zeroed: empty. */
typedef struct TableSlot {
	uint64_t hash;
	void *item; /* NULL: free */
} TableSlot;
typedef struct Table {
	TableSlot *slots;
	uint64_t count, cap; /* cap: a power of two */
} Table;
void *table_find(const Table *, uint64_t hash, bool (*same)(const void *item, const void *key), const void *key);
void table_add(Arena *, Table *, uint64_t hash, void *item); /* the item must be absent */
const char *base_name(const char *path); /* what stands behind the last slash */
bool ends_with(const char *text, const char *end);
/* Reads or maps a whole regular file; size limit; NUL follows the bytes.  NULL: message in errno. */
const void *map_file(Arena *, const char *path, size_t *bytes);
bool arena_maps(const Arena *, const char *path); /* is this one of its mapped files */
const char *mapped_file_at(const void *); /* of any arena; NULL: there is none.  May be called by a signal handler */
const char *arena_mapped(const Arena *, int i); /* its mapped files, each path once; NULL: no more */

#endif
