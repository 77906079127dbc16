/* import_image.c - operators that give an image another size: blocks of pixels to channels and back, cut or padded around the middle. */
#include "build.h"
#include "import.h"

#include <string.h>

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
	static const int dcr[6] = {0, 3, 5, 1, 2, 4}, crd[6] = {0, 1, 3, 5, 2, 4};
	int64_t b = read_block(c);
	const Dim *const *d = c->in[0]->type.dims, *block = num(c, b);
	const Dim *h = divide_dims(c, d[2], block), *w = divide_dims(c, d[3], block);
	const Dim *split[6] = {d[0], d[1], h, block, w, block};
	const Dim *out[4] = {d[0], dim_mul(c->m, d[1], num(c, b * b)), h, w};
	c->out[0] = shuffle(c, c->in[0], 6, split, onnx_word(c, "mode", "CRD") ? crd : dcr, out);
}

/* What is too long is cut, what is too short is padded, on both sides alike; an odd element more goes to the end. */
void import_center_crop_pad(Call *c)
{
	Module *m = c->m;
	Value *x = c->in[0];
	const Dim *want[MaxRank], *pads[2 * MaxRank], *zero = num(c, 0), *two = num(c, 2);
	const int64_t *listed;
	int rank = x->type.rank, naxis = onnx_ints(c, "axes", &listed), n = need_dims(c, 1, "shape", want, MaxRank);
	bool grows = false;
	if (n != (naxis < 0 ? rank : naxis))
		fatal_at(c->loc, "input 'shape' has %d elements for %d axes", n, naxis < 0 ? rank : naxis);
	for (int i = 0; i < 2 * rank; i++)
		pads[i] = zero;
	for (int i = 0; i < n; i++) {
		int axis = naxis < 0 ? i : norm_axis(c, listed[i], rank);
		const Dim *have = x->type.dims[axis], *cut = dim_max(m, dim_sub(m, have, want[i]), zero);
		require_at_least(c, want[i], 0);
		x = emit_range(c, x, axis, dim_floordiv(m, cut, two), dim_sub(m, have, cut), 1);
		const Dim *lack = dim_sub(m, want[i], dim_sub(m, have, cut));
		pads[axis] = dim_floordiv(m, lack, two);
		pads[rank + axis] = dim_sub(m, lack, pads[axis]);
		grows |= !dim_equals(lack, 0);
	}
	Attr a = mk_dims(m, Attr_pads_dim, 2 * rank, pads);
	c->out[0] = grows ? emit(c, OpPad, 1, &x, 1, &a, NULL) : x;
}
