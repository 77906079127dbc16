#!/usr/bin/env python3
"""Writes tests/models: small models of our own, by both exporters of torch, with what torch computed.

    python export_models.py [OUT]            needs torch, onnx, onnxscript, numpy; onnxruntime, if there, checks the files

OUT/NAME.EXPORTER/ has the layout of ONNX's backend tests: model.onnx and test_data_set_I/{input,output}_J.pb.  Batch and
length are symbolic; set 1 binds them to other values than set 0, one of them shorter than any convolution kernel.  Weights
are random but fixed.  Notes that the exporters attach to nodes (stack traces, file names) are removed.
"""
import math
import pathlib
import sys

import numpy as np
import onnx
import onnx.numpy_helper
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.backends.mha.set_fastpath_enabled(False)  # no fused kernels that only torch has
MAX_BYTES = 60_000


class GluFfn(nn.Module):
    """linear, halves, value * act(gate), linear: every activation, the gate as either half."""

    acts = {
        "sigmoid": torch.sigmoid,
        "gelu": F.gelu,
        "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
        "silu": F.silu,
        "relu": F.relu,
        "tanh": torch.tanh,
    }

    def __init__(self, d=12, m=20):
        super().__init__()
        n = 2 * len(self.acts)
        self.up = nn.ModuleList(nn.Linear(d, 2 * m, bias=i % 3 > 0) for i in range(n))
        self.down = nn.ModuleList(nn.Linear(m, d) for _ in range(n))

    def forward(self, x):
        out = []
        for i, act in enumerate(2 * list(self.acts.values())):
            a, b = self.up[i](x).chunk(2, dim=-1)
            y = act(a) * b if i < len(self.acts) else a * act(b)
            out.append(x + self.down[i](y))
        return tuple(out)


class Bert(nn.Module):
    """Two post-norm layers behind embeddings, a padding mask, a pooler."""

    def __init__(self, vocabulary=29, length=40, d=20, heads=2, m=36, layers=2):
        super().__init__()
        self.heads = heads
        self.words = nn.Embedding(vocabulary, d)
        self.places = nn.Embedding(length, d)
        self.norm = nn.LayerNorm(d, eps=1e-12)
        self.layers = nn.ModuleList()
        for _ in range(layers):
            parts = {n: nn.Linear(d, d) for n in "qkvo"}
            parts |= {"up": nn.Linear(d, m), "down": nn.Linear(m, d), "norm1": nn.LayerNorm(d), "norm2": nn.LayerNorm(d)}
            self.layers.append(nn.ModuleDict(parts))
        self.pooler = nn.Linear(d, d)
        self.register_buffer("ids", torch.arange(length).unsqueeze(0), persistent=False)

    def forward(self, tokens, keep):
        x = self.norm(self.words(tokens) + self.places(self.ids[:, : tokens.shape[1]]))
        mask = (1.0 - keep[:, None, None, :].to(x.dtype)) * -10000.0
        for layer in self.layers:
            q, k, v = (layer[n](x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for n in "qkv")
            p = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + mask, dim=-1)
            x = layer["norm1"](x + layer["o"]((p @ v).transpose(1, 2).flatten(2)))
            x = layer["norm2"](x + layer["down"](F.gelu(layer["up"](x))))
        return x, torch.tanh(self.pooler(x[:, 0]))


class Mha(nn.Module):
    """nn.MultiheadAttention, time first, with a key padding mask (it asks for the weights: the path of matmul and softmax)."""

    def __init__(self, d=20, heads=4):
        super().__init__()
        self.attn = nn.MultiheadAttention(d, heads)
        self.norm = nn.LayerNorm(d)

    def forward(self, x, drop):
        return self.norm(x + self.attn(x, x, x, key_padding_mask=drop, need_weights=True)[0])


class ConvLayer(nn.Module):
    """linear, glu, a window contraction, linear, residual, norm; subclasses say how the contraction is written."""

    def __init__(self, d=24, heads=4, taps=5):
        super().__init__()
        self.d, self.heads, self.taps = d, heads, taps
        self.up = nn.Linear(d, 2 * d)
        self.down = nn.Linear(d, d)
        self.norm = nn.LayerNorm(d)

    def forward(self, x):
        y = F.glu(self.up(x), dim=-1)
        return self.norm(x + self.down(self.contract(y)))


class DynConv(ConvLayer):
    def __init__(self, **kw):
        super().__init__(**kw)
        self.predict = nn.Linear(self.d, self.heads * self.taps, bias=False)

    def weights(self, y):
        return torch.softmax(self.predict(y).unflatten(-1, (self.heads, self.taps)), dim=-1)


class DynConvTaps(DynConv):
    def contract(self, y):
        w, left = self.weights(y), self.taps // 2
        padded = F.pad(y, (0, 0, left, self.taps - 1 - left)).unflatten(-1, (self.heads, -1))
        n = y.shape[1]
        out = padded[:, :n] * w[..., 0:1]
        for k in range(1, self.taps):
            out = out + padded[:, k : k + n] * w[..., k : k + 1]
        return out.flatten(2)


class DynConvUnfold(DynConv):
    def contract(self, y):
        w, left = self.weights(y), self.taps // 2
        columns = y.transpose(1, 2).unsqueeze(-1)
        u = F.unfold(columns, (self.taps, 1), padding=(left, 0))  # [B, C * K, T]
        u = u.transpose(1, 2).unflatten(-1, (self.heads, self.d // self.heads, self.taps))
        return (u @ w.unsqueeze(-1)).squeeze(-1).flatten(2)


class LightConv(ConvLayer):
    """Static weights that the channels of a head share, as a grouped convolution."""

    def __init__(self, **kw):
        super().__init__(**kw)
        self.weight = nn.Parameter(torch.randn(self.heads, 1, self.taps))

    def contract(self, y):
        b, n = y.shape[:2]
        w = torch.softmax(self.weight, dim=-1).repeat_interleave(self.d // self.heads, 0)
        z = F.conv1d(y.transpose(1, 2), w, padding=self.taps // 2, groups=self.d)
        return z.transpose(1, 2)


class Stack(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def floats(b, t, d):
    return (torch.randn(b, t, d),)


def tokens(b, t):
    keep = torch.ones(b, t, dtype=torch.int64)
    keep[0, t // 2 + 1 :] = 0
    return torch.randint(0, 29, (b, t)), keep


def masked(b, t):
    drop = torch.zeros(b, t, dtype=torch.bool)
    drop[0, t // 2 + 1 :] = True
    return torch.randn(t, b, 20), drop


# name: module, inputs for batch and length, their names
MODELS = {
    "glu-ffn": (GluFfn, lambda b, t: floats(b, t, 12), ["x"]),
    "transformer-layer": (
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(20, 4, 36, batch_first=True, activation="gelu"), 1, enable_nested_tensor=False
        ),
        lambda b, t: floats(b, t, 20),
        ["src"],
    ),
    "mha": (Mha, masked, ["x", "drop"]),
    "bert": (Bert, tokens, ["tokens", "keep"]),
    "dynconv-taps": (lambda: Stack([DynConvTaps(), DynConvTaps(taps=3)]), lambda b, t: floats(b, t, 24), ["x"]),
    "dynconv-unfold": (lambda: Stack([DynConvUnfold(), DynConvUnfold(taps=3)]), lambda b, t: floats(b, t, 24), ["x"]),
    "lightconv-conv": (lambda: Stack([LightConv(), LightConv(taps=3)]), lambda b, t: floats(b, t, 24), ["x"]),
}


STATIC = {"transformer-layer.ts", "mha.ts"}  # the exporter writes the example's batch and length into reshapes


def export(name, model, example, names, dynamo, path):
    dims = {n: ("seq", "batch") if (name, n) == ("mha", "x") else ("batch", "seq") for n in names}
    if dynamo:
        symbols = {"batch": torch.export.Dim("batch"), "seq": torch.export.Dim("seq", min=1, max=40)}
        shapes = tuple({i: symbols[d] for i, d in enumerate(dims[n])} for n in names)
        program = torch.onnx.export(model, example, input_names=names, dynamic_shapes=shapes, dynamo=True, verbose=False)
        program.save(str(path))
    else:
        axes = {} if f"{name}.ts" in STATIC else {n: dict(enumerate(dims[n])) for n in names}
        torch.onnx.export(model, example, str(path), input_names=names, dynamic_axes=axes, dynamo=False)


def strip(path):
    m = onnx.load(path)
    del m.metadata_props[:]
    del m.graph.metadata_props[:]
    m.doc_string = m.graph.doc_string = ""
    for n in m.graph.node:
        del n.metadata_props[:]
        n.doc_string = ""
    for v in [*m.graph.input, *m.graph.output, *m.graph.value_info, *m.graph.initializer]:
        del v.metadata_props[:]
        v.doc_string = ""
    for f in m.functions:
        f.doc_string = ""
        del f.metadata_props[:]
        for n in f.node:
            del n.metadata_props[:]
            n.doc_string = ""
    onnx.checker.check_model(m)
    onnx.save(m, path)
    return m


def save(folder, stem, names, tensors):
    for i, (name, t) in enumerate(zip(names, tensors)):
        (folder / f"{stem}_{i}.pb").write_bytes(onnx.numpy_helper.from_array(t.numpy(), name).SerializeToString())


def check(path, names, given, wanted):
    try:
        import onnxruntime
    except ImportError:
        return
    got = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(
        None, {n: t.numpy() for n, t in zip(names, given)}
    )
    for a, b in zip(got, wanted):
        error = np.abs(a - b.numpy()).max() / np.abs(b.numpy()).max()
        if not error < 1e-4:
            raise SystemExit(f"{path}: onnxruntime differs from torch by {error}")


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "models")
    for name, (make, inputs, names) in MODELS.items():
        for exporter in ("ts", "dynamo"):
            torch.manual_seed(len(name))
            model = make().eval()
            with torch.no_grad():
                for p in model.parameters():
                    if p.dim() == 1:
                        p.add_(0.1 * torch.randn_like(p))  # norms and biases that matter
            folder = out / f"{name}.{exporter}"
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / "model.onnx"
            export(name, model, inputs(2, 9), names, exporter == "dynamo", path)
            graph = strip(path).graph
            if path.stat().st_size > MAX_BYTES:
                raise SystemExit(f"{path}: {path.stat().st_size} bytes")
            for i, (b, t) in enumerate([(2, 9), (2, 9)] if folder.name in STATIC else [(2, 13), (3, 2)]):
                given = inputs(b, t)
                with torch.no_grad():
                    wanted = model(*given)
                wanted = wanted if isinstance(wanted, tuple) else (wanted,)
                data = folder / f"test_data_set_{i}"
                data.mkdir(exist_ok=True)
                save(data, "input", names, given)
                save(data, "output", [o.name for o in graph.output], wanted)
                check(path, names, given, wanted)
            print(f"{folder.name}: {path.stat().st_size} bytes, {len(graph.node)} nodes")


if __name__ == "__main__":
    main()
