/* parse.h - what the parser of the tensor IR is made of: parse.c, parse_dim.c, parse_const.c, parse_node.c.  Errors as in lex.h. */
#ifndef DCC_PARSE_H
#define DCC_PARSE_H

#include "lex.h"

#define MaxExtent (INT64_C(1) << 47) /* elements of one tensor */
enum { MaxListItems = 4096 };

typedef struct Scoped {
	Value *value;
	bool hidden; /* defined in a group that has ended */
} Scoped;

typedef struct Result {
	Loc at;
	const char *key;
	Type type;
} Result;

typedef struct Results {
	int n, cap;
	Result *items;
} Results;

/* ---- parse.c: names of values are keys: "@w" constants, "%x" names, "#3" numbers ------------------------------- */

const char *take_ref(Lexer *);
/* The name of a value that is defined here, which must be free: `what`, for the message.  *at: where it stands. */
const char *take_new_ref(Lexer *, const char *what, Loc *at);
void check_free(Lexer *, const Loc *at, const char *key);
void define_value(Lexer *, const Loc *at, const char *key, Value *);

/* ---- parse_dim.c -------------------------------------------------------------------------------------------------- */

const Dim *parse_dim(Lexer *);
Type parse_type(Lexer *);

/* ---- parse_const.c ------------------------------------------------------------------------------------------------ */

void parse_const(Lexer *); /* what follows `const` */
uint64_t parse_hash(Lexer *); /* '#' and hexadecimal digits, which may look like a number or a word */

/* ---- parse_node.c ------------------------------------------------------------------------------------------------- */

void parse_nodes(Lexer *, Block *, int depth); /* depth: of blocks around */
void parse_check(Lexer *, Block *); /* what follows `check` */
bool at_operand(const Lexer *);

#endif
