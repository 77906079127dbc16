#!/usr/bin/env bash
# Installs what is missing, builds into build/, runs the tests; names at the end what was skipped and why.
#   ./test.sh           the tiers quick and full
#   ./test.sh --quick   what to run before every commit
#   ./test.sh --all     the tier long after them: fences, ONNX's and Debian's models, fuzzers.  Each part takes at most DCC_LONG_SECONDS
#                       (default 150; 0: no limit) and says what it left out; see tests/budget.bash
# The last line is "N passed, N failed, N skipped".
set -u -o pipefail
cd "$(dirname "$0")" || exit 1
case ${1:-} in
'') tiers=('quick|full') ;;
--quick) tiers=(quick) ;;
--all) tiers=('quick|full' long) ;;
*)
	sed -n '2,7s/^# //p' "$0" >&2
	exit 2
	;;
esac
. tools/install-deps.sh
install_missing && build_in build || exit 1
install_missing "${test_needs[@]}" || echo "going on without; the tests that need them are skipped" >&2

log=build/test.log
: >"$log"
for tier in "${tiers[@]}"; do
	ctest --test-dir build --output-on-failure -j "$(nproc)" -L "^($tier)\$" | tee -a "$log"
	# Why: what the tests themselves printed.
	sed -nE '/^[a-z_-]+: .*(skipped|no .*beside|no package|no emulator)/p' build/Testing/Temporary/LastTest.log >>"$log.skips"
done
sort -u "$log.skips"
rm -f "$log.skips"

passed=$(grep -cE 'Test +#[0-9]+: .* Passed ' "$log") skipped=$(grep -cE 'Test +#[0-9]+: .*\*\*\*Skipped' "$log")
failed=$(($(grep -cE 'Test +#[0-9]+: ' "$log") - passed - skipped))
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] && [ $passed != 0 ]
