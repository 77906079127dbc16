/* eval_test.c - the evaluator against values worked out by hand,
 * shape functions and the verifier against wrong modules. */
#include "../ir/ir.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>

enum { MaxWant = 64 };

/* constants; result type; nodes that define %y; its elements */
typedef struct Case {
	const char *name, *consts, *type, *nodes;
	int n;
	double want[MaxWant];
} Case;

#define NaN NAN
#define Inf INFINITY

/* [0, 3], [0, 4] and a point of the axis y, all from 0 to 1 of x; one elsewhere. */
#define BOXES "const @b: f32[1, 4, 4] = [0, 0, 3, 1, 0, 0, 4, 1, 2, 0, 2, 1, 5, 0, 6, 1] "

static const Case cases[] = {
	/* elementwise */
	{"add bcast", "const @a: f32[2, 1] = [1, 2] const @b: f32[3] = [10, 20, 30]", "f32[2, 3]",
	 "%y: f32[2, 3] = add @a, @b", 6, {11, 21, 31, 12, 22, 32}},
	{"add rank 0", "const @a: f32[] = [1] const @b: f32[2] = [10, 20]", "f32[2]", "%y: f32[2] = add @a, @b", 2,
	 {11, 21}},
	{"empty", "const @a: f32[0, 3] = [] const @b: f32[3] = [1, 2, 3]", "f32[0, 3]", "%y: f32[0, 3] = mul @a, @b",
	 0, {0}},
	{"empty indices", "const @a: i64[32, 32, 0] = []", "i64[32, 32, 0]", "%y: i64[32, 32, 0] = add @a, @a", 0, {0}},
	{"f32 rounding", "const @a: f32[1] = [16777216] const @b: f32[1] = [1]", "f32[1]", "%y: f32[1] = add @a, @b",
	 1, {16777216}},
	{"wrap u8", "const @a: u8[2] = [250, 3] const @b: u8[2] = [10, 5]", "u8[2]", "%y: u8[2] = add @a, @b", 2,
	 {4, 8}},
	{"wrap i8", "const @a: i8[2] = [100, -128] const @b: i8[2] = [100, -1]", "i8[2]", "%y: i8[2] = add @a, @b", 2,
	 {-56, 127}},
	{"idiv", "const @a: i64[5] = [7, -7, 7, -7, 5] const @b: i64[5] = [2, 2, -2, -2, 0]", "i64[5]",
	 "%y: i64[5] = idiv @a, @b", 5, {3, -4, -4, 3, 0}},
	{"imod", "const @a: i64[5] = [7, -7, 7, -7, 5] const @b: i64[5] = [2, 2, -2, -2, 0]", "i64[5]",
	 "%y: i64[5] = imod @a, @b", 5, {1, 1, -1, -1, 0}},
	{"idiv overflow", "const @a: i32[1] = [-2147483648] const @b: i32[1] = [-1]", "i32[1]",
	 "%y: i32[1] = idiv @a, @b", 1, {-2147483648.0}},
	{"int pow", "const @a: i64[4] = [2, -3, 2, -1] const @b: i64[4] = [10, 3, -1, -3]", "i64[4]",
	 "%y: i64[4] = pow @a, @b", 4, {1024, -27, 0, -1}},
	{"max nan", "const @a: f32[3] = [nan, 1, -1] const @b: f32[3] = [0, nan, 3]", "f32[3]",
	 "%y: f32[3] = max @a, @b", 3, {NaN, NaN, 3}},
	{"relu nan", "const @a: f32[3] = [nan, -1, 2]", "f32[3]", "%y: f32[3] = relu @a", 3, {NaN, 0, 2}},
	{"clip", "const @a: f32[4] = [-5, 0.5, 9, nan]", "f32[4]", "%y: f32[4] = clip @a {lo=-1, hi=2}", 4,
	 {-1, 0.5, 2, NaN}},
	{"bitcast", "const @a: f32[3] = [1, -0, 0x7f800001]", "i32[3]", "%y: i32[3] = bitcast @a", 3, {0x3f800000, -2147483648.0, 0x7f800001}},
	{"clip int", "const @a: i32[3] = [-5, 1, 9]", "i32[3]", "%y: i32[3] = clip @a {hi=2}", 3, {-5, 1, 2}},
	{"round even", "const @a: f32[4] = [0.5, 1.5, 2.5, -0.5]", "f32[4]", "%y: f32[4] = round @a", 4,
	 {0, 2, 2, 0}},
	{"gelu", "const @a: f32[3] = [-1, 0, 2]", "f32[3]", "%y: f32[3] = gelu @a", 3,
	 {-0.158655254, 0, 1.954499736}},
	{"silu", "const @a: f32[2] = [0, 1]", "f32[2]", "%y: f32[2] = silu @a", 2, {0, 0.731058579}},
	{"not", "const @a: bool[2] = [1, 0]", "bool[2]", "%y: bool[2] = not @a", 2, {0, 1}},
	{"not int", "const @a: i32[2] = [0, 5]", "i32[2]", "%y: i32[2] = not @a", 2, {-1, -6}},
	{"lt", "const @a: f32[3] = [1, nan, 3] const @b: f32[] = [2]", "bool[3]", "%y: bool[3] = lt @a, @b", 3,
	 {1, 0, 0}},
	{"isnan", "const @a: f32[2] = [1, nan]", "bool[2]", "%y: bool[2] = isnan @a", 2, {0, 1}},
	{"where", "const @c: bool[2, 1] = [1, 0] const @a: f32[2] = [1, 2] const @b: f32[] = [-inf]", "f32[2, 2]",
	 "%y: f32[2, 2] = where @c, @a, @b", 4, {1, 2, -Inf, -Inf}},
	{"where int", "const @c: bool[2] = [1, 0] const @a: i64[2] = [9007199254740993, 2] const @b: i64[2] = [3, 4]",
	 "i64[2]",
	 "%t: i64[2] = where @c, @a, @b %k: i64[] = dims {values=[9007199254740992]} %y: i64[2] = sub %t, %k", 2,
	 {1, -9007199254740988.0}},
	{"cast to int", "const @a: f32[6] = [1.9, -1.9, nan, inf, -inf, 3e9]", "i32[6]", "%y: i32[6] = cast @a", 6,
	 {1, -1, 0, 2147483647, -2147483648.0, 2147483647}},
	{"cast to bool", "const @a: f32[3] = [0, 0.25, nan]", "bool[3]", "%y: bool[3] = cast @a", 3, {0, 1, 1}},
	{"cast narrow", "const @a: i64[2] = [257, -1]", "u8[2]", "%y: u8[2] = cast @a", 2, {1, 255}},
	{"f64", "const @a: f64[1] = [1] const @b: f64[1] = [1e-12]", "f64[1]",
	 "%0: f64[1] = add @a, @b %y: f64[1] = sub %0, @a", 1, {1.000088900582e-12}},
	/* reductions */
	{"sum", "const @a: f32[2, 3] = [1, 2, 3, 4, 5, 6]", "f32[2]", "%y: f32[2] = sum @a {axes=[1]}", 2, {6, 15}},
	{"sum outer", "const @a: f32[2, 3] = [1, 2, 3, 4, 5, 6]", "f32[1, 3]",
	 "%y: f32[1, 3] = sum @a {axes=[0], keepdims=1}",
	 3, {5, 7, 9}},
	{"sum two axes", "const @a: i32[2, 2, 2] = [1, 2, 3, 4, 5, 6, 7, 8]", "i32[2]",
	 "%y: i32[2] = sum @a {axes=[0, 2]}", 2, {14, 22}},
	{"mean", "const @a: f32[2, 2] = [1, 2, 3, 6]", "f32[]", "%y: f32[] = mean @a {axes=[0, 1]}", 1, {3}},
	{"reduce_max", "const @a: f32[2, 2] = [1, nan, 3, 6]", "f32[2]", "%y: f32[2] = reduce_max @a {axes=[1]}", 2,
	 {NaN, 6}},
	{"reduce_min int", "const @a: i8[2, 2] = [1, -7, 3, 6]", "i8[2]", "%y: i8[2] = reduce_min @a {axes=[1]}", 2,
	 {-7, 3}},
	{"sum of none", "const @a: f32[0, 2] = []", "f32[2]", "%y: f32[2] = sum @a {axes=[0]}", 2, {0, 0}},
	{"max of none", "const @a: f32[0, 1] = []", "f32[1]", "%y: f32[1] = reduce_max @a {axes=[0]}", 1, {-Inf}},
	{"cumsum", "const @a: f32[2, 3] = [1, 2, 3, 4, inf, -inf]", "f32[2, 3]", "%y: f32[2, 3] = cumsum @a {axis=1}", 6,
	 {1, 3, 6, 4, Inf, NaN}},
	{"cumsum outer", "const @a: i8[2, 3] = [100, 2, 3, 100, 5, 6]", "i8[2, 3]", "%y: i8[2, 3] = cumsum @a {axis=0}", 6,
	 {100, 2, 3, -56, 7, 9}},
	{"cumsum middle", "const @a: f64[2, 2, 2] = [1, 2, 3, 4, 5, 6, 7, 8]", "f64[2, 2, 2]",
	 "%y: f64[2, 2, 2] = cumsum @a {axis=1, exclusive=1}", 8, {0, 0, 1, 2, 0, 0, 5, 6}},
	{"cumsum reverse", "const @a: i64[3] = [1, 2, 9007199254740993]", "i64[3]",
	 "%s: i64[3] = cumsum @a {axis=0, reverse=1} %k: i64[] = dims {values=[9007199254740992]} %y: i64[3] = sub %s, %k", 3,
	 {4, 3, 1}},
	{"cumsum both", "const @a: i32[3] = [1, 2, 3]", "i32[3]", "%y: i32[3] = cumsum @a {axis=0, exclusive=1, reverse=1}", 3,
	 {5, 3, 0}},
	{"cumsum product", "const @a: i8[4] = [2, 3, 5, 7]", "i8[4]", "%y: i8[4] = cumsum @a {axis=0, product=1, reverse=1}", 4,
	 {-46, 105, 35, 7}},
	{"cumsum product before", "const @a: f32[4] = [2, 3, 0.5, 7]", "f32[4]",
	 "%y: f32[4] = cumsum @a {axis=0, exclusive=1, product=1}", 4, {1, 2, 6, 3}},
	{"shl", "const @a: i8[6] = [1, -1, 64, 3, 3, 3]\nconst @b: i8[6] = [3, 1, 1, 8, -1, 0]", "i8[6]", "%y: i8[6] = shl @a, @b", 6,
	 {8, -2, -128, 0, 0, 3}},
	{"shr", "const @a: i8[4] = [-8, -8, 8, -8]\nconst @b: i8[4] = [1, 8, 1, -1]", "i8[4]", "%y: i8[4] = shr @a, @b", 4,
	 {-4, -1, 4, -1}},
	{"cumsum empty", "const @a: i32[0, 3] = []", "i32[0, 3]", "%y: i32[0, 3] = cumsum @a {axis=0}", 0, {0}},
	{"softmax", "const @a: f32[2, 2] = [0, 0, 1, -inf]", "f32[2, 2]", "%y: f32[2, 2] = softmax @a {axis=1}", 4,
	 {0.5, 0.5, 1, 0}},
	{"softmax outer", "const @a: f32[2, 2] = [0, 0, 0, 1.0986122886681098]", "f32[2, 2]",
	 "%y: f32[2, 2] = softmax @a", 4, {0.5, 0.25, 0.5, 0.75}},
	{"softmax masked", "const @a: f32[2] = [-inf, -inf]", "f32[2]", "%y: f32[2] = softmax @a", 2, {NaN, NaN}},
	{"norm", "const @a: f32[1, 2] = [1, 3] const @s: f32[2] = [2, 10] const @b: f32[2] = [1, 1]", "f32[1, 2]",
	 "%y: f32[1, 2] = norm @a, @s, @b {axis=1, eps=0}", 2, {-1, 11}},
	{"norm two axes", "const @a: f32[1, 2, 2] = [1, 1, 3, 3]", "f32[1, 2, 2]",
	 "%y: f32[1, 2, 2] = norm @a, _, _ {axis=1, eps=3}",
	 4, {-0.5, -0.5, 0.5, 0.5}},
	{"rmsnorm", "const @a: f32[2] = [3, 4] const @s: f32[2] = [1, 2]", "f32[2]",
	 "%y: f32[2] = rmsnorm @a, @s {eps=0}", 2, {0.848528137, 2.262741700}},
	/* contractions */
	{"matmul", "const @a: f32[2, 3] = [1, 2, 3, 4, 5, 6] const @b: f32[3, 2] = [1, 0, 0, 1, 1, 1]", "f32[2, 2]",
	 "%y: f32[2, 2] = matmul @a, @b", 4, {4, 5, 10, 11}},
	{"matmul trans", "const @a: f32[3, 2] = [1, 4, 2, 5, 3, 6] const @b: f32[2, 3] = [1, 0, 1, 0, 1, 1]",
	 "f32[2, 2]",
	 "%y: f32[2, 2] = matmul @a, @b {trans_a=1, trans_b=1}", 4, {4, 5, 10, 11}},
	{"matmul batch", "const @a: f32[2, 1, 1, 2] = [1, 2, 3, 4] const @b: f32[2, 2, 1] = [1, 1, 2, 0]",
	 "f32[2, 2, 1, 1]",
	 "%y: f32[2, 2, 1, 1] = matmul @a, @b", 4, {3, 2, 7, 6}},
	{"matmul vectors", "const @a: i32[2] = [1, 2] const @b: i32[2] = [3, 4]", "i32[]",
	 "%y: i32[] = matmul @a, @b", 1, {11}},
	{"matmul vector left", "const @a: f32[2] = [1, 2] const @b: f32[2, 3] = [1, 2, 3, 4, 5, 6]", "f32[3]",
	 "%y: f32[3] = matmul @a, @b", 3, {9, 12, 15}},
	{"matmul no depth", "const @a: f32[2, 0] = [] const @b: f32[0, 1] = []", "f32[2, 1]",
	 "%y: f32[2, 1] = matmul @a, @b", 2, {0, 0}},
	{"linear",
	 "const @a: f32[1, 2, 2] = [1, 2, 3, 4] const @w: f32[2, 3] = [1, 0, 1, 0, 1, 1] "
	 "const @b: f32[3] = [10, 20, 30]",
	 "f32[1, 2, 3]", "%y: f32[1, 2, 3] = linear @a, @w, @b", 6, {11, 22, 33, 13, 24, 37}},
	{"linear no bias", "const @a: f32[2] = [1, 2] const @w: f32[2, 1] = [3, 4]", "f32[1]",
	 "%y: f32[1] = linear @a, @w, _", 1, {11}},
	{"glu", "const @a: f32[2, 4] = [1, 2, -1, 5, 3, 4, 7, -7]", "f32[2, 2]",
	 "%y: f32[2, 2] = glu @a {axis=1, act=relu}", 4, {0, 10, 21, 0}},
	{"glu gate first", "const @a: f32[2, 4] = [1, 2, -1, 5, -3, 4, 7, -7]", "f32[2, 2]",
	 "%y: f32[2, 2] = glu @a {axis=1, gate=first, act=relu}", 4, {-1, 10, 0, -28}},
	{"glu outer axis", "const @a: f32[2, 2] = [1, 2, 3, 4]", "f32[1, 2]", "%y: f32[1, 2] = glu @a {axis=0}", 2,
	 {3, 8}},
	{"conv 1d",
	 "const @x: f32[1, 1, 4] = [1, 2, 3, 4] const @w: f32[1, 1, 3] = [1, 10, 100] const @b: f32[1] = [1000]",
	 "f32[1, 1, 4]", "%y: f32[1, 1, 4] = conv @x, @w, @b {pads=[1, 1]}", 4, {1210, 1321, 1432, 1043}},
	{"conv stride dilation", "const @x: f32[1, 1, 5] = [1, 2, 3, 4, 5] const @w: f32[1, 1, 2] = [1, 10]",
	 "f32[1, 1, 2]",
	 "%y: f32[1, 1, 2] = conv @x, @w, _ {strides=[2], dilations=[2]}", 2, {31, 53}},
	{"conv group", "const @x: f32[1, 2, 2] = [1, 2, 3, 4] const @w: f32[2, 1, 1] = [10, 100]", "f32[1, 2, 2]",
	 "%y: f32[1, 2, 2] = conv @x, @w, _ {group=2}", 4, {10, 20, 300, 400}},
	{"conv 2d", "const @x: f32[1, 1, 2, 2] = [1, 2, 3, 4] const @w: f32[1, 1, 2, 2] = [1, 10, 100, 1000]",
	 "f32[1, 1, 2, 2]",
	 "%y: f32[1, 1, 2, 2] = conv @x, @w, _ {pads=[1, 1, 0, 0]}", 4, {1000, 2100, 3010, 4321}},
	{"group_conv", "const @x: f32[1, 3, 2] = [1, 2, 3, 4, 5, 6] const @w: f32[2, 1, 2] = [1, 10, 100, 1000] const @b: f32[2] = [0.5, 7]",
	 "f32[1, 3, 2]", "%y: f32[1, 3, 2] = group_conv @x, @w, @b {group=2, pads=[1, 0]}", 6, {100.5, 2007, 301.5, 4027, 503.5, 6047}},
	{"group_conv 2d stride dilation", "const @x: f32[1, 3, 4, 1] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] const @w: f32[2, 2, 1, 1] = [1, 10, 100, 1000]",
	 "f32[1, 1, 2, 1]", "%y: f32[1, 1, 2, 1] = group_conv @x, @w, _ {dilations=[2, 1], strides=[2, 2]}", 2, {10921, 13143}},
	{"group_conv groups", "const @x: f32[1, 1, 4] = [1, 2, 3, 4] const @w: f32[1, 2, 4] = [1, 10, 100, 1000, 5, 6, 7, 8]", "f32[1, 1, 4]",
	 "%y: f32[1, 1, 4] = group_conv @x, @w, _ {group=2}", 4, {11, 22, 328, 3032}},
	{"conv channels", "const @x: f32[1, 2, 1] = [3, 4] const @w: f32[2, 2, 1] = [1, 2, 3, 4]", "f32[1, 2, 1]",
	 "%y: f32[1, 2, 1] = conv @x, @w, _", 2, {11, 25}},
	{"winconv blocked",
	 "const @x: f32[1, 3, 4] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] const @w: f32[2, 2] = [1, 10, 100, 1000]",
	 "f32[1, 3, 4]", "%y: f32[1, 3, 4] = winconv @x, @w {pads_dim=[1], heads=2}", 12,
	 {10, 20, 3000, 4000, 51, 62, 7300, 8400, 95, 106, 11700, 12800}},
	{"winconv interleaved",
	 "const @x: f32[1, 2, 4] = [1, 2, 3, 4, 5, 6, 7, 8] const @w: f32[2, 2] = [1, 10, 100, 1000]",
	 "f32[1, 2, 4]", "%y: f32[1, 2, 4] = winconv @x, @w {heads=2, map=interleaved, pads_dim=[0]}", 8,
	 {51, 6200, 73, 8400, 5, 600, 7, 800}},
	{"winconv per token",
	 "const @x: f32[2, 2, 1] = [1, 2, 3, 4] const @w: f32[2, 2, 1, 2] = [1, 10, 2, 20, 3, 30, 4, 40]",
	 "f32[2, 2, 1]", "%y: f32[2, 2, 1] = winconv @x, @w {pads_dim=[1]}", 4, {10, 42, 90, 172}},
	{"winconv by places of a plane",
	 "const @x: f32[1, 2, 2, 2] = [1, 2, 3, 4, 5, 6, 7, 8] const @w: f32[1, 2, 1, 2, 2, 1] = [1, 10, 100, 1000, 2, 20, 200, 2000]",
	 "f32[1, 2, 1, 2]", "%y: f32[1, 2, 1, 2] = winconv @x, @w {heads=2, pads_dim=[1, -1]}", 4, {30, 4000, 146, 16800}},
	{"winconv stride dilation",
	 "const @x: f32[1, 5, 4, 1] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20] const @w: f32[1, 2, 2] = [1, 10, 100, 1000]",
	 "f32[1, 2, 2, 1]", "%y: f32[1, 2, 2, 1] = winconv @x, @w {dilations=[1, 2], pads_dim=[0, 1], strides=[3, 2]}", 4, {6020, 8642, 18140, 21974}},
	/* attention: q and k of width 1 make the scores q * k */
	{"attention",
	 "const @q: f32[1, 1, 1, 1] = [0] const @k: f32[1, 2, 1, 1] = [1, 2] const @v: f32[1, 2, 1, 2] = [1, 2, 3, 6]",
	 "f32[1, 1, 1, 2]", "%y: f32[1, 1, 1, 2] = attention @q, @k, @v, _", 2, {2, 4}},
	{"attention scale",
	 "const @q: f32[1, 1, 1, 1] = [1] const @k: f32[1, 2, 1, 1] = [0, 2] const @v: f32[1, 2, 1, 1] = [0, 4]",
	 "f32[1, 1, 1, 1]", "%y: f32[1, 1, 1, 1] = attention @q, @k, @v, _ {scale=0.54930614433405489}", 1, {3}},
	{"attention causal", "const @q: f32[1, 2, 1, 1] = [0, 0] const @k: f32[1, 3, 1, 1] = [1, 1, 1] "
	 "const @v: f32[1, 3, 1, 1] = [3, 6, 9]", "f32[1, 2, 1, 1]",
	 "%y: f32[1, 2, 1, 1] = attention @q, @k, @v, _ {right=0}", 2, {4.5, 6}},
	{"attention window", "const @q: f32[1, 3, 1, 1] = [0, 0, 0] const @k: f32[1, 4, 1, 1] = [1, 1, 1, 1] "
	 "const @v: f32[1, 4, 1, 1] = [3, 6, 9, 24]", "f32[1, 3, 1, 1]",
	 "%y: f32[1, 3, 1, 1] = attention @q, @k, @v, _ {left=0, right=1}", 3, {7.5, 16.5, 24}},
	{"attention NaN outside the window", "const @q: f32[1, 2, 1, 1] = [0, 0] const @v: f32[1, 2, 1, 1] = [3, nan]", "f32[1, 2, 1, 1]",
	 "%y: f32[1, 2, 1, 1] = attention @q, @q, @v, _ {right=0}", 2, {3, NaN}},
	{"attention NaN outside the window, f64", "const @q: f64[1, 2, 1, 1] = [0, 0] const @v: f64[1, 2, 1, 1] = [3, nan]", "f64[1, 2, 1, 1]",
	 "%y: f64[1, 2, 1, 1] = attention @q, @q, @v, _ {right=0}", 2, {NaN, NaN}},
	{"attention before all keys", "const @q: f32[1, 3, 1, 1] = [0, 0, 0] const @k: f32[1, 1, 1, 1] = [1] const @v: f32[1, 1, 1, 1] = [3]",
	 "f32[1, 3, 1, 1]", "%y: f32[1, 3, 1, 1] = attention @q, @k, @v, _ {left=0, right=0}", 3, {NaN, NaN, 3}},
	{"attention bool mask", "const @q: f32[1, 2, 1, 1] = [0, 0] const @k: f32[1, 2, 1, 1] = [1, 1] "
	 "const @v: f32[1, 2, 1, 1] = [3, 6] const @m: bool[2, 2] = [0, 1, 0, 0]", "f32[1, 2, 1, 1]",
	 "%y: f32[1, 2, 1, 1] = attention @q, @k, @v, @m", 2, {6, NaN}},
	{"attention zero_masked", "const @q: f32[1, 2, 1, 1] = [nan, 0] const @k: f32[1, 2, 1, 1] = [1, 1] "
	 "const @v: f32[1, 2, 1, 1] = [3, 6] const @m: bool[2, 2] = [0, 1, 0, 0]", "f32[1, 2, 1, 1]",
	 "%y: f32[1, 2, 1, 1] = attention @q, @k, @v, @m {zero_masked=1}", 2, {NaN, 0}},
	{"attention zero_nan", "const @q: f32[1, 2, 1, 1] = [nan, 0] const @k: f32[1, 2, 1, 1] = [1, 1] "
	 "const @v: f32[1, 2, 1, 1] = [3, 6] const @m: bool[2, 2] = [0, 1, 0, 0]", "f32[1, 2, 1, 1]",
	 "%y: f32[1, 2, 1, 1] = attention @q, @k, @v, @m {zero_nan=1}", 2, {0, 0}},
	{"attention f32 mask", "const @q: f32[1, 1, 2, 1] = [0, 0] const @k: f32[1, 2, 2, 1] = [1, 1, 1, 1] "
	 "const @v: f32[1, 2, 2, 1] = [4, 40, 8, 80] const @m: f32[2, 1, 2] = [0, 1.0986122886681098, 0, -inf]",
	 "f32[1, 1, 2, 1]",
	 "%y: f32[1, 1, 2, 1] = attention @q, @k, @v, @m", 2, {7, 40}},
	{"attention kv heads", "const @q: f32[1, 1, 4, 1] = [0, 0, 0, 0] const @k: f32[1, 1, 2, 1] = [1, 1] "
	 "const @v: f32[1, 1, 2, 1] = [5, 7]", "f32[1, 1, 4, 1]", "%y: f32[1, 1, 4, 1] = attention @q, @k, @v, _", 4,
	 {5, 5, 7, 7}},
	{"attention no keys",
	 "const @q: f32[1, 1, 1, 1] = [0] const @k: f32[1, 0, 1, 1] = [] const @v: f32[1, 0, 1, 2] = []",
	 "f32[1, 1, 1, 2]", "%y: f32[1, 1, 1, 2] = attention @q, @k, @v, _", 2, {0, 0}},
	/* moves */
	{"iota", "", "i64[4]", "%y: i64[4] = iota {start=3, step=-2}", 4, {3, 1, -1, -3}},
	{"iota scalar", "", "f32[]", "%y: f32[] = iota {start=7}", 1, {7}},
	{"dims", "", "i32[2, 2]", "%y: i32[2, 2] = dims {values=[1, 2, 3, 4]}", 4, {1, 2, 3, 4}},
	{"reshape", "const @a: f32[2, 3] = [1, 2, 3, 4, 5, 6]", "f32[3, 2]", "%y: f32[3, 2] = reshape @a", 6,
	 {1, 2, 3, 4, 5, 6}},
	{"expand", "const @a: i8[2, 1] = [1, 2]", "i8[2, 2, 2]", "%y: i8[2, 2, 2] = expand @a", 8,
	 {1, 1, 2, 2, 1, 1, 2, 2}},
	{"transpose", "const @a: i16[2, 1, 3] = [1, 2, 3, 4, 5, 6]", "i16[3, 2, 1]",
	 "%y: i16[3, 2, 1] = transpose @a {perm=[2, 0, 1]}",
	 6, {1, 4, 2, 5, 3, 6}},
	{"slice", "const @a: f32[2, 4] = [1, 2, 3, 4, 5, 6, 7, 8]", "f32[1, 2]",
	 "%y: f32[1, 2] = slice @a {starts=[1, 3], steps=[1, -2]}", 2, {8, 6}},
	{"slice empty", "const @a: f32[2] = [1, 2]", "f32[0]", "%y: f32[0] = slice @a {starts=[2]}", 0, {0}},
	{"view", "const @a: f32[5] = [1, 2, 3, 4, 5]", "f32[2, 3]",
	 "%y: f32[2, 3] = view @a {base=1, strides_dim=[1, 1]}", 6, {2, 3, 4, 3, 4, 5}},
	{"view reversed", "const @a: f32[3] = [1, 2, 3]", "f32[3]", "%y: f32[3] = view @a {base=2, strides_dim=[-1]}",
	 3, {3, 2, 1}},
	{"concat", "const @a: i64[2, 1] = [1, 2] const @b: i64[2, 2] = [3, 4, 5, 6]", "i64[2, 3]",
	 "%y: i64[2, 3] = concat @a, @b {axis=1}", 6, {1, 3, 4, 2, 5, 6}},
	{"concat many", "const @a: bool[1] = [1] const @b: bool[1] = [0]", "bool[6]",
	 "%y: bool[6] = concat @a, @b, @a, @a, @b, @a", 6, {1, 0, 1, 1, 0, 1}},
	{"pad zero", "const @a: f32[1, 2] = [1, 2]", "f32[2, 4]",
	 "%y: f32[2, 4] = pad @a {pads_dim=[0, 1, 1, 1], value=9}", 8, {9, 1, 2, 9, 9, 9, 9, 9}},
	{"pad crop", "const @a: i32[4] = [1, 2, 3, 4]", "i32[4]", "%y: i32[4] = pad @a {pads_dim=[-1, 1]}", 4,
	 {2, 3, 4, 0}},
	{"pad edge", "const @a: f32[3] = [1, 2, 3]", "f32[7]", "%y: f32[7] = pad @a {pads_dim=[2, 2], mode=edge}", 7,
	 {1, 1, 1, 2, 3, 3, 3}},
	{"pad reflect", "const @a: f32[3] = [1, 2, 3]", "f32[8]",
	 "%y: f32[8] = pad @a {pads_dim=[2, 3], mode=reflect}", 8, {3, 2, 1, 2, 3, 2, 1, 2}},
	/* indices */
	{"gather", "const @a: f32[3, 2] = [1, 2, 3, 4, 5, 6] const @i: i64[2] = [-1, 0]", "f32[2, 2]",
	 "%y: f32[2, 2] = gather @a, @i",
	 4, {5, 6, 1, 2}},
	{"gather inner", "const @a: f32[2, 3] = [1, 2, 3, 4, 5, 6] const @i: i32[] = [2]", "f32[2]",
	 "%y: f32[2] = gather @a, @i {axis=1}", 2, {3, 6}},
	{"gather_elements", "const @a: f32[2, 2] = [1, 2, 3, 4] const @i: i64[2, 2] = [0, 0, -1, 0]", "f32[2, 2]",
	 "%y: f32[2, 2] = gather_elements @a, @i {axis=1}", 4, {1, 1, 4, 3}},
	{"gather_nd", "const @a: f32[2, 2, 2] = [1, 2, 3, 4, 5, 6, 7, 8] const @i: i64[2, 2] = [0, 1, -1, 0]",
	 "f32[2, 2]",
	 "%y: f32[2, 2] = gather_nd @a, @i", 4, {3, 4, 5, 6}},
	{"scatter_elements", "const @a: f32[2, 3] = [1, 2, 3, 4, 5, 6] const @i: i64[2, 2] = [0, -1, 1, 1] const @u: f32[2, 2] = [10, 20, 30, 40]",
	 "f32[2, 3]", "%y: f32[2, 3] = scatter_elements @a, @i, @u {axis=1}", 6, {10, 2, 20, 4, 40, 6}},
	{"scatter_elements twice", "const @a: i8[3] = [100, 2, 3] const @i: i64[3] = [0, 0, 1] const @u: i8[3] = [20, 10, 5]",
	 "i8[3]", "%y: i8[3] = scatter_elements @a, @i, @u {reduction=add}", 3, {-126, 7, 3}},
	{"scatter_nd", "const @a: f32[2, 2] = [1, 2, nan, 4] const @i: i64[2, 1] = [1, 1] const @u: f32[2, 2] = [5, 6, 7, 3]",
	 "f32[2, 2]", "%y: f32[2, 2] = scatter_nd @a, @i, @u {reduction=max}", 4, {1, 2, NAN, 6}},
	{"scatter_elements unsigned",
	 "const @a: u64[3] = [1, 18446744073709551615, 2] const @i: i64[3] = [0, 1, 2] const @u: u64[3] = [18446744073709551615, 1, 1]",
	 "u64[3]", "%y: u64[3] = scatter_elements @a, @i, @u {reduction=min}", 3, {1, 1, 1}},
	{"scatter_elements stored", "const @a: f8e5m2[3] = [inf, 49152, 1] const @i: i64[3] = [1, 1, 2] const @u: f8e5m2[3] = [49152, -49152, -3]",
	 "f32[3]", "%r: f8e5m2[3] = scatter_elements @a, @i, @u {reduction=add} %y: f32[3] = cast %r", 3, {57344, 49152, -2}},
	{"scatter_nd stored", "const @a: f16[2] = [inf, 2048] const @i: i64[2, 1] = [1, 1] const @u: f16[2] = [1, 1]",
	 "f32[2]", "%r: f16[2] = scatter_nd @a, @i, @u {reduction=add} %y: f32[2] = cast %r", 2, {Inf, 2050}},
	{"scatter_nd unsigned",
	 "const @a: u64[3] = [1, 2, 18446744073709551615] const @i: i64[2, 1] = [0, 2] const @u: u64[2] = [9223372036854775808, 7]",
	 "u64[3]", "%y: u64[3] = scatter_nd @a, @i, @u {reduction=max}", 3, {9223372036854775808.0, 2, 18446744073709551616.0}},
	{"gather_nd batch", "const @a: f32[2, 3] = [1, 2, 3, 4, 5, 6] const @i: i64[2, 1] = [2, 0]", "f32[2]",
	 "%y: f32[2] = gather_nd @a, @i {batch_dims=1}", 2, {3, 4}},
	{"pool unsigned", "const @a: u64[1, 1, 3] = [7, 18446744073709551615, 1]", "u64[1, 1, 2]",
	 "%y: u64[1, 1, 2] = pool @a {kernel=[2], pads_dim=[0]}", 2,
	 {18446744073709551616.0, 18446744073709551616.0}},
	{"pool unsigned where", "const @a: u64[1, 1, 3] = [7, 9223372036854775808, 1]", "i64[1, 1, 2]",
	 "%y: i64[1, 1, 2] = pool @a {kernel=[2], pads_dim=[0], join=where}", 2, {1, 1}},
	{"top_k", "const @a: f32[6] = [1, nan, -0, 0, inf, nan]", "i64[6]", "%y: i64[6] = top_k @a", 6, {1, 5, 4, 0, 2, 3}},
	{"top_k smallest", "const @a: f64[6] = [1, nan, 0, -0, -inf, nan]", "i64[5]", "%y: i64[5] = top_k @a {largest=0}", 5,
	 {4, 2, 3, 0, 1}},
	{"top_k axis", "const @a: u64[3, 2] = [1, 18446744073709551615, 2, 2, 2, 7]", "i64[2, 2]", "%y: i64[2, 2] = top_k @a", 4,
	 {1, 0, 2, 2}},
	{"top_k none", "const @a: i8[2, 1] = [1, 2]", "i64[2, 0]", "%y: i64[2, 0] = top_k @a {axis=1}", 0, {0}},
	{"nms", BOXES "const @o: i32[1, 2, 4] = [1, 0, 2, 3, -1, 3, 0, 2] const @m: i64[] = [2] const @t: f32[] = [0.5]",
	 "bool[1, 2, 4]", "%y: bool[1, 2, 4] = nms @b, @o, @m, @t", 8, {1, 0, 1, 0, 0, 1, 1, 0}},
	{"nms at the threshold", BOXES "const @o: i64[1, 1, 2] = [0, 1] const @m: i64[] = [9] const @t: f32[] = [0.75]",
	 "bool[1, 1, 2]", "%y: bool[1, 1, 2] = nms @b, @o, @m, @t", 2, {1, 1}},
	{"dft", "const @a: f32[1, 4] = [1, 2, 3, 4]", "f32[2, 1, 2]", "%y: f32[2, 1, 2] = dft @a, _, _ {axis=1}", 4, {10, -2, 0, 2}},
	{"dft complex", "const @a: f32[3, 1] = [1, 0, 0] const @b: f32[3, 1] = [0, 1, 0]", "f32[2, 2, 1]", "%y: f32[2, 2, 1] = dft @a, @b, _", 4,
	 {1, 1.8660254037844386, 1, -0.5}},
	{"dft inverse", "const @a: f64[4] = [10, -2, -2, -2] const @b: f64[4] = [0, 2, 0, -2]", "f64[1, 4]", "%y: f64[1, 4] = dft @a, @b, _ {inverse=1}",
	 4, {1, 2, 3, 4}},
	{"dft waves", "const @a: f32[2] = [1, 2] const @w: f32[2, 2] = [1, 0, -1, 0]", "f32[2, 2]", "%y: f32[2, 2] = dft @a, _, @w", 4, {3, -1, 0, 0}},
	/* groups */
	{"group", "const @a: f32[2] = [1, 2]", "f32[2]",
	 "%s: f32[2] = exp @a %y: f32[2] = group { %p: f32[2] = neg @a "
	 "%q: f32[2] = sub %p, %p %r: f32[2] = add %q, @a yield %r }",
	 2, {1, 2}},
};

static char *case_text(const Case *c)
{
	static const char form[] = "dcc-ir 1 stage import\nmodel t #0000000000000000\n%s\n"
				   "func @main() -> (y: %s) {\n%s\nreturn %%y\n}\n";
	size_t size = sizeof form + strlen(c->consts) + strlen(c->type) + strlen(c->nodes);
	char *text = malloc(size);
	snprintf(text, size, form, c->consts, c->type, c->nodes);
	return text;
}

static double element(const Tensor *t, int64_t i)
{
	switch (t->dtype) {
#define DTYPE(name, text, bits, ctype, cls, onnx)                                                                     \
	case name: return (double)((const ctype *)t->data)[i];
#include "../ir/dtypes.def"
#undef DTYPE
	case NDTypes: break;
	}
	return NAN;
}

static bool is_close(double got, double want)
{
	if (isnan(want) || isinf(want))
		return isnan(want) ? isnan(got) : got == want;
	return fabs(got - want) <= 1e-6 * fabs(want) + 1e-9 * (fabs(want) > 1e-9);
}

static void check_tensor(const char *name, const Tensor *t, int n, const double *want)
{
	CHECK_EQ(tensor_numel(t), n);
	for (int i = 0; i < n && tensor_numel(t) == n; i++) {
		test_checks++;
		if (is_close(element(t, i), want[i]))
			continue;
		test_failures++;
		fprintf(stderr, "%s: element %d is %.10g, expected %.10g\n", name, i, element(t, i), want[i]);
	}
}

/* Parses text; NULL and the message in `message` if that is refused. */
static Module *parse_or_say(const char *text, char *message, size_t size)
{
	char *out = NULL;
	size_t n = 0;
	jmp_buf recover;
	Module *volatile m = NULL;
	diag_stream = open_memstream(&out, &n);
	diag_recover = &recover;
	if (!setjmp(recover))
		m = parse_module("t.ir", text);
	diag_recover = NULL;
	fclose(diag_stream);
	diag_stream = NULL;
	snprintf(message, size, "%s", out);
	free(out);
	diag_reset();
	return m;
}

static void run_case(const Case *c)
{
	char message[600], *text = case_text(c);
	Module *m = parse_or_say(text, message, sizeof message);
	Tensor y = {0}, again = {0};
	free(text);
	if (!m) {
		test_failures++;
		fprintf(stderr, "%s: %s", c->name, message);
		return;
	}
	const char *wrong = eval_module(m, NULL, &y);
	if (wrong)
		fprintf(stderr, "%s: %s\n", c->name, wrong);
	CHECK(!wrong);
	if (!wrong)
		check_tensor(c->name, &y, c->n, c->want);
	/* the same as a constant expression */
	wrong = eval_const(m, m->main->body.yields[0], &again);
	CHECK(!wrong);
	if (!wrong)
		check_tensor(c->name, &again, c->n, c->want);
	free_tensor(&y);
	free_tensor(&again);
	free_module(m);
}

/* ---- pack ------------------------------------------------------------------------------------------------------- */

/* Element [k][n] lies where the text of `pack` says, and all else is 0. */
static void check_pack(int64_t depth, int64_t cols, int parts)
{
	Module *m = new_module("t", "t");
	int64_t width = cols / parts, chunk = parts % 2 ? 32 : 16, unit = parts * chunk / 32, panels = (width + chunk - 1) / chunk * unit;
	float *w = malloc((size_t)(depth * cols) * sizeof *w), *want = calloc((size_t)(panels * depth * 32) + 1, sizeof *want);
	for (int64_t i = 0; i < depth * cols; i++) {
		int64_t k = i / cols, part = i % cols / width, c = i % cols % width, at = part * chunk + c % chunk;
		w[i] = (float)(i + 1);
		want[((c / chunk * unit + at / 32) * depth + k) * 32 + at % 32] = w[i];
	}
	Type type = {.dtype = F32, .rank = 2, .dims = {dim_const(m, depth), dim_const(m, cols)}};
	Type packed = {.dtype = F32, .rank = 3, .dims = {dim_const(m, panels), dim_const(m, depth), dim_const(m, 32)}};
	Value *in = new_const(m, "w", type, w, (size_t)(depth * cols) * sizeof *w)->value;
	Attr attrs[] = {mk_int(Attr_parts, parts)};
	Tensor y;
	CHECK(!eval_const(m, build(m, &m->main->body, NULL, OpPack, NULL, 1, &in, 1, attrs, &packed), &y));
	CHECK_EQ(tensor_numel(&y), panels * depth * 32);
	int64_t bad = 0;
	for (int64_t i = 0; i < panels * depth * 32; i++)
		bad += ((float *)y.data)[i] != want[i];
	CHECK_EQ(bad, 0);
	free_tensor(&y);
	free(w);
	free(want);
	free_module(m);
}

/* ---- what must be refused --------------------------------------------------------------------------------------- */

/* consts, type and nodes as in Case; a part of the message of the parser, or of the evaluator */
typedef struct Wrong {
	const char *consts, *type, *nodes, *message;
} Wrong;

#define A23 "const @a: f32[2, 3] = [1, 2, 3, 4, 5, 6] "

static const Wrong wrong_shapes[] = {
	{A23 "const @b: f32[2] = [1, 2]", "f32[2, 3]", "%y: f32[2, 3] = add @a, @b",
	 "cannot broadcast f32[2, 3] with f32[2]"},
	{A23 "const @b: i64[3] = [1, 2, 3]", "f32[2, 3]", "%y: f32[2, 3] = add @a, @b",
	 "element types differ: f32 and i64"},
	{"const @a: i32[1] = [1]", "i32[1]", "%y: i32[1] = exp @a", "does not take i32"},
	{"const @a: i32[1] = [1]", "f64[1]", "%y: f64[1] = bitcast @a", "i32 has other bits than f64"},
	{"const @a: bool[1] = [1]", "u8[1]", "%y: u8[1] = bitcast @a", "bitcast: does not take bool"},
	{"const @a: i4[1] = [1]", "i4[2]", "%y: i4[2] = concat @a, @a {state=4}", "no state has elements of i4"},
	{"const @a: bool[1] = [1]", "bool[1]", "%y: bool[1] = add @a, @a", "does not take bool"},
	{A23 "const @b: f32[2, 3] = [1, 2, 3, 4, 5, 6]", "f32[2, 3]", "%y: f32[2, 3] = matmul @a, @b",
	 "inner dimensions differ: 3 and 2"},
	{A23 "const @b: f32[2, 3] = [1, 2, 3, 4, 5, 6]", "f32[2, 3]", "%y: f32[2, 3] = linear @a, @b, _",
	 "inner dimensions differ: 3 and 2"},
	{A23, "f32[2, 3]", "%y: f32[2, 3] = softmax @a {axis=2}", "axis 2 is out of range for f32[2, 3]"},
	{A23, "f32[2, 3]", "%y: f32[2, 3] = softmax @a {axis=-1}", "axis -1 is out of range"},
	{A23, "f32[2, 3]", "%y: f32[2, 3] = cumsum @a {axis=2}", "axis 2 is out of range for f32[2, 3]"},
	{A23, "f32[]", "%y: f32[] = sum @a {axes=[1, 0]}", "axes must be ascending"},
	{A23, "f32[2]", "%y: f32[2] = glu @a {axis=1}", "3 is not a multiple of 2"},
	{A23, "f32[3, 2]", "%y: f32[3, 2] = transpose @a {perm=[1, 1]}", "not a permutation"},
	{A23, "f32[5]", "%y: f32[5] = reshape @a", "element counts differ: 6 and 5"},
	{A23, "f32[4, 3]", "%y: f32[4, 3] = expand @a", "cannot broadcast f32[2, 3] to f32[4, 3]"},
	{A23, "f32[2, 2]", "%y: f32[2, 2] = slice @a {starts=[0, 2]}", "leave f32[2, 3]"},
	{A23, "f32[2, 2]", "%y: f32[2, 2] = slice @a {starts=[0, 0], steps=[1, 0]}", "step 0"},
	{A23, "f32[4]", "%y: f32[4] = view @a {base=3, strides_dim=[1]}", "leaves f32[2, 3] by 1"},
	{A23, "f32[4]", "%y: f32[4] = view @a {base=1, strides_dim=[-1]}", "leaves f32[2, 3] by 2"},
	{A23, "f32[1, 3]", "%y: f32[1, 3] = pad @a {pads_dim=[-3, 0, 0, 0]}", "negative"},
	{A23 "const @b: f32[1, 2] = [1, 2]", "f32[3, 3]", "%y: f32[3, 3] = concat @a, @b",
	 "dims of axis 1 differ: 3 and 2"},
	{A23, "f32[2, 3]", "%y: f32[2, 3] = gather @a, @a", "expected integers"},
	{A23, "f32[2, 2, 4]", "%y: f32[2, 2, 4] = dft @a, _, _ {axis=1}", "less that of the result is negative: -1"},
	{A23, "f32[3, 2, 3]", "%y: f32[3, 2, 3] = dft @a, _, _ {axis=1}", "neither one part nor two in front"},
	{A23, "f32[2, 3]", "%y: f32[2, 3] = dft @a, _, _", "the result has rank 2, expected 3"},
	{A23, "f32[2, 2, 3]", "%y: f32[2, 2, 3] = dft @a, _, _ {axis=2}", "axis 2 is out of range"},
	{A23, "f32[2, 1, 3]", "%y: f32[2, 1, 3] = dft @a, _, _ {axis=1}", "dims of operand and result differ: 2 and 1"},
	{A23 "const @b: f32[3, 2] = [1, 2, 3, 4, 5, 6]", "f32[2, 2, 3]", "%y: f32[2, 2, 3] = dft @a, @b, _ {axis=1}", "dims of re and im differ: 2 and 3"},
	{A23 "const @b: f32[3, 2] = [1, 2, 3, 4, 5, 6]", "f32[2, 2, 3]", "%y: f32[2, 2, 3] = dft @a, _, @b", "length and waves differ: 2 and 3"},
	{A23, "i64[3, 3]", "%y: i64[3, 3] = top_k @a", "is negative: -1"},
	{A23, "i64[2, 1]", "%y: i64[2, 1] = top_k @a", "dims of operand and result differ: 3 and 1"},
	{A23, "i32[1, 3]", "%y: i32[1, 3] = top_k @a", "has type i32, expected i64"},
	{BOXES "const @o: i64[2, 1, 1] = [0, 0] const @m: i64[] = [0] const @t: f32[] = [0]", "bool[2, 1, 1]",
	 "%y: bool[2, 1, 1] = nms @b, @o, @m, @t", "batch dims of boxes and order differ: 1 and 2"},
	{BOXES "const @o: i64[1, 1, 1] = [0] const @m: i32[] = [0] const @t: f32[] = [0]", "bool[1, 1, 1]",
	 "%y: bool[1, 1, 1] = nms @b, @o, @m, @t", "operand most has type i32, expected i64"},
	{A23, "i64[6]", "%y: i64[6] = top_k @a", "the result has rank 1, expected 2"},
	{"const @b: bool[2] = [1, 0]", "i64[1]", "%y: i64[1] = top_k @b", "does not take bool"},
	{"const @x: f32[1, 3, 4] = [0,0,0,0,0,0,0,0,0,0,0,0] const @w: f32[2, 2, 1] = [1, 2, 3, 4]", "f32[1, 2, 4]",
	 "%y: f32[1, 2, 4] = conv @x, @w, _", "differ: 3 and 2"},
	{"const @x: f32[1, 1, 2] = [1, 2] const @w: f32[1, 1, 4] = [1, 2, 3, 4]", "f32[1, 1, 0]",
	 "%y: f32[1, 1, 0] = conv @x, @w, _", "output extent is negative: -1"},
	{"const @x: f32[1, 1, 3] = [1, 2, 3] const @w: f32[2, 1] = [1, 2]", "f32[1, 1, 3]",
	 "%y: f32[1, 1, 3] = winconv @x, @w {heads=2, pads_dim=[0]}", "3 is not a multiple of 2"},
	{"const @x: f32[1, 1, 1, 2] = [1, 2] const @w: f32[1, 1, 1, 1] = [1]", "f32[1, 1, 1, 2]",
	 "%y: f32[1, 1, 1, 2] = winconv @x, @w {pads_dim=[0, 0]}", "w has rank 4, expected [heads, taps..] or [batch, places.., heads, taps..]"},
	{"const @x: f32[1, 1, 2] = [1, 2] const @w: f32[1, 2, 1, 1] = [1, 2]", "f32[1, 1, 2]",
	 "%y: f32[1, 1, 2] = winconv @x, @w {pads_dim=[0]}", "batch or places of w and the result differ: 2 and 1"},
	{"const @x: f32[1, 1, 2] = [1, 2] const @w: f32[1, 1] = [1]", "f32[1, 1, 2]", "%y: f32[1, 1, 2] = winconv @x, @w",
	 "pads_dim does not have one entry per spatial axis"},
	{"const @x: f32[1, 1, 2] = [1, 2] const @w: f32[1, 3] = [1, 2, 3]", "f32[1, 1, 2]",
	 "%y: f32[1, 1, 2] = winconv @x, @w {dilations=[2000000000], pads_dim=[0]}", "a window of 3 elements is out of range"},
	{"const @q: f32[1, 1, 3, 1] = [1, 2, 3] const @k: f32[1, 1, 2, 1] = [1, 2]", "f32[1, 1, 3, 1]",
	 "%y: f32[1, 1, 3, 1] = attention @q, @k, @k, _", "3 is not a multiple of 2"},
};

static const Wrong wrong_data[] = {
	{BOXES "const @o: i64[1, 1, 2] = [0, 4] const @m: i64[] = [0] const @t: f32[] = [0]", "bool[1, 1, 2]",
	 "%y: bool[1, 1, 2] = nms @b, @o, @m, @t", "index 4 is out of range for an extent of 4"},
	{A23 "const @i: i64[2] = [0, 2]", "f32[2, 3]", "%y: f32[2, 3] = gather @a, @i",
	 "index 2 is out of range for an extent of 2"},
	{A23 "const @i: i64[1] = [-3]", "f32[1, 3]", "%y: f32[1, 3] = gather @a, @i", "index -3 is out of range"},
	{A23 "const @i: i64[1, 1] = [3]", "f32[1, 1]", "%y: f32[1, 1] = gather_elements @a, @i {axis=1}",
	 "index 3 is out of range"},
	{A23 "const @i: i64[1, 3] = [0, 3, 0] const @u: f32[1, 3] = [0, 0, 0]", "f32[2, 3]",
	 "%y: f32[2, 3] = scatter_elements @a, @i, @u {axis=1}", "index 3 is out of range"},
	{A23 "const @i: i64[1, 1] = [-3] const @u: f32[1, 3] = [0, 0, 0]", "f32[2, 3]", "%y: f32[2, 3] = scatter_nd @a, @i, @u",
	 "index -3 is out of range"},
	{A23 "const @i: i64[1, 2] = [1, 9223372036854775807]", "f32[1]", "%y: f32[1] = gather_nd @a, @i",
	 "index 9223372036854775807 is out of range"},
};

static void expect_text(const char *message, const char *part)
{
	test_checks++;
	if (strstr(message, part))
		return;
	test_failures++;
	fprintf(stderr, "expected \"%s\", got \"%s\"\n", part, message);
}

static void check_wrong_shape(const Wrong *w)
{
	Case c = {.consts = w->consts, .type = w->type, .nodes = w->nodes};
	char message[600], *text = case_text(&c);
	Module *m = parse_or_say(text, message, sizeof message);
	free(text);
	CHECK(!m);
	expect_text(message, w->message);
	free_module(m);
}

static void check_wrong_data(const Wrong *w)
{
	Case c = {.consts = w->consts, .type = w->type, .nodes = w->nodes};
	char message[600], *text = case_text(&c);
	Module *m = parse_or_say(text, message, sizeof message);
	free(text);
	if (!m)
		fprintf(stderr, "%s", message);
	CHECK(m);
	Tensor y;
	const char *wrong = m ? eval_module(m, NULL, &y) : "";
	expect_text(wrong ? wrong : "", w->message);
	CHECK(!m || !y.data);
	free_module(m);
}

/* ---- symbols ---------------------------------------------------------------------------------------------------- */

static const char symbolic[] = "dcc-ir 1 stage import\nmodel t #0000000000000000\n"
			       "sym b in 0..\nsym s in 1..100\nsym p in 0..\n"
			       "func @main(%x: f32[b, 2*s + 1], %z: f32[s, p + s]) "
			       "-> (y: f32[b, 2*s + 1], n: i64[2]) {\n"
			       "%y: f32[b, 2*s + 1] = neg %x\n"
			       "%n: i64[2] = dims {values=[b*s, p]}\n"
			       "return %y, %n\n}\n";

static Tensor make_input(int64_t rows, int64_t cols)
{
	Tensor t = {.dtype = F32, .rank = 2, .dims = {rows, cols}};
	t.data = calloc((size_t)(rows * cols) + 1, sizeof(float));
	for (int64_t i = 0; i < rows * cols; i++)
		((float *)t.data)[i] = (float)i;
	return t;
}

static void check_binding(int64_t b, int64_t width, int64_t s, int64_t width2, const char *message)
{
	char text[600];
	Module *m = parse_or_say(symbolic, text, sizeof text);
	if (!m)
		fprintf(stderr, "%s", text);
	CHECK(m);
	if (!m)
		return;
	Tensor in[2] = {make_input(b, width), make_input(s, width2)}, out[2];
	const char *wrong = eval_module(m, in, out);
	if (message) {
		expect_text(wrong ? wrong : "", message);
	} else {
		CHECK(!wrong);
		double dims[] = {(double)(b * s), (double)(width2 - s)};
		if (!wrong)
			check_tensor("dims", &out[1], 2, dims);
	}
	for (int i = 0; i < 2; i++) {
		free_tensor(&out[i]);
		free_tensor(&in[i]);
	}
	free_module(m);
}

/* Symbols that no dim states by itself: 3*n + 1, two dims that only together give k and u, p*q where p is known. */
static void check_solved_symbols(void)
{
	char text[600];
	Module *m = parse_or_say("dcc-ir 1 stage import\nmodel t #0000000000000000\nsym n in 0..\nsym k in 0..\nsym p in 1..\nsym q in 0..\n"
	                         "sym u in 0..\nfunc @main(%x: f32[3*n + 1], %a: f32[2*k + u], %b: f32[k - u + 9], %c: f32[2*p + 3], "
	                         "%d: f32[p*q + n]) -> (y: f32[n, k, p, q, u]) {\n%o: f32[1, 1, 1, 1, 1] = dims {values=[3]}\n"
	                         "%y: f32[n, k, p, q, u] = expand %o\nreturn %y\n}\n", text, sizeof text);
	static const int64_t values[] = {3, 5, 2, 4, 1};
	int64_t syms[5];
	Tensor in[5];
	CHECK(m);
	for (int i = 0; m && i < 5; i++) {
		in[i] = (Tensor){.dtype = F32, .rank = 1};
		dim_eval(m->main->params[i]->type.dims[0], values, &in[i].dims[0]);
	}
	CHECK(m && !bind_syms(m, in, syms) && !memcmp(syms, values, sizeof syms));
	in[0].dims[0] = 11;
	expect_text(m ? bind_syms(m, in, syms) : "", "dimension 0 is 11, expected 3*n + 1 = 10");
	free_module(m);
}

/* Dims of an input that repeat symbols which a formula or the data gives: they are compared, and each symbol may have two rows. */
static void check_repeated_symbols(void)
{
	char text[600];
	Module *m = parse_or_say("dcc-ir 1 stage import\nmodel t #0000000000000000\nsym a in 0..\nsym b in 0.. = a + 1\n"
	                         "sym c in 0.. of in1[1] * (a)\nsym d in 0.. = c\nsym e in 0.. = b\n"
	                         "func @main(%x: f32[a, b, c, d, e], %s: f32[2]) -> (y: f32[a, b, c, d, e]) {\n"
	                         "%y: f32[a, b, c, d, e] = neg %x\nreturn %y\n}\n", text, sizeof text);
	static const int64_t values[] = {2, 3, 3, 3, 3};
	float scales[2] = {9, 1.9f};
	int64_t syms[5];
	Tensor in[2] = {{.dtype = F32, .rank = 5, .dims = {2, 3, 3, 3, 3}}, {.dtype = F32, .rank = 1, .dims = {2}, .data = scales}};
	CHECK(m && plan_symbols(m).n <= 2 * m->nsym);
	CHECK(m && !bind_syms(m, in, syms) && !memcmp(syms, values, sizeof syms));
	in[0].dims[2] = 4;
	expect_text(m ? bind_syms(m, in, syms) : "", "dimension 2 is 4, expected c = 3");
	free_module(m);
}

static void check_dim_check(void)
{
	char text[600];
	Module *m = parse_or_say("dcc-ir 1 stage import\nmodel t #0000000000000000\nsym s in 0..\nsym u in 0..\n"
	                         "func @main(%x: f32[s], %z: f32[u]) -> (y: f32[s]) {\n"
	                         "%y: f32[s] = add %x, %z\nreturn %y\n}\n", text, sizeof text);
	Tensor in[2] = {make_input(1, 3), make_input(1, 4)}, y;
	CHECK(m);
	for (int i = 0; m && i < 2; i++) {
		in[i].rank = 1;
		in[i].dims[0] = 3 + i;
	}
	const char *wrong = m ? eval_module(m, in, &y) : "";
	CHECK_EQ(m ? m->main->body.ncheck : 0, 1);
	expect_text(wrong ? wrong : "", "s is 3 and u is 4");
	free_tensor(&in[0]);
	free_tensor(&in[1]);
	free_module(m);
}

/* ---- known elements --------------------------------------------------------------------------------------------- */

/* Shape arithmetic of an exporter: the last node's elements, as text. */
static void check_known(const char *nodes, const char *type, const char *want)
{
	char text[1000], message[600], got[300] = "";
	snprintf(text, sizeof text,
	         "dcc-ir 1 stage import\nmodel t #0000000000000000\nsym b in 1..\nsym s in 0..\n"
	         "const @two: i64[1] = [2] const @none: i64[1] = [-1] const @last: i64[] = [-1]\n"
	         "func @main(%%x: f32[b, s]) -> (y: %s) {\n%s\nreturn %%y\n}\n", type, nodes);
	Module *m = parse_or_say(text, message, sizeof message);
	if (!m)
		fprintf(stderr, "%s", message);
	CHECK(m);
	if (!m)
		return;
	const Value *v = m->main->body.yields[0];
	for (int64_t i = 0; v->known && i < const_numel(&v->type); i++)
		snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i ? ", " : "", dim_text(m,
		 v->known[i]));
	CHECK_STR(got, want);
	free_module(m);
}

#define SHAPE "%d: i64[2] = dims {values=[b, s]} "

/* s / 2 as a float */
#define HALF "%g: i64[] = gather %d, @last %r: f32[] = cast %g %t: f32[1] = cast @two %q: f32[1] = div %r, %t "

static Value *const_row(Module *m, DType dtype, int rank, const int64_t *dims, const int64_t *values)
{
	Type t = {.dtype = dtype, .rank = rank};
	int64_t n = 1;
	for (int d = 0; d < rank; d++) {
		t.dims[d] = dim_const(m, dims[d]);
		n *= dims[d];
	}
	size_t bytes = (size_t)dtypes[dtype].bytes;
	char *data = arena_alloc(m->arena, (size_t)n * bytes);
	for (int64_t i = 0; i < n; i++)
		put_scalar(data + (size_t)i * bytes, scalar_of_int(dtype, values[i]));
	return new_const(m, NULL, t, data, (size_t)n * bytes)->value;
}

/* What is known of op over constants is what it computes.  Returns whether anything is known. */
static bool known_agrees(Op op, DType dtype, int rank, const int64_t *a, const int64_t *b)
{
	static const int64_t column[] = {3, 1}, row[] = {3}, choice[] = {0, 1, 1};
	Module *m = new_module("t", NULL);
	Value *x = const_row(m, dtype, rank ? 2 : 0, column, a), *y = const_row(m, dtype, rank ? 1 : 0, row, b);
	Value *in[3] = {x, y};
	if (ops[op].nin == 3) {
		in[0] = const_row(m, Bool, rank ? 1 : 0, row, choice);
		in[1] = x;
		in[2] = y;
	}
	Value *v = build(m, &m->main->body, NULL, op, NULL, ops[op].nin, in, 0, NULL, NULL);
	Tensor t = {0};
	CHECK(!eval_const(m, v, &t));
	for (int64_t i = 0; v->known && i < tensor_numel(&t); i++) {
		int64_t known, computed;
		bool whole = scalar_as_int(scalar_at(t.dtype, t.data, i), &computed);
		if (whole && dim_is_const(v->known[i], &known) && known == computed)
			continue;
		test_failures++;
		fprintf(stderr, "%s of %s: element %lld is known as %s\n", ops[op].text, dtypes[dtype].text, (long long)i,
		        dim_text(m, v->known[i]));
	}
	bool any = v->known;
	free_tensor(&t);
	free_module(m);
	return any;
}

static void check_known_ewise(void)
{
	static const int64_t a[] = {-3, 0, 7}, b[] = {2, 5, -4};
	int nknown = 0;
	for (Op op = 0; op < NOps; op++) {
		bool known = false;
		for (DType t = 0; t < NDTypes && ops[op].cls == ClsEwise && !ops[op].given; t++) {
			if (!is_among(t, ops[op].takes))
				continue;
			for (int i = 0; i < 9 && is_among(t, TypesFlt); i++)
				known |= known_agrees(op, t, 0, &a[i / 3], &b[i % 3]);
			if (!is_among(t, TypesFlt))
				known |= known_agrees(op, t, 1, a, b);
		}
		nknown += known;
	}
	CHECK(nknown >= 18); /* identity neg abs not floor ceil add sub mul idiv imod min max and or xor eq lt le where */
}

static void check_knowns(void)
{
	check_known(SHAPE "%y: i64[] = gather %d, @last", "i64[]", "s");
	check_known(SHAPE "%y: i64[2] = mul %d, @two", "i64[2]", "2*b, 2*s");
	check_known(SHAPE "%y: i64[] = sum %d {axes=[0]}", "i64[]", "b + s");
	check_known(SHAPE "%y: i64[] = reduce_min %d {axes=[0]}", "i64[]", "min(b, s)");
	check_known(SHAPE "%y: i64[] = reduce_max %d {axes=[0]}", "i64[]", "max(b, s)");
	check_known(SHAPE "%c: bool[2] = eq %d, @none %y: i64[2] = where %c, @two, %d", "i64[2]", "b, s");
	check_known(SHAPE "%c: bool[2] = lt %d, @two %y: bool[2] = not %c", "bool[2]", "");
	check_known(SHAPE "%i: i64[] = dims {values=[9007199254740993]} %y: f64[] = cast %i", "f64[]", "");
	check_known(SHAPE "%y: i64[4] = concat %d, @two, @none", "i64[4]", "b, s, 2, -1");
	check_known(SHAPE "%y: i64[2] = slice %d {starts=[1], steps=[-1]}", "i64[2]", "s, b");
	check_known(SHAPE "%r: i64[1, 2] = reshape %d %e: i64[2, 2] = expand %r "
	            "%y: i64[2, 2] = transpose %e {perm=[1, 0]}",
	            "i64[2, 2]", "b, b, s, s");
	check_known(SHAPE "%g: i64[] = gather %d, @last %f: f32[] = cast %g %y: i32[] = cast %f", "i32[]", "s");
	check_known(SHAPE HALF "%c: f32[1] = ceil %q %y: f32[1] = mul %c, %t", "f32[1]", "2*((s + 1)/2)");
	check_known(SHAPE HALF "%f: f32[1] = floor %q %y: f32[1] = sub %f, %t", "f32[1]", "s/2 - 2");
	check_known(SHAPE HALF "%y: f32[1] = mul %q, %t", "f32[1]", "");
	check_known("%t: f32[1] = cast @two %m: f32[1] = mul %t, %t %y: f32[1] = div %m, %t", "f32[1]", "2");
	check_known(SHAPE "%f: f32[2] = cast %d %y: i64[2] = cast %f", "i64[2]", "");
	check_known(SHAPE "%z: i64[2] = idiv @two, %d %y: i64[2] = identity %z", "i64[2]", "2/b, 2/max(s, 1)");
	check_known(SHAPE "%g: i64[] = gather %d, @last %y: i64[1] = imod @none, %g", "i64[1]", "max(s, 1) - 1");
	check_known(SHAPE "%z: i64[2] = sub %d, @two %y: i64[2] = abs %z", "i64[2]", "max(max(0, 2 - b), b - 2), max(max(0, 2 - s), s - 2)");
	check_known(SHAPE "%g: i64[] = gather %d, @last %c: bool[1] = lt @two, %g %y: i64[1] = where %c, @two, %g", "i64[1]",
	            "s - s*min(max(0, s - 2), 1) + 2*min(max(0, s - 2), 1)");
	check_known(SHAPE "%g: i64[] = gather %d, @last %c: bool[1] = eq @two, %g %n: bool[1] = not %c %y: i64[1] = cast %n", "i64[1]",
	            "min(max(max(0, 2 - s), s - 2), 1)");
	check_known(SHAPE "%y: i64[1] = sum %d {axes=[0], keepdims=1}", "i64[1]", "b + s");
	check_known(SHAPE "%y: i64[] = reduce_max %d {axes=[0]}", "i64[]", "max(b, s)");
	check_known(SHAPE "%y: i64[2] = cumsum %d", "i64[2]", "b, b + s");
	check_known(SHAPE "%y: i64[2] = cumsum %d {exclusive=1, reverse=1}", "i64[2]", "s, 0");
	check_known(SHAPE "%y: i64[2] = cumsum %d {product=1}", "i64[2]", "b, b*s");
	check_known(SHAPE "%y: i64[2] = pow %d, @two", "i64[2]", "b*b, s*s");
	check_known("%y: i64[3] = iota {start=s, step=b}", "i64[3]", "s, b + s, 2*b + s");
	check_known("%m: i64[1] = dims {values=[100000000000]} %y: i64[1] = mul %m, %m", "i64[1]", "");
	check_known(SHAPE "%u: u32[2] = cast %d %v: u32[1] = cast @two %y: u32[2] = sub %u, %v", "u32[2]", "");
	check_known("%m: i64[1] = dims {values=[9223372036854775807]} %y: i64[1] = add %m, @two", "i64[1]", "");
}

/* ---- verifier --------------------------------------------------------------------------------------------------- */

static const char two_nodes[] = "dcc-ir 1 stage import\nmodel t #0000000000000000\n"
				"const @c: f32[2] = [1, 2]\n"
				"func @main(%x: f32[2]) -> (y: f32[2]) {\n"
				"%a: f32[2] = clip %x {lo=0}\n"
				"%g: f32[2] = group { %i: f32[2] = add %a, @c yield %i }\n"
				"%y: f32[2] = softmax %g\nreturn %y\n}\n";

typedef void Break(Module *);

static Node *node_at(Module *m, int i)
{
	Node *n = m->main->body.first;
	while (i--)
		n = n->next;
	return n;
}

static void break_uses(Module *m) { node_at(m, 0)->out[0]->nuse = 0; }
static void break_extra_use(Module *m) { m->main->params[0]->uses[0].index = 1; }
static void break_type(Module *m) { node_at(m, 2)->out[0]->type.dims[0] = dim_const(m, 3); }
static void break_dtype(Module *m) { m->main->params[0]->type.dtype = I64; }
static void break_attr(Module *m) { node_at(m, 0)->attrs[0].id = Attr_axis; }
static void break_axis(Module *m) { set_attr(m, node_at(m, 2), mk_int(Attr_axis, 5)); }
static void break_order(Module *m) { move_before(node_at(m, 2), &m->main->body, node_at(m, 0)); }
static void break_scope(Module *m) { set_yield(m, &m->main->body, 0, node_at(m, 1)->body->first->out[0]); }
static void break_const(Module *m) { m->consts[0]->bytes--; }
static void break_name(Module *m) { m->main->results[0] = NULL; }
static void break_yield(Module *m) { node_at(m, 1)->body->nyield = 0; }
static void break_list(Module *m) { node_at(m, 1)->prev = NULL; }
static void break_operand(Module *m) { node_at(m, 2)->in[0] = NULL; }

static void break_known(Module *m)
{
	const Dim **known = arena_alloc(m->arena, sizeof *known);
	m->main->params[0]->known = known;
	node_at(m, 0)->out[0]->known = known;
}

static void check_broken(Break *fn, const char *part)
{
	char text[600];
	Module *m = parse_or_say(two_nodes, text, sizeof text);
	if (!m)
		fprintf(stderr, "%s", text);
	CHECK(m);
	if (!m)
		return;
	const char *before = verify_module(m);
	if (before)
		fprintf(stderr, "%s\n", before);
	CHECK(!before);
	fn(m);
	const char *wrong = verify_module(m);
	expect_text(wrong ? wrong : "", part);
	free_module(m);
}

static void check_verifier(void)
{
	check_broken(break_uses, "lacks this use");
	check_broken(break_extra_use, "clip (line 5): value 0 lacks this use");
	check_broken(break_type, "softmax (line 7): the result is f32[2], its type says f32[3]");
	check_broken(break_dtype, "clip (line 5): attribute lo is f32, operand 0 i64");
	check_broken(break_attr, "clip (line 5): has no attribute axis");
	check_broken(break_axis, "axis 5 is out of range");
	check_broken(break_order, "not defined before its use");
	check_broken(break_scope, "return: value 0 is defined in a group that does not enclose its use");
	check_broken(break_const, "constant @c has 7 bytes");
	check_broken(break_name, "the name of result ''");
	check_broken(break_yield, "yields 0 values for 1 results");
	check_broken(break_list, "the list of nodes is broken");
	check_broken(break_operand, "softmax (line 7): operand 0 is missing");
	check_broken(break_known, "known element 0 is missing");
}

/* ---- const of misaligned bytes ---------------------------------------------------------------------------------- */

static void check_misaligned(void)
{
	Module *m = new_module("t", "t");
	char bytes[2 * sizeof(float) + 1];
	float two[] = {1, 2};
	double want[] = {-1, -2};
	memcpy(bytes + 1, two, sizeof two);
	Type type = {.dtype = F32, .rank = 1, .dims = {dim_const(m, 2)}};
	Value *c = new_const(m, "w", type, bytes + 1, sizeof two)->value;
	Tensor y;
	CHECK(!eval_const(m, build(m, &m->main->body, NULL, OpNeg, NULL, 1, &c, 0, NULL, NULL), &y));
	check_tensor("misaligned", &y, 2, want);
	free_tensor(&y);
	free_module(m);
}

/* ---- damaged modules -------------------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

/* `text` with one to three of its numbers replaced; malloc'ed. */
static char *damage(const char *text, uint64_t *state)
{
	static const char *const numbers[] = {"0", "1", "2", "3", "4", "5", "7", "-1", "-2", "31", "100",
	 "68719476736",
	                                      "9223372036854775807", "-9223372036854775808"};
	char *now = strdup(text);
	for (uint64_t times = 1 + next_random(state) % 3; times; times--) {
		size_t n = strlen(now), at = next_random(state) % n, len;
		while (at < n && (now[at] < '0' || now[at] > '9'))
			at++;
		len = strspn(now + at, "0123456789");
		if (!len)
			continue;
		const char *by = numbers[next_random(state) % (sizeof numbers / sizeof *numbers)];
		char *next = malloc(n + 32);
		snprintf(next, n + 32, "%.*s%s%s", (int)at, now, by, now + at + len);
		free(now);
		now = next;
	}
	return now;
}

/* Whatever the parser lets through, the evaluator runs or refuses; returns whether it ran. */
static bool survives(const char *text)
{
	char message[600];
	Tensor y;
	bool ran = false;
	Module *m = parse_or_say(text, message, sizeof message);
	if (m && m->main->body.nyield == 1 && m->main->nparam == 0) {
		ran = !eval_module(m, NULL, &y);
		free_tensor(&y);
	}
	free_module(m);
	return ran;
}

static void check_damaged(const Case *c, int rounds, uint64_t *state)
{
	static int ran;
	char *text = case_text(c);
	for (int i = 0; i < rounds; i++) {
		char *other = damage(strchr(text, '#') + 17, state), *whole = malloc(strlen(other) + 100);
		sprintf(whole, "dcc-ir 1 stage import\nmodel t #0000000000000000%s", other);
		ran += survives(whole);
		free(whole);
		free(other);
	}
	free(text);
	CHECK(ran > 0);
}

#define EACH(i, table) for (size_t i = 0; i < sizeof(table) / sizeof *(table); i++)

int main(int argc, char **argv)
{
	EACH(i, cases)
		run_case(&cases[i]);
	static const int64_t packs[][3] = {{3, 64, 1}, {2, 37, 1}, {2, 64, 2}, {3, 38, 2}, {3, 96, 3}, {2, 15, 3}, {2, 128, 4}, {3, 84, 4}, {2, 0, 4}};
	for (size_t i = 0; i < sizeof packs / sizeof *packs; i++)
		check_pack(packs[i][0], packs[i][1], (int)packs[i][2]);
	EACH(i, wrong_shapes)
		check_wrong_shape(&wrong_shapes[i]);
	EACH(i, wrong_data)
		check_wrong_data(&wrong_data[i]);
	check_binding(3, 11, 5, 7, NULL);
	check_binding(0, 3, 1, 1, NULL);
	check_binding(3, 10, 5, 7, "input 'x': dimension 1 is 10, expected 2*s + 1 = 11");
	check_binding(3, 11, 6, 7, "input 'x': dimension 1 is 11, expected 2*s + 1 = 13");
	check_binding(1, 203, 101, 101, "s = 101 is outside 1..100");
	check_binding(1, 11, 5, 3, "p = -2 is outside");
	check_solved_symbols();
	check_repeated_symbols();
	check_dim_check();
	check_knowns();
	check_known_ewise();
	check_verifier();
	check_misaligned();
	uint64_t state = 1;
	int rounds = argc > 1 ? atoi(argv[1]) : 40; /* damaged texts per case */
	EACH(i, cases)
		check_damaged(&cases[i], rounds, &state);
	return test_end("eval");
}
