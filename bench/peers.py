#!/usr/bin/env python3
"""Times dcc against other engines on ONNX models, in turns, on the same cores.

  python bench/peers.py [--build build] [--threads 1] [--seconds 5] [--peers onnxruntime,openvino] [--avx2] [--record FILE] MODEL_DIR...

A MODEL_DIR holds model.onnx and test_data_set_0/input_*.pb (ONNX's test layout).  Each engine runs in a process of its own, pinned to
the same `threads` cores; they take turns of about 0.5 s so that drift hits all, and wait while it is not their turn.
Prints the median and the least time of each, in ms, and how often dcc's least time fits into that of the best peer; "noisy" where
other work on the machine shows (dcc's median is 15 % above its least time).  --peers: default: those that are installed; all compute
in f32 and may have huge pages (turns.py); torch compiles the module that make() of a make.py beside the model returns, where there is one.  --record appends a line of
JSON for each model: the times, the machine, its roofs as dcc-run measures them, and with one thread the time that the FLOP of the
products at the peak and the bytes of the weights at the memory's rate take; table.py makes a table and a plot of such a file.
--avx2: without AVX-512, also where the CPU has it: dcc's target, and ONEDNN_MAX_CPU_ISA for OpenVINO and torch.  onnxruntime has no such switch;
nor have the products of OpenVINO that its runtime model calls gemm_mlas (half of bert-base's), so there only a CPU without AVX-512 tells.
Needs onnx, numpy.
"""

import argparse
import datetime
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from dcc.turns import ENGINES, command_of, is_noisy, ms, pick_cpus, take_turns  # noqa: E402

PEERS = [name for name in ENGINES if name != "dcc"]


def isa(avx2):
    return ["--isa=avx2"] if avx2 else []


def measure(model, args):
    """Of each engine what Peer.times() says."""
    path, inputs = f"{model}/model.onnx", f"{model}/test_data_set_0"
    commands = {"dcc": [f"{args.build}/dcc-run", path, "--inputs", inputs, *isa(args.avx2), "--threads", str(args.threads), "--protocol"]}
    commands.update((name, command_of(name, path, inputs, args.threads)) for name in args.peers)
    return take_turns(commands, args.threads, args.seconds)


# ---- what the machine allows ----------------------------------------------------------------------------------------------

PRODUCTS = {"attention", "conv", "dft", "experts", "group_conv", "linear", "linears", "matmul", "sparse_linear", "strassen", "winconv", "winograd"}


def weight_bytes(path):
    """Of the tensors that products read: those of two axes and more that are not only gathered from."""
    import math

    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    read = {name for node in graph.node for i, name in enumerate(node.input) if i or not node.op_type.startswith("Gather")}
    sizes = {onnx.TensorProto.FLOAT: 4, onnx.TensorProto.FLOAT16: 2, onnx.TensorProto.BFLOAT16: 2, onnx.TensorProto.INT8: 1, onnx.TensorProto.UINT8: 1}
    return sum(math.prod(w.dims) * sizes.get(w.data_type, 0) for w in graph.initializer if len(w.dims) > 1 and w.name in read)


def limit(model, args):
    """Milliseconds on one core, and what they are made of; None: there is no profile, or bytes are multiplied."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [f"{args.build}/dcc-run", f"{model}/model.onnx", *isa(args.avx2), "--inputs", f"{model}/test_data_set_0", f"--profile={file.name}", "--seconds", "1"]
        subprocess.run(["taskset", "-c", pick_cpus(1), *command], capture_output=True)
        try:
            profile = json.load(file)
        except ValueError:
            return None
    if any(step["kernel"].startswith("byte_linear") for step in profile["steps"]):
        return None  # its roof is another
    flop = sum(step["flop"] for step in profile["steps"] if step["kernel"].split(".")[0] in PRODUCTS)
    weights = weight_bytes(f"{model}/model.onnx")
    return {"ms": flop / profile["gflop_per_s"] / 1e6 + weights / profile["gbyte_per_s"] / 1e6, "gflop": flop / 1e9, "weights": weights,
            "gflops": profile["gflop_per_s"], "gbs": profile["gbyte_per_s"]}


# ---- the machine ------------------------------------------------------------------------------------------------------


def machine(build, avx2=False):
    with open("/proc/cpuinfo") as f:
        cpuinfo = f.read()
    here = os.path.dirname(os.path.abspath(__file__))
    profile = subprocess.run([f"{build}/dcc-run", f"{here}/gemm.ir", *isa(avx2), "-D", "M=16", "--random", "1", "--profile"], capture_output=True, text=True).stdout
    roof = re.search(r"([\d.]+) GFLOP/s by FMA.*?([\d.]+) GB/s", profile)
    commit = subprocess.run(["git", "-C", here, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    name, family, model = (re.search(rf"{key}\s*: (.*)", cpuinfo)[1] for key in ("model name", "cpu family", "model"))
    return {"date": datetime.date.today().isoformat(), "commit": commit, "cpu": f"{name} (family {family}, model {model})",
            "avx512": "avx512f" in cpuinfo and not avx2, "gflops": float(roof[1]) if roof else None, "gbs": float(roof[2]) if roof else None}


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
    parser.add_argument("--avx2", action="store_true")
    parser.add_argument("--record", metavar="FILE")
    args = parser.parse_args()
    args.peers = args.peers.split(",") if args.peers else [name for name in PEERS if importlib.util.find_spec(name)]
    if args.avx2 and "onnxruntime" in args.peers:
        parser.error("--avx2: onnxruntime takes AVX-512 where the CPU has it; --peers=openvino")
    unknown = [name for name in args.peers if name not in PEERS]
    if unknown:
        parser.error(f"--peers: unknown: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    if args.avx2:
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"
    facts = machine(args.build, args.avx2) if args.record else None
    print(f"| model | threads | {' | '.join(['dcc', *args.peers])} | best peer / dcc |\n|---|---{'|---' * (len(args.peers) + 2)}|")
    for model in args.models:
        name = os.path.basename(model.rstrip("/"))
        times = measure(model, args)
        print(row(name, args.threads, times), flush=True)
        for engine, t in times.items():
            if not isinstance(t, dict):
                print(f"{name}: {engine}: {t}", file=sys.stderr)
        if args.record:
            bound = {"limit": limit(model, args)} if args.threads == 1 else {}
            with open(args.record, "a") as f:
                f.write(json.dumps({**facts, "model": name, "threads": args.threads, "times": times, **bound}) + "\n")


if __name__ == "__main__":
    main()
