#!/usr/bin/env python3
"""Makes the demo: a small encoder with dynamic convolutions (Wu et al. 2019), exported by torch, and recorded data.

  python3 make_demo.py        writes dynconv.onnx, dynconv.data/input.npy and output.npy beside this file

Needs torch, onnx and numpy.  The files are kept in the repository, so that the demo itself needs none of them.
"""
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

D, HEADS, KERNELS = 48, 4, (3, 7)


class DynamicConv(nn.Module):
    """GLU in-projection, one softmax kernel per token and head, taps as shifted slices, out-projection."""

    def __init__(self, taps):
        super().__init__()
        self.taps = taps
        self.inward = nn.Linear(D, 2 * D)
        self.kernel = nn.Linear(D, HEADS * taps)
        self.outward = nn.Linear(D, D)

    def forward(self, x):
        batch, seq = x.shape[0], x.shape[1]
        x = F.glu(self.inward(x), dim=-1)
        w = F.softmax(self.kernel(x).reshape(batch, seq, HEADS, self.taps), dim=-1)
        pad = F.pad(x, (0, 0, self.taps // 2, self.taps // 2))
        y = 0
        for k in range(self.taps):
            y = y + w[..., k : k + 1] * pad[:, k : k + seq].reshape(batch, seq, HEADS, D // HEADS)
        return self.outward(y.reshape(batch, seq, D))


class Layer(nn.Module):
    def __init__(self, taps):
        super().__init__()
        self.conv, self.norm1 = DynamicConv(taps), nn.LayerNorm(D)
        self.up, self.down, self.norm2 = nn.Linear(D, 2 * D), nn.Linear(2 * D, D), nn.LayerNorm(D)

    def forward(self, x):
        x = self.norm1(x + self.conv(x))
        return self.norm2(x + self.down(F.relu(self.up(x))))


def main():
    here = pathlib.Path(__file__).parent
    torch.manual_seed(7)
    model = nn.Sequential(*(Layer(k) for k in KERNELS)).eval()
    torch.onnx.export(model, (torch.randn(2, 9, D),), here / "dynconv.onnx", dynamo=False, opset_version=17,
                      input_names=["x"], output_names=["y"],
                      dynamic_axes={"x": {0: "batch", 1: "seq"}, "y": {0: "batch", 1: "seq"}})
    x = torch.randn(2, 23, D)
    data = here / "dynconv.data"
    data.mkdir(exist_ok=True)
    np.save(data / "input.npy", x.numpy())
    with torch.no_grad():
        np.save(data / "output.npy", model(x).numpy())


if __name__ == "__main__":
    main()
