/* import_roi.c - RoiAlign and MaxRoiPool: boxes of a picture, pooled to one size.
 *
 * What they take from a picture are products of a weight along x and one along y, so each axis is pooled alone: first the columns of
 * [batch, columns, channels, rows], then the rows.  The number of samples of a cell depends on its box; a loop takes one of every cell
 * at a time, as long as one of them has more.
 */
#include "build.h"
#include "import.h"

#include <math.h>

typedef struct Axis { /* one axis of all boxes */
	Call *c;
	DType dtype; /* of places */
	const Dim *boxes, *cells, *extent;
	Value *source; /* [pictures, extent, .., ..] */
	Value *picture; /* [boxes], I64 */
	bool max;
} Axis;

/* The samples of a cell: [boxes, cells], or [boxes, 1] and [] where they are the same for all. */
typedef struct Samples {
	Value *first, *step, *count; /* places and how many there are */
	Value *skip; /* how many of them lie before the picture */
	const Dim *most; /* of those that lie in it */
	bool counted; /* `most` is how many there are */
} Samples;

static Value *real(const Axis *a, double v)
{
	return emit_const(a->c, a->dtype, v);
}

static Value *real_of_dim(const Axis *a, const Dim *d)
{
	return emit_cast(a->c, emit_dims(a->c, 0, 1, &d), a->dtype);
}

static Value *between(Call *c, Value *lo, Value *x, Value *hi)
{
	return emit2(c, OpAnd, emit2(c, OpLe, lo, x), emit2(c, OpLe, x, hi));
}

/* v [boxes, cells] (or what expands to it) over two more axes */
static Value *over_rest(const Axis *a, Value *v)
{
	const Dim *cells[2] = {a->boxes, a->cells}, *one = num(a->c, 1);
	return emit_reshape(a->c, emit_expand(a->c, v, 2, cells), 4, (const Dim *[]){a->boxes, a->cells, one, one});
}

/* The elements of each box's picture at one place [boxes, cells] of each cell: [boxes, cells, .., ..]. */
static Value *take(const Axis *a, Value *place)
{
	Call *c = a->c;
	const Dim *cells[3] = {a->boxes, a->cells, num(c, 1)}, *picture[3] = {a->boxes, cells[2], cells[2]};
	Value *last = emit2(c, OpSub, real_of_dim(a, a->extent), real(a, 1));
	place = emit_cast(c, emit2(c, OpMin, emit2(c, OpMax, place, real(a, 0)), last), I64);
	Attr axis = mk_int(Attr_axis, 2);
	Value *index[2] = {emit_expand(c, emit_reshape(c, a->picture, 3, picture), 3, cells), emit_reshape(c, place, 3, cells)};
	Value *gather[2] = {a->source, emit(c, OpConcat, 2, index, 1, &axis, NULL)};
	return emit(c, OpGatherND, 2, gather, 0, NULL, NULL);
}

/* What all cells have before the first sample. */
static Value *fill(const Axis *a, Value *v)
{
	const Type *t = &a->source->type;
	return emit_expand(a->c, v, 4, (const Dim *[]){a->boxes, a->cells, t->dims[2], t->dims[3]});
}

/* Is there any cell whose number of samples is above `done`? */
static Value *any_more(const Axis *a, Value *left, Value *done)
{
	static const int64_t both[2] = {0, 1};
	Value *more = emit_cast(a->c, emit2(a->c, OpLt, done, left), I32);
	more = emit_expand(a->c, more, 2, (const Dim *[]){a->boxes, a->cells});
	return emit2(a->c, OpLt, emit_const(a->c, I32, 0), emit_reduce(a->c, OpReduceMax, more, 2, both, false));
}

/* Joins what add() makes of the samples 0, 1, .. of all cells with `start`. */
static Value *pool_samples(const Axis *a, const Samples *s, Value *start, Value *(*add)(const Axis *, const Samples *, Value *, Value *))
{
	Call *c = a->c;
	const Dim *at, *none = num(c, 0);
	Value *left = emit2(c, OpSub, s->count, s->skip);
	Value *first = s->counted ? NULL : any_more(a, left, real_of_dim(a, none));
	Node *loop = begin_loop(c, s->most, first, 1, &start, &at);
	Value *y = add(a, s, loop->body->params[0], emit2(c, OpAdd, s->skip, real_of_dim(a, at)));
	if (first)
		add_yield(c->m, loop->body, any_more(a, left, real_of_dim(a, dim_add(c->m, at, num(c, 1)))));
	add_yield(c->m, loop->body, y);
	end_loop(c, loop);
	return loop->out[0];
}

/* ---- RoiAlign --------------------------------------------------------------------------------------------------------- */

/* A sample lies between two elements; it counts nothing if it is more than one element outside. */
static Value *add_between(const Axis *a, const Samples *s, Value *sum, Value *number)
{
	Call *c = a->c;
	Value *place = emit2(c, OpAdd, s->first, emit2(c, OpMul, number, s->step)), *zero = real(a, 0), *one = real(a, 1);
	Value *extent = real_of_dim(a, a->extent), *last = emit2(c, OpSub, extent, one);
	Value *counts = emit2(c, OpAnd, between(c, real(a, -1), place, extent), emit2(c, OpLt, number, s->count));
	place = emit2(c, OpMin, emit2(c, OpMax, place, zero), last);
	Value *low = emit1(c, OpFloor, place), *high_share = emit2(c, OpSub, place, low);
	Value *share[2] = {emit2(c, OpSub, one, high_share), high_share}, *y = NULL;
	for (int i = 0; i < 2; i++) {
		Value *element = take(a, i ? emit2(c, OpAdd, low, one) : low);
		Value *part = emit2(c, OpMul, over_rest(a, share[i]), element);
		y = i ? emit2(c, a->max ? OpMax : OpAdd, y, part) : part;
	}
	Value *joined = emit2(c, a->max ? OpMax : OpAdd, sum, y);
	return emit3(c, OpWhere, over_rest(a, counts), joined, sum);
}

/* start and size [boxes, 1] of the boxes, in elements */
static Value *align_axis(Axis *a, Value *start, Value *size, int64_t ratio)
{
	Call *c = a->c;
	Module *m = c->m;
	Value *zero = real(a, 0), *one = real(a, 1), *cell = emit2(c, OpDiv, size, real_of_dim(a, a->cells));
	Value *number = emit_cast(c, count_along(c, a->cells, 2, 1), a->dtype), *extent = real_of_dim(a, a->extent);
	Value *count = ratio ? real(a, (double)ratio) : emit1(c, OpCeil, cell), *some = emit2(c, OpMax, count, one);
	Samples s = {.count = count, .step = emit2(c, OpDiv, cell, some), .counted = ratio > 0};
	s.first = emit2(c, OpAdd, emit2(c, OpAdd, start, emit2(c, OpMul, number, cell)), emit2(c, OpMul, s.step, real(a, 0.5)));
	/* Without a ratio steps are between 1/2 and 1, so few samples lie in the picture. */
	Value *before = emit1(c, OpCeil, emit2(c, OpDiv, emit2(c, OpSub, real(a, -1), s.first), s.step));
	s.skip = ratio ? zero : emit2(c, OpMax, before, zero);
	s.most = ratio ? num(c, ratio) : dim_add(m, dim_mul_const(m, a->extent, 2), num(c, 5));
	Value *empty = over_rest(a, emit2(c, OpLt, count, one));
	if (!a->max)
		return emit2(c, OpDiv, pool_samples(a, &s, fill(a, zero), add_between), over_rest(a, some));
	/* Of samples outside the largest is 0. */
	Value *last = emit2(c, OpAdd, s.first, emit2(c, OpMul, emit2(c, OpSub, count, one), s.step));
	Value *inside = emit2(c, OpAnd, emit2(c, OpLe, real(a, -1), s.first), emit2(c, OpLe, last, extent));
	Value *least = emit3(c, OpWhere, over_rest(a, inside), real(a, -INFINITY), zero);
	return emit3(c, OpWhere, empty, zero, pool_samples(a, &s, fill(a, least), add_between));
}

static const int columns_first[4] = {0, 3, 1, 2}; /* [n, channels, rows, columns] -> [n, columns, channels, rows], and so on */

/* Column i of the boxes [boxes, ..], times the scale. */
static Value *edge(Call *c, Value *boxes, int i, double scale)
{
	Value *v = emit_range(c, boxes, 1, num(c, i), num(c, 1), 1);
	return emit2(c, OpMul, v, emit_const(c, v->type.dtype, scale));
}

static Value *numbers(Call *c, const Dim *n)
{
	return emit_iota(c, I64, n, num(c, 0), num(c, 1));
}

static void check_boxes(Call *c, int width)
{
	const Type *x = &c->in[0]->type, *boxes = &c->in[1]->type;
	if (x->rank != 4 || boxes->rank != 2)
		fatal_at(c->loc, "operands have ranks %d and %d, expected 4 and 2", x->rank, boxes->rank);
	require_equal(c, boxes->dims[1], num(c, width), "columns of the boxes");
}

static const Dim *cells_of(Call *c, const char *name)
{
	int64_t n = onnx_int(c, name, 1);
	if (n < 1 || n > DimMax)
		fatal_at(c->loc, "attribute '%s' = %lld is out of range", name, (long long)n);
	return num(c, n);
}

void import_roi_align(Call *c)
{
	Value *boxes = c->in[1], *picture = c->in[2];
	DType dtype = c->in[0]->type.dtype, work = wide_type(dtype);
	bool shifted = c->opset >= 16 && !onnx_word(c, "coordinate_transformation_mode", "output_half_pixel");
	int64_t ratio = onnx_int(c, "sampling_ratio", 0);
	double scale = onnx_float(c, "spatial_scale", 1);
	check_boxes(c, 4);
	if (ratio < 0 || ratio > DimMax)
		fatal_at(c->loc, "attribute 'sampling_ratio' = %lld is out of range", (long long)ratio);
	if (picture->type.rank != 1)
		fatal_at(c->loc, "input 'batch_indices' has rank %d, expected 1", picture->type.rank);
	require_equal(c, picture->type.dims[0], boxes->type.dims[0], "boxes and pictures");
	boxes = emit_cast(c, boxes, work);
	Axis a = {.c = c, .dtype = work, .boxes = boxes->type.dims[0], .picture = emit_cast(c, picture, I64),
	          .max = onnx_word(c, "mode", "max"), .source = emit_cast(c, c->in[0], work)};
	for (int axis = 0; axis < 2; axis++) { /* x, then y */
		Value *start = edge(c, boxes, axis, scale), *size = emit2(c, OpSub, edge(c, boxes, axis + 2, scale), start);
		start = emit2(c, OpSub, start, real(&a, shifted ? 0.5 : 0));
		if (!shifted)
			size = emit2(c, OpMax, size, real(&a, 1));
		a.source = emit_transpose(c, a.source, columns_first);
		a.extent = a.source->type.dims[1];
		a.cells = cells_of(c, axis ? "output_height" : "output_width");
		a.source = align_axis(&a, start, size, ratio);
		a.picture = numbers(c, a.boxes);
	}
	c->out[0] = emit_cast(c, emit_transpose(c, a.source, (const int[]){0, 3, 1, 2}), dtype);
}

/* ---- MaxRoiPool -------------------------------------------------------------------------------------------------------- */

static Value *add_largest(const Axis *a, const Samples *s, Value *most, Value *number)
{
	Call *c = a->c;
	Value *larger = emit2(c, OpMax, most, take(a, emit2(c, OpAdd, s->first, number)));
	return emit3(c, OpWhere, over_rest(a, emit2(c, OpLt, number, s->count)), larger, most);
}

/* to the nearest, halves up */
static Value *whole(const Axis *a, Value *v)
{
	return emit1(a->c, OpFloor, emit2(a->c, OpAdd, v, real(a, 0.5)));
}

/* Whole elements from first to last [boxes, 1], split into cells that may overlap; *empty: those that lie outside. */
static Value *largest_of_axis(Axis *a, Value *first, Value *last, Value **empty)
{
	Call *c = a->c;
	Value *zero = real(a, 0), *one = real(a, 1), *extent = real_of_dim(a, a->extent);
	Value *size = emit2(c, OpMax, emit2(c, OpAdd, emit2(c, OpSub, last, first), one), one);
	Value *cell = emit2(c, OpDiv, size, real_of_dim(a, a->cells));
	Value *number = emit_cast(c, count_along(c, a->cells, 2, 1), a->dtype);
	Value *from = emit1(c, OpFloor, emit2(c, OpMul, number, cell)), *to = emit1(c, OpCeil, emit2(c, OpMul, emit2(c, OpAdd, number, one), cell));
	from = emit2(c, OpMin, emit2(c, OpMax, emit2(c, OpAdd, from, first), zero), extent);
	to = emit2(c, OpMin, emit2(c, OpMax, emit2(c, OpAdd, to, first), zero), extent);
	Samples s = {.first = from, .count = emit2(c, OpSub, to, from), .skip = zero, .most = a->extent};
	*empty = emit1(c, OpNot, over_rest(a, emit2(c, OpLt, from, to)));
	return pool_samples(a, &s, fill(a, real(a, -INFINITY)), add_largest);
}

void import_max_roi_pool(Call *c)
{
	DType dtype = c->in[0]->type.dtype, work = wide_type(dtype);
	const int64_t *shape;
	double scale = onnx_float(c, "spatial_scale", 1);
	check_boxes(c, 5);
	if (onnx_ints(c, "pooled_shape", &shape) != 2 || shape[0] < 1 || shape[1] < 1 || shape[0] > DimMax || shape[1] > DimMax)
		fatal_at(c->loc, "attribute 'pooled_shape' is not two sizes");
	Value *boxes = emit_cast(c, c->in[1], work), *empty[2];
	Axis a = {.c = c, .dtype = work, .boxes = boxes->type.dims[0], .max = true, .source = emit_cast(c, c->in[0], work)};
	a.picture = emit_reshape(c, emit_cast(c, edge(c, boxes, 0, 1), I64), 1, &a.boxes);
	for (int axis = 0; axis < 2; axis++) { /* x, then y */
		a.source = emit_transpose(c, a.source, columns_first);
		a.extent = a.source->type.dims[1];
		a.cells = num(c, shape[1 - axis]);
		Value *first = whole(&a, edge(c, boxes, 1 + axis, scale)), *last = whole(&a, edge(c, boxes, 3 + axis, scale));
		a.source = largest_of_axis(&a, first, last, &empty[axis]);
		a.picture = numbers(c, a.boxes);
	}
	Value *none = emit2(c, OpOr, emit_transpose(c, empty[0], (const int[]){0, 2, 1, 3}), empty[1]); /* [boxes, rows, columns, 1] */
	Value *y = emit3(c, OpWhere, none, real(&a, 0), a.source);
	c->out[0] = emit_cast(c, emit_transpose(c, y, (const int[]){0, 3, 1, 2}), dtype);
}
