#!/usr/bin/env bash
# label: long
# Whole models between fences: the single operators of operators.h, the models of the repository, the zoo beside the
# checkout and Debian's onnx models where they are there.  What the CPU cannot run, the emulator does (fence_emulated.c).
# usage: fence.sh BUILD
set -u
build=$(cd "$1" && pwd) || exit 1
here=$(cd "$(dirname "$0")" && pwd)
zoo=$here/../../shared/zoo/tiny debian=/usr/share/libonnx-testdata/data
. "$here/budget.bash"
. "$here/emulator.bash"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0

# fence WHAT ARGUMENTS...: its last line names what ran
fence() {
	local what=$1
	shift
	"$build/tests/fence" -t "$seconds" -s "$seed" "$@" >"$tmp/out" || failed=$((failed + 1))
	grep -v '^fence: [0-9]* models,' "$tmp/out" | head -20
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

# emulate_list LIST: one program of its models; what the end of the part interrupts is left out
emulate_list() {
	local limit=6000 status
	in_time || return 0
	[ "$part_end" = 0 ] || limit=$((part_end - $(date +%s) + 60))
	cc -std=gnu11 -O1 -static -DMODELS="\"$1\"" -o "$1.run" "$here/fence_emulated.c" \
		$(sed "s|MODEL(\(.*\))|$objects/\1.o|" "$1") "$build/libdcc.a" &&
		run_emulated "$limit" 512 "$1.run" >"$1.out" 2>&1
	status=$?
	case $status in
	0) touch "$1.done" ;;
	124) in_time || return 0 ;;&
	*)
		touch "$1.failed"
		echo "fence: $(tr '\n' ' ' <"$1"): status $status in the emulator"
		grep fence: "$1.out" || run_emulated "$limit" 512 "$1.run" say 2>&1 | tail -5
		;;
	esac
}
export -f emulate_list run_emulated
export here build

# emulate WHAT ARGUMENTS...: the same models in the emulator
emulate() {
	local what=$1 ran
	shift
	export objects=$tmp/emulated.${what%% *}
	mkdir "$objects"
	"$build/tests/fence" -t "$seconds" -s "$seed" -o "$objects" "$@" >"$tmp/out" || failed=$((failed + 1))
	shuffled <"$objects/models.inc" | split -a 4 -l 4 - "$objects/part."
	begin_part
	printf '%s\n' "$objects"/part.???? | xargs -P 2 -I{} bash -c 'emulate_list {}'
	failed=$((failed + $(find "$objects" -name '*.failed' | wc -l)))
	ran=$(find "$objects" -name 'part.????.done' | sed 's/.done$//' | xargs -r cat | wc -l)
	grep 'left out$' "$tmp/out"
	echo "fence: $ran of $(wc -l <"$objects/models.inc") $what in the emulator"
}

if grep -qw avx512f /proc/cpuinfo; then
	:
elif have_emulator; then
	emulate operators operators
	[ ! -d "$zoo" ] || emulate "models of the zoo" "$zoo"/*/model.onnx
else
	echo "fence: the CPU has no AVX-512, and there is no emulator for it"
fi
echo "fence: $failed failed"
[ $failed = 0 ]
