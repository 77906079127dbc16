#!/usr/bin/env bash
# The line that tells on a terminal what dcc is at: it comes after a second, goes before anything else is printed, and comes nowhere else.
# usage: progress.sh BUILD
set -u
build=$(cd "$1" && pwd)
. "$PWD/tests/expect.bash"
dcc=$build/dcc
command -v script >/dev/null || skip "no command script (of bsdutils), which makes terminals"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
mkfifo keys
exec 4<>keys # what is typed: nothing, and it does not end

cat >good <<'END'
dcc-ir 1 stage import
model m
sym N in 0..100
func @main(%x: f32[N, 4]) -> (y: f32[N, 4]) {
  %0: f32[N, 4] = exp %x
  return %0
}
END
sed 's/exp/exq/' good >bad

# on_terminal NAME MODEL WAIT COMMAND: what a terminal gets to see of it goes to NAME.screen, line by line.  It reads the model from a pipe that
# waits with it until there is a line, or so many tenths of a second.
on_terminal() {
	mkfifo "$1.fifo"
	TERM=${term-xterm} script -qfec "$4 <$1.fifo" /dev/null <&4 >"$1.raw" &
	exec 3>"$1.fifo"
	for ((i = 0; i < $3; i++)); do
		! grep -q 'import, [0-9]* s' "$1.raw" || break
		sleep 0.1
	done
	cat "$2" >&3
	exec 3>&-
	wait $!
	status=$?
	tr '\r' '\n' <"$1.raw" | sed '/^$/d' >"$1.screen"
}

# same NAME: the screen was what is given
same() {
	checks=$((checks + 1))
	diff <(echo "$(cat)") <(echo "$(cat "$1.screen")") >difference && return
	failed=$((failed + 1))
	echo "$1: the screen was not as expected"
	cat -A difference
}

# silent COMMAND [WANT]: no line, but what WANT holds
silent() {
	on_terminal "$BASHPID" good 16 "$1"
	same "$BASHPID" <"${2:-/dev/null}"
	exit "$failed"
}

# ---- where no line may come, each takes more than a second: side by side
"$dcc" -v --name=m -o v.o good 2>&1 | sed 's/: good/: -/' >verbose
(silent "$dcc --name=m -o stderr.o - 2>said") &
(silent "$dcc --name=m -S -o - - >text") &
(silent "$dcc --name=m -v -o verbose.o -" verbose) &
(term=dumb silent "$dcc --name=m -o dumb.o -") &
for job in $(jobs -p); do check "a line where there may be none" wait "$job"; done
check "a line where stderr is no terminal" test ! -s said

# ---- it goes at the end, and before a message
erase=$'\e[K'
on_terminal good good 100 "$dcc --name=m -o good.o -"
check "the line came" grep -q 'dcc: import, 1 s' good.raw
sed -i '/dcc: [A-Za-z ]*, [0-9]* s$/d' good.screen
same good <<<"$erase"
"$dcc" --name=m -o want.o - <good
check "the object is the same" cmp want.o good.o
on_terminal bad bad 100 "$dcc --name=m -o bad.o -"
sed -i '/dcc: [A-Za-z ]*, [0-9]* s$/d' bad.screen
"$dcc" --name=m -o bad.o - <bad 2>said
check "an error is there" test -s said
same bad <<<"$erase$(<said)"
check "its status is 1" [ $status = 1 ]

echo "progress: $checks checks, $failed failed"
[ "$failed" = 0 ]
