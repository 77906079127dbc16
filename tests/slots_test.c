/* slots_test.c - places for random requests: no two that live at once share one, and each is as large as its users. */
#include "../passes/kernel.h"

#include "test.h"

#include <limits.h>

static uint64_t state = 88172645463325252u;

static int pick(int n)
{
	state ^= state << 13, state ^= state >> 7, state ^= state << 17;
	return (int)(state >> 33) % n;
}

/* A number, a symbol, or a symbol and a number: such grow, or cannot be compared. */
static const Dim *some_bytes(Module *m)
{
	static const char *const names[] = {"n", "t"};
	const Dim *number = dim_const(m, pick(20)), *sym = dim_sym(m, names[pick(2)]);
	return dim_mul_const(m, pick(3) ? dim_add(m, sym, number) : number, 64);
}

static int test_requests(Module *m, int n)
{
	Request r[64] = {{0}};
	const Dim *begin = dim_const(m, 128), *end, *sum = begin;
	int nplace = 0;

	for (int i = 0; i < n; i++)
		r[i] = (Request){.bytes = some_bytes(m), .until = pick(5) ? i + 1 + pick(6) : INT_MAX};
	end = place_requests(m, n, r, begin);
	for (int i = 0; i < n; i++) {
		nplace = r[i].place + 1 > nplace ? r[i].place + 1 : nplace;
		CHECK(dim_proves_at_most(m, r[i].bytes, r[i].room));
		CHECK(dim_proves_at_most(m, begin, r[i].offset));
		for (int j = i + 1; j < n; j++) {
			CHECK((r[i].place == r[j].place) == (r[i].offset == r[j].offset) || dim_equals(r[i].room, 0) || dim_equals(r[j].room, 0));
			CHECK(r[i].place != r[j].place || r[i].until <= j);
		}
	}
	for (int p = 0; p < nplace; p++) /* one behind the other */
		for (int i = 0; i < n; i++)
			if (r[i].place == p) {
				CHECK(r[i].offset == sum);
				sum = dim_add(m, sum, r[i].room);
				break;
			}
	CHECK(end == sum);
	return nplace;
}

int main(void)
{
	Module *m = new_module("slots", "test");
	int places = 0, requests = 0;

	for (int n = 0; n <= 64; n++) {
		places += test_requests(m, n);
		requests += n;
	}
	CHECK(places * 2 < requests); /* they are shared */
	free_module(m);
	return test_end("slots");
}
