/* fence.c - compiles models in this process and runs them between fences (fence.h).
 *
 * usage: fence [OPTION...] operators    every single operator (operators.h)
 *        fence [OPTION...] FILE...      .onnx and .ir files; what dcc refuses is counted
 *        -t SECONDS, -s SEED; -o FOLDER: nothing runs, objects and a list of their names, models.inc, go there for fence_emulated.c
 * With -t no model is begun after so many seconds, and none takes more than a tenth of them; models and sizes are taken in
 * an order that the seed decides, and what is left out is counted.
 * Exit status: 0, 1 if something went wrong; a memory fault says where, and is status 1 too.
 */
#include <llvm-c/Core.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Target.h>
#include <signal.h>
#include <unistd.h>

#include "../backend/backend.h"
#include "../frontend/frontend.h"
#include "../passes/passes.h"
#include "fence.h"
#include "operators.h"

enum { MaxTargets = 8 };

static const int all_sizes[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,  17,  18,  19,  20,  21,  22, 23,
                                24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 63,  64,  65,  127, 128, 129, -1};

static const Target *all_targets[MaxTargets], *usable[MaxTargets];
static int nusable;
static dcc_exec *pools[FenceThreads + 1];
static const char *folder; /* where objects go; NULL: nowhere */
static FILE *list;
static FenceRun run = {.sizes = all_sizes, .data_kinds = 3};
static long nmodel, nrefused, nfailed, nconfig;

typedef struct Item { /* a file, or an operator with its text */
	char *name, *text;
} Item;
static Item *items;
static int nitem;
static long seconds; /* 0: as long as it takes */

/* A page without access was touched, most likely. */
static void report_fault(int sig)
{
	static const char text[] = ": memory fault\n";
	(void)sig;
	if (write(1, run.where, strlen(run.where)) >= 0 && write(1, text, sizeof text - 1) >= 0)
		_exit(1);
	_exit(2);
}

static void must(LLVMErrorRef err)
{
	if (err)
		bug("%s", LLVMGetErrorMessage(err));
}

static const dcc_model *link_object(LLVMOrcLLJITRef *jit, const void *bytes, size_t size, const char *name)
{
	const LLVMJITSymbolFlags flags = {LLVMJITSymbolGenericFlagsExported, 0};
	LLVMOrcExecutorAddress address;
	LLVMOrcDefinitionGeneratorRef process;
	char symbol[600];

	must(LLVMOrcCreateLLJIT(jit, NULL));
	LLVMOrcJITDylibRef lib = LLVMOrcLLJITGetMainJITDylib(*jit);
	LLVMOrcCSymbolMapPair own[] = {
		{LLVMOrcLLJITMangleAndIntern(*jit, "dcc_run"), {(uintptr_t)dcc_run, flags}},
		{LLVMOrcLLJITMangleAndIntern(*jit, "dcc_report"), {(uintptr_t)dcc_report, flags}},
	};
	must(LLVMOrcJITDylibDefine(lib, LLVMOrcAbsoluteSymbols(own, 2)));
	must(LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&process, LLVMOrcLLJITGetGlobalPrefix(*jit), NULL, NULL));
	LLVMOrcJITDylibAddGenerator(lib, process);
	must(LLVMOrcLLJITAddObjectFile(*jit, lib, LLVMCreateMemoryBufferWithMemoryRangeCopy(bytes, size, name)));
	snprintf(symbol, sizeof symbol, "%s_model", name);
	must(LLVMOrcLLJITLookup(*jit, &address, symbol));
	return (const dcc_model *)(uintptr_t)address;
}

/* Loads, or parses, and lowers for all targets; NULL: refused. */
static Module *lower_quietly(const char *path, const char *text)
{
	static FILE *null;
	jmp_buf recover;
	Module *volatile m = NULL;
	PassOptions passes = {.bisect_limit = -1, .ntarget = ntargets, .target = all_targets};

	if (!null)
		null = fopen("/dev/null", "w");
	diag_stream = null;
	if (!setjmp(recover)) {
		diag_recover = &recover;
		m = text ? parse_module(path, text) : load_model(path, NULL);
		run_passes(m, &passes);
	} else {
		if (m)
			free_module(m);
		m = NULL;
	}
	diag_recover = NULL;
	diag_stream = NULL;
	diag_reset();
	return m;
}

static void keep_object(Module *m)
{
	const EmitOptions emit = {.ntarget = ntargets, .target = all_targets};
	char path[600];
	m->name = arena_printf(m->arena, "fenced%ld", nmodel);
	snprintf(path, sizeof path, "%s/%s.o", folder, m->name);
	emit_object(m->loops, &emit, path);
	fprintf(list, "MODEL(%s)\n", m->name);
}

static void run_module(Module *m)
{
	const EmitOptions emit = {.ntarget = nusable, .target = usable};
	LLVMOrcLLJITRef jit;
	void *object, *weights;
	size_t size, weights_size;

	emit_object_memory(m->loops, &emit, &object, &size);
	emit_weights_memory(m->loops, &weights, &weights_size);
	run.model = link_object(&jit, object, size, m->name);
	run.weights = run.model->weights_size && !run.model->weights ? weights : NULL;
	run.weights_bytes = weights_size;
	memcpy(run.exec, pools, sizeof pools);
	nfailed += !fence_model(&run);
	nconfig += run.configs;
	must(LLVMOrcDisposeLLJIT(jit));
	free(object);
	free(weights);
}

static void take_module(Module *m)
{
	nmodel++;
	if (folder)
		keep_object(m);
	else
		run_module(m);
	free_module(m);
}

static void add_item(const char *name, const char *text)
{
	items = realloc(items, (size_t)(nitem + 1) * sizeof *items);
	items[nitem++] = (Item){strdup(name), text ? strdup(text) : NULL};
}

static void add_operator(void *ctx, const char *name, const char *text)
{
	(void)ctx;
	add_item(name, text);
}

/* What dcc refuses is wrong of an operator. */
static void take_item(const Item *item)
{
	Module *m = lower_quietly(item->name, item->text);
	long before = nfailed;

	if (!m && item->text) {
		printf("fence: %s is refused\n", item->name);
		nfailed++;
	}
	nrefused += !m;
	if (!m)
		return;
	snprintf(run.where, sizeof run.where, "%s", item->name);
	take_module(m);
	if (nfailed > before)
		printf("fence: in %s\n", item->name);
}

static void take_items(void)
{
	time_t now = time(NULL), end = now + seconds;
	uint64_t chance = run.order;

	for (int i = nitem - 1; seconds && i > 0; i--) {
		int j = (int)(fence_chance(&chance) % ((uint64_t)i + 1));
		Item other = items[i];
		items[i] = items[j];
		items[j] = other;
	}
	for (int i = 0; i < nitem; i++) {
		now = time(NULL);
		if (seconds && now >= end) {
			printf("fence: %d of %d models are left out\n", nitem - i, nitem);
			return;
		}
		run.deadline = seconds ? now + 1 + seconds / 10 : 0;
		take_item(&items[i]);
	}
}

static void open_list(const char *path)
{
	char name[600];
	folder = path;
	snprintf(name, sizeof name, "%s/models.inc", folder);
	list = fopen(name, "w");
	if (!list) {
		perror(name);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	LLVMInitializeX86TargetInfo();
	LLVMInitializeX86Target();
	LLVMInitializeX86TargetMC();
	LLVMInitializeX86AsmPrinter();
	signal(SIGSEGV, report_fault);
	signal(SIGBUS, report_fault);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < ntargets; i++) {
		all_targets[i] = &targets[i];
		if (!(targets[i].need & ~dcc_cpu_features()))
			usable[nusable++] = &targets[i];
	}
	for (int n = 2; n <= FenceThreads; n++)
		if ((pools[n] = dcc_pool_new(n)))
			pools[n]->always = 1;
	for (int option; (option = getopt(argc, argv, "+t:s:o:")) != -1;) {
		if (option == '?')
			return 2;
		if (option == 't')
			seconds = strtol(optarg, NULL, 10);
		else if (option == 's')
			run.order = strtoull(optarg, NULL, 10);
		else
			open_list(optarg);
	}
	argv += optind;
	if (*argv && !strcmp(*argv, "operators")) {
		give_operators(add_operator, NULL);
	} else {
		while (*argv)
			add_item(*argv++, NULL);
	}
	take_items();
	if (list)
		fclose(list);
	for (int n = 2; n <= FenceThreads; n++)
		dcc_pool_free(pools[n]);
	printf("fence: %ld models, %ld sizes (%ld left out), %ld runs, %ld of them with a status for their data; %ld refused by dcc, %ld failed\n",
	       nmodel, nconfig, run.left_out, run.runs, run.bad_indices, nrefused, nfailed);
	return nfailed != 0;
}
