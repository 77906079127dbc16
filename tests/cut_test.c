/* cut_test.c - --inputs and --outputs: which nodes, inputs, symbols and types are left of a graph. */
#include "onnx_build.h"
#include "test.h"

static char *path;
static const char *stated; /* --shape of the next models, or NULL */

/* x -> MatMul -> h -> Relu -> r -> Unknown -> u -> Sigmoid -> s; also t: the transposed h, added to s as y. */
static Builder *make_model(Arena *a)
{
	Builder *b = new_builder(a, 18);
	add_input(b, "x", 1, "B,T,6");
	add_input(b, "other", 1, "T");
	add_floats(b, "w", "6,8", 48);
	add_op(b, "MatMul", "x,w", "h");
	add_op(b, "Relu", "h", "r");
	add_op(b, "Unknown", "r", "u");
	add_op(b, "Sigmoid", "u", "s");
	Onnx__NodeProto *t = add_op(b, "Transpose", "h", "t");
	set_ints(a, t, "perm", 3, (int64_t[]){0, 1, 2});
	add_op(b, "Add", "s,t", "y");
	add_op(b, "Neg", "other", "z");
	add_output(b, "y");
	add_output(b, "z");
	return b;
}

static void declare(Builder *b, const char *name, const char *dims)
{
	b->graph.value_info =
	    append(b->arena, b->graph.value_info, &b->graph.n_value_info, make_info(b->arena, name, 1, dims));
}

static Module *load(Builder *b, const char *inputs, const char *outputs, char **said)
{
	write_built(b, path);
	return try_load_model(path, &(LoadOptions){.inputs = inputs, .outputs = outputs, .nshape = stated != NULL, .shape = &stated}, said);
}

/* Inputs, outputs and number of nodes as one line. */
static char *shape_of(Arena *a, Module *m)
{
	char *s = arena_strdup(a, "");
	int n = 0;
	for (int i = 0; i < m->main->nparam; i++)
		s = arena_printf(a, "%s%s: %s; ", s, m->main->params[i]->name, type_text(m, &m->main->params[i]->type));
	for (int i = 0; i < m->main->body.nyield; i++)
		s = arena_printf(a, "%s-> %s: %s; ", s, m->main->results[i],
		                 type_text(m, &m->main->body.yields[i]->type));
	for (const Node *x = m->main->body.first; x; x = x->next)
		n++;
	return arena_printf(a, "%s%d nodes", s, n);
}

static void expect(Builder *b, const char *inputs, const char *outputs, const char *want)
{
	char *said;
	Module *m = load(b, inputs, outputs, &said);
	CHECK(m && !verify_module(m));
	CHECK_STR(m ? shape_of(b->arena, m) : said, want);
	free_module(m);
	free(said);
}

static void refuse(Builder *b, const char *inputs, const char *outputs, const char *message)
{
	char *said;
	Module *m = load(b, inputs, outputs, &said);
	CHECK(!m);
	CHECK(said && strstr(said, message));
	if (said && !strstr(said, message))
		fprintf(stderr, "%s\n", said);
	free_module(m);
	free(said);
}

int main(void)
{
	char dir[] = "/tmp/dcc-cut-XXXXXX";
	if (!mkdtemp(dir))
		return 2;
	Arena *a = new_arena();
	path = arena_printf(a, "%s/m.onnx", dir);
	Builder *b = make_model(a);
	refuse(b, NULL, NULL, "'Unknown' is not supported");
	/* outputs: any value, in the order asked for; what lies behind does not matter */
	expect(b, NULL, "r", "x: f32[B, T, 6]; -> r: f32[B, T, 8]; 2 nodes");
	expect(b, NULL, "t,h", "x: f32[B, T, 6]; -> t: f32[B, T, 8]; -> h: f32[B, T, 8]; 2 nodes");
	expect(b, NULL, "z,r", "x: f32[B, T, 6]; other: f32[T]; -> z: f32[T]; -> r: f32[B, T, 8]; 3 nodes");
	expect(b, "w", "h", "w: f32[6, 8]; x: f32[B, T, 6]; -> h: f32[B, T, 8]; 1 nodes");
	/* types that only the nodes before tell */
	expect(b, "h", "r", "h: f32[B, T, 8]; -> r: f32[B, T, 8]; 1 nodes");
	expect(b, "h,other", "z,t",
	       "h: f32[B, T, 8]; other: f32[T]; -> z: f32[T]; -> t: f32[B, T, 8]; 2 nodes");
	/* t is h under another name: what uses h does not see the input */
	expect(b, "t", "t,r", "t: f32[B, T, 8]; x: f32[B, T, 6]; -> t: f32[B, T, 8]; -> r: f32[B, T, 8]; 3 nodes");
	/* behind an operator that is not supported: only --shape or a declaration tells the type */
	refuse(b, "u", "y", "--inputs: the file states no type for 'u', and an operator before it is not supported; --shape 'u=i64[2,N]' says");
	stated = "u=[B,T,8]";
	refuse(b, "u", "y", "--inputs: the file states no type for 'u'");
	stated = "u=f32[B,T,8]";
	expect(b, "u", "y", "u: f32[B, T, 8]; x: f32[B, T, 6]; -> y: f32[B, T, 8]; 3 nodes");
	stated = "u=f16[]";
	expect(b, "u", "s", "u: f16[]; -> s: f16[]; 1 nodes");
	stated = "u=f33[B]";
	refuse(b, "u", "y", "--shape: there is no element type 'f33'");
	stated = "x=i32[B,T,6]";
	refuse(b, "u", "y", "--inputs: the file states no type for 'u'");
	refuse(b, NULL, "r", "--shape: input 'x' is FLOAT, not i32");
	stated = "x=f32[4,6]";
	expect(b, NULL, "r", "x: f32[4, 6]; -> r: f32[4, 8]; 2 nodes");
	stated = NULL;
	declare(b, "u", "B,,8");
	expect(b, "u", "s", "u: f32[B, u_d1, 8]; -> s: f32[B, u_d1, 8]; 1 nodes");
	expect(b, "u", "y", "u: f32[B, u_d1, 8]; x: f32[B, T, 6]; -> y: f32[B, u_d1, 8]; 3 nodes");
	/* a declaration with open dims gives way to what the nodes tell, a full one does not */
	declare(b, "r", "B,,");
	expect(b, "r", "r", "r: f32[B, T, 8]; -> r: f32[B, T, 8]; 1 nodes");
	declare(b, "h", "N,5,8");
	expect(b, "h", "r", "h: f32[N, 5, 8]; -> r: f32[N, 5, 8]; 1 nodes");

	refuse(b, "nix", NULL, "the graph has no value 'nix'");
	refuse(b, NULL, "r,nix", "the graph has no value 'nix'");
	refuse(b, "h,h", "r", "'h' is listed twice");
	refuse(b, NULL, "r,r", "'r' is listed twice");
	refuse(b, "r", "h", "no output depends on 'r'");

	/* -D counts before the cut too */
	write_built(make_model(a), path);
	char *said;
	DimBinding bind = {"T", 4, 4};
	LoadOptions opt = {.nbind = 1, .bind = &bind, .inputs = "h", .outputs = "r"};
	Module *m = try_load_model(path, &opt, &said);
	CHECK_STR(m ? shape_of(a, m) : said, "h: f32[B, 4, 8]; -> r: f32[B, 4, 8]; 1 nodes");
	free_module(m);
	free(said);
	unlink(path);
	rmdir(dir);
	free_arena(a);
	return test_end("cut");
}
