#!/usr/bin/env bash
# label: full, seconds: 24
# The Python package: its tests, and that a wheel with the compiler inside works where nothing else is found.
# PYTHON names an interpreter with numpy and pytest (and onnx, for the tests of dcc.backend); default: the first of python3, /usr/bin/python3 that has them.
# usage: python.sh BUILD
set -u
. "$(dirname "$0")/expect.bash"
build=$(cd "$1" && pwd)
find_python 'numpy, pytest' || skip "no python3 has numpy and pytest"
skip_sanitizers
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export PYTHONDONTWRITEBYTECODE=1
cd python || exit 1
DCC=$build/dcc PYTHONPATH=$PWD "$python" -m pytest -q -p no:cacheprovider tests || exit 1

# Offline machines cannot fetch what a wheel is built with.
mkdir -p "$tmp/checkout/python"
cp -r pyproject.toml setup.py README.md dcc "$tmp/checkout/python"
ln -s "$build" "$tmp/checkout/build"
"$python" -c 'from setuptools.command import bdist_wheel' 2>/dev/null || {
	echo "python: no wheel, $python has no setuptools >= 70.1"
	exit 0
}
build_wheel() {
	(cd "$tmp/checkout" && "$python" -m pip wheel -q --no-deps --no-build-isolation -w "$tmp/wheels" ./python)
}
unset DCC
DCC_BUILD=build build_wheel && build_wheel || exit 1
DCC_BUILD=none build_wheel 2>&1 | grep -q 'DCC_BUILD: .*/checkout/none is no build folder of CMake' || { echo 'DCC_BUILD=none is not refused'; exit 1; }
# A checkout in which dcc with LLVM inside cannot be built.
mkdir "$tmp/checkout/runtime" "$tmp/checkout/tools"
: >"$tmp/checkout/runtime/dcc.h"
echo 'missing_packages() { echo liblld-19-dev; }' >"$tmp/checkout/tools/install-deps.sh"
rm "$tmp/checkout/build"
build_wheel 2>&1 | grep -q 'cannot be built here, there is no liblld-19-dev (names of Debian packages); DCC_BUILD=FOLDER takes' || {
	echo 'the wheel does not say what it lacks'
	exit 1
}
cd "$tmp/wheels" || exit 1
pure=(dcc-*-py3-none-any.whl) platform=(dcc-*-py3-none-linux_*.whl)
run='import dcc, sys; m = dcc.compile(sys.argv[1]); print(m([[[1.0] * 48]]).shape)'
model=$OLDPWD/../examples/dynconv.onnx
"$python" -m zipfile -e "${pure[0]}" pure && "$python" -m zipfile -e "${platform[0]}" platform || exit 1
chmod +x platform/dcc/bin/dcc # pip does that, zipfile does not
[ ! -e pure/dcc/bin ] || { echo "the pure wheel holds a program"; exit 1; }
try() {
	PYTHONPATH=$1 "$python" -c "$run" "$model" | grep -xq '(1, 1, 48)' || { echo "the $1 wheel failed"; exit 1; }
}
try platform
[ "$(grep -h dcc-try platform/dcc-*/entry_points.txt)" = 'dcc-try = dcc.trial:main' ] || { echo "the wheel has no dcc-try"; exit 1; }
PYTHONPATH=platform "$python" -m dcc try "$model" --seconds 0 >tried && grep -q '^go on ' tried || { echo "dcc-try of the wheel failed"; exit 1; }
# Its lines make a program of the wheel alone.
go_on=$(sed -n "s|^go on  *python |'$python' |p; s|^ *\(cc .*\) app\.c \(.*\)|\1 '${model%/*}/c/app.c' \2 -I. -lm -o app|p" tried)
PYTHONPATH=platform bash -e -c "$go_on" && ./app | grep -q 'the same bits' || { echo "failed: $go_on"; exit 1; }
PATH=$build:$PATH try pure
echo "python: package and wheels work"
