/* onnx_build.h - for tests: small ONNX models made in memory and written to a temporary folder.
 *
 * Everything lives in one arena.  Lists of names and dims are text with commas: "x,w", "B,T+1,4"; a dim that is no
 * number is a dim_param, an empty one has no name.
 */
#ifndef DCC_ONNX_BUILD_H
#define DCC_ONNX_BUILD_H

#include "../frontend/frontend.h"
#include "onnx.pb-c.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

typedef struct Builder {
	Arena *arena;
	Onnx__ModelProto model;
	Onnx__GraphProto graph;
} Builder;

/* Makes an empty file; `path` ends in XXXXXX.onnx, which becomes its name. */
static UNUSED bool make_model_file(char *path)
{
	int fd = mkstemps(path, sizeof ".onnx" - 1);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static UNUSED int split_text(Arena *a, const char *text, char ***items)
{
	int n = 0, cap = 0;
	*items = NULL;
	while (text && *text) {
		const char *end = strchr(text, ',');
		size_t len = end ? (size_t)(end - text) : strlen(text);
		char *item = arena_printf(a, "%.*s", (int)len, text);
		PUSH(a, *items, n, cap, item);
		text += len + (end != NULL);
		if (end && !*text) {
			item = arena_strdup(a, "");
			PUSH(a, *items, n, cap, item);
		}
	}
	return n;
}

/* Appends a pointer to a protobuf-c list (pointer and size_t count); these lists are short, so they grow by copying. */
static UNUSED void *append(Arena *a, void *list, size_t *n, const void *item)
{
	const void **bigger = arena_alloc(a, (*n + 1) * sizeof *bigger);
	if (*n)
		memcpy(bigger, list, *n * sizeof *bigger);
	bigger[(*n)++] = item;
	return bigger;
}

static UNUSED Onnx__OperatorSetIdProto *make_opset(Arena *a, const char *domain, int version)
{
	Onnx__OperatorSetIdProto *o = arena_alloc(a, sizeof *o);
	onnx__operator_set_id_proto__init(o);
	o->domain = arena_strdup(a, domain);
	o->has_version = 1;
	o->version = version;
	return o;
}

static UNUSED Builder *new_builder(Arena *a, int opset)
{
	Builder *b = arena_alloc(a, sizeof *b);
	b->arena = a;
	onnx__model_proto__init(&b->model);
	onnx__graph_proto__init(&b->graph);
	b->graph.name = arena_strdup(a, "g");
	b->model.graph = &b->graph;
	b->model.has_ir_version = 1;
	b->model.ir_version = 8;
	b->model.opset_import =
	    append(a, b->model.opset_import, &b->model.n_opset_import, make_opset(a, "", opset));
	return b;
}

static UNUSED Onnx__ValueInfoProto *make_info(Arena *a, const char *name, int elem, const char *dims)
{
	Onnx__ValueInfoProto *v = arena_alloc(a, sizeof *v);
	onnx__value_info_proto__init(v);
	v->name = arena_strdup(a, name);
	v->type = arena_alloc(a, sizeof *v->type);
	onnx__type_proto__init(v->type);
	Onnx__TypeProto__Tensor *t = v->type->tensor_type = arena_alloc(a, sizeof *t);
	onnx__type_proto__tensor__init(t);
	t->has_elem_type = 1;
	t->elem_type = elem;
	t->shape = arena_alloc(a, sizeof *t->shape);
	onnx__tensor_shape_proto__init(t->shape);
	char **items;
	int n = split_text(a, dims, &items);
	for (int i = 0; i < n; i++) {
		Onnx__TensorShapeProto__Dimension *d = arena_alloc(a, sizeof *d);
		onnx__tensor_shape_proto__dimension__init(d);
		char *end;
		long long value = strtoll(items[i], &end, 10);
		if (*items[i] && !*end) {
			d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
			d->dim_value = value;
		} else if (*items[i]) {
			d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
			d->dim_param = items[i];
		}
		t->shape->dim = append(a, t->shape->dim, &t->shape->n_dim, d);
	}
	return v;
}

static UNUSED void add_input(Builder *b, const char *name, int elem, const char *dims)
{
	b->graph.input = append(b->arena, b->graph.input, &b->graph.n_input, make_info(b->arena, name, elem, dims));
}

static UNUSED void add_output(Builder *b, const char *name)
{
	Onnx__ValueInfoProto *v = arena_alloc(b->arena, sizeof *v); /* of any type */
	onnx__value_info_proto__init(v);
	v->name = arena_strdup(b->arena, name);
	b->graph.output = append(b->arena, b->graph.output, &b->graph.n_output, v);
}

static UNUSED Onnx__NodeProto *make_node(Arena *a, const char *op, const char *in, const char *out)
{
	Onnx__NodeProto *n = arena_alloc(a, sizeof *n);
	onnx__node_proto__init(n);
	n->op_type = arena_strdup(a, op);
	n->n_input = split_text(a, in, &n->input);
	n->n_output = split_text(a, out, &n->output);
	return n;
}

static UNUSED Onnx__NodeProto *add_op(Builder *b, const char *op, const char *in, const char *out)
{
	Onnx__NodeProto *n = make_node(b->arena, op, in, out);
	b->graph.node = append(b->arena, b->graph.node, &b->graph.n_node, n);
	return n;
}

static UNUSED Onnx__AttributeProto *add_attr(Arena *a, Onnx__NodeProto *n, const char *name, int type)
{
	Onnx__AttributeProto *at = arena_alloc(a, sizeof *at);
	onnx__attribute_proto__init(at);
	at->name = arena_strdup(a, name);
	at->has_type = 1;
	at->type = type;
	n->attribute = append(a, n->attribute, &n->n_attribute, at);
	return at;
}

static UNUSED void set_i(Arena *a, Onnx__NodeProto *n, const char *name, int64_t v)
{
	Onnx__AttributeProto *at = add_attr(a, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
	at->has_i = 1;
	at->i = v;
}

static UNUSED void set_f(Arena *a, Onnx__NodeProto *n, const char *name, float v)
{
	Onnx__AttributeProto *at = add_attr(a, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
	at->has_f = 1;
	at->f = v;
}

static UNUSED void set_s(Arena *a, Onnx__NodeProto *n, const char *name, const char *v)
{
	Onnx__AttributeProto *at = add_attr(a, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
	at->has_s = 1;
	at->s.data = (uint8_t *)arena_strdup(a, v);
	at->s.len = strlen(v);
}

static UNUSED void set_ints(Arena *a, Onnx__NodeProto *n, const char *name, int count, const int64_t *v)
{
	Onnx__AttributeProto *at = add_attr(a, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
	at->n_ints = count;
	at->ints = arena_alloc(a, (count + 1) * sizeof *v);
	memcpy(at->ints, v, count * sizeof *v);
}

static UNUSED void set_floats(Arena *a, Onnx__NodeProto *n, const char *name, int count, char *const *text)
{
	Onnx__AttributeProto *at = add_attr(a, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS);
	at->n_floats = count;
	at->floats = arena_alloc(a, (count + 1) * sizeof *at->floats);
	for (int i = 0; i < count; i++)
		at->floats[i] = strtof(text[i], NULL);
}

enum { MaxAttrInts = 16 };

/* Attributes of a test's row: "name=1,2;name~0.5;name:word" for integers and floats (lists, if the name is one of those below
 * or there are several floats), a string. */
static UNUSED void put_attrs(Arena *a, Onnx__NodeProto *n, const char *text)
{
	for (char *rest = NULL, *item = strtok_r(arena_strdup(a, text), ";", &rest); item; item = strtok_r(NULL, ";",
	                                                                                                   &rest)) {
		size_t name = strcspn(item, "=~:");
		char kind = item[name], *value = item + name + 1, **parts;
		item[name] = 0;
		int64_t ints[MaxAttrInts];
		int count = kind != ':' ? split_text(a, value, &parts) : 0;
		for (int i = 0; i < count && kind == '='; i++)
			ints[i] = atoll(parts[i]);
		static const char *const lists = " starts ends axes kernel_shape strides pads dilations output_padding output_shape shape paddings "
						 "consumed_inputs ngram_counts ngram_indexes pool_int64s classlabels_ints imputed_value_int64s "
					 "imputed_value_floats coefficients intercepts offset ";
		bool list = strstr(lists, arena_printf(a, " %s ", item));
		if (kind == '~' && (list || count > 1))
			set_floats(a, n, item, count, parts);
		else if (kind == '~')
			set_f(a, n, item, atof(value));
		else if (kind == ':')
			set_s(a, n, item, value);
		else if (list)
			set_ints(a, n, item, count, ints);
		else
			set_i(a, n, item, ints[0]);
	}
}

static UNUSED Onnx__TensorProto *make_tensor(Arena *a, const char *name, int elem, const char *dims, const void *raw,
                                             size_t bytes)
{
	Onnx__TensorProto *t = arena_alloc(a, sizeof *t);
	onnx__tensor_proto__init(t);
	t->name = arena_strdup(a, name);
	t->has_data_type = 1;
	t->data_type = elem;
	char **items;
	t->n_dims = split_text(a, dims, &items);
	t->dims = arena_alloc(a, (t->n_dims + 1) * sizeof *t->dims);
	for (size_t i = 0; i < t->n_dims; i++)
		t->dims[i] = strtoll(items[i], NULL, 10);
	if (raw) {
		t->has_raw_data = 1;
		t->raw_data.len = bytes;
		t->raw_data.data = arena_alloc(a, bytes + 1);
		memcpy(t->raw_data.data, raw, bytes);
	}
	return t;
}

static UNUSED Onnx__TensorProto *add_tensor(Builder *b, const char *name, int elem, const char *dims, const void *raw,
                                            size_t bytes)
{
	Onnx__TensorProto *t = make_tensor(b->arena, name, elem, dims, raw, bytes);
	b->graph.initializer = append(b->arena, b->graph.initializer, &b->graph.n_initializer, t);
	return t;
}

static UNUSED void add_ints(Builder *b, const char *name, int n, const int64_t *v)
{
	add_tensor(b, name, 7, arena_printf(b->arena, "%d", n), v, n * sizeof *v);
}

/* f(i) = small numbers around 0 that differ from each other */
static UNUSED void add_floats(Builder *b, const char *name, const char *dims, int n)
{
	float *v = arena_alloc(b->arena, (n + 1) * sizeof *v);
	for (int i = 0; i < n; i++)
		v[i] = (float)((i * 37 + 11) % 101 - 50) / 64;
	add_tensor(b, name, 1, dims, v, n * sizeof *v);
}

/* ---- files ----------------------------------------------------------------------------------------------------- */

static UNUSED void write_bytes(const char *path, const void *bytes, size_t n)
{
	FILE *f = fopen(path, "wb");
	if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) {
		fprintf(stderr, "cannot write %s\n", path);
		exit(2);
	}
}

static UNUSED uint8_t *pack_model(Builder *b, size_t *n)
{
	*n = onnx__model_proto__get_packed_size(&b->model);
	uint8_t *bytes = arena_alloc(b->arena, *n + 1);
	onnx__model_proto__pack(&b->model, bytes);
	return bytes;
}

static UNUSED void write_built(Builder *b, const char *path)
{
	size_t n;
	const uint8_t *bytes = pack_model(b, &n);
	write_bytes(path, bytes, n);
}

/* Loads; NULL if that failed, with the messages in *said (malloc'ed by open_memstream; free it). */
static UNUSED Module *try_load_model(const char *path, const LoadOptions *opt, char **said)
{
	static Module *m;
	static jmp_buf back;
	static size_t n;
	*said = NULL;
	diag_stream = open_memstream(said, &n);
	diag_recover = &back;
	diag_reset();
	m = NULL;
	if (!setjmp(back))
		m = load_model(path, opt);
	fclose(diag_stream);
	diag_stream = NULL;
	diag_recover = NULL;
	diag_reset();
	return m;
}

/* A function of the model: LeakyRelu whose alpha is the function's attribute `slope`. */
static UNUSED Onnx__FunctionProto *add_leaky(Builder *b, const char *domain, const char *name)
{
	Arena *a = b->arena;
	Onnx__FunctionProto *f = arena_alloc(a, sizeof *f);
	onnx__function_proto__init(f);
	f->domain = arena_strdup(a, domain);
	f->name = arena_strdup(a, name);
	f->n_input = split_text(a, "in", &f->input);
	f->n_output = split_text(a, "out", &f->output);
	f->n_attribute = split_text(a, "slope", &f->attribute);
	Onnx__NodeProto *body = make_node(a, "LeakyRelu", "in", "out");
	Onnx__AttributeProto *alpha = add_attr(a, body, "alpha", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
	alpha->ref_attr_name = arena_strdup(a, "slope");
	f->node = append(a, f->node, &f->n_node, body);
	f->opset_import = append(a, f->opset_import, &f->n_opset_import, make_opset(a, "", 18));
	b->model.functions = append(a, b->model.functions, &b->model.n_functions, f);
	return f;
}

#endif
