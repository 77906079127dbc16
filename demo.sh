#!/usr/bin/env bash
# Compiles a small dynamic-convolution model, links it into a C program and runs that on recorded data.
set -eu
cd "$(dirname "$0")"
. tools/install-deps.sh
install_missing
build_in build
mkdir -p build/demo
set -x
build/dcc -o build/demo/dynconv.o examples/dynconv.onnx
cc -O2 -Wall -I runtime -I build/demo examples/demo.c build/demo/dynconv.o build/libdcc.a -o build/demo/demo
build/demo/demo examples/dynconv.data
