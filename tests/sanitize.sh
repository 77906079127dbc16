#!/usr/bin/env bash
# label: full, seconds: 440
# Every unit test and fuzzer in a build with the address and undefined behaviour sanitizers, but tune_test, whose schedules schedule_test has;
# without optimisation: gcc -O1 with them and -g takes minutes for a file like schedule_test.c.
# usage: sanitize.sh BUILD
set -eu
build=$(cd "$1" && pwd)
if grep -qE '^DCC_(SANITIZE|TSAN):BOOL=ON' "$build/CMakeCache.txt"; then
	echo "sanitize: skipped, this is such a build"
	exit 77
fi
cd "$(dirname "$0")/.."
dir=$build/sanitize
export ASAN_OPTIONS=detect_leaks=0 # LLVM and the process-long arena of a module are not freed
[ -e "$dir/CMakeCache.txt" ] || cmake -S . -B "$dir" -G Ninja -DDCC_SANITIZE=ON -DCMAKE_BUILD_TYPE=Debug >/dev/null
cmake --build "$dir" --parallel 2 >"$dir/log" 2>&1 || { tail -30 "$dir/log"; exit 1; }
ctest --test-dir "$dir" --output-on-failure -j2 -R '_test$' -E '^tune_test$' >"$dir/out" 2>&1 || { tail -60 "$dir/out"; exit 1; }
grep 'tests passed' "$dir/out" | sed 's/^/sanitize: /'
