#!/usr/bin/env bash
# label: full
# bench/try_models.py on the models of one package: dcc try as docs/try.md shows it, right, refused, and right with one dim told; the
# records, and the page that is made of them.
# PYTHON names an interpreter with pip; numpy and onnxruntime are installed beside the models where it lacks them; default: python3.
# usage: try_models.sh BUILD
set -u
. "$(dirname "$0")/expect.bash"
build=$(cd "$1" && pwd)
! has_sanitizers || skip "the interpreter cannot load libraries with sanitizers"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
. examples/packages.bash
fetch "$tmp/packages" silero_vad/data silero-vad==6.2.3 2>"$tmp/why" || skip "$(tail -n 1 "$tmp/why")"
export PYTHONPATH=$PWD/python:$tmp/packages PYTHONDONTWRITEBYTECODE=1 DCC=$build/dcc
need "$tmp/packages" numpy onnxruntime 2>"$tmp/why" || skip "$python has no numpy and onnxruntime, and $(tail -n 1 "$tmp/why")"

try() { # TEXT
	expect 0 "$2" "$python" bench/try_models.py "$tmp" --seconds 0.1 --record "$tmp/tried.jsonl" --only "$1"
}
try silero_vad_half 'right: [0-9.e-]+ [0-9.]+ [0-9.]+ [0-9.]+ (noisy )?[0-9.]+$'
try silero_vad.onnx "refused: node 'If_0_then_branch__Inline_0__/decoder/If' .* - - - -$"
check 'a record of each' [ "$(wc -l <"$tmp/tried.jsonl")" = 3 ]
"$python" bench/try_models.py --page "$tmp/tried.jsonl" >"$tmp/page"
expect 0 '^[|] silero-vad 6.2.3 [|] `silero_vad -Dinput_d1=576` [|] right: ' cat "$tmp/page"
expect 0 '^2 right, 1 refused, 0 else; dcc is first in [0-2] of 2[.]$' cat "$tmp/page"
expect 0 '^a, and 2 more$' "$python" -c 'import sys
sys.path.insert(0, "bench")
from try_models import findings
print(findings("refused    3 problems in m.onnx:\n           - a\n           - b\n           - c\nto do      d\n")["why"])'
# A program that ends is no answer.
expect 1 'failed: .*nowhere/dcc cannot be started' env DCC=/nowhere/dcc "$python" bench/try_models.py "$tmp" --seconds 0 --only silero_vad_half
echo "try_models: $checks checks, $failed failed"
[ $failed = 0 ]
