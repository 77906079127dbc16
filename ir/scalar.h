/* scalar.h - element types, and the arithmetic of their elements that everybody shares. */
#ifndef DCC_SCALAR_H
#define DCC_SCALAR_H

#include <stdbool.h>
#include <stdint.h>

typedef enum DType {
#define DTYPE(name, text, bytes, ctype, cls, onnx) name,
#include "dtypes.def"
#undef DTYPE
	NDTypes
} DType;

typedef enum DClass { ClassFloat, ClassSigned, ClassUnsigned, ClassBool } DClass;

typedef struct DTypeInfo {
	const char *text;
	int bytes;
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
int64_t floor_mod(int64_t a, int64_t b);
int64_t wrap_int(DType, int64_t); /* to an integer type: its low bits; to bool: is not 0 */

#endif
