#!/usr/bin/env bash
# label: full
# examples/detect: installs its model, frames the lines of text of a drawn picture, and gives onnxruntime's map.
# PYTHON names an interpreter with pip; Pillow, numpy and onnxruntime are installed beside the model where it lacks them; default: python3.
# usage: detect.sh BUILD
set -u
. "$(dirname "$0")/expect.bash"
build=$(cd "$1" && pwd)
python=${PYTHON:-python3}
command -v c++ >/dev/null || skip "there is no c++"
c++ -x c++ -fsyntax-only - <<<'#include <png.h>' 2>/dev/null || skip "there is no libpng (libpng-dev)"
! has_sanitizers || skip "the example is linked without sanitizers"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export PYTHONPATH=$tmp/packages PYTHONDONTWRITEBYTECODE=1
. examples/packages.bash
fetch "$tmp/packages" rapidocr_onnxruntime/models rapidocr-onnxruntime==1.4.4 2>"$tmp/why" || skip "$(tail -n 1 "$tmp/why")"
"$python" -c 'from PIL import ImageFont; ImageFont.load_default(9)' 2>/dev/null || # Debian's does not scale its font
	fetch "$tmp/packages" PIL pillow 2>"$tmp/why" || skip "$(tail -n 1 "$tmp/why")"
need "$tmp/packages" numpy onnxruntime 2>"$tmp/why" || skip "$python has no numpy and onnxruntime, and $(tail -n 1 "$tmp/why")"
expect 0 '^$' bash examples/detect/setup.sh "$build" "$tmp"

"$python" examples/detect/draw.py "$tmp/in.png" || exit 1
"$python" examples/detect/compare.py "$tmp" "$tmp/in.png" "$tmp/out.png" >"$tmp/said"
check 'as onnxruntime' [ $? = 0 ]
sed 's/^/detect: /' "$tmp/said"
expect 0 '^10 lines of text; .* 0 others' cat "$tmp/said"

# Each text of draw.py has a box that it is in, and the frame is drawn around it.
detect=$tmp/detect
"$detect" "$tmp/in.png" "$tmp/out.png" >"$tmp/boxes"
check 'ten boxes where text is, and their frames' "$python" - "$tmp" <<'PY'
import sys
sys.path.insert(0, "examples/detect")
import draw
import numpy as np
from PIL import Image, ImageFont

folder = sys.argv[1]
boxes = [list(map(float, line.split())) for line in open(f"{folder}/boxes")]
before, after = (np.asarray(Image.open(f"{folder}/{name}.png")).astype(int) for name in ("in", "out"))
changed = np.zeros(before.shape[:2], bool)
for x, y, size, _, text in draw.TEXTS:
    left, top, right, bottom = ImageFont.load_default(size).getbbox(text)
    middle = x + (left + right) / 2, y + (top + bottom) / 2
    [box] = [b for b in boxes if b[0] <= middle[0] < b[0] + b[2] and b[1] <= middle[1] < b[1] + b[3]]
    assert abs(box[2] - (right - left)) < 20 and abs(box[3] - (bottom - top)) < 20, (box, text)
    a, b, w, h = map(int, box[:4])
    changed[b : b + h, a : a + w] = True
    changed[b + 2 : b + h - 2, a + 2 : a + w - 2] = False
assert len(boxes) == len(draw.TEXTS)
assert (after[changed] == (213, 94, 0)).all() and (after[~changed] == before[~changed]).all()
PY

# Other sizes and kinds of picture: of no multiple, with a palette, with transparence, of one pixel.
"$python" - "$tmp" <<'PY'
import sys
from PIL import Image

folder = sys.argv[1]
picture = Image.open(f"{folder}/in.png")
picture.crop((0, 0, 613, 301)).save(f"{folder}/odd.png")
picture.convert("P").save(f"{folder}/palette.png")
picture.convert("RGBA").save(f"{folder}/alpha.png")
picture.crop((0, 0, 1, 1)).save(f"{folder}/one.png")
Image.new("L", (4097, 1)).save(f"{folder}/wide.png")
PY
expect 0 '^[1-9].* 0 others' "$python" examples/detect/compare.py "$tmp" "$tmp/odd.png" "$tmp/out.png"
expect 0 '^.*0\.9' "$detect" "$tmp/palette.png" "$tmp/out.png"
check 'alpha: the same boxes' cmp -s "$tmp/boxes" <("$detect" "$tmp/alpha.png" "$tmp/out.png")
expect 0 '^$' "$detect" "$tmp/one.png" "$tmp/out.png"
expect 1 'wide.png: larger than 4096' "$detect" "$tmp/wide.png" "$tmp/out.png"
expect 1 'boxes: .*PNG' "$detect" "$tmp/boxes" "$tmp/out.png"
expect 1 'none.png' "$detect" "$tmp/none.png" "$tmp/out.png"
expect 1 'Read Error|read error|Not enough' "$detect" <(head -c 9000 "$tmp/in.png") "$tmp/out.png"
expect 1 'no/out.png' "$detect" "$tmp/in.png" "$tmp/no/out.png"
expect 1 'usage' "$detect"
echo "detect: $checks checks, $failed failed"
[ $failed = 0 ]
