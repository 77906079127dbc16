"""A compiled model as a callable on NumPy arrays."""

import ctypes
import math
import operator
import os
import re
import tempfile
import threading
import weakref
from collections.abc import Mapping
from typing import NamedTuple, Optional, Tuple, Union

import numpy as np

from . import abi, show
from .errors import Error

# ONNX TensorProto.DataType of NumPy's types.
DTYPES = {"float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "bool": 9, "float64": 11,
          "float16": 10, "uint32": 12, "uint64": 13, "bfloat16": 16,
          "float8_e4m3fn": 17, "float8_e4m3fnuz": 18, "float8_e5m2": 19, "float8_e5m2fnuz": 20, "float8_e8m0fnu": 24,
          "uint4": 21, "int4": 22, "float4_e2m1fn": 23, "uint2": 25, "int2": 26}
NAMES = {number: name for name, number in DTYPES.items()}

PACKED = {21: 4, 22: 4, 23: 4, 25: 2, 26: 2}  # bits of an element, where several share a byte
CODED = {name for name, number in DTYPES.items() if 17 <= number <= 26}  # a byte of an array holds the bits of an element

WRONG_DTYPE = 2  # DCC_ERROR_DTYPE
MAX_THREADS = 1 << 16  # DCC_MAX_THREADS
MAX_KEPT = 4  # workspaces, and pools of one size, that wait for the next run


class Port(NamedTuple):
    """An input or output; a dim is an int, or the text of a symbolic one."""

    name: str
    dtype: np.dtype
    shape: Tuple[Union[int, str], ...]


class Symbol(NamedTuple):
    """A symbolic dim and its bounds, both included."""

    name: str
    lo: int
    hi: int


def numpy_dtype(name):
    """NumPy's type; what it lacks is that of the package ml_dtypes, or for types of at most a byte uint8, their bits."""
    try:
        return np.dtype(name)
    except TypeError:
        try:
            import ml_dtypes
        except ImportError:
            if name in CODED:
                return np.dtype("uint8")
            raise Error(f"{name} needs the package ml_dtypes") from None
        return np.dtype(getattr(ml_dtypes, name))


def _port(info):
    dims = (info.dims[i] if info.dims[i] >= 0 else info.dim_text[i].decode() for i in range(info.rank))
    return Port(info.name.decode(), numpy_dtype(NAMES[info.dtype]), tuple(dims))


def _symbol(info):
    return Symbol(info.name.decode(), info.lo, info.hi)


def spelled(name):
    """An ONNX name as the compiler spells it: "input:0" is input_0."""
    return re.sub(r"[^A-Za-z0-9_.]", "_", ("_" if re.match(r"[0-9.]", name) else "") + name)[:200]


def _as_input(value, port):
    """Arrays keep their type, so that a wrong one is reported; Python numbers and lists take the port's, and bytes are the bits
    of a type that has as many or less."""
    if not isinstance(value, (np.ndarray, np.generic)):
        try:
            value = np.asarray(value, None if hasattr(value, "__array__") else port.dtype)
        except (ValueError, TypeError, OverflowError) as error:
            raise Error(f"input '{port.name}': {error}") from None
    value = np.asarray(value)
    if value.dtype == np.uint8 and port.dtype.name in CODED:
        value = value.view(port.dtype)
    if value.dtype.name not in DTYPES:  # the library has no name for it
        raise Error(f"input '{port.name}': {value.dtype}, expected {port.dtype}", WRONG_DTYPE)
    return value if value.dtype.isnative else value.astype(value.dtype.newbyteorder("="))


def _contiguous(array):
    return np.require(array, requirements=["C", "A"])


def _pack(array, bits):
    """The bits of the elements, the first of a byte in its low ones."""
    codes = np.ravel(array).view(np.uint8) & (2**bits - 1)
    codes = np.append(codes, np.zeros(-codes.size % (8 // bits), np.uint8)).reshape(-1, 8 // bits)
    return np.bitwise_or.reduce(codes << np.arange(0, 8, bits, dtype=np.uint8), axis=1)


def _unpack(packed, bits, like):
    """An array of the shape and type of `like`."""
    codes = (packed[:, None] >> np.arange(0, 8, bits, dtype=np.uint8) & (2**bits - 1)).ravel()[:like.size].reshape(like.shape)
    if like.dtype.name.startswith("int"):
        return (codes.view(np.int8) << 8 - bits >> 8 - bits).astype(like.dtype)
    return codes.view(like.dtype)


def _tensor(array, port, info):
    number = info.dtype if array.dtype == port.dtype else DTYPES.get(array.dtype.name, 0)
    tensor = abi.Tensor(array.ctypes.data, number, array.ndim)
    for i, n in enumerate(array.shape[:abi.MAX_RANK]):
        tensor.dims[i] = n
    return tensor


def _true_part(array, shape):
    """Where the data decides the shape, the elements lie at the begin of an array of the largest."""
    return array if list(array.shape) == shape else array.reshape(-1)[:math.prod(shape)].reshape(shape)


class StateBuffers:
    """Buffers of state: arrays of a port's shape with the capacity along its axis.

    Users see views.  Rows are appended in place if the input is a view whose end is the end of all that was handed
    out, so that no view ever changes; any other input is copied into a new buffer.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._ends = {}  # id of a living buffer -> (port, rows handed out)

    def place(self, number, port, info, array, rows_out):
        """Views for input and output, which has `rows_out` rows and begins info.shift rows behind the input."""
        axis, rows = info.state_axis, array.shape[info.state_axis]
        buffer, start = array.base, 0
        with self._lock:
            if self._ends.get(id(buffer), (-1, -1))[0] == number and array.strides == buffer.strides:
                start = (array.ctypes.data - buffer.ctypes.data) // max(1, buffer.strides[axis])
            else:
                buffer = None
            end = start + info.shift + rows_out
            if buffer is None or self._ends[id(buffer)] != (number, start + rows) or end > info.capacity:
                start, end = 0, info.shift + rows_out
                if end > info.capacity:
                    raise Error(f"input '{port.name}': {end} rows do not fit the state's capacity of {info.capacity}")
                shape = list(array.shape)
                shape[axis] = info.capacity
                buffer = np.empty(shape, port.dtype)
                weakref.finalize(buffer, self._ends.pop, id(buffer), None).atexit = False
                self._view(buffer, axis, 0, rows)[...] = array
            self._ends[id(buffer)] = number, end
        return self._view(buffer, axis, start, rows), self._view(buffer, axis, start + info.shift, rows_out)

    @staticmethod
    def _view(buffer, axis, start, rows):
        return buffer[(slice(None),) * axis + (slice(start, start + rows),)]


_moved = set()  # embedded weights that lie in huge pages
_loaded = {}  # path -> (device, inode) of the file when it was loaded


def _open_library(path):
    """The C library knows a path once loaded by its name only: a file that has replaced it needs another name."""
    status = os.stat(path)
    identity = status.st_dev, status.st_ino
    if _loaded.setdefault(path, identity) == identity:
        return abi.Library(path)
    with tempfile.TemporaryDirectory(prefix="dcc-") as folder:
        other = os.path.join(folder, os.path.basename(path))
        os.symlink(path, other)
        return abi.Library(other)


def _free_pools(library, pools, pid):
    if os.getpid() == pid:  # a forked child has none of the threads
        for pool in (p for waiting in pools.values() for p in waiting):
            library.pool_free(pool)


class Model:
    """What dcc.compile() and dcc.load() return.

    Calls take arrays in the model's order, by keyword, or as one mapping (for names that are no Python identifiers).
    They return an array if there is one output, else a dict; threads=N gives them N threads.  `inputs`, `outputs`, `symbols` and
    `targets` describe the model.  Any number of Python threads may call at once.  With --state, outputs that are state are views;
    passing them on to the next call appends without a copy.
    """

    def __init__(self, path, name=None, weights=None, report=None, print_ir=None, huge_pages=True):
        path = os.path.abspath(path)
        names = abi.model_names(path)
        if name is None and len(names) != 1:
            raise Error(f"{path} holds {len(names)} models: {', '.join(names) or 'dcc compiled none of it'}")
        if name is not None and name not in names:
            raise Error(f"{path} holds no model '{name}', but {', '.join(names) or 'none'}")
        self._library = _open_library(path)
        self._model = model = self._library.descriptor(f"{name or names[0]}_model")
        self._report = report
        self._print_ir = print_ir
        self.path = path
        self.name = model.name.decode()
        self.version = model.version.decode()
        self.inputs = tuple(_port(model.inputs[i]) for i in range(model.ninputs))
        self.outputs = tuple(_port(model.outputs[i]) for i in range(model.noutputs))
        self.symbols = tuple(_symbol(model.symbols[i]) for i in range(model.nsymbols))
        self.targets = tuple(model.targets[i].name.decode() for i in range(model.ntargets))
        self._weights = self._map_weights(weights)
        if self._weights is None and model.weights_size and not model.weights:
            raise Error(f"{path}: the weights are in a side file: weights=FILE names it", 7)  # DCC_ERROR_WEIGHTS
        if huge_pages and self._library.huge_pages and (self._weights is not None or model.weights not in _moved):
            status = self._library.huge_pages(model, *self._weights_place(), None, None)  # the first run tells of wrong weights
            if self._weights is None and not status:
                _moved.add(model.weights)
        self._states = StateBuffers()
        self._workspaces = []
        self._pools = {}
        self._pid = os.getpid()
        weakref.finalize(self, _free_pools, self._library, self._pools, self._pid)

    @staticmethod
    def _map_weights(path):
        if path is None:
            return None
        try:
            return np.memmap(path, np.uint8, "r")
        except (OSError, ValueError) as error:
            raise Error(f"{path} cannot be mapped: {error}") from None

    def _weights_place(self):
        """Where a side file lies, and its bytes."""
        return (self._weights.ctypes.data, self._weights.size) if self._weights is not None else (None, 0)

    def __reduce_ex__(self, protocol):
        raise Error(f"{self.path}: a loaded model cannot be copied or pickled; dcc.load() its file again")

    def __repr__(self):
        return f"<dcc.Model {show.shown(self.name)}({show.ports_text(self.inputs)}) -> {show.ports_text(self.outputs)}>"

    def _repr_html_(self):
        """For notebooks: inputs, outputs, symbols, sizes."""
        return show.model_html(self, self._model.weights_size, self._report["sizes"] if self._report else None)

    def report(self):
        """What `dcc --report=FILE.json` says: what was fused, by ONNX node, what nearly was, sizes and memory."""
        if self._report is None:
            raise Error(f"{self.path}: only models from dcc.compile() have a report")
        return self._report

    def ir(self, stop_after=None):
        """The tensor IR as text, fused, or as it is after a pass (`dcc --help-passes` lists them).  Made when it is asked for, from
        the model's file, which must be the one that was compiled."""
        if self._print_ir is None:
            raise Error(f"{self.path}: only models from dcc.compile() have IR")
        text = self._print_ir(stop_after)
        if f" #{self._model.model_hash:016x}" not in text.split("\n", 3)[1]:
            raise Error("the model has changed since it was compiled")
        return text

    # ---- running -------------------------------------------------------------------------------------------------

    def __call__(self, *args, threads=1, **named):
        arrays, tensors, threads = self._prepare(args, named, threads)
        shapes, bytes_needed = self._plan(tensors, len(arrays), threads)
        outputs = self._place(arrays, tensors, shapes)
        outputs = self._run(tensors, len(arrays), outputs, bytes_needed, threads)
        if len(outputs) == 1:
            return outputs[0]
        return {port.name: array for port, array in zip(self.outputs, outputs)}

    def workspace_size(self, *args, threads=1, **named):
        """What a run with these arguments takes beside inputs, outputs and weights."""
        arrays, tensors, threads = self._prepare(args, named, threads)
        return self._plan(tensors, len(arrays), threads)[1]

    def _prepare(self, args, named, threads):
        """The arguments of a call as arrays, as the library's tensors, and a number of threads."""
        if len(args) == 1 and isinstance(args[0], Mapping):
            args, named = (), {**args[0], **named}
        threads = operator.index(threads)
        if not 1 <= threads <= MAX_THREADS:
            raise Error(f"threads is {threads}, allowed 1..{MAX_THREADS}")
        values = self._match(args, named)
        arrays = [_as_input(value, port) for value, port in zip(values, self.inputs)]
        return arrays, (abi.Tensor * max(1, len(arrays)))(*map(_tensor, arrays, self.inputs, self._model.inputs)), threads

    def _match(self, args, named):
        names = [port.name for port in self.inputs]
        if not all(name in names for name in named):
            renamed = {name if name in names else spelled(name): value for name, value in named.items()}
            named = renamed if len(renamed) == len(named) else named
        unknown = [name for name in named if name not in names]
        if unknown:
            raise Error(f"no input '{unknown[0]}'; the model has {', '.join(names) or 'none'}")
        if len(args) > len(names):
            raise Error(f"{len(args)} inputs, expected {len(names)}: {', '.join(names)}")
        values = dict(zip(names, args))
        twice = [name for name in named if name in values]
        if twice:
            raise Error(f"input '{twice[0]}' is given twice")
        values.update(named)
        missing = [name for name in names if name not in values]
        if missing:
            raise Error(f"input '{missing[0]}' is missing")
        return [values[name] for name in names]

    def _fail(self, status, error):
        raise Error(error.text.decode(errors="replace"), status)

    def _plan(self, tensors, count, threads):
        """Shapes of the outputs, and the workspace in bytes."""
        error = abi.Report()
        dims = (ctypes.c_int64 * (max(1, len(self.outputs)) * abi.MAX_RANK))()
        needed = ctypes.c_uint64()
        status = self._library.plan(self._model, tensors, count, threads, dims, needed, error)
        if status:
            self._fail(status, error)
        starts = range(0, len(self.outputs) * abi.MAX_RANK, abi.MAX_RANK)
        return [dims[at:at + len(p.shape)] for at, p in zip(starts, self.outputs)], needed.value

    def _place(self, arrays, tensors, shapes):
        """Output arrays; `arrays` and `tensors` become what the library reads."""
        outputs = [None] * len(shapes)
        for i, port in enumerate(self.inputs):
            info = self._model.inputs[i]
            if info.state:
                out = info.state - 1
                rows_out = shapes[out][info.state_axis]
                arrays[i], outputs[out] = self._states.place(i, port, info, arrays[i], rows_out)
            else:
                arrays[i] = _contiguous(_pack(arrays[i], PACKED[info.dtype]) if info.dtype in PACKED else arrays[i])
            tensors[i].data = arrays[i].ctypes.data
        return [np.empty(shape, port.dtype) if array is None else array
                for array, shape, port in zip(outputs, shapes, self.outputs)]  # fmt: skip

    def _run(self, tensors, count, outputs, bytes_needed, threads):
        workspace, pool = self._take_workspace(bytes_needed), self._take_pool(threads)
        try:
            args, results = self._arguments(tensors, count, outputs, workspace, bytes_needed, pool)
            status = self._library.run(self._model, args)
        finally:
            self._give_back(workspace, pool, threads)
        if status:
            self._fail(status, args.error.contents)
        return results()

    def _bound(self, *args, threads=1):
        """A function that runs the model on these arguments and drops the outputs, for timing: it keeps a workspace and a pool."""
        arrays, tensors, threads = self._prepare(args, {}, threads)
        shapes, bytes_needed = self._plan(tensors, len(arrays), threads)
        outputs = self._place(arrays, tensors, shapes)
        workspace, pool = self._take_workspace(bytes_needed), self._take_pool(threads)
        bound, results = self._arguments(tensors, len(arrays), outputs, workspace, bytes_needed, pool)
        run, model = self._library.run, self._model

        def call(keep=(arrays, workspace, results)):  # what `bound` points to
            status = run(model, bound)
            if status:
                self._fail(status, bound.error.contents)

        return call

    def _arguments(self, tensors, count, outputs, workspace, bytes_needed, pool):
        """A run's arguments, and a function that gives its results."""
        out = (abi.Tensor * max(1, len(outputs)))(*map(_tensor, outputs, self.outputs, self._model.outputs))
        packed = {}
        for i, array in enumerate(outputs):
            bits = PACKED.get(out[i].dtype)
            if bits:
                packed[i] = np.empty(-(-array.size * bits // 8), np.uint8)
                out[i].data = packed[i].ctypes.data
        args = abi.Args(ctypes.sizeof(abi.Args), tensors, out, count, len(outputs))
        args.workspace = math.ceil(workspace.ctypes.data / abi.WORKSPACE_ALIGN) * abi.WORKSPACE_ALIGN
        args.workspace_size = bytes_needed
        args.weights, args.weights_size = self._weights_place()
        args.exec = pool
        args.error = ctypes.pointer(abi.Report())
        dims = (ctypes.c_int64 * (max(1, len(outputs)) * abi.MAX_RANK))()
        args.out_dims = dims

        def results():
            for i, data in packed.items():
                outputs[i] = _unpack(data, PACKED[out[i].dtype], outputs[i])
            starts = range(0, len(outputs) * abi.MAX_RANK, abi.MAX_RANK)
            return [_true_part(array, dims[at:at + array.ndim]) for array, at in zip(outputs, starts)]

        return args, results

    # Lists pop and append atomically, so threads that run at once never get the same workspace or pool.

    def _take_workspace(self, size):
        try:
            workspace = self._workspaces.pop()
        except IndexError:
            workspace = None
        size += abi.WORKSPACE_ALIGN
        return workspace if workspace is not None and workspace.size >= size else np.empty(size, np.uint8)

    def _take_pool(self, threads) -> Optional[int]:
        if threads <= 1:
            return None
        if os.getpid() != self._pid:
            raise Error("threads=: this process was forked after the model was loaded; load it again")
        try:
            return self._pools.setdefault(threads, []).pop()
        except IndexError:
            pool = self._library.pool_new(threads)
        if not pool:
            raise Error(f"cannot start {threads} threads")
        return pool

    def _give_back(self, workspace, pool, threads):
        if len(self._workspaces) < MAX_KEPT:
            self._workspaces.append(workspace)
        if pool and len(self._pools[threads]) < MAX_KEPT:
            self._pools[threads].append(pool)
        elif pool:
            self._library.pool_free(pool)


def load(path, name=None, weights=None, huge_pages=True):
    """The model in a shared object that `dcc -shared` wrote; `name` if it holds several.

    weights     the side file of a model compiled with --weights
    huge_pages  weights are copied into huge pages, where the system has some: decoders take a quarter less time; False: they stay in
                their file's, which processes share
    """
    return Model(path, name, weights, huge_pages=huge_pages)
