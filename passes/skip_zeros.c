/* skip_zeros.c - which linears of pass layout meet only what is left of their weights (ir/sparse.h): measured, not guessed, where a sample
 * of the weights has many zeros. */
#include "pass.h"
#include "../ir/sparse.h"

#include <math.h>

enum {
	LeastSparse = 1 << 14, MostSparse = 1 << 27, /* elements: the zeros of smaller weights, and of larger ones, are not counted */
	Samples = 4096,
	FewSamples = 32, /* of larger weights: each may bring the megabytes around it from the disk, which nobody reads */
	ZerosPerCent = 25, /* of the samples; below, nobody counts */
	LivePerCent = 65, /* of the pieces of 16 columns; with more, one row by weights in a cache would take longer */
	ManyRows = 64, ManyLivePerCent = 85, /* rows that share what is read of the weights */
	/* Columns apart, for one row: */
	LeastApart = 1 << 20, /* elements: less comes as fast from the second cache */
	ApartPerCent = 15 /* of the elements, filled up with zeros; from the third cache more would take as long as all of them */
};

bool sample_of(const Const *c, uint64_t i, double *x)
{
	enum { Scatter = 0x3779b1 }; /* odd, with no regard for rows */
	return scalar_as_real(scalar_at(c->type.dtype, c->data, (int64_t)(i * Scatter % (uint64_t)const_numel(&c->type))), x);
}

/* The largest constant that w is computed from, of each node's operands; NULL: there is none.  *share: of w, what is not added by pads of zeros. */
static const Const *largest_source(const Value *w, double *share)
{
	*share = 1;
	while (w && !w->konst) {
		const Node *n = w->def;
		if (n && n->op == OpPad && !attr_scalar(n, Attr_value).u)
			*share *= (double)const_numel(&n->in[0]->type) / (double)const_numel(&w->type);
		w = NULL;
		for (int i = 0; n && i < n->nin; i++)
			if (n->in[i] && (!w || const_numel(&n->in[i]->type) > const_numel(&w->type)))
				w = n->in[i];
	}
	return w ? w->konst : NULL;
}

/* Are many elements of w 0?  A guess from some of those that it is computed from. */
static bool may_be_sparse(const Value *w)
{
	double share;
	const Const *source = largest_source(w, &share);
	const uint64_t numel = source && source->data ? (uint64_t)const_numel(&source->type) : 0;
	const uint64_t samples = const_numel(&w->type) > MostSparse ? FewSamples : Samples;
	uint64_t zeros = 0;
	double x;

	for (uint64_t i = 0; i < samples && numel; i++)
		zeros += sample_of(source, i, &x) && x == 0;
	const double live = 1 - (double)zeros / (double)samples;
	return !source || 100 * (1 - live * share) >= ZerosPerCent;
}

static bool is_one_row(const Type *x)
{
	for (int d = 0; d + 1 < x->rank; d++)
		if (!dim_equals(x->dims[d], 1))
			return false;
	return true;
}

static bool has_many_rows(const Type *x)
{
	int64_t rows = 1, extent;
	for (int d = 0; d + 1 < x->rank && rows < ManyRows; d++)
		if (!dim_is_const(x->dims[d], &extent) || __builtin_mul_overflow(rows, extent, &rows))
			return false;
	return rows >= ManyRows;
}

typedef struct Left { /* of weights */
	int64_t entries;
	bool apart;
} Left;

/* Why the linear n meets all of its weights w, of which many are 0; NULL: it need not. */
static const char *why_dense(Module *m, const Node *n, Value *w, int parts, double bytes, Left *left)
{
	const Type *x = &n->in[0]->type;
	Tensor t;

	if (w->type.dtype != F32)
		return "the weights are stored in a shorter type";
	if (const_numel(&w->type) < LeastSparse)
		return "the weights are small";
	if (const_numel(&w->type) > MostSparse)
		return "the weights are so large that counting them takes too long";
	if (!dim_is_const(x->dims[x->rank - 1], NULL))
		return "the depth is a symbol";
	if (look_at_const(m, w, &t))
		return "the weights cannot be computed, or only with much work";
	const int64_t all = sparse_groups(t.dims[1], parts) * t.dims[0];
	left->entries = sparse_entries(m->arena, &t, parts, false);
	const double live = 100.0 * (double)left->entries / (double)all, most = fmin(has_many_rows(x) ? ManyLivePerCent : LivePerCent, 100.0 * bytes / dtypes[F32].bytes);
	if (live > most && bytes == dtypes[F32].bytes && tensor_numel(&t) >= LeastApart) {
		left->entries = sparse_entries(m->arena, &t, parts, true);
		left->apart = left->entries * 100 <= all * ApartPerCent;
	}
	free_tensor(&t);
	if (live <= most || (left->apart && is_one_row(x)))
		return NULL;
	return arena_printf(m->arena, "of the pieces of 16 columns %.0f %% are not 0 throughout%s", live,
	                    left->apart ? ", and columns apart pay for one row only (-D fixes it)" : "");
}

Value *sparse_linear(Module *m, Node *n, Node *outer, Value *x, int inner, Value *w, int parts, double bytes)
{
	Left left = {0};

	if (!is_const(w) || const_numel(&w->type) == 0 || !may_be_sparse(w))
		return NULL; /* few zeros are nothing to report */
	const char *why = why_dense(m, n, w, parts, bytes, &left);
	if (why)
		report_miss("sparse", n->loc, why);
	if (why || !allow("sparse"))
		return NULL;
	report_match("sparse", n->loc);
	const Attr attrs[] = {mk_int(Attr_parts, parts), mk_int(Attr_apart, left.apart), mk_int(Attr_inner, inner)};
	const Dim *entries = dim_const(m, left.entries);
	const Type values = {.dtype = w->type.dtype, .rank = 2, .dims = {entries, dim_const(m, SparseWidth)}};
	const Type places = {.dtype = I32, .rank = 1, .dims = {sparse_index_length(m, w->type.dims[1], parts, left.apart, entries)}};
	Value *in[] = {x, build(m, outer->block, outer, OpSparseWeights, n->loc, 1, &w, 2, attrs, &values), n->in[2],
	               build(m, outer->block, outer, OpSparseIndex, n->loc, 1, &w, 2, attrs, &places)};
	return build(m, n->block, n, OpSparse, n->loc, 4, in, 3, attrs, &n->out[0]->type);
}
