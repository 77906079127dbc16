/* draw.c - what pictures of the tensor IR share (draw.h). */
#include "draw.h"

#include <stdlib.h>

/* ---- lines ------------------------------------------------------------------------------------------------------- */

Line *new_line(void)
{
	Line *l = calloc(1, sizeof *l);
	if (!l || !(l->f = open_memstream(&l->text, &l->size)))
		refuse_at(NULL, "out of memory");
	return l;
}

FILE *begin_line(Line *l)
{
	rewind(l->f);
	return l->f;
}

const char *line_text(Line *l)
{
	putc(0, l->f);
	if (fflush(l->f))
		refuse_at(NULL, "out of memory");
	return l->text;
}

void free_line(Line *l)
{
	fclose(l->f);
	free(l->text);
	free(l);
}

/* ---- what is drawn ----------------------------------------------------------------------------------------------- */

const Value *drawn_value(const Value *v)
{
	while (v && v->def && v->def->op == OpGroup)
		v = v->def->body->yields[v->index];
	return v;
}

const Value *first_value(const Node *loop, int i)
{
	return drawn_value(loop->in[loop_has_cond(loop) + i]);
}

bool drawn_operand(const Node *n, int i, Operand *o)
{
	const OpInfo *op = &ops[n->op];
	int own = n->op == OpLoop ? loop_has_cond(n) : n->nin; /* the others are those of its parameters */
	const Block *bodies[] = {n->body, n->other};

	if (i < own) {
		const char *role = n->op == OpLoop ? "cond" : op->in[op->nin < 0 ? 0 : i];
		*o = (Operand){role, drawn_value(n->in[i]), false};
		return true;
	}
	i -= own;
	for (int k = 0; k < 2 && bodies[k]; i -= bodies[k++]->nyield)
		if (i < bodies[k]->nyield) {
			const char *role = n->op == OpLoop ? "yield" : k ? "else" : "then";
			*o = (Operand){role, drawn_value(bodies[k]->yields[i]), true};
			return true;
		}
	return false;
}

void print_operator(FILE *f, const Loc *loc)
{
	fputs(loc->op, f);
	if (loc->opset > 0)
		fprintf(f, "-%d", loc->opset);
}

void print_brief(FILE *f, Module *m, const Const *c)
{
	enum { MaxShown = 4 };
	putc('@', f);
	print_name(f, c->name);
	if (const_numel(&c->type) > MaxShown || const_numel(&c->type) == 0) {
		fprintf(f, " %s", type_text(m, &c->type));
		return;
	}
	fputs(" = ", f);
	print_list(f, c);
}
