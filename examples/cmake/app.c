/* app.c - two compiled models in one program: the same network for any length, and specialised to 2 x 17 tokens. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "any_length.h"
#include "dynconv17.h"

enum { Batch = 2, Seq = 17, Width = 48, Count = Batch * Seq * Width };

static _Alignas(DCC_WORKSPACE_ALIGN) char workspace[1 << 20];
static float x[Count], y[Count], z[Count];

int main(void)
{
	any_length_dims any = {.batch = Batch, .seq = Seq};
	dynconv17_dims fixed = {.threads = 1};
	dcc_error error;

	for (int i = 0; i < Count; i++)
		x[i] = (float)sin(i);
	if (any_length(&any, x, y, workspace, sizeof workspace, NULL, &error) ||
	    dynconv17(&fixed, x, z, workspace, sizeof workspace, NULL, &error)) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	printf("%s needs %zu bytes, %s %zu; %s\n", any_length_model.name, any_length_workspace_size(&any),
	       dynconv17_model.name, dynconv17_workspace_size(&fixed),
	       memcmp(y, z, sizeof y) ? "they DIFFER" : "they agree in every bit");
	return memcmp(y, z, sizeof y) != 0;
}
