/* attention_test.c - ONNX's Attention and FlexAttention against plain loops that follow the standard's text, one query at a time: random
 * attributes, operands, masks and sizes (0 too), as numbers or symbols, evaluated as imported, and as loop IR.
 *
 * usage: attention_test [first seed [count]]
 */
#include "../backend/backend.h"
#include "../ir/loop.h"
#include "../passes/passes.h"
#include "chance.h"
#include "onnx_build.h"
#include "test.h"

#include <math.h>

enum { MaxExtent = 6, MaxInputs = 7, MaxWanted = 4 };

/* [batch, heads, tokens, width] */
typedef struct Grid {
	int n[4];
	float *v;
} Grid;

/* One node and its operands; the lengths, and outputs, are those of the standard. */
typedef struct Case {
	int opset, batch, heads, kv_heads, queries, fresh, past, width, v_width, mask_rank, mask_n[4], lengths[MaxExtent];
	bool flex, packed, symbolic, same, causal, cached, masked, bool_mask, lengthy; /* packed: of rank 3 */
	int mode, left, right, cap;
	float scale; /* 0: not stated */
	Grid q, k, v, old_k, old_v, all_k, all_v, y, scores;
	float *mask;
} Case;

static float *at(const Grid *g, int b, int h, int t, int w)
{
	return &g->v[((b * g->n[1] + h) * g->n[2] + t) * g->n[3] + w];
}

static int numel(const int *n, int rank)
{
	int all = 1;
	for (int i = 0; i < rank; i++)
		all *= n[i];
	return all;
}

static Grid new_grid(Arena *a, int n0, int n1, int n2, int n3)
{
	Grid g = {{n0, n1, n2, n3}, NULL};
	g.v = arena_alloc(a, (size_t)(numel(g.n, 4) + 1) * sizeof *g.v);
	for (int i = 0; i < numel(g.n, 4); i++)
		g.v[i] = uniform();
	return g;
}

/* ---- expected ------------------------------------------------------------------------------------------------------------- */

static void join(Grid *all, const Grid *old, const Grid *new)
{
	for (int b = 0; b < all->n[0]; b++)
		for (int h = 0; h < all->n[1]; h++)
			for (int t = 0; t < all->n[2]; t++)
				for (int w = 0; w < all->n[3]; w++)
					*at(all, b, h, t, w) = t < old->n[2] ? *at(old, b, h, t, w) : *at(new, b, h, t - old->n[2], w);
}

/* What is added to the score of a key: -inf where it is not seen. */
static double bias(const Case *c, int b, int h, int i, int j)
{
	int full[4] = {b, h, i, j}, place = i + (c->lengthy ? c->lengths[b] - c->queries : c->past), index = 0;
	double x = 0;
	for (int d = 0; d < c->mask_rank; d++) {
		int k = full[4 - c->mask_rank + d], n = c->mask_n[d];
		if (d == c->mask_rank - 1 && c->opset >= 24 && k >= n)
			return -INFINITY; /* a short mask */
		index = index * n + (n == 1 ? 0 : k);
	}
	if (c->masked)
		x = c->bool_mask ? (c->mask[index] != 0 ? 0 : -INFINITY) : c->mask[index];
	bool seen = (!c->causal || j <= place) && (c->left < 0 || j >= place - c->left) && (c->right < 0 || j <= place + c->right);
	return seen && (!c->lengthy || j < c->lengths[b]) ? x : -INFINITY;
}

static void expect_row(Case *c, int b, int h, int i)
{
	int keys = c->past + c->fresh, kv = h / (c->heads / c->kv_heads);
	double s[2 * MaxExtent], most = -INFINITY, sum = 0, scale = c->scale != 0 ? c->scale : 1 / sqrt((double)c->width);
	for (int j = 0; j < keys; j++) {
		double dot = 0;
		for (int w = 0; w < c->width; w++)
			dot += *at(&c->q, b, h, i, w) * *at(&c->all_k, b, kv, j, w) * scale;
		if (c->mode == 0)
			*at(&c->scores, b, h, i, j) = (float)dot;
		dot = c->cap ? c->cap * tanh(dot / c->cap) : dot;
		if (c->mode == 1)
			*at(&c->scores, b, h, i, j) = (float)dot;
		s[j] = dot + bias(c, b, h, i, j);
		if (c->mode == 2)
			*at(&c->scores, b, h, i, j) = (float)s[j];
		most = fmax(most, s[j]);
	}
	for (int j = 0; j < keys; j++)
		sum += s[j] = most == -INFINITY ? 0 : exp(s[j] - most);
	for (int j = 0; j < keys && c->mode == 3; j++)
		*at(&c->scores, b, h, i, j) = (float)(sum != 0 ? s[j] / sum : 0);
	for (int w = 0; w < c->v_width; w++) {
		double y = 0;
		for (int j = 0; j < keys; j++)
			y += sum != 0 ? s[j] / sum * *at(&c->all_v, b, kv, j, w) : 0;
		*at(&c->y, b, h, i, w) = (float)(c->flex ? 2 * y : y);
	}
}

static void expect(Case *c)
{
	join(&c->all_k, &c->old_k, &c->k);
	join(&c->all_v, &c->old_v, &c->v);
	for (int b = 0; b < c->batch; b++)
		for (int h = 0; h < c->heads; h++)
			for (int i = 0; i < c->queries; i++)
				expect_row(c, b, h, i);
}

/* ---- made ------------------------------------------------------------------------------------------------------------------ */

static void make_mask(Arena *a, Case *c)
{
	int full[4] = {c->batch, c->heads, c->queries, c->past + c->fresh};
	c->masked = pick(2);
	c->mask_rank = c->masked ? 1 + pick(4) : 0;
	c->bool_mask = pick(2);
	for (int d = 0; d < c->mask_rank; d++) {
		int n = full[4 - c->mask_rank + d];
		c->mask_n[d] = d < c->mask_rank - 1 && !pick(3) ? 1 : n;
	}
	if (c->masked && c->opset >= 24 && !pick(3)) /* it may be shorter, but not than the lengths */
		c->mask_n[c->mask_rank - 1] = pick(full[3] + 1);
	int n = numel(c->mask_n, c->mask_rank);
	c->mask = arena_alloc(a, (size_t)(n + 1) * sizeof *c->mask);
	for (int i = 0; i < n; i++)
		c->mask[i] = c->bool_mask ? (float)pick(2) : !pick(4) ? -INFINITY : 2 * uniform();
}

/* FlexAttention has no masks; its graphs are tanh for the scores and p + p for the probabilities. */
static void make_flexible(Case *c)
{
	c->flex = true;
	c->cap = 1;
	c->packed = c->causal = c->cached = c->masked = c->lengthy = false;
	c->mask_rank = c->past = 0;
	c->left = c->right = c->mode = -1;
}

static void make_case(Arena *a, Case *c)
{
	*c = (Case){.opset = 23 + pick(6), .left = -1, .right = -1};
	c->kv_heads = 1 + pick(3);
	c->heads = c->kv_heads * (1 + pick(3));
	c->batch = pick(3);
	c->queries = pick(MaxExtent);
	c->same = pick(2);
	c->fresh = c->same ? c->queries : pick(MaxExtent);
	c->cached = pick(2);
	c->past = c->cached ? pick(4) : 0;
	c->width = 1 + pick(5);
	c->v_width = 1 + pick(5);
	c->packed = pick(2);
	c->symbolic = pick(2);
	c->causal = pick(2);
	c->lengthy = c->opset >= 24 && !c->cached && pick(2);
	c->mode = pick(5) - 1; /* -1: not wanted */
	c->cap = pick(3) ? 0 : 1 + pick(2);
	c->scale = pick(2) ? 0 : 0.5f + 0.4f * uniform();
	if (c->opset >= 25 && pick(2)) {
		c->left = pick(4) - 1;
		c->right = pick(4) - 1;
	}
	make_mask(a, c);
	if (!pick(8))
		make_flexible(c);
	c->q = new_grid(a, c->batch, c->heads, c->queries, c->width);
	c->k = new_grid(a, c->batch, c->kv_heads, c->fresh, c->width);
	c->v = new_grid(a, c->batch, c->kv_heads, c->fresh, c->v_width);
	c->old_k = new_grid(a, c->batch, c->kv_heads, c->past, c->width);
	c->old_v = new_grid(a, c->batch, c->kv_heads, c->past, c->v_width);
	c->all_k = new_grid(a, c->batch, c->kv_heads, c->past + c->fresh, c->width);
	c->all_v = new_grid(a, c->batch, c->kv_heads, c->past + c->fresh, c->v_width);
	c->y = new_grid(a, c->batch, c->heads, c->queries, c->v_width);
	c->scores = new_grid(a, c->batch, c->heads, c->queries, c->past + c->fresh);
	for (int b = 0; b < c->batch; b++)
		c->lengths[b] = pick(c->fresh + 1);
}

/* An extent as the model states it. */
static const char *extent(Arena *a, const Case *c, const char *symbol, int n)
{
	return c->symbolic ? symbol : arena_printf(a, "%d", n);
}

/* An input of the graph, the heads packed behind the tokens if asked; its value goes to *t. */
static void add_grid(Builder *b, const Case *c, const char *name, const Grid *g, const char *symbols, bool packed, Tensor *t)
{
	Arena *a = b->arena;
	const char *d[4];
	for (int i = 0; i < 4; i++)
		d[i] = extent(a, c, arena_printf(a, "%c", symbols[i]), g->n[i]);
	*t = (Tensor){.dtype = F32, .rank = 4, .dims = {g->n[0], g->n[1], g->n[2], g->n[3]}, .data = g->v};
	if (!packed) {
		add_input(b, name, 1, arena_printf(a, "%s,%s,%s,%s", d[0], d[1], d[2], d[3]));
		return;
	}
	const char *channels = extent(a, c, arena_printf(a, "%c%c", symbols[1], symbols[3]), g->n[1] * g->n[3]);
	add_input(b, name, 1, arena_printf(a, "%s,%s,%s", d[0], d[2], channels));
	*t = (Tensor){.dtype = F32, .rank = 3, .dims = {g->n[0], g->n[2], g->n[1] * g->n[3]}};
	float *v = t->data = arena_alloc(a, (size_t)(numel(g->n, 4) + 1) * sizeof *v);
	for (int i = 0; i < g->n[0]; i++)
		for (int j = 0; j < g->n[2]; j++)
			for (int h = 0; h < g->n[1]; h++)
				for (int w = 0; w < g->n[3]; w++)
					*v++ = *at(g, i, h, j, w);
}

static void add_mask(Builder *b, const Case *c, Tensor *t)
{
	Arena *a = b->arena;
	int full[4] = {c->batch, c->heads, c->queries, c->past + c->fresh}, n = numel(c->mask_n, c->mask_rank);
	const char *symbols[4] = {"b", "h", "t", c->cached ? "p+s" : c->same ? "t" : "s"}, *dims = "";
	*t = (Tensor){.dtype = c->bool_mask ? Bool : F32, .rank = c->mask_rank, .data = c->mask};
	for (int d = 0; d < c->mask_rank; d++) {
		int axis = 4 - c->mask_rank + d;
		const char *symbol = c->mask_n[d] == full[axis] && !strchr(symbols[axis], '+') ? symbols[axis] : "m";
		t->dims[d] = c->mask_n[d];
		bool named = c->symbolic && (axis == 3 || c->mask_n[d] != 1 || full[axis] == 1);
		dims = arena_printf(a, "%s%s%s", dims, d ? "," : "", named ? symbol : arena_printf(a, "%d", c->mask_n[d]));
	}
	add_input(b, "M", c->bool_mask ? 9 : 1, dims);
	if (!c->bool_mask)
		return;
	uint8_t *v = t->data = arena_alloc(a, (size_t)n + 1);
	for (int i = 0; i < n; i++)
		v[i] = c->mask[i] != 0;
}

static void set_graph(Arena *a, Onnx__NodeProto *n, const char *name, const char *op, const char *in)
{
	Builder *b = new_builder(a, 1);
	add_input(b, "x", 1, ",,,");
	add_op(b, op, in, "y");
	add_output(b, "y");
	add_attr(a, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH)->g = &b->graph;
}

static Onnx__NodeProto *add_flexible(Builder *b)
{
	Arena *a = b->arena;
	Onnx__NodeProto *node = add_op(b, "FlexAttention", "Q,K,V", "Y");
	node->domain = arena_strdup(a, "ai.onnx.preview");
	set_graph(a, node, "score_mod", "Tanh", "x");
	set_graph(a, node, "prob_mod", "Add", "x,x");
	return node;
}

static Onnx__NodeProto *add_attention(Builder *b, const Case *c)
{
	Arena *a = b->arena;
	const char *cache = c->cached ? "PK,PV" : ",", *mask = c->masked ? "M" : "";
	Onnx__NodeProto *node = add_op(b, "Attention", arena_printf(a, "Q,K,V,%s,%s%s", mask, cache, c->lengthy ? ",N" : ""),
	                               c->mode < 0 ? "Y,AK,AV" : "Y,AK,AV,S");
	if (c->packed) {
		set_i(a, node, "q_num_heads", c->heads);
		set_i(a, node, "kv_num_heads", c->kv_heads);
	}
	if (c->causal)
		set_i(a, node, "is_causal", 1);
	if (c->cap)
		set_f(a, node, "softcap", (float)c->cap);
	if (c->left >= 0)
		set_i(a, node, "left_window_size", c->left);
	if (c->right >= 0)
		set_i(a, node, "right_window_size", c->right);
	if (c->mode >= 0)
		set_i(a, node, "qk_matmul_output_mode", c->mode);
	return node;
}

static Builder *make_model(Arena *a, Case *c, Tensor *in)
{
	Builder *b = new_builder(a, c->opset);
	int n = 0;
	add_grid(b, c, "Q", &c->q, "bhtw", c->packed, &in[n++]);
	add_grid(b, c, "K", &c->k, c->same ? "bgtw" : "bgsw", c->packed, &in[n++]);
	add_grid(b, c, "V", &c->v, c->same ? "bgtv" : "bgsv", c->packed, &in[n++]);
	if (c->masked)
		add_mask(b, c, &in[n++]);
	if (c->cached) {
		add_grid(b, c, "PK", &c->old_k, "bgpw", false, &in[n++]);
		add_grid(b, c, "PV", &c->old_v, "bgpv", false, &in[n++]);
	}
	if (c->lengthy) {
		int64_t *lengths = arena_alloc(a, sizeof *lengths * MaxExtent);
		for (int i = 0; i < MaxExtent; i++)
			lengths[i] = c->lengths[i];
		add_input(b, "N", 7, extent(a, c, "b", c->batch));
		in[n++] = (Tensor){.dtype = I64, .rank = 1, .dims = {c->batch}, .data = lengths};
	}
	Onnx__NodeProto *node = c->flex ? add_flexible(b) : add_attention(b, c);
	if (c->scale != 0)
		set_f(a, node, "scale", c->scale);
	return b;
}

/* ---- compared -------------------------------------------------------------------------------------------------------------- */

static bool is_close(float got, float want)
{
	return got == want || fabsf(got - want) <= 2e-5f * (1 + fabsf(want));
}

static bool is_right(const Grid *want, bool packed, const Tensor *t)
{
	const float *got = t->data;
	const int *n = want->n;
	bool right = tensor_numel(t) == numel(n, 4) && t->rank == (packed ? 3 : 4);
	for (int b = 0; b < n[0] && right; b++)
		for (int h = 0; h < n[1]; h++)
			for (int i = 0; i < n[2]; i++)
				for (int w = 0; w < n[3]; w++)
					right &= is_close(got[(packed ? (b * n[2] + i) * n[1] + h : (b * n[1] + h) * n[2] + i) * n[3] + w], *at(want, b, h, i, w));
	return right;
}

static void compare(const Case *c, const char *how, const char *wrong, int n, Tensor *out, uint64_t seed)
{
	static const char *const names[] = {"Y", "present keys", "present values", "scores"};
	const Grid *want[] = {&c->y, &c->all_k, &c->all_v, &c->scores};
	for (int i = 0; i < n; i++) {
		bool right = !wrong && is_right(want[i], i == 0 && c->packed, &out[i]);
		CHECK(right);
		if (!right)
			fprintf(stderr, "seed %llu: %s: %s: %s\n", (unsigned long long)seed, how, names[i], wrong ? wrong : "other values than expected");
		if (!wrong)
			free_tensor(&out[i]);
	}
}

static void run_seed(uint64_t seed, const char *path)
{
	Case c;
	Arena *a = new_arena();
	Tensor in[MaxInputs], out[MaxWanted];
	const Target *target = find_target("avx2");
	PassOptions options = {.bisect_limit = -1, .ntarget = 1, .target = &target};
	char *said;
	state = seed * 0x9e3779b97f4a7c15u + 1;
	for (int i = 0; i < 8; i++)
		pick(2);
	make_case(a, &c);
	Builder *b = make_model(a, &c, in);
	expect(&c);
	static const char *const outputs[] = {"Y", "AK", "AV", "S"};
	int n = c.flex ? 1 : c.mode < 0 ? 1 + 2 * pick(2) : 4;
	for (int i = 0; i < n; i++)
		add_output(b, outputs[i]);
	write_built(b, path);
	Module *m = try_load_model(path, NULL, &said);
	CHECK(m && !verify_module(m));
	if (m) {
		compare(&c, "the evaluation", eval_module(m, in, out), n, out, seed);
		run_passes(m, &options);
		compare(&c, "loop IR", interp_program(m->loops, "avx2", 2, in, out), n, out, seed);
	} else {
		fprintf(stderr, "seed %llu: %s\n", (unsigned long long)seed, said);
	}
	free(said);
	free_module(m);
	free_arena(a);
}

/* ---- refused --------------------------------------------------------------------------------------------------------------- */

static void test_refused(const char *path)
{
	static const struct {
		const char *in, *attr;
		int value;
		const char *says;
	} bad[] = {{"X,X,X", "qk_matmul_output_mode", 4, "'qk_matmul_output_mode' = 4 is not supported"},
	           {"X,X,X", "left_window_size", -2, "'left_window_size' = -2 is negative"},
	           {"X,X,X", "softmax_precision", 7, "'softmax_precision' = 7 is no floating type"},
	           {"X,X,X,,X", "is_causal", 1, "earlier keys without values"},
	           {"X,X,X,,X,X,N", "is_causal", 1, "stand beside earlier keys"},
	           {"X,X,X,,,,M", "is_causal", 1, "the lengths of the keys have rank 2"},
	           {"P,P,P", "q_num_heads", 3, "an axis of 8 does not split into 3 parts"},
	           {"P,P,P", "q_num_heads", 0, "an operand of rank 3 with 0 heads"},
	           {"X,X,X,M", "is_causal", 0, "the mask has type i64"}};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		Arena *a = new_arena();
		Builder *b = new_builder(a, 25);
		char *said;
		add_input(b, "X", 1, "B,2,T,4");
		add_input(b, "P", 1, "B,T,8");
		add_input(b, "N", 7, "B");
		add_input(b, "M", 7, "T,T");
		set_i(a, add_op(b, "Attention", bad[i].in, "Y,,,S"), bad[i].attr, bad[i].value);
		add_output(b, "Y");
		add_output(b, "S");
		write_built(b, path);
		Module *m = try_load_model(path, NULL, &said);
		bool right = !m && said && strstr(said, bad[i].says);
		CHECK(right);
		if (!right)
			fprintf(stderr, "expected \"%s\", got %s\n", bad[i].says, said ? said : "a module");
		free(said);
		free_module(m);
		free_arena(a);
	}
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1, count = argc > 2 ? strtoull(argv[2], NULL, 10) : 150;
	char path[] = "/tmp/dcc-attention-XXXXXX.onnx";
	if (!make_model_file(path))
		return 2;
	for (uint64_t seed = first; seed < first + count; seed++)
		run_seed(seed, path);
	test_refused(path);
	unlink(path);
	return test_end("attention");
}
