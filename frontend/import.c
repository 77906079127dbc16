/* import.c - an ONNX graph becomes a tensor IR function.
 *
 * 1. check_graph (check.c) lists everything that is not supported before anything is imported.
 * 2. Graph inputs become parameters; their named dims become symbols, or what -D binds them to.
 * 3. import_nodes expands each node by its row of onnx_ops.def; functions of the model are inlined.
 * 4. Integer values whose elements are known as dims become constants and dims nodes; what is dead goes.
 *
 * Initializers become constants when a node first uses them.  Declared shapes of outputs and intermediate values are
 * hints that exporters get wrong, so they are not read.
 */
#include "import.h"
#include "build.h"
#include "check.h"
#include "custom.h"
#include "cut.h"
#include "expr.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MaxCalls = 32, MaxListed = 50 /* names in a message */, MinInlined = 1 << 16 /* that any file may have */ };

#define TEXT(t) (t), NULL, false
#define FUNC(f) NULL, (f), false
#define LISTS(f) NULL, (f), true
#define ONNX_OP(name, since, until, min_in, max_in, max_out, attrs, how)                                               \
	{#name, since, until, min_in, max_in, max_out, attrs, how, .domain = ""},
#define ORT_OP(name, min_in, max_in, max_out, attrs, how)                                                              \
	{#name, FirstOpset, LastOpset, min_in, max_in, max_out, attrs, how, .domain = "com.microsoft"},
#define PREVIEW_OP(name, min_in, max_in, max_out, attrs, how)                                                          \
	{#name, FirstOpset, LastOpset, min_in, max_in, max_out, attrs, how, .domain = "ai.onnx.preview"},
#define ML_OP(name, min_in, max_in, max_out, attrs, how)                                                               \
	{#name, FirstOpset, LastOpset, min_in, max_in, max_out, attrs, how, .domain = "ai.onnx.ml"},
static const OnnxOp onnx_ops[] = {
#include "onnx_ops.def"
	{0}, /* ends the table */
};
static const int nonnx_ops = sizeof onnx_ops / sizeof *onnx_ops - 1;
#undef ONNX_OP
#undef TEXT
#undef FUNC
#undef LISTS

void print_onnx_ops(FILE *out)
{
	for (int i = 0; i < nonnx_ops; i++) {
		const OnnxOp *r = &onnx_ops[i];
		if (*r->domain)
			fprintf(out, "%s.%s  %s\n", r->domain, r->name, r->attrs);
		else
			fprintf(out, "%-24s %2d..%-2d  %s\n", r->name, r->since, r->until, r->attrs);
	}
}

/* ---- names ----------------------------------------------------------------------------------------------------- */

static Item *put_item(Scope *s, const char *name, Item item)
{
	Item *kept = arena_alloc(s->values.arena, sizeof *kept);
	*kept = item;
	put_name(&s->values, name, kept);
	return kept;
}

/* Both NULL: there is none. */
static Item lookup(Import *im, Scope *s, const char *name, const Loc *loc)
{
	for (; s; s = s->outer) {
		const Item *item = get_name(&s->values, name);
		const OnnxTensor *t = item ? NULL : get_name(&s->tensors, name);
		if (t)
			item = put_item(s, name, (Item){.tensor = tensor_const(im->m, im->file, t, name, loc)->value});
		if (item)
			return *item;
	}
	return (Item){NULL, NULL};
}

static bool is_absent(Item i)
{
	return !i.tensor && !i.list;
}

static Item need_item(Import *im, Scope *s, const char *name, const Loc *loc)
{
	Item item = lookup(im, s, name, loc);
	if (is_absent(item))
		fatal_at(loc,
		         "'%s' is used but nothing before defines it: the name is missing, or nodes form a cycle",
		         name);
	return item;
}

static void define(Scope *s, const char *name, Item item, const Loc *loc)
{
	if (get_name(&s->values, name) || get_name(&s->tensors, name))
		fatal_at(loc, "the name '%s' is defined twice", name);
	put_item(s, name, item);
}

static void add_tensors(Scope *s, OnnxTensor *const *tensors, size_t n, const Loc *loc)
{
	for (size_t i = 0; i < n; i++) {
		const char *name = tensors[i]->name;
		if (!name || !*name)
			fatal_at(loc, "initializer %zu has no name", i);
		if (get_name(&s->tensors, name))
			fatal_at(loc, "the name '%s' is defined twice", name);
		put_name(&s->tensors, name, tensors[i]);
	}
}

static Scope *new_scope(Import *im, Scope *outer, int opset, int depth)
{
	Scope *s = arena_alloc(im->scratch, sizeof *s);
	s->values.arena = s->tensors.arena = im->scratch;
	s->outer = outer;
	s->opset = opset;
	s->depth = depth;
	return s;
}

/* For a body of c's node. */
static Scope *inner_scope(Call *c, Scope *outer, const void *body, int opset)
{
	Scope *s = new_scope(c->im, outer, opset, c->scope->depth + 1);
	Place *p = arena_alloc(c->im->scratch, sizeof *p);
	c->nbody = c->body == body ? c->nbody + 1 : 0;
	c->body = body;
	*p = (Place){c->scope->place, c->node, body, c->nbody};
	s->place = p;
	return s;
}

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

static void import_inputs(Import *im, Scope *s, const OnnxGraph *g, const Loc *loc)
{
	InputType *types = arena_alloc(im->scratch, (g->n_input + 1) * sizeof *types);
	for (size_t i = 0; i < g->n_input; i++) { /* plain names first: expressions refer to them */
		types[i] = input_type(im, g->input[i], loc);
		if (!types[i].sequence && types[i].count && !get_name(&s->tensors, g->input[i]->name))
			name_dims(im, shape_of(im, g->input[i]->name, types[i].tensor, loc));
	}
	for (size_t i = 0; i < g->n_input; i++) /* an initializer is a default value that nobody may override */
		if (!get_name(&s->tensors, g->input[i]->name))
			define(s, g->input[i]->name, import_input(im, g->input[i], &types[i], loc), loc);
	for (int i = 0; i < im->opt->nshape; i++)
		if (!im->shape_used[i] && !im->file->found_types.table.count) /* has done its part on inputs that are cut off now */
			error_at(loc, "--shape %s: no input has this name", im->opt->shape[i]);
	exit_if_errors();
}

/* The input of --random-seed, behind those of the graph. */
static void import_random_seed(Import *im, const Loc *loc)
{
	const char *name = im->opt->random_seed;
	if (!name)
		return;
	for (int i = 0; i < im->m->main->nparam; i++)
		if (!strcmp(im->m->main->params[i]->name, name))
			fatal_at(loc, "--random-seed: the model has an input '%s'", name);
	im->random_seed = new_param(im->m, arena_strdup(im->m->arena, name), (Type){.dtype = I64});
}

/* ---- nodes ----------------------------------------------------------------------------------------------------- */

static void check_arguments(Call *c)
{
	const OnnxOp *row = c->row;
	for (int i = 0; i < c->nin && !row->lists; i++)
		if (c->lists[i])
			fatal_at(c->loc, "input %d is %s, expected a tensor", i, item_text(c->im, (Item){.list = c->lists[i]}));
	for (int i = 0; i < row->min_in; i++)
		if (i >= c->nin || (!c->in[i] && !c->lists[i]))
			fatal_at(c->loc, "input %d is missing", i);
	if (!c->nout)
		fatal_at(c->loc, "the node has no outputs");
	for (size_t i = 0; i < c->node->n_attribute; i++) {
		const char *name = c->node->attribute[i]->name;
		const char *wrong = check_attr(c->im, row, c->opset, c->node->attribute[i], onnx_attr(c, name ? name : ""));
		if (wrong)
			fatal_at(c->loc, "%s", wrong);
	}
}

static void import_nodes(Import *, Scope *, OnnxNode *const *, size_t n);

/* Runs the body with its own names; its attributes come from the call. */
static void import_call(Call *c, const OnnxFunction *f)
{
	Import *im = c->im;
	if (c->scope->depth >= MaxCalls)
		fatal_at(c->loc, "functions of the model call each other too deeply, or themselves");
	int opset = standard_opset(f->opset_import, f->n_opset_import);
	Scope *s = inner_scope(c, NULL, f, opset < 0 ? c->opset : opset);
	s->caller = c;
	s->function = f;
	if ((size_t)c->nin > f->n_input || (size_t)c->nout > f->n_output)
		fatal_at(c->loc, "function '%s' has %zu inputs and %zu outputs, the call %d and %d", f->name,
		         f->n_input,
		         f->n_output, c->nin, c->nout);
	s->absent.arena = im->scratch;
	for (size_t i = 0; i < f->n_input; i++)
		if (i < (size_t)c->nin && (c->in[i] || c->lists[i]))
			define(s, f->input[i], (Item){c->in[i], c->lists[i]}, c->loc);
		else
			put_name(&s->absent, f->input[i], f->input[i]);
	import_nodes(im, s, f->node, f->n_node);
	for (int i = 0; i < c->nout; i++)
		if (c->wanted[i])
			set_output(c, i, need_item(im, s, f->output[i], c->loc));
}

/* An input that a function's caller left out is absent in the body too. */
static bool is_absent_parameter(const Scope *s, const char *name)
{
	for (; s; s = s->outer)
		if (get_name(&s->absent, name))
			return true;
	return false;
}

static void import_node(Import *im, Scope *s, const OnnxNode *node)
{
	Loc where = {.file = im->m->path, .node = arena_strdup(im->m->arena, node_name(node))};
	where.opset = is_standard(node->domain) ? s->opset : 0;
	where.op = arena_strdup(im->m->arena, node->op_type ? node->op_type : "");
	where.layers = node_layers(im->m->arena, node);
	const Loc *loc = new_loc(im->m, where), *outer = diag_place;
	diag_place = loc;
	count_inlined(im, 1 + (int64_t)(node->n_input + node->n_output + node->n_attribute), loc);
	bool custom = find_custom(im, node);
	const OnnxFunction *f = custom ? NULL : find_function(im, node);
	const OnnxOp *row = custom || f ? NULL : find_row(im, node->domain, node->op_type, s->opset);
	if (!custom && !f && !row)
		refuse_at(loc, "the operator is not supported at this opset");
	Call c = {.im = im, .m = im->m, .row = row, .node = node, .loc = loc, .opset = s->opset, .scope = s};
	c.nin = node->n_input;
	c.nout = node->n_output;
	c.in = arena_alloc(im->scratch, (c.nin + 1) * sizeof *c.in);
	c.out = arena_alloc(im->scratch, (c.nout + 1) * sizeof *c.out);
	c.lists = arena_alloc(im->scratch, (c.nin + 1) * sizeof *c.lists);
	c.out_lists = arena_alloc(im->scratch, (c.nout + 1) * sizeof *c.out_lists);
	c.wanted = arena_alloc(im->scratch, c.nout + 1);
	for (int i = 0; i < c.nin; i++) {
		if (!*node->input[i])
			continue;
		Item in = lookup(im, s, node->input[i], loc);
		if (is_absent(in) && !is_absent_parameter(s, node->input[i]))
			need_item(im, s, node->input[i], loc); /* says so */
		c.in[i] = in.tensor;
		c.lists[i] = in.list;
		if (custom && in.list)
			fatal_at(loc, "input %d is %s: a custom operator takes tensors", i, item_text(im, in));
	}
	for (int i = 0; i < c.nout; i++)
		c.wanted[i] = *node->output[i] != 0;
	if (custom) {
		import_custom(&c);
	} else if (f) {
		Call *kept = arena_alloc(im->scratch, sizeof *kept);
		*kept = c;
		import_call(kept, f);
	} else {
		check_arguments(&c);
		if (row->text)
			c.out[0] = expand_text(&c, row->text);
		else
			row->func(&c);
	}
	for (int i = 0; i < c.nout; i++) {
		Item out = {c.out[i], c.out_lists[i]};
		if (c.wanted[i] && is_absent(out))
			refuse_at(loc, "output %d is not supported", i);
		if (c.wanted[i])
			define(s, node->output[i], out, loc);
		note_cut(im, s, node->output[i], out);
	}
	diag_place = outer;
}

static void import_nodes(Import *im, Scope *s, OnnxNode *const *nodes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		import_node(im, s, nodes[i]);
}

/* What a body states of an input must not contradict what it gets. */
static void check_body_input(Call *c, const OnnxValueInfo *v, Item in)
{
	bool optional, sequence;
	DType dtype;
	const Onnx__TypeProto__Tensor *t = tensor_of_type(v->type, &optional, &sequence);
	bool fits = !in.list ? !sequence : in.list->none ? optional : sequence;
	if (!fits && (t || optional || sequence))
		fatal_at(c->loc, "input '%s' of the body is %s, it declares another type", v->name, item_text(c->im, in));
	if (in.tensor && t && t->elem_type && (!onnx_dtype(t->elem_type, &dtype) || dtype != in.tensor->type.dtype))
		fatal_at(c->loc, "input '%s' of the body is %s, it declares %s", v->name, item_text(c->im, in),
		         onnx_dtype_text(t->elem_type));
}

void import_body(Call *c, const OnnxGraph *g, Block *b, int nin, const Item *in, int nout, Item *out)
{
	Import *im = c->im;
	Block *outer = im->block;
	Scope *s = inner_scope(c, c->scope, g, c->opset);
	im->block = b;
	add_tensors(s, g->initializer, g->n_initializer, c->loc);
	for (int i = 0; i < nin; i++) {
		if (!g->input[i]->name || !*g->input[i]->name)
			fatal_at(c->loc, "input %d of the body has no name", i);
		check_body_input(c, g->input[i], in[i]);
		define(s, g->input[i]->name, in[i], c->loc);
	}
	import_nodes(im, s, g->node, g->n_node);
	for (int i = 0; i < nout; i++)
		out[i] = need_item(im, s, g->output[i]->name ? g->output[i]->name : "", c->loc);
	im->block = outer;
}

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

/* Every -D is about a symbol; those that the data gives are made on the way. */
static void check_bindings(Import *im, const Loc *loc)
{
	bool again = im->file->found_types.table.count; /* -D has done its part on inputs that are cut off now */
	for (int i = 0; i < im->opt->nbind; i++)
		if (!im->bind_used[i] && !again)
			refuse_binding(im->m, loc, im->opt->bind[i].sym);
	exit_if_errors();
}

static void check_random_seed(const Import *im, const Loc *loc)
{
	if (im->random_seed && !im->nrandom)
		fatal_at(loc, "--random-seed: the model draws no random numbers");
	if (!im->random_seed && im->nrandom)
		warn_at(loc, "all runs of the model draw the same random numbers; --random-seed=NAME makes an input that changes them");
}

/* ---- outputs -------------------------------------------------------------------------------------------------- */

/* What the model declares of an output must not contradict what its nodes give; a wrong shape is common and harmless. */
static void check_output(Import *im, const OnnxValueInfo *declared, const Value *v, const Loc *loc)
{
	bool optional, sequence;
	const Onnx__TypeProto__Tensor *t = tensor_of_type(declared->type, &optional, &sequence);
	const Onnx__TensorShapeProto *shape = t && !sequence ? t->shape : NULL;
	DType dtype;
	if (t && t->elem_type && (!onnx_dtype(t->elem_type, &dtype) || dtype != v->type.dtype))
		fatal_at(loc, "output '%s': expected element type %s as declared, got %s", declared->name,
		         onnx_dtype_text(t->elem_type), dtypes[v->type.dtype].text);
	bool differs = shape && shape->n_dim != (size_t)v->type.rank;
	for (int d = 0; shape && !differs && d < v->type.rank; d++)
		differs = shape->dim[d]->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE &&
		          shape->dim[d]->dim_value >= 0 && dim_is_const(v->type.dims[d], NULL) && !dim_equals(v->type.dims[d], shape->dim[d]->dim_value);
	if (differs)
		warn_at(loc, "output '%s' is declared with another shape, it is %s", declared->name,
		        type_text(im->m, &v->type));
}

typedef struct Outputs {
	Names seen;
	int cap;
	const char **names;
} Outputs;

static void add_output(Import *im, Outputs *o, const char *name, Value *v, const OnnxValueInfo *declared, const Loc *loc)
{
	Block *body = &im->m->main->body;
	int n = body->nyield;
	if (get_name(&o->seen, name))
		fatal_at(loc, "output '%s' is listed twice", name);
	put_name(&o->seen, name, v);
	if (!im->demand) /* the first round */
		check_output(im, declared, v, loc);
	PUSH(im->m->arena, o->names, n, o->cap, name);
	if (!v->def || is_output(v)) /* each output has a node of its own */
		v = build(im->m, body, NULL, OpIdentity, loc, 1, &v, 0, NULL, NULL);
	add_yield(im->m, body, v);
}

/* A sequence is an output for each element; an empty one, or an optional without an element, is none. */
static void import_outputs(Import *im, Scope *s, const OnnxGraph *g, const Loc *loc)
{
	Outputs o = {.seen.arena = im->scratch};
	for (size_t i = 0; i < g->n_output; i++) {
		const char *name = arena_strdup(im->m->arena, g->output[i]->name ? g->output[i]->name : "");
		Item item = need_item(im, s, name, loc);
		if (item.tensor)
			add_output(im, &o, name, item.tensor, g->output[i], loc);
		else if (!item.list->n && !im->demand)
			warn_at(loc, "output '%s' is %s: there is nothing to compute", name, item_text(im, item));
		for (int k = 0; item.list && k < item.list->n; k++)
			add_output(im, &o, arena_printf(im->m->arena, "%s.%d", name, k), item.list->items[k], g->output[i], loc);
	}
	if (!im->m->main->body.nyield)
		fatal_at(loc, "the graph has no outputs");
	im->m->main->results = o.names;
}

/* Affine indices are found through their iota; replacing them by lists of numbers would hide it. */
static bool comes_from_iota(const Node *n)
{
	bool iota = n->op == OpIota;
	for (int i = 0; i < n->nin; i++)
		iota |= n->in[i] && n->in[i]->def && n->in[i]->def->mark;
	return iota;
}

/* A constant if all elements are numbers, else a dims node; NULL: stays as it is. */
static Value *materialise(Module *m, Value *v)
{
	int64_t numel = const_numel(&v->type), x;
	bool numbers = true;
	for (int64_t i = 0; i < numel; i++)
		numbers &= dim_is_const(v->known[i], NULL);
	if (!numbers) {
		if (v->def->op == OpDims || dtypes[v->type.dtype].cls == ClassBool)
			return NULL;
		Attr values = mk_dims(m, Attr_values, numel, v->known);
		return build(m, v->def->block, v->def, OpDims, v->def->loc, 0, NULL, 1, &values, &v->type);
	}
	size_t bytes = dtypes[v->type.dtype].bytes;
	char *data = arena_alloc(m->arena, numel * bytes + 1);
	for (int64_t i = 0; i < numel; i++) {
		dim_is_const(v->known[i], &x);
		memcpy(data + i * bytes, &x, bytes); /* little-endian */
	}
	return new_const(m, "shape", v->type, data, numel * bytes)->value;
}

static void settle_known(Module *m)
{
	for (Node *n = first_node(m); n; n = next_node(n)) {
		n->mark = comes_from_iota(n);
		if (n->mark || n->nout != 1)
			continue;
		Value *v = n->out[0];
		DClass cls = dtypes[v->type.dtype].cls;
		if (!v->known || v->measured || cls == ClassFloat || !v->nuse)
			continue;
		Value *by = materialise(m, v);
		if (by && is_output(v) && !by->def)
			by = build(m, n->block, n, OpIdentity, n->loc, 1, &by, 0, NULL, NULL);
		if (by)
			replace_uses(m, v, by);
	}
}

static void drop_unused_consts(Module *m)
{
	int n = 0;
	for (int i = 0; i < m->nconst; i++)
		if (m->consts[i]->value->nuse)
			m->consts[n++] = m->consts[i];
	m->nconst = n;
}

static void index_names(Import *im)
{
	im->syms.arena = im->taken.arena = im->ops.arena = im->functions.arena = im->scratch;
	for (int i = nonnx_ops - 1; i >= 0; i--)
		put_name(&im->ops, row_key(im->scratch, onnx_ops[i].domain, onnx_ops[i].name), (void *)&onnx_ops[i]);
	const OnnxModel *model = im->file->model;
	for (size_t i = 0; i < model->n_functions; i++) {
		const OnnxFunction *f = model->functions[i];
		put_name(&im->functions,
		         arena_printf(im->scratch, "%s:%s:%s", is_standard(f->domain) ? "" : f->domain,
		                      f->name ? f->name : "",
		                      f->overload ? f->overload : ""),
		         (void *)f);
	}
}

/* False: something has been found that another import must know. */
static bool import_graph_nodes(Import *im, Scope *s, const OnnxGraph *g)
{
	jmp_buf again;
	const DiagState state = diag_state();
	im->again = &again;
	if (setjmp(again)) {
		diag_return_to(state);
		return false;
	}
	import_nodes(im, s, g->node, g->n_node);
	return true;
}

static bool uses_standard_nodes(const OnnxGraph *g)
{
	for (size_t i = 0; i < g->n_node; i++)
		if (is_standard(g->node[i]->domain))
			return true;
	return !g->n_node;
}

bool import_model(Module *m, OnnxFile *file, Arena *scratch, const LoadOptions *opt, int ndemand, const Demand *demand)
{
	Loc *loc = arena_alloc(m->arena, sizeof *loc);
	loc->file = m->path;
	const OnnxModel *model = file->model;
	const OnnxGraph *g = model->graph;
	if (!g)
		fatal_at(loc, "not a valid ONNX file: the model has no graph");
	Import im = {.m = m, .file = file, .scratch = scratch, .opt = opt, .ndemand = ndemand, .demand = demand};
	im.max_inlined = MinInlined + (int64_t)file->size;
	im.bind_used = arena_alloc(scratch, opt->nbind + 1);
	im.shape_used = arena_alloc(scratch, opt->nshape + 1);
	im.block = &m->main->body;
	index_names(&im);
	read_customs(&im);
	int opset = standard_opset(model->opset_import, model->n_opset_import);
	if (opset < 0 && !uses_standard_nodes(g))
		opset = LastOpset; /* nothing depends on it */
	g = im.graph = cut_graph(&im, g, opset);
	check_graph(&im, g, opset);
	exit_if_errors();
	if (!demand && !file->found_types.table.count)
		warn_unused_customs(&im);
	Scope *s = new_scope(&im, NULL, opset, 0);
	add_tensors(s, g->initializer, g->n_initializer, loc);
	import_inputs(&im, s, g, loc);
	import_random_seed(&im, loc);
	if (!import_graph_nodes(&im, s, g) || found_cut_types(&im))
		return true;
	check_bindings(&im, loc);
	check_random_seed(&im, loc);
	import_outputs(&im, s, g, loc);
	remove_dead(m);
	settle_known(m);
	remove_dead(m);
	bound_values(m);
	drop_unused_consts(m);
	m->stage = "import";
	return false;
}
