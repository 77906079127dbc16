/* import_refused_test.c - the ONNX importer on small models made by hand that it must refuse: what it says; and on damaged files. */
#include "import.h"

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

static void test_zero_point_types(void)
{
	static const char *products[] = {"MatMulInteger", "ConvInteger"};
	Arena *a = new_arena();
	const float zeros[4] = {0};
	for (int conv = 0; conv < 2; conv++)
		for (int at = 0; at < 2; at++) {
			Builder *b = new_builder(a, 17);
			add_input(b, "x", 2, conv ? "1,4,1" : "1,4");
			add_tensor(b, "w", 3, conv ? "1,4,1" : "4,1", zeros, 4);
			add_tensor(b, "z", 1, "", zeros, 4);
			add_op(b, products[conv], at ? "x,w,,z" : "x,w,z", "y");
			add_output(b, "y");
			must_fail(b, NULL, __LINE__, products[conv], at ? "a zero point of type f32 for elements of type i8" : "a zero point of type f32 for elements of type u8", NULL);
		}
	free_arena(a);
}

static void test_real_indices(void)
{
	Arena *a = new_arena();
	const float ones[1] = {1};
	const uint8_t bytes[8] = {0};
	Builder *b = new_builder(a, 21);
	add_input(b, "i", 1, "3");
	add_tensor(b, "w", 2, "1,8", bytes, sizeof bytes);
	add_tensor(b, "s", 1, "1,1", ones, sizeof ones);
	Onnx__NodeProto *n = add_op(b, "GatherBlockQuantized", "w,i,s", "y");
	n->domain = arena_strdup(a, "com.microsoft");
	set_i(a, n, "block_size", 16);
	add_output(b, "y");
	must_fail(b, NULL, __LINE__, "node 'y' (GatherBlockQuantized)", "indices of type f32, expected i32 or i64", NULL);
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
	b = new_builder(a, 17); /* queries that start at zero */
	add_tensor(b, "queries", 1, "3,4,4", zeros, sizeof zeros);
	add_floats(b, "w", "4,5", 20);
	add_op(b, "MatMul", "queries,w", "y");
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
		{"hello, world", 12, "but text"},
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

/* Weights in blocks: what their sizes must be, and which block a row has. */
static void test_blocks(void)
{
	static const struct {
		int64_t k, block;
		const char *inputs, *says;
	} cases[] = {
		{32, 24, "x,b,s", "block_size=24: expected a power of 2, at least 16"}, {32, 32, "x,b,s", "dims of B: 2 and 1 differ"},
		{32, 16, "x,b,t", "scales: 3 and 2 differ"},                           {32, 16, "x,b,s,z", "bytes of zero points: 2 and 1 differ"},
		{33, 16, "x,b,s", "dims of B: 2 and 3 differ"},                        {32, 16, "x,b,s,,g", "element 31 of g_idx is none of 2 blocks"},
		{32, 16, "x,b,s,,h", "not supported: g_idx that is no constant"},      {32, 16, "x,b,s,,,t", "elements of the bias: 3 and 1 differ"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		Arena *a = new_arena();
		Builder *b = new_builder(a, 17);
		int32_t groups[32] = {0};
		groups[31] = 2;
		add_input(b, "x", 1, "M,32");
		add_input(b, "h", 6, "32");
		add_tensor(b, "b", 2, "1,2,8", groups, 16);
		add_tensor(b, "g", 6, "32", groups, sizeof groups);
		add_tensor(b, "z", 2, "1,2", groups, 2);
		add_floats(b, "s", "1,2", 2);
		add_floats(b, "t", "3", 3);
		Onnx__NodeProto *n = add_op(b, "MatMulNBits", cases[i].inputs, "y");
		n->domain = "com.microsoft";
		set_i(a, n, "K", cases[i].k);
		set_i(a, n, "N", 1);
		set_i(a, n, "block_size", cases[i].block);
		add_output(b, "y");
		must_fail(b, NULL, __LINE__, cases[i].says, NULL);
		free_arena(a);
	}
}

int main(void)
{
	if (!begin_imports())
		return 2;
	test_all_unsupported_at_once();
	test_names();
	test_blocks();
	test_layers();
	test_bad_tensors();
	test_zero_point_types();
	test_real_indices();
	test_lost_write();
	test_data_dependent_shape();
	test_bad_equations();
	test_bad_ngrams();
	test_external();
	test_bytes();
	return end_imports("import_refused");
}
