#!/usr/bin/env bash
# Mutation test, to be run by hand (half a minute a mutant on two free cores): every change of the list beside it, made in a
# copy, must make the quick tier fail.
# usage: tests/mutants/run.sh [NAME...]
set -u
cd "$(dirname "$0")/../.." || exit 1
. tools/install-deps.sh
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z | xargs -0 cp --parents -t "$copy"
grep -v '^#' tests/mutants/list >"$copy/mutants"
cd "$copy" || exit 1
build_in build >build.log || { tail build.log; exit 1; }

caught=0 survived=0
while read -r name file change; do
	[ $# = 0 ] || grep -qxF -- "$name" <(printf '%s\n' "$@") || continue
	cp "$file" original
	sed -i "$change" "$file"
	if cmp -s "$file" original; then
		echo "mutants: $name: nothing to change in $file"
		survived=$((survived + 1))
	elif ! cmake --build build --parallel 2 >build.log 2>&1; then
		echo "mutants: $name: does not compile"
		survived=$((survived + 1))
	elif ctest --test-dir build -L quick -j2 --timeout 120 --stop-on-failure >test.log 2>&1; then
		echo "mutants: $name: no quick test fails"
		survived=$((survived + 1))
	else
		caught=$((caught + 1))
		echo "$name: $(sed -nE 's/^\t *[0-9]+ - ([^ ]+).*\((Failed|Timeout|SEGFAULT|Subprocess aborted|ILLEGAL)\).*/\1/p' test.log | tr '\n' ' ')"
	fi
	cp original "$file"
done <mutants
echo "mutants: $caught caught, $survived survived"
[ $survived = 0 ]
