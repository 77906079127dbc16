/* loop_eval_lanes.c - what the operations of loop IR do to the lanes of a value. */
#include "loop_eval.h"

#include <math.h>
#include <string.h>

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

/* ---- integers ---------------------------------------------------------------------------------------------------- */

#define EACH(field, value)                                                                                             \
	for (int l = 0; l < n; l++)                                                                                    \
		r->field[l] = (value);                                                                                 \
	break
#define X(field) (x->field[l])
#define Y(field) (y->field[l])
#define WRAPPED(op) (int64_t)((uint64_t)X(i) op (uint64_t)Y(i))

static int64_t half(int64_t v, int i)
{
	return (int16_t)(v >> 16 * i);
}

static int64_t byte(int64_t v, int i)
{
	return (int8_t)(v >> 8 * i);
}

static int64_t dot_halves(int64_t x, int64_t y, int first)
{
	return half(x, 0) * byte(y, first) + half(x, 1) * byte(y, first + 2);
}

static int64_t dot_bytes(int64_t x, int64_t y)
{
	int64_t sum = 0;
	for (int i = 0; i < 4; i++)
		sum += (byte(x, i) & 255) * byte(y, i);
	return sum;
}

static void int_op(LOp op, DType elem, int n, Val *r, const Val *x, const Val *y, const Val *z)
{
	switch (op) {
	case LAdd: EACH(i, WRAPPED(+));
	case LSub: EACH(i, WRAPPED(-));
	case LMul: EACH(i, WRAPPED(*));
	case LFloorDiv: EACH(i, divide_int(elem, X(i), Y(i)));
	case LMod: EACH(i, modulo_int(elem, X(i), Y(i)));
	case LMin: case LPMin: EACH(i, less_int(elem, X(i), Y(i)) ? X(i) : Y(i));
	case LMax: case LPMax: EACH(i, less_int(elem, Y(i), X(i)) ? X(i) : Y(i));
	case LNeg: EACH(i, (int64_t)(0 - (uint64_t)X(i)));
	case LAbs: EACH(i, less_int(elem, X(i), 0) ? (int64_t)(0 - (uint64_t)X(i)) : X(i));
	case LAnd: EACH(i, X(i) & Y(i));
	case LOr: EACH(i, X(i) | Y(i));
	case LXor: EACH(i, X(i) ^ Y(i));
	case LNot: EACH(i, elem == Bool ? !X(i) : ~X(i));
	case LShl: EACH(i, shift_left(elem, X(i), Y(i)));
	case LShr: EACH(i, shift_right(elem, X(i), Y(i)));
	case LDot4: EACH(i, dot_bytes(X(i), Y(i)) + z->i[l]);
	case LDotEven: EACH(i, dot_halves(X(i), Y(i), 0) + z->i[l]);
	case LDotOdd: EACH(i, dot_halves(X(i), Y(i), 1) + z->i[l]);
	default: bug("integer operation %d", (int)op);
	}
	if (elem != I64 && elem != Bool)
		for (int l = 0; l < n; l++)
			r->i[l] = wrap_int(elem, r->i[l]);
}

static bool int_compare(LOp op, DType elem, int n, Val *r, const Val *x, const Val *y)
{
	switch (op) {
	case LEq: EACH(i, X(i) == Y(i));
	case LNe: EACH(i, X(i) != Y(i));
	case LLt: EACH(i, less_int(elem, X(i), Y(i)));
	case LLe: EACH(i, !less_int(elem, Y(i), X(i)));
	default: return false;
	}
	return true;
}

/* ---- floating point, once for each width ------------------------------------------------------------------------- */

#define FLOAT_OPS(name, F, fmafn, absfn, sqrtfn, floorfn, ceilfn, roundfn)                                             \
	static void name##_op(LOp op, int n, Val *r, const Val *x, const Val *y, const Val *z)                         \
	{                                                                                                              \
		switch (op) {                                                                                          \
		case LAdd: EACH(F, X(F) + Y(F));                                                                       \
		case LSub: EACH(F, X(F) - Y(F));                                                                       \
		case LMul: EACH(F, X(F) * Y(F));                                                                       \
		case LDiv: EACH(F, X(F) / Y(F));                                                                       \
		case LFma: EACH(F, fmafn(X(F), Y(F), z->F[l]));                                                        \
		case LMin: EACH(F, X(F) != X(F) ? X(F) : X(F) < Y(F) ? X(F) : Y(F));                                   \
		case LMax: EACH(F, X(F) != X(F) ? X(F) : X(F) > Y(F) ? X(F) : Y(F));                                   \
		case LPMin: EACH(F, X(F) < Y(F) ? X(F) : Y(F));                                                        \
		case LPMax: EACH(F, X(F) > Y(F) ? X(F) : Y(F));                                                        \
		case LNeg: EACH(F, -X(F));                                                                             \
		case LAbs: EACH(F, absfn(X(F)));                                                                       \
		case LSqrt: EACH(F, sqrtfn(X(F)));                                                                     \
		case LFloor: EACH(F, floorfn(X(F)));                                                                   \
		case LCeil: EACH(F, ceilfn(X(F)));                                                                     \
		case LRound: EACH(F, roundfn(X(F)));                                                                   \
		default: bug("floating operation %d", (int)op);                                                        \
		}                                                                                                      \
	}                                                                                                              \
	static bool name##_compare(LOp op, int n, Val *r, const Val *x, const Val *y)                                  \
	{                                                                                                              \
		Val c;                                                                                                 \
		switch (op) {                                                                                          \
		case LEq: for (int l = 0; l < n; l++) c.i[l] = X(F) == Y(F); break;                                    \
		case LNe: for (int l = 0; l < n; l++) c.i[l] = X(F) != Y(F); break;                                    \
		case LLt: for (int l = 0; l < n; l++) c.i[l] = X(F) < Y(F); break;                                     \
		case LLe: for (int l = 0; l < n; l++) c.i[l] = X(F) <= Y(F); break;                                    \
		default: return false;                                                                                 \
		}                                                                                                      \
		memcpy(r->i, c.i, (size_t)n * sizeof *r->i);                                                           \
		return true;                                                                                           \
	}

FLOAT_OPS(f32, f, fmaf, fabsf, sqrtf, floorf, ceilf, nearbyintf)
FLOAT_OPS(f64, d, fma, fabs, sqrt, floor, ceil, nearbyint)

void combine_lanes(LOp op, DType elem, int n, Val *r, const Val *x, const Val *y, const Val *z)
{
	if (elem == F32) {
		if (!f32_compare(op, n, r, x, y))
			f32_op(op, n, r, x, y, z);
	} else if (elem == F64) {
		if (!f64_compare(op, n, r, x, y))
			f64_op(op, n, r, x, y, z);
	} else if (!int_compare(op, elem, n, r, x, y)) {
		int_op(op, elem, n, r, x, y, z);
	}
}

/* ---- conversions ------------------------------------------------------------------------------------------------- */

static Scalar lane_scalar(DType t, const Val *v, int l)
{
	return scalar_at(t, t == F32 ? (const void *)&v->f[l] : &v->i[l], 0);
}

void set_lane(Val *v, int l, Scalar s)
{
	uint64_t bits = 0;
	put_scalar(&bits, s);
	if (s.dtype == F32)
		memcpy(&v->f[l], &bits, sizeof v->f[l]);
	else
		v->u[l] = is_among(s.dtype, TypesFlt) ? bits : s.u;
}

void convert_lanes(DType from, DType to, int n, Val *r, const Val *x)
{
	Val t;
	for (int l = 0; l < n; l++)
		set_lane(&t, l, cast_scalar(lane_scalar(from, x, l), to));
	memcpy(r, &t, sizeof t);
}

void bitcast_lanes(DType from, DType to, int n, Val *r, const Val *x)
{
	Val t;
	for (int l = 0; l < n; l++) {
		uint64_t bits;
		put_scalar(&bits, lane_scalar(from, x, l));
		set_lane(&t, l, scalar_at(to, &bits, 0));
	}
	memcpy(r, &t, sizeof t);
}

/* ---- across lanes ------------------------------------------------------------------------------------------------ */

/* The tree is loop_ops.def's: lane i with i+8, then i+4, i+2, i+1. */
void reduce_lanes(LOp op, DType elem, Val *r, const Val *x)
{
	LOp each = op == LHAdd ? LAdd : op == LHMax ? LMax : LMin;
	Val t = *x, high;
	for (int n = Lanes / 2; n; n /= 2) {
		if (elem == F32) {
			memcpy(high.f, t.f + n, (size_t)n * sizeof *t.f);
			f32_op(each, n, &t, &t, &high, NULL);
		} else if (elem == F64) {
			memcpy(high.d, t.d + n, (size_t)n * sizeof *t.d);
			f64_op(each, n, &t, &t, &high, NULL);
		} else {
			memcpy(high.i, t.i + n, (size_t)n * sizeof *t.i);
			int_op(each, elem, n, &t, &t, &high, &high);
		}
	}
	r->i[0] = t.i[0];
}

void splat_lane(DType elem, Val *r, const Val *x)
{
	float f = x->f[0];
	double d = x->d[0];
	for (int l = 0; l < Lanes; l++) {
		if (elem == F32)
			r->f[l] = f;
		else
			r->d[l] = d; /* same bytes as i */
	}
}

void iota_lanes(DType elem, Val *r)
{
	for (int l = 0; l < Lanes; l++) {
		if (elem == F32)
			r->f[l] = (float)l;
		else if (elem == F64)
			r->d[l] = l;
		else
			r->i[l] = l;
	}
}

void choose_lanes(DType elem, int n, Val *r, const Val *mask, const Val *x, const Val *y)
{
	Val t;
	for (int l = 0; l < n; l++) {
		const Val *v = mask->i[l] ? x : y;
		if (elem == F32)
			t.f[l] = v->f[l];
		else
			t.d[l] = v->d[l];
	}
	memcpy(r, &t, elem == F32 ? sizeof t.f : sizeof t);
}

void zip_lanes(DType elem, int from, Val *r, const Val *x, const Val *y)
{
	Val t;
	for (int l = 0; l < Lanes; l++) {
		const Val *v = l % 2 ? y : x;
		if (elem == F32)
			t.f[l] = v->f[from + l / 2];
		else
			t.d[l] = v->d[from + l / 2];
	}
	memcpy(r, &t, elem == F32 ? sizeof t.f : sizeof t);
}
