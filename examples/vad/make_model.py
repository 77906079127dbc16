#!/usr/bin/env python3
"""Makes the streaming form of Silero's voice activity detector, whose state dcc keeps in place.

    make_model.py silero_vad_16k_op15.onnx vad.onnx

The published model takes 576 samples, of which 64 were in the chunk before, and the state of its LSTM, [2, 1, 128], of which it
gives another.  Here both pass through as rows that a step appends, the form that `dcc --state auto,cap=N` knows:

    window  f32[1, 64]    the last samples; concat(window, chunk) is the model's input, and its end the next window
    memory  f32[1, 256]   the LSTM's state; concat(memory, the new one) has two rows, and the second is the next memory

Nothing is computed that the published model does not compute.
"""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHUNK, WINDOW, MEMORY = 512, 64, 256  # samples at 16 kHz, numbers of the LSTM


def streaming(model):
    graph = model.graph
    if [p.name for p in graph.input] != ["input", "state", "sr"] or [p.name for p in graph.output] != ["output", "stateN"]:
        sys.exit("make_model.py: not the model that this script knows")

    def constant(name, value):
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), name))
        return name

    def ports(**shapes):
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]

    constant("sr", 16000)
    zero, one, tail, end = constant("zero", [0]), constant("one", [1]), constant("tail", [-WINDOW]), constant("end", [2**31 - 1])
    nodes = [
        helper.make_node("Concat", ["window", "chunk"], ["input"], axis=1),
        helper.make_node("Slice", ["input", tail, end, one], ["next_window"]),
        helper.make_node("Reshape", ["memory", constant("as_state", [2, 1, MEMORY // 2])], ["state"]),
        *graph.node,
        helper.make_node("Identity", ["output"], ["probability"]),
        helper.make_node("Reshape", ["stateN", constant("as_memory", [1, MEMORY])], ["new_memory"]),
        helper.make_node("Concat", ["memory", "new_memory"], ["memories"], axis=0),
        helper.make_node("Slice", ["memories", one, end, zero], ["next_memory"]),
    ]
    inputs = ports(chunk=[1, CHUNK], window=[1, WINDOW], memory=[1, MEMORY])
    outputs = ports(probability=[1, 1], next_window=[1, WINDOW], next_memory=[1, MEMORY])
    made = helper.make_graph(nodes, "vad", inputs, outputs, graph.initializer)
    return helper.make_model(made, opset_imports=model.opset_import, ir_version=model.ir_version)


if __name__ == "__main__":
    onnx.save(streaming(onnx.load(sys.argv[1])), sys.argv[2])
