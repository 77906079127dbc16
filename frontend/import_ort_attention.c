/* import_ort_attention.c - attention in the domain com.microsoft, as onnxruntime computes it: with projections and biases inside, masks
 * that are integers, and caches in several layouts. */
#include "attention.h"
#include "import.h"

#include <math.h>

static bool wants(const Call *c, int i)
{
	return i < c->nout && c->wanted[i];
}

/* Elements start .. start + n - 1 of one axis. */
static Value *part(Call *c, Value *v, int axis, const Dim *start, const Dim *n)
{
	return emit_range(c, v, axis, start, n, 1);
}

/* Index i of one axis, which goes. */
static Value *pick(Call *c, Value *v, int axis, int i)
{
	const Dim *dims[MaxRank], *one = num(c, 1);
	int rank = 0;
	for (int d = 0; d < v->type.rank; d++)
		if (d != axis)
			dims[rank++] = v->type.dims[d];
	return emit_reshape(c, part(c, v, axis, num(c, i), one), rank, dims);
}

/* [batch, heads, tokens, width] <-> [batch, tokens, heads, width] */
static Value *swap_heads(Call *c, Value *v)
{
	return emit_transpose(c, v, (const int[]){0, 2, 1, 3});
}

static void require_rank(Call *c, const Value *v, int rank, const char *what)
{
	if (v->type.rank != rank)
		fatal_at(c->loc, "%s: rank %d, expected %d", what, v->type.rank, rank);
}

/* ---- masks ----------------------------------------------------------------------------------------------------- */

/* Lengths of each batch as [batch, 1, 1, 1] */
static Value *lengths_of(Call *c, Value *v, const Dim *batch)
{
	return emit_reshape(c, emit_cast(c, v, I64), 4, (const Dim *[]){batch, num(c, 1), num(c, 1), num(c, 1)});
}

/* Which keys of a batch are padding: those from its length on; with twice as many numbers, also those before a first one. */
static Value *beyond_lengths(Call *c, Value *mask, const Dim *batch, const Dim *keys)
{
	const Dim *none = num(c, 0), *more = dim_sub(c->m, mask->type.dims[0], batch), *wrong = dim_mul(c->m, more, dim_sub(c->m, more, batch));
	Value *key = count_along(c, keys, 4, 3);
	if (dim_is_const(wrong, NULL) && !dim_equals(wrong, 0))
		refuse_at(c->loc, "not supported: a mask of %s numbers for %s batches", dim_text(c->m, mask->type.dims[0]), dim_text(c->m, batch));
	require_equal(c, wrong, none, "a mask of as many numbers as batches, or twice as many");
	Value *hidden = emit2(c, OpLe, lengths_of(c, part(c, mask, 0, none, batch), batch), key);
	if (dim_equals(more, 0))
		return hidden;
	Value *before = emit2(c, OpLt, key, lengths_of(c, part(c, mask, 0, more, batch), batch));
	Value *starts = emit2(c, OpLt, emit_const(c, I64, 0), emit_dims(c, 0, 1, &more));
	return emit2(c, OpOr, hidden, emit2(c, OpAnd, before, starts));
}

/* What is added to the scores: `more`, and a fill value where the model's integers say "not seen", by batch and key or by batch, query
 * and key. */
static Value *read_mask(Call *c, Value *mask, Value *more, const Attending *a)
{
	DType dtype = a->q->type.dtype;
	more = more ? emit_cast(c, more, dtype) : NULL;
	if (!mask)
		return more;
	const Dim *const *d = mask->type.dims, *one = num(c, 1), *batch = a->q->type.dims[0];
	int rank = mask->type.rank;
	if (rank < 1 || rank > 3)
		refuse_at(c->loc, "not supported: a mask %s", type_text(c->m, &mask->type));
	Value *hidden;
	if (rank == 1) {
		hidden = beyond_lengths(c, mask, batch, a->k->type.dims[1]);
	} else {
		Value *v = emit_reshape(c, mask, 4, (const Dim *[]){d[0], one, rank == 3 ? d[1] : one, d[rank - 1]});
		hidden = emit2(c, OpEq, v, emit_const(c, v->type.dtype, 0));
	}
	Value *fill = emit_const(c, dtype, onnx_float(c, "mask_filter_value", -10000));
	Value *bias = emit3(c, OpWhere, hidden, fill, emit_const(c, dtype, 0));
	return more ? emit2(c, OpAdd, bias, more) : bias;
}

/* ---- one attention ----------------------------------------------------------------------------------------------- */

static void widen(Call *c, Attending *a)
{
	DType dtype = wide_type(a->q->type.dtype);
	a->q = emit_cast(c, a->q, dtype);
	a->k = emit_cast(c, a->k, dtype);
	a->v = emit_cast(c, a->v, dtype);
}

/* With the mask set; `past` keys precede those of the queries. */
static Value *finish(Call *c, Attending *a, const Dim *past, Value *mask, Value *more)
{
	DType stored = a->q->type.dtype;
	widen(c, a);
	a->left = a->right = -1;
	a->scale = onnx_float(c, "scale", 0);
	if (a->scale == 0)
		scale_by_width(c, a);
	Value *sees = onnx_int(c, "unidirectional", 0) ? see_window(c, a, past, -1, 0) : NULL;
	a->mask = join_masks(c, read_mask(c, mask, more, a), sees);
	return emit_cast(c, emit_merge(c, attend(c, a), 2), stored);
}

/* Columns q, k, v of x * weights + bias. */
void import_packed_attention(Call *c)
{
	Value *all = import_as(c, import_matmul, 2, c->in), *bias = input(c, 2), *past = input(c, 4), *in[3];
	all = bias ? emit2(c, OpAdd, all, bias) : all;
	require_rank(c, all, 3, "queries, keys and values");
	const Dim *width = all->type.dims[2], *start = num(c, 0), *before = num(c, 0);
	const int64_t *sizes;
	int nsize = onnx_ints(c, "qkv_hidden_sizes", &sizes);
	for (int i = 0; i < 3; i++) {
		if (nsize >= 0 && (nsize != 3 || sizes[i] < 0 || sizes[i] > DimMax))
			fatal_at(c->loc, "attribute 'qkv_hidden_sizes' has %d entries, or one out of range", nsize);
		const Dim *n = nsize == 3 ? num(c, sizes[i]) : divide_dims(c, width, num(c, 3));
		in[i] = split_heads(c, part(c, all, 2, start, n), onnx_int(c, "num_heads", 0));
		start = dim_add(c->m, start, n);
	}
	require_equal(c, start, width, "queries, keys and values");
	if (past) {
		require_rank(c, past, 5, "past");
		require_equal(c, past->type.dims[0], num(c, 2), "keys and values of the past");
		before = past->type.dims[3];
	}
	Value *present[2];
	for (int i = 0; i < 2; i++) {
		in[i + 1] = append_past(c, in[i + 1], past ? pick(c, past, 0, i) : NULL);
		const Dim *const *d = in[i + 1]->type.dims;
		present[i] = wants(c, 1) ? emit_reshape(c, swap_heads(c, in[i + 1]), 5, (const Dim *[]){num(c, 1), d[0], d[2], d[1], d[3]}) : NULL;
	}
	Attr axis = mk_int(Attr_axis, 0);
	if (wants(c, 1))
		c->out[1] = emit(c, OpConcat, 2, present, 1, &axis, NULL);
	Attending a = {.q = in[0], .k = in[1], .v = in[2]};
	c->out[0] = finish(c, &a, before, input(c, 3), input(c, 5));
}

/* Queries, keys and values as [batch, tokens, heads, width], without the bias: apart, or packed as [batch, tokens, heads, n, width]. */
static void read_qkv(Call *c, Value **out, int64_t heads)
{
	Value *q = c->in[0], *k = input(c, 1), *v = input(c, 2);
	bool all = q->type.rank == 5 && !k && !v, both = k && k->type.rank == 5 && !v;
	if (all || both) {
		Value *packed = all ? q : k;
		require_equal(c, packed->type.dims[3], num(c, all ? 3 : 2), "parts of the packed operand");
		for (int i = all ? 0 : 1; i < 3; i++)
			out[i] = pick(c, packed, 3, all ? i : i - 1);
	} else if (!k || !v || k->type.rank != v->type.rank) {
		fatal_at(c->loc, "keys or values are missing, or differ in rank");
	} else {
		for (int i = 1; i < 3; i++) /* of rank 4: as a cache */
			out[i] = c->in[i]->type.rank == 4 ? swap_heads(c, c->in[i]) : split_heads(c, c->in[i], heads);
	}
	if (!all)
		out[0] = split_heads(c, q, heads);
}

/* The bias of the projections: for queries, keys and values one behind the other; keys and values of a cache have theirs. */
static void add_bias(Call *c, Value *bias, Value **in)
{
	const Dim *start = num(c, 0);
	bool cached = input(c, 1) && c->in[1]->type.rank == 4;
	require_rank(c, bias, 1, "bias");
	for (int i = 0; i < 3; i++) {
		const Dim *const *d = in[i]->type.dims, *n = dim_mul(c->m, d[2], d[3]), *each[2] = {d[2], d[3]};
		if (!i || !cached)
			in[i] = emit2(c, OpAdd, in[i], emit_reshape(c, part(c, bias, 0, start, n), 2, each));
		start = dim_add(c->m, start, n);
	}
	require_equal(c, bias->type.dims[0], start, "elements of the bias");
}

void import_multi_head_attention(Call *c)
{
	Value *in[3], *past[2] = {input(c, 6), input(c, 7)};
	const Dim *before = num(c, 0);
	read_qkv(c, in, onnx_int(c, "num_heads", 0));
	if (input(c, 3))
		add_bias(c, c->in[3], in);
	if (!past[0] != !past[1])
		fatal_at(c->loc, "past keys without values, or values without keys");
	for (int i = 0; i < 2; i++) {
		in[i + 1] = append_past(c, in[i + 1], past[i]);
		if (wants(c, i + 1))
			c->out[i + 1] = swap_heads(c, in[i + 1]);
	}
	if (past[0])
		before = past[0]->type.dims[2];
	Attending a = {.q = in[0], .k = in[1], .v = in[2]};
	c->out[0] = finish(c, &a, before, input(c, 4), input(c, 5));
}

/* ---- positions --------------------------------------------------------------------------------------------------- */

/* As the standard's, with the inputs in another order; one position is that of the first token.  Without a number of heads, their width
 * is what turns. */
void import_ort_rotary(Call *c)
{
	Value *x = c->in[0], *at = c->in[1];
	int64_t heads = onnx_int(c, "num_heads", 0), stated = onnx_int(c, "rotary_embedding_dim", 0);
	require_rank(c, c->in[2], 2, "cosines");
	Rotary r = {.cosines = c->in[2], .sines = c->in[3], .width = dim_mul_const(c->m, c->in[2]->type.dims[1], 2),
	            .interleaved = onnx_int(c, "interleaved", 0)};
	bool second = x->type.rank == 4;
	if (second)
		x = swap_heads(c, x);
	else if (!heads && x->type.rank == 3 && !stated)
		x = emit_split(c, x, 2, divide_dims(c, x->type.dims[2], r.width));
	else
		x = split_heads(c, x, heads);
	if (stated < 0 || stated > DimMax)
		fatal_at(c->loc, "rotary_embedding_dim %lld is out of range", (long long)stated);
	if (stated)
		require_equal(c, r.width, num(c, stated), "rotary_embedding_dim and twice the cosines");
	const Dim *const *d = x->type.dims, *tokens[2] = {d[0], d[1]};
	if (at->type.rank == 1)
		at = emit2(c, OpAdd, emit_cast(c, at, I64), count_along(c, d[1], 2, 1));
	r.positions = emit_expand(c, at, 2, tokens);
	x = rotate_heads(c, x, &r);
	c->out[0] = second ? swap_heads(c, x) : emit_merge(c, x, 2);
}

/* ---- grouped queries and a cache that is filled in place ------------------------------------------------------------- */

enum { InQuery, InKey, InValue, InPastKey, InPastValue, InLast, InTotal, InCos, InSin, InPositions, InBias, InSink };

typedef struct Cache {
	const Dim *total, *room; /* keys of the longest batch, and for how many there is a place */
	Value *first, *n; /* of each batch, [batch, 1, 1, 1]: keys before the new ones, and with them */
} Cache;

/* The first call has nothing before it; later ones append their tokens to as many as the batch has by then. */
static void read_cache(Call *c, Cache *cache, const Dim *batch, const Dim *tokens)
{
	Value *last = input(c, InLast), *zero = emit_const(c, I64, 0);
	if (!last)
		fatal_at(c->loc, "input 'seqlens_k' is missing");
	if (need_dims(c, InTotal, "total_sequence_length", &cache->total, 1) != 1)
		fatal_at(c->loc, "input 'total_sequence_length' is not one number");
	if (!input(c, InPastKey) != !input(c, InPastValue))
		fatal_at(c->loc, "past keys without values, or values without keys");
	require_rank(c, last, last->type.rank == 2 ? 2 : 1, "seqlens_k"); /* [batch, 1] as well */
	require_equal(c, type_numel(c->m, &last->type), batch, "seqlens_k and batch");
	cache->room = input(c, InPastKey) ? dim_max(c->m, cache->total, c->in[InPastKey]->type.dims[2]) : cache->total;
	cache->n = emit2(c, OpAdd, lengths_of(c, last, batch), emit_const(c, I64, 1));
	Value *is_first = emit2(c, OpEq, emit_dims(c, 0, 1, &cache->total), emit_dims(c, 0, 1, &tokens));
	cache->first = emit3(c, OpWhere, is_first, zero, emit2(c, OpSub, cache->n, emit_dims(c, 0, 1, &tokens)));
}

/* The cache with the new tokens in their places: [batch, heads, room, width] */
static Value *fill_cache(Call *c, const Cache *cache, Value *past, Value *fresh)
{
	const Dim *const *d = fresh->type.dims, *none = num(c, 0), *all[4] = {d[0], d[2], cache->room, d[3]};
	if (!past && cache->room == d[1])
		return swap_heads(c, fresh);
	if (past)
		require_rank(c, past, 4, "past");
	const Dim *pads[8] = {none, none, none, none, none, none, past ? dim_sub(c->m, cache->room, past->type.dims[2]) : none, none};
	Attr more = mk_dims(c->m, Attr_pads_dim, 8, pads);
	Value *old = past ? emit(c, OpPad, 1, &past, 1, &more, NULL) : emit_expand(c, emit_const(c, fresh->type.dtype, 0), 4, all);
	Value *first = emit_reshape(c, cache->first, 1, d);
	return import_as(c, import_tensor_scatter, 3, (Value *[]){old, swap_heads(c, fresh), first});
}

/* Turned by the positions behind the keys of the cache, or by those that the model gives. */
static Value *rotate(Call *c, const Cache *cache, Value *x)
{
	const Dim *const *d = x->type.dims, *at[2] = {d[0], d[1]}, *one[2] = {d[0], num(c, 1)};
	Value *positions = input(c, InPositions);
	if (!input(c, InCos) || !input(c, InSin))
		fatal_at(c->loc, "attribute 'do_rotary' without cosines and sines");
	if (!positions)
		positions = emit2(c, OpAdd, emit_reshape(c, cache->first, 2, one), count_along(c, d[1], 2, 1));
	require_rank(c, c->in[InCos], 2, "cosines");
	Rotary r = {.cosines = c->in[InCos], .sines = c->in[InSin], .positions = emit_expand(c, positions, 2, at),
	            .width = dim_mul_const(c->m, c->in[InCos]->type.dims[1], 2), .interleaved = onnx_int(c, "rotary_interleaved", 0)};
	return rotate_heads(c, x, &r);
}

/* One more key that has no value: its score, one for all heads or for each, counts in the softmax alone. */
static void add_sink(Call *c, Attending *a, Value *score)
{
	const Dim *none = num(c, 0), *one = num(c, 1), *heads = a->q->type.dims[2];
	const Dim *pads[8] = {none, none, none, none, none, one, none, none};
	const Dim *all[4] = {a->q->type.dims[0], heads, a->q->type.dims[1], a->k->type.dims[1]};
	Attr more = mk_dims(c->m, Attr_pads_dim, 8, pads), axis = mk_int(Attr_axis, 3);
	DType dtype = a->q->type.dtype;
	if (score)
		score = emit_reshape(c, emit_cast(c, score, dtype), 4, (const Dim *[]){one, heads, one, one});
	else
		score = emit_const(c, dtype, 0);
	Value *mask = a->mask;
	if (mask->type.dtype == Bool)
		mask = emit3(c, OpWhere, mask, emit_const(c, dtype, 0), emit_const(c, dtype, -INFINITY));
	mask = emit_expand(c, mask, 4, all);
	all[3] = one;
	a->mask = emit(c, OpConcat, 2, (Value *[]){mask, emit_expand(c, score, 4, all)}, 1, &axis, NULL);
	a->k = emit(c, OpPad, 1, &a->k, 1, &more, NULL);
	a->v = emit(c, OpPad, 1, &a->v, 1, &more, NULL);
}

/* What batches see of their caches, and the bias, which knows nothing of unused places. */
static Value *read_cache_mask(Call *c, const Attending *a, const Cache *cache)
{
	int64_t window = onnx_int(c, "local_window_size", -1), left = window < 0 ? -1 : window < DimMax ? window - 1 : DimMax;
	bool causal = onnx_int(c, "causal", 1);
	if (window < -1 || !window || (window > 0 && !causal)) /* it counts the query's own key */
		fatal_at(c->loc, "attribute 'local_window_size' = %lld is below 1, or not causal", (long long)window);
	Value *sees = emit2(c, OpLt, count_along(c, cache->room, 4, 3), cache->n), *bias = input(c, InBias);
	Value *near = keys_in_window(c, a, cache->first, left, causal ? 0 : -1);
	if (near)
		sees = emit2(c, OpAnd, sees, near);
	if (!bias)
		return sees;
	require_rank(c, bias, 4, "attention_bias");
	const Dim *none = num(c, 0), *pads[8] = {none, none, none, none, none, none, none, dim_sub(c->m, cache->room, cache->total)};
	require_equal(c, bias->type.dims[3], cache->total, "attention_bias and total_sequence_length");
	Attr more = mk_dims(c->m, Attr_pads_dim, 8, pads);
	bias = emit_cast(c, bias, a->q->type.dtype);
	return join_masks(c, dim_equals(pads[7], 0) ? bias : emit(c, OpPad, 1, &bias, 1, &more, NULL), sees);
}

void import_group_query_attention(Call *c)
{
	int64_t heads = onnx_int(c, "num_heads", 0), kv_heads = onnx_int(c, "kv_num_heads", 0);
	Value *in[3], *packed = NULL;
	if (heads < 1 || kv_heads < 1 || heads > DimMax || heads % kv_heads)
		fatal_at(c->loc, "%lld query heads and %lld key heads", (long long)heads, (long long)kv_heads);
	if (!input(c, InKey) && !input(c, InValue))
		packed = split_heads(c, c->in[InQuery], heads + 2 * kv_heads);
	else if (!input(c, InKey) || !input(c, InValue))
		fatal_at(c->loc, "keys without values, or values without keys");
	for (int i = 0; i < 3; i++) {
		int64_t n = i ? kv_heads : heads;
		in[i] = packed ? part(c, packed, 2, num(c, i ? heads + (i - 1) * kv_heads : 0), num(c, n)) : split_heads(c, c->in[i], n);
	}
	DType stored = in[0]->type.dtype;
	Cache cache;
	read_cache(c, &cache, in[0]->type.dims[0], in[0]->type.dims[1]);
	for (int i = 0; i < 2 && onnx_int(c, "do_rotary", 0); i++)
		in[i] = rotate(c, &cache, in[i]);
	for (int i = 0; i < 2; i++) {
		Value *all = fill_cache(c, &cache, input(c, InPastKey + i), in[i + 1]);
		if (wants(c, i + 1))
			c->out[i + 1] = all;
		in[i + 1] = swap_heads(c, all);
	}
	Attending a = {.q = in[0], .k = in[1], .v = in[2], .left = -1, .right = -1, .softcap = onnx_float(c, "softcap", 0), .zero_masked = true};
	widen(c, &a);
	a.scale = onnx_float(c, "scale", 0);
	if (a.scale == 0)
		scale_by_width(c, &a);
	a.mask = read_cache_mask(c, &a, &cache);
	if (input(c, InSink) || onnx_int(c, "smooth_softmax", 0) == 1)
		add_sink(c, &a, input(c, InSink));
	c->out[0] = emit_cast(c, emit_merge(c, attend(c, &a), 2), stored);
}
