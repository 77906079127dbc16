#!/usr/bin/env bash
# Names of files and of values that mean something to a terminal, to a linker or to C.
# usage: names.sh BUILD
set -u
. "$PWD/tests/expect.bash"
begin "$1"

# ---- values: an escape sequence, a direction override, a comment's end, a hole of messages

bad='a\x1b[2J\xe2\x80\xae*/{}'
cat >m.ir <<END
dcc-ir 1 stage import
model m
sym N in 0..9
func @main(%"x$bad": f32[N, 4], %"i$bad": i64[2]) -> ("y$bad": f32[2, 4]) {
  %0: f32[2, 4] = gather %"x$bad", %"i$bad" {axis=0} loc "n$bad" Gather-17
  %1: f32[2, 4] = exp %0 loc "e$bad" Exp-17
  return %1
}
END
shown='a\\x1b\[2J\\u202e\*/\{\}' # as people see it
clean() { # COMMAND...: prints nothing that drives a terminal
	checks=$((checks + 1))
	"$@" >out 2>&1
	LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]|\xe2\x80\xae' out || return 0
	failed=$((failed + 1))
	printf 'raw bytes: %s\n' "$*"
}
clean "$dcc" --report=- --print-after-all --verify-passes -o m.o m.ir
clean cat m.h
expect 0 '^$' "$dcc" --report=r.json -o m.o m.ir
clean cat r.json
expect 0 '"na\\u001b\[2J\\u202e\*/\{\}"' cat r.json
expect 0 "/\* xa.x1b\[2J.u202e" cat m.h
clean "$dcc" --emit=ir -o - m.ir
clean "$dcc" --emit=loops -o - m.ir
"$dcc" --emit=ir --stop-after=import -o again.ir m.ir
expect 0 '' cmp <(sed 1,2d again.ir) <("$dcc" --emit=ir --stop-after=import -o - again.ir | sed 1,2d)
expect 0 "input   x$shown: f32" "$dcc" --inspect m.ir
expect 0 "input   x$shown: f32" "$dcc" --inspect m.o
clean "$dcc" --inspect m.o
expect 0 "^y$shown: f32" "$run" m.o --random 1
clean "$run" m.o --random 1 --profile --seconds 0
printf 'P3 bad' >x.npy
expect 1 . "$run" m.o x.npy
expect 1 "node 'n.*{.x7d' .*index -?[0-9]+ out of range" "$run" m.o --random 1 -D N=1
clean "$run" m.o --random 1 -D N=1
sed 's/ loc .*//' m.ir >nameless.ir
expect 1 "line 5 \(gather\): tensor 'i.*': index -?[0-9]+ out of range" "$run" nameless.ir --random 1 -D N=1
sed 's/exp %0/add %0, %0, %0/' m.ir >wrong.ir
clean "$dcc" wrong.ir
expect 1 "No such file" "$dcc" $'none\e[2J.onnx'
clean "$dcc" $'none\e[2J.onnx'

# ---- files: the linker reads @FILE and -OPTION

if command -v cc >/dev/null; then
	sed "s/$/ /; s/[{]axis=0[}].*/{axis=0}/; s/ loc .*//; s/\\\\x1b\[2J\\\\xe2\\\\x80\\\\xae\*\/{}//g" m.ir >@x.ir
	cp @x.ir ./-x.ir
	echo 'void f(void) {}' | cc -fPIC -c -x c -o @f.o -
	echo 'void g(void) {}' | cc -fPIC -c -x c -o ./-f.o -
	printf -- '--version\n' >x.so # what @x.so would make the linker read
	printf -- '--version\n' >f.o
	expect 0 '^$' "$dcc" -shared -- @x.ir
	rm -f x.so
	expect 0 '^$' "$dcc" -shared -- -x.ir -f.o @f.o
	expect 0 '@x.so' readelf -d ./@x.so
	expect 0 '^y' "$run" ./-x.so --random 1
fi

# ---- symbols: the C library's functions and headers

sed "s/^model m/model exp/" m.ir >e.ir
expect 1 "a model cannot be called 'exp', as a function of the C library is" "$dcc" e.ir
for name in read time environ; do
	expect 1 "a model cannot be called '$name'" "$dcc" --name="$name" -o t.o m.ir
done
for file in time.h math.h dcc.h; do
	expect 1 "a header cannot be called $file" "$dcc" --name=m -o t.o --header=$file m.ir
done
expect 1 'a header cannot be called time.h' "$dcc" -o time.o m.ir
cp "$OLDPWD/examples/dynconv.onnx" exp.onnx
expect 0 '^model   model_exp$' "$dcc" --inspect exp.onnx
cat >c.ir <<'END'
dcc-ir 1 stage import
model c
func @main(%x: f32[4]) -> (y: f32[4]) {
  %0: f32[4] = custom %x {symbol="read"}
  return %0
}
END
expect 1 "the custom operator's function cannot be called 'read', as one of the C library is" "$dcc" -o t.o c.ir

echo "names: $checks checks, $failed failed"
[ $failed = 0 ]
