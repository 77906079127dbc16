#!/usr/bin/env python3
"""The same as ranks.c with onnxruntime and mpi4py, to compare with.

    mpirun -n 2 python3 examples/mpi/compare.py examples/langid/langid.onnx FILE TURNS

One thread a rank.  Prints the language of each line as ranks.c does, and the same figures.
"""

import os
import sys
import time

import numpy as np
import onnxruntime
from mpi4py import MPI

BATCH, MAX_BYTES = 32, 1024


def read_rows(path):
    with open(path, "rb") as file:
        lines = [bytes(max(c, 32) for c in line[:MAX_BYTES]) for line in file.read().split(b"\n") if line]
    rows = np.zeros((len(lines), max(map(len, lines))), np.uint8)
    for row, line in zip(rows, lines):
        row[: len(line)] = list(line)
    return rows


def main():
    model, path, turns = sys.argv[1], sys.argv[2], int(sys.argv[3])
    world = MPI.COMM_WORLD
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name, best, cpu = session.get_inputs()[0].name, np.inf, 0.0
    rows = read_rows(path) if world.rank == 0 else None
    width = world.bcast(rows.shape[1] if world.rank == 0 else None)
    total = world.bcast(len(rows) if world.rank == 0 else None)
    counts = np.array([total // world.size + (r < total % world.size) for r in range(world.size)])
    mine, gathered = np.empty((counts[world.rank], width), np.uint8), None
    for _ in range(turns):
        world.Barrier()
        start = MPI.Wtime()
        world.Scatterv([rows, counts * width, MPI.BYTE] if world.rank == 0 else None, mine)
        before = time.process_time()
        some = [session.run(None, {name: mine[at : at + BATCH]})[0] for at in range(0, len(mine), BATCH)]
        cpu += time.process_time() - before
        some = np.concatenate(some) if some else np.empty((0, 22), np.float32)
        gathered = np.empty((total, some.shape[1]), np.float32) if world.rank == 0 else None
        world.Gatherv(some, [gathered, counts * some.shape[1], MPI.FLOAT] if world.rank == 0 else None)
        best = min(best, MPI.Wtime() - start)
    cpu = world.reduce(cpu)
    if world.rank == 0:
        with open(os.path.join(os.path.dirname(model), "languages.def"), encoding="utf-8") as file:
            codes = [line.split('"')[1] for line in file if line.startswith("X(")]
        for probabilities, row in zip(gathered, rows):
            k = probabilities.argmax()
            print(f"{codes[k]} {probabilities[k]:.6f} {row.tobytes().rstrip(bytes(1)).decode(errors='replace')}")
        rates = f"{total / best:.0f} a second, {total * turns / cpu:.0f} a second of CPU"
        print(f"{total} lines of {width} bytes on {world.size} ranks: {rates}", file=sys.stderr)


if __name__ == "__main__":
    main()
