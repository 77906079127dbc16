#!/usr/bin/env bash
# label: full
# The zoo of models beside the checkout, if it is there: as models.sh does, and refusals where the model is known to be
# wrong (its exporter wrote something else than it was given) or to need what dcc does not have.
# usage: zoo.sh BUILD [ZOO]
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd) || exit 1
zoo=${2:-$here/../../shared/zoo/tiny}
if [ ! -d "$zoo" ]; then
	echo "zoo: no folder $zoo; skipped"
	exit 0
fi
must_refuse=(lightconv-enc-band) may_refuse=(lstm-tagger reformer-lsh)
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
	if is_in "$base" "${must_refuse[@]}" "${may_refuse[@]}"; then
		"$build/dcc" -o "$tmp/m.o" "$model/model.onnx" >"$tmp/out" 2>&1
		status=$?
		if [ $status = 1 ] && [ -s "$tmp/out" ]; then
			refused=$((refused + 1))
			echo "$name: refused: $(head -1 "$tmp/out" | sed 's/^[^:]*: //')"
			continue
		fi
		if [ $status != 0 ] || is_in "$base" "${must_refuse[@]}"; then
			echo "$name: exit status $status, should be refused with a message"
			failed=$((failed + 1))
			continue
		fi
	fi
	models+=("$model")
done
bash "$here/models.sh" "$build" "${models[@]}" || failed=$((failed + 1))
echo "zoo: ${#models[@]} models compared, $refused refused"
[ $failed = 0 ]
