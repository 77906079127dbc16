/* fuzz_graph_test.c - random graphs mean the same before and after every pass, in the loop interpreter and as code.
 *
 * usage: fuzz_graph_test [seed [count [folder]]]     graphs of seeds seed .. seed + count - 1; count 0: prints one
 *        fuzz_graph_test FILE.ir                     the same checks for one text, on inputs made by rule
 *
 * The evaluator runs each graph (random_graph.h) on two sets of inputs with different dims.  After each pass, and in
 * the interpreter for every target and some thread counts, the outputs must agree within tolerance(), or by the bit if
 * they are exact; machine code must agree with the interpreter, and targets and thread counts with each other, by the
 * bit.  One graph in CodeEvery is compiled, of all sizes and kinds in turn.  A graph that fails stays in the folder
 * (default: the current one) as fuzz-SEED.ir, also when a check ends the process.
 * Runs of more than CensusFrom graphs end with how often each operator was compared for each element type (census.h),
 * and which pairs that ops.def permits were compared less often than Enough: none in an hour of one core, which is some
 * 100000 graphs.
 * To make it small:  dcc --reduce='fuzz_graph_test' -o small.ir fuzz-SEED.ir
 * Exit status: 0, 1 if values differ, 2 if a FILE cannot be read; a broken invariant aborts.
 */
#include "../frontend/frontend.h"
#include "../backend/backend.h"
#include "../passes/passes.h"
#include "../passes/tuning.h"
#include "../runtime/dcc.h"
#include "random_graph.h"
#include "test.h"

#include <llvm-c/Core.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Target.h>
#include <signal.h>
#include <unistd.h>

enum { CodeEvery = 16, MaxOut = 16, CensusFrom = 120 };

typedef struct Case {
	uint64_t seed;
	const char *path, *no_fuse;
	bool exact_conv;
	Tuning tuning; /* of schedules by number; the usual ones: 0 */
	Module *m;
	int nrun, nin, nout;
	Tensor in[NRuns][MaxParams], want[NRuns][MaxOut], interp[NRuns][MaxOut];
	bool exact[MaxOut]; /* outputs that nothing may change by a bit */
	bool code, wrong;
	int *nodes, nnode; /* of its census */
} Case;

static const char *const pass_names[] = {
#define PASS(name, help) #name,
#include "../passes/passes.def"
#undef PASS
};
enum { NPasses = sizeof pass_names / sizeof *pass_names };

static Census interpreted, compiled;
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
	return as_real(scalar_at(t->dtype, t->data, i));
}

static bool same_bits(const Tensor *a, const Tensor *b, int64_t i)
{
	size_t n = (size_t)dtypes[a->dtype].bytes;
	double x = element(a, i), y = element(b, i);
	return (x != x && y != y) || !memcmp((char *)a->data + (size_t)i * n, (char *)b->data + (size_t)i * n, n);
}

/* Of the largest element, or of 1: what sums lose; two units in the last place of what is only stored. */
static double tolerance(DType t)
{
	return !is_floating(t) ? 0 : is_narrow(t) ? 2 * unit_of(t) : 167 * ulp(t);
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
			bool close = !exact && !c->exact[o] && fabs(x - y) <= tolerance(a->dtype) * most;
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
	PassOptions opt = {.only = pass, .no_fuse = c->no_fuse, .exact_conv = c->exact_conv, .tuning = &c->tuning, .bisect_limit = -1,
	                   .ntarget = ntargets, .target = all_targets};
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

/* ---- the custom operator ---------------------------------------------------------------------------------------- */

/* The elements of the first operand from behind. */
static void reverse(const void *from, void *to, int64_t n, int bytes)
{
	for (int64_t i = 0; i < n; i++)
		memcpy((char *)to + i * bytes, (const char *)from + (n - 1 - i) * bytes, (size_t)bytes);
}

static const char *reverse_tensor(Arena *a, const char *symbol, const char *node, int nin, const Tensor *in, int nout, Tensor *out)
{
	(void)a, (void)node, (void)nin, (void)nout;
	if (strcmp(symbol, "fuzz_reverse"))
		return "no such function";
	reverse(in->data, out->data, tensor_numel(out), dtypes[out->dtype].bytes);
	return NULL;
}

static dcc_custom_op fuzz_reverse;
static int32_t fuzz_reverse(const dcc_custom_args *a)
{
	int64_t n = 1;
	int bytes = 0;
	for (int d = 0; d < a->outputs->rank; d++)
		n *= a->outputs->dims[d];
	for (DType t = 0; t < NDTypes; t++)
		bytes = dtypes[t].onnx == (int)a->outputs->dtype ? dtypes[t].bytes : bytes;
	reverse(a->inputs->data, a->outputs->data, n, bytes);
	return 0;
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
	                                   absolute(*jit, "dcc_run", (uintptr_t)dcc_run),
	                                   absolute(*jit, "fuzz_reverse", (uintptr_t)fuzz_reverse)};
	LLVMOrcDefinitionGeneratorRef process;
	must(LLVMOrcJITDylibDefine(lib, LLVMOrcAbsoluteSymbols(symbols, 3)));
	must(LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&process, LLVMOrcLLJITGetGlobalPrefix(*jit), NULL,
	                                                          NULL));
	LLVMOrcJITDylibAddGenerator(lib, process);
	LLVMMemoryBufferRef buffer = LLVMCreateMemoryBufferWithMemoryRangeCopy(bytes, size, "fuzz.o");
	must(LLVMOrcLLJITAddObjectFile(*jit, lib, buffer));
	must(LLVMOrcLLJITLookup(*jit, &model, symbol));
	return (const dcc_model *)(uintptr_t)model;
}

/* As a compiled model has it: elements of less than a byte are packed.  free() the data. */
static dcc_tensor to_port(const Tensor *t)
{
	dcc_tensor port = {.dtype = dtypes[t->dtype].onnx, .rank = t->rank};
	size_t bytes = packed_bytes(t->dtype, tensor_numel(t));
	port.data = malloc(bytes + 1);
	memcpy(port.dims, t->dims, sizeof port.dims);
	if (is_packed(t->dtype))
		pack_elements(t->dtype, t->data, tensor_numel(t), port.data);
	else if (bytes)
		memcpy(port.data, t->data, bytes);
	return port;
}

static Tensor from_port(const Tensor *like, const dcc_tensor *port)
{
	Tensor t = *like;
	int64_t n = tensor_numel(&t);
	t.data = malloc((size_t)(n * dtypes[t.dtype].bytes) + 1);
	if (is_packed(t.dtype))
		unpack_elements(t.dtype, port->data, n, t.data);
	else if (n)
		memcpy(t.data, port->data, (size_t)(n * dtypes[t.dtype].bytes));
	return t;
}

static void run_code(Case *c, const dcc_model *model, uint32_t target, int r, dcc_exec *exec, const void *weights,
                     size_t weights_size)
{
	dcc_tensor in[MaxParams], out[MaxOut];
	Tensor got[MaxOut];
	dcc_error error = {0};
	uint64_t bytes = 0;
	for (int i = 0; i < c->nin; i++)
		in[i] = to_port(&c->in[r][i]);
	for (int o = 0; o < c->nout; o++) {
		out[o] = to_port(&c->interp[r][o]);
		memset(out[o].data, 0x5a, packed_bytes(c->interp[r][o].dtype, tensor_numel(&c->interp[r][o])));
	}
	int status = dcc_plan(model, in, c->nin, exec ? exec->threads : 1, NULL, &bytes, &error);
	void *workspace = aligned_alloc(DCC_WORKSPACE_ALIGN, (bytes / DCC_WORKSPACE_ALIGN + 1) * DCC_WORKSPACE_ALIGN);
	memset(workspace, 0xff, bytes); /* NaN: nothing may be read before it is written */
	dcc_args args = {.size = sizeof args, .inputs = in, .outputs = out, .ninputs = c->nin, .noutputs = c->nout,
	                 .workspace = workspace, .workspace_size = bytes, .weights = weights,
	                 .weights_size = weights_size, .exec = exec, .error = &error, .target = target};
	if (!status)
		status = dcc_run(model, &args);
	for (int o = 0; o < c->nout; o++)
		got[o] = from_port(&c->interp[r][o], &out[o]);
	if (status)
		say_wrong(c, "code", r, error.text);
	else
		compare(c, model->targets[target - 1].name, r, c->interp[r], got, true);
	free_tensors(c->nout, got);
	for (int i = 0; i < c->nin + c->nout; i++)
		free(i < c->nin ? in[i].data : out[i - c->nin].data);
	free(workspace);
}

/* One worker after the other, the last first: it does what the others were to do. */
static void take_turns(dcc_exec *e, void (*fn)(void *, int32_t), void *ctx)
{
	for (int32_t w = e->threads; w-- > 0;)
		fn(ctx, w);
}

static void check_level(Case *c, dcc_exec *pool, bool quick, const void *weights, size_t weights_size)
{
	EmitOptions opt = {.ntarget = ntargets, .target = all_targets, .quick = quick};
	dcc_exec turns = {.size = sizeof turns, .threads = 3, .always = 1, .run = take_turns}, *how[] = {NULL, pool, &turns};
	void *object;
	size_t size;
	char symbol[300];
	LLVMOrcLLJITRef jit;
	emit_object_memory(c->m->loops, &opt, &object, &size);
	snprintf(symbol, sizeof symbol, "%s_model", c->m->name);
	const dcc_model *model = link_model(&jit, object, size, symbol);
	for (int r = 0; r < c->nrun && !c->wrong; r++)
		for (int t = 0; t < model->ntargets && !c->wrong; t++)
			if (!(model->targets[t].features & ~dcc_cpu_features()))
				run_code(c, model, (uint32_t)t + 1, r, how[(r + t) % 3], weights, weights_size);
	must(LLVMOrcDisposeLLJIT(jit));
	free(object);
}

/* As -O2 and -O0 compile it. */
static void check_code(Case *c, dcc_exec *pool)
{
	void *weights;
	size_t weights_size;
	emit_weights_memory(c->m->loops, &weights, &weights_size);
	check_level(c, pool, false, weights, weights_size);
	if (!c->wrong)
		check_level(c, pool, true, weights, weights_size);
	free(weights);
	ncompiled++;
	if (!c->wrong)
		add_census(&compiled, c->nodes, c->nnode);
}

/* ---- one graph -------------------------------------------------------------------------------------------------- */

/* Keeps the runs whose inputs the evaluator accepts. */
static void find_wanted(Case *c)
{
	int kept = 0;
	for (int r = 0; r < c->nrun; r++) {
		if (eval_visit(c->m, c->in[r], c->want[kept], mark_elements, NULL)) {
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
	for (Node *n = c->m->main->body.first; n; n = n->next)
		n->mark = 0;
	find_wanted(c);
	c->nodes = take_census(c->m, &c->nnode);
	for (int i = 0; i < NPasses && supported && !c->wrong && c->nrun; i++) {
		supported = run_pass(c, pass_names[i]);
		if (supported && !c->m->loops)
			check_pass(c, pass_names[i]);
	}
	nunsupported += !supported;
	bool runs = supported && c->m->loops && c->nrun;
	if (runs && !c->wrong)
		check_interp(c);
	if (runs && !c->wrong)
		add_census(&interpreted, c->nodes, c->nnode);
	if (runs && !c->wrong && c->code)
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
	                                      "norm,glu", "winconv,attention,glu,norm,linear,epilogue,ewise", "feed,group_conv,sparse"};
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
	Case c = {.seed = seed, .path = path, .nrun = NRuns, .code = seed % CodeEvery == seed / CodeEvery % CodeEvery};
	c.no_fuse = no_fuse[seed / 7 % (sizeof no_fuse / sizeof *no_fuse)];
	c.exact_conv = seed / 11 % 4 == 3;
	c.tuning = (Tuning){.arena = g.m->arena, .number = seed / 5 % 2 ? 0 : (int)(seed / 10 % 18)};
	memcpy(c.exact, g.exact, sizeof g.exact);
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

/* Symbols are small; integers 0 and 1, in the last run any; bools with the first of each row true.  Exact outputs are not known. */
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
	c.tuning.arena = c.m->arena;
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
			bool ints = is_among(c.m->main->params[i]->type.dtype, TypesInt);
			g.params[i].fill = !ints ? FillMask : r == NRuns - 1 ? FillAny : FillIndex;
			g.params[i].below = 2;
		}
		random_inputs(&g, r, c.in[r]);
	}
	check_case(&c, pool);
	free_module(c.m);
	return c.wrong;
}

/* The generator knows every operator. */
static void check_makers(void)
{
	for (Op op = 0; op < NOps; op++) {
		bool made = false;
		for (int i = 0; i < NMakers; i++)
			made = made || makers[i].op == op;
		if (!made)
			fprintf(stderr, "no step of random_graph.h makes %s\n", ops[op].text);
		CHECK(made);
	}
}

int main(int argc, char **argv)
{
	const char *folder = argc > 3 ? argv[3] : ".";
	char *end = NULL, temporary[] = "/tmp/dcc-fuzz-XXXXXX";
	uint64_t first = argc > 1 ? strtoull(argv[1], &end, 10) : 1, count = argc > 2 ? strtoull(argv[2], NULL, 10) : 120;
	dcc_exec *pool = dcc_pool_new(3);
	if (pool)
		pool->always = 1;
	LLVMInitializeX86TargetInfo();
	LLVMInitializeX86Target();
	LLVMInitializeX86TargetMC();
	LLVMInitializeX86AsmPrinter();
	signal(SIGABRT, say_last_words);
	eval_custom = reverse_tensor;
	for (int i = 0; i < ntargets; i++)
		all_targets[i] = &targets[i];
	check_makers();
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
	if (count > CensusFrom) {
		print_census(stdout, "compared", &interpreted);
		print_census(stdout, "as machine code", &compiled);
		printf("%d pairs were compared less than %d times\n", print_rare(stdout, &interpreted), Enough);
	}
	CHECK(count < 100 || (uint64_t)(nunsupported + nempty) < count / 4);
	CHECK(count < 100 || (uint64_t)nskipped < count / 4);
	if (argc < 2)
		rmdir(temporary); /* stays if a graph failed */
	dcc_pool_free(pool);
	return test_end("fuzz_graph");
}
