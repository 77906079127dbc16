/* run_model.c - runs MODEL (a dcc_model) once on made-up inputs and prints a hash of each output.  usage: run_model TARGET
 * Symbolic dims are 5; integers are 0 or 1. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dcc.h"
#include "emulator_room.h"

extern const dcc_model MODEL;

enum { MaxPorts = 16, Extent = 5 };

static uint32_t random_state = 1;

static uint32_t next_random(void)
{
	return random_state = random_state * 1664525u + 1013904223u;
}

static size_t numel(const dcc_tensor *t)
{
	size_t n = 1;
	for (int d = 0; d < t->rank; d++)
		n *= (size_t)t->dims[d];
	return n;
}

static void make_input(const dcc_port *port, dcc_tensor *t)
{
	*t = (dcc_tensor){.dtype = port->dtype, .rank = port->rank};
	for (int d = 0; d < port->rank; d++)
		t->dims[d] = port->dims[d] < 0 ? Extent : port->dims[d];
	size_t n = numel(t), bytes = dcc_dtype_size(port->dtype);
	unsigned char *p = t->data = calloc(n + 1, bytes);
	for (size_t i = 0; i < n; i++) {
		float x = (float)(next_random() >> 8) * 0x1p-23f - 1;
		if (port->dtype == DCC_F32)
			memcpy(p + i * bytes, &x, sizeof x);
		else
			p[i * bytes] = x > 0; /* little-endian */
	}
}

int main(int argc, char **argv)
{
	static dcc_tensor in[MaxPorts], out[MaxPorts];
	static int64_t dims[MaxPorts * DCC_MAX_RANK];
	uint64_t bytes;
	dcc_error error;
	uint32_t target = 0;

	if (argc != 2 || MODEL.ninputs > MaxPorts || MODEL.noutputs > MaxPorts)
		return 2;
	for (int i = 0; i < MODEL.ntargets; i++)
		if (!strcmp(MODEL.targets[i].name, argv[1]))
			target = (uint32_t)i + 1;
	for (int i = 0; i < MODEL.ninputs; i++)
		make_input(&MODEL.inputs[i], &in[i]);
	if (!target || dcc_plan(&MODEL, in, MODEL.ninputs, 1, dims, &bytes, &error)) {
		fprintf(stderr, "%s\n", target ? error.text : "no such target");
		return 1;
	}
	for (int i = 0; i < MODEL.noutputs; i++) {
		out[i] = (dcc_tensor){.dtype = MODEL.outputs[i].dtype, .rank = MODEL.outputs[i].rank};
		memcpy(out[i].dims, dims + i * DCC_MAX_RANK, sizeof out[i].dims);
		out[i].data = calloc(numel(&out[i]) + 1, dcc_dtype_size(out[i].dtype));
	}
	dcc_args args = {.size = sizeof args, .inputs = in, .outputs = out, .ninputs = MODEL.ninputs, .noutputs = MODEL.noutputs,
	                 .workspace = aligned_alloc(DCC_WORKSPACE_ALIGN, (bytes / DCC_WORKSPACE_ALIGN + 1) * DCC_WORKSPACE_ALIGN),
	                 .workspace_size = bytes, .error = &error, .target = target};
	if (dcc_run(&MODEL, &args)) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	for (int i = 0; i < MODEL.noutputs; i++) {
		uint64_t hash = 14695981039346656037u; /* FNV-1a */
		const unsigned char *p = out[i].data;
		for (size_t j = 0, n = numel(&out[i]) * dcc_dtype_size(out[i].dtype); j < n; j++)
			hash = (hash ^ p[j]) * 1099511628211u;
		printf("%s%016llx", i ? " " : "", (unsigned long long)hash);
	}
	putchar('\n');
	return 0;
}
