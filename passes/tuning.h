/* tuning.h - what schedules may do in several ways (knobs.def), and the files that choose (docs/tune.md).
 *
 * A choice is measured for a shape: target, operator, element type of the second operand, rows, depth and columns.  All layers of that
 * shape are lowered in the same way.
 */
#ifndef DCC_TUNING_H
#define DCC_TUNING_H

#include "passes.h"

/* ---- knobs.c ---------------------------------------------------------------------------------------------------------- */

typedef struct Schedule {
#define KNOB(name, usual, values, operators) int name;
#include "knobs.def"
#undef KNOB
} Schedule;
enum { NKnobs = sizeof(Schedule) / sizeof(int) };

const char *knob_name(int knob);
bool has_knob(Op, int knob); /* does the operator's schedule read it */
int knob_value(const Schedule *, int knob);
bool set_knob(Schedule *, int knob, int value); /* false: there is no such value */
Schedule usual_schedule(const Target *, Op);
int count_schedules(Op); /* 1: there is nothing to choose */
Schedule schedule_number(const Target *, Op, int number); /* below count_schedules(); 0 is the usual one */

/* ---- tuning files ------------------------------------------------------------------------------------------------------- */

typedef struct Shape {
	const Target *target;
	Op op;
	DType dtype;
	int64_t rows, depth, columns;
} Shape;

typedef struct Tuned { /* a line of a file */
	Shape shape;
	Schedule schedule;
	int64_t usual_ns, ns; /* all layers of the shape, with the usual schedule and with this one; > 0 */
	bool used; /* by a node that was lowered */
} Tuned;

typedef struct Choice { /* for a node */
	const Target *target;
	const Node *node;
	int from, to; /* its steps; `to` is exclusive */
	bool tuned; /* a row chose */
} Choice;

enum { AsTuned = -1, MaxTuned = 1000 /* rows */ };
struct Tuning {
	Arena *arena;
	const char *path; /* NULL: of no file */
	const char *version, *cpu; /* of the dcc and the machine that measured */
	uint64_t hash; /* of the file's bytes; 0: of no file */
	int n, cap;
	Tuned *rows;
	int number; /* of the schedule that all nodes get whose operator has so many, others the usual one; AsTuned: what the rows say */
	int nchoice, capchoice; /* of the last lowering */
	Choice *choices;
};

bool same_shape(const Shape *, const Shape *);
void add_tuned(Tuning *, const Shape *, const Schedule *, int64_t usual_ns, int64_t ns);
void write_tuning(FILE *, const Tuning *);
/* How many nodes a row chose for, and how many rows were of use, in the last lowering. */
int count_tuned(const Tuning *);
int count_used(const Tuning *);
/* The shape of a node where the symbols have these values (by Sym.index); false: it has none. */
bool shape_at(Module *, const Target *, const Node *, const int64_t *syms, Shape *);

/* ---- for schedules ------------------------------------------------------------------------------------------------------ */

void tuning_begins(void); /* a lowering does */
Schedule choose_schedule(Module *, const Target *, const Node *root); /* as pass_options()->tuning says */
void schedule_steps(const Target *, const Node *root, int from, int to); /* that the choice for the node became */

#endif
