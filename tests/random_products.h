/* random_products.h - matrix products, windows and attention for random_graph.h, one step for each. */
#ifndef DCC_RANDOM_PRODUCTS_H
#define DCC_RANDOM_PRODUCTS_H

#include "../ir/sparse.h"
#include "../ir/strassen.h"
#include "../ir/winograd.h"
#include "random_steps.h"

/* ---- steps: products -------------------------------------------------------------------------------------------- */

static Val weight(Gen *g, DType t, int64_t k, int64_t n)
{
	const Dim *dims[2] = {num(g, k), num(g, n)};
	return new_weight(g, typed(t, 2, dims), (once(g, 2) ? 0.3 : 1.2) / sqrt((double)k + 1));
}

static Val bias(Gen *g, DType t, int64_t n)
{
	const Dim *dims[1] = {num(g, n)};
	return once(g, 2) ? new_weight(g, typed(t, 1, dims), 0.5) : (Val){0};
}

/* The sums v of k products of x with new weights w, which are independent of x, and a bias. */
static Val met(Gen *g, Val x, Val w, Val b, double k, Value *v)
{
	const double sums = sum_of(k), bound = sums * x.bound * w.bound + b.bound;
	return rounded(g, v, bound, sqrt(k) * (x.noise * w.bound + 0.5 * ulp(v->type.dtype) * bound), false);
}

static int64_t pick_width(Gen *g)
{
	return (int64_t[]){1, 2, 4, 8, 12, 16, 31, 32, 33, 40}[pick(g, 10)];
}

static Val linear(Gen *g, Val x, int64_t n, bool op)
{
	int64_t k = fixed(x.v->type.dims[x.v->type.rank - 1]);
	need(g, k > 0);
	DType t = x.v->type.dtype;
	Val w = weight(g, t, k, n), b = bias(g, t, n);
	if (op)
		return met(g, x, w, b, (double)k, emit(g, OpLinear, 3, (Value *[]){x.v, w.v, b.v}, 0, NULL, NULL));
	Val y = met(g, x, w, (Val){0}, (double)k, emit(g, OpMatMul, 2, (Value *[]){x.v, w.v}, 0, NULL, NULL));
	return b.v ? binary(g, OpAdd, y, b) : y;
}

/* Some of the equal parts of the last axis of `all`, in any order, and what becomes of them. */
static Val combine_parts(Gen *g, Val all, int parts, int64_t width, int64_t excess)
{
	static const Op acts[] = {OpSigmoid, OpTanh, OpIdentity, OpRelu, OpNeg};
	Val y = {0};
	for (int i = 1 + pick(g, 4); i > 0; i--) {
		int number = pick(g, parts);
		Val part = slice_axis(g, all, all.v->type.rank - 1, num(g, number * width + (number ? excess : 0)), num(g, width));
		part = once(g, 12) ? part : unary(g, acts[pick(g, 5)], part);
		y = !y.v ? part : binary(g, once(g, 2) ? OpAdd : OpMul, y, part);
	}
	return y;
}

/* Columns of a linear as gates: nodes on whole rows, then on parts of them, as a rule equal ones. */
static Val gates(Gen *g, Val x, int64_t width, bool op)
{
	int parts = 2 + pick(g, 3);
	int64_t excess = once(g, 6) ? 1 + pick(g, 3) : 0;
	Val all = linear(g, x, parts * width + excess, op), y;
	if (once(g, 2))
		all = once(g, 2) ? unary(g, OpTanh, all) : binary(g, OpAdd, all, pick_partner(g, &all.v->type));
	y = combine_parts(g, all, parts, width, excess);
	return once(g, 2) ? y : binary(g, once(g, 2) ? OpAdd : OpMul, pick_partner(g, &y.v->type), y);
}

static Val step_linear(Gen *g)
{
	Val x = pick_own(g, 1, 4);
	return linear(g, with_extent(g, x, x.v->type.rank - 1, 1), pick_width(g), true);
}

static Val step_matmul(Gen *g)
{
	Val x = pick_own(g, 1, 4);
	int r = x.v->type.rank;
	bool ta = r > 1 && once(g, 4), tb = once(g, 3);
	const Dim *k = x.v->type.dims[r == 1 || !ta ? r - 1 : r - 2], *n = pick_dim(g);
	Type t = {.dtype = g->type};
	for (int d = 0; d < r - 2 && once(g, 2); d++)
		t.dims[t.rank++] = once(g, 4) ? num(g, 1) : x.v->type.dims[d];
	if (t.rank && t.rank != r - 2)
		t.rank = 0;
	if (once(g, 6) && !t.rank) {
		t.dims[t.rank++] = k;
		tb = false;
	} else {
		t.dims[t.rank++] = tb ? n : k;
		t.dims[t.rank++] = tb ? k : n;
	}
	Val y = once(g, 2) && all_const(&t) ? new_weight(g, t, 0.5) : pick_typed(g, &t);
	return matmul(g, x, y, ta, tb);
}

/* What `op` makes of x, [.., parts * width] of the type t; where its columns are read as parts, in a group with what does that. */
static Val in_parts(Gen *g, Op op, int nin, Value *const *in, int nattr, const Attr *attrs, const Type *t, int parts, int64_t width, double bound, double noise)
{
	Block *outer = g->block;
	Node *group = parts > 1 ? new_node(g->m, outer, NULL, OpGroup, NULL, 0, NULL) : NULL;
	g->block = group ? group->body : outer;
	Val y = rounded(g, emit(g, op, nin, in, nattr, attrs, t), bound, noise, false);
	if (!group)
		return y;
	y = combine_parts(g, once(g, 2) ? y : unary(g, OpTanh, y), parts, width, 0);
	g->block = outer;
	add_yield(g->m, group->body, y.v);
	need(g, !add_body_results(g->m, group, NULL));
	return finish(g, group->out[0], y.bound, y.noise, y.exact);
}

/* A matrix in panels, which is kept, or as sums of its blocks; and rows times them; parts are something that only f32 has a schedule for. */
static Val step_packed(Gen *g)
{
	const bool sums = g->op == OpStrassen || g->op == OpStrassenWeights;
	g->type = sums ? F32 : g->type;
	Val x = pick_own(g, 1, 3);
	int r = x.v->type.rank, parts = (g->op == OpPack || g->type == F32) && once(g, 2) ? 1 + pick(g, sums ? 2 : MaxParts) : 1;
	x = with_extent(g, x, r - 1, sums ? StrassenDepth : 1);
	int64_t k = fixed(x.v->type.dims[r - 1]), width = pick_width(g), n = parts * width;
	const Dim *dims[3] = {num(g, k), num(g, n)}, *panels[3] = {panel_count(g->m, dims[1], parts), dims[0], num(g, PanelWidth)};
	Type wt = typed(g->type, 2, dims), pt = typed(g->type, 3, panels), t = x.v->type;
	Val w = sums ? weight(g, F32, k, n) : pick_typed(g, &wt), b = bias(g, g->type, n);
	Attr attr = mk_int(Attr_parts, parts);
	if (sums)
		w = rounded(g, emit(g, OpStrassenWeights, 1, &w.v, 1, &attr, NULL), 2 * w.bound, ulp(F32) * 2 * w.bound, false);
	else
		w = moved(g, w, emit(g, OpPack, 1, &w.v, 1, &attr, &pt));
	if (g->op == OpPack || g->op == OpStrassenWeights)
		return w;
	t.dims[r - 1] = dims[1];
	double most = (sums ? sum_of((double)k) : (double)k) * x.bound * w.bound, noise = sqrt((double)k) * (x.noise * w.bound + w.noise * x.bound + ulp(g->type) * most);
	const double loss = sums ? 8 : 1; /* of rounding errors, against the direct sum */
	return in_parts(g, sums ? OpStrassen : OpLinearPacked, 3, (Value *[]){x.v, w.v, b.v}, 1, &attr, &t, parts, width, most + 1, loss * noise);
}

/* Bytes, and rows of them times a constant matrix of others, or that matrix packed. */
static Val step_bytes(Gen *g)
{
	g->type = U8;
	Val x = pick_own(g, 1, 3);
	const int rank = x.v->type.rank, inner = rank > 1 && once(g, 3) ? 2 : 1;
	Type t = of_dtype(x.v->type, I32);
	int64_t k = 1, n = pick_width(g);
	for (int d = rank - inner; d < rank; d++) {
		x = with_extent(g, x, d, 1);
		k *= fixed(x.v->type.dims[d]);
	}
	const Dim *dims[2] = {num(g, k), num(g, n)};
	Val w = new_weight(g, typed(I8, 2, dims), 0);
	Value *p = emit(g, OpPackBytes, 1, &w.v, 0, NULL, NULL);
	if (g->op == OpPackBytes)
		return finish(g, p, greatest(I32), 0, true);
	Attr attr = mk_int(Attr_inner, inner);
	t.rank = rank - inner + 1;
	t.dims[rank - inner] = dims[1];
	return finish(g, emit(g, OpLinearBytes, 2, (Value *[]){x.v, p}, 1, &attr, &t), greatest(I32), 0, true);
}

static Val packed_linear(Gen *g, Val x, int64_t n, bool feeds)
{
	const int r = x.v->type.rank;
	const int64_t k = fixed(x.v->type.dims[r - 1]);
	need(g, k > 0);
	const Dim *panels[3] = {panel_count(g->m, num(g, n), 1), num(g, k), num(g, PanelWidth)};
	Val w = weight(g, F32, k, n), b = bias(g, F32, n);
	const Type pt = typed(F32, 3, panels);
	const Attr attr = mk_int(Attr_feeds, feeds);
	Type t = x.v->type;
	Value *p = emit(g, OpPack, 1, &w.v, 0, NULL, &pt);
	t.dims[r - 1] = num(g, n);
	return met(g, x, w, b, (double)k, emit(g, OpLinearPacked, 3, (Value *[]){x.v, p, b.v}, 1, &attr, &t));
}

/* Of most pieces of a row of w, or of all, or none, as chance has it, nothing is left but zeros. */
static void prune(Gen *g, Val w)
{
	const int zeros = pick(g, 6);
	const int64_t n = const_numel(&w.v->type);
	float *data = (float *)w.v->konst->data;
	for (int64_t i = 0; i < n; i += SparseWidth / 2)
		for (int64_t j = i; zeros && !once(g, zeros) && j < n && j < i + SparseWidth / 2; j++)
			data[j] *= 0;
}

/* What is left of weights, and rows times them. */
static Val step_sparse(Gen *g)
{
	g->type = F32;
	Val x = pick_own(g, 1, 3);
	const int r = x.v->type.rank, parts = once(g, 2) ? 1 + pick(g, MaxParts) : 1;
	x = with_extent(g, x, r - 1, 1);
	const bool apart = g->op == OpSparse ? r == 1 && once(g, 2) : once(g, 2); /* for one row */
	const int64_t k = fixed(x.v->type.dims[r - 1]), width = pick_width(g), n = parts * width;
	const Dim *cols = num(g, n);
	need(g, k > 0);
	Val w = weight(g, F32, k, n), b = bias(g, F32, n);
	prune(g, w);
	const Tensor t = {.dtype = F32, .rank = 2, .dims = {k, n}, .data = (void *)w.v->konst->data};
	const Dim *entries[2] = {num(g, sparse_entries(g->m->arena, &t, parts, apart)), num(g, SparseWidth)}, *length[1] = {sparse_index_length(g->m, cols, parts, apart, entries[0])};
	const Type values = typed(F32, 2, entries), places = typed(I32, 1, length);
	const Attr attrs[] = {mk_int(Attr_parts, parts), mk_int(Attr_apart, apart)};
	if (g->op == OpSparseWeights)
		return moved(g, w, emit(g, OpSparseWeights, 1, &w.v, 2, attrs, &values));
	Value *index = emit(g, OpSparseIndex, 1, &w.v, 2, attrs, &places);
	if (g->op == OpSparseIndex)
		return finish(g, index, (double)(k * n), 0, true);
	Value *left = emit(g, OpSparseWeights, 1, &w.v, 2, attrs, &values);
	Type y = x.v->type;
	y.dims[r - 1] = cols;
	double most = sum_of((double)k) * x.bound * w.bound, noise = sqrt((double)k) * (x.noise * w.bound + ulp(F32) * most);
	return in_parts(g, OpSparse, 4, (Value *[]){x.v, left, b.v, index}, 2, attrs, &y, parts, width, most + 1, noise);
}

/* Integers with scales and perhaps zero points, by blocks or columns, and rows times what they stand for. */
static Val step_scaled(Gen *g)
{
	g->type = F32;
	Val x = pick_own(g, 1, 3);
	const int r = x.v->type.rank, parts = once(g, 2) ? 1 + pick(g, MaxParts) : 1, zeros = pick(g, 3);
	x = with_extent(g, x, r - 1, 1);
	const int64_t k = fixed(x.v->type.dims[r - 1]), width = pick_width(g), n = parts * width, offset = once(g, 2) ? pick(g, 20) - 10 : 0;
	need(g, k > 0);
	const DType stored = (DType[]){U4, I4, U2, U8, I8}[pick(g, 5)], panel = is_half(stored) ? U8 : stored, ztype = (DType[]){U8, I8, F32}[zeros];
	const int64_t block = once(g, 3) ? k : 8 << pick(g, 4), blocks = (k + block - 1) / block;
	const Dim *matrix[2] = {num(g, k), num(g, n)}, *rows[2] = {num(g, blocks), matrix[1]};
	const Dim *panels[3] = {panel_count(g->m, matrix[1], parts), matrix[0], num(g, is_half(stored) ? HalfWidth : PanelWidth)};
	const Dim *scales[3] = {panels[0], rows[0], num(g, PanelWidth)};
	const Type wt = typed(panel, 3, panels), st = typed(F32, 3, scales), zt = typed(ztype, 3, scales);
	Val w = new_weight(g, typed(stored, 2, matrix), 1), scale = new_weight(g, typed(F32, 2, rows), 1 / greatest(stored)), zero = {0}, b = bias(g, F32, n);
	const Attr attrs[] = {mk_int(Attr_parts, parts), mk_int(Attr_block, block), mk_int(Attr_offset, offset)};
	Value *in[] = {x.v, emit(g, OpPack, 1, &w.v, 1, attrs, &wt), b.v, emit(g, OpPack, 1, &scale.v, 1, attrs, &st), NULL};
	if (once(g, 2)) {
		zero = new_weight(g, typed(ztype, 2, rows), 3);
		in[4] = emit(g, OpPack, 1, &zero.v, 1, attrs, &zt);
	}
	Type y = x.v->type;
	y.dims[r - 1] = matrix[1];
	const double bound = (2 * greatest(stored) + 1 + fabs((double)offset) + zero.bound) * scale.bound, most = (double)k * x.bound * bound;
	return in_parts(g, OpLinearScaled, in[4] ? 5 : 4, in, 3, attrs, &y, parts, width, most + 1, sqrt((double)k) * (x.noise * bound + ulp(F32) * most));
}

/* Channels first, or last as group_conv has them: x [batch, in.., channels], w [taps.., channels / group, outputs].  `same`: as many places
 * as x has. */
static Val conv(Gen *g, Val x, bool last, int64_t group, int64_t out, bool same, bool feeds)
{
	int spatial = x.v->type.rank - 2;
	const Dim **in = x.v->type.dims + (last ? 1 : 2), *dims[4];
	int64_t c = fixed(x.v->type.dims[last ? 1 + spatial : 1]), ints[3][4], taps = 1;
	dims[last ? spatial : 1] = num(g, c / group);
	dims[last ? spatial + 1 : 0] = num(g, out);
	for (int i = 0; i < spatial; i++) {
		int64_t k = same ? once(g, 12) ? 17 : 1 + 2 * (int64_t)pick(g, 3) : 1 + pick(g, 4), dil = once(g, 4) ? 2 : 1;
		ints[0][i] = !same && once(g, 4) ? 2 : 1;
		ints[1][i] = dil;
		ints[2][i] = same ? k / 2 * dil : pick(g, 3);
		ints[2][spatial + i] = same ? k / 2 * dil : pick(g, 3);
		taps *= k;
		dims[last ? i : 2 + i] = num(g, k);
		need(g, lowest(in[i]) + ints[2][i] + ints[2][spatial + i] >= (k - 1) * dil + 1);
	}
	double k = (double)(taps * (c / group));
	Val w = new_weight(g, typed(x.v->type.dtype, 2 + spatial, dims), (once(g, 2) ? 0.3 : 1.2) / sqrt(k)), b = bias(g, x.v->type.dtype, out);
	Attr attrs[] = {mk_ints(g->m, Attr_strides, spatial, ints[0]), mk_ints(g->m, Attr_dilations, spatial, ints[1]),
	                mk_ints(g->m, Attr_pads, 2 * spatial, ints[2]), mk_int(Attr_group, group), mk_int(Attr_feeds, feeds)};
	return met(g, x, w, b, k, emit(g, last ? OpGroupConv : OpConv, 3, (Value *[]){x.v, w.v, b.v}, last ? 5 : 4, attrs, NULL));
}

static Val step_conv(Gen *g)
{
	int spatial = 1 + once(g, 3);
	bool last = g->op == OpGroupConv;
	Val x = pick_own(g, 2 + spatial, 2 + spatial);
	x = with_extent(g, x, last ? 1 + spatial : 1, 1);
	int64_t c = fixed(x.v->type.dims[last ? 1 + spatial : 1]), group = once(g, 2) ? 1 : c;
	if (c % 2 == 0 && once(g, 3))
		group = c / 2;
	return conv(g, x, last, group, group == c && once(g, 2) ? c : group * (1 + pick(g, 4)), false, false);
}

/* The weights alone, or a convolution by them: channels last. */
static Val step_winograd(Gen *g)
{
	enum { Growth = 2, Loss = 16 }; /* of the largest weight; units in the last place of the sums, at most */
	int64_t tile = 2 + 2 * pick(g, 2), size = tile + WinogradTaps - 1, out = pick_width(g), pads[4];
	Attr attr[2] = {mk_int(Attr_tile, tile)};
	g->type = F32;
	Val x = with_extent(g, pick_own(g, 4, 4), 3, 1);
	const Type *in = &x.v->type;
	int64_t c = fixed(in->dims[3]), taps = WinogradTaps * WinogradTaps;
	need(g, c > 0);
	const Dim *dims[4] = {num(g, WinogradTaps), num(g, WinogradTaps), num(g, c), num(g, out)};
	const Dim *panels[3] = {panel_count(g->m, dims[3], 1), num(g, size * size * c), num(g, PanelWidth)};
	double k = (double)(taps * c), sums = sum_of(k);
	Val w = new_weight(g, typed(F32, 4, dims), (once(g, 2) ? 0.3 : 1.2) / sqrt(k)), b = bias(g, F32, out);
	Value *u = emit(g, OpWinogradWeights, 1, &w.v, 1, attr, NULL);
	if (g->op == OpWinogradWeights)
		return rounded(g, u, Growth * w.bound, ulp(F32) * Growth * w.bound, false);
	Type pt = typed(F32, 3, panels), t = *in;
	u = emit(g, OpPack, 1, &u, 0, NULL, &pt);
	for (int i = 0; i < 4; i++)
		pads[i] = pick(g, 4);
	for (int i = 0; i < 2; i++) {
		need(g, lowest(in->dims[1 + i]) + pads[i] + pads[2 + i] >= WinogradTaps);
		t.dims[1 + i] = dim_add(g->m, in->dims[1 + i], num(g, pads[i] + pads[2 + i] + 1 - WinogradTaps));
	}
	t.dims[3] = dims[3];
	attr[1] = mk_ints(g->m, Attr_pads, 4, pads);
	double bound = sums * x.bound * w.bound + b.bound;
	Value *v = emit(g, OpWinograd, 3, (Value *[]){x.v, u, b.v}, 2, attr, &t);
	return rounded(g, v, bound, sqrt(k) * x.noise * w.bound + Loss * ulp(F32) * bound, false);
}

/* Of x + i y (y.v NULL: of x), so many bins and parts. */
static Val dft(Gen *g, Val x, Val y, int axis, bool inverse, const Dim *bins, int parts)
{
	const Type *in = &x.v->type;
	Type t = {.dtype = in->dtype, .rank = in->rank + 1, .dims = {num(g, parts)}};
	Attr attrs[] = {mk_int(Attr_axis, axis), mk_int(Attr_inverse, inverse)};
	for (int d = 0; d < in->rank; d++)
		t.dims[d + 1] = d == axis ? bins : in->dims[d];
	Value *v = emit(g, OpDft, 3, (Value *[]){x.v, y.v, NULL}, 2, attrs, &t);
	double terms = inverse ? 1 : (double)run_size(g, in->dims[axis]), bound = terms * (x.bound + y.bound);
	return rounded(g, v, bound, terms * (x.noise + y.noise) + 8 * ulp(in->dtype) * bound, false);
}

static Val step_dft(Gen *g)
{
	Val x = pick_own(g, 1, 4), y = {0};
	int axis = pick(g, x.v->type.rank);
	const Dim *n = x.v->type.dims[axis];
	if (once(g, 2))
		y = pick_typed(g, &x.v->type);
	return dft(g, x, y, axis, once(g, 3), once(g, 3) ? dim_min(g->m, n, num(g, 1 + pick(g, 5))) : n, 1 + pick(g, 2));
}

/* Along one axis or two, as a window that may leave its input everywhere: there it reads zeros. */
static Val step_winconv(Gen *g)
{
	Val x = pick_own(g, 3, 4);
	int spatial = x.v->type.rank - 2, lead = once(g, 3) ? 0 : spatial + 1;
	int64_t c = fixed(x.v->type.dims[spatial + 1]), strides[2], dilations[2], k = 1;
	const Dim *pads[2], *all[6] = {x.v->type.dims[0]};
	need(g, c > 0);
	int64_t heads = once(g, 3) ? c : c % 4 == 0 && once(g, 2) ? 4 : c % 2 == 0 && once(g, 2) ? 2 : 1;
	Type y = x.v->type;
	bool plain = once(g, 2);
	all[lead] = num(g, heads);
	for (int i = 0; i < spatial; i++) {
		int64_t taps = 1 + pick(g, 5);
		strides[i] = plain ? 1 : 1 + once(g, 3);
		dilations[i] = plain ? 1 : 1 + once(g, 3);
		pads[i] = num(g, pick(g, (int)(taps * dilations[i])) - once(g, 6));
		if (!plain)
			y.dims[1 + i] = dim_add(g->m, dim_floordiv(g->m, y.dims[1 + i], num(g, strides[i])), num(g, pick(g, 2)));
		if (lead)
			all[1 + i] = y.dims[1 + i];
		all[lead + 1 + i] = num(g, taps);
		k *= taps;
	}
	Type t = typed(g->type, lead + 1 + spatial, all);
	Val w = lead && once(g, 2) ? softmax(g, pick_typed(g, &t), lead + spatial) : pick_typed(g, &t);
	Attr attrs[5] = {mk_int(Attr_heads, heads), mk_dims(g->m, Attr_pads_dim, spatial, pads), mk_int(Attr_map, once(g, 3)),
	                 mk_ints(g->m, Attr_strides, spatial, strides), mk_ints(g->m, Attr_dilations, spatial, dilations)};
	double terms = (double)k, b = terms * x.bound * w.bound;
	Value *v = emit(g, OpWinConv, 2, (Value *[]){x.v, w.v}, plain ? 3 : 5, attrs, &y);
	return rounded(g, v, b, sqrt(terms) * (x.noise * w.bound + w.noise * x.bound + 0.5 * ulp(g->type) * b), false);
}

/* No window of a largest element is empty. */
static Val step_pool(Gen *g)
{
	Val x = pick_own(g, 3, 4);
	int spatial = x.v->type.rank - 2, join = pick(g, 3); /* max, sum, where */
	int64_t kernel[2], strides[2], dilations[2], taps = 1;
	const Dim *pads[2];
	Type t = join == 2 ? of_dtype(x.v->type, I64) : x.v->type;
	x = join == 2 ? exactly(g, x) : x;
	for (int i = 0; i < spatial; i++) {
		const Dim *n = t.dims[2 + i];
		kernel[i] = 1 + pick(g, 4);
		strides[i] = 1 + once(g, 4);
		dilations[i] = 1 + once(g, 4);
		int64_t pad = pick(g, (int)((kernel[i] - 1) * dilations[i]) + 1);
		need(g, lowest(n) >= dilations[i]);
		pads[i] = num(g, pad);
		t.dims[2 + i] = dim_add(g->m, dim_floordiv(g->m, dim_add(g->m, n, num(g, pad - 1)), num(g, strides[i])), num(g, 1));
		taps *= kernel[i];
	}
	Attr attrs[5] = {mk_ints(g->m, Attr_kernel, spatial, kernel), mk_ints(g->m, Attr_strides, spatial, strides),
	                 mk_ints(g->m, Attr_dilations, spatial, dilations), mk_dims(g->m, Attr_pads_dim, spatial, pads),
	                 mk_int(Attr_join, join)};
	double k = (double)taps;
	Value *v = emit(g, OpPool, 1, &x.v, 5, attrs, &t);
	return join == 0 ? moved(g, x, v)
	       : join == 1 ? rounded(g, v, k * x.bound, k * x.noise + ulp(g->type) * k * k * x.bound, false)
	                   : finish(g, v, 1e6, 0, true);
}

static Val step_glu(Gen *g)
{
	static const Op acts[] = {OpSigmoid, OpSilu, OpGelu, OpTanh, OpIdentity, OpRelu, OpGeluTanh};
	Val x = pick_own(g, 1, 3);
	int axis = once(g, 3) ? pick(g, x.v->type.rank) : x.v->type.rank - 1;
	x = with_extent(g, x, axis, 2);
	Attr attrs[3] = {mk_int(Attr_axis, axis), mk_int(Attr_gate, once(g, 3)), mk_int(Attr_act, acts[pick(g, 7)])};
	double b = x.bound * fmax(1, x.bound);
	return rounded(g, emit(g, OpGlu, 1, &x.v, 3, attrs, NULL), b, 2.4 * (x.noise + 6 * ulp(g->type)) * fmax(1, x.bound), false);
}

static Val step_attention(Gen *g)
{
	const Dim *b = pick_dim(g), *tq = pick_dim(g), *tk = once(g, 2) ? tq : pick_dim(g);
	int64_t kv = 1 + pick(g, 3), h = kv * (1 + pick(g, 2)), d = (int64_t[]){1, 4, 8, 16, 20}[pick(g, 5)];
	const Dim *qd[4] = {b, tq, num(g, h), num(g, d)}, *kd[4] = {b, tk, num(g, kv), num(g, d)};
	need(g, lowest(tk) > 0);
	Type qt = sized(g, typed(g->type, 4, qd)), kt = sized(g, typed(g->type, 4, kd));
	Val q = pick_typed(g, &qt), k = pick_typed(g, &kt), v = pick_typed(g, &kt), mask = {0};
	bool causal = tq == tk && once(g, 2);
	if (once(g, 3) && !causal) {
		const Dim *md[4] = {once(g, 2) ? b : num(g, 1), once(g, 2) ? num(g, h) : num(g, 1),
		                    once(g, 2) ? tq : num(g, 1), tk};
		Type mt = sized(g, typed(once(g, 2) ? Bool : g->type, 4, md));
		mask = mt.dtype == Bool ? new_input(g, mt, FillMask, 0) : pick_typed(g, &mt);
	}
	double scale = 1 / sqrt((double)d), score = (double)d * q.bound * k.bound * scale + mask.bound;
	bool lse = once(g, 4);
	Attr attrs[3] = {mk_float(Attr_scale, scale), mk_int(Attr_right, causal ? 0 : -1), mk_int(Attr_lse, lse)};
	double noise = (double)d * scale * (q.noise * k.bound + k.noise * q.bound) + mask.noise + ulp(g->type) * score * 4;
	Value *o = emit(g, OpAttention, 4, (Value *[]){q.v, k.v, v.v, mask.v}, 3, attrs, NULL);
	double bound = lse ? fmax(v.bound, score + 10) : v.bound; /* of up to e^10 keys */
	return rounded(g, o, bound, 2 * noise * fmax(v.bound, 1) + v.noise + 4 * ulp(g->type) * bound, false);
}

#endif
