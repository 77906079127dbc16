/* typed_data.h - elements of a TensorProto that are not raw bytes. */
#ifndef DCC_TYPED_DATA_H
#define DCC_TYPED_DATA_H

#include "../ir/scalar.h"
#include "onnx.pb-c.h"

size_t count_typed(const Onnx__TensorProto *, DType); /* elements in the field where that type's stand */
void read_typed(const Onnx__TensorProto *, DType, void *to); /* all of them; what is narrower than the field keeps its low bits */

#endif
