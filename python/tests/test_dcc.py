"""The package against the shipped example; needs the dcc program ($DCC or PATH) and a C compiler."""

import copy
import ctypes
import gc
import os
import pathlib
import pickle
import re
import subprocess
import sys
import threading
import types

import numpy as np
import pytest

import dcc
from dcc import abi, show
from dcc.errors import find_problem, safe

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
MODEL = EXAMPLES / "dynconv.onnx"


@pytest.fixture(scope="module")
def model():
    return dcc.compile(MODEL)


@pytest.fixture(scope="module")
def data():
    folder = EXAMPLES / "dynconv.data"
    return np.load(folder / "input.npy"), np.load(folder / "output.npy")


@pytest.fixture
def two():
    onnx = pytest.importorskip("onnx")
    h, T = onnx.helper, onnx.TensorProto
    graph = h.make_graph(
        [h.make_node("Add", ["x", "x"], ["sum"]), h.make_node("Add", ["a:0", "a:0"], ["threads"])],
        "two",
        [h.make_tensor_value_info("x", T.FLOAT, ["n", 3]), h.make_tensor_value_info("a:0", T.INT64, [])],
        [h.make_tensor_value_info("sum", T.FLOAT, ["n", 3]), h.make_tensor_value_info("threads", T.INT64, [])],
    )
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


# ---- descriptions --------------------------------------------------------------------------------------------------


def test_description(model):
    assert model.inputs == (dcc.Port("x", np.dtype("float32"), ("batch", "seq", 48)),)
    assert model.outputs == (dcc.Port("y", np.dtype("float32"), ("batch", "seq", 48)),)
    assert [s.name for s in model.symbols] == ["batch", "seq"]
    assert set(model.targets) >= {"avx2", "avx512"}
    assert (model.name, model.version) == ("dynconv", dcc.__version__)
    assert repr(model) == "<dcc.Model dynconv(x: float32[batch, seq, 48]) -> y: float32[batch, seq, 48]>"


def test_notebook(model):
    """What IPython shows: the names, dims and sizes as HTML, the line of repr() as text."""
    interactive = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell
    shown, _ = interactive.instance().display_formatter.format(model)
    assert shown["text/plain"] == repr(model)
    cells = [re.findall("<td[^>]*>(.*?)</td>", row) for row in re.findall("<tr>.*?</tr>", shown["text/html"])]
    assert cells[:3] == [["input", "x", "float32", "[batch, seq, 48]"], ["output", "y", "float32", "[batch, seq, 48]"],
                         ["symbol", "batch", "", "0 .. 2147483647"]]  # fmt: skip
    assert cells[-3] == ["size", "weights", "", "163 kB"] and cells[-2][:2] == ["size", "code"] and cells[-1][3] == model.report()["sizes"]["workspace"]


def test_names_shown(tmp_path):
    """A name is cut and escaped wherever a notebook or a terminal shows it."""
    evil = "".join(map(chr, [ord("a"), 0x1B, 0x202E])) + "</script><b>&\"'" + "n" * 10000
    port = dcc.Port(evil, np.dtype("float32"), (evil, 3))
    fake = types.SimpleNamespace(name=evil, targets=("avx2",), inputs=(port,), outputs=(port,), symbols=(dcc.Symbol(evil, 0, 9),))
    page, text = show.model_html(fake, 5, None), show.ports_text((port,))
    assert not re.search("[\x1b\u202e]", page + text) and len(page) < 6000 and len(text) < 500
    assert set(re.findall(r"<(\w+)", page)) == {"table", "caption", "tr", "td"}
    assert r"a\x1b\u202e&lt;/script&gt;&lt;b&gt;&amp;&quot;&#x27;n" in page


def test_ir(tmp_path, monkeypatch, model):
    assert model.ir().startswith("dcc-ir 1 stage layout\nmodel dynconv #") and "winconv" in model.ir()
    assert model.ir("canon").startswith("dcc-ir 1 stage canon\n")
    with pytest.raises(dcc.CompileError, match="there is no 'nope'"):
        model.ir("nope")
    monkeypatch.chdir(tmp_path)
    pathlib.Path("m.onnx").write_bytes(MODEL.read_bytes())
    m = dcc.compile("m.onnx", "-O0", "--jobs=1", "-lm", dims={"batch": 1})
    monkeypatch.chdir("/")
    assert "sym batch" not in m.ir() and "\nmodel model #" in dcc.compile(MODEL.read_bytes(), "-O0").ir()
    (tmp_path / "m.onnx").write_bytes((EXAMPLES / "langid/langid.onnx").read_bytes())
    with pytest.raises(dcc.Error, match="has changed since it was compiled"):
        dcc.compile(tmp_path / "m.onnx", "-O0", output=tmp_path / "m.so") and m.ir()
    with pytest.raises(dcc.Error, match="have IR"):
        dcc.load(tmp_path / "m.so").ir()


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "float4_e2m1fn", "int4", "uint4", "int2", "uint2"])
def test_small_types(name):
    """Both as ml_dtypes has them and as bytes; an odd count leaves a packed byte half full."""
    onnx, ml_dtypes = pytest.importorskip("onnx"), pytest.importorskip("ml_dtypes")
    h, number = onnx.helper, dcc.model.DTYPES[name]
    nodes = [h.make_node("Cast", ["x"], ["y"], to=onnx.TensorProto.FLOAT), h.make_node("Transpose", ["x"], ["z"])]
    info = h.make_tensor_value_info
    graph = h.make_graph(nodes, "small", [info("x", number, ["a", 3])], [info("y", 1, ["a", 3]), info("z", number, [3, "a"])])
    m = dcc.compile(h.make_model(graph, opset_imports=[h.make_opsetid("", 25)], ir_version=11))
    dtype = np.dtype(getattr(ml_dtypes, name))
    assert m.inputs[0].dtype == dtype and m.inputs[0].shape == ("a", 3)
    x = np.array([[1, 0.5, 2], [1, 4, 1], [0.25, 1, 0.5]]).astype(np.float32).astype(dtype)
    for given in x, x.view(np.uint8):
        out = m(x=given)
        assert out["y"].tolist() == x.astype(np.float32).tolist()
        assert out["z"].dtype == dtype and out["z"].astype(np.float32).tolist() == x.T.astype(np.float32).tolist()
    with pytest.raises(dcc.Error):
        m(x=x.astype(np.float32))


def test_custom_operators(tmp_path):
    folder = EXAMPLES / "custom"
    subprocess.run(["cc", "-fPIC", "-c", f"-I{EXAMPLES.parent / 'runtime'}", folder / "operators.c", "-o", tmp_path / "operators.o"],
                   check=True)
    options = ("--custom-op=com.example:Snake=example_snake(%x: f32[b, t, c], alpha: f32[]) -> (f32[b, t, c])",
               "--custom-op=com.example:Best=example_best(%x: f32[b, c, t]) -> (f32[b, c], i64[b, c])")
    assert dcc.inspect(folder / "custom.onnx", *options).outputs[1] == dcc.Port("where", np.dtype("int64"), ("batch", 6))
    with pytest.raises(dcc.CompileError, match="operator 'Best' of domain 'com.example'"):
        dcc.check(folder / "custom.onnx", options[0])
    model = dcc.compile(folder / "custom.onnx", *options, str(tmp_path / "operators.o"), "-lm")
    y = model(x=np.eye(6, dtype=np.float32)[None])
    best, where = y["best"], y["where"]
    assert best.shape == where.shape == (1, 6) and set(where[0]) <= set(range(6))


def test_report(model):
    assert {"pattern": "winconv", "nodes": ["/0/conv/Add_3"]} in model.report()["fused"]


def test_inspect(model):
    seen = dcc.inspect(MODEL)
    assert (seen.name, seen.inputs, seen.outputs, seen.symbols) == (
        model.name, model.inputs, model.outputs, model.symbols)  # fmt: skip
    assert dcc.inspect(MODEL, dims={"batch": 2, "seq": (1, 9)}).inputs[0].shape == (2, "seq", 48)


def test_structs(tmp_path, model):
    """The mirrored structs have the sizes of dcc.h."""
    structs = {
        "dcc_error": abi.Report, "dcc_tensor": abi.Tensor, "dcc_args": abi.Args, "dcc_symbol": abi.SymbolInfo,
        "dcc_port": abi.PortInfo, "dcc_target": abi.Target, "dcc_model": abi.Descriptor,
    }  # fmt: skip
    lines = [f"_Static_assert(sizeof({c}) == {ctypes.sizeof(py)}, \"{c}\");" for c, py in structs.items()]
    lines += [
        f"_Static_assert(offsetof({c}, {name}) == {getattr(py, name).offset}, \"{c}.{name}\");"
        for c, py in structs.items()
        for name, _ in py._fields_
    ]
    source = tmp_path / "sizes.c"
    source.write_text("\n".join(['#include "dcc.h"', *lines]))
    done = subprocess.run(
        ["cc", "-fsyntax-only", f"-I{EXAMPLES.parent / 'runtime'}", source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert model._model.size == ctypes.sizeof(abi.Descriptor)


# ---- running -------------------------------------------------------------------------------------------------------


def test_values(model, data):
    x, y = data
    got = model(x)
    assert got.dtype == np.float32 and got.shape == y.shape
    np.testing.assert_allclose(got, y, atol=2e-5)
    for again in (model(x=x), model({"x": x}), model(x, threads=2), model(x, threads=3), model(x.tolist())):
        np.testing.assert_array_equal(again, got)
    np.testing.assert_array_equal(model(x[:, ::-1][:, ::-1]), got)
    np.testing.assert_array_equal(model(np.asfortranarray(x)), got)
    np.testing.assert_array_equal(model(x.astype(">f4")), got)


def test_workspace_size(model, data):
    x, _ = data
    size = model.workspace_size(x)
    assert size == model.workspace_size({"x": x}) > 0
    assert model.workspace_size(np.repeat(x, 8, 1)) > size
    assert model.workspace_size(x, threads=3) >= size
    with pytest.raises(dcc.Error, match="input 'x': f64, expected f32"):
        model.workspace_size(x.astype(np.float64))


def test_empty(model):
    assert model(np.zeros((2, 0, 48), np.float32)).shape == (2, 0, 48)


def test_unaligned(model, data):
    x = data[0]
    buffer = np.empty(x.nbytes + 1, np.uint8)
    view = buffer[1:].view(np.float32).reshape(x.shape)
    view[...] = x
    np.testing.assert_array_equal(model(view), model(x))


def test_several_outputs(two):
    m = dcc.compile(two)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for got in (m({"x": x, "a:0": 4}), m(x, 4), m(x, np.int64(4)), m(x, **{"a:0": np.array(4)})):
        assert list(got) == ["sum", "threads"]
        np.testing.assert_array_equal(got["sum"], x + x)
        assert got["threads"].shape == () and got["threads"] == 8


def test_python_threads(model, data):
    x, _ = data
    expected = model(x)
    results = []

    def work(threads):
        for _ in range(20):
            results.append(np.array_equal(model(x, threads=threads), expected))

    workers = [threading.Thread(target=work, args=(1 + i % 2,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == [True] * 80


def test_pools_are_freed():
    gc.collect()
    count = len(os.listdir("/proc/self/task"))
    m = dcc.compile(MODEL, march="avx2")
    m(np.zeros((1, 1, 48), np.float32), threads=3)
    assert len(os.listdir("/proc/self/task")) > count
    del m
    gc.collect()
    assert len(os.listdir("/proc/self/task")) == count


def state_model(onnx, slide):
    """y = the new rows plus the sum of all; past is what was there, or its newest 3 rows."""
    h, T = onnx.helper, onnx.TensorProto
    past, present = ("past", "all")
    nodes = [h.make_node("Concat", ["past", "x"], ["all"], axis=1),
             h.make_node("ReduceSum", ["all", "axis"], ["sum"], keepdims=1), h.make_node("Add", ["x", "sum"], ["y"])]
    values = [h.make_tensor("axis", T.INT64, [1], [1])]
    if slide:
        present = "newest"
        nodes.append(h.make_node("Slice", ["all", "from", "to", "axis"], ["newest"]))
        values += [h.make_tensor("from", T.INT64, [1], [-3]), h.make_tensor("to", T.INT64, [1], [2**31 - 1])]
    graph = h.make_graph(
        nodes, "state",
        [h.make_tensor_value_info(past, T.FLOAT, [2, 3 if slide else "p", 4]),
         h.make_tensor_value_info("x", T.FLOAT, [2, 1, 4])],
        [h.make_tensor_value_info("y", T.FLOAT, [2, 1, 4]), h.make_tensor_value_info(present, T.FLOAT, None)], values)
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), present  # fmt: skip


@pytest.mark.parametrize("slide", [False, True])
def test_state(slide):
    model, present = state_model(pytest.importorskip("onnx"), slide)
    m = dcc.compile(model, f"--state={present}=past,cap=8")
    random = np.random.default_rng(1)
    first = past = random.standard_normal((2, 3, 4), np.float32)
    shared = 0
    for step in range(20 if slide else 5):
        x = random.standard_normal((2, 1, 4), np.float32)
        everything = np.concatenate([past, x], 1)
        before = past.copy()
        out = m(past, x)
        np.testing.assert_allclose(out["y"], x + everything.sum(1, keepdims=True), rtol=1e-5)
        np.testing.assert_array_equal(out[present], everything[:, -3:] if slide else everything)
        np.testing.assert_array_equal(past, before)
        shared += np.shares_memory(past, out[present])
        past = out[present]
    assert shared == (16 if slide else 4)
    branch = m(m(first, x)[present], x)[present]
    again = m(first, x)[present]
    kept = again.copy()
    one, other = m(again, x)[present], m(again, 2 * x)[present]  # two continuations of one state
    np.testing.assert_array_equal(one, branch)
    np.testing.assert_array_equal(other[:, -1:], 2 * x)
    np.testing.assert_array_equal(again, kept)
    if not slide:
        with pytest.raises(dcc.Error):
            m(np.zeros((2, 8, 4), np.float32), x)
    del past, first, branch, again, one, other, out
    gc.collect()
    assert not m._states._ends


# ---- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args, named, code, text",
    [
        ([np.zeros((1, 1, 48))], {}, 2, "input 'x': f64, expected f32"),
        ([np.zeros((1, 48), np.float32)], {}, 3, "input 'x': rank 2, expected 3"),
        ([np.zeros([1] * 12, np.float32)], {}, 3, "input 'x': rank 12, expected 3"),
        ([np.zeros((1, 1, 47), np.float32)], {}, 3, "input 'x': dim 2 is 47, expected 48"),
        ([["a"]], {}, 0, "input 'x': could not convert"),
        ([1, 2], {}, 0, "2 inputs, expected 1: x"),
        ([], {}, 0, "input 'x' is missing"),
        ([], {"y": 1}, 0, "no input 'y'; the model has x"),
        ([1], {"x": 1}, 0, "input 'x' is given twice"),
        ([1], {"threads": 0}, 0, "threads is 0, allowed 1.."),
    ],
)
def test_wrong_calls(model, args, named, code, text):
    with pytest.raises(dcc.Error) as caught:
        model(*args, **named)
    assert caught.value.code == code
    assert str(caught.value).startswith(text)
    assert caught.value.tensor == ("x" if text.startswith("input 'x'") else None)


@pytest.mark.parametrize("dtype", ["complex64", "object", "U3", "datetime64[s]", [("a", "f4")]])
def test_types_of_numpy(model, dtype):
    """Those that no model takes are called as NumPy calls them."""
    with pytest.raises(dcc.Error, match="^input 'x': .*, expected float32$") as caught:
        model(np.zeros((1, 2, 48), dtype))
    assert caught.value.code == 2


def test_arrays(model, data):
    """Whatever an array looks like in memory, its values count."""
    x, _ = data
    y = model(x)
    misaligned = np.frombuffer(b"-" + x.tobytes(), x.dtype, offset=1).reshape(x.shape)
    frozen = x.copy()
    frozen.setflags(write=False)
    for same in (np.asfortranarray(x), np.repeat(x, 2, 1)[:, ::2], x[::-1][::-1], x.astype(">f4"), misaligned, frozen):
        np.testing.assert_array_equal(model(same), y)


def test_fork_and_copies(model, data):
    x, _ = data
    y = model(x, threads=2)
    child = os.fork()
    if child == 0:
        good = np.array_equal(model(x), y)
        try:
            model(x, threads=2)
            good = False
        except dcc.Error as error:
            good = good and "forked" in str(error)
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    for copied in (copy.deepcopy, pickle.dumps):
        with pytest.raises(dcc.Error, match="cannot be copied or pickled"):
            copied(model)


def test_no_models():
    for wrong in (5, None, [1]):
        with pytest.raises(dcc.Error, match="a model is a path, bytes or an onnx.ModelProto"):
            dcc.compile(wrong)
    with pytest.raises(dcc.Error, match="-D"):
        dcc.check(MODEL, dims={"seq": (1, 2, 3)})


def test_bounds():
    m = dcc.compile(MODEL, dims={"batch": 1, "seq": (1, 64)})
    assert m.inputs[0].shape == (1, "seq", 48) and m.symbols == (dcc.Symbol("seq", 1, 64),)
    with pytest.raises(dcc.Error, match="65") as caught:
        m(np.zeros((1, 65, 48), np.float32))
    assert caught.value.code == 4


def test_wrong_models(tmp_path, two):
    with pytest.raises(dcc.CompileError, match="no-such.onnx") as caught:
        dcc.compile(tmp_path / "no-such.onnx")
    assert caught.value.status == 1
    with pytest.raises(dcc.CompileError, match="error"):
        dcc.compile(b"\xff\xff not a model")
    with pytest.raises(dcc.CompileError, match="nosuch"):
        dcc.compile(MODEL, dims={"nosuch": 3})
    two.graph.node[1].op_type = "NoSuchOp"
    two.graph.node[0].name, two.graph.node[0].op_type = "first", "Frob"
    with pytest.raises(dcc.CompileError, match="NoSuchOp") as caught:
        dcc.check(two)
    assert (caught.value.node, caught.value.tensor, len(caught.value.problems)) == ("first", None, 2)
    assert caught.value.problems[1] == ("operator 'NoSuchOp' is not supported", "threads", "NoSuchOp", None)
    with pytest.raises(dcc.CompileError, match="unknown option '--frobnicate'"):
        dcc.compile(MODEL, "--frobnicate")


def test_no_compiler(monkeypatch):
    monkeypatch.setenv("DCC", "/nowhere/dcc")
    with pytest.raises(dcc.Error, match="/nowhere/dcc cannot be started"):
        dcc.inspect(MODEL)


def test_safe(two):
    """As dcc itself prints names."""
    name = "".join(map(chr, [*range(1, 0x180), *range(0x610, 0x620), *range(0x2000, 0x2080), 0xFEFF, 0xFFFA, 0x1F600, 0xE0041]))
    two.graph.node[0].op_type, two.graph.node[0].name = "Frob", name
    with pytest.raises(dcc.CompileError) as caught:
        dcc.check(two)
    assert safe(name) in str(caught.value)
    assert safe("\udcff") == "\\xff"


@pytest.mark.parametrize("line, expected", [
    ("m.onnx: node 'it's' (Add-17): tensor 'w': expected 4", ("tensor 'w': expected 4", "it's", "Add", "w")),
    ("m.onnx: error: input 'h': element type X", ("input 'h': element type X", None, None, "h")),
    ("node 'emb': tensor 'ids': index 7 out of range", ("tensor 'ids': index 7 out of range", "emb", None, "ids")),
    ("dcc: no input", ("dcc: no input", None, None, None))])  # fmt: skip
def test_problems(line, expected):
    assert find_problem(line) == expected


# ---- files ---------------------------------------------------------------------------------------------------------


def test_output_and_load(tmp_path, model, data):
    x, _ = data
    path = tmp_path / "kept.so"
    m = dcc.compile(MODEL.read_bytes(), output=path, name="kept", march="avx2")
    assert (tmp_path / "kept.h").exists() and m.name == "kept" and m.targets == ("avx2",)
    np.testing.assert_array_equal(dcc.load(path)(x), model(x))
    np.testing.assert_array_equal(dcc.load(str(path), name="kept")(x), model(x))
    with pytest.raises(dcc.Error, match="holds no model 'other', but kept"):
        dcc.load(path, name="other")
    with pytest.raises(dcc.Error, match="have a report"):
        dcc.load(path).report()


def test_weights(tmp_path, model, data):
    x, _ = data
    m = dcc.compile(MODEL, output=tmp_path / "m.so", weights=tmp_path / "w.bin")
    np.testing.assert_array_equal(m(x), model(x))
    np.testing.assert_array_equal(dcc.load(tmp_path / "m.so", weights=tmp_path / "w.bin")(x), model(x))
    with pytest.raises(dcc.Error) as caught:
        dcc.load(tmp_path / "m.so")(x)
    assert caught.value.code == 7
    with pytest.raises(dcc.Error, match="cannot be mapped"):
        dcc.load(tmp_path / "m.so", weights=tmp_path / "none.bin")


def test_tune_file(tmp_path, model, data):
    x, _ = data
    path = tmp_path / "t.tune"
    path.write_text("dcc-tuning 1\ndcc 0.1.0\ncpu another\nend\n")
    m = dcc.compile(MODEL, tune_file=path)
    np.testing.assert_array_equal(m(x), model(x))
    assert m.report()["tuning"]["shapes"] == 0
    path.write_text("dcc-tuning 1\n")
    with pytest.raises(dcc.CompileError, match="t.tune:1: error: the file is cut off"):
        dcc.compile(MODEL, tune_file=path)


def test_load_wrong_files(tmp_path):
    text = tmp_path / "text.so"
    text.write_bytes(b"\x7fELF\x02\x01 no more")
    with pytest.raises(dcc.Error, match="not a shared object"):
        dcc.load(text)
    with pytest.raises(dcc.Error, match="cannot be read"):
        dcc.load(tmp_path / "none.so")
    subprocess.run([sys.executable, "-m", "dcc", "-O0", "-march=native", "-o", tmp_path / "m.o", MODEL], check=True)
    with pytest.raises(dcc.Error, match="is an object, not a shared object: dcc -shared"):
        dcc.load(tmp_path / "m.o")
    with pytest.raises(dcc.Error, match="holds 0 models"):
        dcc.load(next(pathlib.Path(np.__file__).parent.rglob("*.so")))


def test_recompiled_in_place(tmp_path, data):
    """A second model at the same path is the second model, not the one that is loaded."""
    x, _ = data
    first = dcc.compile(MODEL, output=tmp_path / "m.so", name="first")
    second = dcc.compile(MODEL, output=tmp_path / "m.so", name="second")
    assert (first.name, second.name) == ("first", "second")
    np.testing.assert_array_equal(first(x), second(x))


def test_program():
    run = subprocess.run([sys.executable, "-m", "dcc", "--version"], capture_output=True, text=True)
    assert run.stdout.startswith(f"dcc {dcc.__version__} ")


# ---- onnx.backend --------------------------------------------------------------------------------------------------


def test_backend(two):
    onnx = pytest.importorskip("onnx")
    import dcc.backend

    x = np.ones((2, 3), np.float32)
    assert dcc.backend.supports_device("CPU") and not dcc.backend.supports_device("CUDA")
    assert dcc.backend.is_compatible(two)
    out = dcc.backend.prepare(two).run([x, np.int64(3)])
    assert out["threads"] == 6 and (out[0] == 2).all()
    assert dcc.backend.run_model(two, {"x": x, "a:0": 5}, threads=2)[1] == 10
    node = onnx.helper.make_node("Mul", ["a", "b"], ["c"])
    assert (dcc.backend.run_node(node, [x, 3 * x])[0] == 3).all()
    assert (dcc.backend.run_node(node, [x, x], outputs_info=[(x.dtype, x.shape)], opset_version=13).c == 1).all()


def test_backend_refuses(two):
    pytest.importorskip("onnx")
    import unittest

    import dcc.backend

    two.graph.node[1].op_type = "NoSuchOp"
    assert not dcc.backend.is_compatible(two)
    with pytest.raises(unittest.SkipTest, match="NoSuchOp"):
        dcc.backend.prepare(two)
