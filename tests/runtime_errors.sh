#!/usr/bin/env bash
# Compiled models called the wrong way, from a C program: every error has its status and text, and nothing outside the
# caller's buffers is touched (they end at pages that cannot be accessed).  Then two models in one program from several
# threads, under the thread sanitizer where the compiler has it.
# usage: runtime_errors.sh BUILD
set -u
. "$PWD/tests/expect.bash"
begin "$1"
cat >pick.ir <<'END'
dcc-ir 1 stage import
model pick
sym n in 0..64
sym k in 0..
func @main(%table: f32[n, 8], %at: i64[k]) -> (rows: f32[k, 8]) {
  %0: f32[k, 8] = gather %table, %at {axis=0} loc "emb" Gather-17
  return %0
}
END
cat >blend.ir <<'END'
dcc-ir 1 stage import
model blend
sym n in 1..512
const @w: f32[3, 3] = [1, 2, 3, 4, 5, 6, 7, 8, 10]
func @main(%x: f32[n, 3], %z: f32[n, 3]) -> (y: f32[n, 3]) {
  %0: f32[n, 3] = matmul %x, @w
  %1: f32[n, 3] = add %0, %z
  return %1
}
END
cat >attend.ir <<'END'
dcc-ir 1 stage import
model attend
sym t in 0..
sym s in 0..
func @main(%q: f32[1, 2, t, 4], %one: f32[1, 2, 1, 4], %k: f32[1, 2, s, 4], %v: f32[1, 2, s, 4]) -> (many: f32[1, 2, t, 4], few: f32[1, 2, 1, 4]) {
  %kt: f32[1, 2, 4, s] = transpose %k {perm=[0, 1, 3, 2]}
  %a: f32[1, 2, t, s] = matmul %q, %kt
  %b: f32[1, 2, t, s] = softmax %a {axis=3}
  %c: f32[1, 2, t, 4] = matmul %b, %v
  %d: f32[1, 2, 1, s] = matmul %one, %kt
  %e: f32[1, 2, 1, s] = softmax %d {axis=3}
  %f: f32[1, 2, 1, 4] = matmul %e, %v
  return %c, %f
}
END
# Legal inputs and an intermediate of more bytes than 64 bits count.
cat >huge.ir <<'END'
dcc-ir 1 stage import
model huge
sym a in 0..
sym b in 0..
sym c in 0..
func @main(%x: f32[a, 1, 1], %y: f32[b, 1], %z: f32[c]) -> (sum: f32[a]) {
  %0: f32[a, b, 1] = add %x, %y
  %1: f32[a, b, c] = mul %0, %z
  %2: f32[a, b, c] = cumsum %1 {axis=2}
  %3: f32[a] = sum %2 {axes=[1, 2]}
  return %3
}
END

cat >bad.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "attend.h"
#include "blend.h"
#include "huge.h"
#include "pick.h"

enum { Page = 4096 };
static int failed;
static dcc_error err;

/* `bytes` that end, up to alignment, at a page without access. */
static void *guarded(size_t bytes, size_t align)
{
	size_t whole = (bytes + Page - 1) / Page * Page + Page;
	char *p = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || mprotect(p + whole - Page, Page, PROT_NONE))
		exit(2);
	memset(p, 0x5a, whole - Page);
	return p + whole - Page - (bytes + align - 1) / align * align;
}

static void expect_at(int line, int got, int status, const char *text)
{
	if (got == status && err.code == status && !strcmp(err.text, text))
		return;
	failed++;
	printf("line %d: status %d (%d) \"%s\", expected %d \"%s\"\n", line, got, err.code, err.text, status, text);
}
#define EXPECT(call, status, text) expect_at(__LINE__, call, status, text)
#define REQUIRE(cond) ((cond) ? 0 : (failed++, printf("line %d: failed: %s\n", __LINE__, #cond)))

static dcc_tensor tensor(void *data, int dtype, int rank, int64_t a, int64_t b)
{
	dcc_tensor t;
	memset(&t, 0, sizeof t);
	t.data = data;
	t.dtype = dtype;
	t.rank = rank;
	t.dims[0] = a;
	t.dims[1] = b;
	return t;
}

static int64_t bad_at;
static float *pick_rows;
static int pick_one(int64_t n, int64_t index)
{
	pick_dims d = {.n = n, .k = 3};
	size_t bytes = pick_workspace_size(&d);
	float *table = guarded((size_t)n * 8 * 4, 4), *rows = pick_rows = guarded(3 * 8 * 4, 4);
	int64_t *at = guarded(3 * 8, 8);
	for (int64_t i = 0; i < n * 8; i++)
		table[i] = (float)i;
	at[0] = 0;
	at[1] = n - 1;
	at[2] = 1;
	at[bad_at] = index;
	return pick(&d, table, at, rows, guarded(bytes, 64), bytes, NULL, &err);
}

static void test_indices(void)
{
	EXPECT(pick_one(4, 3), DCC_OK, "");
	REQUIRE(pick_rows[0] == 24 && pick_rows[8] == 24 && pick_rows[23] == 15);
	EXPECT(pick_one(4, -4), DCC_OK, "");
	REQUIRE(pick_rows[0] == 0);
	EXPECT(pick_one(4, 4), DCC_ERROR_INDEX, "node 'emb' (gather): tensor 'at': index 4 out of range");
	for (bad_at = 0; bad_at < 3; bad_at++) {
		EXPECT(pick_one(4, -5), DCC_ERROR_INDEX, "node 'emb' (gather): tensor 'at': index -5 out of range");
		EXPECT(pick_one(4, INT64_MAX), DCC_ERROR_INDEX,
		       "node 'emb' (gather): tensor 'at': index 9223372036854775807 out of range");
		EXPECT(pick_one(4, INT64_MIN), DCC_ERROR_INDEX,
		       "node 'emb' (gather): tensor 'at': index -9223372036854775808 out of range");
		REQUIRE(pick_one(4, INT64_C(1) << 32) == DCC_ERROR_INDEX); /* 0 in 32 bits */
	}
	bad_at = 0;
	REQUIRE(pick_one(0, 0) == DCC_ERROR_INDEX);
	EXPECT(pick_one(65, 0), DCC_ERROR_RANGE, "input 'table': dim 0 (n) is 65, allowed 0..64");
	pick_dims none = {0};
	EXPECT(pick(&none, NULL, NULL, NULL, NULL, 0, NULL, &err), DCC_OK, "");
	pick_dims negative = {.n = -1, .k = -7}, huge = {.n = INT64_MAX, .k = INT64_MAX, .threads = INT64_MAX};
	(void)pick_workspace_size(&negative);
	(void)pick_workspace_size(&huge);
	EXPECT(pick(&negative, NULL, NULL, NULL, NULL, 0, NULL, &err), DCC_ERROR_RANGE,
	       "input 'table': dim 0 (n) is -1, allowed 0..2147483647");
	EXPECT(pick(&huge, NULL, NULL, NULL, NULL, 0, NULL, &err), DCC_ERROR_RANGE,
	       "input 'table': dim 0 (n) is 9223372036854775807, allowed 0..2147483647");
}

/* A right call of blend, of which each test spoils one thing. */
static struct {
	dcc_args args;
	dcc_tensor in[2], out[1];
	void *weights;
	size_t weights_size, workspace_size;
} call;

static void reset(int64_t n)
{
	static const float x[] = {1, 0, 2};
	blend_dims d = {.n = n};
	float *in = guarded((size_t)n * 12, 4);
	call.workspace_size = blend_workspace_size(&d);
	for (int64_t i = 0; i < n * 3; i++)
		in[i] = x[i % 3];
	call.in[0] = call.in[1] = tensor(in, DCC_F32, 2, n, 3);
	call.out[0] = tensor(guarded((size_t)n * 12, 4), DCC_F32, 2, n, 3);
	memset(&call.args, 0, sizeof call.args);
	call.args.size = sizeof call.args;
	call.args.inputs = call.in;
	call.args.outputs = call.out;
	call.args.ninputs = 2;
	call.args.noutputs = 1;
	call.args.workspace = guarded(call.workspace_size, 64);
	call.args.workspace_size = call.workspace_size;
	call.args.weights = call.weights;
	call.args.weights_size = call.weights_size;
	call.args.error = &err;
}

static int run(void)
{
	int status = blend_run(&call.args);
	call.args.error = NULL; /* and the same without a place for the text */
	REQUIRE(blend_run(&call.args) == status);
	reset(5);
	return status;
}

static void load_weights(const char *path)
{
	FILE *f = fopen(path, "rb");
	call.weights = aligned_alloc(64, 1 << 16);
	call.weights_size = f && call.weights ? fread(call.weights, 1, 1 << 16, f) : 0;
	if (!f || fclose(f) || !call.weights_size)
		exit(2);
}

static void test_tensors(void)
{
	reset(5);
	float *y = call.out[0].data;
	EXPECT(run(), DCC_OK, "");
	REQUIRE(y[0] == 16 && y[1] == 18 && y[2] == 25 && y[14] == 25);
	call.in[1].dims[0] = 4;
	EXPECT(run(), DCC_ERROR_SHAPE, "input 'z': dim 0 (n) is 4, expected 5");
	call.out[0].dims[0] = 6;
	EXPECT(run(), DCC_ERROR_SHAPE, "output 'y': dim 0 (n) is 6, expected 5");
	call.in[0].dims[1] = 4;
	EXPECT(run(), DCC_ERROR_SHAPE, "input 'x': dim 1 is 4, expected 3");
	call.in[0].rank = 3;
	EXPECT(run(), DCC_ERROR_SHAPE, "input 'x': rank 3, expected 2");
	call.in[0].rank = -1;
	EXPECT(run(), DCC_ERROR_SHAPE, "input 'x': rank -1, expected 2");
	call.in[1].dtype = DCC_F64;
	EXPECT(run(), DCC_ERROR_DTYPE, "input 'z': f64, expected f32");
	call.out[0].dtype = 99;
	EXPECT(run(), DCC_ERROR_DTYPE, "output 'y': type 99, expected f32");
	call.in[0].data = NULL;
	EXPECT(run(), DCC_ERROR_ARGUMENT, "input 'x': data is NULL");
	call.out[0].data = (char *)call.out[0].data - 1;
	EXPECT(run(), DCC_ERROR_ARGUMENT, "output 'y': data is not aligned to 4 bytes");
	call.in[0].dims[0] = call.in[1].dims[0] = call.out[0].dims[0] = 513;
	EXPECT(run(), DCC_ERROR_RANGE, "input 'x': dim 0 (n) is 513, allowed 1..512");
	call.in[0].dims[0] = call.in[1].dims[0] = call.out[0].dims[0] = 0;
	EXPECT(run(), DCC_ERROR_RANGE, "input 'x': dim 0 (n) is 0, allowed 1..512");
	call.in[0].reserved[1] = 1;
	EXPECT(run(), DCC_ERROR_ARGUMENT, "input 'x': reserved is not 0");
}

static void test_arguments(void)
{
	char text[200];
	call.args.inputs = NULL;
	EXPECT(run(), DCC_ERROR_ARGUMENT, "inputs is NULL");
	call.args.ninputs = 1;
	EXPECT(run(), DCC_ERROR_ARGUMENT, "1 inputs, expected 2");
	call.args.noutputs = -1;
	EXPECT(run(), DCC_ERROR_ARGUMENT, "-1 outputs, expected 1");
	call.args.size = 8;
	snprintf(text, sizeof text, "args->size is 8, expected %zu", sizeof call.args);
	EXPECT(run(), DCC_ERROR_ARGUMENT, text);
	call.args.target = 3;
	EXPECT(run(), DCC_ERROR_ARGUMENT, "args->target is 3, the model has 2 target(s)");
	REQUIRE(blend_run(NULL) == DCC_ERROR_ARGUMENT);
	REQUIRE(dcc_run(NULL, &call.args) == DCC_ERROR_ARGUMENT);
	dcc_exec exec = {.size = sizeof exec, .threads = 0};
	call.args.exec = &exec;
	EXPECT(run(), DCC_ERROR_ARGUMENT, "exec->threads is 0, allowed 1..65536");
}

static void test_memory(void)
{
	char text[200];
	if (call.workspace_size) {
		call.args.workspace_size--;
		snprintf(text, sizeof text, "workspace has %zu bytes, needs %zu with 1 thread(s)", call.workspace_size - 1,
		         call.workspace_size);
		EXPECT(run(), DCC_ERROR_WORKSPACE, text);
		call.args.workspace = NULL;
		snprintf(text, sizeof text, "workspace is NULL, needs %zu bytes", call.workspace_size);
		EXPECT(run(), DCC_ERROR_WORKSPACE, text);
	}
	call.args.workspace = (char *)call.args.workspace - 32;
	EXPECT(run(), DCC_ERROR_WORKSPACE, "workspace is not aligned to 64 bytes");
	call.args.weights = NULL;
	EXPECT(run(), DCC_ERROR_WEIGHTS, "the model's weights are in a side file: pass it as args->weights");
	call.args.weights_size--;
	snprintf(text, sizeof text, "the side file has %zu bytes, expected %zu", call.weights_size - 1, call.weights_size);
	EXPECT(run(), DCC_ERROR_WEIGHTS, text);
	call.args.weights = (char *)call.args.weights + 4;
	EXPECT(run(), DCC_ERROR_WEIGHTS, "weights are not aligned to 64 bytes");
	((char *)call.weights)[call.weights_size - 1] ^= 1;
	EXPECT(run(), DCC_ERROR_WEIGHTS, "the side file holds the weights of another model");
	((char *)call.weights)[call.weights_size - 1] ^= 1;
	EXPECT(run(), DCC_OK, "");
}

/* The model as if it were compiled for instructions that no CPU has. */
static void test_cpu(void)
{
	dcc_model model = blend_model;
	dcc_target targets[2] = {blend_model.targets[0], blend_model.targets[1]};
	targets[0].features = targets[1].features = UINT64_C(1) << 63;
	model.targets = targets;
	EXPECT(dcc_run(&model, &call.args), DCC_ERROR_CPU, "this CPU cannot run the model's targets avx512, avx2");
	call.args.target = 2;
	EXPECT(dcc_run(&model, &call.args), DCC_ERROR_CPU, "this CPU cannot run the model's target avx2");
	call.args.target = 0;
	model.abi = DCC_ABI + 1;
	REQUIRE(dcc_run(&model, &call.args) == DCC_ERROR_VERSION);
}

/* No queries give nothing; no keys give zeros, as a product over nothing does. */
static void test_empty(void)
{
	attend_dims d = {.t = 3, .s = 0};
	size_t bytes = attend_workspace_size(&d);
	float *q = guarded(2 * 3 * 4 * 4, 4), *one = guarded(2 * 4 * 4, 4), *many = guarded(2 * 3 * 4 * 4, 4),
	      *few = guarded(2 * 4 * 4, 4);
	memset(q, 0, 2 * 3 * 4 * 4);
	memset(one, 0, 2 * 4 * 4);
	EXPECT(attend(&d, q, one, NULL, NULL, many, few, guarded(bytes, 64), bytes, NULL, &err), DCC_OK, "");
	for (int i = 0; i < 2 * 3 * 4; i++)
		REQUIRE(many[i] == 0);
	for (int i = 0; i < 2 * 4; i++)
		REQUIRE(few[i] == 0);
	d.t = 0;
	bytes = attend_workspace_size(&d);
	EXPECT(attend(&d, NULL, one, NULL, NULL, NULL, few, guarded(bytes, 64), bytes, NULL, &err), DCC_OK, "");
}

/* A workspace whose size wraps to something small is never taken for enough. */
static void test_sizes(void)
{
	static float x[1 << 21], y[1 << 21];
	static char ws[1 << 16] __attribute__((aligned(64)));
	huge_dims d = {.a = 1 << 21, .b = 1 << 21, .c = 1 << 21, .threads = 1};
	REQUIRE(huge_workspace_size(&d) == SIZE_MAX);
	EXPECT(huge(&d, x, x, x, y, ws, sizeof ws, NULL, &err), DCC_ERROR_RANGE, "outputs and workspace are too large for 64 bits");
	d.a = d.b = 3;
	REQUIRE(huge_workspace_size(&d) < SIZE_MAX / 2);
}

int main(void)
{
	load_weights("blend.bin");
	test_sizes();
	test_indices();
	test_tensors();
	test_arguments();
	test_memory();
	test_cpu();
	test_empty();
	return failed != 0;
}
END

cat >threads.c <<'END'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "attend.h"
#include "pick.h"

enum { Runs = 50, N = 40, T = 9, S = 21 };
static float table[N * 8], kv[2 * S * 4], q[2 * T * 4];
static int64_t at[T];

static void *client(void *arg)
{
	long self = (long)arg;
	dcc_exec *pool = self % 2 ? dcc_pool_new(2) : NULL;
	if (pool)
		pool->always = 1;
	pick_dims p = {.n = N, .k = T, .threads = 2};
	attend_dims a = {.t = T, .s = S, .threads = 2};
	size_t pbytes = pick_workspace_size(&p), abytes = attend_workspace_size(&a);
	void *pw = aligned_alloc(64, (pbytes + 64) / 64 * 64), *aw = aligned_alloc(64, (abytes + 64) / 64 * 64);
	static const dcc_error clean;
	float rows[T * 8], many[2 * T * 4], few[2 * 4], first[2 * T * 4];
	long bad = 0;
	for (int i = 0; i < Runs; i++) {
		dcc_error err = clean;
		bad += pick(&p, table, at, rows, pw, pbytes, pool, &err) != DCC_OK || rows[3] != table[at[0] * 8 + 3];
		bad += attend(&a, q, q, kv, kv, many, few, aw, abytes, pool, &err) != DCC_OK;
		if (i == 0)
			memcpy(first, many, sizeof first);
		bad += memcmp(first, many, sizeof first) != 0;
	}
	dcc_pool_free(pool);
	free(pw);
	free(aw);
	return (void *)bad;
}

int main(void)
{
	pthread_t threads[4];
	long bad = 0;
	for (int i = 0; i < N * 8; i++)
		table[i] = (float)i;
	for (int i = 0; i < 2 * S * 4; i++)
		kv[i] = (float)(i % 7) / 7;
	for (int i = 0; i < 2 * T * 4; i++)
		q[i] = (float)(i % 5) / 5;
	for (int i = 0; i < T; i++)
		at[i] = i * 4 + 1;
	for (long i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, client, (void *)i))
			return 2;
	for (int i = 0; i < 4; i++) {
		void *result;
		pthread_join(threads[i], &result);
		bad += (long)result;
	}
	printf("%ld bad\n", bad);
	return bad != 0;
}
END

for model in pick attend huge; do
	check "dcc $model.ir" "$build/dcc" -march=avx2,avx512 -o $model.o $model.ir
done
check 'dcc --weights' "$build/dcc" -march=avx2,avx512 --weights=blend.bin -o blend.o blend.ir
flags=(-std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -O1 -I. -I"$root/runtime")
check 'bad.c compiles' cc "${flags[@]}" bad.c "$root"/runtime/*.c ./*.o -pthread -o bad
check 'wrong calls are reported' ./bad
check 'threads.c compiles' cc "${flags[@]}" threads.c "$root"/runtime/*.c pick.o attend.o -pthread -o threads
check 'two models from four threads' ./threads
tsan=(-g -fsanitize=thread)
if cc "${flags[@]}" "${tsan[@]}" threads.c "$root"/runtime/*.c pick.o attend.o -pthread -o races 2>/dev/null; then
	check 'two models from four threads, without a race' env TSAN_OPTIONS=halt_on_error=1 ./races
fi
asan=(-g -fsanitize=address,undefined -fno-sanitize-recover=all)
if cc "${flags[@]}" "${asan[@]}" bad.c "$root"/runtime/*.c ./*.o -pthread -o bad_asan 2>/dev/null; then
	check 'wrong calls with the address sanitizer' env ASAN_OPTIONS=detect_leaks=0 ./bad_asan
fi

echo "runtime_errors: $checks checks, $failed failed"
[ $failed = 0 ]
