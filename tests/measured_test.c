/* measured_test.c - sizes that the data decides, against plain loops: two masks cut rows, which are multiplied, joined, summed,
 * transposed and reshaped; places of what is not zero; a slice between the least and the largest of a tensor.  All, none and some
 * rows, from 0 on; evaluated as imported, and as loop IR for both targets and 1, 2 and 3 workers.
 */
#include "../backend/backend.h"
#include "../ir/loop.h"
#include "../passes/passes.h"
#include "onnx_build.h"
#include "test.h"

#include <math.h>

enum { MaxRows = 17, Width = 4, MaxOut = 2 * MaxRows * 2 * MaxRows };
enum { All, None, Some, Kinds };

typedef struct Case {
	int rows;
	float x[MaxRows * Width];
	uint8_t mask[2][MaxRows];
	int64_t ends[2];
} Case;

typedef struct Expected {
	const char *name;
	int rank;
	int64_t dims[3];
	double v[MaxOut];
} Expected;

static uint64_t state = 1;

static int pick(int n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (int)(state >> 33) % n;
}

static void make_case(Case *c, int rows, int kind)
{
	c->rows = rows;
	for (int i = 0; i < rows * Width; i++)
		c->x[i] = (float)(pick(7) - 3);
	for (int k = 0; k < 2; k++)
		for (int i = 0; i < rows; i++)
			c->mask[k][i] = kind == All || (kind == Some && pick(2));
	for (int k = 0; k < 2; k++)
		c->ends[k] = pick(2 * MaxRows) - MaxRows;
}

static Builder *make_model(Arena *a)
{
	static const int64_t zero = 0, split[] = {-1, 2, Width / 2}, last_first[] = {2, 0, 1};
	Builder *b = new_builder(a, 17);
	add_input(b, "x", 1, "A,4");
	add_input(b, "c", 9, "A");
	add_input(b, "d", 9, "A");
	add_input(b, "l", 7, "L");
	add_ints(b, "zero", 1, &zero);
	add_ints(b, "split", 3, split);
	add_ints(b, "one", 1, (int64_t[]){1});
	set_i(a, add_op(b, "Compress", "x,c", "s"), "axis", 0);
	set_i(a, add_op(b, "Compress", "x,d", "t"), "axis", 0);
	add_op(b, "Transpose", "t", "tt");
	add_op(b, "MatMul", "s,tt", "product");
	set_i(a, add_op(b, "Concat", "s,t", "both"), "axis", 0);
	set_i(a, add_op(b, "ReduceSum", "both,zero", "sums"), "keepdims", 0);
	add_op(b, "Reshape", "s,split", "parts");
	set_ints(a, add_op(b, "Transpose", "parts", "turned"), "perm", 3, last_first);
	add_op(b, "NonZero", "x", "places");
	add_op(b, "ReduceMin", "l", "least");
	add_op(b, "ReduceMax", "l", "most");
	add_op(b, "Reshape", "least,one", "from");
	add_op(b, "Reshape", "most,one", "to");
	add_op(b, "Slice", "x,from,to,zero", "cut");
	return b;
}

static int compress(const Case *c, int which, double *to)
{
	int n = 0;
	for (int i = 0; i < c->rows; i++)
		for (int j = 0; c->mask[which][i] && j < Width; j++)
			to[n++] = c->x[i * Width + j];
	return n / Width;
}

static int64_t clamp_end(const Case *c, int64_t at)
{
	at = at < 0 ? at + c->rows : at;
	return at < 0 ? 0 : at > c->rows ? c->rows : at;
}

static Expected *expect(const Case *c, int *count)
{
	static Expected e[6];
	static double s[MaxRows * Width], t[MaxRows * Width];
	int64_t n = compress(c, 0, s), k = compress(c, 1, t), places = 0;
	e[0] = (Expected){.name = "product", .rank = 2, .dims = {n, k}};
	e[1] = (Expected){.name = "both", .rank = 2, .dims = {n + k, Width}};
	e[2] = (Expected){.name = "sums", .rank = 1, .dims = {Width}};
	e[3] = (Expected){.name = "turned", .rank = 3, .dims = {Width / 2, n, 2}};
	for (int64_t i = 0; i < n; i++)
		for (int64_t j = 0; j < k; j++)
			for (int w = 0; w < Width; w++)
				e[0].v[i * k + j] += s[i * Width + w] * t[j * Width + w];
	for (int64_t i = 0; i < (n + k) * Width; i++) {
		e[1].v[i] = i < n * Width ? s[i] : t[i - n * Width];
		e[2].v[i % Width] += e[1].v[i];
	}
	for (int64_t i = 0; i < n * Width; i++)
		e[3].v[(i % 2 * n + i / Width) * 2 + i / 2 % 2] = s[i];
	for (int i = 0; i < c->rows * Width; i++)
		places += c->x[i] != 0;
	e[4] = (Expected){.name = "places", .rank = 2, .dims = {2, places}};
	for (int i = 0, at = 0; i < c->rows * Width; i++)
		if (c->x[i] != 0) {
			e[4].v[at] = i / Width;
			e[4].v[places + at++] = i % Width;
		}
	int64_t least = c->ends[0] < c->ends[1] ? c->ends[0] : c->ends[1], most = c->ends[0] + c->ends[1] - least;
	int64_t from = clamp_end(c, least), to = clamp_end(c, most);
	e[5] = (Expected){.name = "cut", .rank = 2, .dims = {to > from ? to - from : 0, Width}};
	for (int64_t i = 0; i < e[5].dims[0] * Width; i++)
		e[5].v[i] = c->x[from * Width + i];
	*count = 6;
	return e;
}

static bool is_right(const Expected *e, const Tensor *t)
{
	bool same = t->rank == e->rank;
	for (int d = 0; d < t->rank && same; d++)
		same = t->dims[d] == e->dims[d];
	for (int64_t i = 0; same && i < tensor_numel(t); i++)
		same = (t->dtype == I64 ? (double)tensor_int(t, i) : ((const float *)t->data)[i]) == e->v[i];
	return same;
}

static void compare(const Case *c, const char *how, const char *wrong, Tensor *out)
{
	int n;
	const Expected *e = expect(c, &n);
	CHECK(!wrong);
	if (wrong)
		fprintf(stderr, "%s of %d rows: %s\n", how, c->rows, wrong);
	for (int i = 0; i < n && !wrong; i++) {
		bool right = is_right(&e[i], &out[i]);
		CHECK(right);
		if (!right)
			fprintf(stderr, "%s of %d rows: '%s' is not as expected\n", how, c->rows, e[i].name);
		free_tensor(&out[i]);
	}
}

/* A condition that holds behind the end of the axis is a bad index, which no way of running follows. */
static void check_overlong(const char *path)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	const Target *target = find_target("avx2");
	PassOptions options = {.bisect_limit = -1, .ntarget = 1, .target = &target};
	float x[3] = {1, 2, 3};
	uint8_t c[5] = {1, 0, 1, 0, 1};
	Tensor in[2] = {{F32, 1, {3}, x}, {Bool, 1, {5}, c}}, out;
	char *said;
	add_input(b, "x", 1, "A");
	add_input(b, "c", 9, "C");
	set_i(a, add_op(b, "Compress", "x,c", "y"), "axis", 0);
	add_output(b, "y");
	write_built(b, path);
	Module *m = try_load_model(path, NULL, &said);
	CHECK(m && eval_module(m, in, &out));
	if (m) {
		run_passes(m, &options);
		CHECK(interp_program(m->loops, "avx2", 2, in, &out));
	}
	free(said);
	free_module(m);
	free_arena(a);
}

int main(void)
{
	static const char *const isas[] = {"avx2", "avx512"};
	static const char *const outputs[] = {"product", "both", "sums", "turned", "places", "cut"};
	static const int sizes[] = {0, 1, 2, 5, MaxRows};
	const Target *targets[2];
	PassOptions options = {.bisect_limit = -1, .ntarget = 2, .target = targets};
	char path[] = "/tmp/dcc-measured-XXXXXX", *said;
	int fd = mkstemp(path);
	if (fd < 0)
		return 2;
	close(fd);
	Arena *a = new_arena();
	Builder *b = make_model(a);
	for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++)
		add_output(b, outputs[i]);
	write_built(b, path);
	Module *m = try_load_model(path, NULL, &said), *lowered = try_load_model(path, NULL, &said);
	CHECK(m && lowered && !verify_module(m));
	if (!m || !lowered)
		return test_end("measured");
	for (int i = 0; i < 2; i++)
		targets[i] = find_target(isas[i]);
	run_passes(lowered, &options);
	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
		for (int kind = 0; kind < Kinds; kind++) {
			static Case c;
			make_case(&c, sizes[s], kind);
			Tensor in[4] = {{F32, 2, {c.rows, Width}, c.x}, {Bool, 1, {c.rows}, c.mask[0]}, {Bool, 1, {c.rows}, c.mask[1]},
			                {I64, 1, {2}, c.ends}}, out[6];
			compare(&c, "the evaluation", eval_module(m, in, out), out);
			for (int k = 0; k < 6; k++)
				compare(&c, isas[k % 2], interp_program(lowered->loops, isas[k % 2], 1 + k / 2, in, out), out);
		}
	check_overlong(path);
	free(said);
	free_module(m);
	free_module(lowered);
	free_arena(a);
	remove(path);
	return test_end("measured");
}
