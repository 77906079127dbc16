/* lower.c - the pass lower: places every buffer, lowers each node by the schedule of its operator, and frames the programs.
 *
 * Each target has a program of its own; symbols, checks, sizes and weights are shared.
 */
#include "feed.h"

static bool is_alias(Module *m, Node *n)
{
	return n->nout == 1 && root_of(m, n->out[0]) != n->out[0];
}

/* Values that code must compute: views are read through their roots, constants are weights unless they are results. */
static bool needs_code(Module *m, Node *n)
{
	return !is_alias(m, n) && (!is_const(n->out[0]) || is_output(n->out[0]));
}

static void use_value(Lower *l, Value *v, int at)
{
	Value *root = root_of(l->m, v);
	if (!is_const(root) && new_home(l, root)->last < at)
		new_home(l, root)->last = at;
}

/* The first linear to read rows packs them, the others of its block read them packed; or all read them where they are. */
static void use_rows(Lower *l, Node *linear, int at)
{
	Packed *p = packed_rows(l, linear);
	if (p->last < 0 || lie_packed(linear, p))
		use_value(l, linear->in[0], at);
	p->last = at;
	p->users++;
}

/* Is the left operand packed in tiles of rows, which others may share? */
static bool packs_rows(Op op)
{
	return op == OpLinearPacked || op == OpLinearScaled || op == OpLinearBytes || op == OpSparse || op == OpStrassen;
}

/* A linear inside another kernel packs what it reads by itself, whoever else does; so does one that is fed, which reads nothing else. */
static bool packs_alone(const Node *linear)
{
	const Node *group = group_of(linear);
	return feeder((group ? group : linear)->out[0]) || feeder(linear->in[0]);
}

static void use_operands(Lower *l, Node *n, int at)
{
	for (int i = 0; i < n->nin; i++)
		if (i == 0 && packs_rows(n->op) && !packs_alone(n))
			use_rows(l, n, at);
		else if (n->in[i])
			use_value(l, n->in[i], at);
	if (n->op == OpAttention) {
		Packed *runs = key_runs(l, n);
		if (runs)
			runs->last = at;
		packed_heads(l, n, KeyPanels)->last = packed_heads(l, n, ValuePanels)->last = at;
	}
	if (n->op == OpExpertsPacked)
		row_order(l, n)->last = at;
	if (n->nin && n->in[0] && feeder(n->in[0]))
		use_operands(l, feeder(n->in[0]), at);
	if (packs_rows(n->op) && chained(n->in[0]))
		use_operands(l, chained(n->in[0]), at);
	if (n->op == OpGroup)
		for (Node *x = n->body->first; x; x = x->next)
			use_operands(l, x, at);
}

static bool is_used(const Node *n)
{
	return !is_unused(n) || ops[n->op].cls == ClsControl; /* by dims */
}

/* What a body reads of the values around it lives to its end, since it may run again; so does what it yields. */
static void keep_to_end(Lower *l, const Node *n, Block *b, int end)
{
	for (Node *x = b->first; x; x = x->next) {
		for (int i = 0; i < x->nin; i++) {
			Value *root = x->in[i] ? root_of(l->m, x->in[i]) : NULL;
			if (root && !(root->def && root->def->mark > n->mark) && !is_const(root))
				use_value(l, root, end);
		}
		if (x->body)
			keep_to_end(l, n, x->body, end);
		if (x->other)
			keep_to_end(l, n, x->other, end);
	}
	for (int i = 0; i < b->nyield && b->owner == n; i++)
		use_value(l, b->yields[i], end);
}

static void plan_block(Lower *l, Block *b);

static void plan_body(Lower *l, Node *n, Block *b)
{
	plan_block(l, b);
	b->end = l->nplan++;
	keep_to_end(l, n, b, b->end);
}

/* Numbers the nodes in the order of their steps, and finds the last use of every value and of packed rows: what lowering
 * places is freed then. */
static void plan_block(Lower *l, Block *b)
{
	for (Node *n = b->first; n; n = n->next) {
		n->mark = l->nplan++;
		if (!needs_code(l->m, n) || !is_used(n))
			continue;
		if (can_feed(n)) {
			new_home(l, n->out[0])->feeder = n;
			continue;
		}
		if (can_chain(n) && !chained(inner_root(n)->in[0])) {
			new_home(l, n->out[0])->chained = n;
			continue;
		}
		use_operands(l, n, n->mark);
		if (n->body && n->op != OpGroup)
			plan_body(l, n, n->body);
		if (n->other)
			plan_body(l, n, n->other);
	}
}

Node *inner_root(Node *n)
{
	if (n->op != OpGroup)
		return n;
	return is_reduction(n->body->last) ? n->body->last : n->body->first;
}

bool is_lowered_whole(Module *m, const Node *group)
{
	const Block *body = group->body;
	Node *members[MaxMembers];
	int n = 0;

	for (Node *x = body->first; x; x = x->next) {
		if (n == MaxMembers || x->nout != 1)
			return false;
		members[n++] = x;
	}
	if (!n || body->nyield < 1 || body->nyield > MaxResults || body->yields[0]->def != members[n - 1])
		return false;
	for (int i = 1; i < body->nyield; i++)
		if (!is_member(body->yields[i]->def, members, n) || !equal_dims(&body->yields[i]->type, &body->yields[0]->type))
			return false;
	if (is_reduction(members[n - 1]))
		return body->nyield == 1 && reduction_takes(members, n);
	return has_epilogue(members[0]) ? epilogue_takes(m, members, n, true) : ewise_takes(members, n);
}

static void lower_root(Lower *l, Node *root, Node *epilogue, Value *result, Value *home)
{
	switch (ops[root->op].cls) {
	case ClsEwise: lower_ewise(l, root, NULL, result, home); return;
	case ClsReduce: lower_rows(l, root, home); return;
	case ClsIndex: lower_index(l, root, home); return;
	case ClsSource: case ClsMove: lower_move(l, root, home); return;
	case ClsExtern: lower_custom(l, root); return;
	case ClsAttention: lower_attention(l, root, home); return;
	case ClsOpaque:
		if (root->op != OpDft)
			bug("no schedule for %s", ops[root->op].text);
		lower_dft(l, root, home);
		return;
	case ClsWindow:
		if (is_token_window(root))
			lower_token_window(l, root, home);
		else if (root->op == OpWinConv)
			lower_window_conv(l, root, epilogue, result, home);
		else if (root->op == OpGroupConv)
			lower_group_conv(l, root, epilogue, result, home);
		else if (root->op == OpWinograd)
			lower_winograd(l, root, epilogue, result, home);
		else if (root->op == OpPool)
			lower_pool(l, root, home);
		else
			lower_conv(l, root, epilogue, result, home);
		return;
	case ClsGemm:
		if (root->op == OpMatMul)
			lower_matmul(l, root, home);
		else if (root->op == OpLinearBytes)
			lower_linear_bytes(l, root, epilogue, result, home);
		else if (root->op == OpExpertsPacked)
			lower_experts(l, root, epilogue, result, home);
		else if (root->op == OpStrassen)
			lower_strassen(l, root, epilogue, result, home);
		else
			lower_linear(l, root, epilogue, result, home);
		return;
	default: bug("no schedule for %s", ops[root->op].text);
	}
}

/* Does the schedule that lower_root() takes read the knobs of its operator? */
static bool has_choice(const Node *root)
{
	if (root->op == OpGroupConv)
		return is_depthwise(root) && !feeder(root->in[0]);
	return root->op != OpWinConv || is_token_window(root);
}

static Schedule schedule_of(Lower *l, const Node *root)
{
	return has_choice(root) ? choose_schedule(l->m, l->t, root) : usual_schedule(l->t, root->op);
}

static void lower_as(Lower *l, Node *n, Schedule schedule)
{
	Value *v = n->out[0];
	Node *root = inner_root(n);

	l->node = n;
	l->schedule = schedule;
	place_results(l, n);
	if (n->op == OpGroup)
		lower_root(l, root, root->next, n->body->yields[0], v);
	else
		lower_root(l, n, NULL, v, v);
}

static void lower_kernels(Lower *l, Node *n)
{
	Node *root = inner_root(n);
	const int from = l->nstep;

	lower_as(l, n, schedule_of(l, root));
	schedule_steps(l->t, root, from, l->nstep);
}

/* Two linears, by blocks of rows or one after the other.  The second one's schedule is that of the blocks, and decides whether there are any: what
 * it takes is what both take. */
static void lower_chain(Lower *l, Node *first, Node *second)
{
	Node *root = inner_root(second);
	const int from = l->nstep;
	const Schedule schedule = schedule_of(l, root);

	l->schedule = schedule;
	LStmt *skip = lower_row_blocks(l, first, second);
	lower_kernels(l, first);
	lower_as(l, second, schedule);
	end_skip(l, skip);
	schedule_steps(l->t, root, from, l->nstep);
}

static void lower_node(Lower *l, Node *n)
{
	const Node *root = inner_root(n);
	Node *first = root->nin && root->in[0] ? chained(root->in[0]) : NULL;

	if (!needs_code(l->m, n) || !is_used(n) || (n->nout && (feeder(n->out[0]) || chained(n->out[0]))))
		return;
	l->node = n;
	l->at = n->mark;
	if (ops[n->op].cls == ClsControl) {
		lower_control(l, n);
	} else if (first) {
		lower_chain(l, first, n);
	} else {
		lower_kernels(l, n);
	}
	l->at = n->mark;
	release_slots(l);
}

void lower_block(Lower *l, Block *b)
{
	for (Node *n = b->first; n; n = n->next)
		lower_node(l, n);
}

/* Symbols lie in front. */
static const Dim *first_slot(Module *m)
{
	return dim_const(m, (count_cells(m) * 8 + 63) / 64 * 64);
}

/* before: the same without slots that grow, or NULL */
static Lower lower_target(Module *m, LModule *lm, const Target *t, const Lower *before)
{
	Lower l = {.m = m, .lm = lm, .t = t, .bytes = first_slot(m), .worker_bytes = dim_const(m, 0)};

	if (before) {
		l.bytes = place_requests(m, before->nrequest, before->requests, l.bytes);
		l.placed = before->requests;
	}
	l.ready = arena_alloc(m->arena, (size_t)m->nsym + 1);
	clear_scratch(m); /* no value has a home yet */
	open_program(&l);
	for (Node *n = m->main->body.first; n; n = n->next)
		if (n->op == OpConcat && attr_int(n, Attr_state)) { /* in the buffer of its first operand */
			Home *h = new_home(&l, n->out[0]);
			h->buf = l.in[n->in[0]->index];
			h->buf->written = true;
			h->offset = dim_const(m, 0);
		}
	for (int i = 0; i < m->main->body.nyield; i++) { /* pass_expand made them results of nodes of their own, or reshapes of such */
		State state;
		if (state_of_output(m, m->main->body.yields[i], &state))
			continue;
		if (is_packed(m->main->body.yields[i]->type.dtype))
			continue;
		Home *h = new_home(&l, same_elements(m, m->main->body.yields[i]));
		h->buf = l.out[i];
		h->offset = dim_const(m, 0);
	}
	plan_block(&l, &m->main->body);
	keep_packed_outputs(&l);
	l.ends = arena_alloc(m->arena, ((size_t)l.nplan + 1) * sizeof *l.ends);
	unpack_inputs(&l);
	lower_block(&l, &m->main->body);
	pack_outputs(&l);
	close_program(&l);
	return l;
}

enum { MaxSlots = 200 }; /* dim_size() of their sum */

/* l: of each target; `again`: as it was lowered before. */
static void lower_all(Module *m, Lower *l, bool again)
{
	LModule *lm = new_lmodule(m);
	LB checks = open_checks(m, lm);
	const PassOptions *o = pass_options();
	const Dim *bytes = dim_const(m, 0), *worker_bytes = bytes;

	tuning_begins();
	for (int i = 0; i < o->ntarget; i++) {
		l[i] = lower_target(m, lm, o->target[i], again ? &l[i] : NULL);
		bytes = dim_max(m, bytes, l[i].bytes);
		worker_bytes = dim_max(m, worker_bytes, l[i].worker_bytes);
	}
	close_checks(&checks, bytes, worker_bytes);
	m->loops = lm;
}

bool pass_lower(Module *m)
{
	const int ntarget = pass_options()->ntarget;
	Lower *l = arena_alloc(m->arena, (size_t)ntarget * sizeof *l);
	bool again = false;

	lower_all(m, l, false);
	for (int i = 0; i < ntarget; i++)
		again |= dim_size(l[i].bytes) > MaxSlots;
	if (again) {
		report_places_anew();
		lower_all(m, l, true);
	}
	return true;
}
