/* text_test.c - the text form: print -> parse -> print gives equal text at both levels, and errors say where and
 * what. */
#include "../ir/loop.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The first line of what parsing `text` as t.ir complains about, or "" if it does not. */
static const char *parse_error(const char *text)
{
	static char message[512];
	char *out = NULL;
	size_t n = 0;
	jmp_buf recover;
	diag_stream = open_memstream(&out, &n);
	diag_recover = &recover;
	if (!setjmp(recover))
		free_module(parse_module("t.ir", text));
	diag_recover = NULL;
	fclose(diag_stream);
	diag_stream = NULL;
	snprintf(message, sizeof message, "%.*s", (int)strcspn(out, "\n"), out);
	free(out);
	diag_reset();
	return message;
}

static void check_round_trip(const char *text)
{
	Module *m = parse_module("t.ir", text);
	char *again = module_text(m);
	CHECK_STR(again, text);
	free(again);
	free_module(m);
}

/* ---- tensor IR -------------------------------------------------------------------------------------------------- */

static Type type_of(DType dtype, int rank, const Dim *a, const Dim *b, const Dim *c)
{
	return (Type){.dtype = dtype, .rank = rank, .dims = {a, b, c}};
}

static Value *put(Module *m, Block *b, Op op, int nin, Value **in, int nattr, const Attr *attrs, const Type *given)
{
	const Loc *loc = new_loc(m, (Loc){.file = "m.onnx", .node = "/n\"1\n", .op = "Node", .opset = 17});
	return build(m, b, NULL, op, loc, nin, in, nattr, attrs, given);
}

static void add_constants(Module *m, Block *b, Value *x)
{
	static const float odd[] = {0.1f, -0.0f, INFINITY, -INFINITY, 1e-45f, 3.4028235e38f};
	static const uint32_t nans[] = {0x7fc00000, 0xffc00001, 0x7f800001};
	static const double wide[] = {0.1, 1e300, -5e-324};
	static const int64_t longs[] = {INT64_MIN, INT64_MAX, -1};
	static const int8_t bytes[] = {-128, 127};
	static const uint8_t bits[] = {1, 0, 1};
	static float many[100];
	for (int i = 0; i < 100; i++)
		many[i] = (float)i / 3;
	const struct {
		const char *name;
		DType type;
		int n;
		const void *data;
		size_t bytes;
	} table[] = {{"odd", F32, 6, odd, sizeof odd},     {"nans", F32, 3, nans, sizeof nans},
	             {"wide", F64, 3, wide, sizeof wide},  {"longs", I64, 3, longs, sizeof longs},
	             {"a b", I8, 2, bytes, sizeof bytes},  {"mask", Bool, 3, bits, sizeof bits},
	             {"hex", F32, 100, many, sizeof many}, {"empty", F32, 0, "", 0}};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		Type t = type_of(table[i].type, 1, dim_const(m, table[i].n), NULL, NULL);
		Const *c = new_const(m, table[i].name, t, table[i].data, table[i].bytes);
		c->name = table[i].name;
		add_yield(m, b, put(m, b, OpIdentity, 1, &c->value, 0, NULL, NULL));
	}
	new_const(m, "unused", type_of(F32, 1, dim_const(m, 6), NULL, NULL), odd, sizeof odd);
	add_yield(m, b, x);
}

static void add_group(Module *m, Block *b, Value *x)
{
	Node *g = new_node(m, b, NULL, OpGroup, NULL, 0, NULL);
	Value *two[] = {x, x};
	Value *sum = put(m, g->body, OpAdd, 2, two, 0, NULL, NULL);
	sum->name = "sum";
	add_yield(m, g->body, put(m, g->body, OpTanh, 1, &sum, 0, NULL, NULL));
	add_yield(m, g->body, sum);
	CHECK(!set_type(m, g, NULL));
	add_yield(m, b, add_result(m, g, x->type));
	add_yield(m, b, add_result(m, g, x->type));
}

static Module *build_module(void)
{
	Module *m = new_module("net", "m.onnx");
	const Dim *batch = dim_sym(m, "batch"), *seq = dim_sym(m, "seq"), *seq1 = dim_sym(m, "seq_1");
	dim_as_sym(seq)->lo = 1;
	dim_as_sym(seq)->hi = 1024;
	m->stage = "fuse";
	m->model_hash = 0x0123456789abcdef;
	Value *x = new_param(m, "input.1", type_of(F32, 3, batch, seq, dim_const(m, 8)));
	Value *y = new_param(m, "5", type_of(F32, 3, batch, seq1, dim_const(m, 8)));
	y->name = "5";
	Block *b = &m->main->body;
	static float w[64];
	Const *wc = new_const(m, "onnx::w", type_of(F32, 2, dim_const(m, 8), dim_const(m, 8), NULL), w, sizeof w);
	wc->name = "onnx::w";
	Value *in[3] = {x, wc->value, NULL};
	Value *l = put(m, b, OpLinear, 3, in, 0, NULL, NULL);
	l->name = "proj/out";
	Value *s = put(m, b, OpAdd, 2, (Value *[]){l, y}, 0, NULL, NULL);
	Attr glu[] = {mk_int(Attr_axis, 2), mk_int(Attr_gate, 1), mk_int(Attr_act, OpSigmoid)};
	add_yield(m, b, put(m, b, OpGlu, 1, &s, 3, glu, NULL));
	Attr clip[] = {mk_number(Attr_hi, F32, 6), mk_number(Attr_lo, F32, -0.1)};
	Value *c = put(m, b, OpClip, 1, &x, 2, clip, NULL);
	Attr soft = mk_int(Attr_axis, 2);
	add_yield(m, b, put(m, b, OpSoftmax, 1, &c, 1, &soft, NULL));
	Type flat = type_of(F32, 2, dim_mul(m, batch, seq), dim_const(m, 8), NULL);
	add_yield(m, b, put(m, b, OpReshape, 1, &x, 0, NULL, &flat));
	Attr axis = mk_int(Attr_axis, 1);
	add_yield(m, b, put(m, b, OpConcat, 3, (Value *[]){x, y, x}, 1, &axis, NULL));
	const Dim *half = dim_floordiv(m, dim_add(m, seq, dim_const(m, 15)), dim_const(m, 16));
	const Dim *odd[] = {half, dim_mod(m, seq, dim_const(m, 3)), dim_min(m, seq, seq1), dim_max(m, batch, half),
	                    dim_mul_const(m, dim_mul(m, half, half), -4), dim_sub(m, dim_const(m, 7), seq)};
	Attr values = mk_dims(m, Attr_values, 6, odd);
	Type list = type_of(I64, 1, dim_const(m, 6), NULL, NULL);
	add_yield(m, b, put(m, b, OpDims, 0, NULL, 1, &values, &list));
	int64_t perm[] = {2, 0, 1};
	Attr order = mk_ints(m, Attr_perm, 3, perm);
	add_yield(m, b, put(m, b, OpTranspose, 1, &x, 1, &order, NULL));
	add_group(m, b, x);
	add_constants(m, b, x);
	m->main->results = arena_alloc(m->arena, (size_t)b->nyield * sizeof *m->main->results);
	for (int i = 0; i < b->nyield; i++)
		m->main->results[i] = arena_printf(m->arena, i ? "out/%d" : "y", i);
	return m;
}

static bool has_line(const char *text, const char *line)
{
	const char *at = strstr(text, line);
	if (!at)
		fprintf(stderr, "missing: %s\n", line);
	return at;
}

static void test_tensor(void)
{
	Module *m = build_module();
	char *text = module_text(m);
	check_round_trip(text);
	CHECK(has_line(text, "dcc-ir 1 stage fuse\nmodel net #0123456789abcdef\n"));
	CHECK(has_line(text, "sym seq in 1..1024\n"));
	CHECK(has_line(text, "const @odd: f32[6] = [0.1, -0, inf, -inf, 1.4013e-45, 3.4028235e+38]\n"));
	CHECK(has_line(text, "const @nans: f32[3] = [nan, 0xffc00001, 0x7f800001]\n"));
	CHECK(has_line(text, "const @longs: i64[3] = [-9223372036854775808, 9223372036854775807, -1]\n"));
	CHECK(has_line(text, "const @\"a b\": i8[2] = [-128, 127]\n"));
	CHECK(has_line(
		text,
		"%\"proj/out\": f32[batch, seq, 8] = linear %input.1, @\"onnx::w\", _ loc \"/n\\\"1\\n\" Node-17\n"));
	CHECK(has_line(text, "{act=sigmoid, axis=2, gate=first}"));
	CHECK(has_line(text, "{hi=6, lo=-0.1}"));
	CHECK(!strstr(text, "unused"));
	free(text);
	free_module(m);
}

/* ---- constants in files ----------------------------------------------------------------------------------------- */

static char dir[64];

static const char *in_dir(const char *name)
{
	static char path[2][128];
	static int turn;
	snprintf(path[turn ^= 1], sizeof *path, "%s/%s", dir, name);
	return path[turn];
}

static char *read_text(const char *path)
{
	FILE *f = fopen(path, "rb");
	char *text = calloc(1, 1 << 16);
	if (f) {
		CHECK(fread(text, 1, (1 << 16) - 1, f) > 0);
		fclose(f);
	}
	return text;
}

static Module *read_module(const char *name)
{
	char *text = read_text(in_dir(name));
	Module *m = parse_module(in_dir(name), text);
	free(text);
	return m;
}

static Const *find_const(Module *m, const char *name)
{
	for (int i = 0; i < m->nconst; i++)
		if (!strcmp(m->consts[i]->name, name))
			return m->consts[i];
	return NULL;
}

static Module *module_with(Const **c, const float *data, int n)
{
	Module *m = new_module("net", "m.onnx");
	*c = new_const(m, "w", type_of(F32, 1, dim_const(m, n), NULL, NULL), data, (size_t)n * sizeof *data);
	Value *v = build(m, &m->main->body, NULL, OpNeg, NULL, 1, &(*c)->value, 0, NULL, NULL);
	add_yield(m, &m->main->body, v);
	m->main->results = arena_alloc(m->arena, sizeof *m->main->results);
	m->main->results[0] = "y";
	return m;
}

/* The error of reading NAME back. */
static void check_file_error(const char *name, const char *want)
{
	char *text = read_text(in_dir(name)), *out = NULL;
	size_t n = 0;
	jmp_buf recover;
	diag_stream = open_memstream(&out, &n);
	diag_recover = &recover;
	if (!setjmp(recover))
		free_module(parse_module(in_dir(name), text));
	diag_recover = NULL;
	fclose(diag_stream);
	diag_stream = NULL;
	CHECK(strstr(out, want));
	if (!strstr(out, want))
		fprintf(stderr, "%s", out);
	free(out);
	free(text);
	diag_reset();
}

static void test_files(void)
{
	static float data[5000];
	Const *c;
	for (int i = 0; i < 5000; i++)
		data[i] = (float)i;
	snprintf(dir, sizeof dir, "/tmp/text_test.XXXXXX");
	CHECK(mkdtemp(dir) != NULL);
	Module *m = module_with(&c, data, 5000);
	write_module(in_dir("a.ir"), m);
	struct stat st;
	CHECK(!stat(in_dir("a.ir.data"), &st));
	CHECK_EQ(st.st_size, sizeof data);
	Module *back = read_module("a.ir");
	CHECK_STR(find_const(back, "w")->file, "a.ir.data");
	CHECK(!memcmp(find_const(back, "w")->data, data, sizeof data));
	char *text = module_text(back), *was = read_text(in_dir("a.ir"));
	CHECK_STR(text, was);
	free(text);
	free(was);
	/* over itself, and beside itself without a copy */
	write_module(in_dir("a.ir"), back);
	write_module(in_dir("b.ir"), back);
	CHECK(stat(in_dir("b.ir.data"), &st));
	free_module(back);
	back = read_module("b.ir");
	CHECK(!memcmp(find_const(back, "w")->data, data, sizeof data));
	free_module(back);
	/* only in memory: a stream cannot hold it */
	text = module_text(m);
	CHECK(has_line(text, "= elided #"));
	CHECK_STR(parse_error(text), "t.ir:3:23: error: the data of @w was not written into this text; "
	                             "write the text to a file to keep it");
	free(text);
	free_module(m);
	/* another file than the text was written for */
	FILE *f = fopen(in_dir("a.ir.data"), "r+b");
	fputc(7, f);
	fclose(f);
	check_file_error("b.ir",
	                 "b.ir:3:28: error: \"a.ir.data\" does not hold the bytes that the text was written for");
	CHECK(!truncate(in_dir("a.ir.data"), 100));
	check_file_error("b.ir", "20000 bytes at 0 lie beyond the end of \"a.ir.data\" (100 bytes)");
	unlink(in_dir("a.ir.data"));
	check_file_error("b.ir", "cannot read \"a.ir.data\" beside the text: No such file or directory");
	unlink(in_dir("a.ir"));
	unlink(in_dir("b.ir"));
	CHECK(!rmdir(dir));
}

/* ---- errors of the tensor IR ------------------------------------------------------------------------------------ */

#define HEAD "dcc-ir 1 stage import\nmodel m #0000000000000000\n"
#define FUNC(body) HEAD "sym n in 0..9\nfunc @main(%x: f32[n, 4]) -> (y: f32[n, 4]) {\n" body "}\n"

static void test_errors(void)
{
	static const struct {
		const char *text, *error;
	} table[] = {
		{"", "t.ir:1:1: error: this is not IR text: its first line begins with 'dcc-ir 1'"},
		{"dcc-ir 2 stage import", "t.ir:1:8: error: IR of version 2; this dcc reads version 1"},
		{"dcc-ir 1 stage import\nmodel \"a b\" #0",
		 "t.ir:2:7: error: the model's name 'a b' must be a C identifier"},
		{"dcc-ir 1 stage import\nmodel m #12",
		 "t.ir:2:9: error: expected '#' and 16 hexadecimal digits, got '#'"},
		{HEAD "sym a in 0..1\nsym a in 0..1", "t.ir:4:5: error: symbol 'a' is already declared"},
		{HEAD "sym a in 5..1", "t.ir:3:13: error: the upper bound lies outside 5..140737488355328"},
		{HEAD "const @c: i8[2] = [1, 300]", "t.ir:3:23: error: an element lies outside -128..127"},
		{HEAD "const @c: i8[3] = [1, 2]",
		 "t.ir:3:19: error: i8[3] has 3 elements (3 bytes), got 2 (2 bytes)"},
		{HEAD "const @c: f32[1] = hex \"0000zz00\"",
		 "t.ir:3:24: error: expected pairs of the digits 0-9 and a-f, got '\"0000zz00\"'"},
		{HEAD "const @c: f32[1099511627776, 1099511627776] = [1]",
		 "t.ir:3:7: error: a constant of this shape is too large: f32[1099511627776, 1099511627776]"},
		{HEAD "sym n in 0..\nconst @c: f32[n] = [1]",
		 "t.ir:4:7: error: the shape of a constant must be constant: f32[n]"},
		{HEAD "const @c: f32[1] = file \"../x\" 0 #0123456789abcdef",
		 "t.ir:3:25: error: the file \"../x\" must be a plain name: data lies beside the text"},
		{HEAD "const @c: f32[1] = file \"/etc/passwd\" 0 #0123456789abcdef",
		 "t.ir:3:25: error: the file \"/etc/passwd\" must be a plain name: data lies beside the text"},
		{HEAD "const @c: f32[m] = [1]", "t.ir:3:15: error: symbol 'm' is not declared (sym m in 0..)"},
		{HEAD "const @c: f32[4/0] = [1]", "t.ir:3:17: error: division by zero"},
		{HEAD "func @main() -> () {\n  return\n", "t.ir:5:1: error: expected '}', got the end of the text"},
		{FUNC("  %1: f32[n, 4] = foo %x\n"),
		 "t.ir:5:19: error: there is no operator 'foo' (dcc --list-ops shows them)"},
		{FUNC("  %1: f32[n, 4] = neg %z\n"), "t.ir:5:23: error: %z is not defined"},
		{FUNC("  %1: f32[n, 4] = neg %1\n"), "t.ir:5:23: error: %1 is not defined"},
		{FUNC("  %1: f32[n, 4] = neg _\n"), "t.ir:5:23: error: neg: operand x may not be absent"},
		{FUNC("  %1: f32[n, 4] = add %x\n"), "t.ir:5:19: error: add takes 2 operands (a, b), got 1"},
		{FUNC("  %1: f32[n, 5] = neg %x\n"),
		 "t.ir:5:3: error: neg: the result is f32[n, 4], the text says f32[n, 5]"},
		{FUNC("  %1: f32[n, 4] = neg %x {axis=1}\n"), "t.ir:5:27: error: neg has no attribute 'axis'"},
		{FUNC("  %1: f32[n, 4] = softmax %x {axis=1, axis=1}\n"),
		 "t.ir:5:39: error: attribute 'axis' is given twice"},
		{FUNC("  %1: f32[n] = sum %x {axes=[1], keepdims=2}\n"), "t.ir:5:43: error: keepdims, a flag, lies outside 0..1"},
		{FUNC("  %1: f32[n, 2] = glu %x {axis=1, gate=third}\n"),
		 "t.ir:5:40: error: expected one of second|first, got 'third'"},
		{FUNC("  %1: f32[n, 4] = neg %x\n  %1: f32[n, 4] = neg %x\n"),
		 "t.ir:6:3: error: %1 is already defined"},
		{FUNC("  %1: f32[n, 4] = group {\n    %2: f32[n, 4] = neg %x\n    yield %2\n  }\n  return %2\n"),
		 "t.ir:9:10: error: the value is not visible outside of its group"},
		{FUNC("  return %x, %x\n"), "t.ir:5:3: error: the function returns 1 value"},
		{FUNC("  return %x\n") "x", "t.ir:7:1: error: expected loops or the end of the text, got 'x'"},
		{FUNC("  %1: f32[n, 4] = neg \"x\n"), "t.ir:5:23: error: the string does not end on its line"},
		{FUNC("  %1: f32[n, 4] = neg ?\n"), "t.ir:5:23: error: unexpected character '?'"},
		{FUNC("  %1: f32[n, 99999999999999999999] = neg %x\n"), "t.ir:5:14: error: number too large"},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		CHECK_STR(parse_error(table[i].text), table[i].error);
	CHECK_STR(parse_error(FUNC("  return %x\n")), "");
}

/* A program that nests or multiplies without end must be refused, not followed. */
static void test_limits(void)
{
	enum { N = 100000 };
	char *text = malloc(N + 200);
	int n = sprintf(text, HEAD "const @c: f32[");
	memset(text + n, '(', N);
	text[n + N] = 0;
	CHECK_STR(parse_error(text), "t.ir:3:216: error: expected a dim nested less deeply, got '('");
	for (int i = 0; i < N; i += 2)
		memcpy(text + n + i, "1+", 2);
	CHECK_STR(parse_error(text), "t.ir:3:16401: error: expected a dim of at most 8192 operators, got '1'");
	free(text);
}

/* ---- loop IR ---------------------------------------------------------------------------------------------------- */

static LFunc *build_leaf(LModule *lm)
{
	LB b = new_kernel(lm, "leaf", "avx2");
	LBuf *x = lparam_buf(&b, "x", F32, false), *y = lparam_buf(&b, "y", F32, true);
	LExpr *n = lparam(&b, "n");
	LType vec = {F32, Lanes};
	LTile *acc = lnew_tile(&b, "acc", vec, 2, 3);
	LExpr *i = lfor(&b, ForUnroll, li(&b, 0), li(&b, 6), NULL);
	LExpr *row = lop(&b, LFloorDiv, i, li(&b, 3), NULL), *col = lop(&b, LMod, i, li(&b, 3), NULL);
	lset_tile(&b, acc, row, col, lconst(&b, vec, -0.1));
	lend(&b);
	LExpr *k = lfor(&b, ForSerial, li(&b, 1), ladd(&b, n, li(&b, -1)), li(&b, 16));
	LExpr *mask = llet(
		&b, llt(&b, lcast(&b, LConvert, (LType){I32, Lanes}, lcast(&b, LIota, (LType){I64, Lanes}, NULL)),
	                lcast(&b, LConvert, (LType){I32, 1}, lsub(&b, n, k))));
	LExpr *v = llet(&b, lload(&b, x, Lanes, lmul(&b, k, ladd(&b, n, k)), n, mask));
	lset_tile(&b, acc, li(&b, 0), li(&b, 1),
	          lfma(&b, v, lelem(&b, acc, li(&b, 0), li(&b, 0)), lelem(&b, acc, li(&b, 1), li(&b, 2))));
	LExpr *bits = lcast(&b, LBitcast, (LType){I32, Lanes}, v);
	LExpr *low = lop(&b, LAnd, lop(&b, LShr, bits, lconst(&b, (LType){I32, 1}, 3), NULL),
	                 lconst(&b, (LType){I32, 1}, 255), NULL);
	lstore(&b, y, k, NULL, mask, lop(&b, LSelect, mask, lcast(&b, LConvert, vec, low), lconst(&b, vec, NAN)));
	lprefetch(&b, x, ladd(&b, k, li(&b, 64)));
	lend(&b);
	lif(&b,
	    lop(&b, LAnd, llt(&b, n, li(&b, 3)), lop(&b, LNot, lop(&b, LEq, n, li(&b, 1), NULL), NULL, NULL), NULL));
	LExpr *sum = lop(&b, LHAdd, lelem(&b, acc, li(&b, 0), li(&b, 1)), NULL, NULL);
	lstore(&b, y, n, NULL, NULL,
	       lsub(&b, sum, lsub(&b, lload(&b, x, 1, n, NULL, NULL), lconst(&b, (LType){F32, 1}, 2))));
	lelse(&b);
	lfail(&b, 0, lmessage(lm, "index {} is \"bad\"\n"), n);
	lend(&b);
	b.fn->leaf_noinline = true;
	b.fn->loc = new_loc(lm->m, (Loc){.file = "m.onnx", .node = "/a", .op = "Add", .opset = 13});
	return finish_kernel(&b);
}

static LFunc *build_caller(LModule *lm, LFunc *leaf)
{
	LB b = new_kernel(lm, "caller", "avx2");
	LBuf *x = lparam_buf(&b, "x y", F32, false), *y = lparam_buf(&b, "y", F32, true);
	LExpr *n = lparam(&b, "n");
	LBuf *tmp = llocal(&b, "tmp", F32, 64);
	LExpr *i = lfor(&b, ForParallel, li(&b, 0), lmin(&b, lmin(&b, n, li(&b, 7)), lmax(&b, n, li(&b, 2))), NULL);
	lcall(&b, leaf, 3,
	      (LArg[]){arg_buf(x, F32, lmul(&b, i, li(&b, 4)), n), arg_buf(tmp, F32, NULL, NULL), arg_e(n)});
	lcall(&b, leaf, 3, (LArg[]){arg_buf(tmp, F32, NULL, NULL), arg_buf(y, F32, i, NULL), arg_e(lmul(&b, n, i))});
	lend(&b);
	return finish_kernel(&b);
}

static LBuf *program_buf(LFunc *fn, Module *m, const char *name, DType elem, bool written)
{
	LBuf *buf = arena_alloc(m->arena, sizeof *buf);
	*buf = (LBuf){.name = name, .elem = elem, .written = written};
	fn->params[fn->nparam++] = (LArg){.buf = buf, .elem = elem};
	return buf;
}

static void build_program(LModule *lm, LFunc *caller)
{
	Module *m = lm->m;
	LFunc *fn = arena_alloc(m->arena, sizeof *fn);
	*fn = (LFunc){.name = "main.avx2", .program = true, .target = "avx2"};
	fn->params = arena_alloc(m->arena, 8 * sizeof *fn->params);
	program_buf(fn, m, "in0", F32, false);
	LBuf *out = program_buf(fn, m, "out0", F32, true), *ws = program_buf(fn, m, "ws", U8, true);
	LBuf *weights = program_buf(fn, m, "weights", U8, false);
	LB b = builder_at(lm, fn, &fn->body);
	LExpr *seq = ldim(&b, dim_sym(m, "seq"));
	fn->params[fn->nparam++] = (LArg){.e = seq, .elem = I64};
	LExpr *size = llet(&b, lmul(&b, seq, li(&b, 16)));
	LArg first[] = {arg_buf(weights, F32, li(&b, 0), li(&b, 64)), arg_buf(ws, F32, size, size), arg_e(seq)};
	static const Loc nodes[] = {{.node = "/a \"b\"", .op = "MatMul", .opset = 17}, {.op = "Relu"}, {.node = "/c"}};
	static const Loc *const locs[] = {&nodes[0], &nodes[1], &nodes[2]};
	lstep(&b);
	lstep_cost(&b, lmul(&b, seq, li(&b, 128)), ladd(&b, seq, li(&b, 64)), 3, locs);
	lcall(&b, caller, 3, first);
	lend(&b);
	LArg second[] = {arg_buf(ws, F32, size, NULL), arg_buf(out, F32, NULL, NULL), arg_e(seq)};
	lstep(&b);
	lcall(&b, caller, 3, second);
	lend(&b);
	PUSH(m->arena, lm->programs, lm->nprog, lm->capprog, fn);
}

static Module *build_loops(void)
{
	static const float w[64];
	Module *m = new_module("net", "m.onnx");
	const Dim *seq = dim_sym(m, "seq");
	m->stage = "lower";
	Value *x = new_param(m, "x", type_of(F32, 2, seq, dim_const(m, 8), NULL));
	Const *c = new_const(m, "w", type_of(F32, 2, dim_const(m, 8), dim_const(m, 8), NULL), w, sizeof w);
	Value *neg = build(m, &m->main->body, NULL, OpNeg, NULL, 1, &c->value, 0, NULL, NULL);
	Value *in[] = {x, neg, NULL};
	add_yield(m, &m->main->body, build(m, &m->main->body, NULL, OpLinear, NULL, 3, in, 0, NULL, NULL));
	m->main->results = arena_alloc(m->arena, sizeof *m->main->results);
	m->main->results[0] = "y";
	LModule *lm = new_lmodule(m);
	LB b = builder_at(lm, NULL, &lm->checks);
	lm->bind[0] = lop(&b, LInDim, li(&b, 0), li(&b, 0), NULL);
	LExpr *rows = lop(&b, LOutDim, li(&b, 0), li(&b, 0), NULL);
	lcheck(&b, lop(&b, LEq, rows, ldim(&b, seq), NULL), 3, "output 'y': {} is not {}", rows, ldim(&b, seq), NULL);
	lcheck(&b, lop(&b, LLe, ldim(&b, seq), li(&b, 99), NULL), 4, "too long", NULL, NULL, NULL);
	lm->outdims[0] = ldim(&b, seq);
	lm->outdims[1] = li(&b, 8);
	lm->workspace = ladd(&b, lmul(&b, ldim(&b, seq), li(&b, 64)), li(&b, 4096));
	PUSH(m->arena, lm->weights, lm->nweight, lm->capweight, neg);
	PUSH(m->arena, lm->weight_off, lm->nweight_off, lm->capweight_off, (int64_t)0);
	PUSH(m->arena, lm->weights, lm->nweight, lm->capweight, c->value);
	PUSH(m->arena, lm->weight_off, lm->nweight_off, lm->capweight_off, (int64_t)256);
	lm->weight_bytes = 512; /* 256 each */
	build_program(lm, build_caller(lm, build_leaf(lm)));
	m->loops = lm;
	return m;
}

static void test_loops(void)
{
	Module *m = build_loops();
	CHECK_STR(verify_loops(m->loops) ? verify_loops(m->loops) : "", "");
	char *text = module_text(m);
	check_round_trip(text);
	CHECK(has_line(text, "  bind %seq = indim(0, 0)\n"));
	CHECK(has_line(text,
	               "  check outdim(0, 0) == %seq else 3 \"output 'y': {} is not {}\" (outdim(0, 0), %seq)\n"));
	CHECK(has_line(text, "    256: @w\n"));
	CHECK(has_line(
		text,
		"kernel @leaf.avx2 target avx2 noinline(%x: f32 buf, %y: mut f32 buf, %n) loc \"/a\" Add-13 {\n"));
	CHECK(has_line(text, "bitcast(i32<16>, "));
	CHECK(has_line(text, "  fail 0, %n\n"));
	CHECK(has_line(text, "as f32"));
	CHECK(has_line(text, "program @main.avx2 target avx2(%in0: f32 buf, %out0: mut f32 buf, %ws: mut u8 buf, "
	                     "%weights: u8 buf, %seq) {\n"));
	free(text);
	free_module(m);
}

#define LHEAD                                                                                                        \
	HEAD "sym n in 0..9\nfunc @main(%x: f32[n]) -> (y: f32[n]) {\n  return %x\n}\n"                              \
	     "loops {\n  bind %n = indim(0, 0)\n  out 0 [%n]\n  workspace 0\n  message 0 \"bad {}\"\n  weights 0 "   \
	     "{\n  }\n}\n"
/* the kernel's first statement is line 16 */
#define KERNEL(body) LHEAD "kernel @k(%x: f32 buf, %y: mut f32 buf, %n) {\n" body "}\n"

static void test_loop_errors(void)
{
	static const struct {
		const char *text, *error;
	} table[] = {
		{KERNEL("  let %a = %b\n"), "t.ir:16:12: error: %b is not defined"},
		{KERNEL("  let %n = 1\n"), "t.ir:16:7: error: %n is already defined"},
		{KERNEL("  let %a = %n + f32(1)\n"), "t.ir:16:15: error: argument 2 of add is f32, expected i64"},
		{KERNEL("  let %a = f32(1) % f32(2)\n"), "t.ir:16:19: error: '%' takes no floating-point numbers"},
		{KERNEL("  let %a = sqrt(%n)\n"), "t.ir:16:12: error: sqrt does not take i64"},
		{KERNEL("  let %a = foo(%n)\n"), "t.ir:16:12: error: there is no function 'foo' in the loop IR"},
		{KERNEL("  let %a = 0.5\n"),
		 "t.ir:16:12: error: expected a number with its type, as f32(0.5), got '0.5'"},
		{KERNEL("  let %a = i8(300)\n"), "t.ir:16:15: error: an integer lies outside -128..127"},
		{KERNEL("  let %a = f32<8>(1)\n"), "t.ir:16:16: error: 16 lies outside 16..16"},
		{KERNEL("  let %a = hadd(f32(1))\n"), "t.ir:16:12: error: hadd takes 16 lanes, got f32"},
		{KERNEL("  let %a = %x[%n mask bool(1)]\n"),
		 "t.ir:16:12: error: an access to one lane has no stride and no mask"},
		{KERNEL("  store %y[%n] = %n\n"), "t.ir:16:18: error: stores i64, expected f32"},
		{KERNEL("  store %x[%n] = f32(1)\n"),
		 "t.ir: error: kernel @k: 'store %x[%n] = f32(1)': %x is not mut"},
		{KERNEL("  for %i in 0..%n {\n    let %a = %i\n  }\n  let %b = %a\n"),
		 "t.ir:19:12: error: %a is not visible here: its block has ended"},
		{KERNEL("  unroll for %i in 0..65 {\n  }\n"),
		 "t.ir: error: kernel @k: 'unroll for %i in 0..65': an unrolled loop runs at most 64 times"},
		{KERNEL("  unroll for %i in 0..%n {\n  }\n"), "t.ir: error: kernel @k: 'unroll for %i in 0..%n': the "
	                                                      "bounds of an unrolled loop must be constants"},
		{KERNEL("  for %i in 0..%n step 0 {\n  }\n"),
		 "t.ir: error: kernel @k: 'for %i in 0..%n step 0': the step must be positive"},
		{KERNEL("  tile %t: f32[2, 2]\n  unroll for %i in 0..3 {\n    set %t[%i, 0] = f32(0)\n  }\n"),
		 "t.ir: error: kernel @k: 'set %t[%i, 0] = f32(0)': %t[2, 0] lies outside of the tile"},
		{KERNEL("  tile %t: f32[2, 2]\n  let %a = %t[%n, 0]\n"),
		 "t.ir: error: kernel @k: 'let %a = %t[%n, 0]': an index of %t is not constant after unrolling"},
		{KERNEL("  tile %t: f32[64, 64]\n"),
		 "t.ir: error: kernel @k: 'tile %t: f32[64, 64]': a tile has at most 1024 elements"},
		{KERNEL("  local %b: f64[500000]\n"),
		 "t.ir: error: kernel @k: 'local %b: f64[500000]': a local buffer has at most 1048576 bytes"},
		{KERNEL("  fail 1, %n\n"), "t.ir: error: kernel @k: 'fail 1, %n': there are 1 messages"},
		{KERNEL("  step {\n  }\n"),
		 "t.ir: error: kernel @k: 'step': a step stands in a program only, and not in another step"},
		{KERNEL("  let %a = indim(0, 0)\n"),
		 "t.ir: error: kernel @k: 'let %a = indim(0, 0)': indim is not available here"},
		{KERNEL("  parallel for %i in 0..%n {\n    parallel for %j in 0..%n {\n    }\n  }\n"),
		 "t.ir: error: kernel @k: 'parallel for %j in 0..%n': a parallel loop inside of another"},
		{KERNEL("  call @l(%x)\n"), "t.ir:16:9: error: kernel @l is not defined above"},
		{KERNEL("") "kernel @l(%x: f32 buf) {\n  call @k(%x, %x, 1)\n}\n",
		 "t.ir: error: kernel @l: 'call @k(%x, %x, 1)': argument 2 is written, but %x is read only"},
		{KERNEL("") "kernel @l(%x: mut f32 buf) {\n  call @k(%x, %x)\n}\n",
		 "t.ir: error: kernel @l: 'call @k(%x, %x)': 2 arguments, expected 3"},
		{KERNEL("") "kernel @l(%x: mut u8 buf) {\n  call @k(%x as f32, %x as f32, 1)\n}\n",
		 "t.ir: error: kernel @l: 'call @k(%x as f32, %x as f32, 1)': argument 1 changes the element type of "
	         "%x"},
		{KERNEL("") "kernel @k() {\n}\n", "t.ir:17:9: error: @k is already defined"},
		{KERNEL("  what\n"), "t.ir:16:3: error: expected a statement or '}', got 'what'"},
		{LHEAD "program @main.avx2 target avx2(%in7: f32 buf) {\n}\n",
		 "t.ir: error: program @main.avx2: %in7: a program's buffers are in0.., out0.., ws and weights"},
		{LHEAD "program @main.avx2 target avx2(%q) {\n}\n",
		 "t.ir:15:32: error: a program's scalars are the symbols and threads; %q is neither"},
		{LHEAD "program @main.avx2 target avx2(%n) {\n  let %a = %n\n  step flop %a {\n  }\n}\n",
		 "t.ir: error: program @main.avx2: 'step flop %a': %a is not visible here"},
		{LHEAD "program @main.avx2 target avx2(%n) {\n  step bytes indim(0, 0) {\n  }\n}\n",
		 "t.ir: error: program @main.avx2: 'step bytes indim(0, 0)': indim is not available here"},
		{LHEAD "program @main.avx2 target avx2(%n) {\n  step flop f32(1) {\n  }\n}\n",
		 "t.ir:16:13: error: expected i64, got f32"},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		CHECK_STR(parse_error(table[i].text), table[i].error);
	CHECK_STR(parse_error(KERNEL("")), "");
	CHECK_STR(parse_error(LHEAD "program @main.avx2 target avx2(%n) {\n"
	                            "  step flop %n * 2 bytes 4 loc \"/a\" Add-13 loc _ Mul {\n  }\n}\n"), "");
	CHECK_STR(parse_error(KERNEL("  tile %t: f32[2, 2]\n  unroll for %i in 0..4 {\n    let %a = %i / 2\n"
	                             "    if %i < 2 {\n      set %t[%i, %a] = f32(0)\n    }\n  }\n")), "");
}

static void test_loop_limits(void)
{
	enum { N = 50000 };
	char *text = malloc(N + 1000);
	int n = sprintf(text, "%s", LHEAD "kernel @k(%n) {\n  let %a = ");
	memset(text + n, '(', N);
	text[n + N] = 0;
	CHECK_STR(parse_error(text), "t.ir:16:213: error: expected an expression nested less deeply, got '('");
	for (int i = 0; i < N; i += 2)
		memcpy(text + n + i, "1+", 2);
	CHECK_STR(parse_error(text), "t.ir:16:4011: error: the expression is too deep; bind parts of it with let");
	/* as deep as it may be: the other walks must manage, too */
	for (int i = 0; i < 1990; i++)
		memcpy(text + n + 5 * i, "%n * ", 5);
	strcpy(text + n + 5 * 1990, "1\n}\n");
	CHECK_STR(parse_error(text), "");
	Module *m = parse_module("t.ir", text);
	char *again = module_text(m);
	CHECK(strstr(again, text + n));
	free(again);
	free_module(m);
	for (int i = 0; i + 5 < N; i += 5)
		memcpy(text + n - 9 + i, "if 1{", 5);
	CHECK(strstr(parse_error(text), "expected fewer nested blocks, got '{'"));
	free(text);
}

int main(void)
{
	test_tensor();
	test_files();
	test_errors();
	test_limits();
	test_loops();
	test_loop_errors();
	test_loop_limits();
	return test_end("text");
}
