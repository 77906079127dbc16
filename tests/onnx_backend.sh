#!/usr/bin/env bash
# label: long
# ONNX's own backend tests, through dcc.backend; none may give other values than ONNX says.
# PYTHON names an interpreter with numpy and onnx; default: the first of python3, /usr/bin/python3 that has them.
# usage: onnx_backend.sh BUILD
set -u
. "$(dirname "$0")/expect.bash"
build=$(cd "$1" && pwd)
find_python 'numpy, onnx' || skip "no python3 has numpy and onnx"
if "$python" -W ignore -c 'import inspect, numpy, onnx.backend.test.runner as r, sys
sys.exit(hasattr(numpy, "object") or "np.object:" not in inspect.getsource(r))'; then
	skip "the runner of this onnx needs an older numpy"
fi
skip_sanitizers
. tests/budget.bash
DCC=$build/dcc PYTHONPATH=python PYTHONDONTWRITEBYTECODE=1 exec "$python" -W ignore tests/onnx_backend.py --seconds "$seconds" --seed "$seed"
