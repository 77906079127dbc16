#!/usr/bin/env python3
"""Finds lines of text by their meaning.

    examples/search/setup.sh BUILD FOLDER            installs and compiles the model
    export PYTHONPATH=python:FOLDER/packages

    dpkg-query -W -f '${Package}: ${binary:Summary}\\n' | search.py FOLDER index packages.npz
    search.py FOLDER find packages.npz "draw graphs as pictures" "turn speech into sound"

An index holds the lines of standard input and a vector of length 1 for each: the mean of its tokens' vectors.  A search is one
product of matrices; the scores are cosines.
"""

import os
import sys
import zipfile

import blingfire
import numpy as np

UNKNOWN, FIRST, LAST, MOST = 100, 101, 102, 256  # of BERT's vocabulary: [UNK], [CLS], [SEP]; tokens of a line
BATCH = 32  # lines of similar lengths


class Encoder:
    """`run` takes token ids, the mask of those that are no padding, and zeros, i64[batch, sequence] each, and gives f32[batch, sequence, 384]."""

    def __init__(self, run):
        self.run = run
        self.tokenizer = blingfire.load_model(os.path.join(os.path.dirname(blingfire.__file__), "bert_base_tok.bin"))

    def tokens(self, line):
        ids = blingfire.text_to_ids(self.tokenizer, line, MOST - 2, UNKNOWN, no_padding=True)
        return [FIRST, *map(int, ids), LAST]

    def batch(self, lists):
        ids = np.zeros((len(lists), max(map(len, lists))), np.int64)
        for row, tokens in zip(ids, lists):
            row[: len(tokens)] = tokens
        mask = (ids != 0).astype(np.int64)
        vectors = (self.run(ids, mask, np.zeros_like(ids)) * mask[:, :, None]).sum(1)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def __call__(self, lines):
        """f32[lines, 384].  Lines of one length go together, so that little is padding."""
        lists = [self.tokens(line) for line in lines]
        order = sorted(range(len(lists)), key=lambda i: len(lists[i]))
        vectors = np.empty((len(lists), 384), np.float32)
        for at in range(0, len(order), BATCH):
            some = order[at : at + BATCH]
            vectors[some] = self.batch([lists[i] for i in some])
        return vectors


def compiled(folder, threads=1):
    import dcc

    model = dcc.load(f"{folder}/encoder.so", huge_pages=False)  # workers share the file's pages (docs/scaling.md)
    return lambda *inputs: model(*inputs, threads=threads)


def find(encode, lines, vectors, text, count=5):
    """[(cosine, line)], best first."""
    scores = vectors @ encode([text])[0]
    return [(float(scores[i]), str(lines[i])) for i in np.argsort(-scores, kind="stable")[:count]]


def main():
    folder, command, path, *texts = sys.argv[1:] if len(sys.argv) > 3 else [None] * 3
    if command not in ("index", "find") or (command == "find") != bool(texts):
        sys.exit("usage: search.py FOLDER index FILE.npz < LINES\n       search.py FOLDER find FILE.npz TEXT...")
    encode = Encoder(compiled(folder, len(os.sched_getaffinity(0))))
    if command == "index":
        lines = [line.rstrip("\n") for line in sys.stdin if line.strip()]
        if not lines:
            sys.exit("search.py: standard input has no lines")
        with open(path, "wb") as file:
            np.savez(file, lines=np.array(lines), vectors=encode(lines))
        print(f"{path}: {len(lines)} lines")
        return
    try:
        index = np.load(path)
        lines, vectors = index["lines"], index["vectors"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        sys.exit(f"search.py: {path}: no index: {error}")
    for text in texts:
        print(text)
        for score, line in find(encode, lines, vectors, text):
            print(f"  {score:.3f}  {line}")


if __name__ == "__main__":
    main()
