/* strassen_test.c - the seven products against the product of 2 by 2 matrices that they stand for. */
#include "../ir/strassen.h"

#include "test.h"

#include <stdbool.h>

static int dot(const signed char *factor, const int *x)
{
	int sum = 0;
	for (int i = 0; i < StrassenBlocks; i++)
		sum += factor[i] * x[i];
	return sum;
}

/* A bilinear form is known by what it makes of units. */
static void check_units(int i, int j)
{
	int a[StrassenBlocks] = {0}, b[StrassenBlocks] = {0}, y[StrassenBlocks] = {0};

	a[i] = b[j] = 1;
	for (int p = 0; p < StrassenProducts; p++)
		for (int k = 0; k < StrassenBlocks; k++)
			y[k] += strassen[p].to[k] * dot(strassen[p].left, a) * dot(strassen[p].right, b);
	for (int k = 0; k < StrassenBlocks; k++)
		CHECK(y[k] == (i % 2 == j / 2 && k == i / 2 * 2 + j % 2));
}

/* Sums begin with a factor of 1. */
static void check_begins(void)
{
	for (int p = 0; p < StrassenProducts; p++) {
		bool left = false;
		for (int k = 0; k < StrassenBlocks; k++)
			left |= strassen[p].left[k] == 1;
		CHECK(left);
	}
	for (int k = 0; k < StrassenBlocks; k++) {
		bool to = false;
		for (int p = 0; p < StrassenProducts; p++)
			to |= strassen[p].to[k] == 1;
		CHECK(to);
	}
}

int main(void)
{
	for (int i = 0; i < StrassenBlocks; i++)
		for (int j = 0; j < StrassenBlocks; j++)
			check_units(i, j);
	check_begins();
	return test_end("strassen");
}
