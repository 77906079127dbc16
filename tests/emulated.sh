#!/usr/bin/env bash
# label: full
# The AVX-512 half of objects, run where the CPU has none: small static programs in an emulator (../shared/avx512/zmmrun, bochs).
# Their outputs must be the bits that the AVX2 half gives on the CPU itself.  With EMULATE=1 also where the CPU has AVX-512.
# usage: emulated.sh BUILD [MODEL_DIR...]
set -eu
build=$(cd "$1" && pwd)
shift
here=$(cd "$(dirname "$0")" && pwd)
. "$here/emulator.bash"
if [ -z "${EMULATE:-}" ] && grep -qw avx512f /proc/cpuinfo; then
	echo "emulated: this CPU has AVX-512, which the other tests use; EMULATE=1 runs this one too"
	exit 77
fi
if ! have_emulator; then
	echo "emulated: skipped: needs ../shared/avx512/zmmrun and bochs"
	exit 77
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0 count=0
[ $# -gt 0 ] || set -- "$here"/models/*.dynamo
for model; do
	name=$(basename "$model" .dynamo | tr -c 'a-zA-Z0-9\n' _)
	"$build/dcc" --name="$name" -o "$dir/$name.o" "$model/model.onnx"
	cc -std=c11 -O1 -static -I "$here/../runtime" -DMODEL="${name}_model" "$here/run_model.c" "$dir/$name.o" "$build/libdcc.a" \
		-o "$dir/$name"
	native=$("$dir/$name" avx2)
	emulated=$(run_emulated 300 256 "$dir/$name" avx512)
	count=$((count + 1))
	if [ "$native" = "$emulated" ] && [ -n "$native" ]; then
		echo "$name: $native"
	else
		echo "$name: avx2 gives $native, avx512 in the emulator $emulated"
		failed=$((failed + 1))
	fi
done
echo "emulated: $count models, $failed failed"
[ "$failed" = 0 ]
