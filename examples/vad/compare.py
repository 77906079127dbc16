#!/usr/bin/env python3
"""Compares the program of setup.sh with onnxruntime on the published model: probabilities, decisions, time of a step.

    compare.py FOLDER FILE.wav [--plot FILE.png]
"""

import subprocess
import sys
import time
import wave

import numpy as np
import onnxruntime

RATE, CHUNK, WINDOW = 16000, 512, 64
BEGIN, END, MIN_SILENCE, PAD = 0.5, 0.35, RATE // 10, RATE * 3 // 100  # as in vad.c
TURNS = 5


def read_wav(path):
    with wave.open(path) as file:
        frames = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32)
        n = file.getnchannels() * (file.getframerate() // RATE)
    return frames[: len(frames) // n * n].reshape(-1, n).mean(1) / 32768


class Published:
    """The model as the package has it, one thread, without copies by onnxruntime's binding."""

    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def probabilities(self, samples):
        """Of each chunk, and the least time of a step."""
        x, state, p = np.zeros((1, WINDOW + CHUNK), np.float32), np.zeros((2, 1, 128), np.float32), np.zeros((1, 1), np.float32)
        new_state, binding, least, result = np.zeros_like(state), self.session.io_binding(), np.inf, []
        for name, array in (("input", x), ("state", state), ("sr", np.array(RATE))):
            binding.bind_cpu_input(name, array)
        for name, array in (("output", p), ("stateN", new_state)):
            binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        for chunk in np.pad(samples, (0, -len(samples) % CHUNK)).reshape(-1, CHUNK):
            start = time.perf_counter()
            x[0, :WINDOW] = x[0, -WINDOW:]
            x[0, WINDOW:] = chunk
            self.session.run_with_iobinding(binding)
            state[:] = new_state
            least = min(least, time.perf_counter() - start)
            result.append(p[0, 0])
        return np.array(result), 1e6 * least


def decide(probabilities, samples):
    """[(begin, end)] in seconds."""
    found, begin, silence = [], None, None
    for i, p in enumerate(probabilities):
        at = i * CHUNK
        if p >= BEGIN:
            silence = None
            begin = max(0, at - PAD) if begin is None else begin
        elif begin is not None and p < END:
            silence = at if silence is None else silence
            if at - silence >= MIN_SILENCE:
                found.append((begin, silence + PAD))
                begin = None
    return [(b / RATE, e / RATE) for b, e in found + ([(begin, samples)] if begin is not None else [])]


def vad(folder, *arguments):
    done = subprocess.run([f"{folder}/vad", *arguments], check=True, capture_output=True, text=True)
    return [[float(word) for word in line.split()[:2]] for line in done.stdout.splitlines()], done.stderr


def plot(path, samples, ours, theirs, speech):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(9, 3.4), dpi=80, layout="constrained")
    above.plot(np.arange(len(samples)) / RATE, samples, color="0.3", linewidth=0.4)
    above.set_ylabel("recording")
    at = np.arange(len(ours)) * CHUNK / RATE
    below.plot(at, ours, color="#0072b2", linewidth=2.5, label="dcc")
    below.plot(at, theirs, color="#e69f00", linewidth=1, linestyle="--", label="onnxruntime")
    below.set_ylabel("probability of speech")
    below.set_xlabel("seconds")
    below.legend(loc="center")
    for axes in (above, below):
        for begin, end in speech:
            axes.axvspan(begin, end, color="#009e73", alpha=0.2)
        axes.margins(x=0)
    figure.savefig(path)


def main():
    folder, path = sys.argv[1:3]
    samples = read_wav(path)
    published = Published(f"{folder}/packages/silero_vad/data/silero_vad_16k_op15.onnx")
    ours_least = theirs_least = np.inf
    for _ in range(TURNS):
        lines, note = vad(folder, "--probabilities", path)
        ours_least = min(ours_least, float(note.split()[-4]))
        theirs, least = published.probabilities(samples)
        theirs_least = min(theirs_least, least)
    ours = np.array(lines)[:, 1]
    worst = abs(ours - theirs).max()
    print(f"{len(ours)} chunks, probabilities from {ours.min():.4f} to {ours.max():.4f}, largest difference {worst:.1e}")
    speech, expected = vad(folder, path)[0], decide(theirs, len(samples))
    same = len(speech) == len(expected) and np.allclose(speech, expected, atol=6e-4)
    print(f"{len(speech)} stretches of speech, onnxruntime's {'are the same' if same else f'are {expected}, ours {speech}'}")
    print(f"a step takes dcc {ours_least:.1f} us, onnxruntime {theirs_least:.1f} us (least times of {TURNS} turns, one thread)")
    if sys.argv[3:4] == ["--plot"]:
        plot(sys.argv[4], samples, ours, theirs, speech)
    return int(not same or worst > 1e-4)


if __name__ == "__main__":
    sys.exit(main())
