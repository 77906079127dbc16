/* call.c - what an importer asks about a node of the model: its names, its attributes, its row of onnx_ops.def. */
#include "call.h"

#include <string.h>

const char *node_name(const OnnxNode *n)
{
	if (n->name && *n->name)
		return n->name;
	for (size_t i = 0; i < n->n_output; i++)
		if (*n->output[i])
			return n->output[i];
	return "";
}

static const char *metadata_of(const OnnxNode *n, const char *key)
{
	for (size_t i = 0; i < n->n_metadata_props; i++) {
		const Onnx__StringStringEntryProto *p = n->metadata_props[i];
		if (p->key && p->value && !strcmp(p->key, key))
			return p->value;
	}
	return NULL;
}

/* torch writes "NAME: CLASS/NAME: CLASS/..." from the model, whose name is empty, to the operator, which is no layer; names repeat those
 * around them: "layers.0" holds "layers.0.norm". */
const char *node_layers(Arena *a, const OnnxNode *n)
{
	const char *from = metadata_of(n, "namespace"), *outer = "", *slash;
	char *layers = from ? arena_alloc(a, strlen(from) + 1) : NULL, *to = layers;
	size_t known = 0; /* bytes of `outer` */

	for (; from && (slash = strchr(from, '/')); from = slash + 1) {
		const char *colon = memchr(from, ':', (size_t)(slash - from)), *end = colon ? colon : slash;
		size_t size = (size_t)(end - from), repeated = known && size > known + 1 && !memcmp(from, outer, known) && from[known] == '.' ? known + 1 : 0;
		if (!size)
			continue;
		if (to > layers)
			*to++ = '/';
		memcpy(to, from + repeated, size - repeated);
		to += size - repeated;
		outer = from;
		known = size;
	}
	return to > layers ? layers : NULL;
}

bool is_standard(const char *domain)
{
	return !domain || !*domain || !strcmp(domain, "ai.onnx");
}

int standard_opset(Onnx__OperatorSetIdProto *const *imports, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int64_t v = imports[i]->version;
		if (is_standard(imports[i]->domain))
			return v < 0 || v > INT16_MAX ? INT16_MAX : (int)v;
	}
	return -1;
}

void count_inlined(Import *im, int64_t n, const Loc *loc)
{
	im->ninlined += n;
	if (im->ninlined > im->max_inlined)
		fatal_at(loc, "functions, loops and sequences of the model expand to too many nodes");
}

const char *shape_option(Import *im, const char *name, DType *dtype)
{
	size_t n = strlen(name);
	const char *text = NULL;
	*dtype = NDTypes;
	for (int i = 0; i < im->opt->nshape; i++)
		if (!strncmp(im->opt->shape[i], name, n) && im->opt->shape[i][n] == '=') {
			im->shape_used[i] = true;
			text = im->opt->shape[i] + n + 1;
		}
	size_t word = text ? strcspn(text, "[") : 0;
	if (!word || !text[word])
		return text;
	const char *type = arena_printf(im->scratch, "%.*s", (int)word, text);
	if (!find_dtype(type, dtype))
		fatal_at(&(Loc){.file = im->file->path}, "--shape: there is no element type '%s'", type);
	return text + word;
}

/* ---- lists ------------------------------------------------------------------------------------------------------ */

List *new_list(Import *im, DType dtype, int64_t n, const Loc *loc)
{
	enum { MaxElements = 4096 };
	if (n > MaxElements)
		refuse_at(loc, "not supported: a sequence of %lld elements; at most %d", (long long)n, MaxElements);
	count_inlined(im, n, loc);
	List *l = arena_alloc(im->scratch, sizeof *l);
	*l = (List){.dtype = dtype, .n = (int)n, .items = arena_alloc(im->scratch, (n + 1) * sizeof *l->items)};
	return l;
}

const char *item_text(Import *im, Item i)
{
	if (i.tensor)
		return type_text(im->m, &i.tensor->type);
	if (!i.list)
		return "absent";
	return i.list->none ? "an optional without an element"
	                    : arena_printf(im->scratch, "a sequence of length %d", i.list->n);
}

Item input_item(const Call *c, int i)
{
	return i < c->nin ? (Item){c->in[i], c->lists[i]} : (Item){NULL, NULL};
}

void set_output(Call *c, int i, Item item)
{
	c->out[i] = item.tensor;
	c->out_lists[i] = item.list;
}

Value *need_tensor(const Call *c, Item item, const char *what)
{
	if (!item.tensor)
		fatal_at(c->loc, "%s is %s, expected a tensor", what, item_text(c->im, item));
	return item.tensor;
}

const Onnx__TypeProto__Tensor *tensor_of_type(const Onnx__TypeProto *t, bool *optional, bool *sequence)
{
	*optional = t && t->optional_type;
	t = *optional ? t->optional_type->elem_type : t;
	*sequence = t && t->sequence_type;
	t = *sequence ? t->sequence_type->elem_type : t;
	return t ? t->tensor_type : NULL;
}

/* ---- attributes ------------------------------------------------------------------------------------------------ */

static const OnnxAttr *attr_of(OnnxAttr *const *attrs, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (attrs[i]->name && !strcmp(attrs[i]->name, name))
			return attrs[i];
	return NULL;
}

const OnnxAttr *onnx_attr(const Call *c, const char *name)
{
	const OnnxAttr *a = attr_of(c->node->attribute, c->node->n_attribute, name);
	if (!a || !a->ref_attr_name || !*a->ref_attr_name)
		return a;
	const Scope *s = c->scope;
	while (s && !s->caller)
		s = s->outer;
	if (!s)
		return NULL;
	const OnnxAttr *outer = onnx_attr(s->caller, a->ref_attr_name);
	return outer ? outer : attr_of(s->function->attribute_proto, s->function->n_attribute_proto, a->ref_attr_name);
}

bool has_attr(const Call *c, const char *name)
{
	return onnx_attr(c, name) != NULL;
}

static const OnnxAttr *typed_attr(const Call *c, const char *name, Onnx__AttributeProto__AttributeType type)
{
	const OnnxAttr *a = onnx_attr(c, name);
	if (a && a->type != type)
		fatal_at(c->loc, "attribute '%s' has the wrong type", name);
	return a;
}

int64_t onnx_int(const Call *c, const char *name, int64_t dflt)
{
	const OnnxAttr *a = typed_attr(c, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
	return a ? a->i : dflt;
}

double onnx_float(const Call *c, const char *name, double dflt)
{
	const OnnxAttr *a = typed_attr(c, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
	return a ? a->f : (float)dflt; /* as the standard types it */
}

const char *onnx_text(const Call *c, const char *name)
{
	const OnnxAttr *a = typed_attr(c, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
	return a ? arena_printf(c->im->scratch, "%.*s", (int)(a->s.len < 4096 ? a->s.len : 4096),
	                        a->s.len ? (const char *)a->s.data : "")
	         : NULL;
}

bool onnx_word(const Call *c, const char *name, const char *word)
{
	const char *text = onnx_text(c, name);
	return text && !strcmp(text, word);
}

int onnx_ints(const Call *c, const char *name, const int64_t **ints)
{
	const OnnxAttr *a = typed_attr(c, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
	*ints = a ? a->ints : NULL;
	if (a && a->n_ints > INT16_MAX)
		fatal_at(c->loc, "attribute '%s' lists %zu numbers", name, a->n_ints);
	return a ? (int)a->n_ints : -1;
}

/* ---- rows and functions ---------------------------------------------------------------------------------------- */

const char *row_key(Arena *a, const char *domain, const char *op_type)
{
	return is_standard(domain) ? op_type : arena_printf(a, "%s:%s", domain, op_type);
}

const OnnxOp *find_row(const Import *im, const char *domain, const char *op_type, int opset)
{
	const OnnxOp *first = op_type ? get_name(&im->ops, row_key(im->scratch, domain, op_type)) : NULL;
	for (const OnnxOp *row = first; row && row->name && !strcmp(row->name, op_type) && !strcmp(row->domain, first->domain); row++)
		if (row->since <= opset && opset <= row->until)
			return row;
	return NULL;
}

const OnnxFunction *find_function(const Import *im, const OnnxNode *n)
{
	if (!im->functions.table.count || !n->op_type)
		return NULL;
	return get_name(&im->functions, arena_printf(im->scratch, "%s:%s:%s", is_standard(n->domain) ? "" : n->domain,
	                                              n->op_type, n->overload ? n->overload : ""));
}

/* ---- types that the graph states ------------------------------------------------------------------------------- */

const OnnxValueInfo *info_among(OnnxValueInfo *const *infos, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		const Onnx__TypeProto__Tensor *t = infos[i]->type ? infos[i]->type->tensor_type : NULL;
		if (infos[i]->name && !strcmp(infos[i]->name, name) && t && t->elem_type && t->shape)
			return infos[i];
	}
	return NULL;
}

const OnnxValueInfo *find_info(const OnnxGraph *g, const char *name)
{
	const OnnxValueInfo *v = info_among(g->value_info, g->n_value_info, name);
	return v ? v : info_among(g->output, g->n_output, name);
}
