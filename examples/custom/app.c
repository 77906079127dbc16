/* app.c - runs a model with custom operators.
 *
 *   dcc -o custom.o custom.onnx \
 *       '--custom-op=com.example:Snake=example_snake(%x: f32[b, t, c], alpha: f32[] = 1) -> (f32[b, t, c])' \
 *       '--custom-op=com.example:Best=example_best(%x: f32[b, c, t]) -> (f32[b, c], i64[b, c])'
 *   cc $(pkg-config --cflags dcc) -I. app.c operators.c custom.o $(pkg-config --libs dcc) -lm -o app
 */
#include <stdio.h>
#include <stdlib.h>

#include "custom.h"

int main(void)
{
	custom_dims dims = {.batch = 1, .seq = 4};
	float x[4 * 6], best[6];
	int64_t where[6];
	size_t bytes = custom_workspace_size(&dims);
	void *workspace = aligned_alloc(DCC_WORKSPACE_ALIGN, (bytes / DCC_WORKSPACE_ALIGN + 1) * DCC_WORKSPACE_ALIGN);
	dcc_error error;

	for (int i = 0; i < 4 * 6; i++)
		x[i] = (float)(i * 7 % 11) / 11;
	if (custom(&dims, x, best, where, workspace, bytes, NULL, &error)) {
		fprintf(stderr, "custom: %s\n", error.text);
		return 1;
	}
	for (int c = 0; c < 6; c++)
		printf("%.4f at %d\n", (double)best[c], (int)where[c]);
	free(workspace);
	return 0;
}
