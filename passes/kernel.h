/* kernel.h - from fused tensor IR to loop IR: what schedules (lower_*.c) write with.
 *
 * The program is built node by node.  A schedule opens kernels, reads and writes values through kaccess() and kbuf(), which add
 * the parameters and the call's arguments by themselves, and closes them with kcall().  Symbolic dims become index parameters,
 * constant ones numbers in the text; so equal layers give equal kernels, which are compiled once.
 */
#ifndef DCC_KERNEL_H
#define DCC_KERNEL_H

#include "pass.h"
#include "tuning.h"
#include "vmath.h"

typedef struct SlotSize {
	const Dim *bytes;
	struct Slot *free; /* of that size, the last freed first: it may still be in the cache */
} SlotSize;

/* Of a slot, in the order in which nodes are lowered. */
typedef struct Request {
	const Dim *bytes;
	int until; /* number of the first request that may have the same place */
	int place; /* set by place_requests() */
	const Dim *offset, *room;
} Request;

typedef struct Slot { /* a place in the workspace */
	const Dim *offset;
	SlotSize *size;
	const Dim *need; /* bytes that the present user asked for */
	int request; /* its number */
	const char *what; /* the present user, for the report */
	int from; /* its first step */
	struct Slot *next; /* that becomes free after the same node, or is free */
} Slot;

/* As far as it is known before the program runs. */
typedef enum HowMany { Few, Many, FewOrMany } HowMany;

/* What kernels make of an operand before they read it.  Those that make the same of the same elements share it. */
typedef enum PackedForm {
	PackedRows, /* the left operand of linears (queries, keys, values read the same rows), in tiles */
	PackedSums, /* the same of strassen: sums of blocks of it */
	PackedBytes, /* of linears of bytes: in groups */
	RowOrder, /* the numbers of experts: the order of rows by them (lower_experts.c) */
	KeyRuns, /* the mask of attentions: the runs of keys that a tile of queries sees */
	KeyPanels, ValuePanels, /* of attentions, by heads */
} PackedForm;
typedef struct Packed {
	PackedForm form;
	const Block *block; /* where it is packed: another may run without this one */
	const Dim *base;
	/* Extents that the factors do not tell: KeyRuns: queries; RowOrder: matrices, rows of a number; of panels: keys, heads; else NULL. */
	const Dim *split[2];
	const Dim *unless_few; /* it is skipped where these queries are few; NULL: never */
	int nrow, nfactor;
	Factor f[MaxFactors]; /* how rows (nrow of them), then columns step over the root's memory */
	Slot *slot; /* NULL: not yet packed */
	int users, last; /* index of the last node that reads it; -1: none */
	struct Packed *next; /* of the same root */
} Packed;

typedef struct Home { /* where a value lies */
	LBuf *buf; /* of the program */
	const Dim *offset; /* bytes, multiple of 64 */
	int last; /* index of the last node that reads it; -1: none */
	Node *feeder, *chained; /* feed.h */
	Packed *packed;
	bool stored_packed; /* packed.c: so lies what only linears read, and nowhere else */
} Home;

typedef struct Lower {
	Module *m;
	LModule *lm;
	const Target *t;
	LB prog;
	LBuf **in, **out, *ws, *weights;
	const Node *node; /* being lowered: a group or a single node */
	int at; /* its index in program order */
	Schedule schedule; /* of its root */
	int nstep; /* of the program so far */
	int jumped; /* the last position that a jump forwards leads to */
	int nsize, capsize;
	SlotSize **sizes; /* of slots */
	Table fits; /* pairs of sizes that were compared */
	int nrequest, caprequest;
	Request *requests;
	const Request *placed; /* the same of a lowering before this one, with places; NULL: there was none */
	const Dim *bytes; /* of all slots */
	const Dim *worker_bytes; /* scratch of one worker, most of any kernel */
	LStmt *scratch_let, *worker_let; /* f32 elements: begin of the workers' scratch, size of one worker's */
	LExpr *scratch, *worker;
	/* tile.c's kernels; NULL: not yet made */
	LFunc *tiles[2][PanelWidth / Lanes][MaxTileRows + 1]; /* by is_bytes(weights), vectors and rows */
	LFunc *streams[NDTypes][2][MaxTileRows + 1]; /* by the weights' type, panels less one, and rows */
	LFunc *panels[NDTypes][2], *lone_tiles[2]; /* by the weights' type, and whether only some columns may count */
	struct InPlaceTile *in_place; /* tile_in_place.c's */
	struct ScaledKernel *scaled; /* lower_scaled.c's, and the panels of such weights */
	LFunc *sparse[MaxTileRows + 1]; /* lower_sparse.c's by rows; 0: columns apart */
	bool *ready; /* symbols that the data gives: do they have a value by now */
	int nstop, capstop;
	LStmt **stops; /* jumps to the end of the program */
	int nplan; /* indices given to nodes and to the ends of bodies */
	Slot **ends; /* by index of the last node that uses them */
} Lower;

typedef struct KernelDim {
	const Dim *dim;
	const void *place; /* that asked, see kparam_at() */
	LExpr *var;
} KernelDim;

typedef struct KernelBuf {
	const void *key; /* Value or Slot */
	LBuf *buf;
	const Dim *bytes; /* moved to or from it; NULL: none that count */
} KernelBuf;

typedef struct Kernel {
	Lower *l;
	struct Kernel *caller; /* NULL: a step of the program calls it */
	LB b;
	int narg, caparg;
	LArg *args;
	int ndim, capdim;
	KernelDim *dims;
	int nbuf, capbuf;
	KernelBuf *bufs;
	const Dim *flop; /* NULL: it only moves data */
	const Dim *runs; /* 0 where it finds nothing to do, else 1; NULL: it always does something */
	const Node *with; /* a node that it computes beside the one that is lowered, or NULL */
	bool general; /* numbers but 0 and 1 are arguments, each of its own: kernels of other shapes are the same.  For those that move rows */
} Kernel;

typedef struct Access { /* a value, read or written through a view with at most one factor an axis */
	LBuf *buf;
	const Dim *base;
	int rank;
	const Dim *stride[MaxRank]; /* 0 for axes of extent 1 */
	const Dim *extent[MaxRank];
	DType dtype;
} Access;

/* ---- slots.c --------------------------------------------------------------------------------------------------------- */

Value *root_of(Module *, Value *v); /* of v for code: itself or what it views */
/* Finds places for the requests of a lowering, from byte `begin` on; returns the end.  Places grow where that is proved to do. */
const Dim *place_requests(Module *, int n, Request *, const Dim *begin);
Slot *new_slot(Lower *, const Dim *bytes, int last); /* until node number `last` is lowered */
const Dim *slot_bytes(Lower *, const Block *, const Type *); /* of a value of that type in the block, at most, whatever the data gives */
Slot *temp_slot(Lower *, const Dim *f32_elements); /* until the node is lowered */
/* Rows of x, whose last `inner` axes are the columns; the linears that share them are known from plan_uses() on. */
Packed *packed_rows(Lower *, Node *linear);
bool lie_packed(const Node *linear, const Packed *); /* one row, side by side: nobody packs it */
/* Up to FewQueries read keys and values where they lie; more are worth packing them. */
enum { FewQueries = 4 };
HowMany query_count(const Node *attention);
Packed *key_runs(Lower *, Node *attention); /* of its mask; NULL: none that would tell anything */
Packed *row_order(Lower *, Node *experts);
Packed *packed_heads(Lower *, Node *attention, PackedForm); /* its keys or values */
Slot *packed_slot(Lower *, Packed *, const Dim *f32_elements); /* until the last of them is lowered */
void release_slots(Lower *); /* of which the node lowered is the last user */
void need_scratch(Lower *, const Dim *f32_elements); /* per worker */
Home *home_of(Value *); /* NULL: none yet */
Home *new_home(Lower *, Value *); /* or the one that it has */
Home *find_home(Lower *, Value *); /* inputs, constants and constant expressions find theirs when first used */
void place_bytes(Lower *, Value *, const Dim *bytes); /* in a slot of that size, unless it has a home already */
void place_result(Lower *, Value *); /* in a slot, unless it has a home already */

/* ---- operands.c ------------------------------------------------------------------------------------------------------ */

bool is_member(const Node *, Node *const *members, int n);
int count_operands(Node *const *members, int n); /* distinct values that they read from outside */

/* ---- kernel.c -------------------------------------------------------------------------------------------------------- */

Kernel open_kernel(Lower *, const char *name, bool per_target);
/* A part of a kernel as one of its own, which others may share: its dims come from the caller, which asks for them in its turn. */
Kernel open_inner(Kernel *caller, const char *name);
LExpr *kvalue(Kernel *inner, LExpr *of_caller); /* as a parameter */
LBuf *kbuffer(Kernel *inner, LBuf *of_caller, bool write);
void kcall_inner(Kernel *inner); /* closes it and calls it where its caller now is */
void kcall(Kernel *); /* closes it and calls it in a step of the program; the kernel lives on as text */
/* The step's cost: 2 FLOP a multiply-add, 1 an elementwise operation and element.  kaccess, kbuf and kslot count what they hand
 * out as moved once; kreads corrects that for a buffer of which only some elements are read or written. */
void kflop(Kernel *, const Dim *flop); /* adds */
void kflop_nodes(Kernel *, const Node *first, const Node *end); /* adds elementwise nodes first .. end (exclusive) */
void kreads(Kernel *, const LBuf *, const Dim *elements);
/* How often a loop runs around one over `elements`, or around several, where it does nothing without them: not at all, if there are none.  Sizes
 * of empty tensors may be anything. */
const Dim *times_of_elements(Module *, const Dim *times, const Dim *elements);
/* Two schedules of a node, one where a size is at most a number, one where it is more.  If both can be, the first, whose tasks are times
 * is_few(), comes in front of the steps of the second, which a jump skips. */
HowMany how_many(const Dim *, int64_t few);
const Dim *is_few(Module *, const Dim *, int64_t few); /* 1, or 0 where it is more; of sizes from 0 on */
LStmt *skip_steps(Lower *, LExpr *condition); /* behind a step */
LStmt *skip_where_few(Lower *, const Dim *, int64_t few);
void end_skip(Lower *, LStmt *); /* NULL: there is none */
LExpr *kdim(Kernel *, const Dim *);
LExpr *kparam(Kernel *, const Dim *); /* as an argument also if it is constant: kernels that differ in it alone are one */
LExpr *kparam_at(Kernel *, const Dim *const *place); /* the same argument whenever that place is asked for, in a general kernel too */
bool is_small_step(const Dim *); /* 0, or a few elements: lanes so far apart are loaded without a gather */
LExpr *kstep(Kernel *, const Dim *); /* from one lane to the next: a small one is part of the code */
LBuf *kbuf(Kernel *, Value *root, bool write); /* all of root, which has a home */
LBuf *kbytes(Kernel *, Value *root, DType, bool write); /* the same, as elements of another type of a byte */
LBuf *kport(Kernel *, LBuf *, const Dim *bytes, bool write); /* a buffer of the program, as u8 */
LBuf *kcells(Kernel *); /* the symbols that the data gives, i64: sym_cell() */
LBuf *kslot(Kernel *, Slot *, bool write); /* f32 */
LBuf *kslot_of(Kernel *, Slot *, DType, bool write); /* the same, as elements of that type */
LBuf *kscratch(Kernel *); /* the scratch of all workers, f32; worker w's begins at w * kworker() */
LBuf *kscratch_of(Kernel *, DType); /* the same, as elements of that type; kworker() goes on counting f32 elements */
LExpr *kworker(Kernel *);
LExpr *threads_of(Lower *); /* in the program */
LExpr *kthreads(Kernel *);
Access kaccess(Kernel *, Value *);
/* Without a buffer: in row-major order of those dims, t's own or those of a larger tensor that it is a part of. */
Access dense_access(Module *, const Type *t, const Dim *const *dims);
/* A value of that type that lies in its home in row-major order, to be read and written there. */
Access written_access(Kernel *, const Type *, Value *home);
LExpr *kbase(Kernel *, const Access *); /* in a general kernel an argument also if it is 0 */
/* Element offset of index idx[0..rank) (NULL counts as 0). */
LExpr *offset_of(Kernel *, const Access *, LExpr *const *idx);
void fail_index(Kernel *, const Node *, int operand, LExpr *index); /* of that operand: it is out of range */
/* Splits the flat number `at` into an index of each of the first n axes. */
void split_index(Kernel *, LExpr *at, const Dim *const *extent, int n, LExpr **idx);
/* Taps *lo .. *hi - 1 of an axis meet one of its `extent` elements where windows begin anywhere from `from` to `to`. */
void tap_range(LB *, LExpr *from, LExpr *to, LExpr *extent, int64_t dilation, LExpr *taps, LExpr **lo, LExpr **hi);
/* Pads a with leading broadcast axes to `rank`, and sets stride 0 where its extent is 1. */
Access broadcast_access(Module *, const Access *, int rank);
/* Loads up to 16 elements along one axis: contiguous, strided, or one splat. */
LExpr *load_lanes(Kernel *, const Access *, LExpr *offset, const Dim *stride, LExpr *mask);

/* Opens a loop over tasks that any worker may do, in any order.  Scratch memory is that of the worker that runs. */
LExpr *share_tasks(Kernel *, LExpr *tasks);
LExpr *this_worker(Kernel *);
LExpr *own_tasks(Kernel *, LExpr *tasks); /* a run of them for each worker, in their order: where each builds on the one before */
LExpr *lane_mask(Kernel *, LExpr *left); /* lanes below `left` */
/* for i in 0..n step 16: body(ctx, i, mask); whole vectors first, then one masked tail if n is no multiple of 16. */
void for_lanes(Kernel *, const Dim *n, void (*body)(void *ctx, Kernel *, LExpr *i, LExpr *mask), void *ctx);

/* ---- scalar.c ---------------------------------------------------------------------------------------------------------- */

/* The value of one elementwise node from its operands' vectors. */
LExpr *emit_scalar(Kernel *, const Node *, LExpr *const *in);
LExpr *emit_level(Kernel *, const Node *, LExpr *x); /* levels.c: where it is part of quantising; else NULL */

/* ---- tile.c: pieces of matrix products ------------------------------------------------------------------------------- */

/* A left operand is packed by tiles of up to mr rows: [K/32][rows][32], filled up along K with what nobody reads.  So rows are copied
 * as they lie, scores of attention are packed where they were computed, and a step of k reads a cache line of each row 16 times. */
enum { PackK = PanelWidth };
static inline bool is_bytes(DType weights) /* each four of a group */
{
	return weights == I32;
}
int tile_rows(const Target *, DType weights); /* of the register tile */
int step_words(const Target *, DType weights); /* of a packed row, for a step of k */
const Dim *packed_depth(Module *, const Dim *k); /* filled up */
LExpr *packed_length(LB *, LExpr *k); /* the same */
enum { WholeRows = 3 }; /* so few that all sums of a panel stay in registers, also with 16 of 8 lanes */
/* Tile `number` of the `of` that one after the other compute on a slice of the right operand.  Each prefetches its share of the slice that
 * follows in memory: the first on that would otherwise wait. */
typedef struct Turn {
	LExpr *number, *of, *next; /* next: from w_at to the slice that comes after this one */
} Turn;
/* Calls the register tile for `rows` rows (index expression, 1..mr; one branch a row count):
 * acc[rows][32] (+)= a[row][k] * w[k][32], k < klen; a is packed; first is 1 where acc starts at 0.  Turn NULL: w lies in a cache.
 * columns: of the panel, that count (NULL: more than 16); of 16 or fewer the other half is left as it is. */
void call_tile(Kernel *, LExpr *rows, LBuf *a, LExpr *a_at, LBuf *w, LExpr *w_at, LBuf *acc, LExpr *acc_at, LExpr *klen, LExpr *first,
               const Turn *, LExpr *columns);
/* A tile's sums by one panel of f32 weights that nobody meets after it, over all of `depth` at once. */
typedef struct PanelTile {
	LBuf *w, *acc;
	LExpr *w_at, *acc_at, *depth;
	LExpr *columns; /* as call_tile()'s */
} PanelTile;
void call_lone_tile(Kernel *, LExpr *rows, LBuf *a, LExpr *a_at, const PanelTile *); /* a kernel of its own, one for all of a model */
LExpr *columns_left(LB *, LExpr *columns, LExpr *panel); /* of that panel, where all have so many */
/* What makes weights of integers: (element - offset - zero) * scale, each operation rounded as f32's; lower_scaled.c.  Rows of 32. */
typedef struct Scales {
	LBuf *scale, *zero; /* [panel][blocks][32]; zero NULL: there is none */
	LExpr *blocks; /* rows of a panel */
	int64_t block; /* steps of k that share a row; 0: all do */
	LExpr *at; /* where the panel's rows begin */
	int steps; /* as many that begin at a multiple of it share a row: 32, or a divisor */
	int offset;
	bool halves; /* w has two columns to a byte */
} Scales;
/* Tiles t0 .. t1 - 1 of the `tiles` that `rows` rows make, by the panel of w at w_at: acc[row][32] = a[row][k] * w[k][32], k < depth.  The
 * first of their rows is packed at a_at, and its sums are at acc_at. */
typedef struct PanelTiles {
	LBuf *a, *w, *acc;
	LExpr *a_at, *w_at, *acc_at;
	LExpr *rows, *tiles, *t0, *t1, *depth;
	LExpr *panels, *apart; /* NULL: one; else of so many panels, one behind the other, the sums of each `apart` elements behind those of the one before */
	LExpr *columns; /* as call_tile()'s, of all those panels */
	int steps; /* of a slice; 0: as the schedule has it */
	const Scales *scales; /* NULL: w holds the weights */
} PanelTiles;
enum { MaxSteps = 256 }; /* of a slice that is widened: it lies on the stack */
void call_panel(Kernel *, const PanelTiles *); /* which is a kernel of its own, for all whose weights are of that type */
/* acc[rows][32] = a[row][k] * w[k][32] for all of k, rows <= WholeRows: the weights come once, as fast as memory gives them.  The panel that
 * is read next begins `skip` elements behind the end of this one.
 * panels: 2 for two that lie one behind the other, whose sums are acc_apart elements apart: each step of k waits for the one before, and weights
 * in a near cache come faster than one panel's sums take them. */
void call_stream(Kernel *, int rows, int panels, LArg a, LBuf *w, LExpr *w_at, LBuf *acc, LExpr *acc_at, int acc_apart, LExpr *klen, LExpr *skip);
int stream_panels(const Lower *, int rows); /* how many have their sums in registers, 2 at most */
/* 16 elements of w in f32, whatever they are stored as. */
LExpr *load_weights(LB *, LBuf *w, LExpr *at);
const Dim *tiles_of(Lower *, const Dim *rows); /* how many balanced tiles they make */
LExpr *tile_begin(LB *, LExpr *i, LExpr *rows, LExpr *tiles); /* first row of tile i */
/* Element offset of row `row` of x, whose leading axes are rows. */
LExpr *row_offset(Kernel *, const Access *x, int row_axes, LExpr *row);
/* Makes neighbours of axes from .. to - 1 one axis where memory allows; returns how many axes are left of them. */
int merge_axes(Module *, Access *, int from, int to);
LExpr *move_dim(Kernel *, const Dim *); /* for kernels that move rows: an argument unless it is 0 or 1 */
/* Packs x into tiles, each at packed[first row * packed_depth]; k: the last `inner` axes. */
void pack_rows(Lower *, Value *x, int inner, const Dim *rows, const Dim *depth, const Dim *tiles, Slot *packed);
/* The same of one tile, where the kernel that reads it now is: rows from .. to, to buf[at..]. */
void pack_rows_here(Kernel *, const Access *x, int inner, LExpr *from, LExpr *to, LBuf *buf, LExpr *at);
/* Packs rows from .. to of x (axes: batch.., row, k; `base` is the batch's offset) as one tile to buf[at..], times scale. */
void pack_tile(Kernel *, const Access *x, LExpr *base, LExpr *from, LExpr *to, LBuf *buf, LExpr *at, double scale);

/* ---- tile_in_place.c ----------------------------------------------------------------------------------------------------- */

/* Rows that tiles read where they lie. */
typedef struct InPlace {
	Access x; /* its axes: row_axes of rows; lines of steps of k, or none; steps */
	int row_axes;
	int64_t apart; /* elements from one row to the next */
	const Dim *line; /* of rows, which tiles share out between them: a tile lies inside of one */
	int rows, rest; /* of a line's tiles, and of its last one; rest 0: not known, and any but a whole tile is packed */
} InPlace;
/* Can they be, and does it pay for so many panels of weights?  x: rows, then `inner` axes of k; line: NULL: as long as memory allows. */
bool lies_for_tiles(Lower *, const Access *x, int inner, const Dim *panels, const Dim *line, InPlace *);
const Dim *in_place_tiles(Module *, const InPlace *); /* of a line */
LExpr *in_place_begin(LB *, const InPlace *, LExpr *tile, LExpr *line); /* its first row of the line, which has `line` rows */
/* The tile of rows, or of rest, from row `from` on. */
void call_tile_in_place(Kernel *, const InPlace *, int rows, LExpr *from, const PanelTile *);

/* ---- lower_bytes.c ------------------------------------------------------------------------------------------------------- */

/* Packs rows of x, whose last `inner` axes are k, of u8 into groups of bytes, in tiles of the target's byte_rows. */
void pack_bytes(Lower *, Value *x, int inner, const Dim *rows, const Dim *tiles, Slot *packed);

/* ---- packed.c: results that are stored as packed rows ------------------------------------------------------------------ */

/* Where the results of a group or node go: so, if its kernel can store them so and all readers read them so, which its home remembers; or in
 * slots.  Once that is decided it stays so. */
void place_results(Lower *, Node *group_or_node);
LBuf *packed_result(Kernel *, Value *home); /* where its rows go; NULL: it has a place of its own */
typedef struct PackedTile {
	LExpr *from, *at, *block; /* its first row; elements: where it lies, and from one block of PackK columns to the next */
} PackedTile;
PackedTile packed_tile(LB *, LExpr *from, LExpr *to, LExpr *columns); /* of rows from .. to, as many columns each */
PackedTile tile_of_row(Kernel *, LExpr *row, const Dim *rows, const Dim *columns);
LExpr *packed_place(LB *, const PackedTile *, LExpr *row, LExpr *col);

/* ---- lower_scaled.c ------------------------------------------------------------------------------------------------------ */

static inline int step_bytes(const Scales *s) { return s->halves ? HalfWidth : PanelWidth; }
/* The place of a kernel that is shared by all whose weights and scales are stored alike; n: what else tells it from others of the kind. */
LFunc **scaled_kernel(Lower *, const Scales *, DType elements, const char *kind, int n);
Scales scale_params(LB *, const Scales *of); /* the kernel's own */
int scale_args(LB *, const Scales *, LArg *); /* for them, two at most: how many */
/* Opens a loop over the f32 rows of a slice [klen][32] of the panel that begins at step k0, of w from w_at on; writes them to `slice`. */
void widen_scaled(LB *, const Scales *, LBuf *w, LExpr *w_at, LExpr *k0, LExpr *klen, LBuf *slice);
/* As call_stream().  More rows than of other weights: each saves a pass over a slice in memory. */
void call_scaled_stream(Kernel *, int rows, int panels, LArg a, LBuf *w, LExpr *w_at, LBuf *acc, LExpr *acc_at, int acc_apart, LExpr *klen,
                        LExpr *skip, const Scales *);
int scaled_stream_rows(const Lower *, int panels); /* most that meet so many panels at once, 2 at most; 0: none do */

/* ---- lower_sparse.c ------------------------------------------------------------------------------------------------------ */

typedef struct Sparse { /* weights: ir/sparse.h */
	LBuf *w, *index;
	LExpr *entries, *ks; /* how many; where their rows begin in index */
	bool apart;
} Sparse;
void need_index_holds(Module *, const Node *sparse); /* else it is a user's error: a text may say anything */
LExpr *sparse_begin(LB *, const Sparse *, LExpr *group); /* its first entry, the end of the one before */
/* acc[rows][SparseWidth of 32] = a[row][k] * w[k] for the entries from .. to - 1 of a group; a: as call_tile's, or the one row as it lies. */
void call_sparse(Kernel *, LExpr *rows, LBuf *a, LExpr *a_at, LExpr *depth, const Sparse *, LExpr *from, LExpr *to, LBuf *acc, LExpr *acc_at);

/* ---- lower_strassen.c -------------------------------------------------------------------------------------------------- */

const Dim *strassen_plane(Module *, const Dim *pairs, const Dim *half); /* elements of one packed sum */
/* Packs the sums of blocks of x [rows.., 2 * half], one behind the other, each in tiles of pairs of rows. */
void pack_sums(Lower *, Value *x, const Dim *rows, const Dim *pairs, const Dim *half, const Dim *tiles, Slot *packed);
/* From the products [product][pairs up to acc_rows][32] at `from` of `count` pairs of rows the results, to `to`: [panel of two][row][32]. */
void blocks_of_products(Kernel *, LBuf *acc, LExpr *from, LExpr *to, int acc_rows, LExpr *count);

/* ---- panels.c ---------------------------------------------------------------------------------------------------------- */

/* Between a load and its prefetch where lines lie apart, which memory does not bring by itself in time: steps of k, or, where these lie side
 * by side, bytes or the columns that come next, whichever is farther. */
enum { StepsAhead = 16, BytesAhead = 4096 };
/* n (2, 4, 8, 16) vectors become the n that lie behind one another where element i of all comes before element i + 1. */
void interleave_lanes(LB *, LExpr **rows, int n);
void transpose_lanes(LB *, LExpr *rows[Lanes]); /* rows[i] lane j becomes rows[j] lane i */
/* Packs x (axes: batch.., k, n) into panels [batch][n/32][k][32], the last panel of each batch filled up with zeros. */
void pack_panels(Kernel *, const Access *x, LBuf *panels);

#endif
