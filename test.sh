#!/usr/bin/env bash
# Installs what is missing, builds into build/, runs every test.  The last line is ctest's summary.
set -u -o pipefail
cd "$(dirname "$0")" || exit 1
. tools/install-deps.sh
needs+=("${test_needs[@]}")
install_missing && build_in build || exit 1
log=build/test.log
ctest --test-dir build --output-on-failure -j2 | tee "$log"
status=$?
grep 'tests passed' "$log"
exit $status
