#!/usr/bin/env bash
# label: full
# Which tokens of the output change with one token of the input, to the bit; shifted and permuted sequences: see receptive.py.
# PYTHON names an interpreter with numpy and onnx; default: the first of python3, /usr/bin/python3 that has them.
# usage: receptive.sh BUILD
set -u
. "$(dirname "$0")/expect.bash"
build=$(cd "$1" && pwd)
find_python 'numpy, onnx' || skip "no python3 has numpy and onnx"
skip_sanitizers
DCC=$build/dcc PYTHONPATH=python:bench PYTHONDONTWRITEBYTECODE=1 exec "$python" tests/receptive.py
