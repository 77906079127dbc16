/* page_graph.c - the two graphs of the report's page: the ONNX nodes as they came, and the tensor IR as it is now. */
#include "page.h"

#include <string.h>

typedef struct OnnxNode {
	const Loc *loc;
	int nin, cap;
	int *in; /* where its operands come from */
} OnnxNode;

typedef struct Imported {
	Map numbers; /* by name */
	int n, cap;
	OnnxNode *nodes;
} Imported;

/* ---- the imported graph ------------------------------------------------------------------------------------------ */

static int onnx_number(const Imported *g, const Loc *loc)
{
	return loc && loc->node ? as_number(find_name(&g->numbers, loc->node)) : -1;
}

static void see_node(Report *r, const Loc *loc)
{
	Imported *g = r->imported;
	if (!loc || !loc->node || onnx_number(g, loc) >= 0)
		return;
	add_name(&g->numbers, loc->node, number_as(g->n));
	PUSH(r->m->arena, g->nodes, g->n, g->cap, ((OnnxNode){.loc = loc}));
}

static void see_operands(Report *r, const Node *n)
{
	const Imported *g = r->imported;
	int at = onnx_number(g, n->loc);
	Operand o;
	for (int i = 0; at >= 0 && drawn_operand(n, i, &o); i++) {
		OnnxNode *x = &g->nodes[at];
		int from = o.value && o.value->def ? onnx_number(g, o.value->def->loc) : -1;
		if (from >= 0 && from != at && !(x->nin && x->in[x->nin - 1] == from))
			PUSH(r->m->arena, x->in, x->nin, x->cap, from);
	}
}

void see_imported(Report *r)
{
	r->imported = arena_alloc(r->m->arena, sizeof *r->imported);
	r->imported->numbers.arena = r->m->arena;
	FOR_ALL_NODES(n, r->m)
		see_node(r, n->loc);
	FOR_ALL_NODES(n, r->m)
		see_operands(r, n);
}

/* ---- the graph --------------------------------------------------------------------------------------------------- */

static int add_row(Page *p)
{
	next_row(p, p->nrow);
	return p->nrow++;
}

static const char *ref_of(Page *p, const Value *v)
{
	print_ref(begin_line(p->line), v);
	return arena_strdup(p->m->arena, line_text(p->line));
}

static void give(Page *p, const Value *v, int row)
{
	add_ptr(&p->ids, v, number_as(row));
}

static void put_operand(Page *p, const Value *v, int *shown)
{
	int from = v ? as_number(find_ptr(&p->ids, v)) : -1;
	if (from >= 0 && has_room(p, GraphShare))
		fprintf(p->f, "%s%d", (*shown)++ ? "," : "", from);
}

/* Inputs, outputs, and what loops carry: [what, name, scope, value, type, [operand]]. */
static void put_port(Page *p, const char *what, const char *name, int scope, const Value *v, const Value *from)
{
	int shown = 0, row = add_row(p);
	fprintf(p->f, "[\"%s\",%d,%d,%d,%d,[", what, name_number(p, name), scope, name_number(p, ref_of(p, v)),
	        name_number(p, type_text(p->m, &v->type)));
	put_operand(p, from, &shown);
	fputs("]]", p->f);
	if (!from || v->block)
		give(p, v, row);
}

/* [operator, ONNX node, scope, value, type, [operands]] */
static void put_node(Page *p, const Node *n, int scope)
{
	Operand o;
	int shown = 0, row = add_row(p);
	fprintf(p->f, "[%d,%d,%d,%d,%d,[", (int)n->op, loc_number(p, n->loc), scope, name_number(p, ref_of(p, n->out[0])),
	        name_number(p, type_text(p->m, &n->out[0]->type)));
	for (int i = 0; drawn_operand(n, i, &o); i++)
		put_operand(p, o.value, &shown);
	fputs("]]", p->f);
	for (int i = 0; i < n->nout; i++)
		give(p, n->out[i], row);
}

/* [what, ONNX node, scope, value] */
static int put_scope(Page *p, const char *what, const Node *n, int scope)
{
	int row = add_row(p);
	fprintf(p->f, "[\"%s\",%d,%d,%d]", what, loc_number(p, n->loc), scope, name_number(p, ref_of(p, n->out[0])));
	return row;
}

/* What the body of a loop yields is the carried value of its next iteration. */
static void note_back(Page *p, const Value *yielded, const Value *param)
{
	int from = as_number(find_ptr(&p->ids, drawn_value(yielded))), to = as_number(find_ptr(&p->ids, param));
	if (from >= 0 && from != to)
		PUSH(p->m->arena, p->back, p->nback, p->capback, ((Back){from, to}));
}

static void put_block(Page *p, const Block *b, int scope);

static void put_body(Page *p, const Node *n, const Block *body, const char *what, int scope)
{
	int in = put_scope(p, what, n, scope);
	for (int i = 0; i < body->nparam; i++)
		put_port(p, "carried", NULL, in, body->params[i], first_value(n, i));
	put_block(p, body, in);
	for (int i = 0; i < body->nparam; i++)
		note_back(p, body->yields[loop_has_cond(n) + i], body->params[i]);
}

/* Constant expressions have no place in a picture: they are evaluated before anything runs. */
static void put_block(Page *p, const Block *b, int scope)
{
	for (const Node *n = b->first; n && has_room(p, GraphShare); n = n->next) {
		if (is_const(n->out[0]) && !is_output(n->out[0]))
			continue;
		if (n->body)
			put_body(p, n, n->body, n->op == OpIf ? "then" : ops[n->op].text, scope);
		if (n->other)
			put_body(p, n, n->other, "else", scope);
		if (n->op != OpGroup)
			put_node(p, n, scope);
	}
}

void put_graph(Page *p)
{
	const Func *main = p->m->main;
	begin_part(p, "graph");
	for (int i = 0; i < main->nparam; i++)
		put_port(p, "input", main->params[i]->name, -1, main->params[i], NULL);
	put_block(p, &main->body, -1);
	for (int i = 0; i < main->body.nyield; i++) {
		const Value *v = drawn_value(main->body.yields[i]);
		put_port(p, "output", main->results[i], -1, v, v);
	}
	end_part(p, "graph_cut");
	begin_part(p, "back"); /* [from, to] */
	for (int i = 0; i < p->nback && has_room(p, GraphShare); i++)
		fprintf(p->f, "%s[%d,%d]", i ? "," : "", p->back[i].from, p->back[i].to);
	end_part(p, "back_cut");
}

/* [name, operator, opset, [from], layers] */
void put_onnx(Page *p)
{
	const Imported *g = p->r->imported;
	begin_part(p, "onnx");
	for (int i = 0; i < g->n && has_room(p, OnnxShare); i++) {
		const OnnxNode *x = &g->nodes[i];
		next_row(p, i);
		fprintf(p->f, "[%d,%d,%d,[", loc_number(p, x->loc), name_number(p, x->loc->op), x->loc->opset);
		for (int k = 0; k < x->nin && has_room(p, OnnxShare); k++)
			fprintf(p->f, "%s%d", k ? "," : "", x->in[k]);
		fprintf(p->f, "],%d]", name_number(p, x->loc->layers));
	}
	end_part(p, "onnx_cut");
}

void put_operators(Page *p)
{
	static const char *const classes[] = {
		[ClsSource] = "source",   [ClsEwise] = "ewise", [ClsReduce] = "reduce", [ClsGemm] = "gemm",     [ClsWindow] = "window",
		[ClsAttention] = "attention", [ClsMove] = "move",   [ClsIndex] = "index",   [ClsOpaque] = "opaque", [ClsExtern] = "extern",
		[ClsGroup] = "group",     [ClsControl] = "control",
	};
	put_key(p, "operators");
	putc('[', p->f);
	for (int i = 0; i < NOps; i++)
		fprintf(p->f, "%s[\"%s\",\"%s\"]", i ? "," : "", ops[i].text, classes[ops[i].cls]);
	putc(']', p->f);
}

