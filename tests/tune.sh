#!/usr/bin/env bash
# label: full
# dcc --tune and --tune-file: what is written, read and refused; objects without a file stay as they are; with one, outputs keep their bits.
# Whether another schedule is faster is not looked at.
# usage: tune.sh BUILD
set -u
. "$PWD/tests/expect.bash"
begin "$1"

cat >net.ir <<'END'
dcc-ir 1 stage import
model net
sym n in 0..
const @w: f32[3, 2] = [1, 2, 3, 4, 5, 6]
func @main(%x: f32[n, 3], %z: f32[n, 2]) -> (y: f32[n, 2], p: f32[n, n]) {
  %0: f32[n, 2] = linear %x, @w, _
  %1: f32[n, 2] = tanh %0
  %2: f32[2, n] = transpose %z {perm=[1, 0]}
  %3: f32[n, n] = matmul %1, %2
  return %1, %3
}
END
sed 's/%0: f32\[n, 2\] = linear %x, @w, _/%t: f32[2, n] = transpose %z {perm=[1, 0]}\n%u: f32[n, n] = matmul %z, %t\n%0: f32[n, 2] = matmul %u, %z/' net.ir >products.ir

# Measuring: a file that reads back, and one line that says what came of it.  Products of two activations have few schedules.
expect 1 'nothing bounds n: -D n=N or -D n=LO..HI does' "$dcc" --tune=t.txt products.ir
check 'a file was left' test ! -e t.txt
expect 0 '^avx(2|512): [0-9]+ shapes, up to 4 schedules each: (the usual ones are the best|[0-9]+ won, [0-9]+ of them again; [0-9.]+ ms, [0-9.]+ with all that won(: no faster, so none is kept)?)$' \
	"$dcc" --tune=t.txt -D n=1..40 products.ir
expect 0 '^dcc-tuning 1$' head -n 1 t.txt
expect 0 '^end$' tail -n 1 t.txt
expect 0 '' "$dcc" --tune-file=t.txt -o m.o products.ir
expect 0 'shapes, up to 24 schedules each' "$dcc" --tune=n.txt -D n=20 net.ir
expect 0 '' "$dcc" --tune-file=n.txt --check net.ir
rm -f n.txt
expect 0 '^dcc-tuning 1$' "$dcc" --tune=- -D n=4 products.ir
expect 1 "^$" bash -c "ls -A | grep -v -x -e net.ir -e products.ir -e t.txt -e 'm\.[oh]'" # nothing else was left
expect 0 '^(avx512|this CPU lacks)' bash -c "'$dcc' --tune=t.txt -march=avx512,avx2 -D n=4 products.ir 2>&1 | sed 's/.*this CPU/this CPU/'"
expect 1 "node 'snake' .*has no function for this operator" "$dcc" --tune=t.txt -D batch=1 -D seq=2 "$root/examples/custom/custom.onnx" \
	'--custom-op=com.example:Snake=example_snake(%x: f32[b, t, c], alpha: f32[] = 1) -> (f32[b, t, c])' \
	'--custom-op=com.example:Best=example_best(%x: f32[b, c, t]) -> (f32[b, c], i64[b, c])'
expect 1 'is loop IR' bash -c "'$dcc' --emit=loops -o l.ir products.ir && '$dcc' --tune=t.txt l.ir"
expect 1 'says nothing about loop IR' "$dcc" --tune-file=t.txt l.ir
expect 1 'says nothing about --tune' "$dcc" --tune=t.txt -o m.o products.ir
expect 1 'says nothing about --tune' "$dcc" --tune=t.txt --tune-file=t.txt products.ir
expect 1 'says nothing about --emit=ir' "$dcc" --emit=ir --tune-file=t.txt products.ir
expect 1 'exclude each other' "$dcc" --tune=t.txt -S products.ir
expect 1 'would overwrite the input' "$dcc" --tune=products.ir -D n=4 products.ir
expect 1 'cannot write' "$dcc" --tune=none/t.txt -D n=4 products.ir

# Two linears by blocks of rows are two nodes: the second one's row is that of both, whether it leaves blocks or not.
sed '1,/^; run/d; /^---/,$d; s/sym k in 0..159/sym k in 0..8/' "$root/tests/golden/chain.ir" >chain.ir
expect 0 '^dcc-tuning 1$' "$dcc" --tune=- -D n=1..200 chain.ir
printf 'dcc-tuning 1\ndcc 0.1.0\ncpu another machine\navx2 linear_packed f32 rows=256 depth=512 columns=64 : steps=1024 rows=256 repack=1 : 20 10\nend\n' >c.txt
expect 0 '^  1 of 1 shapes were of use, for 2 of 6 nodes$' "$dcc" -march=avx2 -D n=1..200 --check --report=- --tune-file=c.txt chain.ir
rm -f chain.ir c.txt

# A file of no use changes the hash alone; a line of use changes code, and no bit of the outputs.
head='dcc-tuning 1\ndcc 0.1.0\ncpu another machine\n'
line='linear_packed f32 rows=8 depth=3 columns=2 : steps=64 rows=128 repack=1 : 20 10'
file() { printf "$head$1end\n" >f.txt; }
expect 0 '' "$dcc" -o a.o net.ir
file ''
expect 0 '' "$dcc" -o b.o --tune-file=f.txt net.ir
expect 0 '^tuning  of a file with hash [0-9a-f]{16}$' "$dcc" --inspect b.o
expect 1 '' bash -c "'$dcc' --inspect a.o | grep tuning"
hash=$("$dcc" --inspect b.o | sed -n 's/^tuning.* //p')
expect 0 "with hash $hash" head -n 12 b.h
expect 1 '' grep -q 'tune-file' a.h
check 'a file without lines changes more than its hash' test "$(cmp -l a.o b.o | wc -l)" -le 20
check 'the size differs' test "$(stat -c %s a.o)" = "$(stat -c %s b.o)"
# Of targets with different numbers of steps each runs its own.
for one in avx2 avx512; do
	file "$one $line\n"
	expect 0 '' "$dcc" -o c.o --tune-file=f.txt net.ir
	for isa in avx2 avx512; do
		"$build/dcc-run" a.o --isa $isa --random 1 -D n=8 --save plain.$isa >out 2>&1 || { grep -q 'lacks' out && continue; }
		expect 0 '' "$build/dcc-run" c.o --isa $isa --random 1 -D n=8 --save $one.$isa
		expect 0 '' cmp plain.$isa/output_0.pb $one.$isa/output_0.pb
		expect 0 steps "$build/dcc-run" c.o --isa $isa --random 1 -D n=8 --profile --seconds 0.01
	done
done
file "avx2 $line\navx512 $line\navx2 winconv f32 rows=8 depth=3 columns=2 : tokens=512 : 20 10\n"
expect 0 '' "$dcc" -MD -o c.o --tune-file=f.txt --report=r.txt net.ir
expect 0 ' f\.txt$' cat c.d
expect 0 "f.txt, hash [0-9a-f]{16}, measured by dcc 0.1.0 on another machine" cat r.txt
expect 0 '^  2 of 3 shapes were of use, for 2 of 4 nodes$' cat r.txt
expect 0 '' "$dcc" --check --report=r.json --tune-file=f.txt net.ir
expect 0 '"shapes": 3, "used": 2, "nodes": 2}' cat r.json
check 'the hashes are one' test "$("$dcc" --inspect c.o | sed -n 's/^tuning.* //p')" != "$hash"
expect 1 '' bash -c "diff <('$dcc' --emit=loops -o - net.ir) <('$dcc' --emit=loops --tune-file=f.txt -o - net.ir)"
for n in 0 1 8 30; do
	expect 0 '' "$run" a.o -D n=$n --random 1 --save a
	expect 0 '' "$run" c.o -D n=$n --random 1 --save c
	expect 0 '' "$run" net.ir --tune-file=f.txt -D n=$n --random 1 --save d
	check "n = $n: the outputs differ" diff -r a c
	check "n = $n: dcc-run compiles another model" diff -r a d
done
expect 1 'is compiled: --tune-file belongs to' "$run" a.o --tune-file=f.txt --random 1

# What is no tuning file.
# bad MESSAGE TEXT
bad() {
	file "$2"
	expect 1 "^f\.txt:4: error: $1" "$dcc" --check --tune-file=f.txt net.ir
}
bad "there is no target 'sse'" "sse $line\n"
bad "'relu' is no operator with several schedules" 'avx2 relu f32 rows=8 depth=3 columns=2 : 20 10\n'
bad "'none' is no operator" 'avx2 none f32 rows=8 depth=3 columns=2 : 20 10\n'
bad "there is no element type 'f33'" "avx2 ${line/f32/f33}\n"
bad "expected 'depth=...', got 'dept=3'" "avx2 ${line/depth/dept}\n"
bad "rows wants a number from 0 to [0-9]+, got '-8'" "avx2 ${line/rows=8/rows=-8}\n"
bad "rows wants a number from 0 to [0-9]+, got '9{30}'" "avx2 ${line/rows=8/rows=999999999999999999999999999999}\n"
bad 'steps=96 is none of the values' "avx2 ${line/steps=64/steps=96}\n"
bad 'steps=4294967360 is none of the values' "avx2 ${line/steps=64/steps=4294967360}\n"
bad "expected 'repack=...', got ':'" "avx2 ${line/ repack=1/}\n"
bad "a time in ns wants a number from 1 " "avx2 ${line/20 10/0 10}\n"
bad 'the time is missing' "avx2 ${line/20 10/20}\n"
bad "nothing more is expected, got 'x'" "avx2 $line x\n"
bad 'the target is missing' '\n'
file "avx2 $line\navx2 $line\n"
expect 1 '^f\.txt:5: error: the shape has a line already' "$dcc" --check --tune-file=f.txt net.ir
{ printf '%b' "$head"; for ((i = 0; i < 1001; i++)); do echo "avx2 ${line/rows=8/rows=$i}"; done; echo end; } >f.txt
expect 1 'more than 1000 shapes' "$dcc" --check --tune-file=f.txt net.ir
printf '%b' "${head}avx2 linear" >f.txt
expect 1 '^f\.txt:3: error: the file is cut off' "$dcc" --check --tune-file=f.txt net.ir
printf '%b' "${head}end\nmore\n" >f.txt
expect 1 "something follows the line 'end'" "$dcc" --check --tune-file=f.txt net.ir
printf 'dcc-tuning 2\nend\n' >f.txt
expect 1 "no tuning file of this version" "$dcc" --check --tune-file=f.txt net.ir
printf 'a\0b\n' >f.txt
expect 1 'holds a zero byte' "$dcc" --check --tune-file=f.txt net.ir
head -c 2000000 /dev/zero | tr '\0' 'x' >f.txt
expect 1 'is too large' "$dcc" --check --tune-file=f.txt net.ir
expect 1 'none.txt: error: cannot be read' "$dcc" --check --tune-file=none.txt net.ir
printf 'dcc-tuning 1\ndcc 1\ncpu \033[1mx\nend\n' >f.txt
expect 0 '' "$dcc" --check --report=r.txt --tune-file=f.txt net.ir
expect 1 '' grep -q $'\033' r.txt

echo "tune: $checks checks, $failed failed"
[ $failed = 0 ]
