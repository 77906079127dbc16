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

# begin BUILD, from the folder of the sources: sets root (that folder), build, dcc, run and tmp, a folder that goes when the test ends,
# and goes there.
begin() {
	root=$PWD
	build=$(cd "$1" && pwd) || exit 1
	dcc=$build/dcc run=$build/dcc-run
	tmp=$(mktemp -d) || exit 1
	trap 'rm -rf "$tmp"' EXIT
	cd "$tmp" || exit 1
}

# skip WHY: what the test needs is not there.
skip() {
	echo "$(basename "$0" .sh): skipped, $1"
	exit 77
}

# Is the build (in $build) made with sanitizers?
has_sanitizers() {
	grep -qE '^DCC_(SANITIZE|TSAN):BOOL=ON' "$build/CMakeCache.txt"
}

# find_python MODULES: sets python to PYTHON, or the first of python3 and /usr/bin/python3, that imports all of MODULES ("numpy, onnx"); fails
# if none does.
find_python() {
	for python in ${PYTHON:-python3 /usr/bin/python3}; do
		"$python" -c "import $1" 2>/dev/null && return
	done
	python=
	return 1
}

# For tests that load the compiler's shared objects into an interpreter.
skip_sanitizers() {
	! has_sanitizers || skip "the interpreter cannot load libraries with sanitizers"
}
