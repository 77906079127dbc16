/* operands.c - what nodes that become one kernel read. */
#include "kernel.h"

bool equal_dims(const Type *a, const Type *b)
{
	if (a->rank != b->rank)
		return false;
	for (int d = 0; d < a->rank; d++)
		if (a->dims[d] != b->dims[d])
			return false;
	return true;
}

bool is_member(const Node *node, Node *const *members, int n)
{
	for (int i = 0; i < n; i++)
		if (members[i] == node)
			return true;
	return false;
}

static bool is_read_before(const Value *v, Node *const *members, int i, int j)
{
	for (int m = 0; m <= i; m++)
		for (int k = 0; k < (m == i ? j : members[m]->nin); k++)
			if (members[m]->in[k] == v)
				return true;
	return false;
}

int count_operands(Node *const *members, int n)
{
	int count = 0;

	for (int i = 0; i < n; i++)
		for (int j = 0; j < members[i]->nin; j++) {
			const Value *v = members[i]->in[j];
			count += v && !is_member(v->def, members, n) && !is_read_before(v, members, i, j);
		}
	return count;
}
