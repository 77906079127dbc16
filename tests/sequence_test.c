/* sequence_test.c - sequences and optionals of ONNX files, and the bodies that deal with them: what they give, and what is refused.
 *
 * The tensors are rank 1, and their first element tells them apart.
 */
#include "onnx_build.h"
#include "test.h"

#include <math.h>

static char dir[] = "/tmp/dcc-sequence-XXXXXX";
enum { MaxPorts = 8, Float = 1, Int64 = 7, BoolType = 9, UInt4 = 21 };

static const char *model_file(Arena *a)
{
	return arena_printf(a, "%s/m.onnx", dir);
}

static const char *stated, *custom; /* --shape and --custom-op of the next models, or NULL */

static Module *load_built(Builder *b, const char *bind, char **said)
{
	DimBinding list[MaxPorts];
	LoadOptions opt = {.bind = list, .nshape = stated != NULL, .shape = &stated, .ncustom = custom != NULL, .custom = &custom};
	char **items;
	for (int n = split_text(b->arena, bind, &items); opt.nbind < n; opt.nbind++) {
		char *equals = strchr(items[opt.nbind], '=');
		*equals = 0;
		list[opt.nbind] = (DimBinding){items[opt.nbind], atoll(equals + 1), atoll(equals + 1)};
	}
	write_built(b, model_file(b->arena));
	return try_load_model(model_file(b->arena), &opt, said);
}

/* Loads, and evaluates with 10, 20, 30 .. as first elements of the inputs; compares the first elements of the outputs in order, then
 * what comes of their names. */
static void expect(int line, Builder *b, const char *bind, const char *names, int nwant, const double *want)
{
	char *said;
	Module *m = load_built(b, bind, &said);
	if (!m || verify_module(m)) {
		fprintf(stderr, "line %d: %s", line, m ? verify_module(m) : said);
		CHECK(!"loads");
		free(said);
		return;
	}
	Tensor in[MaxPorts] = {0}, out[MaxPorts] = {0};
	const char *got = "";
	for (int i = 0; i < m->main->nparam; i++) {
		const Type *t = &m->main->params[i]->type;
		in[i] = (Tensor){.dtype = t->dtype, .rank = t->rank, .data = arena_alloc(b->arena, 64)};
		for (int d = 0; d < t->rank; d++)
			if (!dim_is_const(t->dims[d], &in[i].dims[d]))
				in[i].dims[d] = 1;
		if (t->dtype == F32)
			*(float *)in[i].data = 10 * (i + 1);
		else
			*(char *)in[i].data = 1;
	}
	const char *wrong = eval_module(m, in, out);
	bool right = !wrong && m->main->body.nyield == nwant;
	for (int i = 0; right && i < nwant; i++) {
		const Tensor *t = &out[i];
		double v = t->dtype == F32 ? *(float *)t->data : t->dtype == Bool ? *(uint8_t *)t->data : *(int64_t *)t->data;
		got = arena_printf(b->arena, "%s%s%s", got, i ? "," : "", m->main->results[i]);
		right = v == want[i];
		if (!right)
			fprintf(stderr, "output %d: %g, expected %g\n", i, v, want[i]);
	}
	if (!right)
		fprintf(stderr, "line %d: %s, %d outputs\n", line, wrong ? wrong : "wrong values", m->main->body.nyield);
	CHECK(right);
	CHECK_STR(got, names);
	for (int i = 0; i < m->main->body.nyield; i++)
		free_tensor(&out[i]);
	free(said);
	free_module(m);
}
#define EXPECT(b, bind, names, ...)                                                                                    \
	expect(__LINE__, b, bind, names, sizeof(double[]){__VA_ARGS__} / sizeof(double), (double[]){__VA_ARGS__})

static void refuse(int line, Builder *b, const char *bind, const char *says)
{
	char *said;
	Module *m = load_built(b, bind, &said);
	CHECK(!m);
	CHECK(said && strstr(said, says));
	if (m || !said || !strstr(said, says))
		fprintf(stderr, "line %d: expected '%s', got: %s\n", line, says, said);
	free(said);
	free_module(m);
}
#define REFUSE(b, bind, says) refuse(__LINE__, b, bind, says)

/* ---- models ------------------------------------------------------------------------------------------------------ */

static void add_number(Builder *b, const char *name, int64_t v)
{
	add_tensor(b, name, Int64, "", &v, sizeof v);
}

static Onnx__TypeProto *new_type(Arena *a)
{
	Onnx__TypeProto *t = arena_alloc(a, sizeof *t);
	onnx__type_proto__init(t);
	return t;
}

static Onnx__TypeProto *sequence_of(Arena *a, Onnx__TypeProto *elem)
{
	Onnx__TypeProto *t = new_type(a);
	t->sequence_type = arena_alloc(a, sizeof *t->sequence_type);
	onnx__type_proto__sequence__init(t->sequence_type);
	t->sequence_type->elem_type = elem;
	return t;
}

static Onnx__TypeProto *optional_of(Arena *a, Onnx__TypeProto *elem)
{
	Onnx__TypeProto *t = new_type(a);
	t->optional_type = arena_alloc(a, sizeof *t->optional_type);
	onnx__type_proto__optional__init(t->optional_type);
	t->optional_type->elem_type = elem;
	return t;
}

static Onnx__ValueInfoProto *last_input(Builder *b)
{
	return b->graph.input[b->graph.n_input - 1];
}

static void add_sequence(Builder *b, const char *name, const char *dims)
{
	add_input(b, name, Float, dims);
	last_input(b)->type = sequence_of(b->arena, last_input(b)->type);
}

/* An input of a body, whose type is left open. */
static void add_open_input(Builder *b, const char *name)
{
	add_input(b, name, Float, "");
	last_input(b)->type = NULL;
}

static void set_body(Builder *b, Onnx__NodeProto *n, const char *name, Builder *body)
{
	add_attr(b->arena, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH)->g = &body->graph;
}

/* Inputs x, y and z: 10, 20 and 30; s is the sequence of them. */
static Builder *xyz(Arena *a)
{
	Builder *b = new_builder(a, 17);
	add_input(b, "x", Float, "2");
	add_input(b, "y", Float, "2");
	add_input(b, "z", Float, "2");
	add_op(b, "SequenceConstruct", "x,y,z", "s");
	return b;
}

static void add_if(Builder *b, const char *cond, const char *out, Builder *yes, Builder *no)
{
	Onnx__NodeProto *n = add_op(b, "If", cond, out);
	set_body(b, n, "then_branch", yes);
	set_body(b, n, "else_branch", no);
}

/* ---- operators --------------------------------------------------------------------------------------------------- */

static void test_positions(void)
{
	static const struct {
		const char *op;
		int64_t at; /* 99: left out */
		int n;
		double want[4];
	} rows[] = {
		{"SequenceInsert", 99, 4, {10, 20, 30, 20}}, {"SequenceInsert", 0, 4, {20, 10, 20, 30}},
		{"SequenceInsert", -1, 4, {10, 20, 20, 30}}, {"SequenceInsert", -3, 4, {20, 10, 20, 30}},
		{"SequenceInsert", 3, 4, {10, 20, 30, 20}},  {"SequenceInsert", 4, 0, {0}},
		{"SequenceInsert", -4, 0, {0}},              {"SequenceErase", 99, 2, {10, 20}},
		{"SequenceErase", 0, 2, {20, 30}},           {"SequenceErase", -2, 2, {10, 30}},
		{"SequenceErase", 3, 0, {0}},                {"SequenceErase", -4, 0, {0}},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		Arena *a = new_arena();
		Builder *b = xyz(a);
		add_number(b, "at", rows[i].at);
		bool inserts = !strcmp(rows[i].op, "SequenceInsert");
		add_op(b, rows[i].op, arena_printf(a, "%s%s", inserts ? "s,y" : "s", rows[i].at == 99 ? "" : ",at"), "r");
		add_output(b, "r");
		if (rows[i].n)
			expect(__LINE__, b, NULL, rows[i].n == 4 ? "r.0,r.1,r.2,r.3" : "r.0,r.1", rows[i].n, rows[i].want);
		else
			REFUSE(b, NULL, arena_printf(a, "position %lld is out of range for a sequence of length 3", (long long)rows[i].at));
		free_arena(a);
	}
}

static void test_at(void)
{
	for (int at = -4; at <= 3; at++) {
		Arena *a = new_arena();
		Builder *b = xyz(a);
		add_number(b, "at", at);
		add_op(b, "SequenceAt", "s,at", "e");
		add_op(b, "SequenceLength", "s", "n");
		add_output(b, "e");
		add_output(b, "n");
		if (at < -3 || at > 2)
			REFUSE(b, NULL, "is out of range for a sequence of length 3");
		else
			EXPECT(b, NULL, "e,n", at < 0 ? (at + 4) * 10 : (at + 1) * 10, 3);
		free_arena(a);
	}
}

/* Only what is known at import picks an element. */
static void test_unknown_position(void)
{
	Arena *a = new_arena();
	Builder *b = xyz(a);
	add_input(b, "at", Int64, "");
	add_op(b, "SequenceAt", "s,at", "e");
	add_output(b, "e");
	REFUSE(b, NULL, "(SequenceAt-17): not supported: input 'position' is not constant");
	last_input(b)->type->tensor_type->elem_type = Float;
	REFUSE(b, NULL, "expected one integer");
	free_arena(a);
}

static void test_mixed_up(void)
{
	static const struct {
		const char *op, *in, *says;
	} rows[] = {
		{"Relu", "s", "input 0 is a sequence of length 3, expected a tensor"},
		{"SequenceLength", "x", "input 0 is f32[2], expected a sequence"},
		{"SequenceConstruct", "x,s", "input 1 is a sequence of length 3, expected a tensor"},
		{"SequenceConstruct", "x,i", "i64[] does not fit a sequence of f32"},
		{"SequenceInsert", "s,i", "i64[] does not fit a sequence of f32"},
		{"SequenceInsert", "s,x,s", "input 'position' is a sequence of length 3"},
		{"SequenceAt", "o,i", "input 0 is an optional without an element, expected a sequence"},
		{"OptionalGetElement", "o", "the input is an optional without an element"},
		{"SequenceErase", "e", "the sequence is empty"},
		{"ConcatFromSequence", "e", "there are no tensors"},
		{"ConcatFromSequence", "s", "attribute 'axis' is missing"},
		{"SplitToSequence", "s", "input 0 is a sequence of length 3, expected a tensor"},
		{"Reshape", "x,e", "input 1 is a sequence of length 0, expected a tensor"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		Arena *a = new_arena();
		Builder *b = xyz(a);
		add_number(b, "i", 0);
		add_op(b, "Optional", "", "o");
		add_op(b, "SequenceEmpty", "", "e");
		add_op(b, rows[i].op, rows[i].in, "r");
		add_output(b, "r");
		REFUSE(b, NULL, rows[i].says);
		free_arena(a);
	}
}

static void test_empty(void)
{
	Arena *a = new_arena();
	Builder *b = xyz(a);
	set_i(a, add_op(b, "SequenceEmpty", "", "e"), "dtype", Int64);
	add_op(b, "SequenceLength", "e", "n");
	add_output(b, "n");
	add_output(b, "e"); /* no output, with a warning */
	EXPECT(b, NULL, "n", 0);
	add_op(b, "SequenceInsert", "e,x", "f");
	REFUSE(b, NULL, "f32[2] does not fit a sequence of i64");
	free_arena(a);
	b = new_builder(a = new_arena(), 17);
	add_op(b, "SequenceEmpty", "", "e");
	add_output(b, "e");
	REFUSE(b, NULL, "the graph has no outputs");
	free_arena(a);
}

/* ---- splitting and concatenating ----------------------------------------------------------------------------------- */

/* The first extents of what x[5] is split into, then the elements that begin them. */
static void test_split(void)
{
	static const struct {
		const char *dims; /* of split; NULL: left out */
		int64_t split[3];
		int keepdims, n;
		double rank;
		const char *says;
	} rows[] = {
		{NULL, {0}, 1, 5, 1, NULL},
		{NULL, {0}, 0, 5, 0, NULL},
		{"", {2}, 0, 3, 1, NULL}, /* the attribute is ignored */
		{"", {9}, 1, 1, 1, NULL},
		{"3", {1, 0, 4}, 1, 3, 1, NULL},
		{"", {0}, 1, 0, 0, "parts of size 0"},
		{"", {-1}, 1, 0, 0, "parts of size -1"},
		{"2", {1, 3}, 1, 0, 0, "sum of the sizes and the split axis: 4 and 5 differ"},
		{"3", {6, -1, 0}, 1, 0, 0, "must be at least 0"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		Arena *a = new_arena();
		Builder *b = new_builder(a, 17);
		add_input(b, "x", Float, "5");
		if (rows[i].dims)
			add_tensor(b, "split", Int64, rows[i].dims, rows[i].split, *rows[i].dims ? 8 * atoi(rows[i].dims) : 8);
		set_i(a, add_op(b, "SplitToSequence", rows[i].dims ? "x,split" : "x", "s"), "keepdims", rows[i].keepdims);
		add_number(b, "zero", 0);
		add_op(b, "SequenceLength", "s", "n");
		add_op(b, "SequenceAt", "s,zero", "e");
		add_op(b, "Shape", "e", "shape");
		add_op(b, "Size", "shape", "rank");
		add_output(b, "n");
		add_output(b, "rank");
		if (rows[i].says)
			REFUSE(b, NULL, rows[i].says);
		else
			EXPECT(b, NULL, "n,rank", rows[i].n, rows[i].rank);
		free_arena(a);
	}
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	add_input(b, "x", Float, "T");
	add_op(b, "SplitToSequence", "x", "s");
	add_output(b, "s");
	REFUSE(b, NULL, "not supported: how many parts there are depends on the sizes: the split axis has extent T");
	EXPECT(b, "T=1", "s.0", 10);
	REFUSE(b, "T=5000", "not supported: a sequence of 5000 elements");
	free_arena(a);
}

static void test_concat(void)
{
	static const struct {
		int axis, stacks;
		double dims[2];
		const char *says;
	} rows[] = {
		{0, 0, {6, 6}, NULL},  {-1, 0, {6, 6}, NULL}, {0, 1, {3, 2}, NULL}, {1, 1, {2, 3}, NULL}, {-1, 1, {2, 3}, NULL},
		{1, 0, {0}, "axis 1 is out of range for rank 1"}, {2, 1, {0}, "axis 2 is out of range for rank 2"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		Arena *a = new_arena();
		Builder *b = xyz(a);
		Onnx__NodeProto *n = add_op(b, "ConcatFromSequence", "s", "c");
		set_i(a, n, "axis", rows[i].axis);
		set_i(a, n, "new_axis", rows[i].stacks);
		int64_t first = 0, last = -1;
		add_tensor(b, "first", Int64, "", &first, sizeof first);
		add_tensor(b, "last", Int64, "", &last, sizeof last);
		add_op(b, "Shape", "c", "shape");
		add_op(b, "Gather", "shape,first", "d0");
		add_op(b, "Gather", "shape,last", "d1");
		add_output(b, "c");
		add_output(b, "d0");
		add_output(b, "d1");
		if (rows[i].says)
			REFUSE(b, NULL, rows[i].says);
		else
			EXPECT(b, NULL, "c,d0,d1", 10, rows[i].dims[0], rows[i].dims[1]);
		free_arena(a);
	}
}

/* ---- ports --------------------------------------------------------------------------------------------------------- */

static void test_sequence_input(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	add_sequence(b, "s", "N");
	add_input(b, "y", Float, "N");
	add_op(b, "SequenceInsert", "s,y", "r");
	add_output(b, "r");
	REFUSE(b, NULL, "not supported: how many elements the sequence 's' has is not known; -D s=N says it");
	EXPECT(b, "s=2", "r.0,r.1,r.2", 10, 20, 30);
	EXPECT(b, "s=0", "r.0", 10);
	REFUSE(b, "s=2,s=3", "-D s: expected one number");
	REFUSE(b, "s=2000000000", "not supported: a sequence of 2000000000 elements");
	char *said;
	Module *m = load_built(b, "s=2", &said); /* elements have sizes of their own, whatever the file calls them */
	CHECK(m && m->nsym == 3 && m->main->params[0]->type.dims[0] != m->main->params[1]->type.dims[0]);
	free(said);
	free_module(m);
	last_input(b)->type = NULL;
	REFUSE(b, "s=1", "input 'y' is neither a tensor nor an optional or a sequence of tensors: not supported");
	last_input(b)->type = sequence_of(a, sequence_of(a, new_type(a)));
	REFUSE(b, "s=1,y=1", "input 'y' is neither a tensor nor an optional or a sequence of tensors: not supported");
	Onnx__TypeProto *deep = new_type(a);
	for (int i = 0; i < 500; i++)
		deep = i % 2 ? sequence_of(a, deep) : optional_of(a, deep);
	last_input(b)->type = deep;
	REFUSE(b, "s=1,y=1", "nested too deeply");
	free_arena(a);
}

/* A sequence whose rank the file does not state; options do, which win over the file. */
static void test_stated_shapes(void)
{
	static const struct {
		const char *shape, *says;
	} rows[] = {
		{"s=[2]", NULL}, {"s=2", NULL}, {"s.1=[T]", "input 's' has no shape, so its rank is not known; --shape"},
		{"s", "--shape: expected INPUT=[DIM,DIM], got 's'"}, {"t=[2]", "input 's' has no shape"}, {"s=[1,1,1,1,1,1,1,1,1]", "rank of at most 8"},
		{"s=[99999999999999999999]", "expected 0..2147483647"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		Arena *a = new_arena();
		Builder *b = new_builder(a, 17);
		add_sequence(b, "s", "");
		last_input(b)->type->sequence_type->elem_type->tensor_type->shape = NULL;
		add_op(b, "Identity", "s", "r");
		add_output(b, "r");
		stated = rows[i].shape;
		if (rows[i].says)
			REFUSE(b, "s=2", rows[i].says);
		else
			EXPECT(b, "s=2", "r.0,r.1", 10, 20);
		free_arena(a);
	}
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	char *said;
	add_input(b, "x", Float, "1,8");
	add_op(b, "Relu", "x", "y");
	add_output(b, "y");
	stated = "x=[batch,8]";
	Module *m = load_built(b, NULL, &said);
	CHECK(m && m->nsym == 1 && !strcmp(m->syms[0]->name, "batch"));
	free(said);
	free_module(m);
	stated = "z=[2]";
	REFUSE(b, NULL, "--shape z=[2]: no input has this name");
	stated = NULL;
	free_arena(a);
}

/* r = x given ? x + x : y */
static void test_optional_input(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 18), *yes = new_builder(a, 18), *no = new_builder(a, 18);
	add_input(b, "y", Float, "N");
	add_input(b, "x", Float, "N");
	last_input(b)->type = optional_of(a, last_input(b)->type);
	add_op(yes, "OptionalGetElement", "x", "e");
	add_op(yes, "Add", "e,e", "twice");
	add_output(yes, "twice");
	add_op(no, "Identity", "y", "same");
	add_output(no, "same");
	add_op(b, "OptionalHasElement", "x", "has");
	add_if(b, "has", "r", yes, no);
	add_output(b, "r");
	add_output(b, "has");
	EXPECT(b, NULL, "r,has", 40, 1);
	EXPECT(b, "x=1", "r,has", 40, 1);
	EXPECT(b, "x=0", "r,has", 10, 0);
	REFUSE(b, "x=2", "-D x: expected one number, 0 or 1: whether the optional input is there");
	last_input(b)->type->optional_type->elem_type = sequence_of(a, last_input(b)->type->optional_type->elem_type);
	REFUSE(b, "x=2", "input 0 is a sequence of length 2, expected a tensor"); /* Add */
	free_arena(a);
}

/* ---- bodies -------------------------------------------------------------------------------------------------------- */

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
	if (!mkdtemp(dir))
		return 2;
	test_positions();
	test_at();
	test_unknown_position();
	test_mixed_up();
	test_empty();
	test_split();
	test_concat();
	test_sequence_input();
	test_stated_shapes();
	test_optional_input();
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
	Arena *a = new_arena();
	unlink(model_file(a));
	free_arena(a);
	rmdir(dir);
	return test_end("sequence");
}
