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

for page in README.md docs/*.md CHANGELOG.md; do
	folder=$(dirname "$page")
	for file in $(grep -oE '`(ir|passes|backend|frontend|runtime|tools|tests|python|docs|examples)/[A-Za-z0-9_./*-]+`' "$page" | tr -d '`' | sort -u); do
		must "$page names $file" compgen -G "$file"
	done
	for link in $(awk '/^```/ {fence = !fence} !fence' "$page" | grep -oE '\]\([^):#]+' | tr -d '(]' | sort -u); do
		must "$page links to $link" test -e "$folder/$link"
	done
done
for name in lower_node find_features fusions TEXT FUNC ONNX_OP DCC_CPU_AVX2 dcc_dtype; do
	must "no $name in the sources" grep -rqw "$name" ir passes backend frontend runtime
done

# Every indented block is commands that tests/doc_commands.sh runs, or in its table; what is no command is fenced, with its language.
. tests/doc_blocks.bash
begins_block() { # PAGE BEGINNING
	first_lines "$1" | begin=$2 awk 'index($0, ENVIRON["begin"]) == 1 {found = 1} END {exit !found}'
}
for page in README.md docs/*.md; do
	while IFS= read -r line; do
		[[ $line = '$ '* ]] || must "$page: neither a command nor in tests/doc_commands.table: $line" is_left_out "$page" "$line"
	done < <(first_lines "$page")
	must "$page: a fenced block without a language, or of commands" \
		awk '/^```/ {fence = !fence; if (fence && $0 !~ /^```(c|cpp|cmake|python|text)$/) exit 1}' "$page"
done
while IFS='|' read -r page line test why; do
	must "tests/doc_commands.table: no block of $page begins with $line" begins_block "$page" "$line"
	must "tests/doc_commands.table: no test $test" test -s "$test"
	must "tests/doc_commands.table: $page: no reason" test -n "$why"
done <<<"$doc_table"

# One version: that of dcc.h.
version=$(sed -n 's/^#define DCC_VERSION "\(.*\)"/\1/p' runtime/dcc.h)
must "CHANGELOG.md does not begin with version $version" test "$(grep -m 1 '^## ' CHANGELOG.md)" = "## $version"
must "python/dcc/__init__.py has another version than $version" grep -qx "__version__ = \"$version\"" python/dcc/__init__.py
must "docs/abi.md names another version than $version" grep -qF "version, $version |" docs/abi.md
for file in dcc_$version-1_amd64.deb libdcc-dev_$version-1_amd64.deb dcc-$version-linux-x86_64.tar.gz dcc-$version-py3-none-; do
	must "docs/install.md does not name $file" grep -qF "\`$file" docs/install.md
done
must "find_package() wants another version than ${version%.*}" \
	test -z "$(grep -noE 'find_package\(dcc [0-9.]+' examples/*/CMakeLists.txt docs/first-steps.md | grep -vE "dcc ${version%.*}\$")"

# ONNX's operators are in the page or said to be missing.
all_operators='
import sys, onnx.defs
words = set(sys.stdin.read().replace(",", " ").replace(";", " ").split())
sys.exit(bool([s.name for s in onnx.defs.get_all_schemas() if not s.domain and not s.deprecated and s.name not in words]))'
if command -v "$python" >/dev/null; then
	must 'docs/operators.md is not what tools/operators_page.py prints' \
		cmp docs/operators.md <("$python" tools/operators_page.py "$build/dcc")
	must 'docs/tried.md is not what bench/try_models.py --page prints' \
		cmp docs/tried.md <("$python" bench/try_models.py --page bench/tried.jsonl)
	for page in c cpp; do
		must "docs/api-$page.md is not what tools/api_pages.py prints" cmp "docs/api-$page.md" <("$python" tools/api_pages.py $page)
	done
	! "$python" -c 'import numpy' 2>/dev/null ||
		must 'docs/api-python.md is not what tools/api_pages.py prints' cmp docs/api-python.md <("$python" tools/api_pages.py python)
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
