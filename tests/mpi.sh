#!/usr/bin/env bash
# label: full
# examples/mpi: the same lines for any number of ranks, also for fewer lines than ranks; what langid and onnxruntime say.
# PYTHON names an interpreter with pip for the latter; numpy, mpi4py and onnxruntime are installed where it lacks them; default: python3.
# usage: mpi.sh BUILD
set -u
. "$(dirname "$0")/expect.bash"
build=$(cd "$1" && pwd)
for program in mpicc mpirun; do
	command -v $program >/dev/null || skip "there is no $program (libopenmpi-dev, openmpi-bin)"
done
! has_sanitizers || skip "the example is linked without sanitizers"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# Open MPI asks for these where it runs as root, as in a container, and more ranks than cores are wanted.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
"$build/dcc" -o "$tmp/langid.o" examples/langid/langid.onnx || exit 1
flags=(-std=c11 -O2 -Wall -Wextra -Werror -I runtime -I examples/langid -I "$tmp")
expect 0 '^$' mpicc "${flags[@]}" examples/mpi/ranks.c "$tmp/langid.o" "$build/libdcc.a" -o "$tmp/ranks"
expect 0 '^$' cc "${flags[@]}" examples/langid/langid.c "$tmp/langid.o" "$build/libdcc.a" -o "$tmp/langid"
cut -f2 examples/langid/test.tsv | awk 'NR % 4 == 1; NR % 40 == 3 {print ""}' >"$tmp/lines.txt"

ranks() { # N FILE [TURNS]
	timeout 120 mpirun -n "$1" "$tmp/ranks" "${@:2}"
}
ranks 1 "$tmp/lines.txt" >"$tmp/1.txt"
check 'a line for each, none for empty ones' [ "$(wc -l <"$tmp/1.txt")" = "$(grep -c . "$tmp/lines.txt")" ]
for n in 2 3; do
	check "$n ranks: the same bits" cmp -s "$tmp/1.txt" <(ranks $n "$tmp/lines.txt")
done
check 'the languages of langid' cmp -s <(cut -c1-2 "$tmp/1.txt") <(grep . "$tmp/lines.txt" | "$tmp/langid" | cut -c1-2)
head -n 3 "$tmp/lines.txt" >"$tmp/few.txt" # one of them empty
printf 'no end of line, \001 a control character, %01500d' 7 >>"$tmp/few.txt"
check 'fewer lines than ranks' cmp -s <(ranks 1 "$tmp/few.txt") <(ranks 4 "$tmp/few.txt")
check 'three lines' [ "$(ranks 4 "$tmp/few.txt" | wc -l)" = 3 ]
for n in 1 2; do
	ranks $n "$tmp/lines.txt" 5 2>&1 >/dev/null | sed 's/^/mpi: dcc: /' | tee -a "$tmp/rates"
done
check 'rates' [ "$(grep -cE 'on [12] ranks: [1-9][0-9]* a second, [1-9][0-9]* a second of CPU$' "$tmp/rates")" = 2 ]

expect 1 'rank 0: .*none.txt: cannot be read' ranks 2 "$tmp/none.txt"
expect 1 'rank 0: /dev/null: has no lines' ranks 2 /dev/null
expect 1 'usage: ranks FILE' ranks 2 "$tmp/lines.txt" none

. examples/packages.bash
export PYTHONPATH=$tmp/packages PYTHONDONTWRITEBYTECODE=1
if need "$tmp/packages" numpy mpi4py onnxruntime 2>/dev/null && timeout 60 mpirun -n 1 "$python" -c 'from mpi4py import MPI' 2>/dev/null; then
	compare() {
		timeout 120 mpirun -n "$1" "$python" examples/mpi/compare.py examples/langid/langid.onnx "$tmp/lines.txt" 5
	}
	for n in 1 2; do
		compare $n 2>&1 >"$tmp/onnxruntime$n.txt" | sed 's/^/mpi: onnxruntime: /'
		check "$n ranks: onnxruntime's languages, and probabilities to 1e-5" awk \
			'NR == FNR {code[FNR] = $1; p[FNR] = $2; next} {d = $2 - p[FNR]; n++} $1 != code[FNR] || d > 1e-5 || d < -1e-5 {bad = 1}
			 END {exit bad || !n || n != length(p)}' "$tmp/1.txt" "$tmp/onnxruntime$n.txt"
	done
else
	echo "mpi: no onnxruntime and mpi4py beside it, and they cannot be installed"
fi
echo "mpi: $checks checks, $failed failed"
[ $failed = 0 ]
