/* loop.h - the loop IR: programs and kernels over strided buffers, between schedules (passes/lower_*.c) and the emitter.
 *
 * A kernel is a small function over buffers and index scalars; a program reads dims, checks them, places buffers and calls
 * kernels.  Vectors have 16 lanes whatever the target (LLVM splits them for AVX2), so a reduction has one order everywhere.
 * Every kernel has three implicit parameters: worker number, number of workers (read only by `parallel for`), and the status
 * cell that `fail` writes.
 *
 * Scalar and index arithmetic is written as trees; values used more than once are bound by `let`.
 */
#ifndef DCC_LOOP_H
#define DCC_LOOP_H

#include "ir.h"

enum { Lanes = 16, MaxStatus = 4 };

/* Are lanes so many elements apart, as a constant, loaded as vectors side by side and shuffled? */
static inline bool loads_by_shuffles(int64_t apart)
{
	return apart >= -1 && apart <= 4 && apart;
}

typedef struct LType {
	DType elem;
	int lanes; /* 1 or 16 */
} LType;

typedef enum LOp {
#define LOP(name, text, nargs, args, result) L##name,
#include "loop_ops.def"
#undef LOP
	NLOps
} LOp;

/* Those that ask for a dim or an element of an input or output, which two constants name. */
static inline bool asks_port(LOp op)
{
	return op == LInDim || op == LOutDim || op == LInData || op == LInScaled;
}

typedef enum LResult { ResultSame, ResultMask, ResultGiven, ResultScalar, ResultWide, ResultArg1 } LResult;

typedef struct LOpInfo {
	const char *text;
	int nargs;
	int args; /* Types... of the arguments; TypesNone: not built by lop() */
	LResult result;
} LOpInfo;
extern const LOpInfo lops[NLOps];

/* Of 16 lanes alone. */
static inline bool takes_wide(LOp op)
{
	return lops[op].result == ResultScalar || lops[op].result == ResultWide;
}

bool loop_takes(LOp, DType); /* as an argument of lop() beyond the mask of a select */
static const LType IndexType = {I64, 1}, BoolType = {Bool, 1}, MaskType = {Bool, Lanes};
bool same_ltype(LType, LType);
/* The value of an operation on integers or bools, before it is wrapped to their type; false: not known. */
bool fold_ints(LOp, DType, int64_t x, int64_t y, int64_t *r);

typedef struct LVar { /* a scalar or vector: let, loop variable, index parameter, symbol of a program */
	const char *name;
	LType type;
	int number; /* scratch */
	void *scratch;
} LVar;

typedef struct LBuf { /* a buffer: kernel parameter, local, or a program's in0.. out0.. ws weights */
	const char *name;
	DType elem; /* U8 for ws and weights, whose slices are cast by calls */
	int64_t count; /* local: elements; 0 otherwise */
	bool written; /* a parameter that the kernel stores to */
	int number;
	void *scratch;
} LBuf;

typedef struct LTile { /* registers: rows x cols vectors, addressed by constants once loops are unrolled */
	const char *name;
	LType type;
	int rows, cols;
	int number;
	void *scratch;
} LTile;

typedef struct LExpr LExpr;
struct LExpr {
	LOp op;
	LType type;
	LExpr *a[3];
	Scalar value; /* Const */
	LVar *var;
	LBuf *buf; /* Load */
	LExpr *stride, *mask; /* Load: NULL: 1, all lanes.  With one lane both are NULL. */
	LTile *tile;
};

typedef enum LStmtKind {
	SLet, /* var = e */
	SFor, /* var in e .. hi step `step`: body */
	SIf, /* e (one-lane Bool): body else other */
	SStore, /* buf[idx] = e; optional stride, mask */
	SLocal, /* buf: uninitialised, lives until the end of the block */
	STile, /* tile: uninitialised registers, lives until the end of the block */
	SSetTile, /* tile[idx, hi] = e */
	SCall, /* callee(args) */
	SPrefetch, /* buf[idx], read, into all levels */
	/* Kernel only: worker 0 calls the C function `text` (dcc_custom_op of runtime/dcc.h) with args as tensors, of which the last nresult
	 * are written.  Another value than 0 is recorded as by fail, with message `code`. */
	SExtern,
	SFail, /* kernel only: if no failure is recorded, record message number `code` and the value e; goes on */
	SCheck, /* program only: unless e, return error `code` with text (args: up to three scalars for its {}) */
	/* Program only: body; all workers meet at its end.  e, idx: its FLOP and bytes over the symbols, NULL: not known; locs: the
	 * ONNX nodes that it computes. */
	SStep,
	/* Program only, at its top: the workers go on with the step number `code` if e, which reads symbols and nothing else. */
	SJump,
} LStmtKind;

typedef enum LForKind { ForSerial, ForUnroll, ForParallel } LForKind;

typedef struct LArg { /* of a call: a slice of a buffer, or a scalar */
	LBuf *buf; /* NULL: scalar e */
	DType elem; /* what the callee sees */
	LExpr *offset; /* of a slice: in elements of `elem` (kernels: buf->elem == elem) */
	LExpr *len; /* elements that the callee may touch; for the interpreter and readers; NULL: to the end */
	LExpr *e;
	int rank; /* SExtern: of the tensor, which begins at `offset` */
	LExpr **dims;
} LArg;

typedef struct LStmt LStmt;
typedef struct LBlock {
	LStmt *first, *last;
	struct LBlock *up; /* scratch of the builder: the enclosing block */
} LBlock;

struct LStmt {
	LStmtKind kind;
	LForKind loop;
	LVar *var;
	LBuf *buf;
	LTile *tile;
	LExpr *e, *idx, *hi, *step, *stride, *mask;
	struct LFunc *callee;
	int narg, nresult;
	LArg *args;
	int code, status; /* status: of a fail, a dcc_status, or 0: an index */
	const char *text;
	LBlock body, other;
	int nloc;
	const Loc *const *locs;
	int line; /* in the listing: number_lines() */
	LStmt *next;
};

typedef struct LFunc {
	const char *name; /* unique; kernels of one target end in ".avx2" ... */
	bool program;
	const char *target; /* NULL: every target (emitted once for each) */
	const Loc *loc; /* ONNX node that it came from, or NULL */
	bool leaf_noinline; /* called from hot loops: keep as a function of its own */
	int nparam, capparam; /* in order; buffer or scalar */
	LArg *params; /* .buf or .e (an LVar expression) */
	LBlock body;
	int line; /* in the listing: number_lines() */
	int number;
	void *scratch;
} LFunc;

/* A program's parameters are: in0.. (inputs), out0.. (outputs), ws, weights; and one scalar per symbol of the module, by
 * its name, and the scalar "threads".  Symbols that the data gives (sym_cell) are i64 at the begin of ws, 8 bytes each: a step or jump
 * reads them before it calls what writes them. */
typedef struct LModule {
	Module *m;
	int nfunc, capfunc;
	LFunc **funcs; /* callees before callers */
	Table names, texts; /* of the kernels: find_kernel's and finish_kernel's */
	Table dims; /* ldim's */
	int nprog, capprog;
	LFunc **programs; /* one per target, named main.TARGET */
	/* Shared by all targets, over the symbols' variables: */
	int nsym;
	LVar **syms; /* per module symbol, then "threads" */
	LExpr **bind; /* nsym - 1: value of each symbol from indim(); NULL: unused symbol, taken as its lower bound */
	LBlock checks; /* of SCheck, after binding */
	int nout;
	LExpr **outdims; /* per output MaxRank expressions (NULL beyond its rank) */
	LExpr *workspace; /* bytes */
	int nmessage, capmessage;
	const char **messages; /* texts of SFail, each may hold one {} for the value */
	/* weights section: value `weights[i]` of the module's constant expressions lies at weight_off[i] (64-byte aligned) */
	int nweight, capweight;
	Value **weights;
	Table weight_numbers; /* of slots.c */
	int64_t *weight_off;
	int capweight_off, nweight_off;
	int64_t weight_bytes;
	int64_t code_bytes; /* of the object that was made last; 0: none yet */
	struct Map *code; /* bytes of its kernels, as numbers, by the names that emit.h's kernel_name() gives; NULL: none yet */
} LModule;

/* ---- building: loop.c, loop_expr.c, loop_stmt.c ---------------------------------------------------------------------- */

typedef struct LB { /* a builder: where statements go */
	Module *m;
	Arena *arena; /* the kernel's own: most kernels turn out to be there already */
	LModule *lm;
	LFunc *fn;
	LBlock *at;
	int nname; /* for fresh names */
} LB;

LModule *new_lmodule(Module *);
LB builder_at(LModule *, LFunc *program, LBlock *); /* of what the module owns; program: NULL outside of one */
LB new_kernel(LModule *, const char *name, const char *target); /* not yet in funcs */
LBuf *lparam_buf(LB *, const char *name, DType, bool written);
LExpr *lparam(LB *, const char *name); /* an i64 scalar */
/* Adds the kernel; or frees it and returns the one already there with equal text (name apart). */
LFunc *finish_kernel(LB *);
LFunc *find_kernel(LModule *, const char *name); /* NULL: none */
void list_kernel(LModule *, LFunc *); /* its name must be new */

LExpr *li(LB *, int64_t); /* i64 constant */
LExpr *lconst(LB *, LType, double); /* a number of any element type, all lanes equal; integers keep its low bits */
LExpr *lscalar(LB *, int lanes, Scalar);
LExpr *lop(LB *, LOp, LExpr *a, LExpr *b, LExpr *c); /* types checked, constants folded (index arithmetic, x+0, x*1) */
LExpr *lcast(LB *, LOp, LType, LExpr *a); /* Convert, Bitcast, Splat, Iota (a NULL) */
LExpr *lelem(LB *, LTile *, LExpr *i, LExpr *j);
LExpr *lload(LB *, LBuf *, int lanes, LExpr *idx, LExpr *stride, LExpr *mask);
LExpr *llet(LB *, LExpr *); /* binds e to a fresh variable unless it is a constant or variable already */
LExpr *ldim_bound(LB *, const Dim *); /* over the dims of the inputs: each symbol is its lm->bind */
LExpr *ldim(LB *, const Dim *); /* a dim over the module's symbols, as an expression over lm->syms (programs) */
#define ladd(b, x, y) lop(b, LAdd, x, y, NULL)
#define lsub(b, x, y) lop(b, LSub, x, y, NULL)
#define lmul(b, x, y) lop(b, LMul, x, y, NULL)
#define lfma(b, x, y, z) lop(b, LFma, x, y, z)
#define lmin(b, x, y) lop(b, LMin, x, y, NULL)
#define lmax(b, x, y) lop(b, LMax, x, y, NULL)
#define llt(b, x, y) lop(b, LLt, x, y, NULL)

/* `for`: returns the loop variable; statements go inside until lend(). */
LExpr *lfor(LB *, LForKind, LExpr *lo, LExpr *hi, LExpr *step);
void lif(LB *, LExpr *cond);
void lelse(LB *);
void lend(LB *); /* closes the innermost lfor, lif, lstep */
void lstore(LB *, LBuf *, LExpr *idx, LExpr *stride, LExpr *mask, LExpr *e);
LBuf *llocal(LB *, const char *name, DType, int64_t count);
LTile *lnew_tile(LB *, const char *name, LType, int rows, int cols);
void lset_tile(LB *, LTile *, LExpr *i, LExpr *j, LExpr *e);
void lcall(LB *, LFunc *, int narg, const LArg *);
void lprefetch(LB *, LBuf *, LExpr *idx);
void lfail(LB *, int status, int message, LExpr *value); /* status: a dcc_status, or 0: an index; message: lmessage() */
void lextern(LB *, const char *symbol, int message, int nin, int nout, const LArg *tensors); /* args: arg_tensor() */
int lmessage(LModule *, const char *text); /* number of a text, shared */
const char *message_name(Module *, const char *name); /* a name as part of it: safe to show, and {} is no value */
const char *message_place(Module *, const Loc *, const char *op); /* whom it is about: "node 'x' (op)", "line 3 (op)"; op may be NULL */
void lcheck(LB *, LExpr *cond, int code, const char *text, LExpr *a, LExpr *b, LExpr *c);
void lstep(LB *);
LStmt *ljump(LB *, LExpr *cond, int step); /* before the next step; the caller may set `code` later */
void lstep_cost(LB *, LExpr *flop, LExpr *bytes, int nloc, const Loc *const *locs); /* of the open step; locs are not copied */
LArg arg_buf(LBuf *, DType, LExpr *offset, LExpr *len);
LArg arg_e(LExpr *);
LArg arg_tensor(LB *, LBuf *, LExpr *offset, int rank, LExpr *const *dims); /* dims are copied */

/* ---- loop_form.c: what is equal but for names ------------------------------------------------------------------------- */

typedef struct LForm {
	char *bytes;
	size_t size;
} LForm;
bool same_form(const LForm *, const LForm *);
LForm kernel_form(Arena *, const LFunc *); /* in the arena */

/* A step of a program with the numbers in its calls' arguments set apart, constants and formulas over symbols and lets: steps of equal
 * form compute the same of other numbers. */
typedef struct StepNumber {
	LVar *var; /* stands in the body for it */
	const LExpr *e; /* the step's own */
} StepNumber;
typedef struct StepForm {
	LForm form;
	LBlock body; /* for the emitter: slices have no lengths */
	int n, cap;
	StepNumber *numbers; /* in the order of the form */
	bool formulas; /* are any of the numbers more than constants */
	bool code; /* does the body compute with symbols or lets */
} StepForm;
bool has_formulas(const LFunc *program); /* are all its lets formulas */
/* Buffers and variables from outside of the step are known by their `number`, from 0 to below nvar, or negative. */
StepForm step_form(Arena *, const LStmt *step, int nvar, bool formulas);

/* ---- text, verification, interpretation ------------------------------------------------------------------------------ */

void print_loops(FILE *, LModule *);
void print_lfunc(FILE *, const LFunc *);
/* The listing that line information refers to: all kernels and programs. */
void number_lines(LModule *);
void print_listing(FILE *, LModule *);
const LFunc *step_kernel(const LStmt *step); /* the first that it calls; NULL: none */
bool serves(const LFunc *kernel, const char *target); /* is it part of that target's code? */
const char *emitted_name(Arena *, const LFunc *kernel, const char *target); /* of its code, behind the model's name and a dot */
typedef struct Lexer Lexer; /* parse.c's; the loop parser takes over after the module's head */
LModule *parse_loops(Module *, Lexer *);
const char *verify_loops(LModule *); /* NULL, or what is wrong and where */

/* A buffer of the interpreter: every access is checked against count. */
typedef struct LMem {
	void *data;
	DType elem;
	int64_t count;
} LMem;

/* Runs one kernel as worker tid of nt.  mems and scalars in parameter order.  Returns NULL or what went wrong (access out of
 * bounds: kernel, buffer, index).  status[0] = message + 1 and status[1] = value after a `fail`. */
const char *interp_kernel(LModule *, const LFunc *, const LMem *mems, const int64_t *scalars, int64_t tid, int64_t nt, int64_t *status);
/* Runs the program of a target on `threads` workers, one after the other within each step.  Outputs are allocated. */
const char *interp_program(LModule *, const char *target, int threads, const Tensor *inputs, Tensor *outputs);

#endif
