/* check.c - what a model uses that dcc does not support, all of it in one run.
 *
 * Findings of one kind are one message, at the first node that shows it, with a count.  Functions of the model are
 * checked once each, when something calls them; the branches of an If are checked when it is known which one is
 * taken.
 */
#include "check.h"
#include "custom.h"

#include <string.h>

enum { MaxAttrs = 200 }; /* of a node */

typedef struct Finding {
	const char *text;
	Loc loc;
	int count;
} Finding;

typedef struct Check {
	Import *im;
	Names by_text;
	int nfound, capfound;
	bool guessed; /* the opset is not supported: messages do not name it */
	Finding **found;
	Names queued; /* functions that were called */
	int nqueue, capqueue;
	const OnnxFunction **queue;
} Check;

static void note(Check *, const OnnxNode *, int opset, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static void note(Check *k, const OnnxNode *node, int opset, const char *fmt, ...)
{
	char text[512];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	Finding *f = get_name(&k->by_text, text);
	if (!f) {
		f = arena_alloc(k->im->scratch, sizeof *f);
		*f = (Finding){arena_strdup(k->im->scratch, text), {.file = k->im->file->path}, 0};
		if (node)
			f->loc = (Loc){.file = k->im->file->path, .node = node_name(node), .op = node->op_type,
			               .opset = k->guessed || !is_standard(node->domain) ? 0 : opset};
		PUSH(k->im->scratch, k->found, k->nfound, k->capfound, f);
		put_name(&k->by_text, f->text, f);
	}
	f->count++;
}

/* ---- rows ------------------------------------------------------------------------------------------------------ */

/* The item of the row's attribute list that starts with `name`; NULL: not listed. */
static const char *find_item(const char *attrs, const char *name, size_t *rest)
{
	size_t n = strlen(name);
	for (const char *p = attrs; *p; p += strspn(p, " ")) {
		size_t len = strcspn(p, " ");
		if (len >= n && !strncmp(p, name, n) && (len == n || p[n] == '=' || p[n] == ':')) {
			*rest = len - n;
			return p + n;
		}
		p += len;
	}
	return NULL;
}

static const char *attr_name(const OnnxAttr *a)
{
	return a->name ? a->name : "";
}

static const char *attr_value_text(const Import *im, const OnnxAttr *a)
{
	switch (a->type) {
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT:
		return arena_printf(im->scratch, "%lld", (long long)a->i);
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT:
		return arena_printf(im->scratch, "%g", a->f);
	case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING:
		return arena_printf(im->scratch, "%.*s", (int)(a->s.len < 99 ? a->s.len : 99), (const char *)a->s.data);
	default:
		return "?";
	}
}

static bool among(const char *values, size_t n, const char *text)
{
	size_t len = strlen(text);
	for (const char *p = values, *end = values + n; p < end; p++) {
		const char *bar = memchr(p, '|', end - p);
		size_t m = (bar ? bar : end) - p;
		if (m == len && !memcmp(p, text, len))
			return true;
		p += m;
	}
	return false;
}

/* Below opset 6 any operator may say which operands it may overwrite. */
static bool is_memory_hint(const OnnxAttr *a, int opset)
{
	return opset < 6 && a->name && !strcmp(a->name, "consumed_inputs");
}

const char *check_attr(const Import *im, const OnnxOp *row, int opset, const OnnxAttr *a, const OnnxAttr *value)
{
	size_t n;
	if (is_memory_hint(a, opset))
		return NULL;
	const char *rest = find_item(row->attrs, attr_name(a), &n);
	if (!rest)
		return arena_printf(im->scratch, "attribute '%s' is not supported", attr_name(a));
	if (!value || !n || *rest != '=')
		return NULL;
	const char *text = attr_value_text(im, value);
	if (among(rest + 1, n - 1, text))
		return NULL;
	return arena_printf(im->scratch, "attribute '%s' = %s is not supported", a->name, text);
}

/* ---- nodes ----------------------------------------------------------------------------------------------------- */

static void check_dtype(Check *k, const OnnxNode *node, int opset, int onnx, const char *what)
{
	DType dtype;
	if (!onnx_dtype(onnx, &dtype))
		note(k, node, opset, "%s: element type %s is not supported", what, onnx_dtype_text(onnx));
}

bool is_supported(const Import *im, const OnnxNode *node, int opset)
{
	return find_custom(im, node) || find_function(im, node) || find_row(im, node->domain, node->op_type, opset);
}

static void check_arity(Check *k, const OnnxNode *node, int opset, const OnnxOp *row)
{
	for (size_t i = row->max_in; i < node->n_input; i++)
		if (*node->input[i])
			note(k, node, opset, "operator '%s': input %zu is not supported", row->name, i);
	for (size_t i = row->max_out; i < node->n_output; i++)
		if (*node->output[i])
			note(k, node, opset, "operator '%s': output %zu is not supported", row->name, i);
}

/* Each name once, and few enough to look for them one by one. */
static void check_attrs(Check *k, const OnnxNode *node, int opset)
{
	if (node->n_attribute > MaxAttrs) {
		note(k, node, opset, "%zu attributes, at most %d are supported", node->n_attribute, MaxAttrs);
		return;
	}
	for (size_t i = 0; i < node->n_attribute; i++)
		for (size_t j = 0; j < i; j++)
			if (!strcmp(attr_name(node->attribute[i]), attr_name(node->attribute[j]))) {
				note(k, node, opset, "attribute '%s' is there twice", attr_name(node->attribute[i]));
				return;
			}
}

static void check_node(Check *k, const OnnxNode *node, int opset)
{
	Arena *a = k->im->scratch;
	const char *type = node->op_type ? node->op_type : "";
	const OnnxFunction *f = find_function(k->im, node);
	check_attrs(k, node, opset);
	if (find_custom(k->im, node))
		return;
	if (f) {
		const char *key = arena_printf(a, "%p", (const void *)f); /* only looked up, never printed */
		if (!get_name(&k->queued, key)) {
			put_name(&k->queued, key, (void *)f);
			PUSH(a, k->queue, k->nqueue, k->capqueue, f);
		}
		return;
	}
	const OnnxOp *row = find_row(k->im, node->domain, type, opset);
	if (!row && !is_standard(node->domain)) {
		note(k, node, opset, "operator '%s' of domain '%s' is not supported (--custom-op names a C function for it)", type,
		     node->domain);
		return;
	}
	if (!row) {
		bool other = get_name(&k->im->ops, type) != NULL;
		note(k, node, opset, "operator '%s' is not supported%s", type, other ? " at this opset" : "");
		return;
	}
	check_arity(k, node, opset, row);
	for (size_t i = 0; i < node->n_attribute; i++) {
		const OnnxAttr *attr = node->attribute[i];
		bool refers = attr->ref_attr_name && *attr->ref_attr_name;
		const char *wrong = check_attr(k->im, row, opset, attr, refers ? NULL : attr);
		if (wrong)
			note(k, node, opset, "operator '%s': %s", row->name, wrong);
		else if (attr->t)
			check_dtype(k, node, opset, attr->t->data_type, row->name);
		else if (!refers && !strcmp(attr->name, "to") && attr->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT)
			check_dtype(k, node, opset, attr->i, row->name);
	}
}

/* Returns the opset, or the nearest one that is supported: the nodes are checked in any case. */
static int check_opset(Check *k, int opset, const char *of)
{
	k->guessed = opset < FirstOpset || opset > LastOpset;
	if (opset < 0)
		note(k, NULL, 0, "%s: no opset of the standard domain is stated", of);
	else if (k->guessed)
		note(k, NULL, 0, "%s: opset %d is not supported; %d to %d are", of, opset, FirstOpset, LastOpset);
	return opset < 0 || opset > LastOpset ? LastOpset : opset < FirstOpset ? FirstOpset : opset;
}

static void check_nodes(Check *k, OnnxNode *const *nodes, size_t n, int opset)
{
	for (size_t i = 0; i < n; i++)
		check_node(k, nodes[i], opset);
}

/* Statements that contradict each other. */
static void check_imports(Check *k, Onnx__OperatorSetIdProto *const *imports, size_t n)
{
	int opset = standard_opset(imports, n);
	for (size_t i = 0; i < n; i++)
		if (is_standard(imports[i]->domain) && imports[i]->version != opset && opset <= LastOpset)
			note(k, NULL, 0, "the model: opset %d and opset %lld are both stated", opset,
			     (long long)imports[i]->version);
}

static void check_types(Check *k, const OnnxGraph *g)
{
	Arena *a = k->im->scratch;
	if (k->im->file->sparse)
		note(k, NULL, 0, "sparse initializers are not supported");
	for (size_t i = 0; i < g->n_initializer; i++) {
		const OnnxTensor *t = g->initializer[i];
		check_dtype(k, NULL, 0, t->data_type, arena_printf(a, "initializer '%s'", t->name ? t->name : ""));
	}
	for (size_t i = 0; i < g->n_input && g == k->im->graph; i++) { /* those of a body are what is passed in */
		const OnnxValueInfo *v = g->input[i];
		const char *what = arena_printf(a, "input '%s'", v->name ? v->name : "");
		bool optional, sequence;
		const Onnx__TypeProto__Tensor *t = tensor_of_type(v->type, &optional, &sequence);
		if (!t)
			note(k, NULL, 0, "%s is neither a tensor nor an optional or a sequence of tensors: not supported", what);
		else
			check_dtype(k, NULL, 0, t->elem_type, what);
	}
}

void check_graph(Import *im, const OnnxGraph *g, int opset)
{
	Check k = {.im = im, .by_text.arena = im->scratch, .queued.arena = im->scratch};
	check_types(&k, g);
	if (g == im->graph)
		check_imports(&k, im->file->model->opset_import, im->file->model->n_opset_import);
	check_nodes(&k, g->node, g->n_node, check_opset(&k, opset, "the model"));
	for (int i = 0; i < k.nqueue; i++) {
		const OnnxFunction *f = k.queue[i];
		int own = f->n_opset_import ? standard_opset(f->opset_import, f->n_opset_import) : opset;
		if (own < 0 && !f->n_node)
			continue;
		if (own < 0)
			own = opset; /* a body that only calls other functions need not state one */
		if (f->n_attribute_proto > MaxAttrs)
			note(&k, NULL, 0, "function '%s': %zu attributes, at most %d are supported", f->name ? f->name : "",
			     f->n_attribute_proto, MaxAttrs);
		own = check_opset(&k, own, arena_printf(im->scratch, "function '%s'", f->name ? f->name : ""));
		check_nodes(&k, f->node, f->n_node, own);
	}
	for (int i = 0; i < k.nfound; i++) {
		const Finding *f = k.found[i];
		if (f->count > 1)
			error_at(&f->loc, "%s (%d times)", f->text, f->count);
		else
			error_at(&f->loc, "%s", f->text);
	}
}
