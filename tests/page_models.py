"""Writes a small convolution net, an LSTM and a Loop as conv.onnx, lstm.onnx and loop.onnx; bert-base as bert.onnx, with layers in the names of
its nodes, as exporters write it, and weights in bert.bin, 94 MB of random numbers that they share, each from another place on; and weights.onnx,
whose weights are 8 GB in a file weights.bin that whoever needs it makes.

usage: page_models.py FOLDER      needs onnx, numpy
"""
import math
import sys

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

T = TensorProto
rng = np.random.default_rng(1)


def tensor(name, *dims):
    return numpy_helper.from_array((rng.standard_normal(dims) / 8).astype(np.float32), name)


def value(name, *dims, elem=T.FLOAT):
    return helper.make_tensor_value_info(name, elem, dims)


def write(path, nodes, inputs, outputs, tensors, opset=15):
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)


def conv(path):
    node, nodes, tensors, last = helper.make_node, [], [], "x"
    for i, (channels, into) in enumerate([(3, 16), (16, 16), (16, 16)]):
        at = f"/block{i}"
        tensors += [tensor(f"w{i}", into, channels, 3, 3), tensor(f"b{i}", into)]
        nodes += [node("Conv", [last, f"w{i}", f"b{i}"], [f"c{i}"], name=f"{at}/conv/Conv", pads=[1, 1, 1, 1]),
                  node("Relu", [f"c{i}"], [f"r{i}"], name=f"{at}/act/Relu")]
        if i:
            nodes.append(node("Add", [f"r{i}", last], [f"s{i}"], name=f"{at}/Add"))
        last = f"s{i}" if i else f"r{i}"
    tensors += [tensor("w", 16, 10), tensor("b", 10)]
    nodes += [node("MaxPool", [last], ["p"], name="/pool/MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
              node("GlobalAveragePool", ["p"], ["g"], name="/head/GlobalAveragePool"),
              node("Flatten", ["g"], ["f"], name="/head/Flatten"),
              node("Gemm", ["f", "w", "b"], ["y"], name="/head/Gemm")]
    write(path, nodes, [value("x", "batch", 3, 32, 32)], [value("y", "batch", 10)], tensors)


def lstm(path):
    node, hidden = helper.make_node, 24
    tensors = [tensor("e", 50, 16), tensor("W", 1, 4 * hidden, 16), tensor("R", 1, 4 * hidden, hidden), tensor("B", 1, 8 * hidden),
               tensor("w", hidden, 7), numpy_helper.from_array(np.array([1], np.int64), "one")]
    nodes = [node("Gather", ["e", "tokens"], ["x"], name="/embed/Gather"),
             node("LSTM", ["x", "W", "R", "B"], ["h"], name="/lstm/LSTM", hidden_size=hidden),
             node("Squeeze", ["h", "one"], ["s"], name="/lstm/Squeeze"),
             node("MatMul", ["s", "w"], ["m"], name="/head/MatMul"),
             node("LogSoftmax", ["m"], ["y"], name="/head/LogSoftmax", axis=-1)]
    write(path, nodes, [value("tokens", "seq", "batch", elem=T.INT64)], [value("y", "seq", "batch", 7)], tensors)


def layers(path):
    """As torch.export writes it: flat names, and modules in metadata, which the onnx package of Debian 12 does not know."""
    def text(tag, value):
        return bytes([tag, len(value)]) + value

    nodes, last = [], "x"
    for i in range(4):
        for part, op in ("up", "MatMul"), ("act", "Tanh"), ("soft", "Softmax"):
            node = helper.make_node(op, [last] + ["w"] * (op == "MatMul"), [f"{part}{i}"], name=f"node_{part}_{i}")
            namespace = f": m.Net/blocks.{i}: m.Block/blocks.{i}.{part}: torch.nn.Module/{part}_{i}: aten.{part}"
            node.MergeFromString(text(0x4a, text(0x0a, b"namespace") + text(0x12, namespace.encode())))
            nodes.append(node)
            last = f"{part}{i}"
    write(path, nodes, [value("x", "batch", 8)], [value(last, "batch", 8)], [tensor("w", 8, 8)])


def loop(path):
    node = helper.make_node
    body = helper.make_graph(
        [node("MatMul", ["a", "w"], ["m"], name="/step/MatMul"), node("Tanh", ["m"], ["t"], name="/step/Tanh"),
         node("Identity", ["go"], ["on"], name="/step/Identity")],
        "body", [value("i", elem=T.INT64), value("go", elem=T.BOOL), value("a", "batch", 12)], [value("on", elem=T.BOOL), value("t", "batch", 12)])
    nodes = [node("Relu", ["x"], ["r"], name="/pre/Relu"), node("Loop", ["trips", "", "r"], ["z"], name="/iterate/Loop", body=body),
             node("Softmax", ["z"], ["y"], name="/post/Softmax", axis=-1)]
    write(path, nodes, [value("x", "batch", 12), value("trips", elem=T.INT64)], [value("y", "batch", 12)], [tensor("w", 12, 12)])


class External:
    """Tensors in a file that holds nothing else: one behind the other; or with a step, in bytes, from the start of one to that of the next."""

    def __init__(self, file, step=None):
        self.file, self.step, self.next, self.bytes, self.tensors = file, step, 0, 0, []

    def add(self, name, *dims):
        size = 4 * math.prod(dims)
        tensor = TensorProto(name=name, data_type=T.FLOAT, dims=dims, data_location=T.EXTERNAL)
        for key, text in ("location", self.file), ("offset", str(self.next)), ("length", str(size)):
            tensor.external_data.add(key=key, value=text)
        self.bytes = max(self.bytes, self.next + size)
        self.next += self.step or size
        self.tensors.append(tensor)
        return name


def bert(path, layers=12, width=768, heads=12):
    data, nodes = External("bert.bin", 4096 * 3), []
    shapes = [numpy_helper.from_array(np.array(dims, np.int64), name)
              for name, dims in (("split", [0, 0, heads, width // heads]), ("join", [0, 0, width]), ("axes", [1, 2]))]
    numbers = [numpy_helper.from_array(np.array(x, np.float32), f"c{x}") for x in (8, 1, 0.5, 2 ** 0.5, -10000)]

    def node(at, op, *operands, **attributes):
        name = f"/bert/{at}/{op}"
        while any(n.name == name for n in nodes[-60:]):
            name += "_1"
        nodes.append(helper.make_node(op, operands, [name + "_output"], name=name, **attributes))
        return name + "_output"

    def linear(at, x, n, k):
        return node(at, "Add", data.add(f"{at}.bias", n), node(at, "MatMul", x, data.add(f"{at}.weight", k, n)))

    def norm(at, x):
        return node(at, "LayerNormalization", x, data.add(f"{at}.weight", width), data.add(f"{at}.bias", width), axis=-1, epsilon=1e-12)

    x = node("embeddings/word_embeddings", "Gather", data.add("words", 30522, width), "ids")
    x = norm("embeddings/LayerNorm", x)
    mask = node("mask", "Cast", node("mask", "Unsqueeze", "mask", "axes"), to=T.FLOAT)
    mask = node("mask", "Mul", node("mask", "Sub", "c1", mask), "c-10000")
    for i in range(layers):
        at = f"encoder/layer.{i}"
        q, k, v = (node(f"{at}/attention/self", "Reshape", linear(f"{at}/attention/self/{part}", x, width, width), "split") for part in ("query", "key", "value"))
        own = f"{at}/attention/self"
        q, k, v = node(own, "Transpose", q, perm=[0, 2, 1, 3]), node(own, "Transpose", k, perm=[0, 2, 3, 1]), node(own, "Transpose", v, perm=[0, 2, 1, 3])
        p = node(own, "Softmax", node(own, "Add", node(own, "Div", node(own, "MatMul", q, k), "c8"), mask), axis=-1)
        y = node(own, "Reshape", node(own, "Transpose", node(own, "MatMul", p, v), perm=[0, 2, 1, 3]), "join")
        x = norm(f"{at}/attention/output/LayerNorm", node(f"{at}/attention/output", "Add", linear(f"{at}/attention/output/dense", y, width, width), x))
        y, own = linear(f"{at}/intermediate/dense", x, 4 * width, width), f"{at}/intermediate/act"
        y = node(own, "Mul", node(own, "Mul", y, node(own, "Add", node(own, "Erf", node(own, "Div", y, f"c{2 ** 0.5}")), "c1")), "c0.5")
        x = norm(f"{at}/output/LayerNorm", node(f"{at}/output", "Add", linear(f"{at}/output/dense", y, width, 4 * width), x))
    nodes.append(helper.make_node("Identity", [x], ["y"], name="/bert/Identity"))
    write(path, nodes, [value("ids", "batch", "seq", elem=T.INT64), value("mask", "batch", "seq", elem=T.INT64)],
          [value("y", "batch", "seq", width)], data.tensors + shapes + numbers, 17)
    with open(f"{sys.argv[1]}/bert.bin", "wb") as file:
        (np.random.default_rng(2).standard_normal(data.bytes // 4, np.float32) / 32).tofile(file)


def weights(path):
    data = External("weights.bin")
    for i in range(2):
        data.add(f"w{i}", 1 << 15, 1 << 15)
    nodes = [helper.make_node("MatMul", ["x", "w0"], ["h"], name="/a/MatMul"), helper.make_node("MatMul", ["h", "w1"], ["y"], name="/b/MatMul")]
    write(path, nodes, [value("x", "batch", 1 << 15)], [value("y", "batch", 1 << 15)], data.tensors)


for make in conv, lstm, loop, layers, bert, weights:
    make(f"{sys.argv[1]}/{make.__name__}.onnx")
