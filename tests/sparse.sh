#!/usr/bin/env bash
# Weights most of whose pieces are 0: the same bits as with --no-fuse=sparse for finite inputs, from a smaller object.
# usage: sparse.sh BUILD
set -u
build=$(cd "$1" && pwd)
. "$PWD/tests/expect.bash"
dcc=$build/dcc run=$build/dcc-run
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1

# 320 by 192 weights, one of five pieces of 16 not 0, then a gate.
cat >m.ir <<'END'
dcc-ir 1 stage import
model m
sym B in 0..
const @n16: i64[] = [16]
const @n7: i64[] = [7]
const @n5: i64[] = [5]
const @one: i64[] = [1]
const @step: f32[] = [0.37]
func @main(%x: f32[B, 320]) -> (y: f32[B, 192], z: f32[B, 96]) {
  %i: i64[61440] = iota
  %p: i64[61440] = idiv %i, @n16
  %q: i64[61440] = mul %p, @n7
  %m: i64[61440] = imod %q, @n5
  %lt: bool[61440] = lt %m, @one
  %keep: f32[61440] = cast %lt
  %f: f32[61440] = cast %i
  %g: f32[61440] = mul %f, @step
  %s: f32[61440] = sin %g
  %v: f32[61440] = mul %s, %keep
  %w: f32[320, 192] = reshape %v
  %0: f32[B, 192] = linear %x, %w, _
  %1: f32[B, 192] = relu %0
  %2: f32[B, 192] = linear %x, %w, _
  %3: f32[B, 96] = glu %2 {axis=1, act=sigmoid}
  return %1, %3
}
END
expect 0 '^matched +sparse' "$dcc" --report=- -o sparse.o m.ir
expect 0 '^$' "$dcc" --no-fuse=sparse -o dense.o m.ir
check 'less than half of the bytes' test $(($(stat -c %s sparse.o) * 2)) -lt "$(stat -c %s dense.o)"
isas=(avx2)
if grep -qw avx512f /proc/cpuinfo && grep -qw avx512vl /proc/cpuinfo; then
	isas+=(avx512)
else
	echo "sparse: this CPU cannot run avx512; skipped"
fi
for isa in "${isas[@]}"; do
	for B in 0 1 3 5 37; do
		rm -rf dense-$B
		expect 0 '' "$run" --isa "$isa" --random 1 -D B=$B --save dense-$B dense.o
		for threads in 1 2; do
			rm -rf got
			expect 0 '' "$run" --isa "$isa" --threads $threads --inputs dense-$B --save got sparse.o
			expect 0 '^$' cmp got/output_0.pb dense-$B/output_0.pb
			expect 0 '^$' cmp got/output_1.pb dense-$B/output_1.pb
		done
	done
done

echo "sparse: $checks checks, $failed failed"
[ $failed = 0 ]
