#!/usr/bin/env python3
"""Trains, measures and exports the language classifier.  Deterministic for a seed, on one kind of CPU and torch.

  python3 train.py [--corpus FOLDER] [--out FOLDER] [--steps 5000] [--seed 1]

Needs torch, onnx and numpy (pip install torch onnx numpy), and on the first run Debian's apt-get and dpkg-deb with a
network: corpus.py downloads 39 MB of packages into FOLDER.  One thread; 7 to 10 minutes.  Writes beside this file:

  langid.onnx                    the model, opset 17: text u8 [batch, seq] -> probabilities f32 [batch, 22]
  languages.def                  X(code, name) in the order of the model's classes
  test.tsv                       held-back lines of at most 200 bytes, code TAB line
  test_data_set_0/*.pb           some of these as recorded input and output of torch, for dcc-run --check

The demo needs none of this: the files are kept in the repository.
"""
import argparse
import pathlib
import time

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import nn

import corpus

WIDTH, HEADS, TAPS = 48, 4, (3, 5, 7)
LINE = 200  # bytes of a test line
TEST_LINES = 20  # per language, in test.tsv


class DynamicConv(nn.Module):
    """Wu et al. 2019: GLU in-projection, one softmax kernel per position and head, out-projection."""

    def __init__(self, taps):
        super().__init__()
        self.taps = taps
        self.inward = nn.Linear(WIDTH, 2 * WIDTH)
        self.kernel = nn.Linear(WIDTH, HEADS * taps)
        self.outward = nn.Linear(WIDTH, WIDTH)

    def forward(self, x, mask):
        seq = x.shape[1]
        x = F.glu(self.inward(x), dim=-1) * mask
        w = F.softmax(self.kernel(x).unflatten(-1, (HEADS, self.taps)), dim=-1)
        x = F.pad(x, (0, 0, self.taps // 2, self.taps // 2)).unflatten(-1, (HEADS, WIDTH // HEADS))
        y = 0
        for k in range(self.taps):
            y = y + w[..., k : k + 1] * x[:, k : k + seq]
        return self.outward(y.flatten(-2))


class Block(nn.Module):
    def __init__(self, taps):
        super().__init__()
        self.norm1, self.conv = nn.LayerNorm(WIDTH), DynamicConv(taps)
        self.norm2, self.up, self.down = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x, mask):
        x = x + self.conv(self.norm1(x), mask)
        return x + self.down(F.relu(self.up(self.norm2(x))))


class LangId(nn.Module):
    """Bytes to logits.  Byte 0 is padding: it changes no other position and is left out of the mean."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(256, WIDTH)
        self.blocks = nn.ModuleList(Block(k) for k in TAPS)
        self.norm, self.out = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, len(corpus.CODES))

    def forward(self, text):
        mask = (text != 0).unsqueeze(-1).float()
        x = self.embed(text.long())
        for block in self.blocks:
            x = block(x, mask)
        mean = (self.norm(x) * mask).sum(1) / mask.sum(1).clamp(min=1)
        return self.out(mean)


class Probabilities(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, text):
        return F.softmax(self.model(text), dim=-1)


# ---- text ------------------------------------------------------------------------------------------------------------

def cut(data, start, length):
    """At most `length` bytes from the first whole character at or after `start`, without half a character."""
    while start < len(data) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start : start + length].decode("utf-8", "ignore").encode()


def held_back_lines(pages):
    """Lines of 100 to LINE bytes, cut at a space where the language has them."""
    lines = []
    for paragraphs in pages:
        data = " ".join(paragraphs).encode()
        start = 0
        while start < len(data):
            line = cut(data, start, LINE)
            if start + len(line) < len(data) and b" " in line[LINE // 2 :]:
                line = line[: line.rindex(b" ")]
            start += len(line) + (data[start + len(line) : start + len(line) + 1] == b" ")
            if len(line) >= LINE // 2:
                lines.append(line)
    return lines


class Batches:
    """Random windows of the training text, every language as often; all windows of a batch have one length."""

    def __init__(self, texts, seed):
        self.rng = np.random.default_rng(seed)
        self.streams = []
        for paragraphs in texts:
            order = self.rng.permutation(len(paragraphs))
            self.streams.append(" ".join(paragraphs[i] for i in order).encode())

    def window(self, label, length):
        stream = self.streams[label]
        data = cut(stream, int(self.rng.integers(len(stream) - length)), length)
        change = self.rng.random()
        if change < 0.06:  # names in capitals, headings
            data = data.decode().upper().encode()[:length]
        elif change < 0.12:
            data = data.decode().lower().encode()[:length]
        return data

    def next(self, total):
        length = int(self.rng.choice([24, 48, 96, 192], p=[0.25, 0.3, 0.25, 0.2]))
        labels = self.rng.integers(len(self.streams), size=total // length)
        return pad([self.window(k, length) for k in labels]), torch.from_numpy(labels)


def pad(lines):
    out = np.zeros((len(lines), max(map(len, lines))), np.uint8)
    for row, line in zip(out, lines):
        row[: len(line)] = np.frombuffer(line, np.uint8)
    return torch.from_numpy(out)


# ---- training --------------------------------------------------------------------------------------------------------

def train(model, batches, steps, peak):
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.02, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=steps, pct_start=0.08)
    begin, mean = time.time(), 3.0
    for step in range(steps):
        text, labels = batches.next(6144)
        loss = F.cross_entropy(model(text), labels, label_smoothing=0.02)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        mean += 0.01 * (loss.item() - mean)
        if step % 250 == 249:
            print(f"step {step + 1} of {steps}, loss {mean:.4f}, {time.time() - begin:.0f} s", flush=True)


@torch.no_grad()
def predict(model, lines):
    return torch.cat([model(pad(lines[i : i + 64])).argmax(-1) for i in range(0, len(lines), 64)])


def measure(model, lines_of):
    """Prints the accuracy per language and what the others were taken for."""
    shares = []
    for label, lines in enumerate(lines_of):
        got = predict(model, lines)
        right = int((got == label).sum())
        shares.append(right / len(lines))
        wrong = torch.bincount(got, minlength=len(corpus.CODES))
        wrong[label] = 0
        others = ", ".join(f"{corpus.CODES[i]} {int(wrong[i])}" for i in wrong.nonzero().flatten())
        print(f"  {corpus.CODES[label]}  {right:5} of {len(lines):5}  {100 * shares[-1]:6.2f} %  {others}")
    print(f"  mean over languages: {100 * np.mean(shares):.2f} %")


# ---- files -----------------------------------------------------------------------------------------------------------

def write_tensor(path, name, array):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(numpy_helper.from_array(np.ascontiguousarray(array), name).SerializeToString())


def export(model, folder, lines):
    model = Probabilities(model).eval()
    torch.onnx.export(model, (pad(lines[:2]),), folder / "langid.onnx", dynamo=False, opset_version=17,
                      input_names=["text"], output_names=["probabilities"],
                      dynamic_axes={"text": {0: "batch", 1: "seq"}, "probabilities": {0: "batch"}})
    onnx.checker.check_model(str(folder / "langid.onnx"))
    text = pad(lines)
    with torch.no_grad():
        write_tensor(folder / "test_data_set_0/input_0.pb", "text", text.numpy())
        write_tensor(folder / "test_data_set_0/output_0.pb", "probabilities", model(text).numpy())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--corpus", default="/tmp/langid-corpus", help="where the packages are, or go")
    parser.add_argument("--out", default=pathlib.Path(__file__).parent, type=pathlib.Path)
    parser.add_argument("--steps", default=5000, type=int)
    parser.add_argument("--rate", default=4e-3, type=float)
    parser.add_argument("--seed", default=1, type=int)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)

    corpus.fetch(args.corpus)
    texts = corpus.load(args.corpus)
    rng = np.random.default_rng(args.seed)
    test = []
    for code in corpus.CODES:
        lines = held_back_lines(texts[code][1])
        test.append([lines[i] for i in rng.permutation(len(lines))[:400]])
    model = LangId()
    print(sum(p.numel() for p in model.parameters()), "weights")
    train(model, Batches([texts[code][0] for code in corpus.CODES], args.seed), args.steps, args.rate)
    model.eval()
    print(f"held-back lines of {LINE // 2} to {LINE} bytes:")
    measure(model, test)
    print("the first 50 bytes of these:")
    measure(model, [[cut(line, 0, 50) for line in lines] for lines in test])

    args.out.mkdir(parents=True, exist_ok=True)
    export(model, args.out, [lines[-1] for lines in test[::3]])
    with open(args.out / "test.tsv", "wb") as f:
        for code, lines in zip(corpus.CODES, test):
            f.writelines(code.encode() + b"\t" + line + b"\n" for line in lines[:TEST_LINES])
    with open(args.out / "languages.def", "w") as f:
        f.write("/* Written by train.py: code and name, in the order of the model's classes. */\n")
        f.writelines(f'X("{code}", "{name}")\n' for code, name, _, _ in corpus.LANGUAGES)


if __name__ == "__main__":
    main()
