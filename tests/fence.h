/* fence.h - runs a compiled model with every buffer between pages without access, on hostile data, at many sizes.
 *
 * Inputs, outputs, workspace and weights each lie in a Fence: pages that may be used between pages that may not, and
 * the buffer alternately against the pages behind and before it; the rest of the usable pages holds a pattern that must
 * stay.  For each size and kind of data the runs - each target that the CPU has, 1 to 3 workers, either end, another
 * garbage in workspace and outputs - must give the same status (DCC_OK or a bad index) and the same bits (of a NaN: that
 * it is one), and leave the inputs alone.
 *
 * Needs only dcc.h and a C library, so that it runs in the emulator too, where workers take turns and a fault ends the
 * program: fence_say prints each run before it starts.
 */
#ifndef DCC_FENCE_H
#define DCC_FENCE_H

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "../runtime/dcc.h"

enum {
	FencePorts = 64,
	FenceSymbols = 32,
	FenceThreads = 3,
	FenceGuard = 1 << 18, /* bytes without access on each side */
	FencePage = 4096,
	FenceLimit = 24 << 20, /* bytes of a buffer; larger sizes are left out */
	FencePairs = 8, /* two symbols take all pairs up to this */
	FenceRest = 2 /* what the symbols have that are not varied; + the number of the symbol */
};

typedef enum FenceData { DataPlain, DataSpecial, DataBits, DataCorners, DataLowest, DataHighest, NFenceData } FenceData;

typedef struct Fence {
	char *base; /* FenceGuard bytes, `size` usable ones, FenceGuard bytes */
	size_t size;
	char *p; /* the buffer */
	size_t bytes;
} Fence;

typedef struct FenceRun {
	const dcc_model *model;
	int64_t syms[FenceSymbols + 1]; /* of the size that runs */
	const void *weights; /* NULL: in the object */
	size_t weights_bytes; /* with the hashes at the end */
	dcc_exec *exec[FenceThreads + 1]; /* for 2 and 3 workers; NULL: they take turns */
	const int *sizes; /* ends with -1 */
	int data_kinds; /* of NFenceData, per size: taken in turn, plain ones always */
	bool best_only; /* all ways for the best target alone, one for the others */
	time_t deadline; /* sizes of this model that are not begun by then are left out; 0: none */
	uint64_t order; /* of the sizes of a model with a deadline */
	dcc_tensor in[FencePorts], out[FencePorts];
	Fence fin[FencePorts], fout[FencePorts], fworkspace, fweights;
	char *first[FencePorts], *copy[FencePorts]; /* outputs of the first run, inputs as they were made */
	size_t first_cap[FencePorts], copy_cap[FencePorts];
	int64_t dims[FencePorts * DCC_MAX_RANK], first_dims[FencePorts * DCC_MAX_RANK]; /* of the outputs, as the data decides */
	uint64_t state; /* of chance */
	int first_status;
	long configs, refused, too_large, failures; /* of this model */
	long runs, bad_indices, left_out;
	long nsize, capsize; /* the sizes to be run: values of the symbols */
	int64_t (*size)[FenceSymbols + 1];
	char where[400];
} FenceRun;

static bool fence_say; /* each run is announced on stdout */

static inline void fence_fail(FenceRun *r, const char *what, const char *name)
{
	if (r->failures++ < 10)
		printf("fence: %s: %s%s%s\n", r->where, what, *name ? ": " : "", name);
}

static inline uint64_t fence_chance(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static inline uint64_t fence_random(FenceRun *r)
{
	return fence_chance(&r->state);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

enum { FencePattern = 0xa5 };

static inline void place_fence(Fence *f, size_t bytes, size_t align, bool at_end)
{
	size_t need = (bytes + FencePage) / FencePage * FencePage;

	if (need > f->size) {
		if (f->base)
			munmap(f->base, f->size + 2 * FenceGuard);
		f->size = need * 2;
		f->base = mmap(NULL, f->size + 2 * FenceGuard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (f->base == MAP_FAILED || mprotect(f->base + FenceGuard, f->size, PROT_READ | PROT_WRITE)) {
			fprintf(stderr, "fence: no memory for %zu bytes\n", f->size);
			exit(2);
		}
		memset(f->base + FenceGuard, FencePattern, f->size);
	}
	f->bytes = bytes;
	f->p = f->base + FenceGuard + (at_end ? (f->size - bytes) / align * align : 0);
}

/* What a stray store within the page would hit: the alignment's slack, and a part of the free side. */
static inline bool fence_is_whole(Fence *f)
{
	char *lo = f->base + FenceGuard, *hi = lo + f->size, *end = f->p + f->bytes;
	char *from = f->p - lo > 512 ? f->p - 512 : lo, *to = hi - end > 512 ? end + 512 : hi;

	for (char *c = from; c < f->p; c++)
		if (*c != (char)FencePattern)
			return false;
	for (char *c = end; c < to; c++)
		if (*c != (char)FencePattern)
			return false;
	return true;
}

static inline void wipe_fence(Fence *f)
{
	if (f->base)
		memset(f->p, FencePattern, f->bytes);
}

static inline void keep_bytes(char **kept, size_t *cap, const void *bytes, size_t n)
{
	if (n + 1 > *cap)
		*kept = realloc(*kept, *cap = 2 * n + 1);
	memcpy(*kept, bytes, n);
}

/* ---- dims -------------------------------------------------------------------------------------------------------- */

/* The text of a dim: + - * / % (floor), parentheses, min(a, b), max(a, b), numbers, symbols. */
typedef struct DimText {
	const dcc_model *model;
	const int64_t *syms;
	const char *s;
	bool wrong;
} DimText;

static inline int64_t dim_sum(DimText *t);

static inline bool next_is(DimText *t, char c)
{
	t->s += strspn(t->s, " ");
	return *t->s == c ? (t->s++, true) : false;
}

static inline int64_t dim_word(DimText *t)
{
	size_t n = 0;
	while (isalnum((unsigned char)t->s[n]) || t->s[n] == '_' || t->s[n] == '.')
		n++;
	const char *word = t->s;
	bool least = n == 3 && !memcmp(word, "min", 3), most = n == 3 && !memcmp(word, "max", 3);
	t->s += n;
	if ((least || most) && next_is(t, '(')) {
		int64_t a = dim_sum(t), b = next_is(t, ',') ? dim_sum(t) : a;
		t->wrong |= !next_is(t, ')');
		return least == (a < b) ? a : b;
	}
	for (int i = 0; i < t->model->nsymbols; i++)
		if (!strncmp(t->model->symbols[i].name, word, n) && !t->model->symbols[i].name[n])
			return t->syms[i];
	t->wrong = true;
	return 0;
}

static inline int64_t dim_factor(DimText *t)
{
	if (next_is(t, '-'))
		return -dim_factor(t);
	if (next_is(t, '(')) {
		int64_t v = dim_sum(t);
		t->wrong |= !next_is(t, ')');
		return v;
	}
	if (!isdigit((unsigned char)*t->s))
		return dim_word(t);
	char *end;
	int64_t v = strtoll(t->s, &end, 10);
	t->s = end;
	return v;
}

static inline int64_t dim_product(DimText *t)
{
	int64_t a = dim_factor(t);
	while (!t->wrong) {
		bool times = next_is(t, '*'), divide = !times && next_is(t, '/');
		if (!times && !divide && !next_is(t, '%'))
			return a;
		int64_t b = dim_factor(t);
		if (!times && !b) {
			t->wrong = true;
			return 0;
		}
		int64_t q = times ? 0 : a / b - (a % b != 0 && (a < 0) != (b < 0));
		a = times ? a * b : divide ? q : a - q * b;
	}
	return a;
}

static inline int64_t dim_sum(DimText *t)
{
	int64_t a = dim_product(t);
	for (;;) {
		if (next_is(t, '+'))
			a += dim_product(t);
		else if (next_is(t, '-'))
			a -= dim_product(t);
		else
			return a;
	}
}

/* The dims of an input for these values of the symbols; false: there are none. */
static inline bool set_dims(const dcc_model *model, const dcc_port *port, const int64_t *syms, dcc_tensor *t)
{
	*t = (dcc_tensor){.dtype = port->dtype, .rank = port->rank};
	for (int d = 0; d < port->rank; d++) {
		DimText text = {model, syms, port->dim_text[d], false};
		t->dims[d] = port->dims[d] >= 0 ? port->dims[d] : dim_sum(&text);
		if (text.wrong || t->dims[d] < 0 || t->dims[d] > FenceLimit)
			return false;
	}
	return true;
}

/* Of the buffer: state has room for its capacity.  More than FenceLimit: FenceLimit + 1. */
static inline size_t port_bytes(const dcc_port *port, const dcc_tensor *t)
{
	size_t n = 1, bytes;
	for (int d = 0; d < port->rank; d++) {
		n *= (size_t)(port->state && d == port->state_axis ? port->capacity : t->dims[d]);
		if (n > FenceLimit)
			n = FenceLimit + 1;
		if (!n)
			return 0;
	}
	bytes = dcc_bytes(port->dtype, (int64_t)n);
	return bytes > FenceLimit ? FenceLimit + 1 : bytes;
}

/* ---- data -------------------------------------------------------------------------------------------------------- */

static inline float hostile_f32(uint64_t r, FenceData kind)
{
	static const uint32_t corners[] = {
		0x7fc00000, 0xffc00000, 0x7f800001, 0x7f800000, 0xff800000, 0x00000001, 0x80000001, 0x007fffff, 0x00800000, 0x7f7fffff,
		0xff7fffff, 0x80000000, 0x00000000, 0x3f800000, 0xbf800000, 0x4b000000, 0x5f000000, 0xdf000000, 0x42b17218, 0xc2b17218,
	};
	uint32_t bits = corners[(r >> 8) % (sizeof corners / sizeof *corners)];
	float x = (float)(r >> 40) * 0x1p-22f - 2;
	if (kind == DataPlain || (kind == DataSpecial && r % 4))
		return x;
	bits = kind == DataBits ? (uint32_t)(r >> 16) : kind == DataLowest ? 0x7fc00000 : kind == DataHighest ? 0x7f800000 : bits;
	memcpy(&x, &bits, sizeof x);
	return x;
}

static inline int64_t hostile_int(uint64_t r, FenceData kind)
{
	static const int64_t corners[] = {
		INT64_MIN, INT64_MAX, INT32_MIN, INT32_MAX, -1, 0, 1, 2, 3, -2, 1LL << 32, -(1LL << 32), 1LL << 62, 1LL << 33, 0xff,
		0x100, 0x10000, -0x10000, 1LL << 40, 7,
	};
	switch (kind) {
	case DataPlain: return (int64_t)((r >> 8) % 2);
	case DataSpecial: return (int64_t)((r >> 8) % 8) - 2;
	case DataBits: return (int64_t)r;
	case DataCorners: return corners[(r >> 8) % (sizeof corners / sizeof *corners)];
	case DataLowest: return INT64_MIN;
	default: return INT64_MAX;
	}
}

static inline void fill_hostile(FenceRun *r, char *p, size_t bytes, int dtype, FenceData kind)
{
	size_t size = dcc_dtype_size(dtype);
	for (size_t i = 0; i < bytes / size; i++) {
		uint64_t x = fence_random(r);
		float f = hostile_f32(x, kind);
		double d = kind == DataPlain ? f + 1e-9 : f;
		int64_t n = hostile_int(x, kind);
		if (dtype == DCC_BOOL && kind != DataBits)
			n = (x >> 8) % 2;
		memcpy(p + i * size, dtype == DCC_F32 ? (void *)&f : dtype == DCC_F64 ? (void *)&d : (void *)&n, size);
	}
}

static inline bool is_element(const dcc_symbol *s)
{
	return s->source == DCC_SYMBOL_VALUE || s->source == DCC_SYMBOL_SCALED;
}

/* Elements of this input that are symbols are what the size says; floats, times an extent. */
static inline void fill_values(const FenceRun *r, int input, char *p)
{
	for (int s = 0; s < r->model->nsymbols; s++) {
		const dcc_symbol *sym = &r->model->symbols[s];
		int dtype = r->model->inputs[input].dtype;
		size_t size = dcc_dtype_size(dtype);
		float f = (float)r->syms[s];
		double d = (double)r->syms[s];
		if (is_element(sym) && sym->input == input) /* little-endian */
			memcpy(p + (size_t)sym->element * size, dtype == DCC_F32 ? (void *)&f : dtype == DCC_F64 ? (void *)&d : (void *)&r->syms[s], size);
	}
}

/* ---- one run ----------------------------------------------------------------------------------------------------- */

static inline void take_turns(dcc_exec *e, void (*fn)(void *, int32_t), void *ctx)
{
	for (int32_t w = 0; w < e->threads; w++)
		fn(ctx, w);
}

static inline void make_fenced_inputs(FenceRun *r, FenceData kind, bool at_end)
{
	for (int i = 0; i < r->model->ninputs; i++) {
		const dcc_port *port = &r->model->inputs[i];
		size_t n = port_bytes(port, &r->in[i]);
		place_fence(&r->fin[i], n, dcc_dtype_size(port->dtype), at_end);
		r->in[i].data = r->fin[i].p;
		fill_hostile(r, r->fin[i].p, n, port->dtype, kind);
		if (n)
			fill_values(r, i, r->fin[i].p);
		keep_bytes(&r->copy[i], &r->copy_cap[i], r->fin[i].p, n);
	}
}

static inline void make_fenced_outputs(FenceRun *r, bool at_end, int garbage)
{
	for (int i = 0; i < r->model->noutputs; i++) {
		const dcc_port *port = &r->model->outputs[i];
		if (port->state) { /* its place in the buffer of its input */
			const dcc_tensor *in = &r->in[port->state - 1];
			int64_t step = port->shift * (int64_t)dcc_dtype_size(port->dtype);
			for (int d = port->state_axis + 1; d < port->rank; d++)
				step *= in->dims[d];
			r->out[i].data = (char *)in->data + step;
			continue;
		}
		size_t n = port_bytes(port, &r->out[i]);
		place_fence(&r->fout[i], n, dcc_dtype_size(port->dtype), at_end);
		r->out[i].data = r->fout[i].p;
		memset(r->fout[i].p, garbage, n);
	}
}

/* Outputs as bytes: state is its whole buffer. */
static inline Fence *output_fence(FenceRun *r, int i)
{
	int state = r->model->outputs[i].state;
	return state ? &r->fin[state - 1] : &r->fout[i];
}

/* Of a float, little-endian: is it NaN? */
static inline bool is_nan(const char *p, size_t size, int dtype)
{
	uint64_t x = 0, least = dtype == DCC_F32 ? 0x7f800000 : dtype == DCC_F64 ? 0x7ff0000000000000 : dtype == DCC_F16 ? 0x7c00
	                      : dtype == DCC_BF16 ? 0x7f80 : dtype == DCC_F8E5M2 ? 0x7c : dtype == DCC_F8E4M3FN ? 0x7e : UINT64_MAX;
	memcpy(&x, p, size);
	return (x & ~(1ull << (8 * size - 1))) > least;
}

/* Bits of NaN may differ between targets. */
static inline bool same_values(const char *a, const char *b, size_t bytes, int dtype)
{
	if (!memcmp(a, b, bytes))
		return true;
	for (size_t i = 0, size = dcc_dtype_size(dtype); i < bytes; i += size)
		if (memcmp(a + i, b + i, size) && !(is_nan(a + i, size, dtype) && is_nan(b + i, size, dtype)))
			return false;
	return true;
}

/* What a run has written of an output: state whole, the others in their true dims. */
static inline size_t output_bytes(FenceRun *r, int i)
{
	const dcc_port *port = &r->model->outputs[i];
	int64_t numel = 1;
	for (int d = 0; d < port->rank; d++)
		numel *= r->dims[i * DCC_MAX_RANK + d];
	size_t room = output_fence(r, i)->bytes, n = dcc_bytes(port->dtype, numel);
	if (!port->state && n > room)
		fence_fail(r, "more elements than there is room for", port->name);
	return port->state || n > room ? room : n;
}

static inline void check_run(FenceRun *r, int status, const char *text, bool first)
{
	const dcc_model *m = r->model;
	Fence *all[2 * FencePorts + 2];
	int n = 0;

	r->runs++;
	bool data = status == DCC_ERROR_INDEX || status == DCC_ERROR_RANGE || status == DCC_ERROR_SHAPE; /* plan and check have passed the dims */
	r->bad_indices += data;
	if (status && !data)
		fence_fail(r, "fails", text);
	if (!first && status != r->first_status)
		fence_fail(r, "another status than the first run's", text);
	r->first_status = first ? status : r->first_status;
	if (first)
		memcpy(r->first_dims, r->dims, sizeof r->dims);
	else if (!status && memcmp(r->first_dims, r->dims, (size_t)m->noutputs * DCC_MAX_RANK * sizeof *r->dims))
		fence_fail(r, "other dims than the first run's", "");
	for (int i = 0; i < m->noutputs && !status; i++) {
		const char *bytes = output_fence(r, i)->p;
		size_t n = output_bytes(r, i);
		if (first)
			keep_bytes(&r->first[i], &r->first_cap[i], bytes, n);
		else if (!same_values(r->first[i], bytes, n, m->outputs[i].dtype))
			fence_fail(r, "other values than the first run's", m->outputs[i].name);
	}
	for (int i = 0; i < m->ninputs; i++)
		if (!m->inputs[i].state && memcmp(r->copy[i], r->fin[i].p, r->fin[i].bytes))
			fence_fail(r, "writes an input", m->inputs[i].name);
	for (int i = 0; i < m->ninputs; i++)
		all[n++] = &r->fin[i];
	for (int i = 0; i < m->noutputs; i++)
		all[n++] = output_fence(r, i);
	all[n++] = &r->fworkspace;
	if (r->weights)
		all[n++] = &r->fweights;
	for (int i = 0; i < n; i++) {
		if (!fence_is_whole(all[i]))
			fence_fail(r, "writes beside a buffer", i < m->ninputs ? m->inputs[i].name : "");
		wipe_fence(all[i]);
	}
}

static inline bool data_decides(const dcc_model *m)
{
	for (int i = 0; i < m->nsymbols; i++)
		if (m->symbols[i].source == DCC_SYMBOL_DATA)
			return true;
	return false;
}

/* One worker, called as dcc_run does, with weights without what a side file says behind them. */
static inline int run_bare(FenceRun *r, const dcc_target *target, dcc_error *error)
{
	int64_t syms[FenceSymbols + 1] = {0}, status[2] = {0};
	dcc_frame frame = {.in = r->in, .out = r->out, .workspace = r->fworkspace.p, .weights = r->fweights.p, .syms = syms,
	                   .status = status};

	r->model->bind(r->in, syms);
	syms[r->model->nsymbols] = 1;
	int wrong = r->model->check(r->in, r->out, syms, error);
	if (wrong)
		return wrong;
	target->program(&frame, 0, 1, 0, r->model->nsteps);
	return !status[0] ? 0 : status[0] >> 32 ? (int)(status[0] >> 32) : DCC_ERROR_INDEX;
}

static inline void run_fenced(FenceRun *r, int target, int threads, bool at_end, FenceData kind, uint64_t seed, bool first)
{
	static const int garbage[] = {0, 0xff, 0x47}; /* zeros, NaN, 51014.9 */
	const dcc_model *m = r->model;
	dcc_exec turns = {.size = sizeof turns, .threads = threads, .always = 1, .run = take_turns};
	dcc_error error = {0};
	uint64_t bytes = 0;
	int trash = garbage[(target + threads + at_end) % 3];

	r->state = seed;
	make_fenced_inputs(r, kind, at_end);
	if (dcc_plan(m, r->in, m->ninputs, threads, NULL, &bytes, &error)) {
		fence_fail(r, "is not planned for so many threads", error.text);
		return;
	}
	make_fenced_outputs(r, at_end, trash);
	place_fence(&r->fworkspace, bytes, DCC_WORKSPACE_ALIGN, at_end);
	memset(r->fworkspace.p, trash, bytes);
	bool bare = r->weights && threads == 1 && !data_decides(m);
	if (r->weights) {
		place_fence(&r->fweights, bare ? m->weights_size : r->weights_bytes, 64, at_end);
		memcpy(r->fweights.p, r->weights, r->fweights.bytes);
	}
	dcc_args args = {.size = sizeof args, .inputs = r->in, .outputs = r->out, .ninputs = m->ninputs, .noutputs = m->noutputs,
	                 .workspace = r->fworkspace.p, .workspace_size = bytes, .weights = r->weights ? r->fweights.p : NULL,
	                 .weights_size = r->weights ? r->weights_bytes : 0,
	                 .exec = threads == 1 ? NULL : r->exec[threads] ? r->exec[threads] : &turns, .error = &error,
	                 .target = (uint32_t)target + 1, .out_dims = r->dims};
	for (int i = 0; i < m->noutputs; i++)
		memcpy(r->dims + i * DCC_MAX_RANK, r->out[i].dims, sizeof r->out[i].dims);
	if (fence_say)
		printf("%s\n", r->where);
	int status = bare ? run_bare(r, &m->targets[target], &error) : dcc_run(m, &args);
	check_run(r, status, error.text, first);
}

/* ---- one size ---------------------------------------------------------------------------------------------------- */

static inline bool has_values(const dcc_model *m, int input)
{
	for (int s = 0; s < m->nsymbols; s++)
		if (is_element(&m->symbols[s]) && m->symbols[s].input == input)
			return true;
	return false;
}

/* Dims and workspace; false: the model refuses the size, or it is too large. */
static inline bool plan_size(FenceRun *r, const int64_t *syms)
{
	static char values[4096]; /* of inputs with symbols among their elements; of others nothing is read */
	const dcc_model *m = r->model;
	int64_t *dims = r->dims;
	dcc_error error;
	uint64_t bytes;
	bool small = true;

	for (int i = 0; i < m->ninputs; i++)
		if (!set_dims(m, &m->inputs[i], syms, &r->in[i])) {
			r->refused++;
			return false;
		}
	memcpy(r->syms, syms, sizeof r->syms);
	for (int i = 0, at = 0; i < m->ninputs; i++) {
		size_t n = port_bytes(&m->inputs[i], &r->in[i]);
		small = small && n <= FenceLimit;
		if (!has_values(m, i) || at + n > sizeof values)
			continue;
		fill_values(r, i, values + at);
		r->in[i].data = values + at;
		at += (int)(n + 7) / 8 * 8;
	}
	if (small && dcc_plan(m, r->in, m->ninputs, FenceThreads, dims, &bytes, &error)) {
		r->refused++;
		return false;
	}
	small = small && bytes <= FenceLimit;
	for (int i = 0; i < m->noutputs && small; i++) {
		r->out[i] = (dcc_tensor){.dtype = m->outputs[i].dtype, .rank = m->outputs[i].rank};
		memcpy(r->out[i].dims, dims + i * DCC_MAX_RANK, sizeof r->out[i].dims);
		small = port_bytes(&m->outputs[i], &r->out[i]) <= FenceLimit;
	}
	r->too_large += !small;
	return small;
}

static inline void fence_size(FenceRun *r, const int64_t *syms)
{
	static const struct {
		int threads;
		bool at_end;
	} ways[] = {{1, true}, {1, false}, {2, true}, {3, false}};
	char text[200] = "";
	size_t at = 0;

	if (!plan_size(r, syms))
		return;
	for (int i = 0; i < r->model->nsymbols && at < sizeof text; i++)
		at += (size_t)snprintf(text + at, sizeof text - at, " %s=%lld", r->model->symbols[i].name, (long long)syms[i]);
	for (int k = 0; k < r->data_kinds; k++) {
		FenceData kind = k == 0 ? DataPlain : (FenceData)(1 + (r->configs + k) % (NFenceData - 1));
		uint64_t seed = (uint64_t)r->configs * NFenceData + (uint64_t)k;
		bool first = true;
		for (int t = 0; t < r->model->ntargets; t++) {
			if (r->model->targets[t].features & ~dcc_cpu_features())
				continue;
			size_t n = r->best_only && !first ? 1 : sizeof ways / sizeof *ways;
			for (size_t w = 0; w < n; w++, first = false) {
				snprintf(r->where, sizeof r->where, "%s%s, data %d, %s, %d worker(s), %s", r->model->name, text, (int)kind,
				         r->model->targets[t].name, ways[w].threads, ways[w].at_end ? "at the end" : "at the start");
				run_fenced(r, t, ways[w].threads, ways[w].at_end, kind, seed, first);
			}
		}
	}
	r->configs++;
}

static inline int64_t in_bounds(const dcc_symbol *s, int64_t v)
{
	return v < s->lo ? s->lo : v > s->hi ? s->hi : v;
}

static inline void rest_of_symbols(const dcc_model *m, int64_t *syms)
{
	for (int i = 0; i < m->nsymbols; i++)
		syms[i] = in_bounds(&m->symbols[i], FenceRest + i % 3);
}

static inline void add_size(FenceRun *r, const int64_t *syms)
{
	for (int i = 0; i < r->model->nsymbols; i++)
		if (in_bounds(&r->model->symbols[i], syms[i]) != syms[i])
			return;
	if (r->nsize == r->capsize) {
		r->capsize = r->capsize ? 2 * r->capsize : 256;
		r->size = realloc(r->size, (size_t)r->capsize * sizeof *r->size);
	}
	memcpy(r->size[r->nsize++], syms, sizeof *r->size);
}

/* Does the caller choose it? */
static inline bool varies(const dcc_symbol *s)
{
	return s->source == DCC_SYMBOL_INPUT || is_element(s);
}

/* Each symbol that the caller chooses at each size; every pair of them at all pairs of small sizes. */
static inline void list_sizes(FenceRun *r)
{
	const dcc_model *m = r->model;
	int64_t syms[FenceSymbols + 1] = {0};
	int chosen = 0;

	r->nsize = 0;
	rest_of_symbols(m, syms);
	for (int s = 0; s < m->nsymbols; s++)
		chosen += varies(&m->symbols[s]);
	if (!chosen)
		for (int k = 0; k < NFenceData; k++)
			add_size(r, syms);
	for (int s = 0; s < m->nsymbols; s++)
		for (const int *v = r->sizes; *v >= 0 && varies(&m->symbols[s]); v++) {
			rest_of_symbols(m, syms);
			syms[s] = *v;
			add_size(r, syms);
		}
	for (int s = 0; s < m->nsymbols; s++)
		for (int t = s + 1; t < m->nsymbols; t++)
			for (int v = 0; v <= FencePairs * (FencePairs + 2) && varies(&m->symbols[s]) && varies(&m->symbols[t]); v++) {
				rest_of_symbols(m, syms);
				syms[s] = v / (FencePairs + 1);
				syms[t] = v % (FencePairs + 1);
				add_size(r, syms);
			}
}

/* In another order where the time may end before the sizes do. */
static inline void fence_sizes(FenceRun *r)
{
	uint64_t chance = r->order;
	int64_t syms[FenceSymbols + 1];

	list_sizes(r);
	for (long i = r->nsize - 1; r->deadline && i > 0; i--) {
		long j = (long)(fence_chance(&chance) % ((uint64_t)i + 1));
		memcpy(syms, r->size[i], sizeof syms);
		memcpy(r->size[i], r->size[j], sizeof syms);
		memcpy(r->size[j], syms, sizeof syms);
	}
	for (long i = 0; i < r->nsize; i++) {
		if (r->deadline && time(NULL) >= r->deadline) {
			r->left_out += r->nsize - i;
			return;
		}
		fence_size(r, r->size[i]);
	}
}

/* Runs all; false if something went wrong.  The next model may use the same FenceRun, with its fences.  A model that
 * runs at no size at all is wrong too, unless elements of its inputs decide its shapes, which then may fit no size of the list. */
static inline bool fence_model(FenceRun *r)
{
	if (r->model->ninputs > FencePorts || r->model->noutputs > FencePorts || r->model->nsymbols > FenceSymbols) {
		printf("fence: %s: too many inputs, outputs or symbols: left out\n", r->model->name);
		return true;
	}
	snprintf(r->where, sizeof r->where, "%s", r->model->name);
	r->configs = r->refused = r->too_large = r->failures = 0;
	fence_sizes(r);
	bool values = false;
	for (int i = 0; i < r->model->ninputs; i++)
		values |= has_values(r->model, i);
	if (!r->configs && !r->too_large && !values && !(r->deadline && time(NULL) >= r->deadline))
		fence_fail(r, "refuses every size", "");
	return !r->failures;
}

#endif
