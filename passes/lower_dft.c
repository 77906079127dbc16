/* lower_dft.c - discrete Fourier transforms of any length, constant or not.
 *
 * Vectors run across columns: 16 neighbours of another axis, each transformed by itself, so that all arithmetic is on whole vectors.  A
 * task copies its columns into the worker's scratch, where passes (dft_pass.c) go to and fro between two places, and the wanted bins to
 * where they belong.
 *
 * A real column of even length goes as half as many complex elements: x[2j] + i x[2j+1].  With Z their transform, E and O those of the even
 * and odd elements, X[k] = E[k] + w^k O[k], where E[k] = (Z[k] + conj Z[n/2-k]) / 2, O[k] = (Z[k] - conj Z[n/2-k]) / 2i; and X[n-k] is its
 * conjugate.
 *
 * A length that the run decides is taken apart when the kernel runs.  Every column is computed by the same operations in the same order,
 * whatever the target, known length or not.  An inverse transform is one with re and im exchanged before and after it, that of a real
 * tensor the conjugate one.
 */
#include "dft_pass.h"

enum { MaxPasses = 32 };

/* ---- columns -------------------------------------------------------------------------------------------------------------------- */

typedef struct Dft {
	Kernel *k;
	const Node *n;
	Access re, im, y; /* im.buf NULL: the operand is real */
	bool inverse;
	int axis, lanes; /* of the operand: transformed; of which 16 neighbours are the lanes, -1: there is none */
	const Dim *columns; /* its extent */
	LBuf *scratch, *waves;
	LExpr *length, *bins, *size; /* size: the length in all lanes, of an inverse transform */
	bool pairs; /* two real elements go as one complex one */
	LExpr *points; /* complex ones: length, or half of it */
	LExpr *begin, *room; /* of the worker's scratch, in elements; what one of its two places takes */
	LExpr *re_at, *im_at, *y_at; /* of the first column */
} Dft;

/* Neighbours in memory if there are enough of them, or the longest axis; of several the last: the first is a batch, often of 1. */
static int lane_axis(const Dft *d)
{
	int64_t best = 2, extent;
	int lanes = -1;

	for (int i = 0; i < d->re.rank; i++) {
		if (i == d->axis)
			continue;
		if (!dim_is_const(d->re.extent[i], &extent))
			extent = DimMax;
		if (extent >= Lanes / 2 && dim_equals(d->re.stride[i], 1))
			return i;
		if (extent >= best) {
			best = extent;
			lanes = i;
		}
	}
	return lanes;
}

static const Dim *lane_stride(const Dft *d, const Access *a, int shift)
{
	return d->lanes < 0 ? dim_const(d->k->l->m, 1) : a->stride[d->lanes + shift];
}

static LExpr *scratch_at(Dft *d, LExpr *place, LExpr *j, int part)
{
	LB *b = &d->k->b;
	return ladd(b, ladd(b, place, lmul(b, j, li(b, Column))), li(b, (part ^ (d->inverse && !d->pairs)) * Lanes));
}

/* Element j of 16 columns. */
static LExpr *load_element(Dft *d, const Access *a, LExpr *column, LExpr *j, LExpr *mask)
{
	LB *b = &d->k->b;
	return load_lanes(d->k, a, ladd(b, column, lmul(b, j, kdim(d->k, a->stride[d->axis]))), lane_stride(d, a, 0), mask);
}

static void copy_in(Dft *d, LExpr *mask)
{
	LB *b = &d->k->b;
	LExpr *j = lfor(b, ForSerial, li(b, 0), d->points, NULL), *first = d->pairs ? llet(b, lmul(b, j, li(b, 2))) : j, *im;

	if (d->pairs)
		im = load_element(d, &d->re, d->re_at, ladd(b, first, li(b, 1)), mask);
	else if (d->im.buf)
		im = load_element(d, &d->im, d->im_at, j, mask);
	else
		im = lconst(b, (LType){d->re.dtype, Lanes}, 0);
	lstore(b, d->scratch, scratch_at(d, d->begin, j, 0), NULL, NULL, load_element(d, &d->re, d->re_at, first, mask));
	lstore(b, d->scratch, scratch_at(d, d->begin, j, 1), NULL, NULL, im);
	lend(b);
}

/* Bin k of the result, divided by the length if the transform is inverse. */
static void store_bin(Dft *d, LExpr *k, LExpr *const *part, LExpr *mask)
{
	LB *b = &d->k->b;
	const Dim *stride = lane_stride(d, &d->y, 1);
	LExpr *at = llet(b, ladd(b, d->y_at, lmul(b, k, kdim(d->k, d->y.stride[d->axis + 1]))));

	for (int p = 0; p < 2 && !(p && dim_equals(d->y.extent[0], 1)); p++)
		lstore(b, d->y.buf, ladd(b, at, p ? kdim(d->k, d->y.stride[0]) : li(b, 0)), dim_equals(stride, 1) ? NULL : kdim(d->k, stride), mask,
		       d->inverse ? lop(b, LDiv, part[p], d->size, NULL) : part[p]);
}

static LExpr *load_part(Dft *d, LExpr *place, LExpr *j, int part)
{
	LB *b = &d->k->b;
	return llet(b, lload(b, d->scratch, Lanes, scratch_at(d, place, j, part), NULL, NULL));
}

static void copy_out(Dft *d, LExpr *place, LExpr *mask)
{
	LB *b = &d->k->b;
	LExpr *k = lfor(b, ForSerial, li(b, 0), d->bins, NULL);
	store_bin(d, k, (LExpr *[]){load_part(d, place, k, 0), load_part(d, place, k, 1)}, mask);
	lend(b);
}

static LExpr *half_of(Dft *d, LExpr *e)
{
	LB *b = &d->k->b;
	return llet(b, lmul(b, llet(b, e), lconst(b, (LType){d->re.dtype, Lanes}, 0.5)));
}

static LExpr *load_wave(Dft *d, LExpr *k, int part)
{
	LB *b = &d->k->b;
	LExpr *wave = lload(b, d->waves, 1, ladd(b, lmul(b, k, li(b, 2)), li(b, part)), NULL, NULL);
	return llet(b, lcast(b, LSplat, (LType){d->re.dtype, Lanes}, wave));
}

/* The bins of a column whose elements went in pairs: what is said above. */
static void copy_out_pairs(Dft *d, LExpr *place, LExpr *mask)
{
	LB *b = &d->k->b;
	LExpr *zero = li(b, 0), *one = li(b, 1), *end = llet(b, lop(b, LPMin, d->bins, ladd(b, d->points, one), NULL));

	LExpr *k = lfor(b, ForSerial, zero, end, NULL), *other = llet(b, lsub(b, d->points, k));
	LExpr *at = llet(b, lop(b, LSelect, llt(b, k, d->points), k, zero)), *mirror = llet(b, lop(b, LSelect, llt(b, zero, k), other, zero));
	LExpr *re = load_part(d, place, at, 0), *im = load_part(d, place, at, 1), *c = load_wave(d, k, 0), *s = load_wave(d, k, 1);
	LExpr *other_re = load_part(d, place, mirror, 0), *other_im = load_part(d, place, mirror, 1);
	LExpr *even_re = half_of(d, ladd(b, re, other_re)), *even_im = half_of(d, lsub(b, im, other_im));
	LExpr *odd_re = half_of(d, ladd(b, im, other_im)), *odd_im = half_of(d, lsub(b, other_re, re));
	/* + (odd_re + i odd_im) (c - i s) */
	LExpr *y_re = llet(b, lfma(b, odd_im, s, llet(b, lfma(b, odd_re, c, even_re))));
	LExpr *minus_re = llet(b, lop(b, LNeg, odd_re, NULL, NULL));
	LExpr *y_im = llet(b, lfma(b, minus_re, s, llet(b, lfma(b, odd_im, c, even_im)))), *conj_im = llet(b, lop(b, LNeg, y_im, NULL, NULL));
	store_bin(d, k, (LExpr *[]){y_re, d->inverse ? conj_im : y_im}, mask);
	LExpr *image = llet(b, lsub(b, d->length, k));
	lif(b, lop(b, LAnd, llt(b, image, d->bins), llt(b, d->points, image), NULL));
	store_bin(d, image, (LExpr *[]){y_re, d->inverse ? y_im : conj_im}, mask);
	lend(b);
	lend(b);
}

/* Copies the columns in or out (place: from where); all lanes are there for most. */
static void copy_columns(Dft *d, LExpr *place, LExpr *left)
{
	LB *b = &d->k->b;
	int64_t known;
	bool whole = dim_is_const(d->columns, &known) && known % Lanes == 0;

	for (int some = 0; some < 2 - whole; some++) {
		if (!whole && some)
			lelse(b);
		else if (!whole)
			lif(b, lop(b, LLe, li(b, Lanes), left, NULL));
		LExpr *mask = some ? lane_mask(d->k, left) : NULL;
		if (place && d->pairs)
			copy_out_pairs(d, place, mask);
		else if (place)
			copy_out(d, place, mask);
		else
			copy_in(d, mask);
	}
	if (!whole)
		lend(b);
}

/* ---- all passes ----------------------------------------------------------------------------------------------------------------- */

/* small: number of the radix, SmallRadices: another. */
static void call_pass(Dft *d, int small, LExpr *radix, LExpr *from, LExpr *to, LExpr *stride, LExpr *groups)
{
	LB *b = &d->k->b;
	const DType t = d->re.dtype;
	LFunc *fn = dft_pass(d->k->l, t, small < SmallRadices ? small_radices[small] : 0);

	lcall(b, fn, small < SmallRadices ? 7 : 8,
	      (LArg[]){arg_buf(d->scratch, t, d->begin, lmul(b, d->room, li(b, 2))), arg_buf(d->waves, t, li(b, 0), lmul(b, d->length, li(b, 2))),
	               arg_e(from), arg_e(to), arg_e(li(b, 1 + d->pairs)), arg_e(stride), arg_e(groups), arg_e(radix)});
}

static int64_t least_odd_factor(int64_t n)
{
	for (int64_t f = 7; f <= n / f; f += 2)
		if (n % f == 0)
			return f;
	return n;
}

/* Returns where the result lies. */
static LExpr *emit_known_passes(Dft *d, int64_t n)
{
	LB *b = &d->k->b;
	int64_t stride = 1, radix;
	LExpr *from = li(b, 0), *to = d->room;

	while (n > 1) {
		int small = 0;
		while (small < SmallRadices && n % small_radices[small])
			small++;
		radix = small < SmallRadices ? small_radices[small] : least_odd_factor(n);
		n /= radix;
		call_pass(d, small, li(b, radix), from, to, li(b, stride), li(b, n));
		stride *= radix;
		LExpr *other = from;
		from = to;
		to = other;
	}
	return ladd(b, d->begin, from);
}

enum { Rest, Stride, From, Radix, NCounters }; /* of the passes, while the kernel runs */

static LExpr *counter(Dft *d, LTile *t, int i)
{
	LB *b = &d->k->b;
	return llet(b, lelem(b, t, li(b, i), li(b, 0)));
}

static void set_counter(Dft *d, LTile *t, int i, LExpr *e)
{
	LB *b = &d->k->b;
	lset_tile(b, t, li(b, i), li(b, 0), e);
}

/* What least_odd_factor() does. */
static void find_odd_factor(Dft *d, LTile *t, LExpr *rest)
{
	LB *b = &d->k->b;
	const LType real = {F64, 1};
	LExpr *root = lcast(b, LConvert, IndexType, llet(b, lop(b, LSqrt, lcast(b, LConvert, real, rest), NULL, NULL)));

	set_counter(d, t, Radix, rest);
	LExpr *f = lfor(b, ForSerial, li(b, 7), llet(b, ladd(b, root, li(b, 1))), li(b, 2));
	lif(b, lop(b, LEq, lop(b, LMod, rest, f, NULL), li(b, 0), NULL));
	set_counter(d, t, Radix, lmin(b, counter(d, t, Radix), f));
	lend(b);
	lend(b);
}

/* The same for a length that the run decides. */
static LExpr *emit_passes(Dft *d)
{
	LB *b = &d->k->b;
	LTile *t = lnew_tile(b, "counters", IndexType, NCounters, 1);
	LExpr *zero = li(b, 0), *small = zero;

	set_counter(d, t, Rest, d->points);
	set_counter(d, t, Stride, li(b, 1));
	set_counter(d, t, From, zero);
	lfor(b, ForSerial, zero, li(b, MaxPasses), NULL);
	LExpr *rest = counter(d, t, Rest);
	lif(b, llt(b, li(b, 1), rest));
	for (int i = SmallRadices - 1; i >= 0; i--) {
		LExpr *r = li(b, small_radices[i]);
		small = llet(b, lop(b, LSelect, lop(b, LEq, lop(b, LMod, rest, r, NULL), zero, NULL), r, small));
	}
	set_counter(d, t, Radix, small);
	lif(b, lop(b, LEq, small, zero, NULL));
	find_odd_factor(d, t, rest);
	lend(b);
	LExpr *radix = counter(d, t, Radix), *stride = counter(d, t, Stride), *from = counter(d, t, From);
	LExpr *to = llet(b, lsub(b, d->room, from)), *groups = llet(b, lop(b, LFloorDiv, rest, radix, NULL));
	for (int i = 0; i <= SmallRadices; i++) {
		lif(b, lop(b, LEq, small, li(b, i < SmallRadices ? small_radices[i] : 0), NULL));
		call_pass(d, i, radix, from, to, stride, groups);
		lend(b);
	}
	set_counter(d, t, Rest, groups);
	set_counter(d, t, Stride, lmul(b, stride, radix));
	set_counter(d, t, From, to);
	lend(b);
	lend(b);
	return llet(b, ladd(b, d->begin, counter(d, t, From)));
}

/* From input to result, of the columns of a task. */
static void transform_columns(Dft *d, bool pairs, LExpr *left)
{
	LB *b = &d->k->b;
	int64_t known;

	d->pairs = pairs;
	d->points = pairs ? llet(b, lop(b, LFloorDiv, d->length, li(b, 2), NULL)) : d->length;
	d->room = llet(b, lmul(b, d->points, li(b, Column)));
	copy_columns(d, NULL, left);
	bool constant = dim_is_const(d->re.extent[d->axis], &known);
	copy_columns(d, constant ? emit_known_passes(d, pairs ? known / 2 : known) : emit_passes(d), left);
}

static void transform_task(Dft *d, LExpr *left)
{
	LB *b = &d->k->b;
	int64_t known;

	if (d->im.buf || dim_is_const(d->re.extent[d->axis], &known)) {
		transform_columns(d, !d->im.buf && known % 2 == 0, left);
		return;
	}
	lif(b, lop(b, LEq, lop(b, LMod, d->length, li(b, 2), NULL), li(b, 0), NULL));
	transform_columns(d, true, left);
	lelse(b);
	transform_columns(d, false, left);
	lend(b);
}

/* 5 n log2(n) a column, half of it for a real one, as is usual; where the length is not known, as if it were near 1000. */
static const Dim *dft_flop(Module *m, const Dft *d, const Dim *lines)
{
	const Dim *n = d->re.extent[d->axis];
	int64_t known, log = 10;

	if (dim_is_const(n, &known))
		for (log = 0; known >> log > 1;)
			log++;
	const Dim *flop = dim_mul_const(m, dim_mul(m, lines, n), 5 * log);
	return d->im.buf ? flop : dim_floordiv(m, flop, dim_const(m, 2));
}

void lower_dft(Lower *l, Node *n, Value *home)
{
	Module *m = l->m;
	Kernel k = open_kernel(l, "dft", true);
	LB *b = &k.b;
	Dft d = {.k = &k, .n = n, .axis = attr_int(n, Attr_axis), .inverse = attr_int(n, Attr_inverse), .re = kaccess(&k, n->in[0])};
	const DType t = d.re.dtype;
	const Dim *rows[MaxRank], *length = d.re.extent[d.axis], *one = dim_const(m, 1);
	LExpr *idx[MaxRank] = {0}, *y_idx[MaxRank] = {0};

	if (n->in[1])
		d.im = kaccess(&k, n->in[1]);
	d.y = written_access(&k, &n->out[0]->type, home);
	d.waves = kbuf(&k, n->in[2], false);
	d.scratch = kscratch_of(&k, t);
	d.lanes = lane_axis(&d);
	d.columns = d.lanes < 0 ? one : d.re.extent[d.lanes];
	for (int i = 0; i < d.re.rank; i++)
		rows[i] = i == d.axis || i == d.lanes ? one : d.re.extent[i];
	const Dim *lines = dims_product(m, rows, d.re.rank), *groups = dim_ceildiv(m, d.columns, dim_const(m, Lanes));
	need_scratch(l, dim_mul_const(m, length, 2 * Column * dtypes[t].bytes / 4));
	d.length = kdim(&k, length);
	d.bins = kdim(&k, d.y.extent[d.axis + 1]);
	if (d.inverse)
		d.size = llet(b, lcast(b, LSplat, (LType){t, Lanes}, lcast(b, LConvert, (LType){t, 1}, d.length)));

	LExpr *mine = kworker(&k), *ngroup = kdim(&k, groups);
	LExpr *task = share_tasks(&k, llet(b, lmul(b, kdim(&k, times_of_elements(m, lines, d.y.extent[d.axis + 1])), ngroup)));
	LExpr *line = llet(b, lop(b, LFloorDiv, task, ngroup, NULL)), *column = llet(b, lmul(b, lsub(b, task, lmul(b, line, ngroup)), li(b, Lanes)));
	d.begin = llet(b, lop(b, LFloorDiv, lmul(b, this_worker(&k), lmul(b, mine, li(b, 4))), li(b, dtypes[t].bytes), NULL));
	split_index(&k, line, rows, d.re.rank, idx);
	if (d.lanes >= 0)
		idx[d.lanes] = column;
	idx[d.axis] = NULL;
	for (int i = 0; i < d.re.rank; i++)
		y_idx[i + 1] = idx[i];
	d.re_at = llet(b, offset_of(&k, &d.re, idx));
	d.im_at = d.im.buf ? llet(b, offset_of(&k, &d.im, idx)) : NULL;
	d.y_at = llet(b, offset_of(&k, &d.y, y_idx));
	LExpr *left = llet(b, lsub(b, kdim(&k, d.columns), column));
	transform_task(&d, left);
	lend(b);
	kflop(&k, dft_flop(m, &d, dim_mul(m, lines, d.columns)));
	k.b.fn->loc = n->loc;
	kcall(&k);
}
