/* arith_test.c - single ONNX operators with values worked out by hand: imported, evaluated, and as loop IR of every target. */
#include "../ir/target.h"
#include "../passes/pass.h"
#include "onnx_build.h"
#include "test.h"

#include <math.h>

enum { MaxElems = 32, MaxPorts = 5 };

typedef struct Port {
	const char *type; /* "f32 2,3"; after '@' a constant; NULL ends the list; "" is absent */
	int n;
	double v[MaxElems]; /* fewer than elements: the last for the rest */
} Port;

typedef struct Case {
	const char *op;
	int opset;
	const char *attrs; /* name=1 name=0.5 name=word name=[1,2 ... */
	Port in[MaxPorts], want[3];
} Case;

#define NaN NAN
#define Inf INFINITY

#define U(n) ((n) / 16777216.0)

static const Case cases[] = {
	/* Pow: the type of the base */
	{"Pow", 15, "", {{"i32 4", 4, {2, -3, 7, 0}}, {"i32 4", 4, {10, 3, 11, 0}}}, {{"i32 4", 4, {1024, -27, 1977326743, 1}}}},
	{"Pow", 15, "", {{"i32 4", 4, {1, -1, -1, 2}}, {"i64 4", 4, {-5, -5, -4, -1}}}, {{"i32 4", 4, {1, -1, 1, 0}}}},
	{"Pow", 15, "", {{"i32 2", 2, {2, -1}}, {"i64 2", 2, {4294967296, 4294967297}}}, {{"i32 2", 2, {0, -1}}}},
	{"Pow", 15, "", {{"i32 2", 2, {-1, 3}}, {"u64 2", 2, {9223372036854775808.0, 2}}}, {{"i32 2", 2, {1, 9}}}},
	{"Pow", 15, "", {{"i64 3", 3, {3, -2, 10}}, {"@i64", 1, {5}}}, {{"i64 3", 3, {243, -32, 100000}}}},
	{"Pow", 15, "", {{"i64 3", 3, {1, -1, 10}}, {"@i64", 1, {-1}}}, {{"i64 3", 3, {1, -1, 0}}}},
	{"Pow", 15, "", {{"i64 3", 3, {3, 94906267, 2}}, {"f32 3", 3, {2, 2, 0.5}}}, {{"i64 3", 3, {9, 9007199515875289.0 - 1, 1}}}},
	{"Pow", 15, "", {{"i32 2", 2, {9, 46341}}, {"@f32", 1, {0.5}}}, {{"i32 2", 2, {3, 215}}}},
	{"Pow", 15, "", {{"f32 3", 3, {-1, -1, -2}}, {"i64 3", 3, {16777217, 9007199254740993.0, 3}}}, {{"f32 3", 3, {-1, 1, -8}}}},
	{"Pow", 15, "", {{"f32 3", 3, {-0.0, -0.0, -Inf}}, {"i64 3", 3, {-1, 3, 3}}}, {{"f32 3", 3, {-Inf, -0.0, -Inf}}}},
	{"Pow", 15, "", {{"f32 2", 2, {-1, 0.5}}, {"i32 2", 2, {16777217, -2}}}, {{"f32 2", 2, {-1, 4}}}},
	{"Pow", 15, "", {{"f64 2", 2, {3, -2}}, {"@i64", 1, {3}}}, {{"f64 2", 2, {27, -8}}}},
	{"Pow", 15, "", {{"f32 2", 2, {4, 9}}, {"f64 2", 2, {0.5, 1.5}}}, {{"f32 2", 2, {2, 27}}}},
	{"Pow", 15, "", {{"f16 2", 2, {-1, 2}}, {"i32 2", 2, {2049, -3}}}, {{"f16 2", 2, {-1, 0.125}}}},
	/* Mod */
	{"Mod", 13, "", {{"i32 5", 5, {7, -7, 7, -7, 5}}, {"i32 5", 5, {3, 3, -3, -3, 5}}}, {{"i32 5", 5, {1, 2, -2, -1, 0}}}},
	{"Mod", 13, "fmod=1", {{"i32 5", 5, {7, -7, 7, -7, -2147483648.0}}, {"i32 5", 5, {3, 3, -3, -3, -1}}}, {{"i32 5", 5, {1, -1, 1, -1, 0}}}},
	{"Mod", 13, "fmod=1", {{"u8 2", 2, {250, 5}}, {"u8 2", 2, {7, 5}}}, {{"u8 2", 2, {5, 0}}}},
	{"Mod", 13, "fmod=1", {{"f32 6", 6, {5.5, -5.5, -0.0, 1e30, 3e38, 1}}, {"f32 6", 6, {2, 2, 3, 7, 1e-45, Inf}}},
	 {{"f32 6", 6, {1.5, -1.5, -0.0, 1, 0, 1}}}},
	{"Mod", 13, "fmod=1", {{"f32 4", 4, {1, Inf, NaN, -0.0}}, {"f32 4", 4, {0, 2, 2, -Inf}}}, {{"f32 4", 4, {NaN, NaN, NaN, -0.0}}}},
	{"Mod", 13, "fmod=1", {{"f64 4", 4, {1e300, 1.7e308, -1e22, 5}}, {"f64 4", 4, {7, 4.9e-324, 7, 1e-323}}}, {{"f64 4", 4, {1, 0, -4, 0}}}},
	{"Mod", 28, "", {{"f32 6", 6, {5.5, -5.5, 5.5, -4, 4, -0.0}}, {"f32 6", 6, {2, 2, -2, 2, -2, 5}}}, {{"f32 6", 6, {1.5, 0.5, -0.5, 0, -0.0, 0}}}},
	{"Mod", 28, "", {{"f64 6", 6, {-3, 3, -1, 0, 1, 2}}, {"f64 6", 6, {Inf, Inf, -Inf, -Inf, 0, NaN}}}, {{"f64 6", 6, {Inf, 3, -1, -0.0, NaN, NaN}}}},
	{"Mod", 28, "", {{"f16 2", 2, {-5.5, 2000}}, {"f16 2", 2, {2, 0.0625}}}, {{"f16 2", 2, {0.5, 0}}}},
	/* Einsum with a label twice in a term */
	{"Einsum", 12, "equation=ii->i", {{"f32 2,2", 4, {1, 2, 3, 4}}}, {{"f32 2", 2, {1, 4}}}},
	{"Einsum", 12, "equation=ii", {{"i32 3,3", 9, {1, 2, 3, 4, 5, 6, 7, 8, 9}}}, {{"i32", 1, {15}}}},
	{"Einsum", 12, "equation=...ii->...i", {{"f32 2,2,2", 8, {1, 2, 3, 4, 5, 6, 7, 8}}}, {{"f32 2,2", 4, {1, 4, 5, 8}}}},
	{"Einsum", 12, "equation=iji->j", {{"f32 2,2,2", 8, {1, 2, 3, 4, 5, 6, 7, 8}}}, {{"f32 2", 2, {7, 11}}}},
	{"Einsum", 12, "equation=iii", {{"f64 2,2,2", 8, {1, 2, 3, 4, 5, 6, 7, 8}}}, {{"f64", 1, {9}}}},
	{"Einsum", 12, "equation=ij,jj->i", {{"f32 1,2", 2, {3, 5}}, {"f32 2,2", 4, {1, 2, 3, 4}}}, {{"f32 1", 1, {23}}}},
	{"Einsum", 12, "equation=ii->i", {{"f32 0,0", 1, {0}}}, {{"f32 0", 1, {0}}}},
	/* Det */
	{"Det", 11, "", {{"f32 2,2", 4, {0, 2, 3, 4}}}, {{"f32", 1, {-6}}}},
	{"Det", 11, "", {{"f64 2,3,3", 18, {0, 0, 2, 0, 3, 0, 4, 0, 0, 2, 1, 0, 1, 2, 1, 0, 1, 2}}}, {{"f64 2", 2, {-24, 4}}}},
	{"Det", 11, "", {{"f32 2,2", 4, {1, 2, 2, 4}}}, {{"f32", 1, {-0.0}}}},
	{"Det", 11, "", {{"f32 2,2", 4, {0, 1, NaN, 1}}}, {{"f32", 1, {NaN}}}},
	{"Det", 11, "", {{"f32 3,1,1", 3, {5, -7, 0}}}, {{"f32 3", 3, {5, -7, 0}}}},
	{"Det", 11, "", {{"f32 2,0,0", 1, {0}}}, {{"f32 2", 2, {1, 1}}}},
	{"Det", 22, "", {{"f16 2,2", 4, {1, 2, 3, 4}}}, {{"f16", 1, {-2}}}},
	/* BatchNormalization: of the batch */
	{"BatchNormalization", 15, "training_mode=1 momentum=0.5 epsilon=1.0",
	 {{"f32 2,2,2", 8, {1, 2, 0, 0, 3, 6, 0, 0}}, {"f32 2", 2, {2, 1}}, {"f32 2", 2, {1, -1}}, {"f32 2", 2, {1, 3}}, {"f32 2", 2, {1.5, 3}}},
	 {{"f32 2,2,2", 8, {-0.88561808316412670, 0.0571909, -1, -1, 1, 3.8284271247461903, -1, -1}},
	  {"f32 2", 2, {2, 1.5}}, {"f32 2", 2, {2.5, 1.5}}}},
	{"BatchNormalization", 9, "epsilon=0.0 momentum=0.75", {{"f64 2,1", 2, {1, 3}}, {"f64 1", 1, {1}}, {"f64 1", 1, {0}}, {"f64 1", 1, {0}}, {"f64 1", 1, {0}}},
	 {{"f64 2,1", 2, {-1, 1}}, {"f64 1", 1, {0.5}}, {"f64 1", 1, {0.25}}}},
	{"BatchNormalization", 15, "epsilon=0.0", {{"f16 2", 2, {1, 3}}, {"f32 1", 1, {0.5}}, {"f32 1", 1, {1}}, {"f32 1", 1, {1}}, {"f32 1", 1, {4}}},
	 {{"f16 2", 2, {1, 1.5}}}},
	/* Dropout that drops none */
	{"Dropout", 13, "", {{"f32 2", 2, {1, 2}}, {"@f32", 1, {0}}, {"@bool", 1, {1}}}, {{"f32 2", 2, {1, 2}}, {"bool 2", 2, {1, 1}}}},
	{"Dropout", 13, "", {{"f32 2", 2, {1, 2}}, {"@f32", 1, {0}}, {"bool", 1, {1}}}, {{"f32 2", 2, {1, 2}}}},
	/* MaxUnpool */
	{"MaxUnpool", 11, "kernel_shape=[2,2 strides=[2,2", {{"f32 1,1,1,2", 2, {5, 7}}, {"i64 1,1,1,2", 2, {1, 6}}},
	 {{"f32 1,1,2,4", 8, {0, 5, 0, 0, 0, 0, 7, 0}}}},
	{"MaxUnpool", 11, "kernel_shape=[2 strides=[2", {{"f32 1,2,1", 2, {5, 7}}, {"i64 1,2,1", 2, {0, 3}}, {"@i64 3", 3, {1, 2, 3}}},
	 {{"f32 1,2,3", 6, {5, 0, 0, 0, 7, 0}}}},
	{"MaxUnpool", 11, "kernel_shape=[3 strides=[2 pads=[1,1", {{"f32 1,1,2", 2, {5, 7}}, {"i64 1,1,2", 2, {1, 2}}}, {{"f32 1,1,3", 3, {0, 5, 7}}}},
	/* MelWeightMatrix */
	{"MelWeightMatrix", 17, "", {{"@i64", 1, {2}}, {"@i64", 1, {8}}, {"i64", 1, {8000}}, {"f32", 1, {0}}, {"f32", 1, {4000}}},
	 {{"f32 5,2", 10, {1, 0, 0, 1, 0, 0, 0, 0, 0, 0}}}},
	{"MelWeightMatrix", 17, "output_datatype=11", {{"@i64", 1, {1}}, {"@i64", 1, {20}}, {"i64", 1, {8000}}, {"f32", 1, {100}}, {"f32", 1, {4000}}},
	 {{"f64 11,1", 11, {0, 1, 2.0 / 3, 1.0 / 3, 0, 0, 0, 0, 0, 0, 0}}}},
	/* RoiAlign and MaxRoiPool */
	{"RoiAlign", 16, "output_height=1 output_width=2 sampling_ratio=1", {{"f32 1,1,2,4", 8, {0, 1, 2, 3, 4, 5, 6, 7}}, {"f32 2,4", 8, {0.5, 0.5, 2.5, 1.5, -9, -9, -8, -8}},
	 {"i64 2", 2, {0, 0}}}, {{"f32 2,1,1,2", 4, {2.5, 3.5, 0, 0}}}},
	{"RoiAlign", 10, "output_height=1 output_width=1 spatial_scale=0.5", {{"f32 2,1,1,4", 8, {0, 0, 0, 0, 4, 8, 16, 0}}, {"f32 1,4", 4, {0, 0, 5, 2}},
	 {"i64 1", 1, {1}}}, {{"f32 1,1,1,1", 1, {10.1111111}}}},
	{"RoiAlign", 16, "mode=max output_height=1 output_width=1 sampling_ratio=1", {{"f32 1,1,1,2", 2, {-4, -8}}, {"f32 2,4", 8, {0.25, 0, 1.25, 1, 90, 0, 91, 1}},
	 {"i64 2", 2, {0, 0}}}, {{"f32 2,1,1,1", 2, {-0.0, 0}}}},
	{"RoiAlign", 16, "", {{"f32 1,1,2,2", 4, {1, 2, 3, 4}}, {"f32 0,4", 1, {0}}, {"i64 0", 1, {0}}}, {{"f32 0,1,1,1", 1, {0}}}},
	{"RoiAlign", 16, "", {{"f32 1,1,2,2", 4, {1, 2, 3, 4}}, {"f32 2,4", 8, {NaN, 0, Inf, 1, 0, 0, 1e30, 1e30}}, {"i64 2", 2, {0, 0}}},
	 {{"f32 2,1,1,1", 2, {NaN, 0}}}},
	{"MaxRoiPool", 1, "pooled_shape=[1,2", {{"f32 1,1,2,4", 8, {0, 1, 2, 9, 4, 5, 6, 7}}, {"f32 2,5", 10, {0, 0, 0, 2, 0, 0, 9, 9, 12, 12}}},
	 {{"f32 2,1,1,2", 4, {1, 2, 0, 0}}}},
	/* Random numbers: element i is SplitMix64 at i of a key; the first node draws .28 .65 .70 .39 .66 .79 */
	{"RandomUniformLike", 1, "", {{"f32 2,3", 1, {0}}}, {{"f32 2,3", 6, {U(4727170), U(10946269), U(11764387), U(6494865), U(11012794), U(13219246)}}}},
	{"RandomUniformLike", 22, "dtype=11 low=-2.0 high=3.0 seed=5.0", {{"i64 4", 1, {0}}},
	 {{"f64 4", 4, {-0.5105575500694974, 0.05652596612120142, 2.9906066839007988, 2.2517741650895546}}}},
	{"RandomUniform", 1, "shape=[2,1 dtype=10", {{NULL}}, {{"f16 2,1", 2, {0.28173828125, 0.65234375}}}},
	{"RandomNormalLike", 1, "", {{"f32 1,2", 1, {0}}}, {{"f32 1,2", 2, {-0.9156358609740853, -0.6393855170253953}}}},
	{"RandomNormal", 22, "shape=[4 dtype=11 mean=3.0 scale=0.5 seed=5.0", {{NULL}},
	 {{"f64 4", 4, {2.339588684298026, 3.0180784775075082, 2.6048290905342695, 3.2214407624460013}}}},
	{"RandomNormalLike", 1, "", {{"f32 0,2", 1, {0}}}, {{"f32 0,2", 1, {0}}}},
	{"Bernoulli", 15, "dtype=7", {{"f32 2,2", 4, {0.3, 0.6, 0.8, 0.3}}}, {{"i64 2,2", 4, {1, 0, 1, 0}}}},
	{"Bernoulli", 22, "", {{"f16 3", 3, {0, 1, NaN}}}, {{"f16 3", 3, {0, 1, 0}}}},
	{"Multinomial", 7, "sample_size=4", {{"f32 1,4", 4, {-1.2039728, -1.2039728, -2.3025851, -1.2039728}}}, {{"i32 1,4", 4, {0, 2, 3, 1}}}},
	{"Multinomial", 22, "dtype=7", {{"f64 3,3", 9, {-Inf, 1, 2, 0, -Inf, -Inf, -9, -9, 9}}}, {{"i64 3,1", 3, {2, 0, 2}}}},
	{"MaxRoiPool", 22, "pooled_shape=[2,1 spatial_scale=0.5", {{"f16 1,1,2,3", 6, {-1, -2, -3, -4, -5, -6}}, {"f16 1,5", 5, {0, 2, 0, 4, 2}}},
	 {{"f16 1,1,2,1", 2, {-2, -5}}}},
};

/* ---- a case as a model ----------------------------------------------------------------------------------------------- */

static DType dtype_of(const char *type, const char **dims)
{
	size_t n = strcspn(type, " ");
	*dims = type + n + (type[n] == ' ');
	for (DType t = 0; t < NDTypes; t++)
		if (strlen(dtypes[t].text) == n && !strncmp(dtypes[t].text, type, n))
			return t;
	bug("no type '%s'", type);
}

static Tensor tensor_of(Arena *a, const char *type, int n, const double *v)
{
	char **dims;
	const char *text;
	Tensor t = {.dtype = dtype_of(type, &text)};
	t.rank = split_text(a, text, &dims);
	for (int i = 0; i < t.rank; i++)
		t.dims[i] = atoi(dims[i]);
	int bytes = dtypes[t.dtype].bytes;
	t.data = arena_alloc(a, (size_t)(tensor_numel(&t) * bytes + 1));
	for (int i = 0; i < tensor_numel(&t); i++)
		put_scalar((char *)t.data + i * bytes, scalar_of_real(t.dtype, v[i < n ? i : n - 1]));
	return t;
}

static void add_attrs(Arena *a, Onnx__NodeProto *node, const char *text)
{
	while (*text) {
		int64_t ints[MaxElems];
		size_t n = strcspn(text, " "), key = strcspn(text, "=");
		const char *name = arena_printf(a, "%.*s", (int)key, text), *value = arena_printf(a, "%.*s", (int)(n - key - 1), text + key + 1);
		char *end, **items;
		long whole = strtol(value, &end, 10);
		if (*value == '[') {
			int count = split_text(a, value + 1, &items);
			for (int i = 0; i < count; i++)
				ints[i] = atoi(items[i]);
			set_ints(a, node, name, count, ints);
		} else if (!*end) {
			set_i(a, node, name, whole);
		} else if (*value == '-' || (*value >= '0' && *value <= '9')) {
			set_f(a, node, name, strtof(value, NULL));
		} else {
			set_s(a, node, name, value);
		}
		text += n + strspn(text + n, " ");
	}
}

static int count_ports(const Port *p, int most)
{
	int n = 0;
	while (n < most && p[n].type)
		n++;
	return n;
}

static void make_model(Arena *a, const Case *k, const char *path, Tensor *in)
{
	Builder *b = new_builder(a, k->opset);
	char *names = arena_strdup(a, ""), *outs = arena_strdup(a, "");
	for (int i = 0, n = 0; i < count_ports(k->in, MaxPorts); i++) {
		const Port *p = &k->in[i];
		const char *name = *p->type ? arena_printf(a, "x%d", i) : "", *dims;
		names = arena_printf(a, "%s%s%s", names, i ? "," : "", name);
		if (!*p->type)
			continue;
		bool constant = *p->type == '@';
		Tensor t = tensor_of(a, p->type + constant, p->n, p->v);
		int elem = dtypes[dtype_of(p->type + constant, &dims)].onnx;
		if (constant)
			add_tensor(b, name, elem, dims, t.data, (size_t)(tensor_numel(&t) * dtypes[t.dtype].bytes));
		else
			add_input(b, name, elem, dims);
		if (!constant)
			in[n++] = t;
	}
	int nout = count_ports(k->want, 3);
	for (int i = 0; i < nout; i++)
		outs = arena_printf(a, "%s%sy%d", outs, i ? "," : "", i);
	add_attrs(a, add_op(b, k->op, names, outs), k->attrs);
	for (int i = 0; i < nout; i++)
		add_output(b, arena_printf(a, "y%d", i));
	write_built(b, path);
}

/* ---- compared ---------------------------------------------------------------------------------------------------------- */

/* To five units in the last place, the sign of zeros included. */
static bool is_close(DType dtype, double got, double want)
{
	if (isnan(want) || isinf(want) || dtypes[dtype].cls != ClassFloat || want == 0)
		return isnan(want) ? isnan(got) : got == want && !signbit(got) == !signbit(want);
	return fabs(got - want) <= fabs(want) * (dtype == F64 ? 1e-15 : dtype == F32 ? 6e-7 : unit_of(dtype));
}

static void compare(const Case *k, const char *how, const char *wrong, Tensor *out)
{
	Arena *a = new_arena();
	CHECK(!wrong);
	if (wrong)
		fprintf(stderr, "%s {%s}, %s: %s\n", k->op, k->attrs, how, wrong);
	for (int i = 0; i < count_ports(k->want, 3) && !wrong; i++) {
		Tensor want = tensor_of(a, k->want[i].type, k->want[i].n, k->want[i].v), *got = &out[i];
		bool same = got->dtype == want.dtype && got->rank == want.rank && !memcmp(got->dims, want.dims, sizeof *want.dims * (size_t)want.rank);
		CHECK(same);
		if (!same)
			fprintf(stderr, "%s {%s}, %s: output %d has another type\n", k->op, k->attrs, how, i);
		for (int64_t e = 0; same && e < tensor_numel(&want); e++) {
			double x = cast_scalar(scalar_at(got->dtype, got->data, e), F64).f, y = cast_scalar(scalar_at(want.dtype, want.data, e), F64).f;
			CHECK(is_close(want.dtype, x, y));
			if (!is_close(want.dtype, x, y))
				fprintf(stderr, "%s {%s}, %s: output %d, element %lld is %.17g, expected %.17g\n", k->op, k->attrs, how, i,
				        (long long)e, x, y);
		}
		free_tensor(got);
	}
	free_arena(a);
}

static void check(const Case *k, const char *path)
{
	Arena *a = new_arena();
	Tensor in[MaxPorts], out[3] = {{0}};
	const Target *all[8];
	PassOptions options = {.bisect_limit = -1, .ntarget = ntargets, .target = all};
	char *said;
	for (int i = 0; i < ntargets; i++)
		all[i] = &targets[i];
	make_model(a, k, path, in);
	Module *m = try_load_model(path, NULL, &said);
	const char *wrong = m ? verify_module(m) : said;
	compare(k, "evaluated", wrong ? wrong : eval_module(m, in, out), out);
	if (m && !wrong) {
		run_passes(m, &options);
		for (int i = 0; i < ntargets; i++)
			compare(k, targets[i].name, interp_program(m->loops, targets[i].name, 2, in, out), out);
	}
	free(said);
	free_module(m);
	free_arena(a);
}

int main(void)
{
	char path[] = "/tmp/dcc-arith-XXXXXX.onnx";
	if (!make_model_file(path))
		return 2;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		check(&cases[i], path);
	unlink(path);
	return test_end("arith");
}
