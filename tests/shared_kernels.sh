#!/usr/bin/env bash
# Layers that differ in sizes and epilogues share the kernels of what they have in common: compiling takes as long as a model has code.
# usage: shared_kernels.sh BUILD
set -u
build=$(cd "$1" && pwd) || exit 1
. "$PWD/tests/expect.bash"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# Convolutions of many sizes, two of inputs, whose channels lie apart, and one with another epilogue; and the means of what they give.
awk 'function weights(name, dims, count) {
	printf "  %%i%s: i64[%d] = iota {start=%d}\n  %%j%s: f32[%d] = cast %%i%s\n  %%l%s: f32[%d] = mul %%j%s, @k\n", name, count, count, name, count, name, name, count, name
	printf "  %%m%s: f32[%d] = sin %%l%s\n  %%%s: f32[%s] = reshape %%m%s\n", name, count, name, name, dims, name
}
function layer(from, to, channels, outputs, size, epilogue) {
	weights("w" to, sprintf("%d, %d, 3, 3", outputs, channels), outputs * channels * 9)
	printf "  %%c%s: f32[1, %d, %d, %d] = conv %%%s, %%w%s, _ {pads=[1, 1, 1, 1]}\n", to, outputs, size, size, from, to
	printf "  %%%s: f32[1, %d, %d, %d] = %s %%c%s\n", to, outputs, size, size, epilogue, to
	printf "  %%mean%s: f32[1, %d, 1, 1] = mean %%%s {axes=[2, 3], keepdims=1}\n", to, outputs, to
}
BEGIN {
	print "dcc-ir 1 stage simplify\nmodel net\nconst @k: f32[] = [0.37]"
	print "func @main(%x: f32[1, 32, 24, 24], %y: f32[1, 64, 40, 40]) -> (a: f32[1, 128, 1, 1], b: f32[1, 192, 1, 1], c: f32[1, 256, 1, 1], d: f32[1, 192, 1, 1]) {"
	layer("x", "a", 32, 128, 24, "relu")
	layer("a", "b", 128, 192, 24, "relu")
	layer("b", "c", 192, 256, 24, "tanh")
	layer("y", "d", 64, 192, 40, "relu")
	print "  return %meana, %meanb, %meanc, %meand\n}"
}' >"$tmp/m.ir"
check "the model compiles" "$build/dcc" --emit=loops -o "$tmp/loops.ir" "$tmp/m.ir"
count() {
	local got
	got=$(grep -cE "^kernel @$1(\.[0-9]+)?(\.avx2)?\(|^kernel @$1(\.[0-9]+)?\.avx2 " "$tmp/loops.ir")
	check "$got kernels $1 instead of $2" [ "$got" = "$2" ]
}
count winograd 3
count winograd_inputs 2
count winograd_outputs 1
count panel 1
count mean 1

# Two depthwise convolutions of other taps between products, all made tile by tile: those in front read their rows where they lie.
awk 'function weights(name, dims, count) {
	printf "  %%i%s: i64[%d] = iota {start=%d}\n  %%j%s: f32[%d] = cast %%i%s\n  %%m%s: f32[%d] = sin %%j%s\n", name, count, count, name, count, name, name, count, name
	printf "  %%%s: f32[%s] = reshape %%m%s\n", name, dims, name
}
BEGIN {
	print "dcc-ir 1 stage simplify\nmodel net"
	print "func @main(%x: f32[1, 24, 56, 56]) -> (y: f32[1, 32, 56, 56]) {"
	weights("w1", "96, 24, 1, 1", 96 * 24); weights("w2", "96, 1, 3, 3", 96 * 9); weights("w3", "24, 96, 1, 1", 96 * 24); weights("w4", "96, 24, 1, 1", 96 * 24)
	weights("w5", "96, 1, 5, 5", 96 * 25); weights("w6", "32, 96, 1, 1", 96 * 32)
	print "  %a: f32[1, 96, 56, 56] = conv %x, %w1, _\n  %b: f32[1, 96, 56, 56] = relu %a"
	print "  %c: f32[1, 96, 56, 56] = conv %b, %w2, _ {group=96, pads=[1, 1, 1, 1]}\n  %d: f32[1, 96, 56, 56] = relu %c"
	print "  %e: f32[1, 24, 56, 56] = conv %d, %w3, _\n  %f: f32[1, 96, 56, 56] = conv %e, %w4, _\n  %g: f32[1, 96, 56, 56] = relu %f"
	print "  %h: f32[1, 96, 56, 56] = conv %g, %w5, _ {group=96, pads=[2, 2, 2, 2]}\n  %k: f32[1, 96, 56, 56] = relu %h"
	print "  %l: f32[1, 32, 56, 56] = conv %k, %w6, _\n  return %l\n}"
}' >"$tmp/m.ir"
check "the second model compiles" "$build/dcc" --emit=loops -o "$tmp/loops.ir" "$tmp/m.ir"
count lone_tile 1
count tile6_in_place 2
check "the second model becomes an object" "$build/dcc" -march=avx512 -o "$tmp/m.o" "$tmp/m.ir"
code=$(size -A "$tmp/m.o" | awk '$1 == ".text" { print $2 }')
check "$code bytes of code instead of 26400 at most" [ "$code" -le 26400 ]

# Four layers whose sizes are symbols, each half as long as the one before: their offsets and extents are numbers to one step of each kernel.
awk 'BEGIN {
	print "dcc-ir 1 stage simplify\nmodel net\nsym H in 0..4096\nsym W in 0..4096"
	print "func @main(%x0: f32[1, 8, H, W]) -> (y: f32[1, 8, (H + 15)/16, (W + 15)/16]) {"
	for (i = 1; i <= 4; i++) {
		n = 2 ^ i
		printf "  %%i%d: i64[576] = iota {start=%d}\n  %%j%d: f32[576] = cast %%i%d\n  %%m%d: f32[576] = sin %%j%d\n  %%w%d: f32[8, 8, 3, 3] = reshape %%m%d\n", i, i, i, i, i, i, i, i
		printf "  %%c%d: f32[1, 8, (H + %d)/%d, (W + %d)/%d] = conv %%x%d, %%w%d, _ {pads=[1, 1, 1, 1], strides=[2, 2]}\n", i, n - 1, n, n - 1, n, i - 1, i
		printf "  %%x%d: f32[1, 8, (H + %d)/%d, (W + %d)/%d] = relu %%c%d\n", i, n - 1, n, n - 1, n, i
	}
	print "  return %x4\n}"
}' >"$tmp/m.ir"
check "the model with symbols compiles" "$build/dcc" -march=avx2 -o "$tmp/m.o" "$tmp/m.ir"
steps=$(nm "$tmp/m.o" | grep -c 'net\.step\.')
check "$steps functions of steps instead of 4" [ "$steps" = 4 ]
code=0
for size in $(nm -S "$tmp/m.o" | awk '/net\.(step_cost|workspace)$/ { print $2 }'); do code=$((code + 0x$size)); done
check "$code bytes of code for workspace and costs instead of 512 at most" [ "$code" -gt 0 -a "$code" -le 512 ]

# Rows whose number is a symbol, of four widths.
cat >"$tmp/m.ir" <<'IR'
dcc-ir 1 stage simplify
model net
sym H in 0..4096
func @main(%a: f32[H, 24], %b: f32[H, 40], %c: f32[H, H, 32], %d: f32[H, H, 48]) -> (x: f32[H, 64], y: f32[H, H, 80]) {
  %0: f32[H, 64] = concat %a, %b {axis=1}
  %1: f32[H, H, 80] = concat %c, %d {axis=2}
  return %0, %1
}
IR
check "the model of rows compiles" "$build/dcc" -march=avx2 --emit=loops -o "$tmp/loops.ir" "$tmp/m.ir"
count concat 2
echo "shared_kernels: $checks checks, $failed failed"
[ $failed = 0 ]
