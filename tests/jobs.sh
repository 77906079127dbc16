#!/usr/bin/env bash
# label: full
# Objects that several threads have made: the same bytes for every number of threads, well-formed, and as a linker and readelf want them.
# usage: jobs.sh BUILD
set -u
. "$PWD/tests/expect.bash"
begin "$1"

cp "$root/examples/dynconv.onnx" .
cp "$root/tests/models/bert.ts/model.onnx" bert.onnx
cat >loop.ir <<'END'
dcc-ir 1 stage import
model loop
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

# same MODEL OPTIONS...: leaves m.o
same() {
	local model=$1 jobs
	shift
	for jobs in 1 2 3 8; do
		"$dcc" "$@" --jobs=$jobs -o m.o "$model" || failed=$((failed + 1))
		[ $jobs = 1 ] && cp m.o one.o
		check "$model $*: --jobs=$jobs gives another object" cmp one.o m.o
	done
	"$dcc" "$@" -o m.o "$model"
	check "$model $*: without --jobs the object is another" cmp one.o m.o
	expect 0 '^$' sh -c 'readelf -aW m.o 2>&1 >/dev/null; readelf --debug-dump=info,line,frames m.o 2>&1 >/dev/null'
}

command -v readelf >/dev/null || { echo "jobs: skipped: no readelf (binutils)"; exit 77; }
for model in dynconv.onnx bert.onnx loop.ir; do
	same $model -O0
	same $model -g -O0
	same $model -g -march=avx2
	same $model
	expect 1 '^$' sh -c "readelf -rW m.o | grep -E 'R_X86_64_P(LT|C)32 .* [a-z]+\.[a-z0-9_.]+ - 4'" # calls from part to part are no linker's work
	expect 0 '' "$dcc" -shared --jobs=3 -o m.so $model
	args=(--random 1)
	[ $model != loop.ir ] || args+=(-D n=2)
	expect 0 '' diff <("$build/dcc-run" m.o "${args[@]}" 2>&1) <("$build/dcc-run" m.so "${args[@]}" 2>&1)
	expect 0 '' diff <("$build/dcc-run" m.o "${args[@]}" 2>&1) <("$build/dcc-run" $model "${args[@]}" 2>&1)
done

# Fewer CPUs than threads, and one.
expect 0 'threads 1$' taskset -c "$(taskset -cp $$ | sed 's/.*: *\([0-9]*\).*/\1/')" "$dcc" -O0 --time-passes -o m.o dynconv.onnx

echo "jobs: $checks checks, $failed failed"
[ $failed = 0 ]
