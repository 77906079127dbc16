/* uses.c - who uses a value: the lists of uses, and the operands and yields that they mirror.
 *
 * A use knows its place in its value's list, so that it is dropped in constant time.
 */
#include "graph.h"

#include <string.h>

/* ---- lists without a capacity field ------------------------------------------------------------------------------ */

void *copy_longer(Module *m, const void *items, int count, size_t item_bytes)
{
	char *longer = arena_alloc(m->arena, ((size_t)count + 1) * item_bytes);
	if (count)
		memcpy(longer, items, (size_t)count * item_bytes);
	return longer;
}

/* Where nothing else lengthens the list, it has room for the next power of two of its count. */
static void *make_room(Module *m, void *items, int count, size_t item_bytes)
{
	if (count & (count - 1))
		return items;
	char *longer = arena_alloc(m->arena, (count ? 2 * (size_t)count : 1) * item_bytes);
	if (count)
		memcpy(longer, items, (size_t)count * item_bytes);
	return longer;
}

Value *append_value(Module *m, Value ***list, int *count, Type type)
{
	Value *v = arena_alloc(m->arena, sizeof *v);
	v->type = type;
	v->index = *count;
	*list = make_room(m, *list, *count, sizeof **list);
	(*list)[(*count)++] = v;
	return v;
}

/* ---- uses ------------------------------------------------------------------------------------------------------- */

static int *place_of(Use u)
{
	return u.node ? &u.node->in_use[u.index] : &u.block->yield_use[u.index];
}

/* For state_append(), which must not walk the uses of every value. */
void mark_appended(const Node *n)
{
	if (n->op == OpConcat && n->nin > 0 && n->in[0] && attr_int(n, Attr_state))
		n->in[0]->appended = true;
}

void add_use(Module *m, Value *v, Use use)
{
	*place_of(use) = v->nuse;
	PUSH(m->arena, v->uses, v->nuse, v->capuse, use);
	if (use.node && use.index == 0)
		mark_appended(use.node);
}

/* The last use takes its place. */
void drop_use(Value *v, Use use)
{
	int at = *place_of(use);
	const Use *u = at >= 0 && at < v->nuse ? &v->uses[at] : NULL;
	if (!u || u->node != use.node || u->block != use.block || u->index != use.index)
		bug("a use is missing from its value");
	v->uses[at] = v->uses[--v->nuse];
	*place_of(v->uses[at]) = at;
}

Use use_of(Node *n, int i)
{
	return (Use){n, NULL, i};
}

Use yield_of(Block *b, int i)
{
	return (Use){NULL, b, i};
}

void move_use(Value *v, Use from, Use to)
{
	int at = *place_of(from);
	if (v)
		v->uses[at] = to;
	*place_of(to) = at;
}

bool is_output(const Value *v)
{
	for (int i = 0; i < v->nuse; i++)
		if (!v->uses[i].node)
			return true;
	return false;
}

Node *only_user(const Value *v)
{
	for (int i = 1; i < v->nuse; i++)
		if (v->uses[i].node != v->uses[0].node)
			return NULL;
	return v->nuse ? v->uses[0].node : NULL;
}

/* ---- operands and yields ---------------------------------------------------------------------------------------- */

void set_in(Module *m, Node *n, int i, Value *v)
{
	if (i < 0 || i >= n->nin)
		bug("%s has no operand %d", ops[n->op].text, i);
	if (n->in[i] == v)
		return;
	if (n->in[i])
		drop_use(n->in[i], use_of(n, i));
	n->in[i] = v;
	if (v)
		add_use(m, v, use_of(n, i));
	update_const(m, n);
}

void append_in(Module *m, Node *n, Value *v)
{
	n->in = copy_longer(m, n->in, n->nin, sizeof *n->in);
	n->in_use = copy_longer(m, n->in_use, n->nin, sizeof *n->in_use);
	n->in[n->nin] = v;
	add_use(m, v, use_of(n, n->nin++));
	update_const(m, n);
}

void set_yield(Module *m, Block *b, int i, Value *v)
{
	if (i < 0 || i >= b->nyield)
		bug("a block has no yield %d", i);
	if (b->yields[i] == v)
		return;
	drop_use(b->yields[i], yield_of(b, i));
	b->yields[i] = v;
	add_use(m, v, yield_of(b, i));
}

void add_yield(Module *m, Block *b, Value *v)
{
	b->yields = make_room(m, b->yields, b->nyield, sizeof *b->yields);
	b->yield_use = make_room(m, b->yield_use, b->nyield, sizeof *b->yield_use);
	b->yields[b->nyield] = v;
	add_use(m, v, yield_of(b, b->nyield++));
}

void replace_uses(Module *m, Value *old, Value *by)
{
	if (old == by)
		return;
	int n = old->nuse;
	old->nuse = 0;
	for (int i = 0; i < n; i++) {
		Use u = old->uses[i];
		if (u.node)
			u.node->in[u.index] = by;
		else
			u.block->yields[u.index] = by;
		add_use(m, by, u);
	}
	if (old->konst_expr == by->konst_expr)
		return;
	for (int i = 0; i < n; i++)
		if (old->uses[i].node)
			update_const(m, old->uses[i].node);
}
