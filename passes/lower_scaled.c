/* lower_scaled.c - weights that are stored as integers with scales: how kernels get f32 of them.
 *
 * Every weight is (element - offset - zero) * scale, as dequantising gives it: differences of integers are exact in f32, so only a zero point
 * that is no integer and the scale round.  So a sum of products is, bit for bit, that of weights which were dequantised before.
 *
 * A byte of halves has column i in its low and i + 16 in its high half.  Or-ed into the mantissa of 2^23, or of 2^19 the high one as it
 * stands, a half is that power plus itself, from which one subtraction takes power, offset and zero point: no shift and no conversion.
 */
#include "kernel.h"

enum { OfPanel = PanelWidth / Lanes, Vectors = 2 * OfPanel };
enum { LowPower = 23, HighPower = 19, LowHalf = 0x0f, HighHalf = 0xf0 }; /* which halves are or-ed into which powers of two */
enum { MantissaBits = 23, ExponentBias = 127 }; /* of an f32 */
enum { CacheLine = 64, Ahead = 64 }; /* bytes; lines between a load and its prefetch */

static const LType real = {F32, Lanes}, whole = {I32, Lanes};

typedef struct ScaledKernel {
	DType elements, scale, zero; /* zero: NDTypes: there is none */
	int offset, n;
	int64_t block;
	bool halves;
	const char *kind;
	LFunc *fn;
	struct ScaledKernel *next;
} ScaledKernel;

LFunc **scaled_kernel(Lower *l, const Scales *s, DType elements, const char *kind, int n)
{
	const DType zero = s->zero ? s->zero->elem : NDTypes;
	ScaledKernel *k = l->scaled;
	while (k && !(k->elements == elements && k->scale == s->scale->elem && k->zero == zero && k->block == s->block && k->offset == s->offset &&
	              k->halves == s->halves && k->kind == kind && k->n == n))
		k = k->next;
	if (k)
		return &k->fn;
	k = arena_alloc(l->m->arena, sizeof *k);
	*k = (ScaledKernel){elements, s->scale->elem, zero, s->offset, n, s->block, s->halves, kind, NULL, l->scaled};
	l->scaled = k;
	return &k->fn;
}

Scales scale_params(LB *b, const Scales *of)
{
	Scales s = *of;
	s.scale = lparam_buf(b, "scale", of->scale->elem, false);
	s.zero = of->zero ? lparam_buf(b, "zero", of->zero->elem, false) : NULL;
	s.at = li(b, 0);
	return s;
}

int scale_args(LB *b, const Scales *s, LArg *args)
{
	LExpr *length = lmul(b, s->blocks, li(b, PanelWidth));
	int n = 0;
	args[n++] = arg_buf(s->scale, s->scale->elem, s->at, length);
	if (s->zero)
		args[n++] = arg_buf(s->zero, s->zero->elem, s->at, length);
	return n;
}

/* Of a row, for each vector: what is subtracted at once, then (NULL: nothing), and the factor. */
typedef struct ScaleRow {
	LExpr *less[Vectors], *zero[Vectors], *scale[Vectors];
} ScaleRow;

/* Which vectors of a panel, or of two that lie one behind the other. */
typedef struct Span {
	int first, count;
	LExpr *next_row, *next; /* from a panel's scales and weights to the next one's; of one panel NULL */
} Span;

static int half_at(const Span *p, int i) { return (p->first + i) % OfPanel; }

/* Where the panel of vector i begins, if the first one does at `at`. */
static LExpr *panel_of(LB *b, const Span *p, int i, LExpr *at, LExpr *next)
{
	return (p->first + i) / OfPanel ? ladd(b, at, next) : at;
}

static double power(int i)
{
	return (double)(1 << (i ? HighPower : LowPower));
}

static ScaleRow load_row(LB *b, const Scales *s, LExpr *k, const Span *p)
{
	ScaleRow r = {.less = {0}};
	LExpr *number = s->block ? lop(b, LFloorDiv, k, li(b, s->block), NULL) : li(b, 0);
	LExpr *at = llet(b, ladd(b, s->at, lmul(b, number, li(b, PanelWidth))));
	for (int i = 0; i < p->count; i++) {
		const int half = half_at(p, i);
		LExpr *here = ladd(b, panel_of(b, p, i, at, p->next_row), li(b, half * Lanes)), *zero = s->zero ? load_weights(b, s->zero, here) : NULL;
		const bool exact = zero && is_among(s->zero->elem, TypesInt);
		const double least = s->offset + (s->halves ? power(half) : 0);
		if (exact)
			r.less[i] = least == 0 ? zero : llet(b, ladd(b, zero, lconst(b, real, least)));
		else if (least != 0)
			r.less[i] = lconst(b, real, least);
		r.zero[i] = exact ? NULL : zero;
		r.scale[i] = load_weights(b, s->scale, here);
	}
	return r;
}

/* 16 halves, as the power that they were or-ed into and themselves. */
static LExpr *half_of(LB *b, LExpr *bytes, int i)
{
	const int exponent = (i ? HighPower : LowPower) + ExponentBias;
	LExpr *half = lop(b, LAnd, bytes, lconst(b, whole, i ? HighHalf : LowHalf), NULL);
	return lcast(b, LBitcast, real, lop(b, LOr, half, lconst(b, whole, (double)((int64_t)exponent << MantissaBits)), NULL));
}

/* The weights of the step that lies at `at`. */
static void load_step(LB *b, const Scales *s, const ScaleRow *r, LBuf *w, LExpr *at, const Span *p, LExpr **weights)
{
	LExpr *bytes = NULL;
	for (int i = 0; i < p->count; i++) {
		const int half = half_at(p, i);
		LExpr *here = panel_of(b, p, i, at, p->next), *v;
		if (s->halves && (i == 0 || half == 0))
			bytes = llet(b, lcast(b, LConvert, whole, lload(b, w, Lanes, here, NULL, NULL)));
		v = s->halves ? half_of(b, bytes, half) : load_weights(b, w, ladd(b, here, li(b, half * Lanes)));
		if (r->less[i])
			v = lsub(b, v, r->less[i]);
		if (r->zero[i])
			v = lsub(b, v, r->zero[i]);
		weights[i] = llet(b, lmul(b, v, r->scale[i]));
	}
}

/* Opens the loop over the steps that have the row of step `chunk`, of klen in all; returns the step in its chunk. */
static LExpr *open_chunk(LB *b, const Scales *s, LExpr *chunk, LExpr *klen)
{
	return lfor(b, ForSerial, li(b, 0), llet(b, lop(b, LPMin, li(b, s->steps), lsub(b, klen, chunk), NULL)), NULL);
}

/* The slice that follows in memory comes while the tiles pass by this one. */
void widen_scaled(LB *b, const Scales *s, LBuf *w, LExpr *w_at, LExpr *k0, LExpr *klen, LBuf *slice)
{
	LExpr *weights[OfPanel];
	const Span all = {0, OfPanel, NULL, NULL};
	LExpr *chunk = lfor(b, ForSerial, li(b, 0), klen, li(b, s->steps));
	LExpr *next = llet(b, ladd(b, w_at, lmul(b, ladd(b, chunk, klen), li(b, step_bytes(s)))));
	for (int line = 0; line < s->steps * step_bytes(s); line += CacheLine)
		lprefetch(b, w, ladd(b, next, li(b, line)));
	ScaleRow row = load_row(b, s, ladd(b, k0, chunk), &all);
	LExpr *k = llet(b, ladd(b, chunk, open_chunk(b, s, chunk, klen)));
	load_step(b, s, &row, w, ladd(b, w_at, lmul(b, k, li(b, step_bytes(s)))), &all, weights);
	for (int i = 0; i < OfPanel; i++)
		lstore(b, slice, ladd(b, lmul(b, k, li(b, PanelWidth)), li(b, i * Lanes)), NULL, NULL, weights[i]);
	lend(b);
	lend(b);
}

/* The lines of a chunk, so far behind it; behind the end of the panel those of the next one, which begins `skip` bytes from there. */
static void prefetch_chunk(LB *b, const Scales *s, LBuf *w, LExpr *chunk, LExpr *klen, LExpr *skip, LExpr *next)
{
	const int bytes = step_bytes(s);
	LExpr *at = llet(b, lmul(b, chunk, li(b, bytes))), *ahead = li(b, Ahead * CacheLine);
	LExpr *inside = llt(b, ladd(b, at, ahead), lmul(b, klen, li(b, bytes)));
	LExpr *far = llet(b, ladd(b, ladd(b, at, ahead), lop(b, LSelect, inside, li(b, 0), skip)));
	for (int line = 0; line < s->steps * bytes; line += CacheLine) {
		lprefetch(b, w, ladd(b, far, li(b, line)));
		if (next)
			lprefetch(b, w, ladd(b, ladd(b, far, next), li(b, line)));
	}
}

/* Vectors first .. first + count - 1 of one panel or two.
 * Parameters: a, w, acc, scale, zero (if there is one), klen, skip; of two panels blocks, and how far the second one's sums lie behind
 * the first one's. */
static LFunc *stream_kernel(Lower *l, const Scales *of, DType elements, int rows, int first, int count)
{
	static const char kind[] = "stream";
	LFunc **known = scaled_kernel(l, of, elements, kind, (rows * Vectors + first) * (Vectors + 1) + count);
	if (*known)
		return *known;
	const char *name = arena_printf(l->m->arena, count > OfPanel ? "scaled_streams%d" : count < OfPanel ? "scaled_half%d" : "scaled_stream%d", rows);
	LB kb = new_kernel(l->lm, name, l->t->name), *b = &kb;
	LBuf *a = lparam_buf(b, "a", F32, false), *w = lparam_buf(b, "w", elements, false), *acc = lparam_buf(b, "acc", F32, true);
	const Scales s = scale_params(b, of);
	LExpr *klen = lparam(b, "klen"), *skip = lparam(b, "skip"), *weights[Vectors], *pack = li(b, PackK), *apart = NULL;
	LTile *t = lnew_tile(b, "t", real, rows, count);
	Span p = {first, count, NULL, NULL};

	if (count > OfPanel) {
		p.next_row = llet(b, lmul(b, lparam(b, "blocks"), li(b, PanelWidth)));
		p.next = llet(b, lmul(b, klen, li(b, step_bytes(&s))));
		apart = lparam(b, "apart");
	}
	for (int i = 0; i < rows * count; i++)
		lset_tile(b, t, li(b, i / count), li(b, i % count), lconst(b, real, 0));
	LExpr *chunk = lfor(b, ForSerial, li(b, 0), klen, li(b, s.steps)), *inside = s.steps == PackK ? li(b, 0) : lop(b, LMod, chunk, pack, NULL);
	if (first == 0)
		prefetch_chunk(b, &s, w, chunk, klen, skip, p.next);
	ScaleRow row = load_row(b, &s, chunk, &p);
	LExpr *begin = llet(b, ladd(b, lmul(b, lsub(b, chunk, inside), li(b, rows)), inside)), *step = open_chunk(b, &s, chunk, klen);
	load_step(b, &s, &row, w, llet(b, lmul(b, ladd(b, chunk, step), li(b, step_bytes(&s)))), &p, weights);
	for (int i = 0; i < rows; i++) {
		LExpr *x = lload(b, a, 1, ladd(b, ladd(b, begin, step), li(b, i * PackK)), NULL, NULL);
		x = llet(b, lcast(b, LSplat, real, x));
		for (int j = 0; j < count; j++)
			lset_tile(b, t, li(b, i), li(b, j), lfma(b, x, weights[j], lelem(b, t, li(b, i), li(b, j))));
	}
	lend(b);
	lend(b);
	for (int i = 0; i < rows; i++)
		for (int j = 0; j < count; j++) {
			LExpr *to = li(b, i * PanelWidth + half_at(&p, j) * Lanes);
			lstore(b, acc, panel_of(b, &p, j, to, apart), NULL, NULL, lelem(b, t, li(b, i), li(b, j)));
		}
	kb.fn->leaf_noinline = true;
	return *known = finish_kernel(b);
}

/* With 16 registers only few of the sums are in them beside what makes the weights; with 32, two panels' chains of additions hide each other's
 * latency, which more rows do by themselves. */
int scaled_stream_rows(const Lower *l, int panels)
{
	enum { FewRows = 4, ManyRows = 8, PairedRows = 2 };
	const bool many = l->t->nv * Lanes == PanelWidth;
	return panels > 1 ? many ? PairedRows : 0 : many ? ManyRows : FewRows;
}

void call_scaled_stream(Kernel *k, int rows, int panels, LArg a, LBuf *w, LExpr *w_at, LBuf *acc, LExpr *acc_at, int acc_apart, LExpr *klen,
                        LExpr *skip, const Scales *s)
{
	LB *b = &k->b;
	const int count = panels > 1 ? Vectors : k->l->t->nv > 1 || rows == 1 ? OfPanel : 1;
	Scales all = *s;
	all.blocks = lmul(b, s->blocks, li(b, panels));
	LArg args[9] = {a, arg_buf(w, w->elem, w_at, lmul(b, klen, li(b, panels * step_bytes(s)))),
	                arg_buf(acc, F32, acc_at, li(b, (panels - 1) * acc_apart + rows * PanelWidth))};
	int n = 3 + scale_args(b, &all, args + 3);
	args[n++] = arg_e(klen);
	args[n++] = arg_e(skip);
	if (panels > 1) {
		args[n++] = arg_e(s->blocks);
		args[n++] = arg_e(li(b, acc_apart));
	}
	for (int first = 0; first < panels * OfPanel; first += count)
		lcall(b, stream_kernel(k->l, s, w->elem, rows, first, count), n, args);
}
