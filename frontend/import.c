/* import.c - an ONNX graph becomes a tensor IR function.
 *
 * 1. check_graph (check.c) lists everything that is not supported before anything is imported.
 * 2. Graph inputs become parameters; their named dims become symbols, or what -D binds them to (inputs.c).
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
#include "inputs.h"

#include <string.h>

enum { MaxCalls = 32, MinInlined = 1 << 16 /* that any file may have */ };

#define TEXT(t) (t), NULL, false, false
#define FUNC(f) NULL, (f), false, false
#define WIDE(f) NULL, (f), false, true
#define LISTS(f) NULL, (f), true, false
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
#undef WIDE
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

void define_item(Scope *s, const char *name, Item item, const Loc *loc)
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
			define_item(s, f->input[i], (Item){c->in[i], c->lists[i]}, c->loc);
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

/* Does a row's text say more than one operator? */
static bool has_steps(const char *text)
{
	const char *first = strchr(text, '(');
	return first && strchr(first + 1, '(');
}

static void import_row(Call *c)
{
	const OnnxOp *row = c->row;
	const bool wide = row->wide || (row->text && has_steps(row->text));
	const DType first = c->nin && c->in[0] ? c->in[0]->type.dtype : F32;

	for (int i = 0; wide && i < c->nin; i++)
		if (c->in[i] && is_narrow(c->in[i]->type.dtype))
			c->in[i] = emit_cast(c, c->in[i], F32);
	if (row->text)
		c->out[0] = expand_text(c, row->text);
	else
		row->func(c);
	for (int i = 0; wide && is_narrow(first) && i < c->nout; i++)
		if (c->out[i] && c->out[i]->type.dtype == F32)
			c->out[i] = emit_cast(c, c->out[i], first);
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
		import_row(&c);
	}
	for (int i = 0; i < c.nout; i++) {
		Item out = {c.out[i], c.out_lists[i]};
		if (c.wanted[i] && is_absent(out))
			refuse_at(loc, "output %d is not supported", i);
		if (c.wanted[i])
			define_item(s, node->output[i], out, loc);
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
		define_item(s, g->input[i]->name, in[i], c->loc);
	}
	import_nodes(im, s, g->node, g->n_node);
	for (int i = 0; i < nout; i++)
		out[i] = need_item(im, s, g->output[i]->name ? g->output[i]->name : "", c->loc);
	im->block = outer;
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
	Names seen, declared;
	int cap;
	const char **names;
} Outputs;

static void add_output(Import *im, Outputs *o, const char *name, Value *v, const OnnxValueInfo *declared, const Loc *loc)
{
	Block *body = &im->m->main->body;
	int n = body->nyield;
	const char *listed = name;
	for (int k = 2; get_name(&o->seen, name) || (name != listed && get_name(&o->declared, name)); k++)
		name = arena_printf(im->m->arena, "%s_%d", listed, k);
	if (name != listed && !im->demand)
		warn_at(loc, "output '%s' is listed again, it is called '%s'", listed, name);
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
	Outputs o = {.seen.arena = im->scratch, .declared.arena = im->scratch};
	for (size_t i = 0; i < g->n_output; i++)
		if (g->output[i]->name && !get_name(&o.declared, g->output[i]->name))
			put_name(&o.declared, g->output[i]->name, g->output[i]);
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
