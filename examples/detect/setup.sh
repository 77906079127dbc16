#!/usr/bin/env bash
# Installs a text detector (PP-OCRv4 of PaddleOCR: the package rapidocr-onnxruntime, Apache 2.0) in FOLDER, compiles it for pictures of
# every size, and FOLDER/detect.  Needs libpng (libpng-dev).
# usage: examples/detect/setup.sh BUILD FOLDER
set -eu
build=$(cd "$1" && pwd)
mkdir -p "$2"
folder=$(cd "$2" && pwd)
cd "$(dirname "$0")"
. ../packages.bash

model=rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx
fetch "$folder/packages" $model rapidocr-onnxruntime==1.4.4
"$build/dcc" --name=text --shape 'x=[1,3,height,width]' -D height=32..4096 -D width=32..4096 -o "$folder/text.o" "$folder/packages/$model"
c++ -std=c++11 -O2 -Wall -Wextra -Werror -I ../../runtime -I "$folder" detect.cpp "$folder/text.o" "$build/libdcc.a" -lpng -o "$folder/detect"
