#!/usr/bin/env bash
# label: full, seconds: 31
# The commands of README.md and docs/, as they stand there: indented, behind "$ ", and "> " where one goes on.  Each ends with 0 and
# prints the lines below it, if there are any; a line "..." stands for any others.  doc_commands.table has the blocks that are left out.
# Each page begins in a folder of its own that looks like a checkout, with what prepare() puts there.  The pictures of docs/how.md show
# what Graphviz makes now.
# PYTHON names an interpreter with numpy; default: python3.
# usage: doc_commands.sh BUILD
set -u
. "$(dirname "$0")/expect.bash"
. "$(dirname "$0")/doc_blocks.bash"
build=$(cd "$1" && pwd) || exit 1
src=$(cd "$(dirname "$0")/.." && pwd)
python=$(command -v "${PYTHON:-python3}")
! has_sanitizers || skip "the programs of the pages are linked without sanitizers"
export PYTHONDONTWRITEBYTECODE=1 LC_ALL=C
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/bin"
for name in python python3; do
	printf '#!/bin/sh\nexec "%s" "$@"\n' "$python" >"$tmp/bin/$name"
	chmod +x "$tmp/bin/$name"
done
ln -s "$build/dcc" "$build/dcc-run" "$tmp/bin" # as where they are installed
PATH=$tmp/bin:$PATH
first_path=$PATH
has_numpy=$(python3 -c 'import numpy; print(1)' 2>/dev/null)
may_sample=$(perf record -q -e cpu-clock -o "$tmp/perf.data" true >/dev/null 2>&1 && echo yes) # not in every container
# Open MPI asks for these where it runs as root, as in a container, and more ranks than cores are wanted.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1

can_run() { # the programs that the command names are there, of those that a machine may lack
	local program
	for program in python python3 dot pkg-config c++ mpicc mpirun gdb perf; do
		grep -qE "(^|[ (&|;])$program " <<<"$1" || continue
		[[ $program != python* ]] || [ -n "$has_numpy" ] || return
		command -v "$program" >/dev/null || return
		[ "$program" != perf ] || [ -n "$may_sample" ] || return
	done
}

# prepare PAGE: files of the reader's that its commands name
prepare() {
	local name
	ln -s "$build" build
	for name in examples runtime python; do
		ln -s "$src/$name" .
	done
	case $1 in
	README.md)
		"$build/dcc-run" "$src/examples/dynconv.onnx" --random 1 --save DIR >/dev/null
		{
			printf '#include "model.h"\n#include <stdlib.h>\nstatic float input[128 * 48], output[128 * 48];\nint main(void)\n{\n'
			sed -n '/^```c$/,/^```$/{/^```/d; s/NAME/model/g; p}' "$src/README.md"
			printf 'free(workspace);\nreturn status;\n}\n'
		} >app.c
		;;&
	README.md | docs/report.md | docs/try.md | docs/tune.md) cp "$src/examples/dynconv.onnx" model.onnx ;;
	docs/scaling.md) cut -f2 "$src/examples/langid/test.tsv" | head -n 16 >lines.txt ;;
	esac
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
	local page=$1 command='' lines='' line block=''
	mkdir -p "$tmp/$page" && cd "$tmp/$page" || exit 1
	PATH=$first_path
	unset PYTHONPATH PKG_CONFIG_PATH DCC
	prepare "$page"
	while IFS= read -r line; do
		[ -n "$block" ] || [[ $line != '    '* ]] || ! is_left_out "$page" "${line#    }" || block=left_out
		case $line in
		'    '*) [ -n "$block" ] || block=run ;;
		?*) block='' ;;
		esac
		[ "$block" != left_out ] || continue
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
	done <"$src/$page"
	run_command "$page" "$command" "$lines"
}

cd "$src" || exit 1
for page in README.md docs/*.md; do
	run_page "$page"
done

# Places differ between versions of Graphviz, words do not.
words() { grep -o '<text.*</text>' "$1" | sed 's/<[^>]*>//g' | sort; }
if command -v dot >/dev/null; then
	for picture in how-import how-layout; do
		check "docs/pictures/$picture.svg" \
			cmp <(words "$src/docs/pictures/$picture.svg") <(dot -Tsvg "$tmp/docs/how.md/$picture.dot" | words /dev/stdin)
	done
else
	echo "doc_commands: pictures skipped, no dot"
fi
echo "doc_commands: $checks checks, $failed failed"
[ $failed = 0 ]
