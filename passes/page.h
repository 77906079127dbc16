/* page.h - the writers of the report's page share this: report_page.c and page_graph.c. */
#ifndef DCC_PAGE_H
#define DCC_PAGE_H

#include "../ir/draw.h"
#include "report.h"

/* Characters of a name, of the end of one that comes when names have taken their share, of a formula; rows of two lists. */
enum { MaxName = 200, MaxLateName = 24, MaxFormula = 4000, MaxWeights = 2000, MaxFusions = 20000 };
/* Bytes that a part of the data may take; together with the lists they stay below 20 MB for 100,000 nodes. */
enum {
	NameShare = 3500000, GraphShare = 5000000, OnnxShare = 3400000, StepShare = 2500000, SlotShare = 1500000, TextShare = 1000000
};

typedef struct Strings {
	Map places; /* their numbers + 1 */
	int n, cap;
	const char **text;
	size_t bytes;
	bool cut; /* a name lost its begin */
} Strings;

typedef struct Back { /* rows: what a loop's body yields, and the carried value that it becomes */
	int from, to;
} Back;

typedef struct Page {
	FILE *f;
	const Report *r;
	Module *m;
	Line *line;
	Strings strings;
	Map ids; /* of values: + 1 of the row that gives them */
	int nrow; /* of the graph */
	int nback, capback;
	Back *back;
	long begin; /* of a part that has a share */
	bool cut; /* it was too large: some is left out */
	char *room; /* for one text, TextShare + 1 bytes */
} Page;

/* A number as the value of a Map. */
static inline void *number_as(int n)
{
	return (void *)(intptr_t)(n + 1);
}

static inline int as_number(void *const *found) /* NULL: -1 */
{
	return found ? (int)(intptr_t)*found - 1 : -1;
}

/* Of the text in "strings", cut and safe to show; different texts stay different, even if they look the same then.  NULL: -1.
 * The text must live as long as the module. */
int name_number(Page *, const char *name);
int loc_number(Page *, const Loc *); /* of the ONNX node's name */
void put_key(Page *, const char *key);
void put_number(Page *, const char *key, bool known, double v);
void next_row(Page *, int i); /* before row i of a list */
/* Is there room for more of the part that began last? */
void begin_part(Page *, const char *key);
bool has_room(Page *, long share);
void end_part(Page *, const char *key); /* the key tells whether something was left out */

/* page_graph.c */
void put_graph(Page *);
void put_onnx(Page *);
void put_operators(Page *);

/* page_files.c: what stands before and after the data. */
extern const char page_front[], page_front_end[], page_back[], page_back_end[];

#endif
