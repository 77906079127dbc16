/* dcc.h - the whole contract between an application and the models that dcc compiled.
 *
 * `dcc -o m.o m.onnx` writes m.o and m.h.  The header declares, for a model called NAME:
 *     extern const dcc_model NAME_model;
 *     typedef struct NAME_dims { int64_t <one per symbol that inputs give>; int64_t threads; } NAME_dims;
 *     size_t NAME_workspace_size(const NAME_dims *);       bytes, for that many threads (0 counts as 1): a multiple of 64;
 *                                                          SIZE_MAX if a dim or threads is outside its bounds or the size overflows
 *     int NAME_run(const dcc_args *);                      a dcc_status
 *     int NAME(const NAME_dims *, inputs..., outputs..., workspace, size, exec, error);   the same, typed; behind the outputs
 *                                                          out_dims (as in dcc_args), if the data decides dims of one
 *     int NAME_prefault(workspace, size, error);           before the first run: dcc_prefault of this model
 *     int NAME_huge_pages(error);                          dcc_huge_pages of this model
 *     int64_t NAME_x_count(const NAME_dims *); size_t NAME_x_bytes(const NAME_dims *);    of each input and output x, but of outputs
 *                                                          that are state, which have NAME_x_offset: elements from the input's begin
 * and where x is state (below) NAME_x_capacity, and NAME_step: NAME without the outputs that are state.
 * With dcc --weights NAME, NAME_step and NAME_prefault take `weights, weights_size` in front of the workspace, NAME_huge_pages in front of
 * the error.
 * Link with libdcc (static, no dependency beyond libc; pthreads only if dcc_pool_new is called).
 *
 * Memory: the caller owns everything.  Nothing is allocated, locked, printed or written outside outputs, workspace and error
 * while a model runs; outputs may be partly written when a run fails.  Tensors are contiguous, row-major, aligned to
 * their element (a byte, where several share one), the workspace and weights to DCC_WORKSPACE_ALIGN.  What a run writes (outputs, state, the
 * workspace) must not overlap anything else; of models with fewer than DCC_MAX_COMPARED inputs and outputs a run checks it.
 * Threads: a run has as many as its exec says, without one the calling thread alone.  Any number of threads may run the same model at once, each with its own workspace, outputs and exec.
 * The floating-point environment is used as it is found (MXCSR is not changed).
 * Results are bitwise the same for every thread count and every target.  Each sum of products is one chain of fused multiply-adds, except in
 * convolutions of 3 by 3 taps and stride 1: Winograd's transforms compute tiles of 2 by 2 or 4 by 4 outputs from fewer products, so
 * what is not finite, and rounding, spreads within a tile, and a shifted image may give other bits (dcc --exact-conv: one sum each).
 * dcc --fast-matmul makes products of sums of two neighbouring rows, whose rounding, and what is not finite, spreads within the two.
 *
 * Versions: DCC_ABI grows when a struct below changes its meaning.  A library runs every object whose abi is between
 * DCC_ABI_OLDEST and DCC_ABI; others get DCC_ERROR_VERSION.  Structs that an application fills begin with their size, so that
 * fields can be added at the end; reserved words must be 0.
 */
#ifndef DCC_H
#define DCC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DCC_VERSION "0.2.0"
#define DCC_ABI 3
#define DCC_ABI_OLDEST 2
#define DCC_MAX_RANK 8
#define DCC_MAX_THREADS 65536
#define DCC_WORKSPACE_ALIGN 64 /* bytes */
#define DCC_MAX_COMPARED 256 /* buffers */

/* Status codes and texts; numbers are stable. */
#define DCC_STATUS_MAP(X)                                                                                              \
	X(OK, 0, "ok")                                                                                                 \
	X(ERROR_ARGUMENT, 1, "missing or malformed argument")                                                          \
	X(ERROR_DTYPE, 2, "wrong element type")                                                                        \
	X(ERROR_SHAPE, 3, "wrong rank or dimension")                                                                   \
	X(ERROR_RANGE, 4, "dimension outside its bounds")                                                              \
	X(ERROR_INDEX, 5, "index in a tensor out of range")                                                            \
	X(ERROR_WORKSPACE, 6, "workspace missing, misaligned or too small")                                            \
	X(ERROR_WEIGHTS, 7, "weights missing or of another model")                                                     \
	X(ERROR_CPU, 8, "the CPU lacks every instruction set that the model was compiled for")                         \
	X(ERROR_VERSION, 9, "the model was compiled for another version of the library")                                  \
	X(ERROR_CUSTOM, 10, "a custom operator failed")                                                                      \
	X(ERROR_CANCELLED, 11, "cancelled by the caller")

typedef enum dcc_status {
#define DCC_STATUS_ENUM(name, number, text) DCC_##name = number,
	DCC_STATUS_MAP(DCC_STATUS_ENUM)
#undef DCC_STATUS_ENUM
} dcc_status;

/* Numbers of ONNX TensorProto.DataType. */
typedef enum dcc_dtype {
	DCC_F32 = 1, DCC_U8 = 2, DCC_I8 = 3, DCC_U16 = 4, DCC_I16 = 5, DCC_I32 = 6, DCC_I64 = 7, DCC_BOOL = 9, DCC_F64 = 11,
	DCC_F16 = 10, /* IEEE binary16 */ DCC_U32 = 12, DCC_U64 = 13, DCC_BF16 = 16, /* the upper half of an f32 */
	/* A byte: sign, 4 or 5 bits of exponent, 3 or 2 of fraction; e8m0 is a power of two alone. */
	DCC_F8E4M3FN = 17, DCC_F8E4M3FNUZ = 18, DCC_F8E5M2 = 19, DCC_F8E5M2FNUZ = 20, DCC_F8E8M0 = 24,
	/* Less than a byte: packed.  Element i of the row-major order lies in byte i * bits / 8, the first of a byte in its low bits; the
	 * last byte is filled up: with zeros in outputs, in inputs it does not matter with what.  dcc_bytes() counts a tensor's. */
	DCC_U4 = 21, DCC_I4 = 22, DCC_F4E2M1 = 23, DCC_U2 = 25, DCC_I2 = 26
} dcc_dtype;

typedef struct dcc_error {
	int32_t code; /* dcc_status */
	char text[240]; /* names the tensor, what was expected and what came */
} dcc_error;

typedef struct dcc_tensor {
	void *data; /* NULL only if a dim is 0 */
	int32_t dtype; /* dcc_dtype */
	int32_t rank;
	int64_t dims[DCC_MAX_RANK]; /* elements; beyond rank: ignored */
	uint64_t reserved[2];
} dcc_tensor;

/* How a model runs on several threads.  n callees of run() meet at barrier() many times. */
typedef struct dcc_exec dcc_exec;
struct dcc_exec {
	uint64_t size; /* sizeof(dcc_exec) */
	int32_t threads; /* n: 1 .. DCC_MAX_THREADS */
	/* 0: a run that is so small that the calling thread alone is done before n have met may leave run() uncalled; 1: none does.  The
	 * results have the same bits. */
	int32_t always;
	/* Calls fn(ctx, 0) ... fn(ctx, threads - 1), each once, and returns when all have returned (having called none, if it
	 * cannot run now: dcc_run then fails with DCC_ERROR_ARGUMENT).  If `barrier` is set they must run
	 * at the same time, each on its own thread; otherwise any order will do, even one after the other. */
	void (*run)(dcc_exec *, void (*fn)(void *ctx, int32_t worker), void *ctx);
	/* Returns once all n workers have called it; what they wrote before is seen after.  NULL: fork-join, one run() a step. */
	void (*barrier)(dcc_exec *, int32_t worker);
};

typedef struct dcc_args {
	uint64_t size; /* sizeof(dcc_args) */
	const dcc_tensor *inputs; /* in the model's order */
	const dcc_tensor *outputs; /* dims filled in by the caller: dcc_plan tells them */
	int32_t ninputs, noutputs;
	void *workspace; /* aligned to DCC_WORKSPACE_ALIGN */
	uint64_t workspace_size; /* bytes */
	/* NULL: embedded; or the side file, mapped; or a copy of the embedded ones, the model's weights_size bytes from its weights on.
	 * Both are aligned to DCC_WORKSPACE_ALIGN. */
	const void *weights;
	uint64_t weights_size; /* bytes of the side file or the copy */
	dcc_exec *exec; /* NULL: the calling thread alone */
	dcc_error *error; /* may be NULL */
	uint32_t target; /* 0: the best that the CPU has; i: targets[i - 1] of the model */
	uint32_t reserved[3];
	/* May be NULL.  Receives the true dims of every output, DCC_MAX_RANK each, when the run succeeds.  They differ from those in
	 * `outputs` only where the data decides (dim_text has a symbol of source DCC_SYMBOL_DATA): there the caller gives room for the
	 * bound, which dcc_plan and the header's NAME_x_count and NAME_x_bytes tell and `outputs` has as its dim; the elements lie
	 * row-major in their true dims at the begin of it, what is behind them is not written.  Bounds are formulas over the inputs' dims.
	 * Data that would need more fails the run (DCC_ERROR_RANGE). */
	int64_t *out_dims;
	/* May be NULL.  A run that finds another value than 0 there ends before the next iteration of a loop with DCC_ERROR_CANCELLED. */
	const volatile int32_t *cancel;
} dcc_args;

/* ---- custom operators (dcc --custom-op) ------------------------------------------------------------------------------ */

typedef struct dcc_custom_args {
	uint64_t size; /* sizeof(dcc_custom_args) */
	/* Contiguous, row-major; the order of the operator's signature, not to be written.  An input that the node leaves out (%x? in
	 * the signature) has the dims {0} and data NULL, which only tensors without elements have. */
	const dcc_tensor *inputs;
	const dcc_tensor *outputs; /* to be filled; their dims are set, and never overlap inputs */
	int32_t ninputs, noutputs;
	const char *node; /* name of the ONNX node, for messages */
} dcc_custom_args;

/* The function of the application that computes an operator: 0, or any other number, which fails the run with
 * DCC_ERROR_CUSTOM and stands in its message.  `dcc_custom_op my_op;` declares one (in C++ inside of extern "C").
 * It must compute the same outputs from the same inputs whenever it is called, and may be called by several threads at
 * once if the application runs the model so; in one run worker 0 calls it alone, while the other workers wait. */
typedef int32_t dcc_custom_op(const dcc_custom_args *);

/* ---- description of a model: constant data in the object ----------------------------------------------------------- */

enum {
	DCC_SYMBOL_INPUT = 0, /* dims of inputs */
	/* An element of an integer input, saturated to +-(2^31 - 1): dcc_plan needs that input's data.  Where the model would do something else
	 * with the element itself, the range leaves those two out. */
	DCC_SYMBOL_VALUE = 2,
	/* An element of a floating input times an extent, rounded down and saturated (not a number: the least), as a factor of Resize
	 * decides one: dcc_plan needs the data too.  NAME.h says which extent. */
	DCC_SYMBOL_SCALED = 4,
	DCC_SYMBOL_DERIVED = 3, /* a formula over the symbols before it */
	DCC_SYMBOL_DATA = 1 /* the data, while the model runs: dims that use it are bounded before, known behind (dcc_args.out_dims) */
};

typedef struct dcc_symbol {
	const char *name;
	int64_t lo, hi; /* inclusive */
	int32_t source; /* DCC_SYMBOL_...; NAME_dims has fields for inputs and values, scaled or not */
	int32_t input, element; /* of a value, scaled or not */
	int32_t reserved;
} dcc_symbol;

typedef struct dcc_port { /* an input or output */
	const char *name;
	int32_t dtype, rank;
	int64_t dims[DCC_MAX_RANK]; /* -1: symbolic */
	const char *dim_text[DCC_MAX_RANK]; /* "seq", "past + 1", "12" */
	/* State (dcc --state): the input and the output share one buffer of the caller, in which the axis `state_axis` has room
	 * for `capacity` elements: rows behind it are `capacity` apart, not dims[state_axis].  A run writes the new rows in place and
	 * moves none.  The output's data must be the input's data plus `shift` elements of the axis; the next run's input is then
	 * this run's output. */
	int32_t state; /* 0: none; else 1 + the number of the output (of an input) or of the input (of an output) */
	int32_t state_axis;
	int64_t capacity, shift;
} dcc_port;

typedef struct dcc_frame { /* what the compiled program sees of a run */
	const dcc_tensor *in, *out;
	char *workspace;
	const char *weights;
	const int64_t *syms; /* symbol values, then threads; those of source DCC_SYMBOL_DATA are in the workspace, 8 bytes each, in order */
	int64_t *status; /* of the first failure: [0] message number + 1, plus the dcc_status << 32 (0: ERROR_INDEX), [1] its value */
	dcc_exec *exec; /* NULL: one worker */
	void (*barrier)(const struct dcc_frame *, int64_t worker); /* NULL: none wanted */
	const volatile int32_t *cancel; /* NULL, or dcc_args.cancel */
	/* A worker's next part of a loop of `parts` parts: of its own share, or where that is done of a neighbour's who is behind; -1: none.
	 * NULL: each does its own share, as one part. */
	int64_t (*next_part)(const struct dcc_frame *, int64_t worker, int64_t parts);
	struct dcc_share *shares; /* next_part's, one a worker */
} dcc_frame;

/* What the workers do between two barriers: one kernel.  For profilers; a run does not look at it. */
typedef struct dcc_step {
	const char *kernel; /* "linear.2.avx2"; its symbol is the model's name, a dot and this.  NULL: no such step */
	const char *const *nodes; /* names of the ONNX nodes that it computes; the first gave it its form */
	int32_t nnodes;
	int32_t cost; /* number for step_cost */
} dcc_step;

typedef struct dcc_target {
	const char *name; /* "avx2", "avx512" */
	uint64_t features; /* bits of dcc_cpu_features() that it needs */
	/* Runs steps first .. last - 1 as worker `worker` of `workers`, with a barrier after each, and follows the jumps that stand
	 * between them. */
	void (*program)(const dcc_frame *, int64_t worker, int64_t workers, int64_t first, int64_t last);
	/* The step that comes after step - 1: `step`, unless a jump stands there.  NULL: the program has no jumps. */
	int64_t (*next)(const dcc_frame *, int64_t step);
} dcc_target;

typedef struct dcc_model {
	char magic[8]; /* "dcc\0mod" and a NUL */
	uint32_t abi, size; /* DCC_ABI of the compiler, sizeof(dcc_model) */
	const char *name, *version; /* of the compiler */
	uint64_t model_hash; /* of the ONNX file */
	int32_t nsymbols, ninputs, noutputs, ntargets, nsteps, nmessages;
	const dcc_symbol *symbols;
	const dcc_port *inputs, *outputs;
	const dcc_target *targets; /* best first */
	const char *const *messages; /* of bad indices, {} stands for the value */
	const void *weights; /* embedded bytes; NULL if they are in a side file */
	uint64_t weights_size, weights_hash; /* bytes without the hashes that a side file ends in */
	/* Emitted code; syms holds nsymbols values and then the number of threads.
	 * bind: values from input dims; check: 0 or a dcc_status with text in *error (which may be NULL). */
	void (*bind)(const dcc_tensor *inputs, int64_t *syms);
	int32_t (*check)(const dcc_tensor *inputs, const dcc_tensor *outputs, const int64_t *syms, dcc_error *error);
	void (*output_dims)(const int64_t *syms, int64_t *dims); /* DCC_MAX_RANK per output */
	uint64_t (*workspace_size)(const int64_t *syms);
	const dcc_step *const *steps; /* steps[t]: the nsteps steps of targets[t]; NULL: not described */
	/* Floating-point operations (a multiply-add is two) of a step, and bytes of the tensors that it reads and writes, each once. */
	void (*step_cost)(const int64_t *syms, int32_t cost, double *flop, double *bytes);
	uint64_t layout_hash; /* of what the code takes for granted of a side file; 0: embedded */
	uint64_t tuning_hash; /* of the bytes of dcc --tune-file; 0: there was none */
} dcc_model;

/* ---- the library ---------------------------------------------------------------------------------------------------- */

/* Runs a model.  Returns a dcc_status; details in args->error. */
int dcc_run(const dcc_model *, const dcc_args *);
/* Binds the symbols from the dims of `inputs` (data may be NULL, but of inputs whose elements are symbols) and gives each output's dims and the workspace bytes for
 * `threads` (0 counts as 1).  Any of dims (DCC_MAX_RANK per output), workspace and error may be NULL; they are written if it succeeds.
 * Allocates and frees a little memory. */
int dcc_plan(const dcc_model *, const dcc_tensor *inputs, int ninputs, int threads, int64_t *dims, uint64_t *workspace, dcc_error *);
/* Whether a run will take these weights (NULL: the embedded ones), and whether their bytes are as they were written: a run looks at
 * size, alignment and layout only, this reads all of them.  A side file ends in a hash of its weights and one of the layout, so an
 * object runs with every side file that dcc --weights wrote for the same graph with the same options: new weights, same code. */
int dcc_check_weights(const dcc_model *, const void *weights, uint64_t size, dcc_error *);
/* Before the first run, so that it need not wait for memory: reads the weights (as dcc_args has them) and writes the workspace, whose
 * contents are lost.  What is left to that run are some pages of code and of the thread's stack.  The workspace may have any size; of
 * size 0 it may be NULL, for weights that several workspaces share.  Allocates nothing; other threads may run the model meanwhile, but
 * not in this workspace. */
int dcc_prefault(const dcc_model *, const void *weights, uint64_t weights_size, void *workspace, uint64_t workspace_size, dcc_error *);
/* Moves the weights (as dcc_args has them) into huge pages, once and for all runs: addresses and bytes stay, other threads may run the model
 * meanwhile.  What reads its weights at the memory's rate, as decoders do, takes a quarter less time (measured, GPT-2).  It costs a copy of
 * the weights, which this process no longer shares with others; what a mapping of a side file becomes is private memory that may be
 * written, and is unmapped as before.
 * *moved (it may be NULL): bytes in huge pages, whole ones of 2 MB each, if the kernel finds so many; 0, and nothing changes, if the
 * weights fill none, or the system gives none (Linux: /sys/kernel/mm/transparent_hugepage/enabled is "never", or prctl() has turned
 * them off for the process). */
int dcc_huge_pages(const dcc_model *, const void *weights, uint64_t weights_size, uint64_t *moved, dcc_error *);

const char *dcc_status_text(int status);
const char *dcc_version(void);
size_t dcc_dtype_size(int dtype); /* bytes of an element, 1 if it is packed with others; 0: unknown */
int dcc_dtype_bits(int dtype); /* of an element; 0: unknown */
size_t dcc_bytes(int dtype, int64_t elements); /* of a tensor; SIZE_MAX: of unknown type, or none that can be */

/* What this CPU and operating system offer, found once when the program starts. */
#define DCC_CPU_AVX2 1u   /* x86-64-v3: AVX2, FMA, BMI2, F16C ..., and YMM state enabled */
#define DCC_CPU_AVX512 2u /* x86-64-v4: F, CD, BW, DQ, VL, and ZMM state enabled */
#define DCC_CPU_VNNI 4u   /* AVX-512 VNNI, of a CPU that has all of AVX512 too */
uint64_t dcc_cpu_features(void);

/* A small pool: n - 1 threads (n is 1 to 1024) that sleep between runs and spin for a moment within one.  NULL: no memory, no threads
 * or another n.  Release with dcc_pool_free, which takes NULL, when no run has it.  A run on a pool that another run has, or that the
 * parent of this process made before fork(), fails with DCC_ERROR_ARGUMENT; in the child dcc_pool_free frees the memory. */
dcc_exec *dcc_pool_new(int threads);
void dcc_pool_free(dcc_exec *);

/* ---- for generated headers: arithmetic on dims that saturates where it would overflow -------------------------------- */

#define DCC_MAX_DIM INT64_C(2147483647)
#define DCC_MAX_ELEMENTS (INT64_C(1) << 47) /* of one tensor: sizes in bytes and sums of them stay far below 2^63 */

static inline int64_t dcc_add_(int64_t a, int64_t b)
{
	int64_t sum;
	return !__builtin_add_overflow(a, b, &sum) ? sum : a < 0 ? INT64_MIN : INT64_MAX;
}

static inline int64_t dcc_mul_(int64_t a, int64_t b)
{
	int64_t product;
	return !__builtin_mul_overflow(a, b, &product) ? product : (a < 0) != (b < 0) ? INT64_MIN : INT64_MAX;
}

static inline int64_t dcc_floordiv_(int64_t a, int64_t b)
{
	if (b == 0 || (b == -1 && a == INT64_MIN))
		return b ? INT64_MAX : 0;
	return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static inline int64_t dcc_mod_(int64_t a, int64_t b)
{
	int64_t r = b == 0 || b == -1 ? 0 : a % b;
	return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static inline int64_t dcc_min_(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t dcc_max_(int64_t a, int64_t b) { return a > b ? a : b; }

/* Elements, with one more axis of d: -1 beyond what a run takes. */
static inline int64_t dcc_extend_(int64_t n, int64_t d)
{
	if (n < 0 || d < 0 || d > DCC_MAX_DIM || (d != 0 && n > DCC_MAX_ELEMENTS / d))
		return -1;
	return n * d;
}

static inline size_t dcc_bytes_(int64_t n, size_t size) { return n < 0 ? SIZE_MAX : (size_t)n * size; }
static inline size_t dcc_packed_bytes_(int64_t n, size_t bits) { return n < 0 ? SIZE_MAX : ((size_t)n * bits + 7) / 8; }

/* For the emitted code: writes `text` with its {} replaced by a, b, c; returns code. */
int32_t dcc_report(dcc_error *, int32_t code, const char *text, int64_t a, int64_t b, int64_t c);

#ifdef __cplusplus
}
#endif
#endif
