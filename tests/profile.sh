#!/usr/bin/env bash
# label: full
# dcc-run --profile: a row for each step, with its ONNX nodes, and one for each kind of kernel.
# usage: profile.sh BUILD
set -u
. "$(dirname "$0")/expect.bash"
build=$1
run=$build/dcc-run
model=examples/dynconv.onnx
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

number=' +[0-9]+\.[0-9]+'
profile=("$run" $model --random 1 -D batch=2 -D seq=64 --profile --seconds 0.05)
expect 0 '^dynconv  avx(2|512)  threads 1  [1-9][0-9]* steps: [0-9.]+ ms in all; a whole run: ' "${profile[@]}"
expect 0 "^roof:$number GFLOP/s by FMA in registers,$number GB/s reading" "${profile[@]}"
expect 0 "^$number$number%$number$number +[0-9]+% +[0-9]+  winconv.*avx2 +/" "${profile[@]}" --isa=avx2
expect 0 'threads 2' "${profile[@]}" --threads 2
expect 0 '^dynconv .* runs; at batch = 8, seq = 8$' "$run" $model --random 1 --profile --seconds 0.05 # made up

# As many rows as steps; their shares add up; slowest first.
"${profile[@]}" >"$tmp/table" || failed=$((failed + 1))
checks=$((checks + 1))
awk '
	NR == 1 { for (i = 1; i <= NF; i++) if ($i == "steps:") steps = $(i - 1) }
	$1 == "ms" { part++; last = 1e9; next }
	NF >= 7 && part { if ($1 > last) exit 1; last = $1; rows[part]++; share[part] += $2; counted += part == 2 ? $6 : 0 }
	END {
		ok = part == 2 && rows[1] == steps && counted == steps && rows[2] < steps
		for (i = 1; i <= 2; i++) ok = ok && share[i] > 97 && share[i] < 103
		exit !ok
	}' "$tmp/table" || {
	failed=$((failed + 1))
	cat "$tmp/table"
}

# A loop's steps count as often as they run.
expect 0 ' ewise.* x5 ' "$run" tests/control/scan.ir --random 1 -D T=5 --profile --seconds 0.01

# What a length known only now chose between: steps for many queries or rows do not run where there are few.
cat >"$tmp/few.ir" <<-'END'
	dcc-ir 1 stage import
	model "few"
	sym T in 0..64
	sym S in 1..64
	func @main(%q: f32[2, T, 3, 8], %k: f32[2, S, 3, 8], %v: f32[2, S, 3, 8], %a: f32[2, T, 8], %b: f32[2, 8, S], %c: f32[2, 8, 1]) -> (y: f32[2, T, 3, 8], z: f32[2, T, S], w: f32[2, T, 1]) {
	  %0: f32[2, T, 3, 8] = attention %q, %k, %v, _ {scale=1}
	  %1: f32[2, T, S] = matmul %a, %b
	  %2: f32[2, T, 1] = matmul %a, %c
	  return %0, %1, %2
	}
END
steps_that_run() # T
{
	"$run" "$tmp/few.ir" --random 1 -D T="$1" -D S=9 --profile="$tmp/few.json" --seconds 0.01 >/dev/null || return 1
	tr '{' '\n' <"$tmp/few.json" | sed -nE 's/.*"kernel": "([a-z_]+)[^"]*", .*"calls": 1, "flop": [1-9].*/\1/p; s/.*"kernel": "(keys|values|panels)\..*"calls": 1, .*/\1/p' | xargs
}
expect 0 '^attention_rows matmul_row matmul_row$' steps_that_run 1
expect 0 '^attention_rows panels matmul matmul_row$' steps_that_run 4
expect 0 '^keys values attention panels matmul matmul_row$' steps_that_run 5
for t in 0 1 2 4 5; do
	rm -rf "$tmp"/few.[12]
	"$run" "$tmp/few.ir" --random 1 -D T=$t -D S=9 --save "$tmp/few.1" >/dev/null && "$run" "$tmp/few.ir" --random 1 -D T=$t -D S=9 --interp --save "$tmp/few.2" >/dev/null
	expect 0 '^$' diff "$tmp/few.1" "$tmp/few.2"
done

# So it is with two linears: many rows go through both by blocks.
numbers() # how many
{
	seq 1 "$1" | awk '{ printf "%s%g", (NR > 1 ? ", " : "["), ($1 * 37 % 101 - 50) / 64 } END { print "]" }'
}
cat >"$tmp/ffn.ir" <<-END
	dcc-ir 1 stage import
	model "ffn"
	sym T in 0..999
	const @w: f32[20, 600] = $(numbers 12000)
	const @v: f32[600, 20] = $(numbers 12000)
	func @main(%x: f32[T, 20]) -> (y: f32[T, 20]) {
	  %0: f32[T, 600] = matmul %x, @w
	  %1: f32[T, 600] = relu %0
	  %2: f32[T, 20] = matmul %1, @v
	  %3: f32[T, 20] = add %2, %x
	  return %3
	}
END
linears() # T, options
{
	local t=$1
	shift
	"$build/dcc" "$tmp/ffn.ir" -o "$tmp/ffn.o" "$@" && "$run" "$tmp/ffn.o" --random 1 -D T="$t" --profile="$tmp/ffn.json" --seconds 0.01 >/dev/null || return 1
	tr '{' '\n' <"$tmp/ffn.json" | sed -nE 's/.*"kernel": "(linears?)\..*"calls": 1, .*/\1/p' | xargs
}
expect 0 '^linear linear$' linears 159
expect 0 '^linears$' linears 999
expect 0 ' linears\.' "$build/dcc" --check -D T=1..999 --report=- "$tmp/ffn.ir"
expect 1 '^$' sh -c '"$1" --check -D T=1..999 --report=- "$2" | grep " linear\."' sh "$build/dcc" "$tmp/ffn.ir" # does not run then
expect 0 '^linear linear$' linears 999 --no-fuse=chain

# The same as JSON, in the order of the steps.
expect 0 'winconv' "$run" $model --random 1 --profile="$tmp/prof.json" --seconds 0.05 --threads 2
expect 0 '^\{"dcc_profile": 1, .*"model": "dynconv", "hash": "[0-9a-f]{16}", .*"threads": 2, .*"symbols": \{"batch": 8, "seq": 8\}, ' cat "$tmp/prof.json"
expect 1 'nowhere/p.json: error: cannot be written: No such file' "$run" $model --random 1 --profile="$tmp/nowhere/p.json" --seconds 0
expect 1 'dcc-run: --profile: the name of the file is empty' "$run" $model --random 1 --profile=
if command -v python3 >/dev/null; then
	cat >"$tmp/check.py" <<-'END'
		import json, sys
		p = json.load(open(sys.argv[1]))
		assert abs(sum(s["ms"] for s in p["steps"]) - p["steps_ms"]) < 1e-3 * p["steps_ms"] and p["run_ms"] > 0 and p["runs"] >= 3, p
		assert all(s["calls"] == 1 and s["ms"] >= 0 and s["bytes"] > 0 for s in p["steps"]) and p["gflop_per_s"] > p["gbyte_per_s"] > 0, p
		assert any(s["kernel"].startswith("winconv") and s["flop"] > 0 and s["nodes"] for s in p["steps"]), p
	END
	expect 0 '^$' python3 "$tmp/check.py" "$tmp/prof.json"
fi

# An object describes its steps itself.
"$build/dcc" -o "$tmp/m.o" $model || failed=$((failed + 1))
expect 0 'winconv' "$run" "$tmp/m.o" --random 1 --profile --seconds 0.01
expect 1 'excludes --oracle' "$run" $model --random 1 --profile --oracle
expect 1 'protocol excludes' "$run" $model --random 1 --profile --protocol

echo "profile: $checks checks, $failed failed"
[ $failed = 0 ]
