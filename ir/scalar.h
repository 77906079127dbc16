/* scalar.h - element types, and the arithmetic of their elements that everybody shares. */
#ifndef DCC_SCALAR_H
#define DCC_SCALAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum DType {
#define DTYPE(name, text, bits, ctype, cls, onnx) name,
#include "dtypes.def"
#undef DTYPE
	NDTypes
} DType;

typedef enum DClass { ClassFloat, ClassSigned, ClassUnsigned, ClassBool } DClass;

typedef struct DTypeInfo {
	const char *text;
	int bits, bytes;
	DClass cls;
	int onnx;
} DTypeInfo;
extern const DTypeInfo dtypes[NDTypes];

bool find_dtype(const char *text, DType *dtype);

/* Sets of element types, by class. */
enum {
	TypesNone = 0,
	TypesFlt = 1 << ClassFloat,
	TypesInt = 1 << ClassSigned | 1 << ClassUnsigned,
	TypesNum = TypesFlt | TypesInt,
	TypesBits = TypesInt | 1 << ClassBool,
	TypesAny = TypesNum | TypesBits
};

static inline bool is_among(DType t, int types)
{
	return types >> dtypes[t].cls & 1;
}

/* May weights be stored in that type, where products of f32 read them? */
static inline bool is_weight_type(DType t)
{
	return t == F16 || t == BF16 || t == I8 || t == U8;
}

/* A floating type that is only stored: arithmetic is f32's. */
static inline bool is_narrow(DType t)
{
	return dtypes[t].cls == ClassFloat && dtypes[t].bits < 32;
}

/* A type that is only stored, and the one that computes with its elements: itself, if it is not. */
static inline DType wide_type(DType t)
{
	if (dtypes[t].bits < 8)
		return dtypes[t].cls == ClassFloat ? F32 : dtypes[t].cls == ClassSigned ? I8 : U8;
	return is_narrow(t) ? F32 : t;
}

static inline bool is_stored(DType t)
{
	return wide_type(t) != t;
}

/* Less than a byte: packed in the inputs and outputs of a compiled model. */
static inline bool is_packed(DType t)
{
	return dtypes[t].bits < 8;
}

/* An integer that fits into half a byte: less the least of its type, so that it has no sign there. */
static inline bool is_half(DType t)
{
	return is_packed(t) && dtypes[t].cls != ClassFloat;
}

/* Elements of an input of the type may be dims. */
static inline bool may_be_dims(DType t)
{
	return is_among(t, TypesInt) && !is_packed(t);
}

/* A floating type of at most a byte: what is beyond its largest number becomes that. */
static inline bool is_tiny(DType t)
{
	return dtypes[t].cls == ClassFloat && dtypes[t].bits <= 8;
}

/* How a floating type tells what is no number. */
typedef enum Special {
	SpecialIeee, /* by an exponent of ones: infinite, or NaN */
	SpecialTop, /* the largest magnitude is NaN; none is infinite */
	SpecialMinusZero, /* -0 is NaN; none is infinite */
	SpecialPower, /* as Top; but the type has no sign and no 0: its bits are an exponent */
	SpecialNone /* all are numbers; NaN becomes -0, as in ONNX's cases: its text leaves that open */
} Special;

/* A sign, an exponent of that many bits, which is biased, and a fraction. */
typedef struct Format {
	int exponent, fraction, bias;
	Special special;
} Format;
extern const Format formats[NDTypes]; /* of floating types of less than 64 bits */
uint64_t largest_bits(DType); /* of those: of the largest number */
uint64_t nan_bits(DType); /* the quiet one, or what it becomes */
#define QuietNaN UINT64_C(0x7ff8000000000000) /* of an f64 */

/* ---- integers: they wrap; a quotient is rounded down, a remainder has the sign of the divisor; both are 0 by 0 ------- */

static inline int64_t add_int(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static inline int64_t sub_int(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a - (uint64_t)b);
}

static inline int64_t mul_int(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a * (uint64_t)b);
}

int64_t floor_div(int64_t a, int64_t b);
/* A count that is negative or not below the width shifts all bits out; to the right the sign comes in. */
int64_t shift_left(DType, int64_t x, int64_t n);
int64_t shift_right(DType, int64_t x, int64_t n);
int64_t floor_mod(int64_t a, int64_t b);
int64_t wrap_int(DType, int64_t); /* to an integer type: its low bits; to bool: is not 0 */

/* Of two elements of the type, as wrap_int() leaves them: from 2^63 on a u64 is negative here. */
bool less_int(DType, int64_t a, int64_t b);
int64_t divide_int(DType, int64_t a, int64_t b);
int64_t modulo_int(DType, int64_t a, int64_t b);
int64_t pow_int(DType, int64_t a, int64_t b); /* not wrapped; a negative power is what is left of the reciprocal, 0 for 0 */

/* ---- one element of any type, exactly ---------------------------------------------------------------------------- */

typedef struct Scalar {
	DType dtype;
	union {
		double f; /* of a floating type, widened; a NaN keeps its bits */
		int64_t i; /* of any other, as wrap_int() leaves it */
		uint64_t u; /* the same bits */
	};
} Scalar;

size_t packed_bytes(DType, int64_t elements); /* in files and ports, of any type */
/* Elements of less than a byte: 8 / bits to a byte, the first in its low bits, the last byte filled up with zeros. */
void pack_elements(DType, const void *from, int64_t elements, void *to);
void unpack_elements(DType, const void *from, int64_t elements, void *to);

Scalar scalar_at(DType, const void *data, int64_t index); /* need not be aligned */
void put_scalar(void *to, Scalar);
Scalar scalar_of_int(DType, int64_t); /* integers wrap, floating types round */
Scalar scalar_of_real(DType, double); /* the nearest value towards 0; to a floating type rounded; NaN gives 0, to bool: is not 0 */
double unit_of(DType); /* floating types: from 1 to the next number */
Scalar lowest_scalar(DType); /* -inf (or the least number, where the type saturates), the least integer, false */
Scalar highest_scalar(DType);
Scalar cast_scalar(Scalar, DType); /* as the operator cast */
bool same_scalar(Scalar, Scalar); /* type and bits: -0 is not 0, a NaN is itself */
bool scalar_as_int(Scalar, int64_t *); /* false where it has a fraction or does not fit */
bool scalar_as_real(Scalar, double *); /* false where a double cannot hold it */
/* What a floating number becomes on its way to the integer type t, which then keeps the low bits: t, or i32 where t is narrower. */
DType saturating_type(DType t);

#endif
