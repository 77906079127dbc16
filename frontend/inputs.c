/* inputs.c - the inputs of a graph become parameters: their types and shapes, symbols for their dims, and what options say of them
 * (-D, --shape, --random-seed). */
#include "inputs.h"

#include "build.h"
#include "expr.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MaxListed = 50 }; /* names in a message */

/* ---- symbols --------------------------------------------------------------------------------------------------- */

static bool is_identifier(const char *s)
{
	if (!isalpha((unsigned char)*s) && *s != '_')
		return false;
	while (isalnum((unsigned char)*s) || *s == '_')
		s++;
	return !*s;
}

static const Dim *bound_symbol(Import *im, const char *raw, const char *name)
{
	int64_t lo = 0, hi = DimMax;
	apply_bindings(im, raw, name, &lo, &hi);
	for (int i = 0; i < im->ndemand; i++) {
		const Demand *d = &im->demand[i];
		if (strcmp(d->sym, name))
			continue;
		lo = d->lo > lo ? d->lo : lo;
		hi = d->hi < hi ? d->hi : hi;
		if (lo > hi)
			fatal_at(&(Loc){.file = im->file->path},
			         "no value of dimension '%s' fits all operations of the model", raw);
	}
	if (get_name(&im->file->units, name)) {
		if (lo > 1 || hi < 1)
			fatal_at(&(Loc){.file = im->file->path}, "dimension '%s' must be 1 for the operations of the model", raw);
		lo = hi = 1;
	}
	if (lo == hi)
		return dim_const(im->m, lo);
	const Dim *d = dim_sym(im->m, name);
	Sym *sym = dim_as_sym(d);
	sym->lo = lo;
	sym->hi = hi;
	return d;
}

/* The symbol that the model calls `raw`; spelled as an identifier that no other symbol has. */
static const Dim *symbol_of(Import *im, const char *raw)
{
	static const char *const reserved[] = {"min", "max", "in", "sym", "func", "model", "inf", "nan", "threads"};
	const Dim *d = get_name(&im->syms, raw);
	if (d)
		return d;
	char *base = identifier_of(im->m->arena, raw), *name = base;
	for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
		if (!strcmp(base, reserved[i]))
			name = base = arena_printf(im->m->arena, "%s_", base);
	int *last = get_name(&im->taken, base); /* number of the last symbol that got this name with a number */
	while (get_name(&im->taken, name))
		name = arena_printf(im->m->arena, "%s_%d", base, ++*last);
	put_name(&im->taken, name, arena_alloc(im->scratch, sizeof *last));
	d = bound_symbol(im, raw, name);
	put_name(&im->syms, arena_strdup(im->scratch, raw), (void *)d);
	return d;
}

static const Dim *existing_symbol(void *im, const char *name)
{
	return get_name(&((Import *)im)->syms, name);
}

/* Texts that name nothing: "?", "", "-1" as exporters write for "unknown". */
static bool is_unknown(const Dim *d, const char *text)
{
	int64_t lo, hi = 0;
	if (d)
		dim_range(d, &lo, &hi);
	while (*text && !isalnum((unsigned char)*text) && *text != '_' && !(*text & 0x80))
		text++;
	return hi < 0 || (!hi && d && !dim_is_const(d, NULL)) || !*text;
}

/* An expression counts if plain dims of other inputs give its symbols; otherwise the whole text names one symbol.  NULL: it says
 * nothing. */
static const Dim *dim_of_param(Import *im, const char *text)
{
	const Dim *d = get_name(&im->syms, text);
	if (d)
		return d;
	if (!is_identifier(text))
		d = parse_dim_text(im->m, text, existing_symbol, im);
	if (is_unknown(d, text))
		return NULL;
	return d ? d : symbol_of(im, text);
}

static const Dim *declared_dim(Import *im, const Onnx__TensorShapeProto__Dimension *d, const char *input, int axis,
                               const Loc *loc)
{
	if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE && d->dim_value != -1) { /* -1: unknown */
		if (d->dim_value < 0 || d->dim_value > DimMax)
			fatal_at(loc, "input '%s': dim %d: expected 0..%d, got %lld", input, axis, DimMax,
			         (long long)d->dim_value);
		return dim_const(im->m, d->dim_value);
	}
	bool named = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM && d->dim_param;
	const Dim *dim = named ? dim_of_param(im, d->dim_param) : NULL;
	int64_t extent;
	if (dim && dim_is_const(dim, &extent) && extent > DimMax)
		fatal_at(loc, "input '%s': dim %d: expected 0..%d, got %s", input, axis, DimMax, d->dim_param);
	if (dim)
		return dim;
	return symbol_of(im, arena_printf(im->scratch, "%s_d%d", input, axis));
}

/* ---- inputs ---------------------------------------------------------------------------------------------------- */

/* "[2, T, 4]", brackets or not, as the declaration that a file might have. */
static const Onnx__TensorShapeProto *parse_shape(Import *im, const char *text)
{
	enum { MaxDims = MaxRank + 1 };
	char *copy = arena_strdup(im->scratch, text), *rest = NULL;
	Onnx__TensorShapeProto *shape = arena_alloc(im->scratch, sizeof *shape);
	onnx__tensor_shape_proto__init(shape);
	shape->dim = arena_alloc(im->scratch, MaxDims * sizeof *shape->dim);
	for (char *word = strtok_r(copy, "[], ", &rest); word && shape->n_dim < MaxDims; word = strtok_r(NULL, "[], ", &rest)) {
		Onnx__TensorShapeProto__Dimension *dim = arena_alloc(im->scratch, sizeof *dim);
		onnx__tensor_shape_proto__dimension__init(dim);
		char *end;
		long long extent = strtoll(word, &end, 10);
		dim->value_case = *end ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM
		                       : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
		if (*end)
			dim->dim_param = word;
		else
			dim->dim_value = extent;
		shape->dim[shape->n_dim++] = dim;
	}
	return shape;
}

/* By --shape, or NULL; an element type that it states is that of the input. */
static const Onnx__TensorShapeProto *stated_shape(Import *im, const char *name, const Onnx__TypeProto__Tensor *t, const Loc *loc)
{
	DType dtype;
	const char *text = shape_option(im, name, &dtype);
	if (text && dtype != NDTypes && dtypes[dtype].onnx != t->elem_type)
		fatal_at(loc, "--shape: input '%s' is %s, not %s", name, onnx_dtype_text(t->elem_type), dtypes[dtype].text);
	return text ? parse_shape(im, text) : NULL;
}

static const Onnx__TensorShapeProto *shape_of(Import *im, const char *name, const Onnx__TypeProto__Tensor *t, const Loc *loc)
{
	const Onnx__TensorShapeProto *stated = stated_shape(im, name, t, loc), *shape = stated ? stated : t->shape;
	if (!shape)
		refuse_at(loc, "not supported: input '%s' has no shape, so its rank is not known; --shape '%s=[2,N]' says it", name,
		         name);
	if (shape->n_dim > MaxRank)
		refuse_at(loc, "input '%s': expected a rank of at most %d, got %zu", name, MaxRank, shape->n_dim);
	return shape;
}

/* An input as the module gets it: a tensor, one that may be missing, or a number of them. */
typedef struct InputType {
	const Onnx__TypeProto__Tensor *tensor;
	bool optional, sequence;
	int64_t count; /* by -D NAME=count; -1: not stated */
} InputType;

static InputType input_type(Import *im, const OnnxValueInfo *v, const Loc *loc)
{
	InputType t = {.count = -1};
	if (!v->name || !*v->name)
		fatal_at(loc, "a graph input has no name");
	t.tensor = tensor_of_type(v->type, &t.optional, &t.sequence);
	for (int i = 0; (t.optional || t.sequence) && i < im->opt->nbind; i++) {
		const DimBinding *b = &im->opt->bind[i];
		if (strcmp(b->sym, v->name))
			continue;
		if (b->lo != b->hi || (t.count >= 0 && t.count != b->lo) || (!t.sequence && b->lo > 1))
			fatal_at(loc, "-D %s: expected one number%s", b->sym,
			         t.sequence ? "" : ", 0 or 1: whether the optional input is there");
		t.count = b->lo;
		im->bind_used[i] = true;
	}
	return t;
}

static void name_dims(Import *im, const Onnx__TensorShapeProto *shape)
{
	for (size_t d = 0; d < shape->n_dim; d++) {
		const Onnx__TensorShapeProto__Dimension *dim = shape->dim[d];
		if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM && dim->dim_param &&
		    is_identifier(dim->dim_param))
			symbol_of(im, dim->dim_param);
	}
}

static Item import_tensor(Import *im, const OnnxValueInfo *v, const InputType *from, const Loc *loc)
{
	const Onnx__TensorShapeProto *shape = shape_of(im, v->name, from->tensor, loc);
	Type t = {.rank = shape->n_dim};
	onnx_dtype(from->tensor->elem_type, &t.dtype);
	for (int d = 0; d < t.rank; d++)
		t.dims[d] = declared_dim(im, shape->dim[d], v->name, d, loc);
	Value *param = new_param(im->m, arena_strdup(im->m->arena, v->name), t);
	if (get_name(&im->file->values, v->name))
		know_param(im->m, param);
	for (int64_t i = 0, n = param->known ? const_numel(&t) : 0; i < n; i++)
		bind_symbol(im, dim_as_sym(param->known[i]));
	return (Item){.tensor = param};
}

/* One parameter for each element.  A dim_param of the file's element type says nothing: elements differ in it. */
static Item import_elements(Import *im, const OnnxValueInfo *v, const InputType *from, const Loc *loc)
{
	DType dtype;
	onnx_dtype(from->tensor->elem_type, &dtype);
	List *list = new_list(im, dtype, from->count, loc);
	for (int i = 0; i < list->n; i++) {
		const char *name = arena_printf(im->m->arena, "%s.%d", v->name, i);
		const Onnx__TensorShapeProto *own = stated_shape(im, name, from->tensor, loc);
		const Onnx__TensorShapeProto *shape = own ? own : shape_of(im, v->name, from->tensor, loc);
		Type t = {.dtype = dtype, .rank = shape->n_dim};
		for (int d = 0; d < t.rank; d++) {
			Onnx__TensorShapeProto__Dimension dim = *shape->dim[d];
			if (shape == from->tensor->shape && dim.value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM)
				dim.value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE__NOT_SET;
			t.dims[d] = declared_dim(im, &dim, name, d, loc);
		}
		list->items[i] = new_param(im->m, name, t);
	}
	return (Item){.list = list};
}

static Item import_input(Import *im, const OnnxValueInfo *v, const InputType *t, const Loc *loc)
{
	if (t->sequence && t->count < 0)
		refuse_at(loc, "not supported: how many elements the sequence '%s' has is not known; -D %s=N says it", v->name,
		         v->name);
	if (t->optional && !t->count) {
		List *none = new_list(im, F32, 0, loc);
		none->none = true;
		return (Item){.list = none};
	}
	return t->sequence ? import_elements(im, v, t, loc) : import_tensor(im, v, t, loc);
}

void import_inputs(Import *im, Scope *s, const OnnxGraph *g, const Loc *loc)
{
	InputType *types = arena_alloc(im->scratch, (g->n_input + 1) * sizeof *types);
	for (size_t i = 0; i < g->n_input; i++) { /* plain names first: expressions refer to them */
		types[i] = input_type(im, g->input[i], loc);
		if (!types[i].sequence && types[i].count && !get_name(&s->tensors, g->input[i]->name))
			name_dims(im, shape_of(im, g->input[i]->name, types[i].tensor, loc));
	}
	for (size_t i = 0; i < g->n_input; i++) /* an initializer is a default value that nobody may override */
		if (!get_name(&s->tensors, g->input[i]->name))
			define_item(s, g->input[i]->name, import_input(im, g->input[i], &types[i], loc), loc);
	for (int i = 0; i < im->opt->nshape; i++)
		if (!im->shape_used[i] && !im->file->found_types.table.count) /* has done its part on inputs that are cut off now */
			error_at(loc, "--shape %s: no input has this name", im->opt->shape[i]);
	exit_if_errors();
}

void import_random_seed(Import *im, const Loc *loc)
{
	const char *name = im->opt->random_seed;
	if (!name)
		return;
	for (int i = 0; i < im->m->main->nparam; i++)
		if (!strcmp(im->m->main->params[i]->name, name))
			fatal_at(loc, "--random-seed: the model has an input '%s'", name);
	im->random_seed = new_param(im->m, arena_strdup(im->m->arena, name), (Type){.dtype = I64});
}

/* ---- options ---------------------------------------------------------------------------------------------------- */

bool may_bind(const Sym *s)
{
	return s->kind != SymDerived && s->kind != SymLoop;
}

void refuse_binding(const Module *m, const Loc *loc, const char *name)
{
	const Sym *s = find_sym(m, name);
	const char *have = "";
	for (int i = 0, n = 0; i < m->nsym && n < MaxListed; i++)
		if (may_bind(m->syms[i]))
			have = arena_printf(m->arena, "%s%s%s", have, n++ ? ", " : "", m->syms[i]->name);
	error_at(loc, "-D %s: %s%s%s", name, !s ? "no dimension has this name" : s->is ? "it follows from others" : "it counts iterations",
	         *have ? "; there are: " : "", have);
}

void check_bindings(Import *im, const Loc *loc)
{
	bool again = im->file->found_types.table.count; /* -D has done its part on inputs that are cut off now */
	for (int i = 0; i < im->opt->nbind; i++)
		if (!im->bind_used[i] && !again)
			refuse_binding(im->m, loc, im->opt->bind[i].sym);
	exit_if_errors();
}

void check_random_seed(const Import *im, const Loc *loc)
{
	if (im->random_seed && !im->nrandom)
		fatal_at(loc, "--random-seed: the model draws no random numbers");
	if (!im->random_seed && im->nrandom)
		warn_at(loc, "all runs of the model draw the same random numbers; --random-seed=NAME makes an input that changes them");
}
