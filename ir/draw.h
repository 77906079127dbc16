/* draw.h - what pictures of the tensor IR share (dot.c, explorer.c).
 *
 * Groups have no node of their own: their results come from the nodes inside that they yield.  if and loop have one: what
 * their bodies yield goes into it, their results come out of it.  Constants have none, they are told where they are used.
 */
#ifndef DCC_DRAW_H
#define DCC_DRAW_H

#include "lex.h"

typedef struct Operand {
	const char *role; /* its name in ops.def; then, else and yield of a body */
	const Value *value; /* the one that is drawn; NULL: an optional one that is absent */
	bool yielded; /* by a body */
} Operand;

/* One line of text at a time, out of the functions that print to a file. */
typedef struct Line {
	FILE *f;
	char *text;
	size_t size;
} Line;

Line *new_line(void);
FILE *begin_line(Line *); /* to print it to */
const char *line_text(Line *); /* until the next one begins */
void free_line(Line *);

const Value *drawn_value(const Value *); /* what gives it in a picture */
bool drawn_operand(const Node *, int i, Operand *); /* number i; false: there are no more */
const Value *first_value(const Node *loop, int i); /* of carried value number i, likewise */
void print_operator(FILE *, const Loc *); /* of ONNX, with its opset */
void print_brief(FILE *, Module *, const Const *); /* its name, and its elements or its type */

#endif
