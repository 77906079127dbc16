"""Tests that need no expected outputs, for every model that mixes tokens: a token that lies outside of what an output sees leaves
its bits alone, one inside changes them; shifted sequences give the same bits, permuted ones permuted outputs.  And bench/claims.py, which does this too, on small models.

  DCC=build/dcc PYTHONPATH=python:bench python tests/receptive.py        models: tests/models and those below
"""

import os
import re
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper

import claims
import dcc

HERE = os.path.dirname(os.path.abspath(__file__))
WIDTH, HEADS = 24, 3
EVERYWHERE = (1 << 30, 1 << 30)
failed = checks = 0


def check(good, *words):
    global failed, checks
    checks += 1
    if not good:
        failed += 1
        print("receptive:", *words)


# ---- models -------------------------------------------------------------------------------------------------------------

ATTENTION = """
    q = MatMul(x, w_q)  k = MatMul(x, w_k)  v = MatMul(x, w_v)
    q1 = Reshape(q, heads)  k1 = Reshape(k, heads)  v1 = Reshape(v, heads)
    q2 = Transpose<perm=[0, 2, 1, 3]>(q1)  k2 = Transpose<perm=[0, 2, 3, 1]>(k1)  v2 = Transpose<perm=[0, 2, 1, 3]>(v1)
    s = MatMul(q2, k2)
    shape = Shape(x)  n = Gather(shape, one)  i = Range(zero, n, one)  row = Unsqueeze(i, one_axis)  apart = Sub(row, i)
    %s
    masked = Where(keep, s, low)  p = Softmax<axis=-1>(masked)
    a = MatMul(p, v2)  a1 = Transpose<perm=[0, 2, 1, 3]>(a)  y = Reshape(a1, whole)"""

# Text, and what an output sees of the tokens in front of it and behind it.
TEXTS = {
    "band": (ATTENTION % "d = Abs(apart)  keep = LessOrEqual(d, width)", (9, 9)),
    "causal": (ATTENTION % "keep = GreaterOrEqual(apart, zero)", (EVERYWHERE[0], 0)),
    "causal window": (ATTENTION % "past = GreaterOrEqual(apart, zero)  near = LessOrEqual(apart, width)  keep = And(past, near)", (9, 0)),
    "dilated convolutions": ("""
    x1 = Transpose<perm=[0, 2, 1]>(x)
    x2 = Conv<pads=[6, 0], dilations=[3]>(x1, w_conv)  x3 = Relu(x2)
    x4 = Conv<pads=[1, 1]>(x3, w_conv)
    y = Transpose<perm=[0, 2, 1]>(x4)""", (7, 1)),
    "depthwise convolution": (f"""
    x1 = Transpose<perm=[0, 2, 1]>(x)
    x2 = Conv<pads=[0, 2], group={WIDTH}>(x1, w_depth)
    y = Transpose<perm=[0, 2, 1]>(x2)""", (0, 2)),
    "pool": ("""
    x1 = Transpose<perm=[0, 2, 1]>(x)
    x2 = AveragePool<kernel_shape=[5], pads=[2, 2]>(x1)
    y = Transpose<perm=[0, 2, 1]>(x2)""", (2, 2)),
}


def parse(body):
    text = f'<ir_version: 8, opset_import: ["" : 17]> model (float[B, T, {WIDTH}] x) => (float[B, T, {WIDTH}] y) {{{body} }}'
    model = onnx.parser.parse_model(text)
    rng = np.random.default_rng(5)
    tensors = {
        "heads": np.array([0, 0, HEADS, WIDTH // HEADS]), "whole": np.array([0, 0, WIDTH]), "zero": np.array(0), "one": np.array(1),
        "one_axis": np.array([1]), "width": np.array(9), "low": np.array(-np.inf, np.float32),
        **{f"w_{name}": rng.standard_normal((WIDTH, WIDTH), np.float32) / 5 for name in "qkv"},
        "w_conv": rng.standard_normal((WIDTH, WIDTH, 3), np.float32) / 8, "w_depth": rng.standard_normal((WIDTH, 1, 3), np.float32),
    }
    used = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in tensors.items() if name in used)
    return model


# Of tests/models: what an output sees; their convolutions have 5 and 3 taps.
FILES = {f"{name}.{exporter}": (3, 3) for name in ("dynconv-taps", "dynconv-unfold", "lightconv-conv") for exporter in ("dynamo", "ts")}
FILES["transformer-layer.dynamo"] = EVERYWHERE


def file_of(name):
    return os.path.join(HERE, "models", name, "model.onnx")


# ---- tests --------------------------------------------------------------------------------------------------------------


def ways(model):
    """The best target of this CPU on one and three workers, and AVX2 where that is another: program, how to call it, label."""
    best = dcc.compile(model)
    found = [(best, 1, "1 thread"), (best, 3, "3 threads")]
    with open("/proc/cpuinfo") as f:
        if "avx512vl" in f.read():
            found.append((dcc.compile(model, march="avx2"), 1, "avx2"))
    return [(program, lambda inputs, p=program, t=threads: p(inputs, threads=t), label) for program, threads, label in found]


def sequence(program, tokens):
    """Inputs for two sequences; the second dim is the time."""
    port = program.inputs[0]
    return port.name, claims.make_inputs(program, **dict(zip(port.shape, (2, tokens))))


def test_field(name, model, behind, ahead):
    for program, run, label in ways(model):
        for tokens in (1, 5, 40, 150):
            x, inputs = sequence(program, tokens)
            for token in sorted({0, tokens // 3, tokens - 1}):
                found = claims.changes(run, inputs, x, 1, token).tolist()
                expected = [t - token for t in range(tokens) if t - behind <= token <= t + ahead]
                check(found == expected, f"{name}, {label}: with token {token} of {tokens} change {found}, expected {expected}")


def test_shift(name, model, reach):
    for program, run, label in ways(model):
        for tokens, steps in ((40, 1), (40, 5), (150, 16), (150, 37)):
            x, inputs = sequence(program, tokens)
            differ, inner = claims.shift_differs(run, inputs, x, 1, steps, reach)
            check(inner > 0 and not differ, f"{name}, {label}: {differ} of {inner} tokens differ, {tokens} shifted by {steps}")


def test_permutation(name, model, make, axes):
    for program, run, label in ways(model):
        for tokens in (5, 40, 150):
            error = claims.permuted_error(run, make(program, tokens), axes)
            check(error <= 2e-5, f"{name}, {label}: error {error:.2g} of {tokens} permuted tokens")


def masked(program, tokens):
    """Inputs of mha: the time comes first, tokens at the end are dropped."""
    rng = np.random.default_rng(6)
    return {"x": rng.standard_normal((tokens, 2, 20), np.float32), "drop": np.arange(tokens) >= np.array([[tokens], [tokens - 3]])}


def test_script():
    """Lines of bench/claims.py: measured, wrong, and without a model."""
    texts = {"full-attn": ATTENTION % "keep = Equal(apart, apart)", "local-attn": TEXTS["band"][0],
             "mobilenet-v1-full": TEXTS["dilated convolutions"][0], "mobilenet-v1": TEXTS["depthwise convolution"][0]}
    script, build = os.path.join(HERE, "..", "bench", "claims.py"), os.path.dirname(os.environ["DCC"])
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            os.mkdir(f"{folder}/{name}.tiny.dynamo")
            onnx.save(parse(text), f"{folder}/{name}.tiny.dynamo/model.onnx")
        command = [sys.executable, script, folder, "--size", "tiny", "--seconds", "0.01", "--build", build, "--only"]
        run = subprocess.run([*command, "7,11,12"], capture_output=True, text=True)
        wrong = subprocess.run([*command, "7,99"], capture_output=True, text=True)
        nowhere = subprocess.run([sys.executable, script, f"{folder}/none"], capture_output=True, text=True)
    check(run.returncode == 0, run.stderr)
    for line in (r"\| 7 \| .* multiply-adds of convolutions \| 8.57 \| 48.00 \(", r"\| 7 \| .*, B = 1 \| [^|]* \| [0-9.]+ \([0-9.]+, [0-9.]+ ms\)",
                 r"full-attn: workspace at T = 4096 / 2048 \| <= 2.05 \| [0-9.]+ \(", r"token 128 of 256 \| all \| 256 of 256 change",
                 r"token 512 of 1024 \| [^|]* \| -9 to \+9, 10 outside", "not measured: no dynconv-enc-taps.tiny.dynamo"):
        check(re.search(line, run.stdout), f"claims.py prints no line '{line}':\n{run.stdout}")
    check(wrong.returncode == 2 and "expected numbers of 1 to 14" in wrong.stderr, wrong.stderr)
    check(nowhere.returncode == 2 and "none: no folder" in nowhere.stderr, nowhere.stderr)


def main():
    models = {name: (parse(text), seen) for name, (text, seen) in TEXTS.items()}
    models.update({name: (file_of(name), seen) for name, seen in FILES.items()})
    for name, (model, (behind, ahead)) in models.items():
        test_field(name, model, behind, ahead)
        if max(behind, ahead) < 30:
            test_shift(name, model, max(behind, ahead))
    test_permutation("transformer-layer", file_of("transformer-layer.dynamo"), lambda p, n: sequence(p, n)[1], {"src": 1, None: 1})
    test_permutation("mha", file_of("mha.dynamo"), masked, {"x": 0, "drop": 1, None: 0})
    test_script()
    print(f"receptive: {checks} checks, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
