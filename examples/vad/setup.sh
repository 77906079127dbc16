#!/usr/bin/env bash
# Installs Silero's voice activity detector (the package silero-vad, MIT licence) in FOLDER, compiles it and FOLDER/vad.
# usage: examples/vad/setup.sh BUILD FOLDER
set -eu
build=$(cd "$1" && pwd)
mkdir -p "$2"
folder=$(cd "$2" && pwd)
cd "$(dirname "$0")"
. ../packages.bash

model=silero_vad/data/silero_vad_16k_op15.onnx
fetch "$folder/packages" $model silero-vad==6.2.3
export PYTHONPATH=$folder/packages${PYTHONPATH:+:$PYTHONPATH} PYTHONDONTWRITEBYTECODE=1
need "$folder/packages" numpy onnx
"$python" make_model.py "$folder/packages/$model" "$folder/vad.onnx"
# 64 steps: 64 samples and 63 chunks of 512, 64 rows.
"$build/dcc" --state next_window=window,cap=32320 --state next_memory=memory,cap=64 -o "$folder/vad.o" "$folder/vad.onnx"
cc -std=c11 -O2 -Wall -Wextra -Werror -I ../../runtime -I "$folder" vad.c "$folder/vad.o" "$build/libdcc.a" -lm -o "$folder/vad"
