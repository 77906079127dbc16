/* random_idioms.h - what the passes look for, in f32 or f64, for random_graph.h: as exporters write it, with variations and near misses. */
#ifndef DCC_RANDOM_IDIOMS_H
#define DCC_RANDOM_IDIOMS_H

#include "random_products.h"

/* ---- idioms ----------------------------------------------------------------------------------------------------- */

/* Sometimes something else uses an inner value, which must then stay. */
static Val inner(Gen *g, Val x)
{
	if (once(g, 12))
		keep(g, x);
	return once(g, 25) ? unary(g, OpIdentity, x) : x;
}

static Val mul2(Gen *g, Val x, Val y)
{
	return inner(g, once(g, 2) ? binary(g, OpMul, x, y) : binary(g, OpMul, y, x));
}

static Val add2(Gen *g, Val x, Val y)
{
	return inner(g, once(g, 2) ? binary(g, OpAdd, x, y) : binary(g, OpAdd, y, x));
}

static Val idiom_gelu(Gen *g)
{
	Val x = pick_own(g, 1, 4), h, e;
	if (once(g, 3)) {
		Val cube = mul2(g, x, mul2(g, x, x));
		e = unary(g, OpTanh, mul2(g, add2(g, x, mul2(g, cube, number(g, g->type, 0.044715))), number(g, g->type, 0.7978845608028654)));
	} else if (once(g, 2)) {
		Val root = number(g, g->type, once(g, 5) ? 1.5 : 1.4142135623730951);
		Value *v = emit(g, OpDiv, 2, (Value *[]){x.v, root.v}, 0, NULL, NULL);
		e = unary(g, OpErf, finish(g, v, x.bound, x.noise + ulp(g->type) * x.bound, false));
	} else {
		e = unary(g, OpErf, mul2(g, x, number(g, g->type, 0.7071067811865476)));
	}
	h = add2(g, e, number(g, g->type, 1));
	if (once(g, 2))
		return mul2(g, mul2(g, x, number(g, g->type, 0.5)), h);
	return once(g, 2) ? mul2(g, mul2(g, x, h), number(g, g->type, 0.5)) : mul2(g, x, mul2(g, h, number(g, g->type, 0.5)));
}

static Val idiom_sigmoid(Gen *g)
{
	Val x = pick_own(g, 1, 4);
	if (once(g, 2))
		return mul2(g, x, unary(g, OpSigmoid, x));
	Val e = unary(g, OpExp, inner(g, unary(g, OpNeg, x))), d = add2(g, e, number(g, g->type, 1));
	Value *v = once(g, 2) ? emit(g, OpRecip, 1, &d.v, 0, NULL, NULL)
	                      : emit(g, OpDiv, 2, (Value *[]){number(g, g->type, 1).v, d.v}, 0, NULL, NULL);
	return finish(g, v, 1, d.noise + 4 * ulp(g->type), false);
}

/* Its noise is that of x less the mean: twice as much behind the division by at least a half, and as much again in the divisor. */
static Val idiom_norm(Gen *g)
{
	Val x = pick_calm(g, 1, 3);
	int r = x.v->type.rank;
	int64_t axis = once(g, 6) ? pick(g, r) : r - 1;
	bool rms = once(g, 2);
	Val d = rms ? x : inner(g, binary(g, OpSub, x, reduce(g, OpMean, x, 1, &axis, true)));
	Val sq = once(g, 3) ? d : inner(g, binary(g, OpMul, d, d));
	if (sq.v == d.v) {
		Val two = number(g, g->type, 2);
		Value *v = emit(g, OpPow, 2, (Value *[]){d.v, two.v}, 0, NULL, NULL);
		sq = finish(g, v, d.bound * d.bound, 2 * d.bound * d.noise + 8 * ulp(g->type) * d.bound * d.bound, false);
	}
	Val var = inner(g, reduce(g, OpMean, sq, 1, &axis, true));
	double eps = 0.25, u = ulp(g->type), noise = x.noise + 4 * u * x.bound;
	Val sum = add2(g, var, number(g, g->type, eps));
	Value *root = emit(g, OpSqrt, 1, &sum.v, 0, NULL, NULL);
	Val sd = finish(g, root, sqrt(sum.bound), noise + 4 * u * sqrt(sum.bound), false), over = sd, y;
	const double most = fmin(2 * d.bound, sqrt((double)run_size(g, x.v->type.dims[axis])));
	const bool divide = once(g, 2);
	if (!divide)
		over = finish(g, emit(g, OpRecip, 1, &sd.v, 0, NULL, NULL), 2, 4 * noise + 8 * u, false);
	y = finish(g, emit(g, divide ? OpDiv : OpMul, 2, (Value *[]){d.v, over.v}, 0, NULL, NULL), most, 2 * noise + most * (2 * noise + 6 * u), false);
	Type t = typed(g->type, 1, x.v->type.dims + r - 1);
	y = once(g, 4) ? y : mul2(g, y, pick_typed(g, &t));
	return rms || once(g, 2) ? y : add2(g, y, pick_typed(g, &t));
}

static Val idiom_glu(Gen *g)
{
	static const Op acts[] = {OpSigmoid, OpSigmoid, OpSilu, OpGelu, OpTanh, OpRelu};
	Val x = pick_calm(g, 1, 3);
	if (once(g, 3)) {
		int64_t n = pick_width(g);
		x = with_extent(g, x, x.v->type.rank - 1, 1);
		Val value = inner(g, linear(g, x, n, once(g, 3)));
		return mul2(g, value, inner(g, unary(g, acts[pick(g, 6)], linear(g, x, n, once(g, 3)))));
	}
	int r = x.v->type.rank, axis = once(g, 5) ? pick(g, r) : r - 1;
	int64_t half = (int64_t[]){1, 4, 8, 15, 16, 24}[pick(g, 6)];
	if (axis == r - 1)
		x = linear(g, x, 2 * half, once(g, 3));
	half = fixed(x.v->type.dims[axis]) / 2;
	need(g, half > 0);
	Val a = slice_axis(g, x, axis, num(g, 0), num(g, half));
	Val b = slice_axis(g, x, axis, num(g, once(g, 10) ? 0 : half), num(g, half));
	Val s = inner(g, unary(g, acts[pick(g, 6)], once(g, 3) ? a : b));
	return mul2(g, s.v->def->in[0] == a.v ? b : a, s);
}

static Val idiom_gates(Gen *g)
{
	Val x = pick_calm(g, 1, 3);
	return inner(g, gates(g, with_extent(g, x, x.v->type.rank - 1, 1), pick_width(g), once(g, 3)));
}

/* [batch, tokens, heads * width] to [batch, heads, tokens, width] */
static Val split_heads(Gen *g, Val x, int64_t heads)
{
	const Dim **d = x.v->type.dims;
	int64_t c = fixed(d[2]);
	need(g, c % heads == 0);
	Val y = reshape(g, x, 4, (const Dim *[]){d[0], d[1], num(g, heads), num(g, c / heads)});
	return inner(g, swap_axes(g, y, 1, 2));
}

static Val causal_mask(Gen *g, const Dim *n, Val scores, double masked)
{
	Val i = iota(g, I64, n, num(g, 0), 1), j = i;
	i = reshape(g, i, 2, (const Dim *[]){n, num(g, 1)});
	j = once(g, 2) ? j : reshape(g, j, 2, (const Dim *[]){num(g, 1), n});
	Value *c = once(g, 2) ? emit(g, OpLe, 2, (Value *[]){j.v, i.v}, 0, NULL, NULL)
	                      : emit(g, OpLt, 2, (Value *[]){i.v, j.v}, 0, NULL, NULL);
	Value *low = const_scalar(g->m, scalar_of_real(g->type, masked))->value;
	bool keeps = c->def->op == OpLe;
	Value *v = emit(g, OpWhere, 3, (Value *[]){c, keeps ? scores.v : low, keeps ? low : scores.v}, 0, NULL, NULL);
	return finish(g, v, scores.bound, scores.noise, false);
}

/* One of the things that stand between product and softmax.  A row may lose all its keys only to a finite number that takes the
 * place of the scores: added to them, it rounds, and the evaluator of attention does not. */
static Val mask_scores(Gen *g, Val s, const Dim *batch, const Dim *queries, const Dim *keys)
{
	static const double lows[] = {-INFINITY, -1e4, -1e9, -FLT_MAX};
	const Dim *dims[4] = {once(g, 2) ? batch : num(g, 1), num(g, 1), once(g, 2) ? queries : num(g, 1), keys};
	double low = lows[pick(g, 4)];
	int form = pick(g, 5);
	Type t = typed(g->type, 4, dims), c = typed(Bool, 4, dims);
	if (form == 0)
		return add2(g, s, pick_typed(g, &t));
	if (form == 1)
		return mul2(g, s, number(g, g->type, once(g, 2) ? 0.5 : 1.5));
	if (form == 2) {
		Val cap = number(g, g->type, 2);
		Value *v = emit(g, OpDiv, 2, (Value *[]){s.v, cap.v}, 0, NULL, NULL);
		return mul2(g, unary(g, OpTanh, finish(g, v, s.bound / 2, s.noise, false)), cap);
	}
	Val keep = new_input(g, c, form == 3 || isinf(low) ? FillMask : FillAny, 0), fill = number(g, g->type, low);
	Value *in[] = {keep.v, form == 3 ? number(g, g->type, 0).v : s.v, fill.v};
	if (once(g, 3)) {
		in[0] = emit(g, OpNot, 1, in, 0, NULL, NULL);
		in[2] = in[1];
		in[1] = fill.v;
	}
	Value *v = emit(g, OpWhere, 3, in, 0, NULL, NULL);
	if (form == 3)
		v = emit(g, OpAdd, 2, (Value *[]){s.v, v}, 0, NULL, NULL);
	return finish(g, v, s.bound, s.noise, false);
}

/* A projection to heads, small enough for products of two of them; each of which `repeats` query heads share. */
static Val to_heads(Gen *g, Val x, int64_t heads, int64_t width, int64_t repeats)
{
	Val y = linear(g, x, heads * width, false);
	need(g, y.bound <= 4);
	y = split_heads(g, inner(g, y), heads);
	if (repeats == 1)
		return y;
	const Dim **d = y.v->type.dims, *shared[5] = {d[0], d[1], num(g, 1), d[2], d[3]}, *each[5] = {d[0], d[1], num(g, repeats), d[2], d[3]};
	const Dim *all[4] = {d[0], num(g, heads * repeats), d[2], d[3]};
	const Type t = typed(g->type, 5, each);
	y = reshape(g, y, 5, shared);
	return reshape(g, inner(g, moved(g, y, emit(g, OpExpand, 1, &y.v, 0, NULL, &t))), 4, all);
}

/* As some exporters guard rows without keys. */
static Val without_nan(Gen *g, Val p)
{
	Value *is = emit(g, OpIsNaN, 1, &p.v, 0, NULL, NULL);
	return moved(g, p, emit(g, OpWhere, 3, (Value *[]){is, number(g, g->type, 0).v, p.v}, 0, NULL, NULL));
}

static Val idiom_attention(Gen *g)
{
	Val x = pick_calm(g, 3, 3);
	x = with_extent(g, x, 2, 1);
	const Dim **d = x.v->type.dims, *tk = d[1];
	Val y = x;
	if (once(g, 2)) {
		Type t = x.v->type;
		tk = t.dims[1] = pick_dim(g);
		y = new_input(g, t, FillAny, 0);
	}
	int64_t heads = 1 + pick(g, 4), width = (int64_t[]){1, 4, 8, 10}[pick(g, 4)], repeats = heads % 2 == 0 && once(g, 3) ? 2 : 1;
	need(g, lowest(tk) > 0);
	Val q = to_heads(g, x, heads, width, 1), k = to_heads(g, y, heads / repeats, width, repeats), v = to_heads(g, y, heads / repeats, width, repeats), s;
	Val scale = number(g, g->type, 1 / sqrt((double)width));
	bool early = once(g, 3);
	q = early ? mul2(g, q, scale) : q;
	s = once(g, 2) ? matmul(g, q, inner(g, swap_axes(g, k, 2, 3)), false, false) : matmul(g, q, k, false, true);
	s = early ? s : mul2(g, inner(g, s), scale);
	g->apart = true; /* sums of the lowest number overflow, or do not, as they are ordered */
	for (int i = pick(g, 4); i > 0; i--)
		s = inner(g, tk == d[1] && once(g, 4) ? causal_mask(g, tk, s, once(g, 2) ? -INFINITY : -FLT_MAX)
		                                      : mask_scores(g, s, d[0], d[1], tk));
	Val p = softmax(g, s, once(g, 20) ? 2 : 3);
	g->apart = false;
	double terms = attr_int(p.v->def, Attr_axis) == 3 ? 1 : (double)run_size(g, tk); /* means, unless the softmax is along the queries */
	p = inner(g, once(g, 6) ? without_nan(g, p) : p);
	Value *sums = emit(g, OpMatMul, 2, (Value *[]){p.v, v.v}, 0, NULL, NULL);
	Val o = rounded(g, sums, terms * v.bound, terms * (v.noise + (s.noise + 8 * ulp(g->type)) * v.bound), false);
	o = swap_axes(g, inner(g, o), 1, 2);
	return reshape(g, o, 3, (const Dim *[]){d[0], d[1], num(g, heads * width)});
}

/* Dynamic convolution: slices of the padded input times slices of the weights. */
static Val idiom_taps(Gen *g)
{
	Val x = pick_own(g, 3, 3), sum = {0};
	const Dim **d = x.v->type.dims;
	int64_t c = fixed(d[2]), taps = 1 + pick(g, 4), left = pick(g, (int)taps);
	need(g, c > 0);
	int64_t heads = c % 4 == 0 ? (int64_t[]){1, 2, 4}[pick(g, 3)] : once(g, 2) ? c : 1;
	bool interleaved = once(g, 3), time_first = once(g, 3);
	int time = time_first ? 0 : 1;
	const Dim *wd[4] = {d[0], d[1], num(g, interleaved ? taps : heads), num(g, interleaved ? heads : taps)};
	Type wt = sized(g, typed(g->type, 4, wd));
	Val w = inner(g, once(g, 2) ? softmax(g, pick_typed(g, &wt), interleaved ? 2 : 3) : pick_typed(g, &wt));
	Val p = inner(g, pad_axis(g, x, time, left, taps - 1 - left));
	for (int64_t t = 0; t < taps; t++) {
		Val xs = inner(g, slice_axis(g, p, time, num(g, t), d[time]));
		Val ws = slice_axis(g, w, interleaved ? 2 : 3, num(g, once(g, 30) ? 0 : t), num(g, 1));
		const Dim *hd[4] = {d[0], d[1], num(g, interleaved ? c / heads : heads), num(g, interleaved ? heads : c / heads)};
		Val term = mul2(g, reshape(g, xs, 4, hd), ws);
		sum = t ? add2(g, sum, term) : term;
	}
	return reshape(g, sum, 3, d);
}

/* The same in a plane, all weights of a place side by side. */
static Val idiom_places(Gen *g)
{
	Val x = pick_own(g, 4, 4), sum = {0};
	const Dim **d = x.v->type.dims;
	int64_t c = fixed(d[3]), rows = 1 + pick(g, 3), cols = 1 + pick(g, 3), taps = rows * cols, over = once(g, 10);
	need(g, c > 0);
	int64_t heads = c % 2 == 0 && once(g, 2) ? 2 : once(g, 2) ? c : 1, top = pick(g, (int)rows), left = pick(g, (int)cols);
	bool interleaved = once(g, 3);
	const Dim *wd[5] = {d[0], d[1], d[2], num(g, heads), num(g, taps)}, *hd[5] = {d[0], d[1], d[2], num(g, interleaved ? c / heads : heads), num(g, interleaved ? heads : c / heads)};
	Type wt = sized(g, typed(g->type, 5, wd));
	Val w = inner(g, once(g, 2) ? softmax(g, pick_typed(g, &wt), 4) : pick_typed(g, &wt));
	Val p = inner(g, pad_axis(g, pad_axis(g, x, 1, top, rows - 1 - top + over), 2, left, cols - 1 - left));
	for (int64_t t = 0; t < taps; t++) {
		Val xs = slice_axis(g, slice_axis(g, p, 1, num(g, t / cols + (over && t == taps - 1)), d[1]), 2, num(g, t % cols), d[2]);
		Val ws = slice_axis(g, w, 4, num(g, t), num(g, 1));
		if (interleaved)
			ws = swap_axes(g, ws, 3, 4);
		Val term = mul2(g, reshape(g, xs, 5, hd), ws);
		sum = t ? add2(g, sum, term) : term;
	}
	return reshape(g, sum, 4, d);
}

/* Linears and depthwise convolutions, mostly in turns, whose schedules may lie in one another (passes/feed.c): with something in between, other
 * readers, and ends where nothing can be fed. */
static Val idiom_feed(Gen *g)
{
	const Dim *dims[4] = {pick_dim(g), pick_dim(g), num(g, 1 + pick(g, 9)), num(g, pick_width(g))};
	bool to_conv = once(g, 2);
	g->type = F32;
	Val x = new_input(g, typed(F32, 4, dims), FillAny, 0);
	for (int stages = 2 + pick(g, 3); stages > 0; stages--, to_conv = !once(g, 3) && !to_conv) {
		const bool feeds = !once(g, 6);
		int64_t c = fixed(x.v->type.dims[3]);
		x = to_conv ? conv(g, x, true, c, once(g, 8) ? 2 * c : c, once(g, 2), feeds) : packed_linear(g, x, pick_width(g), feeds);
		x = once(g, 2) ? inner(g, x) : inner(g, unary(g, (Op[]){OpRelu, OpSilu, OpTanh}[pick(g, 3)], x));
		x = once(g, 4) ? add2(g, x, pick_typed(g, &x.v->type)) : x;
	}
	return x;
}

/* Convolutions of enough channels for Winograd's transforms, some of them cut. */
static Val idiom_convs(Gen *g)
{
	const Dim *dims[4] = {num(g, 1 + once(g, 4)), num(g, 16 + pick(g, 3)), num(g, 3 + pick(g, 7)), once(g, 2) ? pick_dim(g) : num(g, 3 + pick(g, 7))};
	g->type = F32;
	Val x = new_input(g, typed(F32, 4, dims), FillAny, 0), first = x;
	for (int stages = 1 + pick(g, 3); stages > 0; stages--) {
		int64_t c = fixed(x.v->type.dims[1]), out = once(g, 2) ? c : 16 + pick(g, 3);
		bool depthwise = once(g, 3);
		x = inner(g, conv(g, x, false, depthwise ? c : 1, depthwise ? c : out, true, false));
		x = once(g, 2) ? x : unary(g, (Op[]){OpRelu, OpSilu, OpTanh}[pick(g, 3)], x);
		if (type_equal(&x.v->type, &first.v->type) && once(g, 2))
			x = add2(g, x, first);
	}
	int64_t last = fixed(x.v->type.dims[3]);
	return last < 2 || once(g, 2) ? x : slice_axis(g, x, 3, num(g, once(g, 2)), num(g, last - 1));
}

/* A linear of weights that are worth looking at for zeros. */
static Val idiom_pruned(Gen *g)
{
	const int64_t k = 128 + pick(g, 3), n = 128 + 4 * pick(g, 3);
	const Dim *dims[2] = {pick_dim(g), num(g, k)};
	g->type = F32;
	Val x = new_input(g, typed(F32, 2, dims), FillAny, 0), w = weight(g, F32, k, n), b = bias(g, F32, n);
	prune(g, w);
	Val y = met(g, x, w, b, (double)k, emit(g, OpLinear, 3, (Value *[]){x.v, w.v, b.v}, 0, NULL, NULL));
	if (once(g, 2))
		return combine_parts(g, inner(g, y), 2, n / 2, 0);
	return once(g, 2) ? y : unary(g, OpTanh, inner(g, y));
}

/* A square constant that is one number outside of a band, on the left of a product, or the corner of it. */
static Val idiom_band(Gen *g)
{
	const int64_t wide = pick(g, 2), n = 64 * (1 + wide) + pick(g, 9), reach = wide ? pick(g, 18) : 0;
	const Dim *size = num(g, n), *column[2] = {size, num(g, 1)}, *rows = once(g, 2) ? size : pick_dim(g), *zeros[2] = {num(g, 0), num(g, 0)};
	const Dim *part[2] = {rows, rows};
	g->type = F32;
	const Type line = typed(I32, 1, &size), weights = typed(F32, 1, &size);
	Val j = finish(g, emit(g, OpIota, 0, NULL, 0, NULL, &line), (double)n, 0, true), i = reshape(g, j, 2, column);
	Val d = unary(g, OpAbs, binary(g, OpSub, binary(g, OpSub, i, j), number(g, I32, (double)(once(g, 2) ? reach : -reach))));
	Value *near = emit(g, OpLe, 2, (Value *[]){d.v, number(g, I32, (double)reach).v}, 0, NULL, NULL);
	Val rest = number(g, F32, (double)pick(g, 5) / 4), w = new_weight(g, weights, 1);
	Val a = finish(g, emit(g, OpWhere, 3, (Value *[]){near, w.v, rest.v}, 0, NULL, NULL), fmax(w.bound, rest.bound), 0, false);
	if (rows != size)
		a = inner(g, slice(g, a, zeros, (int64_t[]){1, 1}, part));
	if (once(g, 2))
		a = inner(g, unary(g, OpExp, a));
	Type t = {.dtype = F32};
	if (once(g, 2))
		t.dims[t.rank++] = pick_dim(g);
	t.dims[t.rank++] = rows;
	t.dims[t.rank++] = num(g, pick_width(g));
	Val x = pick_typed(g, &t);
	const double bound = (double)n * a.bound * x.bound, noise = (double)n * (a.bound * x.noise + a.noise * x.bound);
	return rounded(g, emit(g, OpMatMul, 2, (Value *[]){a.v, x.v}, 0, NULL, NULL), bound, noise + sqrt((double)n) * 0.5 * ulp(F32) * bound, false);
}

/* Two linear layers with something in between and a residual. */
static Val idiom_block(Gen *g)
{
	Val x = pick_own(g, 2, 3), y;
	int64_t c = fixed(x.v->type.dims[x.v->type.rank - 1]);
	need(g, c > 0);
	y = once(g, 2) ? affine(g, x, x.v->type.rank - 1, OpNorm) : x;
	y = inner(g, linear(g, y, pick_width(g), once(g, 3)));
	y = inner(g, unary(g, (Op[]){OpRelu, OpGelu, OpTanh, OpSilu}[pick(g, 4)], y));
	y = inner(g, linear(g, y, c, once(g, 3)));
	return once(g, 4) ? y : add2(g, y, x);
}

static Val part_of_dft(Gen *g, Val x, int part)
{
	Val v = slice_axis(g, x, 0, num(g, part), num(g, 1));
	return inner(g, reshape(g, v, v.v->type.rank - 1, v.v->type.dims + 1));
}

/* The real part of a transform along two axes. */
static Val idiom_fourier(Gen *g)
{
	Val x = pick_own(g, 2, 3), y = {0};
	int first = pick(g, x.v->type.rank), second = pick(g, x.v->type.rank);
	need(g, first != second);
	if (once(g, 6))
		y = pick_typed(g, &x.v->type);
	y = inner(g, dft(g, x, y, first, once(g, 2), x.v->type.dims[first], 2));
	x = part_of_dft(g, y, 0);
	y = once(g, 8) ? (Val){0} : part_of_dft(g, y, !once(g, 8));
	y = inner(g, dft(g, x, y, second, once(g, 2), x.v->type.dims[second], 1 + pick(g, 2)));
	return part_of_dft(g, y, 0);
}

/* Moves that undo each other, perhaps with arithmetic in between. */
static Val idiom_there_and_back(Gen *g)
{
	Val x = pick_own(g, 2, 4);
	int i = pick(g, x.v->type.rank), k = pick(g, x.v->type.rank);
	Val y = inner(g, swap_axes(g, x, i, k));
	y = once(g, 2) ? y : unary(g, OpTanh, y);
	return swap_axes(g, y, i, once(g, 8) ? 0 : k);
}

#endif
