#!/usr/bin/env bash
# dcc --report=FILE.html: the data in the page, which profile it takes, names that mean something to HTML.
# How a browser shows it, and how large it becomes: page_browser.sh.
# usage: page.sh BUILD
set -u
. "$PWD/tests/expect.bash"
. "$PWD/tests/named.bash"
begin "$1"

data() { # FILE: the data of a page
	sed '1,/^<script type="application\/json"/d; /^<\/script>/,$d' "$1"
}
page() { # NAME arguments...: NAME.html, and its data as NAME.json
	expect 0 '^$' "$dcc" --report="$1.html" -march=avx2 -O0 -o m.o "${@:2}"
	data "$1.html" >"$1.json"
}

# ---- the page: nothing from elsewhere, one block of data

page d "$root/examples/dynconv.onnx"
expect 0 '^1$' grep -c 'application/json' d.html
expect 0 "default-src 'none'" cat d.html
check 'the page asks for nothing' bash -c "! grep -vE '^/|svgNs = |LICENSE' d.html | grep -E '(src|href)=.?(https?:|//)|@import|url\(http'"
expect 0 'Permission is hereby granted' cat d.html
cp d.html first.html
page d "$root/examples/dynconv.onnx"
expect 0 '^$' cmp d.html first.html
expect 0 '^$' "$dcc" --report=early.html --emit=ir --stop-after=idioms -o m.ir "$root/examples/dynconv.onnx"
data early.html >early.json
cat >swap.ir <<'END'
dcc-ir 1 stage import
model m
sym i in 0..9
func @main(%x: f32[4], %y: f32[4]) -> (p: f32[4], q: f32[4]) {
  %p: f32[4], %q: f32[4] = loop %x, %y {counter="i", trips=5} (%a: f32[4], %b: f32[4]) {
    %s: f32[4] = add %a, %b
    yield %b, %s
  }
  return %p, %q
}
END
page swap swap.ir
for model in "$root"/tests/control/{nested,select}.ir; do
	page "$(basename "$model" .ir)" "$model"
done

# ---- both targets in one page, times of the second one

expect 0 'steps: ' "$build/dcc-run" "$root/examples/dynconv.onnx" --isa avx2 --random 1 --profile=avx2.json --seconds 0.01
expect 0 '^$' "$dcc" -O0 --report=targets.html --profile-data=avx2.json -o m.o "$root/examples/dynconv.onnx"
data targets.html >targets.json

# ---- names: the ends of strings and of scripts, an escape sequence, a direction override, a tag, bytes that are no UTF-8, 10,000 characters

evil='a\"b\\</script><!--&lt;\x1b[2J\xe2\x80\xae\xf3\xa0\x80\x81\xff\n'
named "$evil" >evil.ir
named "$(printf '%10000s' | tr ' ' l)" >long.ir
named "$(for _ in {1..300}; do printf %s "$evil"; done)" >both.ir
for model in evil long both; do
	page $model $model.ir
	check "$model: raw bytes" bash -c "! LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]|\xe2\x80\xae|\xf3\xa0|\xff|<' $model.json"
	check "$model: one line ends the data" [ "$(grep -c '^</script>$' $model.html)" = "$(grep -c '^</script>$' d.html)" ]
done

# ---- profiles

cat >prof.json <<'END'
{"dcc_profile": 1, "hash": "0000000000000000", "target": "avx2", "threads": 2, "runs": 3, "symbols": {"N": 5}, "steps_ms": 0.5, "run_ms": 0.4,
 "gflop_per_s": 90, "gbyte_per_s": 10, "steps": [{"kernel": "ewise.avx2", "ms": 0.5, "calls": 1, "flop": 20, "bytes": 176}]}
END
cat >two.ir <<'END'
dcc-ir 1 stage import
model m
sym N in 0..9
const @c: f32[4] = [1, 2, 3, 4]
func @main(%x: f32[N, 4]) -> (y: f32[N, 4]) {
  %0: f32[N, 4] = add %x, @c loc "/a/add" Add-13
  %1: f32[N, 4] = exp %0 loc "/a/exp" Exp-13
  return %1
}
END
takes() { # STATUS TEXT FILE arguments...
	expect "$1" "$2" "$dcc" -march=avx2 -O0 --report=p.html --profile-data="$3" -o p.o "${@:4}" two.ir
}
changed() { # FROM TO: prof.json with other words
	sed "s/$1/$2/" prof.json >changed.json
}
takes 0 '^$' prof.json
data p.html >p.json
rm -f p.o p.html
changed '"0000000000000000"' '"fb41dc986237c588"'
takes 1 'changed.json: error: is a profile of another model: its hash is fb41dc986237c588, that of the model is 0000000000000000' changed.json
check 'nothing is written then' [ ! -e p.o ] && check 'no page, either' [ ! -e p.html ]
changed ewise linear
takes 1 'error: is a profile of the model compiled with other options .*: its step 0 is linear.avx2' changed.json
changed ', "steps": .*' ', "steps": []}'
takes 1 'its step 0 is missing' changed.json
takes 1 'its step 1 is missing' prof.json --no-fuse=epilogue,ewise
changed avx2 avx512
takes 1 'is a profile of code for avx512, for which no code is made here' changed.json
changed '"ms": 0.5' '"ms": -1'
takes 1 "is no profile of dcc-run: 'ms' is no number from 0 on" changed.json
changed 'profile": 1' 'profile": 2'
takes 1 'is a profile of another version of dcc-run' changed.json
echo '{"dcc_profile": 1,' >changed.json
takes 1 'changed.json:2:1: error: JSON: a key expected' changed.json
takes 1 'no-such.json: error: cannot be read: No such file' no-such.json
expect 0 '^$' "$dcc" --check -march=avx2 --report=check.html --profile-data=prof.json two.ir
data check.html >check.json
check '--check writes the report and nothing else' [ ! -e two.o ] && check 'nor a header' [ ! -e two.h ]
check 'the report of --check lacks the size of the code alone' diff <(grep -vE '"code(_bytes)?"' check.json) <(grep -vE '"code(_bytes)?"' p.json)
expect 1 "dcc: the output would overwrite the input 'two.ir'" "$dcc" --check --report=two.ir two.ir
expect 1 'dcc: --profile-data is shown by --report=FILE.html' "$dcc" --profile-data=prof.json --report=r.txt two.ir
expect 1 'dcc: --profile-data is shown by --report=FILE.html' "$dcc" --profile-data=prof.json two.ir

if ! command -v python3 >/dev/null; then
	echo "page: what the data say is not checked, there is no python3"
else
	expect 0 '^$' python3 "$root/tests/page_data.py" ./*.json
fi

echo "page: $checks checks, $failed failed"
[ $failed = 0 ]
