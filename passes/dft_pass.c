/* dft_pass.c - the passes of discrete Fourier transforms: butterflies of radix 8, 4, 2, 3 and 5, and of any odd radix.
 *
 * It is Stockham's order: what a pass reads and writes lies such that no elements have to be brought into order before or after, and the
 * innermost loops step through memory.
 */
#include "dft_pass.h"

#include <math.h>

const int small_radices[SmallRadices] = {8, 4, 2, 3, 5};

enum { MaxSide = 4 };

typedef struct Complex {
	LExpr *re, *im;
} Complex;

/* From `from` to `to` in the scratch: transforms of length `rest`, of which `stride` lie side by side, become `radix` times
 * as many of length rest / radix. */
typedef struct Pass {
	LB b;
	DType t;
	LBuf *scratch, *waves;
	LExpr *from, *to, *skip, *stride, *groups, *radix; /* groups: rest / radix */
	LExpr *p, *q; /* of the loops: the group, the transform */
} Pass;

static LExpr *vector_const(Pass *s, double v)
{
	return lconst(&s->b, (LType){s->t, Lanes}, v);
}

static Complex load_at(Pass *s, LExpr *at)
{
	LB *b = &s->b;
	at = llet(b, at);
	return (Complex){llet(b, lload(b, s->scratch, Lanes, at, NULL, NULL)), llet(b, lload(b, s->scratch, Lanes, ladd(b, at, li(b, Lanes)), NULL, NULL))};
}

static void store_at(Pass *s, LExpr *at, Complex x)
{
	LB *b = &s->b;
	at = llet(b, at);
	lstore(b, s->scratch, at, NULL, NULL, x.re);
	lstore(b, s->scratch, ladd(b, at, li(b, Lanes)), NULL, NULL, x.im);
}

/* Where input i of the butterfly lies, and its output i. */
static LExpr *input_at(Pass *s, LExpr *i)
{
	LB *b = &s->b;
	LExpr *group = ladd(b, s->p, lmul(b, i, s->groups));
	return ladd(b, s->from, lmul(b, ladd(b, s->q, lmul(b, s->stride, group)), li(b, Column)));
}

static LExpr *output_at(Pass *s, LExpr *i)
{
	LB *b = &s->b;
	LExpr *group = ladd(b, lmul(b, s->p, s->radix), i);
	return ladd(b, s->to, lmul(b, ladd(b, s->q, lmul(b, s->stride, group)), li(b, Column)));
}

/* cos and sin of 2 pi k / (stride * rest), in all lanes. */
static Complex load_wave(Pass *s, LExpr *k)
{
	LB *b = &s->b;
	LExpr *at = llet(b, lmul(b, lmul(b, k, s->skip), li(b, 2))), *part[2];
	for (int i = 0; i < 2; i++)
		part[i] = llet(b, lcast(b, LSplat, (LType){s->t, Lanes}, lload(b, s->waves, 1, ladd(b, at, li(b, i)), NULL, NULL)));
	return (Complex){part[0], part[1]};
}

/* x (cos - i sin) */
static Complex rotate(Pass *s, Complex x, Complex wave)
{
	LB *b = &s->b;
	LExpr *re = llet(b, lfma(b, x.re, wave.re, llet(b, lmul(b, x.im, wave.im))));
	LExpr *im = llet(b, lfma(b, x.im, wave.re, llet(b, lop(b, LNeg, llet(b, lmul(b, x.re, wave.im)), NULL, NULL))));
	return (Complex){re, im};
}

static Complex plus(Pass *s, Complex x, Complex y)
{
	LB *b = &s->b;
	return (Complex){llet(b, ladd(b, x.re, y.re)), llet(b, ladd(b, x.im, y.im))};
}

static Complex minus(Pass *s, Complex x, Complex y)
{
	LB *b = &s->b;
	return (Complex){llet(b, lsub(b, x.re, y.re)), llet(b, lsub(b, x.im, y.im))};
}

/* x - i y, and x + i y */
static Complex minus_turned(Pass *s, Complex x, Complex y)
{
	LB *b = &s->b;
	return (Complex){llet(b, ladd(b, x.re, y.im)), llet(b, lsub(b, x.im, y.re))};
}

static Complex plus_turned(Pass *s, Complex x, Complex y)
{
	LB *b = &s->b;
	return (Complex){llet(b, lsub(b, x.re, y.im)), llet(b, ladd(b, x.im, y.re))};
}

/* sum + x * factor; sum NULL: nothing yet */
static LExpr *add_scaled(Pass *s, LExpr *sum, LExpr *x, double factor)
{
	LB *b = &s->b;
	return llet(b, sum ? lfma(b, x, vector_const(s, factor), sum) : lmul(b, x, vector_const(s, factor)));
}

static void transform_two(Pass *s, Complex *x)
{
	Complex first = x[0];
	x[0] = plus(s, first, x[1]);
	x[1] = minus(s, first, x[1]);
}

static void transform_four(Pass *s, Complex *x)
{
	Complex a = plus(s, x[0], x[2]), c = minus(s, x[0], x[2]), d = plus(s, x[1], x[3]), e = minus(s, x[1], x[3]);
	x[0] = plus(s, a, d);
	x[1] = minus_turned(s, c, e);
	x[2] = minus(s, a, d);
	x[3] = plus_turned(s, c, e);
}

static void transform_eight(Pass *s, Complex *x)
{
	LB *b = &s->b;
	Complex even[4] = {x[0], x[2], x[4], x[6]}, odd[4] = {x[1], x[3], x[5], x[7]};
	LExpr *half = vector_const(s, M_SQRT1_2);

	transform_four(s, even);
	transform_four(s, odd);
	/* odd[1] (1 - i) / sqrt(2), odd[3] (-1 - i) / sqrt(2); odd[2] is turned where it is added */
	Complex r = {llet(b, ladd(b, odd[1].re, odd[1].im)), llet(b, lsub(b, odd[1].im, odd[1].re))};
	Complex t = {llet(b, lsub(b, odd[3].im, odd[3].re)), llet(b, ladd(b, odd[3].re, odd[3].im))};
	r = (Complex){llet(b, lmul(b, r.re, half)), llet(b, lmul(b, r.im, half))};
	t = (Complex){llet(b, lmul(b, t.re, half)), llet(b, lop(b, LNeg, llet(b, lmul(b, t.im, half)), NULL, NULL))};
	x[0] = plus(s, even[0], odd[0]);
	x[4] = minus(s, even[0], odd[0]);
	x[1] = plus(s, even[1], r);
	x[5] = minus(s, even[1], r);
	x[2] = minus_turned(s, even[2], odd[2]);
	x[6] = plus_turned(s, even[2], odd[2]);
	x[3] = plus(s, even[3], t);
	x[7] = minus(s, even[3], t);
}

/* Elements j and r - j share their cosines, and sines of opposite sign: y[k], y[r - k] = cosines -+ i sines. */
static void transform_odd(Pass *s, int r, Complex *x)
{
	enum { MaxPairs = 2 };
	Complex sum[MaxPairs], difference[MaxPairs], first = x[0];

	for (int j = 1; j <= r / 2; j++) {
		sum[j - 1] = plus(s, x[j], x[r - j]);
		difference[j - 1] = minus(s, x[j], x[r - j]);
		x[0] = plus(s, x[0], sum[j - 1]);
	}
	for (int k = 1; k <= r / 2; k++) {
		Complex cosines = first, sines = {NULL, NULL};
		for (int j = 1; j <= r / 2; j++) {
			const double angle = 2 * M_PI * (j * k % r) / r;
			cosines.re = add_scaled(s, cosines.re, sum[j - 1].re, cos(angle));
			cosines.im = add_scaled(s, cosines.im, sum[j - 1].im, cos(angle));
			sines.re = add_scaled(s, sines.re, difference[j - 1].re, sin(angle));
			sines.im = add_scaled(s, sines.im, difference[j - 1].im, sin(angle));
		}
		x[k] = minus_turned(s, cosines, sines);
		x[r - k] = plus_turned(s, cosines, sines);
	}
}

static void emit_small_pass(Pass *s, int r)
{
	LB *b = &s->b;
	Complex x[8], wave[8];
	LExpr *zero = li(b, 0);

	s->p = lfor(b, ForSerial, zero, s->groups, NULL);
	for (int i = 1; i < r; i++)
		wave[i] = load_wave(s, lmul(b, lmul(b, s->p, s->stride), li(b, i)));
	s->q = lfor(b, ForSerial, zero, s->stride, NULL);
	for (int i = 0; i < r; i++)
		x[i] = load_at(s, input_at(s, li(b, i)));
	if (r == 8)
		transform_eight(s, x);
	else if (r == 4)
		transform_four(s, x);
	else if (r == 2)
		transform_two(s, x);
	else
		transform_odd(s, r, x);
	for (int i = 0; i < r; i++)
		store_at(s, output_at(s, li(b, i)), i ? rotate(s, x[i], wave[i]) : x[i]);
	lend(b);
	lend(b);
}

static LExpr *get(Pass *s, LTile *t, int i)
{
	LB *b = &s->b;
	return lelem(b, t, li(b, i), li(b, 0));
}

static void set(Pass *s, LTile *t, int i, LExpr *e)
{
	LB *b = &s->b;
	lset_tile(b, t, li(b, i), li(b, 0), e);
}

/* Pairs of inputs become their sums and differences, in place; their sum is output 0. */
static void pair_inputs(Pass *s, LTile *sums, LExpr *half)
{
	LB *b = &s->b;
	Complex first = load_at(s, input_at(s, li(b, 0)));

	set(s, sums, 0, first.re);
	set(s, sums, 1, first.im);
	LExpr *j = lfor(b, ForSerial, li(b, 1), half, NULL), *at = llet(b, input_at(s, j)), *mirror = llet(b, input_at(s, lsub(b, s->radix, j)));
	Complex x = load_at(s, at), y = load_at(s, mirror), sum = plus(s, x, y);
	store_at(s, at, sum);
	store_at(s, mirror, minus(s, x, y));
	set(s, sums, 0, ladd(b, get(s, sums, 0), sum.re));
	set(s, sums, 1, ladd(b, get(s, sums, 1), sum.im));
	lend(b);
	store_at(s, output_at(s, li(b, 0)), (Complex){get(s, sums, 0), get(s, sums, 1)});
}

/* As transform_odd(), for any odd radix: its square of steps.  `side` outputs and their mirror images are computed side by side; what is
 * read once serves them all. */
static void emit_odd_pass(Pass *s, int side)
{
	LB *b = &s->b;
	LTile *sums = lnew_tile(b, "sums", (LType){s->t, Lanes}, 4 * side, 1), *turn = lnew_tile(b, "turn", IndexType, side, 1);
	LExpr *zero = li(b, 0), *one = li(b, 1), *half = llet(b, lop(b, LFloorDiv, ladd(b, s->radix, one), li(b, 2), NULL)), *k[MaxSide];
	LExpr *step = llet(b, lmul(b, s->stride, s->groups));

	s->p = lfor(b, ForSerial, zero, s->groups, NULL);
	s->q = lfor(b, ForSerial, zero, s->stride, NULL);
	pair_inputs(s, sums, half);
	LExpr *from = lfor(b, ForSerial, one, half, li(b, side));
	Complex first = load_at(s, input_at(s, zero));
	for (int i = 0; i < side; i++) {
		k[i] = llet(b, lop(b, LPMin, ladd(b, from, li(b, i)), lsub(b, half, one), NULL)); /* the last once more, if there are no others */
		set(s, sums, 4 * i, first.re);
		set(s, sums, 4 * i + 1, first.im);
		set(s, sums, 4 * i + 2, vector_const(s, 0));
		set(s, sums, 4 * i + 3, vector_const(s, 0));
		set(s, turn, i, zero);
	}
	LExpr *j = lfor(b, ForSerial, one, half, NULL);
	Complex sum = load_at(s, input_at(s, j)), difference = load_at(s, input_at(s, lsub(b, s->radix, j)));
	for (int i = 0; i < side; i++) {
		LExpr *at = llet(b, ladd(b, get(s, turn, i), k[i]));
		at = llet(b, lop(b, LSelect, llt(b, at, s->radix), at, lsub(b, at, s->radix))); /* j k mod radix */
		set(s, turn, i, at);
		Complex wave = load_wave(s, lmul(b, at, step));
		set(s, sums, 4 * i, lfma(b, sum.re, wave.re, get(s, sums, 4 * i)));
		set(s, sums, 4 * i + 1, lfma(b, sum.im, wave.re, get(s, sums, 4 * i + 1)));
		set(s, sums, 4 * i + 2, lfma(b, difference.re, wave.im, get(s, sums, 4 * i + 2)));
		set(s, sums, 4 * i + 3, lfma(b, difference.im, wave.im, get(s, sums, 4 * i + 3)));
	}
	lend(b);
	LExpr *group = llet(b, lmul(b, s->p, s->stride));
	for (int i = 0; i < side; i++) {
		LExpr *mirror = llet(b, lsub(b, s->radix, k[i])), *part[4];
		for (int n = 0; n < 4; n++)
			part[n] = llet(b, get(s, sums, 4 * i + n));
		Complex cosines = {part[0], part[1]}, sines = {part[2], part[3]};
		store_at(s, output_at(s, k[i]), rotate(s, minus_turned(s, cosines, sines), load_wave(s, lmul(b, group, k[i]))));
		store_at(s, output_at(s, mirror), rotate(s, plus_turned(s, cosines, sines), load_wave(s, lmul(b, group, mirror))));
	}
	lend(b);
	lend(b);
	lend(b);
}

LFunc *dft_pass(Lower *l, DType t, int radix)
{
	const char *name = arena_printf(l->m->arena, radix ? "dft_pass%d" : "dft_pass", radix);
	Pass s = {.b = new_kernel(l->lm, name, l->t->name), .t = t};
	LB *b = &s.b;

	s.scratch = lparam_buf(b, "scratch", t, true);
	s.waves = lparam_buf(b, "waves", t, false);
	s.from = lparam(b, "from");
	s.to = lparam(b, "to");
	s.skip = lparam(b, "skip");
	s.stride = lparam(b, "stride");
	s.groups = lparam(b, "groups");
	s.radix = radix ? li(b, radix) : lparam(b, "radix");
	if (radix)
		emit_small_pass(&s, radix);
	else
		emit_odd_pass(&s, l->t->nv < 2 ? 2 : MaxSide); /* as many sums as registers hold */
	b->fn->leaf_noinline = true;
	return finish_kernel(b);
}
