/* eval_test.c - the evaluator against values worked out by hand; damaged texts of the same cases. */
#include "eval_case.h"

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
	{"attention with the logarithm of the sum, of 1 and 3",
	 "const @q: f32[1, 1, 1, 1] = [1] const @k: f32[1, 2, 1, 1] = [0, 1.0986122886681098] const @v: f32[1, 2, 1, 1] = [0, 4]",
	 "f32[1, 1, 1, 2]", "%y: f32[1, 1, 1, 2] = attention @q, @k, @v, _ {lse=1}", 2, {3, 1.3862943611198906}},
	{"attention with the logarithm of a sum of nothing",
	 "const @q: f32[1, 1, 1, 1] = [1] const @v: f32[1, 2, 1, 1] = [0, 4] const @m: bool[1, 1] = [0]",
	 "f32[1, 1, 1, 2]", "%y: f32[1, 1, 1, 2] = attention @q, @v, @v, @m {lse=1, zero_nan=1}", 2, {0, -INFINITY}},
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

/* Halves of bytes: element less the least of its type, columns 16 apart in one byte; and what stands for them. */
static void check_halves(void)
{
	Module *m = new_module("t", "t");
	int8_t q[2][20];
	float s[20], x[2] = {1, 100};
	for (int i = 0; i < 40; i++)
		q[i / 20][i % 20] = (int8_t)(i % 16 - 8);
	for (int i = 0; i < 20; i++)
		s[i] = (float)i;
	const Type matrix = {.dtype = I4, .rank = 2, .dims = {dim_const(m, 2), dim_const(m, 20)}}, row = {.dtype = F32, .rank = 2, .dims = {dim_const(m, 1), dim_const(m, 20)}};
	const Type halves = {.dtype = U8, .rank = 3, .dims = {dim_const(m, 1), dim_const(m, 2), dim_const(m, 16)}};
	const Type scales = {.dtype = F32, .rank = 3, .dims = {dim_const(m, 1), dim_const(m, 1), dim_const(m, 32)}};
	const Type left = {.dtype = F32, .rank = 1, .dims = {dim_const(m, 2)}}, right = {.dtype = F32, .rank = 1, .dims = {dim_const(m, 20)}};
	Value *w = new_const(m, "w", matrix, q, sizeof q)->value, *scale = new_const(m, "s", row, s, sizeof s)->value;
	w = build(m, &m->main->body, NULL, OpPack, NULL, 1, &w, 0, NULL, &halves);
	scale = build(m, &m->main->body, NULL, OpPack, NULL, 1, &scale, 0, NULL, &scales);
	Tensor y;
	CHECK(!eval_const(m, w, &y));
	const uint8_t *bytes = y.data;
	CHECK_EQ(bytes[0], 0x00); /* columns 0 and 16 are -8, less -8 */
	CHECK_EQ(bytes[3], 0x33);
	CHECK_EQ(bytes[5], 0x85); /* there is no column 21: 0 */
	CHECK_EQ(bytes[16 + 1], 0x55); /* the second row: columns 1 and 17, -3 */
	free_tensor(&y);
	Value *in[] = {new_const(m, "x", left, x, sizeof x)->value, w, NULL, scale};
	const Attr attrs[] = {mk_int(Attr_block, 2), mk_int(Attr_offset, 8)};
	CHECK(!eval_const(m, build(m, &m->main->body, NULL, OpLinearScaled, NULL, 4, in, 2, attrs, &right), &y));
	for (int i = 0; i < 20; i++)
		CHECK(((float *)y.data)[i] == (float)((q[0][i] + 100 * q[1][i]) * i));
	free_tensor(&y);
	free_module(m);
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

/* ---- what constants may take ------------------------------------------------------------------------------------ */

/* Passes that look at constants leave those who write them what they may take; both come to an end.  */
static void check_budget(void)
{
	enum { Side = 1 << 12, Most = 1000 };
	Module *m = new_module("t", "t");
	float one = 1;
	const Dim *side = dim_const(m, Side);
	Type type = {.dtype = F32, .rank = 2, .dims = {dim_const(m, 1), dim_const(m, 1)}}, large = {.dtype = F32, .rank = 2, .dims = {side, side}};
	Value *c = new_const(m, "w", type, &one, sizeof one)->value;
	Value *v = build(m, &m->main->body, NULL, OpExpand, NULL, 1, &c, 0, NULL, &large);
	const char *wrong = NULL;
	Tensor y;
	int looks = 0;
	while (looks < Most && !(wrong = look_at_const(m, v, &y))) {
		looks++;
		free_tensor(&y);
	}
	CHECK(looks > 0 && looks < Most && strstr(wrong, "constant expressions take more"));
	CHECK(!eval_const(m, v, &y));
	free_tensor(&y);
	CHECK(m->evaluated == 4.0 * Side * Side);
	m->evaluated = 0x1p60;
	CHECK(eval_const(m, v, &y) != NULL);
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

int main(int argc, char **argv)
{
	EACH(i, cases)
		run_case(&cases[i]);
	static const int64_t packs[][3] = {{3, 64, 1}, {2, 37, 1}, {2, 64, 2}, {3, 38, 2}, {3, 96, 3}, {2, 15, 3}, {2, 128, 4}, {3, 84, 4}, {2, 0, 4}};
	for (size_t i = 0; i < sizeof packs / sizeof *packs; i++)
		check_pack(packs[i][0], packs[i][1], (int)packs[i][2]);
	check_halves();
	check_misaligned();
	check_budget();
	uint64_t state = 1;
	int rounds = argc > 1 ? atoi(argv[1]) : 40; /* damaged texts per case */
	EACH(i, cases)
		check_damaged(&cases[i], rounds, &state);
	return test_end("eval");
}
