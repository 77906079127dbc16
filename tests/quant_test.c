/* quant_test.c - quantised operators, imported and evaluated: rounding, saturation, sums that an f32 could not hold. */
#include "onnx_build.h"
#include "test.h"

#include <math.h>

enum { F = 1, U = 2, S = 3, U16bit = 4, S16bit = 5, I = 6, H = 10, E4 = 17, E5 = 19, P = 24, U4bit = 21, S4bit = 22, F4bit = 23, U2bit = 25, S2bit = 26, Absent = -1, MaxElems = 8, MaxOperands = 12 }; /* ONNX's numbers of element types */

typedef struct Operand {
	int elem;
	const char *dims;
	int n;
	double v[MaxElems]; /* n less than the elements: v[0] everywhere */
} Operand;

typedef struct Case {
	const char *op; /* "dequantised ...": of the first three operands as DequantizeLinear makes them, or as a cast, a subtraction
	                 * and a product where the zero point is a float, and of three more */
	const char *attr; /* name=value, several with semicolons between */
	Operand in[MaxOperands]; /* elem 0 ends the list */
	int nwant;
	double want[MaxElems];
} Case;

static const Case cases[] = {
	{"QuantizeLinear", "", {{F, "6", 6, {-0.5, 0.5, 1.5, 300, -300, 2.5}}, {F, "", 1, {1}}, {U, "", 1, {1}}}, 6, {1, 1, 3, 255, 0, 3}},
	{"QuantizeLinear", "", {{F, "3", 3, {127.5, NAN, -5}}, {F, "", 1, {0.5}}}, 3, {255, 0, 0}},
	{"QuantizeLinear", "axis=0", {{F, "2,2", 4, {1, 2, 3, -4}}, {F, "2", 2, {1, 2}}, {S, "2", 2, {-1, 127}}}, 4, {0, 1, 127, 125}},
	{"DequantizeLinear", "", {{U, "3", 3, {0, 128, 255}}, {F, "", 1, {0.5}}, {U, "", 1, {128}}}, 3, {-64, 0, 63.5}},
	{"DequantizeLinear", "axis=1", {{S, "2,2", 4, {1, 2, -3, 4}}, {F, "2", 2, {1, 10}}}, 4, {1, 20, -3, 40}},
	{"DequantizeLinear", "block_size=2", {{S, "1,3", 3, {1, 2, 3}}, {F, "1,2", 2, {1, 10}}, {S, "1,2", 2, {0, 1}}}, 3, {1, 2, 20}},
	{"DequantizeLinear", "axis=0;block_size=2147483647", {{S, "3", 3, {1, 2, -3}}, {F, "1", 1, {2}}, {S, "1", 1, {1}}}, 3, {0, 2, -8}},
	{"DequantizeLinear", "", {{I, "2", 2, {16777217, -3}}, {F, "", 1, {1}}, {I, "", 1, {1}}}, 2, {16777216, -4}},
	{"QuantizeLinear", "", {{F, "4", 4, {1, 3.3, 1000, -1e9}}, {F, "", 1, {2}}, {E4, "", 1, {0}}}, 4, {0.5, 1.625, 448, -448}},
	{"QuantizeLinear", "", {{F, "2", 2, {1, 3}}, {F, "", 1, {2}}, {E4, "", 1, {0.5}}}, 2, {1, 2}},
	{"QuantizeLinear", "saturate=0", {{F, "3", 3, {1, 65536, -1e9}}, {F, "", 1, {1}}, {E5, "", 1, {0}}}, 3, {1, INFINITY, -INFINITY}},
	{"QuantizeLinear", "output_dtype=17", {{F, "2", 2, {3, -480}}, {P, "", 1, {0.25}}}, 2, {12, -448}},
	{"DequantizeLinear", "axis=0", {{E5, "2,2", 4, {1, 57344, 0.25, -3}}, {F, "2", 2, {0.5, 2}}}, 4, {0.5, 28672, 0.5, -6}},
	{"DequantizeLinear", "", {{E4, "2", 2, {1.5, 448}}, {F, "", 1, {2}}, {E4, "", 1, {0.5}}}, 2, {2, 895}},
	{"DequantizeLinear", "output_dtype=1", {{E4, "2", 2, {1.5, -2}}, {P, "", 1, {8}}}, 2, {12, -16}},
	{"QuantizeLinear", "axis=0", {{F, "2,2", 4, {1.5, -100, 100, 5}}, {F, "2", 2, {1, 2}}, {S4bit, "2", 2, {1, -3}}}, 4, {3, -8, 7, -1}},
	{"QuantizeLinear", "output_dtype=21", {{F, "3", 3, {2.5, -1, 99}}, {F, "", 1, {1}}}, 3, {2, 0, 15}},
	{"QuantizeLinear", "output_dtype=25", {{F, "3", 3, {2.5, -1, 99}}, {F, "", 1, {1}}}, 3, {2, 0, 3}},
	{"QuantizeLinear", "output_dtype=26", {{F, "5", 5, {1.5, 0.5, -0.6, -9, 9}}, {F, "", 1, {1}}}, 5, {1, 0, -1, -2, 1}},
	{"QuantizeLinear", "output_dtype=23", {{F, "5", 5, {5, 2.5, 0.25, -7, 100}}, {F, "", 1, {1}}}, 5, {4, 2, 0, -6, 6}},
	{"QuantizeLinear", "block_size=2", {{F, "1,3", 3, {3, 3, 3}}, {F, "1,2", 2, {1, 3}}, {U4bit, "1,2", 2, {0, 9}}}, 3, {3, 3, 10}},
	{"DequantizeLinear", "block_size=2", {{S4bit, "1,3", 3, {-8, 7, 3}}, {F, "1,2", 2, {1, 10}}, {S4bit, "1,2", 2, {7, -8}}}, 3, {-15, 0, 110}},
	{"DequantizeLinear", "axis=0", {{U2bit, "2,2", 4, {0, 1, 2, 3}}, {F, "2", 2, {1, 0.5}}, {U2bit, "2", 2, {3, 1}}}, 4, {-3, -2, 0.5, 1}},
	{"DequantizeLinear", "", {{S2bit, "5", 5, {0, 1, -2, -1, 1}}, {F, "", 1, {2}}}, 5, {0, 2, -4, -2, 2}},
	{"DequantizeLinear", "", {{F4bit, "3", 3, {0.5, -6, 1.5}}, {F, "", 1, {2}}}, 3, {1, -12, 3}},
	/* what an f16 does not hold */
	{"QuantizeLinear", "", {{H, "3", 3, {0, 1, 60000}}, {H, "", 1, {0.5}}, {S16bit, "", 1, {30001}}}, 3, {30001, 30003, 32767}},
	{"QuantizeLinear", "", {{H, "3", 3, {-1, 0, 1}}, {H, "", 1, {1}}, {U16bit, "", 1, {65535}}}, 3, {65534, 65535, 65535}},
	{"DequantizeLinear", "", {{S16bit, "3", 3, {30001, 30010, -30000}}, {H, "", 1, {0.5}}, {S16bit, "", 1, {30000}}}, 3, {0.5, 5, -30000}},
	{"DequantizeLinear", "", {{U16bit, "2", 2, {65535, 65533}}, {H, "", 1, {1}}, {U16bit, "", 1, {65534}}}, 2, {1, -1}},
	{"DequantizeLinear", "", {{I, "2", 2, {1 << 20, -3}}, {H, "", 1, {1.0 / 1024}}}, 2, {1024, -3.0 / 1024}},
	{"QLinearMatMul", "", {{U, "1,4", 1, {255}}, {H, "", 1, {1.0 / 1024}}, {U, "", 1, {0}}, {S, "4,1", 1, {127}}, {H, "", 1, {1.0 / 65536}},
	 {S, "", 1, {0}}, {H, "", 1, {1.0 / 32768}}, {U, "", 1, {3}}}, 1, {66}},
	{"DynamicQuantizeLinear", "", {{F, "3", 3, {0, -63.75, 191.25}}}, 3, {64, 0, 255}},
	{"DynamicQuantizeLinear", "", {{F, "2", 2, {0, 0}}}, 2, {0, 0}},
	{"MatMulInteger", "", {{U, "1,600", 1, {255}}, {S, "600,1", 1, {127}}}, 1, {19431000}},
	{"MatMulInteger", "", {{U, "1,600", 1, {255}}, {S, "600", 1, {-128}}, {U, "", 1, {0}}, {S, "", 1, {127}}}, 1, {-39015000}},
	{"MatMulInteger", "", {{S, "2,1", 2, {3, 4}}, {S, "1,2", 2, {5, 6}}, {S, "2", 2, {1, 2}}, {S, "2", 2, {-1, -2}}}, 4, {12, 16, 12, 16}},
	{"QLinearMatMul", "", {{U, "1,2", 2, {130, 128}}, {F, "", 1, {0.5}}, {U, "", 1, {128}}, {S, "2,2", 4, {1, 3, 9, 9}},
	 {F, "2", 2, {0.25, 0.5}}, {S, "2", 2, {0, 0}}, {F, "", 1, {0.5}}, {U, "", 1, {10}}}, 2, {10, 13}},
	{"ConvInteger", "", {{U, "1,1,3", 3, {1, 2, 3}}, {S, "1,1,2", 2, {1, -1}}, {U, "", 1, {1}}}, 2, {-1, -1}},
	{"ConvInteger", "", {{S, "1,1,3", 3, {1, 2, 3}}, {U, "1,1,2", 2, {129, 127}}, {S, "", 1, {1}}, {U, "", 1, {126}}}, 2, {1, 5}},
	{"MatMulInteger", "", {{U, "1,600", 1, {255}}, {S, "600,1", 1, {-128}}, {U, "", 1, {0}}, {S, "1", 1, {127}}}, 1, {-39015000}},
	{"dequantised MatMul", "", {{U, "1,600", 1, {255}}, {F, "", 1, {1}}, {U, "", 1, {0}}, {S, "600,1", 1, {127}}, {F, "1", 1, {0.5}}, {S, "1", 1, {0}}}, 1, {9715500}},
	{"dequantised Gemm", "transB=1", {{S, "1,2", 2, {3, -4}}, {F, "", 1, {0.5}}, {S, "", 1, {1}}, {U, "1,2", 2, {130, 120}}, {F, "", 1, {2}}, {U, "", 1, {128}}}, 1, {44}},
	{"dequantised Conv", "", {{U, "1,1,3", 3, {1, 2, 3}}, {F, "", 1, {2}}, {U, "", 1, {1}}, {S, "2,1,2", 4, {1, -1, 0, 4}}, {F, "", 1, {0.25}}, {S, "", 1, {0}}}, 4, {-0.5, -0.5, 2, 4}},
	{"dequantised Conv", "", {{U, "1,1,2", 2, {1, 3}}, {F, "", 1, {2}}, {F, "", 1, {1.5}}, {S, "1,1,1", 1, {4}}, {F, "", 1, {0.25}}, {S, "", 1, {0}}}, 2, {-1, 3}},
	{"dequantised MaxPool", "kernel_shape=2;pads=1,0", {{U, "1,1,3", 3, {1, 5, 2}}, {F, "", 1, {2}}, {U, "", 1, {3}}}, 3, {-4, 4, 4}},
	/* windows of pads alone: no byte is less than all */
	{"dequantised MaxPool", "kernel_shape=2;pads=2,0", {{U, "1,2,1", 2, {1, 4}}, {F, "", 1, {2}}, {U, "", 1, {3}}}, 4, {-INFINITY, -4, -INFINITY, 2}},
	{"dequantised MaxPool", "kernel_shape=2;pads=1,1;dilations=2", {{S, "1,2,1", 2, {7, 5}}, {F, "", 1, {2}}, {S, "", 1, {3}}}, 2, {-INFINITY, -INFINITY}},
	{"dequantised Conv", "group=2", {{U, "1,2,1", 2, {1, 2}}, {F, "", 1, {2}}, {U, "", 1, {1}}, {S, "2,1,1", 2, {1, -1}}, {F, "", 1, {0.25}}, {S, "", 1, {0}}}, 2, {0, -0.5}},
	{"dequantised MatMul", "", {{U, "1,2", 2, {255, 3}}, {F, "", 1, {1}}, {U, "", 1, {3}}, {S4bit, "2,2", 4, {-8, 7, 5, -1}}, {F, "", 1, {0.5}}, {S4bit, "", 1, {1}}}, 2, {-1134, 756}},
	{"dequantised MatMul", "", {{S4bit, "1,2", 2, {-8, 7}}, {F, "", 1, {1}}, {S4bit, "", 1, {-1}}, {U4bit, "2,1", 2, {15, 0}}, {F, "", 1, {1}}, {U4bit, "", 1, {8}}}, 1, {-113}},
	/* more than an i32 holds */
	{"dequantised MatMul", "", {{U, "1,40000", 1, {255}}, {F, "", 1, {1}}, {U, "", 1, {0}}, {U, "40000,1", 1, {255}}, {F, "", 1, {1}}, {U, "", 1, {0}}}, 1, {(float)2601000000}},
	{"ConvInteger", "group=2", {{U, "1,1200,1", 1, {255}}, {S, "2,600,1", 1, {127}}}, 2, {19431000, 19431000}},
	{"com.microsoft.DynamicQuantizeMatMul", "", {{F, "1,300", 1, {255}}, {S, "300,1", 1, {127}}, {F, "", 1, {1}}}, 1, {9715500}},
	{"com.microsoft.QLinearAdd", "", {{U, "2", 2, {10, 20}}, {F, "", 1, {0.5}}, {U, "", 1, {0}}, {U, "1", 1, {4}}, {F, "", 1, {1}}, {U, "", 1, {2}},
	 {F, "", 1, {0.5}}, {U, "", 1, {1}}}, 2, {15, 25}},
	{"com.microsoft.QLinearMul", "", {{S, "1", 1, {10}}, {F, "", 1, {0.5}}, {S, "", 1, {0}}, {S, "1", 1, {4}}, {F, "", 1, {1}}, {S, "", 1, {2}},
	 {F, "", 1, {2}}}, 1, {5}},
	{"com.microsoft.QLinearSigmoid", "", {{U, "1", 1, {128}}, {F, "", 1, {1}}, {U, "", 1, {128}}, {F, "", 1, {1.0 / 256}}}, 1, {128}},
	{"com.microsoft.QLinearLeakyRelu", "", {{S, "2", 2, {-100, 3}}, {F, "", 1, {1}}, {S, "", 1, {0}}, {F, "", 1, {0.5}}, {S, "", 1, {1}}}, 2, {-1, 7}},
	{"com.microsoft.QLinearGlobalAveragePool", "", {{U, "1,1,2,2", 4, {1, 2, 3, 4}}, {F, "", 1, {1}}, {U, "", 1, {0}}, {F, "", 1, {0.5}}, {U, "", 1, {0}}}, 1, {5}},
	{"com.microsoft.QLinearSoftmax", "axis=1", {{U, "1,2", 2, {3, 3}}, {F, "", 1, {1}}, {U, "", 1, {0}}, {F, "", 1, {1.0 / 256}}, {U, "", 1, {2}}}, 2, {130, 130}},
	{"com.microsoft.QLinearSoftmax", "opset=12", {{U, "1,2,2", 4, {3, 3, 3, 3}}, {F, "", 1, {1}}, {U, "", 1, {0}}, {F, "", 1, {1.0 / 256}}, {U, "", 1, {2}}}, 4, {66, 66, 66, 66}},
	{"com.microsoft.QLinearConcat", "axis=0", {{F, "", 1, {0.5}}, {U, "", 1, {0}}, {U, "1", 1, {2}}, {F, "", 1, {1}}, {U, "", 1, {0}}, {U, "1", 1, {5}}, {F, "", 1, {1}},
	 {U, "", 1, {1}}}, 2, {4, 8}},
	{"com.microsoft.QGemm", "", {{U, "1,2", 2, {3, 5}}, {F, "", 1, {0.5}}, {U, "", 1, {1}}, {U, "2,1", 2, {2, 4}}, {F, "1", 1, {1}}, {U, "1", 1, {0}},
	 {I, "1", 1, {4}}, {F, "", 1, {2}}, {U, "", 1, {5}}}, 1, {11}},
	{"com.microsoft.QGemm", "transB=1", {{S, "1,2", 2, {3, 5}}, {F, "", 1, {0.5}}, {S, "", 1, {1}}, {S, "2,2", 4, {2, 4, -2, 3}}, {F, "2", 2, {1, 0.5}}, {S, "2", 2, {0, 0}}}, 2, {10, 2}},
	{"com.microsoft.MatMulIntegerToFloat", "", {{U, "1,2", 2, {3, 5}}, {S, "2,1", 2, {2, 4}}, {F, "", 1, {0.5}}, {F, "1", 1, {1}}, {U, "", 1, {1}}, {S, "1", 1, {1}},
	 {F, "1", 1, {0.25}}}, 1, {7.25}},
	{"com.microsoft.QAttention", "num_heads=1", {{U, "1,2,1", 2, {2, 4}}, {S, "1,3", 3, {0, 0, 1}}, {F, "3", 1, {0}}, {F, "", 1, {0.5}}, {F, "", 1, {1}},
	 {Absent, "", 0, {0}}, {U, "", 1, {0}}, {S, "", 1, {0}}}, 2, {1.5, 1.5}},
	/* hidden 2, gates i, o, f, c: i closed, f open, c stays 20, tanh(20) = 1; o is sigmoid(0), but 1 where a zero point is not subtracted */
	{"com.microsoft.DynamicQuantizeLSTM", "hidden_size=2", {{F, "1,1,1", 1, {255}}, {U, "1,1,8", 8, {1, 1, 128, 255, 255, 255, 128, 128}},
	 {U, "1,2,8", 1, {3}}, {Absent, "", 0, {0}}, {Absent, "", 0, {0}}, {F, "1,1,2", 2, {0.5, 1}}, {F, "1,1,2", 2, {20, 20}}, {Absent, "", 0, {0}},
	 {F, "1", 1, {2}}, {U, "1", 1, {128}}, {F, "1,8", 1, {1}}, {U, "1,8", 1, {3}}}, 2, {0.5, 1}},
	/* columns of 16 + 1 elements 1, 2, 1, 2 ... of 4 bits: zero points 8 of nobody's, or packed */
	{"com.microsoft.MatMulNBits", "K=17;N=2;block_size=16", {{F, "1,17", 1, {1}}, {U, "2,2,8", 1, {0x21}}, {F, "2,2", 4, {1, 2, 3, 4}},
	 {Absent, "", 0, {0}}, {Absent, "", 0, {0}}, {F, "2", 2, {100, 0}}}, 2, {-18, -340}},
	{"com.microsoft.MatMulNBits", "K=17;N=2;block_size=16;bits=4", {{F, "1,17", 1, {1}}, {U, "2,2,8", 1, {0x21}}, {F, "4", 4, {1, 2, 3, 4}}, {U, "2,1", 2, {0x21, 0x30}}},
	 2, {6, 64}},
	{"com.microsoft.MatMulNBits", "K=2;N=1;block_size=16;bits=8;accuracy_level=4", {{H, "2,2", 4, {1, 1, 1, 2048}}, {U, "1,1,16", 1, {130}}, {H, "1,1", 1, {0.5}}}, 2, {2, 2048}},
	{"com.microsoft.MatMulNBits", "K=4;N=1;block_size=16;bits=2", {{F, "1,4", 1, {1}}, {U, "1,1,4", 1, {0xe4}}, {F, "1,1", 1, {1}}}, 1, {-2}},
	{"com.microsoft.MatMulNBits", "K=4;N=1;block_size=16", {{F, "4", 1, {1}}, {U, "1,1,8", 1, {0x21}}, {F, "1,1", 1, {1}}, {F, "1,1", 1, {0.5}}}, 1, {4}},
	{"com.microsoft.MatMulNBits", "K=17;N=1;block_size=16", {{F, "1,17", 1, {1}}, {U, "1,2,8", 1, {0x21}}, {F, "1,2", 2, {1, 2}}, {Absent, "", 0, {0}}, {I, "32", 1, {1}}}, 1, {-222}},
	{"com.microsoft.MatMulNBits", "K=16;N=2;block_size=16", {{F, "1,16", 1, {1}}, {U, "2,1,0", 0, {0}}, {F, "0", 0, {0}}, {Absent, "", 0, {0}}, {Absent, "", 0, {0}}, {F, "2", 2, {5, 6}}},
	 2, {5, 6}},
	{"com.microsoft.GatherBlockQuantized", "block_size=16", {{U4bit, "3,2", 6, {1, 2, 3, 4, 5, 6}}, {I, "3", 3, {-1, 0, 5}}, {F, "3,1", 3, {1, 2, 3}}}, 6, {15, 18, 1, 2, 0, 0}},
	{"com.microsoft.GatherBlockQuantized", "", {{S4bit, "2,2", 4, {1, -8, 7, 4}}, {I, "1,1", 1, {1}}, {H, "2,1", 2, {1, 2}}, {S4bit, "2,1", 2, {7, -8}}}, 2, {30, 24}},
	{"com.microsoft.GatherBlockQuantized", "bits=2;block_size=16", {{U, "2,1", 2, {0xe4, 0x1b}}, {I, "", 1, {1}}, {F, "2,1", 2, {1, 2}}}, 4, {2, 0, -2, -4}},
	{"com.microsoft.GatherBlockQuantized", "block_size=16;bits=8", {{U, "2,2", 4, {1, 2, 3, 4}}, {I, "1", 1, {0}}, {F, "2,1", 2, {3, 2}}, {U, "2,1", 2, {2, 0}}}, 2, {-3, 0}},
	{"com.microsoft.GatherBlockQuantized", "gather_axis=1;quantize_axis=0", {{U4bit, "2,2", 4, {1, 2, 3, 4}}, {I, "1", 1, {1}}, {F, "1,2", 2, {1, 10}}}, 2, {20, 40}},
	{"com.microsoft.GatherBlockQuantized", "quantize_axis=-2", {{U4bit, "2,2", 4, {1, 2, 3, 4}}, {I, "1", 1, {1}}, {F, "1,2", 2, {1, 10}}}, 2, {3, 40}},
	{"com.microsoft.GatherBlockQuantized", "block_size=0", {{E4, "2,2", 4, {1, 2, 3, 4}}, {I, "1", 1, {1}}, {F, "1,1", 1, {0.5}}}, 2, {1.5, 2}},
	{"QLinearConv", "", {{U, "1,1,2", 2, {3, 5}}, {F, "", 1, {1}}, {U, "", 1, {1}}, {S, "2,1,1", 2, {1, 2}}, {F, "2", 2, {0.5, 1}},
	 {S, "", 1, {0}}, {F, "", 1, {2}}, {U, "", 1, {7}}, {I, "2", 2, {1, -100}}}, 4, {8, 8, 0, 0}},
};

static int put(Arena *a, const Operand *o, void **data)
{
	static const DType types[] = {[F] = F32, [U] = U8, [S] = I8, [U16bit] = U16, [S16bit] = I16, [I] = I32, [H] = F16, [E4] = F8E4M3FN, [E5] = F8E5M2, [P] = F8E8M0,
	                              [U4bit] = U4, [S4bit] = I4, [F4bit] = F4E2M1, [U2bit] = U2, [S2bit] = I2};
	char **dims;
	int n = 1, rank = split_text(a, o->dims, &dims), bytes = dtypes[types[o->elem]].bytes;
	for (int i = 0; i < rank; i++)
		n *= atoi(dims[i]);
	char *p = *data = arena_alloc(a, (size_t)n * (size_t)bytes);
	for (int i = 0; i < n; i++)
		put_scalar(p + i * bytes, scalar_of_real(types[o->elem], o->v[o->n == n ? i : 0]));
	if (!is_packed(types[o->elem]))
		return n * bytes;
	void *elements = p;
	*data = arena_alloc(a, (size_t)n + 1);
	pack_elements(types[o->elem], elements, n, *data);
	return (int)packed_bytes(types[o->elem], n);
}

static int integer_products(Module *m)
{
	int count = 0;
	for (Node *n = first_node(m); n; n = next_node(n))
		count += n->op == OpMatMul && n->out[0]->type.dtype == I32;
	return count;
}

static void check(const Case *k, const char *path)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 21);
	char *said, *names = arena_strdup(a, "");
	for (int i = 0; i < MaxOperands && k->in[i].elem; i++) {
		void *data;
		if (k->in[i].elem == Absent) {
			names = arena_printf(a, "%s,", names);
			continue;
		}
		int bytes = put(a, &k->in[i], &data);
		add_tensor(b, arena_printf(a, "c%d", i), k->in[i].elem, k->in[i].dims, data, (size_t)bytes);
		names = arena_printf(a, "%s%sc%d", names, i ? "," : "", i);
	}
	const char *dot = strrchr(k->op, '.'), *bytes = strchr(k->op, ' ');
	const bool centred = bytes && k->in[2].elem == F;
	if (centred) {
		set_i(a, add_op(b, "Cast", "c0", "real"), "to", F);
		add_op(b, "Sub", "real,c2", "around");
		add_op(b, "Mul", "around,c1", "x");
	} else if (bytes) {
		add_op(b, "DequantizeLinear", "c0,c1,c2", "x");
	}
	const bool weighs = bytes && k->in[3].elem;
	if (weighs)
		add_op(b, "DequantizeLinear", "c3,c4,c5", "w");
	Onnx__NodeProto *node = add_op(b, bytes ? bytes + 1 : dot ? dot + 1 : k->op, weighs ? "x,w" : bytes ? "x" : names, "y");
	if (dot)
		node->domain = arena_printf(a, "%.*s", (int)(dot - k->op), k->op);
	put_attrs(a, node, k->attr);
	add_output(b, "y");
	write_built(b, path);
	Module *m = try_load_model(path, NULL, &said);
	Tensor out = {0};
	const char *wrong = !m ? said : verify_module(m);
	CHECK(!m || !strstr(k->op, "LSTM") || integer_products(m) == 2); /* of inputs and of the state */
	CHECK(!m || !weighs || integer_products(m) == (!strstr(k->attr, "group") && !centred && !strstr(k->in[0].dims, "40000")));
	wrong = wrong ? wrong : eval_module(m, NULL, &out);
	CHECK(!wrong && tensor_numel(&out) == k->nwant);
	if (wrong)
		fprintf(stderr, "%s: %s\n", k->op, wrong);
	for (int i = 0; !wrong && i < k->nwant && i < tensor_numel(&out); i++) {
		Scalar s = scalar_at(out.dtype, out.data, i);
		double v = is_among(out.dtype, TypesFlt) ? s.f : (double)s.i;
		CHECK(v == k->want[i]);
		if (v != k->want[i])
			fprintf(stderr, "%s {%s}: element %d is %g, expected %g\n", k->op, k->attr, i, v, k->want[i]);
	}
	free_tensor(&out);
	free_module(m);
	free(said);
	free_arena(a);
}

int main(void)
{
	char path[] = "/tmp/dcc-quant-XXXXXX.onnx";
	if (!make_model_file(path))
		return 2;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		check(&cases[i], path);
	unlink(path);
	return test_end("quant");
}
