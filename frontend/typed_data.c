/* typed_data.c - see typed_data.h.  onnx.proto says which field holds which element type. */
#include "typed_data.h"

#include <string.h>

typedef struct Field {
	const void *data;
	size_t count, bytes; /* of an element */
} Field;

static Field field_of(const Onnx__TensorProto *t, DType dtype)
{
	switch (dtype) {
	case F32: return (Field){t->float_data, t->n_float_data, sizeof *t->float_data};
	case F64: return (Field){t->double_data, t->n_double_data, sizeof *t->double_data};
	case I64: return (Field){t->int64_data, t->n_int64_data, sizeof *t->int64_data};
	case U32: case U64: return (Field){t->uint64_data, t->n_uint64_data, sizeof *t->uint64_data};
	default: return (Field){t->int32_data, t->n_int32_data, sizeof *t->int32_data};
	}
}

size_t count_typed(const Onnx__TensorProto *t, DType dtype)
{
	return field_of(t, dtype).count;
}

void read_typed(const Onnx__TensorProto *t, DType dtype, void *to)
{
	Field f = field_of(t, dtype);
	size_t bytes = (size_t)dtypes[dtype].bytes;
	for (size_t i = 0; i < f.count; i++) {
		const char *from = (const char *)f.data + i * f.bytes;
		int32_t truth;
		memcpy((char *)to + i * bytes, from, bytes); /* little-endian: the low bytes; packed elements are one */
		if (dtype == Bool)
			*((char *)to + i) = (memcpy(&truth, from, sizeof truth), truth != 0);
	}
}
