"""`python -m dcc try MODEL.onnx`, or dcc-try: a first look at what dcc makes of a model.

Compiles it, runs it on made-up inputs or those of test_data_set_0 beside it, compares with onnxruntime, times both, and says how to
go on in C.  What dcc does not support it lists by node, with what can be done.
"""

import argparse
import collections
import itertools
import mmap
import os
import pickle
import re
import shlex
import shutil
import signal
import sys
import tempfile
import textwrap
import time
import traceback
import warnings

import numpy as np

from . import inputs as made_up
from . import turns
from .compiler import compile as compile_model
from .compiler import find_compiler
from .errors import CompileError, Error, safe
from .model import spelled

TOLERANCE = 2e-5  # of the largest output, as dcc-run --check has it
QUANTISED = 0.02  # where a rounding that differs moves a value by a step of the quantisation
HALF_UNITS = 8  # of the widest half float inside: dcc rounds each result to it as the model says, onnxruntime not all
LEAST = 2 * 2.0**-23  # errors in f32 that count for nothing: onnxruntime's Sigmoid and the like have them near 0
REFUSED = 1  # exit status of dcc for models that it does not take
SHOWN = 10  # of a list
BUG = "a bug of dcc's, please report it"

# Options that dcc gets, with their values; help.
FOR_DCC = (
    ("-D", "SYM=N, SYM=LO..HI", "fixes or bounds a symbolic dim; states the length of a sequence"),
    ("--shape", "INPUT=[N,T,4]", "the shape of an input, where the model states none or another"),
    ("--inputs", "A,B", "cuts the model: these values become inputs"),
    ("--outputs", "A,B", "these values, of any node, are the outputs"),
    ("--custom-op", "DOMAIN:OP=FUNCTION(...)", "an operator that a C function computes; FILE... hold it"),
    ("--state", "OUT=IN,cap=N", "input and output share one buffer"),
    ("--random-seed", "NAME", "an input that changes the random numbers of the model"),
    ("--no-fuse", "NAME,...", "leaves out fusions"),
    ("--name", "NAME", "prefix of the C names"),
    ("-march", "NAME,...", "targets"),
    ("-l", "NAME", "a library to link"),
    ("-L", "FOLDER", "where libraries are"),
)


# ---- text --------------------------------------------------------------------------------------------------------------


def shown(name, most=60):
    """A name out of a model, or a message with such names, cut."""
    text = safe(name)
    return text if len(text) <= most else f"{text[:most * 2 // 3]}...{text[len(text) - most // 3:]}"


def some(items, most=SHOWN, separator=", "):
    items = list(items)
    more = len(items) - most
    return separator.join(items if more <= 0 else [*items[:most], f"{more} more"])


def say(label, text):
    width = shutil.get_terminal_size((110, 0)).columns
    print(textwrap.fill(text, max(40, width), initial_indent=f"{label:<10} ", subsequent_indent=" " * 11,
                        break_long_words=False, break_on_hyphens=False), flush=True)


def size_text(n):
    for unit in ("bytes", "kB", "MB", "GB"):
        if n < 1000 or unit == "GB":
            return f"{n:.0f} {unit}" if unit == "bytes" or n >= 99.95 else f"{n:.3g} {unit}"
        n /= 1000


def type_text(array):
    return f"{array.dtype}[{', '.join(map(str, array.shape))}]"


# ---- options -----------------------------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    def error(self, message):
        print(f"{self.prog}: {safe(message)} ({self.prog} --help lists the options)", file=sys.stderr)
        sys.exit(1)


def whole(text):
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 1024, got '{text}'")
    return int(text)


def read_options(arguments):
    parser = Parser("dcc-try", "dcc-try [options] MODEL [FILE...]", allow_abbrev=False, description=__doc__,
                    formatter_class=argparse.RawDescriptionHelpFormatter,
                    epilog="Exit status: 0, or 1 where an output is wrong or dcc refuses the model.")
    parser.add_argument("model", metavar="MODEL", nargs="?", help="an .onnx or .ir file")
    parser.add_argument("files", metavar="FILE", nargs="*", help="objects and libraries with custom operators")
    parser.add_argument("--input", metavar="NAME=FILE.npy", action="append", default=[], help="what an input holds")
    parser.add_argument("--seed", type=int, default=0, help="of made-up inputs; default: 0")
    parser.add_argument("--threads", type=whole, metavar="N", default=len(os.sched_getaffinity(0)),
                        help="timed beside one thread; default: as many as there are cores")
    parser.add_argument("--seconds", type=float, metavar="S", default=2,
                        help="of each engine and number of threads; default: 2; 0: not timed")
    parser.add_argument("--tol", type=float, metavar="T",
                        help="largest error / largest output; default: 2e-5, of narrow types two units, of half floats inside eight, of quantised models 0.02")
    passed = parser.add_argument_group("as for dcc")
    for name, value, words in FOR_DCC:
        passed.add_argument(name, metavar=value, action="append", default=[], help=words)
    passed.add_argument("--broadcast-symbols", action="store_true", help="sizes of different names may broadcast")
    options = parser.parse_args(arguments)
    if options.model is None:
        parser.error("no model")
    paths = [options.model, *options.files]
    options.model, *options.files = (os.path.join(".", path) if path.startswith("-") else path for path in paths)
    options.for_dcc = ["--broadcast-symbols"] * options.broadcast_symbols
    for name, _, _ in FOR_DCC:
        for value in getattr(options, name.lstrip("-").replace("-", "_")):
            options.for_dcc.append(f"{name}={value}" if len(name) > 2 else name + value)
    return options


# ---- compiling ---------------------------------------------------------------------------------------------------------


def compile_for_trial(options, folder):
    """The model and the seconds that it took; warnings are printed."""
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = compile_model(options.model, *options.for_dcc, *options.files, output=os.path.join(folder, "model.so"))
    seconds = time.perf_counter() - start
    for line in (line for warning in caught for line in str(warning.message).split("\n") if line.strip()):
        say("warning", shown(re.sub(r"^.*?: warning: ", "", line), 300))
    return model, seconds


# ---- a model that is refused -------------------------------------------------------------------------------------------


def refuse(error, options):
    """What is missing, by node, and what can be done."""
    if error.status != REFUSED:
        say("refused", f"{shown(str(error), 500)}: {BUG}")
        return
    say("refused", f"{len(error.problems)} problem{'s' * (len(error.problems) != 1)} in {shown(options.model)}:")
    for problem in error.problems[:2 * SHOWN]:
        place = "" if problem.node is None else f"node '{shown(problem.node)}' ({shown(problem.op or '')}): "
        say("", f"- {place}{shown(problem.text, 400)}")
    if len(error.problems) > 2 * SHOWN:
        say("", f"- and {len(error.problems) - 2 * SHOWN} more (dcc --check lists all)")
    hints = advice(error.problems, options)
    for i, hint in enumerate(hints):
        say("to do" if i == 0 else "", hint)


def advice(problems, options):
    texts = " ".join(problem.text for problem in problems)
    lost = sorted(set(re.findall(r"external data '([^']*)': No such file", texts)))
    if lost:
        return [f"the model's weights are files of their own: {some(map(shown, lost), 4)} must lie where {shown(options.model)} lies"]
    hints = []
    missing = sorted({(domain or "ai.onnx", op) for op, domain in re.findall(
        r"operator '([^']*)'(?: of domain '([^']*)')? is not supported", texts)})
    if missing and "STRING" not in texts:
        ops = some([f"'--custom-op={shown(domain)}:{shown(op)}=FUNCTION'" for domain, op in missing], 4)
        hints.append(f"{ops} and the object file with FUNCTION: a C function computes it (dcc_custom_op in dcc.h)")
    unbounded = sorted(set(re.findall(r"-D (\S+)=LO\.\.HI", texts)))
    if unbounded:
        hints.append(f"{some(['-D ' + shown(s) + '=0..N' for s in unbounded], 4)} states how large that can become")
    for symbol in sorted(set(re.findall(r"-D (\S+)=N says", texts))):
        hints.append(f"-D {shown(symbol)}=N says how many elements the sequence has")
    words = re.findall(r"[A-Za-z_]\w*\(?", " ".join(re.findall(r"\b[a-z]+\d*\[([^]]*)\]", texts)))
    symbols = list(dict.fromkeys(word for word in words if not word.endswith("(")))
    if symbols:
        hints.append(f"{some([f'-D {shown(s)}=N' for s in symbols], 4, ' ')}: sizes that are known may decide it")
    nodes = [problem.node for problem in problems if problem.node]
    before, behind = values_around(options.model, set(nodes), {op for _, op in missing})
    if before:
        hints.append(f"--outputs={shlex.quote(some(map(shown, before), 4, ','))} ends the model in front of what is missing")
    if behind:
        hints.append(f"--inputs={shlex.quote(some(map(shown, behind), 4, ','))} begins it behind that")
    if nodes and not before and not behind:
        hints.append("--outputs=A,B ends the model in front of what is missing, --inputs=A,B begins it behind that")
    if not hints and "not supported" in texts:
        hints.append("-D SYM=N or --shape INPUT=[...] where sizes are open, --outputs=A,B and --inputs=A,B for a part of the model")
    return hints


def values_around(path, nodes, ops):
    """Of these nodes and all that have these operators, the values that others compute for them, and those that others read."""
    try:
        import onnx

        graph = onnx.load(path, load_external_data=False).graph
    except Exception:  # without the package, or a file that it does not read, the advice is general
        return [], []
    is_missing = [safe(node.op_type) in ops or safe(node.name or (node.output or [""])[0]) in nodes for node in graph.node]
    missing = [node for node, yes in zip(graph.node, is_missing) if yes]
    made = {name for node in graph.node for name in node.output}
    outputs = {name for node in missing for name in node.output}
    read = {name for node, yes in zip(graph.node, is_missing) if not yes for name in node.input}
    before = [name for node in missing for name in node.input if name and name in made and name not in outputs]
    behind = [name for node in missing for name in node.output if name in read]
    return list(dict.fromkeys(before)), list(dict.fromkeys(behind))


# ---- inputs ------------------------------------------------------------------------------------------------------------


def given_inputs(options, model):
    """{name: array} of --input."""
    given, names = {}, {port.name for port in model.inputs}
    for text in options.input:
        name, _, path = text.partition("=")
        name = name if name in names else spelled(name)
        if name not in names or not path:
            raise Error(f"--input {text}: expected NAME=FILE.npy with a name of {', '.join(names) or 'no input'}")
        try:
            given[name] = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise Error(f"--input {text}: {getattr(error, 'strerror', None) or error}") from None
        if not isinstance(given[name], np.ndarray):
            raise Error(f"--input {text}: expected one array, an .npy file")
    return given


def data_set(options, model):
    """Inputs and outputs of test_data_set_0 beside the model, by name; empty where there is none that fits."""
    folder = os.path.join(os.path.dirname(options.model), "test_data_set_0")
    if options.input or not os.path.isdir(folder):
        return {}, {}
    try:
        return (match(turns.read_tensors(folder, "input"), model.inputs), match(turns.read_tensors(folder, "output"), model.outputs))
    except ImportError:
        say("note", "test_data_set_0 is left out: reading it needs the package onnx")
    except Exception as error:  # protobuf's own, of files that hold no tensor
        say("note", f"test_data_set_0 is left out: {shown(str(error), 200)}")
    return {}, {}


def match(tensors, ports):
    """By name, then by order, as dcc-run does."""
    if len(tensors) != len(ports):
        raise Error(f"it has {len(tensors)} tensors for {len(ports)} ports")
    names = {spelled(port.name) for port in ports}
    values = {spelled(name): array for name, array in tensors if spelled(name) in names}
    others = iter([array for name, array in tensors if spelled(name) not in names])
    return {port.name: values[spelled(port.name)] if spelled(port.name) in values else next(others) for port in ports}


def say_inputs(inputs, given_from):
    words = [f"{shown(name)}: {type_text(array)} {inputs.made.get(name, given_from)}" for name, array in inputs.arrays.items()]
    say("inputs", some(words, 6, "; ") or "none")
    if inputs.made and inputs.sizes:
        sizes = some([f"{shown(name)} = {n}" for name, n in inputs.sizes.items()])
        say("", f"made up for {sizes}; -D SYM=N and --input NAME=FILE.npy choose")


# ---- right or wrong ----------------------------------------------------------------------------------------------------


def unit_of(dtype):
    """The distance of 1 to the next number."""
    if dtype.kind == "f":
        return float(np.finfo(dtype).eps)
    import ml_dtypes

    return float(ml_dtypes.finfo(dtype).eps)


def difference(got, expected, tolerance):
    """(error by the largest output, error, what is wrong or None).  As for dcc-run --check integers are equal, NaN meets NaN, and
    infinities are equal."""
    if got.dtype != expected.dtype or got.shape != expected.shape:
        text = f"{type_text(got)}, expected {type_text(expected)}"
        if got.dtype == expected.dtype and got.size == expected.size:
            differ = difference(got.reshape(expected.shape), expected, tolerance)[2]
            text += " (other elements, too)" if differ else " (with equal elements)"
        return np.inf, np.inf, text
    if "float" not in got.dtype.name:
        differ = got != expected
        largest = error = np.count_nonzero(differ)
        worst = int(np.argmax(differ)) if error else 0
        text = f"{error} of {got.size} differ" if error else None
    else:
        narrow = got.dtype.itemsize < 4
        a, b = got.astype(np.float64), expected.astype(np.float64)
        with np.errstate(invalid="ignore"):
            apart = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, np.abs(a - b))
        apart = np.where(np.isnan(apart), np.inf, apart)
        scale = np.max(np.abs(b), initial=0, where=np.isfinite(b))
        largest, worst = float(np.max(apart, initial=0)), int(np.argmax(apart)) if apart.size else 0
        error = largest / scale if scale > 0 else largest
        allowed = tolerance if tolerance is not None else 2 * unit_of(got.dtype) if narrow else TOLERANCE
        right = error <= allowed or (tolerance is None and largest <= LEAST)
        text = None if right else f"error {error:.3g} of the largest output, allowed {allowed:.3g}"
    if text and got.size:
        at = ", ".join(map(str, np.unravel_index(worst, got.shape)))
        text += f", worst at [{at}]: got {got.flat[worst]}, expected {expected.flat[worst]}"
    return error, largest, text


def is_quantised(path):
    """Does the file round activations?  Looks for the operators' names."""
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return any(data.find(word) >= 0 for word in (b"QuantizeLinear", b"QLinear", b"DynamicQuantize"))
    except (OSError, ValueError):
        return False


def half_error(path):
    """What half floats that the model computes allow, as its casts tell; 0: there are none, or onnx is not there to tell."""
    units = {"FLOAT16": 2.0**-10, "BFLOAT16": 2.0**-7}
    try:
        import onnx

        def types(graph):
            for node in graph.node:
                for attribute in node.attribute:
                    if attribute.name in ("to", "dtype"):
                        yield attribute.i
                    for inner in [attribute.g, *attribute.graphs]:
                        yield from types(inner)

        present = set(types(onnx.load(path, load_external_data=False).graph))
        return HALF_UNITS * max([0, *(unit for name, unit in units.items() if onnx.TensorProto.DataType.Value(name) in present)])
    except Exception:  # no onnx, or no model
        return 0


def judge(outputs, expected, options):
    """Whether the outputs are right, and how much they differ; both by spelled names."""
    right, text = judge_within(outputs, expected, options.tol)
    if right or options.tol is not None:
        return right, text
    half = half_error(options.model)
    for allowed, why in ((half, "computes in half floats"), (QUANTISED if is_quantised(options.model) else 0, "is quantised")):
        within, looser = judge_within(outputs, expected, allowed) if allowed else (False, None)
        if within:
            return True, f"{looser}; the model {why}, allowed is {allowed:.2g}"
    return right, text


def judge_within(outputs, expected, tolerance):
    wrong, worst, integers, nan = [], (0.0, 0.0), 0, 0
    for name, value in expected.items():
        *error, text = difference(outputs[name], value, tolerance)
        if text:
            wrong.append(f"output '{shown(name)}' {text}")
        if "float" in value.dtype.name:
            worst = max(worst, tuple(error))
            nan += int(np.count_nonzero(np.isnan(value.astype(np.float64))))
        else:
            integers += 1
    if wrong:
        return False, some(wrong, 4, "; ")
    small = f" ({worst[1]:.2g} in all)" if worst[0] > TOLERANCE else ""
    parts = [f"largest error {worst[0]:.2g} of the largest output{small}"] * (integers < len(expected))
    parts += [f"{integers} integer output{'s' * (integers > 1)} equal"] * (integers > 0)
    parts += [f"{nan} elements are NaN in both"] * (nan > 0)
    return True, ", ".join(parts) or "no outputs"


def say_verdict(right, text, source):
    say("right" if right else "WRONG", f"{text}; beside {source}")
    return right


def first_line(error):
    return shown(str(error).strip().split("\n")[0] or type(error).__name__, 240)


def cut(options, folder):
    """The path of what onnxruntime is to run: the file, or with --inputs and --outputs that part of it."""
    if not options.inputs and not options.outputs:
        return options.model
    import onnx

    graph = onnx.load(options.model, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    names = [[name for text in texts for name in text.split(",")] for texts in (options.inputs, options.outputs)]
    names[0] += [info.name for info in graph.input if info.name not in weights and info.name not in names[0]]
    names[1] = names[1] or [info.name for info in graph.output]
    path = os.path.join(folder, "cut.onnx")
    onnx.utils.extract_model(options.model, path, *names)
    return path


def open_onnxruntime(path, inputs):
    """A function that gives outputs by spelled names."""
    session = turns.onnxruntime_session(path, 0)
    feeds = turns.onnxruntime_feeds(session, list(inputs.arrays.items()))

    def run():
        outputs, declared = {}, {spelled(port.name) for port in session.get_outputs()}
        for port, value in zip(session.get_outputs(), session.run(None, feeds)):
            name = listed = spelled(port.name)
            for i in itertools.count(2):  # a value that is listed twice: as dcc calls it
                if name not in outputs and (name == listed or name not in declared):
                    break
                name = f"{listed}_{i}"
            outputs.update({f"{name}.{i}": v for i, v in enumerate(value)} if isinstance(value, list) else {name: value})
        return {name: np.asarray(value) for name, value in outputs.items() if value is not None}

    return run


def run_onnxruntime(path, inputs, folder):
    """Its outputs, from a process of its own: there are models that it crashes with."""
    place = os.path.join(folder, "expected.pickle")
    child = os.fork()
    if not child:
        status = 1
        try:
            try:
                result = open_onnxruntime(path, inputs)()
            except Exception as error:
                result = first_line(error)
            with open(place, "wb") as file:
                pickle.dump(result, file)
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        raise Error(f"it ends with {signal.Signals(-status).name}" if status < 0 else "its outputs cannot be stored")
    with open(place, "rb") as file:
        result = pickle.load(file)
    os.remove(place)
    if isinstance(result, str):
        raise Error(result)
    return result


def compare_with_onnxruntime(outputs, inputs, options, folder):
    """(right, path that onnxruntime can run or None)"""
    try:
        import onnxruntime
    except ImportError:
        say("unproven", "onnxruntime is not installed (pip install onnxruntime)")
        return True, None
    source = f"onnxruntime {onnxruntime.__version__}"
    if options.model.endswith(".ir"):
        say("unproven", "onnxruntime does not read IR")
        return True, None
    try:
        path = cut(options, folder)
        expected = run_onnxruntime(path, inputs, folder)
        if set(expected) != set(outputs):
            say("unproven", f"{source} gives other outputs: {some(map(shown, expected), 4)}")
            return True, path
        right, text = judge(outputs, expected, options)
        ones = [f"-D {shown(name)}=1" for name, n in inputs.sizes.items() if n == 1]
        if "with equal elements" in text and ones:
            text += f"; {' '.join(ones)} tells dcc that dims are 1"
        if not right and not judge(run_onnxruntime(path, inputs, folder), expected, options)[0]:
            say("unproven", f"{source} itself gives other values in a second run")
            return True, path
    except Exception as error:  # it has a class of its own for each status
        say("unproven", f"{source} fails: {first_line(error)}")
        return True, None
    return say_verdict(right, text, source), path


# ---- times and sizes ---------------------------------------------------------------------------------------------------


def say_times(model, path, inputs, options, folder):
    """One line for each number of threads; path: what onnxruntime is to run, or None."""
    file = os.path.join(folder, "inputs.npz")
    turns.save_inputs(file, list(inputs.arrays.items()))
    for threads in sorted({1, options.threads}):
        commands = {"dcc": turns.command_of("dcc", model.path, file, threads)}
        if path:
            commands["onnxruntime"] = turns.command_of("onnxruntime", os.path.abspath(path), file, threads)
        times = turns.take_turns(commands, threads, options.seconds)
        say(f"{threads} thread{'s' * (threads > 1)}", times_text(times))


def times_text(times):
    least = {name: t["least"] for name, t in times.items() if isinstance(t, dict)}
    parts = [f"{name} {turns.ms(least[name])} ms" if name in least else f"{name}: {shown(times[name], 200)}" for name in times]
    text = ", ".join(parts)
    if len(least) == 2:
        slow, fast = sorted(least, key=least.get, reverse=True)
        text += f": {slow} takes {least[slow] / least[fast]:.2f} times as long"
    if turns.is_noisy(times["dcc"]):
        text += f" (noisy; medians: {', '.join(turns.ms(times[name]['median']) for name in least)})"
    return text


def say_sizes(model, inputs, options, seconds):
    sizes = model.report()["sizes"]
    one, most = (size_text(model.workspace_size(inputs.arrays, threads=n)) for n in (1, options.threads))
    workspace = one if one == most else f"{one}, {most} for {options.threads} threads"
    code = f"code {size_text(sizes['code_bytes'])}, " if sizes["code_bytes"] else ""
    say("sizes", f"shared object {size_text(os.path.getsize(model.path))}: {code}weights {size_text(sizes['weights_bytes'])}; "
                 f"workspace {workspace}")
    say("compiled", f"in {seconds:.2f} s for {' and '.join(model.targets)}")


def say_fusions(report):
    matched = collections.Counter(item["pattern"] for item in report["fused"])
    say("fused", some(f"{n} {pattern}" for pattern, n in matched.most_common()) or "nothing")
    reasons = collections.OrderedDict()
    for item in report["missed"]:
        reasons.setdefault((item["pattern"], item["node"]), []).append(item["why"])
    missed = collections.OrderedDict()
    for (pattern, node), why in reasons.items():
        missed.setdefault((pattern, "; ".join(why)), []).append(node)
    for i, ((pattern, why), nodes) in enumerate(list(missed.items())[:3]):
        more = f" and {len(nodes) - 1} more" if len(nodes) > 1 else ""
        say("" if i else "not fused", f"{pattern} at '{shown(nodes[0])}'{more}: {shown(why, 300)}")
    if len(missed) > 3:
        say("", f"and for {len(missed) - 3} other reasons (dcc --report=- lists all)")


# ---- how to go on ------------------------------------------------------------------------------------------------------


def c_lines(header, name, sizes):
    """What an application writes to run the model once, in the names of its header; sizes: of the symbols, in order."""
    struct = re.search(rf"typedef struct {name}_dims {{\n(.*?)}} {name}_dims;", header, re.S)[1]
    fields = [field for field in re.findall(r"^\tint64_t (\w+);", struct, re.M) if field != "threads"]
    dims = ", ".join([f".{shown(field)} = {n}" for field, n in zip(fields, sizes)] + [".threads = 1"])
    signature = re.search(rf"^static inline int {name}\((.*?)\)$", header, re.S | re.M)[1]
    tensors = re.findall(r"(\w+)(?:,|$)", signature)[1:-4]
    known = {"out_dims": "NULL"}
    call = ", ".join(["&dims", *(known.get(tensor, shown(tensor)) for tensor in tensors), "workspace", "size", "NULL", "&error"])
    buffers = some([f"{name}_{shown(tensor)}_bytes(&dims)" for tensor in tensors if tensor not in known], 3)
    return [f'#include "{name}.h"', f"{name}_dims dims = {{{dims}}};", f"size_t size = {name}_workspace_size(&dims);",
            "void *workspace = aligned_alloc(DCC_WORKSPACE_ALIGN, size);", "dcc_error error;",
            f"int status = {name}({call});", f"/* buffers: {buffers} */"]


def to_build():
    """The words for dcc, for its headers and for its library: of a wheel or a source tree their paths, else what is installed."""
    package = os.path.dirname(os.path.abspath(__file__))
    compiler = find_compiler()
    folder = os.path.dirname(compiler)
    program = "python -m dcc" if os.path.abspath(folder) == os.path.join(package, "bin") else shlex.quote(compiler)
    library = os.path.join(folder, "libdcc.a")
    for headers in (folder, os.path.join(os.path.dirname(os.path.dirname(package)), "runtime")):
        if os.path.isfile(os.path.join(headers, "dcc.h")) and os.path.isfile(library):
            return program, "-I " + shlex.quote(headers), shlex.quote(library)
    return "dcc" if shutil.which("dcc") == compiler else program, "$(pkg-config --cflags dcc)", "$(pkg-config --libs dcc)"


def say_next(model, inputs, options):
    with open(os.path.splitext(model.path)[0] + ".h", encoding="utf-8") as file:
        lines = c_lines(file.read(), model.name, inputs.sizes.values())
    program, headers, library = to_build()
    command = [*options.for_dcc, "-o", f"{model.name}.o", options.model]
    files = " ".join([f"{model.name}.o", *map(shlex.quote, options.files)])
    print(f"{'go on':10} {safe(program)} {safe(shlex.join(command))}")
    print(f"{'':10} cc {safe(headers)} app.c {safe(files)} {safe(library)}")
    for line in lines:
        say("", line)


# ---- all ---------------------------------------------------------------------------------------------------------------


def try_model(options):
    """0, or 1 where an output is wrong or the model is refused."""
    with tempfile.TemporaryDirectory(prefix="dcc-try-") as folder:
        try:
            model, seconds = compile_for_trial(options, folder)
        except CompileError as error:
            refuse(error, options)
            return 1
        except Error as error:
            undefined = re.search(r"undefined symbol: (\w+)", str(error))
            if not undefined:
                raise
            raise Error(f"no file defines the function {undefined[1]}: dcc-try {options.model} FILE.o --custom-op=...") from None
        given, recorded = data_set(options, model)
        given = given or given_inputs(options, model)
        try:
            inputs, outputs = made_up.find_inputs(model, given, options.seed)
        except Error as error:
            choose = "" if len(given) == len(model.inputs) else " (-D SYM=N and --input NAME=FILE.npy choose)"
            raise Error(f"{error}{choose}") from None
        outputs = outputs if isinstance(outputs, dict) else {model.outputs[0].name: outputs}
        say_inputs(inputs, "from --input" if options.input else "from test_data_set_0")
        outputs = {spelled(name): value for name, value in outputs.items()}
        recorded = {spelled(name): value for name, value in recorded.items()}
        good = not recorded or say_verdict(*judge(outputs, recorded, options), "test_data_set_0")
        same, path = compare_with_onnxruntime(outputs, inputs, options, folder)
        if options.seconds > 0:
            say_times(model, path, inputs, options, folder)
        say_sizes(model, inputs, options, seconds)
        say_fusions(model.report())
        say_next(model, inputs, options)
        return 0 if good and same else 1


def main(arguments=None):
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return try_model(read_options(arguments))
    except BrokenPipeError:  # who reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Error as error:
        print(f"dcc-try: {safe(str(error))}", file=sys.stderr)
    except (OSError, MemoryError) as error:
        print(f"dcc-try: {safe(str(error)) or 'out of memory'}", file=sys.stderr)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{os.path.basename(place.filename)}:{place.lineno}: {type(error).__name__}: {error}"
        print(f"dcc-try: {shown(what, 300)}: {BUG}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
