#!/usr/bin/env bash
# label: full
# The pages as a site (mkdocs.yml): without a warning, nothing from elsewhere, every page with its tables and lists; in Debian's Chromium
# readable and reachable by keyboard, on a phone too (site_browser.py).
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
# Contrast, names, keyboard and a phone's width.
if find_python selenium && command -v chromium >/dev/null && command -v chromedriver >/dev/null; then
	expect 0 '^site_browser: all is well$' "$python" tests/site_browser.py "$site"
else
	echo "site: not opened, there is no chromium, no chromedriver, or no python3 with selenium"
fi
echo "site: $checks checks, $failed failed"
[ $failed = 0 ]
