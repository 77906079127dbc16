/* import_nbits.c - weights of 2, 4 or 8 bits in blocks, each with a scale and a zero point of its own, as onnxruntime's operators have them.
 *
 * What comes out is (element - zero) * scale, rounded once, in f32, and products of that: the pass layout finds them however they are
 * spelled, and leaves the elements as few bits as they are.
 */
#include "build.h"
#include "import.h"

/* Elements of less than a byte, of which each byte of the last axis holds several; at last `n` to a row. */
static Value *unpack_bits(Call *c, Value *v, int64_t bits, const Dim *n)
{
	Type t = v->type;
	if (t.dtype != U8 || !t.rank)
		fatal_at(c->loc, "packed elements %s, expected bytes", type_text(c->m, &t));
	if (bits < 8) {
		t.dtype = bits == 4 ? U4 : U2;
		t.dims[t.rank - 1] = dim_mul_const(c->m, t.dims[t.rank - 1], 8 / bits);
		v = emit(c, OpUnpack, 1, &v, 0, NULL, &t);
	}
	return emit_range(c, v, t.rank - 1, num(c, 0), n, 1);
}

/* ---- a product -------------------------------------------------------------------------------------------------------- */

/* A matrix [n, blocks], which older models have as a vector. */
static Value *of_rows(Call *c, Value *v, const Dim *n, const Dim *blocks, const char *what)
{
	require_equal(c, type_numel(c->m, &v->type), dim_mul(c->m, n, blocks), what);
	if (v->type.rank != 1 && v->type.rank != 2)
		fatal_at(c->loc, "%s of rank %d", what, v->type.rank);
	return emit_reshape(c, v, 2, (const Dim *[]){n, blocks});
}

static int64_t bits_of_elements(Call *c)
{
	int64_t bits = onnx_int(c, "bits", 4);
	if (bits != 2 && bits != 4 && bits != 8)
		fatal_at(c->loc, "elements of %lld bits, expected 2, 4 or 8", (long long)bits);
	return bits;
}

/* Of each row of the matrix, its block: the groups lie in any order. */
static Value *block_of_rows(Call *c, Value *group, const Dim *rows, const Dim *merged, const Dim *blocks)
{
	int64_t most, x;
	if (group->type.rank != 1 || group->type.dtype != I32)
		fatal_at(c->loc, "g_idx %s, expected a vector of i32", type_text(c->m, &group->type));
	if (group->type.dims[0] != rows)
		require_equal(c, group->type.dims[0], merged, "elements of g_idx");
	if (!group->konst || !group->konst->data || !dim_is_const(blocks, &most))
		refuse_at(c->loc, "not supported: g_idx that is no constant");
	for (int64_t i = 0; i < const_numel(&group->type); i++)
		if (!scalar_as_int(scalar_at(I32, group->konst->data, i), &x) || x < 0 || x >= most)
			fatal_at(c->loc, "element %lld of g_idx is none of %lld blocks", (long long)i, (long long)most);
	return emit_range(c, group, 0, num(c, 0), rows, 1);
}

/* b [n, blocks, bytes] as the matrix [k, n] that it stands for. */
static Value *matrix_of_bits(Call *c, Value *b, const Dim *k, const Dim *n, int64_t block, int64_t bits)
{
	Module *m = c->m;
	const Dim *blocks = dim_ceildiv(m, k, num(c, block)), *merged = dim_mul_const(m, blocks, block);
	Value *scale = of_rows(c, c->in[2], n, blocks, "scales"), *zero = input(c, 3), *group = input(c, 4);
	if (!zero) {
		zero = emit_const(c, F32, 1 << (bits - 1));
	} else if (zero->type.dtype == U8) {
		const Dim *bytes = dim_ceildiv(m, dim_mul_const(m, blocks, bits), num(c, 8));
		zero = unpack_bits(c, of_rows(c, zero, n, bytes, "bytes of zero points"), bits, blocks);
	} else {
		zero = of_rows(c, zero, n, blocks, "zero points");
	}
	b = unpack_bits(c, b, bits, num(c, block));
	Value *w;
	if (group) {
		group = block_of_rows(c, group, k, merged, blocks);
		w = emit_range(c, emit_reshape(c, b, 2, (const Dim *[]){n, merged}), 1, num(c, 0), k, 1);
		w = dequantised(c, w, emit_gather(c, scale, group, 1), zero->type.rank ? emit_gather(c, zero, group, 1) : zero, F32);
	} else {
		w = dequantised(c, b, of_blocks(c, scale, 1), zero->type.rank ? of_blocks(c, zero, 1) : zero, F32);
		w = emit_range(c, emit_reshape(c, w, 2, (const Dim *[]){n, merged}), 1, num(c, 0), k, 1);
	}
	return emit_swap(c, w);
}

/* A product with a matrix whose columns are quantised in blocks.  Weights without any byte stand for zeros. */
void import_matmul_nbits(Call *c)
{
	Module *m = c->m;
	Value *a = c->in[0], *b = c->in[1], *bias = input(c, 5), *y;
	int64_t k = onnx_int(c, "K", 0), n = onnx_int(c, "N", 0), block = onnx_int(c, "block_size", 0), bits = bits_of_elements(c);
	if (k < 1 || n < 1 || k > DimMax || n > DimMax || block < 16 || block > DimMax || (block & (block - 1)))
		fatal_at(c->loc, "K=%lld, N=%lld, block_size=%lld: expected a power of 2, at least 16", (long long)k, (long long)n, (long long)block);
	if (b->type.rank != 3 || a->type.dtype != F32 || !a->type.rank)
		fatal_at(c->loc, "operands %s and %s", type_text(m, &a->type), type_text(m, &b->type));
	const Dim *const want[3] = {num(c, n), dim_ceildiv(m, num(c, k), num(c, block)), num(c, block * bits / 8)};
	bool none = false;
	for (int d = 0; d < 3; d++) {
		none |= dim_equals(b->type.dims[d], 0);
		if (!dim_equals(b->type.dims[d], 0))
			require_equal(c, b->type.dims[d], want[d], "dims of B");
	}
	require_equal(c, a->type.dims[a->type.rank - 1], num(c, k), "the last axis of A and K");
	if (none) {
		Type t = a->type;
		t.dims[t.rank - 1] = num(c, n);
		y = emit_expand(c, emit_const(c, F32, 0), t.rank, t.dims);
	} else {
		y = import_as(c, import_matmul, 2, (Value *[]){a, matrix_of_bits(c, b, num(c, k), num(c, n), block, bits)});
	}
	if (bias)
		require_equal(c, type_numel(m, &bias->type), num(c, n), "elements of the bias");
	c->out[0] = bias ? emit2(c, OpAdd, y, emit_reshape(c, bias, 1, (const Dim *[]){num(c, n)})) : y;
}

/* ---- rows of a table ---------------------------------------------------------------------------------------------------- */

/* Where an index stands for an element, and the indices with those that do not as 0. */
static Value *indices_inside(Call *c, Value **index, const Dim *extent)
{
	Value *size = emit_dims(c, 0, 1, &extent), *i = emit_cast(c, *index, I64);
	Value *inside = emit2(c, OpAnd, emit2(c, OpLe, emit1(c, OpNeg, size), i), emit2(c, OpLt, i, size));
	*index = emit3(c, OpWhere, inside, i, emit_const(c, I64, 0));
	return inside;
}

/* x, a result of gathering along `axis` of a tensor of rank `rank`, and 0 where the index is outside. */
static Value *zero_outside(Call *c, Value *x, Value *inside, int axis)
{
	const Dim *dims[MaxRank];
	int n = inside->type.rank;
	for (int d = 0; d < x->type.rank; d++)
		dims[d] = d >= axis && d < axis + n ? inside->type.dims[d - axis] : num(c, 1);
	return emit3(c, OpWhere, emit_reshape(c, inside, x->type.rank, dims), x, emit_const(c, x->type.dtype, 0));
}

/* A table whose rows are gathered. */
typedef struct Quantised {
	Value *elements, *scale, *zero; /* zero NULL: there is none; of rank 0: that of all */
	DType stored; /* of the elements, as the model has them */
	int64_t bits; /* of those of which each byte of the last axis holds several, or one; 0: elements are what they are */
	const Dim *last; /* how many of them a row of that axis has */
	int at, axis; /* that is gathered along; that blocks lie along */
	int64_t block; /* 0: one for the whole axis */
} Quantised;

static void check_table(Call *c, const Quantised *t)
{
	const Type *q = &t->elements->type;
	const int rank = q->rank;
	need_scale(c, t->scale);
	if (c->in[1]->type.dtype != I32 && c->in[1]->type.dtype != I64)
		fatal_at(c->loc, "indices of type %s, expected i32 or i64", dtypes[c->in[1]->type.dtype].text);
	const bool known = t->stored == U8 || t->stored == U4 || t->stored == I4 || is_tiny(t->stored);
	if (!known || (t->zero && (t->zero->type.dtype != t->stored || is_tiny(t->stored))))
		fatal_at(c->loc, "elements of type %s, or zero points of another", dtypes[t->stored].text);
	if (t->stored == U8 && (t->at != 0 || t->axis != rank - 1 || rank < 2))
		fatal_at(c->loc, "bytes are gathered along axis 0 and quantised along the last one, not %d and %d", t->at, t->axis);
	if (!(t->block == 0 && is_tiny(t->stored)) && (t->block < 16 || t->block > DimMax || (t->block & (t->block - 1))))
		fatal_at(c->loc, "block_size=%lld: expected a power of 2, at least 16", (long long)t->block);
	if (t->scale->type.rank != rank || (t->zero && t->zero->type.rank != rank))
		fatal_at(c->loc, "a scale or zero point of another rank than %s", type_text(c->m, q));
	if (t->block == 0)
		require_at_least(c, q->dims[t->axis], 1);
}

/* Constant integers of 4 bits become bytes of two, and lose their sign; but rows of them that are no whole bytes, or in which single ones are
 * gathered. */
static void pack_table(Call *c, Quantised *t)
{
	enum { Signs = 0x88, Least = 8 };
	const Const *k = t->elements->konst;
	Type type = t->elements->type;
	const int last = type.rank - 1;
	int64_t row, n;
	if (!k || !k->data || (t->stored != U4 && t->stored != I4) || t->at == t->axis || t->at == last)
		return;
	if (!dim_is_const(type.dims[last], &row) || row % 2)
		return;
	n = const_numel(&type) / 2;
	uint8_t *bytes = arena_alloc(c->m->arena, (size_t)n + 1);
	pack_elements(U4, k->data, 2 * n, bytes);
	for (int64_t i = 0; i < n && t->stored == I4; i++)
		bytes[i] ^= Signs;
	type.dtype = U8;
	type.dims[last] = num(c, row / 2);
	t->elements = new_const(c->m, NULL, type, bytes, (size_t)n)->value;
	t->bits = 4;
	if (t->stored == I4)
		t->zero = t->zero ? emit2(c, OpAdd, emit_cast(c, t->zero, I8), emit_const(c, I8, Least)) : emit_const(c, I8, Least);
}

/* Makes the rows of the table what there was of it. */
static void gather_rows(Call *c, Quantised *t, Value *index)
{
	const Dim *size = t->elements->type.dims[t->at];
	require_equal(c, t->scale->type.dims[t->at], size, "rows of the scale");
	t->scale = emit_gather(c, t->scale, index, t->at);
	if (t->zero && t->zero->type.rank) {
		require_equal(c, t->zero->type.dims[t->at], size, "rows of the zero point");
		t->zero = emit_gather(c, t->zero, index, t->at);
	}
	t->elements = emit_gather(c, t->elements, index, t->at);
	t->axis += t->axis > t->at ? index->type.rank - 1 : 0;
}

/* Elements are gathered as they are stored, and dequantised then, unless blocks lie along the axis itself. */
void import_gather_block_quantized(Call *c)
{
	Value *q = c->in[0], *index = c->in[1], *scale = c->in[2];
	const DType stored = q->type.dtype, real = scale->type.dtype;
	const int rank = q->type.rank;
	Quantised t = {.elements = q, .scale = scale, .zero = input(c, 3), .stored = stored, .bits = stored == U8 ? bits_of_elements(c) : 0,
	               .at = norm_axis(c, onnx_int(c, "gather_axis", 0), rank), .axis = norm_axis(c, onnx_int(c, "quantize_axis", 1), rank),
	               .block = onnx_int(c, "block_size", 128)};
	check_table(c, &t);
	t.last = dim_mul_const(c->m, q->type.dims[rank - 1], t.bits ? 8 / t.bits : 1);
	Value *inside = indices_inside(c, &index, q->type.dims[t.at]);
	if (stored == U8 && !t.zero)
		t.zero = emit_const(c, U8, 1 << (t.bits - 1));
	if (is_tiny(stored)) { /* one scale may stand for all of an axis */
		Type all = scale->type;
		for (int d = 0; d < rank; d++)
			if (d != t.axis && dim_equals(all.dims[d], 1))
				all.dims[d] = q->type.dims[d];
		t.scale = emit_expand(c, scale, rank, all.dims);
	}
	pack_table(c, &t);
	const bool later = t.at == t.axis;
	if (!later)
		gather_rows(c, &t, index);
	if (t.bits)
		t.elements = unpack_bits(c, t.elements, t.bits, t.last);
	if (stored == U8 && t.zero->type.rank)
		t.zero = unpack_bits(c, t.zero, t.bits, dim_ceildiv(c->m, t.last, num(c, t.block)));
	Value *v = t.block ? dequantised_blocks(c, t.elements, t.scale, t.zero, t.axis, t.block, wide_type(real))
	                   : dequantised(c, t.elements, t.scale, NULL, wide_type(real));
	v = emit_cast(c, v, real);
	c->out[0] = zero_outside(c, later ? emit_gather(c, v, index, t.at) : v, inside, t.at);
}
