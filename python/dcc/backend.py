"""dcc behind the interface of onnx.backend, so that ONNX's own tests can drive it:

    onnx.backend.test.BackendTest(dcc.backend, __name__)
"""

import numpy as np
import onnx
import onnx.numpy_helper
from onnx.backend.base import Backend, BackendRep, namedtupledict

from .compiler import check
from .compiler import compile as compile_model
from .errors import CompileError

REFUSED = 1  # exit status of dcc for models that it does not take


class Rep(BackendRep):
    def __init__(self, model, threads):
        self.model = model
        self.threads = threads
        self._tuple = namedtupledict("Outputs", [port.name for port in model.outputs])

    def run(self, inputs, **kwargs):
        """Inputs: a list in the model's order, a dict by name, or one array.  Outputs: a named tuple."""
        arguments = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        result = self.model(*arguments, threads=self.threads)
        return self._tuple(*result.values()) if isinstance(result, dict) else self._tuple(result)


class ListRep(BackendRep):
    """A model with sequences or optionals among its inputs and outputs: compiled when it is known how long the inputs are."""

    def __init__(self, model, threads, options):
        self.model, self.threads, self.options = model, threads, options
        graph = model.graph
        weights = {w.name for w in graph.initializer}
        self.inputs = {i.name: _kind(i) for i in graph.input if i.name not in weights}
        self.outputs = {o.name: _kind(o) for o in graph.output}
        self.compiled = {}
        self._tuple = namedtupledict("Outputs", list(self.outputs))
        if set(self.inputs.values()) <= {"tensor_type"}:
            self._compile({})

    def run(self, inputs, **kwargs):
        """As Rep.run; a sequence is a list, an optional without an element is None."""
        values = inputs if isinstance(inputs, dict) else dict(zip(self.inputs, inputs))
        ports = {}
        for name, value in values.items():
            elements = {f"{name}.{i}": v for i, v in enumerate(value)} if isinstance(value, list) else {name: value}
            ports.update({k: v for k, v in elements.items() if v is not None})
        lengths = {
            name: len(values[name]) if isinstance(values[name], list) else int(values[name] is not None)
            for name, kind in self.inputs.items() if kind != "tensor_type"
        }
        model = self._compile(lengths)
        result = model(ports, threads=self.threads)
        result = result if isinstance(result, dict) else {model.outputs[0].name: result}
        return self._tuple(*(self._collect(name, result) for name in self.outputs))

    def _compile(self, lengths):
        key = tuple(lengths.items())
        if key not in self.compiled:
            dims = {**(self.options.get("dims") or {}), **lengths}
            self.compiled[key] = _compile_or_skip(self.model, **{**self.options, "dims": dims})
        return self.compiled[key]

    def _collect(self, name, ports):
        if name in ports:
            return ports[name]
        items = []
        while f"{name}.{len(items)}" in ports:
            items.append(ports[f"{name}.{len(items)}"])
        return items if items or self.outputs[name] != "optional_type" else None


class DccBackend(Backend):
    @classmethod
    def supports_device(cls, device):
        return device.split(":")[0] == "CPU"

    @classmethod
    def is_compatible(cls, model, device="CPU", **kwargs):
        try:
            check(model)
        except CompileError as error:
            if error.status != REFUSED:
                raise
            return False
        return cls.supports_device(device)

    @classmethod
    def prepare(cls, model, device="CPU", **kwargs):
        """Keywords: threads; anything of dcc.compile()."""
        kwargs = {k: v for k, v in kwargs.items() if k not in ("rtol", "atol")}
        threads = kwargs.pop("threads", 1)
        if isinstance(model, onnx.ModelProto) and {_kind(i) for i in (*model.graph.input, *model.graph.output)} - {"tensor_type"}:
            return ListRep(model, threads, kwargs)
        return Rep(_compile_or_skip(model, **kwargs), threads)

    @classmethod
    def run_node(cls, node, inputs, device="CPU", outputs_info=None, **kwargs):
        """One operator.  Without outputs_info the outputs' types come from ONNX's shape inference."""
        opset = kwargs.pop("opset_version", None) or _opset_of(node)
        names = [name for name in node.input if name]
        arrays = dict(zip(names, inputs))
        graph_inputs = [_value_info(name, array.dtype, array.shape) for name, array in arrays.items()]
        outputs = [name for name in node.output if name]
        if outputs_info:
            graph_outputs = [_value_info(name, *info) for name, info in zip(outputs, outputs_info)]
        else:
            graph_outputs = [onnx.helper.make_empty_tensor_value_info(name) for name in outputs]
        graph = onnx.helper.make_graph([node], "node", graph_inputs, graph_outputs)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(node.domain, opset)])
        return cls.prepare(onnx.shape_inference.infer_shapes(model), device, **kwargs).run(arrays)


def _kind(info):
    return info.type.WhichOneof("value") or "tensor_type"


def _compile_or_skip(model, **options):
    try:
        return compile_model(model, **options)
    except CompileError as error:
        if error.status != REFUSED:
            raise
        # only here: the test suite takes long to import
        from onnx.backend.test.runner import BackendIsNotSupposedToImplementIt

        raise BackendIsNotSupposedToImplementIt(str(error)) from None


def _opset_of(node):
    """An opset that has the operator's newest form and is no newer than needed."""
    return max(13, onnx.defs.get_schema(node.op_type, node.domain).since_version)


def _value_info(name, dtype, shape):
    return onnx.helper.make_tensor_value_info(name, onnx.numpy_helper.from_array(np.empty(0, dtype)).data_type, shape)


is_compatible = DccBackend.is_compatible
prepare = DccBackend.prepare
run_model = DccBackend.run_model
run_node = DccBackend.run_node
supports_device = DccBackend.supports_device
