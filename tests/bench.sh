#!/usr/bin/env bash
# label: full
# What bench/ holds, on small inputs and for short times: the form of what it prints.  Figures are not looked at.
# PYTHON names an interpreter with numpy and onnx; default: python3.
# usage: bench.sh BUILD
set -u
. "$(dirname "$0")/expect.bash"
build=$(cd "$1" && pwd)
bench=$(cd "$(dirname "$0")/../bench" && pwd)
python=${PYTHON:-python3}
export PYTHONDONTWRITEBYTECODE=1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1

expect 0 'median [0-9.]+ ms' "$build/dcc-run" "$bench/gemm.ir" -D M=2 --random 1 --bench --seconds 0.01
if ! "$python" -c 'import numpy, onnx' 2>/dev/null; then
	[ $failed = 0 ] || exit 1
	echo "bench: skipped, $python has no numpy and onnx"
	exit 77
fi
has() { "$python" -c "import importlib.util, sys; sys.exit(not importlib.util.find_spec('$1'))"; }
number='[0-9]+(\.[0-9]+)?'

# Models with inputs: each runs.
if has onnx.reference; then
	expect 1 'bench/control_models.py DIR' "$python" "$bench/control_models.py"
	expect 0 '' "$python" "$bench/control_models.py" models
	for model in lstm-tagger gru-encoder scan-lstm loop-decoder nested-if; do
		expect 0 '^[a-z_]+: (f32|i64)\[' "$build/dcc-run" models/$model/model.onnx --inputs models/$model/test_data_set_0
	done
else
	echo "bench: control_models.py skipped, $python has no onnx.reference"
fi

# Times against the engines that are installed: a row, and a record that becomes a table and a plot.
expect 2 'unknown: other; there are onnxruntime, openvino, torch' "$python" "$bench/peers.py" --peers other small
engines='' cells=''
for engine in onnxruntime openvino torch; do
	! has $engine || engines="$engines $engine \\|" cells="$cells ($number \\($number\\)|-) \\|"
done
cp -r "$bench/../tests/models/glu-ffn.ts" small
"$python" "$bench/peers.py" --build "$build" --seconds 0.1 --record records small >table 2>said
check "peers.py: $(cat said)" [ $? = 0 ]
expect 0 "^\| model \| threads \| dcc \|$engines best peer / dcc \|$" cat table
expect 0 "^\| small \| 1 \| $number \($number\) \|$cells ($number|-)( noisy)? \|$" cat table
expect 0 "^\| small \| $number \|.* \| [0-9-]{10}, [0-9a-f]* \|$" "$python" "$bench/table.py" records
echo '{}' >wrong
expect 1 "wrong:1: no record of peers.py --record" "$python" "$bench/table.py" wrong
if has matplotlib && has onnxruntime; then
	expect 0 '' "$python" "$bench/table.py" records --plot plot.svg
	check 'a plot' grep -q '<svg' plot.svg
fi

# Quantised models for them.
if has onnxruntime; then
	for form in dynamic QDQ QOperator; do
		suffix=${form,,}
		expect 0 "^quantised/small-${suffix/dynamic/int8}\$" "$python" "$bench/quantise.py" --form $form quantised small
		expect 0 '^[0-9]+: f32\[2, 13, 12\]' "$build/dcc-run" quantised/small-"${suffix/dynamic/int8}"/model.onnx --inputs quantised/small-"${suffix/dynamic/int8}"/test_data_set_0
	done
else
	echo "bench: quantise.py skipped, $python has no onnxruntime"
fi

# CPU and memory of compiling: a row for each graph and size.
for graph in chain own fan; do
	expect 0 "^\| $graph \| 12 \| $number \| [0-9]+ \| ($number)? \| [0-9]* \|$" \
		"$python" "$bench/large_graphs.py" --build "$build" --shapes $graph 12
done
echo "bench: $checks checks, $failed failed"
[ $failed = 0 ]
