/* backend.h - from loop IR to machine code, and the math functions that schedules build from it. */
#ifndef DCC_BACKEND_H
#define DCC_BACKEND_H

#include "../ir/loop.h"

/* A target is a row of facts (target.c); nothing else in dcc knows CPU names. */
typedef struct Target {
	const char *name; /* "avx2", "avx512"; also accepted by -march=: march */
	const char *march; /* "x86-64-v3" */
	const char *cpu; /* LLVM's target-cpu */
	const char *features; /* LLVM's target-features, beyond cpu */
	uint64_t need; /* DCC_CPU_ bits */
	int mr; /* rows of the GEMM register tile: 6, 14 */
	int nv; /* its 16-lane vectors a row: 1, 2 */
	int kb; /* k steps a block, so that tile and panel slice stay in L1 */
} Target;
extern const Target targets[]; /* best first */
extern const int ntargets;
const Target *find_target(const char *name); /* by name or march; NULL */

typedef struct EmitOptions {
	int ntarget;
	const Target *const *target; /* best first */
	const char *weights_path; /* NULL: embed; else the side file to write */
	const char *listing; /* line information is about this file (its name alone; print_listing writes it); NULL: none */
} EmitOptions;

/* All of these are deterministic and verify what they emit; failures of the output (disk full, not writable) are user errors
 * that leave no file behind. */
void emit_object(LModule *, const EmitOptions *, const char *path);
void emit_assembly(LModule *, const EmitOptions *, const char *path); /* -S; "-" is stdout */
/* -shared: object and libdcc.a, linked by the C compiler `linker` (NULL: cc). */
void emit_shared(LModule *, const EmitOptions *, const char *linker, int nlink, const char *const *link, const char *path);
void emit_llvm(LModule *, const EmitOptions *, const char *path); /* -emit-llvm, text */
void emit_header(LModule *, const EmitOptions *, const char *path);
void write_text(Module *, const char *path, const void *text, size_t n); /* like these; "-" is stdout */
/* In two steps, for files that appear together or not at all: written beside its place, then put there. */
typedef struct Out Out;
Out *hold_header(LModule *, const EmitOptions *, const char *path);
Out *hold_text(Module *, const char *path, const void *text, size_t n);
void publish_output(Out *);
/* The object without weights in memory (for dcc-run), malloc'ed; and the weights alone, malloc'ed, aligned to 64. */
void emit_object_memory(LModule *, const EmitOptions *, void **bytes, size_t *size);
void emit_weights_memory(LModule *, void **bytes, size_t *size);

/* vmath.c: polynomials over f32 vectors (any lanes) as loop IR; bounds in ULP are stated and tested there. */
LExpr *vm_exp(LB *, LExpr *);
LExpr *vm_log(LB *, LExpr *);
LExpr *vm_tanh(LB *, LExpr *);
LExpr *vm_erf(LB *, LExpr *);
LExpr *vm_sin(LB *, LExpr *);
LExpr *vm_cos(LB *, LExpr *);
LExpr *vm_pow(LB *, LExpr *, LExpr *);
LExpr *vm_sigmoid(LB *, LExpr *);

#endif
