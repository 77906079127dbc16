/* scalar.c - the table of element types, and arithmetic of elements. */
#include "scalar.h"

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

int64_t wrap_int(DType t, int64_t v)
{
	int unused = 64 - 8 * dtypes[t].bytes;
	if (dtypes[t].cls == ClassBool)
		return v != 0;
	uint64_t high = (uint64_t)v << unused;
	return dtypes[t].cls == ClassUnsigned ? (int64_t)(high >> unused) : (int64_t)high >> unused;
}
