#!/usr/bin/env bash
# label: full
# The commands of these pages, as they stand there: indented, behind "$ ".  Each ends with 0, and prints the lines below it; a line
# "..." stands for any others.  Run from a folder that looks like a checkout.
# PYTHON names an interpreter with numpy; default: python3.
# usage: doc_commands.sh BUILD
set -u
. "$(dirname "$0")/expect.bash"
build=$(cd "$1" && pwd) || exit 1
src=$(cd "$(dirname "$0")/.." && pwd)
python=$(command -v "${PYTHON:-python3}")
if grep -qE '^DCC_(SANITIZE|TSAN):BOOL=ON' "$build/CMakeCache.txt"; then
	echo "doc_commands: skipped, the programs of the pages are linked without sanitizers"
	exit 77
fi
export PYTHONDONTWRITEBYTECODE=1 LC_ALL=C
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/bin"
printf '#!/bin/sh\nexec "%s" "$@"\n' "$python" >"$tmp/bin/python3"
chmod +x "$tmp/bin/python3"
PATH=$tmp/bin:$PATH
has_numpy=$(python3 -c 'import numpy; print(1)' 2>/dev/null)

can_run() { # the command's program is there
	local program=${1%% *}
	[ "$program" != python3 ] || [ -n "$has_numpy" ] && command -v "$program" >/dev/null
}

# judge PAGE COMMAND OUTPUT LINES
judge() {
	local line
	[ -n "$4" ] || return 0
	if ! grep -qx '\.\.\.' <<<"$4"; then
		check "$1: $2" diff -u <(printf %s "$4") <(printf '%s\n' "$3")
		return
	fi
	while IFS= read -r line; do
		[ "$line" = ... ] || check "$1: $2: no line '$line'" grep -qxF -- "$line" <<<"$3"
	done < <(printf %s "$4")
}

run_page() {
	local page=$1 command='' output='' lines='' line skip=
	mkdir "$tmp/$page" && cd "$tmp/$page" || exit 1
	ln -s "$build" build
	for line in examples runtime python; do
		ln -s "$src/$line" .
	done
	while IFS= read -r line; do
		case $line in
		'    $ '*)
			judge "$page" "$command" "$output" "$lines"
			command=${line#*\$ } output='' lines='' skip=
			if can_run "$command"; then
				eval "$command" >"$tmp/out" 2>&1
				check "$page: $command" [ $? = 0 ]
				output=$(cat "$tmp/out")
			else
				skip=1
				echo "doc_commands: $page: skipped, $command"
			fi
			;;
		'    '*)
			[ -z "$command" ] || [ -n "$skip" ] || lines+=${line#    }$'\n'
			;;
		*)
			judge "$page" "$command" "$output" "$lines"
			command='' lines=''
			;;
		esac
	done <"$src/docs/$page.md"
	judge "$page" "$command" "$output" "$lines"
}

for page in first-steps; do
	run_page $page
done
echo "doc_commands: $checks checks, $failed failed"
[ $failed = 0 ]
