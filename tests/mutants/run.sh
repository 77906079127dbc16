#!/usr/bin/env bash
# Mutation test, to be run by hand (some ten seconds of CPU a mutant): every change of the list beside it, made in a copy,
# must make the quick tier fail.  The test that the list names runs first; if it passes, the whole tier runs.
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

# quick_fails TEST|ALL: builds what it needs (exit status 2: it does not compile), runs it; the tests that fail into `fails`
quick_fails() {
	local only=() targets=()
	if [ "$1" != ALL ]; then
		only=(-R "^$1\$")
		[ ! -e "tests/$1.c" ] || targets=(--target "$1")
		[ ! -e "tests/$1.sh" ] || targets=(--target dcc dcc-run dcc_runtime)
	fi
	cmake --build build --parallel 2 "${targets[@]}" >build.log 2>&1 || return 2
	! ctest --test-dir build -L '^quick$' "${only[@]}" -j2 --timeout 300 --stop-on-failure >test.log 2>&1 || return 1
	fails=$(sed -nE 's/^\t *[0-9]+ - ([^ ]+).*\(.*\).*/\1/p' test.log | tr '\n' ' ')
	[ -n "$fails" ]
}

caught=0 survived=0
while read -r name first file change; do
	[ $# = 0 ] || grep -qxF -- "$name" <(printf '%s\n' "$@") || continue
	cp "$file" original
	sed -i "$change" "$file"
	why=
	if cmp -s "$file" original; then
		why="nothing to change in $file"
	else
		quick_fails "$first"
		status=$?
		[ $status != 1 ] || { quick_fails ALL; status=$?; }
		[ $status != 1 ] || why="no quick test fails"
		[ $status != 2 ] || why="does not compile"
	fi
	if [ -n "$why" ]; then
		survived=$((survived + 1))
		echo "mutants: $name: $why"
	else
		caught=$((caught + 1))
		echo "$name: $fails"
	fi
	cp original "$file"
done <mutants
echo "mutants: $caught caught, $survived survived"
[ $survived = 0 ]
