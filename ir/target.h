/* target.h - what schedules and the backend know of a CPU: facts, one row a target. */
#ifndef DCC_TARGET_H
#define DCC_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { MaxTileRows = 16 }; /* no target's mr is larger */

typedef struct Target {
	const char *name; /* "avx2", "avx512"; also accepted by -march=: march */
	const char *march; /* "x86-64-v3" */
	const char *cpu; /* LLVM's target-cpu */
	const char *features; /* LLVM's target-features, beyond cpu */
	uint64_t need; /* DCC_CPU_ bits */
	int mr; /* rows of the GEMM register tile: 6, 14 */
	int nv; /* its 16-lane vectors a row: 1, 2 */
	bool for_bytes; /* the same as the row behind it but for products of bytes: models without those do not need it */
	int byte_rows; /* rows of that of products of bytes (ir/bytes.h) */
	int byte_words; /* i32 that hold four bytes of such a row: 1, or 2 of two halves where no instruction takes bytes */
	int kb; /* steps of k of a block: tile and panel slice stay in a cache whose loads hide behind the FMAs */
	int64_t l2; /* bytes of the second cache that a worker can count on */
} Target;
extern const Target targets[]; /* best first; nothing else in dcc knows CPU names */
extern const int ntargets;
const Target *find_target(const char *name); /* by name or march; NULL */
void print_target_names(FILE *); /* the plainest first, with blanks between them */

#endif
