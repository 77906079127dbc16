/* fuzz_graph_test.c - random graphs mean the same before and after every pass, in the loop interpreter and as code.
 *
 * usage: fuzz_graph_test [seed [count [folder]]]     graphs of seeds seed .. seed + count - 1; count 0: prints one
 *        fuzz_graph_test FILE.ir                     the same checks for one text, on inputs made by rule
 *
 * The evaluator runs each graph (random_graph.h) on two sets of inputs with different dims.  After each pass, and in
 * the interpreter for every target and some thread counts, the outputs must agree within Tolerance; machine code must
 * agree with the interpreter, and targets and thread counts with each other, by the bit.  One graph in CodeEvery is
 * compiled.  A graph that fails stays in the folder (default: the current one) as fuzz-SEED.ir, also when a check ends
 * the process.
 * To make it small:  dcc --reduce='fuzz_graph_test' -o small.ir fuzz-SEED.ir
 * Exit status: 0, 1 if values differ, 2 if a FILE cannot be read; a broken invariant aborts.
 */
#include "../frontend/frontend.h"
#include "../backend/backend.h"
#include "../passes/passes.h"
#include "../runtime/dcc.h"
#include "random_graph.h"
#include "test.h"

#include <llvm-c/Core.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Target.h>
#include <signal.h>
#include <unistd.h>

enum { CodeEvery = 8, MaxOut = 16 };
static const double Tolerance = 2e-5; /* of the largest element, or of 1 */

typedef struct Case {
	uint64_t seed;
	const char *path, *no_fuse;
	Module *m;
	int nrun, nin, nout;
	Tensor in[NRuns][MaxParams], want[NRuns][MaxOut], interp[NRuns][MaxOut];
	bool code, wrong;
} Case;

static const char *const pass_names[] = {
#define PASS(name, help) #name,
#include "../passes/passes.def"
#undef PASS
};
enum { NPasses = sizeof pass_names / sizeof *pass_names };

static int nskipped, nunsupported, ncompiled, nrefused, nempty;

static void say_wrong(Case *c, const char *where, int run, const char *what)
{
	test_failures++;
	c->wrong = true;
	fprintf(stderr, "seed %llu, run %d, %s: %s: %s\n", (unsigned long long)c->seed, run, where, what, c->path);
}

/* ---- comparing -------------------------------------------------------------------------------------------------- */

static double element(const Tensor *t, int64_t i)
{
	switch (t->dtype) {
	case F32: return ((float *)t->data)[i];
	case F64: return ((double *)t->data)[i];
	case I64: return (double)((int64_t *)t->data)[i];
	case I32: return ((int32_t *)t->data)[i];
	case I16: return ((int16_t *)t->data)[i];
	case I8: return ((int8_t *)t->data)[i];
	default: return ((uint8_t *)t->data)[i];
	}
}

static bool same_bits(const Tensor *a, const Tensor *b, int64_t i)
{
	size_t n = (size_t)dtypes[a->dtype].bytes;
	double x = element(a, i), y = element(b, i);
	return (x != x && y != y) || !memcmp((char *)a->data + (size_t)i * n, (char *)b->data + (size_t)i * n, n);
}

static void compare(Case *c, const char *where, int run, const Tensor *want, const Tensor *got, bool exact)
{
	char text[200];
	for (int o = 0; o < c->nout; o++) {
		const Tensor *a = &want[o], *b = &got[o];
		int64_t n = tensor_numel(a);
		double most = 1;
		test_checks++;
		bool same = a->dtype == b->dtype && a->rank == b->rank && tensor_numel(b) == n;
		for (int d = 0; same && d < a->rank; d++)
			same = a->dims[d] == b->dims[d];
		for (int64_t i = 0; same && i < n; i++)
			most = isfinite(element(a, i)) ? fmax(most, fabs(element(a, i))) : most;
		if (!same)
			say_wrong(c, where, run, "an output has other dims");
		for (int64_t i = 0; same && i < n; i++) {
			double x = element(a, i), y = element(b, i);
			bool close = dtypes[a->dtype].cls == ClassFloat && !exact && fabs(x - y) <= Tolerance * most;
			if (close || same_bits(a, b, i) || (x == y && !exact))
				continue;
			snprintf(text, sizeof text, "output %d, element %lld of %lld is %.9g, expected %.9g", o, (long long)i,
			         (long long)n, y, x);
			say_wrong(c, where, run, text);
			break;
		}
	}
}

static void free_tensors(int n, Tensor *t)
{
	for (int i = 0; i < n; i++) {
		free_tensor(&t[i]);
		t[i].data = NULL;
	}
}

/* ---- passes ----------------------------------------------------------------------------------------------------- */

static const Target *all_targets[8];

/* What a pass says is only of interest if it aborts. */
static char said[4096];

static void say_last_words(int signal)
{
	(void)signal;
	if (write(2, said, strlen(said)) < 0)
		_exit(3);
}

/* False: the pass reports the model as unsupported. */
static bool run_pass(Case *c, const char *pass)
{
	jmp_buf here;
	FILE *log = fmemopen(said, sizeof said, "w");
	volatile bool ok = true;
	PassOptions opt = {.only = pass, .no_fuse = c->no_fuse, .bisect_limit = -1, .ntarget = ntargets,
	                   .target = all_targets};
	setvbuf(log, NULL, _IONBF, 0);
	diag_stream = log;
	diag_recover = &here;
	if (!setjmp(here))
		run_passes(c->m, &opt);
	else
		ok = false;
	diag_recover = NULL;
	diag_stream = NULL;
	diag_reset();
	fclose(log);
	return ok;
}

static void check_pass(Case *c, const char *pass)
{
	for (int r = 0; r < c->nrun && !c->wrong; r++) {
		Tensor got[MaxOut];
		const char *error = eval_module(c->m, c->in[r], got);
		if (error) {
			say_wrong(c, pass, r, error);
			continue;
		}
		compare(c, pass, r, c->want[r], got, false);
		free_tensors(c->nout, got);
	}
}

/* ---- the interpreter -------------------------------------------------------------------------------------------- */

static void check_interp(Case *c)
{
	for (int r = 0; r < c->nrun && !c->wrong; r++)
		for (int t = 0; t < ntargets && !c->wrong; t++) {
			Tensor got[MaxOut];
			int threads = 1 + (int)((c->seed + (uint64_t)t) % 3);
			const char *error = interp_program(c->m->loops, targets[t].name, threads, c->in[r], got);
			if (error) {
				say_wrong(c, targets[t].name, r, error);
				continue;
			}
			compare(c, targets[t].name, r, c->want[r], got, false);
			if (t)
				compare(c, "targets agree", r, c->interp[r], got, true);
			if (t)
				free_tensors(c->nout, got);
			else
				memcpy(c->interp[r], got, sizeof got);
		}
}

/* ---- machine code ----------------------------------------------------------------------------------------------- */

static void must(LLVMErrorRef error)
{
	if (error)
		bug("LLJIT: %s", LLVMGetErrorMessage(error));
}

static LLVMOrcCSymbolMapPair absolute(LLVMOrcLLJITRef jit, const char *name, uintptr_t address)
{
	LLVMJITSymbolFlags flags = {LLVMJITSymbolGenericFlagsExported | LLVMJITSymbolGenericFlagsCallable, 0};
	return (LLVMOrcCSymbolMapPair){LLVMOrcLLJITMangleAndIntern(jit, name), {address, flags}};
}

static const dcc_model *link_model(LLVMOrcLLJITRef *jit, const void *bytes, size_t size, const char *symbol)
{
	LLVMOrcExecutorAddress model;
	must(LLVMOrcCreateLLJIT(jit, NULL));
	LLVMOrcJITDylibRef lib = LLVMOrcLLJITGetMainJITDylib(*jit);
	LLVMOrcCSymbolMapPair symbols[] = {absolute(*jit, "dcc_report", (uintptr_t)dcc_report),
	                                   absolute(*jit, "dcc_run", (uintptr_t)dcc_run)};
	LLVMOrcDefinitionGeneratorRef process;
	must(LLVMOrcJITDylibDefine(lib, LLVMOrcAbsoluteSymbols(symbols, 2)));
	must(LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&process, LLVMOrcLLJITGetGlobalPrefix(*jit), NULL,
	                                                          NULL));
	LLVMOrcJITDylibAddGenerator(lib, process);
	LLVMMemoryBufferRef buffer = LLVMCreateMemoryBufferWithMemoryRangeCopy(bytes, size, "fuzz.o");
	must(LLVMOrcLLJITAddObjectFile(*jit, lib, buffer));
	must(LLVMOrcLLJITLookup(*jit, &model, symbol));
	return (const dcc_model *)(uintptr_t)model;
}

static void to_dcc(const Tensor *t, int n, dcc_tensor *out)
{
	for (int i = 0; i < n; i++) {
		out[i] = (dcc_tensor){.data = t[i].data, .dtype = dtypes[t[i].dtype].onnx, .rank = t[i].rank};
		memcpy(out[i].dims, t[i].dims, sizeof out[i].dims);
	}
}

/* A program's inputs and outputs of less than a byte an element are packed. */
static void pack_ports(const Tensor *t, int n, dcc_tensor *ports)
{
	for (int i = 0; i < n; i++)
		if (is_packed(t[i].dtype)) {
			int64_t elements = tensor_numel(&t[i]);
			ports[i].data = malloc(packed_bytes(t[i].dtype, elements) + 1);
			pack_elements(t[i].dtype, t[i].data, elements, ports[i].data);
		}
}

static void unpack_ports(Tensor *t, int n, const dcc_tensor *ports)
{
	for (int i = 0; i < n; i++)
		if (is_packed(t[i].dtype)) {
			unpack_elements(t[i].dtype, ports[i].data, tensor_numel(&t[i]), t[i].data);
			free(ports[i].data);
		}
}

static void run_code(Case *c, const dcc_model *model, uint32_t target, int r, dcc_exec *exec, const void *weights,
                     size_t weights_size)
{
	dcc_tensor in[MaxParams], out[MaxOut];
	Tensor got[MaxOut];
	dcc_error error = {0};
	uint64_t bytes = 0;
	memcpy(got, c->interp[r], sizeof got);
	for (int o = 0; o < c->nout; o++)
		got[o].data = calloc(1, (size_t)(tensor_numel(&got[o]) * dtypes[got[o].dtype].bytes) + 1);
	to_dcc(c->in[r], c->nin, in);
	to_dcc(got, c->nout, out);
	pack_ports(c->in[r], c->nin, in);
	pack_ports(got, c->nout, out);
	int status = dcc_plan(model, in, c->nin, exec ? exec->threads : 1, NULL, &bytes, &error);
	void *workspace = aligned_alloc(DCC_WORKSPACE_ALIGN, (bytes / DCC_WORKSPACE_ALIGN + 1) * DCC_WORKSPACE_ALIGN);
	memset(workspace, 0xff, bytes); /* NaN: nothing may be read before it is written */
	dcc_args args = {.size = sizeof args, .inputs = in, .outputs = out, .ninputs = c->nin, .noutputs = c->nout,
	                 .workspace = workspace, .workspace_size = bytes, .weights = weights,
	                 .weights_size = weights_size, .exec = exec, .error = &error, .target = target};
	if (!status)
		status = dcc_run(model, &args);
	unpack_ports(c->in[r], c->nin, in);
	unpack_ports(got, c->nout, out);
	if (status)
		say_wrong(c, "code", r, error.text);
	else
		compare(c, model->targets[target - 1].name, r, c->interp[r], got, true);
	free_tensors(c->nout, got);
	free(workspace);
}

static void check_code(Case *c, dcc_exec *pool)
{
	EmitOptions opt = {.ntarget = ntargets, .target = all_targets};
	void *object, *weights;
	size_t size, weights_size;
	char symbol[300];
	LLVMOrcLLJITRef jit;
	emit_object_memory(c->m->loops, &opt, &object, &size);
	emit_weights_memory(c->m->loops, &weights, &weights_size);
	snprintf(symbol, sizeof symbol, "%s_model", c->m->name);
	const dcc_model *model = link_model(&jit, object, size, symbol);
	for (int r = 0; r < c->nrun && !c->wrong; r++)
		for (int t = 0; t < model->ntargets && !c->wrong; t++)
			if (!(model->targets[t].features & ~dcc_cpu_features()))
				run_code(c, model, (uint32_t)t + 1, r, (r + t) % 2 ? pool : NULL, weights, weights_size);
	must(LLVMOrcDisposeLLJIT(jit));
	free(object);
	free(weights);
	ncompiled++;
}

/* ---- one graph -------------------------------------------------------------------------------------------------- */

/* Keeps the runs whose inputs the evaluator accepts. */
static void find_wanted(Case *c)
{
	int kept = 0;
	for (int r = 0; r < c->nrun; r++) {
		if (eval_module(c->m, c->in[r], c->want[kept])) {
			free_tensors(c->nin, c->in[r]);
			nskipped++;
			continue;
		}
		if (kept != r)
			memcpy(c->in[kept], c->in[r], sizeof c->in[r]);
		kept++;
	}
	c->nrun = kept;
}

static void check_case(Case *c, dcc_exec *pool)
{
	bool supported = true;
	c->nin = c->m->main->nparam;
	c->nout = c->m->main->body.nyield;
	find_wanted(c);
	for (int i = 0; i < NPasses && supported && !c->wrong && c->nrun; i++) {
		supported = run_pass(c, pass_names[i]);
		if (supported && !c->m->loops)
			check_pass(c, pass_names[i]);
	}
	nunsupported += !supported;
	if (c->m->loops && !c->wrong)
		check_interp(c);
	if (c->m->loops && !c->wrong && c->code)
		check_code(c, pool);
	for (int r = 0; r < c->nrun; r++) {
		free_tensors(c->nin, c->in[r]);
		free_tensors(c->nout, c->want[r]);
		free_tensors(c->nout, c->interp[r]);
	}
}

static int size_of_seed(uint64_t seed)
{
	return seed % 16 == 15 ? 40 : 2 + (int)(seed % 14);
}

static void run_seed(uint64_t seed, const char *folder, dcc_exec *pool)
{
	static const char *const no_fuse[] = {NULL, NULL, NULL, NULL, "winconv", "attention", "linear", "epilogue,ewise",
	                                      "norm,glu", "winconv,attention,glu,norm,linear,epilogue,ewise"};
	static Gen g;
	char path[600], data[610];
	random_graph(&g, seed, size_of_seed(seed));
	nrefused += g.nrefused;
	snprintf(path, sizeof path, "%s/fuzz-%llu.ir", folder, (unsigned long long)seed);
	snprintf(data, sizeof data, "%s.data", path);
	const char *wrong = verify_module(g.m);
	if (wrong || !g.m->main->body.nyield) {
		fprintf(stderr, "seed %llu: %s\n", (unsigned long long)seed, wrong ? wrong : "no outputs");
		nempty += !wrong;
		test_failures += wrong != NULL;
		free_module(g.m);
		return;
	}
	write_module(path, g.m);
	Case c = {.seed = seed, .path = path, .nrun = NRuns, .code = seed % CodeEvery == 0};
	c.no_fuse = no_fuse[seed / 7 % (sizeof no_fuse / sizeof *no_fuse)];
	for (int r = 0; r < NRuns; r++)
		random_inputs(&g, r, c.in[r]);
	c.m = load_model(path, NULL);
	check_case(&c, pool);
	if (!c.wrong) {
		unlink(path);
		unlink(data);
	}
	free_module(c.m);
	free_module(g.m);
}

/* Symbols are small; integers 0 and 1; bools with the first of each row true. */
static int check_file(const char *path, dcc_exec *pool)
{
	static Gen g;
	int64_t syms[NRuns][64];
	Case c = {.path = path, .nrun = NRuns, .code = true};
	jmp_buf here;
	diag_recover = &here;
	if (setjmp(here))
		return 2;
	c.m = load_model(path, NULL);
	diag_recover = NULL;
	if (c.m->nsym > 64 || c.m->main->nparam > MaxParams || c.m->main->body.nyield > MaxOut || c.m->loops)
		return 2;
	g.m = c.m;
	for (int r = 0; r < NRuns; r++) {
		g.syms[r] = syms[r];
		for (int i = 0; i < c.m->nsym; i++) {
			int64_t want = r ? 17 + 3 * i : 3 + 2 * i;
			const Sym *s = c.m->syms[i];
			syms[r][i] = want < s->lo ? s->lo : want > s->hi ? s->hi : want;
		}
		for (int i = 0; i < c.m->main->nparam; i++) {
			g.params[i].fill = FillMask;
			g.params[i].below = 2;
		}
		random_inputs(&g, r, c.in[r]);
	}
	check_case(&c, pool);
	free_module(c.m);
	return c.wrong;
}

int main(int argc, char **argv)
{
	const char *folder = argc > 3 ? argv[3] : ".";
	char *end = NULL, temporary[] = "/tmp/dcc-fuzz-XXXXXX";
	uint64_t first = argc > 1 ? strtoull(argv[1], &end, 10) : 1, count = argc > 2 ? strtoull(argv[2], NULL, 10) : 120;
	dcc_exec *pool = dcc_pool_new(3);
	LLVMInitializeX86TargetInfo();
	LLVMInitializeX86Target();
	LLVMInitializeX86TargetMC();
	LLVMInitializeX86AsmPrinter();
	signal(SIGABRT, say_last_words);
	for (int i = 0; i < ntargets; i++)
		all_targets[i] = &targets[i];
	if (argc == 2 && *end) {
		int status = check_file(argv[1], pool);
		dcc_pool_free(pool);
		return status;
	}
	if (!count) {
		static Gen g;
		random_graph(&g, first, size_of_seed(first));
		print_module(stdout, g.m);
		free_module(g.m);
	}
	if (argc < 2)
		folder = mkdtemp(temporary) ? temporary : folder;
	for (uint64_t seed = first; seed < first + count; seed++)
		run_seed(seed, folder, pool);
	printf("seeds %llu to %llu: %d compiled, %d unsupported, %d runs without a value, %d steps refused, %d empty\n",
	       (unsigned long long)first, (unsigned long long)(first + count - 1), ncompiled, nunsupported, nskipped,
	       nrefused, nempty);
	CHECK(count < 100 || (uint64_t)(nunsupported + nempty) < count / 4);
	CHECK(count < 100 || (uint64_t)nskipped < count / 4);
	if (argc < 2)
		rmdir(temporary); /* stays if a graph failed */
	dcc_pool_free(pool);
	return test_end("fuzz_graph");
}
