/* fuzz_onnx_test.c [iterations [seed [file]]] - mutated ONNX files: the importer may refuse, but neither crash nor
 * accept nonsense.
 *
 * Starts from the file, or from one small model that uses most of what the reader knows: shape arithmetic, a
 * function, an If, attributes of all kinds, typed and raw data.  A file that loads must give a module that
 * verifies.
 */
#include "onnx_build.h"
#include "test.h"

static void add_function(Builder *b)
{
	Arena *a = b->arena;
	Onnx__FunctionProto *f = add_leaky(b, "my", "Act");
	Onnx__NodeProto *call = add_op(b, "Act", "glu", "act");
	call->domain = f->domain;
	set_f(a, call, "slope", 0.5);
}

static void add_if(Builder *b)
{
	Arena *a = b->arena;
	add_tensor(b, "yes", 9, "", "\1", 1);
	Onnx__NodeProto *n = add_op(b, "If", "yes", "chosen");
	for (int i = 0; i < 2; i++) {
		Onnx__GraphProto *g = arena_alloc(a, sizeof *g);
		onnx__graph_proto__init(g);
		g->node = append(a, g->node, &g->n_node, make_node(a, i ? "Relu" : "Neg", "act", i ? "p" : "q"));
		g->output = append(a, g->output, &g->n_output, make_info(a, i ? "p" : "q", 1, ""));
		add_attr(a, n, i ? "then_branch" : "else_branch", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH)->g = g;
	}
}

static Builder *make_seed(Arena *a)
{
	Builder *b = new_builder(a, 18);
	add_input(b, "x", 1, "B,T,6");
	add_input(b, "past", 1, "B,T + 1,4");
	add_floats(b, "w", "6,8", 48);
	Onnx__TensorProto *bias = add_tensor(b, "bias", 1, "8", NULL, 0);
	bias->n_float_data = 8;
	bias->float_data = arena_alloc(a, 8 * sizeof(float));
	add_floats(b, "kernel", "8,1,3", 24);
	add_ints(b, "zero", 1, (int64_t[]){0});
	add_ints(b, "one", 1, (int64_t[]){1});
	add_ints(b, "two", 1, (int64_t[]){2});
	add_ints(b, "rest", 3, (int64_t[]){-1, 2, 2});
	add_ints(b, "sizes", 2, (int64_t[]){4, 4});
	add_op(b, "MatMul", "x,w", "h");
	add_op(b, "Add", "h,bias", "z");
	Onnx__NodeProto *t = add_op(b, "Transpose", "z", "zt");
	set_ints(a, t, "perm", 3, (int64_t[]){0, 2, 1});
	Onnx__NodeProto *conv = add_op(b, "Conv", "zt,kernel", "ct");
	set_i(a, conv, "group", 8);
	set_ints(a, conv, "pads", 2, (int64_t[]){1, 1});
	set_s(a, conv, "auto_pad", "NOTSET");
	t = add_op(b, "Transpose", "ct", "conv");
	set_ints(a, t, "perm", 3, (int64_t[]){0, 2, 1});
	Onnx__NodeProto *split = add_op(b, "Split", "conv,sizes", "v,g");
	set_i(a, split, "axis", -1);
	add_op(b, "Sigmoid", "g", "s");
	add_op(b, "Mul", "v,s", "glu");
	add_function(b);
	add_if(b);
	add_op(b, "Shape", "x", "shape");
	add_op(b, "Gather", "shape,zero", "batch");
	Onnx__NodeProto *cat = add_op(b, "Concat", "batch,rest", "target");
	set_i(a, cat, "axis", 0);
	add_op(b, "Reshape", "chosen,target", "r");
	add_op(b, "Slice", "past,one,two,two", "cut");
	add_op(b, "ReduceMean", "past,two", "mean");
	Onnx__NodeProto *soft = add_op(b, "Softmax", "r", "y");
	set_i(a, soft, "axis", 3);
	add_output(b, "y");
	add_output(b, "cut");
	add_output(b, "mean");
	return b;
}

/* ---- mutation -------------------------------------------------------------------------------------------------- */

static uint64_t state;

static uint32_t pick(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return n ? (uint32_t)(state >> 33) % n : 0;
}

enum { MaxGrowth = 64 };

/* bytes has room for MaxGrowth more; returns the new length */
static size_t mutate(uint8_t *bytes, size_t n)
{
	static const uint8_t odd[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0x0a, 0x10, 0x12, 0x3a};
	uint32_t at = pick((uint32_t)n), len = 1 + pick(16), to = pick((uint32_t)n);
	if (at + len > n)
		len = (uint32_t)n - at;
	switch (pick(7)) {
	case 0: bytes[at] ^= 1 << pick(8); break;
	case 1: bytes[at] = odd[pick(sizeof odd)]; break;
	case 2: bytes[at] = (uint8_t)pick(256); break;
	case 3: memmove(bytes + at, bytes + at + len, n - at - len); return n - len;
	case 4: memmove(bytes + at + len, bytes + at, n - at); return n + len;
	case 5:
		if (to + len <= n)
			memmove(bytes + to, bytes + at, len);
		break;
	default: bytes[at] += (uint8_t)(pick(5) - 2); break;
	}
	return n;
}

int main(int argc, char **argv)
{
	int iterations = argc > 1 ? atoi(argv[1]) : 2000, loaded = 0;
	char dir[] = "/tmp/dcc-fuzz-XXXXXX", *said;
	state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	if (!mkdtemp(dir))
		return 2;
	Arena *a = new_arena();
	const char *path = arena_printf(a, "%s/m.onnx", dir);
	size_t n;
	const uint8_t *seed = argc > 3 ? map_file(a, argv[3], &n) : pack_model(make_seed(a), &n);
	if (!seed)
		return 2;
	uint8_t *bytes = arena_alloc(a, n + 8 * MaxGrowth);
	write_bytes(path, seed, n);
	Module *m = try_load_model(path, NULL, &said);
	CHECK(m && !verify_module(m));
	if (!m)
		fputs(said, stderr);
	free_module(m);
	free(said);
	for (int i = 0; i < iterations; i++) {
		size_t len = n;
		memcpy(bytes, seed, n);
		if (pick(20) == 0)
			len = pick((uint32_t)n);
		for (uint32_t k = 1 + pick(pick(4) ? 2 : 8); k && len > 16; k--)
			len = mutate(bytes, len);
		write_bytes(path, bytes, len);
		m = try_load_model(path, NULL, &said);
		const char *wrong = m ? verify_module(m) : NULL;
		CHECK(!wrong);
		if (wrong)
			fprintf(stderr, "iteration %d: %s\n", i, wrong);
		CHECK(m || (said && *said));
		loaded += m != NULL;
		free_module(m);
		free(said);
	}
	printf("%d of %d mutants load\n", loaded, iterations);
	CHECK(argc > 3 || !iterations || loaded > iterations / 100);
	unlink(path);
	rmdir(dir);
	free_arena(a);
	return test_end("fuzz_onnx");
}
