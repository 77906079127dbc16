"""dcc-try, with made-up inputs and with those beside a model; needs what test_dcc.py needs, and onnx."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

import dcc
from dcc import inputs, trial
from dcc.compiler import find_compiler

onnx = pytest.importorskip("onnx")
EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
RUNTIME = EXAMPLES.parent / "runtime"
MODEL = EXAMPLES / "dynconv.onnx"
F, I = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
EVIL = "a\x1b[2J\u202eb</script>\"'" + "n" * 10000


def node(op, reads, gives, name="", **attributes):
    return onnx.helper.make_node(op, reads.split(), gives.split(), name, **attributes)


def save(path, nodes, reads, gives, weights=(), domains=()):
    """reads, gives: name=(type, dims)"""
    ports = [[onnx.helper.make_tensor_value_info(name, *of) for name, of in side.items()] for side in (reads, gives)]
    graph = onnx.helper.make_graph(nodes, "g", *ports, [onnx.numpy_helper.from_array(array, name) for name, array in weights])
    opsets = [onnx.helper.make_opsetid(domain, 1) for domain in domains] + [onnx.helper.make_opsetid("", 17)]
    path.parent.mkdir(exist_ok=True)
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return str(path)


def save_tensors(folder, kind, arrays):
    folder.mkdir(exist_ok=True)
    for i, (name, array) in enumerate(arrays.items()):
        onnx.save_tensor(onnx.numpy_helper.from_array(array, name), folder / f"{kind}_{i}.pb")


@pytest.fixture
def run(capfd):
    """run(arguments...): exit status, the lines by label, all of the output"""

    def call(*arguments, seconds="0"):
        status = trial.main([*map(str, arguments), "--seconds", seconds, "--threads", "2"])
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        assert all(c.isprintable() or c == "\n" for c in out + err)
        lines, label = {}, None
        for line in out.splitlines():
            label = line[:10].strip() or label
            lines[label] = f"{lines[label]} {line[11:].strip()}" if label in lines else line[11:]
        return status, lines, out + err

    return call


@pytest.fixture
def alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # import onnxruntime fails


def has_onnxruntime():
    return pytest.importorskip("onnxruntime")


# ---- the whole of it ---------------------------------------------------------------------------------------------------


def test_right(run):
    has_onnxruntime()
    status, lines, out = run(MODEL, seconds="0.1")
    assert status == 0, out
    assert lines["inputs"].startswith("x: float32[1, 128, 48] random in [-1, 1) made up for batch = 1, seq = 128;")
    assert re.match(r"largest error \S+e-0[78] of the largest output; beside onnxruntime ", lines["right"])
    for label in ("1 thread", "2 threads"):
        assert re.match(r"dcc [\d.]+ ms, onnxruntime [\d.]+ ms: (dcc|onnxruntime) takes [\d.]+ times as long", lines[label])
    sizes = r"shared object .*: code \S+ kB, weights \S+ kB; workspace \S+ kB, \S+ kB for 2 threads$"
    assert re.match(sizes, lines["sizes"]), lines["sizes"]
    assert re.match(r"in [\d.]+ s for avx512 and avx2", lines["compiled"]) and "2 winconv" in lines["fused"]
    assert re.match(r"(\S*/)?dcc -o dynconv\.o ", lines["go on"])


def test_c_lines(run, tmp_path):
    """They are C, in the names of the header."""
    _, _, out = run(MODEL, "-D", "seq=1..9", "--name=try_it")
    lines = out[out.index('#include "try_it.h"'):]
    assert "{.batch = 1, .seq = 9, .threads = 1}" in lines
    dcc.compile(MODEL, output=tmp_path / "try_it.so", name="try_it", dims={"seq": (1, 9)})
    source = tmp_path / "app.c"
    include, rest = lines.split("\n", 1)
    source.write_text(f"#include <stdlib.h>\n{include}\nint run(const float *x, float *y);\nint run(const float *x, float *y)\n{{\n"
                      f"{rest}\nfree(workspace);\nreturn status;\n}}\n")  # fmt: skip
    subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{RUNTIME}", source], check=True)


def test_go_on(run, tmp_path, monkeypatch):
    """By paths where the library lies beside the compiler, which a wheel or a build of this tree has; else by what is installed."""
    program = tmp_path / "dcc"
    program.symlink_to(os.path.abspath(find_compiler()))
    monkeypatch.setenv("DCC", str(program))
    _, lines, out = run(MODEL)
    assert lines["go on"].startswith(f"{program} -o dynconv.o ") and "$(pkg-config --libs dcc)" in lines["go on"], out
    (tmp_path / "libdcc.a").touch()
    _, lines, out = run(MODEL)
    words = re.search(r"^(\S+) -o dynconv\.o .* cc -I (\S+) app\.c dynconv\.o (\S+) #include", lines["go on"])
    assert words and words[1] == str(program) and words[3] == str(tmp_path / "libdcc.a"), out
    assert os.path.samefile(words[2], RUNTIME)
    (tmp_path / "dcc.h").touch()
    _, lines, out = run(MODEL)
    assert f" cc -I {tmp_path} app.c " in lines["go on"], out
    (tmp_path / "libdcc.a").unlink()
    monkeypatch.delenv("DCC")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    _, lines, out = run(MODEL)
    assert lines["go on"].startswith("dcc -o dynconv.o ") and "$(pkg-config --cflags dcc)" in lines["go on"], out


def test_without_onnxruntime(run, alone):
    status, lines, out = run(MODEL, seconds="0.1")
    assert status == 0 and lines["unproven"] == "onnxruntime is not installed (pip install onnxruntime)", out
    assert re.match(r"dcc [\d.]+ ms( \(noisy.*)?$", lines["1 thread"])


def test_data_set(run, tmp_path, alone):
    path = tmp_path / "m" / "model.onnx"
    path.parent.mkdir()
    shutil.copy(MODEL, path)
    x, y = (np.load(EXAMPLES / "dynconv.data" / f"{name}.npy") for name in ("input", "output"))
    folder = path.parent / "test_data_set_0"
    save_tensors(folder, "input", {"": x})
    save_tensors(folder, "output", {"y": y})
    status, lines, out = run(path)
    assert status == 0 and "from test_data_set_0" in lines["inputs"] and lines["right"].endswith("beside test_data_set_0"), out
    y[0, 1, 2] += 1
    save_tensors(folder, "output", {"y": y})
    status, lines, out = run(path)
    words = r"output 'y' error .*, allowed 2e-05, worst at \[0, 1, 2\]: got .*; beside test_data_set_0"
    assert status == 1 and re.match(words, lines["WRONG"]), out
    status, _, out = run(path, "--tol=10")
    assert status == 0, out
    (folder / "input_0.pb").write_bytes(b"\xff" * 9)
    status, lines, out = run(path)
    assert status == 0 and lines["note"].startswith("test_data_set_0 is left out: ") and "random" in lines["inputs"], out


def test_custom_operators(run, tmp_path):
    folder = EXAMPLES / "custom"
    subprocess.run(["cc", "-fPIC", "-c", f"-I{RUNTIME}", folder / "operators.c", "-o", tmp_path / "operators.o"], check=True)
    status, lines, out = run(folder / "custom.onnx")
    assert status == 1 and "'--custom-op=com.example:Snake=FUNCTION'" in lines["to do"], out
    custom = ("--custom-op=com.example:Snake=example_snake(%x: f32[b, t, c], alpha: f32[]) -> (f32[b, t, c])",
              "--custom-op=com.example:Best=example_best(%x: f32[b, c, t]) -> (f32[b, c], i64[b, c])")
    status, lines, out = run(folder / "custom.onnx", tmp_path / "operators.o", "-lm", *custom)
    assert status == 0 and "right" in lines and "operators.o" in lines["go on"], out
    status, _, out = run(folder / "custom.onnx", *custom)
    assert status == 1 and re.search(r"no file defines the function example_(snake|best): ", out), out


def test_program():
    """As a user calls it, from another folder."""
    env = {**os.environ, "PYTHONPATH": str(pathlib.Path(dcc.__file__).parents[1])}
    call = lambda *arguments: subprocess.run([sys.executable, "-m", "dcc", "try", *arguments], capture_output=True, text=True, env=env)
    done = call("--help")
    assert done.returncode == 0 and "--custom-op" in done.stdout
    done = call()
    assert (done.returncode, done.stderr) == (1, "dcc-try: no model (dcc-try --help lists the options)\n")
    done = call("--seconds=0", "--", "-none.onnx", "-none.o")
    assert (done.returncode, done.stderr) == (1, "") and "No such file" in done.stdout and "unknown option" not in done.stdout
    done = call(MODEL, "--frobnicate")
    assert (done.returncode, done.stderr) == (1, "dcc-try: unrecognized arguments: --frobnicate (dcc-try --help lists the options)\n")
    first_line = f"'{sys.executable}' -m dcc try '{MODEL}' --seconds 0 | head -1"
    done = subprocess.run(first_line, shell=True, capture_output=True, text=True, env=env)
    assert done.stderr == ""


# ---- refused -----------------------------------------------------------------------------------------------------------


def test_refused(run, tmp_path):
    nodes = [node("Relu", "x", "r"), *(node("Frob", "r", f"f{i}", f"frob {i}") for i in range(12)), node("Relu", "f0", "y")]
    path = save(tmp_path / "m.onnx", nodes, {"x": (F, [2])}, {"y": (F, [2]), **{f"f{i}": (F, [2]) for i in range(1, 12)}})
    status, lines, out = run(path)
    assert status == 1 and "1 problem in" in lines["refused"], out
    assert "- node 'frob 0' (Frob): operator 'Frob' is not supported (12 times)" in lines["refused"]
    assert "'--custom-op=ai.onnx:Frob=FUNCTION'" in lines["to do"]
    assert "--outputs=r ends" in lines["to do"] and "--inputs=f0 begins" in lines["to do"]
    status, lines, out = run(path, "--outputs=r")
    assert status == 0, out
    status, lines, out = run(tmp_path / "none.onnx")
    assert status == 1 and "No such file or directory" in lines["refused"] and "to do" not in lines, out


def test_lost_weights(run, tmp_path):
    """No part of the model is at fault."""
    nodes = [node("Relu", "x", "r", "r"), node("Add", "r w", "e", "add"), node("Relu", "e", "y", "y")]
    path = save(tmp_path / "m.onnx", nodes, {"x": (F, [4])}, {"y": (F, [4])}, [("w", np.ones(4, np.float32))])
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    (tmp_path / "w.bin").unlink()
    status, lines, out = run(path)
    assert status == 1 and "w.bin must lie where" in lines["to do"] and "--inputs" not in out and "--outputs" not in out, out


def test_strings(run, tmp_path):
    """No C function takes them: the advice is to leave them out."""
    nodes = [node("StringNormalizer", "s", "t", "norm"), node("Frob", "t", "r", "f"), node("Relu", "r", "y")]
    path = save(tmp_path / "m.onnx", nodes, {"s": (onnx.TensorProto.STRING, [2])}, {"y": (F, [2])})
    status, lines, out = run(path)
    assert status == 1 and "--custom-op" not in out and "--inputs=r begins it behind that" in lines["to do"], out


def test_unbounded(run, tmp_path):
    path = save(tmp_path / "m.onnx", [node("Range", "a b c", "y")], {name: (F, []) for name in "abc"}, {"y": (F, ["N"])})
    status, lines, out = run(path)
    symbol = re.search(r"-D (\S+)=0\.\.N states how large", lines["to do"])
    assert status == 1 and symbol, out
    save_to = [tmp_path / f"{name}.npy" for name in "abc"]
    for file, value in zip(save_to, (0, 5, 1)):
        np.save(file, np.float32(value))
    status, lines, out = run(path, "-D", f"{symbol[1]}=0..64", *(f"--input={name}={file}" for name, file in zip("abc", save_to)))
    assert status == 0 and ("right" in lines or "unproven" in lines), out


def test_cut(run, tmp_path):
    """Beside onnxruntime runs the same part of the model."""
    has_onnxruntime()
    nodes = [node("Relu", "x", "r"), node("Exp", "r", "e"), node("Abs", "e", "y")]
    path = save(tmp_path / "m.onnx", nodes, {"x": (F, ["N", 3])}, {"y": (F, ["N", 3])})
    status, lines, out = run(path, "--outputs=r")
    assert status == 0 and "right" in lines, out
    status, lines, out = run(path, "--inputs=e", "--shape=e=[N,3]")
    assert status == 0 and "e: float32[" in lines["inputs"], out


def test_evil_names(run, tmp_path):
    """The fixture looks at what is printed."""
    nodes = [onnx.helper.make_node("Exp", [EVIL], ["e"], EVIL), onnx.helper.make_node("Add", ["e", EVIL], [EVIL + "y"], EVIL + "2")]
    path = save(tmp_path / "m.onnx", nodes, {EVIL: (F, [EVIL, 3])}, {EVIL + "y": (F, [EVIL, 3])})
    status, lines, out = run(path)
    assert len(out) < 20000
    path = save(tmp_path / "m.onnx", [onnx.helper.make_node("Frob", [EVIL], ["y"], EVIL)], {EVIL: (F, [3])}, {"y": (F, [3])})
    status, lines, out = run(path)
    assert status == 1 and "a\\x1b[2J\\u202eb</script>" in lines["refused"] and len(out) < 5000, out


# ---- made-up inputs ----------------------------------------------------------------------------------------------------


def embed(tmp_path, rows):
    nodes = [node("Gather", "table ids", "e", "emb"), node("Cast", "mask", "m", to=F), node("Unsqueeze", "m one", "n"),
             node("Mul", "e n", "y")]
    table, one = np.random.default_rng(0).random((rows, 4), np.float32), np.array([2])
    return save(tmp_path / "m.onnx", nodes, {"ids": (I, ["B", "T"]), "mask": (I, ["B", "T"])}, {"y": (F, ["B", "T", 4])},
                [("table", table), ("one", one)])  # fmt: skip


@pytest.mark.parametrize("rows, most", [(5000, 999), (300, 99), (20, 9), (3, 1), (1, 0)])
def test_indices(tmp_path, rows, most):
    made, y = inputs.find_inputs(dcc.compile(embed(tmp_path, rows)))
    ids, mask = made.arrays["ids"], made.arrays["mask"]
    assert ids.shape == mask.shape == (1, 128) and y.shape == (1, 128, 4) and made.sizes == {"B": 1, "T": 128}
    assert ids.min() >= 0 and ids.max() <= most and (most < 10 or ids.max() > most // 2)
    assert (mask[:, :96] == 1).all() and (mask[:, 96:] == 0).all() or most == 0


def test_one_index_of_two(tmp_path):
    """Only the input that does not fit gets smaller numbers."""
    tables = [(name, np.random.default_rng(0).random((rows, 4), np.float32)) for name, rows in (("t", 5000), ("u", 30))]
    nodes = [node("Gather", "t ids", "a"), node("Gather", "u kinds", "b"), node("Add", "a b", "y")]
    made, _ = inputs.find_inputs(dcc.compile(save(
        tmp_path / "m.onnx", nodes, {"ids": (I, ["T"]), "kinds": (I, ["T"])}, {"y": (F, ["T", 4])}, tables)))
    assert made.made == {"ids": "random 0..999", "kinds": "random 0..9"}


def test_errors_carry_places(tmp_path):
    m = dcc.compile(embed(tmp_path, 5))
    one = np.ones((1, 2), np.int64)
    with pytest.raises(dcc.Error, match="index 7 out of range") as caught:
        m(7 * one, one)
    assert (caught.value.node, caught.value.tensor) == ("emb", "ids")
    with pytest.raises(dcc.Error) as caught:
        m(one.astype(np.int32), one)
    assert (caught.value.node, caught.value.tensor) == (None, "ids")
    with pytest.raises(dcc.Error) as caught:
        inputs.find_inputs(m, {"ids": 7 * one, "mask": one})
    assert caught.value.code == 5


def test_sizes(tmp_path):
    """Of symbols that must be equal, that inputs decide, and that are bounded; of sums of symbols."""
    m = dcc.compile(save(tmp_path / "m.onnx", [node("Add", "x z", "y")], {"x": (F, ["h", 3]), "z": (F, ["seq", 3])}, {"y": (F, ["h", 3])}))
    made, _ = inputs.find_inputs(m)
    assert made.arrays["x"].shape == made.arrays["z"].shape == (128, 3)
    made, _ = inputs.find_inputs(m, {"x": np.ones((7, 3), np.float32)})
    assert made.arrays["z"].shape == (7, 3) and list(made.made) == ["z"]
    nodes = [node("ConstantOfShape", "shape", "zeros"), node("Add", "x zeros", "y")]
    path = save(tmp_path / "s.onnx", nodes, {"x": (F, ["a", "b"]), "shape": (I, [2])}, {"y": (F, ["a", "b"])})
    m = dcc.compile(path, dims={"b": (1, 40)})
    made, y = inputs.find_inputs(m)
    assert tuple(made.arrays["shape"]) == y.shape and made.made["shape"] == "sizes"


@pytest.mark.parametrize("name, values, words", [
    ("lengths", [128] * 2, "the longest"), ("position_ids", [0, 1], "0, 1, 2, ..."), ("sr", [16000] * 2, "16000"),
    ("token_type_ids", [0, 0], "0")])  # fmt: skip
def test_guesses(tmp_path, name, values, words):
    nodes = [node("Cast", name, "c", to=F), node("ReduceSum", "x", "s", keepdims=0), node("Add", "c s", "y")]
    m = dcc.compile(save(tmp_path / "m.onnx", nodes, {"x": (F, [1, "seq"]), name: (I, [2])}, {"y": (F, [2])}))
    made, _ = inputs.find_inputs(m)
    assert made.arrays[name].tolist() == values and made.made[name] == words


def test_evaluate():
    values = {"past": 7, "min": 3}  # C, too, takes min for the symbol then
    for text, expected in [("past + 1", 8), ("(past + 1)/3", 2), ("max(past, 9)%4", 1), ("min*2", 6), ("12", 12)]:
        assert inputs.evaluate(text, values) == expected
    assert inputs.evaluate("min(past, 5)", {"past": 7}) == 5
    for text in ("past/0", "1 - past", "nosuch", "__import__", "past past", "(", "past.real", "min(5)"):
        with pytest.raises(dcc.Error, match="has no size"):
            inputs.evaluate(text, {"past": 7})


@pytest.mark.parametrize("text, words", [
    ("nosuch=a.npy", "expected NAME=FILE.npy with a name of x"), ("x", "expected NAME=FILE.npy"),
    ("x=/none.npy", "No such file or directory"), ("x={bad}", "--input x=")])  # fmt: skip
def test_wrong_input_files(run, tmp_path, text, words):
    bad = tmp_path / "bad.npy"
    bad.write_bytes(b"no array")
    status, _, out = run(MODEL, "--input", text.format(bad=bad))
    assert status == 1 and words in out
    np.save(tmp_path / "wrong.npy", np.ones((1, 2, 47), np.float32))
    status, _, out = run(MODEL, f"--input=x={tmp_path}/wrong.npy")
    assert status == 1 and "dcc-try: input 'x': dim 2 is 47, expected 48" in out


def test_inputs_that_never_fit(run, tmp_path):
    nodes = [node("Reshape", "x to", "y")]
    path = save(tmp_path / "m.onnx", nodes, {"x": (F, ["k"])}, {"y": (F, [7, "r"])}, [("to", np.array([7, -1]))])
    status, _, out = run(path)
    assert status == 1 and re.match(r"dcc-try: no made-up inputs fit: .*128.* \(-D SYM=N and --input NAME=FILE.npy choose\)$", out), out
    np.save(tmp_path / "x.npy", np.ones(21, np.float32))
    status, lines, out = run(path, f"--input=x={tmp_path}/x.npy")
    assert status == 0 and lines["inputs"] == "x: float32[21] from --input", out


def test_ranks_of_ones(run, tmp_path):
    """A Squeeze takes what is 1 when onnxruntime runs; dcc knows of it with -D."""
    has_onnxruntime()
    path = save(tmp_path / "m.onnx", [node("Squeeze", "x", "s"), node("Relu", "s", "y")], {"x": (F, ["batch", 1, 3])}, {"y": (F, None)})
    status, lines, out = run(path)
    words = "float32[1, 3], expected float32[3] (with equal elements); -D batch=1 tells dcc that dims are 1"
    assert status == 1 and words in lines["WRONG"], out
    status, lines, out = run(path, "-D", "batch=1")
    assert status == 0 and "right" in lines, out


def test_output_listed_twice(run, tmp_path):
    has_onnxruntime()
    path = save(tmp_path / "m.onnx", [node("Relu", "x", "y")], {"x": (F, ["b", 4])}, {"y": (F, ["b", 4])})
    model = onnx.load(path)
    model.graph.output.append(model.graph.output[0])
    onnx.save(model, path)
    status, lines, out = run(path)
    assert status == 0 and "is called 'y_2'" in lines["warning"] and "right" in lines, out


def test_sequences(run, tmp_path):
    x = onnx.helper.make_value_info("x", onnx.helper.make_sequence_type_proto(onnx.helper.make_tensor_type_proto(F, [2, 3])))
    y = onnx.helper.make_tensor_value_info("y", F, None)
    graph = onnx.helper.make_graph([node("ConcatFromSequence", "x", "y", axis=0)], "g", [x], [y])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    status, lines, out = run(tmp_path / "m.onnx")
    assert status == 1 and "-D x=N says how many elements" in lines["to do"], out
    status, lines, out = run(tmp_path / "m.onnx", "-D", "x=3", seconds="0.1")
    assert status == 0 and "x.2: float32[2, 3]" in lines["inputs"], out
    has_onnxruntime()
    assert "right" in lines and re.search(r"onnxruntime [\d.]+ ms", lines["1 thread"]), out


# ---- parts -------------------------------------------------------------------------------------------------------------


def test_difference():
    f, i = np.float32, np.int64

    def text(got, expected, tolerance=None):
        return trial.difference(np.array(got), np.array(expected), tolerance)[2]

    assert text(f([1, np.nan, np.inf]), f([1, np.nan, np.inf])) is None
    assert "got inf" in text(f([1, np.inf]), f([1, -np.inf])) and "got nan" in text(f([np.nan, 2]), f([1, 2]))
    assert text(f([1.00001, 100]), f([1, 100])) is None
    assert "worst at [1]: got 101.0, expected 100.0" in text(f([1, 101]), f([1, 100]))
    assert text(f([3.3e-5]), f([3.301e-5])) is None and text(f([3.3e-5]), f([3.301e-5]), 1e-5) is not None
    assert text(f([3e-5]), f([4e-5])) is not None
    assert text(i([2**53 + 1]), i([2**53])) == f"1 of 1 differ, worst at [0]: got {2**53 + 1}, expected {2**53}"
    assert text(np.float16([1.001]), np.float16([1])) is None and text(np.float16([1.01]), np.float16([1])) is not None
    assert text(f([1]), f([1, 2])) == "float32[1], expected float32[2]" and text(f([]), f([])) is None


def test_random_models(run, tmp_path):
    """What onnxruntime draws is no reference."""
    has_onnxruntime()
    path = save(tmp_path / "m.onnx", [node("RandomNormalLike", "x", "y")], {"x": (F, [50])}, {"y": (F, [50])})
    status, lines, out = run(path)
    assert status == 0 and "itself gives other values in a second run" in lines["unproven"], out


def test_quantised(run, tmp_path):
    """Roundings may differ, but not more than that."""
    has_onnxruntime()
    one, zero = np.float32(0.1), np.uint8(128)
    nodes = [node("QuantizeLinear", "x scale zero", "q"), node("DequantizeLinear", "q scale zero", "d"), node("Add", "d off", "y")]
    path = save(tmp_path / "m.onnx", nodes, {"x": (F, [9])}, {"y": (F, [9])}, [("scale", one), ("zero", zero), ("off", np.float32(0))])
    assert trial.is_quantised(path) and not trial.is_quantised(MODEL) and not trial.is_quantised(tmp_path / "none")
    real = trial.open_onnxruntime

    def off_by(error, monkeypatch):
        moved = lambda *args: lambda: {name: y + error * np.abs(y).max() for name, y in real(*args)().items()}
        monkeypatch.setattr(trial, "open_onnxruntime", moved)
        return run(path)

    with pytest.MonkeyPatch.context() as patch:
        status, lines, out = off_by(0.01, patch)
        assert status == 0 and lines["right"].startswith("largest error 0.01 ") and "quantised, allowed is 0.02" in lines["right"], out
        status, lines, out = off_by(0.03, patch)
        assert status == 1 and "allowed 0.02" in lines["WRONG"], out
