#!/usr/bin/env bash
# label: full
# Weights most of whose pieces are 0: the same bits as with --no-fuse=sparse for finite inputs, from a smaller object.
# usage: sparse.sh BUILD
set -u
. "$PWD/tests/expect.bash"
begin "$1"

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
# The same of one row, with no order in the zeros: each column has its own.
{
	sed -n '1,4p' m.ir
	cat <<'END'
const @n11: i64[] = [11]
const @n7: i64[] = [7]
const @one: i64[] = [1]
const @step: f32[] = [0.37]
func @main(%x: f32[B, 1100]) -> (y: f32[B, 1000], z: f32[B, 500]) {
  %i: i64[1100000] = iota
  %q: i64[1100000] = mul %i, @n7
  %m: i64[1100000] = imod %q, @n11
  %lt: bool[1100000] = lt %m, @one
  %keep: f32[1100000] = cast %lt
  %f: f32[1100000] = cast %i
  %g: f32[1100000] = mul %f, @step
  %s: f32[1100000] = sin %g
  %v: f32[1100000] = mul %s, %keep
  %w: f32[1100, 1000] = reshape %v
  %0: f32[B, 1000] = linear %x, %w, _
  %1: f32[B, 1000] = relu %0
  %2: f32[B, 1000] = linear %x, %w, _
  %3: f32[B, 500] = glu %2 {axis=1, act=sigmoid}
  return %1, %3
}
END
} >row.ir

isas=(avx2)
if grep -qw avx512f /proc/cpuinfo && grep -qw avx512vl /proc/cpuinfo; then
	isas+=(avx512)
else
	echo "sparse: this CPU cannot run avx512; skipped"
fi

# compare MODEL OPTIONS SIZES...: of both forms, for inputs of these sizes
compare() {
	local model=$1 options=$2 size sizes=() isa threads
	shift 2
	# shellcheck disable=SC2086
	expect 0 '^matched +sparse' "$dcc" $options --report=- -o sparse.o "$model"
	# shellcheck disable=SC2086
	expect 0 '^$' "$dcc" $options --no-fuse=sparse -o dense.o "$model"
	check 'less than half of the bytes' test $(($(stat -c %s sparse.o) * 2)) -lt "$(stat -c %s dense.o)"
	for isa in "${isas[@]}"; do
		for size in "$@"; do
			sizes=(-D "B=$size")
			[ -z "$options" ] || sizes=()
			rm -rf want
			expect 0 '' "$run" --isa "$isa" --random 1 "${sizes[@]}" --save want dense.o
			for threads in 1 2; do
				rm -rf got
				expect 0 '' "$run" --isa "$isa" --threads $threads --inputs want --save got sparse.o
				expect 0 '^$' cmp got/output_0.pb want/output_0.pb
				expect 0 '^$' cmp got/output_1.pb want/output_1.pb
			done
		done
	done
}
compare m.ir '' 0 1 3 5 37
compare row.ir '-D B=1' 1

echo "sparse: $checks checks, $failed failed"
[ $failed = 0 ]
