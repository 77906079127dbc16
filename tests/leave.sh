#!/usr/bin/env bash
# However dcc ends, by a signal, by a memory limit, by a file that shrinks while it is read or by a report that cannot be
# written: nothing half-written is left, and what is the user's to mend is said.
# label: full
# usage: leave.sh BUILD
set -u
. "$PWD/tests/expect.bash"
begin "$1"
example=$root/examples/dynconv.onnx
mkdir out

nothing_left() { # WHAT
	checks=$((checks + 1))
	[ -z "$(ls -A out)" ] && return
	failed=$((failed + 1))
	echo "$1: left: $(ls -A out)"
	rm -rf out/*
}

# ---- signals, while the linker works on temporary files
cat >linker <<'END'
#!/bin/sh
echo >started
exec sleep 20
END
chmod +x linker
for signal in HUP INT TERM USR1 ALRM XCPU SEGV RTMIN; do
	rm -f started
	(trap - INT; exec "$dcc" -shared --linker=./linker -o out/m.so "$example" --header=out/m.h >/dev/null 2>&1) &
	while [ ! -e started ]; do sleep 0.02; done
	kill -$signal $!
	wait $! 2>/dev/null
	status=$?
	checks=$((checks + 1))
	[ $status = $((128 + $(kill -l $signal))) ] || { failed=$((failed + 1)); echo "SIG$signal: status $status"; }
	nothing_left "SIG$signal"
done

# ---- what a thread of LLVM does itself, as when its stack is full: it has the files of the main thread removed
tgkill=234 # the system call

# Sets thread to one of process PID that is stopped and so cannot end before it is sent a signal; empty if none was met.
stop_thread() { # PID
	thread=
	while kill -STOP $1 && read -r stat </proc/$1/stat && [[ $stat != *') Z '* ]]; do
		for task in /proc/$1/task/*; do
			[ ${task##*/} != $1 ] || continue
			while { read -r stat <$task/stat; } 2>/dev/null && [[ $stat != *') '[XZ]' '* ]]; do
				[[ $stat == *') T '* ]] && thread=${task##*/} && return
			done
		done
		kill -CONT $1
		sleep 0.002
	done
}
for signal in SEGV BUS ILL; do
	"$dcc" --jobs=2 -o out/m.o "$example" >/dev/null 2>&1 &
	stop_thread $!
	[ -n "$thread" ] || echo "SIG$signal in a thread: the compiler ended before a thread of it was met"
	perl -e 'syscall $ARGV[0] + 0, $ARGV[1] + 0, $ARGV[2] + 0, $ARGV[3] + 0' $tgkill $! "${thread:-0}" "$(kill -l $signal)"
	kill -CONT $!
	wait $! 2>/dev/null
	status=$?
	checks=$((checks + 1))
	[ $status = $((128 + $(kill -l $signal))) ] || { failed=$((failed + 1)); echo "SIG$signal in a thread: status $status"; }
	nothing_left "SIG$signal in a thread"
done

# ---- a report that cannot be written
expect 1 'nowhere/report: error: cannot write' "$dcc" -o out/m.o --report=nowhere/report "$example"
nothing_left report

# ---- a model that shrinks: the reader of the output cuts it once it is mapped
cp "$example" m.onnx
mkfifo fifo
"$dcc" -o fifo m.onnx >said 2>&1 &
timeout 20 bash -c '{ truncate -s 4096 m.onnx; cat >/dev/null; } <fifo'
wait $!
status=$?
checks=$((checks + 1))
[ $status = 1 ] && grep -q 'm.onnx: the file got shorter while it was read' said || {
	failed=$((failed + 1))
	echo "shrinking model: status $status: $(cat said)"
}

# ---- memory limits: the loader's errors have status 127
if ! grep -q __asan_init "$dcc"; then
	limit=150000 status=1
	while [ $status != 0 ] && [ $limit -lt 1000000 ]; do
		(ulimit -v $limit && exec "$dcc" -o out/m.o "$example" >said 2>&1)
		status=$?
		checks=$((checks + 1))
		case $status in
		0) rm -f out/m.[oh] ;;
		1) grep -qE 'out of memory|Cannot allocate memory' said ;; # the second: a file that cannot be mapped
		*) [ $status = 127 ] ;;
		esac || { failed=$((failed + 1)); echo "ulimit -v $limit: status $status: $(cat said)"; }
		nothing_left "ulimit -v $limit"
		limit=$((limit + 4000))
	done
fi

echo "leave: $checks checks, $failed failed"
[ $failed = 0 ]
