#!/usr/bin/env bash
# label: full
# The commands of these pages, as they stand there: indented, behind "$ ", and "> " where one goes on.  Each ends with 0 and prints
# the lines below it; a line "..." stands for any others.  Run from a folder that looks like a checkout.  The pictures of docs/how.md
# show what Graphviz makes now.
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

# run_command PAGE COMMAND LINES: in this shell, so that later ones see what it exports
run_command() {
	local line output status
	[ -n "$2" ] || return 0
	if ! can_run "$2"; then
		echo "doc_commands: $1: skipped, $2"
		return
	fi
	eval "$2" >"$tmp/out" 2>&1
	status=$?
	output=$(cat "$tmp/out")
	check "$1: $2: status $status: $output" [ $status = 0 ]
	[ -n "$3" ] || return 0
	if ! grep -qx '\.\.\.' <<<"$3"; then
		check "$1: $2" diff -u <(printf %s "$3") <(printf '%s\n' "$output")
		return
	fi
	while IFS= read -r line; do
		[ "$line" = ... ] || check "$1: $2: no line '$line'" grep -qxF -- "$line" <<<"$output"
	done < <(printf %s "$3")
}

run_page() {
	local page=$1 command='' lines='' line
	mkdir "$tmp/$page" && cd "$tmp/$page" || exit 1
	ln -s "$build" build
	for line in examples runtime python; do
		ln -s "$src/$line" .
	done
	while IFS= read -r line; do
		case $line in
		'    $ '*)
			run_command "$page" "$command" "$lines"
			command=${line#*\$ } lines=''
			;;
		'    > '*) command+=$'\n'${line#*> } ;;
		'    '*) lines+=${line#    }$'\n' ;;
		*)
			run_command "$page" "$command" "$lines"
			command='' lines=''
			;;
		esac
	done <"$src/docs/$page.md"
	run_command "$page" "$command" "$lines"
}

for page in first-steps state threads precision custom how; do
	run_page $page
done

# Places differ between versions of Graphviz, words do not.
words() { grep -o '<text.*</text>' "$1" | sed 's/<[^>]*>//g' | sort; }
if command -v dot >/dev/null; then
	for picture in how-import how-layout; do
		check "docs/pictures/$picture.svg" \
			cmp <(words "$src/docs/pictures/$picture.svg") <(dot -Tsvg "$tmp/how/$picture.dot" | words /dev/stdin)
	done
else
	echo "doc_commands: pictures skipped, no dot"
fi
echo "doc_commands: $checks checks, $failed failed"
[ $failed = 0 ]
