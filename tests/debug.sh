#!/usr/bin/env bash
# label: full
# dcc -g: the same outputs, and a debugger that shows kernels, ONNX nodes and the loop IR; perf, which counts by either.
# usage: debug.sh BUILD
set -u
. "$PWD/tests/expect.bash"
begin "$1"
model=$root/examples/dynconv.onnx
sanitized=$(grep -cE '^DCC_(SANITIZE|TSAN):BOOL=ON' "$build/CMakeCache.txt")

# Twice the same; the name of the folder is nowhere; outputs are those of a build without -g.
expect 0 '^$' "$build/dcc" -g -o m.o "$model"
cp m.o first.o && cp m.loops first.loops
mkdir elsewhere
(cd elsewhere && "$build/dcc" -g -o m.o "$model") || failed=$((failed + 1))
expect 0 '^$' cmp m.o elsewhere/m.o
expect 0 '^$' cmp m.loops first.loops
expect 1 '^$' grep -F "$tmp" m.o
expect 0 '^$' "$build/dcc" -o plain.o "$model"
expect 1 '^$' grep debug_info plain.o
expect 0 '^$' diff <("$build/dcc-run" m.o --random 1) <("$build/dcc-run" plain.o --random 1)
expect 1 'no-such' "$build/dcc" -g -o no-such/m.o "$model"
expect 1 'would overwrite|would be written' "$build/dcc" -g --header=x.loops -o x.o "$model"
expect 0 '\.loc' "$build/dcc" -g -S -o - "$model"
expect 0 'DISubprogram' "$build/dcc" -g -emit-llvm -o - "$model"
expect 0 '^kernel @' cat m.loops

# A program with jumps.
cat >parts.ir <<'END'
dcc-ir 1 stage import
model parts
sym n in 0..
sym i in 0..
func @main(%x: f32[n, 3]) -> (y: f32[3]) {
  %0: f32[3] = sum %x {axes=[0], keepdims=0}
  %1: f32[3] = loop %0 {counter="i", trips=n} (%2: f32[3]) {
    %3: f32[3] = softmax %2 {axis=0}
    %4: f32[3] = tanh %3
    yield %4
  }
  return %1
}
END
expect 0 '^$' "$build/dcc" -g -o parts.o parts.ir
expect 0 '^y: f32' "$build/dcc-run" parts.o -D n=2 --random 1

# The node whose kernel is stopped at, and the line that calls it: from the listing of the program that this CPU runs.
isa=avx2
! grep -qw avx512dq /proc/cpuinfo || isa=avx512
node=$(sed -n 's/^  step .*loc "\([^"]*\)" .*/\1/p' m.loops | tail -1)
line=$(awk -v program="^program @main[.]$isa " '$0 ~ program {here = 1} here && /^    call @winconv/ {print NR; exit}' m.loops)
[ "$sanitized" != 0 ] || expect 0 '^$' "$build/dcc" -g -shared -o m.so "$model"
if ! command -v gdb >/dev/null; then
	echo "no gdb: only the files are checked"
elif [ "$sanitized" = 0 ]; then
	printf '%s\n' 'set pagination off' 'set breakpoint pending on' "break '$node'" run backtrace 'kill' >node.gdb
	expect 0 "^#0  $node \(\) at m\.loops:[0-9]+" gdb -q -nx -batch -x node.gdb --args "$build/dcc-run" m.so --random 1
	printf '%s\n' 'set pagination off' 'set breakpoint pending on' "break m.loops:$line" run step backtrace list 'kill' >kernel.gdb
	stopped=(gdb -q -nx -batch -x kernel.gdb --args "$build/dcc-run" m.so --random 1)
	expect 0 '^#0  dynconv\.winconv[.0-9]*avx(2|512) \(\) at m\.loops:' "${stopped[@]}"
	expect 0 '^#1  0x[0-9a-f]+ in /.* \(\) at m\.loops:' "${stopped[@]}"
	expect 0 '^#2  0x[0-9a-f]+ in dynconv\.main\.avx(2|512) \(\) at m\.loops:' "${stopped[@]}"
	expect 0 '^[0-9]+\s+kernel @winconv|^[0-9]+\s+.*(let|parallel for|call|local) ' "${stopped[@]}"
fi

# Three of four samples at least are in kernels, and each node that takes a twentieth of the time has a line.
if ! perf record -q -e cpu-clock -o none.data true 2>/dev/null; then
	echo "debug: perf skipped, it is not there or may not sample"
elif [ "$sanitized" = 0 ]; then
	for form in '' '--call-graph dwarf,65528'; do
		expect 0 '^median' perf record -q -e cpu-clock -F 1000 $form -o "perf$form.data" "$build/dcc-run" m.so --random 1 --bench
	done
	perf report -i perf.data --stdio 2>/dev/null | awk '/ dynconv[.][a-z_]+[0-9.]*avx/ {sum += $1} END {print int(sum)}' >share
	check "samples by kernel: $(cat share) %" [ "$(cat share)" -ge 75 ]
	perf report -i 'perf--call-graph dwarf,65528.data' --stdio --children -g none 2>/dev/null >nodes
	for node in /0/conv/inward/Add /1/conv/inward/Add /0/up/Add /1/down/Add; do
		expect 0 "\\[\\.\\] $node \\(inlined\\)$" cat nodes
	done
fi

echo "debug: $checks checks, $failed failed"
[ $failed = 0 ]
