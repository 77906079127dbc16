/* scalar.c - the table of element types, and arithmetic of elements. */
#include "scalar.h"

#include <math.h>
#include <string.h>

const DTypeInfo dtypes[NDTypes] = {
#define DTYPE(name, text, bits, ctype, cls, onnx) [name] = {text, bits, (bits + 7) / 8, cls, onnx},
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
	return n < 0 || n >= dtypes[t].bits ? 0 : (int64_t)((uint64_t)x << n);
}

int64_t shift_right(DType t, int64_t x, int64_t n)
{
	bool outside = n < 0 || n >= dtypes[t].bits;
	if (dtypes[t].cls == ClassUnsigned)
		return outside ? 0 : (int64_t)((uint64_t)x >> n);
	return x >> (outside ? 63 : n);
}

int64_t wrap_int(DType t, int64_t v)
{
	int unused = 64 - dtypes[t].bits;
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

enum { WideFraction = 52 }; /* of f64 */

const Format formats[NDTypes] = {
	[F32] = {8, 23, 127, SpecialIeee},
	[F16] = {5, 10, 15, SpecialIeee},
	[BF16] = {8, 7, 127, SpecialIeee},
	[F8E4M3FN] = {4, 3, 7, SpecialTop},
	[F8E4M3FNUZ] = {4, 3, 8, SpecialMinusZero},
	[F8E5M2] = {5, 2, 15, SpecialIeee},
	[F8E5M2FNUZ] = {5, 2, 16, SpecialMinusZero},
	[F8E8M0] = {8, 0, 127, SpecialPower},
	[F4E2M1] = {2, 1, 1, SpecialNone},
};

static uint64_t all_magnitude(Format f)
{
	return (UINT64_C(1) << (f.exponent + f.fraction)) - 1;
}

static uint64_t infinite_bits(Format f)
{
	return ((UINT64_C(1) << f.exponent) - 1) << f.fraction;
}

uint64_t largest_bits(DType t)
{
	Format f = formats[t];
	if (f.special == SpecialIeee)
		return infinite_bits(f) - 1;
	return f.special == SpecialMinusZero || f.special == SpecialNone ? all_magnitude(f) : all_magnitude(f) - 1;
}

uint64_t nan_bits(DType t)
{
	Format f = formats[t];
	if (f.special == SpecialIeee)
		return infinite_bits(f) | UINT64_C(1) << (f.fraction - 1);
	return f.special == SpecialMinusZero || f.special == SpecialNone ? all_magnitude(f) + 1 : all_magnitude(f);
}

static double double_of_bits(uint64_t bits)
{
	double d;
	memcpy(&d, &bits, sizeof d);
	return d;
}

static uint64_t bits_of_double(double d)
{
	uint64_t bits;
	memcpy(&bits, &d, sizeof bits);
	return bits;
}

/* C converts f32 and f64, but makes NaNs quiet: here they keep their bits, as many as there is room for. */
static double widen_nan(Format f, uint64_t bits)
{
	uint64_t sign = bits >> (f.exponent + f.fraction) << 63, fraction = bits & ((UINT64_C(1) << f.fraction) - 1);
	if (f.special == SpecialIeee)
		return double_of_bits(sign | UINT64_C(0x7ff) << WideFraction | fraction << (WideFraction - f.fraction));
	return double_of_bits(f.special == SpecialTop ? sign | QuietNaN : QuietNaN);
}

static uint64_t narrow_nan(DType t, double d)
{
	Format f = formats[t];
	uint64_t wide = bits_of_double(d), sign = wide >> 63 << (f.exponent + f.fraction);
	uint64_t fraction = wide >> (WideFraction - f.fraction) & ((UINT64_C(1) << f.fraction) - 1);
	if (f.special == SpecialIeee)
		return sign | infinite_bits(f) | (fraction ? fraction : 1);
	return f.special == SpecialTop ? sign | nan_bits(t) : nan_bits(t);
}

static double widen_f32(uint32_t bits)
{
	float f;
	memcpy(&f, &bits, sizeof f);
	return f != f ? widen_nan(formats[F32], bits) : (double)f;
}

static uint32_t narrow_f32(double d)
{
	float f = (float)d;
	uint32_t bits;
	memcpy(&bits, &f, sizeof bits);
	return d != d ? (uint32_t)narrow_nan(F32, d) : bits;
}

static bool is_nan_bits(DType t, uint64_t bits)
{
	Format f = formats[t];
	uint64_t magnitude = bits & all_magnitude(f);
	if (f.special == SpecialNone)
		return false;
	if (f.special == SpecialMinusZero)
		return bits == nan_bits(t);
	return f.special == SpecialIeee ? magnitude > infinite_bits(f) : magnitude == nan_bits(t);
}

static double widen_small(DType t, uint64_t bits)
{
	Format f = formats[t];
	int exponent = (int)(bits >> f.fraction) & ((1 << f.exponent) - 1);
	uint64_t fraction = bits & ((UINT64_C(1) << f.fraction) - 1);
	double d;
	if (is_nan_bits(t, bits))
		return widen_nan(f, bits);
	if (f.special == SpecialIeee && (bits & all_magnitude(f)) == infinite_bits(f))
		d = INFINITY;
	else if (exponent || f.special == SpecialPower)
		d = ldexp((double)(fraction | UINT64_C(1) << f.fraction), exponent - f.bias - f.fraction);
	else
		d = ldexp((double)fraction, 1 - f.bias - f.fraction);
	return bits >> (f.exponent + f.fraction) & 1 ? -d : d;
}

/* The next power of two that is not less, of those that there are. */
static uint64_t narrow_power(DType t, double d)
{
	int exponent, bias = formats[t].bias;
	double half = frexp(d, &exponent); /* d = half * 2^exponent, half from 1/2 to 1 */
	if (d <= ldexp(1, -bias))
		return 0;
	return d > widen_small(t, largest_bits(t)) ? largest_bits(t) : (uint64_t)(exponent - (half == 0.5) + bias);
}

/* Rounded once; what is beyond the largest number by half of its last place or more is infinite, or that number if there is no
 * infinity. */
static uint64_t narrow_small(DType t, double d)
{
	Format f = formats[t];
	uint64_t most = largest_bits(t), beyond = f.special == SpecialIeee ? infinite_bits(f) : most;
	uint64_t sign = (uint64_t)(signbit(d) != 0) << (f.exponent + f.fraction);
	int exponent;
	if (d != d)
		return narrow_nan(t, d);
	if (f.special == SpecialPower)
		return narrow_power(t, d);
	if (isinf(d))
		return sign | beyond;
	frexp(d, &exponent); /* 2^(exponent - 1) <= |d| */
	exponent = exponent - 1 < 1 - f.bias || d == 0 ? 1 - f.bias : exponent - 1;
	/* in units of the last place: a carry beyond the fraction increments the exponent, as it should */
	uint64_t units = (uint64_t)nearbyint(ldexp(fabs(d), f.fraction - exponent));
	uint64_t bits = units + ((uint64_t)(exponent + f.bias - 1) << f.fraction);
	if (f.special == SpecialMinusZero && !bits)
		return 0;
	return sign | (bits > most ? beyond : bits);
}

static double real_of_bits(DType t, uint64_t bits)
{
	return t == F64 ? double_of_bits(bits) : t == F32 ? widen_f32((uint32_t)bits) : widen_small(t, bits);
}

static uint64_t bits_of_real(DType t, double d)
{
	return t == F64 ? bits_of_double(d) : t == F32 ? narrow_f32(d) : narrow_small(t, d);
}

/* The types of a byte saturate. */
static double round_real(DType t, double d)
{
	if (is_tiny(t) && d == d)
		d = fmin(fmax(d, lowest_scalar(t).f), highest_scalar(t).f);
	return t == F64 ? d : real_of_bits(t, bits_of_real(t, d));
}

/* Integers reach the narrow types through f32. */
static double round_int(DType t, bool sign, uint64_t v)
{
	double wide = sign ? (double)(int64_t)v : (double)v;
	float single = sign ? (float)(int64_t)v : (float)v; /* rounded once */
	return t == F64 ? wide : round_real(t, (double)single);
}

/* ---- scalars ---------------------------------------------------------------------------------------------------- */

size_t packed_bytes(DType t, int64_t elements)
{
	size_t n = (size_t)elements, share = 8 / (size_t)(is_packed(t) ? dtypes[t].bits : 8);
	return n / share * (size_t)dtypes[t].bytes + (n % share != 0);
}

void pack_elements(DType t, const void *from, int64_t elements, void *to)
{
	const uint8_t *x = from;
	uint8_t *y = to, mask = (uint8_t)((1 << dtypes[t].bits) - 1);
	size_t bytes = packed_bytes(t, elements);
	if (bytes)
		memset(to, 0, bytes);
	for (int64_t i = 0; i < elements; i++)
		y[i * dtypes[t].bits / 8] |= (uint8_t)((x[i] & mask) << i * dtypes[t].bits % 8);
}

void unpack_elements(DType t, const void *from, int64_t elements, void *to)
{
	const uint8_t *x = from;
	uint8_t *y = to, mask = (uint8_t)((1 << dtypes[t].bits) - 1), sign = dtypes[t].cls == ClassSigned ? (mask >> 1) + 1 : 0;
	for (int64_t i = 0; i < elements; i++) {
		uint8_t bits = (uint8_t)(x[i * dtypes[t].bits / 8] >> i * dtypes[t].bits % 8) & mask;
		y[i] = (uint8_t)((bits ^ sign) - sign);
	}
}

Scalar scalar_at(DType t, const void *data, int64_t index)
{
	int bytes = dtypes[t].bytes;
	Scalar s = {.dtype = t};
	memcpy(&s.u, (const char *)data + index * bytes, (size_t)bytes); /* little-endian, as the targets are */
	if (is_among(t, TypesFlt))
		s.f = real_of_bits(t, s.u);
	else
		s.i = wrap_int(t, s.i);
	return s;
}

void put_scalar(void *to, Scalar s)
{
	uint64_t bits = is_among(s.dtype, TypesFlt) ? bits_of_real(s.dtype, s.f) : s.u;
	memcpy(to, &bits, (size_t)dtypes[s.dtype].bytes);
}

Scalar scalar_of_int(DType t, int64_t v)
{
	Scalar s = {.dtype = t};
	if (is_among(t, TypesFlt))
		s.f = round_int(t, true, (uint64_t)v);
	else
		s.i = wrap_int(t, v);
	return s;
}

double unit_of(DType t)
{
	return ldexp(1, t == F64 ? -WideFraction : -formats[t].fraction);
}

Scalar lowest_scalar(DType t)
{
	Scalar s = {.dtype = t};
	if (is_tiny(t))
		s.f = formats[t].special == SpecialPower ? real_of_bits(t, 0) : -real_of_bits(t, largest_bits(t));
	else if (is_among(t, TypesFlt))
		s.f = -INFINITY;
	else if (dtypes[t].cls == ClassSigned)
		s.i = INT64_MIN >> (64 - dtypes[t].bits);
	return s;
}

Scalar highest_scalar(DType t)
{
	Scalar s = {.dtype = t};
	int unused = 64 - dtypes[t].bits;
	switch (dtypes[t].cls) {
	case ClassFloat: s.f = is_tiny(t) ? real_of_bits(t, largest_bits(t)) : INFINITY; break;
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
	return dtypes[t].bits < 32 ? I32 : t;
}

/* As cast: truncates, saturates at saturating_type(), keeps the low bits; NaN gives 0. */
static int64_t real_to_int(double x, DType t)
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
		r.f = round_int(t, false, s.u);
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
