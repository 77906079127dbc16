"""A compiled model as a callable on NumPy arrays."""

import ctypes
import math
import operator
import os
import re
import tempfile
import weakref
from collections.abc import Mapping
from typing import NamedTuple, Optional, Tuple, Union

import numpy as np

from . import abi
from .errors import Error

# ONNX TensorProto.DataType of NumPy's types, also of those that no model of dcc takes: the library names them then.
DTYPES = {
    "float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "bool": 9, "float16": 10,
    "float64": 11, "uint32": 12, "uint64": 13, "complex64": 14, "complex128": 15, "bfloat16": 16,
}  # fmt: skip
NAMES = {number: name for name, number in DTYPES.items()}

MAX_THREADS = 1 << 16
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


def _port(info):
    dims = (info.dims[i] if info.dims[i] >= 0 else info.dim_text[i].decode() for i in range(info.rank))
    return Port(info.name.decode(), np.dtype(NAMES[info.dtype]), tuple(dims))


def _spelled(name):
    """An ONNX name as the compiler spells it: "input:0" is input_0."""
    return re.sub(r"[^A-Za-z0-9_.]", "_", ("_" if re.match(r"[0-9.]", name) else "") + name)[:200]


def _as_input(value, port):
    """Arrays keep their type, so that a wrong one is reported; Python numbers and lists take the port's."""
    if not isinstance(value, (np.ndarray, np.generic)):
        try:
            value = np.asarray(value, None if hasattr(value, "__array__") else port.dtype)
        except (ValueError, TypeError, OverflowError) as error:
            raise Error(f"input '{port.name}': {error}") from None
    value = np.asarray(value)
    if not value.dtype.isnative:
        value = value.astype(value.dtype.newbyteorder("="))
    return np.require(value, requirements=["C", "A"]).reshape(value.shape)


def _tensor(array):
    tensor = abi.Tensor(array.ctypes.data, DTYPES.get(array.dtype.name, 0), array.ndim)
    for i, n in enumerate(array.shape[:abi.MAX_RANK]):
        tensor.dims[i] = n
    return tensor


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
    They return an array if there is one output, else a dict.  Any number of Python threads may call at once.
    """

    def __init__(self, path, name=None, weights=None, report=None):
        path = os.path.abspath(path)
        names = abi.model_names(path)
        if name is None and len(names) != 1:
            raise Error(f"{path} holds {len(names)} models: {', '.join(names) or 'dcc compiled none of it'}")
        if name is not None and name not in names:
            raise Error(f"{path} holds no model '{name}', but {', '.join(names) or 'none'}")
        self._library = _open_library(path)
        self._model = model = self._library.descriptor(f"{name or names[0]}_model")
        self._report = report
        self.path = path
        self.name = model.name.decode()
        self.version = model.version.decode()
        self.inputs = tuple(_port(model.inputs[i]) for i in range(model.ninputs))
        self.outputs = tuple(_port(model.outputs[i]) for i in range(model.noutputs))
        self.symbols = tuple(Symbol(s.name.decode(), s.lo, s.hi) for s in model.symbols[:model.nsymbols])
        self.targets = tuple(t.name.decode() for t in model.targets[:model.ntargets])
        self._weights = self._map_weights(weights)
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

    def __repr__(self):
        def ports(items):
            return ", ".join(f"{p.name}: {p.dtype}[{', '.join(map(str, p.shape))}]" for p in items)

        return f"<dcc.Model {self.name}({ports(self.inputs)}) -> {ports(self.outputs)}>"

    def report(self):
        """What `dcc --report=FILE.json` says: what was fused, by ONNX node, what nearly was, sizes and memory."""
        if self._report is None:
            raise Error(f"{self.path}: only models from dcc.compile() have a report")
        return self._report

    # ---- running -------------------------------------------------------------------------------------------------

    def __call__(self, *args, threads=1, **named):
        if len(args) == 1 and isinstance(args[0], Mapping):
            args, named = (), {**args[0], **named}
        threads = operator.index(threads)
        if not 1 <= threads <= MAX_THREADS:
            raise Error(f"threads is {threads}, allowed 1..{MAX_THREADS}")
        values = self._match(args, named)
        arrays = [_as_input(value, port) for value, port in zip(values, self.inputs)]
        tensors = (abi.Tensor * max(1, len(arrays)))(*map(_tensor, arrays))
        outputs, bytes_needed = self._plan(tensors, len(arrays), threads)
        self._run(tensors, len(arrays), outputs, bytes_needed, threads)
        if len(outputs) == 1:
            return outputs[0]
        return {port.name: array for port, array in zip(self.outputs, outputs)}

    def _match(self, args, named):
        names = [port.name for port in self.inputs]
        if not all(name in names for name in named):
            renamed = {name if name in names else _spelled(name): value for name, value in named.items()}
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
        """Output arrays, and the workspace in bytes."""
        error = abi.Report()
        dims = (ctypes.c_int64 * (max(1, len(self.outputs)) * abi.MAX_RANK))()
        needed = ctypes.c_uint64()
        status = self._library.plan(self._model, tensors, count, threads, dims, needed, error)
        if status:
            self._fail(status, error)
        outputs = []
        for i, port in enumerate(self.outputs):
            at = i * abi.MAX_RANK
            outputs.append(np.empty(dims[at:at + len(port.shape)], port.dtype))
        return outputs, needed.value

    def _run(self, tensors, count, outputs, bytes_needed, threads):
        out = (abi.Tensor * max(1, len(outputs)))(*map(_tensor, outputs))
        error = abi.Report()
        workspace = self._take_workspace(bytes_needed)
        pool = self._take_pool(threads)
        args = abi.Args(ctypes.sizeof(abi.Args), tensors, out, count, len(outputs))
        args.workspace = math.ceil(workspace.ctypes.data / abi.WORKSPACE_ALIGN) * abi.WORKSPACE_ALIGN
        args.workspace_size = bytes_needed
        if self._weights is not None:
            args.weights = self._weights.ctypes.data
            args.weights_size = self._weights.size
        args.exec = pool
        args.error = ctypes.pointer(error)
        try:
            status = self._library.run(self._model, args)
        finally:
            self._give_back(workspace, pool, threads)
        if status:
            self._fail(status, error)

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


def load(path, name=None, weights=None):
    """The model in a shared object that `dcc -shared` wrote; `name` if it holds several.

    `weights` is the side file of a model compiled with --weights.
    """
    return Model(path, name, weights)
