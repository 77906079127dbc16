/* report.h - what the report has collected (report.c), for those who write it: report_text.c and report_page.c. */
#ifndef DCC_REPORT_H
#define DCC_REPORT_H

#include "../ir/json.h"
#include "pass.h"
#include "tuning.h"

static const double AssumedFlops = 100e9, AssumedBytes = 20e9; /* per second */

typedef struct Fused {
	const char *pattern, *why; /* why: NULL: it matched */
	bool settled; /* a miss that counts for nothing: see report_ends() */
	int n, cap;
	const Loc **nodes;
} Fused;

typedef struct Held { /* a slot while one value lives in it */
	const char *what;
	int from, to; /* steps, inclusive */
} Held;

typedef struct Room { /* a slot of the workspace */
	const char *target;
	const Dim *offset, *bytes;
	int n, cap;
	Held *held;
} Room;

typedef struct KernelUse { /* calls of one kernel at one cost */
	const char *target;
	const LFunc *fn;
	const char *flop, *bytes; /* formulas; NULL: not known */
	const LExpr *flop_of, *bytes_of;
	int n, cap;
	const LStmt **steps;
} KernelUse;

struct Report {
	Module *m;
	int nfused, capfused;
	Fused *fused;
	Table misses, places, calls; /* of `fused` that missed, of `rooms`, of `uses` */
	int nroom, caproom;
	Room **rooms; /* in the order of their first values */
	int nuse, capuse;
	KernelUse **uses;
	struct Imported *imported; /* of report_page.c; NULL: nobody asked for a page */
	const Profile *profile; /* NULL: none */
	const Tuning *tuning; /* NULL: of no file */
};

typedef struct MeasuredStep { /* of a run */
	const char *kernel; /* as objects call it */
	double ms, calls, flop, bytes;
} MeasuredStep;

struct Profile {
	const char *path, *hash, *target;
	double threads, runs, steps_ms, run_ms; /* the last two: of all steps, of a run that nobody stops */
	double gflop_per_s, gbyte_per_s; /* the machine's roof */
	const Json *symbols; /* numbers by name */
	int n;
	MeasuredStep *steps;
};

const char *formula(Module *, const LExpr *); /* NULL: of none */
bool value_of(const Module *, const LExpr *, int64_t *); /* at the symbols' upper bounds, one thread; false: there is none, or it is too large */
bool dim_value(const Module *, const Dim *, int64_t *);
bool same_text(const char *a, const char *b); /* both may be NULL */

void see_imported(Report *); /* report_page.c: the ONNX nodes, before any pass has run */
void write_page(const Report *, FILE *);

#endif
