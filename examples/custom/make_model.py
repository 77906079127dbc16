#!/usr/bin/env python3
"""Writes custom.onnx, a model with two operators that ONNX does not have, and its recorded data.  Needs onnx and numpy.

  python3 make_model.py
"""
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ALPHA, WIDTH = 0.75, 6


def main():
    here = pathlib.Path(__file__).parent
    w = np.random.default_rng(5).standard_normal((WIDTH, WIDTH)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["mixed"], name="mix"),
        helper.make_node("Snake", ["mixed"], ["active"], name="snake", domain="com.example", alpha=ALPHA),
        helper.make_node("Transpose", ["active"], ["columns"], name="turn", perm=[0, 2, 1]),
        helper.make_node("Best", ["columns"], ["best", "where"], name="best", domain="com.example"),
    ]
    graph = helper.make_graph(
        nodes, "custom", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "seq", WIDTH])],
        [helper.make_tensor_value_info("best", TensorProto.FLOAT, ["batch", WIDTH]),
         helper.make_tensor_value_info("where", TensorProto.INT64, ["batch", WIDTH])],
        [numpy_helper.from_array(w, "w")])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), here / "custom.onnx")

    x = np.random.default_rng(6).standard_normal((2, 5, WIDTH)).astype(np.float32)
    y = x @ w
    y = y + np.sin(ALPHA * y) ** 2 / ALPHA
    data = here / "test_data_set_0"
    data.mkdir(exist_ok=True)
    for name, array in {"input_0": x, "output_0": y.max(axis=1), "output_1": y.argmax(axis=1)}.items():
        port = {"input_0": "x", "output_0": "best", "output_1": "where"}[name]
        (data / f"{name}.pb").write_bytes(numpy_helper.from_array(array, port).SerializeToString())


if __name__ == "__main__":
    main()
