/* schedule.h - runs a small module in every way there is and compares.
 *
 * A Family is one module as IR text, built by param(), line() and result(), whose dims are symbols.  It is compiled
 * once, for every target that the CPU has into one object, loaded with LLJIT, and run for each binding of a sweep
 * ("m=0-29,256 k=5"):
 *   - on each of these targets, with 1 and 3 workers (a pool, or in turns), and as -O0 compiles it;
 *   - inputs, outputs, weights and workspace lie against pages without access, alternately at their end and their
 *     begin, and are filled with different garbage in each run;
 *   - all runs must agree to the bit (NaN payloads aside), with each other, and in small cases with the loop
 *     interpreter, which runs the schedules of every target;
 *   - and with the evaluator within Tolerance of the largest output; integers exactly.
 *
 * A family may also be compiled for fixed dims, which gives other code.
 *
 * Values of inputs go by the first letter of the name: p: 0.1 to 2; s: infinities, NaN, zeros, denormals among others;
 * iN_: integers in [-N, N); uN_: in [0, N); floats otherwise in [-1, 1), integers in [-100, 100).
 */
#ifndef DCC_TESTS_SCHEDULE_H
#define DCC_TESTS_SCHEDULE_H

#include <llvm-c/Core.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Target.h>
#include <ctype.h>
#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../backend/backend.h"
#include "../passes/passes.h"
#include "../runtime/dcc.h"
#include "test.h"

#define TOLERANCE 2e-5
#define TOLERANCE_F64 1e-9

enum {
	MaxPorts = 64,
	MaxTargets = 4,
	Guard = 1 << 16 /* bytes */,
	SmallWork = 50000 /* elements of inputs and outputs that the interpreter takes */
};

typedef struct Text {
	char *s;
	size_t n, cap;
} Text;

typedef struct Family {
	const char *name;
	Text syms, consts, params, body, results, yields;
	const char *fixed; /* "m=13 k=5": constants instead of symbols; NULL: symbols */
	int nresult, nline;
	Module *oracle, *lowered;
	int ntarget;
	const Target *targets[MaxTargets];
	const dcc_model *model, *quick; /* quick: -O0; NULL: not compiled */
	LLVMOrcLLJITRef jit, quick_jit;
	void *weights;
	size_t weights_bytes;
	int runs, interpreted;
} Family;

/* ---- text -------------------------------------------------------------------------------------------------------- */

static inline __attribute__((format(printf, 2, 0))) void add_text_v(Text *t, const char *fmt, va_list ap)
{
	va_list again;
	va_copy(again, ap);
	size_t need = (size_t)vsnprintf(NULL, 0, fmt, again) + 1;
	va_end(again);
	if (t->n + need > t->cap)
		t->s = realloc(t->s, t->cap = 2 * (t->n + need));
	t->n += (size_t)vsnprintf(t->s + t->n, need, fmt, ap);
}

static inline __attribute__((format(printf, 2, 3))) void add_text(Text *t, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	add_text_v(t, fmt, ap);
	va_end(ap);
}

/* "sym m in 0.." */
static inline void symbol(Family *f, const char *name, int lo)
{
	add_text(&f->syms, "sym %s in %d..\n", name, lo);
}

/* "x: f32[m, 4]" */
static inline __attribute__((format(printf, 2, 3))) void param(Family *f, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	add_text(&f->params, "%s%%", f->params.n ? ", " : "");
	add_text_v(&f->params, fmt, ap);
	va_end(ap);
}

static inline __attribute__((format(printf, 2, 3))) void line(Family *f, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	add_text_v(&f->body, fmt, ap);
	add_text(&f->body, "\n");
	va_end(ap);
}

/* The value of the given type: `%` and its name, then the type. */
static inline void result(Family *f, const char *value, const char *type)
{
	add_text(&f->results, "%sy%d: %s", f->nresult ? ", " : "", f->nresult, type);
	add_text(&f->yields, "%s%s", f->nresult ? ", " : "", value);
	f->nresult++;
}

/* Constant weights %NAME of `dims` ("4, 8"; n elements) without a table: sin(step * i). */
static inline void weights(Family *f, const char *name, const char *dims, int n)
{
	add_text(&f->consts, "const @%s.step: f32[] = [%g]\n", name, 0.37 + 0.01 * f->nline++);
	line(f, "%%%s.0: i64[%d] = iota {start=1}", name, n);
	line(f, "%%%s.1: f32[%d] = cast %%%s.0", name, n, name);
	line(f, "%%%s.2: f32[%d] = mul %%%s.1, @%s.step", name, n, name, name);
	line(f, "%%%s.3: f32[%d] = sin %%%s.2", name, n, name);
	line(f, "%%%s: f32[%s] = reshape %%%s.3", name, dims, name);
}

/* The number of symbol `name` in "m=13 k=5"; -1: it is not there. */
static inline long fixed_value(const char *fixed, char name)
{
	for (const char *s = fixed; s && *s; s += strcspn(s, " "), s += strspn(s, " "))
		if (s[0] == name && s[1] == '=')
			return atol(s + 2);
	return -1;
}

/* Symbols are single letters: words that no %, @ or dot precedes. */
static inline char *fix_symbols(char *text, const char *fixed)
{
	Text t = {0};
	char before = ' ';

	for (const char *s = text; *s; before = *s++) {
		bool word = (isalpha((unsigned char)*s) && !isalnum((unsigned char)s[1]) && !strchr("_.:", s[1]));
		long value = word && !isalnum((unsigned char)before) && !strchr("_.%@", before) ? fixed_value(fixed, *s) : -1;
		if (value < 0)
			add_text(&t, "%c", *s);
		else
			add_text(&t, "%ld", value);
	}
	free(text);
	return t.s;
}

static inline char *family_text(const Family *f)
{
	Text t = {0};
	add_text(&t, "dcc-ir 1 stage import\nmodel %s #0000000000000000\n%s%s", f->name, f->syms.n && !f->fixed ? f->syms.s : "",
	       f->consts.n ? f->consts.s : "");
	add_text(&t, "func @main(%s) -> (%s) {\n%sreturn %s\n}\n", f->params.n ? f->params.s : "", f->results.s,
	       f->body.n ? f->body.s : "", f->yields.s);
	return f->fixed ? fix_symbols(t.s, f->fixed) : t.s;
}

/* ---- compiling --------------------------------------------------------------------------------------------------- */

static inline bool has_target(const Target *t)
{
	return !(t->need & ~dcc_cpu_features());
}

static inline void must(LLVMErrorRef err)
{
	if (err)
		bug("%s", LLVMGetErrorMessage(err));
}

static inline const void *link_object(const Family *f, const void *bytes, size_t size, LLVMOrcLLJITRef *jit)
{
	LLVMOrcExecutorAddress address;
	char symbol_name[64];

	LLVMInitializeX86TargetInfo();
	LLVMInitializeX86Target();
	LLVMInitializeX86TargetMC();
	LLVMInitializeX86AsmPrinter();
	must(LLVMOrcCreateLLJIT(jit, NULL));
	LLVMOrcJITDylibRef lib = LLVMOrcLLJITGetMainJITDylib(*jit);
	const LLVMJITSymbolFlags flags = {LLVMJITSymbolGenericFlagsExported, 0};
	LLVMOrcCSymbolMapPair own[] = {
		{LLVMOrcLLJITMangleAndIntern(*jit, "dcc_run"), {(uintptr_t)dcc_run, flags}},
		{LLVMOrcLLJITMangleAndIntern(*jit, "dcc_report"), {(uintptr_t)dcc_report, flags}},
	};
	must(LLVMOrcJITDylibDefine(lib, LLVMOrcAbsoluteSymbols(own, 2)));
	LLVMOrcDefinitionGeneratorRef process;
	must(LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&process, LLVMOrcLLJITGetGlobalPrefix(*jit), NULL, NULL));
	LLVMOrcJITDylibAddGenerator(lib, process);
	must(LLVMOrcLLJITAddObjectFile(*jit, lib, LLVMCreateMemoryBufferWithMemoryRangeCopy(bytes, size, f->name)));
	snprintf(symbol_name, sizeof symbol_name, "%s_model", f->lowered->name);
	must(LLVMOrcLLJITLookup(*jit, &address, symbol_name));
	return (const void *)(uintptr_t)address;
}

static inline const dcc_model *compile_code(const Family *f, const EmitOptions *emit, LLVMOrcLLJITRef *jit)
{
	void *bytes;
	size_t size;
	emit_object_memory(f->lowered->loops, emit, &bytes, &size);
	const dcc_model *model = link_object(f, bytes, size, jit);
	free(bytes);
	return model;
}

/* f->lowered becomes loop IR and code. */
static inline void compile_modules(Family *f)
{
	const Target *usable[MaxTargets];
	EmitOptions emit = {.target = usable};
	for (int i = 0; i < ntargets; i++)
		f->targets[i] = &targets[i];
	f->ntarget = useful_targets(f->lowered, f->targets, ntargets);
	for (int i = 0; i < f->ntarget; i++)
		if (has_target(f->targets[i]))
			usable[emit.ntarget++] = f->targets[i];
	PassOptions passes = {.bisect_limit = -1, .ntarget = f->ntarget, .target = f->targets};

	run_passes(f->lowered, &passes);
	f->model = compile_code(f, &emit, &f->jit);
	emit.quick = true;
	if (f->fixed) /* the tier quick has no time for more: emit_test and fuzz_graph_test compare the two levels too */
		f->quick = compile_code(f, &emit, &f->quick_jit);
	emit_weights_memory(f->lowered->loops, &f->weights, &f->weights_bytes);
}

static inline void compile_family(Family *f)
{
	char *text = family_text(f);

	if (getenv("DCC_TEST_TEXT"))
		fputs(text, stderr);
	f->oracle = parse_module(f->name, text);
	f->lowered = parse_module(f->name, text);
	free(text);
	compile_modules(f);
}

static inline void free_family(Family *f)
{
	must(LLVMOrcDisposeLLJIT(f->jit));
	if (f->quick)
		must(LLVMOrcDisposeLLJIT(f->quick_jit));
	free_module(f->oracle);
	free_module(f->lowered);
	free(f->weights);
	Text *all[] = {&f->syms, &f->consts, &f->params, &f->body, &f->results, &f->yields};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		free(all[i]->s);
}

/* ---- memory with edges ------------------------------------------------------------------------------------------- */

typedef struct Region {
	char *base; /* Guard bytes without access, `size` with, Guard without */
	size_t size;
} Region;

static inline void *place(Region *r, size_t bytes, size_t align, bool at_end, int garbage)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), need = (bytes + page) / page * page;

	if (need > r->size) {
		if (r->base)
			munmap(r->base, r->size + 2 * Guard);
		r->size = need * 2;
		r->base = mmap(NULL, r->size + 2 * Guard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (r->base == MAP_FAILED || mprotect(r->base + Guard, r->size, PROT_READ | PROT_WRITE))
			bug("no memory for %zu bytes", r->size);
	}
	char *p = r->base + Guard;
	if (at_end)
		p += (r->size - bytes) / align * align;
	memset(p, garbage, bytes);
	return p;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static uint64_t random_state = 88172645463325252u;

static inline double next_uniform(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (double)(random_state >> 11) * 0x1p-53;
}

static inline double input_value(const char *name, DType t)
{
	static const double special[] = {NAN,   INFINITY, -INFINITY, 0,     -0.0, 1e-40, 3e38,
					 -3e38, 100,      -100,      1e-20, 2.5,  0.5,   -0.5};
	double u = next_uniform();

	if (t == Bool)
		return u < 0.6;
	if ((name[0] == 'i' || name[0] == 'u') && name[1] >= '0' && name[1] <= '9') {
		double n = atoi(name + 1);
		return floor(name[0] == 'u' ? u * n : 2 * n * u - n);
	}
	if (dtypes[t].cls != ClassFloat)
		return floor(dtypes[t].cls == ClassUnsigned ? 100 * u : 200 * u - 100);
	if (name[0] == 's' && u < 0.5)
		return special[(size_t)(u * 28)];
	return name[0] == 'p' ? 0.1 + 1.9 * u : 2 * u - 1;
}

static inline void set_element(Tensor *t, int64_t i, double x)
{
	bool real = dtypes[t->dtype].cls == ClassFloat;
	put_scalar((char *)t->data + i * dtypes[t->dtype].bytes,
	           real ? scalar_of_real(t->dtype, x) : scalar_of_int(t->dtype, (int64_t)x));
}

static inline double element(const Tensor *t, const void *data, int64_t i)
{
	return cast_scalar(scalar_at(t->dtype, data, i), F64).f;
}

static inline size_t tensor_bytes(const Tensor *t)
{
	return (size_t)tensor_numel(t) * (size_t)dtypes[t->dtype].bytes;
}

static inline bool same_bits(const Tensor *a, const void *other, int64_t *at)
{
	size_t size = (size_t)dtypes[a->dtype].bytes;
	const char *x = a->data, *y = other;
	int64_t n = tensor_numel(a);

	if (!memcmp(x, y, (size_t)n * size))
		return true;
	for (int64_t i = 0; i < n; i++) {
		if (!memcmp(x + (size_t)i * size, y + (size_t)i * size, size))
			continue;
		if (isnan(element(a, x, i)) && isnan(element(a, y, i)))
			continue;
		*at = i;
		return false;
	}
	return true;
}

/* Largest error / largest output; infinite where one side alone is NaN or infinite, or integers differ. */
static inline double largest_error(const Tensor *want, const Tensor *got)
{
	int64_t n = tensor_numel(want), at;
	double most = 0, error = 0;

	if (dtypes[want->dtype].cls != ClassFloat)
		return same_bits(want, got->data, &at) ? 0 : INFINITY;
	for (int64_t i = 0; i < n; i++) {
		double x = element(want, want->data, i), y = element(want, got->data, i);
		if ((isnan(x) && isnan(y)) || x == y) {
			most = isfinite(x) ? fmax(most, fabs(x)) : most;
			continue;
		}
		if (!isfinite(x) || !isfinite(y))
			return INFINITY;
		most = fmax(most, fabs(x));
		error = fabs(x - y) > (double)FLT_MIN ? fmax(error, fabs(x - y)) : error; /* exp underflows to 0 */
	}
	return error == 0 ? 0 : error / (most > 0 ? most : 1);
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

/* One worker after the other, the last first: it does what the others were to do, but where each has a run of its own. */
static inline void take_turns(dcc_exec *e, void (*fn)(void *, int32_t), void *ctx)
{
	for (int32_t w = e->threads; w-- > 0;)
		fn(ctx, w);
}

enum { MostThreads = 8 };

/* A pool of that many threads, for all runs of the process. */
static inline dcc_exec *pool_of(int threads)
{
	static dcc_exec *pools[MostThreads + 1];
	if (!pools[threads]) {
		pools[threads] = dcc_pool_new(threads);
		if (pools[threads])
			pools[threads]->always = 1;
	}
	return pools[threads];
}

typedef struct Run {
	Family *f;
	const char *binding; /* "m=3 k=5", for messages */
	Tensor in[MaxPorts], want[MaxPorts], first[MaxPorts]; /* first: of the first run, what the others must repeat */
	bool have_first;
	int nin, nout, number;
	int status; /* that every run must have; outputs count only after DCC_OK */
} Run;

static inline void fail_run(const Run *r, const char *how, int out, int64_t at, const char *what)
{
	test_failures++;
	fprintf(stderr, "%s, %s, %s: output %d: element %lld %s\n", r->f->name, r->binding, how, out, (long long)at, what);
}

static inline void check_outputs(Run *r, const char *how, Tensor *got)
{
	for (int i = 0; i < r->nout; i++) {
		int64_t at = -1;
		test_checks++;
		if (r->have_first) {
			if (!same_bits(&r->first[i], got[i].data, &at))
				fail_run(r, how, i, at, "differs from the first run's");
			continue;
		}
		double error = largest_error(&r->want[i], &got[i]);
		DType dtype = r->want[i].dtype;
		double unit = is_narrow(dtype) ? unit_of(dtype) : 0; /* sums in another order */
		if (!(error <= (dtype == F64 ? TOLERANCE_F64 : fmax(TOLERANCE, unit)))) {
			char text[80];
			snprintf(text, sizeof text, "error %g against the evaluator", error);
			fail_run(r, how, i, at, text);
		}
		r->first[i] = r->want[i];
		r->first[i].data = malloc(tensor_bytes(&got[i]) + 1);
		memcpy(r->first[i].data, got[i].data, tensor_bytes(&got[i]));
	}
	r->have_first = true;
}

/* ---- ports: elements of less than a byte are packed there ------------------------------------------------------- */

static inline size_t port_bytes(const Tensor *t)
{
	return packed_bytes(t->dtype, tensor_numel(t));
}

static inline void fill_port(const Tensor *t, void *port)
{
	if (is_packed(t->dtype))
		pack_elements(t->dtype, t->data, tensor_numel(t), port);
	else
		memcpy(port, t->data, tensor_bytes(t));
}

/* The port itself, or a copy of a byte an element; bits behind the last one are 0. */
static inline void *read_port(const Tensor *t, void *port)
{
	int64_t n = tensor_numel(t);
	if (!is_packed(t->dtype))
		return port;
	void *elements = malloc((size_t)n + 1), *again = malloc(port_bytes(t) + 1);
	unpack_elements(t->dtype, port, n, elements);
	pack_elements(t->dtype, elements, n, again);
	if (memcmp(again, port, port_bytes(t)))
		bug("an output's last byte is not filled up with zeros");
	free(again);
	return elements;
}

static inline dcc_tensor to_dcc(const Tensor *t)
{
	dcc_tensor d = {.data = t->data, .dtype = dtypes[t->dtype].onnx, .rank = t->rank};
	for (int i = 0; i < t->rank; i++)
		d.dims[i] = t->dims[i];
	return d;
}

static char running[400]; /* for report_fault */

/* A guard page was touched, most likely. */
static inline void report_fault(int sig)
{
	static const char text[] = ": memory fault\n";
	(void)sig;
	if (write(2, running, strlen(running)) >= 0 && write(2, text, sizeof text - 1) >= 0)
		_exit(1);
	_exit(2);
}

static inline void run_code(Run *r, const dcc_model *model, int target, int threads)
{
	static Region in_regions[MaxPorts], out_regions[MaxPorts], ws_region, weights_region;
	Family *f = r->f;
	dcc_tensor in[MaxPorts], out[MaxPorts];
	Tensor got[MaxPorts];
	dcc_error error = {0};
	dcc_exec turns = {.size = sizeof turns, .threads = threads, .always = 1, .run = take_turns}, *exec = &turns;
	if (r->number % 3 != 2 && threads > 1 && pool_of(threads))
		exec = pool_of(threads);
	bool at_end = r->number % 2 == 0;
	int garbage = at_end ? 0xff : 0x47; /* NaN, 51014.9 */
	uint64_t bytes;
	char how[64];

	r->number++;
	snprintf(how, sizeof how, "%s%s, %d %s", model->targets[target].name, model == f->quick ? " -O0" : "", threads, exec == &turns ? "worker(s) in turns" : "threads");
	snprintf(running, sizeof running, "%s, %s, %s", f->name, r->binding, how);
	signal(SIGSEGV, report_fault);
	for (int i = 0; i < r->nin; i++) {
		in[i] = to_dcc(&r->in[i]);
		in[i].data = place(&in_regions[i], port_bytes(&r->in[i]), (size_t)dtypes[r->in[i].dtype].bytes, at_end, 0);
		fill_port(&r->in[i], in[i].data);
	}
	int status = dcc_plan(model, in, r->nin, threads, NULL, &bytes, &error);
	for (int i = 0; i < r->nout && !status; i++) {
		got[i] = r->want[i];
		got[i].data = place(&out_regions[i], port_bytes(&got[i]), (size_t)dtypes[got[i].dtype].bytes, at_end, garbage);
		out[i] = to_dcc(&got[i]);
	}
	dcc_args args = {.size = sizeof args,
			 .inputs = in,
			 .outputs = out,
			 .ninputs = r->nin,
			 .noutputs = r->nout,
			 .workspace_size = bytes,
			 .weights_size = f->weights_bytes,
			 .exec = exec,
			 .error = &error,
			 .target = (uint32_t)target + 1};
	if (!status) {
		void *weights = place(&weights_region, f->weights_bytes, 64, at_end, 0);
		memcpy(weights, f->weights, f->weights_bytes);
		args.weights = weights;
		args.workspace = place(&ws_region, bytes, 64, at_end, garbage);
		status = dcc_run(model, &args);
	}
	signal(SIGSEGV, SIG_DFL);
	f->runs++;
	test_checks++;
	for (int i = 0; i < r->nout && !status; i++)
		got[i].data = read_port(&got[i], out[i].data);
	if (status != r->status)
		fail_run(r, how, 0, -1, status ? error.text : "no error");
	else if (!status)
		check_outputs(r, how, got);
	for (int i = 0; i < r->nout && !status; i++)
		if (got[i].data != out[i].data)
			free(got[i].data);
}

static inline bool is_small(const Run *r)
{
	int64_t work = 0;
	for (int i = 0; i < r->nin; i++)
		work += tensor_numel(&r->in[i]);
	for (int i = 0; i < r->nout; i++)
		work += tensor_numel(&r->want[i]);
	return work <= SmallWork;
}

static inline void run_interpreter(Run *r, const char *target, int threads)
{
	Tensor got[MaxPorts] = {0};
	char how[64];
	const char *wrong = interp_program(r->f->lowered->loops, target, threads, r->in, got);

	snprintf(how, sizeof how, "interpreted %s, %d thread(s)", target, threads);
	if (wrong) {
		fail_run(r, how, 0, -1, wrong);
		return;
	}
	check_outputs(r, how, got);
	for (int i = 0; i < r->nout; i++)
		free_tensor(&got[i]);
	r->f->interpreted++;
}

static inline Tensor tensor_of(const Type *type, const int64_t *syms)
{
	Tensor t = {.dtype = type->dtype, .rank = type->rank};

	for (int d = 0; d < t.rank; d++)
		if (!dim_eval(type->dims[d], syms, &t.dims[d]))
			bug("a dim has no value");
	return t;
}

static inline void run_binding_for(Family *f, const char *binding, const int64_t *syms, int status)
{
	Module *m = f->oracle;
	Run r = {.f = f, .binding = binding, .nin = m->main->nparam, .nout = m->main->body.nyield, .status = status};

	for (int i = 0; i < r.nin; i++) {
		const Value *v = m->main->params[i];
		Tensor *t = &r.in[i];
		*t = tensor_of(&v->type, syms);
		t->data = malloc(tensor_bytes(t) + 1);
		for (int64_t k = 0; k < tensor_numel(t); k++)
			set_element(t, k, input_value(v->name, t->dtype));
	}
	const char *wrong = eval_module(m, r.in, r.want);
	if (!wrong != !status)
		bug("%s, %s: %s", f->name, binding, wrong ? wrong : "the evaluator sees no error");
	for (int i = 0; i < r.nout && status; i++)
		r.want[i] = tensor_of(&m->main->body.yields[i]->type, syms);
	for (int i = 0; i < f->model->ntargets; i++) {
		for (int threads = 1; threads <= 3; threads += 2)
			run_code(&r, f->model, i, threads);
		if (f->quick)
			run_code(&r, f->quick, i, 3);
	}
	if (is_small(&r) && !status)
		for (int i = 0; i < f->ntarget; i++)
			run_interpreter(&r, f->targets[i]->name, i ? 1 : 3);
	for (int i = 0; i < r.nin; i++)
		free(r.in[i].data);
	for (int i = 0; i < r.nout; i++) {
		free_tensor(&r.want[i]);
		if (r.have_first)
			free(r.first[i].data);
	}
}

static inline void run_binding(Family *f, const char *binding, const int64_t *syms)
{
	run_binding_for(f, binding, syms, DCC_OK);
}

/* "m=0-29,256 k=5": every combination; symbols without a list are 1. */
static inline void sweep_from(Family *f, const char *s, int64_t *syms, const char *binding)
{
	char name[16] = {0}, *end, text[256];

	s += strspn(s, " ");
	if (!*s) {
		run_binding(f, binding, syms);
		return;
	}
	size_t n = strcspn(s, "=");
	memcpy(name, s, n < sizeof name - 1 ? n : sizeof name - 1);
	const Sym *sym = find_sym(f->oracle, name);
	if (!sym)
		bug("%s: no symbol %s", f->name, name);
	const char *rest = s + strcspn(s, " ");
	for (s += n + 1; *s && *s != ' '; s = *end == ',' ? end + 1 : end) {
		long lo = strtol(s, &end, 10), hi = lo;
		if (*end == '-')
			hi = strtol(end + 1, &end, 10);
		for (long v = lo; v <= hi; v++) {
			syms[sym->index] = v;
			snprintf(text, sizeof text, "%s%s%s=%ld", binding, *binding ? " " : "", name, v);
			sweep_from(f, rest, syms, text);
		}
	}
}

static inline void sweep(Family *f, const char *s)
{
	int64_t syms[16];
	for (int i = 0; i < 16; i++)
		syms[i] = 1;
	if (f->oracle->nsym > 16)
		bug("%s: too many symbols", f->name);
	sweep_from(f, s, syms, "");
}

static inline double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Builds, compiles and sweeps; sweeps: NULL-terminated.  fixed: what binding to compile for instead, or NULL. */
static inline void run_family(const char *name, void (*make)(Family *), const char *const *sweeps, const char *fixed)
{
	Family f = {.name = name, .fixed = fixed};
	double start = seconds();

	random_state = 88172645463325252u; /* a family's values are its own, whatever ran before */
	make(&f);
	compile_family(&f);
	double compiled = seconds();
	if (fixed)
		run_binding(&f, fixed, (int64_t[]){0});
	for (; !fixed && *sweeps; sweeps++)
		sweep(&f, *sweeps);
	printf("%-14s %-18s %3d outputs, %5d runs, %4d interpreted, compiled in %.2f s, run in %.2f s\n", name,
	       fixed ? fixed : "", f.nresult, f.runs, f.interpreted, compiled - start, seconds() - compiled);
	free_family(&f);
}

#endif
