/* random_moves.h - data movement for random_graph.h, one step for each operator: by dims, then by indices; and the custom operator. */
#ifndef DCC_RANDOM_MOVES_H
#define DCC_RANDOM_MOVES_H

#include "random_steps.h"

/* ---- steps: movement -------------------------------------------------------------------------------------------- */

/* Splits and merges axes, adds and drops axes of extent 1. */
static Val step_reshape(Gen *g)
{
	Val x = pick_own(g, 0, 5);
	const Dim *dims[2 * MaxRank];
	int rank = 0;
	for (int d = 0; d < x.v->type.rank && rank < 6; d++) {
		const Dim *dim = x.v->type.dims[d], *half;
		if (rank && once(g, 3)) {
			dims[rank - 1] = dim_mul(g->m, dims[rank - 1], dim);
		} else if (once(g, 2) && lowest(dim) > 0 && dim_exact_div(g->m, dim, num(g, 2 + pick(g, 3)), &half)) {
			const Dim *other;
			need(g, dim_exact_div(g->m, dim, half, &other));
			bool first = once(g, 2);
			dims[rank++] = first ? half : other;
			dims[rank++] = first ? other : half;
		} else if (!dim_equals(dim, 1) || once(g, 2)) {
			dims[rank++] = dim;
		}
		if (once(g, 8) && rank < 6)
			dims[rank++] = num(g, 1);
	}
	return reshape(g, x, rank, dims);
}

static Val step_transpose(Gen *g)
{
	Val x = pick_own(g, 2, 5);
	int64_t perm[MaxRank];
	int r = x.v->type.rank;
	for (int d = 0; d < r; d++) {
		int at = pick(g, d + 1);
		perm[d] = perm[at];
		perm[at] = d;
	}
	return once(g, 2) ? transpose(g, x, perm) : swap_axes(g, x, pick(g, r), pick(g, r));
}

static void pick_range(Gen *g, const Dim *d, const Dim **start, int64_t *step, const Dim **len)
{
	int64_t least = lowest(d), from = pick(g, least < 4 ? (int)least + 1 : 4);
	int64_t cut = pick(g, least - from < 4 ? (int)(least - from) + 1 : 4);
	*start = num(g, from);
	*step = 1;
	*len = dim_sub(g->m, d, num(g, from + cut));
	if (once(g, 5) && least > 0) {
		*start = dim_sub(g->m, d, num(g, 1));
		*step = -1;
		*len = d;
	} else if (once(g, 5)) {
		*step = 2;
		*len = dim_floordiv(g->m, dim_add(g->m, *len, num(g, 1)), num(g, 2));
	} else if (once(g, 4) && least > from) {
		*len = num(g, 1 + pick(g, (int)(least - from < 5 ? least - from : 5)));
	}
}

static Val step_slice(Gen *g)
{
	Val x = pick_own(g, 1, 4);
	const Dim *starts[MaxRank], *dims[MaxRank];
	int64_t steps[MaxRank];
	for (int d = 0; d < x.v->type.rank; d++) {
		starts[d] = num(g, 0);
		steps[d] = 1;
		dims[d] = x.v->type.dims[d];
		if (once(g, 2))
			pick_range(g, x.v->type.dims[d], &starts[d], &steps[d], &dims[d]);
	}
	return slice(g, x, starts, steps, dims);
}

static Val step_expand(Gen *g)
{
	Val x = pick_own(g, 0, 3);
	Type t = x.v->type;
	for (int d = 0; d < t.rank; d++)
		if (dim_equals(t.dims[d], 1))
			t.dims[d] = pick_dim(g);
	if (once(g, 2)) {
		memmove(t.dims + 1, t.dims, (size_t)t.rank++ * sizeof *t.dims);
		t.dims[0] = pick_dim(g);
	}
	return moved(g, x, emit(g, OpExpand, 1, &x.v, 0, NULL, &t));
}

static Val step_concat(Gen *g)
{
	Val x[3] = {pick_own(g, 1, 4)};
	int n = 2 + once(g, 3), axis = pick(g, x[0].v->type.rank);
	for (int i = 1; i < n; i++) {
		Type t = x[0].v->type;
		t.dims[axis] = once(g, 2) ? t.dims[axis] : pick_dim(g);
		x[i] = once(g, 4) ? x[0] : pick_typed(g, &t);
	}
	return concat(g, n, x, axis);
}

static Val step_pad(Gen *g)
{
	Val x = pick_own(g, 1, 4);
	int r = x.v->type.rank, mode = pick(g, 3);
	const Dim *pads[2 * MaxRank];
	for (int d = 0; d < r; d++)
		for (int side = 0; side < 2; side++) {
			int64_t least = lowest(x.v->type.dims[d]), most = mode == 0 ? 3 : mode == 1 ? 3 * (least > 0) : least - 1;
			most = most < 0 ? 0 : most > 3 ? 3 : most;
			pads[side * r + d] = num(g, once(g, 2) ? 0 : pick(g, (int)most + 1));
		}
	Attr attrs[3] = {mk_dims(g->m, Attr_pads_dim, 2 * r, pads), mk_int(Attr_mode, mode),
	                 mk_number(Attr_value, g->type, mode == 0 && once(g, 3) ? 1.5 : 0)};
	Value *v = emit(g, OpPad, 1, &x.v, 3, attrs, NULL);
	return finish(g, v, fmax(x.bound, 2), x.noise, x.exact);
}

/* Overlapping windows, diagonals, reversed and repeated axes: what canon makes, but by chance. */
static Val step_view(Gen *g)
{
	Val x = pick_own(g, 1, 3);
	const Dim *left = type_numel(g->m, &x.v->type), *strides[4];
	Type t = {.dtype = x.v->type.dtype, .rank = 1 + pick(g, 3)};
	const Dim *base = num(g, 0);
	need(g, lowest(left) > 0);
	int64_t room = lowest(left) - 1; /* the last element that is there for all symbols */
	for (int d = 0; d < t.rank; d++) {
		int64_t n = 1 + pick(g, 4), s = pick(g, 4);
		if (n > 1 && s * (n - 1) > room)
			s = room / (n - 1);
		room -= s * (n - 1);
		t.dims[d] = num(g, n);
		strides[d] = num(g, s);
		if (once(g, 5)) {
			base = dim_add(g->m, base, num(g, s * (n - 1)));
			strides[d] = num(g, -s);
		}
	}
	if (once(g, 2)) { /* the rest of the tensor as one more axis */
		memmove(t.dims + 1, t.dims, (size_t)t.rank * sizeof *t.dims);
		memmove(strides + 1, strides, (size_t)t.rank++ * sizeof *strides);
		t.dims[0] = dim_add(g->m, dim_sub(g->m, left, num(g, lowest(left))), num(g, room + 1));
		strides[0] = num(g, 1);
	}
	Attr attrs[2] = {mk_dim(Attr_base, base), mk_dims(g->m, Attr_strides_dim, t.rank, strides)};
	return moved(g, x, emit(g, OpView, 1, &x.v, 2, attrs, &t));
}

/* ---- steps: gathers --------------------------------------------------------------------------------------------- */

/* Of any integer type that holds the indices, mostly i64. */
static DType pick_index_type(Gen *g)
{
	return once(g, 2) ? I64 : (DType[]){I32, I16, I8, U8, U16, U32, U64, U4}[pick(g, 8)];
}

/* Indices that an axis of extent `d` has in every run: constants, an input, data modulo the extent, or a line. */
static Val pick_index(Gen *g, const Dim *d, Type t)
{
	int64_t below = lowest(d);
	t.dtype = pick_index_type(g);
	need(g, below > 0);
	below = below > 12 ? 12 : below;
	if (all_const(&t) && once(g, 2)) {
		int64_t n = const_numel(&t), bytes = dtypes[t.dtype].bytes, from = pick(g, (int)below);
		need(g, n <= 256);
		char *data = arena_alloc(g->m->arena, (size_t)(n * bytes) + 1);
		bool line = once(g, 2), back = once(g, 4) && dtypes[t.dtype].cls == ClassSigned;
		for (int64_t i = 0; i < n; i++) {
			int64_t at = line ? (from + i) % below : pick(g, (int)below);
			put_scalar(data + i * bytes, scalar_of_int(t.dtype, at - (back ? below : 0)));
		}
		need(g, !back || fixed(d) == below);
		return (Val){new_const(g->m, NULL, t, data, (size_t)(n * bytes))->value, (double)below, 0, true, false};
	}
	if (once(g, 2) || t.dtype == U4)
		return new_input(g, t, FillIndex, below);
	Val x = pick_typed(g, &t), extent = {0};
	need(g, run_size(g, d) < greatest(t.dtype));
	Attr a = mk_dims(g->m, Attr_values, 1, &d);
	Type one = {.dtype = t.dtype};
	extent.v = emit(g, OpDims, 0, NULL, 1, &a, &one);
	Value *v = emit(g, OpIMod, 2, (Value *[]){x.v, extent.v}, 0, NULL, NULL);
	return finish(g, v, (double)run_size(g, d), 0, true);
}

static Val step_gather(Gen *g)
{
	Val x = pick_own(g, 1, 4);
	int axis = pick(g, x.v->type.rank);
	Val idx = pick_index(g, x.v->type.dims[axis], pick_type(g, I64, pick(g, 3)));
	Attr a = mk_int(Attr_axis, axis);
	return moved(g, x, emit(g, OpGather, 2, (Value *[]){x.v, idx.v}, 1, &a, NULL));
}

static Val step_gather_elements(Gen *g)
{
	Val x = pick_own(g, 1, 3);
	int axis = pick(g, x.v->type.rank);
	Type t = x.v->type;
	t.dims[axis] = once(g, 2) ? t.dims[axis] : pick_dim(g);
	Val idx = pick_index(g, x.v->type.dims[axis], sized(g, t));
	Attr a = mk_int(Attr_axis, axis);
	return moved(g, x, emit(g, OpGatherElem, 2, (Value *[]){x.v, idx.v}, 1, &a, NULL));
}

static Val step_gather_nd(Gen *g)
{
	Val x = pick_own(g, 1, 4);
	int batch = x.v->type.rank > 1 && once(g, 2), len = 1 + pick(g, x.v->type.rank - batch);
	const Dim *least = x.v->type.dims[batch];
	for (int i = 1; i < len; i++)
		least = dim_min(g->m, least, x.v->type.dims[batch + i]);
	Type t = {.dtype = I64};
	for (int i = 0; i < batch; i++)
		t.dims[t.rank++] = x.v->type.dims[i];
	if (once(g, 2))
		t.dims[t.rank++] = pick_dim(g);
	t.dims[t.rank++] = num(g, len);
	Val idx = pick_index(g, least, sized(g, t));
	Attr a = mk_int(Attr_batch_dims, batch);
	return moved(g, x, emit(g, OpGatherND, 2, (Value *[]){x.v, idx.v}, 1, &a, NULL));
}

/* Of exact elements: rounding would change the order. */
static Val step_top_k(Gen *g)
{
	Val x = exactly(g, pick_own(g, 1, 3));
	int axis = pick(g, x.v->type.rank);
	const Dim *n = x.v->type.dims[axis];
	Type t = x.v->type;
	t.dtype = I64;
	if (once(g, 2))
		t.dims[axis] = dim_min(g->m, n, num(g, pick(g, 5)));
	Attr a[] = {mk_int(Attr_axis, axis), mk_int(Attr_largest, once(g, 2))};
	return finish(g, emit(g, OpTopK, 1, &x.v, 2, a, &t), (double)run_size(g, n), 0, true);
}

/* What updates do to magnitude and noise: `most` of them may meet in one element. */
static Val updated(Gen *g, Val x, Val upd, double most, int reduction, Value *v)
{
	double b = fmax(x.bound, upd.bound), n = fmax(x.noise, upd.noise), u = ulp(g->type);
	bool exact = x.exact && upd.exact;
	if (reduction == ReduceAdd)
		return rounded(g, v, x.bound + most * upd.bound, (most + 1) * (n + u * (most + 1) * b), false);
	if (reduction == ReduceMul)
		return rounded(g, v, pow(fmax(b, 1), most + 1), pow(fmax(b, 1), most) * (most + 1) * (n + u), false);
	return finish(g, v, b, n, exact);
}

static Val step_scatter_elements(Gen *g)
{
	Val x = pick_own(g, 1, 3);
	int axis = pick(g, x.v->type.rank), reduction = g->type == Bool ? ReduceNone : pick(g, 5);
	Type t = x.v->type;
	t.dims[axis] = once(g, 2) ? t.dims[axis] : pick_dim(g);
	Val idx = pick_index(g, x.v->type.dims[axis], sized(g, t)), upd = pick_typed(g, &t);
	Attr a[] = {mk_int(Attr_axis, axis), mk_int(Attr_reduction, reduction)};
	Value *v = emit(g, OpScatterElem, 3, (Value *[]){x.v, idx.v, upd.v}, 2, a, NULL);
	return updated(g, x, upd, (double)run_size(g, t.dims[axis]), reduction, v);
}

static Val step_scatter_nd(Gen *g)
{
	Val x = pick_own(g, 1, 3);
	int r = x.v->type.rank, len = 1 + pick(g, r), reduction = g->type == Bool ? ReduceNone : pick(g, 5);
	const Dim *least = x.v->type.dims[0], *count = once(g, 4) ? num(g, 1) : pick_dim(g);
	for (int i = 1; i < len; i++)
		least = dim_min(g->m, least, x.v->type.dims[i]);
	Type it = {.dtype = I64, .rank = 2, .dims = {count, num(g, len)}}, t = {.dtype = g->type, .rank = 1, .dims = {count}};
	for (int i = len; i < r; i++)
		t.dims[t.rank++] = x.v->type.dims[i];
	Val idx = pick_index(g, least, it), upd = pick_typed(g, (sized(g, t), &t));
	Attr a = mk_int(Attr_reduction, reduction);
	Value *v = emit(g, OpScatterND, 3, (Value *[]){x.v, idx.v, upd.v}, 1, &a, NULL);
	return updated(g, x, upd, (double)run_size(g, count), reduction, v);
}

/* Boxes by chance, some of them empty, in an order by chance, the element type being its. */
static Val step_nms(Gen *g)
{
	const Dim *batch = pick_dim(g), *n = pick_dim(g), *all[3] = {batch, n, num(g, 4)};
	const Dim *order[3] = {batch, num(g, 1 + pick(g, 2)), pick_dim(g)};
	need(g, lowest(n) > 0);
	Type bt = sized(g, typed(F32, 3, all)), ot = sized(g, typed(g->type, 3, order)), one = typed(I64, 0, NULL);
	Val boxes = exactly(g, pick_typed(g, &bt)), at = new_input(g, ot, FillIndex, (int64_t)fmin((double)lowest(n), greatest(g->type)));
	Val most = new_input(g, one, FillIndex, 6), iou = number(g, F32, (double[]){0.1, 0.5, 0}[pick(g, 3)]);
	Value *v = emit(g, OpNms, 4, (Value *[]){boxes.v, at.v, most.v, iou.v}, 0, NULL, NULL);
	return finish(g, v, 1, 0, true);
}

/* The C function of the fuzzer turns its first operand around. */
static Val step_custom(Gen *g)
{
	Val x[2] = {pick_own(g, 0, 4), pick_own(g, 0, 2)};
	Type t = x[0].v->type;
	Attr a = mk_text(g->m, Attr_symbol, "fuzz_reverse");
	return moved(g, x[0], emit(g, OpCustom, 1 + once(g, 2), (Value *[]){x[0].v, x[1].v}, 1, &a, &t));
}

/* Windows by indices i + k, as exporters write unfold. */
static Val step_unfold(Gen *g)
{
	Val x = pick_own(g, 2, 3);
	int axis = pick(g, x.v->type.rank);
	int64_t taps = 1 + pick(g, 4), left = pick(g, (int)taps);
	const Dim *n = x.v->type.dims[axis];
	if (once(g, 3)) { /* only whole windows */
		need(g, lowest(n) >= taps);
		n = dim_sub(g->m, n, num(g, taps - 1));
	} else {
		x = pad_axis(g, x, axis, left, taps - 1 - left);
	}
	Val at = iota(g, I64, n, num(g, 0), 1), tap = iota(g, I64, num(g, taps), num(g, 0), 1);
	at = reshape(g, at, 2, (const Dim *[]){n, num(g, 1)});
	if (once(g, 3))
		tap = reshape(g, tap, 2, (const Dim *[]){num(g, 1), num(g, taps)});
	Value *idx = emit(g, OpAdd, 2, (Value *[]){at.v, tap.v}, 0, NULL, NULL);
	Attr a = mk_int(Attr_axis, axis);
	return moved(g, x, emit(g, OpGather, 2, (Value *[]){x.v, idx}, 1, &a, NULL));
}

#endif
