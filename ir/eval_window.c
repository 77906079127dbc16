/* eval_window.c - sliding windows with a weight per place or without weights: winconv, pools. */
#include "eval.h"

#include <math.h>
#include <string.h>

typedef struct Windows {
	int spatial;
	int64_t in[MaxRank], out[MaxRank], taps[MaxRank], stride[MaxRank], dilation[MaxRank], before[MaxRank];
} Windows;

/* first: of the spatial axes of operand 0 and of the result. */
static const char *read_windows(EvalNode *e, int first, const int64_t *taps, Windows *s)
{
	const int64_t *strides, *dilations;
	const Dim *const *before;
	int nstrides = attr_ints(e->n, Attr_strides, &strides), ndilations = attr_ints(e->n, Attr_dilations, &dilations);
	attr_dims(e->n, Attr_pads_dim, &before);
	s->spatial = e->out->rank - 2;
	for (int i = 0; i < s->spatial; i++) {
		s->in[i] = e->in[0]->dims[i + first];
		s->out[i] = e->out->dims[i + first];
		s->taps[i] = taps[i];
		s->stride[i] = nstrides ? strides[i] : 1;
		s->dilation[i] = ndilations ? dilations[i] : 1;
		if (!eval_dim(e->syms, before[i], &s->before[i]) || s->before[i] < -DimMax || s->before[i] > DimMax)
			return eval_fail(e, "pads_dim has no value");
	}
	return NULL;
}

/* Window number `at`, row-major, by axes. */
static void place_of(const Windows *s, int64_t at, int64_t *o)
{
	for (int d = s->spatial - 1; d >= 0; at /= s->out[d--])
		o[d] = at % s->out[d];
}

/* The taps from *k on, below the returned end, that meet elements of axis d in window number o. */
static int64_t taps_inside(const Windows *s, int d, int64_t o, int64_t *k)
{
	int64_t first = o * s->stride[d] - s->before[d], step = s->dilation[d], room = s->in[d] - first;
	int64_t end = room <= 0 ? 0 : (room - 1) / step + 1;
	*k = first < 0 ? (step - 1 - first) / step : 0;
	return end < s->taps[d] ? end : s->taps[d];
}

/* So that next_tap() comes to the first tap inside of x; false: none lies there. */
static bool first_taps(const Windows *s, const int64_t *o, int64_t *k)
{
	for (int d = 0; d < s->spatial; d++)
		if (taps_inside(s, d, o[d], &k[d]) <= k[d])
			return false;
	k[s->spatial - 1]--;
	return true;
}

/* The tap behind k[] inside of x, and its place in the plane; false: there is none. */
static bool next_tap(const Windows *s, const int64_t *o, int64_t *k, int64_t *place)
{
	int64_t first;
	int d = s->spatial - 1;
	while (d >= 0 && ++k[d] >= taps_inside(s, d, o[d], &first))
		k[d--] = first;
	*place = 0;
	for (int i = 0; i < s->spatial; i++)
		*place = *place * s->in[i] + o[i] * s->stride[i] - s->before[i] + k[i] * s->dilation[i];
	return d >= 0;
}

/* ---- winconv ----------------------------------------------------------------------------------------------------- */

const char *eval_winconv(EvalNode *e)
{
	const Tensor *x = e->in[0], *w = e->in[1];
	int spatial = x->rank - 2, lead = w->rank - spatial - 1;
	int64_t chans = x->dims[spatial + 1], heads = attr_int(e->n, Attr_heads), k[MaxRank], o[MaxRank], place;
	int64_t plane = count_dims(x, 1, spatial + 1), windows = count_dims(e->out, 1, spatial + 1), taps = count_dims(w, lead + 1, w->rank);
	bool interleaved = attr_int(e->n, Attr_map);
	Windows s;
	TRY(read_windows(e, 1, w->dims + lead + 1, &s));
	TRY(need_agree(e, x->dims[0] == e->out->dims[0] && e->out->dims[spatial + 1] == chans && w->dims[lead] == heads && chans % heads == 0
	                      && (!lead || count_dims(w, 0, lead) == x->dims[0] * windows)));
	const double *xs = as_reals(e, x), *ws = as_reals(e, w);
	double *y = alloc_temp(e, chans, sizeof *y);
	if (!xs || !ws || !y)
		return OUT_OF_MEMORY(e);
	for (int64_t i = 0; i < x->dims[0] * windows && chans > 0; i++) {
		const double *kernel = ws + (lead ? i * heads * taps : 0);
		memset(y, 0, chans * sizeof *y);
		place_of(&s, i % windows, o);
		bool any = first_taps(&s, o, k);
		while (any && next_tap(&s, o, k, &place)) {
			const double *row = xs + (i / windows * plane + place) * chans;
			int64_t tap = 0;
			for (int d = 0; d < spatial; d++)
				tap = tap * s.taps[d] + k[d];
			for (int64_t c = 0; c < chans; c++)
				y[c] += kernel[(interleaved ? c % heads : c / (chans / heads)) * taps + tap] * row[c];
		}
		store_reals(e->out, i * chans, y, chans);
	}
	return NULL;
}

/* ---- pools ------------------------------------------------------------------------------------------------------- */

typedef struct PoolShape {
	Windows w;
	int join;
	DType type;
} PoolShape;

static void join_window(const PoolShape *p, const int64_t *o, const double *reals, const int64_t *ints, double *real,
                        int64_t *integer, int64_t *where)
{
	int64_t k[MaxRank], place;
	*where = -1;
	if (!first_taps(&p->w, o, k))
		return;
	while (next_tap(&p->w, o, k, &place)) {
		bool first = *where < 0;
		bool more = reals ? reals[place] > *real || (isnan(reals[place]) && !isnan(*real)) : less_int(p->type, *integer, ints[place]);
		if (first || more)
			*where = place;
		if (p->join == JoinSum && reals)
			*real += reals[place];
		else if (p->join == JoinSum)
			*integer = add_int(*integer, ints[place]);
		else if ((first || more) && reals)
			*real = reals[place];
		else if (first || more)
			*integer = ints[place];
	}
}

const char *eval_pool(EvalNode *e)
{
	const Tensor *x = e->in[0];
	PoolShape s = {.join = (int)attr_int(e->n, Attr_join), .type = x->dtype};
	const int64_t *kernel;
	attr_ints(e->n, Attr_kernel, &kernel);
	TRY(read_windows(e, 2, kernel, &s.w));
	TRY(need_agree(e, x->dims[0] == e->out->dims[0] && x->dims[1] == e->out->dims[1]));
	const double *reals = is_real(x) ? as_reals(e, x) : NULL;
	const int64_t *ints = is_real(x) ? NULL : as_ints(e, x);
	if (!reals && !ints)
		return OUT_OF_MEMORY(e);
	Scalar none = s.join == JoinSum ? scalar_of_int(x->dtype, 0) : lowest_scalar(x->dtype);
	int64_t plane = count_dims(x, 2, x->rank), windows = count_dims(e->out, 2, x->rank), n = tensor_numel(e->out);
	for (int64_t i = 0; i < n; i++) {
		int64_t o[MaxRank], at = i / windows * plane, integer = 0, where;
		double real = 0;
		place_of(&s.w, i % windows, o);
		if (reals)
			scalar_as_real(none, &real);
		else
			scalar_as_int(none, &integer);
		join_window(&s, o, reals ? reals + at : NULL, ints ? ints + at : NULL, &real, &integer, &where);
		if (s.join == JoinWhere)
			store_ints(e->out, i, &where, 1);
		else if (reals)
			store_reals(e->out, i, &real, 1);
		else
			store_ints(e->out, i, &integer, 1);
	}
	return NULL;
}
