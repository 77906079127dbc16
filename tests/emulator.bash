# Sourced by the tests that run the AVX-512 half of objects where the CPU has none: zmmrun starts a static program in bochs.
emulator_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
zmmrun=$emulator_here/../../shared/avx512/zmmrun
export emulator_here zmmrun

have_emulator() {
	[ -x "$zmmrun" ] && command -v bochs-bin >/dev/null
}

# run_emulated SECONDS MEGABYTES PROGRAM [ARGUMENT...]: what the emulator gets wrong is replaced first, if the program has room for
# that (emulator_room.h)
run_emulated() {
	local limit=$1 memory=$2 status try
	shift 2
	! nm "$1" | grep -q ' emulator_room$' || python3 "$emulator_here/emulator_patch.py" "$1" || return
	for try in 1 2 3; do # 125: the emulator did not start, as when another one starts at the same moment
		"$zmmrun" -t "$limit" -m "$memory" "$@"
		status=$?
		[ $status = 125 ] || break
	done
	return $status
}
