/* import_recurrent.c - RNN, GRU and LSTM: the loop that they are.
 *
 * What the inputs give to the gates is one product over all steps.  The body of the loop adds the product with the state and
 * computes the gates, which are views of the sums; a state is a carried value, and Y its stacked slices.  Two directions are two loops.
 *
 * A sequence that ends early keeps its state in the steps behind its end.  That gives the reverse direction its start as well: it comes
 * from the last step, and the state stays the initial one until the sequence begins.
 */
#include "build.h"
#include "check.h"
#include "expr.h"
#include "import.h"

#include <math.h>
#include <string.h>
#include <strings.h>

enum { InX, InW, InR, InB, InLens, InH, InC, InP };
enum { MaxActs = 3, MaxCarried = 2 };

typedef struct Cell Cell;
typedef struct Direction Direction;

/* ---- activation functions ------------------------------------------------------------------------------------------ */

/* Those that are operators of ONNX mean the same, and have the same defaults. */
static const char *const operators[] = {"Relu", "Tanh", "Sigmoid", "LeakyRelu", "HardSigmoid", "Elu", "Softsign", "Softplus"};
static const OnnxOp own_rows[] = {
	{"Affine", FirstOpset, LastOpset, 1, 1, 1, "alpha:1 beta:0", "add(mul(%0, $alpha), $beta)", .domain = ""},
	{"ScaledTanh", FirstOpset, LastOpset, 1, 1, 1, "alpha:1 beta:1", "mul(tanh(mul(%0, $beta)), $alpha)", .domain = ""},
	{"ThresholdedRelu", FirstOpset, LastOpset, 1, 1, 1, "alpha:1", "where(le($alpha, %0), %0, 0)", .domain = ""},
};

typedef struct Activation {
	const OnnxOp *row;
	OnnxNode *node; /* its attributes */
} Activation;

static const OnnxOp *find_activation(const Call *c, const char *name)
{
	for (size_t i = 0; i < sizeof own_rows / sizeof *own_rows; i++)
		if (!strcasecmp(name, own_rows[i].name))
			return &own_rows[i];
	for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
		if (!strcasecmp(name, operators[i]))
			return find_row(c->im, "", operators[i], LastOpset);
	fatal_at(c->loc, "activation '%s' is not one of the standard's", name);
}

/* The next number of the list, if the function takes one of that name and there is one left. */
static void take_parameter(const Call *c, Activation *f, const char *name, const OnnxAttr *list, size_t *at)
{
	Arena *a = c->im->scratch;
	OnnxNode *n = f->node;
	if (!strstr(f->row->attrs, name) || !list || *at == list->n_floats)
		return;
	OnnxAttr *attr = n->attribute[n->n_attribute++] = arena_alloc(a, sizeof *attr);
	onnx__attribute_proto__init(attr);
	attr->name = arena_strdup(a, name);
	attr->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
	attr->f = list->floats[(*at)++];
}

static const OnnxAttr *list_attr(const Call *c, const char *name, Onnx__AttributeProto__AttributeType type)
{
	const OnnxAttr *a = onnx_attr(c, name);
	if (a && a->type != type)
		fatal_at(c->loc, "attribute '%s' has the wrong type", name);
	return a;
}

/* n functions; the parameters' lists hold those of the functions that take one, in their order. */
static void read_activations(const Call *c, Activation *out, int n, const char *const *dflt, int ndflt)
{
	const OnnxAttr *names = list_attr(c, "activations", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS);
	const OnnxAttr *alphas = list_attr(c, "activation_alpha", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS);
	const OnnxAttr *betas = list_attr(c, "activation_beta", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS);
	size_t alpha = 0, beta = 0;
	if (names && names->n_strings != (size_t)n)
		fatal_at(c->loc, "%zu activations, expected %d", names->n_strings, n);
	for (int i = 0; i < n; i++) {
		const char *name = dflt[i % ndflt];
		if (names)
			name = arena_printf(c->im->scratch, "%.*s", (int)(names->strings[i].len < 32 ? names->strings[i].len : 32),
			                    names->strings[i].len ? (const char *)names->strings[i].data : "");
		out[i] = (Activation){find_activation(c, name), arena_alloc(c->im->scratch, sizeof *out[i].node)};
		onnx__node_proto__init(out[i].node);
		out[i].node->attribute = arena_alloc(c->im->scratch, 2 * sizeof *out[i].node->attribute);
		take_parameter(c, &out[i], "alpha", alphas, &alpha);
		take_parameter(c, &out[i], "beta", betas, &beta);
	}
}

static Value *apply_activation(Call *c, const Activation *f, Value *v)
{
	Value *out = NULL;
	bool wanted = true;
	Call inner = {.im = c->im, .m = c->m, .row = f->row, .node = f->node, .loc = c->loc, .opset = LastOpset, .scope = c->scope,
	              .nin = 1, .nout = 1, .in = &v, .out = &out, .wanted = &wanted};
	if (f->row->text)
		return expand_text(&inner, f->row->text);
	f->row->func(&inner);
	return out;
}

/* ---- cells --------------------------------------------------------------------------------------------------------------- */

struct Cell {
	int gates, carried, nact;
	const char *acts[MaxActs];
	/* next[0 .. carried) from state, given the inputs' share of the gates [batch, gates * hidden]. */
	void (*step)(const Direction *, Value *x, Value *const *state, Value **next);
};

/* Weights of 8 bits, (w - zero) * scale: of each direction, or of each of its columns.  What meets them is rounded first, as DynamicQuantizeLinear does. */
typedef struct Steps {
	Value *scale, *zero; /* [directions] or [directions, columns] */
} Steps;

typedef struct Recurrence {
	Call *c;
	const Cell *cell;
	const Dim *steps, *batch, *hidden;
	int directions;
	bool batch_first, coupled, late_reset;
	double clip; /* infinite: none */
	Activation acts[2 * MaxActs];
	Value *x; /* [steps, batch, input] */
	Value *runs; /* [steps, batch, 1] is the step below the sequence's length; NULL: always */
	const Steps *quantised; /* weights of inputs and state; NULL: they are real numbers */
} Recurrence;

struct Direction {
	const Recurrence *r;
	const Activation *acts;
	bool reverse;
	Value *x; /* [steps, batch, gates * hidden] */
	Value *weights; /* [hidden, gates * hidden], of the state */
	Value *bias; /* what is added to their product: [gates * hidden] or NULL */
	Value *peepholes; /* [3 * hidden] or NULL */
};

static const Dim *times_hidden(const Recurrence *r, int n)
{
	return dim_mul_const(r->c->m, r->hidden, n);
}

/* Gates i .. i + n - 1 along the last axis. */
static Value *gates(const Recurrence *r, Value *v, int i, int n)
{
	return emit_range(r->c, v, v->type.rank - 1, times_hidden(r, i), times_hidden(r, n), 1);
}

static Value *activate(const Direction *d, int which, Value *v)
{
	Call *c = d->r->c;
	DType dtype = v->type.dtype;
	Attr bounds[2] = {mk_number(Attr_lo, dtype, -d->r->clip), mk_number(Attr_hi, dtype, d->r->clip)};
	if (isfinite(d->r->clip))
		v = emit(c, OpClip, 1, &v, 2, bounds, NULL);
	return apply_activation(c, &d->acts[which], v);
}

/* v as the cell's products see it. */
static Value *rounded(const Recurrence *r, Value *v)
{
	Value *q[3];
	if (!r->quantised)
		return v;
	dynamic_quantize(r->c, v, q);
	return dequantised(r->c, q[0], q[1], q[2], v->type.dtype);
}

/* h times the weights of gates i .. i + n - 1. */
static Value *recur(const Direction *d, Value *h, int i, int n)
{
	Value *y = emit_product(d->r->c, rounded(d->r, h), gates(d->r, d->weights, i, n));
	return d->bias ? emit2(d->r->c, OpAdd, y, gates(d->r, d->bias, i, n)) : y;
}

static Value *minus_from_one(Call *c, Value *v)
{
	return emit2(c, OpSub, emit_const(c, v->type.dtype, 1), v);
}

static void step_rnn(const Direction *d, Value *x, Value *const *state, Value **next)
{
	next[0] = activate(d, 0, emit2(d->r->c, OpAdd, x, recur(d, state[0], 0, 1)));
}

/* Gates z, r, h. */
static void step_gru(const Direction *d, Value *x, Value *const *state, Value **next)
{
	Call *c = d->r->c;
	const Recurrence *r = d->r;
	Value *h = state[0], *update, *reset, *fresh;
	if (r->late_reset) {
		Value *y = recur(d, h, 0, 3);
		update = activate(d, 0, emit2(c, OpAdd, gates(r, x, 0, 1), gates(r, y, 0, 1)));
		reset = activate(d, 0, emit2(c, OpAdd, gates(r, x, 1, 1), gates(r, y, 1, 1)));
		fresh = emit2(c, OpMul, reset, gates(r, y, 2, 1));
	} else {
		Value *both = activate(d, 0, emit2(c, OpAdd, gates(r, x, 0, 2), recur(d, h, 0, 2)));
		update = gates(r, both, 0, 1);
		reset = gates(r, both, 1, 1);
		fresh = recur(d, emit2(c, OpMul, reset, h), 2, 1);
	}
	fresh = activate(d, 1, emit2(c, OpAdd, gates(r, x, 2, 1), fresh));
	next[0] = emit2(c, OpAdd, emit2(c, OpMul, minus_from_one(c, update), fresh), emit2(c, OpMul, update, h));
}

/* v, to which a gate's peephole adds what it sees of a cell. */
static Value *peep(const Direction *d, Value *v, int i, Value *cell)
{
	Call *c = d->r->c;
	return d->peepholes ? emit2(c, OpAdd, v, emit2(c, OpMul, gates(d->r, d->peepholes, i, 1), cell)) : v;
}

/* Gates i, o, f, c; the peepholes are those of i, o, f. */
static void step_lstm(const Direction *d, Value *x, Value *const *state, Value **next)
{
	Call *c = d->r->c;
	const Recurrence *r = d->r;
	Value *sum = emit2(c, OpAdd, x, recur(d, state[0], 0, 4)), *old = state[1];
	Value *input = activate(d, 0, peep(d, gates(r, sum, 0, 1), 0, old));
	Value *forget = r->coupled ? minus_from_one(c, input) : activate(d, 0, peep(d, gates(r, sum, 2, 1), 2, old));
	Value *fresh = activate(d, 1, gates(r, sum, 3, 1));
	Value *cell = emit2(c, OpAdd, emit2(c, OpMul, forget, old), emit2(c, OpMul, input, fresh));
	Value *output = activate(d, 0, peep(d, gates(r, sum, 1, 1), 1, cell));
	next[0] = emit2(c, OpMul, output, activate(d, 2, cell));
	next[1] = cell;
}

static const Cell rnn = {1, 1, 1, {"Tanh"}, step_rnn};
static const Cell gru = {3, 1, 2, {"Sigmoid", "Tanh"}, step_gru};
static const Cell lstm = {4, 2, 3, {"Sigmoid", "Tanh", "Tanh"}, step_lstm};

/* ---- operands ------------------------------------------------------------------------------------------------------------ */

/* An input of these dims, or NULL where it is absent. */
static Value *typed_operand(const Recurrence *r, int i, int rank, const Dim *const *dims)
{
	static const char *const names[] = {"X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"};
	Call *c = r->c;
	Value *v = input(c, i);
	if (!v)
		return NULL;
	if (v->type.rank != rank)
		fatal_at(c->loc, "input '%s' has rank %d, expected %d", names[i], v->type.rank, rank);
	const bool stored = r->quantised && (i == InW || i == InR);
	if (i != InLens && !stored && v->type.dtype != c->in[InX]->type.dtype)
		fatal_at(c->loc, "input '%s' is %s, X is %s", names[i], type_text(c->m, &v->type), type_text(c->m, &c->in[InX]->type));
	if (i == InLens && !is_among(v->type.dtype, TypesInt))
		fatal_at(c->loc, "input '%s' is %s, expected integers", names[i], type_text(c->m, &v->type));
	for (int d = 0; d < rank; d++)
		require_equal(c, v->type.dims[d], dims[d], names[i]);
	return emit_reshape(c, v, rank, dims);
}

/* Number `at` along an axis, which goes. */
static Value *pick(Call *c, Value *v, int axis, const Dim *at)
{
	const Dim *dims[MaxRank];
	int rank = 0;
	for (int d = 0; d < v->type.rank; d++)
		if (d != axis)
			dims[rank++] = v->type.dims[d];
	return emit_reshape(c, emit_range(c, v, axis, at, num(c, 1), 1), rank, dims);
}

/* The share of direction `at` of an input with one axis, or two, behind the directions; NULL: it is absent. */
static Value *share(const Recurrence *r, int at, int i, int rank, const Dim *rows, const Dim *columns)
{
	const Dim *dims[3] = {num(r->c, r->directions), rows, columns};
	Value *v = typed_operand(r, i, rank, dims);
	return v ? pick(r->c, v, 0, num(r->c, at)) : NULL;
}

/* The initial state [batch, hidden]: 0 where it is absent. */
static Value *initial_state(const Recurrence *r, int at, int i)
{
	Call *c = r->c;
	const Dim *n = num(c, r->directions), *dims[2] = {r->batch, r->hidden};
	const Dim *stated[3] = {r->batch_first ? r->batch : n, r->batch_first ? n : r->batch, r->hidden};
	Value *v = typed_operand(r, i, 3, stated);
	return v ? pick(c, v, r->batch_first, num(c, at)) : emit_expand(c, emit_const(c, r->x->type.dtype, 0), 2, dims);
}

static const int swap_two[3] = {1, 0, 2};

static void read_shapes(Recurrence *r)
{
	Call *c = r->c;
	const char *direction = onnx_text(c, "direction");
	bool both = onnx_word(c, "direction", "bidirectional");
	if (direction && !both && strcmp(direction, "forward") && strcmp(direction, "reverse"))
		refuse_at(c->loc, "attribute 'direction' = %s is not supported", direction);
	r->directions = both ? 2 : 1;
	for (int i = InX; i <= InR; i++)
		if (c->in[i]->type.rank != 3)
			fatal_at(c->loc, "input %d has rank %d, expected 3", i, c->in[i]->type.rank);
	r->x = r->batch_first ? emit_transpose(c, c->in[InX], swap_two) : c->in[InX];
	r->steps = r->x->type.dims[0];
	r->batch = r->x->type.dims[1];
	r->hidden = c->in[InR]->type.dims[2];
	int64_t hidden = onnx_int(c, "hidden_size", -1);
	if (has_attr(c, "hidden_size") && (hidden < 0 || hidden > DimMax))
		fatal_at(c->loc, "attribute 'hidden_size' = %lld is out of range", (long long)hidden);
	if (has_attr(c, "hidden_size"))
		require_equal(c, r->hidden, num(c, hidden), "hidden_size");
}

static void read_lengths(Recurrence *r)
{
	Call *c = r->c;
	Value *lens = typed_operand(r, InLens, 1, &r->batch);
	if (!lens)
		return;
	lens = emit_reshape(c, emit_cast(c, lens, I64), 3, (const Dim *[]){num(c, 1), r->batch, num(c, 1)});
	r->runs = emit2(c, OpLt, count_along(c, r->steps, 3, 0), lens);
}

/* The biases of W and of R; what can be is added to the inputs' share. */
static Value *input_bias(const Recurrence *r, Direction *d, int at)
{
	int n = r->cell->gates;
	Value *b = share(r, at, InB, 2, times_hidden(r, 2 * n), NULL);
	if (!b)
		return NULL;
	Value *of_w = gates(r, b, 0, n), *of_r = gates(r, b, n, n);
	if (r->late_reset)
		d->bias = of_r;
	return r->late_reset ? of_w : emit2(r->c, OpAdd, of_w, of_r);
}

/* [depth, gates * hidden] of direction `at`. */
static Value *weights(const Recurrence *r, int at, int i, const Dim *depth)
{
	Call *c = r->c;
	Value *w = emit_swap(c, share(r, at, i, 3, times_hidden(r, r->cell->gates), depth));
	if (!r->quantised)
		return w;
	const Steps *s = &r->quantised[i == InR];
	return dequantised(c, w, pick(c, s->scale, 0, num(c, at)), pick(c, s->zero, 0, num(c, at)), r->x->type.dtype);
}

static Direction read_direction(const Recurrence *r, int at)
{
	Call *c = r->c;
	Direction d = {.r = r, .acts = r->acts + at * r->cell->nact, .reverse = at || onnx_word(c, "direction", "reverse")};
	Value *w = weights(r, at, InW, r->x->type.dims[2]), *b = input_bias(r, &d, at);
	d.weights = weights(r, at, InR, r->hidden);
	d.peepholes = share(r, at, InP, 2, times_hidden(r, 3), NULL);
	d.x = emit_product(c, rounded(r, r->x), w);
	if (b)
		d.x = emit2(c, OpAdd, d.x, b);
	return d;
}

/* ---- the loop ------------------------------------------------------------------------------------------------------------ */

/* Fills the body: yields the next states and the slice of Y. */
static void fill_body(const Direction *d, Node *n, const Dim *counter)
{
	const Recurrence *r = d->r;
	Call *c = r->c;
	const Dim *at = d->reverse ? dim_sub(c->m, dim_sub(c->m, r->steps, num(c, 1)), counter) : counter;
	Value *next[MaxCarried], *const *state = n->body->params;
	r->cell->step(d, pick(c, d->x, 0, at), state, next);
	Value *y = next[0];
	if (r->runs) {
		Value *runs = pick(c, r->runs, 0, at);
		for (int i = 0; i < r->cell->carried; i++)
			next[i] = emit3(c, OpWhere, runs, next[i], state[i]);
		y = emit3(c, OpWhere, runs, y, emit_const(c, y->type.dtype, 0));
	}
	for (int i = 0; i < r->cell->carried; i++)
		add_yield(c->m, n->body, next[i]);
	if (c->wanted[0])
		add_yield(c->m, n->body, y);
}

static Node *import_direction(const Recurrence *r, int at)
{
	Call *c = r->c;
	Direction d = read_direction(r, at);
	Value *first[MaxCarried];
	for (int i = 0; i < r->cell->carried; i++)
		first[i] = initial_state(r, at, InH + i);
	const Dim *counter;
	Node *n = begin_loop(c, r->steps, NULL, r->cell->carried, first, &counter);
	fill_body(&d, n, counter);
	end_loop(c, n);
	return n;
}

/* The directions' results side by side along a new axis. */
static Value *join(const Recurrence *r, Value *const *v, int axis)
{
	Value *wide[2];
	const Dim *dims[MaxRank];
	int rank = v[0]->type.rank + 1;
	for (int d = 0; d < rank; d++)
		dims[d] = d == axis ? num(r->c, 1) : v[0]->type.dims[d - (d > axis)];
	for (int i = 0; i < r->directions; i++)
		wide[i] = emit_reshape(r->c, v[i], rank, dims);
	Attr along = mk_int(Attr_axis, axis);
	return r->directions == 1 ? wide[0] : emit(r->c, OpConcat, 2, wide, 1, &along, NULL);
}

/* Y [steps, batch, hidden] of one direction, in the order of the steps. */
static Value *sequence(const Recurrence *r, Value *y, bool reverse)
{
	Call *c = r->c;
	const Dim *last = dim_sub(c->m, r->steps, num(c, 1));
	if (reverse)
		y = emit_range(c, y, 0, last, r->steps, -1);
	return r->batch_first ? emit_transpose(c, y, swap_two) : y;
}

static void import_recurrent(Call *c, const Cell *cell, const Steps *quantised)
{
	Recurrence r = {.c = c, .cell = cell, .quantised = quantised, .batch_first = onnx_int(c, "layout", 0), .coupled = onnx_int(c, "input_forget", 0),
	                .late_reset = onnx_int(c, "linear_before_reset", 0)};
	Value *results[MaxCarried + 1][2];
	read_shapes(&r);
	read_lengths(&r);
	read_activations(c, r.acts, cell->nact * r.directions, cell->acts, cell->nact);
	r.clip = has_attr(c, "clip") ? onnx_float(c, "clip", 0) : INFINITY;
	if (r.clip < 0)
		fatal_at(c->loc, "attribute 'clip' = %g is negative", r.clip);
	for (int at = 0; at < r.directions; at++) {
		Node *loop = import_direction(&r, at);
		for (int i = 0; i < cell->carried; i++)
			results[i + 1][at] = loop->out[i];
		if (c->wanted[0])
			results[0][at] = sequence(&r, loop->out[cell->carried], at || onnx_word(c, "direction", "reverse"));
	}
	for (int i = 0; i < c->nout && i <= cell->carried; i++)
		if (c->wanted[i])
			c->out[i] = join(&r, results[i], i ? r.batch_first : r.batch_first ? 2 : 1);
}

void import_rnn(Call *c)
{
	import_recurrent(c, &rnn, NULL);
}

void import_gru(Call *c)
{
	import_recurrent(c, &gru, NULL);
}

void import_lstm(Call *c)
{
	import_recurrent(c, &lstm, NULL);
}

/* A scale or zero point of weights [directions, rows, columns]. */
static Value *of_weights(Call *c, int i, const Type *w)
{
	Value *v = input(c, i);
	if (!v)
		fatal_at(c->loc, "input %d, a scale or zero point, is missing", i);
	if (v->type.rank < 1 || v->type.rank > 2)
		fatal_at(c->loc, "input %d has rank %d, expected 1 or 2", i, v->type.rank);
	require_equal(c, v->type.dims[0], w->dims[0], "directions of a scale or zero point");
	if (v->type.rank == 2)
		require_equal(c, v->type.dims[1], w->dims[2], "columns of a scale or zero point");
	return v;
}

/* Weights [directions, rows, columns] of 8 bits as LSTM takes them, [directions, columns, rows]. */
static Value *stored_weights(Call *c, int i, int scale, Steps *s)
{
	Value *w = c->in[i];
	if (w->type.rank != 3)
		fatal_at(c->loc, "weights %s, expected three axes", type_text(c->m, &w->type));
	*s = (Steps){of_weights(c, scale, &w->type), of_weights(c, scale + 1, &w->type)};
	if (dtypes[w->type.dtype].bytes != 1 || !is_among(w->type.dtype, TypesInt) || s->zero->type.dtype != w->type.dtype)
		fatal_at(c->loc, "weights %s with a zero point %s, expected 8-bit integers", type_text(c->m, &w->type), type_text(c->m, &s->zero->type));
	return emit_swap(c, w);
}

void import_dynamic_lstm(Call *c)
{
	enum { InWScale = 8, InRScale = 10 };
	Call real = *c;
	Value *in[InWScale];
	Steps steps[2];
	memcpy(in, c->in, sizeof in);
	in[InW] = stored_weights(c, InW, InWScale, &steps[0]);
	in[InR] = stored_weights(c, InR, InRScale, &steps[1]);
	real.in = in;
	real.nin = InWScale;
	import_recurrent(&real, &lstm, steps);
}
