/* feed.h - schedules inside the kernel of their result's only reader, which asks for rows when it needs them.
 *
 *   group_conv -> linear: a tile of the linear's rows is computed where it would be packed
 *   linear -> group_conv: the lines of the image that windows reach lie in a ring of as many; each is computed once a worker
 *   linear -> linear: many rows go through both by blocks
 *
 * So what they make stays in the second cache.  An image's lines go through the ring in order, as the reader's rows do.
 *
 * Few rows go through two linears one after the other, as if they shared nothing: which it is depends on rows and workers, and is known when
 * the program runs.  So both are steps of it, and those of the first come where the second is lowered. */
#ifndef DCC_FEED_H
#define DCC_FEED_H

#include "lower.h"

enum { LeastBlockRows = 160 /* that go through two linears by blocks */ };

bool choose_feeds(Module *); /* where it pays: sets the attribute `feeds` of roots */
bool can_feed(Node *group_or_node); /* does its attribute ask for that, and is it possible */
bool is_depthwise(const Node *group_conv);
int64_t ring_lines(const Node *conv); /* 0: not known, or too many */
const Dim *ring_size(Module *, const Node *conv); /* elements */
bool can_chain(Node *group_or_node); /* the same of two linears, if it is no second one itself */
Node *chained(const Value *); /* while lowering: the linear that is lowered with its reader; NULL: what computes it is none */
Node *feeder(const Value *); /* while lowering: the group or node that its reader's kernel contains; NULL: it has a place */

/* A worker's scratch, shared out. */
typedef struct Scratch {
	LBuf *buf;
	LExpr *begin;
	const Dim *used;
} Scratch;
Scratch open_scratch(Kernel *);
LExpr *take_scratch(Kernel *, Scratch *, const Dim *f32_elements);
void close_scratch(Kernel *, const Scratch *);

/* What is inside of a kernel; a result without a home goes to `made`. */
typedef struct TileLinear TileLinear;
typedef struct GroupConv GroupConv;
typedef struct Feed { /* a root and what surrounds it */
	Node *root, *epilogue;
	Value *result, *home;
	LBuf *made;
} Feed;
Feed feed_of(Node *group_or_node, LBuf *made);
/* Are many rows packed tile by tile, by the kernel that multiplies?  repack: not as sizes say. */
bool is_made_by_tiles(const Node *linear, bool packed_elsewhere, bool repack);
/* Or before, by another kernel, so that all tiles meet one panel after the other?  Of the linear that is lowered now. */
bool is_made_by_panels(Lower *, Node *linear);
/* line: how many rows are asked for at once; NULL: whatever suits it. */
TileLinear *open_tile_linear(Kernel *, const Feed *, const Dim *line, Scratch *);
/* The line that begins with row row0, which is one of x's, of which row 0 would lie at `base` of the result's buffer. */
void make_linear_line(TileLinear *, LExpr *row0, LExpr *base);
/* A step that takes blocks of rows through both by the second one's schedule, for where they are many, and a jump over the steps of each; NULL: there
 * is none, since they never are, or what blocks need does not hold. */
LStmt *lower_row_blocks(Lower *, Node *first, Node *second);
GroupConv *open_fed_conv(Kernel *, const Feed *, Scratch *);
bool has_ring(const GroupConv *); /* its rows go in order */
void make_conv_tile(GroupConv *, LExpr *from, LExpr *to, LExpr *at); /* rows from .. to as one packed tile, at `at` of `made` */

#endif
