"""Compiles ONNX models with dcc and calls them on NumPy arrays.

    m = dcc.compile("m.onnx", dims={"seq": (1, 512)})
    y = m(x=array)
"""

from .compiler import check, compile, inspect
from .errors import CompileError, Error
from .model import Model, Port, Symbol, load

__version__ = "0.2.0"
__all__ = ["CompileError", "Error", "Model", "Port", "Symbol", "check", "compile", "inspect", "load"]
