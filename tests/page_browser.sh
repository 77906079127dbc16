#!/usr/bin/env bash
# label: full, seconds: 50
# dcc --report=FILE.html in Debian's Chromium: a small transformer, bert-base, dynamic convolutions, a convolution net, an LSTM, a Loop, times of dcc-run,
# evil names, 10,000 and 100,000 nodes, DenseNet's edges (page_browser.py); and that pages stay small and are written in seconds.
# PYTHON names an interpreter with selenium and onnx; default: the first of python3, /usr/bin/python3 that has them.
# usage: page_browser.sh BUILD [FOLDER]      FOLDER: keeps pages and screenshots
set -u
here=$PWD
build=$(cd "$1" && pwd)
. "$here/tests/expect.bash"
. "$here/tests/shown_models.bash"
dcc=$build/dcc run=$build/dcc-run
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
keep=${2:+$(mkdir -p "$2" && cd "$2" && pwd)}

find_python 'selenium, onnx' && command -v chromium >/dev/null && command -v chromedriver >/dev/null ||
	skip "there is no chromium, no chromedriver, or no python3 with selenium and onnx"
cd "${keep:-$tmp}" || exit 1

shown_models || exit 1
for model in "${shown[@]}"; do
	[ $model != bert ] || continue # its weights would be an object of 434 MB
	expect 0 'steps: ' "$run" $model.onnx --random 1 --profile=$model.prof.json --seconds 0.01
	expect 0 '^$' "$dcc" --report=$model.html --profile-data=$model.prof.json -o m.o $model.onnx
done
for model in bert layers; do
	expect 0 '^$' "$dcc" --check --report=$model.html $model.onnx
done
expect 0 '^$' "$dcc" --emit=ir -o bert.ir bert.onnx
expect 0 '^72$' grep -c ' = linear_packed ' bert.ir # as of a trained one; zeros would be sparse
expect 1 'loop.prof.json: error: is a profile of another model' "$dcc" --report=x.html --profile-data=loop.prof.json -o m.o conv.onnx
expect 1 'transformer.prof.json: error: is a profile of the model compiled with other options' \
	"$dcc" --report=x.html --profile-data=transformer.prof.json --no-fuse=epilogue -o m.o transformer.onnx

evil='a\"b\\</script><!--<img src=x onerror=evil()>\x1b[2J\xe2\x80\xae\xf3\xa0\x80\x81\xd7\x90\xff\n'
named() { # NAME: a model in which everything is called so
	cat <<-END
		dcc-ir 1 stage import
		model m
		sym N in 0..9
		const @"c$1": f32[4, 4] = hex "$(printf '0000803f%.0s' {1..16})"
		func @main(%"x$1": f32[N, 4]) -> ("y$1": f32[N, 4]) {
		  %"v$1": f32[N, 4] = matmul %"x$1", @"c$1" loc "n$1" "op$1"-17
		  %"w$1": f32[N, 4] = exp %"v$1" loc "/l/$1/$1/e" Exp-13
		  %0: f32[N, 4] = softmax %"w$1" {axis=1} loc "//l//$1///" Softmax-13
		  return %0
		}
	END
}
named "$evil" >evil.ir
named "$(for _ in {1..300}; do printf %s "$evil"; done)" >long.ir
chain() { # NODES: with layers in the names
	awk -v n="$1" 'BEGIN {
		printf "dcc-ir 1 stage import\nmodel big\nconst @c: f32[4] = [1, 2, 3, 4]\nfunc @main(%%v0: f32[8, 4]) -> (y: f32[8, 4]) {\n"
		for (i = 0; i < n; i++) {
			at = sprintf("loc \"/a_name_that_is_rather_long/b%d/l%d/op%d\"", i / 1000, i / 10, i)
			if (i % 3 == 2)
				printf "%%v%d: f32[8, 4] = softmax %%v%d {axis=1} %s Softmax-13\n", i + 1, i, at
			else
				printf "%%v%d: f32[8, 4] = add %%v%d, @c %s Add-14\n", i + 1, i, at
		}
		printf "return %%v%d\n}\n", n
	}'
}
chain 10000 >many.ir
sed 's,"/[^"]*/op,"op,' many.ir >flat.ir
awk 'BEGIN { # each node reads all in front of it: far too many long edges for a layout
	printf "dcc-ir 1 stage import\nmodel dense\nfunc @main(%%v0: f32[8, 4]) -> (y: f32[8, 4]) {\n"
	for (i = 1; i < 90; i++) {
		printf "%%v%d: f32[8, %d] = concat ", i, 4 * 2 ^ 0 * i
		for (k = 0; k < i; k++) printf "%s%%s%d", k ? ", " : "", k
		printf " {axis=1}\n%%s%d: f32[8, 4] = slice %%v%d {starts=[0, 0]}\n", i, i
	}
	printf "return %%s89\n}\n"
}' | sed 's/(%v0/(%s0/' >dense.ir
for model in evil long many flat dense; do
	expect 0 '^$' "$dcc" -O0 -march=avx2 --report=$model.html -o m.o $model.ir
done
chain 100000 >huge.ir
check '100,000 nodes take too long' bash -c "ulimit -t 100; '$dcc' --check --report=huge.html huge.ir"
check '100,000 nodes: the page is too large' [ "$(wc -c <huge.html)" -lt 20000000 ]
sed '1,/^<script type="application\/json"/d; /^<\/script>/,$d' huge.html >huge.json
expect 0 '^$' "$python" "$here/tests/page_data.py" huge.json

truncate -s 8G weights.bin
check '8 GB of weights take too long' bash -c "ulimit -t 5; '$dcc' --check --report=weights.html weights.onnx"
check '8 GB of weights: the page is too large' [ "$(wc -c <weights.html)" -lt 1000000 ]
rm -f weights.bin

expect 0 '^page_browser: all is well$' "$python" "$here/tests/page_browser.py" "$PWD" "${keep:+--pictures}"
echo "page_browser: $checks checks, $failed failed"
[ $failed = 0 ]
