/* tensors.h - tensors in files (ONNX .pb, NumPy .npy and .npz), made up, and compared.  Errors are fatal_at the file. */
#ifndef DCC_TENSORS_H
#define DCC_TENSORS_H

#include "../ir/ir.h"

typedef struct NamedTensor {
	const char *name; /* of the tensor in its file; "" if it has none */
	const char *path;
	Tensor t; /* data aligned to 64 */
} NamedTensor;

typedef struct TensorList {
	int n, cap;
	NamedTensor *items;
} TensorList;

void alloc_tensor(Tensor *, const Loc *); /* data for dtype and dims; too large is the user's error */
bool is_tensor_file(const char *path); /* by its ending */
int64_t count_elements(const Tensor *); /* -1: dims are negative or the bytes overflow */
void read_tensor_file(Arena *, const char *path, TensorList *); /* appends */
void read_tensor_folder(Arena *, const char *dir, const char *stem, TensorList *); /* dir/stem_0.pb, ... until one is missing */
void write_pb(Arena *, const char *path, const char *name, const Tensor *);

/* Floats uniform in [-1, 1), integers and bools 0 or 1; the same for the same seed everywhere. */
void fill_random(Tensor *, uint64_t *seed);
void set_element(Tensor *, int64_t i, double value);

typedef struct Tolerance {
	bool elementwise; /* |got - expected| <= atol + rtol * |expected|, instead of */
	double rtol, atol;
	double tol; /* largest error / largest finite |expected| (or the error itself if all are 0) */
} Tolerance;

typedef struct Difference {
	double error; /* of floats: largest error / largest output */
	int64_t wrong; /* elements that differ (integers), break the tolerance (elementwise), or NaN or Inf on one side
			  only */
	int64_t worst; /* element, row-major; -1: none */
	double got, expected; /* there */
	bool same_type, good;
} Difference;

Difference compare_tensors(const Tensor *got, const Tensor *expected, const Tolerance *);
double tensor_element(const Tensor *, int64_t i);
char *tensor_text(Arena *, const Tensor *); /* f32[2, 7] */

#endif
