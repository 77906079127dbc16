/* import_test.c - the ONNX importer on small models made by hand: what they compute once they are imported; import_graph_test.c: what it
 * makes of them; import_refused_test.c: what it says when it refuses. */
#include "import.h"

#include <math.h>

enum { MaxList = 16 };

typedef struct List {
	int n;
	double v[MaxList];
} List;

typedef struct Reals {
	int n;
	double v[MaxList];
	const char *dims;
} Reals;

/* One node with constant operands on an input x of floats, i of integers, h of half floats or u of u8, evaluated. */
typedef struct Case {
	const char *op; /* or domain.op */
	int opset;
	const char *in, *dims; /* of the first input */
	List x;
	const char *attr; /* "name=1,2" integers, "name~0.5" a float, "name:text" a word; separated by ";" */
	List ints[3]; /* operands a, b, d */
	List want;
} Case;

static const Case cases[] = {
	{"Div", 13, "i,a", "4", {4, {-7, 7, -8, 5}}, "", {{1, {2}}}, {4, {-3, 3, -4, 2}}},
	{"Div", 13, "i,a", "4", {4, {-7, 7, -8, 5}}, "", {{1, {-2}}}, {4, {3, -3, 4, -2}}},
	{"Div", 13, "i,a", "4", {4, {INT64_MIN, 7, -7, 0}}, "", {{1, {2}}}, {4, {-0x1p62, 3, -3, 0}}},
	{"Div", 13, "i,a", "2", {2, {INT64_MIN, 7}}, "", {{1, {-1}}}, {2, {INT64_MIN, -7}}}, /* wraps */
	{"Div", 13, "i,a", "4", {4, {INT64_MIN, 7, -7, 0}}, "", {{1, {INT64_MIN}}}, {4, {1, 0, 0, 0}}},
	{"Mod", 13, "i,a", "4", {4, {-7, 7, -8, 5}}, "", {{1, {3}}}, {4, {2, 1, 1, 2}}},
	{"Slice", 13, "x,a,b,d", "5", {5, {0, 1, 2, 3, 4}}, "", {{1, {-2}}, {1, {9}}, {1, {0}}}, {2, {3, 4}}},
	{"Slice", 9, "x", "5", {5, {0, 1, 2, 3, 4}}, "starts=1;ends=-1;axes=0", {{0}}, {3, {1, 2, 3}}},
	{"Softmax", 11, "x", "1,2,2", {4, {0, 0, 0, 0}}, "", {{0}}, {4, {0.25, 0.25, 0.25, 0.25}}},
	{"Softmax", 13, "x", "1,2,2", {4, {0, 0, 0, 0}}, "", {{0}}, {4, {0.5, 0.5, 0.5, 0.5}}},
	{"Pad", 13, "x,a", "4", {4, {1, 2, 3, 4}}, "", {{2, {1, -2}}}, {3, {0, 1, 2}}},
	{"Pad", 13, "x,a", "3", {3, {1, 2, 3}}, "mode:reflect", {{2, {2, 1}}}, {6, {3, 2, 1, 2, 3, 2}}},
	{"AveragePool", 19, "x", "1,1,5", {5, {1, 2, 3, 4, 5}}, "kernel_shape=2;strides=2;ceil_mode=1", {{0}},
         {3, {1.5, 3.5, 5}}},
	{"MaxPool", 12, "x", "1,1,4", {4, {1, 5, 2, 3}}, "kernel_shape=3;pads=1,1", {{0}}, {4, {5, 5, 5, 3}}},
	{"HardSigmoid", 6 + 1, "x", "3", {3, {-9, 1, 9}}, "alpha~0.25", {{0}}, {3, {0, 0.75, 1}}},
	{"ArgMax", 13, "x", "2,3", {6, {1, 3, 3, 2, 0, 1}}, "axis=1;keepdims=0", {{0}}, {2, {1, 0}}},
	{"CumSum", 14, "i,a", "4", {4, {1, 2, 3, 4}}, "exclusive=1", {{1, {0}}}, {4, {0, 1, 3, 6}}},
	{"CumSum", 14, "x,a", "2,3", {6, {1, 2, 3, 4, 5, 6}}, "reverse=1", {{1, {-1}}}, {6, {6, 5, 3, 15, 11, 6}}},
	{"CumSum", 14, "i,a", "4", {4, {1, 2, 3, 4}}, "exclusive=-1;reverse=2", {{1, {0}}}, {4, {9, 7, 4, 0}}},
	{"CumProd", 26, "x,a", "2,3", {6, {1, 2, 3, 4, 5, 6}}, "exclusive=1", {{1, {1}}}, {6, {1, 1, 2, 1, 4, 20}}},
	{"BitShift", 28, "i,a", "2", {2, {-9, 5}}, "direction:RIGHT", {{1, {1}}}, {2, {-5, 2}}},
	{"BitShift", 28, "i,a", "2", {2, {-9, 5}}, "direction:LEFT", {{1, {62}}}, {2, {-0x1p62, 0x1p62}}},
	{"Hardmax", 13, "x", "2,3", {6, {1, 3, 3, NAN, 9, -1}}, "", {{0}}, {6, {0, 1, 0, 1, 0, 0}}},
	{"Hardmax", 11, "x", "1,2,2", {4, {1, 3, 4, -1}}, "", {{0}}, {4, {0, 0, 1, 0}}},
	{"Asin", 13, "x", "5", {5, {-1, 1e-20, 0.5, 1, 1.5}}, "", {{0}}, {5, {-1.57079633, 1e-20, 0.523598776, 1.57079633, NAN}}},
	{"Acos", 13, "x", "5", {5, {-1, 0, 0.5, 1, -1.5}}, "", {{0}}, {5, {3.14159265, 1.57079633, 1.04719755, 0, NAN}}},
	{"Atan", 13, "x", "4", {4, {-INFINITY, 1e-20, 1, NAN}}, "", {{0}}, {4, {-1.57079633, 1e-20, 0.785398163, NAN}}},
	{"Sinh", 13, "x", "6", {6, {-89, 1e-10, -0.5, 2, INFINITY, NAN}}, "", {{0}},
         {6, {-2.2448061e38, 1e-10, -0.521095305, 3.62686041, INFINITY, NAN}}},
	{"Asinh", 13, "x", "6", {6, {-3e38, 1e-10, -0.5, 2, INFINITY, NAN}}, "", {{0}},
         {6, {-89.289993, 1e-10, -0.481211825, 1.44363548, INFINITY, NAN}}},
	{"Acosh", 13, "x", "7", {7, {1, 1.5, 3e38, 0.5, -3, -1e6, NAN}}, "", {{0}}, {7, {0, 0.962423650, 89.289993, NAN, NAN, NAN, NAN}}},
	{"Atanh", 13, "x", "6", {6, {-1, 1e-10, -0.25, 0.75, 2, NAN}}, "", {{0}},
         {6, {-INFINITY, 1e-10, -0.255412812, 0.972955075, NAN, NAN}}},
	{"ReverseSequence", 10, "x,a", "3,2", {6, {1, 2, 3, 4, 5, 6}}, "", {{2, {3, 2}}}, {6, {5, 4, 3, 2, 1, 6}}},
	{"ReverseSequence", 10, "x,a", "2,3", {6, {1, 2, 3, 4, 5, 6}}, "batch_axis=0;time_axis=1", {{2, {2, 0}}}, {6, {2, 1, 3, 4, 5, 6}}},
	{"HannWindow", 17, "a", "", {0}, "", {{1, {4}}}, {4, {0, 0.5, 1, 0.5}}},
	{"HannWindow", 17, "a", "", {0}, "periodic=0", {{1, {3}}}, {3, {0, 1, 0}}},
	{"HammingWindow", 17, "a", "", {0}, "", {{1, {2}}}, {2, {0.086956522, 1}}},
	{"STFT", 17, "x,a,,b", "1,4", {4, {1, 2, 3, 4}}, "", {{1, {3}}, {1, {1}}}, {4, {1, 0, 4, 0}}},
	{"STFT", 17, "x,a,,b", "1,4,1", {4, {1, 2, 3, 4}}, "", {{1, {3}}, {1, {1}}}, {4, {1, 0, 4, 0}}},
	{"NegativeLogLikelihoodLoss", 13, "x,a", "2,3", {6, {1, 2, 3, 4, 5, 6}}, "reduction:none", {{2, {2, 0}}}, {2, {-3, -4}}},
	{"NegativeLogLikelihoodLoss", 13, "x,a", "2,3", {6, {1, 2, -INFINITY, 4, 5, 6}}, "ignore_index=-1", {{2, {-1, 0}}}, {1, {-4}}},
	{"SoftmaxCrossEntropyLoss", 13, "x,a", "2,2", {4, {0, 0, 3, 3}}, "", {{2, {1, 0}}}, {1, {0.69314718}}},
	{"Gemm", 13, "x,x", "2,2", {4, {1, 2, 3, 4}}, "transA=1", {{0}}, {4, {10, 14, 14, 20}}},
	{"Gemm", 13, "x,x,x", "2,2", {4, {1, 2, 3, 4}}, "transB=1;alpha~0.5;beta~2", {{0}}, {4, {4.5, 9.5, 11.5, 20.5}}},
	{"com.microsoft.FusedMatMul", 17, "x,x", "2,2", {4, {1, 2, 3, 4}}, "transA=1;alpha~0.5", {{0}}, {4, {5, 7, 7, 10}}},
	{"ai.onnx.ml.Binarizer", 17, "x", "3", {3, {-1, 0.5, 2}}, "threshold~0.5", {{0}}, {3, {0, 0, 1}}},
	{"ai.onnx.ml.Binarizer", 17, "i", "3", {3, {-1, 0, 1}}, "threshold~-0.5", {{0}}, {3, {0, 1, 1}}},
	{"ai.onnx.ml.Binarizer", 17, "i", "2", {2, {INT64_MIN, 1}}, "threshold~-1e30", {{0}}, {2, {1, 1}}},
	{"ai.onnx.ml.Scaler", 17, "x", "2,2", {4, {1, 2, 3, 5}}, "offset~1,2;scale~0.5,0.5", {{0}}, {4, {0, 0, 1, 1.5}}},
	{"ai.onnx.ml.Scaler", 17, "x", "2", {2, {1, 2}}, "scale~3,-1", {{0}}, {2, {3, -2}}},
	{"ai.onnx.ml.Normalizer", 17, "x", "2,2", {4, {1, -4, 0, 0}}, "", {{0}}, {4, {1, -4, 0, 0}}},
	{"ai.onnx.ml.Normalizer", 17, "x", "2,2", {4, {1, -4, 0, 0}}, "norm:L1", {{0}}, {4, {0.2, -0.8, 0, 0}}},
	{"ai.onnx.ml.Normalizer", 17, "x", "2", {2, {3, -4}}, "norm:L2", {{0}}, {2, {0.6, -0.8}}},
	{"ai.onnx.ml.Imputer", 17, "x", "2,2", {4, {NAN, 1, 2, NAN}}, "imputed_value_floats~5,6;replaced_value_float~nan", {{0}}, {4, {5, 1, 2, 6}}},
	{"ai.onnx.ml.Imputer", 17, "x", "2", {2, {0, 1}}, "imputed_value_floats~7", {{0}}, {2, {7, 1}}},
	{"ai.onnx.ml.Imputer", 17, "i", "2,2", {4, {-1, 1, 2, -1}}, "imputed_value_int64s=5,6;replaced_value_int64=-1", {{0}}, {4, {5, 1, 2, 6}}},
	{"ai.onnx.ml.LinearRegressor", 17, "x", "1,2", {2, {1, 2}}, "coefficients~1,2,3,4;intercepts~0.5,-1;targets=2", {{0}}, {2, {5.5, 10}}},
	{"ai.onnx.ml.LinearRegressor", 17, "x", "2,2", {4, {1, 2, 0, -2}}, "coefficients~1,2;post_transform:LOGISTIC", {{0}}, {2, {0.993307149, 0.017986210}}},
	{"ai.onnx.ml.LinearClassifier", 17, "x", "3,1", {3, {1, -2, 0}}, "coefficients~1,-1,0.5;intercepts~0,0,0.1;classlabels_ints=7,8,9", {{0}},
         {3, {7, 8, 9}}},
	{"ai.onnx.ml.ArrayFeatureExtractor", 17, "x,a", "2,3", {6, {1, 2, 3, 4, 5, 6}}, "", {{2, {2, 0}}}, {4, {3, 1, 6, 4}}},
	{"ai.onnx.ml.ArrayFeatureExtractor", 17, "x,a", "3", {3, {1, 2, 3}}, "", {{2, {2, 0}}}, {2, {3, 1}}},
	{"TfIdfVectorizer", 17, "i", "5", {5, {94, 17, 94, 17, 36}},
         "mode:TF;min_gram_length=2;max_gram_length=2;max_skip_count=0;ngram_counts=0,0;ngram_indexes=3,0;pool_int64s=94,17,17,36",
         {{0}}, {4, {1, 0, 0, 2}}},
	{"TfIdfVectorizer", 17, "i", "5", {5, {94, 17, 94, 17, 36}},
         "mode:TFIDF;min_gram_length=1;max_gram_length=2;max_skip_count=2;ngram_counts=0,1;ngram_indexes=0,2,1;pool_int64s=17,94,17,17,36",
         {{0}}, {3, {2, 2, 3}}},
	{"TfIdfVectorizer", 17, "i", "1,2", {2, {36, 36}}, /* shorter than an n-gram; 1-grams are left out */
         "mode:IDF;min_gram_length=3;max_gram_length=3;max_skip_count=1;ngram_counts=0,1,1;ngram_indexes=0,1;pool_int64s=36,36,36,36",
         {{0}}, {2, {0, 0}}},
	{"com.microsoft.QuickGelu", 17, "x", "2", {2, {0, 1}}, "", {{0}}, {2, {0, 0.84579575}}},
	{"com.microsoft.FastGelu", 17, "x,x", "1", {1, {0.5}}, "", {{0}}, {1, {0.84119199}}},
	{"com.microsoft.MultiHeadAttention", 17, "x,x,x", "1,2,1", {2, {1, 2}}, "num_heads=1;scale~1", {{0}}, {2, {1.7310586, 1.8807971}}},
	{"Trilu", 14, "x,a", "2,3", {6, {1, 2, 3, 4, 5, 6}}, "upper=0", {{1, {1}}}, {6, {1, 2, 0, 4, 5, 6}}},
	{"Tile", 13, "x,a", "1,2", {2, {1, 2}}, "", {{2, {2, 2}}}, {8, {1, 2, 1, 2, 1, 2, 1, 2}}},
	{"Tile", 13, "x,a", "1,1,1,1,1,2,2", {4, {1, 2, 3, 4}}, "", {{7, {1, 1, 1, 1, 1, 2, 2}}}, {16, {1, 2, 1, 2, 3, 4, 3, 4, 1, 2, 1, 2, 3, 4, 3, 4}}}, /* one axis at a time */
	{"Einsum", 12, "x,x", "2,2", {4, {1, 2, 3, 4}}, "equation:ij,jk->ki", {{0}}, {4, {7, 15, 10, 22}}},
	{"Einsum", 12, "x,x", "1,2,2", {4, {1, 2, 3, 4}}, "equation:...qd,...kd->...qk", {{0}}, {4, {5, 11, 11, 25}}},
	{"Einsum", 12, "x,x", "2,2", {4, {1, 2, 3, 4}}, "equation:... i, ...i", {{0}}, {2, {5, 25}}},
	{"Einsum", 12, "i,a", "2,2", {4, {1, 2, 3, 4}}, "equation:i...,...->i...", {{2, {5, 6}}}, {4, {5, 12, 15, 24}}},
	{"Einsum", 12, "i,a,b", "2,2", {4, {1, 2, 3, 4}}, "equation:...j,j,...->...", {{2, {5, 6}}, {1, {2}}}, {2, {34, 78}}},
	{"Resize", 13, "x,,,a", "1,1,2", {2, {1, 2}},
         "mode:nearest;coordinate_transformation_mode:asymmetric;nearest_mode:floor", {{3, {1, 1, 4}}},
         {4, {1, 1, 2, 2}}},
	{"DFT", 20, "x", "1,4,1", {4, {1, 0, 0, 0}}, "", {{0}}, {8, {1, 0, 1, 0, 1, 0, 1, 0}}},
	{"DFT", 20, "x,a", "1,2,1", {2, {1, 5}}, "", {{1, {1}}}, {2, {1, 0}}},
	{"DFT", 20, "x,a", "1,1,1", {1, {7}}, "", {{1, {3}}}, {6, {7, 0, 7, 0, 7, 0}}},
	{"DFT", 20, "x,a", "1,2,2", {4, {6, 0, 0, 0}}, "inverse=1;onesided=1", {{1, {3}}}, {3, {2, 2, 2}}},
	{"DFT", 17, "x", "1,2,2", {4, {6, 9, 2, 0}}, "inverse=1;onesided=1", {{0}}, {2, {4, 2}}},
	{"ReduceLogSumExp", 18, "x,a", "1,2", {2, {0, 0}}, "keepdims=0", {{1, {1}}}, {1, {0.69314718}}},
	{"Clip", 6 + 1, "x", "3", {3, {-2, 0, 2}}, "min~-1;max~1", {{0}}, {3, {-1, 0, 1}}},
	{"Gelu", 20, "x", "2", {2, {0, 1}}, "approximate:tanh", {{0}}, {2, {0, 0.84119199}}},
	{"Sign", 13, "x", "4", {4, {NAN, -2, -0.0, 3}}, "", {{0}}, {4, {NAN, -1, 0, 1}}},
	{"ArgMax", 13, "x", "2,3", {6, {1, NAN, NAN, 2, 0, INFINITY}}, "axis=1;keepdims=0", {{0}}, {2, {1, 2}}},
	{"ArgMin", 13, "x", "2,3", {6, {1, NAN, NAN, 2, 2, 3}}, "axis=1;keepdims=0;select_last_index=1", {{0}}, {2, {2, 1}}},
	{"Cosh", 13, "x", "5", {5, {89, -89, 90, 0, NAN}}, "", {{0}}, {5, {2.2448061e38, 2.2448061e38, INFINITY, 1, NAN}}},
	{"Elu", 13, "x", "4", {4, {-1e-7, -INFINITY, 2, NAN}}, "alpha~2", {{0}}, {4, {-2e-7, -2, 2, NAN}}},
	{"Selu", 13, "x", "2", {2, {-1e-20, 1}}, "", {{0}}, {2, {-1.7580993e-20, 1.050701}}},
	{"Celu", 13, "x", "2", {2, {-1e-5, -40}}, "alpha~2", {{0}}, {2, {-9.999975e-6, -2}}},
	{"Softplus", 13, "x", "5", {5, {-30, -17, 0, 100, NAN}}, "", {{0}},
         {5, {9.3576230e-14, 4.1399376e-8, 0.69314718, 100, NAN}}},
	{"Mish", 18, "x", "4", {4, {-20, 1, 1e30, NAN}}, "", {{0}}, {4, {-4.1223072e-8, 0.86509839, 1e30, NAN}}},
	{"Shrink", 9, "u", "4", {4, {0, 1, 2, 255}}, "lambd~1;bias~1", {{0}}, {4, {0, 0, 1, 254}}},
	{"Shrink", 9, "u", "3", {3, {0, 5, 255}}, "lambd~-300;bias~2.5", {{0}}, {3, {2, 7, 1}}},
	{"Shrink", 9, "i", "4", {4, {-2, -1, 1, 0x1p53}}, "lambd~0.5;bias~1", {{0}}, {4, {-1, 0, 0, 0x1p53 - 1}}},
	{"Shrink", 9, "x", "4", {4, {-2, -1, 1, 2}}, "lambd~1.5;bias~-0.5", {{0}}, {4, {-2.5, 0, 0, 2.5}}},
	{"Sin", 13, "x", "3", {3, {1e10, 3e38, INFINITY}}, "", {{0}}, {3, {-0.48750603, 0.87490489, NAN}}},
	{"RMSNormalization", 23, "x,x", "2", {2, {3, 4}}, "epsilon~0", {{0}}, {2, {2.5455844, 4.5254834}}},
	{"Reshape", 14, "x,a", "0,2", {0}, "allowzero=1", {{2, {5, 0}}}, {0}},
	{"Reshape", 14, "x,a", "2,3", {6, {1, 2, 3, 4, 5, 6}}, "allowzero=0", {{2, {0, -1}}}, {6, {1, 2, 3, 4, 5, 6}}},
	{"OneHot", 11, "i,a,b", "4", {4, {0, -1, 2, 3}}, "", {{1, {3}}, {2, {5, 7}}}, {12, {7, 5, 5, 5, 5, 7, 5, 5, 7, 5, 5, 5}}},
	{"OneHot", 11, "i,a,b", "2", {2, {1, 0}}, "axis=0", {{1, {3}}, {2, {5, 7}}}, {6, {5, 7, 7, 5, 5, 5}}},
	{"MaxPool", 12, "x", "1,1,3", {3, {1, 5, 2}}, "kernel_shape=2;auto_pad:SAME_UPPER", {{0}}, {3, {5, 5, 2}}},
	{"MaxPool", 12, "x", "1,1,3", {3, {1, 5, 2}}, "kernel_shape=2;auto_pad:SAME_LOWER", {{0}}, {3, {1, 5, 5}}},
	{"MaxPool", 12, "x", "1,1,3", {3, {1, 5, 2}}, "kernel_shape=2;auto_pad:VALID", {{0}}, {2, {5, 5}}},
	{"AveragePool", 11, "x", "1,1,5", {5, {1, 2, 3, 4, 5}}, "kernel_shape=3;strides=2;auto_pad:SAME_UPPER", {{0}},
         {3, {1.5, 3, 4.5}}},
	{"MaxPool", 12, "x", "1,1,3", {3, {1, 5, 2}}, "kernel_shape=200;pads=199,199;strides=199", {{0}}, {2, {1, 5}}},
	{"AveragePool", 11, "x", "1,1,3", {3, {1, 5, 3}}, "kernel_shape=200;pads=198,198;strides=198", {{0}}, {2, {3, 3}}},
	{"AveragePool", 11, "x", "1,1,2", {2, {100, 300}}, "kernel_shape=200;pads=99,99;count_include_pad=1", {{0}}, {1, {2}}},
	{"AveragePool", 19, "x", "1,1,3", {3, {129 * 130, 0, 0}}, "kernel_shape=130;pads=64,64;strides=2;ceil_mode=1;count_include_pad=1",
         {{0}}, {2, {129, 130}}},
	/* joined axis by axis */
	{"MaxPool", 12, "x", "1,1,2,6", {12, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, NAN}}, "kernel_shape=2,6;pads=0,2,0,0", {{0}}, {3, {10, 11, NAN}}},
	{"AveragePool", 19, "x", "1,1,2,6", {12, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}}, "kernel_shape=2,6;pads=0,2,0,0", {{0}},
         {3, {5.5, 6, 6.5}}},
	{"LpPool", 11, "x", "1,1,4", {4, {3, -4, 6, 8}}, "kernel_shape=2;strides=2", {{0}}, {2, {5, 10}}},
	{"LpPool", 18, "x", "1,1,3", {3, {1, -1, 3}}, "kernel_shape=3;p=3;pads=1,0", {{0}}, {2, {1.25992105, 3.07231683}}},
	{"GlobalLpPool", 11, "x", "1,1,1,2", {2, {3, -4}}, "p=1", {{0}}, {1, {7}}},
	{"Attention", 23, "x,x,x", "1,1,2,2", {4, {1, 0, 0, 1}}, "", {{0}}, {4, {0.66976155, 0.33023845, 0.33023845, 0.66976155}}},
	{"Attention", 23, "x,x,x", "1,1,2,2", {4, {1, 0, 0, 1}}, "scale~1;is_causal=1", {{0}}, {4, {1, 0, 0.26894142, 0.73105858}}},
	{"Attention", 23, "x,x,x", "1,1,2,2", {4, {1, 0, 0, 1}}, "scale~1;softcap~0.5", {{0}}, {4, {0.61822329, 0.38177671, 0.38177671, 0.61822329}}},
	{"Resize", 13, "x,,,a", "1,1,2", {2, {1, 2}}, "mode:linear", {{3, {1, 1, 4}}}, {4, {1, 1.25, 1.75, 2}}},
	{"Resize", 13, "x,,,a", "1,1,2", {2, {1, 2}}, "coordinate_transformation_mode:asymmetric;nearest_mode:ceil", {{3, {1, 1, 3}}},
         {3, {1, 2, 2}}},
	{"Resize", 13, "x,,,a", "4", {4, {1, 2, 4, 8}}, "mode:cubic;coordinate_transformation_mode:align_corners;cubic_coeff_a~-0.5",
         {{1, {7}}}, {7, {1, 1.375, 2, 2.8125, 4, 6.125, 8}}},
	{"Resize", 19, "x,,,a", "2,2", {4, {1, 2, 3, 4}}, "keep_aspect_ratio_policy:not_larger", {{2, {4, 3}}},
         {9, {1, 1, 2, 1, 1, 2, 3, 3, 4}}},
	{"Resize", 19, "x,,,a", "4", {4, {1, 2, 3, 4}}, "mode:linear;antialias=1", {{1, {2}}}, {2, {1.625, 3.375}}},
	{"Upsample", 1, "x", "1,1,1,2", {2, {1, 2}}, "mode:nearest;height_scale~2;width_scale~1", {{0}}, {4, {1, 2, 1, 2}}},
	{"CenterCropPad", 18, "x,a", "2,3", {6, {1, 2, 3, 4, 5, 6}}, "", {{2, {3, 1}}}, {3, {2, 5, 0}}},
	{"SpaceToDepth", 28, "x", "1,2,2,2", {8, {1, 2, 3, 4, 5, 6, 7, 8}}, "blocksize=2;mode:CRD", {{0}}, {8, {1, 2, 3, 4, 5, 6, 7, 8}}},
	{"SpaceToDepth", 13, "x", "1,2,2,2", {8, {1, 2, 3, 4, 5, 6, 7, 8}}, "blocksize=2", {{0}}, {8, {1, 5, 2, 6, 3, 7, 4, 8}}},
	{"ReduceProd", 13, "x", "2,3", {6, {1, 2, 3, 4, 5, -6}}, "axes=1;keepdims=0", {{0}}, {2, {6, -120}}},
	{"ReduceProd", 13, "x", "2,0", {0}, "axes=0,1", {{0}}, {1, {1}}},
	{"TensorScatter", 24, "i,i,a", "1,2,1", {2, {1, 2}}, "mode:circular", {{1, {1}}}, {2, {2, 1}}},
	{"Unique", 11, "x", "6", {6, {2, 1, 1, 3, 4, 3}}, "sorted=0", {{0}}, {4, {2, 1, 3, 4}}},
	{"Unique", 11, "i", "2,2", {4, {3, 1, 1, INT64_MIN}}, "", {{0}}, {3, {INT64_MIN, 1, 3}}},
	{"Unique", 11, "x", "2,3", {6, {4, 1, 4, 2, 7, 2}}, "axis=-1", {{0}}, {4, {1, 4, 7, 2}}},
	{"Unique", 11, "x", "0,3", {0, {0}}, "axis=1;sorted=0", {{0}}, {0, {0}}},
	{"TopK", 1, "x", "4", {4, {1, 4, 3, 4}}, "k=3", {{0}}, {3, {4, 4, 3}}},
	{"TopK", 10, "x,a", "2,3", {6, {1, 5, 3, 4, 2, 6}}, "axis=0", {{1, {1}}}, {3, {4, 5, 6}}},
	{"TopK", 11, "x,a", "4", {4, {1, -4, 3, 4}}, "largest=0;sorted=0", {{1, {2}}}, {2, {-4, 1}}},
	{"TopK", 24, "i,a", "1,3", {3, {1, INT64_MIN, 3}}, "axis=-2", {{1, {1}}}, {3, {1, INT64_MIN, 3}}},
	{"TopK", 24, "i,a", "3", {3, {1, 2, 3}}, "", {{1, {0}}}, {0, {0}}},
	{"ScatterElements", 18, "i,a,b", "3", {3, {1, 2, 3}}, "reduction:max", {{2, {-1, 0}}, {2, {9, 0}}}, {3, {1, 2, 9}}},
	{"Sub", 6, "i,a", "2,3", {6, {1, 2, 3, 4, 5, 6}}, "broadcast=1;axis=0", {{2, {1, 2}}}, {6, {0, 1, 2, 2, 3, 4}}},
	{"Div", 1, "i,a", "2,2", {4, {1, 2, 30, -40}}, "broadcast=1", {{2, {1, 20}}}, {4, {1, 0, 30, -2}}},
	{"Tile", 5, "x,a,b", "1,2", {2, {1, 2}}, "", {{1, {2}}, {1, {1}}}, {4, {1, 2, 1, 2}}},
	{"Reshape", 4, "x", "2,3", {6, {1, 2, 3, 4, 5, 6}}, "shape=0,-1", {{0}}, {6, {1, 2, 3, 4, 5, 6}}},
	{"Pad", 1, "x", "2", {2, {1, 2}}, "paddings=1,2;value~7", {{0}}, {5, {7, 1, 2, 7, 7}}},
	{"Cast", 5, "x", "2", {2, {1.5, -2}}, "to:INT64", {{0}}, {2, {1, -2}}},
	{"Concat", 3, "x,x", "2,1", {2, {1, 2}}, "", {{0}}, {4, {1, 1, 2, 2}}},
	{"Selu", 5, "x", "1", {1, {1}}, "consumed_inputs=0", {{0}}, {1, {1.0507}}},
	{"Dropout", 6, "x", "2", {2, {1, 2}}, "is_test=1", {{0}}, {2, {1, 2}}},
	{"Attention", 23, "x,x,x", "1,2,2", {4, {1, 2, 3, 4}}, "scale~1;q_num_heads=2;kv_num_heads=2", {{0}}, {4, {2.7615942, 3.9640276, 2.9950548, 3.9993293}}},
	/* steps of half floats would overflow, or vanish */
	{"Mish", 18, "h", "3", {3, {1, 6, 60000}}, "", {{0}}, {3, {0.86509839, 6, 60000}}},
	{"Asinh", 13, "h", "2", {2, {300, -40000}}, "", {{0}}, {2, {6.3969325, -11.289782}}},
	{"Acosh", 13, "h", "2", {2, {300, 40000}}, "", {{0}}, {2, {6.3969269, 11.289782}}},
	{"LpPool", 11, "h", "1,1,4", {4, {300, -400, 0x1p-14, 0x1p-14}}, "kernel_shape=2;strides=2", {{0}}, {2, {500, 0x1.6a0ap-14}}},
	{"GlobalLpPool", 11, "h", "1,1,2", {2, {300, -400}}, "", {{0}}, {1, {500}}},
	{"AveragePool", 11, "h", "1,1,2", {2, {60000, 40000}}, "kernel_shape=2", {{0}}, {1, {50000}}},
	{"ReduceL2", 13, "h", "2", {2, {300, -400}}, "keepdims=0", {{0}}, {1, {500}}},
	{"ReduceLogSum", 13, "h", "2", {2, {60000, 60000}}, "keepdims=0", {{0}}, {1, {11.695247}}},
	{"ReduceLogSumExp", 13, "h", "2", {2, {10, 10}}, "keepdims=0", {{0}}, {1, {10.693147}}},
	{"ReduceSumSquare", 13, "h", "4", {4, {0x1p-13, 0x1p-13, 0x1p-13, 0x1p-13}}, "keepdims=0", {{0}}, {1, {0x1p-24}}},
	{"LRN", 13, "h", "1,1,1", {1, {300}}, "size=1;alpha~1;beta~0.5;bias~0", {{0}}, {1, {1}}},
	{"LpNormalization", 13, "h", "2", {2, {300, -400}}, "", {{0}}, {2, {0.6, -0.8}}},
	{"MeanVarianceNormalization", 13, "h", "1,1,1,2", {2, {600, 0}}, "", {{0}}, {2, {1, -1}}},
	{"Gemm", 13, "h,h", "1,1", {1, {400}}, "alpha~0.25", {{0}}, {1, {40000}}},
	{"com.microsoft.FusedMatMul", 17, "h,h", "1,1", {1, {400}}, "alpha~0.25", {{0}}, {1, {40000}}},
	{"Sum", 13, "h,h,h", "1", {1, {0x1.004p10}}, "", {{0}}, {1, {0x1.806p11}}},
	{"Mean", 13, "h,h", "1", {1, {60000}}, "", {{0}}, {1, {60000}}},
	{"SoftmaxCrossEntropyLoss", 13, "h,a", "2,2", {4, {60000, 0, 60000, 0}}, "", {{2, {1, 1}}}, {1, {60000}}},
	{"NegativeLogLikelihoodLoss", 13, "h,a", "2,1", {2, {-60000, -60000}}, "", {{2, {0, 0}}}, {1, {60000}}},
};

/* With real operands too. */
typedef struct RealCase {
	Case c;
	Reals reals[4]; /* p, q, r, s */
} RealCase;

static const RealCase real_cases[] = {
	{{"BatchNormalization", 15, "x,p,q,r,s", "1,2,2", {4, {1, 2, 3, 4}}, "epsilon~0", {{0}}, {4, {1, 2, 1, 2}}},
         {{2, {2, 1}, "2"}, {2, {1, 0}, "2"}, {2, {1, 2}, "2"}, {2, {4, 1}, "2"}}},
	{{"BatchNormalization", 9, "x,p,q,r,s", "2,2", {4, {1, 2, 3, 4}}, "epsilon~3", {{0}}, {4, {0.5, 1, 1.5, 2}}},
         {{2, {1, 1}, "2"}, {2, {0.5, 1}, "2"}, {2, {1, 2}, "2"}, {2, {1, 1}, "2"}}},
	{{"BatchNormalization", 6, "x,p,q,r,s", "1,2,2", {4, {1, 2, 3, 4}}, "epsilon~0;is_test=1;spatial=0", {{0}}, {4, {1, 2, 6, 4}}},
         {{4, {1, 1, 2, 1}, "2,2"}, {4, {0, 0, 0, 0}, "2,2"}, {4, {0, 0, 0, 0}, "2,2"}, {4, {1, 1, 1, 1}, "2,2"}}},
	{{"NonMaxSuppression", 11, "x,p,a,q", "1,3,4", {12, {0, 0, 1, 1, 1, 1, 0, 0.125, 2, 2, 3, 3}}, "", {{1, {3}}}, {6, {0, 0, 1, 0, 0, 2}}},
         {{3, {0.5, 1, 0.75}, "1,1,3"}, {1, {0.5}, "1"}}},
	{{"NonMaxSuppression", 11, "x,p,a,q,r", "1,3,4", {12, {1, 1, 2, 2, 1, 1, 2, 1, 4, 4, 1, 1}}, "center_point_box=1", {{1, {1}}},
          {6, {0, 0, 1, 0, 1, 0}}}, {{6, {0.5, 1, 0.75, 2, 2, 0.5}, "1,2,3"}, {1, {0.25}, "1"}, {1, {0.75}, "1"}}},
	{{"NonMaxSuppression", 10, "x,p", "1,1,4", {4, {0, 0, 1, 1}}, "", {{0}}, {0, {0}}}, {{1, {1}, "1,1,1"}}},
	{{"PRelu", 6, "x,p", "1,2,2", {4, {-1, 2, -3, -4}}, "", {{0}}, {4, {-2, 2, -9, -12}}}, {{2, {2, 3}, "2"}}},
	{{"InstanceNormalization", 9, "x,p,q", "1,2,2", {4, {1, 3, 10, 30}}, "epsilon~0", {{0}}, {4, {-1, 3, -4, -2}}},
         {{2, {2, 1}, "2"}, {2, {1, -3}, "2"}}},
	{{"GroupNormalization", 21, "x,p,q", "1,4,1", {4, {1, 3, 10, 30}}, "num_groups=2;epsilon~0", {{0}}, {4, {-1, 2, -2, 5}}},
         {{4, {1, 2, 3, 4}, "4"}, {4, {0, 0, 1, 1}, "4"}}},
	{{"Conv", 11, "x,p", "1,1,3", {3, {1, 2, 3}}, "auto_pad:SAME_UPPER", {{0}}, {3, {21, 32, 3}}},
         {{2, {1, 10}, "1,1,2"}}},
	{{"Conv", 11, "x,p", "1,1,3", {3, {1, 2, 3}}, "auto_pad:SAME_LOWER", {{0}}, {3, {10, 21, 32}}},
         {{2, {1, 10}, "1,1,2"}}},
	{{"NegativeLogLikelihoodLoss", 13, "x,a,p", "2,3", {6, {1, 2, 3, 4, 5, 6}}, "", {{2, {2, 0}}}, {1, {-3.25}}},
         {{3, {3, 7, 9}, "3"}}},
	{{"CausalConvWithState", 27, "x,p", "1,1,3", {3, {1, 2, 3}}, "", {{0}}, {3, {1, 12, 23}}}, {{2, {10, 1}, "1,1,2"}}},
	{{"LinearAttention", 27, "x,p,q", "1,2,1", {2, {1, 2}}, "update_rule:linear;q_num_heads=1;kv_num_heads=1;scale~1", {{0}}, {2, {3, 22}}},
         {{2, {1, 2}, "1,2,1"}, {2, {3, 4}, "1,2,1"}}},
	{{"LRN", 13, "x", "1,3,1", {3, {1, 2, 3}}, "size=2;alpha~2;beta~1;bias~0", {{0}}, {3, {0.2, 0.15384615, 0.33333333}}}, {{0}}},
	{{"MeanVarianceNormalization", 13, "x", "1,1,1,2", {2, {1, 3}}, "", {{0}}, {2, {-1, 1}}}, {{0}}},
	{{"GridSample", 20, "x,p", "1,1,1,2", {2, {10, 20}}, "", {{0}}, {1, {15}}}, {{2, {0, 0}, "1,1,1,2"}}},
	{{"GridSample", 20, "x,p", "1,1,1,2", {2, {10, 20}}, "", {{0}}, {1, {5}}}, {{2, {-1, 0}, "1,1,1,2"}}},
	{{"GridSample", 16, "x,p", "1,1,1,2", {2, {10, 20}}, "padding_mode:border", {{0}}, {1, {20}}}, {{2, {3, 0}, "1,1,1,2"}}},
	{{"GridSample", 20, "x,p", "1,1,1,2", {2, {10, 20}}, "padding_mode:border;mode:cubic", {{0}}, {1, {20.0675f}}}, {{2, {1.4f, 0}, "1,1,1,2"}}}, /* taps are brought back, not the place */
	{{"GridSample", 16, "x,p", "1,1,1,2", {2, {10, 20}}, "padding_mode:reflection;mode:nearest", {{0}}, {1, {10}}},
         {{2, {2.4, 0}, "1,1,1,2"}}},
	{{"AffineGrid", 20, "x,a", "1,2,3", {6, {1, 0, 5, 0, 1, 7}}, "", {{4, {1, 1, 1, 2}}}, {4, {4.5, 7, 5.5, 7}}}, {{0}}},
	{{"Col2Im", 18, "x,a,b", "1,2,2", {4, {1, 2, 10, 20}}, "", {{2, {1, 3}}, {2, {1, 2}}}, {3, {1, 12, 20}}}, {{0}}},
	{{"DeformConv", 19, "x,p,q", "1,1,1,3", {3, {1, 2, 3}}, "", {{0}}, {3, {3, 5, 3}}},
         {{1, {2}, "1,1,1,1"}, {6, {0, 0, 0, 0.5, 0.5, 0.5}, "1,2,1,3"}}},
	{{"GroupNormalization", 18, "x,p,q", "1,4,1", {4, {1, 3, 10, 30}}, "num_groups=2;epsilon~0", {{0}}, {4, {-1, 1, -2, 4}}},
         {{2, {1, 3}, "2"}, {2, {0, 1}, "2"}}},
	{{"SwiGLU", 28, "x,p", "1", {1, {1}}, "", {{0}}, {1, {1.46211716}}}, {{1, {2}, "1"}}},
	{{"ConvTranspose", 11, "x,p", "1,1,2", {2, {1, 2}}, "strides=2;output_padding=1", {{0}}, {6, {1, 10, 102, 20, 200, 0}}},
         {{3, {1, 10, 100}, "1,1,3"}}},
	{{"ConvTranspose", 11, "x,p,q", "1,1,2", {2, {1, 2}}, "strides=2;pads=1,1;output_padding=4", {{0}}, {7, {11, 103, 21, 201, 1, 1, 1}}},
         {{3, {1, 10, 100}, "1,1,3"}, {1, {1}, "1"}}},
	{{"ConvTranspose", 11, "x,p", "1,1,2", {2, {1, 2}}, "strides=2;dilations=2", {{0}}, {5, {1, 0, 12, 0, 20}}},
         {{2, {1, 10}, "1,1,2"}}},
	{{"ConvTranspose", 11, "x,p", "1,1,2", {2, {1, 2}}, "strides=3;auto_pad:SAME_UPPER", {{0}}, {6, {0, 1, 10, 0, 2, 20}}},
         {{2, {1, 10}, "1,1,2"}}},
	{{"ConvTranspose", 11, "x,p", "1,1,2", {2, {1, 2}}, "output_shape=2;auto_pad:SAME_LOWER", {{0}}, {2, {12, 20}}},
         {{2, {1, 10}, "1,1,2"}}},
	{{"ConvTranspose", 11, "x,p,q", "1,2,1,1", {2, {1, 2}}, "group=2;strides=1,2", {{0}}, {8, {1, 2, 3, 4, 25, 27, 6, 8}}},
         {{8, {1, 2, 3, 4, 2, 3, 3, 4}, "2,2,1,2"}, {4, {0, 0, 21, 0}, "4"}}},
	{{"com.microsoft.FusedConv", 17, "x,p", "1,1,3", {3, {1, 3, 2}}, "activation:Relu", {{0}}, {2, {0, 1}}}, {{2, {1, -1}, "1,1,2"}}},
	{{"com.microsoft.SkipLayerNormalization", 17, "x,x,p", "1,1,2", {2, {1, 3}}, "epsilon~0", {{0}}, {2, {-2, 3}}}, {{2, {2, 3}, "2"}}},
	{{"com.microsoft.SkipSimplifiedLayerNormalization", 17, "x,x,p", "1,1,2", {2, {0, 2}}, "epsilon~0", {{0}}, {2, {0, 4.2426407}}},
         {{2, {2, 3}, "2"}}},
	{{"com.microsoft.Attention", 17, "x,p,,a", "1,2,1", {2, {1, 2}}, "num_heads=1", {{1, {1}}}, {2, {1, 1}}}, {{3, {0, 0, 1}, "1,3"}}},
	{{"com.microsoft.Attention", 17, "x,p,,a", "1,2,1", {2, {1, 2}}, "num_heads=1", {{2, {2, 1}}}, {2, {2, 2}}}, {{3, {0, 0, 1}, "1,3"}}},
	{{"com.microsoft.Attention", 17, "x,p,,,q", "1,1,1", {1, {2}}, "num_heads=1;scale~1", {{0}}, {1, {2.0539586}}},
         {{3, {1, 1, 1}, "1,3"}, {2, {0, 5}, "2,1,1,1,1"}}},
	{{"com.microsoft.MultiHeadAttention", 17, "x,x,x,,,,p,q", "1,1,1", {1, {2}}, "num_heads=1;scale~1", {{0}}, {1, {2.0539586}}},
         {{1, {0}, "1,1,1,1"}, {1, {5}, "1,1,1,1"}}},
	{{"com.microsoft.MultiHeadAttention", 17, "x,,,p", "1,1,1,3,1", {3, {1, 2, 3}}, "num_heads=1", {{0}}, {1, {33}}}, {{3, {10, 20, 30}, "3"}}},
	{{"com.microsoft.GroupQueryAttention", 17, "x,,,,,a,b", "1,2,3", {6, {1, 2, 3, 1, 4, 5}}, "num_heads=1;kv_num_heads=1;scale~1",
	  {{1, {1}}, {1, {2}}}, {2, {3, 4.7615942}}}, {{0}}},
	{{"com.microsoft.GroupQueryAttention", 17, "x,,,,,a,b", "1,2,3", {6, {1, 2, 3, 1, 4, 5}},
	  "num_heads=1;kv_num_heads=1;scale~1;local_window_size=1", {{1, {1}}, {1, {2}}}, {2, {3, 5}}}, {{0}}},
	{{"com.microsoft.GroupQueryAttention", 17, "x,,,,,a,b", "1,2,3", {6, {1, 2, 3, 1, 4, 5}},
	  "num_heads=1;kv_num_heads=1;scale~1;smooth_softmax=1", {{1, {1}}, {1, {2}}}, {2, {2.6423912, 4.6859979}}}, {{0}}},
	{{"com.microsoft.GroupQueryAttention", 17, "x,,,p,q,a,b", "1,1,3", {3, {1, 4, 5}}, "num_heads=1;kv_num_heads=1;scale~1",
	  {{1, {1}}, {1, {2}}}, {1, {4.7615942}}}, {{1, {2}, "1,1,1,1"}, {1, {3}, "1,1,1,1"}}},
	{{"com.microsoft.RotaryEmbedding", 17, "x,a,p,q", "1,1,4", {4, {3, 4, 3, 4}}, "", {{1, {1}}}, {4, {-1.4, 4.8, -1.4, 4.8}}},
         {{2, {1, 0.6}, "2,1"}, {2, {0, 0.8}, "2,1"}}},
	{{"com.microsoft.RotaryEmbedding", 17, "x,a,p,q", "1,1,1,2", {2, {3, 4}}, "", {{1, {1}}}, {2, {-1.4, 4.8}}},
         {{2, {1, 0.6}, "2,1"}, {2, {0, 0.8}, "2,1"}}},
	{{"SimplifiedLayerNormalization", 13, "x,p", "1,2", {2, {3, 4}}, "epsilon~0", {{0}}, {2, {0.84852814, 2.2627417}}}, {{2, {1, 2}, "2"}}},
	{{"RotaryEmbedding", 23, "x,p,q", "1,1,1,4", {4, {1, 2, 3, 4}}, "", {{0}}, {4, {-1.8, 2, 2.6, 4}}},
         {{2, {0.6, 1}, "1,1,2"}, {2, {0.8, 0}, "1,1,2"}}},
	{{"RotaryEmbedding", 23, "x,p,q", "1,1,1,4", {4, {1, 2, 3, 4}}, "interleaved=1", {{0}}, {4, {-1, 2, 3, 4}}},
         {{2, {0.6, 1}, "1,1,2"}, {2, {0.8, 0}, "1,1,2"}}},
};

static bool is_near(double x, double want, double tolerance)
{
	if (!isfinite(want) || want == 0)
		return isnan(want) ? isnan(x) : x == want;
	return fabs(x - want) <= tolerance * fabs(want);
}

static void test_case(const Case *k, const Reals *operands)
{
	static const char *const names[] = {"a", "b", "d"};
	Arena *arena = new_arena();
	Builder *b = new_builder(arena, k->opset);
	const DType dtype = *k->in == 'i' ? I64 : *k->in == 'h' ? F16 : *k->in == 'u' ? U8 : F32;
	int64_t data[MaxList];
	add_input(b, arena_printf(arena, "%c", *k->in), dtypes[dtype].onnx, k->dims);
	for (int i = 0; i < 3 && k->ints[i].n; i++) {
		int64_t v[MaxList];
		for (int j = 0; j < k->ints[i].n; j++)
			v[j] = (int64_t)k->ints[i].v[j];
		add_ints(b, names[i], k->ints[i].n, v);
	}
	for (int i = 0; i < 4 && operands && operands[i].n; i++) {
		const Reals *r = &operands[i];
		float v[MaxList];
		for (int j = 0; j < r->n; j++)
			v[j] = (float)r->v[j];
		add_tensor(b, (const char *[]){"p", "q", "r", "s"}[i], 1, r->dims, v, (size_t)r->n * sizeof *v);
	}
	const char *dot = strrchr(k->op, '.');
	Onnx__NodeProto *node = add_op(b, dot ? dot + 1 : k->op, k->in, "y");
	if (dot)
		node->domain = arena_printf(arena, "%.*s", (int)(dot - k->op), k->op);
	put_attrs(arena, node, k->attr);
	add_output(b, "y");
	Module *m = must_load(b, NULL, __LINE__);
	Tensor in = {.dtype = dtype, .data = data}, out = {0};
	for (int i = 0; i < k->x.n; i++) {
		const double x = k->x.v[i];
		put_scalar((char *)data + i * dtypes[dtype].bytes, dtype == I64 ? scalar_of_int(I64, (int64_t)x) : scalar_of_real(dtype, x));
	}
	char **dims;
	in.rank = split_text(arena, k->dims, &dims);
	for (int i = 0; i < in.rank; i++)
		in.dims[i] = atoll(dims[i]);
	const char *wrong = m ? eval_module(m, &in, &out) : "does not load";
	bool right = !wrong && tensor_numel(&out) == k->want.n;
	for (int i = 0; right && i < k->want.n; i++) {
		right = is_near(element(&out, i), k->want.v[i], out.dtype == F16 ? 0x1p-10 : 2e-6);
	}
	CHECK(right);
	if (!right)
		fprintf(stderr, "%s-%d: %s\n", k->op, k->opset, wrong ? wrong : "wrong result");
	free_tensor(&out);
	free_module(m);
	free_arena(arena);
}

/* x[2, t, t] as [2t, t]: for t = 0 the first extent is 0, which copies the operand's. */
static void test_reshape_to_zero(void)
{
	static const int64_t extents[][2] = {{0, 2}, {1, 2}, {3, 6}};
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	int64_t one = 1, two = 2;
	add_input(b, "x", 1, "2,t,t");
	add_tensor(b, "one", 7, "1", &one, sizeof one);
	add_tensor(b, "two", 7, "1", &two, sizeof two);
	add_op(b, "Shape", "x", "s");
	add_op(b, "Gather", "s,one", "t1");
	add_op(b, "Mul", "t1,two", "t2");
	set_i(a, add_op(b, "Concat", "t2,t1", "to"), "axis", 0);
	add_op(b, "Reshape", "x,to", "y");
	add_output(b, "y");
	Module *m = must_load(b, NULL, __LINE__);
	for (int i = 0; i < 3 && m; i++) {
		int64_t t = extents[i][0];
		float x[18] = {0};
		Tensor in = {.dtype = F32, .rank = 3, .dims = {2, t, t}, .data = x}, out = {0};
		CHECK(!eval_module(m, &in, &out));
		CHECK_EQ(out.dims[0], extents[i][1]);
		CHECK_EQ(out.dims[1], t);
		free_tensor(&out);
	}
	free_module(m);
	free_arena(a);
}

static void reverse(Onnx__NodeProto **nodes, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		Onnx__NodeProto *first = nodes[i];
		nodes[i] = nodes[n - 1 - i];
		nodes[n - 1 - i] = first;
	}
}

/* Nodes in any order: of the graph, of a branch, which uses a value of a node behind the If, and of a function.  y = |2 x| + 1. */
static void test_any_order(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17), *yes = new_builder(a, 17), *no = new_builder(a, 17);
	float x[2] = {3, -4};
	uint8_t c = 1;
	add_input(b, "x", 1, "2");
	add_input(b, "c", 9, "");
	add_op(b, "Add", "x,x", "twice");
	add_op(b, "Abs", "twice", "size");
	Onnx__NodeProto *n = add_op(b, "If", "c", "y");
	add_tensor(yes, "one", 1, "", (float[]){1}, sizeof(float));
	add_op(yes, "Identity", "size", "s");
	add_op(yes, "Add", "s,one", "y1");
	add_output(yes, "y1");
	add_op(no, "Neg", "twice", "y2");
	add_output(no, "y2");
	add_attr(a, n, "then_branch", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH)->g = &yes->graph;
	add_attr(a, n, "else_branch", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH)->g = &no->graph;
	add_leaky(b, "own", "Leak");
	add_op(b, "Leak", "y", "z")->domain = arena_strdup(a, "own");
	add_output(b, "z");
	Onnx__FunctionProto *f = b->model.functions[0];
	f->node = append(a, f->node, &f->n_node, make_node(a, "Identity", "out", "last"));
	f->output[0] = arena_strdup(a, "last");
	reverse(b->graph.node, b->graph.n_node);
	reverse(yes->graph.node, yes->graph.n_node);
	reverse(f->node, f->n_node);
	Module *m = must_load(b, NULL, __LINE__);
	Tensor in[] = {{.dtype = F32, .rank = 1, .dims = {2}, .data = x}, {.dtype = Bool, .data = &c}}, out = {0};
	CHECK(m && !eval_module(m, in, &out));
	CHECK(out.data && element(&out, 0) == 7 && element(&out, 1) == 9);
	free_tensor(&out);
	free_module(m);
	/* in order already: nothing moves, whatever else would be right, too */
	b = new_builder(a, 17);
	add_input(b, "x", 1, "2");
	add_op(b, "Relu", "x", "r");
	add_op(b, "Neg", "x", "s");
	add_output(b, "r");
	add_output(b, "s");
	m = must_load(b, NULL, __LINE__);
	CHECK(m && m->main->body.first->op == OpRelu);
	free_module(m);
	free_arena(a);
}

/* A long chain, backwards: the walk does not recurse. */
static void test_long_order(void)
{
	enum { Long = 50000 };
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	add_input(b, "x", 1, "2");
	b->graph.n_node = Long;
	b->graph.node = arena_alloc(a, Long * sizeof *b->graph.node);
	for (int i = 0; i < Long; i++)
		b->graph.node[Long - 1 - i] = make_node(a, "Neg", i ? arena_printf(a, "h%d", i) : "x", arena_printf(a, "h%d", i + 1));
	add_output(b, arena_printf(a, "h%d", (int)Long));
	Module *m = must_load(b, NULL, __LINE__);
	CHECK(m && count_ops(m, NOps) == Long);
	free_module(m);
	free_arena(a);
}

/* Symbols of values whose names are no identifiers: the text must read again. */
static void test_symbols_of_numbers(void)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 13);
	DimBinding bind = {"_9", 1, 20};
	add_input(b, "x", 7, "n");
	add_ints(b, "ends", 2, (int64_t[]){0, 1});
	set_ints(a, add_op(b, "ReduceMax", "x", "9"), "axes", 1, (int64_t[]){0});
	set_i(a, b->graph.node[0], "keepdims", 0);
	add_tensor(b, "zero", 7, "", (int64_t[]){0}, 8);
	add_tensor(b, "one", 7, "", (int64_t[]){1}, 8);
	add_op(b, "Range", "zero,9,one", "y");
	add_output(b, "y");
	Module *m = must_load(b, &(LoadOptions){.nbind = 1, .bind = &bind}, __LINE__);
	if (m) {
		CHECK_STR(result_text(m, 0), "i64[_9]");
		const char *path = file_in(a, "m.ir");
		char *said;
		write_module(path, m);
		Module *again = try_load_model(path, NULL, &said);
		CHECK(again && !verify_module(again));
		free_module(again);
		free(said);
		unlink(path);
	}
	free_module(m);
	free_arena(a);
}

/* y is x's extent of numbers, drawn with seed `s` if the model has that input. */
static void draw(Module *m, int64_t s, float *y)
{
	float x[8] = {0};
	Tensor in[] = {{.dtype = F32, .rank = 1, .dims = {8}, .data = x}, {.dtype = I64, .data = &s}}, out[2] = {{0}};
	CHECK(!eval_module(m, in, out));
	for (int i = 0; i < 2; i++) {
		memcpy(y + 8 * i, out[i].data, 8 * sizeof *y);
		free_tensor(&out[i]);
	}
}

/* Two nodes draw different numbers unless they say the same seed; --random-seed changes those of both. */
static void test_random(void)
{
	enum { Same, Other };
	const LoadOptions seeded = {.random_seed = "s"}, taken = {.random_seed = "x"};
	for (int stated = 0; stated < 2; stated++) {
		Arena *a = new_arena();
		Builder *b = new_builder(a, 17);
		float y[2][16];
		char *said;
		add_input(b, "x", 1, "n");
		for (int i = 0; i < 2; i++) {
			Onnx__NodeProto *n = add_op(b, "RandomUniformLike", "x", i ? "z" : "y");
			if (stated)
				set_f(a, n, "seed", 7);
			add_output(b, i ? "z" : "y");
		}
		Module *m = load_built(b, NULL, &said);
		CHECK(m && said && strstr(said, "warning: all runs of the model draw the same random numbers; --random-seed=NAME"));
		CHECK(said && !strstr(strstr(said, "all runs") + 1, "all runs"));
		free_module(m);
		free(said);
		m = load_built(b, &seeded, &said);
		CHECK(m && !*said);
		if (m) {
			CHECK_EQ(m->main->nparam, 2);
			CHECK_STR(type_text(m, &m->main->params[1]->type), "i64[]");
			draw(m, 1, y[Same]);
			CHECK_EQ(!memcmp(y[Same], y[Same] + 8, sizeof y[Same] / 2), stated);
			draw(m, 1, y[Other]);
			CHECK(!memcmp(y[Same], y[Other], sizeof *y));
			draw(m, -1, y[Other]);
			for (int i = 0; i < 16; i++)
				CHECK(y[Same][i] != y[Other][i] && y[Other][i] >= 0 && y[Other][i] < 1);
		}
		free_module(m);
		free(said);
		must_fail(b, &taken, __LINE__, "--random-seed: the model has an input 'x'", NULL);
		free_arena(a);
	}
	Arena *a = new_arena();
	Builder *b = new_builder(a, 17);
	add_input(b, "x", 1, "n");
	Onnx__NodeProto *n = add_op(b, "Relu", "x", "y");
	add_output(b, "y");
	must_fail(b, &seeded, __LINE__, "--random-seed: the model draws no random numbers", NULL);
	n->op_type = arena_strdup(a, "RandomNormalLike");
	set_i(a, n, "dtype", 7);
	must_fail(b, NULL, __LINE__, "random numbers of element type i64", NULL);
	n->op_type = arena_strdup(a, "RandomNormal");
	n->n_input = 0;
	must_fail(b, NULL, __LINE__, "the attribute shape is missing", NULL);
	free_arena(a);
}

int main(void)
{
	if (!begin_imports())
		return 2;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		test_case(&cases[i], NULL);
	for (size_t i = 0; i < sizeof real_cases / sizeof *real_cases; i++)
		test_case(&real_cases[i].c, real_cases[i].reals);
	test_reshape_to_zero();
	test_any_order();
	test_long_order();
	test_symbols_of_numbers();
	test_random();
	return end_imports("import");
}
