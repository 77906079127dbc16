/* fuse_winconv.c - recognises window contractions: light and dynamic convolution in every spelling.
 *
 * A Contraction is out[i] = sum over k of x[view(i, k)] * w[view(i, k)].  It is read off
 *   taps:     mul(x0, w0) + mul(x1, w1) + ...  where operand k is a view whose base moves by a fixed step with k;
 *   unfold:   matmul or mul-and-sum of views with an explicit k axis;
 *   conv:     a grouped convolution with one channel a group.
 * It is a winconv when k and one output axis t walk along the same axis of the (padded) input with the same stride.  Then heads, head
 * map, padding and layout are read off the strides; nothing depends on how the exporter spelled them.
 */
#include "idioms.h"

typedef struct Contraction {
	View x, w; /* their last axis is k */
	Type out; /* of rank x.rank - 1 */
	const Dim *taps;
	Value *padded; /* zero-padded source of x, or NULL */
	const Dim *pad_left; /* zeros before the first element along the window's axis, beyond those of `padded` */
	bool conv; /* a node that pads by itself: reads outside are zero */
	bool likely; /* its form says window: a miss is worth a line in the report */
	const Dim *length; /* conv: of the axis beyond whose ends it reads zeros; else NULL */
} Contraction;

enum { MaxTaps = 1024 };

/* ---- taps -------------------------------------------------------------------------------------------------------------- */

static bool is_add(const Node *n)
{
	return n && n->op == OpAdd;
}

/* The products that `sum` adds up, from left to right; -1: something else is added, or there are too many. */
static int collect_products(const Node *sum, Node **products)
{
	const Type *type = &sum->out[0]->type;
	Value *left[2 * MaxTaps + 1]; /* of the sum, the next one last */
	int nleft = 0, n = 0;

	left[nleft++] = sum->in[1];
	left[nleft++] = sum->in[0];
	while (nleft) {
		Value *v = left[--nleft];
		Node *d = v->def;
		double start;
		if (uniform_value(v, &start) && start == 0) /* what the sum begins with */
			continue;
		if (!d || !type_equal(&v->type, type) || v->nuse != 1)
			return -1;
		if (is_add(d) && nleft <= 2 * MaxTaps - 1) {
			left[nleft++] = d->in[1];
			left[nleft++] = d->in[0];
		} else if (d->op == OpMul && n < MaxTaps) {
			products[n++] = d;
		} else {
			return -1;
		}
	}
	return n;
}

/* Operand i of every product as a view, with a k axis: the bases must be in arithmetic progression. */
static bool tap_operand(Module *m, Node *const *p, const int *which, int n, const Type *out, View *w)
{
	const Dim *step = NULL, *last = NULL;

	for (int k = 0; k < n; k++) {
		View v, full;
		Value *x = p[k]->in[which[k]];
		view_of(m, x, &v);
		/* broadcast to the output's rank and extents */
		full = (View){.root = v.root, .base = v.base, .rank = out->rank};
		int nf = 0, lead = out->rank - v.rank;
		for (int d = 0; d < out->rank; d++) {
			full.first[d] = nf;
			if (d < lead || (dim_equals(x->type.dims[d - lead], 1) && !dim_equals(out->dims[d], 1))) {
				if (!dim_equals(out->dims[d], 1))
					full.f[nf++] = (Factor){out->dims[d], dim_const(m, 0)};
				continue;
			}
			for (int i = v.first[d - lead]; i < v.first[d - lead + 1]; i++)
				full.f[nf++] = v.f[i];
			if (nf > MaxFactors - 2)
				return false;
		}
		full.first[out->rank] = nf;
		if (k == 0) {
			*w = full;
			last = full.base;
			continue;
		}
		if (full.root != w->root || !same_view(&full, w))
			return false;
		const Dim *d = dim_sub(m, full.base, last);
		if (step && d != step)
			return false;
		step = d;
		last = full.base;
	}
	w->f[w->first[w->rank]] = (Factor){dim_const(m, n), step};
	w->first[w->rank + 1] = w->first[w->rank] + 1;
	w->rank++;
	return step != NULL;
}

static bool contraction_of_taps(Module *m, Node *n, Contraction *c)
{
	Node **p;
	int which_x[MaxTaps], which_w[MaxTaps], count;

	if (!is_add(n) || is_add(only_user(n->out[0])))
		return false;
	p = arena_alloc(m->arena, MaxTaps * sizeof *p);
	count = collect_products(n, p);
	if (count < 2)
		return false;
	View a;
	view_of(m, p[0]->in[0], &a);
	for (int k = 0; k < count; k++) { /* operands with the root of p[0]->in[0] are one side */
		View b;
		view_of(m, p[k]->in[0], &b);
		which_x[k] = b.root != a.root;
		which_w[k] = !which_x[k];
	}
	c->out = n->out[0]->type;
	c->taps = dim_const(m, count);
	c->likely = true;
	return tap_operand(m, p, which_x, count, &c->out, &c->x) && tap_operand(m, p, which_w, count, &c->out, &c->w);
}

/* ---- an explicit k axis -------------------------------------------------------------------------------------------------- */

/* Axes of v in the order `perm` (-1: broadcast to out's extent), the last one being k. */
static void arrange(Module *m, Value *v, const int *perm, int n, const Type *out, View *w)
{
	View a;
	int k = 0;

	view_of(m, v, &a);
	*w = (View){.root = a.root, .base = a.base, .rank = n};
	for (int d = 0; d < n; d++) {
		w->first[d] = k;
		if (perm[d] >= 0 && !(d < out->rank && dim_equals(v->type.dims[perm[d]], 1))) {
			for (int i = a.first[perm[d]]; i < a.first[perm[d] + 1] && k < MaxFactors; i++)
				w->f[k++] = a.f[i];
		} else if (d < out->rank && !dim_equals(out->dims[d], 1) && k < MaxFactors) {
			w->f[k++] = (Factor){out->dims[d], dim_const(m, 0)};
		}
	}
	w->first[n] = k;
}

static bool contraction_of_matmul(Module *m, Node *n, Contraction *c)
{
	if (n->op != OpMatMul || n->in[0]->type.rank < 2 || n->in[1]->type.rank < 2)
		return false;
	int rank = n->out[0]->type.rank, a[MaxRank + 1], b[MaxRank + 1];
	c->out = n->out[0]->type;
	if (!dim_equals(c->out.dims[rank - 1], 1) && !dim_equals(c->out.dims[rank - 2], 1))
		return false; /* a window contraction is a product with one row or column */
	int ra = n->in[0]->type.rank, rb = n->in[1]->type.rank, ta = attr_int(n, Attr_trans_a), tb = attr_int(n, Attr_trans_b);
	for (int d = 0; d < rank - 2; d++) {
		a[d] = d - (rank - ra);
		b[d] = d - (rank - rb);
	}
	a[rank - 2] = ra - 2 + ta;
	a[rank - 1] = -1;
	a[rank] = ra - 1 - ta;
	b[rank - 2] = -1;
	b[rank - 1] = rb - 1 - tb;
	b[rank] = rb - 2 + tb;
	c->taps = n->in[0]->type.dims[a[rank]];
	arrange(m, n->in[0], a, rank + 1, &c->out, &c->x);
	arrange(m, n->in[1], b, rank + 1, &c->out, &c->w);
	return true;
}

static bool contraction_of_sum(Module *m, Node *n, Contraction *c)
{
	const int64_t *axes;
	Node *mul = n->op == OpSum ? n->in[0]->def : NULL;

	if (!mul || mul->op != OpMul || attr_ints(n, Attr_axes, &axes) != 1 || attr_int(n, Attr_keepdims))
		return false;
	int rank = n->out[0]->type.rank, perm[2][MaxRank + 1];
	for (int i = 0; i < 2; i++) {
		int lead = rank + 1 - mul->in[i]->type.rank;
		for (int d = 0; d < rank; d++)
			perm[i][d] = d + (d >= axes[0]) - lead;
		perm[i][rank] = axes[0] - lead;
		if (perm[i][rank] < 0)
			return false;
	}
	c->out = n->out[0]->type;
	c->taps = mul->out[0]->type.dims[axes[0]];
	arrange(m, mul->in[0], perm[0], rank + 1, &c->out, &c->x);
	arrange(m, mul->in[1], perm[1], rank + 1, &c->out, &c->w);
	return true;
}

static bool all_ones(const Node *node, AttrId id)
{
	const int64_t *x;
	int n = attr_ints(node, id, &x);

	for (int i = 0; i < n; i++)
		if (x[i] != 1)
			return false;
	return true;
}

static bool contraction_of_conv(Module *m, Node *n, Contraction *c)
{
	const int64_t *pads;

	if (n->op != OpConv || n->out[0]->type.rank != 3 || !dim_equals(n->in[1]->type.dims[1], 1) ||
	    !dim_equals(n->in[1]->type.dims[0], attr_int(n, Attr_group)))
		return false;
	if (!all_ones(n, Attr_strides) || !all_ones(n, Attr_dilations)) {
		report_miss("winconv", n->loc, "stride or dilation is not 1");
		return false;
	}
	int npad = attr_ints(n, Attr_pads, &pads);
	c->out = n->out[0]->type;
	c->taps = n->in[1]->type.dims[2];
	c->pad_left = dim_const(m, npad ? pads[0] : 0);
	c->conv = c->likely = true;
	c->length = n->in[0]->type.dims[2];
	int id[] = {0, 1, 2, -1}, wp[] = {-1, 0, -1, 2};
	arrange(m, n->in[0], id, 3, &n->in[0]->type, &c->x);
	if (!view_is_permutation(m, &c->x)) /* of a part of the root (channels of a wider linear): what counts is that part */
		view_identity(m, n->in[0], &c->x);
	/* along t and k the input moves by the same stride; the extent of t is the output's */
	int t = c->x.first[2];
	if (c->x.first[3] - t != 1)
		return false;
	c->x.f[t].extent = c->out.dims[2];
	c->x.f[t + 1] = (Factor){c->taps, c->x.f[t].stride};
	c->x.first[4] = t + 2;
	c->x.rank = 4;
	arrange(m, n->in[1], wp, 4, &c->out, &c->w);
	return true;
}

/* ---- from contraction to winconv ------------------------------------------------------------------------------------------ */

typedef struct Axes { /* of the source of x: which axis is what */
	int batch, time, channel;
	const Dim *stride[MaxRank]; /* row-major strides of the source's axes */
	int rank;
} Axes;

/* The axis of source along which a factor walks: the outermost whose stride divides the factor's; -1: none, or it stays. */
static int axis_of(Module *m, const Axes *a, const Factor *f)
{
	const Dim *q;
	if (dim_equals(f->stride, 0))
		return -1;
	for (int d = 0; d < a->rank; d++)
		if (a->stride[d] && dim_poly_div(m, f->stride, a->stride[d], &q) && dim_is_const(q, NULL))
			return d;
	return -1;
}

static bool find_axes(Module *m, const Contraction *c, const Value *source, Axes *a)
{
	const Type *t = &source->type;
	const Dim *s = dim_const(m, 1);
	const Factor *k = &c->x.f[c->x.first[c->x.rank - 1]];
	int others[MaxRank], n = 0;

	a->rank = t->rank;
	a->time = -1;
	for (int d = t->rank - 1; d >= 0; d--) {
		bool unit = dim_equals(t->dims[d], 1) && t->rank > 3;
		a->stride[d] = unit ? NULL : s;
		s = dim_mul(m, s, t->dims[d]);
	}
	for (int d = 0; d < t->rank; d++)
		if (a->stride[d] == k->stride && a->time < 0)
			a->time = d;
		else if (a->stride[d])
			others[n++] = d;
	if (a->time < 0 || n != 2)
		return false;
	a->batch = others[0];
	a->channel = others[1];
	return true;
}

/* A factor that runs over several axes of the source ([T*B*H] of [T, B, H*R]) becomes one factor an axis. */
static bool split_along_axes(Module *m, View *x, const Axes *ax, const Type *source)
{
	View w = {.root = x->root, .base = x->base, .rank = x->rank};
	int n = 0;

	for (int d = 0; d < x->rank; d++) {
		w.first[d] = n;
		for (int i = x->first[d]; i < x->first[d + 1]; i++) {
			Factor parts[MaxRank], f = x->f[i];
			int k = 0, axis;
			const Dim *step, *room, *rest;
			while (k < MaxRank - 1 && (axis = axis_of(m, ax, &f)) > 0 && dim_poly_div(m, f.stride, ax->stride[axis], &step) &&
			       dim_poly_div(m, source->dims[axis], step, &room) && f.extent != room && dim_poly_div(m, f.extent, room, &rest) &&
			       !dim_equals(room, 1) && !dim_equals(rest, 1)) {
				parts[k++] = (Factor){room, f.stride};
				f = (Factor){rest, dim_mul(m, f.stride, room)};
			}
			parts[k++] = f;
			if (n + k > MaxFactors - 1)
				return false;
			while (k)
				w.f[n++] = parts[--k]; /* outermost first */
		}
	}
	w.first[x->rank] = n;
	*x = w;
	return true;
}

typedef struct Window {
	const Dim *pad_left, *heads;
	const Dim *skip; /* index, on the padded axis, that the first tap of the first output reads */
	bool interleaved;
	View w, y; /* weights as [B, T, H, K] or [H, K]; the output over the result [B, T, C] */
	Type wtype;
} Window;

/* Zeros that Pad put before axis `time`; false if it pads another axis, or not with zeros. */
static bool pad_before(Module *m, const Node *pad, int time, const Dim **before)
{
	const Dim *const *p;
	int n = attr_dims(pad, Attr_pads_dim, &p), rank = pad->out[0]->type.rank;

	*before = dim_const(m, 0);
	if (attr_int(pad, Attr_mode) != 0 || attr_scalar(pad, Attr_value).f != 0)
		return false;
	for (int i = 0; i < n; i++) {
		if (i % rank == time)
			continue;
		if (!dim_equals(p[i], 0))
			return false;
	}
	if (n)
		*before = p[time];
	return true;
}

/* What sort_factors() learns about the weights: their strides along each axis of [B, T, H, K]. */
typedef struct Sorted {
	const Dim *batch, *time, *head; /* strides of w; 0: the same for all; batch, time: NULL before their first factor */
	const Dim *batches; /* walked along */
	const Dim *heads, *head_unit; /* number, and stride of a head in channels (NULL: one kernel for all) */
	const Dim *rest; /* channels that share a head */
} Sorted;

/* Takes the innermost factor that x and w have in common off both lists. */
static bool take_common(Module *m, Factor *fx, int *n, Factor *fw, int *o, Factor *x, Factor *w)
{
	Factor *f = &fx[*n - 1], *g = &fw[*o - 1];
	const Dim *q;

	*x = *f;
	*w = *g;
	if (f->extent == g->extent) {
		--*n;
		--*o;
	} else if (dim_poly_div(m, g->extent, f->extent, &q)) {
		w->extent = f->extent;
		*g = (Factor){q, dim_mul(m, g->stride, f->extent)};
		--*n;
	} else if (dim_poly_div(m, f->extent, g->extent, &q)) {
		x->extent = g->extent;
		*f = (Factor){q, dim_mul(m, f->stride, g->extent)};
		--*o;
	} else {
		return false;
	}
	return true;
}

/* Which axis of the source the factor x walks along; *out is the same walk over y [B, T, C]. */
static const char *place_factor(Module *m, const Axes *ax, const Type *source, const Factor *x, const Factor *w, Sorted *s, Factor *out)
{
	int axis = axis_of(m, ax, x);
	const Dim *unit, *channels = source->dims[ax->channel];

	if (axis < 0 || !dim_poly_div(m, x->stride, ax->stride[axis], &unit))
		return "an output axis does not walk along one axis of the input";
	out->extent = x->extent;
	if (axis == ax->batch) {
		const Dim *step;
		if (!dim_poly_div(m, w->stride, unit, &step) || (s->batch && s->batch != step))
			return "weights are spread unevenly over the batch";
		out->stride = dim_mul(m, dim_mul(m, unit, source->dims[ax->time]), channels);
		s->batch = step;
		s->batches = dim_mul(m, s->batches, x->extent);
	} else if (axis == ax->time) {
		if (!dim_equals(unit, 1))
			return "the window moves by more than one";
		if (s->time)
			return "two output axes walk along the window's axis";
		out->stride = channels;
		s->time = w->stride;
	} else {
		out->stride = unit;
		if (dim_equals(w->stride, 0)) {
			s->rest = dim_mul(m, s->rest, x->extent);
			return NULL;
		}
		if (s->head_unit)
			return "heads are split over several axes";
		s->head_unit = unit;
		s->heads = x->extent;
		s->head = w->stride;
	}
	return NULL;
}

/* The weights as [B, T, H, K], or [H, K] where every token has the same. */
static void view_weights(const Contraction *c, const Axes *ax, const Type *source, const Sorted *s, Window *win)
{
	const Factor all[] = {{source->dims[ax->batch], s->batch}, {source->dims[ax->time], s->time}, {s->heads, s->head},
	                      {c->taps, c->w.f[c->w.first[c->w.rank - 1]].stride}};
	bool token = !dim_equals(s->batch, 0) || !dim_equals(s->time, 0);

	win->w = (View){.root = c->w.root, .base = c->w.base};
	win->wtype = (Type){.dtype = F32};
	for (int i = token ? 0 : 2, k = 0; i < 4; i++) {
		int d = win->w.rank++;
		win->wtype.dims[d] = all[i].extent;
		win->w.first[d] = k;
		if (!dim_equals(all[i].extent, 1))
			win->w.f[k++] = all[i];
		win->w.first[d + 1] = k;
	}
	win->wtype.rank = win->w.rank;
}

/* Sorts the factors of x and w, which walk the output axes in step, into batch, time, head and rest of channel. */
static const char *sort_factors(Module *m, const Contraction *c, const Axes *ax, const Type *source, Window *win)
{
	const Dim *zero = dim_const(m, 0), *one = dim_const(m, 1);
	Sorted s = {.head = zero, .batches = one, .heads = one, .rest = one};
	View *y = &win->y;
	int ny = 0;

	if (c->x.first[c->x.rank] - c->x.first[c->x.rank - 1] != 1 || c->w.first[c->w.rank] - c->w.first[c->w.rank - 1] != 1)
		return "the tap axis is not one stride";
	*y = (View){.base = zero, .rank = c->out.rank};
	for (int d = 0; d < c->out.rank; d++) {
		Factor fx[MaxFactors], fw[MaxFactors], x, w, parts[MaxFactors];
		int n = c->x.first[d + 1] - c->x.first[d], o = c->w.first[d + 1] - c->w.first[d], k = 0;
		for (int i = 0; i < n; i++)
			fx[i] = c->x.f[c->x.first[d] + i];
		for (int i = 0; i < o; i++)
			fw[i] = c->w.f[c->w.first[d] + i];
		while (n && o) {
			if (ny + k == MaxFactors)
				return "too many axes";
			if (!take_common(m, fx, &n, fw, &o, &x, &w))
				return "input and weights are split differently";
			const char *why = place_factor(m, ax, source, &x, &w, &s, &parts[k++]);
			if (why)
				return why;
		}
		if (n || o)
			return "input and weights are split differently";
		y->first[d] = ny;
		while (k)
			y->f[ny++] = parts[--k]; /* outermost first */
	}
	y->first[y->rank] = ny;
	if (dim_mul(m, s.heads, s.rest) != source->dims[ax->channel])
		return "heads do not cover the channels";
	if (s.batches != source->dims[ax->batch])
		return "only a part of the batch is read";
	s.batch = s.batch ? s.batch : zero;
	s.time = s.time ? s.time : zero;
	win->heads = s.heads;
	win->interleaved = s.head_unit && dim_equals(s.head_unit, 1) && !dim_equals(s.rest, 1);
	if (s.head_unit && !win->interleaved && s.head_unit != s.rest)
		return "channels map to heads in an unknown order";
	view_weights(c, ax, source, &s, win);
	return NULL;
}

static const char *recognise(Module *m, Contraction *c, Value **source, Axes *ax, Window *win)
{
	const Factor *k = &c->x.f[c->x.first[c->x.rank - 1]];
	const Dim *before, *skip;
	Node *pad = c->x.root->def && c->x.root->def->op == OpPad ? c->x.root->def : NULL;

	if (!dim_is_const(c->taps, NULL))
		return "the number of taps is not constant";
	if (c->x.first[c->x.rank] - c->x.first[c->x.rank - 1] != 1) /* none: one tap, or one that repeats */
		return "the tap axis is not one stride";
	if (!find_axes(m, c, c->x.root, ax))
		return "taps do not walk along an axis of the input";
	if (!split_along_axes(m, &c->x, ax, &c->x.root->type))
		return "too many axes";
	k = &c->x.f[c->x.first[c->x.rank - 1]];
	for (const Factor *f = c->x.f; f < k; f++) { /* windows that overlap: an output axis steps by less than all taps */
		const Dim *step;
		int64_t by, taps;
		dim_is_const(c->taps, &taps);
		c->likely |= dim_poly_div(m, f->stride, k->stride, &step) && dim_is_const(step, &by) && by > 0 && by < taps;
	}
	before = dim_const(m, 0);
	*source = c->x.root;
	if (pad) {
		if (!pad_before(m, pad, ax->time, &before))
			return "the padding is not zeros along the window's axis alone";
		*source = pad->in[0];
	}
	if (!dim_is_const((*source)->type.dims[ax->channel], NULL))
		return "the number of channels is not constant";
	if (!dim_poly_div(m, c->x.base, k->stride, &skip))
		return "the first tap lies outside the window's axis";
	win->skip = skip;
	win->pad_left = dim_sub(m, dim_add(m, before, c->pad_left ? c->pad_left : dim_const(m, 0)), skip);
	if (!dim_is_const(win->pad_left, NULL))
		return "the window's position is not constant";
	return sort_factors(m, c, ax, &(*source)->type, win);
}

/* The output's time axis must be the input's: winconv keeps the length. */
static bool keeps_length(const Axes *ax, const Value *source, const Window *win)
{
	for (int i = 0; i < win->y.first[win->y.rank]; i++)
		if (win->y.f[i].stride == source->type.dims[ax->channel] && win->y.f[i].extent == source->type.dims[ax->time])
			return true;
	return false;
}

/* Winconv reads zeros beyond the ends of its axis.  So must the contraction: a conv whose axis this is, or taps that never
 * leave the axis, with the zeros that a Pad put there. */
static bool stays_on_axis(Module *m, const Contraction *c, const Axes *ax, const Value *source, const Window *win)
{
	const Dim *room = c->x.root->type.dims[ax->time], *length = source->type.dims[ax->time];
	int64_t lo, hi;

	if (c->length)
		return c->length == room;
	dim_range(win->skip, &lo, &hi);
	if (lo < 0)
		return false;
	dim_range(dim_sub(m, dim_add(m, room, dim_const(m, 1)), dim_add(m, win->skip, dim_add(m, length, c->taps))), &lo, &hi);
	return lo >= 0;
}

static bool build_winconv(Module *m, Node *n, const Contraction *c, Value *source, const Axes *ax, Window *win)
{
	View x;
	const int64_t perm[] = {ax->batch, ax->time, ax->channel};
	int64_t heads;
	Type xt = {.dtype = F32, .rank = 3};

	if (!dim_is_const(win->heads, &heads) || c->out.dtype != F32)
		return false;
	view_of(m, source, &x);
	for (int i = 0; i < 3; i++)
		xt.dims[i] = source->type.dims[perm[i]];
	View t = {.root = x.root, .base = x.base, .rank = 3};
	int k = 0;
	for (int i = 0; i < 3; i++) {
		t.first[i] = k;
		for (int j = x.first[perm[i]]; j < x.first[perm[i] + 1]; j++)
			t.f[k++] = x.f[j];
	}
	t.first[3] = k;
	Value *in[2] = {build_view(m, &t, &xt, n, n->loc), build_view(m, &win->w, &win->wtype, n, n->loc)};
	if (!in[0] || !in[1])
		return false;
	Attr attrs[] = {mk_dims(m, Attr_pads_dim, 1, &win->pad_left), mk_int(Attr_heads, heads), mk_int(Attr_map, win->interleaved)};
	win->y.root = build(m, n->block, n, OpWinConv, n->loc, 2, in, 3, attrs, &xt);
	Value *y = build_view(m, &win->y, &c->out, n, n->loc);
	if (!y)
		return false;
	if (n->op == OpConv && n->in[2]) {
		Type bt = {.dtype = F32, .rank = 2, .dims = {n->in[2]->type.dims[0], dim_const(m, 1)}};
		Value *b = build(m, n->block, n, OpReshape, n->loc, 1, &n->in[2], 0, NULL, &bt);
		Value *sum[] = {y, b};
		y = build(m, n->block, n, OpAdd, n->loc, 2, sum, 0, NULL, NULL);
	}
	replace_uses(m, n->out[0], y);
	return true;
}

/* What keeps the contraction from being a winconv, or NULL. */
static const char *mismatch(Module *m, Contraction *c, Value **source, Axes *ax, Window *win)
{
	const char *why = recognise(m, c, source, ax, win);

	if (!why && !keeps_length(ax, *source, win))
		why = "the output is not as long as the input";
	if (!why && !stays_on_axis(m, c, ax, *source, win))
		why = "the window leaves its axis";
	return why;
}

bool fuse_winconv(Module *m, Node *n)
{
	static bool (*const readers[])(Module *, Node *, Contraction *) = {
		contraction_of_taps, contraction_of_matmul, contraction_of_sum, contraction_of_conv};

	for (size_t r = 0; r < sizeof readers / sizeof *readers; r++) {
		Contraction c = {0};
		Axes ax;
		Window win;
		Value *source;
		if (!readers[r](m, n, &c))
			continue;
		const char *why = mismatch(m, &c, &source, &ax, &win);
		if (why && !c.conv) { /* the operands may be the other way round */
			View t = c.x;
			c.x = c.w;
			c.w = t;
			const char *other = mismatch(m, &c, &source, &ax, &win);
			why = other ? why : NULL;
		}
		if (why) {
			if (c.likely)
				report_miss("winconv", n->loc, why);
			continue;
		}
		if (!allow("winconv"))
			return false;
		if (build_winconv(m, n, &c, source, &ax, &win)) {
			report_match("winconv", n->loc);
			return true;
		}
	}
	return false;
}
