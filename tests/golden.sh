#!/usr/bin/env bash
# Golden tests of the passes: tests/golden/NAME.ir holds IR text, `---`, and what dcc makes of it.
#
# The first half opens with comments: what the case shows, and `; run: OPTIONS` for dcc.  The passes run with
# --verify-passes, so the values of random inputs are compared as well as the text; and the second half, read again,
# must print as itself.  In NAME.err.ir the second half is the exact message, and dcc must fail.
# usage: golden.sh BUILD [FILE...] [--update]      --update rewrites the second halves: review the diff
set -u
build=$(cd "$1" && pwd) && shift || exit 1
cd "$(dirname "$0")/golden" || exit 1
update=0 files=()
for arg; do
	if [ "$arg" = --update ]; then update=1; else files+=("$(basename "$arg")"); fi
done
[ ${#files[@]} -gt 0 ] || files=(*.ir)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# check FILE: nothing on success
check() {
	local file=$1 name=${1%.ir} dir=$tmp/$1 options wanted=0 status
	mkdir "$dir"
	sed '/^---$/,$d' "$file" >"$dir/$file"
	sed '1,/^---$/d' "$file" >"$dir/expected.ir"
	options=$(sed -n 's/^; run: //p' "$dir/$file")
	[ -n "$options" ] || { echo "$file: no line '; run: OPTIONS'"; return 1; }
	[ "${name%.err}" = "$name" ] || wanted=1
	# shellcheck disable=SC2086
	(cd "$dir" && "$build/dcc" $options --verify-passes --emit=ir -o - "$file" >got 2>errors)
	status=$?
	[ $wanted = 0 ] || cp "$dir/errors" "$dir/got"
	if [ $status != $wanted ]; then
		echo "$file: dcc $options: exit status $status"
		cat "$dir/errors"
		return 1
	fi
	if [ $wanted = 0 ] && grep -q 'verify-passes: skipped' "$dir/errors"; then
		cat "$dir/errors"
		return 1
	fi
	if [ $update = 1 ]; then
		{ cat "$dir/$file" && echo --- && cat "$dir/got"; } >"$dir/new"
		cmp -s "$dir/new" "$file" || { cp "$dir/new" "$file" && echo "$file: updated"; }
		return 0
	fi
	diff -u --label "$file: expected" --label "$file: got" "$dir/expected.ir" "$dir/got" || return 1
	[ $wanted = 1 ] || [[ $options == *--report* ]] && return 0
	(cd "$dir" && "$build/dcc" --emit=ir --stop-after=import -o again expected.ir) || return 1
	diff -u --label "$file: expected" --label "$file: read and printed again" "$dir/expected.ir" "$dir/again"
}

i=0
for file in "${files[@]}"; do
	{ check "$file" || touch "$tmp/$file.failed"; } >"$tmp/$file.out" 2>&1 &
	i=$((i + 1))
	[ $((i % 4)) != 0 ] || wait
done
wait
failed=$(find "$tmp" -maxdepth 1 -name '*.failed' | wc -l)
cat "$tmp"/*.out
echo "golden: ${#files[@]} cases, $failed failed"
[ "$failed" = 0 ]
