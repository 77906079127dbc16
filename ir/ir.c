/* ir.c - the builders: nodes, their results and blocks, the checks of a block.
 *
 * Invariants that every function here and of the files of graph.h keeps: a Value's uses are exactly the operands and yields that
 * name it, nodes in group bodies included; a node's attributes are sorted by id and none equals its default; constants have names
 * of their own, and so do parameters; Value.konst_expr is what is_const() promises.
 */
#include "graph.h"

#include <string.h>

/* ---- nodes ------------------------------------------------------------------------------------------------------ */

static void link_node(Node *n, Block *b, Node *before)
{
	if (before && before->block != b)
		bug("the node to stand before is in another block");
	n->block = b;
	n->next = before;
	n->prev = before ? before->prev : b->last;
	*(n->prev ? &n->prev->next : &b->first) = n;
	*(before ? &before->prev : &b->last) = n;
}

static void unlink_node(Node *n)
{
	*(n->prev ? &n->prev->next : &n->block->first) = n->next;
	*(n->next ? &n->next->prev : &n->block->last) = n->prev;
	n->prev = n->next = NULL;
}

void move_before(Node *n, Block *b, Node *before)
{
	if (n == before)
		return;
	unlink_node(n);
	link_node(n, b, before);
}

bool has_body(Op op)
{
	return op == OpGroup || op == OpIf || op == OpLoop;
}

Node *group_of(const Node *n)
{
	Node *owner = n->block->owner;
	return owner && owner->op == OpGroup ? owner : NULL;
}

static Block *new_block(Module *m, Node *owner)
{
	Block *b = arena_alloc(m->arena, sizeof *b);
	b->owner = owner;
	return b;
}

Node *new_node(Module *m, Block *b, Node *before, Op op, const Loc *loc, int nin, Value *const *in)
{
	Node *n = arena_alloc(m->arena, sizeof *n);
	n->op = op;
	n->loc = loc;
	n->nin = ops[op].nin > nin ? ops[op].nin : nin;
	n->in = arena_alloc(m->arena, (size_t)n->nin * sizeof *n->in);
	n->in_use = arena_alloc(m->arena, (size_t)n->nin * sizeof *n->in_use);
	for (int i = 0; i < nin; i++) {
		n->in[i] = in[i];
		if (in[i])
			add_use(m, in[i], use_of(n, i));
	}
	if (has_body(op))
		n->body = new_block(m, n);
	if (op == OpIf)
		n->other = new_block(m, n);
	link_node(n, b, before);
	return n;
}

Value *add_result(Module *m, Node *n, Type type)
{
	Value *v = append_value(m, &n->out, &n->nout, type);
	v->def = n;
	return v;
}

Value *add_block_param(Module *m, Block *b, Type type)
{
	Value *v = append_value(m, &b->params, &b->nparam, type);
	v->block = b;
	return v;
}

static void remove_value(Value **list, int *n, int at)
{
	for (int i = at; i + 1 < *n; i++) {
		list[i] = list[i + 1];
		list[i]->index = i;
	}
	--*n;
}

void drop_carried(Node *loop, int i)
{
	int first = loop->nin - loop->body->nparam, at = first + i; /* of operands, and of yields */
	Block *b = loop->body;
	if (loop->op != OpLoop || b->params[i]->nuse || loop->out[i]->nuse)
		bug("a carried value that is used cannot be dropped");
	drop_use(loop->in[at], use_of(loop, at));
	for (int k = at; k + 1 < loop->nin; k++) {
		loop->in[k] = loop->in[k + 1];
		move_use(loop->in[k], use_of(loop, k + 1), use_of(loop, k));
	}
	loop->nin--;
	drop_use(b->yields[at], yield_of(b, at));
	for (int k = at; k + 1 < b->nyield; k++) {
		b->yields[k] = b->yields[k + 1];
		move_use(b->yields[k], yield_of(b, k + 1), yield_of(b, k));
	}
	b->nyield--;
	remove_value(b->params, &b->nparam, i);
	remove_value(loop->out, &loop->nout, i);
}

static const char *check_operands(Module *m, const Node *n)
{
	const OpInfo *info = &ops[n->op];
	if (info->nin < 0 && n->nin < 1 && n->op != OpLoop)
		return arena_printf(m->arena, "needs at least one operand");
	if (info->nin >= 0 && n->nin > info->nin)
		return arena_printf(m->arena, "takes %d operands, not %d", info->nin, n->nin);
	for (int i = 0; i < n->nin; i++) {
		int named = info->nin < 0 ? 0 : i;
		if (!n->in[i] && !info->optional[named])
			return arena_printf(m->arena, "operand '%s' is missing", info->in[named]);
	}
	return NULL;
}

static const char *check_attrs(Module *m, const Node *n)
{
	for (int i = 0; i < n->nattr; i++) {
		const Attr *a = &n->attrs[i];
		const AttrInfo *info = &attr_infos[a->id];
		if (!(ops[n->op].attrs >> a->id & 1))
			return arena_printf(m->arena, "has no attribute '%s'", info->text);
		if (info->kind == AttrScalar && a->s.dtype != n->in[0]->type.dtype)
			return arena_printf(m->arena, "attribute '%s' is not of the operand's type", info->text);
	}
	return NULL;
}

const char *set_type(Module *m, Node *n, const Type *given)
{
	const OpInfo *info = &ops[n->op];
	const char *wrong = check_operands(m, n);
	if (!wrong)
		wrong = check_attrs(m, n);
	if (wrong || has_body(n->op))
		return wrong;
	Type type = {0};
	if (given)
		type = *given;
	else if (info->given && n->nout)
		type = n->out[0]->type;
	else if (info->given)
		return "needs the type of its result";
	wrong = info->shape(m, n, &type);
	if (wrong)
		return wrong;
	if (given && !type_equal(given, &type))
		return arena_printf(m->arena, "has the result %s, not %s", type_text(m, &type), type_text(m, given));
	if (n->nout)
		n->out[0]->type = type;
	else
		add_result(m, n, type);
	update_const(m, n);
	infer_known(m, n);
	return NULL;
}

void type_error(const Module *m, Op op, const Loc *loc, const char *wrong)
{
	const Loc *at = loc ? loc : &(Loc){.file = m->path};
	if (wrong == m->lack)
		refuse_at(at, "%s: %s", ops[op].text, wrong);
	fatal_at(at, "%s: %s", ops[op].text, wrong);
}

Value *build(Module *m, Block *b, Node *before, Op op, const Loc *loc, int nin, Value *const *in, int nattr,
             const Attr *attrs, const Type *given)
{
	Node *n = new_node(m, b, before, op, loc, nin, in);
	for (int i = 0; i < nattr; i++)
		set_attr(m, n, attrs[i]);
	const char *wrong = set_type(m, n, given);
	if (wrong)
		type_error(m, op, loc, wrong);
	return n->out[0];
}

static void drop_operands(Node *n)
{
	for (int i = 0; i < n->nin; i++)
		if (n->in[i])
			drop_use(n->in[i], use_of(n, i));
	n->nin = 0;
}

static void erase_body(Block *b)
{
	for (int i = 0; i < b->nyield; i++)
		drop_use(b->yields[i], yield_of(b, i));
	b->nyield = 0;
	while (b->last)
		erase_node(b->last);
}

void erase_node(Node *n)
{
	for (int i = 0; i < n->nout; i++)
		if (n->out[i]->nuse)
			bug("%s is erased while its result %d is in use", ops[n->op].text, i);
	if (n->body)
		erase_body(n->body);
	if (n->other)
		erase_body(n->other);
	drop_operands(n);
	unlink_node(n);
	n->dead = true;
}

static void clear_block(const Block *block)
{
	for (int i = 0; i < block->nparam; i++)
		block->params[i]->scratch = NULL;
	for (const Node *n = block->first; n; n = n->next) {
		for (int i = 0; i < n->nout; i++)
			n->out[i]->scratch = NULL;
		if (n->body)
			clear_block(n->body);
		if (n->other)
			clear_block(n->other);
	}
}

void clear_scratch(Module *m)
{
	for (int i = 0; i < m->main->nparam; i++)
		m->main->params[i]->scratch = NULL;
	for (int i = 0; i < m->nconst; i++)
		m->consts[i]->value->scratch = NULL;
	clear_block(&m->main->body);
}

/* ---- symbols that nodes give ------------------------------------------------------------------------------------- */

/* What the node says of the symbol's values; NULL: nothing. */
static const Dim *upper_bound(Module *m, const Node *n, const Sym *s)
{
	if (s->kind == SymLoop)
		return dim_sub(m, attr_dim(m, n, Attr_trips), dim_const(m, 1));
	if (n->op == OpLoop && !strcmp(s->name, attr_text(n, Attr_count)))
		return attr_dim(m, n, Attr_trips);
	if (n->op == OpMeasure && find_attr(n, Attr_most))
		return attr_dim(m, n, Attr_most);
	return NULL;
}

static void note_bound(void *ctx, Sym *s)
{
	(void)ctx;
	s->bounds = true;
}

void give_sym(Module *m, Node *n, Sym *s, SymKind kind)
{
	s->kind = kind;
	s->def = n;
	s->module = m;
	s->most = upper_bound(m, n, s);
	if (s->most)
		dim_each_sym(s->most, note_bound, NULL);
}

void define_sym(Module *m, Node *n, AttrId id, SymKind kind)
{
	give_sym(m, n, dim_as_sym(dim_sym(m, attr_text(n, id))), kind);
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

const Block *block_around(const Block *b)
{
	return b->owner ? b->owner->block : NULL;
}

Block *block_of_checks(Block *b)
{
	while (b->owner && b->owner->op == OpGroup)
		b = b->owner->block;
	return b;
}

static bool is_checked(const Block *b, const Dim *x, const Dim *y)
{
	for (; b; b = block_around(b))
		for (int i = 0; i < b->ncheck; i++) {
			const DimCheck *c = &b->checks[i];
			if ((c->a == x && c->b == y) || (c->a == y && c->b == x))
				return true;
		}
	return false;
}

void add_check(Module *m, Block *b, DimCheck check)
{
	if (check.a == check.b || is_checked(b, check.a, check.b))
		return;
	b = block_of_checks(b);
	PUSH(m->arena, b->checks, b->ncheck, b->capcheck, check);
}

bool types_agree(const Block *b, const Type *x, const Type *y)
{
	if (x->dtype != y->dtype || x->rank != y->rank)
		return false;
	for (int i = 0; i < x->rank; i++)
		if (x->dims[i] != y->dims[i] && !is_checked(b, x->dims[i], y->dims[i]))
			return false;
	return true;
}
