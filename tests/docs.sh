#!/usr/bin/env bash
# What the pages name is there: files, links, functions and tables.
# PYTHON names an interpreter that may have onnx; default: python3.  Generated pages are what their scripts print.
# usage: docs.sh BUILD
set -u
build=$(cd "$1" && pwd) || exit 1
cd "$(dirname "$0")/.." || exit 1
python=${PYTHON:-python3}
export PYTHONDONTWRITEBYTECODE=1
failed=0 checks=0

must() {
	checks=$((checks + 1))
	"${@:2}" >/dev/null && return
	failed=$((failed + 1))
	echo "docs: $1"
}

for page in README.md docs/*.md docs/extending.md docs/try.md docs/first-quarter.md docs/install.md docs/abi.md docs/report.md docs/apps.md docs/scaling.md CHANGELOG.md; do
	folder=$(dirname "$page")
	for file in $(grep -oE '`(ir|passes|backend|frontend|runtime|tools|tests|python|docs|examples)/[A-Za-z0-9_./*-]+`' "$page" | tr -d '`' | sort -u); do
		must "$page names $file" compgen -G "$file"
	done
	for link in $(grep -oE '\]\([^):#]+' "$page" | tr -d '(]' | sort -u); do
		must "$page links to $link" test -e "$folder/$link"
	done
done
for name in lower_node find_features fusions TEXT FUNC ONNX_OP DCC_CPU_AVX2 dcc_dtype; do
	must "no $name in the sources" grep -rqw "$name" ir passes backend frontend runtime
done

# ONNX's operators are in the page or said to be missing.
all_operators='
import sys, onnx.defs
words = set(sys.stdin.read().replace(",", " ").replace(";", " ").split())
sys.exit(bool([s.name for s in onnx.defs.get_all_schemas() if not s.domain and not s.deprecated and s.name not in words]))'
if command -v "$python" >/dev/null; then
	must 'docs/operators.md is not what tools/operators_page.py prints' \
		cmp docs/operators.md <("$python" tools/operators_page.py "$build/dcc")
	! "$python" -c 'import onnx.defs' 2>/dev/null ||
		must 'an operator of ONNX is not in docs/operators.md' "$python" -c "$all_operators" <docs/operators.md
	! "$python" -c 'import numpy' 2>/dev/null ||
		must 'docs/benchmarks.md is not what bench/table.py --page prints' \
			cmp docs/benchmarks.md <("$python" bench/table.py bench/results.jsonl --page)
else
	echo "docs: generated pages skipped, no $python"
fi
echo "docs: $checks checks, $failed failed"
[ $failed = 0 ]
