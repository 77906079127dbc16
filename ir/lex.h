/* lex.h - internal to ir/: the tokens of the text form, shared by parse*.c and loop_parse*.c, and what both printers
 * share.
 *
 * Every error is a fatal_at with file, line and column.  Nothing here allocates more than a constant times the text.
 */
#ifndef DCC_LEX_H
#define DCC_LEX_H

#include "loop.h"

/* ---- maps ------------------------------------------------------------------------------------------------------- */

/* A hash table from strings or from addresses; only looked up, never walked, so that no order depends on it. */
typedef struct Map {
	Arena *arena;
	struct MapSlot *slots;
	int n, cap;
} Map;

/* Where the value of a key is kept; NULL: not there. */
void **find_name(const Map *, const char *name);
void **find_ptr(const Map *, const void *p);
void add_name(Map *, const char *name, void *value); /* name is not copied */
void add_ptr(Map *, const void *p, void *value);

/* ---- tokens ----------------------------------------------------------------------------------------------------- */

typedef enum TokKind { TokEnd, TokIdent, TokInt, TokFloat, TokString, TokPunct } TokKind;

typedef struct Tok {
	TokKind kind;
	const char *start;
	size_t len; /* bytes of the text */
	int line, col;
	uint64_t number; /* Int */
	const char *string; /* String: decoded */
} Tok;

struct Lexer {
	Module *m;
	const char *path;
	const char *at; /* behind tok */
	const char *line_start;
	int line;
	Tok tok; /* the current token */
	Map values; /* by print_ref's text: names of the tensor part */
	struct Scoped **scope; /* values in order of their definition */
	int nscope, capscope;
	int steps; /* operators left for the dim being parsed */
};

/* Recursion of the parsers: nested parentheses, blocks, groups. */
enum { MaxNest = 200, MaxBlocks = 64, MaxDimOps = 8192 };

void start_lexer(Lexer *, Module *, const char *path,
                 const char *text); /* arena of the module; reads the first token */
void next_tok(Lexer *);
Loc here(const Lexer *);
_Noreturn void fail_tok(Lexer *, const char *expected); /* "expected X, got Y" at the current token */
bool is_tok(const Lexer *, const char *text); /* a word or punctuation */
bool accept_tok(Lexer *, const char *text);
void expect_tok(Lexer *, const char *text);
const char *take_ident(Lexer *, const char *what);
const char *take_string(Lexer *, const char *what);
const char *take_name(Lexer *, const char *what); /* an identifier or a string */
int64_t take_int(Lexer *, const char *what, int64_t lo, int64_t hi); /* with its sign */
/* Of a floating type: decimal, inf, nan, or its bits as 0x...; of others an integer in range. */
Scalar take_scalar(Lexer *, DType, const char *what);
DType take_dtype(Lexer *);
const Loc *take_loc(Lexer *, Loc at); /* `loc ...` if it is there; `at` says where in the text */
Value *take_value(Lexer *); /* %x or @c that is visible here */
Value *find_value(Lexer *, bool *hidden); /* as take_value: any value of the module, inside of groups too */

/* ---- what the printers share ------------------------------------------------------------------------------------ */

void print_quoted(FILE *, const char *);
void print_name(FILE *, const char *); /* as an identifier if it is one */
void print_scalar(FILE *, Scalar); /* as take_scalar reads it */
void print_loc(FILE *, const Loc *); /* with a blank before it; nothing if it names no node */
void print_ref(FILE *, const Value *); /* after number_values */
void number_values(Module *);
void print_attr(FILE *, Module *, const Attr *); /* name=value */
void print_attr_value(FILE *, Module *, const Attr *);
void print_list(FILE *, const Const *); /* its elements */

/* ---- expressions of the loop IR as text (loop_print.c) ---------------------------------------------------------- */

/* Operators between their operands, loosest first; all associate to the left. */
extern const struct Infix {
	const char *text;
	int level;
	LOp ints, floats; /* LConst: none */
} infixes[];
enum { NInfix = 14, TopLevel = 1 };

/* ---- types of the loop IR (loop_type.c) ------------------------------------------------------------------------- */

static inline bool is_float(LType t)
{
	return is_among(t.elem, TypesFlt);
}
char *ltype_text(Arena *, LType); /* "f32<16>" */
LType lop_type(const LExpr *); /* from the arguments, unless it is given */
/* What is wrong with the type of `what`, with an access to memory, with one node and its arguments; NULL: nothing. */
const char *expect_ltype(Arena *, const char *what, const LExpr *, LType want);
const char *place_error(Arena *, int lanes, const LExpr *idx, const LExpr *stride, const LExpr *mask);
const char *lexpr_error(Arena *, const LExpr *);
char *lstmt_text(Arena *, const LStmt *); /* its first line (loop_print.c) */

#endif
