#!/usr/bin/env bash
# A program of more steps, inputs, outputs and symbols than one function of the object holds: the pieces compute what the
# evaluator does.  Nor does the code of a step grow with the number of symbols that the data gives, as conditions.
# usage: long.sh BUILD
set -u
. "$PWD/tests/expect.bash"
begin "$1"
many=300

params='' results='' returned=''
for ((i = 0; i < many; i++)); do
	params+="%x$i: i64[s$i], %z$i: i64[s$i], "
	results+="y$i: i64[2*s$i], "
	returned+="%o$i, "
done
{
	printf 'dcc-ir 1 stage import\nmodel long\n'
	for ((i = 0; i < many; i++)); do
		printf 'sym s%d in 0..9\nconst @c%d: i64[] = [%d]\n' $i $i $((i * 7))
	done
	printf 'func @main(%s) -> (%s) {\n' "${params%, }" "${results%, }"
	for ((i = 0; i < many; i++)); do
		printf '%%a%d: i64[s%d] = add %%x%d, @c%d\n%%b%d: i64[s%d] = mul %%a%d, %%z%d\n' $i $i $i $i $i $i $i $i
		printf '%%o%d: i64[2*s%d] = concat %%b%d, %%a%d\n' $i $i $i $i
	done
	printf 'return %s\n}\n' "${returned%, }"
} >long.ir

sizes=()
for ((i = 0; i < many; i++)); do sizes+=(-D "s$i=$((i % 10))"); done
mkdir code oracle
expect 0 '' "$build/dcc-run" long.ir --random 1 "${sizes[@]}" --save code
expect 0 '' "$build/dcc-run" long.ir --random 1 "${sizes[@]}" --save oracle --oracle
expect 0 '' diff -r code oracle
[ "$(find code -name 'output_*' | wc -l)" = $many ] || failed=$((failed + 1))

ifs() { # COUNT: of them in a row
	printf 'dcc-ir 1 stage import\nmodel ifs\nsym n in 0..9\nfunc @main(%%c: bool[], %%x0: f32[n]) -> (y: f32[n]) {\n'
	for ((i = 0; i < $1; i++)); do
		printf '%%x%d: f32[n] = if %%c {\n%%a%d: f32[n] = neg %%x%d\nyield %%a%d\n' $((i + 1)) $i $i $i
		printf '} else {\n%%b%d: f32[n] = abs %%x%d\nyield %%b%d\n}\n' $i $i $i
	done
	printf 'return %%x%d\n}\n' "$1"
}
code_lines() { # COUNT: of the LLVM IR
	ifs "$1" >ifs.ir && "$build/dcc" -march=avx2 -emit-llvm -o - ifs.ir | wc -l
}
check "code of a step grows with the symbols" [ "$(code_lines 100)" -lt $((3 * $(code_lines 50))) ]
for threads in 1 3; do
	mkdir "c$threads" "o$threads"
	expect 0 '' "$build/dcc-run" ifs.ir --random $threads -D n=5 --threads $threads --save "c$threads"
	expect 0 '' "$build/dcc-run" ifs.ir --random $threads -D n=5 --save "o$threads" --oracle
	expect 0 '' diff -r "c$threads" "o$threads"
done

echo "long: $checks checks, $failed failed"
[ $failed = 0 ]
