#!/usr/bin/env bash
# What the pages name is there: files, links, functions and tables.
# usage: docs.sh BUILD
set -u
cd "$(dirname "$0")/.." || exit 1
failed=0 checks=0

must() {
	checks=$((checks + 1))
	"${@:2}" >/dev/null && return
	failed=$((failed + 1))
	echo "docs: $1"
}

for page in README.md docs/extending.md docs/try.md docs/install.md docs/abi.md docs/report.md docs/apps.md docs/scaling.md CHANGELOG.md; do
	folder=$(dirname "$page")
	for file in $(grep -oE '`(ir|passes|backend|frontend|runtime|tools|tests|python|docs|examples)/[A-Za-z0-9_./*-]+`' "$page" | tr -d '`' | sort -u); do
		must "$page names $file" compgen -G "$file"
	done
	for link in $(grep -oE '\]\([^):]+\)' "$page" | tr -d '()]' | sort -u); do
		must "$page links to $link" test -e "$folder/$link"
	done
done
for name in lower_node find_features fusions TEXT FUNC ONNX_OP DCC_CPU_AVX2 dcc_dtype; do
	must "no $name in the sources" grep -rqw "$name" ir passes backend frontend runtime
done
echo "docs: $checks checks, $failed failed"
[ $failed = 0 ]
