#!/usr/bin/env bash
# label: full
# Which tokens of the output change with one token of the input, to the bit; shifted and permuted sequences: see receptive.py.
# PYTHON names an interpreter with numpy and onnx; default: python3.
# usage: receptive.sh BUILD
set -u
build=$(cd "$1" && pwd)
python=${PYTHON:-python3}
if ! "$python" -c 'import numpy, onnx' 2>/dev/null; then
	echo "receptive: skipped, $python has no numpy and onnx"
	exit 77
fi
if grep -qE '^DCC_(SANITIZE|TSAN):BOOL=ON' "$build/CMakeCache.txt"; then
	echo "receptive: skipped, the interpreter cannot load libraries with sanitizers"
	exit 77
fi
DCC=$build/dcc PYTHONPATH=python:bench PYTHONDONTWRITEBYTECODE=1 exec "$python" tests/receptive.py
