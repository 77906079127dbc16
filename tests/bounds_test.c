/* bounds_test.c - label: full, seconds: 26.  What a small file can cost: long chains, wide fans and long lists of every kind of thing in an
 * ONNX file are imported and go through the passes within linear time and memory and a small stack, or are refused.
 * Each case runs in a process of its own, whose limits end it. */
#include <math.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../passes/passes.h"
#include "onnx_build.h"
#include "test.h"

/* With sanitizers, which take four times as long, a quarter: what is written where is seen as well, and costs are the plain build's. */
#ifdef __SANITIZE_ADDRESS__
enum { Many = 5000 };
#else
enum { Many = 20000 };
#endif
enum { Levels = 60, StackBytes = 1 << 20, Seconds = 10, MaxMegabytes = 1024 };

static char *path;

static const char *name(Builder *b, const char *stem, int i)
{
	return arena_printf(b->arena, "%s%d", stem, i);
}

static void chain(Builder *b, const char *op, const char *dims, const char *second)
{
	add_input(b, "x0", 1, dims);
	for (int i = 0; i < Many; i++)
		add_op(b, op, arena_printf(b->arena, "x%d%s", i, second), name(b, "x", i + 1));
	add_output(b, name(b, "x", Many));
}

static void elementwise_chain(Builder *b)
{
	chain(b, "Exp", "N", "");
}

static void constant_chain(Builder *b)
{
	add_floats(b, "c", "1", 1);
	chain(b, "Add", "N", ",c");
}

static void row_chain(Builder *b)
{
	chain(b, "Softmax", "N,4", "");
}

static void matmul_chain(Builder *b)
{
	add_floats(b, "w", "4,4", 16);
	chain(b, "MatMul", "N,4", ",w");
}

static void squares(Builder *b)
{
	add_input(b, "x0", 1, "N");
	for (int i = 0; i < Many; i++)
		add_op(b, "Mul", arena_printf(b->arena, "x%d,x%d", i, i), name(b, "x", i + 1));
	add_output(b, name(b, "x", Many));
}

static void shape_chain(Builder *b)
{
	add_input(b, "x", 1, "N");
	add_ints(b, "one", 1, (int64_t[]){1});
	add_op(b, "Shape", "x", "n0");
	for (int i = 0; i < Many; i++)
		add_op(b, "Add", arena_printf(b->arena, "n%d,one", i), name(b, "n", i + 1));
	add_op(b, "ConstantOfShape", name(b, "n", Many), "y");
	add_output(b, "y");
}

static void index_chain(Builder *b)
{
	add_input(b, "i0", 7, "T");
	add_input(b, "t", 1, "M");
	add_ints(b, "one", 1, (int64_t[]){1});
	for (int i = 0; i < Many; i++)
		add_op(b, i % 2 ? "Add" : "Mul", arena_printf(b->arena, "i%d,one", i), name(b, "i", i + 1));
	add_op(b, "Gather", arena_printf(b->arena, "t,i%d", Many), "y");
	add_output(b, "y");
}

/* Every value is both operands of the next: as a tree, 2^60 of them. */
static void shared_indices(Builder *b)
{
	static const int64_t ends[] = {0, 1};
	add_input(b, "t", 1, "M");
	add_tensor(b, "zero", 7, "", &ends[0], sizeof ends[0]);
	add_tensor(b, "one", 7, "", &ends[1], sizeof ends[1]);
	add_op(b, "Shape", "t", "s");
	add_op(b, "Squeeze", "s", "n");
	add_op(b, "Range", "zero,n,one", "i0");
	for (int i = 0; i < Levels; i++)
		add_op(b, "Add", arena_printf(b->arena, "i%d,i%d", i, i), name(b, "i", i + 1));
	add_op(b, "Gather", arena_printf(b->arena, "t,i%d", Levels), "y");
	add_output(b, "y");
}

/* The mask of an attention, made of conditions that share their operands. */
static void shared_conditions(Builder *b)
{
	static const float minus_infinity = -INFINITY;
	add_input(b, "q", 1, "T,8");
	add_input(b, "k", 1, "8,S");
	add_input(b, "v", 1, "S,8");
	add_input(b, "m0", 9, "T,S");
	add_input(b, "c", 9, "T,S");
	add_input(b, "d", 9, "T,S");
	for (int i = 0; i < Levels; i++) {
		add_op(b, "And", arena_printf(b->arena, "m%d,c", i), name(b, "c", i));
		add_op(b, "And", arena_printf(b->arena, "m%d,d", i), name(b, "d", i));
		add_op(b, "And", arena_printf(b->arena, "c%d,d%d", i, i), name(b, "m", i + 1));
	}
	add_tensor(b, "none", 1, "", &minus_infinity, sizeof minus_infinity);
	add_op(b, "MatMul", "q,k", "s");
	add_op(b, "Where", arena_printf(b->arena, "m%d,s,none", Levels), "w");
	set_i(b->arena, add_op(b, "Softmax", "w", "p"), "axis", -1);
	add_op(b, "MatMul", "p,v", "y");
	add_output(b, "y");
}

/* Transposes and reshapes of which no two make one view. */
static void move_chain(Builder *b)
{
	add_input(b, "x0", 1, "6,10,4");
	add_ints(b, "shape", 3, (int64_t[]){6, 10, 4});
	for (int i = 0; i < Many; i += 2) {
		Onnx__NodeProto *n = add_op(b, "Transpose", name(b, "x", i), name(b, "x", i + 1));
		set_ints(b->arena, n, "perm", 3, (int64_t[]){1, 2, 0});
		add_op(b, "Reshape", arena_printf(b->arena, "x%d,shape", i + 1), name(b, "x", i + 2));
	}
	add_output(b, name(b, "x", Many));
}

static void fan(Builder *b)
{
	add_input(b, "x", 1, "N");
	for (int i = 0; i < Many; i++) {
		float *c = arena_alloc(b->arena, sizeof *c);
		*c = (float)i;
		add_tensor(b, name(b, "c", i), 1, "", c, sizeof *c);
		add_op(b, "Mul", arena_printf(b->arena, "x,c%d", i), name(b, "y", i));
		add_output(b, name(b, "y", i));
	}
}

static void equal_nodes(Builder *b)
{
	add_input(b, "x", 1, "N");
	for (int i = 0; i < Many; i++) {
		add_op(b, "Exp", "x", name(b, "y", i));
		add_output(b, name(b, "y", i));
	}
}

static void dead_nodes(Builder *b)
{
	fan(b);
	b->graph.n_output = 1;
}

static void many_inputs(Builder *b)
{
	add_input(b, "s0", 1, "4");
	for (int i = 0; i < Many; i++) {
		add_input(b, name(b, "x", i), 1, "4");
		add_op(b, "Add", arena_printf(b->arena, "s%d,x%d", i, i), name(b, "s", i + 1));
	}
	add_output(b, name(b, "s", Many));
}

/* All become the identifier A______. */
static void like_symbols(Builder *b)
{
	for (int i = 0; i < Many; i++) {
		char dim[] = "A!!!!!!";
		for (int k = 0; k < 6; k++)
			dim[1 + k] = "!#$%&:;?"[i >> 3 * k & 7];
		add_input(b, name(b, "x", i), 1, dim);
	}
	add_op(b, "Identity", "x0", "y");
	add_output(b, "y");
}

static void many_attributes(Builder *b)
{
	add_input(b, "x", 1, "N");
	Onnx__NodeProto *n = add_op(b, "Softmax", "x", "y");
	for (int i = 0; i < Many; i++)
		set_i(b->arena, n, "axis", 0);
	add_output(b, "y");
}

/* Five constants of 512 MB each, if they were computed. */
static void growing_constants(Builder *b)
{
	add_input(b, "y0", 1, "134217728");
	add_ints(b, "times", 1, (int64_t[]){1 << 26});
	for (int i = 0; i < 5; i++) {
		float *c = arena_alloc(b->arena, 2 * sizeof *c);
		c[1] = (float)i;
		add_tensor(b, name(b, "c", i), 1, "2", c, 2 * sizeof *c);
		add_op(b, "Tile", arena_printf(b->arena, "c%d,times", i), name(b, "t", i));
		add_op(b, "Exp", name(b, "t", i), name(b, "e", i));
		add_op(b, "Mul", arena_printf(b->arena, "y%d,e%d", i, i), name(b, "y", i + 1));
	}
	add_output(b, "y5");
}

/* Level i of loops whose carried tensor grows, each of which is imported once more for that. */
static void growing_loop(Builder *b, int level, const char *first, const char *result)
{
	enum { Nested = 30 };
	Builder *body = new_builder(b->arena, 1);
	const char *last = name(b, "p", level);
	add_input(body, name(b, "i", level), 7, "");
	add_input(body, name(b, "c", level), 9, "");
	add_input(body, last, 1, "P");
	if (level < Nested)
		growing_loop(body, level + 1, last, name(b, "r", level));
	add_op(body, "Identity", name(b, "c", level), name(b, "d", level));
	set_i(b->arena, add_op(body, "Concat", arena_printf(b->arena, "%s,x", level < Nested ? name(b, "r", level) : last), name(b, "q", level)), "axis", 0);
	add_output(body, name(b, "d", level));
	add_output(body, name(b, "q", level));
	Onnx__NodeProto *loop = add_op(b, "Loop", arena_printf(b->arena, "n,,%s", first), result);
	add_attr(b->arena, loop, "body", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH)->g = &body->graph;
}

static void growing_loops(Builder *b)
{
	add_input(b, "n", 7, "");
	add_input(b, "x", 1, "N");
	growing_loop(b, 0, "x", "y");
	add_output(b, "y");
}

static const struct {
	const char *name;
	void (*build)(Builder *);
	const char *error; /* NULL: goes through all passes of tensor IR */
} cases[] = {
	{"elementwise chain", elementwise_chain, NULL},
	{"chain with a constant", constant_chain, NULL},
	{"chain of rows", row_chain, NULL},
	{"chain of products", matmul_chain, NULL},
	{"squares", squares, NULL},
	{"shape arithmetic", shape_chain, NULL},
	{"index arithmetic", index_chain, NULL},
	{"shared indices", shared_indices, NULL},
	{"shared conditions", shared_conditions, NULL},
	{"movements", move_chain, NULL},
	{"fan", fan, NULL},
	{"equal nodes", equal_nodes, NULL},
	{"dead nodes", dead_nodes, NULL},
	{"inputs", many_inputs, NULL},
	{"symbols of one spelling", like_symbols, NULL},
	{"constants that grow", growing_constants, NULL},
	{"attributes", many_attributes, "attributes, at most"},
	{"loops in loops", growing_loops, "expand to too many nodes"},
};

static int run_case(const char *error)
{
	char *said;
	jmp_buf back;
	Module *m = try_load_model(path, NULL, &said);
	if (!m)
		return !error || !strstr(said, error);
	PassOptions options = {.stop_after = "layout", .bisect_limit = -1};
	diag_recover = &back;
	if (setjmp(back))
		return 1;
	run_passes(m, &options);
	for (const Node *n = m->main->body.first; n; n = n->next)
		for (int i = 0; i < n->nout; i++)
			if (is_const(n->out[i]) && const_numel(&n->out[i]->type) > 1 << 24)
				return 1;
	return error != NULL;
}

static void limit(int what, rlim_t most)
{
	setrlimit(what, &(struct rlimit){most, most});
}

static void check_case(int i)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 18);
	cases[i].build(b);
	write_built(b, path);
	free_arena(a);
	fflush(NULL);
	pid_t child = fork();
	if (!child) {
		limit(RLIMIT_STACK, StackBytes);
		limit(RLIMIT_CPU, Seconds);
		_exit(run_case(cases[i].error));
	}
	int status = -1;
	struct rusage used;
	wait4(child, &status, 0, &used);
	if (status || used.ru_maxrss >> 10 > MaxMegabytes)
		fprintf(stderr, "%s: status %#x, %ld MB\n", cases[i].name, (unsigned)status, used.ru_maxrss >> 10);
	CHECK(!status && used.ru_maxrss >> 10 <= MaxMegabytes);
}

int main(int argc, char **argv)
{
	char file[] = "/tmp/dcc-bounds-XXXXXX";
	int fd = mkstemp(file);
	path = file;
	for (int i = 0; i < (int)(sizeof cases / sizeof *cases); i++)
		if (argc < 2 || !strcmp(argv[1], cases[i].name))
			check_case(i);
	unlink(file);
	close(fd);
	return test_end("bounds");
}
