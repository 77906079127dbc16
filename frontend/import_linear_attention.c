/* import_linear_attention.c - LinearAttention: a loop over the tokens that carries the state [batch, heads, key width, value width]. */
#include "attention.h"
#include "import.h"

#include <string.h>

typedef struct Tokens { /* operands as [batch, tokens, heads, ..] */
	Call *c;
	Value *q, *k, *v, *decay, *beta; /* q: [.., heads, queries a head, width]; decay and beta: NULL where the rule has none */
	const Dim *counter;
} Tokens;

/* [batch, tokens, heads * width] -> [batch, tokens, heads, width] */
static Value *split(Call *c, int input, const Dim *heads)
{
	Value *x = input < c->nin ? c->in[input] : NULL;
	if (!x || x->type.rank != 3)
		fatal_at(c->loc, "input %d is missing or has another rank than 3", input);
	return emit_split(c, x, 2, heads);
}

/* Rates [batch, tokens, heads], or one for all heads, as [batch, tokens, heads, 1] */
static Value *read_rates(Call *c, const Dim *heads)
{
	Value *x = c->nin > 5 ? c->in[5] : NULL;
	if (!x || x->type.rank != 3)
		fatal_at(c->loc, "the rates (input 5) are missing or have another rank than 3");
	const Dim *const *d = x->type.dims, *each[4] = {d[0], d[1], heads, num(c, 1)};
	return emit_reshape(c, emit_expand(c, x, 3, each), 4, each);
}

/* What belongs to the token of this iteration. */
static Value *at_token(const Tokens *t, Value *x)
{
	const Dim *dims[MaxRank];
	for (int i = 0; i < x->type.rank - 1; i++)
		dims[i] = x->type.dims[i ? i + 1 : 0];
	x = emit_range(t->c, x, 1, t->counter, num(t->c, 1), 1);
	return emit_reshape(t->c, x, x->type.rank - 1, dims);
}

static Value *with_axis(Call *c, Value *x, int axis) /* of extent 1 */
{
	const Dim *dims[MaxRank];
	for (int i = 0; i <= x->type.rank; i++)
		dims[i] = i == axis ? num(c, 1) : x->type.dims[i < axis ? i : i - 1];
	return emit_reshape(c, x, x->type.rank + 1, dims);
}

/* The state behind the token: e^decay * state + key x value, where the delta rules take from the value what the state has for the key and
 * write it at the rate beta. */
static Value *next_state(const Tokens *t, Value *state)
{
	Call *c = t->c;
	Value *key = with_axis(c, at_token(t, t->k), 3), *value = at_token(t, t->v);
	if (t->decay)
		state = emit2(c, OpMul, state, emit1(c, OpExp, with_axis(c, at_token(t, t->decay), 3)));
	if (t->beta) {
		Value *has = emit_reduce(c, OpSum, emit2(c, OpMul, state, key), 1, (const int64_t[]){2}, false);
		value = emit2(c, OpMul, emit2(c, OpSub, value, has), at_token(t, t->beta));
	}
	return emit2(c, OpAdd, state, emit2(c, OpMul, key, with_axis(c, value, 2)));
}

static Node *token_loop(Tokens *t, const Dim *tokens, Value *first)
{
	Call *c = t->c;
	Node *n = begin_loop(c, tokens, NULL, 1, &first, &t->counter);
	Value *state = emit_reshape(c, next_state(t, n->body->params[0]), 4, first->type.dims);
	add_yield(c->m, n->body, state);
	add_yield(c->m, n->body, emit2(c, OpMatMul, at_token(t, t->q), state));
	end_loop(c, n);
	return n;
}

void import_linear_attention(Call *c)
{
	static const struct {
		const char *name;
		bool decays, delta;
	} rules[] = {{"linear", false, false}, {"gated", true, false}, {"delta", false, true}, {"gated_delta", true, true}};
	int64_t q_heads = onnx_int(c, "q_num_heads", 0), kv_heads = onnx_int(c, "kv_num_heads", 0);
	const char *name = has_attr(c, "update_rule") ? onnx_text(c, "update_rule") : "gated_delta";
	size_t rule = 0;
	while (rule < sizeof rules / sizeof *rules && strcmp(rules[rule].name, name))
		rule++;
	if (rule == sizeof rules / sizeof *rules)
		refuse_at(c->loc, "attribute 'update_rule' = %s is not supported", name);
	if (kv_heads < 1 || q_heads < 1 || q_heads > DimMax || q_heads % kv_heads)
		fatal_at(c->loc, "%lld query heads and %lld key heads", (long long)q_heads, (long long)kv_heads);
	/* Half floats are what is stored: the recurrence and the state of a call are f32. */
	DType dtype = c->in[0]->type.dtype, wide = wide_type(dtype), kept = c->nin > 3 && c->in[3] ? c->in[3]->type.dtype : dtype;
	for (int i = 0; i < c->nin; i++)
		c->in[i] = c->in[i] ? emit_cast(c, c->in[i], wide) : NULL;
	const Dim *heads = num(c, kv_heads);
	Tokens t = {.c = c, .q = split(c, 0, num(c, q_heads)), .k = split(c, 1, heads), .v = split(c, 2, heads)};
	const Dim *width = t.q->type.dims[3];
	t.q = emit_split(c, t.q, 2, heads);
	t.decay = rules[rule].decays ? split(c, 4, heads) : NULL;
	t.beta = rules[rule].delta ? read_rates(c, heads) : NULL;
	const Dim *const *k = t.k->type.dims, *state[4] = {k[0], heads, k[3], t.v->type.dims[3]};
	Value *first = c->nin > 3 ? c->in[3] : NULL;
	if (first && first->type.rank != 4)
		fatal_at(c->loc, "the state has rank %d", first->type.rank);
	for (int i = 0; first && i < 4; i++)
		require_equal(c, first->type.dims[i], state[i], "dims of the state");
	first = first ? emit_reshape(c, first, 4, state) : emit_expand(c, emit_const(c, t.v->type.dtype, 0), 4, state);
	double scale = onnx_float(c, "scale", 0);
	t.q = emit2(c, OpMul, t.q, scale != 0 ? emit_const(c, wide, scale) : emit_rsqrt(c, wide, width));
	Node *loop = token_loop(&t, k[1], first);
	Value *y = emit_transpose(c, loop->out[1], (const int[]){1, 0, 2, 3, 4});
	const Dim *const *d = y->type.dims;
	c->out[0] = emit_cast(c, emit_reshape(c, y, 3, (const Dim *[]){d[0], d[1], product(c->m, d + 2, 3)}), dtype);
	if (c->nout > 1)
		c->out[1] = emit_cast(c, loop->out[0], kept);
}
