#!/usr/bin/env bash
# label: full
# The zoo of models beside the checkout, if it is there: as models.sh does, and refusals where the model is known to be
# wrong (its exporter wrote something else than it was given).
# usage: zoo.sh BUILD [ZOO [--update]]
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd) || exit 1
zoo=${2:-$here/../../shared/zoo/tiny}
if [ ! -d "$zoo" ]; then
	echo "zoo: skipped: no folder $zoo"
	exit 77
fi
must_refuse=(lightconv-enc-band)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# is_in NAME LIST...
is_in() {
	local name=$1 x
	shift
	for x; do [ "$x" != "$name" ] || return 0; done
	return 1
}

models=() failed=0 refused=0
for model in "$zoo"/*/; do
	name=$(basename "$model")
	base=${name%%.*}
	if is_in "$base" "${must_refuse[@]}"; then
		"$build/dcc" -o "$tmp/m.o" "$model/model.onnx" >"$tmp/out" 2>&1
		status=$?
		if [ $status = 1 ] && [ -s "$tmp/out" ]; then
			refused=$((refused + 1))
			echo "$name: refused: $(head -1 "$tmp/out" | sed 's/^[^:]*: //')"
		else
			echo "$name: exit status $status, should be refused with a message"
			failed=$((failed + 1))
		fi
		continue
	fi
	models+=("${model%/}")
done
# What each model fuses to: zoo.counts, "name attention winconv glu norm linear matmul conv group_conv"; --update as third argument rewrites it.
count() {
	"$build/dcc" --emit=ir --stop-after=group -o - "$1/model.onnx" | awk -v name="$(basename "$1")" '
		{ for (i = 2; i <= NF; i++) if ($(i - 1) == "=") n[$i]++ }
		END { print name, n["attention"] + 0, n["winconv"] + 0, n["glu"] + 0, n["norm"] + n["rmsnorm"] + 0, n["linear"] + 0,
		      n["matmul"] + 0, n["conv"] + 0, n["group_conv"] + 0 }'
}
for model in "${models[@]}"; do count "$model"; done >"$tmp/counts"
[ "${3:-}" != --update ] || cp "$tmp/counts" "$here/zoo.counts"
diff -u "$here/zoo.counts" "$tmp/counts" || failed=$((failed + 1))

bash "$here/models.sh" "$build" "${models[@]}" || failed=$((failed + 1))
echo "zoo: ${#models[@]} models compared, $refused refused"
[ $failed = 0 ]
