/* lower_port.c - inputs and outputs of types of less than a byte: unpacked by the first steps of the program and packed by the last.
 *
 * In between an element is a byte, as everywhere in the compiler.  Lanes are neighbouring bytes of the packed tensor; their elements
 * number k lie `per byte` apart.
 */
#include "lower.h"

typedef struct Port {
	Kernel k;
	LBuf *packed, *bytes; /* of the packed tensor; of the elements, as i8 or u8 */
	LExpr *n; /* elements */
	DType elem;
	int bits, count; /* of an element; in a byte */
} Port;

static Port open_port(Lower *l, Value *v, LBuf *packed, Value *home, bool packs)
{
	Module *m = l->m;
	Port p = {.k = open_kernel(l, packs ? "pack" : "unpack", false), .elem = v->type.dtype, .bits = dtypes[v->type.dtype].bits};
	const Dim *n = type_numel(m, &v->type);
	p.count = 8 / p.bits;
	p.packed = kport(&p.k, packed, dim_ceildiv(m, n, dim_const(m, p.count)), packs);
	p.bytes = kbytes(&p.k, home, is_among(p.elem, TypesInt) ? wide_type(p.elem) : U8, !packs);
	p.n = kdim(&p.k, n);
	return p;
}

/* Elements number k of 16 bytes from byte `at`: mask is NULL if all are there. */
static void unpack_lanes(Port *p, LExpr *bytes, LExpr *at, int k, LExpr *mask)
{
	LB *b = &p->k.b;
	DType t = p->bytes->elem;
	LType lanes = {t, Lanes};
	LExpr *v = lcast(b, LConvert, lanes, bytes), *unused = lconst(b, lanes, 8 - p->bits);
	v = lop(b, LShl, v, lconst(b, lanes, 8 - p->bits * (k + 1)), NULL); /* at the top; then down, with its sign */
	v = lop(b, LShr, v, unused, NULL);
	lstore(b, p->bytes, ladd(b, lmul(b, at, li(b, p->count)), li(b, k)), li(b, p->count), mask, v);
}

static LExpr *pack_lanes(Port *p, LExpr *sum, LExpr *at, int k, LExpr *mask)
{
	LB *b = &p->k.b;
	LType lanes = {U8, Lanes};
	LExpr *v = lload(b, p->bytes, Lanes, ladd(b, lmul(b, at, li(b, p->count)), li(b, k)), li(b, p->count), mask);
	v = lop(b, LShl, lcast(b, LConvert, lanes, v), lconst(b, lanes, 8 - p->bits), NULL);
	v = lop(b, LShr, v, lconst(b, lanes, 8 - p->bits * (k + 1)), NULL);
	return sum ? lop(b, LOr, sum, v, NULL) : v;
}

/* 16 bytes from `at`; whole: they and their elements are all there. */
static void convert_lanes(Port *p, LExpr *at, bool packs, bool whole)
{
	LB *b = &p->k.b;
	LExpr *left = llet(b, lsub(b, p->n, lmul(b, at, li(b, p->count)))), *per = li(b, p->count), *sum = NULL;
	LExpr *there[8] = {NULL};
	for (int k = 0; k < p->count && !whole; k++) /* bytes that have an element number k */
		there[k] = lane_mask(&p->k, lop(b, LFloorDiv, ladd(b, left, li(b, p->count - 1 - k)), per, NULL));
	LExpr *bytes = packs ? NULL : llet(b, lload(b, p->packed, Lanes, at, NULL, there[0]));
	for (int k = 0; k < p->count; k++)
		if (packs)
			sum = llet(b, pack_lanes(p, sum, at, k, there[k]));
		else
			unpack_lanes(p, bytes, at, k, there[k]);
	if (packs)
		lstore(b, p->packed, at, NULL, there[0], sum);
}

static void convert_port(Port *p, bool packs)
{
	LB *b = &p->k.b;
	LExpr *chunk = li(b, (int64_t)Lanes * p->count);
	LExpr *whole = llet(b, lop(b, LFloorDiv, p->n, chunk, NULL));
	LExpr *chunks = lop(b, LFloorDiv, ladd(b, p->n, lsub(b, chunk, li(b, 1))), chunk, NULL);
	LExpr *i = lfor(b, ForParallel, li(b, 0), chunks, NULL);
	LExpr *at = llet(b, lmul(b, i, li(b, Lanes)));
	lif(b, llt(b, i, whole));
	convert_lanes(p, at, packs, true);
	lelse(b);
	convert_lanes(p, at, packs, false);
	lend(b);
	lend(b);
	kcall(&p->k);
}

/* Each into a slot until its last use. */
void unpack_inputs(Lower *l)
{
	Func *f = l->m->main;
	for (int i = 0; i < f->nparam; i++) {
		Value *v = f->params[i];
		Home *h = home_of(v);
		if (!is_packed(v->type.dtype) || !h || h->last < 0)
			continue;
		place_result(l, v);
		Port p = open_port(l, v, l->in[i], v, false);
		convert_port(&p, false);
	}
}

void keep_packed_outputs(Lower *l)
{
	Func *f = l->m->main;
	for (int i = 0; i < f->body.nyield; i++)
		if (is_packed(f->body.yields[i]->type.dtype))
			new_home(l, f->body.yields[i])->last = l->nplan;
}

void pack_outputs(Lower *l)
{
	Func *f = l->m->main;
	for (int i = 0; i < f->body.nyield; i++) {
		Value *v = f->body.yields[i];
		if (!is_packed(v->type.dtype))
			continue;
		Port p = open_port(l, v, l->out[i], v, true);
		convert_port(&p, true);
	}
}
