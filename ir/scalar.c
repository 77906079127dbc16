/* scalar.c - the table of element types, and arithmetic of elements. */
#include "scalar.h"

#include <math.h>
#include <string.h>

const DTypeInfo dtypes[NDTypes] = {
#define DTYPE(name, text, bytes, ctype, cls, onnx) [name] = {text, bytes, cls, onnx},
#include "dtypes.def"
#undef DTYPE
};

bool find_dtype(const char *text, DType *dtype)
{
	for (int i = 0; i < NDTypes; i++) {
		if (!strcmp(dtypes[i].text, text)) {
			*dtype = i;
			return true;
		}
	}
	return false;
}

/* ---- integers --------------------------------------------------------------------------------------------------- */

int64_t floor_div(int64_t a, int64_t b)
{
	if (b == 0)
		return 0;
	if (b == -1)
		return sub_int(0, a);
	return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

int64_t floor_mod(int64_t a, int64_t b)
{
	return b ? sub_int(a, mul_int(b, floor_div(a, b))) : 0;
}

int64_t shift_left(DType t, int64_t x, int64_t n)
{
	return n < 0 || n >= 8 * dtypes[t].bytes ? 0 : (int64_t)((uint64_t)x << n);
}

int64_t shift_right(DType t, int64_t x, int64_t n)
{
	bool outside = n < 0 || n >= 8 * dtypes[t].bytes;
	if (dtypes[t].cls == ClassUnsigned)
		return outside ? 0 : (int64_t)((uint64_t)x >> n);
	return x >> (outside ? 63 : n);
}

int64_t wrap_int(DType t, int64_t v)
{
	int unused = 64 - 8 * dtypes[t].bytes;
	if (dtypes[t].cls == ClassBool)
		return v != 0;
	uint64_t high = (uint64_t)v << unused;
	return dtypes[t].cls == ClassUnsigned ? (int64_t)(high >> unused) : (int64_t)high >> unused;
}

static bool is_unsigned(DType t)
{
	return dtypes[t].cls == ClassUnsigned;
}

bool less_int(DType t, int64_t a, int64_t b)
{
	return is_unsigned(t) ? (uint64_t)a < (uint64_t)b : a < b;
}

int64_t divide_int(DType t, int64_t a, int64_t b)
{
	if (!is_unsigned(t))
		return floor_div(a, b);
	return b ? (int64_t)((uint64_t)a / (uint64_t)b) : 0;
}

int64_t modulo_int(DType t, int64_t a, int64_t b)
{
	return b ? sub_int(a, mul_int(b, divide_int(t, a, b))) : 0;
}

int64_t pow_int(DType t, int64_t a, int64_t b)
{
	int64_t r = 1;
	if (less_int(t, b, 0))
		return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
	for (uint64_t n = (uint64_t)b; n; n >>= 1, a = mul_int(a, a))
		if (n & 1)
			r = mul_int(r, a);
	return r;
}

static double real_of_int(Scalar s)
{
	return is_unsigned(s.dtype) ? (double)s.u : (double)s.i;
}

/* ---- floating types --------------------------------------------------------------------------------------------- */

enum { NarrowShift = 52 - 23 }; /* between the fractions of f32 and f64 */

/* C's conversions make NaNs quiet, these move the bits. */
static double widen(uint32_t bits)
{
	float f;
	double d;
	memcpy(&f, &bits, sizeof f);
	d = (double)f;
	if (f != f) {
		uint64_t wide = (uint64_t)(bits >> 31) << 63 | UINT64_C(0x7ff) << 52
		                | (uint64_t)(bits & 0x7fffff) << NarrowShift;
		memcpy(&d, &wide, sizeof d);
	}
	return d;
}

static uint32_t narrow(double d)
{
	float f = (float)d;
	uint32_t bits;
	uint64_t wide;
	memcpy(&bits, &f, sizeof bits);
	memcpy(&wide, &d, sizeof wide);
	if (d != d) {
		uint32_t fraction = (uint32_t)(wide >> NarrowShift & 0x7fffff);
		bits = (uint32_t)(wide >> 63) << 31 | UINT32_C(0xff) << 23 | (fraction ? fraction : 1);
	}
	return bits;
}

static double round_real(DType t, double d)
{
	return t == F32 ? widen(narrow(d)) : d;
}

/* ---- scalars ---------------------------------------------------------------------------------------------------- */

Scalar scalar_at(DType t, const void *data, int64_t index)
{
	int bytes = dtypes[t].bytes;
	Scalar s = {.dtype = t};
	memcpy(&s.u, (const char *)data + index * bytes, (size_t)bytes); /* little-endian, as the targets are */
	if (t == F32)
		s.f = widen((uint32_t)s.u);
	else if (!is_among(t, TypesFlt))
		s.i = wrap_int(t, s.i);
	return s;
}

void put_scalar(void *to, Scalar s)
{
	uint64_t bits = s.dtype == F32 ? narrow(s.f) : s.u;
	memcpy(to, &bits, (size_t)dtypes[s.dtype].bytes);
}

Scalar scalar_of_int(DType t, int64_t v)
{
	Scalar s = {.dtype = t};
	if (t == F32)
		s.f = (double)(float)v; /* rounded once */
	else if (is_among(t, TypesFlt))
		s.f = (double)v;
	else
		s.i = wrap_int(t, v);
	return s;
}

Scalar lowest_scalar(DType t)
{
	Scalar s = {.dtype = t};
	if (is_among(t, TypesFlt))
		s.f = -INFINITY;
	else if (dtypes[t].cls == ClassSigned)
		s.i = INT64_MIN >> (64 - 8 * dtypes[t].bytes);
	return s;
}

Scalar highest_scalar(DType t)
{
	Scalar s = {.dtype = t};
	int unused = 64 - 8 * dtypes[t].bytes;
	switch (dtypes[t].cls) {
	case ClassFloat: s.f = INFINITY; break;
	case ClassSigned: s.i = INT64_MAX >> unused; break;
	case ClassUnsigned: s.u = UINT64_MAX >> unused; break;
	case ClassBool: s.i = 1; break;
	}
	return s;
}

Scalar scalar_of_real(DType t, double x)
{
	Scalar lo = lowest_scalar(t), hi = highest_scalar(t), s = {.dtype = t};
	if (is_among(t, TypesFlt))
		s.f = round_real(t, x);
	else if (dtypes[t].cls == ClassBool)
		s.i = x != 0;
	else if (x != x)
		s.i = 0;
	else if (x <= real_of_int(lo))
		s = lo;
	else if (x >= real_of_int(hi))
		s = hi;
	else if (is_unsigned(t))
		s.u = (uint64_t)x;
	else
		s.i = (int64_t)x;
	return s;
}

DType saturating_type(DType t)
{
	return dtypes[t].bytes < 4 ? I32 : t;
}

int64_t real_to_int(double x, DType t)
{
	return wrap_int(t, scalar_of_real(saturating_type(t), x).i);
}

Scalar cast_scalar(Scalar s, DType t)
{
	bool from_real = is_among(s.dtype, TypesFlt), to_real = is_among(t, TypesFlt);
	Scalar r = {.dtype = t};
	if (from_real && to_real)
		r.f = round_real(t, s.f);
	else if (from_real)
		r.i = dtypes[t].cls == ClassBool ? s.f != 0 : real_to_int(s.f, t);
	else if (to_real && is_unsigned(s.dtype))
		r.f = t == F32 ? (double)(float)s.u : (double)s.u;
	else
		r = scalar_of_int(t, s.i);
	return r;
}

bool same_scalar(Scalar a, Scalar b)
{
	return a.dtype == b.dtype && a.u == b.u;
}

bool scalar_as_int(Scalar s, int64_t *v)
{
	if (is_among(s.dtype, TypesFlt)) {
		if (!(s.f >= -0x1p63 && s.f < 0x1p63) || (double)(int64_t)s.f != s.f)
			return false;
		*v = (int64_t)s.f;
		return true;
	}
	*v = s.i;
	return s.i >= 0 || !is_unsigned(s.dtype);
}

bool scalar_as_real(Scalar s, double *v)
{
	int64_t i;
	*v = is_among(s.dtype, TypesFlt) ? s.f : real_of_int(s);
	return is_among(s.dtype, TypesFlt) || (scalar_as_int(s, &i) && i >= -(INT64_C(1) << 53) && i <= INT64_C(1) << 53);
}
