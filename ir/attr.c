/* attr.c - the attributes of a node: sorted by id, and none that equals its default. */
#include "graph.h"

#include <string.h>

static bool is_default(const Attr *a)
{
	const AttrInfo *info = &attr_infos[a->id];
	switch (info->kind) {
	case AttrFlag:
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
			n->attrs = copy_longer(m, n->attrs, n->nattr, sizeof *n->attrs);
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
	case AttrFlag: case AttrInt: return mk_int(id, (int64_t)x);
	case AttrFloat: return mk_float(id, x);
	case AttrScalar: return mk_scalar(id, scalar_of_real(dtype, x));
	default: bug("attribute %s is not a number", attr_infos[id].text);
	}
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

Attr mk_dims(Module *m, AttrId id, int n, const Dim *const *dims)
{
	return (Attr){.id = id, .n = n, .dims = copy(m, n, dims, sizeof *dims)};
}

Attr mk_text(Module *m, AttrId id, const char *text)
{
	return (Attr){.id = id, .text = arena_strdup(m->arena, text)};
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

void attr_each_dim(const Attr *a, void (*visit)(void *ctx, const Dim *), void *ctx)
{
	if (a->dim)
		visit(ctx, a->dim);
	for (int i = 0; a->dims && i < a->n; i++)
		visit(ctx, a->dims[i]);
}
