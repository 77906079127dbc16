#!/usr/bin/env bash
# Habits of compilers in the options of both commands, and that help, completion and man pages name the same ones.
# usage: options.sh BUILD
set -u
. "$PWD/tests/expect.bash"
begin "$1"

# same WHAT A B: two files or texts are equal
same() {
	checks=$((checks + 1))
	cmp -s "$2" "$3" || { failed=$((failed + 1)) && printf 'differ: %s\n' "$1" && diff "$2" "$3" | head -9; }
}

cat >m.ir <<'END'
dcc-ir 1 stage import
model m
sym N in 0..100
const @w: f32[4] = [1, 2, 3, 4]
func @main(%x: f32[N, 4]) -> (y: f32[N, 4]) {
  %0: f32[N, 4] = add %x, @w
  %1: f32[N, 4] = exp %0
  return %1
}
END
"$dcc" -o want.o m.ir || exit 1

# ---- the table: help, completion and man page

for tool in dcc dcc-run; do
	"$build/$tool" --help | sed -n 's/^  \(-[-a-zA-Z]*\).*/\1/p' | sort >help
	sed -n 's/^\.It //p' "$root/man/$tool.1" | tr ',' '\n' | sed -n 's/^ *Fl \([-a-zA-Z]*\).*/-\1/p' | sort -u >man
	same "$tool: options in the help and in the man page" help man
	(
		. "$build/completions/$tool"
		COMP_WORDS=("$tool" -) COMP_CWORD=1
		"$(complete -p "$tool" | sed 's/.*-F \([^ ]*\).*/\1/')"
		printf '%s\n' "${COMPREPLY[@]}" | sort
	) >completion
	same "$tool: options in the help and in the completion" help completion
done
complete_dcc() { # WORDS...: what completes the last one
	COMP_WORDS=(dcc "$@") COMP_CWORD=$# COMPREPLY=()
	. "$build/completions/dcc"
	"$(complete -p dcc | sed 's/.*-F \([^ ]*\).*/\1/')"
	echo "${COMPREPLY[*]}"
}
expect 0 '^--emit$' complete_dcc --em
expect 0 '^ir loops dot model-explorer$' complete_dcc --emit =
expect 0 '^loops$' complete_dcc --emit = lo
targets=$("$dcc" -v | sed -n 's/ ([^)]*)//g; s/^targets: //p')
expect 0 "^$targets native$" complete_dcc -march = ''
expect 0 '^canon$' complete_dcc --stop-after can

# ---- forms

for form in '-ot.o' '-o t.o'; do
	# shellcheck disable=SC2086
	"$dcc" $form m.ir
	same "dcc $form" t.o want.o
	rm -f t.*
done
"$dcc" -o - m.ir >t.o
same 'standard output' t.o want.o
"$dcc" -o - m.ir | cat >t.o
same 'a pipe' t.o want.o
"$dcc" --name m - <m.ir >t.o
same 'standard input' t.o want.o
# shellcheck disable=SC2002
cat m.ir | "$dcc" -name=m -o t.o -
same 'standard input from a pipe' t.o want.o
echo "-D 'N=1..9' -o \"t 1.o\" --emit ir" >args
"$dcc" @args m.ir
expect 0 'sym N in 1..9' cat 't 1.o'
echo '@args -march=avx2' >outer
expect 0 '' "$dcc" @outer m.ir
echo '@loop' >loop
expect 1 'nested too deeply' "$dcc" @loop m.ir
expect 1 "more than one input: '@none' and 'm.ir'" "$dcc" @none m.ir
cp m.ir @args # a file of that very name is a file
expect 1 "more than one input: '@args' and 'm.ir'" "$dcc" @args m.ir
cp m.ir ./-x.ir
expect 0 '' "$dcc" -o t.o -- -x.ir
expect 0 'dcc 0.*: m.ir for avx512, avx2' "$dcc" -v -march=avx2 -march avx512 -o t.o m.ir
expect 0 'targets: avx2 .x86-64-v3. .*avx512 .x86-64-v4.' "$dcc" -v
expect 0 '^LLVM 19.*, ABI [0-9]+$' "$dcc" --version
expect 0 '^dcc-run .*commit' "$run" --version
expect 0 '^y: ' "$run" --random=1 -DN=2 m.ir
expect 0 '^y: ' "$run" -D N=2 --random 1 -- m.ir

# ---- the best target first, whatever the order

"$dcc" -march=avx512 -march=avx2 -o two.o m.ir
for order in '-march=avx2 -march=avx512' '-march=avx2,avx512'; do
	# shellcheck disable=SC2086
	"$dcc" $order -o t.o m.ir
	same "dcc $order" t.o two.o
done
same 'dcc -march=avx512 -march=avx2' two.o want.o # without products of bytes there is no use for avx512vnni
"$dcc" "-march=${targets// /,}" -o all.o m.ir
"$dcc" "-march=$(tr ' ' '\n' <<<"$targets" | tac | paste -sd ,)" -o t.o m.ir
same 'all targets in another order' t.o all.o
expect 1 '' cmp -s all.o want.o

# ---- -O0: other code, the same bits, and side files that fit code of either level

for level in 0 2; do
	expect 0 '' "$dcc" -O$level -o o$level.o "$root/examples/dynconv.onnx"
	expect 0 '' "$dcc" -O$level --weights=o$level.w -o side$level.o "$root/examples/dynconv.onnx"
	expect 0 '' "$run" o$level.o --random 1 --save out$level
done
same 'outputs of -O0 and -O2' out0/output_0.pb out2/output_0.pb
same 'side files of -O0 and -O2' o0.w o2.w
expect 0 '' "$run" side0.o --weights o2.w --random 1
expect 1 '' cmp -s o0.o o2.o
"$dcc" -O 0 -O2 -o t.o m.ir
same 'the last -O' t.o want.o
expect 1 "^dcc: -O: there is no '3'; there are: 0 2" "$dcc" -O3 m.ir
expect 1 '^dcc: -O0 says nothing about --emit=ir' "$dcc" -O0 --emit=ir m.ir

# ---- what is refused

expect 1 '^dcc: -S and --emit=ir exclude each other' "$dcc" -S --emit=ir m.ir
expect 1 '^dcc: --check and --inspect exclude each other' "$dcc" --check --inspect m.ir
expect 1 '^dcc: -shared and --reduce exclude each other' "$dcc" -shared --reduce false m.ir
expect 1 '^dcc: --stop-after and --passes exclude' "$dcc" --emit=ir --stop-after=canon --passes=canon m.ir
expect 1 '^dcc: --header says nothing about -S' "$dcc" -S --header=t.h m.ir
expect 1 '^dcc: -o says nothing about --check' "$dcc" --check -o t.o m.ir
expect 0 '' "$dcc" -S -emit-llvm -o t.ll m.ir
expect 0 '^target triple' grep '^target triple' t.ll
expect 1 "unknown option '--no-fsue=glu'; did you mean '--no-fuse'" "$dcc" --no-fsue=glu m.ir
expect 1 "unknown option '--bogus' " "$dcc" --bogus m.ir
expect 1 "--threads wants a number from 1 to 1024, got '0'" "$run" m.ir --threads 0
expect 1 "unknown option '--thread'; did you mean '--threads'" "$run" m.ir --thread 2
expect 1 "^dcc-run: --isa: there is no 'avx1024'; there are: $targets" "$run" m.ir --isa avx1024
expect 1 '^dcc: unknown option .--\\x1b\[2J' "$dcc" $'--\e[2J' m.ir

# ---- -MD

mkdir d
"$dcc" --emit=ir -o d/m.ir "$root/examples/dynconv.onnx"
"$dcc" -MD -o 'd/a b.o' d/m.ir
printf 'd/a\\ b.o: d/m.ir \\\n  d/m.ir.data\n' >want
same '-MD' 'd/a b.d' want
"$dcc" -MF d/rule -o - d/m.ir >/dev/null
expect 0 '^-: d/m.ir' cat d/rule
expect 1 'name one with -MF' "$dcc" -MD -o - m.ir

# ---- --verify-passes: any number of inputs

{
	printf 'dcc-ir 1 stage import\nmodel many\nfunc @main(%%x0: i64[3]'
	for ((i = 1; i < 100; i++)); do printf ', %%x%d: i64[3]' "$i"; done
	printf ') -> (y: i64[3]) {\n  %%s0: i64[3] = neg %%x0\n'
	for ((i = 1; i < 100; i++)); do printf '  %%s%d: i64[3] = add %%s%d, %%x%d\n' "$i" $((i - 1)) "$i"; done
	printf '  return %%s99\n}\n'
} >many.ir
expect 0 '^$' "$dcc" --verify-passes -o t.o many.ir

# ---- dumps and carets

"$dcc" --print-changed=diff -o t.o m.ir 2>dump
expect 0 '^\+  %0: f32\[N, 4\] = group' cat dump
expect 0 '^-  %0: f32.N, 4. = add' cat dump
"$dcc" --print-after=canon -o t.o m.ir 2>canon.ir
"$dcc" -o t.o --name=m canon.ir
same 'compiled from a dump' t.o want.o
sed 's/exp %0/exq %0/' m.ir | "$dcc" - 2>got
printf '%s\n' "<stdin>:7:19: error: there is no operator 'exq' (dcc --list-ops shows them)" '  %1: f32[N, 4] = exq %0' \
	'                  ^' >want
same 'a caret' got want

# ---- --list-ops: each kind of attribute by its name

"$dcc" --list-ops >ops
for line in 'keepdims: flag, default 0' 'axis: integer, default 0' 'starts: dims' 'eps: number' 'most: dim, default 2147483647' 'sym: text'; do
	expect 0 "^$line" cat ops
done
expect 1 '' grep -q '(null)' ops

# ---- --time-passes: the parts add up

"$dcc" --time-passes -o t.o m.ir 2>times
for part in import group lower 'LLVM code' write; do expect 0 "^$part +[0-9.]+ ms" cat times; done
expect 0 '^(0|0\.[0-9]+)$' awk '{for (i = 1; i < NF; i++) if ($(i + 1) == "ms") ms = $i
	if ($1 == "all") printf("%.1f\n", ms > sum ? ms - sum : sum - ms); sum += ms}' times

# ---- --jobs: the same object; time is said of the threads, and the parts still add up

for jobs in 1 2 3 8; do
	"$dcc" -O0 --jobs=$jobs --time-passes --header=n.h -o "$jobs.o" "$root/examples/dynconv.onnx" 2>"times$jobs"
	same "-O0 --jobs=$jobs" 1.o "$jobs.o"
done
expect 0 '^LLVM code +[0-9.]+ ms +of CPU: passes [0-9.]+, code [0-9.]+; parts ([4-9]|[1-9][0-9]), threads 3$' cat times3
expect 0 '^(0|0\.[0-9]+)$' awk '{for (i = 1; i < NF; i++) if ($(i + 1) == "ms") ms = $i
	if ($1 == "all") printf("%.1f\n", ms > sum ? ms - sum : sum - ms); sum += ms}' times3
expect 1 "wants a number from 1 to 1024, got '0'" "$dcc" --jobs=0 -o no.o m.ir
expect 1 'jobs says nothing about -S' "$dcc" --jobs=2 -S -o - m.ir

echo "options: $checks checks, $failed failed"
[ $failed = 0 ]
