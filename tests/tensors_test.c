/* tensors_test.c - files of tensors that dcc-run reads: round trips, every cut and many spoilt bytes, comparison of
 * outputs. */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "../tools/tensors.h"
#include "test.h"

static char folder[] = "/tmp/dcc-tensors-XXXXXX";
static char path[64];

static const char *write_file(const char *name, const void *bytes, size_t size)
{
	snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *f = fopen(path, "wb");
	if (f && fwrite(bytes, 1, size, f) == size && !fclose(f))
		return path;
	perror(path);
	exit(1);
}

/* The last tensor of a file. */
static void read_tensor(Arena *arena, const char *file, NamedTensor *out)
{
	TensorList list = {0};
	read_tensor_file(arena, file, &list);
	for (int i = 0; i < list.n - 1; i++)
		free_tensor(&list.items[i].t);
	*out = list.n ? list.items[list.n - 1] : (NamedTensor){0};
}

/* Whether the bytes are accepted; the message otherwise. */
static bool read_bytes(const char *name, const void *bytes, size_t size, NamedTensor *out, char **message)
{
	Arena *arena = new_arena();
	size_t length;
	jmp_buf recover;
	bool good = false;
	*message = NULL;
	diag_stream = open_memstream(message, &length);
	diag_recover = &recover;
	write_file(name, bytes, size);
	if (!setjmp(recover)) {
		read_tensor(arena, path, out);
		out->name = out->path = NULL;
		good = true;
	}
	fclose(diag_stream);
	diag_recover = NULL;
	diag_stream = NULL;
	free_arena(arena);
	return good;
}

#define EXPECT_BAD(name, bytes, size, text)                                                                            \
	do {                                                                                                           \
		NamedTensor t_;                                                                                        \
		char *message_;                                                                                        \
		CHECK(!read_bytes(name, bytes, size, &t_, &message_));                                                 \
		CHECK(strstr(message_, text));                                                                         \
		free(message_);                                                                                        \
	} while (0)

/* Each prefix, and each byte replaced: accepted or refused, never out of bounds (the sanitizer build looks). */
static void spoil(const char *name, const uint8_t *bytes, size_t size)
{
	static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
	uint8_t copy[1024];
	NamedTensor t;
	char *message;
	for (size_t n = 0; n < size; n++) {
		if (read_bytes(name, bytes, n, &t, &message))
			free_tensor(&t.t);
		free(message);
		for (size_t v = 0; v < sizeof values; v++) {
			memcpy(copy, bytes, size);
			copy[n] = values[v];
			if (read_bytes(name, copy, size, &t, &message))
				free_tensor(&t.t);
			free(message);
		}
	}
}

static void test_round_trip(void)
{
	for (int type = 0; type < NDTypes; type++) {
		Arena *arena = new_arena();
		Tensor t = {.dtype = type, .rank = 3, .dims = {2, 1, 5}};
		NamedTensor back;
		uint64_t seed = 3;
		alloc_tensor(&t, NULL);
		fill_random(&t, &seed);
		snprintf(path, sizeof path, "%s/t.pb", folder);
		write_pb(arena, path, "some/name", &t);
		read_tensor(arena, path, &back);
		CHECK_STR(back.name, "some/name");
		Difference d = compare_tensors(&back.t, &t, &(Tolerance){0});
		CHECK(d.same_type && d.good);
		free_tensor(&t);
		free_tensor(&back.t);
		free_arena(arena);
	}
}

/* Typed fields: dims [2], float_data {1.5, -2}, name "x". */
static const uint8_t floats[] = {0x08, 2, 0x10, 1, 0x22, 8, 0, 0, 0xc0, 0x3f, 0, 0, 0, 0xc0, 0x42, 1, 'x'};
/* dims [3], bool, int32_data {1, 0, 1} */
static const uint8_t bools[] = {0x08, 3, 0x10, 9, 0x2a, 3, 1, 0, 1};
static const char npy[] =
    "\x93NUMPY\x01\x00\x46\x00{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }            \n"
    "\x05\x00\x00\x00\xff\xff\xff\xff";

static const char fortran[] =
	"\223NUMPY\001\000F\000{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }           \012\000\000\001\000\002"
	"\000\003\000\004\000\005\000";
static const char big_endian[] =
	"\223NUMPY\001\000F\000{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }            \012?\300\000\000\300\000"
	"\000\000";
/* Two entries, w.npy and x.npy: the ones above. */
static const char npz[] =
	"PK\003\004-\000\000\000\000\000\000\000!\000\223}*\042\377\377\377\377\377\377\377\377\005\000\024\000w.npy\001\000"
	"\020\000\134\000\000\000\000\000\000\000\134\000\000\000\000\000\000\000\223NUMPY\001\000F\000{'descr': '<i2', 'fort"
	"ran_order': True, 'shape': (2, 3), }           \012\000\000\001\000\002\000\003\000\004\000\005\000PK\003\004-\000"
	"\000\000\000\000\000\000!\000\315\274\261A\377\377\377\377\377\377\377\377\005\000\024\000x.npy\001\000\020\000X\000"
	"\000\000\000\000\000\000X\000\000\000\000\000\000\000\223NUMPY\001\000F\000{'descr': '>f4', 'fortran_order': False, "
	"'shape': (2,), }            \012?\300\000\000\300\000\000\000PK\001\002-\003-\000\000\000\000\000\000\000!\000\223}*"
	"\042\134\000\000\000\134\000\000\000\005\000\000\000\000\000\000\000\000\000\000\000\200\001\000\000\000\000w.npyPK"
	"\001\002-\003-\000\000\000\000\000\000\000!\000\315\274\261AX\000\000\000X\000\000\000\005\000\000\000\000\000\000"
	"\000\000\000\000\000\200\001\223\000\000\000x.npyPK\005\006\000\000\000\000\002\000\002\000f\000\000\000\042\001\000"
	"\000\000\000";

static void test_numpy(void)
{
	static const double columns[] = {0, 2, 4, 1, 3, 5};
	NamedTensor t;
	char *message;
	int wrong = 0;
	CHECK(read_bytes("f.npy", fortran, sizeof fortran - 1, &t, &message));
	CHECK(t.t.rank == 2 && t.t.dims[0] == 2 && t.t.dims[1] == 3);
	for (int i = 0; i < 6; i++)
		wrong += tensor_element(&t.t, i) != columns[i];
	CHECK_EQ(wrong, 0);
	free_tensor(&t.t);
	free(message);
	for (int zip = 0; zip < 2; zip++) {
		CHECK(zip ? read_bytes("x.npz", npz, sizeof npz - 1, &t, &message)
		          : read_bytes("x.npy", big_endian, sizeof big_endian - 1, &t, &message));
		CHECK(t.t.dtype == F32 && tensor_element(&t.t, 0) == 1.5 && tensor_element(&t.t, 1) == -2);
		free_tensor(&t.t);
		free(message);
	}
	char other[sizeof npz];
	memcpy(other, npz, sizeof npz);
	for (size_t i = 0; i + 4 < sizeof npz; i++)
		if (!memcmp(npz + i, "PK\1\2", 4))
			other[i + 10] = 8;
	EXPECT_BAD("x.npz", other, sizeof npz - 1, "the array 'w' is compressed: numpy.savez writes");
	EXPECT_BAD("x.npz", npz, sizeof npz - 40, "not an .npz file");
	EXPECT_BAD("x.npz", "", 0, "not an .npz file");
	memcpy(other, big_endian, sizeof big_endian);
	*strstr(other + 10, ">f4") = '|';
	strstr(other + 10, "|f4")[1] = 'O';
	EXPECT_BAD("x.npy", other, sizeof big_endian - 1, "its element type is none of float16");
	spoil("f.npy", (const uint8_t *)fortran, sizeof fortran - 1);
	spoil("x.npz", (const uint8_t *)npz, sizeof npz - 1);
}

static void test_fields(void)
{
	NamedTensor t;
	char *message;
	CHECK(read_bytes("a.pb", floats, sizeof floats, &t, &message));
	CHECK(t.t.rank == 1 && t.t.dims[0] == 2 && tensor_element(&t.t, 0) == 1.5 && tensor_element(&t.t, 1) == -2);
	free_tensor(&t.t);
	free(message);
	CHECK(read_bytes("a.pb", bools, sizeof bools, &t, &message));
	CHECK(t.t.dtype == Bool && tensor_element(&t.t, 0) == 1 && tensor_element(&t.t, 1) == 0);
	free_tensor(&t.t);
	free(message);
	CHECK(read_bytes("a.npy", npy, sizeof npy - 1, &t, &message));
	CHECK(t.t.dtype == I32 && t.t.rank == 1 && tensor_element(&t.t, 0) == 5 && tensor_element(&t.t, 1) == -1);
	free_tensor(&t.t);
	free(message);
}

static void test_bad_files(void)
{
	static const uint8_t fewer[] = {0x08, 3, 0x10, 1, 0x22, 4, 0, 0, 0xc0, 0x3f};
	static const uint8_t half[] = {0x08, 1, 0x10, 8, 0x4a, 2, 0, 0};
	static const uint8_t huge[] = {0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
				       0x7f, 0x08, 2,	 0x10, 1,    0x4a, 1,	 0};
	static const uint8_t negative[] = {0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0x10, 1};
	EXPECT_BAD("a.pb", fewer, sizeof fewer, "1 elements, expected 3 for its dims");
	EXPECT_BAD("a.pb", half, sizeof half, "element type 8 of ONNX is not supported");
	EXPECT_BAD("a.pb", huge, sizeof huge, "bytes of data");
	EXPECT_BAD("a.pb", negative, sizeof negative, "negative or too large");
	EXPECT_BAD("a.pb", "hello", 5, "not a tensor");
	EXPECT_BAD("a.npy", "hello", 5, "not a .npy file");
	EXPECT_BAD("a.npy", npy, sizeof npy - 2, "do not fit the shape");
	spoil("a.pb", floats, sizeof floats);
	spoil("a.pb", bools, sizeof bools);
	spoil("a.npy", (const uint8_t *)npy, sizeof npy - 1);
}

static Difference compare_two(float a0, float a1, float b0, float b1, const Tolerance *tol)
{
	float a[] = {a0, a1}, b[] = {b0, b1};
	Tensor x = {.dtype = F32, .rank = 1, .dims = {2}, .data = a},
	       y = {.dtype = F32, .rank = 1, .dims = {2}, .data = b};
	return compare_tensors(&x, &y, tol);
}

static void test_compare(void)
{
	const Tolerance tol = {.tol = 1e-3}, each = {.elementwise = true, .rtol = 1e-3, .atol = 1e-5};
	CHECK(compare_two(1, 1000, 1.5f, 1000, &tol).good);
	CHECK(!compare_two(1, 1000, 1.5f, 1000, &each).good);
	CHECK(!compare_two(1, 1002, 1, 1000, &tol).good);
	CHECK_EQ(compare_two(1, 1002, 1, 1000, &tol).worst, 1);
	CHECK(compare_two(NAN, INFINITY, NAN, INFINITY, &tol).good);
	CHECK(!compare_two(NAN, 1, 1, 1, &tol).good);
	CHECK(!compare_two(1, 1, 1, NAN, &tol).good);
	CHECK(!compare_two(INFINITY, 1, -INFINITY, 1, &tol).good);
	CHECK(!compare_two(1, 1e30f, 1, INFINITY, &each).good);
	CHECK(compare_two(0, 0, -0.0f, 0, &tol).good);
	CHECK(!compare_two(1, 0, 0, 0, &tol).good);
	int64_t a = INT64_MAX, b = INT64_MAX - 1;
	Tensor x = {.dtype = I64, .data = &a}, y = {.dtype = I64, .data = &b}, z = {.dtype = F64, .data = &b};
	CHECK(!compare_tensors(&x, &y, &tol).good);
	CHECK(compare_tensors(&x, &x, &tol).good);
	CHECK(!compare_tensors(&x, &z, &tol).same_type);
}

int main(void)
{
	if (!mkdtemp(folder))
		return 1;
	test_round_trip();
	test_fields();
	test_numpy();
	test_bad_files();
	test_compare();
	static const char *const names[] = {"a.pb", "a.npy", "t.pb"};
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		unlink(path);
	}
	rmdir(folder);
	return test_end("tensors");
}
