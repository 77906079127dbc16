/* runtime_test.c - dcc_run and dcc_plan on a model written by hand as the compiler would emit it.
 *
 * x: f32[seq, 4], keep: bool[seq], pick: i64[n]  ->  y: f32[seq, 4] = 2 * x, rows in reverse.  Step 0 writes 2 * x to
 * the workspace and checks pick, step 1 reads rows that another worker wrote: wrong without a barrier between the two.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../runtime/dcc.h"
#include "../runtime/hash.h"
#include "test.h"

enum { Cols = 4, MaxSeq = 1024 };

static void bind(const dcc_tensor *in, int64_t *syms)
{
	syms[0] = in[0].dims[0];
	syms[1] = in[2].dims[0];
}

static int32_t check(const dcc_tensor *in, const dcc_tensor *out, const int64_t *syms, dcc_error *err)
{
	if (in[1].dims[0] != syms[0])
		return dcc_report(err, DCC_ERROR_SHAPE, "input 'keep': dim 0 (seq) is {}, expected {}", in[1].dims[0],
				  syms[0], 0);
	if (out[0].dims[0] != syms[0])
		return dcc_report(err, DCC_ERROR_SHAPE, "output 'y': dim 0 (seq) is {}, expected {}", out[0].dims[0],
				  syms[0], 0);
	return 0;
}

static void output_dims(const int64_t *syms, int64_t *dims)
{
	dims[0] = syms[0];
	dims[1] = Cols;
}

static uint64_t workspace_size(const int64_t *syms)
{
	return (uint64_t)syms[0] * Cols * sizeof(float) + 64 * (uint64_t)syms[2];
}

static void fill_step(const dcc_frame *f, int64_t worker, int64_t workers)
{
	const float *x = f->in[0].data, *w = (const float *)f->weights;
	const int64_t *pick = f->in[2].data;
	float *t = (float *)f->workspace;
	for (int64_t i = worker; i < f->syms[0] * Cols; i += workers)
		t[i] = x[i] * *w;
	for (int64_t i = worker; i < f->syms[1]; i += workers) {
		int64_t none = 0;
		if ((pick[i] < 0 || pick[i] >= f->syms[0]) &&
		    __atomic_compare_exchange_n(&f->status[0], &none, 2, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			__atomic_store_n(&f->status[1], pick[i], __ATOMIC_RELEASE);
	}
}

static void turn_step(const dcc_frame *f, int64_t worker, int64_t workers)
{
	const float *t = (const float *)f->workspace;
	float *y = f->out[0].data;
	int64_t rows = f->syms[0];
	for (int64_t i = worker; i < rows; i += workers)
		memcpy(y + i * Cols, t + (rows - 1 - i) * Cols, Cols * sizeof *y);
}

static void program(const dcc_frame *f, int64_t worker, int64_t workers, int64_t first, int64_t last)
{
	void (*const steps[])(const dcc_frame *, int64_t, int64_t) = {fill_step, turn_step};
	for (int64_t i = first; i < last; i++) {
		steps[i](f, worker, workers);
		if (f->barrier)
			f->barrier(f, worker);
	}
}

static int best_ran;
static void best_program(const dcc_frame *f, int64_t worker, int64_t workers, int64_t first, int64_t last)
{
	if (worker == 0)
		best_ran = 1;
	program(f, worker, workers, first, last);
}

static const dcc_symbol symbols[] = {{.name = "seq", .lo = 1, .hi = MaxSeq}, {.name = "n", .hi = 16}};
static const dcc_port inputs[] = {
	{.name = "x", .dtype = DCC_F32, .rank = 2, .dims = {-1, Cols}, .dim_text = {"seq", "4"}},
	{.name = "keep", .dtype = DCC_BOOL, .rank = 1, .dims = {-1}, .dim_text = {"seq"}},
	{.name = "pick", .dtype = DCC_I64, .rank = 1, .dims = {-1}, .dim_text = {"n"}},
};
static const dcc_port outputs[] = {{.name = "y", .dtype = DCC_F32, .rank = 2, .dims = {-1, Cols}, .dim_text = {"seq", "4"}}};
static const dcc_target targets[] = {
    {"impossible", UINT64_C(1) << 63, program, NULL}, {"any", 0, best_program, NULL}, {"plain", 0, program, NULL}};
static const char *const messages[] = {"unused", "input 'pick': {} is no row"};
static const struct {
	_Alignas(64) float scale;
	char pad[60];
} weights = {2.0f, ""};

static dcc_model new_model(void)
{
	return (dcc_model){
	    .magic = "dcc\0mod",
	    .abi = DCC_ABI,
	    .size = sizeof(dcc_model),
	    .name = "t",
	    .version = DCC_VERSION,
	    .nsymbols = 2,
	    .ninputs = 3,
	    .noutputs = 1,
	    .ntargets = 3,
	    .nsteps = 2,
	    .nmessages = 2,
	    .symbols = symbols,
	    .inputs = inputs,
	    .outputs = outputs,
	    .targets = targets,
	    .messages = messages,
	    .weights = &weights,
	    .weights_size = 64,
	    .weights_hash = 0x1234,
	    .bind = bind,
	    .check = check,
	    .output_dims = output_dims,
	    .workspace_size = workspace_size,
	};
}

typedef struct Call { /* everything of a call that a test may spoil */
	dcc_model model;
	dcc_args args;
	dcc_error error;
	dcc_tensor in[3], out[1];
	float x[MaxSeq * Cols], y[MaxSeq * Cols];
	uint8_t keep[MaxSeq];
	int64_t pick[16];
	_Alignas(64) char workspace[MaxSeq * Cols * sizeof(float) + 64 * 64];
} Call;
static Call call;

static void reset_call(int64_t seq, int64_t n)
{
	memset(&call, 0, sizeof call);
	call.model = new_model();
	for (int i = 0; i < seq * Cols; i++)
		call.x[i] = (float)(i + 1);
	call.in[0] = (dcc_tensor){.data = call.x, .dtype = DCC_F32, .rank = 2, .dims = {seq, Cols}};
	call.in[1] = (dcc_tensor){.data = call.keep, .dtype = DCC_BOOL, .rank = 1, .dims = {seq}};
	call.in[2] = (dcc_tensor){.data = n ? call.pick : NULL, .dtype = DCC_I64, .rank = 1, .dims = {n}};
	call.out[0] = (dcc_tensor){.data = call.y, .dtype = DCC_F32, .rank = 2, .dims = {seq, Cols}};
	call.args = (dcc_args){.size = sizeof call.args,
			       .inputs = call.in,
			       .outputs = call.out,
			       .ninputs = 3,
			       .noutputs = 1,
			       .workspace = call.workspace,
			       .workspace_size = sizeof call.workspace,
			       .error = &call.error};
	memset(&call.error, 'x', sizeof call.error);
}

static void check_answer(int64_t seq)
{
	int wrong = 0;
	for (int64_t i = 0; i < seq; i++)
		for (int j = 0; j < Cols; j++)
			wrong += call.y[i * Cols + j] != 2 * call.x[(seq - 1 - i) * Cols + j];
	CHECK_EQ(wrong, 0);
}

#define EXPECT(status, message)                                                                                        \
	do {                                                                                                           \
		CHECK_EQ(dcc_run(&call.model, &call.args), status);                                                    \
		CHECK_EQ(call.error.code, status);                                                                     \
		CHECK_STR(call.error.text, message);                                                                   \
		call.args.error = NULL;                                                                                \
		CHECK_EQ(dcc_run(&call.model, &call.args), status);                                                    \
		reset_call(8, 2);                                                                                      \
	} while (0)

static void test_arguments(void)
{
	reset_call(8, 2);
	CHECK_EQ(dcc_run(&call.model, NULL), DCC_ERROR_ARGUMENT);
	CHECK_EQ(dcc_run(NULL, &call.args), DCC_ERROR_ARGUMENT);
	EXPECT(DCC_OK, "");
	call.model.magic[0] = 'x';
	EXPECT(DCC_ERROR_VERSION, "not a model that dcc compiled");
	call.model.abi = DCC_ABI + 1;
	EXPECT(DCC_ERROR_VERSION, "the model has ABI 4, this library runs 2 to 3");
	call.model.size = 8;
	CHECK_EQ(dcc_run(&call.model, &call.args), DCC_ERROR_VERSION);
	reset_call(8, 2);
	call.args.size = 0;
	CHECK_EQ(dcc_run(&call.model, &call.args), DCC_ERROR_ARGUMENT);
	CHECK(strstr(call.error.text, "args->size is 0, expected"));
	reset_call(8, 2);
	call.args.reserved[1] = 1;
	EXPECT(DCC_ERROR_ARGUMENT, "args->reserved is not 0");
	call.args.ninputs = 2;
	EXPECT(DCC_ERROR_ARGUMENT, "2 inputs, expected 3");
	call.args.noutputs = 0;
	EXPECT(DCC_ERROR_ARGUMENT, "0 outputs, expected 1");
	call.args.inputs = NULL;
	EXPECT(DCC_ERROR_ARGUMENT, "inputs is NULL");
	call.in[0].data = NULL;
	EXPECT(DCC_ERROR_ARGUMENT, "input 'x': data is NULL");
	call.out[0].data = NULL;
	EXPECT(DCC_ERROR_ARGUMENT, "output 'y': data is NULL");
	call.in[0].data = (char *)call.x + 1;
	EXPECT(DCC_ERROR_ARGUMENT, "input 'x': data is not aligned to 4 bytes");
	call.in[1].reserved[1] = 1;
	EXPECT(DCC_ERROR_ARGUMENT, "input 'keep': reserved is not 0");
	call.args.target = 9;
	EXPECT(DCC_ERROR_ARGUMENT, "args->target is 9, the model has 3 target(s)");
}

static void test_larger_args(void)
{
	struct {
		dcc_args args;
		uint64_t later;
	} longer;
	reset_call(8, 2);
	longer.args = call.args;
	longer.args.size = sizeof longer;
	longer.later = 0;
	CHECK_EQ(dcc_run(&call.model, &longer.args), DCC_OK);
	longer.later = 1;
	CHECK_EQ(dcc_run(&call.model, &longer.args), DCC_ERROR_VERSION);
}

static void test_tensors(void)
{
	reset_call(8, 2);
	call.in[0].dtype = DCC_F64;
	EXPECT(DCC_ERROR_DTYPE, "input 'x': f64, expected f32");
	call.in[0].dtype = 77;
	EXPECT(DCC_ERROR_DTYPE, "input 'x': type 77, expected f32");
	call.in[0].rank = 3;
	EXPECT(DCC_ERROR_SHAPE, "input 'x': rank 3, expected 2");
	call.in[0].rank = -1;
	EXPECT(DCC_ERROR_SHAPE, "input 'x': rank -1, expected 2");
	call.in[0].dims[1] = 5;
	EXPECT(DCC_ERROR_SHAPE, "input 'x': dim 1 is 5, expected 4");
	call.out[0].dims[1] = 5;
	EXPECT(DCC_ERROR_SHAPE, "output 'y': dim 1 is 5, expected 4");
	call.in[0].dims[0] = -3;
	EXPECT(DCC_ERROR_RANGE, "input 'x': dim 0 (seq) is -3, allowed 0..2147483647");
	call.in[0].dims[0] = INT64_MAX;
	EXPECT(DCC_ERROR_RANGE, "input 'x': dim 0 (seq) is 9223372036854775807, allowed 0..2147483647");
	call.in[0].dims[0] = 5000;
	EXPECT(DCC_ERROR_RANGE, "input 'x': dim 0 (seq) is 5000, allowed 1..1024");
	call.in[2].dims[0] = 17;
	EXPECT(DCC_ERROR_RANGE, "input 'pick': dim 0 (n) is 17, allowed 0..16");
	call.in[1].dims[0] = 7;
	EXPECT(DCC_ERROR_SHAPE, "input 'keep': dim 0 (seq) is 7, expected 8");
	call.out[0].dims[0] = 9;
	EXPECT(DCC_ERROR_SHAPE, "output 'y': dim 0 (seq) is 9, expected 8");
	reset_call(8, 0);
	EXPECT(DCC_OK, "");
}

static void test_memory(void)
{
	reset_call(8, 2);
	call.args.workspace_size = 191;
	EXPECT(DCC_ERROR_WORKSPACE, "workspace has 191 bytes, needs 192 with 1 thread(s)");
	call.args.workspace = NULL;
	EXPECT(DCC_ERROR_WORKSPACE, "workspace is NULL, needs 192 bytes");
	call.args.workspace = call.workspace + 32;
	EXPECT(DCC_ERROR_WORKSPACE, "workspace is not aligned to 64 bytes");
	call.model.weights = NULL;
	EXPECT(DCC_ERROR_WEIGHTS, "the model's weights are in a side file: pass it as args->weights");

	static struct {
		_Alignas(64) float scale;
		char pad[60];
		uint64_t hash;
	} side = {2.0f, "", 0x1234};
	call.model.weights = NULL;
	call.args.weights = &side;
	call.args.weights_size = 72;
	EXPECT(DCC_OK, "");
	call.model.weights = NULL;
	call.args.weights = &side;
	call.args.weights_size = 71;
	EXPECT(DCC_ERROR_WEIGHTS, "the side file has 71 bytes, expected 72");
	side.hash++;
	call.model.weights = NULL;
	call.args.weights = &side;
	call.args.weights_size = 72;
	EXPECT(DCC_ERROR_WEIGHTS, "the side file holds the weights of another model");
}

/* Other weights of the same layout run; damage, another layout and another size are told apart. */
/* What a run writes lies apart from all else, to the last byte; empty tensors lie nowhere. */
static void test_overlaps(void)
{
	dcc_port port = outputs[0];

	reset_call(8, 2);
	call.out[0].data = call.x;
	EXPECT(DCC_ERROR_ARGUMENT, "output 'y' overlaps input 'x'");
	call.out[0].data = call.x + 8 * Cols - 1;
	EXPECT(DCC_ERROR_ARGUMENT, "output 'y' overlaps input 'x'");
	call.out[0].data = call.x + 8 * Cols;
	EXPECT(DCC_OK, "");
	call.in[0].data = call.workspace;
	EXPECT(DCC_ERROR_ARGUMENT, "workspace overlaps input 'x'");
	call.out[0].data = call.workspace + sizeof(float) * 8 * Cols; /* where the memory of worker 0 begins */
	EXPECT(DCC_ERROR_ARGUMENT, "workspace overlaps output 'y'");
	call.in[2].data = call.in[0].data; /* inputs may */
	call.in[2].dims[0] = 0;
	EXPECT(DCC_OK, "");
	port.name = "a\x1b[2J\xe2\x80\xae" "b\xff\xc3\xa9";
	call.model.outputs = &port;
	call.out[0].dtype = DCC_BOOL;
	EXPECT(DCC_ERROR_DTYPE, "output 'a\\x1b[2J\\u202eb\\xff\xc3\xa9': bool, expected f32");
}

static void test_swap(void)
{
	static struct {
		_Alignas(64) float scale;
		char pad[60];
		uint64_t hash, layout;
	} side = {.scale = 3.0f, .layout = 0x77};
	side.hash = hash_weight_bytes(&side, 64, 0);
	reset_call(8, 2);
	call.model.weights = NULL;
	call.model.layout_hash = 0x77;
	call.args.weights = &side;
	call.args.weights_size = 80;
	CHECK_EQ(dcc_run(&call.model, &call.args), DCC_OK);
	CHECK(call.y[0] == 3 * call.x[7 * Cols]);
	CHECK_EQ(dcc_check_weights(&call.model, &side, 80, &call.error), DCC_OK);
	side.pad[17] = 1;
	CHECK_EQ(dcc_run(&call.model, &call.args), DCC_OK); /* it does not read all of them */
	CHECK_EQ(dcc_check_weights(&call.model, &side, 80, &call.error), DCC_ERROR_WEIGHTS);
	CHECK_STR(call.error.text, "the weights are damaged: their hash is another");
	CHECK_EQ(dcc_check_weights(&call.model, &side, 72, NULL), DCC_ERROR_WEIGHTS);
	CHECK_EQ(dcc_check_weights(&call.model, NULL, 0, NULL), DCC_ERROR_WEIGHTS);
	CHECK_EQ(dcc_check_weights(NULL, &side, 80, NULL), DCC_ERROR_ARGUMENT);
	side.layout++;
	CHECK_EQ(dcc_run(&call.model, &call.args), DCC_ERROR_WEIGHTS);
	CHECK_STR(call.error.text, "the side file holds the weights of another model");
	call.model = new_model();
	CHECK_EQ(dcc_check_weights(&call.model, NULL, 0, NULL), DCC_ERROR_WEIGHTS);
	call.model.weights_hash = hash_weight_bytes(&weights, 64, 0);
	CHECK_EQ(dcc_check_weights(&call.model, NULL, 0, &call.error), DCC_OK);
	CHECK(hash_weight_bytes("12345678ab", 10, 8) == hash_weight_bytes("12345678", 8, 8) + hash_weight_bytes("ab", 2, 16));
	CHECK(hash_weight_bytes("a\0", 2, 0) != hash_weight_bytes("\0a", 2, 0));
}

#define PREFAULT(status, message, ...)                                                                                  \
	do {                                                                                                           \
		CHECK_EQ(dcc_prefault(__VA_ARGS__, &call.error), status);                                      \
		CHECK_STR(call.error.text, message);                                                                      \
	} while (0)

/* The workspace is written to its last byte and not beyond; what a run would refuse is an error here, too. */
static void test_prefault(void)
{
	reset_call(8, 1);
	memset(call.workspace, 0x55, sizeof call.workspace);
	PREFAULT(DCC_OK, "", &call.model, NULL, 0, call.workspace, 100);
	CHECK(call.workspace[0] != 0x55 && call.workspace[99] != 0x55 && call.workspace[100] == 0x55);
	PREFAULT(DCC_OK, "", &call.model, NULL, 0, NULL, 0);
	PREFAULT(DCC_ERROR_WORKSPACE, "workspace is NULL, needs 64 bytes", &call.model, NULL, 0, NULL, 64);
	PREFAULT(DCC_ERROR_WORKSPACE, "workspace is not aligned to 64 bytes", &call.model, NULL, 0, call.workspace + 8, 64);
	PREFAULT(DCC_ERROR_WEIGHTS, "the copy of the weights has 65 bytes, expected 64", &call.model, &weights, 65, NULL, 0);
	PREFAULT(DCC_OK, "", &call.model, &weights, 64, NULL, 0);
	call.model.weights = NULL;
	PREFAULT(DCC_ERROR_WEIGHTS, "the model's weights are in a side file: pass it as args->weights", &call.model, NULL, 0, NULL, 0);
	call.model.abi = DCC_ABI + 1;
	CHECK_EQ(dcc_prefault(&call.model, NULL, 0, NULL, 0, NULL), DCC_ERROR_VERSION);
	PREFAULT(DCC_ERROR_ARGUMENT, "model is NULL", NULL, NULL, 0, NULL, 0);
}

/* The bytes of a huge page and more stay what and where they are, and what the application passed can still be written; less is left alone. */
static void test_huge_pages(void)
{
	enum { Page = 2 << 20, Bytes = 3 * Page };
	uint64_t moved = 1;
	uint8_t *bytes = aligned_alloc(64, Bytes), *copy = malloc(Bytes);

	reset_call(8, 1);
	CHECK_EQ(dcc_huge_pages(&call.model, NULL, 0, &moved, &call.error), DCC_OK);
	CHECK_EQ(moved, 0);
	CHECK_EQ(dcc_huge_pages(&call.model, &weights, 65, NULL, &call.error), DCC_ERROR_WEIGHTS);
	CHECK_EQ(dcc_huge_pages(NULL, NULL, 0, NULL, &call.error), DCC_ERROR_ARGUMENT);
	for (int i = 0; i < Bytes; i++)
		copy[i] = bytes[i] = (uint8_t)(i * 7 + (i >> 12));
	call.model.weights_size = Bytes;
	CHECK_EQ(dcc_huge_pages(&call.model, bytes, Bytes, &moved, &call.error), DCC_OK);
	CHECK(moved % Page == 0 && moved <= Bytes && !memcmp(bytes, copy, Bytes));
	CHECK_EQ(dcc_huge_pages(&call.model, bytes, Bytes, NULL, NULL), DCC_OK);
	memset(bytes, 1, Bytes);
	free(bytes);
	free(copy);
}

static bool mremap_fails;

/* Of the C library, for the library under test. */
void *mremap(void *from, size_t size, size_t new_size, int flags, ...)
{
	va_list rest;
	va_start(rest, flags);
	void *to = va_arg(rest, void *);
	va_end(rest);
	errno = ENOMEM;
	return mremap_fails ? MAP_FAILED : (void *)syscall(SYS_mremap, from, size, new_size, flags, to);
}

/* Where the system cannot move the copy, as a process with too many mappings, nothing takes the place of the weights, which others read:
 * not for a moment, so what is written to them still arrives in the file. */
static void test_huge_pages_fail(void)
{
	enum { Page = 2 << 20, Bytes = 3 * Page };
	const int file = memfd_create("weights", 0);
	uint64_t moved = 1;
	uint8_t *bytes = ftruncate(file, Bytes) ? MAP_FAILED : mmap(NULL, Bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), seen[Bytes / Page];

	reset_call(8, 1);
	call.model.weights_size = Bytes;
	CHECK(bytes != MAP_FAILED);
	mremap_fails = true;
	CHECK_EQ(dcc_huge_pages(&call.model, bytes, Bytes, &moved, &call.error), DCC_OK);
	mremap_fails = false;
	CHECK_EQ(moved, 0);
	for (int i = 0; i < Bytes / Page; i++) {
		bytes[i * Page + 5] = 7;
		CHECK(pread(file, &seen[i], 1, i * Page + 5) == 1 && seen[i] == 7);
	}
	munmap(bytes, Bytes);
	close(file);
}

/* Embedded weights may be run from a copy. */
static void test_copied_weights(void)
{
	static struct {
		_Alignas(64) float scale;
		char pad[60], beyond[8];
	} copy = {.scale = 5.0f};
	reset_call(8, 1);
	call.args.weights = &copy;
	call.args.weights_size = 64;
	CHECK_EQ(dcc_run(&call.model, &call.args), DCC_OK);
	CHECK(call.y[0] == 5 * call.x[7 * Cols]);
	CHECK_EQ(dcc_check_weights(&call.model, &copy, 64, &call.error), DCC_ERROR_WEIGHTS);
	CHECK_STR(call.error.text, "the weights are damaged: their hash is another");
	call.model.weights_hash = hash_weight_bytes(&copy, 64, 0);
	CHECK_EQ(dcc_check_weights(&call.model, &copy, 64, &call.error), DCC_OK);
	call.args.weights_size = 72;
	EXPECT(DCC_ERROR_WEIGHTS, "the copy of the weights has 72 bytes, expected 64");
	call.args.weights = copy.pad;
	call.args.weights_size = 64;
	EXPECT(DCC_ERROR_WEIGHTS, "weights are not aligned to 64 bytes");
}

static void test_targets(void)
{
	reset_call(8, 2);
	best_ran = 0;
	CHECK_EQ(dcc_run(&call.model, &call.args), DCC_OK);
	CHECK_EQ(best_ran, 1);
	best_ran = 0;
	call.args.target = 3;
	CHECK_EQ(dcc_run(&call.model, &call.args), DCC_OK);
	CHECK_EQ(best_ran, 0);
	check_answer(8);
	call.args.target = 1;
	EXPECT(DCC_ERROR_CPU, "this CPU cannot run the model's target impossible");
	call.model.ntargets = 1;
	EXPECT(DCC_ERROR_CPU, "this CPU cannot run the model's target impossible");
	CHECK(!(dcc_cpu_features() & DCC_CPU_AVX512) || (dcc_cpu_features() & DCC_CPU_AVX2));
	CHECK_EQ(!!(dcc_cpu_features() & DCC_CPU_AVX512), !!__builtin_cpu_supports("avx512vl"));
	CHECK_EQ(!!(dcc_cpu_features() & DCC_CPU_AVX2), !!__builtin_cpu_supports("avx2"));
}

static void test_index(void)
{
	reset_call(8, 2);
	call.pick[1] = -7;
	EXPECT(DCC_ERROR_INDEX, "input 'pick': -7 is no row");
}

/* An application's exec without barrier: each worker after the other. */
static int forks;
static void run_in_turn(dcc_exec *exec, void (*fn)(void *, int32_t), void *ctx)
{
	forks++;
	for (int i = exec->threads; i-- > 0;)
		fn(ctx, i);
}

static void test_exec(void)
{
	dcc_exec turns = {.size = sizeof turns, .threads = 3, .run = run_in_turn};
	reset_call(37, 2);
	call.args.exec = &turns;
	CHECK_EQ(dcc_run(&call.model, &call.args), DCC_OK);
	CHECK_EQ(forks, 2);
	check_answer(37);
	call.pick[0] = 37;
	CHECK_EQ(dcc_run(&call.model, &call.args), DCC_ERROR_INDEX);

	dcc_exec *pool = dcc_pool_new(4);
	CHECK(pool != NULL);
	for (int i = 0; i < 200; i++) {
		reset_call(1 + i, 2);
		call.args.exec = pool;
		CHECK_EQ(dcc_run(&call.model, &call.args), DCC_OK);
		check_answer(1 + i);
	}
	call.pick[1] = 1 << 20;
	CHECK_EQ(dcc_run(&call.model, &call.args), DCC_ERROR_INDEX);
	CHECK_STR(call.error.text, "input 'pick': 1048576 is no row");
	call.args.workspace_size = 200 * Cols * 4 + 3 * 64;
	CHECK_EQ(dcc_run(&call.model, &call.args), DCC_ERROR_WORKSPACE);
	dcc_pool_free(pool);

	reset_call(8, 2);
	call.args.exec = &turns;
	turns.threads = 0;
	EXPECT(DCC_ERROR_ARGUMENT, "exec->threads is 0, allowed 1..65536");
	turns.threads = 2;
	turns.run = NULL;
	call.args.exec = &turns;
	EXPECT(DCC_ERROR_ARGUMENT, "exec->run is NULL");
}

/* State without elements may be NULL, then so is the output; a plan that reads an element wants it aligned. */
static void test_state_and_values(void)
{
	dcc_symbol known[2] = {symbols[0], symbols[1]};
	dcc_port state = outputs[0];
	state.state = 1;
	state.capacity = 8;
	known[0].lo = 0;
	reset_call(0, 0);
	call.model.outputs = &state;
	call.model.symbols = known;
	call.in[0].data = call.out[0].data = NULL;
	CHECK_EQ(dcc_run(&call.model, &call.args), DCC_OK);
	call.out[0].data = call.y;
	EXPECT(DCC_ERROR_ARGUMENT, "output 'y': is state: its data must lie 0 bytes behind the data of input 'x'");

	reset_call(8, 2);
	known[1].source = DCC_SYMBOL_VALUE;
	known[1].input = 2;
	call.model.symbols = known;
	CHECK_EQ(dcc_plan(&call.model, call.in, 3, 1, NULL, NULL, &call.error), DCC_OK);
	call.in[2].data = (char *)call.pick + 1;
	CHECK_EQ(dcc_plan(&call.model, call.in, 3, 1, NULL, NULL, &call.error), DCC_ERROR_ARGUMENT);
	CHECK_STR(call.error.text, "input 'pick': data is not aligned to 8 bytes");
}

/* Loops of many parts and of few, two of them in a step, as kernels run them: each part must be done once, whoever does it. */
enum { Loops = 6, MaxParts = 40 };
static const int loop_parts[Loops] = {40, 3, 17, 1, 0, 25};
static atomic_int done_parts[Loops][MaxParts], by_first[Loops]; /* by_first: by the last worker, which run_in_turn calls first */
static void sharing_program(const dcc_frame *f, int64_t worker, int64_t workers, int64_t first, int64_t last)
{
	for (int64_t i = first; i < last; i++) {
		for (int loop = (int)i * Loops / 2; loop < ((int)i + 1) * Loops / 2; loop++)
			for (int64_t part; (part = f->next_part(f, worker, loop_parts[loop])) >= 0;) {
				atomic_fetch_add(&done_parts[loop][part], 1);
				if (worker == workers - 1)
					atomic_fetch_add(&by_first[loop], 1);
			}
		if (f->barrier)
			f->barrier(f, worker);
	}
}

static void run_sharing(dcc_exec *exec)
{
	static const dcc_target sharing = {"sharing", 0, sharing_program, NULL};
	int wrong = 0;
	reset_call(8, 2);
	call.model.targets = &sharing;
	call.model.ntargets = 1;
	call.args.exec = exec;
	memset(done_parts, 0, sizeof done_parts);
	memset(by_first, 0, sizeof by_first);
	CHECK_EQ(dcc_run(&call.model, &call.args), DCC_OK);
	for (int loop = 0; loop < Loops; loop++)
		for (int part = 0; part < MaxParts; part++)
			wrong += done_parts[loop][part] != (part < loop_parts[loop]);
	CHECK_EQ(wrong, 0);
}

static void test_sharing(void)
{
	dcc_exec turns = {.size = sizeof turns, .threads = 3, .run = run_in_turn};
	run_sharing(&turns); /* the first one does all, since the others are that late */
	for (int loop = 0; loop < Loops; loop++)
		CHECK_EQ(by_first[loop], loop_parts[loop]);
	turns.threads = 8; /* its own and those of three neighbours */
	run_sharing(&turns);
	CHECK_EQ(by_first[0], 20);
	for (int threads = 2; threads <= 9; threads++) {
		dcc_exec *pool = dcc_pool_new(threads);
		for (int i = 0; i < 100; i++)
			run_sharing(pool);
		dcc_pool_free(pool);
	}
}

/* Two steps of so many microseconds each, roughly, on one thread: 80 kflop are one. */
static double step_us;
static void cost_of_step(const int64_t *syms, int32_t cost, double *flop, double *bytes)
{
	CHECK_EQ(syms[0], 8);
	CHECK(cost == 3 || cost == 4);
	*flop = 40e3 * step_us;
	*bytes = 20e3 * step_us;
}

static void test_small_runs(void)
{
	static const dcc_step both[] = {{.kernel = "fill", .cost = 3}, {.kernel = "turn", .cost = 4}};
	static const dcc_step *const steps[] = {both, both, both};
	static const struct {
		double us;
		int always, threads, forks;
	} cases[] = {{1, 0, 2, 0}, {1, 1, 2, 2}, {10, 0, 2, 0}, {13, 0, 2, 2}, {7, 0, 3, 0}, {10, 0, 3, 2}, {1e9, 0, 2, 2}, {1, 0, 1, 2}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		dcc_exec turns = {.size = sizeof turns, .threads = cases[i].threads, .always = cases[i].always, .run = run_in_turn};
		reset_call(8, 2);
		call.model.steps = steps;
		call.model.step_cost = cost_of_step;
		call.args.exec = &turns;
		step_us = cases[i].us;
		forks = 0;
		CHECK_EQ(dcc_run(&call.model, &call.args), DCC_OK);
		CHECK_EQ(forks, cases[i].forks);
		check_answer(8);
	}
	dcc_exec odd = {.size = sizeof odd, .threads = 2, .always = 2, .run = run_in_turn};
	call.args.exec = &odd;
	EXPECT(DCC_ERROR_ARGUMENT, "exec->always is 2, allowed 0..1");
}

/* Calls all workers but the last. */
static void run_too_few(dcc_exec *exec, void (*fn)(void *, int32_t), void *ctx)
{
	for (int i = 0; i < exec->threads - 1; i++)
		fn(ctx, i);
}

/* A run inside of a run, on the same pool. */
static dcc_exec *taken;
static int inner_status;
static void run_within(const dcc_frame *f, int64_t worker, int64_t workers, int64_t first, int64_t last)
{
	static Call inner;
	if (worker == 0) {
		inner = call;
		inner.model.targets = targets + 1;
		inner.args.inputs = inner.in;
		inner.args.exec = taken;
		inner_status = dcc_run(&inner.model, &inner.args);
	}
	program(f, worker, workers, first, last);
}

static void test_pool_misuse(void)
{
	static const dcc_target within = {"within", 0, run_within, NULL};
	dcc_exec few = {.size = sizeof few, .threads = 3, .run = run_too_few};
	reset_call(8, 2);
	call.args.exec = &few;
	EXPECT(DCC_ERROR_ARGUMENT, "exec called 2 of its 3 workers (a pool is in use elsewhere, or was forked)");

	taken = dcc_pool_new(2);
	call.args.exec = taken;
	call.model.targets = &within;
	call.model.ntargets = 1;
	CHECK_EQ(dcc_run(&call.model, &call.args), DCC_OK);
	CHECK_EQ(inner_status, DCC_ERROR_ARGUMENT);
	check_answer(8);

	reset_call(8, 2);
	call.args.exec = taken;
	pid_t child = fork();
	if (child == 0) {
		alarm(10); /* instead of a hang */
		int status = dcc_run(&call.model, &call.args);
		dcc_pool_free(taken);
		call.args.exec = dcc_pool_new(2); /* its own works */
		_exit(status == DCC_ERROR_ARGUMENT && dcc_run(&call.model, &call.args) == DCC_OK ? 7 : 1);
	}
	int status = 0;
	CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 7);
	CHECK_EQ(dcc_run(&call.model, &call.args), DCC_OK);
	dcc_pool_free(taken);
	CHECK(dcc_pool_new(0) == NULL && dcc_pool_new(-1) == NULL && dcc_pool_new(1025) == NULL);
	dcc_pool_free(NULL);
}

static uint64_t too_large(const int64_t *syms)
{
	(void)syms;
	return UINT64_MAX;
}

/* The sizes of what cannot run are an error, not a number to allocate. */
static void test_overflow(void)
{
	uint64_t bytes = 5;
	reset_call(8, 2);
	call.model.workspace_size = too_large;
	CHECK_EQ(dcc_plan(&call.model, call.in, 3, 1, NULL, &bytes, &call.error), DCC_ERROR_RANGE);
	CHECK_STR(call.error.text, "outputs and workspace are too large for 64 bits");
	CHECK_EQ(bytes, 5);
	call.args.workspace_size = UINT64_MAX;
	CHECK_EQ(dcc_run(&call.model, &call.args), DCC_ERROR_RANGE);
}

enum { Many = 20000 };
static int32_t check_many(const dcc_tensor *in, const dcc_tensor *out, const int64_t *syms, dcc_error *err)
{
	(void)in, (void)err;
	return out[Many - 1].dims[0] == syms[0] ? 0 : DCC_ERROR_SHAPE;
}

static void many_dims(const int64_t *syms, int64_t *dims)
{
	for (int i = 0; i < Many; i++)
		dims[(size_t)i * DCC_MAX_RANK] = syms[0];
}

static void *plan_many(void *arg)
{
	static dcc_port ports[Many];
	(void)arg;
	for (int i = 0; i < Many; i++)
		ports[i] = (dcc_port){.name = "y", .dtype = DCC_F32, .rank = 1, .dims = {-1}};
	reset_call(8, 2);
	call.model.noutputs = Many;
	call.model.outputs = ports;
	call.model.check = check_many;
	call.model.output_dims = many_dims;
	CHECK_EQ(dcc_plan(&call.model, call.in, 3, 1, NULL, NULL, &call.error), DCC_OK);
	return NULL;
}

/* However many outputs there are, a small stack will do. */
static void test_plan_stack(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 128 << 10);
	CHECK(!pthread_create(&thread, &attr, plan_many, NULL) && !pthread_join(thread, NULL));
	pthread_attr_destroy(&attr);
}

static void test_plan(void)
{
	int64_t dims[DCC_MAX_RANK];
	uint64_t bytes;
	reset_call(10, 3);
	call.in[0].data = NULL;
	CHECK_EQ(dcc_plan(&call.model, call.in, 3, 0, dims, &bytes, &call.error), DCC_OK);
	CHECK_EQ(dims[0], 10);
	CHECK_EQ(dims[1], Cols);
	CHECK_EQ(bytes, 10 * Cols * 4 + 64);
	CHECK_EQ(dcc_plan(&call.model, call.in, 3, 5, NULL, &bytes, NULL), DCC_OK);
	CHECK_EQ(bytes, 10 * Cols * 4 + 5 * 64);
	CHECK_EQ(dcc_plan(&call.model, call.in, 2, 1, NULL, NULL, &call.error), DCC_ERROR_ARGUMENT);
	CHECK_EQ(dcc_plan(&call.model, call.in, 3, -1, NULL, NULL, &call.error), DCC_ERROR_ARGUMENT);
	CHECK_EQ(dcc_plan(NULL, call.in, 3, 1, NULL, NULL, &call.error), DCC_ERROR_ARGUMENT);
	call.in[1].dims[0] = 4;
	CHECK_EQ(dcc_plan(&call.model, call.in, 3, 1, NULL, NULL, &call.error), DCC_ERROR_SHAPE);
	CHECK_STR(call.error.text, "input 'keep': dim 0 (seq) is 4, expected 10");
}

static void test_report(void)
{
	dcc_error e;
	CHECK_EQ(dcc_report(&e, 7, "{} {}{} {}", INT64_MIN, 0, INT64_MAX), 7);
	CHECK_STR(e.text, "-9223372036854775808 09223372036854775807 {}");
	char text[400];
	memset(text, 'a', sizeof text);
	text[399] = 0;
	dcc_report(&e, 1, text, 0, 0, 0);
	CHECK_EQ(strlen(e.text), sizeof e.text - 1);
	CHECK_EQ(dcc_report(NULL, 3, "x", 0, 0, 0), 3);
	CHECK_STR(dcc_status_text(DCC_ERROR_CPU),
		  "the CPU lacks every instruction set that the model was compiled for");
	CHECK_STR(dcc_status_text(-1), "unknown status");
	CHECK_STR(dcc_version(), DCC_VERSION);
	CHECK_EQ(dcc_dtype_size(DCC_I16), 2);
	CHECK_EQ(dcc_dtype_size(0), 0);
	CHECK_EQ(dcc_dtype_size(DCC_I4), 1);
	CHECK(dcc_dtype_bits(DCC_U2) == 2 && dcc_dtype_bits(DCC_F8E8M0) == 8 && dcc_dtype_bits(DCC_F64) == 64 && dcc_dtype_bits(8) == 0);
	CHECK(dcc_bytes(DCC_I4, 5) == 3 && dcc_bytes(DCC_U2, 8) == 2 && dcc_bytes(DCC_F4E2M1, 0) == 0 && dcc_bytes(DCC_F32, 3) == 12);
	CHECK(dcc_bytes(8, 1) == SIZE_MAX && dcc_bytes(DCC_I4, -1) == SIZE_MAX && dcc_bytes(DCC_I4, INT64_MAX) == SIZE_MAX);
}

int main(void)
{
	test_arguments();
	test_larger_args();
	test_tensors();
	test_memory();
	test_overlaps();
	test_swap();
	test_prefault();
	test_huge_pages();
	test_huge_pages_fail();
	test_copied_weights();
	test_targets();
	test_index();
	test_exec();
	test_pool_misuse();
	test_sharing();
	test_state_and_values();
	test_small_runs();
	test_plan();
	test_plan_stack();
	test_overflow();
	test_report();
	return test_end("runtime");
}
