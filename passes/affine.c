/* affine.c - integer tensors whose elements are affine in their indices: constants, known elements, and arithmetic on such. */
#include "view_walk.h"

enum { MaxAffineElements = 1 << 16 }; /* larger constants are not examined */

static bool affine_const(Module *m, const Const *c, Affine *a)
{
	int64_t n = const_numel(&c->type), extent[MaxRank], stride[MaxRank], s = 1, coef[MaxRank];

	if (c->type.dtype != I64 && c->type.dtype != I32)
		return false;
	if (n < 1 || n > MaxAffineElements)
		return false;
	for (int d = c->type.rank - 1; d >= 0; d--) {
		dim_is_const(c->type.dims[d], &extent[d]);
		stride[d] = s;
		s *= extent[d];
	}
#define AT(i) (c->type.dtype == I64 ? ((const int64_t *)c->data)[i] : ((const int32_t *)c->data)[i])
	for (int d = 0; d < c->type.rank; d++)
		if (__builtin_sub_overflow(extent[d] > 1 ? AT(stride[d]) : AT(0), AT(0), &coef[d]))
			return false;
	for (int64_t i = 0; i < n; i++) {
		__int128 want = AT(0);
		for (int d = 0; d < c->type.rank; d++)
			want += (__int128)(i / stride[d] % extent[d]) * coef[d];
		if (want != AT(i))
			return false;
	}
	a->base = dim_const(m, AT(0));
	a->rank = c->type.rank;
	for (int d = 0; d < a->rank; d++)
		a->coef[d] = dim_const(m, coef[d]);
#undef AT
	return true;
}

/* Known elements that progress evenly along every axis. */
static bool affine_known(Module *m, const Value *v, Affine *a)
{
	int64_t extent[MaxRank], stride[MaxRank], n = 1;

	for (int d = v->type.rank - 1; d >= 0; d--) {
		if (!dim_is_const(v->type.dims[d], &extent[d]) || extent[d] < 1)
			return false;
		stride[d] = n;
		n *= extent[d];
	}
	*a = (Affine){.base = v->known[0], .rank = v->type.rank};
	for (int d = 0; d < a->rank; d++)
		a->coef[d] = extent[d] > 1 ? dim_sub(m, v->known[stride[d]], v->known[0]) : dim_const(m, 0);
	for (int64_t i = 0; i < n; i++) {
		const Dim *want = a->base;
		for (int d = 0; d < a->rank; d++)
			want = dim_add(m, want, dim_mul_const(m, a->coef[d], i / stride[d] % extent[d]));
		if (want != v->known[i])
			return false;
	}
	return true;
}

static void affine_broadcast(Module *m, const Affine *a, const Type *from, int rank, Affine *out)
{
	Affine r = {.base = a->base, .rank = rank};
	for (int d = 0; d < rank; d++) {
		int e = d - (rank - a->rank);
		r.coef[d] = e < 0 || dim_equals(from->dims[e], 1) ? dim_const(m, 0) : a->coef[e];
	}
	*out = r;
}

static bool affine_scalar(const Affine *a)
{
	for (int d = 0; d < a->rank; d++)
		if (!dim_equals(a->coef[d], 0))
			return false;
	return true;
}

static bool affine_binary(ViewWalk *walk, Module *m, const Node *n, Affine *out)
{
	Affine a, b;
	int rank = n->out[0]->type.rank;

	if (!affine_in(walk, m, n->in[0], &a) || !affine_in(walk, m, n->in[1], &b))
		return false;
	affine_broadcast(m, &a, &n->in[0]->type, rank, &a);
	affine_broadcast(m, &b, &n->in[1]->type, rank, &b);
	out->rank = rank;
	if (n->op == OpMul) {
		if (affine_scalar(&a)) {
			Affine t = a;
			a = b;
			b = t;
		}
		if (!affine_scalar(&b))
			return false;
		out->base = dim_mul(m, a.base, b.base);
		for (int d = 0; d < rank; d++)
			out->coef[d] = dim_mul(m, a.coef[d], b.base);
		return true;
	}
	const Dim *(*f)(Module *, const Dim *, const Dim *) = n->op == OpAdd ? dim_add : dim_sub;
	out->base = f(m, a.base, b.base);
	for (int d = 0; d < rank; d++)
		out->coef[d] = f(m, a.coef[d], b.coef[d]);
	return true;
}

/* An index tensor that is a view of an affine root: composes where every axis maps to axes of the root. */
static bool affine_view(ViewWalk *walk, Module *m, Value *v, Affine *out)
{
	View w;
	Affine a;

	view_in(walk, m, v, &w);
	if (w.root == v || !affine_in(walk, m, w.root, &a))
		return false;
	/* strides of the root's axes tell which axis a factor walks along */
	View id;
	view_identity(m, w.root, &id);
	if (!dim_equals(w.base, 0))
		return false;
	out->base = a.base;
	out->rank = w.rank;
	for (int d = 0; d < w.rank; d++) {
		Factor f[MaxFactors];
		int n = merge_factors(m, &w, d, d + 1, f);
		if (n > 1)
			return false;
		out->coef[d] = dim_const(m, 0);
		if (n == 0 || dim_equals(f[0].stride, 0))
			continue;
		int e = 0;
		while (e < id.rank && !(id.first[e + 1] > id.first[e] && id.f[id.first[e]].stride == f[0].stride))
			e++;
		if (e == id.rank || id.f[id.first[e]].extent != f[0].extent)
			return false;
		out->coef[d] = a.coef[e];
	}
	return true;
}

bool affine_in(ViewWalk *walk, Module *m, Value *v, Affine *a)
{
	const Node *n = v->def;

	if (v->konst)
		return affine_const(m, v->konst, a);
	if (!n || --walk->steps < 0)
		return false;
	if (v->known && affine_known(m, v, a))
		return true;
	switch (n->op) {
	case OpIota:
		a->base = attr_dim(m, n, Attr_start);
		a->rank = v->type.rank;
		if (a->rank)
			a->coef[0] = attr_dim(m, n, Attr_step);
		return a->rank <= 1;
	case OpAdd: case OpSub: case OpMul: return affine_binary(walk, m, n, a);
	case OpCast:
		return dtypes[v->type.dtype].cls == ClassSigned && dtypes[n->in[0]->type.dtype].cls == ClassSigned &&
		       dtypes[v->type.dtype].bytes >= 4 && affine_in(walk, m, n->in[0], a);
	case OpReshape: case OpExpand: case OpTranspose: case OpSlice: case OpView: return affine_view(walk, m, v, a);
	default: return false;
	}
}

bool affine_of(Module *m, Value *v, Affine *a)
{
	ViewWalk walk = {.steps = MaxSteps};
	return affine_in(&walk, m, v, a);
}

bool affine_range(Module *m, const Affine *a, const Type *t, const Dim **lo, const Dim **hi)
{
	*lo = *hi = a->base;
	for (int d = 0; d < a->rank; d++) {
		int64_t least, most;
		const Dim *span = dim_mul(m, a->coef[d], dim_sub(m, t->dims[d], dim_const(m, 1)));
		dim_range(a->coef[d], &least, &most);
		if (least >= 0)
			*hi = dim_add(m, *hi, span);
		else if (most <= 0)
			*lo = dim_add(m, *lo, span);
		else
			return false;
	}
	return true;
}
