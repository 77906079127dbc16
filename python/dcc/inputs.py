"""Made-up inputs of a model.

What an input holds is guessed from its name and type: masks are ones, lengths as large as what they measure, other integers
below a limit.  Where the model's own checks say that it does not fit (an index out of range, sizes that must be equal), other
limits and sizes are tried, and what was taken is said.
"""

import re
import time

import numpy as np

from .errors import Error

SHAPE, RANGE, INDEX = 3, 4, 5  # dcc_status
SYMBOL_INPUT, SYMBOL_VALUE, SYMBOL_SCALED = 0, 2, 4  # dcc_symbol.source
GIVEN = SYMBOL_INPUT, SYMBOL_VALUE, SYMBOL_SCALED  # those that inputs decide

LIMITS = 1000, 100, 10, 2, 1  # integers are below the first that fits
SIZES = None, 128, 64, 256, 512, 32, 16, 8, 4, 2, 1, 640, 1024  # of all symbols but batches; None: by their names
PATIENCE = 30  # seconds of runs that do not fit

# Sizes by the symbol's name.
NAMED_SIZES = ((r"batch|^(n|b|bs)$", 1), (r"height|width|^[hw]$", 224), (r"sample|audio|wave", 16000),
               (r"seq|len|time|frame|token|past|^[tsl]$", 128))  # fmt: skip


# ---- values ------------------------------------------------------------------------------------------------------------


def _is_float(dtype):
    return "float" in dtype.name


def _mask(shape, dtype, context):
    values = np.ones(shape, dtype)
    if values.ndim:
        values[..., shape[-1] - shape[-1] // 4:] = 0
    return values


def _positions(shape, dtype, context):
    return np.broadcast_to(np.arange(shape[-1] if shape else 1), shape or (1,)).reshape(shape).astype(dtype)


def _lengths(shape, dtype, context):
    return np.full(shape, context["longest"]).astype(dtype)


def _constant(value):
    return lambda shape, dtype, context: np.full(shape, value).astype(dtype)


# By the input's name: pattern, whether it may be floating, values, what they are called.
GUESSES = (
    (r"mask", True, _mask, "1, the last quarter 0"),
    (r"(^|[_.])(sr|sample_?rate|sampling_?rate)$", True, _constant(16000), "16000"),
    (r"pos(ition)?(_?ids?)?s?$", False, _positions, "0, 1, 2, ..."),
    (r"len(gth)?s?$", False, _lengths, "the longest"),
    (r"token_?type|segment", False, _constant(0), "0"),
    (r"scales?$|speed|temperature", True, _constant(1), "1"),
)


def _values(port, shape, limit, context):
    """An array and what is in it."""
    name, dtype = port.name.lower(), port.dtype
    for pattern, floating, make, words in GUESSES:
        if re.search(pattern, name) and dtype != bool and _is_float(dtype) <= floating and limit > 1:
            return make(shape, dtype, context), words
    random = context["random"]
    if _is_float(dtype):
        return np.asarray(random.uniform(-1, 1, shape)).astype(dtype), "random in [-1, 1)"
    if dtype == bool:
        return (_mask(shape, dtype, context), "true, the last quarter false") if "mask" in name else (
            np.asarray(random.integers(0, 2, shape)).astype(dtype), "random")  # fmt: skip
    if dtype.kind in "iu" and dtype.itemsize == 1 and limit == LIMITS[0]:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    elif dtype.kind in "iu":
        low, high = 0, min(limit - 1, np.iinfo(dtype).max)
    else:
        low, high = 0, min(limit - 1, 1)  # int4 and the like
    return np.asarray(random.integers(low, high + 1, shape)).astype(dtype), f"random {low}..{high}" if high > low else str(low)


# ---- sizes -------------------------------------------------------------------------------------------------------------


def evaluate(text, values):
    """The number that the text of a dim, "past + 1" or "min(seq, 7)", says where symbols have these values."""
    tokens = re.findall(r"[^\s+\-*/%(),]+|[+\-*/%(),]", text)
    if not all(t in values or t in "+-*/%()," or t in ("min", "max") or t.isdecimal() for t in tokens):
        raise Error(f"the dim {text} has no size")
    code = " ".join(str(values[t]) if t in values else {"/": "//"}.get(t, t) for t in tokens)
    try:
        value = eval(code, {"__builtins__": {}, "min": min, "max": max})
    except (SyntaxError, TypeError, ArithmeticError, ValueError, RecursionError, MemoryError):
        value = -1
    if value < 0:
        raise Error(f"the dim {text} has no size")
    return value


def _default_size(symbol, info, ports):
    """By its name; else the first axis is a batch, the last two of four are an image's."""
    for pattern, size in NAMED_SIZES:
        if re.search(pattern, symbol.name.lower()):
            return size
    if info.source != SYMBOL_INPUT:
        return 8
    at = [(d, len(port.shape)) for port in ports for d, dim in enumerate(port.shape) if dim == symbol.name]
    if at and all(d == 0 and rank > 1 for d, rank in at):
        return 1
    return 224 if any(rank == 4 and d >= 2 for d, rank in at) else 128


def _bound_by(model, given):
    """Values of the symbols that the given arrays decide."""
    bound = {}
    for port in model.inputs:
        array = given.get(port.name)
        if array is not None and array.ndim == len(port.shape):
            bound.update((dim, n) for dim, n in zip(port.shape, array.shape) if isinstance(dim, str))
    for symbol, info in zip(model.symbols, model._model.symbols[:len(model.symbols)]):
        array = given.get(model.inputs[info.input].name) if info.source == SYMBOL_VALUE else None
        if array is not None and info.element < array.size:
            bound[symbol.name] = int(array.flat[info.element])
    return bound


def _choose_sizes(model, bound, size):
    sizes = {}
    for symbol, info in zip(model.symbols, model._model.symbols[:len(model.symbols)]):
        default = _default_size(symbol, info, model.inputs)
        wanted = bound.get(symbol.name, default if size is None or default == 1 else size)
        sizes[symbol.name] = wanted if symbol.name in bound else min(max(wanted, symbol.lo), symbol.hi)
    return sizes


# ---- all of them -------------------------------------------------------------------------------------------------------


class Inputs:
    """`arrays` by name in the model's order; `made`: what is in those that were made up, by name; `sizes`: of the symbols that
    the inputs decide."""

    def __init__(self, model, given, size, limits, seed):
        self.sizes = _choose_sizes(model, _bound_by(model, given), size)
        self.arrays, self.made = {}, {}
        longest = max((n for s, n in self.sizes.items() if not re.search(NAMED_SIZES[0][0], s.lower())), default=1)
        context = {"random": np.random.default_rng(seed), "longest": longest}
        for port in model.inputs:
            array = given.get(port.name)
            if array is None:
                shape = tuple(dim if isinstance(dim, int) else evaluate(dim, self.sizes) for dim in port.shape)
                array, self.made[port.name] = _values(port, shape, LIMITS[limits[port.name]], context)
            self.arrays[port.name] = array
        infos = model._model.symbols[:len(model.symbols)]
        for symbol, info in zip(model.symbols, infos):
            name = model.inputs[info.input].name if info.source in (SYMBOL_VALUE, SYMBOL_SCALED) else None
            if name in self.made:
                self.arrays[name].flat[info.element] = self.sizes[symbol.name] if info.source == SYMBOL_VALUE else 1.5
                self.made[name] = "sizes"
        given_symbols = {symbol.name for symbol, info in zip(model.symbols, infos) if info.source in GIVEN}
        self.sizes = {name: n for name, n in self.sizes.items() if name in given_symbols}


def _lower(limits, name):
    """Of that input, or of all; False: there is nothing below."""
    names = [name] if name in limits else list(limits)
    lower = {name: limits[name] + 1 for name in names if limits[name] + 1 < len(LIMITS)}
    limits.update(lower)
    return bool(lower)


def find_inputs(model, given=None, seed=0):
    """Inputs that the model runs on, and what it gives for them; `given`: arrays by name."""
    given = given or {}
    limits = {port.name: 0 for port in model.inputs if port.name not in given}  # places in LIMITS
    bound = [size for size in dict.fromkeys(_bound_by(model, given).values()) if size not in SIZES]
    sizes = [SIZES[0], *bound, *SIZES[1:]]
    first, at, end = None, 0, time.monotonic() + PATIENCE
    while True:
        try:
            inputs = Inputs(model, given, sizes[at], limits, seed)
            return inputs, model(inputs.arrays)
        except Error as error:
            first = first or error
            if not limits or error.code not in (SHAPE, RANGE, INDEX):
                raise
            if error.code != INDEX:
                at = (at + 1) % len(sizes)
            if time.monotonic() > end or ((error.code == INDEX or at == 0) and not _lower(limits, error.tensor)):
                raise Error(f"no made-up inputs fit: {first}", first.code) from None
