/* schedule_test.c - every schedule over all edge sizes: machine code of each target against each other, the interpreter
 * and the evaluator (schedule.h says how).  seconds: 11 */
#include "schedule.h"
#include "../ir/sparse.h"

#define SWEEP(...) ((const char *const[]){__VA_ARGS__, NULL})

/* One node and its result. */
static void add_row(Family *f, const char *type, const char *node)
{
	char value[16];
	snprintf(value, sizeof value, "%%o%d", f->nline++);
	line(f, "%s: %s = %s", value, type, node);
	result(f, value, type);
}

/* ---- linear ------------------------------------------------------------------------------------------------------ */

typedef enum Epilogue {
	Plain,
	Bias,
	Relu,
	Residual,
	RowOperand,
	ColumnOperand,
	Transposed,
	Chain,
	Masked,
	Forked,
	GluSecond,
	GluFirst,
	GluBias,
	GluAll,
	Gates2, /* equal parts of the rows, read each by itself */
	Gates3,
	Gates4,
	NEpilogues
} Epilogue;

static bool is_glu(Epilogue e)
{
	return e >= GluSecond && e <= GluAll;
}

static int parts_of(Epilogue e)
{
	return is_glu(e) || e == Gates2 ? 2 : e == Gates3 ? 3 : e == Gates4 ? 4 : 1;
}

/* Sum of act(part), after what is computed on whole rows: with an operand of whole rows, one of a row's, and one of parts. */
static void add_gates(Family *f, int id, int n, int parts, char *value)
{
	static const char *const act[] = {"sigmoid", "tanh", "relu", "silu"};
	int columns = parts * n;
	char name[16], dims[16];
	param(f, "s%d: f32[m, %d]", id, columns);
	param(f, "r%d: f32[m, %d]", id, n);
	snprintf(name, sizeof name, "d%d", id);
	snprintf(dims, sizeof dims, "%d", columns);
	weights(f, name, dims, columns);
	line(f, "%%h%d: f32[m, %d] = add %%s%d, %s", id, columns, id, value);
	line(f, "%%i%d: f32[m, %d] = mul %%h%d, %%d%d", id, columns, id, id);
	snprintf(value, 16, "%%r%d", id);
	for (int g = parts - 1; g >= 0; g--) {
		line(f, "%%p%d.%d: f32[m, %d] = slice %%i%d {starts=[0, %d]}", id, g, n, id, g * n);
		line(f, "%%q%d.%d: f32[m, %d] = %s %%p%d.%d", id, g, n, act[g], id, g);
		line(f, "%%g%d.%d: f32[m, %d] = %s %s, %%q%d.%d", id, g, n, g % 2 ? "add" : "mul", value, id, g);
		snprintf(value, 16, "%%g%d.%d", id, g);
	}
}

static void add_linear(Family *f, int id, int k, int n, Epilogue e)
{
	int columns = parts_of(e) * n;
	char dims[32], name[16], value[16], type[32];

	snprintf(name, sizeof name, "w%d", id);
	snprintf(dims, sizeof dims, "%d, %d", k, columns);
	weights(f, name, dims, k * columns);
	line(f, "%%a%d: f32[m, %d] = matmul %%x%d, %%w%d", id, columns, k, id);
	snprintf(value, sizeof value, "%%a%d", id);
	if (e == Bias || e == Chain || e == GluBias || e == GluAll) {
		snprintf(name, sizeof name, "b%d", id);
		snprintf(dims, sizeof dims, "%d", columns);
		weights(f, name, dims, columns);
		line(f, "%%c%d: f32[m, %d] = add %s, %%b%d", id, columns, value, id);
		snprintf(value, sizeof value, "%%c%d", id);
	}
	if (is_glu(e)) {
		static const char *const act[] = {"sigmoid", "gelu", "silu", "tanh"};
		line(f, "%%g%d: f32[m, %d] = glu %s {axis=1, act=%s, gate=%s}", id, n, value, act[e - GluSecond],
		     e == GluFirst || e == GluAll ? "first" : "second");
		snprintf(value, sizeof value, "%%g%d", id);
	}
	if (e >= Gates2)
		add_gates(f, id, n, parts_of(e), value);
	const char *op = NULL;
	switch (e) {
	case Relu: line(f, "%%e%d: f32[m, %d] = relu %s", id, n, value); break;
	case Residual: case GluAll:
		param(f, "r%d: f32[m, %d]", id, n);
		op = "add";
		break;
	case RowOperand:
		param(f, "r%d: f32[%d]", id, n);
		op = "mul";
		break;
	case ColumnOperand:
		param(f, "r%d: f32[m, 1]", id);
		op = "sub";
		break;
	case Transposed:
		param(f, "t%d: f32[%d, m]", id, n);
		line(f, "%%r%d: f32[m, %d] = transpose %%t%d {perm=[1, 0]}", id, n, id);
		op = "max";
		break;
	case Chain:
		param(f, "r%d: f32[m, %d]", id, n);
		line(f, "%%e%d.0: f32[m, %d] = gelu_tanh %s", id, n, value);
		line(f, "%%e%d.1: f32[m, %d] = mul %%e%d.0, %%r%d", id, n, id, id);
		line(f, "%%e%d.2: f32[m, %d] = clip %%e%d.1 {lo=-0.75, hi=2}", id, n, id);
		line(f, "%%e%d: f32[m, %d] = add %%r%d, %%e%d.2", id, n, id, id);
		break;
	case Forked: /* values with several users */
		param(f, "r%d: f32[m, %d]", id, n);
		line(f, "%%e%d.0: f32[m, %d] = mul %s, %%r%d", id, n, value, id);
		line(f, "%%e%d.1: f32[m, %d] = sigmoid %%e%d.0", id, n, id);
		line(f, "%%e%d.2: f32[m, %d] = mul %s, %%e%d.1", id, n, value, id);
		line(f, "%%e%d.3: bool[m, %d] = lt %%e%d.2, %%e%d.0", id, n, id, id);
		line(f, "%%e%d: f32[m, %d] = where %%e%d.3, %%e%d.2, %%r%d", id, n, id, id, id);
		break;
	case Masked:
		param(f, "k%d: bool[m, 1]", id);
		add_text(&f->consts, "const @zero%d: f32[] = [0]\n", id);
		line(f, "%%e%d: f32[m, %d] = where %%k%d, %s, @zero%d", id, n, id, value, id);
		break;
	default: line(f, "%%e%d: f32[m, %d] = identity %s", id, n, value);
	}
	if (op)
		line(f, "%%e%d: f32[m, %d] = %s %s, %%r%d", id, n, op, value, id);
	snprintf(value, sizeof value, "%%e%d", id);
	snprintf(type, sizeof type, "f32[m, %d]", n);
	result(f, value, type);
}

static const struct {
	int k, n;
	Epilogue e;
} linears[] = {
	{1, 1, Plain},           {1, 33, Bias},        {2, 16, Relu},      {5, 31, Residual}, {15, 32, RowOperand},
	{16, 17, ColumnOperand}, {17, 48, Transposed}, {33, 33, Chain},    {5, 2, Masked},    {16, 1, GluSecond},
	{17, 15, GluFirst},      {33, 16, GluBias},    {5, 17, GluAll},    {255, 15, Bias},   {256, 31, Plain},
	{257, 33, Residual},     {513, 5, Chain},      {257, 17, GluBias}, {5, 65, Relu},     {2, 64, Plain},
	{17, 33, Forked},        {257, 32, Forked},    {5, 17, Gates2},    {33, 16, Gates2},  {16, 33, Gates3},   {257, 32, Gates3},
	{15, 5, Gates3},         {17, 16, Gates4},     {33, 37, Gates4},   {256, 1, Gates4},
};
enum { NLinears = sizeof linears / sizeof *linears };

static void make_linear(Family *f)
{
	symbol(f, "m", 0);
	for (int i = 0; i < NLinears; i++) {
		bool known = false;
		for (int j = 0; j < i; j++)
			known |= linears[j].k == linears[i].k;
		if (!known)
			param(f, "x%d: f32[m, %d]", linears[i].k, linears[i].k);
	}
	for (int i = 0; i < NLinears; i++)
		add_linear(f, i, linears[i].k, linears[i].n, linears[i].e);
}

/* Operands that are no plain matrix: a time-first view, three axes, one row, columns of a wider tensor. */
/* Weights that are stored as half floats or bytes, and moved as such. */
static void make_linear_half(Family *f)
{
	static const struct {
		const char *type;
		int k, n;
		bool transposed;
	} rows[] = {{"f16", 5, 17, false}, {"f16", 257, 33, true}, {"bf16", 33, 65, false}, {"f16", 513, 16, false}, {"f8e5m2", 7, 5, true},
	          {"i8", 257, 33, true}, {"u8", 300, 17, false}};
	symbol(f, "m", 0);
	add_text(&f->consts, "const @most: f32[] = [120]\n");
	for (int i = 0; i < (int)(sizeof rows / sizeof *rows); i++) {
		int k = rows[i].k, n = rows[i].n;
		bool turned = rows[i].transposed;
		char name[16], dims[32], type[32];
		snprintf(name, sizeof name, "w%d", i);
		snprintf(dims, sizeof dims, "%d, %d", turned ? n : k, turned ? k : n);
		snprintf(type, sizeof type, "f32[m, %d]", n);
		weights(f, name, dims, k * n);
		param(f, "x%d: f32[m, %d]", i, k);
		param(f, "r%d: %s", i, type);
		const bool whole = strchr("iu", rows[i].type[0]);
		if (whole) {
			line(f, "%%b%d: f32[%s] = mul %%w%d, @most", i, dims, i);
			line(f, "%%c%d: f32[%s] = %s %%b%d", i, dims, rows[i].type[0] == 'u' ? "abs" : "identity", i);
		}
		line(f, "%%h%d: %s[%s] = cast %%%c%d", i, rows[i].type, dims, whole ? 'c' : 'w', i);
		line(f, "%%g%d: f32[%s] = cast %%h%d", i, dims, i);
		if (turned)
			line(f, "%%t%d: f32[%d, %d] = transpose %%g%d {perm=[1, 0]}", i, k, n, i);
		line(f, "%%a%d: %s = matmul %%x%d, %%%c%d", i, type, i, turned ? 't' : 'g', i);
		line(f, "%%y%d: %s = add %%a%d, %%r%d", i, type, i, i);
		snprintf(name, sizeof name, "%%y%d", i);
		result(f, name, type);
	}
	weights(f, "wt", "33, 40", 33 * 40); /* many rows, tile by tile: each worker widens them once */
	param(f, "image: f32[1, m, m, 33]");
	line(f, "%%ht: f16[33, 40] = cast %%wt\n%%gt: f32[33, 40] = cast %%ht");
	add_row(f, "f32[1, m, m, 40]", "matmul %image, %gt");
}

/* Weights that stay integers, with scales and zero points: by blocks along k, of which the last may be short, and of whole columns. */
static void make_linear_scaled(Family *f)
{
	enum { None, Uniform, Middle, Whole, Real }; /* zero points; Uniform, Middle: one for all, an integer or not */
	static const struct {
		const char *type, *scale;
		int k, n, block, zero; /* block 0: columns */
		bool rows; /* stored by rows of k, as DequantizeLinear may have them */
		bool gate;
	} cases[] = {{"u4", "f32", 64, 17, 16, Uniform, false, false}, {"u4", "f32", 100, 33, 32, Whole, false, false}, {"i4", "f16", 300, 40, 128, None, false, false},
	             {"u4", "f16", 33, 5, 8, Real, false, false},      {"i4", "f32", 192, 31, 64, Whole, true, false}, {"u2", "f32", 48, 16, 16, Whole, false, false},
	             {"u8", "f32", 257, 33, 32, Whole, false, false},  {"i8", "f32", 64, 65, 32, None, true, false},   {"u8", "bf16", 45, 20, 0, Uniform, true, false},
	             {"i8", "f32", 21, 37, 0, Real, false, false},     {"u4", "f32", 520, 48, 0, Whole, false, false}, {"u4", "f32", 96, 20, 32, Uniform, false, true},
	             {"i4", "f32", 64, 16, 32, Whole, false, true},    {"u4", "f32", 64, 20, 16, Middle, false, false},  {"u8", "f32", 40, 33, 0, Middle, true, false}};
	symbol(f, "m", 0);
	add_text(&f->consts, "const @least: f32[] = [7]\nconst @most: f32[] = [120]\nconst @three: f32[] = [3]\nconst @middle: f32[] = [7.5]\n");
	for (int i = 0; i < (int)(sizeof cases / sizeof *cases); i++) {
		const int k = cases[i].k, n = cases[i].n, block = cases[i].block ? cases[i].block : k, blocks = (k + block - 1) / block, zero = cases[i].zero;
		const char *type = cases[i].type, *scale = cases[i].scale, *bare = *type == 'u' ? "abs" : "identity", *range = type[1] == '8' ? "most" : "least";
		char name[16], all[40], few[40], out[32];
		snprintf(all, sizeof all, "%d, %d, %d", cases[i].rows ? blocks : n, cases[i].rows ? block : blocks, cases[i].rows ? n : block);
		snprintf(few, sizeof few, "%d, %d, %d", cases[i].rows ? blocks : n, cases[i].rows ? 1 : blocks, cases[i].rows ? n : 1);
		snprintf(out, sizeof out, "f32[m, %d]", n);
		param(f, "x%d: f32[m, %d]", i, k);
		param(f, "r%d: %s", i, out);
		for (int half = 0; half <= cases[i].gate; half++) {
			const int id = i + 100 * half;
			snprintf(name, sizeof name, "w%d", id);
			weights(f, name, all, n * blocks * block);
			snprintf(name, sizeof name, "s%d", id);
			weights(f, name, few, n * blocks);
			snprintf(name, sizeof name, "z%d", id);
			weights(f, name, few, n * blocks);
			line(f, "%%a%d: f32[%s] = mul %%w%d, @%s\n%%b%d: f32[%s] = %s %%a%d\n%%q%d: %s[%s] = cast %%b%d", id, all, id, range, id, all, bare, id, id, type, all, id);
			line(f, "%%c%d: %s[%s] = cast %%s%d\n%%d%d: f32[%s] = cast %%c%d\n%%e%d: f32[%s] = cast %%q%d", id, scale, few, id, id, few, id, id, all, id);
			line(f, "%%f%d: f32[%s] = mul %%z%d, @%s\n%%g%d: f32[%s] = %s %%f%d\n%%h%d: %s[%s] = cast %%g%d\n%%i%d: f32[%s] = cast %%h%d", id, few, id, range,
			     id, few, bare, id, id, type, few, id, id, few, id);
			if (zero == Uniform || zero == Middle)
				line(f, "%%j%d: f32[%s] = sub %%e%d, @%s", id, all, id, zero == Uniform ? "three" : "middle");
			else if (zero)
				line(f, "%%j%d: f32[%s] = sub %%e%d, %%%c%d", id, all, id, zero == Real ? 'f' : 'i', id);
			line(f, "%%k%d: f32[%s] = mul %%%c%d, %%d%d", id, all, zero ? 'j' : 'e', id, id);
			line(f, "%%l%d: f32[%d, %d] = view %%k%d {strides_dim=[%d, %d]}", id, k, n, id, cases[i].rows ? n : 1, cases[i].rows ? 1 : blocks * block);
		}
		if (cases[i].gate) {
			line(f, "%%o%d: f32[%d, %d] = concat %%l%d, %%l%d {axis=1}\n%%p%d: f32[m, %d] = matmul %%x%d, %%o%d", i, k, 2 * n, i, i + 100, i, 2 * n, i, i);
			line(f, "%%t%d: %s = glu %%p%d {act=silu, axis=1}", i, out, i);
		} else {
			line(f, "%%t%d: %s = matmul %%x%d, %%l%d", i, out, i, i);
		}
		line(f, "%%y%d: %s = add %%t%d, %%r%d", i, out, i, i);
		snprintf(name, sizeof name, "%%y%d", i);
		result(f, name, out);
	}
}

/* Windows, as of convolutions: k runs over axes that are not side by side, in widths that straddle the blocks of what is packed. */
static void make_linear_windows(Family *f)
{
	static const struct {
		int taps, width, stride;
	} rows[] = {{3, 21, 1}, {7, 5, 1}, {2, 31, 1}, {3, 17, 2}, {4, 33, 1}, {3, 48, 1}, {5, 40, 1}};
	symbol(f, "m", 0);
	for (int i = 0; i < (int)(sizeof rows / sizeof *rows); i++) {
		int taps = rows[i].taps, width = rows[i].width, stride = rows[i].stride, across = width * stride + 2;
		char value[16];
		param(f, "x%d: f32[m, %d, %d]", i, taps + 1, across);
		param(f, "w%d: f32[%d, 20]", i, taps * width);
		line(f, "%%p%d: f32[1, %d, 32] = pack %%w%d", i, taps * width, i);
		line(f, "%%v%d: f32[m, %d, %d] = view %%x%d {base=%d, strides_dim=[%d, %d, %d]}", i, taps, width, i, across + 1,
		     (taps + 1) * across, across, stride);
		line(f, "%%y%d: f32[m, 20] = linear_packed %%v%d, %%p%d, _ {inner=2}", i, i, i);
		snprintf(value, sizeof value, "%%y%d", i);
		result(f, value, "f32[m, 20]");
	}
}

/* One row, as in decoding, is not packed: at the begin of a buffer, inside of one, over two axes, twice with others in between, of one
 * element; a column is. */
static void make_linear_row(Family *f)
{
	symbol(f, "t", 1);
	param(f, "x: f32[3, 40]");
	param(f, "h: f32[1, 1, 35]");
	param(f, "c: f32[t, 4, 40]");
	weights(f, "w", "20, 17", 20 * 17);
	weights(f, "u", "35, 35", 35 * 35);
	weights(f, "q", "35, 35", 35 * 35);
	weights(f, "v", "3, 5", 15);
	weights(f, "s", "1, 33", 33);
	line(f, "%%0: f32[1, 20] = view %%x {base=50, strides_dim=[0, 1]}");
	line(f, "%%1: f32[1, 17] = matmul %%0, %%w");
	result(f, "%1", "f32[1, 17]");
	line(f, "%%2: f32[1, 1, 35] = matmul %%h, %%u");
	line(f, "%%3: f32[1, 1, 35] = tanh %%2");
	line(f, "%%4: f32[1, 1, 35] = matmul %%3, %%u");
	line(f, "%%5: f32[1, 1, 35] = relu %%4");
	line(f, "%%6: f32[1, 1, 35] = matmul %%5, %%u");
	line(f, "%%7: f32[1, 1, 35] = matmul %%3, %%q");
	line(f, "%%8: f32[1, 1, 35] = add %%6, %%7");
	result(f, "%8", "f32[1, 1, 35]");
	line(f, "%%9: f32[1, 3] = view %%x {base=7, strides_dim=[0, 40]}");
	line(f, "%%10: f32[1, 5] = matmul %%9, %%v");
	result(f, "%10", "f32[1, 5]");
	line(f, "%%11: f32[1, 1] = view %%x {base=119, strides_dim=[0, 0]}");
	line(f, "%%12: f32[1, 33] = matmul %%11, %%s");
	result(f, "%12", "f32[1, 33]");
	line(f, "%%13: f32[1, 20] = view %%c {base=160*t - 20, strides_dim=[0, 1]}");
	line(f, "%%14: f32[1, 17] = matmul %%13, %%w");
	result(f, "%14", "f32[1, 17]");
}

/* In loops, by weights that the second cache is too small for: panels one by one, of half floats, and four at once. */
static void make_linear_loops(Family *f)
{
	symbol(f, "b", 0);
	symbol(f, "t", 0);
	symbol(f, "it", 0);
	symbol(f, "go", 0);
	param(f, "x: f32[t, b, 520]");
	param(f, "h: f32[b, 520]");
	param(f, "g: f32[b, 192]");
	weights(f, "w", "520, 520", 520 * 520);
	weights(f, "r", "192, 768", 192 * 768);
	add_text(&f->consts, "const @small: f32[] = [0.05]\n");
	line(f, "%%half: f16[520, 520] = cast %%w");
	line(f, "%%y: f32[b, 520], %%z: f32[b, 192] = loop %%h, %%g {counter=\"it\", flag=\"go\", trips=t} (%%k: f32[b, 520], %%l: f32[b, 192]) {");
	line(f, "%%v: f32[520, 520] = cast %%half");
	line(f, "%%0: f32[b, 520] = matmul %%k, %%v");
	line(f, "%%1: f32[b, 520] = mul %%0, @small");
	line(f, "%%2: f32[b, 520] = view %%x {base=520*b*it, strides_dim=[520, 1]}");
	line(f, "%%3: f32[b, 520] = add %%1, %%2");
	line(f, "%%4: f32[b, 768] = matmul %%l, %%r");
	line(f, "%%5: f32[b, 768] = mul %%4, @small");
	for (int i = 0; i < 4; i++) {
		line(f, "%%p%d: f32[b, 192] = slice %%5 {starts=[0, %d]}", i, i * 192);
		line(f, "%%q%d: f32[b, 192] = sigmoid %%p%d", i, i);
	}
	line(f, "%%6: f32[b, 192] = mul %%q0, %%q1");
	line(f, "%%7: f32[b, 192] = sub %%q2, %%q3");
	line(f, "%%8: f32[b, 192] = add %%6, %%7");
	line(f, "yield %%3, %%8\n}");
	result(f, "%y", "f32[b, 520]");
	result(f, "%z", "f32[b, 192]");
}

/* A text may hold panels that are computed, here also as results, and of a gate in both orders. */
static void make_linear_panels(Family *f)
{
	symbol(f, "m", 0);
	symbol(f, "k", 0);
	symbol(f, "n", 0);
	param(f, "x: f32[m, k]");
	param(f, "w: f32[k, n]");
	param(f, "wt: f32[n, k]");
	param(f, "b: f32[n]");
	line(f, "%%p: f32[(n + 31)/32, k, 32] = pack %%w");
	result(f, "%p", "f32[(n + 31)/32, k, 32]");
	line(f, "%%y: f32[m, n] = linear_packed %%x, %%p, %%b");
	result(f, "%y", "f32[m, n]");
	line(f, "%%turned: f32[k, n] = transpose %%wt {perm=[1, 0]}");
	line(f, "%%pt: f32[(n + 31)/32, k, 32] = pack %%turned");
	line(f, "%%yt: f32[m, n] = linear_packed %%x, %%pt, _");
	line(f, "%%zt: f32[m, n] = tanh %%yt");
	result(f, "%zt", "f32[m, n]");
	for (int parts = 2; parts <= 4; parts++) {
		int chunk = parts % 2 ? 32 : 16;
		char value[16], type[64];
		param(f, "wg%d: f32[k, %d*n]", parts, parts);
		param(f, "bg%d: f32[%d*n]", parts, parts);
		snprintf(type, sizeof type, "f32[(n + %d)/%d%s, k, 32]", chunk - 1, chunk, parts == 3 ? "*3" : parts == 4 ? "*2" : "");
		line(f, "%%pg%d: %s = pack %%wg%d {parts=%d}", parts, type, parts, parts);
		snprintf(value, sizeof value, "%%pg%d", parts);
		result(f, value, type);
		line(f, "%%g%d: f32[m, n] = group {", parts);
		line(f, "%%l%d: f32[m, %d*n] = linear_packed %%x, %%pg%d, %%bg%d {parts=%d}", parts, parts, parts, parts, parts);
		line(f, "%%u%d.0: f32[m, n] = view %%l%d {strides_dim=[%d*n, 1]}", parts, parts, parts);
		for (int i = 1; i < parts; i++) {
			line(f, "%%v%d.%d: f32[m, n] = view %%l%d {base=%d*n, strides_dim=[%d*n, 1]}", parts, i, parts, i, parts);
			line(f, "%%t%d.%d: f32[m, n] = tanh %%v%d.%d", parts, i, parts, i);
			line(f, "%%u%d.%d: f32[m, n] = sub %%u%d.%d, %%t%d.%d", parts, i, parts, i - 1, parts, i);
		}
		line(f, "yield %%u%d.%d\n}", parts, parts - 1);
		snprintf(value, sizeof value, "%%g%d", parts);
		result(f, value, "f32[m, n]");
	}
	for (int i = 0; i < 2; i++) {
		const char *gate = i ? "first" : "second";
		char value[16];
		line(f, "%%go%d: f32[m, n] = group {\n%%lo%d: f32[m, 2*n] = linear_packed %%x, %%pg2, %%bg2 {parts=2}", i, i);
		line(f, "%%uo%d: f32[m, n] = glu %%lo%d {axis=1, act=sigmoid, gate=%s}\nyield %%uo%d\n}", i, i, gate, i);
		snprintf(value, sizeof value, "%%go%d", i);
		result(f, value, "f32[m, n]");
	}
}

static void make_linear_views(Family *f)
{
	symbol(f, "b", 0);
	symbol(f, "t", 0);
	param(f, "x: f32[b, t, 12]");
	param(f, "v: f32[12]");
	param(f, "r: f32[t, b, 20]");
	param(f, "r1: f32[1, t, 20]");
	weights(f, "w", "12, 20", 240);
	weights(f, "w6", "6, 20", 120);
	line(f, "%%0: f32[t, b, 12] = transpose %%x {perm=[1, 0, 2]}");
	line(f, "%%1: f32[t, b, 20] = matmul %%0, %%w");
	line(f, "%%2: f32[t, b, 20] = add %%r, %%1");
	result(f, "%2", "f32[t, b, 20]");
	line(f, "%%3: f32[b, t, 6] = slice %%x {starts=[0, 0, 3]}");
	line(f, "%%4: f32[b, t, 20] = matmul %%3, %%w6");
	line(f, "%%5: f32[b, t, 20] = add %%4, %%r1");
	result(f, "%5", "f32[b, t, 20]");
	line(f, "%%6: f32[20] = matmul %%v, %%w");
	line(f, "%%7: f32[20] = tanh %%6");
	result(f, "%7", "f32[20]");
	line(f, "%%8: f32[b, t, 6] = slice %%x {starts=[0, 0, 1], steps=[1, 1, 2]}");
	line(f, "%%9: f32[b, t, 20] = matmul %%8, %%w6");
	result(f, "%9", "f32[b, t, 20]");
	line(f, "%%10: f32[b, 12, t] = transpose %%x {perm=[0, 2, 1]}");
	line(f, "%%11: f32[b, 12, t] = exp %%10");
	line(f, "%%12: f32[b, t, 12] = transpose %%11 {perm=[0, 2, 1]}");
	line(f, "%%13: f32[b, t, 20] = matmul %%12, %%w");
	result(f, "%13", "f32[b, t, 20]");
	/* One value as rows of 3 and of 12, with others in between: what is packed of it serves only equal rows. */
	weights(f, "w3", "3, 20", 60);
	line(f, "%%14: f32[b, t, 4, 3] = reshape %%x");
	line(f, "%%15: f32[b, t, 3, 4] = reshape %%x");
	line(f, "%%16: f32[b, t, 4, 3] = transpose %%15 {perm=[0, 1, 3, 2]}");
	line(f, "%%17: f32[b, t, 12] = reshape %%16");
	static const struct {
		int x;
		const char *w, *type;
	} split[] = {{14, "w3", "b, t, 4, 20"}, {16, "w3", "b, t, 4, 20"}, {17, "w", "b, t, 20"}, {14, "w3", "b, t, 4, 20"}};
	for (int i = 0; i < 4; i++) {
		char value[16], type[40];
		snprintf(value, sizeof value, "%%split%d", i);
		snprintf(type, sizeof type, "f32[%s]", split[i].type);
		line(f, "%%p%d: %s = matmul %%%d, %%%s", i, type, split[i].x, split[i].w);
		line(f, "%s: %s = %s %%p%d", value, type, i == 3 ? "neg" : "relu", i);
		result(f, value, type);
	}
}

/* ---- matmul ------------------------------------------------------------------------------------------------------ */

static void make_matmul(Family *f)
{
	symbol(f, "b", 0);
	symbol(f, "m", 0);
	symbol(f, "k", 0);
	symbol(f, "n", 0);
	param(f, "x: f32[b, m, k]");
	param(f, "y: f32[b, k, n]");
	param(f, "yt: f32[b, n, k]");
	param(f, "xt: f32[b, k, m]");
	param(f, "y2: f32[k, n]");
	param(f, "x4: f32[b, 2, m, k]");
	param(f, "y4: f32[1, 2, k, n]");
	param(f, "v: f32[k]");
	line(f, "%%0: f32[b, m, n] = matmul %%x, %%y");
	result(f, "%0", "f32[b, m, n]");
	line(f, "%%1: f32[b, m, n] = matmul %%x, %%yt {trans_b=1}");
	result(f, "%1", "f32[b, m, n]");
	line(f, "%%2: f32[b, m, n] = matmul %%xt, %%y {trans_a=1}");
	result(f, "%2", "f32[b, m, n]");
	line(f, "%%3: f32[b, m, n] = matmul %%x, %%y2");
	result(f, "%3", "f32[b, m, n]");
	line(f, "%%4: f32[b, 2, m, n] = matmul %%x4, %%y4");
	result(f, "%4", "f32[b, 2, m, n]");
	line(f, "%%5: f32[b, m] = matmul %%x, %%v");
	result(f, "%5", "f32[b, m]");
	line(f, "%%6: f32[b, n] = matmul %%v, %%y");
	result(f, "%6", "f32[b, n]");
	line(f, "%%7: f32[m, b, k] = transpose %%x {perm=[1, 0, 2]}");
	line(f, "%%8: f32[m, b, n] = matmul %%7, %%y2");
	result(f, "%8", "f32[m, b, n]");
	line(f, "%%9: f32[b, 1, k, n] = reshape %%y");
	line(f, "%%10: f32[b, 2, k, n] = expand %%9");
	line(f, "%%11: f32[b, 2, m, n] = matmul %%x4, %%10");
	result(f, "%11", "f32[b, 2, m, n]");
}

/* One row or column by matrices of its own, which nobody packs: columns side by side, steps side by side, neither; the row with steps, shared. */
static void make_row_matmul(Family *f)
{
	symbol(f, "b", 0);
	symbol(f, "k", 0);
	symbol(f, "n", 0);
	param(f, "x: f32[b, 1, k]");
	param(f, "xt: f32[b, k, 1]");
	param(f, "x4: f32[b, 1, 1, k]");
	param(f, "one: f32[1, 1, k]");
	param(f, "y: f32[b, k, n]");
	param(f, "yt: f32[b, n, k]");
	param(f, "y4: f32[b, 2, k, n]");
	param(f, "wide: f32[b, n, 3, k]");
	line(f, "%%apart: f32[b, k, n] = view %%wide {base=k, strides_dim=[3*n*k, 1, 3*k]}");
	line(f, "%%far: f32[n, k, b] = transpose %%y {perm=[2, 1, 0]}");
	param(f, "r: f32[n, 1, k]");
	add_row(f, "f32[b, 1, n]", "matmul %x, %y");
	add_row(f, "f32[b, 1, n]", "matmul %xt, %yt {trans_a=1, trans_b=1}");
	add_row(f, "f32[b, 1, n]", "matmul %one, %y");
	add_row(f, "f32[b, n, 1]", "matmul %yt, %xt");
	add_row(f, "f32[b, n, 1]", "matmul %y, %x {trans_a=1, trans_b=1}");
	add_row(f, "f32[b, 2, 1, n]", "matmul %x4, %y4");
	add_row(f, "f32[b, 1, n]", "matmul %x, %apart");
	add_row(f, "f32[n, 1, b]", "matmul %r, %far");
}

/* Products of other types than f32. */
static void make_plain_matmul(Family *f)
{
	static const char *const types[] = {"i64", "i32", "i8", "u8", "f64"};
	char type[40], node[64];

	symbol(f, "b", 0);
	symbol(f, "m", 0);
	symbol(f, "k", 0);
	symbol(f, "n", 0);
	for (size_t d = 0; d < sizeof types / sizeof *types; d++) {
		const char *t = types[d];
		param(f, "%s.x: %s[b, m, k]", t, t);
		param(f, "%s.y: %s[b, k, n]", t, t);
		snprintf(type, sizeof type, "%s[b, m, n]", t);
		snprintf(node, sizeof node, "matmul %%%s.x, %%%s.y", t, t);
		add_row(f, type, node);
	}
	param(f, "xt: i32[1, k, m]");
	param(f, "yt: i32[b, n, k]");
	param(f, "v: i32[k]");
	param(f, "w: i32[k, n]");
	add_row(f, "i32[b, m, n]", "matmul %xt, %yt {trans_a=1, trans_b=1}");
	add_row(f, "i32[b, n]", "matmul %yt, %v");
	add_row(f, "i32[b, n]", "matmul %v, %i32.y");
	add_row(f, "i32[]", "matmul %v, %v");
	line(f, "%%xp: i32[m, b, k] = transpose %%i32.x {perm=[1, 0, 2]}");
	add_row(f, "i32[m, b, n]", "linear %xp, %w, _");
	add_text(&f->consts, "const @w3: i32[3, 2] = [1, -2, 3, 4, -5, 6]\nconst @b2: i32[2] = [7, 8]\n");
	param(f, "x3: i32[b, m, 3]");
	add_row(f, "i32[b, m, 2]", "linear %x3, @w3, @b2");
}

/* ---- winconv ----------------------------------------------------------------------------------------------------- */

typedef struct WinCase {
	int channels, heads, taps, left;
	bool interleaved, token;
} WinCase;

static const WinCase windows[] = {
	{16, 1, 3, 1, false, true},  {20, 5, 3, 2, false, true},   {64, 4, 7, 3, false, true},
	{80, 1, 2, 0, false, true},  {144, 2, 3, 1, false, true},  {12, 3, 4, 3, true, true},
	{64, 16, 3, 0, true, true},  {18, 18, 3, 1, false, false}, {70, 70, 5, 4, true, false},
	{32, 2, 3, 1, false, false}, {24, 4, 31, 15, true, false}, {7, 1, 1, 0, false, true},
	{16, 1, 3, 5, false, true},  {64, 64, 2, 1, false, true},  {33, 1, 31, 30, false, false},
};
enum { NWindows = sizeof windows / sizeof *windows };

static void make_winconv(Family *f)
{
	char type[40], value[16];

	symbol(f, "b", 0);
	symbol(f, "t", 0);
	for (int i = 0; i < NWindows; i++) {
		const WinCase *c = &windows[i];
		param(f, "x%d: f32[b, t, %d]", i, c->channels);
		if (c->token)
			param(f, "w%d: f32[b, t, %d, %d]", i, c->heads, c->taps);
		else
			param(f, "w%d: f32[%d, %d]", i, c->heads, c->taps);
		line(f, "%%%d: f32[b, t, %d] = winconv %%x%d, %%w%d {heads=%d, pads_dim=[%d], map=%s}", i, c->channels,
		     i, i, c->heads, c->left, c->interleaved ? "interleaved" : "blocked");
		snprintf(type, sizeof type, "f32[b, t, %d]", c->channels);
		snprintf(value, sizeof value, "%%%d", i);
		result(f, value, type);
	}
}

/* Input and weights in other layouts: time first, channels first, taps before heads, the halves of a wider tensor. */
static void make_winconv_views(Family *f)
{
	symbol(f, "b", 0);
	symbol(f, "t", 0);
	param(f, "x: f32[t, b, 48]");
	param(f, "c: f32[b, 24, t]");
	param(f, "w: f32[t, b, 3, 2]");
	param(f, "v: f32[3, 24]");
	line(f, "%%x0: f32[b, t, 48] = transpose %%x {perm=[1, 0, 2]}");
	line(f, "%%x1: f32[b, t, 32] = slice %%x0 {starts=[0, 0, 16]}");
	line(f, "%%w0: f32[b, t, 2, 3] = transpose %%w {perm=[1, 0, 3, 2]}");
	line(f, "%%0: f32[b, t, 32] = winconv %%x1, %%w0 {heads=2, pads_dim=[2]}");
	result(f, "%0", "f32[b, t, 32]");
	line(f, "%%1: f32[b, t, 32] = winconv %%x1, %%w0 {heads=2, pads_dim=[1], map=interleaved}");
	result(f, "%1", "f32[b, t, 32]");
	line(f, "%%c0: f32[b, t, 24] = transpose %%c {perm=[0, 2, 1]}");
	line(f, "%%v0: f32[24, 3] = transpose %%v {perm=[1, 0]}");
	line(f, "%%2: f32[b, t, 24] = winconv %%c0, %%v0 {heads=24, pads_dim=[1]}");
	result(f, "%2", "f32[b, t, 24]");
	line(f, "%%s0: f32[b, t, 12] = slice %%c0 {starts=[0, 0, 0], steps=[1, 1, 2]}");
	line(f, "%%w1: f32[b, t, 2, 2] = slice %%w0 {starts=[0, 0, 0, 1]}");
	line(f, "%%3: f32[b, t, 12] = winconv %%s0, %%w1 {heads=2, pads_dim=[1]}");
	result(f, "%3", "f32[b, t, 12]");
}

/* Weights of each place of a plane, a line or a block: rows of outputs side by side, alone, at both edges; strides and dilations, some so wide
 * that code must not grow with them; channels of a head in whole and part vectors, one each, interleaved, symbolic; with epilogues. */
static void make_window_places(Family *f)
{
	symbol(f, "b", 0);
	symbol(f, "h", 0);
	symbol(f, "t", 0);
	symbol(f, "c", 0);
	param(f, "x: f32[b, h, t, 64]");
	param(f, "w: f32[b, h, t, 4, 3, 3]");
	param(f, "u: f32[b, h, t, 1, 5, 7]");
	param(f, "v: f32[b, h, t, 32, 3, 2]");
	param(f, "o: f32[b, h, t, 64, 1, 2]");
	param(f, "d: f32[b, (h + 1)/2, (t + 2)/3, 2, 3, 3]");
	param(f, "k: f32[8, 2, 3]");
	add_row(f, "f32[b, h, t, 64]", "winconv %x, %w {heads=4, pads_dim=[1, 1]}");
	add_row(f, "f32[b, h, t, 64]", "winconv %x, %u {heads=1, pads_dim=[2, 3]}");
	add_row(f, "f32[b, h, t, 64]", "winconv %x, %v {heads=32, pads_dim=[2, 0], map=interleaved}");
	add_row(f, "f32[b, h, t, 64]", "winconv %x, %o {heads=64, pads_dim=[0, 1]}");
	add_row(f, "f32[b, (h + 1)/2, (t + 2)/3, 64]", "winconv %x, %d {heads=2, pads_dim=[1, 1], strides=[2, 3]}");
	add_row(f, "f32[b, h, t, 64]", "winconv %x, %w {heads=4, pads_dim=[2, 3], dilations=[2, 3]}");
	add_row(f, "f32[b, h, t, 64]", "winconv %x, %w {heads=4, pads_dim=[-1, 100000000], dilations=[1, 100000000]}");
	add_row(f, "f32[b, h, t, 64]", "winconv %x, %w {heads=4, pads_dim=[h, 1], strides=[1000000000, 2]}");
	add_row(f, "f32[b, h + 1, t + 2, 64]", "winconv %x, %k {heads=8, pads_dim=[1, 2]}");
	/* a line; a block; widths that fill no vector, symbolic ones; taps that are a loop */
	param(f, "x1: f32[b, t, 20]");
	param(f, "w1: f32[b, (t + 1)/2, 2, 3]");
	param(f, "w17: f32[b, t, 1, 17]");
	param(f, "x3: f32[b, 2, h, t, 5]");
	param(f, "w3: f32[b, 2, h, t, 1, 2, 2, 2]");
	param(f, "xc: f32[b, h, t, 4*c]");
	add_row(f, "f32[b, (t + 1)/2, 20]", "winconv %x1, %w1 {heads=2, pads_dim=[1], strides=[2]}");
	add_row(f, "f32[b, t, 20]", "winconv %x1, %w17 {heads=1, pads_dim=[16], dilations=[2]}");
	add_row(f, "f32[b, 2, h, t, 5]", "winconv %x3, %w3 {heads=1, pads_dim=[0, 1, 1]}");
	add_row(f, "f32[b, h, t, 4*c]", "winconv %xc, %w {heads=4, pads_dim=[1, 1]}");
	/* other layouts, and what is computed behind the sums */
	param(f, "y: f32[b, 32, h, t]");
	param(f, "z: f32[b, 2, 9, h, t]");
	param(f, "g: f32[32]");
	line(f, "%%y0: f32[b, h, t, 32] = transpose %%y {perm=[0, 2, 3, 1]}");
	line(f, "%%z0: f32[b, h, t, 2, 9] = transpose %%z {perm=[0, 3, 4, 1, 2]}");
	line(f, "%%z1: f32[b, h, t, 2, 3, 3] = reshape %%z0");
	line(f, "%%z2: f32[b, h, t, 2, 3, 3] = transpose %%z1 {perm=[0, 1, 2, 3, 5, 4]}");
	line(f, "%%e0: f32[b, h, t, 32] = winconv %%y0, %%z2 {heads=2, pads_dim=[1, 1]}");
	line(f, "%%e1: f32[b, h, t, 32] = mul %%e0, %%g");
	line(f, "%%e2: f32[b, h, t, 32] = add %%e1, %%y0");
	line(f, "%%e3: f32[b, h, t, 32] = relu %%e2");
	result(f, "%e3", "f32[b, h, t, 32]");
	line(f, "%%f0: f32[b, h, t, 32] = winconv %%y0, %%z1 {heads=2, pads_dim=[1, 1], map=interleaved}");
	line(f, "%%f1: f32[b, h, t, 32] = silu %%f0");
	result(f, "%f1", "f32[b, h, t, 32]");
}

/* ---- attention --------------------------------------------------------------------------------------------------- */

static void add_attention(Family *f, const char *q, const char *kv, int heads, int width, const char *mask,
			  const char *attrs)
{
	char value[16], type[40];
	snprintf(value, sizeof value, "%%a%d", f->nline);
	snprintf(type, sizeof type, "f32[b, t, %d, %d]", heads, width);
	line(f, "%s: %s = attention %%%s, %%k%s, %%v%s, %s %s", value, type, q, kv, kv, mask, attrs);
	result(f, value, type);
	f->nline++;
}

static void make_attention(Family *f)
{
	symbol(f, "b", 0);
	symbol(f, "t", 0);
	symbol(f, "s", 0);
	param(f, "q: f32[b, t, 3, 5]");
	param(f, "k: f32[b, s, 3, 5]");
	param(f, "v: f32[b, s, 3, 7]");
	param(f, "qg: f32[b, t, 4, 16]");
	param(f, "kg: f32[b, s, 2, 16]");
	param(f, "vg: f32[b, s, 2, 33]");
	param(f, "m: f32[b, 1, t, s]");
	param(f, "km: bool[b, 1, 1, s]");
	param(f, "bm: bool[1, 3, t, s]");
	param(f, "hm: f32[1, 3, 1, 1]");
	param(f, "tm: f32[s, t]");
	param(f, "sm: f32[b, 1, 1, s]");
	param(f, "packed: f32[t, b, 45]");
	add_attention(f, "q", "", 3, 7, "_", "{scale=0.5}");
	add_attention(f, "q", "", 3, 7, "%m", "{scale=0.447}");
	add_attention(f, "q", "", 3, 7, "%km", "");
	add_attention(f, "q", "", 3, 7, "%km", "{zero_masked=1}");
	add_attention(f, "q", "", 3, 7, "%bm", "{zero_nan=1, scale=2}");
	line(f, "%%nan: f32[1, 3, 1, 1] = sqrt %%hm"); /* of some heads */
	add_attention(f, "q", "", 3, 7, "%nan", "{zero_masked=1}");
	add_attention(f, "q", "", 3, 7, "%nan", "{zero_nan=1}");
	add_attention(f, "q", "", 3, 7, "_", "{right=0}");
	add_attention(f, "q", "", 3, 7, "%bm", "{right=0, zero_masked=1}");
	add_attention(f, "q", "", 3, 7, "_", "{left=3}");
	add_attention(f, "q", "", 3, 7, "%km", "{left=2, right=1, zero_masked=1}");
	add_attention(f, "qg", "g", 4, 33, "_", "{left=0, right=0, zero_nan=1}");
	add_attention(f, "q", "", 3, 7, "%hm", "");
	add_attention(f, "q", "", 3, 7, "_", "{softcap=0.75}");
	add_attention(f, "q", "", 3, 7, "%m", "{scale=3, softcap=1.5}");
	add_attention(f, "q", "", 3, 7, "%bm", "{fill=-1.25}");
	add_attention(f, "qg", "g", 4, 33, "%sm", "{right=0, softcap=2}");
	add_attention(f, "qg", "g", 4, 33, "_", "{scale=0.25, right=0, zero_nan=1}");
	add_attention(f, "qg", "g", 4, 33, "%sm", "{scale=0.25}");
	line(f, "%%v_nan: f32[b, s, 3, 7] = sqrt %%v"); /* every second; it concerns the rows that see it */
	line(f, "%%relu: f32[b, s, 3, 7] = relu %%v");
	line(f, "%%v_inf: f32[b, s, 3, 7] = recip %%relu");
	add_row(f, "f32[b, t, 3, 7]", "attention %q, %k, %v_nan, _ {left=0, right=0}");
	add_row(f, "f32[b, t, 3, 7]", "attention %q, %k, %v_nan, _ {left=2, right=-1}");
	add_row(f, "f32[b, t, 3, 7]", "attention %q, %k, %v_inf, _ {right=0, zero_nan=1}");
	add_row(f, "f32[b, t, 3, 7]", "attention %q, %k, %v_inf, %km {left=1, right=1, zero_masked=1}");
	line(f, "%%tm1: f32[t, s] = transpose %%tm {perm=[1, 0]}");
	line(f, "%%tm2: f32[1, 1, t, s] = reshape %%tm1");
	add_attention(f, "q", "", 3, 7, "%tm2", "");
	line(f, "%%p0: f32[t, b, 3, 3, 5] = reshape %%packed");
	line(f, "%%p1: f32[3, b, t, 3, 5] = transpose %%p0 {perm=[2, 1, 0, 3, 4]}");
	for (int i = 0; i < 3; i++) {
		line(f, "%%%cp0: f32[1, b, t, 3, 5] = slice %%p1 {starts=[%d, 0, 0, 0, 0]}", "qkv"[i], i);
		line(f, "%%%cp: f32[b, t, 3, 5] = reshape %%%cp0", "qkv"[i], "qkv"[i]);
	}
	add_attention(f, "qp", "p", 3, 5, "_", "{scale=0.5}");
	param(f, "q64: f64[b, t, 4, 5]");
	param(f, "k64: f64[b, s, 2, 5]");
	param(f, "v64: f64[b, s, 2, 3]");
	param(f, "m64: f64[t, s]");
	param(f, "b64: bool[b, 4, t, s]");
	add_row(f, "f64[b, t, 4, 3]", "attention %q64, %k64, %v64, _ {scale=0.5, softcap=2, left=2, right=0}");
	add_row(f, "f64[b, t, 4, 3]", "attention %q64, %k64, %v64, %m64 {right=1, zero_nan=1}");
	add_row(f, "f64[b, t, 4, 3]", "attention %q64, %k64, %v64, %b64 {zero_masked=1}");
	add_row(f, "f64[b, t, 4, 3]", "attention %q64, %k64, %v64, %b64 {fill=-2}");
	add_row(f, "f64[b, t, 4, 4]", "attention %q64, %k64, %v64, %b64 {lse=1}");
	add_row(f, "f64[b, t, 4, 4]", "attention %q64, %k64, %v64, %m64 {lse=1, scale=2, right=0, zero_nan=1}");
	add_row(f, "f32[b, t, 3, 8]", "attention %q, %k, %v, _ {lse=1, scale=30}");
	add_row(f, "f32[b, t, 3, 8]", "attention %q, %k, %v, %km {lse=1}");
	line(f, "%%seen: bool[b, 1, 1, s] = not %%km");
	line(f, "%%none: bool[b, 1, 1, s] = and %%km, %%seen");
	line(f, "%%low: f32[b, t, 3, 8] = attention %%q, %%k, %%v, %%none {lse=1, fill=-1e9}");
	add_row(f, "f32[b, t, 3, 7]", "slice %low {starts=[0, 0, 0, 0]}"); /* beside -1e9 any error would be small */
	add_row(f, "f32[b, t, 3, 8]", "attention %q, %k, %v, %bm {lse=1, fill=-40000, right=0}");
	add_row(f, "f32[b, t, 3, 8]", "attention %q, %k, %v, %bm {lse=1, zero_masked=1}");
	add_row(f, "f32[b, t, 3, 8]", "attention %q, %k, %v, %nan {lse=1, left=3, zero_nan=1}");
	add_row(f, "f32[b, t, 4, 34]", "attention %qg, %kg, %vg, %sm {lse=1, right=0, softcap=2}");
}

/* Masks that hide whole panels from whole tiles, in one run or in several, from some queries or from all; values that are not
 * finite behind them. */
static void make_masks(Family *f)
{
	static const char *const fills[] = {"-inf", "-3e38", "-100", "-1.25", "3"};
	symbol(f, "b", 0);
	symbol(f, "t", 0);
	symbol(f, "s", 0);
	param(f, "q: f32[b, t, 3, 5]");
	param(f, "k: f32[b, s, 3, 5]");
	param(f, "v: f32[b, s, 3, 7]");
	param(f, "m: f32[b, 1, t, s]");
	param(f, "bm: bool[b, 3, t, s]");
	add_text(&f->consts, "const @c2: i64[1] = [2]\nconst @c3: i64[1] = [3]\nconst @c4: i64[1] = [4]\nconst @c32: i64[1] = [32]\n"
	                     "const @c33: i64[1] = [33]\nconst @c40: i64[1] = [40]\nconst @none: f32[] = [-inf]\nconst @one: f32[] = [1]\n");
	line(f, "%%iq0: i64[t] = iota");
	line(f, "%%iq: i64[1, 1, t, 1] = reshape %%iq0");
	line(f, "%%ik0: i64[s] = iota");
	line(f, "%%ik: i64[1, 1, 1, s] = reshape %%ik0");
	line(f, "%%d: i64[1, 1, t, s] = sub %%ik, %%iq");
	line(f, "%%ad: i64[1, 1, t, s] = abs %%d");
	line(f, "%%band: bool[1, 1, t, s] = le %%ad, @c4");
	line(f, "%%gk: bool[1, 1, 1, s] = lt %%ik, @c2");
	line(f, "%%gq: bool[1, 1, t, 1] = lt %%iq, @c2");
	line(f, "%%bk: bool[1, 1, t, s] = or %%band, %%gk");
	line(f, "%%bg: bool[1, 1, t, s] = or %%bk, %%gq"); /* band, and the first of both see and are seen */
	line(f, "%%fq: i64[1, 1, t, 1] = sub %%iq, @c40");
	line(f, "%%far: bool[1, 1, t, s] = lt %%ik, %%fq"); /* nothing for many queries */
	line(f, "%%len: bool[1, 1, 1, s] = lt %%ik, @c33");
	line(f, "%%pk: i64[1, 1, 1, s] = idiv %%ik, @c32");
	line(f, "%%p3: i64[1, 1, 1, s] = imod %%pk, @c3");
	line(f, "%%third: bool[1, 1, 1, s] = eq %%p3, @c2"); /* panels 2, 5, 8 */
	line(f, "%%rare: bool[b, 3, t, s] = and %%band, %%bm");
	line(f, "%%v_nan: f32[b, s, 3, 7] = sqrt %%v");
	line(f, "%%k_nan: f32[b, s, 3, 5] = sqrt %%k");
	line(f, "%%relu: f32[b, s, 3, 7] = relu %%v");
	line(f, "%%v_inf: f32[b, s, 3, 7] = recip %%relu");
	line(f, "%%fm: f32[b, 1, t, s] = where %%bg, %%m, @none");
	line(f, "%%ff: f32[1, 1, t, s] = where %%far, @one, @none");
	static const char *const masks[] = {"bg", "far", "len", "third", "rare"};
	for (int i = 0; i < 10; i++) {
		char node[120];
		snprintf(node, sizeof node, "attention %%q, %%k, %%%s, %%%s {fill=%s}", i % 2 ? "v" : "v_inf", masks[i % 5], fills[(i + i / 5) % 5]);
		add_row(f, "f32[b, t, 3, 7]", node);
	}
	line(f, "%%kl: f32[b, 3*s, 1, 5] = reshape %%k"); /* the same rows, as more keys of one head */
	line(f, "%%vl: f32[b, 3*s, 1, 7] = reshape %%v");
	line(f, "%%ql: f32[b, 3*t, 1, 5] = reshape %%q");
	add_row(f, "f32[b, 3*t, 1, 7]", "attention %ql, %kl, %vl, _");
	line(f, "%%rl: bool[b, 1, 3*t, s] = reshape %%rare"); /* the same mask, as more queries of one head */
	line(f, "%%k0: f32[b, s, 1, 5] = slice %%k {starts=[0, 0, 1, 0]}");
	line(f, "%%v0: f32[b, s, 1, 7] = slice %%v {starts=[0, 0, 1, 0]}");
	add_row(f, "f32[b, 3*t, 1, 7]", "attention %ql, %k0, %v0, %rl");
	add_row(f, "f32[b, t, 3, 7]", "attention %q, %k_nan, %v, %bg");
	add_row(f, "f32[b, t, 3, 7]", "attention %q, %k_nan, %v_nan, %fm");
	add_row(f, "f32[b, t, 3, 7]", "attention %q, %k, %v_nan, %rare {zero_nan=1}");
	add_row(f, "f32[b, t, 3, 7]", "attention %q, %k, %v, %far {zero_masked=1}");
	add_row(f, "f32[b, t, 3, 7]", "attention %q, %k, %v_inf, %ff {zero_nan=1}");
	add_row(f, "f32[b, t, 3, 7]", "attention %q, %k, %v_inf, %third {right=0, zero_nan=1}");
	add_row(f, "f32[b, t, 3, 7]", "attention %q, %k, %v_inf, %bg {left=3, right=2}");
	add_row(f, "f32[b, t, 3, 7]", "attention %q, %k, %v_nan, %third {left=40, right=33, fill=-3e38}");
	add_row(f, "f32[b, t, 3, 8]", "attention %q, %k, %v, %far {lse=1}");
	add_row(f, "f32[b, t, 3, 8]", "attention %q, %k, %v, %third {lse=1, fill=-90}");
	add_row(f, "f32[b, t, 3, 8]", "attention %q, %k, %v_inf, %bg {lse=1, fill=-100000, zero_nan=1}");
}

/* Batches that see several batches of keys, with masks, windows and values that are not finite. */
static void make_chunks(Family *f)
{
	symbol(f, "b", 0);
	symbol(f, "t", 0);
	param(f, "q: f32[3*b, t, 2, 5]");
	param(f, "k: f32[4*b, 32, 1, 5]");
	param(f, "v: f32[4*b, 32, 1, 33]");
	param(f, "one: f32[3*b, 64, 2, 5]");
	param(f, "mask: bool[3*b, 1, t, 64]");
	param(f, "bias: f32[t, 96]");
	add_row(f, "f32[3*b, t, 2, 33]", "attention %q, %k, %v, _ {chunks=[3, 4], shifts=[3, 0]}");
	add_row(f, "f32[3*b, t, 2, 33]", "attention %q, %k, %v, %mask {chunks=[3, 4], shifts=[0, 1], fill=-3}");
	add_row(f, "f32[3*b, t, 2, 34]", "attention %q, %k, %v, %mask {chunks=[3, 4], shifts=[2, 1], lse=1}");
	add_row(f, "f32[3*b, t, 2, 33]", "attention %q, %k, %v, %bias {chunks=[3, 4], shifts=[0, 1, 2], left=40, right=70}");
	add_row(f, "f32[3*b, t, 2, 33]", "attention %q, %k, %v, _ {chunks=[3, 4], shifts=[1]}");
	line(f, "%%v_nan: f32[4*b, 32, 1, 33] = sqrt %%v");
	add_row(f, "f32[3*b, t, 2, 33]", "attention %q, %k, %v_nan, %mask {chunks=[3, 4], shifts=[2, 2], zero_masked=1}");
	line(f, "%%relu: f32[4*b, 32, 1, 33] = relu %%v");
	line(f, "%%v_inf: f32[4*b, 32, 1, 33] = recip %%relu");
	add_row(f, "f32[3*b, t, 2, 33]", "attention %q, %k, %v_inf, _ {chunks=[3, 4], shifts=[3, 1, 0], right=40, left=3}");
	line(f, "%%k2: f32[2*b, 32, 1, 5] = slice %%k {starts=[0, 0, 0, 0]}"); /* more queries than keys */
	line(f, "%%v2: f32[2*b, 32, 1, 33] = slice %%v {starts=[0, 0, 0, 0]}");
	add_row(f, "f32[3*b, t, 2, 33]", "attention %q, %k2, %v2, _ {chunks=[3, 2]}");
	line(f, "%%few: f32[3*b, 1, 2, 5] = slice %%one {starts=[0, 3, 0, 0]}"); /* queries that other attentions look at one by one */
	add_row(f, "f32[3*b, 1, 2, 33]", "attention %few, %k, %v, _ {chunks=[3, 4], shifts=[3, 0]}");
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static void make_rows(Family *f)
{
	symbol(f, "a", 0);
	symbol(f, "c", 0);
	param(f, "x: f32[a, 3, c]");
	param(f, "g: f32[c]");
	param(f, "z: f32[c]");
	param(f, "g2: f32[3, c]");
	param(f, "n: f32[a, c]");
	param(f, "sx: f32[a, 3, c]");
	add_row(f, "f32[a, 3, c]", "softmax %sx {axis=2}");
	add_row(f, "f32[a, 3, c]", "softmax %x {axis=2}");
	add_row(f, "f32[a, 3, c]", "softmax %x {axis=1}");
	add_row(f, "f32[a, 3, c]", "softmax %x {axis=0}");
	add_row(f, "f32[a, 3, c]", "norm %x, %g, %z {axis=2}");
	add_row(f, "f32[a, 3, c]", "norm %x, %g, _ {axis=2, eps=0.1}");
	add_row(f, "f32[a, 3, c]", "norm %x, _, _ {axis=2}");
	add_row(f, "f32[a, 3, c]", "norm %x, %g2, %g2 {axis=1}");
	add_row(f, "f32[a, 3, c]", "norm %x, _, _ {axis=0}");
	add_row(f, "f32[a, 3, c]", "rmsnorm %x, %g {axis=2}");
	add_row(f, "f32[a, 3, c]", "rmsnorm %x, %g2 {axis=1, eps=0.01}");
	add_row(f, "f32[a, 3, c]", "rmsnorm %x, _ {axis=2}");
	line(f, "%%xt: f32[c, 3, a] = transpose %%x {perm=[2, 1, 0]}");
	add_row(f, "f32[c, 3, a]", "softmax %xt {axis=0}");
	add_row(f, "f32[c, 3, a]", "softmax %xt {axis=2}");
	line(f, "%%xp: f32[a, c, 3] = transpose %%x {perm=[0, 2, 1]}");
	line(f, "%%xe: f32[a, c, 3] = expand %%xp");
	add_row(f, "f32[a, c, 3]", "norm %xe, _, _ {axis=2}");
	line(f, "%%n1: f32[a, 1, c] = reshape %%n");
	line(f, "%%ne: f32[a, 3, c] = expand %%n1");
	add_row(f, "f32[a, 3, c]", "softmax %ne {axis=1}");
	add_row(f, "f32[a, 3, c]", "norm %ne, %g, %z {axis=2}");
	param(f, "x64: f64[a, 3, c]");
	param(f, "g64: f64[c]");
	param(f, "s64: f64[a, 3, c]");
	add_row(f, "f64[a, 3, c]", "softmax %s64 {axis=2}");
	add_row(f, "f64[a, 3, c]", "softmax %x64 {axis=0}");
	add_row(f, "f64[a, 3, c]", "norm %x64, %g64, %g64 {axis=2, eps=0.1}");
	add_row(f, "f64[a, 3, c]", "rmsnorm %x64, _ {axis=1}");
}

static void make_reductions(Family *f)
{
	static const char *const kinds[] = {"sum", "mean", "reduce_max", "reduce_min"};
	static const struct {
		const char *axes, *kept, *dropped;
	} shapes[] = {
		{"2", "a, 3, 1", "a, 3"}, {"1", "a, 1, c", "a, c"}, {"0", "1, 3, c", "3, c"}, {"0, 2", "1, 3, 1", "3"},
		{"1, 2", "a, 1, 1", "a"}, {"0, 1, 2", "1, 1, 1", ""},
	};
	char type[40], node[64];

	symbol(f, "a", 1);
	symbol(f, "c", 1);
	param(f, "x: f32[a, 3, c]");
	param(f, "sx: f32[a, 3, c]");
	for (int k = 0; k < 4; k++)
		for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
			bool keep = (s + (size_t)k) % 2;
			snprintf(type, sizeof type, "f32[%s]", keep ? shapes[s].kept : shapes[s].dropped);
			snprintf(node, sizeof node, "%s %%%s {axes=[%s], keepdims=%d}", kinds[k],
				 k < 2 || s % 2 ? "x" : "sx", shapes[s].axes, keep);
			add_row(f, type, node);
		}
	param(f, "xl: f32[a, 130, 24]"); /* columns: part of a vector, more than one run */
	param(f, "xw: f32[a, 3, 128]");
	add_row(f, "f32[a, 24]", "mean %xl {axes=[1]}");
	add_row(f, "f32[24]", "sum %xl {axes=[0, 1]}");
	add_row(f, "f32[3, 128]", "reduce_max %xw {axes=[0]}");
	add_row(f, "f32[a, 1, 128]", "sum %xw {axes=[1], keepdims=1}");
	static const char *const ints[] = {"i8", "i16", "i32", "i64", "u8", "f64"};
	for (int d = 0; d < 6; d++) {
		param(f, "%s.x: %s[a, c]", ints[d], ints[d]);
		snprintf(type, sizeof type, "%s[a]", ints[d]);
		for (int k = 0; k < 4; k++) {
			if (k == 1 && d != 5)
				continue;
			snprintf(node, sizeof node, "%s %%%s.x {axes=[1]}", kinds[k], ints[d]);
			add_row(f, type, node);
		}
	}
}

/* A reduction of what elementwise nodes in front of it compute: `made` is their lines, the last of them %eN. */
static void add_made(Family *f, const char *made, const char *kind, const char *axes, const char *type)
{
	const int id = f->nline++;
	char value[16];

	snprintf(value, sizeof value, "%%o%d", id);
	line(f, "%s: %s = group {", value, type);
	line(f, made, id, id, id, id);
	line(f, "%%r%d: %s = %s %%e%d {axes=[%s]}\nyield %%r%d\n}", id, type, kind, id, axes, id);
	result(f, value, type);
}

static void make_made_reductions(Family *f)
{
	static const char *const kinds[] = {"sum", "mean", "reduce_max", "reduce_min"};
	static const char *const made[] = {
		"%%e%d: f32[a, 3, c] = mul %%x, %%y", /* one of all axes, one broadcast */
		"%%f%d: f32[a, 3, c] = sub %%x, %%z\n%%e%d: f32[a, 3, c] = mul %%f%d, %%f%d",
		"%%f%d: f32[a, 3, c] = mul %%turned, %%x\n%%e%d: f32[a, 3, c] = add %%f%d, %%z",
		"%%e%d: f32[a, 3, c] = add %%v, %%z", /* none of all axes */
	};
	static const struct {
		const char *axes, *kept;
	} shapes[] = {{"2", "f32[a, 3]"}, {"1", "f32[a, c]"}, {"0", "f32[3, c]"}, {"0, 2", "f32[3]"}, {"1, 2", "f32[a]"}, {"0, 1, 2", "f32[]"}};

	symbol(f, "a", 0);
	symbol(f, "c", 0);
	param(f, "x: f32[a, 3, c]");
	param(f, "y: f32[1, c]");
	param(f, "z: f32[a, 1, 1]");
	param(f, "v: f32[3, c]");
	param(f, "t: f32[c, a, 3]");
	param(f, "i: i32[a, 3, c]");
	add_text(&f->consts, "const @k: i32[] = [100]\n");
	line(f, "%%turned: f32[a, 3, c] = view %%t {strides_dim=[3, 1, 3*a]}");
	for (int i = 0; i < 4; i++)
		for (int s = 0; s < 6; s++)
			add_made(f, made[i], kinds[(i + s) % 4], shapes[s].axes, shapes[s].kept);
	add_made(f, "%%f%d: bool[a, 3, c] = lt %%x, %%z\n%%e%d: i32[a, 3, c] = where %%f%d, %%i, @k", "sum", "2", "i32[a, 3]");
	add_made(f, "%%f%d: bool[a, 3, c] = lt %%x, %%z\n%%e%d: i32[a, 3, c] = where %%f%d, %%i, @k", "reduce_min", "0, 1", "i32[c]");
	add_made(f, "%%e%d: f32[a, 3, c] = mul %%x, %%y\n%%d%d: f32[a, 3, c] = neg %%x", "sum", "2", "f32[a, 3]"); /* who needs %d? */
}

/* Quantising, by products for a division (passes/levels.c): of the numbers around those where a level begins, and of those that are no levels. */
static void make_levels(Family *f)
{
	static const struct {
		const char *scale, *zero, *bounds, *type;
	} forms[] = {
		{"0.02", "0", "lo=0, hi=255", "u8"}, {"0.33333334", "128", "lo=0, hi=255", "u8"}, {"0.0078740157", "0", "lo=-128, hi=127", "i8"},
		{"0.5", "-3", "lo=-128, hi=127", "i8"}, {"1.17e-5", "7", "lo=0, hi=15", "u8"}, {"1234.567", "100", "lo=-32768, hi=32767", "i16"},
		{"0.1", "0", "lo=3, hi=200", "u8"}, /* NaN would be 3 */ {"-0.1", "0", "lo=0, hi=255", "u8"}, {"1e-45", "0", "lo=0, hi=255", "u8"},
		{"0.7", "0.5", "lo=0, hi=255", "u8"}, {"3e38", "1", "lo=0, hi=255", "u8"}, {"0.3", "0", "lo=-0.5, hi=255", "u8"},
	};

	symbol(f, "a", 0);
	symbol(f, "c", 0);
	param(f, "x: f32[a, c]");
	add_text(&f->consts, "const @half: f32[] = [0.5]\nconst @one: f32[] = [1]\n");
	line(f, "%%i: i32[a] = iota {start=-260}\n%%k: i32[a, 1] = reshape %%i\n%%f: f32[a, 1] = cast %%k\n%%h: f32[a, 1] = add %%f, @half");
	line(f, "%%j: i32[c] = iota {start=-4}");
	line(f, "%%l: f32[a, c] = log %%x\n%%zero: f32[a, c] = sub %%x, %%x\n%%far: f32[a, c] = div %%x, %%zero");
	for (int i = 0; i < (int)(sizeof forms / sizeof *forms); i++) {
		char value[32], type[16];
		snprintf(type, sizeof type, "%s[a, c]", forms[i].type);
		add_text(&f->consts, "const @s%d: f32[] = [%s]\nconst @z%d: f32[] = [%s]\n", i, forms[i].scale, i, forms[i].zero);
		line(f, "%%m%d: f32[a, 1] = mul %%h, @s%d\n%%b%d: i32[a, 1] = bitcast %%m%d", i, i, i, i);
		line(f, "%%o%d: i32[a, c] = add %%b%d, %%j\n%%x%d: f32[a, c] = bitcast %%o%d", i, i, i, i);
		for (int from = 0; from < 3; from++) { /* NaN and infinities are in %far */
			const char *const x[] = {"x", "l", "far"};
			line(f, "%%q%d.%d: f32[a, c] = div %%%s%.*d, @s%d", i, from, x[from], from ? 0 : 1, from ? 0 : i, i);
			line(f, "%%r%d.%d: f32[a, c] = round %%q%d.%d\n%%t%d.%d: f32[a, c] = add %%r%d.%d, @z%d", i, from, i, from, i, from, i, from, i);
			line(f, "%%u%d.%d: f32[a, c] = clip %%t%d.%d {%s}\n%%y%d.%d: %s = cast %%u%d.%d", i, from, i, from, forms[i].bounds, i, from, type, i, from);
			snprintf(value, sizeof value, "%%y%d.%d", i, from);
			result(f, value, type);
		}
	}
}

/* Tensors without elements, whose other sizes may be anything: nobody goes through rows of nothing. */
static void make_nothing(Family *f)
{
	symbol(f, "a", 0);
	symbol(f, "b", 0);
	symbol(f, "c", 0);
	param(f, "x: f32[a, b, c]");
	param(f, "z: f32[a, c, c]");
	param(f, "n: i32[a, b, c]");
	param(f, "k: i32[a, c, c]");
	param(f, "i1: i64[a, b, c]");
	add_row(f, "f32[a, b, c]", "softmax %x {axis=2}");
	add_row(f, "f32[a, b, c]", "softmax %x {axis=1}");
	add_row(f, "f32[a, b, c]", "norm %x, _, _ {axis=2}");
	add_row(f, "f32[a, b, c]", "rmsnorm %x, _ {axis=1}");
	add_row(f, "f32[a, b, c]", "cumsum %x {axis=2}");
	add_row(f, "f32[a, b, c]", "cumsum %x {axis=1}");
	add_row(f, "f32[]", "sum %x {axes=[0, 1, 2]}");
	add_row(f, "f32[a, c]", "mean %x {axes=[1]}");
	add_row(f, "f32[a, b, c]", "matmul %x, %z");
	add_row(f, "i32[a, b, c]", "matmul %n, %k");
	add_row(f, "f32[a, b, c]", "pool %x {kernel=[3], pads_dim=[1]}");
	add_row(f, "f32[2, a, b, c]", "dft %x, _, _ {axis=2}");
	add_row(f, "f32[a, b, c]", "scatter_elements %x, %i1, %x {axis=2}");
}

/* Sums of nothing. */
static void make_empty_sums(Family *f)
{
	symbol(f, "a", 0);
	symbol(f, "c", 0);
	param(f, "x: f32[a, c]");
	param(f, "i: i64[a, c]");
	add_row(f, "f32[a]", "sum %x {axes=[1]}");
	add_row(f, "f32[1, c]", "sum %x {axes=[0], keepdims=1}");
	add_row(f, "i64[c]", "sum %i {axes=[0]}");
	add_row(f, "f32[]", "sum %x {axes=[0, 1]}");
	add_row(f, "f32[a, c]", "sum %x");
	add_row(f, "f32[a, c]", "reduce_max %x {keepdims=1}");
	add_row(f, "i64[a, c]", "reduce_min %i");
	line(f, "%%all: f32[] = sum %%x {axes=[0, 1]}");
	add_row(f, "f32[]", "mean %all");
}

/* Along every axis, over views too; integers wrap, so every order of additions gives the same. */
static void make_cumsum(Family *f)
{
	static const char *const types[] = {"f32", "f64", "i64", "i32", "i8", "u8"};
	static const char *const ways[] = {"", ", exclusive=1", ", reverse=1", ", exclusive=1, reverse=1"};
	char type[40], node[64];

	symbol(f, "a", 0);
	symbol(f, "c", 0);
	for (size_t d = 0; d < sizeof types / sizeof *types; d++) {
		snprintf(type, sizeof type, "%s[a, 3, c]", types[d]);
		param(f, "%s.x: %s", types[d], type);
		for (int axis = 0; axis < 3; axis++) {
			snprintf(node, sizeof node, "cumsum %%%s.x {axis=%d%s}", types[d], axis, ways[(d + (size_t)axis) % 4]);
			add_row(f, type, node);
		}
	}
	add_row(f, "i32[a, 3, c]", "cumsum %i32.x {axis=0, product=1}");
	add_row(f, "u8[a, 3, c]", "cumsum %u8.x {axis=2, exclusive=1, product=1}");
	line(f, "%%xt: f32[c, 3, a] = transpose %%f32.x {perm=[2, 1, 0]}");
	add_row(f, "f32[c, 3, a]", "cumsum %xt {axis=0, reverse=1}");
	add_row(f, "f32[c, 3, a]", "cumsum %xt {axis=2, exclusive=1}");
	param(f, "row: i64[a, 1, 1, c]");
	add_row(f, "i64[a, 1, 1, c]", "cumsum %row {axis=0}");
	param(f, "column: i64[a, c, 1]");
	add_row(f, "i64[a, c, 1]", "cumsum %column {axis=1}");
	line(f, "%%wide: i64[a, c, 5] = expand %%column");
	add_row(f, "i64[a, c, 5]", "cumsum %wide {axis=1}");
}

/* ---- elementwise ------------------------------------------------------------------------------------------------- */

/* Compiles or not: operators that do not take a dtype, and those that have no schedule for it. */
static bool is_supported(const char *op, int nin, const char *in, const char *out)
{
	Family f = {.name = "probe"};
	jmp_buf recover;
	const Target *one = &targets[0];
	PassOptions passes = {.bisect_limit = -1, .ntarget = 1, .target = &one};
	Module *volatile m = NULL;
	volatile bool good = true;
	FILE *null = fopen("/dev/null", "w");
	char node[80], type[16];

	snprintf(type, sizeof type, "%s[4]", out);
	snprintf(node, sizeof node, "%s %s%%x%s%s", op, nin == 3 ? "%c, " : "", nin > 1 ? ", %x" : "",
		 !strcmp(op, "clip") ? " {lo=1}" : "");
	param(&f, "x: %s[4]", in);
	param(&f, "c: bool[4]");
	add_row(&f, type, node);
	char *text = family_text(&f);
	diag_stream = null;
	if (!setjmp(recover)) {
		diag_recover = &recover;
		m = parse_module("probe", text);
		run_passes(m, &passes);
	} else {
		good = false;
	}
	diag_recover = NULL;
	diag_stream = NULL;
	diag_reset();
	fclose(null);
	free(text);
	free_module(m);
	free(f.params.s);
	free(f.body.s);
	free(f.results.s);
	free(f.yields.s);
	return good;
}

static const char *family_dtype;

/* The evaluator and the schedules both give integers for any bits, so values matter for floats only. */
static const char *operand_of(Op op)
{
	switch (op) {
	case OpSqrt: case OpLog: case OpRecip: case OpDiv: return "p";
	case OpSin: case OpCos: case OpPow: return "x";
	default: return "s";
	}
}

static void make_ewise(Family *f)
{
	char type[40], node[96], out[24];

	symbol(f, "n", 0);
	param(f, "x: %s[n]", family_dtype);
	param(f, "s: %s[n]", family_dtype);
	param(f, "p: %s[n]", family_dtype);
	param(f, "c: bool[n]");
	for (Op op = 0; op < NOps; op++) {
		if (ops[op].cls != ClsEwise || op == OpCast || op == OpIdentity)
			continue;
		bool to_bool = op == OpEq || op == OpLt || op == OpLe || op == OpIsNaN;
		snprintf(out, sizeof out, "%s", to_bool ? "bool" : family_dtype);
		if (!is_supported(ops[op].text, ops[op].nin, family_dtype, out))
			continue;
		snprintf(type, sizeof type, "%s[n]", out);
		const char *a = operand_of(op), *second = op == OpPow ? "x" : op == OpDiv ? "p" : "x";
		snprintf(node, sizeof node, "%s %s%%%s%s%s%s", ops[op].text, ops[op].nin == 3 ? "%c, " : "", op == OpPow ? "p" : a,
		         ops[op].nin > 1 ? ", %" : "", ops[op].nin > 1 ? second : "", op != OpClip ? "" : *family_dtype == 'f' ? " {lo=-0.5, hi=3}" : " {hi=3}");
		add_row(f, type, node);
	}
	for (int to = 0; to < NDTypes; to++) {
		snprintf(node, sizeof node, "cast %%%s", strcmp(family_dtype, "f32") ? "x" : "s");
		snprintf(type, sizeof type, "%s[n]", dtypes[to].text);
		if (strcmp(dtypes[to].text, family_dtype) && is_supported("cast", 1, family_dtype, dtypes[to].text))
			add_row(f, type, node);
	}
}

static void make_broadcast(Family *f)
{
	symbol(f, "a", 0);
	symbol(f, "c", 0);
	param(f, "x: f32[a, 3, c]");
	param(f, "r: f32[c]");
	param(f, "k: f32[3, 1]");
	param(f, "l: f32[a, 1, 1]");
	param(f, "s: f32[]");
	param(f, "t: f32[c, 3, a]");
	param(f, "w: f32[a, c]");
	param(f, "b: bool[a, 1, c]");
	param(f, "o: f32[1, c]");
	param(f, "i: i64[a, 1, c]");
	add_row(f, "f32[a, 3, c]", "add %x, %r");
	add_row(f, "f32[a, 3, c]", "mul %x, %k");
	add_row(f, "f32[a, 3, c]", "sub %l, %x");
	add_row(f, "f32[a, 3, c]", "max %s, %x");
	add_row(f, "f32[3, c]", "add %k, %r");
	line(f, "%%tt: f32[a, 3, c] = transpose %%t {perm=[2, 1, 0]}");
	add_row(f, "f32[a, 3, c]", "add %tt, %x");
	add_row(f, "f32[a, 3, c]", "where %b, %x, %tt");
	line(f, "%%w1: f32[a, 1, c] = reshape %%w");
	add_row(f, "f32[a, 3, c]", "mul %w1, %x");
	line(f, "%%e: f32[a, 3, c] = expand %%w1");
	add_row(f, "f32[a, 3, c]", "exp %e");
	line(f, "%%rev: f32[a, 3, c] = slice %%x {starts=[0, 0, c - 1], steps=[1, 1, -1]}");
	add_row(f, "f32[a, 3, c]", "neg %rev");
	line(f, "%%g1: f32[a, 3, c] = tanh %%x");
	line(f, "%%g2: f32[a, 3, c] = mul %%g1, %%k");
	line(f, "%%g3: f32[a, 3, c] = add %%g2, %%g1");
	line(f, "%%g4: f32[a, 3, c] = sub %%g3, %%r");
	result(f, "%g4", "f32[a, 3, c]");
	line(f, "%%i1: f32[a, 1, c] = cast %%i");
	add_row(f, "f32[a, 3, c]", "add %i1, %x");
	add_row(f, "f32[c, 3, a]", "identity %t");
	add_row(f, "f32[a, 3, c]", "identity %tt");
	add_row(f, "f32[]", "exp %s");
}

/* Parts of tensors that are all of another size: two strides and a base each. */
static void make_many_dims(Family *f)
{
	enum { Operands = 20, Epilogues = 15 };
	char sum[16] = "%s0";

	symbol(f, "a", 0);
	symbol(f, "c", 0);
	weights(f, "w", "4, 4", 16);
	for (int i = 0; i < Operands; i++) {
		param(f, "x%d: f32[a, c + %d, 2*c + %d]", i, i + 1, i + 5);
		line(f, "%%s%d: f32[a, c, 4] = slice %%x%d {starts=[0, 1, c + %d]}", i, i, i);
	}
	for (int i = 1; i < Operands; i++) {
		line(f, "%%e%d: f32[a, c, 4] = %s %s, %%s%d", i, i % 2 ? "sub" : "add", sum, i);
		snprintf(sum, sizeof sum, "%%e%d", i);
	}
	result(f, sum, "f32[a, c, 4]");
	line(f, "%%p0: f32[a, c, 4] = matmul %%s3, %%w");
	for (int i = 1; i <= Epilogues; i++)
		line(f, "%%p%d: f32[a, c, 4] = sub %%s%d, %%p%d", i, i + 3, i - 1);
	result(f, "%p15", "f32[a, c, 4]");
}

/* ---- data movement ----------------------------------------------------------------------------------------------- */

static void make_moves(Family *f)
{
	char type[32], node[64];

	symbol(f, "a", 1);
	symbol(f, "c", 1);
	param(f, "x: f32[a, c]");
	param(f, "y: f32[a, 5]");
	param(f, "z: f32[3, c]");
	param(f, "i: i64[a, c]");
	param(f, "b: bool[a, c]");
	param(f, "t: f32[c, a]");
	add_row(f, "f32[a, c + 5]", "concat %x, %y {axis=1}");
	add_row(f, "f32[a + 3, c]", "concat %x, %z");
	add_row(f, "f32[a, 2*c + 5]", "concat %x, %y, %x {axis=1}");
	add_row(f, "i64[2*a, c]", "concat %i, %i");
	add_row(f, "bool[a, 2*c]", "concat %b, %b {axis=1}");
	line(f, "%%tt: f32[a, c] = transpose %%t {perm=[1, 0]}");
	add_row(f, "f32[a, 2*c]", "concat %tt, %x {axis=1}");
	add_row(f, "f32[a + 3, c + 3]", "pad %x {pads_dim=[2, 1, 1, 2]}");
	add_row(f, "f32[a + 1, c]", "pad %x {pads_dim=[1, 0, 0, 0], value=-2.5}");
	add_row(f, "i64[a, c + 4]", "pad %i {pads_dim=[0, 4, 0, 0], value=9007199254740993}"); /* 2^53 + 1 */
	add_row(f, "f32[a + 4, c + 7]", "pad %x {pads_dim=[2, 3, 2, 4], mode=edge}");
	add_row(f, "f32[a, c + 7]", "pad %x {pads_dim=[0, 7, 0, 0], mode=edge}");
	add_row(f, "f32[a, c + 1]", "pad %tt {pads_dim=[0, 1, 0, 0]}");
	param(f, "colours: f32[a, 3, c]"); /* the last axis is short, and x lies side by side along another one */
	line(f, "%%cl: f32[a, c, 3] = transpose %%colours {perm=[0, 2, 1]}");
	param(f, "scales: f32[3]"); /* vectors go across the rows */
	add_row(f, "f32[a, c, 3]", "mul %cl, %scales");
	add_row(f, "f32[a, c, 6]", "concat %cl, %cl {axis=2}");
	add_row(f, "f32[a, c, 3]", "identity %cl");
	add_row(f, "f32[a, c + 3, 3]", "pad %cl {pads_dim=[0, 1, 0, 0, 2, 0]}");
	add_row(f, "f32[a + 1, c + 1, 5]", "pad %cl {pads_dim=[0, 0, 1, 1, 1, 1], value=3}");
	param(f, "rows: f32[a, c, 20]"); /* turned in registers: whole and part blocks, beyond both ends */
	param(f, "image: f32[2, a, c, 32]");
	line(f, "%%columns: f32[a, 20, c] = transpose %%rows {perm=[0, 2, 1]}");
	line(f, "%%planes: f32[2, 32, a, c] = transpose %%image {perm=[0, 3, 1, 2]}");
	add_row(f, "f32[a, 20, c + 3]", "pad %columns {pads_dim=[0, 0, 1, 0, 0, 2]}");
	add_row(f, "f32[a, 20, c + 20]", "pad %columns {pads_dim=[0, 0, 17, 0, 0, 3], value=1}");
	add_row(f, "f32[2, 32, a + 3, c + 20]", "pad %planes {pads_dim=[0, 0, 2, 17, 0, 0, 1, 3]}");
	static const char *const kinds[] = {"f16", "bf16", "i16", "i8", "u8", "u32", "i64", "bool"};
	for (int i = 0; i < (int)(sizeof kinds / sizeof *kinds); i++) {
		param(f, "%s.rows: %s[a, c, 40]", kinds[i], kinds[i]);
		line(f, "%%%s.columns: %s[a, 40, c] = transpose %%%s.rows {perm=[0, 2, 1]}", kinds[i], kinds[i], kinds[i]);
		snprintf(type, sizeof type, "%s[a, 40, c + 18]", kinds[i]);
		snprintf(node, sizeof node, "pad %%%s.columns {pads_dim=[0, 0, 17, 0, 0, 1]}", kinds[i]);
		add_row(f, type, node);
	}
	add_row(f, "i64[c]", "iota {start=5, step=3}");
	add_row(f, "i64[a]", "iota {start=c, step=a + c}");
	add_row(f, "i32[c]", "iota {step=-1}");
	add_row(f, "i64[3]", "dims {values=[a, c, a*c + 1]}");
	line(f, "%%r: f32[a*c] = reshape %%tt");
	add_row(f, "f32[a*c]", "identity %r");
	line(f, "%%sl: f32[a, (c + 1)/2] = slice %%x {starts=[0, 0], steps=[1, 2]}");
	add_row(f, "f32[a, (c + 1)/2]", "identity %sl");
	line(f, "%%back: f32[a, c] = slice %%x {starts=[0, c - 1], steps=[1, -1]}\n%%quarter: i64[a, (c + 3)/4] = slice %%i {starts=[0, 0], steps=[1, 4]}");
	add_row(f, "f32[a, c]", "mul %back, %x");
	add_row(f, "i64[a, (c + 3)/4]", "mul %quarter, %quarter");
	for (int n = 2; n <= 8; n *= 2) { /* rows of n elements that are made of n vectors */
		line(f, "%%up%d: f32[a, c, %d] = view %%x {strides_dim=[c, 1, 0]}\n%%side%d: i64[a, c, %d] = view %%i {strides_dim=[c, 1, 0]}", n, n, n, n);
		line(f, "%%flat%d: f32[a, %d*c] = reshape %%up%d\n%%flags%d: bool[a, c, %d] = view %%b {strides_dim=[c, 1, 0]}", n, n, n, n, n);
		snprintf(type, sizeof type, "f32[a, %d*c]", n);
		snprintf(node, sizeof node, "identity %%flat%d", n);
		add_row(f, type, node);
		param(f, "row%d: i64[%d]", n, n);
		snprintf(type, sizeof type, "i64[a, c, %d]", n);
		snprintf(node, sizeof node, "mul %%side%d, %%row%d", n, n);
		add_row(f, type, node);
		snprintf(type, sizeof type, "bool[a, c, %d]", n);
		snprintf(node, sizeof node, "not %%flags%d", n);
		add_row(f, type, node);
	}
	line(f, "%%tiles: f32[a, 2, 2, c] = view %%x {strides_dim=[c, 0, 0, 1]}"); /* a task takes short rows of several axes */
	add_row(f, "f32[a, 2, 2, c]", "identity %tiles");
	line(f, "%%few: f32[c, 2, a, 5] = view %%y {strides_dim=[0, 0, 5, 1]}");
	add_row(f, "f32[c, 2, a, 5]", "neg %few");
	add_row(f, "f32[a, c]", "identity %x");
}

/* Ports of less than a byte an element: full bytes and lanes, and what is left over. */
static void make_packed(Family *f)
{
	symbol(f, "a", 0);
	symbol(f, "c", 0);
	param(f, "x: i4[a, c]");
	param(f, "y: u4[c]");
	param(f, "z: i2[a, c]");
	param(f, "u: u2[a]");
	param(f, "e: f4e2m1[a, c]");
	param(f, "s: f32[a, c]");
	param(f, "b: bool[a, c]");
	add_row(f, "i4[c, a]", "transpose %x {perm=[1, 0]}");
	add_row(f, "i4[2*a, c]", "concat %x, %x");
	add_row(f, "i4[a, c]", "add %x, %x");
	add_row(f, "i4[a, c]", "cast %s");
	add_row(f, "u4[c]", "identity %y");
	add_row(f, "u4[a, c]", "cast %z");
	add_row(f, "i2[a, c]", "where %b, %z, %z");
	add_row(f, "i2[a, c]", "cast %e");
	add_row(f, "u2[a]", "identity %u");
	add_row(f, "u2[c]", "cast %y");
	add_row(f, "f4e2m1[a, c + 1]", "pad %e {pads_dim=[0, 1, 0, 0], value=-1.5}");
	add_row(f, "f4e2m1[a, c]", "cast %s");
	add_row(f, "f32[a, c]", "cast %x");
	add_row(f, "f32[a, c]", "cast %e");
	add_row(f, "i4[a, c]", "bitcast %e");
	add_row(f, "i32[a, c]", "bitcast %s");
}

static void make_reflect(Family *f)
{
	symbol(f, "a", 3);
	param(f, "x: f32[a, 4]");
	add_row(f, "f32[a + 4, 4]", "pad %x {pads_dim=[2, 0, 2, 0], mode=reflect}");
	add_row(f, "f32[a, 10]", "pad %x {pads_dim=[0, 3, 0, 3], mode=reflect}");
	param(f, "z: f32[2, a, a]");
	add_row(f, "f32[2, a + 3, a + 2]", "pad %z {pads_dim=[0, 2, 0, 0, 1, 2], mode=reflect}");
	add_row(f, "f32[5, a, a + 3]", "pad %z {pads_dim=[1, 0, 2, 2, 0, 1], mode=edge}");
	line(f, "%%zt: f32[a, a, 2] = transpose %%z {perm=[2, 1, 0]}");
	add_row(f, "f32[a + 2, a + 1, 2]", "pad %zt {pads_dim=[2, 1, 0, 0, 0, 0], mode=reflect}");
	line(f, "%%zr: f32[a, 2, a] = transpose %%z {perm=[2, 0, 1]}");
	add_row(f, "f32[a, 2, a + 3]", "pad %zr {pads_dim=[0, 0, 2, 0, 0, 1], mode=reflect}");
}

static void make_gathers(Family *f)
{
	symbol(f, "a", 0);
	symbol(f, "c", 0);
	param(f, "x: f32[7, c]");
	param(f, "y: f32[a, 7, c]");
	param(f, "i7: i64[a]");
	param(f, "i7b: i64[a, 2]");
	param(f, "i7s: i32[]");
	param(f, "i7e: i64[a, 3, c]");
	param(f, "u7n: i64[a, 2, 1]");
	param(f, "i3n: i64[c, 2]");
	param(f, "z: f32[7, 5, a]");
	param(f, "l: i64[7]");
	add_row(f, "f32[a, c]", "gather %x, %i7");
	add_row(f, "f32[a, 2, c]", "gather %x, %i7b");
	add_row(f, "f32[c]", "gather %x, %i7s");
	add_row(f, "f32[a, a, 2, c]", "gather %y, %i7b {axis=1}");
	line(f, "%%xt: f32[c, 7] = transpose %%x {perm=[1, 0]}");
	add_row(f, "f32[c, a]", "gather %xt, %i7 {axis=1}");
	add_row(f, "i64[a]", "gather %l, %i7");
	add_row(f, "f32[a, 3, c]", "gather_elements %y, %i7e {axis=1}");
	param(f, "i7r: i64[a, 3, 1]");
	param(f, "i7t: i64[3, 1, 1]");
	line(f, "%%rows: i64[a, 3, min(c, 20)] = expand %%i7r");
	line(f, "%%two: i64[3, a, c] = expand %%i7t");
	line(f, "%%yt: f32[7, a, c] = transpose %%y {perm=[1, 0, 2]}");
	add_row(f, "f32[a, 3, min(c, 20)]", "gather_elements %y, %rows {axis=1}");
	add_row(f, "f32[3, a, c]", "gather_elements %yt, %two");
	add_row(f, "f32[a, 2, c]", "gather_nd %y, %u7n {batch_dims=1}");
	add_row(f, "f32[c, a]", "gather_nd %z, %i3n");
	param(f, "v: f32[a, 3, c]");
	param(f, "n: f32[c, a]");
	add_row(f, "f32[a, 7, c]", "scatter_elements %y, %i7e, %v {axis=1, reduction=add}");
	add_row(f, "f32[7, 5, a]", "scatter_nd %z, %i3n, %n");
	add_row(f, "f32[7, 5, a]", "scatter_nd %z, %i3n, %n {reduction=mul}");
}

/* Many equal elements (i, j), NaN and infinities; a view; one, some and all elements of a line; lines of which none is wanted. */
static void make_top_k(Family *f)
{
	symbol(f, "a", 0);
	symbol(f, "c", 0);
	param(f, "x: f32[a, c]");
	param(f, "s: f64[a, 3, c]");
	param(f, "i3: i64[a, c]");
	param(f, "u4: u8[c, a]");
	param(f, "n: u64[c]");
	add_row(f, "i64[a, c]", "top_k %x {axis=1}");
	add_row(f, "i64[a, c]", "top_k %x {axis=0, largest=0}");
	add_row(f, "i64[a, min(c, 1)]", "top_k %x {axis=1}");
	add_row(f, "i64[a, c/2]", "top_k %x {axis=1, largest=0}");
	add_row(f, "i64[a, 3, c]", "top_k %s {axis=2}");
	add_row(f, "i64[a, 2, c]", "top_k %s {axis=1, largest=0}");
	add_row(f, "i64[a, 0, c]", "top_k %s {axis=1}");
	add_row(f, "i64[a, c]", "top_k %i3 {axis=1}");
	add_row(f, "i64[a, min(c, 7)]", "top_k %i3 {axis=1, largest=0}");
	line(f, "%%ut: u8[a, c] = transpose %%u4 {perm=[1, 0]}");
	add_row(f, "i64[a, c]", "top_k %ut {axis=1}");
	add_row(f, "i64[a/2, c]", "top_k %ut {axis=0}");
	add_row(f, "i64[c]", "top_k %n");
	add_text(&f->consts, "const @far: i64[] = [3074457345618258603]\n");
	line(f, "%%wide: i64[a, c] = mul %%i3, @far"); /* all digits, both signs */
	line(f, "%%half: i16[a, c] = cast %%i3");
	add_row(f, "i64[a, c]", "top_k %wide {axis=1, largest=0}");
	add_row(f, "i64[a, c]", "top_k %half {axis=0}");
	add_row(f, "i64[a, c]", "top_k %ut {axis=1, largest=0}");
}

/* More boxes than a vector has lanes, some skipped, with NaN and infinities; thresholds at and around what boxes overlap. */
static void make_nms(Family *f)
{
	symbol(f, "b", 0);
	symbol(f, "n", 0);
	param(f, "x: f32[b, 50, 2]");
	param(f, "p: f32[b, 50, 2]");
	param(f, "s: f32[b, n, 4]");
	param(f, "i50: i64[b, 2, n]");
	param(f, "u50: u8[n, 3, b]");
	param(f, "r: f32[b, 2, n]");
	param(f, "u9: i64[]");
	param(f, "t: f32[]");
	line(f, "%%h: f32[b, 50, 2] = add %%x, %%p");
	line(f, "%%boxes: f32[b, 50, 4] = concat %%x, %%h {axis=2}");
	line(f, "%%order: u8[b, 3, n] = transpose %%u50 {perm=[2, 1, 0]}");
	line(f, "%%best: i64[b, 2, n] = top_k %%r {axis=2}");
	line(f, "%%all: i64[] = dims {values=[n]}");
	add_row(f, "bool[b, 2, n]", "nms %boxes, %i50, %u9, %t");
	add_row(f, "bool[b, 3, n]", "nms %boxes, %order, %all, %t");
	add_row(f, "bool[b, 2, n]", "nms %s, %best, %all, %t");
}

/* Indices outside of the tensor: an error, and nothing is read for them. */
static void check_bad_indices(void)
{
	static const char *const types[] = {"f32[a, 3]", "f32[a, 3]", "f32[a]", "f32[7, 3]", "f32[7, 3]", "bool[1, 1, a]", "f32[a, 2]"};
	static const char *const nodes[] = {"gather %x, %i99", "gather_elements %x, %i99", "gather_nd %x, %i99",
	                                    "scatter_elements %x, %i99, %u", "scatter_nd %x, %i99, %u", "nms %boxes, %i99, %i99m, %t",
	                                    "experts %u, %w, _, %i99"};
	static const char *const indices[] = {"a", "a, 3", "a, 2", "a, 3", "a, 1", "1, 1, a", "a"};

	for (int i = 0; i < 7; i++) {
		Family f = {.name = "bad_indices"};
		symbol(&f, "a", 0);
		param(&f, "x: f32[7, 3]");
		param(&f, "i99: i64[%s]", indices[i]);
		param(&f, "u: f32[a, 3]");
		param(&f, "boxes: f32[1, 9, 4]");
		param(&f, "i99m: i64[]");
		weights(&f, "w", "7, 3, 2", 42);
		param(&f, "t: f32[]");
		add_row(&f, types[i], nodes[i]);
		compile_family(&f);
		run_binding_for(&f, nodes[i], (int64_t[]){50}, DCC_ERROR_INDEX);
		free_family(&f);
	}
}

/* Padding by elements of an empty axis: an error, and nothing is read; also where another axis is empty. */
static void check_empty_pads(void)
{
	static const char *const types[] = {"f32[a + 5, c]", "f32[a + 1, c]", "f32[a + p, c]"};
	static const char *const nodes[] = {"pad %x {pads_dim=[2, 0, 3, 0], mode=edge}",
	                                    "pad %x {pads_dim=[0, 0, 1, 0], mode=reflect}",
	                                    "pad %x {pads_dim=[p, 0, 0, 0], mode=edge}"};
	static const int64_t extents[] = {3, 0};

	for (int i = 0; i < 3; i++) {
		Family f = {.name = "empty_pads"};
		symbol(&f, "a", 0);
		symbol(&f, "c", 0);
		symbol(&f, "p", 0);
		param(&f, "x: f32[a, c]");
		param(&f, "z: f32[p]");
		add_row(&f, types[i], nodes[i]);
		add_row(&f, "f32[p]", "identity %z");
		compile_family(&f);
		for (int k = 0; k < 2; k++) {
			run_binding_for(&f, nodes[i], (int64_t[]){0, extents[k], 2}, DCC_ERROR_SHAPE);
			run_binding_for(&f, nodes[i], (int64_t[]){1, extents[k], 2}, DCC_OK);
		}
		if (i == 2)
			run_binding_for(&f, nodes[i], (int64_t[]){0, 3, 0}, DCC_OK);
		free_family(&f);
	}
}

static void make_conv(Family *f)
{
	symbol(f, "b", 0);
	symbol(f, "t", 5);
	param(f, "x: f32[b, 6, t]");
	param(f, "w: f32[4, 6, 3]");
	param(f, "z: f32[4]");
	param(f, "wg: f32[8, 3, 5]");
	param(f, "i: f32[b, 2, t, t]");
	param(f, "k: f32[3, 2, 3, 2]");
	param(f, "k3: f32[2, 1, 1, 1]");
	add_row(f, "f32[b, 4, t]", "conv %x, %w, %z {pads=[1, 1]}");
	add_row(f, "f32[b, 4, t - 2]", "conv %x, %w, _");
	add_row(f, "f32[b, 4, (t + 1)/2]", "conv %x, %w, %z {pads=[1, 1], strides=[2]}");
	add_row(f, "f32[b, 4, t]", "conv %x, %w, _ {pads=[4, 0], dilations=[2]}");
	add_row(f, "f32[b, 8, t]", "conv %x, %wg, _ {group=2, pads=[2, 2]}");
	add_row(f, "f32[b, 3, t, t]", "conv %i, %k, _ {pads=[1, 1, 1, 0]}");
	add_row(f, "f32[b, 3, (t + 2)/3, (t + 1)/2]", "conv %i, %k, _ {pads=[1, 0, 1, 1], strides=[3, 2]}");
	add_row(f, "f32[b, 2, t, t]", "conv %i, %k3, _ {group=2}");
	param(f, "x64: f64[b, 6, t]");
	param(f, "w64: f64[8, 3, 5]");
	param(f, "z64: f64[8]");
	add_row(f, "f64[b, 8, t]", "conv %x64, %w64, %z64 {group=2, pads=[2, 2]}");
}

/* Lines of all lengths, of more than a task too; outputs that chunks part evenly, and a prime number of them; what follows. */
static void make_conv_lines(Family *f)
{
	symbol(f, "b", 0);
	symbol(f, "t", 0);
	param(f, "x: f32[b, 4, t]");
	param(f, "w1: f32[1, 4, 3]");
	param(f, "w8: f32[8, 4, 5]");
	param(f, "w12: f32[12, 4, 1]");
	param(f, "wg: f32[14, 2, 3]");
	param(f, "z: f32[8]");
	param(f, "y: f32[b, 8, t]");
	param(f, "s: f32[8, 1]");
	param(f, "l: f32[b, t, 20]");
	param(f, "wl: f32[2, 20, 1]");
	param(f, "i: f32[b, 3, 4, t]");
	param(f, "k: f32[3, 3, 3, 3]");
	add_row(f, "f32[b, 1, t]", "conv %x, %w1, _ {pads=[1, 1]}");
	add_row(f, "f32[b, 12, t]", "conv %x, %w12, _");
	add_row(f, "f32[b, 14, t]", "conv %x, %wg, _ {group=2, pads=[2, 2], dilations=[2]}");
	add_row(f, "f32[b, 3, 4, t]", "conv %i, %k, _ {pads=[1, 1, 1, 1]}");
	add_row(f, "f32[b, 3, 2, (t + 1)/2]", "conv %i, %k, _ {pads=[1, 1, 1, 1], strides=[2, 2]}");
	line(f, "%%c: f32[b, 8, t] = conv %%x, %%w8, %%z {pads=[2, 2]}");
	line(f, "%%d: f32[b, 8, t] = mul %%c, %%s");
	line(f, "%%e: f32[b, 8, t] = add %%d, %%y");
	add_row(f, "f32[b, 8, t]", "sigmoid %e");
	line(f, "%%turned: f32[b, 20, t] = transpose %%l {perm=[0, 2, 1]}");
	add_row(f, "f32[b, 2, t]", "conv %turned, %wl, _");
	add_row(f, "f32[b, 2, t + 3]", "conv %turned, %wl, _ {pads=[1, 2]}");
}

/* Rows of outputs of all lengths: side by side, alone, at both edges, strides, dilations (some so wide that code must not grow with them), more
 * taps than x has; channels of whole and of part vectors, of more than a chunk, and symbolic ones. */
static void make_group_conv(Family *f)
{
	symbol(f, "b", 0);
	symbol(f, "t", 0);
	symbol(f, "c", 0);
	param(f, "x: f32[b, t, 160]");
	param(f, "w: f32[3, 1, 160]");
	param(f, "z: f32[160]");
	param(f, "w7: f32[7, 1, 160]");
	param(f, "i: f32[b, 6, t, 8]");
	param(f, "k: f32[3, 3, 2, 4*c]");
	param(f, "k5: f32[5, 2, 1, 24]");
	param(f, "h: f32[b, 20, t]");
	param(f, "wh: f32[17, 1, 20]");
	add_row(f, "f32[b, t, 160]", "group_conv %x, %w, %z {group=160, pads=[1, 1]}");
	add_row(f, "f32[b, (t + 1)/2, 160]", "group_conv %x, %w, _ {group=160, pads=[1, 1], strides=[2]}");
	add_row(f, "f32[b, t, 160]", "group_conv %x, %w7, %z {group=160, pads=[12, 0], dilations=[2]}");
	add_row(f, "f32[b, t + 4, 160]", "group_conv %x, %w7, _ {group=160, pads=[5, 5]}");
	add_row(f, "f32[b, t, 160]", "group_conv %x, %w, _ {group=160, pads=[100000000, 100000000], dilations=[100000000]}");
	add_row(f, "f32[b, (t + 99999999)/100000000, 160]", "group_conv %x, %w, _ {group=160, pads=[1, 1], strides=[100000000]}");
	add_row(f, "f32[b, (t + 5)/3, 160]", "group_conv %x, %w, _ {group=160, pads=[4, 9], strides=[3], dilations=[5]}");
	add_row(f, "f32[b, 6, t, 4*c]", "group_conv %i, %k, _ {group=4, pads=[1, 1, 1, 1]}");
	add_row(f, "f32[b, 3, (t + 2)/3, 4*c]", "group_conv %i, %k, _ {group=4, pads=[1, 1, 0, 1], strides=[2, 3]}");
	add_row(f, "f32[b, 2, t + 2, 24]", "group_conv %i, %k5, _ {group=8, pads=[0, 2, 0, 1]}");
	line(f, "%%v: f32[b, t, 20] = transpose %%h {perm=[0, 2, 1]}");
	add_row(f, "f32[b, t, 20]", "group_conv %v, %wh, _ {group=20, pads=[8, 8]}");
	param(f, "x64: f64[b, t, 20]");
	param(f, "w64: f64[3, 5, 12]");
	param(f, "z64: f64[12]");
	add_row(f, "f64[b, t, 12]", "group_conv %x64, %w64, %z64 {group=4, pads=[1, 1]}");
	param(f, "u8.x: u8[b, t, 160]");
	param(f, "i8.x: i8[b, t, 160]");
	param(f, "u8.i: u8[b, 6, t, 8]");
	param(f, "u8.h: u8[b, 20, t]");
	add_row(f, "f32[b, t, 160]", "group_conv %u8.x, %w, %z {group=160, pads=[1, 1]}");
	add_row(f, "f32[b, (t + 1)/2, 160]", "group_conv %u8.x, %w, _ {group=160, pads=[1, 1], strides=[2], offset=119}");
	add_row(f, "f32[b, t, 160]", "group_conv %i8.x, %w7, %z {group=160, pads=[12, 0], dilations=[2], offset=-5}");
	add_row(f, "f32[b, 6, t, 4*c]", "group_conv %u8.i, %k, _ {group=4, pads=[1, 1, 1, 1], offset=7}");
	line(f, "%%u8.v: u8[b, t, 20] = transpose %%u8.h {perm=[0, 2, 1]}");
	add_row(f, "f32[b, t, 20]", "group_conv %u8.v, %wh, _ {group=20, pads=[8, 8], offset=128}");
	/* with what their kernels compute behind the sums: operands of all outputs, of rows, of a batch, in another order */
	param(f, "gate: f32[b, 1, 1, 4*c]");
	param(f, "res: f32[b, 6, t, 4*c]");
	param(f, "turned: f32[b, 160, t]");
	line(f, "%%e0: f32[b, t, 160] = group_conv %%x, %%w, %%z {group=160, pads=[1, 1]}");
	line(f, "%%e1: f32[b, t, 160] = transpose %%turned {perm=[0, 2, 1]}");
	line(f, "%%e2: f32[b, t, 160] = silu %%e0");
	line(f, "%%e3: f32[b, t, 160] = mul %%e2, %%z");
	line(f, "%%e4: f32[b, t, 160] = max %%e3, %%e1");
	result(f, "%e4", "f32[b, t, 160]");
	line(f, "%%e5: f32[b, 6, t, 4*c] = group_conv %%i, %%k, _ {group=4, pads=[1, 1, 1, 1]}");
	line(f, "%%e6: f32[b, 6, t, 4*c] = mul %%e5, %%gate");
	line(f, "%%e7: f32[b, 6, t, 4*c] = add %%res, %%e6");
	line(f, "%%e8: f32[b, 6, t, 4*c] = clip %%e7 {lo=-0.5, hi=2}");
	result(f, "%e8", "f32[b, 6, t, 4*c]");
	line(f, "%%e9: f32[b, t, 160] = group_conv %%x, %%w7, _ {group=160, pads=[12, 0], dilations=[2]}");
	line(f, "%%e10: bool[b, t, 160] = lt %%e9, %%z");
	result(f, "%e10", "bool[b, t, 160]");
	line(f, "%%e11: f64[b, t, 12] = group_conv %%x64, %%w64, _ {group=4, pads=[1, 1]}");
	line(f, "%%e12: f64[b, t, 12] = neg %%e11");
	result(f, "%e12", "f64[b, t, 12]");
}

/* A linear, a convolution and a linear in one kernel, with what follows each of them. */
static void add_fed(Family *f, int id, const char *lines, int columns, int width, int middle, const char *attrs, bool before, bool behind)
{
	const char *reads = before ? "m" : "x";
	char value[16], type[64];
	param(f, "x%d: f32[b, t, %d, %d]", id, columns, before ? 24 : middle);
	if (before) {
		param(f, "u%d: f32[24, %d]", id, middle);
		param(f, "a%d: f32[%d]", id, middle);
		param(f, "r%d: f32[b, t, %d, 1]", id, columns);
		line(f, "%%p%d: f32[%d, 24, 32] = pack %%u%d", id, (middle + 31) / 32, id);
		line(f, "%%m%d: f32[b, t, %d, %d] = group {", id, columns, middle);
		line(f, "%%l%d: f32[b, t, %d, %d] = linear_packed %%x%d, %%p%d, %%a%d {feeds=1}", id, columns, middle, id, id, id);
		line(f, "%%l%d.r: f32[b, t, %d, %d] = add %%l%d, %%r%d\n%%l%d.s: f32[b, t, %d, %d] = relu %%l%d.r\nyield %%l%d.s\n}", id, columns, middle,
		     id, id, id, columns, middle, id, id);
	}
	param(f, "k%d: f32[3, 3, 1, %d]", id, middle);
	param(f, "z%d: f32[%d]", id, middle);
	snprintf(type, sizeof type, "f32[b, %s, %d, %d]", lines, width, middle);
	line(f, "%%c%d: %s = group {", id, type);
	line(f, "%%g%d: %s = group_conv %%%s%d, %%k%d, %%z%d {group=%d, %s%s}", id, type, reads, id, id, id, middle, behind ? "feeds=1, " : "", attrs);
	line(f, "%%g%d.s: %s = silu %%g%d\nyield %%g%d.s\n}", id, type, id, id);
	snprintf(value, sizeof value, "%%c%d", id);
	if (behind) {
		param(f, "w%d: f32[%d, 37]", id, middle);
		param(f, "o%d: f32[b, %s, %d, 37]", id, lines, width);
		snprintf(type, sizeof type, "f32[b, %s, %d, 37]", lines, width);
		line(f, "%%q%d: f32[2, %d, 32] = pack %%w%d", id, middle, id);
		line(f, "%%y%d: %s = group {\n%%y%d.l: %s = linear_packed %%c%d, %%q%d, _", id, type, id, type, id, id);
		line(f, "%%y%d.s: %s = add %%y%d.l, %%o%d\nyield %%y%d.s\n}", id, type, id, id, id);
		snprintf(value, sizeof value, "%%y%d", id);
	}
	result(f, value, type);
}

/* Rings of lines (feed.h): images without lines, fewer lines than taps, strides over lines that nobody reads, lines that windows skip, pads that
 * hold whole windows; widths of less than a tile, of one, of several, tiles that straddle lines and images. */
static void make_feed(Family *f)
{
	symbol(f, "b", 0);
	symbol(f, "t", 0);
	add_fed(f, 0, "t", 29, 29, 40, "pads=[1, 1, 1, 1]", true, true);
	add_fed(f, 1, "(t + 1)/2", 16, 8, 20, "pads=[1, 1, 1, 1], strides=[2, 2]", true, true);
	add_fed(f, 2, "(t + 8)/5", 5, 4, 33, "pads=[4, 0, 4, 1], strides=[5, 1], dilations=[2, 1]", true, false);
	add_fed(f, 3, "t + 10", 1, 1, 160, "pads=[6, 1, 6, 1]", true, true);
	add_fed(f, 4, "t", 14, 14, 48, "pads=[2, 1, 2, 1], dilations=[2, 1]", false, true);
	add_fed(f, 5, "t", 3, 3, 17, "pads=[1, 1, 1, 1]", true, false);
	add_fed(f, 6, "t", 5, 5, 16, "pads=[1, 1, 3, 1], dilations=[2, 1]", true, false);
	add_fed(f, 7, "(t + 1)/2", 5, 5, 16, "pads=[3, 1, 5, 1], strides=[2, 1], dilations=[4, 1]", true, true);
}

/* A norm, a linear that two others read, and one of gates: what only linears read is stored in their tiles (packed.c), whatever the width.
 * others: reads of the norm, of the linear and of the gates that are no linear's. */
static void add_stored(Family *f, int id, int width, int middle, bool others)
{
	char name[16], value[16], type[32];

	param(f, "x%d: f32[b, t, %d]", id, width);
	param(f, "s%d: f32[%d]", id, width);
	param(f, "r%d: f32[b, t, 1]", id);
	for (int i = 0; i < 3; i++) {
		const int rows = i == 1 ? middle : width, columns = i == 0 ? middle : i == 1 ? 2 * width : 37;
		snprintf(name, sizeof name, "%c%d", "wvu"[i], id);
		snprintf(type, sizeof type, "%d, %d", rows, columns);
		weights(f, name, type, rows * columns);
	}
	line(f, "%%n%d: f32[b, t, %d] = %s %%x%d, %%s%d%s {axis=2, eps=1e-05}", id, width, id % 2 ? "rmsnorm" : "norm", id, id, id % 2 ? "" : ", _");
	line(f, "%%l%d.0: f32[b, t, %d] = matmul %%n%d, %%w%d", id, middle, id, id);
	line(f, "%%l%d: f32[b, t, %d] = mul %%l%d.0, %%r%d", id, middle, id, id);
	line(f, "%%g%d.0: f32[b, t, %d] = matmul %%l%d, %%v%d", id, 2 * width, id, id);
	line(f, "%%g%d: f32[b, t, %d] = glu %%g%d.0 {axis=2, act=silu, gate=first}", id, width, id);
	for (int i = 0; i < 2; i++) {
		line(f, "%%y%d.%d: f32[b, t, 37] = matmul %%g%d, %%u%d", id, i, id, id);
		line(f, "%%h%d.%d: f32[b, t, 37] = %s %%y%d.%d", id, i, i ? "neg" : "relu", id, i);
		snprintf(value, sizeof value, "%%h%d.%d", id, i);
		result(f, value, "f32[b, t, 37]");
	}
	for (int i = 0; i < 3 && others; i++) {
		snprintf(type, sizeof type, "f32[b, t, %d]", i == 1 ? middle : width);
		line(f, "%%z%d.%d: %s = softmax %%%c%d {axis=2}", id, i, type, "nlg"[i], id);
		snprintf(value, sizeof value, "%%z%d.%d", id, i);
		result(f, value, type);
	}
}

static void make_stored(Family *f)
{
	static const int width[] = {16, 40, 64, 7, 33};
	symbol(f, "b", 0);
	symbol(f, "t", 0);
	for (int i = 0; i < 5; i++)
		add_stored(f, i, width[i], 100 - width[i], false);
	add_stored(f, 5, 24, 50, true);
}

/* What a fed linear reads lives until its reader runs, whoever else has packed it before or does behind it. */
static void make_feed_shared(Family *f)
{
	symbol(f, "b", 0);
	symbol(f, "t", 0);
	param(f, "i: f32[b, t, 6, 16]");
	param(f, "k: f32[3, 3, 1, 16]");
	param(f, "w: f32[16, 16]");
	line(f, "%%p: f32[1, 16, 32] = pack %%w");
	for (int last = 0; last < 2; last++) {
		const char *other = "%%o%d: f32[b, t, 6, 16] = linear_packed %%x%d, %%p, _", *const dims = "f32[b, t, 6, 16]";
		char value[16];
		line(f, "%%x%d: %s = %s", last, dims, last ? "norm %i, _, _ {axis=3, eps=1e-05}" : "softmax %i {axis=2}");
		if (!last)
			line(f, other, last, last);
		line(f, "%%l%d: %s = linear_packed %%x%d, %%p, _ {feeds=1}", last, dims, last);
		if (last)
			line(f, other, last, last);
		for (int n = 0; n < 3; n++)
			line(f, "%%s%d.%d: %s = softmax %%%c%d%s {axis=3}", last, n, dims, n ? 's' : 'o', last, n == 0 ? "" : n == 1 ? ".0" : ".1");
		line(f, "%%c%d: %s = group_conv %%l%d, %%k, _ {group=16, pads=[1, 1, 1, 1]}", last, dims, last);
		line(f, "%%y%d: %s = add %%c%d, %%s%d.2", last, dims, last, last);
		snprintf(value, sizeof value, "%%y%d", last);
		result(f, value, dims);
	}
}

/* Those that cannot be: two neighbours of a linear at once, a value that is read twice, lines whose length is a symbol, or that come in
 * another order than the ring has. */
static void make_feed_not(Family *f)
{
	symbol(f, "b", 0);
	symbol(f, "t", 0);
	param(f, "x: f32[b, t, 6, 16]");
	param(f, "k: f32[3, 3, 1, 16]");
	param(f, "w: f32[16, 16]");
	line(f, "%%p: f32[1, 16, 32] = pack %%w");
	line(f, "%%c0: f32[b, t, 6, 16] = group_conv %%x, %%k, _ {feeds=1, group=16, pads=[1, 1, 1, 1]}");
	line(f, "%%l0: f32[b, t, 6, 16] = linear_packed %%c0, %%p, _ {feeds=1}");
	line(f, "%%c1: f32[b, t, 6, 16] = group_conv %%l0, %%k, _ {feeds=1, group=16, pads=[1, 1, 1, 1]}");
	line(f, "%%l1: f32[b, t, 6, 16] = linear_packed %%c1, %%p, _ {feeds=1}");
	result(f, "%l1", "f32[b, t, 6, 16]");
	line(f, "%%l2: f32[b, t, 6, 16] = linear_packed %%x, %%p, _ {feeds=1}");
	line(f, "%%c2: f32[b, t, 6, 16] = group_conv %%l2, %%k, _ {feeds=1, group=16, pads=[1, 1, 1, 1]}");
	line(f, "%%s2: f32[b, t, 6, 16] = add %%c2, %%l2");
	line(f, "%%l3: f32[b, t, 6, 16] = linear_packed %%s2, %%p, _");
	result(f, "%l3", "f32[b, t, 6, 16]");
	line(f, "%%v: f32[b, 6, t, 16] = transpose %%x {perm=[0, 2, 1, 3]}");
	line(f, "%%l5: f32[b, 6, t, 16] = linear_packed %%v, %%p, _ {feeds=1}");
	line(f, "%%c5: f32[b, 6, t, 16] = group_conv %%l5, %%k, _ {feeds=1, group=16, pads=[1, 1, 1, 1]}");
	result(f, "%c5", "f32[b, 6, t, 16]");
	line(f, "%%l6: f32[b, t, 6, 16] = linear_packed %%x, %%p, _ {feeds=1}");
	line(f, "%%t6: f32[b, 6, t, 16] = transpose %%l6 {perm=[0, 2, 1, 3]}");
	line(f, "%%c6: f32[b, 6, t, 16] = group_conv %%t6, %%k, _ {group=16, pads=[1, 1, 1, 1]}");
	result(f, "%c6", "f32[b, 6, t, 16]");
}

/* A linear and the next, which takes many rows by blocks behind it (feed.h): panels of x's 40 columns. */
static void add_row_blocks(Family *f, int id, const char *x, int middle, int parts, const char *bias)
{
	const int between = middle / parts, panels = parts == 2 ? (between + 15) / 16 : (middle + 31) / 32;

	param(f, "w%d: f32[40, %d]", id, parts * between);
	param(f, "v%d: f32[%d, 37]", id, between);
	param(f, "a%d: f32[%d]", id, parts * between);
	param(f, "r%d: f32[b, t, 1]", id);
	line(f, "%%p%d: f32[%d, 40, 32] = pack %%w%d {parts=%d}", id, panels, id, parts);
	line(f, "%%q%d: f32[2, %d, 32] = pack %%v%d", id, between, id);
	line(f, "%%m%d: f32[b, t, %d] = group {", id, between);
	line(f, "%%l%d: f32[b, t, %d] = linear_packed %s, %%p%d, %%a%d {feeds=1, parts=%d}", id, parts * between, x, id, id, parts);
	if (parts == 2)
		line(f, "%%g%d: f32[b, t, %d] = glu %%l%d {act=silu, axis=2}\nyield %%g%d\n}", id, between, id, id);
	else
		line(f, "%%g%d: f32[b, t, %d] = mul %%l%d, %%r%d\nyield %%g%d\n}", id, between, id, id, id);
	line(f, "%%h%d: f32[b, t, 37] = group {", id);
	line(f, "%%k%d: f32[b, t, 37] = linear_packed %%m%d, %%q%d, %s", id, id, id, bias);
	line(f, "%%y%d: f32[b, t, 37] = add %%k%d, %%res\nyield %%y%d\n}", id, id, id);
}

/* Fewer rows than that, blocks that do not divide them; x packed by who computes it, or by the first reader, or the only one; what lies between
 * read twice; three in a row, where the last stays alone; a result that is stored packed. */
static void make_row_blocks(Family *f)
{
	char value[8];

	symbol(f, "b", 0);
	symbol(f, "t", 0);
	param(f, "x: f32[b, t, 40]");
	param(f, "res: f32[b, t, 37]");
	param(f, "b37: f32[37]");
	param(f, "u: f32[37, 5]");
	line(f, "%%n: f32[b, t, 40] = norm %%x, _, _ {axis=2, eps=1e-05}");
	param(f, "uc0: f32[40, 37]");
	param(f, "uc1: f32[37, 37]");
	line(f, "%%s: f32[1, 37, 32] = pack %%u\n%%c0: f32[2, 40, 32] = pack %%uc0\n%%c1: f32[2, 37, 32] = pack %%uc1");
	add_row_blocks(f, 0, "%x", 70, 1, "_");
	add_row_blocks(f, 1, "%n", 129, 1, "%b37");
	add_row_blocks(f, 2, "%n", 66, 2, "_");
	add_row_blocks(f, 3, "%x", 33, 1, "%b37");
	for (int i = 0; i < 3; i++) {
		snprintf(value, sizeof value, "%%h%d", i);
		result(f, value, "f32[b, t, 37]");
	}
	line(f, "%%last: f32[b, t, 5] = linear_packed %%h3, %%s, _");
	result(f, "%last", "f32[b, t, 5]");
	line(f, "%%o0: f32[b, t, 37] = linear_packed %%x, %%c0, _ {feeds=1}");
	line(f, "%%o1: f32[b, t, 37] = linear_packed %%o0, %%c1, _ {feeds=1}");
	line(f, "%%o2: f32[b, t, 5] = linear_packed %%o1, %%s, _ {feeds=1}");
	result(f, "%o2", "f32[b, t, 5]");
	line(f, "%%o3: f32[b, t, 37] = linear_packed %%x, %%c0, _ {feeds=1}");
	line(f, "%%o4: f32[b, t, 5] = linear_packed %%o3, %%s, _");
	line(f, "%%o5: f32[b, t, 37] = softmax %%o3 {axis=2}");
	result(f, "%o4", "f32[b, t, 5]");
	result(f, "%o5", "f32[b, t, 37]");
}

/* Windows that are larger than the tensor, that begin or end outside of it, that hold nothing; NaN and infinities. */
static void make_pool(Family *f)
{
	symbol(f, "b", 0);
	symbol(f, "t", 0);
	param(f, "s: f32[b, 2, t]");
	param(f, "i: f32[b, 2, t, t]");
	param(f, "n: i8[b, 2, t]");
	add_row(f, "f32[b, 2, t]", "pool %s {kernel=[300], pads_dim=[7]}");
	add_row(f, "f32[b, 2, t + 20]", "pool %s {kernel=[3], pads_dim=[2*t]}");
	add_row(f, "i64[b, 2, t]", "pool %s {kernel=[3], pads_dim=[1], join=where}");
	add_row(f, "f32[b, 2, (t + 1)/2]", "pool %s {kernel=[4], strides=[2], dilations=[3], pads_dim=[4]}");
	add_row(f, "f32[b, 2, t, t]", "pool %i {kernel=[3, 5], pads_dim=[1, 2], join=sum}");
	add_row(f, "f32[b, 2, t/2, t/3]", "pool %i {kernel=[13, 17], strides=[2, 3], dilations=[2, 1], pads_dim=[0, t], join=sum}");
	add_row(f, "i64[b, 2, t, t/2]", "pool %i {kernel=[2, 3], strides=[1, 2], pads_dim=[0, 1], join=where}");
	add_row(f, "i8[b, 2, t]", "pool %n {kernel=[40], pads_dim=[20], join=sum}");
	add_row(f, "i8[b, 2, t]", "pool %n {kernel=[2], pads_dim=[1]}");
	add_row(f, "i64[b, 2, 17]", "pool %n {kernel=[5], strides=[3], pads_dim=[1], join=where}");
}

/* Rows of two spatial axes, which are taken for many: blocks of them are packed by the kernel that multiplies them. */
static void make_linear_blocks(Family *f)
{
	symbol(f, "b", 0);
	symbol(f, "h", 0);
	symbol(f, "t", 0);
	param(f, "x: f32[b, h, t, 40]");
	param(f, "z: f32[b, 3, h, t]");
	param(f, "deep: f32[b, h, t, 700]"); /* more than a block of K */
	param(f, "b5: f32[5]");
	param(f, "res: f32[b, h, t, 48]");
	weights(f, "w5", "40, 5", 200);
	weights(f, "w48", "40, 48", 1920);
	weights(f, "w40", "40, 40", 1600);
	weights(f, "k", "8, 3, 5, 5", 600);
	weights(f, "wd", "700, 17", 11900);
	add_row(f, "f32[b, h, t, 5]", "linear %x, %w5, %b5");
	line(f, "%%e0: f32[b, h, t, 48] = linear %%x, %%w48, _");
	line(f, "%%e1: f32[b, h, t, 48] = add %%e0, %%res");
	line(f, "%%e2: f32[b, h, t, 48] = relu %%e1");
	result(f, "%e2", "f32[b, h, t, 48]");
	line(f, "%%y: f32[b, h, t, 40] = tanh %%x"); /* its only reader */
	line(f, "%%g0: f32[b, h, t, 40] = linear %%y, %%w40, _");
	add_row(f, "f32[b, h, t, 20]", "glu %g0 {axis=3, act=sigmoid}");
	add_row(f, "f32[b, 8, h, t]", "conv %z, %k, _ {pads=[2, 2, 2, 2]}");
	add_row(f, "f32[b, h, t, 17]", "linear %deep, %wd, _");
	/* rows that are read where they lie: windows two apart, taps apart, and channels that lie far from one another */
	weights(f, "k2", "70, 3, 3, 3", 1890);
	weights(f, "k5", "20, 3, 5, 5", 1500);
	weights(f, "w9", "3, 33", 99);
	add_row(f, "f32[b, 70, (h + 1)/2, (t + 1)/2]", "conv %z, %k2, _ {pads=[1, 1, 1, 1], strides=[2, 2]}");
	add_row(f, "f32[b, 20, h, t]", "conv %z, %k5, _ {pads=[4, 4, 4, 4], dilations=[2, 2]}");
	line(f, "%%last: f32[b, h, t, 3] = transpose %%z {perm=[0, 2, 3, 1]}");
	add_row(f, "f32[b, h, t, 33]", "linear %last, %w9, _");
	line(f, "%%flipped: f32[b, h, t, 40] = view %%x {base=39, strides_dim=[40*h*t, 40*t, 40, -1]}");
	add_row(f, "f32[b, h, t, 5]", "linear %flipped, %w5, _");
}

/* ---- Strassen ------------------------------------------------------------------------------------------------------ */

static int add_strassen(Family *f, const char *x, const char *rows, int depth, int columns, int parts, const char *bias)
{
	int panels = parts == 2 ? (columns / 2 + 15) / 16 : (columns + 31) / 32, id = f->nline++;
	char name[16], dims[40], type[64], value[16];

	snprintf(name, sizeof name, "w%d", id);
	snprintf(dims, sizeof dims, "%d, %d", depth, columns);
	weights(f, name, dims, depth * columns);
	line(f, "%%p%d: f32[%d, %d, 32] = strassen_weights %%w%d {parts=%d}", id, (panels + 1) / 2, 7 * depth / 2, id, parts);
	snprintf(type, sizeof type, "f32[%s, %d]", rows, columns);
	if (parts == 2)
		line(f, "%%g%d: f32[%s, %d] = group {", id, rows, columns / 2);
	line(f, "%%y%d: %s = strassen %%%s, %%p%d, %s {parts=%d}", id, type, x, id, bias, parts);
	snprintf(value, sizeof value, "%%y%d", id);
	if (parts == 1)
		result(f, value, type);
	return id;
}

/* Odd and even rows, one and two panels a pair, a part of a last panel; an epilogue, a gate; rows apart, columns apart, and the same
 * sums for two. */
static void make_strassen(Family *f)
{
	symbol(f, "a", 0);
	symbol(f, "m", 0);
	param(f, "x: f32[a, m, 64]");
	param(f, "long: f32[m, 1056]");
	param(f, "t: f32[32, m]");
	param(f, "b65: f32[65]");
	param(f, "b70: f32[70]");
	param(f, "res: f32[a, m, 65]");
	line(f, "%%cut: f32[a, m, 32] = slice %%x {starts=[0, 0, 19]}");
	line(f, "%%turned: f32[m, 32] = transpose %%t {perm=[1, 0]}");
	add_strassen(f, "x", "a, m", 64, 5, 1, "_");
	add_strassen(f, "cut", "a, m", 32, 64, 1, "_");
	add_strassen(f, "cut", "a, m", 32, 33, 1, "_");
	add_strassen(f, "turned", "m", 32, 96, 1, "_");
	add_strassen(f, "long", "m", 1056, 40, 1, "_");
	int id = add_strassen(f, "x", "a, m", 64, 65, 1, "%b65");
	line(f, "%%e0: f32[a, m, 65] = add %%y%d, %%res", id);
	line(f, "%%e1: f32[a, m, 65] = relu %%e0");
	result(f, "%e1", "f32[a, m, 65]");
	id = add_strassen(f, "x", "a, m", 64, 70, 2, "%b70");
	line(f, "%%u%d: f32[a, m, 35] = glu %%y%d {axis=2, act=sigmoid}\nyield %%u%d\n}", id, id, id);
	char value[16];
	snprintf(value, sizeof value, "%%g%d", id);
	result(f, value, "f32[a, m, 35]");
}

/* ---- products of bytes ---------------------------------------------------------------------------------------------- */

static int add_byte_linear(Family *f, const char *x, int inner, const char *rows, int depth, int columns)
{
	int id = f->nline++;
	char name[16], dims[40], type[64], value[16];

	snprintf(name, sizeof name, "w%d", id);
	snprintf(dims, sizeof dims, "%d, %d", depth, columns);
	weights(f, name, dims, depth * columns);
	line(f, "%%s%d: f32[%s] = mul %%w%d, @wide", id, dims, id);
	line(f, "%%c%d: i8[%s] = cast %%s%d", id, dims, id);
	line(f, "%%p%d: i32[%d, %d, 32] = pack_bytes %%c%d", id, (columns + 31) / 32, (depth + 3) / 4, id);
	snprintf(type, sizeof type, "i32[%s, %d]", rows, columns);
	line(f, "%%y%d: %s = linear_bytes %%%s, %%p%d {inner=%d}", id, type, x, id, inner);
	snprintf(value, sizeof value, "%%y%d", id);
	result(f, value, type);
	return id;
}

/* Parts of blocks and of groups, rows apart, columns apart, rows of several axes; an epilogue that makes bytes, and the same rows again; weights
 * that are no constant, and a view. */
/* So deep that several units meet each slice of the rows: plain, two panels a unit, halves that are widened, bytes; the last panel is half empty. */
static void make_linear_deep(Family *f)
{
	enum { K = 1100, N = 290 };
	symbol(f, "m", 0);
	add_text(&f->consts, "const @wide: f32[] = [127]\n");
	param(f, "x%d: f32[m, %d]", K, K);
	add_linear(f, 0, K, N, Residual);
	add_linear(f, 1, K, N, GluSecond);
	weights(f, "wh", "1100, 260", K * 260);
	line(f, "%%hh: f16[%d, 260] = cast %%wh\n%%gh: f32[%d, 260] = cast %%hh", K, K);
	add_row(f, "f32[m, 260]", "matmul %x1100, %gh");
	param(f, "bytes: u8[m, 4200]");
	add_byte_linear(f, "bytes", 1, "m", 4200, 260);
}

static void make_bytes(Family *f)
{
	symbol(f, "a", 0);
	symbol(f, "m", 0);
	param(f, "x: u8[a, m, 150]");
	param(f, "one: u8[m, 1]");
	param(f, "long: u8[m, 4200]");
	param(f, "t: u8[70, m]");
	param(f, "image: u8[a, m, 5, 23]");
	param(f, "scale: f32[65]");
	param(f, "zero: i32[65]");
	add_text(&f->consts, "const @wide: f32[] = [127]\n");
	line(f, "%%cut: u8[a, m, 64] = slice %%x {starts=[0, 0, 19]}");
	line(f, "%%turned: u8[m, 70] = transpose %%t {perm=[1, 0]}");
	line(f, "%%window: u8[a, m, 3, 19] = slice %%image {starts=[0, 0, 1, 2]}");
	param(f, "words: i32[32, 10, 1]");
	param(f, "short: u8[m, 38]");
	line(f, "%%given: i32[1, 10, 32] = transpose %%words {perm=[2, 1, 0]}");
	line(f, "%%yw: i32[m, 20] = linear_bytes %%short, %%given");
	result(f, "%yw", "i32[m, 20]");
	add_byte_linear(f, "x", 1, "a, m", 150, 5);
	add_byte_linear(f, "cut", 1, "a, m", 64, 64);
	add_byte_linear(f, "one", 1, "m", 1, 33);
	add_byte_linear(f, "turned", 1, "m", 70, 32);
	add_byte_linear(f, "long", 1, "m", 4200, 40);
	add_byte_linear(f, "image", 2, "a, m", 115, 16);
	add_byte_linear(f, "window", 2, "a, m", 57, 20);
	int id = add_byte_linear(f, "x", 1, "a, m", 150, 65);
	line(f, "%%e0: i32[a, m, 65] = sub %%y%d, %%zero", id);
	line(f, "%%e1: f32[a, m, 65] = cast %%e0");
	line(f, "%%e2: f32[a, m, 65] = mul %%e1, %%scale");
	line(f, "%%e3: f32[a, m, 65] = clip %%e2 {hi=255, lo=0}");
	line(f, "%%e4: u8[a, m, 65] = cast %%e3");
	result(f, "%e4", "u8[a, m, 65]");
}

/* ---- experts ------------------------------------------------------------------------------------------------------- */

enum { Experts = 5 };

/* rows: the dims of x but its last; a result, unless there are parts, which stay in an open group. */
static int add_experts(Family *f, const char *x, const char *rows, int depth, int columns, int parts, const char *bias, const char *which, const char *stored)
{
	int chunk = parts % 2 ? 32 : 16, panels = (columns / parts + chunk - 1) / chunk * (parts * chunk / 32), id = f->nline++;
	char name[16], dims[40], type[64], value[16];

	snprintf(name, sizeof name, "x%d", id);
	snprintf(dims, sizeof dims, "%d, %d, %d", Experts, depth, columns);
	weights(f, name, dims, Experts * depth * columns);
	line(f, "%%w%d: %s[%s] = cast %%x%d", id, stored, dims, id);
	line(f, "%%p%d: %s[%d, %d, %d, 32] = pack %%w%d {parts=%d}", id, stored, Experts, panels, depth, id, parts);
	snprintf(type, sizeof type, "f32[%s, %d]", rows, columns);
	if (parts > 1)
		line(f, "%%g%d: f32[%s, %d] = group {", id, rows, columns / parts);
	line(f, "%%y%d: %s = experts_packed %%%s, %%p%d, %s, %%%s {parts=%d}", id, type, x, id, bias, which, parts);
	snprintf(value, sizeof value, "%%y%d", id);
	if (parts == 1)
		result(f, value, type);
	return id;
}

/* A number for each row, for several, for all; of fewer rows than matrices, and of so many that a matrix has several blocks; parts of panels
 * and of units of them; an epilogue, a bias, gates; rows apart, columns apart, all rows one; numbers that are read with steps, and are constant;
 * shorter weights; matrices and panels that are computed, and other types. */
static void make_experts(Family *f)
{
	char value[16];
	symbol(f, "a", 0);
	symbol(f, "m", 0);
	param(f, "x: f32[a, 70]");
	param(f, "grid: f32[a, m, 40]");
	param(f, "t: f32[33, a]");
	param(f, "one: f32[1, 32]");
	param(f, "i5: i64[a]");
	param(f, "i5t: i32[m, a]");
	param(f, "i5s: i64[]");
	param(f, "b65: f32[5, 65]");
	param(f, "b70: f32[70, 5]");
	param(f, "res: f32[a, 65]");
	param(f, "r: f32[a, 1]");
	line(f, "%%turned: f32[a, 33] = transpose %%t {perm=[1, 0]}");
	line(f, "%%same: f32[a, 32] = expand %%one");
	line(f, "%%c70: f32[5, 70] = transpose %%b70 {perm=[1, 0]}");
	line(f, "%%places: i32[a, m] = transpose %%i5t {perm=[1, 0]}");
	add_text(&f->consts, "const @fixed: i64[5] = [3, 0, -1, 3, 1]\n");
	param(f, "few: f32[5, m, 7]");
	add_experts(f, "x", "a", 70, 5, 1, "_", "i5", "f32");
	add_experts(f, "turned", "a", 33, 64, 1, "_", "i5", "f32");
	add_experts(f, "same", "a", 32, 33, 1, "_", "i5", "f16");
	add_experts(f, "grid", "a, m", 40, 48, 1, "_", "i5", "f32");
	add_experts(f, "grid", "a, m", 40, 40, 1, "_", "places", "f32");
	add_experts(f, "grid", "a, m", 40, 20, 1, "_", "i5s", "bf16");
	int id = add_experts(f, "x", "a", 70, 65, 1, "%b65", "i5", "f32");
	line(f, "%%e0: f32[a, 65] = mul %%y%d, %%r\n%%e1: f32[a, 65] = add %%e0, %%res", id);
	result(f, "%e1", "f32[a, 65]");
	id = add_experts(f, "x", "a", 70, 70, 2, "%c70", "i5", "f32");
	line(f, "%%u%d: f32[a, 35] = glu %%y%d {axis=1, act=sigmoid}\nyield %%u%d\n}", id, id, id);
	snprintf(value, sizeof value, "%%g%d", id);
	result(f, value, "f32[a, 35]");
	id = add_experts(f, "turned", "a", 33, 51, 3, "_", "i5", "f32");
	for (int i = 0; i < 3; i++)
		line(f, "%%s%d: f32[a, 17] = view %%y%d {base=%d, strides_dim=[51, 1]}", i, id, 17 * i);
	line(f, "%%s3: f32[a, 17] = tanh %%s1\n%%s4: f32[a, 17] = mul %%s3, %%s0\n%%s5: f32[a, 17] = sub %%s4, %%s2\nyield %%s5\n}");
	snprintf(value, sizeof value, "%%g%d", id);
	result(f, value, "f32[a, 17]");
	weights(f, "wf", "5, 7, 12", 5 * 7 * 12);
	add_row(f, "f32[5, m, 12]", "experts %few, %wf, _, @fixed");
	param(f, "v: f32[5, 7, 36]");
	param(f, "vb: f32[5, 36]");
	add_row(f, "f32[5, m, 36]", "experts %few, %v, %vb, @fixed");
	line(f, "%%pv: f32[5, 3, 7, 32] = pack %%v {parts=3}\n%%gv: f32[5, m, 12] = group {");
	line(f, "%%yv: f32[5, m, 36] = experts_packed %%few, %%pv, %%vb, @fixed {parts=3}");
	for (int i = 0; i < 3; i++)
		line(f, "%%v%d: f32[5, m, 12] = view %%yv {base=%d, strides_dim=[36*m, 36, 1]}", i, 12 * i);
	line(f, "%%v3: f32[5, m, 12] = relu %%v0\n%%v4: f32[5, m, 12] = add %%v3, %%v1\n%%v5: f32[5, m, 12] = mul %%v4, %%v2\nyield %%v5\n}");
	result(f, "%pv", "f32[5, 3, 7, 32]");
	result(f, "%gv", "f32[5, m, 12]");
	param(f, "z: f64[a, 7]");
	param(f, "vz: f64[5, 7, 9]");
	param(f, "bz: f64[5, 9]");
	add_row(f, "f64[a, 9]", "experts %z, %vz, %bz, %i5");
}

/* ---- sparse weights ------------------------------------------------------------------------------------------------ */

/* Of five runs of elements, in the order of rows, `live` are not 0, nor -0. */
static bool is_live(int64_t i, int run, int live)
{
	return i / run * 7 % 5 < live;
}

/* Of a group: rows with anything but zeros, or what the longest of its columns has. */
static int group_entries(SparseColumns c, int depth, int columns, int run, int live, bool apart)
{
	int own[SparseWidth] = {0}, rows = 0, most = 0;

	for (int k = 0; k < depth; k++) {
		bool any = false;
		for (int64_t i = 0; i < c.count; i++) {
			bool is = is_live(k * columns + c.first + i, run, live);
			any |= is;
			own[i] += is;
		}
		rows += any;
	}
	for (int i = 0; i < SparseWidth; i++)
		most = own[i] > most ? own[i] : most;
	return apart ? most : rows;
}

/* rest: the bias, or attributes */
static int add_sparse(Family *f, const char *x, const char *rows, int depth, int columns, int parts, int live, bool apart, const char *rest)
{
	int id = f->nline++, entries = 0, groups = (int)sparse_groups(columns, parts), n = depth * columns, run = apart ? 1 : 16;
	char name[16], dims[40], type[64], value[16];

	for (int g = 0; g < groups; g++)
		entries += group_entries(sparse_columns(columns, parts, g), depth, columns, run, live, apart);
	snprintf(name, sizeof name, "v%d", id);
	snprintf(dims, sizeof dims, "%d", n);
	weights(f, name, dims, n);
	add_text(&f->consts, "const @run%d: i64[] = [%d]\nconst @live%d: i64[] = [%d]\n", id, run, id, live);
	snprintf(dims, sizeof dims, "i64[%d]", n);
	line(f, "%%i%d: %s = iota\n%%j%d: %s = idiv %%i%d, @run%d\n%%k%d: %s = mul %%j%d, @n7\n%%m%d: %s = imod %%k%d, @n5", id, dims, id, dims, id, id,
	     id, dims, id, id, dims, id);
	line(f, "%%l%d: bool[%d] = lt %%m%d, @live%d\n%%c%d: f32[%d] = cast %%l%d", id, n, id, id, id, n, id);
	line(f, "%%n%d: f32[%d] = mul %%v%d, %%c%d\n%%w%d: f32[%d, %d] = reshape %%n%d", id, n, id, id, id, depth, columns, id);
	line(f, "%%p%d: f32[%d, 16] = sparse_weights %%w%d {parts=%d, apart=%d}", id, entries, id, parts, apart);
	line(f, "%%q%d: i32[%d] = sparse_index %%w%d {parts=%d, apart=%d}", id, groups + 1 + entries * sparse_places(apart), id, parts, apart);
	snprintf(type, sizeof type, "f32[%s, %d]", rows, columns);
	if (parts == 2)
		line(f, "%%g%d: f32[%s, %d] = group {", id, rows, columns / 2);
	line(f, "%%y%d: %s = sparse %%%s, %%p%d, %s, %%q%d {parts=%d, apart=%d%s}", id, type, x, id, *rest == '%' ? rest : "_", id, parts, apart,
	     *rest == '%' ? "" : rest);
	snprintf(value, sizeof value, "%%y%d", id);
	if (parts == 1)
		result(f, value, type);
	return id;
}

/* No weights and all of them, parts of panels, runs across blocks of the packed rows; an epilogue, a gate; rows apart, two inner axes, rows
 * that a kernel packs by itself; one row by columns apart. */
static void make_sparse(Family *f)
{
	symbol(f, "a", 0);
	symbol(f, "m", 0);
	param(f, "x: f32[a, m, 70]");
	param(f, "t: f32[33, m]");
	param(f, "heads: f32[m, 3, 5, 4]");
	param(f, "b65: f32[65]");
	param(f, "b70: f32[70]");
	param(f, "res: f32[a, m, 65]");
	add_text(&f->consts, "const @n7: i64[] = [7]\nconst @n5: i64[] = [5]\n");
	param(f, "grid: f32[a, m, 20, 40]");
	param(f, "row: f32[1, 70]");
	param(f, "column: f32[70, 1]");
	line(f, "%%row2: f32[1, 70] = transpose %%column {perm=[1, 0]}");
	add_sparse(f, "row", "1", 70, 65, 1, 1, true, "%b65");
	add_sparse(f, "row2", "1", 70, 48, 1, 0, true, "");
	add_sparse(f, "row", "1", 70, 33, 1, 5, true, "");
	line(f, "%%cut: f32[a, m, 32] = slice %%x {starts=[0, 0, 19]}");
	line(f, "%%turned: f32[m, 33] = transpose %%t {perm=[1, 0]}");
	line(f, "%%merged: f32[m, 5, 3, 4] = transpose %%heads {perm=[0, 2, 1, 3]}");
	add_sparse(f, "x", "a, m", 70, 5, 1, 1, false, "");
	add_sparse(f, "cut", "a, m", 32, 64, 1, 0, false, "");
	add_sparse(f, "cut", "a, m", 32, 48, 1, 5, false, "");
	add_sparse(f, "turned", "m", 33, 96, 1, 2, false, "");
	add_sparse(f, "grid", "a, m, 20", 40, 48, 1, 2, false, "");
	add_sparse(f, "merged", "m", 60, 40, 1, 2, false, ", inner=3");
	int id = add_sparse(f, "x", "a, m", 70, 65, 1, 2, false, "%b65");
	line(f, "%%e0: f32[a, m, 65] = add %%y%d, %%res", id);
	line(f, "%%e1: f32[a, m, 65] = relu %%e0");
	result(f, "%e1", "f32[a, m, 65]");
	id = add_sparse(f, "x", "a, m", 70, 70, 2, 1, false, "%b70");
	line(f, "%%u%d: f32[a, m, 35] = glu %%y%d {axis=2, act=sigmoid}\nyield %%u%d\n}", id, id, id);
	char value[16];
	snprintf(value, sizeof value, "%%g%d", id);
	result(f, value, "f32[a, m, 35]");
}

/* ---- Winograd ------------------------------------------------------------------------------------------------------ */

static int add_winograd(Family *f, const char *x, int channels, int outputs, int tile, const char *pads, const char *places, const char *bias)
{
	int size = tile + 2, panels = (outputs + 31) / 32, id = f->nline++;
	char name[16], dims[40], type[64], value[16], node[200];

	snprintf(name, sizeof name, "w%d", id);
	snprintf(dims, sizeof dims, "3, 3, %d, %d", channels, outputs);
	weights(f, name, dims, 9 * channels * outputs);
	line(f, "%%u%d: f32[%d, %d] = winograd_weights %%w%d {tile=%d}", id, size * size * channels, outputs, id, tile);
	line(f, "%%p%d: f32[%d, %d, 32] = pack %%u%d", id, panels, size * size * channels, id);
	snprintf(type, sizeof type, "f32[%s, %d]", places, outputs);
	snprintf(value, sizeof value, "%%y%d", id);
	snprintf(node, sizeof node, "winograd %%%s, %%p%d, %s {tile=%d%s%s}", x, id, bias, tile, *pads ? ", pads=" : "", pads);
	line(f, "%s: %s = %s", value, type, node);
	result(f, value, type);
	return id;
}

static void make_winograd(Family *f)
{
	symbol(f, "b", 0);
	symbol(f, "h", 0);
	symbol(f, "t", 0);
	param(f, "x: f32[b, h, t, 3]");
	param(f, "y: f32[b, h, t, 40]");
	param(f, "z: f32[b, 40, h, t]"); /* channels apart */
	param(f, "long: f32[b, h + 2, t + 2, 300]");
	param(f, "b5: f32[5]");
	param(f, "b48: f32[48]");
	param(f, "res: f32[b, h, t, 48]");
	line(f, "%%v: f32[b, h, t, 40] = transpose %%z {perm=[0, 2, 3, 1]}");
	for (int tile = 2; tile <= 4; tile += 2) {
		add_winograd(f, "x", 3, 5, tile, "[1, 1, 1, 1]", "b, h, t", "%b5");
		add_winograd(f, "y", 40, 48, tile, "[2, 0, 0, 2]", "b, h, t", "_");
		add_winograd(f, "v", 40, 33, tile, "[5, 1, 0, 3]", "b, h + 3, t + 2", "_");
	}
	add_winograd(f, "long", 300, 17, 4, "", "b, h, t", "_");
	param(f, "given: f32[32, 48, 1]"); /* panels that are computed, and lie in another order */
	line(f, "%%panels: f32[1, 48, 32] = transpose %%given {perm=[2, 1, 0]}");
	add_row(f, "f32[b, h, t, 7]", "winograd %x, %panels, _ {tile=2, pads=[1, 1, 1, 1]}");
	int id = add_winograd(f, "y", 40, 48, 4, "[1, 1, 1, 1]", "b, h, t", "%b48");
	line(f, "%%e0: f32[b, h, t, 48] = add %%y%d, %%res", id);
	line(f, "%%e1: f32[b, h, t, 48] = relu %%e0");
	result(f, "%e1", "f32[b, h, t, 48]");
}

/* ---- Fourier transforms -------------------------------------------------------------------------------------------- */

/* Rows and columns, of views too; real and complex, inverse; some of the bins, or the real parts alone. */
static void make_dft(Family *f)
{
	symbol(f, "c", 0);
	symbol(f, "n", 0);
	param(f, "x: f32[c, n]");
	param(f, "y: f32[c, n]");
	param(f, "z: f32[n, c]");
	param(f, "u: f32[n, c]");
	param(f, "d: f64[c, n]");
	param(f, "v: f32[n]");
	param(f, "few: f32[c, n, 3]");
	add_row(f, "f32[2, c, n]", "dft %x, _, _ {axis=1}");
	add_row(f, "f32[1, c, n]", "dft %x, %y, _ {axis=1, inverse=1}");
	add_row(f, "f32[2, n, c]", "dft %z, %u, _");
	add_row(f, "f32[2, n - n/2, c]", "dft %z, _, _");
	add_row(f, "f32[2, n, c]", "dft %z, _, _ {inverse=1}");
	add_row(f, "f64[2, c, min(n, 5)]", "dft %d, %d, _ {axis=1}");
	add_row(f, "f32[2, n]", "dft %v, _, _");
	add_row(f, "f32[1, c, n, 3]", "dft %few, %few, _ {axis=1}");
	param(f, "p: f32[n + 1, c + 1]"); /* the real part of a transform along two axes */
	line(f, "%%a0: f32[2, n + 1, c + 1] = dft %%p, _, _ {axis=1}");
	line(f, "%%a1: f32[1, n + 1, c + 1] = slice %%a0 {starts=[0, 0, 0]}");
	line(f, "%%a2: f32[1, n + 1, c + 1] = slice %%a0 {starts=[1, 0, 0]}");
	line(f, "%%a3: f32[n + 1, c + 1] = reshape %%a1");
	line(f, "%%a4: f32[n + 1, c + 1] = reshape %%a2");
	line(f, "%%a5: f32[2, n + 1, c + 1] = dft %%a3, %%a4, _ {inverse=1}");
	add_row(f, "f32[1, n + 1, c + 1]", "slice %a5 {starts=[0, 0, 0]}");
	line(f, "%%t: f32[c, n] = transpose %%z {perm=[1, 0]}");
	line(f, "%%e: f32[c, n] = expand %%v");
	add_row(f, "f32[2, c, n]", "dft %t, %e, _ {axis=1}");
}

/* ---- what reuses the workspace ----------------------------------------------------------------------------------- */

/* A small layer: slots are reused, epilogues read what other steps wrote. */
static void make_layer(Family *f)
{
	symbol(f, "b", 0);
	symbol(f, "t", 0);
	param(f, "x: f32[b, t, 24]");
	weights(f, "w1", "24, 48", 1152);
	weights(f, "w2", "24, 12", 288);
	weights(f, "w3", "24, 24", 576);
	line(f, "%%0: f32[b, t, 48] = matmul %%x, %%w1");
	line(f, "%%1: f32[b, t, 24] = glu %%0 {axis=2, act=sigmoid}");
	line(f, "%%2: f32[b, t, 12] = matmul %%1, %%w2");
	line(f, "%%3: f32[b, t, 4, 3] = reshape %%2");
	line(f, "%%4: f32[b, t, 4, 3] = softmax %%3 {axis=3}");
	line(f, "%%5: f32[b, t, 24] = winconv %%1, %%4 {heads=4, pads_dim=[1]}");
	line(f, "%%6: f32[b, t, 24] = matmul %%5, %%w3");
	line(f, "%%7: f32[b, t, 24] = add %%6, %%x");
	line(f, "%%8: f32[b, t, 24] = norm %%7, _, _ {axis=2}");
	result(f, "%8", "f32[b, t, 24]");
	line(f, "%%9: f32[t, b, 24] = transpose %%8 {perm=[1, 0, 2]}");
	line(f, "%%10: f32[t, b, 24] = matmul %%9, %%w3");
	result(f, "%10", "f32[t, b, 24]");
}

static void run_ewise(void)
{
	static const char *const dtypes_tried[] = {"f32", "f64", "i64", "i32", "i8", "u8", "bool"};
	for (size_t i = 0; i < sizeof dtypes_tried / sizeof *dtypes_tried; i++) {
		char name[16];
		snprintf(name, sizeof name, "ewise_%s", dtypes_tried[i]);
		family_dtype = dtypes_tried[i];
		run_family(name, make_ewise, SWEEP("n=0-3,15-17,33,500", "n=4095-4097"), NULL);
	}
}

static const struct {
	const char *name;
	void (*make)(Family *);
	const char *sweeps[6];
	const char *fixed[4];
} families[] = {
	{"linear", make_linear, {"m=0-29", "m=127,252,253,257,300"}, {"m=1", "m=14"}},
	{"linear_deep", make_linear_deep, {"m=0,1,8,15,29,257"}, {"m=17"}},
	{"linear_half", make_linear_half, {"m=0-4,13-16,29,257"}, {"m=1", "m=15"}},
	{"linear_scaled", make_linear_scaled, {"m=0-4,13-16,29,257"}, {"m=1", "m=15"}},
	{"linear_row", make_linear_row, {"t=1-3"}, {"t=2"}},
	{"linear_windows", make_linear_windows, {"m=0-4,13-16,29"}, {"m=2", "m=15"}},
	{"linear_panels", make_linear_panels, {"m=0-2,15 k=0,1,7 n=0-2,15-17,31-33,65"}, {"m=3 k=5 n=33"}},
	{"linear_loops", make_linear_loops, {"b=1 t=0-3", "b=0,2,5 t=2"}, {NULL}},
	{"linear_views", make_linear_views, {"b=0-3 t=0,1,5,14,15", "b=1 t=29"}, {"b=2 t=7", "b=1 t=1", "b=0 t=3"}},
	{"matmul",
	 make_matmul,
	 {"b=1 k=5 n=7 m=0-29", "b=2 m=5 k=9 n=0-2,15-17,31-33,63-65", "b=1 m=3 n=17 k=0-3,15-17,255-257,513",
	  "b=0-3 m=3 k=4 n=5", "b=2 m=13-15,28 n=33 k=17"},
	 {"b=2 m=15 k=32 n=33", "b=1 m=1 k=1 n=1", "b=2 m=3 k=0 n=4"}},
	{"row_matmul",
	 make_row_matmul,
	 {"b=0-3 k=0-3,15-17,33 n=1,17", "b=2 k=5,20 n=0-3,15-17,31-33,63-65,127-130,260", "b=7 k=300 n=70"},
	 {"b=2 k=17 n=70", "b=1 k=32 n=1", "b=2 k=0 n=5"}},
	{"plain_matmul",
	 make_plain_matmul,
	 {"b=0-3 k=0,1,5 n=0,1,15-17,33 m=0,1,4"},
	 {"b=2 m=3 k=5 n=17", "b=1 m=1 k=1 n=1", "b=2 m=3 k=0 n=16"}},
	{"winconv", make_winconv, {"b=1 t=0-9", "b=0,2 t=1,5,33", "b=1 t=255-257,300"}, {"b=1 t=6"}},
	{"winconv_views", make_winconv_views, {"b=0-2 t=0-6,257"}, {"b=2 t=9", "b=1 t=1", "b=2 t=0"}},
	{"window_places",
	 make_window_places,
	 {"b=1 h=1-4 t=0-10,14-17,33 c=5", "b=0,2 h=0,2,9 t=0,1,7 c=0,1,16", "b=3 h=7 t=30 c=17"},
	 {"b=1 h=3 t=17 c=16", "b=2 h=2 t=5 c=3"}},
	{"attention",
	 make_attention,
	 {"b=1 s=7 t=0-16,28,29", "b=2 t=5 s=0-3,15-17,31-33,63-65", "b=0 t=3 s=3", "b=2 t=15 s=257", "b=1 t=33 s=33"},
	 {"b=2 t=5 s=9", "b=1 t=1 s=17"}},
	{"masks",
	 make_masks,
	 {"b=1 s=100 t=0-5,14-16,29,100", "b=2 t=5 s=0-3,15-17,31-33,63-65,257", "b=0 t=3 s=3", "b=2 t=60 s=65"},
	 {"b=2 t=50 s=50", "b=1 t=1 s=70"}},
	{"chunks", make_chunks, {"b=0-2 t=0,1,5,17,64"}, {"b=1 t=15"}},
	{"rows",
	 make_rows,
	 {"a=2 c=0-3,15-17,31-33,64,100", "a=0,1,17 c=1,5,17"},
	 {"a=2 c=32", "a=3 c=17", "a=1 c=1", "a=0 c=4"}},
	{"reductions", make_reductions, {"a=1,2,17 c=1-3,15-17,33,64,300"}, {"a=2 c=33"}},
	{"made_reductions", make_made_reductions, {"a=0-2,17,65 c=0-3,15-17,33,64,130"}, {"a=17 c=33"}},
	{"levels", make_levels, {"a=0,1,520 c=0,1,9"}, {"a=520 c=9"}},
	{"nothing", make_nothing, {"a=300 b=20000 c=0", "a=65536 b=0 c=3", "a=0-2 b=0-3,17 c=0,1,17"}, {"a=3 b=0 c=5"}},
	{"empty_sums", make_empty_sums, {"a=0-3 c=0,1,17"}, {"a=2 c=0", "a=0 c=3"}},
	{"cumsum", make_cumsum, {"a=0-3,17,40 c=0-3,15-17,33"}, {"a=2 c=17", "a=1 c=1", "a=3 c=16", "a=0 c=3"}},
	{"broadcast",
	 make_broadcast,
	 {"a=0-3 c=0,1,2,15-17,33", "a=17 c=16", "a=1 c=4100"},
	 {"a=2 c=17", "a=3 c=16", "a=1 c=1"}},
	{"many_dims", make_many_dims, {"a=0-2 c=0-3,17"}, {"a=2 c=3"}},
	{"moves", make_moves, {"a=1,2,5,17 c=1-3,15-17,33"}, {"a=3 c=17", "a=1 c=16"}},
	{"packed", make_packed, {"a=0-3,17 c=0-9,15-17,31-33,63-65", "a=1 c=127-129,1000"}, {"a=3 c=17", "a=1 c=1", "a=2 c=32", "a=0 c=5"}},
	{"reflect", make_reflect, {"a=3-6,15-17,33"}, {"a=5"}},
	{"gathers", make_gathers, {"a=0-3,17 c=0-3,15-17,33", "a=63-65,130 c=0-3"}, {"a=3 c=17", "a=1 c=1", "a=0 c=2", "a=65 c=2"}},
	{"top_k", make_top_k, {"a=0-5,17 c=0-9,15-17,33", "a=1,2 c=63,64,300"}, {"a=3 c=17", "a=1 c=1", "a=2 c=0", "a=2 c=70"}},
	{"nms", make_nms, {"b=0-2 n=0-3,15-17,33,100"}, {"b=2 n=17", "b=1 n=0"}},
	{"conv", make_conv, {"b=0,1 t=5-8,16-18,33", "b=2 t=9"}, {"b=1 t=17", "b=2 t=5"}},
	{"conv_lines", make_conv_lines, {"b=0,1 t=0-3,15-17,47-49,127-130", "b=2 t=1100"}, {"b=1 t=17", "b=2 t=96", "b=1 t=130"}},
	{"feed", make_feed, {"b=0-2 t=0-9", "b=3 t=17"}, {"b=1 t=6", "b=2 t=1"}},
	{"stored", make_stored, {"b=0-2 t=0-9", "b=1 t=13-16,28,29", "b=3 t=19"}, {"b=3 t=5"}},
	{"feed_shared", make_feed_shared, {"b=0-2 t=0-3,9"}, {"b=2 t=5"}},
	{"feed_not", make_feed_not, {"b=0-2 t=0-5", "b=2 t=9"}, {"b=2 t=5"}},
	{"row_blocks", make_row_blocks, {"b=0-2 t=0-3,13-15,80", "b=1 t=159-161,253,600", "b=3 t=201"}, {"b=2 t=130", "b=3 t=5", "b=0 t=4"}},
	{"group_conv", make_group_conv, {"b=0,1 t=0-10,15-18,33 c=0,1,16", "b=2 t=9 c=15,17,130"}, {"b=1 t=17 c=16", "b=2 t=5 c=3"}},
	{"linear_blocks", make_linear_blocks, {"b=1 h=1-4 t=1-5,14,29", "b=0,2 h=0,3,30 t=0,5,20"}, {"b=2 h=33 t=40", "b=0 h=33 t=40", "b=1 h=40 t=43", "b=3 h=200 t=3"}},
	{"strassen", make_strassen, {"a=1 m=0-9,27-30,55-57", "a=0,2 m=0,3,15", "a=1 m=256,257,600", "a=3 m=101"}, {"a=1 m=29", "a=3 m=6", "a=0 m=4"}},
	{"bytes", make_bytes, {"a=1 m=0-9,11-15,27-30", "a=0,2 m=0,3,15", "a=1 m=257,600", "a=3 m=101"}, {"a=1 m=29", "a=3 m=6", "a=0 m=4"}},
	{"sparse", make_sparse, {"a=1 m=0-9,27-30,55-57", "a=0,2 m=0,3,15", "a=1 m=257,600", "a=30 m=41"}, {"a=1 m=1", "a=3 m=6", "a=0 m=4"}},
	{"experts", make_experts, {"a=0-5,9,17,57 m=0,1,3", "a=3 m=5,100,400", "a=1500 m=1"}, {"a=7 m=2", "a=1 m=1", "a=40 m=3", "a=0 m=4"}},
	{"winograd", make_winograd, {"b=1 h=1-5,9 t=1-5,8,13", "b=0,2 h=0,3 t=0,5", "b=3 h=7 t=30"}, {"b=1 h=7 t=7", "b=2 h=5 t=14", "b=1 h=0 t=4"}},
	{"dft",
	 make_dft,
	 {"c=1 n=0-64,96,128", "c=0,2,15-17,33 n=1,5,12", "c=3 n=100,121", "c=16 n=384,509", "c=17 n=512,768"},
	 {"c=17 n=60", "c=3 n=77", "c=16 n=64", "c=1 n=1"}},
	{"pool", make_pool, {"b=0,1 t=0-8,16-18,33", "b=2 t=9"}, {"b=1 t=17", "b=2 t=5", "b=1 t=0"}},
	{"layer", make_layer, {"b=0-2 t=0-4,14-17,33", "b=1 t=257", "b=3 t=100"}, {"b=1 t=9", "b=1 t=1"}},
};

static void run_fixed(size_t i)
{
	for (size_t k = 0; k < 4 && families[i].fixed[k]; k++)
		run_family(families[i].name, families[i].make, NULL, families[i].fixed[k]);
}

/* schedule_test: all families; schedule_test NAME: one, also for fixed dims; schedule_test fixed: all for fixed dims only */
int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;
	bool fixed = name && !strcmp(name, "fixed");
	for (int i = 0; i < ntargets; i++)
		if (!has_target(&targets[i]))
			printf("schedule: this CPU cannot run %s: only interpreted\n", targets[i].name);
	for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
		bool named = name && !strcmp(name, families[i].name);
		if (!name || named)
			run_family(families[i].name, families[i].make, families[i].sweeps, NULL);
		if (fixed || named)
			run_fixed(i);
	}
	if (!name || !strcmp(name, "ewise"))
		run_ewise();
	if (!fixed) {
		check_bad_indices();
		check_empty_pads();
	}
	return test_end("schedule");
}
