#!/usr/bin/env bash
# label: full
# dcc --reduce: large failing models become small ones that fail in the same way.
# usage: reduce.sh BUILD
set -u
. "$(dirname "$0")/expect.bash"
dcc=$(cd "$1" && pwd)/dcc
example=$(cd "$(dirname "$0")/../examples" && pwd)/dynconv.onnx
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1

# 90 layers of 7 nodes; two constants each.  One erf among the many others feeds a softmax, far from the end.
awk 'BEGIN {
	layers = 90
	print "dcc-ir 1 stage import\nmodel deep #0\nsym batch in 0..64\nsym seq in 1..1024" > "head"
	type = "f32[batch, seq, 8]"
	for (i = 0; i < layers; i++) {
		row = ""
		for (k = 0; k < 64; k++) row = row (k ? ", " : "") (k * 37 + i) % 19 / 8 - 1
		printf "const @w%d: f32[8, 8] = [%s]\nconst @b%d: f32[8] = [1, 2, 3, 4, 5, 6, 7, 8]\n", i, row, i > "consts"
		x = i ? "l" i - 1 : "x"
		printf "  %%a%d: %s = linear %%%s, @w%d, @b%d loc \"/layers.%d/MatMul\" MatMul-17\n", i, type, x, i, i, i
		printf "  %%e%d: %s = erf %%a%d\n  %%t%d: f32[seq, batch, 8] = transpose %%e%d {perm=[1, 0, 2]}\n", i, type, i, i, i
		if (i == 41)
			printf "  %%s%d: %s = softmax %%e%d {axis=2}\n", i, type, i
		else
			printf "  %%s%d: %s = tanh %%e%d\n", i, type, i
		printf "  %%u%d: %s = transpose %%t%d {perm=[1, 0, 2]}\n", i, type, i
		printf "  %%m%d: %s = mul %%u%d, %%s%d\n  %%l%d: %s = add %%m%d, %%%s\n", i, type, i, i, i, type, i, x
	}
	printf "  return %%l%d, %%s3\n}\n", layers - 1
}' >body
hash='#0000000000000000'
type='f32[batch, seq, 8]'
{ sed "s/#0/$hash/" head; cat consts; echo "func @main(%x: $type) -> (y: $type, z: $type) {"; cat body; } >deep.ir
nodes=$(grep -c '^  %' deep.ir)
check "the model has $nodes nodes" [ "$nodes" -gt 500 ]

# Fails with 3 where an erf feeds a softmax; with 4 on other kinds of failure, which must not be mistaken for it.
cat >fails.sh <<'END'
grep -q '= erf' "$1" || exit 4
awk '$4 == "=" { next } { for (i = 1; i < NF; i++) if ($i == "=") { op = $(i + 1); arg = $(i + 2); name = $1 } }
	{ sub(":", "", name); sub(",", "", arg) }
	op == "erf" { is[name] = 1 } op == "softmax" && is[arg] { found = 1 } END { exit found ? 3 : 0 }' "$1"
END
check 'the model fails' bash -c 'bash fails.sh deep.ir; [ $? = 3 ]'
start=$SECONDS
"$dcc" --reduce='bash fails.sh' -o small.ir deep.ir 2>log
check "dcc --reduce: $(cat log)" [ $? = 0 ]
check "it takes $((SECONDS - start)) s" [ $((SECONDS - start)) -lt 60 ]
check 'the result fails in the same way' bash -c 'bash fails.sh small.ir; [ $? = 3 ]'
check "$(cat small.ir)" [ "$(grep -c '^  %' small.ir)" = 2 ]
check 'no constants, symbols and locations are left' bash -c '! grep -qE "^const|^sym|loc " small.ir'
check 'dcc reads the result' "$dcc" -o /dev/null --header=/dev/null small.ir
cp small.ir once.ir
"$dcc" --reduce='bash fails.sh' -o small.ir deep.ir 2>log
check 'the result is the same again' cmp -s once.ir small.ir

# What a pass makes of a model: the smallest part of an ONNX model that is still fused into a winconv.
cat >fused.sh <<END
"$dcc" --emit=ir --stop-after=idioms -o - "\$1" | grep -q winconv && exit 9
exit 0
END
cp "$example" m.onnx
"$dcc" --reduce='bash fused.sh {}' -o small.ir m.onnx 2>log
check "dcc --reduce on ONNX: $(cat log)" [ $? = 0 ]
check 'it still fuses' bash -c 'bash fused.sh small.ir; [ $? = 9 ]'
check "$(cat small.ir)" [ "$(grep -c '^  %' small.ir)" -le 10 ] # a pad, two taps of slice, slice, reshape, mul, and their sum

# Groups: reduced inside and out.
"$dcc" --emit=ir --stop-after=layout -o grouped.ir m.onnx
"$dcc" --reduce='if grep -qE "= (softmax|glu)" {}; then exit 5; fi; true' -o small.ir grouped.ir 2>log
check "dcc --reduce on groups: $(cat log)" [ "$(grep -c '^ *%' small.ir)" = 1 ]

# Bodies of if and loop: a branch or an iteration takes the node's place, or nodes go inside of it.  Every candidate can be read.
cat >reads.sh <<END
"$dcc" --emit=ir --stop-after=import -o again.ir "\$1" 2>unread || cat unread >>bad
END
reduces() { # NODES FILE AWK: those that are left where the program exits with 1 for what fails
	"$dcc" --reduce="bash reads.sh {}; awk '$3' {}" -o small.ir "$control/$2" 2>log
	check "dcc --reduce on $2, $3: $(tail -1 log) $(cat small.ir)" [ "$(grep -c '^ *%' small.ir)" = "$1" ]
	expect 0 '^[a-z]+: ' "$run" small.ir --random 1
}
run=${dcc}-run control=$(dirname "$example")/../tests/control
reduces 1 nested.ir '/= mul/ { f = 1 } END { exit f }'
reduces 2 nested.ir '/= if/ { i = 1 } /= mul/ && i { f = 1 } END { exit f }'
reduces 4 nested.ir '/= loop/ { l++ } /= if/ && l == 2 { i = 1 } /= mul/ && i { f = 1 } END { exit f }'
reduces 3 nested.ir '/values=\[n\]/ { f = 1 } END { exit f }'
reduces 1 grow.ir '/= concat/ { f = 1 } END { exit f }'
reduces 1 grow.ir '/= pad/ { f = 1 } END { exit f }'
reduces 2 grow.ir '/L \+ 2/ && /= pad/ { f = 1 } END { exit f }'
reduces 1 values.ir '/= \[a, b\]/ { f = 1 } END { exit f }'
check "all candidates: $(cat bad 2>/dev/null)" [ ! -e bad ]

fails() { # TEXT, then a dcc command that must fail and say it
	local text=$1 out
	shift
	out=$("$@" 2>&1)
	check "exit status of: $*" [ $? = 1 ]
	check "$text: got $out" grep -q -- "$text" <<<"$out"
}
fails 'does not fail' "$dcc" --reduce=true -o none.ir deep.ir
fails 'could not be run' "$dcc" --reduce=./no-such-command -o none.ir deep.ir
"$dcc" --emit=loops -o loops.ir once.ir
fails 'is lowered' "$dcc" --reduce=false -o none.ir loops.ir
check 'nothing is left behind' [ ! -e none.ir ]

# The folder of candidates goes however the run ends.
mkdir tmp
for how in TERM HUP KILL; do
	TMPDIR=$PWD/tmp "$dcc" --reduce='sleep 0.05; exit 3' -o kill.ir deep.ir 2>/dev/null &
	for ((i = 0; i < 1000; i++)); do [ -z "$(ls tmp)" ] || break; sleep 0.02; done
	kill -s $how $! && wait $! 2>/dev/null
	for ((i = 0; i < 1000; i++)); do [ -n "$(ls tmp)" ] || break; sleep 0.02; done
	check "after SIG$how the folder is gone" [ -z "$(ls tmp)" ]
done
TMPDIR=$PWD/tmp "$dcc" --reduce=true -o kill.ir deep.ir 2>/dev/null
check 'after an error the folder is gone' [ -z "$(ls tmp)" ]

echo "reduce: $checks checks, $failed failed"
[ $failed = 0 ]
