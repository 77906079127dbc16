/* import_graph_test.c - the ONNX importer on small models made by hand: what it makes of them: nodes, types, symbols, names. */
#include "import.h"

#include <math.h>

static void test_glu(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	add_input(b, "x", 1, "B,T,6");
	add_floats(b, "w", "6,8", 48);
	add_floats(b, "bias", "8", 8);
	add_op(b, "MatMul", "x,w", "h");
	add_op(b, "Add", "bias,h", "z");
	Onnx__NodeProto *split = add_op(b, "Split", "z", "v,g");
	set_i(a, split, "axis", -1);
	add_op(b, "Sigmoid", "g", "s");
	add_op(b, "Mul", "v,s", "y");
	add_output(b, "y");
	Module *m = must_load(b, NULL, __LINE__);
	if (m) {
		CHECK_STR(result_text(m, 0), "f32[B, T, 4]");
		CHECK_STR(m->main->params[0]->name, "x");
		CHECK_STR(m->main->results[0], "y");
		CHECK_STR(m->name, "m");
		CHECK_EQ(count_ops(m, OpSlice), 2);
		CHECK_EQ(m->nconst, 2);
	}
	free_module(m);
	free_arena(a);
}

/* Shape arithmetic leaves no node behind: [B, T, 8] -> Reshape(Concat(Shape[0], -1, 2, 4)). */
static void test_shapes_vanish(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 13);
	add_input(b, "x", 1, "B,T,8");
	add_ints(b, "zero", 1, (int64_t[]){0});
	add_ints(b, "rest", 3, (int64_t[]){-1, 2, 4});
	add_op(b, "Shape", "x", "s");
	Onnx__NodeProto *g = add_op(b, "Gather", "s,zero", "b");
	set_i(a, g, "axis", 0);
	Onnx__NodeProto *cat = add_op(b, "Concat", "b,rest", "shape");
	set_i(a, cat, "axis", 0);
	add_op(b, "Reshape", "x,shape", "y");
	add_output(b, "y");
	Module *m = must_load(b, NULL, __LINE__);
	if (m) {
		CHECK_STR(result_text(m, 0), "f32[B, T, 2, 4]");
		CHECK_EQ(count_ops(m, NOps), 1);
		CHECK_EQ(m->nconst, 0);
	}
	free_module(m);
	free_arena(a);
}

/* Windows of many taps are joined axis by axis, those of few at once: what is between is not smaller yet along the axes behind. */
static void test_pool_by_axes(void)
{
	static const struct {
		int kernel, stride, slices;
	} windows[] = {{5, 1, 10}, {3, 1, 9}, {5, 2, 10}, {3, 2, 9}, {2, 2, 4}};
	for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
		Arena *a = new_arena();
		Builder *b = new_builder(a, 17);
		add_input(b, "x", 1, "N,8,32,32");
		Onnx__NodeProto *n = add_op(b, "MaxPool", "x", "y");
		set_ints(a, n, "kernel_shape", 2, (int64_t[]){windows[i].kernel, windows[i].kernel});
		set_ints(a, n, "strides", 2, (int64_t[]){windows[i].stride, windows[i].stride});
		add_output(b, "y");
		Module *m = must_load(b, NULL, __LINE__);
		if (m)
			CHECK_EQ(count_ops(m, OpSlice), windows[i].slices);
		free_module(m);
		free_arena(a);
	}
}

/* A transposed convolution whose windows meet is one by phases however wide its stride; zeros go between the elements where most of a stride
 * has no tap. */
static void test_wide_strides(void)
{
	static const struct {
		int kernel, stride, pads;
	} windows[] = {{512, 256, 0}, {256, 256, 0}, {3, 64, 0}, {3, 256, 1}};
	for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
		Arena *a = new_arena();
		Builder *b = new_builder(a, 17);
		const int taps = windows[i].kernel;
		char shape[32];
		snprintf(shape, sizeof shape, "2,2,%d", taps);
		add_input(b, "x", 1, "N,2,T");
		add_floats(b, "w", shape, 4 * taps);
		Onnx__NodeProto *n = add_op(b, "ConvTranspose", "x,w", "y");
		set_ints(a, n, "strides", 1, (int64_t[]){windows[i].stride});
		add_output(b, "y");
		Module *m = must_load(b, NULL, __LINE__);
		int pads = 0;
		if (m)
			for (const Node *x = m->main->body.first; x; x = x->next)
				pads += x->op == OpPad && !is_const(x->out[0]);
		CHECK_EQ(pads, windows[i].pads);
		free_module(m);
		free_arena(a);
	}
}

/* A table of integers of 4 bits is bytes of two, which are taken apart behind the gather; one of an odd number of columns is not. */
static void test_table_of_halves(void)
{
	enum { Int4 = 22 };
	for (int odd = 0; odd < 2; odd++) {
		Arena *a = new_arena();
		Builder *b = new_builder(a, 21);
		const char bytes[8] = {0x21, 0x43, 0x65, 0x78}; /* 1 2 3 4 5 6 -8 7 */
		add_input(b, "i", 7, "N");
		add_tensor(b, "t", Int4, odd ? "2,3" : "2,4", bytes, odd ? 3 : 4);
		add_floats(b, "s", "2,1", 2);
		add_op(b, "GatherBlockQuantized", "t,i,s", "y")->domain = "com.microsoft";
		add_output(b, "y");
		Module *m = must_load(b, NULL, __LINE__);
		if (m) {
			CHECK_STR(result_text(m, 0), odd ? "f32[N, 3]" : "f32[N, 4]");
			CHECK_EQ(count_ops(m, OpUnpack), !odd);
			const uint8_t *data = NULL;
			for (int i = 0; i < m->nconst; i++)
				if (m->consts[i]->type.dtype == U8 && m->consts[i]->type.rank == 2)
					data = m->consts[i]->data;
			CHECK((data == NULL) == odd);
			CHECK(odd || (data[0] == 0xa9 && data[3] == 0xf0)); /* less -8 */
		}
		free_module(m);
		free_arena(a);
	}
}

static void test_shape_as_data(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 15);
	add_input(b, "x", 1, "B,3");
	add_op(b, "Shape", "x", "s");
	add_output(b, "s");
	Module *m = must_load(b, NULL, __LINE__);
	if (m) {
		CHECK_STR(result_text(m, 0), "i64[2]");
		CHECK_EQ(count_ops(m, OpDims), 1);
	}
	free_module(m);
	free_arena(a);
}

/* int(n ** 0.5), as models of square images say their sides, beside a batch that is a symbol. */
static void test_side_of_square(void)
{
	for (int patches = 195; patches <= 197; patches++) {
		Arena *a = new_arena();
		Builder *b = new_builder(a, 17);
		add_input(b, "x", 1, arena_printf(a, "B,%d,8", patches));
		add_input(b, "y", 1, "N,4");
		add_ints(b, "one", 1, (int64_t[]){1});
		add_ints(b, "four", 1, (int64_t[]){4});
		float half = 0.5f;
		add_tensor(b, "half", 1, "", &half, sizeof half);
		add_op(b, "Shape", "x", "s");
		add_op(b, "Gather", "s,one", "n");
		set_i(a, add_op(b, "Cast", "n", "f"), "to", 1);
		add_op(b, "Pow", "f,half", "p");
		set_i(a, add_op(b, "Cast", "p", "side"), "to", 7);
		set_i(a, add_op(b, "Concat", "side,four", "shape"), "axis", 0);
		add_op(b, "Reshape", "y,shape", "z");
		add_op(b, "Relu", "x", "r");
		add_output(b, "z");
		add_output(b, "r");
		Module *m = must_load(b, NULL, __LINE__);
		if (m)
			CHECK_STR(result_text(m, 0), patches < 196 ? "f32[13, 4]" : "f32[14, 4]");
		free_module(m);
		free_arena(a);
	}
}

/* Exporters list a value that a model returns twice so; ports have names of their own. */
static void test_repeated_outputs(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	add_input(b, "x", 1, "B,4");
	add_op(b, "Relu", "x", "y");
	add_op(b, "Neg", "y", "y_2");
	for (int i = 0; i < 2; i++)
		add_output(b, "y");
	add_output(b, "y_2"); /* whose name stays its own */
	Module *m = must_load(b, NULL, __LINE__);
	if (m && m->main->body.nyield == 3) {
		CHECK_STR(m->main->results[0], "y");
		CHECK_STR(m->main->results[1], "y_3");
		CHECK_STR(m->main->results[2], "y_2");
	} else {
		CHECK(false);
	}
	free_module(m);
	free_arena(a);
}

static void test_bindings(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	add_input(b, "x", 1, "B,time steps,P+1");
	add_input(b, "p", 1, "P,");
	add_op(b, "Relu", "x", "y");
	add_output(b, "y");
	Module *m = must_load(b, NULL, __LINE__);
	if (m) {
		CHECK_STR(result_text(m, 0), "f32[B, time_steps, P + 1]");
		CHECK_STR(type_text(m, &m->main->params[1]->type), "f32[P, p_d1]");
	}
	free_module(m);
	DimBinding bind[] = {{"B", 2, 2}, {"P", 1, 9}, {"time steps", 0, 7}, {"p_d1", 3, 3}};
	m = must_load(b, &(LoadOptions){.nbind = 4, .bind = bind, .name = "other"}, __LINE__);
	if (m) {
		CHECK_STR(result_text(m, 0), "f32[2, time_steps, P + 1]");
		CHECK_STR(type_text(m, &m->main->params[1]->type), "f32[P, 3]");
		CHECK_STR(m->name, "other");
		CHECK_EQ(find_sym(m, "P")->hi, 9);
	}
	free_module(m);
	must_fail(b, &(LoadOptions){.nbind = 1, .bind = (DimBinding[]){{"Q", 1, 1}}}, __LINE__, "-D Q", "B, P", NULL);
	must_fail(b, &(LoadOptions){.nbind = 2, .bind = (DimBinding[]){{"B", 1, 2}, {"B", 3, 4}}}, __LINE__, "-D B",
	          "contradict", NULL);
	must_fail(b, &(LoadOptions){.nbind = 1, .bind = (DimBinding[]){{"B", 4, 2}}}, __LINE__, "-D B", "4..2", NULL);
	must_fail(b, &(LoadOptions){.name = "a-b"}, __LINE__, "not a C identifier", NULL);
	free_arena(a);
}

/* ONNX -> IR text -> module is the same text again; -D works on it as on the ONNX file. */
static void test_text(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	char *said;
	add_input(b, "x", 1, "B,T,8");
	add_floats(b, "w", "8,300", 2400);
	add_op(b, "MatMul", "x,w", "h");
	add_ints(b, "shape", 4, (int64_t[]){0, 0, 3, 100});
	add_op(b, "Reshape", "h,shape", "y");
	add_output(b, "y");
	Module *m = must_load(b, NULL, __LINE__);
	const char *path = file_in(a, "m.ir");
	write_module(path, m);
	Module *again = try_load_model(path, NULL, &said);
	CHECK(again && !verify_module(again));
	if (again) {
		char *one = module_text(m), *two = module_text(again);
		CHECK_STR(two, one);
		free(one);
		free(two);
	}
	free(said);
	free_module(again);
	free_module(m);
	DimBinding bind[] = {{"B", 3, 3}, {"T", 1, 20}};
	again = try_load_model(path, &(LoadOptions){.nbind = 2, .bind = bind, .name = "named"}, &said);
	CHECK(again && !verify_module(again));
	if (again) {
		CHECK_STR(result_text(again, 0), "f32[3, T, 3, 100]");
		CHECK_STR(again->name, "named");
		CHECK_EQ(find_sym(again, "T")->hi, 20);
	}
	free(said);
	free_module(again);
	const char *other = file_in(a, "text");
	CHECK(!rename(path, other)); /* known by its content, too */
	path = other;
	bind[1].sym = "U";
	CHECK(!try_load_model(path, &(LoadOptions){.nbind = 2, .bind = bind}, &said));
	CHECK(said && strstr(said, "-D U"));
	free(said);
	unlink(path);
	free_arena(a);
}

/* -D of an element of an input narrows what a run may find there, in the ONNX file and in the text; what follows from others is refused. */
static void test_value_bindings(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	const char *path = file_in(a, "m.ir");
	const LoadOptions fixed = {.nbind = 1, .bind = (DimBinding[]){{"shape_0", 3, 3}}};
	char *said;
	add_input(b, "x", 1, "1,T");
	add_input(b, "shape", 7, "2");
	add_op(b, "Expand", "x,shape", "y");
	add_output(b, "y");
	must_fail(b, &(LoadOptions){.nbind = 1, .bind = (DimBinding[]){{"Q", 1, 1}}}, __LINE__, "-D Q: no dimension", "T, shape_0, shape_1", NULL);
	Module *m = must_load(b, &(LoadOptions){.nbind = 1, .bind = (DimBinding[]){{"shape_0", 1, 9}}}, __LINE__);
	CHECK(m && find_sym(m, "shape_0")->lo == 1 && find_sym(m, "shape_0")->hi == 9);
	if (m)
		write_module(path, m);
	free_module(m);
	for (int text = 0; text < 2; text++) {
		m = text ? try_load_model(path, &fixed, &said) : must_load(b, &fixed, __LINE__);
		for (int rows = 2; m && rows < 4; rows++) {
			float x[] = {5, 6};
			int64_t shape[] = {rows, 2};
			Tensor in[] = {{.dtype = F32, .rank = 2, .dims = {1, 2}, .data = x}, {.dtype = I64, .rank = 1, .dims = {2}, .data = shape}}, out = {0};
			const char *wrong = eval_module(m, in, &out);
			CHECK(rows == 3 ? !wrong && out.dims[0] == 3 : wrong && strstr(wrong, "shape_0 = 2 is outside"));
			free_tensor(&out);
		}
		CHECK(m);
		if (m && text) {
			write_module(path, m); /* it can be read again */
			free_module(m);
			free(said);
			m = try_load_model(path, NULL, &said);
			CHECK(m);
		}
		free_module(m);
	}
	free(said);
	FILE *f = fopen(path, "w");
	fputs("dcc-ir 1 stage import\nmodel m\nsym T in 0..\nsym n in 0.. = T*T\nfunc @main(%x: f32[T]) -> (y: f32[n]) {\n"
	      "  %y: f32[n] = iota\n  return %y\n}\n", f);
	fclose(f);
	CHECK(!try_load_model(path, &(LoadOptions){.nbind = 1, .bind = (DimBinding[]){{"n", 4, 4}}}, &said));
	CHECK(said && strstr(said, "-D n: it follows from others; there are: T"));
	free(said);
	unlink(path);
	free_arena(a);
}

/* What the operations imply about sizes is known everywhere: x[:, :T] of a table of 40 added to T tokens says T <=
 * 40. */
static void test_demands(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	add_input(b, "x", 1, "B,T,2");
	add_floats(b, "table", "1,40,2", 80);
	add_ints(b, "zero", 1, (int64_t[]){0});
	add_ints(b, "one", 1, (int64_t[]){1});
	add_ints(b, "three", 1, (int64_t[]){3});
	add_op(b, "Shape", "x", "s");
	add_op(b, "Gather", "s,one", "t");
	add_op(b, "Slice", "table,zero,t,one", "cut");
	add_op(b, "Add", "x,cut", "y");
	Onnx__NodeProto *g = add_op(b, "Gather", "x,three", "z");
	set_i(a, g, "axis", 1);
	add_output(b, "y");
	add_output(b, "z");
	Module *m = must_load(b, NULL, __LINE__);
	if (m) {
		CHECK_EQ(find_sym(m, "T")->lo, 4);
		CHECK_EQ(find_sym(m, "T")->hi, 40);
		CHECK_EQ(m->main->body.ncheck, 0);
		CHECK_STR(result_text(m, 0), "f32[B, T, 2]");
	}
	free_module(m);
	must_fail(b, &(LoadOptions){.nbind = 1, .bind = (DimBinding[]){{"T", 41, 50}}}, __LINE__, "(Add-17)", "cannot broadcast",
	          NULL);
	free_arena(a);
}

/* x[:, -T:] is all of x where it has T columns; where it has P + T, the last T, but all for T = 0. */
static void test_slice_from_end(void)
{
	static const char *const columns[] = {"T", "P+T"};
	for (int i = 0; i < 2; i++) {
		Arena *a = new_arena();
		Builder *b = new_builder(a, 17);
		add_input(b, "t", 1, "T,2");
		add_input(b, "p", 1, "P,2");
		add_input(b, "x", 1, arena_printf(a, "B,%s", columns[i]));
		add_ints(b, "zero", 1, (int64_t[]){0});
		add_ints(b, "one", 1, (int64_t[]){1});
		add_ints(b, "end", 1, (int64_t[]){INT64_MAX});
		add_op(b, "Shape", "t", "s");
		add_op(b, "Gather", "s,zero", "n");
		add_op(b, "Neg", "n", "start");
		add_op(b, "Slice", "x,start,end,one", "y");
		add_output(b, "y");
		Module *m = must_load(b, NULL, __LINE__);
		if (m) {
			CHECK_STR(result_text(m, 0), i ? "f32[B, T - P*min(T, 1) + P]" : "f32[B, T]");
			CHECK_EQ(find_sym(m, "T")->lo, 0);
			CHECK_EQ(count_ops(m, OpSlice), i);
			CHECK_EQ(m->main->body.ncheck, 0);
		}
		free_module(m);
		free_arena(a);
	}
}

/* Inputs that a node leaves out, in the middle as torch's LSTM does and at the end: `?` in the signature allows it. */
static void test_custom_absent_inputs(void)
{
	static const char *const ways[][1] = {
		{":LSTM=lstm(%x: f32[t, b, i], %w: f32[1, g, i], %lens?: i64[b], %h?: f32[1, b, k], %c?: f32[1, b, k]) -> (f32[t, b, g])"},
		{":LSTM=lstm"},
		{":LSTM=lstm(%x: f32[t, b, i], %w: f32[1, g, i], %lens: i64[b], %h: f32[1, b, k]) -> (f32[t, b, g])"}};
	Arena *a = new_arena();
	Builder *b = new_builder(a, 14);
	add_input(b, "x", 1, "T,2,3");
	add_input(b, "w", 1, "1,8,3");
	add_input(b, "h", 1, "1,2,2");
	add_op(b, "LSTM", "x,w,,h", "y");
	b->graph.output = append(a, b->graph.output, &b->graph.n_output, make_info(a, "y", 1, "T,2,8"));
	for (int i = 0; i < 2; i++) {
		Module *m = must_load(b, &(LoadOptions){.ncustom = 1, .custom = ways[i]}, __LINE__);
		const Node *n = m ? m->main->body.first : NULL;
		CHECK(n && n->op == OpCustom && n->nin == (i ? 4 : 5));
		CHECK(n && n->in[2]->konst && type_equal(&n->in[2]->type, &n->in[n->nin - 1]->type) == !i && !n->in[3]->konst);
		CHECK(n && dim_equals(n->in[2]->type.dims[0], 0));
		CHECK_STR(result_text(m, 0), "f32[T, 2, 8]");
		free_module(m);
	}
	must_fail(b, &(LoadOptions){.ncustom = 1, .custom = ways[2]}, __LINE__, "input 2 is absent", NULL);
	free_arena(a);
}

/* --custom-op without a signature: the results have the types that the model states, over dims of its inputs, or it is refused. */
static void test_custom_without_signature(void)
{
	static const char *const custom[] = {"com.example:Magic=magic"};
	const LoadOptions opt = {.ncustom = 1, .custom = custom};
	static const char *const dims[] = {"T,2", "U,2", NULL};
	for (int i = 0; i < 3; i++) {
		Arena *a = new_arena();
		Builder *b = new_builder(a, 17);
		add_input(b, "x", 1, "T,4");
		add_op(b, "Magic", "x", "y")->domain = arena_strdup(a, "com.example");
		add_op(b, "Relu", "y", "z");
		add_output(b, "z");
		if (dims[i])
			b->graph.value_info =
			    append(a, b->graph.value_info, &b->graph.n_value_info, make_info(a, "y", 1, dims[i]));
		if (i) {
			must_fail(b, &opt, __LINE__, "needs a signature", NULL);
		} else {
			Module *m = must_load(b, &opt, __LINE__);
			if (m) {
				CHECK_STR(result_text(m, 0), "f32[T, 2]");
				CHECK_EQ(count_ops(m, OpCustom), 1);
			}
			free_module(m);
		}
		free_arena(a);
	}
}

/* Heads of a sequence whose length is a sum, T/2 - 1, and back. */
static void test_reshape_of_quotient(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	int64_t perm[3] = {0, 2, 1}, strides[1] = {2};
	add_input(b, "x", 1, "B,8,T");
	add_floats(b, "w", "8,8,4", 256);
	add_ints(b, "both", 2, (int64_t[]){0, 1});
	add_ints(b, "heads", 2, (int64_t[]){-1, 2});
	add_ints(b, "flat", 1, (int64_t[]){-1});
	set_ints(a, add_op(b, "Conv", "x,w", "c"), "strides", 1, strides);
	set_ints(a, add_op(b, "Transpose", "c", "h"), "perm", 3, perm);
	add_op(b, "Shape", "h", "s");
	add_op(b, "Gather", "s,both", "rows");
	set_i(a, add_op(b, "Concat", "rows,heads", "split"), "axis", 0);
	set_i(a, add_op(b, "Concat", "rows,flat", "joined"), "axis", 0);
	add_op(b, "Reshape", "h,split", "y");
	add_op(b, "Reshape", "y,joined", "z");
	add_output(b, "y");
	add_output(b, "z");
	Module *m = must_load(b, NULL, __LINE__);
	if (m) {
		CHECK_STR(result_text(m, 0), "f32[B, T/2 - 1, 4, 2]");
		CHECK_STR(result_text(m, 1), "f32[B, T/2 - 1, 8]");
	}
	free_module(m);
	free_arena(a);
}

/* Range(0.5, T, 1): as many as T, though it starts between two integers. */
static void test_float_range(void)
{
	static const float starts[] = {0.5f, 0.1f};
	const float one = 1;
	for (int i = 0; i < 2; i++) {
		Arena *a = new_arena();
		Builder *b = new_builder(a, 17);
		add_input(b, "x", 1, "T");
		add_tensor(b, "start", 1, "", &starts[i], sizeof starts[i]);
		add_tensor(b, "step", 1, "", &one, sizeof one);
		add_op(b, "Shape", "x", "s");
		add_op(b, "Squeeze", "s", "n");
		set_i(a, add_op(b, "Cast", "n", "limit"), "to", 1);
		add_op(b, "Range", "start,limit,step", "y");
		add_output(b, "y");
		if (i) {
			must_fail(b, NULL, __LINE__, "(Range-17)", "input 'start' = 0.1 is no multiple of 1/256", NULL);
		} else {
			Module *m = must_load(b, NULL, __LINE__);
			float x[3] = {0};
			Tensor in = {.dtype = F32, .rank = 1, .dims = {3}, .data = x}, out = {0};
			if (m) {
				CHECK_STR(result_text(m, 0), "f32[T]");
				CHECK(!eval_module(m, &in, &out));
				for (int k = 0; k < 3; k++)
					CHECK(out.data && ((float *)out.data)[k] == k + 0.5f);
			}
			free_tensor(&out);
			free_module(m);
		}
		free_arena(a);
	}
}

/* Range(-1000, 1050, 1) of f16: element 2049 is 1049, though an f16 has no 2049. */
static void test_half_range(void)
{
	static const char *const names[] = {"start", "limit", "step"};
	static const double bounds[] = {-1000, 1050, 1};
	uint16_t bits[3];
	Arena *a = new_arena();
	Builder *b = new_builder(a, 27);
	Tensor in[3], out = {0};
	for (int i = 0; i < 3; i++) {
		add_input(b, names[i], 10, "");
		put_scalar(&bits[i], scalar_of_real(F16, bounds[i]));
		in[i] = (Tensor){.dtype = F16, .data = &bits[i]};
	}
	add_op(b, "Range", "start,limit,step", "y");
	add_output(b, "y");
	Module *m = must_load(b, NULL, __LINE__);
	if (m) {
		CHECK(!eval_module(m, in, &out) && tensor_numel(&out) == 2050);
		for (int k = 0; k < 2050 && out.data; k++)
			CHECK(scalar_at(F16, out.data, k).f == k - 1000);
	}
	free_tensor(&out);
	free_module(m);
	free_arena(a);
}

/* The data measures n for a slice that nobody reads; n + 1 is known as a dim, and an output. */
static void test_unread_size(void)
{
	static const int64_t zero = 0, one = 1;
	float x[3] = {1, 1, 0};
	Tensor in = {.dtype = F32, .rank = 1, .dims = {3}, .data = x}, out = {0};
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	add_input(b, "x", 1, "T");
	add_ints(b, "zero", 1, &zero);
	add_ints(b, "one", 1, &one);
	add_op(b, "ReduceSum", "x", "sum");
	set_i(a, add_op(b, "Cast", "sum", "n"), "to", 7);
	add_op(b, "Reshape", "n,one", "end");
	add_op(b, "Slice", "x,zero,end", "unread");
	add_op(b, "Add", "end,one", "y");
	add_output(b, "y");
	Module *m = must_load(b, NULL, __LINE__);
	if (m) {
		CHECK(!verify_module(m) && !eval_module(m, &in, &out));
		CHECK(out.data && *(int64_t *)out.data == 3);
	}
	free_tensor(&out);
	free_module(m);
	free_arena(a);
}

static void test_function(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 18);
	Onnx__FunctionProto *f = add_leaky(b, "my.ops", "Leak");
	add_input(b, "x", 1, "N");
	Onnx__NodeProto *call = add_op(b, "Leak", "x", "y");
	call->domain = f->domain;
	set_f(a, call, "slope", 0.5);
	add_output(b, "y");
	Module *m = must_load(b, NULL, __LINE__);
	if (m) {
		CHECK_EQ(count_ops(m, OpWhere), 1);
		CHECK_EQ(m->nconst, 2); /* 0 and the slope */
	}
	free_module(m);
	f->node[0]->op_type = f->name; /* now it calls itself */
	f->node[0]->domain = f->domain;
	must_fail(b, NULL, __LINE__, "themselves", NULL);
	free_arena(a);
}

static bool row_imports(Arena *a, const char *name, int opset, int nin, int elem)
{
	Builder *b = new_builder(a, opset);
	char *said;
	for (int i = 0; i < nin; i++)
		add_input(b, arena_printf(a, "x%d", i), elem, "B,4");
	add_op(b, name, nin == 1 ? "x0" : nin == 2 ? "x0,x1" : "x0,x1,x2", "y");
	add_output(b, "y");
	Module *m = load_built(b, NULL, &said);
	bool good = m && !verify_module(m);
	free_module(m);
	free(said);
	return good;
}

/* The element type to try a text row with; of others F32. */
static DType type_of_row(const char *name)
{
	static const struct {
		const char *name;
		DType dtype;
	} others[] = {{"And", Bool}, {"Or", Bool}, {"Xor", Bool}, {"Not", Bool}, {"Where", Bool}, {"Mod", I64}};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (!strcmp(name, others[i].name))
			return others[i].dtype;
	return strncmp(name, "Bitwise", 7) ? F32 : I64;
}

/* Every text row expands, at both ends of its opsets. */
static void test_row_texts(void)
{
	static const struct {
		const char *name;
		int since, until, nin;
		const char *text;
	} rows[] = {
#define TEXT(t) t
#define FUNC(f) NULL
#define WIDE(f) NULL
#define LISTS(f) NULL
#define ONNX_OP(name, since, until, min_in, max_in, max_out, attrs, how) {#name, since, until, min_in, how},
#define ORT_OP(name, min_in, max_in, max_out, attrs, how) /* of another domain */
#define PREVIEW_OP(name, min_in, max_in, max_out, attrs, how)
#define ML_OP(name, min_in, max_in, max_out, attrs, how)
#include "../frontend/onnx_ops.def"
#undef ONNX_OP
#undef TEXT
#undef FUNC
#undef WIDE
#undef LISTS
	};
	Arena *a = new_arena();
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		for (int k = 0; k < 2 && rows[i].text; k++) {
			int opset = k ? rows[i].until : rows[i].since;
			DType t = type_of_row(rows[i].name);
			bool good = row_imports(a, rows[i].name, opset, rows[i].nin, dtypes[t].onnx);
			if (!good)
				fprintf(stderr, "%s of opset %d: \"%s\" does not expand\n", rows[i].name, opset, rows[i].text);
			CHECK(good);
		}
	}
	free_arena(a);
}

/* The operand of one element may leave its length open; what it holds is a symbol. */
static void test_top_k(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 24);
	add_input(b, "x", 10, "B,9");
	add_input(b, "k", 7, "N");
	add_op(b, "TopK", "x,k", "y,i");
	add_output(b, "y");
	add_output(b, "i");
	Module *m = must_load(b, NULL, __LINE__);
	if (m) {
		CHECK_STR(result_text(m, 0), "f16[B, k_0]");
		CHECK_STR(result_text(m, 1), "i64[B, k_0]");
		CHECK_STR(type_text(m, &m->main->params[1]->type), "i64[1]");
	}
	free_module(m);
	DimBinding bind = {"N", 2, 5};
	must_fail(b, &(LoadOptions){.nbind = 1, .bind = &bind}, __LINE__, "'N' must be 1", NULL);
	Builder *many = new_builder(a, 24);
	add_input(many, "x", 1, "9");
	add_ints(many, "ten", 1, (int64_t[]){10});
	add_op(many, "TopK", "x,ten", "y");
	add_output(many, "y");
	must_fail(many, NULL, __LINE__, "(TopK-24)", "9 and 10 differ", NULL);
	Builder *none = new_builder(a, 1);
	add_input(none, "x", 1, "9");
	add_op(none, "TopK", "x", "y");
	add_output(none, "y");
	must_fail(none, NULL, __LINE__, "attribute 'k' is missing", NULL);
	free_arena(a);
}

/* A real signal widened with zeros is a real one, also behind an Unsqueeze; with anything else it is complex. */
static void test_widened_signal(void)
{
	float values[18];
	for (int i = 0; i < 4; i++) {
		const bool real = i & 1, front = i & 2;
		for (int k = 0; k < 18; k++)
			values[k] = !real;
		Arena *a = new_arena();
		Builder *b = new_builder(a, 17);
		add_input(b, "x", 1, "1,3,6,1");
		add_tensor(b, "im", 1, "1,3,6,1", values, sizeof values);
		set_i(a, add_op(b, "Concat", "x,im", "z"), "axis", -1);
		add_ints(b, "zero", 1, (int64_t[]){0});
		add_op(b, "Unsqueeze", "z,zero", "u");
		set_i(a, add_op(b, "DFT", front ? "u" : "z", "y"), "axis", front ? 3 : 2);
		add_output(b, "y");
		Module *m = must_load(b, NULL, __LINE__);
		for (Node *n = m ? m->main->body.first : NULL; n; n = n->next)
			if (n->op == OpDft)
				CHECK_EQ(n->in[1] == NULL, real);
		if (m) {
			CHECK_EQ(count_ops(m, OpDft), 1);
			CHECK_STR(result_text(m, 0), front ? "f32[1, 1, 3, 6, 2]" : "f32[1, 3, 6, 2]");
		}
		free_module(m);
		free_arena(a);
	}
}

/* All outputs; a NaN is one element, the greatest, and so are 0 and -0. */
static void test_unique(void)
{
	static const double want[4][4] = {{-1, 0, 2, NAN}, {4, 1, 5, 0}, {0}, {1, 2, 1, 2}}, inverse[6] = {3, 1, 3, 1, 0, 2};
	float x[] = {NAN, -0.0F, NAN, 0, -1, 2};
	Tensor in = {.dtype = F32, .rank = 1, .dims = {6}, .data = x}, out[4] = {{0}};
	Arena *a = new_arena();
	Builder *b = new_builder(a, 11);
	add_input(b, "x", 1, "N");
	add_op(b, "Unique", "x", "y,first,back,counts");
	add_output(b, "y");
	add_output(b, "first");
	add_output(b, "back");
	add_output(b, "counts");
	Module *m = must_load(b, NULL, __LINE__);
	CHECK(m && !eval_module(m, &in, out));
	for (int k = 0; k < 4 && m; k++) {
		bool all = k == 2;
		CHECK_EQ(tensor_numel(&out[k]), all ? 6 : 4);
		for (int i = 0; i < (all ? 6 : 4); i++) {
			double v = element(&out[k], i), w = all ? inverse[i] : want[k][i];
			CHECK(v == w || (v != v && w != w));
		}
		free_tensor(&out[k]);
	}
	CHECK_STR(m ? dim_text(m, dim_most(m, m->main->body.yields[0]->type.dims[0])) : "", "N");
	free_module(m);
	free_arena(a);
}

/* The bound of the result: what is asked for, if that is known, of each class of each batch. */
static void test_selected_boxes(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 11);
	add_input(b, "boxes", 1, "B,N,4");
	add_input(b, "scores", 1, "B,C,N");
	add_input(b, "most", 7, "1");
	add_op(b, "NonMaxSuppression", "boxes,scores,most", "y");
	add_output(b, "y");
	Module *m = must_load(b, NULL, __LINE__);
	if (m)
		CHECK_STR(dim_text(m, dim_most(m, m->main->body.yields[0]->type.dims[0])), "B*C*max(0, min(N, most_0))");
	free_module(m);
	Builder *flat = new_builder(a, 11);
	add_input(flat, "boxes", 1, "N,4");
	add_input(flat, "scores", 1, "B,C,N");
	add_op(flat, "NonMaxSuppression", "boxes,scores", "y");
	add_output(flat, "y");
	must_fail(flat, NULL, __LINE__, "boxes of rank 2", NULL);
	free_arena(a);
}

int main(void)
{
	if (!begin_imports())
		return 2;
	test_glu();
	test_shapes_vanish();
	test_pool_by_axes();
	test_wide_strides();
	test_table_of_halves();
	test_shape_as_data();
	test_side_of_square();
	test_repeated_outputs();
	test_bindings();
	test_value_bindings();
	test_text();
	test_demands();
	test_slice_from_end();
	test_custom_absent_inputs();
	test_custom_without_signature();
	test_reshape_of_quotient();
	test_float_range();
	test_half_range();
	test_unread_size();
	test_function();
	test_row_texts();
	test_top_k();
	test_widened_signal();
	test_unique();
	test_selected_boxes();
	return end_imports("import_graph");
}
