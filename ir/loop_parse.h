/* loop_parse.h - what the parser of loop IR is made of: loop_parse.c, loop_parse_expr.c, loop_parse_stmt.c.  Errors as in lex.h. */
#ifndef DCC_LOOP_PARSE_H
#define DCC_LOOP_PARSE_H

#include "lex.h"

typedef struct Thing { /* what a name stands for */
	LVar *var;
	LBuf *buf;
	LTile *tile;
	bool hidden; /* its block has ended */
} Thing;

typedef struct LoopParser {
	Lexer *lx;
	Arena *arena;
	LModule *lm;
	Map names; /* of the current function */
	Map funcs;
	Thing **scope;
	int nscope, capscope;
} LoopParser;

typedef struct Ex {
	LExpr *e;
	int height;
} Ex;

/* ---- loop_parse_expr.c -------------------------------------------------------------------------------------------- */

void define_thing(LoopParser *, const Loc *, const char *name, Thing);
void close_scope(LoopParser *, int first); /* names from number `first` of the scope on are hidden from here on */
const char *take_local(LoopParser *); /* % and a name */
const Thing *take_thing(LoopParser *); /* %x that is visible here */
LBuf *take_buf(LoopParser *);
LExpr *raw_expr(LoopParser *, LOp); /* nothing else is set */
LExpr *index_const(LoopParser *, int64_t);
LType parse_ltype(LoopParser *);
/* Expressions whose operators bind at least as tightly as `level` (TopLevel: any); depth: of parentheses and brackets around. */
Ex parse_expr(LoopParser *, int level, int depth);
Ex parse_infix(LoopParser *, Ex left, int level, int depth); /* one whose first operand has been read */
Ex parse_thing(LoopParser *, const Loc *, const Thing *, int depth); /* one that begins with a name, which has been read */
Ex parse_load_end(LoopParser *, const Loc *, LBuf *, Ex idx, int depth); /* the load whose index has been read */
LExpr *parse_index(LoopParser *); /* an i64 */
/* Behind an index: `+: 16 stride s mask m ]`.  Returns the lanes; raises *height to that of what it reads. */
int parse_place_end(LoopParser *, LExpr **stride, LExpr **mask, int depth, int *height);

/* ---- loop_parse_stmt.c -------------------------------------------------------------------------------------------- */

LStmt *append_stmt(LoopParser *, LBlock *, LStmtKind); /* a new one, to be read */
void parse_braces(LoopParser *, LBlock *, int depth); /* a block in braces, and its scope; depth: of blocks around */
LVar *new_var(LoopParser *, const char *name, LType);
void parse_lcheck(LoopParser *, LStmt *); /* what follows `check` */

#endif
