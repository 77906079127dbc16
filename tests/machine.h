/* machine.h - machine code of every target against the interpreter of loop IR, bit for bit (NaN payloads aside).
 *
 * Each case is a kernel over slots of one workspace.  A program of one step per case is compiled in memory, loaded with
 * LLJIT and run step by step; the whole workspace must equal what interp_kernel leaves.
 */
#ifndef DCC_TEST_MACHINE_H
#define DCC_TEST_MACHINE_H

#include <llvm-c/Core.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Error.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Target.h>
#include <math.h>
#include <stdlib.h>

#include "../backend/backend.h"
#include "../runtime/dcc.h"
#include "test.h"

enum { SlotBytes = 16384, Slots = 4, MaxCases = 2048, MaxScalars = 4 };

/* Wild: with infinities, NaN, denormals, extreme integers.  Pairs: of special floats, the first slot's with the others' */
typedef enum Fill { Wild, Plain, Pairs } Fill;

enum { Specials = 16 };
static const double specials[Specials] = {
	NAN, INFINITY, -INFINITY, 0.0, -0.0, 1e-42, -1e-42, 0x1p-126, 1, -1, 0.5, -2.5, 0x1.fffffep127, -0x1.fffffep127, 3e9, -1e19,
};

typedef struct Case {
	LFunc *fn;
	Fill fill;
	int nscalar, workers;
	int64_t scalars[MaxScalars];
} Case;

static Module *m;
static LModule *lm;
static Case cases[MaxCases];
static int ncase;
static const LType vf32 = {F32, Lanes};

static Case *add_case(LB *b)
{
	Case *c = &cases[ncase++];
	if (ncase > MaxCases)
		bug("too many cases");
	*c = (Case){.fn = finish_kernel(b), .workers = 1};
	return c;
}

static const char *text(const char *fmt, const char *a, const char *b, int i)
{
	return arena_printf(m->arena, fmt, a, b, i);
}

/* ---- data ------------------------------------------------------------------------------------------------------ */

static uint64_t seed = 1;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static double wild_float(void)
{
	static const double special[] = {
		0.0, -0.0, INFINITY, -INFINITY, NAN, 1e-42, -1e-310, 3e38, 0.5, 1.5, -2.5, 2147483648.0, -2147483649.0, 9.3e18,
		-9.3e18, 127.9, -128.9, 255.5, 8388609.0,
	};
	uint64_t r = next_random();
	if (r % 4 == 0)
		return special[r / 4 % (sizeof special / sizeof *special)];
	return ldexp((double)(int64_t)(r >> 8 << 8) * 0x1p-63, (int)(r % 67) - 30);
}

static int64_t wild_int(void)
{
	static const int64_t special[] = {0, 1, -1, INT8_MIN, INT16_MIN, INT32_MIN, INT64_MIN, INT32_MAX, INT64_MAX, 2, 16};
	uint64_t r = next_random();
	if (r % 3 == 0)
		return special[r / 4 % (sizeof special / sizeof *special)];
	return (int64_t)r >> (r % 61);
}

static double fill_float(Fill fill, int slot, int i)
{
	switch (fill) {
	case Plain: return (double)(int64_t)(next_random() % 2001) / 64 - 15;
	case Pairs: return specials[(slot ? i : i / Specials) % Specials];
	default: return wild_float();
	}
}

static void fill_slot(char *p, int slot, DType t, Fill fill)
{
	for (int i = 0; i < SlotBytes / dtypes[t].bytes; i++) {
		char *at = p + i * dtypes[t].bytes;
		double d = fill_float(fill, slot, i);
		Scalar v = dtypes[t].cls == ClassFloat ? scalar_of_real(t, d)
		           : t == Bool                 ? scalar_of_int(t, (int64_t)(next_random() & 1))
		                                       : scalar_of_int(t, wild_int());
		put_scalar(at, v);
	}
}

static void fill_workspace(char *ws, const Case *c)
{
	memset(ws, 0, SlotBytes * Slots);
	int slot = 0;
	for (int i = 0; i < c->fn->nparam; i++)
		if (c->fn->params[i].buf) {
			fill_slot(ws + SlotBytes * slot, slot, c->fn->params[i].buf->elem, c->fill);
			slot++;
		}
}

/* Equal, or both NaN. */
static bool same_slot(const char *a, const char *b, DType t)
{
	for (int i = 0; i < SlotBytes / dtypes[t].bytes; i++) {
		const char *p = a + i * dtypes[t].bytes, *q = b + i * dtypes[t].bytes;
		if (!memcmp(p, q, (size_t)dtypes[t].bytes))
			continue;
		double d = cast_scalar(scalar_at(t, p, 0), F64).f, h = cast_scalar(scalar_at(t, q, 0), F64).f;
		if (d != d && h != h)
			continue;
		fprintf(stderr, "element %d: %g (machine) %g (interpreter)\n", i, d, h);
		return false;
	}
	return true;
}

/* ---- running --------------------------------------------------------------------------------------------------- */

static bool runs_on(const Case *c, const Target *t)
{
	return !c->fn->target || !strcmp(c->fn->target, t->name);
}

/* One step per case, empty where the case is for another target. */
static void add_program(const Target *t)
{
	LB b = new_kernel(lm, "main", t->name);
	b.fn->program = true;
	LBuf *ws = lparam_buf(&b, "ws", U8, true);
	LExpr *one = lparam(&b, "threads"); /* keeps scalars unknown to LLVM */
	for (int i = 0; i < ncase; i++) {
		const Case *c = &cases[i];
		LArg args[Slots + MaxScalars];
		int slot = 0, scalar = 0;
		lstep(&b);
		for (int p = 0; p < c->fn->nparam; p++) {
			const LBuf *buf = c->fn->params[p].buf;
			if (!buf) {
				args[p] = arg_e(lmul(&b, one, li(&b, c->scalars[scalar++])));
				continue;
			}
			int bytes = dtypes[buf->elem].bytes;
			args[p] = arg_buf(ws, buf->elem, li(&b, slot++ * SlotBytes / bytes), li(&b, SlotBytes / bytes));
		}
		if (runs_on(c, t))
			lcall(&b, c->fn, c->fn->nparam, args);
		lend(&b);
	}
	PUSH(m->arena, lm->programs, lm->nprog, lm->capprog, b.fn);
}

static int32_t reported_code;
static char reported_text[64];
static int64_t reported_values[3];

static int32_t record(dcc_error *error, int32_t code, const char *format, int64_t a, int64_t b, int64_t c)
{
	(void)error;
	reported_code = code;
	snprintf(reported_text, sizeof reported_text, "%s", format);
	reported_values[0] = a;
	reported_values[1] = b;
	reported_values[2] = c;
	return code;
}

static int run_nothing(const dcc_model *model, const dcc_args *args)
{
	return model->nsteps + (args != NULL);
}

static void must(LLVMErrorRef error)
{
	if (error)
		bug("LLJIT: %s", LLVMGetErrorMessage(error));
}

static LLVMOrcCSymbolMapPair absolute(LLVMOrcLLJITRef jit, const char *name, uint64_t address)
{
	LLVMJITSymbolFlags flags = {LLVMJITSymbolGenericFlagsExported | LLVMJITSymbolGenericFlagsCallable, 0};
	return (LLVMOrcCSymbolMapPair){LLVMOrcLLJITMangleAndIntern(jit, name), {address, flags}};
}

static const dcc_model *load(LLVMOrcLLJITRef *jit, const void *bytes, size_t size, const char *name)
{
	LLVMInitializeX86TargetInfo();
	LLVMInitializeX86Target();
	LLVMInitializeX86TargetMC();
	LLVMInitializeX86AsmPrinter();
	must(LLVMOrcCreateLLJIT(jit, NULL));
	LLVMOrcJITDylibRef lib = LLVMOrcLLJITGetMainJITDylib(*jit);
	LLVMOrcCSymbolMapPair symbols[] = {
		absolute(*jit, "dcc_report", (uint64_t)(uintptr_t)record),
		absolute(*jit, "dcc_run", (uint64_t)(uintptr_t)run_nothing),
	};
	must(LLVMOrcJITDylibDefine(lib, LLVMOrcAbsoluteSymbols(symbols, 2)));
	LLVMMemoryBufferRef buffer = LLVMCreateMemoryBufferWithMemoryRangeCopy(bytes, size, "t.o");
	must(LLVMOrcLLJITAddObjectFile(*jit, lib, buffer));
	LLVMOrcExecutorAddress model;
	must(LLVMOrcLLJITLookup(*jit, &model, text("%s_model", name, "", 0)));
	return (const dcc_model *)(uintptr_t)model;
}

static void run_case(const dcc_target *code, const Target *t, int k, char *machine, char *interp)
{
	const Case *c = &cases[k];
	int64_t got[MaxStatus] = {0}, want[MaxStatus] = {0}, syms[] = {1};
	LMem mems[Slots];
	int nmem = 0;
	seed = 12345 + (uint64_t)k;
	fill_workspace(machine, c);
	memcpy(interp, machine, SlotBytes * Slots);
	for (int i = 0; i < c->fn->nparam; i++)
		if (c->fn->params[i].buf) {
			DType elem = c->fn->params[i].buf->elem;
			mems[nmem] = (LMem){interp + nmem * SlotBytes, elem, SlotBytes / dtypes[elem].bytes};
			nmem++;
		}
	const char *wrong = NULL;
	dcc_frame frame = {.workspace = machine, .syms = syms, .status = got};
	for (int w = 0; w < c->workers && !wrong; w++) {
		code->program(&frame, w, c->workers, k, k + 1);
		wrong = interp_kernel(lm, c->fn, mems, c->scalars, w, c->workers, want);
	}
	bool same = !memcmp(got, want, sizeof got);
	for (int i = 0, slot = 0; i < c->fn->nparam && same && !wrong; i++)
		if (c->fn->params[i].buf) {
			same = same_slot(machine + slot * SlotBytes, interp + slot * SlotBytes, c->fn->params[i].buf->elem);
			slot++;
		}
	CHECK(same && !wrong);
	if (!same || wrong) {
		fprintf(stderr, "  case %d, %s on %s: %s\n", k, c->fn->name, t->name, wrong ? wrong : "differs");
		print_lfunc(stderr, c->fn);
	}
}

static void check_target(const dcc_model *model, const Target *t)
{
	char *machine = aligned_alloc(64, SlotBytes * Slots), *interp = aligned_alloc(64, SlotBytes * Slots);
	const dcc_target *code = model->targets;
	while (strcmp(code->name, t->name))
		code++;
	for (int k = 0; k < ncase; k++)
		if (runs_on(&cases[k], t))
			run_case(code, t, k, machine, interp);
	free(machine);
	free(interp);
}

static bool has_cpu(const Target *t)
{
	return !(t->need & ~dcc_cpu_features());
}

#endif
