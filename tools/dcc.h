/* dcc.h - what the files of the command dcc share: its options as they have been read, and its outputs. */
#ifndef DCC_COMMAND_H
#define DCC_COMMAND_H

#include "../backend/backend.h"
#include "../frontend/frontend.h"
#include "../passes/passes.h"

/* What is written, in this order, or what else is done. */
typedef enum Mode {
	EmitObject, EmitShared, EmitAssembly, EmitLlvm, EmitIr, EmitLoops, EmitDot, EmitExplorer, Reduce, Tune, Check, Inspect, NModes
} Mode;

typedef struct Options {
	Arena *arena; /* for lists and file names made up of the arguments; it lives as long as the process */
	const char *input, *output, *header, *weights, *linker;
	int nlink, caplink, capbind, capshape, capcustom, capstate;
	const char **link; /* to be linked into a shared object */
	DimBinding *bind;
	const char **shape, **custom, **state;
	Mode mode;
	const char *mode_text; /* the option that chose it; NULL: none */
	LoadOptions load;
	PassOptions pass;
	int jobs; /* 0: as many as there are CPUs */
	bool wanted[8], named[8]; /* targets; named: by other words than "native" */
	const Target *target[8];
	bool debug, depend, verbose, time_passes, quick;
	const char *depend_file, *report, *profile_data, *reduce, *tune, *tune_file;
	char *imported; /* of a picture with two graphs: the first one */
} Options;

/* ---- dcc_args.c --------------------------------------------------------------------------------------------------- */

extern const struct Command dcc_command;
void read_options(Options *, int argc, char **argv); /* wrong ones end the process, and so do those that only print */
bool is_graph(Mode); /* writes tensor IR, of any stage */
ReportForm report_form(const Options *); /* by the name of the report's file */

/* ---- dcc_output.c ------------------------------------------------------------------------------------------------- */

void check_outputs(const Options *); /* an output that would overwrite the input, or another, ends the process */
const char *output_path(const Options *); /* NULL: none */
const char *depend_path(const Options *, const char *output); /* -MD: a rule for make; NULL: none */
void write_output(const Options *, Module *);
/* Of the output, for make: the model and the files that hold its weights, which are all that have been mapped so far. */
Out *hold_depend(const Options *, Module *, const char *output, const char *path);
void write_report_file(const Options *, Out *); /* once the report is whole */

#endif
