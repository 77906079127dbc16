/* tensors.c - see tensors.h.  A .pb is one serialized ONNX TensorProto without external data.  File contents are
 * untrusted: every count is checked against the bytes that are there before anything of its size is allocated. */
#include "numpy.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../frontend/typed_data.h"

/* ---- memory ------------------------------------------------------------------------------------------------------ */

int64_t count_elements(const Tensor *t)
{
	int64_t n = 1, bytes;
	for (int d = 0; d < t->rank; d++)
		if (t->dims[d] < 0 || __builtin_mul_overflow(n, t->dims[d], &n))
			return -1;
	return __builtin_mul_overflow(n, dtypes[t->dtype].bytes, &bytes) ? -1 : n;
}

void alloc_tensor(Tensor *t, const Loc *loc)
{
	int64_t n = count_elements(t);
	size_t bytes = n < 0 ? 0 : (size_t)n * dtypes[t->dtype].bytes;
	if (n < 0 || bytes > (size_t)1 << 46)
		fatal_at(loc, "the tensor is too large");
	t->data = aligned_alloc(64, (bytes + 64) / 64 * 64);
	if (!t->data)
		fatal_at(loc, "no memory for a tensor of %zu bytes", bytes);
}

static void *must_alloc(size_t bytes)
{
	void *p = malloc(bytes + 1);
	if (!p)
		fatal_at(NULL, "no memory for a tensor of %zu bytes", bytes);
	return p;
}

bool is_tensor_file(const char *path)
{
	return ends_with(path, ".pb") || ends_with(path, ".npy") || ends_with(path, ".npz");
}

static bool find_onnx_dtype(int onnx, DType *found)
{
	for (int i = 0; i < NDTypes; i++)
		if (dtypes[i].onnx == onnx) {
			*found = i;
			return true;
		}
	return false;
}

/* ---- .pb --------------------------------------------------------------------------------------------------------- */

/* What is wrong with the message, or NULL: then out has its type and dims. */
static const char *check_proto(Arena *arena, const Onnx__TensorProto *p, Tensor *out)
{
	if (!find_onnx_dtype(p->data_type, &out->dtype))
		return arena_printf(arena, "element type %d of ONNX is not supported", p->data_type);
	if (p->n_dims > MaxRank)
		return arena_printf(arena, "rank %zu, at most %d is supported", p->n_dims, MaxRank);
	if (p->n_external_data || p->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
		return "external data are not supported here";
	out->rank = (int)p->n_dims;
	for (int d = 0; d < out->rank; d++)
		out->dims[d] = p->dims[d];
	int64_t n = count_elements(out);
	size_t bytes = n < 0 ? 0 : packed_bytes(out->dtype, n), have = count_typed(p, out->dtype);
	size_t want = is_packed(out->dtype) ? bytes : (size_t)n;
	if (n < 0)
		return "its dims are negative or too large";
	if (p->has_raw_data && p->raw_data.len != bytes)
		return arena_printf(arena, "%zu bytes of data, expected %zu for its dims", p->raw_data.len, bytes);
	if (!p->has_raw_data && have != want)
		return arena_printf(arena, "%zu elements, expected %zu for its dims", have, want);
	return NULL;
}

static void unpack_proto(Tensor *t, const Onnx__TensorProto *p)
{
	int64_t n = tensor_numel(t);
	uint8_t *typed = p->has_raw_data ? NULL : must_alloc(packed_bytes(t->dtype, n));
	if (typed)
		read_typed(p, t->dtype, typed);
	unpack_elements(t->dtype, typed ? typed : p->raw_data.data, n, t->data);
	free(typed);
}

static void fill_from_proto(Tensor *t, const Onnx__TensorProto *p)
{
	int64_t n = tensor_numel(t);
	if (is_packed(t->dtype))
		unpack_proto(t, p);
	else if (!p->has_raw_data)
		read_typed(p, t->dtype, t->data);
	else if (n)
		memcpy(t->data, p->raw_data.data, p->raw_data.len);
	for (int64_t i = 0; t->dtype == Bool && i < n; i++)
		((uint8_t *)t->data)[i] = ((uint8_t *)t->data)[i] != 0;
}

void set_element(Tensor *t, int64_t i, double value)
{
	put_scalar((char *)t->data + i * dtypes[t->dtype].bytes, scalar_of_real(t->dtype, value));
}

static void read_pb(Arena *arena, const uint8_t *bytes, size_t size, NamedTensor *out, const Loc *loc)
{
	Onnx__TensorProto *p = onnx__tensor_proto__unpack(NULL, size, bytes);
	if (!p)
		fatal_at(loc, "not a tensor (a serialized ONNX TensorProto)");
	const char *wrong = check_proto(arena, p, &out->t);
	if (!wrong) {
		out->name = arena_strdup(arena, p->name ? p->name : "");
		alloc_tensor(&out->t, loc);
		fill_from_proto(&out->t, p);
	}
	onnx__tensor_proto__free_unpacked(p, NULL);
	if (wrong)
		fatal_at(loc, "%s", wrong);
}

void write_pb(Arena *arena, const char *path, const char *name, const Tensor *t)
{
	const Loc loc = {.file = path};
	Onnx__TensorProto p = ONNX__TENSOR_PROTO__INIT;
	int64_t dims[MaxRank];
	memcpy(dims, t->dims, sizeof dims);
	p.n_dims = t->rank;
	p.dims = dims;
	p.has_data_type = true;
	p.data_type = dtypes[t->dtype].onnx;
	p.name = arena_strdup(arena, name);
	p.has_raw_data = true;
	p.raw_data.len = packed_bytes(t->dtype, tensor_numel(t));
	p.raw_data.data = is_packed(t->dtype) ? must_alloc(p.raw_data.len) : t->data;
	if (is_packed(t->dtype))
		pack_elements(t->dtype, t->data, tensor_numel(t), p.raw_data.data);
	size_t size = onnx__tensor_proto__get_packed_size(&p);
	uint8_t *bytes = malloc(size);
	if (!bytes)
		fatal_at(&loc, "no memory");
	onnx__tensor_proto__pack(&p, bytes);
	FILE *f = fopen(path, "wb");
	size_t written = f ? fwrite(bytes, 1, size, f) : 0;
	if (!f || fclose(f) || written != size)
		fatal_at(&loc, "cannot be written: %s", strerror(errno));
	free(bytes);
	if (p.raw_data.data != t->data)
		free(p.raw_data.data);
}

/* ---- files --------------------------------------------------------------------------------------------------------- */

void read_tensor_file(Arena *arena, const char *path, TensorList *list)
{
	NamedTensor one = {.path = arena_strdup(arena, path)};
	const Loc loc = {.file = one.path};
	size_t size;
	const uint8_t *bytes = map_file(arena, path, &size);
	if (!bytes)
		fatal_at(&loc, "cannot be read: %s", strerror(errno));
	if (ends_with(path, ".npz")) {
		read_npz(arena, bytes, size, list, &loc);
		return;
	}
	if (ends_with(path, ".npy"))
		read_npy(arena, bytes, size, &one, &loc);
	else
		read_pb(arena, bytes, size, &one, &loc);
	PUSH(arena, list->items, list->n, list->cap, one);
}

void read_tensor_folder(Arena *arena, const char *dir, const char *stem, TensorList *list)
{
	for (int n = 0;; n++) {
		const char *path = arena_printf(arena, "%s/%s_%d.pb", dir, stem, n);
		if (access(path, F_OK))
			return;
		read_tensor_file(arena, path, list);
	}
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static uint64_t next_random(uint64_t *seed) /* splitmix64 (Steele, Lea, Flood 2014) */
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

void fill_random(Tensor *t, uint64_t *seed)
{
	bool real = is_among(t->dtype, TypesFlt);
	char *to = t->data;
	for (int64_t i = 0, n = tensor_numel(t); i < n; i++, to += dtypes[t->dtype].bytes) {
		uint64_t r = next_random(seed);
		put_scalar(to, real ? scalar_of_real(t->dtype, (double)(r >> 40) / (1 << 23) - 1)
		                    : scalar_of_int(t->dtype, (int64_t)(r >> 63)));
	}
}

double tensor_element(const Tensor *t, int64_t i)
{
	return cast_scalar(scalar_at(t->dtype, t->data, i), F64).f;
}

static bool same_type(const Tensor *a, const Tensor *b)
{
	return a->dtype == b->dtype && a->rank == b->rank && !memcmp(a->dims, b->dims, a->rank * sizeof *a->dims);
}

static void note_worst(Difference *d, int64_t i, double got, double expected)
{
	d->worst = i;
	d->got = got;
	d->expected = expected;
}

static void compare_floats(Difference *d, const Tensor *got, const Tensor *expected, const Tolerance *tol)
{
	double scale = 0, largest = 0, worst_excess = 0;
	for (int64_t i = 0, n = tensor_numel(got); i < n; i++) {
		double g = tensor_element(got, i), e = tensor_element(expected, i);
		if (isfinite(e) && fabs(e) > scale)
			scale = fabs(e);
		if ((isnan(g) && isnan(e)) || g == e)
			continue;
		if (!isfinite(g) || !isfinite(e)) {
			if (!d->wrong++ || worst_excess < INFINITY)
				note_worst(d, i, g, e);
			worst_excess = largest = INFINITY;
			continue;
		}
		double error = fabs(g - e), excess = tol->elementwise ? error - tol->atol - tol->rtol * fabs(e) : error;
		largest = fmax(largest, error);
		d->wrong += tol->elementwise && excess > 0;
		if (d->worst < 0 || excess > worst_excess) {
			worst_excess = excess;
			note_worst(d, i, g, e);
		}
	}
	d->error = scale > 0 ? largest / scale : largest;
	d->good = !d->wrong && (tol->elementwise || d->error <= tol->tol);
}

static void compare_integers(Difference *d, const Tensor *got, const Tensor *expected)
{
	size_t size = dtypes[got->dtype].bytes;
	for (int64_t i = 0, n = tensor_numel(got); i < n; i++)
		if (memcmp((char *)got->data + i * size, (char *)expected->data + i * size, size) && !d->wrong++)
			note_worst(d, i, tensor_element(got, i), tensor_element(expected, i));
	d->good = !d->wrong;
}

Difference compare_tensors(const Tensor *got, const Tensor *expected, const Tolerance *tol)
{
	Difference d = {.worst = -1, .same_type = same_type(got, expected)};
	if (!d.same_type)
		return d;
	if (dtypes[got->dtype].cls == ClassFloat)
		compare_floats(&d, got, expected, tol);
	else
		compare_integers(&d, got, expected);
	return d;
}

char *tensor_text(Arena *arena, const Tensor *t)
{
	char *s = arena_printf(arena, "%s[", dtypes[t->dtype].text);
	for (int d = 0; d < t->rank; d++)
		s = arena_printf(arena, "%s%s%lld", s, d ? ", " : "", (long long)t->dims[d]);
	return arena_printf(arena, "%s]", s);
}
