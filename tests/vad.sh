#!/usr/bin/env bash
# label: full
# examples/vad: installs its model, and decides as onnxruntime does on recorded voices, in files and pipes of several forms.
# PYTHON names an interpreter with pip; numpy, onnx and onnxruntime are installed beside the model where it lacks them; default: python3.
# usage: vad.sh BUILD
set -u
. "$(dirname "$0")/expect.bash"
build=$(cd "$1" && pwd)
python=${PYTHON:-python3}
voices=/usr/share/sounds/alsa
[ -e $voices/Front_Center.wav ] || skip "there are no recordings (the package alsa-utils)"
! has_sanitizers || skip "the example is linked without sanitizers"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
. examples/packages.bash
fetch "$tmp/packages" silero_vad/data silero-vad==6.2.3 2>"$tmp/why" || skip "$(tail -n 1 "$tmp/why")"
export PYTHONPATH=$tmp/packages PYTHONDONTWRITEBYTECODE=1
need "$tmp/packages" numpy onnx onnxruntime 2>"$tmp/why" || skip "$python has no numpy, onnx and onnxruntime, and $(tail -n 1 "$tmp/why")"
expect 0 '^$' bash examples/vad/setup.sh "$build" "$tmp"

# Eight recordings with noise between them: 13 seconds, some 400 steps, so that both states begin anew several times.
"$python" - $voices "$tmp" <<'PY'
import glob, sys, wave
import numpy as np

voices, folder = sys.argv[1:]
random, parts = np.random.default_rng(1), []
for path in sorted(glob.glob(f"{voices}/*_*.wav")):
    with wave.open(path) as file:
        parts += [np.frombuffer(file.readframes(file.getnframes()), "<i2"), np.zeros(24000)]
mono = np.concatenate(parts)
mono = np.clip(mono + random.normal(0, 30, len(mono)), -32768, 32767).astype("<i2")
mono = mono[: len(mono) // 3 * 3]
third = mono.reshape(-1, 3)[:, :1]  # any 16 kHz
for name, rate, data in (("mono", 48000, mono), ("stereo", 48000, np.repeat(mono, 2)), ("low", 16000, third)):
    with wave.open(f"{folder}/{name}.wav", "wb") as file:
        file.setparams((1 + (name == "stereo"), 2, rate, 0, "NONE", ""))
        file.writeframes(data.tobytes())
PY
for name in mono low; do
	expect 0 'stretches of speech, onnxruntime.s are the same' "$python" examples/vad/compare.py "$tmp" "$tmp/$name.wav"
done
"$python" examples/vad/compare.py "$tmp" "$tmp/mono.wav" | sed 's/^/vad: /'

# The same from a pipe, of a length that was not known when it began, with chunks of other kinds in front, and in stereo.
vad=$tmp/vad
"$vad" "$tmp/mono.wav" >"$tmp/mono.txt"
check "speech in the recordings" [ "$(grep -c speech "$tmp/mono.txt")" -ge 8 ]
same() {
	check "$1: the same lines" cmp -s "$tmp/mono.txt" -
}
same pipe < <("$vad" - <"$tmp/mono.wav")
same stereo < <("$vad" "$tmp/stereo.wav")
streamed() { # RIFF and data of 4 GB, a chunk of odd length in front of the format
	printf 'RIFF\377\377\377\377WAVELIST\003\0\0\0abc\0'
	tail -c +13 "$tmp/mono.wav" | head -c 24
	printf 'data\377\377\377\377'
	tail -c +45 "$tmp/mono.wav"
}
same streamed < <(streamed | "$vad" -)
check 'no speech in noise' [ -z "$("$vad" $voices/Noise.wav)" ]

expect 1 'usage' "$vad"
expect 1 'none.wav: cannot be read' "$vad" "$tmp/none.wav"
expect 1 'not a WAV file' "$vad" "$tmp/vad.onnx"
expect 1 'has no samples' "$vad" - < <(head -c 36 "$tmp/mono.wav")
expect 1 'its format is cut off' "$vad" - < <(head -c 30 "$tmp/mono.wav")
expect 1 'its samples come before their format' "$vad" - < <(printf 'RIFFaaaaWAVEdata\4\0\0\0abcd')
patched() { # OFFSET BYTES
	head -c "$1" "$tmp/mono.wav"
	printf "$2"
	tail -c +$(($1 + 3)) "$tmp/mono.wav" | head -c 4000
}
expect 1 'not 16-bit PCM' "$vad" - < <(patched 34 '\10\0')
expect 1 'not 16-bit PCM' "$vad" - < <(patched 20 '\3\0')
expect 1 'expected 1 to 64 channels' "$vad" - < <(patched 22 '\0\0')
expect 1 'no multiple of 16 kHz' "$vad" - < <(patched 24 '\104\254')
expect 0 '^$' "$vad" - < <(head -c 44 "$tmp/mono.wav")
[ ! -e /dev/full ] || check 'a full disk is an error' bash -c '! "$1" "$2" 2>/dev/null >/dev/full' - "$vad" "$tmp/mono.wav"
echo "vad: $checks checks, $failed failed"
[ $failed = 0 ]
