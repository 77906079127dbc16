#!/usr/bin/env bash
# label: long
# ONNX's own cases: none may give other values than ONNX says, crash, or fail at run time; see conformance.py.
# Where the CPU has no AVX-512, a part of class core gives the bits of AVX2 in the emulator; see conformance_emulated.py.
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
. tests/emulator.bash
"$python" -W ignore tests/conformance.py "$build" --form plain --seconds "$seconds" --seed "$seed"
status=$?
if grep -qw avx512f /proc/cpuinfo; then
	:
elif have_emulator; then
	"$python" -W ignore tests/conformance_emulated.py "$build" --form plain --seconds "$seconds" --seed "$seed" || status=1
else
	echo "conformance: the CPU has no AVX-512, and there is no emulator for it"
fi
exit $status
