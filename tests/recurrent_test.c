/* recurrent_test.c - RNN, GRU and LSTM against plain loops that follow the standard's equations, one sequence at a time: random
 * attributes, operands and sizes, evaluated as imported, and as loop IR.
 *
 * The standard's text decides where implementations differ: clip bounds what every activation function gets, also h(Ct), and a
 * sequence without steps keeps its initial state.
 *
 * usage: recurrent_test [first seed [count]]
 */
#include "../backend/backend.h"
#include "../ir/loop.h"
#include "../passes/passes.h"
#include "onnx_build.h"
#include "chance.h"
#include "test.h"

#include <math.h>

enum { Rnn, Gru, Lstm };
enum { MaxSteps = 5, MaxBatch = 3, MaxInput = 5, MaxHidden = 18, MaxGates = 4 };

static const struct {
	const char *name;
	int gates, acts, carried;
} cells[] = {{"RNN", 1, 1, 1}, {"GRU", 3, 2, 1}, {"LSTM", 4, 3, 2}};

static const struct {
	const char *name;
	int parameters; /* alpha, beta */
	double alpha, beta; /* defaults */
} acts[] = {{"Relu", 0, 0, 0},         {"Tanh", 0, 0, 0},          {"Sigmoid", 0, 0, 0},        {"Affine", 2, 1, 0},
            {"LeakyRelu", 1, 0.01, 0}, {"ThresholdedRelu", 1, 1, 0}, {"ScaledTanh", 2, 1, 1}, {"HardSigmoid", 2, 0.2, 0.5},
            {"Elu", 1, 1, 0},          {"Softsign", 0, 0, 0},      {"Softplus", 0, 0, 0}};
enum { NActs = sizeof acts / sizeof *acts };

typedef struct Act {
	int kind;
	double alpha, beta;
} Act;

/* One node and its operands, in the layout of layout 0. */
typedef struct Case {
	int cell, directions, steps, batch, input, hidden;
	bool reverse, coupled, late_reset, batch_first, symbolic, has[8];
	double clip; /* 0: none */
	Act acts[6];
	float x[MaxSteps][MaxBatch][MaxInput], w[2][MaxGates * MaxHidden][MaxInput], r[2][MaxGates * MaxHidden][MaxHidden];
	float b[2][2 * MaxGates * MaxHidden], h[2][MaxBatch][MaxHidden], c[2][MaxBatch][MaxHidden], p[2][3 * MaxHidden];
	int lens[MaxBatch];
	float y[MaxSteps][2][MaxBatch][MaxHidden], last[2][2][MaxBatch][MaxHidden]; /* expected: Y; Y_h and Y_c */
} Case;
enum { InX, InW, InR, InB, InLens, InH, InC, InP };

/* ---- expected ------------------------------------------------------------------------------------------------------------ */

static double act(const Case *c, int which, double x)
{
	const Act *f = &c->acts[which];
	double a = f->alpha, b = f->beta;
	if (c->clip)
		x = fmin(fmax(x, -c->clip), c->clip);
	switch (f->kind) {
	case 0: return fmax(0, x);
	case 1: return tanh(x);
	case 2: return 1 / (1 + exp(-x));
	case 3: return a * x + b;
	case 4: return x >= 0 ? x : a * x;
	case 5: return x >= a ? x : 0;
	case 6: return a * tanh(b * x);
	case 7: return fmin(fmax(a * x + b, 0), 1);
	case 8: return x >= 0 ? x : a * (exp(x) - 1);
	case 9: return x / (1 + fabs(x));
	default: return log(1 + exp(x));
	}
}

/* Row `row` of W or R times a vector. */
static double times(const float *row, const double *v, int n)
{
	double s = 0;
	for (int i = 0; i < n; i++)
		s += row[i] * v[i];
	return s;
}

static double of_w(const Case *c, int d, int gate, int j, const double *x)
{
	int row = gate * c->hidden + j;
	return times(c->w[d][row], x, c->input) + c->b[d][row];
}

static double of_r(const Case *c, int d, int gate, int j, const double *h)
{
	int row = gate * c->hidden + j;
	return times(c->r[d][row], h, c->hidden) + c->b[d][cells[c->cell].gates * c->hidden + row];
}

static double sum(const Case *c, int d, int gate, int j, const double *x, const double *h)
{
	return of_w(c, d, gate, j, x) + of_r(c, d, gate, j, h);
}

static void step(const Case *c, int d, const double *x, double *h, double *cell)
{
	int n = c->hidden, f = d * cells[c->cell].acts;
	double old[MaxHidden], z[MaxHidden], r[MaxHidden], rh[MaxHidden];
	memcpy(old, h, sizeof old);
	for (int j = 0; j < n && c->cell == Gru; j++) {
		z[j] = act(c, f, sum(c, d, 0, j, x, old));
		r[j] = act(c, f, sum(c, d, 1, j, x, old));
		rh[j] = r[j] * old[j];
	}
	for (int j = 0; j < n; j++) {
		if (c->cell == Rnn) {
			h[j] = act(c, f, sum(c, d, 0, j, x, old));
		} else if (c->cell == Gru) {
			double fresh = c->late_reset ? r[j] * of_r(c, d, 2, j, old) : of_r(c, d, 2, j, rh);
			h[j] = (1 - z[j]) * act(c, f + 1, of_w(c, d, 2, j, x) + fresh) + z[j] * old[j];
		} else {
			const float *p = c->p[d];
			double i = act(c, f, sum(c, d, 0, j, x, old) + p[j] * cell[j]);
			double forget = c->coupled ? 1 - i : act(c, f, sum(c, d, 2, j, x, old) + p[2 * n + j] * cell[j]);
			cell[j] = forget * cell[j] + i * act(c, f + 1, sum(c, d, 3, j, x, old));
			h[j] = act(c, f, sum(c, d, 1, j, x, old) + p[n + j] * cell[j]) * act(c, f + 2, cell[j]);
		}
	}
}

static void expect(Case *c)
{
	memset(c->y, 0, sizeof c->y);
	for (int d = 0; d < c->directions; d++)
		for (int b = 0; b < c->batch; b++) {
			double h[MaxHidden], cell[MaxHidden], x[MaxInput];
			for (int j = 0; j < c->hidden; j++) {
				h[j] = c->h[d][b][j];
				cell[j] = c->c[d][b][j];
			}
			for (int k = 0; k < c->lens[b]; k++) {
				int t = d || c->reverse ? c->lens[b] - 1 - k : k;
				for (int i = 0; i < c->input; i++)
					x[i] = c->x[t][b][i];
				step(c, d, x, h, cell);
				for (int j = 0; j < c->hidden; j++)
					c->y[t][d][b][j] = (float)h[j];
			}
			for (int j = 0; j < c->hidden; j++) {
				c->last[0][d][b][j] = (float)h[j];
				c->last[1][d][b][j] = (float)cell[j];
			}
		}
}

/* ---- made up -------------------------------------------------------------------------------------------------------------- */

static void fill(float *v, size_t n, double size)
{
	for (size_t i = 0; i < n; i++)
		v[i] = (float)(size * uniform());
}
#define FILL(array, size) fill((float *)(array), sizeof(array) / sizeof(float), size)

static void make_case(Case *c)
{
	memset(c, 0, sizeof *c);
	c->cell = pick(3);
	c->directions = 1 + !pick(3);
	c->steps = pick(MaxSteps + 1);
	c->batch = pick(MaxBatch + 1);
	c->input = 1 + pick(MaxInput);
	c->hidden = 1 + pick(MaxHidden);
	c->reverse = c->directions == 1 && pick(2);
	c->coupled = c->cell == Lstm && !pick(4);
	c->late_reset = c->cell == Gru && pick(2);
	c->batch_first = !pick(3);
	c->symbolic = pick(2);
	c->clip = pick(4) ? 0 : 0.25;
	for (int i = InB; i <= InP; i++)
		c->has[i] = pick(2) && (i <= InH || c->cell == Lstm);
	FILL(c->x, 1);
	FILL(c->w, 0.6);
	FILL(c->r, 0.6);
	if (c->has[InB])
		FILL(c->b, 0.5);
	if (c->has[InH])
		FILL(c->h, 1);
	if (c->has[InC])
		FILL(c->c, 1);
	if (c->has[InP])
		FILL(c->p, 0.5);
	for (int i = 0; i < MaxBatch; i++)
		c->lens[i] = c->has[InLens] ? pick(c->steps + 1) : c->steps;
}

/* Names of the functions; alphas and betas in their order, in some cases too few. */
static void set_activations(Builder *b, Onnx__NodeProto *n, Case *c)
{
	static const int dflt[3][3] = {{1}, {2, 1}, {2, 1, 1}};
	Arena *a = b->arena;
	int count = c->directions * cells[c->cell].acts;
	bool given = pick(2);
	Onnx__AttributeProto *names = NULL, *alphas = NULL, *betas = NULL;
	if (given) {
		names = add_attr(a, n, "activations", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS);
		names->n_strings = count;
		names->strings = arena_alloc(a, count * sizeof *names->strings);
		alphas = add_attr(a, n, "activation_alpha", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS);
		betas = add_attr(a, n, "activation_beta", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS);
		alphas->floats = arena_alloc(a, count * sizeof(float));
		betas->floats = arena_alloc(a, count * sizeof(float));
	}
	size_t few = given && !pick(3) ? 1 : 9;
	for (int i = 0; i < count; i++) {
		Act *f = &c->acts[i];
		f->kind = given ? pick(NActs) : dflt[c->cell][i % cells[c->cell].acts];
		f->alpha = acts[f->kind].alpha;
		f->beta = acts[f->kind].beta;
		if (!given)
			continue;
		names->strings[i].data = (uint8_t *)acts[f->kind].name;
		names->strings[i].len = strlen(acts[f->kind].name);
		if (acts[f->kind].parameters > 0 && alphas->n_floats < few)
			f->alpha = alphas->floats[alphas->n_floats++] = (float)(0.5 + 0.4 * uniform());
		if (acts[f->kind].parameters > 1 && betas->n_floats < few)
			f->beta = betas->floats[betas->n_floats++] = (float)(0.5 + 0.4 * uniform());
	}
}

/* The first n0 x n1 x n2 of an array with row lengths m1 and m2, axes 0 and 1 swapped if asked. */
static float *packed(Arena *a, const float *from, const int *n, int m1, int m2, bool swap)
{
	float *out = arena_alloc(a, ((size_t)n[0] * n[1] * n[2] + 1) * sizeof *out);
	for (int i = 0; i < n[0]; i++)
		for (int j = 0; j < n[1]; j++)
			for (int k = 0; k < n[2]; k++)
				out[(swap ? (j * n[0] + i) : (i * n[1] + j)) * n[2] + k] = from[(i * m1 + j) * m2 + k];
	return out;
}

static void add_weight(Builder *b, const char *name, const float *from, int n0, int n1, int n2, int m1, int m2)
{
	float *v = packed(b->arena, from, (int[]){n0, n1, n2}, m1, m2, false);
	const char *dims = m1 == 1 ? arena_printf(b->arena, "%d,%d", n0, n2) : arena_printf(b->arena, "%d,%d,%d", n0, n1, n2);
	add_tensor(b, name, 1, dims, v, (size_t)n0 * n1 * n2 * sizeof *v);
}

/* An input of the graph; its value goes to *t. */
static void add_state(Builder *b, const Case *c, const char *name, Tensor *t, const float *from, int first, bool swap)
{
	int n[3] = {first, c->batch, from == (const float *)c->x ? c->input : c->hidden};
	const char *one = arena_printf(b->arena, "%d", first), *two = arena_printf(b->arena, "%d", c->batch);
	if (c->symbolic) {
		one = from == (const float *)c->x ? "T" : one;
		two = "B";
	}
	add_input(b, name, 1, arena_printf(b->arena, "%s,%s,%d", swap ? two : one, swap ? one : two, n[2]));
	*t = (Tensor){.dtype = F32, .rank = 3, .dims = {swap ? n[1] : n[0], swap ? n[0] : n[1], n[2]}};
	t->data = packed(b->arena, from, n, MaxBatch, from == (const float *)c->x ? MaxInput : MaxHidden, swap);
}

static Builder *make_model(Arena *a, Case *c, Tensor *in, int *nin)
{
	Builder *b = new_builder(a, c->batch_first ? 14 + pick(10) : 7 + pick(17));
	int g = cells[c->cell].gates * c->hidden, n = 0;
	const char *names[] = {"X", "W", "R", "B", "lens", "h0", "c0", "P"}, *list = "X,W,R";
	add_state(b, c, "X", &in[n++], (float *)c->x, c->steps, c->batch_first);
	add_weight(b, "W", (float *)c->w, c->directions, g, c->input, MaxGates * MaxHidden, MaxInput);
	add_weight(b, "R", (float *)c->r, c->directions, g, c->hidden, MaxGates * MaxHidden, MaxHidden);
	if (c->has[InB])
		add_weight(b, "B", (float *)c->b, c->directions, 1, 2 * g, 1, 2 * MaxGates * MaxHidden);
	if (c->has[InP])
		add_weight(b, "P", (float *)c->p, c->directions, 1, 3 * c->hidden, 1, 3 * MaxHidden);
	if (c->has[InLens]) {
		add_input(b, "lens", 6, c->symbolic ? "B" : arena_printf(a, "%d", c->batch));
		in[n] = (Tensor){.dtype = I32, .rank = 1, .dims = {c->batch}, .data = arena_alloc(a, sizeof c->lens)};
		memcpy(in[n++].data, c->lens, sizeof c->lens);
	}
	if (c->has[InH])
		add_state(b, c, "h0", &in[n++], (float *)c->h, c->directions, c->batch_first);
	if (c->has[InC])
		add_state(b, c, "c0", &in[n++], (float *)c->c, c->directions, c->batch_first);
	for (int i = InB; i <= (c->cell == Lstm ? InP : InH); i++)
		list = arena_printf(a, "%s,%s", list, c->has[i] ? names[i] : "");
	*nin = n;
	Onnx__NodeProto *node = add_op(b, cells[c->cell].name, list, c->cell == Lstm ? "Y,H,C" : "Y,H");
	set_i(a, node, "hidden_size", c->hidden);
	if (c->directions == 2 || c->reverse)
		set_s(a, node, "direction", c->directions == 2 ? "bidirectional" : "reverse");
	if (c->clip)
		set_f(a, node, "clip", (float)c->clip);
	if (c->batch_first)
		set_i(a, node, "layout", 1);
	if (c->cell == Lstm)
		set_i(a, node, "input_forget", c->coupled);
	if (c->cell == Gru)
		set_i(a, node, "linear_before_reset", c->late_reset);
	set_activations(b, node, c);
	return b;
}

/* ---- compared -------------------------------------------------------------------------------------------------------------- */

static bool is_close(const float *got, float want)
{
	return fabsf(*got - want) <= 2e-5f * (1 + fabsf(want));
}

/* Output `which`: Y, Y_h or Y_c. */
static bool is_right(const Case *c, int which, const Tensor *t)
{
	bool right = tensor_numel(t) == (int64_t)(which ? 1 : c->steps) * c->directions * c->batch * c->hidden;
	const float *got = t->data;
	int steps = which ? 1 : c->steps, B = c->batch, D = c->directions, H = c->hidden;
	for (int s = 0; s < steps && right; s++)
		for (int d = 0; d < D; d++)
			for (int b = 0; b < B; b++)
				for (int j = 0; j < H; j++) {
					int at = c->batch_first ? ((b * steps + s) * D + d) * H + j : ((s * D + d) * B + b) * H + j;
					right &= is_close(got + at, which ? c->last[which - 1][d][b][j] : c->y[s][d][b][j]);
				}
	return right;
}

static void compare(const Case *c, const char *how, const char *wrong, const int *which, int n, Tensor *out, uint64_t seed)
{
	bool right = !wrong;
	for (int i = 0; i < n && !wrong; i++) {
		right &= is_right(c, which[i], &out[i]);
		free_tensor(&out[i]);
	}
	CHECK(right);
	if (!right)
		fprintf(stderr, "seed %llu: %s of %s: %s\n", (unsigned long long)seed, how, cells[c->cell].name,
		        wrong ? wrong : "other values than expected");
}

static void run_seed(uint64_t seed, const char *path)
{
	static Case c;
	Arena *a = new_arena();
	Tensor in[4], out[3];
	const Target *target = find_target("avx2");
	PassOptions options = {.bisect_limit = -1, .ntarget = 1, .target = &target};
	int nin, which[3], n = 0;
	char *said;
	state = seed * 0x9e3779b97f4a7c15u + 1;
	for (int i = 0; i < 8; i++)
		pick(2);
	make_case(&c);
	Builder *b = make_model(a, &c, in, &nin);
	expect(&c);
	int first = pick(2); /* some outputs are not wanted */
	static const char *const outputs[] = {"Y", "H", "C"};
	for (int i = first; i <= cells[c.cell].carried; i++) {
		if (i > first && !pick(3))
			continue;
		which[n++] = i;
		add_output(b, outputs[i]);
	}
	write_built(b, path);
	Module *m = try_load_model(path, NULL, &said);
	CHECK(m && !verify_module(m));
	if (m) {
		compare(&c, "the evaluation", eval_module(m, in, out), which, n, out, seed);
		run_passes(m, &options);
		compare(&c, "loop IR", interp_program(m->loops, "avx2", 2, in, out), which, n, out, seed);
	} else {
		fprintf(stderr, "seed %llu: %s\n", (unsigned long long)seed, said);
	}
	free(said);
	free_module(m);
	free_arena(a);
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1, count = argc > 2 ? strtoull(argv[2], NULL, 10) : 60;
	char path[] = "/tmp/dcc-recurrent-XXXXXX.onnx";
	if (!make_model_file(path))
		return 2;
	for (uint64_t seed = first; seed < first + count; seed++)
		run_seed(seed, path);
	unlink(path);
	return test_end("recurrent");
}
