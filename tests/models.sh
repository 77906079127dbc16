#!/usr/bin/env bash
# Compiles models, compares with what torch recorded, and demands the same bytes from every target and thread count.
#
# A model is a folder with model.onnx and test_data_set_I/{input,output}_J.pb.  Without folders: tests/models/*.ts (fused.sh
# shows that most files of the other exporter become the same; models_dynamo.sh runs them).
# usage: models.sh BUILD [FOLDER...]
set -u
build=$(cd "$1" && pwd) && shift || exit 1
[ $# -gt 0 ] || set -- "$(cd "$(dirname "$0")" && pwd)"/models/*.ts/
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

isas=(avx2)
if grep -qw avx512f /proc/cpuinfo && grep -qw avx512vl /proc/cpuinfo; then
	isas+=(avx512)
else
	echo "models: this CPU cannot run avx512; skipped"
fi

# run_sets MODEL OBJECT DIR: saves the outputs of each data set for each target and thread count, and compares the files
run_sets() {
	local set isa threads first out
	for set in "$1"/test_data_set_*/; do
		first=
		for isa in "${isas[@]}"; do
			for threads in 1 2; do
				out=$3/$(basename "$set").$isa.$threads
				mkdir "$out"
				"$build/dcc-run" "$2" --inputs "$set" --isa="$isa" --threads $threads --save "$out" || return 1
				if [ -z "$first" ]; then first=$out; continue; fi
				diff -rq "$first" "$out" || return 1
			done
		done
	done
}

check() {
	local dir=$tmp/$2
	mkdir "$dir"
	"$build/dcc" -o "$dir/m.o" "$1/model.onnx" && "$build/dcc-run" "$dir/m.o" --check "$1" &&
		run_sets "$1" "$dir/m.o" "$dir"
}

i=0
for model; do
	name=$(basename "$model")
	{ check "${model%/}" "$name" || touch "$tmp/$name.failed"; } >"$tmp/$name.out" 2>&1 &
	i=$((i + 1))
	[ $((i % 2)) != 0 ] || wait
done
wait
failed=0
for model; do
	name=$(basename "$model")
	[ -e "$tmp/$name.failed" ] || continue
	failed=$((failed + 1))
	echo "$name:"
	cat "$tmp/$name.out"
done
echo "models: $i models, ${isas[*]}, 1 and 2 threads, $failed failed"
[ $failed = 0 ]
