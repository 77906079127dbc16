/* group.c - the passes group and layout.
 *
 * group: a linear or a convolution by groups takes into its epilogue the elementwise nodes that follow, of whole rows and then (a
 * linear) of equal parts of them, gates, as far as
 *   - one value leaves, and what the body of a loop or if yields: all others are used only inside, and are no outputs,
 *   - results have the same dims (they are computed where the root's element lies in a register), and
 *   - other operands are known before the group, which stands where its last node stood.
 * The remaining elementwise nodes, and reductions of many results, group with the elementwise producers that only they use.  A node that stays alone
 * needs no group.
 * What a body yields is stored in any case, and each kernel less is one less in every iteration: such values leave a group
 * beside its last one, and elementwise values that are only yielded share a kernel.
 *
 * layout: the constant weight of a linear or of experts becomes `pack`ed panels, or what is left of it where many of its elements are 0 (ir/sparse.h);
 * where the epilogue reads parts of the columns, those that belong together lie in one panel, or in a few side by side.  Then it is settled
 * which kernels lie in others (feed.c).
 */
#include "feed.h"
#include "../ir/strassen.h"

#include <stdlib.h>
#include <string.h>

/* Units of panels for parts may have more columns than the matrix: each kernel less is worth that in a body, elsewhere up to half as
 * many more. */
static bool is_worth(Module *m, const Block *b, const Part *p)
{
	int64_t panels, apart;
	const Dim *columns = p->of->type.dims[p->axis];
	return b->owner || (dim_is_const(panel_count(m, columns, 1), &panels) && dim_is_const(panel_count(m, columns, p->parts), &apart) &&
	                    2 * apart <= 3 * panels);
}

/* May `user` compute on v, the value of a member of an epilogue, while it is in registers? */
static bool can_join(Module *m, const Value *v, const Node *user)
{
	Part p;
	if (user->nout != 1 || user->block != v->def->block)
		return false;
	if (ops[user->op].cls == ClsEwise)
		return equal_dims(&v->type, &user->out[0]->type);
	return user->op == OpGlu || (ops[user->op].cls == ClsMove && part_of(m, user->out[0], &p) && p.of == v && is_worth(m, user->block, &p));
}

/* The group yields a member's value, and its block the result in its place. */
static void yield_by_group(Module *m, Node *group, Value *v)
{
	Value *result = add_result(m, group, v->type);

	result->scratch = v;
	for (int u = v->nuse - 1; u >= 0; u--)
		if (!v->uses[u].node)
			set_yield(m, v->uses[u].block, v->uses[u].index, result);
}

static Node *make_group(Module *m, const char *pattern, Node **members, int n)
{
	Node *last = members[n - 1];
	report_match(pattern, members[0]->loc);
	for (int i = 1; i < n; i++)
		report_also(members[i]->loc);
	Node *group = new_node(m, last->block, last, OpGroup, members[0]->loc, 0, NULL);
	Value *old = last->out[0], *result = add_result(m, group, old->type);
	group->mark = last->mark;

	replace_uses(m, old, result);
	for (int i = 0; i < n - 1; i++)
		if (is_output(members[i]->out[0]))
			yield_by_group(m, group, members[i]->out[0]);
	for (int i = 0; i < n; i++)
		move_before(members[i], group->body, NULL);
	add_yield(m, group->body, old);
	for (int i = 1; i < group->nout; i++)
		add_yield(m, group->body, group->out[i]->scratch);
	return group;
}

static bool all_users_in(const Value *v, Node *const *members, int n)
{
	const Block *b = v->def->block;
	for (int u = 0; u < v->nuse; u++)
		if (v->uses[u].node ? !is_member(v->uses[u].node, members, n) : !b->owner || v->uses[u].block != b)
			return false;
	return v->nuse > 0;
}

/* Values that leave a group of these besides its last one. */
static int count_yielded(Node *const *members, int n)
{
	int count = 0;
	for (int i = 0; i < n; i++)
		count += is_output(members[i]->out[0]);
	return count;
}

/* The first node outside that uses a member, and the value that it uses; NULL: none. */
static Node *first_user(Node *const *members, int n, const Value **used)
{
	Node *first = NULL;

	for (int i = 0; i < n; i++)
		for (int u = 0; u < members[i]->out[0]->nuse; u++) {
			Node *user = members[i]->out[0]->uses[u].node;
			if (!user || is_member(user, members, n) || (first && first->mark <= user->mark))
				continue;
			first = user;
			*used = members[i]->out[0];
		}
	return first;
}

/* The members of an epilogue and as few more as make it whole again: all but the last are used only by each other.  Users
 * follow in program order; returns their number, 0 if one of them cannot join. */
static int close_epilogue(Module *m, Node **members, int n)
{
	const Value *v;

	for (Node *user; n < MaxMembers && (user = first_user(members, n, &v)) && can_join(m, v, user);) {
		members[n++] = user;
		if (!epilogue_takes(m, members, n, false) || count_yielded(members, n) >= MaxResults)
			return 0;
		bool whole = true;
		for (int i = 0; i < n - 1; i++)
			whole &= all_users_in(members[i]->out[0], members, n);
		if (whole && epilogue_takes(m, members, n, true))
			return n;
	}
	return 0;
}

/* Why the epilogue ends at v, where an elementwise node follows. */
static void report_end(Module *m, const Value *v)
{
	for (int i = 0; i < v->nuse; i++) {
		const Node *user = v->uses[i].node;
		if (!user || (ops[user->op].cls != ClsEwise && user->op != OpGlu))
			continue;
		if (is_output(v))
			report_miss("epilogue", user->loc, "its operand is an output of the model too");
		else if (!only_user(v))
			report_miss("epilogue", user->loc, "its operand is used elsewhere too");
		else if (!can_join(m, v, user))
			report_miss("epilogue", user->loc, "its result has other dims than the product");
	}
}

static bool is_operand(const Node *n, const Value *v)
{
	for (int i = 0; i < n->nin; i++)
		if (n->in[i] == v)
			return true;
	return false;
}

/* May the epilogue compute v, which only it reads, before it needs it? */
static bool can_precede(const Value *v, Node *const *members, int n)
{
	const Node *p = v ? v->def : NULL, *root = members[0];

	return p && p->block == root->block && ops[p->op].cls == ClsEwise && !is_const(v) && !is_member(p, members, n) && !is_output(v) &&
	       equal_dims(&v->type, &members[n - 1]->out[0]->type) && all_users_in(v, members, n) && !is_operand(root, v);
}

/* In a body, what else the epilogue needs of elementwise values joins it: behind the root, before what reads it. */
static int add_operands(Module *m, Node **members, int n)
{
	for (int at = 1; at < n && members[0]->block->owner; at++)
		for (int i = 0; i < members[at]->nin && n < MaxMembers; i++) {
			Node *p = members[at]->in[i] ? members[at]->in[i]->def : NULL;
			if (!can_precede(members[at]->in[i], members, n) || !allow("epilogue"))
				continue;
			memmove(members + 2, members + 1, (size_t)(n - 1) * sizeof *members);
			members[1] = p;
			if (epilogue_takes(m, members, n + 1, true)) {
				n++;
				at = 0; /* its own operands next */
				break;
			}
			memmove(members + 1, members + 2, (size_t)(n - 1) * sizeof *members);
		}
	return n;
}

/* Returns the group, or the root if it stays alone. */
static Node *grow_epilogue(Module *m, Node *root)
{
	Node *members[MaxMembers];
	int n = 1;

	members[0] = root;
	for (int more; (more = close_epilogue(m, members, n)); n = more)
		if (members[n]->op != OpGlu && !allow("epilogue"))
			break;
	report_end(m, members[n - 1]->out[0]);
	n = add_operands(m, members, n);
	return n > 1 ? make_group(m, "epilogue", members, n) : root;
}

static int compare_marks(const void *a, const void *b)
{
	const Node *x = *(Node *const *)a, *y = *(Node *const *)b;
	return (x->mark > y->mark) - (x->mark < y->mark);
}

/* Adds what computes v to a group that begins with its last node, if it can join; returns the number of members. */
static int add_producer(Node **members, int n, const Value *v)
{
	const Node *root = members[0];
	const bool reduces = is_reduction(root);
	const Value *space = reduces ? root->in[0] : root->out[0];
	Node *p = v->def;

	if (!p || is_member(p, members, n) || ops[p->op].cls != ClsEwise || is_const(p->out[0]) || p->block != root->block ||
	    n == MaxMembers || p->mark > root->mark || !equal_dims(&p->out[0]->type, &space->type))
		return n;
	if (!all_users_in(p->out[0], members, n) || !allow(reduces ? "reduce" : "ewise"))
		return n;
	members[n] = p;
	const bool takes = reduces ? reduction_takes(members, n + 1) : ewise_takes(members, n + 1);
	const bool leaves = is_output(root->out[0]);
	return takes && count_yielded(members, n + 1) <= (reduces ? leaves : MaxResults - !leaves) ? n + 1 : n;
}

/* Returns the group, in the root's place; NULL if it stays alone. */
static Node *grow_ewise(Module *m, Node *root)
{
	Node *members[MaxMembers]; /* users before producers */
	const Block *b = root->block;
	int n = 1, at = 0, before;

	members[0] = root;
	do {
		for (; at < n; at++)
			for (int i = 0; i < members[at]->nin; i++)
				n = add_producer(members, n, members[at]->in[i]);
		before = n;
		for (int i = 0; i < b->nyield && b->owner; i++)
			n = add_producer(members, n, b->yields[i]);
	} while (n > before);
	if (n == 1)
		return NULL;
	qsort(members, (size_t)n, sizeof *members, compare_marks);
	return make_group(m, is_reduction(root) ? "reduce" : "ewise", members, n);
}

enum {
	LeastResults = 256,
	FewElements = 1 << 15,
	FewOfMany = 1 << 18 /* where there are so many times more of both as an axis that is not known is long */
};

/* The product of the extents that are known, INT64_MAX if it is larger; *all (or NULL): there are no others. */
static int64_t known_elements(const Type *t, bool *all)
{
	int64_t n = 1, extent;

	if (all)
		*all = true;
	for (int d = 0; d < t->rank; d++) {
		const bool known = dim_is_const(t->dims[d], &extent);
		if (all)
			*all &= known;
		if (known && __builtin_mul_overflow(n, extent, &n))
			n = INT64_MAX;
	}
	return n;
}

static bool has_dim(const Type *t, const Dim *dim)
{
	for (int d = 0; d < t->rank; d++)
		if (t->dims[d] == dim)
			return true;
	return false;
}

/* Does a reduction give so many results that workers share them, as they share the elements that it would compute; or are these few? */
static bool shares_results(const Node *n)
{
	const Type *x = &n->in[0]->type, *y = &n->out[0]->type;
	bool all;
	const int64_t elements = known_elements(x, NULL), results = known_elements(y, &all), *axes;
	const int count = attr_ints(n, Attr_axes, &axes);

	if (results >= LeastResults)
		return true;
	for (int i = 0; i < count; i++)
		if (!dim_is_const(x->dims[axes[i]], NULL) && !has_dim(y, x->dims[axes[i]]))
			return false;
	return elements <= (all ? FewElements : FewOfMany);
}

static bool group_block(Module *m, Block *b)
{
	bool changed = false;
	int number = 0;

	for (Node *n = b->first; n; n = n->next) {
		changed |= n->op != OpGroup && n->body && group_block(m, n->body);
		changed |= n->other && group_block(m, n->other);
	}
	for (Node *n = b->first; n; n = n->next)
		n->mark = number++; /* program order */
	for (Node *n = b->first, *next; n; n = next) {
		Node *before = n->prev;
		bool grown = has_epilogue(n) && !is_const(n->out[0]) && grow_epilogue(m, n) != n;
		/* the group stands at its last member: other products may lie in between */
		next = !grown ? n->next : before ? before->next : b->first;
		changed |= grown;
	}
	for (Node *n = b->last, *group; n; n = n->prev)
		if ((ops[n->op].cls == ClsEwise || (is_reduction(n) && shares_results(n))) && !is_const(n->out[0]) && (group = grow_ewise(m, n))) {
			changed = true;
			n = group;
		}
	return changed;
}

bool pass_group(Module *m)
{
	return group_block(m, &m->main->body);
}

/* ---- layout ------------------------------------------------------------------------------------------------------------------- */

Value *unmerged(Module *m, Value *x, int *inner)
{
	const Type *t = &x->type;
	View w;
	Factor f[MaxFactors];

	*inner = 1;
	view_of(m, x, &w);
	if (!x->def || x->def->op != OpReshape || w.root == x || merge_factors(m, &w, w.rank - 1, w.rank, f) < 2)
		return x;
	Value *from = x->def->in[0];
	for (int d = 0; d + 1 < t->rank; d++)
		if (d >= from->type.rank || from->type.dims[d] != t->dims[d])
			return x;
	*inner = from->type.rank - t->rank + 1;
	return from;
}

Value *before_cast(Module *m, Node *before, Value *v, bool (*takes)(const Value *))
{
	enum { MaxMoves = 8 };
	Node *moves[MaxMoves], *n = v->def;
	int count = 0;

	for (; n && ops[n->op].cls == ClsMove && n->nin == 1 && n->op != OpPad && count < MaxMoves; n = n->in[0]->def)
		moves[count++] = n;
	Value *stored = n && n->op == OpCast ? n->in[0] : NULL;
	if (!stored || !takes(stored))
		return NULL;
	while (count--) {
		Type t = moves[count]->out[0]->type;
		t.dtype = stored->type.dtype;
		stored = build(m, before->block, before, moves[count]->op, before->loc, 1, &stored, moves[count]->nattr, moves[count]->attrs, &t);
	}
	return stored;
}

static bool is_stored_weight(const Value *v)
{
	return is_const(v) && is_weight_type(v->type.dtype);
}

static int group_parts(Module *m, const Node *group)
{
	Node *members[MaxMembers];
	int n = 0;
	for (Node *x = group->body->first; x && n < MaxMembers; x = x->next)
		members[n++] = x;
	return epilogue_parts(m, members, n);
}

enum { /* below them what Strassen's sums cost outweighs the eighth of the products that they save */
	LeastStrassenRows = 96,
	LeastStrassenWidth = 256 /* depth and columns */
};

/* Why a linear stays a direct product, under --fast-matmul; NULL: it need not. */
static const char *why_direct(const Node *n, const Value *stored, int parts)
{
	const Type *x = &n->in[0]->type, *w = &n->in[1]->type;
	int64_t depth, cols, most, rows = 1, extent;

	if (!is_const(stored))
		return "the weights are no constant";
	if (!dim_is_const(w->dims[0], &depth) || !dim_is_const(w->dims[1], &cols) || depth < LeastStrassenWidth || cols < LeastStrassenWidth)
		return "the weights are small";
	if (depth % StrassenDepth || unit_panels(parts) != 1)
		return "the depth is no multiple of 32, or its columns are read as more than two parts";
	if (stored->type.dtype != F32)
		return "the weights are stored in a shorter type";
	if (holds_integers(stored))
		return "the weights are whole numbers: sums of integers stay exact";
	for (int d = 0; d + 1 < x->rank && rows < LeastStrassenRows; d++) {
		dim_range(x->dims[d], &extent, &most);
		rows *= extent < 1 ? 1 : extent < LeastStrassenRows ? extent : LeastStrassenRows; /* without rows any schedule does */
	}
	return rows < LeastStrassenRows ? "rows may be fewer than 96 (-D bounds them)" : NULL;
}

static bool use_strassen(const Node *n, const Value *stored, int parts)
{
	if (!pass_options() || !pass_options()->fast_matmul)
		return false;
	const char *why = why_direct(n, stored, parts);
	if (why)
		report_miss("strassen", n->loc, why);
	else if (allow("strassen"))
		report_match("strassen", n->loc);
	else
		return false;
	return !why;
}

static Value *pack_matrix(Module *m, Node *before, Value *w, int parts)
{
	const bool halves = is_half(w->type.dtype);
	const Type t = {.dtype = halves ? U8 : w->type.dtype, .rank = 3,
	                .dims = {panel_count(m, w->type.dims[1], parts), w->type.dims[0], dim_const(m, halves ? HalfWidth : PanelWidth)}};
	Attr attr = mk_int(Attr_parts, parts);
	return build(m, before->block, before, OpPack, before->loc, 1, &w, 1, &attr, &t);
}

/* Weights stay integers, with scales and zero points beside them. */
static Value *scaled_linear(Module *m, Node *n, Node *outer, Value *x, int inner, const Scaled *s, int parts)
{
	Value *in[] = {x, pack_matrix(m, outer, s->elements, parts), n->in[2], pack_matrix(m, outer, s->scale, parts),
	               s->zero ? pack_matrix(m, outer, s->zero, parts) : NULL};
	Attr attrs[] = {mk_int(Attr_parts, parts), mk_int(Attr_inner, inner), mk_int(Attr_block, s->block), mk_int(Attr_offset, s->offset)};
	report_match("scaled", n->loc);
	return build(m, n->block, n, OpLinearScaled, n->loc, s->zero ? 5 : 4, in, 4, attrs, &n->out[0]->type);
}

static bool pack_linear(Module *m, Node *n)
{
	int inner;
	Value *x = unmerged(m, n->in[0], &inner);
	Node *group = group_of(n), *outer = group ? group : n;
	int parts = group ? group_parts(m, group) : 1;
	Scaled scaled;
	const bool whole = scaled_weights(m, outer, n->in[1], &scaled) && allow("scaled");
	Value *narrow = whole ? NULL : before_cast(m, outer, n->in[1], is_stored_weight); /* panels may be of its type */
	Value *stored = narrow ? narrow : n->in[1];
	Type t = stored->type, panels = {.dtype = t.dtype, .rank = 3};
	Attr attrs[] = {mk_int(Attr_parts, parts), mk_int(Attr_inner, inner)};

	panels.dims[0] = panel_count(m, t.dims[1], parts);
	panels.dims[1] = t.dims[0];
	panels.dims[2] = dim_const(m, PanelWidth);
	const double bytes = !whole ? dtypes[t.dtype].bytes : is_half(scaled.elements->type.dtype) ? 0.5 : 1;
	Value *y = sparse_linear(m, n, outer, x, inner, stored, parts, bytes);
	if (!y && whole)
		y = scaled_linear(m, n, outer, x, inner, &scaled, parts);
	if (!y) {
		const bool fast = use_strassen(n, stored, parts);
		Value *w = build(m, outer->block, outer, fast ? OpStrassenWeights : OpPack, n->loc, 1, &stored, 1, attrs, fast ? NULL : &panels);
		Value *in[] = {fast ? n->in[0] : x, w, n->in[2]};
		y = build(m, n->block, n, fast ? OpStrassen : OpLinearPacked, n->loc, 3, in, fast ? 1 : 2, attrs, &n->out[0]->type);
	}
	replace_uses(m, n->out[0], y);
	erase_node(n);
	return true;
}

static bool pack_experts(Module *m, Node *n)
{
	Node *group = group_of(n), *outer = group ? group : n;
	const Attr parts = mk_int(Attr_parts, group ? group_parts(m, group) : 1);
	Value *narrow = before_cast(m, outer, n->in[1], is_stored_weight), *w = narrow ? narrow : n->in[1];
	const Type *t = &w->type;
	const Type panels = {.dtype = t->dtype, .rank = 4,
	                     .dims = {t->dims[0], panel_count(m, t->dims[2], (int)parts.i), t->dims[1], dim_const(m, PanelWidth)}};

	Value *in[] = {n->in[0], build(m, outer->block, outer, OpPack, n->loc, 1, &w, 1, &parts, &panels), n->in[2], n->in[3]};
	replace_uses(m, n->out[0], build(m, n->block, n, OpExpertsPacked, n->loc, 4, in, 1, &parts, &n->out[0]->type));
	erase_node(n);
	return true;
}

bool pass_layout(Module *m)
{
	bool changed = false;

	FOR_ALL_NODES(n, m) {
		Node *root = inner_root(n);
		if (root->op == OpLinear)
			changed |= pack_linear(m, root);
		else if (root->op == OpExperts)
			changed |= pack_experts(m, root);
	}
	changed |= merge_constants(m); /* layers that share weights share their panels */
	changed |= remove_dead(m);
	changed |= choose_feeds(m);
	return changed;
}
