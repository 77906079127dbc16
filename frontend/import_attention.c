/* import_attention.c - Attention and FlexAttention in all their forms, and RotaryEmbedding.
 *
 * Operands become [batch, tokens, heads, width], which is what the IR's attention takes.  What that op has no attribute
 * for is a mask (windows that it does not share, lengths per batch).  Where the model looks between the products, they are
 * nodes of their own.
 */
#include "attention.h"
#include "import.h"

#include <math.h>
#include <string.h>

static const int heads_second[4] = {0, 2, 1, 3}; /* [batch, heads, tokens, width] <-> [batch, tokens, heads, width] */

enum { InQ, InK, InV, InMask, InPastK, InPastV, InLengths };
enum { OutY, OutK, OutV, OutScores };

static bool wants(const Call *c, int i)
{
	return i < c->nout && c->wanted[i];
}

/* ---- what attention operators share ------------------------------------------------------------------------------ */

Value *split_heads(Call *c, Value *v, int64_t heads)
{
	if (v->type.rank != 3 || heads < 1 || heads > DimMax)
		fatal_at(c->loc, "an operand of rank %d with %lld heads", v->type.rank, (long long)heads);
	return emit_split(c, v, 2, num(c, heads));
}

Value *append_past(Call *c, Value *v, Value *past)
{
	Attr a = mk_int(Attr_axis, 1);
	if (!past)
		return v;
	if (past->type.rank != 4)
		fatal_at(c->loc, "earlier keys or values have rank %d, expected 4", past->type.rank);
	return emit(c, OpConcat, 2, (Value *[]){emit_transpose(c, past, heads_second), v}, 1, &a, NULL);
}

void scale_by_width(Call *c, Attending *a)
{
	int64_t n;
	const Dim *width = a->q->type.dims[3];
	bool known = dim_is_const(width, &n);
	a->scale = known && n ? 1 / sqrt((double)n) : 1;
	if (!known)
		a->q = emit2(c, OpMul, a->q, emit_rsqrt(c, a->q->type.dtype, width));
}

Value *attend(Call *c, const Attending *a)
{
	Attr attrs[5] = {mk_float(Attr_scale, a->scale), mk_int(Attr_zero_masked, a->zero_masked), mk_float(Attr_softcap, a->softcap),
	                 mk_int(Attr_left, a->left), mk_int(Attr_right, a->right)};
	const Dim *scores[4] = {a->q->type.dims[0], a->q->type.dims[2], a->q->type.dims[1], a->k->type.dims[1]};
	Value *mask = a->mask && c->m->broadcast_symbols ? emit_expand(c, a->mask, 4, scores) : a->mask;
	return emit(c, OpAttention, mask ? 4 : 3, (Value *[]){a->q, a->k, a->v, mask}, 5, attrs, NULL);
}

/* ---- masks ----------------------------------------------------------------------------------------------------- */

static Value *both(Call *c, Value *a, Value *b)
{
	return a && b ? emit2(c, OpAnd, a, b) : a ? a : b;
}

Value *join_masks(Call *c, Value *mask, Value *sees)
{
	if (!mask || !sees || mask->type.dtype == Bool)
		return both(c, mask, sees);
	return emit3(c, OpWhere, sees, mask, emit_const(c, mask->type.dtype, -INFINITY));
}

static int64_t read_bound(Call *c, const char *name)
{
	int64_t n = onnx_int(c, name, -1);
	if (n < -1)
		fatal_at(c->loc, "attribute '%s' = %lld is negative", name, (long long)n);
	return n < DimMax ? n : DimMax;
}

/* The number of keys of each batch, as [batch, 1, 1, 1]; NULL: all have as many. */
static Value *read_lengths(Call *c, const Dim *batch)
{
	Value *n = input(c, InLengths);
	const Dim *one = num(c, 1);
	if (!n)
		return NULL;
	if (n->type.rank != 1 || input(c, InPastK) || input(c, InPastV))
		fatal_at(c->loc, "the lengths of the keys have rank %d, or stand beside earlier keys", n->type.rank);
	require_equal(c, n->type.dims[0], batch, "lengths of the keys and batch");
	return emit_reshape(c, emit_cast(c, n, I64), 4, (const Dim *[]){batch, one, one, one});
}

Value *keys_in_window(Call *c, const Attending *a, Value *first, int64_t left, int64_t right)
{
	Value *key = count_along(c, a->k->type.dims[1], 4, 3), *sees = NULL;
	Value *here = emit2(c, OpAdd, count_along(c, a->q->type.dims[1], 4, 2), first);
	if (left >= 0)
		sees = emit2(c, OpLe, emit2(c, OpSub, here, emit_const(c, I64, left)), key);
	if (right >= 0)
		sees = both(c, sees, emit2(c, OpLe, key, emit2(c, OpAdd, here, emit_const(c, I64, right))));
	return sees;
}

Value *see_window(Call *c, Attending *a, const Dim *past, int64_t left, int64_t right)
{
	if (dim_add(c->m, past, a->q->type.dims[1]) != a->k->type.dims[1])
		return keys_in_window(c, a, emit_dims(c, 0, 1, &past), left, right);
	a->left = left;
	a->right = right;
	return NULL;
}

/* What a query sees by its place among the keys, which are `past` ones and then, as the queries, new ones; or, where batches have
 * lengths, as many, the last of which belongs to the last query. */
static Value *visible_keys(Call *c, Attending *a, const Dim *past)
{
	const Dim *queries = a->q->type.dims[1], *keys = a->k->type.dims[1];
	int64_t left = read_bound(c, "left_window_size"), right = read_bound(c, "right_window_size");
	Value *lengths = read_lengths(c, a->q->type.dims[0]);
	if (onnx_int(c, "is_causal", 0))
		right = 0;
	if (!lengths)
		return see_window(c, a, past, left, right);
	Value *first = emit2(c, OpSub, lengths, emit_dims(c, 0, 1, &queries));
	return both(c, emit2(c, OpLt, count_along(c, keys, 4, 3), lengths), keys_in_window(c, a, first, left, right));
}

/* Since opset 24 a mask may be shorter than the keys: those beyond it are not seen. */
static Value *lengthen_mask(Call *c, Value *mask, const Dim *keys)
{
	int rank = mask->type.rank;
	const Dim *have = rank ? mask->type.dims[rank - 1] : keys, *pads[2 * MaxRank];
	if (have == keys || c->opset < 24)
		return mask;
	for (int i = 0; i < 2 * rank; i++)
		pads[i] = num(c, 0);
	pads[2 * rank - 1] = dim_sub(c->m, keys, have);
	require_at_least(c, pads[2 * rank - 1], 0);
	Scalar none = scalar_of_real(mask->type.dtype, mask->type.dtype == Bool ? 0 : -INFINITY);
	Attr attrs[2] = {mk_dims(c->m, Attr_pads_dim, 2 * rank, pads), mk_scalar(Attr_value, none)};
	return emit(c, OpPad, 1, &mask, 2, attrs, NULL);
}

static Value *read_mask(Call *c, const Attending *a)
{
	Value *mask = input(c, InMask);
	if (!mask)
		return NULL;
	if (mask->type.dtype != Bool && dtypes[mask->type.dtype].cls != ClassFloat)
		fatal_at(c->loc, "the mask has type %s, expected bool or a floating type", dtypes[mask->type.dtype].text);
	if (mask->type.dtype != Bool)
		mask = emit_cast(c, mask, a->q->type.dtype);
	return lengthen_mask(c, mask, a->k->type.dims[1]);
}

/* ---- Attention --------------------------------------------------------------------------------------------------- */

static Value *read_tokens(Call *c, int i, int64_t heads)
{
	Value *v = c->in[i];
	return v->type.rank == 4 ? emit_transpose(c, v, heads_second) : split_heads(c, v, heads);
}

/* The inverse of read_tokens() for a result of the rank of operand 0. */
static Value *join_heads(Call *c, Value *v)
{
	return c->in[InQ]->type.rank == 4 ? emit_transpose(c, v, heads_second) : emit_merge(c, v, 2);
}

/* Keys or values with those of earlier calls; the model may ask for both. */
static Value *read_cache(Call *c, int i, int past, int present, int64_t heads)
{
	Value *v = append_past(c, read_tokens(c, i, heads), input(c, past));
	if (wants(c, present))
		c->out[present] = emit_transpose(c, v, heads_second);
	return emit_cast(c, v, wide_type(c->in[InQ]->type.dtype));
}

static DType read_precision(Call *c, DType dflt)
{
	int64_t onnx = onnx_int(c, "softmax_precision", 0);
	DType dtype = dflt;
	if (onnx && (onnx != (int)onnx || !onnx_dtype((int)onnx, &dtype) || dtypes[dtype].cls != ClassFloat))
		fatal_at(c->loc, "attribute 'softmax_precision' = %lld is no floating type", (long long)onnx);
	return dtype;
}

/* The same as y step by step; the model gets the step that it looks at. */
static Value *attend_openly(Call *c, Value *y, DType precision)
{
	int64_t mode = onnx_int(c, "qk_matmul_output_mode", 0);
	Value *steps[4];
	if (mode < 0 || mode > 3)
		refuse_at(c->loc, "attribute 'qk_matmul_output_mode' = %lld is not supported", (long long)mode);
	y = attention_openly(c->m, y->def, NULL, precision, steps);
	if (wants(c, OutScores))
		c->out[OutScores] = emit_cast(c, steps[mode], c->in[InQ]->type.dtype);
	return y;
}

void import_attention(Call *c)
{
	DType stored = c->in[InQ]->type.dtype, dtype = wide_type(stored), precision = read_precision(c, stored);
	Attending a = {.scale = onnx_float(c, "scale", 1), .softcap = onnx_float(c, "softcap", 0), .left = -1, .right = -1};
	int64_t kv_heads = onnx_int(c, "kv_num_heads", 0);
	if (precision == stored || dtypes[precision].bytes > dtypes[dtype].bytes)
		precision = dtype; /* as good */
	if (!input(c, InPastK) != !input(c, InPastV))
		fatal_at(c->loc, "earlier keys without values, or values without keys");
	a.q = emit_cast(c, read_tokens(c, InQ, onnx_int(c, "q_num_heads", 0)), dtype);
	a.k = read_cache(c, InK, InPastK, OutK, kv_heads);
	a.v = read_cache(c, InV, InPastV, OutV, kv_heads);
	if (!has_attr(c, "scale"))
		scale_by_width(c, &a);
	const Dim *past = input(c, InPastK) ? c->in[InPastK]->type.dims[2] : num(c, 0);
	Value *sees = visible_keys(c, &a, past);
	a.mask = join_masks(c, read_mask(c, &a), sees);
	a.zero_masked = a.mask != NULL; /* as ONNX defines; a window always has the query's own key */
	Value *y = attend(c, &a);
	if (precision != dtype || wants(c, OutScores))
		y = attend_openly(c, y, precision);
	c->out[OutY] = join_heads(c, emit_cast(c, y, stored));
}

/* ---- FlexAttention ----------------------------------------------------------------------------------------------- */

/* x as the graph of an attribute changes it. */
static Value *modify(Call *c, const char *attr, Value *x)
{
	Item in = {.tensor = x}, out;
	if (!has_attr(c, attr))
		return x;
	const OnnxGraph *g = body_of(c, attr);
	if (g->n_input != 1 || g->n_output != 1)
		fatal_at(c->loc, "attribute '%s': %zu inputs and %zu outputs, expected one", attr, g->n_input, g->n_output);
	import_body(c, g, c->im->block, 1, &in, 1, &out);
	if (!out.tensor)
		fatal_at(c->loc, "attribute '%s' makes no tensor", attr);
	Value *y = out.tensor;
	if (y->type.dtype != x->type.dtype || y->type.rank != 4)
		fatal_at(c->loc, "attribute '%s' makes %s of %s", attr, type_text(c->m, &y->type), type_text(c->m, &x->type));
	for (int i = 0; i < 4; i++)
		require_equal(c, y->type.dims[i], x->type.dims[i], attr);
	return emit_reshape(c, y, 4, x->type.dims);
}

void import_flex_attention(Call *c)
{
	DType stored = c->in[InQ]->type.dtype, dtype = wide_type(stored), precision = read_precision(c, dtype);
	Attending a = {.scale = onnx_float(c, "scale", 1), .left = -1, .right = -1};
	Attr axis = mk_int(Attr_axis, 3);
	for (int i = InQ; i <= InV; i++)
		if (c->in[i]->type.rank != 4 || c->in[i]->type.dtype != stored)
			fatal_at(c->loc, "operand %d is %s, expected rank 4 and %s", i, type_text(c->m, &c->in[i]->type), dtypes[stored].text);
	a.q = emit_cast(c, read_tokens(c, InQ, 0), dtype);
	a.k = emit_cast(c, read_tokens(c, InK, 0), dtype);
	a.v = emit_cast(c, read_tokens(c, InV, 0), dtype);
	if (!has_attr(c, "scale"))
		scale_by_width(c, &a);
	const Node *whole = attend(c, &a)->def;
	Value *s = modify(c, "score_mod", emit_cast(c, attention_scores(c->m, whole, NULL), precision));
	Value *p = modify(c, "prob_mod", emit(c, OpSoftmax, 1, &s, 1, &axis, NULL));
	c->out[OutY] = join_heads(c, emit_cast(c, attention_values(c->m, whole, NULL, p), stored));
}

/* ---- rotary embedding ------------------------------------------------------------------------------------------ */

/* cos or sin as [batch, tokens, 1, half]: looked up by position, or given for each token. */
static Value *rotation(Call *c, Value *table, Value *positions, const Value *x, const Dim *half)
{
	Attr axis = mk_int(Attr_axis, 0);
	if (positions)
		table = emit(c, OpGather, 2, (Value *[]){table, positions}, 1, &axis, NULL);
	if (table->type.rank != 3)
		fatal_at(c->loc, "cosines and sines of rank %d, expected 3", table->type.rank);
	const Dim *const *d = table->type.dims;
	require_equal(c, d[1], x->type.dims[1], "tokens");
	require_equal(c, d[2], half, "half of the rotated width");
	return emit_reshape(c, table, 4, (const Dim *[]){d[0], d[1], num(c, 1), d[2]});
}

Value *rotate_heads(Call *c, Value *x, const Rotary *r)
{
	const Dim *width = x->type.dims[3], *zero = num(c, 0), *half = divide_dims(c, r->width, num(c, 2));
	int at = r->interleaved ? 4 : 3, apart = r->interleaved ? 3 : 4; /* axis of the halves, and where [2] stands beside it */
	Value *head = emit_range(c, x, 3, zero, r->width, 1), *side[2], *turned[2];
	require_equal(c, dim_mul_const(c->m, half, 2), r->width, "twice half of the rotated width");
	const Dim *const *d = x->type.dims, *pairs[5] = {d[0], d[1], d[2]}, *flat[4] = {d[0], d[1], d[2], half}, *one[5] = {d[0], d[1], d[2]};
	pairs[apart] = one[apart] = half;
	pairs[7 - apart] = num(c, 2);
	one[7 - apart] = num(c, 1);
	head = emit_reshape(c, head, 5, pairs);
	for (int i = 0; i < 2; i++)
		side[i] = emit_reshape(c, emit_range(c, head, at, num(c, i), num(c, 1), 1), 4, flat);
	Value *cosine = rotation(c, r->cosines, r->positions, x, half), *sine = rotation(c, r->sines, r->positions, x, half);
	turned[0] = emit2(c, OpSub, emit2(c, OpMul, side[0], cosine), emit2(c, OpMul, side[1], sine));
	turned[1] = emit2(c, OpAdd, emit2(c, OpMul, side[0], sine), emit2(c, OpMul, side[1], cosine));
	for (int i = 0; i < 2; i++)
		turned[i] = emit_reshape(c, turned[i], 5, one);
	Attr axis = mk_int(Attr_axis, at), last = mk_int(Attr_axis, 3);
	Value *y = emit_reshape(c, emit(c, OpConcat, 2, turned, 1, &axis, NULL), 4, (const Dim *[]){d[0], d[1], d[2], r->width});
	if (r->width == width)
		return y;
	Value *rest = emit_range(c, x, 3, r->width, dim_sub(c->m, width, r->width), 1);
	return emit(c, OpConcat, 2, (Value *[]){y, rest}, 1, &last, NULL);
}

void import_rotary_embedding(Call *c)
{
	Value *x = read_tokens(c, 0, onnx_int(c, "num_heads", 0));
	int64_t stated = onnx_int(c, "rotary_embedding_dim", 0);
	if (stated < 0 || stated > DimMax)
		fatal_at(c->loc, "rotary_embedding_dim %lld is out of range", (long long)stated);
	Rotary r = {.cosines = c->in[1], .sines = c->in[2], .positions = input(c, 3), .interleaved = onnx_int(c, "interleaved", 0),
	            .width = stated ? num(c, stated) : x->type.dims[3]};
	c->out[0] = join_heads(c, rotate_heads(c, x, &r));
}
