#!/usr/bin/env python3
"""Every version of every operator of the standard's domain: a case with an answer, or a refusal by name.

    tests/versions.py BUILD [-v] [PATTERN]

The suite of the onnx package has cases of the newest versions only.  For an older version the cases of its operator are put in its
terms: the opset is the version's, an operand that was an attribute becomes one, an attribute that it does not know goes where it has
its default.  What onnx's checker accepts then counts; at most CASES a version.  version_cases.py has cases of those that are left.  The answer is onnxruntime's where it runs the
model, else the case's own; values may differ by 1e-4 of the largest (f16: 2^-9), since both may be other kernels' sums.
Prints a line for each version: right, refused and why, or that there is no case.  Exit status 1 if a value is wrong or dcc crashes.
Needs onnx, onnxruntime, numpy.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import conformance
import version_cases

CASES = 3
TOLERANCE = {"float16": 2.0**-9}


def schemas_by_operator():
    found = {}
    for s in onnx.defs.get_all_schemas_with_history():
        if s.domain == "" and not s.deprecated:
            found.setdefault(s.name, {})[s.since_version] = s
    return found


def single_node_cases():
    """By operator: cases of one node whose values are tensors, and not chance's."""
    found = {}
    for test in conformance.all_tests():
        case = conformance.case_of(test)
        nodes = case.model.graph.node
        if len(nodes) == 1 and nodes[0].domain == "" and nodes[0].op_type not in conformance.RANDOM and all(isinstance(v, TensorProto) for v in [*case.inputs, *case.outputs]):
            found.setdefault(nodes[0].op_type, []).append(case)
    return found


def attribute_of(schema, name, value):
    """An operand's value as the attribute that it was, or None."""
    old = schema.attributes.get(name)
    if old is None:
        return None
    array = numpy_helper.to_array(value)
    if old.type.name in ("INTS", "FLOATS"):
        return helper.make_attribute(name, array.reshape(-1).tolist()) if array.size else None
    return helper.make_attribute(name, array.item()) if array.size == 1 else None


def in_terms_of(schema, newest, case):
    """The case as a model of that version, with its inputs; None: it cannot be put that way."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    node, graph = model.graph.node[0], model.graph
    values = dict(zip((i.name for i in conformance.ports(graph)), case.inputs))
    formal = [i.name for i in schema.inputs]
    variadic = bool(schema.inputs) and schema.inputs[-1].option == onnx.defs.OpSchema.FormalParameterOption.Variadic
    if not variadic:
        operands = list(node.input)
        del node.input[:]
        for i, name in enumerate(operands):
            new = newest.inputs[min(i, len(newest.inputs) - 1)].name
            if i < len(formal) and (formal[i] == new or new not in schema.attributes):
                node.input.append(name)
            elif name:
                attribute = attribute_of(schema, new, values[name]) if name in values else None
                if attribute is None:
                    return None
                node.attribute.append(attribute)
                del values[name]
    for a in [a for a in node.attribute if a.name not in schema.attributes]:
        default = newest.attributes[a.name].default_value if a.name in newest.attributes else None
        if default is None or not default.type or helper.get_attribute_value(a) != helper.get_attribute_value(default):
            return None
        node.attribute.remove(a)
    if "is_test" in schema.attributes and "is_test" not in newest.attributes:
        node.attribute.append(helper.make_attribute("is_test", 1))  # what newer versions mean
    inputs = [i for i in graph.input if i.name in values]
    del graph.input[:]
    graph.input.extend(inputs)
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", schema.since_version))
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception:  # the checker's and the inference's own
        return None
    return model, [values[i.name] for i in inputs]


# onnxruntime places what MaxUnpool gets by the extents without output_shape; the suite and the text by those with it.
NOT_ONNXRUNTIME = {"MaxUnpool"}


def answers(model, inputs, case):
    try:
        if model.graph.node[0].op_type in NOT_ONNXRUNTIME:
            raise ValueError
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        feeds = {i.name: numpy_helper.to_array(v) for i, v in zip(model.graph.input, inputs)}
        return session.run(None, feeds), "onnxruntime"
    except Exception:  # many old versions have no kernel there
        return [numpy_helper.to_array(o) for o in case.outputs], "the newest version's case"


def same(got, want):
    if got.shape != want.shape or got.dtype != want.dtype:
        return False
    if got.dtype.kind not in "fc":
        return bool((got == want).all())
    finite = np.isfinite(want)
    most = np.abs(want[finite]).max(initial=1e-30)
    return bool((np.isnan(got) == np.isnan(want)).all() and (got[np.isinf(want)] == want[np.isinf(want)]).all() and
                np.abs(got[finite].astype(np.float64) - want[finite]).max(initial=0) <= TOLERANCE.get(want.dtype.name, 1e-4) * most)


def run(build, model, inputs, case, folder):
    """(result, why)"""
    conformance.write(os.path.join(folder, "model.onnx"), model)
    for i, value in enumerate(inputs):
        conformance.write(os.path.join(folder, f"input_{i}.pb"), value)
    command = [os.path.join(build, "dcc-run"), "model.onnx", "--save", "out"] + (["--inputs", "."] if inputs else [])
    p = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=60)
    if p.returncode:
        return ("refused" if p.returncode == 1 else "crashed"), conformance.last_line(p.stderr)
    outputs = []
    for i in range(len(model.graph.output)):
        with open(os.path.join(folder, "out", f"output_{i}.pb"), "rb") as f:
            outputs.append(numpy_helper.to_array(TensorProto.FromString(f.read())))
    if isinstance(case, version_cases.Written):
        return ("right", "") if case.right(outputs) else ("wrong", "the outputs of its case in version_cases.py")
    wanted, oracle = answers(model, inputs, case)
    for i, (got, want) in enumerate(zip(outputs, wanted, strict=True)):
        if not same(got, want):
            return "wrong", f"{case.name}: output {i} is not that of {oracle}"
    return "right", ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("pattern", nargs="?", default="")
    parser.add_argument("-v", action="store_true", help="versions that are right, too")
    args = parser.parse_intermixed_args()
    build = os.path.abspath(args.build)
    warnings.simplefilter("ignore")
    cases, own, counts = single_node_cases(), version_cases.written_cases(), {}
    for name, versions in sorted(schemas_by_operator().items()):
        if not re.search(args.pattern, name):
            continue
        newest = versions[max(versions)]
        for version, schema in sorted(versions.items()):
            results = []
            for case in cases.get(name, []):
                put = in_terms_of(schema, newest, case)
                if put is None or len(results) == CASES:
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    results.append(run(build, *put, case, folder))
            if (name, version) in own:
                case = own[name, version]
                with tempfile.TemporaryDirectory() as folder:
                    results.append(run(build, case.model, case.inputs, case, folder))
            rank = ["crashed", "wrong", "right", "refused"]
            result, why = min(results, key=lambda r: rank.index(r[0])) if results else ("no case", "")
            counts[result] = counts.get(result, 0) + 1
            if args.v or result != "right":
                print(f"{name}-{version}: {result} {why}", flush=True)
    print(", ".join(f"{n} {result}" for result, n in sorted(counts.items())))
    sys.exit(1 if counts.keys() & {"crashed", "wrong"} else 0)


if __name__ == "__main__":
    main()
