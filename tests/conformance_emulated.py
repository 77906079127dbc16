#!/usr/bin/env python3
"""ONNX's own cases on AVX-512 where the CPU has none: in an emulator, many cases a start.

    tests/conformance_emulated.py BUILD [--form FORM ...] [--class CLASS ...] [-j N] [-v] [--seconds N [--seed N]] [PATTERN]

Each case's outputs must be the bits that the AVX2 half of the same object gives on the CPU itself, which conformance.py
compares with what ONNX says (any NaN counts as one).  Options as there; default: class core, all forms.
Prints how many passed, failed, were refused by dcc, and need more memory than the emulator has.  Exit status 1 if any failed; 77 without an emulator.
"""

import argparse
import collections
import concurrent.futures
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import warnings

from onnx import numpy_helper

import conformance

BATCH, BATCH_BYTES = 40, 100 << 20  # cases a start, bytes of their objects: one more closes it
LIMIT = "3000"  # seconds a start
MEMORY = "1536"  # megabytes: its most
HERE = os.path.dirname(os.path.abspath(__file__))


def emulator(command, *arguments):
    """A function of emulator.bash: the finished process."""
    script = f'. "{HERE}/emulator.bash"; {command} "$@"'
    return subprocess.run(["bash", "-c", script, "-", *arguments], capture_output=True, text=True, errors="replace")


def data_of(tensor):
    return tensor.raw_data if tensor.HasField("raw_data") else numpy_helper.to_array(tensor).tobytes()


class Batch:
    """Cases of one program: build() each, run() all."""

    def __init__(self, build, folder):
        self.build, self.folder, self.names, self.text, self.bytes = build, folder, [], [], 0

    def is_full(self):
        return len(self.names) >= BATCH or self.bytes > BATCH_BYTES

    def path(self, name):
        return os.path.join(self.folder, name)

    def add(self, name, case, form):
        """None, or (result, reason) of a case that cannot be run."""
        n = f"c{len(self.names)}"
        conformance.write(self.path("model.onnx"), case.model)
        command = [os.path.join(self.build, "dcc"), "model.onnx", f"--name={n}", "-o", n + ".o", *conformance.options_of(case, form)]
        try:
            p, _ = conformance.run_bounded(command, self.folder)
        except subprocess.TimeoutExpired:
            return "failed", "dcc does not end"
        if p.returncode:
            return "refused" if conformance.is_refusal(p) else "failed", conformance.last_line(p.stderr)
        rows = []
        for i, tensor in enumerate(conformance.tensors_to_run(case)):
            with open(self.path(f"{n}_{i}"), "wb") as f:
                f.write(data_of(tensor))
            self.text.append(f'__asm__(".section .rodata\\n.balign 64\\n{n}_{i}: .incbin \\"{self.path(f"{n}_{i}")}\\"\\n.previous");')
            self.text.append(f"extern unsigned char {n}_{i}[];")
            dims = ", ".join(map(str, tensor.dims))
            rows.append(f"{{{n}_{i}, {tensor.data_type}, {len(tensor.dims)}, {{{dims or 0}}}, {{0}}}}, ")
        self.text.append(f"extern const dcc_model {n}_model;\nstatic const dcc_tensor {n}_in[] = {{{''.join(rows)}{{0}}}};")
        self.names.append(name)
        self.bytes += os.path.getsize(self.path(n + ".o"))
        return None

    def run(self):
        """A (name, result, reason) for each case."""
        if not self.names:
            return []
        objects = [self.path(f"c{i}.o") for i in range(len(self.names))]
        listed = "".join(f"\t{{&c{i}_model, c{i}_in}},\n" for i in range(len(self.names)))
        with open(self.path("cases.inc"), "w") as f:
            f.write("\n".join(self.text) + "\nstatic const Case cases[] = {\n" + listed + "};\n")
        program = self.path("run_cases")
        subprocess.run(["cc", "-std=gnu11", "-O1", "-static", "-I", os.path.join(HERE, "../runtime"),
                        f'-DCASES="{self.path("cases.inc")}"', os.path.join(HERE, "run_cases.c"), *objects,
                        os.path.join(self.build, "libdcc.a"), "-o", program], check=True)
        native = subprocess.run([program, "avx2"], capture_output=True, text=True, errors="replace")
        emulated = emulator("run_emulated", LIMIT, MEMORY, program, "avx512")
        rows = []
        for i, name in enumerate(self.names):
            a, b = ((p.stdout.splitlines()[i:] or [f"no line, exit {p.returncode} {conformance.last_line(p.stderr)}"])[0].rstrip("\r")
                    for p in (native, emulated))
            good = a == b and re.fullmatch("[0-9a-f ]*", a)
            result = "passed" if good else "large" if b == "failed: no memory" else "failed"
            rows.append((name, result, f"avx2 {a}, avx512 in the emulator {b}"))
        return rows


def run_share(o, share):
    """Every o.j-th test from `share` on: rows of (name, result, reason)."""
    warnings.simplefilter("ignore")
    tests = [t for t in conformance.all_tests() if re.search(o.pattern, t.name)]
    if o.seconds:
        random.Random(o.seed).shuffle(tests)
    end = time.time() + o.seconds if o.seconds else float("inf")
    rows = []
    todo = [(test, form) for test in tests[share::o.j] for form in o.form]
    while todo:
        with tempfile.TemporaryDirectory() as folder:
            batch = Batch(o.build, folder)
            while todo and not batch.is_full():
                test, form = todo.pop(0)
                case = conformance.case_of(test)
                put = conformance.FORM_OF[form](case) if conformance.class_of(case) in o.classes else None
                if put is None:
                    continue
                name = f"{form} {case.name}"
                if time.time() >= end:
                    rows.append((name, "left", ""))
                    continue
                if any(conformance.contradicts(*pair) for pair in zip(conformance.ports(put.model.graph), put.inputs)):
                    rows.append((name, "excepted", "a recorded input has another rank than the model states"))
                    continue
                cannot = batch.add(name, put, form)
                if cannot:
                    rows.append((name, *cannot))
            rows += batch.run()
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=os.path.abspath, help="folder with dcc")
    parser.add_argument("pattern", nargs="?", default="", help="only cases whose name matches")
    parser.add_argument("--form", action="append", choices=conformance.FORMS)
    parser.add_argument("--class", dest="classes", action="append", choices=conformance.CLASSES)
    parser.add_argument("-j", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--seconds", type=int, default=0, help="no case is begun after so many; 0: all run")
    parser.add_argument("--seed", type=int, default=1, help="of the order, with --seconds")
    parser.add_argument("-v", action="store_true", help="name what is refused")
    o = parser.parse_intermixed_args()
    o.form, o.classes = o.form or conformance.FORMS, o.classes or ["core"]

    if emulator("have_emulator").returncode:
        print("conformance_emulated: skipped: needs ../shared/avx512/zmmrun and bochs")
        return 77
    with concurrent.futures.ProcessPoolExecutor(o.j) as pool:
        shares = [pool.submit(run_share, o, i) for i in range(o.j)]
        rows = sorted(row for share in shares for row in share.result())
    for name, result, reason in rows:
        if result in ("failed", "large") or (o.v and result not in ("passed", "left")):
            print(f"{result}: {name}: {reason}")
    counts = collections.Counter(result for _, result, _ in rows)
    skipped = len(rows) - counts["passed"] - counts["failed"]
    print(f"avx512 in the emulator, {' '.join(o.classes)}: {counts['refused']} refused, "
          f"{counts['large']} too large for the emulator, {counts['excepted']} excepted, {counts['left']} left")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {skipped} skipped")
    return counts["failed"] > 0


if __name__ == "__main__":
    sys.exit(main())
