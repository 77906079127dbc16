/* cut.c - --inputs and --outputs: the part of a graph between named values.
 *
 * Nodes that the outputs do not need are dropped before anything is checked, so what dcc does not support there does
 * not matter.  A value that becomes an input has the type that --shape or the file states for it; then the nodes before it are not
 * needed either.  Where the file states none, or leaves dims open that those nodes can tell, they are imported to find
 * the type, and the graph is imported again.
 * Inputs of the graph that are still needed stay inputs, after the named ones.
 */
#include "cut.h"
#include "check.h"

#include <string.h>

enum { MaxNested = 64 }; /* branches within branches */

typedef struct CutInput {
	const char *name;
	const OnnxValueInfo *info; /* NULL: the type is found by importing what computes it */
	bool needed;
	const Type *found; /* without info: what the nodes gave */
} CutInput;

typedef struct Cut {
	Import *im;
	const OnnxGraph *g;
	Arena *a;
	int opset;
	Loc loc;
	Names made_by; /* OnnxNode */
	Names needed; /* every name that the outputs need, to itself */
	Names kept; /* OnnxNode by the address as text: looked up only */
	int nwork, capwork;
	const char **work; /* names whose origin is to be found */
} Cut;

/* The names of a list "a,b,c". */
static int split_list(Arena *a, const char *list, const char ***names)
{
	int n = 0, cap = 0;
	*names = NULL;
	for (const char *p = list; p && *p; p += strcspn(p, ","), p += *p == ',') {
		const char *name = arena_printf(a, "%.*s", (int)strcspn(p, ","), p);
		PUSH(a, *names, n, cap, name);
	}
	return n;
}

/* ---- types ------------------------------------------------------------------------------------------------------ */

/* An initializer as the declaration of an input. */
static OnnxValueInfo *info_of_tensor(Arena *a, const OnnxTensor *t)
{
	OnnxValueInfo *v = arena_alloc(a, sizeof *v);
	onnx__value_info_proto__init(v);
	v->name = t->name;
	v->type = arena_alloc(a, sizeof *v->type);
	onnx__type_proto__init(v->type);
	Onnx__TypeProto__Tensor *type = v->type->tensor_type = arena_alloc(a, sizeof *type);
	onnx__type_proto__tensor__init(type);
	type->elem_type = t->data_type;
	Onnx__TensorShapeProto *shape = type->shape = arena_alloc(a, sizeof *shape);
	onnx__tensor_shape_proto__init(shape);
	shape->n_dim = t->n_dims;
	shape->dim = arena_alloc(a, (t->n_dims + 1) * sizeof *shape->dim);
	for (size_t d = 0; d < t->n_dims; d++) {
		shape->dim[d] = arena_alloc(a, sizeof *shape->dim[d]);
		onnx__tensor_shape_proto__dimension__init(shape->dim[d]);
		shape->dim[d]->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
		shape->dim[d]->dim_value = t->dims[d];
	}
	return v;
}

/* What --shape states with an element type; the dims follow when inputs are imported. */
static OnnxValueInfo *info_of_option(Cut *c, const char *name)
{
	DType dtype;
	shape_option(c->im, name, &dtype);
	if (dtype == NDTypes)
		return NULL;
	OnnxTensor like;
	onnx__tensor_proto__init(&like);
	like.name = arena_strdup(c->a, name);
	like.data_type = dtypes[dtype].onnx;
	return info_of_tensor(c->a, &like);
}

static const OnnxTensor *find_tensor(const OnnxGraph *g, const char *name)
{
	for (size_t i = 0; i < g->n_initializer; i++)
		if (g->initializer[i]->name && !strcmp(g->initializer[i]->name, name))
			return g->initializer[i];
	return NULL;
}

static bool all_dims_stated(const OnnxValueInfo *v)
{
	const Onnx__TensorShapeProto *shape = v->type->tensor_type->shape;
	for (size_t d = 0; d < shape->n_dim; d++) {
		const Onnx__TensorShapeProto__Dimension *dim = shape->dim[d];
		bool value = dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
		bool param = dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
		if (!value && !(param && dim->dim_param && *dim->dim_param))
			return false;
	}
	return true;
}

/* Are all operators that lead to the value known?  One that is not may still be fine: then its nodes must not count. */
static bool can_import(Cut *c, const char *name)
{
	Names seen = {.arena = c->a};
	const char **work = NULL;
	int n = 0, cap = 0;
	PUSH(c->a, work, n, cap, name);
	while (n) {
		const char *value = work[--n];
		const OnnxNode *node = get_name(&c->made_by, value);
		if (!node || get_name(&seen, value))
			continue;
		put_name(&seen, value, (void *)value);
		if (!is_supported(c->im, node, c->opset))
			return false;
		for (size_t i = 0; i < node->n_input; i++)
			PUSH(c->a, work, n, cap, node->input[i]);
	}
	return true;
}

static const OnnxValueInfo *stated_type(Cut *c, const char *name)
{
	const OnnxGraph *g = c->g;
	const OnnxTensor *t = find_tensor(g, name);
	const OnnxValueInfo *v = info_of_option(c, name);
	if (v)
		return v;
	v = info_among(g->input, g->n_input, name);
	if (t)
		return info_of_tensor(c->a, t);
	v = v ? v : get_name(&c->im->file->found_types, name);
	if (v)
		return v;
	v = find_info(g, name);
	return v && (all_dims_stated(v) || !can_import(c, name)) ? v : NULL;
}

static bool is_graph_input(const OnnxGraph *g, const char *name)
{
	for (size_t i = 0; i < g->n_input; i++)
		if (g->input[i]->name && !strcmp(g->input[i]->name, name))
			return true;
	return false;
}

static bool is_value(const Cut *c, const char *name)
{
	return get_name(&c->made_by, name) || find_tensor(c->g, name) || is_graph_input(c->g, name);
}

static void read_inputs(Cut *c)
{
	Import *im = c->im;
	const char **names;
	im->cuts.arena = c->a;
	int n = split_list(c->a, im->opt->inputs, &names);
	for (int i = 0; i < n; i++) {
		CutInput *in = arena_alloc(c->a, sizeof *in);
		*in = (CutInput){.name = names[i], .info = stated_type(c, names[i])};
		if (!is_value(c, names[i]))
			error_at(&c->loc, "--inputs: the graph has no value '%s'", names[i]);
		else if (get_name(&im->cuts, names[i]))
			error_at(&c->loc, "--inputs: '%s' is listed twice", names[i]);
		else if (!in->info && !can_import(c, names[i]))
			error_at(&c->loc, "--inputs: the file states no type for '%s', and an operator before it is not supported; "
			         "--shape '%s=i64[2,N]' says its type", names[i], names[i]);
		put_name(&im->cuts, names[i], in);
		PUSH(c->a, im->cut_list, im->ncut, im->capcut, in);
	}
}

/* ---- what the outputs need -------------------------------------------------------------------------------------- */

static void need_name(Cut *c, const char *name)
{
	CutInput *in = get_name(&c->im->cuts, name);
	if (!name || !*name || get_name(&c->needed, name))
		return;
	put_name(&c->needed, name, (void *)name);
	if (in)
		in->needed = true;
	if (!in || !in->info)
		PUSH(c->a, c->work, c->nwork, c->capwork, name);
}

/* Also what the branches of an If use: names of their own among them do no harm. */
static void need_inputs(Cut *c, const OnnxNode *n, int depth)
{
	if (depth > MaxNested)
		fatal_at(&c->loc, "node '%s': branches are nested too deeply", node_name(n));
	for (size_t i = 0; i < n->n_input; i++)
		need_name(c, n->input[i]);
	for (size_t i = 0; i < n->n_attribute; i++) {
		const OnnxGraph *g = n->attribute[i]->g;
		for (size_t k = 0; g && k < g->n_node; k++)
			need_inputs(c, g->node[k], depth + 1);
		for (size_t k = 0; g && k < g->n_output; k++)
			need_name(c, g->output[k]->name ? g->output[k]->name : "");
	}
}

static const char *key_of(Cut *c, const OnnxNode *n)
{
	return arena_printf(c->a, "%p", (const void *)n);
}

static void find_needed(Cut *c)
{
	while (c->nwork) {
		const OnnxNode *n = get_name(&c->made_by, c->work[--c->nwork]);
		const char *key = n ? key_of(c, n) : NULL;
		if (!n || get_name(&c->kept, key))
			continue;
		put_name(&c->kept, key, (void *)n);
		need_inputs(c, n, 0);
	}
}

/* ---- the smaller graph ------------------------------------------------------------------------------------------ */

static void cut_outputs(Cut *c, OnnxGraph *out)
{
	const char **names;
	int n = split_list(c->a, c->im->opt->outputs, &names), cap = 0, count = 0;
	OnnxValueInfo **infos = NULL;
	Names seen = {.arena = c->a};
	for (int i = 0; i < n; i++) {
		OnnxValueInfo *v = arena_alloc(c->a, sizeof *v);
		onnx__value_info_proto__init(v);
		v->name = (char *)names[i];
		if (!is_value(c, names[i]))
			error_at(&c->loc, "--outputs: the graph has no value '%s'", names[i]);
		else if (get_name(&seen, names[i]))
			error_at(&c->loc, "--outputs: '%s' is listed twice", names[i]);
		put_name(&seen, names[i], v);
		PUSH(c->a, infos, count, cap, v);
	}
	if (n) {
		out->output = infos;
		out->n_output = (size_t)n;
	}
	for (size_t i = 0; i < out->n_output; i++)
		need_name(c, out->output[i]->name ? out->output[i]->name : "");
}

static void cut_inputs(Cut *c, OnnxGraph *out)
{
	OnnxValueInfo **infos = NULL;
	int n = 0, cap = 0;
	for (int i = 0; i < c->im->ncut; i++) {
		const CutInput *in = c->im->cut_list[i];
		if (!in->needed)
			error_at(&c->loc, "--inputs: no output depends on '%s'", in->name);
		if (in->info)
			PUSH(c->a, infos, n, cap, (OnnxValueInfo *)in->info);
	}
	for (size_t i = 0; i < c->g->n_input; i++) {
		OnnxValueInfo *v = c->g->input[i];
		const char *name = v->name ? v->name : "";
		if (!get_name(&c->im->cuts, name) && get_name(&c->needed, name))
			PUSH(c->a, infos, n, cap, v);
	}
	out->input = infos;
	out->n_input = (size_t)n;
}

static void cut_nodes(Cut *c, OnnxGraph *out)
{
	const OnnxGraph *g = c->g;
	out->node = arena_alloc(c->a, (g->n_node + 1) * sizeof *out->node);
	out->initializer = arena_alloc(c->a, (g->n_initializer + 1) * sizeof *out->initializer);
	out->n_node = out->n_initializer = 0;
	for (size_t i = 0; i < g->n_node; i++)
		if (get_name(&c->kept, key_of(c, g->node[i])))
			out->node[out->n_node++] = g->node[i];
	for (size_t i = 0; i < g->n_initializer; i++) {
		const char *name = g->initializer[i]->name ? g->initializer[i]->name : "";
		if (get_name(&c->needed, name) && !get_name(&c->im->cuts, name))
			out->initializer[out->n_initializer++] = g->initializer[i];
	}
}

const OnnxGraph *cut_graph(Import *im, const OnnxGraph *g, int opset)
{
	Arena *a = im->scratch;
	Cut c = {.im = im, .g = g, .a = a, .opset = opset, .loc = {.file = im->file->path}};
	if (!im->opt->inputs && !im->opt->outputs)
		return g;
	c.made_by.arena = c.needed.arena = c.kept.arena = a;
	for (size_t i = 0; i < g->n_node; i++)
		for (size_t k = 0; k < g->node[i]->n_output; k++)
			if (*g->node[i]->output[k])
				put_name(&c.made_by, g->node[i]->output[k], g->node[i]);
	OnnxGraph *out = arena_alloc(a, sizeof *out);
	*out = *g;
	read_inputs(&c);
	exit_if_errors();
	cut_outputs(&c, out);
	exit_if_errors();
	find_needed(&c);
	cut_inputs(&c, out);
	exit_if_errors();
	cut_nodes(&c, out);
	return out;
}

/* ---- values whose type only their nodes tell -------------------------------------------------------------------- */

void note_cut(Import *im, const Scope *s, const char *name, Item item)
{
	CutInput *in = im->ncut && !s->outer && !s->function ? get_name(&im->cuts, name) : NULL;
	if (!in || in->info)
		return;
	if (!item.tensor)
		refuse_at(&(Loc){.file = im->file->path}, "--inputs: '%s' is %s: not supported", name, item_text(im, item));
	in->found = &item.tensor->type;
}

/* A type of the IR as a declaration: dims as text, which symbols of other inputs may occur in. */
static OnnxValueInfo *info_of_value(Import *im, char *name, const Type *t)
{
	Arena *a = im->file->arena;
	OnnxTensor like;
	onnx__tensor_proto__init(&like);
	like.name = name;
	like.data_type = dtypes[t->dtype].onnx;
	like.n_dims = (size_t)t->rank;
	like.dims = arena_alloc(a, MaxRank * sizeof *like.dims);
	OnnxValueInfo *v = info_of_tensor(a, &like);
	for (int d = 0; d < t->rank; d++) {
		Onnx__TensorShapeProto__Dimension *dim = v->type->tensor_type->shape->dim[d];
		if (dim_is_const(t->dims[d], &dim->dim_value))
			continue;
		dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
		dim->dim_param = arena_strdup(a, dim_text(im->m, t->dims[d]));
	}
	return v;
}

bool found_cut_types(Import *im)
{
	bool found = false;
	for (int i = 0; i < im->ncut; i++) {
		const CutInput *in = im->cut_list[i];
		if (!in->found)
			continue;
		char *name = arena_strdup(im->file->arena, in->name);
		put_name(&im->file->found_types, name, info_of_value(im, name, in->found));
		found = true;
	}
	return found;
}
