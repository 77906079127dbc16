#!/usr/bin/env python3
"""Prints docs/operators.md, from what dcc lists and from the messages in frontend/.

  python3 tools/operators_page.py build/dcc >docs/operators.md
"""

import glob
import os
import re
import subprocess
import sys

HEAD = """# ONNX operators

Made by `python3 tools/operators_page.py build/dcc` from `dcc --list-onnx-ops` and the messages in `frontend/`; a test holds it true.

Opsets {first} to {last} of the standard are read, and the operators of `com.microsoft`, `ai.onnx.ml` and `ai.onnx.preview` below at any opset of
theirs. A row says which attributes dcc knows; behind a colon stand the values that it takes, where it does not take all. **What a model uses beyond a
row is refused**, all of it in one list by node (`dcc --check model.onnx`), and so are sparse tensors and strings: a model that compiles means what
the standard says. [precision.md](precision.md) has the element types; an operator that is missing can be a
C function of the application ([custom.md](custom.md)).

Of the standard's operators, function operators included, these are missing: {missing}; of `ai.onnx.ml`, trees,
support vector machines and maps of strings; and all of `ai.onnx.preview.training`.

| operator | opsets | attributes |
|---|---|---|"""

TAIL = """
## What else is refused

A row above may hold and yet a form of it is not there. These are all messages of that kind, with ... for what depends on the model:

| where | message |
|---|---|"""

# Images as files, and strings.
MISSING = ["ImageDecoder", "RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit"]

STRING = r'"((?:[^"\\]|\\.)*)"'


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def attribute(text):
    """name, name=v|w (these values only), name:d (a default, which is the standard's)."""
    name, _, values = text.partition("=")
    return f"`{name.split(':')[0]}`" + (f": {', '.join(values.split('|'))}" if values else "")


def rows(listing):
    for line in listing.splitlines():
        name, *words = line.split()
        since, _, until = words.pop(0).partition("..") if "." not in name else ("", "", "")
        yield name, since, until, "; ".join(map(attribute, words))


def messages(path):
    """What dcc lacks ends in refuse_at(), see ir/ir.h."""
    for call in re.finditer(rf"refuse_at\([^\"]*?((?:{STRING}\s*)+)(.*?);\n", read(path), re.S):
        text = "".join(m[1] for m in re.finditer(STRING, call[1]))
        text = re.sub(r"%(lld|zu|[a-z])", "...", text).removeprefix("not supported: ")
        if text == "...":
            text = " or ".join(m[1] for m in re.finditer(STRING, call[3]))
        yield text.replace("|", r"\|")


def place(path):
    """What a file of importers is about, by its first line."""
    return re.match(r"/\* \S+ - ((?:[^.:;*\n]|\.(?=\w))*)", read(path))[1].strip() if os.path.basename(path).startswith("import_") else "all"


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    table = list(rows(subprocess.run([sys.argv[1], "--list-onnx-ops"], check=True, capture_output=True, text=True).stdout))
    opsets = [int(n) for _, since, until, _ in table if since for n in (since, until)]
    assert not {name for name, *_ in table} & set(MISSING)
    print(HEAD.format(first=min(opsets), last=max(opsets), missing=", ".join(MISSING)))
    before = None
    for name, since, until, attributes in table:
        span = since if since == until else f"{since}-{until}"
        print(f"| {'' if name == before else name} | {span if since else 'all'} | {attributes} |")
        before = name
    print(TAIL)
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "frontend")
    found = sorted({(where != "all", where, text) for path in glob.glob(f"{folder}/*.c") for where in [place(path)] for text in messages(path)})
    for _, where, text in found:
        print(f"| {where} | {text} |")


if __name__ == "__main__":
    main()
