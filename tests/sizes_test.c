/* sizes_test.c - symbolic dims of ONNX graphs at every small size: slices, broadcasts and shape arithmetic against plain loops.
 * A size that the operators do not allow must be refused, all others accepted. */
#include "../passes/passes.h"
#include "onnx_build.h"
#include "test.h"

enum { MaxExtent = 6, MaxValues = 64 };

static char dir[] = "/tmp/dcc-sizes-XXXXXX";

static Module *load(Builder *b, int line)
{
	char *said, *path = arena_printf(b->arena, "%s/m.onnx", dir);
	write_built(b, path);
	Module *m = try_load_model(path, NULL, &said);
	unlink(path);
	if (!m)
		fprintf(stderr, "line %d: %s\n", line, said ? said : "");
	CHECK(m != NULL);
	free(said);
	return m;
}

/* As far as passes keep what can be evaluated. */
static Module *compile(Builder *b, int line)
{
	const Target *const target = find_target("avx2");
	Module *m = load(b, line);
	if (m)
		run_passes(m, &(PassOptions){.stop_after = "layout", .bisect_limit = -1, .ntarget = 1, .target = &target});
	return m;
}

static Tensor vector(int64_t n, float *values)
{
	return (Tensor){.dtype = F32, .rank = 1, .dims = {n}, .data = values};
}

/* Evaluates the only output on x[i] = i and inputs of the given lengths; -1: refused, else the number of elements. */
static int64_t run(Module *m, int nin, const int64_t *lengths, float *out)
{
	static float counted[MaxValues];
	Tensor in[4], y;
	for (int i = 0; i < MaxValues; i++)
		counted[i] = i;
	for (int i = 0; i < nin; i++)
		in[i] = vector(lengths[i], counted);
	if (eval_module(m, in, &y))
		return -1;
	int64_t n = tensor_numel(&y);
	for (int64_t i = 0; i < n && i < MaxValues; i++)
		out[i] = ((const float *)y.data)[i];
	free_tensor(&y);
	return n;
}

static void check_values(int line, const char *what, int64_t n, const float *got, int64_t want_n, const float *want)
{
	bool same = n == want_n;
	for (int64_t i = 0; same && i < n; i++)
		same = got[i] == want[i];
	if (!same)
		fprintf(stderr, "line %d: %s: %lld elements, expected %lld\n", line, what, (long long)n, (long long)want_n);
	CHECK(same);
}

/* ---- slices ----------------------------------------------------------------------------------------------------- */

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
	v = v < lo ? lo : v;
	return v > hi ? hi : v;
}

static int64_t onnx_slice(int64_t n, int64_t start, int64_t end, int64_t step, float *out)
{
	int64_t count = 0, last = step > 0 ? n : n - 1;
	start = clamp(start < 0 ? start + n : start, 0, last);
	end = clamp(end < 0 ? end + n : end, step > 0 ? 0 : -1, last);
	for (int64_t i = start; step > 0 ? i < end : i > end; i += step)
		out[count++] = i;
	return count;
}

/* scale * T + offset, from the length of t */
static void add_bound(Builder *b, const char *name, int64_t scale, int64_t offset)
{
	char *scale_name = arena_printf(b->arena, "%s_scale", name), *offset_name = arena_printf(b->arena, "%s_offset", name);
	char *product = arena_printf(b->arena, "%s_product", name);
	add_ints(b, scale_name, 1, (int64_t[]){scale});
	add_ints(b, offset_name, 1, (int64_t[]){offset});
	add_op(b, "Mul", arena_printf(b->arena, "T,%s", scale_name), product);
	add_op(b, "Add", arena_printf(b->arena, "%s,%s", product, offset_name), name);
}

static void check_slice(const char *columns, int64_t s1, int64_t s0, int64_t e1, int64_t e0, int64_t step)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	add_input(b, "t", 1, "T");
	add_input(b, "x", 1, columns);
	add_op(b, "Shape", "t", "T");
	add_bound(b, "start", s1, s0);
	add_bound(b, "end", e1, e0);
	add_ints(b, "axis", 1, (int64_t[]){0});
	add_ints(b, "step", 1, &step);
	add_op(b, "Slice", "x,start,end,axis,step", "y");
	add_output(b, "y");
	Module *m = load(b, __LINE__);
	int64_t fixed = strtoll(columns, NULL, 10);
	for (int64_t t = 0; m && t <= MaxExtent; t++)
		for (int64_t n = 0; n <= MaxExtent; n++) {
			float got[MaxValues], want[MaxValues];
			int64_t extent = fixed ? fixed : !strcmp(columns, "T") ? t : n;
			int64_t count = run(m, 2, (int64_t[]){t, extent}, got);
			int64_t want_count = onnx_slice(extent, s1 * t + s0, e1 * t + e0, step, want);
			char *what = arena_printf(a, "x[%lldT%+lld : %lldT%+lld : %lld] of %s, T = %lld, %lld columns", (long long)s1,
			                          (long long)s0, (long long)e1, (long long)e0, (long long)step, columns, (long long)t,
			                          (long long)extent);
			check_values(__LINE__, what, count, got, want_count, want);
		}
	free_module(m);
	free_arena(a);
}

static void test_slices(void)
{
	static const char *const columns[] = {"T", "N", "5"};
	static const int64_t steps[] = {1, 2, -1, -3};
	static const int64_t bounds[][4] = {{-1, 0, 0, 99}, {-1, 3, 1, 2}, {-1, 1, 0, 99}, {1, -2, 1, 1}, {0, -1, 0, 99}, {0, -2, 0, -1},
	                                    {0, 1, 1, 0},   {0, 0, -1, 3}, {0, 0, 0, 0},  {2, -4, 1, -3}, {0, 7, -1, 0}, {0, -9, 0, -8},
	                                    {1, 0, -1, 0},  {0, 99, 0, -99}};
	for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++)
		for (int c = 0; c < 3; c++)
			for (int s = 0; s < 4; s++)
				check_slice(columns[c], bounds[i][0], bounds[i][1], bounds[i][2], bounds[i][3], steps[s]);
}

/* ---- broadcasts ------------------------------------------------------------------------------------------------- */

/* -1: the extents do not broadcast */
static int64_t joint_extent(int64_t a, int64_t b)
{
	return a == b || b == 1 ? a : a == 1 ? b : -1;
}

/* abs(x - z[start:end]), where z is x or another input. */
static void check_broadcast(const char *of, int64_t start, int64_t end, bool swap)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	add_input(b, "x", 1, "T");
	add_input(b, "z", 1, "M");
	add_ints(b, "start", 1, &start);
	add_ints(b, "end", 1, &end);
	add_op(b, "Slice", arena_printf(a, "%s,start,end", of), "f");
	add_op(b, "Sub", swap ? "f,x" : "x,f", "d");
	add_op(b, "Abs", "d", "y");
	add_output(b, "y");
	Module *m = load(b, __LINE__);
	for (int64_t t = 0; m && t <= MaxExtent; t++)
		for (int64_t n = 0; n <= MaxExtent; n++) {
			float got[MaxValues], want[MaxValues], cut[MaxValues];
			int64_t few = onnx_slice(*of == 'x' ? t : n, start, end, 1, cut), count = run(m, 2, (int64_t[]){t, n}, got);
			int64_t joint = joint_extent(t, few);
			for (int64_t i = 0; i < joint; i++) {
				float d = (t == 1 ? 0 : i) - cut[few == 1 ? 0 : i];
				want[i] = d < 0 ? -d : d;
			}
			check_values(__LINE__, arena_printf(a, "x - %s[%lld:%lld], T = %lld, M = %lld", of, (long long)start,
			                                    (long long)end, (long long)t, (long long)n), count, got, joint, want);
		}
	free_module(m);
	free_arena(a);
}

static void test_broadcasts(void)
{
	for (int of = 0; of < 2; of++)
		for (int swap = 0; swap < 2; swap++) {
			check_broadcast(of ? "z" : "x", 0, 1, swap);
			check_broadcast(of ? "z" : "x", -1, 99, swap);
			check_broadcast(of ? "z" : "x", 2, 3, swap);
			check_broadcast(of ? "z" : "x", 3, 3, swap);
		}
}

/* expand_as: f = x[:1] to the length of x. */
static void test_expand(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	add_input(b, "x", 1, "T");
	add_ints(b, "zero", 1, (int64_t[]){0});
	add_ints(b, "one", 1, (int64_t[]){1});
	add_op(b, "Shape", "x", "T");
	add_op(b, "Slice", "x,zero,one", "f");
	add_op(b, "Expand", "f,T", "wide");
	add_op(b, "Abs", "wide", "y");
	add_output(b, "y");
	Module *m = load(b, __LINE__);
	for (int64_t t = 0; m && t <= MaxExtent; t++) {
		float got[MaxValues], want[MaxValues] = {0};
		check_values(__LINE__, "expand", run(m, 1, &t, got), got, t, want);
	}
	if (m)
		CHECK_EQ(m->main->body.ncheck, 0);
	free_module(m);
	free_arena(a);
}

/* x to the length of z[:1], which is 1, or 0 where x may be 1 long or empty: the passes must know what to do with it, too. */
static void test_expand_to_unit(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	add_input(b, "x", 1, "K");
	add_input(b, "z", 1, "N");
	add_ints(b, "zero", 1, (int64_t[]){0});
	add_ints(b, "one", 1, (int64_t[]){1});
	add_op(b, "Slice", "z,zero,one", "f");
	add_op(b, "Shape", "f", "F");
	add_op(b, "Expand", "x,F", "wide");
	add_op(b, "Abs", "wide", "y");
	add_output(b, "y");
	Module *m = compile(b, __LINE__);
	for (int64_t k = 0; m && k <= MaxExtent; k++)
		for (int64_t n = 0; n <= 2; n++) {
			float got[MaxValues], want[] = {0, 1, 2, 3, 4, 5, 6};
			int64_t all = n > 0 ? k : k < 2 ? 0 : -1;
			check_values(__LINE__, "expand to a unit", run(m, 2, (int64_t[]){k, n}, got), got, all, want);
		}
	free_module(m);
	free_arena(a);
}

/* Sizes that floating arithmetic makes of constants are constants: no symbols that nothing bounds. */
static void test_constant_sizes(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	const float sixteen = 16, half = 0.5;
	add_input(b, "x", 1, "T,8");
	add_tensor(b, "sixteen", 1, "", &sixteen, sizeof sixteen);
	add_tensor(b, "half", 1, "1", &half, sizeof half);
	add_ints(b, "rest", 1, (int64_t[]){-1});
	add_op(b, "Pow", "sixteen,half", "root");
	set_i(a, add_op(b, "Cast", "root", "four"), "to", 7);
	set_i(a, add_op(b, "Concat", "rest,four", "shape"), "axis", 0);
	add_op(b, "Reshape", "x,shape", "y");
	add_output(b, "y");
	Module *m = load(b, __LINE__);
	if (m) {
		CHECK_STR(type_text(m, &m->main->body.yields[0]->type), "f32[2*T, 4]");
		CHECK_EQ(m->nsym, 1);
	}
	free_module(m);
	free_arena(a);
}

/* ---- names of dims ---------------------------------------------------------------------------------------------- */

/* Texts that name nothing, and -1, are dims of their own; expressions and numbers are what they say. */
static void test_dim_names(void)
{
	static const char *const names[] = {"-1", "-1", "?", "", " ", "n", "2*n+1", "7", "0-n", "n-n-3", "a b", "2n"};
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	add_input(b, "x", 1, "0,0,0,0,0,0");
	add_input(b, "z", 1, "0,0,0,0,0,0");
	for (int i = 0; i < 12; i++) {
		Onnx__TensorShapeProto__Dimension *d = b->graph.input[i / 6]->type->tensor_type->shape->dim[i % 6];
		d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
		d->dim_param = arena_strdup(a, names[i]);
	}
	add_input(b, "v", 1, "-1,2");
	add_op(b, "Relu", "x", "y");
	add_op(b, "Relu", "z", "w");
	add_output(b, "y");
	add_output(b, "w");
	Module *m = load(b, __LINE__);
	if (m) {
		CHECK_STR(type_text(m, &m->main->params[0]->type), "f32[x_d0, x_d1, x_d2, x_d3, x_d4, n]");
		CHECK_STR(type_text(m, &m->main->params[1]->type), "f32[2*n + 1, 7, z_d2, z_d3, a_b, _2n]");
		CHECK_STR(type_text(m, &m->main->params[2]->type), "f32[v_d0, 2]");
	}
	free_module(m);
	free_arena(a);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 2;
	test_slices();
	test_broadcasts();
	test_expand();
	test_expand_to_unit();
	test_constant_sizes();
	test_dim_names();
	rmdir(dir);
	return test_end("sizes");
}
