/* values_test.c - operators whose operands' values, or whose kernels' extents, are known when the model runs only: every operand is an
 * input, every extent a symbol.  Evaluator, text and the interpreted programs of all targets agree; what is out of range is a message.
 */
#include "../passes/passes.h"
#include "onnx_build.h"
#include "test.h"

#include <math.h>

enum { F = 1, U = 2, S = 3, I = 6, L = 7, D = 11, MaxElems = 24, MaxOperands = 9 }; /* ONNX's numbers of types */

typedef struct Operand {
	int elem; /* 0: the end; -1: left out */
	const char *declared, *dims; /* with symbols, and what they are */
	int n;
	double v[MaxElems];
} Operand;

typedef struct Case {
	const char *op;
	int opset;
	const char *attr;
	Operand in[MaxOperands];
	const char *refused, *says; /* NULL, or a part of what the compiler or the run says */
	const char *dims; /* of the result */
	int nwant;
	double want[MaxElems];
} Case;

#define ABSENT {-1, "", "", 0, {0}}
#define GIVES(dims, n, ...) NULL, NULL, dims, n, __VA_ARGS__
#define SAYS(text) NULL, (text), "", 0, {0}
#define REFUSED(text) (text), NULL, "", 0, {0}

static const Case cases[] = {
	/* the fill value, which the data knows; pads around the end; what is negative cuts */
	{"Pad", 13, "", {{F, "n", "2", 2, {1, 2}}, {L, "2", "2", 2, {1, 2}}, {F, "", "", 1, {7}}}, GIVES("5", 5, {7, 1, 2, 7, 7})},
	{"Pad", 13, "", {{I, "n,m", "2,2", 4, {1, 2, 3, 4}}, {L, "4", "4", 4, {0, -1, 1, 1}}, {I, "1", "1", 1, {-9}}},
	 GIVES("3,2", 6, {2, -9, 4, -9, -9, -9})},
	{"Pad", 13, "", {{F, "n", "0", 0, {0}}, {L, "2", "2", 2, {1, 1}}, {F, "", "", 1, {7}}}, GIVES("2", 2, {7, 7})},
	{"Pad", 19, "mode:wrap", {{F, "n", "3", 3, {1, 2, 3}}, {L, "2", "2", 2, {4, 2}}}, GIVES("9", 9, {3, 1, 2, 3, 1, 2, 3, 1, 2})},
	{"Pad", 19, "mode:wrap", {{L, "n,m", "1,3", 3, {1, 2, 3}}, {L, "4", "4", 4, {0, -1, 1, 3}}},
	 GIVES("2,5", 10, {2, 3, 2, 3, 2, 2, 3, 2, 3, 2})},
	{"Pad", 19, "mode:wrap", {{F, "n", "0", 0, {0}}, {L, "2", "2", 2, {0, 0}}}, GIVES("0", 0, {0})},
	{"Pad", 19, "mode:wrap", {{F, "n", "0", 0, {0}}, {L, "2", "2", 2, {0, 1}}}, SAYS("out of range")},
	/* kernels of any extent */
	{"Conv", 11, "auto_pad:SAME_LOWER", {{F, "b,c,n", "1,1,3", 3, {1, 2, 3}}, {F, "m,c,k", "1,1,2", 2, {1, 10}}},
	 GIVES("1,1,3", 3, {10, 21, 32})},
	{"Conv", 11, "pads=1,0;strides=2;group=2", {{D, "b,c,n", "1,2,3", 6, {1, 2, 3, 4, 5, 6}}, {D, "m,g,k", "2,1,2", 4, {1, 10, 1, 100}}, {D, "m", "2", 2, {0, 1}}},
	 GIVES("1,2,2", 4, {10, 32, 401, 606})},
	{"Conv", 11, "", {{F, "b,c,n", "1,1,3", 3, {1, 2, 3}}, {F, "m,c,k", "1,1,0", 0, {0}}}, SAYS("k = 0")},
	{"ConvTranspose", 11, "strides=2;output_padding=1", {{F, "b,c,n", "1,1,2", 2, {1, 2}}, {F, "c,m,k", "1,1,3", 3, {1, 10, 100}}},
	 GIVES("1,1,6", 6, {1, 10, 102, 20, 200, 0})},
	{"ConvTranspose", 11, "strides=3;auto_pad:SAME_UPPER", {{F, "b,c,n", "1,1,2", 2, {1, 2}}, {F, "c,m,k", "1,1,2", 2, {1, 10}}},
	 GIVES("1,1,6", 6, {0, 1, 10, 0, 2, 20})},
	{"CausalConvWithState", 27, "", {{F, "b,c,n", "1,2,3", 6, {1, 2, 3, 4, 5, 6}}, {F, "c,1,k", "2,1,2", 4, {10, 1, 0, 2}}, {F, "c", "2", 2, {0, 1}}},
	 GIVES("1,2,3", 6, {1, 12, 23, 9, 11, 13})},
	{"ConvInteger", 10, "group=2", {{U, "b,c,n", "1,2,2", 4, {255, 1, 3, 4}}, {S, "m,g,k", "2,1,2", 4, {127, 1, 1, -1}}, {U, "", "", 1, {1}}},
	 GIVES("1,2,1", 2, {32258, -1})},
	{"QLinearConv", 10, "", {{U, "b,c,n", "1,1,2", 2, {3, 5}}, {F, "", "", 1, {1}}, {U, "", "", 1, {1}}, {S, "m,c,k", "2,1,1", 2, {1, 2}}, {F, "m", "2", 2, {0.5, 1}}, {S, "", "", 1, {0}}, {F, "", "", 1, {2}}, {U, "", "", 1, {7}}, {I, "m", "2", 2, {1, -100}}},
	 GIVES("1,2,2", 4, {8, 8, 0, 0})},
	{"Col2Im", 18, "", {{F, "b,c,n", "1,2,2", 4, {1, 2, 10, 20}}, {L, "2", "2", 2, {1, 3}}, {L, "2", "2", 2, {1, 2}}},
	 GIVES("1,1,1,3", 3, {1, 12, 20})},
	{"Col2Im", 18, "", {{L, "b,c,n", "1,2,2", 4, {1, 2, 10, 20}}, {L, "1", "1", 1, {3}}, {L, "1", "1", 1, {2}}},
	 GIVES("1,1,3", 3, {1, 12, 20})},
	{"Col2Im", 18, "", {{F, "b,c,n", "1,2,2", 4, {1, 2, 10, 20}}, {L, "1", "1", 1, {3}}, {L, "1", "1", 1, {-2}}}, SAYS("c2_0 = -2 is outside")},
	/* elements that are larger than any dim: where that makes a difference the run fails */
	{"Slice", 13, "", {{F, "n", "3", 3, {1, 2, 3}}, {L, "1", "1", 1, {-0x1p40}}, {L, "1", "1", 1, {0x1p62}}}, GIVES("3", 3, {1, 2, 3})},
	{"Slice", 13, "", {{F, "n", "3", 3, {1, 2, 3}}, {L, "1", "1", 1, {0x1p40}}, {L, "1", "1", 1, {-5}}, ABSENT, {L, "1", "1", 1, {-1}}},
	 GIVES("3", 3, {3, 2, 1})},
	{"Slice", 13, "", {{F, "n", "0", 0, {0}}, {L, "1", "1", 1, {2}}, {L, "1", "1", 1, {-5}}, ABSENT, {L, "1", "1", 1, {-1}}}, GIVES("0", 0, {0})},
	{"Range", 11, "", {{L, "", "", 1, {0x1p40}}, {L, "", "", 1, {0x1p40 + 2}}, {L, "", "", 1, {1}}}, SAYS("is outside")},
	{"ConstantOfShape", 9, "", {{L, "1", "1", 1, {0x1p31}}}, SAYS("c0_0 = 2147483647 is outside")},
	{"Expand", 13, "", {{F, "1", "1", 1, {7}}, {L, "1", "1", 1, {0x1p31 + 5}}}, SAYS("c1_0 = 2147483647 is outside")},
	{"Resize", 13, "", {{F, "n", "3", 3, {1, 2, 3}}, ABSENT, {F, "1", "1", 1, {1e10}}}, SAYS("c2_0 = 2147483647 is outside")},
	/* factors that decide extents */
	{"Resize", 13, "mode:linear", {{F, "n", "2", 2, {1, 2}}, ABSENT, {F, "1", "1", 1, {2}}}, GIVES("4", 4, {1, 1.25, 1.75, 2})},
	{"Resize", 13, "", {{F, "n,m", "1,5", 5, {1, 2, 3, 4, 5}}, ABSENT, {F, "2", "2", 2, {2.5, 0.6}}}, GIVES("2,3", 6, {1, 3, 5, 1, 3, 5})},
	{"Resize", 13, "", {{F, "n", "3", 3, {1, 2, 3}}, ABSENT, {F, "1", "1", 1, {0.25}}}, GIVES("0", 0, {0})},
	{"Resize", 13, "", {{F, "n", "3", 3, {1, 2, 3}}, ABSENT, {F, "1", "1", 1, {-0.25}}}, SAYS("c2_0 = -1")},
	{"Resize", 13, "", {{F, "n", "3", 3, {1, 2, 3}}, ABSENT, {F, "1", "1", 1, {NAN}}}, SAYS("c2_0 = -2147483647")},
	{"Resize", 13, "", {{F, "n", "3", 3, {1, 2, 3}}, ABSENT, {F, "2", "2", 2, {1, 1}}}, REFUSED("differ")},
	{"Resize", 18, "mode:linear;antialias=1", {{F, "n", "4", 4, {1, 2, 3, 4}}, ABSENT, {F, "1", "1", 1, {0.5}}},
	 GIVES("2", 2, {1.625, 3.375})},
	{"Resize", 18, "mode:linear;antialias=1", {{F, "n", "4", 4, {1, 2, 3, 4}}, ABSENT, ABSENT, {L, "1", "1", 1, {2}}},
	 GIVES("2", 2, {1.625, 3.375})},
	{"Resize", 18, "mode:linear;antialias=1", {{F, "n", "2", 2, {1, 2}}, ABSENT, ABSENT, {L, "1", "1", 1, {4}}},
	 GIVES("4", 4, {1, 1.25, 1.75, 2})},
	{"Resize", 19, "keep_aspect_ratio_policy:not_larger", {{F, "n,m", "2,2", 4, {1, 2, 3, 4}}, ABSENT, ABSENT, {L, "2", "2", 2, {4, 3}}},
	 GIVES("3,3", 9, {1, 1, 2, 1, 1, 2, 3, 3, 4})},
	{"Resize", 19, "keep_aspect_ratio_policy:not_smaller", {{F, "n,m", "1,2", 2, {1, 2}}, ABSENT, ABSENT, {L, "2", "2", 2, {1, 3}}},
	 GIVES("2,3", 6, {1, 1, 2, 1, 1, 2})},
	{"Upsample", 9, "", {{F, "n", "2", 2, {1, 2}}, {F, "1", "1", 1, {1.5}}}, GIVES("3", 3, {1, 1, 2})},
	{"OneHot", 11, "", {{L, "n", "2", 2, {2, -3}}, {F, "", "", 1, {3}}, {F, "2", "2", 2, {0, 5}}}, GIVES("2,3", 6, {0, 0, 5, 5, 0, 0})},
	{"OneHot", 11, "axis=0", {{L, "n", "2", 2, {0, 9}}, {D, "1", "1", 1, {2}}, {I, "2", "2", 2, {1, 2}}}, GIVES("2,2", 4, {2, 1, 1, 1})},
	{"OneHot", 11, "", {{L, "n", "1", 1, {0}}, {L, "", "", 1, {0}}, {F, "2", "2", 2, {0, 5}}}, GIVES("1,0", 0, {0})},
	{"OneHot", 11, "", {{L, "n", "1", 1, {0}}, {L, "", "", 1, {-1}}, {F, "2", "2", 2, {0, 5}}}, SAYS("c1_0")},
	/* axes */
	{"DFT", 20, "", {{F, "n,m,1", "2,2,1", 4, {1, 2, 3, 5}}, ABSENT, {L, "", "", 1, {0}}}, GIVES("2,2,2", 8, {4, 0, 7, 0, -2, 0, -3, 0})},
	{"DFT", 20, "onesided=1", {{F, "n,m,1", "2,2,1", 4, {1, 2, 3, 5}}, ABSENT, {L, "", "", 1, {-2}}},
	 GIVES("2,2,2", 8, {3, 0, -1, 0, 8, 0, -2, 0})},
	{"DFT", 20, "", {{F, "n,m,1", "2,2,1", 4, {1, 2, 3, 5}}, {L, "", "", 1, {1}}, {L, "", "", 1, {1}}}, GIVES("2,1,2", 4, {1, 0, 3, 0})},
	{"DFT", 20, "", {{F, "n,m,1", "2,2,1", 4, {1, 2, 3, 5}}, ABSENT, {L, "", "", 1, {2}}}, SAYS("dimensions must be equal")},
	/* the width of the indices, where the model states the result's rank */
	{"GatherND", 13, "", {{F, "n,m", "2,2", 4, {1, 2, 3, 4}}, {L, "k,w", "2,2", 4, {0, 1, 1, -1}}}, GIVES("2", 2, {2, 4})},
	{"GatherND", 13, "", {{F, "n,m", "2,2", 4, {1, 2, 3, 4}}, {L, "k,w", "1,1", 1, {1}}}, GIVES("1,2", 2, {3, 4})},
};

static const DType types[] = {[F] = F32, [U] = U8, [S] = I8, [I] = I32, [L] = I64, [D] = F64};

static int read_dims(Arena *a, const char *text, int64_t *dims)
{
	char **items;
	int n = split_text(a, text, &items);
	for (int i = 0; i < n; i++)
		dims[i] = atoll(items[i]);
	return n;
}

/* Its extents have names that nothing else has. */
static void add_ranked_output(Builder *b, int elem, const char *dims)
{
	int64_t extents[MaxRank];
	const char *names = "";
	for (int i = 0, n = read_dims(b->arena, dims, extents); i < n; i++)
		names = arena_printf(b->arena, "%s%sy%d", names, i ? "," : "", i);
	Onnx__ValueInfoProto *info = make_info(b->arena, "y", elem, names);
	b->graph.output = append(b->arena, b->graph.output, &b->graph.n_output, info);
}

static void build_case(Arena *a, const Case *k, Tensor *in, const char *path)
{
	Builder *b = new_builder(a, k->opset);
	const char *names = "";
	int n = 0;
	for (int i = 0; i < MaxOperands && k->in[i].elem; i++) {
		const Operand *o = &k->in[i];
		names = arena_printf(a, "%s%s%s", names, i ? "," : "", o->elem > 0 ? arena_printf(a, "c%d", i) : "");
		if (o->elem < 0)
			continue;
		DType t = types[o->elem];
		add_input(b, arena_printf(a, "c%d", i), o->elem, o->declared);
		in[n] = (Tensor){.dtype = t, .data = arena_alloc(a, MaxElems * sizeof(double))};
		in[n].rank = read_dims(a, o->dims, in[n].dims);
		for (int e = 0; e < o->n; e++)
			put_scalar((char *)in[n].data + e * dtypes[t].bytes, scalar_of_real(t, o->v[e]));
		n++;
	}
	put_attrs(a, add_op(b, k->op, names, "y"), k->attr);
	if (!strcmp(k->op, "GatherND"))
		add_ranked_output(b, F, k->dims);
	else
		add_output(b, "y");
	write_built(b, path);
}

/* Of an operator and the data: the result, or what the run says. */
static void compare(Arena *a, const Case *k, const char *how, const char *wrong, Tensor *out)
{
	int64_t dims[MaxRank];
	bool right = k->says ? wrong && strstr(wrong, k->says) : !wrong;
	if (!wrong) {
		right &= out->rank == read_dims(a, k->dims, dims) && tensor_numel(out) == k->nwant;
		for (int i = 0; right && i < out->rank; i++)
			right = out->dims[i] == dims[i];
		for (int i = 0; right && i < k->nwant; i++) {
			Scalar s = scalar_at(out->dtype, out->data, i);
			double v = is_among(out->dtype, TypesFlt) ? s.f : (double)s.i;
			right = fabs(v - k->want[i]) <= 2e-6 * fmax(1, fabs(k->want[i]));
		}
		free_tensor(out);
	}
	CHECK(right);
	if (!right)
		fprintf(stderr, "%s-%d {%s} %s, %s: %s\n", k->op, k->opset, k->attr, k->dims, how, wrong ? wrong : "another result");
}

/* The same module from its text. */
static Module *reread(Module *m)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);
	print_module(f, m);
	fclose(f);
	Module *again = parse_module("values.ir", text);
	free(text);
	return again;
}

static void run_case(const Case *k, const char *path)
{
	Arena *a = new_arena();
	Tensor in[MaxOperands], out;
	const Target *targets[2] = {find_target("avx2"), find_target("avx512")};
	PassOptions options = {.bisect_limit = -1, .ntarget = 2, .target = targets};
	char *said;
	build_case(a, k, in, path);
	Module *m = try_load_model(path, NULL, &said);
	CHECK(k->refused ? !m && strstr(said, k->refused) : m && !verify_module(m));
	if (!m && !k->refused)
		fprintf(stderr, "%s-%d {%s}: %s\n", k->op, k->opset, k->attr, said);
	if (m) {
		Module *again = reread(m);
		compare(a, k, "evaluated", eval_module(m, in, &out), &out);
		compare(a, k, "read again", eval_module(again, in, &out), &out);
		run_passes(m, &options);
		for (int i = 0; i < 2 && !k->says; i++) /* the library compares with the bounds, the interpreter does not */
			compare(a, k, targets[i]->name, interp_program(m->loops, targets[i]->name, 2, in, &out), &out);
		free_module(again);
	}
	free(said);
	free_module(m);
	free_arena(a);
}

int main(void)
{
	char path[] = "/tmp/dcc-values-XXXXXX.onnx";
	if (!make_model_file(path))
		return 2;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		run_case(&cases[i], path);
	unlink(path);
	return test_end("values");
}
