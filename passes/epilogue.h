/* epilogue.h - what a kernel computes on its sums before they are stored: a linear's, a convolution's by groups. */
#ifndef DCC_EPILOGUE_H
#define DCC_EPILOGUE_H

#include "lower.h"

enum { MaxEpilogue = 47, MaxOperands = 16 /* the product's own included */ };

/* The columns of the product may be read as equal parts (gates), which lie side by side in a unit of panels: the result has the
 * columns of one part, and what is computed on whole rows before that is computed for each part.  Without parts there is one. */
typedef struct Epilogue {
	Lower *l;
	Node *root, *first; /* first node behind the root, or NULL */
	Value *result, *home;
	Value *added; /* to each row before that; NULL: nothing */
	LBuf *made; /* where its only result goes, which has no home (feed.h) or is stored packed (packed.c); NULL: to where they live */
	int parts;
	Access out; /* the results' common strides; the buffers: */
	int nresult;
	Value *results[MaxResults];
	LBuf *stores[MaxResults];
	Access leaf[MaxOperands];
	Value *leaf_values[MaxOperands];
	bool leaf_of_part[MaxOperands]; /* or of whole rows */
	int nleaf;
	Access bias; /* what is added */
} Epilogue;

typedef struct ByPart {
	LExpr *e[MaxParts]; /* of a part: the same each */
} ByPart;

void open_epilogue(Epilogue *, Kernel *); /* of which l, root, first, result, home and added are set */
/* Where a row of the result lies in each leaf. */
void leaf_rows(const Epilogue *, Kernel *, LExpr *row, LExpr **rows);
/* One vector of 16 columns of one row: `sums` are the products of each part, `col` the first column of the result, which goes to `to` of
 * its buffer. */
void emit_columns(Epilogue *, Kernel *, ByPart sums, LExpr *const *rows, LExpr *to, LExpr *col, LExpr *mask);

#endif
