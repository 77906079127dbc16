"""dcc.h in ctypes: the structs of ABI 2 and 3, and the library inside a shared object.

The library checks the `size` fields that we fill; Descriptor.size is checked here.
"""

import ctypes
import struct
from ctypes import CFUNCTYPE, POINTER, c_char, c_char_p, c_int, c_int32, c_int64, c_uint32, c_uint64, c_void_p

from .errors import Error

ABI_OLDEST, ABI = 2, 3  # of compiled models
MAX_RANK = 8
WORKSPACE_ALIGN = 64  # bytes


class Report(ctypes.Structure):  # dcc_error
    _fields_ = [("code", c_int32), ("text", c_char * 240)]


class Tensor(ctypes.Structure):
    _fields_ = [
        ("data", c_void_p),
        ("dtype", c_int32),
        ("rank", c_int32),
        ("dims", c_int64 * MAX_RANK),
        ("reserved", c_uint64 * 2),
    ]


class Args(ctypes.Structure):
    _fields_ = [
        ("size", c_uint64),
        ("inputs", POINTER(Tensor)),
        ("outputs", POINTER(Tensor)),
        ("ninputs", c_int32),
        ("noutputs", c_int32),
        ("workspace", c_void_p),
        ("workspace_size", c_uint64),
        ("weights", c_void_p),
        ("weights_size", c_uint64),
        ("exec", c_void_p),
        ("error", POINTER(Report)),
        ("target", c_uint32),
        ("reserved", c_uint32 * 3),
        ("out_dims", POINTER(c_int64)),
        ("cancel", c_void_p),
    ]


class SymbolInfo(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("lo", c_int64), ("hi", c_int64), ("source", c_int32), ("input", c_int32),
                ("element", c_int32), ("reserved", c_int32)]


class PortInfo(ctypes.Structure):
    _fields_ = [
        ("name", c_char_p),
        ("dtype", c_int32),
        ("rank", c_int32),
        ("dims", c_int64 * MAX_RANK),
        ("dim_text", c_char_p * MAX_RANK),
        ("state", c_int32),
        ("state_axis", c_int32),
        ("capacity", c_int64),
        ("shift", c_int64),
    ]


class Target(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("features", c_uint64), ("program", c_void_p), ("next", c_void_p)]


class Descriptor(ctypes.Structure):  # dcc_model
    _fields_ = [
        ("magic", c_char * 8),
        ("abi", c_uint32),
        ("size", c_uint32),
        ("name", c_char_p),
        ("version", c_char_p),
        ("model_hash", c_uint64),
        ("nsymbols", c_int32),
        ("ninputs", c_int32),
        ("noutputs", c_int32),
        ("ntargets", c_int32),
        ("nsteps", c_int32),
        ("nmessages", c_int32),
        ("symbols", POINTER(SymbolInfo)),
        ("inputs", POINTER(PortInfo)),
        ("outputs", POINTER(PortInfo)),
        ("targets", POINTER(Target)),
        ("messages", POINTER(c_char_p)),
        ("weights", c_void_p),
        ("weights_size", c_uint64),
        ("weights_hash", c_uint64),
        ("bind", c_void_p),
        ("check", c_void_p),
        ("output_dims", c_void_p),
        ("workspace_size", c_void_p),
        ("steps", c_void_p),
        ("step_cost", c_void_p),
        ("layout_hash", c_uint64),
        ("tuning_hash", c_uint64),
    ]


MODEL = POINTER(Descriptor)
PROTOTYPES = {
    "dcc_run": (c_int, MODEL, POINTER(Args)),
    "dcc_plan": (c_int, MODEL, POINTER(Tensor), c_int, c_int, POINTER(c_int64), POINTER(c_uint64), POINTER(Report)),
    "dcc_pool_new": (c_void_p, c_int),
    "dcc_pool_free": (None, c_void_p),
}
LATER = {  # a shared object holds the library of the dcc that made it, which may not have them
    "dcc_huge_pages": (c_int, MODEL, c_void_p, c_uint64, POINTER(c_uint64), POINTER(Report)),
}


class Library:
    """The dcc_ functions of one shared object, as attributes `run`, `plan`, ...; None: it is older than that one.  Calls release the GIL."""

    def __init__(self, path):
        try:
            self.handle = ctypes.CDLL(path)
            for name, (result, *parameters) in {**PROTOTYPES, **LATER}.items():
                there = name in PROTOTYPES or hasattr(self.handle, name)
                function = CFUNCTYPE(result, *parameters)((name, self.handle)) if there else None
                setattr(self, name.removeprefix("dcc_"), function)
        except (OSError, AttributeError) as error:
            raise Error(f"{path} cannot be loaded: {error}; was it made by dcc -shared?") from None

    def descriptor(self, symbol):
        model = Descriptor.in_dll(self.handle, symbol)
        magic = ctypes.string_at(ctypes.addressof(model), 8)
        if magic != b"dcc\0mod\0":
            raise Error(f"{symbol} is not a model that dcc compiled")
        if not ABI_OLDEST <= model.abi <= ABI or model.size < ctypes.sizeof(Descriptor):
            raise Error(f"{symbol} has ABI {model.abi} and {model.size} bytes, this package knows ABI {ABI_OLDEST} to {ABI} "
                        f"and {ctypes.sizeof(Descriptor)}")
        return model


# ---- names of the models in a shared object ------------------------------------------------------------------------

ET_REL = 1
SHT_DYNSYM = 11
STT_OBJECT = 1


def _unpack(layout, data, offset):
    return struct.unpack_from("<" + layout, data, offset)


def _data_symbols(data):
    """Names of the data that a 64-bit ELF file exports."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError
    (sections,) = _unpack("Q", data, 0x28)
    entry, count = _unpack("HH", data, 0x3A)
    headers = [_unpack("IIQQQQIIQQ", data, sections + i * entry) for i in range(count)]
    for _, kind, _, _, offset, size, link, _, _, _ in headers:
        if kind != SHT_DYNSYM:
            continue
        strings = headers[link][4]
        for at in range(offset, offset + size, 24):
            name, info, _, section = _unpack("IBBH", data, at)
            if info & 15 == STT_OBJECT and section:
                yield data[strings + name:data.index(b"\0", strings + name)].decode()


def model_names(path):
    """Names of the models that a shared object exports: NAME of each NAME_model."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        names = list(_data_symbols(data))
        if _unpack("H", data, 0x10) == (ET_REL,):
            raise Error(f"{path} is an object, not a shared object: dcc -shared makes one, and so does dcc.compile")
    except OSError as error:
        raise Error(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, IndexError, struct.error):
        raise Error(f"{path} is not a shared object for x86-64") from None
    return [name.removesuffix("_model") for name in names if name.endswith("_model")]
