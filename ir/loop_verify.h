/* loop_verify.h - what the verifier of loop IR is made of: loop_verify.c, loop_verify_stmt.c, loop_verify_tiles.c. */
#ifndef DCC_LOOP_VERIFY_H
#define DCC_LOOP_VERIFY_H

#include "lex.h"

#include <setjmp.h>

typedef struct FuncFacts {
	int number; /* place in funcs */
	bool parallel; /* it, or a kernel that it calls, has a parallel loop */
} FuncFacts;

typedef struct Verifier {
	Arena *arena;
	LModule *lm;
	const LFunc *fn; /* NULL: the module's parts */
	const char *part; /* of the module */
	const LStmt *stmt;
	FuncFacts *facts; /* of fn */
	Map funcs; /* FuncFacts by LFunc */
	Map scope; /* visible variables, buffers and tiles; value NULL: no longer visible */
	const void **open;
	int nopen, capopen;
	int nsyms; /* how many of lm->syms may be used */
	bool may_indim, may_outdim, in_step, in_parallel, has_tiles;
	int64_t local_bytes, work; /* work: statements and expressions of the second walk, as often as they are unrolled */
	Map folds; /* Fold by LVar: loop_verify_tiles.c */
	const char *message;
	jmp_buf leave;
} Verifier;

/* ---- loop_verify.c ------------------------------------------------------------------------------------------------ */

/* Leaves with the message, behind the names of function or part and the statement. */
_Noreturn void fail_rule(Verifier *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void fail_if(Verifier *, const char *why); /* unless it is NULL */
void open_name(Verifier *, const void *thing, const char *name); /* visible from here on */
void close_names(Verifier *, int first); /* those opened since there were `first` are visible no more */
void need_visible(Verifier *, const void *thing, const char *name);
void check_lexpr(Verifier *, const LExpr *); /* takes NULL */
void check_typed(Verifier *, const char *what, const LExpr *, LType want);
bool is_input_of_program(const LBuf *);

/* ---- loop_verify_stmt.c, loop_verify_tiles.c ---------------------------------------------------------------------- */

void check_lblock(Verifier *, const LBlock *);
void check_lcheck(Verifier *, const LStmt *);
void check_tiles(Verifier *, const LBlock *); /* the second walk */

#endif
