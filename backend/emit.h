/* emit.h - LLVM modules being built: what value.c and emit.c (code), model.c (descriptor) and generate.c share. */
#ifndef DCC_EMIT_H
#define DCC_EMIT_H

#include <llvm-c/Core.h>
#include <llvm-c/DebugInfo.h>

#include "backend.h"
#include "elf.h"

typedef struct Emit {
	LModule *lm;
	Module *m;
	const EmitOptions *opt;

	/* the current module: one per target, one for all else; or one that holds everything */
	bool single;
	LLVMContextRef cx;
	LLVMModuleRef mod;
	LLVMBuilderRef b;
	LLVMBuilderRef allocas; /* of the current function's entry block */
	LLVMTypeRef i1, i8, i32, i64, ptr, void_type;
	LLVMValueRef zeros; /* 8 zero bytes: what masked-off lanes read */

	/* the current function */
	const Target *target; /* NULL: runs on any x86-64 */
	LLVMValueRef divide; /* of the target: i64 by i64, rounded down, 0 by 0; NULL outside of kernels and steps */
	const LFunc *fn;
	LLVMValueRef f, worker, workers, status;
	LLVMValueRef spill; /* 8 bytes that masked-off lanes write; NULL until needed */
	LLVMBasicBlockRef body;
	LLVMValueRef inputs, outputs; /* dcc_tensor arrays, where indim and outdim look */
	LLVMValueRef error; /* check() only: its dcc_error */
	LLVMValueRef frame; /* programs only */
	LLVMValueRef syms; /* symbols are read there where they are needed */
	int nstep; /* steps of the longest program */
	int work; /* statements emitted in this function: unrolling must end */
	LFunc *sources[8]; /* the programs, per opt->target */
	struct Rows *rows[8]; /* their steps */
	LLVMValueRef programs[8], nexts[8];
	LLVMValueRef formulas[2]; /* what computes them, as integers and as doubles; NULL until needed */
	LLVMValueRef report; /* dcc_report */
	/* debug.c; NULL without -g */
	LLVMDIBuilderRef debug;
	LLVMMetadataRef file, scope; /* of the code being emitted */
} Emit;

/* value.c */
void begin_emit(Emit *); /* types and globals, once cx and mod are set */
LLVMValueRef emit_expr(Emit *, const LExpr *);
void emit_store(Emit *, const LStmt *);
LLVMValueRef new_divide(Emit *);
LLVMValueRef emit_address(Emit *, const LBuf *, LLVMValueRef idx);
LLVMValueRef emit_pick(Emit *, bool max, DType, LLVMValueRef a, LLVMValueRef b); /* a < b ? a : b, a > b ? a : b */
LLVMValueRef tile_cell(Emit *, const LTile *, const LExpr *i, const LExpr *j);
LLVMValueRef call_intrinsic(Emit *, const char *name, int ntype, LLVMTypeRef *, int narg, LLVMValueRef *args);
LLVMTypeRef elem_type(Emit *, DType, bool memory); /* in registers a Bool is one bit, in memory a byte; floats of less than 32 bits are integers */
LLVMTypeRef with_lanes(LLVMTypeRef elem, int lanes);
LLVMTypeRef value_type(Emit *, LType);
LLVMValueRef const_i64_of(Emit *, int64_t);
LLVMValueRef const_i32_of(Emit *, int);
bool is_llvm_int(LLVMValueRef, int64_t *value); /* an integer constant */
int64_t need_const(Emit *, const LExpr *, const char *what); /* bug() if it is not */
LLVMValueRef load_field(Emit *, LLVMValueRef base, uint64_t offset, LLVMTypeRef); /* offset in bytes */
void store_field(Emit *, LLVMValueRef base, uint64_t offset, LLVMValueRef);
void bind_var(LVar *, LLVMValueRef);
void bind_syms_from(Emit *, LLVMValueRef syms); /* the module's symbols as an array in memory: read where they are needed */
LLVMBasicBlockRef new_label(Emit *, const char *name);
void place_label(Emit *, LLVMBasicBlockRef); /* code goes there from now on */
const char *function_name(const Emit *); /* for messages */
LLVMValueRef buffer_address(Emit *, const LBuf *);

/* convert.c */
LLVMValueRef emit_convert(Emit *, LLVMValueRef, LType from, LType to);
LLVMValueRef emit_bitcast(Emit *, LLVMValueRef, LType to);

/* emit.c */
void emit_target(Emit *, int target); /* kernels and steps */
void emit_programs(Emit *); /* what runs the steps, for every target */
/* LLVM takes more than linear time for a function: long ones are emitted in pieces of this size. */
enum { PieceSize = 256 }; /* statements, symbols, dims */
LLVMValueRef begin_function(Emit *, const char *name, LLVMTypeRef ret, int nparam, const LLVMTypeRef *, bool exported);
void end_function(Emit *, LLVMValueRef result); /* NULL: void */
void add_flag(Emit *, LLVMValueRef f, LLVMAttributeIndex at, const char *name); /* an attribute without a value, or of value 0 */
void share_function(Emit *, LLVMValueRef); /* with other modules of the object; outside of it nobody sees its name */
void emit_block(Emit *, const LBlock *);
void emit_stmts(Emit *, const LStmt *from, const LStmt *to);
LLVMValueRef emit_string(Emit *, const char *); /* NULL gives a null pointer */

/* program.c */
void emit_steps(Emit *, int target); /* shared */
void emit_program(Emit *, int target);
LLVMValueRef program_buffer(Emit *, const char *name); /* its address, read from the frame */

/* formula.c: formulas over symbols and lets, as rows of a table. */
typedef struct Formulas Formulas;
typedef struct FormulaCode {
	int at, n; /* its rows */
	int numbers; /* where those that it reads begin */
} FormulaCode;
typedef struct FormulaTable { /* in the object */
	LLVMValueRef rows, numbers; /* rows: NULL: there are none */
	FormulaCode lets;
	int places, first; /* that a code takes at most; that of its first result */
} FormulaTable;
typedef struct FormulaPlaces { /* on the stack: 1, lets, results, and what they are made of */
	const FormulaTable *table;
	bool real; /* doubles */
	LLVMValueRef at, syms, cells;
} FormulaPlaces;
Formulas *new_formulas(Emit *, Arena *);
int add_formula_number(Formulas *, int64_t); /* to the table of numbers: where it stands */
int want_formulas(Formulas *, int n, const LExpr *const *); /* n > 0 of them: the code's number for formula_code() */
/* Once all are wanted.  The program's lets, in their order. */
void make_formulas(Formulas *, int nlet, const LExpr *const *lets);
FormulaCode formula_code(const Formulas *, int wanted);
FormulaTable emit_formula_table(Emit *, const Formulas *, const char *name);
void need_formulas(Emit *, bool real); /* before a function that calls the next ones */
FormulaPlaces open_formulas(Emit *, const FormulaTable *, bool real, LLVMValueRef syms, LLVMValueRef cells);
/* real: whether a value leaves the range of an i64. */
LLVMValueRef call_formulas(Emit *, const FormulaPlaces *, LLVMValueRef rows, LLVMValueRef n, LLVMValueRef numbers);
LLVMValueRef call_formula_code(Emit *, const FormulaPlaces *, const FormulaCode *);
LLVMValueRef formula_place(Emit *, const FormulaPlaces *, int i); /* address of result i */

/* debug.c: all of these do nothing without -g */
void begin_debug(Emit *);
void end_debug(Emit *);
void debug_function(Emit *, int line, const char *name, LLVMValueRef); /* code from now on belongs to it */
void debug_step(Emit *, const LStmt *, LLVMValueRef); /* the same, named after the step's node */
void no_debug(Emit *); /* code from now on belongs to no line */
void debug_line(Emit *, const LStmt *); /* code from now on belongs to the statement */

/* generate.c */
typedef enum TextKind { TextAssembly, TextLlvm } TextKind;
/* The object without its weights, in the arena of the module. */
uint8_t *generate_object(LModule *, const EmitOptions *, uint64_t weights_hash, size_t *size);
void *generate_text(LModule *, const EmitOptions *, TextKind, uint64_t weights_hash, size_t *size);

/* parts.c */
void make_hidden(LLVMValueRef); /* for all modules of the object */

/* join.c: relocatable objects of LLVM to one, in the arena.  What one defines and another names becomes local. */
typedef struct Bytes {
	const void *p;
	size_t size;
} Bytes;
uint8_t *join_objects(Arena *, int n, const Bytes *, size_t *size);

/* object.c */
uint64_t hash_layout(LModule *);

/* model.c: descriptor and exported functions.  Names of the globals that object.c looks for in the object. */
void emit_model(Emit *, uint64_t weights_hash);
LLVMValueRef global_const(Emit *, const char *name, LLVMValueRef init, LLVMLinkage); /* aligned to 8 bytes */
LLVMValueRef table_of_bytes(Emit *, const char *name, const void *, size_t); /* the same */
enum { WeightsPlaceholder = 64 }; /* bytes */

#endif
