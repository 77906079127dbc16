#!/usr/bin/env bash
# label: full
# The pages as a site (mkdocs.yml): without a warning, nothing from elsewhere, every page with its tables and lists.
# usage: site.sh BUILD
set -u
. "$(dirname "$0")/expect.bash"
cd "$(dirname "$0")/.." || exit 1
command -v mkdocs >/dev/null || skip "no mkdocs"
export PYTHONDONTWRITEBYTECODE=1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
site=$tmp/site

expect 0 '' mkdocs build --strict --site-dir "$site"
check 'a first page' [ -s "$site/index.html" ]
check 'what README links to' [ -s "$site/runtime/dcc.h" ]
check 'its style' [ -s "$site/docs/site.css" ]
for page in README.md CHANGELOG.md ir/ir.md docs/*.md; do
	html=$site/${page%.md}.html
	[ "$page" != README.md ] || html=$site/index.html
	check "$page is not in the site" [ -s "$html" ]
	check "$page is not in the nav of mkdocs.yml" grep -q ": $page$" mkdocs.yml
	check "$page: a table or list without an empty line before it" sh -c "! grep -nE '^(<p>)?(\| |\|---|- |[0-9]\. )' '$html'"
	check "$page loads from elsewhere" sh -c "! grep -nE '<(script|img|link)[^>]*(src|href)=\"(https?:)?//' '$html'"
done
echo "site: $checks checks, $failed failed"
[ $failed = 0 ]
