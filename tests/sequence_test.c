/* sequence_test.c - sequences and optionals of ONNX files: their operators, splitting and concatenating, and as ports of the model. */
#include "sequence.h"

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

int main(void)
{
	if (!begin_sequences())
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
	return end_sequences("sequence");
}
