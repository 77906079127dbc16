# Sourced by the tests that run the AVX-512 half of objects where the CPU has none: zmmrun starts a static program in bochs.
zmmrun=$(dirname "${BASH_SOURCE[0]}")/../../shared/avx512/zmmrun

have_emulator() {
	[ -x "$zmmrun" ] && command -v bochs-bin >/dev/null
}

# beyond_emulator FILE: has it code that bochs 2.7 and 3.0 do not run as a CPU does?  Gathers and scatters by an index in zmm16 to
# zmm31 are invalid there, and kshiftlw by 15 gives 0.
beyond_emulator() {
	objdump -d --no-show-raw-insn "$1" | grep -qE '\((%r[a-z0-9]+)?,%[xyz]mm(1[6-9]|2[0-9]|3[01])[,)]|kshiftlw +\$0xf,'
}
