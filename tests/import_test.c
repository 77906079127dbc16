/* import_test.c - the ONNX importer on small models made by hand: what it makes of them, and what it says when it
 * refuses. */
#include "onnx_build.h"
#include "test.h"

#include <math.h>
#include <sys/stat.h>

static char dir[] = "/tmp/dcc-import-XXXXXX";

static const char *file_in(Arena *a, const char *name)
{
	return arena_printf(a, "%s/%s", dir, name);
}

static Module *load_built(Builder *b, const LoadOptions *opt, char **said)
{
	const char *path = file_in(b->arena, "m.onnx");
	write_built(b, path);
	return try_load_model(path, opt, said);
}

static Module *must_load(Builder *b, const LoadOptions *opt, int line)
{
	char *said;
	Module *m = load_built(b, opt, &said);
	const char *wrong = m ? verify_module(m) : NULL;
	if (!m || wrong)
		fprintf(stderr, "%s:%d: %s%s\n", __FILE__, line, said ? said : "", wrong ? wrong : "");
	CHECK(m && !wrong);
	free(said);
	return m;
}

/* The load fails and says each of the texts (NULL ends the list). */
static void must_fail(Builder *b, const LoadOptions *opt, int line, ...)
{
	char *said;
	Module *m = load_built(b, opt, &said);
	va_list texts;
	va_start(texts, line);
	for (const char *t; (t = va_arg(texts, const char *));) {
		bool there = said && strstr(said, t);
		CHECK(!m && there);
		if (!there)
			fprintf(stderr, "%s:%d: expected \"%s\", got \"%s\"\n", __FILE__, line, t, said ? said : "");
	}
	va_end(texts);
	free_module(m);
	free(said);
}

static int count_ops(const Module *m, Op op)
{
	int n = 0;
	for (const Node *at = m->main->body.first; at; at = at->next)
		n += op == NOps || at->op == op;
	return n;
}

static char *result_text(Module *m, int i)
{
	return type_text(m, &m->main->body.yields[i]->type);
}

/* ---- what is imported ------------------------------------------------------------------------------------------ */

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
#define LISTS(f) NULL
#define ONNX_OP(name, since, until, min_in, max_in, max_out, attrs, how) {#name, since, until, min_in, how},
#define ORT_OP(name, min_in, max_in, max_out, attrs, how) /* of another domain */
#define PREVIEW_OP(name, min_in, max_in, max_out, attrs, how)
#define ML_OP(name, min_in, max_in, max_out, attrs, how)
#include "../frontend/onnx_ops.def"
#undef ONNX_OP
#undef TEXT
#undef FUNC
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

/* ---- what it computes ------------------------------------------------------------------------------------------ */

enum { MaxList = 12 };

typedef struct List {
	int n;
	double v[MaxList];
} List;

typedef struct Reals {
	int n;
	double v[MaxList];
	const char *dims;
} Reals;

/* One node on a float input x (and an integer input i) with constant operands, evaluated. */
typedef struct Case {
	const char *op; /* or domain.op */
	int opset;
	const char *in, *dims; /* of x, or of i if that is the first input */
	List x;
	const char *attr; /* "name=1,2" integers, "name~0.5" a float, "name:text" a word; separated by ";" */
	List ints[3]; /* operands a, b, d */
	List want;
} Case;

static const Case cases[] = {
	{"Div", 13, "i,a", "4", {4, {-7, 7, -8, 5}}, "", {{1, {2}}}, {4, {-3, 3, -4, 2}}},
	{"Div", 13, "i,a", "4", {4, {-7, 7, -8, 5}}, "", {{1, {-2}}}, {4, {3, -3, 4, -2}}},
	{"Div", 13, "i,a", "4", {4, {INT64_MIN, 7, -7, 0}}, "", {{1, {2}}}, {4, {-0x1p62, 3, -3, 0}}},
	{"Div", 13, "i,a", "2", {2, {INT64_MIN, 7}}, "", {{1, {-1}}}, {2, {INT64_MIN, -7}}}, /* wraps */
	{"Div", 13, "i,a", "4", {4, {INT64_MIN, 7, -7, 0}}, "", {{1, {INT64_MIN}}}, {4, {1, 0, 0, 0}}},
	{"Mod", 13, "i,a", "4", {4, {-7, 7, -8, 5}}, "", {{1, {3}}}, {4, {2, 1, 1, 2}}},
	{"Slice", 13, "x,a,b,d", "5", {5, {0, 1, 2, 3, 4}}, "", {{1, {-2}}, {1, {9}}, {1, {0}}}, {2, {3, 4}}},
	{"Slice", 9, "x", "5", {5, {0, 1, 2, 3, 4}}, "starts=1;ends=-1;axes=0", {{0}}, {3, {1, 2, 3}}},
	{"Softmax", 11, "x", "1,2,2", {4, {0, 0, 0, 0}}, "", {{0}}, {4, {0.25, 0.25, 0.25, 0.25}}},
	{"Softmax", 13, "x", "1,2,2", {4, {0, 0, 0, 0}}, "", {{0}}, {4, {0.5, 0.5, 0.5, 0.5}}},
	{"Pad", 13, "x,a", "4", {4, {1, 2, 3, 4}}, "", {{2, {1, -2}}}, {3, {0, 1, 2}}},
	{"Pad", 13, "x,a", "3", {3, {1, 2, 3}}, "mode:reflect", {{2, {2, 1}}}, {6, {3, 2, 1, 2, 3, 2}}},
	{"AveragePool", 19, "x", "1,1,5", {5, {1, 2, 3, 4, 5}}, "kernel_shape=2;strides=2;ceil_mode=1", {{0}},
         {3, {1.5, 3.5, 5}}},
	{"MaxPool", 12, "x", "1,1,4", {4, {1, 5, 2, 3}}, "kernel_shape=3;pads=1,1", {{0}}, {4, {5, 5, 5, 3}}},
	{"HardSigmoid", 6 + 1, "x", "3", {3, {-9, 1, 9}}, "alpha~0.25", {{0}}, {3, {0, 0.75, 1}}},
	{"ArgMax", 13, "x", "2,3", {6, {1, 3, 3, 2, 0, 1}}, "axis=1;keepdims=0", {{0}}, {2, {1, 0}}},
	{"CumSum", 14, "i,a", "4", {4, {1, 2, 3, 4}}, "exclusive=1", {{1, {0}}}, {4, {0, 1, 3, 6}}},
	{"CumSum", 14, "x,a", "2,3", {6, {1, 2, 3, 4, 5, 6}}, "reverse=1", {{1, {-1}}}, {6, {6, 5, 3, 15, 11, 6}}},
	{"CumProd", 26, "x,a", "2,3", {6, {1, 2, 3, 4, 5, 6}}, "exclusive=1", {{1, {1}}}, {6, {1, 1, 2, 1, 4, 20}}},
	{"BitShift", 28, "i,a", "2", {2, {-9, 5}}, "direction:RIGHT", {{1, {1}}}, {2, {-5, 2}}},
	{"BitShift", 28, "i,a", "2", {2, {-9, 5}}, "direction:LEFT", {{1, {62}}}, {2, {-0x1p62, 0x1p62}}},
	{"Hardmax", 13, "x", "2,3", {6, {1, 3, 3, NAN, 9, -1}}, "", {{0}}, {6, {0, 1, 0, 1, 0, 0}}},
	{"Hardmax", 11, "x", "1,2,2", {4, {1, 3, 4, -1}}, "", {{0}}, {4, {0, 0, 1, 0}}},
	{"Asin", 13, "x", "5", {5, {-1, 1e-20, 0.5, 1, 1.5}}, "", {{0}}, {5, {-1.57079633, 1e-20, 0.523598776, 1.57079633, NAN}}},
	{"Acos", 13, "x", "5", {5, {-1, 0, 0.5, 1, -1.5}}, "", {{0}}, {5, {3.14159265, 1.57079633, 1.04719755, 0, NAN}}},
	{"Atan", 13, "x", "4", {4, {-INFINITY, 1e-20, 1, NAN}}, "", {{0}}, {4, {-1.57079633, 1e-20, 0.785398163, NAN}}},
	{"Sinh", 13, "x", "6", {6, {-89, 1e-10, -0.5, 2, INFINITY, NAN}}, "", {{0}},
         {6, {-2.2448061e38, 1e-10, -0.521095305, 3.62686041, INFINITY, NAN}}},
	{"Asinh", 13, "x", "6", {6, {-3e38, 1e-10, -0.5, 2, INFINITY, NAN}}, "", {{0}},
         {6, {-89.289993, 1e-10, -0.481211825, 1.44363548, INFINITY, NAN}}},
	{"Acosh", 13, "x", "6", {6, {1, 1.5, 3e38, 0.5, -3, NAN}}, "", {{0}}, {6, {0, 0.962423650, 89.289993, NAN, NAN, NAN}}},
	{"Atanh", 13, "x", "6", {6, {-1, 1e-10, -0.25, 0.75, 2, NAN}}, "", {{0}},
         {6, {-INFINITY, 1e-10, -0.255412812, 0.972955075, NAN, NAN}}},
	{"ReverseSequence", 10, "x,a", "3,2", {6, {1, 2, 3, 4, 5, 6}}, "", {{2, {3, 2}}}, {6, {5, 4, 3, 2, 1, 6}}},
	{"ReverseSequence", 10, "x,a", "2,3", {6, {1, 2, 3, 4, 5, 6}}, "batch_axis=0;time_axis=1", {{2, {2, 0}}}, {6, {2, 1, 3, 4, 5, 6}}},
	{"HannWindow", 17, "a", "", {0}, "", {{1, {4}}}, {4, {0, 0.5, 1, 0.5}}},
	{"HannWindow", 17, "a", "", {0}, "periodic=0", {{1, {3}}}, {3, {0, 1, 0}}},
	{"HammingWindow", 17, "a", "", {0}, "", {{1, {2}}}, {2, {0.086956522, 1}}},
	{"STFT", 17, "x,a,,b", "1,4", {4, {1, 2, 3, 4}}, "", {{1, {3}}, {1, {1}}}, {4, {1, 0, 4, 0}}},
	{"STFT", 17, "x,a,,b", "1,4,1", {4, {1, 2, 3, 4}}, "", {{1, {3}}, {1, {1}}}, {4, {1, 0, 4, 0}}},
	{"NegativeLogLikelihoodLoss", 13, "x,a", "2,3", {6, {1, 2, 3, 4, 5, 6}}, "reduction:none", {{2, {2, 0}}}, {2, {-3, -4}}},
	{"NegativeLogLikelihoodLoss", 13, "x,a", "2,3", {6, {1, 2, -INFINITY, 4, 5, 6}}, "ignore_index=-1", {{2, {-1, 0}}}, {1, {-4}}},
	{"SoftmaxCrossEntropyLoss", 13, "x,a", "2,2", {4, {0, 0, 3, 3}}, "", {{2, {1, 0}}}, {1, {0.69314718}}},
	{"Gemm", 13, "x,x", "2,2", {4, {1, 2, 3, 4}}, "transA=1", {{0}}, {4, {10, 14, 14, 20}}},
	{"Gemm", 13, "x,x,x", "2,2", {4, {1, 2, 3, 4}}, "transB=1;alpha~0.5;beta~2", {{0}}, {4, {4.5, 9.5, 11.5, 20.5}}},
	{"com.microsoft.FusedMatMul", 17, "x,x", "2,2", {4, {1, 2, 3, 4}}, "transA=1;alpha~0.5", {{0}}, {4, {5, 7, 7, 10}}},
	{"ai.onnx.ml.Binarizer", 17, "x", "3", {3, {-1, 0.5, 2}}, "threshold~0.5", {{0}}, {3, {0, 0, 1}}},
	{"ai.onnx.ml.Scaler", 17, "x", "2,2", {4, {1, 2, 3, 5}}, "offset~1,2;scale~0.5,0.5", {{0}}, {4, {0, 0, 1, 1.5}}},
	{"ai.onnx.ml.Scaler", 17, "x", "2", {2, {1, 2}}, "scale~3,-1", {{0}}, {2, {3, -2}}},
	{"ai.onnx.ml.Normalizer", 17, "x", "2,2", {4, {1, -4, 0, 0}}, "", {{0}}, {4, {1, -4, 0, 0}}},
	{"ai.onnx.ml.Normalizer", 17, "x", "2,2", {4, {1, -4, 0, 0}}, "norm:L1", {{0}}, {4, {0.2, -0.8, 0, 0}}},
	{"ai.onnx.ml.Normalizer", 17, "x", "2", {2, {3, -4}}, "norm:L2", {{0}}, {2, {0.6, -0.8}}},
	{"ai.onnx.ml.Imputer", 17, "x", "2,2", {4, {NAN, 1, 2, NAN}}, "imputed_value_floats~5,6;replaced_value_float~nan", {{0}}, {4, {5, 1, 2, 6}}},
	{"ai.onnx.ml.Imputer", 17, "x", "2", {2, {0, 1}}, "imputed_value_floats~7", {{0}}, {2, {7, 1}}},
	{"ai.onnx.ml.Imputer", 17, "i", "2,2", {4, {-1, 1, 2, -1}}, "imputed_value_int64s=5,6;replaced_value_int64=-1", {{0}}, {4, {5, 1, 2, 6}}},
	{"ai.onnx.ml.LinearRegressor", 17, "x", "1,2", {2, {1, 2}}, "coefficients~1,2,3,4;intercepts~0.5,-1;targets=2", {{0}}, {2, {5.5, 10}}},
	{"ai.onnx.ml.LinearRegressor", 17, "x", "2,2", {4, {1, 2, 0, -2}}, "coefficients~1,2;post_transform:LOGISTIC", {{0}}, {2, {0.993307149, 0.017986210}}},
	{"ai.onnx.ml.LinearClassifier", 17, "x", "3,1", {3, {1, -2, 0}}, "coefficients~1,-1,0.5;intercepts~0,0,0.1;classlabels_ints=7,8,9", {{0}},
         {3, {7, 8, 9}}},
	{"ai.onnx.ml.ArrayFeatureExtractor", 17, "x,a", "2,3", {6, {1, 2, 3, 4, 5, 6}}, "", {{2, {2, 0}}}, {4, {3, 1, 6, 4}}},
	{"ai.onnx.ml.ArrayFeatureExtractor", 17, "x,a", "3", {3, {1, 2, 3}}, "", {{2, {2, 0}}}, {2, {3, 1}}},
	{"TfIdfVectorizer", 17, "i", "5", {5, {94, 17, 94, 17, 36}},
         "mode:TF;min_gram_length=2;max_gram_length=2;max_skip_count=0;ngram_counts=0,0;ngram_indexes=3,0;pool_int64s=94,17,17,36",
         {{0}}, {4, {1, 0, 0, 2}}},
	{"TfIdfVectorizer", 17, "i", "5", {5, {94, 17, 94, 17, 36}},
         "mode:TFIDF;min_gram_length=1;max_gram_length=2;max_skip_count=2;ngram_counts=0,1;ngram_indexes=0,2,1;pool_int64s=17,94,17,17,36",
         {{0}}, {3, {2, 2, 3}}},
	{"TfIdfVectorizer", 17, "i", "1,2", {2, {36, 36}}, /* shorter than an n-gram; 1-grams are left out */
         "mode:IDF;min_gram_length=3;max_gram_length=3;max_skip_count=1;ngram_counts=0,1,1;ngram_indexes=0,1;pool_int64s=36,36,36,36",
         {{0}}, {2, {0, 0}}},
	{"com.microsoft.QuickGelu", 17, "x", "2", {2, {0, 1}}, "", {{0}}, {2, {0, 0.84579575}}},
	{"com.microsoft.FastGelu", 17, "x,x", "1", {1, {0.5}}, "", {{0}}, {1, {0.84119199}}},
	{"com.microsoft.MultiHeadAttention", 17, "x,x,x", "1,2,1", {2, {1, 2}}, "num_heads=1;scale~1", {{0}}, {2, {1.7310586, 1.8807971}}},
	{"Trilu", 14, "x,a", "2,3", {6, {1, 2, 3, 4, 5, 6}}, "upper=0", {{1, {1}}}, {6, {1, 2, 0, 4, 5, 6}}},
	{"Tile", 13, "x,a", "1,2", {2, {1, 2}}, "", {{2, {2, 2}}}, {8, {1, 2, 1, 2, 1, 2, 1, 2}}},
	{"Einsum", 12, "x,x", "2,2", {4, {1, 2, 3, 4}}, "equation:ij,jk->ki", {{0}}, {4, {7, 15, 10, 22}}},
	{"Einsum", 12, "x,x", "1,2,2", {4, {1, 2, 3, 4}}, "equation:...qd,...kd->...qk", {{0}}, {4, {5, 11, 11, 25}}},
	{"Einsum", 12, "x,x", "2,2", {4, {1, 2, 3, 4}}, "equation:... i, ...i", {{0}}, {2, {5, 25}}},
	{"Einsum", 12, "i,a", "2,2", {4, {1, 2, 3, 4}}, "equation:i...,...->i...", {{2, {5, 6}}}, {4, {5, 12, 15, 24}}},
	{"Einsum", 12, "i,a,b", "2,2", {4, {1, 2, 3, 4}}, "equation:...j,j,...->...", {{2, {5, 6}}, {1, {2}}}, {2, {34, 78}}},
	{"Resize", 13, "x,,,a", "1,1,2", {2, {1, 2}},
         "mode:nearest;coordinate_transformation_mode:asymmetric;nearest_mode:floor", {{3, {1, 1, 4}}},
         {4, {1, 1, 2, 2}}},
	{"DFT", 20, "x", "1,4,1", {4, {1, 0, 0, 0}}, "", {{0}}, {8, {1, 0, 1, 0, 1, 0, 1, 0}}},
	{"DFT", 20, "x,a", "1,2,1", {2, {1, 5}}, "", {{1, {1}}}, {2, {1, 0}}},
	{"DFT", 20, "x,a", "1,1,1", {1, {7}}, "", {{1, {3}}}, {6, {7, 0, 7, 0, 7, 0}}},
	{"DFT", 20, "x,a", "1,2,2", {4, {6, 0, 0, 0}}, "inverse=1;onesided=1", {{1, {3}}}, {3, {2, 2, 2}}},
	{"DFT", 17, "x", "1,2,2", {4, {6, 9, 2, 0}}, "inverse=1;onesided=1", {{0}}, {2, {4, 2}}},
	{"ReduceLogSumExp", 18, "x,a", "1,2", {2, {0, 0}}, "keepdims=0", {{1, {1}}}, {1, {0.69314718}}},
	{"Clip", 6 + 1, "x", "3", {3, {-2, 0, 2}}, "min~-1;max~1", {{0}}, {3, {-1, 0, 1}}},
	{"Gelu", 20, "x", "2", {2, {0, 1}}, "approximate:tanh", {{0}}, {2, {0, 0.84119199}}},
	{"Sign", 13, "x", "4", {4, {NAN, -2, -0.0, 3}}, "", {{0}}, {4, {NAN, -1, 0, 1}}},
	{"ArgMax", 13, "x", "2,3", {6, {1, NAN, NAN, 2, 0, INFINITY}}, "axis=1;keepdims=0", {{0}}, {2, {1, 2}}},
	{"ArgMin", 13, "x", "2,3", {6, {1, NAN, NAN, 2, 2, 3}}, "axis=1;keepdims=0;select_last_index=1", {{0}}, {2, {2, 1}}},
	{"Cosh", 13, "x", "5", {5, {89, -89, 90, 0, NAN}}, "", {{0}}, {5, {2.2448061e38, 2.2448061e38, INFINITY, 1, NAN}}},
	{"Elu", 13, "x", "4", {4, {-1e-7, -INFINITY, 2, NAN}}, "alpha~2", {{0}}, {4, {-2e-7, -2, 2, NAN}}},
	{"Selu", 13, "x", "2", {2, {-1e-20, 1}}, "", {{0}}, {2, {-1.7580993e-20, 1.050701}}},
	{"Celu", 13, "x", "2", {2, {-1e-5, -40}}, "alpha~2", {{0}}, {2, {-9.999975e-6, -2}}},
	{"Softplus", 13, "x", "5", {5, {-30, -17, 0, 100, NAN}}, "", {{0}},
         {5, {9.3576230e-14, 4.1399376e-8, 0.69314718, 100, NAN}}},
	{"Mish", 18, "x", "4", {4, {-20, 1, 1e30, NAN}}, "", {{0}}, {4, {-4.1223072e-8, 0.86509839, 1e30, NAN}}},
	{"Sin", 13, "x", "3", {3, {1e10, 3e38, INFINITY}}, "", {{0}}, {3, {-0.48750603, 0.87490489, NAN}}},
	{"RMSNormalization", 23, "x,x", "2", {2, {3, 4}}, "epsilon~0", {{0}}, {2, {2.5455844, 4.5254834}}},
	{"Reshape", 14, "x,a", "0,2", {0}, "allowzero=1", {{2, {5, 0}}}, {0}},
	{"Reshape", 14, "x,a", "2,3", {6, {1, 2, 3, 4, 5, 6}}, "allowzero=0", {{2, {0, -1}}}, {6, {1, 2, 3, 4, 5, 6}}},
	{"OneHot", 11, "i,a,b", "4", {4, {0, -1, 2, 3}}, "", {{1, {3}}, {2, {5, 7}}}, {12, {7, 5, 5, 5, 5, 7, 5, 5, 7, 5, 5, 5}}},
	{"OneHot", 11, "i,a,b", "2", {2, {1, 0}}, "axis=0", {{1, {3}}, {2, {5, 7}}}, {6, {5, 7, 7, 5, 5, 5}}},
	{"MaxPool", 12, "x", "1,1,3", {3, {1, 5, 2}}, "kernel_shape=2;auto_pad:SAME_UPPER", {{0}}, {3, {5, 5, 2}}},
	{"MaxPool", 12, "x", "1,1,3", {3, {1, 5, 2}}, "kernel_shape=2;auto_pad:SAME_LOWER", {{0}}, {3, {1, 5, 5}}},
	{"MaxPool", 12, "x", "1,1,3", {3, {1, 5, 2}}, "kernel_shape=2;auto_pad:VALID", {{0}}, {2, {5, 5}}},
	{"AveragePool", 11, "x", "1,1,5", {5, {1, 2, 3, 4, 5}}, "kernel_shape=3;strides=2;auto_pad:SAME_UPPER", {{0}},
         {3, {1.5, 3, 4.5}}},
	{"MaxPool", 12, "x", "1,1,3", {3, {1, 5, 2}}, "kernel_shape=200;pads=199,199;strides=199", {{0}}, {2, {1, 5}}},
	{"AveragePool", 11, "x", "1,1,3", {3, {1, 5, 3}}, "kernel_shape=200;pads=198,198;strides=198", {{0}}, {2, {3, 3}}},
	{"AveragePool", 11, "x", "1,1,2", {2, {100, 300}}, "kernel_shape=200;pads=99,99;count_include_pad=1", {{0}}, {1, {2}}},
	{"AveragePool", 19, "x", "1,1,3", {3, {129 * 130, 0, 0}}, "kernel_shape=130;pads=64,64;strides=2;ceil_mode=1;count_include_pad=1",
         {{0}}, {2, {129, 130}}},
	{"LpPool", 11, "x", "1,1,4", {4, {3, -4, 6, 8}}, "kernel_shape=2;strides=2", {{0}}, {2, {5, 10}}},
	{"LpPool", 18, "x", "1,1,3", {3, {1, -1, 3}}, "kernel_shape=3;p=3;pads=1,0", {{0}}, {2, {1.25992105, 3.07231683}}},
	{"GlobalLpPool", 11, "x", "1,1,1,2", {2, {3, -4}}, "p=1", {{0}}, {1, {7}}},
	{"Attention", 23, "x,x,x", "1,1,2,2", {4, {1, 0, 0, 1}}, "", {{0}}, {4, {0.66976155, 0.33023845, 0.33023845, 0.66976155}}},
	{"Attention", 23, "x,x,x", "1,1,2,2", {4, {1, 0, 0, 1}}, "scale~1;is_causal=1", {{0}}, {4, {1, 0, 0.26894142, 0.73105858}}},
	{"Attention", 23, "x,x,x", "1,1,2,2", {4, {1, 0, 0, 1}}, "scale~1;softcap~0.5", {{0}}, {4, {0.61822329, 0.38177671, 0.38177671, 0.61822329}}},
	{"Resize", 13, "x,,,a", "1,1,2", {2, {1, 2}}, "mode:linear", {{3, {1, 1, 4}}}, {4, {1, 1.25, 1.75, 2}}},
	{"Resize", 13, "x,,,a", "1,1,2", {2, {1, 2}}, "coordinate_transformation_mode:asymmetric;nearest_mode:ceil", {{3, {1, 1, 3}}},
         {3, {1, 2, 2}}},
	{"Resize", 13, "x,,,a", "4", {4, {1, 2, 4, 8}}, "mode:cubic;coordinate_transformation_mode:align_corners;cubic_coeff_a~-0.5",
         {{1, {7}}}, {7, {1, 1.375, 2, 2.8125, 4, 6.125, 8}}},
	{"Resize", 19, "x,,,a", "2,2", {4, {1, 2, 3, 4}}, "keep_aspect_ratio_policy:not_larger", {{2, {4, 3}}},
         {9, {1, 1, 2, 1, 1, 2, 3, 3, 4}}},
	{"Resize", 19, "x,,,a", "4", {4, {1, 2, 3, 4}}, "mode:linear;antialias=1", {{1, {2}}}, {2, {1.625, 3.375}}},
	{"Upsample", 1, "x", "1,1,1,2", {2, {1, 2}}, "mode:nearest;height_scale~2;width_scale~1", {{0}}, {4, {1, 2, 1, 2}}},
	{"CenterCropPad", 18, "x,a", "2,3", {6, {1, 2, 3, 4, 5, 6}}, "", {{2, {3, 1}}}, {3, {2, 5, 0}}},
	{"SpaceToDepth", 28, "x", "1,2,2,2", {8, {1, 2, 3, 4, 5, 6, 7, 8}}, "blocksize=2;mode:CRD", {{0}}, {8, {1, 2, 3, 4, 5, 6, 7, 8}}},
	{"SpaceToDepth", 13, "x", "1,2,2,2", {8, {1, 2, 3, 4, 5, 6, 7, 8}}, "blocksize=2", {{0}}, {8, {1, 5, 2, 6, 3, 7, 4, 8}}},
	{"ReduceProd", 13, "x", "2,3", {6, {1, 2, 3, 4, 5, -6}}, "axes=1;keepdims=0", {{0}}, {2, {6, -120}}},
	{"ReduceProd", 13, "x", "2,0", {0}, "axes=0,1", {{0}}, {1, {1}}},
	{"TensorScatter", 24, "i,i,a", "1,2,1", {2, {1, 2}}, "mode:circular", {{1, {1}}}, {2, {2, 1}}},
	{"Unique", 11, "x", "6", {6, {2, 1, 1, 3, 4, 3}}, "sorted=0", {{0}}, {4, {2, 1, 3, 4}}},
	{"Unique", 11, "i", "2,2", {4, {3, 1, 1, INT64_MIN}}, "", {{0}}, {3, {INT64_MIN, 1, 3}}},
	{"Unique", 11, "x", "2,3", {6, {4, 1, 4, 2, 7, 2}}, "axis=-1", {{0}}, {4, {1, 4, 7, 2}}},
	{"Unique", 11, "x", "0,3", {0, {0}}, "axis=1;sorted=0", {{0}}, {0, {0}}},
	{"TopK", 1, "x", "4", {4, {1, 4, 3, 4}}, "k=3", {{0}}, {3, {4, 4, 3}}},
	{"TopK", 10, "x,a", "2,3", {6, {1, 5, 3, 4, 2, 6}}, "axis=0", {{1, {1}}}, {3, {4, 5, 6}}},
	{"TopK", 11, "x,a", "4", {4, {1, -4, 3, 4}}, "largest=0;sorted=0", {{1, {2}}}, {2, {-4, 1}}},
	{"TopK", 24, "i,a", "1,3", {3, {1, INT64_MIN, 3}}, "axis=-2", {{1, {1}}}, {3, {1, INT64_MIN, 3}}},
	{"TopK", 24, "i,a", "3", {3, {1, 2, 3}}, "", {{1, {0}}}, {0, {0}}},
	{"ScatterElements", 18, "i,a,b", "3", {3, {1, 2, 3}}, "reduction:max", {{2, {-1, 0}}, {2, {9, 0}}}, {3, {1, 2, 9}}},
	{"Sub", 6, "i,a", "2,3", {6, {1, 2, 3, 4, 5, 6}}, "broadcast=1;axis=0", {{2, {1, 2}}}, {6, {0, 1, 2, 2, 3, 4}}},
	{"Div", 1, "i,a", "2,2", {4, {1, 2, 30, -40}}, "broadcast=1", {{2, {1, 20}}}, {4, {1, 0, 30, -2}}},
	{"Tile", 5, "x,a,b", "1,2", {2, {1, 2}}, "", {{1, {2}}, {1, {1}}}, {4, {1, 2, 1, 2}}},
	{"Reshape", 4, "x", "2,3", {6, {1, 2, 3, 4, 5, 6}}, "shape=0,-1", {{0}}, {6, {1, 2, 3, 4, 5, 6}}},
	{"Pad", 1, "x", "2", {2, {1, 2}}, "paddings=1,2;value~7", {{0}}, {5, {7, 1, 2, 7, 7}}},
	{"Cast", 5, "x", "2", {2, {1.5, -2}}, "to:INT64", {{0}}, {2, {1, -2}}},
	{"Concat", 3, "x,x", "2,1", {2, {1, 2}}, "", {{0}}, {4, {1, 1, 2, 2}}},
	{"Selu", 5, "x", "1", {1, {1}}, "consumed_inputs=0", {{0}}, {1, {1.0507}}},
	{"Dropout", 6, "x", "2", {2, {1, 2}}, "is_test=1", {{0}}, {2, {1, 2}}},
	{"Attention", 23, "x,x,x", "1,2,2", {4, {1, 2, 3, 4}}, "scale~1;q_num_heads=2;kv_num_heads=2", {{0}}, {4, {2.7615942, 3.9640276, 2.9950548, 3.9993293}}},
};

/* With real operands too. */
typedef struct RealCase {
	Case c;
	Reals reals[4]; /* p, q, r, s */
} RealCase;

static const RealCase real_cases[] = {
	{{"BatchNormalization", 15, "x,p,q,r,s", "1,2,2", {4, {1, 2, 3, 4}}, "epsilon~0", {{0}}, {4, {1, 2, 1, 2}}},
         {{2, {2, 1}, "2"}, {2, {1, 0}, "2"}, {2, {1, 2}, "2"}, {2, {4, 1}, "2"}}},
	{{"BatchNormalization", 9, "x,p,q,r,s", "2,2", {4, {1, 2, 3, 4}}, "epsilon~3", {{0}}, {4, {0.5, 1, 1.5, 2}}},
         {{2, {1, 1}, "2"}, {2, {0.5, 1}, "2"}, {2, {1, 2}, "2"}, {2, {1, 1}, "2"}}},
	{{"BatchNormalization", 6, "x,p,q,r,s", "1,2,2", {4, {1, 2, 3, 4}}, "epsilon~0;is_test=1;spatial=0", {{0}}, {4, {1, 2, 6, 4}}},
         {{4, {1, 1, 2, 1}, "2,2"}, {4, {0, 0, 0, 0}, "2,2"}, {4, {0, 0, 0, 0}, "2,2"}, {4, {1, 1, 1, 1}, "2,2"}}},
	{{"NonMaxSuppression", 11, "x,p,a,q", "1,3,4", {12, {0, 0, 1, 1, 1, 1, 0, 0.125, 2, 2, 3, 3}}, "", {{1, {3}}}, {6, {0, 0, 1, 0, 0, 2}}},
         {{3, {0.5, 1, 0.75}, "1,1,3"}, {1, {0.5}, "1"}}},
	{{"NonMaxSuppression", 11, "x,p,a,q,r", "1,3,4", {12, {1, 1, 2, 2, 1, 1, 2, 1, 4, 4, 1, 1}}, "center_point_box=1", {{1, {1}}},
          {6, {0, 0, 1, 0, 1, 0}}}, {{6, {0.5, 1, 0.75, 2, 2, 0.5}, "1,2,3"}, {1, {0.25}, "1"}, {1, {0.75}, "1"}}},
	{{"NonMaxSuppression", 10, "x,p", "1,1,4", {4, {0, 0, 1, 1}}, "", {{0}}, {0, {0}}}, {{1, {1}, "1,1,1"}}},
	{{"PRelu", 6, "x,p", "1,2,2", {4, {-1, 2, -3, -4}}, "", {{0}}, {4, {-2, 2, -9, -12}}}, {{2, {2, 3}, "2"}}},
	{{"InstanceNormalization", 9, "x,p,q", "1,2,2", {4, {1, 3, 10, 30}}, "epsilon~0", {{0}}, {4, {-1, 3, -4, -2}}},
         {{2, {2, 1}, "2"}, {2, {1, -3}, "2"}}},
	{{"GroupNormalization", 21, "x,p,q", "1,4,1", {4, {1, 3, 10, 30}}, "num_groups=2;epsilon~0", {{0}}, {4, {-1, 2, -2, 5}}},
         {{4, {1, 2, 3, 4}, "4"}, {4, {0, 0, 1, 1}, "4"}}},
	{{"Conv", 11, "x,p", "1,1,3", {3, {1, 2, 3}}, "auto_pad:SAME_UPPER", {{0}}, {3, {21, 32, 3}}},
         {{2, {1, 10}, "1,1,2"}}},
	{{"Conv", 11, "x,p", "1,1,3", {3, {1, 2, 3}}, "auto_pad:SAME_LOWER", {{0}}, {3, {10, 21, 32}}},
         {{2, {1, 10}, "1,1,2"}}},
	{{"NegativeLogLikelihoodLoss", 13, "x,a,p", "2,3", {6, {1, 2, 3, 4, 5, 6}}, "", {{2, {2, 0}}}, {1, {-3.25}}},
         {{3, {3, 7, 9}, "3"}}},
	{{"CausalConvWithState", 27, "x,p", "1,1,3", {3, {1, 2, 3}}, "", {{0}}, {3, {1, 12, 23}}}, {{2, {10, 1}, "1,1,2"}}},
	{{"LinearAttention", 27, "x,p,q", "1,2,1", {2, {1, 2}}, "update_rule:linear;q_num_heads=1;kv_num_heads=1;scale~1", {{0}}, {2, {3, 22}}},
         {{2, {1, 2}, "1,2,1"}, {2, {3, 4}, "1,2,1"}}},
	{{"LRN", 13, "x", "1,3,1", {3, {1, 2, 3}}, "size=2;alpha~2;beta~1;bias~0", {{0}}, {3, {0.2, 0.15384615, 0.33333333}}}, {{0}}},
	{{"MeanVarianceNormalization", 13, "x", "1,1,1,2", {2, {1, 3}}, "", {{0}}, {2, {-1, 1}}}, {{0}}},
	{{"GridSample", 20, "x,p", "1,1,1,2", {2, {10, 20}}, "", {{0}}, {1, {15}}}, {{2, {0, 0}, "1,1,1,2"}}},
	{{"GridSample", 20, "x,p", "1,1,1,2", {2, {10, 20}}, "", {{0}}, {1, {5}}}, {{2, {-1, 0}, "1,1,1,2"}}},
	{{"GridSample", 16, "x,p", "1,1,1,2", {2, {10, 20}}, "padding_mode:border", {{0}}, {1, {20}}}, {{2, {3, 0}, "1,1,1,2"}}},
	{{"GridSample", 16, "x,p", "1,1,1,2", {2, {10, 20}}, "padding_mode:reflection;mode:nearest", {{0}}, {1, {10}}},
         {{2, {2.4, 0}, "1,1,1,2"}}},
	{{"AffineGrid", 20, "x,a", "1,2,3", {6, {1, 0, 5, 0, 1, 7}}, "", {{4, {1, 1, 1, 2}}}, {4, {4.5, 7, 5.5, 7}}}, {{0}}},
	{{"Col2Im", 18, "x,a,b", "1,2,2", {4, {1, 2, 10, 20}}, "", {{2, {1, 3}}, {2, {1, 2}}}, {3, {1, 12, 20}}}, {{0}}},
	{{"DeformConv", 19, "x,p,q", "1,1,1,3", {3, {1, 2, 3}}, "", {{0}}, {3, {3, 5, 3}}},
         {{1, {2}, "1,1,1,1"}, {6, {0, 0, 0, 0.5, 0.5, 0.5}, "1,2,1,3"}}},
	{{"GroupNormalization", 18, "x,p,q", "1,4,1", {4, {1, 3, 10, 30}}, "num_groups=2;epsilon~0", {{0}}, {4, {-1, 1, -2, 4}}},
         {{2, {1, 3}, "2"}, {2, {0, 1}, "2"}}},
	{{"SwiGLU", 28, "x,p", "1", {1, {1}}, "", {{0}}, {1, {1.46211716}}}, {{1, {2}, "1"}}},
	{{"ConvTranspose", 11, "x,p", "1,1,2", {2, {1, 2}}, "strides=2;output_padding=1", {{0}}, {6, {1, 10, 102, 20, 200, 0}}},
         {{3, {1, 10, 100}, "1,1,3"}}},
	{{"ConvTranspose", 11, "x,p,q", "1,1,2", {2, {1, 2}}, "strides=2;pads=1,1;output_padding=4", {{0}}, {7, {11, 103, 21, 201, 1, 1, 1}}},
         {{3, {1, 10, 100}, "1,1,3"}, {1, {1}, "1"}}},
	{{"ConvTranspose", 11, "x,p", "1,1,2", {2, {1, 2}}, "strides=2;dilations=2", {{0}}, {5, {1, 0, 12, 0, 20}}},
         {{2, {1, 10}, "1,1,2"}}},
	{{"ConvTranspose", 11, "x,p", "1,1,2", {2, {1, 2}}, "strides=3;auto_pad:SAME_UPPER", {{0}}, {6, {0, 1, 10, 0, 2, 20}}},
         {{2, {1, 10}, "1,1,2"}}},
	{{"ConvTranspose", 11, "x,p", "1,1,2", {2, {1, 2}}, "output_shape=2;auto_pad:SAME_LOWER", {{0}}, {2, {12, 20}}},
         {{2, {1, 10}, "1,1,2"}}},
	{{"ConvTranspose", 11, "x,p,q", "1,2,1,1", {2, {1, 2}}, "group=2;strides=1,2", {{0}}, {8, {1, 2, 3, 4, 25, 27, 6, 8}}},
         {{8, {1, 2, 3, 4, 2, 3, 3, 4}, "2,2,1,2"}, {4, {0, 0, 21, 0}, "4"}}},
	{{"com.microsoft.FusedConv", 17, "x,p", "1,1,3", {3, {1, 3, 2}}, "activation:Relu", {{0}}, {2, {0, 1}}}, {{2, {1, -1}, "1,1,2"}}},
	{{"com.microsoft.SkipLayerNormalization", 17, "x,x,p", "1,1,2", {2, {1, 3}}, "epsilon~0", {{0}}, {2, {-2, 3}}}, {{2, {2, 3}, "2"}}},
	{{"com.microsoft.SkipSimplifiedLayerNormalization", 17, "x,x,p", "1,1,2", {2, {0, 2}}, "epsilon~0", {{0}}, {2, {0, 4.2426407}}},
         {{2, {2, 3}, "2"}}},
	{{"com.microsoft.Attention", 17, "x,p,,a", "1,2,1", {2, {1, 2}}, "num_heads=1", {{1, {1}}}, {2, {1, 1}}}, {{3, {0, 0, 1}, "1,3"}}},
	{{"com.microsoft.Attention", 17, "x,p,,a", "1,2,1", {2, {1, 2}}, "num_heads=1", {{2, {2, 1}}}, {2, {2, 2}}}, {{3, {0, 0, 1}, "1,3"}}},
	{{"com.microsoft.Attention", 17, "x,p,,,q", "1,1,1", {1, {2}}, "num_heads=1;scale~1", {{0}}, {1, {2.0539586}}},
         {{3, {1, 1, 1}, "1,3"}, {2, {0, 5}, "2,1,1,1,1"}}},
	{{"com.microsoft.MultiHeadAttention", 17, "x,x,x,,,,p,q", "1,1,1", {1, {2}}, "num_heads=1;scale~1", {{0}}, {1, {2.0539586}}},
         {{1, {0}, "1,1,1,1"}, {1, {5}, "1,1,1,1"}}},
	{{"com.microsoft.MultiHeadAttention", 17, "x,,,p", "1,1,1,3,1", {3, {1, 2, 3}}, "num_heads=1", {{0}}, {1, {33}}}, {{3, {10, 20, 30}, "3"}}},
	{{"com.microsoft.GroupQueryAttention", 17, "x,,,,,a,b", "1,2,3", {6, {1, 2, 3, 1, 4, 5}}, "num_heads=1;kv_num_heads=1;scale~1",
	  {{1, {1}}, {1, {2}}}, {2, {3, 4.7615942}}}, {{0}}},
	{{"com.microsoft.GroupQueryAttention", 17, "x,,,,,a,b", "1,2,3", {6, {1, 2, 3, 1, 4, 5}},
	  "num_heads=1;kv_num_heads=1;scale~1;local_window_size=1", {{1, {1}}, {1, {2}}}, {2, {3, 5}}}, {{0}}},
	{{"com.microsoft.GroupQueryAttention", 17, "x,,,,,a,b", "1,2,3", {6, {1, 2, 3, 1, 4, 5}},
	  "num_heads=1;kv_num_heads=1;scale~1;smooth_softmax=1", {{1, {1}}, {1, {2}}}, {2, {2.6423912, 4.6859979}}}, {{0}}},
	{{"com.microsoft.GroupQueryAttention", 17, "x,,,p,q,a,b", "1,1,3", {3, {1, 4, 5}}, "num_heads=1;kv_num_heads=1;scale~1",
	  {{1, {1}}, {1, {2}}}, {1, {4.7615942}}}, {{1, {2}, "1,1,1,1"}, {1, {3}, "1,1,1,1"}}},
	{{"com.microsoft.RotaryEmbedding", 17, "x,a,p,q", "1,1,4", {4, {3, 4, 3, 4}}, "", {{1, {1}}}, {4, {-1.4, 4.8, -1.4, 4.8}}},
         {{2, {1, 0.6}, "2,1"}, {2, {0, 0.8}, "2,1"}}},
	{{"com.microsoft.RotaryEmbedding", 17, "x,a,p,q", "1,1,1,2", {2, {3, 4}}, "", {{1, {1}}}, {2, {-1.4, 4.8}}},
         {{2, {1, 0.6}, "2,1"}, {2, {0, 0.8}, "2,1"}}},
	{{"SimplifiedLayerNormalization", 13, "x,p", "1,2", {2, {3, 4}}, "epsilon~0", {{0}}, {2, {0.84852814, 2.2627417}}}, {{2, {1, 2}, "2"}}},
	{{"RotaryEmbedding", 23, "x,p,q", "1,1,1,4", {4, {1, 2, 3, 4}}, "", {{0}}, {4, {-1.8, 2, 2.6, 4}}},
         {{2, {0.6, 1}, "1,1,2"}, {2, {0.8, 0}, "1,1,2"}}},
	{{"RotaryEmbedding", 23, "x,p,q", "1,1,1,4", {4, {1, 2, 3, 4}}, "interleaved=1", {{0}}, {4, {-1, 2, 3, 4}}},
         {{2, {0.6, 1}, "1,1,2"}, {2, {0.8, 0}, "1,1,2"}}},
};

static double element(const Tensor *t, int i)
{
	return t->dtype == F32 ? ((float *)t->data)[i] : (double)((int64_t *)t->data)[i];
}

static bool is_near(double x, double want)
{
	if (!isfinite(want) || want == 0)
		return isnan(want) ? isnan(x) : x == want;
	return fabs(x - want) <= 2e-6 * fabs(want);
}

static void test_case(const Case *k, const Reals *operands)
{
	static const char *const names[] = {"a", "b", "d"};
	Arena *arena = new_arena();
	Builder *b = new_builder(arena, k->opset);
	bool integer = *k->in == 'i';
	float reals[MaxList];
	int64_t ints[MaxList];
	add_input(b, integer ? "i" : "x", integer ? 7 : 1, k->dims);
	for (int i = 0; i < 3 && k->ints[i].n; i++) {
		int64_t v[MaxList];
		for (int j = 0; j < k->ints[i].n; j++)
			v[j] = (int64_t)k->ints[i].v[j];
		add_ints(b, names[i], k->ints[i].n, v);
	}
	for (int i = 0; i < 4 && operands && operands[i].n; i++) {
		const Reals *r = &operands[i];
		float v[MaxList];
		for (int j = 0; j < r->n; j++)
			v[j] = (float)r->v[j];
		add_tensor(b, (const char *[]){"p", "q", "r", "s"}[i], 1, r->dims, v, (size_t)r->n * sizeof *v);
	}
	const char *dot = strrchr(k->op, '.');
	Onnx__NodeProto *node = add_op(b, dot ? dot + 1 : k->op, k->in, "y");
	if (dot)
		node->domain = arena_printf(arena, "%.*s", (int)(dot - k->op), k->op);
	put_attrs(arena, node, k->attr);
	add_output(b, "y");
	Module *m = must_load(b, NULL, __LINE__);
	Tensor in = {.dtype = integer ? I64 : F32, .data = integer ? (void *)ints : reals}, out = {0};
	for (int i = 0; i < k->x.n; i++) {
		reals[i] = (float)k->x.v[i];
		ints[i] = (int64_t)k->x.v[i];
	}
	char **dims;
	in.rank = split_text(arena, k->dims, &dims);
	for (int i = 0; i < in.rank; i++)
		in.dims[i] = atoll(dims[i]);
	const char *wrong = m ? eval_module(m, &in, &out) : "does not load";
	bool right = !wrong && tensor_numel(&out) == k->want.n;
	for (int i = 0; right && i < k->want.n; i++) {
		right = is_near(element(&out, i), k->want.v[i]);
	}
	CHECK(right);
	if (!right)
		fprintf(stderr, "%s-%d: %s\n", k->op, k->opset, wrong ? wrong : "wrong result");
	free_tensor(&out);
	free_module(m);
	free_arena(arena);
}

/* x[2, t, t] as [2t, t]: for t = 0 the first extent is 0, which copies the operand's. */
static void test_reshape_to_zero(void)
{
	static const int64_t extents[][2] = {{0, 2}, {1, 2}, {3, 6}};
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	int64_t one = 1, two = 2;
	add_input(b, "x", 1, "2,t,t");
	add_tensor(b, "one", 7, "1", &one, sizeof one);
	add_tensor(b, "two", 7, "1", &two, sizeof two);
	add_op(b, "Shape", "x", "s");
	add_op(b, "Gather", "s,one", "t1");
	add_op(b, "Mul", "t1,two", "t2");
	set_i(a, add_op(b, "Concat", "t2,t1", "to"), "axis", 0);
	add_op(b, "Reshape", "x,to", "y");
	add_output(b, "y");
	Module *m = must_load(b, NULL, __LINE__);
	for (int i = 0; i < 3 && m; i++) {
		int64_t t = extents[i][0];
		float x[18] = {0};
		Tensor in = {.dtype = F32, .rank = 3, .dims = {2, t, t}, .data = x}, out = {0};
		CHECK(!eval_module(m, &in, &out));
		CHECK_EQ(out.dims[0], extents[i][1]);
		CHECK_EQ(out.dims[1], t);
		free_tensor(&out);
	}
	free_module(m);
	free_arena(a);
}

static void reverse(Onnx__NodeProto **nodes, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		Onnx__NodeProto *first = nodes[i];
		nodes[i] = nodes[n - 1 - i];
		nodes[n - 1 - i] = first;
	}
}

/* Nodes in any order: of the graph, of a branch, which uses a value of a node behind the If, and of a function.  y = |2 x| + 1. */
static void test_any_order(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17), *yes = new_builder(a, 17), *no = new_builder(a, 17);
	float x[2] = {3, -4};
	uint8_t c = 1;
	add_input(b, "x", 1, "2");
	add_input(b, "c", 9, "");
	add_op(b, "Add", "x,x", "twice");
	add_op(b, "Abs", "twice", "size");
	Onnx__NodeProto *n = add_op(b, "If", "c", "y");
	add_tensor(yes, "one", 1, "", (float[]){1}, sizeof(float));
	add_op(yes, "Identity", "size", "s");
	add_op(yes, "Add", "s,one", "y1");
	add_output(yes, "y1");
	add_op(no, "Neg", "twice", "y2");
	add_output(no, "y2");
	add_attr(a, n, "then_branch", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH)->g = &yes->graph;
	add_attr(a, n, "else_branch", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH)->g = &no->graph;
	add_leaky(b, "own", "Leak");
	add_op(b, "Leak", "y", "z")->domain = arena_strdup(a, "own");
	add_output(b, "z");
	Onnx__FunctionProto *f = b->model.functions[0];
	f->node = append(a, f->node, &f->n_node, make_node(a, "Identity", "out", "last"));
	f->output[0] = arena_strdup(a, "last");
	reverse(b->graph.node, b->graph.n_node);
	reverse(yes->graph.node, yes->graph.n_node);
	reverse(f->node, f->n_node);
	Module *m = must_load(b, NULL, __LINE__);
	Tensor in[] = {{.dtype = F32, .rank = 1, .dims = {2}, .data = x}, {.dtype = Bool, .data = &c}}, out = {0};
	CHECK(m && !eval_module(m, in, &out));
	CHECK(out.data && element(&out, 0) == 7 && element(&out, 1) == 9);
	free_tensor(&out);
	free_module(m);
	/* in order already: nothing moves, whatever else would be right, too */
	b = new_builder(a, 17);
	add_input(b, "x", 1, "2");
	add_op(b, "Relu", "x", "r");
	add_op(b, "Neg", "x", "s");
	add_output(b, "r");
	add_output(b, "s");
	m = must_load(b, NULL, __LINE__);
	CHECK(m && m->main->body.first->op == OpRelu);
	free_module(m);
	free_arena(a);
}

/* A long chain, backwards: the walk does not recurse. */
static void test_long_order(void)
{
	enum { Long = 50000 };
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	add_input(b, "x", 1, "2");
	b->graph.n_node = Long;
	b->graph.node = arena_alloc(a, Long * sizeof *b->graph.node);
	for (int i = 0; i < Long; i++)
		b->graph.node[Long - 1 - i] = make_node(a, "Neg", i ? arena_printf(a, "h%d", i) : "x", arena_printf(a, "h%d", i + 1));
	add_output(b, arena_printf(a, "h%d", (int)Long));
	Module *m = must_load(b, NULL, __LINE__);
	CHECK(m && count_ops(m, NOps) == Long);
	free_module(m);
	free_arena(a);
}

/* Symbols of values whose names are no identifiers: the text must read again. */
static void test_symbols_of_numbers(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 13);
	DimBinding bind = {"_9", 1, 20};
	add_input(b, "x", 7, "n");
	add_ints(b, "ends", 2, (int64_t[]){0, 1});
	set_ints(a, add_op(b, "ReduceMax", "x", "9"), "axes", 1, (int64_t[]){0});
	set_i(a, b->graph.node[0], "keepdims", 0);
	add_tensor(b, "zero", 7, "", (int64_t[]){0}, 8);
	add_tensor(b, "one", 7, "", (int64_t[]){1}, 8);
	add_op(b, "Range", "zero,9,one", "y");
	add_output(b, "y");
	Module *m = must_load(b, &(LoadOptions){.nbind = 1, .bind = &bind}, __LINE__);
	if (m) {
		CHECK_STR(result_text(m, 0), "i64[_9]");
		const char *path = file_in(a, "m.ir");
		char *said;
		write_module(path, m);
		Module *again = try_load_model(path, NULL, &said);
		CHECK(again && !verify_module(again));
		free_module(again);
		free(said);
		unlink(path);
	}
	free_module(m);
	free_arena(a);
}

/* y is x's extent of numbers, drawn with seed `s` if the model has that input. */
static void draw(Module *m, int64_t s, float *y)
{
	float x[8] = {0};
	Tensor in[] = {{.dtype = F32, .rank = 1, .dims = {8}, .data = x}, {.dtype = I64, .data = &s}}, out[2] = {{0}};
	CHECK(!eval_module(m, in, out));
	for (int i = 0; i < 2; i++) {
		memcpy(y + 8 * i, out[i].data, 8 * sizeof *y);
		free_tensor(&out[i]);
	}
}

/* Two nodes draw different numbers unless they say the same seed; --random-seed changes those of both. */
static void test_random(void)
{
	enum { Same, Other };
	const LoadOptions seeded = {.random_seed = "s"}, taken = {.random_seed = "x"};
	for (int stated = 0; stated < 2; stated++) {
		Arena *a = new_arena();
		Builder *b = new_builder(a, 17);
		float y[2][16];
		char *said;
		add_input(b, "x", 1, "n");
		for (int i = 0; i < 2; i++) {
			Onnx__NodeProto *n = add_op(b, "RandomUniformLike", "x", i ? "z" : "y");
			if (stated)
				set_f(a, n, "seed", 7);
			add_output(b, i ? "z" : "y");
		}
		Module *m = load_built(b, NULL, &said);
		CHECK(m && said && strstr(said, "warning: all runs of the model draw the same random numbers; --random-seed=NAME"));
		CHECK(said && !strstr(strstr(said, "all runs") + 1, "all runs"));
		free_module(m);
		free(said);
		m = load_built(b, &seeded, &said);
		CHECK(m && !*said);
		if (m) {
			CHECK_EQ(m->main->nparam, 2);
			CHECK_STR(type_text(m, &m->main->params[1]->type), "i64[]");
			draw(m, 1, y[Same]);
			CHECK_EQ(!memcmp(y[Same], y[Same] + 8, sizeof y[Same] / 2), stated);
			draw(m, 1, y[Other]);
			CHECK(!memcmp(y[Same], y[Other], sizeof *y));
			draw(m, -1, y[Other]);
			for (int i = 0; i < 16; i++)
				CHECK(y[Same][i] != y[Other][i] && y[Other][i] >= 0 && y[Other][i] < 1);
		}
		free_module(m);
		free(said);
		must_fail(b, &taken, __LINE__, "--random-seed: the model has an input 'x'", NULL);
		free_arena(a);
	}
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	add_input(b, "x", 1, "n");
	Onnx__NodeProto *n = add_op(b, "Relu", "x", "y");
	add_output(b, "y");
	must_fail(b, &seeded, __LINE__, "--random-seed: the model draws no random numbers", NULL);
	n->op_type = arena_strdup(a, "RandomNormalLike");
	set_i(a, n, "dtype", 7);
	must_fail(b, NULL, __LINE__, "random numbers of element type i64", NULL);
	n->op_type = arena_strdup(a, "RandomNormal");
	n->n_input = 0;
	must_fail(b, NULL, __LINE__, "the attribute shape is missing", NULL);
	free_arena(a);
}

/* ---- what is refused ------------------------------------------------------------------------------------------- */

static void test_all_unsupported_at_once(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	add_input(b, "x", 1, "B,4");
	add_input(b, "h", 14, "B,4");
	add_op(b, "RegexFullMatch", "x", "a");
	add_op(b, "RegexFullMatch", "x", "a2");
	Onnx__NodeProto *d = add_op(b, "Magic", "x", "c");
	d->domain = arena_strdup(a, "com.example");
	Onnx__NodeProto *mod = add_op(b, "Mod", "x,x", "e");
	set_i(a, mod, "fmod", 2);
	Onnx__NodeProto *relu = add_op(b, "Relu", "x", "f");
	set_i(a, relu, "colour", 1);
	Onnx__NodeProto *cast = add_op(b, "Cast", "x", "g");
	set_i(a, cast, "to", 15);
	add_output(b, "f");
	must_fail(b, NULL, __LINE__, "input 'h': element type COMPLEX64", "operator 'RegexFullMatch' is not supported (2 times)",
	          "operator 'Magic' of domain 'com.example'", "operator 'Mod': attribute 'fmod' = 2",
	          "operator 'Relu': attribute 'colour'", "Cast: element type COMPLEX128", "m.onnx: node 'a' (RegexFullMatch-17)",
	        NULL);
	free_arena(a);
}

static void test_names(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	add_input(b, "x", 1, "B,4");
	add_op(b, "Add", "x,z", "y"); /* a cycle: z is defined below */
	add_op(b, "Relu", "y", "z");
	add_output(b, "z");
	must_fail(b, NULL, __LINE__, "m.onnx: node 'y' (Add-17)", "'z' is used but nothing before defines it", NULL);
	b = new_builder(a, 17);
	add_input(b, "x", 1, "B,4");
	add_op(b, "Relu", "x", "y");
	add_op(b, "Relu", "x", "y");
	add_output(b, "y");
	must_fail(b, NULL, __LINE__, "'y' is defined twice", NULL);
	b = new_builder(a, 17);
	add_input(b, "x", 1, "B,4");
	add_output(b, "nothing");
	must_fail(b, NULL, __LINE__, "'nothing'", NULL);
	free_arena(a);
}

/* What torch tells of the modules around a node. */
static void test_layers(void)
{
	static const struct {
		const char *key, *value, *layers;
	} cases[] = {
		{"namespace", ": m.Net/layers.0: m.L/layers.0.norm: torch.Norm/relu: aten.relu", "layers.0/norm"},
		{"namespace", ": m.Net/a: A/ab: B/a.: C/relu: aten.relu", "a/ab/a."},
		{"namespace", ": m.Net/relu: aten.relu", NULL},
		{"namespace", "///", NULL},
		{"namespace", "a/b", "a"},
		{"namespace", "", NULL},
		{"name", "a: A/b: B", NULL},
	};
	Arena *a = new_arena();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		Builder *b = new_builder(a, 17);
		Onnx__StringStringEntryProto entry = ONNX__STRING_STRING_ENTRY_PROTO__INIT, *list[] = {&entry};
		entry.key = arena_strdup(a, cases[i].key);
		entry.value = arena_strdup(a, cases[i].value);
		add_input(b, "x", 1, "B,4");
		Onnx__NodeProto *n = add_op(b, "Relu", "x", "y");
		n->metadata_props = list;
		n->n_metadata_props = 1;
		add_output(b, "y");
		Module *m = must_load(b, NULL, __LINE__);
		const char *layers = m->main->body.first->loc->layers;
		CHECK_STR(layers ? layers : "", cases[i].layers ? cases[i].layers : "");
		free_module(m);
	}
	free_arena(a);
}

static void test_bad_tensors(void)
{
	static const struct {
		const char *dims;
		size_t bytes;
		const char *says;
	} bad[] = {
		{"-3,4", 48, "got -3"},
		{"2147483647,2147483647,2147483647", 16, "more than 2^47 elements"},
		{"9999999999,1", 16, "got 9999999999"},
		{"4,4", 60, "tensor 'w': expected 64 bytes of data for f32[4, 4], got 60"},
		{"4,4", 68, "got 68"},
		{"1,1,1,1,1,1,1,1,1", 4, "expected a rank of at most 8, got 9"},
	};
	Arena *a = new_arena();
	float zeros[32] = {0};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		Builder *b = new_builder(a, 17);
		add_input(b, "x", 1, "B,4");
		add_tensor(b, "w", 1, bad[i].dims, zeros, bad[i].bytes);
		add_op(b, "Add", "x,w", "y");
		add_output(b, "y");
		must_fail(b, NULL, __LINE__, "m.onnx: node 'y'", bad[i].says, NULL);
	}
	Builder *b = new_builder(a, 17);
	add_input(b, "x", 1, "-2,4");
	add_op(b, "Relu", "x", "y");
	add_output(b, "y");
	must_fail(b, NULL, __LINE__, "input 'x': dim 0: expected 0..2147483647, got -2", NULL);
	b = new_builder(a, 26);
	add_tensor(b, "w", 22, "5", zeros, 4); /* int4 */
	add_op(b, "Identity", "w", "y");
	add_output(b, "y");
	must_fail(b, NULL, __LINE__, "tensor 'w': expected 3 bytes of data for i4[5], got 4", NULL);
	b = new_builder(a, 26);
	add_input(b, "x", 1, "4");
	set_i(a, add_op(b, "BitCast", "x", "y"), "to", 11);
	add_output(b, "y");
	must_fail(b, NULL, __LINE__, "(BitCast-26): from f32 to f64, which has other bits", NULL);
	b = new_builder(a, 25);
	add_input(b, "x", 1, "4");
	Onnx__NodeProto *cast = add_op(b, "Cast", "x", "y");
	set_i(a, cast, "to", 24);
	set_s(a, cast, "round_mode", "sideways");
	add_output(b, "y");
	must_fail(b, NULL, __LINE__, "attribute 'round_mode' is 'sideways'", NULL);
	free_arena(a);
}

static void test_lost_write(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	float zeros[48] = {0};
	add_input(b, "x", 1, "3,4,5");
	add_tensor(b, "band", 1, "3,4,4", zeros, sizeof zeros);
	add_op(b, "MatMul", "band,x", "y");
	add_output(b, "y");
	must_fail(b, NULL, __LINE__, "(MatMul-17)", "dropped an in-place write", NULL);
	b = new_builder(a, 17); /* weights that start at zero */
	add_input(b, "x", 1, "3,5,4");
	add_tensor(b, "lora_B", 1, "3,4,4", zeros, sizeof zeros);
	add_op(b, "MatMul", "x,lora_B", "y");
	add_output(b, "y");
	free_module(must_load(b, NULL, __LINE__));
	free_arena(a);
}

static void test_bad_equations(void)
{
	static const char *const bad[] = {"...i,...i->", "..i,i->", "....i,i->...", "...ijk,i->...", "i......,i->i", "ij,k->ii"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		Arena *a = new_arena();
		Builder *b = new_builder(a, 17);
		add_input(b, "x", 1, "B,4");
		add_floats(b, "w", "4", 4);
		set_s(a, add_op(b, "Einsum", "x,w", "y"), "equation", bad[i]);
		add_output(b, "y");
		must_fail(b, NULL, __LINE__, "(Einsum-17)", "equation '", NULL);
		free_arena(a);
	}
}

static void test_bad_ngrams(void)
{
	static const struct {
		const char *attrs, *says;
	} bad[] = {
		{"ngram_counts=0;ngram_indexes=0,0;pool_int64s=5,6", "'ngram_indexes' lists 0 twice"},
		{"ngram_counts=0;ngram_indexes=0,99999999;pool_int64s=5,6", "'ngram_indexes' lists 99999999"},
		{"ngram_counts=0;ngram_indexes=0;pool_int64s=5,6", "2 n-grams, 1 ngram_indexes"},
		{"ngram_counts=0,1;ngram_indexes=0;pool_int64s=5,6", "2-grams from 1 to 2 of 2"},
		{"ngram_counts=3;ngram_indexes=0;pool_int64s=5,6", "1-grams from 3 to 2 of 2"},
		{"ngram_counts=0,0;ngram_indexes=0;pool_int64s=5,6", "no n-gram is from 1 to 1 long"},
		{"ngram_counts=0;ngram_indexes=0", "attribute 'pool_int64s' is missing: strings are not supported"},
		{"ngram_counts=0;ngram_indexes=0;pool_strings:a", "attribute 'pool_strings' is not supported"},
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		Arena *a = new_arena();
		Builder *b = new_builder(a, 17);
		add_input(b, "x", 7, "B,4");
		put_attrs(a, add_op(b, "TfIdfVectorizer", "x", "y"), arena_printf(a, "mode:TF;max_gram_length=1;%s", bad[i].attrs));
		add_output(b, "y");
		must_fail(b, NULL, __LINE__, "(TfIdfVectorizer-17)", bad[i].says, NULL);
		free_arena(a);
	}
}

static void test_data_dependent_shape(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	add_input(b, "x", 1, "B,4");
	add_input(b, "shape", 7, "K"); /* the rank of the result is not known */
	add_op(b, "Reshape", "x,shape", "y");
	add_output(b, "y");
	must_fail(b, NULL, __LINE__, "(Reshape-17)", "depends on the data", NULL);
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

/* ---- external data --------------------------------------------------------------------------------------------- */

static Builder *with_external(Arena *a, const char *location, const char *offset, const char *length)
{
	Builder *b = new_builder(a, 17);
	add_input(b, "x", 1, "B,4");
	Onnx__TensorProto *t = add_tensor(b, "w", 1, "4", NULL, 0);
	t->has_data_location = 1;
	t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
	const char *pairs[][2] = {{"location", location}, {"offset", offset}, {"length", length}};
	for (int i = 0; i < 3; i++) {
		if (!pairs[i][1])
			continue;
		Onnx__StringStringEntryProto *e = arena_alloc(a, sizeof *e);
		onnx__string_string_entry_proto__init(e);
		e->key = arena_strdup(a, pairs[i][0]);
		e->value = arena_strdup(a, pairs[i][1]);
		t->external_data = append(a, t->external_data, &t->n_external_data, e);
	}
	add_op(b, "Add", "x,w", "y");
	add_output(b, "y");
	return b;
}

static void test_external(void)
{
	Arena *a = new_arena();
	float data[600] = {0};
	data[590] = 42;
	write_bytes(file_in(a, "w.bin"), data, sizeof data);
	Module *m = must_load(with_external(a, "w.bin", "2360", "16"), NULL, __LINE__);
	if (m) {
		float first;
		memcpy(&first, m->consts[0]->data, sizeof first);
		CHECK(first == 42);
	}
	free_module(m);
	must_fail(with_external(a, "w.bin", "2388", "16"), NULL, __LINE__, "got 2400 in all", NULL);
	must_fail(with_external(a, "w.bin", "18446744073709551615", "16"), NULL, __LINE__, "got 2400 in all", NULL);
	must_fail(with_external(a, "w.bin", "0", "8"), NULL, __LINE__, "expected 16 bytes of data for f32[4], got 8", NULL);
	must_fail(with_external(a, "w.bin", "-4", "16"), NULL, __LINE__, "is no number", NULL);
	must_fail(with_external(a, "none.bin", NULL, NULL), NULL, __LINE__, "No such file", NULL);
	must_fail(with_external(a, "../w.bin", NULL, NULL), NULL, __LINE__, "not a path below", NULL);
	must_fail(with_external(a, "a/../../w.bin", NULL, NULL), NULL, __LINE__, "not a path below", NULL);
	must_fail(with_external(a, "/etc/passwd", NULL, NULL), NULL, __LINE__, "not a path below", NULL);
	must_fail(with_external(a, NULL, NULL, NULL), NULL, __LINE__, "without a location", NULL);
	const char *link = file_in(a, "link.bin");
	CHECK(!symlink("/etc/hostname", link));
	must_fail(with_external(a, "link.bin", NULL, NULL), NULL, __LINE__, "leads out of the folder", NULL);
	unlink(link);
	unlink(file_in(a, "w.bin"));
	free_arena(a);
}

/* ---- bytes ----------------------------------------------------------------------------------------------------- */

static void test_bytes(void)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *says;
	} bad[] = {
		{"", 0, "empty"},
		{"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "malformed"},
		{"\x3b\x00", 2, "malformed"},
		{"\x08\x08", 2, "no graph"},
		{"hello, world", 12, "malformed"},
	};
	Arena *a = new_arena();
	const char *path = file_in(a, "m.onnx");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char *said;
		write_bytes(path, bad[i].bytes, bad[i].n);
		CHECK(!try_load_model(path, NULL, &said));
		CHECK(said && strstr(said, "m.onnx: ") && strstr(said, bad[i].says));
		free(said);
	}
	/* 100000 graphs inside each other: attribute in node in graph ... */
	size_t n = 0, cap = 1 << 21;
	uint8_t *deep = arena_alloc(a, cap);
	for (int i = 0; i < 99999; i++) { /* from the inside out, lengths as five-byte varints */
		static const uint8_t tags[] = {0x32, 0x2a, 0x0a};
		uint8_t *at = deep + cap - n - 6;
		*at++ = tags[i % 3];
		for (int k = 0; k < 5; k++)
			*at++ = (n >> (7 * k) & 0x7f) | (k < 4 ? 0x80 : 0);
		n += 6;
	}
	uint8_t *start = deep + cap - n - 6;
	start[0] = 0x3a;
	for (int k = 0; k < 5; k++)
		start[1 + k] = (n >> (7 * k) & 0x7f) | (k < 4 ? 0x80 : 0);
	char *said;
	write_bytes(path, start, n + 6);
	CHECK(!try_load_model(path, NULL, &said));
	CHECK(said && strstr(said, "nested too deeply"));
	free(said);
	/* One graph in 60000 pieces, which protobuf-c merges by copying. */
	for (size_t i = 0; i < 240000; i += 4)
		memcpy(deep + i, "\x3a\x02\x0a\x00", 4);
	write_bytes(path, deep, 240000);
	CHECK(!try_load_model(path, NULL, &said));
	CHECK(said && strstr(said, "times its size"));
	free(said);
	free_arena(a);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 2;
	test_glu();
	test_shapes_vanish();
	test_shape_as_data();
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
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		test_case(&cases[i], NULL);
	for (size_t i = 0; i < sizeof real_cases / sizeof *real_cases; i++)
		test_case(&real_cases[i].c, real_cases[i].reals);
	test_all_unsupported_at_once();
	test_names();
	test_layers();
	test_bad_tensors();
	test_reshape_to_zero();
	test_any_order();
	test_long_order();
	test_symbols_of_numbers();
	test_random();
	test_lost_write();
	test_data_dependent_shape();
	test_top_k();
	test_widened_signal();
	test_unique();
	test_selected_boxes();
	test_bad_equations();
	test_bad_ngrams();
	test_external();
	test_bytes();
	Arena *a = new_arena();
	unlink(file_in(a, "m.onnx"));
	free_arena(a);
	rmdir(dir);
	return test_end("import");
}
