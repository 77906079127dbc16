/* fuse_winconv.c - recognises window contractions: light and dynamic convolution, involution, in every spelling.
 *
 * contraction.c reads sums of products of views off taps, unfolded inputs and convolutions.  Such a sum is a winconv when the taps walk
 * along axes of the (padded) input, and along each of these also one output axis, by constant steps.  Then heads, head map, steps,
 * padding and layout are read off the strides; nothing depends on how the exporter spelled them.
 */
#include "contraction.h"

enum { MaxWindowAxes = (MaxRank - 2) / 2 }; /* weights of each place have an axis for it and one for the taps */

typedef struct WindowAxis {
	int of; /* the source's axis */
	const Dim *taps, *places; /* places: of the output */
	int64_t dilation, stride;
	const Dim *skip; /* index, on the padded axis, that the first tap of the first output reads */
	const Dim *before; /* elements of the first window before the source */
	const Dim *tap_step, *place_step; /* of the weights */
} WindowAxis;

typedef struct Axes { /* of the source of x: which axis is what */
	int batch, channel;
	const Dim *stride[MaxRank]; /* row-major strides of the source's axes; NULL: passed over, as its extent is 1 */
	int rank;
	int n; /* of the window, in the source's order */
	WindowAxis window[MaxWindowAxes];
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

static void find_strides(Module *m, const Type *t, int windows, Axes *a)
{
	const Dim *s = dim_const(m, 1);

	a->rank = t->rank;
	for (int d = t->rank - 1; d >= 0; d--) {
		bool unit = dim_equals(t->dims[d], 1) && t->rank > 2 + windows;
		a->stride[d] = unit ? NULL : s;
		s = dim_mul(m, s, t->dims[d]);
	}
}

static WindowAxis *window_along(Axes *a, int axis)
{
	for (int i = 0; i < a->n; i++)
		if (a->window[i].of == axis)
			return &a->window[i];
	return NULL;
}

/* Those along which x's taps walk; what is left are batch and channels. */
static bool find_axes(Module *m, const Contraction *c, Axes *a)
{
	const View *x = &c->x;
	int others[2], n = 0;
	bool walked[MaxRank] = {0};

	for (int i = x->first[x->rank - 1]; i < x->first[x->rank]; i++) {
		int axis = axis_of(m, a, &x->f[i]);
		if (axis < 0)
			return false;
		walked[axis] = true;
	}
	for (int d = 0; d < a->rank; d++) {
		if (!a->stride[d])
			continue;
		if (walked[d] ? a->n == MaxWindowAxes : n == 2)
			return false;
		if (walked[d])
			a->window[a->n++] = (WindowAxis){.of = d};
		else
			others[n++] = d;
	}
	if (n != 2)
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
	const Dim *heads;
	bool interleaved;
	View w, y; /* weights as [batch, places.., heads, taps..] or [heads, taps..]; the output over the result [batch, places.., channels] */
	Type wtype, ytype;
} Window;

/* Zeros that Pad put before each axis; false if it pads another one than the window's, or not with zeros. */
static bool pad_before(Module *m, const Node *pad, Axes *a)
{
	const Dim *const *p;
	int n = attr_dims(pad, Attr_pads_dim, &p), rank = pad->out[0]->type.rank;

	if (attr_int(pad, Attr_mode) != 0 || attr_scalar(pad, Attr_value).f != 0)
		return false;
	for (int i = 0; i < n; i++) {
		WindowAxis *axis = window_along(a, i % rank);
		if (!axis && !dim_equals(p[i], 0))
			return false;
		if (axis && i < rank)
			axis->before = dim_add(m, axis->before, p[i]);
	}
	return true;
}

/* Where the first tap of the first output lies, by axes. */
static bool find_start(Module *m, const Contraction *c, Axes *a)
{
	const Dim *left = c->x.base;

	for (int i = 0; i < a->n; i++) {
		const Dim *stride = a->stride[a->window[i].of], **skip = &a->window[i].skip;
		int64_t rest, step;
		if (dim_poly_div(m, left, stride, skip) && (i == a->n - 1 || dim_is_const(*skip, NULL)))
			;
		else if (dim_is_const(left, &rest) && dim_is_const(stride, &step) && rest >= 0 && step > 0)
			*skip = dim_const(m, rest / step);
		else
			*skip = dim_const(m, 0);
		left = dim_sub(m, left, dim_mul(m, *skip, stride));
	}
	return dim_equals(left, 0);
}

/* How often the output steps along each of the window's axes, and by how much. */
static const char *find_places(Module *m, const Contraction *c, Axes *a)
{
	for (int i = 0; i < c->x.first[c->x.rank - 1]; i++) {
		const Factor *f = &c->x.f[i];
		WindowAxis *axis = window_along(a, axis_of(m, a, f));
		const Dim *step;
		if (!axis)
			continue;
		if (axis->places)
			return "two output axes walk along one of the window's";
		if (!dim_poly_div(m, f->stride, a->stride[axis->of], &step) || !dim_is_const(step, &axis->stride) || axis->stride < 1 ||
		    axis->stride > DimMax)
			return "the window moves by no constant step";
		axis->places = f->extent;
	}
	for (int i = 0; i < a->n; i++)
		if (!a->window[i].places)
			return "no output axis walks along the taps";
	return NULL;
}

static int factors_of(const View *v, int axis, Factor *f)
{
	int n = 0;
	for (int i = v->first[axis]; i < v->first[axis + 1]; i++)
		f[n++] = v->f[i];
	return n;
}

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

/* The taps along each axis, and how the weights step with them. */
static const char *find_taps(Module *m, const Contraction *c, Axes *a)
{
	Factor fx[MaxFactors], fw[MaxFactors], x, w;
	int n = factors_of(&c->x, c->x.rank - 1, fx), o = factors_of(&c->w, c->w.rank - 1, fw);

	while (n && o) {
		if (!take_common(m, fx, &n, fw, &o, &x, &w))
			return "taps of input and weights are split differently";
		WindowAxis *axis = window_along(a, axis_of(m, a, &x));
		const Dim *step;
		int64_t taps;
		if (!axis || axis->taps || !dim_is_const(x.extent, &taps) || taps < 1 || !dim_poly_div(m, x.stride, a->stride[axis->of], &step) ||
		    !dim_is_const(step, &axis->dilation) || axis->dilation < 1 || axis->dilation > DimMax / taps)
			return "taps do not step evenly along the axes of the input";
		axis->taps = x.extent;
		axis->tap_step = w.stride;
	}
	return n || o ? "taps of input and weights are split differently" : NULL;
}

/* Else unfolding the input repeats nothing. */
static bool windows_overlap(const Axes *a)
{
	bool some = false;
	for (int i = 0; i < a->n; i++) {
		const WindowAxis *w = &a->window[i];
		int64_t taps;
		some |= dim_is_const(w->taps, &taps) && w->stride <= (taps - 1) * w->dilation;
	}
	return some;
}

/* What sort_factors() learns about the weights: their strides along batch and heads. */
typedef struct Sorted {
	const Dim *batch, *head; /* strides of w; 0: the same for all; batch: NULL before its first factor */
	const Dim *batches; /* walked along */
	const Dim *heads, *head_unit; /* number, and stride of a head in channels (NULL: one kernel for all) */
	const Dim *rest; /* channels that share a head */
} Sorted;

/* Stride of the result [batch, places.., channels] along its axis `axis`. */
static const Dim *result_stride(Module *m, const Axes *a, const Dim *channels, int axis)
{
	const Dim *s = channels;
	for (int i = a->n - 1; i >= axis; i--)
		s = dim_mul(m, s, a->window[i].places);
	return s;
}

/* Which axis of the source the factor x walks along; *out is the same walk over the result. */
static const char *place_factor(Module *m, Axes *ax, const Type *source, const Factor *x, const Factor *w, Sorted *s, Factor *out)
{
	int axis = axis_of(m, ax, x);
	const Dim *unit, *channels = source->dims[ax->channel];
	WindowAxis *window = window_along(ax, axis);

	if (axis < 0 || !dim_poly_div(m, x->stride, ax->stride[axis], &unit))
		return "an output axis does not walk along one axis of the input";
	out->extent = x->extent;
	if (axis == ax->batch) {
		const Dim *step;
		if (!dim_poly_div(m, w->stride, unit, &step) || (s->batch && s->batch != step))
			return "weights are spread unevenly over the batch";
		out->stride = dim_mul(m, unit, result_stride(m, ax, channels, 0));
		s->batch = step;
		s->batches = dim_mul(m, s->batches, x->extent);
	} else if (window) {
		if (x->extent != window->places)
			return "input and weights are split differently";
		out->stride = result_stride(m, ax, channels, (int)(window - ax->window) + 1);
		window->place_step = w->stride;
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

static void add_weight_axis(View *w, Type *t, const Dim *extent, const Dim *stride)
{
	int d = w->rank++, k = w->first[d];

	t->dims[t->rank++] = extent;
	if (!dim_equals(extent, 1))
		w->f[k++] = (Factor){extent, stride};
	w->first[d + 1] = k;
}

/* The weights as [batch, places.., heads, taps..], or [heads, taps..] where every place has the same. */
static void view_weights(const Contraction *c, const Axes *ax, const Type *source, const Sorted *s, Window *win)
{
	bool placed = !dim_equals(s->batch, 0);

	for (int i = 0; i < ax->n; i++)
		placed |= !dim_equals(ax->window[i].place_step, 0);
	win->w = (View){.root = c->w.root, .base = c->w.base};
	win->wtype = (Type){.dtype = F32};
	if (placed)
		add_weight_axis(&win->w, &win->wtype, source->dims[ax->batch], s->batch);
	for (int i = 0; i < ax->n && placed; i++)
		add_weight_axis(&win->w, &win->wtype, ax->window[i].places, ax->window[i].place_step);
	add_weight_axis(&win->w, &win->wtype, s->heads, s->head);
	for (int i = 0; i < ax->n; i++)
		add_weight_axis(&win->w, &win->wtype, ax->window[i].taps, ax->window[i].tap_step);
}

/* Each element of the result comes once: no walk over channels or the batch meets another one's, or runs over their end. */
static bool covers_result(Module *m, const Axes *ax, const Type *source, Window *win)
{
	Type *t = &win->ytype;
	Value result = {0};
	View y = win->y;

	*t = (Type){.dtype = F32, .rank = ax->n + 2, .dims = {source->dims[ax->batch]}};
	for (int i = 0; i < ax->n; i++)
		t->dims[1 + i] = ax->window[i].places;
	t->dims[ax->n + 1] = source->dims[ax->channel];
	result.type = *t;
	y.root = &result;
	return view_is_permutation(m, &y);
}

/* Sorts the factors of x and w, which walk the output axes in step, into batch, places, head and rest of channel. */
static const char *sort_factors(Module *m, const Contraction *c, Axes *ax, const Type *source, Window *win)
{
	const Dim *zero = dim_const(m, 0), *one = dim_const(m, 1);
	Sorted s = {.head = zero, .batches = one, .heads = one, .rest = one};
	View *y = &win->y;
	int ny = 0;

	*y = (View){.base = zero, .rank = c->out.rank};
	for (int d = 0; d < c->out.rank; d++) {
		Factor fx[MaxFactors], fw[MaxFactors], x, w, parts[MaxFactors];
		int n = factors_of(&c->x, d, fx), o = factors_of(&c->w, d, fw), k = 0;
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
	win->heads = s.heads;
	win->interleaved = s.head_unit && dim_equals(s.head_unit, 1) && !dim_equals(s.rest, 1);
	if (s.head_unit && !win->interleaved && s.head_unit != s.rest)
		return "channels map to heads in an unknown order";
	if (!covers_result(m, ax, source, win))
		return "the output axes overlap";
	view_weights(c, ax, source, &s, win);
	return NULL;
}

static const char *recognise(Module *m, Contraction *c, Value **source, Axes *ax, Window *win)
{
	const View *x = &c->x;
	const char *why;
	Node *pad = x->root->def && x->root->def->op == OpPad ? x->root->def : NULL;
	int last = x->rank - 1;

	if (!dim_is_const(c->taps, NULL))
		return "the number of taps is not constant";
	if (x->first[last] == x->first[x->rank]) /* one tap */
		return "taps do not walk along an axis of the input";
	find_strides(m, &x->root->type, x->first[x->rank] - x->first[last], ax);
	if (!split_along_axes(m, &c->x, ax, &x->root->type))
		return "too many axes";
	if (!find_axes(m, c, ax))
		return "taps do not walk along an axis of the input";
	for (int i = 0; i < x->first[last]; i++) /* windows that overlap: an output axis steps by less than all taps */
		for (int k = x->first[last]; k < x->first[x->rank]; k++) {
			const Dim *step;
			int64_t by, taps;
			c->likely |= dim_poly_div(m, x->f[i].stride, x->f[k].stride, &step) && dim_is_const(step, &by) && by > 0 &&
			             dim_is_const(x->f[k].extent, &taps) && by < taps;
		}
	for (int i = 0; i < ax->n; i++)
		ax->window[i].before = c->pad_left ? c->pad_left : dim_const(m, 0);
	*source = x->root;
	if (pad) {
		if (!pad_before(m, pad, ax))
			return "the padding is not zeros along the window's axes alone";
		*source = pad->in[0];
	}
	if (!dim_is_const((*source)->type.dims[ax->channel], NULL))
		return "the number of channels is not constant";
	if (!find_start(m, c, ax))
		return "the first tap lies outside the window's axes";
	for (int i = 0; i < ax->n; i++)
		ax->window[i].before = dim_sub(m, ax->window[i].before, ax->window[i].skip);
	if ((why = find_taps(m, c, ax)) || (why = find_places(m, c, ax)))
		return why;
	if (!windows_overlap(ax))
		return "the windows do not overlap";
	return sort_factors(m, c, ax, &(*source)->type, win);
}

/* Winconv reads zeros beyond the ends of its axes.  So must the contraction: a conv whose axis this is, or taps that never
 * leave the axis, with the zeros that a Pad put there. */
static bool stays_on_axes(Module *m, const Contraction *c, const Axes *ax)
{
	for (int i = 0; i < ax->n; i++) {
		const WindowAxis *w = &ax->window[i];
		const Dim *room = c->x.root->type.dims[w->of], *one = dim_const(m, 1);
		if (c->length) {
			if (c->length != room)
				return false;
			continue;
		}
		const Dim *steps = dim_mul_const(m, dim_sub(m, w->places, one), w->stride), *span = dim_mul_const(m, dim_sub(m, w->taps, one), w->dilation);
		const Dim *end = dim_add(m, dim_add(m, w->skip, one), dim_add(m, steps, span)); /* of the last window */
		if (!dim_proves_at_most(m, dim_const(m, 0), w->skip) || !dim_proves_at_most(m, end, room))
			return false;
	}
	return true;
}

static bool build_winconv(Module *m, Node *n, const Contraction *c, Value *source, const Axes *ax, Window *win)
{
	View x;
	int64_t perm[MaxRank] = {ax->batch}, strides[MaxWindowAxes], dilations[MaxWindowAxes], heads;
	const Dim *before[MaxWindowAxes];
	Type xt = {.dtype = F32, .rank = ax->n + 2};
	bool step_by_step = true;

	if (!dim_is_const(win->heads, &heads) || c->out.dtype != F32)
		return false;
	perm[ax->n + 1] = ax->channel;
	for (int i = 0; i < ax->n; i++) {
		const WindowAxis *w = &ax->window[i];
		perm[1 + i] = w->of;
		before[i] = w->before;
		strides[i] = w->stride;
		dilations[i] = w->dilation;
		step_by_step &= w->stride == 1 && w->dilation == 1;
	}
	view_of(m, source, &x);
	for (int i = 0; i < xt.rank; i++)
		xt.dims[i] = source->type.dims[perm[i]];
	View t = {.root = x.root, .base = x.base, .rank = xt.rank};
	int k = 0;
	for (int i = 0; i < xt.rank; i++) {
		t.first[i] = k;
		for (int j = x.first[perm[i]]; j < x.first[perm[i] + 1]; j++)
			t.f[k++] = x.f[j];
	}
	t.first[xt.rank] = k;
	Value *in[2] = {build_view(m, &t, &xt, n, n->loc), build_view(m, &win->w, &win->wtype, n, n->loc)};
	if (!in[0] || !in[1])
		return false;
	Attr attrs[] = {mk_dims(m, Attr_pads_dim, ax->n, before), mk_int(Attr_heads, heads), mk_int(Attr_map, win->interleaved),
	                mk_ints(m, Attr_strides, ax->n, strides), mk_ints(m, Attr_dilations, ax->n, dilations)};
	win->y.root = build(m, n->block, n, OpWinConv, n->loc, 2, in, step_by_step ? 3 : 5, attrs, &win->ytype);
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
	*ax = (Axes){0};
	const char *why = recognise(m, c, source, ax, win);

	return why || stays_on_axes(m, c, ax) ? why : "the window leaves its axis";
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
