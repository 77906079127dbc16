/* eval_const.c - constant expressions: what one needs, in order, within a budget. */
#include "eval_env.h"

#include <stdlib.h>
#include <string.h>

typedef struct NodeList {
	Node **items;
	int64_t count, cap;
} NodeList;

static bool push_node(NodeList *l, Node *n)
{
	if (l->count == l->cap) {
		int64_t cap = l->cap ? 2 * l->cap : 64;
		Node **items = realloc(l->items, cap * sizeof *items);
		if (!items)
			return false;
		l->items = items;
		l->cap = cap;
	}
	l->items[l->count++] = n;
	return true;
}

/* The slot of a node's first result stands for the node. */
static bool is_listed(Env *env, const Node *n)
{
	Slot *s = find_slot(env, n->out[0]);
	return s && s->filled;
}

static bool push_operand(Env *env, NodeList *stack, const Value *v, const Node *within)
{
	Node *n = v ? v->def : NULL;
	if (!n || (n->block && n->block->owner == within && within) || is_listed(env, n))
		return true;
	return push_node(stack, n);
}

static bool push_operands(Env *env, NodeList *stack, const Node *n)
{
	for (int i = 0; i < n->nin; i++)
		if (!push_operand(env, stack, n->in[i], NULL))
			return false;
	if (n->op != OpGroup)
		return !n->body;
	for (const Node *inner = n->body->first; inner; inner = inner->next) {
		if (inner->body)
			return false;
		for (int i = 0; i < inner->nin; i++)
			if (!push_operand(env, stack, inner->in[i], n))
				return false;
	}
	for (int i = 0; i < n->body->nyield; i++)
		if (!push_operand(env, stack, n->body->yields[i], n))
			return false;
	return true;
}

/* Lists the nodes that `root` needs, operands first.  Uses Slot.filled as the mark and clears it at the end. */
static bool list_needed(Env *env, Node *root, NodeList *order)
{
	NodeList stack = {0};
	bool ok = push_node(&stack, root);
	while (ok && stack.count) {
		Node *top = stack.items[stack.count - 1];
		int64_t before = stack.count;
		if (!is_listed(env, top)) {
			ok = push_operands(env, &stack, top);
			if (!ok || stack.count > before)
				continue;
			Slot *s = make_slot(env, top->out[0]);
			ok = s && push_node(order, top);
			if (ok)
				s->filled = true;
		}
		stack.count--;
	}
	free(stack.items);
	for (size_t i = 0; i < env->capslot; i++)
		env->slots[i].filled = false;
	return ok;
}

static const char *run_needed(Env *env, const NodeList *order, Value *v, Tensor *out)
{
	bool ok = count_use(env, v);
	for (int64_t i = 0; i < order->count && ok; i++)
		ok = count_node(env, order->items[i], 0);
	if (!ok)
		return arena_printf(env->m->arena, "out of memory");
	for (int64_t i = 0; i < order->count; i++)
		TRY(run_node(env, order->items[i], 0));
	return take_tensor(env, v, out);
}

static double bytes_of(const NodeList *order)
{
	double bytes = 0;
	for (int64_t i = 0; i < order->count; i++)
		for (int k = 0; k < order->items[i]->nout; k++) {
			const Type *t = &order->items[i]->out[k]->type;
			bytes += (double)const_numel(t) * dtypes[t->dtype].bytes;
		}
	return bytes;
}

/* Constants may share long expressions that are evaluated anew for each: what all may take is bounded by what they are made of.
 * All that was evaluated so far is in *spent; what does not fit is not counted. */
static const char *eval_within(Module *m, Value *v, double *spent, int per_byte, int gigabytes, Tensor *out)
{
	const double limit = (double)gigabytes * (1 << 30) + (double)per_byte * (double)m->const_bytes;
	Env env = {.m = m};
	NodeList order = {0};
	const char *wrong;
	memset(out, 0, sizeof *out);
	const bool listed = !v->def || list_needed(&env, v->def, &order);
	const double bytes = bytes_of(&order);
	if (!listed) {
		wrong = arena_printf(m->arena, "the constant expression cannot be ordered");
	} else if (*spent + bytes > limit) {
		wrong = arena_printf(m->arena, "constant expressions take more than %d times the constants' bytes and %d GB", per_byte, gigabytes);
	} else {
		*spent += bytes;
		wrong = run_needed(&env, &order, v, out);
	}
	free(order.items);
	free_env(&env);
	return wrong;
}

const char *eval_const(Module *m, Value *v, Tensor *out)
{
	return eval_within(m, v, &m->evaluated, 64, 8, out);
}

const char *look_at_const(Module *m, Value *v, Tensor *out)
{
	return eval_within(m, v, &m->looked, 16, 1, out);
}
