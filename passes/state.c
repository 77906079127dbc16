/* state.c - the pass state: finds the appends behind the input-output pairs that --state names.
 *
 *   OUTPUT=INPUT,cap=N   the output is the input with rows appended along one axis (a KV cache), or such a tensor without its first
 *                        rows (the sliding window of a causal convolution)
 *   auto,cap=N           every pair of that form
 * The concat behind the output gets the attribute state=N; see ir/state.c.
 */
#include "pass.h"
#include <stdlib.h>
#include <string.h>

static int find_output(const Module *m, const char *name, size_t n)
{
	for (int i = 0; i < m->main->body.nyield; i++)
		if (strlen(m->main->results[i]) == n && !strncmp(m->main->results[i], name, n))
			return i;
	return -1;
}

static const Value *find_input(const Module *m, const char *name, size_t n)
{
	for (int i = 0; i < m->main->nparam; i++)
		if (strlen(m->main->params[i]->name) == n && !strncmp(m->main->params[i]->name, name, n))
			return m->main->params[i];
	return NULL;
}

const Value *appended_input(const Node *n)
{
	const Value *p = n->op == OpConcat ? n->in[0] : NULL;

	if (!p || p->def || p->konst)
		return NULL;
	for (int i = 1; i < n->nin; i++)
		if (n->in[i] == p)
			return NULL;
	return p;
}

/* The concat of `input` (NULL: any input) with new rows that output v is, or is a tail of. */
static Node *find_append(Module *m, Value *v, const Value *input)
{
	View w;
	State s;

	view_of(m, v, &w);
	Node *n = w.root->def;
	const Value *p = n && n->nin > 1 ? appended_input(n) : NULL;
	if (!p || (input && p != input) || state_append(p))
		return NULL;
	set_attr(m, n, mk_int(Attr_state, 1)); /* as if, to see the output as state */
	bool fits = state_of_output(m, v, &s);
	set_attr(m, n, mk_int(Attr_state, 0));
	return fits && !is_packed(p->type.dtype) ? n : NULL;
}

static bool share(Module *m, const char *option, int output, const Value *input, int64_t cap)
{
	Node *n = find_append(m, m->main->body.yields[output], input);

	if (input && is_packed(input->type.dtype))
		refuse_at(&(Loc){.file = m->path}, "--state %s: not supported: elements of %s, which are packed", option,
		         dtypes[input->type.dtype].text);
	if (!n) {
		if (input)
			fatal_at(&(Loc){.file = m->path}, "--state %s: output '%s' is not input '%s' with rows appended", option,
			         m->main->results[output], input->name);
		return false;
	}
	set_attr(m, n, mk_int(Attr_state, cap));
	report_match("state", n->loc);
	return true;
}

static void share_option(Module *m, const char *option)
{
	const Loc here = {.file = m->path};
	const char *comma = strrchr(option, ','), *eq = strchr(option, '=');
	char *end = NULL;
	int64_t cap = comma && !strncmp(comma, ",cap=", 5) ? strtoll(comma + 5, &end, 10) : 0;

	if (cap < 1 || cap > INT32_MAX || *end)
		fatal_at(&here, "--state %s: expected OUTPUT=INPUT,cap=N or auto,cap=N with N >= 1", option);
	if (!strncmp(option, "auto,", 5)) {
		bool any = false;
		for (int i = 0; i < m->main->body.nyield; i++)
			any |= share(m, option, i, NULL, cap);
		if (!any)
			warn_at(&here, "--state %s: no output is an input with rows appended", option);
		return;
	}
	if (eq > comma)
		fatal_at(&here, "--state %s: expected OUTPUT=INPUT,cap=N", option);
	int output = find_output(m, option, eq - option);
	const Value *input = find_input(m, eq + 1, comma - eq - 1);
	if (output < 0 || !input)
		fatal_at(&here, "--state %s: the model has no such %s", option, output < 0 ? "output" : "input");
	share(m, option, output, input, cap);
}

bool pass_state(Module *m)
{
	const PassOptions *o = pass_options();

	for (int i = 0; i < o->nstate; i++)
		share_option(m, o->state[i]);
	return o->nstate > 0;
}
