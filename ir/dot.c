/* dot.c - the tensor IR of a module as a graph for Graphviz: dcc --emit=dot.
 *
 * A node is a box with its operator, its constants and attributes, and the ONNX node as its tooltip; groups and the bodies of
 * if and loop are clusters; edges tell the type.  Ids are the names that values have in the text form, without the % that
 * Graphviz keeps to itself.  Edges follow after all nodes, since one that stands in a cluster would draw its ends into it.
 *
 * Names cannot leave their place.  In a tooltip some Graphviz put the id of the node for \N all the same, however it is escaped.
 */
#include "draw.h"

#include <string.h>

#include "../runtime/escape.h"

/* Characters in a line of a label, and in any other text: Graphviz reads no string of more than 16384 bytes. */
enum { MaxLine = 60, MaxText = 1000 };

typedef struct Picture {
	FILE *f;
	Module *m;
	Line *line;
	int nclusters;
} Picture;

/* By class; their lightness differs, too. */
static const char *const colours[] = {
	[ClsSource] = "#f0f0f0",    [ClsEwise] = "#ffffff", [ClsReduce] = "#d9f0d3",  [ClsGemm] = "#9ecae1",
	[ClsWindow] = "#9ecae1",    [ClsAttention] = "#6baed6", [ClsMove] = "#fee8c8", [ClsIndex] = "#fdd49e",
	[ClsOpaque] = "#e0e0e0",    [ClsExtern] = "#dadaeb",    [ClsControl] = "#bcbddc",
};

/* ---- text -------------------------------------------------------------------------------------------------------- */

/* Inside of quotes, at most so many characters: a backslash begins an escape there, & an entity. */
static void put_text(FILE *f, const char *text, int most)
{
	char out[DccMaxEscaped];
	for (; *text && most > 0; most--) {
		text += escape_char(text, out);
		for (const char *p = out; *p; p++) {
			if (*p == '"' || *p == '\\')
				putc('\\', f);
			fputs(*p == '&' ? "&amp;" : (char[]){*p, 0}, f);
		}
	}
	fputs(*text ? "..." : "", f);
}

static const char *ref_text(const Picture *p, const Value *v)
{
	print_ref(begin_line(p->line), v);
	return line_text(p->line);
}

static void put_ref(const Picture *p, const Value *v)
{
	put_text(p->f, ref_text(p, v), MaxText);
}

/* Of the node that gives the value. */
static void put_id(const Picture *p, const Value *v)
{
	const char *text = ref_text(p, v->def ? v->def->out[0] : v) + 1;
	putc('"', p->f);
	put_text(p->f, text, MaxText);
	if (strlen(text) > MaxText) /* what is left out tells them apart */
		fprintf(p->f, "#%016llx", (unsigned long long)hash_bytes(text, strlen(text), 0));
	putc('"', p->f);
}

/* Another line of a label: the one that was begun. */
static void put_line(const Picture *p)
{
	fputs("\\n", p->f);
	put_text(p->f, line_text(p->line), MaxLine);
}

static void indent(const Picture *p, int depth)
{
	fprintf(p->f, "%*s", 2 * depth, "");
}

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

static void put_const(const Picture *p, const char *role, const Value *v)
{
	FILE *f = begin_line(p->line);
	fprintf(f, "%s ", role);
	print_brief(f, p->m, v->konst);
	put_line(p);
}

/* The ONNX node, where one is known. */
static void put_tooltip(const Picture *p, const Loc *loc, const Value *v)
{
	if (!loc || !loc->node) {
		put_ref(p, v);
		return;
	}
	put_text(p->f, loc->node, MaxText);
	if (!loc->op)
		return;
	fputs(" (", p->f);
	print_operator(begin_line(p->line), loc);
	put_text(p->f, line_text(p->line), MaxLine);
	putc(')', p->f);
}

static void put_node(const Picture *p, const Node *n, int depth)
{
	Operand o;
	indent(p, depth);
	put_id(p, n->out[0]);
	fprintf(p->f, " [label=\"%s", ops[n->op].text);
	for (int i = 0; drawn_operand(n, i, &o); i++)
		if (o.value && o.value->konst)
			put_const(p, o.role, o.value);
	for (int i = 0; i < n->nattr; i++) {
		print_attr(begin_line(p->line), p->m, &n->attrs[i]);
		put_line(p);
	}
	fprintf(p->f, "\", fillcolor=\"%s\", tooltip=\"", colours[ops[n->op].cls]);
	put_tooltip(p, n->loc, n->out[0]);
	fputs("\"];\n", p->f);
}

/* A parameter, of the function or of a loop. */
static void put_param(const Picture *p, const Value *v, const Value *first, int depth)
{
	indent(p, depth);
	put_id(p, v);
	fputs(" [shape=ellipse, label=\"", p->f);
	put_text(p->f, ref_text(p, v), MaxLine);
	fprintf(begin_line(p->line), "%s", type_text(p->m, &v->type));
	put_line(p);
	if (first && first->konst)
		put_const(p, "first", first);
	fputs("\", tooltip=\"", p->f);
	put_ref(p, v);
	fputs("\"];\n", p->f);
}

static void put_block(Picture *p, const Block *b, int depth);

static void put_cluster(Picture *p, const Node *n, const Block *b, const char *what, int depth)
{
	indent(p, depth);
	fprintf(p->f, "subgraph cluster_%d {\n", p->nclusters++);
	indent(p, depth + 1);
	fprintf(p->f, "label=\"%s ", what);
	put_ref(p, n->out[0]);
	fputs("\"; tooltip=\"", p->f);
	put_tooltip(p, n->loc, n->out[0]);
	fputs("\";\n", p->f);
	for (int i = 0; i < b->nparam; i++)
		put_param(p, b->params[i], first_value(n, i), depth + 1);
	put_block(p, b, depth + 1);
	indent(p, depth);
	fputs("}\n", p->f);
}

static void put_block(Picture *p, const Block *b, int depth)
{
	for (const Node *n = b->first; n; n = n->next) {
		if (n->body)
			put_cluster(p, n, n->body, n->op == OpIf ? "then" : ops[n->op].text, depth);
		if (n->other)
			put_cluster(p, n, n->other, "else", depth);
		if (n->op != OpGroup)
			put_node(p, n, depth);
	}
}

static void put_output(const Picture *p, int i)
{
	const Value *v = drawn_value(p->m->main->body.yields[i]);
	fprintf(p->f, "  \"return %d\" [shape=ellipse, label=\"", i);
	put_text(p->f, p->m->main->results[i], MaxLine);
	fprintf(begin_line(p->line), "%s", type_text(p->m, &v->type));
	put_line(p);
	if (v->konst)
		put_const(p, "is", v);
	fputs("\", tooltip=\"", p->f);
	put_text(p->f, p->m->main->results[i], MaxText);
	fputs("\"];\n", p->f);
}

/* ---- edges ------------------------------------------------------------------------------------------------------- */

/* What stands behind the ends: the type, with the way of a body in front, and the value and its role as the tooltip. */
static void end_edge(const Picture *p, const Value *v, const char *role, bool yielded)
{
	fprintf(p->f, " [label=\"%s%s", yielded ? role : "", yielded ? ": " : "");
	put_text(p->f, type_text(p->m, &v->type), MaxLine);
	fputs("\", tooltip=\"", p->f);
	put_ref(p, v);
	fprintf(p->f, " as %s\"];\n", role);
}

static void put_edge(const Picture *p, const Value *from, const Value *to, const char *role, bool yielded)
{
	if (!from || from->konst)
		return;
	fputs("  ", p->f);
	put_id(p, from);
	fputs(" -> ", p->f);
	put_id(p, to);
	end_edge(p, from, role, yielded);
}

/* From one iteration to the next. */
static void put_back(const Picture *p, const Node *loop, const Value *param)
{
	fputs("  ", p->f);
	put_id(p, loop->out[0]);
	fputs(" -> ", p->f);
	put_id(p, param);
	fputs(" [style=dashed, constraint=false, tooltip=\"next iteration\"];\n", p->f);
}

static void put_edges(const Picture *p, const Block *b)
{
	for (const Node *n = b->first; n; n = n->next) {
		Operand o;
		if (n->body)
			put_edges(p, n->body);
		if (n->other)
			put_edges(p, n->other);
		for (int i = 0; n->body && i < n->body->nparam; i++) {
			put_edge(p, first_value(n, i), n->body->params[i], "first", false);
			put_back(p, n, n->body->params[i]);
		}
		for (int i = 0; n->op != OpGroup && drawn_operand(n, i, &o); i++)
			put_edge(p, o.value, n->out[0], o.role, o.yielded);
	}
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

static void put_head(const Picture *p)
{
	const Module *m = p->m;
	fputs("digraph \"", p->f);
	put_text(p->f, m->name, MaxText);
	fputs("\" {\n  graph [fontname=Helvetica, fontsize=10, labelloc=t, style=\"rounded,filled\", fillcolor=\"#f7f7f7\","
	      " color=\"#888888\", label=\"", p->f);
	fprintf(begin_line(p->line), "%s after %s", m->name, m->stage);
	put_text(p->f, line_text(p->line), MaxLine);
	fputs("\"];\n  node [fontname=Helvetica, fontsize=10, shape=box, style=\"rounded,filled\", fillcolor=\"#ffffff\","
	      " color=\"#444444\", margin=\"0.1,0.05\", height=0.2];\n"
	      "  edge [fontname=Helvetica, fontsize=8, color=\"#444444\", arrowsize=0.6];\n", p->f);
}

void print_dot(FILE *f, Module *m)
{
	Picture p = {.f = f, .m = m, .line = new_line()};

	number_values(m);
	put_head(&p);
	for (int i = 0; i < m->main->nparam; i++)
		put_param(&p, m->main->params[i], NULL, 1);
	put_block(&p, &m->main->body, 1);
	for (int i = 0; i < m->main->body.nyield; i++)
		put_output(&p, i);
	put_edges(&p, &m->main->body);
	for (int i = 0; i < m->main->body.nyield; i++) {
		const Value *v = drawn_value(m->main->body.yields[i]);
		if (v->konst)
			continue;
		fputs("  ", f);
		put_id(&p, v);
		fprintf(f, " -> \"return %d\"", i);
		end_edge(&p, v, "output", false);
	}
	fputs("}\n", f);
	free_line(p.line);
}
