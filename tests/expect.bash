# Sourced by tests of commands: expect STATUS TEXT command... compares the exit status and looks for TEXT (a regular
# expression) in what the command prints; check TEXT command... says TEXT if the command fails.  The test ends with the counts `checks` and `failed`.
failed=0 checks=0

expect() {
	local status=$1 text=$2 out got
	shift 2
	out=$("$@" 2>&1)
	got=$?
	checks=$((checks + 1))
	if [ $got != "$status" ] || ! grep -qE -- "$text" <<<"$out"; then
		failed=$((failed + 1))
		printf 'status %s, expected %s and "%s": %s\n%s\n' "$got" "$status" "$text" "$*" "$out"
	fi
}

check() {
	local text=$1
	shift
	checks=$((checks + 1))
	"$@" && return
	failed=$((failed + 1))
	echo "failed: $text"
}
