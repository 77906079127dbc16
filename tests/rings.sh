#!/usr/bin/env bash
# Products, depthwise convolutions of their lines and products again in one kernel: a worker's tiles build on lines that those before left in a
# ring.  The passes, the interpreter and the machine code of every target must agree, with one worker and with several.
# usage: rings.sh BUILD
# seconds: 15
set -u
. tests/expect.bash
begin "$1"

# An inverted residual of c channels, of images of n by n, as mobile networks have it.
block() { # n c stride
	awk -v n=$1 -v c=$2 -v stride=$3 'function weights(name, dims, count) {
		printf "  %%i%s: i64[%d] = iota {start=%d}\n  %%j%s: f32[%d] = cast %%i%s\n  %%l%s: f32[%d] = mul %%j%s, @k\n", name, count, count, name, count, name, name, count, name
		printf "  %%m%s: f32[%d] = sin %%l%s\n  %%w%s: f32[%s] = reshape %%m%s\n", name, count, name, name, dims, name
	}
	BEGIN {
		wide = 4 * c; out = int((n + stride - 1) / stride)
		print "dcc-ir 1 stage simplify\nmodel net\nsym B in 0..2\nconst @k: f32[] = [0.37]"
		printf "func @main(%%x: f32[B, %d, %d, %d]) -> (y: f32[B, %d, %d, %d]) {\n", n, n, c, out, out, c
		weights("up", c ", " wide, c * wide); weights("deep", "3, 3, 1, " wide, 9 * wide); weights("down", wide ", " c, c * wide)
		printf "  %%0: f32[B, %d, %d, %d] = linear %%x, %%wup, _\n  %%1: f32[B, %d, %d, %d] = relu %%0\n", n, n, wide, n, n, wide
		printf "  %%2: f32[B, %d, %d, %d] = group_conv %%1, %%wdeep, _ {group=%d, strides=[%d, %d], pads=[1, 1, 1, 1]}\n", out, out, wide, wide, stride, stride
		printf "  %%3: f32[B, %d, %d, %d] = relu %%2\n  %%4: f32[B, %d, %d, %d] = linear %%3, %%wdown, _\n  return %%4\n}\n", out, out, wide, out, out, c
	}'
}

for stride in 1 2; do
	block 40 24 $stride >block.ir
	"$dcc" --emit=loops -o block.loops block.ir
	check "stride $stride: no ring of lines" grep -q made block.loops
	expect 0 '' "$build/tests/fuzz_graph_test" block.ir
done
echo "rings: $checks checks, $failed failed"
[ $failed = 0 ]
