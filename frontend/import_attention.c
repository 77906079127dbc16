/* import_attention.c - Attention in all its forms, and RotaryEmbedding.
 *
 * Operands become [batch, tokens, heads, width], which is what the IR's attention takes.  What that op has no attribute
 * for is a mask (causal rules that it does not share, lengths per batch).
 */
#include "build.h"
#include "import.h"

#include <math.h>

static const int heads_second[4] = {0, 2, 1, 3}; /* [batch, heads, tokens, width] <-> [batch, tokens, heads, width] */

enum { InQ, InK, InV, InMask, InPastK, InPastV, InLengths };
enum { OutY, OutK, OutV };

static Value *operand(const Call *c, int i)
{
	return i < c->nin ? c->in[i] : NULL;
}

static Value *split_heads(Call *c, Value *v, int64_t heads)
{
	const Dim *const *d = v->type.dims;
	if (v->type.rank == 4)
		return emit_transpose(c, v, heads_second);
	if (v->type.rank != 3 || heads < 1 || heads > DimMax)
		fatal_at(c->loc, "an operand of rank %d with %lld heads", v->type.rank, (long long)heads);
	const Dim *n = dim_const(c->m, heads), *width;
	if (!dim_exact_div(c->m, d[2], n, &width))
		fatal_at(c->loc, "%s channels do not split into %lld heads", dim_text(c->m, d[2]), (long long)heads);
	return emit_reshape(c, v, 4, (const Dim *[]){d[0], d[1], n, width});
}

/* The inverse of split_heads for a result of the rank of operand 0. */
static Value *join_heads(Call *c, Value *v)
{
	const Dim *const *d = v->type.dims;
	if (c->in[0]->type.rank == 4)
		return emit_transpose(c, v, heads_second);
	return emit_reshape(c, v, 3, (const Dim *[]){d[0], d[1], dim_mul(c->m, d[2], d[3])});
}

/* Keys or values behind those of earlier calls; the state that goes in and out is [batch, heads, tokens, width]. */
static Value *append_past(Call *c, Value *v, int state, int present)
{
	Value *past = operand(c, state);
	Attr a = mk_int(Attr_axis, 1);
	if (past && past->type.rank != 4)
		fatal_at(c->loc, "input %d has rank %d, expected 4", state, past->type.rank);
	if (past)
		v = emit(c, OpConcat, 2, (Value *[]){emit_transpose(c, past, heads_second), v}, 1, &a, NULL);
	if (present < c->nout && c->wanted[present])
		c->out[present] = emit_transpose(c, v, heads_second);
	return v;
}

/* ---- masks ----------------------------------------------------------------------------------------------------- */

/* 0, 1, 2, ... along the keys (axis 3) or, from `start`, along the queries (axis 2) of the scores. */
static Value *count(Call *c, const Dim *n, const Dim *start, int axis)
{
	const Dim *one = dim_const(c->m, 1);
	Value *v = emit_iota(c, I64, n, start, one);
	return emit_reshape(c, v, 2, (const Dim *[]){axis == 2 ? n : one, axis == 2 ? one : n});
}

static Value *both(Call *c, Value *a, Value *b)
{
	return a && b ? emit2(c, OpAnd, a, b) : a ? a : b;
}

/* Batch b has lengths[b] keys, the last of which belongs to the last query. */
static Value *mask_lengths(Call *c, const Dim *queries, const Dim *keys, bool causal)
{
	const Dim *zero = dim_const(c->m, 0), *one = dim_const(c->m, 1);
	Value *n = emit_cast(c, c->in[InLengths], I64), *j = count(c, keys, zero, 3);
	const Dim *batch[4] = {type_numel(c->m, &n->type), one, one, one};
	n = emit_reshape(c, n, 4, batch);
	Value *sees = emit2(c, OpLt, j, n);
	if (!causal)
		return sees;
	Value *first = emit2(c, OpSub, n, emit_dims(c, 0, 1, &queries));
	return both(c, sees, emit2(c, OpLe, j, emit2(c, OpAdd, count(c, queries, zero, 2), first)));
}

/* Since opset 24 a mask may be shorter than the keys: those beyond it are not seen. */
static Value *lengthen_mask(Call *c, Value *mask, const Dim *keys)
{
	int rank = mask->type.rank;
	const Dim *have = rank ? mask->type.dims[rank - 1] : keys, *pads[2 * MaxRank];
	if (have == keys || dim_equals(have, 1) || c->opset < 24)
		return mask;
	for (int i = 0; i < 2 * rank; i++)
		pads[i] = dim_const(c->m, 0);
	pads[2 * rank - 1] = dim_sub(c->m, keys, have);
	require_at_least(c, pads[2 * rank - 1], 0);
	Attr attrs[2] = {mk_dims(c->m, Attr_pads_dim, 2 * rank, pads), mk_scalar(Attr_value, lowest_scalar(mask->type.dtype))};
	return emit(c, OpPad, 1, &mask, mask->type.dtype == Bool ? 1 : 2, attrs, NULL);
}

/* What the model masks and what `sees` (or NULL) allows. */
static Value *join_masks(Call *c, Value *mask, Value *sees)
{
	if (!mask || !sees || mask->type.dtype == Bool)
		return both(c, mask, sees);
	return emit3(c, OpWhere, sees, mask, emit_const(c, mask->type.dtype, -INFINITY));
}

/* ---- attention ------------------------------------------------------------------------------------------------- */

/* Causal: query i sees key j for j <= i + past; the IR's rule says the same if the new keys are as many as the
 * queries. */
void import_attention(Call *c)
{
	Module *m = c->m;
	Value *in[4], *sees = NULL;
	bool causal = onnx_int(c, "is_causal", 0);
	int64_t width, q_heads = onnx_int(c, "q_num_heads", 0), kv_heads = onnx_int(c, "kv_num_heads", 0);
	for (int i = InQ; i <= InV; i++)
		in[i] = split_heads(c, c->in[i], i == InQ ? q_heads : kv_heads);
	const Dim *queries = in[InQ]->type.dims[1], *fresh = in[InK]->type.dims[1];
	in[InK] = append_past(c, in[InK], InPastK, OutK);
	in[InV] = append_past(c, in[InV], InPastV, OutV);
	const Dim *keys = in[InK]->type.dims[1], *past = dim_sub(m, keys, fresh);
	if (!dim_is_const(in[InQ]->type.dims[3], &width) && !has_attr(c, "scale"))
		fatal_at(c->loc, "not supported: a symbolic head width without the attribute 'scale'");
	double scale = has_attr(c, "scale") ? onnx_float(c, "scale", 1) : 1 / sqrt(width);
	double cap = onnx_float(c, "softcap", 0);
	if (operand(c, InLengths))
		sees = mask_lengths(c, queries, keys, causal);
	else if (causal && queries != fresh)
		sees = emit2(c, OpLe, count(c, keys, dim_const(m, 0), 3), count(c, queries, past, 2));
	Value *mask = operand(c, InMask) ? lengthen_mask(c, c->in[InMask], keys) : NULL;
	in[InMask] = join_masks(c, mask, sees);
	bool masked = in[InMask] != NULL; /* a row that sees no key gives 0, as ONNX defines */
	Attr attrs[4] = {mk_float(Attr_scale, scale), mk_int(Attr_right, causal && !sees ? 0 : -1), mk_int(Attr_zero_masked, masked),
	                 mk_float(Attr_softcap, cap)};
	c->out[OutY] = join_heads(c, emit(c, OpAttention, masked ? 4 : 3, in, 4, attrs, NULL));
}

/* ---- rotary embedding ------------------------------------------------------------------------------------------ */

/* cos or sin as [batch, tokens, 1, half]: looked up by position, or given for each token. */
static Value *rotation(Call *c, Value *table, const Value *x, const Dim *half)
{
	Attr axis = mk_int(Attr_axis, 0);
	if (operand(c, 3))
		table = emit(c, OpGather, 2, (Value *[]){table, c->in[3]}, 1, &axis, NULL);
	if (table->type.rank != 3)
		fatal_at(c->loc, "cosines and sines of rank %d, expected 3", table->type.rank);
	const Dim *const *d = table->type.dims;
	require_equal(c, d[1], x->type.dims[1], "tokens");
	require_equal(c, d[2], half, "half of the rotated width");
	return emit_reshape(c, table, 4, (const Dim *[]){d[0], d[1], dim_const(c->m, 1), d[2]});
}

/* Pairs (a, b) turn to (a cos - b sin, a sin + b cos); pairs are halves apart, or neighbours if interleaved. */
void import_rotary_embedding(Call *c)
{
	Module *m = c->m;
	Value *x = split_heads(c, c->in[0], onnx_int(c, "num_heads", 0)), *part[2], *turned[3];
	const Dim *width = x->type.dims[3], *two = dim_const(m, 2), *zero = dim_const(m, 0), *one = dim_const(m, 1);
	int64_t stated = onnx_int(c, "rotary_embedding_dim", 0);
	bool interleaved = onnx_int(c, "interleaved", 0);
	if (stated < 0 || stated > DimMax)
		fatal_at(c->loc, "rotary_embedding_dim %lld is out of range", (long long)stated);
	const Dim *rotated = stated ? dim_const(m, stated) : width, *half = divide_dims(c, rotated, two);
	require_equal(c, dim_mul(m, half, two), rotated, "twice half of the rotated width");
	const Dim *const *d = x->type.dims;
	const Dim *pair[5] = {d[0], d[1], d[2], half, two}, *flat[4] = {d[0], d[1], d[2], half};
	const Dim *wide[5] = {d[0], d[1], d[2], half, one}, *joined[4] = {d[0], d[1], d[2], rotated};
	Value *head = emit_range(c, x, 3, zero, rotated, 1);
	Value *pairs = interleaved ? emit_reshape(c, head, 5, pair) : head;
	for (int i = 0; i < 2; i++) {
		const Dim *n = interleaved ? one : half, *at = i ? n : zero;
		part[i] = emit_reshape(c, emit_range(c, pairs, interleaved ? 4 : 3, at, n, 1), 4, flat);
	}
	Value *cosine = rotation(c, c->in[1], x, half), *sine = rotation(c, c->in[2], x, half);
	turned[0] = emit2(c, OpSub, emit2(c, OpMul, part[0], cosine), emit2(c, OpMul, part[1], sine));
	turned[1] = emit2(c, OpAdd, emit2(c, OpMul, part[0], sine), emit2(c, OpMul, part[1], cosine));
	for (int i = 0; i < 2 && interleaved; i++)
		turned[i] = emit_reshape(c, turned[i], 5, wide);
	Attr axis = mk_int(Attr_axis, interleaved ? 4 : 3), last = mk_int(Attr_axis, 3);
	Value *y = emit_reshape(c, emit(c, OpConcat, 2, turned, 1, &axis, NULL), 4, joined);
	if (rotated != width) {
		Value *rest = emit_range(c, x, 3, rotated, dim_sub(m, width, rotated), 1);
		y = emit(c, OpConcat, 2, (Value *[]){y, rest}, 1, &last, NULL);
	}
	c->out[0] = join_heads(c, y);
}
