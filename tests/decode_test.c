/* decode_test.c - a chain of single steps equals the full pass, and steps with state equal the plain form, bit for bit.
 *
 * Two small decoders as IR text: attention with a KV cache, and a causal dynamic convolution with a window.  64 steps each. */
#include <stdlib.h>

#include <llvm-c/Core.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Target.h>

#include "../backend/backend.h"
#include "../passes/passes.h"
#include "../runtime/dcc.h"
#include "test.h"

enum { Steps = 64, Cap = 80 };

/* ---- compiling --------------------------------------------------------------------------------------------------------- */

static const dcc_model *compile(const char *name, const char *text, const char *state, void **weights, size_t *bytes)
{
	Module *m = parse_module(name, text);
	const Target *all[8];
	for (int i = 0; i < ntargets; i++)
		all[i] = &targets[i];
	PassOptions po = {.bisect_limit = -1, .ntarget = ntargets, .target = all, .nstate = state != NULL, .state = &state};
	EmitOptions eo = {.ntarget = ntargets, .target = all, .weights_path = "-"};
	void *object;
	size_t size;
	LLVMOrcLLJITRef jit;
	LLVMOrcJITTargetAddress at;

	run_passes(m, &po);
	emit_object_memory(m->loops, &eo, &object, &size);
	emit_weights_memory(m->loops, weights, bytes);
	LLVMErrorRef e = LLVMOrcCreateLLJIT(&jit, NULL);
	LLVMOrcDefinitionGeneratorRef here;
	if (!e)
		e = LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&here, LLVMOrcLLJITGetGlobalPrefix(jit), NULL, NULL);
	if (!e) {
		LLVMOrcCSymbolMapPair own[] = {
			{LLVMOrcLLJITMangleAndIntern(jit, "dcc_run"), {(uintptr_t)dcc_run, {LLVMJITSymbolGenericFlagsExported, 0}}},
			{LLVMOrcLLJITMangleAndIntern(jit, "dcc_report"), {(uintptr_t)dcc_report, {LLVMJITSymbolGenericFlagsExported, 0}}}};
		e = LLVMOrcJITDylibDefine(LLVMOrcLLJITGetMainJITDylib(jit), LLVMOrcAbsoluteSymbols(own, 2));
	}
	if (!e) {
		LLVMOrcJITDylibAddGenerator(LLVMOrcLLJITGetMainJITDylib(jit), here);
		e = LLVMOrcLLJITAddObjectFile(jit, LLVMOrcLLJITGetMainJITDylib(jit),
		                              LLVMCreateMemoryBufferWithMemoryRangeCopy(object, size, name));
	}
	char symbol[64];
	snprintf(symbol, sizeof symbol, "%s_model", m->name);
	if (!e)
		e = LLVMOrcLLJITLookup(jit, &at, symbol);
	if (e) {
		fprintf(stderr, "%s: %s\n", name, LLVMGetErrorMessage(e));
		exit(1);
	}
	free(object);
	return (const dcc_model *)(uintptr_t)at;
}

static uint64_t random_state = 88172645463325252ull;

static float random_float(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (float)((random_state >> 40) * 0x1p-23) - 1;
}

static void fill(float *x, int n)
{
	for (int i = 0; i < n; i++)
		x[i] = random_float();
}

static dcc_tensor tensor(float *data, int rank, int64_t a, int64_t b, int64_t c, int64_t d)
{
	return (dcc_tensor){.data = data, .dtype = DCC_F32, .rank = rank, .dims = {a, b, c, d}};
}

static void run(const dcc_model *model, const dcc_tensor *in, int nin, const dcc_tensor *out, int nout, const void *weights,
                size_t bytes)
{
	static _Alignas(64) char workspace[1 << 22];
	dcc_error error;
	dcc_args args = {.size = sizeof args, .inputs = in, .outputs = out, .ninputs = nin, .noutputs = nout, .workspace = workspace,
	                 .workspace_size = sizeof workspace, .weights = weights, .weights_size = bytes, .error = &error};
	int status = dcc_run(model, &args);
	if (status)
		fprintf(stderr, "%s: %s\n", model->name, error.text);
	CHECK_EQ(status, 0);
}

/* ---- attention with a KV cache ------------------------------------------------------------------------------------------- */

enum { B = 2, H = 3, R = 5, D = H * R };

#define HEAD(name) "dcc-ir 1 stage import\nmodel \"" name "\"\nsym P in 0..4096\n"

static const char kv_step[] = HEAD("kv_step")
	"func @main(%q: f32[2, 3, 1, 5], %k: f32[2, 3, 1, 5], %v: f32[2, 3, 1, 5], %pk: f32[2, 3, P, 5], %pv: f32[2, 3, P, 5])"
	" -> (y: f32[2, 3, 1, 5], nk: f32[2, 3, P + 1, 5], nv: f32[2, 3, P + 1, 5]) {\n"
	"  %0: f32[2, 3, P + 1, 5] = concat %pk, %k {axis=2}\n"
	"  %1: f32[2, 3, P + 1, 5] = concat %pv, %v {axis=2}\n"
	"  %2: f32[2, 3, 1, P + 1] = matmul %q, %0 {trans_b=1}\n"
	"  %3: f32[2, 3, 1, P + 1] = softmax %2 {axis=3}\n"
	"  %4: f32[2, 3, 1, 5] = matmul %3, %1\n"
	"  return %4, %0, %1\n}\n";

/* the whole sequence at once, causal */
static const char kv_full[] = HEAD("kv_full")
	"func @main(%q: f32[2, P, 3, 5], %k: f32[2, P, 3, 5], %v: f32[2, P, 3, 5]) -> (y: f32[2, P, 3, 5]) {\n"
	"  %0: f32[2, P, 3, 5] = attention %q, %k, %v, _ {right=0}\n"
	"  return %0\n}\n";

static void test_cache(void)
{
	void *w[3];
	size_t n[3];
	const dcc_model *plain = compile("kv_step.ir", kv_step, NULL, &w[0], &n[0]);
	const dcc_model *state = compile("kv_state.ir", kv_step, "auto,cap=80", &w[1], &n[1]);
	const dcc_model *full = compile("kv_full.ir", kv_full, NULL, &w[2], &n[2]);
	static float q[Steps][B][H][R], k[Steps][B][H][R], v[Steps][B][H][R]; /* by step */
	static float past[2][2][B * H * (Steps + 1) * R]; /* plain: key and value, before and after */
	static float cache[2][B * H * Cap * R];
	static float all[3][B][Steps][H][R], want[B][Steps][H][R];

	CHECK(state->inputs[3].state == 2 && state->inputs[4].state == 3 && state->inputs[3].capacity == Cap);
	fill(&q[0][0][0][0], Steps * B * D);
	fill(&k[0][0][0][0], Steps * B * D);
	fill(&v[0][0][0][0], Steps * B * D);
	for (int t = 0; t < Steps; t++)
		for (int b = 0; b < B; b++) {
			memcpy(all[0][b][t], q[t][b], sizeof q[t][b]);
			memcpy(all[1][b][t], k[t][b], sizeof q[t][b]);
			memcpy(all[2][b][t], v[t][b], sizeof q[t][b]);
		}
	dcc_tensor fin[3], fout = tensor(&want[0][0][0][0], 4, B, Steps, H, R);
	for (int i = 0; i < 3; i++)
		fin[i] = tensor(&all[i][0][0][0][0], 4, B, Steps, H, R);
	run(full, fin, 3, &fout, 1, w[2], n[2]);
	int differ = 0;
	for (int t = 0; t < Steps; t++) {
		float y[2][B][H][R];
		dcc_tensor in[5] = {tensor(&q[t][0][0][0], 4, B, H, 1, R), tensor(&k[t][0][0][0], 4, B, H, 1, R),
		                    tensor(&v[t][0][0][0], 4, B, H, 1, R)};
		dcc_tensor out[3] = {tensor(&y[0][0][0][0], 4, B, H, 1, R)};
		for (int i = 0; i < 2; i++) {
			in[3 + i] = tensor(past[t % 2][i], 4, B, H, t, R);
			out[1 + i] = tensor(past[(t + 1) % 2][i], 4, B, H, t + 1, R);
		}
		run(plain, in, 5, out, 3, w[0], n[0]);
		out[0].data = y[1];
		for (int i = 0; i < 2; i++)
			in[3 + i].data = out[1 + i].data = cache[i];
		run(state, in, 5, out, 3, w[1], n[1]);
		differ += memcmp(y[0], y[1], sizeof y[0]) != 0;
		for (int b = 0; b < B; b++)
			differ += memcmp(y[0][b], want[b][t], sizeof want[b][t]) != 0;
	}
	CHECK_EQ(differ, 0);
	/* the output elsewhere than in the cache, and a full cache */
	dcc_tensor in[5] = {tensor(&q[0][0][0][0], 4, B, H, 1, R), tensor(&k[0][0][0][0], 4, B, H, 1, R), tensor(&v[0][0][0][0], 4, B, H, 1, R),
	                    tensor(cache[0], 4, B, H, 3, R), tensor(cache[1], 4, B, H, 3, R)};
	float y[B * D];
	dcc_tensor out[3] = {tensor(y, 4, B, H, 1, R), tensor(past[0][0], 4, B, H, 4, R), tensor(cache[1], 4, B, H, 4, R)};
	dcc_error error = {0};
	static _Alignas(64) char workspace[1 << 20];
	dcc_args args = {.size = sizeof args, .inputs = in, .outputs = out, .ninputs = 5, .noutputs = 3, .workspace = workspace,
	                 .workspace_size = sizeof workspace, .weights = w[1], .weights_size = n[1], .error = &error};
	CHECK_EQ(dcc_run(state, &args), DCC_ERROR_ARGUMENT);
	CHECK(strstr(error.text, "output 'nk'") != NULL);
	in[3].dims[2] = in[4].dims[2] = Cap;
	out[1].dims[2] = out[2].dims[2] = Cap + 1;
	out[1].data = cache[0];
	CHECK_EQ(dcc_run(state, &args), DCC_ERROR_RANGE);
	CHECK(strstr(error.text, "capacity of 80") != NULL);
}

/* ---- a convolution's window ------------------------------------------------------------------------------------------------- */

static const char conv_step[] = "dcc-ir 1 stage import\nmodel \"conv_step\"\nsym B in 0..64\n"
	"func @main(%x: f32[1, B, 6], %w: f32[B, 3, 1, 4], %past: f32[3, B, 6]) -> (y: f32[B, 3, 1, 2], next: f32[3, B, 6]) {\n"
	"  %0: f32[4, B, 6] = concat %past, %x {axis=0}\n"
	"  %1: f32[4, B, 3, 2] = reshape %0\n"
	"  %2: f32[B, 3, 4, 2] = transpose %1 {perm=[1, 2, 0, 3]}\n"
	"  %3: f32[B, 3, 1, 2] = matmul %w, %2\n"
	"  %4: f32[3, B, 6] = slice %0 {starts=[1, 0, 0]}\n"
	"  return %3, %4\n}\n";

static const char conv_full[] = "dcc-ir 1 stage import\nmodel \"conv_full\"\nsym B in 0..64\nsym T in 0..4096\n"
	"func @main(%x: f32[B, T, 6], %w: f32[B, T, 3, 4]) -> (y: f32[B, T, 6]) {\n"
	"  %0: f32[B, T, 6] = winconv %x, %w {heads=3, pads_dim=[3]}\n"
	"  return %0\n}\n";

static void test_window(void)
{
	enum { C = 6, K = 4, N = 3 };
	void *w[3];
	size_t n[3];
	const dcc_model *plain = compile("conv_step.ir", conv_step, NULL, &w[0], &n[0]);
	const dcc_model *state = compile("conv_state.ir", conv_step, "next=past,cap=80", &w[1], &n[1]);
	const dcc_model *full = compile("conv_full.ir", conv_full, NULL, &w[2], &n[2]);
	static float x[Steps][B][C], kernel[Steps][B][N][K], all[B][Steps][C], kernels[B][Steps][N][K], want[B][Steps][C];
	static float past[2][K - 1][B][C], window[Cap][B][C];

	CHECK(state->outputs[1].state == 3 && state->outputs[1].shift == 1);
	fill(&x[0][0][0], Steps * B * C);
	fill(&kernel[0][0][0][0], Steps * B * N * K);
	for (int t = 0; t < Steps; t++)
		for (int b = 0; b < B; b++) {
			memcpy(all[b][t], x[t][b], sizeof x[t][b]);
			memcpy(kernels[b][t], kernel[t][b], sizeof kernel[t][b]);
		}
	dcc_tensor fin[2] = {tensor(&all[0][0][0], 3, B, Steps, C, 0), tensor(&kernels[0][0][0][0], 4, B, Steps, N, K)};
	dcc_tensor fout = tensor(&want[0][0][0], 3, B, Steps, C, 0);
	run(full, fin, 2, &fout, 1, w[2], n[2]);
	int differ = 0;
	for (int t = 0; t < Steps; t++) {
		float y[2][B][C];
		dcc_tensor in[3] = {tensor(&x[t][0][0], 3, 1, B, C, 0), tensor(&kernel[t][0][0][0], 4, B, N, 1, K),
		                    tensor(&past[t % 2][0][0][0], 3, K - 1, B, C, 0)};
		dcc_tensor out[2] = {tensor(&y[0][0][0], 4, B, N, 1, C / N), tensor(&past[(t + 1) % 2][0][0][0], 3, K - 1, B, C, 0)};
		run(plain, in, 3, out, 2, w[0], n[0]);
		in[2].data = window[t]; /* slides by one row a step */
		out[0].data = y[1];
		out[1].data = window[t + 1];
		run(state, in, 3, out, 2, w[1], n[1]);
		differ += memcmp(y[0], y[1], sizeof y[0]) != 0;
		for (int b = 0; b < B; b++)
			differ += memcmp(y[0][b], want[b][t], sizeof want[b][t]) != 0;
	}
	CHECK_EQ(differ, 0);
}

int main(void)
{
	LLVMInitializeNativeTarget();
	LLVMInitializeNativeAsmPrinter();
	test_cache();
	test_window();
	return test_end("decode_test");
}
