#!/usr/bin/env bash
# What is left of each model after fusion: tests/models/NAME.fused, one text for both exporters, and for both spellings
# of dynamic convolution; NAME.EXPORTER.fused where an exporter fixes dims or folds what the other leaves.  Names are
# normalised: constants count up, locations, head and names of outputs go.
# usage: fused.sh BUILD [--update]
set -u
build=$(cd "$1" && pwd) || exit 1
cd "$(dirname "$0")/models" || exit 1
update=${2:-}

normalise() {
	sed -n '/^func /,$p' | sed -E 's/ loc ("[^"]*"|_) [^ ]+$//; s/-> \(.*\) \{/{/' | awk '{
		line = ""
		while (match($0, /@("[^"]*"|[A-Za-z0-9_.]+[A-Za-z0-9_]|[A-Za-z0-9_])/)) {
			name = substr($0, RSTART, RLENGTH)
			if (name != "@main" && !(name in number)) number[name] = "@c" count++
			line = line substr($0, 1, RSTART - 1) (name == "@main" ? name : number[name])
			$0 = substr($0, RSTART + RLENGTH)
		}
		print line $0
	}'
}

failed=0 count=0
declare -A seen
for model in */; do
	model=${model%/}
	golden=${model%%.*}
	[[ $golden != dynconv-* ]] || golden=dynconv
	count=$((count + 1))
	[ ! -e "$model.fused" ] || golden=$model
	got=$("$build/dcc" --emit=ir --stop-after=group -o - "$model/model.onnx" | normalise)
	if [ "$update" = --update ]; then
		[ -z "${seen[$golden]:-}" ] || cmp -s "$golden.fused" - <<<"$got" || golden=$model
		echo "$got" >"$golden.fused"
		seen[$golden]=1
	fi
	diff -u --label "$golden.fused" --label "$model" "$golden.fused" - <<<"$got" || failed=$((failed + 1))
done

# must NAME COUNT PATTERN: that many lines match
must() {
	local n
	n=$(grep -cE "$3" "$1.fused")
	count=$((count + 1))
	[ "$n" = "$2" ] || { echo "$1: $n lines match $3, expected $2"; failed=$((failed + 1)); }
}
must dynconv 2 '= winconv '
must dynconv 2 '= glu '
must dynconv 0 '= (gather|slice|pad|sigmoid|view|iota|concat|transpose)\b|i64'
must lightconv-conv 2 '= winconv '
must lightconv-conv 0 '= (gather|slice|pad|sigmoid|conv|iota)\b|i64'
must bert 2 '= attention '
must bert 0 '= (softmax|matmul|erf|tanh .*36)\b'
must transformer-layer 1 '= attention '
must transformer-layer 0 '= (softmax|matmul|erf|mean)\b'
must mha 1 '= attention '
must mha 0 '= (softmax|matmul|mean)\b'
must glu-ffn 12 '= glu '
must glu-ffn 0 '= (slice|view|sigmoid|silu|gelu|relu|tanh|erf|mul)\b'
echo "fused: $count checks, $failed failed"
[ $failed = 0 ]
