/* ir_test.c - arena, diagnostics, files, and the builders: uses, replacement, erasure, names, constness. */
#include "../ir/ir.h"

#include "test.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static Module *m;
static Block *body;

static Type f32_vector(int64_t n)
{
	return (Type){F32, 1, {dim_const(m, n)}};
}

static void begin(void)
{
	m = new_module("t", "t.onnx");
	body = &m->main->body;
}

static Value *op1(Op op, Value *x)
{
	return build(m, body, NULL, op, NULL, 1, &x, 0, NULL, NULL);
}

static Value *op2(Op op, Value *a, Value *b)
{
	return build(m, body, NULL, op, NULL, 2, (Value *[]){a, b}, 0, NULL, NULL);
}

/* ---- the invariant: uses are exactly the operands and yields ---------------------------------------------------- */

static int count_in_block(const Block *b, const Value *v)
{
	int n = 0;
	for (int i = 0; i < b->nyield; i++)
		n += b->yields[i] == v;
	for (const Node *node = b->first; node; node = node->next) {
		for (int i = 0; i < node->nin; i++)
			n += node->in[i] == v;
		if (node->body)
			n += count_in_block(node->body, v);
	}
	return n;
}

static bool uses_are_right(const Value *v)
{
	for (int i = 0; i < v->nuse; i++) {
		const Use *u = &v->uses[i];
		if ((u->node ? u->node->in[u->index] : u->block->yields[u->index]) != v)
			return false;
		for (int j = 0; j < i; j++)
			if (u->node == v->uses[j].node && u->block == v->uses[j].block && u->index == v->uses[j].index)
				return false;
	}
	return v->nuse == count_in_block(body, v);
}

static bool block_is_right(const Block *b)
{
	const Node *prev = NULL;
	for (const Node *n = b->first; n; prev = n, n = n->next) {
		if (n->prev != prev || n->block != b || n->dead)
			return false;
		for (int i = 0; i < n->nout; i++)
			if (!uses_are_right(n->out[i]) || n->out[i]->def != n || n->out[i]->index != i)
				return false;
		if (n->body && !block_is_right(n->body))
			return false;
	}
	return b->last == prev;
}

static bool module_is_right(void)
{
	bool right = block_is_right(body);
	for (int i = 0; i < m->main->nparam; i++)
		right &= uses_are_right(m->main->params[i]);
	for (int i = 0; i < m->nconst; i++)
		right &= uses_are_right(m->consts[i]->value);
	return right;
}

static void test_uses(void)
{
	begin();
	Value *x = new_param(m, "x", f32_vector(4)), *y = new_param(m, "y", f32_vector(4));
	Value *square = op2(OpMul, x, x), *sum = op2(OpAdd, square, y), *out = op1(OpRelu, sum);
	add_yield(m, body, out);
	add_yield(m, body, sum);
	CHECK(module_is_right());
	CHECK_EQ(x->nuse, 2);
	CHECK(only_user(x) == square->def);
	CHECK(only_user(square) == sum->def);
	CHECK(only_user(sum) == NULL);
	CHECK(only_user(out) == NULL);
	CHECK(is_output(out) && is_output(sum) && !is_output(square));

	set_in(m, square->def, 1, y);
	CHECK(module_is_right());
	CHECK(only_user(x) == square->def && !only_user(y));
	set_yield(m, body, 1, square);
	CHECK(!is_output(sum) && is_output(square) && module_is_right());

	Value *twice = build(m, body, out->def, OpAdd, NULL, 2, (Value *[]){sum, sum}, 0, NULL, NULL);
	CHECK(twice->def->next == out->def && twice->def->prev == sum->def);
	set_in(m, out->def, 0, twice);
	replace_uses(m, sum, y);
	CHECK_EQ(sum->nuse, 0);
	CHECK(twice->def->in[0] == y && twice->def->in[1] == y && module_is_right());
	Node *gone = sum->def;
	erase_node(gone);
	CHECK(gone->dead && module_is_right());

	move_before(out->def, body, body->first);
	CHECK(body->first == out->def && module_is_right());
	move_before(out->def, body, NULL);
	CHECK(body->last == out->def && module_is_right());
	move_before(out->def, body, out->def);
	CHECK(body->last == out->def && module_is_right());
	free_module(m);
}

static void test_group(void)
{
	begin();
	Value *x = new_param(m, "x", f32_vector(4)), *y = new_param(m, "y", f32_vector(4));
	Node *group = new_node(m, body, NULL, OpGroup, NULL, 0, NULL);
	CHECK(!set_type(m, group, NULL));
	Value *in = build(m, group->body, NULL, OpAdd, NULL, 2, (Value *[]){x, y}, 0, NULL, NULL);
	Value *relu = build(m, group->body, NULL, OpRelu, NULL, 1, &in, 0, NULL, NULL);
	add_yield(m, group->body, relu);
	add_yield(m, group->body, in);
	Value *r0 = add_result(m, group, relu->type), *r1 = add_result(m, group, in->type);
	CHECK(group->nout == 2 && r1->index == 1 && r0->def == group && group->body->owner == group);
	add_yield(m, body, op2(OpMul, r0, r1));
	CHECK(module_is_right());
	CHECK(is_output(relu) && is_output(in) && !is_output(r0));
	CHECK(only_user(x) == in->def);

	replace_uses(m, y, x);
	CHECK(module_is_right() && y->nuse == 0 && x->nuse == 2);
	move_before(relu->def, body, group);
	CHECK(relu->def->block == body && module_is_right());
	move_before(relu->def, group->body, NULL);
	set_yield(m, body, 0, x);
	erase_node(body->last);
	erase_node(group);
	CHECK(group->dead && in->def->dead && relu->def->dead);
	CHECK(!body->first && !body->last && x->nuse == 1 && module_is_right());
	free_module(m);
}

static uint64_t seed = 1;

static int pick(int n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (int)((seed >> 33) % (uint64_t)n);
}

/* Operands are always older than their user, so the graph stays free of cycles. */
static void test_random_edits(void)
{
	enum { Count = 200 };
	Value *values[Count];
	begin();
	for (int i = 0; i < Count; i++) {
		if (i < 4)
			values[i] = i & 1 ? new_param(m, NULL, f32_vector(4))
			                  : new_const(m, NULL, f32_vector(4), "0123456789abcde", 16)->value;
		else
			values[i] = op2(OpAdd, values[pick(i)], values[pick(i)]);
	}
	for (int round = 0; round < 2000; round++) {
		int at = 4 + pick(Count - 4);
		if (pick(8))
			set_in(m, values[at]->def, pick(2), values[pick(at)]);
		else if (pick(2))
			replace_uses(m, values[at], values[pick(at)]);
		else
			add_yield(m, body, values[at]);
		if (round % 100)
			continue;
		CHECK(module_is_right());
		for (int i = 4; i < Count; i++)
			CHECK_EQ(is_const(values[i]), is_const(values[i]->def->in[0]) && is_const(values[i]->def->in[1]));
	}
	for (int i = body->nyield - 1; i >= 0; i--)
		set_yield(m, body, i, values[0]);
	for (int i = Count - 1; i >= 4; i--)
		erase_node(values[i]->def);
	CHECK(!body->first && module_is_right());
	free_module(m);
}

/* ---- constants, names, attributes ------------------------------------------------------------------------------- */

static void test_const(void)
{
	double x;
	int64_t same[3] = {7, 7, 7}, ramp[3] = {7, 8, 7}, big = INT64_MAX;
	begin();
	CHECK(value_as_real(const_scalar(m, scalar_of_real(F32, 0.5))->value, &x) && x == 0.5);
	CHECK(value_as_real(const_scalar(m, scalar_of_real(I8, 1e9))->value, &x) && x == 127);
	CHECK(value_as_real(const_scalar(m, scalar_of_real(U8, -3))->value, &x) && x == 0);
	CHECK(value_as_real(const_scalar(m, scalar_of_real(Bool, 2))->value, &x) && x == 1);
	CHECK(value_as_real(const_scalar(m, scalar_of_real(I16, -5))->value, &x) && x == -5);
	CHECK(value_as_real(const_scalar(m, scalar_of_real(I32, -5.9))->value, &x) && x == -5);
	CHECK(value_as_real(const_scalar(m, scalar_of_real(F64, 1e300))->value, &x) && x == 1e300);
	CHECK(*(const int64_t *)const_scalar(m, scalar_of_real(I64, 1e300))->data == INT64_MAX);
	CHECK(!value_as_real(const_i64(m, 1, &big)->value, &x));
	CHECK(value_as_real(const_i64(m, 3, same)->value, &x) && x == 7);
	CHECK(!value_as_real(const_i64(m, 3, ramp)->value, &x));
	CHECK(!value_as_real(const_i64(m, 0, NULL)->value, &x));
	CHECK_EQ(const_i64(m, 3, ramp)->bytes, 24);

	Value *p = new_param(m, "x", f32_vector(1)), *c = const_scalar(m, scalar_of_real(F32, 2))->value;
	CHECK(!value_as_real(p, &x));
	Value *a = op2(OpAdd, c, c), *b = op1(OpNeg, a), *d = op2(OpMul, b, p), *e = op1(OpExp, b);
	CHECK(is_const(c) && is_const(a) && is_const(b) && is_const(e) && !is_const(d) && !is_const(p));
	set_in(m, a->def, 1, p);
	CHECK(!is_const(a) && !is_const(b) && !is_const(e));
	replace_uses(m, p, c);
	CHECK(is_const(a) && is_const(b) && is_const(e) && is_const(d));
	Type symbolic = {F32, 1, {dim_sym(m, "seq")}};
	CHECK(!is_const(build(m, body, NULL, OpExpand, NULL, 1, &c, 0, NULL, &symbolic)));

	/* large ones stay for the run, but sums of weights, which are a known number of times larger */
	Type taps = {F32, 4, {dim_const(m, 3), dim_const(m, 3), dim_const(m, 600), dim_const(m, 1200)}}, more = taps;
	more.dims[2] = dim_const(m, 1200);
	Value *w = build(m, body, NULL, OpExpand, NULL, 1, &c, 0, NULL, &taps);
	Attr tile = mk_int(Attr_tile, 4);
	CHECK(is_const(w) && is_const(build(m, body, NULL, OpWinogradWeights, NULL, 1, &w, 1, &tile, NULL)));
	CHECK(!is_const(build(m, body, NULL, OpExpand, NULL, 1, &c, 0, NULL, &more)));
	free_module(m);
}

static void test_names(void)
{
	begin();
	Type t = f32_vector(1);
	CHECK_STR(new_const(m, "w", t, "abc", 4)->name, "w");
	CHECK_STR(new_const(m, "w", t, "abc", 4)->name, "w_1");
	CHECK_STR(new_const(m, "w", t, "abc", 4)->name, "w_2");
	CHECK_STR(new_const(m, "w_1", t, "abc", 4)->name, "w_1_1");
	CHECK_STR(new_const(m, "enc/layer:0.w", t, "abc", 4)->name, "enc_layer_0.w");
	CHECK_STR(new_const(m, "12", t, "abc", 4)->name, "_12");
	CHECK_STR(new_const(m, "\xc3\xa9", t, "abc", 4)->name, "__");
	CHECK_STR(new_const(m, NULL, t, "abc", 4)->name, "c");
	CHECK_STR(new_const(m, "", t, "abc", 4)->name, "c_1");
	CHECK_STR(new_const(m, "c_2", t, "abc", 4)->name, "c_2");
	CHECK_STR(new_const(m, NULL, t, "abc", 4)->name, "c_3");
	CHECK_STR(new_param(m, "w", t)->name, "w");
	CHECK_STR(new_param(m, "w", t)->name, "w_1");
	CHECK_STR(new_param(m, NULL, t)->name, "arg");
	CHECK_EQ(m->main->nparam, 3);
	CHECK_EQ(m->main->params[2]->index, 2);
	char longest[1000];
	memset(longest, 'a', sizeof longest);
	longest[999] = 0;
	CHECK_EQ(strlen(new_const(m, longest, t, "abc", 4)->name), 200);
	CHECK_EQ(strlen(new_const(m, longest, t, "abc", 4)->name), 202);
	for (int i = 0; i < 50000; i++)
		new_const(m, i & 1 ? "w" : NULL, t, "abc", 4);
	CHECK_STR(m->consts[m->nconst - 1]->name, "w_25002");
	free_module(m);
}

static void test_attrs(void)
{
	const int64_t *ints, perm[2] = {1, 0};
	const Dim *const *dims;
	begin();
	Type t = {F32, 2, {dim_const(m, 3), dim_const(m, 4)}};
	Value *x = new_param(m, "x", t);
	Value *y = build(m, body, NULL, OpTranspose, NULL, 1, &x, 1, (Attr[]){mk_ints(m, Attr_perm, 2, perm)}, NULL);
	CHECK_STR(type_text(m, &y->type), "f32[4, 3]");
	CHECK_EQ(attr_ints(y->def, Attr_perm, &ints), 2);
	CHECK(ints != perm && ints[0] == 1);
	Node *n = new_node(m, body, NULL, OpNorm, NULL, 1, &x);
	CHECK_EQ(n->nin, 3);
	set_attr(m, n, mk_float(Attr_eps, 1e-6));
	set_attr(m, n, mk_int(Attr_axis, 1));
	CHECK(n->nattr == 2 && n->attrs[0].id == Attr_axis && attr_float(n, Attr_eps) == 1e-6);
	set_attr(m, n, mk_float(Attr_eps, 1e-5));
	CHECK(n->nattr == 1 && attr_float(n, Attr_eps) == 1e-5 && !find_attr(n, Attr_eps));
	CHECK(!set_type(m, n, NULL));
	CHECK_EQ(attr_int(n, Attr_act), OpIdentity);
	CHECK(dim_equals(attr_dim(m, n, Attr_step), 1) && dim_equals(attr_dim(m, n, Attr_base), 0));
	set_attr(m, n, mk_dim(Attr_step, dim_sym(m, "s")));
	CHECK_STR(set_type(m, n, NULL), "has no attribute 'step'");
	set_attr(m, n, mk_dim(Attr_step, dim_const(m, 1)));
	CHECK(!find_attr(n, Attr_step));
	CHECK_EQ(attr_dims(n, Attr_starts, &dims), 0);
	set_attr(m, n, mk_dims(m, Attr_starts, 1, (const Dim *[]){dim_sym(m, "s")}));
	CHECK(attr_dims(n, Attr_starts, &dims) == 1 && dims[0] == dim_sym(m, "s"));
	CHECK_STR(set_type(m, new_node(m, body, NULL, OpAdd, NULL, 1, &x), NULL), "operand 'b' is missing");
	CHECK_STR(set_type(m, new_node(m, body, NULL, OpNeg, NULL, 2, (Value *[]){x, x}), NULL), "takes 1 operands, not 2");
	CHECK_STR(set_type(m, new_node(m, body, NULL, OpConcat, NULL, 0, NULL), NULL), "needs at least one operand");
	CHECK_STR(set_type(m, new_node(m, body, NULL, OpReshape, NULL, 1, &x), NULL), "needs the type of its result");
	free_module(m);
}

static void test_tables(void)
{
	Op op;
	DType dtype;
	for (int i = 0; i < NOps; i++) {
		CHECK(find_op(ops[i].text, &op) && (int)op == i && ops[i].shape);
		for (int k = 0; k < ops[i].nin; k++)
			CHECK(ops[i].in[k] && strncmp(ops[i].in[k], "OPT_", 4));
	}
	CHECK(!find_op("none", &op) && !find_dtype("f8", &dtype));
	CHECK(find_dtype("i64", &dtype) && dtype == I64 && dtypes[I64].bytes == 8 && dtypes[I64].onnx == 7);
	CHECK(ops[OpConcat].nin == -1 && ops[OpReshape].given && !ops[OpAdd].given);
	CHECK_STR(ops[OpNorm].in[1], "scale");
	CHECK(ops[OpNorm].optional[1] && ops[OpNorm].optional[2] && !ops[OpNorm].optional[0]);
	CHECK(ops[OpAttention].optional[3] && ops[OpAdd].flags == Commutes && ops[OpConv].cls == ClsWindow);
	CHECK_EQ(ops[OpMatMul].attrs, (uint64_t)1 << Attr_trans_a | (uint64_t)1 << Attr_trans_b);
	CHECK_STR(attr_infos[Attr_gate].words, "second|first");
	CHECK(attr_infos[Attr_group].number == 1 && attr_infos[Attr_starts].kind == AttrDims);
}

/* ---- arena, files, diagnostics ---------------------------------------------------------------------------------- */

static void test_arena(void)
{
	Arena *a = new_arena();
	size_t sizes[] = {0, 1, 15, 16, 17, 1000, 100000, 5000000};
	for (int i = 0; i < 8; i++) {
		char *p = arena_alloc(a, sizes[i]);
		bool zero = p != NULL;
		for (size_t k = 0; k < sizes[i]; k++)
			zero &= !p[k];
		CHECK(zero && (uintptr_t)p % 16 == 0);
		memset(p, 0xff, sizes[i]);
	}
	int *items = NULL, count = 0, cap = 0, sum = 0;
	for (int i = 0; i < 1000; i++)
		PUSH(a, items, count, cap, i);
	for (int i = 0; i < count; i++)
		sum += items[i];
	CHECK_EQ(count, 1000);
	CHECK_EQ(sum, 499500);
	CHECK_STR(arena_printf(a, "%s-%d", arena_strdup(a, "abc"), 7), "abc-7");
	free_arena(a);
	free_arena(NULL);
}

static void check_file(size_t bytes)
{
	char path[] = "/tmp/dcc-ir-test-XXXXXX";
	int fd = mkstemp(path);
	char *data = malloc(bytes + 1);
	memset(data, 'x', bytes);
	CHECK(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes);
	close(fd);
	Arena *a = new_arena();
	size_t got = 1;
	const char *mapped = map_file(a, path, &got);
	CHECK(mapped && got == bytes && !mapped[bytes] && !memcmp(mapped, data, bytes));
	free_arena(a);
	free(data);
	unlink(path);
}

static void test_files(void)
{
	size_t bytes;
	long page = sysconf(_SC_PAGESIZE);
	check_file(0);
	check_file(1);
	check_file(page - 1);
	check_file(page);
	check_file(page + 1);
	check_file(4 * page);
	Arena *a = new_arena();
	CHECK(!map_file(a, "/nonexistent/file", &bytes) && errno == ENOENT);
	CHECK(!map_file(a, "/tmp", &bytes) && errno == EISDIR);
	CHECK(!map_file(a, "/dev/null", &bytes) && errno == EINVAL);
	free_arena(a);
}

static void test_hash(void)
{
	char text[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	uint64_t seen[64];
	for (int n = 0; n <= 36; n++) {
		seen[n] = hash_bytes(text, n, 0);
		for (int k = 0; k < n; k++)
			CHECK(seen[n] != seen[k]);
	}
	CHECK(hash_bytes(text + 1, 8, 0) == hash_bytes("12345678", 8, 0));
	CHECK(hash_bytes(text, 8, 1) != hash_bytes(text, 8, 2));
	CHECK(hash_bytes("\0\0", 1, 0) != hash_bytes("\0\0", 2, 0));
}

static char message[512];

static void run_fatal(void (*act)(void))
{
	jmp_buf out;
	memset(message, 0, sizeof message);
	diag_stream = fmemopen(message, sizeof message, "w");
	diag_recover = &out;
	if (!setjmp(out))
		act();
	diag_recover = NULL;
	fclose(diag_stream);
	diag_stream = NULL;
}

static void fail_onnx(void)
{
	fatal_at(&(Loc){.file = "m.onnx", .node = "a\nb", .op = "Conv", .opset = 13}, "bad %s", "pads");
}

static void fail_text(void)
{
	fatal_at(&(Loc){.file = "m.ir", .line = 3, .col = 8}, "bad");
}

static void report_twice(void)
{
	error_at(&(Loc){.file = "m.onnx"}, "one");
	warn_at(&(Loc){.file = "m.onnx", .node = "n", .op = "Add"}, "two");
	exit_if_errors();
	fatal_at(NULL, "not reached");
}

static void fail_bare(void)
{
	exit_if_errors();
	fatal_at(NULL, "bare");
}

static void build_wrong(void)
{
	Value *x = new_param(m, "x", f32_vector(3));
	build(m, body, NULL, OpAdd, &(Loc){.file = "m.ir", .line = 2, .col = 1}, 1, &x, 0, NULL, NULL);
}

/* What could drive a terminal or hide in a name is shown as an escape; all other text stays as it is. */
static void test_safe_names(void)
{
	static const struct {
		const char *name, *shown;
	} cases[] = {
		{"/layers.0/MatMul_1", NULL}, {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", NULL}, {"", NULL},
		{"a\x1b[2Jb\x7f", "a\\x1b[2Jb\\x7f"}, {"\xc2\x9b" "1m", "\\x9b1m"}, {"x\xe2\x80\xaey", "x\\u202ey"},
		{"\xe2\x81\xa6", "\\u2066"}, {"\xe2\x80\x8b", "\\u200b"}, {"\xef\xbb\xbf", "\\ufeff"},
		{"\xff\xc3", "\\xff\\xc3"}, {"\xc0\xaf", "\\xc0\\xaf"} /* overlong */,
		{"\xed\xa0\x80", "\\xed\\xa0\\x80"} /* a surrogate */, {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
	};
	Arena *a = new_arena();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *shown = safe_name(a, cases[i].name);
		CHECK_STR(shown, cases[i].shown ? cases[i].shown : cases[i].name);
		CHECK(cases[i].shown || shown == cases[i].name);
	}
	free_arena(a);
}

static void test_diag(void)
{
	char kept[] = "/tmp/dcc-ir-test-XXXXXX", removed[] = "/tmp/dcc-ir-test-XXXXXX";
	close(mkstemp(kept));
	close(mkstemp(removed));
	diag_remove_on_error(kept);
	diag_remove_on_error(removed);
	diag_keep(kept);
	run_fatal(fail_onnx);
	CHECK_STR(message, "m.onnx: node 'a\\x0ab' (Conv-13): bad pads\n");
	CHECK(!access(kept, F_OK) && access(removed, F_OK));
	unlink(kept);
	run_fatal(fail_text);
	CHECK_STR(message, "m.ir:3:8: error: bad\n");
	CHECK_EQ(error_count(), 2);
	diag_reset();
	run_fatal(report_twice);
	CHECK_STR(message, "m.onnx: error: one\nm.onnx: node 'n' (Add): warning: two\n");
	diag_reset();
	run_fatal(fail_bare);
	CHECK_STR(message, "error: bare\n");
	begin();
	run_fatal(build_wrong);
	CHECK_STR(message, "m.ir:2:1: error: add: operand 'b' is missing\n");
	free_module(m);
	diag_reset();
}

static void test_scale(void)
{
	enum { Count = 20000 };
	begin();
	Value *c = const_scalar(m, scalar_of_real(F32, 1))->value, *v = c;
	for (int i = 0; i < Count; i++)
		v = op2(OpAdd, v, c);
	add_yield(m, body, v);
	CHECK(is_const(v));
	set_in(m, body->first, 0, new_param(m, "x", (Type){F32, 0, {NULL}}));
	CHECK(!is_const(v));
	set_yield(m, body, 0, c);
	while (body->last)
		erase_node(body->last);
	CHECK_EQ(c->nuse, 1);
	free_module(m);
	free_module(NULL);
}

/* Another process hashes in another way, so names cannot be made to collide. */
static void test_table_key(const char *self)
{
	char command[4096], hash[2][32] = {"", ""};
	snprintf(command, sizeof command, "'%s' hash", self);
	for (int i = 0; i < 2; i++) {
		FILE *out = popen(command, "r");
		CHECK(out && fgets(hash[i], sizeof hash[i], out));
		CHECK(out && !pclose(out));
	}
	CHECK(strcmp(hash[0], hash[1]) != 0);
}

/* ir_test; ir_test hash: what test_table_key reads */
int main(int argc, char **argv)
{
	if (argc > 1) {
		printf("%llx\n", (unsigned long long)table_hash("name", 4, 0));
		return 0;
	}
	test_table_key(argv[0]);
	test_uses();
	test_group();
	test_random_edits();
	test_const();
	test_names();
	test_attrs();
	test_tables();
	test_arena();
	test_files();
	test_hash();
	test_safe_names();
	test_diag();
	test_scale();
	return test_end("ir");
}
