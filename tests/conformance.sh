#!/usr/bin/env bash
# label: long
# ONNX's own cases: none may give other values than ONNX says, crash, or fail at run time; see conformance.py.
# PYTHON names an interpreter with numpy and onnx; default: python3.
# usage: conformance.sh BUILD
set -u
build=$(cd "$1" && pwd)
python=${PYTHON:-python3}
if ! "$python" -c 'import numpy, onnx' 2>/dev/null; then
	echo "conformance: skipped, $python has no numpy and onnx"
	exit 77
fi
. tests/budget.bash
exec "$python" -W ignore tests/conformance.py "$build" --form plain --seconds "$seconds" --seed "$seed"
