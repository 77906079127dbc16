/* scalar_test.c - one element of any type: bytes, conversions, equality and text are exact for what the type holds. */
#include "../ir/ir.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>

#define Big (INT64_C(9007199254740993)) /* 2^53 + 1: no double holds it */

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

static void check_bytes(DType t, uint64_t bits)
{
	uint64_t back = 0;
	put_scalar(&back, scalar_at(t, &bits, 0));
	CHECK_EQ(back, bits);
	CHECK(same_scalar(scalar_at(t, &bits, 0), scalar_at(t, &back, 0)));
}

static void test_bytes(void)
{
	static const uint64_t bits[] = {0, 1, 0x7f, 0x80, 0xff, 0x8000, 0x7f800000, 0x7f800001, 0x7fc00000, 0xffc12345, 0x80000000,
	                                0x7fffffff, 0x7ff0000000000001, 0x7ff8000000000000, 0x8000000000000000, UINT64_MAX, (uint64_t)Big};
	for (int t = 0; t < NDTypes; t++)
		for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
			uint64_t unused = dtypes[t].bits == 64 ? 0 : UINT64_MAX << dtypes[t].bits, kept = bits[i] & ~unused;
			if (is_packed(t) && dtypes[t].cls == ClassSigned && kept >> (dtypes[t].bits - 1))
				kept |= unused & 0xff;
			check_bytes(t, dtypes[t].cls == ClassBool ? kept != 0 : kept);
		}
	for (uint64_t b = 0; b < 65536; b++) {
		check_bytes(F16, b);
		check_bytes(BF16, b);
	}
	uint8_t two = 2, packed[3] = {0}, elements[5] = {1, 0xfe, 7, 0, 0xf8}, again[5];
	pack_elements(I4, elements, 5, packed);
	CHECK(packed[0] == 0xe1 && packed[1] == 0x07 && packed[2] == 0x08);
	unpack_elements(I4, packed, 5, again);
	CHECK(!memcmp(again, elements, 5));
	unpack_elements(U4, packed, 5, again);
	CHECK(again[1] == 14 && again[4] == 8);
	unpack_elements(I2, packed, 5, again);
	CHECK(again[0] == 1 && again[1] == 0 && again[2] == 0xfe && again[3] == 0xff && again[4] == 0xff);
	CHECK(packed_bytes(I2, 5) == 2 && packed_bytes(U4, 0) == 0 && packed_bytes(F8E8M0, 5) == 5 && packed_bytes(I64, 3) == 24);
	CHECK_EQ(scalar_at(Bool, &two, 0).i, 1);
	int16_t row[3] = {1, -2, 3};
	CHECK_EQ(scalar_at(I16, row, 1).i, -2);
}

/* ---- conversions ------------------------------------------------------------------------------------------------ */

static void test_numbers(void)
{
	CHECK_EQ(scalar_of_real(I8, 1e9).i, 127);
	CHECK_EQ(scalar_of_real(U8, -3).i, 0);
	CHECK_EQ(scalar_of_real(I32, -5.9).i, -5);
	CHECK_EQ(scalar_of_real(I64, 1e300).i, INT64_MAX);
	CHECK_EQ(scalar_of_real(I64, -INFINITY).i, INT64_MIN);
	CHECK_EQ(scalar_of_real(I16, NAN).i, 0);
	CHECK_EQ(scalar_of_real(Bool, 0.25).i, 1);
	CHECK(scalar_of_real(F32, 0.1).f == (double)0.1f);
	CHECK(scalar_of_int(F32, (1 << 24) + 1).f == 1 << 24);
	CHECK(scalar_of_int(F64, Big).f == 9007199254740992.0);
	CHECK_EQ(scalar_of_int(I8, 300).i, 44);
	CHECK_EQ(scalar_of_int(U8, -1).i, 255);
}

static void test_casts(void)
{
	CHECK_EQ(cast_scalar(scalar_of_real(F64, 300.7), U8).i, 44); /* the low bits of what saturates at 32 */
	CHECK_EQ(cast_scalar(scalar_of_real(F32, 1e30), I32).i, INT32_MAX);
	CHECK_EQ(cast_scalar(scalar_of_real(F32, 1e30), I8).i, -1);
	CHECK_EQ(cast_scalar(scalar_of_real(F64, NAN), I64).i, 0);
	CHECK_EQ(cast_scalar(scalar_of_int(I64, Big), I64).i, Big);
	CHECK_EQ(cast_scalar(scalar_of_int(I32, 256), Bool).i, 1);
	CHECK(cast_scalar(scalar_of_int(U8, 200), F32).f == 200);
	CHECK(signbit(cast_scalar(scalar_of_real(F64, -0.0), F32).f));
	CHECK_EQ(cast_scalar(scalar_of_real(F32, 3e9), U32).i, 3000000000);
	CHECK_EQ(cast_scalar(scalar_of_real(F32, -1), U32).i, 0); /* saturates where it is as wide as what it goes through */
	CHECK_EQ(cast_scalar(scalar_of_real(F32, -1), U16).i, UINT16_MAX);
	CHECK_EQ(cast_scalar(scalar_of_real(F64, 70000), U16).i, 70000 - 65536);
	CHECK_EQ(cast_scalar(scalar_of_real(F64, 0x1p63), U64).i, INT64_MIN);
	CHECK_EQ(cast_scalar(scalar_of_real(F64, 1e30), U64).i, -1);
	CHECK_EQ(cast_scalar(scalar_of_int(I8, -1), U64).i, -1);
	CHECK_EQ(cast_scalar(scalar_of_int(U32, -1), I64).i, UINT32_MAX);
	CHECK(cast_scalar(scalar_of_int(U64, -1), F32).f == 0x1p64);
	CHECK(cast_scalar(scalar_of_int(U64, INT64_MIN + 1), F64).f == 0x1p63);
	CHECK(cast_scalar(scalar_of_int(U64, INT64_MIN + 1), F32).f == 0x1p63);
}

/* What NumPy and ml_dtypes give. */
static void test_narrow(void)
{
	static const struct {
		DType type;
		double x;
		uint64_t bits;
	} rounded[] = {
		{F16, 1, 0x3c00}, {F16, -2, 0xc000}, {F16, 65504, 0x7bff}, {F16, 65519.99, 0x7bff}, {F16, 65520, 0x7c00},
		{F16, 1e300, 0x7c00}, {F16, -INFINITY, 0xfc00}, {F16, 0x1p-24, 1}, {F16, 0x1p-25, 0}, {F16, 0x1.001p-25, 1},
		{F16, 0x1.8p-24, 2}, {F16, -0.0, 0x8000}, {F16, 0x1.ff8p-15, 0x3ff}, {F16, 0x1.ffcp-15, 0x400},
		{F16, 1 + 0x1p-11, 0x3c00}, {F16, 1 + 0x1p-11 + 0x1p-40, 0x3c01}, /* rounded once: f32 would lose 2^-40 */
		{F16, 1 + 0x3p-11, 0x3c02}, {BF16, 1, 0x3f80}, {BF16, 1 + 0x1p-8, 0x3f80}, {BF16, 1 + 0x1p-8 + 0x1p-40, 0x3f81},
		{BF16, 3.39e38, 0x7f7f}, {BF16, 3.4e38, 0x7f80}, {BF16, 0x1p-133, 1}, {BF16, 0x1p-134, 0},
	};
	for (size_t i = 0; i < sizeof rounded / sizeof *rounded; i++) {
		uint64_t bits = 0;
		put_scalar(&bits, scalar_of_real(rounded[i].type, rounded[i].x));
		CHECK_EQ(bits, rounded[i].bits);
	}
	CHECK(scalar_of_int(F16, 2049).f == 2048 && scalar_of_int(F16, 70000).f == INFINITY);
	CHECK(cast_scalar(scalar_of_int(U64, -1), BF16).f == 0x1p64);
	CHECK_EQ(cast_scalar(scalar_of_real(F16, -1.5), I32).i, -1);
	CHECK_EQ(cast_scalar(scalar_of_real(BF16, INFINITY), I32).i, INT32_MAX);
	CHECK(cast_scalar(scalar_of_real(F16, 65504), BF16).f == 65536);
}

/* From 2^63 on the bits of a u64 are those of a negative number. */
static void test_unsigned(void)
{
	CHECK(less_int(U64, 1, -1) && less_int(I64, -1, 1) && !less_int(U64, -1, 1));
	CHECK_EQ(divide_int(U64, -1, 10), INT64_C(1844674407370955161));
	CHECK_EQ(modulo_int(U64, -1, 10), 5);
	CHECK_EQ(divide_int(U64, -1, 0), 0);
	CHECK_EQ(modulo_int(U64, -1, 0), 0);
	CHECK_EQ(divide_int(I64, -1, 10), -1);
	CHECK_EQ(pow_int(U64, -1, -1), -1); /* (2^64 - 1)^odd */
	CHECK_EQ(pow_int(I64, 2, -1), 0);
}

static void test_extremes(void)
{
	for (int t = 0; t < NDTypes; t++) {
		bool real = dtypes[t].cls == ClassFloat;
		Scalar lo = lowest_scalar(t), hi = highest_scalar(t);
		CHECK(same_scalar(lo, scalar_of_real(t, real || dtypes[t].cls != ClassBool ? -INFINITY : 0)));
		CHECK(same_scalar(hi, scalar_of_real(t, INFINITY)));
		if (dtypes[t].cls == ClassSigned || dtypes[t].cls == ClassUnsigned)
			CHECK(wrap_int(t, add_int(hi.i, 1)) == lo.i);
	}
}

static void test_exactness(void)
{
	int64_t i;
	double x;
	CHECK(!same_scalar(scalar_of_real(F32, 0), scalar_of_real(F32, -0.0)));
	CHECK(!same_scalar(scalar_of_int(I32, 1), scalar_of_int(I64, 1)));
	CHECK(same_scalar(scalar_of_real(F32, NAN), scalar_of_real(F32, NAN)));
	CHECK(!same_scalar(scalar_of_real(F64, 1), scalar_of_real(F64, 1 + 1e-15)));
	CHECK(scalar_as_int(scalar_of_real(F64, -7), &i) && i == -7);
	CHECK(!scalar_as_int(scalar_of_real(F64, 0.5), &i) && !scalar_as_int(scalar_of_real(F64, 0x1p63), &i));
	CHECK(!scalar_as_int(scalar_of_real(F32, NAN), &i));
	CHECK(scalar_as_real(scalar_of_int(I64, Big - 1), &x) && x == 9007199254740992.0);
	CHECK(!scalar_as_real(scalar_of_int(I64, Big), &x));
}

/* ---- text ------------------------------------------------------------------------------------------------------- */

static void check_text(const char *head, const char *line)
{
	char text[512], *again = NULL;
	size_t n = 0;
	snprintf(text, sizeof text, "dcc-ir 1 stage import\nmodel net #0000000000000000\n%s%s\n  return %%y\n}\n", head, line);
	Module *m = parse_module("t.ir", text);
	FILE *f = open_memstream(&again, &n);
	print_module(f, m);
	fclose(f);
	CHECK_STR(again, text);
	CHECK(!verify_module(m));
	free(again);
	free_module(m);
}

static void test_text(void)
{
	static const char *const elements[][2] = {
		{"i64", "9007199254740993"}, {"i64", "-9223372036854775808"}, {"i64", "9223372036854775807"}, {"i8", "-128"},
		{"u8", "255"}, {"f16", "0.1"}, {"f16", "6.55e+04"},
		{"f16", "6e-08"}, {"f16", "-inf"}, {"f16", "0x7c01"}, {"bf16", "nan"}, {"bf16", "9e-41"}, {"bf16", "3.39e+38"}, {"u16", "65535"}, {"u32", "4294967295"}, {"u64", "18446744073709551615"}, {"bool", "1"}, {"f32", "nan"}, {"f32", "-inf"}, {"f32", "-0"}, {"f32", "0.1"}, {"f32", "0x7f800001"},
		{"f32", "0xffc00000"}, {"f64", "nan"}, {"f64", "0.1"}, {"f64", "-0"}, {"f64", "0x7ff0000000000001"},
		{"f64", "1.0000000000000002"}, {"f32", "1.4013e-45"}};
	for (size_t i = 0; i < sizeof elements / sizeof *elements; i++) {
		const char *t = elements[i][0], *x = elements[i][1];
		char head[128], line[256];
		snprintf(head, sizeof head, "const @c: %s[] = [%s]\n", t, x);
		snprintf(line, sizeof line, "func @main() -> (y: %s[]) {\n  %%y: %s[] = identity @c", t, t);
		check_text(head, line);
		snprintf(line, sizeof line, "func @main(%%x: %s[1]) -> (y: %s[2]) {\n  %%y: %s[2] = pad %%x {pads_dim=[0, 1], value=%s}",
		         t, t, t, x);
		check_text("", line);
	}
	check_text("", "func @main(%x: i64[1]) -> (y: i64[1]) {\n  %y: i64[1] = clip %x {hi=9007199254740993}");
	check_text("", "func @main(%x: i8[1]) -> (y: i8[1]) {\n  %y: i8[1] = clip %x {hi=0, lo=-127}");
	check_text("", "func @main(%x: u8[1]) -> (y: u8[1]) {\n  %y: u8[1] = clip %x {hi=254, lo=1}");
}

/* ---- through the operators -------------------------------------------------------------------------------------- */

/* Element `at` of the only result of a text. */
static void check_element(const char *text, int at, int64_t want)
{
	Module *m = parse_module("t.ir", text);
	Tensor y = {0};
	CHECK(!eval_module(m, NULL, &y));
	CHECK_EQ(((const int64_t *)y.data)[at], want);
	free_tensor(&y);
	free_module(m);
}

/* Element `at` of %y of `line` over @c, an i64[2] that holds 2^53 + 1 and its negative. */
static void check_operator(const char *result, const char *line, int at, int64_t want)
{
	char text[512];
	snprintf(text, sizeof text, "dcc-ir 1 stage import\nmodel net\nconst @c: i64[2] = [9007199254740993, -9007199254740993]\n"
	         "func @main() -> (y: %s) {\n  %%y: %s = %s\n  return %%y\n}\n", result, result, line);
	check_element(text, at, want);
}

/* The same as u64: the second is 2^64 - 2^53 - 1, and m the larger one, b %u < 2^63, f %u as a float but at most 2^63. */
static void check_u64(const char *line, int at, int64_t want)
{
	char text[512];
	snprintf(text, sizeof text, "dcc-ir 1 stage import\nmodel net\nconst @c: i64[2] = [9007199254740993, -9007199254740993]\n"
	         "const @three: u64[] = [3]\nconst @half: f32[] = [9.223372e18]\n"
	         "func @main() -> (y: u64[2]) {\n  %%u: u64[2] = cast @c\n  %%m: u64[] = reduce_max %%u {axes=[0]}\n"
	         "  %%b: bool[2] = lt %%u, @three\n  %%g: f32[2] = cast %%u\n  %%f: f32[2] = min %%g, @half\n"
	         "  %%y: u64[2] = %s\n  return %%y\n}\n", line);
	check_element(text, at, want);
}

static void test_operators(void)
{
	check_operator("i64[3]", "pad @c {pads_dim=[0, 1], value=-9007199254740993}", 2, -Big);
	check_operator("i64[2]", "clip @c {lo=9007199254740993}", 1, Big);
	check_operator("i64[2]", "clip @c {hi=-9007199254740993}", 0, -Big);
	check_operator("i64[2]", "clip @c {hi=9223372036854775807}", 0, Big);
	check_operator("i64[]", "reduce_max @c {axes=[0]}", 0, Big);
	check_operator("i64[]", "reduce_min @c {axes=[0]}", 0, -Big);
	check_u64("idiv %u, @three", 1, (int64_t)((0 - (uint64_t)Big) / 3));
	check_u64("imod %u, @three", 1, (int64_t)((0 - (uint64_t)Big) % 3));
	check_u64("max %u, @three", 1, -Big);
	check_u64("min %u, @three", 1, 3);
	check_u64("clip %u {hi=9223372036854775808}", 1, INT64_MIN);
	check_u64("relu %u", 1, -Big);
	check_u64("abs %u", 1, -Big);
	check_u64("expand %m", 0, -Big);
	check_u64("where %b, %u, @three", 1, 3); /* three is less than the second */
	check_u64("cast %f", 1, INT64_MIN);
	CHECK_EQ(reduce_identity(OpReduceMin, I16).i, INT16_MAX);
	CHECK_EQ(reduce_identity(OpReduceMax, U8).i, 0);
	CHECK(reduce_identity(OpReduceMax, F32).f == -INFINITY && reduce_identity(OpSum, F64).f == 0);
}

int main(void)
{
	test_bytes();
	test_numbers();
	test_casts();
	test_narrow();
	test_unsigned();
	test_extremes();
	test_exactness();
	test_text();
	test_operators();
	return test_end("scalar");
}
