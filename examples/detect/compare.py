#!/usr/bin/env python3
"""Compares the program of setup.sh with onnxruntime: the map of probabilities, which pixels are text, time of the model.

    compare.py FOLDER IN.png OUT.png
"""

import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime
from PIL import Image

MULTIPLE, THRESHOLD = 32, 0.3  # as in detect.cpp
TURNS = 6


def to_input(path):
    pixels = np.asarray(Image.open(path).convert("RGB"), np.float32)[:, :, ::-1] / np.float32(127.5) - 1
    rows, columns = (-n % MULTIPLE for n in pixels.shape[:2])
    return np.ascontiguousarray(np.pad(pixels, ((0, rows), (0, columns), (0, 0)), "edge").transpose(2, 0, 1)[None])


def detect(folder, *paths):
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "map")
        done = subprocess.run([f"{folder}/detect", "--map", path, *paths], check=True, capture_output=True, text=True)
        return done.stdout.splitlines(), np.fromfile(path, np.float32), float(done.stderr.split()[-4])


def run_onnxruntime(session, x):
    binding = session.io_binding()
    binding.bind_cpu_input(session.get_inputs()[0].name, x)
    binding.bind_output(session.get_outputs()[0].name)
    least = np.inf
    for _ in range(10):
        start = time.perf_counter()
        session.run_with_iobinding(binding)
        least = min(least, time.perf_counter() - start)
    return binding.copy_outputs_to_cpu()[0], 1e3 * least


def main():
    folder, picture, out = sys.argv[1:4]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    path = f"{folder}/packages/rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx"
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    x, ours_least, theirs_least = to_input(picture), np.inf, np.inf
    for _ in range(TURNS):
        lines, ours, least = detect(folder, picture, out)
        ours_least = min(ours_least, least)
        theirs, least = run_onnxruntime(session, x)
        theirs_least = min(theirs_least, least)
    worst, text = abs(ours - theirs.ravel()).max(), theirs.ravel() > THRESHOLD
    other = int(((ours > THRESHOLD) != text).sum())
    print(f"{len(lines)} lines of text; {text.sum()} of {text.size} pixels, {other} others than onnxruntime's; largest difference {worst:.1e}")
    print(f"the model takes dcc {ours_least:.1f} ms, onnxruntime {theirs_least:.1f} ms (least times of {TURNS} turns, one thread)")
    return int(other != 0 or worst > 1e-4)


if __name__ == "__main__":
    sys.exit(main())
