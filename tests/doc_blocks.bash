# Sourced by docs.sh and doc_commands.sh: the indented blocks of pages, and doc_commands.table, which says what is not run.
doc_table=$(sed '/^#/d; s/ *| */|/g' "$(dirname "${BASH_SOURCE[0]}")/doc_commands.table")

first_lines() { # PAGE: of its indented blocks
	awk '/^```/ {fence = !fence} fence {next} /^    / {if (!open) print substr($0, 5); open = 1} /^ ? ? ?[^ ]/ {open = 0}' "$1"
}

is_left_out() { # PAGE LINE: a block that begins so is in the table
	page=$1 line=$2 awk -F '|' '$1 == ENVIRON["page"] && index(ENVIRON["line"], $2) == 1 {found = 1} END {exit !found}' <<<"$doc_table"
}
