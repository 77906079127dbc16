"""What must hold of files for Model Explorer; says what does not, and nothing else.

usage: explorer.py graphs FILE...      each has the form of graph_builder.py of the package ai-edge-model-explorer, if that is
                                       installed, and of the table below if not; ids are unique, edges lead to nodes
       explorer.py data FILE PREFIX    node data that dcc-run has written find their nodes in both graphs
"""
import dataclasses
import importlib.util
import json
import sys
import types
import typing

# The parts of graph_builder.py that dcc writes: a member's type is a string, or a list or dict of types.
PAIRS = [{"key": str, "value": str}]
METADATA = [{"id": str, "attrs": PAIRS}]
NODE = {"id": str, "label": str, "namespace": str, "attrs": PAIRS,
        "incomingEdges": [{"sourceNodeId": str, "sourceNodeOutputId": str, "targetNodeInputId": str}],
        "inputsMetadata": METADATA, "outputsMetadata": METADATA}
COLLECTION = {"label": str, "graphs": [{"id": str, "nodes": [NODE], "groupNodeAttributes": None}]}


def check_table(value, form, place):
    if isinstance(form, list):
        assert isinstance(value, list), place
        for i, item in enumerate(value):
            check_table(item, form[0], f"{place}[{i}]")
    elif isinstance(form, dict):
        assert isinstance(value, dict) and set(value) <= set(form), (place, list(value))
        for key, item in value.items():
            check_table(item, form[key], f"{place}.{key}")
    elif form:
        assert isinstance(value, form), place


def builder():
    """graph_builder.py, without the rest of its package, which wants many others."""
    package = importlib.util.find_spec("model_explorer")
    if not package:
        return None
    spec = importlib.util.spec_from_file_location("graph_builder", package.submodule_search_locations[0] + "/graph_builder.py")
    module = sys.modules["graph_builder"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_type(value, want, place):
    origin, args = typing.get_origin(want), typing.get_args(want)
    if dataclasses.is_dataclass(want):
        hints = typing.get_type_hints(want)
        assert isinstance(value, dict) and set(value) <= set(hints), (place, value)
        for field in dataclasses.fields(want):
            missing = dataclasses.MISSING
            needed = field.default is missing and field.default_factory is missing
            assert field.name in value or not needed, (place, field.name)
        for key, item in value.items():
            check_type(item, hints[key], f"{place}.{key}")
    elif origin is list:
        assert isinstance(value, list), place
        for i, item in enumerate(value):
            check_type(item, args[0], f"{place}[{i}]")
    elif origin is dict:
        assert isinstance(value, dict), place
        for key, item in value.items():
            check_type(key, args[0], place)
            check_type(item, args[1], f"{place}.{key}")
    elif origin in (typing.Union, types.UnionType):
        assert any(fits(value, arg, place) for arg in args), (place, value)
    else:
        assert isinstance(value, want), (place, value)


def fits(value, want, place):
    try:
        check_type(value, want, place)
    except AssertionError:
        return False
    return True


def check_graph(graph, place):
    nodes = {n["id"]: n for n in graph["nodes"]}
    assert len(nodes) == len(graph["nodes"]), (place, "ids")
    outputs = {i: {o["id"]: o for o in n["outputsMetadata"]} for i, n in nodes.items()}
    for node in graph["nodes"]:
        assert len(node["namespace"]) < 1100 and "" not in node["namespace"].split("/") or not node["namespace"], (place, node["namespace"])
        for k, edge in enumerate(node["incomingEdges"]):
            out = outputs[edge["sourceNodeId"]][edge["sourceNodeOutputId"]]
            assert any(a["key"] == "shape" and "[" in a["value"] for a in out["attrs"]), (place, edge)
            assert edge["targetNodeInputId"] == str(k), (place, edge)
        for text in [node["id"], node["label"], node["namespace"], *[x for a in node["attrs"] for x in a.values()]]:
            assert text.isprintable(), (place, text)


def check_graphs(files):
    package = builder()
    for file in files:
        with open(file, encoding="utf-8") as f:
            collection = json.load(f)
        assert [g["id"] for g in collection["graphs"]] == ["imported", "fused"], file
        check_table(collection, COLLECTION, file)
        if package:
            check_type(collection, package.GraphCollection, file)
        for graph in collection["graphs"]:
            check_graph(graph, f"{file}: {graph['id']}")


def check_data(file, prefix):
    with open(file, encoding="utf-8") as f:
        graphs = json.load(f)["graphs"]
    data = {}
    for what in "ms", "flop", "bytes", "gflops":
        with open(f"{prefix}.{what}.json", encoding="utf-8") as f:
            data[what] = json.load(f)
        assert set(data[what]) == {"imported", "fused"}, what
        for graph in graphs:
            names = {a["value"] for n in graph["nodes"] for o in n["outputsMetadata"] for a in o["attrs"] if a["key"] == "tensor_name"}
            results = data[what][graph["id"]]["results"]
            assert results and set(results) <= names, (what, graph["id"], set(results) - names)
    for name, ms in data["ms"]["fused"]["results"].items():
        flop, rate = (data[what]["fused"]["results"][name]["value"] for what in ("flop", "gflops"))
        assert abs(rate * ms["value"] * 1e6 - flop) <= 1e-4 * flop + 1e-9, (name, ms, flop, rate)


if sys.argv[1] == "graphs":
    check_graphs(sys.argv[2:])
else:
    check_data(*sys.argv[2:])
