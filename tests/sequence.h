/* sequence.h - for tests of sequences and optionals in ONNX files: models made by hand, what they give, and that they are refused.
 *
 * The tensors are rank 1, and their first element tells them apart.
 */
#ifndef DCC_TEST_SEQUENCE_H
#define DCC_TEST_SEQUENCE_H

#include "onnx_build.h"
#include "test.h"

static UNUSED char dir[] = "/tmp/dcc-sequence-XXXXXX";
enum { MaxPorts = 8, Float = 1, Int64 = 7, BoolType = 9, UInt4 = 21 };

static const char *model_file(Arena *a)
{
	return arena_printf(a, "%s/m.onnx", dir);
}

static const char *stated, *custom; /* --shape and --custom-op of the next models, or NULL */

static UNUSED Module *load_built(Builder *b, const char *bind, char **said)
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
static UNUSED void expect(int line, Builder *b, const char *bind, const char *names, int nwant, const double *want)
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

static UNUSED void refuse(int line, Builder *b, const char *bind, const char *says)
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

static UNUSED void add_number(Builder *b, const char *name, int64_t v)
{
	add_tensor(b, name, Int64, "", &v, sizeof v);
}

static UNUSED Onnx__TypeProto *new_type(Arena *a)
{
	Onnx__TypeProto *t = arena_alloc(a, sizeof *t);
	onnx__type_proto__init(t);
	return t;
}

static UNUSED Onnx__TypeProto *sequence_of(Arena *a, Onnx__TypeProto *elem)
{
	Onnx__TypeProto *t = new_type(a);
	t->sequence_type = arena_alloc(a, sizeof *t->sequence_type);
	onnx__type_proto__sequence__init(t->sequence_type);
	t->sequence_type->elem_type = elem;
	return t;
}

static UNUSED Onnx__TypeProto *optional_of(Arena *a, Onnx__TypeProto *elem)
{
	Onnx__TypeProto *t = new_type(a);
	t->optional_type = arena_alloc(a, sizeof *t->optional_type);
	onnx__type_proto__optional__init(t->optional_type);
	t->optional_type->elem_type = elem;
	return t;
}

static UNUSED Onnx__ValueInfoProto *last_input(Builder *b)
{
	return b->graph.input[b->graph.n_input - 1];
}

static UNUSED void add_sequence(Builder *b, const char *name, const char *dims)
{
	add_input(b, name, Float, dims);
	last_input(b)->type = sequence_of(b->arena, last_input(b)->type);
}

/* An input of a body, whose type is left open. */
static UNUSED void add_open_input(Builder *b, const char *name)
{
	add_input(b, name, Float, "");
	last_input(b)->type = NULL;
}

static UNUSED void set_body(Builder *b, Onnx__NodeProto *n, const char *name, Builder *body)
{
	add_attr(b->arena, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH)->g = &body->graph;
}

/* Inputs x, y and z: 10, 20 and 30; s is the sequence of them. */
static UNUSED Builder *xyz(Arena *a)
{
	Builder *b = new_builder(a, 17);
	add_input(b, "x", Float, "2");
	add_input(b, "y", Float, "2");
	add_input(b, "z", Float, "2");
	add_op(b, "SequenceConstruct", "x,y,z", "s");
	return b;
}

static UNUSED void add_if(Builder *b, const char *cond, const char *out, Builder *yes, Builder *no)
{
	Onnx__NodeProto *n = add_op(b, "If", cond, out);
	set_body(b, n, "then_branch", yes);
	set_body(b, n, "else_branch", no);
}

static UNUSED bool begin_sequences(void)
{
	return mkdtemp(dir);
}

/* Removes the folder. */
static UNUSED int end_sequences(const char *name)
{
	Arena *a = new_arena();
	unlink(model_file(a));
	free_arena(a);
	rmdir(dir);
	return test_end(name);
}

#endif
