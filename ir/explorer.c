/* explorer.c - the tensor IR of a module as Google's Model Explorer reads it: dcc --emit=model-explorer.
 *
 * One file holds two graphs, the imported one and the one that the passes have made of it.  Its form is that of
 * graph_builder.py in the package ai-edge-model-explorer.  Layers come from the ONNX names: what stands before the last
 * slash; a group and the bodies of if and loop are layers inside of these.  The outputs of a node carry the name of its ONNX
 * node as `tensor_name`: node data, which dcc-run --node-data writes, find the node by it.
 */
#include "draw.h"

#include <stdlib.h>
#include <string.h>

/* Longer names of layers, or deeper ones, are left out: nobody could read them, and viewers take quadratic time over them. */
enum { MaxLayerBytes = 256, MaxLayers = 16 };

static const char *const ids[] = {"imported", "fused"};

typedef struct Picture {
	FILE *f;
	Module *m;
	Line *line;
	bool any; /* nodes were written */
} Picture;

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void put_safe(const Picture *p, const char *text)
{
	print_json(p->f, safe_name(p->m->arena, text));
}

/* A member of a list of {key, value}; `n` counts them. */
static void put_pair(const Picture *p, int *n, const char *key, const char *value)
{
	fputs((*n)++ ? ", {\"key\": " : "{\"key\": ", p->f);
	put_safe(p, key);
	fputs(", \"value\": ", p->f);
	put_safe(p, value);
	putc('}', p->f);
}

/* Of the node that gives the value; until the next line begins. */
static const char *id_of(const Picture *p, const Value *v)
{
	print_ref(begin_line(p->line), v->def ? v->def->out[0] : v);
	return line_text(p->line);
}

/* ---- layers ------------------------------------------------------------------------------------------------------ */

static const char *name_of(const Node *n)
{
	return n->loc && n->loc->node ? n->loc->node : "";
}

/* Bytes of a name that are its layers. */
static size_t layer_bytes(const char *name)
{
	const char *last = strrchr(name, '/');
	size_t n = last ? (size_t)(last - name) : 0;
	int layers = 1;

	for (size_t i = 0; i < n && n <= MaxLayerBytes; i++)
		layers += name[i] == '/';
	return n <= MaxLayerBytes && layers <= MaxLayers ? n : 0;
}

/* Bytes of the layers that both have in common. */
static size_t common_bytes(const char *a, size_t n, const char *b)
{
	size_t m = layer_bytes(b), i = 0, whole = 0;

	while (i < n && i < m && a[i] == b[i]) {
		i++;
		if ((i == n || a[i] == '/') && (i == m || b[i] == '/'))
			whole = i;
	}
	return whole;
}

/* What stands between slashes, without the empty ones. */
static const char *tidy(char *layers)
{
	char *to = layers;
	for (const char *p = layers; *p; p++)
		if (*p != '/' || (to > layers && p[1] && p[1] != '/'))
			*to++ = *p;
	*to = 0;
	return layers;
}

/* Where the nodes of a block stand: a layer, in which their names may have more of them; those that they share with the name
 * of the block's owner are around it.  NULL: they have no more. */
typedef struct Place {
	const char *layers, *owner;
} Place;

/* The first bytes of a name inside of `at`; then `inner`, a layer of its own. */
static const char *layers_of(const Picture *p, Place at, const char *name, size_t bytes, const char *inner)
{
	size_t shared = common_bytes(at.owner, layer_bytes(at.owner), name);
	shared = shared < bytes ? shared : bytes;
	return tidy(arena_printf(p->m->arena, "%s/%.*s/%s", at.layers, (int)(bytes - shared), name + shared, inner));
}

static const char *layers_of_node(const Picture *p, Place at, const Node *n)
{
	return !at.owner ? at.layers : layers_of(p, at, name_of(n), layer_bytes(name_of(n)), "");
}

/* A layer for the body, in those that the members of a group share. */
static Place place_of_body(const Picture *p, Place at, const Node *n, const char *what)
{
	const char *name = name_of(n);
	size_t bytes = layer_bytes(name);

	for (const Node *x = n->op == OpGroup ? n->body->first : NULL; x; x = x->next)
		bytes = common_bytes(name, bytes, name_of(x));
	const char *id = arena_strdup(p->m->arena, id_of(p, n->out[0]));
	if (strlen(at.layers) + strlen(id) > MaxLayerBytes)
		return (Place){at.layers, NULL};
	FILE *f = begin_line(p->line);
	fprintf(f, "%s ", what);
	for (; *id; id++)
		fprintf(f, "%s%c", *id == '/' ? "\\" : "", *id); /* a slash that divides no layers */
	return (Place){layers_of(p, at, name, bytes, line_text(p->line)), n->op == OpGroup ? NULL : name};
}

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

static void begin_node(Picture *p, const char *id, const char *label, const char *layers)
{
	fputs(p->any ? ",\n {\"id\": " : "\n {\"id\": ", p->f);
	p->any = true;
	print_json(p->f, id);
	fputs(", \"label\": ", p->f);
	put_safe(p, label);
	fputs(", \"namespace\": ", p->f);
	put_safe(p, layers);
	fputs(", \"attrs\": [", p->f);
}

static void put_const(const Picture *p, int *n, const char *role, const Value *v)
{
	print_brief(begin_line(p->line), p->m, v->konst);
	put_pair(p, n, role, line_text(p->line));
}

static void put_edge(const Picture *p, int n, const Value *v)
{
	fputs(n ? ", {\"sourceNodeId\": " : "{\"sourceNodeId\": ", p->f);
	print_json(p->f, id_of(p, v));
	fprintf(p->f, ", \"sourceNodeOutputId\": \"%d\", \"targetNodeInputId\": \"%d\"}", v->def ? v->index : 0, n);
}

/* What comes in; constants are told among the attributes. */
static void put_inputs(const Picture *p, const Node *n)
{
	Operand o;
	int edges = 0;
	fputs("], \"incomingEdges\": [", p->f);
	for (int i = 0; drawn_operand(n, i, &o); i++)
		if (o.value && !o.value->konst)
			put_edge(p, edges++, o.value);
	fputs("], \"inputsMetadata\": [", p->f);
	for (int i = 0, at = 0; drawn_operand(n, i, &o); i++)
		if (o.value && !o.value->konst) {
			int pairs = 0;
			fprintf(p->f, "%s{\"id\": \"%d\", \"attrs\": [", at ? ", " : "", at);
			put_pair(p, &pairs, "__tensor_tag", o.role);
			fputs("]}", p->f);
			at++;
		}
	putc(']', p->f);
}

/* What goes out, and the end. */
static void end_node(const Picture *p, int n, Value *const *out, const char *name)
{
	fputs(", \"outputsMetadata\": [", p->f);
	for (int i = 0; i < n; i++) {
		int pairs = 0;
		fprintf(p->f, "%s{\"id\": \"%d\", \"attrs\": [", i ? ", " : "", i);
		put_pair(p, &pairs, "shape", type_text(p->m, &out[i]->type));
		if (*name)
			put_pair(p, &pairs, "tensor_name", name);
		fputs("]}", p->f);
	}
	fputs("]}", p->f);
}

static void put_node(Picture *p, const Node *n, Place at)
{
	Operand o;
	int pairs = 0;
	begin_node(p, id_of(p, n->out[0]), ops[n->op].text, layers_of_node(p, at, n));
	if (*name_of(n))
		put_pair(p, &pairs, "ONNX node", name_of(n));
	if (n->loc && n->loc->op) {
		print_operator(begin_line(p->line), n->loc);
		put_pair(p, &pairs, "ONNX operator", line_text(p->line));
	}
	for (int i = 0; drawn_operand(n, i, &o); i++)
		if (o.value && o.value->konst)
			put_const(p, &pairs, o.role, o.value);
	for (int i = 0; i < n->nattr; i++) {
		print_attr_value(begin_line(p->line), p->m, &n->attrs[i]);
		put_pair(p, &pairs, attr_infos[n->attrs[i].id].text, line_text(p->line));
	}
	put_inputs(p, n);
	end_node(p, n->nout, n->out, name_of(n));
}

/* A node that has one operand or none: an input, an output, what a loop carries. */
static void put_port(Picture *p, const Value *v, const char *id, const char *label, const char *layers, const Value *from)
{
	int pairs = 0;
	begin_node(p, id, label, layers);
	if (from && from->konst)
		put_const(p, &pairs, "value", from);
	fputs("], \"incomingEdges\": [", p->f);
	if (from && !from->konst)
		put_edge(p, 0, from);
	putc(']', p->f);
	end_node(p, 1, (Value *const[]){(Value *)v}, "");
}

static void put_block(Picture *p, const Block *b, Place at);

static void put_body(Picture *p, const Node *n, const Block *body, const char *what, Place at)
{
	Place in = place_of_body(p, at, n, what);
	for (int i = 0; i < body->nparam; i++) {
		const char *id = id_of(p, body->params[i]);
		put_port(p, body->params[i], id, id, in.layers, first_value(n, i));
	}
	put_block(p, body, in);
}

static void put_block(Picture *p, const Block *b, Place at)
{
	for (const Node *n = b->first; n; n = n->next) {
		if (n->body)
			put_body(p, n, n->body, n->op == OpIf ? "then" : ops[n->op].text, at);
		if (n->other)
			put_body(p, n, n->other, "else", at);
		if (n->op != OpGroup)
			put_node(p, n, at);
	}
}

/* ---- graphs ------------------------------------------------------------------------------------------------------ */

/* Shown where no node is chosen. */
static void put_facts(const Picture *p)
{
	const Module *m = p->m;
	fputs("], \"groupNodeAttributes\": {\"\": {\"stage\": ", p->f);
	put_safe(p, m->stage);
	for (int i = 0; i < m->nsym; i++) {
		fputs(", ", p->f);
		fprintf(begin_line(p->line), "symbol %s", m->syms[i]->name);
		put_safe(p, line_text(p->line));
		fprintf(p->f, ": \"%lld..%lld\"", (long long)m->syms[i]->lo, (long long)m->syms[i]->hi);
	}
	fputs("}}", p->f);
}

static void put_graph(FILE *f, Module *m, const char *id)
{
	Picture p = {.f = f, .m = m, .line = new_line()};

	number_values(m);
	fprintf(f, "{\"id\": \"%s\", \"nodes\": [", id);
	for (int i = 0; i < m->main->nparam; i++) {
		const char *name = id_of(&p, m->main->params[i]);
		put_port(&p, m->main->params[i], name, m->main->params[i]->name, "", NULL);
	}
	put_block(&p, &m->main->body, (Place){"", ""});
	for (int i = 0; i < m->main->body.nyield; i++) {
		const Value *v = drawn_value(m->main->body.yields[i]);
		put_port(&p, v, arena_printf(m->arena, "out%d", i), m->main->results[i], "", v);
	}
	put_facts(&p);
	putc('}', f);
	free_line(p.line);
}

char *explorer_graph(Module *m)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (f)
		put_graph(f, m, ids[0]);
	if (!f || fclose(f))
		refuse_at(NULL, "out of memory");
	return text;
}

void print_explorer(FILE *f, Module *m, const char *imported)
{
	fputs("{\"label\": ", f);
	print_json(f, safe_name(m->arena, m->name));
	fprintf(f, ", \"graphs\": [\n%s,\n", imported);
	put_graph(f, m, ids[1]);
	fputs("]}\n", f);
}

/* Both graphs have nodes of these names: the last one of each takes the number.  Colours run from the least to the greatest. */
void print_node_data(FILE *f, Arena *a, const char *what, int n, const char *const *nodes, const double *values)
{
	for (int g = 0; g < 2; g++) {
		fprintf(f, "%s\"%s\": {\"name\": ", g ? ",\n" : "{", ids[g]);
		print_json(f, what);
		fputs(", \"gradient\": [{\"stop\": 0, \"bgColor\": \"#ffffff\"}, {\"stop\": 1, \"bgColor\": \"#e66101\"}], \"results\": {", f);
		for (int i = 0; i < n; i++) {
			fputs(i ? ",\n " : "\n ", f);
			print_json(f, safe_name(a, nodes[i]));
			fprintf(f, ": {\"value\": %.6g}", values[i]);
		}
		fputs("}}", f);
	}
	fputs("}\n", f);
}
