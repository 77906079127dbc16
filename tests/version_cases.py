"""Cases of versions of operators of which the suite of the onnx package has none, or none that can be put in their terms.

written_cases(): {(operator, version): Written}.  The answers are computed here with numpy, from the text of the standard; of chance,
what must hold of it is looked at.
"""

import collections

import numpy as np
from onnx import TensorProto as T, helper, numpy_helper

Written = collections.namedtuple("Written", "name model inputs right")  # right(outputs): are they?

X = (np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5) % 17 - 6) / 4


def value_info(name, array):
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def equal(*wanted):
    """Are the outputs these?"""
    def right(outputs):
        return len(outputs) == len(wanted) and all(o.shape == np.shape(w) and np.allclose(o, w, rtol=1e-5, atol=1e-6) for o, w in zip(outputs, wanted))
    return right


def written(version, nodes, feeds, outputs, right, tensors=()):
    """feeds: {name: array}; outputs: names, whose types are left to the checker's inference."""
    graph = helper.make_graph(nodes, "g", [value_info(n, a) for n, a in feeds.items()], [helper.make_empty_tensor_value_info(o) for o in outputs],
                              [numpy_helper.from_array(np.asarray(a), n) for n, a in tensors])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=10 if version > 3 else 3)
    return Written(nodes[0].op_type, model, [numpy_helper.from_array(a, n) for n, a in feeds.items()], right)


def one(version, op, feeds, wanted, tensors=(), **attrs):
    node = helper.make_node(op, [*feeds, *(n for n, _ in tensors)], [f"y{i}" for i in range(len(wanted))], **attrs)
    return written(version, [node], feeds, node.output, equal(*wanted), tensors)


def add(cases, op, versions, make):
    for v in versions:
        cases[op, v] = make(v)


def old_attributes(cases):
    per_channel = [np.array(a, dtype=np.float32) for a in ([1, 2, .5], [0, 1, -1], [.5, 0, 1], [1, 4, .25])]
    scale, bias, mean, var = (a.reshape(3, 1, 1) for a in per_channel)
    cases["BatchNormalization", 1] = one(1, "BatchNormalization", dict(zip("xsbmv", [X, *per_channel])), [scale * (X - mean) / np.sqrt(var + 1e-5) + bias],
                                         consumed_inputs=[0, 0, 0, 1, 1], is_test=1, epsilon=1e-5)
    cases["Cast", 1] = one(1, "Cast", {"x": np.array([1, -2, 3], dtype=np.int32)}, [np.array([1, -2, 3], dtype=np.float32)], to="FLOAT")
    cases["Pad", 1] = one(1, "Pad", {"x": X}, [np.pad(X, ((0, 0), (0, 0), (1, 0), (2, 3)), constant_values=1.5)], paddings=[0, 0, 1, 2, 0, 0, 0, 3], value=1.5)
    cases["Tile", 1] = one(1, "Tile", {"x": X}, [np.tile(X, (1, 1, 3, 1))], [("tiles", np.float32([3])), ("axis", np.float32([2]))])
    order = np.argsort(-X, axis=2, kind="stable")[:, :, :2]
    cases["TopK", 1] = one(1, "TopK", {"x": X}, [np.take_along_axis(X, order, 2), order], axis=2, k=2)
    cases["Upsample", 1] = one(1, "Upsample", {"x": X}, [X.repeat(2, 2).repeat(3, 3)], height_scale=2.0, width_scale=3.0, mode="nearest")
    scales = ("scales", np.float32([1, 1, 2, 3]))
    rows = np.minimum(np.ceil(np.arange(X.shape[2] * 3 // 4) / 0.75).astype(int), X.shape[2] - 1)  # shrinking rounds up
    cases["Resize", 10] = one(10, "Resize", {"x": X}, [X[:, :, rows].repeat(3, 3)], [("scales", np.float32([1, 1, 0.75, 3]))])
    cases["Resize", 11] = one(11, "Resize", {"x": X}, [X.repeat(2, 2).repeat(3, 3)], [("roi", np.float32([])), scales], nearest_mode="floor",
                              coordinate_transformation_mode="asymmetric")


def pools(cases):
    norm = np.sqrt((X.astype(np.float64) ** 2).sum((2, 3), keepdims=True))
    add(cases, "GlobalLpPool", (1, 2, 22), lambda v: one(v, "GlobalLpPool", {"x": X}, [norm], p=2.0 if v == 1 else 2))
    windows = np.lib.stride_tricks.sliding_window_view(X, (2, 2), (2, 3)).astype(np.float64)
    cases["LpPool", 1] = one(1, "LpPool", {"x": X}, [np.sqrt((windows**2).sum((4, 5)))], kernel_shape=[2, 2], p=2.0)
    rois = np.float32([[0, 0, 0, 3, 3], [1, 1, 0, 4, 3]])  # batch, x and y of both corners
    parts = [X[0, :, 0:4, 0:4], X[1, :, 0:4, 1:5]]
    best = np.stack([p.reshape(3, 2, 2, 2, 2).max((2, 4)) for p in parts])
    add(cases, "MaxRoiPool", (1, 22), lambda v: one(v, "MaxRoiPool", {"x": X, "rois": rois}, [best], pooled_shape=[2, 2]))
    centred = X - X.mean((0, 2, 3), keepdims=True)
    cases["MeanVarianceNormalization", 13] = one(13, "MeanVarianceNormalization", {"x": X}, [centred / np.sqrt((centred**2).mean((0, 2, 3), keepdims=True) + 1e-9)])


def loop(version):
    """Three times: the sum doubles, each is kept."""
    body = helper.make_graph([helper.make_node("Add", ["s", "s"], ["next"]), helper.make_node("Identity", ["next"], ["kept"]),
                              helper.make_node("Identity", ["go"], ["on"])], "body",
                             [helper.make_tensor_value_info("i", T.INT64, []), helper.make_tensor_value_info("go", T.BOOL, []), helper.make_tensor_value_info("s", T.FLOAT, [2])],
                             [helper.make_tensor_value_info("on", T.BOOL, []), helper.make_tensor_value_info("next", T.FLOAT, [2]), helper.make_tensor_value_info("kept", T.FLOAT, [2])])
    if version < 7:  # broadcasting is said
        body.node[0].attribute.append(helper.make_attribute("broadcast", 0))
    x = np.float32([1, -3])
    node = helper.make_node("Loop", ["n", "yes", "x"], ["last", "all"], body=body)
    return written(version, [node], {"x": x}, ["last", "all"], equal(8 * x, np.stack([2 * x, 4 * x, 8 * x])), [("n", np.array(3)), ("yes", np.array(True))])


def sequences(cases):
    a, b = X[0], X[1]
    index = [("one", np.array(1)), ("two", np.array(2))]
    two = helper.make_node("SequenceConstruct", ["a", "b"], ["s"])

    def of(version, nodes, outputs, *wanted, tensors=index):
        used = {i for n in nodes for i in n.input}
        return written(version, nodes, {"a": a, "b": b}, outputs, equal(*wanted), [t for t in tensors if t[0] in used])

    at = helper.make_node("SequenceAt", ["s", "one"], ["y"])
    joined = helper.make_node("ConcatFromSequence", ["s"], ["y"], axis=0)
    length = helper.make_node("SequenceLength", ["s"], ["n"])
    more = [helper.make_node("SequenceEmpty", [], ["none"]), helper.make_node("SequenceInsert", ["none", "a"], ["p"]),
            helper.make_node("SequenceInsert", ["p", "b"], ["q"]), helper.make_node("SequenceErase", ["q", "zero"], ["s"]), joined, length]
    for op in ("SequenceConstruct", "SequenceAt", "ConcatFromSequence", "SequenceLength"):
        cases[op, 11] = of(11, [two, at, length], ["y", "n"], b, np.array(2)) if op != "ConcatFromSequence" else of(11, [two, joined], ["y"], np.concatenate([a, b]))
    for op in ("SequenceEmpty", "SequenceInsert", "SequenceErase"):
        cases[op, 11] = of(11, more, ["y", "n"], b, np.array(1), tensors=[("zero", np.array(0))])
    split = [helper.make_node("SplitToSequence", ["a", "two"], ["s"], axis=1), at]
    add(cases, "SplitToSequence", (11, 24), lambda v: of(v, split, ["y"], a[:, 2:]))
    body = helper.make_graph([helper.make_node("Neg", ["e"], ["f"])], "body", [helper.make_tensor_value_info("e", T.FLOAT, None)],
                             [helper.make_tensor_value_info("f", T.FLOAT, None)])
    cases["SequenceMap", 17] = of(17, [two, helper.make_node("SequenceMap", ["s"], ["t"], body=body), helper.make_node("SequenceAt", ["t", "one"], ["y"])], ["y"], -b)
    optional = [helper.make_node("Optional", ["a"], ["o"]), helper.make_node("OptionalHasElement", ["o"], ["has"]), helper.make_node("OptionalGetElement", ["o"], ["y"])]
    for op, versions in (("Optional", (15, 28)), ("OptionalHasElement", (15,)), ("OptionalGetElement", (15,))):
        add(cases, op, versions, lambda v: of(v, optional, ["has", "y"], np.array(True), a))


def chance(cases):
    """Shape, and the mean and deviation of many numbers, or what they may be."""
    n, like = 20000, {"x": np.zeros((100, 200), dtype=np.float32)}

    def moments(mean, deviation):
        return lambda o: o[0].size == n and o[0].dtype == np.float32 and abs(o[0].mean() - mean) < .05 and abs(o[0].std() - deviation) < .05

    def drawn(version, op, feeds, right, **attrs):
        return written(version, [helper.make_node(op, [*feeds], ["y"], **attrs)], feeds, ["y"], right)

    for v in (1, 22):
        cases["RandomNormal", v] = drawn(v, "RandomNormal", {}, moments(1, 2), mean=1.0, scale=2.0, shape=[n], seed=3.0)
        cases["RandomNormalLike", v] = drawn(v, "RandomNormalLike", like, moments(0, 1), seed=3.0)
        cases["RandomUniform", v] = drawn(v, "RandomUniform", {}, moments(1, 2 / 12**.5), low=0.0, high=2.0, shape=[n], seed=3.0)
        cases["RandomUniformLike", v] = drawn(v, "RandomUniformLike", like, moments(.5, 1 / 12**.5), seed=3.0)
    p = np.full(n, .25, dtype=np.float32)
    add(cases, "Bernoulli", (15, 22), lambda v: drawn(v, "Bernoulli", {"p": p}, lambda o: set(np.unique(o[0])) == {0, 1} and abs(o[0].mean() - .25) < .03, seed=3.0))
    odds = np.log(np.float32([[.5, .25, .25]]))
    add(cases, "Multinomial", (7, 22), lambda v: drawn(v, "Multinomial", {"p": odds}, lambda o: o[0].shape == (1, n) and abs((o[0] == 0).mean() - .5) < .03 and set(np.unique(o[0])) == {0, 1, 2},
                                                       sample_size=n, seed=3.0))


def written_cases():
    cases = {}
    old_attributes(cases)
    pools(cases)
    add(cases, "Loop", (1, 11, 13, 16, 19, 21, 23, 24, 25), loop)
    sequences(cases)
    chance(cases)
    return cases
