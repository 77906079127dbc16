#!/usr/bin/env bash
# Our onnx.proto against an official one, where one is installed (the onnx package of Python, or libonnx-dev): every message, field and
# enum value that ours has must stand there with the same number and type.  One of before IR version 10 lacks some: what it has must agree.
# usage: proto.sh BUILD [ONNX_PROTO]
set -u
ours=$(cd "$(dirname "$0")/.." && pwd)/frontend/onnx.proto
official=${2:-}
if [ -z "$official" ]; then
	for official in "$(${PYTHON:-python3} -c 'import onnx, os; print(os.path.dirname(onnx.__file__) + "/onnx.proto")' 2>/dev/null)" \
		/usr/include/onnx/onnx.proto /usr/include/onnx/onnx-ml.proto ""; do
		[ ! -f "$official" ] || break
	done
fi
if [ -z "$official" ]; then
	echo "proto: skipped, no official onnx.proto is installed"
	exit 77
fi

# One line a field or enum value: "Message.Nested.name = number type".  Labels (optional, repeated, oneof) are left out except repeated.
list() {
	sed -E 's|//.*||; s/\[[^]]*\]//g' "$1" | tr '\n' ' ' | sed -E 's|/\*([^*]\|\*[^/])*\*/||g; s/([{};])/\1\n/g' | awk '
		function name_of(i) { return depth ? scope[depth] "." i : i }
		/\{/ {
			gsub(/[{;]/, "")
			kind = $1; id = $2
			depth++
			scope[depth] = kind == "oneof" || kind == "extend" ? scope[depth - 1] : (depth > 1 ? scope[depth - 1] "." id : id)
			next
		}
		/\}/ { depth--; next }
		/=/ && depth {
			gsub(/;/, "")
			if ($1 == "option" || $1 == "reserved") next
			split($0, side, "=")
			n = split(side[1], w, " ")
			gsub(/ /, "", side[2])
			type = ""
			for (i = 1; i < n; i++) if (w[i] != "optional" && w[i] != "required") type = type " " w[i]
			print scope[depth] "." w[n] " = " side[2] type
		}' | sort -u
}
missing=$(comm -23 <(list "$ours") <(list "$official"))
count=$(list "$ours" | wc -l)
if [ -n "$missing" ] && [ "$(($(grep -oE 'IR_VERSION = 0x[0-9A-Fa-f]+' "$official" | sed 's/.*= //' | tail -1)))" -lt 10 ]; then
	missing=$(grep -F -f <(list "$official" | sed 's/ = .*/ = /') <<<"$missing")
fi
if [ -n "$missing" ] || [ "$count" -lt 50 ]; then
	echo "proto: not in $(basename "$official"):"
	echo "$missing"
	exit 1
fi
echo "proto: $count fields and values agree"
