/* faults_test.c - small models that once went wrong, with the values that are right.
 *
 * A model is IR text or the statements of an ONNX graph:
 *   opset 23 (else 18) | broadcast (with --broadcast-symbols) | in NAME TYPE DIMS | out NAME | ints NAME 1,2 | int NAME 1 | real NAME 0.5 | zeros NAME DIMS
 *   | OPERATOR INPUTS OUTPUTS [NAME=INTEGER...]
 * The evaluator, the interpreter of loop IR and the code of every target must give what a run says: "INPUTS -> OUTPUTS" with
 * tensors as in IR text, or "INPUTS -> refused OUTPUTS" for the status DCC_ERROR_SHAPE; outputs that a
 * run is given which ends before it looks at them may be left out.
 *
 * What is tested where its code is stands in `elsewhere`: a file, and a text that must be in it.
 */
#include "onnx_build.h"
#include "schedule.h"

enum { MaxRuns = 7 };

typedef struct Fault {
	const char *name, *model, *runs[MaxRuns];
} Fault;

#define SYM_N "sym n in 0..64\n"
#define SYM_NK SYM_N "sym k in 0..64\n"
#define BIG "9223372036854775807"

static const Fault faults[] = {
	/* LLVM folds a select or a comparison by what it believes of the sign */
	{"relu_abs", "in x f32 n; Abs x a; Relu a y; out y", {"f32[3] = [0.5, -2, 0] -> f32[3] = [0.5, 2, 0]"}},
	{"softplus_abs", "in x f32 n; Abs x a; Softplus a y; out y",
	 {"f32[3] = [-1, 0, 2] -> f32[3] = [1.3132617, 0.6931472, 2.126928]"}},
	/* rules and identities for numbers that are almost theirs, or for another type */
	{"bitwise_and_one", "in x i64 n; int one 1; BitwiseAnd x,one y; out y", {"i64[4] = [6, -1, -2, 255] -> i64[4] = [0, 1, 0, 1]"}},
	{"near_one", "in x f32 n; real k 1.0000008; real m 1000000; Mul x,k a; Sub a,x b; Mul b,m y; out y",
	 {"f32[2] = [1, -2] -> f32[2] = [0.8344650, -1.6689301]"}},
	{"mulf64", "const @k: f64[] = [1.0000009]\n" SYM_N "func @main(%x: f64[n]) -> (y: f64[n]) {\n"
		   "  %0: f64[n] = mul %x, @k\n  %y: f64[n] = sub %0, %x\n  return %y\n}",
	 {"f64[2] = [1e9, 2e9] -> f64[2] = [900, 1800]"}},
	{"rules", "const @k: f32[] = [2.0000002]\nconst @z: f32[] = [-0]\n" SYM_N "func @main(%x: f32[n]) -> (y: f32[n], z: f32[n]) {\n"
		  "  %y: f32[n] = pow %x, @k\n  %0: f32[n] = sub %x, @z\n  %z: f32[n] = recip %0\n  return %y, %z\n}",
	 {"f32[2] = [-3, -0] -> f32[2] = [nan, 0]; f32[2] = [-0.33333333, inf]"}},
	/* scalars of every type */
	{"int_div_min", "in x i8 n; in z i8 n; Div x,z y; out y",
	 {"i8[5] = [-128, -127, 127, 5, -128]; i8[5] = [2, -128, -128, -128, 7] -> i8[5] = [-64, 0, 0, 0, -18]"}},
	{"padi", "in x i64 n; ints p 1,1; int v 9007199254740993; Pad x,p,v y; out y",
	 {"i64[1] = [1] -> i64[3] = [9007199254740993, 1, 9007199254740993]"}},
	{"rmin", "in x i64 n; ReduceMin x y keepdims=0; out y", {"i64[2] = [" BIG ", 9223372036854775806] -> i64[] = [9223372036854775806]"}},
	{"clipint", SYM_N "func @main(%x: i32[n], %i: i64[n]) -> (y: i32[n], z: i64[n]) {\n"
		    "  %y: i32[n] = clip %x {hi=2}\n  %z: i64[n] = clip %i {lo=-1}\n  return %y, %z\n}",
	 {"i32[3] = [-5, 1, 9]; i64[3] = [-5, 1, " BIG "] -> i32[3] = [-5, 1, 2]; i64[3] = [-1, 1, " BIG "]"}},
	{"red", SYM_N "func @main(%x: f32[n, 2], %i: i64[n, 2]) -> (y: f32[n, 2], m: f32[n, 2], z: i64[n]) {\n"
		"  %y: f32[n, 2] = sum %x\n  %m: f32[n, 2] = reduce_max %x {keepdims=1}\n  %z: i64[n] = reduce_min %i {axes=[1]}\n"
		"  return %y, %m, %z\n}",
	 {"f32[1, 2] = [3, 4]; i64[1, 2] = [" BIG ", " BIG "] -> f32[1, 2] = [3, 4]; f32[1, 2] = [3, 4]; i64[1] = [" BIG "]"}},
	/* corners of operators */
	{"sign_nan", "in x f32 n; Sign x y; out y", {"f32[4] = [nan, 1, -1, 0] -> f32[4] = [nan, 1, -1, 0]"}},
	{"argmax_nan", "in x f32 n,5; ArgMax x y axis=1 keepdims=0; ArgMin x z axis=1 keepdims=0; out y; out z",
	 {"f32[2, 5] = [nan, 1, 2, 3, 0, 1, 9, 2, 3, 0] -> i64[2] = [0, 1]; i64[2] = [0, 4]"}},
	{"sin_large", "in x f32 n; Sin x y; Cos x z; out y; out z",
	 {"f32[3] = [1e6, 1e8, 1e9] -> f32[3] = [-0.3499935, 0.931639, 0.5458434]; f32[3] = [0.93675214, -0.36338508, 0.83788717]"}},
	{"cosh_overflow", "in x f32 n; Cosh x y; out y", {"f32[2] = [89.3, -89] -> f32[2] = [3.0301808e38, 2.2448064e38]"}},
	{"att", "opset 23; in q f32 1,1,t,2; in k f32 1,1,s,2; in v f32 1,1,s,2; in m bool t,s; Attention q,k,v,m y; out y",
	 {"f32[1, 1, 2, 2] = [nan, 1, 0, 0]; f32[1, 1, 2, 2] = [1, 2, 3, 4]; f32[1, 1, 2, 2] = [1, 2, 3, 6]; bool[2, 2] = [1, 0, 1, 1]"
	  " -> f32[1, 1, 2, 2] = [nan, nan, 2, 4]",
	  "f32[1, 1, 1, 2] = [1, 1]; f32[1, 1, 1, 2] = [1, 2]; f32[1, 1, 1, 2] = [5, 7]; bool[1, 1] = [0] -> f32[1, 1, 1, 2] = [0, 0]"}},
	{"lora0", "in x f32 2,t,1; zeros w 2,1,1; MatMul x,w d; Add x,d y; out y", {"f32[2, 1, 1] = [3, 4] -> f32[2, 1, 1] = [3, 4]"}},
	/* packed rows of another size */
	{"packed", "const @w: f32[2, 1] = [1, 10]\nconst @u: f32[4, 1] = [1, 10, 100, 1000]\n" SYM_N
		   "func @main(%x: f32[n, 2, 2]) -> (y: f32[n, 2, 1], z: f32[n, 1]) {\n"
		   "  %v: f32[n, 2, 2] = transpose %x {perm=[0, 2, 1]}\n  %y: f32[n, 2, 1] = matmul %v, @w\n"
		   "  %r: f32[n, 4] = reshape %v\n  %z: f32[n, 1] = matmul %r, @u\n  return %y, %z\n}",
	 {"f32[2, 2, 2] = [1, 2, 3, 4, 5, 6, 7, 8] -> f32[2, 2, 1] = [31, 42, 75, 86]; f32[2, 1] = [4231, 8675]"}},
	/* symbolic dims */
	{"rng", SYM_N "func @main(%x: f32[2*n]) -> (y: f32[2*n]) {\n  %y: f32[2*n] = neg %x\n  return %y\n}",
	 {"f32[4] = [1, 2, 3, 4] -> f32[4] = [-1, -2, -3, -4]", "f32[0] = [] -> f32[0] = []"}},
	{"first_frame", "in x f32 b,t; ints z 0; ints one 1; Slice x,z,one,one f; Sub x,f y; out y",
	 {"f32[1, 3] = [1, 3, 6] -> f32[1, 3] = [0, 2, 5]", "f32[1, 1] = [4] -> f32[1, 1] = [0]", "f32[2, 0] = [] -> f32[2, 0] = []"}},
	{"last_frame", "in x f32 b,t; ints m -1; ints big " BIG "; ints one 1; Slice x,m,big,one f; Sub x,f y; out y",
	 {"f32[1, 3] = [1, 3, 6] -> f32[1, 3] = [-5, -3, 0]", "f32[1, 1] = [4] -> f32[1, 1] = [0]", "f32[2, 0] = [] -> f32[2, 0] = []"}},
	{"relpos_table", "in x f32 t; in p f32 7; ints c 4; ints one 1; Shape x T; Sub c,T d; Add d,one a; Add c,T e; Slice p,a,e y; out y",
	 {"f32[2] = [0, 0]; f32[7] = [0, 1, 2, 3, 4, 5, 6] -> f32[3] = [3, 4, 5]",
	  "f32[6] = [0, 0, 0, 0, 0, 0]; f32[7] = [0, 1, 2, 3, 4, 5, 6] -> f32[1] = [6]"}},
	{"roll_mod", "in x f32 t; ints m -1; ints z 0; Shape x T; Mod m,T k; Slice x,z,k a; Slice x,k,T b; Concat b,a y axis=0; out y",
	 {"f32[3] = [1, 2, 3] -> f32[3] = [3, 1, 2]", "f32[1] = [1] -> f32[1] = [1]"}},
	{"reshape_zero_at_run_time", "in x f32 2,t,t; ints one 1; ints two 2; Shape x s; Gather s,one T; Mul T,two d; Concat d,T r axis=0; "
	                             "Reshape x,r y; out y",
	 {"f32[2, 0, 0] = [] -> f32[2, 0] = []", "f32[2, 1, 1] = [3, 4] -> f32[2, 1] = [3, 4]"}},
	/* sizes that differ, of which one is 1 at run time */
	{"symbols_equal", "in x f32 a; in y f32 b; Add x,y z; out z",
	 {"f32[2] = [1, 2]; f32[2] = [10, 20] -> f32[2] = [11, 22]", "f32[2] = [1, 2]; f32[1] = [10] -> refused"}},
	{"broadcast_add", "broadcast; in x f32 a,b; in y f32 c,d; Add x,y z; out z",
	 {"f32[1, 2] = [1, 2]; f32[1, 2] = [10, 20] -> f32[1, 2] = [11, 22]",
	  "f32[1, 2] = [1, 2]; f32[3, 1] = [10, 20, 30] -> f32[3, 2] = [11, 12, 21, 22, 31, 32]",
	  "f32[2, 1] = [1, 2]; f32[2, 3] = [10, 20, 30, 40, 50, 60] -> f32[2, 3] = [11, 21, 31, 42, 52, 62]",
	  "f32[1, 1] = [1]; f32[2, 3] = [10, 20, 30, 40, 50, 60] -> f32[2, 3] = [11, 21, 31, 41, 51, 61]",
	  "f32[0, 2] = []; f32[1, 1] = [10] -> f32[0, 2] = []",
	  "f32[0, 2] = []; f32[2, 1] = [10, 20] -> refused", "f32[1, 2] = [1, 2]; f32[1, 3] = [1, 2, 3] -> refused"}},
	{"broadcast_again", "broadcast; in x f32 a; in y f32 b; Add x,y s; Mul s,x p; Sub y,p d; Sub d,s z; ReduceSum z r; out z; out r",
	 {"f32[1] = [2]; f32[3] = [1, 2, 3] -> f32[3] = [-8, -10, -12]; f32[1] = [-30]",
	  "f32[3] = [1, 2, 3]; f32[1] = [2] -> f32[3] = [-4, -10, -18]; f32[1] = [-32]",
	  "f32[2] = [1, 2]; f32[2] = [3, 4] -> f32[2] = [-5, -14]; f32[1] = [-19]",
	  "f32[1] = [2]; f32[0] = [] -> f32[0] = []; f32[1] = [0]", "f32[2] = [1, 2]; f32[0] = [] -> refused"}},
	{"broadcast_three", "broadcast; in c bool a; in x f32 b; in y f32 d,1; Where c,x,y z; out z",
	 {"bool[2] = [1, 0]; f32[1] = [5]; f32[2, 1] = [8, 9] -> f32[2, 2] = [5, 8, 5, 9]",
	  "bool[1] = [1]; f32[3] = [5, 6, 7]; f32[1, 1] = [8] -> f32[1, 3] = [5, 6, 7]",
	  "bool[2] = [1, 0]; f32[3] = [5, 6, 7]; f32[1, 1] = [8] -> refused"}},
	{"broadcast_beside_constant", "broadcast; in x f32 n; in y f32 2; in w f32 m; Add x,y s; Mul s,w z; out z",
	 {"f32[1] = [1]; f32[2] = [10, 20]; f32[1] = [3] -> f32[2] = [33, 63]",
	  "f32[2] = [1, 2]; f32[2] = [10, 20]; f32[2] = [3, 4] -> f32[2] = [33, 88]",
	  "f32[1] = [1]; f32[2] = [10, 20]; f32[3] = [3, 4, 5] -> refused"}},
	{"broadcast_constant", "broadcast; in x f32 n; ints k 1,2,3; Cast k f to=1; Mul x,f z; out z",
	 {"f32[1] = [2] -> f32[3] = [2, 4, 6]", "f32[3] = [2, 3, 4] -> f32[3] = [2, 6, 12]", "f32[2] = [2, 3] -> refused"}},
	{"broadcast_matmul", "broadcast; in x f32 a,2,k; in y f32 b,k,1; MatMul x,y z; out z",
	 {"f32[1, 2, 1] = [1, 2]; f32[2, 1, 1] = [3, 4] -> f32[2, 2, 1] = [3, 6, 4, 8]",
	  "f32[2, 2, 1] = [1, 2, 3, 4]; f32[1, 1, 1] = [5] -> f32[2, 2, 1] = [5, 10, 15, 20]",
	  "f32[2, 2, 1] = [1, 2, 3, 4]; f32[2, 1, 1] = [3, 4] -> f32[2, 2, 1] = [3, 6, 12, 16]",
	  "f32[2, 2, 1] = [1, 2, 3, 4]; f32[3, 1, 1] = [3, 4, 5] -> refused"}},
	{"broadcast_expand", "broadcast; in x f32 a,b; in y f32 c; Shape y s; Expand x,s z; out z",
	 {"f32[2, 1] = [1, 2]; f32[3] = [0, 0, 0] -> f32[2, 3] = [1, 1, 1, 2, 2, 2]",
	  "f32[1, 2] = [1, 2]; f32[1] = [0] -> f32[1, 2] = [1, 2]", "f32[1, 1] = [1]; f32[0] = [] -> f32[1, 0] = []",
	  "f32[1, 2] = [1, 2]; f32[3] = [0, 0, 0] -> refused"}},
	/* sizes that importers once had to know */
	{"causal_conv_symbols", "opset 27; in x f32 b,c,t; in w f32 c,1,k; in p f32 b,c,r; CausalConvWithState x,w,,p y,s; out y; out s",
	 {"f32[1, 2, 2] = [1, 2, 3, 4]; f32[2, 1, 2] = [10, 1, 1, 0]; f32[1, 2, 1] = [5, 6] -> f32[1, 2, 2] = [51, 12, 6, 3]; f32[1, 2, 1] = [2, 4]",
	  "f32[1, 2, 0] = []; f32[2, 1, 2] = [10, 1, 1, 0]; f32[1, 2, 1] = [5, 6] -> f32[1, 2, 0] = []; f32[1, 2, 1] = [5, 6]",
	  "f32[1, 2, 1] = [1, 3]; f32[2, 1, 2] = [10, 1, 1, 0]; f32[1, 2, 2] = [5, 6, 7, 8] -> refused"}},
	{"conv_symbols", "in x f32 n,c,h,w; in k f32 m,d,r,s; in b f32 m; Conv x,k,b y group=2; out y",
	 {"f32[1, 2, 2, 2] = [1, 2, 3, 4, 5, 6, 7, 8]; f32[2, 1, 1, 2] = [1, 10, 100, 1]; f32[2] = [0.5, 0] -> f32[1, 2, 2, 1] = [21.5, 43.5, 506, 708]",
	  "f32[1, 2, 1, 1] = [1, 2]; f32[2, 1, 1, 2] = [1, 10, 100, 1]; f32[2] = [0.5, 0] -> f32[1, 2, 1, 0] = []",
	  "f32[1, 2, 1, 1] = [1, 2]; f32[2, 1, 1, 3] = [1, 1, 1, 1, 1, 1]; f32[2] = [0, 0] -> refused",
	  "f32[1, 2, 1, 1] = [1, 2]; f32[2, 2, 1, 1] = [1, 1, 1, 1]; f32[2] = [0, 0] -> refused"}},
	{"linear_attention_symbols", "opset 27; in q f32 b,t,d; in k f32 b,t,d; in v f32 b,t,e; in g f32 b,t,1; in r f32 b,t,1; "
	                             "LinearAttention q,k,v,,g,r y,s q_num_heads=1 kv_num_heads=1; out y; out s",
	 {"f32[1, 1, 2] = [1, 1]; f32[1, 1, 2] = [1, 2]; f32[1, 1, 1] = [3]; f32[1, 1, 1] = [0]; f32[1, 1, 1] = [1] -> "
	  "f32[1, 1, 1] = [6.363961]; f32[1, 1, 2, 1] = [3, 6]",
	  "f32[1, 0, 2] = []; f32[1, 0, 2] = []; f32[1, 0, 1] = []; f32[1, 0, 1] = []; f32[1, 0, 1] = [] -> "
	  "f32[1, 0, 1] = []; f32[1, 1, 2, 1] = [0, 0]"}},
	/* what a body wants of sizes holds where it runs */
	{"branch_sizes", "sym a in 0..64\nsym b in 0..64\nfunc @main(%f: bool[], %x: f32[a], %y: f32[b]) -> (z: f32[a]) {\n"
	                 "  %z: f32[a] = if %f {\n    %s: f32[a] = add %x, %y\n    yield %s\n  } else {\n    %n: f32[a] = neg %x\n    yield %n\n  }\n"
	                 "  return %z\n}",
	 {"bool[] = [1]; f32[2] = [1, 2]; f32[2] = [3, 5] -> f32[2] = [4, 7]", "bool[] = [0]; f32[2] = [1, 2]; f32[3] = [3, 5, 6] -> f32[2] = [-1, -2]",
	  "bool[] = [0]; f32[0] = []; f32[1] = [3] -> f32[0] = []", "bool[] = [1]; f32[2] = [1, 2]; f32[3] = [3, 5, 6] -> refused f32[2] = [0, 0]"}},
	{"inner_branch_sizes", "sym a in 0..64\nsym b in 0..64\nsym n in 0..9\nsym i in 0..9\n"
	                       "func @main(%f: bool[n], %x: f32[a], %y: f32[b]) -> (z: f32[a]) {\n"
	                       "  %z: f32[a] = loop %x {counter=\"i\", trips=n} (%c: f32[a]) {\n    %g: bool[1] = slice %f {starts=[i]}\n    %h: bool[] = reshape %g\n"
	                       "    %w: f32[a] = if %h {\n      %s: f32[a] = add %c, %y\n      yield %s\n    } else {\n      %m: f32[a] = neg %c\n      yield %m\n    }\n"
	                       "    yield %w\n  }\n  return %z\n}",
	 {"bool[3] = [1, 0, 1]; f32[2] = [1, 2]; f32[2] = [3, 5] -> f32[2] = [-1, -2]", "bool[1] = [0]; f32[2] = [1, 2]; f32[3] = [3, 5, 6] -> f32[2] = [-1, -2]",
	  "bool[0] = []; f32[2] = [1, 2]; f32[3] = [3, 5, 6] -> f32[2] = [1, 2]", "bool[3] = [0, 0, 1]; f32[2] = [1, 2]; f32[3] = [3, 5, 6] -> refused f32[2] = [0, 0]"}},
	{"loop_sizes", "sym a in 0..64\nsym b in 0..64\nsym n in 0..9\nsym i in 0..9\n"
	               "func @main(%k: f32[n], %x: f32[a], %y: f32[b]) -> (z: f32[a]) {\n"
	               "  %z: f32[a] = loop %x {counter=\"i\", trips=n} (%c: f32[a]) {\n    %s: f32[a] = add %c, %y\n    yield %s\n  }\n  return %z\n}",
	 {"f32[2] = [0, 0]; f32[2] = [1, 2]; f32[2] = [3, 5] -> f32[2] = [7, 12]", "f32[0] = []; f32[2] = [1, 2]; f32[3] = [3, 5, 6] -> f32[2] = [1, 2]",
	  "f32[1] = [0]; f32[2] = [1, 2]; f32[3] = [3, 5, 6] -> refused f32[2] = [0, 0]"}},
	{"grown_sizes", "sym a in 0..64\nsym b in 0..64\nsym n in 0..9\nsym i in 0..9\nsym s in 0..73\n"
	                "func @main(%k: f32[n], %x: f32[a], %o: f32[1], %y: f32[b]) -> (z: f32[b]) {\n"
	                "  %l: f32[s] = loop %x {counter=\"i\", sizes=[s, a, s + 1], trips=n} (%c: f32[s]) {\n"
	                "    %g: f32[s + 1] = concat %c, %o {axis=0}\n    yield %g\n  }\n  %z: f32[b] = add %l, %y\n  return %z\n}",
	 {"f32[2] = [0, 0]; f32[1] = [1]; f32[1] = [9]; f32[3] = [1, 2, 3] -> f32[3] = [2, 11, 12]", "f32[0] = []; f32[1] = [1]; f32[1] = [9]; f32[1] = [1] -> f32[1] = [2]",
	  "f32[2] = [0, 0]; f32[1] = [1]; f32[1] = [9]; f32[2] = [1, 2] -> refused f32[2] = [0, 0]", "f32[2] = [0, 0]; f32[1] = [1]; f32[1] = [9]; f32[1] = [1] -> refused f32[1] = [0]"}},
	/* views and slices that leave their operand */
	{"oob", SYM_N "func @main(%x: f32[n, 4]) -> (y: f32[n, 4]) {\n  %y: f32[n, 4] = slice %x {starts=[5, 0]}\n  return %y\n}",
	 {"f32[1, 4] = [1, 2, 3, 4] -> refused", "f32[0, 4] = [] -> f32[0, 4] = []"}},
	{"slice2", SYM_NK "func @main(%x: f32[n], %z: f32[k]) -> (y: f32[k]) {\n"
	                  "  %0: f32[k] = slice %x {starts=[0]}\n  %y: f32[k] = add %0, %z\n  return %y\n}",
	 {"f32[2] = [1, 2]; f32[3] = [1, 1, 1] -> refused", "f32[2] = [1, 2]; f32[1] = [1] -> f32[1] = [2]"}},
	{"slice4", SYM_N "func @main(%x: f32[n]) -> (y: f32[n]) {\n  %y: f32[n] = slice %x {starts=[0], steps=[1000]}\n  return %y\n}",
	 {"f32[2] = [1, 2] -> refused", "f32[1] = [1] -> f32[1] = [1]"}},
	{"slice5", SYM_N "func @main(%x: f32[n]) -> (y: f32[n]) {\n  %y: f32[n] = slice %x {starts=[n-1], steps=[-2]}\n  return %y\n}",
	 {"f32[2] = [1, 2] -> refused", "f32[1] = [1] -> f32[1] = [1]"}},
	{"viewback", SYM_N "func @main(%x: f32[n]) -> (y: f32[n]) {\n  %0: f32[n] = view %x {base=n-1, strides_dim=[0-2]}\n"
	                   "  %y: f32[n] = neg %0\n  return %y\n}",
	 {"f32[2] = [1, 2] -> refused", "f32[1] = [1] -> f32[1] = [-1]"}},
	{"viewbase_n", SYM_N "func @main(%x: f32[n]) -> (y: f32[n]) {\n  %0: f32[n] = view %x {base=n, strides_dim=[1]}\n"
	                     "  %y: f32[n] = neg %0\n  return %y\n}",
	 {"f32[1] = [1] -> refused", "f32[0] = [] -> f32[0] = []"}},
	{"viewneg", SYM_N "func @main(%x: f32[n]) -> (y: f32[n]) {\n  %0: f32[n] = view %x {base=0-1000000, strides_dim=[1]}\n"
	                  "  %y: f32[n] = neg %0\n  return %y\n}",
	 {"f32[1] = [1] -> refused", "f32[0] = [] -> f32[0] = []"}},
	{"viewsym", SYM_NK "func @main(%x: f32[n], %z: f32[k]) -> (y: f32[k]) {\n  %0: f32[k] = view %x {strides_dim=[1]}\n"
	                   "  %y: f32[k] = add %0, %z\n  return %y\n}",
	 {"f32[1] = [1]; f32[2] = [1, 1] -> refused", "f32[2] = [1, 2]; f32[1] = [1] -> f32[1] = [2]"}},
	{"viewzero", SYM_NK "func @main(%x: f32[n], %z: f32[k]) -> (y: f32[k]) {\n  %0: f32[k] = view %x {strides_dim=[0]}\n"
	                    "  %y: f32[k] = add %0, %z\n  return %y\n}",
	 {"f32[0] = []; f32[1] = [1] -> refused", "f32[1] = [4]; f32[2] = [1, 2] -> f32[2] = [5, 6]"}},
};

static const struct {
	const char *name, *file, *text;
} elsewhere[] = {
	{"dim_param_minus_one", "sizes_test.c", "test_dim_names"},
	{"gb", "golden/glu-overlap-not.ir", "one that overlaps"},
	{"kdims kd6 ke8 kf4", "schedule_test.c", "make_many_dims"},
	{"pad_edge pad_reflect pad2_edge padleak padedge", "schedule_test.c", "check_empty_pads"},
	{"overflow workspace_wraps wsx", "runtime_errors.sh", "more bytes than 64 bits count"},
	{"outx", "runtime_test.c", "test_overflow"},
	{"nanguard", "golden/attention-nan-guard.ir", "isnan"},
	{"twon", "faults_test.c", "{\"rng\""},
	{"verify_passes_dims", "golden/verify-dims.ir", "must agree"},
	{"march-order", "options.sh", "for order in"},
	{"iexpr24 iexpr60", "bounds_test.c", "shared_indices"},
	{"andx20 andx40", "bounds_test.c", "shared_conditions"},
	{"wch50000", "bounds_test.c", "constant_chain"},
	{"symp8000", "bounds_test.c", "like_symbols"},
	{"attrq30000", "bounds_test.c", "many_attributes"},
	{"inputs8000", "bounds_test.c", "many_inputs"},
	{"reshapes8000", "bounds_test.c", "move_chain"},
	{"big5", "bounds_test.c", "growing_constants"},
	{"merge60k", "import_refused_test.c", "60000 pieces"},
	{"flood80000", "ir_test.c", "test_table_key"},
	{"fan1000", "bounds_test.c", "static void fan"},
	{"files that a linker reads as options", "names.sh", "the linker reads @FILE"},
	{"the folder of --reduce", "reduce.sh", "The folder of candidates goes"},
	{"characters that drive a terminal", "names.sh", "drives a terminal"},
	{"temporaries, data that shrinks", "leave.sh", "shrinks while it is read"},
	{"symbols of the process for custom operators", "custom.sh", "--load"},
	{"a forked child with the parent's pool", "runtime_test.c", "test_pool_misuse"},
};

static char path[] = "/tmp/dcc-faults-XXXXXX";

/* ---- models ------------------------------------------------------------------------------------------------------ */

static void add_list(Builder *b, const char *name, const char *values)
{
	char **items;
	int n = split_text(b->arena, values, &items);
	int64_t *v = arena_alloc(b->arena, (size_t)n * sizeof *v);
	for (int i = 0; i < n; i++)
		v[i] = strtoll(items[i], NULL, 10);
	add_ints(b, name, n, v);
}

static void add_scalar(Builder *b, const char *name, bool integer, const char *value)
{
	int64_t i = strtoll(value, NULL, 10);
	float x = strtof(value, NULL);
	add_tensor(b, name, integer ? 7 : 1, "", integer ? (void *)&i : &x, integer ? sizeof i : sizeof x);
}

static void add_zeros(Builder *b, const char *name, const char *dims)
{
	static const float zeros[16];
	char **items;
	size_t n = 1;
	for (int i = split_text(b->arena, dims, &items) - 1; i >= 0; i--)
		n *= (size_t)atoi(items[i]);
	add_tensor(b, name, 1, dims, zeros, n * sizeof *zeros);
}

static void add_statement(Builder *b, char *text)
{
	char *rest = NULL, *word[8];
	int n = 0;
	for (char *w = strtok_r(text, " ", &rest); w && n < 8; w = strtok_r(NULL, " ", &rest))
		word[n++] = w;
	DType type;
	if (!strcmp(word[0], "in") && find_dtype(word[2], &type)) {
		add_input(b, word[1], dtypes[type].onnx, word[3]);
	} else if (!strcmp(word[0], "broadcast")) {
		; /* load() has seen it */
	} else if (!strcmp(word[0], "opset")) {
		b->model.opset_import[0]->version = atoi(word[1]);
	} else if (!strcmp(word[0], "out")) {
		add_output(b, word[1]);
	} else if (!strcmp(word[0], "ints")) {
		add_list(b, word[1], word[2]);
	} else if (!strcmp(word[0], "zeros")) {
		add_zeros(b, word[1], word[2]);
	} else if (!strcmp(word[0], "int") || !strcmp(word[0], "real")) {
		add_scalar(b, word[1], word[0][0] == 'i', word[2]);
	} else {
		Onnx__NodeProto *node = add_op(b, word[0], word[1], word[2]);
		for (int i = 3; i < n; i++) {
			char *value = strchr(word[i], '=');
			*value++ = 0;
			set_i(b->arena, node, word[i], atoll(value));
		}
	}
}

static void write_graph(const Fault *fault)
{
	Arena *a = new_arena();
	Builder *b = new_builder(a, 18);
	char *rest = NULL;
	for (char *s = strtok_r(arena_strdup(a, fault->model), ";", &rest); s; s = strtok_r(NULL, ";", &rest))
		add_statement(b, s);
	write_built(b, path);
	free_arena(a);
}

static void write_model(const Fault *fault)
{
	Text t = {0};
	if (!strstr(fault->model, "func @main")) {
		write_graph(fault);
		return;
	}
	add_text(&t, "dcc-ir 1 stage %s\nmodel fault\n%s\n", strstr(fault->model, " = view ") ? "canon" : "import", fault->model);
	write_bytes(path, t.s, t.n);
	free(t.s);
}

static Module *load(const Fault *fault)
{
	char *said;
	Module *m = try_load_model(path, &(LoadOptions){.name = "fault", .broadcast_symbols = !strncmp(fault->model, "broadcast;", 10)}, &said);
	if (!m)
		fprintf(stderr, "%s: %s\n", fault->name, said ? said : "");
	CHECK(m != NULL);
	free(said);
	return m;
}

/* ---- runs -------------------------------------------------------------------------------------------------------- */

/* "f32[2] = [1, 2]; i64[] = [3]", up to `end`: their number */
static int read_tensors(const char *s, const char *end, Tensor *out)
{
	Text t = {0};
	int n = 0;
	add_text(&t, "dcc-ir 1 stage import\nmodel data\n");
	while (s < end) {
		int length = (int)(strcspn(s, ";") < (size_t)(end - s) ? strcspn(s, ";") : (size_t)(end - s));
		add_text(&t, "const @c%d: %.*s\n", n++, length, s);
		s += length + 1;
	}
	add_text(&t, "func @main(%%x: f32[]) -> (y: f32[]) {\n  return %%x\n}\n");
	Module *m = parse_module("data", t.s);
	for (int i = 0; i < n; i++) {
		const Const *c = m->consts[i];
		out[i] = tensor_of(&c->type, NULL);
		out[i].data = malloc(c->bytes + 1);
		memcpy(out[i].data, c->data, c->bytes);
	}
	free_module(m);
	free(t.s);
	return n;
}

static bool same_dims(const Tensor *a, const Tensor *b)
{
	return a->dtype == b->dtype && a->rank == b->rank && !memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims);
}

static void check_evaluator(Run *r)
{
	Tensor got[MaxPorts];
	const char *wrong = eval_module(r->f->oracle, r->in, got);
	test_checks++;
	if (!wrong != !r->status)
		fail_run(r, "evaluator", 0, -1, wrong ? wrong : "no error");
	for (int i = 0; !wrong && i < r->f->oracle->main->body.nyield; i++) {
		if (i < r->nout && !(same_dims(&got[i], &r->want[i]) && largest_error(&r->want[i], &got[i]) <= TOLERANCE))
			fail_run(r, "evaluator", i, -1, "wrong");
		free_tensor(&got[i]);
	}
}

static void check_run(Family *f, const char *run)
{
	const char *arrow = strstr(run, " -> ") + 4;
	bool refused = !strncmp(arrow, "refused", 7);
	Run r = {.f = f, .binding = run, .status = refused ? DCC_ERROR_SHAPE : DCC_OK};
	r.nin = read_tensors(run, arrow - 4, r.in);
	arrow += refused ? 7 : 0;
	r.nout = read_tensors(arrow, arrow + strlen(arrow), r.want);
	check_evaluator(&r);
	for (int i = 0; i < f->model->ntargets; i++)
		run_code(&r, f->model, i, 1);
	for (int i = 0; i < f->ntarget && !refused; i++)
		run_interpreter(&r, f->targets[i]->name, 2);
	for (int i = 0; i < r.nin; i++)
		free(r.in[i].data);
	for (int i = 0; i < r.nout; i++) {
		free(r.want[i].data);
		if (r.have_first)
			free(r.first[i].data);
	}
}

static void check_fault(const Fault *fault)
{
	Family f = {.name = fault->name};
	write_model(fault);
	f.oracle = load(fault);
	f.lowered = f.oracle ? load(fault) : NULL;
	if (!f.lowered)
		return;
	compile_modules(&f);
	for (int i = 0; i < MaxRuns && fault->runs[i]; i++)
		check_run(&f, fault->runs[i]);
	free_family(&f);
}

static bool file_has(const char *file, const char *text)
{
	char name[256], line[1000];
	bool found = false;
	snprintf(name, sizeof name, "tests/%s", file);
	FILE *f = fopen(name, "r");
	while (f && !found && fgets(line, sizeof line, f))
		found = strstr(line, text);
	if (f)
		fclose(f);
	return found;
}

/* faults_test [NAME] */
int main(int argc, char **argv)
{
	int fd = mkstemp(path);
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
		if (argc < 2 || !strcmp(argv[1], faults[i].name))
			check_fault(&faults[i]);
	unlink(path);
	close(fd);
	for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++) {
		bool found = file_has(elsewhere[i].file, elsewhere[i].text);
		if (!found)
			fprintf(stderr, "%s: tests/%s has no \"%s\"\n", elsewhere[i].name, elsewhere[i].file, elsewhere[i].text);
		CHECK(found);
	}
	return test_end("faults");
}
