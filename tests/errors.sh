#!/usr/bin/env bash
# What dcc says about wrong models, options and places to write to: exact messages, exit status 1, nothing left behind.
# ONNX files are put together here, field by field.
# usage: errors.sh BUILD
set -u
build=$(cd "$1" && pwd)
dcc=$build/dcc
example=$PWD/examples/dynconv.onnx
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
LC_ALL=C
failed=0 checks=0

wrong() {
	failed=$((failed + 1))
	printf 'failed: %s\n' "$@"
}

# fails MESSAGE dcc-arguments...: all of standard error is MESSAGE, and no file appears or disappears
fails() {
	local message=$1 got status before after
	shift
	before=$(find . -type f | sort)
	got=$("$dcc" "$@" 2>&1 >out)
	status=$?
	rm -f out
	after=$(find . -type f | sort)
	checks=$((checks + 1))
	[ $status = 1 ] || wrong "status $status: dcc $*: $got"
	[ "$got" = "$message" ] || wrong "dcc $*" "expected: $message" "got:      $got"
	[ "$before" = "$after" ] || wrong "dcc $*: files changed:" "$(diff <(echo "$before") <(echo "$after"))"
}

# works dcc-arguments...
works() {
	checks=$((checks + 1))
	"$dcc" "$@" >out 2>&1 || wrong "dcc $*: $(cat out)"
	rm -f out
}

# ---- protobuf as hexadecimal digits

varint() {
	local v=$1
	while [ $((v & ~127)) != 0 ]; do
		printf %02x $((v & 127 | 128))
		v=$((v >> 7 & 0x01ffffffffffffff))
	done
	printf %02x "$v"
}
int() { varint $(($1 << 3)) && varint "$2"; }
part() { varint $(($1 << 3 | 2)) && varint $((${#2} / 2)) && printf %s "$2"; }
text() { part "$1" "$(printf %s "$2" | od -An -v -tx1 | tr -d ' \n')"; }
value() { # NAME TYPE DIM...
	local dims='' d name=$1 type=$2
	shift 2
	for d; do
		case $d in
		*[!-0-9]*) dims+=$(part 1 "$(text 2 "$d")") ;;
		*) dims+=$(part 1 "$(int 1 "$d")") ;;
		esac
	done
	text 1 "$name"
	part 2 "$(part 1 "$(int 1 "$type")$(part 2 "$dims")")"
}
node() { # OP NAME INPUTS OUTPUTS [MORE]
	local name
	for name in $3; do text 1 "$name"; done
	for name in $4; do text 2 "$name"; done
	text 3 "$2"
	text 4 "$1"
	printf %s "${5-}"
}
attr_int() { part 5 "$(text 1 "$1")$(int 3 "$2")$(int 20 2)"; }
floats() { # NAME DIM COUNT: a tensor with that many elements
	local i data=''
	for ((i = 0; i < $3; i++)); do data+=0000803f; done
	part 5 "$(int 1 "$2")$(int 2 1)$(part 4 "$data")$(text 8 "$1")"
}
external() { # NAME LOCATION OFFSET LENGTH: four floats
	part 5 "$(int 1 4)$(int 2 1)$(text 8 "$1")$(part 13 "$(text 1 location)$(text 2 "$2")")$(
		part 13 "$(text 1 offset)$(text 2 "$3")")$(part 13 "$(text 1 length)$(text 2 "$4")")$(int 14 1)"
}
model() { # FILE OPSET GRAPH
	printf "$(sed 's/../\\x&/g' <<<"$(int 1 8)$(part 8 "$(int 2 "$2")")$(part 7 "$3")")" >"$1"
}
in_x=$(part 11 "$(value x 1 N 4)")
out_y=$(part 12 "$(value y 1 N 4)")
add_w=$(part 1 "$(node Add add 'x w' y)")

# ---- wrong models

model ok.onnx 17 "$(part 1 "$(node Relu r x y)")$in_x$out_y"
works -o ok.o ok.onnx
: >cut.onnx
fails 'cut.onnx: error: the file is empty' cut.onnx
head -c 2 ok.onnx >cut.onnx
fails 'cut.onnx: error: not a valid ONNX file: the model has no graph' cut.onnx
head -c 60 ok.onnx >cut.onnx
fails 'cut.onnx: error: not a valid ONNX file: malformed protobuf at byte 6' cut.onnx
# stranger WHAT BEGINNING: a file of another kind under the name of a model
stranger() {
	printf "$2" >cut.onnx
	fails "cut.onnx: error: not an ONNX file, but $1" cut.onnx
}
stranger "a Git LFS pointer: 'git lfs pull' fetches what it stands for" 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n'
stranger 'a zip archive: torch.save writes such files, torch.onnx.export models' 'PK\x03\x04\0\0\x08\x08'
stranger 'compressed by gzip' '\x1f\x8b\x08\0'
stranger 'an HDF5 file, as Keras writes' '\x89HDF\r\n\x1a\n\0\0\0\0'
stranger 'a page of the web' '<!DOCTYPE html>\n<title>404</title>\n'
stranger 'a page of the web' '<html>\n<title>404</title>\n'
stranger 'text: ONNX is a binary format' 'import torch\nprint("\xc3\xa9")\n'
stranger 'a model of TensorFlow Lite' '\x1c\0\0\0TFL3\x14\0'
stranger 'in the ORT format of onnxruntime: compile the .onnx that it was made of' '\x1c\0\0\0ORTM\x14\0'
fails 'none.onnx: error: No such file or directory' none.onnx
fails '.: error: Is a directory' .
fails '/dev/null: error: not a regular file' /dev/null

model unsupported.onnx 29 "$(part 1 "$(node Frob f x a)")$(part 1 "$(node Softmax s x b "$(attr_int frob 3)")")$(
	part 1 "$(node Cast c x d "$(attr_int to 14)")")$(part 1 "$(node Gelu g x y "$(text 7 com.example)")")$(
	part 11 "$(value h 14 4)")$in_x$out_y"
fails "unsupported.onnx: error: input 'h': element type COMPLEX64 is not supported
unsupported.onnx: error: the model: opset 29 is not supported; 1 to 28 are
unsupported.onnx: node 'f' (Frob): operator 'Frob' is not supported
unsupported.onnx: node 's' (Softmax): operator 'Softmax': attribute 'frob' is not supported
unsupported.onnx: node 'c' (Cast): Cast: element type COMPLEX64 is not supported
unsupported.onnx: node 'g' (Gelu): operator 'Gelu' of domain 'com.example' is not supported (--custom-op names a C function for it)" --check unsupported.onnx
model opset0.onnx 0 "$(part 1 "$(node Relu r x y)")$in_x$out_y"
fails 'opset0.onnx: error: the model: opset 0 is not supported; 1 to 28 are' opset0.onnx

# graph FILE MESSAGE PARTS: a model that fails
graph() {
	model "$1" 17 "$3"
	fails "$1: $2" "$1"
}
graph cycle.onnx "node 'a' (Add-17): 'b' is used but nothing before defines it: the name is missing, or nodes form a cycle" \
	"$(part 1 "$(node Add a 'x b' c)")$(part 1 "$(node Relu r c b)")$in_x$(part 12 "$(value b 1 N 4)")"
graph twice.onnx "node 's' (Relu-17): the name 'y' is defined twice" \
	"$(part 1 "$(node Relu r x y)")$(part 1 "$(node Relu s x y)")$in_x$out_y"
graph missing.onnx "node 'r' (Relu-17): 'q' is used but nothing before defines it: the name is missing, or nodes form a cycle" \
	"$(part 1 "$(node Relu r q y)")$in_x$out_y"
graph nothing.onnx 'error: the graph has no outputs' "$(part 1 "$(node Relu r x y)")$in_x"
graph negative.onnx "error: input 'x': dim 0: expected 0..2147483647, got -2" \
	"$(part 1 "$(node Relu r x y)")$(part 11 "$(value x 1 -2 4)")$out_y"
graph huge.onnx "error: input 'x': dim 1: expected 0..2147483647, got 4611686018427387904" \
	"$(part 1 "$(node Relu r x y)")$(part 11 "$(value x 1 4 4611686018427387904)")$out_y"
graph overflow.onnx 'error: not supported: a dimension whose formula overflows 64 bits' \
	"$(part 1 "$(node Relu r x y)")$(part 11 "$(value x 1 2147483647 2147483647 2147483647)")$(
		part 12 "$(text 1 y)")"
graph rank.onnx "error: input 'x': expected a rank of at most 8, got 9" \
	"$(part 1 "$(node Relu r x y)")$(part 11 "$(value x 1 1 1 1 1 1 1 1 1 1)")$out_y"
graph dtype.onnx "error: output 'y': expected element type INT64 as declared, got f32" \
	"$(part 1 "$(node Relu r x y)")$in_x$(part 12 "$(value y 7 N 4)")"
graph few.onnx "node 'add' (Add-17): tensor 'w': expected 4 elements of data for its dims, got 3" \
	"$add_w$in_x$out_y$(floats w 4 3)"
graph broadcast.onnx "node 'add' (Add-17): add: cannot broadcast f32[N, 4] with f32[5]" "$add_w$in_x$out_y$(floats w 5 5)"

# external data: 32 bytes beside the model, and others outside of its folder
mkdir -p m/sub
printf '%032d' 0 >m/w.bin
printf '%032d' 0 >outside.bin
ln -s ../outside.bin m/link.bin
# data MESSAGE LOCATION OFFSET LENGTH
data() {
	model m/e.onnx 17 "$add_w$in_x$out_y$(external w "$2" "$3" "$4")"
	fails "m/e.onnx: node 'add' (Add-17): $1" m/e.onnx
}
data "external data '$tmp/outside.bin' is not a path below the folder of the model" "$tmp/outside.bin" 0 16
data "external data '../outside.bin' is not a path below the folder of the model" ../outside.bin 0 16
data "external data 'link.bin' leads out of the folder of the model" link.bin 0 16
data "external data 'none.bin': No such file or directory" none.bin 0 16
data "external data 'sub': Is a directory" sub 0 16
data "tensor 'w': expected 16 bytes at offset 24 of external data 'w.bin', got 32 in all" w.bin 24 16
data "tensor 'w': expected 16 bytes of data for f32[4], got 12" w.bin 0 12
data "tensor 'w': offset '-4' of the external data is no number" w.bin -4 16
model m/e.onnx 17 "$add_w$in_x$out_y$(external w w.bin 16 16)"
works -o m/e.o m/e.onnx
fails "m/w.bin: error: cannot write: the model's data are in this file" --weights=m/w.bin -o m/f.o m/e.onnx

# ---- options

usage='(dcc --help lists the options)'
option() { # MESSAGE arguments...
	local message=$1
	shift
	fails "dcc: $message $usage" "$@"
}
option 'no input'
option "more than one input: 'ok.onnx' and 'ok.onnx'" ok.onnx ok.onnx
option "unknown option '--bogus'" --bogus ok.onnx
option "--check takes no value, got '1'" --check=1 ok.onnx
option '-o wants a value: -o FILE' ok.onnx -o
option '--header wants a value: --header=FILE' ok.onnx --header
option 'the name of an output is empty' --header= ok.onnx
option "--emit: there is no 'x'; there are: ir loops dot model-explorer" --emit=x ok.onnx
targets=$("$dcc" -v | sed -n 's/ ([^)]*)//g; s/^targets: //p')
option "-march: there is no 'sse2'; there are: $targets native" -march=sse2 ok.onnx
option "-march: there is no ''; there are: $targets native" -march= ok.onnx
passes=$("$dcc" --help-passes | sed -n '/^fusions/q; s/^  \([a-z]*\) .*/\1/p' | paste -sd ' ')
option "--stop-after: there is no 'fuse'; there are: $passes" --emit=ir --stop-after=fuse ok.onnx
option '--stop-after=group gives IR: add --emit=ir' --stop-after=group ok.onnx
option "--passes: there is no 'x'; there are: $passes" --passes=simplify,x ok.onnx
option '--passes=simplify does not end in loop IR: add --emit=ir' --passes=simplify ok.onnx
option "--print-after: there is no 'cannon'; did you mean 'canon'? There are: $passes" --print-after=cannon ok.onnx
checks=$((checks + 1))
[[ $("$dcc" --no-fuse=glu,winconf ok.onnx 2>&1) == "dcc: --no-fuse: there is no 'winconf'; did you mean 'winconv'? There are: glu "* ]] ||
	wrong '--no-fuse=winconf'
option "--opt-bisect-limit wants a number from 0 to 2147483647, got '-1'" --opt-bisect-limit=-1 ok.onnx
option "--opt-bisect-limit wants a number from 0 to 2147483647, got '4294967296'" --opt-bisect-limit=4294967296 ok.onnx
option "the output would overwrite the input './ok.onnx'" -o ./ok.onnx ok.onnx
option "the output would overwrite the input 'm/../ok.onnx'" --report=m/../ok.onnx ok.onnx
option "two outputs would be written to './t.o'" -o t.o --weights=./t.o ok.onnx
fails "ok.onnx: error: a model cannot be called 'int' in C: give it another name with --name=" --name=int -o t.o ok.onnx
fails "ok.onnx: error: the model's name '1' is not a C identifier" --name=1 -o t.o ok.onnx
for wrong in N N=5..3 N=-1 N=4x N= N=1.. =1 N=99999999999999999999 N=3000000000; do
	option "-D wants SYM=N or SYM=LO..HI with 0 <= LO <= HI <= 2147483647, got '$wrong'" -D "$wrong" ok.onnx
	option "-D wants SYM=N or SYM=LO..HI with 0 <= LO <= HI <= 2147483647, got '$wrong'" "-D$wrong" ok.onnx
done
fails 'ok.onnx: error: -D N: the bounds contradict each other' -D N=4 -D N=5 ok.onnx
fails 'ok.onnx: error: -D Q: no dimension has this name; there are: N' -D Q=1 ok.onnx
works -D N=0..8 -D N=4..9 -o ok.o ok.onnx
checks=$((checks + 1))
[ "$("$dcc" --inspect ok.o | grep symbol)" = 'symbol  N in 4..8' ] || wrong "--inspect ok.o: $("$dcc" --inspect ok.o)"
cat >bind.ir <<'END'
dcc-ir 1 stage import
model bind
sym N in 0..100
sym M in 0..100
check M == 2*N
func @main(%x: f32[N, 4], %y: f32[M, 2], %z: f32[N - 3]) -> (r: f32[N, 4]) {
  %0: f32[N, 4] = reshape %y
  return %0
}
END
fails "bind.ir:5:7: error: with these -D, 7 would have to be 8
check M == 2*N
      ^" -D N=4 -D M=7 bind.ir
fails 'bind.ir: error: with these -D, reshape (line 7): element counts differ: 40 and 4*N' -D N=4..6 -D M=20 bind.ir
fails "bind.ir: error: with these -D, parameter 'z': dim 0 is negative: f32[-1]" -D N=2 bind.ir
fails 'bind.ir: error: -D N: the bounds contradict each other or the module'"'s" -D N=101 bind.ir
head -c 3000 ok.o >cut.o
fails 'cut.o: error: not a 64-bit ELF file for x86-64' --inspect cut.o

# ---- places to write to

fails 'none/t.o: error: cannot write: No such file or directory' -o none/t.o --header=t.h ok.onnx
fails 'none/t.h: error: cannot write: No such file or directory' -o t.o --header=none/t.h ok.onnx
fails 'none/w: error: cannot write: No such file or directory' -o t.o --weights=none/w ok.onnx
fails 'm: error: cannot write: Is a directory' -o m ok.onnx
works -o /dev/null ok.onnx
checks=$((checks + 1))
[ ! -e /dev/null.h ] || wrong 'a header beside /dev/null'
if [ -c /dev/full ]; then
	for how in '' -S -emit-llvm --emit=ir --emit=loops; do
		# shellcheck disable=SC2086
		fails '/dev/full: error: cannot write: No space left on device' $how -o /dev/full ok.onnx
	done
	checks=$((checks + 1))
	[ "$("$dcc" --help 2>&1 >/dev/full)" = 'dcc: standard output cannot be written: No space left on device' ] ||
		wrong '--help to a full disk'
fi
"$dcc" --opt-bisect-limit=9 -o t.o ok.onnx 2>&- # no message ends up in the object
"$dcc" -o u.o --name=ok ok.onnx
checks=$((checks + 2))
cmp -s t.o u.o || wrong 'a closed standard error changes the object'
"$dcc" --version >&- 2>/dev/null && wrong 'a closed standard output is no error'
rm -f t.* u.*
cat >large.ir <<'END'
dcc-ir 1 stage import
model large
func @main(%x: f32[1, 512]) -> (y: f32[1, 512]) {
  %i: f32[262144] = iota {start=1, step=1}
  %w: f32[512, 512] = reshape %i
  %0: f32[1, 512] = matmul %x, %w
  return %0
}
END
works --emit=ir --stop-after=layout -o folded.ir large.ir
( # a file that gets too large
	failed=0
	ulimit -f 100
	fails 't.o: error: cannot write: File too large' -o t.o folded.ir
	fails 't.w: error: cannot write: File too large' -o t.o --weights=t.w folded.ir
	ulimit -f 10
	fails 't.ir.data: error: cannot write: File too large' --emit=ir -o t.ir "$example"
	exit $failed
)
failed=$((failed + $?)) checks=$((checks + 3))
for delay in 0.01 0.03 0.05 0.08; do # interrupted: all or nothing
	timeout -s INT $delay "$dcc" -o t.o folded.ir
	checks=$((checks + 1))
	case $(echo t.*) in
	't.*' | 't.h t.o') ;;
	*) wrong "interrupted after $delay s: $(echo t.*)" ;;
	esac
	rm -f t.*
done
for i in 1 2 3; do # at the same time
	"$dcc" -o t.o folded.ir &
	"$dcc" -o t.o folded.ir &
	wait
	"$dcc" -o u.o --name=t folded.ir
	checks=$((checks + 1))
	[ "$(echo t.*)" = 't.h t.o' ] || wrong "at the same time: $(echo t.*)"
	rm -f t.* u.*
done

echo "errors: $checks checks, $failed failed"
[ $failed = 0 ]
