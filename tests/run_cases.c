/* run_cases.c - runs the cases listed in CASES, which conformance_emulated.py writes.  usage: run_cases TARGET
 * A line for each: its outputs' dims and elements as hashes, in which any NaN counts as one, or "failed: " and why. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dcc.h"
#include "emulator_room.h"

typedef struct Case {
	const dcc_model *model;
	const dcc_tensor *in;
} Case;

#include CASES

static size_t numel(const dcc_tensor *t)
{
	size_t n = 1;
	for (int d = 0; d < t->rank; d++)
		n *= (size_t)t->dims[d];
	return n;
}

static void *aligned(uint64_t bytes)
{
	return aligned_alloc(DCC_WORKSPACE_ALIGN, (bytes / DCC_WORKSPACE_ALIGN + 1) * DCC_WORKSPACE_ALIGN);
}

static bool is_nan(int dtype, const unsigned char *p)
{
	static const struct { int dtype; uint64_t infinity; } formats[] = {
		{DCC_F64, 0x7ff0000000000000}, {DCC_F32, 0x7f800000}, {DCC_F16, 0x7c00}, {DCC_BF16, 0x7f80},
	};
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
		if (formats[i].dtype == dtype) {
			uint64_t bits = 0, sign = UINT64_C(1) << (dcc_dtype_bits(dtype) - 1);
			memcpy(&bits, p, dcc_dtype_size(dtype));
			return (bits & ~sign) > formats[i].infinity;
		}
	return false;
}

static uint64_t mix(uint64_t hash, const void *data, size_t n) /* FNV-1a */
{
	const unsigned char *p = data;
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ p[i]) * 1099511628211u;
	return hash;
}

static uint64_t hash_of(const dcc_tensor *t)
{
	uint64_t hash = mix(14695981039346656037u, t->dims, (size_t)t->rank * sizeof *t->dims);
	const size_t size = dcc_dtype_size(t->dtype), bytes = dcc_bytes(t->dtype, (int64_t)numel(t));
	for (size_t i = 0; i < bytes; i += size) {
		const unsigned char *p = (unsigned char *)t->data + i;
		hash = is_nan(t->dtype, p) ? mix(hash, "NaN", 3) : mix(hash, p, size);
	}
	return hash;
}

/* NULL, or what is wrong. */
static const char *run_case(const Case *k, const char *isa)
{
	static dcc_error error;
	const dcc_model *m = k->model;
	int64_t *dims = calloc((size_t)m->noutputs + 1, DCC_MAX_RANK * sizeof *dims);
	dcc_tensor *in = calloc((size_t)m->ninputs + 1, sizeof *in), *out = calloc((size_t)m->noutputs + 1, sizeof *out);
	uint64_t bytes;
	uint32_t target = 0;

	for (int i = 0; i < m->ntargets; i++)
		if (!strcmp(m->targets[i].name, isa))
			target = (uint32_t)i + 1;
	if (!target)
		return "the object has no such target";
	for (int i = 0; i < m->ninputs; i++) {
		size_t n = dcc_bytes(k->in[i].dtype, (int64_t)numel(&k->in[i]));
		in[i] = k->in[i];
		in[i].data = memcpy(aligned(n), k->in[i].data, n);
	}
	if (dcc_plan(m, in, m->ninputs, 1, dims, &bytes, &error))
		return error.text;
	for (int i = 0; i < m->noutputs; i++) {
		out[i] = (dcc_tensor){.dtype = m->outputs[i].dtype, .rank = m->outputs[i].rank};
		memcpy(out[i].dims, dims + i * DCC_MAX_RANK, sizeof out[i].dims);
		out[i].data = aligned(dcc_bytes(out[i].dtype, (int64_t)numel(&out[i])));
	}
	dcc_args args = {.size = sizeof args, .inputs = in, .outputs = out, .ninputs = m->ninputs, .noutputs = m->noutputs,
	                 .workspace = aligned(bytes), .workspace_size = bytes, .error = &error, .target = target, .out_dims = dims};
	if (!args.workspace)
		return "no memory";
	if (dcc_run(m, &args))
		return error.text;
	for (int i = 0; i < m->noutputs; i++) {
		memcpy(out[i].dims, dims + i * DCC_MAX_RANK, sizeof out[i].dims);
		printf("%s%016llx", i ? " " : "", (unsigned long long)hash_of(&out[i]));
		free(out[i].data);
	}
	for (int i = 0; i < m->ninputs; i++)
		free(in[i].data);
	free(args.workspace);
	free(out);
	free(in);
	free(dims);
	return NULL;
}

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < sizeof cases / sizeof *cases; i++) {
		const char *wrong = run_case(&cases[i], argv[1]);
		if (wrong)
			printf("failed: %s", wrong);
		putchar('\n');
		fflush(stdout);
	}
	return argc != 2;
}
