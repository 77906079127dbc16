/* import_sequence.c - sequences and optionals.
 *
 * A list has the length that it has here (List in call.h), so these operators pick, insert and leave out Values; only
 * splitting and concatenating emit anything.  Where that would depend on the data, they refuse.
 */
#include "build.h"
#include "import.h"

#include <string.h>

static const List *need_list(Call *c, int i)
{
	Item item = input_item(c, i);
	if (!item.list || item.list->none)
		fatal_at(c->loc, "input %d is %s, expected a sequence", i, item_text(c->im, item));
	return item.list;
}

/* Input `at` as a place from 0 to `last` in a sequence of length n; negative ones count from the end. */
static int position(Call *c, int at, int n, int last, int dflt)
{
	int64_t place;
	if (at >= c->nin || (!c->in[at] && !c->lists[at]))
		return dflt;
	const Value *v = need_tensor(c, input_item(c, at), "input 'position'");
	if (dtypes[v->type.dtype].cls != ClassSigned)
		fatal_at(c->loc, "input 'position' is %s, expected one integer", type_text(c->m, &v->type));
	if (need_ints(c, at, "position", &place, 1) != 1)
		fatal_at(c->loc, "input 'position' has no elements");
	if (place < -n || place > last)
		fatal_at(c->loc, "position %lld is out of range for a sequence of length %d", (long long)place, n);
	return (int)(place < 0 ? place + n : place);
}

static void need_dtype(Call *c, const Value *v, DType dtype)
{
	if (v->type.dtype != dtype)
		fatal_at(c->loc, "%s does not fit a sequence of %s", type_text(c->m, &v->type), dtypes[dtype].text);
}

/* ---- sequences --------------------------------------------------------------------------------------------------- */

void import_sequence_empty(Call *c)
{
	DType dtype;
	int code = (int)onnx_int(c, "dtype", dtypes[F32].onnx);
	if (!onnx_dtype(code, &dtype))
		refuse_at(c->loc, "element type %s is not supported", onnx_dtype_text(code));
	c->out_lists[0] = new_list(c->im, dtype, 0, c->loc);
}

void import_sequence_construct(Call *c)
{
	DType dtype = need_tensor(c, input_item(c, 0), "input 0")->type.dtype;
	List *list = new_list(c->im, dtype, c->nin, c->loc);
	for (int i = 0; i < c->nin; i++) {
		list->items[i] = need_tensor(c, input_item(c, i), arena_printf(c->im->scratch, "input %d", i));
		need_dtype(c, list->items[i], dtype);
	}
	c->out_lists[0] = list;
}

void import_sequence_at(Call *c)
{
	const List *list = need_list(c, 0);
	c->out[0] = list->items[position(c, 1, list->n, list->n - 1, 0)];
}

void import_sequence_insert(Call *c)
{
	const List *old = need_list(c, 0);
	Value *v = need_tensor(c, input_item(c, 1), "input 1");
	int at = position(c, 2, old->n, old->n, old->n);
	need_dtype(c, v, old->dtype);
	List *list = new_list(c->im, old->dtype, old->n + 1, c->loc);
	for (int i = 0; i < list->n; i++)
		list->items[i] = i < at ? old->items[i] : i == at ? v : old->items[i - 1];
	c->out_lists[0] = list;
}

void import_sequence_erase(Call *c)
{
	const List *old = need_list(c, 0);
	int at = position(c, 1, old->n, old->n - 1, old->n - 1);
	if (!old->n)
		fatal_at(c->loc, "the sequence is empty");
	List *list = new_list(c->im, old->dtype, old->n - 1, c->loc);
	for (int i = 0; i < list->n; i++)
		list->items[i] = old->items[i + (i >= at)];
	c->out_lists[0] = list;
}

void import_sequence_length(Call *c)
{
	const Dim *n = num(c, need_list(c, 0)->n);
	c->out[0] = emit_dims(c, 0, 1, &n);
}

/* ---- to tensors and back ------------------------------------------------------------------------------------------ */

/* Parts of one size, of which the last may be smaller. */
static const Dim **equal_parts(Call *c, const Dim *extent, int64_t size, int *n)
{
	int64_t whole;
	if (size < 1)
		fatal_at(c->loc, "parts of size %lld", (long long)size);
	if (!dim_is_const(extent, &whole))
		refuse_at(c->loc, "not supported: how many parts there are depends on the sizes: the split axis has extent %s",
		         dim_text(c->m, extent));
	*n = new_list(c->im, F32, whole / size + (whole % size != 0), c->loc)->n;
	const Dim **parts = arena_alloc(c->im->scratch, (*n + 1) * sizeof *parts);
	for (int i = 0; i < *n; i++)
		parts[i] = num(c, whole - i * size < size ? whole - i * size : size);
	return parts;
}

/* The sizes of the parts. */
static const Dim **read_parts(Call *c, const Dim *extent, int *n)
{
	int64_t size = 1;
	Item given = input_item(c, 1);
	const Value *split = given.list ? need_tensor(c, given, "input 'split'") : given.tensor;
	if (!split || !split->type.rank) {
		if (split)
			need_ints(c, 1, "split", &size, 1);
		return equal_parts(c, extent, size, n);
	}
	if (split->type.rank > 1 || (dim_is_const(split->type.dims[0], &size) && size > MaxKnown))
		refuse_at(c->loc, "not supported: sizes of the parts as %s; at most %d in a row", type_text(c->m, &split->type), MaxKnown);
	const Dim **parts = arena_alloc(c->im->scratch, (MaxKnown + 1) * sizeof *parts), *sum = num(c, 0);
	*n = need_dims(c, 1, "split", parts, MaxKnown);
	for (int i = 0; i < *n; i++) {
		require_at_least(c, parts[i], 0);
		sum = dim_add(c->m, sum, parts[i]);
	}
	require_equal(c, sum, extent, "sum of the sizes and the split axis");
	return parts;
}

void import_split_to_sequence(Call *c)
{
	int n;
	Value *x = need_tensor(c, input_item(c, 0), "input 0");
	int axis = norm_axis(c, onnx_int(c, "axis", 0), x->type.rank);
	bool drops = (c->nin < 2 || !c->in[1]) && !onnx_int(c, "keepdims", 1);
	const Dim **parts = read_parts(c, x->type.dims[axis], &n), *at = num(c, 0);
	List *list = new_list(c->im, x->type.dtype, n, c->loc);
	for (int i = 0; i < n; i++) {
		Value *part = emit_range(c, x, axis, at, parts[i], 1);
		const Dim *dims[MaxRank];
		for (int d = 0; d < x->type.rank - 1; d++)
			dims[d] = x->type.dims[d + (d >= axis)];
		list->items[i] = drops ? emit_reshape(c, part, x->type.rank - 1, dims) : part;
		at = dim_add(c->m, at, parts[i]);
	}
	c->out_lists[0] = list;
}

void import_concat_from_sequence(Call *c)
{
	const List *list = need_list(c, 0);
	if (!list->n || !has_attr(c, "axis"))
		fatal_at(c->loc, list->n ? "attribute 'axis' is missing" : "there are no tensors to concatenate");
	bool stacks = onnx_int(c, "new_axis", 0);
	int axis = norm_axis(c, onnx_int(c, "axis", 0), list->items[0]->type.rank + stacks);
	for (int i = 1; i < list->n; i++)
		if (list->items[i]->type.rank != list->items[0]->type.rank)
			fatal_at(c->loc, "the ranks of elements differ: %s and %s", type_text(c->m, &list->items[0]->type),
			         type_text(c->m, &list->items[i]->type));
	Attr along = mk_int(Attr_axis, axis);
	if (stacks)
		c->out[0] = stack_tensors(c, list->n, list->items, axis);
	else
		c->out[0] = list->n == 1 ? list->items[0] : emit(c, OpConcat, list->n, list->items, 1, &along, NULL);
}

/* The body once for each element. */
void import_sequence_map(Call *c)
{
	int n = need_list(c, 0)->n;
	const OnnxGraph *g = body_of(c, "body");
	if (g->n_input != (size_t)c->nin || g->n_output < (size_t)c->nout)
		fatal_at(c->loc, "the node has %d inputs and %d outputs, its body %zu and %zu", c->nin, c->nout, g->n_input,
		         g->n_output);
	for (int k = 1; k < c->nin; k++)
		if (!c->in[k] && need_list(c, k)->n != n)
			fatal_at(c->loc, "input %d is %s, the first of length %d", k, item_text(c->im, input_item(c, k)), n);
	if (!n)
		refuse_at(c->loc, "not supported: the sequence is empty, so nothing tells the types of the results");
	Item *in = arena_alloc(c->im->scratch, (c->nin + 1) * sizeof *in), *out = arena_alloc(c->im->scratch, (c->nout + 1) * sizeof *out);
	List **results = arena_alloc(c->im->scratch, (c->nout + 1) * sizeof *results);
	for (int i = 0; i < n; i++) {
		for (int k = 0; k < c->nin; k++)
			in[k] = (Item){.tensor = c->in[k] ? c->in[k] : c->lists[k]->items[i]};
		import_body(c, g, c->im->block, c->nin, in, c->nout, out);
		for (int k = 0; k < c->nout; k++) {
			Value *v = need_tensor(c, out[k], arena_printf(c->im->scratch, "output %d of the body", k));
			if (!i)
				c->out_lists[k] = results[k] = new_list(c->im, v->type.dtype, n, c->loc);
			results[k]->items[i] = v;
			need_dtype(c, v, results[k]->dtype);
		}
	}
}

/* ---- optionals ---------------------------------------------------------------------------------------------------- */

void import_optional(Call *c)
{
	Item item = input_item(c, 0);
	List *none = new_list(c->im, F32, 0, c->loc);
	none->none = true;
	set_output(c, 0, item.tensor || item.list ? item : (Item){.list = none});
}

void import_optional_get_element(Call *c)
{
	Item item = input_item(c, 0);
	if (item.list && item.list->none)
		fatal_at(c->loc, "the input is an optional without an element");
	set_output(c, 0, item);
}

void import_optional_has_element(Call *c)
{
	Item item = input_item(c, 0);
	const Dim *has = num(c, item.tensor || (item.list && !item.list->none));
	c->out[0] = emit_cast(c, emit_dims(c, 0, 1, &has), Bool);
}
