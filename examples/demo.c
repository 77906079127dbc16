/* demo.c - an application that links a compiled model.
 *
 *   build/dcc -o build/demo/dynconv.o examples/dynconv.onnx          also writes build/demo/dynconv.h
 *   cc -I runtime -I build/demo examples/demo.c build/demo/dynconv.o build/libdcc.a -o build/demo/demo
 *   build/demo/demo examples/dynconv.data
 *
 * Reads input.npy, runs the model once and compares with output.npy, which PyTorch recorded.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dynconv.h"

#define MODEL_WIDTH 48
#define TOLERANCE 2e-5 /* largest error / largest output; right answers sit near 3e-7 */

typedef struct Array {
	long dims[3];
	float *data;
} Array;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

/* A .npy file (version 1) of float32 with three dims. */
static Array read_npy(const char *dir, const char *name)
{
	char path[1024], header[1024];
	unsigned char start[10];
	Array a = {{0}, NULL};
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "rb");
	if (!f || fread(start, 1, sizeof start, f) != sizeof start || memcmp(start, "\x93NUMPY\x01", 7))
		die(path, "not a .npy file");
	size_t length = start[8] | (size_t)start[9] << 8;
	if (length >= sizeof header || fread(header, 1, length, f) != length)
		die(path, "its header is cut off");
	header[length] = 0;
	const char *shape = strstr(header, "'shape': (");
	if (!shape || !strstr(header, "'<f4'") || !strstr(header, "'fortran_order': False") ||
	    sscanf(shape, "'shape': (%ld, %ld, %ld)", &a.dims[0], &a.dims[1], &a.dims[2]) != 3)
		die(path, "not three dims of float32");
	if (a.dims[0] < 1 || a.dims[1] < 1 || a.dims[2] != MODEL_WIDTH || a.dims[0] > 4096 || a.dims[1] > 4096)
		die(path, "wrong shape");
	size_t count = (size_t)(a.dims[0] * a.dims[1] * a.dims[2]);
	a.data = malloc(count * sizeof *a.data);
	if (!a.data || fread(a.data, sizeof *a.data, count, f) != count)
		die(path, "its data are cut off");
	fclose(f);
	return a;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		die("usage", "demo FOLDER");
	Array x = read_npy(argv[1], "input.npy"), expected = read_npy(argv[1], "output.npy");
	if (memcmp(x.dims, expected.dims, sizeof x.dims))
		die(argv[1], "input and output differ in shape");

	dynconv_dims dims = {.batch = x.dims[0], .seq = x.dims[1]};
	size_t count = (size_t)dynconv_y_count(&dims);
	size_t bytes = dynconv_workspace_size(&dims);
	void *workspace = aligned_alloc(DCC_WORKSPACE_ALIGN, (bytes / DCC_WORKSPACE_ALIGN + 1) * DCC_WORKSPACE_ALIGN);
	float *y = malloc(count * sizeof *y);
	if (!workspace || !y)
		die("demo", "no memory");

	dcc_error error;
	if (dynconv(&dims, x.data, y, workspace, bytes, NULL, &error))
		die("dynconv", error.text);

	double largest = 0, worst = 0;
	size_t nans = 0;
	for (size_t i = 0; i < count; i++) {
		double e = fabs((double)y[i] - expected.data[i]);
		double size = fabs((double)expected.data[i]);
		nans += isnan(e);
		worst = e > worst ? e : worst;
		largest = size > largest ? size : largest;
	}
	int pass = !nans && worst / largest <= TOLERANCE;
	printf("dynconv: %ld x %ld tokens, largest error / largest output = %.3g: %s\n", x.dims[0], x.dims[1],
	       worst / largest, pass ? "PASS" : "FAIL");
	free(x.data);
	free(expected.data);
	free(y);
	free(workspace);
	return !pass;
}
