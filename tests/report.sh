#!/usr/bin/env bash
# label: full
# dcc --report: what was fused, what nearly was, memory, sizes and kernels, as text and as JSON.
# usage: report.sh BUILD
set -u
build=$(cd "$1" && pwd) || exit 1
model=$PWD/examples/dynconv.onnx
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
failed=0 checks=0

# expect TEXT FILE: FILE holds a line that the regular expression matches
expect() {
	checks=$((checks + 1))
	grep -qE -- "$1" "$2" || {
		failed=$((failed + 1))
		echo "no line '$1' in $2:"
		head -40 "$2"
	}
}

# run STATUS command...
run() {
	local status=$1 got
	shift
	"$@" >out 2>&1
	got=$?
	checks=$((checks + 1))
	[ $got = "$status" ] || {
		failed=$((failed + 1))
		echo "status $got, expected $status: $*"
		cat out
	}
}

# A model with an attention, a near miss of one, and two symbols; every node has a name.
cat >near.ir <<'END'
dcc-ir 1 stage import
model near #0000000000000000
sym b in 1..4
sym n in 1..100
const @w: f32[8, 8] = hex "0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f0000803f"
func @main(%x: f32[b, n, 8]) -> (y: f32[b, n, 8], z: f32[b, n, 8], p: f32[b, n, n]) {
  %q: f32[b, n, 8] = matmul %x, @w loc "/q \"quoted\"/MatMul" MatMul-17
  %t: f32[b, 8, n] = transpose %q {perm=[0, 2, 1]} loc "/Transpose" Transpose-17
  %s: f32[b, n, n] = matmul %q, %t loc "/scores/MatMul" MatMul-17
  %p: f32[b, n, n] = softmax %s {axis=2} loc "/Softmax" Softmax-17
  %y: f32[b, n, 8] = matmul %p, %q loc "/values/MatMul" MatMul-17
  %s2: f32[b, n, n] = matmul %x, %t loc "/scores2/MatMul" MatMul-17
  %p2: f32[b, n, n] = softmax %s2 {axis=2} loc "/Softmax2" Softmax-17
  %z: f32[b, n, 8] = matmul %p2, %q loc "/values2/MatMul" MatMul-17
  %r: f32[b, n, 8] = relu %z loc "/Relu" Relu-17
  return %y, %r, %p
}
END
run 0 "$build/dcc" --report=r.txt -o near.o near.ir
expect '^matched  attention  /values2/MatMul \+ /scores2/MatMul \+ /Softmax2$' r.txt
expect '^missed   attention  /values/MatMul: the probabilities are used elsewhere too$' r.txt
expect '^symbol n in 1\.\.100$' r.txt
expect '^  weights    [1-9][0-9]* bytes$' r.txt
expect '^  code       [1-9][0-9]* bytes$' r.txt
expect '^  workspace  .*threads.* = [1-9][0-9]* bytes$' r.txt
expect '^memory avx2: ' r.txt
expect '^ +[0-9]+ \.\. [0-9]+ +packed operand of ' r.txt
expect '^kernels avx512: ' r.txt
expect '^ +1 +[0-9.]+  attention.avx2 .*b.*n' r.txt
expect 'Numbers hold at the symbols. upper bounds' r.txt
expect 'assumed; -: a symbol has no bound' r.txt

# The sum joins one product of two: it is not missed by the other.
cat >sum.ir <<'END'
dcc-ir 1 stage import
model sum
const @w: f32[2, 2] = [1, 2, 3, 4]
func @main(%x: f32[4, 2], %y: f32[4, 2]) -> (a: f32[4, 2], r: f32[4, 2]) {
  %a: f32[4, 2] = matmul %x, @w loc "a" MatMul-17
  %b: f32[4, 2] = matmul %y, @w loc "b" MatMul-17
  %r: f32[4, 2] = add %a, %b loc "r" Add-17
  return %a, %r
}
END
run 0 "$build/dcc" --report=sum.txt -o sum.o sum.ir
expect '^matched  epilogue   b . r$' sum.txt
run 1 grep '^missed.* r:' sum.txt

# JSON: what the tables say, checked by their meaning.
run 0 "$build/dcc" --report=r.json -o near.o near.ir
if command -v python3 >/dev/null; then
	run 0 python3 -m json.tool r.json
	cat >check.py <<'END'
import json
r = json.load(open("r.json"))
assert r["model"] == "near" and r["symbols"][1] == {"name": "n", "lo": 1, "hi": 100}, r["symbols"]
assert {"pattern": "attention", "nodes": ["/values2/MatMul", "/scores2/MatMul", "/Softmax2"]} in r["fused"], r["fused"]
assert any(m["node"] == "/values/MatMul" and "elsewhere" in m["why"] for m in r["missed"]), r["missed"]
s = r["sizes"]
assert s["weights_bytes"] > 0 and s["code_bytes"] > 1000 and s["workspace_bytes"] > 4 * 4 * 100 * 8, s
kernels = {(k["target"], k["kernel"].split(".")[0]): k for k in r["kernels"]}
for target in "avx2", "avx512":
    linear, attention = kernels[target, "linear"], kernels[target, "attention"]
    assert linear["flop"] == 2 * 400 * 8 * 8 and linear["nodes"] == [["/q \"quoted\"/MatMul"]], linear
    assert attention["flop"] == 4 * 100 * 100 * (2 * 16 + 5) + 400 * 8, attention
    assert kernels[target, "softmax"]["bytes"] == 2 * 4 * 4 * 100 * 100, kernels
    assert kernels[target, "ewise"]["flop"] == 400 * 8, kernels
    assert attention["estimate_ms"] >= attention["flop"] / 100e9 * 1e3
live = {}
for m in r["memory"]:  # two values in one place never live at the same time
    for step in range(m["first_step"], m["last_step"] + 1):
        key = m["target"], m["offset"], step
        assert key not in live, (key, live[key], m["value"])
        live[key] = m["value"]
END
	run 0 python3 check.py
	run 0 "$build/dcc" --report=early.json --emit=ir --stop-after=tidy -o early.ir near.ir
	run 0 python3 -m json.tool early.json
	expect '"attention"' early.json
else
	echo "no python3: JSON is not checked"
fi

# The real part of a Fourier transform along two axes, and one whose inner transform is used elsewhere too.
cat >waves.ir <<'END'
dcc-ir 1 stage import
model waves #0000000000000000
func @main(%x: f32[4, 6]) -> (y: f32[1, 4, 6], z: f32[1, 4, 6], w: f32[2, 4, 6]) {
  %0: f32[2, 4, 6] = dft %x, _, _ {axis=1} loc "/first" DFT-20
  %1: f32[1, 4, 6] = slice %0 {starts=[0, 0, 0]}
  %2: f32[1, 4, 6] = slice %0 {starts=[1, 0, 0]}
  %3: f32[4, 6] = reshape %1
  %4: f32[4, 6] = reshape %2
  %y: f32[1, 4, 6] = dft %3, %4, _ loc "/second" DFT-20
  %5: f32[2, 4, 6] = dft %x, _, _ {axis=1, inverse=1}
  %6: f32[1, 4, 6] = slice %5 {starts=[0, 0, 0]}
  %7: f32[1, 4, 6] = slice %5 {starts=[1, 0, 0]}
  %8: f32[4, 6] = reshape %6
  %9: f32[4, 6] = reshape %7
  %z: f32[1, 4, 6] = dft %8, %9, _ loc "/third" DFT-20
  return %y, %z, %5
}
END
run 0 "$build/dcc" --report=w.txt -o waves.o waves.ir
expect '^matched  dft +/second \+ /first$' w.txt
expect '^missed   dft +/third: the first transform is used elsewhere too$' w.txt

# Equal runs write equal reports; loop IR that is read again has the same kernels; a real model.
cp r.json first.json
run 0 "$build/dcc" --report=r.json -o near.o near.ir
run 0 cmp r.json first.json
run 0 "$build/dcc" --emit=loops -o near.loops.ir near.ir
run 0 "$build/dcc" --report=again.txt -o again.o near.loops.ir
run 0 diff <(sed -n '/^kernels/,$p' r.txt) <(sed -n '/^kernels/,$p' again.txt)
run 0 cmp near.o again.o
run 0 "$build/dcc" --report=d.txt -o d.o "$model"
expect '^matched  winconv ' d.txt
run 0 "$build/dcc" --report=- -o d.o "$model"
expect '^ +[0-9]+ +- +winconv' out # batch and seq have no bound
expect '^matched  winconv ' out
run 1 "$build/dcc" --report=no/such/folder -o d.o "$model"

echo "report: $checks checks, $failed failed"
[ $failed = 0 ]
