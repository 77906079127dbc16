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
	local limit=600 status
	in_time || return 0
	[ "$part_end" = 0 ] || limit=$((part_end - $(date +%s) + 60))
	cc -std=gnu11 -O1 -static -DMODELS="\"$1\"" -o "$1.run" "$here/fence_emulated.c" \
		$(sed "s|MODEL(\(.*\))|$tmp/objects/\1.o|" "$1") "$build/libdcc.a" &&
		"$zmmrun" -t "$limit" "$1.run" >"$1.out" 2>&1
	status=$?
	case $status in
	0) touch "$1.done" ;;
	124) in_time || return 0 ;;&
	*)
		touch "$1.failed"
		grep fence: "$1.out" || "$zmmrun" -t "$limit" "$1.run" say 2>&1 | tail -5
		;;
	esac
}
export -f emulate_list
export here build tmp zmmrun

# Whose code the emulator does not know.
name_beyond() {
	! beyond_emulator "$1" || echo "MODEL($(basename "$1" .o))"
}
export -f beyond_emulator name_beyond

emulate() {
	local all ran
	mkdir "$tmp/objects"
	"$build/tests/fence" -t "$seconds" -s "$seed" operators "$tmp/objects" >"$tmp/out" || return 1
	all=$(grep -c . "$tmp/objects/models.inc")
	find "$tmp/objects" -name '*.o' | xargs -P 2 -I{} bash -c 'name_beyond {}' >"$tmp/beyond"
	grep -vxFf "$tmp/beyond" "$tmp/objects/models.inc" | shuffled | split -a 3 -l 4 - "$tmp/part."
	begin_part
	printf '%s\n' "$tmp"/part.??? | xargs -P 2 -I{} bash -c 'emulate_list {}'
	failed=$((failed + $(find "$tmp" -name '*.failed' | wc -l)))
	ran=$(find "$tmp" -name 'part.???.done' | sed 's/.done$//' | xargs -r cat | wc -l)
	grep 'left out$' "$tmp/out"
	echo "fence: $ran of $all operators in the emulator; it does not know the code of $(wc -l <"$tmp/beyond")"
}

if grep -qw avx512f /proc/cpuinfo; then
	:
elif have_emulator; then
	emulate || failed=$((failed + 1))
else
	echo "fence: the CPU has no AVX-512, and there is no emulator for it"
fi
echo "fence: $failed failed"
[ $failed = 0 ]
