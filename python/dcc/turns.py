"""Times engines on one model in turns, on the same cores, so that what else the machine does hits all alike.

Each engine runs in a process of its own, pinned to `threads` cores, and waits while it is not its turn.  The protocol is that
of dcc-run --protocol: the process says "ready" (or why not), answers "run SECONDS" with the number of runs, their median and
the least time in ns, and ends at "quit".

`python -m dcc.turns ENGINE MODEL INPUTS THREADS` is such a process.  INPUTS: a file of save_inputs(), or a folder with the
input_*.pb of ONNX's test layout, which takes the package onnx.
"""

import glob
import os
import re
import statistics
import subprocess
import sys
import time

import numpy as np

from .model import load, spelled

TURN = 0.5  # seconds
NOISY = 1.15  # a median so far above the least time tells of other work on the machine


# ---- inputs ------------------------------------------------------------------------------------------------------------


def save_inputs(path, inputs):
    """[(name, array)], in the model's order."""
    np.savez(path, *(array for _, array in inputs), names=np.array([name for name, _ in inputs], "U"))


def read_tensors(folder, kind):
    """[(name, array)] of the files KIND_0.pb, KIND_1.pb, ... in a folder."""
    import onnx

    files = glob.glob(os.path.join(glob.escape(folder), f"{kind}_*.pb"))
    tensors = [onnx.load_tensor(path) for path in sorted(files, key=lambda path: int(re.search(r"(\d+)\.pb$", path)[1]))]
    return [(tensor.name, onnx.numpy_helper.to_array(tensor)) for tensor in tensors]


def read_inputs(path):
    if os.path.isdir(path):
        return read_tensors(path, "input")
    with np.load(path) as file:
        return [(str(name), file[f"arr_{i}"]) for i, name in enumerate(file["names"])]


# ---- engines: each gives a function that runs the model once -----------------------------------------------------------


def open_dcc(path, inputs, threads):
    model = load(path)
    arrays = [array.view(port.dtype) if array.dtype.kind == "V" else array for (_, array), port in zip(inputs, model.inputs)]
    return model._bound(*arrays, threads=threads)


def onnxruntime_session(path, threads):
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what both logs have to say is in exceptions, too; they show names as they are
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def onnxruntime_feeds(session, inputs):
    """Values by the session's names; those whose name is no input's fill the rest in order; x.0, x.1, ... are the sequence x."""
    ports = session.get_inputs()
    names = {spelled(port.name) for port in ports}
    named = {spelled(name): array for name, array in inputs}
    others = iter([array for name, array in inputs if spelled(name) not in names])
    feeds = {}
    for port in ports:
        name = spelled(port.name)
        if port.type.startswith("seq("):
            feeds[port.name] = [array for key, array in named.items() if re.fullmatch(re.escape(name) + r"\.\d+", key)]
        else:
            feeds[port.name] = named[name] if name in named else next(others, None)
    return feeds


def open_onnxruntime(path, inputs, threads):
    session = onnxruntime_session(path, threads)
    feeds = onnxruntime_feeds(session, inputs)
    if not all(isinstance(value, np.ndarray) for value in feeds.values()):
        return lambda: session.run(None, feeds)
    binding = session.io_binding()  # as _bound: no arguments are converted while it is timed
    for name, value in feeds.items():
        binding.bind_cpu_input(name, np.ascontiguousarray(value))
    for port in session.get_outputs():
        binding.bind_output(port.name)

    def bound():
        session.run_with_iobinding(binding)

    try:
        bound()
        bound()
    except Exception:  # where outputs have other ranks than the file declares, onnxruntime refuses those of the first run as places for the second's
        return lambda: session.run(None, feeds)
    return bound


def open_openvino(path, inputs, threads):
    import openvino

    model = openvino.compile_model(path, "CPU", {
        "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False})
    request = model.create_infer_request()
    feeds = [openvino.Tensor(value) for _, value in inputs]
    return lambda: request.infer(feeds)


def open_torch(path, inputs, threads):
    """torch.compile of what make() of the model's make.py returns: a module whose inputs come in the model's order."""
    import runpy

    import torch
    import torch._inductor.config

    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    torch._inductor.config.freezing = True  # constants folded, weights packed
    module = torch.compile(runpy.run_path(os.path.join(os.path.dirname(path), "make.py"))["make"]().eval())
    tensors = [torch.from_numpy(value) for _, value in inputs]

    def run():
        with torch.inference_mode():
            module(*tensors)
    return run


ENGINES = {"dcc": open_dcc, "onnxruntime": open_onnxruntime, "openvino": open_openvino, "torch": open_torch}


def serve(engine, path, inputs, threads):
    try:
        run = ENGINES[engine](path, read_inputs(inputs), threads)
        run()
    except Exception as e:  # whatever an engine raises
        print(f"error: {str(e).splitlines()[0] if str(e) else type(e).__name__}", flush=True)
        return
    print("ready", flush=True)
    for line in sys.stdin:
        command = line.split()
        if command[0] == "quit":
            return
        times, end = [], time.perf_counter() + float(command[1])
        while not times or time.perf_counter() < end:
            start = time.perf_counter_ns()
            run()
            times.append(time.perf_counter_ns() - start)
        print(len(times), int(statistics.median(times)), min(times), flush=True)


# ---- turns -------------------------------------------------------------------------------------------------------------


def command_of(engine, path, inputs, threads):
    return [sys.executable, "-m", "dcc.turns", engine, path, inputs, str(threads)]


def pick_cpus(threads):
    """As taskset wants them."""
    return ",".join(map(str, sorted(os.sched_getaffinity(0))[:threads]))


# Weights that an engine keeps in malloc's memory lie in huge pages, as dcc's do, where the system has some (glibc 2.35).
HUGE_PAGES = "glibc.malloc.hugetlb=1"


class Peer:
    """An engine in its process.  `failure`: None, or why there are no times."""

    def __init__(self, name, command, cpus):
        self.name, self.medians, self.least = name, [], float("inf")
        package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        tunables = ":".join(filter(None, [os.environ.get("GLIBC_TUNABLES"), HUGE_PAGES]))
        self.process = subprocess.Popen(["taskset", "-c", cpus, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, errors="replace",
                                        env={**os.environ, "PYTHONPATH": path, "GLIBC_TUNABLES": tunables})
        self.failure = self.process.stdout.readline().strip()
        if self.failure == "ready":
            self.failure = None
        elif not self.failure:
            self.failure = self.process.stderr.read().strip()[-200:] or "no answer"

    def turn(self, seconds, record=True):
        try:
            self.process.stdin.write(f"run {seconds}\n")
            self.process.stdin.flush()
            _, median, least = map(int, self.process.stdout.readline().split()[:3])
        except (BrokenPipeError, ValueError):
            self.failure = f"the process ended with status {self.process.wait()}"
            return
        if record:
            self.medians.append(median)
            self.least = min(self.least, least)

    def close(self):
        if not self.failure:
            self.process.stdin.write("quit\n")
            self.process.stdin.flush()
        self.process.communicate()

    def times(self):
        """Milliseconds, or why there are none."""
        return self.failure or {"median": statistics.median(self.medians) / 1e6, "least": self.least / 1e6}


def take_turns(commands, threads, seconds):
    """Of each engine of {name: command} what Peer.times() says, after `seconds` of each."""
    peers = [Peer(name, command, pick_cpus(threads)) for name, command in commands.items()]

    def round_of(record):
        running = [peer for peer in peers if not peer.failure]
        for peer in running:
            peer.turn(min(TURN, seconds), record)
        return len(running)

    try:
        left = round_of(record=False)
        end = time.monotonic() + seconds * left
        while left:
            left = round_of(record=True) and end - time.monotonic() > TURN / 2
        for peer in peers:
            peer.close()
    finally:
        for peer in peers:
            peer.process.kill()
    return {peer.name: peer.times() for peer in peers}


def is_noisy(times):
    """What Peer.times() says of dcc."""
    return isinstance(times, dict) and times["median"] > NOISY * times["least"]


def ms(t):
    return f"{t:.2f}" if t >= 1 else f"{t:.4f}"


if __name__ == "__main__":
    serve(*sys.argv[1:4], int(sys.argv[4]))
