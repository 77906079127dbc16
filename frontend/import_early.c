/* import_early.c - forms of an operator that only the first opsets have; what they say in other words goes on as they say it now. */
#include "build.h"
#include "expr.h"
#include "import.h"

#include <string.h>

/* [d .. e] -> [d .. e, 1 .. 1], so that the operand's first axis meets axis `at` of a tensor of that rank. */
static Value *align(Call *c, Value *x, int64_t at, int rank)
{
	const Dim *dims[MaxRank];
	if (at < 0 || at + x->type.rank > rank)
		fatal_at(c->loc, "an operand of rank %d does not fit rank %d from axis %lld on", x->type.rank, rank,
		         (long long)at);
	for (int i = at; i < rank; i++)
		dims[i - at] = i - at < x->type.rank ? x->type.dims[i - at] : num(c, 1);
	return emit_reshape(c, x, rank - at, dims);
}

/* Before opset 7 only the second operand is broadcast, only if the node says so, and its axes may end before the first one's. */
void import_aligned(Call *c)
{
	Value *a = c->in[0], *b = c->in[1];
	bool broadcast = onnx_int(c, "broadcast", 0);
	int64_t at = onnx_int(c, "axis", a->type.rank - b->type.rank);
	if (!broadcast && a->type.rank != b->type.rank)
		fatal_at(c->loc, "the operands have ranks %d and %d", a->type.rank, b->type.rank);
	for (int i = 0; !broadcast && i < a->type.rank; i++)
		require_equal(c, a->type.dims[i], b->type.dims[i], "dims of the operands");
	if (broadcast)
		c->in[1] = align(c, b, at < 0 ? at + a->type.rank : at, a->type.rank);
	const OnnxOp *now = find_row(c->im, c->row->domain, c->row->name, c->row->until + 1);
	if (now->text)
		c->out[0] = expand_text(c, now->text);
	else
		now->func(c);
}

/* The slope has one element, or one for each channel. */
void import_prelu_per_channel(Call *c)
{
	Value *x = c->in[0], *slope = c->in[1];
	int rank = x->type.rank;
	if (slope->type.rank > 1)
		fatal_at(c->loc, "the slope has rank %d, expected at most 1", slope->type.rank);
	if (slope->type.rank && rank > 1 && !dim_equals(slope->type.dims[0], 1))
		c->in[1] = align(c, slope, 1, rank);
	c->out[0] = expand_text(c, find_row(c->im, c->row->domain, c->row->name, c->row->until + 1)->text);
}

/* The dtype is spelled out. */
void import_cast_by_name(Call *c)
{
	const char *to = onnx_text(c, "to");
	DType dtype;
	int code = to ? onnx_dtype_named(to) : 0;
	if (!onnx_dtype(code, &dtype))
		refuse_at(c->loc, "element type %s is not supported", to ? to : "UNDEFINED");
	c->out[0] = emit_cast(c, c->in[0], dtype);
}

/* One axis, and how often it repeats. */
void import_tile_axis(Call *c)
{
	const Dim *by;
	int64_t axis;
	if (need_dims(c, 1, "tiles", &by, 1) != 1 || need_ints(c, 2, "axis", &axis, 1) != 1)
		fatal_at(c->loc, "input 'tiles' or 'axis' is not a scalar");
	const Dim *repeats[MaxRank];
	int rank = c->in[0]->type.rank;
	axis = norm_axis(c, axis, rank);
	for (int i = 0; i < rank; i++)
		repeats[i] = i == axis ? by : num(c, 1);
	c->in[1] = emit_dims(c, 1, rank, repeats);
	import_tile(c);
}
