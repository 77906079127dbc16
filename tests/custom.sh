#!/usr/bin/env bash
# Operators that the application computes (--custom-op): IR text, every way to run them, what is refused.
# usage: custom.sh BUILD
set -u
. "$PWD/tests/expect.bash"
begin "$1"
example=$root/examples/custom
LC_ALL=C
sanitized=$(grep -cE '^DCC_(SANITIZE|TSAN):BOOL=ON' "$build/CMakeCache.txt")

snake='com.example:Snake=example_snake(%x: f32[b, t, c], alpha: f32[] = 1) -> (f32[b, t, c])'
best='com.example:Best=example_best(%x: f32[b, c, t]) -> (f32[b, c], i64[b, c])'
both=("--custom-op=$snake" "--custom-op=$best")
model=$example/custom.onnx
dcc=$build/dcc run=$build/dcc-run

cc -O1 -fPIC -shared -I"$root/runtime" "$example/operators.c" -lm -o operators.so || exit 1
cc -O1 -fPIC -c -I"$root/runtime" "$example/operators.c" -o operators.o || exit 1

# The text: results of a node, the attribute as a constant, a copy where the function wants a dense tensor; reads back.
expect 0 '^$' "$dcc" --emit=ir -o m.ir "${both[@]}" "$model"
expect 0 '@alpha: f32\[\] = \[0.75\]' cat m.ir
expect 0 '= custom %[0-9]+, @alpha \{symbol="example_snake"\} loc "snake"' cat m.ir
expect 0 '%[0-9]+: f32\[batch, 6\], %[0-9]+: i64\[batch, 6\] = custom %[0-9]+ \{symbol="example_best"\} loc "best"' cat m.ir
expect 0 '^1$' grep -c '= identity' m.ir
expect 0 '^$' "$dcc" --emit=loops -o l.ir "${both[@]}" "$model"
expect 0 '^  extern example_best\(%b0: f32\[%n[0-9], 6, %n[0-9]\]\) -> \(%b[0-9]: f32\[%n[0-9], 6\], %b[0-9]: i64\[%n[0-9], 6\]\) else [0-9]' \
	cat l.ir
for from in m.ir l.ir; do
	expect 0 '^$' "$dcc" -o "$from.o" "$from"
done
expect 0 '^$' "$dcc" --name=custom --header=custom.h -o custom.o "${both[@]}" "$model"
expect 0 '^$' cmp custom.o m.ir.o
expect 0 '^$' cmp custom.o l.ir.o
expect 0 'dcc_custom_op example_best;' cat custom.h

# A text calls nothing of the process, nor what a loaded file only depends on.
printf 'dcc-ir 1 stage import\nmodel m\nfunc @main(%%x: f32[4]) -> (y: f32[4]) {\n%%0: f32[4] = custom %%x {symbol="getpid"}\nreturn %%0\n}\n' >libc.ir
for how in '' --oracle --interp; do
	expect 1 "function.* 'getpid'.*(loaded|C library)" "$run" libc.ir --load operators.so --random 1 $how
done

# Every way to run it gives the recorded outputs.
for how in '' --oracle --interp '--threads 2' '--interp --threads 3' '--isa avx2'; do
	expect 0 '^PASS' "$run" "$model" --custom-op "$snake" --custom-op "$best" --load operators.so --check "$example" $how
done
expect 0 '^PASS' "$run" custom.o --load operators.so --check "$example"
if [ "$sanitized" = 0 ]; then
	expect 0 '^$' "$dcc" -shared -o custom.so operators.o "${both[@]}" "$model"
	expect 1 "more than one input: '$model'" "$dcc" -shared -o x.so "$model" "$model"
	expect 0 '^PASS' "$run" custom.so --check "$example" --threads 2
	expect 0 '^$' cc -Wall -Werror -I. -I"$root/runtime" "$example/app.c" "$example/operators.c" custom.o "$build/libdcc.a" -lm -o app
	expect 0 '^2.0943 at 1$' ./app
	expect 1 "node 'best': the function 'example_best' returned 1 \(a custom operator failed\)" "$run" custom.so --random 1 -D seq=0
	expect 0 'example_best.*best' "$run" custom.so --random 1 --profile --seconds 0.05
fi
expect 1 "custom \(node 'best'\): the function 'example_best' returned 1" \
	"$run" "$model" --custom-op "$snake" --custom-op "$best" --load operators.so --oracle --random 1 -D seq=0

# Of several signatures the first that fits is taken.
expect 0 '^PASS' "$run" "$model" --custom-op 'com.example:Snake=other(%x: f32[n, c], alpha: f32[]) -> (f32[n, c])' \
	--custom-op "$snake" --custom-op "$best" --load operators.so --check "$example"
# Scratch memory: a result beyond the node's outputs.
expect 0 'f32\[batch, 6\], %[0-9]+: i64\[batch, 6\], %[0-9]+: f32\[6\*batch\*max\(seq, 16\)\] = custom' "$dcc" --emit=ir -o - "${both[0]}" \
	'--custom-op=com.example:Best=f(%x: f32[b, c, t]) -> (f32[b, c], i64[b, c], scratch: f32[b*c*max(t, 16)])' "$model"
# Defaults of attributes keep all their digits.
expect 0 '@k: i64\[2\] = \[9007199254740993, -2\]' "$dcc" --emit=ir -o - "${both[0]}" \
	'--custom-op=com.example:Best=f(%x: f32[b, c, t], k: i64[n] = [9007199254740993, -2]) -> (f32[b, c], i64[b, c])' "$model"
# A standard operator may be replaced.
expect 0 'custom %x, @w \{symbol="my_gemm"\}' "$dcc" --emit=ir -o - "${both[@]}" \
	'--custom-op=:MatMul=my_gemm(%x: f32[b, t, c], %w: f32[c, d]) -> (f32[b, t, d])' "$model"
expect 0 "no node has the operator 'Nothing' of domain 'x'" "$dcc" --check "${both[@]}" '--custom-op=x:Nothing=f(%x: f32[]) -> (f32[])' "$model"

# What does not fit.
expect 1 "node 'best' \(Best\): operator 'Best' of domain 'com.example' is not supported \(--custom-op names" "$dcc" --check "${both[0]}" "$model"
expect 1 'no --custom-op fits this node:' "$dcc" --check "${both[0]}" '--custom-op=com.example:Best=f(%x: f64[b, c, t]) -> (f32[b, c], i64[b, c])' "$model"
expect 1 'f\(.*: input 0 is f32\[batch, 6, seq\]' "$dcc" --check "${both[0]}" '--custom-op=com.example:Best=f(%x: f32[b, 7, t]) -> (f32[b], i64[b])' "$model"
expect 1 'the node has 2 outputs' "$dcc" --check "${both[0]}" '--custom-op=com.example:Best=f(%x: f32[b, c, t]) -> (f32[b, c])' "$model"
expect 1 'the node has 1 inputs' "$dcc" --check "${both[0]}" '--custom-op=com.example:Best=f(%x: f32[b, c, t], %y: f32[]) -> (f32[b, c], i64[b, c])' "$model"
expect 1 "node 'snake' .Snake.: operator 'Snake' of domain 'com.example' is not supported" "$dcc" --check "$model"
expect 1 "node 'snake' .Snake.: .*attribute 'alpha' is not in the signature" "$dcc" --check "${both[1]}" '--custom-op=com.example:Snake=f(%x: f32[b, t, c]) -> (f32[b, t, c])' "$model"
expect 1 "attribute 'alpha' has another type" "$dcc" --check "${both[1]}" '--custom-op=com.example:Snake=f(%x: f32[b, t, c], alpha: i64[]) -> (f32[b, t, c])' "$model"
expect 1 "the node has no attribute 'beta'" "$dcc" --check "${both[1]}" '--custom-op=com.example:Snake=f(%x: f32[b, t, c], alpha: f32[], beta: f32[]) -> (f32[b, t, c])' "$model"
expect 1 "'k' is no expression over the symbols of the parameters" "$dcc" --check "${both[1]}" '--custom-op=com.example:Snake=f(%x: f32[b, t, c], alpha: f32[]) -> (f32[k])' "$model"
expect 1 "dim of a custom operator's parameter" "$dcc" --check -D seq=5 "${both[1]}" '--custom-op=com.example:Snake=f(%x: f32[b, c, c], alpha: f32[]) -> (f32[b])' "$model"
expect 1 "the function cannot be called 'custom_run'|cannot be called 'custom_run'" "$dcc" --check "${both[1]}" '--custom-op=com.example:Snake=custom_run(%x: f32[b, t, c], alpha: f32[]) -> (f32[b, t, c])' "$model"
expect 1 "the symbol 'a.b' is not a C identifier" "$dcc" --check "${both[1]}" '--custom-op=com.example:Snake=a.b(%x: f32[b, t, c], alpha: f32[]) -> (f32[b, t, c])' "$model"
expect 1 "no function 'example_snake' is loaded" "$run" "$model" --custom-op "$snake" --custom-op "$best" --oracle --random 1
expect 0 'skipped: .*is not part of this program' "$dcc" --verify-passes -o x.o "${both[@]}" "$model"

expect 1 'IR text calls its functions by name already' "$dcc" -o x.o "${both[@]}" m.ir

# An input that a node leaves out: no elements and no data, in the middle of the others.
cat >absent.ir <<'IR'
dcc-ir 1 stage import
model absent
sym n in 1..
const @absent: f32[0] = []
func @main(%x: f32[n]) -> (y: f32[n]) {
  %y: f32[n] = custom %x, @absent, %x {symbol="third"}
  return %y
}
IR
cat >third.c <<'C'
#include "dcc.h"

dcc_custom_op third;
int32_t third(const dcc_custom_args *args)
{
	const dcc_tensor *none = &args->inputs[1], *x = &args->inputs[2];
	if (args->ninputs != 3 || none->data || none->rank != 1 || none->dims[0] || !x->data)
		return 1;
	for (int64_t i = 0; i < x->dims[0]; i++)
		((float *)args->outputs[0].data)[i] = 2 * ((const float *)x->data)[i];
	return 0;
}
C
expect 0 '^$' cc -shared -fPIC -I"$root/runtime" third.c -o third.so
expect 0 '^$' "$run" absent.ir --load third.so --oracle --random 1 --save absent
expect 0 '^PASS' "$run" absent.ir --load third.so --check absent --tol 0
expect 0 '^PASS' "$run" absent.ir --load third.so --check absent --tol 0 --interp
expect 1 "calls the function 'third', which is not loaded" "$run" absent.ir --random 1

# Options that cannot be read.
for wrong in 'Best' 'x:Best' 'x:Best=' 'x:Best=f(' 'x:Best=f(%x)' 'x:Best=f(%x: f33[2]) -> (f32[])' 'x:Best=f(%x: f32[2) -> (f32[])' \
	'x:Best=f(%x: f32[2])' 'x:Best=f(%x: f32[2]) -> ()' 'x:Best=f(%x: f32[2]) -> (f32[]) more' 'x:Best=f(a: f64[2]) -> (f32[])' \
	'x:Best=f(%x: f32[1,1,1,1,1,1,1,1,1]) -> (f32[])' 'x:Best=f(a: f32[] = x) -> (f32[])' \
	'x:Best=f(a: i64[] = 1.5) -> (f32[])' 'x:Best=f(a: i64[n] = [1, 1e3]) -> (f32[])' 'x:Best=f(a: i64[] = 9223372036854775808) -> (f32[])'; do
	expect 1 '^dcc: error: --custom-op=.*: expected ' "$dcc" --check "--custom-op=$wrong" "$model"
done
expect 1 "'operators.o' is linked with -shared only" "$dcc" -o x.o "${both[@]}" "$model" operators.o

echo "custom: $checks checks, $failed failed"
[ $failed = 0 ]
