/* target.c - the targets: one row of facts each, best first. */
#include "target.h"

#include <string.h>

#include "../runtime/dcc.h"

const Target targets[] = {
	{"avx512vnni", "x86-64-v4-vnni", "x86-64-v4", "-prefer-256-bit,+avx512vnni", DCC_CPU_VNNI | DCC_CPU_AVX512 | DCC_CPU_AVX2, 14, 2,
	 true, 14, 1, 1024, 1 << 20},
	{"avx512", "x86-64-v4", "x86-64-v4", "-prefer-256-bit", DCC_CPU_AVX512 | DCC_CPU_AVX2, 14, 2, false, 12, 2, 1024, 1 << 20},
	{"avx2", "x86-64-v3", "x86-64-v3", "", DCC_CPU_AVX2, 6, 1, false, 4, 2, 128, 1 << 19},
};
const int ntargets = sizeof targets / sizeof *targets;

const Target *find_target(const char *name)
{
	for (int i = 0; i < ntargets; i++)
		if (!strcmp(name, targets[i].name) || !strcmp(name, targets[i].march))
			return &targets[i];
	return NULL;
}

void print_target_names(FILE *f)
{
	for (int i = ntargets - 1; i >= 0; i--)
		fprintf(f, "%s%s", targets[i].name, i ? " " : "");
}
