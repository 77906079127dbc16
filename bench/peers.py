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
import importlib.util
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from dcc.turns import ENGINES, command_of, is_noisy, ms, take_turns  # noqa: E402

PEERS = [name for name in ENGINES if name != "dcc"]


def measure(model, args):
    """Of each engine what Peer.times() says."""
    path, inputs = f"{model}/model.onnx", f"{model}/test_data_set_0"
    commands = {"dcc": [f"{args.build}/dcc-run", path, "--inputs", inputs, "--threads", str(args.threads), "--protocol"]}
    commands.update((name, command_of(name, path, inputs, args.threads)) for name in args.peers)
    return take_turns(commands, args.threads, args.seconds)


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
    parser.add_argument("--peers", help="default: " + ",".join(PEERS) + ", where installed")
    parser.add_argument("--record", metavar="FILE")
    args = parser.parse_args()
    args.peers = args.peers.split(",") if args.peers else [name for name in PEERS if importlib.util.find_spec(name)]
    unknown = [name for name in args.peers if name not in PEERS]
    if unknown:
        parser.error(f"--peers: unknown: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    facts = machine(args.build) if args.record else None
    print(f"| model | threads | {' | '.join(['dcc', *args.peers])} | best peer / dcc |\n|---|---{'|---' * (len(args.peers) + 2)}|")
    for model in args.models:
        name = os.path.basename(model.rstrip("/"))
        times = measure(model, args)
        print(row(name, args.threads, times), flush=True)
        for engine, t in times.items():
            if not isinstance(t, dict):
                print(f"{name}: {engine}: {t}", file=sys.stderr)
        if args.record:
            with open(args.record, "a") as f:
                f.write(json.dumps({**facts, "model": name, "threads": args.threads, "times": times}) + "\n")


if __name__ == "__main__":
    main()
