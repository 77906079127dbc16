/* app.c - a decoder that keeps its KV cache in place.
 *
 *   dcc --state auto,cap=32 -o step.o step.ir                          also writes step.h
 *   cc $(pkg-config --cflags dcc) -I. app.c step.o $(pkg-config --libs dcc) -o app
 *
 * The model takes one token, past_k and past_v, and gives scores, k and v: the past with one row more.  Without --state an
 * application would copy k and v into the next step's past_k and past_v.  With it past_k and k are one buffer that has room for
 * 32 rows: a step writes its row behind the others, and step_step() is the call that leaves k and v out.
 */
#include <stdio.h>
#include <stdlib.h>

#include "step.h"

enum { Capacity = 32, Prompt = 3, Tokens = 12 };

static void *allocate(size_t bytes) /* a multiple of the alignment, or SIZE_MAX, which fails */
{
	void *p = aligned_alloc(DCC_WORKSPACE_ALIGN, (bytes - 1) / DCC_WORKSPACE_ALIGN * DCC_WORKSPACE_ALIGN + DCC_WORKSPACE_ALIGN);
	if (!p) {
		fputs("no memory\n", stderr);
		exit(1);
	}
	return p;
}

static int64_t best(const float *scores, int64_t n)
{
	int64_t at = 0;
	for (int64_t i = 1; i < n; i++)
		if (scores[i] > scores[at])
			at = i;
	return at;
}

int main(void)
{
	/* 1. Buffers for the whole capacity; they do not depend on how much of it is used.  The workspace grows with the past. */
	step_dims dims = {.past = Capacity - 1};
	size_t workspace_size = step_workspace_size(&dims);
	void *workspace = allocate(workspace_size);
	float *cache_k = allocate(step_past_k_bytes(&dims)), *cache_v = allocate(step_past_v_bytes(&dims));
	float *scores = allocate(step_scores_bytes(&dims));
	int64_t tokens[Tokens] = {1, 5, 2};
	dcc_error error;

	/* 2. The prompt, a token a step, then what the model says. */
	for (dims.past = 0; dims.past < Tokens - 1; dims.past++) {
		const int64_t *token = &tokens[dims.past];
		if (step_step(&dims, token, cache_k, cache_v, scores, workspace, workspace_size, NULL, &error)) {
			fprintf(stderr, "step: %s\n", error.text);
			return 1;
		}
		if (dims.past + 1 >= Prompt)
			tokens[dims.past + 1] = best(scores, step_scores_count(&dims));
	}
	for (int i = 0; i < Tokens; i++)
		printf("%d%s", (int)tokens[i], i < Tokens - 1 ? " " : "\n");

	/* 3. A sequence that begins anew needs no clearing: dims.past says how many rows count.  A full cache is refused. */
	dims.past = Capacity;
	if (step_step(&dims, tokens, cache_k, cache_v, scores, workspace, workspace_size, NULL, &error) == DCC_OK)
		return 1;
	printf("%d rows in the cache: %s\n", Capacity, error.text);
	free(workspace);
	free(cache_k);
	free(cache_v);
	free(scores);
	return 0;
}
