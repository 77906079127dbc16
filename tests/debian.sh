#!/usr/bin/env bash
# label: long
# The models of Debian's package libonnx-testdata (ONNX 1.12: operators, layers and small networks that torch exported,
# with recorded outputs): each is right or refused with a message.
# usage: debian.sh BUILD
set -u
build=$(cd "$1" && pwd) || exit 1
data=/usr/share/libonnx-testdata/data
if [ ! -d "$data" ]; then
	echo "debian: skipped: no package libonnx-testdata"
	exit 77
fi
. "$(dirname "$0")/budget.bash"
least=79 # percent were right when this was written; refusing more of them is a fault
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# Recorded by this version of the package: windows with pi = 3.1415, RoiAlign to four digits, bfloat16 as the bits of an uint16 tensor;
# align_corners over a fraction of the extent, where the text takes the extent; random numbers, which the text leaves open.
rough='/test_((blackman|hamming|hann)window|roialign)[a-z_]*$' excepted='/test_(cast_FLOAT_to_BFLOAT16|resize_downsample_scales_(linear|cubic)_align_corners|bernoulli(_double|_seed)?(_expanded)?)$'

# Exit status 1 is a refusal or a wrong value; only the runner's verdict of values names FAIL.
check() {
	local out status tolerance=()
	in_time || { echo "left $1"; return; }
	[[ ! $1 =~ $rough ]] || tolerance=(--tol 1e-4)
	out=$(timeout 60 "$build/dcc-run" "$1/model.onnx" --check "$1" "${tolerance[@]}" 2>&1)
	status=$?
	if [ $status = 0 ]; then
		echo right
	elif [ $status = 1 ] && [[ $1 =~ $excepted ]]; then
		echo excepted
	elif [ $status = 1 ] && [ -n "$out" ] && ! grep -qE '^FAIL|WRONG' <<<"$out"; then
		echo refused
	else
		echo "wrong $1: status $status: $(grep -E 'WRONG|error' <<<"$out" | head -2)"
	fi
}
export -f check
export build excepted rough

begin_part
printf '%s\n' "$data"/{node,simple,pytorch-*}/*/ | shuffled | xargs -P 2 -I{} bash -c 'check "${1%/}"' _ {} >"$tmp/all"
grep '^wrong' "$tmp/all"
right=$(grep -c '^right' "$tmp/all") refused=$(grep -c '^refused' "$tmp/all") wrong=$(grep -c '^wrong' "$tmp/all")
left=$(grep -c '^left' "$tmp/all")
echo "debian: $right right, $refused refused, $wrong wrong, $left left out"
[ "$left" = 0 ] || least=$((least - 5)) # of a sample
[ "$wrong" = 0 ] && [ "$right" != 0 ] && [ $((100 * right)) -ge $((least * (right + refused))) ]
