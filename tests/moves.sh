#!/usr/bin/env bash
# Operands that lie the wrong way round move by whole vectors, and weights that a loop reads again are read there and back: what kernels do,
# told by the text of their loop IR.
# usage: moves.sh BUILD
set -u
build=$(cd "$1" && pwd) || exit 1
tmp=$(mktemp -d) && trap 'rm -rf "$tmp"' EXIT
failed=0 count=0

# kernel NAME: its text in all.loops
kernel() {
	awk -v name="kernel @$1(" 'index($0, name) { on = 1 } on { print } on && /^}/ { exit }' "$tmp/all.loops"
}

# must KERNEL COUNT PATTERN: that many lines match
must() {
	local n
	n=$(kernel "$1" | grep -cE "$3")
	count=$((count + 1))
	[ "$n" = "$2" ] || { echo "$1: $n lines match $3, expected $2"; failed=$((failed + 1)); }
}

cat >"$tmp/all.ir" <<'END'
dcc-ir 1 stage import
model moves
sym t in 0..
sym k in 0..
const @two: i64[] = [2]
func @main(%x: f32[t, 512], %y: f32[t, k], %i: i64[t, 1], %j: i64[t, 64]) -> (a: f32[t, t], b: f32[t, t], c: f32[t, 512], d: f32[t, 64], e: f32[512, 512], f: f32[t, k], g: f32[t + 4, 512]) {
  %0: f32[512, t] = transpose %x {perm=[1, 0]}
  %a: f32[t, t] = matmul %x, %0
  %1: f32[k, t] = transpose %y {perm=[1, 0]}
  %b: f32[t, t] = matmul %y, %1
  %2: i64[t, 512] = expand %i
  %c: f32[t, 512] = gather_elements %x, %2 {axis=0}
  %d: f32[t, 64] = gather_elements %x, %j {axis=0}
  %e: f32[512, 512] = matmul %0, %x
  %l: i64[k] = iota
  %3: i64[k] = idiv %l, @two
  %f: f32[t, k] = gather %y, %3 {axis=1}
  %g: f32[t + 4, 512] = pad %x {pads_dim=[2, 0, 2, 0], mode=reflect}
  return %a, %b, %c, %d, %e, %f, %g
}
END
"$build/dcc" --emit=loops -o "$tmp/all.loops" "$tmp/all.ir" || exit 1
must panels 64 'zip(lo|hi)\('
must panels 16 '= %b0\[.* \+: 16 mask splat'
must panels.2 64 'zip(lo|hi)\('
must panels.3 0 'zip(lo|hi)\('
must gather_elements 1 '= %b0\[.* \+: 16'
must gather_elements.2 0 '\+: 16'
must gather_elements.2 1 '^    for ' # a division for a line of them, not for each
must gather 1 '^    for .*pmin\('
must pad 1 '= %b0\[.* \+: 16' # rows by vectors: an index for a row, not for each element

# What only linears read is stored as they read it; what others read too is packed by a kernel of its own, once.
for other in '' ', z: f32[n, 96]'; do
	cat >"$tmp/all.ir" <<END
dcc-ir 1 stage import
model stored
sym n in 2..
const @s: f32[] = [0.5]
func @main(%x: f32[n, 96]) -> (y: f32[n, 64]$other) {
  %0: f32[96, 200] = expand @s
  %1: f32[200, 64] = expand @s
  %n: f32[n, 96] = norm %x, _, _ {axis=1, eps=1e-05}
  %2: f32[n, 200] = matmul %n, %0
  %3: f32[n, 200] = relu %2
  %4: f32[n, 64] = matmul %3, %1
  return %4${other:+, %n}
}
END
	"$build/dcc" --emit=loops -o "$tmp/all.loops" "$tmp/all.ir" || exit 1
	packs=$(grep -c '^ *call @pack\.' "$tmp/all.loops")
	count=$((count + 1))
	[ "$packs" = $((${#other} ? 2 : 0)) ] || { echo "stored: $packs packs, '$other'"; failed=$((failed + 1)); }
done
# turns TARGET COUNT: that many calls say whether the iteration is an odd one
turns() {
	local n
	n=$(grep -cE "call @linear[.0-9]*$1\(.*%it % 2" "$tmp/all.loops")
	count=$((count + 1))
	[ "$n" = "$2" ] || { echo "$n linears of $1 turn, expected $2"; failed=$((failed + 1)); }
}

# Weights beside the loop, and in it the same 1000 KB, 830, 410, 260, and such that are no constants.
weights() { # NAME K N
	echo "  %$1.0: i64[$(($2 * $3))] = iota"
	echo "  %$1.1: f32[$(($2 * $3))] = cast %$1.0"
	echo "  %$1: f32[$2, $3] = reshape %$1.1"
}
cat >"$tmp/all.ir" <<END
dcc-ir 1 stage import
model turns
sym t in 0..
sym it in 0..
sym go in 0..
func @main(%steps: f32[t], %x: f32[2, 500], %m: f32[250, 500]) -> (a: f32[2, 500], b: f32[2, 500]) {
$(weights w 500 500)
$(weights u 500 400)
$(weights v 400 250)
$(weights s 250 250)
  %a: f32[2, 500] = matmul %x, %w
  %b: f32[2, 500] = loop %x {counter="it", flag="go", trips=t} (%k: f32[2, 500]) {
    %0: f32[2, 500] = matmul %k, %w
    %1: f32[2, 400] = matmul %0, %u
    %2: f32[2, 250] = matmul %1, %v
    %3: f32[2, 250] = matmul %2, %s
    %4: f32[2, 500] = matmul %3, %m
    yield %4
  }
  return %a, %b
}
END
"$build/dcc" --emit=loops -o "$tmp/all.loops" "$tmp/all.ir" || exit 1
turns avx512 2
turns avx2 3

echo "moves: $count checks, $failed failed"
[ $failed = 0 ]
