/* winograd_test.c - the transforms against the sum that they stand for, and how far f32 is from it. */
#include "../ir/winograd.h"

#include "test.h"

#include <math.h>

static uint64_t state = 88172645463325252u;

static double next(void)
{
	state ^= state << 13, state ^= state >> 7, state ^= state << 17;
	return (double)(state >> 11) * 0x1p-52 - 1;
}

/* Are the coefficients that the code multiplies with exact in f32? */
static void check_exact(const Winograd *w)
{
	for (int i = 0; i <= w->pairs; i++)
		CHECK(w->all[i] == (float)w->all[i]);
	for (int i = 0; i < w->pairs; i++)
		for (int j = 0; j < w->pairs; j++)
			CHECK(w->without[i][j] == (float)w->without[i][j]);
}

static void check_sum(const Winograd *w)
{
	enum { Step = 3 };
	double x[Step * MaxWinogradSize], g[Step * WinogradTaps], tx[Step * MaxWinogradSize], tg[Step * MaxWinogradSize], y[Step * MaxWinogradTile];

	for (int i = 0; i < w->size * Step; i++)
		x[i] = next();
	for (int i = 0; i < WinogradTaps * Step; i++)
		g[i] = next();
	winograd_inputs(w, x, tx, Step);
	winograd_weights(w, g, tg, Step);
	for (int i = 0; i < w->size; i++)
		tx[i * Step] *= tg[i * Step];
	winograd_outputs(w, tx, y, Step);
	for (int k = 0; k < w->tile; k++) {
		double sum = 0;
		for (int t = 0; t < WinogradTaps; t++)
			sum += x[(k + t) * Step] * g[t * Step];
		CHECK(fabs(sum - y[k * Step]) < 1e-14);
	}
}

int main(void)
{
	Winograd w;

	for (int64_t tile = -1; tile <= 6; tile++) {
		bool there = winograd_of(tile, &w);
		CHECK(there == (tile == 2 || tile == 4));
		if (!there)
			continue;
		CHECK(w.tile == tile && w.size == tile + WinogradTaps - 1);
		check_exact(&w);
		for (int i = 0; i < 1000; i++)
			check_sum(&w);
	}
	return test_end("winograd");
}
