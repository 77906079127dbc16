#!/usr/bin/env bash
# label: long
# Every version of every operator: a case with an answer, or a refusal by name; see versions.py.
# PYTHON names an interpreter with numpy, onnx and onnxruntime; default: python3.
# usage: versions.sh BUILD
set -u
build=$(cd "$1" && pwd)
python=${PYTHON:-python3}
if ! "$python" -c 'import numpy, onnx, onnxruntime; onnx.defs.get_all_schemas_with_history' 2>/dev/null; then
	echo "versions: skipped, $python has no onnx or no onnxruntime"
	exit 77
fi
exec "$python" -W ignore tests/versions.py "$build"
