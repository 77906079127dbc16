#!/usr/bin/env bash
# label: full
# dcc --emit=model-explorer and dcc-run --node-data: golden text, what must hold of every graph (explorer.py), names, linear
# time, and that the loader and the layout of Model Explorer itself take them (explorer.js).
# New golden text: for a model of tests/pictures, what the command in the message prints.
# PYTHON names an interpreter, for the latter with the package ai-edge-model-explorer (pip install --no-deps); default: python3.
# usage: explorer.sh BUILD
set -u
. "$PWD/tests/expect.bash"
. "$PWD/tests/named.bash"
. "$PWD/tests/shown_models.bash"
begin "$1"
python=${PYTHON:-python3}
cd "$root/tests/pictures" || exit 1
for model in layer bodies; do
	check "dcc --emit=model-explorer -o - $model.ir differs from $model.graph.json" \
		diff -u $model.graph.json <("$dcc" --emit=model-explorer -o - $model.ir 2>&1)
done
cd "$tmp" || exit 1

cp "$root"/tests/control/*.ir "$root"/tests/pictures/*.ir .
for model in *.ir; do
	expect 0 '^$' "$dcc" --emit=model-explorer "$model"
done
expect 0 '^$' "$dcc" --emit=model-explorer --stop-after=canon --report=r.txt -o canon.graph.json "$root/examples/dynconv.onnx"
expect 0 '"stage": "canon"' cat canon.graph.json
expect 0 '^$' "$dcc" --emit=model-explorer -o dynconv.graph.json "$root/examples/dynconv.onnx"
expect 0 'GFLOP/s' "$run" "$root/examples/dynconv.onnx" --random 1 --profile --seconds 0.01 --node-data dynconv
expect 1 'dcc-run: --node-data is written by --profile' "$run" layer.ir --random 1 --node-data layer
expect 1 'no/such.ms.json: error: cannot be written: No such file' "$run" layer.ir --random 1 --profile --seconds 0 --node-data no/such

mkdir shown && cd shown || exit 1
if shown_models; then
	for model in "${shown[@]}"; do
		expect 0 '^$' "$dcc" --emit=model-explorer -o ../shown-$model.graph.json $model.onnx
	done
fi
cd .. || exit 1

# ---- names: the ends of strings and of scripts, an escape sequence, a direction override, a tag, bytes that are no UTF-8, slashes

evil='a\"b\\</script>\x1b[2J\xe2\x80\xae\xf3\xa0\x80\x81\xff\n'
named "$evil" >evil.ir
named "$(printf '%10000s' | tr ' ' l)" >long.ir
named "$(printf '%5000s' | sed 's, ,d/,g')" >deep.ir
named "$(for _ in {1..300}; do printf %s "$evil"; done)" >both.ir
for model in evil long deep both; do
	expect 0 '^$' "$dcc" --emit=model-explorer $model.ir
	check "$model.graph.json: raw bytes" \
		bash -c "! LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]|\xe2\x80\xae|\xf3\xa0|\xff|</script' $model.graph.json"
done
expect 0 'na"b' "$run" evil.ir --random 1 --profile --seconds 0 --node-data evil

# ---- 100,000 nodes

{
	printf 'dcc-ir 1 stage import\nmodel big\nconst @c: f32[4] = [1, 2, 3, 4]\nfunc @main(%%v0: f32[8, 4]) -> (y: f32[8, 4]) {\n'
	awk 'BEGIN { for (i = 0; i < 100000; i++) printf "%%v%d: f32[8, 4] = add %%v%d, @c loc \"/b%d/l%d/op%d\" Add-14\n", i + 1, i, i / 1000, i / 10, i }'
	printf 'return %%v100000\n}\n'
} >big.ir
check '100,000 nodes take too long' bash -c "ulimit -t 60; '$dcc' --emit=model-explorer --stop-after=import -o big.json big.ir"
expect 0 '^200004$' grep -c '^ {"id"' big.json

# ---- what reads it

if ! "$python" -c '' 2>/dev/null; then
	echo "explorer: the form of JSON is skipped, there is no $python"
else
	expect 0 '^$' "$python" "$root/tests/explorer.py" graphs ./*.graph.json
	expect 0 '^$' "$python" "$root/tests/explorer.py" data dynconv.graph.json dynconv
	expect 0 '^$' "$python" "$root/tests/explorer.py" data evil.graph.json evil
	package=$("$python" -c 'import importlib.util as u; s = u.find_spec("model_explorer"); print(s.submodule_search_locations[0] if s else "")')
	if [ -z "$package" ] || ! command -v node >/dev/null; then
		echo "explorer: Model Explorer itself is skipped, $python has no ai-edge-model-explorer, or there is no node"
	else
		expect 0 '^$' node "$root/tests/explorer.js" "$package/web_app" ./*.graph.json
	fi
fi

echo "explorer: $checks checks, $failed failed"
[ $failed = 0 ]
