#!/usr/bin/env python3
"""Times dcc against other engines on ONNX models, in turns, on the same cores.

  python bench/peers.py [--build build] [--threads 1] [--seconds 5] [--peers onnxruntime,openvino] [--record FILE] MODEL_DIR...

A MODEL_DIR holds model.onnx and test_data_set_0/input_*.pb (ONNX's test layout).  Each engine runs in a process of its own, pinned to
the same `threads` cores; they take turns of about 0.5 s so that drift hits all, and wait while it is not their turn.
Prints the median and the least time of each, in ms, and how often dcc's least time fits into that of the best peer; "noisy" where
other work on the machine shows (dcc's median is 15 % above its least time).  --peers: default: those that are installed; all compute
in f32.  --record appends a line of JSON for each model: the times, the machine, and its roofs as dcc-run measures them; table.py
makes a table and a plot of such a file.  Needs onnx, numpy.
"""

import argparse
import datetime
import glob
import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
import time

TURN = 0.5  # seconds
NOISY = 1.15


# ---- engines: each gives a function that runs the model once ----------------------------------------------------------


def inputs_of(model_dir):
    import onnx
    from onnx import numpy_helper

    tensors = [onnx.load_tensor(path) for path in
               sorted(glob.glob(f"{model_dir}/test_data_set_0/input_*.pb"), key=lambda p: int(re.search(r"(\d+)\.pb$", p)[1]))]
    return [(t.name, numpy_helper.to_array(t)) for t in tensors]


def open_onnxruntime(model_dir, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(f"{model_dir}/model.onnx", options, providers=["CPUExecutionProvider"])
    feeds = {name or session.get_inputs()[i].name: value for i, (name, value) in enumerate(inputs_of(model_dir))}
    return lambda: session.run(None, feeds)


def open_openvino(model_dir, threads):
    import openvino

    model = openvino.compile_model(f"{model_dir}/model.onnx", "CPU", {
        "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False})
    request = model.create_infer_request()
    feeds = [openvino.Tensor(value) for _, value in inputs_of(model_dir)]
    return lambda: request.infer(feeds)


ENGINES = {"onnxruntime": open_onnxruntime, "openvino": open_openvino}


def worker(engine, model_dir, threads):
    """The protocol of dcc-run --protocol."""
    try:
        run = ENGINES[engine](model_dir, threads)
        run()
    except Exception as e:
        print(f"error: {str(e).splitlines()[0] if str(e) else type(e).__name__}", flush=True)
        return
    print("ready", flush=True)
    for line in sys.stdin:
        command = line.split()
        if command[0] == "quit":
            return
        times, end = [], time.perf_counter() + float(command[1])
        while not times or time.perf_counter() < end:
            start = time.perf_counter_ns()
            run()
            times.append(time.perf_counter_ns() - start)
        print(len(times), int(statistics.median(times)), min(times), flush=True)


# ---- turns ------------------------------------------------------------------------------------------------------------


class Peer:
    def __init__(self, name, command, cpus):
        self.name, self.medians, self.least = name, [], float("inf")
        self.process = subprocess.Popen(["taskset", "-c", cpus, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.failure = self.process.stdout.readline().strip()
        if self.failure == "ready":
            self.failure = None
        elif not self.failure:
            self.failure = self.process.stderr.read().strip()[-200:] or "no answer"

    def turn(self, seconds, record=True):
        self.process.stdin.write(f"run {seconds}\n")
        self.process.stdin.flush()
        _, median, least = map(int, self.process.stdout.readline().split()[:3])
        if record:
            self.medians.append(median)
            self.least = min(self.least, least)

    def close(self):
        if not self.failure:
            self.process.stdin.write("quit\n")
            self.process.stdin.flush()
        self.process.communicate()

    def times(self):
        """Milliseconds, or why there are none."""
        return self.failure or {"median": statistics.median(self.medians) / 1e6, "least": self.least / 1e6}


def take_turns(peers, seconds):
    """Lets those that are ready run by turns, then ends all."""
    running, turn = [p for p in peers if not p.failure], min(TURN, seconds)
    for peer in running:
        peer.turn(turn, record=False)
    for _ in range(max(1, round(seconds / (2 * TURN)))):
        for peer in running:
            peer.turn(turn)
    for peer in peers:
        peer.close()


def measure(model, args, cpus):
    """Of each engine what times() says."""
    peers = [Peer("dcc", [f"{args.build}/dcc-run", f"{model}/model.onnx", "--inputs", f"{model}/test_data_set_0", "--threads",
                          str(args.threads), "--protocol"], cpus)]
    peers += [Peer(name, [sys.executable, __file__, "--worker", name, model, str(args.threads)], cpus) for name in args.peers]
    take_turns(peers, args.seconds)
    return {peer.name: peer.times() for peer in peers}


# ---- the machine ------------------------------------------------------------------------------------------------------


def machine(build):
    with open("/proc/cpuinfo") as f:
        cpuinfo = f.read()
    here = os.path.dirname(os.path.abspath(__file__))
    profile = subprocess.run([f"{build}/dcc-run", f"{here}/gemm.ir", "-D", "M=16", "--random", "1", "--profile"], capture_output=True, text=True).stdout
    roof = re.search(r"([\d.]+) GFLOP/s by FMA.*?([\d.]+) GB/s", profile)
    commit = subprocess.run(["git", "-C", here, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {"date": datetime.date.today().isoformat(), "commit": commit, "cpu": re.search(r"model name\s*: (.*)", cpuinfo)[1],
            "avx512": "avx512f" in cpuinfo, "gflops": float(roof[1]) if roof else None, "gbs": float(roof[2]) if roof else None}


def machine_text(facts):
    roofs = f", {facts['gflops']} GFLOP/s and {facts['gbs']} GB/s a core" if facts["gflops"] else ""
    return f"{facts['cpu']}{' with AVX-512' if facts['avx512'] else ', AVX2'}{roofs}"


def is_noisy(t):
    return isinstance(t, dict) and t["median"] > NOISY * t["least"]


def ms(t):
    return f"{t:.2f}" if t >= 1 else f"{t:.4f}"


def row(model, threads, times):
    cells = [f"{ms(t['median'])} ({ms(t['least'])})" if isinstance(t, dict) else "-" for t in times.values()]
    least = {name: t["least"] for name, t in times.items() if isinstance(t, dict)}
    best = min((t for name, t in least.items() if name != "dcc"), default=None)
    ratio = f"{best / least['dcc']:.2f}" if best and "dcc" in least else "-"
    return f"| {model} | {threads} | {' | '.join(cells)} | {ratio}{' noisy' if is_noisy(times['dcc']) else ''} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL_DIR")
    parser.add_argument("--build", default="build")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5, help="of each engine")
    parser.add_argument("--peers", help="default: " + ",".join(ENGINES) + ", where installed")
    parser.add_argument("--record", metavar="FILE")
    args = parser.parse_args()
    args.peers = args.peers.split(",") if args.peers else [name for name in ENGINES if importlib.util.find_spec(name)]
    unknown = [name for name in args.peers if name not in ENGINES]
    if unknown:
        parser.error(f"--peers: unknown: {', '.join(unknown)}; there are {', '.join(ENGINES)}")
    cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))[:args.threads]))
    facts = machine(args.build) if args.record else None
    print(f"| model | threads | {' | '.join(['dcc', *args.peers])} | best peer / dcc |\n|---|---{'|---' * (len(args.peers) + 2)}|")
    for model in args.models:
        name = os.path.basename(model.rstrip("/"))
        times = measure(model, args, cpus)
        print(row(name, args.threads, times), flush=True)
        for engine, t in times.items():
            if not isinstance(t, dict):
                print(f"{name}: {engine}: {t}", file=sys.stderr)
        if args.record:
            with open(args.record, "a") as f:
                f.write(json.dumps({**facts, "model": name, "threads": args.threads, "times": times}) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
