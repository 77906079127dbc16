#!/usr/bin/env python3
"""How a node fares as workers grow, without Ray: processes of one thread that embed the same lines, started at once.

    workers.py FOLDER LINES.txt [--engine onnxruntime] [N...]

For each N: seconds until all had embedded a first line (imports excluded), lines a second of all together, of a second of CPU, and
memory that the model brought, in MB: as the kernel shares it out (PSS, summed over workers) and as each worker sees it (RSS).
"""

import argparse
import multiprocessing
import os
import time


def memory():
    """MB: proportional and resident."""
    with open("/proc/self/smaps_rollup", encoding="ascii") as file:
        found = {line.split(":")[0]: int(line.split()[1]) for line in file if line.startswith(("Pss:", "Rss:"))}
    return found["Pss"] / 1024, found["Rss"] / 1024


def work(folder, engine, lines, seconds, barrier, results):
    import compare
    import search

    before = memory()
    barrier.wait()
    start = time.monotonic()
    encode = search.Encoder(search.compiled(folder) if engine == "dcc" else compare.session(folder))
    encode(lines[:1])
    ready = time.monotonic() - start
    encode(lines[: search.BATCH])
    barrier.wait()
    start, cpu, done = time.monotonic(), time.process_time(), 0
    while time.monotonic() < start + seconds:
        encode(lines[done % len(lines) :][: search.BATCH])
        done += search.BATCH
    spent, cpu = time.monotonic() - start, time.process_time() - cpu
    barrier.wait()
    after = memory()
    barrier.wait()
    results.put((ready, done / spent, done, cpu, after[0] - before[0], after[1] - before[1]))


def measure(folder, engine, lines, n, seconds):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(n), context.Queue()
    arguments = (folder, engine, lines, seconds, barrier, results)
    processes = [context.Process(target=work, args=arguments) for _ in range(n)]
    for process in processes:
        process.start()
    ready, rates, done, cpu, pss, rss = zip(*(results.get(timeout=300) for _ in processes))
    for process in processes:
        process.join()
    print(f"{engine:12} {n} workers: ready in {max(ready):.2f} s, {sum(rates):4.0f} lines a second, {sum(done) / sum(cpu):4.0f} of CPU, "
          f"PSS {sum(pss):4.0f} MB, RSS {max(rss):4.0f} MB each", flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description="How a node fares as workers grow.")
    parser.add_argument("folder")
    parser.add_argument("lines")
    parser.add_argument("workers", nargs="*", type=int, default=[1, 2, 4])
    parser.add_argument("--engine", choices=("dcc", "onnxruntime"), default="dcc")
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    with open(options.lines, encoding="utf-8") as file:
        lines = [line.rstrip("\n") for line in file if line.strip()]
    for n in options.workers:
        measure(os.path.abspath(options.folder), options.engine, lines, n, options.seconds)


if __name__ == "__main__":
    main()
