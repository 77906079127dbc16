"""Runs the dcc program."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from typing import NamedTuple, Tuple

import numpy as np

from .errors import CompileError, Error
from .model import Model, Port, Symbol, numpy_dtype

IR_DTYPES = {
    "f32": "float32", "f64": "float64", "i8": "int8", "u8": "uint8", "i16": "int16", "i32": "int32", "i64": "int64",
    "f16": "float16", "bf16": "bfloat16", "u16": "uint16", "u32": "uint32", "u64": "uint64", "bool": "bool",
    "f8e4m3fn": "float8_e4m3fn", "f8e4m3fnuz": "float8_e4m3fnuz", "f8e5m2": "float8_e5m2", "f8e5m2fnuz": "float8_e5m2fnuz",
    "f8e8m0": "float8_e8m0fnu", "f4e2m1": "float4_e2m1fn", "i4": "int4", "u4": "uint4", "i2": "int2", "u2": "uint2",
}  # fmt: skip

# Options that say how code is made and linked, which dcc --emit=ir does not take.
FOR_CODE = re.compile(r"-l|-L|-O|-g$|-MD|--(linker|header|jobs|report|profile-data)\b|[^-].*\.(o|a|so)$", re.S)


class Interface(NamedTuple):
    """What dcc.inspect() returns."""

    name: str
    inputs: Tuple[Port, ...]
    outputs: Tuple[Port, ...]
    symbols: Tuple[Symbol, ...]


def find_compiler():
    """$DCC, the program in this package, or dcc in PATH."""
    chosen = os.environ.get("DCC")
    if chosen:
        return chosen
    inside = os.path.join(os.path.dirname(__file__), "bin", "dcc")
    found = inside if os.access(inside, os.X_OK) else shutil.which("dcc")
    if not found:
        raise Error("there is no dcc program in the package or in PATH; the variable DCC can name it")
    return found


def _run(arguments):
    command = [find_compiler(), *map(os.fspath, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
    except OSError as error:
        raise Error(f"{command[0]} cannot be started: {error.strerror}") from None
    messages = done.stderr.strip()
    if done.returncode < 0:
        raise CompileError(f"dcc was ended by signal {-done.returncode}\n{messages}", done.returncode)
    if done.returncode:
        raise CompileError(messages, done.returncode)
    if messages:
        warnings.warn(messages, stacklevel=4)
    return done.stdout


def _model_file(model, folder):
    """The path of a model that is a path, the bytes of a file, or an onnx.ModelProto."""
    if isinstance(model, (str, os.PathLike)):
        path = os.fspath(model)
        return os.path.join(".", path) if path.startswith("-") else path
    if not isinstance(model, (bytes, bytearray, memoryview)) and not hasattr(model, "SerializeToString"):
        raise Error(f"a model is a path, bytes or an onnx.ModelProto, not a {type(model).__name__}")
    path = os.path.join(folder, "model.onnx")
    with open(path, "wb") as file:
        file.write(model if isinstance(model, (bytes, bytearray, memoryview)) else model.SerializeToString())
    return path


def _options(options, dims, march, name):
    result = list(options)
    for symbol, value in (dims or {}).items():
        lo, hi = value if isinstance(value, tuple) and len(value) == 2 else (value, value)
        result.append(f"-D{symbol}={lo}..{hi}")
    if march:
        result.append(f"-march={march}")
    if name:
        result.append(f"--name={name}")
    return result


def compile(model, *options, output=None, dims=None, march=None, name=None, weights=None, tune_file=None, huge_pages=True):
    """Compiles a model (path, bytes or onnx.ModelProto) to a Model.

    options  more options of the dcc program, one string each: "--no-fuse=winconv"; and files to link, "operators.o"
    output   keeps the shared object there (and its header beside it), for dcc.load()
    dims     {"seq": 128, "batch": (1, 64)} binds or bounds symbolic dims
    march    a target, as "avx2" (dcc -v lists them), or "native"; default: the best of all at run time
    weights  keeps the weights in this file instead of inside the shared object
    tune_file  takes the schedules that dcc --tune has written to this file
    huge_pages  as dcc.load() has it

    For Model.ir() the result keeps `model`, if that is no path.
    """
    with tempfile.TemporaryDirectory(prefix="dcc-") as folder:
        report = os.path.join(folder, "report.json")
        shared = output or os.path.join(folder, "model.so")
        arguments = [*_options(options, dims, march, name), "-shared", "-o", shared, f"--report={report}"]
        if weights:
            arguments.append(f"--weights={os.fspath(weights)}")
        if tune_file:
            arguments.append(f"--tune-file={os.fspath(tune_file)}")
        said = _run([*arguments, _model_file(model, folder)])
        if not os.path.exists(report):
            raise Error(f"{' '.join(options)}: an option that compiles nothing")
        sys.stdout.write(said)
        with open(report, encoding="utf-8", errors="replace") as file:
            return Model(shared, None, weights, json.load(file), _ir_printer(model, _options(options, dims, march, name)), huge_pages)


def _ir_printer(model, options):
    """A function that gives the IR of a model, after a pass or all."""
    options = [option for option in options if not FOR_CODE.match(option)]
    if isinstance(model, (str, os.PathLike)):
        model = os.path.abspath(model)

    def print_ir(stop_after):
        stop = [f"--stop-after={stop_after}"] if stop_after else []
        with tempfile.TemporaryDirectory(prefix="dcc-") as folder:
            return _run([*options, "--emit=ir", *stop, "-o", "-", _model_file(model, folder)])

    return print_ir


def check(model, *options, dims=None):
    """Raises CompileError, with everything in the model that dcc does not support."""
    with tempfile.TemporaryDirectory(prefix="dcc-") as folder:
        _run([*_options(options, dims, None, None), "--check", _model_file(model, folder)])


def _parse_port(text):
    name, _, type_text = text.rpartition(": ")
    dtype, dims = re.fullmatch(r"(\w+)(?:\[(.*)\])?", type_text).groups()
    shape = _split_dims(dims or "")
    return Port(name, numpy_dtype(IR_DTYPES[dtype]), tuple(int(d) if d.lstrip("-").isdigit() else d for d in shape))


def _split_dims(text):
    """At commas outside parentheses: min(seq, 7) is one dim."""
    dims, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            dims.append(text[start:i].strip())
            start = i + 1
    return [*dims, text[start:].strip()] if text else []


def inspect(model, *options, dims=None):
    """Inputs, outputs and symbols of a model, without compiling it."""
    with tempfile.TemporaryDirectory(prefix="dcc-") as folder:
        text = _run([*_options(options, dims, None, None), "--inspect", _model_file(model, folder)])
    name, ports, symbols = "", {"input": [], "output": []}, []
    for line in text.splitlines():
        kind, rest = line[:7].strip(), line[8:]
        if kind == "model":
            name = rest
        elif kind == "symbol":
            symbol, lo, hi = re.fullmatch(r"(.*) in (-?\d+)\.\.(-?\d+)(?: = .*)?", rest).groups()
            symbols.append(Symbol(symbol, int(lo), int(hi)))
        elif kind in ports:
            ports[kind].append(_parse_port(rest))
    return Interface(name, tuple(ports["input"]), tuple(ports["output"]), tuple(symbols))
