#!/usr/bin/env bash
# label: long
# ONNX's own backend tests, through dcc.backend; none may give other values than ONNX says.
# PYTHON names an interpreter with numpy and onnx; default: python3.
# usage: onnx_backend.sh BUILD
set -u
build=$(cd "$1" && pwd)
python=${PYTHON:-python3}
if ! "$python" -c 'import numpy, onnx' 2>/dev/null; then
	echo "onnx_backend: skipped, $python has no numpy and onnx"
	exit 77
fi
if "$python" -W ignore -c 'import inspect, numpy, onnx.backend.test.runner as r, sys
sys.exit(hasattr(numpy, "object") or "np.object:" not in inspect.getsource(r))'; then
	echo "onnx_backend: skipped, the runner of this onnx needs an older numpy"
	exit 77
fi
if grep -qE '^DCC_(SANITIZE|TSAN):BOOL=ON' "$build/CMakeCache.txt"; then
	echo "onnx_backend: skipped, the interpreter cannot load libraries with sanitizers"
	exit 77
fi
. tests/budget.bash
DCC=$build/dcc PYTHONPATH=python PYTHONDONTWRITEBYTECODE=1 exec "$python" -W ignore tests/onnx_backend.py --seconds "$seconds" --seed "$seed"
