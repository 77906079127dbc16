#!/usr/bin/env python3
"""What papers claim of the systems that dcc compiles, as experiments on compiled programs: prints a table.

  python bench/claims.py MODELS [--only 1,2,12] [--size full] [--exporter dynamo] [--seconds 5] [--build build]

Times are ratios of two programs of dcc that take turns on one core, f32, one thread, least times; T is the length, B the batch (1
where nothing is said).  "expected" follows from FLOP or bytes of the full configurations.  Rows 8, 11, 12 and 13 are exact.

MODELS holds folders NAME.SIZE.EXPORTER with a model.onnx, as the zoo's export.py writes them.  A line whose model is missing is
not measured, and names it.  Lengths, batches and pasts that are symbols are set when the programs run; models that hold tables of
one length are exported for it (NAME.SIZE.EXPORTER.T4096).  All of them, about 7 GB:

  zoo() { python export.py MODELS --size full --exporter dynamo "$@"; }
  zoo --only transformer-enc-big,dynconv-enc-taps,dynconv-enc-funfold,dynconv-enc-unfold,dynconv-enc-stack,dynconv-dec
  zoo --only transformer-dec-step,dynconv-dec-step,lightconv-enc-conv,lightconv-enc-h1,lightconv-enc-hd
  zoo --only full-attn,local-attn,aft-simple,aft-conv,bert-base,fnet-base-fft,glu-ffn-glu,mobilenet-v1,mobilenet-v1-full
  zoo --only pruned-fc,pruned-fc-block
  for T in 1024 2048 4096; do zoo --bind T=$T --only aft-full,aft-local; done
  zoo --bind T=4096 --only bigbird-block; zoo --bind T=16384 --only reformer-lsh; zoo --bind T=512 --only fnet-base

Needs numpy, onnx and a C compiler.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile

import numpy as np

import peers

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
import dcc  # noqa: E402

BAKED = {"aft-full", "aft-local", "bigbird-block", "reformer-lsh", "fnet-base"}  # tables or weights are of one length


class NotMeasured(Exception):
    pass


# ---- models that the script makes ---------------------------------------------------------------------------------------


def make_model(nodes, inputs, outputs, tensors):
    from onnx import TensorProto, helper, numpy_helper

    info = lambda ports: [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ports.items()]
    graph = helper.make_graph(nodes, "claims", info(inputs), info(outputs),
                              [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def mixer(groups, taps, heads=None, d=1024):
    """A convolution over the time of [B, T, d]; with heads, channel c has the taps of head c % heads."""
    from onnx import helper

    rng, node = np.random.default_rng(1), helper.make_node
    rows = heads or d
    nodes = [node("Transpose", ["x"], ["xt"], perm=[0, 2, 1]), node("Reshape", ["xt", "split"], ["xh"]),
             node("Conv", ["xh", "w"], ["yh"], group=groups, pads=[taps // 2, taps // 2]),
             node("Reshape", ["yh", "join"], ["yt"]), node("Transpose", ["yt"], ["y"], perm=[0, 2, 1])]
    w = rng.standard_normal((rows, rows // groups, taps)) / math.sqrt(rows // groups * taps)
    return make_model(nodes, {"x": ["B", "T", d]}, {"y": ["B", "T", d]},
                      {"w": w.astype(np.float32), "split": np.array([-1, rows, 0]), "join": np.array([-1, d, 0])})


def weights_of(model):
    from onnx import numpy_helper

    return {w.name: numpy_helper.to_array(w) for w in model.graph.initializer}


def set_weight(model, name, value):
    from onnx import numpy_helper

    for w in model.graph.initializer:
        if w.name == name:
            w.CopyFrom(numpy_helper.from_array(value, name))


def pruned_dense(lab):
    """pruned-fc with all its weights."""
    model, rng = lab.onnx("pruned-fc"), np.random.default_rng(1)
    for name, w in weights_of(model).items():
        if w.ndim == 2:
            spread = w.std()
            set_weight(model, name, np.where(w == 0, rng.standard_normal(w.shape, np.float32) * spread, w))
    return model


def fnet_half(lab):
    """fnet-base with half of the products over time: real parts of the DFT in two dimensions have y[n, k] = y[-n, -k]."""
    from onnx import helper, numpy_helper

    model = lab.onnx("fnet-base", 512)
    graph, weights, nodes, halves = model.graph, weights_of(model), [], set()
    T, d = (dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim[1:])
    for name, value in {"mirror_t": np.arange((T - 1) // 2, 0, -1), "mirror_d": -np.arange(d) % d}.items():
        graph.initializer.append(numpy_helper.from_array(value, name))
    for n in graph.node:
        if n.op_type == "MatMul" and n.input[0] in weights and n.input[0] not in halves:
            set_weight(model, n.input[0], weights[n.input[0]][:T // 2 + 1])
            halves.add(n.input[0])
        nodes.append(n)
        if n.op_type == "Sub" and all(m.input[0] in halves for m in nodes for i in n.input if i in m.output):
            y = n.output[0]
            n.output[0] = y + "_half"
            nodes += [helper.make_node("Gather", [y + "_half", "mirror_t"], [y + "_rows"], axis=1),
                      helper.make_node("Gather", [y + "_rows", "mirror_d"], [y + "_rest"], axis=2),
                      helper.make_node("Concat", [y + "_half", y + "_rest"], [y], axis=1)]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return model


MADE = {"mixer-full-k31": lambda lab: mixer(1, 31), "pruned-dense": pruned_dense, "fnet-base-half": fnet_half}
MADE.update({f"mixer-h{h}-k{k}": lambda lab, h=h, k=k: mixer(h, k, h) for h in (1, 16, 1024) for k in (3, 31)})


# ---- programs -----------------------------------------------------------------------------------------------------------


class Lab:
    """Compiles models, times programs.  A model is written "NAME OPTIONS", with options of dcc."""

    def __init__(self, args, folder):
        self.args, self.folder, self.programs = args, folder, {}

    def path(self, name, T=None):
        """The file of a model; T: of tables that have one length."""
        if name in MADE:
            path = os.path.join(self.folder, f"{name}.onnx")
            if not os.path.exists(path):
                import onnx

                onnx.save(MADE[name](self), path)
            return path
        folder = f"{name}.{self.args.size}.{self.args.exporter}{f'.T{T}' if name in BAKED else ''}"
        path = os.path.join(self.args.models, folder, "model.onnx")
        if not os.path.exists(path):
            raise NotMeasured(f"no {folder}")
        return path

    def onnx(self, name, T=None):
        import onnx

        return onnx.load(self.path(name, T))

    def program(self, model, T=None):
        if (model, T) not in self.programs:
            name, *options = model.split()
            output = os.path.join(self.folder, f"{len(self.programs)}.so")
            self.programs[model, T] = dcc.compile(self.path(name, T), *options, output=output)
        return self.programs[model, T]

    def command(self, model, sizes):
        program = self.program(model, sizes.get("T"))
        dims = [word for s in program.symbols for word in ("-D", f"{s.name}={sizes.get(s.name, 1)}")]
        return [f"{self.args.build}/dcc-run", program.path, "--random", "1", *dims]

    def times(self, *runs):
        """Milliseconds of programs that take turns; a run is a model and its sizes."""
        commands = {(i, model): [*self.command(model, sizes), "--protocol"] for i, (model, sizes) in enumerate(runs)}
        times = peers.take_turns(commands, 1, self.args.seconds)
        for (_, model), t in times.items():
            if not isinstance(t, dict):
                raise NotMeasured(f"{model}: {t}")
        return list(times.values())

    def kinds(self, model, **sizes):
        """Milliseconds by kind of kernel."""
        run = subprocess.run([*self.command(model, sizes), "--profile", "--seconds", str(self.args.seconds)], capture_output=True, text=True)
        table = run.stdout.partition("steps kind\n")[2]
        if not table:
            raise NotMeasured(f"{model}: {run.stderr.strip()}")
        return {words[-1]: float(words[0]) for words in map(str.split, table.splitlines())}


def make_inputs(program, seed=1, **sizes):
    """Random floats, integers 1; dims are symbols of `sizes` (else 1) or sums of them."""
    rng = np.random.default_rng(seed)
    values = {s.name: sizes.get(s.name, 1) for s in program.symbols}
    inputs = {}
    for port in program.inputs:
        shape = [d if isinstance(d, int) else sum(values[word] if word in values else int(word) for word in d.split(" + ")) for d in port.shape]
        inputs[port.name] = rng.standard_normal(shape, np.float32) if port.dtype.kind == "f" else np.ones(shape, port.dtype)
    return inputs


def time_axis(program):
    return program.inputs[0].shape.index("T")


# ---- what is exact; tests/receptive.py calls these -------------------------------------------------------------------------


def bits(array):
    return np.ascontiguousarray(array).view(f"u{array.itemsize}")


def changes(run, inputs, name, axis, token, seed=2):
    """Offsets from `token` of the tokens of the output whose bits change with that token of an input."""
    x = inputs[name].copy()
    at = (slice(None),) * axis + (token,)
    x[at] = np.random.default_rng(seed).standard_normal(x[at].shape, np.float32)
    differ = bits(run(inputs)) != bits(run({**inputs, name: x}))
    return np.flatnonzero(differ.any(axis=tuple(i for i in range(differ.ndim) if i != axis))) - token


def shift_differs(run, inputs, name, axis, steps, reach):
    """How many tokens, of those that see the same wherever the sequence begins, change their bits with its begin; of how many."""
    x = np.moveaxis(inputs[name], axis, 0)
    other = np.concatenate([np.random.default_rng(3).standard_normal((steps, *x.shape[1:]), np.float32), x[:-steps]])
    y, z = (np.moveaxis(run({**inputs, name: v}), axis, 0) for v in (inputs[name], np.moveaxis(other, 0, axis)))
    inner = slice(reach, len(x) - steps - reach)
    differ = bits(y[inner]) != bits(z[steps:][inner])
    return int(differ.any(axis=tuple(range(1, differ.ndim))).sum()), len(differ)


def permuted_error(run, inputs, axes, seed=4):
    """Largest error / largest output when tokens are permuted; axes: of each input, and None: of the output."""
    n = next(inputs[name].shape[axis] for name, axis in axes.items() if name)
    order = np.random.default_rng(seed).permutation(n)
    moved = {name: np.take(value, order, axes[name]) if name in axes else value for name, value in inputs.items()}
    y = np.take(run(inputs), order, axes[None])
    return float(np.abs(run(moved) - y).max() / np.abs(y).max())


# ---- experiments: what is done, what is expected, what measures it ---------------------------------------------------------


def sizes_text(sizes):
    return ", ".join(f"{name} = {n}" for name, n in sizes.items())


def cell(value, times):
    noisy = " noisy" if any(map(peers.is_noisy, times)) else ""
    return f"{value:.2f} ({', '.join(peers.ms(t['least']) for t in times)} ms){noisy}"


def ratio(over, under, expected, **sizes):
    """The time of one model by that of another."""
    def run(lab):
        times = lab.times((over, sizes), (under, sizes))
        return cell(times[0]["least"] / times[1]["least"], times)
    return f"{over} / {under}, {sizes_text(sizes)}", expected, run


def growth(model, expected, T, base=512):
    """Time a token by that of a short sequence."""
    def run(lab):
        times = lab.times((model, {"T": T}), (model, {"T": base}))
        return cell(times[0]["least"] / T / (times[1]["least"] / base), times)
    return f"{model}: time a token, T = {T} / {base}", expected, run


def core_ratio(over, under, expected, **sizes):
    """The same of what mixes tokens, from profiles of both."""
    def core(lab, model):
        return sum(ms for kind, ms in lab.kinds(model, **sizes).items() if kind not in ("linear", "linears", "norm", "pack"))

    def run(lab):
        a, b = core(lab, over), core(lab, under)
        return f"{a / b:.2f} ({peers.ms(a)}, {peers.ms(b)} ms)"
    return f"{over} / {under}, without linears and norms, {sizes_text(sizes)}", expected, run


def product_weights(lab, name, T, output):
    """Elements of the two-dimensional weights of the products that an output depends on."""
    graph = lab.onnx(name, T).graph
    makers, sizes = {o: n for n in graph.node for o in n.output}, {w.name: math.prod(w.dims) for w in graph.initializer if len(w.dims) == 2}
    wanted, seen, found = [graph.output[output].name], set(), set()
    while wanted:
        value = wanted.pop()
        if value in makers and value not in seen:
            wanted += makers[value].input
            found |= {i for i in makers[value].input if i in sizes and makers[value].op_type in ("MatMul", "Gemm")}
        seen.add(value)
    return sum(sizes[name] for name in found)


def fewer_weights(over, under, expected):
    def run(lab):
        return f"{(product_weights(lab, over, 512, 0) - product_weights(lab, under, 512, 0)) / 1e6:.2f} M"
    return f"{over} - {under}: weights of products", expected, run


def macs(lab, name):
    """Multiply-adds of the convolutions, batch 1."""
    from onnx import shape_inference

    graph = shape_inference.infer_shapes(lab.onnx(name)).graph
    sizes = {v.name: math.prod(d.dim_value or 1 for d in v.type.tensor_type.shape.dim) for v in (*graph.value_info, *graph.output)}
    taps = {w.name: math.prod(w.dims[1:]) for w in graph.initializer}
    return sum(sizes[n.output[0]] * taps[n.input[1]] for n in graph.node if n.op_type == "Conv")


def macs_ratio(over, under, expected):
    def run(lab):
        a, b = macs(lab, over), macs(lab, under)
        return f"{a / b:.2f} ({a / 1e6:.1f} M, {b / 1e6:.1f} M)"
    return f"{over} / {under}: multiply-adds of convolutions", expected, run


def weights_size(model, expected, **sizes):
    def run(lab):
        n = lab.program(model).report()["sizes"]["weights_bytes"]
        times = lab.times((model, sizes))
        return f"{n / 4:.0f} ({peers.ms(times[0]['least'])} ms)"
    return f"{model}: f32 in the object's section of weights (time, {sizes_text(sizes)})", expected, run


def memory(model, T=2048):
    def run(lab):
        program = lab.program(model, 2 * T)
        one, two = (program.workspace_size(make_inputs(program, T=n)) for n in (T, 2 * T))
        return f"{two / one:.2f} ({one / 2**20:.1f}, {two / 2**20:.1f} MiB)"
    return f"{model}: workspace at T = {2 * T} / {T}", "<= 2.05", run


def field(model, full, tiny, expected, T, **sizes):
    """full, tiny: how far in front of and behind a token it may be seen, by the size of the model; None: everywhere."""
    def run(lab):
        program = lab.program(model, T)
        found = changes(program, make_inputs(program, T=T, **sizes), program.inputs[0].name, time_axis(program), T // 2)
        allowed = full if lab.args.size == "full" else tiny
        if not allowed:
            return f"{len(found)} of {T} change"
        outside = int(((found < -allowed[0]) | (found > allowed[1])).sum())
        return f"{found.min():+d} to {found.max():+d}, " + (f"{outside} outside" if outside else "bit-identical outside")
    return f"{model}: outputs that change with token {T // 2} of {T}", expected, run


def shift(model, full, tiny, T=256, steps=5):
    def run(lab):
        program = lab.program(model, T)
        reach = full if lab.args.size == "full" else tiny
        differ, n = shift_differs(program, make_inputs(program, T=T), program.inputs[0].name, time_axis(program), steps, reach)
        return f"{differ} of {n} differ" if differ else f"{n} tokens bit-identical"
    return f"{model}: inner tokens, the sequence shifted by {steps}, T = {T}", "equal", run


def permutation(model, T=512):
    def run(lab):
        program = lab.program(model, T)
        axes = {program.inputs[0].name: time_axis(program), None: time_axis(program)}
        return f"error {permuted_error(program, make_inputs(program, T=T), axes):.1e}"
    return f"{model}: tokens permuted, T = {T}", "<= 2e-5", run


# ---- the claims -----------------------------------------------------------------------------------------------------------

STATE = "--state=auto,cap=1032"

CLAIMS = {
    1: ("dynamic convolution is cheaper than self-attention",
        [ratio("transformer-enc-big", "dynconv-enc-taps", f"{e}; of equal depth {e * 7 / 6:.2f}", T=T)
         for T, e in ((128, 0.93), (512, 0.98), (1024, 1.06), (2048, 1.21), (4096, 1.51))]),
    2: ("decoding is 20 % faster",
        [ratio(f"transformer-dec-step {STATE}", f"dynconv-dec-step {STATE}", e, P=P, S=30, B=B)
         for B, P, e in ((1, 30, "1.05"), (1, 256, "1.09"), (1, 1024, "1.20"), (32, 30, "1.08 (bytes)"), (32, 256, "1.95 (bytes)"),
                         (32, 1024, "4.9 (bytes)"))]),
    3: ("lightweight convolution is linear in T",
        [growth("lightconv-enc-conv", "1.00, within 5 %", T) for T in (1024, 2048, 4096, 8192)] +
        [growth("full-attn", f"{(6 * 512 + T) / (6 * 512 + 512):.2f}", T) for T in (1024, 2048, 4096, 8192)]),
    4: ("AFT is linear (simple, local, conv), full is not",
        [ratio("full-attn", f"aft-{form}", e, T=T)
         for form, es in (("simple", ("1.33", "1.67", "2.33")), ("local", ("1.31", "1.63", "2.29")), ("conv", ("report",) * 3),
                          ("full", ("1.0",) * 3)) for T, e in zip((1024, 2048, 4096), es)]),
    5: ("sparse attention reaches longer inputs",
        [ratio("full-attn", "bigbird-block", "2.0", T=4096), core_ratio("full-attn", "bigbird-block", "up to 8", T=4096),
         ratio("full-attn", "local-attn", "2.24", T=4096), core_ratio("full-attn", "local-attn", "32", T=4096),
         ratio("full-attn", "reformer-lsh", "6.1 before sorting", T=16384)]),
    6: ("FNet is faster and smaller than BERT",
        [ratio("bert-base", "fnet-base-fft", "1.66", T=512), ratio("bert-base", "fnet-base-half", "1.38", T=512),
         ratio("bert-base", "fnet-base", "1.18", T=512), fewer_weights("bert-base", "fnet-base-fft", "28.3 M")]),
    7: ("depthwise-separable convolutions save",
        [macs_ratio("mobilenet-v1-full", "mobilenet-v1", "8.57"), ratio("mobilenet-v1-full", "mobilenet-v1", "less than 8.57", B=1)]),
    8: ("parameters: full, depthwise, shared",
        [weights_size("mixer-full-k31", "32.5 M", T=128), weights_size("mixer-h1024-k31", "31.7 K", T=128),
         weights_size("mixer-h16-k31", "496", T=128)]),
    9: ("sharing weights over channels costs nothing",
        [ratio("lightconv-enc-hd", "lightconv-enc-conv", "near 1.0", T=128), ratio("lightconv-enc-h1", "lightconv-enc-conv", "near 1.0", T=128),
         ratio("mixer-h1024-k31", "mixer-h16-k31", "near 1.0", T=4096), ratio("mixer-h1-k31", "mixer-h16-k31", "near 1.0", T=4096),
         ratio("mixer-h16-k31", "mixer-h16-k3", "near 1.0", T=4096)]),
    10: ("fusion pays",
         [ratio("glu-ffn-glu --no-fuse=glu", "glu-ffn-glu", "report", T=128)] +
         [ratio(f"dynconv-enc-{form} --no-fuse=winconv", f"dynconv-enc-{form}", "report", T=128) for form in ("funfold", "unfold", "stack")]),
    11: ("memory is linear in T",
         [memory(name) for name in ("full-attn", "local-attn", "aft-simple", "aft-local", "aft-conv", "aft-full", "lightconv-enc-conv",
                                    "dynconv-enc-taps")]),
    12: ("receptive field",
         [field("dynconv-enc-taps", (71, 71), (11, 11), "-71 to +71", T=300), field("dynconv-dec", (0, 112), (0, 11), "+0 to +112", T=300, S=30),
          field("local-attn", (384, 384), (4, 4), "-384 to +384", T=1024), field("full-attn", None, None, "all", T=256),
          field("fnet-base-fft", None, None, "all", T=256)]),
    13: ("equivariance",
         [shift("lightconv-enc-conv", 71, 11), shift("dynconv-enc-taps", 71, 11), permutation("full-attn")]),
    14: ("pruning speeds inference",
         [ratio("pruned-dense -D B=1", "pruned-fc -D B=1", "report", B=1), ratio("pruned-dense", "pruned-fc-block", "report", B=1)]),
}


# ---- the table ------------------------------------------------------------------------------------------------------------


def measured(run, lab):
    try:
        return run(lab)
    except NotMeasured as e:
        return f"not measured: {e}"
    except dcc.Error as e:
        return f"not measured: {str(e).splitlines()[0]}"


def numbers(text):
    chosen = [int(word) if word.isdigit() else 0 for word in text.split(",")]
    if not set(chosen) <= CLAIMS.keys():
        raise argparse.ArgumentTypeError(f"'{text}': expected numbers of 1 to {max(CLAIMS)}")
    return chosen


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", metavar="MODELS")
    parser.add_argument("--only", type=numbers, default=list(CLAIMS), metavar="N,N,...")
    parser.add_argument("--size", default="full")
    parser.add_argument("--exporter", default="dynamo")
    parser.add_argument("--seconds", type=float, default=5, help="of each program")
    parser.add_argument("--build", default="build")
    args = parser.parse_args()
    if not os.path.isdir(args.models):
        parser.error(f"{args.models}: no folder")
    os.environ["DCC"] = os.path.join(os.path.abspath(args.build), "dcc")
    facts = peers.machine(args.build)
    print(f"{peers.machine_text(facts)}; {args.size} models; commit {facts['commit']}, {facts['date']}\n")
    print("| # | claim | experiment | expected | measured |\n|---|---|---|---|---|")
    for number in args.only:
        claim, lines = CLAIMS[number]
        with tempfile.TemporaryDirectory() as folder:
            lab = Lab(args, folder)
            for experiment, expected, run in lines:
                print(f"| {number} | {claim} | {experiment} | {expected} | {measured(run, lab)} |", flush=True)


if __name__ == "__main__":
    main()
