#!/usr/bin/env bash
# label: full, seconds: 14
# Whatever dcc prints it reads back: stopping after any pass and going on from the text gives the same object and
# header, to the byte.  And two compilations give the same bytes.  (After each pass for one target: half the time.)
# usage: roundtrip.sh BUILD [MODEL.onnx...]
set -u
build=$(cd "$1" && pwd) && shift || exit 1
if [ $# = 0 ]; then
	cd "$(dirname "$0")/models" || exit 1
	set -- bert.ts/model.onnx dynconv-unfold.ts/model.onnx lightconv-conv.ts/model.onnx mha.dynamo/model.onnx
fi
passes=$("$build/dcc" --help-passes | sed -n '/^fusions:/q; s/^ *\([a-z]*\) .*/\1/p')
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0 count=0

# same WHAT FILE FILE
same() {
	count=$((count + 1))
	cmp "$2" "$3" && return
	echo "$1: differs"
	failed=$((failed + 1))
}

for model; do
	dir=$(mktemp -d -p "$tmp")
	cp "$model" "$dir/m.onnx"
	[ ! -e "$model.data" ] || cp "$model.data" "$dir"
	( cd "$dir" && "$build/dcc" -o both.o m.onnx && mkdir again && cp m.onnx again && cd again &&
		"$build/dcc" -o both.o m.onnx && cd .. && "$build/dcc" -march=avx2 -o m.o m.onnx ) || failed=$((failed + 1))
	same "$model: compiled again" "$dir/both.o" "$dir/again/both.o"
	for pass in import $passes; do
		( cd "$dir" && "$build/dcc" -march=avx2 --emit=ir --stop-after="$pass" -o "$pass.ir" m.onnx &&
			mkdir "$pass" && "$build/dcc" -march=avx2 -o "$pass/m.o" "$pass.ir" ) || failed=$((failed + 1))
		same "$model after $pass: object" "$dir/m.o" "$dir/$pass/m.o"
		same "$model after $pass: header" "$dir/m.h" "$dir/$pass/m.h"
	done
	( cd "$dir" && "$build/dcc" --emit=loops -o loops.ir m.onnx && mkdir loops && "$build/dcc" -o loops/both.o loops.ir &&
		"$build/dcc" --emit=loops -o loops2.ir loops.ir ) || failed=$((failed + 1))
	same "$model as loops: object" "$dir/both.o" "$dir/loops/both.o"
	same "$model as loops: printed again" "$dir/loops.ir" "$dir/loops2.ir"
done
echo "roundtrip: $# models, passes import" $passes "and loops: $count comparisons, $failed failed"
[ $failed = 0 ]
