#!/usr/bin/env python3
"""Scores a data set with Ray Data: a sentence vector for each line of a file, written as Parquet.

    examples/search/setup.sh BUILD FOLDER            installs and compiles the encoder
    pip install 'ray[data]'
    export PYTHONPATH=python:examples/search:FOLDER/packages
    score.py FOLDER LINES.txt OUT [--workers N] [--memory MB] [--engine onnxruntime] [--kill]

Workers are actors of one thread.  All map the same shared object, whose weights are in memory once a node.  Lines are read as
workers get free, with MB of data at most on their way (back-pressure); the batches of a worker that died go to others, and another starts in its place.  --kill lets
one die in the middle, by SIGKILL, to see that nothing is lost and nothing is there twice.

OUT has the columns id, line, vector, the worker's process, and when a line was read and done, from which this says the rest.
"""

import argparse
import logging
import os
import signal
import sys
import time

import numpy as np
import pyarrow.parquet
import ray
import ray.data

BATCH = 64  # lines; the encoder sorts them by length and takes them in smaller ones
AHEAD = 2  # batches that a worker has, one of them at work


class Reader:
    """Lines by their numbers, as a store would give them."""

    def __init__(self, lines):
        self.lines = lines

    def __call__(self, batch):
        return {**batch, "line": self.lines[batch["id"]], "read": np.full(len(batch["id"]), time.monotonic())}


class Worker:
    """Adds a vector to each line."""

    def __init__(self, folder, engine, killed):
        import search

        if engine == "onnxruntime":
            import compare
        self.encode = search.Encoder(search.compiled(folder) if engine == "dcc" else compare.session(folder))
        self.encode(["a first run, for which none waits"])
        self.killed, self.batches = killed, 0

    def __call__(self, batch):
        vectors = self.encode(batch["line"])
        self.batches += 1
        if self.killed and self.batches == 3:
            self.die_once()
        rows = len(vectors)
        return {**batch, "vector": vectors, "worker": np.full(rows, os.getpid()), "done": np.full(rows, time.monotonic())}

    def die_once(self):
        """With a batch computed and not yet handed on.  Whoever makes the file first is the one."""
        try:
            os.close(os.open(self.killed, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


def score(lines, folder, workers, engine="dcc", killed=None):
    """A data set that is computed as it is consumed."""
    blocks = max(1, len(lines) // BATCH)
    numbered = ray.data.range(len(lines), override_num_blocks=blocks)
    read = numbered.map_batches(Reader(np.array(lines)), batch_size=BATCH, num_cpus=0.1)
    pool = ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=AHEAD)
    arguments = (os.path.abspath(folder), engine, killed)
    return read.map_batches(Worker, fn_constructor_args=arguments, batch_size=BATCH, num_cpus=1, compute=pool)


def most_waiting(read, done):
    """The most lines that were read and not yet done."""
    times = np.concatenate([read, done])
    change = np.repeat([1, -1], len(read))
    return int(change[np.argsort(times, kind="stable")].cumsum().max())


def report(out, count, workers):
    """Whether each line is there once."""
    table = pyarrow.parquet.read_table(out, columns=["id", "worker", "read", "done"]).to_pandas()
    found = table.id.nunique()
    print(f"{len(table)} rows: {count - found} lost, {len(table) - found} twice, {table.worker.nunique()} processes")
    first, last = table.done.min(), table.done.max()
    rate = (table.done > first).sum() / (last - first) if last > first else np.nan
    print(f"{rate:.0f} lines a second after the first batch; at most {most_waiting(table.read, table.done)} lines waited")
    if table.worker.nunique() > workers:
        seen = table.groupby("worker").done.agg(["min", "max"])
        gap = seen["min"].max() - seen["max"].min()
        print(f"the first batch of the new process came {gap:.1f} s after the last of the dead one")
    return len(table) == count == found


def main():
    parser = argparse.ArgumentParser(description="Scores a data set with Ray Data.")
    for name in ("folder", "lines", "out"):
        parser.add_argument(name)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--engine", choices=("dcc", "onnxruntime"), default="dcc")
    parser.add_argument("--memory", type=float, default=64, metavar="MB")
    parser.add_argument("--kill", action="store_true")
    options = parser.parse_args()
    with open(options.lines, encoding="utf-8") as file:
        lines = [line.rstrip("\n") for line in file if line.strip()]
    if not lines:
        sys.exit(f"score.py: {options.lines} has no lines")
    killed = os.path.abspath(options.out) + ".killed" if options.kill else None
    if killed and os.path.exists(killed):
        os.unlink(killed)

    ray.init(num_cpus=options.workers + 1, include_dashboard=False, logging_level="error", log_to_driver=False)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.resource_limits = ray.data.ExecutionResources(object_store_memory=options.memory * 1e6)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    start = time.monotonic()
    score(lines, options.folder, options.workers, options.engine, killed).write_parquet(options.out, mode="overwrite")
    print(f"{options.engine}, {options.workers} workers: {len(lines)} lines in {time.monotonic() - start:.1f} s, start and end included")
    if killed:
        print(f"a worker was killed: {'yes' if os.path.exists(killed) else 'no'}")
    return 0 if report(options.out, len(lines), options.workers) else 1


if __name__ == "__main__":
    sys.exit(main())
