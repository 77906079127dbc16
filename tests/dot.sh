#!/usr/bin/env bash
# dcc --emit=dot: the graph of every stage as golden text, which Graphviz draws; names that mean something to it; linear time.
# New golden text: for a model of tests/pictures, what the command in the message prints.
# usage: dot.sh BUILD
set -u
. "$PWD/tests/expect.bash"
. "$PWD/tests/shown_models.bash"
begin "$1"
cd "$root/tests/pictures" || exit 1

golden() { # FILE arguments...: what dcc prints with them
	check "dcc ${*:2} differs from $1" diff -u "$1" <("$dcc" "${@:2}" -o - 2>&1)
}
golden layer.dot --emit=dot layer.ir
golden layer.import.dot --emit=dot --stop-after=import layer.ir
golden bodies.dot --emit=dot --stop-after=import bodies.ir
cd "$tmp" || exit 1

cp "$root"/tests/control/*.ir "$root/tests/pictures/layer.ir" .
expect 0 '^$' "$dcc" --emit=dot layer.ir
expect 0 '^digraph "layer" {$' cat layer.dot
check 'the graph beneath loop IR is the one that was lowered' diff <("$dcc" --emit=dot --stop-after=lower -o - layer.ir) \
	<("$dcc" --emit=dot -o - layer.ir | sed 's/ after layout/ after lower/')
"$dcc" --emit=loops -o loops.ir layer.ir
check 'so is that of loop IR which is read' diff <("$dcc" --emit=dot -o - loops.ir) <("$dcc" --emit=dot --stop-after=lower -o - layer.ir)
expect 0 '^$' "$dcc" --emit=dot --report=r.txt -MD -o d.dot "$root/examples/dynconv.onnx"
expect 0 '^matched  winconv' cat r.txt
expect 0 '^d.dot: ' cat d.d
expect 0 'label="winconv.*tooltip="/0/conv/Add_3 \(Add-17\)"\];$' cat d.dot
expect 1 'dcc: --emit=dot and --emit=ir exclude each other' "$dcc" --emit=dot --emit=ir layer.ir
expect 1 'dcc: --header says nothing about --emit=dot' "$dcc" --emit=dot --header=x.h layer.ir

# ---- names: a quote, escapes and entities of Graphviz, an escape sequence, a direction override, a line's end, 10,000 characters

evil='a\"b\\];</script>&lt;\\l\x1b[2J\xe2\x80\xae\n'
long=$(printf '%10000s' | tr ' ' l)
named() { # NAME: a model in which everything is called so
	cat <<-END
		dcc-ir 1 stage import
		model m
		sym N in 0..9
		const @"c$1": f32[4] = [1, 2, 3, 4]
		func @main(%"x$1": f32[N, 4], %"x${1}2": f32[N, 4]) -> ("y$1": f32[N, 4]) {
		  %"v$1": f32[N, 4] = add %"x$1", @"c$1" loc "n$1" "op$1"-17
		  %"w$1": f32[N, 4] = mul %"v$1", %"x${1}2" loc "/l/$1/e" Mul-14
		  %0: f32[N, 4] = softmax %"w$1" {axis=1}
		  return %0
		}
	END
}
named "$evil" >evil.ir
named "$long" >long.ir
named "$(for _ in {1..300}; do printf %s "$evil"; done)" >both.ir
for model in evil long both; do
	for stage in import layout; do
		expect 0 '^$' "$dcc" --emit=dot --stop-after=$stage -o $model.$stage.dot $model.ir
		check "$model.$stage.dot: raw bytes" bash -c "! LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]|\xe2\x80\xae' $model.$stage.dot"
	done
done

# ---- 100,000 nodes

{
	printf 'dcc-ir 1 stage import\nmodel big\nconst @c: f32[4] = [1, 2, 3, 4]\nfunc @main(%%v0: f32[8, 4]) -> (y: f32[8, 4]) {\n'
	awk 'BEGIN { for (i = 0; i < 100000; i++) printf "%%v%d: f32[8, 4] = add %%v%d, @c loc \"/b%d/l%d/op\" Add-14\n", i + 1, i, i / 1000, i / 10 }'
	printf 'return %%v100000\n}\n'
} >big.ir
check '100,000 nodes take too long' bash -c "ulimit -t 60; '$dcc' --emit=dot --stop-after=import big.ir"
expect 0 '^100001$' grep -c ' -> ' big.dot

# ---- Graphviz

if ! command -v dot >/dev/null; then
	echo "dot: drawing is skipped, there is no program dot of Graphviz"
else
	for model in nested select values; do
		"$dcc" --emit=dot -o $model.dot $model.ir
	done
	for file in layer d nested select values {evil,long,both}.{import,layout}; do
		expect 0 '^$' dot -Tsvg -o $file.svg $file.dot
		expect 0 '</svg>' cat $file.svg
	done
	if shown_models; then
		for model in "${shown[@]}"; do
			expect 0 '^$' "$dcc" --emit=dot $model.onnx
			expect 0 '^$' dot -Tsvg -o $model.svg $model.dot
			nodes=$(grep -cE '^ *"[^"]*" \[' $model.dot)
			check "$model: no node" [ "$nodes" -gt 0 ]
			expect 0 "^$nodes\$" grep -c '<g id="node' $model.svg
		done
	fi
	as_seen='a&quot;b\];&lt;/script&gt;&amp;lt;\l\x1b[2J\u202e\x0a' # as people see it
	expect 0 . grep -F "title=\"n$as_seen (op$as_seen" evil.import.svg
	expect 0 . grep -F ">y$as_seen</text>" evil.import.svg
	expect 0 '^11$' grep -c '<g id="edge\|<g id="node' long.import.svg # no name takes another one's place
fi

echo "dot: $checks checks, $failed failed"
[ $failed = 0 ]
