#!/usr/bin/env bash
# label: long
# The fuzzers, each for SECONDS (default 60, or DCC_LONG_SECONDS if that is less) from SEED on (default 1, so that a run says
# something of the change that it tests and not of its luck); a failure names its seed.
# usage: fuzz.sh BUILD [SECONDS [SEED]]
set -u
build=$(cd "$1" && pwd) || exit 1
most=${DCC_LONG_SECONDS:-60}
seconds=${2:-$((most && most < 60 ? most : 60))} seed=${3:-1}
tmp=$(mktemp -d)
failed=0

# repeat COUNT PROGRAM ARGUMENTS...: until the time is over; {} is the seed, which grows by COUNT
repeat() {
	local count=$1 end=$((SECONDS + seconds)) at=$seed rounds=0
	shift
	while [ $SECONDS -lt $end ]; do
		if ! timeout 300 "$build/tests/${@//\{\}/$at}" >"$tmp/out" 2>&1; then
			failed=$((failed + 1))
			echo "fuzz: ${*//\{\}/$at}: failed"
			tail -5 "$tmp/out"
			break
		fi
		at=$((at + count)) rounds=$((rounds + 1))
	done
	echo "fuzz: $1: $rounds rounds from seed $seed"
}

repeat 100 fuzz_graph_test {} 100 "$tmp"
repeat 1 fuzz_text_test 20000 {}
repeat 1 fuzz_onnx_test 20000 {}
[ $failed = 0 ] && rm -rf "$tmp"
[ $failed = 0 ]
