/* order.c - nodes in an order in which values are made before they are used.
 *
 * The standard asks files for that; onnxruntime takes others, too, and they exist.  Nodes that are in order stay where they are, and so
 * do those of a cycle: the import says what is wrong.
 */
#include "import.h"

#include <string.h>

typedef struct Uses {
	int n, cap;
	const char **names;
} Uses;

static void add_uses(Arena *, const OnnxNode *, Uses *);

/* What the graph uses of the names around it.  The file's reader bounds how deep graphs lie in each other. */
static void add_outer_uses(Arena *a, const OnnxGraph *g, Uses *u)
{
	Names own = {.arena = a};
	Uses all = {0};
	for (size_t i = 0; i < g->n_input; i++)
		if (g->input[i]->name)
			put_name(&own, g->input[i]->name, (void *)g);
	for (size_t i = 0; i < g->n_initializer; i++)
		if (g->initializer[i]->name)
			put_name(&own, g->initializer[i]->name, (void *)g);
	for (size_t i = 0; i < g->n_node; i++) {
		for (size_t k = 0; k < g->node[i]->n_output; k++)
			put_name(&own, g->node[i]->output[k], (void *)g);
		add_uses(a, g->node[i], &all);
	}
	for (size_t i = 0; i < g->n_output; i++)
		if (g->output[i]->name)
			PUSH(a, all.names, all.n, all.cap, g->output[i]->name);
	for (int i = 0; i < all.n; i++)
		if (!get_name(&own, all.names[i]))
			PUSH(a, u->names, u->n, u->cap, all.names[i]);
}

static void add_uses(Arena *a, const OnnxNode *n, Uses *u)
{
	for (size_t i = 0; i < n->n_input; i++)
		PUSH(a, u->names, u->n, u->cap, n->input[i]);
	for (size_t i = 0; i < n->n_attribute; i++)
		if (n->attribute[i]->g)
			add_outer_uses(a, n->attribute[i]->g, u);
}

typedef struct Order {
	size_t n;
	OnnxNode **nodes;
	Uses *uses;
	Names makers; /* by the value's name: its first node, as an element of `nodes` */
} Order;

/* The node that makes what `at` uses as its number `use`; NULL: none of this graph does. */
static OnnxNode **maker(const Order *o, size_t at, int use)
{
	const char *name = o->uses[at].names[use];
	return *name ? get_name(&o->makers, name) : NULL;
}

static bool is_in_order(const Order *o)
{
	for (size_t i = 0; i < o->n; i++)
		for (int use = 0; use < o->uses[i].n; use++) {
			OnnxNode **by = maker(o, i, use);
			if (by && (size_t)(by - o->nodes) >= i)
				return false;
		}
	return true;
}

/* Every node behind those that make what it uses, else as they come; false: there is a cycle. */
static bool put_in_order(const Order *o, Arena *a, OnnxNode **out)
{
	enum { New, Open, Done };
	char *state = arena_alloc(a, o->n + 1);
	size_t *stack = arena_alloc(a, (o->n + 1) * sizeof *stack), count = 0;
	int *next = arena_alloc(a, (o->n + 1) * sizeof *next);
	for (size_t i = 0; i < o->n; i++) {
		size_t depth = 0;
		if (state[i] == New)
			stack[depth++] = i;
		while (depth) {
			size_t at = stack[depth - 1];
			state[at] = Open;
			OnnxNode **by = NULL;
			while (!by && next[at] < o->uses[at].n)
				by = maker(o, at, next[at]++);
			if (!by) {
				state[at] = Done;
				out[count++] = o->nodes[at];
				depth--;
			} else if (state[by - o->nodes] == Open) {
				return false;
			} else if (state[by - o->nodes] == New) {
				stack[depth++] = (size_t)(by - o->nodes);
			}
		}
	}
	return true;
}

static void order_list(Arena *a, OnnxNode **nodes, size_t n)
{
	Order o = {.n = n, .nodes = nodes, .uses = arena_alloc(a, (n + 1) * sizeof *o.uses), .makers.arena = a};
	for (size_t i = 0; i < n; i++) {
		add_uses(a, nodes[i], &o.uses[i]);
		for (size_t k = 0; k < nodes[i]->n_output; k++)
			if (!get_name(&o.makers, nodes[i]->output[k]))
				put_name(&o.makers, nodes[i]->output[k], &nodes[i]);
	}
	OnnxNode **out = arena_alloc(a, (n + 1) * sizeof *out);
	if (!is_in_order(&o) && put_in_order(&o, a, out))
		memcpy(nodes, out, n * sizeof *out);
}

/* The nodes, and those of the graphs inside of them. */
static void order_all(Arena *a, OnnxNode **nodes, size_t n)
{
	order_list(a, nodes, n);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < nodes[i]->n_attribute; k++) {
			OnnxGraph *g = nodes[i]->attribute[k]->g;
			if (g)
				order_all(a, g->node, g->n_node);
		}
}

void order_nodes(OnnxFile *file)
{
	Arena *a = new_arena();
	OnnxModel *model = file->model;
	if (model->graph)
		order_all(a, model->graph->node, model->graph->n_node);
	for (size_t i = 0; i < model->n_functions; i++)
		order_all(a, model->functions[i]->node, model->functions[i]->n_node);
	free_arena(a);
}
