"""Engines in turns; needs what test_dcc.py needs."""

import pathlib
import time

import numpy as np
import pytest

import dcc
from dcc import turns

MODEL = pathlib.Path(__file__).resolve().parents[2] / "examples" / "dynconv.onnx"


def test_turns(tmp_path):
    """An engine that cannot start, and one that ends while it runs, do not end the others."""
    model = dcc.compile(MODEL, output=tmp_path / "m.so")
    turns.save_inputs(tmp_path / "x.npz", [("x", np.ones((1, 5, 48), np.float32))])
    commands = {"dcc": turns.command_of("dcc", model.path, str(tmp_path / "x.npz"), 1),
                "none": turns.command_of("dcc", str(tmp_path / "none.so"), str(tmp_path / "x.npz"), 1),
                "ends": ["sh", "-c", "echo ready; read line; exit 3"]}  # fmt: skip
    times = turns.take_turns(commands, 1, 0.1)
    assert 0 < times["dcc"]["least"] <= times["dcc"]["median"]
    assert "none.so" in times["none"] and times["ends"] == "the process ended with status 3"


def test_slow_engines():
    """Seconds bound the turns, not their number; an engine alone that ends is no endless loop."""
    slow = ["sh", "-c", "echo ready; while read line; do [ \"$line\" = quit ] && exit; sleep 0.3; echo 1 300000000 300000000; done"]
    start = time.monotonic()
    assert turns.take_turns({"slow": slow}, 1, 0.5)["slow"]["least"] == 300
    assert time.monotonic() - start < 5
    assert turns.take_turns({"ends": ["sh", "-c", "echo ready; read a; exit 1"]}, 1, 60)["ends"].endswith("status 1")


def test_wrong_declaration(tmp_path):
    """onnxruntime is timed where a file declares another rank for an output than the nodes give."""
    onnx, _ = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    h, T = onnx.helper, onnx.TensorProto
    graph = h.make_graph([h.make_node("Reshape", ["x", "shape"], ["y"])], "g",
                         [h.make_tensor_value_info("x", T.FLOAT, ["a"]), h.make_tensor_value_info("shape", T.INT64, ["n"])],
                         [h.make_tensor_value_info("y", T.FLOAT, [1, "d"])])  # fmt: skip
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    run = turns.open_onnxruntime(str(tmp_path / "m.onnx"), [("x", np.ones(6, np.float32)), ("shape", np.array([1, 2, 3]))], 1)
    run()
    run()


def test_inputs(tmp_path):
    """Names and arrays come back as they were, in order."""
    inputs = [("b/1:0", np.arange(3)), ("a", np.float16(2)), ("file", np.zeros((0, 2), bool))]
    turns.save_inputs(tmp_path / "x.npz", inputs)
    again = turns.read_inputs(tmp_path / "x.npz")
    assert [name for name, _ in again] == ["b/1:0", "a", "file"]
    for (_, got), (_, expected) in zip(again, inputs):
        np.testing.assert_array_equal(got, expected, strict=True)
