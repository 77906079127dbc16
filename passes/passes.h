/* passes.h - the pipeline: passes.def lists it, pass.c runs it. */
#ifndef DCC_PASSES_H
#define DCC_PASSES_H

#include "../ir/loop.h"
#include "../ir/target.h"

/* tuning_file.c: a file that dcc --tune has written; anything wrong with it is a fatal_at with the line. */
typedef struct Tuning Tuning;
Tuning *read_tuning(Arena *, const char *path);
uint64_t tuning_hash(const Tuning *); /* of the file's bytes; 0: of none */

/* report.c, report_text.c, report_page.c: what --report=FILE writes. */
typedef struct Report Report;
typedef enum ReportForm { ReportText, ReportJson, ReportPage } ReportForm;
Report *new_report(Module *, ReportForm); /* before run_passes */
void report_ends(Report *); /* after it; then it can be written, while the module lives */
void report_tuned(Report *, const Tuning *); /* after run_passes; NULL: nothing was */
void write_report(const Report *, FILE *, ReportForm);
/* profile_data.c: what dcc-run --profile=FILE has written; anything wrong with it is a fatal_at. */
typedef struct Profile Profile;
const Profile *read_profile(Arena *, const char *path);
void report_measured(Report *, const Profile *); /* after run_passes; of another model it is a fatal_at */

typedef struct PassOptions {
	const char *stop_after; /* pass name or NULL */
	const char *only; /* --passes=a,b: run just these, in this order */
	const char *print_after; /* pass name, "*" for all */
	enum { PrintNot, PrintWhole, PrintDiff } print_changed; /* after each pass that changed something */
	bool verify_passes; /* values: before against after each pass on random tensors; the structure always is */
	const char *no_fuse; /* comma separated pattern names */
	bool exact_conv; /* every convolution is one sum of products for each output: no Winograd */
	bool fast_matmul; /* linears by one level of Strassen where that pays */
	Tuning *tuning; /* chooses among schedules of equal bits; NULL: the usual ones */
	int nstate;
	const char *const *state; /* "OUTPUT=INPUT,cap=N" or "auto,cap=N" */
	int bisect_limit; /* -1: none; rewrites and fusions after the first N are skipped */
	Report *report; /* collects; NULL: nobody asked */
	int ntarget;
	const Target *const *target;
} PassOptions;

/* Leaves out of n targets, best first, those that are of no more use for the module than the plainer ones; returns how many are left. */
int useful_targets(Module *, const Target **, int n);
/* Runs the passes after m->stage up to the end of the table, or as the options say. */
void run_passes(Module *, const PassOptions *);
bool find_pass(const char *name); /* is it in the table ("import" counts) */
void print_passes(FILE *); /* for --help-passes */
void print_pass_names(FILE *);
bool find_fusion(const char *name); /* for --no-fuse: a fusion, or a rule of rules.def */
void print_fusions(FILE *); /* and rules; for --help-passes */
void print_fusion_names(FILE *);
void print_diff(FILE *, const char *before, const char *after); /* of two texts, by lines */

#endif
