/* shape_test.c - shape functions, symbols, known elements and the verifier, against wrong modules and what must be known of right ones. */
#include "eval_case.h"

/* ---- what must be refused --------------------------------------------------------------------------------------- */

/* consts, type and nodes as in Case; a part of the message of the parser, or of the evaluator */
typedef struct Wrong {
	const char *consts, *type, *nodes, *message;
} Wrong;

#define A23 "const @a: f32[2, 3] = [1, 2, 3, 4, 5, 6] "

static const Wrong wrong_shapes[] = {
	{A23 "const @b: f32[2] = [1, 2]", "f32[2, 3]", "%y: f32[2, 3] = add @a, @b",
	 "cannot broadcast f32[2, 3] with f32[2]"},
	{A23 "const @b: i64[3] = [1, 2, 3]", "f32[2, 3]", "%y: f32[2, 3] = add @a, @b",
	 "element types differ: f32 and i64"},
	{"const @a: i32[1] = [1]", "i32[1]", "%y: i32[1] = exp @a", "does not take i32"},
	{"const @a: i32[1] = [1]", "f64[1]", "%y: f64[1] = bitcast @a", "i32 has other bits than f64"},
	{"const @a: bool[1] = [1]", "u8[1]", "%y: u8[1] = bitcast @a", "bitcast: does not take bool"},
	{"const @a: i4[1] = [1]", "i4[2]", "%y: i4[2] = concat @a, @a {state=4}", "no state has elements of i4"},
	{"const @a: bool[1] = [1]", "bool[1]", "%y: bool[1] = add @a, @a", "does not take bool"},
	{A23 "const @b: f32[2, 3] = [1, 2, 3, 4, 5, 6]", "f32[2, 3]", "%y: f32[2, 3] = matmul @a, @b",
	 "inner dimensions differ: 3 and 2"},
	{A23 "const @b: f32[2, 3] = [1, 2, 3, 4, 5, 6]", "f32[2, 3]", "%y: f32[2, 3] = linear @a, @b, _",
	 "inner dimensions differ: 3 and 2"},
	{A23, "f32[2, 3]", "%y: f32[2, 3] = softmax @a {axis=2}", "axis 2 is out of range for f32[2, 3]"},
	{A23, "f32[2, 3]", "%y: f32[2, 3] = softmax @a {axis=-1}", "axis -1 is out of range"},
	{A23, "f32[2, 3]", "%y: f32[2, 3] = cumsum @a {axis=2}", "axis 2 is out of range for f32[2, 3]"},
	{A23, "f32[]", "%y: f32[] = sum @a {axes=[1, 0]}", "axes must be ascending"},
	{A23, "f32[2]", "%y: f32[2] = glu @a {axis=1}", "3 is not a multiple of 2"},
	{A23, "f32[3, 2]", "%y: f32[3, 2] = transpose @a {perm=[1, 1]}", "not a permutation"},
	{A23, "f32[5]", "%y: f32[5] = reshape @a", "element counts differ: 6 and 5"},
	{A23, "f32[4, 3]", "%y: f32[4, 3] = expand @a", "cannot broadcast f32[2, 3] to f32[4, 3]"},
	{A23, "f32[2, 2]", "%y: f32[2, 2] = slice @a {starts=[0, 2]}", "leave f32[2, 3]"},
	{A23, "f32[2, 2]", "%y: f32[2, 2] = slice @a {starts=[0, 0], steps=[1, 0]}", "step 0"},
	{A23, "f32[4]", "%y: f32[4] = view @a {base=3, strides_dim=[1]}", "leaves f32[2, 3] by 1"},
	{A23, "f32[4]", "%y: f32[4] = view @a {base=1, strides_dim=[-1]}", "leaves f32[2, 3] by 2"},
	{A23, "f32[1, 3]", "%y: f32[1, 3] = pad @a {pads_dim=[-3, 0, 0, 0]}", "negative"},
	{A23 "const @b: f32[1, 2] = [1, 2]", "f32[3, 3]", "%y: f32[3, 3] = concat @a, @b",
	 "dims of axis 1 differ: 3 and 2"},
	{A23, "f32[2, 3]", "%y: f32[2, 3] = gather @a, @a", "expected integers"},
	{A23, "f32[2, 2, 4]", "%y: f32[2, 2, 4] = dft @a, _, _ {axis=1}", "less that of the result is negative: -1"},
	{A23, "f32[3, 2, 3]", "%y: f32[3, 2, 3] = dft @a, _, _ {axis=1}", "neither one part nor two in front"},
	{A23, "f32[2, 3]", "%y: f32[2, 3] = dft @a, _, _", "the result has rank 2, expected 3"},
	{A23, "f32[2, 2, 3]", "%y: f32[2, 2, 3] = dft @a, _, _ {axis=2}", "axis 2 is out of range"},
	{A23, "f32[2, 1, 3]", "%y: f32[2, 1, 3] = dft @a, _, _ {axis=1}", "dims of operand and result differ: 2 and 1"},
	{A23 "const @b: f32[3, 2] = [1, 2, 3, 4, 5, 6]", "f32[2, 2, 3]", "%y: f32[2, 2, 3] = dft @a, @b, _ {axis=1}", "dims of re and im differ: 2 and 3"},
	{A23 "const @b: f32[3, 2] = [1, 2, 3, 4, 5, 6]", "f32[2, 2, 3]", "%y: f32[2, 2, 3] = dft @a, _, @b", "length and waves differ: 2 and 3"},
	{A23, "i64[3, 3]", "%y: i64[3, 3] = top_k @a", "is negative: -1"},
	{A23, "i64[2, 1]", "%y: i64[2, 1] = top_k @a", "dims of operand and result differ: 3 and 1"},
	{A23, "i32[1, 3]", "%y: i32[1, 3] = top_k @a", "has type i32, expected i64"},
	{BOXES "const @o: i64[2, 1, 1] = [0, 0] const @m: i64[] = [0] const @t: f32[] = [0]", "bool[2, 1, 1]",
	 "%y: bool[2, 1, 1] = nms @b, @o, @m, @t", "batch dims of boxes and order differ: 1 and 2"},
	{BOXES "const @o: i64[1, 1, 1] = [0] const @m: i32[] = [0] const @t: f32[] = [0]", "bool[1, 1, 1]",
	 "%y: bool[1, 1, 1] = nms @b, @o, @m, @t", "operand most has type i32, expected i64"},
	{A23, "i64[6]", "%y: i64[6] = top_k @a", "the result has rank 1, expected 2"},
	{"const @b: bool[2] = [1, 0]", "i64[1]", "%y: i64[1] = top_k @b", "does not take bool"},
	{"const @x: f32[1, 3, 4] = [0,0,0,0,0,0,0,0,0,0,0,0] const @w: f32[2, 2, 1] = [1, 2, 3, 4]", "f32[1, 2, 4]",
	 "%y: f32[1, 2, 4] = conv @x, @w, _", "differ: 3 and 2"},
	{"const @x: f32[1, 1, 2] = [1, 2] const @w: f32[1, 1, 4] = [1, 2, 3, 4]", "f32[1, 1, 0]",
	 "%y: f32[1, 1, 0] = conv @x, @w, _", "output extent is negative: -1"},
	{"const @x: f32[1, 1, 3] = [1, 2, 3] const @w: f32[2, 1] = [1, 2]", "f32[1, 1, 3]",
	 "%y: f32[1, 1, 3] = winconv @x, @w {heads=2, pads_dim=[0]}", "3 is not a multiple of 2"},
	{"const @x: f32[1, 1, 1, 2] = [1, 2] const @w: f32[1, 1, 1, 1] = [1]", "f32[1, 1, 1, 2]",
	 "%y: f32[1, 1, 1, 2] = winconv @x, @w {pads_dim=[0, 0]}", "w has rank 4, expected [heads, taps..] or [batch, places.., heads, taps..]"},
	{"const @x: f32[1, 1, 2] = [1, 2] const @w: f32[1, 2, 1, 1] = [1, 2]", "f32[1, 1, 2]",
	 "%y: f32[1, 1, 2] = winconv @x, @w {pads_dim=[0]}", "batch or places of w and the result differ: 2 and 1"},
	{"const @x: f32[1, 1, 2] = [1, 2] const @w: f32[1, 1] = [1]", "f32[1, 1, 2]", "%y: f32[1, 1, 2] = winconv @x, @w",
	 "pads_dim does not have one entry per spatial axis"},
	{"const @x: f32[1, 1, 2] = [1, 2] const @w: f32[1, 3] = [1, 2, 3]", "f32[1, 1, 2]",
	 "%y: f32[1, 1, 2] = winconv @x, @w {dilations=[2000000000], pads_dim=[0]}", "a window of 3 elements is out of range"},
	{"const @q: f32[1, 1, 3, 1] = [1, 2, 3] const @k: f32[1, 1, 2, 1] = [1, 2]", "f32[1, 1, 3, 1]",
	 "%y: f32[1, 1, 3, 1] = attention @q, @k, @k, _", "3 is not a multiple of 2"},
};

static const Wrong wrong_data[] = {
	{BOXES "const @o: i64[1, 1, 2] = [0, 4] const @m: i64[] = [0] const @t: f32[] = [0]", "bool[1, 1, 2]",
	 "%y: bool[1, 1, 2] = nms @b, @o, @m, @t", "index 4 is out of range for an extent of 4"},
	{A23 "const @i: i64[2] = [0, 2]", "f32[2, 3]", "%y: f32[2, 3] = gather @a, @i",
	 "index 2 is out of range for an extent of 2"},
	{A23 "const @i: i64[1] = [-3]", "f32[1, 3]", "%y: f32[1, 3] = gather @a, @i", "index -3 is out of range"},
	{A23 "const @i: i64[1, 1] = [3]", "f32[1, 1]", "%y: f32[1, 1] = gather_elements @a, @i {axis=1}",
	 "index 3 is out of range"},
	{A23 "const @i: i64[1, 3] = [0, 3, 0] const @u: f32[1, 3] = [0, 0, 0]", "f32[2, 3]",
	 "%y: f32[2, 3] = scatter_elements @a, @i, @u {axis=1}", "index 3 is out of range"},
	{A23 "const @i: i64[1, 1] = [-3] const @u: f32[1, 3] = [0, 0, 0]", "f32[2, 3]", "%y: f32[2, 3] = scatter_nd @a, @i, @u",
	 "index -3 is out of range"},
	{A23 "const @i: i64[1, 2] = [1, 9223372036854775807]", "f32[1]", "%y: f32[1] = gather_nd @a, @i",
	 "index 9223372036854775807 is out of range"},
};

static void check_wrong_shape(const Wrong *w)
{
	Case c = {.consts = w->consts, .type = w->type, .nodes = w->nodes};
	char message[600], *text = case_text(&c);
	Module *m = parse_or_say(text, message, sizeof message);
	free(text);
	CHECK(!m);
	expect_text(message, w->message);
	free_module(m);
}

static void check_wrong_data(const Wrong *w)
{
	Case c = {.consts = w->consts, .type = w->type, .nodes = w->nodes};
	char message[600], *text = case_text(&c);
	Module *m = parse_or_say(text, message, sizeof message);
	free(text);
	if (!m)
		fprintf(stderr, "%s", message);
	CHECK(m);
	Tensor y;
	const char *wrong = m ? eval_module(m, NULL, &y) : "";
	expect_text(wrong ? wrong : "", w->message);
	CHECK(!m || !y.data);
	free_module(m);
}

/* ---- symbols ---------------------------------------------------------------------------------------------------- */

static const char symbolic[] = "dcc-ir 1 stage import\nmodel t #0000000000000000\n"
			       "sym b in 0..\nsym s in 1..100\nsym p in 0..\n"
			       "func @main(%x: f32[b, 2*s + 1], %z: f32[s, p + s]) "
			       "-> (y: f32[b, 2*s + 1], n: i64[2]) {\n"
			       "%y: f32[b, 2*s + 1] = neg %x\n"
			       "%n: i64[2] = dims {values=[b*s, p]}\n"
			       "return %y, %n\n}\n";

static Tensor make_input(int64_t rows, int64_t cols)
{
	Tensor t = {.dtype = F32, .rank = 2, .dims = {rows, cols}};
	t.data = calloc((size_t)(rows * cols) + 1, sizeof(float));
	for (int64_t i = 0; i < rows * cols; i++)
		((float *)t.data)[i] = (float)i;
	return t;
}

static void check_binding(int64_t b, int64_t width, int64_t s, int64_t width2, const char *message)
{
	char text[600];
	Module *m = parse_or_say(symbolic, text, sizeof text);
	if (!m)
		fprintf(stderr, "%s", text);
	CHECK(m);
	if (!m)
		return;
	Tensor in[2] = {make_input(b, width), make_input(s, width2)}, out[2];
	const char *wrong = eval_module(m, in, out);
	if (message) {
		expect_text(wrong ? wrong : "", message);
	} else {
		CHECK(!wrong);
		double dims[] = {(double)(b * s), (double)(width2 - s)};
		if (!wrong)
			check_tensor("dims", &out[1], 2, dims);
	}
	for (int i = 0; i < 2; i++) {
		free_tensor(&out[i]);
		free_tensor(&in[i]);
	}
	free_module(m);
}

/* Symbols that no dim states by itself: 3*n + 1, two dims that only together give k and u, p*q where p is known. */
static void check_solved_symbols(void)
{
	char text[600];
	Module *m = parse_or_say("dcc-ir 1 stage import\nmodel t #0000000000000000\nsym n in 0..\nsym k in 0..\nsym p in 1..\nsym q in 0..\n"
	                         "sym u in 0..\nfunc @main(%x: f32[3*n + 1], %a: f32[2*k + u], %b: f32[k - u + 9], %c: f32[2*p + 3], "
	                         "%d: f32[p*q + n]) -> (y: f32[n, k, p, q, u]) {\n%o: f32[1, 1, 1, 1, 1] = dims {values=[3]}\n"
	                         "%y: f32[n, k, p, q, u] = expand %o\nreturn %y\n}\n", text, sizeof text);
	static const int64_t values[] = {3, 5, 2, 4, 1};
	int64_t syms[5];
	Tensor in[5];
	CHECK(m);
	for (int i = 0; m && i < 5; i++) {
		in[i] = (Tensor){.dtype = F32, .rank = 1};
		dim_eval(m->main->params[i]->type.dims[0], values, &in[i].dims[0]);
	}
	CHECK(m && !bind_syms(m, in, syms) && !memcmp(syms, values, sizeof syms));
	in[0].dims[0] = 11;
	expect_text(m ? bind_syms(m, in, syms) : "", "dimension 0 is 11, expected 3*n + 1 = 10");
	free_module(m);
}

/* Dims of an input that repeat symbols which a formula or the data gives: they are compared, and each symbol may have two rows. */
static void check_repeated_symbols(void)
{
	char text[600];
	Module *m = parse_or_say("dcc-ir 1 stage import\nmodel t #0000000000000000\nsym a in 0..\nsym b in 0.. = a + 1\n"
	                         "sym c in 0.. of in1[1] * (a)\nsym d in 0.. = c\nsym e in 0.. = b\n"
	                         "func @main(%x: f32[a, b, c, d, e], %s: f32[2]) -> (y: f32[a, b, c, d, e]) {\n"
	                         "%y: f32[a, b, c, d, e] = neg %x\nreturn %y\n}\n", text, sizeof text);
	static const int64_t values[] = {2, 3, 3, 3, 3};
	float scales[2] = {9, 1.9f};
	int64_t syms[5];
	Tensor in[2] = {{.dtype = F32, .rank = 5, .dims = {2, 3, 3, 3, 3}}, {.dtype = F32, .rank = 1, .dims = {2}, .data = scales}};
	CHECK(m && plan_symbols(m).n <= 2 * m->nsym);
	CHECK(m && !bind_syms(m, in, syms) && !memcmp(syms, values, sizeof syms));
	in[0].dims[2] = 4;
	expect_text(m ? bind_syms(m, in, syms) : "", "dimension 2 is 4, expected c = 3");
	free_module(m);
}

static void check_dim_check(void)
{
	char text[600];
	Module *m = parse_or_say("dcc-ir 1 stage import\nmodel t #0000000000000000\nsym s in 0..\nsym u in 0..\n"
	                         "func @main(%x: f32[s], %z: f32[u]) -> (y: f32[s]) {\n"
	                         "%y: f32[s] = add %x, %z\nreturn %y\n}\n", text, sizeof text);
	Tensor in[2] = {make_input(1, 3), make_input(1, 4)}, y;
	CHECK(m);
	for (int i = 0; m && i < 2; i++) {
		in[i].rank = 1;
		in[i].dims[0] = 3 + i;
	}
	const char *wrong = m ? eval_module(m, in, &y) : "";
	CHECK_EQ(m ? m->main->body.ncheck : 0, 1);
	expect_text(wrong ? wrong : "", "s is 3 and u is 4");
	free_tensor(&in[0]);
	free_tensor(&in[1]);
	free_module(m);
}

/* ---- known elements --------------------------------------------------------------------------------------------- */

/* Shape arithmetic of an exporter: the last node's elements, as text. */
static void check_known(const char *nodes, const char *type, const char *want)
{
	char text[1000], message[600], got[300] = "";
	snprintf(text, sizeof text,
	         "dcc-ir 1 stage import\nmodel t #0000000000000000\nsym b in 1..\nsym s in 0..\n"
	         "const @two: i64[1] = [2] const @none: i64[1] = [-1] const @last: i64[] = [-1]\n"
	         "func @main(%%x: f32[b, s]) -> (y: %s) {\n%s\nreturn %%y\n}\n", type, nodes);
	Module *m = parse_or_say(text, message, sizeof message);
	if (!m)
		fprintf(stderr, "%s", message);
	CHECK(m);
	if (!m)
		return;
	const Value *v = m->main->body.yields[0];
	for (int64_t i = 0; v->known && i < const_numel(&v->type); i++)
		snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i ? ", " : "", dim_text(m,
		 v->known[i]));
	CHECK_STR(got, want);
	free_module(m);
}

#define SHAPE "%d: i64[2] = dims {values=[b, s]} "

/* s / 2 as a float */
#define HALF "%g: i64[] = gather %d, @last %r: f32[] = cast %g %t: f32[1] = cast @two %q: f32[1] = div %r, %t "

static Value *const_row(Module *m, DType dtype, int rank, const int64_t *dims, const int64_t *values)
{
	Type t = {.dtype = dtype, .rank = rank};
	int64_t n = 1;
	for (int d = 0; d < rank; d++) {
		t.dims[d] = dim_const(m, dims[d]);
		n *= dims[d];
	}
	size_t bytes = (size_t)dtypes[dtype].bytes;
	char *data = arena_alloc(m->arena, (size_t)n * bytes);
	for (int64_t i = 0; i < n; i++)
		put_scalar(data + (size_t)i * bytes, scalar_of_int(dtype, values[i]));
	return new_const(m, NULL, t, data, (size_t)n * bytes)->value;
}

/* What is known of op over constants is what it computes.  Returns whether anything is known. */
static bool known_agrees(Op op, DType dtype, int rank, const int64_t *a, const int64_t *b)
{
	static const int64_t column[] = {3, 1}, row[] = {3}, choice[] = {0, 1, 1};
	Module *m = new_module("t", NULL);
	Value *x = const_row(m, dtype, rank ? 2 : 0, column, a), *y = const_row(m, dtype, rank ? 1 : 0, row, b);
	Value *in[3] = {x, y};
	if (ops[op].nin == 3) {
		in[0] = const_row(m, Bool, rank ? 1 : 0, row, choice);
		in[1] = x;
		in[2] = y;
	}
	Value *v = build(m, &m->main->body, NULL, op, NULL, ops[op].nin, in, 0, NULL, NULL);
	Tensor t = {0};
	CHECK(!eval_const(m, v, &t));
	for (int64_t i = 0; v->known && i < tensor_numel(&t); i++) {
		int64_t known, computed;
		bool whole = scalar_as_int(scalar_at(t.dtype, t.data, i), &computed);
		if (whole && dim_is_const(v->known[i], &known) && known == computed)
			continue;
		test_failures++;
		fprintf(stderr, "%s of %s: element %lld is known as %s\n", ops[op].text, dtypes[dtype].text, (long long)i,
		        dim_text(m, v->known[i]));
	}
	bool any = v->known;
	free_tensor(&t);
	free_module(m);
	return any;
}

static void check_known_ewise(void)
{
	static const int64_t a[] = {-3, 0, 7}, b[] = {2, 5, -4};
	int nknown = 0;
	for (Op op = 0; op < NOps; op++) {
		bool known = false;
		for (DType t = 0; t < NDTypes && ops[op].cls == ClsEwise && !ops[op].given; t++) {
			if (!is_among(t, ops[op].takes))
				continue;
			for (int i = 0; i < 9 && is_among(t, TypesFlt); i++)
				known |= known_agrees(op, t, 0, &a[i / 3], &b[i % 3]);
			if (!is_among(t, TypesFlt))
				known |= known_agrees(op, t, 1, a, b);
		}
		nknown += known;
	}
	CHECK(nknown >= 18); /* identity neg abs not floor ceil add sub mul idiv imod min max and or xor eq lt le where */
}

static void check_knowns(void)
{
	check_known(SHAPE "%y: i64[] = gather %d, @last", "i64[]", "s");
	check_known(SHAPE "%y: i64[2] = mul %d, @two", "i64[2]", "2*b, 2*s");
	check_known(SHAPE "%y: i64[] = sum %d {axes=[0]}", "i64[]", "b + s");
	check_known(SHAPE "%y: i64[] = reduce_min %d {axes=[0]}", "i64[]", "min(b, s)");
	check_known(SHAPE "%y: i64[] = reduce_max %d {axes=[0]}", "i64[]", "max(b, s)");
	check_known(SHAPE "%c: bool[2] = eq %d, @none %y: i64[2] = where %c, @two, %d", "i64[2]", "b, s");
	check_known(SHAPE "%c: bool[2] = lt %d, @two %y: bool[2] = not %c", "bool[2]", "");
	check_known(SHAPE "%i: i64[] = dims {values=[9007199254740993]} %y: f64[] = cast %i", "f64[]", "");
	check_known(SHAPE "%y: i64[4] = concat %d, @two, @none", "i64[4]", "b, s, 2, -1");
	check_known(SHAPE "%y: i64[2] = slice %d {starts=[1], steps=[-1]}", "i64[2]", "s, b");
	check_known(SHAPE "%r: i64[1, 2] = reshape %d %e: i64[2, 2] = expand %r "
	            "%y: i64[2, 2] = transpose %e {perm=[1, 0]}",
	            "i64[2, 2]", "b, b, s, s");
	check_known(SHAPE "%g: i64[] = gather %d, @last %f: f32[] = cast %g %y: i32[] = cast %f", "i32[]", "s");
	check_known(SHAPE HALF "%c: f32[1] = ceil %q %y: f32[1] = mul %c, %t", "f32[1]", "2*((s + 1)/2)");
	check_known(SHAPE HALF "%f: f32[1] = floor %q %y: f32[1] = sub %f, %t", "f32[1]", "s/2 - 2");
	check_known(SHAPE HALF "%y: f32[1] = mul %q, %t", "f32[1]", "");
	check_known("%t: f32[1] = cast @two %m: f32[1] = mul %t, %t %y: f32[1] = div %m, %t", "f32[1]", "2");
	check_known(SHAPE "%f: f32[2] = cast %d %y: i64[2] = cast %f", "i64[2]", "");
	check_known(SHAPE "%z: i64[2] = idiv @two, %d %y: i64[2] = identity %z", "i64[2]", "2/b, 2/max(s, 1)");
	check_known(SHAPE "%g: i64[] = gather %d, @last %y: i64[1] = imod @none, %g", "i64[1]", "max(s, 1) - 1");
	check_known(SHAPE "%z: i64[2] = sub %d, @two %y: i64[2] = abs %z", "i64[2]", "max(max(0, 2 - b), b - 2), max(max(0, 2 - s), s - 2)");
	check_known(SHAPE "%g: i64[] = gather %d, @last %c: bool[1] = lt @two, %g %y: i64[1] = where %c, @two, %g", "i64[1]",
	            "s - s*min(max(0, s - 2), 1) + 2*min(max(0, s - 2), 1)");
	check_known(SHAPE "%g: i64[] = gather %d, @last %c: bool[1] = eq @two, %g %n: bool[1] = not %c %y: i64[1] = cast %n", "i64[1]",
	            "min(max(max(0, 2 - s), s - 2), 1)");
	check_known(SHAPE "%y: i64[1] = sum %d {axes=[0], keepdims=1}", "i64[1]", "b + s");
	check_known(SHAPE "%y: i64[] = reduce_max %d {axes=[0]}", "i64[]", "max(b, s)");
	check_known(SHAPE "%y: i64[2] = cumsum %d", "i64[2]", "b, b + s");
	check_known(SHAPE "%y: i64[2] = cumsum %d {exclusive=1, reverse=1}", "i64[2]", "s, 0");
	check_known(SHAPE "%y: i64[2] = cumsum %d {product=1}", "i64[2]", "b, b*s");
	check_known(SHAPE "%y: i64[2] = pow %d, @two", "i64[2]", "b*b, s*s");
	check_known("%y: i64[3] = iota {start=s, step=b}", "i64[3]", "s, b + s, 2*b + s");
	check_known("%m: i64[1] = dims {values=[100000000000]} %y: i64[1] = mul %m, %m", "i64[1]", "");
	check_known(SHAPE "%u: u32[2] = cast %d %v: u32[1] = cast @two %y: u32[2] = sub %u, %v", "u32[2]", "");
	check_known("%m: i64[1] = dims {values=[9223372036854775807]} %y: i64[1] = add %m, @two", "i64[1]", "");
}

/* ---- verifier --------------------------------------------------------------------------------------------------- */

static const char two_nodes[] = "dcc-ir 1 stage import\nmodel t #0000000000000000\n"
				"const @c: f32[2] = [1, 2]\n"
				"func @main(%x: f32[2]) -> (y: f32[2]) {\n"
				"%a: f32[2] = clip %x {lo=0}\n"
				"%g: f32[2] = group { %i: f32[2] = add %a, @c yield %i }\n"
				"%y: f32[2] = softmax %g\nreturn %y\n}\n";

typedef void Break(Module *);

static Node *node_at(Module *m, int i)
{
	Node *n = m->main->body.first;
	while (i--)
		n = n->next;
	return n;
}

static void break_uses(Module *m) { node_at(m, 0)->out[0]->nuse = 0; }
static void break_extra_use(Module *m) { m->main->params[0]->uses[0].index = 1; }
static void break_type(Module *m) { node_at(m, 2)->out[0]->type.dims[0] = dim_const(m, 3); }
static void break_dtype(Module *m) { m->main->params[0]->type.dtype = I64; }
static void break_attr(Module *m) { node_at(m, 0)->attrs[0].id = Attr_axis; }
static void break_flag(Module *m) { node_at(m, 2)->op = OpCumSum, set_attr(m, node_at(m, 2), mk_int(Attr_reverse, 2)); }
static void break_axis(Module *m) { set_attr(m, node_at(m, 2), mk_int(Attr_axis, 5)); }
static void break_order(Module *m) { move_before(node_at(m, 2), &m->main->body, node_at(m, 0)); }
static void break_scope(Module *m) { set_yield(m, &m->main->body, 0, node_at(m, 1)->body->first->out[0]); }
static void break_const(Module *m) { m->consts[0]->bytes--; }
static void break_name(Module *m) { m->main->results[0] = NULL; }
static void break_yield(Module *m) { node_at(m, 1)->body->nyield = 0; }
static void break_list(Module *m) { node_at(m, 1)->prev = NULL; }
static void break_operand(Module *m) { node_at(m, 2)->in[0] = NULL; }

static void break_known(Module *m)
{
	const Dim **known = arena_alloc(m->arena, sizeof *known);
	m->main->params[0]->known = known;
	node_at(m, 0)->out[0]->known = known;
}

static void check_broken(Break *fn, const char *part)
{
	char text[600];
	Module *m = parse_or_say(two_nodes, text, sizeof text);
	if (!m)
		fprintf(stderr, "%s", text);
	CHECK(m);
	if (!m)
		return;
	const char *before = verify_module(m);
	if (before)
		fprintf(stderr, "%s\n", before);
	CHECK(!before);
	fn(m);
	const char *wrong = verify_module(m);
	expect_text(wrong ? wrong : "", part);
	free_module(m);
}

static void check_verifier(void)
{
	check_broken(break_uses, "lacks this use");
	check_broken(break_extra_use, "clip (line 5): value 0 lacks this use");
	check_broken(break_type, "softmax (line 7): the result is f32[2], its type says f32[3]");
	check_broken(break_dtype, "clip (line 5): attribute lo is f32, operand 0 i64");
	check_broken(break_attr, "clip (line 5): has no attribute axis");
	check_broken(break_flag, "cumsum (line 7): attribute reverse is 2, neither 0 nor 1");
	check_broken(break_axis, "axis 5 is out of range");
	check_broken(break_order, "not defined before its use");
	check_broken(break_scope, "return: value 0 is defined in a group that does not enclose its use");
	check_broken(break_const, "constant @c has 7 bytes");
	check_broken(break_name, "the name of result ''");
	check_broken(break_yield, "yields 0 values for 1 results");
	check_broken(break_list, "the list of nodes is broken");
	check_broken(break_operand, "softmax (line 7): operand 0 is missing");
	check_broken(break_known, "known element 0 is missing");
}

int main(void)
{
	EACH(i, wrong_shapes)
		check_wrong_shape(&wrong_shapes[i]);
	EACH(i, wrong_data)
		check_wrong_data(&wrong_data[i]);
	check_binding(3, 11, 5, 7, NULL);
	check_binding(0, 3, 1, 1, NULL);
	check_binding(3, 10, 5, 7, "input 'x': dimension 1 is 10, expected 2*s + 1 = 11");
	check_binding(3, 11, 6, 7, "input 'x': dimension 1 is 11, expected 2*s + 1 = 13");
	check_binding(1, 203, 101, 101, "s = 101 is outside 1..100");
	check_binding(1, 11, 5, 3, "p = -2 is outside");
	check_solved_symbols();
	check_repeated_symbols();
	check_dim_check();
	check_knowns();
	check_known_ewise();
	check_verifier();
	return test_end("shape");
}
