#!/usr/bin/env python3
"""ONNX's own backend tests against dcc: its node tests, and the small models that the package ships.

    DCC=build/dcc PYTHONPATH=python tests/onnx_backend.py [--list] [-j N] [PATTERN]

Prints how many passed, how many models dcc refused with a message, and the names of those that went wrong: other
values, an error while the model runs, or a crash.  Exit status 1 if there are any.  Models that --check accepts and
that are refused only when they are compiled are named too.

Tolerances are the suite's (1e-3 of an element + 1e-7), but two units in the last place of a tensor's largest element
are allowed for all its elements: sums round relative to their terms, and the suite's own values do.  The cases that
conformance.py excepts are left out.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import io
import os
import random
import re
import time
import unittest
import warnings

import numpy as np
import onnx.backend.test

import conformance
import dcc.backend

TWO_UNITS = {"float32": 2.0**-22, "float16": 2.0**-9}  # in the last place
CATEGORIES = ("Node", "Simple", "PyTorchConverted", "PyTorchOperator")  # Real would download


class Recorder(dcc.backend.DccBackend):
    refusal = None
    late = False  # --check had accepted it

    @classmethod
    def prepare(cls, model, device="CPU", **kwargs):
        try:
            return super().prepare(model, device, **kwargs)
        except unittest.SkipTest as reason:
            cls.refusal = str(reason)
            cls.late = super().is_compatible(model)
            raise

    @classmethod
    def is_compatible(cls, model, device="CPU", **kwargs):
        return True  # prepare says why not


class Runner(onnx.backend.test.BackendTest):
    @classmethod
    def assert_similar_outputs(cls, ref_outputs, outputs, rtol, atol, *place, **named):  # where the test lies, as releases pass it
        same = super().assert_similar_outputs
        if len(outputs) != len(ref_outputs):
            same(ref_outputs, outputs, rtol, atol, *place, **named)
        for ref, out in zip(ref_outputs, outputs):
            if isinstance(ref, list) and isinstance(out, list):
                cls.assert_similar_outputs(ref, out, rtol, atol, *place, **named)
                continue
            two_units = TWO_UNITS.get(ref.dtype.name, 0) if isinstance(ref, np.ndarray) else 0
            largest = float(np.abs(ref[np.isfinite(ref)]).max(initial=0)) if two_units else 0
            same([ref], [out], rtol, max(atol, largest * two_units), *place, **named)


def name_of(test):
    return test.id().rpartition(".")[2].removesuffix("_cpu")


class Result(unittest.TestResult):
    """`rows` gets (name, "passed" | "refused" | "late" | "wrong", why)."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def startTest(self, test):
        super().startTest(test)
        Recorder.refusal = None

    def _add(self, test, kind, why=""):
        self.rows.append((name_of(test), kind, why))

    def addSuccess(self, test):
        kind = "passed" if Recorder.refusal is None else "late" if Recorder.late else "refused"
        self._add(test, kind, Recorder.refusal or "")

    def addFailure(self, test, err):
        self._add(test, "wrong", str(err[1]).strip())

    def addError(self, test, err):
        self._add(test, "wrong", f"{type(err[1]).__name__}: {err[1]}".strip())


def all_tests():
    cases = Runner(Recorder, __name__).test_cases
    load = unittest.defaultTestLoader.loadTestsFromTestCase
    tests = (test for c in CATEGORIES for test in load(cases[f"OnnxBackend{c}ModelTest"]))
    return [t for t in tests if t.id().endswith("_cpu") and name_of(t) not in conformance.EXCEPTIONS]


def run_share(share, shares, pattern, seconds, seed):
    """Rows of every shares-th test, from `share` on, and how many the time left out."""
    warnings.simplefilter("ignore")
    result = Result()
    tests = [t for t in all_tests() if re.search(pattern, t.id())]
    if seconds:
        random.Random(seed).shuffle(tests)
    end = time.time() + seconds if seconds else float("inf")
    left = tests[share::shares]
    with contextlib.redirect_stdout(io.StringIO()):
        while left and time.time() < end:
            unittest.TestSuite([left.pop(0)]).run(result)
    return result.rows, len(left)


def reason_of(text):
    """The last line of a refusal, without what differs from model to model."""
    line = text.splitlines()[-1]
    return re.sub(r"'[^']*'|\d+|[^ ]*/model.onnx", "_", line.partition("): ")[2] or line)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", nargs="?", default="", help="only tests whose name matches")
    parser.add_argument("-j", type=int, default=min(2, os.cpu_count() or 1), help="processes")
    parser.add_argument("--list", action="store_true", help="a line per test; default: only what is wrong")
    parser.add_argument("--seconds", type=int, default=0, help="no test is begun after so many; 0: all run")
    parser.add_argument("--seed", type=int, default=1, help="of the order, with --seconds")
    options = parser.parse_args()

    with concurrent.futures.ProcessPoolExecutor(options.j) as pool:
        shares = [pool.submit(run_share, i, options.j, options.pattern, options.seconds, options.seed)
                  for i in range(options.j)]
        rows = sorted(row for share in shares for row in share.result()[0])
        left = sum(share.result()[1] for share in shares)
    for name, kind, why in rows:
        if options.list or kind in ("wrong", "late"):
            print(f"{kind}: {name}: {' | '.join(why.split(chr(10)))[:400]}")
    counts = collections.Counter(kind for _, kind, _ in rows)
    if options.list:
        for reason, n in collections.Counter(reason_of(w) for _, k, w in rows if k == "refused").most_common(40):
            print(f"{n:5} refused: {reason[:150]}")
    print(f"onnx {onnx.__version__}: {counts['passed']} passed, {counts['refused'] + counts['late']} refused, "
          f"{counts['wrong']} wrong, {left} left out")
    return counts["wrong"] > 0


if __name__ == "__main__":
    raise SystemExit(main())
