#!/usr/bin/env bash
# The demo's classifier: agrees with the recorded outputs on both targets, and is right on at least 97 % of the held-back lines.
# usage: tests/langid.sh BUILD
set -eu
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$build/dcc" -o "$dir/langid.o" examples/langid/langid.onnx
"$build/dcc-run" "$dir/langid.o" --check examples/langid
"$build/dcc-run" "$dir/langid.o" --check examples/langid --isa=avx2 --threads 2
cc -std=c11 -O2 -I runtime -I "$dir" examples/langid/langid.c "$dir/langid.o" "$build/libdcc.a" -o "$dir/langid"
"$dir/langid" --test examples/langid/test.tsv | tee "$dir/out"
tail -n 1 "$dir/out" | grep -oE '[0-9.]+ ?%' | tr -d ' %' | awk '{ok = $1 >= 97} END {exit !ok}'
echo 'Tous les êtres humains naissent libres.' | "$dir/langid" | grep -q '^fr'
