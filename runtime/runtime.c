/* runtime.c - the calls that every model shares: check what the application passed, choose a target, run the program.
 *
 * Arguments are checked in a fixed order: versions and sizes, counts, each tensor (dtype, rank, constant dims, data),
 * symbols bound and in range, the model's own check (dims that depend on symbols), workspace, weights, target.  The
 * first failure is reported.  Nothing that a run does allocates, locks, calls the system or writes anything but the caller's
 * error, outputs and workspace.
 *
 * All but the calls of dcc.h and what pages.c shares (weights.h) is static: an application gets no other names of ours.
 */
#include <cpuid.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "dcc.h"
#include "escape.h"
#include "hash.h"
#include "weights.h"

enum { CacheLine = 64 }; /* bytes */

/* ---- CPU --------------------------------------------------------------------------------------------------------- */

static uint64_t cpu_features;

static uint64_t enabled_state(void) /* XCR0: what the operating system saves */
{
	uint32_t lo, hi;
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (uint64_t)hi << 32 | lo;
}

/* The x86-64-v3 and -v4 levels of the psABI, and what builds on the latter; a level counts only whole. */
static uint64_t find_features(void)
{
	const unsigned v3_1c = bit_SSE3 | bit_SSSE3 | bit_FMA | bit_CMPXCHG16B | bit_SSE4_1 | bit_SSE4_2 | bit_MOVBE |
	                       bit_POPCNT | bit_OSXSAVE | bit_AVX | bit_F16C;
	const unsigned v3_7b = bit_BMI | bit_AVX2 | bit_BMI2, v3_81c = bit_LAHF_LM | bit_LZCNT;
	const unsigned v4_7b = bit_AVX512F | bit_AVX512DQ | bit_AVX512CD | bit_AVX512BW | bit_AVX512VL;
	const uint64_t ymm = 0x6, zmm = 0xe6;
	unsigned a, b, c, d, leaf7, c7, leaf81;
	if (!__get_cpuid(1, &a, &b, &c, &d) || (c & v3_1c) != v3_1c)
		return 0;
	if (!__get_cpuid_count(7, 0, &a, &leaf7, &c7, &d) || !__get_cpuid(0x80000001, &a, &b, &leaf81, &d))
		return 0;
	uint64_t state = enabled_state();
	if ((leaf7 & v3_7b) != v3_7b || (leaf81 & v3_81c) != v3_81c || (state & ymm) != ymm)
		return 0;
	bool v4 = (leaf7 & v4_7b) == v4_7b && (state & zmm) == zmm, vnni = v4 && c7 & bit_AVX512VNNI;
	return DCC_CPU_AVX2 | (v4 ? DCC_CPU_AVX512 : 0) | (vnni ? DCC_CPU_VNNI : 0);
}

/* Once, before main and before constructors without a priority: CPUID costs microseconds in a virtual machine. */
__attribute__((constructor(101))) static void init_features(void)
{
	cpu_features = find_features();
}

uint64_t dcc_cpu_features(void)
{
	return cpu_features;
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

/* Text is cut at the end of the error's buffer. */
static void put_text(dcc_error *err, const char *s)
{
	if (!err)
		return;
	size_t at = strlen(err->text);
	while (*s && at < sizeof err->text - 1)
		err->text[at++] = *s++;
	err->text[at] = 0;
}

/* A name of the model, which may hold anything. */
static void put_name(dcc_error *err, const char *name)
{
	char one[DccMaxEscaped];
	while (*name) {
		name += escape_char(name, one);
		if (err && strlen(err->text) + strlen(one) >= sizeof err->text)
			return; /* half a character is none */
		put_text(err, one);
	}
}

static void put_int(dcc_error *err, int64_t v)
{
	char digits[24], *p = digits + sizeof digits - 1;
	uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;
	*p = 0;
	do
		*--p = (char)('0' + u % 10);
	while (u /= 10);
	if (v < 0)
		*--p = '-';
	put_text(err, p);
}

static void start_error(dcc_error *err, int32_t code)
{
	if (err) {
		err->code = code;
		err->text[0] = 0;
	}
}

int32_t dcc_report(dcc_error *err, int32_t code, const char *text, int64_t a, int64_t b, int64_t c)
{
	const int64_t values[3] = {a, b, c};
	int used = 0;
	start_error(err, code);
	if (!err)
		return code;
	while (*text) {
		if (text[0] == '{' && text[1] == '}' && used < 3) {
			put_int(err, values[used++]);
			text += 2;
			continue;
		}
		char one[2] = {*text++, 0};
		put_text(err, one);
	}
	return code;
}

static const struct {
	int32_t number;
	const char *text;
} statuses[] = {
#define ROW(name, number, text) {number, text},
	DCC_STATUS_MAP(ROW)
#undef ROW
};

const char *dcc_status_text(int status)
{
	for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
		if (statuses[i].number == status)
			return statuses[i].text;
	return "unknown status";
}

const char *dcc_version(void)
{
	return DCC_VERSION;
}

static const struct {
	int32_t dtype;
	int32_t bits;
	const char *name;
} types[] = {
	{DCC_F32, 32, "f32"}, {DCC_U8, 8, "u8"}, {DCC_I8, 8, "i8"}, {DCC_I16, 16, "i16"},
	{DCC_I32, 32, "i32"}, {DCC_I64, 64, "i64"}, {DCC_BOOL, 8, "bool"}, {DCC_F64, 64, "f64"},
	{DCC_F16, 16, "f16"}, {DCC_BF16, 16, "bf16"},
	{DCC_F8E4M3FN, 8, "f8e4m3fn"}, {DCC_F8E4M3FNUZ, 8, "f8e4m3fnuz"},
	{DCC_F8E5M2, 8, "f8e5m2"}, {DCC_F8E5M2FNUZ, 8, "f8e5m2fnuz"}, {DCC_F8E8M0, 8, "f8e8m0"},
	{DCC_U16, 16, "u16"}, {DCC_U32, 32, "u32"}, {DCC_U64, 64, "u64"},
	{DCC_F4E2M1, 4, "f4e2m1"}, {DCC_U4, 4, "u4"}, {DCC_I4, 4, "i4"}, {DCC_U2, 2, "u2"}, {DCC_I2, 2, "i2"},
};

int dcc_dtype_bits(int dtype)
{
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (types[i].dtype == dtype)
			return types[i].bits;
	return 0;
}

size_t dcc_dtype_size(int dtype)
{
	return ((size_t)dcc_dtype_bits(dtype) + 7) / 8;
}

size_t dcc_bytes(int dtype, int64_t elements)
{
	size_t bits = (size_t)dcc_dtype_bits(dtype);
	if (!bits || elements < 0 || elements > DCC_MAX_ELEMENTS)
		return SIZE_MAX;
	return ((size_t)elements * bits + 7) / 8;
}

static void put_dtype(dcc_error *err, int dtype)
{
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (types[i].dtype == dtype) {
			put_text(err, types[i].name);
			return;
		}
	put_text(err, "type ");
	put_int(err, dtype);
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

typedef struct Checker { /* one side of a call: where messages go and how they begin */
	dcc_error *err;
	const char *side; /* "input" or "output" */
} Checker;

/* Starts a message: input 'x':  */
static int32_t start_about(const Checker *k, const dcc_port *port, int32_t code)
{
	start_error(k->err, code);
	put_text(k->err, k->side);
	put_text(k->err, " '");
	put_name(k->err, port->name);
	put_text(k->err, "': ");
	return code;
}

static int32_t fail_got(dcc_error *err, int32_t code, const char *what, int64_t got, const char *expected,
			int64_t wanted)
{
	start_error(err, code);
	put_text(err, what);
	put_int(err, got);
	put_text(err, expected);
	put_int(err, wanted);
	return code;
}

static int32_t fail_dim(const Checker *k, const dcc_port *port, int d, int32_t code, int64_t got)
{
	start_about(k, port, code);
	put_text(k->err, "dim ");
	put_int(k->err, d);
	if (port->dims[d] < 0 && port->dim_text[d]) {
		put_text(k->err, " (");
		put_text(k->err, port->dim_text[d]);
		put_text(k->err, ")");
	}
	put_text(k->err, " is ");
	put_int(k->err, got);
	return code;
}

static int32_t fail_range(dcc_error *err, int32_t code, int64_t lo, int64_t hi)
{
	put_text(err, ", allowed ");
	put_int(err, lo);
	put_text(err, "..");
	put_int(err, hi);
	return code;
}

static int32_t check_model(const dcc_model *model, dcc_error *err)
{
	if (memcmp(model->magic, "dcc\0mod", sizeof model->magic))
		return dcc_report(err, DCC_ERROR_VERSION, "not a model that dcc compiled", 0, 0, 0);
	if (model->abi < DCC_ABI_OLDEST || model->abi > DCC_ABI)
		return dcc_report(err, DCC_ERROR_VERSION, "the model has ABI {}, this library runs {} to {}",
				  model->abi, DCC_ABI_OLDEST, DCC_ABI);
	if (model->size < sizeof *model)
		return fail_got(err, DCC_ERROR_VERSION, "the model's descriptor has ", model->size, " bytes, expected ",
		                sizeof *model);
	return 0;
}

/* A newer application may pass a larger struct, as long as what this library does not know is zero. */
static int32_t check_size(const void *object, uint64_t size, uint64_t known, const char *what, dcc_error *err)
{
	if (size < known || size > 4096)
		return fail_got(err, DCC_ERROR_ARGUMENT, what, (int64_t)size, ", expected ", (int64_t)known);
	const char *bytes = object;
	for (uint64_t i = known; i < size; i++)
		if (bytes[i])
			return fail_got(err, DCC_ERROR_VERSION, what, (int64_t)size, ", this library knows ",
					(int64_t)known);
	return 0;
}

static int32_t check_exec(const dcc_exec *exec, dcc_error *err)
{
	int32_t code = check_size(exec, exec->size, sizeof *exec, "exec->size is ", err);
	if (code)
		return code;
	if (exec->threads < 1 || exec->threads > DCC_MAX_THREADS)
		return dcc_report(err, DCC_ERROR_ARGUMENT, "exec->threads is {}, allowed 1..{}", exec->threads,
				  DCC_MAX_THREADS, 0);
	if (!exec->run)
		return dcc_report(err, DCC_ERROR_ARGUMENT, "exec->run is NULL", 0, 0, 0);
	if (exec->always != 0 && exec->always != 1)
		return dcc_report(err, DCC_ERROR_ARGUMENT, "exec->always is {}, allowed 0..1", exec->always, 0, 0);
	return 0;
}

static int32_t check_args(const dcc_args *args, dcc_error *err)
{
	int32_t code = check_size(args, args->size, sizeof *args, "args->size is ", err);
	if (code)
		return code;
	for (size_t i = 0; i < sizeof args->reserved / sizeof *args->reserved; i++)
		if (args->reserved[i])
			return dcc_report(err, DCC_ERROR_ARGUMENT, "args->reserved is not 0", 0, 0, 0);
	return args->exec ? check_exec(args->exec, err) : 0;
}

static int32_t check_count(const Checker *k, const dcc_tensor *tensors, int32_t n, int32_t expected)
{
	const char *side = k->side;
	if (n != expected) {
		start_error(k->err, DCC_ERROR_ARGUMENT);
		put_int(k->err, n);
		put_text(k->err, " ");
		put_text(k->err, side);
		put_text(k->err, "s, expected ");
		put_int(k->err, expected);
		return DCC_ERROR_ARGUMENT;
	}
	if (n && !tensors) {
		start_error(k->err, DCC_ERROR_ARGUMENT);
		put_text(k->err, side);
		put_text(k->err, "s is NULL");
		return DCC_ERROR_ARGUMENT;
	}
	return 0;
}

static int32_t check_dims(const Checker *k, const dcc_port *port, const dcc_tensor *t)
{
	int64_t elements = 1;
	for (int d = 0; d < port->rank; d++) {
		int64_t n = t->dims[d];
		if (port->dims[d] >= 0 && n != port->dims[d]) {
			fail_dim(k, port, d, DCC_ERROR_SHAPE, n);
			put_text(k->err, ", expected ");
			put_int(k->err, port->dims[d]);
			return DCC_ERROR_SHAPE;
		}
		if (n < 0 || n > DCC_MAX_DIM)
			return fail_range(k->err, fail_dim(k, port, d, DCC_ERROR_RANGE, n), 0, DCC_MAX_DIM);
		if (__builtin_mul_overflow(elements, n, &elements) || elements > DCC_MAX_ELEMENTS) {
			start_about(k, port, DCC_ERROR_RANGE);
			put_text(k->err, "more than 2^47 elements");
			return DCC_ERROR_RANGE;
		}
	}
	return 0;
}

static int32_t check_tensor(const Checker *k, const dcc_port *port, const dcc_tensor *t)
{
	if (t->dtype != port->dtype) {
		start_about(k, port, DCC_ERROR_DTYPE);
		put_dtype(k->err, t->dtype);
		put_text(k->err, ", expected ");
		put_dtype(k->err, port->dtype);
		return DCC_ERROR_DTYPE;
	}
	if (t->rank != port->rank) {
		start_about(k, port, DCC_ERROR_SHAPE);
		put_text(k->err, "rank ");
		put_int(k->err, t->rank);
		put_text(k->err, ", expected ");
		put_int(k->err, port->rank);
		return DCC_ERROR_SHAPE;
	}
	if (t->reserved[0] || t->reserved[1]) {
		start_about(k, port, DCC_ERROR_ARGUMENT);
		put_text(k->err, "reserved is not 0");
		return DCC_ERROR_ARGUMENT;
	}
	return check_dims(k, port, t);
}

static int32_t check_data(const Checker *k, const dcc_port *port, const dcc_tensor *t)
{
	bool empty = false;
	for (int d = 0; d < t->rank; d++)
		empty |= t->dims[d] == 0;
	if (!t->data && !empty) {
		start_about(k, port, DCC_ERROR_ARGUMENT);
		put_text(k->err, "data is NULL");
		return DCC_ERROR_ARGUMENT;
	}
	size_t bytes = dcc_dtype_size(t->dtype);
	if (bytes && (uintptr_t)t->data % bytes) {
		start_about(k, port, DCC_ERROR_ARGUMENT);
		put_text(k->err, "data is not aligned to ");
		put_int(k->err, (int64_t)bytes);
		put_text(k->err, " bytes");
		return DCC_ERROR_ARGUMENT;
	}
	return 0;
}

static int32_t check_tensors(const Checker *k, const dcc_port *ports, const dcc_tensor *tensors, int n, bool with_data)
{
	for (int i = 0; i < n; i++) {
		int32_t code = check_tensor(k, &ports[i], &tensors[i]);
		if (!code && with_data)
			code = check_data(k, &ports[i], &tensors[i]);
		if (code)
			return code;
	}
	return 0;
}

/* An output that shares its input's buffer begins `shift` elements of the axis behind it. */
static int32_t check_state(const dcc_model *model, const dcc_args *args)
{
	for (int i = 0; i < model->noutputs; i++) {
		const dcc_port *port = &model->outputs[i];
		if (!port->state)
			continue;
		const dcc_tensor *out = &args->outputs[i], *in = &args->inputs[port->state - 1];
		int64_t step = port->shift * (int64_t)dcc_dtype_size(port->dtype);
		for (int d = port->state_axis + 1; d < port->rank; d++)
			step *= in->dims[d];
		if (in->data ? (char *)out->data == (char *)in->data + step : !out->data)
			continue;
		const Checker k = {args->error, "output"};
		start_about(&k, port, DCC_ERROR_ARGUMENT);
		put_text(args->error, "is state: its data must lie ");
		put_int(args->error, step);
		put_text(args->error, " bytes behind the data of input '");
		put_name(args->error, model->inputs[port->state - 1].name);
		put_text(args->error, "'");
		return DCC_ERROR_ARGUMENT;
	}
	return 0;
}

/* ---- overlaps ----------------------------------------------------------------------------------------------------- */

typedef struct Buffer { /* memory of the caller, with the words that name it */
	const char *at, *side, *name;
	uint64_t bytes;
} Buffer;

typedef struct Buffers {
	int32_t n;
	Buffer list[DCC_MAX_COMPARED];
} Buffers;

static void add_buffer(Buffers *b, const char *side, const dcc_port *port, const dcc_tensor *t, int64_t elements)
{
	uint64_t bytes = dcc_bytes(port->dtype, elements);
	if (bytes && bytes != SIZE_MAX && t->data)
		b->list[b->n++] = (Buffer){t->data, side, port->name, bytes};
}

/* More elements than a tensor may have are no memory. */
static void add_tensor(Buffers *b, const char *side, const dcc_port *port, const dcc_tensor *t)
{
	int64_t elements = 1;
	for (int d = 0; d < port->rank; d++)
		if (__builtin_mul_overflow(elements, t->dims[d], &elements))
			return;
	add_buffer(b, side, port, t, elements);
}

/* State from its first row to the output's last.  What room is behind them is not known: a window may have slid to the end of it. */
static void add_state(Buffers *b, const dcc_port *port, const dcc_tensor *in, const dcc_port *out_port, const dcc_tensor *out)
{
	int64_t outer = 1, inner = 1, rows, elements;
	for (int d = 0; d < port->rank; d++) {
		int64_t *n = d < port->state_axis ? &outer : &inner;
		if (d != port->state_axis && __builtin_mul_overflow(*n, in->dims[d], n))
			return;
	}
	if (!outer || __builtin_add_overflow(out_port->shift, out->dims[port->state_axis], &rows) ||
	    __builtin_mul_overflow(outer - 1, port->capacity, &elements) || __builtin_add_overflow(elements, rows, &elements) ||
	    __builtin_mul_overflow(elements, inner, &elements))
		return;
	add_buffer(b, "input", port, in, elements);
}

static bool overlaps(const Buffer *a, const Buffer *b)
{
	return (uintptr_t)a->at < (uintptr_t)b->at + b->bytes && (uintptr_t)b->at < (uintptr_t)a->at + a->bytes;
}

static void put_buffer(dcc_error *err, const Buffer *b)
{
	put_text(err, b->side);
	if (!b->name)
		return;
	put_text(err, " '");
	put_name(err, b->name);
	put_text(err, "'");
}

/* What a run writes - outputs, state, the workspace - is nothing else that it is given.  An output that is state lies in its
 * input's buffer, which stands for both. */
static int32_t check_overlaps(const dcc_model *model, const dcc_args *args, uint64_t workspace)
{
	Buffers written = {0}, all = {0};
	if (model->ninputs + model->noutputs >= DCC_MAX_COMPARED)
		return 0;
	for (int i = 0; i < model->noutputs; i++)
		if (!model->outputs[i].state)
			add_tensor(&written, "output", &model->outputs[i], &args->outputs[i]);
	for (int i = 0; i < model->ninputs; i++) {
		const dcc_port *port = &model->inputs[i];
		int32_t out = port->state - 1;
		if (port->state)
			add_state(&written, port, &args->inputs[i], &model->outputs[out], &args->outputs[out]);
		else
			add_tensor(&all, "input", port, &args->inputs[i]);
	}
	if (workspace)
		written.list[written.n++] = (Buffer){args->workspace, "workspace", NULL, workspace};
	for (int i = 0; i < written.n; i++) {
		for (int j = 0; j < all.n; j++) {
			if (!overlaps(&written.list[i], &all.list[j]))
				continue;
			start_error(args->error, DCC_ERROR_ARGUMENT);
			put_buffer(args->error, &written.list[i]);
			put_text(args->error, " overlaps ");
			put_buffer(args->error, &all.list[j]);
			return DCC_ERROR_ARGUMENT;
		}
		all.list[all.n++] = written.list[i];
	}
	return 0;
}

/* ---- symbols, workspace, weights, target --------------------------------------------------------------------------- */

/* Names the input dim that is this symbol, if one is. */
static int32_t fail_symbol(const dcc_model *model, const dcc_symbol *sym, int64_t value, dcc_error *err)
{
	const Checker k = {err, "input"};
	for (int i = 0; i < model->ninputs; i++)
		for (int d = 0; d < model->inputs[i].rank; d++) {
			const dcc_port *port = &model->inputs[i];
			if (port->dims[d] < 0 && port->dim_text[d] && !strcmp(port->dim_text[d], sym->name))
				return fail_range(err, fail_dim(&k, port, d, DCC_ERROR_RANGE, value), sym->lo, sym->hi);
		}
	start_error(err, DCC_ERROR_RANGE);
	put_text(err, "symbol '");
	put_name(err, sym->name);
	put_text(err, "' is ");
	put_int(err, value);
	return fail_range(err, DCC_ERROR_RANGE, sym->lo, sym->hi);
}

static int32_t fail_values(const dcc_port *port, dcc_error *err)
{
	const Checker k = {err, "input"};
	start_about(&k, port, DCC_ERROR_ARGUMENT);
	put_text(err, "data is NULL, but its elements decide dims");
	return DCC_ERROR_ARGUMENT;
}

/* Fills syms[nsymbols] and the number of threads behind them. */
static int32_t bind_symbols(const dcc_model *model, const dcc_tensor *inputs, int threads, int64_t *syms,
			    dcc_error *err)
{
	for (int i = 0; i < model->nsymbols; i++) {
		const dcc_symbol *s = &model->symbols[i];
		if (s->source != DCC_SYMBOL_VALUE && s->source != DCC_SYMBOL_SCALED)
			continue;
		if (!inputs[s->input].data)
			return fail_values(&model->inputs[s->input], err);
		const Checker in = {err, "input"};
		const int32_t code = check_data(&in, &model->inputs[s->input], &inputs[s->input]);
		if (code)
			return code;
	}
	model->bind(inputs, syms);
	syms[model->nsymbols] = threads;
	for (int i = 0; i < model->nsymbols; i++)
		if (syms[i] < model->symbols[i].lo || syms[i] > model->symbols[i].hi)
			return fail_symbol(model, &model->symbols[i], syms[i], err);
	return 0;
}

static int32_t plan_workspace(const dcc_model *model, const int64_t *syms, uint64_t *bytes, dcc_error *err)
{
	*bytes = model->workspace_size(syms);
	return *bytes > INT64_MAX ? dcc_report(err, DCC_ERROR_RANGE, "outputs and workspace are too large for 64 bits", 0, 0, 0) : 0;
}

static int32_t check_place(const void *workspace, uint64_t need, dcc_error *err)
{
	if (need && !workspace)
		return dcc_report(err, DCC_ERROR_WORKSPACE, "workspace is NULL, needs {} bytes", (int64_t)need, 0, 0);
	if ((uintptr_t)workspace % DCC_WORKSPACE_ALIGN)
		return dcc_report(err, DCC_ERROR_WORKSPACE, "workspace is not aligned to {} bytes", DCC_WORKSPACE_ALIGN,
				  0, 0);
	return 0;
}

static int32_t check_workspace(const dcc_model *model, const dcc_args *args, const int64_t *syms, dcc_error *err)
{
	uint64_t need;
	int32_t code = plan_workspace(model, syms, &need, err);
	if (code)
		return code;
	if (need > args->workspace_size)
		return dcc_report(err, DCC_ERROR_WORKSPACE, "workspace has {} bytes, needs {} with {} thread(s)",
		                  (int64_t)args->workspace_size, (int64_t)need, syms[model->nsymbols]);
	if ((code = check_place(args->workspace, need, err)))
		return code;
	return check_overlaps(model, args, need);
}

/* What follows the weights in a side file.  Objects of before there was a layout hash end in the weights' hash alone. */
typedef struct Footer {
	uint64_t weights_hash, layout_hash;
} Footer;

static uint64_t read_word(const void *base, uint64_t at)
{
	uint64_t word;
	memcpy(&word, (const char *)base + at, sizeof word);
	return word;
}

/* Of embedded weights a copy, which has no footer; else a side file of this layout, whatever its weights are. */
static int32_t check_own_weights(const dcc_model *model, const void *weights, uint64_t size, dcc_error *err)
{
	bool copy = model->weights != NULL;
	uint64_t footer = model->layout_hash ? sizeof(Footer) : sizeof model->weights_hash;
	uint64_t last = model->layout_hash ? model->layout_hash : model->weights_hash;
	uint64_t expected = model->weights_size + (copy ? 0 : footer);
	if (size != expected)
		return fail_got(err, DCC_ERROR_WEIGHTS, copy ? "the copy of the weights has " : "the side file has ", (int64_t)size,
		                " bytes, expected ", (int64_t)expected);
	if ((uintptr_t)weights % DCC_WORKSPACE_ALIGN)
		return dcc_report(err, DCC_ERROR_WEIGHTS, "weights are not aligned to {} bytes", DCC_WORKSPACE_ALIGN, 0, 0);
	if (!copy && read_word(weights, size - sizeof last) != last)
		return dcc_report(err, DCC_ERROR_WEIGHTS, "the side file holds the weights of another model", 0, 0, 0);
	return 0;
}

/* NULL becomes the embedded weights. */
static int32_t choose_weights(const dcc_model *model, const void **weights, uint64_t size, dcc_error *err)
{
	const void *own = *weights;
	if (!own)
		*weights = model->weights;
	if (!model->weights_size)
		return 0;
	if (!*weights)
		return dcc_report(err, DCC_ERROR_WEIGHTS,
				  "the model's weights are in a side file: pass it as args->weights", 0, 0, 0);
	return own ? check_own_weights(model, own, size, err) : 0;
}

int32_t dcc_open_weights(const dcc_model *model, const void **weights, uint64_t size, dcc_error *err)
{
	start_error(err, DCC_OK);
	if (!model)
		return dcc_report(err, DCC_ERROR_ARGUMENT, "model is NULL", 0, 0, 0);
	int32_t code = check_model(model, err);
	return code ? code : choose_weights(model, weights, size, err);
}

int dcc_check_weights(const dcc_model *model, const void *weights, uint64_t size, dcc_error *err)
{
	bool side = weights != NULL;
	int32_t code = dcc_open_weights(model, &weights, size, err);
	if (code || !model->weights_size)
		return code;
	uint64_t expected = side && model->layout_hash ? read_word(weights, size - sizeof(Footer)) : model->weights_hash;
	if (hash_weight_bytes(weights, model->weights_size, 0) != expected)
		return dcc_report(err, DCC_ERROR_WEIGHTS, "the weights are damaged: their hash is another", 0, 0, 0);
	return DCC_OK;
}

/* All cache lines, and with them all pages. */
static void read_lines(const volatile char *bytes, uint64_t size)
{
	for (uint64_t at = 0; at < size; at += CacheLine)
		(void)bytes[at];
}

int dcc_prefault(const dcc_model *model, const void *weights, uint64_t weights_size, void *workspace, uint64_t workspace_size,
		 dcc_error *err)
{
	int32_t code = dcc_open_weights(model, &weights, weights_size, err);
	if (code || (code = check_place(workspace, workspace_size, err)))
		return code;
	read_lines(weights, model->weights_size);
	if (workspace_size)
		memset(workspace, 0, workspace_size);
	return DCC_OK;
}

static int32_t choose_target(const dcc_model *model, uint32_t wanted, const dcc_target **target, dcc_error *err)
{
	if (wanted > (uint32_t)model->ntargets)
		return dcc_report(err, DCC_ERROR_ARGUMENT, "args->target is {}, the model has {} target(s)", wanted,
		                  model->ntargets, 0);
	uint32_t first = wanted ? wanted - 1 : 0, last = wanted ? wanted : (uint32_t)model->ntargets;
	for (uint32_t i = first; i < last; i++)
		if (!(model->targets[i].features & ~cpu_features)) {
			*target = &model->targets[i];
			return 0;
		}
	start_error(err, DCC_ERROR_CPU);
	put_text(err, "this CPU cannot run the model's target");
	put_text(err, last - first == 1 ? " " : "s ");
	for (uint32_t i = first; i < last; i++) {
		put_text(err, i > first ? ", " : "");
		put_text(err, model->targets[i].name);
	}
	return DCC_ERROR_CPU;
}

/* ---- the calls --------------------------------------------------------------------------------------------------- */

#define Cancelled ((int64_t)DCC_ERROR_CANCELLED << 32) /* status of a run that the caller has cancelled */

typedef struct Job { /* what the callees of exec->run share */
	const dcc_frame *frame;
	const dcc_target *target;
	int32_t workers;
	int64_t first, last; /* steps */
	int64_t calls; /* of workers so far */
} Job;

static void run_worker(void *ctx, int32_t worker)
{
	Job *job = ctx;
	__atomic_fetch_add(&job->calls, 1, __ATOMIC_RELAXED);
	job->target->program(job->frame, worker, job->workers, job->first, job->last);
}

static bool is_cancelled(const dcc_frame *frame)
{
	return frame->cancel && *frame->cancel;
}

/* A cancelled run has failed, so that its loops end. */
static void record_cancel(const dcc_frame *frame)
{
	int64_t none = 0;
	__atomic_compare_exchange_n(&frame->status[0], &none, Cancelled, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

static void meet(const dcc_frame *frame, int64_t worker)
{
	if (worker == 0 && is_cancelled(frame))
		record_cancel(frame);
	frame->exec->barrier(frame->exec, (int32_t)worker);
}

/* A worker's share of a loop: how many of its parts nobody has begun.  The worker takes them first part first, and so does a neighbour who
 * has none left, since it may have to wait long for one whose CPU another process has.  Loops are numbered as each worker meets them, all in
 * one order.  A share is that of the loop which `left` names; who comes with a later one begins that one: it left the loop before when no
 * part of the same neighbours was left. */
struct dcc_share {
	_Alignas(64) uint64_t left; /* the loop's number << 32 | parts */
	uint32_t loop; /* that the worker is in; its own */
};

enum {
	Neighbours = 3, /* that are helped: looking at all costs more than it gives where they are many */
	MostSharing = 256 /* workers: their shares lie on the stack */
};

/* Parts first .. last - 1 are the share's. */
static int64_t take_part(struct dcc_share *share, uint32_t loop, int64_t first, int64_t last)
{
	uint64_t seen = __atomic_load_n(&share->left, __ATOMIC_RELAXED), taken;
	int64_t left;
	do {
		const int32_t later = (int32_t)((uint32_t)(seen >> 32) - loop);
		left = later < 0 ? last - first : (uint32_t)seen;
		if (later > 0 || !left)
			return -1;
		taken = (uint64_t)loop << 32 | (uint64_t)(left - 1);
	} while (!__atomic_compare_exchange_n(&share->left, &seen, taken, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return last - left;
}

static int64_t next_part(const dcc_frame *frame, int64_t worker, int64_t parts)
{
	const int64_t workers = frame->exec->threads;
	const uint32_t loop = frame->shares[worker].loop + 1;
	for (int64_t i = 0; i <= Neighbours && i < workers; i++) {
		const int64_t w = (worker + i) % workers;
		const int64_t part = take_part(&frame->shares[w], loop, parts * w / workers, parts * (w + 1) / workers);
		if (part >= 0)
			return part;
	}
	frame->shares[worker].loop = loop;
	return -1;
}

/* An exec that calls too few workers must not look like a run: a pool does so in a forked child, which lacks its threads. */
static int32_t fork_join(Job *job, int64_t first, int64_t last, dcc_error *err)
{
	dcc_exec *exec = job->frame->exec;
	job->first = first;
	job->last = last;
	job->calls = 0;
	exec->run(exec, run_worker, job);
	if (job->calls == job->workers)
		return 0;
	return dcc_report(err, DCC_ERROR_ARGUMENT, "exec called {} of its {} workers (a pool is in use elsewhere, or was forked)",
	                  job->calls, job->workers, 0);
}

/* What follows step - 1; a program begins with a step. */
static int64_t next_step(const dcc_target *target, const dcc_frame *frame, int64_t step)
{
	return target->next ? target->next(frame, step) : step;
}

static int32_t run_steps(const dcc_model *model, Job *job, dcc_error *err)
{
	const dcc_frame *frame = job->frame;
	int32_t code = 0;
	for (int64_t step = 0; step < model->nsteps && !code; step = next_step(job->target, frame, step + 1)) {
		if (is_cancelled(frame)) {
			record_cancel(frame);
			return 0;
		}
		job->first = step;
		job->last = step + 1;
		if (frame->exec)
			code = fork_join(job, step, step + 1, err);
		else
			run_worker(job, 0);
	}
	return code;
}

/* Would meeting after each step cost more than several workers save?  In microseconds, by rates that small models came near to on a core of
 * 2022: counted is until that is too much, so a large model costs a look at a few steps. */
static bool is_small(const dcc_model *model, const dcc_target *target, const int64_t *syms, int32_t workers)
{
	static const double flop_rate = 80e3, byte_rate = 40e3, call = 0.3, meeting = 0.8, waking = 10;
	const double most = (waking + meeting * model->nsteps) * workers / (workers - 1);
	double us = 0;
	if (!model->steps || !model->step_cost)
		return false;
	const dcc_step *steps = model->steps[target - model->targets];
	for (int i = 0; i < model->nsteps && steps[i].kernel && us <= most; i++) {
		double flop = 0, bytes = 0;
		model->step_cost(syms, steps[i].cost, &flop, &bytes);
		us += flop / flop_rate + bytes / byte_rate + call;
	}
	return us <= most;
}

static int32_t run_program(const dcc_model *model, const dcc_target *target, dcc_frame *frame, dcc_error *err)
{
	dcc_exec *exec = frame->exec;
	Job job = {frame, target, exec ? exec->threads : 1, 0, model->nsteps, 0};
	const bool shared = job.workers > 1 && job.workers <= MostSharing;
	struct dcc_share shares[shared ? job.workers : 1];
	if (shared) {
		memset(shares, 0, sizeof shares);
		frame->shares = shares;
		frame->next_part = next_part;
	}
	if (exec && exec->barrier) {
		frame->barrier = meet;
		return fork_join(&job, 0, model->nsteps, err);
	}
	if (exec || frame->cancel)
		return run_steps(model, &job, err);
	run_worker(&job, 0);
	return 0;
}

static int32_t report_failure(const dcc_model *model, const int64_t *status, dcc_error *err)
{
	int64_t cell = __atomic_load_n(&status[0], __ATOMIC_ACQUIRE);
	int32_t message = (int32_t)cell, code = (int32_t)(cell >> 32);
	if (cell == Cancelled)
		return dcc_report(err, DCC_ERROR_CANCELLED, "cancelled by the caller", 0, 0, 0);
	if (!message)
		return 0;
	bool known = message > 0 && message <= model->nmessages;
	return dcc_report(err, code ? code : DCC_ERROR_INDEX, known ? model->messages[message - 1] : "index {} is out of range",
	                  __atomic_load_n(&status[1], __ATOMIC_ACQUIRE), 0, 0);
}

/* Symbols that the data gave are in the workspace. */
static void tell_dims(const dcc_model *model, const dcc_frame *frame, int64_t *syms, int64_t *dims)
{
	const int64_t *cell = (const int64_t *)(const void *)frame->workspace;
	for (int i = 0; i < model->nsymbols; i++)
		if (model->symbols[i].source == DCC_SYMBOL_DATA)
			syms[i] = *cell++;
	model->output_dims(syms, dims);
}

static int32_t check_call(const dcc_model *model, const dcc_args *args, dcc_error *err)
{
	const Checker in = {err, "input"}, out = {err, "output"};
	int32_t code;
	if ((code = check_model(model, err)) || (code = check_args(args, err)) ||
	    (code = check_count(&in, args->inputs, args->ninputs, model->ninputs)) ||
	    (code = check_count(&out, args->outputs, args->noutputs, model->noutputs)) ||
	    (code = check_tensors(&in, model->inputs, args->inputs, model->ninputs, true)))
		return code;
	return check_tensors(&out, model->outputs, args->outputs, model->noutputs, true);
}

int dcc_run(const dcc_model *model, const dcc_args *args)
{
	if (!args)
		return DCC_ERROR_ARGUMENT;
	dcc_error *err = args->error;
	start_error(err, DCC_OK);
	if (!model)
		return dcc_report(err, DCC_ERROR_ARGUMENT, "model is NULL", 0, 0, 0);
	int32_t code = check_call(model, args, err);
	if (code)
		return code;
	int64_t syms[model->nsymbols + 1], status[2] = {0, 0};
	const dcc_target *target = NULL;
	dcc_frame frame = {.in = args->inputs, .out = args->outputs, .workspace = args->workspace, .syms = syms,
	                   .status = status, .exec = args->exec, .cancel = args->cancel};
	const void *weights = args->weights;
	if ((code = bind_symbols(model, args->inputs, args->exec ? args->exec->threads : 1, syms, err)) ||
	    (code = model->check(args->inputs, args->outputs, syms, err)) ||
	    (code = check_state(model, args)) || (code = check_workspace(model, args, syms, err)) ||
	    (code = choose_weights(model, &weights, args->weights_size, err)) ||
	    (code = choose_target(model, args->target, &target, err)))
		return code;
	frame.weights = weights;
	if (frame.exec && !frame.exec->always && frame.exec->threads > 1 && is_small(model, target, syms, frame.exec->threads)) {
		frame.exec = NULL;
		syms[model->nsymbols] = 1;
	}
	if ((code = run_program(model, target, &frame, err)) || (code = report_failure(model, status, err)))
		return code;
	if (args->out_dims)
		tell_dims(model, &frame, syms, args->out_dims);
	return DCC_OK;
}

/* The dims of the outputs, and the model's check of them and the inputs; the check wants outputs. */
static int32_t plan_outputs(const dcc_model *model, const dcc_tensor *inputs, const int64_t *syms, int64_t *dims,
			    dcc_tensor *outputs, dcc_error *err)
{
	model->output_dims(syms, dims);
	for (int i = 0; i < model->noutputs; i++) {
		outputs[i].dtype = model->outputs[i].dtype;
		outputs[i].rank = model->outputs[i].rank;
		memcpy(outputs[i].dims, dims + (size_t)i * DCC_MAX_RANK, sizeof outputs[i].dims);
	}
	return model->check(inputs, outputs, syms, err);
}

int dcc_plan(const dcc_model *model, const dcc_tensor *inputs, int ninputs, int threads, int64_t *dims,
	     uint64_t *workspace, dcc_error *err)
{
	start_error(err, DCC_OK);
	if (!model)
		return dcc_report(err, DCC_ERROR_ARGUMENT, "model is NULL", 0, 0, 0);
	const Checker in = {err, "input"};
	int32_t code = check_model(model, err);
	if (code)
		return code;
	if (threads < 0 || threads > DCC_MAX_THREADS)
		return dcc_report(err, DCC_ERROR_ARGUMENT, "threads is {}, allowed 0..{}", threads, DCC_MAX_THREADS, 0);
	if ((code = check_count(&in, inputs, ninputs, model->ninputs)) ||
	    (code = check_tensors(&in, model->inputs, inputs, model->ninputs, false)))
		return code;
	size_t nout = (size_t)model->noutputs, row = DCC_MAX_RANK * sizeof *dims;
	dcc_tensor *outputs = calloc(nout + 1, sizeof *outputs + row); /* as many as the model has: too many for a stack */
	int64_t syms[model->nsymbols + 1], *out = (int64_t *)(void *)(outputs + nout);
	uint64_t bytes = 0;
	if (!outputs)
		return dcc_report(err, DCC_ERROR_ARGUMENT, "no memory to plan {} outputs", model->noutputs, 0, 0);
	code = bind_symbols(model, inputs, threads ? threads : 1, syms, err);
	if (!code)
		code = plan_outputs(model, inputs, syms, out, outputs, err);
	if (!code)
		code = plan_workspace(model, syms, &bytes, err);
	if (!code && dims)
		memcpy(dims, out, nout * row);
	if (!code && workspace)
		*workspace = bytes;
	free(outputs);
	return code;
}
