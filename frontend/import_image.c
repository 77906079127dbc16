/* import_image.c - operators that give an image another size: Resize by whole factors, blocks of pixels to channels and back. */
#include "build.h"
#include "import.h"

#include <string.h>

/* By how much each axis grows; whole numbers only. */
static void read_factors(Call *c, int64_t *factors)
{
	const Type *x = &c->in[0]->type;
	int at = c->opset < 11 ? 1 : 2, n;
	if (at < c->nin && c->in[at] && !dim_equals(type_numel(c->m, &c->in[at]->type), 0)) {
		const Const *k = c->in[at]->konst;
		if (!k || k->type.dtype != F32 || const_numel(&k->type) != x->rank)
			fatal_at(c->loc, "not supported: input 'scales' is not a constant with one element per axis");
		for (int i = 0; i < x->rank; i++) {
			float f;
			memcpy(&f, (const char *)k->data + i * sizeof f, sizeof f);
			factors[i] = f >= 1 && f <= 64 ? f : 0;
			if (factors[i] != f)
				fatal_at(c->loc, "not supported: scale %g of axis %d", f, i);
		}
		return;
	}
	const Dim *sizes[MaxRank], *q;
	n = need_dims(c, 3, "sizes", sizes, MaxRank);
	if (n != x->rank)
		fatal_at(c->loc, "input 'sizes' has %d elements for rank %d", n, x->rank);
	for (int i = 0; i < n; i++) {
		q = divide_dims(c, sizes[i], x->dims[i]);
		if (!dim_is_const(q, &factors[i]) || factors[i] < 1 || dim_mul(c->m, q, x->dims[i]) != sizes[i])
			fatal_at(c->loc, "not supported: resizing %s to %s", dim_text(c->m, x->dims[i]),
			         dim_text(c->m, sizes[i]));
	}
}

/* Nearest-neighbour growth by whole factors repeats elements: [.. d ..] -> [.. d, f ..] -> [.. d*f ..]. */
void import_resize(Call *c)
{
	Value *x = c->in[0];
	int64_t factors[MaxRank];
	const char *mode = onnx_text(c, "coordinate_transformation_mode");
	const char *round = onnx_text(c, "nearest_mode");
	bool from_floor = c->opset < 11 || (mode && !strcmp(mode, "asymmetric") && round && !strcmp(round, "floor"));
	bool half = !mode || !strcmp(mode, "half_pixel");
	if (!from_floor && !(half && (!round || !strncmp(round, "round_prefer_", 13))))
		fatal_at(c->loc, "not supported: nearest_mode %s with coordinates %s",
		         round ? round : "round_prefer_floor",
		         mode ? mode : "half_pixel");
	if (has_attr(c, "axes"))
		fatal_at(c->loc, "not supported: attribute 'axes'");
	read_factors(c, factors);
	const Dim *split[2 * MaxRank], *wide[2 * MaxRank], *out[MaxRank];
	int n = 0;
	for (int i = 0; i < x->type.rank; i++) {
		split[n] = x->type.dims[i];
		wide[n++] = x->type.dims[i];
		if (factors[i] != 1) {
			split[n] = num(c, 1);
			wide[n++] = num(c, factors[i]);
		}
		out[i] = dim_mul_const(c->m, x->type.dims[i], factors[i]);
	}
	Value *v = emit_expand(c, emit_reshape(c, x, n, split), n, wide);
	c->out[0] = emit_reshape(c, v, x->type.rank, out);
}

static Value *shuffle(Call *c, Value *x, int n, const Dim *const *split, const int *perm, const Dim *const *out)
{
	return emit_reshape(c, emit_transpose(c, emit_reshape(c, x, n, split), perm), 4, out);
}

static int64_t read_block(Call *c)
{
	int64_t b = onnx_int(c, "blocksize", 0);
	if (b < 1 || b > DimMax / 64 || c->in[0]->type.rank != 4)
		fatal_at(c->loc, "blocksize %lld and an operand of rank %d", (long long)b, c->in[0]->type.rank);
	return b;
}

void import_depth_to_space(Call *c)
{
	static const int dcr[6] = {0, 3, 4, 1, 5, 2}, crd[6] = {0, 1, 4, 2, 5, 3};
	int64_t b = read_block(c);
	const Dim *const *d = c->in[0]->type.dims, *block = num(c, b), *depth = divide_dims(c, d[1], num(c, b * b));
	bool columns = onnx_word(c, "mode", "CRD");
	const Dim *split[6] = {d[0], columns ? depth : block, block, columns ? block : depth, d[2], d[3]};
	const Dim *out[4] = {d[0], depth, dim_mul(c->m, d[2], block), dim_mul(c->m, d[3], block)};
	c->out[0] = shuffle(c, c->in[0], 6, split, columns ? crd : dcr, out);
}

void import_space_to_depth(Call *c)
{
	static const int perm[6] = {0, 3, 5, 1, 2, 4};
	int64_t b = read_block(c);
	const Dim *const *d = c->in[0]->type.dims, *block = num(c, b);
	const Dim *h = divide_dims(c, d[2], block), *w = divide_dims(c, d[3], block);
	const Dim *split[6] = {d[0], d[1], h, block, w, block};
	const Dim *out[4] = {d[0], dim_mul(c->m, d[1], num(c, b * b)), h, w};
	c->out[0] = shuffle(c, c->in[0], 6, split, perm, out);
}
