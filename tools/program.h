/* program.h - a model that dcc-run can run: machine code from an .onnx, .ir, .o or .so file, or its module in an
 * interpreter. */
#ifndef DCC_PROGRAM_H
#define DCC_PROGRAM_H

#include "../frontend/frontend.h"
#include "../ir/target.h"
#include "../runtime/dcc.h"

typedef enum How { HowCode, HowOracle, HowInterp } How;

typedef struct ProgramOptions {
	How how;
	const char *isa; /* NULL: the best that the CPU and the file have */
	const char *weights; /* side file of an .o or .so; NULL: none */
	int nbind;
	const DimBinding *bind; /* -D */
	int nshape, ncustom, nload;
	const char *const *shape; /* --shape */
	const char *const *custom; /* --custom-op */
	bool broadcast_symbols; /* --broadcast-symbols */
	bool exact_conv, fast_matmul; /* --exact-conv, --fast-matmul */
	bool small_pages; /* --small-pages: weights stay in those of their file */
	const char *tune_file; /* --tune-file; NULL: none */
	const char *const *load; /* shared objects whose functions the model may call */
} ProgramOptions;

typedef struct Program {
	const char *path, *isa;
	How how;
	bool compiled; /* an .o or .so */
	int ninputs, noutputs, nsymbols;
	const dcc_port *inputs, *outputs;
	const dcc_symbol *symbols;
	/* HowCode */
	const dcc_model *model;
	const void *weights;
	size_t weights_bytes;
	uint32_t target; /* 1-based */
	/* the others */
	Module *module;
	double compile_s, load_s; /* seconds */
	const char *made_up; /* "seq = 8, ...": sizes that nobody chose; NULL: there are none */
} Program;

/* Anything wrong with the file or the options is a fatal_at.  Lives as long as the process. */
Program *load_program(Arena *, const char *path, const ProgramOptions *);
/* A module that was lowered for the target, which this CPU can run.  like: another lowering of it, which has the same weights; NULL: there is
 * none, and model->weights is malloc'ed. */
Program *load_lowered(Arena *, Module *, const Target *, const Program *like);

/* One set of inputs, with all that a run needs allocated once. */
typedef struct Call {
	const Program *p;
	const Tensor *in; /* ninputs, the caller's */
	Tensor *out; /* noutputs */
	int threads;
	dcc_args args;
	dcc_error error;
	void *workspace;
	char **state; /* per input that is state: its buffer, else NULL */
	void **packed; /* per input, then output, of less than a byte an element: what code sees of it, else NULL */
} Call;

void new_call(Arena *, const Program *, const Tensor *in, int threads, dcc_exec *, Call *);
void run_call(Call *); /* a failed run is a fatal_at */
void free_call(Call *);

DType dtype_of_port(const dcc_port *);
double now_s(void); /* monotonic */

#endif
