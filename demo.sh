#!/usr/bin/env bash
# Compiles a language classifier with dynamic convolutions, links it into a C program and runs that.
#   ./demo.sh                  on sample sentences
#   ./demo.sh < FILE           on the lines of a file
# Then its accuracy on held-back lines, and a second, smaller example.  Installs what is missing, builds into build/.
set -eu
cd "$(dirname "$0")"
. tools/install-deps.sh
install_missing </dev/null
# Without the tests, which take a third of the time.
configure_in build </dev/null
cmake --build build --parallel "$(nproc)" --target dcc dcc-run dcc_runtime </dev/null
mkdir -p build/demo

# example PROGRAM SOURCE MODEL.onnx: build/demo/PROGRAM
example() {
	local object
	object=build/demo/$(basename "$3" .onnx).o
	(
		set -x
		build/dcc -o "$object" "$3"
		cc -std=c11 -O2 -Wall -I runtime -I build/demo "$2" "$object" build/libdcc.a -o "build/demo/$1"
	)
}

example langid examples/langid/langid.c examples/langid/langid.onnx
echo
# An idle pipe counts as no input.
if [ ! -t 0 ] && { IFS= read -r -t 1 line || [ -n "${line-}" ]; }; then
	{ printf '%s\n' "$line" && cat; } | build/demo/langid
else
	build/demo/langid --samples
fi
echo
build/demo/langid --test examples/langid/test.tsv
build/dcc-run build/demo/langid.o --check examples/langid
echo

example demo examples/demo.c examples/dynconv.onnx
build/demo/demo examples/dynconv.data
echo
echo "Try your own: echo 'Où est la gare ?' | build/demo/langid"
