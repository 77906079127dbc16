#!/usr/bin/env python3
"""CPU seconds and memory of compiling large graphs, beside onnxruntime's session creation.

  python bench/large_graphs.py [--build build] [--shapes chain,fan,own] [N...]        default: 1000 3000 10000

Graphs of about N nodes: `chain`, MatMul + Add + Relu + Add again and again, all of one width; `own`, the same with a width of its own
for each layer, 97 in all; `fan`, branches of Mul + Add + Tanh into one Concat.  Both run as processes of one thread; CPU is user and
system time.  Needs onnx, numpy; without onnxruntime its columns are empty.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SESSION = """
import sys, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
"""


def model(nodes, weights, result, width):
    graph = helper.make_graph(nodes, "large", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16])],
                              [helper.make_tensor_value_info(result, TensorProto.FLOAT, ["n", width])], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def layers(n, widths):
    rng, nodes, weights, x, width = np.random.default_rng(0), [], [], "x", 16
    for i in range(n // 4):
        out = widths[i % len(widths)]
        w = (rng.standard_normal((width, out)) / np.sqrt(width)).astype(np.float32)
        b = rng.standard_normal((2, out)).astype(np.float32) / 100
        weights += [numpy_helper.from_array(a, f"{name}{i}") for name, a in (("w", w), ("b", b[0]), ("c", b[1]))]
        nodes += [helper.make_node("MatMul", [x, f"w{i}"], [f"m{i}"]), helper.make_node("Add", [f"m{i}", f"b{i}"], [f"a{i}"]),
                  helper.make_node("Relu", [f"a{i}"], [f"r{i}"]), helper.make_node("Add", [f"r{i}", f"c{i}"], [f"x{i}"])]
        x, width = f"x{i}", out
    return model(nodes, weights, x, width)


def fan(n):
    rng, nodes, weights, parts = np.random.default_rng(0), [], [], []
    for i in range(n // 3):
        weights.append(numpy_helper.from_array(rng.standard_normal(16).astype(np.float32), f"c{i}"))
        nodes += [helper.make_node("Mul", ["x", f"c{i}"], [f"m{i}"]), helper.make_node("Add", [f"m{i}", "x"], [f"a{i}"]),
                  helper.make_node("Tanh", [f"a{i}"], [f"t{i}"])]
        parts.append(f"t{i}")
    nodes.append(helper.make_node("Concat", parts, ["y"], axis=1))
    return model(nodes, weights, "y", 16 * len(parts))


SHAPES = {"chain": lambda n: layers(n, [16]), "own": lambda n: layers(n, [16 + i for i in range(97)]), "fan": fan}


def measure(command):
    """CPU seconds and MB of a process, or None if it failed."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(read)
        failed = subprocess.run(command, capture_output=True).returncode
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        os.write(write, f"{failed} {used.ru_utime + used.ru_stime} {used.ru_maxrss / 1024}".encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as f:
        failed, cpu, memory = map(float, f.read().split())
    os.waitpid(pid, 0)
    return None if failed else (cpu, memory)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nodes", nargs="*", type=int, default=[1000, 3000, 10000])
    parser.add_argument("--build", default="build")
    parser.add_argument("--shapes", default="chain,own,fan")
    o = parser.parse_args()
    print("| graph | nodes | dcc CPU s | MB | onnxruntime CPU s | MB |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        for shape in o.shapes.split(","):
            for n in o.nodes:
                onnx.save(SHAPES[shape](n), path)
                results = [measure([os.path.join(o.build, "dcc"), "--jobs=1", path, "-o", path + ".o"]), measure([sys.executable, "-c", SESSION, path])]
                cells = [f"{x:.2f} | {y:.0f}" if r else " | " for r in results for x, y in [r or (0, 0)]]
                print(f"| {shape} | {n} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
