/* random_experts.h - rows times matrices that numbers choose, for random_graph.h: as one operator, and as exporters spell it. */
#ifndef DCC_RANDOM_EXPERTS_H
#define DCC_RANDOM_EXPERTS_H

#include "random_moves.h"
#include "random_products.h"

/* [.., k] by matrices of k rows: those, the numbers along some leading axes, and what the product is. */
typedef struct RandomExperts {
	Val x, w, b, numbers;
	int64_t k, n, count;
	Type out;
	double most, noise;
} RandomExperts;

static RandomExperts pick_experts(Gen *g, int lead)
{
	RandomExperts e = {.n = pick_width(g), .count = 1 + pick(g, 4)};
	Val x = pick_own(g, lead < 0 ? 1 : lead + 1, 4);
	const int r = x.v->type.rank;
	e.x = with_extent(g, x, r - 1, 1);
	e.out = e.x.v->type;
	e.k = fixed(e.out.dims[r - 1]);
	need(g, e.k > 0);
	Type numbers = {.rank = lead < 0 ? pick(g, r) : lead};
	memcpy(numbers.dims, e.out.dims, (size_t)numbers.rank * sizeof *numbers.dims);
	e.numbers = pick_index(g, num(g, e.count), numbers);
	const Dim *dims[3] = {num(g, e.count), num(g, e.k), num(g, e.n)}, *row[2] = {dims[0], dims[2]};
	e.w = new_weight(g, typed(g->type, 3, dims), 1.2 / sqrt((double)e.k));
	e.b = once(g, 2) ? new_weight(g, typed(g->type, 2, row), 0.5) : (Val){0};
	e.out.dims[r - 1] = dims[2];
	e.most = sum_of((double)e.k) * e.x.bound * e.w.bound + e.b.bound;
	e.noise = sqrt((double)e.k) * (e.x.noise * e.w.bound + 0.5 * ulp(g->type) * e.most);
	return e;
}

static Val step_experts(Gen *g)
{
	RandomExperts e = pick_experts(g, -1);
	Value *in[] = {e.x.v, e.w.v, e.b.v, e.numbers.v};
	if (g->op == OpExperts)
		return rounded(g, emit(g, OpExperts, 4, in, 0, NULL, NULL), e.most, e.noise, false);
	const int parts = e.n % 2 == 0 && once(g, 2) ? 2 : 1;
	const Dim *panels[4] = {num(g, e.count), panel_count(g->m, num(g, e.n), parts), num(g, e.k), num(g, PanelWidth)};
	const Type pt = typed(g->type, 4, panels);
	const Attr attr = mk_int(Attr_parts, parts);
	in[1] = emit(g, OpPack, 1, &e.w.v, 1, &attr, &pt);
	return in_parts(g, OpExpertsPacked, 4, in, 1, &attr, &e.out, parts, e.n / parts, e.most + 1, e.noise);
}

/* What the numbers take of the weights, on the right of a row, transposed or not, or on the left of a column; and the bias that they take. */
static Val idiom_experts(Gen *g)
{
	RandomExperts e = pick_experts(g, 1);
	const bool left = once(g, 2), turned = once(g, 2);
	const int r = e.x.v->type.rank;
	const Dim *rows = e.out.dims[0], *row[3] = {rows, num(g, left ? e.k : 1), num(g, left ? 1 : e.k)}, *flat[2] = {rows, num(g, e.n)};
	const int64_t perm[] = {0, 2, 1};
	const Attr first = mk_int(Attr_axis, 0), trans = mk_int(left ? Attr_trans_a : Attr_trans_b, left != turned);
	need(g, r == 2);
	Val w = turned ? transpose(g, e.w, perm) : e.w; /* [n, k] or [k, n] */
	Value *taken = emit(g, OpGather, 2, (Value *[]){w.v, e.numbers.v}, 1, &first, NULL), *x = reshape(g, e.x, 3, row).v;
	Value *in[] = {left ? taken : x, left ? x : taken};
	Val y = rounded(g, emit(g, OpMatMul, 2, in, 1, &trans, NULL), e.most, e.noise, false);
	y = reshape(g, y, 2, flat);
	if (!e.b.v)
		return y;
	return binary(g, OpAdd, y, moved(g, e.b, emit(g, OpGather, 2, (Value *[]){e.b.v, e.numbers.v}, 1, &first, NULL)));
}

#endif
