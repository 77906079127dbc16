/* sequence_bodies_test.c - sequences, and what else has no one type, in the bodies of Loop, If, Scan, SequenceMap and functions. */
#include "sequence.h"

#include <math.h>

/* seq = []; for i in 0 .. trips: seq += x * i; the trip count and the first condition are constants unless `open` says so. */
static Builder *growing_loop(Arena *a, int64_t trips, const char *open)
{
	Builder *b = new_builder(a, 17), *body = new_builder(a, 17);
	int64_t one = 1;
	add_input(b, "x", Float, "2");
	if (*open)
		add_input(b, open, !strcmp(open, "trips") ? Int64 : BoolType, "");
	if (strcmp(open, "trips"))
		add_number(b, "trips", trips);
	if (strcmp(open, "go"))
		add_tensor(b, "go", BoolType, "", &one, 1);
	add_op(b, "SequenceEmpty", "", "e");
	set_body(b, add_op(b, "Loop", "trips,go,e", "r,last"), "body", body);
	add_output(b, "r");
	add_open_input(body, "i");
	add_open_input(body, "cond");
	add_open_input(body, "s");
	set_i(a, add_op(body, "Cast", "i", "f"), "to", Float);
	add_op(body, "Mul", "x,f", "v");
	add_op(body, "SequenceInsert", "s,v", "t");
	add_op(body, "Identity", "cond", "again");
	add_output(body, "again");
	add_output(body, "t");
	add_output(body, "i");
	return b;
}

static void test_loop(void)
{
	Arena *a = new_arena();
	Builder *b = growing_loop(a, 3, "");
	add_output(b, "last");
	EXPECT(b, NULL, "r.0,r.1,r.2,last", 0, 10, 20, 0);
	REFUSE(growing_loop(a, 3, "trips"), NULL, "not supported: a loop over sequences runs max(0, trips_0) times");
	REFUSE(growing_loop(a, 3, "go"), NULL, "not supported: the data decides how often a loop over sequences runs");
	REFUSE(growing_loop(a, INT64_MAX, ""), NULL, "functions, loops and sequences of the model expand to too many nodes");
	b = growing_loop(a, 0, "");
	add_output(b, "last");
	REFUSE(b, NULL, "not supported: a loop over sequences that stacks tensors, and has no iterations");
	free_arena(a);
}

/* The condition of an iteration is known too: i < 1 ends it. */
static void test_loop_ends(void)
{
	Arena *a = new_arena();
	Builder *b = growing_loop(a, INT64_MAX, "");
	Onnx__GraphProto *body = b->graph.node[1]->attribute[0]->g;
	add_number(b, "limit", 1);
	*body->node[3] = *make_node(a, "Less", "i,limit", "again");
	EXPECT(b, NULL, "r.0,r.1", 0, 10);
	free_arena(a);
}

/* A loop that carries tensors and reads a sequence: acc += s[i]. */
static void test_loop_reads(void)
{
	Arena *a = new_arena();
	Builder *b = xyz(a), *body = new_builder(a, 17);
	add_number(b, "trips", 3);
	set_body(b, add_op(b, "Loop", "trips,,x", "r"), "body", body);
	add_output(b, "r");
	add_open_input(body, "i");
	add_open_input(body, "cond");
	add_open_input(body, "acc");
	add_op(body, "SequenceAt", "s,i", "e");
	add_op(body, "Add", "acc,e", "sum");
	add_output(body, "cond");
	add_output(body, "sum");
	EXPECT(b, NULL, "r", 70);
	last_input(body)->type = sequence_of(a, new_type(a));
	REFUSE(b, NULL, "input 'acc' of the body is f32[2], it declares another type");
	free_arena(a);
}

/* Iterations draw random numbers of their own, also where all say one seed. */
static void test_loop_draws(void)
{
	for (int stated = 0; stated < 2; stated++) {
		Arena *a = new_arena();
		Builder *b = new_builder(a, 17), *body = new_builder(a, 17);
		float x[2] = {0};
		Tensor in = {.dtype = F32, .rank = 1, .dims = {2}, .data = x}, out = {0};
		char *said;
		add_input(b, "x", Float, "2");
		add_number(b, "trips", 3);
		set_body(b, add_op(b, "Loop", "trips,", "all"), "body", body);
		add_output(b, "all");
		add_open_input(body, "i");
		add_open_input(body, "cond");
		Onnx__NodeProto *n = add_op(body, "RandomUniformLike", "x", "r");
		if (stated)
			set_f(a, n, "seed", 3);
		add_output(body, "cond");
		add_output(body, "r");
		Module *m = load_built(b, NULL, &said);
		CHECK(m && !eval_module(m, &in, &out) && tensor_numel(&out) == 6);
		const float *y = out.data;
		for (int i = 0; y && i < 6; i++)
			for (int k = 0; k < i; k++)
				CHECK(y[i] != y[k]);
		free_tensor(&out);
		free_module(m);
		free(said);
		free_arena(a);
	}
}

/* Data decides between sequences of one length, element by element. */
static void test_if(void)
{
	Arena *a = new_arena();
	Builder *b = xyz(a), *yes = new_builder(a, 17), *no = new_builder(a, 17);
	add_input(b, "c", BoolType, "");
	add_op(yes, "SequenceConstruct", "x,y", "p");
	add_output(yes, "p");
	add_op(no, "SequenceConstruct", "z,x", "q");
	add_output(no, "q");
	add_if(b, "c", "r", yes, no);
	add_output(b, "r");
	EXPECT(b, NULL, "r.0,r.1", 10, 20);
	add_op(no, "SequenceErase", "q", "q1");
	no->graph.output[0]->name = arena_strdup(a, "q1");
	REFUSE(b, NULL, "not supported: the branches give a sequence of length 2 and a sequence of length 1");
	no->graph.output[0]->name = arena_strdup(a, "x");
	REFUSE(b, NULL, "not supported: the branches give a sequence of length 2 and f32[2], and what follows fits both");
	free_arena(a);
}

static const char *run(Module *m, const Tensor *in, float *first)
{
	Tensor out = {0};
	const char *wrong = m ? eval_module(m, in, &out) : "does not load";
	*first = wrong ? NAN : *(float *)out.data;
	free_tensor(&out);
	return wrong;
}

/* Branches of ranks 1 (x, twice) and 2; what follows them fits one, both or neither. */
static void test_ranks(void)
{
	static const struct {
		int64_t perm[3];
		int rank, twice; /* rank 0: Relu follows */
		const char *says;
	} rows[] = {
		{{0}, 1, 0, NULL}, {{1, 0}, 2, 0, NULL}, {{1, 0}, 2, 1, NULL},
		{{0}, 0, 0, "not supported: the branches give f32[2] and f32[1, 2], and what follows fits both"},
		{{0, 1, 2}, 3, 0, "not supported: the branches give f32[2] and f32[1, 2], and what follows fits neither"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		Arena *a = new_arena();
		Builder *b = new_builder(a, 17), *yes = new_builder(a, 17), *no = new_builder(a, 17);
		char *said;
		add_input(b, "x", Float, "2");
		add_input(b, "c", BoolType, "");
		add_ints(b, "shape", 2, (int64_t[]){1, 2});
		add_op(yes, "Add", "x,x", "p");
		add_output(yes, "p");
		add_op(no, "Reshape", "x,shape", "q");
		add_output(no, "q");
		for (int k = 0; k <= rows[i].twice; k++) { /* two disputes */
			Onnx__NodeProto *n = add_op(b, "If", "c", k ? "r2" : "r1");
			set_body(b, n, "then_branch", yes);
			set_body(b, n, "else_branch", no);
			n = add_op(b, rows[i].rank ? "Transpose" : "Relu", k ? "r2" : "r1", k ? "t2" : "t1");
			if (rows[i].rank)
				set_ints(a, n, "perm", rows[i].rank, rows[i].perm);
		}
		add_op(b, "Add", rows[i].twice ? "t1,t2" : "t1,t1", "y");
		add_output(b, "y");
		if (rows[i].says) {
			REFUSE(b, NULL, rows[i].says);
		} else {
			Module *m = load_built(b, NULL, &said);
			bool fits = rows[i].rank == 1;
			for (int c = 0; c < 2; c++) {
				float x[] = {3, 4}, y;
				Tensor in[] = {{.dtype = F32, .rank = 1, .dims = {2}, .data = x}, {.dtype = Bool, .data = &c}};
				const char *wrong = run(m, in, &y);
				CHECK(c == fits ? !wrong && y == (fits ? 12 : 6) : wrong && strstr(wrong, "index 1 is out of range"));
			}
			free(said);
			free_module(m);
		}
		free_arena(a);
	}
}

/* A branch that is an error for the dims at hand is a status of the runs that take it; two such branches are an error. */
static void test_impossible_branch(void)
{
	for (int good = 0; good < 3; good++) { /* then, else, none */
		Arena *a = new_arena();
		Builder *b = new_builder(a, 17), *yes = new_builder(a, 17), *no = new_builder(a, 17);
		char *said;
		add_input(b, "x", Float, "2");
		add_input(b, "c", BoolType, "");
		add_ints(b, "two", 1, (int64_t[]){2});
		add_ints(b, "three", 1, (int64_t[]){3});
		add_op(yes, "Reshape", good == 0 ? "x,two" : "x,three", "p");
		add_output(yes, "p");
		add_op(no, "Reshape", good == 1 ? "x,two" : "x,three", "q");
		add_output(no, "q");
		add_if(b, "c", "r", yes, no);
		add_op(b, "Add", "r,r", "y");
		add_output(b, "y");
		if (good == 2) {
			REFUSE(b, NULL, "both branches are errors: ");
			free_arena(a);
			continue;
		}
		Module *m = load_built(b, NULL, &said);
		CHECK(strstr(said, good ? "where the condition is true ends in an error" : "where the condition is false ends in an error"));
		CHECK(strstr(said, "(Reshape-17): ")); /* what is wrong with it */
		for (int c = 0; c < 2; c++) {
			float x[] = {3, 4}, y;
			Tensor in[] = {{.dtype = F32, .rank = 1, .dims = {2}, .data = x}, {.dtype = Bool, .data = &c}};
			const char *wrong = run(m, in, &y);
			CHECK(c != good ? !wrong && y == 6 : wrong && strstr(wrong, "index 1 is out of range"));
		}
		free(said);
		free_module(m);
		free_arena(a);
	}
}

/* Nor is what dcc lacks a status: a rank, of a shape that is given and of one that follows from others, a product, a type. */
static void test_unsupported_branch(void)
{
	static const struct {
		const char *op, *in, *says;
		int ndim;
		int64_t dims[9];
	} rows[] = {
		{"Reshape", "x,dims", "at most 8", 9, {1, 1, 1, 1, 1, 1, 1, 1, 2}},
		{"Gather", "x,index", "more than 8 axes", 2, {1, 2}},
		{"Expand", "x,dims", "overflows 64 bits", 4, {DimMax, DimMax, DimMax, 2}},
		{"Half", "u", "custom: not supported: elements of u4, which are packed", 2, {1, 2}},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		Arena *a = new_arena();
		Builder *b = new_builder(a, 17), *yes = new_builder(a, 17), *no = new_builder(a, 17);
		custom = *rows[i].in == 'u' ? "com.example:Half=half(%x: u4[n]) -> (u4[n])" : NULL;
		add_input(b, "x", Float, "1,2");
		add_input(b, "u", UInt4, "2");
		add_input(b, "index", Int64, "1,1,1,1,1,1,1,1");
		add_input(b, "c", BoolType, "");
		add_ints(yes, "dims", rows[i].ndim, rows[i].dims);
		add_op(yes, rows[i].op, rows[i].in, "p")->domain = custom ? "com.example" : "";
		add_op(yes, "Size", "p", "q");
		add_output(yes, "q");
		add_op(no, "Size", "u", "r");
		add_output(no, "r");
		add_if(b, "c", "y", yes, no);
		add_output(b, "y");
		REFUSE(b, NULL, rows[i].says);
		free_arena(a);
	}
	custom = NULL;
}

/* A function that is called twice: for x of 2 elements its then branch is an error, for z of 3 its else branch. */
static void test_branches_by_call(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17), *yes = new_builder(a, 17), *no = new_builder(a, 17);
	char *said;
	add_input(b, "x", Float, "2");
	add_input(b, "z", Float, "3");
	add_input(b, "c", BoolType, "");
	add_ints(yes, "three", 1, (int64_t[]){3});
	add_op(yes, "Reshape", "t,three", "p");
	add_output(yes, "p");
	add_ints(no, "two", 1, (int64_t[]){2});
	add_op(no, "Reshape", "t,two", "q");
	add_output(no, "q");
	Onnx__FunctionProto *f = arena_alloc(a, sizeof *f);
	onnx__function_proto__init(f);
	f->name = arena_strdup(a, "Choose");
	f->domain = arena_strdup(a, "local");
	f->opset_import = append(a, f->opset_import, &f->n_opset_import, make_opset(a, "", 17));
	f->n_input = split_text(a, "t,d", &f->input);
	f->n_output = split_text(a, "u", &f->output);
	Onnx__NodeProto *n = make_node(a, "If", "d", "u");
	set_body(b, n, "then_branch", yes);
	set_body(b, n, "else_branch", no);
	f->node = append(a, f->node, &f->n_node, n);
	b->model.functions = append(a, b->model.functions, &b->model.n_functions, f);
	add_op(b, "Not", "c", "d");
	add_op(b, "Choose", "x,d", "r")->domain = f->domain;
	add_op(b, "Choose", "z,c", "s")->domain = f->domain;
	add_op(b, "ReduceMax", "r", "r1");
	add_op(b, "ReduceMax", "s", "s1");
	add_op(b, "Add", "r1,s1", "y");
	add_output(b, "y");
	Module *m = load_built(b, NULL, &said);
	for (int c = 0; c < 2; c++) {
		float x[] = {3, 4, 5}, y;
		Tensor in[] = {{.dtype = F32, .rank = 1, .dims = {2}, .data = x}, {.dtype = F32, .rank = 1, .dims = {3}, .data = x},
		               {.dtype = Bool, .data = &c}};
		const char *wrong = run(m, in, &y);
		CHECK(c ? !wrong && y == 9 : wrong && strstr(wrong, "index 1 is out of range"));
	}
	free(said);
	free_module(m);
	free_arena(a);
}

/* The sizes decide: if T == 1, x[0], else x; only the rank of x fits. */
static void test_ranks_by_size(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17), *yes = new_builder(a, 17), *no = new_builder(a, 17);
	int64_t zero = 0, one = 1;
	char *said;
	add_input(b, "x", Float, "T,2");
	add_tensor(b, "zero", Int64, "", &zero, sizeof zero);
	add_tensor(b, "one", Int64, "", &one, sizeof one);
	add_ints(b, "axis", 1, &zero);
	add_op(b, "Shape", "x", "shape");
	add_op(b, "Gather", "shape,zero", "t");
	add_op(b, "Equal", "t,one", "c");
	add_op(yes, "Squeeze", "x,axis", "p");
	add_output(yes, "p");
	add_op(no, "Identity", "x", "q");
	add_output(no, "q");
	add_if(b, "c", "r", yes, no);
	set_ints(a, add_op(b, "Transpose", "r", "y"), "perm", 2, (int64_t[]){1, 0});
	add_output(b, "y");
	Module *m = load_built(b, NULL, &said);
	for (int t = 1; t < 4; t++) {
		float x[] = {3, 4, 5, 6, 7, 8}, y;
		Tensor in = {.dtype = F32, .rank = 2, .dims = {t, 2}, .data = x};
		const char *wrong = run(m, &in, &y);
		CHECK(t == 1 ? wrong && strstr(wrong, "must be equal") : !wrong && y == 3);
	}
	free(said);
	free_module(m);
	free_arena(a);
}

static void test_map(void)
{
	Arena *a = new_arena();
	Builder *b = xyz(a), *body = new_builder(a, 17);
	set_body(b, add_op(b, "SequenceMap", "s,x,s", "r,n"), "body", body);
	add_output(b, "r");
	add_output(b, "n");
	add_open_input(body, "p");
	add_open_input(body, "q");
	add_open_input(body, "o");
	add_op(body, "Add", "p,q", "pq");
	add_op(body, "Sub", "pq,o", "sum");
	add_op(body, "Size", "p", "size");
	add_output(body, "sum");
	add_output(body, "size");
	EXPECT(b, NULL, "r.0,r.1,r.2,n.0,n.1,n.2", 10, 10, 10, 2, 2, 2);
	add_op(b, "SequenceErase", "s", "short");
	b->graph.node[1]->input[2] = arena_strdup(a, "short");
	Onnx__NodeProto *map = b->graph.node[1];
	b->graph.node[1] = b->graph.node[2];
	b->graph.node[2] = map;
	REFUSE(b, NULL, "input 2 is a sequence of length 2, the first of length 3");
	free_arena(a);
}

/* Scan of opset 8: two of a batch, state = 2 state + x; x is 1 2 3 and 4 5 6, the states begin with 10 and 0. */
static void test_batched_scan(void)
{
	static const struct {
		int64_t lens[2], reverse;
		double want[2];
	} rows[] = {
		{{3, 3}, 0, {91, 32}}, {{2, 9}, 0, {44, 32}}, {{2, 9}, 1, {45, 38}}, {{-1, 0}, 1, {10, 0}},
	};
	static const float x[] = {1, 2, 3, 4, 5, 6};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		for (int fixed = 0; fixed < 2; fixed++) { /* the lengths are there; or absent, where that is the same */
			Arena *a = new_arena();
			Builder *b = new_builder(a, 8), *body = new_builder(a, 8);
			if (fixed && rows[i].lens[0] < 3)
				continue;
			add_input(b, "h", Float, "2,1");
			add_tensor(b, "x", Float, "2,3,1", x, sizeof x);
			add_ints(b, "lens", 2, rows[i].lens);
			Onnx__NodeProto *n = add_op(b, "Scan", fixed ? ",h,x" : "lens,h,x", "y,all");
			set_i(a, n, "num_scan_inputs", 1);
			set_ints(a, n, "directions", 1, &rows[i].reverse);
			set_body(b, n, "body", body);
			add_open_input(body, "s");
			add_open_input(body, "e");
			add_op(body, "Add", "s,s", "twice");
			add_op(body, "Add", "twice,e", "t");
			add_output(body, "t");
			add_output(body, "t");
			set_i(a, add_op(b, "Split", "y", "y0,y1"), "axis", 0);
			add_output(b, "y0");
			add_output(b, "y1");
			add_op(b, "Size", "all", "size");
			add_output(b, "size");
			EXPECT(b, NULL, "y0,y1,size", rows[i].want[0], rows[i].want[1], 6);
			add_ints(b, "many", 3, (int64_t[]){1, 1, 1});
			n->input[0] = arena_strdup(a, "many");
			REFUSE(b, NULL, "number of sequence_lens and extent of the batch: 3 and 2 differ");
			n->input[0] = arena_strdup(a, "h");
			REFUSE(b, NULL, "input 'sequence_lens' is f32[2, 1]");
			n->attribute[0]->i = 2;
			REFUSE(b, NULL, "lengths of the scanned inputs: 1 and 3 differ"); /* of h and x */
			free_arena(a);
		}
	}
}

/* A function of the model is called with a sequence. */
static void test_function(void)
{
	Arena *a = new_arena();
	Builder *b = xyz(a);
	Onnx__FunctionProto *f = arena_alloc(a, sizeof *f);
	onnx__function_proto__init(f);
	f->name = arena_strdup(a, "Drop");
	f->domain = arena_strdup(a, "local");
	f->opset_import = append(a, f->opset_import, &f->n_opset_import, make_opset(a, "", 17));
	f->n_input = split_text(a, "t,at", &f->input);
	f->n_output = split_text(a, "u", &f->output);
	f->node = append(a, f->node, &f->n_node, make_node(a, "SequenceErase", "t,at", "u"));
	b->model.functions = append(a, b->model.functions, &b->model.n_functions, f);
	add_op(b, "Drop", "s", "r")->domain = f->domain; /* at is absent: the last */
	add_output(b, "r");
	EXPECT(b, NULL, "r.0,r.1", 10, 20);
	free_arena(a);
}

int main(void)
{
	if (!begin_sequences())
		return 2;
	test_loop();
	test_loop_ends();
	test_loop_reads();
	test_loop_draws();
	test_if();
	test_ranks();
	test_impossible_branch();
	test_unsupported_branch();
	test_branches_by_call();
	test_ranks_by_size();
	test_map();
	test_batched_scan();
	test_function();
	return end_sequences("sequence_bodies");
}
