#!/usr/bin/env python3
"""Writes models with recurrence and control flow, with inputs, in ONNX's test layout, for bench/peers.py.

  python bench/control_models.py DIR     DIR/lstm-tagger, gru-encoder, scan-lstm, loop-decoder, nested-if

    lstm-tagger   an embedding, a bidirectional LSTM, a linear, log-softmax
    gru-encoder   a GRU whose state comes in and goes out
    scan-lstm     the cell of an LSTM, spelled with products in the body of a Scan
    loop-decoder  a Loop that feeds back the token of the largest logit and stops at one token, here behind 40 of at most 60 steps
    nested-if     an If inside of an If, both on inputs
Needs onnx, numpy.
"""
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto as T, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

rng = np.random.default_rng(1)
H, TOKENS, STEPS = 256, 1000, 60


def weights(*dims):
    return (rng.standard_normal(dims) / np.sqrt(dims[-1])).astype(np.float32)


def info(name, elem, dims):
    return helper.make_tensor_value_info(name, elem, dims)


class Graph:
    """Nodes and initializers in the order in which they are made; names of values are made up."""

    def __init__(self):
        self.nodes, self.tensors = [], []

    def tensor(self, value):
        name = f"w{id(self)}_{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op, *inputs, outputs=1, **attrs):
        names = [f"{op}{id(self)}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, [i if isinstance(i, str) else self.tensor(i) for i in inputs], names, **attrs))
        return names[0] if outputs == 1 else names

    def linear(self, x, width, out):
        return self.node("Add", self.node("MatMul", x, weights(width, out)), weights(out))

    def finish(self, inputs, outputs):
        """outputs: {name: (value, elem, dims)}"""
        for name, (value, _, _) in outputs.items():
            self.nodes.append(helper.make_node("Identity", [value], [name]))
        return helper.make_graph(self.nodes, "g", inputs, [info(n, e, d) for n, (_, e, d) in outputs.items()], self.tensors)


def lstm_tagger():
    g = Graph()
    x = g.node("Gather", weights(TOKENS, 128), "ids")
    y, _, _ = g.node("LSTM", x, weights(2, 4 * H, 128), weights(2, 4 * H, H), weights(2, 8 * H), outputs=3, hidden_size=H,
                     direction="bidirectional")
    y = g.node("Reshape", g.node("Transpose", y, perm=[0, 2, 1, 3]), np.array([0, 0, 2 * H]))
    y = g.node("LogSoftmax", g.linear(y, 2 * H, 40), axis=-1)
    return (g.finish([info("ids", T.INT64, ["t", "b"])], {"tags": (y, T.FLOAT, ["t", "b", 40])}),
            {"ids": rng.integers(0, TOKENS, (64, 1))})


def gru_encoder():
    g = Graph()
    y, last = g.node("GRU", "x", weights(1, 3 * H, 80), weights(1, 3 * H, H), weights(1, 6 * H), "", "h", outputs=2, hidden_size=H,
                     linear_before_reset=1)
    return (g.finish([info("x", T.FLOAT, ["t", "b", 80]), info("h", T.FLOAT, [1, "b", H])],
                     {"y": (y, T.FLOAT, ["t", 1, "b", H]), "next_h": (last, T.FLOAT, [1, "b", H])}),
            {"x": weights(100, 4, 80), "h": weights(1, 4, H)})


def lstm_cell(g, x, h, c, width):
    sums = g.node("Add", g.linear(x, width, 4 * H), g.node("MatMul", h, weights(H, 4 * H)))
    i, o, f, fresh = g.node("Split", sums, np.full(4, H), outputs=4, axis=-1)
    i, o, f, fresh = g.node("Sigmoid", i), g.node("Sigmoid", o), g.node("Sigmoid", f), g.node("Tanh", fresh)
    c = g.node("Add", g.node("Mul", f, c), g.node("Mul", i, fresh))
    return g.node("Mul", o, g.node("Tanh", c)), c


def scan_lstm():
    body = Graph()
    h, c = lstm_cell(body, "x_t", "h_in", "c_in", 128)
    state = [info(n, T.FLOAT, [1, H]) for n in ("h_in", "c_in")]
    inner = body.finish(state + [info("x_t", T.FLOAT, [1, 128])],
                        {"h_out": (h, T.FLOAT, [1, H]), "c_out": (c, T.FLOAT, [1, H]), "y_t": (h, T.FLOAT, [1, H])})
    g = Graph()
    _, _, y = g.node("Scan", "h", "c", "x", outputs=3, body=inner, num_scan_inputs=1)
    return (g.finish([info("h", T.FLOAT, [1, H]), info("c", T.FLOAT, [1, H]), info("x", T.FLOAT, ["t", 1, 128])],
                     {"y": (y, T.FLOAT, ["t", 1, H])}),
            {"h": weights(1, H), "c": weights(1, H), "x": weights(64, 1, 128)})


def decoder(stop):
    body = Graph()
    x = body.node("Add", body.node("Gather", 20 * weights(TOKENS, 128), "token_in"), body.node("Gather", 20 * weights(STEPS, 128), "i"))
    h, c = lstm_cell(body, x, "h_in", "c_in", 128)
    token = body.node("ArgMax", body.node("MatMul", h, weights(H, TOKENS)), axis=-1, keepdims=0)
    go = body.node("Not", body.node("Equal", body.node("Squeeze", token), np.array(stop)))
    inner = body.finish([info("i", T.INT64, []), info("go_in", T.BOOL, []), info("h_in", T.FLOAT, [1, H]), info("c_in", T.FLOAT, [1, H]),
                         info("token_in", T.INT64, [1])],
                        {"go": (go, T.BOOL, []), "h": (h, T.FLOAT, [1, H]), "c": (c, T.FLOAT, [1, H]), "token": (token, T.INT64, [1]),
                         "said": (token, T.INT64, [1])})
    g = Graph()
    _, _, _, tokens = g.node("Loop", np.array(STEPS), np.array(True), "h0", "c0", np.array([1]), outputs=4, body=inner)
    return (g.finish([info("h0", T.FLOAT, [1, H]), info("c0", T.FLOAT, [1, H])], {"tokens": (tokens, T.INT64, ["n", 1])}),
            {"h0": weights(1, H), "c0": weights(1, H)})


def loop_decoder():
    """It stops at the token that comes first after step 40 of the decoder that never stops."""
    before = rng.bit_generator.state
    graph, feeds = decoder(-1)
    said = ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])).run(None, feeds)[0].ravel().tolist()
    rng.bit_generator.state = before
    return decoder(next(token for i, token in enumerate(said) if i >= 40 and token not in said[:i]))


def nested_if():
    def branch(build):
        b = Graph()
        return b.finish([], {f"out{id(b)}": (build(b), T.FLOAT, ["b", H])})

    def choose(g, flag, then, other):
        return g.node("If", flag, then_branch=branch(then), else_branch=branch(other))

    g = Graph()
    wide = lambda b: b.linear(b.node("Relu", b.linear("x", H, 4 * H)), 4 * H, H)
    y = choose(g, "deep", lambda b: choose(b, "wide", wide, lambda n: n.linear("x", H, H)), lambda b: b.node("Identity", "x"))
    return (g.finish([info("x", T.FLOAT, ["b", H]), info("deep", T.BOOL, []), info("wide", T.BOOL, [])], {"y": (y, T.FLOAT, ["b", H])}),
            {"x": weights(32, H), "deep": np.array(True), "wide": np.array(True)})


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    for make in (lstm_tagger, gru_encoder, scan_lstm, loop_decoder, nested_if):
        graph, feeds = make()
        folder = os.path.join(sys.argv[1], make.__name__.replace("_", "-"))
        os.makedirs(os.path.join(folder, "test_data_set_0"), exist_ok=True)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, os.path.join(folder, "model.onnx"))
        for i, port in enumerate(graph.input):
            path = os.path.join(folder, "test_data_set_0", f"input_{i}.pb")
            with open(path, "wb") as f:
                f.write(numpy_helper.from_array(feeds[port.name], port.name).SerializeToString())


if __name__ == "__main__":
    main()
