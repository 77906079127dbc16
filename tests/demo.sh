#!/usr/bin/env bash
# label: long
# ./demo.sh in a copy of the checkout without a build.
# usage: demo.sh BUILD
set -u
. "$(dirname "$0")/expect.bash"
build=$(cd "$1" && pwd)
! has_sanitizers || skip "it builds without sanitizers"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
tar --exclude=./build --exclude=./.git -cf - . | tar -C "$tmp" -xf -
"$tmp/demo.sh" </dev/null >"$tmp/printed" 2>&1
check "status $?: $(tail -n 5 "$tmp/printed")" [ $? = 0 ]
expect 0 '^accuracy: 4[0-9]+ of 439 lines' cat "$tmp/printed"
expect 0 '^PASS: 1 data set' cat "$tmp/printed"
expect 0 '^dynconv: .*: PASS$' cat "$tmp/printed"
echo "demo: $checks checks, $failed failed"
[ $failed = 0 ]
