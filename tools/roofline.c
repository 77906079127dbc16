/* roofline.c - two loops, each run a few times by every worker at once; the fastest run counts.
 *
 *   compute: independent chains of FMA in registers, of the widest vectors that the target uses;
 *   memory:  reading a buffer of four times the last-level cache, in huge pages where the system has some, each worker its own share.
 */
#include "roofline.h"

#include <immintrin.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "program.h"

enum { HugePage = 2 << 20, Chains = 12 /* more than latency * rate of any FMA unit */, FmaTrips = 1000000, Repeats = 5 };

static volatile float sink, one = 1, half = 0.5F; /* keep the loops alive */

/* Written out, so that every chain has a register of its own whatever the compiler unrolls. */
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

__attribute__((target("avx2,fma"))) static void fma_avx2(void)
{
	__m256 x = _mm256_set1_ps(half), y = _mm256_set1_ps(one), sum = y;
#define START(i) __m256 a##i = _mm256_set1_ps(i);
#define STEP(i) a##i = _mm256_fmadd_ps(a##i, x, y);
#define ADD(i) sum = _mm256_add_ps(sum, a##i);
	EACH(START)
	for (int n = 0; n < FmaTrips; n++) {
		EACH(STEP)
	}
	EACH(ADD)
	sink = _mm256_cvtss_f32(sum);
#undef START
#undef STEP
#undef ADD
}

__attribute__((target("avx512f"))) static void fma_avx512(void)
{
	__m512 x = _mm512_set1_ps(half), y = _mm512_set1_ps(one), sum = y;
#define START(i) __m512 a##i = _mm512_set1_ps(i);
#define STEP(i) a##i = _mm512_fmadd_ps(a##i, x, y);
#define ADD(i) sum = _mm512_add_ps(sum, a##i);
	EACH(START)
	for (int n = 0; n < FmaTrips; n++) {
		EACH(STEP)
	}
	EACH(ADD)
	sink = _mm512_cvtss_f32(sum);
#undef START
#undef STEP
#undef ADD
}

__attribute__((target("avx2"))) static void read_avx2(const char *from, size_t bytes)
{
	const __m256i *p = (const __m256i *)from;
	__m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
	for (size_t i = 0; i + 4 <= bytes / sizeof *p; i += 4) {
		a = _mm256_xor_si256(a, _mm256_load_si256(p + i));
		b = _mm256_xor_si256(b, _mm256_load_si256(p + i + 1));
		c = _mm256_xor_si256(c, _mm256_load_si256(p + i + 2));
		d = _mm256_xor_si256(d, _mm256_load_si256(p + i + 3));
	}
	a = _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d));
	sink = (float)_mm256_extract_epi32(a, 0);
}

typedef struct Load {
	bool wide;
	char *buffer;
	size_t share; /* bytes of one worker */
} Load;

static void run_fma(void *ctx, int32_t worker)
{
	(void)worker;
	(((const Load *)ctx)->wide ? fma_avx512 : fma_avx2)();
}

static void run_touch(void *ctx, int32_t worker)
{
	const Load *l = ctx;
	memset(l->buffer + (size_t)worker * l->share, 1, l->share);
}

static void run_read(void *ctx, int32_t worker)
{
	const Load *l = ctx;
	read_avx2(l->buffer + (size_t)worker * l->share, l->share);
}

static double fastest(dcc_exec *exec, void (*fn)(void *, int32_t), Load *load)
{
	double best = 0;
	for (int i = 0; i < Repeats; i++) {
		double start = now_s();
		if (exec)
			exec->run(exec, fn, load);
		else
			fn(load, 0);
		double t = now_s() - start;
		best = i == 0 || t < best ? t : best;
	}
	return best;
}

static size_t buffer_bytes(void)
{
	const size_t least = (size_t)64 << 20, most = (size_t)512 << 20;
	long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
	size_t want = cache > 0 ? 4 * (size_t)cache : 4 * least;
	return want < least ? least : want > most ? most : want;
}

Roofline measure_roofline(uint64_t features, dcc_exec *exec)
{
	int workers = exec ? exec->threads : 1;
	size_t bytes = buffer_bytes();
	Load load = {.wide = features & DCC_CPU_AVX512, .share = bytes / (size_t)workers / 4096 * 4096};
	int lanes = load.wide ? 16 : 8;

	bytes = load.share * (size_t)workers;
	load.buffer = aligned_alloc(HugePage, (bytes + HugePage) / HugePage * HugePage);
	if (load.buffer)
		madvise(load.buffer, bytes, MADV_HUGEPAGE);
	else
		fatal_at(NULL, "no memory for a buffer of %zu bytes to measure the memory's speed", bytes);
	Roofline r = {.buffer = (double)bytes};
	r.flops = 2.0 * lanes * Chains * FmaTrips * workers / fastest(exec, run_fma, &load);
	if (exec)
		exec->run(exec, run_touch, &load);
	else
		run_touch(&load, 0);
	r.bytes = (double)bytes / fastest(exec, run_read, &load);
	free(load.buffer);
	return r;
}
