#!/usr/bin/env bash
# dcc-run: every kind of file, every mode, and what it says when something is wrong.
# usage: dcc-run.sh BUILD
set -u
. "$(dirname "$0")/expect.bash"
build=$1
run=$build/dcc-run
model=examples/dynconv.onnx
input=examples/dynconv.data/input.npy
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

mkdir "$tmp/model" "$tmp/empty"
expect 0 'usage: dcc-run' "$run" --help
expect 0 '^dcc-run [0-9]' "$run" --version

"$build/dcc" -o "$tmp/m.o" $model || failed=$((failed + 1))
object=$tmp/m.o

# A data set recorded with the oracle; machine code and the interpreter must agree.  The model is compiled once where the
# way from the file does not matter.
expect 0 '^$' "$run" $model --oracle --random 1 -D batch=2 -D seq=9 --save "$tmp/set"
expect 0 'PASS: 1 data set, avx2' "$run" $model --isa=avx2 --check "$tmp/set"
expect 0 'output .y. f32\[2, 9, 48\]: error .*: ok' "$run" "$object" --check "$tmp/set" --threads 3
expect 0 'PASS' "$run" "$object" --check "$tmp/set" --rtol 1e-3 --atol 1e-4
expect 0 'PASS' "$run" $model --check "$tmp/set" --interp --isa=avx2
expect 1 'FAIL: 1 data set' "$run" "$object" --check "$tmp/set" --tol 0
expect 0 'median [0-9.]+ ms' "$run" "$object" --random 3 --bench --seconds 0.05
expect 0 '^y: f32\[2, 23, 48\]  min' "$run" "$object" --inputs $input

# A wrong answer, several sets, and the layout of ONNX's tests.
expect 0 '^$' "$run" "$object" --random 2 -D batch=2 -D seq=9 --save "$tmp/other"
cp "$tmp/set/input_0.pb" "$tmp/other"
expect 1 'WRONG, worst at \[' "$run" "$object" --check "$tmp/other"
mv "$tmp/set" "$tmp/model/test_data_set_0"
mv "$tmp/other" "$tmp/model/test_data_set_1"
expect 1 'FAIL: 2 data sets' "$run" "$object" --check "$tmp/model"

# Objects and shared objects, with weights inside and beside.
expect 0 'PASS' "$run" "$tmp/m.o" --check "$tmp/model/test_data_set_0"
expect 0 'PASS: 1 data set, avx2' "$run" "$tmp/m.o" --check "$tmp/model/test_data_set_0" --isa=avx2
cc -shared -o "$tmp/m.so" "$tmp/m.o" || failed=$((failed + 1))
expect 0 'PASS' "$run" "$tmp/m.so" --check "$tmp/model/test_data_set_0" --threads 2
expect 0 '^y: f32\[3, 8, 48\]' "$run" "$tmp/m.so" --random 1 -D batch=3
"$build/dcc" --weights="$tmp/w.bin" -o "$tmp/w.o" $model || failed=$((failed + 1))
expect 0 'PASS' "$run" "$tmp/w.o" --weights "$tmp/w.bin" --check "$tmp/model/test_data_set_0"
expect 1 'weights are in a side file: --weights FILE names it' "$run" "$tmp/w.o" --check "$tmp/model/test_data_set_0"
head -c -1 "$tmp/w.bin" >"$tmp/short.bin"
expect 1 'the side file has .* \(weights missing or of another model\)$' "$run" "$tmp/w.o" --weights "$tmp/short.bin" --random 1

# Weights of 3 GB (all but the first are a hole in the file) stay in the file.
cp "$tmp/m.o" "$tmp/big.o"
number=$(readelf -SW "$tmp/big.o" | sed -n 's/^ *\[ *\([0-9]*\)\] \.lrodata\.dcc .*/\1/p')
header=$(($(od -An -t u8 -j 40 -N 8 "$tmp/big.o") + 64 * number))
begin=$(od -An -t u8 -j $((header + 24)) -N 8 "$tmp/big.o")
truncate -s $((begin + (3 << 30))) "$tmp/big.o"
printf '\0\0\0\xc0\0\0\0\0' | dd of="$tmp/big.o" bs=1 seek=$((header + 32)) conv=notrunc status=none
expect 0 PASS "$run" "$tmp/big.o" --check "$tmp/model/test_data_set_0"

# Weights of another model of the same graph fit the same code; those of another graph do not.
scale() { # NAME WEIGHTS
	printf 'dcc-ir 1 stage import\nmodel m\nsym n in 1..64\nconst @w: f32[2, 3] = [%s]\nconst @s: f32[] = [%s]\n' "$2" "${3-0.5}"
	printf 'func @main(%%x: f32[n, 2]) -> (y: f32[n, 3]) {\n  %%0: f32[n, 3] = matmul %%x, @w\n  %%y: f32[n, 3] = mul %%0, @s\n  return %%y\n}\n'
} >"$tmp/$1.ir"
scale a '1, 2, 3, 4, 5, 6'
scale b '6, 5, 4, 3, 2, 1'
scale c '1, 2, 3, 4, 5, 6' 0.25
for name in a b c; do
	expect 0 '^$' "$build/dcc" --weights="$tmp/$name.w" -o "$tmp/$name.o" "$tmp/$name.ir"
done
for name in b c; do
	expect 0 '^$' "$run" "$tmp/$name.o" --weights "$tmp/$name.w" --random 1 --save "$tmp/$name"
	expect 0 PASS "$run" "$tmp/a.o" --weights "$tmp/$name.w" --check "$tmp/$name" --tol 0
done
expect 1 FAIL "$run" "$tmp/a.o" --weights "$tmp/a.w" --check "$tmp/b"
expect 1 'another model' "$run" "$tmp/a.o" --weights "$tmp/w.bin" --check "$tmp/b"

# The line protocol.
serve() {
	printf '%s\n' "$@" quit | "$run" "$object" --inputs "$tmp/model/test_data_set_0" --threads 2 --protocol
}
expect 0 '^ready$' serve
expect 0 '^[1-9][0-9]* [0-9]+ [0-9]+$' serve 'run 0.01'
expect 0 '^saved 1$' serve 'run 0.01' "save $tmp/empty"
expect 0 '^rss_kb=[1-9][0-9]* load_s=[0-9.]+ compile_s=[0-9.]+ version=' serve
cp "$tmp/model/test_data_set_0/input_0.pb" "$tmp/empty"
expect 0 'PASS' "$run" $model --check "$tmp/empty" --oracle
expect 1 '^error .*no-such' "$run" no-such.onnx --inputs "$tmp/empty" --protocol

# Errors.
printf 'not a tensor' >"$tmp/bad.pb"
printf 'not an object' >"$tmp/bad.o"
expect 1 'no model .dcc-run --help' "$run"
expect 1 'no-such.onnx' "$run" no-such.onnx --random 1
expect 1 'holds no model' "$run" "$build/CMakeFiles/dcc-run.dir/tools/dcc-run.c.o" --random 1
expect 1 'not a 64-bit ELF' "$run" "$tmp/bad.o" --random 1
expect 1 'not a tensor' "$run" "$object" --inputs "$tmp/bad.pb"
expect 1 '0 input tensors given, the model has 1 \(x\); --random 1 makes them up' "$run" "$object"
cat >"$tmp/tenth.ir" <<'END'
dcc-ir 1 stage import
model tenth
sym N in 0..99
sym half in 0..49 = N/2
const @i: i64[1] = [9]
func @main(%x: f32[N]) -> (y: f32[1]) {
  %0: f32[1] = gather %x, @i {axis=0}
  return %0
}
END
expect 1 'index 9 out of range .*; the inputs were made up for N = 8: -D chooses other sizes$' "$run" "$tmp/tenth.ir" --random 1
expect 1 'index 9 out of range \(index in a tensor out of range\)$' "$run" "$tmp/tenth.ir" --random 1 -D N=9
expect 0 '^y: f32' "$run" "$tmp/tenth.ir" --random 1 -D N=10
expect 0 '^symbol  half in 0\.\.49 = N/2$' "$build/dcc" --inspect "$tmp/tenth.ir"
expect 0 '^$' "$build/dcc" -o "$tmp/tenth.o" "$tmp/tenth.ir"
expect 0 '^symbol  half in 0\.\.49: follows from others$' "$build/dcc" --inspect "$tmp/tenth.o"
expect 1 'tenth.o: error: -D half: it follows from others; there are: N$' "$run" "$tmp/tenth.o" --random 1 -D half=3
expect 0 '^symbol  i in .*: counts iterations of the node in line 12, at most T - 1$' "$build/dcc" --inspect tests/control/nested.ir
expect 0 '^symbol  n in .*: the node in line 16 gives it, at most 6$' "$build/dcc" --inspect tests/control/nested.ir
expect 0 '^$' "$build/dcc" -o "$tmp/nested.o" tests/control/nested.ir
expect 0 '^symbol  n in .*: the run gives it$' "$build/dcc" --inspect "$tmp/nested.o"
expect 1 'nested.o: error: -D n: the run itself gives it; there are: T$' "$run" "$tmp/nested.o" --random 1 -D n=2
targets=$("$build/dcc" -v | sed -n 's/ ([^)]*)//g; s/^targets: //p')
expect 1 "there is no .sse9.; there are: $targets" "$run" "$object" --random 1 --isa=sse9
expect 1 'machine code' "$run" "$tmp/m.o" --random 1 --oracle
expect 1 'exclude each other' "$run" $model --oracle --interp
expect 1 'inputs come from one of' "$run" "$object" --random 1 --check "$tmp/model"
expect 1 'symbol of this name; there are: batch, seq$' "$run" "$object" --random 1 -D length=4
expect 1 'a number from 1 to' "$run" "$object" --random 1 --threads 0
# Passes leave no pad without axes, but a text of a later stage may hold one.
printf 'dcc-ir 1 stage tidy\nmodel p\nfunc @main(%%x: f32[]) -> (y: f32[]) {\n%%0: f32[] = pad %%x {mode=edge}\nreturn %%0\n}\n' >"$tmp/scalar.ir"
expect 0 '^y: f32\[\]  min 0.133' "$run" "$tmp/scalar.ir" --random 1
expect 1 '-D wants SYM=N' "$run" "$object" --random 1 -D seq
expect 1 'cannot be read' "$run" "$object" --check "$tmp/nowhere"
expect 1 'has no output_0.pb' "$run" "$object" --check "$tmp"
expect 1 "$tmp/nowhere/set: error: cannot be made: No such" "$run" "$object" --random 1 --save "$tmp/nowhere/set"
expect 1 'bad.o: error: cannot be made: File exists' "$run" "$object" --random 1 --save "$tmp/bad.o"
mkdir "$tmp/model/output_0.pb" # a folder where a file should be
expect 1 'output_0.pb: error: cannot be written' "$run" "$object" --random 1 --save "$tmp/model"
printf 'extern int dcc_run(void), odd(void); int (*const t_model[])(void) = {dcc_run, odd};' >"$tmp/odd.c"
cc -c -o "$tmp/odd.o" "$tmp/odd.c"
expect 1 "calls the function 'odd', which is not loaded" "$run" "$tmp/odd.o" --random 1

# Without elements, whatever the other sizes: nobody goes through 2^47 rows of nothing.
cat >"$tmp/nothing.ir" <<'END'
dcc-ir 1 stage tidy
model nothing
sym a in 0..
sym b in 0..
sym c in 0..
func @main(%x: f32[a, b, c], %z: f32[a, c, c]) -> (s: f32[a, b, c], n: f32[a, b, c], u: f32[a, b, c], p: f32[a, b, c], all: f32[]) {
  %0: f32[a, b, c] = softmax %x {axis=2}
  %1: f32[a, b, c] = norm %x, _, _ {axis=1}
  %2: f32[a, b, c] = cumsum %x {axis=2}
  %3: f32[a, b, c] = matmul %x, %z
  %4: f32[] = sum %x {axes=[0, 1, 2]}
  return %0, %1, %2, %3, %4
}
END
expect 0 '^all: f32\[\]  min 0 ' timeout 60 "$run" "$tmp/nothing.ir" --random 1 -D a=65536 -D b=2147483647 -D c=0

echo "dcc-run: $checks checks, $failed failed"
[ $failed = 0 ]
