/* fence_emulated.c - the models listed in the file MODELS, between fences, as a static program for the emulator of
 * AVX-512.  fence.sh compiles and starts it; with an argument it says each run before it starts. */
#include "emulator_room.h"
#include "fence.h"

#define MODEL(name) extern const dcc_model name##_model;
#include MODELS
#undef MODEL

static const dcc_model *const models[] = {
#define MODEL(name) &name##_model,
#include MODELS
#undef MODEL
};

static const int some_sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 64, 65, 129, -1};

int main(int argc, char **argv)
{
	static FenceRun run = {.sizes = some_sizes, .data_kinds = 2, .best_only = true};
	int failed = 0;

	(void)argv;
	fence_say = argc > 1;
	for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
		run.model = models[i];
		failed += !fence_model(&run);
	}
	printf("%ld runs, %d models failed\n", run.runs, failed);
	return failed != 0;
}
