/* numpy.h - reads NumPy's files.  Their contents are untrusted; errors are fatal_at the file. */
#ifndef DCC_NUMPY_H
#define DCC_NUMPY_H

#include "tensors.h"

/* A .npy: the tensor alone, without a name. */
void read_npy(Arena *, const uint8_t *bytes, size_t size, NamedTensor *, const Loc *);
/* An .npz, as numpy.savez writes it: appends its tensors with their names. */
void read_npz(Arena *, const uint8_t *bytes, size_t size, TensorList *, const Loc *);

#endif
