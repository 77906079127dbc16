"""What must hold of the data of every page that dcc --report=FILE.html writes, and what some of them say.  Prints what does not hold.

usage: page_data.py FILE.json...      files that are no such data are passed over
"""
import json
import os
import re
import sys


def check(d, holds):
    strings = d["strings"]

    def name(i):
        assert -1 <= i < len(strings), i
        return strings[i] if i >= 0 else None

    hidden = re.compile("[\x00-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069\U000e0001]")
    holds(max(map(len, strings)) < 4000, "a string is too long")
    holds(not any(hidden.search(s) for s in strings), "a string that drives a terminal")
    holds(not hidden.search(d["ir"].replace("\n", "")), "IR text that drives a terminal")
    for i, row in enumerate(d["graph"]):
        holds(len(row) in (4, 6) and -1 <= row[2] < i, f"row {i} of the graph: {row}")
        holds(row[2] < 0 or len(d["graph"][row[2]]) == 4, f"row {i} is in no scope: {row}")
        if len(row) == 6:
            holds(all(0 <= source < i and len(d["graph"][source]) == 6 for source in row[5]), f"operands of row {i}: {row}")
            name(row[3]), name(row[4])
        name(row[1])
    for i, (onnx, op, opset, sources, layers) in enumerate(d["onnx"]):
        holds(name(onnx) and opset >= 0 and all(s != i for s in sources), f"ONNX node {i}")
        name(op), name(layers)
    for source, to in d["back"]:
        holds(d["graph"][to][0] == "carried" and len(d["graph"][source]) == 6 and source != to, f"from {source} back to {to}")
    kernels = {name(k[0]) for k in d["kernels"]}
    for program in d["programs"]:
        for i, (kernel, *work) in enumerate(program["steps"]):
            flop, moved, nodes = work or d["programs"][0]["steps"][i][1:]
            holds(name(kernel), "a step without a kernel")
            holds(d["more_kernels"] or name(kernel) in kernels, "a step's kernel has no text")
            name(flop), name(moved), [name(n) for n in nodes]
        for slot in program["slots"]:
            ends = sorted((first, last) for _, first, last in slot[2])
            holds(all(first <= last for first, last in ends) and all(a[1] < b[0] for a, b in zip(ends, ends[1:])), f"slot {slot}")
        holds(all(name(kernel) and size > 0 for kernel, size in program["code"]), "a kernel without code")
    code = sum(size for program in d["programs"] for _, size in program["code"])
    holds((code > 0) == (d["code_bytes"] is not None) and code <= (d["code_bytes"] or 0), f"kernels have {code} bytes of the code's {d['code_bytes']}")
    holds([w[3] for w in d["weights"]] == sorted((w[3] for w in d["weights"]), reverse=True), "weights are not in order")
    return name


def say(d, name, holds, which):
    targets = [program["target"] for program in d["programs"]]
    steps = [[name(n) for n in step[3]] for program in d["programs"][:1] for step in program["steps"]]
    fused = [(name(p), name(why), [name(n) for n in nodes]) for p, why, nodes in d["fusions"]]
    if which == "d":
        holds(targets == ["avx2"] and d["weight_bytes"] > 0 and d["code_bytes"] > 0, "head")
        holds(any(nodes == ["/0/conv/Add_3"] for nodes in steps), f"the step of the dynamic convolution: {steps}")
        holds(("winconv", None, ["/0/conv/Add_3"]) in fused, f"its fusion: {fused}")
        holds("threads" in name(d["workspace"]) and len(d["onnx"]) > len(d["graph"]), "workspace, nodes")
        holds(re.search(r"^  %\S+: .* = winconv ", d["ir"], re.M) and d["profile"] is None, "IR text")
        holds({"batch", "seq"} <= {name(s[0]) for s in d["symbols"]}, "symbols")
    if which == "early":
        holds(not targets and d["stage"] == "idioms" and fused, "a page of an early stage")
    if which == "p":
        p = d["profile"]
        holds(p["threads"] == 2 and p["symbols"] == {"N": 5} and p["steps"] == [[0.5, 1, 20, 176]] and p["gflop_per_s"] == 90, f"profile: {p}")
        holds(steps == [["/a/add", "/a/exp"]], f"steps: {steps}")
    if which == "huge":
        holds(len(d["onnx"]) == 100000 and len(d["graph"]) > 100000 and not d["graph_cut"] and not d["onnx_cut"] and d["ir_cut"], "100,000 nodes")
    if which == "evil":
        holds(any('a"b\\</script><!--&lt;\\x1b[2J\\u202e' in s for s in d["strings"]), "an evil name")
    if which == "nested":
        holds("loop" in {row[0] for row in d["graph"]}, "a loop's scope")
        ref = {i: name(row[3]) for i, row in enumerate(d["graph"])}
        holds([(ref[source], ref[to]) for source, to in d["back"]] == [("%1", "%c"), ("%2", "%a")], f"what goes on to the next iteration: {d['back']}")
    if which == "swap":
        ref = {i: name(row[3]) for i, row in enumerate(d["graph"])}
        holds([(ref[source], ref[to]) for source, to in d["back"]] == [("%2", "%a"), ("%s", "%b")], f"what goes on to the next iteration: {d['back']}")
    if which == "targets":
        by = {program["target"]: program for program in d["programs"]}
        holds(targets == ["avx512", "avx2"], f"targets: {targets}")
        names = {target: {name(step[0]) for step in program["steps"]} for target, program in by.items()}
        holds(any(n.endswith(".avx512") for n in names["avx512"]) and not any(n.endswith(".avx512") for n in names["avx2"]), f"kernels: {names}")
        holds(any(n.endswith(".avx2") for n in names["avx2"]), f"kernels: {names}")
        holds(all(any(name(k).endswith(f".{t}") for k, _ in by[t]["code"]) for t in by), "code of both targets")
        holds(d["profile"]["target"] == "avx2", "the profile tells its target")


def main(files):
    wrong = []
    for file in files:
        with open(file, encoding="utf-8") as f:
            try:
                d = json.load(f)
            except ValueError as error:
                d = {} if os.path.basename(file) in ("changed.json", "prof.json") else wrong.append(f"{file}: {error}") or {}
        if "graph" not in d:
            continue

        def holds(condition, what):
            if not condition:
                wrong.append(f"{file}: {what}"[:300])

        say(d, check(d, holds), holds, os.path.basename(file)[:-5])
    print("\n".join(wrong[:20]), end="")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
