/* ir.c - the tables of ops, attributes and dtypes, and the builders.
 *
 * Invariants that every function here keeps: a Value's uses are exactly the operands and yields that name it, nodes in
 * group bodies included; a node's attributes are sorted by id and none equals its default; constants have names of
 * their own, and so do parameters; Value.konst_expr is what is_const() promises.
 */
#include "ir.h"

#include "shape.h"

#include <math.h>
#include <string.h>

/* ---- tables ----------------------------------------------------------------------------------------------------- */

#define DEFAULT_Int(x) .number = x
#define DEFAULT_Float(x) .number = x
#define DEFAULT_Scalar(x) .number = x
#define DEFAULT_Dim(x) .number = x
#define DEFAULT_Ints(x) .number = x
#define DEFAULT_Dims(x) .number = x
#define DEFAULT_Op(x) .number = Op##x
#define DEFAULT_Word(x) .words = x
#define DEFAULT_Text(x) .words = x
const AttrInfo attr_infos[NAttrs] = {
#define ATTR(name, kind, dflt, meaning) [Attr_##name] = {#name, Attr##kind, DEFAULT_##kind(dflt), .help = meaning},
#include "attrs.def"
#undef ATTR
};

/* Both compilers fold __builtin_strncmp of literals in a static initializer. */
#define IS_OPT(x) (__builtin_strncmp(#x, "OPT_", 4) == 0)
#define NAME(x) (&#x[IS_OPT(x) ? 4 : 0])
#define IS_GIVEN(x) (__builtin_strncmp(#x, "given", 5) == 0)
#define IN0 0, {NULL}, {false}
#define IN1(a) 1, {NAME(a)}, {IS_OPT(a)}
#define IN2(a, b) 2, {NAME(a), NAME(b)}, {IS_OPT(a), IS_OPT(b)}
#define IN3(a, b, c) 3, {NAME(a), NAME(b), NAME(c)}, {IS_OPT(a), IS_OPT(b), IS_OPT(c)}
#define IN4(a, b, c, d) 4, {NAME(a), NAME(b), NAME(c), NAME(d)}, {IS_OPT(a), IS_OPT(b), IS_OPT(c), IS_OPT(d)}
#define VARIADIC(a) -1, {NAME(a)}, {false}
#define A(name) ((uint64_t)1 << Attr_##name)
#define COMMUTES Commutes
#define OP(name, text, in, cls, takes, code, shape, attrs, flags, meaning)                                             \
	[Op##name] = {text, in, Cls##cls, Types##takes, Code##code, shape_##shape, IS_GIVEN(shape), attrs, flags},
const OpInfo ops[NOps] = {
#include "ops.def"
};
#undef OP
#undef A
_Static_assert(NAttrs <= 64, "OpInfo.attrs has one bit per attribute");

bool find_op(const char *text, Op *op)
{
	for (int i = 0; i < NOps; i++) {
		if (!strcmp(ops[i].text, text)) {
			*op = i;
			return true;
		}
	}
	return false;
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

enum { MaxName = 200 };

typedef struct NameEntry {
	const char *text;
	int next; /* suffix to try first for the next value of this name */
} NameEntry;

struct NameSet {
	Table table;
	const char *fresh; /* stem of the values that come without a name */
};

static bool same_name(const void *item, const void *key)
{
	return !strcmp(((const NameEntry *)item)->text, key);
}

static NameEntry *find_entry(const struct NameSet *s, const char *text)
{
	return table_find(&s->table, table_hash(text, strlen(text), 0), same_name, text);
}

static const char *add_name(Module *m, struct NameSet *s, const char *text)
{
	NameEntry *e = arena_alloc(m->arena, sizeof *e);
	*e = (NameEntry){text, 1};
	table_add(m->arena, &s->table, table_hash(text, strlen(text), 0), e);
	return text;
}

static bool is_word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

/* A word that does not start like a number. */
static char *clean_name(Module *m, const char *name)
{
	bool numeric = (*name >= '0' && *name <= '9') || *name == '.';
	char *text = arena_printf(m->arena, "%s%.*s", numeric ? "_" : "", MaxName, name);
	for (char *c = text; *c; c++)
		if (!is_word_char(*c))
			*c = '_';
	return text;
}

bool is_c_name(const char *name)
{
	bool digit = *name >= '0' && *name <= '9';
	for (const char *c = name; *c; c++)
		if (!is_word_char(*c) || *c == '.')
			return false;
	return *name && !digit && strlen(name) <= MaxName;
}

static const char *unique_name(Module *m, struct NameSet *s, const char *name)
{
	const char *text = name && *name ? clean_name(m, name) : s->fresh;
	NameEntry *taken = find_entry(s, text);
	if (!taken)
		return add_name(m, s, text);
	char longer[2 * MaxName];
	do
		snprintf(longer, sizeof longer, "%s_%d", text, taken->next++);
	while (find_entry(s, longer));
	return add_name(m, s, arena_strdup(m->arena, longer));
}

static struct NameSet *new_names(Module *m, const char *fresh)
{
	struct NameSet *s = arena_alloc(m->arena, sizeof *s);
	s->fresh = fresh;
	return s;
}

/* ---- modules, parameters, constants ----------------------------------------------------------------------------- */

Module *new_module(const char *name, const char *path)
{
	Arena *arena = new_arena();
	Module *m = arena_alloc(arena, sizeof *m);
	m->arena = arena;
	m->name = arena_strdup(arena, name);
	m->path = path ? arena_strdup(arena, path) : NULL;
	m->stage = "import";
	m->const_names = new_names(m, "c");
	m->param_names = new_names(m, "arg");
	m->main = arena_alloc(arena, sizeof *m->main);
	m->main->name = "main";
	return m;
}

void free_module(Module *m)
{
	if (m)
		free_arena(m->arena);
}

const Loc *new_loc(Module *m, Loc loc)
{
	Loc *l = arena_alloc(m->arena, sizeof *l);
	*l = loc;
	return l;
}

/* One more element than count, in new storage. */
static void *append(Module *m, const void *items, int count, size_t item_bytes)
{
	char *longer = arena_alloc(m->arena, ((size_t)count + 1) * item_bytes);
	if (count)
		memcpy(longer, items, (size_t)count * item_bytes);
	return longer;
}

/* Lists without a capacity field have room for the next power of two of their count. */
static void *append_pow2(Module *m, void *items, int count, size_t item_bytes)
{
	if (count & (count - 1))
		return items;
	char *longer = arena_alloc(m->arena, (count ? 2 * (size_t)count : 1) * item_bytes);
	if (count)
		memcpy(longer, items, (size_t)count * item_bytes);
	return longer;
}

/* One more value of a list without a capacity field. */
static Value *append_value(Module *m, Value ***list, int *count, Type type)
{
	Value *v = arena_alloc(m->arena, sizeof *v);
	v->type = type;
	v->index = *count;
	*list = append_pow2(m, *list, *count, sizeof **list);
	(*list)[(*count)++] = v;
	return v;
}

Value *new_param(Module *m, const char *name, Type type)
{
	Value *v = append_value(m, &m->main->params, &m->main->nparam, type);
	v->name = unique_name(m, m->param_names, name);
	return v;
}

Const *new_const(Module *m, const char *name, Type type, const void *data, size_t bytes)
{
	Const *c = arena_alloc(m->arena, sizeof *c);
	*c = (Const){.name = unique_name(m, m->const_names, name), .type = type, .data = data, .bytes = bytes};
	c->value = arena_alloc(m->arena, sizeof *c->value);
	c->value->type = type;
	c->value->konst = c;
	c->value->konst_expr = true;
	m->const_bytes += (int64_t)bytes;
	PUSH(m->arena, m->consts, m->nconst, m->capconst, c);
	return c;
}

Const *const_i64(Module *m, int n, const int64_t *values)
{
	size_t bytes = (size_t)n * sizeof *values;
	int64_t *data = arena_alloc(m->arena, bytes);
	if (n)
		memcpy(data, values, bytes);
	return new_const(m, NULL, (Type){I64, 1, {dim_const(m, n)}}, data, bytes);
}

Const *const_scalar(Module *m, Scalar s)
{
	size_t bytes = (size_t)dtypes[s.dtype].bytes;
	void *data = arena_alloc(m->arena, bytes);
	put_scalar(data, s);
	return new_const(m, NULL, (Type){s.dtype, 0, {NULL}}, data, bytes);
}

enum { MaxSplat = 64 };

bool value_as_scalar(const Value *v, Scalar *s)
{
	const Const *c = v->konst;
	if (!c)
		return false;
	size_t step = (size_t)dtypes[c->type.dtype].bytes;
	int64_t n = const_numel(&c->type);
	if (n < 1 || n > MaxSplat || c->bytes < (size_t)n * step)
		return false;
	for (int64_t i = 1; i < n; i++)
		if (memcmp(c->data, (const char *)c->data + (size_t)i * step, step))
			return false;
	*s = scalar_at(c->type.dtype, c->data, 0);
	return true;
}

bool value_as_real(const Value *v, double *x)
{
	Scalar s;
	return value_as_scalar(v, &s) && scalar_as_real(s, x);
}

/* ---- uses and constness ----------------------------------------------------------------------------------------- */

static int *place_of(Use u)
{
	return u.node ? &u.node->in_use[u.index] : &u.block->yield_use[u.index];
}

/* For state_append(), which must not walk the uses of every value. */
static void mark_appended(const Node *n)
{
	if (n->op == OpConcat && n->nin > 0 && n->in[0] && attr_int(n, Attr_state))
		n->in[0]->appended = true;
}

static void add_use(Module *m, Value *v, Use use)
{
	*place_of(use) = v->nuse;
	PUSH(m->arena, v->uses, v->nuse, v->capuse, use);
	if (use.node && use.index == 0)
		mark_appended(use.node);
}

/* The last use takes its place. */
static void drop_use(Value *v, Use use)
{
	int at = *place_of(use);
	const Use *u = at >= 0 && at < v->nuse ? &v->uses[at] : NULL;
	if (!u || u->node != use.node || u->block != use.block || u->index != use.index)
		bug("a use is missing from its value");
	v->uses[at] = v->uses[--v->nuse];
	*place_of(v->uses[at]) = at;
}

static Use use_of(Node *n, int i)
{
	return (Use){n, NULL, i};
}

static Use yield_of(Block *b, int i)
{
	return (Use){NULL, b, i};
}

static bool are_const(int n, const Dim *const *dims)
{
	for (int i = 0; i < n; i++)
		if (!dim_is_const(dims[i], NULL))
			return false;
	return true;
}

enum { GrowFreely = 32 << 20 }; /* bytes */

static double bytes_of(const Value *v)
{
	double bytes = dtypes[v->type.dtype].bytes;
	for (int d = 0; d < v->type.rank; d++) {
		int64_t extent = 0;
		dim_is_const(v->type.dims[d], &extent);
		bytes *= (double)extent;
	}
	return bytes;
}

/* What makes of a constant one that is larger by a factor that we know: packing, which pads, sums of weights, a cast. */
static bool grows_little(Op op)
{
	return op == OpPack || op == OpWinogradWeights || op == OpStrassenWeights || op == OpSparseWeights || op == OpSparseIndex || op == OpCast;
}

/* A few bytes of a file can ask for a constant of gigabytes: what is large, and larger than what it is computed from, is left
 * to the run. */
static bool grows(const Node *n)
{
	double from = GrowFreely, to = 0;
	for (int i = 0; i < n->nin; i++)
		from += n->in[i] ? bytes_of(n->in[i]) : 0;
	for (int i = 0; i < n->nout; i++)
		to += bytes_of(n->out[i]);
	return !grows_little(n->op) && to > from;
}

static bool computes_const(const Node *n)
{
	if (ops[n->op].cls == ClsGroup || ops[n->op].cls == ClsExtern || ops[n->op].cls == ClsControl)
		return false;
	for (int i = 0; i < n->nin; i++)
		if (n->in[i] && !n->in[i]->konst_expr)
			return false;
	for (int i = 0; i < n->nattr; i++) {
		const Attr *a = &n->attrs[i];
		if ((a->dim && !dim_is_const(a->dim, NULL)) || (a->dims && !are_const(a->n, a->dims)))
			return false;
	}
	for (int i = 0; i < n->nout; i++)
		if (!are_const(n->out[i]->type.rank, n->out[i]->type.dims))
			return false;
	return !grows(n);
}

/* Whether the results of n changed. */
static bool update_results(Node *n)
{
	bool now = computes_const(n), changed = false;
	for (int i = 0; i < n->nout; i++) {
		changed |= n->out[i]->konst_expr != now;
		n->out[i]->konst_expr = now;
	}
	return changed;
}

/* Carries a change to all that is computed from n.  Ends because the graph has no cycles. */
static void update_const(Module *m, Node *n)
{
	int count = 0, cap = 0;
	Node **work = NULL;
	if (!update_results(n))
		return;
	PUSH(m->arena, work, count, cap, n);
	while (count) {
		Node *from = work[--count];
		for (int i = 0; i < from->nout; i++) {
			for (int j = 0; j < from->out[i]->nuse; j++) {
				Node *user = from->out[i]->uses[j].node;
				if (user && update_results(user))
					PUSH(m->arena, work, count, cap, user);
			}
		}
	}
}

bool is_const(const Value *v)
{
	return v->konst_expr;
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
	n->in = append(m, n->in, n->nin, sizeof *n->in);
	n->in_use = append(m, n->in_use, n->nin, sizeof *n->in_use);
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
	b->yields = append_pow2(m, b->yields, b->nyield, sizeof *b->yields);
	b->yield_use = append_pow2(m, b->yield_use, b->nyield, sizeof *b->yield_use);
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

/* Use number `from` of a list is number `to` from here on. */
static void move_use(Value *v, Use from, Use to)
{
	int at = *place_of(from);
	if (v)
		v->uses[at] = to;
	*place_of(to) = at;
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

Node *first_node(const Module *m)
{
	return m->main->body.first;
}

Node *next_node(const Node *n)
{
	if (n->op != OpGroup && n->body && n->body->first)
		return n->body->first;
	if (n->other && n->other->first)
		return n->other->first;
	while (!n->next) {
		const Block *b = n->block;
		if (!b->owner)
			return NULL;
		n = b->owner;
		if (b == n->body && n->other && n->other->first)
			return n->other->first;
	}
	return n->next;
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

/* ---- changes ----------------------------------------------------------------------------------------------------- */

void move_before(Node *n, Block *b, Node *before)
{
	if (n == before)
		return;
	unlink_node(n);
	link_node(n, b, before);
}

/* ---- attributes ------------------------------------------------------------------------------------------------- */

static bool is_default(const Attr *a)
{
	const AttrInfo *info = &attr_infos[a->id];
	switch (info->kind) {
	case AttrInt:
	case AttrOp:
	case AttrWord: return a->i == (int64_t)info->number;
	case AttrFloat: return !memcmp(&a->f, &info->number, sizeof a->f);
	case AttrScalar: return same_scalar(a->s, scalar_of_real(a->s.dtype, info->number));
	case AttrDim: return dim_equals(a->dim, (int64_t)info->number);
	case AttrInts:
	case AttrDims: return a->n == 0;
	case AttrText: return !strcmp(a->text, info->words);
	}
	bug("attribute of kind %d", info->kind);
}

static void remove_attr(Node *n, int at)
{
	memmove(&n->attrs[at], &n->attrs[at + 1], (size_t)(--n->nattr - at) * sizeof *n->attrs);
}

void set_attr(Module *m, Node *n, Attr a)
{
	int at = 0;
	while (at < n->nattr && n->attrs[at].id < a.id)
		at++;
	bool present = at < n->nattr && n->attrs[at].id == a.id;
	if (is_default(&a)) {
		if (present)
			remove_attr(n, at);
	} else {
		if (!present) {
			n->attrs = append(m, n->attrs, n->nattr, sizeof *n->attrs);
			memmove(&n->attrs[at + 1], &n->attrs[at], (size_t)(n->nattr++ - at) * sizeof *n->attrs);
		}
		n->attrs[at] = a;
		mark_appended(n);
	}
	update_const(m, n);
}

const Attr *find_attr(const Node *n, AttrId id)
{
	for (int i = 0; i < n->nattr; i++)
		if (n->attrs[i].id == id)
			return &n->attrs[i];
	return NULL;
}

int64_t attr_int(const Node *n, AttrId id)
{
	const Attr *a = find_attr(n, id);
	return a ? a->i : (int64_t)attr_infos[id].number;
}

double attr_float(const Node *n, AttrId id)
{
	const Attr *a = find_attr(n, id);
	return a ? a->f : attr_infos[id].number;
}

Scalar attr_scalar(const Node *n, AttrId id)
{
	const Attr *a = find_attr(n, id);
	return a ? a->s : scalar_of_real(n->in[0]->type.dtype, attr_infos[id].number);
}

int attr_ints(const Node *n, AttrId id, const int64_t **ints)
{
	const Attr *a = find_attr(n, id);
	*ints = a ? a->ints : NULL;
	return a ? a->n : 0;
}

int64_t attr_int_at(const Node *n, AttrId id, int i, int64_t otherwise)
{
	const int64_t *v;
	return attr_ints(n, id, &v) > i ? v[i] : otherwise;
}

const Dim *attr_dim(Module *m, const Node *n, AttrId id)
{
	const Attr *a = find_attr(n, id);
	return a ? a->dim : dim_const(m, (int64_t)attr_infos[id].number);
}

int attr_dims(const Node *n, AttrId id, const Dim *const **dims)
{
	const Attr *a = find_attr(n, id);
	*dims = a ? a->dims : NULL;
	return a ? a->n : 0;
}

const char *attr_text(const Node *n, AttrId id)
{
	const Attr *a = find_attr(n, id);
	return a ? a->text : attr_infos[id].words;
}

Attr mk_int(AttrId id, int64_t i)
{
	return (Attr){.id = id, .i = i};
}

Attr mk_float(AttrId id, double f)
{
	return (Attr){.id = id, .f = f};
}

Attr mk_scalar(AttrId id, Scalar s)
{
	return (Attr){.id = id, .s = s};
}

Attr mk_number(AttrId id, DType dtype, double x)
{
	switch (attr_infos[id].kind) {
	case AttrInt: return mk_int(id, (int64_t)x);
	case AttrFloat: return mk_float(id, x);
	case AttrScalar: return mk_scalar(id, scalar_of_real(dtype, x));
	default: bug("attribute %s is not a number", attr_infos[id].text);
	}
}

bool same_attr(const Attr *a, const Attr *b)
{
	if (a->id != b->id || a->i != b->i || memcmp(&a->f, &b->f, sizeof a->f) || !same_scalar(a->s, b->s) || a->n != b->n
	    || a->dim != b->dim)
		return false;
	if (a->text && strcmp(a->text, b->text))
		return false;
	if (a->ints && memcmp(a->ints, b->ints, (size_t)a->n * sizeof *a->ints))
		return false;
	return !a->dims || !memcmp(a->dims, b->dims, (size_t)a->n * sizeof *a->dims);
}

static const void *copy(Module *m, int n, const void *items, size_t item_bytes)
{
	void *to = arena_alloc(m->arena, (size_t)n * item_bytes);
	return n ? memcpy(to, items, (size_t)n * item_bytes) : to;
}

Attr mk_ints(Module *m, AttrId id, int n, const int64_t *ints)
{
	return (Attr){.id = id, .n = n, .ints = copy(m, n, ints, sizeof *ints)};
}

Attr mk_dim(AttrId id, const Dim *dim)
{
	return (Attr){.id = id, .dim = dim};
}

void attr_each_dim(const Attr *a, void (*visit)(void *ctx, const Dim *), void *ctx)
{
	if (a->dim)
		visit(ctx, a->dim);
	for (int i = 0; a->dims && i < a->n; i++)
		visit(ctx, a->dims[i]);
}

typedef struct Walk {
	DimVisit *visit;
	void *ctx;
	const Node *n;
	const Attr *a;
} Walk;

static void visit_dim(void *walk, const Dim *d)
{
	const Walk *w = walk;
	w->visit(w->ctx, d, w->n, w->a);
}

static void walk_block(Walk *w, const Block *b)
{
	w->n = NULL;
	w->a = NULL;
	for (int i = 0; i < b->nparam; i++)
		type_each_dim(&b->params[i]->type, visit_dim, w);
	for (int i = 0; i < b->ncheck; i++) {
		visit_dim(w, b->checks[i].a);
		visit_dim(w, b->checks[i].b);
	}
	for (const Node *n = b->first; n; n = n->next) {
		w->n = n;
		for (int i = 0; i < n->nout; i++)
			type_each_dim(&n->out[i]->type, visit_dim, w);
		for (int i = 0; i < n->nattr; i++) {
			w->a = &n->attrs[i];
			attr_each_dim(w->a, visit_dim, w);
		}
		w->a = NULL;
		if (n->body)
			walk_block(w, n->body);
		if (n->other)
			walk_block(w, n->other);
	}
}

void module_each_dim(const Module *m, DimVisit *visit, void *ctx)
{
	Walk w = {.visit = visit, .ctx = ctx};
	for (int i = 0; i < m->nsym; i++) {
		const Sym *s = m->syms[i];
		const Dim *of[] = {s->is, s->times, s->most};
		for (int k = 0; k < 3; k++)
			if (of[k])
				visit_dim(&w, of[k]);
	}
	for (int i = 0; i < m->main->nparam; i++)
		type_each_dim(&m->main->params[i]->type, visit_dim, &w);
	walk_block(&w, &m->main->body);
}

Attr mk_dims(Module *m, AttrId id, int n, const Dim *const *dims)
{
	return (Attr){.id = id, .n = n, .dims = copy(m, n, dims, sizeof *dims)};
}

Attr mk_text(Module *m, AttrId id, const char *text)
{
	return (Attr){.id = id, .text = arena_strdup(m->arena, text)};
}
