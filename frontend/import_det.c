/* import_det.c - Det: Gaussian elimination of all matrices of a batch at once, a loop over the columns. */
#include "build.h"
#include "import.h"

/* What is below the diagonal of column `at` becomes 0: [batch, n, n] and the product of the pivots so far, [batch, 1, 1]. */
typedef struct Elimination {
	Value *matrix, *det;
} Elimination;

/* The first row from the diagonal on with the column's largest element: [batch, 1, 1]; the diagonal's, if that is a NaN. */
static Value *pivot_row(Call *c, Value *column, Value *rows, Value *diagonal)
{
	static const int64_t along_rows[] = {1};
	Value *open = emit2(c, OpLe, diagonal, rows);
	Value *size = emit3(c, OpWhere, open, emit1(c, OpAbs, column), emit_const(c, column->type.dtype, -1));
	Value *most = emit_reduce(c, OpReduceMax, size, 1, along_rows, true), *last = emit_dims(c, 0, 1, &column->type.dims[1]);
	Value *row = emit_reduce(c, OpReduceMin, emit3(c, OpWhere, emit2(c, OpEq, size, most), rows, last), 1, along_rows, true);
	return emit3(c, OpWhere, emit2(c, OpEq, row, last), diagonal, row);
}

static Elimination eliminate(Call *c, Elimination e, const Dim *at)
{
	static const int64_t along_rows[] = {1};
	const Dim *n = e.matrix->type.dims[1], *one = num(c, 1);
	DType dtype = e.matrix->type.dtype;
	Value *zero = emit_const(c, dtype, 0), *rows = count_along(c, n, 3, 1), *diagonal = emit_dims(c, 0, 1, &at);
	Value *row = pivot_row(c, emit_range(c, e.matrix, 2, at, one, 1), rows, diagonal), *picked = emit2(c, OpEq, rows, row);
	Value *pivots = emit_reduce(c, OpSum, emit3(c, OpWhere, picked, e.matrix, zero), 1, along_rows, true);
	Value *swapped = emit3(c, OpWhere, picked, emit_range(c, e.matrix, 1, at, one, 1), e.matrix);
	Value *pivot = emit_range(c, pivots, 2, at, one, 1), *column = emit_range(c, swapped, 2, at, one, 1);
	Value *factor = emit3(c, OpWhere, emit2(c, OpEq, column, zero), zero, emit2(c, OpDiv, column, pivot));
	Value *less = emit2(c, OpSub, swapped, emit2(c, OpMul, factor, pivots));
	Value *moved = emit3(c, OpWhere, emit2(c, OpEq, row, diagonal), pivot, emit1(c, OpNeg, pivot));
	e.matrix = emit3(c, OpWhere, emit2(c, OpLt, diagonal, rows), less, swapped);
	e.det = emit2(c, OpMul, e.det, moved);
	return e;
}

void import_det(Call *c)
{
	Value *x = c->in[0];
	int rank = x->type.rank - 2;
	if (rank < 0)
		fatal_at(c->loc, "the operand has rank %d, expected at least 2", x->type.rank);
	DType dtype = x->type.dtype, work = wide_type(dtype);
	const Dim *n = x->type.dims[rank + 1], *batch = product(c->m, x->type.dims, rank), *at;
	require_equal(c, x->type.dims[rank], n, "rows and columns");
	Value *first[2] = {emit_reshape(c, emit_cast(c, x, work), 3, (const Dim *[]){batch, n, n}),
	                   emit_expand(c, emit_const(c, work, 1), 3, (const Dim *[]){batch, num(c, 1), num(c, 1)})};
	Node *loop = begin_loop(c, n, NULL, 2, first, &at);
	Elimination e = eliminate(c, (Elimination){loop->body->params[0], loop->body->params[1]}, at);
	add_yield(c->m, loop->body, e.matrix);
	add_yield(c->m, loop->body, e.det);
	end_loop(c, loop);
	c->out[0] = emit_cast(c, emit_reshape(c, loop->out[1], rank, x->type.dims), dtype);
}
