#!/usr/bin/env bash
# Control flow: machine code on 1, 2 and 3 workers, the interpreter of loop IR and the evaluator give the same bits for every
# text of tests/control, at sizes from 0 on.  The texts print as what they are read from.
# usage: control.sh BUILD
set -u
build=$(cd "$1" && pwd) || exit 1
cd "$(dirname "$0")/control" || exit 1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
checks=0 failed=0

# outputs NAME ARGUMENTS: runs dcc-run; what it writes goes to $tmp/NAME
outputs() {
	local name=$1
	shift
	mkdir -p "$tmp/$name"
	"$build/dcc-run" "$@" --save "$tmp/$name" || { failed=$((failed + 1)); echo "dcc-run $*: failed"; }
}

# same A B WHAT
same() {
	checks=$((checks + 1))
	diff -rq "$tmp/$1" "$tmp/$2" || { failed=$((failed + 1)); echo "$3: differs"; }
}

for text in *.ir; do
	"$build/dcc" -o "$tmp/m.o" "$text" || failed=$((failed + 1))
	"$build/dcc" --emit=ir --stop-after=import -o "$tmp/once.ir" "$text"
	"$build/dcc" --emit=ir --stop-after=import -o "$tmp/again.ir" "$tmp/once.ir"
	checks=$((checks + 1))
	cmp "$tmp/once.ir" "$tmp/again.ir" || failed=$((failed + 1))
	for size in 0 1 2 5; do
		for threads in 1 2 3; do
			outputs "$threads" "$tmp/m.o" --random 7 -D T=$size --threads $threads
			same 1 $threads "$text: T = $size, $threads threads"
		done
		[ $size != 0 ] || continue # -D T=0 is refused where a body looks at rows that are not there
		outputs interp "$text" --random 7 -D T=$size --interp --threads 2
		same 1 interp "$text: T = $size, interpreter"
		outputs oracle "$text" --random 7 -D T=$size --oracle
		same 1 oracle "$text: T = $size, evaluator"
	done
done
echo "$checks checks, $failed failed"
[ $failed = 0 ]
