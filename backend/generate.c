/* generate.c - LLVM's work: modules are emitted one after the other, then optimised and translated by several threads.
 *
 *   loop IR -> modules: one per target, one for all else -> parts -> objects -> one object
 *
 * Parts are the same however many threads there are.  What looks at callers, ipsccp, has run before a module is cut; all other passes see
 * a function at a time, so the code is that of the whole module.
 */
#include "parts.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/ErrorHandling.h>
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "../runtime/dcc.h"

static const char triple[] = "x86_64-unknown-linux-gnu";

typedef struct Pipeline {
	const char *module; /* what looks at several functions, and what leaves little to be written and read again */
	const char *part;
} Pipeline;

/* No vectorizer and no unroller: the schedules have decided that.  IPSCCP passes on sizes that all callers of a kernel agree on; SROA
 * turns tiles into registers.  Instcombine takes most of the time, and once is enough: behind LICM, whose loops it would tangle. */
static const Pipeline full = {
	"ipsccp,deadargelim,globaldce,function(sroa)",
	"function(early-cse<memssa>,simplifycfg,loop-mssa(licm),early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,adce)",
};

/* For -O0, where LLVM's code generator takes a sixth of the time: what these leave away it need not look at, so they cost nothing.
 * Without them the code runs twice as long, with all of the above compiling takes half as long again for the same speed. */
static const Pipeline quick = {"function(sroa)", "function(early-cse<memssa>,simplifycfg)"};

/* The code generator would do so in every function, a sixth of its time: only loops of a few registers and many loads gain. */
static const char strength_pipeline[] = "function(loop(loop-reduce))";

/* Once it is known what nobody calls. */
static const char last_pipeline[] = "globaldce";

typedef struct Work Work;
struct Work {
	Emit e;
	Parts parts;
	int nthread;
	LLVMTargetMachineRef *machines; /* per thread */
	void (*step)(const Work *, LLVMTargetMachineRef, Part *); /* what is done to each part now */
	int *order; /* of beginning with parts: the heaviest first, so that the threads end together */
	atomic_int begun; /* parts, of this step */
};

/* ---- LLVM ------------------------------------------------------------------------------------------------------ */

static _Thread_local struct Retreat { /* out of LLVM, from a part that it gives up */
	jmp_buf place;
	Part *part;
} *retreat;

static void llvm_gives_up(const char *reason)
{
	if (!retreat)
		fatal_at(NULL, "LLVM: %s", reason);
	const char *copy = strdup(reason);
	retreat->part->why = copy ? copy : "out of memory";
	longjmp(retreat->place, 1);
}

/* LLVM takes an option once in the life of a process.  Strength reduction is ours to call; domain reassignment finds nothing to do in code of
 * vectors, in a fiftieth of the time. */
static void set_options(void)
{
	static const char *const options[] = {"dcc", "-disable-lsr", "-disable-x86-domain-reassignment"};
	static bool said;
	if (!said)
		LLVMParseCommandLineOptions(sizeof options / sizeof *options, options, "");
	said = true;
}

static void begin_llvm(void)
{
	diag_abort_means("out of memory"); /* of an operator new in LLVM, which nobody catches */
	LLVMInstallFatalErrorHandler(llvm_gives_up);
	set_options();
	LLVMInitializeX86TargetInfo();
	LLVMInitializeX86Target();
	LLVMInitializeX86TargetMC();
	LLVMInitializeX86AsmPrinter();
}

static LLVMTargetMachineRef new_machine(const EmitOptions *opt)
{
	LLVMTargetRef target;
	char *message = NULL;
	if (LLVMGetTargetFromTriple(triple, &target, &message))
		bug("LLVM: %s", message);
	return LLVMCreateTargetMachine(target, triple, "x86-64", "", opt->quick ? LLVMCodeGenLevelNone : LLVMCodeGenLevelDefault,
	                               LLVMRelocPIC, LLVMCodeModelDefault);
}

static void verify_llvm(LLVMModuleRef mod, const char *when)
{
	char *message = NULL;
	if (LLVMVerifyModule(mod, LLVMReturnStatusAction, &message))
		bug("invalid LLVM IR %s: %s", when, message);
	LLVMDisposeMessage(message);
}

static void run_pipeline(LLVMModuleRef mod, LLVMTargetMachineRef machine, const char *pipeline)
{
	LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
	LLVMErrorRef error = LLVMRunPasses(mod, pipeline, machine, options);
	if (error)
		bug("LLVM: %s", LLVMGetErrorMessage(error));
	LLVMDisposePassBuilderOptions(options);
}

/* On leaves, which are noinline.  The pass runs over a module, but passes over what is optnone. */
static void reduce_strength(LLVMModuleRef mod, LLVMTargetMachineRef machine)
{
	static const char leaf[] = "noinline", not[] = "optnone";
	const unsigned is_leaf = LLVMGetEnumAttributeKindForName(leaf, strlen(leaf)), skipped = LLVMGetEnumAttributeKindForName(not, strlen(not));
	LLVMAttributeRef skip = LLVMCreateEnumAttribute(LLVMGetModuleContext(mod), skipped, 0);

	for (LLVMValueRef f = LLVMGetFirstFunction(mod); f; f = LLVMGetNextFunction(f))
		if (!LLVMGetEnumAttributeAtIndex(f, LLVMAttributeFunctionIndex, is_leaf))
			LLVMAddAttributeAtIndex(f, LLVMAttributeFunctionIndex, skip);
	run_pipeline(mod, machine, strength_pipeline);
	for (LLVMValueRef f = LLVMGetFirstFunction(mod); f; f = LLVMGetNextFunction(f))
		LLVMRemoveEnumAttributeAtIndex(f, LLVMAttributeFunctionIndex, skipped);
}

static const Pipeline *pipeline_of(const EmitOptions *opt)
{
	return opt->quick ? &quick : &full;
}

/* What is done to a part. */
static void optimise(LLVMModuleRef mod, LLVMTargetMachineRef machine, const EmitOptions *opt)
{
	run_pipeline(mod, machine, pipeline_of(opt)->part);
	if (!opt->quick)
		reduce_strength(mod, machine);
}

static LLVMMemoryBufferRef emit_file(LLVMModuleRef mod, LLVMTargetMachineRef machine, LLVMCodeGenFileType type)
{
	LLVMMemoryBufferRef buffer;
	char *message = NULL;
	if (LLVMTargetMachineEmitToMemoryBuffer(machine, mod, type, &message, &buffer))
		bug("LLVM: %s", message);
	return buffer;
}

/* ---- modules --------------------------------------------------------------------------------------------------- */

static void begin_module(Work *w)
{
	Emit *e = &w->e;
	e->cx = new_context(e->single);
	e->mod = LLVMModuleCreateWithNameInContext(e->m->name, e->cx);
	e->b = LLVMCreateBuilderInContext(e->cx);
	e->allocas = LLVMCreateBuilderInContext(e->cx);
	LLVMSetTarget(e->mod, triple);
	LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(w->machines[0]);
	LLVMSetModuleDataLayout(e->mod, layout);
	LLVMDisposeTargetData(layout);
	begin_emit(e);
	begin_debug(e);
}

static void finish_module(Work *w)
{
	end_debug(&w->e);
	LLVMDisposeBuilder(w->e.b);
	LLVMDisposeBuilder(w->e.allocas);
	verify_llvm(w->e.mod, "from the emitter");
	run_pipeline(w->e.mod, w->machines[0], pipeline_of(w->e.opt)->module);
}

/* After a target: its functions call no others.  A vector of 16 lanes is two registers without AVX-512. */
static void next_module(Work *w, const Target *t)
{
	if (w->e.single)
		return;
	finish_module(w);
	add_functions(&w->parts, w->e.cx, w->e.mod, t->need & DCC_CPU_AVX512 ? 1 : 2);
	begin_module(w);
}

static void emit_modules(Work *w, uint64_t weights_hash)
{
	begin_module(w);
	for (int t = 0; t < w->e.opt->ntarget; t++) {
		emit_target(&w->e, t);
		next_module(w, w->e.opt->target[t]);
	}
	emit_programs(&w->e);
	emit_model(&w->e, weights_hash);
	finish_module(w);
}

static Work begin_work(LModule *lm, const EmitOptions *opt, bool single)
{
	Work w = {.e = {.lm = lm, .m = lm->m, .opt = opt, .single = single}, .parts = {.arena = lm->m->arena},
	          .nthread = opt->jobs ? opt->jobs : usable_cpus()};
	if (opt->ntarget < 1 || opt->ntarget > (int)(sizeof w.e.programs / sizeof *w.e.programs))
		bug("%d targets", opt->ntarget);
	if (!strcmp(lm->m->name, "dcc"))
		fatal_at(&(Loc){.file = lm->m->path}, "a model cannot be called dcc: the runtime's functions are");
	if (is_libc_name(lm->m->name))
		fatal_at(&(Loc){.file = lm->m->path}, "a model cannot be called '%s', as a function of the C library is: give it "
		         "another name with --name=", lm->m->name);
	begin_llvm();
	w.machines = arena_alloc(lm->m->arena, (size_t)w.nthread * sizeof *w.machines);
	w.machines[0] = new_machine(opt);
	return w;
}

static void end_work(Work *w)
{
	for (int i = 0; i < w->nthread; i++)
		if (w->machines[i])
			LLVMDisposeTargetMachine(w->machines[i]);
	LLVMResetFatalErrorHandler();
	diag_abort_means(NULL);
}

/* ---- parts ------------------------------------------------------------------------------------------------------ */

static void optimise_part(const Work *w, LLVMTargetMachineRef machine, Part *p)
{
	double begin = thread_seconds();
	read_part(p);
	optimise(p->mod, machine, w->e.opt);
	p->passes = thread_seconds() - begin;
}

static void translate_part(const Work *w, LLVMTargetMachineRef machine, Part *p)
{
	(void)w;
	double begin = thread_seconds();
	run_pipeline(p->mod, machine, last_pipeline);
	verify_llvm(p->mod, "after optimisation");
	p->object = emit_file(p->mod, machine, LLVMObjectFile);
	LLVMDisposeModule(p->mod);
	LLVMContextDispose(p->cx);
	p->code = thread_seconds() - begin;
}

/* One of the threads. */
static void run_step(void *work, int thread)
{
	Work *w = work;
	struct Retreat here;
	int i;
	if (!w->machines[thread])
		w->machines[thread] = new_machine(w->e.opt);
	while ((i = atomic_fetch_add(&w->begun, 1)) < w->parts.n) {
		here.part = &w->parts.items[w->order[i]];
		retreat = &here;
		if (!setjmp(here.place))
			w->step(w, w->machines[thread], here.part);
		retreat = NULL;
	}
}

static void on_parts(Work *w, void (*step)(const Work *, LLVMTargetMachineRef, Part *))
{
	w->step = step;
	w->begun = 0;
	on_threads(w->nthread, run_step, w);
	for (int i = 0; i < w->parts.n; i++)
		if (w->parts.items[i].why)
			fatal_at(NULL, "LLVM: %s", w->parts.items[i].why);
}

static void order_parts(Work *w)
{
	w->order = arena_alloc(w->e.m->arena, (size_t)w->parts.n * sizeof *w->order);
	for (int i = 0; i < w->parts.n; i++) {
		int k = i;
		for (; k > 0 && w->parts.items[w->order[k - 1]].weight < w->parts.items[i].weight; k--)
			w->order[k] = w->order[k - 1];
		w->order[k] = i;
	}
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

static uint8_t *join_parts(const Work *w, size_t *size)
{
	Bytes *objects = arena_alloc(w->e.m->arena, (size_t)w->parts.n * sizeof *objects);
	for (int i = 0; i < w->parts.n; i++)
		objects[i] = (Bytes){LLVMGetBufferStart(w->parts.items[i].object), LLVMGetBufferSize(w->parts.items[i].object)};
	uint8_t *joined = join_objects(w->e.m->arena, w->parts.n, objects, size);
	for (int i = 0; i < w->parts.n; i++)
		LLVMDisposeMemoryBuffer(w->parts.items[i].object);
	free_bitcode(&w->parts);
	return joined;
}

static void say_cpu(const Work *w)
{
	double passes = 0, code = 0;
	char note[128];
	for (int i = 0; i < w->parts.n; i++) {
		passes += w->parts.items[i].passes;
		code += w->parts.items[i].code;
	}
	snprintf(note, sizeof note, " of CPU: passes %.1f, code %.1f; parts %d, threads %d", 1e3 * passes, 1e3 * code, w->parts.n, w->nthread);
	part_ends_with(note);
}

uint8_t *generate_object(LModule *lm, const EmitOptions *opt, uint64_t weights_hash, size_t *size)
{
	part_begins("LLVM IR");
	Work w = begin_work(lm, opt, false);
	emit_modules(&w, weights_hash);
	add_module(&w.parts, w.e.cx, w.e.mod);
	part_ends(-1);
	part_begins("LLVM code");
	if (w.nthread > w.parts.n)
		w.nthread = w.parts.n;
	order_parts(&w);
	on_parts(&w, optimise_part);
	drop_uncalled(&w.parts);
	on_parts(&w, translate_part);
	uint8_t *joined = join_parts(&w, size);
	end_work(&w);
	say_cpu(&w);
	part_begins("write");
	return joined;
}

/* Labels and data of parts would meet in one text. */
void *generate_text(LModule *lm, const EmitOptions *opt, TextKind kind, uint64_t weights_hash, size_t *size)
{
	part_begins("LLVM IR");
	Work w = begin_work(lm, opt, true);
	emit_modules(&w, weights_hash);
	part_ends(-1);
	part_begins("LLVM passes");
	optimise(w.e.mod, w.machines[0], opt);
	run_pipeline(w.e.mod, w.machines[0], last_pipeline);
	verify_llvm(w.e.mod, "after optimisation");
	part_ends(-1);
	part_begins("LLVM code");
	char *printed = kind == TextLlvm ? LLVMPrintModuleToString(w.e.mod) : NULL;
	LLVMMemoryBufferRef buffer = printed ? NULL : emit_file(w.e.mod, w.machines[0], LLVMAssemblyFile);
	*size = printed ? strlen(printed) : LLVMGetBufferSize(buffer);
	void *text = memcpy(arena_alloc(lm->m->arena, *size + 1), printed ? printed : LLVMGetBufferStart(buffer), *size);
	if (printed)
		LLVMDisposeMessage(printed);
	else
		LLVMDisposeMemoryBuffer(buffer);
	LLVMDisposeModule(w.e.mod);
	LLVMContextDispose(w.e.cx);
	end_work(&w);
	part_ends(-1);
	part_begins("write");
	return text;
}
