#!/usr/bin/env python3
"""ONNX's own test cases against dcc, by class: node tests and the models that the package ships.

    tests/conformance.py BUILD [--form FORM ...] [--isa NAME] [--class CLASS ...] [-j N] [-v] [--seconds N [--seed N]] [PATTERN]

Every case is made from the installed onnx package, compiled and run by BUILD/dcc-run, and its outputs are compared here.
FORM says how a case is put to the compiler (default: all three):
    plain     as it is
    symbolic  all input dims symbolic, one symbol for each extent, with --broadcast-symbols; of shapes stated elsewhere only
              the ranks of outputs are left.  Lengths of one-dimensional inputs that decide a rank stay
    bound     inputs whose values decide shapes are constants; only the cases that have such inputs
A sequence is put as its elements, with the option -D that states their number, and compared the same way; an optional is put as
what it holds, or with -D NAME=0 as nothing.  Where the model does not state the rank of elements, --shape does.
Where the data decides a size that nothing bounds, the refusal names the -D that would, and the case is put again with a bound of
64: a line "bounded" names it.
Prints passed, wrong, refused (exit 1 with a message before anything ran), crashed and late (no end within 60 s) by class,
and a line for each case that is wrong, crashed or late; -v: the reasons of refusals too.  Exit status 1 if there are any.
--seconds: no case is begun after so many; what is left out is chance's, decided by --seed, and is counted.

A value is right within the suite's tolerance; f32 sums may err by two units in the last place of the tensor's largest
element, f16 and bf16 by two of an element's, since the suite rounds between the steps of an operator.  Where the suite's own
value is not what the standard's text says, or the text leaves it open, EXCEPTIONS names the case and the reason.
"""

import argparse
import collections
import concurrent.futures
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import warnings

import ml_dtypes
import numpy as np
import onnx
import onnx.backend.test.loader as loader
from onnx import AttributeProto, TensorProto, numpy_helper
from onnx.backend.test.runner import Runner

CLASSES = ("core", "rare", "quant", "half", "lowbit", "control", "sequence", "text-ml", "preview", "random", "image")
FORMS = ("plain", "symbolic", "bound")
LIMIT = 60  # seconds a case

# Cases that are not compared, with what the standard says instead.
EXCEPTIONS = {name: "the text's length_resized is the extent, 2 or 3; the reference takes the fraction that the scale gives"
              for name in ("test_resize_downsample_scales_linear_align_corners", "test_resize_downsample_scales_cubic_align_corners")}
EXCEPTIONS.update((f"test_bernoulli{form}{how}", "the numbers are random: the text leaves the generator open")
                  for form in ("", "_double", "_seed") for how in ("", "_expanded"))
with np.errstate(invalid="ignore"):
    if np.float32(100).astype(ml_dtypes.int4) == 0:
        EXCEPTIONS.update((f"test_cast{like}_FLOAT{half}_to_{sign}INT{bits}{how}",
                           "numbers beyond the type: the text leaves them open, and ml_dtypes, which made the outputs, gives 0 since 0.7, the nearest before")
                          for like, hows in (("", ("",)), ("like", ("", "_expanded"))) for how in hows
                          for half in ("", "16") for sign in ("", "U") for bits in (2, 4))

RANDOM = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
TEXT = {"StringConcat", "StringNormalizer", "StringSplit", "RegexFullMatch", "TfIdfVectorizer"}
CONTROL = {"If", "Loop", "Scan"}
QUANT = set("ConvInteger DequantizeLinear DynamicQuantizeLinear MatMulInteger QLinearConv QLinearMatMul "
            "QuantizeLinear".split())
# Operators of inference that transformers and convolution nets hardly use.
RARE = set("Acosh AffineGrid Asinh Atanh BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Col2Im "
           "Compress CumProd DFT DeformConv Det GRU HammingWindow HannWindow Hardmax LSTM LpPool MaxRoiPool MaxUnpool "
           "MelWeightMatrix NegativeLogLikelihoodLoss NonMaxSuppression NonZero RNN ReverseSequence RoiAlign STFT "
           "SoftmaxCrossEntropyLoss Unique Upsample".split())
# Operands whose values decide shapes, axes or counts.
SHAPE_OPERANDS = {
    "AffineGrid": [1], "BlackmanWindow": [0], "CenterCropPad": [1], "Col2Im": [1, 2], "ConstantOfShape": [0],
    "CumProd": [1], "CumSum": [1], "DFT": [1, 2], "Expand": [1], "HammingWindow": [0], "HannWindow": [0],
    "If": [0], "Loop": [0, 1],
    "MaxUnpool": [2], "MelWeightMatrix": [0, 1], "OneHot": [1], "Pad": [1, 3], "Range": [0, 1, 2], "Reshape": [1],
    "Resize": [1, 2, 3], "STFT": [1, 3], "SequenceAt": [1], "SequenceErase": [1], "SequenceInsert": [2], "Slice": [1, 2, 3, 4],
    "Split": [1], "SplitToSequence": [1], "Squeeze": [1],
    "Tile": [1], "TopK": [1], "Unsqueeze": [1], "Upsample": [1]}
SHAPE_OPERANDS.update({"Reduce" + r: [1] for r in
                       "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare".split()})
# Of those, the ones whose length is a rank or a number of results.
RANK_OPERANDS = {"Reshape": [1], "Expand": [1], "ConstantOfShape": [0], "Tile": [1], "Squeeze": [1], "Unsqueeze": [1],
                 "Split": [1], "SplitToSequence": [1], "Slice": [1, 2, 3, 4], "Pad": [1, 3], "Resize": [1, 2, 3], "Upsample": [1],
                 "CenterCropPad": [1], "Col2Im": [1, 2], "AffineGrid": [1], "MaxUnpool": [2]}
RANK_OPERANDS.update({name: at for name, at in SHAPE_OPERANDS.items() if name.startswith("Reduce")})


# ---- cases ----------------------------------------------------------------------------------------------------------


class Case:
    def __init__(self, name, model, inputs, outputs, rtol, atol):
        self.name, self.model, self.inputs, self.outputs, self.rtol, self.atol = name, model, inputs, outputs, rtol, atol


def ports(graph):
    """The graph's inputs that have no initializer."""
    weights = {w.name for w in graph.initializer}
    return [i for i in graph.input if i.name not in weights]


def read_value(path, info):
    kind = info.type.WhichOneof("value")
    with open(path, "rb") as f:
        data = f.read()
    if kind == "sequence_type":
        return onnx.SequenceProto.FromString(data)
    if kind == "optional_type":
        return onnx.OptionalProto.FromString(data)
    return onnx.TensorProto.FromString(data)


def as_proto(value, info):
    kind = info.type.WhichOneof("value")
    if kind == "sequence_type":
        return numpy_helper.from_list(value, info.name)
    if kind == "optional_type":
        return numpy_helper.from_optional(value, info.name)
    if kind == "map_type":
        return numpy_helper.from_dict(value, info.name)
    if isinstance(value, TensorProto):
        value.name = info.name
        return value
    return numpy_helper.from_array(np.asarray(value), info.name)


def case_from_files(test, model_path, data):
    model = onnx.load(model_path)
    read = lambda stem, infos: [read_value(os.path.join(data, f"{stem}_{i}.pb"), info) for i, info in enumerate(infos)]
    return Case(test.name, model, read("input", ports(model.graph)), read("output", model.graph.output), test.rtol, test.atol)


def light_model(test):
    return os.path.join(loader.DATA_DIR, "light", os.path.basename(test.url or ""))


def case_of(test):
    if test.model is not None:
        (inputs, outputs), = test.data_sets
        convert = lambda values, infos: [as_proto(v, i) for v, i in zip(values, infos)]
        return Case(test.name, test.model, convert(inputs, ports(test.model.graph)),
                    convert(outputs, test.model.graph.output), test.rtol, test.atol)
    if test.model_dir:
        return case_from_files(test, os.path.join(test.model_dir, "model.onnx"),
                               os.path.join(test.model_dir, "test_data_set_0"))
    source = light_model(test)  # the input is a formula of the suite's
    model = onnx.load(source)
    inputs = [as_proto(Runner.generate_dummy_data(i), i) for i in ports(model.graph)]
    return Case(test.name, model, inputs, [onnx.load_tensor(source[:-5] + "_output_0.pb")], test.rtol, test.atol)


def all_tests():
    for kind in ("node", "simple", "pytorch-converted", "pytorch-operator", "real"):
        for test in sorted(loader.load_model_tests(kind=kind), key=lambda t: t.name):
            if test.model is not None or test.model_dir or os.path.isfile(light_model(test)):
                yield test  # else older packages have the name alone


# ---- classes --------------------------------------------------------------------------------------------------------


def walk(nodes):
    for n in nodes:
        yield n
        for a in n.attribute:
            for g in [a.g] if a.type == AttributeProto.GRAPH else a.graphs:
                yield from walk(g.node)


def element_types(type_proto):
    kind = type_proto.WhichOneof("value")
    if kind in ("tensor_type", "sparse_tensor_type"):
        return {getattr(type_proto, kind).elem_type}
    if kind in ("sequence_type", "optional_type"):
        return element_types(getattr(type_proto, kind).elem_type)
    return set()


def dtypes_of(model, nodes):
    g = model.graph
    codes = {i.data_type for i in g.initializer}
    for info in [*g.input, *g.output]:
        codes |= element_types(info.type)
    for n in nodes:
        for a in n.attribute:
            if a.type == AttributeProto.TENSOR:
                codes.add(a.t.data_type)
            if (n.op_type, a.name) in (("Cast", "to"), ("BitCast", "to"), ("QuantizeLinear", "output_dtype")):
                codes.add(a.i)
    return {TensorProto.DataType.Name(c) for c in codes - {0}}


def class_of(case):
    """The first that applies, hardest to support first."""
    model = case.model
    nodes = [*walk(model.graph.node), *(n for f in model.functions for n in walk(f.node))]
    ops = {n.op_type for n in nodes}
    domains = {n.domain for n in nodes}
    dtypes = dtypes_of(model, nodes)
    kinds = {i.type.WhichOneof("value") for i in [*model.graph.input, *model.graph.output]}
    trains = any(a.name == "training_mode" and a.i for n in nodes for a in n.attribute)
    trains |= "Dropout" in ops and "training_dropout" in case.name
    if trains or any(d.startswith("ai.onnx.preview") for d in domains):
        return "preview"
    if ops & RANDOM:
        return "random"
    if "ImageDecoder" in ops:
        return "image"
    if ops & TEXT or "ai.onnx.ml" in domains or "STRING" in dtypes:
        return "text-ml"
    if kinds - {"tensor_type"} or any("Sequence" in o or "Optional" in o for o in ops - {"ReverseSequence"}):
        return "sequence"
    if ops & CONTROL:
        return "control"
    if any(d.startswith(("FLOAT8", "FLOAT4", "INT4", "UINT4", "INT2", "UINT2")) for d in dtypes):
        return "lowbit"
    if dtypes & {"FLOAT16", "BFLOAT16"}:
        return "half"
    if ops & QUANT:
        return "quant"
    return "rare" if ops & RARE or any(d.startswith("COMPLEX") for d in dtypes) else "core"


# ---- forms ----------------------------------------------------------------------------------------------------------


def deciding_inputs(graph, operands):
    """Names of inputs whose values reach one of `operands`."""
    nodes = list(walk(graph.node))
    made = {o: n for n in nodes for o in n.output}
    todo = [n.input[i] for n in nodes for i in operands.get(n.op_type, ()) if i < len(n.input)]
    seen = set()
    while todo:
        name = todo.pop()
        if name and name not in seen:
            seen.add(name)
            if name in made and made[name].op_type not in ("Shape", "Size", "SequenceLength"):
                todo += (i for n in walk([made[name]]) for i in n.input)
    return {i.name for i in ports(graph)} & seen


def symbolic_form(case):
    """Every input dim a symbol of its extent; what else states extents is dropped.  None: nothing to change."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    g = model.graph
    ranks = deciding_inputs(g, RANK_OPERANDS)
    changed = False
    for info in ports(g):
        if info.type.WhichOneof("value") != "tensor_type" or info.name in ranks:
            continue
        for d in info.type.tensor_type.shape.dim:
            if d.HasField("dim_value"):
                extent = d.dim_value
                d.dim_param = f"d{extent}"
                changed = True
    del g.value_info[:]
    for info in g.output:
        if info.type.WhichOneof("value") == "tensor_type":
            for d in info.type.tensor_type.shape.dim:
                d.Clear()
    return Case(case.name, model, case.inputs, case.outputs, case.rtol, case.atol) if changed else None


def bound_form(case):
    """Inputs that decide shapes are initializers.  None: there are none."""
    deciding = deciding_inputs(case.model.graph, SHAPE_OPERANDS)
    if not deciding:
        return None
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    g = model.graph
    inputs = []
    deciding = {i.name for i, v in zip(ports(case.model.graph), case.inputs) if i.name in deciding and isinstance(v, TensorProto)}
    for info, value in zip(ports(case.model.graph), case.inputs):
        if info.name in deciding:
            weight = g.initializer.add()
            weight.CopyFrom(value)
            weight.name = info.name
        else:
            inputs.append(value)
    keep = [i for i in g.input if i.name not in deciding]
    del g.input[:]
    g.input.extend(keep)
    return Case(case.name, model, inputs, case.outputs, case.rtol, case.atol)


FORM_OF = {"plain": lambda case: case, "symbolic": symbolic_form, "bound": bound_form}


# ---- values ---------------------------------------------------------------------------------------------------------

MANTISSA = {TensorProto.FLOAT16: 10, TensorProto.BFLOAT16: 7}


def difference(got, want, case):
    """None, or what differs between two protos."""
    if got.data_type != want.data_type:
        return f"dtype {TensorProto.DataType.Name(got.data_type)}, expected {TensorProto.DataType.Name(want.data_type)}"
    if list(got.dims) != list(want.dims):
        return f"dims {list(got.dims)}, expected {list(want.dims)}"
    a, b = numpy_helper.to_array(got), numpy_helper.to_array(want)
    if a.dtype.kind in "biu":
        wrong = a != b
    else:
        if a.dtype.kind != "c":
            a, b = a.astype(np.float64), b.astype(np.float64)
        finite = np.isfinite(b)
        atol, rtol = case.atol, case.rtol
        if want.data_type == TensorProto.FLOAT:
            atol = max(atol, np.abs(b[finite]).max(initial=0) * 2.0**-22)
        if want.data_type in MANTISSA:
            rtol = 2 * 2.0**-MANTISSA[want.data_type]
        with np.errstate(all="ignore"):
            wrong = ~((a == b) | (np.isnan(a) & np.isnan(b)) | (finite & (np.abs(a - b) <= atol + rtol * np.abs(b))))
    if not wrong.any():
        return None
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{int(wrong.sum())} of {wrong.size} differ, at {list(at)}: got {a[at]}, expected {b[at]}"


# ---- running --------------------------------------------------------------------------------------------------------


def write(path, message):
    with open(path, "wb") as f:
        f.write(message.SerializeToString(deterministic=True))


def last_line(text):
    lines = [l for l in text.strip().splitlines() if l]
    return lines[-1][:300] if lines else ""


def tensors_of(value):
    """What dcc has ports for: the tensors in a value."""
    if isinstance(value, onnx.SequenceProto):
        if value.elem_type not in (onnx.SequenceProto.TENSOR, onnx.SequenceProto.UNDEFINED):
            raise ValueError("a sequence of no tensors")
        return list(value.tensor_values)
    if isinstance(value, onnx.OptionalProto):
        kinds = {onnx.OptionalProto.TENSOR: "tensor_value", onnx.OptionalProto.SEQUENCE: "sequence_value"}
        return tensors_of(getattr(value, kinds[value.elem_type])) if value.elem_type else []
    return [value]


def states_rank(type_proto):
    kind = type_proto.WhichOneof("value")
    if kind in ("sequence_type", "optional_type"):
        return states_rank(getattr(type_proto, kind).elem_type)
    return kind != "tensor_type" or type_proto.tensor_type.HasField("shape")


def as_stated(info, value):
    """onnx 1.12 records the bits of bfloat16 as uint16."""
    stated = info.type.tensor_type.elem_type
    if isinstance(value, TensorProto) and stated == TensorProto.BFLOAT16 and value.data_type == TensorProto.UINT16:
        bits = TensorProto()
        bits.CopyFrom(value)
        bits.data_type = stated
        return bits
    return value


def contradicts(info, value):
    """Does the recorded tensor have another rank than its port?"""
    stated = info.type.tensor_type
    return isinstance(value, TensorProto) and stated.HasField("shape") and len(stated.shape.dim) != len(value.dims)


def tensors_to_run(case):
    return [t for info, value in zip(ports(case.model.graph), case.inputs) for t in tensors_of(as_stated(info, value))]


def tensors_to_expect(case):
    return [t for info, value in zip(case.model.graph.output, case.outputs) for t in tensors_of(as_stated(info, value))]


def options_of(case, form):
    """How dcc and dcc-run are told what the case's model does not say."""
    options = ["--broadcast-symbols"] if form == "symbolic" else []
    for info, value in zip(ports(case.model.graph), case.inputs):
        tensors = tensors_of(value)
        if info.type.WhichOneof("value") in ("sequence_type", "optional_type"):
            options += ["-D", f"{info.name}={len(tensors)}"]
        if not states_rank(info.type):
            listed = isinstance(value, onnx.SequenceProto) or isinstance(value, onnx.OptionalProto) and value.HasField("sequence_value")
            names = [f"{info.name}.{i}" if listed else info.name for i in range(len(tensors))]
            options += [w for name, t in zip(names, tensors) for w in ("--shape", f"{name}={list(t.dims)}")]
    return options


def run_bounded(command, folder):
    """Runs a tool of dcc, with a bound where a refusal asks for one: the finished process, the bounds.  subprocess.TimeoutExpired."""
    bounds = []
    while True:
        p = subprocess.run(command + bounds, cwd=folder, capture_output=True, text=True, errors="replace", timeout=LIMIT)
        unbounded = re.search(r"nothing bounds it but -D (\w+)=LO\.\.HI", p.stderr)
        if not unbounded or f"{unbounded[1]}=0..64" in bounds:
            return p, bounds
        bounds += ["-D", f"{unbounded[1]}=0..64"]


def is_refusal(p):
    return p.returncode == 1 and ("not supported" in p.stderr or "does not know" in p.stderr)


def run_case(build, case, form, isa, folder):
    """(result, reason)"""
    for info, value in zip(ports(case.model.graph), case.inputs):
        if contradicts(info, value):
            return "excepted", f"the recorded input '{info.name}' has another rank than the model states"
    write(os.path.join(folder, "model.onnx"), case.model)
    command = [os.path.join(build, "dcc-run"), "model.onnx", "--save", "out"] + (["--isa", isa] if isa else [])
    command += options_of(case, form)
    inputs = tensors_to_run(case)
    for i, value in enumerate(inputs):
        write(os.path.join(folder, f"input_{i}.pb"), value)
    if inputs:
        command += ["--inputs", "."]
    try:
        p, bounds = run_bounded(command, folder)
    except subprocess.TimeoutExpired:
        return "late", f"no end within {LIMIT} s"
    if p.returncode not in (0, 1):
        return "crashed", f"exit {p.returncode}: {last_line(p.stderr)}"
    if p.returncode:
        return ("refused" if is_refusal(p) else "wrong"), last_line(p.stderr)
    wanted = tensors_to_expect(case)
    for i, want in enumerate(wanted):
        path = os.path.join(folder, "out", f"output_{i}.pb")
        if not os.path.exists(path):
            return "wrong", f"output {i} is missing"
        with open(path, "rb") as f:
            got = onnx.TensorProto.FromString(f.read())
        problem = difference(got, want, case)
        if problem:
            return "wrong", f"output {i}: {problem}"
    if os.path.exists(os.path.join(folder, "out", f"output_{len(wanted)}.pb")):
        return "wrong", f"more than {len(wanted)} outputs"
    return "passed", " ".join(bounds)


def run_share(build, forms, isa, classes, pattern, share, shares, seconds, seed):
    """Every shares-th test from `share` on: rows of (form, class, name, result, reason)."""
    warnings.simplefilter("ignore")
    rows = []
    tests = [t for t in all_tests() if re.search(pattern, t.name)]
    if seconds:
        random.Random(seed).shuffle(tests)
    end = time.time() + seconds if seconds else float("inf")
    for test in tests[share::shares]:
        case = case_of(test)
        cls = class_of(case)
        if classes and cls not in classes:
            continue
        if time.time() >= end:
            rows += [(form, cls, case.name, "left", "") for form in forms if FORM_OF[form](case) is not None]
            continue
        for form in forms:
            put = FORM_OF[form](case)
            if put is None:
                continue
            if case.name in EXCEPTIONS:
                rows.append((form, cls, case.name, "excepted", EXCEPTIONS[case.name]))
                continue
            with tempfile.TemporaryDirectory() as folder:
                os.mkdir(os.path.join(folder, "out"))
                rows.append((form, cls, case.name, *run_case(build, put, form, isa, folder)))
    return rows


RESULTS = ("passed", "wrong", "refused", "crashed", "late", "excepted", "left")


def print_table(form, rows):
    print(f"{form:9} " + " ".join(f"{r:>8}" for r in RESULTS))
    for cls in [c for c in CLASSES if any(r[1] == c for r in rows)] + ["all"]:
        counts = collections.Counter(r[3] for r in rows if cls in (r[1], "all"))
        print(f"  {cls:7} " + " ".join(f"{counts[r]:8}" for r in RESULTS))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", help="folder with dcc-run")
    parser.add_argument("pattern", nargs="?", default="", help="only cases whose name matches")
    parser.add_argument("--form", action="append", choices=FORMS)
    parser.add_argument("--isa", help="avx2 or avx512; default: the best that the CPU has")
    parser.add_argument("--class", dest="classes", action="append", choices=CLASSES)
    parser.add_argument("-j", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--seconds", type=int, default=0, help="no case is begun after so many; 0: all run")
    parser.add_argument("--seed", type=int, default=1, help="of the order, with --seconds")
    parser.add_argument("-v", action="store_true", help="reasons of refusals")
    o = parser.parse_intermixed_args()

    build, forms = os.path.abspath(o.build), o.form or FORMS
    with concurrent.futures.ProcessPoolExecutor(o.j) as pool:
        shares = [pool.submit(run_share, build, forms, o.isa, o.classes, o.pattern, i, o.j, o.seconds, o.seed)
                  for i in range(o.j)]
        rows = sorted(row for share in shares for row in share.result())
    for form, cls, name, result, reason in rows:
        if result in ("wrong", "crashed", "late", "excepted") or (o.v and result == "refused"):
            print(f"{result}: {form} {cls} {name}: {reason}")
        if result == "passed" and reason:
            print(f"bounded: {form} {cls} {name}: {reason}")
    print(f"onnx {onnx.__version__}, opset {onnx.defs.onnx_opset_version()}")
    for form in forms:
        print_table(form, [r for r in rows if r[0] == form])
    bad = sum(r[3] in ("wrong", "crashed", "late") for r in rows)
    print(f"{sum(r[3] == 'passed' for r in rows)} passed, {bad} failed, "
          f"{len(rows) - bad - sum(r[3] == 'passed' for r in rows)} skipped")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
