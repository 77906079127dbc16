#!/usr/bin/env bash
# label: long
# Whole models between fences: the single operators of operators.h, the models of the repository, the zoo beside the
# checkout and Debian's onnx models where they are there.  What the CPU cannot run, the emulator does (fence_emulated.c).
# usage: fence.sh BUILD
set -u
build=$(cd "$1" && pwd) || exit 1
here=$(cd "$(dirname "$0")" && pwd)
zoo=$here/../../shared/zoo/tiny debian=/usr/share/libonnx-testdata/data zmmrun=$here/../../shared/avx512/zmmrun
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0

# fence WHAT ARGUMENTS...: its last line names what ran
fence() {
	local what=$1
	shift
	timeout 900 "$build/tests/fence" "$@" >"$tmp/out" || failed=$((failed + 1))
	grep -v '^fence: [0-9]' "$tmp/out" | head -20
	tail -1 "$tmp/out" | sed "s/^fence/fence: $what/"
}

fence operators operators
# control/values.ir is planned from its data, which the fences do not know
fence "models of the repository" "$here"/models/*/model.onnx "$here"/../examples/*.onnx "$here"/../bench/*.ir "$here"/control/[!v]*.ir
if [ -d "$zoo" ]; then
	fence "the zoo" "$zoo"/*/model.onnx
else
	echo "fence: no zoo beside the checkout"
fi
if [ -d "$debian" ]; then
	fence "Debian's onnx models" "$debian"/{node,simple,pytorch-*}/*/model.onnx
else
	echo "fence: no package libonnx-testdata"
fi

# emulate_list LIST: one program of its models; a start of the emulator costs more than a model
emulate_list() {
	cc -std=gnu11 -O1 -static -DMODELS="\"$1\"" -o "$1.run" "$here/fence_emulated.c" \
		$(sed "s|MODEL(\(.*\))|$tmp/objects/\1.o|" "$1") "$build/libdcc.a" &&
		"$zmmrun" -t 900 "$1.run" >"$1.out" 2>&1 && return
	touch "$1.failed"
	grep fence: "$1.out" || "$zmmrun" -t 900 "$1.run" say 2>&1 | tail -5
}

emulate() {
	local lists i=0
	mkdir "$tmp/objects"
	"$build/tests/fence" operators "$tmp/objects" >/dev/null || return 1
	split -n l/16 "$tmp/objects/models.inc" "$tmp/part."
	lists=("$tmp"/part.??)
	for list in "${lists[@]}"; do
		emulate_list "$list" &
		i=$((i + 1))
		[ $((i % 2)) != 0 ] || wait
	done
	wait
	failed=$((failed + $(find "$tmp" -name '*.failed' | wc -l)))
	echo "fence: $(grep -c . "$tmp/objects/models.inc") operators in the emulator"
}

if grep -qw avx512f /proc/cpuinfo; then
	:
elif [ -x "$zmmrun" ] && command -v bochs-bin >/dev/null; then
	emulate || failed=$((failed + 1))
else
	echo "fence: the CPU has no AVX-512, and there is no emulator for it"
fi
echo "fence: $failed failed"
[ $failed = 0 ]
