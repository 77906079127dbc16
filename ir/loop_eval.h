/* loop_eval.h - what the files of the interpreter of loop IR share: loop_eval.c and loop_eval_*.c. */
#ifndef DCC_LOOP_EVAL_H
#define DCC_LOOP_EVAL_H

#include "loop.h"

enum { MaxCallDepth = 64, SliceAlign = 64, Poison = 0xff }; /* Poison: the bytes of what has not been written */
#define MaxLocalBytes ((int64_t)1 << 30)

typedef union Val {
	float f[Lanes];
	double d[Lanes];
	int64_t i[Lanes];
	uint64_t u[Lanes]; /* the same; a type that is only stored: its bits */
} Val;

typedef struct FnInfo {
	const LFunc *fn;
	int nvar, nbuf, ntile; /* ntile: elements of all tiles */
} FnInfo;

typedef struct Run {
	LModule *lm;
	int ninfo, capinfo;
	FnInfo *infos;
	int64_t tid, nt;
	int64_t *status;
	const Tensor *inputs, *outputs; /* of a program */
	int depth;
	struct Frame *top;
	jmp_buf leave;
	const char *message;
} Run;

typedef struct Frame {
	Run *run;
	const LFunc *fn; /* NULL: the module's own expressions */
	Val *vars, *tiles;
	LMem *bufs;
	bool in_step;
	struct Frame *up;
} Frame;

/* ---- loop_eval.c -------------------------------------------------------------------------------------------------- */

_Noreturn void fail_run(Run *, const char *message); /* frees the frames, and leaves by run->leave */
#define FAIL(fr, ...) fail_run((fr)->run, arena_printf((fr)->run->lm->m->arena, __VA_ARGS__))
const char *frame_name(const Frame *); /* its function's, for messages */
void resolve(Run *, const LFunc *); /* numbers the variables, buffers and tiles of a function and of those that it calls */
void push_frame(Run *, Frame *, const LFunc *); /* makes it the running frame of the function, its tiles poisoned */
void pop_frame(Frame *);
void exec_stmt(Frame *, const LStmt *);
void exec_block(Frame *, const LBlock *);

/* ---- loop_eval_value.c -------------------------------------------------------------------------------------------- */

void eval_expr(Frame *, const LExpr *, Val *);
int64_t index_of(Frame *, const LExpr *); /* an integer expression of one lane */
void store_lanes(Frame *, const LStmt *);
void set_tile(Frame *, const LStmt *);

/* ---- loop_eval_lanes.c: n lanes of x, y and z to those of r, which may be one of them -------------------------- */

/* Arithmetic and comparisons, which give 0 or 1 in r->i; elem: of the operands.  Operands that the operation does not have are not read. */
void combine_lanes(LOp, DType elem, int n, Val *r, const Val *x, const Val *y, const Val *z);
void set_lane(Val *, int l, Scalar);
void convert_lanes(DType from, DType to, int n, Val *r, const Val *x);
void bitcast_lanes(DType from, DType to, int n, Val *r, const Val *x);
void reduce_lanes(LOp, DType elem, Val *r, const Val *x); /* all lanes to the first */
void splat_lane(DType elem, Val *r, const Val *x); /* the first to all */
void iota_lanes(DType elem, Val *r);
void choose_lanes(DType elem, int n, Val *r, const Val *mask, const Val *x, const Val *y);
void zip_lanes(DType elem, int from, Val *r, const Val *x, const Val *y); /* alternately from lane `from` on */

#endif
